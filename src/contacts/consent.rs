//! SQL of who wants nothing: people who said stop, and numbers that are blacklisted.
//!
//! Invariant: what was said for another reason is not taken back. The end of waiting messages is `contacts::opt_out`'s.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::db::wablast_now;
use crate::ids::{CompanyId, ContactId};
use crate::schema::contacts;

pub(super) async fn store_opt_out(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
    reason: &str,
) -> QueryResult<usize> {
    diesel::update(
        contacts::table
            .filter(contacts::id.eq_any(ids))
            .filter(contacts::opt_out.eq(false)),
    )
    .set((
        contacts::opt_out.eq(true),
        contacts::opt_out_reason.eq(reason),
        contacts::opt_out_at.eq(wablast_now().nullable()),
        contacts::updated_at.eq(wablast_now()),
    ))
    .execute(conn)
    .await
}

pub(super) async fn store_opt_in(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
) -> QueryResult<usize> {
    diesel::update(
        contacts::table
            .filter(contacts::id.eq_any(ids))
            .filter(contacts::opt_out.eq(true)),
    )
    .set((
        contacts::opt_out.eq(false),
        contacts::opt_out_reason.eq(None::<String>),
        contacts::opt_out_at.eq(None::<DateTime<Utc>>),
        contacts::updated_at.eq(wablast_now()),
    ))
    .execute(conn)
    .await
}

/// How many of these people said stop.
pub async fn count_opted_out(conn: &mut AsyncPgConnection, ids: &[ContactId]) -> QueryResult<i64> {
    contacts::table
        .filter(contacts::id.eq_any(ids))
        .filter(contacts::opt_out.eq(true))
        .count()
        .get_result(conn)
        .await
}

/// Takes back an opt-out and a suppression that have exactly this reason; others stay.
pub async fn opt_in_again(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    contact: Option<ContactId>,
    number: Option<&str>,
    reason: &str,
) -> QueryResult<usize> {
    sql_query("DELETE FROM blacklist WHERE company_id = $1 AND number = $2 AND reason = $3")
        .bind::<BigInt, _>(company)
        .bind::<Nullable<Text>, _>(number)
        .bind::<Text, _>(reason)
        .execute(conn)
        .await?;
    let Some(contact) = contact else {
        return Ok(0);
    };
    let said_so: Option<ContactId> = contacts::table
        .find(contact)
        .filter(contacts::opt_out.eq(true))
        .filter(contacts::opt_out_reason.eq(reason))
        .select(contacts::id)
        .first(conn)
        .await
        .optional()?;
    match said_so {
        Some(contact) => store_opt_in(conn, &[contact]).await,
        None => Ok(0),
    }
}

/// A number nobody may be written to at, whether or not a contact has it.
pub async fn suppress(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: &str,
    reason: &str,
) -> QueryResult<usize> {
    sql_query("INSERT INTO blacklist (company_id, number, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind::<BigInt, _>(company)
        .bind::<Text, _>(number)
        .bind::<Text, _>(reason)
        .execute(conn)
        .await
}

/// Whether whoever has this number opted out, or the number is blacklisted.
pub async fn wants_nothing(conn: &mut AsyncPgConnection, number: &str) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Refused {
        #[diesel(sql_type = Bool)]
        refused: bool,
    }
    let refused: Refused = sql_query(
        "SELECT EXISTS (SELECT FROM blacklist WHERE number = $1)
           OR EXISTS (SELECT FROM contacts WHERE whatsapp_number = $1 AND opt_out) AS refused",
    )
    .bind::<Text, _>(number)
    .get_result(conn)
    .await?;
    Ok(refused.refused)
}
