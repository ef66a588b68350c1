//! `POST /webhooks/flow/{account_key}`: what a flow reports, signed with a secret of its own.
//!
//! Invariants: the signature is checked over the raw bytes, in constant time, before anything is parsed; a post is
//! stored whole or not at all where it cannot be read; 200 means stored, 503 asks to come again, and coming again
//! changes nothing.

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::join_all;
use serde_json::json;

use super::error::ApiResult;
use super::webhooks::{header, refused};
use crate::accounts;
use crate::app::App;
use crate::error::Error;
use crate::gateways::webhook::{news, proof};
use crate::intake::{Inbox, flow};

/// Takes a flow's events.
pub async fn events(
    request: HttpRequest,
    key: web::Path<String>,
    body: web::Bytes,
    app: web::Data<App>,
    inbox: web::Data<Inbox>,
) -> ApiResult {
    let (account, kept) = {
        let mut conn = app.db.system().await?;
        let account = accounts::query::find_by_key(&mut conn, &key)
            .await?
            .filter(accounts::Account::sends_through_webhook)
            .ok_or(Error::NotFound)?;
        let kept = accounts::flow::of(&mut conn, account.id).await?;
        (account, kept)
    };
    let secret = kept.callback_secret(&app.crypt, &account)?;
    let signature = header(&request, proof::SIGNATURE).unwrap_or_default();
    if !secret.is_some_and(|secret| proof::verify(&secret, &body, &signature)) {
        tracing::warn!(
            account = account.id.0,
            "events of a flow with a wrong signature were refused"
        );
        return Ok(refused(
            401,
            "The signature does not fit. X-Wablast-Signature is sha256= and the HMAC-SHA256, in hexadecimal, of the raw body with the secret of the account's page.",
        ));
    }
    let events = match news::split(&body) {
        Ok(events) => events,
        Err(fault) => return Ok(refused(400, &fault)),
    };
    let arrivals = flow::arrivals(&app, &account, &kept, events)?;
    let stored = join_all(arrivals.into_iter().map(|one| inbox.store(one))).await;
    if stored.iter().all(|stored| *stored) {
        Ok(HttpResponse::Ok().json(json!({ "stored": stored.len() })))
    } else {
        Err(Error::Busy.into())
    }
}
