//! What happened to a record: who, when, what; and the notes people leave.
//!
//! Invariant: a secret never stands here, only that it changed. Owns `audit`.

pub mod told;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::{CompanyId, UserId};
use crate::schema::audit;

pub use told::{Field, Told, diff};

/// The note of what a program did with a token.
pub const BY_API: &str = "API";

/// Notes an action on a record.
pub async fn note(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    noun: &str,
    record: i64,
    user: Option<UserId>,
    action: &str,
    note: Option<&str>,
) -> QueryResult<usize> {
    diesel::insert_into(audit::table)
        .values((
            audit::company_id.eq(company),
            audit::noun.eq(noun),
            audit::record_id.eq(record),
            audit::user_id.eq(user),
            audit::action.eq(action),
            audit::note.eq(note),
        ))
        .execute(conn)
        .await
}

/// One field that changed: a key of the catalogue or a name, and what it was and is. A value is a text,
/// a boolean, `{"at": instant}`, `{"word": key}` or `{"country": code}`; of secrets `{"word": "form.secret"}`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Change {
    pub field: String,
    pub old: serde_json::Value,
    pub new: serde_json::Value,
}

/// Notes what a form changed; nothing changed is nothing noted.
pub async fn note_changes(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    noun: &str,
    record: i64,
    user: Option<UserId>,
    changes: &[Change],
) -> QueryResult<usize> {
    note_changes_by(conn, company, noun, record, user, changes, None).await
}

/// The same with a note beside it: how it was changed, where it was no form.
pub async fn note_changes_by(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    noun: &str,
    record: i64,
    user: Option<UserId>,
    changes: &[Change],
    note: Option<&str>,
) -> QueryResult<usize> {
    if changes.is_empty() {
        return Ok(0);
    }
    diesel::insert_into(audit::table)
        .values((
            audit::company_id.eq(company),
            audit::noun.eq(noun),
            audit::record_id.eq(record),
            audit::user_id.eq(user),
            audit::action.eq("changed"),
            audit::changes.eq(serde_json::json!(changes)),
            audit::note.eq(note),
        ))
        .execute(conn)
        .await
}

/// Whoever saves the same record waits until this transaction has ended.
pub async fn hold(conn: &mut AsyncPgConnection, noun: &str, record: i64) -> QueryResult<usize> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))")
        .bind::<Text, _>(format!("{noun}:{record}"))
        .execute(conn)
        .await
}

/// Notes the same action on many records of a noun, in one statement.
pub async fn note_many(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    noun: &str,
    records: &[i64],
    user: Option<UserId>,
    action: &str,
    note: Option<&str>,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO audit (company_id, noun, record_id, user_id, action, note)
         SELECT $1, $2, r.id, $4, $5, $6 FROM unnest($3::bigint[]) AS r(id)",
    )
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(noun)
    .bind::<Array<BigInt>, _>(records)
    .bind::<Nullable<BigInt>, _>(user)
    .bind::<Text, _>(action)
    .bind::<Nullable<Text>, _>(note)
    .execute(conn)
    .await
}

/// Notes an action that changed many records of a noun, each in its own way, in one statement.
pub async fn note_changes_of_many(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    noun: &str,
    user: Option<UserId>,
    action: &str,
    records: &[(i64, Vec<Change>)],
    note: &str,
) -> QueryResult<usize> {
    let (ids, changes): (Vec<i64>, Vec<serde_json::Value>) = records
        .iter()
        .map(|(id, changes)| (*id, serde_json::json!(changes)))
        .unzip();
    sql_query(
        "INSERT INTO audit (company_id, noun, record_id, user_id, action, changes, note)
         SELECT $1, $2, r.id, $4, $5, r.changes, $7 FROM unnest($3::bigint[], $6::jsonb[]) AS r(id, changes)",
    )
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(noun)
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Nullable<BigInt>, _>(user)
    .bind::<Text, _>(action)
    .bind::<Array<Jsonb>, _>(changes)
    .bind::<Text, _>(note)
    .execute(conn)
    .await
}

#[derive(Debug, Clone, QueryableByName)]
pub struct Entry {
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    pub user_name: Option<String>,
    #[diesel(sql_type = Text)]
    pub action: String,
    #[diesel(sql_type = Jsonb)]
    pub changes: serde_json::Value,
    #[diesel(sql_type = Nullable<Text>)]
    pub note: Option<String>,
}

/// The history of a record, newest first.
pub async fn of(conn: &mut AsyncPgConnection, noun: &str, record: i64) -> QueryResult<Vec<Entry>> {
    sql_query(
        "SELECT a.at, u.name AS user_name, a.action, a.changes, a.note FROM audit a LEFT JOIN users u ON u.id = a.user_id
         WHERE a.noun = $1 AND a.record_id = $2 ORDER BY a.id DESC LIMIT 50",
    )
    .bind::<Text, _>(noun)
    .bind::<BigInt, _>(record)
    .load(conn)
    .await
}

/// What was done to a record since an instant, newest first.
pub async fn since(
    conn: &mut AsyncPgConnection,
    noun: &str,
    record: i64,
    instant: DateTime<Utc>,
) -> QueryResult<Vec<Entry>> {
    sql_query(
        "SELECT a.at, u.name AS user_name, a.action, a.changes, a.note FROM audit a LEFT JOIN users u ON u.id = a.user_id
         WHERE a.noun = $1 AND a.record_id = $2 AND a.at >= $3 AND a.action <> 'noted' ORDER BY a.id DESC LIMIT 5",
    )
    .bind::<Text, _>(noun)
    .bind::<BigInt, _>(record)
    .bind::<Timestamptz, _>(instant)
    .load(conn)
    .await
}

/// The record for which `user` noted this action with this note within a day. Whoever else asks with
/// the same note waits until the transaction that asked first has ended, so that a form sent twice at
/// once is one. An empty note is nobody's.
pub async fn noted_once(
    conn: &mut AsyncPgConnection,
    noun: &str,
    user: UserId,
    action: &str,
    note: &str,
) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Record {
        #[diesel(sql_type = BigInt)]
        record_id: i64,
    }
    if note.is_empty() {
        return Ok(None);
    }
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind::<Text, _>(note)
        .execute(conn)
        .await?;
    let record: Option<Record> = sql_query(
        "SELECT record_id FROM audit WHERE noun = $1 AND user_id = $2 AND action = $3 AND note = $4
           AND at > wablast_now() - interval '1 day' LIMIT 1",
    )
    .bind::<Text, _>(noun)
    .bind::<BigInt, _>(user)
    .bind::<Text, _>(action)
    .bind::<Text, _>(note)
    .get_result(conn)
    .await
    .optional()?;
    Ok(record.map(|record| record.record_id))
}
