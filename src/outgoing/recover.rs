//! After the database went away in the middle: what this process held and did not send goes back.
//!
//! Invariant: only messages whose request this process never started are named here, so that *not sent*
//! is known. Whatever its request had begun stays with the recorder, which waits for the database.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::claim::Claimed;
use super::pace;
use super::queue;
use super::record::{self, Outcome};
use super::remember::Memory;
use crate::app::App;
use crate::gateways::{FailureCode, SendError};
use crate::ids::{AccountId, LogId, OutgoingId};

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
    let begun: Vec<Outcome> = unsure
        .iter()
        .map(|one| not_sent(account, one.id, one.fence, None))
        .collect();
    record::record(&mut conn, &begun).await?;
    queue::give_back_all(&mut conn, account, owner).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    #[diesel(sql_type = Integer)]
    fence: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    log_id: Option<LogId>,
    /// How long ago it was begun.
    #[diesel(sql_type = Double)]
    seconds: f64,
}

/// Gives back what was begun when it was taken without the answer being heard. To be asked only when no
/// request of this worker is under way and every outcome is recorded: then nothing *sending* has left. But
/// for what did, where the database came back as it was some time ago: that is left to the reaper.
pub(super) async fn never_sent(
    app: &App,
    account: AccountId,
    owner: Uuid,
    memory: &Memory,
) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    // A statement that takes holds this row: one that is committed this very moment is waited for.
    pace::hold(&mut conn, account).await?;
    queue::give_back_all(&mut conn, account, owner).await?;
    let held: Vec<Held> = sql_query(
        "SELECT id, fence, log_id, greatest(0, extract(epoch FROM wablast_now() - begun_at))::float8 AS seconds
         FROM outgoing WHERE state = 'sending' AND account_id = $1 AND owner = $2",
    )
    .bind::<BigInt, _>(account)
    .bind::<SqlUuid, _>(owner)
    .load(&mut conn)
    .await?;
    let begun: Vec<Outcome> = held
        .iter()
        .filter(|one| {
            let begun = Duration::try_from_secs_f64(one.seconds).unwrap_or(Duration::MAX);
            !memory.may_have_left(one.id, one.fence, begun)
        })
        .map(|one| not_sent(account, one.id, one.fence, one.log_id))
        .collect();
    record::record(&mut conn, &begun).await?;
    Ok(())
}

fn not_sent(account: AccountId, id: OutgoingId, fence: i32, log: Option<LogId>) -> Outcome {
    Outcome {
        id,
        account,
        fence,
        log,
        result: Err(SendError::NotSent {
            after: None,
            code: FailureCode::Unreachable,
            reason: "The database was away before this message could leave.".to_owned(),
        }),
        wait: Duration::ZERO,
        counts_people: false,
    }
}
