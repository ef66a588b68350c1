//! What became of begun messages, written in batches.
//!
//! Invariants: the attempt is always completed, whatever the message's state is by then; the message
//! moves only under its fence; an outcome that comes after the reaper counts as evidence. What was simply accepted,
//! which is nearly everything, is one statement: the places of its requests are free one round trip later.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::{reach, receipts};
use crate::crash;
use crate::gateways::{Accepted, FailureCode, HELD, SendError};
use crate::ids::{AccountId, LogId, OutgoingId};
use crate::prepared::prepared;

/// The end of one attempt.
#[derive(Debug)]
pub struct Outcome {
    pub id: OutgoingId,
    pub account: AccountId,
    pub fence: i32,
    pub log: Option<LogId>,
    pub result: Result<Accepted, SendError>,
    /// For an outcome that proves nothing was sent: how long this message waits.
    pub wait: Duration,
    /// Whether the gateway counts the people its numbers write to.
    pub counts_people: bool,
}

impl Outcome {
    /// It left, or may have, and its person counts.
    fn reached(&self) -> bool {
        self.counts_people && matches!(self.result, Ok(_) | Err(SendError::Uncertain { .. }))
    }

    /// Accepted, and nobody needs to know but the message.
    fn is_plain(&self) -> bool {
        self.result.is_ok() && !self.counts_people
    }

    fn provider_id(&self) -> Option<&str> {
        self.result.as_ref().ok()?.provider_id.as_deref()
    }

    /// The word of `attempts.outcome`.
    fn word(&self) -> &'static str {
        match &self.result {
            Ok(_) => "accepted",
            Err(SendError::NotSent { .. }) => "not_sent",
            Err(SendError::AccountStop { .. }) => "account_stop",
            Err(SendError::MailingStop { .. }) => "mailing_stop",
            Err(SendError::Refused { .. }) => "refused",
            Err(SendError::Uncertain { .. }) => "uncertain",
        }
    }
}

/// Messages are locked before their attempts, in the order of their ids, as `receipts` does: two that
/// write the same rows never wait for each other. `o.state || ''`: they are found by their ids, never by an index of states.
/// `$9`: also the attempts of messages that do not move, whose end is evidence; only in a transaction that weighs it.
const RECORD: &str = "
WITH r AS (
  SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[], $8::bigint[])
    AS t(id, fence, outcome, provider_id, code, reason, wait, account_id)
), held AS (
  SELECT o.id FROM outgoing o WHERE o.id = ANY ($1) ORDER BY o.id FOR UPDATE
), moved AS (
  UPDATE outgoing o SET owner = NULL, lease_until = NULL,
    state = CASE r.outcome WHEN 'accepted' THEN 'accepted' WHEN 'refused' THEN 'failed' WHEN 'uncertain' THEN 'uncertain' ELSE 'queued' END,
    code = r.code, reason = r.reason, provider_id = coalesce(r.provider_id, o.provider_id),
    accepted_at = CASE WHEN r.outcome = 'accepted' THEN wablast_now() ELSE o.accepted_at END,
    failed_at = CASE WHEN r.outcome = 'refused' THEN wablast_now() ELSE o.failed_at END,
    not_before = CASE WHEN r.outcome = 'not_sent' AND r.wait > 0 THEN wablast_now() + make_interval(secs => r.wait) END,
    settles_at = CASE WHEN r.code = 'handed_over' THEN wablast_now()
      + (SELECT make_interval(mins => ac.callback_minutes) FROM accounts ac WHERE ac.id = o.account_id) END
  FROM r WHERE o.id = r.id AND o.fence = r.fence AND o.state || '' = 'sending' AND (SELECT count(*) FROM held) >= 0
  RETURNING o.id
), ended AS (
  UPDATE attempts a SET ended_at = wablast_now(), outcome = r.outcome, code = r.code, reason = r.reason,
    provider_id = coalesce(a.provider_id, r.provider_id),
    rank = CASE WHEN r.outcome = 'accepted' THEN greatest(a.rank, 1::smallint) ELSE a.rank END
  FROM r WHERE a.outgoing_id = r.id AND a.fence = r.fence AND (SELECT count(*) FROM moved) >= 0
    AND ($9 OR r.id = ANY (ARRAY(SELECT id FROM moved)))
)
SELECT r.id, (moved.id IS NOT NULL) AS moved,
  coalesce((SELECT true FROM parked_receipts p WHERE p.account_id = r.account_id AND p.reference = r.provider_id LIMIT 1), false) AS parked
FROM r LEFT JOIN moved ON moved.id = r.id";

#[derive(QueryableByName)]
struct Recorded {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    #[diesel(sql_type = Bool)]
    moved: bool,
    /// Receipts came before it was known.
    #[diesel(sql_type = Bool)]
    parked: bool,
}

/// Records a batch. Receipts that were parked for these messages are applied in the transaction of what is not plain,
/// else right behind it, or by the sweep where the process ends in between.
pub async fn record(conn: &mut AsyncPgConnection, outcomes: &[Outcome]) -> QueryResult<()> {
    if outcomes.is_empty() {
        return Ok(());
    }
    if !outcomes.iter().all(Outcome::is_plain) {
        return with_evidence(conn, &outcomes.iter().collect::<Vec<_>>()).await;
    }
    let all: Vec<&Outcome> = outcomes.iter().collect();
    crash::here("record.write");
    let recorded = write(conn, &all, false).await?;
    let done: HashSet<OutgoingId> = recorded
        .iter()
        .filter(|one| one.moved && !one.parked)
        .map(|one| one.id)
        .collect();
    let left: Vec<&Outcome> = all
        .into_iter()
        .filter(|one| !done.contains(&one.id))
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    with_evidence(conn, &left).await
}

/// One transaction: with parked receipts, with what refusals say, and with what came late.
async fn with_evidence(conn: &mut AsyncPgConnection, outcomes: &[&Outcome]) -> QueryResult<()> {
    conn.transaction(async |conn| {
        let recorded = write(conn, outcomes, true).await?;
        let known: Vec<(AccountId, &str)> = outcomes
            .iter()
            .filter_map(|one| Some((one.account, one.provider_id()?)))
            .collect();
        receipts::apply_parked_for(conn, &known).await?;
        note_signs(conn, outcomes).await?;
        let reached = outcomes.iter().filter(|one| one.reached());
        reach::note(conn, &reached.map(|one| one.id).collect::<Vec<_>>()).await?;
        let late: Vec<OutgoingId> = recorded
            .iter()
            .filter(|one| !one.moved)
            .map(|one| one.id)
            .collect();
        if !late.is_empty() {
            receipts::weigh(conn, &late).await?;
        }
        crash::here("record.write");
        QueryResult::Ok(())
    })
    .await
}

/// The statement. `all`: also attempts whose messages do not move.
async fn write(
    conn: &mut AsyncPgConnection,
    outcomes: &[&Outcome],
    all: bool,
) -> QueryResult<Vec<Recorded>> {
    let ids: Vec<OutgoingId> = outcomes.iter().map(|one| one.id).collect();
    let fences: Vec<i32> = outcomes.iter().map(|one| one.fence).collect();
    let words: Vec<&str> = outcomes.iter().map(|one| one.word()).collect();
    let provider_ids: Vec<Option<&str>> = outcomes.iter().map(|one| one.provider_id()).collect();
    let codes: Vec<Option<&str>> = outcomes
        .iter()
        .map(|one| match &one.result {
            Ok(accepted) => accepted.held.then_some(HELD),
            Err(error) => Some(error.code().as_str()),
        })
        .collect();
    let reasons: Vec<Option<&str>> = outcomes
        .iter()
        .map(|one| one.result.as_ref().err().map(SendError::reason))
        .collect();
    let waits: Vec<f64> = outcomes.iter().map(|one| one.wait.as_secs_f64()).collect();
    let accounts: Vec<AccountId> = outcomes.iter().map(|one| one.account).collect();
    prepared(RECORD)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Integer>, _>(fences)
        .bind::<Array<Text>, _>(words)
        .bind::<Array<Nullable<Text>>, _>(provider_ids)
        .bind::<Array<Nullable<Text>>, _>(codes)
        .bind::<Array<Nullable<Text>>, _>(reasons)
        .bind::<Array<Double>, _>(waits)
        .bind::<Array<BigInt>, _>(accounts)
        .bind::<Bool, _>(all)
        .load(conn)
        .await
}

/// What a refusal says of its person is followed by whoever knows people.
async fn note_signs(conn: &mut AsyncPgConnection, outcomes: &[&Outcome]) -> QueryResult<()> {
    let (mut ids, mut codes) = (Vec::new(), Vec::new());
    for one in outcomes {
        if let Err(SendError::Refused { code, .. }) = &one.result
            && matches!(code, FailureCode::Unsubscribed | FailureCode::NotOnWhatsapp)
            && one.counts_people
        {
            ids.push(one.id);
            codes.push(code.as_str());
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    prepared(
        "INSERT INTO told_signs (outgoing_id, company_id, code)
         SELECT o.id, o.company_id, t.code FROM unnest($1::bigint[], $2::text[]) AS t(id, code) JOIN outgoing o ON o.id = t.id
         ON CONFLICT DO NOTHING",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Text>, _>(codes)
    .execute(conn)
    .await?;
    Ok(())
}
