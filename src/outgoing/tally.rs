//! What is counted of a mailing's messages: how many are in each state and why, when they left and arrived,
//! and the signs by which a mailing settles.
//!
//! Invariants: every answer comes from one statement, so that its parts sum to the messages there are; the
//! tally and the curve read every message of the mailing (`mailings/figures.rs` says how often), the signs
//! and what is held a handful of index entries.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};

use super::query::Counts;
use super::{GRACE_SECONDS, LEASE_SECONDS};
use crate::ids::{MailingId, OutgoingId};
use crate::prepared::prepared;

/// Messages that are alike in what is shown of them.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName, Serialize, Deserialize)]
pub struct Part {
    #[diesel(sql_type = Text)]
    pub state: String,
    /// Why it failed, is uncertain or was left out.
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
    /// Of what is queued: `quiet` (quiet hours there), `later` (its own moment has not come), `closed` (not
    /// opened), `ready`.
    #[diesel(sql_type = Nullable<Text>)]
    pub waits: Option<String>,
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// Every message of a mailing, once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally(Vec<Part>);

impl Tally {
    pub fn counts(&self) -> Counts {
        self.0
            .iter()
            .map(|part| (part.state.clone(), part.count))
            .collect()
    }

    /// What went wrong or was left out: state, code, how many; the most frequent first.
    pub fn reasons(&self) -> Vec<(&str, &str, i64)> {
        let mut reasons: Vec<_> = self
            .0
            .iter()
            .filter_map(|part| Some((part.state.as_str(), part.code.as_deref()?, part.count)))
            .collect();
        reasons.sort_by_key(|(state, code, count)| (*state, std::cmp::Reverse(*count), *code));
        reasons
    }

    /// How many queued messages wait in this way.
    pub fn waiting(&self, way: &str) -> i64 {
        let parts = self.0.iter();
        parts
            .filter(|part| part.waits.as_deref() == Some(way))
            .map(|part| part.count)
            .sum()
    }
}

/// Counts all messages of a mailing.
pub async fn tally(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<Tally> {
    let parts = sql_query(
        "SELECT state, code, waits, count(*) AS count FROM (
           SELECT CASE WHEN state = 'uncertain' AND code = 'handed_over' THEN 'handed_over' ELSE state END AS state,
             CASE WHEN state IN ('failed', 'skipped', 'expired') OR state = 'uncertain' AND code IS DISTINCT FROM 'handed_over'
               THEN coalesce(code, 'gateway_error') END AS code,
             CASE WHEN state <> 'queued' THEN NULL WHEN not_before > (SELECT wablast_now()) THEN CASE code WHEN 'quiet_hours' THEN 'quiet' ELSE 'later' END
               WHEN opened_at IS NULL THEN 'closed' ELSE 'ready' END AS waits
           FROM outgoing WHERE mailing_id = $1) m
         GROUP BY 1, 2, 3",
    )
    .bind::<BigInt, _>(mailing)
    .load(conn)
    .await?;
    Ok(Tally(parts))
}

/// How a mailing went over time: messages a step, by what happened to them in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Curve {
    pub from: DateTime<Utc>,
    /// Seconds.
    pub step: i64,
    /// Step and messages; steps in which nothing happened are not there.
    pub sent: Vec<(i64, i64)>,
    pub delivered: Vec<(i64, i64)>,
    pub read: Vec<(i64, i64)>,
    /// How many left in the last `within` seconds.
    pub recent: i64,
    pub within: i64,
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Nullable<Double>)]
    sent: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    delivered: Option<f64>,
    #[diesel(sql_type = Nullable<Double>)]
    read: Option<f64>,
    /// Which of the three this row counts; 7: all together.
    #[diesel(sql_type = Integer)]
    kind: i32,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    recent: i64,
}

/// Reads all messages of a mailing that left. `step` and `within` are seconds.
pub async fn curve(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
    from: DateTime<Utc>,
    step: i64,
    within: i64,
) -> QueryResult<Curve> {
    let steps: Vec<Step> = sql_query(
        "SELECT sent, delivered, read, grouping(sent, delivered, read) AS kind, count(*) AS count, count(*) FILTER (WHERE recent) AS recent
         FROM (
           -- greatest() passes over what is null: who read nothing would have read it in the first step.
           SELECT CASE WHEN accepted_at IS NOT NULL THEN greatest(0, floor((date_part('epoch', accepted_at) - date_part('epoch', $2)) / $3)) END AS sent,
             CASE WHEN delivered_at IS NOT NULL THEN greatest(0, floor((date_part('epoch', delivered_at) - date_part('epoch', $2)) / $3)) END AS delivered,
             CASE WHEN read_at IS NOT NULL THEN greatest(0, floor((date_part('epoch', read_at) - date_part('epoch', $2)) / $3)) END AS read,
             accepted_at > (SELECT wablast_now() - make_interval(secs => $4)) AS recent
           FROM (SELECT accepted_at, delivered_at, read_at
             FROM outgoing WHERE mailing_id = $1 AND state IN ('accepted', 'sent', 'delivered', 'read')) o) m
         GROUP BY GROUPING SETS ((sent), (delivered), (read), ()) ORDER BY 1, 2, 3",
    )
    .bind::<BigInt, _>(mailing)
    .bind::<Timestamptz, _>(from)
    .bind::<Double, _>(whole_seconds(step))
    .bind::<Double, _>(whole_seconds(within))
    .load(conn)
    .await?;
    let mut curve = Curve {
        from,
        step,
        sent: Vec::new(),
        delivered: Vec::new(),
        read: Vec::new(),
        recent: 0,
        within,
    };
    for one in steps {
        let (line, at) = match one.kind {
            3 => (&mut curve.sent, one.sent),
            5 => (&mut curve.delivered, one.delivered),
            6 => (&mut curve.read, one.read),
            _ => {
                curve.recent = one.recent;
                continue;
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of steps")]
        line.extend(at.map(|at| (at as i64, one.count)));
    }
    Ok(curve)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of at most some years")]
fn whole_seconds(seconds: i64) -> f64 {
    seconds as f64
}

/// What a mailing settles by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, QueryableByName)]
pub struct Signs {
    /// Something has not ended, or a flow will still report it.
    #[diesel(sql_type = Bool)]
    pub open: bool,
    /// Something was taken.
    #[diesel(sql_type = Bool)]
    pub sent: bool,
    #[diesel(sql_type = Bool)]
    pub uncertain: bool,
    #[diesel(sql_type = Bool)]
    pub failed: bool,
}

impl From<&Counts> for Signs {
    fn from(counts: &Counts) -> Self {
        Self {
            open: counts.open() > 0 || counts.handed_over() > 0,
            sent: counts.sent() > 0,
            uncertain: counts.of("uncertain") > 0,
            failed: counts.failed() > 0,
        }
    }
}

/// The signs of a mailing. Each looks for one message; only where nothing at all was taken, all are read.
pub async fn signs(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<Signs> {
    // The order makes the planner walk the index of the mailing instead of the whole table.
    prepared(
        "SELECT EXISTS (SELECT FROM outgoing WHERE mailing_id = $1 AND state IN ('queued', 'claimed', 'sending'))
             OR EXISTS (SELECT FROM outgoing WHERE mailing_id = $1 AND state = 'uncertain' AND code = 'handed_over') AS open,
           coalesce((SELECT true FROM outgoing WHERE mailing_id = $1 AND state IN ('accepted', 'sent', 'delivered', 'read')
             ORDER BY contact_id LIMIT 1), false) AS sent,
           EXISTS (SELECT FROM outgoing WHERE mailing_id = $1 AND state = 'uncertain' AND code IS DISTINCT FROM 'handed_over') AS uncertain,
           EXISTS (SELECT FROM outgoing WHERE mailing_id = $1 AND state IN ('failed', 'expired')) AS failed",
    )
    .bind::<BigInt, _>(mailing)
    .get_result(conn)
    .await
}

/// How many of a mailing rest as uncertain; they have an index of their own.
pub async fn uncertain(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let found: Found = sql_query(
        "SELECT count(*) AS count FROM outgoing WHERE mailing_id = $1 AND state = 'uncertain' AND code IS DISTINCT FROM 'handed_over'",
    )
    .bind::<BigInt, _>(mailing)
    .get_result(conn)
    .await?;
    Ok(found.count)
}

/// Messages of a mailing in deliverers' hands.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Held {
    /// Not begun.
    #[diesel(sql_type = BigInt)]
    pub claimed: i64,
    /// Begun: the answer is awaited.
    #[diesel(sql_type = BigInt)]
    pub sending: i64,
    /// Since when the first of them is held, at the earliest.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub since: Option<DateTime<Utc>>,
    /// When what has not begun goes back to the queue if nobody moves it.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub back_at: Option<DateTime<Utc>>,
    /// When what has begun becomes uncertain if nobody moves it.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub uncertain_at: Option<DateTime<Utc>>,
}

pub async fn held(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<Held> {
    // By the index of leases: few are held at a time, while a million may be open.
    sql_query(
        "WITH held AS MATERIALIZED (
           SELECT mailing_id, state, lease_until FROM outgoing
           WHERE state IN ('claimed', 'sending') AND lease_until > '-infinity' ORDER BY lease_until LIMIT 20000)
         SELECT count(*) FILTER (WHERE state = 'claimed') AS claimed, count(*) FILTER (WHERE state = 'sending') AS sending,
           min(lease_until) - make_interval(secs => $2) AS since,
           max(lease_until) FILTER (WHERE state = 'claimed') AS back_at,
           max(lease_until) FILTER (WHERE state = 'sending') + make_interval(secs => $3) AS uncertain_at
         FROM held WHERE mailing_id = $1",
    )
    .bind::<BigInt, _>(mailing)
    .bind::<Double, _>(whole_seconds(LEASE_SECONDS))
    .bind::<Double, _>(whole_seconds(GRACE_SECONDS))
    .get_result(conn)
    .await
}

/// Somebody whose message goes soon.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct InLine {
    #[diesel(sql_type = BigInt)]
    pub id: OutgoingId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub number: String,
    /// Its own moment, where that has not come.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub not_before: Option<DateTime<Utc>>,
    /// Why it waits for that.
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
}

/// The first of the queue: who may go, in their order; then who waits for a moment, the next first.
pub async fn in_line(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
    limit: i64,
) -> QueryResult<Vec<InLine>> {
    sql_query(
        "WITH fresh AS (
           SELECT id, contact_id, number, not_before, code FROM outgoing
           WHERE mailing_id = $1 AND state = 'queued' AND not_before IS NULL ORDER BY id LIMIT $2
         ), later AS (
           SELECT id, contact_id, number, not_before, code FROM outgoing
           WHERE mailing_id = $1 AND state = 'queued' AND not_before IS NOT NULL ORDER BY not_before, id LIMIT $2
         )
         SELECT o.id, coalesce(nullif(c.name, ''), o.number, '') AS name, coalesce(o.number, '') AS number,
           CASE WHEN o.not_before > wablast_now() THEN o.not_before END AS not_before, o.code
         FROM (SELECT * FROM fresh UNION ALL SELECT * FROM later) o
         LEFT JOIN contacts c ON c.id = o.contact_id
         ORDER BY greatest(o.not_before, wablast_now()) NULLS FIRST, o.id LIMIT $2",
    )
    .bind::<BigInt, _>(mailing)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await
}
