//! Errors as JSON, one envelope: `{"error": {"code", "message", "fields"?, "legal"?}}`.

use std::collections::BTreeMap;
use std::fmt;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError};
use utoipa::ToSchema;

use super::document;
use crate::error::Error;

#[derive(Debug)]
pub struct ApiError(pub Error);

pub type ApiResult = Result<HttpResponse, ApiError>;

/// What every refusal looks like.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = Error)]
pub struct Envelope {
    error: Refusal,
}

#[derive(Debug, serde::Serialize, ToSchema)]
pub struct Refusal {
    code: Code,
    /// A sentence for the person behind the program.
    message: String,
    /// With `invalid`: the field's name to what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fields: Option<BTreeMap<String, Vec<String>>>,
    /// With `conflict`: what may be done now, as the last parts of calls: `POST /mailings/{id}/duplicate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    legal: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    Invalid,
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    RateLimited,
    Busy,
    Internal,
}

impl Envelope {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            error: Refusal {
                code,
                message: message.into(),
                fields: None,
                legal: None,
            },
        }
    }
}

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match &self.0 {
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::Forbidden | Error::Refused(_) | Error::StaleForm => StatusCode::FORBIDDEN,
            Error::SignIn => StatusCode::UNAUTHORIZED,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Conflict { .. } | Error::OtherCompany => StatusCode::CONFLICT,
            Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut envelope = Envelope::new(code(&self.0), self.0.to_string());
        let mut response = HttpResponse::build(self.status_code());
        match &self.0 {
            Error::Invalid(fields) => envelope.error.fields = Some(fields.0.clone()),
            Error::Conflict { legal, .. } => {
                envelope.error.legal = Some(document::callable("mailings", legal));
            }
            Error::RateLimited { after_seconds } => {
                response.insert_header((RETRY_AFTER, after_seconds.to_string()));
            }
            Error::Busy => {
                response.insert_header((RETRY_AFTER, "2"));
            }
            Error::SignIn => {
                "Send a valid token: Authorization: Bearer wab_…"
                    .clone_into(&mut envelope.error.message);
            }
            Error::Internal(source) => tracing::error!("{source:#}"),
            Error::NotFound
            | Error::Forbidden
            | Error::Refused(_)
            | Error::StaleForm
            | Error::OtherCompany => {}
        }
        response.json(envelope)
    }
}

fn code(error: &Error) -> Code {
    match error {
        Error::NotFound => Code::NotFound,
        Error::Forbidden | Error::Refused(_) | Error::StaleForm => Code::Forbidden,
        Error::SignIn => Code::Unauthorized,
        Error::Invalid(_) => Code::Invalid,
        Error::Conflict { .. } | Error::OtherCompany => Code::Conflict,
        Error::RateLimited { .. } => Code::RateLimited,
        Error::Busy => Code::Busy,
        Error::Internal(_) => Code::Internal,
    }
}

/// Any other address under /api/v1.
pub async fn no_such_address() -> HttpResponse {
    HttpResponse::NotFound().json(Envelope::new(
        Code::NotFound,
        "There is no such call. /api/v1/openapi.json lists them all.",
    ))
}

/// What the framework refuses before a handler runs (an id that is no number, a body that is too large)
/// in the same envelope.
pub async fn enveloped(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let response = next.call(request).await?;
    let status = response.status();
    let json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !(status.is_client_error() || status.is_server_error()) || json {
        return Ok(response.map_into_left_body());
    }
    let (code, message) = match status {
        StatusCode::NOT_FOUND => (Code::NotFound, "This record does not exist."),
        StatusCode::PAYLOAD_TOO_LARGE => (
            Code::Invalid,
            "The body is too large. Send it in several calls.",
        ),
        _ if status.is_client_error() => (Code::Invalid, "The request cannot be read."),
        _ => (Code::Internal, "Something went wrong on our side."),
    };
    let refused = HttpResponse::build(status).json(Envelope::new(code, message));
    Ok(response.into_response(refused.map_into_right_body()))
}

/// A JSON body as `T`; what does not fit is said in words.
pub fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // PostgreSQL stores no NUL.
    let nul = b"\\u0000";
    if body.contains(&0) || body.windows(nul.len()).any(|six| six == nul) {
        let message = "The body holds the character NUL (\\u0000). Leave it out.";
        return Err(ApiError(Error::invalid("body", message)));
    }
    serde_json::from_slice(body).map_err(|error| {
        ApiError(Error::invalid(
            "body",
            format!("The body is not what this call takes: {error}"),
        ))
    })
}

/// A query string as `T`.
pub fn parse_query<T: serde::de::DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    serde_html_form::from_str(query).map_err(|error| {
        ApiError(Error::invalid(
            "query",
            format!("The query is not what this call takes: {error}"),
        ))
    })
}
