//! Looking for messages without receipts, for sessions that work again, at how numbers of Meta's stand and at
//! numbers that wait, while the program runs.
//!
//! Invariant: what is learned settles its mailings, as receipts do.

use std::time::Duration;

use tokio::sync::watch;

use super::settle;
use crate::accounts::{number, session};
use crate::app::App;
use crate::outgoing::{checks, unheard};

const LOOK: Duration = Duration::from_secs(10);

/// One look; returns of how many messages something was learned.
pub async fn look(app: &App) -> anyhow::Result<usize> {
    if session::look_at_stopped(app).await? > 0 {
        app.wake.deliver.notify_one();
    }
    number::look_at_due(app).await?;
    checks::look(app).await?;
    let found = unheard::look(app).await?;
    let mut conn = app.db.system().await?;
    settle::of_messages(&mut conn, &found).await?;
    Ok(found.len())
}

/// Until `stop`.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        if let Err(error) = look(&app).await {
            tracing::error!("looking for messages without receipts: {error:#}");
        }
    }
}
