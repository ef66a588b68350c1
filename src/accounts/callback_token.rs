//! The token that a company's flows show when they call back.
//!
//! Invariants: made at random, one a company, shown once and kept only as a hash; making a new one
//! ends the old one, which the company's history tells; comparing tells nothing by its time. Owns
//! `callback_tokens`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::audit;
use crate::ids::{CompanyId, UserId};

const PREFIX: &str = "cbt_";
const LENGTH: usize = 40;

fn hashed(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// Makes a new token, which ends the one before it; returned this once.
pub async fn make(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
) -> QueryResult<SecretString> {
    let token = format!("{PREFIX}{}", crate::random::token(LENGTH));
    sql_query(
        "INSERT INTO callback_tokens (company_id, token_hash, made_by) VALUES ($1, $2, $3)
         ON CONFLICT (company_id) DO UPDATE SET token_hash = excluded.token_hash, made_by = excluded.made_by,
           made_at = wablast_now(), last_used_at = NULL",
    )
    .bind::<BigInt, _>(company)
    .bind::<Binary, _>(hashed(&token))
    .bind::<BigInt, _>(user)
    .execute(conn)
    .await?;
    Ok(SecretString::from(token))
}

/// The same, told in the company's history; `how` where it was no form.
pub async fn renew(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    how: Option<&str>,
) -> QueryResult<SecretString> {
    let token = make(conn, company, user).await?;
    let (record, by) = (company.0, Some(user));
    audit::note(
        conn,
        company,
        "companies",
        record,
        by,
        "callback_token",
        how,
    )
    .await?;
    Ok(token)
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = BigInt)]
    company_id: CompanyId,
    #[diesel(sql_type = Binary)]
    token_hash: Vec<u8>,
}

/// The company whose token this is. It is looked up by its hash, of which nobody can choose a part, and
/// compared once more in constant time.
pub async fn company_of(
    conn: &mut AsyncPgConnection,
    token: &str,
) -> QueryResult<Option<CompanyId>> {
    let hash = hashed(token);
    let held: Option<Held> = sql_query(
        "UPDATE callback_tokens SET last_used_at = wablast_now() WHERE token_hash = $1 RETURNING company_id, token_hash",
    )
    .bind::<Binary, _>(&hash)
    .get_result(conn)
    .await
    .optional()?;
    Ok(held
        .filter(|held| bool::from(held.token_hash.ct_eq(&hash)))
        .map(|held| held.company_id))
}

/// What a page tells of a company's token.
#[derive(Debug, Clone, QueryableByName)]
pub struct State {
    #[diesel(sql_type = Text)]
    pub made_by: String,
    #[diesel(sql_type = Timestamptz)]
    pub made_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_used_at: Option<DateTime<Utc>>,
}

/// `None`: there is no token yet, so no flow can call back.
pub async fn state(conn: &mut AsyncPgConnection, company: CompanyId) -> QueryResult<Option<State>> {
    sql_query(
        "SELECT u.name AS made_by, t.made_at, t.last_used_at FROM callback_tokens t JOIN users u ON u.id = t.made_by
         WHERE t.company_id = $1",
    )
    .bind::<BigInt, _>(company)
    .get_result(conn)
    .await
    .optional()
}
