//! `/api/v1/lists`

use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse, parse_query};
use super::super::idempotency::{Answer, once};
use super::super::token::ApiCaller;
use super::{Once, Page, Paging, after, limit, noted};
use crate::app::App;
use crate::ids::ListId;
use crate::lists::{self, List, ListInput};

#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewList {
    /// Unique in the company, at most 100 letters.
    #[schema(required = true, example = "Member Bandung")]
    name: String,
    #[schema(example = "Signed up in the shop")]
    description: String,
}

/// A mailing list with how many people are on it.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct ListSummary {
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "Member Bandung")]
    name: String,
    #[schema(example = 512)]
    contacts: i64,
}

/// A mailing list and who is on it.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = ListWithPeople)]
pub struct Shown {
    #[serde(flatten)]
    list: List,
    /// People on it.
    #[schema(example = 512)]
    contacts: i64,
    /// Those of them who get nothing because they opted out.
    #[schema(example = 9)]
    opted_out: i64,
    /// Mailings that go to it, or went.
    #[schema(example = 3)]
    mailings: i64,
}

/// Make a mailing list
#[utoipa::path(post, path = "/lists", tag = "Lists", operation_id = "createList", params(Once), request_body = NewList,
    responses((status = 201, description = "The list", body = List)))]
pub async fn create(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async |conn| {
        let new: NewList = parse(&body)?;
        let input = ListInput {
            name: new.name,
            description: new.description,
            active: Some("on".to_owned()),
        };
        let list = lists::create(conn, caller.company, &input.parse()?).await?;
        noted(conn, &caller, "lists", list.id.0, "created").await?;
        Answer::created(list)
    })
    .await
}

/// The active mailing lists
#[utoipa::path(get, path = "/lists", tag = "Lists", operation_id = "lists", params(Paging),
    responses((status = 200, description = "The lists by id", body = Page<ListSummary>)))]
pub async fn list(request: HttpRequest, caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let paging: Paging = parse_query(request.query_string())?;
    let after = after(paging.cursor.as_deref())?;
    let mut conn = app.db.company(caller.company).await?;
    let mut all: Vec<ListSummary> = lists::choices(&mut conn)
        .await?
        .into_iter()
        .map(|list| ListSummary {
            id: list.id.0,
            name: list.name,
            contacts: list.members,
        })
        .collect();
    all.sort_by_key(|list| list.id);
    let page = Page::of(all, limit(paging.limit), after, |list| list.id);
    Ok(HttpResponse::Ok().json(page))
}

/// A mailing list with how many people are on it
#[utoipa::path(get, path = "/lists/{id}", tag = "Lists", operation_id = "list", params(("id" = i64, Path, description = "The list")),
    responses((status = 200, description = "The list", body = Shown)))]
pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let list = lists::find(&mut conn, ListId(*id)).await?;
    let figures = lists::figures(&mut conn, list.id).await?;
    Ok(HttpResponse::Ok().json(Shown {
        list,
        contacts: figures.members,
        opted_out: figures.opted_out,
        mailings: figures.mailings,
    }))
}
