//! The last look before the first byte: may this message still go?
//!
//! Invariant: a message becomes *sending* only together with its attempt row, in one commit, before its
//! request starts; whoever opted out, a mailing that stopped, an account that may not send and quiet hours that
//! began meanwhile are seen in the same statement. What was to be tried again and may not go ends as it had ended before.

use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz,
    Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::claim::Claimed;
use super::pace::Gates;
use super::queue::seconds;
use super::{LEASE_SECONDS, MEDIA_LEASE_SECONDS};
use crate::ids::{CompanyId, LogId, MediaId, OutgoingId, VersionId};
use crate::prepared::prepared;

/// A message whose attempt is committed: its request must start now.
#[derive(Debug, Clone, QueryableByName)]
pub struct Begun {
    #[diesel(sql_type = BigInt)]
    pub id: OutgoingId,
    #[diesel(sql_type = BigInt)]
    pub company_id: CompanyId,
    #[diesel(sql_type = Integer)]
    pub fence: i32,
    /// Tries so far, this one included.
    #[diesel(sql_type = SmallInt)]
    pub attempts: i16,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub version_id: Option<VersionId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub log_id: Option<LogId>,
    /// The text of a message that belongs to no mailing.
    #[diesel(sql_type = Nullable<Text>)]
    pub text: Option<String>,
    /// The file it carries.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub media_id: Option<MediaId>,
    /// The message that it answers.
    #[diesel(sql_type = Nullable<Text>)]
    pub quoted: Option<String>,
    /// E.164 digits, or another address such as 123@lid.
    #[diesel(sql_type = Nullable<Text>)]
    pub number: Option<String>,
    #[diesel(sql_type = Jsonb)]
    pub field_values: serde_json::Value,
    #[diesel(sql_type = Nullable<Text>)]
    pub own_ref: Option<String>,
}

/// Every row is looked up by its id: nothing else is joined that PostgreSQL could compare with each of them, and
/// `o.state || ''` keeps it from reading the index of all that is open.
const BEGIN: &str = "
WITH wanted AS (
  SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $6::bool[]) AS w(id, fence, own_ref, has_file)
), held AS (
  SELECT o.id, w.fence, w.own_ref, w.has_file FROM wanted w JOIN outgoing o ON o.id = w.id
  WHERE o.fence = w.fence AND o.state || '' = 'claimed' AND o.owner = $4 AND o.lease_until > wablast_now()
  ORDER BY o.id FOR UPDATE OF o
), judged AS (
  SELECT o.id, held.fence, held.own_ref, held.has_file,
    CASE
      WHEN o.kind = 'mailing' AND m.state IS DISTINCT FROM 'sending' THEN 'back'
      WHEN a.health <> 'running' OR NOT a.active OR wablast_pulled(a) <> $11 THEN 'back'
      WHEN o.kind IN ('reply', 'test', 'confirmation') THEN 'go'
      WHEN o.kind = 'mailing' AND q.until IS NOT NULL THEN 'quiet_hours'
      WHEN c.erased_at IS NOT NULL THEN 'erased'
      WHEN c.opt_out THEN 'opted_out'
      WHEN (SELECT true FROM blacklist b WHERE b.company_id = o.company_id AND b.number = o.number) THEN 'blacklisted'
      WHEN NOT c.active THEN 'inactive'
      WHEN o.kind = 'mailing' AND wablast_twin(o.company_id, o.mailing_id, o.id, o.number) THEN 'duplicate'
      WHEN o.kind = 'mailing' AND o.attempts = 0 AND co.frequency_mailings IS NOT NULL AND wablast_mailed(o.contact_id, o.mailing_id, co.frequency_days)
        + (SELECT count(*) FROM outgoing x WHERE x.id = ANY ($1) AND x.contact_id = o.contact_id AND x.mailing_id < o.mailing_id) >= co.frequency_mailings THEN 'frequency_cap'
      ELSE 'go'
    END AS verdict, q.until, e.state AS ended, e.code AS ended_code, e.reason AS ended_reason
  FROM held JOIN outgoing o ON o.id = held.id
  JOIN accounts a ON a.id = o.account_id JOIN companies co ON co.id = o.company_id
  CROSS JOIN LATERAL (SELECT greatest($10, (SELECT u.until FROM unnest($8::text[], $9::timestamptz[]) AS u(prefix, until)
    WHERE starts_with(o.number, u.prefix) ORDER BY length(u.prefix) DESC LIMIT 1)) AS until) q
  LEFT JOIN mailings m ON m.id = o.mailing_id
  LEFT JOIN contacts c ON c.id = o.contact_id
  LEFT JOIN LATERAL (SELECT state, code, reason FROM log_ends WHERE outgoing_id = o.id ORDER BY log_id DESC LIMIT 1) e ON true
), begun AS (
  UPDATE outgoing o SET state = 'sending', attempts = o.attempts + 1, begun_at = wablast_now(),
    lease_until = wablast_now() + make_interval(secs => CASE WHEN j.has_file THEN $7 ELSE $5 END), code = NULL, reason = NULL
  FROM judged j WHERE o.id = j.id AND j.verdict = 'go' AND o.state || '' = 'claimed' AND o.fence = j.fence
  RETURNING o.id, o.company_id, o.account_id, o.fence, o.attempts, o.version_id, o.log_id, o.content_id, o.number, o.field_values, j.own_ref
), tried AS (
  INSERT INTO attempts (company_id, account_id, outgoing_id, log_id, fence, own_ref, begun_at)
  SELECT company_id, account_id, id, log_id, fence, own_ref, wablast_now() FROM begun
), stopped AS (
  UPDATE outgoing o SET fence = o.fence + 1, owner = NULL, lease_until = NULL,
    state = CASE WHEN j.verdict IN ('back', 'quiet_hours') THEN 'queued' ELSE coalesce(j.ended, 'skipped') END,
    not_before = CASE WHEN j.verdict = 'quiet_hours' THEN j.until ELSE o.not_before END,
    code = CASE WHEN j.verdict = 'back' THEN o.code WHEN j.ended IS NOT NULL AND j.verdict <> 'quiet_hours' THEN j.ended_code ELSE j.verdict END,
    reason = CASE WHEN j.verdict IN ('back', 'quiet_hours') THEN o.reason ELSE j.ended_reason END,
    skipped_number = CASE WHEN j.verdict IN ('back', 'quiet_hours') OR j.ended IS NOT NULL THEN o.skipped_number ELSE o.number END,
    number = CASE WHEN j.verdict IN ('back', 'quiet_hours') OR j.ended IS NOT NULL THEN o.number END
  FROM judged j WHERE o.id = j.id AND j.verdict <> 'go' AND o.state || '' = 'claimed' AND o.fence = j.fence
)
SELECT b.id, b.company_id, b.fence, b.attempts, b.version_id, b.log_id, ct.text, ct.quoted, coalesce(v.media_id, ct.media_id) AS media_id, b.number, b.field_values, b.own_ref
FROM begun b LEFT JOIN outgoing_content ct ON ct.id = b.content_id LEFT JOIN mailing_versions v ON v.id = b.version_id
ORDER BY b.id";

/// Begins those of `claimed` that may still go; the others go back to the queue or are skipped with
/// their reason. `own_refs` stand in the order of `claimed`.
pub async fn begin(
    conn: &mut AsyncPgConnection,
    owner: Uuid,
    claimed: &[Claimed],
    own_refs: &[Option<String>],
    gates: &Gates,
) -> QueryResult<Vec<Begun>> {
    let leases = (seconds(LEASE_SECONDS), seconds(MEDIA_LEASE_SECONDS));
    begin_for(conn, owner, claimed, own_refs, gates, leases).await
}

/// The same, held for so many seconds: texts, and what carries a file.
pub(super) async fn begin_for(
    conn: &mut AsyncPgConnection,
    owner: Uuid,
    claimed: &[Claimed],
    own_refs: &[Option<String>],
    gates: &Gates,
    (of_texts, of_files): (f64, f64),
) -> QueryResult<Vec<Begun>> {
    let ids: Vec<OutgoingId> = claimed.iter().map(|one| one.id).collect();
    let fences: Vec<i32> = claimed.iter().map(|one| one.fence).collect();
    let files: Vec<bool> = claimed.iter().map(|one| one.media_id.is_some()).collect();
    prepared(BEGIN)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Integer>, _>(fences)
        .bind::<Array<Nullable<Text>>, _>(own_refs)
        .bind::<SqlUuid, _>(owner)
        .bind::<Double, _>(of_texts)
        .bind::<Array<Bool>, _>(files)
        .bind::<Double, _>(of_files)
        .bind::<Array<Text>, _>(&gates.prefixes)
        .bind::<Array<Nullable<Timestamptz>>, _>(&gates.quiet_until)
        .bind::<Nullable<Timestamptz>, _>(gates.mailings_until)
        .bind::<Bool, _>(gates.by_pull)
        .load(conn)
        .await
}
