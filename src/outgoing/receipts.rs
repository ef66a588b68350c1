//! Evidence: what gateways say later about messages that left.
//!
//! Invariants: within an attempt the rank only rises, so every order and repetition of receipts ends
//! the same; a receipt that comes before its message is known is parked, not lost; evidence is taken in
//! every state of a message.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::gateways::Rank;
use crate::ids::{AccountId, OutgoingId};
use crate::prepared::prepared;

/// One piece of news about one message.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub account: AccountId,
    /// The provider's id of the message, or our own reference.
    pub reference: String,
    pub rank: Rank,
    pub at: DateTime<Utc>,
}

/// The number behind `attempts.rank`.
pub(super) fn rank_number(rank: Rank) -> i16 {
    match rank {
        Rank::Pending => 1,
        Rank::Sent => 2,
        Rank::Failed => 3,
        Rank::Delivered => 4,
        Rank::Read => 5,
    }
}

#[derive(QueryableByName)]
struct Touched {
    #[diesel(sql_type = BigInt)]
    outgoing_id: OutgoingId,
}

/// Messages first, in the order of their ids, then attempts: the order `record` keeps too.
const HOLD: &str = "
SELECT o.id AS outgoing_id FROM outgoing o WHERE o.id IN (
  SELECT a.outgoing_id FROM unnest($1::bigint[], $2::text[]) AS n(account_id, reference)
    JOIN attempts a ON a.account_id = n.account_id AND a.own_ref = n.reference
  UNION
  SELECT a.outgoing_id FROM unnest($1::bigint[], $2::text[]) AS n(account_id, reference)
    JOIN attempts a ON a.account_id = n.account_id AND a.provider_id = n.reference
) ORDER BY o.id FOR UPDATE";

const APPLY: &str = "
WITH news AS (
  SELECT account_id, reference, max(rank) AS rank, max(at) AS at
  FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::timestamptz[]) AS n(account_id, reference, rank, at)
  GROUP BY account_id, reference
), by_ref AS (
  SELECT n.*, a.id AS attempt_id FROM news n JOIN attempts a ON a.account_id = n.account_id AND a.own_ref = n.reference
  UNION
  SELECT n.*, a.id FROM news n JOIN attempts a ON a.account_id = n.account_id AND a.provider_id = n.reference
), raised AS (
  UPDATE attempts a SET rank = greatest(a.rank, b.rank), provider_id = coalesce(a.provider_id, b.reference)
  FROM by_ref b WHERE a.id = b.attempt_id
  RETURNING a.outgoing_id
), parked AS (
  INSERT INTO parked_receipts (company_id, account_id, reference, rank, at)
  SELECT ac.company_id, n.account_id, n.reference, n.rank, n.at FROM news n JOIN accounts ac ON ac.id = n.account_id
  WHERE NOT EXISTS (SELECT FROM by_ref b WHERE b.account_id = n.account_id AND b.reference = n.reference)
  ON CONFLICT DO NOTHING
)
SELECT DISTINCT outgoing_id FROM raised";

/// Applies receipts in any order and any number; returns the messages they spoke of. What matches
/// nothing yet is parked. Run it inside a transaction.
pub async fn apply(
    conn: &mut AsyncPgConnection,
    receipts: &[Receipt],
) -> QueryResult<Vec<OutgoingId>> {
    if receipts.is_empty() {
        return Ok(Vec::new());
    }
    let accounts: Vec<AccountId> = receipts.iter().map(|one| one.account).collect();
    let references: Vec<&str> = receipts.iter().map(|one| one.reference.as_str()).collect();
    let ranks: Vec<i16> = receipts.iter().map(|one| rank_number(one.rank)).collect();
    let times: Vec<DateTime<Utc>> = receipts.iter().map(|one| one.at).collect();
    prepared(HOLD)
        .bind::<Array<BigInt>, _>(&accounts)
        .bind::<Array<Text>, _>(&references)
        .execute(conn)
        .await?;
    let touched: Vec<Touched> = prepared(APPLY)
        .bind::<Array<BigInt>, _>(accounts)
        .bind::<Array<Text>, _>(references)
        .bind::<Array<SmallInt>, _>(ranks)
        .bind::<Array<Timestamptz>, _>(times)
        .load(conn)
        .await?;
    let ids: Vec<OutgoingId> = touched.into_iter().map(|one| one.outgoing_id).collect();
    weigh(conn, &ids).await?;
    Ok(ids)
}

/// What a receipt tells beside its rank, by the reference that was sent along.
#[derive(Debug, Clone)]
pub struct Told {
    pub account: AccountId,
    pub own_ref: Option<String>,
    pub provider_id: String,
    /// Code and words of a failure.
    pub failure: Option<(&'static str, String)>,
}

const LEARN: &str = "
WITH told AS (
  SELECT DISTINCT ON (account_id, provider_id) *
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]) AS t(account_id, own_ref, provider_id, code, words)
  ORDER BY account_id, provider_id, code NULLS LAST
), found AS (
  SELECT a.id, a.outgoing_id, t.provider_id, t.code, t.words FROM told t
    JOIN attempts a ON a.account_id = t.account_id AND a.own_ref = t.own_ref
  UNION
  SELECT a.id, a.outgoing_id, t.provider_id, t.code, t.words FROM told t
    JOIN attempts a ON a.account_id = t.account_id AND a.provider_id = t.provider_id
), held AS (
  SELECT o.id FROM outgoing o WHERE o.id IN (SELECT outgoing_id FROM found) ORDER BY o.id FOR UPDATE
)
UPDATE attempts a SET provider_id = coalesce(a.provider_id, f.provider_id), failure = coalesce(f.words, a.failure),
  failure_code = coalesce(f.code, a.failure_code)
FROM found f WHERE a.id = f.id AND (SELECT count(*) FROM held) >= 0
  AND (a.provider_id IS NULL OR f.code IS NOT NULL)";

/// Notes provider ids that a lost answer kept from us, and why messages failed, before [`apply`] raises their
/// ranks by provider id. Run it inside the same transaction.
pub async fn learn(conn: &mut AsyncPgConnection, told: &[Told]) -> QueryResult<()> {
    if told.is_empty() {
        return Ok(());
    }
    let accounts: Vec<AccountId> = told.iter().map(|one| one.account).collect();
    let own_refs: Vec<Option<&str>> = told.iter().map(|one| one.own_ref.as_deref()).collect();
    let provider_ids: Vec<&str> = told.iter().map(|one| one.provider_id.as_str()).collect();
    let codes: Vec<Option<&str>> = told
        .iter()
        .map(|one| one.failure.as_ref().map(|(code, _)| *code))
        .collect();
    let words: Vec<Option<&str>> = told
        .iter()
        .map(|one| one.failure.as_ref().map(|(_, words)| words.as_str()))
        .collect();
    prepared(LEARN)
        .bind::<Array<BigInt>, _>(accounts)
        .bind::<Array<Nullable<Text>>, _>(own_refs)
        .bind::<Array<Text>, _>(provider_ids)
        .bind::<Array<Nullable<Text>>, _>(codes)
        .bind::<Array<Nullable<Text>>, _>(words)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Parked {
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Text)]
    reference: String,
    #[diesel(sql_type = SmallInt)]
    rank: i16,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

impl From<Parked> for Receipt {
    fn from(parked: Parked) -> Self {
        let rank = match parked.rank {
            2 => Rank::Sent,
            3 => Rank::Failed,
            4 => Rank::Delivered,
            5 => Rank::Read,
            _ => Rank::Pending,
        };
        Self {
            account: parked.account_id,
            reference: parked.reference,
            rank,
            at: parked.at,
        }
    }
}

/// Applies what was parked for messages whose provider id has just become known.
pub(super) async fn apply_parked_for(
    conn: &mut AsyncPgConnection,
    known: &[(AccountId, &str)],
) -> QueryResult<()> {
    let accounts: Vec<AccountId> = known.iter().map(|(account, _)| *account).collect();
    let references: Vec<&str> = known.iter().map(|(_, reference)| *reference).collect();
    let parked: Vec<Parked> = prepared(
        "DELETE FROM parked_receipts p USING unnest($1::bigint[], $2::text[]) AS k(account_id, reference)
         WHERE p.account_id = k.account_id AND p.reference = k.reference
         RETURNING p.account_id, p.reference, p.rank, p.at",
    )
    .bind::<Array<BigInt>, _>(accounts)
    .bind::<Array<Text>, _>(references)
    .load(conn)
    .await?;
    let receipts: Vec<Receipt> = parked.into_iter().map(Receipt::from).collect();
    apply(conn, &receipts).await?;
    Ok(())
}

/// Picks up what both sides missed: receipts parked while their message was being recorded. Returns the
/// messages they spoke of. Run it inside a transaction.
pub async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<Vec<OutgoingId>> {
    let parked: Vec<Parked> = prepared(
        "DELETE FROM parked_receipts p WHERE EXISTS (SELECT FROM attempts a WHERE a.account_id = p.account_id AND a.provider_id = p.reference)
           OR EXISTS (SELECT FROM attempts a WHERE a.account_id = p.account_id AND a.own_ref = p.reference)
         RETURNING p.account_id, p.reference, p.rank, p.at",
    )
    .load(conn)
    .await?;
    let receipts: Vec<Receipt> = parked.into_iter().map(Receipt::from).collect();
    apply(conn, &receipts).await
}

const WEIGH: &str = "
WITH weighed AS (
  SELECT a.outgoing_id, max(a.rank) FILTER (WHERE a.rank IN (1, 2, 4, 5)) AS good,
    (array_agg(a.rank ORDER BY a.fence DESC))[1] AS newest,
    (array_agg(a.failure ORDER BY a.fence DESC))[1] AS failure,
    (array_agg(a.failure_code ORDER BY a.fence DESC))[1] AS failure_code,
    (array_agg(a.provider_id ORDER BY (a.rank IN (1, 2, 4, 5)) DESC, a.fence DESC))[1] AS provider_id
  FROM attempts a WHERE a.outgoing_id = ANY ($1) GROUP BY a.outgoing_id
), verdict AS (
  SELECT outgoing_id, provider_id, failure, failure_code, coalesce(good, CASE WHEN newest = 3 THEN 3 END)::int AS rank FROM weighed
), moved AS (
UPDATE outgoing o SET
  state = (ARRAY['accepted', 'sent', 'failed', 'delivered', 'read'])[v.rank],
  fence = CASE WHEN o.state IN ('queued', 'claimed', 'sending') THEN o.fence + 1 ELSE o.fence END,
  owner = NULL, lease_until = NULL, not_before = NULL,
  number = coalesce(o.number, o.skipped_number),
  code = CASE WHEN v.rank = 3 THEN coalesce(v.failure_code, 'gateway_error') END,
  reason = CASE WHEN v.rank = 3 THEN coalesce(v.failure, 'WhatsApp reported an error after the gateway had taken the message.') END,
  provider_id = coalesce(v.provider_id, o.provider_id),
  accepted_at = CASE WHEN v.rank <> 3 THEN coalesce(o.accepted_at, wablast_now()) ELSE o.accepted_at END,
  sent_at = CASE WHEN v.rank IN (2, 4, 5) THEN coalesce(o.sent_at, wablast_now()) WHEN v.rank <> 3 THEN o.sent_at END,
  delivered_at = CASE WHEN v.rank >= 4 THEN coalesce(o.delivered_at, wablast_now()) ELSE o.delivered_at END,
  read_at = CASE WHEN v.rank = 5 THEN coalesce(o.read_at, wablast_now()) ELSE o.read_at END,
  failed_at = CASE WHEN v.rank = 3 THEN coalesce(o.failed_at, wablast_now()) END
FROM verdict v
WHERE o.id = v.outgoing_id AND v.rank IS NOT NULL
  AND NOT (v.rank = 3 AND o.state IN ('queued', 'claimed'))
  AND (v.rank > CASE o.state WHEN 'accepted' THEN 1 WHEN 'sent' THEN 2 WHEN 'failed' THEN 3 WHEN 'delivered' THEN 4 WHEN 'read' THEN 5 ELSE 0 END
    OR (v.rank = 3 AND o.state = 'failed' AND v.failure IS DISTINCT FROM o.reason AND v.failure IS NOT NULL))
  RETURNING o.company_id, o.account_id, o.reason,
    CASE WHEN v.rank = 3 THEN (SELECT b.state FROM outgoing b WHERE b.id = o.id) <> 'failed' ELSE false END AS failed_now
), late AS (
  INSERT INTO late_marks (company_id, account_id, mark, reason)
  SELECT company_id, account_id, 'f', coalesce(reason, '') FROM moved WHERE failed_now
)
SELECT count(*) AS moved FROM moved";

/// Lets the evidence of their attempts decide the state of messages. A message shows its newest
/// attempt, but one that turns out to have left counts first. That an earlier attempt failed, said again,
/// does not take back that a person wants it tried once more. Those that failed after all count for their
/// account.
pub async fn weigh(conn: &mut AsyncPgConnection, ids: &[OutgoingId]) -> QueryResult<usize> {
    let weighed: Weighed = prepared(WEIGH)
        .bind::<Array<BigInt>, _>(ids)
        .get_result(conn)
        .await?;
    Ok(usize::try_from(weighed.moved).unwrap_or_default())
}

#[derive(QueryableByName)]
struct Weighed {
    #[diesel(sql_type = BigInt)]
    moved: i64,
}
