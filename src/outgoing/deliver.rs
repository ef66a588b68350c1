//! The deliverer of a process: a worker for every account that has something to send, one recorder,
//! and the reaper.
//!
//! Invariant: a graceful stop claims nothing more, gives back what it claimed, and lets what has begun
//! end and be recorded.

use std::collections::HashMap;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::governor::{self, Trouble};
use super::record::{self, Outcome};
use super::remember::Memory;
use super::worker::{Ended, Worker};
use super::{autopause, handed_over, pace, queue, receipts, stops};
use crate::accounts::{self, health};
use crate::app::App;
use crate::crash;
use crate::gateways::webhook::Probe;
use crate::gateways::webhook::classify::look_again;
use crate::gateways::{FailureCode, SendError};
use crate::ids::{AccountId, LogId};
use crate::logs;

/// How often accounts with work are looked for when nobody wakes us.
const LOOK: Duration = Duration::from_millis(500);
const REAP: Duration = Duration::from_secs(5);
const SWEEP: Duration = Duration::from_secs(10);
/// Outcomes of one statement.
const BATCH: usize = 500;

/// Delivers until `stop` turns true and everything begun is recorded.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let owner = Uuid::new_v4();
    let memory = Memory::default();
    let (sender, receiver) = mpsc::channel::<Ended>(4 * BATCH);
    let recorder = tokio::spawn(record_all(app.clone(), receiver));
    let mut workers: HashMap<AccountId, JoinHandle<anyhow::Result<()>>> = HashMap::new();
    while !*stop.borrow() {
        workers.retain(|_, worker| !worker.is_finished());
        match find_work(&app, &memory).await {
            Ok(accounts) => {
                for account in accounts {
                    workers.entry(account).or_insert_with(|| {
                        let (sender, stop) = (sender.clone(), stop.clone());
                        let worker =
                            Worker::new(app.clone(), account, owner, sender, stop, memory.clone());
                        tokio::spawn(async move {
                            let ended = worker.run().await;
                            if let Err(error) = &ended {
                                tracing::error!(
                                    account = account.0,
                                    "delivering stopped: {error:#}"
                                );
                            }
                            ended
                        })
                    });
                }
            }
            Err(error) => tracing::error!("looking for work: {error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = app.wake.deliver.notified() => {}
            // Whoever could say stop is gone: nothing would ever change again.
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
    for (_, worker) in workers {
        let _ = worker.await;
    }
    // The recorder ends when the last request has reported.
    drop(sender);
    let _ = recorder.await;
}

async fn find_work(app: &App, memory: &Memory) -> anyhow::Result<Vec<AccountId>> {
    let mut conn = app.db.system().await?;
    memory.assure(app, &mut conn).await?;
    Ok(queue::accounts_with_work(&mut conn).await?)
}

async fn record_all(app: App, mut receiver: mpsc::Receiver<Ended>) {
    while let Some(first) = receiver.recv().await {
        let mut ended = vec![first];
        while ended.len() < BATCH {
            match receiver.try_recv() {
                Ok(next) => ended.push(next),
                Err(_) => break,
            }
        }
        let (outcomes, places): (Vec<Outcome>, Vec<_>) = ended.into_iter().unzip();
        until_taken(&app, &outcomes, Step::Record).await;
        // What went well changes nothing for those that come next.
        let well = outcomes.iter().all(|one| one.result.is_ok());
        let places = (!well).then_some(places);
        until_taken(&app, &outcomes, Step::Follow).await;
        drop(places);
        app.wake.settle.notify_one();
    }
}

#[derive(Clone, Copy)]
enum Step {
    Record,
    Follow,
}

/// The database may be away: outcomes are kept until it takes them.
async fn until_taken(app: &App, outcomes: &[Outcome], step: Step) {
    let mut wait = Duration::from_millis(50);
    loop {
        let done = match step {
            Step::Record => record_batch(app, outcomes).await,
            Step::Follow => follow_batch(app, outcomes).await,
        };
        let Err(error) = done else { return };
        tracing::error!(
            "recording {} outcomes, trying again: {error:#}",
            outcomes.len()
        );
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}

async fn follow_batch(app: &App, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    follow(&mut conn, outcomes).await
}

async fn record_batch(app: &App, outcomes: &[Outcome]) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    record::record(&mut conn, outcomes).await?;
    crash::here("record.done");
    Ok(())
}

/// What recorded outcomes mean for their accounts, logs and mailings.
pub(super) async fn follow(
    conn: &mut AsyncPgConnection,
    outcomes: &[Outcome],
) -> anyhow::Result<()> {
    let said: HashMap<LogId, String> = outcomes
        .iter()
        .filter_map(|one| Some((one.log?, one.result.as_ref().err()?)))
        // What a flow has and will report is no error.
        .filter(|(_, error)| error.code() != FailureCode::HandedOver)
        .map(|(log, error)| (log, error.reason().to_owned()))
        .collect();
    if !said.is_empty() {
        logs::gateway_said(conn, &said.into_iter().collect::<Vec<_>>()).await?;
    }
    for outcome in outcomes {
        match &outcome.result {
            Err(SendError::AccountStop { code, reason })
                if *code == FailureCode::WorkflowInactive =>
            {
                let wait = look_again(crate::random::jitter());
                health::stop_for(conn, outcome.account, code.as_str(), reason, wait).await?;
            }
            Err(SendError::AccountStop { code, reason }) => {
                health::stop(conn, outcome.account, code.as_str(), reason).await?;
            }
            // One person gets too many: the others go on.
            Err(SendError::NotSent { code, .. }) if *code == FailureCode::PairLimited => {}
            // The account's gateway asked for patience, or cannot be reached: nobody else needs to try.
            Err(SendError::NotSent { reason, code, .. }) => {
                if *code == FailureCode::RateLimited {
                    pace::slow_down(conn, outcome.account).await?;
                }
                queue::block(conn, outcome.account, outcome.wait, reason).await?;
            }
            Err(error) if error.reason().contains("error 463") => {
                governor::trouble(conn, outcome.account, Trouble::ColdContact).await?;
            }
            _ => {}
        }
    }
    give_room_back(conn, outcomes).await?;
    autopause::note(conn, outcomes).await?;
    stops::note(conn, outcomes).await?;
    Ok(())
}

/// What did not leave does not count against its account's caps.
async fn give_room_back(conn: &mut AsyncPgConnection, outcomes: &[Outcome]) -> QueryResult<()> {
    let mut stayed: HashMap<AccountId, usize> = HashMap::new();
    for outcome in outcomes {
        if outcome.result.as_ref().is_err_and(SendError::stays) {
            *stayed.entry(outcome.account).or_default() += 1;
        }
    }
    for (account, messages) in stayed {
        pace::give_room_back(conn, account, messages).await?;
    }
    Ok(())
}

/// Takes messages from holders that are gone, and applies receipts that came too early.
pub async fn housekeeping(app: App, mut stop: watch::Receiver<bool>) {
    let mut reap = tokio::time::interval(REAP);
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let done = tokio::select! {
            _ = reap.tick() => regularly(&app).await,
            _ = sweep.tick() => sweep_once(&app).await,
            _ = stop.changed() => return,
        };
        if let Err(error) = done {
            tracing::error!("housekeeping: {error:#}");
        }
    }
}

async fn regularly(app: &App) -> anyhow::Result<()> {
    reap_once(app).await?;
    expire_handed_over(app).await?;
    look_at_stopped(app).await
}

/// Messages that a flow took and did not report in time become uncertain, and their logs say so.
pub async fn expire_handed_over(app: &App) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    let late = handed_over::expire(&mut conn).await?;
    if late.is_empty() {
        return Ok(());
    }
    tracing::warn!(messages = late.len(), "a flow did not report in time");
    let runs: HashMap<LogId, String> = late
        .into_iter()
        .flatten()
        .map(|log| (log, handed_over::NO_CALLBACK.to_owned()))
        .collect();
    logs::gateway_said(&mut conn, &runs.into_iter().collect::<Vec<_>>()).await?;
    app.wake.settle.notify_one();
    Ok(())
}

/// Accounts that stopped because nothing listened at their webhook: those whose flow is not certainly
/// off go on with the next message.
pub async fn look_at_stopped(app: &App) -> anyhow::Result<()> {
    let due = {
        let mut conn = app.db.system().await?;
        health::due_for_retry(&mut conn, look_again(crate::random::jitter())).await?
    };
    for id in due {
        let (account, flow) = {
            let mut conn = app.db.system().await?;
            let account = accounts::query::find(&mut conn, id).await?;
            (account, accounts::flow::of(&mut conn, id).await?)
        };
        // No connection is held while the webhook answers.
        let probe = match account.webhook(app, &flow) {
            Ok(webhook) if account.sends_through_webhook() => webhook.probe().await,
            _ => Probe::Try,
        };
        if probe == Probe::Try {
            let mut conn = app.db.system().await?;
            health::may_try_again(&mut conn, id).await?;
            app.wake.deliver.notify_one();
        }
    }
    Ok(())
}

pub async fn reap_once(app: &App) -> anyhow::Result<queue::Reaped> {
    let mut conn = app.db.system().await?;
    let reaped = queue::reap(&mut conn).await?;
    if reaped != queue::Reaped::default() {
        tracing::warn!(
            requeued = reaped.requeued,
            uncertain = reaped.uncertain,
            expired = reaped.expired,
            "took messages from holders that are gone"
        );
        app.wake.deliver.notify_one();
        app.wake.settle.notify_one();
    }
    Ok(reaped)
}

async fn sweep_once(app: &App) -> anyhow::Result<()> {
    use diesel_async::AsyncConnection as _;
    let mut conn = app.db.system().await?;
    let touched = conn
        .transaction(async |conn| receipts::sweep(conn).await)
        .await?;
    if !touched.is_empty() {
        app.wake.settle.notify_one();
    }
    Ok(())
}
