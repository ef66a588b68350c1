//! From stored events to what they mean.
//!
//! Invariants: a batch is one transaction; when anything in it fails, its events are applied one by one
//! and only the one at fault waits; applying an event twice changes nothing.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::callbacks::{self, Kept};
use super::{flow, meta};
use crate::accounts::{self, Account};
use crate::app::App;
use crate::contacts;
use crate::crash;
use crate::error::Error;
use crate::gateways::Rank;
use crate::gateways::waha::events::{self, Event};
use crate::ids::{AccountId, CompanyId};
use crate::incoming;
use crate::logs;
use crate::mailings::settle;
use crate::outgoing::governor::{self, Trouble};
use crate::outgoing::receipts::{self, Receipt};
use crate::prepared::prepared;
use crate::rates::charges;

const BATCH: i32 = 500;
const TRIES: i16 = 5;

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    company_id: CompanyId,
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Text)]
    source: String,
    #[diesel(sql_type = Text)]
    event: String,
    #[diesel(sql_type = Text)]
    dedupe: String,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
    #[diesel(sql_type = Timestamptz)]
    received_at: chrono::DateTime<chrono::Utc>,
    #[diesel(sql_type = SmallInt)]
    tries: i16,
}

/// Applies everything that waits; returns how many events.
pub async fn all(app: &App) -> anyhow::Result<usize> {
    let mut conn = app.db.system().await?;
    let mut applied = 0;
    loop {
        let batch = conn
            .transaction(async |conn| {
                let events = batch(conn, BATCH).await?;
                if events > 0 {
                    crash::here("receipts.write");
                }
                Ok::<_, Error>(events)
            })
            .await;
        match batch {
            Ok(0) => return Ok(applied),
            Ok(n) => {
                crash::here("receipts.done");
                applied += n;
            }
            Err(error) => {
                tracing::warn!("applying webhook events one by one: {error}");
                let one_by_one = singly(&mut conn).await?;
                applied += one_by_one;
                if one_by_one == 0 {
                    return Ok(applied);
                }
            }
        }
    }
}

async fn take(conn: &mut AsyncPgConnection, limit: i32) -> QueryResult<Vec<Stored>> {
    prepared(
        "SELECT id, company_id, account_id, source, event, dedupe, body, received_at, tries FROM inbox
         WHERE state = 'new' AND (next_try IS NULL OR next_try <= wablast_now())
         ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind::<diesel::sql_types::Integer, _>(limit)
    .load(conn)
    .await
}

async fn batch(conn: &mut AsyncPgConnection, limit: i32) -> Result<usize, Error> {
    let stored = take(conn, limit).await?;
    if stored.is_empty() {
        return Ok(0);
    }
    apply(conn, &stored).await?;
    let ids: Vec<i64> = stored.iter().map(|one| one.id).collect();
    prepared("UPDATE inbox SET state = 'applied', applied_at = wablast_now(), error = NULL WHERE id = ANY ($1)")
        .bind::<Array<BigInt>, _>(ids)
        .execute(conn)
        .await?;
    Ok(stored.len())
}

/// One event a transaction; the one that fails waits longer each time, then is set aside.
async fn singly(conn: &mut AsyncPgConnection) -> anyhow::Result<usize> {
    let mut applied = 0;
    for _ in 0..BATCH {
        let mut failed: Option<(i64, i16, String)> = None;
        let one = conn
            .transaction(async |conn| {
                let stored = take(conn, 1).await?;
                let Some(first) = stored.as_slice().first() else { return Ok(0) };
                let (id, tries) = (first.id, first.tries);
                if let Err(error) = apply(conn, &stored).await {
                    failed = Some((id, tries, error_words(&error)));
                    return Err(error);
                }
                sql_query("UPDATE inbox SET state = 'applied', applied_at = wablast_now(), error = NULL WHERE id = $1")
                    .bind::<BigInt, _>(id)
                    .execute(conn)
                    .await?;
                Ok(1)
            })
            .await;
        match (one, failed) {
            (Ok(0), _) => break,
            (Ok(n), _) => applied += n,
            (Err(_), Some((id, tries, words))) => set_aside(conn, id, tries + 1, &words).await?,
            (Err(error), None) => return Err(error.into()),
        }
    }
    Ok(applied)
}

fn error_words(error: &Error) -> String {
    match error {
        Error::Internal(source) => format!("{source:#}"),
        other => other.to_string(),
    }
}

async fn set_aside(
    conn: &mut AsyncPgConnection,
    id: i64,
    tries: i16,
    words: &str,
) -> QueryResult<()> {
    sql_query(
        "UPDATE inbox SET tries = $2, error = left($3, 500), state = CASE WHEN $2 >= $4 THEN 'set_aside' ELSE state END,
           next_try = wablast_now() + make_interval(secs => power(2, $2)) WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<SmallInt, _>(tries)
    .bind::<Text, _>(words)
    .bind::<SmallInt, _>(TRIES)
    .execute(conn)
    .await?;
    Ok(())
}

async fn apply(conn: &mut AsyncPgConnection, stored: &[Stored]) -> Result<(), Error> {
    let mut accounts: HashMap<AccountId, Account> = HashMap::new();
    let mut news = Vec::new();
    let mut lids = Vec::new();
    let mut troubles = Vec::new();
    let mut told = Vec::new();
    let mut charged = Vec::new();
    for event in stored {
        let account = match accounts.get(&event.account_id) {
            Some(known) => known.clone(),
            None => {
                let found = accounts::query::find(conn, event.account_id).await?;
                accounts.insert(event.account_id, found.clone());
                found
            }
        };
        if event.source == "n8n" {
            let kept = Kept {
                id: event.id,
                dedupe: event.dedupe.clone(),
                fresh: false,
            };
            callbacks::apply_stored(
                conn,
                event.company_id,
                &account,
                &event.event,
                &event.body,
                &kept,
            )
            .await?;
            continue;
        }
        if event.source == "flow" {
            let said = flow::apply(conn, &account, &event.body, event.id).await?;
            news.extend(said.receipts);
            told.extend(said.told);
            continue;
        }
        if event.source == "meta" {
            let said = meta::apply(conn, &account, &event.body, event.id).await?;
            news.extend(said.receipts);
            told.extend(said.told);
            charged.extend(said.charged);
            continue;
        }
        let envelope = events::parse(&event.body).map_err(|error| anyhow::anyhow!(error))?;
        // Another session may post to the same address: its events are not this account's.
        if envelope.session != account.session {
            continue;
        }
        let at = envelope.at.unwrap_or(event.received_at);
        match envelope.payload {
            Event::Ack {
                stanza,
                from_me: true,
                rank,
                lid,
            } => {
                if rank == Rank::Failed {
                    troubles.push((account.id, Trouble::ErrorAck));
                }
                lids.extend(lid.map(|lid| (account.id, stanza.clone(), lid)));
                news.push(Receipt {
                    account: account.id,
                    reference: stanza,
                    rank,
                    at,
                });
            }
            Event::Own {
                stanza,
                by_api: true,
                lid,
            } => {
                lids.extend(lid.map(|lid| (account.id, stanza.clone(), lid)));
                news.push(Receipt {
                    account: account.id,
                    reference: stanza,
                    rank: Rank::Pending,
                    at,
                });
            }
            Event::Incoming(message) => {
                incoming::receive(conn, &account, &message, event.id).await?;
            }
            Event::Session { status, .. } => {
                if matches!(status.as_str(), "FAILED" | "SCAN_QR_CODE") {
                    troubles.push((account.id, Trouble::SessionDropped));
                }
                session(conn, &account, &status).await?;
            }
            Event::Ack { .. } | Event::Own { .. } | Event::Ignored => {}
        }
    }
    receipts::learn(conn, &told).await?;
    let touched = receipts::apply(conn, &news).await?;
    settle::of_messages(conn, &touched).await?;
    charges::note(conn, &charged).await?;
    contacts::identity::learn_lids(conn, &lids).await?;
    for (account, what) in troubles {
        governor::trouble(conn, account, what).await?;
    }
    let ids: Vec<AccountId> = accounts.into_keys().collect();
    accounts::query::saw_event(conn, &ids).await?;
    Ok(())
}

/// A session that works lets its account run again; one that does not work stops it. Whatever it says, it was
/// not as it is now before.
async fn session(conn: &mut AsyncPgConnection, account: &Account, status: &str) -> QueryResult<()> {
    accounts::health::session_broke(conn, account.id).await?;
    match status {
        "WORKING" => accounts::health::session_works(conn, account.id).await?,
        "STOPPED" | "FAILED" | "SCAN_QR_CODE" => {
            let reason = format!(
                "WAHA reports that session “{}” is {status}.",
                account.session
            );
            logs::account_said(conn, account.id, &reason).await?;
            accounts::health::stop(conn, account.id, "gateway_error", &reason).await?
        }
        _ => 0,
    };
    Ok(())
}
