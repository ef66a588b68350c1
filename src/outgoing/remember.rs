//! A database that forgot what this process sent, and is told.
//!
//! Invariants: whoever takes or begins messages asks [`Memory::assure`] first, over the same connection, so
//! that nothing leaves through a database that was not looked at since it came back. What is missing there
//! and waits is written as *uncertain*, and sending is locked. A database loses its last moments, never
//! something in the middle: the search goes back until half a minute is complete.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Double, Integer, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::begin::Begun;
use super::lately::{KEEP, Lately, Run};
use crate::app::App;
use crate::gateways::FailureCode;
use crate::ids::OutgoingId;

/// Messages of one statement.
const AT_ONCE: usize = 10_000;

const REASON: &str =
    "The database was set back to a moment before this message left. It may have arrived.";

/// What this process began lately; shared by its workers.
#[derive(Clone, Default)]
pub(super) struct Memory {
    lately: Arc<Mutex<Lately>>,
    /// The era of the database that was looked at last.
    looked_at: Arc<AtomicU64>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What a look at the database found.
#[derive(Debug, Default, Clone, Copy)]
struct Forgotten {
    attempts: i64,
    /// Waiting there as if they had never left: uncertain now.
    uncertain: i64,
    /// There is no such message.
    unknown: i64,
}

impl Memory {
    fn lately(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked_at(&self) -> u64 {
        // Diesel has a `load` for everything.
        AtomicU64::load(&self.looked_at, Ordering::Acquire)
    }

    /// Before the requests of `begun` start.
    pub fn note(&self, begun: &[Begun]) {
        let begun = begun.iter().map(|one| (one.id, one.fence));
        self.lately().note(Instant::now(), begun);
    }

    /// Whether this process began it, or may have and does not remember.
    pub fn may_have_left(&self, id: OutgoingId, fence: i32, begun: Duration) -> bool {
        let lately = self.lately();
        begun >= lately.reaches_back(Instant::now()) || lately.holds(id, fence)
    }

    /// Looks at the database where it came back since the last look; nothing to do nearly always.
    pub async fn assure(&self, app: &App, conn: &mut AsyncPgConnection) -> anyhow::Result<()> {
        if self.looked_at() == app.db.era() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        // Also: whether this connection leads to where the newest one does.
        let era = app.db.ask_again(conn).await?;
        if self.looked_at() == era {
            return Ok(());
        }
        let found = self.look(conn).await?;
        if found.attempts > 0 {
            tracing::error!(
                attempts = found.attempts,
                uncertain = found.uncertain,
                unknown = found.unknown,
                "the database forgot what was sent lately: sending is locked"
            );
            app.wake.settle.notify_one();
        }
        self.looked_at.store(era, Ordering::Release);
        Ok(())
    }

    async fn look(&self, conn: &mut AsyncPgConnection) -> QueryResult<Forgotten> {
        let pieces: Vec<(Duration, Vec<Run>)> =
            self.lately().newest_first(Instant::now()).collect();
        let mut all = Forgotten::default();
        for (n, (age, runs)) in pieces.into_iter().enumerate() {
            let found = piece(conn, age, &runs).await?;
            all.attempts += found.attempts;
            all.uncertain += found.uncertain;
            all.unknown += found.unknown;
            // The newest may be a second old, and say nothing of what was before.
            if n > 0 && found.attempts == 0 {
                break;
            }
        }
        Ok(all)
    }
}

async fn piece(
    conn: &mut AsyncPgConnection,
    age: Duration,
    runs: &[Run],
) -> QueryResult<Forgotten> {
    let mut all = Forgotten::default();
    let mut begun = runs
        .iter()
        .flat_map(|run| (run.first..run.first + run.count).map(|id| (id, run.fence)));
    loop {
        let (ids, fences): (Vec<i64>, Vec<i32>) = begun.by_ref().take(AT_ONCE).unzip();
        if ids.is_empty() {
            return Ok(all);
        }
        let missing = missing(conn, &ids, &fences).await?;
        if missing.is_empty() {
            continue;
        }
        let told = tell(conn, age, &missing).await?;
        all.attempts += i64::try_from(missing.len()).unwrap_or(i64::MAX);
        all.uncertain += told.uncertain;
        all.unknown += told.unknown;
    }
}

#[derive(QueryableByName)]
struct Missing {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    #[diesel(sql_type = Integer)]
    fence: i32,
}

/// Attempts that are not on record.
async fn missing(
    conn: &mut AsyncPgConnection,
    ids: &[i64],
    fences: &[i32],
) -> QueryResult<Vec<Missing>> {
    sql_query(
        "SELECT n.id, max(n.fence) AS fence FROM unnest($1::bigint[], $2::int[]) AS n(id, fence)
         WHERE NOT EXISTS (SELECT FROM attempts a WHERE a.outgoing_id = n.id AND a.fence = n.fence)
         GROUP BY n.id",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Integer>, _>(fences)
    .load(conn)
    .await
}

#[derive(QueryableByName)]
struct Told {
    #[diesel(sql_type = BigInt)]
    uncertain: i64,
    #[diesel(sql_type = BigInt)]
    unknown: i64,
}

/// What waits as if it had never left becomes uncertain, with its attempt on record again. The whole of it
/// is one transaction with the lock.
const TELL: &str = "
WITH missing AS (
  SELECT m.id, m.fence FROM unnest($1::bigint[], $2::int[]) AS m(id, fence)
), held AS (
  SELECT o.id FROM outgoing o WHERE o.id = ANY ($1) ORDER BY o.id FOR UPDATE
), told AS (
  UPDATE outgoing o SET state = 'uncertain', fence = greatest(o.fence, m.fence) + 1, owner = NULL, lease_until = NULL,
    not_before = NULL, attempts = o.attempts + 1, begun_at = wablast_now() - make_interval(secs => $3), code = $4, reason = $5
  FROM held, missing m WHERE o.id = ANY ($1) AND o.id = held.id AND m.id = o.id AND o.state IN ('queued', 'claimed')
  RETURNING o.id, o.company_id, o.account_id, o.log_id, m.fence, o.begun_at
), tried AS (
  INSERT INTO attempts (company_id, account_id, outgoing_id, log_id, fence, begun_at, ended_at, outcome, code, reason)
  SELECT company_id, account_id, id, log_id, fence, begun_at, wablast_now(), 'uncertain', $4, $5 FROM told
), noted AS (
  SELECT (SELECT count(*) FROM told) AS uncertain,
    (SELECT count(*) FROM missing m WHERE NOT EXISTS (SELECT FROM held WHERE held.id = m.id)) AS unknown
), counted AS (
  UPDATE installation i SET left_uncertain = i.left_uncertain + n.uncertain, left_unknown = i.left_unknown + n.unknown FROM noted n
)
SELECT uncertain, unknown FROM noted";

async fn tell(
    conn: &mut AsyncPgConnection,
    age: Duration,
    missing: &[Missing],
) -> QueryResult<Told> {
    let ids: Vec<OutgoingId> = missing.iter().map(|one| one.id).collect();
    let fences: Vec<i32> = missing.iter().map(|one| one.fence).collect();
    conn.transaction(async |conn| {
        sql_query("SELECT wablast_lock('forgot')")
            .execute(conn)
            .await?;
        sql_query(TELL)
            .bind::<Array<BigInt>, _>(&ids)
            .bind::<Array<Integer>, _>(&fences)
            .bind::<Double, _>(age.min(KEEP).as_secs_f64())
            .bind::<Text, _>(FailureCode::DatabaseWentBack.as_str())
            .bind::<Text, _>(REASON)
            .get_result(conn)
            .await
    })
    .await
}
