//! Messages that Meta took and holds back while it assesses the quality of their template.
//!
//! Invariant: not a state of its own: such a message is *accepted* with a code that the first receipt takes away,
//! whether it was sent after all or failed.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::MailingId;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// How many of a mailing are held; they have an index of their own.
pub async fn of_mailing(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<i64> {
    let found: Found = sql_query(
        "SELECT count(*) AS n FROM outgoing WHERE mailing_id = $1 AND state = 'accepted' AND code = 'held_for_quality'",
    )
    .bind::<BigInt, _>(mailing)
    .get_result(conn)
    .await?;
    Ok(found.n)
}
