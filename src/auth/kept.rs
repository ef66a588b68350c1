//! Forms that came after their session had ended: kept for a day for whoever wrote them.
//!
//! Invariants: sealed in the database; read by the same person alone; the mark in an address is stored
//! as a hash. Owns `kept_forms`. Knows no form.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bytea, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::crypt::{Crypt, Place};
use crate::error::Result;
use crate::ids::{CompanyId, UserId};

/// Forms kept for one person at a time.
const MOST: i64 = 10;

fn place(user: UserId) -> Place<'static> {
    Place {
        table: "kept_forms",
        row: user.0,
        column: "sealed",
        company: 0,
    }
}

fn hashed(mark: &str) -> Vec<u8> {
    Sha256::digest(mark.as_bytes()).to_vec()
}

/// Keeps a form of `page`; the mark finds it again.
pub async fn store(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    user: UserId,
    page: &str,
    form: &str,
) -> Result<String> {
    let mark = crate::random::token(32);
    let sealed = crypt.seal(place(user), &SecretString::from(form))?;
    sql_query(
        "INSERT INTO kept_forms (id_hash, user_id, company_id, page, sealed)
         SELECT $1, u.id, u.active_company_id, $3, $4 FROM users u WHERE u.id = $2",
    )
    .bind::<Bytea, _>(hashed(&mark))
    .bind::<BigInt, _>(user)
    .bind::<Text, _>(page)
    .bind::<Bytea, _>(sealed)
    .execute(conn)
    .await?;
    sql_query(
        "DELETE FROM kept_forms WHERE user_id = $1 AND id_hash NOT IN
           (SELECT id_hash FROM kept_forms WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2)",
    )
    .bind::<BigInt, _>(user)
    .bind::<BigInt, _>(MOST)
    .execute(conn)
    .await?;
    Ok(mark)
}

/// The page and the form behind a mark, for its writer in the company it was written in.
pub async fn find(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    (user, company): (UserId, CompanyId),
    mark: &str,
) -> Result<Option<(String, String)>> {
    #[derive(QueryableByName)]
    struct Kept {
        #[diesel(sql_type = Text)]
        page: String,
        #[diesel(sql_type = Bytea)]
        sealed: Vec<u8>,
    }
    let kept: Option<Kept> = sql_query(
        "SELECT page, sealed FROM kept_forms
         WHERE id_hash = $1 AND user_id = $2 AND company_id = $3 AND created_at > wablast_now() - interval '1 day'",
    )
    .bind::<Bytea, _>(hashed(mark))
    .bind::<BigInt, _>(user)
    .bind::<BigInt, _>(company)
    .get_result(conn)
    .await
    .optional()?;
    let Some(kept) = kept else { return Ok(None) };
    let form = crypt.open(place(user), &kept.sealed)?;
    Ok(Some((kept.page, form.expose_secret().to_owned())))
}

pub async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query("DELETE FROM kept_forms WHERE created_at < wablast_now() - interval '1 day'")
        .execute(conn)
        .await
}
