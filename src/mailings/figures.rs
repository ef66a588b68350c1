//! Figures of a mailing that cost the more the more messages it has: the tally and the curve of its messages.
//!
//! Invariants: what is shown was counted in one statement, and says when; counting takes at most a
//! twentieth of the time over all instances, and only while somebody looks; a mailing of up to
//! [`SMALL`] messages is counted on every look. A state that changed asks for a new count at once, so that
//! the figures of a mailing at rest become those of a recount. Owns `mailing_figures`.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Jsonb, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::de::DeserializeOwned;

use super::Mailing;
use crate::app::App;
use crate::error::Result;
use crate::ids::{CompanyId, MailingId};
use crate::outgoing::tally::{self, Curve, Tally};

/// Messages up to which a count costs next to nothing.
pub const SMALL: i64 = 5_000;
/// A count that took one second is good for this many.
pub const SHARE: i64 = 20;
/// A look waits for counts that take this long; longer ones go on beside it.
const PATIENCE_MS: i64 = 100;
/// Steps of a curve, at most.
const STEPS: i64 = 240;
/// Seconds a step may take.
const LADDER: [i64; 13] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600];

/// A figure and how old it is.
#[derive(Debug, Clone)]
pub struct Counted<T> {
    pub value: T,
    pub taken_at: DateTime<Utc>,
    /// It may have changed since, and is being counted again.
    pub outdated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counts,
    Curve,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Curve => "curve",
        }
    }
}

/// What to count, without the mailing's texts.
#[derive(Debug, Clone)]
struct Task {
    mailing: MailingId,
    company: CompanyId,
    kind: Kind,
    from: DateTime<Utc>,
    step: i64,
    within: i64,
}

#[derive(QueryableByName)]
struct Kept {
    #[diesel(sql_type = Jsonb)]
    figures: serde_json::Value,
    #[diesel(sql_type = Timestamptz)]
    taken_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    took_ms: i64,
    /// Time for a new one.
    #[diesel(sql_type = Bool)]
    due: bool,
}

/// Every message of a mailing, by state and reason.
pub async fn tally(
    app: &App,
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
) -> Result<Counted<Tally>> {
    look(app, conn, mailing, Kind::Counts, 0).await
}

/// How a mailing went over time. `per_second` is the pace of its account: what left lately is counted over
/// as long as ten messages take, a minute at least.
pub async fn curve(
    app: &App,
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    per_second: f64,
) -> Result<Counted<Curve>> {
    #[expect(clippy::cast_possible_truncation, reason = "at most an hour")]
    let within = (10.0 / per_second.max(0.001)).clamp(60.0, 3_600.0) as i64;
    look(app, conn, mailing, Kind::Curve, within).await
}

/// How far a curve goes: until now, or a while past the end: four times as long as sending took, ten minutes
/// at least and two days at most.
pub fn end(mailing: &Mailing, now: DateTime<Utc>) -> DateTime<Utc> {
    let from = mailing.started_at.unwrap_or(mailing.created_at);
    let Some(finished) = mailing.finished_at else {
        return now;
    };
    let took = finished - from;
    let span = (took * 4)
        .min(took.max(TimeDelta::days(2)))
        .max(TimeDelta::minutes(10));
    now.min(from + span)
}

fn task(mailing: &Mailing, kind: Kind, within: i64, now: DateTime<Utc>) -> Task {
    let from = mailing.started_at.unwrap_or(mailing.created_at);
    let least = (end(mailing, now) - from).num_seconds() / STEPS + 1;
    let step = LADDER.into_iter().find(|step| *step >= least);
    Task {
        mailing: mailing.id,
        company: mailing.company_id,
        kind,
        from,
        step: step.unwrap_or(least),
        within,
    }
}

async fn look<T: DeserializeOwned>(
    app: &App,
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    kind: Kind,
    within: i64,
) -> Result<Counted<T>> {
    let task = task(mailing, kind, within, app.clock.now());
    if mailing.audience_size.unwrap_or(0) <= SMALL {
        let (figures, taken_at) = count(conn, &task).await?;
        return counted(figures, taken_at, false);
    }
    match kept(conn, mailing, kind).await? {
        Some(kept) if !kept.due => counted(kept.figures, kept.taken_at, false),
        Some(kept) if kept.took_ms > PATIENCE_MS => {
            let app = app.clone();
            tokio::spawn(async move {
                if let Err(error) = again(&app, &task).await {
                    tracing::warn!(mailing = task.mailing.0, "counting messages: {error:#}");
                }
            });
            counted(kept.figures, kept.taken_at, true)
        }
        _ => {
            let (figures, taken_at) = keep(app, &task).await?;
            counted(figures, taken_at, false)
        }
    }
}

fn counted<T: DeserializeOwned>(
    figures: serde_json::Value,
    taken_at: DateTime<Utc>,
    outdated: bool,
) -> Result<Counted<T>> {
    let value = serde_json::from_value(figures).map_err(anyhow::Error::from)?;
    Ok(Counted {
        value,
        taken_at,
        outdated,
    })
}

/// Due: after [`SHARE`] times what it took, a second at least, and when the mailing's state has changed.
async fn kept(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    kind: Kind,
) -> QueryResult<Option<Kept>> {
    sql_query(
        "SELECT figures, taken_at, took_ms,
           taken_at + make_interval(secs => greatest(1, $3 * took_ms / 1000.0)) <= wablast_now() OR taken_at < $4 AS due
         FROM mailing_figures WHERE mailing_id = $1 AND kind = $2",
    )
    .bind::<BigInt, _>(mailing.id)
    .bind::<Text, _>(kind.as_str())
    .bind::<BigInt, _>(SHARE)
    .bind::<Timestamptz, _>(mailing.updated_at)
    .get_result(conn)
    .await
    .optional()
}

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// The figures and the moment they stand for: not later than what they saw.
async fn count(
    conn: &mut AsyncPgConnection,
    task: &Task,
) -> Result<(serde_json::Value, DateTime<Utc>)> {
    let Now { now } = sql_query("SELECT wablast_now() AS now")
        .get_result(conn)
        .await?;
    let figures = match task.kind {
        Kind::Counts => serde_json::to_value(tally::tally(conn, task.mailing).await?),
        Kind::Curve => {
            let curve = tally::curve(conn, task.mailing, task.from, task.step, task.within);
            serde_json::to_value(curve.await?)
        }
    };
    Ok((figures.map_err(anyhow::Error::from)?, now))
}

/// Counts beside whoever looks, unless somebody does already.
async fn again(app: &App, task: &Task) -> Result<()> {
    let taken = {
        let mut conn = app.db.system().await?;
        sql_query(
            "UPDATE mailing_figures SET counting_until = wablast_now() + make_interval(secs => greatest(10, 5 * took_ms / 1000.0))
             WHERE mailing_id = $1 AND kind = $2 AND (counting_until IS NULL OR counting_until < wablast_now())",
        )
        .bind::<BigInt, _>(task.mailing)
        .bind::<Text, _>(task.kind.as_str())
        .execute(&mut *conn)
        .await?
    };
    if taken > 0 {
        keep(app, task).await?;
    }
    Ok(())
}

/// Counts and keeps, in a connection of its own: a page's is not committed.
async fn keep(app: &App, task: &Task) -> Result<(serde_json::Value, DateTime<Utc>)> {
    let mut conn = app.db.system().await?;
    let began = Instant::now();
    let (figures, taken_at) = count(&mut conn, task).await?;
    let took = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    sql_query(
        "INSERT INTO mailing_figures (mailing_id, company_id, kind, figures, taken_at, took_ms) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (mailing_id, kind) DO UPDATE SET figures = EXCLUDED.figures, taken_at = EXCLUDED.taken_at,
           took_ms = EXCLUDED.took_ms, counting_until = NULL
         WHERE mailing_figures.taken_at < EXCLUDED.taken_at",
    )
    .bind::<BigInt, _>(task.mailing)
    .bind::<BigInt, _>(task.company)
    .bind::<Text, _>(task.kind.as_str())
    .bind::<Jsonb, _>(&figures)
    .bind::<Timestamptz, _>(taken_at)
    .bind::<BigInt, _>(took)
    .execute(&mut *conn)
    .await?;
    Ok((figures, taken_at))
}
