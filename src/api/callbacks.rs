//! The add-on's callbacks, for flows that were written for it: `POST /isi/{create_logsent, wa_incoming,
//! wa_config, cleanup_message}` with the company's token in the body, or as `Authorization: Bearer …`; and their modern sister
//! `POST /webhooks/n8n/{account_key}`, signed.
//!
//! Invariants: a wrong token gets one constant answer; a right one learns nothing of other companies,
//! not even whether a message exists; nothing that was posted is logged. There is no address that hands
//! out the token.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::error::ApiResult;
use crate::accounts::{self, Secret, callback_token};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gateways::waha::events::verify;
use crate::gateways::webhook::events;
use crate::ids::{AccountId, CompanyId};
use crate::intake::callbacks::{About, Callback, take};

/// Messages of one request.
const MESSAGES_AT_MOST: usize = 1000;

/// The add-on's envelope: JSON-RPC with its own members.
fn envelope(
    status: StatusCode,
    id: &Value,
    word: &str,
    result: Value,
    more: Value,
) -> HttpResponse {
    let id = if id.is_null() { json!(1) } else { id.clone() };
    let mut answer = json!({ "jsonrpc": "2.0", "id": id, "status": word, "result": result });
    if let (Some(answer), Value::Object(more)) = (answer.as_object_mut(), more) {
        answer.extend(more);
    }
    HttpResponse::build(status).json(answer)
}

fn success(body: &Value, result: Value, more: Value) -> HttpResponse {
    envelope(StatusCode::OK, &body["id"], "success", result, more)
}

/// Says nothing about what was wrong, and the same whatever was posted.
fn refused() -> HttpResponse {
    let words = json!("Unauthorized");
    envelope(
        StatusCode::UNAUTHORIZED,
        &Value::Null,
        "error",
        words,
        Value::Null,
    )
}

fn unreadable() -> HttpResponse {
    let words = json!("The body is not a callback: send JSON with messages and token.");
    envelope(
        StatusCode::BAD_REQUEST,
        &Value::Null,
        "error",
        words,
        Value::Null,
    )
}

/// The token as a header, as a credential of n8n sends it.
fn bearer(request: &HttpRequest) -> &str {
    request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default()
        .trim()
}

/// The body and the company whose token it carries, or the answer to give instead.
async fn authorized(
    app: &App,
    request: &HttpRequest,
    bytes: &[u8],
) -> Result<std::result::Result<(Value, CompanyId), HttpResponse>> {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return Ok(Err(unreadable()));
    };
    let mut conn = app.db.system().await?;
    let token = match events::token(&body) {
        "" => bearer(request),
        token => token,
    };
    match callback_token::company_of(&mut conn, token).await? {
        Some(company) => Ok(Ok((body, company))),
        None => {
            tracing::warn!("a callback with a wrong token was refused");
            Ok(Err(refused()))
        }
    }
}

/// `POST /isi/create_logsent`: what became of messages.
pub async fn create_logsent(
    request: HttpRequest,
    bytes: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    let (body, company) = match authorized(&app, &request, &bytes).await? {
        Ok(found) => found,
        Err(answer) => return Ok(answer),
    };
    for message in messages(&body) {
        take(&app, &callback(company, About::Sent, message)).await?;
    }
    Ok(success(&body, json!("Log sent successfully"), Value::Null))
}

/// `POST /isi/wa_incoming`: messages from people. Each is answered with its contact.
pub async fn wa_incoming(
    request: HttpRequest,
    bytes: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    let (body, company) = match authorized(&app, &request, &bytes).await? {
        Ok(found) => found,
        Err(answer) => return Ok(answer),
    };
    let mut data = Vec::new();
    for message in messages(&body) {
        let contact = take(&app, &callback(company, About::Incoming, message)).await?;
        // We welcome people ourselves, so the flow has nobody to welcome.
        data.push(json!({ "contact_id": contact, "welcome_message": "", "isNewUser": false }));
    }
    let mut more = data.first().cloned().unwrap_or_else(|| json!({}));
    more["data"] = json!(data);
    Ok(success(&body, json!("Incoming message stored"), more))
}

/// `POST /isi/wa_config`: the company's accounts, without any secret.
pub async fn wa_config(request: HttpRequest, bytes: web::Bytes, app: web::Data<App>) -> ApiResult {
    let (body, company) = match authorized(&app, &request, &bytes).await? {
        Ok(found) => found,
        Err(answer) => return Ok(answer),
    };
    let mut conn = app.db.company(company).await?;
    let wanted = events::id(&body["config_id"]);
    let configs: Vec<Value> = accounts::query::active(&mut conn)
        .await?
        .into_iter()
        .filter(|account| wanted.is_none_or(|id| account.id == AccountId(id)))
        .map(|account| {
            json!({ "id": account.id, "name": account.name, "provider": account.provider,
                "number": account.phone_number, "session": account.session })
        })
        .collect();
    Ok(success(&body, json!(configs), Value::Null))
}

/// `POST /isi/cleanup_message`: success. Nothing is deleted: history stays.
pub async fn cleanup_message(
    request: HttpRequest,
    bytes: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    match authorized(&app, &request, &bytes).await? {
        Ok((body, _)) => Ok(success(&body, json!("Messages cleaned up"), Value::Null)),
        Err(answer) => Ok(answer),
    }
}

/// `POST /webhooks/n8n/{account_key}`: the same, signed with the account's webhook key over the raw body.
/// `event` is `message` for one from a person, else what became of ours: sent, delivered, read, failed.
pub async fn signed(
    request: HttpRequest,
    key: web::Path<String>,
    bytes: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    let account = {
        let mut conn = app.db.system().await?;
        accounts::query::find_by_key(&mut conn, &key).await?
    }
    .ok_or(Error::NotFound)?;
    let secret = account
        .secret(&app.crypt, Secret::WebhookSecret)?
        .ok_or(Error::SignIn)?;
    let signature = request
        .headers()
        .get("x-webhook-hmac")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !verify(secret.expose_secret().as_bytes(), &bytes, signature) {
        tracing::warn!(
            account = account.id.0,
            "a report with a wrong signature was refused"
        );
        return Ok(refused());
    }
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return Ok(unreadable());
    };
    let mut given = messages(&body);
    if given.is_empty() && body.is_object() {
        given.push(body);
    }
    for message in given {
        let about = match message["event"].as_str() {
            Some("message") => About::Incoming,
            _ => About::Signed,
        };
        let callback = Callback {
            account: Some(account.id),
            ..callback(account.company_id, about, message)
        };
        take(&app, &callback).await?;
    }
    Ok(HttpResponse::Ok().json(json!({ "stored": true })))
}

fn messages(body: &Value) -> Vec<Value> {
    let mut messages = events::messages(body);
    messages.truncate(MESSAGES_AT_MOST);
    messages
}

fn callback(company: CompanyId, about: About, message: Value) -> Callback {
    Callback {
        company,
        about,
        message,
        account: None,
    }
}
