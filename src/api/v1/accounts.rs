//! `/api/v1/accounts`

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use secrecy::ExposeSecret as _;
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse, parse_query};
use super::super::idempotency::{Answer, once_across};
use super::super::token::ApiCaller;
use super::pace::{self, Pace, ShownPace};
use super::{Once, Page, Paging, after, limit, noted};
use crate::accounts::flow::{self, Flow};
use crate::accounts::test::Tested;
use crate::accounts::{self, Account, AccountInput, health, pulling, query};
use crate::app::App;
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::outgoing::hold::{self, Whose};

#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewAccount {
    #[schema(required = true, example = "Toko Bandung")]
    name: String,
    /// `waha` or `meta`.
    #[schema(required = true, example = "waha")]
    provider: String,
    /// `api` (the default where an API address or token is set) or `webhook`.
    #[schema(example = "api")]
    send_through: String,
    /// `direct` (the default with `api`) or `batched` (the default with `webhook`).
    #[schema(example = "direct")]
    delivery: String,
    /// WAHA's address.
    #[schema(example = "http://127.0.0.1:3000")]
    api_url: String,
    #[schema(example = "the-key-of-waha")]
    api_key: String,
    /// Phone Number ID (WAHA); absent: `phone_number_id`, else `default`.
    #[schema(example = "default")]
    session: String,
    /// The address of the n8n (or similar) webhook.
    webhook_url: String,
    /// What a push shows to the flow: `basic` (user and password), `bearer`, or `hmac` (`X-Wablast-Signature`:
    /// `sha256=` and the HMAC-SHA256 in hexadecimal of `X-Wablast-Timestamp`, a dot and the raw body).
    #[schema(example = "basic")]
    webhook_auth: String,
    webhook_user: String,
    webhook_password: String,
    /// Counts with `bearer`.
    webhook_token: String,
    /// Counts with `hmac`; at least 16 characters.
    webhook_signing_secret: String,
    /// The key with which the gateway signs what it posts to `intake_url`; made when absent.
    webhook_secret: String,
    phone_number_id: String,
    /// For whoever writes for the first time; blank: none.
    welcome_message: String,
    /// For whoever says stop; blank: none.
    opt_out_confirmation: String,
    allowed_company_ids: Vec<i64>,
    /// Blank: everybody in the company.
    allowed_user_ids: Vec<i64>,
    pace: Option<Pace>,
    /// How many of the last 200 messages, in percent, may fail or be uncertain before the account pauses
    /// itself; 100: any; 10 where it is absent.
    auto_pause_percent: Option<u32>,
    /// Send again by itself what WhatsApp proves not to have got: only with WAHA's API, off by default. Where
    /// WAHA's list of a chat is wrong, somebody gets a message twice
    #[serde(default)]
    resend_proven: bool,
    /// How many messages one run of Scheduler Enqueue opens; counts where delivery is batched.
    batch_size: Option<u32>,
    /// How long a flow may take to report what became of a message; 15 where it is absent.
    callback_minutes: Option<u32>,
    /// The flow does not call back: a 2xx answer counts as sent.
    counts_as_sent: bool,
    /// How many requests may be under way at once, 1 to 5, over all instances together; 1 where it is absent.
    at_once: Option<u32>,
    /// Workers of your own fetch the messages with `POST /outgoing/pull`, and we post none; for accounts that send through a
    /// webhook, whose `webhook_url` may be absent then.
    pull: bool,
    /// WAHA stands behind a proxy that asks for user and password.
    behind_proxy: bool,
    /// Meta: WhatsApp Business Account ID.
    waba_id: String,
    /// Meta: App ID.
    app_id: String,
    /// Meta: access token.
    token: String,
    /// Meta: app secret.
    app_secret: String,
    /// Meta: another address of the Graph API.
    base_url: String,
}

impl NewAccount {
    fn input(self) -> AccountInput {
        let mut input = AccountInput {
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
            webhook_auth: self.webhook_auth,
            auth_user: self.webhook_user,
            auth_password: self.webhook_password,
            flow_token: self.webhook_token,
            flow_secret: self.webhook_signing_secret,
            api_key: self.api_key,
            session: self.session,
            behind_proxy: self.behind_proxy.then(|| "on".to_owned()),
            welcome_message: self.welcome_message,
            opt_out_confirmation: self.opt_out_confirmation,
            webhook_secret: self.webhook_secret,
            auto_pause_percent: self
                .auto_pause_percent
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
            pulls: self.pull.then(|| "on".to_owned()),
            resend_proven: self.resend_proven.then(|| "on".to_owned()),
            at_once: self
                .at_once
                .map(|value| value.to_string())
                .unwrap_or_default(),
            allowed_user_ids: self.allowed_user_ids,
            ..AccountInput::default()
        };
        self.pace.unwrap_or_default().fill(&mut input);
        input
    }
}

/// An account; a secret that is stored reads `"set"`.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Account)]
pub struct Shown {
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "Toko Bandung")]
    name: String,
    /// The owner.
    #[schema(example = 1)]
    company_id: i64,
    #[schema(example = "waha")]
    provider: String,
    #[schema(example = "api")]
    send_through: String,
    #[schema(example = "direct")]
    delivery: String,
    #[schema(example = true)]
    active: bool,
    #[schema(example = "http://127.0.0.1:3000")]
    api_url: String,
    #[schema(example = "set")]
    api_key: Option<String>,
    #[schema(example = "default")]
    session: String,
    #[schema(example = "https://n8n.example.com/webhook/whatsapp")]
    webhook_url: String,
    /// What a push shows to the flow.
    #[schema(example = "basic")]
    webhook_auth: String,
    #[schema(example = "wablast")]
    webhook_user: String,
    webhook_password: Option<String>,
    webhook_token: Option<String>,
    webhook_signing_secret: Option<String>,
    /// The secret itself in the answer that made it, else `"set"`.
    #[schema(example = "set")]
    webhook_secret: Option<String>,
    #[schema(example = "default")]
    phone_number_id: String,
    /// Known after a test or an event of the session.
    #[schema(example = "6281122334455")]
    phone_number: Option<String>,
    #[schema(example = "102290129340398")]
    waba_id: String,
    #[schema(example = "1029384756")]
    app_id: String,
    token: Option<String>,
    app_secret: Option<String>,
    #[schema(example = "https://graph.facebook.com")]
    base_url: String,
    behind_proxy: bool,
    #[schema(example = "Selamat datang, {{contact.name|Kak}}!")]
    welcome_message: String,
    #[schema(example = "Anda tidak akan menerima pesan kami lagi.")]
    opt_out_confirmation: String,
    pace: ShownPace,
    #[schema(example = 100)]
    auto_pause_percent: i32,
    /// Uncertain messages that WhatsApp proves not to have got are sent again by themselves.
    resend_proven: bool,
    batch_size: i32,
    callback_minutes: i32,
    counts_as_sent: bool,
    at_once: i32,
    /// Names the account in `intake_url`.
    #[schema(example = "3f9c5a7be0a14d0c")]
    account_key: String,
    /// Ours: give it to the gateway as the address of its webhook.
    #[schema(example = "https://wa.example.com/webhooks/waha/3f9c…")]
    intake_url: String,
    health: Health,
    /// The secret that signs what the flow posts to `callback_url`: `"set"` once it was made.
    #[schema(example = "set")]
    callback_secret: Option<String>,
    /// Ours: where a flow posts its signed events.
    #[schema(example = "https://wa.example.com/webhooks/flow/3f9c…")]
    callback_url: String,
    /// Workers fetch its messages; where the account itself was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = false)]
    pull: Option<bool>,
    /// Which companies may use it; where the account itself was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = json!([1]))]
    allowed_company_ids: Option<Vec<i64>>,
}

/// Whether the account may send now.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct Health {
    /// `running`, `paused` (by a person, or by itself after too many failures) or `stopped` (by its gateway).
    #[schema(example = "running")]
    state: String,
    reason: Option<String>,
    since: DateTime<Utc>,
    /// When a message is tried by itself; null: a person or the gateway starts it again.
    next_try_at: Option<DateTime<Utc>>,
}

/// What a company sees of an account that another one owns: nothing that opens it or leads to it.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = SharedAccount)]
pub struct Shared {
    id: i64,
    name: String,
    /// The owner.
    company_id: i64,
    provider: String,
    delivery: String,
    active: bool,
    phone_number: Option<String>,
    pace: ShownPace,
    health: Health,
}

/// An account of the company, or one that another company shares with it.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = AnyAccount)]
#[serde(untagged)]
pub enum Any {
    Own(Box<Shown>),
    Shared(Box<Shared>),
}

impl Any {
    fn id(&self) -> i64 {
        match self {
            Self::Own(account) => account.id,
            Self::Shared(account) => account.id,
        }
    }
}

fn shown_health(account: &Account) -> Health {
    Health {
        state: account.health.clone(),
        reason: account.health_reason.clone(),
        since: account.health_since,
        next_try_at: account.health_retry_at,
    }
}

fn shown_to(caller: &ApiCaller, app: &App, account: &Account, flow: &Flow) -> Any {
    if account.company_id == caller.company {
        return Any::Own(Box::new(shown(app, account, flow)));
    }
    Any::Shared(Box::new(Shared {
        id: account.id.0,
        name: account.name.clone(),
        company_id: account.company_id.0,
        provider: account.provider.clone(),
        delivery: account.delivery.clone(),
        active: account.active,
        phone_number: account.phone_number.clone(),
        pace: pace::shown(account),
        health: shown_health(account),
    }))
}

fn shown(app: &App, account: &Account, flow: &Flow) -> Shown {
    let word = |is_set: bool| is_set.then(|| "set".to_owned());
    let set = |secret: &Option<Vec<u8>>| word(secret.is_some());
    Shown {
        id: account.id.0,
        api_key: set(&account.api_key),
        webhook_auth: flow.auth.clone(),
        webhook_password: set(&account.auth_password),
        webhook_token: word(flow.has_token()),
        webhook_signing_secret: word(flow.has_signing_secret()),
        webhook_secret: set(&account.webhook_secret),
        token: set(&account.token),
        app_secret: set(&account.app_secret),
        intake_url: account.intake_url(app),
        name: account.name.clone(),
        provider: account.provider.clone(),
        send_through: account.send_through.clone(),
        delivery: account.delivery.clone(),
        active: account.active,
        api_url: account.api_url.clone(),
        session: account.session.clone(),
        webhook_url: account.webhook_url.clone(),
        webhook_user: account.auth_user.clone(),
        phone_number_id: account.phone_uid.clone(),
        phone_number: account.phone_number.clone(),
        waba_id: account.account_uid.clone(),
        app_id: account.app_uid.clone(),
        base_url: account.base_url.clone(),
        behind_proxy: account.behind_proxy,
        welcome_message: account.welcome_message.clone(),
        opt_out_confirmation: account.opt_out_confirmation.clone(),
        pace: pace::shown(account),
        auto_pause_percent: account.auto_pause_percent,
        resend_proven: account.resend_proven,
        batch_size: account.batch_size,
        callback_minutes: account.callback_minutes,
        counts_as_sent: account.counts_as_sent,
        at_once: account.at_once,
        company_id: account.company_id.0,
        callback_secret: word(flow.callback_made_at.is_some()),
        callback_url: account.flow_url(app),
        pull: None,
        allowed_company_ids: None,
        account_key: account.account_key.clone(),
        health: shown_health(account),
    }
}

pub(super) fn pulls_by_webhook() -> Error {
    Error::invalid(
        "pull",
        "Workers fetch messages only of an account that sends through a webhook: send_through is webhook.",
    )
}

/// Connect an account
///
/// The answer holds `webhook_secret` this once.
#[utoipa::path(post, path = "/accounts", tag = "Accounts", operation_id = "createAccount", params(Once), request_body = NewAccount,
    responses((status = 201, description = "The account, with its webhook_secret", body = Shown), (status = 403, description = "Administrators only")))]
pub async fn create(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    // Other companies are linked too: a connection that sees all, after the right was asked for.
    once_across(&app, &caller, &request, &body, async |conn| {
        caller.require(Role::Administrator)?;
        let new: NewAccount = parse(&body)?;
        if new.pull && new.send_through != "webhook" {
            return Err(pulls_by_webhook().into());
        }
        let draft = new.input().parse()?;
        let (company, user) = (caller.company, caller.user);
        let (account, webhook_secret) =
            accounts::create(conn, &app.crypt, company, user, draft).await?;
        noted(conn, &caller, "accounts", account.id.0, "created").await?;
        let mut answer = whole(conn, &app, &account).await?;
        // Shown this once: the gateway signs with it what it posts to intake_url.
        answer.webhook_secret = Some(webhook_secret.expose_secret().to_owned());
        Answer::created(answer)
    })
    .await
}

/// The account with what is asked for beside it; `conn` sees all companies.
pub(super) async fn whole(
    conn: &mut AsyncPgConnection,
    app: &App,
    account: &Account,
) -> Result<Shown> {
    let flow = flow::of(conn, account.id).await?;
    let mut answer = shown(app, account, &flow);
    answer.pull = Some(pulling::of(conn, account).await?.pulls);
    answer.allowed_company_ids = Some(allowed(conn, account.id).await?);
    Ok(answer)
}

async fn allowed(conn: &mut AsyncPgConnection, id: AccountId) -> Result<Vec<i64>> {
    let companies = query::companies(conn, id).await?;
    Ok(companies.into_iter().map(|company| company.0).collect())
}

/// The accounts you may send with
#[utoipa::path(get, path = "/accounts", tag = "Accounts", operation_id = "accounts", params(Paging),
    responses((status = 200, description = "The accounts by id", body = Page<Any>)))]
pub async fn list(request: HttpRequest, caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let paging: Paging = parse_query(request.query_string())?;
    let after = after(paging.cursor.as_deref())?;
    let mut conn = app.db.company(caller.company).await?;
    let accounts = query::choices(&mut conn, caller.user).await?;
    let flows = flow::all(&mut conn).await?;
    let nobody = Flow::default();
    let mut all: Vec<Any> = accounts
        .iter()
        .map(|account| {
            let flow = flows.get(&account.id).unwrap_or(&nobody);
            shown_to(&caller, &app, account, flow)
        })
        .collect();
    all.sort_by_key(Any::id);
    let page = Page::of(all, limit(paging.limit), after, Any::id);
    Ok(HttpResponse::Ok().json(page))
}

/// An account with its health
#[utoipa::path(get, path = "/accounts/{id}", tag = "Accounts", operation_id = "account", params(("id" = i64, Path, description = "The account")),
    responses((status = 200, description = "The account", body = Any)))]
pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let account = query::find(&mut conn, AccountId(*id)).await?;
    // Who may not send through it does not see it, unless they look after it.
    let may_see = caller.role >= Role::Administrator
        || query::is_allowed(&mut conn, account.id, caller.user).await?;
    if !may_see {
        return Err(Error::NotFound.into());
    }
    let flow = flow::of(&mut conn, account.id).await?;
    let mut answer = shown_to(&caller, &app, &account, &flow);
    if let Any::Own(own) = &mut answer {
        own.pull = Some(pulling::of(&mut conn, &account).await?.pulls);
        let companies = allowed(&mut *app.db.system().await?, account.id).await?;
        own.allowed_company_ids = Some(companies);
    }
    Ok(HttpResponse::Ok().json(answer))
}

/// Ask the gateway what works
///
/// Test WAHA Credentials: every check with a sentence. A test that passes starts a stopped account again.
#[utoipa::path(post, path = "/accounts/{id}/test", tag = "Accounts", operation_id = "testAccount", params(("id" = i64, Path, description = "The account")),
    responses((status = 200, description = "What was checked", body = Tested), (status = 403, description = "Administrators only"), (status = 409, description = "The provider has no test")))]
pub async fn test(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let tested = accounts::test::run(&app, caller.company, AccountId(*id)).await?;
    Ok(HttpResponse::Ok().json(tested))
}

/// Let nothing leave over this account; the answer comes when this holds, within a second
#[utoipa::path(post, path = "/accounts/{id}/pause", tag = "Accounts", operation_id = "pauseAccount", params(("id" = i64, Path, description = "The account")),
    responses((status = 200, description = "The account", body = Shown), (status = 403, description = "Administrators only")))]
pub async fn pause(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let mut conn = app.db.company(caller.company).await?;
    accounts::owned(&mut conn, AccountId(*id), caller.company).await?;
    health::pause(&mut conn, AccountId(*id)).await?;
    noted(&mut conn, &caller, "accounts", *id, "pause").await?;
    let account = query::find(&mut conn, AccountId(*id)).await?;
    let flow = flow::of(&mut conn, account.id).await?;
    conn.commit().await?;
    hold::until_nothing_begins(&app, Whose::Account(account.id)).await?;
    Ok(HttpResponse::Ok().json(shown(&app, &account, &flow)))
}

/// Let the paused account send again
#[utoipa::path(post, path = "/accounts/{id}/resume", tag = "Accounts", operation_id = "resumeAccount", params(("id" = i64, Path, description = "The account")),
    responses((status = 200, description = "The account", body = Shown), (status = 403, description = "Administrators only"), (status = 409, description = "The account is stopped by its gateway: test it")))]
pub async fn resume(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let mut conn = app.db.company(caller.company).await?;
    accounts::owned(&mut conn, AccountId(*id), caller.company).await?;
    health::resume(&mut conn, AccountId(*id)).await?;
    noted(&mut conn, &caller, "accounts", *id, "resume").await?;
    let account = query::find(&mut conn, AccountId(*id)).await?;
    let flow = flow::of(&mut conn, account.id).await?;
    conn.commit().await?;
    app.wake.deliver.notify_one();
    Ok(HttpResponse::Ok().json(shown(&app, &account, &flow)))
}
