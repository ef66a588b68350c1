//! Accounts whose messages outside workers fetch instead of our posting them to a webhook.
//!
//! Invariants: only an account that sends through a webhook can be set to it; an account nobody decided about is
//! not. Owns `account_pulling`. Does not know who fetches.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Account;
use crate::db::wablast_now;
use crate::ids::{AccountId, CompanyId};
use crate::schema::account_pulling;

/// Whether outside workers fetch an account's messages, and when one asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulling {
    pub pulls: bool,
    pub pulled_at: Option<DateTime<Utc>>,
}

/// What holds for the account as it is now.
pub async fn of(conn: &mut AsyncPgConnection, account: &Account) -> QueryResult<Pulling> {
    let found = account_pulling::table
        .find(account.id)
        .select((account_pulling::pulls, account_pulling::pulled_at))
        .first::<(bool, Option<DateTime<Utc>>)>(conn)
        .await
        .optional()?;
    let (pulls, pulled_at) = found.unwrap_or_default();
    Ok(Pulling {
        pulls: pulls && account.sends_through_webhook(),
        pulled_at,
    })
}

pub(super) async fn set(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    company: CompanyId,
    pulls: bool,
) -> QueryResult<()> {
    diesel::insert_into(account_pulling::table)
        .values((
            account_pulling::account_id.eq(id),
            account_pulling::company_id.eq(company),
            account_pulling::pulls.eq(pulls),
        ))
        .on_conflict(account_pulling::account_id)
        .do_update()
        .set(account_pulling::pulls.eq(pulls))
        .execute(conn)
        .await?;
    Ok(())
}

/// A worker asks.
pub async fn seen(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<usize> {
    diesel::update(account_pulling::table.find(id))
        .set(account_pulling::pulled_at.eq(wablast_now().nullable()))
        .execute(conn)
        .await
}
