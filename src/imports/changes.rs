//! What an import gave to people who were there before it, kept so that it can be taken back: the values it replaced,
//! the tags it gave, the lists it put them into. Owns `import_changes`.
//!
//! Invariants: nobody whom the import made stands here; what was changed since is not given back, and stays here until
//! the sweep; a person is looked at and held in one statement.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Jsonb};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value, json};

use crate::contacts::given::Given;
use crate::ids::{CompanyId, ContactId, ImportId};

/// What still is as the import left it: of a place in a list, that nobody left it, said stop there or came again.
const STILL: &str = "h.contact_id, CASE WHEN c.updated_at = h.written_at THEN h.fields ELSE wablast_unchanged(c, h.fields) END AS fields,
    ARRAY(SELECT t.tag_id FROM contact_tags t WHERE t.contact_id = h.contact_id AND h.tags @> to_jsonb(t.tag_id)) AS tags,
    ARRAY(SELECT m.list_id FROM list_members m WHERE m.contact_id = h.contact_id AND h.lists @> to_jsonb(m.list_id)
      AND NOT m.opt_out AND m.added_at <= i.finished_at) AS lists
  FROM import_changes h JOIN imports i ON i.id = h.import_id JOIN contacts c ON c.id = h.contact_id AND c.erased_at IS NULL
  WHERE h.import_id = $1";

/// Keeps what a chunk gave; in its transaction. Who got something twice has the oldest values.
pub(super) async fn keep(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ImportId,
    given: &[Given],
) -> QueryResult<()> {
    let contacts: Vec<ContactId> = given.iter().map(|one| one.contact).collect();
    let each = |of: fn(&Given) -> Value| -> Vec<Value> { given.iter().map(of).collect() };
    if given.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO import_changes AS h (company_id, import_id, contact_id, fields, written_at, tags, lists)
         SELECT $1, $2, g.contact, g.fields, c.updated_at, g.tags, g.lists
         FROM unnest($3::bigint[], $4::jsonb[], $5::jsonb[], $6::jsonb[]) AS g(contact, fields, tags, lists)
           JOIN contacts c ON c.id = g.contact AND c.import_id IS DISTINCT FROM $2
         ON CONFLICT (import_id, contact_id) DO UPDATE SET written_at = excluded.written_at,
           tags = h.tags || excluded.tags, lists = h.lists || excluded.lists,
           fields = h.fields || (SELECT coalesce(jsonb_object_agg(key,
             CASE WHEN h.fields ? key THEN (value - 'old') || ((h.fields -> key) - 'new') ELSE value END), '{}')
             FROM jsonb_each(excluded.fields))",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(id)
    .bind::<Array<BigInt>, _>(contacts)
    .bind::<Array<Jsonb>, _>(each(|one| json!(one.fields)))
    .bind::<Array<Jsonb>, _>(each(|one| json!(one.tags)))
    .bind::<Array<Jsonb>, _>(each(|one| json!(one.lists)))
    .execute(conn)
    .await?;
    Ok(())
}

/// What giving back would do now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, QueryableByName)]
pub struct Figures {
    /// People who get something back.
    #[diesel(sql_type = BigInt)]
    pub back: i64,
    /// Those of them who keep a part, because it was changed since.
    #[diesel(sql_type = BigInt)]
    pub partly: i64,
    /// People who keep everything, because it was changed since.
    #[diesel(sql_type = BigInt)]
    pub changed: i64,
}

pub(super) async fn figures(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<Figures> {
    sql_query(format!(
        "SELECT count(*) FILTER (WHERE something) AS back, count(*) FILTER (WHERE something AND NOT everything) AS partly,
           count(*) FILTER (WHERE NOT something) AS changed
         FROM (SELECT s.fields <> '{{}}' OR s.tags <> '{{}}' OR s.lists <> '{{}}' AS something,
             s.fields = s.all_fields AND cardinality(s.tags) = s.all_tags AND cardinality(s.lists) = s.all_lists AS everything
           FROM (SELECT h.fields AS all_fields, jsonb_array_length(h.tags) AS all_tags, jsonb_array_length(h.lists) AS all_lists, {STILL} OFFSET 0) s OFFSET 0) f"
    ))
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
}

#[derive(QueryableByName)]
struct Still {
    #[diesel(sql_type = BigInt)]
    contact_id: ContactId,
    #[diesel(sql_type = Jsonb)]
    fields: Value,
    #[diesel(sql_type = Array<BigInt>)]
    tags: Vec<i64>,
    #[diesel(sql_type = Array<BigInt>)]
    lists: Vec<i64>,
}

/// The next people behind `after`, each with what still is as the import left it; held until the transaction ends.
pub(super) async fn next(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    after: ContactId,
    most: i64,
) -> QueryResult<Vec<Given>> {
    let rows: Vec<Still> = sql_query(format!(
        "SELECT {STILL} AND h.contact_id > $2 ORDER BY h.contact_id LIMIT $3 FOR UPDATE OF h, c"
    ))
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(most)
    .load(conn)
    .await?;
    let given = rows.into_iter().map(|row| Given {
        contact: row.contact_id,
        fields: match row.fields {
            Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        },
        tags: row.tags,
        lists: row.lists,
    });
    Ok(given.collect())
}

/// These have back what they had.
pub(super) async fn forget(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    contacts: &[ContactId],
) -> QueryResult<usize> {
    sql_query("DELETE FROM import_changes WHERE import_id = $1 AND contact_id = ANY ($2)")
        .bind::<BigInt, _>(id)
        .bind::<Array<BigInt>, _>(contacts)
        .execute(conn)
        .await
}

/// Of imports that cannot be taken back any more.
pub(super) async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query(format!(
        "DELETE FROM import_changes h USING imports i
         WHERE i.id = h.import_id AND i.finished_at < wablast_now() - interval '{} days'",
        super::undo::DAYS
    ))
    .execute(conn)
    .await
}
