//! What delivered messages cost, by what Meta reports it charges them as.
//!
//! Invariants: Meta charges what is delivered, so a message has one row once a *delivered* or *read* told its
//! category, whatever the order of statuses and however often they come; an attempt has one row at most; the sums are
//! raised by the statement that writes the rows, so that they equal a recount.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Card, Category, Micros, query};
use crate::ids::{AccountId, CompanyId, LogId, MailingId};
use crate::prepared::prepared;
use crate::text::zones;

/// A delivered message, and what it is charged as.
#[derive(Debug, Clone)]
pub struct Charged {
    pub account: AccountId,
    pub own_ref: Option<String>,
    pub provider_id: String,
    /// As Meta writes it.
    pub category: String,
    pub billable: bool,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = BigInt)]
    attempt_id: i64,
    #[diesel(sql_type = BigInt)]
    company_id: CompanyId,
    #[diesel(sql_type = Text)]
    number: String,
}

const FIND: &str = "
WITH told AS (
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY AS t(account_id, own_ref, provider_id, n)
), found AS (
  SELECT t.n, a.id, a.outgoing_id FROM told t JOIN attempts a ON a.account_id = t.account_id AND a.own_ref = t.own_ref
  UNION
  SELECT t.n, a.id, a.outgoing_id FROM told t JOIN attempts a ON a.account_id = t.account_id AND a.provider_id = t.provider_id
)
SELECT min(f.n) AS n, f.id AS attempt_id, o.company_id, coalesce(o.number, o.skipped_number, '') AS number
FROM found f JOIN outgoing o ON o.id = f.outgoing_id
WHERE NOT EXISTS (SELECT FROM charges c WHERE c.attempt_id = f.id)
GROUP BY f.id, o.company_id, 4 ORDER BY f.id";

const WRITE: &str = "
WITH written AS (
INSERT INTO charges (company_id, attempt_id, outgoing_id, account_id, mailing_id, log_id, country, category, billable, currency, micros)
SELECT o.company_id, a.id, o.id, a.account_id, o.mailing_id, a.log_id, t.country, t.category, t.billable, t.currency, t.micros
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::bigint[])
  AS t(attempt_id, country, category, billable, currency, micros)
JOIN attempts a ON a.id = t.attempt_id JOIN outgoing o ON o.id = a.outgoing_id
ON CONFLICT DO NOTHING
RETURNING *
)
INSERT INTO charge_sums AS s (company_id, mailing_id, log_id, currency, category, micros, messages, free, without_price)
SELECT company_id, coalesce(mailing_id, 0), coalesce(log_id, 0), currency, category, coalesce(sum(micros), 0), count(*),
  count(*) FILTER (WHERE NOT billable), count(*) FILTER (WHERE micros IS NULL)
FROM written GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (mailing_id, log_id, company_id, currency, category) DO UPDATE SET micros = s.micros + excluded.micros,
  messages = s.messages + excluded.messages, free = s.free + excluded.free, without_price = s.without_price + excluded.without_price";

/// Writes what is not written yet. Run it inside a transaction.
pub async fn note(conn: &mut AsyncPgConnection, charged: &[Charged]) -> QueryResult<usize> {
    if charged.is_empty() {
        return Ok(0);
    }
    let accounts: Vec<AccountId> = charged.iter().map(|one| one.account).collect();
    let own_refs: Vec<Option<&str>> = charged.iter().map(|one| one.own_ref.as_deref()).collect();
    let provider_ids: Vec<&str> = charged.iter().map(|one| one.provider_id.as_str()).collect();
    let found: Vec<Found> = prepared(FIND)
        .bind::<Array<BigInt>, _>(accounts)
        .bind::<Array<Nullable<Text>>, _>(own_refs)
        .bind::<Array<Text>, _>(provider_ids)
        .load(conn)
        .await?;
    if found.is_empty() {
        return Ok(0);
    }
    let mut cards: HashMap<CompanyId, Card> = HashMap::new();
    for one in &found {
        if let Entry::Vacant(card) = cards.entry(one.company_id) {
            card.insert(query::card(conn, one.company_id).await?);
        }
    }
    write(conn, charged, &found, &cards).await
}

async fn write(
    conn: &mut AsyncPgConnection,
    charged: &[Charged],
    found: &[Found],
    cards: &HashMap<CompanyId, Card>,
) -> QueryResult<usize> {
    let told = |one: &Found| {
        let at = usize::try_from(one.n - 1).unwrap_or_default();
        charged.get(at)
    };
    let rows: Vec<(&Found, &Charged, &Card)> = found
        .iter()
        .filter_map(|one| Some((one, told(one)?, cards.get(&one.company_id)?)))
        .collect();
    let price = |(one, charged, card): &(&Found, &Charged, &Card)| -> Option<Micros> {
        if !charged.billable {
            return Some(0);
        }
        card.price(&one.number, Category::parse(&charged.category)?)
    };
    let countries: Vec<&str> = rows
        .iter()
        .map(|(one, ..)| zones::region_of(&one.number).unwrap_or_default())
        .collect();
    prepared(WRITE)
        .bind::<Array<BigInt>, _>(
            rows.iter()
                .map(|(one, ..)| one.attempt_id)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(countries)
        .bind::<Array<Text>, _>(
            rows.iter()
                .map(|(_, charged, _)| charged.category.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Bool>, _>(
            rows.iter()
                .map(|(_, charged, _)| charged.billable)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            rows.iter()
                .map(|(.., card)| card.currency.as_str())
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<BigInt>>, _>(rows.iter().map(price).collect::<Vec<_>>())
        .execute(conn)
        .await
}

/// What messages cost, a row for each currency and category.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName, serde::Serialize, utoipa::ToSchema)]
pub struct Cost {
    #[diesel(sql_type = Text)]
    #[schema(example = "USD")]
    pub currency: String,
    #[diesel(sql_type = Text)]
    #[schema(example = "marketing")]
    pub category: String,
    /// Millionths of the currency.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 20_467_800)]
    pub micros: i64,
    /// Delivered messages, those of no charge among them.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 498)]
    pub messages: i64,
    /// Of them without a charge.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 0)]
    pub free: i64,
    /// Of them charged, in a country the card has no price for: not in the sum.
    #[diesel(sql_type = BigInt)]
    #[schema(example = 0)]
    pub without_price: i64,
}

const COST: &str = "
SELECT currency, category, sum(micros)::bigint AS micros, sum(messages)::bigint AS messages, sum(free)::bigint AS free,
  sum(without_price)::bigint AS without_price
FROM charge_sums";

/// What a mailing's delivered messages cost so far.
pub async fn of_mailing(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
) -> QueryResult<Vec<Cost>> {
    sql_query(format!(
        "{COST} WHERE mailing_id = $1 GROUP BY 1, 2 ORDER BY 3 DESC, 2"
    ))
    .bind::<BigInt, _>(mailing)
    .load(conn)
    .await
}

/// What the delivered messages of one run cost so far.
pub async fn of_log(conn: &mut AsyncPgConnection, log: LogId) -> QueryResult<Vec<Cost>> {
    sql_query(format!(
        "{COST} WHERE log_id = $1 GROUP BY 1, 2 ORDER BY 3 DESC, 2"
    ))
    .bind::<BigInt, _>(log)
    .load(conn)
    .await
}
