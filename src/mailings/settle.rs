//! Settling: the state of a mailing as a function of its messages.
//!
//! Invariants: taken again whenever the messages may have changed; draft, submitted, missed and canceled
//! never change by them; skipped and canceled messages are not failures. Decided by signs that cost the
//! same at ten messages and at a million, never by counting all of them.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::{Mailing, State, query};
use crate::app::App;
use crate::ids::{MailingId, OutgoingId};
use crate::logs;
use crate::outgoing::query::counts_of_log;
use crate::outgoing::tally::{Signs, signs};
use crate::prepared::prepared;

/// What the messages say. `None`: stays as it is.
pub fn verdict(state: State, release_done: bool, signs: Signs) -> Option<State> {
    use State as S;
    if !matches!(
        state,
        S::Sending | S::Paused | S::Done | S::PartialFailure | S::Failed
    ) {
        return None;
    }
    let verdict = if !release_done || signs.open {
        if state == S::Paused {
            S::Paused
        } else {
            S::Sending
        }
    } else if !signs.sent && !signs.uncertain {
        S::Failed
    } else if signs.failed {
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

/// Settles every mailing that runs without open messages. Asked every second.
pub async fn all(app: &App) -> anyhow::Result<usize> {
    settle_those(
        app,
        "m.state IN ('sending', 'paused') AND m.release_done
           AND NOT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state IN ('queued', 'claimed', 'sending'))
           AND NOT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'uncertain' AND o.code = 'handed_over')",
    )
    .await
}

/// Looks again at those that ended within the last hour. What changes how a mailing ended settles it in its
/// own transaction ([`of_messages`]); this is for what nobody thought of.
pub async fn ended(app: &App) -> anyhow::Result<usize> {
    settle_those(
        app,
        "m.state IN ('done', 'partial_failure', 'failed') AND m.finished_at > wablast_now() - interval '1 hour'",
    )
    .await
}

async fn settle_those(app: &App, which: &str) -> anyhow::Result<usize> {
    let mut conn = app.db.system().await?;
    let candidates: Vec<Candidate> = sql_query(format!(
        "SELECT m.id FROM mailings m WHERE {which} ORDER BY m.id"
    ))
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
    if messages.is_empty() {
        return Ok(());
    }
    let touched: Vec<Candidate> = prepared(
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
    Ok(verdict(State::Sending, true, Signs::from(&counts)))
}

/// Settles one mailing; true when its state changed.
pub async fn one(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<bool> {
    conn.transaction(async |conn| {
        let mailing = query::lock(conn, id).await?;
        let signs = signs(conn, id).await?;
        let Some(state) = verdict(mailing.state(), mailing.release_done, signs) else { return Ok(false) };
        let nobody = state == State::Failed && !signs.failed;
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
        // What a gateway said on the way is no news of a run that reached everybody.
        let well = run == Some(State::Done) && !signs.uncertain;
        logs::settle(conn, id, run.map_or("running", State::as_str), reason, well).await?;
        Ok(true)
    })
    .await
}
