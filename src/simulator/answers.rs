//! How a faulty gateway answers, whatever gateway is played.
//!
//! Invariant: what [`before`] answers did not take effect; what [`after`] answers did, in every case.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::http::{StatusCode, Version};
use actix_web::web::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::faults::Fault;
use crate::clock::Clock;

/// A gigabyte, in pieces of 64 KiB.
const ENDLESS: (usize, usize) = (16_384, 65_536);

/// The answer to a message that does not go out; `None`: it does.
pub(super) async fn before(fault: Option<Fault>) -> Option<HttpResponse> {
    let error = |status: StatusCode| {
        HttpResponse::build(status)
            .json(json!({ "statusCode": status.as_u16(), "message": status.canonical_reason() }))
    };
    let busy = |again: &str| {
        HttpResponse::TooManyRequests()
            .insert_header((RETRY_AFTER, again))
            .json(json!({ "statusCode": 429, "message": "Too Many Requests" }))
    };
    Some(match fault? {
        Fault::TimeoutBefore => silence().await,
        Fault::ResetBefore => broken(),
        Fault::CloseBefore => closed(),
        Fault::ErrorBefore => error(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::Refused => HttpResponse::BadRequest().json(
            json!({ "statusCode": 400, "message": ["chatId must be valid"], "error": "Bad Request" }),
        ),
        Fault::RateLimited => busy("1"),
        Fault::RateLimitedDate => {
            let again = Clock::system().now() + chrono::TimeDelta::seconds(3);
            busy(&again.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        }
        Fault::RateLimitedGarbage => busy("after lunch"),
        Fault::RateLimitedHuge => busy("99999999999"),
        Fault::Unauthorized => error(StatusCode::UNAUTHORIZED),
        Fault::Forbidden => error(StatusCode::FORBIDDEN),
        Fault::NotFound => HttpResponse::NotFound()
            .content_type("text/html")
            .body("<html><h1>404 Not Found</h1><hr>nginx</html>"),
        Fault::Conflict => error(StatusCode::CONFLICT),
        Fault::BadGateway => HttpResponse::BadGateway()
            .content_type("text/html")
            .body("<html><h1>502 Bad Gateway</h1><hr>nginx</html>"),
        Fault::Unavailable => error(StatusCode::SERVICE_UNAVAILABLE),
        Fault::Redirect => HttpResponse::TemporaryRedirect()
            .insert_header((LOCATION, "/api/sendText"))
            .finish(),
        Fault::Slow => {
            tokio::time::sleep(Duration::from_secs(20)).await;
            return None;
        }
        _ => return None,
    })
}

/// The answer to a message that went out; `right` is what it should have been.
pub(super) async fn after(fault: Option<Fault>, status: StatusCode, right: &Value) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    match fault {
        Some(Fault::TimeoutAfter) => silence().await,
        Some(Fault::ResetAfter) => broken(),
        Some(Fault::CloseAfter) => closed(),
        Some(Fault::ErrorAfter) => HttpResponse::InternalServerError().finish(),
        Some(Fault::EmptyAnswer) => answer.finish(),
        Some(Fault::GatewayTimeout) => HttpResponse::GatewayTimeout()
            .content_type("text/html")
            .body("<html><h1>504 Gateway Time-out</h1><hr>nginx</html>"),
        Some(Fault::Trickle) => {
            let bytes: Vec<u8> = right.to_string().into_bytes();
            answer.streaming(stream::iter(bytes).then(async |byte| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, std::io::Error>(Bytes::copy_from_slice(&[byte]))
            }))
        }
        Some(Fault::Endless) => {
            let piece = Bytes::from(vec![b' '; ENDLESS.1]);
            let pieces =
                stream::iter(0..ENDLESS.0).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
            answer.streaming(pieces)
        }
        Some(Fault::BadJson) => answer
            .content_type("application/json")
            .body("{\"key\": {\"id\""),
        Some(Fault::OldHttp) => {
            let mut answer = answer.force_close().json(right);
            answer.head_mut().version = Version::HTTP_10;
            answer
        }
        _ => answer.json(right),
    }
}

/// No answer, for longer than anybody waits.
async fn silence() -> HttpResponse {
    tokio::time::sleep(Duration::from_secs(600)).await;
    HttpResponse::RequestTimeout().finish()
}

/// An answer that promises more than it holds: the connection breaks in its middle.
fn broken() -> HttpResponse {
    let pieces = stream::iter([
        Ok(Bytes::from_static(b"{\"key\":")),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    HttpResponse::build(StatusCode::CREATED)
        .no_chunking(4096)
        .content_type("application/json")
        .streaming(pieces)
}

/// The connection ends before a byte of an answer was written.
fn closed() -> HttpResponse {
    let nothing = stream::iter([Err::<Bytes, _>(std::io::Error::from(
        std::io::ErrorKind::ConnectionReset,
    ))]);
    HttpResponse::Created().no_chunking(4096).streaming(nothing)
}
