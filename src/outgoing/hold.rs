//! Waiting until a pause or a cancel that was committed holds over all instances.
//!
//! Invariant: when this returns no request of the mailing begins any more. What began before the commit
//! was seen, or by a statement that could not see it, starts its request within `START_WITHIN` of before
//! that statement, in whatever process; and a cancel that is through has waited for such statements. Knows
//! no verbs.

use std::time::{Duration, Instant};

use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::worker::START_WITHIN;
use crate::app::App;
use crate::error::Result;
use crate::ids::MailingId;

const LOOK: Duration = Duration::from_millis(20);

/// Returns at once when nothing of the mailing is open, and after `START_WITHIN` at the latest. Call it
/// after the commit, holding no connection.
pub async fn until_nothing_begins(app: &App, mailing: MailingId) -> Result<()> {
    let over = Instant::now() + START_WITHIN;
    loop {
        let open = {
            let mut conn = app.db.system().await?;
            is_open(&mut conn, mailing).await?
        };
        if !open || Instant::now() >= over {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a request may still begin: a message waits (somebody may be taking it, unseen), or is on its way.
async fn is_open(conn: &mut AsyncPgConnection, mailing: MailingId) -> diesel::QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Open {
        #[diesel(sql_type = Bool)]
        open: bool,
    }
    let found: Open = sql_query(
        "SELECT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = $1 AND o.state IN ('queued', 'claimed', 'sending')) AS open",
    )
    .bind::<BigInt, _>(mailing)
    .get_result(conn)
    .await?;
    Ok(found.open)
}
