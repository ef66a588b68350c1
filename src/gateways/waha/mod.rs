//! WAHA (WhatsApp HTTP API) as it answers: one session at one address.
//!
//! Facts are from runs of WAHA 2024.10 to 2026.7 and its documentation. Invariant: only an answer that
//! proves it makes a message *not sent* or *refused*; a 2xx without an id and every 5xx are uncertain.

pub mod chats;
pub mod classify;
pub mod events;
pub mod person;
pub mod session;

use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use super::http::{Credentials, Failure, Http, Kind, Reply, TOTAL_MEDIA};
use super::{
    Accepted, Attachment, Check, FailureCode, Rank, SendError, Source, TextMessage, shortened,
};

const CHECK: Duration = Duration::from_secs(15);

/// Where a session is, and what opens it.
#[derive(Debug, Clone)]
pub struct WahaAddress {
    pub base_url: Url,
    pub api_key: Option<SecretString>,
    /// For a proxy in front of WAHA that asks.
    pub basic: Option<(String, SecretString)>,
    pub session: String,
}

/// A client of one session.
#[derive(Clone)]
pub struct Waha {
    http: Http,
    address: WahaAddress,
    credentials: Credentials,
    /// What stands behind a link is not shown.
    plain_links: bool,
}

/// What answers, from `GET /api/server/version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub version: String,
    pub engine: String,
}

impl Version {
    /// Message ids of our own: from 2026.4.3, engines NOWEB and GOWS.
    pub fn has_own_ids(&self) -> bool {
        self.has_own_ids_engine() && self.is_at_least([2026, 4, 3])
    }

    /// Whether a newer version of this engine has them.
    pub fn has_own_ids_engine(&self) -> bool {
        matches!(self.engine.as_str(), "NOWEB" | "GOWS")
    }

    pub fn is_at_least(&self, version: [u32; 3]) -> bool {
        self.numbers() >= version
    }

    fn numbers(&self) -> [u32; 3] {
        let mut numbers = self
            .version
            .split('.')
            .map(|part| part.parse().unwrap_or(0));
        std::array::from_fn(|_| numbers.next().unwrap_or(0))
    }
}

/// A message found in the gateway's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub rank: Option<Rank>,
}

impl Waha {
    pub fn new(http: Http, address: WahaAddress) -> Self {
        let credentials = Credentials {
            api_key: address.api_key.clone(),
            basic: address.basic.clone(),
            bearer: None,
        };
        Self {
            http,
            address,
            credentials,
            plain_links: false,
        }
    }

    /// The same, with or without a preview of links.
    pub fn previewing(self, links: bool) -> Self {
        Self {
            plain_links: !links,
            ..self
        }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.address.base_url.clone();
        url.set_path(&format!(
            "{}{path}",
            self.address.base_url.path().trim_end_matches('/')
        ));
        url
    }

    /// Sends a message, with its file where it has one.
    pub async fn send(&self, message: &TextMessage) -> Result<Accepted, SendError> {
        match &message.media {
            Some(media) => self.send_media(message, media).await,
            None => self.send_text(message).await,
        }
    }

    /// A file with its caption. These calls take no message id of our own.
    async fn send_media(
        &self,
        message: &TextMessage,
        media: &Attachment,
    ) -> Result<Accepted, SendError> {
        let path = match media.kind {
            "image" => "/api/sendImage",
            "video" => "/api/sendVideo",
            "voice" if message.text.is_empty() => "/api/sendVoice",
            "voice" => return Err(super::voice_with_words()),
            _ => "/api/sendFile",
        };
        let mut body = json!({
            "session": self.address.session,
            "chatId": chat_id(&message.to),
        });
        if !message.text.is_empty() {
            body["caption"] = json!(message.text);
        }
        if let Some(quoted) = &message.quoted {
            body["reply_to"] = json!(quoted);
        }
        if media.kind == "video" {
            // What WhatsApp plays is checked at the upload; converting takes longer than a request may.
            body["convert"] = json!(false);
            body["asNote"] = json!(false);
        }
        if media.kind == "voice" {
            // A phone plays Ogg with Opus as it is; of other sound WAHA makes that.
            body["convert"] = json!(!media.mime.starts_with("audio/ogg"));
        }
        let mut file = json!({ "mimetype": media.mime });
        // WAHA describes no name for a voice note by its address, and wants one for its bytes.
        if media.kind != "voice" || matches!(media.source, Source::Inside(_)) {
            file["filename"] = json!(media.file_name);
        }
        let pieces = match &media.source {
            Source::Uploaded(_) => return Err(super::changed_meanwhile()),
            Source::Link(url) => {
                file["url"] = json!(url);
                body["file"] = file;
                vec![Bytes::from(body.to_string())]
            }
            Source::Inside(data) => {
                // The file stands last, so that its bytes go between two pieces of JSON as they are.
                let (body, file) = (body.to_string(), file.to_string());
                let opening = format!(
                    "{},\"file\":{},\"data\":\"",
                    body.trim_end_matches('}'),
                    file.trim_end_matches('}')
                );
                vec![
                    Bytes::from(opening),
                    data.clone(),
                    Bytes::from_static(b"\"}}"),
                ]
            }
        };
        match self
            .http
            .post_pieces(self.url(path), &self.credentials, pieces, TOTAL_MEDIA)
            .await
        {
            Ok(reply) => classify::sent(&reply),
            Err(failure) => Err(classify::failed(failure)),
        }
    }

    pub async fn send_text(&self, message: &TextMessage) -> Result<Accepted, SendError> {
        let mut body = json!({
            "session": self.address.session,
            "chatId": chat_id(&message.to),
            "text": message.text,
        });
        if let Some(id) = &message.own_ref {
            body["id"] = json!(id);
        }
        if self.plain_links {
            body["linkPreview"] = json!(false);
        }
        if let Some(quoted) = &message.quoted {
            body["reply_to"] = json!(quoted);
        }
        match self
            .http
            .post_json(self.url("/api/sendText"), &self.credentials, &body)
            .await
        {
            Ok(reply) => classify::sent(&reply),
            Err(failure) => Err(classify::failed(failure)),
        }
    }

    pub async fn version(&self) -> Result<Version, SendError> {
        let reply = self.ask("/api/server/version").await?;
        version_of(&reply).ok_or_else(|| SendError::AccountStop {
            code: FailureCode::BadResponse,
            reason: "What answers at this address is not WAHA.".to_owned(),
        })
    }

    /// A message id of our own, to be sent along. A wasted one costs nothing.
    pub async fn new_message_id(&self) -> Result<String, SendError> {
        let reply = self
            .ask(&format!("/api/{}/new-message-id", self.address.session))
            .await?;
        reply
            .json()
            .and_then(|body| body["id"].as_str().map(str::to_owned))
            .filter(|id| !id.is_empty())
            .ok_or_else(|| SendError::NotSent {
                after: None,
                code: FailureCode::BadResponse,
                reason: "WAHA answered without a message id.".to_owned(),
            })
    }

    /// Looks a message up by its id; `None`: the store does not know it.
    pub async fn look_up(&self, to: &str, id: &str) -> Result<Option<Sighting>, SendError> {
        let mut url = self.url(&format!(
            "/api/{}/chats/{}/messages/{id}",
            self.address.session,
            chat_id(to)
        ));
        url.set_query(Some("downloadMedia=false"));
        let reply = self
            .http
            .get(url, &self.credentials)
            .await
            .map_err(classify::failed)?;
        match (reply.status, reply.json()) {
            (200, Some(body)) => Ok(Some(Sighting {
                rank: body["ack"].as_i64().map(events::rank),
            })),
            (404, _) => Ok(None),
            _ => Err(classify::asked(&reply)),
        }
    }

    /// A question: nothing is sent by it, so every failure is *not sent* or stops the account.
    async fn ask(&self, path: &str) -> Result<Reply, SendError> {
        let reply = self
            .http
            .get(self.url(path), &self.credentials)
            .await
            .map_err(|failure| {
                let (kind, reason) = match failure {
                    Failure::NotSent { kind, reason } | Failure::Ambiguous { kind, reason } => {
                        (kind, reason)
                    }
                };
                SendError::NotSent {
                    after: None,
                    code: classify::code_of(kind),
                    reason,
                }
            })?;
        if (200..300).contains(&reply.status) {
            Ok(reply)
        } else {
            Err(classify::asked(&reply))
        }
    }

    /// *Test WAHA Credentials*: reachable, WAHA, key, session, number; stops where the rest is pointless.
    pub async fn test(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let ping = self
            .http
            .get_within(
                self.url("/ping"),
                &Credentials {
                    api_key: None,
                    ..self.credentials.clone()
                },
                CHECK,
            )
            .await;
        if let Err(failure) = ping {
            checks.push(bad(
                "reachable",
                unreachable(&failure, &self.address.base_url, CHECK),
            ));
            return checks;
        }
        checks.push(good(
            "reachable",
            format!(
                "{} answers.",
                self.address.base_url.host_str().unwrap_or_default()
            ),
        ));
        let version = match self
            .http
            .get_within(self.url("/api/server/version"), &self.credentials, CHECK)
            .await
        {
            Err(failure) => {
                checks.push(bad(
                    "reachable",
                    unreachable(&failure, &self.address.base_url, CHECK),
                ));
                return checks;
            }
            Ok(reply) => match (reply.status, version_of(&reply)) {
                (401 | 403, _) => {
                    checks.push(bad("key", "WAHA does not accept the API key. Copy it again from WAHA's settings (WAHA_API_KEY).".to_owned()));
                    return checks;
                }
                (_, Some(version)) => version,
                (status, None) => {
                    checks.push(bad("waha", format!("What answers at this address is not WAHA (it answered {status}). Check the address and the port.")));
                    return checks;
                }
            },
        };
        checks.push(good(
            "waha",
            format!("WAHA {} with engine {}.", version.version, version.engine),
        ));
        checks.push(good("key", self.key_words().await));
        checks.extend(self.session_checks().await);
        checks
    }

    /// Whether a key is needed at all: an open WAHA can be used by anybody who finds it.
    async fn key_words(&self) -> String {
        let nobody = Credentials {
            api_key: None,
            ..self.credentials.clone()
        };
        let open = self
            .http
            .get_within(self.url("/api/server/version"), &nobody, CHECK)
            .await
            .is_ok_and(|reply| reply.status == 200);
        if open {
            "Warning: WAHA answers without a key, so anybody who reaches it can send in your name. Set WAHA_API_KEY.".to_owned()
        } else {
            "The API key is accepted.".to_owned()
        }
    }

    async fn session_checks(&self) -> Vec<Check> {
        let name = &self.address.session;
        let reply = match self
            .http
            .get_within(
                self.url(&format!("/api/sessions/{name}")),
                &self.credentials,
                CHECK,
            )
            .await
        {
            Ok(reply) => reply,
            Err(failure) => {
                return vec![bad(
                    "session",
                    unreachable(&failure, &self.address.base_url, CHECK),
                )];
            }
        };
        let Some(body) = reply.json().filter(|_| reply.status == 200) else {
            return vec![bad(
                "session",
                format!(
                    "WAHA has no session called “{name}”. Correct Phone Number ID (WAHA), or create the session in WAHA."
                ),
            )];
        };
        let status = body["status"].as_str().unwrap_or("unknown");
        let advice = match status {
            "WORKING" => {
                let number = body["me"]["id"]
                    .as_str()
                    .map(|id| id.split(['@', ':']).next().unwrap_or(id).to_owned());
                let number = match number {
                    Some(number) => good("number", format!("Connected as +{number}.")),
                    None => good("number", "Connected.".to_owned()),
                };
                return vec![
                    good("session", format!("Session “{name}” is working.")),
                    number,
                ];
            }
            "SCAN_QR_CODE" => "Under Session, scan the QR code with the phone.",
            "STARTING" => "It is starting. Try again in a minute.",
            "STOPPED" => "Press Start session.",
            "FAILED" => "Press Restart session and scan the QR code again.",
            _ => "Look at it in WAHA.",
        };
        vec![bad(
            "session",
            format!("Session “{name}” is not working: its status is {status}. {advice}"),
        )]
    }
}

/// What WAHA sends to: digits become a chat of one person.
fn chat_id(to: &str) -> String {
    if to.contains('@') {
        to.to_owned()
    } else {
        format!("{to}@c.us")
    }
}

fn version_of(reply: &Reply) -> Option<Version> {
    let body: Value = reply.json().filter(|_| reply.status == 200)?;
    Some(Version {
        version: body["version"].as_str()?.to_owned(),
        engine: body["engine"].as_str().unwrap_or_default().to_owned(),
    })
}

fn good(name: &'static str, message: String) -> Check {
    Check {
        name,
        ok: true,
        message,
    }
}

fn bad(name: &'static str, message: String) -> Check {
    Check {
        name,
        ok: false,
        message,
    }
}

/// Why nothing was reached, and what to do.
fn unreachable(failure: &Failure, url: &Url, within: Duration) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let (Failure::NotSent { kind, reason } | Failure::Ambiguous { kind, reason }) = failure;
    match kind {
        Kind::Dns => format!("The name {host} is not known. Check the spelling of the address."),
        Kind::Connect => format!(
            "Nothing listens at {host} port {port}. Is WAHA running, and is the port right?"
        ),
        Kind::Tls => format!(
            "{host} does not answer with a valid https certificate. If WAHA has none, begin the address with http://."
        ),
        Kind::Timeout => format!(
            "{host} did not answer within {} seconds. Check the address and the firewall.",
            within.as_secs()
        ),
        Kind::Address => shortened(reason),
        Kind::Broken | Kind::TooLarge => {
            format!("{host} answers, but not in HTTP: {}", shortened(reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_come_with_a_version_and_an_engine() {
        let has = |version: &str, engine: &str| {
            Version {
                version: version.into(),
                engine: engine.into(),
            }
            .has_own_ids()
        };
        assert!(has("2026.4.3", "NOWEB") && has("2026.7.1", "GOWS") && has("2027.1.0", "NOWEB"));
        assert!(!has("2026.4.2", "NOWEB") && !has("2026.7.1", "WEBJS") && !has("", "NOWEB"));
    }

    #[test]
    fn digits_become_a_chat_and_other_addresses_stay() {
        assert_eq!(chat_id("628123"), "628123@c.us");
        assert_eq!(chat_id("123@lid"), "123@lid");
    }
}
