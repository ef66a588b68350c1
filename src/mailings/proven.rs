//! Sending again by itself what did not arrive, where an account's policy asks (off by default).
//!
//! Invariant: only on the proof of `outgoing/prove.rs`, only when the mailing is at rest, with a log and an
//! entry in the history like a person's resend. Looked for every ten seconds by every instance that sends.

use std::time::Duration;

use diesel_async::AsyncConnection as _;
use tokio::sync::watch;

use super::{again, query, settle};
use crate::app::App;
use crate::audit;
use crate::error::Result;
use crate::ids::{MailingId, OutgoingId};
use crate::outgoing::prove;

const LOOK: Duration = Duration::from_secs(10);

/// One look at everything that is uncertain: what is found settles, what did not arrive goes again. Returns how
/// many messages go.
pub async fn look(app: &App) -> anyhow::Result<usize> {
    let found = prove::look(app).await?;
    let proven = {
        let mut conn = app.db.system().await?;
        settle::of_messages(&mut conn, &found).await?;
        prove::proven(&mut conn).await?
    };
    let mut gone = 0;
    for of_mailing in proven.chunk_by(|one, next| one.mailing_id == next.mailing_id) {
        let messages: Vec<OutgoingId> = of_mailing.iter().map(|one| one.id).collect();
        if let Some(first) = of_mailing.first() {
            gone += send(app, first.mailing_id, &messages).await?;
        }
    }
    if gone > 0 {
        app.wake.deliver.notify_one();
    }
    Ok(gone)
}

async fn send(app: &App, id: MailingId, messages: &[OutgoingId]) -> Result<usize> {
    let mut conn = app.db.system().await?;
    conn.transaction(async |conn| {
        let gone = again::send_proven(conn, id, messages).await?;
        if gone > 0 {
            let company = query::find(conn, id).await?.company_id;
            let note = gone.to_string();
            let action = "resend_proven";
            audit::note(conn, company, "mailings", id.0, None, action, Some(&note)).await?;
            tracing::warn!(
                mailing = id.0,
                messages = gone,
                "sent again: they did not arrive"
            );
        }
        Ok(gone)
    })
    .await
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
            tracing::error!("looking for uncertain messages: {error:#}");
        }
    }
}
