//! Waiting until a pause or a cancel that was committed holds over all instances.
//!
//! Invariant: when this returns no request of the mailing, or of the account, begins any more. What began before the commit
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
use crate::ids::{AccountId, MailingId};

/// Whose requests begin no more.
#[derive(Debug, Clone, Copy)]
pub enum Whose {
    Mailing(MailingId),
    Account(AccountId),
}

const LOOK: Duration = Duration::from_millis(20);

/// Returns at once when nothing of it is open, and after `START_WITHIN` at the latest. Call it
/// after the commit, holding no connection.
pub async fn until_nothing_begins(app: &App, whose: Whose) -> Result<()> {
    let over = Instant::now() + START_WITHIN;
    loop {
        let open = {
            let mut conn = app.db.system().await?;
            is_open(&mut conn, whose).await?
        };
        if !open || Instant::now() >= over {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a request may still begin: a message waits (somebody may be taking it, unseen), or is on its way.
async fn is_open(conn: &mut AsyncPgConnection, whose: Whose) -> diesel::QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Open {
        #[diesel(sql_type = Bool)]
        open: bool,
    }
    let (statement, id) = match whose {
        Whose::Mailing(id) => (
            "SELECT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = $1 AND o.state IN ('queued', 'claimed', 'sending')) AS open",
            id.0,
        ),
        // What waits of mailings is found by them; what is held is never much.
        Whose::Account(id) => (
            "SELECT EXISTS (SELECT FROM outgoing o WHERE o.account_id = $1 AND o.state = 'queued' AND o.kind <> 'mailing')
               OR EXISTS (SELECT FROM mailings m JOIN outgoing o ON o.mailing_id = m.id AND o.state = 'queued'
                          WHERE m.account_id = $1 AND m.state = 'sending')
               OR EXISTS (SELECT FROM outgoing o WHERE o.account_id = $1 AND o.state IN ('claimed', 'sending')) AS open",
            id.0,
        ),
    };
    let found: Open = sql_query(statement)
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await?;
    Ok(found.open)
}
