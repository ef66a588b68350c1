//! `/api/v1/contacts`

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse, parse_query};
use super::super::idempotency::{Answer, once};
use super::super::token::ApiCaller;
use super::{Once, Page, after, limit};
use crate::app::App;
use crate::audit;
use crate::auth::Role;
use crate::companies;
use crate::contacts::bulk::{OnDuplicate, Outcome, Row, upsert};
use crate::contacts::change::{self, Change};
use crate::contacts::filter::{self, ContactFilter};
use crate::contacts::query;
use crate::contacts::{self, Contact, told};
use crate::error::{Error, Result};
use crate::ids::{ContactId, ListId};
use crate::lists;

const BULK_MAX: usize = 10_000;

#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    /// Lists that all of them join, also those who are known already.
    #[serde(default)]
    #[schema(example = json!([1]))]
    list_ids: Vec<i64>,
    /// What happens to a number that is known already; `skip` where it is absent.
    #[serde(default = "skip")]
    on_duplicate: OnDuplicate,
    /// At most 10,000.
    contacts: Vec<Row>,
}

fn skip() -> OnDuplicate {
    OnDuplicate::Skip
}

/// Add or update up to 10,000 contacts
///
/// Every contact ends as created, updated, skipped or rejected with its reason. An opt-out is never lifted.
#[utoipa::path(post, path = "/contacts/bulk", tag = "Contacts", operation_id = "addContacts", params(Once), request_body = Bulk,
    responses((status = 200, description = "What became of each", body = Outcome)))]
pub async fn bulk(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async |conn| {
        let bulk: Bulk = parse(&body)?;
        if bulk.contacts.len() > BULK_MAX {
            return Err(Error::invalid(
                "contacts",
                "At most 10,000 contacts fit into one call. Send the rest in another.",
            )
            .into());
        }
        let list_ids: Vec<ListId> = bulk.list_ids.iter().copied().map(ListId).collect();
        let known = lists::known(conn, &list_ids).await?;
        if let Some(missing) = list_ids.iter().find(|id| !known.contains(id)) {
            return Err(Error::invalid("list_ids", format!("There is no list {missing}.")).into());
        }
        let country = companies::find(conn, caller.company).await?.country;
        let people = &bulk.contacts;
        let outcome = upsert(
            conn,
            caller.company,
            &country,
            people,
            bulk.on_duplicate,
            &list_ids,
        )
        .await?;
        for (what, people) in [("created", &outcome.made), ("changed", &outcome.changed)] {
            let ids: Vec<i64> = people.iter().map(|id| id.0).collect();
            let (company, by, how) = (caller.company, Some(caller.user), Some(audit::BY_API));
            audit::note_many(conn, company, "contacts", &ids, by, what, how).await?;
        }
        Answer::ok(outcome)
    })
    .await
}

/// A person, as lists show them.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = ContactSummary)]
pub struct Plain {
    #[schema(example = 12)]
    id: i64,
    #[schema(example = "Siti Rahmawati")]
    name: String,
    #[schema(example = "Ibu")]
    title: String,
    /// E.164 digits without `+`; null: known only by another identity.
    #[schema(example = "6281255500147")]
    whatsapp_number: Option<String>,
    #[schema(example = "ID")]
    country: Option<String>,
    #[schema(example = "siti@example.com")]
    email: String,
    #[schema(example = "Batik Sekar Arum")]
    company_name: String,
    #[schema(example = "Pembeli")]
    job_position: String,
    #[schema(example = "Ketemu di pameran")]
    description: String,
    #[schema(value_type = BTreeMap<String, serde_json::Value>, example = json!({ "points": 340 }))]
    attributes: Value,
    /// Gets no mailing.
    opt_out: bool,
    opt_out_reason: Option<String>,
    opt_out_at: Option<DateTime<Utc>>,
    /// False: archived, gets nothing.
    #[schema(example = true)]
    active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<&Contact> for Plain {
    fn from(contact: &Contact) -> Self {
        let contact = contact.clone();
        Self {
            id: contact.id.0,
            name: contact.name,
            title: contact.title,
            whatsapp_number: contact.whatsapp_number,
            country: contact.country,
            email: contact.email,
            company_name: contact.company_name,
            job_position: contact.job_position,
            description: contact.description,
            attributes: contact.attributes,
            opt_out: contact.opt_out,
            opt_out_reason: contact.opt_out_reason,
            opt_out_at: contact.opt_out_at,
            active: contact.active,
            created_at: contact.created_at,
            updated_at: contact.updated_at,
        }
    }
}

/// A person with counters, tags and lists.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Contact)]
pub struct Shown {
    #[serde(flatten)]
    contact: Plain,
    messages_sent: i64,
    messages_received: i64,
    #[schema(example = json!(["VIP"]))]
    tags: Vec<String>,
    #[schema(example = json!([1]))]
    list_ids: Vec<i64>,
}

async fn shown(conn: &mut AsyncPgConnection, contact: &Contact) -> Result<Shown> {
    let counters = query::counters(conn, contact.id).await?;
    let lists = query::lists_of(conn, contact.id).await?;
    Ok(Shown {
        contact: contact.into(),
        messages_sent: counters.messages_sent,
        messages_received: counters.messages_received,
        tags: query::tags_of(conn, contact.id).await?,
        list_ids: lists.into_iter().map(|(id, _)| id.0).collect(),
    })
}

#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Members of the list with this id.
    #[param(example = 1)]
    list_id: Option<i64>,
    /// Words in the name, or a part of the number.
    q: Option<String>,
    /// Exactly this number, E.164 digits without `+`.
    #[param(example = "6281255500147")]
    whatsapp_number: Option<String>,
    /// Only who opted out, or only who did not.
    opt_out: Option<bool>,
    /// People with this tag.
    #[param(example = "VIP")]
    tag: Option<String>,
    /// Items a page, 1 to 1000 (more is read as 1000); 100 where it is absent.
    limit: Option<i64>,
    /// The value of `next` from the page before.
    cursor: Option<String>,
}

/// Contacts
#[utoipa::path(get, path = "/contacts", tag = "Contacts", operation_id = "contacts", params(Filter),
    responses((status = 200, description = "Contacts by id", body = Page<Plain>)))]
pub async fn list(request: HttpRequest, caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let filter: Filter = parse_query(request.query_string())?;
    let limit = limit(filter.limit);
    let wanted = ContactFilter {
        list: filter.list_id.map(ListId),
        text: filter.q,
        number: filter.whatsapp_number,
        opt_out: filter.opt_out,
        tag: filter.tag,
        after: after(filter.cursor.as_deref())?,
        limit,
    };
    let mut conn = app.db.company(caller.company).await?;
    let total = match wanted.after {
        0 => filter::count_filtered(&mut conn, &wanted).await?,
        _ => None,
    };
    let found = filter::filtered(&mut conn, &wanted).await?;
    let last = found.last().map(|contact| contact.id.0);
    let items: Vec<Plain> = found.iter().map(Plain::from).collect();
    Ok(HttpResponse::Ok().json(Page::new(items, limit, last, total)))
}

/// A contact with counters
#[utoipa::path(get, path = "/contacts/{id}", tag = "Contacts", operation_id = "contact", params(("id" = i64, Path, description = "The contact")),
    responses((status = 200, description = "The contact", body = Shown)))]
pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let contact = query::find(&mut conn, ContactId(*id)).await?;
    Ok(HttpResponse::Ok().json(shown(&mut conn, &contact).await?))
}

/// What is absent stays as it is.
#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[schema(as = ContactChange)]
#[serde(default, deny_unknown_fields)]
pub struct Patch {
    name: Option<String>,
    title: Option<String>,
    whatsapp_number: Option<String>,
    /// ISO code or name.
    country: Option<String>,
    email: Option<String>,
    company_name: Option<String>,
    job_position: Option<String>,
    description: Option<String>,
    /// All tags from now on.
    tags: Option<Vec<String>>,
    /// All lists from now on.
    list_ids: Option<Vec<i64>>,
    /// Replaces the values it names.
    attributes: Option<BTreeMap<String, Value>>,
    active: Option<bool>,
    /// true: gets no mailing from now on, also none that is under way. false needs a `reason` and a manager.
    #[schema(example = true)]
    opt_out: Option<bool>,
    /// Why, with `opt_out`.
    #[schema(example = "Asked by phone")]
    reason: Option<String>,
}

/// Change a contact
#[utoipa::path(patch, path = "/contacts/{id}", tag = "Contacts", operation_id = "changeContact", params(("id" = i64, Path, description = "The contact")),
    request_body = Patch, responses((status = 200, description = "The contact as it is now", body = Shown), (status = 403, description = "Lifting an opt-out is for managers")))]
pub async fn update(
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    let id = ContactId(*id);
    let patch: Patch = parse(&body)?;
    let mut conn = app.db.company(caller.company).await?;
    let opt_out = patch.opt_out;
    let reason = patch.reason.clone().unwrap_or_default();
    let said = reason.trim().to_owned();
    let country = companies::find(&mut conn, caller.company).await?.country;
    let change = patch.change(&mut conn).await?;
    audit::hold(&mut conn, "contacts", id.0).await?;
    let stored = query::find(&mut conn, id).await?;
    let form = told::form_of(&mut conn, &stored).await?;
    let before = change::change(&mut conn, caller.company, id, &change, &country).await?;
    match opt_out {
        Some(true) => {
            let reason = if said.is_empty() { "By API" } else { &said };
            let left = contacts::opt_out(&mut conn, &[id], reason).await?;
            noted(&caller, &mut conn, id, ("opt_out", &said), left).await?;
        }
        Some(false) if before.opt_out => {
            caller.require(Role::Manager)?;
            let back = contacts::opt_in(&mut conn, &[id], &reason).await?;
            noted(&caller, &mut conn, id, ("opt_in", &said), back).await?;
        }
        _ => {}
    }
    let contact = query::find(&mut conn, id).await?;
    let changes = told::changes(&mut conn, form, &contact).await?;
    let (by, how) = (Some(caller.user), Some(audit::BY_API));
    audit::note_changes_by(
        &mut conn,
        caller.company,
        "contacts",
        id.0,
        by,
        &changes,
        how,
    )
    .await?;
    let shown = shown(&mut conn, &contact).await?;
    conn.commit().await?;
    Ok(HttpResponse::Ok().json(shown))
}

/// Keeps an opt-out or its end in the history, where something changed.
async fn noted(
    caller: &ApiCaller,
    conn: &mut AsyncPgConnection,
    id: ContactId,
    (what, reason): (&str, &str),
    people: usize,
) -> Result<()> {
    if people > 0 {
        let note = match reason {
            "" => audit::BY_API.to_owned(),
            reason => format!("{reason} ({})", audit::BY_API),
        };
        let (company, by, note) = (caller.company, Some(caller.user), Some(note.as_str()));
        audit::note(conn, company, "contacts", id.0, by, what, note).await?;
    }
    Ok(())
}

impl Patch {
    /// What it names; refuses lists that are not there.
    async fn change(self, conn: &mut AsyncPgConnection) -> Result<Change> {
        let list_ids: Option<Vec<ListId>> = self
            .list_ids
            .map(|ids| ids.into_iter().map(ListId).collect());
        if let Some(ids) = &list_ids {
            let known = lists::known(conn, ids).await?;
            if let Some(missing) = ids.iter().find(|id| !known.contains(id)) {
                return Err(Error::invalid(
                    "list_ids",
                    format!("There is no list {missing}."),
                ));
            }
        }
        Ok(Change {
            name: self.name,
            title: self.title,
            whatsapp_number: self.whatsapp_number,
            country: self.country,
            email: self.email,
            company_name: self.company_name,
            job_position: self.job_position,
            description: self.description,
            tags: self.tags,
            list_ids,
            attributes: self.attributes.unwrap_or_default(),
            active: self.active,
        })
    }
}
