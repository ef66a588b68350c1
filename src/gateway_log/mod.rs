//! The Gateway Log: what passed between us and gateways, for whoever looks for a fault.
//!
//! Invariants: written in the background and in batches, by nobody who sends; no secret of an account, no text
//! longer than [`TEXT_MAX`] letters and none of a flow's insides is stored; a company decides what is written and
//! how long it stays. Owns `gateway_log`, `gateway_log_dropped` and `gateway_log_settings`.

pub mod list;
pub mod settings;
mod shown;

use std::collections::HashMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;
use tokio::sync::watch;

use crate::accounts::{self, flow};
use crate::app::App;
use crate::gateways::redact;
use crate::gateways::tap::Exchange;
use crate::ids::AccountId;

pub use shown::TEXT_MAX;

/// Rows of one statement.
const BATCH: usize = 200;
/// How often what waits is looked at, and how often what companies want is read again.
const LOOK: Duration = Duration::from_secs(1);
const READ_AGAIN: u32 = 5;

/// Writes what waits, until `stop`.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(LOOK);
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            _ = look.tick() => {}
            _ = stop.changed() => break,
        }
        if looks.is_multiple_of(READ_AGAIN)
            && let Err(error) = settings::read(&app).await
        {
            tracing::debug!("reading what the Gateway Log is for: {error:#}");
        }
        looks = looks.wrapping_add(1);
        if let Err(error) = write(&app).await {
            tracing::warn!("writing the Gateway Log: {error:#}");
        }
    }
    // What ended meanwhile is worth a last try.
    let _ = write(&app).await;
}

/// Writes everything that waits; returns how many. What cannot be written counts as dropped.
pub async fn write(app: &App) -> anyhow::Result<usize> {
    let mut written = 0;
    loop {
        let (exchanges, dropped) = app.http.tap().take(BATCH);
        if exchanges.is_empty() && dropped.is_empty() {
            return Ok(written);
        }
        if let Err(error) = store(app, &exchanges, &dropped).await {
            let lost = exchanges.iter().map(|one| (one.subject.company, 1));
            app.http.tap().lost(lost.chain(dropped));
            return Err(error);
        }
        written += exchanges.len();
    }
}

async fn store(
    app: &App,
    exchanges: &[Exchange],
    dropped: &HashMap<i64, i64>,
) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    if !dropped.is_empty() {
        count_dropped(&mut conn, dropped).await?;
    }
    if exchanges.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<i64> = exchanges.iter().map(|one| one.subject.account).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut secrets: HashMap<i64, Vec<SecretString>> = HashMap::new();
    for id in ids {
        let account = accounts::query::find(&mut conn, AccountId(id)).await?;
        let flow = flow::of(&mut conn, account.id).await?;
        secrets.insert(id, account.secrets(app, &flow)?);
    }
    let none = Vec::new();
    let rows: Vec<Row> = exchanges
        .iter()
        .map(|one| Row::of(one, secrets.get(&one.subject.account).unwrap_or(&none)))
        .collect();
    insert(&mut conn, exchanges, &rows).await?;
    Ok(())
}

/// What may be stored of an exchange.
struct Row {
    request: String,
    answer: String,
    failure: Option<String>,
}

impl Row {
    fn of(exchange: &Exchange, secrets: &[SecretString]) -> Self {
        Self {
            request: shown::body(&exchange.request, secrets),
            answer: shown::body(&exchange.answer, secrets),
            failure: exchange
                .failure
                .as_ref()
                .map(|words| redact::words(words, secrets)),
        }
    }
}

async fn insert(
    conn: &mut AsyncPgConnection,
    exchanges: &[Exchange],
    rows: &[Row],
) -> QueryResult<usize> {
    let each = |of: fn(&Exchange) -> i64| exchanges.iter().map(of).collect::<Vec<i64>>();
    let word = |of: fn(&Exchange) -> &str| exchanges.iter().map(of).collect::<Vec<&str>>();
    let messages: Vec<Option<i64>> = exchanges.iter().map(|one| one.message).collect();
    let statuses: Vec<Option<i32>> = exchanges
        .iter()
        .map(|one| one.status.map(i32::from))
        .collect();
    let took: Vec<i32> = exchanges
        .iter()
        .map(|one| i32::try_from(one.took.as_millis()).unwrap_or(i32::MAX))
        .collect();
    let ages: Vec<f64> = exchanges
        .iter()
        .map(|one| one.begun.elapsed().as_secs_f64())
        .collect();
    let failures: Vec<Option<&str>> = rows.iter().map(|row| row.failure.as_deref()).collect();
    let requests: Vec<&str> = rows.iter().map(|row| row.request.as_str()).collect();
    let answers: Vec<&str> = rows.iter().map(|row| row.answer.as_str()).collect();
    sql_query(
        "INSERT INTO gateway_log (company_id, account_id, gateway, outgoing_id, at, method, address, status, ms, outcome, failure,
           request, request_bytes, answer, answer_bytes)
         SELECT c, a, g, o, wablast_now() - make_interval(secs => age), m, address, status, ms, outcome, failure, request, rb, answer, ab
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::float8[], $6::text[], $7::text[], $8::int[], $9::int[],
           $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::bigint[])
           AS t(c, a, g, o, age, m, address, status, ms, outcome, failure, request, rb, answer, ab)",
    )
    .bind::<Array<BigInt>, _>(each(|one| one.subject.company))
    .bind::<Array<BigInt>, _>(each(|one| one.subject.account))
    .bind::<Array<Text>, _>(word(|one| one.subject.gateway))
    .bind::<Array<Nullable<BigInt>>, _>(messages)
    .bind::<Array<Double>, _>(ages)
    .bind::<Array<Text>, _>(word(|one| one.method.as_str()))
    .bind::<Array<Text>, _>(word(|one| one.address.as_str()))
    .bind::<Array<Nullable<Integer>>, _>(statuses)
    .bind::<Array<Integer>, _>(took)
    .bind::<Array<Text>, _>(word(|one| one.outcome))
    .bind::<Array<Nullable<Text>>, _>(failures)
    .bind::<Array<Text>, _>(requests)
    .bind::<Array<BigInt>, _>(each(|one| i64::try_from(one.request.size).unwrap_or(i64::MAX)))
    .bind::<Array<Text>, _>(answers)
    .bind::<Array<BigInt>, _>(each(|one| i64::try_from(one.answer.size).unwrap_or(i64::MAX)))
    .execute(conn)
    .await
}

async fn count_dropped(
    conn: &mut AsyncPgConnection,
    dropped: &HashMap<i64, i64>,
) -> QueryResult<usize> {
    let (companies, many): (Vec<i64>, Vec<i64>) = dropped.iter().map(|(k, v)| (*k, *v)).unzip();
    sql_query(
        "INSERT INTO gateway_log_dropped (company_id, day, dropped)
         SELECT c, wablast_now()::date, n FROM unnest($1::bigint[], $2::bigint[]) AS t(c, n)
         ON CONFLICT (company_id, day) DO UPDATE SET dropped = gateway_log_dropped.dropped + EXCLUDED.dropped",
    )
    .bind::<Array<BigInt>, _>(companies)
    .bind::<Array<BigInt>, _>(many)
    .execute(conn)
    .await
}

#[derive(QueryableByName)]
struct Dropped {
    #[diesel(sql_type = BigInt)]
    dropped: i64,
}

/// How many of the company's were not written in the last two days.
pub async fn dropped_lately(conn: &mut AsyncPgConnection) -> QueryResult<i64> {
    let found: Dropped = sql_query(
        "SELECT coalesce(sum(dropped), 0)::bigint AS dropped FROM gateway_log_dropped
         WHERE company_id = current_setting('app.company')::bigint AND day >= wablast_now()::date - 1",
    )
    .get_result(conn)
    .await?;
    Ok(found.dropped)
}

/// Deletes what is older than its company keeps; returns how many.
pub async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    let mut gone = 0;
    loop {
        let some = sql_query(
            "DELETE FROM gateway_log WHERE id IN (
               SELECT g.id FROM gateway_log g LEFT JOIN gateway_log_settings s ON s.company_id = g.company_id
               WHERE g.at < wablast_now() - make_interval(days => coalesce(s.days, $1)) LIMIT 10000)",
        )
        .bind::<Integer, _>(settings::DAYS)
        .execute(conn)
        .await?;
        gone += some;
        if some == 0 {
            break;
        }
    }
    sql_query("DELETE FROM gateway_log_dropped WHERE day < wablast_now()::date - 90")
        .execute(conn)
        .await?;
    Ok(gone)
}
