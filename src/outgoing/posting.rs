//! One request: composing what a begun message says, and the call itself.
//!
//! Invariant: nothing leaves after the moment until which it may start, by a monotonic clock. Knows no
//! queue; what became of it is an [`Outcome`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::backoff;
use super::begin::Begun;
use super::record::Outcome;
use super::way::Way;
use crate::gateways::webhook::Push;
use crate::gateways::{Accepted, Attachment, FailureCode, SendError, TextMessage};
use crate::ids::AccountId;
use crate::text::merge::{self, Parts, Values, compose};

/// Why a request was not started: nothing had left when its moment was over.
pub(super) const HELD_UP: &str = "this process was held up and did not start the request in time";

/// One request.
pub(super) struct Posting {
    pub account: AccountId,
    pub way: Way,
    /// What a flow gets to know; none where no flow is.
    pub push: Option<Push>,
    pub parts: Option<Arc<Parts>>,
    pub message: Begun,
    pub media: Option<Attachment>,
    pub start_before: Instant,
    pub failures: Arc<AtomicU32>,
}

impl Posting {
    pub async fn post(mut self) -> Outcome {
        let result = self.attempt().await;
        let wait = match &result {
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
        }
    }

    async fn attempt(&mut self) -> Result<Accepted, SendError> {
        let Some(number) = self.message.number.clone() else {
            return Err(SendError::Refused {
                code: FailureCode::InvalidNumber,
                reason: "The message has no number to go to.".to_owned(),
            });
        };
        let text = match (&self.parts, &self.message.text) {
            (Some(parts), _) => compose(parts, &values(&self.message.field_values)),
            (None, Some(text)) => text.clone(),
            (None, None) => return Err(not_ready("the text of the message could not be read")),
        };
        if self.media.is_none() && self.message.media_id.is_some() {
            return Err(not_ready("the file of the message could not be read"));
        }
        if self.media.is_some() && merge::length(&text) > merge::CAPTION_MAX {
            return Err(SendError::Refused {
                code: FailureCode::MediaRejected,
                reason: format!(
                    "With this person's values the text under the file has {} characters; WhatsApp takes at most {}.",
                    merge::length(&text),
                    merge::CAPTION_MAX
                ),
            });
        }
        let message = TextMessage {
            to: number,
            text,
            media: self.media.clone(),
            own_ref: self.message.own_ref.clone(),
            quoted: self.message.quoted.clone(),
        };
        // Nothing has left yet: a process that slept too long sends nothing.
        if Instant::now() > self.start_before {
            return Err(not_ready(HELD_UP));
        }
        self.way.send(message, self.push.take()).await
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
