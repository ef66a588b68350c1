//! `/api/v1/mailings`

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse};
use super::super::idempotency::{Answer, once};
use super::super::token::ApiCaller;
use super::{Once, with_offset};
use crate::app::App;
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::ids::MailingId;
use crate::mailings::preflight::{self as preflights, Preflight};
use crate::mailings::{self, Mailing, MailingInput, State, Verb, query};
use crate::outgoing;
use crate::outgoing::again::Which;
use crate::rates::charges::{self, Cost};

#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewMailing {
    /// What you call it; people do not see it unless the text says `{{subject}}`.
    #[schema(required = true, example = "Promo Parang")]
    subject: String,
    /// Which account it goes out over.
    #[schema(required = true, example = 1)]
    account_id: i64,
    #[schema(required = true)]
    recipients: Recipients,
    header: Header,
    /// The text with WhatsApp's marks and placeholders; with a template it is the template's.
    #[schema(example = "Halo {{contact.name|Kak}}, poin Anda {{contact.points|0}}.")]
    message: String,
    #[schema(example = "Balas STOP untuk berhenti")]
    footer: String,
    /// When Submit to Scheduler will send it, RFC 3339 with an offset.
    #[schema(format = DateTime, example = "2030-11-24T10:00:00+07:00")]
    schedule_date: Option<String>,
    /// What has not left by then expires, RFC 3339 with an offset.
    #[schema(format = DateTime, example = "2030-11-24T20:00:00+07:00")]
    not_after: Option<String>,
    /// Sent as this template of Meta's; message, footer and the header's type then come from it.
    template: Option<ChosenTemplate>,
}

/// An approved template and what stands at its variables.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChosenTemplate {
    /// Of `GET /templates`.
    #[schema(required = true, example = 3)]
    id: i64,
    /// Place (of the template's `places`) to a text, which may have placeholders.
    #[schema(example = json!({ "body.1": "{{contact.name|Kak}}" }))]
    values: std::collections::BTreeMap<String, String>,
}

/// Either lists or contacts.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Recipients {
    #[schema(example = json!([1]))]
    list_ids: Vec<i64>,
    /// Members of these are left out.
    #[schema(example = json!([]))]
    exclude_list_ids: Vec<i64>,
    #[schema(example = json!([]))]
    contact_ids: Vec<i64>,
}

/// What stands bold above the message.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, ToSchema)]
#[schema(as = MailingHeader)]
#[serde(default, deny_unknown_fields)]
pub struct Header {
    /// `none`, `text`, `image`, `video` or `document`.
    #[schema(example = "text")]
    r#type: String,
    #[schema(example = "Promo Parang")]
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
        let template = self.template.unwrap_or_default();
        let (template_keys, template_texts) = template.values.into_iter().unzip();
        Ok(MailingInput {
            template_id: if template.id == 0 {
                String::new()
            } else {
                template.id.to_string()
            },
            template_keys,
            template_texts,
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
            schedule_date: with_offset("schedule_date", self.schedule_date.as_deref())?
                .map(|date| date.to_rfc3339())
                .unwrap_or_default(),
            not_after: with_offset("not_after", self.not_after.as_deref())?
                .map(|date| date.to_rfc3339())
                .unwrap_or_default(),
            ..MailingInput::default()
        })
    }
}

/// A mailing and how far it is.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Mailing)]
pub struct Shown {
    #[schema(example = 7)]
    id: i64,
    #[schema(example = "Promo Parang")]
    subject: String,
    #[schema(example = 1)]
    account_id: i64,
    #[schema(value_type = State)]
    state: String,
    /// Why it is paused, missed or failed, as a sentence.
    state_reason: Option<String>,
    schedule_date: Option<DateTime<Utc>>,
    not_after: Option<DateTime<Utc>>,
    header: ShownHeader,
    /// Sent as this template of Meta's.
    template_id: Option<i64>,
    counts: Counts,
    funnel: Funnel,
    /// What delivered messages cost at Meta, by the company's rate card; empty elsewhere.
    cost: Vec<Cost>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

/// What stands above the message: nothing, a text or a file.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = ShownHeader)]
pub struct ShownHeader {
    #[schema(example = "text")]
    r#type: String,
    #[schema(example = "Promo Parang")]
    text: String,
    media_id: Option<i64>,
}

/// Messages by state: disjoint, and their sum is `total`.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = MailingCounts)]
pub struct Counts {
    total: i64,
    queued: i64,
    claimed: i64,
    sending: i64,
    accepted: i64,
    sent: i64,
    delivered: i64,
    read: i64,
    failed: i64,
    /// Given to n8n, which has not answered yet.
    handed_over: i64,
    /// It cannot be known whether they arrived; they are not sent again by themselves.
    uncertain: i64,
    skipped: i64,
    canceled: i64,
    expired: i64,
}

/// Cumulative: who has read it counts as delivered and sent too.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = MailingFunnel)]
pub struct Funnel {
    sent: i64,
    delivered: i64,
    read: i64,
    replied: i64,
}

async fn shown(conn: &mut AsyncPgConnection, mailing: &Mailing) -> Result<Shown> {
    let counts = outgoing::query::counts(conn, mailing.id).await?;
    let replied = outgoing::query::replied(conn, mailing.id).await?;
    Ok(Shown {
        id: mailing.id.0,
        subject: mailing.subject.clone(),
        account_id: mailing.account_id.0,
        state: mailing.state.clone(),
        state_reason: mailing.state_reason.clone(),
        schedule_date: mailing.schedule_date,
        not_after: mailing.not_after,
        header: ShownHeader {
            r#type: mailing.header_type.clone(),
            text: mailing.header.clone(),
            media_id: mailing.media_id.map(|id| id.0),
        },
        template_id: mailing.template_id.map(|id| id.0),
        cost: charges::of_mailing(conn, mailing.id).await?,
        funnel: Funnel {
            sent: counts.sent(),
            delivered: counts.delivered(),
            read: counts.of("read"),
            replied,
        },
        counts: Counts {
            total: counts.total(),
            queued: counts.of("queued"),
            claimed: counts.of("claimed"),
            sending: counts.of("sending"),
            accepted: counts.of("accepted"),
            sent: counts.of("sent"),
            delivered: counts.of("delivered"),
            read: counts.of("read"),
            failed: counts.of("failed"),
            handed_over: counts.handed_over(),
            uncertain: counts.of("uncertain"),
            skipped: counts.of("skipped"),
            canceled: counts.of("canceled"),
            expired: counts.of("expired"),
        },
        started_at: mailing.started_at,
        finished_at: mailing.finished_at,
    })
}

/// Their own mailings are everybody's to change, others' a manager's.
async fn own(conn: &mut AsyncPgConnection, caller: &ApiCaller, id: MailingId) -> Result<()> {
    let mailing = query::find(conn, id).await?;
    if mailing.responsible_id == caller.user {
        Ok(())
    } else {
        caller.require(Role::Manager)
    }
}

/// Make a draft
#[utoipa::path(post, path = "/mailings", tag = "Mailings", operation_id = "createMailing", params(Once), request_body = NewMailing,
    responses((status = 201, description = "The draft", body = Shown)))]
pub async fn create(
    request: HttpRequest,
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async |conn| {
        let new: NewMailing = parse(&body)?;
        let draft = new.input()?.parse(caller.zone)?;
        let mailing = mailings::create(conn, caller.company, caller.user, &draft).await?;
        Answer::created(shown(conn, &mailing).await?)
    })
    .await
}

/// A mailing with its counts
#[utoipa::path(get, path = "/mailings/{id}", tag = "Mailings", operation_id = "mailing", params(("id" = i64, Path, description = "The mailing")),
    responses((status = 200, description = "The mailing", body = Shown)))]
pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let mailing = query::find(&mut conn, MailingId(*id)).await?;
    Ok(HttpResponse::Ok().json(shown(&mut conn, &mailing).await?))
}

/// Who would get it, and who not and why
///
/// Changes nothing.
#[utoipa::path(get, path = "/mailings/{id}/preflight", tag = "Mailings", operation_id = "preflight", params(("id" = i64, Path, description = "The mailing")),
    responses((status = 200, description = "What would happen", body = Preflight)))]
pub async fn preflight(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let mailing = query::find(&mut conn, MailingId(*id)).await?;
    Ok(HttpResponse::Ok().json(preflights::run(&mut conn, &mailing, app.clock.now()).await?))
}

#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Submit {
    /// RFC 3339 with an offset; absent: the date the mailing has.
    #[schema(format = DateTime, example = "2030-11-24T10:00:00+07:00")]
    schedule_date: Option<String>,
}

/// Submit to Scheduler
///
/// Needs a schedule date, here or in the mailing, that is not past.
#[utoipa::path(post, path = "/mailings/{id}/submit", tag = "Mailings", operation_id = "submitMailing", params(("id" = i64, Path, description = "The mailing"), Once),
    request_body = Option<Submit>,
    responses((status = 200, description = "The mailing", body = Shown), (status = 403, description = "Somebody else's mailing, and you are no manager"), (status = 409, description = "Only a draft can be submitted")))]
pub async fn submit(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async |conn| {
        let submit: Submit = if body.is_empty() {
            Submit::default()
        } else {
            parse(&body)?
        };
        let date = with_offset("schedule_date", submit.schedule_date.as_deref())?;
        let (id, now) = (MailingId(*id), app.clock.now());
        own(conn, &caller, id).await?;
        let mailing = mailings::submit(&app, conn, caller.user, id, date, now).await?;
        Answer::ok(shown(conn, &mailing).await?)
    })
    .await
}

/// Send Now
///
/// Ignores the schedule date. A second call finds the mailing that the first one sent.
#[utoipa::path(post, path = "/mailings/{id}/send_now", tag = "Mailings", operation_id = "sendMailingNow", params(("id" = i64, Path, description = "The mailing"), Once),
    responses((status = 200, description = "The mailing", body = Shown), (status = 403, description = "Somebody else's mailing, and you are no manager"), (status = 409, description = "It is under way or ended")))]
pub async fn send_now(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async |conn| {
        own(conn, &caller, MailingId(*id)).await?;
        let mailing = mailings::send_now(&app, conn, caller.user, MailingId(*id)).await?;
        Answer::ok(shown(conn, &mailing).await?)
    })
    .await
    .inspect(|_| app.wake.release.notify_one())
}

async fn change(app: &App, caller: &ApiCaller, id: i64, verb: Verb) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    own(&mut conn, caller, MailingId(id)).await?;
    let mailing = mailings::change(&mut conn, MailingId(id), verb).await?;
    let shown = shown(&mut conn, &mailing).await?;
    conn.commit().await?;
    app.wake.deliver.notify_one();
    mailings::took_effect(app, mailing.id, verb).await?;
    Ok(HttpResponse::Ok().json(shown))
}

/// Pause what is being sent
///
/// What is at the gateway already ends; when this answers nothing more leaves, whichever instance sends.
#[utoipa::path(post, path = "/mailings/{id}/pause", tag = "Mailings", operation_id = "pauseMailing", params(("id" = i64, Path, description = "The mailing")),
    responses((status = 200, description = "The mailing", body = Shown), (status = 403, description = "Somebody else's mailing, and you are no manager"), (status = 409, description = "It is not being sent")))]
pub async fn pause(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    change(&app, &caller, *id, Verb::Pause).await
}

/// Go on with a paused mailing
#[utoipa::path(post, path = "/mailings/{id}/resume", tag = "Mailings", operation_id = "resumeMailing", params(("id" = i64, Path, description = "The mailing")),
    responses((status = 200, description = "The mailing", body = Shown), (status = 403, description = "Somebody else's mailing, and you are no manager"), (status = 409, description = "It is not paused")))]
pub async fn resume(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    change(&app, &caller, *id, Verb::Resume).await
}

/// Send nothing more, for good
///
/// What still waits becomes canceled; when this answers nothing more leaves, whichever instance sends.
#[utoipa::path(post, path = "/mailings/{id}/cancel", tag = "Mailings", operation_id = "cancelMailing", params(("id" = i64, Path, description = "The mailing")),
    responses((status = 200, description = "The mailing", body = Shown), (status = 403, description = "Somebody else's mailing, and you are no manager"), (status = 409, description = "It ended, or is a draft")))]
pub async fn cancel(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    change(&app, &caller, *id, Verb::Cancel).await
}

/// Take a submitted mailing back to draft
#[utoipa::path(post, path = "/mailings/{id}/draft", tag = "Mailings", operation_id = "redraftMailing", params(("id" = i64, Path, description = "The mailing")),
    responses((status = 200, description = "The mailing", body = Shown), (status = 403, description = "Somebody else's mailing, and you are no manager"), (status = 409, description = "It was released")))]
pub async fn draft(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    change(&app, &caller, *id, Verb::Draft).await
}

/// Retry failed
///
/// Sends again to those whose failure can pass, once more and in a log of its own.
#[utoipa::path(post, path = "/mailings/{id}/retry_failed", tag = "Mailings", operation_id = "retryFailed", params(("id" = i64, Path, description = "The mailing"), Once),
    responses((status = 200, description = "The mailing", body = Shown), (status = 403, description = "Somebody else's mailing, and you are no manager"), (status = 409, description = "Nothing of it failed, or it is under way")))]
pub async fn retry_failed(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async |conn| {
        let id = MailingId(*id);
        own(conn, &caller, id).await?;
        let (mailing, _) =
            mailings::again::send(conn, caller.user, id, Which::Failed, None).await?;
        Answer::ok(shown(conn, &mailing).await?)
    })
    .await
    .inspect(|_| app.wake.deliver.notify_one())
}

/// A new draft with the same content and recipients
#[utoipa::path(post, path = "/mailings/{id}/duplicate", tag = "Mailings", operation_id = "duplicateMailing", params(("id" = i64, Path, description = "The mailing"), Once),
    responses((status = 201, description = "The new draft", body = Shown)))]
pub async fn duplicate(
    request: HttpRequest,
    caller: ApiCaller,
    id: web::Path<i64>,
    body: web::Bytes,
    app: web::Data<App>,
) -> ApiResult {
    once(&app, &caller, &request, &body, async |conn| {
        let mailing = mailings::duplicate(conn, caller.user, MailingId(*id)).await?;
        Answer::created(shown(conn, &mailing).await?)
    })
    .await
}
