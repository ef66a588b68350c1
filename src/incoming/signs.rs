//! What refusals of Meta say of people: that somebody stopped marketing messages, or is not on WhatsApp.
//!
//! Invariants: a sign is followed once, in one transaction with what it changes; a number counts as not on WhatsApp
//! only after two refusals within 90 days, because Meta does not say which of several reasons it was. Owns
//! `told_signs`.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::preferences::{STOPPED_THERE, stop_in_companies};
use crate::accounts;
use crate::app::App;
use crate::contacts;
use crate::error::Error;
use crate::ids::{AccountId, ContactId, OutgoingId};

#[derive(QueryableByName)]
struct Sign {
    #[diesel(sql_type = BigInt)]
    outgoing_id: OutgoingId,
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Text)]
    code: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    contact_id: Option<ContactId>,
    #[diesel(sql_type = Nullable<Text>)]
    number: Option<String>,
}

/// Follows what was noted; returns how many signs.
pub async fn follow(app: &App) -> anyhow::Result<usize> {
    let mut conn = app.db.system().await?;
    let followed = conn
        .transaction(async |conn| {
            let signs: Vec<Sign> = sql_query(
                "WITH taken AS (DELETE FROM told_signs WHERE outgoing_id IN (
                   SELECT outgoing_id FROM told_signs ORDER BY outgoing_id LIMIT 500 FOR UPDATE SKIP LOCKED) RETURNING *)
                 SELECT t.outgoing_id, o.account_id, t.code, o.contact_id, coalesce(o.number, o.skipped_number) AS number
                 FROM taken t JOIN outgoing o ON o.id = t.outgoing_id ORDER BY t.outgoing_id",
            )
            .load(conn)
            .await?;
            for sign in &signs {
                one(conn, sign).await?;
            }
            Ok::<_, Error>(signs.len())
        })
        .await?;
    Ok(followed)
}

async fn one(conn: &mut AsyncPgConnection, sign: &Sign) -> Result<(), Error> {
    if sign.code == "not_on_whatsapp" {
        not_there(conn, sign.outgoing_id).await?;
        return Ok(());
    }
    if let Some(contact) = sign.contact_id {
        contacts::opt_out(conn, &[contact], STOPPED_THERE).await?;
    }
    let account = accounts::query::find(conn, sign.account_id).await?;
    let digits = sign
        .number
        .as_deref()
        .filter(|number| !number.contains('@'));
    stop_in_companies(conn, &account, digits, None, STOPPED_THERE).await
}

/// The second refusal of a person within 90 days makes the number one that is not on WhatsApp.
pub async fn not_there(conn: &mut AsyncPgConnection, message: OutgoingId) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO number_checks (company_id, number, account_id, on_whatsapp)
         SELECT o.company_id, coalesce(o.number, o.skipped_number), o.account_id, false FROM outgoing o
         WHERE o.id = $1 AND coalesce(o.number, o.skipped_number) ~ '^[0-9]+$' AND (SELECT count(*) FROM outgoing e
           WHERE e.contact_id = o.contact_id AND e.code = 'not_on_whatsapp' AND e.failed_at > wablast_now() - interval '90 days') >= 2
         ON CONFLICT (company_id, number) DO UPDATE SET on_whatsapp = false, account_id = excluded.account_id, checked_at = wablast_now()",
    )
    .bind::<BigInt, _>(message)
    .execute(conn)
    .await
}

/// The same for a message that Meta names in a status.
pub async fn not_there_late(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    provider_id: &str,
    own_ref: Option<&str>,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO told_signs (outgoing_id, company_id, code)
         SELECT a.outgoing_id, a.company_id, 'not_on_whatsapp' FROM attempts a
         WHERE a.account_id = $1 AND (a.provider_id = $2 OR a.own_ref = $3) ORDER BY a.id DESC LIMIT 1
         ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(account)
    .bind::<Text, _>(provider_id)
    .bind::<Nullable<Text>, _>(own_ref)
    .execute(conn)
    .await
}
