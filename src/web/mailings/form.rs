//! The form of a draft: written, saved, and checked while it is written.
//!
//! Invariants: what was typed is never lost to a fault; the form chooses an account and never makes or
//! changes one; who is no manager is responsible for their own mailings.

use actix_web::web;
use askama::Template;
use diesel_async::AsyncPgConnection;

use super::buttons::{self, Button};
use super::choices::{self, Variable};
use super::input::{self, Beside};
use super::preview::{self, Aside};
use super::template::{self, Chooser};
use super::{Asked, changed, fragment_shell, href, may, own, told, verbs};
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{ContactId, MailingId, MediaId, UserId};
use crate::mailings::{self, Mailing, MailingDraft, MailingInput, State, Verb, query};
use crate::media::Kind;
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{Posted, see_other};
use crate::web::media::{self, FileField};
use crate::web::multipart::{self, Filled};
use crate::web::page::{Menu, Shell, html, html_with};
use crate::web::pieces::Event;
use crate::web::visit::Visit;
use crate::{audit, contacts};

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
    template: Chooser,
    /// The schedule date in words.
    when: String,
    find: String,
    key: String,
    file: FileField,
    aside: Aside,
    events: Vec<Event>,
    stand: Stand,
}

/// The form of a stored mailing.
pub async fn form_of(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
) -> Result<MailingInput> {
    let chosen = query::chosen(conn, mailing.id).await?;
    Ok(input::of(mailing, &chosen, visit.zone))
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

    /// The template's header is a file of the mailing.
    fn template_has_file(&self) -> bool {
        Kind::parse(&self.input.header_type).is_some()
    }

    fn ways(&self) -> [(&'static str, &'static str); 2] {
        [
            ("lists", "mailings.by_lists"),
            ("contacts", "mailings.by_contacts"),
        ]
    }

    fn headers(&self) -> [(&'static str, &'static str); 6] {
        [
            ("none", "mailings.header_none"),
            ("text", "mailings.header_text"),
            ("image", "media.image"),
            ("video", "media.video"),
            ("document", "media.document"),
            ("voice", "media.voice"),
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
    /// Of a new mailing's form: makes two presses one mailing.
    pub key: String,
    /// Whom a new mailing is meant for.
    pub to: To,
}

/// Lists and people that the address of a new mailing names.
#[derive(Default)]
pub struct To {
    lists: Vec<i64>,
    contacts: Vec<i64>,
    template: String,
}

impl To {
    /// `?list=3`, or `?contact=7&contact=9`; `?template=4` is what it says.
    fn read(query: &str) -> Self {
        let ids = |wanted: &str| {
            url::form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| name == wanted)
                .filter_map(|(_, id)| id.parse().ok())
                .collect()
        };
        let template: Vec<i64> = ids("template");
        Self {
            lists: ids("list"),
            contacts: ids("contact"),
            template: template
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}

/// The form of a new mailing, or of a draft the person may change.
pub async fn render(visit: &Visit, mut shown: Shown) -> WebResult {
    let people = choices::people(visit).await?;
    let mut conn = visit.conn().await?;
    let mailing = match shown.id {
        Some(id) => Some(own(visit, &mut conn, id).await?),
        None => None,
    };
    let people = choices::with_stored(&mut conn, people, mailing.as_ref()).await?;
    let account_choices = choices::account_choices(visit, &mut conn, mailing.as_ref()).await?;
    let is_fresh = shown.typed.is_none() && mailing.is_none();
    let mut input = match (shown.typed, &mailing) {
        (Some(typed), _) => typed,
        (None, Some(mailing)) => {
            let chosen = query::chosen(&mut conn, mailing.id).await?;
            input::of(mailing, &chosen, visit.zone)
        }
        (None, None) => blank(visit, &account_choices, shown.to),
    };
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let mut stand = Stand::default();
    if let Some(mailing) = &mailing {
        let stored = form_of(visit, &mut conn, mailing).await?;
        let (record, errors) = (("mailings", mailing.id.0), &mut shown.errors);
        stand = Stand::of(visit, &mut conn, &shell, record, &stored, errors).await?;
    }
    let list_choices = choices::list_choices(&mut conn, &shell, &input).await?;
    let contact_choices = choices::contact_choices(&mut conn, &input, &shown.find).await?;
    if is_fresh {
        let is_known = |id: &i64, known: &[(i64, String)]| known.iter().any(|(one, _)| one == id);
        input.list_ids.retain(|id| is_known(id, &list_choices));
        input
            .contact_ids
            .retain(|id| is_known(id, &contact_choices));
    }
    let variables = choices::variables(&mut conn, &shell).await?;
    let template = Chooser::load(&mut conn, &shell, &mut input).await?;
    let chosen_file = input.media_id.parse().ok();
    let file = FileField {
        file: media::named(&mut conn, &shell, chosen_file).await?,
        errors: shown.errors.clone(),
        shell: shell.clone(),
    };
    let events = match &mailing {
        Some(mailing) => told(&mut conn, &shell, mailing).await?,
        None => Vec::new(),
    };
    drop(conn);
    let aside = preview::of_form(visit, &shell, shown.id, &input, shown.contact, "").await?;
    let status = stand.status(&shown.errors);
    let page = FormPage {
        stand,
        buttons: mailing.as_ref().map_or_else(buttons::of_new, buttons::of),
        people,
        when: in_words(visit, &shell, &input),
        accounts: account_choices,
        lists: list_choices,
        contacts: contact_choices,
        errors: shown.errors,
        find: shown.find,
        key: if shown.key.is_empty() {
            crate::random::token(16)
        } else {
            shown.key
        },
        shell,
        mailing,
        input,
        variables,
        template,
        file,
        aside,
        events,
    };
    Ok(html_with(status, page))
}

/// A new mailing before anything is typed.
fn blank(visit: &Visit, accounts: &[(i64, String)], to: To) -> MailingInput {
    MailingInput {
        // One is no choice; of several a person chooses, so that nobody sends from the wrong one.
        account_id: match accounts {
            [(id, _)] => id.to_string(),
            _ => String::new(),
        },
        responsible_id: visit.user.to_string(),
        recipients: if to.contacts.is_empty() {
            "lists".to_owned()
        } else {
            "contacts".to_owned()
        },
        list_ids: to.lists,
        contact_ids: to.contacts,
        header_type: "none".to_owned(),
        template_id: to.template,
        ..MailingInput::default()
    }
}

/// "24 Nov 10:00, Asia/Jakarta", or the zone alone.
fn in_words(visit: &Visit, shell: &Shell, input: &MailingInput) -> String {
    let zone = visit.zone.name();
    match mailings::input::instant(&input.schedule_date, visit.zone) {
        Ok(Some(date)) => format!("{}, {zone}", shell.date(&date)),
        _ => zone.to_owned(),
    }
}

/// What was written before the session ended.
pub async fn kept(visit: &Visit) -> Result<Option<MailingInput>> {
    let pairs: Option<Vec<(String, String)>> = crate::web::kept::form(visit).await?;
    pairs
        .map(|pairs| input::read(&pairs).map(|(typed, _)| typed))
        .transpose()
}

pub async fn new(visit: Visit, asked: web::Query<Asked>) -> WebResult {
    let shown = Shown {
        typed: kept(&visit).await?,
        contact: asked.contact(),
        find: asked.find(),
        to: To::read(visit.request.query_string()),
        ..Shown::default()
    };
    render(&visit, shown).await
}

pub async fn create(visit: Visit, payload: web::Payload) -> WebResult {
    let filled = multipart::read(&visit, payload).await?;
    store(&visit, None, filled).await
}

pub async fn save(visit: Visit, id: web::Path<i64>, payload: web::Payload) -> WebResult {
    let filled = multipart::read(&visit, payload).await?;
    store(&visit, Some(MailingId(*id)), filled).await
}

/// The form with the file that came with it: kept, and named as the header's, or the fault at its field.
async fn with_file(visit: &Visit, filled: Filled) -> Result<(MailingInput, Beside, FieldErrors)> {
    let (mut input, beside) = input::read(&filled.pairs)?;
    if beside.then == "remove_file" {
        input.media_id.clear();
        "none".clone_into(&mut input.header_type);
        return Ok((input, beside, FieldErrors::default()));
    }
    let wanted = Kind::parse(&input.header_type).is_some();
    let kept = match filled.file.filter(|_| wanted) {
        None => return Ok((input, beside, FieldErrors::default())),
        Some(Err(error)) => Err(error),
        Some(Ok(file)) => crate::media::keep(&visit.app, visit.company, visit.user, file).await,
    };
    match kept {
        Ok(kept) => input.media_id = kept.id.to_string(),
        Err(Error::Invalid(faults)) => return Ok((input, beside, faults)),
        Err(other) => return Err(other),
    }
    Ok((input, beside, FieldErrors::default()))
}

/// Saves, then goes on as the pressed button says.
async fn store(visit: &Visit, id: Option<MailingId>, filled: Filled) -> WebResult {
    let (input, beside, faults) = with_file(visit, filled).await?;
    let shown = |id, errors| Shown {
        id,
        typed: Some(input.clone()),
        errors,
        contact: beside.contact(),
        find: beside.find.clone(),
        key: beside.key.clone(),
        ..Shown::default()
    };
    // Choosing a template shows its variables; nothing is stored yet.
    if !faults.is_empty() || beside.then == template::CHOOSE {
        return render(visit, shown(id, faults)).await;
    }
    let id = match write(visit, id, &input, &beside.key).await {
        Ok(Written::Saved(id)) => id,
        Ok(Written::Before(id)) => return Ok(see_other(href(id))),
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

/// What saving led to.
enum Written {
    Saved(MailingId),
    /// An earlier press of the same button did it, and the mailing has gone on since.
    Before(MailingId),
}

async fn write(
    visit: &Visit,
    id: Option<MailingId>,
    input: &MailingInput,
    key: &str,
) -> Result<Written> {
    let people = choices::people(visit).await?;
    let mut draft = input.parse(visit.zone)?;
    let mut conn = visit.conn().await?;
    let (company, user) = (visit.company, visit.user);
    let known = match id {
        None => audit::noted_once(&mut conn, "mailings", user, "created", key)
            .await?
            .map(MailingId),
        id => id,
    };
    let Some(id) = known else {
        responsible(visit, &mut draft, &people, None)?;
        let made = mailings::create(&mut conn, company, user, &draft).await?;
        let (by, note) = (Some(user), Some(key));
        audit::note(
            &mut conn, company, "mailings", made.id.0, by, "created", note,
        )
        .await?;
        if draft.media_id.is_some() {
            note_file(visit, &mut conn, made.id, draft.media_id).await?;
        }
        conn.commit().await?;
        return Ok(Written::Saved(made.id));
    };
    audit::hold(&mut conn, "mailings", id.0).await?;
    let before = own(visit, &mut conn, id).await?;
    responsible(visit, &mut draft, &people, Some(before.responsible_id))?;
    if !before.allows(Verb::Edit) && same(visit, &mut conn, &before, &draft).await? {
        return Ok(Written::Before(id));
    }
    mailings::require(&before, Verb::Edit)?;
    let form = form_of(visit, &mut conn, &before).await?;
    edit::unchanged(visit, &form)?;
    mailings::update(&mut conn, company, user, id, &draft).await?;
    changed::noted(visit, &mut conn, id, (&before, form), &people).await?;
    if before.media_id != draft.media_id {
        note_file(visit, &mut conn, id, draft.media_id).await?;
    }
    conn.commit().await?;
    Ok(Written::Saved(id))
}

/// Says in the history which file the mailing carries from now on.
async fn note_file(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    id: MailingId,
    media: Option<MediaId>,
) -> Result<()> {
    let file = match media {
        Some(media) => Some(crate::media::query::find(conn, media).await?.file_name),
        None => None,
    };
    let action = if file.is_some() { "file" } else { "no_file" };
    let (company, by) = (visit.company, Some(visit.user));
    audit::note(conn, company, "mailings", id.0, by, action, file.as_deref()).await?;
    Ok(())
}

/// Whether what is stored is what was sent.
async fn same(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    draft: &MailingDraft,
) -> Result<bool> {
    let chosen = query::chosen(conn, mailing.id).await?;
    let mut stored = input::of(mailing, &chosen, visit.zone).parse(visit.zone)?;
    let mut draft = draft.clone();
    stored.contact_ids.sort();
    draft.contact_ids.sort();
    Ok(stored == draft)
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
    let key = if visit.role < Role::Manager {
        "mailings.responsible_manager"
    } else {
        "mailings.responsible_stranger"
    };
    Err(Error::invalid("responsible_id", visit.t(key)))
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
    let aside = preview::of_form(
        &visit,
        &shell,
        id,
        &input,
        beside.contact(),
        &beside.as_find,
    )
    .await?;
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
    let found =
        contacts::query::search(&mut conn, &search.q.replace('\0', ""), choices::FOUND).await?;
    Ok(html(Rows {
        shell: fragment_shell(&visit)?,
        rows: found.iter().map(choices::option).collect(),
    }))
}

/// Whether the mailing's page is the form.
pub fn is_form(visit: &Visit, mailing: &Mailing) -> bool {
    mailing.allows(Verb::Edit) && may(visit, mailing)
}
