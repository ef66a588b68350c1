//! WAHA's answers to a send, as outcome classes. The default is *uncertain*.

use std::time::Duration;

use serde_json::Value;

use super::super::http::{Failure, Kind, Reply};
use super::super::{Accepted, FailureCode, SendError, shortened};

/// A session that is starting is asked again after this.
const STARTING: Duration = Duration::from_secs(10);

/// What became of a request that was answered.
pub(super) fn sent(reply: &Reply) -> Result<Accepted, SendError> {
    let body = reply.json();
    let words = || words(reply, body.as_ref());
    match reply.status {
        200..=299 => match body.as_ref().and_then(stanza) {
            Some(provider_id) => Ok(Accepted {
                provider_id: Some(provider_id),
                held: false,
            }),
            None => Err(SendError::Uncertain {
                code: FailureCode::BadResponse,
                reason: "WAHA took the request but answered without a message id.".to_owned(),
            }),
        },
        401 | 403 => Err(auth()),
        404 => Err(SendError::AccountStop {
            code: FailureCode::GatewayError,
            reason: words(),
        }),
        422 => Err(unprocessable(body.as_ref(), words())),
        429 => Err(SendError::NotSent {
            after: reply.retry_after,
            code: FailureCode::RateLimited,
            reason: words(),
        }),
        400 => Err(SendError::Refused {
            code: FailureCode::GatewayRefused,
            reason: words(),
        }),
        501 => Err(SendError::Refused {
            code: FailureCode::MediaRejected,
            reason: words(),
        }),
        _ => Err(SendError::Uncertain {
            code: FailureCode::GatewayError,
            reason: words(),
        }),
    }
}

/// An answer other than 2xx to a question: nothing was sent by it.
pub(super) fn asked(reply: &Reply) -> SendError {
    let body = reply.json();
    let words = words(reply, body.as_ref());
    match reply.status {
        401 | 403 => auth(),
        404 => SendError::AccountStop {
            code: FailureCode::GatewayError,
            reason: words,
        },
        422 => unprocessable(body.as_ref(), words),
        429 => SendError::NotSent {
            after: reply.retry_after,
            code: FailureCode::RateLimited,
            reason: words,
        },
        _ => SendError::NotSent {
            after: None,
            code: FailureCode::GatewayError,
            reason: words,
        },
    }
}

/// What became of a request that was not answered.
pub(in crate::gateways) fn failed(failure: Failure) -> SendError {
    match failure {
        Failure::NotSent { kind, reason } => SendError::NotSent {
            after: None,
            code: code_of(kind),
            reason,
        },
        Failure::Ambiguous { kind, reason } => SendError::Uncertain {
            code: code_of(kind),
            reason,
        },
    }
}

pub(in crate::gateways) fn code_of(kind: Kind) -> FailureCode {
    match kind {
        Kind::Address | Kind::Dns | Kind::Connect => FailureCode::Unreachable,
        Kind::Tls => FailureCode::Tls,
        Kind::Timeout => FailureCode::Timeout,
        Kind::Broken | Kind::TooLarge => FailureCode::BadResponse,
    }
}

fn auth() -> SendError {
    SendError::AccountStop {
        code: FailureCode::Auth,
        reason: "WAHA does not accept the API key (Unauthorized).".to_owned(),
    }
}

/// 422: the session is not as it should be, does not exist, or the feature is not in this build.
fn unprocessable(body: Option<&Value>, words: String) -> SendError {
    let status = body.and_then(|body| body["status"].as_str());
    match status {
        Some("STOPPED" | "FAILED" | "SCAN_QR_CODE") => SendError::AccountStop {
            code: FailureCode::GatewayError,
            reason: words,
        },
        Some(_) => SendError::NotSent {
            after: Some(STARTING),
            code: FailureCode::GatewayError,
            reason: words,
        },
        None if words.contains("does not exist") || words.contains("only 'default' session") => {
            SendError::AccountStop {
                code: FailureCode::GatewayError,
                reason: words,
            }
        }
        None if words.contains("Plus version") => SendError::Refused {
            code: FailureCode::MediaRejected,
            reason: words,
        },
        // Typed and answered before anything was done, but not known to us.
        None => SendError::Uncertain {
            code: FailureCode::GatewayError,
            reason: words,
        },
    }
}

/// WAHA's own words. A 500 echoes our request: only its exception's message is taken.
fn words(reply: &Reply, body: Option<&Value>) -> String {
    let Some(body) = body else {
        return match exception(&reply.body) {
            Some(text) => shortened(&format!("WAHA answered {}: {text}", reply.status)),
            None => format!("WAHA answered {} without saying why.", reply.status),
        };
    };
    let status = body["status"]
        .as_str()
        .map(|status| format!(" (session {status})"))
        .unwrap_or_default();
    let text = [
        &body["exception"]["message"],
        &body["error"],
        &body["message"],
    ]
    .into_iter()
    .filter_map(Value::as_str)
    .max_by_key(|text| text.len())
    .unwrap_or("no reason given");
    shortened(&format!("WAHA answered {}: {text}{status}", reply.status))
}

/// The message of a 500 whose echo of our request was too long to be read to its end.
fn exception(body: &[u8]) -> Option<String> {
    let body = String::from_utf8_lossy(body);
    let (_, rest) = body.split_once(r#""exception":{"message":"#)?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    values.next()?.ok()
}

/// The id of a message in every shape engines answer with: the stanza, the third part of a full id.
pub(in crate::gateways) fn stanza(body: &Value) -> Option<String> {
    let id = &body["id"];
    [&id["_serialized"], id, &id["id"], &body["key"]["id"]]
        .into_iter()
        .filter_map(Value::as_str)
        .find(|id| !id.is_empty())
        .map(|id| super::events::stanza(id).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reply(status: u16, body: &Value) -> Reply {
        Reply {
            status,
            body: serde_json::to_vec(body).unwrap(),
            retry_after: None,
        }
    }

    fn class(status: u16, body: &Value) -> &'static str {
        match sent(&reply(status, body)) {
            Ok(_) => "accepted",
            Err(SendError::NotSent { .. }) => "not sent",
            Err(SendError::AccountStop { .. }) => "account stop",
            Err(SendError::MailingStop { .. }) => "mailing stop",
            Err(SendError::Refused { .. }) => "refused",
            Err(SendError::Uncertain { .. }) => "uncertain",
        }
    }

    #[test]
    fn every_engine_s_answer_gives_the_stanza() {
        for body in [
            json!({"key": {"remoteJid": "5511@s.whatsapp.net", "fromMe": true, "id": "3EB0A"}, "status": "PENDING"}),
            json!({"id": {"fromMe": true, "remote": "1@g.us", "id": "3EB0A", "_serialized": "true_1@g.us_3EB0A"}}),
            json!({"id": "true_123@lid_3EB0A", "_data": {}}),
            json!({"id": "true_123@g.us_3EB0A_99@c.us"}),
        ] {
            assert_eq!(
                sent(&reply(201, &body)).unwrap().provider_id.as_deref(),
                Some("3EB0A"),
                "{body}"
            );
        }
    }

    #[test]
    fn every_answer_has_its_class_and_the_default_is_uncertain() {
        let session = |status: &str| json!({"error": "Session status is not as expected. Try again later or restart the session", "session": "default", "status": status, "expected": ["WORKING"]});
        let exception = json!({"statusCode": 500, "exception": {"message": "Connection Closed", "stack": "at x"}, "request": {"body": {"text": "private"}}});
        for (status, body, expected) in [
            (201, json!({}), "uncertain"),
            (201, json!(null), "uncertain"),
            (
                401,
                json!({"message": "Unauthorized", "statusCode": 401}),
                "account stop",
            ),
            (403, json!({}), "account stop"),
            (
                404,
                json!({"message": "Cannot POST /api/sendText"}),
                "account stop",
            ),
            (422, session("STOPPED"), "account stop"),
            (422, session("FAILED"), "account stop"),
            (422, session("SCAN_QR_CODE"), "account stop"),
            (422, session("STARTING"), "not sent"),
            (422, session("PASSKEY_REQUIRED"), "not sent"),
            (
                422,
                json!({"error": "Session \"x\" does not exist", "session": "x"}),
                "account stop",
            ),
            (
                422,
                json!({"message": "WAHA Core support only 'default' session."}),
                "account stop",
            ),
            (
                422,
                json!({"message": "The feature is available only in Plus version for 'NOWEB' engine."}),
                "refused",
            ),
            (422, json!({"message": "?"}), "uncertain"),
            (429, json!({}), "not sent"),
            (
                400,
                json!({"message": "Session name is required"}),
                "refused",
            ),
            (500, exception.clone(), "uncertain"),
            (502, json!(null), "uncertain"),
            (302, json!(null), "uncertain"),
            (418, json!(null), "uncertain"),
        ] {
            assert_eq!(class(status, &body), expected, "{status} {body}");
        }
        let Err(error) = sent(&reply(500, &exception)) else {
            panic!("accepted")
        };
        assert_eq!(error.reason(), "WAHA answered 500: Connection Closed");
    }
}
