//! The crontab on one page: every job by its name, and what it does.

use crate::app::App;
use crate::gateway_log;
use crate::jobs::{SCHEDULER_ENQUEUE, SCHEDULER_SEND, SWEEP_GATEWAY_LOG, SWEEP_MEDIA};
use crate::mailings::release;
use crate::media::sweep;
use crate::outgoing::open;

/// What a run did, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub done: i64,
    pub words: String,
}

/// Does the work of the job with this name.
pub async fn perform(app: &App, name: &str) -> anyhow::Result<Summary> {
    match name {
        SCHEDULER_SEND => scheduler_send(app).await,
        SCHEDULER_ENQUEUE => scheduler_enqueue(app).await,
        SWEEP_MEDIA => sweep_media(app).await,
        SWEEP_GATEWAY_LOG => sweep_gateway_log(app).await,
        other => anyhow::bail!("there is no job called {other}"),
    }
}

fn switched_off() -> Summary {
    Summary {
        done: 0,
        words: "Sending is switched off (WABLAST_SENDING=off).".to_owned(),
    }
}

/// Releases submitted mailings whose instant is reached.
async fn scheduler_send(app: &App) -> anyhow::Result<Summary> {
    if !app.config.sending {
        return Ok(switched_off());
    }
    let released = release::due(app).await?;
    let words = match (released.started, released.missed) {
        (0, 0) => "Nothing was due.".to_owned(),
        (started, 0) => format!("{started} released."),
        (started, missed) => format!("{started} released, {missed} missed."),
    };
    Ok(Summary {
        done: i64::try_from(released.started + released.missed)?,
        words,
    })
}

/// Opens the next batch of every batched account; sending it is the deliverer's, so this ends at once.
async fn scheduler_enqueue(app: &App) -> anyhow::Result<Summary> {
    if !app.config.sending {
        return Ok(switched_off());
    }
    let opened = open::all(app).await?;
    let accounts = match opened.accounts {
        1 => "1 account".to_owned(),
        many => format!("{many} accounts"),
    };
    let words = match opened.messages {
        0 => "Nothing was opened.".to_owned(),
        1 => format!("{accounts}: 1 message opened."),
        many => format!("{accounts}: {many} messages opened."),
    };
    Ok(Summary {
        done: i64::try_from(opened.messages)?,
        words,
    })
}

/// Deletes what the Gateway Log has kept long enough.
async fn sweep_gateway_log(app: &App) -> anyhow::Result<Summary> {
    let mut conn = app.db.system().await?;
    let gone = gateway_log::sweep(&mut conn).await?;
    let words = match gone {
        0 => "Nothing to delete.".to_owned(),
        1 => "1 entry deleted.".to_owned(),
        many => format!("{many} entries deleted."),
    };
    Ok(Summary {
        done: i64::try_from(gone)?,
        words,
    })
}

/// Deletes files that no mailing needs any more.
async fn sweep_media(app: &App) -> anyhow::Result<Summary> {
    let gone = sweep::run(app).await?;
    let words = match gone {
        0 => "Nothing to delete.".to_owned(),
        1 => "1 file deleted.".to_owned(),
        many => format!("{many} files deleted."),
    };
    Ok(Summary {
        done: i64::try_from(gone)?,
        words,
    })
}
