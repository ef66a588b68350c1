//! The events a flow posts, signed: what became of messages, and messages from people.
//!
//! Invariants: a post is read whole or refused whole, with a sentence that names the event at fault; every event
//! has an id of its own, by which it counts once.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::waha::events::{IncomingMessage, stanza};
use super::super::{Rank, redact};
use super::events::{self, Report};

/// Events of one post.
pub const AT_MOST: usize = 1000;
const ID_MAX: usize = 200;

/// What a flow posts.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowEvents {
    /// At most 1,000.
    #[schema(value_type = Vec<FlowEvent>)]
    pub events: Vec<Value>,
}

/// One event: what became of a message (`status` with `sent_id` or `provider_id`), or with `kind` `incoming` a
/// message from a person (`from` with `text` or `media`).
#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FlowEvent {
    /// The event's own: the same id counts once.
    #[schema(value_type = String, required = true, example = "exec-1718-42")]
    id: Value,
    /// `incoming`, or `status` (the default).
    #[schema(example = "status")]
    kind: String,
    /// The message's id, as the push named it in `contact`.
    #[schema(value_type = Option<i64>, example = 42)]
    sent_id: Value,
    /// `accepted`, `sent`, `delivered`, `read` or `failed`.
    #[schema(example = "sent")]
    status: String,
    /// WhatsApp's id of the message: later receipts may name it alone.
    #[schema(example = "true_6281234567890@c.us_3EB0C767D26A1B2E3F")]
    provider_id: Option<String>,
    /// When it happened.
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<String>,
    /// Why it failed.
    error: Option<String>,
    /// Who wrote: digits, or WhatsApp's address of the chat.
    from: Option<String>,
    /// The account's own number.
    to: Option<String>,
    name: Option<String>,
    text: Option<String>,
    /// Content type of the file that came along.
    media: Option<String>,
    /// WhatsApp's id of the message that this one answers.
    reply_to: Option<String>,
}

/// What an event means.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    Status {
        sent_id: Option<i64>,
        provider_id: Option<String>,
        rank: Rank,
        failure: Option<String>,
        at: Option<DateTime<Utc>>,
    },
    Incoming(Box<IncomingMessage>),
}

impl News {
    /// What the inbox calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Status { .. } => "flow.status",
            Self::Incoming(_) => "flow.incoming",
        }
    }

    /// The report of a status that names our message.
    pub fn report(&self) -> Option<Report> {
        match self {
            Self::Status {
                sent_id: Some(sent_id),
                provider_id,
                rank,
                failure,
                ..
            } => Some(Report {
                sent_id: *sent_id,
                rank: *rank,
                provider_id: provider_id.clone(),
                failure: failure.clone(),
            }),
            _ => None,
        }
    }
}

/// The events of a post, each as it stands; or what to change.
pub fn split(body: &[u8]) -> Result<Vec<(String, News, Value)>, String> {
    let not_events = |error| format!("The body is not a list of events: {error}.");
    let mut body: Value = serde_json::from_slice(body).map_err(not_events)?;
    // One letter that PostgreSQL cannot hold would turn away everybody's events of that moment.
    super::super::without_nul(&mut body);
    let post: FlowEvents = serde_json::from_value(body).map_err(not_events)?;
    if post.events.is_empty() || post.events.len() > AT_MOST {
        return Err(format!("Send 1 to {AT_MOST} events in a post."));
    }
    let mut all = Vec::with_capacity(post.events.len());
    for (n, event) in post.events.into_iter().enumerate() {
        let (id, news) = read(&event).map_err(|fault| format!("Event {}: {fault}", n + 1))?;
        all.push((id, news, event));
    }
    Ok(all)
}

/// One event and its id.
pub fn read(event: &Value) -> Result<(String, News), String> {
    let event: FlowEvent =
        serde_json::from_value(event.clone()).map_err(|error| format!("{error}."))?;
    let id = match &event.id {
        Value::String(id) => id.trim().to_owned(),
        Value::Number(id) => id.to_string(),
        _ => String::new(),
    };
    if id.is_empty() || id.len() > ID_MAX {
        return Err(format!(
            "give it an id of its own, of at most {ID_MAX} letters."
        ));
    }
    let at = match event
        .at
        .as_deref()
        .map(str::trim)
        .filter(|at| !at.is_empty())
    {
        None => None,
        Some(at) => match DateTime::parse_from_rfc3339(at) {
            Ok(at) => Some(at.with_timezone(&Utc)),
            Err(_) => {
                return Err(
                    "“at” is an RFC 3339 time such as 2026-11-24T10:00:00+07:00.".to_owned(),
                );
            }
        },
    };
    let news = match event.kind.as_str() {
        "" | "status" => status(&event, at)?,
        "incoming" => incoming(&event, &id, at)?,
        _ => return Err("“kind” is status or incoming.".to_owned()),
    };
    Ok((id, news))
}

fn status(event: &FlowEvent, at: Option<DateTime<Utc>>) -> Result<News, String> {
    let rank = match event.status.as_str() {
        "accepted" => Rank::Pending,
        "sent" => Rank::Sent,
        "delivered" => Rank::Delivered,
        "read" => Rank::Read,
        "failed" => Rank::Failed,
        _ => return Err("“status” is accepted, sent, delivered, read or failed.".to_owned()),
    };
    let provider_id = event
        .provider_id
        .as_deref()
        .map(|id| stanza(id.trim()).to_owned())
        .filter(|id| !id.is_empty() && id.len() <= ID_MAX);
    let sent_id = events::id(&event.sent_id);
    if sent_id.is_none() && provider_id.is_none() {
        return Err("name the message: sent_id as the push gave it, or provider_id.".to_owned());
    }
    let failure = (rank == Rank::Failed).then(|| {
        let words = event.error.as_deref().unwrap_or_default().trim();
        let words = if words.is_empty() {
            "no reason given"
        } else {
            words
        };
        redact::words(&format!("The flow reported a failure: {words}"), &[])
    });
    Ok(News::Status {
        sent_id,
        provider_id,
        rank,
        failure,
        at,
    })
}

fn incoming(event: &FlowEvent, id: &str, at: Option<DateTime<Utc>>) -> Result<News, String> {
    let has = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
    if !has(&event.from) || !(has(&event.text) || has(&event.media)) {
        return Err("a message from a person has from, and text or media.".to_owned());
    }
    // The same reading as of the older callback.
    let older = json!({ "from": event.from, "name": event.name, "body": event.text, "message_id": event.provider_id,
        "hasmedia": has(&event.media), "type": event.media, "reply_to": event.reply_to });
    let message = events::incoming(&older, id).map(|message| IncomingMessage {
        sent_at: at,
        ..message
    });
    message
        .map(|message| News::Incoming(Box::new(message)))
        .ok_or_else(|| "“from” is a number or WhatsApp's address of a chat.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::waha::events::Sender;
    use super::*;

    #[test]
    fn a_status_names_its_message_and_a_person_s_message_its_sender() {
        let body = json!({ "events": [
            { "id": "a", "sent_id": "42", "status": "failed", "error": "boom at /home/node/x.js", "provider_id": "true_1@c.us_3EB0A" },
            { "id": 7, "provider_id": "3EB0B", "status": "read", "at": "2026-11-24T10:00:00+07:00" },
            { "id": "c", "kind": "incoming", "from": "6281234@c.us", "to": "628111", "text": "STOP", "name": "Budi" },
        ] });
        let all = split(body.to_string().as_bytes()).unwrap();
        let report = all[0].1.report().unwrap();
        assert_eq!(
            (report.sent_id, report.rank, report.provider_id.as_deref()),
            (42, Rank::Failed, Some("3EB0A"))
        );
        assert_eq!(
            report.failure.as_deref(),
            Some("The flow reported a failure: boom at …")
        );
        assert_eq!((all[1].0.as_str(), all[1].1.report()), ("7", None));
        let News::Incoming(message) = &all[2].1 else {
            panic!()
        };
        assert_eq!(message.sender, Sender::Phone("6281234".into()));
        assert_eq!(
            (message.stanza.as_str(), message.text.as_deref()),
            ("flow-c", Some("STOP"))
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_whole_with_a_sentence() {
        let good = json!({ "id": "a", "sent_id": 1, "status": "sent" });
        for (bad, word) in [
            (json!({ "sent_id": 1, "status": "sent" }), "id of its own"),
            (
                json!({ "id": "x".repeat(201), "sent_id": 1, "status": "sent" }),
                "id of its own",
            ),
            (
                json!({ "id": "b", "sent_id": 1, "status": "gone" }),
                "“status” is",
            ),
            (json!({ "id": "b", "status": "sent" }), "name the message"),
            (
                json!({ "id": "b", "sent_id": -4, "status": "sent" }),
                "name the message",
            ),
            (
                json!({ "id": "b", "sent_id": 1, "status": "sent", "at": "yesterday" }),
                "RFC 3339",
            ),
            (json!({ "id": "b", "kind": "other" }), "“kind” is"),
            (
                json!({ "id": "b", "kind": "incoming", "text": "Hi" }),
                "has from",
            ),
            (
                json!({ "id": "b", "kind": "incoming", "from": "628" }),
                "text or media",
            ),
            (
                json!({ "id": "b", "sentid": 1, "status": "sent" }),
                "unknown field",
            ),
            (json!("b"), "Event 2"),
        ] {
            let body = json!({ "events": [good.clone(), bad] });
            let fault = split(body.to_string().as_bytes()).unwrap_err();
            assert!(fault.contains(word) && fault.contains("Event 2"), "{fault}");
        }
        for body in [
            "",
            "[]",
            "{}",
            r#"{"events":[]}"#,
            r#"{"events":[],"token":"x"}"#,
        ] {
            assert!(split(body.as_bytes()).is_err(), "{body}");
        }
        let many = json!({ "events": vec![good; AT_MOST + 1] });
        assert!(
            split(many.to_string().as_bytes())
                .unwrap_err()
                .contains("1 to 1000")
        );
    }
}
