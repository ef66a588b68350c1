//! `/api/v1/accounts`

use actix_web::{HttpRequest, HttpResponse, web};
use diesel_async::AsyncConnection as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::super::error::{ApiResult, parse};
use super::super::idempotency::once;
use super::super::token::ApiCaller;
use crate::accounts::{self, Account, AccountInput, health, query};
use crate::app::App;
use crate::auth::Role;
use crate::ids::AccountId;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewAccount {
    name: String,
    provider: String,
    send_through: String,
    delivery: String,
    api_url: String,
    api_key: String,
    session: String,
    webhook_url: String,
    webhook_user: String,
    webhook_password: String,
    webhook_secret: String,
    phone_number_id: String,
    welcome_message: String,
    opt_out_confirmation: String,
    allowed_company_ids: Vec<i64>,
    allowed_user_ids: Vec<i64>,
    pace: Option<Pace>,
    batch_size: Option<u32>,
    callback_minutes: Option<u32>,
    counts_as_sent: bool,
    at_once: Option<u32>,
    behind_proxy: bool,
    waba_id: String,
    app_id: String,
    token: String,
    app_secret: String,
    base_url: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Pace {
    per_second: Option<f64>,
    burst: Option<u32>,
}

impl NewAccount {
    fn input(self) -> AccountInput {
        let pace = self.pace.unwrap_or(Pace {
            per_second: None,
            burst: None,
        });
        AccountInput {
            name: self.name,
            provider: self.provider,
            send_through: self.send_through,
            delivery: self.delivery,
            app_uid: self.app_id,
            app_secret: self.app_secret,
            account_uid: self.waba_id,
            phone_uid: self.phone_number_id,
            token: self.token,
            base_url: self.base_url,
            api_url: self.api_url,
            webhook_url: self.webhook_url,
            auth_user: self.webhook_user,
            auth_password: self.webhook_password,
            api_key: self.api_key,
            session: self.session,
            behind_proxy: self.behind_proxy.then(|| "on".to_owned()),
            welcome_message: self.welcome_message,
            opt_out_confirmation: self.opt_out_confirmation,
            webhook_secret: self.webhook_secret,
            per_second: pace
                .per_second
                .map(|value| value.to_string())
                .unwrap_or_default(),
            burst: pace
                .burst
                .map(|value| value.to_string())
                .unwrap_or_default(),
            batch_size: self
                .batch_size
                .map(|value| value.to_string())
                .unwrap_or_default(),
            allowed_company_ids: self.allowed_company_ids,
            callback_minutes: self
                .callback_minutes
                .map(|value| value.to_string())
                .unwrap_or_default(),
            counts_as_sent: self.counts_as_sent.then(|| "on".to_owned()),
            at_once: self
                .at_once
                .map(|value| value.to_string())
                .unwrap_or_default(),
            allowed_user_ids: self.allowed_user_ids,
        }
    }
}

fn shown(app: &App, account: &Account) -> Value {
    let set = |secret: &Option<Vec<u8>>| secret.as_ref().map(|_| "set");
    json!({
        "id": account.id, "name": account.name, "company_id": account.company_id,
        "provider": account.provider, "send_through": account.send_through,
        "delivery": account.delivery, "active": account.active, "api_url": account.api_url, "api_key": set(&account.api_key),
        "session": account.session, "webhook_url": account.webhook_url, "webhook_user": account.auth_user,
        "webhook_password": set(&account.auth_password), "webhook_secret": set(&account.webhook_secret),
        "phone_number_id": account.phone_uid, "phone_number": account.phone_number, "waba_id": account.account_uid,
        "app_id": account.app_uid, "token": set(&account.token), "app_secret": set(&account.app_secret),
        "base_url": account.base_url, "behind_proxy": account.behind_proxy, "welcome_message": account.welcome_message,
        "opt_out_confirmation": account.opt_out_confirmation,
        "pace": { "per_second": account.per_second, "burst": account.burst }, "batch_size": account.batch_size,
        "callback_minutes": account.callback_minutes, "counts_as_sent": account.counts_as_sent, "at_once": account.at_once,
        "account_key": account.account_key, "intake_url": account.intake_url(app),
        "health": { "state": account.health, "reason": account.health_reason, "since": account.health_since },
    })
}

/// What a company sees of an account that another one owns: nothing that opens it or leads to it.
fn shown_to(caller: &ApiCaller, app: &App, account: &Account) -> Value {
    if account.company_id == caller.company {
        return shown(app, account);
    }
    json!({
        "id": account.id, "name": account.name, "company_id": account.company_id, "provider": account.provider,
        "delivery": account.delivery, "active": account.active, "phone_number": account.phone_number,
        "pace": { "per_second": account.per_second, "burst": account.burst },
        "health": { "state": account.health, "reason": account.health_reason, "since": account.health_since },
    })
}

pub async fn create(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async {
        caller.require(Role::Administrator)?;
        let new: NewAccount = parse(&body)?;
        let draft = new.input().parse()?;
        // Other companies are linked too: a connection that sees all, after the right was asked for.
        let mut system = app.db.system().await?;
        let (account, webhook_secret) = system
            .transaction(async |conn| {
                accounts::create(conn, &app.crypt, caller.company, caller.user, draft).await
            })
            .await?;
        let companies = query::companies(&mut system, account.id).await?;
        let mut answer = shown(&app, &account);
        answer["allowed_company_ids"] = json!(companies);
        // Shown this once: the gateway signs with it what it posts to intake_url.
        answer["webhook_secret"] = json!(webhook_secret.expose_secret());
        Ok(HttpResponse::Created().json(answer))
    })
    .await
}

pub async fn list(caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let accounts = query::choices(&mut conn, caller.user).await?;
    let items: Vec<Value> = accounts
        .iter()
        .map(|account| shown_to(&caller, &app, account))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "total": items.len(), "items": items, "next": null })))
}

pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let account = query::find(&mut conn, AccountId(*id)).await?;
    let mut answer = shown_to(&caller, &app, &account);
    if account.company_id == caller.company {
        let companies = query::companies(&mut *app.db.system().await?, account.id).await?;
        answer["allowed_company_ids"] = json!(companies);
    }
    Ok(HttpResponse::Ok().json(answer))
}

pub async fn test(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let tested = accounts::test::run(&app, caller.company, AccountId(*id)).await?;
    Ok(HttpResponse::Ok().json(tested))
}

pub async fn pause(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let mut conn = app.db.company(caller.company).await?;
    accounts::owned(&mut conn, AccountId(*id), caller.company).await?;
    health::pause(&mut conn, AccountId(*id)).await?;
    let account = query::find(&mut conn, AccountId(*id)).await?;
    conn.commit().await?;
    Ok(HttpResponse::Ok().json(shown(&app, &account)))
}

pub async fn resume(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let mut conn = app.db.company(caller.company).await?;
    accounts::owned(&mut conn, AccountId(*id), caller.company).await?;
    health::resume(&mut conn, AccountId(*id)).await?;
    let account = query::find(&mut conn, AccountId(*id)).await?;
    conn.commit().await?;
    app.wake.deliver.notify_one();
    Ok(HttpResponse::Ok().json(shown(&app, &account)))
}
