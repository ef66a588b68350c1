//! Mailing Lists: named sets of contacts, and a person's place in each.
//!
//! Invariant: a list that an unfinished mailing needs is not archived; leaving a list never deletes the
//! person. Owns `lists` and `list_members`; members who come with an import are
//! added by `contacts::bulk`.

pub mod list;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::db::wablast_now;
use crate::error::{Error, FieldErrors, Result, violated_constraint};
use crate::ids::{CompanyId, ContactId, ListId};
use crate::schema::{list_members, lists};

/// A mailing list.
#[derive(Debug, Clone, Queryable, Selectable, Identifiable, serde::Serialize, utoipa::ToSchema)]
#[diesel(table_name = lists)]
pub struct List {
    #[schema(value_type = i64, example = 1)]
    pub id: ListId,
    #[schema(example = "Member Bandung")]
    pub name: String,
    #[schema(example = "Signed up in the shop")]
    pub description: String,
    #[schema(example = true)]
    pub active: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The form, as text. The API fills the same struct.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ListInput {
    pub name: String,
    pub description: String,
    pub active: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDraft {
    pub name: String,
    pub description: String,
    pub active: bool,
}

impl ListInput {
    pub fn parse(&self) -> Result<ListDraft> {
        let mut errors = FieldErrors::default();
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            errors.add("name", "Give the list a name, for example Newsletter.");
        }
        if name.chars().count() > 100 {
            errors.add("name", "The name is too long; at most 100 letters.");
        }
        errors.at_most("description", self.description.trim(), 2000);
        errors.or(Some(ListDraft {
            name,
            description: self.description.trim().to_owned(),
            active: self.active.is_some(),
        }))
    }
}

pub async fn find(conn: &mut AsyncPgConnection, id: ListId) -> QueryResult<List> {
    lists::table
        .find(id)
        .select(List::as_select())
        .first(conn)
        .await
}

/// Active lists by name, with how many people are in each.
pub async fn choices(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Choice>> {
    sql_query(
        "SELECT l.id, l.name, (SELECT count(*) FROM list_members lm WHERE lm.list_id = l.id) AS members
         FROM lists l WHERE l.active ORDER BY l.name, l.id",
    )
    .load(conn)
    .await
}

#[derive(Debug, Clone, QueryableByName)]
pub struct Choice {
    #[diesel(sql_type = BigInt)]
    pub id: ListId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = BigInt)]
    pub members: i64,
}

pub async fn create(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    draft: &ListDraft,
) -> Result<List> {
    diesel::insert_into(lists::table)
        .values((
            lists::company_id.eq(company),
            lists::name.eq(&draft.name),
            lists::description.eq(&draft.description),
            lists::active.eq(draft.active),
        ))
        .returning(List::as_returning())
        .get_result(conn)
        .await
        .map_err(name_taken)
}

pub async fn update(conn: &mut AsyncPgConnection, id: ListId, draft: &ListDraft) -> Result<List> {
    let before = find(conn, id).await?;
    if before.active && !draft.active {
        let busy = unfinished_mailings(conn, id).await?;
        if !busy.is_empty() {
            return Err(Error::invalid(
                "active",
                format!("This list is still needed by: {}.", busy.join(", ")),
            ));
        }
    }
    diesel::update(lists::table.find(id))
        .set((
            lists::name.eq(&draft.name),
            lists::description.eq(&draft.description),
            lists::active.eq(draft.active),
            lists::updated_at.eq(wablast_now()),
        ))
        .returning(List::as_returning())
        .get_result(conn)
        .await
        .map_err(name_taken)
}

async fn unfinished_mailings(conn: &mut AsyncPgConnection, id: ListId) -> QueryResult<Vec<String>> {
    use crate::schema::{mailing_lists, mailings};
    mailing_lists::table
        .inner_join(mailings::table.on(mailings::id.eq(mailing_lists::mailing_id)))
        .filter(mailing_lists::list_id.eq(id))
        .filter(mailings::state.eq_any(["submitted", "sending", "paused"]))
        .order(mailings::id)
        .limit(5)
        .select(mailings::subject)
        .load(conn)
        .await
}

pub async fn add_members(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ListId,
    contacts: &[ContactId],
) -> QueryResult<usize> {
    crate::contacts::joined::add_members(conn, company, &[id], contacts).await
}

pub async fn remove_members(
    conn: &mut AsyncPgConnection,
    id: ListId,
    contacts: &[ContactId],
) -> QueryResult<usize> {
    diesel::delete(
        list_members::table
            .filter(list_members::list_id.eq(id))
            .filter(list_members::contact_id.eq_any(contacts)),
    )
    .execute(conn)
    .await
}

#[derive(Debug, Clone, QueryableByName)]
pub struct Figures {
    #[diesel(sql_type = BigInt)]
    pub members: i64,
    #[diesel(sql_type = BigInt)]
    pub opted_out: i64,
    #[diesel(sql_type = BigInt)]
    pub mailings: i64,
}

pub async fn figures(conn: &mut AsyncPgConnection, id: ListId) -> QueryResult<Figures> {
    sql_query(
        "SELECT (SELECT count(*) FROM list_members WHERE list_id = $1) AS members,
           (SELECT count(*) FROM list_members lm JOIN contacts c ON c.id = lm.contact_id
            WHERE lm.list_id = $1 AND (c.opt_out OR lm.opt_out)) AS opted_out,
           (SELECT count(*) FROM mailing_lists WHERE list_id = $1 AND NOT excluded) AS mailings",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
}

/// Which of these lists exist here.
pub async fn known(conn: &mut AsyncPgConnection, ids: &[ListId]) -> QueryResult<Vec<ListId>> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = BigInt)]
        id: ListId,
    }
    let known: Vec<Id> = sql_query("SELECT id FROM lists WHERE id = ANY ($1)")
        .bind::<Array<BigInt>, _>(ids)
        .load(conn)
        .await?;
    Ok(known.into_iter().map(|list| list.id).collect())
}

/// Which of these names are lists already.
pub async fn known_names(
    conn: &mut AsyncPgConnection,
    names: &[String],
) -> QueryResult<Vec<String>> {
    lists::table
        .filter(lists::name.eq_any(names))
        .select(lists::name)
        .load(conn)
        .await
}

fn name_taken(error: diesel::result::Error) -> Error {
    match violated_constraint(&error) {
        Some("lists_name_unique") => Error::invalid("name", "Another list has this name already."),
        _ => error.into(),
    }
}
