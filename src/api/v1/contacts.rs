//! `/api/v1/contacts`

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};

use super::super::error::{ApiResult, parse, parse_query};
use super::super::idempotency::once;
use super::super::token::ApiCaller;
use super::{after, limit, page};
use crate::app::App;
use crate::audit;
use crate::companies;
use crate::contacts::bulk::{OnDuplicate, Row, upsert};
use crate::contacts::query::{self, ContactFilter};
use crate::contacts::{self, Contact, ContactInput};
use crate::error::{Error, Result};
use crate::ids::{ContactId, ListId};
use crate::lists;

const BULK_MAX: usize = 10_000;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Bulk {
    #[serde(default)]
    list_ids: Vec<i64>,
    #[serde(default = "skip")]
    on_duplicate: OnDuplicate,
    contacts: Vec<Row>,
}

fn skip() -> OnDuplicate {
    OnDuplicate::Skip
}

pub async fn bulk(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async {
        let bulk: Bulk = parse(&body)?;
        if bulk.contacts.len() > BULK_MAX {
            return Err(Error::invalid(
                "contacts",
                "At most 10,000 contacts fit into one call. Send the rest in another.",
            )
            .into());
        }
        let list_ids: Vec<ListId> = bulk.list_ids.iter().copied().map(ListId).collect();
        let mut conn = app.db.company(caller.company).await?;
        let known = lists::known(&mut conn, &list_ids).await?;
        if let Some(missing) = list_ids.iter().find(|id| !known.contains(id)) {
            return Err(Error::invalid("list_ids", format!("There is no list {missing}.")).into());
        }
        let country = companies::find(&mut conn, caller.company).await?.country;
        let outcome = upsert(
            &mut conn,
            caller.company,
            &country,
            &bulk.contacts,
            bulk.on_duplicate,
            &list_ids,
        )
        .await?;
        conn.commit().await?;
        Ok(HttpResponse::Ok().json(outcome))
    })
    .await
}

async fn shown(conn: &mut AsyncPgConnection, contact: &Contact) -> Result<Value> {
    let counters = query::counters(conn, contact.id).await?;
    let tags = query::tags_of(conn, contact.id).await?;
    let lists: Vec<ListId> = query::lists_of(conn, contact.id)
        .await?
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    let mut shown = plain(contact);
    shown["messages_sent"] = json!(counters.messages_sent);
    shown["messages_received"] = json!(counters.messages_received);
    shown["tags"] = json!(tags);
    shown["list_ids"] = json!(lists);
    Ok(shown)
}

fn plain(contact: &Contact) -> Value {
    json!({
        "id": contact.id, "name": contact.name, "title": contact.title, "whatsapp_number": contact.whatsapp_number,
        "country": contact.country, "email": contact.email, "company_name": contact.company_name,
        "job_position": contact.job_position, "description": contact.description, "attributes": contact.attributes,
        "opt_out": contact.opt_out, "opt_out_reason": contact.opt_out_reason, "opt_out_at": contact.opt_out_at,
        "active": contact.active, "created_at": contact.created_at, "updated_at": contact.updated_at,
    })
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Filter {
    list_id: Option<i64>,
    q: Option<String>,
    whatsapp_number: Option<String>,
    opt_out: Option<bool>,
    tag: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

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
    let found = query::filtered(&mut conn, &wanted).await?;
    let last = found.last().map(|contact| contact.id.0);
    Ok(HttpResponse::Ok().json(page(found.iter().map(plain).collect(), limit, last)))
}

pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let contact = query::find(&mut conn, ContactId(*id)).await?;
    Ok(HttpResponse::Ok().json(shown(&mut conn, &contact).await?))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Patch {
    name: Option<String>,
    title: Option<String>,
    whatsapp_number: Option<String>,
    country: Option<String>,
    email: Option<String>,
    company_name: Option<String>,
    job_position: Option<String>,
    description: Option<String>,
    tags: Option<Vec<String>>,
    list_ids: Option<Vec<i64>>,
    attributes: Option<BTreeMap<String, String>>,
    active: Option<bool>,
    opt_out: Option<bool>,
    reason: Option<String>,
}

pub async fn update(
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    let id = ContactId(*id);
    let patch: Patch = parse(&body)?;
    let mut conn = app.db.company(caller.company).await?;
    let before = query::find(&mut conn, id).await?;
    let opt_out = patch.opt_out;
    let reason = patch.reason.clone().unwrap_or_default();
    let tags = query::tags_of(&mut conn, id).await?;
    let lists = query::lists_of(&mut conn, id).await?;
    let country = companies::find(&mut conn, caller.company).await?.country;
    let input = merged(
        &before,
        patch,
        &tags,
        lists.iter().map(|(id, _)| id.0).collect(),
    );
    contacts::update(&mut conn, caller.company, id, &input.parse(&country)?).await?;
    match opt_out {
        Some(true) => {
            let reason = if reason.trim().is_empty() {
                "By API"
            } else {
                reason.trim()
            };
            contacts::opt_out(&mut conn, &[id], reason).await?;
        }
        Some(false) if before.opt_out => {
            contacts::opt_in(&mut conn, &[id], &reason).await?;
        }
        _ => {}
    }
    audit::note(
        &mut conn,
        caller.company,
        "contacts",
        id.0,
        Some(caller.user),
        "changed by API",
        None,
    )
    .await?;
    let contact = query::find(&mut conn, id).await?;
    let shown = shown(&mut conn, &contact).await?;
    conn.commit().await?;
    Ok(HttpResponse::Ok().json(shown))
}

/// What is stored, with what was sent over it.
fn merged(before: &Contact, patch: Patch, tags: &[String], lists: Vec<i64>) -> ContactInput {
    let mut attributes = before.attribute_texts();
    attributes.extend(patch.attributes.unwrap_or_default());
    ContactInput {
        name: patch.name.unwrap_or_else(|| before.name.clone()),
        title: patch.title.unwrap_or_else(|| before.title.clone()),
        whatsapp_number: patch
            .whatsapp_number
            .or_else(|| {
                before
                    .whatsapp_number
                    .as_ref()
                    .map(|digits| format!("+{digits}"))
            })
            .unwrap_or_default(),
        country: patch
            .country
            .or_else(|| before.country.clone())
            .unwrap_or_default(),
        email: patch.email.unwrap_or_else(|| before.email.clone()),
        company_name: patch
            .company_name
            .unwrap_or_else(|| before.company_name.clone()),
        job_position: patch
            .job_position
            .unwrap_or_else(|| before.job_position.clone()),
        description: patch
            .description
            .unwrap_or_else(|| before.description.clone()),
        tags: patch.tags.unwrap_or_else(|| tags.to_vec()).join(","),
        list_ids: patch.list_ids.unwrap_or(lists),
        attributes: attributes
            .iter()
            .map(|(key, value)| format!("{key}: {value}\n"))
            .collect(),
        active: patch
            .active
            .unwrap_or(before.active)
            .then(|| "on".to_owned()),
    }
}
