//! Trying again: *Retry failed*, and the two ways to settle what is uncertain.
//!
//! Invariants: a run of its own with a log of its own; only what may still go goes; a second press finds
//! the mailing sending and changes nothing.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Mailing, Verb, illegal, query, settle};
use crate::accounts;
use crate::companies;
use crate::error::{Error, Result};
use crate::ids::{LogId, MailingId, OutgoingId, UserId};
use crate::logs::{self, Trigger};
use crate::outgoing::again::{self, Outlook, Which};
use crate::schema::logs as logs_table;

fn verb(which: Which) -> Verb {
    match which {
        Which::Failed => Verb::RetryFailed,
        Which::Uncertain => Verb::Resend,
    }
}

/// What would go once more, and what stays; refused where the mailing's state does not allow it.
pub async fn outlook(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    which: Which,
    only: Option<OutgoingId>,
) -> Result<Outlook> {
    super::require(mailing, verb(which))?;
    Ok(again::outlook(conn, mailing.id, which, only).await?)
}

/// Sends what failed, or what is uncertain, once more. Returns how many messages go.
pub async fn send(
    conn: &mut AsyncPgConnection,
    user: UserId,
    id: MailingId,
    which: Which,
    only: Option<OutgoingId>,
) -> Result<(Mailing, usize)> {
    let mailing = query::lock(conn, id).await?;
    if !mailing.allows(verb(which)) {
        return Err(illegal(&mailing, verb(which)));
    }
    companies::still_works(conn, mailing.company_id).await?;
    let account = accounts::usable(conn, mailing.account_id, user).await?;
    if let Some(reason) = account.not_built() {
        return Err(Error::invalid("account_id", reason));
    }
    let outlook = again::outlook(conn, id, which, only).await?;
    if outlook.goes == 0 {
        return Err(Error::invalid(
            "recipients",
            "None of these messages can be sent again. Each says why on its own page.",
        ));
    }
    let trigger = match which {
        Which::Failed => Trigger::Retry,
        Which::Uncertain => Trigger::Resend,
    };
    let log = open_log(conn, &mailing, trigger, Some(user)).await?;
    let gone = again::requeue(conn, id, log, which, only).await?;
    run(conn, &mailing, log).await?;
    Ok((query::find(conn, id).await?, gone))
}

/// Sends uncertain messages once more of which it is proven that they did not arrive: the account's policy,
/// nobody's press. While the mailing is not at rest nothing happens. Returns how many go.
pub(super) async fn send_proven(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    proven: &[OutgoingId],
) -> Result<usize> {
    let mailing = query::lock(conn, id).await?;
    if !mailing.allows(Verb::Resend) {
        return Ok(0);
    }
    let mut going = Vec::new();
    for one in proven {
        if again::outlook(conn, id, Which::Uncertain, Some(*one))
            .await?
            .goes
            > 0
        {
            going.push(*one);
        }
    }
    if going.is_empty() {
        return Ok(0);
    }
    let log = open_log(conn, &mailing, Trigger::Resend, None).await?;
    let mut gone = 0;
    for one in going {
        gone += again::requeue(conn, id, log, Which::Uncertain, Some(one)).await?;
    }
    run(conn, &mailing, log).await?;
    Ok(gone)
}

async fn open_log(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    trigger: Trigger,
    user: Option<UserId>,
) -> Result<LogId> {
    let recipients = query::recipients_of_last_run(conn, mailing.id).await?;
    let (company, account) = (mailing.company_id, mailing.account_id);
    let log = logs::open(
        conn,
        company,
        mailing.id,
        account,
        trigger,
        user,
        &recipients,
    )
    .await?;
    Ok(log)
}

/// The mailing is sending again, for the run of `log`.
async fn run(conn: &mut AsyncPgConnection, mailing: &Mailing, log: LogId) -> QueryResult<usize> {
    sql_query(
        "UPDATE mailings SET state = 'sending', state_reason = NULL, log_id = $2, finished_at = NULL, updated_at = wablast_now()
         WHERE id = $1 AND state = $3",
    )
    .bind::<BigInt, _>(mailing.id)
    .bind::<BigInt, _>(log)
    .bind::<Text, _>(&mailing.state)
    .execute(conn)
    .await
}

/// Whether the mailing's last run is one that tries again.
pub(super) async fn is_run(conn: &mut AsyncPgConnection, mailing: &Mailing) -> Result<bool> {
    let Some(log) = mailing.log_id else {
        return Ok(false);
    };
    let trigger: String = logs_table::table
        .find(log)
        .select(logs_table::trigger)
        .first(conn)
        .await?;
    Ok(trigger == "retry" || trigger == "resend")
}

/// A person says that what is uncertain did arrive.
pub async fn mark_sent(
    conn: &mut AsyncPgConnection,
    user: UserId,
    id: MailingId,
    only: Option<OutgoingId>,
) -> Result<(Mailing, usize)> {
    let mailing = query::lock(conn, id).await?;
    if !mailing.allows(Verb::MarkSent) {
        return Err(illegal(&mailing, Verb::MarkSent));
    }
    let settled = again::mark_sent(conn, id, user, only).await?;
    settle::one(conn, id).await?;
    Ok((query::find(conn, id).await?, settled))
}
