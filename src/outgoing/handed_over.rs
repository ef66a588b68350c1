//! Messages that a flow took and has not reported: open until the account's callback time is over, then
//! uncertain for good. A report counts before, after and in between.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::LogId;

/// What the message and its mailing's log say when no report came.
pub const NO_CALLBACK: &str =
    "The webhook took the message and did not report what became of it in time.";

#[derive(QueryableByName)]
struct Left {
    #[diesel(sql_type = Nullable<BigInt>)]
    log_id: Option<LogId>,
}

/// Ends the waiting of those whose time is over; returns the runs they belong to, one entry a message.
pub async fn expire(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Option<LogId>>> {
    let left: Vec<Left> = sql_query(format!(
        "WITH late AS (
           SELECT o.id FROM outgoing o
           WHERE o.state = 'uncertain' AND o.code = 'handed_over' AND o.settles_at <= wablast_now()
           ORDER BY o.id FOR UPDATE SKIP LOCKED
         ), moved AS (
           UPDATE outgoing o SET code = 'no_callback', reason = '{NO_CALLBACK}', settles_at = NULL
           FROM late WHERE o.id = late.id RETURNING o.id, o.log_id
         ), noted AS (
           UPDATE attempts a SET code = 'no_callback', reason = '{NO_CALLBACK}' FROM moved
           WHERE a.outgoing_id = moved.id AND a.code = 'handed_over' AND a.rank = 0
         ) SELECT log_id FROM moved"
    ))
    .load(conn)
    .await?;
    Ok(left.into_iter().map(|one| one.log_id).collect())
}
