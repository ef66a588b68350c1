//! `/api/v1/messages`

use actix_web::{HttpRequest, HttpResponse, web};

use super::super::error::{ApiResult, parse_query};
use super::super::token::ApiCaller;
use super::{Page, after, limit};
use crate::app::App;
use crate::error::Error;
use crate::ids::{ContactId, MailingId};
use crate::outgoing::STATES;
use crate::outgoing::query::{Message, MessageFilter, count_messages, messages};

#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Messages of this mailing.
    #[param(example = 7)]
    mailing_id: Option<i64>,
    /// Messages in this state: queued, claimed, sending, accepted, sent, delivered, read, failed,
    /// uncertain, skipped, canceled or expired.
    #[param(example = "failed")]
    state: Option<String>,
    /// Messages to this person.
    contact_id: Option<i64>,
    /// Items a page, 1 to 1000 (more is read as 1000); 100 where it is absent.
    limit: Option<i64>,
    /// The value of `next` from the page before.
    cursor: Option<String>,
}

/// Outgoing messages and what became of each
///
/// Whoever was left out of a mailing has a message too, `skipped` with its `reason`.
#[utoipa::path(get, path = "/messages", tag = "Messages", operation_id = "messages", params(Filter),
    responses((status = 200, description = "Messages by id", body = Page<Message>)))]
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
    let total = match wanted.after {
        0 => count_messages(&mut conn, &wanted).await?,
        _ => None,
    };
    let found: Vec<Message> = messages(&mut conn, &wanted).await?;
    let last = found.last().map(|message| message.id.0);
    Ok(HttpResponse::Ok().json(Page::new(found, limit, last, total)))
}
