//! How the number of an account at Meta stands: what Meta said last, when asked or by itself.
//!
//! Invariants: a look changes nothing at Meta, and no transaction is open while it answers; the limit of people is the
//! whole business's, so of several numbers the newest word counts for all; an account is asked every half hour at
//! most, by all instances together. Owns `meta_numbers`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::{StreamExt as _, stream};

use super::{Account, query};
use crate::app::App;
use crate::gateways::meta::account::{Looked, people_a_day};
use crate::gateways::meta::events::NumberNews;
use crate::ids::{AccountId, CompanyId};

/// Accounts that are asked at one time.
const AT_ONCE: usize = 8;

/// What Meta said last.
#[derive(Debug, Clone, QueryableByName)]
pub struct Number {
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Text)]
    pub verified_name: String,
    /// Meta's words in lower case; empty where it did not say.
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Text)]
    pub quality: String,
    #[diesel(sql_type = Text)]
    pub throughput: String,
    #[diesel(sql_type = Text)]
    messaging_limit: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub restriction: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub restricted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Array<Text>)]
    pub token_scopes: Vec<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub token_expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    pub token_known: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub known_at: Option<DateTime<Utc>>,
}

/// Statuses and qualities that have words of ours; Meta's sets are open.
const STATUSES: [&str; 11] = [
    "connected",
    "pending",
    "unverified",
    "offline",
    "flagged",
    "restricted",
    "rate_limited",
    "banned",
    "disconnected",
    "migrated",
    "deleted",
];
const QUALITIES: [&str; 5] = ["green", "yellow", "red", "unknown", "na"];

impl Number {
    pub fn has_known_status(&self) -> bool {
        STATUSES.contains(&self.status.as_str())
    }

    pub fn has_known_quality(&self) -> bool {
        QUALITIES.contains(&self.quality.as_str())
    }

    /// How many people the business may write first to in 24 hours.
    pub fn limit(&self) -> Limit {
        Limit::of(&self.messaging_limit)
    }
}

/// People a business may write first to in 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Unknown,
    None,
    People(i64),
}

impl Limit {
    fn of(word: &str) -> Self {
        let word = word.to_ascii_uppercase();
        match people_a_day(&word) {
            Some(people) => Self::People(people),
            None if word == "TIER_UNLIMITED" => Self::None,
            None => Self::Unknown,
        }
    }
}

pub async fn find(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<Option<Number>> {
    sql_query(
        "SELECT number, verified_name, status, quality, throughput, messaging_limit, restriction, restricted_at, token_scopes,
           token_expires_at, token_known, known_at FROM meta_numbers WHERE account_id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
    .optional()
}

/// The limit of a company's business, as the newest word has it.
pub async fn limit_of(conn: &mut AsyncPgConnection, company: CompanyId) -> QueryResult<Limit> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        messaging_limit: String,
    }
    let row: Option<Row> = sql_query(
        "SELECT n.messaging_limit FROM meta_numbers n JOIN accounts a ON a.id = n.account_id
         WHERE n.company_id = $1 AND a.active AND n.messaging_limit <> '' ORDER BY n.limit_at DESC NULLS LAST LIMIT 1",
    )
    .bind::<BigInt, _>(company)
    .get_result(conn)
    .await
    .optional()?;
    Ok(row.map_or(Limit::Unknown, |row| Limit::of(&row.messaging_limit)))
}

/// Keeps what a look found.
pub async fn learn(
    conn: &mut AsyncPgConnection,
    account: &Account,
    looked: &Looked,
) -> QueryResult<usize> {
    let Looked { standing, token } = looked;
    let lower = |word: &str| word.to_ascii_lowercase();
    sql_query(
        "INSERT INTO meta_numbers AS n (account_id, company_id, number, verified_name, status, quality, throughput, messaging_limit,
           limit_at, token_known, token_scopes, token_expires_at, asked_at, known_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, wablast_now(), $9, $10, $11, wablast_now(), wablast_now())
         ON CONFLICT (account_id) DO UPDATE SET number = excluded.number, verified_name = excluded.verified_name,
           status = excluded.status, quality = excluded.quality,
           throughput = coalesce(nullif(excluded.throughput, ''), n.throughput),
           messaging_limit = coalesce(nullif(excluded.messaging_limit, ''), n.messaging_limit),
           limit_at = CASE WHEN excluded.messaging_limit <> '' THEN excluded.limit_at ELSE n.limit_at END,
           token_known = excluded.token_known, token_scopes = excluded.token_scopes,
           token_expires_at = excluded.token_expires_at, asked_at = excluded.asked_at, known_at = excluded.known_at",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<BigInt, _>(account.company_id)
    .bind::<Text, _>(&standing.number)
    .bind::<Text, _>(&standing.verified_name)
    .bind::<Text, _>(lower(&standing.status))
    .bind::<Text, _>(lower(&standing.quality))
    .bind::<Text, _>(lower(&standing.throughput))
    .bind::<Text, _>(lower(&standing.limit))
    .bind::<Bool, _>(token.is_some())
    .bind::<Array<Text>, _>(token.as_ref().map(|token| token.scopes.clone()).unwrap_or_default())
    .bind::<Nullable<Timestamptz>, _>(token.as_ref().and_then(|token| token.expires_at))
    .execute(conn)
    .await
}

/// A number that works again after a test is restricted no more.
pub(super) async fn lifted(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<usize> {
    sql_query("UPDATE meta_numbers SET restriction = NULL, restricted_at = NULL WHERE account_id = $1 AND restriction IS NOT NULL")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await
}

/// Meta restricts numbers.
pub async fn restricted(
    conn: &mut AsyncPgConnection,
    numbers: &[AccountId],
    what: &str,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO meta_numbers (account_id, company_id, restriction, restricted_at)
         SELECT id, company_id, $2, wablast_now() FROM accounts WHERE id = ANY ($1)
         ON CONFLICT (account_id) DO UPDATE SET restriction = excluded.restriction, restricted_at = excluded.restricted_at",
    )
    .bind::<Array<BigInt>, _>(numbers)
    .bind::<Text, _>(what)
    .execute(conn)
    .await
}

/// Meta told something by itself: of one number, or, without digits, of the whole business.
pub async fn news(
    conn: &mut AsyncPgConnection,
    accounts: &[AccountId],
    news: &NumberNews,
) -> QueryResult<usize> {
    let quality = match news.event.as_str() {
        "FLAGGED" => "red",
        "UNFLAGGED" => "green",
        _ => "",
    };
    let throughput = match news.event.as_str() {
        "THROUGHPUT_UPGRADE" => "high",
        _ => "",
    };
    sql_query(
        "INSERT INTO meta_numbers AS n (account_id, company_id, number, quality, throughput, messaging_limit, limit_at)
         SELECT id, company_id, $2, $3, $4, $5, wablast_now() FROM accounts
         WHERE id = ANY ($1) AND ($2 = '' OR NOT EXISTS (SELECT FROM meta_numbers k WHERE k.account_id = id AND k.number NOT IN ('', $2)))
         ON CONFLICT (account_id) DO UPDATE SET quality = coalesce(nullif(excluded.quality, ''), n.quality),
           throughput = coalesce(nullif(excluded.throughput, ''), n.throughput),
           messaging_limit = coalesce(nullif(excluded.messaging_limit, ''), n.messaging_limit),
           limit_at = CASE WHEN excluded.messaging_limit <> '' THEN excluded.limit_at ELSE n.limit_at END",
    )
    .bind::<Array<BigInt>, _>(accounts)
    .bind::<Text, _>(&news.number)
    .bind::<Text, _>(quality)
    .bind::<Text, _>(throughput)
    .bind::<Text, _>(news.limit.as_deref().unwrap_or_default().to_ascii_lowercase())
    .execute(conn)
    .await
}

/// Asks Meta about one number now. What Meta does not answer leaves what is known.
pub async fn look(app: &App, account: &Account) -> anyhow::Result<bool> {
    let Ok(looked) = account.meta(app)?.look().await else {
        return Ok(false);
    };
    let mut conn = app.db.system().await?;
    learn(&mut conn, account, &looked).await?;
    Ok(true)
}

/// Asks about those nobody asked about for half an hour; returns how many answered.
pub async fn look_at_due(app: &App) -> anyhow::Result<usize> {
    #[derive(QueryableByName)]
    struct Due {
        #[diesel(sql_type = BigInt)]
        account_id: AccountId,
    }
    let mut accounts = Vec::new();
    {
        let mut conn = app.db.system().await?;
        let due: Vec<Due> = sql_query(
            "INSERT INTO meta_numbers AS n (account_id, company_id, asked_at)
             SELECT id, company_id, wablast_now() FROM accounts
             WHERE active AND provider = 'meta' AND send_through = 'api' AND token IS NOT NULL AND tested_at IS NOT NULL
             ON CONFLICT (account_id) DO UPDATE SET asked_at = excluded.asked_at
             WHERE n.asked_at IS NULL OR n.asked_at <= excluded.asked_at - interval '30 minutes'
             RETURNING account_id",
        )
        .load(&mut conn)
        .await?;
        for one in due {
            accounts.push(query::find(&mut conn, one.account_id).await?);
        }
    }
    // A Meta that does not answer holds up nobody else for long.
    let looks = stream::iter(accounts)
        .map(|account| async move { look(app, &account).await })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut answered = 0;
    for looked in looks {
        answered += usize::from(looked?);
    }
    Ok(answered)
}
