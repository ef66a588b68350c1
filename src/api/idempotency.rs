//! `Idempotency-Key`: the same key within 48 hours answers the first result.
//!
//! Invariant: the key is taken before the work begins, so two requests at once do it once; a failed
//! request gives its key back. Owns `idempotency_keys`.

use std::future::Future;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, body::MessageBody as _};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Jsonb, Nullable, SmallInt, Text};
use diesel_async::RunQueryDsl;
use sha2::{Digest as _, Sha256};

use super::error::{ApiError, ApiResult};
use super::token::ApiCaller;
use crate::app::App;
use crate::error::Error;

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Binary)]
    request_hash: Vec<u8>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    status: Option<i16>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    answer: Option<serde_json::Value>,
}

/// Runs `work` once for the request's key; without a key, simply runs it.
pub async fn once<F>(
    app: &App,
    caller: &ApiCaller,
    request: &HttpRequest,
    body: &[u8],
    work: F,
) -> ApiResult
where
    F: Future<Output = ApiResult>,
{
    let key = request
        .headers()
        .get("Idempotency-Key")
        .and_then(|key| key.to_str().ok())
        .map(str::to_owned);
    let Some(key) = key.filter(|key| !key.is_empty() && key.len() <= 255) else {
        return work.await;
    };
    let hash = Sha256::digest([request.path().as_bytes(), b"\n", body].concat()).to_vec();
    if let Some(known) = take(app, caller, &key, &hash).await? {
        return first_answer(&known, &hash);
    }
    let answer = work.await;
    let mut conn = app.db.company(caller.company).await?;
    match answer {
        Ok(response) => {
            let status = response.status();
            let bytes = response.into_body().try_into_bytes().unwrap_or_default();
            let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            sql_query("UPDATE idempotency_keys SET status = $3, answer = $4 WHERE token_id = $1 AND key = $2")
                .bind::<BigInt, _>(caller.token_id)
                .bind::<Text, _>(&key)
                .bind::<SmallInt, _>(i16::try_from(status.as_u16()).unwrap_or(200))
                .bind::<Jsonb, _>(&json)
                .execute(&mut *conn)
                .await?;
            conn.commit().await?;
            Ok(HttpResponse::build(status).json(json))
        }
        Err(error) => {
            sql_query("DELETE FROM idempotency_keys WHERE token_id = $1 AND key = $2")
                .bind::<BigInt, _>(caller.token_id)
                .bind::<Text, _>(&key)
                .execute(&mut *conn)
                .await?;
            conn.commit().await?;
            Err(error)
        }
    }
}

/// `None`: the key is ours now.
async fn take(
    app: &App,
    caller: &ApiCaller,
    key: &str,
    hash: &[u8],
) -> Result<Option<Known>, ApiError> {
    let mut conn = app.db.company(caller.company).await?;
    sql_query("DELETE FROM idempotency_keys WHERE token_id = $1 AND created_at < wablast_now() - interval '48 hours'")
        .bind::<BigInt, _>(caller.token_id)
        .execute(&mut *conn)
        .await?;
    let taken = sql_query(
        "INSERT INTO idempotency_keys (company_id, token_id, key, request_hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(caller.company)
    .bind::<BigInt, _>(caller.token_id)
    .bind::<Text, _>(key)
    .bind::<Binary, _>(hash)
    .execute(&mut *conn)
    .await?;
    let known = if taken == 1 {
        None
    } else {
        sql_query("SELECT request_hash, status, answer FROM idempotency_keys WHERE token_id = $1 AND key = $2")
            .bind::<BigInt, _>(caller.token_id)
            .bind::<Text, _>(key)
            .get_result(&mut *conn)
            .await
            .optional()?
    };
    conn.commit().await?;
    Ok(known)
}

fn first_answer(known: &Known, hash: &[u8]) -> ApiResult {
    if known.request_hash != hash {
        return Err(ApiError(Error::invalid(
            "Idempotency-Key",
            "This key was used for another request. Use a new one.",
        )));
    }
    match (known.status, &known.answer) {
        (Some(status), Some(answer)) => {
            let status = u16::try_from(status)
                .ok()
                .and_then(|status| StatusCode::from_u16(status).ok());
            Ok(HttpResponse::build(status.unwrap_or(StatusCode::OK)).json(answer))
        }
        _ => Err(ApiError(Error::conflict(
            "The first request with this key is still under way. Ask again in a moment.",
        ))),
    }
}
