//! `Idempotency-Key`: the same key within 48 hours answers the first result.
//!
//! Invariant: the key, the work and the answer are one transaction. Two requests at once do the work once,
//! the second waits for the first; after a crash in between neither the work nor the key is there. Answers
//! are stored sealed, because one of them holds a secret. Owns `idempotency_keys`.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Jsonb, Nullable, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::error::{ApiError, ApiResult};
use super::token::ApiCaller;
use crate::app::App;
use crate::crypt::Place;
use crate::error::Error;

const LONGEST_KEY: usize = 255;

/// What a call answers when it worked.
pub struct Answer {
    status: StatusCode,
    body: Value,
}

impl Answer {
    pub fn ok(body: impl serde::Serialize) -> Result<Self, ApiError> {
        Self::with(StatusCode::OK, body)
    }

    pub fn created(body: impl serde::Serialize) -> Result<Self, ApiError> {
        Self::with(StatusCode::CREATED, body)
    }

    pub fn with(status: StatusCode, body: impl serde::Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_value(body).map_err(anyhow::Error::new)?;
        Ok(Self { status, body })
    }

    fn respond(self) -> HttpResponse {
        HttpResponse::build(self.status).json(self.body)
    }
}

/// Runs `work` once for the request's key, in a transaction that is committed with its answer; without a
/// key, simply runs it in one.
pub async fn once<F>(
    app: &App,
    caller: &ApiCaller,
    request: &HttpRequest,
    body: &[u8],
    work: F,
) -> ApiResult
where
    F: AsyncFnOnce(&mut AsyncPgConnection) -> Result<Answer, ApiError>,
{
    let mut conn = app.db.company(caller.company).await?;
    let answer = perform(&mut conn, app, caller, request, body, work).await?;
    conn.commit().await?;
    Ok(answer.respond())
}

/// The same for work on what several companies share: its connection sees them all, so `work` asks for
/// the right first.
pub async fn once_across<F>(
    app: &App,
    caller: &ApiCaller,
    request: &HttpRequest,
    body: &[u8],
    work: F,
) -> ApiResult
where
    F: AsyncFnOnce(&mut AsyncPgConnection) -> Result<Answer, ApiError>,
{
    let mut conn = app.db.across().await?;
    let answer = perform(&mut conn, app, caller, request, body, work).await?;
    conn.commit().await?;
    Ok(answer.respond())
}

async fn perform<F>(
    conn: &mut AsyncPgConnection,
    app: &App,
    caller: &ApiCaller,
    request: &HttpRequest,
    body: &[u8],
    work: F,
) -> Result<Answer, ApiError>
where
    F: AsyncFnOnce(&mut AsyncPgConnection) -> Result<Answer, ApiError>,
{
    let Some(key) = key(request)? else {
        return work(conn).await;
    };
    let hash = Sha256::digest([request.path().as_bytes(), b"\n", body].concat()).to_vec();
    if !take(conn, caller, &key, &hash).await? {
        let known = known(conn, caller, &key).await?;
        return known.first_answer(app, caller, &key, &hash);
    }
    let answer = work(conn).await?;
    keep(conn, app, caller, &key, &answer).await?;
    Ok(answer)
}

fn key(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let Some(key) = request.headers().get("Idempotency-Key") else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= LONGEST_KEY => Ok(Some(key.to_owned())),
        _ => Err(ApiError(Error::invalid(
            "Idempotency-Key",
            format!("A key has 1 to {LONGEST_KEY} letters of ASCII, for example a UUID."),
        ))),
    }
}

/// Whether the key is ours. While another request with it is under way, waits for its end.
async fn take(
    conn: &mut AsyncPgConnection,
    caller: &ApiCaller,
    key: &str,
    hash: &[u8],
) -> QueryResult<bool> {
    sql_query("DELETE FROM idempotency_keys WHERE token_id = $1 AND created_at < wablast_now() - interval '48 hours'")
        .bind::<BigInt, _>(caller.token_id)
        .execute(conn)
        .await?;
    let taken = sql_query(
        "INSERT INTO idempotency_keys (company_id, token_id, key, request_hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(caller.company)
    .bind::<BigInt, _>(caller.token_id)
    .bind::<Text, _>(key)
    .bind::<Binary, _>(hash)
    .execute(conn)
    .await?;
    Ok(taken == 1)
}

async fn keep(
    conn: &mut AsyncPgConnection,
    app: &App,
    caller: &ApiCaller,
    key: &str,
    answer: &Answer,
) -> Result<(), ApiError> {
    let plain = SecretString::from(answer.body.to_string());
    let sealed = app.crypt.seal(place(caller, key), &plain)?;
    sql_query(
        "UPDATE idempotency_keys SET status = $3, answer = $4 WHERE token_id = $1 AND key = $2",
    )
    .bind::<BigInt, _>(caller.token_id)
    .bind::<Text, _>(key)
    .bind::<SmallInt, _>(i16::try_from(answer.status.as_u16()).unwrap_or(200))
    .bind::<Jsonb, _>(json!(hex::encode(sealed)))
    .execute(conn)
    .await?;
    Ok(())
}

fn place<'a>(caller: &ApiCaller, key: &'a str) -> Place<'a> {
    Place {
        table: "idempotency_keys",
        row: caller.token_id,
        column: key,
        company: caller.company.0,
    }
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Binary)]
    request_hash: Vec<u8>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    status: Option<i16>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    answer: Option<Value>,
}

async fn known(conn: &mut AsyncPgConnection, caller: &ApiCaller, key: &str) -> QueryResult<Known> {
    sql_query("SELECT request_hash, status, answer FROM idempotency_keys WHERE token_id = $1 AND key = $2")
        .bind::<BigInt, _>(caller.token_id)
        .bind::<Text, _>(key)
        .get_result(conn)
        .await
}

impl Known {
    fn first_answer(
        &self,
        app: &App,
        caller: &ApiCaller,
        key: &str,
        hash: &[u8],
    ) -> Result<Answer, ApiError> {
        if self.request_hash != hash {
            return Err(ApiError(Error::invalid(
                "Idempotency-Key",
                "This key was used for another request. Use a new one.",
            )));
        }
        let status = self.status.and_then(|status| u16::try_from(status).ok());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let sealed = self.answer.as_ref().and_then(Value::as_str);
        let sealed = sealed.and_then(|text| hex::decode(text).ok());
        let (Some(status), Some(sealed)) = (status, sealed) else {
            return Err(ApiError(Error::conflict(
                "The first request with this key did not end. Use a new one.",
            )));
        };
        let plain = app.crypt.open(place(caller, key), &sealed)?;
        let body: Value =
            serde_json::from_str(plain.expose_secret()).map_err(anyhow::Error::new)?;
        Ok(Answer { status, body })
    }
}
