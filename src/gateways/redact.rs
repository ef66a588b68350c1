//! Foreign words made fit to be stored and shown: no stack traces, server paths or credentials.
//!
//! Invariant: what a person typed as a secret of the account never passes, nor anything that looks like
//! a Basic or Bearer credential, whoever sent it back to us.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::shortened;

/// What stands where something was taken out.
const GONE: &str = "…";

/// Shorter secrets are not looked for: they would be found in every word.
const SECRET_AT_LEAST: usize = 4;

#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, tested below"
)]
static CREDENTIAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b(basic|bearer)(\s+|"\s*:\s*")([A-Za-z0-9+/=_.~-]{8,})"#).unwrap()
});
#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, tested below"
)]
static IN_ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"://[^/\s:@]+:[^/\s@]+@").unwrap());
#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, tested below"
)]
static TRACE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?s)(\\n|\s)+at\s[^\n]{0,200}?(/|[A-Za-z]:\\|node:|file:)[^\s)]*:\d+.*|"?stack(trace)?"?\s*:.*|Traceback \(most recent.*"#,
    )
    .unwrap()
});
#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, tested below"
)]
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?:/(?:usr|home|root|opt|var|etc|tmp|srv|app|data|mnt|proc|run|Users|node_modules)/|\b[A-Za-z]:\\)[^\s'",;)\]]*"#,
    )
    .unwrap()
});

/// A gateway's words as a log and a page may keep them: one line, at most 300 characters.
pub fn words(text: &str, secrets: &[SecretString]) -> String {
    let text = without_secrets(text, secrets);
    let text = TRACE.replace(&text, "");
    let text = PATH.replace_all(&text, GONE);
    shortened(&text)
}

/// A JSON body as the inbox may keep it: members that carry credentials are emptied at every depth.
pub fn json(value: &mut Value, secrets: &[SecretString]) {
    match value {
        Value::String(text) => {
            // A body inside a body is read too.
            if let Some(mut inner) = Some(&*text)
                .filter(|text| text.trim_start().starts_with(['{', '[']))
                .and_then(|text| serde_json::from_str::<Value>(text).ok())
            {
                json(&mut inner, secrets);
                *text = inner.to_string();
            }
            *text = without_secrets(text, secrets);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| json(item, secrets)),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if is_secret(name) {
                    *field = Value::String(GONE.to_owned());
                } else {
                    json(field, secrets);
                }
            }
        }
        _ => {}
    }
}

fn without_secrets(text: &str, secrets: &[SecretString]) -> String {
    let mut text = text.replace('\0', "");
    for secret in secrets {
        let secret = secret.expose_secret();
        if secret.len() >= SECRET_AT_LEAST {
            text = text.replace(secret, GONE);
        }
    }
    let text = IN_ADDRESS.replace_all(&text, "://");
    CREDENTIAL
        .replace_all(&text, |found: &Captures<'_>| {
            let looks_random = found[3].contains(|letter: char| {
                letter.is_ascii_digit() || letter.is_ascii_uppercase() || letter == '='
            });
            if looks_random {
                format!("{}{}{GONE}", &found[1], &found[2])
            } else {
                found[0].to_owned()
            }
        })
        .into_owned()
}

/// Members and headers that let somebody in or prove who posted. `headers` goes as a whole: that of an
/// n8n item is our own request's.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "headers"
        || [
            "authorization",
            "cookie",
            "signature",
            "hmac",
            "api-key",
            "api_key",
            "apikey",
            "token",
            "secret",
            "password",
        ]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        words(text, &[SecretString::from("s3cret:pä")])
    }

    #[test]
    fn traces_paths_and_credentials_are_taken_out() {
        assert_eq!(
            plain(
                "Boom\n    at Object.run (/usr/local/lib/node_modules/n8n/dist/x.js:12:5)\n    at next"
            ),
            "Boom"
        );
        assert_eq!(
            plain(r#"Boom","stacktrace":"Error: at /home/node"#),
            r#"Boom","#
        );
        assert_eq!(
            plain("ENOENT: open '/home/node/.n8n/config' failed"),
            "ENOENT: open '…' failed"
        );
        assert_eq!(plain(r"cannot read C:\n8n\config now"), "cannot read … now");
        assert_eq!(
            plain("sent Authorization: Basic dXNlcjpwYXNzd29yZA== twice"),
            "sent Authorization: Basic … twice"
        );
        assert_eq!(plain("Bearer wab_0123456789abcdef"), "Bearer …");
        assert_eq!(
            plain("https://me:hidden@n8n.example/webhook/x"),
            "https://n8n.example/webhook/x"
        );
        assert_eq!(plain("password s3cret:pä refused"), "password … refused");
    }

    #[test]
    fn ordinary_words_stay() {
        for words in [
            "The requested webhook \"POST wa-blast\" is not registered.",
            "422 - Session status is not as expected",
            "basic information is missing",
            "Cannot POST /webhook/wa-blast",
            "sent at 12:30 to 5 people",
        ] {
            assert_eq!(plain(words), words);
        }
        assert!(plain(&"long ".repeat(200)).chars().count() <= 300);
    }

    #[test]
    fn a_body_keeps_no_credential_at_any_depth() {
        let mut body = json!({
            "token": "callback-token", "messages": [{ "id": "42", "json_message": {
                "headers": { "authorization": "Basic abcdefgh12" }, "body": { "contact": "{\"x\":1}" },
                "nested": "{\"Authorization\":\"Basic dXNlcjpwYXNz\",\"x\":\"s3cret:pä\"}" } }],
        });
        json(&mut body, &[SecretString::from("s3cret:pä")]);
        let text = body.to_string();
        for secret in ["callback-token", "abcdefgh12", "dXNlcjpwYXNz", "s3cret"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert_eq!(body["messages"][0]["id"], "42");
    }
}
