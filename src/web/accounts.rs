//! WhatsApp Business Accounts: connecting a number, testing it, seeing whether it may send.
//!
//! Invariant: a secret comes in and never goes out; the webhook's key is shown once, on the page after the
//! form that made it.

use std::collections::HashMap;

use actix_web::web;
use askama::Template;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use secrecy::ExposeSecret as _;

use crate::accounts::flow::{self, Flow};
use crate::accounts::list::LIST;
use crate::accounts::sending::SendingInput;
use crate::accounts::sharing::{self, Sharing};
use crate::accounts::told::{self, TOLD, secrets, stored};
use crate::accounts::{self, Account, AccountInput, pulling, query};
use crate::auth::{Caller, Role};
use crate::db::CompanyConn;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{AccountId, UserId};
use crate::web::account_meta as meta;
use crate::web::account_verbs::{self as verbs, TestMessage};
use crate::web::callbacks;
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{self, Posted, see_other};
use crate::web::history::{self, Note};
use crate::web::kept;
use crate::web::list::{Empty, ListView};
use crate::web::once;
use crate::web::pace::Pace;
use crate::web::page::{Action, Menu, Shell, html, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::web::waha_sending::SendingBox;
use crate::web::waha_session::SessionBox;
use crate::{audit, companies, presses, users};

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/accounts", web::get().to(list))
        .route("/accounts/new", web::get().to(new))
        .route("/accounts", web::post().to(create))
        .route("/accounts/{id:[0-9]+}", web::get().to(show))
        .route("/accounts/{id:[0-9]+}", web::post().to(update))
        .route("/accounts/{id:[0-9]+}/test", web::post().to(verbs::test))
        .route(
            "/accounts/{id:[0-9]+}/test-message",
            web::post().to(verbs::test_message),
        )
        .route(
            "/accounts/{id:[0-9]+}/templates",
            web::post().to(meta::sync),
        )
        .route("/accounts/{id:[0-9]+}/number", web::post().to(meta::look))
        .route(
            "/accounts/{id:[0-9]+}/subscribe",
            web::post().to(meta::subscribe),
        )
        .route(
            "/accounts/{id:[0-9]+}/verify-token",
            web::post().to(meta::verify_token),
        )
        .route(
            "/accounts/{id:[0-9]+}/marketing-messages/{way:on|off}",
            web::post().to(meta::marketing_messages),
        )
        .route("/accounts/{id:[0-9]+}/push", web::post().to(verbs::push))
        .route("/accounts/{id:[0-9]+}/note", web::post().to(note))
        .route(
            "/accounts/{id:[0-9]+}/webhook-key",
            web::post().to(verbs::webhook_key),
        )
        .route(
            "/accounts/{id:[0-9]+}/callback-token",
            web::post().to(callbacks::make_token),
        )
        .route(
            "/accounts/{id:[0-9]+}/flow-secret",
            web::post().to(callbacks::make_secret),
        )
        .route(
            "/accounts/{id:[0-9]+}/{verb:pause|resume|archive|unarchive}",
            web::post().to(verbs::change),
        );
}

/// One line of the last test.
struct Line {
    ok: bool,
    message: String,
}

#[derive(Template)]
#[template(path = "accounts/form.html")]
struct AccountPage {
    shell: Shell,
    account: Option<Account>,
    input: AccountInput,
    errors: FieldErrors,
    users: Vec<(i64, String)>,
    /// Companies that may be chosen beside the owner.
    companies: Vec<(i64, String)>,
    /// Names of those that may use it too and are not this person's to choose.
    kept: String,
    lines: Vec<Line>,
    stand: Stand,
    history: Vec<Event>,
    intake_url: String,
    /// Shown this once.
    webhook_key: Option<String>,
    not_built: Option<&'static str>,
    callbacks: Option<callbacks::Callbacks>,
    flow: Flow,
    /// `None` where nothing was ever sent through it.
    pace: Option<Pace>,
    /// Of an account that sends by WAHA's own API.
    session: Option<SessionBox>,
    sending: Option<SendingBox>,
    /// Of an account at Meta.
    meta: Option<meta::Side>,
    /// A test message that did not go.
    tried: TestMessage,
}

impl AccountPage {
    /// "23 Nov" when a secret is stored, nothing otherwise.
    fn set(&self, secret: &str) -> String {
        let Some(account) = &self.account else {
            return String::new();
        };
        let is_stored = match secret {
            "app_secret" => account.app_secret.is_some(),
            "token" => account.token.is_some(),
            "auth_password" => account.auth_password.is_some(),
            "flow_token" => self.flow.has_token(),
            "flow_secret" => self.flow.has_signing_secret(),
            _ => account.api_key.is_some(),
        };
        if is_stored {
            self.shell.day(&account.updated_at)
        } else {
            String::new()
        }
    }

    /// The gateway stands elsewhere, and the address it is given leads to itself.
    fn is_out_of_reach(&self) -> bool {
        let is_here = |address: &str| {
            url::Url::parse(address).is_ok_and(|url| match url.host() {
                Some(url::Host::Domain(name)) => name == "localhost",
                Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
                Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
                None => false,
            })
        };
        self.account.as_ref().is_some_and(|account| {
            // A Meta on this machine is a rehearsal.
            let theirs = if account.sends_through_webhook() {
                &account.webhook_url
            } else if account.is_meta() {
                &account.base_url
            } else {
                &account.api_url
            };
            !is_here(theirs) && is_here(&self.intake_url)
        })
    }

    fn action(&self) -> String {
        self.account.as_ref().map_or_else(
            || "/accounts".to_owned(),
            |account| format!("/accounts/{}", account.id),
        )
    }

    fn events_title(&self) -> &'static str {
        if self.meta.is_some() {
            "accounts.meta_events"
        } else {
            "accounts.events"
        }
    }

    fn providers(&self) -> [(&'static str, &'static str); 2] {
        [("waha", "WAHA"), ("meta", "Meta Cloud API")]
    }

    fn ways(&self) -> [(&'static str, &'static str); 2] {
        [
            ("api", "accounts.way_api"),
            ("webhook", "accounts.way_webhook"),
        ]
    }

    fn clocks(&self) -> [(&'static str, &'static str); 2] {
        [
            ("recipient", "accounts.quiet_zone_recipient"),
            ("company", "accounts.quiet_zone_company"),
        ]
    }

    fn auths(&self) -> [(&'static str, &'static str); 3] {
        [
            ("basic", "accounts.auth_basic"),
            ("bearer", "accounts.auth_bearer"),
            ("hmac", "accounts.auth_hmac"),
        ]
    }

    fn deliveries(&self) -> [(&'static str, &'static str); 2] {
        [
            ("direct", "accounts.direct"),
            ("batched", "accounts.batched"),
        ]
    }
}

/// What a company sees of an account that another one owns.
#[derive(Template)]
#[template(path = "accounts/linked.html")]
struct LinkedPage {
    shell: Shell,
    account: Account,
    owner: String,
    users: String,
    not_built: Option<&'static str>,
}

/// The names behind the ids of the form.
async fn names_of(visit: &Visit, id: AccountId) -> Result<HashMap<(&'static str, String), String>> {
    let allowed = {
        let mut conn = visit.conn().await?;
        query::allowed_users(&mut conn, id).await?
    };
    let (sharing, people) = around(visit, Some(id), &allowed).await?;
    let people = people
        .into_iter()
        .map(|(id, name)| (("allowed_user_ids", id.to_string()), name));
    let companies = sharing.choices.into_iter().map(|company| {
        (
            ("allowed_company_ids", company.id.to_string()),
            company.name,
        )
    });
    Ok(people.chain(companies).collect())
}

/// The form: of an account (`id`) or a new one; `input` is what was typed, when it had faults.
pub(super) async fn render(
    visit: &Visit,
    id: Option<AccountId>,
    input: Option<AccountInput>,
    errors: FieldErrors,
) -> WebResult {
    render_trying(visit, id, input, errors, Tried::default()).await
}

/// What was typed in another form of the page, and had faults.
#[derive(Default)]
pub(super) struct Tried {
    pub message: TestMessage,
    pub sending: Option<SendingInput>,
}

/// The same with what was typed beside the account's own form.
pub(super) async fn render_trying(
    visit: &Visit,
    id: Option<AccountId>,
    input: Option<AccountInput>,
    mut errors: FieldErrors,
    tried: Tried,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let session = session_of(visit, id).await?;
    let mut conn = visit.conn().await?;
    let (mut account, mut allowed) = (None, Vec::new());
    let mut flow = Flow::default();
    if let Some(id) = id {
        flow = flow::of(&mut conn, id).await?;
        account = Some(query::find(&mut conn, id).await?);
        allowed = query::allowed_users(&mut conn, id).await?;
    }
    if let Some(account) = account.take_if(|account| account.company_id != visit.company) {
        return linked(visit, conn, account, &allowed).await;
    }
    let (sharing, users) = around(visit, id, &allowed).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let (mut stand, mut events) = (Stand::default(), Vec::new());
    let filled = match &account {
        Some(account) => {
            let pulling = pulling::of(&mut conn, account).await?;
            Some(stored(account, &flow, pulling, &allowed, &sharing.chosen))
        }
        None => None,
    };
    let sending = match &account {
        Some(account) => {
            let typed = tried.sending.clone();
            SendingBox::load(visit, &mut conn, &shell, account, typed, &mut errors).await?
        }
        None => None,
    };
    if let (Some(id), Some(filled)) = (id, &filled) {
        let record = ("accounts", id.0);
        stand = if tried.sending.is_some() {
            Stand::fresh(visit, filled)
        } else {
            Stand::of(visit, &mut conn, &shell, record, filled, &mut errors).await?
        };
        let entries = audit::of(&mut conn, "accounts", id.0).await?;
        events = history::events(&shell, "accounts", entries);
    }
    let input = input.or(filled).unwrap_or_else(|| AccountInput {
        provider: "waha".to_owned(),
        send_through: "api".to_owned(),
        // Not chosen: the way of sending decides.
        delivery: String::new(),
        batch_size: accounts::input::BATCH_SIZE.to_string(),
        auto_pause_percent: accounts::input::AUTO_PAUSE_PERCENT.to_string(),
        callback_minutes: accounts::input::CALLBACK_MINUTES.to_string(),
        at_once: accounts::input::AT_ONCE.to_string(),
        quiet_zone: "recipient".to_owned(),
        webhook_auth: flow.auth.clone(),
        ..AccountInput::default()
    });
    let status = match &sending {
        Some(sending) if sending.stand.newer.is_some() => sending.stand.status(&errors),
        _ => stand.status(&errors),
    };
    let page = AccountPage {
        tried: tried.message,
        shell,
        stand,
        history: events,
        intake_url: account
            .as_ref()
            .map(|account| account.intake_url(&visit.app))
            .unwrap_or_default(),
        not_built: account.as_ref().and_then(Account::not_built),
        callbacks: match &account {
            Some(account) if account.sends_through_webhook() => {
                let at = callbacks::page(account.id);
                Some(callbacks::Callbacks::load(visit, &mut conn, account, &flow, &at).await?)
            }
            _ => None,
        },
        lines: account.as_ref().map(lines).unwrap_or_default(),
        pace: match &account {
            Some(account) => Pace::load(visit, account.id).await?,
            None => None,
        },
        session,
        flow,
        sending,
        meta: match &account {
            Some(account) if account.is_meta() => Some(meta::Side::load(&mut conn, account).await?),
            _ => None,
        },
        account,
        input,
        errors,
        users,
        companies: sharing
            .choices
            .into_iter()
            .map(|company| (company.id.0, company.name))
            .collect(),
        kept: names(sharing.kept.into_iter().map(|company| company.name)),
        webhook_key: id.and_then(|id| once::take(visit, &format!("/accounts/{id}"))),
    };
    Ok(html_with(status, page))
}

/// What WAHA says of the account's session, asked before the page takes a connection.
async fn session_of(visit: &Visit, id: Option<AccountId>) -> Result<Option<SessionBox>> {
    let Some(id) = id else {
        return Ok(None);
    };
    let account = {
        let mut conn = visit.conn().await?;
        query::find(&mut conn, id).await?
    };
    if account.company_id != visit.company {
        return Ok(None);
    }
    SessionBox::load(visit, &account, &format!("/accounts/{id}")).await
}

fn names(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The companies the person may choose from, and the users: of all these companies, and those stored.
async fn around(
    visit: &Visit,
    id: Option<AccountId>,
    allowed: &[UserId],
) -> Result<(Sharing, Vec<(i64, String)>)> {
    let mut system = visit.app.db.system().await?;
    let sharing = sharing::of(&mut system, visit.company, visit.user, id).await?;
    let mut companies = vec![visit.company];
    companies.extend(sharing.choices.iter().map(|company| company.id));
    let mut people = users::ids_of_companies(&mut system, &companies).await?;
    people.extend(allowed);
    let people = users::find_many(&mut system, &people).await?;
    let people = people.into_iter().map(|user| (user.id.0, user.name));
    Ok((sharing, people.collect()))
}

/// The page of an account that another company owns: to read.
async fn linked(
    visit: &Visit,
    mut conn: CompanyConn,
    account: Account,
    allowed: &[UserId],
) -> WebResult {
    let (owner, people) = {
        let mut system = visit.app.db.system().await?;
        let owner = companies::find(&mut system, account.company_id).await?;
        (owner.name, users::find_many(&mut system, allowed).await?)
    };
    let page = LinkedPage {
        shell: visit.shell(Menu::Configuration, &mut conn).await?,
        not_built: account.not_built(),
        account,
        owner,
        users: names(people.into_iter().map(|user| user.name)),
    };
    Ok(html(page))
}

/// What the last test found.
fn lines(account: &Account) -> Vec<Line> {
    let checks = account
        .test_checks
        .as_ref()
        .and_then(|checks| checks.as_array());
    checks
        .into_iter()
        .flatten()
        .map(|check| Line {
            ok: check["ok"].as_bool().unwrap_or(false),
            message: check["message"].as_str().unwrap_or_default().to_owned(),
        })
        .collect()
}

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let empty = Empty {
        icon: "device-mobile-message",
        title: "accounts.none",
        text: "accounts.none_text",
        actions: vec![Action::link(shell.t("accounts.new"), "/accounts/new").icon("plus")],
    };
    let table = Table::new(shell, "menu.accounts", "/accounts/", found);
    Ok(ListView::new(table, "/accounts", empty)
        .creating("/accounts/new")
        .answer())
}

async fn new(visit: Visit) -> WebResult {
    let typed = kept::form(&visit).await?;
    render(&visit, None, typed, FieldErrors::default()).await
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let (id, typed) = (Some(AccountId(*id)), kept::form(&visit).await?);
    render(&visit, id, typed, FieldErrors::default()).await
}

async fn note(visit: Visit, id: web::Path<i64>, Posted(given): Posted<Note>) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = AccountId(*id);
    let mut conn = visit.conn().await?;
    if query::find(&mut conn, id).await?.company_id != visit.company {
        return Err(Error::Forbidden.into());
    }
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    given.leave(&visit, &mut conn, "accounts", id.0).await?;
    Ok(visit
        .goes_on(conn, format!("/accounts/{id}#history"))
        .await?)
}

/// Says in the account's history who did what.
pub(super) async fn noted(
    caller: &Caller,
    conn: &mut AsyncPgConnection,
    id: AccountId,
    what: &str,
) -> Result<()> {
    let by = Some(caller.user);
    audit::note(conn, caller.company, "accounts", id.0, by, what, None).await?;
    Ok(())
}

async fn create(visit: Visit, Posted(input): Posted<AccountInput>) -> WebResult {
    visit.require(Role::Administrator)?;
    let made: Result<Result<_, String>> = async {
        let draft = input.parse()?;
        let (crypt, caller): (_, &Caller) = (&visit.app.crypt, &visit);
        let press = form::press(&visit.request);
        // Other companies are linked too: a connection that sees all, after the right was asked for.
        let mut system = visit.app.db.system().await?;
        system
            .transaction(async |conn| {
                if let Some(first) = presses::before(conn, caller.company, &press).await? {
                    return Ok(Err(first));
                }
                let (company, user) = (caller.company, caller.user);
                let made = accounts::create(conn, crypt, company, user, draft).await?;
                noted(caller, conn, made.0.id, "created").await?;
                let page = format!("/accounts/{}", made.0.id);
                presses::led_to(conn, company, &press, &page).await?;
                Ok(Ok(made))
            })
            .await
    }
    .await;
    match made {
        Ok(Err(first)) => Ok(see_other(first)),
        Ok(Ok((account, key))) => {
            let page = format!("/accounts/{}", account.id);
            once::keep(&visit, &page, key.expose_secret())?;
            Ok(see_other(page))
        }
        Err(Error::Invalid(errors)) => render(&visit, None, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn update(
    visit: Visit,
    id: web::Path<i64>,
    Posted(input): Posted<AccountInput>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = AccountId(*id);
    let saved: Result<()> = async {
        let draft = input.parse()?;
        let replaced = secrets(&input);
        let names = names_of(&visit, id).await?;
        let posted = form::version(&visit.request);
        let (crypt, caller): (_, &Caller) = (&visit.app.crypt, &visit);
        let mut system = visit.app.db.system().await?;
        system
            .transaction(async |conn| {
                let (company, user) = (caller.company, caller.user);
                audit::hold(conn, "accounts", id.0).await?;
                let owned = query::find(conn, id).await?.company_id == company;
                let before = told::form_of(conn, company, user, id).await?;
                if owned {
                    edit::still(posted.as_deref(), &before)?;
                }
                accounts::update(conn, crypt, company, user, id, draft).await?;
                let after = told::form_of(conn, company, user, id).await?;
                let mut changes = history::diff(&before, &after, TOLD, &names);
                changes.extend(replaced);
                audit::note_changes(conn, company, "accounts", id.0, Some(user), &changes).await?;
                Ok(())
            })
            .await
    }
    .await;
    match saved {
        Ok(()) => {
            visit.tell("accounts.saved");
            Ok(see_other(format!("/accounts/{id}")))
        }
        Err(Error::Invalid(errors)) => render(&visit, Some(id), Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}
