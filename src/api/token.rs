//! `Authorization: Bearer …` as a caller.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};

use super::error::ApiError;
use crate::app::App;
use crate::auth::{self, Caller};
use crate::error::Error;

/// Who calls, by token.
#[derive(Debug, Clone)]
pub struct ApiCaller {
    pub token_id: i64,
    caller: Caller,
}

impl Deref for ApiCaller {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl FromRequest for ApiCaller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = request.app_data::<web::Data<App>>().cloned();
        let token = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(|token| token.trim().to_owned());
        Box::pin(async move {
            let (Some(app), Some(token)) = (app, token) else {
                return Err(ApiError(Error::SignIn));
            };
            let mut conn = app.db.system().await?;
            let (token_id, user, company) = auth::token::find(&mut conn, &token)
                .await?
                .ok_or(ApiError(Error::SignIn))?;
            let caller = auth::caller(&mut conn, user, Some(company)).await?;
            Ok(Self { token_id, caller })
        })
    }
}
