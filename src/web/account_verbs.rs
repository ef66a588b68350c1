//! What is done with an account beside its form: testing it, trying a message, pushing its queue, a new key,
//! pausing and archiving.

use actix_web::web;
use diesel_async::AsyncConnection as _;
use secrecy::ExposeSecret as _;

use crate::accounts::{self, Secret, health};
use crate::app::App;
use crate::auth::{Caller, Role};
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::outgoing::hold::{self, Whose};
use crate::outgoing::open;
use crate::outgoing::query::{Single, add_single};
use crate::text::merge::TEXT_MAX;
use crate::text::phone::PhoneNumber;
use crate::web::accounts::{Tried, noted, render_trying};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::once;
use crate::web::visit::Visit;
use crate::{audit, companies, contacts, incoming};

pub async fn test(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    accounts::test::run(&visit.app, visit.company, AccountId(*id)).await?;
    Ok(see_other(format!("/accounts/{}#test", *id)))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct TestMessage {
    pub number: String,
    pub text: String,
    /// Makes a double click one message.
    key: String,
}

pub async fn test_message(
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
        if contacts::consent::wants_nothing(&mut conn, number.as_str()).await? {
            return Err(Error::invalid(
                "number",
                "This person opted out or is blacklisted, and gets no tests either. Choose another number.",
            ));
        }
        if account.is_meta()
            && !incoming::query::is_open_for(&mut conn, id, number.as_str()).await?
        {
            return Err(Error::invalid("number", incoming::NOT_OPEN));
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
            version: None,
            until: None,
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
        Err(Error::Invalid(errors)) => {
            let tried = Tried {
                message,
                ..Tried::default()
            };
            render_trying(&visit, Some(id), None, errors, tried).await
        }
        Err(other) => Err(other.into()),
    }
}

/// *Push queue now*: the next batch, whether or not the job that opens batches is on.
pub async fn push(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
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
pub async fn webhook_key(
    visit: Visit,
    id: web::Path<i64>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = AccountId(*id);
    let page = format!("/accounts/{id}");
    let mut conn = visit.conn().await?;
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    let (crypt, which) = (&visit.app.crypt, Secret::WebhookSecret);
    let key = accounts::replace_secret(&mut conn, crypt, visit.company, id, which).await?;
    noted(&visit, &mut conn, id, "webhook_key").await?;
    visit.leads_to(&mut conn, &page).await?;
    conn.commit().await?;
    once::keep(&visit, &page, key.expose_secret())?;
    Ok(see_other(page))
}

pub async fn change(
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
