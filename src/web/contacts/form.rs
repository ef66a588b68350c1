//! One person: who they are, whether they can be reached, and what was said between us.

use actix_web::{HttpResponse, web};
use askama::Template;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;

use crate::contacts::query::Counters;
use crate::contacts::told;
use crate::contacts::{self, Contact, ContactInput, identity, query};
use crate::error::{Error, FieldErrors, Result};
use crate::ids::ContactId;
use crate::text::country;
use crate::text::phone::{self, PhoneNumber};
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::Posted;
use crate::web::history::{self, Note};
use crate::web::kept;
use crate::web::page::{Menu, Shell, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::{audit, companies, incoming, lists, outgoing};

/// One answer to "can this person be reached?".
struct Check {
    ok: bool,
    sentence: String,
}

/// What stands around the form of somebody who is stored.
struct Known {
    contact: Contact,
    counters: Counters,
    checks: Vec<Check>,
    is_incoming: bool,
    /// Of the open tab.
    table: Table,
    history: Vec<Event>,
}

#[derive(Template)]
#[template(path = "contacts/form.html")]
struct ContactPage {
    shell: Shell,
    known: Option<Known>,
    input: ContactInput,
    lists: Vec<(i64, String)>,
    errors: FieldErrors,
    stand: Stand,
}

impl ContactPage {
    /// A person known by another identity may have no number.
    fn needs_number(&self) -> bool {
        let without = |known: &Known| known.contact.whatsapp_number.is_none();
        !self.known.as_ref().is_some_and(without)
    }

    fn action(&self) -> String {
        self.known.as_ref().map_or_else(
            || "/contacts".to_owned(),
            |known| format!("/contacts/{}", known.contact.id),
        )
    }

    fn countries(&self) -> Vec<(&'static str, &'static str)> {
        let mut countries: Vec<_> = country::ALL
            .iter()
            .map(|(code, _)| (*code, country::named(self.shell.lang, code)))
            .collect();
        countries.sort_by_key(|(_, name)| *name);
        countries
    }
}

/// The company's country: of numbers that name none, and of people entered by hand.
async fn home(visit: &Visit) -> Result<String> {
    let mut system = visit.app.db.system().await?;
    Ok(companies::find(&mut system, visit.company).await?.country)
}

/// The form: of a person (`id`) or a new one; `input` is what was typed, when it had faults.
async fn render(
    visit: &Visit,
    id: Option<ContactId>,
    input: Option<ContactInput>,
    mut errors: FieldErrors,
) -> WebResult {
    let country = home(visit).await?;
    let mut conn = visit.conn().await?;
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    let mut lists = lists::list::names(&mut conn).await?;
    let mut fresh = ContactInput {
        country,
        active: Some("true".to_owned()),
        ..ContactInput::default()
    };
    let (mut known, mut stand) = (None, Stand::default());
    if let Some(id) = id {
        let contact = query::find(&mut conn, id).await?;
        let (filled, own) = told::form_of(&mut conn, &contact).await?;
        fresh = filled;
        let record = ("contacts", id.0);
        stand = Stand::of(visit, &mut conn, &shell, record, &fresh, &mut errors).await?;
        // An archived list is no choice, but who is in it stays in it.
        lists.extend(
            own.into_iter()
                .filter(|list| !lists.contains(list))
                .collect::<Vec<_>>(),
        );
        known = Some(around(visit, &mut conn, shell.clone(), contact).await?);
    }
    let status = stand.status(&errors);
    let page = ContactPage {
        stand,
        shell,
        known,
        input: input.unwrap_or(fresh),
        lists: lists.into_iter().map(|(id, name)| (id.0, name)).collect(),
        errors,
    };
    Ok(html_with(status, page))
}

async fn around(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    shell: Shell,
    contact: Contact,
) -> Result<Known> {
    let id = contact.id;
    let blacklisted = match &contact.whatsapp_number {
        Some(number) => contacts::list::is_blacklisted(conn, number).await?,
        None => false,
    };
    let said = match &contact.whatsapp_number {
        Some(number) => identity::number_said(conn, contact.company_id, number).await?,
        None => None,
    };
    let is_incoming = !visit.request.query_string().contains("tab=outgoing");
    let of_contact = Some(("t.contact_id = $1", id.0));
    let table = if is_incoming {
        let found = table::load(conn, &incoming::list::LIST, visit, of_contact).await?;
        Table::new(shell.clone(), "menu.incoming", "/incoming/", found)
    } else {
        let found = table::load(conn, &outgoing::list::LIST, visit, of_contact).await?;
        Table::new(shell.clone(), "menu.outgoing", "/outgoing/", found)
    };
    let entries = audit::of(conn, "contacts", id.0).await?;
    Ok(Known {
        counters: query::counters(conn, id).await?,
        checks: checks(&shell, &contact, blacklisted, said),
        is_incoming,
        table,
        history: history::events(&shell, "contacts", entries),
        contact,
    })
}

/// Everything that decides whether a message goes out to this person.
/// `said`: what WhatsApp said of the number, and when.
fn checks(
    shell: &Shell,
    contact: &Contact,
    blacklisted: bool,
    said: Option<(bool, DateTime<Utc>)>,
) -> Vec<Check> {
    let check = |ok: bool, sentence: String| Check { ok, sentence };
    let number = match contact.whatsapp_number.as_deref() {
        None => check(false, shell.t("contacts.check.no_number")),
        Some(digits) => {
            let shown = phone::display_digits(digits);
            match PhoneNumber::parse(&format!("+{digits}"), "") {
                Ok(_) => check(true, shell.tf("contacts.check.number", &[shown])),
                Err(_) => check(false, shell.tf("contacts.check.bad_number", &[shown])),
            }
        }
    };
    let consent = if contact.opt_out {
        check(false, shell.t("contacts.check.opted_out"))
    } else {
        check(true, shell.t("contacts.check.subscribed"))
    };
    let words = |ok: bool, yes: &str, no: &str| check(ok, shell.t(if ok { yes } else { no }));
    let on_whatsapp = said.map(|(is_there, at)| {
        let key = if is_there {
            "contacts.check.on_whatsapp"
        } else {
            "contacts.check.not_on_whatsapp"
        };
        check(is_there, shell.tf(key, &[shell.date(&at)]))
    });
    let mut all = vec![
        number,
        consent,
        words(
            contact.active,
            "contacts.check.active",
            "contacts.check.archived",
        ),
        words(
            !blacklisted,
            "contacts.check.not_blacklisted",
            "contacts.check.blacklisted",
        ),
    ];
    all.extend(on_whatsapp);
    all
}

pub async fn new(visit: Visit) -> WebResult {
    let typed = kept::form(&visit).await?;
    render(&visit, None, typed, FieldErrors::default()).await
}

pub async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let (id, typed) = (Some(ContactId(*id)), kept::form(&visit).await?);
    render(&visit, id, typed, FieldErrors::default()).await
}

/// Stores what was typed: of a person (`id`) or a new one.
async fn save(visit: &Visit, id: Option<ContactId>, input: &ContactInput) -> Result<HttpResponse> {
    let country = home(visit).await?;
    let mut conn = visit.conn().await?;
    let by = Some(visit.user);
    let id = match id {
        Some(id) => {
            audit::hold(&mut conn, "contacts", id.0).await?;
            let contact = query::find(&mut conn, id).await?;
            let before = told::form_of(&mut conn, &contact).await?;
            edit::unchanged(visit, &before.0)?;
            let draft = input.parse_known(&country, contact.whatsapp_number.is_some())?;
            let saved = contacts::update(&mut conn, visit.company, id, &draft).await?;
            let changes = told::changes(&mut conn, before, &saved).await?;
            audit::note_changes(&mut conn, visit.company, "contacts", id.0, by, &changes).await?;
            id
        }
        None => {
            if let Some(first) = visit.pressed_before(&mut conn).await? {
                return Ok(first);
            }
            let draft = input.parse(&country)?;
            let made = contacts::create(&mut conn, visit.company, &draft).await?;
            let record = made.id.0;
            audit::note(
                &mut conn,
                visit.company,
                "contacts",
                record,
                by,
                "created",
                None,
            )
            .await?;
            made.id
        }
    };
    visit.tell("contacts.saved");
    visit.goes_on(conn, format!("/contacts/{id}")).await
}

async fn saved(visit: Visit, id: Option<ContactId>, input: ContactInput) -> WebResult {
    match save(&visit, id, &input).await {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid(errors)) => render(&visit, id, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

pub async fn create(visit: Visit, Posted(input): Posted<ContactInput>) -> WebResult {
    saved(visit, None, input).await
}

pub async fn update(
    visit: Visit,
    id: web::Path<i64>,
    Posted(input): Posted<ContactInput>,
) -> WebResult {
    saved(visit, Some(ContactId(*id)), input).await
}

pub async fn note(visit: Visit, id: web::Path<i64>, Posted(given): Posted<Note>) -> WebResult {
    let id = ContactId(*id);
    let mut conn = visit.conn().await?;
    query::find(&mut conn, id).await?;
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    given.leave(&visit, &mut conn, "contacts", id.0).await?;
    Ok(visit
        .goes_on(conn, format!("/contacts/{id}#history"))
        .await?)
}
