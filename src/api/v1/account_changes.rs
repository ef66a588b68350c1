//! `PATCH /api/v1/accounts/{id}`, the secret for the reports of its flow, and what the Gateway Log writes down.
//!
//! Invariants: what a program changes goes the way of the panel's forms and stands in the same history; a secret
//! is in the answer that made it, and nowhere else.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::ExposeSecret as _;
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse};
use super::super::idempotency::{Answer, once};
use super::super::token::ApiCaller;
use super::accounts::{Shown, pulls_by_webhook, whole};
use super::pace::Pace;
use super::{Once, noted};
use crate::accounts::{self, AccountInput, flow, told};
use crate::app::App;
use crate::audit;
use crate::auth::Role;
use crate::error::Error;
use crate::gateway_log::settings::{self, Settings, SettingsInput};
use crate::ids::AccountId;

/// What is absent stays as it is.
#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[schema(as = AccountChange)]
#[serde(default, deny_unknown_fields)]
pub struct Patch {
    #[schema(example = "Toko Bandung")]
    name: Option<String>,
    /// `api` or `webhook`.
    #[schema(example = "webhook")]
    send_through: Option<String>,
    /// `direct` or `batched`.
    #[schema(example = "batched")]
    delivery: Option<String>,
    /// How many messages one run of Scheduler Enqueue opens.
    #[schema(example = 100)]
    batch_size: Option<u32>,
    /// Workers of your own fetch the messages with `POST /outgoing/pull`, and we post none.
    #[schema(example = false)]
    pull: Option<bool>,
    /// WAHA's address; stays once messages went through it.
    #[schema(example = "http://127.0.0.1:3000")]
    api_url: Option<String>,
    #[schema(example = "the-key-of-waha")]
    api_key: Option<String>,
    #[schema(example = "https://n8n.example.com/webhook/whatsapp")]
    webhook_url: Option<String>,
    /// `basic`, `bearer` or `hmac`.
    #[schema(example = "basic")]
    webhook_auth: Option<String>,
    #[schema(example = "wablast")]
    webhook_user: Option<String>,
    #[schema(example = "a-long-password")]
    webhook_password: Option<String>,
    /// Counts with `bearer`.
    #[schema(example = "a-long-token")]
    webhook_token: Option<String>,
    /// Counts with `hmac`; at least 16 characters.
    #[schema(example = "a-secret-of-16-letters")]
    webhook_signing_secret: Option<String>,
    /// How long a flow may take to report, in minutes.
    #[schema(example = 15)]
    callback_minutes: Option<u32>,
    /// The flow does not call back: a 2xx answer counts as sent.
    #[schema(example = false)]
    counts_as_sent: Option<bool>,
    /// How many requests may be under way at once, 1 to 5, over all instances together.
    #[schema(example = 2)]
    at_once: Option<u32>,
    /// Replaces the whole pace; what it leaves out has its default.
    pace: Option<Pace>,
    /// How many of the last 200 messages, in percent, may fail or be uncertain before the account pauses itself.
    #[schema(example = 10)]
    auto_pause_percent: Option<u32>,
    /// Send again by itself what WhatsApp proves not to have got.
    #[schema(example = false)]
    resend_proven: Option<bool>,
    #[schema(example = "Selamat datang, {{contact.name|Kak}}!")]
    welcome_message: Option<String>,
    #[schema(example = "Anda tidak akan menerima pesan kami lagi.")]
    opt_out_confirmation: Option<String>,
    /// All companies that may use it from now on.
    #[schema(example = json!([1]))]
    allowed_company_ids: Option<Vec<i64>>,
    /// All users who may from now on; empty: everybody of them.
    #[schema(example = json!([]))]
    allowed_user_ids: Option<Vec<i64>>,
}

impl Patch {
    /// Puts what it names into the form.
    fn onto(self, form: &mut AccountInput) {
        for (given, field) in [
            (self.name, &mut form.name),
            (self.send_through, &mut form.send_through),
            (self.delivery, &mut form.delivery),
            (self.api_url, &mut form.api_url),
            (self.api_key, &mut form.api_key),
            (self.webhook_url, &mut form.webhook_url),
            (self.webhook_auth, &mut form.webhook_auth),
            (self.webhook_user, &mut form.auth_user),
            (self.webhook_password, &mut form.auth_password),
            (self.webhook_token, &mut form.flow_token),
            (self.webhook_signing_secret, &mut form.flow_secret),
            (self.welcome_message, &mut form.welcome_message),
            (self.opt_out_confirmation, &mut form.opt_out_confirmation),
        ] {
            if let Some(given) = given {
                *field = given;
            }
        }
        for (given, field) in [
            (self.batch_size, &mut form.batch_size),
            (self.callback_minutes, &mut form.callback_minutes),
            (self.at_once, &mut form.at_once),
            (self.auto_pause_percent, &mut form.auto_pause_percent),
        ] {
            if let Some(given) = given {
                *field = given.to_string();
            }
        }
        for (given, field) in [
            (self.pull, &mut form.pulls),
            (self.counts_as_sent, &mut form.counts_as_sent),
            (self.resend_proven, &mut form.resend_proven),
        ] {
            if let Some(given) = given {
                *field = given.then(|| "true".to_owned());
            }
        }
        if let Some(pace) = self.pace {
            form.quiet_from = String::new();
            form.quiet_until = String::new();
            pace.fill(form);
        }
        if let Some(ids) = self.allowed_company_ids {
            form.allowed_company_ids = ids;
        }
        if let Some(ids) = self.allowed_user_ids {
            form.allowed_user_ids = ids;
        }
    }
}

/// Change an account
///
/// What is changed stands in the account's history. Another secret or address makes it untested until a test passes.
#[utoipa::path(patch, path = "/accounts/{id}", tag = "Accounts", operation_id = "changeAccount", params(("id" = i64, Path, description = "The account")),
    request_body = Patch, responses((status = 200, description = "The account as it is now", body = Shown), (status = 403, description = "Administrators of its company only")))]
pub async fn change(
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    caller.require(Role::Administrator)?;
    let (id, company, user) = (AccountId(*id), caller.company, caller.user);
    let patch: Patch = parse(&body)?;
    let pulls = patch.pull == Some(true);
    // Other companies are linked too: a connection that sees all, after the right was asked for.
    let mut conn = app.db.across().await?;
    audit::hold(&mut conn, "accounts", id.0).await?;
    accounts::owned(&mut conn, id, company).await?;
    let before = told::form_of(&mut conn, company, user, id).await?;
    let mut input = before.clone();
    patch.onto(&mut input);
    let replaced = told::secrets(&input);
    let draft = input.parse()?;
    if pulls && draft.send_through != "webhook" {
        return Err(pulls_by_webhook().into());
    }
    let account = accounts::update(&mut conn, &app.crypt, company, user, id, draft).await?;
    let after = told::form_of(&mut conn, company, user, id).await?;
    let mut changes = told::changes(&mut conn, &before, &after).await?;
    changes.extend(replaced);
    let (by, how) = (Some(user), Some(audit::BY_API));
    audit::note_changes_by(&mut conn, company, "accounts", id.0, by, &changes, how).await?;
    let answer = whole(&mut conn, &app, &account).await?;
    conn.commit().await?;
    app.wake.deliver.notify_one();
    Ok(HttpResponse::Ok().json(answer))
}

/// A secret that was just made.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct CallbackSecret {
    /// Signs what the flow posts to `callback_url`; in this answer alone.
    #[schema(example = "fls_3kD0vJ8qW2mT6xZ1bN5cR9yH4pL7sF0aG2eK8uQ1")]
    callback_secret: String,
    #[schema(example = "https://wa.example.com/webhooks/flow/3f9c…")]
    callback_url: String,
}

/// Make a secret for the signed events of its flow
///
/// It ends the one before it. The flow signs with it what it posts to `callback_url`: see `webhooks` in this document.
#[utoipa::path(post, path = "/accounts/{id}/callback_secret", tag = "Accounts", operation_id = "makeCallbackSecret",
    params(("id" = i64, Path, description = "The account"), Once),
    responses((status = 201, description = "The secret, this once", body = CallbackSecret), (status = 403, description = "Administrators of its company only"), (status = 409, description = "It does not send through a webhook")))]
pub async fn callback_secret(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    let id = AccountId(*id);
    once(&app, &caller, &request, &body, async |conn| {
        caller.require(Role::Administrator)?;
        let account = accounts::owned(conn, id, caller.company).await?;
        if !account.sends_through_webhook() {
            return Err(Error::conflict("This account does not send through a webhook.").into());
        }
        let secret = flow::make_callback_secret(conn, &app.crypt, &account).await?;
        noted(conn, &caller, "accounts", id.0, "flow_secret").await?;
        Answer::created(CallbackSecret {
            callback_secret: secret.expose_secret().to_owned(),
            callback_url: account.flow_url(&app),
        })
    })
    .await
}

/// What the company writes down of requests to its gateways.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = GatewayLog)]
pub struct Log {
    /// `errors`, `everything` or `nothing`.
    #[schema(example = "errors")]
    what: String,
    /// For how many days it stays.
    #[schema(example = 7)]
    days: i32,
}

impl Log {
    fn of(settings: Settings) -> Self {
        Self {
            what: settings.what,
            days: settings.days,
        }
    }
}

/// What is absent stays as it is.
#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[schema(as = GatewayLogChange)]
#[serde(default, deny_unknown_fields)]
pub struct LogPatch {
    /// `errors`, `everything` or `nothing`.
    #[schema(example = "everything")]
    what: Option<String>,
    /// 1 to 90.
    #[schema(example = 14)]
    days: Option<u32>,
}

/// What the Gateway Log writes down
#[utoipa::path(get, path = "/gateway_log", tag = "Accounts", operation_id = "gatewayLog",
    responses((status = 200, description = "What is written, and for how long", body = Log), (status = 403, description = "Administrators only")))]
pub async fn gateway_log(caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let mut conn = app.db.company(caller.company).await?;
    let now = settings::of(&mut conn, caller.company).await?;
    Ok(HttpResponse::Ok().json(Log::of(now)))
}

/// Choose what the Gateway Log writes down
#[utoipa::path(patch, path = "/gateway_log", tag = "Accounts", operation_id = "changeGatewayLog", request_body = LogPatch,
    responses((status = 200, description = "What is written from now on", body = Log), (status = 403, description = "Administrators only")))]
pub async fn change_gateway_log(
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    caller.require(Role::Administrator)?;
    let patch: LogPatch = parse(&body)?;
    let company = caller.company;
    let mut conn = app.db.company(company).await?;
    audit::hold(&mut conn, "gateway_log", company.0).await?;
    let before = SettingsInput::of(&settings::of(&mut conn, company).await?);
    let wanted = SettingsInput {
        what: patch.what.unwrap_or_else(|| before.what.clone()),
        days: match patch.days {
            Some(days) => days.to_string(),
            None => before.days.clone(),
        },
    }
    .parse()?;
    settings::save(&mut conn, company, &wanted).await?;
    let after = SettingsInput::of(&wanted);
    let changes = audit::diff(&before, &after, settings::TOLD, &HashMap::new());
    let (by, how) = (Some(caller.user), Some(audit::BY_API));
    let log = company.0;
    audit::note_changes_by(&mut conn, company, "gateway_log", log, by, &changes, how).await?;
    conn.commit().await?;
    settings::read(&app).await?;
    Ok(HttpResponse::Ok().json(Log::of(wanted)))
}
