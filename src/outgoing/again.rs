//! Again, by a person: what failed is tried once more, what is uncertain is sent again or called sent.
//!
//! Invariants: the message keeps its row, so that nobody can have two of one mailing; how it had ended is
//! kept in `log_ends` before it goes back to the queue, and a message that is stopped there falls back to
//! that end; whoever may not be written to any more stays as they are. Owns `log_ends`. Does not know
//! who may do this: mailings do.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::receipts;
use crate::gateways::FailureCode;
use crate::ids::{LogId, MailingId, OutgoingId, UserId};

/// What is to go once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Failed or expired, for a reason that may be over.
    Failed,
    /// Nobody knows whether it arrived; it may arrive twice.
    Uncertain,
}

impl Which {
    fn states(self) -> &'static [&'static str] {
        match self {
            Self::Failed => &["failed", "expired"],
            Self::Uncertain => &["uncertain"],
        }
    }
}

/// SQL: why a message `o` of contact `c` stays as it is; null when it may go again. `$2`: the codes that
/// trying again may mend.
const STAYS: &str = "CASE
  WHEN o.state = 'failed' AND NOT coalesce(o.code, '') = ANY ($2) THEN 'code.' || coalesce(o.code, 'gateway_refused')
  WHEN o.code = 'marketing_limit' AND o.failed_at > wablast_now() - interval '24 hours' THEN 'code.marketing_limit'
  WHEN o.state = 'uncertain' AND o.code = 'handed_over' THEN 'code.handed_over'
  WHEN c.erased_at IS NOT NULL THEN 'skip.erased'
  WHEN c.opt_out THEN 'skip.opted_out'
  WHEN EXISTS (SELECT FROM blacklist b WHERE b.company_id = o.company_id AND b.number = o.number) THEN 'skip.blacklisted'
  WHEN NOT c.active THEN 'skip.inactive'
END";

fn mendable() -> Vec<&'static str> {
    FailureCode::ALL
        .into_iter()
        .filter(|code| code.may_pass())
        .map(FailureCode::as_str)
        .collect()
}

/// What would go, and what stays for which reason (a key of the catalogue).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    pub goes: i64,
    pub stays: Vec<(String, i64)>,
}

/// Looks at a mailing, or at one of its messages, before anything happens.
pub async fn outlook(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
    which: Which,
    only: Option<OutgoingId>,
) -> QueryResult<Outlook> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Text>)]
        stays: Option<String>,
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let rows: Vec<Row> = sql_query(format!(
        "SELECT {STAYS} AS stays, count(*) AS n FROM outgoing o JOIN contacts c ON c.id = o.contact_id
         WHERE o.mailing_id = $1 AND o.state = ANY ($3) AND ($4::bigint IS NULL OR o.id = $4) GROUP BY 1 ORDER BY 2 DESC, 1"
    ))
    .bind::<BigInt, _>(mailing)
    .bind::<Array<Text>, _>(mendable())
    .bind::<Array<Text>, _>(which.states())
    .bind::<Nullable<BigInt>, _>(only)
    .load(conn)
    .await?;
    let mut outlook = Outlook::default();
    for row in rows {
        match row.stays {
            None => outlook.goes += row.n,
            Some(reason) => outlook.stays.push((reason, row.n)),
        }
    }
    Ok(outlook)
}

/// Puts messages of a mailing back into the queue, for the run of `log`. Where delivery is batched they
/// rest until they are opened. The caller holds the mailing. Returns how many.
pub async fn requeue(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
    log: LogId,
    which: Which,
    only: Option<OutgoingId>,
) -> QueryResult<usize> {
    sql_query(format!(
        "WITH chosen AS (
           SELECT o.id, o.company_id, o.log_id, o.state, o.code, o.reason FROM outgoing o JOIN contacts c ON c.id = o.contact_id
           WHERE o.mailing_id = $1 AND o.state = ANY ($3) AND ($4::bigint IS NULL OR o.id = $4) AND {STAYS} IS NULL
           ORDER BY o.id FOR UPDATE OF o
         ), kept AS (
           INSERT INTO log_ends (company_id, log_id, outgoing_id, state, code, reason)
           SELECT company_id, log_id, id, state, code, reason FROM chosen
         )
         UPDATE outgoing o SET state = 'queued', log_id = $5, fence = o.fence + 1, code = NULL, reason = NULL,
           not_before = NULL, not_after = NULL, opened_at = NULL
         FROM chosen WHERE o.id = chosen.id"
    ))
    .bind::<BigInt, _>(mailing)
    .bind::<Array<Text>, _>(mendable())
    .bind::<Array<Text>, _>(which.states())
    .bind::<Nullable<BigInt>, _>(only)
    .bind::<BigInt, _>(log)
    .execute(conn)
    .await
}

/// Which waiting messages fall back.
#[derive(Debug, Clone, Copy)]
pub enum Waiting<'a> {
    OfMailing(MailingId),
    OfContacts(&'a [crate::ids::ContactId]),
}

/// Messages that wait to be tried again and will not be: they end as they had ended before. Belongs
/// before the statement that stops all other waiting messages.
pub(super) async fn fall_back(
    conn: &mut AsyncPgConnection,
    waiting: Waiting<'_>,
) -> QueryResult<usize> {
    let (mailing, contacts) = match waiting {
        Waiting::OfMailing(mailing) => (Some(mailing), Vec::new()),
        Waiting::OfContacts(contacts) => (None, contacts.to_vec()),
    };
    sql_query(
        "WITH ended AS (
           SELECT DISTINCT ON (e.outgoing_id) e.outgoing_id, e.state, e.code, e.reason
           FROM outgoing o JOIN log_ends e ON e.outgoing_id = o.id
           WHERE o.state IN ('queued', 'claimed') AND (o.mailing_id = $1 OR o.contact_id = ANY ($2))
           ORDER BY e.outgoing_id, e.log_id DESC
         )
         UPDATE outgoing o SET state = e.state, code = e.code, reason = e.reason, fence = o.fence + 1, owner = NULL,
           lease_until = NULL, opened_at = NULL
         FROM ended e WHERE o.id = e.outgoing_id AND o.state IN ('queued', 'claimed')",
    )
    .bind::<Nullable<BigInt>, _>(mailing)
    .bind::<Array<BigInt>, _>(contacts)
    .execute(conn)
    .await
}

#[derive(QueryableByName)]
struct Settled {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
}

/// A person says that what is uncertain did arrive. Returns how many messages that settled.
pub async fn mark_sent(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
    user: UserId,
    only: Option<OutgoingId>,
) -> QueryResult<usize> {
    let settled: Vec<Settled> = sql_query(
        "WITH chosen AS (
           SELECT o.id FROM outgoing o WHERE o.mailing_id = $1 AND o.state = 'uncertain' AND ($2::bigint IS NULL OR o.id = $2)
           ORDER BY o.id FOR UPDATE
         ), newest AS (
           SELECT DISTINCT ON (a.outgoing_id) a.id, a.outgoing_id FROM attempts a JOIN chosen ON chosen.id = a.outgoing_id
           ORDER BY a.outgoing_id, a.fence DESC
         )
         UPDATE attempts a SET rank = greatest(a.rank, 2::smallint), settled_by = $3 FROM newest WHERE a.id = newest.id
         RETURNING a.outgoing_id AS id",
    )
    .bind::<BigInt, _>(mailing)
    .bind::<Nullable<BigInt>, _>(only)
    .bind::<BigInt, _>(user)
    .load(conn)
    .await?;
    let ids: Vec<OutgoingId> = settled.into_iter().map(|one| one.id).collect();
    receipts::weigh(conn, &ids).await
}
