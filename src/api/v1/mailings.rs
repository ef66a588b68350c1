//! `/api/v1/mailings`

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse, parse_query};
use super::super::idempotency::{Answer, once};
use super::super::token::ApiCaller;
use super::{Once, Page, after, limit, noted, with_offset};
use crate::app::App;
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::ids::{AccountId, MailingId};
use crate::mailings::preflight::{self as preflights, Preflight};
use crate::mailings::query::MailingFilter;
use crate::mailings::{self, Mailing, MailingInput, State, Verb, query};
use crate::outgoing::again::Which;
use crate::rates::charges::{self, Cost};
use crate::{audit, outgoing};

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
    /// `none`, `text`, `image`, `video`, `document` or `voice`; with `voice` there is no message and no footer.
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
    #[schema(example = 512)]
    total: i64,
    queued: i64,
    claimed: i64,
    sending: i64,
    #[schema(example = 3)]
    accepted: i64,
    #[schema(example = 40)]
    sent: i64,
    #[schema(example = 250)]
    delivered: i64,
    #[schema(example = 200)]
    read: i64,
    #[schema(example = 3)]
    failed: i64,
    /// Given to n8n, which has not answered yet.
    handed_over: i64,
    /// It cannot be known whether they arrived; they are not sent again by themselves.
    #[schema(example = 2)]
    uncertain: i64,
    #[schema(example = 14)]
    skipped: i64,
    canceled: i64,
    expired: i64,
}

/// Cumulative: who has read it counts as delivered and sent too.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = MailingFunnel)]
pub struct Funnel {
    #[schema(example = 493)]
    sent: i64,
    #[schema(example = 450)]
    delivered: i64,
    #[schema(example = 200)]
    read: i64,
    #[schema(example = 31)]
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
async fn own(conn: &mut AsyncPgConnection, caller: &ApiCaller, id: MailingId) -> Result<Mailing> {
    let mailing = query::find(conn, id).await?;
    if mailing.responsible_id != caller.user {
        caller.require(Role::Manager)?;
    }
    Ok(mailing)
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
        noted(conn, &caller, "mailings", mailing.id.0, "created").await?;
        Answer::created(shown(conn, &mailing).await?)
    })
    .await
}

/// A mailing as lists show it; `GET /mailings/{id}` counts its messages.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = MailingSummary)]
pub struct Plain {
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
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    /// False: archived.
    #[schema(example = true)]
    active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Mailing> for Plain {
    fn from(mailing: Mailing) -> Self {
        Self {
            id: mailing.id.0,
            subject: mailing.subject,
            account_id: mailing.account_id.0,
            state: mailing.state,
            state_reason: mailing.state_reason,
            schedule_date: mailing.schedule_date,
            not_after: mailing.not_after,
            started_at: mailing.started_at,
            finished_at: mailing.finished_at,
            active: mailing.active,
            created_at: mailing.created_at,
            updated_at: mailing.updated_at,
        }
    }
}

#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only those in one state (see MailingState)
    #[param(value_type = Option<State>, example = "sending")]
    state: Option<String>,
    /// Words in the subject or the message.
    #[param(example = "Parang")]
    q: Option<String>,
    /// Only those of this account.
    #[param(example = 1)]
    account_id: Option<i64>,
    /// Only those that are not archived, or only those that are; all where it is absent.
    active: Option<bool>,
    /// Items a page, 1 to 1000 (more is read as 1000); 100 where it is absent.
    limit: Option<i64>,
    /// The value of `next` from the page before.
    cursor: Option<String>,
}

impl Filter {
    fn parse(self) -> Result<MailingFilter> {
        let state = match self.state.as_deref() {
            None | Some("") => None,
            Some(word) => Some(State::parse(word).ok_or_else(|| {
                let all: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
                let said = format!(
                    "There is no state “{word}”. Use one of: {}.",
                    all.join(", ")
                );
                Error::invalid("state", said)
            })?),
        };
        Ok(MailingFilter {
            state,
            text: self.q,
            account: self.account_id.map(AccountId),
            active: self.active,
            after: after(self.cursor.as_deref())?,
            limit: limit(self.limit),
        })
    }
}

/// Mailings
#[utoipa::path(get, path = "/mailings", tag = "Mailings", operation_id = "mailings", params(Filter),
    responses((status = 200, description = "Mailings by id", body = Page<Plain>)))]
pub async fn list(request: HttpRequest, caller: ApiCaller, app: web::Data<App>) -> ApiResult {
    let wanted = parse_query::<Filter>(request.query_string())?.parse()?;
    let mut conn = app.db.company(caller.company).await?;
    let total = match wanted.after {
        0 => query::count_filtered(&mut conn, &wanted).await?,
        _ => None,
    };
    let found = query::filtered(&mut conn, &wanted).await?;
    let last = found.last().map(|mailing| mailing.id.0);
    let items: Vec<Plain> = found.into_iter().map(Plain::from).collect();
    Ok(HttpResponse::Ok().json(Page::new(items, wanted.limit, last, total)))
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
        let before = own(conn, &caller, id).await?;
        let mailing = mailings::submit(&app, conn, caller.user, id, date, now).await?;
        if before.state() != State::Submitted {
            noted(conn, &caller, "mailings", id.0, "submit").await?;
        } else if before.schedule_date != mailing.schedule_date {
            noted(conn, &caller, "mailings", id.0, "reschedule").await?;
        }
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
        let before = own(conn, &caller, MailingId(*id)).await?;
        let mailing = mailings::send_now(&app, conn, caller.user, MailingId(*id)).await?;
        if !before.released() {
            noted(conn, &caller, "mailings", *id, "send_now").await?;
        }
        Answer::ok(shown(conn, &mailing).await?)
    })
    .await
    .inspect(|_| app.wake.release.notify_one())
}

async fn change(app: &App, caller: &ApiCaller, id: i64, verb: Verb) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    audit::hold(&mut conn, "mailings", id).await?;
    let before = own(&mut conn, caller, MailingId(id)).await?;
    let mailing = mailings::change(&mut conn, MailingId(id), verb).await?;
    if before.state != mailing.state {
        noted(&mut conn, caller, "mailings", id, verb.as_str()).await?;
    }
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
        noted(conn, &caller, "mailings", id.0, "retry_failed").await?;
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
        noted(conn, &caller, "mailings", mailing.id.0, "created").await?;
        noted(conn, &caller, "mailings", *id, "duplicate").await?;
        Answer::created(shown(conn, &mailing).await?)
    })
    .await
}
