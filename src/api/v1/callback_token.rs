//! `/api/v1/callback_token`: the token that the company's flows show when they call back.
//!
//! Invariants: for administrators, as in the panel; the token is in the answer that made it, and nowhere else; the
//! company's history tells who made one.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use utoipa::ToSchema;

use super::super::error::ApiResult;
use super::super::idempotency::{Answer, once};
use super::super::token::ApiCaller;
use super::Once;
use crate::accounts::callback_token;
use crate::app::App;
use crate::audit;
use crate::auth::Role;

/// Whether the company has a callback token; never the token itself.
#[derive(Debug, Default, serde::Serialize, ToSchema)]
#[schema(as = CallbackToken)]
pub struct Shown {
    /// False: no flow can call back with a token yet.
    #[schema(example = true)]
    exists: bool,
    #[schema(example = "Dewi Lestari")]
    made_by: Option<String>,
    #[schema(example = "2026-11-24T03:00:00Z")]
    made_at: Option<DateTime<Utc>>,
    /// When a flow showed it last; null: none did so far.
    #[schema(example = "2026-11-27T02:41:07Z")]
    last_used_at: Option<DateTime<Utc>>,
}

/// A callback token that was just made.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = NewCallbackToken)]
pub struct Made {
    /// What flows send as `token`; in this answer alone.
    #[schema(example = "cbt_3kD0vJ8qW2mT6xZ1bN5cR9yH4pL7sF0aG2eK8uQ1")]
    callback_token: String,
}

/// Whether there is a callback token
///
/// Flows that report to `/isi/…` show it as `token` in what they post. It is the company's, for all its accounts.
#[utoipa::path(get, path = "/callback_token", tag = "Accounts", operation_id = "callbackToken",
    responses((status = 200, description = "Whether there is one, who made it, and when it was used last", body = Shown), (status = 403, description = "Administrators only")))]
pub async fn show(caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let mut conn = app.db.company(caller.company).await?;
    let state = callback_token::state(&mut conn, caller.company).await?;
    Ok(
        HttpResponse::Ok().json(state.map_or_else(Shown::default, |state| Shown {
            exists: true,
            made_by: Some(state.made_by),
            made_at: Some(state.made_at),
            last_used_at: state.last_used_at,
        })),
    )
}

/// Make a callback token
///
/// It ends the one before it, in every flow of the company.
#[utoipa::path(post, path = "/callback_token", tag = "Accounts", operation_id = "makeCallbackToken", params(Once),
    responses((status = 201, description = "The token, this once", body = Made), (status = 403, description = "Administrators only")))]
pub async fn make(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async |conn| {
        caller.require(Role::Administrator)?;
        let (company, user) = (caller.company, caller.user);
        let token = callback_token::renew(conn, company, user, Some(audit::BY_API)).await?;
        Answer::created(Made {
            callback_token: token.expose_secret().to_owned(),
        })
    })
    .await
}
