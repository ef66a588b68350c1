//! The running instances of this installation: each says every five seconds that it is there.
//!
//! Invariant: nothing depends on these rows; work is shared by leases in the database, and a row that stops
//! moving only tells people which process is gone. Owns `instances`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::watch;
use uuid::Uuid;

use crate::app::App;

const BEAT: Duration = Duration::from_secs(5);
/// A clock that is further from the database's is shown.
pub const CLOCK_MAY_DIFFER: TimeDelta = TimeDelta::seconds(60);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    All,
    /// Panel, API and webhooks.
    Web,
    /// Sending, jobs and everything in the background.
    Worker,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Web => "web",
            Self::Worker => "worker",
        }
    }
}

/// One running process, as people see it.
#[derive(Debug, Clone, QueryableByName)]
pub struct Instance {
    #[diesel(sql_type = Text)]
    pub name: String,
    /// all, web, worker
    #[diesel(sql_type = Text)]
    pub role: String,
    #[diesel(sql_type = Text)]
    pub version: String,
    #[diesel(sql_type = Timestamptz)]
    pub started_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    pub seen_at: DateTime<Utc>,
    /// Its clock less the database's.
    #[diesel(sql_type = BigInt)]
    pub clock_ms: i64,
    /// It said so lately.
    #[diesel(sql_type = Bool)]
    pub alive: bool,
}

impl Instance {
    pub fn clock_differs(&self) -> bool {
        TimeDelta::milliseconds(self.clock_ms).abs() > CLOCK_MAY_DIFFER
    }
}

/// All that were seen within the last hour, the oldest first.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Instance>> {
    sql_query(
        "SELECT name, role, version, started_at, seen_at, clock_ms, seen_at > wablast_now() - interval '20 seconds' AS alive
         FROM instances WHERE seen_at > wablast_now() - interval '1 hour' ORDER BY started_at, id",
    )
    .load(conn)
    .await
}

#[derive(QueryableByName)]
struct Time {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// Says that this process is there, and how its clock stands.
pub async fn beat(app: &App, id: Uuid, name: &str, role: Role) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    // A pooler may have led this connection to another database since it was made.
    app.db.ask_again(&mut conn).await?;
    let before = app.clock.now();
    let database: Time = sql_query("SELECT wablast_now() AS now")
        .get_result(&mut *conn)
        .await?;
    let ours = before + (app.clock.now() - before) / 2;
    sql_query(
        "INSERT INTO instances (id, name, role, version, clock_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET seen_at = wablast_now(), clock_ms = EXCLUDED.clock_ms",
    )
    .bind::<SqlUuid, _>(id)
    .bind::<Text, _>(name)
    .bind::<Text, _>(role.as_str())
    .bind::<Text, _>(env!("CARGO_PKG_VERSION"))
    .bind::<BigInt, _>((ours - database.now).num_milliseconds())
    .execute(&mut *conn)
    .await?;
    sql_query("DELETE FROM instances WHERE seen_at < wablast_now() - interval '1 day'")
        .execute(&mut *conn)
        .await?;
    Ok(())
}

/// Whoever leaves in order leaves no row behind.
async fn leave(app: &App, id: Uuid) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    sql_query("DELETE FROM instances WHERE id = $1")
        .bind::<SqlUuid, _>(id)
        .execute(&mut *conn)
        .await?;
    Ok(())
}

/// Until `stop`.
pub async fn run(app: App, name: String, role: Role, mut stop: watch::Receiver<bool>) {
    let id = Uuid::new_v4();
    let mut tick = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => break,
        }
        if let Err(error) = beat(&app, id, &name, role).await {
            tracing::warn!("saying that this instance is there: {error:#}");
        }
    }
    if let Err(error) = leave(&app, id).await {
        tracing::warn!("taking this instance off the list: {error:#}");
    }
}
