//! Pausing mailings whose content their gateway refuses.
//!
//! Invariant: only what is sending is paused, with the gateway's reason; whoever mends it resumes it. Looked
//! for every second by every instance.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, RunQueryDsl};
use tokio::sync::watch;

use crate::app::App;
use crate::db::wablast_now;
use crate::outgoing::{open, stops};
use crate::schema::mailings;

const LOOK: Duration = Duration::from_secs(1);

/// Pauses what a gateway refused since the last look; how many.
pub async fn all(app: &App) -> anyhow::Result<usize> {
    let mut conn = app.db.system().await?;
    let paused = conn
        .transaction(async |conn| {
            let mut paused = 0;
            for stop in stops::take(conn).await? {
                let sending = mailings::table
                    .find(stop.mailing_id)
                    .filter(mailings::state.eq("sending"));
                let changed = diesel::update(sending)
                    .set((
                        mailings::state.eq("paused"),
                        mailings::state_reason.eq(&stop.reason),
                        mailings::updated_at.eq(wablast_now()),
                    ))
                    .execute(conn)
                    .await?;
                if changed > 0 {
                    open::close(conn, stop.mailing_id).await?;
                }
                paused += changed;
            }
            QueryResult::Ok(paused)
        })
        .await?;
    Ok(paused)
}

/// Until `stop`.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        if let Err(error) = all(&app).await {
            tracing::error!("pausing mailings that a gateway refused: {error:#}");
        }
    }
}
