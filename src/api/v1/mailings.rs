//! `/api/v1/mailings`

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};

use super::super::error::{ApiResult, parse};
use super::super::idempotency::once;
use super::super::token::ApiCaller;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::MailingId;
use crate::mailings::{self, Mailing, MailingInput, Verb, preflight as preflights, query};
use crate::outgoing;
use crate::outgoing::again::Which;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewMailing {
    subject: String,
    account_id: i64,
    recipients: Recipients,
    header: Header,
    message: String,
    footer: String,
    schedule_date: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Recipients {
    list_ids: Vec<i64>,
    exclude_list_ids: Vec<i64>,
    contact_ids: Vec<i64>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Header {
    r#type: String,
    text: String,
    /// Of `POST /media`, where the header is a file.
    media_id: Option<i64>,
}

impl NewMailing {
    fn input(self) -> Result<MailingInput> {
        let by_contacts = !self.recipients.contact_ids.is_empty();
        if by_contacts && !self.recipients.list_ids.is_empty() {
            return Err(Error::invalid(
                "recipients",
                "Give list_ids or contact_ids, not both.",
            ));
        }
        Ok(MailingInput {
            subject: self.subject,
            account_id: self.account_id.to_string(),
            recipients: if by_contacts { "contacts" } else { "lists" }.to_owned(),
            list_ids: self.recipients.list_ids,
            exclude_list_ids: self.recipients.exclude_list_ids,
            contact_ids: self.recipients.contact_ids,
            header_type: self.header.r#type,
            media_id: self
                .header
                .media_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
            header: self.header.text,
            message: self.message,
            footer: self.footer,
            schedule_date: with_offset(self.schedule_date.as_deref())?
                .map(|date| date.to_rfc3339())
                .unwrap_or_default(),
            ..MailingInput::default()
        })
    }
}

/// Programs say which instant they mean.
fn with_offset(text: Option<&str>) -> Result<Option<DateTime<Utc>>> {
    text.map(|text| {
        DateTime::parse_from_rfc3339(text)
            .map(|date| date.with_timezone(&Utc))
            .map_err(|_| {
                Error::invalid(
                    "schedule_date",
                    "Use RFC 3339 with an offset, for example 2026-11-24T10:00:00+07:00.",
                )
            })
    })
    .transpose()
}

async fn shown(conn: &mut AsyncPgConnection, mailing: &Mailing) -> Result<Value> {
    let counts = outgoing::query::counts(conn, mailing.id).await?;
    let replied = outgoing::query::replied(conn, mailing.id).await?;
    let mut states: serde_json::Map<String, Value> = outgoing::STATES
        .iter()
        .map(|state| ((*state).to_owned(), json!(counts.of(state))))
        .collect();
    states.insert("total".to_owned(), json!(counts.total()));
    states.insert("handed_over".to_owned(), json!(counts.handed_over()));
    Ok(json!({
        "id": mailing.id, "subject": mailing.subject, "account_id": mailing.account_id, "state": mailing.state,
        "state_reason": mailing.state_reason, "schedule_date": mailing.schedule_date,
        "header": { "type": mailing.header_type, "text": mailing.header, "media_id": mailing.media_id }, "counts": states,
        "funnel": { "sent": counts.sent(), "delivered": counts.delivered(), "read": counts.of("read"), "replied": replied },
        "started_at": mailing.started_at, "finished_at": mailing.finished_at,
    }))
}

pub async fn create(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async {
        let new: NewMailing = parse(&body)?;
        let draft = new.input()?.parse(caller.zone)?;
        let mut conn = app.db.company(caller.company).await?;
        let mailing = mailings::create(&mut conn, caller.company, caller.user, &draft).await?;
        let shown = shown(&mut conn, &mailing).await?;
        conn.commit().await?;
        Ok(HttpResponse::Created().json(shown))
    })
    .await
}

pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let mailing = query::find(&mut conn, MailingId(*id)).await?;
    Ok(HttpResponse::Ok().json(shown(&mut conn, &mailing).await?))
}

pub async fn preflight(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let mailing = query::find(&mut conn, MailingId(*id)).await?;
    Ok(HttpResponse::Ok().json(preflights::run(&mut conn, &mailing).await?))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Submit {
    schedule_date: Option<String>,
}

pub async fn submit(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async {
        let submit: Submit = if body.is_empty() {
            Submit::default()
        } else {
            parse(&body)?
        };
        let date = with_offset(submit.schedule_date.as_deref())?;
        let mut conn = app.db.company(caller.company).await?;
        let mailing = mailings::submit(
            &app,
            &mut conn,
            caller.user,
            MailingId(*id),
            date,
            app.clock.now(),
        )
        .await?;
        let shown = shown(&mut conn, &mailing).await?;
        conn.commit().await?;
        Ok(HttpResponse::Ok().json(shown))
    })
    .await
}

pub async fn send_now(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async {
        let mut conn = app.db.company(caller.company).await?;
        let mailing = mailings::send_now(&app, &mut conn, caller.user, MailingId(*id)).await?;
        let shown = shown(&mut conn, &mailing).await?;
        conn.commit().await?;
        app.wake.release.notify_one();
        Ok(HttpResponse::Ok().json(shown))
    })
    .await
}

async fn change(app: &App, caller: &ApiCaller, id: i64, verb: Verb) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let mailing = mailings::change(&mut conn, MailingId(id), verb).await?;
    let shown = shown(&mut conn, &mailing).await?;
    conn.commit().await?;
    app.wake.deliver.notify_one();
    Ok(HttpResponse::Ok().json(shown))
}

pub async fn pause(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    change(&app, &caller, *id, Verb::Pause).await
}

pub async fn resume(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    change(&app, &caller, *id, Verb::Resume).await
}

pub async fn cancel(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    change(&app, &caller, *id, Verb::Cancel).await
}

pub async fn draft(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    change(&app, &caller, *id, Verb::Draft).await
}

pub async fn retry_failed(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async {
        let mut conn = app.db.company(caller.company).await?;
        let id = MailingId(*id);
        let (mailing, _) =
            mailings::again::send(&mut conn, caller.user, id, Which::Failed, None).await?;
        let shown = shown(&mut conn, &mailing).await?;
        conn.commit().await?;
        app.wake.deliver.notify_one();
        Ok(HttpResponse::Ok().json(shown))
    })
    .await
}

pub async fn duplicate(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async {
        let mut conn = app.db.company(caller.company).await?;
        let mailing = mailings::duplicate(&mut conn, caller.user, MailingId(*id)).await?;
        let shown = shown(&mut conn, &mailing).await?;
        conn.commit().await?;
        Ok(HttpResponse::Created().json(shown))
    })
    .await
}
