//! What WAHA posts to us: acknowledgements, messages, the state of a session.
//!
//! Facts from captured events: the signature is hex(HMAC-SHA512(key, raw body)); an event's identity is
//! its name and its id, for `message` and `message.any` share one id; ids are correlated on the stanza,
//! because the chat part may differ (@lid, @c.us, @s.whatsapp.net).

use chrono::{DateTime, TimeZone as _, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha512;

use super::super::Rank;

#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The event's own id; older versions have none.
    pub event_id: Option<String>,
    pub event: String,
    pub session: String,
    pub at: Option<DateTime<Utc>>,
    pub payload: Event,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Ack {
        stanza: String,
        from_me: bool,
        rank: Rank,
        /// The hidden id of the person it went to, where WhatsApp keeps the chat under it.
        lid: Option<String>,
    },
    Incoming(Box<IncomingMessage>),
    /// A message of the number itself; `by_api`: sent through WAHA.
    Own {
        stanza: String,
        by_api: bool,
        lid: Option<String>,
    },
    Session {
        status: String,
        number: Option<String>,
    },
    Ignored,
}

#[derive(Debug, Clone, PartialEq)]
pub struct IncomingMessage {
    pub stanza: String,
    /// The whole id, as a quote of this message must name it.
    pub full_id: String,
    pub sender: Sender,
    pub sender_name: Option<String>,
    pub text: Option<String>,
    /// Content type of the media it carries.
    pub media: Option<String>,
    /// Stanza of the message it answers.
    pub quoted: Option<String>,
    pub sent_at: Option<DateTime<Utc>>,
    /// Where its file can be fetched.
    pub file: Option<IncomingFile>,
    /// An emoji put on the quoted message; without a text it is taken back.
    pub is_reaction: bool,
    /// What a pressed button brings back beside its text.
    pub payload: Option<String>,
}

/// A file that the gateway keeps for some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncomingFile {
    /// The gateway's id of it.
    pub id: String,
    /// As the gateway announces it; empty where it does not.
    pub sha256: String,
    /// Of a document.
    pub name: String,
}

/// Who wrote. Only people become contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// Digits.
    Phone(String),
    /// A hidden id; the phone where the event tells it.
    Lid { lid: String, phone: Option<String> },
    /// A group, a newsletter, a status: not a person.
    NotAPerson(String),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the body is not an event of WAHA")]
pub struct NotAnEvent;

/// Whether `header` is the signature of `body` under `key`; compares in constant time.
pub fn verify(key: &[u8], body: &[u8], header: &str) -> bool {
    let Ok(claimed) = hex::decode(header.trim()) else {
        return false;
    };
    mac(key, body).is_some_and(|mac| mac.verify_slice(&claimed).is_ok())
}

/// The signature of `body` under `key`, in hexadecimal.
pub fn sign(key: &[u8], body: &[u8]) -> String {
    mac(key, body)
        .map(|mac| hex::encode(mac.finalize().into_bytes()))
        .unwrap_or_default()
}

fn mac(key: &[u8], body: &[u8]) -> Option<Hmac<Sha512>> {
    // HMAC takes keys of every length.
    let mut mac = Hmac::<Sha512>::new_from_slice(key).ok()?;
    mac.update(body);
    Some(mac)
}

/// The stanza of a full id `{true|false}_{chat}_{STANZA}[_{participant}]`, or the id itself.
pub fn stanza(id: &str) -> &str {
    if id.starts_with("true_") || id.starts_with("false_") {
        id.split('_').nth(2).unwrap_or(id)
    } else {
        id
    }
}

/// The chat of a full id, where it is a hidden id.
fn lid(id: &str) -> Option<String> {
    let chat = id.split('_').nth(1)?;
    chat.ends_with("@lid").then(|| chat.to_owned())
}

/// ERROR -1, PENDING 0, SERVER 1, DEVICE 2, READ 3, PLAYED 4.
pub fn rank(ack: i64) -> Rank {
    match ack {
        ..0 => Rank::Failed,
        0 => Rank::Pending,
        1 => Rank::Sent,
        2 => Rank::Delivered,
        3.. => Rank::Read,
    }
}

pub fn parse(body: &[u8]) -> Result<Envelope, NotAnEvent> {
    let mut body: Value = serde_json::from_slice(body).map_err(|_| NotAnEvent)?;
    super::super::without_nul(&mut body);
    let event = body["event"].as_str().ok_or(NotAnEvent)?;
    let payload = &body["payload"];
    let payload = match event {
        "message.ack" => ack(payload),
        "message" | "message.any" => Some(message(payload)),
        "session.status" => payload["status"].as_str().map(|status| Event::Session {
            status: status.to_owned(),
            number: body["me"]["id"].as_str().and_then(phone),
        }),
        _ => Some(Event::Ignored),
    };
    Ok(Envelope {
        event_id: body["id"].as_str().map(str::to_owned),
        event: event.to_owned(),
        session: body["session"].as_str().unwrap_or_default().to_owned(),
        at: body["timestamp"]
            .as_i64()
            .and_then(|at| Utc.timestamp_millis_opt(at).single()),
        payload: payload.ok_or(NotAnEvent)?,
    })
}

fn ack(payload: &Value) -> Option<Event> {
    Some(Event::Ack {
        stanza: stanza(payload["id"].as_str()?).to_owned(),
        from_me: payload["fromMe"].as_bool().unwrap_or(true),
        rank: rank(payload["ack"].as_i64()?),
        lid: payload["id"].as_str().and_then(lid),
    })
}

fn message(payload: &Value) -> Event {
    let Some(id) = payload["id"].as_str() else {
        return Event::Ignored;
    };
    let stanza_of_message = stanza(id).to_owned();
    if payload["fromMe"].as_bool().unwrap_or(false) {
        return Event::Own {
            stanza: stanza_of_message,
            by_api: payload["source"].as_str() == Some("api"),
            lid: lid(id),
        };
    }
    let Some(from) = payload["from"].as_str() else {
        return Event::Ignored;
    };
    let has_media = payload["hasMedia"].as_bool().unwrap_or(false);
    Event::Incoming(Box::new(IncomingMessage {
        stanza: stanza_of_message,
        full_id: id.to_owned(),
        sender: sender(from, payload),
        sender_name: ["notifyName", "pushName"]
            .iter()
            .find_map(|key| payload["_data"][*key].as_str())
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        text: payload["body"]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
        media: has_media.then(|| {
            payload["media"]["mimetype"]
                .as_str()
                .unwrap_or("application/octet-stream")
                .to_owned()
        }),
        quoted: payload["replyTo"]["id"]
            .as_str()
            .map(|id| stanza(id).to_owned()),
        sent_at: payload["timestamp"]
            .as_i64()
            .and_then(|at| Utc.timestamp_opt(at, 0).single()),
        file: None,
        is_reaction: false,
        payload: None,
    }))
}

/// Who stands behind an address; `payload` may tell the phone of a hidden id.
pub(in crate::gateways) fn sender(from: &str, payload: &Value) -> Sender {
    match from.split_once('@') {
        Some((_, "lid")) => Sender::Lid {
            lid: from.to_owned(),
            phone: payload["_data"]["key"]["remoteJidAlt"]
                .as_str()
                .and_then(phone),
        },
        _ => match phone(from) {
            Some(digits) => Sender::Phone(digits),
            None => Sender::NotAPerson(from.to_owned()),
        },
    }
}

/// The digits of a person's address; `None` for groups, newsletters, statuses and hidden ids.
fn phone(address: &str) -> Option<String> {
    let (user, server) = address.split_once('@').unwrap_or((address, "c.us"));
    let digits = user.split(':').next().unwrap_or(user);
    let is_phone = matches!(server, "c.us" | "s.whatsapp.net")
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_phone.then(|| digits.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_documented_signature_verifies() {
        let body = br#"{"event":"message","session":"default","engine":"WEBJS"}"#;
        let signature = sign(b"my-secret-key", body);
        assert!(signature.starts_with("208f8a55dde9e055") && signature.ends_with("76153fa89"));
        assert!(verify(b"my-secret-key", body, &signature));
        assert!(!verify(b"my-secret-kex", body, &signature));
        assert!(!verify(b"my-secret-key", &body[1..], &signature));
        assert!(!verify(b"my-secret-key", body, ""));
    }

    #[test]
    fn ids_are_correlated_on_the_stanza() {
        assert_eq!(stanza("true_5511@c.us_3EB0"), "3EB0");
        assert_eq!(stanza("true_1@g.us_3EB0_99@c.us"), "3EB0");
        assert_eq!(stanza("3EB0"), "3EB0");
    }

    #[test]
    fn a_receipt_may_tell_the_hidden_id_of_a_person() {
        assert_eq!(lid("true_99@lid_3EB0").as_deref(), Some("99@lid"));
        for other in ["true_5511@c.us_3EB0", "true_1@g.us_3EB0_99@lid", "3EB0"] {
            assert_eq!(lid(other), None, "{other}");
        }
    }

    #[test]
    fn people_groups_and_hidden_ids_are_told_apart() {
        let from = |from: &str| {
            let body = json!({"event": "message.any", "payload": {"id": format!("false_{from}_A1"), "from": from, "fromMe": false, "body": "hi",
                "_data": {"key": {"remoteJidAlt": "628111@s.whatsapp.net"}}}});
            match parse(&serde_json::to_vec(&body).unwrap()).unwrap().payload {
                Event::Incoming(message) => message.sender,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(from("628111@c.us"), Sender::Phone("628111".into()));
        assert_eq!(
            from("628111:12@s.whatsapp.net"),
            Sender::Phone("628111".into())
        );
        assert_eq!(
            from("999@lid"),
            Sender::Lid {
                lid: "999@lid".into(),
                phone: Some("628111".into())
            }
        );
        for other in ["1-2@g.us", "5@newsletter", "status@broadcast"] {
            assert_eq!(from(other), Sender::NotAPerson(other.into()));
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for body in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"event":"message.ack","payload":{}}"#,
        ] {
            assert_eq!(parse(body.as_bytes()), Err(NotAnEvent), "{body}");
        }
    }
}
