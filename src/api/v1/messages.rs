//! `/api/v1/messages`

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::super::error::{ApiResult, parse_query};
use super::super::token::ApiCaller;
use super::{after, limit, page};
use crate::app::App;
use crate::error::Error;
use crate::ids::{ContactId, MailingId};
use crate::outgoing::STATES;
use crate::outgoing::query::{MessageFilter, messages};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Filter {
    mailing_id: Option<i64>,
    state: Option<String>,
    contact_id: Option<i64>,
    limit: Option<i64>,
    cursor: Option<String>,
}

pub async fn list(request: HttpRequest, caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let filter: Filter = parse_query(request.query_string())?;
    if filter
        .state
        .as_deref()
        .is_some_and(|state| !STATES.contains(&state))
    {
        return Err(
            Error::invalid("state", format!("A state is one of {}.", STATES.join(", "))).into(),
        );
    }
    let limit = limit(filter.limit);
    let wanted = MessageFilter {
        mailing: filter.mailing_id.map(MailingId),
        state: filter.state,
        contact: filter.contact_id.map(ContactId),
        after: after(filter.cursor.as_deref())?,
        limit,
    };
    let mut conn = app.db.company(caller.company).await?;
    let found = messages(&mut conn, &wanted).await?;
    let last = found.last().map(|message| message.id.0);
    let items = found.iter().map(|message| json!(message)).collect();
    Ok(HttpResponse::Ok().json(page(items, limit, last)))
}
