//! Meta's Cloud API as it answers: one business number.
//!
//! Facts are from Meta's documentation and OpenAPI document (v23.0 to v26.0). Invariants: a version is
//! always named; an error body of Meta's is an answer whatever its status, and decided by its code
//! (`reactions.rs`); a 2xx without a message id, and whatever is not Meta's, is uncertain. A 200 means
//! *accepted*: what became of the message comes by webhook. The token stands in a header, never in an address.

pub mod account;
pub mod events;
pub mod media;
pub mod message;
mod notices;
pub mod reactions;
pub mod sample;
pub mod templates;
mod words;

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::http::{Credentials, Failure, Http, Reply, TOTAL, TOTAL_MEDIA};
use super::{Accepted, FailureCode, SendError, TextMessage};
use reactions::MetaError;

/// Where Meta is, unless an account says otherwise (a proxy, a rehearsal).
const GRAPH: &str = "https://graph.facebook.com";
/// The Graph API version of an account that names none; from 29 July 2026.
pub const VERSION: &str = "v26.0";
const CHECK: Duration = Duration::from_secs(15);

/// Which number, and what opens it.
#[derive(Debug, Clone)]
pub struct MetaAddress {
    /// With the version as its last part.
    pub base: Url,
    pub token: Option<SecretString>,
    /// The Phone Number ID.
    pub phone_uid: String,
    /// The id of the WhatsApp Business Account.
    pub account_uid: String,
}

/// A client of one number.
#[derive(Clone)]
pub struct Meta {
    http: Http,
    address: MetaAddress,
    credentials: Credentials,
    /// Marketing templates go through Meta's own call for them.
    by_marketing_call: bool,
}

/// The address of the Graph API with its version: as typed, with what is missing.
pub fn base(typed: &str) -> Result<Url, url::ParseError> {
    let typed = typed.trim().trim_end_matches('/');
    let mut url = Url::parse(if typed.is_empty() { GRAPH } else { typed })?;
    let last = url.path().rsplit('/').next().unwrap_or_default();
    if !is_version(last) {
        let path = format!("{}/{VERSION}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    url.set_query(None);
    Ok(url)
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits(major) && digits(minor)
        })
}

impl Meta {
    pub fn new(http: Http, address: MetaAddress) -> Self {
        let credentials = Credentials {
            bearer: address.token.clone(),
            ..Credentials::default()
        };
        Self {
            http,
            address,
            credentials,
            by_marketing_call: false,
        }
    }

    /// Whether marketing templates go through `marketing_messages`, which takes no others and asks for its
    /// terms to be signed.
    pub fn by_marketing_call(self, is_so: bool) -> Self {
        Self {
            by_marketing_call: is_so,
            ..self
        }
    }

    /// Which call takes a message.
    fn call_for(&self, message: &TextMessage) -> &'static str {
        match &message.template {
            Some(template) if self.by_marketing_call && template.marketing => "marketing_messages",
            _ => "messages",
        }
    }

    /// The address of `path` under the version, its parts escaped.
    fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.address.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    /// Sends a message: a template where it has one, else its text or file.
    pub async fn send(&self, message: &TextMessage) -> Result<Accepted, SendError> {
        let body = message::body(message)?;
        let url = self.url(&[&self.address.phone_uid, self.call_for(message)]);
        let within = if message.media.is_some() {
            TOTAL_MEDIA
        } else {
            TOTAL
        };
        let body = body.to_string().into_bytes();
        match self
            .http
            .post_within(url, &self.credentials, body, &[], within)
            .await
        {
            Ok(reply) => sent(&reply),
            Err(failure) => Err(failed(failure)),
        }
    }

    /// Uploads a file for messages of this number; the id holds for 30 days.
    pub async fn upload(&self, mime: &str, name: &str, bytes: &[u8]) -> Result<String, SendError> {
        let (content_type, body) = message::upload(mime, name, bytes);
        let url = self.url(&[&self.address.phone_uid, "media"]);
        let headers = [("Content-Type", content_type)];
        let reply = self
            .http
            .post_within(url, &self.credentials, body, &headers, TOTAL_MEDIA)
            .await
            .map_err(asked_in_vain)?;
        match answer(&reply)?["id"].as_str() {
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(SendError::NotSent {
                after: None,
                code: FailureCode::BadResponse,
                reason: "Meta took the file but answered without an id.".to_owned(),
            }),
        }
    }

    /// A question: the answer's JSON.
    async fn get(&self, parts: &[&str], query: &[(&str, &str)]) -> Result<Value, SendError> {
        let mut url = self.url(parts);
        url.query_pairs_mut().extend_pairs(query);
        let reply = self
            .http
            .get_within(url, &self.credentials, CHECK)
            .await
            .map_err(asked_in_vain)?;
        answer(&reply)
    }

    /// A change that sends nothing to anybody.
    async fn post(&self, parts: &[&str], body: &Value) -> Result<Value, SendError> {
        let url = self.url(parts);
        let body = body.to_string().into_bytes();
        let reply = self
            .http
            .post_within(url, &self.credentials, body, &[], CHECK)
            .await
            .map_err(asked_in_vain)?;
        answer(&reply)
    }
}

/// What became of a request that was answered.
fn sent(reply: &Reply) -> Result<Accepted, SendError> {
    let body = reply.json();
    if let Some(error) = body
        .as_ref()
        .and_then(|body| MetaError::read(&body["error"]))
    {
        return Err(error.into_outcome(reply));
    }
    let first = body.as_ref().map(|body| &body["messages"][0]);
    let id = first.and_then(|first| first["id"].as_str());
    let standing = first.and_then(|first| first["message_status"].as_str());
    match (reply.status, id) {
        (200..=299, Some(id)) if !id.is_empty() => Ok(Accepted {
            provider_id: Some(id.to_owned()),
            // It may be sent later, or fail: a status says so.
            held: matches!(standing, Some("held_for_quality_assessment" | "paused")),
        }),
        (200..=299, _) => Err(SendError::Uncertain {
            code: FailureCode::BadResponse,
            reason: "Meta took the request but answered without a message id.".to_owned(),
        }),
        (429, _) => Err(SendError::NotSent {
            after: reply.retry_after,
            code: FailureCode::RateLimited,
            reason: without_words(reply.status),
        }),
        (401 | 403 | 404, _) => Err(SendError::AccountStop {
            code: FailureCode::GatewayError,
            reason: without_words(reply.status),
        }),
        (status, _) => Err(SendError::Uncertain {
            code: FailureCode::GatewayError,
            reason: without_words(status),
        }),
    }
}

/// The answer to a question or a change: nothing was sent by it, whatever it is.
fn answer(reply: &Reply) -> Result<Value, SendError> {
    let body = reply.json();
    if let Some(error) = body
        .as_ref()
        .and_then(|body| MetaError::read(&body["error"]))
    {
        return Err(match error.into_outcome(reply) {
            SendError::Uncertain { code, reason } => SendError::NotSent {
                after: None,
                code,
                reason,
            },
            other => other,
        });
    }
    match body {
        Some(body) if (200..=299).contains(&reply.status) => Ok(body),
        _ => Err(SendError::NotSent {
            after: reply.retry_after,
            code: FailureCode::BadResponse,
            reason: without_words(reply.status),
        }),
    }
}

fn without_words(status: u16) -> String {
    format!(
        "What answered ({status}) does not speak as Meta does. Is the address of the Graph API right?"
    )
}

fn failed(failure: Failure) -> SendError {
    super::waha::classify::failed(failure)
}

/// A question that was not answered: nothing was sent by it.
fn asked_in_vain(failure: Failure) -> SendError {
    let (Failure::NotSent { kind, reason } | Failure::Ambiguous { kind, reason }) = failure;
    SendError::NotSent {
        after: None,
        code: super::waha::classify::code_of(kind),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_gets_the_version_that_is_missing() {
        let base = |typed: &str| base(typed).unwrap().to_string();
        assert_eq!(base(""), "https://graph.facebook.com/v26.0");
        assert_eq!(
            base("https://graph.facebook.com/v25.0/"),
            "https://graph.facebook.com/v25.0"
        );
        assert_eq!(base("http://127.0.0.1:3998"), "http://127.0.0.1:3998/v26.0");
        assert_eq!(
            base("https://proxy.example/graph"),
            "https://proxy.example/graph/v26.0"
        );
    }

    fn class(status: u16, body: &Value) -> &'static str {
        let reply = Reply {
            status,
            body: body.to_string().into_bytes(),
            retry_after: None,
        };
        match sent(&reply) {
            Ok(_) => "accepted",
            Err(SendError::NotSent { .. }) => "not sent",
            Err(SendError::AccountStop { .. }) => "account stop",
            Err(SendError::MailingStop { .. }) => "mailing stop",
            Err(SendError::Refused { .. }) => "refused",
            Err(SendError::Uncertain { .. }) => "uncertain",
        }
    }

    /// Code, status, class: every row of the contract's table.
    const CLASSES: &[(&[i64], &str)] = &[
        (&[1, 131_000], "uncertain"),
        (
            &[
                2, 4, 80007, 80008, 130_429, 131_016, 131_056, 131_057, 132_069, 133_004, 134_101,
            ],
            "not sent",
        ),
        (
            &[
                0, 3, 10, 33, 104, 190, 200, 250, 299, 368, 131_005, 131_031, 131_037, 131_042,
                131_045, 131_048, 131_064, 133_000, 133_005, 133_006, 133_008, 133_009, 133_010,
                133_015, 133_016, 134_011,
            ],
            "account stop",
        ),
        (
            &[
                131_055, 131_063, 132_001, 132_007, 132_015, 132_016, 132_068, 134_100, 134_102,
            ],
            "mailing stop",
        ),
        (
            &[
                100, 130_403, 130_472, 130_497, 131_008, 131_009, 131_021, 131_026, 131_030,
                131_047, 131_049, 131_050, 131_051, 131_053, 131_062, 132_000, 132_005, 132_012,
                132_018, 135_000, 137_000,
            ],
            "refused",
        ),
    ];

    #[test]
    fn every_code_has_its_class_whatever_the_status() {
        for (codes, expected) in CLASSES {
            for code in *codes {
                let body = json!({ "error": { "code": code, "message": "x", "error_data": { "details": "why" } } });
                for status in [200, 400, 401, 403, 404, 429, 500, 503] {
                    assert_eq!(class(status, &body), *expected, "{code} with {status}");
                }
            }
        }
    }

    #[test]
    fn a_code_nobody_knows_goes_by_its_status_and_what_is_not_meta_s_is_uncertain() {
        let unknown = json!({ "error": { "code": 987_654, "message": "new" } });
        assert_eq!(class(429, &unknown), "not sent");
        assert_eq!(class(500, &unknown), "uncertain");
        assert_eq!(class(400, &unknown), "refused");
        assert_eq!(class(200, &json!({ "messages": [] })), "uncertain");
        assert_eq!(class(200, &Value::Null), "uncertain");
        assert_eq!(class(502, &Value::Null), "uncertain");
        assert_eq!(class(302, &Value::Null), "uncertain");
        assert_eq!(
            class(200, &json!({ "messages": [{ "id": "wamid.X" }] })),
            "accepted"
        );
    }
}
