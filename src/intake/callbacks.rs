//! What flows report (`/isi/…` and the signed `/webhooks/n8n/…`): kept like every event, applied before
//! it is answered, because the flow waits for what became of it.
//!
//! Invariants: keeping and applying are one commit, and what cannot be applied now is kept for the
//! applier; the same report within a minute is one; credentials that a flow sends back are never
//! stored; a company's token speaks of that company's messages alone, and what an account's key signed of the
//! messages of that account, whichever company's that may use it they are.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::accounts::{self, Account};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gateways::redact;
use crate::gateways::waha::events::stanza;
use crate::gateways::webhook::events;
use crate::ids::{AccountId, CompanyId, ContactId};
use crate::incoming;
use crate::logs;
use crate::mailings::settle;
use crate::outgoing::reports;

/// What a callback is about, as the inbox names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// What became of a message, said with a company's token.
    Sent,
    /// The same, signed with the account's key.
    Signed,
    /// A message from a person.
    Incoming,
}

impl About {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "create_logsent",
            Self::Signed => "signed_report",
            Self::Incoming => "wa_incoming",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Sent, Self::Signed, Self::Incoming]
            .into_iter()
            .find(|about| about.as_str() == name)
    }
}

/// One message of a callback.
#[derive(Debug)]
pub struct Callback {
    pub company: CompanyId,
    pub about: About,
    pub message: Value,
    /// The account that signed it; else it is found by what the message says.
    pub account: Option<AccountId>,
}

/// Keeps a callback and applies it; for a message from a person, returns its contact where that is the
/// company's. When applying fails it is kept for the applier.
pub async fn take(app: &App, callback: &Callback) -> Result<Option<ContactId>> {
    let mut conn = app.db.system().await?;
    let Some(account) = account_of(&mut conn, callback).await? else {
        tracing::warn!(
            company = callback.company.0,
            "a callback came to a company without an account"
        );
        return Ok(None);
    };
    let mut body = callback.message.clone();
    let flow = accounts::flow::of(&mut conn, account.id).await?;
    redact::json(&mut body, &account.secrets(app, &flow)?);
    let keep = Keep {
        company: callback.company,
        account: account.id,
        about: callback.about,
        identity: identity(callback.about, &body),
        minute: app.clock.now().timestamp() / 60,
        body: body.to_string().into_bytes(),
    };
    let taken: Result<Option<ContactId>> = conn
        .transaction(async |conn| {
            let kept = keep.store(conn, true).await?;
            if kept.fresh {
                apply(
                    conn,
                    callback.company,
                    &account,
                    keep.about,
                    &keep.body,
                    &kept,
                )
                .await?;
            }
            match callback.about {
                About::Sent | About::Signed => Ok(None),
                About::Incoming => contact_of(conn, callback.company, &account, &body, &kept).await,
            }
        })
        .await;
    match taken {
        Ok(contact) => {
            app.wake.settle.notify_one();
            app.wake.deliver.notify_one();
            Ok(contact)
        }
        Err(error) => {
            tracing::warn!(
                account = account.id.0,
                "applying a callback, kept for later: {error}"
            );
            keep.store(&mut conn, false).await?;
            app.wake.intake.notify_one();
            match callback.about {
                About::Sent | About::Signed => Ok(None),
                // Whoever asks wants the contact: it may ask again.
                About::Incoming => Err(Error::Busy),
            }
        }
    }
}

/// A callback as the inbox keeps it.
struct Keep {
    company: CompanyId,
    account: AccountId,
    about: About,
    identity: String,
    minute: i64,
    body: Vec<u8>,
}

/// A row of the inbox.
#[derive(QueryableByName)]
pub(super) struct Kept {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub dedupe: String,
    /// Not known before.
    #[diesel(sql_type = Bool)]
    pub fresh: bool,
}

impl Keep {
    fn dedupe(&self, minute: i64) -> String {
        format!("{}:{}:{minute}", self.about.as_str(), self.identity)
    }

    /// Stores it once; `applied` when the same transaction applies it.
    async fn store(&self, conn: &mut AsyncPgConnection, applied: bool) -> QueryResult<Kept> {
        sql_query(
            "WITH known AS (
               SELECT id, dedupe FROM inbox WHERE account_id = $2 AND dedupe IN ($4, $5) ORDER BY id DESC LIMIT 1
             ), made AS (
               INSERT INTO inbox (company_id, account_id, source, event, dedupe, body, state, applied_at)
               SELECT $1, $2, 'n8n', $3, $4, $6, CASE WHEN $7 THEN 'applied' ELSE 'new' END, CASE WHEN $7 THEN wablast_now() END
               WHERE NOT EXISTS (SELECT FROM known)
               ON CONFLICT ON CONSTRAINT inbox_once DO UPDATE SET dedupe = excluded.dedupe
               RETURNING id, dedupe, xmax = 0 AS fresh
             ) SELECT id, dedupe, fresh FROM made UNION ALL SELECT id, dedupe, false FROM known",
        )
        .bind::<BigInt, _>(self.company)
        .bind::<BigInt, _>(self.account)
        .bind::<Text, _>(self.about.as_str())
        .bind::<Text, _>(self.dedupe(self.minute))
        .bind::<Text, _>(self.dedupe(self.minute - 1))
        .bind::<Binary, _>(&self.body)
        .bind::<Bool, _>(applied)
        .get_result(conn)
        .await
    }
}

/// What tells one callback from another within a minute: all it says, or for a person's message what
/// stays the same when a flow repeats it.
fn identity(about: About, body: &Value) -> String {
    let said = match about {
        About::Sent | About::Signed => body.to_string(),
        About::Incoming => {
            let parts = [
                "from",
                "body",
                "type",
                "timestamp",
                "message_id",
                "wa_id",
                "json_message",
            ];
            parts.map(|part| body[part].to_string()).join("\n")
        }
    };
    hex::encode(&Sha256::digest(said.as_bytes())[..16])
}

/// Applies a kept callback. Applying it twice changes nothing.
pub(super) async fn apply(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    account: &Account,
    about: About,
    body: &[u8],
    kept: &Kept,
) -> Result<()> {
    let message: Value = serde_json::from_slice(body).map_err(anyhow::Error::new)?;
    match about {
        About::Sent | About::Signed => {
            let Some(report) = events::report(&message, &[]) else {
                return Ok(());
            };
            let found = match about {
                About::Signed => reports::of_account(conn, account.id, report.sent_id).await?,
                _ => reports::find(conn, company, report.sent_id).await?,
            };
            let Some(reported) = found else {
                return Ok(());
            };
            reports::apply(conn, reported, &report).await?;
            if let (Some(log), Some(failure)) = (reported.log_id, report.failure) {
                logs::gateway_said(conn, &[(log, failure)]).await?;
            }
            settle::of_messages(conn, &[reported.id]).await?;
        }
        About::Incoming => {
            if let Some(message) = events::incoming(&message, &kept.dedupe) {
                incoming::receive(conn, account, &message, kept.id).await?;
            }
        }
    }
    accounts::query::saw_event(conn, &[account.id]).await?;
    Ok(())
}

/// The same for an event that waited in the inbox.
pub(super) async fn apply_stored(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    account: &Account,
    event: &str,
    body: &[u8],
    kept: &Kept,
) -> Result<()> {
    match About::named(event) {
        Some(about) => apply(conn, company, account, about, body, kept).await,
        None => Ok(()),
    }
}

#[derive(QueryableByName)]
struct Contact {
    #[diesel(sql_type = Nullable<BigInt>)]
    contact_id: Option<ContactId>,
}

/// Whose message it was, where the person is this company's.
async fn contact_of(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    account: &Account,
    body: &Value,
    kept: &Kept,
) -> Result<Option<ContactId>> {
    let Some(message) = events::incoming(body, &kept.dedupe) else {
        return Ok(None);
    };
    let found: Option<Contact> = sql_query(
        "SELECT contact_id FROM incoming WHERE account_id = $1 AND provider_id = $2 AND company_id = $3",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<Text, _>(stanza(&message.full_id))
    .bind::<BigInt, _>(company)
    .get_result(conn)
    .await
    .optional()?;
    Ok(found.and_then(|found| found.contact_id))
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    id: AccountId,
}

/// The account a callback belongs to: the one that signed it, that of the message it speaks of, the one
/// it names, the one with its number or session, else the company's first that sends through a webhook.
/// Only accounts of the company itself: what people write to an account that is shared is its owner's.
async fn account_of(conn: &mut AsyncPgConnection, callback: &Callback) -> Result<Option<Account>> {
    if let Some(account) = callback.account {
        return Ok(Some(accounts::query::find(conn, account).await?));
    }
    let message = &callback.message;
    if callback.about == About::Sent
        && let Some(report) = events::report(message, &[])
        && let Some(reported) = reports::find(conn, callback.company, report.sent_id).await?
    {
        return Ok(Some(
            accounts::query::find(conn, reported.account_id).await?,
        ));
    }
    let named = events::id(&message["config_id"]).or_else(|| events::id(&message["wa_config_id"]));
    let number: String = message["to"]
        .as_str()
        .unwrap_or_default()
        .split(['@', ':'])
        .next()
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let found: Option<Found> = sql_query(
        "SELECT a.id FROM accounts a JOIN account_companies ac ON ac.account_id = a.id AND ac.company_id = $1 AND ac.active
         WHERE a.active AND a.company_id = $1 ORDER BY a.id IS NOT DISTINCT FROM $2 DESC, a.phone_number IS NOT DISTINCT FROM $3 DESC,
           a.send_through = 'webhook' DESC, a.session = $4 DESC, a.id LIMIT 1",
    )
    .bind::<BigInt, _>(callback.company)
    .bind::<Nullable<BigInt>, _>(named)
    .bind::<Text, _>(number)
    .bind::<Text, _>(message["session"].as_str().unwrap_or_default())
    .get_result(conn)
    .await
    .optional()?;
    match found {
        Some(found) => Ok(Some(accounts::query::find(conn, found.id).await?)),
        None => Ok(None),
    }
}
