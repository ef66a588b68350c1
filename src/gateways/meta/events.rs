//! What Meta posts to us: statuses, messages, preferences, news about templates, numbers and accounts.
//!
//! From Meta's webhook reference and published samples. Invariants: the signature is that of the bytes as they
//! came, checked before anything is parsed; one post may carry many changes of many numbers, and all are read;
//! what is not known is kept raw and ignored, never an error. Knows no account of ours.

use chrono::{DateTime, TimeZone as _, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::super::Rank;
use super::super::waha::events::{IncomingMessage, Sender};
use super::message::BSUID;
use super::notices;
pub use super::notices::Notice;
use super::reactions::MetaError;
use super::words;

/// One change: where it belongs, and what happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The WhatsApp Business Account.
    pub account_uid: String,
    /// The number's id; news of the whole account have none.
    pub phone_uid: Option<String>,
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Status(Status),
    Incoming(IncomingMessage),
    /// Somebody stopped marketing messages in WhatsApp, or takes them again.
    Preference {
        sender: Sender,
        stop: bool,
    },
    Template(TemplateNews),
    /// Another number, or another id, of somebody known.
    Moved {
        from: Sender,
        to: Sender,
    },
    Number(NumberNews),
    Account(AccountNews),
    /// What somebody should read about the account or a number.
    Notice(Notice),
    /// A fault that names no message.
    Fault(MetaError),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub provider_id: String,
    /// What we sent along as `biz_opaque_callback_data`.
    pub own_ref: Option<String>,
    pub rank: Rank,
    pub at: Option<DateTime<Utc>>,
    pub error: Option<MetaError>,
    pub pricing: Option<Pricing>,
}

/// What Meta charges a message as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pricing {
    /// marketing, utility, authentication, service ...
    pub category: String,
    /// regular, free_customer_service, free_entry_point.
    pub kind: String,
    pub billable: bool,
}

/// News about a template, by its name and language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateNews {
    pub uid: String,
    pub name: String,
    pub language: String,
    /// As Meta writes it: APPROVED, PAUSED ...
    pub status: Option<String>,
    pub quality: Option<String>,
    pub category: Option<String>,
    /// Why, in Meta's words.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberNews {
    /// Digits.
    pub number: String,
    pub event: String,
    /// TIER_2K and the like.
    pub limit: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountNews {
    pub event: String,
    /// Why nothing may be sent any more; `None`: it may.
    pub stops: Option<String>,
    pub limit: Option<String>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the body is not an event of Meta")]
pub struct NotAnEvent;

/// Whether `header` (`sha256=<hex>`) is the signature of `body` under the app's secret; in constant time. A body
/// with letters beyond ASCII may have been signed in its escaped form.
pub fn verify(secret: &[u8], body: &[u8], header: &str) -> bool {
    let Some(claimed) = header
        .trim()
        .strip_prefix("sha256=")
        .and_then(|hex| hex::decode(hex).ok())
    else {
        return false;
    };
    let fits =
        |body: &[u8]| mac(secret, body).is_some_and(|mac| mac.verify_slice(&claimed).is_ok());
    fits(body) || (!body.is_ascii() && escaped(body).is_some_and(|body| fits(&body)))
}

/// The value of `X-Hub-Signature-256` for a body.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let tag = mac(secret, body).map(|mac| mac.finalize().into_bytes());
    format!("sha256={}", tag.map(hex::encode).unwrap_or_default())
}

fn mac(secret: &[u8], body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(body);
    Some(mac)
}

/// The bytes with every letter beyond ASCII as `\u00e4`, in lower case.
fn escaped(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut units = [0_u16; 2];
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Some(out.into_bytes())
}

/// All changes of a post.
pub fn parse(body: &[u8]) -> Result<Vec<Change>, NotAnEvent> {
    let mut body: Value = serde_json::from_slice(body).map_err(|_| NotAnEvent)?;
    super::super::without_nul(&mut body);
    if body["object"].as_str() != Some("whatsapp_business_account") {
        return Err(NotAnEvent);
    }
    let entries = body["entry"].as_array().ok_or(NotAnEvent)?;
    let mut changes = Vec::new();
    for entry in entries {
        let account_uid = text(&entry["id"]);
        for change in entry["changes"].as_array().into_iter().flatten() {
            let value = &change["value"];
            let field = change["field"].as_str().unwrap_or_default();
            let mut events = events(field, value);
            events.extend(notices::of(field, value).map(Event::Notice));
            changes.push(Change {
                account_uid: account_uid.clone(),
                phone_uid: some(&value["metadata"]["phone_number_id"]),
                events,
            });
        }
    }
    Ok(changes)
}

fn events(field: &str, value: &Value) -> Vec<Event> {
    match field {
        "messages" => messages(value),
        "user_preferences" => list(value, "user_preferences")
            .filter_map(preference)
            .collect(),
        "message_template_status_update" => vec![Event::Template(template_status(value))],
        "message_template_quality_update" => vec![Event::Template(TemplateNews {
            quality: some(&value["new_quality_score"]),
            ..template(value)
        })],
        "template_category_update" => vec![Event::Template(TemplateNews {
            category: some(&value["new_category"]),
            ..template(value)
        })],
        "phone_number_quality_update" => vec![Event::Number(NumberNews {
            number: text(&value["display_phone_number"])
                .chars()
                .filter(char::is_ascii_digit)
                .collect(),
            event: text(&value["event"]),
            limit: limit(value),
        })],
        "business_capability_update" => vec![Event::Account(AccountNews {
            event: field.to_owned(),
            stops: None,
            limit: limit(value),
        })],
        "account_update" => vec![Event::Account(account(value))],
        _ => Vec::new(),
    }
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Ids of templates come as numbers.
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn some(value: &Value) -> Option<String> {
    Some(text(value)).filter(|text| !text.is_empty())
}

/// Seconds, as a string in messages and as a number in preferences.
fn moment(value: &Value) -> Option<DateTime<Utc>> {
    let seconds = text(value).parse().ok()?;
    Utc.timestamp_opt(seconds, 0).single()
}

fn messages(value: &Value) -> Vec<Event> {
    let statuses = list(value, "statuses").filter_map(status);
    let names: Vec<&Value> = list(value, "contacts").collect();
    let messages = list(value, "messages").filter_map(|message| incoming(message, &names));
    let faults = list(value, "errors")
        .filter_map(MetaError::read)
        .map(Event::Fault);
    statuses.chain(messages).chain(faults).collect()
}

fn status(status: &Value) -> Option<Event> {
    let rank = match status["status"].as_str()? {
        "sent" => Rank::Sent,
        "delivered" => Rank::Delivered,
        "read" | "played" => Rank::Read,
        "failed" => Rank::Failed,
        _ => return None,
    };
    let pricing = &status["pricing"];
    Some(Event::Status(Status {
        provider_id: some(&status["id"])?,
        own_ref: some(&status["biz_opaque_callback_data"]),
        rank,
        at: moment(&status["timestamp"]),
        error: list(status, "errors").find_map(MetaError::read),
        pricing: some(&pricing["category"]).map(|category| Pricing {
            category,
            kind: text(&pricing["type"]),
            // Meta will leave the flag away one day; the type says the same.
            billable: pricing["billable"]
                .as_bool()
                .unwrap_or_else(|| !text(&pricing["type"]).starts_with("free")),
        }),
    }))
}

/// Who stands behind a number and an id, of which either may be missing.
fn sender(number: Option<String>, id: Option<String>) -> Option<Sender> {
    let phone = number.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match (phone, id) {
        (phone, Some(id)) => Some(Sender::Lid {
            lid: format!("{id}{BSUID}"),
            phone,
        }),
        (Some(digits), None) => Some(Sender::Phone(digits)),
        (None, None) => None,
    }
}

fn incoming(message: &Value, contacts: &[&Value]) -> Option<Event> {
    let id = some(&message["id"])?;
    let (number, user) = (some(&message["from"]), some(&message["from_user_id"]));
    let about = contacts.iter().find(|contact| {
        (number.is_some() && some(&contact["wa_id"]) == number)
            || (user.is_some() && some(&contact["user_id"]) == user)
            || contacts.len() == 1
    });
    let user = user.or_else(|| about.and_then(|contact| some(&contact["user_id"])));
    if message["type"].as_str() == Some("system") {
        return moved(&message["system"], number, user);
    }
    let said = words::of(message);
    Some(Event::Incoming(IncomingMessage {
        stanza: id.clone(),
        full_id: id,
        sender: sender(number, user)?,
        sender_name: about
            .and_then(|contact| some(&contact["profile"]["name"]))
            .filter(|name| !name.trim().is_empty()),
        text: said.text,
        media: said.mime,
        quoted: some(&message["context"]["id"])
            .or_else(|| some(&message["reaction"]["message_id"])),
        sent_at: moment(&message["timestamp"]),
        file: said.file,
        is_reaction: message["type"].as_str() == Some("reaction"),
        payload: some(&message["button"]["payload"])
            .or_else(|| some(&message["interactive"]["button_reply"]["id"]))
            .or_else(|| some(&message["interactive"]["list_reply"]["id"])),
    }))
}

/// A new number or a new id of somebody known; other system messages say nothing to us.
fn moved(system: &Value, number: Option<String>, user: Option<String>) -> Option<Event> {
    match system["type"].as_str()? {
        "user_changed_number" | "customer_changed_number" => {
            let new = some(&system["wa_id"]).or_else(|| some(&system["new_wa_id"]));
            Some(Event::Moved {
                from: sender(number, some(&system["previous_user_id"]))?,
                to: sender(new, some(&system["user_id"]))?,
            })
        }
        "user_changed_user_id" => Some(Event::Moved {
            from: sender(number.clone(), some(&system["previous_user_id"]))?,
            to: sender(number, some(&system["user_id"]).or(user))?,
        }),
        _ => None,
    }
}

fn preference(preference: &Value) -> Option<Event> {
    let stop = match preference["value"].as_str()? {
        "stop" => true,
        "resume" | "signup" => false,
        _ => return None,
    };
    if preference["category"].as_str() != Some("marketing_messages") {
        return None;
    }
    let sender = sender(some(&preference["wa_id"]), some(&preference["user_id"]))?;
    Some(Event::Preference { sender, stop })
}

fn template(value: &Value) -> TemplateNews {
    TemplateNews {
        uid: text(&value["message_template_id"]),
        name: text(&value["message_template_name"]),
        language: text(&value["message_template_language"]).replace('-', "_"),
        ..TemplateNews::default()
    }
}

fn template_status(value: &Value) -> TemplateNews {
    let reason = [
        &value["rejection_info"]["reason"],
        &value["other_info"]["description"],
        &value["disable_info"]["disable_date"],
        &value["reason"],
    ]
    .into_iter()
    .find_map(some)
    .filter(|reason| reason != "NONE");
    TemplateNews {
        status: some(&value["event"]),
        category: some(&value["message_template_category"]),
        reason,
        ..template(value)
    }
}

fn limit(value: &Value) -> Option<String> {
    [
        "max_daily_conversations_per_business",
        "max_daily_conversation_per_phone",
        "current_limit",
    ]
    .into_iter()
    .find_map(|name| some(&value[name]))
}

fn account(value: &Value) -> AccountNews {
    let event = text(&value["event"]);
    let restricted = list(value, "restriction_info")
        .filter_map(|info| info["restriction_type"].as_str())
        .find(|kind| {
            matches!(
                *kind,
                "RESTRICTED_BIZ_INITIATED_MESSAGING" | "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"
            )
        });
    let ban = value["ban_info"]["waba_ban_state"].as_str();
    let stops = match event.as_str() {
        "ACCOUNT_RESTRICTION" => restricted.map(str::to_owned),
        "DISABLED_UPDATE" => ban
            .filter(|state| matches!(*state, "DISABLE" | "SCHEDULE_FOR_DISABLE"))
            .map(str::to_owned),
        "ACCOUNT_DELETED" | "ACCOUNT_OFFBOARDED" | "PARTNER_REMOVED" => Some(event.clone()),
        _ => None,
    };
    AccountNews {
        event,
        stops,
        limit: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_signature_fit_and_no_other() {
        let body = r#"{"object":"x","name":"ä😀"}"#.as_bytes();
        assert!(verify(b"secret", body, &sign(b"secret", body)));
        let as_meta_escapes = r#"{"object":"x","name":"\u00e4\ud83d\ude00"}"#.as_bytes();
        assert!(verify(b"secret", body, &sign(b"secret", as_meta_escapes)));
        assert!(!verify(b"secret", body, &sign(b"secreu", body)));
        assert!(!verify(b"secret", &body[1..], &sign(b"secret", body)));
        for broken in ["", "sha256=", "sha256=zz", "sha1=00", &sign(b"", b"")[..20]] {
            assert!(!verify(b"secret", body, broken), "{broken}");
        }
    }

    #[test]
    fn what_is_no_event_is_refused() {
        for body in ["", "[]", "{}", "null", r#"{"object":"page","entry":[]}"#] {
            assert_eq!(parse(body.as_bytes()), Err(NotAnEvent), "{body}");
        }
    }
}
