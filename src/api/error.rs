//! Errors as JSON, one envelope: `{"error": {"code", "message", "fields"?, "legal"?}}`.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

use crate::error::Error;

#[derive(Debug)]
pub struct ApiError(pub Error);

pub type ApiResult = Result<HttpResponse, ApiError>;

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
        let mut error = json!({ "code": code(&self.0), "message": self.0.to_string() });
        let mut response = HttpResponse::build(self.status_code());
        match &self.0 {
            Error::Invalid(fields) => error["fields"] = json!(fields),
            Error::Conflict { legal, .. } => error["legal"] = json!(legal),
            Error::RateLimited { after_seconds } => {
                response.insert_header((RETRY_AFTER, after_seconds.to_string()));
            }
            Error::Busy => {
                response.insert_header((RETRY_AFTER, "2"));
            }
            Error::SignIn => {
                error["message"] = json!("Send a valid token: Authorization: Bearer wab_…")
            }
            Error::Internal(source) => tracing::error!("{source:#}"),
            Error::NotFound
            | Error::Forbidden
            | Error::Refused(_)
            | Error::StaleForm
            | Error::OtherCompany => {}
        }
        response.json(json!({ "error": error }))
    }
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::NotFound => "not_found",
        Error::Forbidden | Error::Refused(_) | Error::StaleForm => "forbidden",
        Error::SignIn => "unauthorized",
        Error::Invalid(_) => "invalid",
        Error::Conflict { .. } | Error::OtherCompany => "conflict",
        Error::RateLimited { .. } => "rate_limited",
        Error::Busy => "busy",
        Error::Internal(_) => "internal",
    }
}

/// Any other address under /api/v1.
pub async fn no_such_address() -> ApiResult {
    Err(ApiError(Error::NotFound))
}

/// A JSON body as `T`; what does not fit is said in words.
pub fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
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
