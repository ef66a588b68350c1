//! The signed events of flows: kept like every gateway's, applied afterwards.
//!
//! Invariants: an event speaks of messages of its account alone, whoever's company they are; one that names a
//! message not tried yet waits and comes again, as any that cannot be applied; credentials that a flow sends back
//! are never stored.

use diesel_async::AsyncPgConnection;
use serde_json::Value;

use super::Arrival;
use super::meta::Said;
use crate::accounts::Account;
use crate::accounts::flow::Flow;
use crate::app::App;
use crate::error::Error;
use crate::gateways::webhook::news::{self, News};
use crate::gateways::{FailureCode, redact};
use crate::incoming;
use crate::logs;
use crate::mailings::settle;
use crate::outgoing::receipts::{Receipt, Told};
use crate::outgoing::reports;

/// Events as the inbox keeps them, each its own row.
pub fn arrivals(
    app: &App,
    account: &Account,
    flow: &Flow,
    events: Vec<(String, News, Value)>,
) -> anyhow::Result<Vec<Arrival>> {
    let secrets = account.secrets(app, flow)?;
    let arrival = |(id, news, mut body): (String, News, Value)| {
        redact::json(&mut body, &secrets);
        Arrival {
            company: account.company_id,
            account: account.id,
            source: "flow",
            event: news.kind().to_owned(),
            event_id: Some(id),
            headers: serde_json::json!({}),
            body: body.to_string().into_bytes(),
        }
    };
    Ok(events.into_iter().map(arrival).collect())
}

/// Applies an event; what is known by WhatsApp's id alone is returned, to be applied with the whole batch.
pub(super) async fn apply(
    conn: &mut AsyncPgConnection,
    account: &Account,
    body: &[u8],
    inbox: i64,
) -> Result<Said, Error> {
    let event: Value = serde_json::from_slice(body).map_err(anyhow::Error::new)?;
    let (_, news) = news::read(&event).map_err(|fault| anyhow::anyhow!(fault))?;
    let mut said = Said::default();
    if let News::Incoming(message) = &news {
        incoming::receive(conn, account, message, inbox).await?;
        return Ok(said);
    }
    let report = news.report();
    if let Some(report) = &report
        && let Some(message) = reports::of_account(conn, account.id, report.sent_id).await?
    {
        reports::apply(conn, message, report).await?;
        if let (Some(log), Some(failure)) = (message.log_id, &report.failure) {
            logs::gateway_said(conn, &[(log, failure.clone())]).await?;
        }
        settle::of_messages(conn, &[message.id]).await?;
        return Ok(said);
    }
    match news {
        News::Status {
            provider_id: Some(provider_id),
            rank,
            failure,
            at,
            ..
        } => {
            said.receipts.push(Receipt {
                account: account.id,
                reference: provider_id.clone(),
                rank,
                at: at.unwrap_or_else(|| crate::clock::Clock::system().now()),
            });
            said.told.push(Told {
                account: account.id,
                own_ref: None,
                provider_id,
                failure: failure.map(|words| (FailureCode::GatewayError.as_str(), words)),
            });
            Ok(said)
        }
        _ => Err(Error::conflict(format!(
            "Message {} did not leave through this account's webhook yet.",
            report.map(|report| report.sent_id).unwrap_or_default()
        ))),
    }
}
