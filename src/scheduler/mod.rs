//! Scheduled Actions: named periodic work inside the process.
//!
//! Invariants: the due time is a row; a slot runs once over all instances (compare-and-swap on the row,
//! UNIQUE (job, slot)); missed slots collapse into one run; a run that panics stops nobody. Changing a
//! row works without restart. Owns `jobs` and `job_runs`.

pub mod jobs;
pub mod query;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_cron_scheduler::{Job as Tick, JobScheduler};

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::intake;
use crate::mailings::{release, settle};

/// Looks for due jobs every second, until `stop`.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    let mut ticks = JobScheduler::new()
        .await
        .context("starting the ticks of the jobs")?;
    let (ticking, stopped) = (app.clone(), stop.clone());
    ticks
        .add(Tick::new_async("* * * * * *", move |_, _| {
            let (app, stopped) = (ticking.clone(), stopped.clone());
            Box::pin(async move {
                if *stopped.borrow() {
                    return;
                }
                if let Err(error) = tick(&app).await {
                    tracing::error!("looking for due jobs: {error:#}");
                }
            })
        })?)
        .await?;
    ticks.start().await?;
    let _ = stop.changed().await;
    ticks.shutdown().await?;
    Ok(())
}

/// Runs what is due now.
pub async fn tick(app: &App) -> anyhow::Result<()> {
    let due = {
        let mut conn = app.db.system().await?;
        query::due(&mut conn).await?
    };
    for job in due {
        let next = job.next_after(app.clock.now());
        let taken = {
            let mut conn = app.db.system().await?;
            query::take_slot(&mut conn, &job, next).await?
        };
        if let Some(run) = taken {
            execute(app, &job.name, run).await?;
        }
    }
    Ok(())
}

/// *Run now*: the same path, whether or not it is due or active.
pub async fn run_now(app: &App, name: &str, user: UserId) -> Result<()> {
    let run = {
        let mut conn = app.db.system().await?;
        query::find(&mut conn, name).await?;
        query::start_manual(&mut conn, name, user).await?
    };
    let run = run
        .ok_or_else(|| Error::conflict("This job is running already. Wait until it has ended."))?;
    execute(app, name, run).await?;
    Ok(())
}

async fn execute(app: &App, name: &str, run: i64) -> anyhow::Result<()> {
    let outcome = match AssertUnwindSafe(jobs::perform(app, name))
        .catch_unwind()
        .await
    {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow::anyhow!(
            "the job panicked; the log of the server says where"
        )),
    };
    let mut conn = app.db.system().await?;
    match outcome {
        Ok(summary) => {
            query::finish(
                &mut conn,
                run,
                name,
                summary.done,
                Some(&summary.words),
                None,
            )
            .await?
        }
        Err(error) => {
            let words = format!("{error:#}");
            tracing::error!(job = name, "{words}");
            query::finish(&mut conn, run, name, 0, None, Some(&words)).await?
        }
    };
    Ok(())
}

/// Work that follows a signal or a short interval instead of a job's row: releasing what has started,
/// settling, applying webhook events.
pub async fn follow(app: App, mut stop: watch::Receiver<bool>) {
    let mut slow = tokio::time::interval(Duration::from_secs(1));
    let mut sweep = tokio::time::interval(Duration::from_secs(3600));
    loop {
        let done = tokio::select! {
            () = app.wake.intake.notified() => intake::apply::all(&app).await.map(|_| ()),
            () = app.wake.release.notified() => release::advance(&app).await.map(|_| ()),
            _ = slow.tick() => each_second(&app).await,
            _ = sweep.tick() => each_hour(&app).await,
            _ = stop.changed() => return,
        };
        if let Err(error) = done {
            tracing::error!("background work: {error:#}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

async fn each_second(app: &App) -> anyhow::Result<()> {
    intake::apply::all(app).await?;
    release::advance(app).await?;
    settle::all(app).await?;
    Ok(())
}

async fn each_hour(app: &App) -> anyhow::Result<()> {
    let now: DateTime<Utc> = app.clock.now();
    let mut conn = app.db.system().await?;
    crate::auth::session::sweep(&mut conn, now).await?;
    intake::sweep(&mut conn).await?;
    Ok(())
}
