//! Batched delivery: opening the next batch of an account, and closing what a mailing had opened.
//!
//! Invariants: of an account one batch is opened at a time, and none while opened messages may still go;
//! the first in the queue come first, an equal share for each mailing that is sending; a mailing that
//! was paused leaves nothing opened behind. Opening sends nothing: the deliverer follows at the
//! account's pace.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Text, Timestamptz};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use crate::accounts;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{AccountId, CompanyId, MailingId};
use crate::jobs::SCHEDULER_ENQUEUE;

/// What a run opened.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    pub accounts: usize,
    pub messages: usize,
}

#[derive(QueryableByName)]
struct Account {
    #[diesel(sql_type = BigInt)]
    id: AccountId,
}

/// *Scheduler Enqueue*: opens the next batch of every batched account that may send, and wakes the
/// deliverer. Any number of instances may do this at once.
pub async fn all(app: &App) -> anyhow::Result<Opened> {
    let mut conn = app.db.system().await?;
    let accounts: Vec<Account> = sql_query(
        "SELECT a.id FROM accounts a WHERE a.active AND a.health = 'running' AND a.delivery = 'batched' ORDER BY a.id",
    )
    .load(&mut *conn)
    .await?;
    let mut opened = Opened::default();
    for account in accounts {
        let messages = conn
            .transaction(async |conn| next_batch(conn, account.id).await)
            .await?;
        if messages > 0 {
            opened.accounts += 1;
            opened.messages += messages;
            app.wake.deliver.notify_one();
        }
    }
    Ok(opened)
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = Bool)]
    locked: bool,
}

/// Every mailing offers as many as the batch holds; turn by turn they give one each, so that what one
/// has not the others fill. A message whose own time has not come leaves its place to the next.
const OPEN: &str = "
WITH account AS (
  SELECT a.id, a.batch_size FROM accounts a
  WHERE a.id = $1 AND a.active AND a.health = 'running' AND a.delivery = 'batched'
), running AS (
  SELECT m.id FROM mailings m JOIN account ON m.account_id = account.id WHERE m.state = 'sending'
), waiting AS (
  SELECT o.id FROM running r JOIN outgoing o ON o.mailing_id = r.id
  WHERE o.opened_at IS NOT NULL AND o.state IN ('queued', 'claimed')
    AND (o.state = 'claimed' OR o.not_before IS NULL OR o.not_before <= (SELECT wablast_now())) LIMIT 1
), offered AS (
  SELECT q.id, q.turn FROM running r CROSS JOIN LATERAL (
    SELECT o.id, row_number() OVER (ORDER BY o.id) AS turn FROM outgoing o
    WHERE o.mailing_id = r.id AND o.state = 'queued' AND o.opened_at IS NULL
      AND (o.not_before IS NULL OR o.not_before <= (SELECT wablast_now()))
      AND (o.not_after IS NULL OR o.not_after > (SELECT wablast_now()))
    ORDER BY o.id LIMIT (SELECT batch_size FROM account)) q
  WHERE NOT EXISTS (SELECT FROM waiting)
), batch AS (
  SELECT id FROM offered ORDER BY turn, id LIMIT (SELECT batch_size FROM account)
), held AS (
  SELECT o.id FROM outgoing o WHERE o.id IN (SELECT id FROM batch) AND o.state = 'queued' AND o.opened_at IS NULL
  ORDER BY o.id FOR UPDATE SKIP LOCKED
)
UPDATE outgoing o SET opened_at = wablast_now() FROM held
WHERE o.id = held.id AND o.state = 'queued' AND o.opened_at IS NULL";

/// Opens the next batch of one account, unless one is on its way; returns how many messages. Belongs in
/// a transaction: the account is held until its end, and whoever comes meanwhile opens nothing.
pub async fn next_batch(conn: &mut AsyncPgConnection, account: AccountId) -> QueryResult<usize> {
    // A statement of its own: the next one must see what the last holder opened.
    let lock: Locked = sql_query(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('open a batch of account ' || $1, 0)) AS locked",
    )
    .bind::<BigInt, _>(account)
    .get_result(conn)
    .await?;
    if !lock.locked {
        return Ok(0);
    }
    sql_query(OPEN)
        .bind::<BigInt, _>(account)
        .execute(conn)
        .await
}

/// *Push queue now*: opens the next batch of an account, whether or not *Scheduler Enqueue* is on;
/// returns how many messages. A second press while they are on their way opens nothing. It is the owner's
/// to press, and opens what rests of every company: `conn` sees all.
pub async fn push(
    app: &App,
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    account: AccountId,
) -> Result<usize> {
    let account = accounts::owned(conn, account, company).await?;
    if !account.is_batched() {
        return Err(Error::conflict(
            "This account sends at once, so there is no queue to push. Choose Batched on the account for that.",
        ));
    }
    if let Some(reason) = account.not_built() {
        return Err(Error::conflict(reason));
    }
    if !app.config.sending {
        return Err(Error::conflict(
            "This copy never sends: it was started with WABLAST_SENDING=off.",
        ));
    }
    if !account.active || account.health != "running" {
        return Err(Error::conflict(
            "Nothing leaves through this account now. Bring it back to running first, then push.",
        ));
    }
    Ok(next_batch(conn, account.id).await?)
}

/// Closes what a mailing had opened and what has not left. Belongs to the transaction of the verb that
/// pauses the mailing, and of the one that resumes it: what was at the gateway meanwhile may be back.
pub async fn close(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<usize> {
    // Locked in the order of their ids, as outcomes and receipts do.
    sql_query(
        "WITH held AS (
           SELECT o.id FROM outgoing o
           WHERE o.mailing_id = $1 AND o.opened_at IS NOT NULL AND o.state IN ('queued', 'claimed', 'sending')
           ORDER BY o.id FOR UPDATE
         )
         UPDATE outgoing o SET opened_at = NULL FROM held WHERE o.id = held.id",
    )
    .bind::<BigInt, _>(mailing)
    .execute(conn)
    .await
}

/// Where a mailing of a batched account stands between two batches.
#[derive(Debug, Clone, QueryableByName)]
pub struct Batch {
    /// Opened and not ended.
    #[diesel(sql_type = BigInt)]
    pub opened: i64,
    /// Something is queued that was not opened.
    #[diesel(sql_type = Bool)]
    pub rests: bool,
    /// *Scheduler Enqueue* is on.
    #[diesel(sql_type = Bool)]
    pub active: bool,
    #[diesel(sql_type = Timestamptz)]
    pub next_run: DateTime<Utc>,
}

/// `None` where the mailing's account is not batched.
pub async fn batch(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    mailing: MailingId,
) -> QueryResult<Option<Batch>> {
    sql_query(
        "SELECT j.active, j.next_run,
           (SELECT count(*) FROM outgoing o WHERE o.mailing_id = $2 AND o.opened_at IS NOT NULL
              AND o.state IN ('queued', 'claimed', 'sending')) AS opened,
           EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = $2 AND o.state = 'queued' AND o.opened_at IS NULL) AS rests
         FROM accounts a, jobs j WHERE a.id = $1 AND a.delivery = 'batched' AND j.name = $3",
    )
    .bind::<BigInt, _>(account)
    .bind::<BigInt, _>(mailing)
    .bind::<Text, _>(SCHEDULER_ENQUEUE)
    .get_result(conn)
    .await
    .optional()
}

/// When nobody opens it, a batch rests.
#[derive(Debug, Clone, QueryableByName)]
pub struct Resting {
    #[diesel(sql_type = BigInt)]
    pub account_id: AccountId,
    #[diesel(sql_type = Text)]
    pub account: String,
    /// The account may send and is the company's own, so that it can push a batch.
    #[diesel(sql_type = Bool)]
    pub may_push: bool,
    /// Counted up to [`MOST`] and one more.
    #[diesel(sql_type = BigInt)]
    pub messages: i64,
}

/// Resting messages are counted up to here, because every page asks.
pub const MOST: i64 = 10_000;

/// While *Scheduler Enqueue* is off: at most three accounts in whose queue messages of the company rest.
/// While it is on this reads one row.
pub async fn resting(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
) -> QueryResult<Vec<Resting>> {
    sql_query(
        "SELECT a.id AS account_id, a.name AS account, 
           a.health = 'running' AND a.active AND a.company_id = $1 AS may_push, r.messages
         FROM accounts a CROSS JOIN LATERAL (
           SELECT count(*) AS messages FROM (
             SELECT FROM mailings m CROSS JOIN LATERAL (
               SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'queued' AND o.opened_at IS NULL LIMIT $3) o
             WHERE m.account_id = a.id AND m.company_id = $1 AND m.state = 'sending' LIMIT $3) counted) r
         WHERE a.delivery = 'batched' AND r.messages > 0
           AND EXISTS (SELECT FROM jobs j WHERE j.name = $2 AND NOT j.active)
         ORDER BY a.id LIMIT 3",
    )
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(SCHEDULER_ENQUEUE)
    .bind::<BigInt, _>(MOST + 1)
    .load(conn)
    .await
}
