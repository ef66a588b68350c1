//! A flow's answers to a push, as outcome classes. The default is *uncertain*.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::super::http::{Failure, Kind, Reply};
use super::super::waha::classify::stanza;
use super::super::{Accepted, FailureCode, SendError, redact};
use super::WebhookAddress;

/// How an explicit body answers.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Sent(String),
    Failed(String),
    Nothing,
}

/// What became of a push that was answered.
pub(super) fn answered(reply: &Reply, address: &WebhookAddress) -> Result<Accepted, SendError> {
    let secrets = &address.hidden;
    let body = reply.json().map(first);
    let said = said(body.as_ref());
    let words = || words(reply, body.as_ref(), secrets);
    match (reply.status, said) {
        (200..=299 | 500..=599, Said::Sent(id)) => Ok(Accepted {
            provider_id: Some(id),
            held: false,
        }),
        (200..=299 | 500..=599, Said::Failed(said)) => Err(SendError::Refused {
            code: FailureCode::GatewayError,
            reason: redact::words(&format!("The flow reported a failure: {said}"), secrets),
        }),
        (200..=299, Said::Nothing) if address.counts_as_sent => Ok(Accepted::default()),
        (200..=299, Said::Nothing) => Err(SendError::Uncertain {
            code: FailureCode::HandedOver,
            reason: "The flow took the message and will report what became of it.".to_owned(),
        }),
        (401 | 403, _) => Err(SendError::AccountStop {
            code: FailureCode::Auth,
            reason: address.proof.not_accepted(reply),
        }),
        (404, _) => Err(SendError::AccountStop {
            code: FailureCode::WorkflowInactive,
            reason: not_there(reply, body.as_ref()),
        }),
        (422, _) => Err(SendError::Refused {
            code: FailureCode::GatewayRefused,
            reason: words(),
        }),
        (429, _) => Err(SendError::NotSent {
            after: reply.retry_after,
            code: FailureCode::RateLimited,
            reason: words(),
        }),
        (300..=399, _) => Err(SendError::Uncertain {
            code: FailureCode::BadResponse,
            reason: format!(
                "The webhook answered {} and points to another address. Enter the final address on the account.",
                reply.status
            ),
        }),
        _ => Err(SendError::Uncertain {
            code: FailureCode::GatewayError,
            reason: words(),
        }),
    }
}

/// What became of a push that was not answered.
pub(super) fn failed(failure: Failure, secrets: &[SecretString]) -> SendError {
    match failure {
        Failure::NotSent { kind, reason } => SendError::NotSent {
            after: None,
            code: code_of(kind),
            reason: redact::words(&format!("The webhook cannot be reached: {reason}"), secrets),
        },
        Failure::Ambiguous { kind, reason } => SendError::Uncertain {
            code: code_of(kind),
            reason: redact::words(
                &format!("The webhook did not answer as it should: {reason}"),
                secrets,
            ),
        },
    }
}

fn code_of(kind: Kind) -> FailureCode {
    match kind {
        Kind::Address | Kind::Dns | Kind::Connect => FailureCode::Unreachable,
        Kind::Tls => FailureCode::Tls,
        Kind::Timeout => FailureCode::Timeout,
        Kind::Broken | Kind::TooLarge => FailureCode::BadResponse,
    }
}

/// How long a stop for 404 lasts before the address is looked at again: 30 to 60 s.
pub fn look_again(jitter: f64) -> Duration {
    Duration::from_secs_f64((45.0 * jitter).clamp(30.0, 60.0))
}

/// A flow that answers with all its items sends a list; the first one speaks.
fn first(body: Value) -> Value {
    match body {
        Value::Array(mut items) if !items.is_empty() => items.swap_remove(0),
        other => other,
    }
}

fn said(body: Option<&Value>) -> Said {
    let Some(body) = body.filter(|body| body.is_object()) else {
        return Said::Nothing;
    };
    let status = body["status"].as_str().unwrap_or_default();
    let failed = matches!(status, "error" | "failed" | "failure")
        || body["result_from"].as_str() == Some("error")
        || body["success"].as_bool() == Some(false);
    if failed {
        return Said::Failed(error_words(body).unwrap_or_else(|| "no reason given".to_owned()));
    }
    let succeeded = matches!(status, "success" | "sent" | "ok") || body["success"] == true;
    match provider_id(body).filter(|_| succeeded) {
        Some(id) => Said::Sent(id),
        None => Said::Nothing,
    }
}

/// The error a body carries, in its own words.
pub(super) fn error_words(body: &Value) -> Option<String> {
    [
        &body["error"]["message"],
        &body["error"],
        &body["message"],
        &body["reason"],
        &body["description"],
    ]
    .into_iter()
    .find_map(|words| match words {
        Value::String(words) if !words.trim().is_empty() => Some(words.clone()),
        Value::Object(_) if !words["message"].is_string() => Some(words.to_string()),
        _ => None,
    })
}

/// The provider's id of the message, where an answer or report carries WAHA's.
pub(super) fn provider_id(body: &Value) -> Option<String> {
    [
        &body["waha_id"],
        &body["provider_id"],
        &body["message_id"],
        &body["wamid"],
    ]
    .into_iter()
    .find_map(|id| match id {
        Value::String(id) if !id.trim().is_empty() => {
            Some(super::super::waha::events::stanza(id.trim()).to_owned())
        }
        Value::Object(_) => stanza(&serde_json::json!({ "id": id })),
        _ => None,
    })
}

/// What a 404 means and what to do about it.
pub(super) fn not_there(reply: &Reply, body: Option<&Value>) -> String {
    let code = body.and_then(|body| body["code"].as_i64());
    if body.is_some_and(Value::is_object) && (code == Some(404) || code.is_none()) {
        "The workflow is not active (the webhook answered 404). Activate it in n8n, and compare the path in the webhook URL letter by letter. It is tried again by itself.".to_owned()
    } else if String::from_utf8_lossy(&reply.body).contains("Cannot ") {
        "Nothing listens at this path yet (the webhook answered 404): n8n may still be starting. It is tried again by itself.".to_owned()
    } else {
        "The webhook answered 404: nothing listens at this address. Compare the webhook URL letter by letter. It is tried again by itself.".to_owned()
    }
}

/// The flow's own words. n8n adds its stack trace: only the message is taken.
fn words(reply: &Reply, body: Option<&Value>, secrets: &[SecretString]) -> String {
    let status = reply.status;
    match body.and_then(error_words) {
        Some(said) => redact::words(&format!("The webhook answered {status}: {said}"), secrets),
        None => format!("The webhook answered {status} without saying why."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Proof;
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            body: body.as_bytes().to_vec(),
            retry_after: None,
        }
    }

    fn address(counts_as_sent: bool) -> WebhookAddress {
        WebhookAddress {
            url: "http://127.0.0.1/webhook/x".parse().unwrap(),
            proof: Proof::Nothing,
            secret: None,
            counts_as_sent,
            hidden: Vec::new(),
        }
    }

    fn class(status: u16, body: &str) -> String {
        match answered(&reply(status, body), &address(false)) {
            Ok(accepted) => format!("accepted {}", accepted.provider_id.unwrap_or_default()),
            Err(SendError::NotSent { .. }) => "not sent".into(),
            Err(SendError::AccountStop { code, .. }) => format!("account stop {}", code.as_str()),
            Err(SendError::MailingStop { .. }) => "mailing stop".into(),
            Err(SendError::Refused { .. }) => "refused".into(),
            Err(SendError::Uncertain { code, .. }) => format!("uncertain {}", code.as_str()),
        }
    }

    #[test]
    fn every_answer_that_was_measured_has_its_class() {
        let inactive = json!({ "code": 404, "message": "The requested webhook \"POST x\" is not registered.",
            "hint": "The workflow must be active", "stacktrace": "ResponseError\n at /usr/local/lib/x.js:1:1" })
        .to_string();
        for (status, body, expected) in [
            (200, "", "uncertain handed_over"),
            (200, "{}", "uncertain handed_over"),
            (200, "<html>", "uncertain handed_over"),
            (
                200,
                r#"{"message":"Workflow was started"}"#,
                "uncertain handed_over",
            ),
            (200, r#"{"status":"queued"}"#, "uncertain handed_over"),
            (
                200,
                r#"{"jsonrpc":"2.0","id":1,"status":"success","result":"Log sent successfully"}"#,
                "uncertain handed_over",
            ),
            (204, "", "uncertain handed_over"),
            (
                200,
                r#"{"status":"success","sent_id":"42","waha_id":"true_1@c.us_3EB0A"}"#,
                "accepted 3EB0A",
            ),
            (
                200,
                r#"[{"status":"success","waha_id":{"_serialized":"true_1@c.us_3EB0B"}}]"#,
                "accepted 3EB0B",
            ),
            (200, r#"{"status":"error","error":"no session"}"#, "refused"),
            (502, r#"{"status":"error","sent_id":"42"}"#, "refused"),
            (502, "Bad Gateway", "uncertain gateway_error"),
            (503, "", "uncertain gateway_error"),
            (504, "", "uncertain gateway_error"),
            (
                500,
                r#"{"message":"Error in workflow"}"#,
                "uncertain gateway_error",
            ),
            (
                500,
                r#"{"code":0,"message":"There was a problem executing the workflow"}"#,
                "uncertain gateway_error",
            ),
            (401, "Authorization is required!", "account stop auth"),
            (403, "Authorization data is wrong!", "account stop auth"),
            (404, inactive.as_str(), "account stop workflow_inactive"),
            (
                404,
                "<pre>Cannot POST /webhook/wa-blast</pre>",
                "account stop workflow_inactive",
            ),
            (
                422,
                r#"{"code":422,"message":"Failed to parse request body"}"#,
                "refused",
            ),
            (429, "", "not sent"),
            (301, "", "uncertain bad_response"),
            (418, "", "uncertain gateway_error"),
        ] {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_flow_that_does_not_report_counts_as_sent_only_where_it_says_nothing() {
        let accepted = answered(&reply(200, ""), &address(true)).unwrap();
        assert_eq!(accepted.provider_id, None);
        assert!(answered(&reply(200, r#"{"status":"error"}"#), &address(true)).is_err());
        assert!(answered(&reply(500, ""), &address(true)).is_err());
    }

    #[test]
    fn reasons_carry_the_flow_s_words_without_its_insides() {
        let body =
            json!({ "message": "Error in workflow", "stacktrace": "at /usr/lib/n8n.js:1:2" });
        let Err(error) = answered(&reply(500, &body.to_string()), &address(false)) else {
            panic!("accepted")
        };
        assert_eq!(
            error.reason(),
            "The webhook answered 500: Error in workflow"
        );
    }

    #[test]
    fn a_stop_for_404_is_looked_at_again_within_a_minute() {
        for jitter in [0.8, 1.0, 1.2, 9.0] {
            let wait = look_again(jitter).as_secs();
            assert!((30..=60).contains(&wait), "{wait}");
        }
    }
}
