//! What would happen: how many people get a mailing, who is left out and why, what they would miss.
//!
//! Invariant: counts with the expressions the release writes with; changes nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Mailing, audience, query, template};
use crate::accounts;
use crate::companies;
use crate::outgoing;
use crate::rates::{self, Category, Estimate};

/// What would happen if the mailing went out now.
#[derive(Debug, Clone, Default, serde::Serialize, utoipa::ToSchema)]
pub struct Preflight {
    #[schema(example = 498)]
    pub will_send: i64,
    /// Skip reason to how many people.
    #[schema(example = json!({ "opted_out": 9, "no_number": 5 }))]
    pub left_out: BTreeMap<String, i64>,
    #[schema(example = json!(["contact.ponits"]))]
    pub unknown_placeholders: Vec<String>,
    /// Placeholder without fallback to how many people have no value for it, of those who get it.
    #[schema(example = json!({ "contact.points": 6 }))]
    pub missing_values: BTreeMap<String, i64>,
    /// At the account's pace, from start to the last message.
    #[schema(example = 2040)]
    pub estimated_seconds: i64,
    /// What Meta would charge by the company's rate card; null where it does not send through Meta.
    pub cost: Option<Estimate>,
    /// Meta moved the mailing's template to another category within the last month; null where it did not
    pub category_change: Option<CategoryChange>,
    /// Meta's limit of people a business writes first to in 24 hours; null where there is none, or none is known.
    pub reach: Option<Reach>,
}

/// A template in another category than it was, and what that does to the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct CategoryChange {
    pub before: Category,
    /// When Meta moved it
    #[schema(example = "2026-11-27T02:41:00Z")]
    pub since: DateTime<Utc>,
    /// What the same people would cost in the category before, in millionths of the currency
    #[schema(example = 9_960_000)]
    pub micros_before: i64,
}

/// How much of a mailing fits into the limit of the next 24 hours.
#[derive(Debug, Clone, Copy, serde::Serialize, utoipa::ToSchema)]
pub struct Reach {
    /// People the business may write first to in 24 hours.
    #[schema(example = 2000)]
    pub limit: i64,
    /// People it wrote to in the last 24 hours.
    #[schema(example = 750)]
    pub used: i64,
    /// Of this mailing's people, those who can be written to at once.
    #[schema(example = 498)]
    pub fits: i64,
}

impl Preflight {
    /// Everybody chosen, once.
    pub fn people(&self) -> i64 {
        self.will_send + self.left_out.values().sum::<i64>()
    }
}

#[derive(QueryableByName)]
struct Verdict {
    #[diesel(sql_type = Nullable<Text>)]
    verdict: Option<String>,
    /// What their numbers begin with, where that matters.
    #[diesel(sql_type = Text)]
    head: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
    /// How many have no value, by placeholder.
    #[diesel(sql_type = Array<BigInt>)]
    missing: Vec<i64>,
}

/// Placeholders of a mailing that nothing fills.
pub(super) async fn unknown_placeholders(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
) -> QueryResult<Vec<String>> {
    let texts = mailing.texts();
    let (all, _) = audience::placeholders(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    unknown(conn, &all).await
}

/// Whether anybody at all would get it. Ends at the first who would.
pub(super) async fn anybody(conn: &mut AsyncPgConnection, mailing: &Mailing) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = Bool)]
        found: bool,
    }
    let texts = mailing.texts();
    let (_, bare) = audience::placeholders(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let required = if mailing.skip_missing_values {
        bare
    } else {
        Vec::new()
    };
    let company = companies::find(conn, mailing.company_id).await?;
    let window = template::window(conn, mailing).await?;
    let found: Found = sql_query(format!(
        "SELECT EXISTS (SELECT FROM ({people}) u {each} LEFT JOIN lists l ON l.id = u.list_id WHERE ({verdict}) IS NULL) AS found",
        people = audience::one_by_one(),
        each = audience::each("c", "u.contact_id"),
        verdict = audience::verdict(&required, company.frequency(), window),
    ))
    .bind::<BigInt, _>(mailing.id)
    .get_result(conn)
    .await?;
    Ok(found.found)
}

pub async fn run(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    now: DateTime<Utc>,
) -> QueryResult<Preflight> {
    let texts = mailing.texts();
    let (all, bare) = audience::placeholders(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let mut preflight = Preflight {
        unknown_placeholders: unknown(conn, &all).await?,
        ..Preflight::default()
    };
    let required = if mailing.skip_missing_values {
        bare.clone()
    } else {
        Vec::new()
    };
    let from = format!(
        "FROM ({people}) u {each} LEFT JOIN lists l ON l.id = u.list_id",
        people = audience::with_numbers(audience::EVERYBODY),
        each = audience::each("c", "u.contact_id")
    );
    let company = companies::find(conn, mailing.company_id).await?;
    let window = template::window(conn, mailing).await?;
    let verdict = audience::verdict(&required, company.frequency(), window);
    let category = template::charged_as(conn, mailing).await?;
    // Four digits tell the country.
    let head = category.map_or("''", |_| "coalesce(left(u.number, 4), '')");
    let known: Vec<&String> = bare
        .iter()
        .filter(|name| {
            !mailing.skip_missing_values && !preflight.unknown_placeholders.contains(name)
        })
        .collect();
    let empty: Vec<String> = known
        .iter()
        .map(|name| format!("coalesce({}, '') = ''", audience::field_sql(name)))
        .collect();
    let counts: Vec<String> = (1..=known.len())
        .map(|n| format!("count(*) FILTER (WHERE empty[{n}])"))
        .collect();
    let verdicts: Vec<Verdict> = sql_query(format!(
        "SELECT verdict, head, count(*) AS n, ARRAY[{counts}]::bigint[] AS missing
         FROM (SELECT {verdict} AS verdict, {head} AS head, ARRAY[{empty}]::bool[] AS empty {from}) v GROUP BY 1, 2",
        counts = counts.join(", "),
        empty = empty.join(", "),
    ))
    .bind::<BigInt, _>(mailing.id)
    .load(conn)
    .await?;
    let mut heads = Vec::new();
    for row in verdicts {
        match row.verdict {
            None => {
                preflight.will_send += row.n;
                for (name, n) in known.iter().zip(row.missing).filter(|(_, n)| *n > 0) {
                    *preflight.missing_values.entry((*name).clone()).or_default() += n;
                }
                heads.push((row.head, row.n));
            }
            Some(reason) => *preflight.left_out.entry(reason).or_default() += row.n,
        }
    }
    if let Some(category) = category {
        let card = rates::query::card(conn, mailing.company_id).await?;
        preflight.cost = Some(card.estimate(category, &heads));
        let moved = template::moved_lately(conn, mailing, now).await?;
        preflight.category_change = moved.map(|(before, since)| CategoryChange {
            before,
            since,
            micros_before: card.estimate(before, &heads).micros,
        });
        preflight.reach = reach(conn, mailing, preflight.will_send).await?;
    }
    preflight.estimated_seconds = seconds(conn, mailing, preflight.will_send, now).await?;
    Ok(preflight)
}

/// Free text goes to people whose 24 hours are open: nobody counts them.
async fn reach(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    people: i64,
) -> QueryResult<Option<Reach>> {
    let account = accounts::query::find(conn, mailing.account_id)
        .await
        .optional()?;
    let Some(account) = account.filter(|_| mailing.template_id.is_some()) else {
        return Ok(None);
    };
    let room = outgoing::reach::room(conn, account.company_id).await?;
    Ok(room.map(|room| Reach {
        limit: room.limit,
        used: room.used,
        fits: people.min(room.left()),
    }))
}

/// At the account's pace, its caps and its pauses; quiet hours come on top.
async fn seconds(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    messages: i64,
    now: DateTime<Utc>,
) -> QueryResult<i64> {
    let account = accounts::query::find(conn, mailing.account_id).await;
    // The company may not use it any more: what stands in the way says so.
    let Some(account) = account.optional()? else {
        return Ok(0);
    };
    Ok(account.least_seconds(messages, now))
}

async fn unknown(conn: &mut AsyncPgConnection, names: &[String]) -> QueryResult<Vec<String>> {
    let mut unknown = Vec::new();
    for name in names {
        let known = match audience::attribute(name) {
            Some(key) => query::attribute_exists(conn, key).await?,
            None => audience::FIXED.contains(&name.as_str()),
        };
        if !known {
            unknown.push(name.clone());
        }
    }
    Ok(unknown)
}
