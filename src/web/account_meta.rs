//! What the page of an account at Meta has of its own: templates copied, events subscribed to, the verify token.
//!
//! Invariant: administrators of the owner alone; everything asked of Meta says in words what it answered.

use actix_web::web;
use chrono::TimeDelta;
use diesel_async::AsyncPgConnection;

use crate::accounts::notices::{self, Told};
use crate::accounts::number::{self, Limit, Number};
use crate::accounts::{self, Account, query, sending};
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::gateways::meta::account::SCOPES;
use crate::ids::{AccountId, TemplateId};
use crate::templates;
use crate::web::accounts::noted;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::page::Shell;
use crate::web::visit::Visit;

/// What stands beside the form.
pub struct Side {
    pub verify_token: String,
    pub templates: i64,
    pub approved: i64,
    /// `None` while Meta was never asked.
    pub number: Option<Number>,
    /// What Meta told by itself, the newest first.
    pub told: Vec<Told>,
    /// Marketing templates go through Meta's own call for them.
    pub marketing_messages: bool,
    /// An approved template, to be tried in a mailing.
    pub to_try: Option<TemplateId>,
}

impl Side {
    pub async fn load(conn: &mut AsyncPgConnection, account: &Account) -> Result<Self> {
        let (templates, approved) = templates::query::count(conn, account.id).await?;
        Ok(Self {
            verify_token: account.webhook_verify_token.clone(),
            templates,
            approved,
            number: number::find(conn, account.id).await?,
            told: notices::latest(conn, account.id).await?,
            marketing_messages: sending::of(conn, account.id).await?.marketing_messages,
            to_try: templates::query::first_approved(conn, account.id).await?,
        })
    }

    /// The limit of people, in words.
    pub fn limit(&self, shell: &Shell) -> String {
        match self.number.as_ref().map(Number::limit) {
            Some(Limit::People(people)) => shell.tf("number.limit_people", &[shell.number(people)]),
            Some(Limit::None) => shell.t("number.limit_none"),
            Some(Limit::Unknown) | None => String::new(),
        }
    }

    /// What the token may do and how long.
    pub fn token(&self, shell: &Shell) -> String {
        let Some(number) = self.number.as_ref().filter(|number| number.token_known) else {
            return String::new();
        };
        let lasts = number.token_expires_at.map_or_else(
            || shell.t("number.token_lasts"),
            |at| shell.tf("number.token_until", &[shell.date(&at)]),
        );
        let lacks: Vec<&str> = SCOPES
            .into_iter()
            .filter(|scope| !number.token_scopes.iter().any(|own| own == scope))
            .collect();
        if lacks.is_empty() {
            return lasts;
        }
        format!(
            "{lasts} {}",
            shell.tf("number.token_lacks", &[lacks.join(", ")])
        )
    }

    /// Whether the token ends within two weeks.
    pub fn token_ends(&self, shell: &Shell) -> bool {
        let ends = self
            .number
            .as_ref()
            .and_then(|number| number.token_expires_at);
        ends.is_some_and(|at| at - shell.now < TimeDelta::days(14))
    }
}

/// *Look again*: asks Meta how the number stands.
pub async fn look(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let account = own(&visit, AccountId(*id)).await?;
    if number::look(&visit.app, &account).await? {
        visit.tell("number.looked");
    } else {
        visit.tell("number.silent");
    }
    Ok(see_other(format!("/accounts/{}#number", *id)))
}

/// *Sync templates*.
pub async fn sync(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    crate::web::templates::copied(&visit, AccountId(*id)).await?;
    Ok(see_other(format!("/accounts/{}", *id)))
}

/// *Subscribe app*: Meta posts the account's events from now on.
pub async fn subscribe(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let account = own(&visit, AccountId(*id)).await?;
    let meta = account.meta(&visit.app)?;
    meta.subscribe().await.map_err(|error| {
        Error::conflict(format!(
            "Meta did not subscribe the app. {}",
            error.reason()
        ))
    })?;
    let mut conn = visit.conn().await?;
    noted(&visit, &mut conn, account.id, "subscribed").await?;
    conn.commit().await?;
    visit.tell("accounts.subscribed");
    Ok(see_other(format!("/accounts/{}", *id)))
}

/// Marketing templates go through Meta's own call for them from now on, or no longer.
pub async fn marketing_messages(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    let (id, way) = path.into_inner();
    let account = own(&visit, AccountId(id)).await?;
    let mut conn = visit.conn().await?;
    let on = way == "on";
    sending::set_marketing_messages(&mut conn, &account, on).await?;
    let what = if on { "marketing_on" } else { "marketing_off" };
    noted(&visit, &mut conn, account.id, what).await?;
    conn.commit().await?;
    visit.app.wake.deliver.notify_one();
    visit.tell("accounts.saved");
    Ok(see_other(format!("/accounts/{id}#templates")))
}

/// Another verify token: the one in Meta's dashboard does not fit any more.
pub async fn verify_token(
    visit: Visit,
    id: web::Path<i64>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    let account = own(&visit, AccountId(*id)).await?;
    let mut conn = visit.conn().await?;
    query::set_verify_token(&mut conn, account.id, &crate::random::token(32)).await?;
    noted(&visit, &mut conn, account.id, "verify_token").await?;
    conn.commit().await?;
    Ok(see_other(format!("/accounts/{}#hook", *id)))
}

async fn own(visit: &Visit, id: AccountId) -> Result<Account> {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let account = accounts::owned(&mut conn, id, visit.company).await?;
    if account.is_meta() {
        Ok(account)
    } else {
        Err(Error::conflict("This is for accounts at Meta."))
    }
}
