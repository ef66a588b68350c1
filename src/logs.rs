//! Mailing Logs: one row a run of a mailing, with its trigger, its totals and what the gateway said.
//!
//! Invariant: totals are counted from the messages, never kept beside them. Owns `logs`.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::{AccountId, CompanyId, LogId, MailingId, UserId};
use crate::schema::{accounts, logs};

/// Why a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Scheduler,
    SendNow,
    /// What failed, once more.
    Retry,
    /// What was uncertain, once more.
    Resend,
}

impl Trigger {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::SendNow => "send_now",
            Self::Retry => "retry",
            Self::Resend => "resend",
        }
    }
}

/// Opens the log of a run.
pub async fn open(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    mailing: MailingId,
    account: AccountId,
    trigger: Trigger,
    user: Option<UserId>,
    recipients: &str,
) -> QueryResult<LogId> {
    diesel::insert_into(logs::table)
        .values((
            logs::company_id.eq(company),
            logs::mailing_id.eq(mailing),
            logs::account_id.eq(account),
            logs::trigger.eq(trigger.as_str()),
            logs::user_id.eq(user),
            logs::recipients.eq(recipients),
            // Nothing would leave, and nothing would say why.
            logs::error_message.eq(accounts::table
                .find(account)
                .filter(accounts::health.eq("stopped"))
                .select(accounts::health_reason)
                .single_value()),
        ))
        .returning(logs::id)
        .get_result(conn)
        .await
}

/// What a gateway said last, for each of the runs it concerns.
pub async fn gateway_said(
    conn: &mut AsyncPgConnection,
    said: &[(LogId, String)],
) -> QueryResult<usize> {
    let ids: Vec<LogId> = said.iter().map(|(log, _)| *log).collect();
    let texts: Vec<&str> = said.iter().map(|(_, text)| text.as_str()).collect();
    sql_query(
        "UPDATE logs l SET error_message = s.text FROM unnest($1::bigint[], $2::text[]) AS s(id, text) WHERE l.id = s.id",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Text>, _>(texts)
    .execute(conn)
    .await
}

/// What holds an account back, for every run of it that is under way: nothing of theirs has failed, and
/// still nothing leaves.
pub async fn account_said(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    said: &str,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE logs SET error_message = $2 WHERE account_id = $1 AND state = 'running' AND error_message IS DISTINCT FROM $2",
    )
    .bind::<BigInt, _>(account)
    .bind::<Text, _>(said)
    .execute(conn)
    .await
}

/// The run follows its mailing: running while anything is open, then how it ended. `well`: nothing of what
/// went wrong on the way is left, so that the log keeps no error.
pub async fn settle(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
    state: &str,
    reason: Option<&str>,
    well: bool,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE logs SET state = $2, finished_at = CASE WHEN $2 = 'running' THEN NULL ELSE coalesce(finished_at, wablast_now()) END, \
         error_message = CASE WHEN $4 THEN $3 ELSE coalesce(error_message, $3) END \
         WHERE id = (SELECT max(id) FROM logs WHERE mailing_id = $1) AND (state <> $2 OR (error_message IS NULL AND $3 IS NOT NULL))",
    )
    .bind::<BigInt, _>(mailing)
    .bind::<Text, _>(state)
    .bind::<Nullable<Text>, _>(reason)
    .bind::<Bool, _>(well)
    .execute(conn)
    .await
}
