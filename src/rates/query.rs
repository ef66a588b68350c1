//! The rows of a company's card.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Date, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Card, Micros, Prices, shipped};
use crate::i18n::Lang;
use crate::ids::{CompanyId, RateId};
use crate::text::country;

/// The prices of one country.
#[derive(Debug, Clone, QueryableByName)]
pub struct Rate {
    #[diesel(sql_type = BigInt)]
    pub id: RateId,
    #[diesel(sql_type = Text)]
    pub country: String,
    #[diesel(sql_type = BigInt)]
    marketing: Micros,
    #[diesel(sql_type = BigInt)]
    utility: Micros,
    #[diesel(sql_type = BigInt)]
    authentication: Micros,
    #[diesel(sql_type = BigInt)]
    service: Micros,
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

impl Rate {
    pub fn prices(&self) -> Prices {
        Prices {
            marketing: self.marketing,
            utility: self.utility,
            authentication: self.authentication,
            service: self.service,
        }
    }
}

const RATES: &str =
    "SELECT id, country, marketing, utility, authentication, service, updated_at FROM rates";

/// The company's card; the shipped one where it changed nothing.
pub async fn card(conn: &mut AsyncPgConnection, company: CompanyId) -> QueryResult<Card> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        currency: String,
        #[diesel(sql_type = Date)]
        since: NaiveDate,
        #[diesel(sql_type = Text)]
        source: String,
    }
    let row: Option<Row> =
        sql_query("SELECT currency, since, source FROM rate_cards WHERE company_id = $1")
            .bind::<BigInt, _>(company)
            .get_result(conn)
            .await
            .optional()?;
    let Some(row) = row else {
        return Ok(shipped::card());
    };
    let rates: Vec<Rate> = sql_query(format!("{RATES} WHERE company_id = $1"))
        .bind::<BigInt, _>(company)
        .load(conn)
        .await?;
    Ok(Card {
        currency: row.currency,
        since: row.since,
        source: row.source,
        prices: rates
            .into_iter()
            .map(|rate| (rate.country.clone(), rate.prices()))
            .collect(),
    })
}

/// Gives the company the shipped card as its own, where it has none.
pub async fn ensure(conn: &mut AsyncPgConnection, company: CompanyId) -> QueryResult<()> {
    let card = shipped::card();
    let made = sql_query(
        "INSERT INTO rate_cards (company_id, currency, since, source) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(&card.currency)
    .bind::<Date, _>(card.since)
    .bind::<Text, _>(&card.source)
    .execute(conn)
    .await?;
    if made > 0 {
        put(conn, company, &card.prices).await?;
    }
    Ok(())
}

/// Writes prices over those that stand.
async fn put(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    prices: &HashMap<String, Prices>,
) -> QueryResult<usize> {
    let countries: Vec<&str> = prices.keys().map(String::as_str).collect();
    let names: Vec<String> = countries
        .iter()
        .map(|code| {
            let named = |lang| country::named(lang, code);
            format!("{} {}", named(Lang::En), named(Lang::Id))
        })
        .collect();
    let column = |price: fn(&Prices) -> Micros| prices.values().map(price).collect::<Vec<_>>();
    sql_query(
        "INSERT INTO rates (company_id, country, names, marketing, utility, authentication, service)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
         ON CONFLICT (company_id, country) DO UPDATE SET marketing = excluded.marketing, utility = excluded.utility,
           authentication = excluded.authentication, service = excluded.service, updated_at = wablast_now()",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<Text>, _>(&countries)
    .bind::<Array<Text>, _>(&names)
    .bind::<Array<BigInt>, _>(column(|prices| prices.marketing))
    .bind::<Array<BigInt>, _>(column(|prices| prices.utility))
    .bind::<Array<BigInt>, _>(column(|prices| prices.authentication))
    .bind::<Array<BigInt>, _>(column(|prices| prices.service))
    .execute(conn)
    .await
}

/// Another currency, date and source, and the prices that come with them; others stay. Returns how many countries
/// got new prices.
pub async fn replace(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    card: &Card,
) -> QueryResult<usize> {
    sql_query("UPDATE rate_cards SET currency = $2, since = $3, source = $4, updated_at = wablast_now() WHERE company_id = $1")
        .bind::<BigInt, _>(company)
        .bind::<Text, _>(&card.currency)
        .bind::<Date, _>(card.since)
        .bind::<Text, _>(&card.source)
        .execute(conn)
        .await?;
    put(conn, company, &card.prices).await
}

pub async fn find(conn: &mut AsyncPgConnection, id: RateId) -> QueryResult<Rate> {
    sql_query(format!("{RATES} WHERE id = $1"))
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await
}

pub async fn update(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    rate: &Rate,
    prices: Prices,
) -> QueryResult<usize> {
    put(
        conn,
        company,
        &HashMap::from([(rate.country.clone(), prices)]),
    )
    .await
}
