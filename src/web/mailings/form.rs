//! The form of a draft: written, saved, and checked while it is written.
//!
//! Invariants: what was typed is never lost to a fault; the form chooses an account and never makes or
//! changes one; who is no manager is responsible for their own mailings.

use actix_web::http::StatusCode;
use actix_web::web;
use askama::Template;
use diesel_async::AsyncPgConnection;

use super::buttons::{self, Button};
use super::input::{self, Beside};
use super::preview::{self, Aside};
use super::{Asked, fragment_shell, history, href, may, noted, own, verbs};
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{ContactId, MailingId, UserId};
use crate::mailings::audience::FIXED;
use crate::mailings::{self, Mailing, MailingDraft, MailingInput, State, Verb, query};
use crate::text::merge::Template as Merge;
use crate::text::phone::display_digits;
use crate::web::error::WebResult;
use crate::web::form::{Posted, see_other};
use crate::web::page::{Menu, Shell, html, html_with};
use crate::web::pieces::Event;
use crate::web::visit::Visit;
use crate::{accounts, contacts, lists, users};

/// People a search answers.
const FOUND: i64 = 30;

/// A placeholder and what stands for it.
struct Variable {
    insert: String,
    said: String,
}

#[derive(Template)]
#[template(path = "mailings/form.html")]
struct FormPage {
    shell: Shell,
    mailing: Option<Mailing>,
    input: MailingInput,
    errors: FieldErrors,
    buttons: Vec<Button>,
    accounts: Vec<(i64, String)>,
    people: Vec<(i64, String)>,
    lists: Vec<(i64, String)>,
    contacts: Vec<(i64, String)>,
    variables: Vec<Variable>,
    /// The schedule date in words.
    when: String,
    find: String,
    aside: Aside,
    events: Vec<Event>,
}

impl FormPage {
    fn action(&self) -> String {
        self.mailing
            .as_ref()
            .map_or_else(|| "/mailings".to_owned(), |mailing| href(mailing.id))
    }

    /// When it was stored last, in words; empty for a new one.
    fn saved(&self) -> String {
        self.mailing
            .as_ref()
            .map(|mailing| self.shell.date(&mailing.updated_at))
            .unwrap_or_default()
    }

    fn title(&self) -> String {
        match &self.mailing {
            Some(mailing) => mailing.subject.clone(),
            None => self.shell.t("mailings.new"),
        }
    }

    fn steps(&self) -> Vec<String> {
        buttons::steps(&self.shell, State::Draft, 0).0
    }

    /// The settings of the chosen account.
    fn account_href(&self) -> String {
        if self.input.account_id.is_empty() {
            "/accounts".to_owned()
        } else {
            format!("/accounts/{}", self.input.account_id)
        }
    }

    fn ways(&self) -> [(&'static str, &'static str); 2] {
        [
            ("lists", "mailings.by_lists"),
            ("contacts", "mailings.by_contacts"),
        ]
    }

    fn headers(&self) -> [(&'static str, &'static str); 2] {
        [
            ("none", "mailings.header_none"),
            ("text", "mailings.header_text"),
        ]
    }

    fn placeholders(&self) -> Vec<(String, String)> {
        self.variables
            .iter()
            .map(|variable| (variable.insert.clone(), variable.said.clone()))
            .collect()
    }
}

/// What a form is shown with.
#[derive(Default)]
pub struct Shown {
    pub id: Option<MailingId>,
    /// What was typed; nothing: what is stored.
    pub typed: Option<MailingInput>,
    pub errors: FieldErrors,
    pub contact: Option<ContactId>,
    pub find: String,
}

/// The form of a new mailing, or of a draft the person may change.
pub async fn render(visit: &Visit, shown: Shown) -> WebResult {
    let people = people(visit).await?;
    let mut conn = visit.conn().await?;
    let mailing = match shown.id {
        Some(id) => Some(own(visit, &mut conn, id).await?),
        None => None,
    };
    let people = with_stored(&mut conn, people, mailing.as_ref()).await?;
    let account_choices = account_choices(visit, &mut conn, mailing.as_ref()).await?;
    let input = match (shown.typed, &mailing) {
        (Some(typed), _) => typed,
        (None, Some(mailing)) => {
            let chosen = query::chosen(&mut conn, mailing.id).await?;
            input::of(mailing, &chosen, visit.zone)
        }
        (None, None) => blank(visit, &account_choices),
    };
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let list_choices = list_choices(&mut conn, &shell).await?;
    let contact_choices = contact_choices(&mut conn, &input, &shown.find).await?;
    let variables = variables(&mut conn, &shell).await?;
    let events = match &mailing {
        Some(mailing) => history(&mut conn, &shell, mailing).await?,
        None => Vec::new(),
    };
    drop(conn);
    let aside = preview::of_form(visit, &shell, shown.id, &input, shown.contact).await?;
    let status = if shown.errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let page = FormPage {
        buttons: mailing.as_ref().map_or_else(buttons::of_new, buttons::of),
        people,
        when: in_words(visit, &shell, &input),
        accounts: account_choices,
        lists: list_choices,
        contacts: contact_choices,
        errors: shown.errors,
        find: shown.find,
        shell,
        mailing,
        input,
        variables,
        aside,
        events,
    };
    Ok(html_with(status, page))
}

/// A new mailing before anything is typed.
fn blank(visit: &Visit, accounts: &[(i64, String)]) -> MailingInput {
    MailingInput {
        account_id: accounts
            .first()
            .map(|(id, _)| id.to_string())
            .unwrap_or_default(),
        responsible_id: visit.user.to_string(),
        recipients: "lists".to_owned(),
        header_type: "none".to_owned(),
        ..MailingInput::default()
    }
}

/// Who works in the company, for those who may choose.
async fn people(visit: &Visit) -> Result<Vec<(i64, String)>> {
    if visit.role < Role::Manager {
        return Ok(vec![(visit.user.0, visit.name.clone())]);
    }
    let mut system = visit.app.db.system().await?;
    let people = users::of_company(&mut system, visit.company).await?;
    Ok(people
        .into_iter()
        .map(|user| (user.id.0, user.name))
        .collect())
}

/// With the stored one among them, so that opening the form changes nothing.
async fn with_stored(
    conn: &mut AsyncPgConnection,
    mut people: Vec<(i64, String)>,
    mailing: Option<&Mailing>,
) -> Result<Vec<(i64, String)>> {
    if let Some(mailing) = mailing
        && !people.iter().any(|(id, _)| *id == mailing.responsible_id.0)
    {
        let facts = query::facts(conn, mailing.id).await?;
        people.push((mailing.responsible_id.0, facts.responsible));
    }
    Ok(people)
}

/// Accounts the person may send through, and the stored one.
async fn account_choices(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    mailing: Option<&Mailing>,
) -> Result<Vec<(i64, String)>> {
    let mut choices: Vec<(i64, String)> = accounts::query::choices(conn, visit.user)
        .await?
        .into_iter()
        .map(|account| {
            let provider = visit.t(&format!("provider.{}", account.provider));
            (account.id.0, format!("{} ({provider})", account.name))
        })
        .collect();
    if let Some(mailing) = mailing
        && !choices.iter().any(|(id, _)| *id == mailing.account_id.0)
    {
        let facts = query::facts(conn, mailing.id).await?;
        choices.push((mailing.account_id.0, facts.account));
    }
    Ok(choices)
}

async fn list_choices(conn: &mut AsyncPgConnection, shell: &Shell) -> Result<Vec<(i64, String)>> {
    let choices = lists::choices(conn).await?;
    Ok(choices
        .into_iter()
        .map(|list| {
            let members = shell.number(list.members);
            (list.id.0, format!("{} ({members})", list.name))
        })
        .collect())
}

/// The chosen contacts, and those found without a script.
async fn contact_choices(
    conn: &mut AsyncPgConnection,
    input: &MailingInput,
    find: &str,
) -> Result<Vec<(i64, String)>> {
    let ids: Vec<ContactId> = input.contact_ids.iter().copied().map(ContactId).collect();
    let mut people = contacts::query::find_many(conn, &ids).await?;
    if !find.trim().is_empty() {
        let found = contacts::query::search(conn, find.trim(), FOUND).await?;
        people.extend(found.into_iter().filter(|one| !ids.contains(&one.id)));
    }
    Ok(people.iter().map(|contact| option(contact)).collect())
}

/// A contact as people choose it: name and number.
pub fn option(contact: &contacts::Contact) -> (i64, String) {
    let number = contact
        .whatsapp_number
        .as_deref()
        .map(display_digits)
        .unwrap_or_default();
    let said = [contact.full_name(), number];
    let said: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
    (contact.id.0, said.join(" · "))
}

/// Every placeholder: the fixed ones, then what contacts of the company have.
async fn variables(conn: &mut AsyncPgConnection, shell: &Shell) -> Result<Vec<Variable>> {
    let fixed = FIXED.iter().map(|name| Variable {
        insert: format!("{{{{{name}}}}}"),
        said: shell.t(&format!("mailings.var.{name}")),
    });
    let keys = query::attribute_keys(conn).await?;
    let own = keys
        .iter()
        .map(|key| (key, format!("contact.{key}")))
        .filter(|(_, name)| !FIXED.contains(&name.as_str()))
        .map(|(key, name)| Variable {
            insert: format!("{{{{{name}}}}}"),
            said: shell.tf("mailings.var.attribute", &[key]),
        })
        .filter(|variable| Merge::parse(&variable.insert).placeholders().count() == 1);
    Ok(fixed.chain(own).collect())
}

/// "24 Nov 10:00, Asia/Jakarta", or the zone alone.
fn in_words(visit: &Visit, shell: &Shell, input: &MailingInput) -> String {
    let zone = visit.zone.name();
    match mailings::input::instant(&input.schedule_date, visit.zone) {
        Ok(Some(date)) => format!("{}, {zone}", shell.date(&date)),
        _ => zone.to_owned(),
    }
}

pub async fn new(visit: Visit, asked: web::Query<Asked>) -> WebResult {
    let shown = Shown {
        contact: asked.contact(),
        find: asked.find.clone(),
        ..Shown::default()
    };
    render(&visit, shown).await
}

pub async fn create(visit: Visit, Posted(pairs): Posted<Vec<(String, String)>>) -> WebResult {
    store(&visit, None, &pairs).await
}

pub async fn save(
    visit: Visit,
    id: web::Path<i64>,
    Posted(pairs): Posted<Vec<(String, String)>>,
) -> WebResult {
    store(&visit, Some(MailingId(*id)), &pairs).await
}

/// Saves, then goes on as the pressed button says.
async fn store(visit: &Visit, id: Option<MailingId>, pairs: &[(String, String)]) -> WebResult {
    let (input, beside) = input::read(pairs)?;
    let shown = |id, errors| Shown {
        id,
        typed: Some(input.clone()),
        errors,
        contact: beside.contact(),
        find: beside.find.clone(),
    };
    let id = match write(visit, id, &input).await {
        Ok(id) => id,
        Err(Error::Invalid(errors)) => return render(visit, shown(id, errors)).await,
        Err(other) => return Err(other.into()),
    };
    match beside.then.as_str() {
        "submit" => match verbs::submitted(visit, id, None).await {
            Ok(()) => Ok(see_other(href(id))),
            Err(Error::Invalid(errors)) => render(visit, shown(Some(id), errors)).await,
            Err(other) => Err(other.into()),
        },
        "send_now" => Ok(see_other(format!("{}/send", href(id)))),
        "test" => Ok(see_other(format!("{}/test", href(id)))),
        _ => {
            visit.tell("mailings.saved");
            Ok(see_other(back(id, &beside)))
        }
    }
}

/// The form again, with what was looked at.
fn back(id: MailingId, beside: &Beside) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if beside.contact().is_some() {
        query.append_pair("as", &beside.r#as);
    }
    if beside.then == "find" {
        query.append_pair("find", &beside.find);
    }
    let query = query.finish();
    let at = if beside.then == "find" {
        "#f-contact_ids"
    } else {
        ""
    };
    if query.is_empty() {
        href(id)
    } else {
        format!("{}?{query}{at}", href(id))
    }
}

async fn write(visit: &Visit, id: Option<MailingId>, input: &MailingInput) -> Result<MailingId> {
    let people = people(visit).await?;
    let mut draft = input.parse(visit.zone)?;
    let mut conn = visit.conn().await?;
    let (company, user) = (visit.company, visit.user);
    let mailing = match id {
        None => {
            responsible(visit, &mut draft, &people, None)?;
            let made = mailings::create(&mut conn, company, user, &draft).await?;
            noted(visit, &mut conn, made.id, "created").await?;
            made
        }
        Some(id) => {
            let before = own(visit, &mut conn, id).await?;
            mailings::require(&before, Verb::Edit)?;
            let stored = Some(before.responsible_id);
            responsible(visit, &mut draft, &people, stored)?;
            let made = mailings::update(&mut conn, company, user, id, &draft).await?;
            noted(visit, &mut conn, id, "changed").await?;
            made
        }
    };
    conn.commit().await?;
    Ok(mailing.id)
}

/// Somebody of the company; whoever is no manager: themselves.
fn responsible(
    visit: &Visit,
    draft: &mut MailingDraft,
    people: &[(i64, String)],
    stored: Option<UserId>,
) -> Result<()> {
    let chosen = draft.responsible_id.or(stored).unwrap_or(visit.user);
    draft.responsible_id = Some(chosen);
    if Some(chosen) == stored || people.iter().any(|(id, _)| *id == chosen.0) {
        return Ok(());
    }
    Err(Error::invalid(
        "responsible_id",
        if visit.role < Role::Manager {
            "Only a manager can make somebody else responsible."
        } else {
            "This person does not work in this company. Choose another one."
        },
    ))
}

/// Pre-flight and preview of what stands in the form; stores nothing.
pub async fn check(visit: Visit, Posted(pairs): Posted<Vec<(String, String)>>) -> WebResult {
    let (input, beside) = input::read(&pairs)?;
    let shell = fragment_shell(&visit)?;
    let id = beside.mailing();
    if let Some(id) = id {
        let mut conn = visit.conn().await?;
        let mailing = own(&visit, &mut conn, id).await?;
        mailings::require(&mailing, Verb::Edit)?;
    }
    let aside = preview::of_form(&visit, &shell, id, &input, beside.contact()).await?;
    Ok(html(aside))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Search {
    q: String,
}

/// Rows to choose contacts from.
#[derive(Template)]
#[template(path = "mailings/contacts.html")]
struct Rows {
    shell: Shell,
    rows: Vec<(i64, String)>,
}

pub async fn contacts(visit: Visit, search: web::Query<Search>) -> WebResult {
    let mut conn = visit.conn().await?;
    let found = contacts::query::search(&mut conn, search.q.trim(), FOUND).await?;
    Ok(html(Rows {
        shell: fragment_shell(&visit)?,
        rows: found.iter().map(|contact| option(contact)).collect(),
    }))
}

/// Whether the mailing's page is the form.
pub fn is_form(visit: &Visit, mailing: &Mailing) -> bool {
    mailing.allows(Verb::Edit) && may(visit, mailing)
}
