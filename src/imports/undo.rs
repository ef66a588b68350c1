//! Taking an import back, within a week: the people it made, as long as nobody has used them since.
//!
//! Invariants: only people of this import go; who has messages, said stop, was chosen for a mailing or was
//! changed since stays, counted under the first such reason; while a mailing is being prepared nobody goes,
//! for it may be about to write to them.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::query;
use crate::audit;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{CompanyId, ImportId, UserId};

/// People of a transaction.
const BATCH: i64 = 2_000;

/// The first reason why a person stays; null: nobody has used them.
const STAYS: &str = "CASE
  WHEN EXISTS (SELECT FROM outgoing o WHERE o.contact_id = c.id) OR EXISTS (SELECT FROM incoming m WHERE m.contact_id = c.id) THEN 'messages'
  WHEN c.opt_out THEN 'opted_out'
  WHEN EXISTS (SELECT FROM mailing_contacts mc WHERE mc.contact_id = c.id) THEN 'chosen'
  WHEN c.updated_at > c.created_at + interval '1 second' OR EXISTS (SELECT FROM contact_identities ci WHERE ci.contact_id = c.id)
    OR EXISTS (SELECT FROM list_members lm WHERE lm.contact_id = c.id AND (lm.opt_out OR lm.added_at > i.finished_at)) THEN 'changed'
END";

/// What undoing would do now, as reasons and counts; the reason of who would go is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    pub goes: i64,
    /// Reasons: `messages`, `opted_out`, `chosen`, `changed`.
    pub stays: Vec<(String, i64)>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Is {
    #[diesel(sql_type = Bool)]
    is: bool,
}

/// Whether an import can still be taken back: it made people, ended, and a week is not over.
pub async fn is_open(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<bool> {
    let open: Is = sql_query(
        "SELECT EXISTS (SELECT FROM imports i WHERE i.id = $1 AND i.state IN ('done', 'canceled', 'failed')
           AND i.finished_at > wablast_now() - interval '7 days'
           AND EXISTS (SELECT FROM contacts c WHERE c.import_id = i.id)) AS is",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(open.is)
}

pub async fn fate(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<Fate> {
    let counts: Vec<Count> = sql_query(format!(
        "SELECT {STAYS} AS reason, count(*) FROM contacts c JOIN imports i ON i.id = c.import_id
         WHERE c.import_id = $1 GROUP BY 1 ORDER BY 1"
    ))
    .bind::<BigInt, _>(id)
    .load(conn)
    .await?;
    let mut fate = Fate::default();
    for Count { reason, count } in counts {
        match reason {
            Some(reason) => fate.stays.push((reason, count)),
            None => fate.goes = count,
        }
    }
    Ok(fate)
}

/// Takes an import back; how many people went. Broken off in the middle, it can be pressed again.
pub async fn undo(db: &Db, company: CompanyId, user: UserId, id: ImportId) -> Result<i64> {
    let (mut all, mut after) = (0, 0);
    loop {
        let mut conn = db.company(company).await?;
        query::find(&mut conn, id).await?;
        if after == 0 && !is_open(&mut conn, id).await? {
            return Err(Error::conflict("This import can no longer be undone."));
        }
        let batch = batch(&mut conn, id, after).await?;
        all += batch.gone;
        let Some(last) = batch.last else {
            audit::note(
                &mut conn,
                company,
                "imports",
                id.0,
                Some(user),
                "undone",
                None,
            )
            .await?;
            conn.commit().await?;
            return Ok(all);
        };
        conn.commit().await?;
        after = last;
    }
}

#[derive(QueryableByName)]
struct Batch {
    /// The last person looked at; none: that was all.
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
    #[diesel(sql_type = BigInt)]
    gone: i64,
}

async fn batch(conn: &mut AsyncPgConnection, id: ImportId, after: i64) -> Result<Batch> {
    // Nobody is chosen for a mailing between the look and the deed.
    sql_query("LOCK TABLE audience, mailing_contacts IN SHARE MODE")
        .execute(conn)
        .await?;
    let busy: Is = sql_query(
        "SELECT EXISTS (SELECT FROM mailings WHERE state = 'sending' AND NOT release_done) AS is",
    )
    .get_result(conn)
    .await?;
    if busy.is {
        return Err(Error::conflict(
            "A mailing is being prepared just now. Try again in a moment.",
        ));
    }
    let batch = sql_query(format!(
        "WITH looked AS MATERIALIZED (
           SELECT id FROM contacts WHERE import_id = $1 AND id > $2 ORDER BY id LIMIT $3),
         gone AS MATERIALIZED (
           SELECT c.id FROM looked JOIN contacts c ON c.id = looked.id JOIN imports i ON i.id = c.import_id
           WHERE ({STAYS}) IS NULL FOR UPDATE OF c),
         their_tags AS (DELETE FROM contact_tags t USING gone WHERE t.contact_id = gone.id),
         their_lists AS (DELETE FROM list_members m USING gone WHERE m.contact_id = gone.id),
         themselves AS (DELETE FROM contacts c USING gone WHERE c.id = gone.id),
         counted AS (UPDATE imports SET undone = undone + (SELECT count(*) FROM gone), undone_at = wablast_now() WHERE id = $1)
         SELECT (SELECT max(id) FROM looked) AS last, (SELECT count(*) FROM gone) AS gone"
    ))
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(BATCH)
    .get_result(conn)
    .await?;
    Ok(batch)
}
