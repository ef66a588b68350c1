//! Mailings that a gateway refuses as such, for example because their template is missing.
//!
//! Invariant: the message is back in the queue, nobody is burnt; what is noted here is taken by the
//! mailings, which pause. Owns `mailing_stops`; does not know what a mailing does with it.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::record::Outcome;
use crate::gateways::SendError;
use crate::ids::{MailingId, OutgoingId};

/// Notes the mailings of a batch whose content was refused; nearly always none, and no statement.
pub async fn note(conn: &mut AsyncPgConnection, outcomes: &[Outcome]) -> QueryResult<()> {
    let (ids, reasons): (Vec<OutgoingId>, Vec<&str>) = outcomes
        .iter()
        .filter_map(|outcome| match &outcome.result {
            Err(SendError::MailingStop { reason, .. }) => Some((outcome.id, reason.as_str())),
            _ => None,
        })
        .unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO mailing_stops (mailing_id, company_id, reason)
         SELECT DISTINCT ON (o.mailing_id) o.mailing_id, o.company_id, t.reason
         FROM unnest($1::bigint[], $2::text[]) AS t(id, reason) JOIN outgoing o ON o.id = t.id
         WHERE o.mailing_id IS NOT NULL ORDER BY o.mailing_id ON CONFLICT DO NOTHING",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Text>, _>(reasons)
    .execute(conn)
    .await?;
    Ok(())
}

/// A mailing and what its gateway said.
#[derive(Debug, QueryableByName)]
pub struct Stop {
    #[diesel(sql_type = BigInt)]
    pub mailing_id: MailingId,
    #[diesel(sql_type = Text)]
    pub reason: String,
}

/// Takes what was noted, in the transaction that pauses them.
pub async fn take(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Stop>> {
    sql_query("DELETE FROM mailing_stops RETURNING mailing_id, reason")
        .load(conn)
        .await
}
