//! WhatsApp Business Accounts: connecting a number, testing it, seeing whether it may send.
//!
//! Invariant: a secret comes in and never goes out; the webhook's key is shown once, on the page after the
//! form that made it.

use std::collections::HashMap;

use actix_web::web;
use askama::Template;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use secrecy::ExposeSecret as _;

use crate::accounts::list::LIST;
use crate::accounts::sharing::{self, Sharing};
use crate::accounts::{self, Account, AccountInput, Secret, health, query};
use crate::app::App;
use crate::auth::{Caller, Role};
use crate::db::CompanyConn;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{AccountId, UserId};
use crate::outgoing::hold::{self, Whose};
use crate::outgoing::open;
use crate::outgoing::query::{Single, add_single};
use crate::text::merge::TEXT_MAX;
use crate::text::phone::PhoneNumber;
use crate::web::account_form::{TOLD, secrets, stored};
use crate::web::callbacks;
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{self, Posted, Pressed, see_other};
use crate::web::history::{self, Note};
use crate::web::kept;
use crate::web::list::{Empty, ListView};
use crate::web::once;
use crate::web::page::{Action, Menu, Shell, html, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::{audit, companies, contacts, users};

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/accounts", web::get().to(list))
        .route("/accounts/new", web::get().to(new))
        .route("/accounts", web::post().to(create))
        .route("/accounts/{id}", web::get().to(show))
        .route("/accounts/{id}", web::post().to(update))
        .route("/accounts/{id}/test", web::post().to(test))
        .route("/accounts/{id}/test-message", web::post().to(test_message))
        .route("/accounts/{id}/push", web::post().to(push))
        .route("/accounts/{id}/note", web::post().to(note))
        .route("/accounts/{id}/webhook-key", web::post().to(webhook_key))
        .route(
            "/accounts/{id}/callback-token",
            web::post().to(callbacks::make_token),
        )
        .route(
            "/accounts/{id}/{verb:pause|resume|archive|unarchive}",
            web::post().to(change),
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
}

impl AccountPage {
    /// "23 Nov" when a secret is stored, nothing otherwise.
    fn set(&self, secret: &str) -> String {
        let Some(account) = &self.account else {
            return String::new();
        };
        let stored = match secret {
            "app_secret" => &account.app_secret,
            "token" => &account.token,
            "auth_password" => &account.auth_password,
            _ => &account.api_key,
        };
        stored
            .as_ref()
            .map(|_| self.shell.day(&account.updated_at))
            .unwrap_or_default()
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
            let theirs = if account.sends_through_webhook() {
                &account.webhook_url
            } else {
                &account.api_url
            };
            let is_elsewhere = account.provider == "meta" || !is_here(theirs);
            is_elsewhere && is_here(&self.intake_url)
        })
    }

    fn action(&self) -> String {
        self.account.as_ref().map_or_else(
            || "/accounts".to_owned(),
            |account| format!("/accounts/{}", account.id),
        )
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

/// The form of a stored account of the person's company.
async fn form_of(
    conn: &mut AsyncPgConnection,
    caller: &Caller,
    id: AccountId,
) -> Result<AccountInput> {
    let account = query::find(conn, id).await?;
    let allowed = query::allowed_users(conn, id).await?;
    let sharing = sharing::of(conn, caller.company, caller.user, Some(id)).await?;
    Ok(stored(&account, &allowed, &sharing.chosen))
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
async fn render(
    visit: &Visit,
    id: Option<AccountId>,
    input: Option<AccountInput>,
    mut errors: FieldErrors,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let (mut account, mut allowed) = (None, Vec::new());
    if let Some(id) = id {
        account = Some(query::find(&mut conn, id).await?);
        allowed = query::allowed_users(&mut conn, id).await?;
    }
    if let Some(account) = account.take_if(|account| account.company_id != visit.company) {
        return linked(visit, conn, account, &allowed).await;
    }
    let (sharing, users) = around(visit, id, &allowed).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let (mut stand, mut events) = (Stand::default(), Vec::new());
    let filled = account
        .as_ref()
        .map(|account| stored(account, &allowed, &sharing.chosen));
    if let (Some(id), Some(filled)) = (id, &filled) {
        let record = ("accounts", id.0);
        stand = Stand::of(visit, &mut conn, &shell, record, filled, &mut errors).await?;
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
        ..AccountInput::default()
    });
    let status = stand.status(&errors);
    let page = AccountPage {
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
                Some(callbacks::Callbacks::load(visit, &mut conn, account.id).await?)
            }
            _ => None,
        },
        lines: account.as_ref().map(lines).unwrap_or_default(),
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
async fn noted(
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
    let made: Result<_> = async {
        let draft = input.parse()?;
        let (crypt, caller): (_, &Caller) = (&visit.app.crypt, &visit);
        // Other companies are linked too: a connection that sees all, after the right was asked for.
        let mut system = visit.app.db.system().await?;
        system
            .transaction(async |conn| {
                let (company, user) = (caller.company, caller.user);
                let made = accounts::create(conn, crypt, company, user, draft).await?;
                noted(caller, conn, made.0.id, "created").await?;
                Ok(made)
            })
            .await
    }
    .await;
    match made {
        Ok((account, key)) => {
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
                let before = form_of(conn, caller, id).await?;
                if owned {
                    edit::still(posted.as_deref(), &before)?;
                }
                accounts::update(conn, crypt, company, user, id, draft).await?;
                let after = form_of(conn, caller, id).await?;
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

async fn test(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    accounts::test::run(&visit.app, visit.company, AccountId(*id)).await?;
    Ok(see_other(format!("/accounts/{}#test", *id)))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct TestMessage {
    number: String,
    text: String,
    /// Makes a double click one message.
    key: String,
}

async fn test_message(
    visit: Visit,
    id: web::Path<i64>,
    Posted(message): Posted<TestMessage>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = AccountId(*id);
    let sent: Result<()> = async {
        let mut system = visit.app.db.system().await?;
        let country = companies::find(&mut system, visit.company).await?.country;
        drop(system);
        let number = PhoneNumber::parse(&message.number, &country)
            .map_err(|fault| Error::invalid("number", fault.to_string()))?;
        if message.text.trim().is_empty() {
            return Err(Error::invalid("text", "Write the message first."));
        }
        let length = message.text.trim().chars().count();
        if length > TEXT_MAX {
            let sentence = format!("This has {length} characters; at most {TEXT_MAX} fit.");
            return Err(Error::invalid("text", sentence));
        }
        let mut conn = visit.conn().await?;
        accounts::owned(&mut conn, id, visit.company).await?;
        let account = accounts::usable(&mut conn, id, visit.user).await?;
        if let Some(reason) = account.not_built() {
            return Err(Error::conflict(reason));
        }
        // What is queued as a test is not judged again before it leaves.
        if contacts::query::wants_nothing(&mut conn, number.as_str()).await? {
            return Err(Error::invalid(
                "number",
                "This person opted out or is blacklisted, and gets no tests either. Choose another number.",
            ));
        }
        let single = Single {
            company: visit.company,
            account: id,
            kind: "test",
            contact: None,
            number: number.as_str(),
            text: message.text.trim(),
            user: Some(visit.user),
            cause: &format!("test:{}:{}", visit.user, message.key),
            quoted: None,
            media: None,
        };
        add_single(&mut conn, &single).await?;
        conn.commit().await
    }
    .await;
    match sent {
        Ok(()) => {
            visit.app.wake.deliver.notify_one();
            visit.tell("accounts.test_queued");
            Ok(see_other("/outgoing"))
        }
        Err(Error::Invalid(errors)) => render(&visit, Some(id), None, errors).await,
        Err(other) => Err(other.into()),
    }
}

/// *Push queue now*: the next batch, whether or not the job that opens batches is on.
async fn push(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = AccountId(*id);
    let (app, company, by): (&App, _, _) = (&visit.app, visit.company, Some(visit.user));
    let mut system = app.db.system().await?;
    let opened = system
        .transaction(async |conn| {
            let opened = open::push(app, conn, company, id).await?;
            let note = opened.to_string();
            audit::note(conn, company, "accounts", id.0, by, "push", Some(&note)).await?;
            Ok::<_, Error>(opened)
        })
        .await?;
    visit.app.wake.deliver.notify_one();
    match i64::try_from(opened) {
        Ok(0) => visit.warn("accounts.pushed_nothing"),
        opened => visit.tell(&visit.tn("accounts.pushed", opened.unwrap_or(i64::MAX))),
    }
    Ok(see_other(format!("/accounts/{id}")))
}

/// A new key for the gateway's events; the page shows it this once.
async fn webhook_key(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = AccountId(*id);
    let mut conn = visit.conn().await?;
    let (crypt, which) = (&visit.app.crypt, Secret::WebhookSecret);
    let key = accounts::replace_secret(&mut conn, crypt, visit.company, id, which).await?;
    noted(&visit, &mut conn, id, "webhook_key").await?;
    conn.commit().await?;
    let page = format!("/accounts/{id}");
    once::keep(&visit, &page, key.expose_secret())?;
    Ok(see_other(page))
}

async fn change(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let (id, verb) = path.into_inner();
    let id = AccountId(id);
    let caller: &Caller = &visit;
    let mut system = visit.app.db.system().await?;
    system
        .transaction(async |conn| {
            accounts::owned(conn, id, caller.company).await?;
            match verb.as_str() {
                "pause" => health::pause(conn, id).await?,
                "resume" => health::resume(conn, id).await?,
                "archive" => accounts::set_active(conn, caller.company, id, false).await?,
                _ => accounts::set_active(conn, caller.company, id, true).await?,
            }
            noted(caller, conn, id, &verb).await
        })
        .await?;
    drop(system);
    if matches!(verb.as_str(), "pause" | "archive") {
        hold::until_nothing_begins(&visit.app, Whose::Account(id)).await?;
    }
    visit.app.wake.deliver.notify_one();
    Ok(see_other(format!("/accounts/{id}")))
}
