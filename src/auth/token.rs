//! API tokens: `wab_`, 64 hexadecimal digits, 8 of a checksum; shown once, stored hashed.
//!
//! Invariant: a token acts as its user in its company, with the rights the user has there now. Owns
//! `api_tokens`.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use sha2::{Digest as _, Sha256};

use crate::db::wablast_now;
use crate::ids::{CompanyId, UserId};
use crate::schema::api_tokens;

const PREFIX: &str = "wab_";

fn checksum(body: &str) -> String {
    hex::encode(&Sha256::digest(body.as_bytes())[..4])
}

fn hashed(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// Makes a token and returns it, this once.
pub async fn create(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    name: &str,
    scopes: &[String],
) -> QueryResult<String> {
    let body = hex::encode(crate::random::bytes::<32>());
    let token = format!("{PREFIX}{body}{}", checksum(&body));
    diesel::insert_into(api_tokens::table)
        .values((
            api_tokens::company_id.eq(company),
            api_tokens::user_id.eq(user),
            api_tokens::name.eq(name),
            api_tokens::token_hash.eq(hashed(&token)),
            api_tokens::scopes.eq(scopes),
        ))
        .execute(conn)
        .await?;
    Ok(token)
}

/// Whose token this is: its id, user and company. A mistyped one does not reach the database.
pub async fn find(
    conn: &mut AsyncPgConnection,
    token: &str,
) -> QueryResult<Option<(i64, UserId, CompanyId)>> {
    let whole = token
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_at_checked(64))
        .is_some_and(|(body, check)| checksum(body) == check);
    if !whole {
        return Ok(None);
    }
    let used = api_tokens::last_used_at
        .is_null()
        .or(api_tokens::last_used_at
            .lt(wablast_now().nullable() - diesel::dsl::IntervalDsl::minutes(1)));
    let found = api_tokens::table
        .filter(api_tokens::token_hash.eq(hashed(token)))
        .filter(api_tokens::revoked_at.is_null())
        .select((api_tokens::id, api_tokens::user_id, api_tokens::company_id))
        .first::<(i64, UserId, CompanyId)>(conn)
        .await
        .optional()?;
    if let Some((id, ..)) = found {
        diesel::update(api_tokens::table.find(id).filter(used))
            .set(api_tokens::last_used_at.eq(wablast_now().nullable()))
            .execute(conn)
            .await?;
    }
    Ok(found)
}

/// Ends a token; false when there is none of this id in the company.
pub async fn revoke(conn: &mut AsyncPgConnection, id: i64) -> QueryResult<bool> {
    let changed = diesel::update(
        api_tokens::table
            .find(id)
            .filter(api_tokens::revoked_at.is_null()),
    )
    .set(api_tokens::revoked_at.eq(wablast_now().nullable()))
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// A token as its page lists it; never the token itself.
#[derive(Debug, Clone, diesel::QueryableByName)]
pub struct Listed {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub id: i64,
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub name: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    pub user_name: String,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    pub created_at: chrono::DateTime<chrono::Utc>,
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Timestamptz>)]
    pub last_used_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// The company's living tokens, newest first.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Listed>> {
    diesel::sql_query(
        "SELECT t.id, t.name, u.name AS user_name, t.created_at, t.last_used_at FROM api_tokens t JOIN users u ON u.id = t.user_id
         WHERE t.revoked_at IS NULL ORDER BY t.id DESC",
    )
    .load(conn)
    .await
}
