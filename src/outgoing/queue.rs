//! The queue around a claim: which accounts have work and when, giving back, reaping what a dead holder
//! left.
//!
//! Invariant: whatever takes a message from its holder raises the fence, so that the holder changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::GRACE_SECONDS;
use super::claim::Claimed;
use super::pull;
use super::reach;
use crate::ids::{AccountId, OutgoingId};

#[derive(QueryableByName)]
struct Account {
    #[diesel(sql_type = BigInt)]
    id: AccountId,
}

/// Makes the pace rows of accounts that are new.
pub(super) async fn make_pace(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO account_pace (account_id, company_id, tokens, tokens_at)
         SELECT a.id, a.company_id, a.burst, wablast_now() FROM accounts a
         WHERE NOT EXISTS (SELECT FROM account_pace p WHERE p.account_id = a.id)
         ON CONFLICT DO NOTHING",
    )
    .execute(conn)
    .await
}

/// Accounts that have something for us to send now and may send. Makes their pace rows on the way.
pub async fn accounts_with_work(conn: &mut AsyncPgConnection) -> QueryResult<Vec<AccountId>> {
    make_pace(conn).await?;
    // LIMIT 1 keeps the planner from joining the whole queue where one row of each mailing is enough.
    let accounts: Vec<Account> = sql_query(
        "SELECT a.id FROM accounts a WHERE a.active AND a.health = 'running' AND NOT wablast_pulled(a) AND (
           EXISTS (SELECT FROM outgoing o WHERE o.account_id = a.id AND o.state = 'queued' AND o.kind <> 'mailing')
           OR a.delivery <> 'batched' AND EXISTS (SELECT FROM mailings m CROSS JOIN LATERAL (
                SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'queued' LIMIT 1) o
              WHERE m.account_id = a.id AND m.state = 'sending')
           OR a.delivery = 'batched' AND EXISTS (SELECT FROM mailings m CROSS JOIN LATERAL (
                SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'queued' AND o.opened_at IS NOT NULL LIMIT 1) o
              WHERE m.account_id = a.id AND m.state = 'sending'))
         ORDER BY a.id",
    )
    .load(conn)
    .await?;
    Ok(accounts.into_iter().map(|account| account.id).collect())
}

/// When an account that got nothing should be asked again.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Nothing waits, or the account may not send.
    Idle,
    In(Duration),
}

#[derive(QueryableByName)]
struct Waits {
    #[diesel(sql_type = Nullable<Double>)]
    seconds: Option<f64>,
}

/// Why a claim got nothing: no work, or a moment to wait for. `mailings_until`: quiet hours of the company.
pub async fn next(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    mailings_until: Option<DateTime<Utc>>,
) -> QueryResult<Next> {
    next_for(conn, account, mailings_until, false).await
}

/// The same for whoever takes messages of such accounts: outside workers (`by_pull`), or ourselves.
pub(super) async fn next_for(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    mailings_until: Option<DateTime<Utc>>,
    by_pull: bool,
) -> QueryResult<Next> {
    let waits: Option<Waits> = sql_query(
        "WITH pace AS (
           SELECT s.batched, s.seconds, greatest(s.seconds, extract(epoch FROM wablast_capped_until(s.room, s.hourly_cap) - wablast_now()),
             extract(epoch FROM $2 - wablast_now()))::float8 AS mass
           FROM (SELECT a.delivery = 'batched' AS batched, a.hourly_cap, wablast_room(p, a, wablast_now()) AS room, greatest(
               extract(epoch FROM p.blocked_until - wablast_now()),
               CASE WHEN a.delay_max IS NOT NULL THEN extract(epoch FROM p.next_at - wablast_now()) END,
               (1 - (wablast_room(p, a, wablast_now())).tokens) / (a.per_second * wablast_slowed(p.slow, p.slowed_at, wablast_now())))::float8 AS seconds
             FROM account_pace p JOIN accounts a ON a.id = p.account_id
             WHERE p.account_id = $1 AND a.active AND a.health = 'running' AND wablast_pulled(a) = $3) s
         ), urgent AS (
           SELECT coalesce(extract(epoch FROM o.not_before - wablast_now()), 0)::float8 AS seconds FROM outgoing o
           WHERE o.account_id = $1 AND o.state = 'queued' AND o.kind <> 'mailing' ORDER BY o.not_before NULLS FIRST LIMIT 1
         ), mass AS (
           SELECT min(coalesce(extract(epoch FROM q.not_before - wablast_now()), 0))::float8 AS seconds FROM (
             (SELECT q.not_before FROM mailings m CROSS JOIN LATERAL (
                SELECT o.not_before FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'queued' AND o.not_before IS NULL
                  AND (o.opened_at IS NOT NULL OR NOT (SELECT batched FROM pace)) ORDER BY o.id LIMIT 1) q
              WHERE m.account_id = $1 AND m.state = 'sending')
             UNION ALL
             (SELECT q.not_before FROM mailings m CROSS JOIN LATERAL (
                SELECT o.not_before FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'queued' AND o.not_before IS NOT NULL
                  AND (o.opened_at IS NOT NULL OR NOT (SELECT batched FROM pace)) ORDER BY o.not_before LIMIT 1) q
              WHERE m.account_id = $1 AND m.state = 'sending')) q
         )
         SELECT least(greatest(pace.seconds, (SELECT u.seconds FROM urgent u)) + CASE WHEN EXISTS (SELECT FROM urgent) THEN 0 END,
           greatest(pace.mass, mass.seconds) + CASE WHEN mass.seconds IS NOT NULL THEN 0 END) AS seconds
         FROM pace, mass WHERE mass.seconds IS NOT NULL OR EXISTS (SELECT FROM urgent)",
    )
    .bind::<BigInt, _>(account)
    .bind::<Nullable<Timestamptz>, _>(mailings_until)
    .bind::<Bool, _>(by_pull)
    .get_result(conn)
    .await
    .optional()?;
    Ok(match waits.and_then(|waits| waits.seconds) {
        Some(seconds) if seconds.is_finite() => {
            Next::In(Duration::from_secs_f64(seconds.clamp(0.0, 3600.0)))
        }
        Some(_) => Next::In(Duration::ZERO),
        None => Next::Idle,
    })
}

/// Gives claimed messages back, unless somebody else holds them by now.
pub async fn give_back(conn: &mut AsyncPgConnection, claimed: &[Claimed]) -> QueryResult<usize> {
    let ids: Vec<OutgoingId> = claimed.iter().map(|one| one.id).collect();
    let fences: Vec<i32> = claimed.iter().map(|one| one.fence).collect();
    sql_query(
        "UPDATE outgoing o SET state = 'queued', fence = o.fence + 1, owner = NULL, lease_until = NULL
         FROM unnest($1::bigint[], $2::int[]) AS c(id, fence)
         WHERE o.id = c.id AND o.fence = c.fence AND o.state = 'claimed'",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Integer>, _>(fences)
    .execute(conn)
    .await
}

/// Gives back everything of an account that `owner` holds and has not begun, also what it claimed without
/// hearing the answer.
pub async fn give_back_all(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    owner: Uuid,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE outgoing SET state = 'queued', fence = fence + 1, owner = NULL, lease_until = NULL
         WHERE state = 'claimed' AND account_id = $1 AND owner = $2",
    )
    .bind::<BigInt, _>(account)
    .bind::<SqlUuid, _>(owner)
    .execute(conn)
    .await
}

/// Nothing of this account leaves before `wait` is over: its gateway asked for patience.
pub async fn block(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    wait: Duration,
    reason: &str,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE account_pace SET blocked_until = greatest(coalesce(blocked_until, '-infinity'), wablast_now() + make_interval(secs => $2)),
           blocked_reason = $3 WHERE account_id = $1",
    )
    .bind::<BigInt, _>(account)
    .bind::<Double, _>(wait.as_secs_f64())
    .bind::<Text, _>(reason)
    .execute(conn)
    .await
}

/// What the reaper found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Claimed by a holder that is gone: queued again, nothing was sent.
    pub requeued: usize,
    /// Begun by a holder that is gone: nobody knows, so they rest as uncertain.
    pub uncertain: usize,
    /// Past the moment after which they should not go, or until which their mailing was cancelled.
    pub expired: usize,
}

#[derive(QueryableByName)]
struct Lost {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    /// Its gateway counts the people its numbers write to.
    #[diesel(sql_type = Bool)]
    counts_people: bool,
}

/// Takes messages from holders whose lease is over, and out of the queue what may not leave any more: a
/// message that was to be tried again ends as it had ended, one of a cancelled mailing is cancelled.
pub async fn reap(conn: &mut AsyncPgConnection) -> QueryResult<Reaped> {
    let requeued = sql_query(
        "UPDATE outgoing SET state = 'queued', fence = fence + 1, owner = NULL, lease_until = NULL
         WHERE state = 'claimed' AND lease_until < wablast_now()",
    )
    .execute(conn)
    .await?;
    let uncertain: Vec<Lost> = sql_query(
        "WITH due AS (
           SELECT o.id, coalesce((SELECT starts_with(a.own_ref, $2) FROM attempts a WHERE a.outgoing_id = o.id AND a.fence = o.fence), false) AS pulled
           FROM outgoing o WHERE o.state = 'sending' AND o.lease_until < wablast_now() - make_interval(secs => $1)
         ), lost AS (
           UPDATE outgoing o SET state = 'uncertain', fence = o.fence + 1, owner = NULL, lease_until = NULL,
             code = CASE WHEN due.pulled THEN 'no_callback' ELSE 'worker_lost' END,
             reason = CASE WHEN due.pulled THEN $3 ELSE 'The process that was sending this message ended before it could note the answer.' END
           FROM due WHERE o.id = due.id AND o.state = 'sending' AND o.lease_until < wablast_now() - make_interval(secs => $1)
           RETURNING o.id, o.company_id, o.account_id, o.code, o.reason, o.fence - 1 AS fence, o.mailing_id
         ), late AS (
           -- One for each account: that a process ended is one event, however much it had begun.
           INSERT INTO late_marks (company_id, account_id, mark, reason)
           SELECT DISTINCT ON (account_id) company_id, account_id, 'u', reason FROM lost
         ), noted AS (
           UPDATE attempts a SET outcome = 'uncertain', code = lost.code FROM lost
           WHERE a.outgoing_id = lost.id AND a.fence = lost.fence AND a.outcome IS NULL
         ) SELECT lost.id, ac.provider = 'meta' AS counts_people FROM lost JOIN accounts ac ON ac.id = lost.account_id",
    )
    .bind::<Double, _>(seconds(GRACE_SECONDS))
    .bind::<Text, _>(pull::TOKEN)
    .bind::<Text, _>(pull::NOT_REPORTED)
    .load(conn)
    .await?;
    let counted = uncertain.iter().filter(|one| one.counts_people);
    reach::note(conn, &counted.map(|one| one.id).collect::<Vec<_>>()).await?;
    let expired = sql_query(
        "UPDATE outgoing o SET fence = o.fence + 1, owner = NULL, lease_until = NULL, opened_at = NULL,
           state = coalesce(w.ended, CASE WHEN w.canceled THEN 'canceled' ELSE 'expired' END),
           code = CASE WHEN w.ended IS NULL THEN o.code ELSE w.code END,
           reason = CASE WHEN w.ended IS NULL THEN o.reason ELSE w.reason END
         FROM (SELECT q.id, e.state AS ended, e.code, e.reason, m.state = 'canceled' AS canceled
               FROM outgoing q LEFT JOIN mailings m ON m.id = q.mailing_id
               LEFT JOIN LATERAL (SELECT l.state, l.code, l.reason FROM log_ends l WHERE l.outgoing_id = q.id ORDER BY l.log_id DESC LIMIT 1) e ON true
               WHERE q.state = 'queued' AND q.not_after <= wablast_now()) w
         WHERE o.id = w.id AND o.state = 'queued' AND o.not_after <= wablast_now()",
    )
    .execute(conn)
    .await?;
    Ok(Reaped {
        requeued,
        uncertain: uncertain.len(),
        expired,
    })
}

#[expect(clippy::cast_precision_loss, reason = "small constants")]
pub(super) fn seconds(seconds: i64) -> f64 {
    seconds as f64
}
