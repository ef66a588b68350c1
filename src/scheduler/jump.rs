//! The database's clock, watched by one that cannot be set.
//!
//! Invariant: when the database's time goes forward by more than ten minutes beyond what passed here, nothing
//! is released by itself until a person says so or ten minutes have gone by without another jump: a clock
//! that is set wrong must not send what is due next year.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use crate::app::App;
use crate::db;
use crate::mailings::lock;

const LOOK: Duration = Duration::from_secs(5);
const TOO_FAR: TimeDelta = TimeDelta::minutes(10);

/// The last look at both clocks.
#[derive(Debug, Default)]
pub struct Looks {
    last: Option<(Instant, DateTime<Utc>)>,
}

impl Looks {
    /// Whether the database's clock went too far between the last look and this one.
    fn jumped(&mut self, here: Instant, database: DateTime<Utc>) -> bool {
        let Some((before, was)) = self.last.replace((here, database)) else {
            return false;
        };
        let passed =
            TimeDelta::from_std(here.saturating_duration_since(before)).unwrap_or(TimeDelta::MAX);
        database - was > passed.checked_add(&TOO_FAR).unwrap_or(TimeDelta::MAX)
    }
}

/// One look; true: releases wait from now on.
pub async fn look(app: &App, looks: &mut Looks) -> anyhow::Result<bool> {
    let mut conn = app.db.system().await?;
    let now = db::now(&mut conn).await?;
    let jumped = looks.jumped(Instant::now(), now);
    if jumped {
        lock::clock_jumped(&mut conn).await?;
        tracing::warn!("the database's clock jumped forward: releases wait for ten minutes");
    }
    Ok(jumped)
}

/// Until `stop`.
pub async fn watch(app: App, mut stop: watch::Receiver<bool>) {
    // A demo makes its past by moving the clocks itself, and nothing in it is real.
    if app.config.demo {
        return;
    }
    let mut looks = Looks::default();
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        if let Err(error) = look(&app, &mut looks).await {
            tracing::warn!("looking at the database's clock: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_jump_forward_counts_and_time_that_passed_is_none() {
        let (start, then) = (Instant::now(), DateTime::<Utc>::UNIX_EPOCH);
        let mut looks = Looks::default();
        let hour = Duration::from_secs(3600);
        assert!(!looks.jumped(start, then));
        assert!(!looks.jumped(start + hour, then + TimeDelta::hours(1)));
        assert!(!looks.jumped(start + hour, then + TimeDelta::minutes(70)));
        assert!(looks.jumped(start + hour, then + TimeDelta::minutes(81)));
        assert!(!looks.jumped(start + hour, then));
    }
}
