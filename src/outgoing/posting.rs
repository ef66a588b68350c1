//! One request: composing what a begun message says, and the call itself.
//!
//! Invariant: nothing leaves after the moment until which it may start, by a monotonic clock. Knows no
//! queue; what became of it is an [`Outcome`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::backoff;
use super::begin::Begun;
use super::record::Outcome;
use super::way::Way;
use crate::gateways::meta::message::TemplateCall;
use crate::gateways::tap;
use crate::gateways::webhook::Push;
use crate::gateways::{Accepted, Attachment, FailureCode, SendError, TextMessage};
use crate::ids::{AccountId, VersionId};
use crate::schema::mailing_versions;
use crate::text::merge::{self, Parts, Values, compose};

/// Why a request was not started: nothing had left when its moment was over.
pub(super) const HELD_UP: &str = "this process was held up and did not start the request in time";

/// What a version of a mailing says, before anybody's values.
pub(super) struct Version {
    pub parts: Parts,
    /// Which template carries it; none: it goes as it is.
    pub template: Option<TemplateCall>,
}

impl Version {
    /// As it is stored.
    pub async fn load(conn: &mut AsyncPgConnection, version: VersionId) -> QueryResult<Self> {
        let (subject, header, message, footer, template) = mailing_versions::table
            .find(version)
            .select((
                mailing_versions::subject,
                mailing_versions::header,
                mailing_versions::message,
                mailing_versions::footer,
                mailing_versions::template,
            ))
            .first::<(String, String, String, String, Option<serde_json::Value>)>(conn)
            .await?;
        let template = template
            .map(serde_json::from_value)
            .transpose()
            .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
        Ok(Self {
            parts: Parts {
                subject,
                header,
                message,
                footer,
            },
            template,
        })
    }

    /// With one person's values: what they read, and the template's values.
    fn of(&self, values: &Values) -> (String, Option<TemplateCall>) {
        let text = compose(&self.parts, values);
        let template = self
            .template
            .as_ref()
            .map(|call| call.map(|text| merge::fill(&self.parts.subject, text, values)));
        (text, template)
    }
}

/// One request.
pub(super) struct Posting {
    pub account: AccountId,
    pub way: Way,
    /// What a flow gets to know; none where no flow is.
    pub push: Option<Push>,
    pub version: Option<Arc<Version>>,
    pub message: Begun,
    pub media: Option<Attachment>,
    pub start_before: Instant,
    pub failures: Arc<AtomicU32>,
}

impl Posting {
    pub async fn post(mut self) -> Outcome {
        let result = self.attempt().await;
        let wait = match &result {
            // Meta's advice for one person: 4, 16, 64 seconds ...
            Err(SendError::NotSent { code, .. }) if *code == FailureCode::PairLimited => {
                backoff::of_a_pair(self.message.attempts)
            }
            Err(SendError::NotSent { after, .. }) => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
                backoff::wait(
                    failures.min(u32::from(self.message.attempts.unsigned_abs())),
                    *after,
                    crate::random::jitter(),
                )
            }
            _ => {
                self.failures.store(0, Ordering::Relaxed);
                Duration::ZERO
            }
        };
        Outcome {
            id: self.message.id,
            account: self.account,
            fence: self.message.fence,
            log: self.message.log_id,
            result,
            wait,
            counts_people: matches!(self.way, Way::Meta(_)),
        }
    }

    async fn attempt(&mut self) -> Result<Accepted, SendError> {
        let version = self.version.as_deref();
        let Said { to, text, template } = Said::by(&self.message, version, self.media.is_some())?;
        let message = TextMessage {
            to,
            text,
            media: self.media.clone(),
            own_ref: self.message.own_ref.clone(),
            quoted: self.message.quoted.clone(),
            template,
        };
        // Nothing has left yet: a process that slept too long sends nothing.
        if Instant::now() > self.start_before {
            return Err(not_ready(HELD_UP));
        }
        let (company, id) = (self.message.company_id.0, self.message.id.0);
        tap::of_message(company, id, self.way.send(message, self.push.take())).await
    }
}

/// What a begun message says, and to whom.
pub(super) struct Said {
    pub to: String,
    pub text: String,
    pub template: Option<TemplateCall>,
}

impl Said {
    /// `has_file`: the file of the message is at hand. Why it cannot go is an outcome.
    pub fn by(
        message: &Begun,
        version: Option<&Version>,
        has_file: bool,
    ) -> Result<Self, SendError> {
        let Some(to) = message.number.clone() else {
            return Err(SendError::Refused {
                code: FailureCode::InvalidNumber,
                reason: "The message has no number to go to.".to_owned(),
            });
        };
        let (text, template) = match (version, &message.text) {
            (Some(version), _) => version.of(&values(&message.field_values)),
            (None, Some(text)) => (text.clone(), None),
            (None, None) => return Err(not_ready("the text of the message could not be read")),
        };
        if !has_file && message.media_id.is_some() {
            return Err(not_ready("the file of the message could not be read"));
        }
        if has_file && template.is_none() && merge::length(&text) > merge::CAPTION_MAX {
            return Err(SendError::Refused {
                code: FailureCode::MediaRejected,
                reason: format!(
                    "With this person's values the text under the file has {} characters; WhatsApp takes at most {}.",
                    merge::length(&text),
                    merge::CAPTION_MAX
                ),
            });
        }
        Ok(Self { to, text, template })
    }
}

/// The values of a message as they are stored.
pub(super) fn values(stored: &serde_json::Value) -> Values {
    stored
        .as_object()
        .map(|object| {
            object
                .iter()
                .filter_map(|(key, value)| {
                    value.as_str().map(|value| (key.clone(), value.to_owned()))
                })
                .collect()
        })
        .unwrap_or_default()
}

pub(super) fn not_ready(reason: &str) -> SendError {
    SendError::NotSent {
        after: None,
        code: FailureCode::Unreachable,
        reason: reason.to_owned(),
    }
}
