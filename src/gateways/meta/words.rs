//! A person's message as one text: every kind Meta brings can be read.
//!
//! Invariant: never fails; a kind nobody knows says so. What is a file has its content type and its caption.

use serde_json::Value;

use super::super::waha::events::IncomingFile;

/// What a message says, and what it carries.
pub(super) struct Said {
    pub text: Option<String>,
    pub mime: Option<String>,
    pub file: Option<IncomingFile>,
}

pub(super) fn of(message: &Value) -> Said {
    let kind = message["type"].as_str().unwrap_or_default();
    let part = &message[kind];
    let text = match kind {
        "text" => owned(&part["body"]),
        "image" | "video" | "document" | "audio" | "sticker" => {
            let mime = part["mime_type"].as_str().map(|mime| {
                // audio/ogg; codecs=opus
                mime.split(';').next().unwrap_or(mime).trim().to_owned()
            });
            return Said {
                text: owned(&part["caption"]).or_else(|| owned(&part["filename"])),
                mime: Some(mime.unwrap_or_else(|| "application/octet-stream".to_owned())),
                file: owned(&part["id"]).map(|id| IncomingFile {
                    id,
                    sha256: owned(&part["sha256"]).unwrap_or_default(),
                    name: owned(&part["filename"]).unwrap_or_default(),
                }),
            };
        }
        "location" => Some(location(part)),
        "contacts" => Some(contacts(message)),
        // Without an emoji it was taken back.
        "reaction" => {
            return Said {
                text: owned(&part["emoji"]),
                mime: None,
                file: None,
            };
        }
        "button" => owned(&part["text"]),
        "interactive" => interactive(part),
        "order" => Some(order(part)),
        _ => None,
    };
    Said {
        text: Some(text.unwrap_or_else(|| format!("({})", unknown(message, kind)))),
        mime: None,
        file: None,
    }
}

fn owned(value: &Value) -> Option<String> {
    value
        .as_str()
        .map(str::to_owned)
        .filter(|text| !text.is_empty())
}

fn unknown(message: &Value, kind: &str) -> String {
    let details = message["errors"][0]["error_data"]["details"].as_str();
    match (kind, details) {
        ("unsupported", Some(details)) => details.to_owned(),
        ("", _) => "a message without a kind".to_owned(),
        (kind, _) => format!("a message of kind {kind}"),
    }
}

fn location(part: &Value) -> String {
    let place = format!(
        "{}, {}",
        part["latitude"].as_f64().unwrap_or_default(),
        part["longitude"].as_f64().unwrap_or_default()
    );
    [&part["name"], &part["address"]]
        .into_iter()
        .filter_map(owned)
        .chain([place])
        .collect::<Vec<_>>()
        .join("\n")
}

fn contacts(message: &Value) -> String {
    let cards = message["contacts"].as_array().into_iter().flatten();
    cards
        .map(|card| {
            let name = owned(&card["name"]["formatted_name"]).unwrap_or_default();
            let phones = card["phones"].as_array().into_iter().flatten();
            let phones: Vec<String> = phones.filter_map(|phone| owned(&phone["phone"])).collect();
            format!("{name} {}", phones.join(", ")).trim().to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn interactive(part: &Value) -> Option<String> {
    match part["type"].as_str()? {
        "button_reply" => owned(&part["button_reply"]["title"]),
        "list_reply" => owned(&part["list_reply"]["title"]),
        "nfm_reply" => {
            owned(&part["nfm_reply"]["body"]).or_else(|| owned(&part["nfm_reply"]["response_json"]))
        }
        _ => None,
    }
}

fn order(part: &Value) -> String {
    let items = part["product_items"].as_array().into_iter().flatten();
    let lines = items.map(|item| {
        let name = owned(&item["product_retailer_id"]).unwrap_or_default();
        let price = &item["item_price"];
        let currency = owned(&item["currency"]).unwrap_or_default();
        format!("{} x {name} ({price} {currency})", item["quantity"])
    });
    owned(&part["text"])
        .into_iter()
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_can_be_read() {
        let text = |message: Value| of(&message).text.unwrap_or_default();
        assert_eq!(text(json!({"type": "text", "text": {"body": "hi"}})), "hi");
        assert_eq!(
            text(
                json!({"type": "location", "location": {"latitude": 1.5, "longitude": -2, "name": "Shop"}})
            ),
            "Shop\n1.5, -2"
        );
        assert_eq!(
            text(
                json!({"type": "order", "order": {"product_items": [{"product_retailer_id": "a1", "quantity": 2, "item_price": 30, "currency": "USD"}]}})
            ),
            "2 x a1 (30 USD)"
        );
        assert_eq!(
            text(json!({"type": "reaction", "reaction": {"message_id": "x"}})),
            ""
        );
        assert_eq!(
            text(json!({"type": "hologram"})),
            "(a message of kind hologram)"
        );
        assert_eq!(text(json!({})), "(a message without a kind)");
        let voice = of(
            &json!({"type": "audio", "audio": {"mime_type": "audio/ogg; codecs=opus", "voice": true}}),
        );
        assert_eq!(
            (voice.text, voice.mime.as_deref()),
            (None, Some("audio/ogg"))
        );
    }
}
