//! Whether an account may send now: running, paused (by a person or by itself) or stopped (by its gateway).
//!
//! Invariant: neither burns a message; what waits, waits. A person's pause ends only by a person; one of
//! its own also when a message that is tried after a while is accepted. A stop for credentials ends only by
//! a test that passes; a stop for a session also when the session reports WORKING; a stop because nothing
//! listens at a webhook also by looking again.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::db::wablast_now;
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::schema::accounts;

/// The gateway refuses the account itself.
pub async fn stop(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    code: &str,
    reason: &str,
) -> QueryResult<usize> {
    diesel::update(
        accounts::table
            .find(id)
            .filter(accounts::health.eq("running")),
    )
    .set((
        accounts::health.eq("stopped"),
        accounts::health_code.eq(code),
        accounts::health_reason.eq(reason),
        accounts::health_since.eq(wablast_now()),
        accounts::session_broke_at.eq(wablast_now().nullable()),
    ))
    .execute(conn)
    .await
}

/// The session began, ended, or was seen not to work: what it keeps may have a gap here.
pub async fn session_broke(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<usize> {
    diesel::update(accounts::table.find(id))
        .set(accounts::session_broke_at.eq(wablast_now().nullable()))
        .execute(conn)
        .await
}

/// Nothing listens at the account's webhook: stopped, and looked at again after `wait`.
pub async fn stop_for(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    code: &str,
    reason: &str,
    wait: Duration,
) -> QueryResult<usize> {
    let stopped = stop(conn, id, code, reason).await?;
    if stopped > 0 {
        sql_query("UPDATE accounts SET health_retry_at = wablast_now() + make_interval(secs => $2) WHERE id = $1")
            .bind::<BigInt, _>(id)
            .bind::<Double, _>(wait.as_secs_f64())
            .execute(conn)
            .await?;
    }
    Ok(stopped)
}

#[derive(QueryableByName)]
struct Due {
    #[diesel(sql_type = BigInt)]
    id: AccountId,
}

/// Stopped accounts whose webhook is to be looked at now. Whoever gets one has `wait` to do so before
/// another instance does.
pub async fn due_for_retry(
    conn: &mut AsyncPgConnection,
    wait: Duration,
) -> QueryResult<Vec<AccountId>> {
    let due: Vec<Due> = sql_query(
        "UPDATE accounts SET health_retry_at = wablast_now() + make_interval(secs => $1)
         WHERE active AND health = 'stopped' AND health_retry_at <= wablast_now() RETURNING id",
    )
    .bind::<Double, _>(wait.as_secs_f64())
    .load(conn)
    .await?;
    Ok(due.into_iter().map(|due| due.id).collect())
}

/// A look at the webhook of a stopped account found that it may try again.
pub async fn may_try_again(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<usize> {
    let stopped = accounts::table
        .find(id)
        .filter(accounts::health.eq("stopped"))
        .filter(accounts::health_retry_at.is_not_null());
    run(conn, stopped).await
}

/// The session works again. Credentials that were refused wait for a test.
pub async fn session_works(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<usize> {
    let stopped = accounts::table
        .find(id)
        .filter(accounts::health.eq("stopped"))
        .filter(accounts::health_code.is_distinct_from("auth"));
    run(conn, stopped).await
}

/// A test passed.
pub async fn test_passed(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<usize> {
    run(
        conn,
        accounts::table
            .find(id)
            .filter(accounts::health.eq("stopped")),
    )
    .await
}

/// The account pauses itself and tries a message after `wait`. `probe`: that is what it was doing, in vain.
pub async fn auto_pause(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    reason: &str,
    wait: Duration,
    probe: bool,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE accounts SET health = 'paused', health_code = 'auto', health_reason = $2, health_since = wablast_now(),
           health_retry_at = wablast_now() + make_interval(secs => $3)
         WHERE id = $1 AND health = 'running' AND (health_code IS NOT DISTINCT FROM 'probe') = $4",
    )
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(reason)
    .bind::<Double, _>(wait.as_secs_f64())
    .bind::<Bool, _>(probe)
    .execute(conn)
    .await
}

/// Accounts that paused themselves long enough ago: from now on each tries one message at a time.
pub async fn begin_probes(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query(
        "UPDATE accounts SET health = 'running', health_code = 'probe', health_since = wablast_now(), health_retry_at = NULL,
           health_reason = 'The account had paused itself. One message is tried to see whether it works again.'
         WHERE active AND health = 'paused' AND health_code = 'auto' AND health_retry_at <= wablast_now()",
    )
    .execute(conn)
    .await
}

/// The message that was tried was accepted.
pub async fn probe_passed(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<usize> {
    let probing = accounts::table
        .find(id)
        .filter(accounts::health.eq("running"))
        .filter(accounts::health_code.eq("probe"));
    run(conn, probing).await
}

/// A person pauses the account: nothing leaves until a person resumes it.
pub async fn pause(conn: &mut AsyncPgConnection, id: AccountId) -> Result<()> {
    let changed = diesel::update(
        accounts::table.find(id).filter(
            accounts::health
                .ne("paused")
                .or(accounts::health_code.is_distinct_from("person")),
        ),
    )
    .set((
        accounts::health.eq("paused"),
        accounts::health_code.eq("person"),
        accounts::health_reason.eq("Paused by a person."),
        accounts::health_since.eq(wablast_now()),
        accounts::health_retry_at.eq(None::<chrono::DateTime<chrono::Utc>>),
    ))
    .execute(conn)
    .await?;
    already(conn, id, changed, "paused").await
}

pub async fn resume(conn: &mut AsyncPgConnection, id: AccountId) -> Result<()> {
    let changed = run(
        conn,
        accounts::table
            .find(id)
            .filter(accounts::health.eq("paused")),
    )
    .await?;
    already(conn, id, changed, "running").await
}

async fn run<F>(conn: &mut AsyncPgConnection, which: F) -> QueryResult<usize>
where
    F: diesel::query_builder::IntoUpdateTarget<Table = accounts::table>,
    F::WhereClause: diesel::query_builder::QueryFragment<diesel::pg::Pg>
        + diesel::query_builder::QueryId
        + Send,
{
    diesel::update(which)
        .set((
            accounts::health.eq("running"),
            accounts::health_code.eq(None::<String>),
            accounts::health_reason.eq(None::<String>),
            accounts::health_since.eq(wablast_now()),
            accounts::health_retry_at.eq(None::<chrono::DateTime<chrono::Utc>>),
        ))
        .execute(conn)
        .await
}

/// A second click finds the state the first one led to, and that is well.
async fn already(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    changed: usize,
    wanted: &str,
) -> Result<()> {
    if changed > 0 {
        return Ok(());
    }
    let health: String = accounts::table
        .find(id)
        .select(accounts::health)
        .first(conn)
        .await?;
    if health == wanted {
        Ok(())
    } else {
        Err(Error::conflict(format!(
            "The account is {health}. Test its credentials to start it again."
        )))
    }
}
