//! What would happen: how many people get a mailing, who is left out and why, what they would miss.
//!
//! Invariant: counts with the expressions the release writes with; changes nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Mailing, audience, query, template};
use crate::accounts;
use crate::companies;

/// What would happen if the mailing went out now.
#[derive(Debug, Clone, Default, serde::Serialize, utoipa::ToSchema)]
pub struct Preflight {
    #[schema(example = 498)]
    pub will_send: i64,
    /// Skip reason to how many people.
    #[schema(example = json!({ "opted_out": 9, "duplicate": 5 }))]
    pub left_out: BTreeMap<String, i64>,
    pub unknown_placeholders: Vec<String>,
    /// Placeholder without fallback to how many people have no value for it, of those who get it.
    #[schema(example = json!({ "contact.points": 6 }))]
    pub missing_values: BTreeMap<String, i64>,
    /// At the account's pace, from start to the last message.
    pub estimated_seconds: i64,
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
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Missing {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
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
        people = audience::numbered(),
        each = audience::each("c", "u.contact_id")
    );
    let company = companies::find(conn, mailing.company_id).await?;
    let window = template::window(conn, mailing).await?;
    let verdict = audience::verdict(&required, company.frequency(), window);
    let verdicts: Vec<Verdict> = sql_query(format!(
        "SELECT {verdict} AS verdict, count(*) AS n {from} GROUP BY 1"
    ))
    .bind::<BigInt, _>(mailing.id)
    .load(conn)
    .await?;
    for row in verdicts {
        match row.verdict {
            None => preflight.will_send = row.n,
            Some(reason) => {
                preflight.left_out.insert(reason, row.n);
            }
        }
    }
    if !mailing.skip_missing_values {
        let known: Vec<&String> = bare
            .iter()
            .filter(|name| !preflight.unknown_placeholders.contains(name))
            .collect();
        for name in known {
            let missing: Missing = sql_query(format!(
                "SELECT $2::text AS name, count(*) AS n {from} WHERE ({verdict}) IS NULL AND coalesce({value}, '') = ''",
                value = audience::field_sql(name)
            ))
            .bind::<BigInt, _>(mailing.id)
            .bind::<Text, _>(name)
            .get_result(conn)
            .await?;
            if missing.n > 0 {
                preflight.missing_values.insert(missing.name, missing.n);
            }
        }
    }
    preflight.estimated_seconds = seconds(conn, mailing, preflight.will_send, now).await?;
    Ok(preflight)
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
