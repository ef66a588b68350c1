//! Taking what is next: claimed with pace, and begun at once where nothing has to be prepared.
//!
//! Invariants: tokens are granted in the statement that claims, so all instances together never exceed an
//! account's pace; a claim raises the fence; urgent kinds come first, then the running mailings of the
//! account, an equal share each. Where delivery is batched a mailing's messages go only when they were
//! opened (`open.rs`); what the account's delivery is now decides. A first try of a mailing's plain text
//! becomes *sending* here, together with its attempt: one write of its row less. Whoever may not get it is
//! left *claimed*, and `begin` says why.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, SmallInt, Text, Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::LEASE_SECONDS;
use super::begin::Begun;
use super::queue::seconds;
use crate::ids::{AccountId, CompanyId, LogId, MailingId, MediaId, OutgoingId, VersionId};
use crate::prepared::prepared;

/// A message held by one deliverer until its lease ends.
#[derive(Debug, Clone, Copy)]
pub struct Claimed {
    pub id: OutgoingId,
    pub fence: i32,
    /// The file it carries.
    pub media_id: Option<MediaId>,
    pub mailing_id: Option<MailingId>,
}

/// What one statement took.
#[derive(Debug, Default)]
pub struct Taken {
    /// To be prepared, and begun by `begin`.
    pub claimed: Vec<Claimed>,
    /// Their attempts are committed: their requests must start now.
    pub begun: Vec<Begun>,
}

/// What a deliverer has ready for messages that are begun at once.
#[derive(Debug, Default)]
pub struct Ready {
    /// Whether any may be begun at once.
    pub begin: bool,
    /// Own references; `None`: the gateway takes none. Only as many are begun as there are.
    pub own_refs: Option<Vec<String>>,
}

/// Up to where each mailing was taken a moment ago: what lies before are index entries of messages that
/// left, which PostgreSQL cannot skip while somebody else's long query may still want to see them.
#[derive(Debug)]
pub struct Trail {
    above: HashMap<MailingId, OutgoingId>,
    since: Instant,
}

impl Default for Trail {
    fn default() -> Self {
        Self {
            above: HashMap::new(),
            since: Instant::now(),
        }
    }
}

impl Trail {
    /// What came back to the queue further ahead is found again after this time.
    const BELIEVE: Duration = Duration::from_millis(500);

    fn forget_old(&mut self) {
        if self.since.elapsed() > Self::BELIEVE {
            self.above.clear();
            self.since = Instant::now();
        }
    }

    fn note(&mut self, row: &Row) {
        if let Some(mailing) = row.mailing_id {
            let above = self.above.entry(mailing).or_insert(row.id);
            *above = (*above).max(row.id);
        }
    }
}

/// `direct` and `opened` are the same reading over two indexes; of an account one of them is empty. People
/// are looked up by id and rows found by `= ANY`: PostgreSQL expects a tenth of the queue behind the limits
/// and would read whole tables.
const TAKE: &str = "
WITH pace AS (
  SELECT p.account_id, a.delivery = 'batched' AS batched,
    least(a.burst, p.tokens + a.per_second * greatest(0, extract(epoch FROM wablast_now() - p.tokens_at)))::float8 AS available
  FROM account_pace p JOIN accounts a ON a.id = p.account_id
  WHERE p.account_id = $1 AND a.active AND a.health = 'running'
    AND (p.blocked_until IS NULL OR p.blocked_until <= wablast_now())
  FOR UPDATE OF p
), running AS (
  SELECT m.id, coalesce((SELECT f.above FROM unnest($8::bigint[], $9::bigint[]) AS f(id, above) WHERE f.id = m.id), 0) AS above
  FROM mailings m WHERE m.account_id = $1 AND m.state = 'sending'
), budget AS (
  SELECT least(floor(available), $2)::int AS n,
    ceil(least(floor(available), $2) / greatest(1, (SELECT count(*) FROM running)))::int AS share
  FROM pace
), urgent AS (
  SELECT o.id FROM outgoing o
  WHERE o.account_id = $1 AND o.state = 'queued' AND o.kind <> 'mailing'
    AND (o.not_before IS NULL OR o.not_before <= (SELECT wablast_now()))
    AND (o.not_after IS NULL OR o.not_after > (SELECT wablast_now()))
  ORDER BY CASE o.kind WHEN 'confirmation' THEN 0 WHEN 'reply' THEN 1 WHEN 'welcome' THEN 3 ELSE 2 END, o.id
  LIMIT coalesce((SELECT n FROM budget), 0) FOR UPDATE OF o SKIP LOCKED
), direct AS (
  SELECT q.* FROM running r CROSS JOIN LATERAL (
    SELECT o.id, o.company_id, o.contact_id, o.version_id, o.number, o.attempts FROM outgoing o
    WHERE o.mailing_id = r.id AND o.id > r.above AND o.state = 'queued'
      AND (o.not_before IS NULL OR o.not_before <= (SELECT wablast_now()))
      AND (o.not_after IS NULL OR o.not_after > (SELECT wablast_now()))
    ORDER BY o.id LIMIT (SELECT share FROM budget) FOR UPDATE OF o SKIP LOCKED) q
  WHERE NOT (SELECT batched FROM pace)
  LIMIT greatest(0, (SELECT n FROM budget) - (SELECT count(*) FROM urgent))
), opened AS (
  SELECT q.* FROM running r CROSS JOIN LATERAL (
    SELECT o.id, o.company_id, o.contact_id, o.version_id, o.number, o.attempts FROM outgoing o
    WHERE o.mailing_id = r.id AND o.id > r.above AND o.state = 'queued' AND o.opened_at IS NOT NULL
      AND (o.not_before IS NULL OR o.not_before <= (SELECT wablast_now()))
      AND (o.not_after IS NULL OR o.not_after > (SELECT wablast_now()))
    ORDER BY o.id LIMIT (SELECT share FROM budget) FOR UPDATE OF o SKIP LOCKED) q
  WHERE (SELECT batched FROM pace)
  LIMIT greatest(0, (SELECT n FROM budget) - (SELECT count(*) FROM urgent))
), chosen AS (
  SELECT id, company_id, contact_id, version_id, number, attempts FROM direct
  UNION ALL SELECT id, company_id, contact_id, version_id, number, attempts FROM opened
  UNION ALL SELECT id, NULL, NULL, NULL, NULL, NULL FROM urgent
), ready AS (
  SELECT q.id, row_number() OVER (ORDER BY q.id) AS n FROM chosen q
  WHERE $5 AND q.attempts = 0 AND q.number IS NOT NULL
    AND (SELECT v.media_id IS NULL FROM mailing_versions v WHERE v.id = q.version_id)
    AND (SELECT c.active AND NOT c.opt_out AND c.erased_at IS NULL FROM contacts c WHERE c.id = q.contact_id)
    AND NOT EXISTS (SELECT FROM blacklist b WHERE b.company_id = q.company_id AND b.number = q.number)
), judged AS MATERIALIZED (
  SELECT q.id, r.n, coalesce(r.n <= $6, false) AS go FROM chosen q LEFT JOIN ready r ON r.id = q.id
), taken AS (
  UPDATE outgoing o SET fence = o.fence + 1, owner = $3, lease_until = wablast_now() + make_interval(secs => $4),
    state = CASE WHEN j.go THEN 'sending' ELSE 'claimed' END,
    attempts = o.attempts + j.go::int, begun_at = CASE WHEN j.go THEN wablast_now() ELSE o.begun_at END
  FROM judged j WHERE o.id = ANY (ARRAY(SELECT id FROM judged)) AND o.id = j.id AND o.state = 'queued'
  RETURNING o.id, j.n, j.go, o.company_id, o.account_id, o.fence, o.attempts, o.mailing_id, o.version_id, o.log_id, o.content_id, o.number, o.field_values
), tried AS (
  INSERT INTO attempts (company_id, account_id, outgoing_id, log_id, fence, own_ref, begun_at)
  SELECT company_id, account_id, id, log_id, fence, ($7::text[])[n], wablast_now() FROM taken WHERE go
), spent AS (
  UPDATE account_pace p SET tokens = pace.available - (SELECT count(*) FROM taken), tokens_at = wablast_now()
  FROM pace WHERE p.account_id = pace.account_id AND EXISTS (SELECT FROM taken)
)
SELECT t.id, t.fence, t.mailing_id, t.go AS begun, t.company_id, t.attempts, t.version_id, t.log_id, t.number, t.field_values,
  ($7::text[])[t.n] AS own_ref, coalesce(v.media_id, ct.media_id) AS media_id
FROM taken t LEFT JOIN mailing_versions v ON v.id = t.version_id LEFT JOIN outgoing_content ct ON ct.id = t.content_id
ORDER BY t.id";

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    #[diesel(sql_type = Integer)]
    fence: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    mailing_id: Option<MailingId>,
    #[diesel(sql_type = Bool)]
    begun: bool,
    #[diesel(sql_type = BigInt)]
    company_id: CompanyId,
    #[diesel(sql_type = SmallInt)]
    attempts: i16,
    #[diesel(sql_type = Nullable<BigInt>)]
    version_id: Option<VersionId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    log_id: Option<LogId>,
    #[diesel(sql_type = Nullable<Text>)]
    number: Option<String>,
    #[diesel(sql_type = Jsonb)]
    field_values: serde_json::Value,
    #[diesel(sql_type = Nullable<Text>)]
    own_ref: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    media_id: Option<MediaId>,
}

/// Takes at most `limit` messages of an account that may go now, as far as its pace allows.
pub async fn take(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    owner: Uuid,
    limit: usize,
    ready: &Ready,
    trail: &mut Trail,
) -> QueryResult<Taken> {
    trail.forget_old();
    let rows = rows(conn, account, owner, limit, ready, trail).await?;
    let mut taken = Taken::default();
    let all = rows.len() < limit;
    for row in rows {
        trail.note(&row);
        if row.begun {
            taken.begun.push(Begun {
                id: row.id,
                company_id: row.company_id,
                fence: row.fence,
                attempts: row.attempts,
                version_id: row.version_id,
                log_id: row.log_id,
                text: None,
                media_id: None,
                quoted: None,
                number: row.number,
                field_values: row.field_values,
                own_ref: row.own_ref,
            });
        } else {
            taken.claimed.push(Claimed {
                id: row.id,
                fence: row.fence,
                media_id: row.media_id,
                mailing_id: row.mailing_id,
            });
        }
    }
    if all {
        trail.above.clear();
    }
    Ok(taken)
}

/// Claims at most `limit` messages and begins none.
pub async fn claim(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    owner: Uuid,
    limit: usize,
) -> QueryResult<Vec<Claimed>> {
    let none = Ready::default();
    let taken = take(conn, account, owner, limit, &none, &mut Trail::default()).await?;
    Ok(taken.claimed)
}

async fn rows(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    owner: Uuid,
    limit: usize,
    ready: &Ready,
    trail: &Trail,
) -> QueryResult<Vec<Row>> {
    let own_refs: &[String] = ready.own_refs.as_deref().unwrap_or_default();
    let at_most = ready.own_refs.as_ref().map_or(limit, Vec::len);
    let (mailings, above): (Vec<MailingId>, Vec<OutgoingId>) = trail
        .above
        .iter()
        .map(|(mailing, above)| (*mailing, *above))
        .unzip();
    prepared(TAKE)
        .bind::<BigInt, _>(account)
        .bind::<Integer, _>(i32::try_from(limit).unwrap_or(i32::MAX))
        .bind::<SqlUuid, _>(owner)
        .bind::<Double, _>(seconds(LEASE_SECONDS))
        .bind::<Bool, _>(ready.begin)
        .bind::<Integer, _>(i32::try_from(at_most).unwrap_or(i32::MAX))
        .bind::<Array<Text>, _>(own_refs)
        .bind::<Array<BigInt>, _>(mailings)
        .bind::<Array<BigInt>, _>(above)
        .load(conn)
        .await
}
