//! A test message: the mailing as one of its people would read it, to a number somebody names.
//!
//! Invariants: the mailing itself does not change; a second press of the same page sends nothing more;
//! a person who opted out gets no test either.

use actix_web::http::StatusCode;
use actix_web::web;
use askama::Template;
use diesel_async::AsyncPgConnection;

use super::preview::{self, Bubble};
use super::{Asked, choices, href, noted, own, show};
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{ContactId, MailingId};
use crate::mailings::input::MESSAGE_MAX;
use crate::mailings::list::{Sample, samples};
use crate::mailings::{self, Mailing, Verb};
use crate::outgoing::query::{Single, add_single};
use crate::text::merge::{self, Values};
use crate::text::phone::PhoneNumber;
use crate::web::error::WebResult;
use crate::web::form::{Posted, see_other};
use crate::web::media;
use crate::web::page::{Menu, Shell, html_with};
use crate::web::visit::Visit;
use crate::{accounts, companies, contacts, incoming};

/// People to choose from.
const SAMPLES: i64 = 50;

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct TestInput {
    /// `number` or `contact`.
    to: String,
    number: String,
    /// Whose values fill the placeholders.
    #[serde(rename = "as")]
    who: String,
    /// Makes a double click one message.
    key: String,
}

#[derive(Template)]
#[template(path = "mailings/test.html")]
struct TestPage {
    shell: Shell,
    mailing: Mailing,
    input: TestInput,
    errors: FieldErrors,
    people: Vec<(i64, String)>,
    find: String,
    bubble: Bubble,
    account: String,
    /// Why nothing can go through the account, before somebody presses the button.
    obstacle: Option<String>,
    /// What Meta takes, where the account is one of Meta's.
    at_meta: Option<&'static str>,
}

impl TestPage {
    fn ways(&self) -> [(&'static str, &'static str); 2] {
        [
            ("number", "mailings.test_number"),
            ("contact", "mailings.test_contact"),
        ]
    }

    fn back(&self) -> String {
        href(self.mailing.id)
    }
}

pub async fn page(visit: Visit, id: web::Path<i64>, asked: web::Query<Asked>) -> WebResult {
    let input = TestInput {
        to: "number".to_owned(),
        who: asked.r#as.clone(),
        key: crate::random::token(16),
        ..TestInput::default()
    };
    let (id, find) = (MailingId(*id), asked.find());
    render(&visit, id, input, FieldErrors::default(), find).await
}

async fn render(
    visit: &Visit,
    id: MailingId,
    mut input: TestInput,
    errors: FieldErrors,
    find: String,
) -> WebResult {
    let mut conn = visit.conn().await?;
    let mailing = own(visit, &mut conn, id).await?;
    mailings::require(&mailing, Verb::Test)?;
    let chosen = input.who.parse().ok().map(ContactId);
    let people = people(&mut conn, id, chosen, &find).await?;
    if let (true, Some((first, _))) = (input.who.is_empty(), people.first()) {
        input.who = first.to_string();
    }
    let chosen = input.who.parse().ok().map(ContactId);
    let values = values(visit, &mut conn, id, chosen).await?;
    let account = accounts::query::find(&mut conn, mailing.account_id).await;
    let obstacle = accounts::obstacle(&mut conn, mailing.account_id, visit.user).await?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let file = media::named(&mut conn, &shell, mailing.media_id).await?;
    let buttons = preview::buttons(&mut conn, mailing.template_id).await?;
    let is_meta = account.as_ref().is_ok_and(accounts::Account::is_meta);
    let page = TestPage {
        at_meta: is_meta.then_some(match mailing.template_id {
            Some(_) => "mailings.test_template",
            None => "mailings.test_free_text",
        }),
        bubble: preview::marked(&preview::parts(&mailing), &values)
            .under(file)
            .above(buttons),
        account: account.map(|account| account.name).unwrap_or_default(),
        obstacle: obstacle.filter(|_| errors.is_empty()),
        shell,
        mailing,
        input,
        errors,
        people,
        find,
    };
    let status = if page.errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    Ok(html_with(status, page))
}

/// People of the audience, those found by their words before them.
async fn people(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    chosen: Option<ContactId>,
    find: &str,
) -> Result<Vec<(i64, String)>> {
    let mut found = Vec::new();
    if let Some(chosen) = chosen {
        found.extend(contacts::query::find_many(conn, &[chosen]).await?);
    }
    if !find.trim().is_empty() {
        found.extend(contacts::query::search(conn, find.trim(), SAMPLES).await?);
    }
    let mut people: Vec<(i64, String)> = found.iter().map(choices::option).collect();
    let audience = samples(conn, id, None, "", SAMPLES).await?;
    people.extend(
        audience
            .into_iter()
            .map(|sample| (sample.contact_id.0, sample.name)),
    );
    let mut seen = std::collections::BTreeSet::new();
    people.retain(|(id, _)| seen.insert(*id));
    Ok(people)
}

/// What fills the placeholders; nothing for nobody.
async fn values(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    id: MailingId,
    contact: Option<ContactId>,
) -> Result<Values> {
    let Some(contact) = contact else {
        return Ok(Values::new());
    };
    let sample = samples(conn, id, Some(contact), "", 1)
        .await?
        .into_iter()
        .find(|sample| sample.contact_id == contact)
        .unwrap_or_else(|| Sample {
            contact_id: contact,
            name: String::new(),
            list: String::new(),
        });
    match preview::values(conn, &sample).await {
        Ok(values) => Ok(values),
        Err(Error::NotFound) => Err(Error::invalid("as", visit.t("mailings.test_gone"))),
        Err(other) => Err(other),
    }
}

pub async fn send(visit: Visit, id: web::Path<i64>, Posted(input): Posted<TestInput>) -> WebResult {
    let id = MailingId(*id);
    match queued(&visit, id, &input).await {
        Ok(()) => {
            visit.app.wake.deliver.notify_one();
            visit.tell("mailings.test_queued");
            Ok(see_other(href(id)))
        }
        Err(Error::Invalid(errors)) if errors.0.contains_key("message") => {
            show::faulty(&visit, id, errors, None).await
        }
        Err(Error::Invalid(errors)) => render(&visit, id, input, errors, String::new()).await,
        Err(other) => Err(other.into()),
    }
}

async fn queued(visit: &Visit, id: MailingId, input: &TestInput) -> Result<()> {
    let country = {
        let mut system = visit.app.db.system().await?;
        companies::find(&mut system, visit.company).await?.country
    };
    let mut conn = visit.conn().await?;
    let mailing = own(visit, &mut conn, id).await?;
    mailings::require(&mailing, Verb::Test)?;
    if mailing.message.trim().is_empty() && mailing.media_id.is_none() {
        return Err(Error::invalid("message", "Write the message first."));
    }
    let account = accounts::usable(&mut conn, mailing.account_id, visit.user).await?;
    if let Some(reason) = account.not_built() {
        return Err(Error::invalid("account_id", reason));
    }
    let sample = input.who.parse().ok().map(ContactId);
    let values = values(visit, &mut conn, id, sample).await?;
    let text = merge::compose(&preview::parts(&mailing), &values);
    let most = if mailing.media_id.is_some() {
        merge::CAPTION_MAX
    } else {
        MESSAGE_MAX
    };
    if merge::length(&text) > most {
        let said = visit.tf("mailings.test_long", &[most.to_string()]);
        return Err(Error::invalid("as", said));
    }
    let (contact, number) = addressee(visit, &mut conn, input, sample, &country).await?;
    let version = if mailing.template_id.is_some() {
        let version = mailings::template::test_version(&mut conn, &mailing, &values).await?;
        Some((
            version,
            serde_json::to_value(&values).map_err(anyhow::Error::new)?,
        ))
    } else {
        let is_open = incoming::query::is_open_for(&mut conn, account.id, &number).await?;
        if account.is_meta() && !is_open {
            let field = if contact.is_some() { "as" } else { "number" };
            return Err(Error::invalid(field, incoming::NOT_OPEN));
        }
        None
    };
    let single = Single {
        company: visit.company,
        account: mailing.account_id,
        kind: "test",
        contact,
        number: &number,
        text: &text,
        user: Some(visit.user),
        cause: &format!("test:{}:{}", visit.user, input.key.replace('\0', "")),
        quoted: None,
        media: mailing.media_id,
        version,
        until: None,
    };
    if add_single(&mut conn, &single).await?.is_some() {
        noted(visit, &mut conn, id, "test").await?;
    }
    conn.commit().await
}

/// Whom it goes to: the typed number, or the chosen contact's own.
async fn addressee(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    input: &TestInput,
    sample: Option<ContactId>,
    country: &str,
) -> Result<(Option<ContactId>, String)> {
    let (field, contact, number) = if input.to == "contact" {
        let id = sample.ok_or_else(|| Error::invalid("as", visit.t("mailings.test_choose")))?;
        let contact = contacts::query::find(conn, id).await?;
        let number = contact
            .whatsapp_number
            .ok_or_else(|| Error::invalid("as", visit.t("mailings.test_no_number")))?;
        ("as", Some(id), number)
    } else {
        let number = PhoneNumber::parse(&input.number, country)
            .map_err(|fault| Error::invalid("number", fault.to_string()))?;
        ("number", None, number.into_string())
    };
    // What is queued as a test is not judged again before it leaves.
    if contacts::consent::wants_nothing(conn, &number).await? {
        return Err(Error::invalid(field, visit.t("mailings.test_unwanted")));
    }
    Ok((contact, number))
}
