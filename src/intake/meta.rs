//! From Meta's posts to what they mean.
//!
//! Invariants: one address serves every number of its app, so a change goes to the account of its number,
//! of the same app alone; receipts are collected and applied together with those of the whole batch; what names
//! no account of ours changes nothing.

use diesel::prelude::*;
use diesel_async::AsyncPgConnection;

use crate::accounts::{self, Account};
use crate::error::Error;
use crate::gateways::meta::events::{self, AccountNews, Event, NumberNews, Status};
use crate::gateways::{FailureCode, Rank};
use crate::incoming;
use crate::logs;
use crate::mailings;
use crate::outgoing::receipts::{Receipt, Told};
use crate::rates::charges::Charged;
use crate::templates;

/// What a post says of messages we sent.
#[derive(Default)]
pub(super) struct Said {
    pub receipts: Vec<Receipt>,
    pub told: Vec<Told>,
    pub charged: Vec<Charged>,
}

/// Applies everything of a post that is not about our messages, and returns what is.
pub(super) async fn apply(
    conn: &mut AsyncPgConnection,
    posted_to: &Account,
    body: &[u8],
    inbox: i64,
) -> Result<Said, Error> {
    let changes = events::parse(body).map_err(|error| anyhow::anyhow!(error))?;
    let mut said = Said::default();
    for change in changes {
        let mut found = None;
        for event in change.events {
            let account = match (&change.phone_uid, &found) {
                (None, _) => posted_to,
                (Some(phone), _) if *phone == posted_to.phone_uid => posted_to,
                (Some(_), Some(account)) => account,
                (Some(phone), None) => {
                    let other = accounts::query::of_number(conn, &posted_to.app_uid, phone).await?;
                    let Some(other) = other else { break };
                    found.insert(other)
                }
            };
            one(conn, account, &change.account_uid, event, inbox, &mut said).await?;
        }
    }
    Ok(said)
}

async fn one(
    conn: &mut AsyncPgConnection,
    account: &Account,
    account_uid: &str,
    event: Event,
    inbox: i64,
    said: &mut Said,
) -> Result<(), Error> {
    match event {
        Event::Status(status) => status_of(conn, account, status, said).await?,
        Event::Incoming(message) => {
            incoming::receive(conn, account, &message, inbox).await?;
        }
        Event::Preference { sender, stop } => {
            incoming::prefers(conn, account, &sender, stop).await?;
        }
        Event::Moved { from, to } => incoming::moved(conn, account, &from, &to).await?,
        Event::Account(news) => account_news(conn, account, account_uid, &news).await?,
        Event::Notice(notice) => {
            let numbers = accounts::query::of_business(conn, &account.app_uid, account_uid).await?;
            accounts::notices::note(conn, &numbers, &notice, inbox).await?;
        }
        Event::Fault(error) => {
            logs::account_said(conn, account.id, &error.reason()).await?;
        }
        Event::Template(news) => {
            let held = templates::sync::news(conn, account, account_uid, &news).await?;
            if let Some((templates, reason)) = held {
                mailings::template::hold(conn, &templates, &reason).await?;
            }
        }
        Event::Number(news) => {
            let numbers = accounts::query::of_business(conn, &account.app_uid, account_uid).await?;
            accounts::number::news(conn, &numbers, &news).await?;
        }
    }
    Ok(())
}

async fn status_of(
    conn: &mut AsyncPgConnection,
    account: &Account,
    status: Status,
    said: &mut Said,
) -> Result<(), Error> {
    let failure = status
        .error
        .as_ref()
        .map(|error| (error.failure_code(), error.reason()));
    if let Some((FailureCode::Unsubscribed, _)) = failure {
        incoming::unsubscribed(
            conn,
            account,
            &status.provider_id,
            status.own_ref.as_deref(),
        )
        .await?;
    }
    if let Some(pricing) = status.pricing
        && matches!(status.rank, Rank::Delivered | Rank::Read)
    {
        said.charged.push(Charged {
            account: account.id,
            own_ref: status.own_ref.clone(),
            provider_id: status.provider_id.clone(),
            category: pricing.category,
            billable: pricing.billable,
        });
    }
    if let Some((FailureCode::NotOnWhatsapp, _)) = failure {
        let own_ref = status.own_ref.as_deref();
        incoming::signs::not_there_late(conn, account.id, &status.provider_id, own_ref).await?;
    }
    said.receipts.push(Receipt {
        account: account.id,
        reference: status.provider_id.clone(),
        rank: status.rank,
        at: status
            .at
            .unwrap_or_else(|| crate::clock::Clock::system().now()),
    });
    said.told.push(Told {
        account: account.id,
        own_ref: status.own_ref,
        provider_id: status.provider_id,
        failure: failure.map(|(code, words)| (code.as_str(), words)),
    });
    Ok(())
}

/// Meta restricts or disables the whole business account: every number of it stops.
async fn account_news(
    conn: &mut AsyncPgConnection,
    account: &Account,
    account_uid: &str,
    news: &AccountNews,
) -> QueryResult<()> {
    let numbers = accounts::query::of_business(conn, &account.app_uid, account_uid).await?;
    if news.limit.is_some() {
        let news = NumberNews {
            limit: news.limit.clone(),
            ..NumberNews::default()
        };
        accounts::number::news(conn, &numbers, &news).await?;
    }
    let Some(why) = &news.stops else {
        return Ok(());
    };
    accounts::number::restricted(conn, &numbers, why).await?;
    let reason =
        format!("Meta has restricted this account ({why}). Look at it in WhatsApp Manager.");
    for number in numbers {
        logs::account_said(conn, number, &reason).await?;
        let code = FailureCode::Restricted.as_str();
        accounts::health::stop(conn, number, code, &reason).await?;
    }
    Ok(())
}
