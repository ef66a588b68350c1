//! `/api/v1/lists`

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::super::error::{ApiResult, parse};
use super::super::idempotency::once;
use super::super::token::ApiCaller;
use crate::app::App;
use crate::lists::{self, ListInput};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewList {
    name: String,
    description: String,
}

pub async fn create(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async {
        let new: NewList = parse(&body)?;
        let input = ListInput {
            name: new.name,
            description: new.description,
            active: Some("on".to_owned()),
        };
        let mut conn = app.db.company(caller.company).await?;
        let list = lists::create(&mut conn, caller.company, &input.parse()?).await?;
        conn.commit().await?;
        Ok(HttpResponse::Created().json(list))
    })
    .await
}

pub async fn list(caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let choices = lists::choices(&mut conn).await?;
    let items: Vec<_> = choices
        .iter()
        .map(|list| json!({ "id": list.id, "name": list.name, "contacts": list.members }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "total": items.len(), "items": items, "next": null })))
}
