//! What flows report about messages they took, by our own id of the message.
//!
//! Invariants: one id stands for all tries of a message, so a report counts for the oldest try that is
//! not settled; it is taken in every state of the message, before, during and after the push's own
//! answer; another company's message is not there. Run inside a transaction.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::receipts;
use crate::gateways::webhook::events::Report;
use crate::ids::{AccountId, CompanyId, LogId, OutgoingId};

/// The message of a report, and the account it went through.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct Reported {
    #[diesel(sql_type = BigInt)]
    pub id: OutgoingId,
    #[diesel(sql_type = BigInt)]
    pub account_id: AccountId,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub log_id: Option<LogId>,
}

/// The message a report may speak of: this company's, only one that was tried, and only where a flow sends:
/// what WAHA took itself is not a flow's to call failed.
pub async fn find(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    sent_id: i64,
) -> QueryResult<Option<Reported>> {
    sql_query(
        "SELECT o.id, o.account_id, o.log_id FROM outgoing o JOIN accounts ac ON ac.id = o.account_id
         WHERE o.id = $1 AND o.company_id = $2 AND ac.send_through = 'webhook'
           AND EXISTS (SELECT FROM attempts a WHERE a.outgoing_id = o.id)",
    )
    .bind::<BigInt, _>(sent_id)
    .bind::<BigInt, _>(company)
    .get_result(conn)
    .await
    .optional()
}

/// The same for a flow that proved whose it is: messages of its account, whichever company's.
pub async fn of_account(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    sent_id: i64,
) -> QueryResult<Option<Reported>> {
    sql_query(
        "SELECT o.id, o.account_id, o.log_id FROM outgoing o JOIN accounts ac ON ac.id = o.account_id
         WHERE o.id = $1 AND o.account_id = $2 AND ac.send_through = 'webhook'
           AND EXISTS (SELECT FROM attempts a WHERE a.outgoing_id = o.id)",
    )
    .bind::<BigInt, _>(sent_id)
    .bind::<BigInt, _>(account)
    .get_result(conn)
    .await
    .optional()
}

/// A failure told of what is known to have left changes nothing: it would be tried again and come twice.
/// The try that has this provider id already, else the oldest that is not settled, else the newest.
const RAISE: &str = "
WITH chosen AS (
  SELECT a.id FROM attempts a WHERE a.outgoing_id = $1
  ORDER BY a.provider_id IS NOT DISTINCT FROM $3 AND $3 IS NOT NULL DESC,
    a.rank = 0 AND coalesce(a.outcome, 'uncertain') = 'uncertain' DESC,
    CASE WHEN a.rank = 0 AND coalesce(a.outcome, 'uncertain') = 'uncertain' THEN a.fence ELSE -a.fence END
  LIMIT 1
)
UPDATE attempts a SET rank = CASE WHEN $2 = 3 AND (a.rank > 1 OR a.provider_id IS NOT NULL) THEN a.rank ELSE greatest(a.rank, $2) END, provider_id = coalesce(a.provider_id, $3),
  failure = coalesce($4, a.failure)
FROM chosen WHERE a.id = chosen.id";

/// Applies a report to its message, and lets the evidence decide the message's state.
pub async fn apply(
    conn: &mut AsyncPgConnection,
    message: Reported,
    report: &Report,
) -> QueryResult<()> {
    // Messages before attempts, as outcomes and receipts do.
    sql_query("SELECT id FROM outgoing WHERE id = $1 FOR UPDATE")
        .bind::<BigInt, _>(message.id)
        .execute(conn)
        .await?;
    sql_query(RAISE)
        .bind::<BigInt, _>(message.id)
        .bind::<SmallInt, _>(receipts::rank_number(report.rank))
        .bind::<Nullable<Text>, _>(report.provider_id.as_deref())
        .bind::<Nullable<Text>, _>(report.failure.as_deref())
        .execute(conn)
        .await?;
    if let Some(provider_id) = report.provider_id.as_deref() {
        receipts::apply_parked_for(conn, &[(message.account_id, provider_id)]).await?;
    }
    receipts::weigh(conn, &[message.id]).await?;
    Ok(())
}
