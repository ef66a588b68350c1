//! Settling: the state of a mailing as a function of its messages.
//!
//! Invariant: taken again whenever the counts may have changed; draft, submitted, missed and canceled
//! never change by counts; skipped and canceled messages are not failures.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::{Mailing, State, query};
use crate::app::App;
use crate::ids::{MailingId, OutgoingId};
use crate::logs;
use crate::outgoing::query::{Counts, counts, counts_of_log};

/// What the counts say. `None`: stays as it is.
pub fn verdict(state: State, release_done: bool, counts: &Counts) -> Option<State> {
    use State as S;
    if !matches!(
        state,
        S::Sending | S::Paused | S::Done | S::PartialFailure | S::Failed
    ) {
        return None;
    }
    let open = !release_done || counts.open() > 0 || counts.handed_over() > 0;
    let verdict = if open {
        if state == S::Paused {
            S::Paused
        } else {
            S::Sending
        }
    } else if counts.sent() == 0 && counts.of("uncertain") == 0 {
        S::Failed
    } else if counts.failed() > 0 {
        S::PartialFailure
    } else {
        S::Done
    };
    (verdict != state).then_some(verdict)
}

#[derive(QueryableByName)]
struct Candidate {
    #[diesel(sql_type = BigInt)]
    id: MailingId,
}

/// Settles every mailing that runs without open messages, and looks again at those that ended within
/// the last hour: late answers change how they ended.
pub async fn all(app: &App) -> anyhow::Result<usize> {
    let mut conn = app.db.system().await?;
    let candidates: Vec<Candidate> = sql_query(
        "SELECT m.id FROM mailings m
         WHERE (m.state IN ('sending', 'paused') AND m.release_done
                AND NOT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state IN ('queued', 'claimed', 'sending'))
                AND NOT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'uncertain' AND o.code = 'handed_over'))
           OR (m.state IN ('done', 'partial_failure', 'failed') AND m.finished_at > wablast_now() - interval '1 hour')
         ORDER BY m.id",
    )
    .load(&mut *conn)
    .await?;
    let mut changed = 0;
    for candidate in candidates {
        changed += usize::from(one(&mut conn, candidate.id).await?);
    }
    Ok(changed)
}

/// Settles the mailings of these messages.
pub async fn of_messages(conn: &mut AsyncPgConnection, messages: &[OutgoingId]) -> QueryResult<()> {
    let touched: Vec<Candidate> = sql_query(
        "SELECT DISTINCT m.id FROM outgoing o JOIN mailings m ON m.id = o.mailing_id
         WHERE o.id = ANY ($1) AND m.state IN ('done', 'partial_failure', 'failed') ORDER BY m.id",
    )
    .bind::<Array<BigInt>, _>(messages)
    .load(conn)
    .await?;
    for mailing in touched {
        one(conn, mailing.id).await?;
    }
    Ok(())
}

/// How the last run of a mailing ended, by its own messages; `None` while it runs. A retry that reached
/// everybody it went to is done, also when others of the mailing had failed for good before.
async fn run_state(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    state: State,
) -> QueryResult<Option<State>> {
    if !matches!(state, State::Done | State::PartialFailure | State::Failed) {
        return Ok(None);
    }
    let Some(log) = mailing.log_id else {
        return Ok(Some(state));
    };
    let counts = counts_of_log(conn, mailing.id, log).await?;
    Ok(verdict(State::Sending, true, &counts))
}

/// Settles one mailing; true when its state changed.
pub async fn one(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<bool> {
    conn.transaction(async |conn| {
        let mailing = query::lock(conn, id).await?;
        let counts = counts(conn, id).await?;
        let Some(state) = verdict(mailing.state(), mailing.release_done, &counts) else { return Ok(false) };
        let nobody = state == State::Failed && counts.failed() == 0;
        let reason = nobody.then_some("Nobody was left to send to: everybody was left out.");
        sql_query(
            "UPDATE mailings SET state = $2, state_reason = $3, updated_at = wablast_now(),
               finished_at = CASE WHEN $2 IN ('sending', 'paused') THEN NULL ELSE coalesce(finished_at, wablast_now()) END
             WHERE id = $1",
        )
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(state.as_str())
        .bind::<Nullable<Text>, _>(reason)
        .execute(conn)
        .await?;
        let run = run_state(conn, &mailing, state).await?;
        logs::settle(conn, id, run.map_or("running", State::as_str), reason).await?;
        Ok(true)
    })
    .await
}
