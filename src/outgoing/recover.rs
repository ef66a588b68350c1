//! After the database went away in the middle: what this process held and did not send goes back.
//!
//! Invariant: only messages whose request this process never started are named here, so that *not sent*
//! is known. Whatever its request had begun stays with the recorder, which waits for the database.

use std::time::Duration;

use uuid::Uuid;

use super::queue::{self, Claimed};
use super::record::{self, Outcome};
use crate::app::App;
use crate::gateways::{FailureCode, SendError};
use crate::ids::AccountId;

/// Gives back what a worker claimed. `unsure`: it asked to begin these and got no answer, so that some
/// may stand as *sending* although nothing left.
pub(super) async fn give_back(
    app: &App,
    account: AccountId,
    owner: Uuid,
    unsure: &[Claimed],
) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    // First those that are not begun: a begin that is committed this very moment is waited for.
    queue::give_back(&mut conn, unsure).await?;
    let begun: Vec<Outcome> = unsure.iter().map(|one| not_sent(account, one)).collect();
    record::record(&mut conn, &begun).await?;
    queue::give_back_all(&mut conn, account, owner).await?;
    Ok(())
}

fn not_sent(account: AccountId, claimed: &Claimed) -> Outcome {
    Outcome {
        id: claimed.id,
        account,
        fence: claimed.fence,
        log: None,
        result: Err(SendError::NotSent {
            after: None,
            code: FailureCode::Unreachable,
            reason: "The database was away before this message could leave.".to_owned(),
        }),
        wait: Duration::ZERO,
    }
}
