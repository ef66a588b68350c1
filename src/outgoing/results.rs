//! What outside workers report of the messages they fetched (`pull.rs`), each by the token of its try.
//!
//! Invariants: the first word about a try counts, and the same said again changes nothing; under an old fence only
//! its attempt changes, but for evidence: that a message left counts always, that it failed counts where nobody
//! tried again. A message that is back in the queue is never put there twice.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;

use super::record::{self, Outcome};
use super::{backoff, deliver, receipts};
use crate::accounts;
use crate::app::App;
use crate::error::Result;
use crate::gateways::redact;
use crate::gateways::{Accepted, FailureCode, SendError};
use crate::ids::{AccountId, CompanyId, LogId, OutgoingId};

/// What became of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PullStatus)]
pub enum Status {
    /// WhatsApp took it.
    Sent,
    /// It cannot reach this person; final.
    Failed,
    /// It certainly did not leave: it waits for another try.
    NotSent,
}

/// One report.
#[derive(Debug, Clone)]
pub struct Told {
    pub sent_id: i64,
    pub attempt: String,
    pub status: Status,
    pub provider_id: Option<String>,
    pub code: Option<String>,
    pub error: Option<String>,
    pub at: Option<DateTime<Utc>>,
}

/// What was done with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PullNoted)]
pub enum Noted {
    Recorded,
    /// The lease was over: kept as evidence.
    Late,
    /// It was known; nothing changed.
    Repeated,
    /// Something else was reported of this try before; nothing changed.
    Contradicted,
    /// There is no such try in this company.
    Unknown,
}

const HOLD: &str = "
SELECT o.id FROM outgoing o JOIN accounts ac ON ac.id = o.account_id
WHERE o.id = ANY ($1) AND ac.company_id = $2 ORDER BY o.id FOR UPDATE OF o";

const FIND: &str = "
SELECT a.outgoing_id AS id, a.account_id, a.fence, a.log_id, a.own_ref, a.outcome, o.attempts
FROM attempts a JOIN outgoing o ON o.id = a.outgoing_id JOIN accounts ac ON ac.id = a.account_id
WHERE a.outgoing_id = ANY ($1) AND a.own_ref = ANY ($3) AND ac.company_id = $2";

/// When it ended is what the worker says, within what is possible.
const TIMED: &str = "
WITH t AS (SELECT * FROM unnest($1::bigint[], $2::int[], $3::timestamptz[]) AS t(id, fence, at)), moved AS (
  UPDATE attempts a SET ended_at = least(wablast_now(), greatest(a.begun_at, t.at)) FROM t
  WHERE a.outgoing_id = t.id AND a.fence = t.fence RETURNING a.outgoing_id, a.fence, a.ended_at
)
UPDATE outgoing o SET accepted_at = moved.ended_at FROM moved
WHERE o.id = moved.outgoing_id AND o.fence = moved.fence AND o.state = 'accepted'";

/// A failure told after the lease, of a try that nothing else is known of.
const FAILED_LATE: &str = "
UPDATE attempts a SET rank = 3, failure = a.reason, failure_code = a.code
FROM unnest($1::bigint[], $2::int[]) AS t(id, fence) WHERE a.outgoing_id = t.id AND a.fence = t.fence AND a.rank = 0";

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Integer)]
    fence: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    log_id: Option<LogId>,
    #[diesel(sql_type = Text)]
    own_ref: String,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = SmallInt)]
    attempts: i16,
}

impl Found {
    /// What a report of this try means, by what was said of it before.
    fn judge(&self, status: Status) -> Noted {
        match (self.outcome.as_deref(), status) {
            (None, _) => Noted::Recorded,
            // The reaper gave it up; or it was taken back, and left after all.
            (Some("uncertain"), _) | (Some("not_sent"), Status::Sent) => Noted::Late,
            (Some("accepted"), Status::Sent)
            | (Some("refused"), Status::Failed)
            | (Some("not_sent"), Status::NotSent) => Noted::Repeated,
            _ => Noted::Contradicted,
        }
    }

    fn outcome(&self, told: &Told, secrets: &[SecretString]) -> Outcome {
        let (code, words) = said(told, secrets);
        let result = match told.status {
            Status::Sent => Ok(Accepted {
                provider_id: told.provider_id.clone(),
                held: false,
            }),
            Status::Failed => Err(SendError::Refused {
                code: code.unwrap_or(FailureCode::GatewayRefused),
                reason: format!("The worker reported a failure: {words}"),
            }),
            Status::NotSent => Err(SendError::NotSent {
                after: None,
                code: code.unwrap_or(FailureCode::Unreachable),
                reason: format!("The worker did not send it: {words}"),
            }),
        };
        let tries = u32::from(self.attempts.unsigned_abs());
        Outcome {
            id: self.id,
            account: self.account_id,
            fence: self.fence,
            log: self.log_id,
            counts_people: false,
            wait: match &result {
                Err(SendError::NotSent { code, .. }) if *code == FailureCode::PairLimited => {
                    backoff::of_a_pair(self.attempts)
                }
                Err(error) if error.stays() => backoff::wait(tries, None, crate::random::jitter()),
                _ => Duration::ZERO,
            },
            result,
        }
    }
}

/// A code of ours where the worker uses one; any other stands in the words.
fn said(told: &Told, secrets: &[SecretString]) -> (Option<FailureCode>, String) {
    let given = told.code.as_deref().map(str::trim).unwrap_or_default();
    let ours = FailureCode::ALL
        .into_iter()
        .filter(|code| {
            !matches!(
                code,
                FailureCode::WorkerLost
                    | FailureCode::DatabaseWentBack
                    | FailureCode::HandedOver
                    | FailureCode::NoCallback
            )
        })
        .find(|code| code.as_str() == given);
    let error = told.error.as_deref().map(str::trim).unwrap_or_default();
    let words = match (ours.is_some() || given.is_empty(), error.is_empty()) {
        (true, false) => error.to_owned(),
        (false, false) => format!("{given}: {error}"),
        (false, true) => given.to_owned(),
        (true, true) => "no reason given".to_owned(),
    };
    (ours, redact::words(&words, secrets))
}

/// Notes reports; `company` owns the accounts they were fetched from. What was done, in their order.
pub async fn note(app: &App, company: CompanyId, told: &[Told]) -> Result<Vec<Noted>> {
    let mut conn = app.db.system().await?;
    let ids: Vec<i64> = told.iter().map(|one| one.sent_id).collect();
    let tokens: Vec<&str> = told.iter().map(|one| one.attempt.as_str()).collect();
    let secrets = secrets(app, &mut conn, company, &ids).await?;
    let (noted, outcomes) = conn
        .transaction(async |conn| {
            sql_query(HOLD)
                .bind::<Array<BigInt>, _>(&ids)
                .bind::<BigInt, _>(company)
                .execute(conn)
                .await?;
            let found: Vec<Found> = sql_query(FIND)
                .bind::<Array<BigInt>, _>(&ids)
                .bind::<BigInt, _>(company)
                .bind::<Array<Text>, _>(&tokens)
                .load(conn)
                .await?;
            let judged = judge(&found, told);
            let mut outcomes = Vec::new();
            for (found, told, noted) in fresh(&found, told, &judged) {
                let secrets = secrets
                    .get(&found.account_id)
                    .map_or(&[][..], Vec::as_slice);
                outcomes.push((found.outcome(told, secrets), noted));
            }
            let (in_time, late): (Vec<_>, Vec<_>) = outcomes
                .into_iter()
                .partition(|(_, noted)| *noted == Noted::Recorded);
            let bare = |all: Vec<(Outcome, Noted)>| -> Vec<Outcome> {
                all.into_iter().map(|(outcome, _)| outcome).collect()
            };
            let (in_time, late) = (bare(in_time), bare(late));
            record::record(conn, &in_time).await?;
            record::record(conn, &late).await?;
            failed_late(conn, &late).await?;
            timed(conn, &found, told, &judged).await?;
            QueryResult::Ok((judged, in_time))
        })
        .await?;
    deliver::follow(&mut conn, &outcomes).await?;
    Ok(noted)
}

/// What is done with each; of two that name one try in one call the first counts.
fn judge(found: &[Found], told: &[Told]) -> Vec<Noted> {
    let mut seen: HashMap<&str, Status> = HashMap::new();
    let mut judged = Vec::with_capacity(told.len());
    for one in told {
        let known = found
            .iter()
            .find(|found| found.own_ref == one.attempt && found.id.0 == one.sent_id);
        judged.push(match (known, seen.get(one.attempt.as_str())) {
            (None, _) => Noted::Unknown,
            (Some(_), Some(before)) if *before == one.status => Noted::Repeated,
            (Some(_), Some(_)) => Noted::Contradicted,
            (Some(found), None) => {
                seen.insert(&one.attempt, one.status);
                found.judge(one.status)
            }
        });
    }
    judged
}

/// Those that change something.
fn fresh<'a>(
    found: &'a [Found],
    told: &'a [Told],
    judged: &'a [Noted],
) -> impl Iterator<Item = (&'a Found, &'a Told, Noted)> {
    told.iter()
        .zip(judged)
        .filter(|(_, noted)| matches!(noted, Noted::Recorded | Noted::Late))
        .filter_map(|(told, noted)| {
            let known = found.iter().find(|found| found.own_ref == told.attempt)?;
            Some((known, told, *noted))
        })
}

async fn failed_late(conn: &mut AsyncPgConnection, late: &[Outcome]) -> QueryResult<()> {
    let (ids, fences): (Vec<OutgoingId>, Vec<i32>) = late
        .iter()
        .filter(|one| matches!(one.result, Err(SendError::Refused { .. })))
        .map(|one| (one.id, one.fence))
        .unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sql_query(FAILED_LATE)
        .bind::<Array<BigInt>, _>(&ids)
        .bind::<Array<Integer>, _>(&fences)
        .execute(conn)
        .await?;
    receipts::weigh(conn, &ids).await?;
    Ok(())
}

async fn timed(
    conn: &mut AsyncPgConnection,
    found: &[Found],
    told: &[Told],
    judged: &[Noted],
) -> QueryResult<()> {
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for (found, told, _) in fresh(found, told, judged) {
        if let Some(at) = told.at {
            all.0.push(found.id);
            all.1.push(found.fence);
            all.2.push(at);
        }
    }
    if all.0.is_empty() {
        return Ok(());
    }
    sql_query(TIMED)
        .bind::<Array<BigInt>, _>(all.0)
        .bind::<Array<Integer>, _>(all.1)
        .bind::<Array<Timestamptz>, _>(all.2)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Whose {
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
}

/// What must never stand in a worker's words, account by account.
async fn secrets(
    app: &App,
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    ids: &[i64],
) -> Result<HashMap<AccountId, Vec<SecretString>>> {
    let whose: Vec<Whose> = sql_query(
        "SELECT DISTINCT o.account_id FROM outgoing o JOIN accounts ac ON ac.id = o.account_id
         WHERE o.id = ANY ($1) AND ac.company_id = $2",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<BigInt, _>(company)
    .load(conn)
    .await?;
    let mut all = HashMap::new();
    for Whose { account_id } in whose {
        let account = accounts::query::find(conn, account_id).await?;
        let flow = accounts::flow::of(conn, account_id).await?;
        all.insert(account_id, account.secrets(app, &flow)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(outcome: Option<&str>) -> Found {
        Found {
            id: OutgoingId(1),
            account_id: AccountId(1),
            fence: 1,
            log_id: None,
            own_ref: "pull-x".into(),
            outcome: outcome.map(str::to_owned),
            attempts: 1,
        }
    }

    #[test]
    fn the_first_word_counts_and_that_it_left_counts_always() {
        for (before, status, noted) in [
            (None, Status::Sent, Noted::Recorded),
            (None, Status::NotSent, Noted::Recorded),
            (Some("uncertain"), Status::Sent, Noted::Late),
            (Some("uncertain"), Status::Failed, Noted::Late),
            (Some("accepted"), Status::Sent, Noted::Repeated),
            (Some("accepted"), Status::NotSent, Noted::Contradicted),
            (Some("accepted"), Status::Failed, Noted::Contradicted),
            (Some("refused"), Status::Failed, Noted::Repeated),
            (Some("not_sent"), Status::NotSent, Noted::Repeated),
            (Some("not_sent"), Status::Sent, Noted::Late),
            (Some("not_sent"), Status::Failed, Noted::Contradicted),
        ] {
            assert_eq!(found(before).judge(status), noted, "{before:?} {status:?}");
        }
    }

    #[test]
    fn a_code_of_ours_is_one_and_any_other_is_words() {
        let told = |code: Option<&str>, error: Option<&str>| Told {
            sent_id: 1,
            attempt: "pull-x".into(),
            status: Status::Failed,
            provider_id: None,
            code: code.map(str::to_owned),
            error: error.map(str::to_owned),
            at: None,
        };
        let read = |code, error| said(&told(code, error), &[]);
        assert_eq!(
            read(Some("not_on_whatsapp"), Some("no such number")),
            (Some(FailureCode::NotOnWhatsapp), "no such number".into())
        );
        assert_eq!(read(Some("422"), Some("x")), (None, "422: x".into()));
        assert_eq!(
            read(Some("worker_lost"), None),
            (None, "worker_lost".into())
        );
        assert_eq!(read(None, None), (None, "no reason given".into()));
        let hidden = read(None, Some("Basic dXNlcjpwYXNzd29yZA==")).1;
        assert!(!hidden.contains("dXNl"), "{hidden}");
    }
}
