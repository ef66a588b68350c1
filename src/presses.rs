//! Buttons pressed twice: a form of one page is done once, also when it is sent twice at the same time.
//!
//! Invariant: a press is stored in the transaction of what it does: the second waits for the first to end,
//! and finds either its result or nothing at all. Owns `presses`.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::CompanyId;
use crate::schema::presses;

/// What the first press led to; `None`: this is the first.
pub async fn before(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    key: &[u8],
) -> QueryResult<Option<String>> {
    let first = diesel::insert_into(presses::table)
        .values((presses::company_id.eq(company), presses::key.eq(key)))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    if first == 1 {
        return Ok(None);
    }
    let result: Option<String> = presses::table
        .find((company, key))
        .select(presses::result)
        .first(conn)
        .await?;
    Ok(Some(result.unwrap_or_default()))
}

/// Where the first press led.
pub async fn led_to(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    key: &[u8],
    result: &str,
) -> QueryResult<usize> {
    diesel::update(presses::table.find((company, key)))
        .set(presses::result.eq(result))
        .execute(conn)
        .await
}

/// Nobody presses a button of a page two days old.
pub async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    diesel::sql_query("DELETE FROM presses WHERE created_at < wablast_now() - interval '2 days'")
        .execute(conn)
        .await
}
