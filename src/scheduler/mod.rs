//! The door of time: looks for jobs that are due or asked for, and runs them inside the process.
//!
//! Invariants: what is due, and that it happens once, is decided by the rows of `crate::jobs`; a run that
//! panics stops nobody; a run somebody asked for takes the path of a slot.

pub mod jobs;
pub mod jump;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_cron_scheduler::{Job as Tick, JobScheduler};

use crate::app::App;
use crate::db;
use crate::imports::{self, work};
use crate::intake;
use crate::jobs::query;
use crate::mailings::{release, settle};
use crate::outgoing::reach;

/// How often work is looked for that nobody woke us for.
const LOOK: Duration = Duration::from_secs(1);
/// What comes within this time of an applied event is applied together: a batch costs much the same at ten events
/// and at a hundred.
const GATHER: Duration = Duration::from_millis(25);

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
    loop {
        tokio::select! {
            () = app.wake.jobs.notified() => {
                if let Err(error) = asked(&app).await {
                    tracing::error!("running what was asked for: {error:#}");
                }
            }
            _ = stop.changed() => break,
        }
    }
    ticks.shutdown().await?;
    Ok(())
}

/// Runs what was asked for and what is due now.
pub async fn tick(app: &App) -> anyhow::Result<()> {
    asked(app).await?;
    let (due, now) = {
        let mut conn = app.db.system().await?;
        (query::due(&mut conn).await?, db::now(&mut conn).await?)
    };
    for job in due {
        // By the database's clock: were ours an hour ahead, nobody would run it for an hour.
        let next = job.next_after(now);
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

/// *Run now*: begins every run that somebody asked for, whether or not its job is due or active.
async fn asked(app: &App) -> anyhow::Result<()> {
    loop {
        let taken = {
            let mut conn = app.db.system().await?;
            query::take_asked(&mut conn).await?
        };
        let Some(run) = taken else { return Ok(()) };
        execute(app, &run.job, run.id).await?;
    }
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

/// Work that follows a signal or a short interval instead of a job's row. Each kind has a loop of its own,
/// so that a million messages being released keep no receipt waiting.
pub async fn follow(app: App, stop: watch::Receiver<bool>) {
    tokio::join!(
        follow_intake(&app, stop.clone()),
        follow_release(&app, stop.clone()),
        follow_time(&app, stop),
    );
}

/// Applies webhook events.
async fn follow_intake(app: &App, mut stop: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        let done = tokio::select! {
            () = app.wake.intake.notified() => intake::apply::all(app).await,
            _ = look.tick() => intake::apply::all(app).await,
            _ = stop.changed() => return,
        };
        let applied = done.as_ref().is_ok_and(|applied| *applied > 0);
        rest_after_failure("applying webhook events", done).await;
        if applied {
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Writes the messages of mailings that have started.
async fn follow_release(app: &App, mut stop: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(LOOK);
    loop {
        let done = tokio::select! {
            () = app.wake.release.notified() => release::advance(app).await,
            _ = look.tick() => release::advance(app).await,
            _ = stop.changed() => return,
        };
        rest_after_failure("releasing mailings", done).await;
    }
}

/// Settles mailings, and sweeps.
async fn follow_time(app: &App, mut stop: watch::Receiver<bool>) {
    let mut running = tokio::time::interval(LOOK);
    let mut ended = tokio::time::interval(Duration::from_secs(60));
    let mut sweep = tokio::time::interval(Duration::from_secs(3600));
    loop {
        let done = tokio::select! {
            _ = running.tick() => settle::all(app).await,
            _ = ended.tick() => settle::ended(app).await,
            _ = sweep.tick() => each_hour(app).await.map(|()| 0),
            _ = stop.changed() => return,
        };
        rest_after_failure("settling and sweeping", done).await;
    }
}

/// What failed is tried again soon, not at once.
async fn rest_after_failure(what: &str, done: anyhow::Result<usize>) {
    if let Err(error) = done {
        tracing::error!("{what}: {error:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Works on imports, one at a time, beside everything else.
pub async fn import(app: App, mut stop: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(Duration::from_secs(2));
    loop {
        tokio::select! {
            () = app.wake.imports.notified() => {}
            _ = look.tick() => {}
            _ = stop.changed() => return,
        }
        if let Err(error) = work::all(&app, &stop).await {
            tracing::error!("working on imports: {error:#}");
        }
    }
}

async fn each_hour(app: &App) -> anyhow::Result<()> {
    let now: DateTime<Utc> = app.clock.now();
    let mut conn = app.db.system().await?;
    crate::auth::session::sweep(&mut conn, now).await?;
    crate::auth::kept::sweep(&mut conn).await?;
    crate::presses::sweep(&mut conn).await?;
    crate::bulk::sweep(&mut conn).await?;
    intake::sweep(&mut conn).await?;
    imports::query::sweep(&mut conn).await?;
    reach::sweep(&mut conn).await?;
    Ok(())
}
