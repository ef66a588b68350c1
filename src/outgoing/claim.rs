//! Taking what is next: claimed with pace, and begun at once where nothing has to be prepared.
//!
//! Invariants: tokens are granted in the statement that claims, so all instances together never exceed an
//! account's pace; a claim raises the fence; urgent kinds come first, then the running mailings of the
//! account, an equal share each. Where delivery is batched a mailing's messages go only when they were
//! opened (`open.rs`); what the account's delivery is now decides. A first try of a mailing's plain text
//! becomes *sending* here, together with its attempt: one write of its row less. Whoever may not get it is
//! left *claimed*, and `begin` says why; so is a message whose number is known to share its chat with another number.
//! Whose quiet hours or whose gap after the last message are not over costs no token: the message is put off to its
//! moment. What outside workers fetch (`pull.rs`) nobody else takes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz,
    Uuid as SqlUuid,
};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::LEASE_SECONDS;
use super::begin::Begun;
use super::pace::{self, Gates};
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
    /// How many wait for a moment of their own now.
    pub put_off: usize,
}

/// What a deliverer has ready for messages that are begun at once.
#[derive(Debug, Default)]
pub struct Ready {
    /// Whether any may be begun at once.
    pub begin: bool,
    /// Own references; `None`: the gateway takes none. Only as many are begun as there are.
    pub own_refs: Option<Vec<String>>,
}

impl Ready {
    /// How many of `at_most` to take: while ids are short, only as many as can be begun at once.
    pub fn limit(&self, at_most: usize) -> usize {
        match self.own_refs.as_ref().map_or(0, Vec::len) {
            0 => at_most,
            ids => ids.min(at_most),
        }
    }
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

/// `later`, `direct` and `opened` read the queue over three indexes; of an account one of the last two is
/// empty. People are looked up by id and rows found by `= ANY`: PostgreSQL expects a tenth of the queue behind
/// the limits and would read whole tables. `going` comes out of arrays, because of those it expects ten: each is
/// looked up by its id, where a row that it expects once is compared with every other. Nor may it read the whole
/// index of what is open to find a few rows it has the ids of, which `o.state || ''` keeps it from. What an account does not ask for (a gap, quiet hours, the company's
/// frequency cap) costs a comparison.
const TAKE: &str = "
WITH locked AS (
  SELECT p.account_id, wablast_room(p, a, wablast_now()) AS room, a.delivery = 'batched' AS batched, a.person_gap AS gap,
    (a.delay_min + (a.delay_max - a.delay_min) * random()) / greatest(0.01, wablast_slowed(p.slow, p.slowed_at, wablast_now())) AS pause
  FROM account_pace p JOIN accounts a ON a.id = p.account_id
  WHERE p.account_id = $1 AND a.active AND a.health = 'running' AND wablast_pulled(a) = $13
    AND (p.blocked_until IS NULL OR p.blocked_until <= wablast_now())
  FOR UPDATE OF p
), pace AS (
  SELECT account_id, (room).tokens, (room).at, (room).slot, (room).sent, least((room).urgent, $2) AS n,
    CASE WHEN $12 THEN 0 ELSE least((room).mass, $2) END AS mass, batched, gap, pause FROM locked
), running AS (
  SELECT m.id, coalesce((SELECT f.above FROM unnest($8::bigint[], $9::bigint[]) AS f(id, above) WHERE f.id = m.id), 0) AS above,
    c.frequency_mailings AS most, c.frequency_days AS days
  FROM mailings m JOIN companies c ON c.id = m.company_id WHERE m.account_id = $1 AND m.state = 'sending'
), budget AS (
  SELECT n, mass, ceil(mass / greatest(1, (SELECT count(*) FROM running))::float8)::int AS share FROM pace
), urgent AS (
  SELECT o.id, o.contact_id FROM outgoing o
  WHERE o.account_id = $1 AND o.state = 'queued' AND o.kind <> 'mailing'
    AND (o.not_before IS NULL OR o.not_before <= (SELECT wablast_now()))
    AND (o.not_after IS NULL OR o.not_after > (SELECT wablast_now()))
  ORDER BY CASE o.kind WHEN 'confirmation' THEN 0 WHEN 'reply' THEN 1 WHEN 'welcome' THEN 3 ELSE 2 END, o.id
  LIMIT coalesce((SELECT n FROM budget), 0) FOR UPDATE OF o SKIP LOCKED
), later AS (
  SELECT q.*, r.most, r.days FROM running r CROSS JOIN LATERAL (
    SELECT o.id, o.company_id, o.contact_id, o.version_id, o.number, o.attempts, o.mailing_id FROM outgoing o
    WHERE o.mailing_id = r.id AND o.state = 'queued' AND o.not_before <= (SELECT wablast_now())
      AND (o.not_after IS NULL OR o.not_after > (SELECT wablast_now()))
      AND (o.opened_at IS NOT NULL OR NOT (SELECT batched FROM pace))
    ORDER BY o.not_before LIMIT (SELECT share FROM budget) FOR UPDATE OF o SKIP LOCKED) q
  LIMIT greatest(0, (SELECT mass FROM budget) - (SELECT count(*) FROM urgent))
), direct AS (
  SELECT q.*, r.most, r.days FROM running r CROSS JOIN LATERAL (
    SELECT o.id, o.company_id, o.contact_id, o.version_id, o.number, o.attempts, o.mailing_id FROM outgoing o
    WHERE o.mailing_id = r.id AND o.id > r.above AND o.state = 'queued' AND o.not_before IS NULL
      AND (o.not_after IS NULL OR o.not_after > (SELECT wablast_now()))
    ORDER BY o.id LIMIT (SELECT share FROM budget) FOR UPDATE OF o SKIP LOCKED) q
  WHERE NOT (SELECT batched FROM pace)
  LIMIT greatest(0, (SELECT mass FROM budget) - (SELECT count(*) FROM urgent) - (SELECT count(*) FROM later))
), opened AS (
  SELECT q.*, r.most, r.days FROM running r CROSS JOIN LATERAL (
    SELECT o.id, o.company_id, o.contact_id, o.version_id, o.number, o.attempts, o.mailing_id FROM outgoing o
    WHERE o.mailing_id = r.id AND o.id > r.above AND o.state = 'queued' AND o.opened_at IS NOT NULL AND o.not_before IS NULL
      AND (o.not_after IS NULL OR o.not_after > (SELECT wablast_now()))
    ORDER BY o.id LIMIT (SELECT share FROM budget) FOR UPDATE OF o SKIP LOCKED) q
  WHERE (SELECT batched FROM pace)
  LIMIT greatest(0, (SELECT mass FROM budget) - (SELECT count(*) FROM urgent) - (SELECT count(*) FROM later))
), chosen AS (
  SELECT * FROM later UNION ALL SELECT * FROM direct UNION ALL SELECT * FROM opened
  UNION ALL SELECT id, NULL, contact_id, NULL, NULL, NULL, NULL, NULL, NULL FROM urgent
), again AS (
  SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY contact_id ORDER BY mailing_id NULLS FIRST, id) AS n FROM chosen
    WHERE (SELECT gap FROM pace) > 0 AND contact_id IS NOT NULL) c WHERE n > 1
), waits AS (
  SELECT q.id,
    CASE WHEN cardinality($10::text[]) > 0 AND q.number IS NOT NULL THEN (
      SELECT w.until FROM unnest($10::text[], $11::timestamptz[]) AS w(prefix, until) WHERE starts_with(q.number, w.prefix)
      ORDER BY length(w.prefix) DESC LIMIT 1) END AS quiet,
    CASE WHEN (SELECT gap FROM pace) > 0 AND q.contact_id IS NOT NULL THEN (
      SELECT greatest(max(CASE x.state WHEN 'claimed' THEN wablast_now() ELSE x.begun_at END), CASE WHEN q.id IN (SELECT id FROM again) THEN wablast_now() END)
        + make_interval(secs => (SELECT gap FROM pace))
      FROM outgoing x WHERE x.contact_id = q.contact_id AND x.account_id = $1
        AND (x.state = 'claimed' OR x.begun_at > wablast_now() - make_interval(secs => (SELECT gap FROM pace)))) END AS gap
  FROM chosen q WHERE cardinality($10::text[]) > 0 OR (SELECT gap FROM pace) > 0
), held AS (
  SELECT id, greatest(quiet, gap) AS until, CASE WHEN quiet IS NOT NULL THEN 'quiet_hours' ELSE 'person_gap' END AS code
  FROM waits WHERE quiet IS NOT NULL OR gap IS NOT NULL
), put_off AS (
  UPDATE outgoing o SET not_before = h.until, code = h.code, reason = NULL FROM held h
  WHERE o.id = ANY (ARRAY(SELECT id FROM held)) AND o.id = h.id AND o.state || '' = 'queued'
), checked AS (
  SELECT q.id, coalesce($5 AND q.attempts = 0 AND q.number IS NOT NULL
    AND (SELECT v.media_id IS NULL FROM mailing_versions v WHERE v.id = q.version_id)
    AND (SELECT c.active AND NOT c.opt_out AND c.erased_at IS NULL FROM contacts c WHERE c.id = q.contact_id)
    AND (SELECT true FROM blacklist b WHERE b.company_id = q.company_id AND b.number = q.number) IS NULL
    AND CASE WHEN (SELECT EXISTS (SELECT FROM number_checks WHERE chat_id IS NOT NULL)) THEN
      (SELECT true FROM number_checks n WHERE n.company_id = q.company_id AND n.number = q.number AND n.chat_id IS NOT NULL) IS NULL
      AND (SELECT true FROM number_checks n WHERE n.company_id = q.company_id AND n.chat_id = q.number || '@c.us' LIMIT 1) IS NULL ELSE true END
    AND (q.most IS NULL OR wablast_mailed(q.contact_id, q.mailing_id, q.days)
      + (SELECT count(*) FROM chosen x WHERE x.contact_id = q.contact_id AND x.mailing_id < q.mailing_id) < q.most), false) AS ready
  FROM chosen q WHERE q.id <> ALL (ARRAY(SELECT id FROM held))
), judged AS MATERIALIZED (
  SELECT id, ready, row_number() OVER (PARTITION BY ready ORDER BY id) AS n FROM checked
), going AS (
  SELECT j.id, j.n, j.ready AND j.n <= $6 AS go FROM unnest(ARRAY(SELECT id FROM judged ORDER BY id),
    ARRAY(SELECT ready FROM judged ORDER BY id), ARRAY(SELECT n FROM judged ORDER BY id)) AS j(id, ready, n)
), taken AS (
  UPDATE outgoing o SET fence = o.fence + 1, owner = $3, lease_until = wablast_now() + make_interval(secs => $4),
    state = CASE WHEN j.go THEN 'sending' ELSE 'claimed' END,
    attempts = o.attempts + j.go::int, begun_at = CASE WHEN j.go THEN wablast_now() ELSE o.begun_at END
  FROM going j WHERE o.id = j.id AND o.state || '' = 'queued'
  RETURNING o.id, j.n, j.go, o.company_id, o.account_id, o.fence, o.attempts, o.mailing_id, o.version_id, o.log_id, o.content_id, o.number, o.field_values
), tried AS (
  INSERT INTO attempts (company_id, account_id, outgoing_id, log_id, fence, own_ref, begun_at)
  SELECT company_id, account_id, id, log_id, fence, ($7::text[])[n], wablast_now() FROM taken WHERE go
), spent AS (
  UPDATE account_pace p SET tokens = pace.tokens - t.n, tokens_at = pace.at, slot = pace.slot,
    sent = wablast_counted(pace.sent, t.n::int), next_at = CASE WHEN pace.pause IS NOT NULL THEN wablast_now() + make_interval(secs => pace.pause) END
  FROM pace, (SELECT count(*) AS n FROM taken) t WHERE p.account_id = pace.account_id AND t.n > 0
)
SELECT t.id, t.fence, t.mailing_id, t.go AS begun, t.company_id, t.attempts, t.version_id, t.log_id, t.number, t.field_values,
  ($7::text[])[t.n] AS own_ref, coalesce(v.media_id, ct.media_id) AS media_id, false AS put_off
FROM taken t LEFT JOIN mailing_versions v ON v.id = t.version_id LEFT JOIN outgoing_content ct ON ct.id = t.content_id
UNION ALL SELECT id, 0, NULL, false, 0, 0::smallint, NULL, NULL, NULL, '{}', NULL, NULL, true FROM held
ORDER BY 1";

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
    /// Not taken: its own moment has not come.
    #[diesel(sql_type = Bool)]
    put_off: bool,
}

/// How much, for whom, with what.
#[derive(Debug)]
pub struct Ask<'a> {
    pub account: AccountId,
    pub owner: Uuid,
    pub limit: usize,
    pub ready: &'a Ready,
    pub gates: &'a Gates,
}

/// Takes messages of an account that may go now, as far as its pace allows.
pub async fn take(
    conn: &mut AsyncPgConnection,
    ask: &Ask<'_>,
    trail: &mut Trail,
) -> QueryResult<Taken> {
    trail.forget_old();
    let rows = if ask.gates.gap {
        // Whoever took before must be seen: the lock comes in a statement of its own.
        conn.transaction(async |conn| {
            pace::hold(conn, ask.account).await?;
            rows(conn, ask, trail).await
        })
        .await?
    } else {
        rows(conn, ask, trail).await?
    };
    let mut taken = Taken::default();
    let all = rows.len() < ask.limit;
    for row in rows {
        trail.note(&row);
        if row.put_off {
            taken.put_off += 1;
        } else if row.begun {
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
    let ask = Ask {
        account,
        owner,
        limit,
        ready: &Ready::default(),
        gates: &Gates::default(),
    };
    Ok(take(conn, &ask, &mut Trail::default()).await?.claimed)
}

async fn rows(conn: &mut AsyncPgConnection, ask: &Ask<'_>, trail: &Trail) -> QueryResult<Vec<Row>> {
    let own_refs: &[String] = ask.ready.own_refs.as_deref().unwrap_or_default();
    let at_most = ask.ready.own_refs.as_ref().map_or(ask.limit, Vec::len);
    let (mailings, above): (Vec<MailingId>, Vec<OutgoingId>) = trail
        .above
        .iter()
        .map(|(mailing, above)| (*mailing, *above))
        .unzip();
    prepared(TAKE)
        .bind::<BigInt, _>(ask.account)
        .bind::<Integer, _>(i32::try_from(ask.limit).unwrap_or(i32::MAX))
        .bind::<SqlUuid, _>(ask.owner)
        .bind::<Double, _>(seconds(LEASE_SECONDS))
        .bind::<Bool, _>(ask.ready.begin)
        .bind::<Integer, _>(i32::try_from(at_most).unwrap_or(i32::MAX))
        .bind::<Array<Text>, _>(own_refs)
        .bind::<Array<BigInt>, _>(mailings)
        .bind::<Array<BigInt>, _>(above)
        .bind::<Array<Text>, _>(&ask.gates.prefixes)
        .bind::<Array<Nullable<Timestamptz>>, _>(&ask.gates.quiet_until)
        .bind::<Bool, _>(ask.gates.mailings_until.is_some())
        .bind::<Bool, _>(ask.gates.by_pull)
        .load(conn)
        .await
}
