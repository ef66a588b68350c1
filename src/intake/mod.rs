//! The webhook inbox: what gateways post is stored before it is answered, and applied afterwards.
//!
//! Invariants: an event is stored once, by its own identity; 200 means committed; arrivals within a few
//! milliseconds share one commit; a poisoned event is set aside after five tries and stops nobody.
//! Owns `inbox`.

pub mod apply;
pub mod callbacks;
pub mod flow;
mod keys;
pub mod list;
mod meta;

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Jsonb, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use crate::accounts::Account;
use crate::app::App;
use crate::error::Result;
use crate::ids::{AccountId, CompanyId};
use crate::prepared::prepared;

/// How long the first of a group waits for others.
const GROUP: Duration = Duration::from_millis(5);
const GROUP_AT_MOST: usize = 500;

/// An event as it arrived; its signature is checked already.
#[derive(Debug)]
pub struct Arrival {
    pub company: CompanyId,
    pub account: AccountId,
    /// `waha`, `meta` or `flow`.
    pub source: &'static str,
    pub event: String,
    /// The event's own id at the gateway; none: told apart by its bytes within a minute.
    pub event_id: Option<String>,
    pub headers: serde_json::Value,
    pub body: Vec<u8>,
}

impl Arrival {
    fn dedupe(&self, minute: i64) -> String {
        match &self.event_id {
            Some(id) => format!("{}:{id}", self.event),
            None => format!(
                "{}:{}:{minute}",
                self.event,
                hex::encode(&Sha256::digest(&self.body)[..16])
            ),
        }
    }
}

/// The way into the inbox; a cheap clone.
#[derive(Clone)]
pub struct Inbox {
    sender: mpsc::Sender<(Arrival, oneshot::Sender<bool>)>,
    keys: keys::Keys,
}

impl Inbox {
    /// Starts the task that commits arrivals in groups.
    pub fn start(app: App) -> Self {
        let (sender, receiver) = mpsc::channel(10_000);
        let keys = keys::Keys::start(app.clone());
        tokio::spawn(commit_groups(app, receiver));
        Self { sender, keys }
    }

    /// The account that an address belongs to, whatever the company; `None`: it is nobody's.
    pub async fn account(&self, key: &str) -> Result<Option<Arc<Account>>> {
        self.keys.account(key).await
    }

    /// True when the event is committed, or was before. False: try again later.
    pub async fn store(&self, arrival: Arrival) -> bool {
        let (answer, stored) = oneshot::channel();
        self.sender.send((arrival, answer)).await.is_ok() && stored.await.unwrap_or(false)
    }
}

async fn commit_groups(app: App, mut receiver: mpsc::Receiver<(Arrival, oneshot::Sender<bool>)>) {
    while let Some(first) = receiver.recv().await {
        let mut group = vec![first];
        let until = tokio::time::Instant::now() + GROUP;
        while group.len() < GROUP_AT_MOST {
            match tokio::time::timeout_at(until, receiver.recv()).await {
                Ok(Some(next)) => group.push(next),
                _ => break,
            }
        }
        let (arrivals, answers): (Vec<Arrival>, Vec<_>) = group.into_iter().unzip();
        let stored = match store_all(&app, &arrivals).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!("storing {} webhook events: {error:#}", arrivals.len());
                false
            }
        };
        for answer in answers {
            // Whoever asked may have hung up; the event is stored all the same.
            let _ = answer.send(stored);
        }
        app.wake.intake.notify_one();
    }
}

async fn store_all(app: &App, arrivals: &[Arrival]) -> anyhow::Result<()> {
    let minute = app.clock.now().timestamp() / 60;
    let mut conn = app.db.system().await?;
    let companies: Vec<CompanyId> = arrivals.iter().map(|one| one.company).collect();
    let accounts: Vec<AccountId> = arrivals.iter().map(|one| one.account).collect();
    let events: Vec<&str> = arrivals.iter().map(|one| one.event.as_str()).collect();
    let dedupes: Vec<String> = arrivals.iter().map(|one| one.dedupe(minute)).collect();
    let headers: Vec<&serde_json::Value> = arrivals.iter().map(|one| &one.headers).collect();
    let sources: Vec<&str> = arrivals.iter().map(|one| one.source).collect();
    let bodies: Vec<&[u8]> = arrivals.iter().map(|one| one.body.as_slice()).collect();
    prepared(
        "INSERT INTO inbox (company_id, account_id, source, event, dedupe, headers, body)
         SELECT company_id, account_id, source, event, dedupe, headers, body
         FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::jsonb[], $6::bytea[], $7::text[])
           AS a(company_id, account_id, event, dedupe, headers, body, source)
         ON CONFLICT ON CONSTRAINT inbox_once DO NOTHING",
    )
    .bind::<Array<BigInt>, _>(companies)
    .bind::<Array<BigInt>, _>(accounts)
    .bind::<Array<Text>, _>(events)
    .bind::<Array<Text>, _>(dedupes)
    .bind::<Array<Jsonb>, _>(headers)
    .bind::<Array<Binary>, _>(bodies)
    .bind::<Array<Text>, _>(sources)
    .execute(&mut *conn)
    .await?;
    Ok(())
}

/// Puts an event that was set aside back into the line.
pub async fn replay(conn: &mut AsyncPgConnection, id: i64) -> QueryResult<bool> {
    let changed = sql_query("UPDATE inbox SET state = 'new', tries = 0, error = NULL, next_try = NULL WHERE id = $1 AND state = 'set_aside'")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

/// Removes applied events older than 8 days; after that a repeated one would be seen as new, and is
/// harmless: messages and receipts have identities of their own.
pub async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query("DELETE FROM inbox WHERE state = 'applied' AND received_at < wablast_now() - interval '8 days'")
        .execute(conn)
        .await
}
