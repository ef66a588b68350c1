//! Mailing Lists: the list of them, and one with its members.
//!
//! Invariant: nobody is deleted here; people only join and leave.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use diesel_async::AsyncPgConnection;

use crate::bulk;
use crate::contacts::{self, query};
use crate::db::CompanyConn;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{ContactId, ListId, MailingId};
use crate::lists::list::{LIST, MEMBERS};
use crate::lists::{self, Figures, List, ListInput};
use crate::search::ListQuery;
use crate::text::phone::{self, PhoneNumber};
use crate::web::bulk_runs;
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{Posted, see_other};
use crate::web::history::{self, Field, Note, Told};
use crate::web::kept;
use crate::web::list::{Empty, ListView, Selected};
use crate::web::page::{Action, Menu, Shell, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::{audit, companies};

/// People shown for one search; more is a better search.
const MOST_FOUND: i64 = 30;
/// Mailings shown beside a list.
const MOST_MAILINGS: i64 = 20;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/lists", web::get().to(list))
        .route("/lists/new", web::get().to(new))
        .route("/lists", web::post().to(create))
        .route("/lists/{id:[0-9]+}", web::get().to(show))
        .route("/lists/{id:[0-9]+}", web::post().to(update))
        .route("/lists/{id:[0-9]+}/add", web::post().to(add))
        .route("/lists/{id:[0-9]+}/remove", web::post().to(remove))
        .route("/lists/{id:[0-9]+}/note", web::post().to(note));
}

/// Somebody who may join.
struct Candidate {
    id: ContactId,
    name: String,
    number: String,
    /// Is in the list already.
    member: bool,
}

/// What stands around the form of a list that is stored.
struct Known {
    list: List,
    figures: Figures,
    members: Table,
    candidates: Vec<Candidate>,
    /// Id, subject and state of the last ones.
    mailings: Vec<(MailingId, String, String)>,
    history: Vec<Event>,
}

#[derive(Template)]
#[template(path = "lists/form.html")]
struct ListPage {
    shell: Shell,
    known: Option<Known>,
    input: ListInput,
    errors: FieldErrors,
    stand: Stand,
    /// What was searched for among all recipients.
    find: String,
}

/// What the history tells of a changed form.
const TOLD: &[Field] = &[
    ("name", "lists.name", Told::Text),
    ("description", "lists.description", Told::Text),
    ("active", "state.active.true", Told::Flag),
];

/// What is stored, as the form shows it.
fn stored(list: &List) -> ListInput {
    ListInput {
        name: list.name.clone(),
        description: list.description.clone(),
        active: list.active.then(|| "true".to_owned()),
    }
}

impl ListPage {
    fn action(&self) -> String {
        self.known.as_ref().map_or_else(
            || "/lists".to_owned(),
            |known| format!("/lists/{}", known.list.id),
        )
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Find {
    find: String,
}

async fn list(visit: Visit) -> WebResult {
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    let empty = Empty {
        icon: "list-details",
        title: "lists.none",
        text: "lists.none_text",
        actions: vec![
            Action::link(shell.t("lists.new"), "/lists/new").icon("plus"),
            Action::link(shell.t("contacts.import"), "/imports/new").icon("upload"),
        ],
    };
    let table = Table::new(shell, "menu.lists", "/lists/", found);
    Ok(ListView::new(table, "/lists", empty)
        .creating("/lists/new")
        .answer())
}

/// The form: of a list (`id`) or a new one; `input` is what was typed, when it had faults.
async fn render(
    visit: &Visit,
    id: Option<ListId>,
    input: Option<ListInput>,
    mut errors: FieldErrors,
    find: &str,
) -> WebResult {
    let find = find.trim();
    let text = searched(visit, find).await?;
    let mut conn = visit.conn().await?;
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    let known = match id {
        Some(id) => Some(around(visit, &mut conn, shell.clone(), id, &text).await?),
        None => None,
    };
    let fresh = known.as_ref().map_or_else(
        || ListInput {
            active: Some("true".to_owned()),
            ..ListInput::default()
        },
        |known| stored(&known.list),
    );
    let mut stand = Stand::default();
    if let Some(id) = id {
        let record = ("lists", id.0);
        stand = Stand::of(visit, &mut conn, &shell, record, &fresh, &mut errors).await?;
    }
    let status = stand.status(&errors);
    let page = ListPage {
        stand,
        shell,
        known,
        input: input.unwrap_or(fresh),
        errors,
        find: find.to_owned(),
    };
    Ok(html_with(status, page))
}

/// A number as it is stored, whatever way it was typed; any other text as it is.
async fn searched(visit: &Visit, find: &str) -> Result<String> {
    if !find.contains(|sign: char| sign.is_ascii_digit()) {
        return Ok(find.to_owned());
    }
    let mut system = visit.app.db.system().await?;
    let country = companies::find(&mut system, visit.company).await?.country;
    Ok(PhoneNumber::parse(find, &country)
        .map_or_else(|_| find.to_owned(), PhoneNumber::into_string))
}

async fn around(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    shell: Shell,
    id: ListId,
    find: &str,
) -> Result<Known> {
    let list = lists::find(conn, id).await?;
    let members = table::load(conn, &MEMBERS, visit, of_list(id)).await?;
    let entries = audit::of(conn, "lists", id.0).await?;
    let candidates = if find.is_empty() {
        Vec::new()
    } else {
        candidates(conn, id, find).await?
    };
    Ok(Known {
        figures: lists::figures(conn, id).await?,
        history: history::events(&shell, "lists", entries),
        members: Table::new(shell, "lists.members", "/contacts/", members).selectable(),
        candidates,
        mailings: lists::list::mailings_of(conn, id, MOST_MAILINGS).await?,
        list,
    })
}

/// The condition that makes the members' description the members of one list.
fn of_list(id: ListId) -> Option<(&'static str, i64)> {
    Some(("lm.list_id = $1", id.0))
}

async fn candidates(
    conn: &mut AsyncPgConnection,
    id: ListId,
    text: &str,
) -> Result<Vec<Candidate>> {
    let people = query::search(conn, text, MOST_FOUND).await?;
    let ids: Vec<ContactId> = people.iter().map(|person| person.id).collect();
    let members = lists::list::among(conn, id, &ids).await?;
    let candidates = people.into_iter().map(|person| Candidate {
        member: members.contains(&person.id),
        number: person
            .whatsapp_number
            .as_deref()
            .map(phone::display_digits)
            .unwrap_or_default(),
        name: person.called(),
        id: person.id,
    });
    Ok(candidates.collect())
}

async fn new(visit: Visit) -> WebResult {
    let typed = kept::form(&visit).await?;
    render(&visit, None, typed, FieldErrors::default(), "").await
}

async fn show(visit: Visit, id: web::Path<i64>, query: web::Query<Find>) -> WebResult {
    let (id, typed) = (Some(ListId(*id)), kept::form(&visit).await?);
    render(&visit, id, typed, FieldErrors::default(), &query.find).await
}

/// Says in the list's history who did what.
async fn noted(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    id: ListId,
    what: &str,
    note: Option<&str>,
) -> Result<()> {
    let by = Some(visit.user);
    audit::note(conn, visit.company, "lists", id.0, by, what, note).await?;
    Ok(())
}

/// Stores what was typed: of a list (`id`) or a new one.
async fn save(visit: &Visit, id: Option<ListId>, input: &ListInput) -> Result<HttpResponse> {
    let draft = input.parse()?;
    let mut conn = visit.conn().await?;
    let id = match id {
        Some(id) => {
            audit::hold(&mut conn, "lists", id.0).await?;
            let before = stored(&lists::find(&mut conn, id).await?);
            edit::unchanged(visit, &before)?;
            let after = stored(&lists::update(&mut conn, id, &draft).await?);
            let changes = history::diff(&before, &after, TOLD, &HashMap::new());
            let by = Some(visit.user);
            audit::note_changes(&mut conn, visit.company, "lists", id.0, by, &changes).await?;
            id
        }
        None => {
            if let Some(first) = visit.pressed_before(&mut conn).await? {
                return Ok(first);
            }
            let made = lists::create(&mut conn, visit.company, &draft).await?;
            noted(visit, &mut conn, made.id, "created", None).await?;
            made.id
        }
    };
    visit.tell("lists.saved");
    visit.goes_on(conn, format!("/lists/{id}")).await
}

async fn saved(visit: Visit, id: Option<ListId>, input: ListInput) -> WebResult {
    match save(&visit, id, &input).await {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid(errors)) => render(&visit, id, Some(input), errors, "").await,
        Err(other) => Err(other.into()),
    }
}

async fn create(visit: Visit, Posted(input): Posted<ListInput>) -> WebResult {
    saved(visit, None, input).await
}

async fn update(visit: Visit, id: web::Path<i64>, Posted(input): Posted<ListInput>) -> WebResult {
    saved(visit, Some(ListId(*id)), input).await
}

/// Keeps that people joined or left, and tells how many.
async fn moved(
    visit: &Visit,
    mut conn: CompanyConn,
    id: ListId,
    what: &str,
    people: usize,
) -> WebResult {
    let people = i64::try_from(people).unwrap_or(i64::MAX);
    noted(visit, &mut conn, id, what, Some(&people.to_string())).await?;
    conn.commit().await?;
    visit.tell(&visit.tn(&format!("lists.told_{what}"), people));
    Ok(see_other(format!("/lists/{id}#members")))
}

async fn add(visit: Visit, id: web::Path<i64>, Posted(chosen): Posted<Selected>) -> WebResult {
    let id = ListId(*id);
    let mut conn = visit.conn().await?;
    lists::find(&mut conn, id).await?;
    let ids: Vec<ContactId> = chosen.ids.iter().copied().map(ContactId).collect();
    let people = contacts::list::known(&mut conn, &ids).await?;
    if people.is_empty() {
        return Err(Error::invalid("ids", visit.t("list.nothing_selected")).into());
    }
    let added = lists::add_members(&mut conn, visit.company, id, &people).await?;
    moved(&visit, conn, id, "added", added).await
}

async fn remove(visit: Visit, id: web::Path<i64>, Posted(chosen): Posted<Selected>) -> WebResult {
    let id = ListId(*id);
    let mut conn = visit.conn().await?;
    let list = lists::find(&mut conn, id).await?;
    if chosen.all.is_some() {
        let back = ListQuery::parse(&chosen.selection, &MEMBERS).href();
        let wanted = bulk::Wanted {
            action: bulk::Action::RemoveFromList,
            argument: &id.to_string(),
            argument_name: &list.name,
            back: &format!("/lists/{id}{back}#members"),
        };
        let found = (&MEMBERS, of_list(id));
        let run = bulk_runs::ask(&visit, &mut conn, found, &chosen, wanted).await?;
        conn.commit().await?;
        return Ok(see_other(format!("/bulk/{run}")));
    }
    let people = chosen
        .resolve(&mut conn, &MEMBERS, &visit, of_list(id))
        .await?;
    let people: Vec<ContactId> = people.into_iter().map(ContactId).collect();
    let removed = lists::remove_members(&mut conn, id, &people).await?;
    moved(&visit, conn, id, "removed", removed).await
}

async fn note(visit: Visit, id: web::Path<i64>, Posted(given): Posted<Note>) -> WebResult {
    let id = ListId(*id);
    let mut conn = visit.conn().await?;
    lists::find(&mut conn, id).await?;
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    given.leave(&visit, &mut conn, "lists", id.0).await?;
    Ok(visit.goes_on(conn, format!("/lists/{id}#history")).await?)
}
