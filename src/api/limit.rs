//! How often a token may call: over the limit the answer is 429 with `Retry-After`, before anything is done.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{ResponseError as _, web};
use sha2::{Digest as _, Sha256};

use super::error::ApiError;
use crate::error::Error;
use crate::limits::Limits;

pub async fn limited(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let limits = request.app_data::<web::Data<Limits>>().cloned();
    let checked = limits.map_or(Ok(()), |limits| limits.calls.check(&caller(&request)));
    if let Err(after_seconds) = checked {
        let refused = ApiError(Error::RateLimited { after_seconds }).error_response();
        return Ok(request.into_response(refused.map_into_right_body()));
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// The token, not readable any more; without one the address.
fn caller(request: &ServiceRequest) -> String {
    match request.headers().get(AUTHORIZATION) {
        Some(token) => hex::encode(Sha256::digest(token.as_bytes())),
        None => request
            .peer_addr()
            .map(|peer| peer.ip().to_string())
            .unwrap_or_default(),
    }
}
