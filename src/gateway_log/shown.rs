//! Bodies as the Gateway Log keeps them: without secrets, cut, and without a flow's insides.

use secrecy::SecretString;
use serde_json::Value;

use crate::gateways::redact;
use crate::gateways::tap::Sample;

/// Letters that are kept of a text inside a body.
pub const TEXT_MAX: usize = 500;
/// Items that are kept of a list inside a body.
const ITEMS_MAX: usize = 50;
/// Letters that are kept of a whole body.
const BODY_MAX: usize = 6000;

/// A body for the log: JSON member by member, anything else as one short text.
pub(super) fn body(sample: &Sample, secrets: &[SecretString]) -> String {
    if sample.bytes.is_empty() {
        return String::new();
    }
    if let Ok(mut json) = serde_json::from_slice::<Value>(&sample.bytes) {
        redact::json(&mut json, secrets);
        cut_json(&mut json);
        return cut(&json.to_string(), BODY_MAX);
    }
    // What was cut in the middle of a letter is text all the same.
    let text = match std::str::from_utf8(&sample.bytes) {
        Ok(text) => text,
        Err(error) if sample.bytes.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&sample.bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return "(binary)".to_owned(),
    };
    // Of JSON that does not end no member can be told from another: only what cannot hold a secret is kept.
    if text.trim_start().starts_with(['{', '[']) && sample.size > sample.bytes.len() {
        return "(too large to be kept)".to_owned();
    }
    redact::words(text, secrets)
}

fn cut_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            let inner = Some(&*text)
                .filter(|text| text.trim_start().starts_with(['{', '[']))
                .and_then(|text| serde_json::from_str::<Value>(text).ok());
            *text = match inner {
                Some(mut inner) => {
                    cut_json(&mut inner);
                    inner.to_string()
                }
                None => cut(text, TEXT_MAX),
            };
        }
        Value::Array(items) => {
            items.truncate(ITEMS_MAX);
            items.iter_mut().for_each(cut_json);
        }
        Value::Object(fields) => {
            fields
                .retain(|name, _| !matches!(name.as_str(), "stack" | "stacktrace" | "stackTrace"));
            fields.values_mut().for_each(cut_json);
        }
        _ => {}
    }
}

/// The beginning of a text, and how long it was.
fn cut(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(most).collect();
    format!("{beginning}… ({length})")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn shown(body_: &[u8]) -> String {
        let sample = Sample {
            bytes: Bytes::copy_from_slice(body_),
            size: body_.len(),
        };
        body(&sample, &[SecretString::from("s3cret-pass")])
    }

    #[test]
    fn texts_are_cut_at_every_depth_and_secrets_and_insides_are_out() {
        let long = "x".repeat(3000);
        let inner = json!({ "message": long, "password": "other", "sent_id": 42 }).to_string();
        let asked = json!({ "contact": inner, "token": "t", "text": format!("{long} s3cret-pass"),
            "stacktrace": "at /usr/local/lib/n8n.js:1:1", "items": vec![1; 200] });
        let kept = shown(asked.to_string().as_bytes());
        assert!(kept.len() < 2500, "{} {kept}", kept.len());
        for gone in [
            "s3cret",
            "\"t\"",
            "other",
            "/usr/local",
            &"x".repeat(TEXT_MAX + 1),
        ] {
            assert!(!kept.contains(gone), "{gone} in {kept}");
        }
        assert!(
            kept.contains("sent_id") && kept.contains("… (3000)"),
            "{kept}"
        );
    }

    #[test]
    fn what_is_no_json_is_one_short_line() {
        assert_eq!(shown(b""), "");
        assert_eq!(shown(&[0xff, 0xd8, 0xff, 0, 1, 2, 3, 4]), "(binary)");
        assert_eq!(
            shown(b"<pre>Cannot POST /webhook/x</pre>\n    at Layer (/usr/lib/x.js:1:2)"),
            "<pre>Cannot POST /webhook/x</pre>"
        );
        assert_eq!(
            shown(b"Authorization: Basic dXNlcjpwYXNzd29yZA=="),
            "Authorization: Basic …"
        );
        let cut_off = Sample {
            bytes: Bytes::from_static(b"{\"token\":\"abc"),
            size: 90_000,
        };
        assert_eq!(body(&cut_off, &[]), "(too large to be kept)");
        assert!(shown("long ".repeat(500).as_bytes()).len() <= 300);
    }
}
