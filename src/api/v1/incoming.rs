//! `/api/v1/incoming`

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::super::error::{ApiResult, parse_query};
use super::super::token::ApiCaller;
use super::{after, limit, page};
use crate::app::App;
use crate::error::Error;
use crate::incoming::query;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Filter {
    since: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

pub async fn list(request: HttpRequest, caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let filter: Filter = parse_query(request.query_string())?;
    let since: Option<DateTime<Utc>> = filter
        .since
        .as_deref()
        .map(|since| DateTime::parse_from_rfc3339(since).map(|since| since.with_timezone(&Utc)))
        .transpose()
        .map_err(|_| {
            Error::invalid(
                "since",
                "Use RFC 3339 with an offset, for example 2026-11-24T10:00:00Z.",
            )
        })?;
    let limit = limit(filter.limit);
    let mut conn = app.db.company(caller.company).await?;
    let found = query::since(&mut conn, since, after(filter.cursor.as_deref())?, limit).await?;
    let last = found.last().map(|message| message.id.0);
    let items = found.iter().map(|message| json!(message)).collect();
    Ok(HttpResponse::Ok().json(page(items, limit, last)))
}
