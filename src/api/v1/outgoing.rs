//! `/api/v1/outgoing`: workers of your own that fetch messages and report what became of them.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use std::time::Duration;
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse};
use super::super::token::ApiCaller;
use super::with_offset;
use crate::accounts;
use crate::app::App;
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::gateways::webhook::Push;
use crate::ids::AccountId;
use crate::outgoing::pull::{Batch, Handed, Puller, Wish};
use crate::outgoing::results::{self, Noted, Status, Told};

const LIMIT: usize = 10;
const LIMIT_MAX: usize = 50;
/// Seconds.
const LEASE: u64 = 60;
const LEASES: std::ops::RangeInclusive<u64> = 10..=600;
const RESULTS_MAX: usize = 200;
/// Letters of an id or a code.
const WORD_MAX: usize = 200;

/// Which messages, and for how long.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Pull)]
pub struct PullBody {
    /// An account of your company whose messages workers fetch.
    #[schema(example = 1)]
    account_id: i64,
    /// At most so many, 1 to 50; 10 where it is absent. Fewer come where the pace allows no more.
    #[serde(default)]
    #[schema(example = 10)]
    limit: Option<u32>,
    /// Within so many seconds you report every one of them, 10 to 600; 60 where it is absent.
    #[serde(default)]
    #[schema(example = 60)]
    lease_seconds: Option<u32>,
}

impl PullBody {
    fn wish(&self) -> Result<Wish> {
        let mut errors = FieldErrors::default();
        let limit = self.limit.map_or(LIMIT, |limit| limit as usize);
        if !(1..=LIMIT_MAX).contains(&limit) {
            errors.add("limit", "Ask for 1 to 50 messages at a time.");
        }
        let lease = self.lease_seconds.map_or(LEASE, u64::from);
        if !LEASES.contains(&lease) {
            errors.add("lease_seconds", "A lease is 10 to 600 seconds long.");
        }
        errors.or(Some(Wish {
            limit,
            lease: Duration::from_secs(lease),
        }))
    }
}

/// What a worker fetched.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Pulled)]
pub struct Pulled {
    /// Yours to send now. Each has begun: send it once, and report it.
    items: Vec<Item>,
    /// What is not reported by then is uncertain, and nobody sends it again by itself.
    lease_until: DateTime<Utc>,
    /// With no items: ask again after so many seconds; null: nothing waits, or the account may not send.
    #[schema(example = json!(null))]
    wait_seconds: Option<f64>,
}

/// One message to send.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = PulledMessage)]
pub struct Item {
    /// Our id of the message, the same for every try.
    #[schema(example = 42)]
    sent_id: i64,
    /// Names this try in its result.
    #[schema(example = "pull-x7Qm2cVb9TtN4kLs0aWdYe")]
    attempt: String,
    /// E.164 digits without `+`, or another address such as `123@lid`.
    #[schema(example = "6281234567890")]
    number: String,
    /// As the person reads it; under a file its caption.
    #[schema(example = "Hi Budi, our shop opens at nine.")]
    text: String,
    media: Option<File>,
    /// The provider's id of the message that this one answers.
    reply_to: Option<String>,
    /// WAHA's session.
    #[schema(example = "default")]
    session: String,
    #[schema(example = 1)]
    account_id: i64,
    /// Null where it belongs to no mailing: a reply, a welcome, a test.
    #[schema(example = 7)]
    mailing_id: Option<i64>,
    #[schema(example = 9)]
    mailing_log_id: Option<i64>,
    #[schema(example = 3)]
    mailing_list_id: Option<i64>,
    #[schema(example = "Pelanggan")]
    mailing_list_name: String,
    #[schema(example = 5)]
    contact_id: Option<i64>,
    #[schema(example = "Budi")]
    contact_name: String,
}

/// A file to fetch: the address cannot be guessed and ends soon.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = PulledFile)]
pub struct File {
    #[schema(example = "https://wa.example.com/media/Zk3…")]
    url: String,
    #[schema(example = "image/jpeg")]
    mime_type: String,
    #[schema(example = "menu.jpg")]
    file_name: String,
}

fn item(handed: Handed) -> Item {
    let Handed {
        attempt,
        push,
        file_name,
    } = handed;
    let Push {
        mime_type,
        media_url,
        ..
    } = push;
    Item {
        sent_id: push.sent_id,
        attempt,
        number: push.to,
        text: push.text,
        media: (!media_url.is_empty()).then_some(File {
            url: media_url,
            mime_type,
            file_name,
        }),
        reply_to: push.reply_to,
        session: push.session,
        account_id: push.account_id,
        mailing_id: push.mailing_id,
        mailing_log_id: push.log_id,
        mailing_list_id: push.list_id,
        mailing_list_name: push.list_name,
        contact_id: push.contact_id,
        contact_name: push.contact_name,
    }
}

/// Fetch messages to send them yourself
///
/// For an account on which *Workers fetch the messages* is ticked. The answer holds what may go now, at the
/// account's pace, without whoever opted out or sleeps. Every item has begun: send it at most once and report
/// it with `POST /outgoing/results` before the lease ends. What nobody reports is *uncertain*: it may have
/// arrived, so it is never handed out again by itself. So is everything of an answer that you did not get. A pause
/// or a cancel holds for what was not fetched yet.
#[utoipa::path(post, path = "/outgoing/pull", tag = "Messages", operation_id = "pullMessages", request_body = PullBody,
    responses((status = 200, description = "What may go now", body = Pulled), (status = 403, description = "Administrators of the account's own company only"),
        (status = 404, description = "No such account in this company"), (status = 409, description = "The account's messages are not fetched")))]
pub async fn pull(
    caller: ApiCaller,
    body: web::Bytes,
    app: web::Data<App>,
    puller: web::Data<Puller>,
) -> ApiResult {
    caller.require(Role::Administrator)?;
    let asked: PullBody = parse(&body)?;
    let wish = asked.wish()?;
    let account = {
        let mut conn = app.db.company(caller.company).await?;
        accounts::owned(&mut conn, AccountId(asked.account_id), caller.company).await?
    };
    let Batch {
        handed,
        lease_until,
        wait,
    } = puller.pull(&app, &account, wish).await?;
    Ok(HttpResponse::Ok().json(Pulled {
        items: handed.into_iter().map(item).collect(),
        lease_until,
        wait_seconds: wait.map(|wait| wait.as_secs_f64()),
    }))
}

/// What became of messages.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PullResults)]
pub struct ResultsBody {
    /// 1 to 200.
    results: Vec<ResultBody>,
}

/// What became of one message.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PullResult)]
pub struct ResultBody {
    #[schema(example = 42)]
    sent_id: i64,
    /// The `attempt` of the item.
    #[schema(example = "pull-x7Qm2cVb9TtN4kLs0aWdYe")]
    attempt: String,
    status: Status,
    /// WhatsApp's id of the message: receipts find it by that.
    #[serde(default)]
    #[schema(example = "3EB0C431C26A1916E07A")]
    provider_id: Option<String>,
    /// One of our failure codes, such as `not_on_whatsapp`, `invalid_number` or `rate_limited`, or your own.
    #[serde(default)]
    code: Option<String>,
    /// Why, in words.
    #[serde(default)]
    error: Option<String>,
    /// When; now where it is absent.
    #[serde(default)]
    #[schema(example = "2026-11-24T10:00:00+07:00")]
    at: Option<String>,
}

impl ResultBody {
    fn told(self) -> Result<Told> {
        let mut errors = FieldErrors::default();
        let provider_id = self.provider_id.filter(|id| !id.trim().is_empty());
        errors.at_most("attempt", &self.attempt, WORD_MAX);
        errors.at_most(
            "provider_id",
            provider_id.as_deref().unwrap_or_default(),
            WORD_MAX,
        );
        errors.at_most("code", self.code.as_deref().unwrap_or_default(), WORD_MAX);
        let told = Told {
            sent_id: self.sent_id,
            attempt: self.attempt,
            status: self.status,
            provider_id,
            code: self.code,
            error: self.error,
            at: with_offset("at", self.at.as_deref())?,
        };
        errors.or(Some(told))
    }
}

/// What was done with each, in the order of the call.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = PullResultsNoted)]
pub struct NotedResults {
    results: Vec<NotedResult>,
}

#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = PullResultNoted)]
pub struct NotedResult {
    #[schema(example = 42)]
    sent_id: i64,
    #[schema(example = "pull-x7Qm2cVb9TtN4kLs0aWdYe")]
    attempt: String,
    /// `recorded`; `late`: after the lease, kept as evidence; `repeated`: it was known; `contradicted`:
    /// something else was reported of this try before, and that counts; `unknown`: no such try in this company.
    noted: Noted,
}

/// Report what became of fetched messages
///
/// `sent`: WhatsApp took it. `failed`: it cannot reach this person; final. `not_sent`: it certainly did not leave,
/// so it waits for another try. When you do not know, report nothing. The same report again changes nothing.
#[utoipa::path(post, path = "/outgoing/results", tag = "Messages", operation_id = "reportMessages", request_body = ResultsBody,
    responses((status = 200, description = "What was done with each", body = NotedResults), (status = 403, description = "Administrators only")))]
pub async fn results(caller: ApiCaller, body: web::Bytes, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Administrator)?;
    let asked: ResultsBody = parse(&body)?;
    if asked.results.is_empty() || asked.results.len() > RESULTS_MAX {
        return Err(Error::invalid("results", "Report 1 to 200 messages in a call.").into());
    }
    let told: Vec<Told> = asked
        .results
        .into_iter()
        .map(ResultBody::told)
        .collect::<Result<_>>()?;
    let noted = results::note(&app, caller.company, &told).await?;
    app.wake.settle.notify_one();
    let results = told
        .into_iter()
        .zip(noted)
        .map(|(told, noted)| NotedResult {
            sent_id: told.sent_id,
            attempt: told.attempt,
            noted,
        });
    Ok(HttpResponse::Ok().json(NotedResults {
        results: results.collect(),
    }))
}
