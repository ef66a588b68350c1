//! What gateways post: checked, stored, answered.
//!
//! Invariants: the signature is checked over the raw bytes before anything is parsed; 200 means stored;
//! 503 asks the gateway to come again.

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::error::ApiResult;
use crate::accounts::{self, Secret};
use crate::app::App;
use crate::error::Error;
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
    let account = {
        let mut conn = app.db.system().await?;
        accounts::query::find_by_key(&mut conn, &key).await?
    };
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

fn header(request: &HttpRequest, name: &str) -> Option<String> {
    request
        .headers()
        .get(name)?
        .to_str()
        .ok()
        .map(str::to_owned)
}

fn refused(status: u16, message: &str) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status)
        .unwrap_or(actix_web::http::StatusCode::BAD_REQUEST);
    HttpResponse::build(status).json(json!({ "error": { "code": "refused", "message": message } }))
}
