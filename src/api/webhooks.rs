//! What gateways post: checked, stored, answered.
//!
//! Invariants: the signature is checked over the raw bytes before anything is parsed; 200 means stored;
//! 503 asks the gateway to come again.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::error::ApiResult;
use crate::accounts::{self, Account, Secret};
use crate::app::App;
use crate::error::Error;
use crate::gateways::meta;
use crate::gateways::waha::events;
use crate::intake::{Arrival, Inbox};

const KEPT_HEADERS: [&str; 4] = [
    "user-agent",
    "x-webhook-request-id",
    "x-webhook-timestamp",
    "x-webhook-hmac-algorithm",
];

/// `POST /webhooks/waha/{account_key}`
pub async fn waha(
    request: HttpRequest,
    key: web::Path<String>,
    body: web::Bytes,
    app: web::Data<App>,
    inbox: web::Data<Inbox>,
) -> ApiResult {
    let account = inbox.account(&key).await?;
    let account = account
        .filter(|account| account.provider == "waha")
        .ok_or(Error::NotFound)?;
    let secret = account
        .secret(&app.crypt, Secret::WebhookSecret)?
        .ok_or(Error::SignIn)?;
    let signature = header(&request, "x-webhook-hmac").unwrap_or_default();
    if !events::verify(secret.expose_secret().as_bytes(), &body, &signature) {
        tracing::warn!(
            account = account.id.0,
            "a webhook with a wrong signature was refused"
        );
        let mut conn = app.db.system().await?;
        accounts::session::refused_event(&mut conn, &account, !signature.is_empty()).await?;
        return Ok(refused(
            401,
            "The signature does not fit. Give WAHA this account's webhook key as its HMAC key.",
        ));
    }
    let Ok(envelope) = events::parse(&body) else {
        return Ok(refused(400, "The body is not an event of WAHA."));
    };
    let headers: serde_json::Map<String, serde_json::Value> = KEPT_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), json!(header(&request, name)?))))
        .collect();
    let stored = inbox
        .store(Arrival {
            company: account.company_id,
            account: account.id,
            source: "waha",
            event: envelope.event,
            event_id: envelope.event_id,
            headers: headers.into(),
            body: body.to_vec(),
        })
        .await;
    if stored {
        Ok(HttpResponse::Ok().json(json!({ "stored": true })))
    } else {
        Err(Error::Busy.into())
    }
}

/// What Meta asks when the address is entered in its dashboard.
#[derive(serde::Deserialize)]
pub struct Verify {
    #[serde(rename = "hub.mode", default)]
    mode: String,
    #[serde(rename = "hub.verify_token", default)]
    token: String,
    #[serde(rename = "hub.challenge", default)]
    challenge: String,
}

/// `GET /webhooks/meta/{account_key}`
pub async fn meta_verify(
    key: web::Path<String>,
    asked: web::Query<Verify>,
    inbox: web::Data<Inbox>,
) -> ApiResult {
    let account = meta_account(&inbox, &key).await?;
    let ours = account.webhook_verify_token.as_bytes();
    let fits: bool = ours.ct_eq(asked.token.as_bytes()).into();
    if asked.mode != "subscribe" || !fits {
        return Ok(refused(
            403,
            "The verify token does not fit. Copy the one on the account's page into Meta's dashboard.",
        ));
    }
    // Only what Meta sends comes back: nothing that a browser would run.
    let challenge = asked.challenge.chars().filter(char::is_ascii_alphanumeric);
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(challenge.collect::<String>()))
}

/// `POST /webhooks/meta/{account_key}`
pub async fn meta(
    request: HttpRequest,
    key: web::Path<String>,
    body: web::Bytes,
    app: web::Data<App>,
    inbox: web::Data<Inbox>,
) -> ApiResult {
    let account = meta_account(&inbox, &key).await?;
    let secret = account
        .secret(&app.crypt, Secret::AppSecret)?
        .ok_or(Error::SignIn)?;
    let signature = header(&request, "x-hub-signature-256").unwrap_or_default();
    if !meta::events::verify(secret.expose_secret().as_bytes(), &body, &signature) {
        tracing::warn!(
            account = account.id.0,
            "a webhook with a wrong signature was refused"
        );
        return Ok(refused(
            401,
            "The signature does not fit. Enter the app's secret on this account.",
        ));
    }
    let Ok(changes) = meta::events::parse(&body) else {
        return Ok(refused(400, "The body is not an event of Meta."));
    };
    let stored = inbox
        .store(Arrival {
            company: account.company_id,
            account: account.id,
            source: "meta",
            event: kind_of(&changes).to_owned(),
            // A post has no id, and Meta repeats the same bytes for up to seven days.
            event_id: Some(hex::encode(Sha256::digest(&body))),
            headers: json!({}),
            body: body.to_vec(),
        })
        .await;
    if stored {
        Ok(HttpResponse::Ok().json(json!({ "stored": true })))
    } else {
        Err(Error::Busy.into())
    }
}

/// What the Webhook Log calls a post: its first event.
fn kind_of(changes: &[meta::events::Change]) -> &'static str {
    use meta::events::Event;
    match changes.iter().flat_map(|change| &change.events).next() {
        Some(Event::Status(_)) => "statuses",
        Some(Event::Incoming(_)) => "messages",
        Some(Event::Preference { .. }) => "user_preferences",
        Some(Event::Template(_)) => "template",
        Some(Event::Moved { .. }) => "system",
        Some(Event::Number(_)) => "phone_number",
        Some(Event::Account(_) | Event::Notice(_)) => "account",
        Some(Event::Fault(_)) => "errors",
        None => "other",
    }
}

async fn meta_account(inbox: &Inbox, key: &str) -> crate::error::Result<Arc<Account>> {
    let account = inbox.account(key).await?;
    account
        .filter(|account| account.is_meta())
        .ok_or(Error::NotFound)
}

pub(super) fn header(request: &HttpRequest, name: &str) -> Option<String> {
    request
        .headers()
        .get(name)?
        .to_str()
        .ok()
        .map(str::to_owned)
}

pub(super) fn refused(status: u16, message: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status)
        .unwrap_or(actix_web::http::StatusCode::BAD_REQUEST);
    HttpResponse::build(status).json(json!({ "error": { "code": "refused", "message": message } }))
}
