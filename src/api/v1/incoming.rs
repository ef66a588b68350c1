//! `/api/v1/incoming`

use actix_web::{HttpRequest, HttpResponse, web};

use super::super::error::{ApiResult, parse_query};
use super::super::token::ApiCaller;
use super::{Page, after, limit, with_offset};
use crate::app::App;
use crate::incoming::query::{self, Incoming};

#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Received at this instant or later, RFC 3339 with an offset (`+` is written `%2B` in an address).
    #[param(format = DateTime, example = "2026-11-24T10:00:00Z")]
    since: Option<String>,
    /// Items a page, 1 to 1000 (more is read as 1000); 100 where it is absent.
    limit: Option<i64>,
    /// The value of `next` from the page before.
    cursor: Option<String>,
}

/// Messages that people sent, oldest first
///
/// To follow them, keep the last `id` and send it as `cursor`.
#[utoipa::path(get, path = "/incoming", tag = "Messages", operation_id = "incoming", params(Filter),
    responses((status = 200, description = "Messages by id", body = Page<Incoming>)))]
pub async fn list(request: HttpRequest, caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let filter: Filter = parse_query(request.query_string())?;
    let since = with_offset("since", filter.since.as_deref())?;
    let (limit, after) = (limit(filter.limit), after(filter.cursor.as_deref())?);
    let mut conn = app.db.company(caller.company).await?;
    let total = match after {
        0 => query::count_since(&mut conn, since).await?,
        _ => None,
    };
    let found = query::since(&mut conn, since, after, limit).await?;
    let last = found.last().map(|message| message.id.0);
    Ok(HttpResponse::Ok().json(Page::new(found, limit, last, total)))
}
