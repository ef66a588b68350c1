//! How many people a business may still write first to: Meta counts those of 24 hours, over all its numbers.
//!
//! Invariants: a person counts once however often they are written to, and not at all while their own 24 hours are
//! open; what may have left counts as having left; where the limit is not known nothing is held back. A company is
//! taken for the business: the accounts it owns share one limit. Owns `reached`.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::pace::Gates;
use crate::accounts::Account;
use crate::accounts::number::{self, Limit};
use crate::app::App;
use crate::ids::{CompanyId, OutgoingId};
use crate::prepared::prepared;

/// Several instances count together, so none believes its own count for long.
const BELIEVE: Duration = Duration::from_secs(1);

/// How far a business is with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Room {
    /// People the business may write first to in 24 hours.
    #[schema(example = 2000)]
    pub limit: i64,
    /// People it wrote to in the last 24 hours.
    #[schema(example = 750)]
    pub used: i64,
    /// When the first of them counts no longer.
    pub again_at: Option<DateTime<Utc>>,
}

impl Room {
    pub fn left(&self) -> i64 {
        (self.limit - self.used).max(0)
    }
}

#[derive(QueryableByName)]
struct Used {
    #[diesel(sql_type = BigInt)]
    used: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    oldest: Option<DateTime<Utc>>,
}

/// `None`: no limit, or none that is known.
pub async fn room(conn: &mut AsyncPgConnection, company: CompanyId) -> QueryResult<Option<Room>> {
    let Limit::People(limit) = number::limit_of(conn, company).await? else {
        return Ok(None);
    };
    let used: Used = prepared(
        "SELECT count(*) AS used, min(at) AS oldest FROM reached WHERE company_id = $1 AND at > wablast_now() - interval '24 hours'",
    )
    .bind::<BigInt, _>(company)
    .get_result(conn)
    .await?;
    Ok(Some(Room {
        limit,
        used: used.used,
        again_at: used.oldest.map(|at| at + TimeDelta::hours(24)),
    }))
}

/// Notes who was written to, of messages that left or may have.
pub(super) async fn note(conn: &mut AsyncPgConnection, left: &[OutgoingId]) -> QueryResult<usize> {
    if left.is_empty() {
        return Ok(0);
    }
    prepared(
        "INSERT INTO reached AS r (company_id, contact_id, at)
         SELECT a.company_id, o.contact_id, wablast_now() FROM outgoing o JOIN accounts a ON a.id = o.account_id
         WHERE o.id = ANY ($1) AND o.contact_id IS NOT NULL AND NOT EXISTS (SELECT FROM incoming i
           WHERE i.contact_id = o.contact_id AND i.account_id = o.account_id AND i.received_at > wablast_now() - interval '24 hours')
         GROUP BY 1, 2 ORDER BY 1, 2
         ON CONFLICT (company_id, contact_id) DO UPDATE SET at = excluded.at",
    )
    .bind::<Array<BigInt>, _>(left)
    .execute(conn)
    .await
}

/// Forgets whom nobody counts any more.
pub async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query("DELETE FROM reached WHERE at < wablast_now() - interval '2 days'")
        .execute(conn)
        .await
}

/// What one deliverer believes of the room, between two counts.
#[derive(Debug, Default)]
pub(super) struct Watch {
    counted: Option<(Instant, Option<Room>)>,
    /// Taken since, or under way when it was counted.
    since: i64,
}

impl Watch {
    /// How many of `places` may be used by mailings, and until when none, which is written into `gates`. `under_way`:
    /// requests that were not recorded yet.
    pub async fn narrow(
        &mut self,
        app: &App,
        account: &Account,
        gates: &mut Gates,
        places: usize,
        under_way: usize,
    ) -> anyhow::Result<usize> {
        if !account.is_meta() {
            return Ok(places);
        }
        let room = match self.counted {
            Some((at, room)) if at.elapsed() < BELIEVE => room,
            _ => {
                let mut conn = app.db.system().await?;
                let room = room(&mut conn, account.company_id).await?;
                self.counted = Some((Instant::now(), room));
                self.since = i64::try_from(under_way)?;
                room
            }
        };
        let Some(room) = room else { return Ok(places) };
        let left = room.left() - self.since;
        if left > 0 {
            return Ok(places.min(usize::try_from(left)?));
        }
        let again = room.again_at.filter(|_| room.left() == 0);
        let again = again.unwrap_or_else(|| app.clock.now() + TimeDelta::seconds(1));
        gates.mailings_until = gates.mailings_until.max(Some(again));
        Ok(places)
    }

    /// So many were taken.
    pub fn took(&mut self, taken: usize) {
        self.since += i64::try_from(taken).unwrap_or_default();
    }
}
