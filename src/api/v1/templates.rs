//! `/api/v1/templates`

use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse_query};
use super::super::token::ApiCaller;
use super::{Page, Paging, after, limit};
use crate::app::App;
use crate::auth::Role;
use crate::ids::AccountId;
use crate::mailings;
use crate::templates::{query, sync};

/// An approved template of an account at Meta.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Template)]
pub struct Shown {
    #[schema(example = 3)]
    id: i64,
    #[schema(example = 1)]
    account_id: i64,
    #[schema(example = "weekend_promo")]
    name: String,
    #[schema(example = "id")]
    language: String,
    /// `marketing`, `utility` or `authentication`.
    #[schema(example = "marketing")]
    category: String,
    /// `green`, `yellow`, `red` or `none`.
    #[schema(example = "green")]
    quality: String,
    /// `none`, `text`, or the kind of file a mailing brings.
    #[schema(example = "text")]
    header_type: String,
    #[schema(example = "Halo {{1}}, diskon {{2}} untuk semua batik.")]
    body: String,
    /// What a mailing gives values for.
    #[schema(example = json!(["body.1", "body.2"]))]
    places: Vec<String>,
}

/// The approved templates
#[utoipa::path(get, path = "/templates", tag = "Templates", operation_id = "templates", params(Paging),
    responses((status = 200, description = "The templates by id", body = Page<Shown>)))]
pub async fn list(request: HttpRequest, caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let paging: Paging = parse_query(request.query_string())?;
    let after = after(paging.cursor.as_deref())?;
    let mut conn = app.db.company(caller.company).await?;
    let mut all: Vec<Shown> = query::choices(&mut conn)
        .await?
        .into_iter()
        .map(|(template, _)| {
            let shape = template.shape();
            Shown {
                id: template.id.0,
                account_id: template.account_id.0,
                name: template.name,
                language: template.language,
                category: template.category,
                quality: template.quality,
                places: shape.slots().into_iter().map(|slot| slot.key).collect(),
                header_type: shape.header_type,
                body: shape.body,
            }
        })
        .collect();
    all.sort_by_key(|template| template.id);
    let page = Page::of(all, limit(paging.limit), after, |template| template.id);
    Ok(HttpResponse::Ok().json(page))
}

/// What a sync copied.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = TemplateSync)]
pub struct Synced {
    #[schema(example = 4)]
    new: i64,
    #[schema(example = 0)]
    known: i64,
    /// Not at Meta any more.
    #[schema(example = 0)]
    gone: i64,
}

/// Copy an account's templates from Meta
///
/// Mailings that are being sent with a template Meta does not allow any more pause.
#[utoipa::path(post, path = "/accounts/{id}/templates", tag = "Templates", operation_id = "syncTemplates", params(("id" = i64, Path, description = "The account")),
    responses((status = 200, description = "What was copied", body = Synced)))]
pub async fn copy(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let synced = sync::run(&app, caller.company, AccountId(*id)).await?;
    let mut system = app.db.system().await?;
    mailings::template::hold(&mut system, &synced.unsendable, sync::GONE).await?;
    Ok(HttpResponse::Ok().json(Synced {
        new: synced.new,
        known: synced.known,
        gone: synced.gone,
    }))
}
