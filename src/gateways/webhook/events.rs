//! What flows report back: what became of a message, and messages from people.
//!
//! Facts: ids are strings, numbers carry `@c.us`, the WAHA message may be JSON or JSON in a string, and
//! in an error branch it is our own request, credentials included. Everything but ids is optional.

use secrecy::SecretString;
use serde_json::Value;

use super::super::waha::classify::stanza;
use super::super::waha::events::{self, IncomingMessage};
use super::super::{Rank, redact};
use super::classify::{error_words, provider_id};

/// What became of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Our id of the message.
    pub sent_id: i64,
    pub rank: Rank,
    pub provider_id: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// A number written as a number or as text.
pub fn id(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.trim().parse().ok())
        .filter(|id| *id > 0)
}

/// The messages of a callback, whether they stand in it or under JSON-RPC's `params`; one message may
/// stand alone.
pub fn messages(body: &Value) -> Vec<Value> {
    let body = if body["params"].is_object() {
        &body["params"]
    } else {
        body
    };
    match &body["messages"] {
        Value::Array(messages) => messages.clone(),
        Value::Object(_) => vec![body["messages"].clone()],
        _ => Vec::new(),
    }
}

/// The token of a callback.
pub fn token(body: &Value) -> &str {
    body["token"]
        .as_str()
        .or_else(|| body["params"]["token"].as_str())
        .unwrap_or_default()
}

/// One entry of `create_logsent`. The add-on knew only success; here `result_from: "error"`, an own
/// `status` or an `error` says that it failed.
pub fn report(message: &Value, secrets: &[SecretString]) -> Option<Report> {
    let sent_id = id(&message["id"]).or_else(|| id(&message["sent_id"]))?;
    let status = message["status"].as_str().unwrap_or_default();
    let error = match &message["error"] {
        Value::Null | Value::Bool(false) => None,
        Value::String(words) if words.trim().is_empty() => None,
        _ => error_words(message),
    };
    let failed = message["result_from"].as_str() == Some("error")
        || matches!(status, "error" | "failed" | "failure")
        || error.is_some();
    if failed {
        let words = error
            .or_else(|| error_words(message))
            .unwrap_or_else(|| "no reason given".to_owned());
        return Some(Report {
            sent_id,
            rank: Rank::Failed,
            provider_id: None,
            failure: Some(redact::words(
                &format!("The flow reported a failure: {words}"),
                secrets,
            )),
        });
    }
    let rank = match status {
        "delivered" => Rank::Delivered,
        "read" => Rank::Read,
        "accepted" => Rank::Pending,
        _ => Rank::Sent,
    };
    let inner = inner(&message["json_message"]);
    let provider_id = stanza(&inner)
        .or_else(|| stanza(&inner["_data"]))
        .or_else(|| provider_id(message))
        .filter(|id| id.len() <= 200);
    Some(Report {
        sent_id,
        rank,
        provider_id,
        failure: None,
    })
}

/// JSON that may stand in a string.
fn inner(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.clone(),
    }
}

/// One entry of `wa_incoming`; `alike` tells two messages without an id apart.
pub fn incoming(message: &Value, alike: &str) -> Option<IncomingMessage> {
    let from = message["from"].as_str()?.trim();
    if from.is_empty() {
        return None;
    }
    let inner = inner(&message["json_message"]);
    let full_id = [
        &message["message_id"],
        &message["wa_id"],
        &inner["id"]["_serialized"],
        &inner["id"],
        &inner["key"]["id"],
        &message["id"],
    ]
    .into_iter()
    .find_map(|id| id.as_str().filter(|id| id.len() >= 8))
    .map_or_else(|| format!("flow-{alike}"), str::to_owned);
    let text = |key: &str| {
        message[key]
            .as_str()
            .map(|text| text.replace('\0', ""))
            .filter(|text| !text.is_empty())
    };
    let has_media = match &message["hasmedia"] {
        Value::Bool(has) => *has,
        Value::String(text) => text == "true",
        _ => false,
    };
    Some(IncomingMessage {
        stanza: events::stanza(&full_id).to_owned(),
        sender: events::sender(from, &inner),
        sender_name: text("name"),
        text: text("body"),
        media: has_media
            .then(|| text("type").unwrap_or_else(|| "application/octet-stream".to_owned())),
        quoted: ["quotedMsgId", "quoted_msg_id", "reply_to"]
            .iter()
            .find_map(|key| text(key))
            .map(|id| events::stanza(&id).to_owned()),
        full_id,
        sent_at: None,
        file: None,
        is_reaction: false,
        payload: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::waha::events::Sender;
    use super::*;

    fn read(message: &Value) -> Report {
        report(message, &[]).unwrap()
    }

    #[test]
    fn the_add_on_s_callback_is_a_message_that_was_sent() {
        let message = json!({ "action": "update", "id": "42", "contact_id": "5", "config_id": "1", "mailing_id": "7", "mailing_log_id": "9",
            "from_number": "x", "to_number": "y", "body": "Hi", "result_from": "waha",
            "json_message": { "id": "true_6281234@c.us_3EB0A", "_data": {} } });
        assert_eq!(
            read(&message),
            Report {
                sent_id: 42,
                rank: Rank::Sent,
                provider_id: Some("3EB0A".into()),
                failure: None
            }
        );
        let in_text = json!({ "id": 42, "json_message": "{\"key\":{\"id\":\"3EB0C\"}}" });
        assert_eq!(read(&in_text).provider_id.as_deref(), Some("3EB0C"));
        assert_eq!(read(&json!({ "id": "42" })).provider_id, None);
    }

    #[test]
    fn an_error_is_a_failure_with_its_words_and_without_our_credentials() {
        let message = json!({ "id": "42", "result_from": "error",
            "error": "422 - \"{\\\"error\\\":\\\"Session status is not as expected\\\"}\" Basic dXNlcjpwYXNzd29yZA==",
            "json_message": { "headers": { "authorization": "Basic dXNlcjpwYXNzd29yZA==" } } });
        let report = read(&message);
        assert_eq!((report.rank, report.provider_id), (Rank::Failed, None));
        let words = report.failure.unwrap();
        assert!(
            words.contains("Session status") && !words.contains("dXNl"),
            "{words}"
        );
        assert_eq!(
            read(&json!({ "id": 1, "error": { "message": "boom" } }))
                .failure
                .unwrap(),
            "The flow reported a failure: boom"
        );
        assert_eq!(read(&json!({ "id": 1, "error": "" })).rank, Rank::Sent);
        assert_eq!(
            read(&json!({ "id": 1, "status": "failed" })).rank,
            Rank::Failed
        );
    }

    #[test]
    fn what_names_no_message_is_no_report() {
        for message in [
            json!({}),
            json!({ "id": "x" }),
            json!({ "id": -1 }),
            json!(null),
            json!([]),
        ] {
            assert_eq!(report(&message, &[]), None, "{message}");
        }
    }

    #[test]
    fn a_person_s_message_has_its_number_and_an_identity() {
        let message = json!({ "action": "create", "from": "6281234@c.us", "to": "628111@c.us", "name": "Budi", "body": "STOP", "hasmedia": false, "type": "text/plain" });
        let read = incoming(&message, "abc").unwrap();
        assert_eq!(read.sender, Sender::Phone("6281234".into()));
        assert_eq!((read.stanza.as_str(), read.media), ("flow-abc", None));
        assert_eq!(
            (read.text.as_deref(), read.sender_name.as_deref()),
            (Some("STOP"), Some("Budi"))
        );
        let with_id = json!({ "from": "6281234", "body": "Hi", "json_message": { "id": "false_6281234@c.us_AAAA1111" }, "quotedMsgId": "true_1@c.us_3EB0" });
        let read = incoming(&with_id, "abc").unwrap();
        assert_eq!(
            (read.stanza.as_str(), read.quoted.as_deref()),
            ("AAAA1111", Some("3EB0"))
        );
        let group = json!({ "from": "1-2@g.us", "body": "Hi" });
        assert!(matches!(
            incoming(&group, "x").unwrap().sender,
            Sender::NotAPerson(_)
        ));
        assert_eq!(incoming(&json!({ "body": "Hi" }), "x"), None);
    }

    #[test]
    fn messages_and_token_are_found_in_both_shapes() {
        let plain = json!({ "messages": [{ "id": "1" }, { "id": "2" }], "token": "t" });
        let rpc =
            json!({ "jsonrpc": "2.0", "params": { "messages": [{ "id": "1" }], "token": "t" } });
        assert_eq!((messages(&plain).len(), token(&plain)), (2, "t"));
        assert_eq!((messages(&rpc).len(), token(&rpc)), (1, "t"));
        assert!(messages(&json!({ "messages": "x" })).is_empty());
        assert_eq!(token(&json!({})), "");
    }
}
