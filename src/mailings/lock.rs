//! Sending that is locked, because the database is not the one it was; and releases that wait, because the
//! clock jumped.
//!
//! Invariant: what locks is `wablast_guard()`, asked by every connection before it is used (`db.rs`); what
//! unlocks is a person who was told how many people may get a message twice. While it is locked no account
//! has pace and nothing is released by itself; what was due meanwhile becomes Missed and asks a person.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use crate::error::{Error, Result};

/// What holds up the whole installation.
#[derive(Debug, Clone, QueryableByName)]
pub struct Held {
    /// Since then sending is locked.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub locked_at: Option<DateTime<Utc>>,
    /// Why: folder, restored, promoted, forgot.
    #[diesel(sql_type = Nullable<Text>)]
    pub lock_reason: Option<String>,
    /// Until then nothing is released by itself.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub releases_wait_until: Option<DateTime<Utc>>,
}

pub async fn held(conn: &mut AsyncPgConnection) -> QueryResult<Held> {
    sql_query(
        "SELECT locked_at, lock_reason, CASE WHEN releases_wait_until BETWEEN wablast_now() AND wablast_now() + interval '10 minutes'
           THEN releases_wait_until END AS releases_wait_until FROM installation",
    )
    .get_result(conn)
    .await
}

/// Whether the scheduler may release by itself now.
pub(super) async fn may_release(conn: &mut AsyncPgConnection) -> QueryResult<bool> {
    let held = held(conn).await?;
    Ok(held.locked_at.is_none() && held.releases_wait_until.is_none())
}

/// What may be sent once more when sending is unlocked: it waits here, and may have left before.
#[derive(Debug, Clone, QueryableByName)]
pub struct MayRepeat {
    /// Of mailings that were on their way.
    #[diesel(sql_type = BigInt)]
    pub messages: i64,
    #[diesel(sql_type = BigInt)]
    pub mailings: i64,
    /// Replies, tests and the like.
    #[diesel(sql_type = BigInt)]
    pub singles: i64,
    /// Submitted, and due meanwhile: they become Missed.
    #[diesel(sql_type = BigInt)]
    pub missed: i64,
    /// Instances remembered to have sent them; they do not wait but are uncertain.
    #[diesel(sql_type = BigInt)]
    pub left_uncertain: i64,
    /// Sent too, and not known here at all.
    #[diesel(sql_type = BigInt)]
    pub left_unknown: i64,
}

/// Over all companies; `conn` sees all.
pub async fn may_repeat(conn: &mut AsyncPgConnection) -> QueryResult<MayRepeat> {
    sql_query(
        "SELECT (SELECT count(*) FROM outgoing o JOIN mailings m ON m.id = o.mailing_id
             WHERE m.state IN ('sending', 'paused') AND o.state IN ('queued', 'claimed')) AS messages,
           (SELECT count(*) FROM mailings m WHERE m.state IN ('sending', 'paused')) AS mailings,
           (SELECT count(*) FROM outgoing o WHERE o.kind <> 'mailing' AND o.state IN ('queued', 'claimed')) AS singles,
           (SELECT count(*) FROM mailings m WHERE m.state = 'submitted' AND m.schedule_date <= wablast_now()) AS missed,
           left_uncertain, left_unknown FROM installation",
    )
    .get_result(conn)
    .await
}

/// Lets messages leave again. Mailings that were on their way stay paused, each for a person to resume.
pub async fn unlock(conn: &mut AsyncPgConnection) -> Result<()> {
    conn.transaction(async |conn| {
        let unlocked = sql_query(
            "UPDATE installation SET locked_at = NULL, lock_reason = NULL, left_uncertain = 0, left_unknown = 0
             WHERE locked_at IS NOT NULL",
        )
        .execute(conn)
        .await?;
        if unlocked == 0 {
            return Err(Error::conflict("Sending is not locked."));
        }
        sql_query(
            "UPDATE mailings SET state = 'missed', updated_at = wablast_now(),
               state_reason = 'It was due while sending was locked.'
             WHERE state = 'submitted' AND schedule_date <= wablast_now()",
        )
        .execute(conn)
        .await?;
        sql_query(
            "UPDATE account_pace SET blocked_until = NULL, blocked_reason = NULL, tokens = 0, tokens_at = wablast_now()
             WHERE blocked_until > wablast_now() + interval '1 year'",
        )
        .execute(conn)
        .await?;
        Ok(())
    })
    .await
}

/// Noted by whoever saw the database's clock go forward by more than ten minutes at once.
pub async fn clock_jumped(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query("UPDATE installation SET releases_wait_until = wablast_now() + interval '10 minutes'")
        .execute(conn)
        .await
}

/// A person says that the clock is right. True: something waited.
pub async fn clock_is_right(conn: &mut AsyncPgConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Waited {
        #[diesel(sql_type = Bool)]
        waited: bool,
    }
    let waited: Waited = sql_query(
        "UPDATE installation i SET releases_wait_until = NULL FROM installation b WHERE b.id = i.id
         RETURNING b.releases_wait_until IS NOT NULL AS waited",
    )
    .get_result(conn)
    .await?;
    Ok(waited.waited)
}
