//! Many people into lists and to tags, those of their rows and those that all get.
//!
//! Invariants: who is in a list already stays as they are there; a list or a tag that is not there is made.

use std::collections::{BTreeSet, HashMap};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::bulk::{Numbered, Row};
use crate::ids::{CompanyId, ContactId, ListId};

/// People and a name each, side by side, and the names once.
struct Pairs {
    contacts: Vec<ContactId>,
    names: Vec<String>,
    each: Vec<String>,
}

fn pairs<'a>(
    ids: &HashMap<String, ContactId>,
    rows: impl Iterator<Item = &'a Numbered<'a>>,
    of: fn(&Row) -> &Vec<String>,
) -> Pairs {
    let mut wanted: BTreeSet<(&str, ContactId)> = BTreeSet::new();
    for (number, row) in rows {
        let Some(id) = ids.get(number.as_str()) else {
            continue;
        };
        let names = of(row).iter().map(|name| name.trim());
        wanted.extend(
            names
                .filter(|name| !name.is_empty())
                .map(|name| (name, *id)),
        );
    }
    let each: BTreeSet<&str> = wanted.iter().map(|(name, _)| *name).collect();
    Pairs {
        contacts: wanted.iter().map(|(_, id)| *id).collect(),
        names: wanted.iter().map(|(name, _)| (*name).to_owned()).collect(),
        each: each.into_iter().map(str::to_owned).collect(),
    }
}

/// Somebody who is new in a list, or has a tag since.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub(super) struct Joined {
    #[diesel(sql_type = BigInt)]
    pub contact: ContactId,
    /// Of the list, or of the tag.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
}

/// Of who is new there, those who are asked about.
const OF_THOSE: &str = "SELECT j.contact, j.id FROM joined j JOIN unnest($4::bigint[]) AS told(contact) ON told.contact = j.contact";

/// Everybody into `list_ids`, and each into the lists their row names; lists that are not there are made. Which of
/// `told` were not in them before.
pub(super) async fn join_lists<'a>(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    ids: &HashMap<String, ContactId>,
    rows: impl Iterator<Item = &'a Numbered<'a>>,
    list_ids: &[ListId],
    told: &[ContactId],
) -> QueryResult<Vec<Joined>> {
    let everybody: Vec<ContactId> = ids.values().copied().collect();
    let mut joined: Vec<Joined> = sql_query(format!(
        "WITH joined AS (
           INSERT INTO list_members (company_id, list_id, contact_id)
           SELECT $1, l.id, c.id FROM unnest($2::bigint[]) AS l(id), unnest($3::bigint[]) AS c(id) ON CONFLICT DO NOTHING
           RETURNING contact_id AS contact, list_id AS id) {OF_THOSE}"
    ))
    .bind::<BigInt, _>(company)
    .bind::<Array<BigInt>, _>(list_ids)
    .bind::<Array<BigInt>, _>(&everybody)
    .bind::<Array<BigInt>, _>(told)
    .load(conn)
    .await?;
    let pairs = pairs(ids, rows, |row| &row.lists);
    if pairs.each.is_empty() {
        return Ok(joined);
    }
    sql_query(
        "INSERT INTO lists (company_id, name) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<Text>, _>(&pairs.each)
    .execute(conn)
    .await?;
    let named: Vec<Joined> = sql_query(format!(
        "WITH joined AS (
           INSERT INTO list_members (company_id, list_id, contact_id)
           SELECT $1, l.id, p.contact FROM unnest($2::bigint[], $3::text[]) AS p(contact, name)
             JOIN lists l ON l.company_id = $1 AND l.name = p.name ON CONFLICT DO NOTHING
           RETURNING contact_id AS contact, list_id AS id) {OF_THOSE}"
    ))
    .bind::<BigInt, _>(company)
    .bind::<Array<BigInt>, _>(&pairs.contacts)
    .bind::<Array<Text>, _>(&pairs.names)
    .bind::<Array<BigInt>, _>(told)
    .load(conn)
    .await?;
    joined.extend(named);
    Ok(joined)
}

/// Puts people into lists; who is in one already stays as they are there.
pub async fn add_members(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    lists: &[ListId],
    contacts: &[ContactId],
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO list_members (company_id, list_id, contact_id)
         SELECT $1, l.id, c.id FROM unnest($2::bigint[]) AS l(id), unnest($3::bigint[]) AS c(id) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<BigInt>, _>(lists)
    .bind::<Array<BigInt>, _>(contacts)
    .execute(conn)
    .await
}

/// Each the tags of their row. Which of `told` did not have them before.
pub(super) async fn give_tags<'a>(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    ids: &HashMap<String, ContactId>,
    rows: impl Iterator<Item = &'a Numbered<'a>>,
    told: &[ContactId],
) -> QueryResult<Vec<Joined>> {
    let pairs = pairs(ids, rows, |row| &row.tags);
    if pairs.each.is_empty() {
        return Ok(Vec::new());
    }
    sql_query(
        "INSERT INTO tags (company_id, name) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<Text>, _>(&pairs.each)
    .execute(conn)
    .await?;
    sql_query(format!(
        "WITH joined AS (
           INSERT INTO contact_tags (company_id, contact_id, tag_id)
           SELECT $1, p.contact, t.id FROM unnest($2::bigint[], $3::text[]) AS p(contact, name)
             JOIN tags t ON t.company_id = $1 AND t.name = p.name ON CONFLICT DO NOTHING
           RETURNING contact_id AS contact, tag_id AS id) {OF_THOSE}"
    ))
    .bind::<BigInt, _>(company)
    .bind::<Array<BigInt>, _>(&pairs.contacts)
    .bind::<Array<Text>, _>(&pairs.names)
    .bind::<Array<BigInt>, _>(told)
    .load(conn)
    .await
}
