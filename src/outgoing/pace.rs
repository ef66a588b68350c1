//! What gates an account's messages beside its rate: quiet hours, caps, pauses, the gap to one person, and
//! slowing down.
//!
//! Invariants: what is put off keeps its place and its fence, says why (`code`) and comes back by itself at its
//! moment; changed rules let everything be judged anew. The tokens, caps and pauses themselves are kept by
//! `wablast_room()` in the statement that takes (`claim.rs`).

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use chrono_tz::Tz;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::accounts::Rules;
use crate::ids::AccountId;
use crate::text::zones::{self, Hours};

/// How many of the queue are put off in one statement.
const AHEAD: i64 = 10_000;

/// The hours and gaps of an account at an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates {
    /// No mailing before that.
    pub mailings_until: Option<DateTime<Utc>>,
    /// What numbers begin with, and until when it is quiet there; the longest that fits counts.
    pub prefixes: Vec<String>,
    pub quiet_until: Vec<Option<DateTime<Utc>>>,
    /// Two messages to one person are kept apart.
    pub gap: bool,
    /// An outside worker asks: it gets what is set to be pulled, and nobody else does.
    pub by_pull: bool,
}

impl Gates {
    /// `zone`: the company's, for its own quiet hours and for numbers of no country.
    pub fn of(rules: &Rules, zone: Tz, now: DateTime<Utc>) -> Self {
        let mut gates = Self {
            gap: rules.person_gap > 0,
            ..Self::default()
        };
        let Some(hours) = rules.quiet() else {
            return gates;
        };
        if !rules.quiet_local {
            gates.mailings_until = hours.over_at(now, &[zone]);
            return gates;
        }
        gates.listen_around(hours, zone, now);
        gates
    }

    /// Recipients' own hours, country by country.
    fn listen_around(&mut self, hours: Hours, zone: Tz, now: DateTime<Utc>) {
        let around: Vec<_> = zones::prefixes()
            .map(|(prefix, zones)| (prefix, hours.over_at(now, zones)))
            // Numbers of no country are quiet with the company.
            .chain([("", hours.over_at(now, &[zone]))])
            .collect();
        // Where it is quiet nowhere nothing needs to be compared.
        if around.iter().any(|(_, until)| until.is_some()) {
            (self.prefixes, self.quiet_until) = around
                .into_iter()
                .map(|(prefix, until)| (prefix.to_owned(), until))
                .unzip();
        }
    }
}

/// The gates of the current minute.
#[derive(Debug, Default)]
pub struct Watch {
    gates: Gates,
    of: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Watch {
    /// `changed`: when the account was changed last. Hours begin and end with a minute.
    pub fn gates(
        &mut self,
        rules: &Rules,
        changed: DateTime<Utc>,
        zone: Tz,
        now: DateTime<Utc>,
    ) -> &Gates {
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
        if self.of != Some((changed, minute)) {
            self.gates = Gates::of(rules, zone, now);
            self.of = Some((changed, minute));
        }
        &self.gates
    }
}

/// Nobody else takes messages of the account until the transaction ends.
pub(super) async fn hold(conn: &mut AsyncPgConnection, account: AccountId) -> QueryResult<usize> {
    sql_query("SELECT 1 FROM account_pace WHERE account_id = $1 FOR UPDATE")
        .bind::<BigInt, _>(account)
        .execute(conn)
        .await
}

/// Puts off those of the next of the account's queue for whom it is quiet; true where there were more than
/// one statement takes, so that it is worth asking again.
pub async fn put_off_ahead(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    gates: &Gates,
) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Done {
        #[diesel(sql_type = BigInt)]
        put_off: i64,
        #[diesel(sql_type = BigInt)]
        looked: i64,
    }
    let done: Done = sql_query(
        "WITH next AS (
           SELECT q.* FROM mailings m CROSS JOIN LATERAL (
             SELECT o.id, o.number FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'queued' AND o.not_before IS NULL
             ORDER BY o.id LIMIT $4 FOR UPDATE OF o SKIP LOCKED) q
           WHERE m.account_id = $1 AND m.state = 'sending'
         ), quiet AS (
           SELECT n.id, (SELECT w.until FROM unnest($2, $3) AS w(prefix, until) WHERE starts_with(n.number, w.prefix)
             ORDER BY length(w.prefix) DESC LIMIT 1) AS until FROM next n
         ), put_off AS (
           UPDATE outgoing o SET not_before = q.until, code = 'quiet_hours', reason = NULL FROM quiet q
           WHERE o.id = q.id AND q.until IS NOT NULL AND o.state = 'queued' RETURNING o.id
         ) SELECT (SELECT count(*) FROM put_off) AS put_off, (SELECT count(*) FROM next) AS looked",
    )
    .bind::<BigInt, _>(account)
    .bind::<Array<Text>, _>(&gates.prefixes)
    .bind::<Array<Nullable<Timestamptz>>, _>(&gates.quiet_until)
    .bind::<BigInt, _>(AHEAD)
    .get_result(conn)
    .await?;
    Ok(done.put_off > 0 && done.looked >= AHEAD)
}

/// After a change of the account's rules nothing is put off by the old ones. `used`: whoever asks went by others
/// until now, and may have put somebody off by them after everybody else had followed. Cheap where nothing
/// changed.
pub async fn follow_rules(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    used: bool,
) -> QueryResult<()> {
    #[derive(QueryableByName)]
    struct Behind {
        #[diesel(sql_type = Timestamptz)]
        updated_at: DateTime<Utc>,
    }
    let behind: Option<Behind> = sql_query(
        "SELECT a.updated_at FROM accounts a JOIN account_pace p ON p.account_id = a.id
         WHERE a.id = $1 AND ($2 OR p.rules_at IS DISTINCT FROM a.updated_at)",
    )
    .bind::<BigInt, _>(account)
    .bind::<Bool, _>(used)
    .get_result(conn)
    .await
    .optional()?;
    let Some(behind) = behind else { return Ok(()) };
    loop {
        let lifted = sql_query(
            "UPDATE outgoing o SET not_before = NULL, code = NULL FROM (
               SELECT o.id FROM mailings m JOIN outgoing o ON o.mailing_id = m.id AND o.state = 'queued' AND o.not_before IS NOT NULL
               WHERE m.account_id = $1 AND m.state IN ('sending', 'paused') AND o.code = ANY ($2)
               ORDER BY o.id LIMIT 10000 FOR UPDATE OF o) held
             WHERE o.id = held.id AND o.state = 'queued'",
        )
        .bind::<BigInt, _>(account)
        .bind::<Array<Text>, _>(vec!["quiet_hours", "person_gap"])
        .execute(conn)
        .await?;
        if lifted < 10_000 {
            break;
        }
    }
    sql_query("UPDATE account_pace SET rules_at = $2 WHERE account_id = $1")
        .bind::<BigInt, _>(account)
        .bind::<Timestamptz, _>(behind.updated_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// The gateway said that this is too fast: half the rate, rising again by itself. Answers that come together
/// count once.
pub async fn slow_down(conn: &mut AsyncPgConnection, account: AccountId) -> QueryResult<usize> {
    sql_query(
        "UPDATE account_pace SET slow = greatest(1.0 / 64, wablast_slowed(slow, slowed_at, wablast_now()) / 2), slowed_at = wablast_now()
         WHERE account_id = $1 AND (slowed_at IS NULL OR slowed_at < wablast_now() - interval '5 seconds')",
    )
    .bind::<BigInt, _>(account)
    .execute(conn)
    .await
}

/// Messages that were taken and did not leave do not count against the caps.
pub async fn give_room_back(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    messages: usize,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE account_pace SET sent[1] = greatest(0, sent[1] - $2) WHERE account_id = $1 AND sent[1] > 0",
    )
    .bind::<BigInt, _>(account)
    .bind::<Integer, _>(i32::try_from(messages).unwrap_or(i32::MAX))
    .execute(conn)
    .await
}

/// How an account stands: what it may do, and when more.
#[derive(Debug, Clone, Default, PartialEq, QueryableByName)]
pub struct Standing {
    /// Messages a second, as set.
    #[diesel(sql_type = Double)]
    pub per_second: f64,
    /// Its part that is used: less than 1 after the gateway asked for patience.
    #[diesel(sql_type = Double)]
    pub slow: f64,
    /// Mailings that are sending through it; each has an equal share.
    #[diesel(sql_type = BigInt)]
    pub mailings: i64,
    /// Its gateway asked for patience, or could not be reached.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub blocked_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub blocked_reason: Option<String>,
    /// One message at a time, to see whether it works again.
    #[diesel(sql_type = Bool)]
    pub probing: bool,
    /// When rate and pause let the next one go; in the past where it may go now.
    #[diesel(sql_type = Timestamptz)]
    pub next_at: DateTime<Utc>,
    /// The pause after the last message is not over.
    #[diesel(sql_type = Bool)]
    pub pausing: bool,
    /// When a full cap lets the next message of a mailing go.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub capped_until: Option<DateTime<Utc>>,
    /// What was taken in the last hour and in the last day; nothing where there are no caps.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub hour: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub day: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    pub hourly_cap: Option<i32>,
    /// Today's, in a warm-up.
    #[diesel(sql_type = Nullable<Integer>)]
    pub day_cap: Option<i32>,
}

impl Standing {
    /// About how many seconds `waiting` messages of one mailing take at the rate alone.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn seconds(&self, waiting: i64) -> f64 {
        waiting as f64 * self.mailings.max(1) as f64 / (self.per_second * self.slow).max(0.001)
    }

    /// Which cap is full.
    pub fn full(&self) -> Option<Cap> {
        let full = |sent: Option<i64>, cap: Option<i32>| {
            sent.zip(cap)
                .is_some_and(|(sent, cap)| sent >= i64::from(cap))
        };
        if full(self.day, self.day_cap) {
            Some(Cap::Day)
        } else if full(self.hour, self.hourly_cap) {
            Some(Cap::Hour)
        } else {
            None
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    Hour,
    Day,
}

/// `None` where nothing was ever to be sent through the account. Over a connection that sees all companies:
/// an account may be shared, its pace belongs to its owner.
pub async fn standing(
    conn: &mut AsyncPgConnection,
    account: AccountId,
) -> QueryResult<Option<Standing>> {
    sql_query(
        "SELECT s.per_second, s.slow, s.mailings, s.blocked_until, s.blocked_reason, s.probing,
           greatest(s.pause_end, s.now + make_interval(secs => least(86400, greatest(0, (1 - (s.room).tokens) / (s.per_second * s.slow))))) AS next_at,
           s.pause_end IS NOT NULL AS pausing, wablast_capped_until(s.room, s.hourly_cap) AS capped_until,
           (s.room).hour, (s.room).day, s.hourly_cap, (s.room).day_cap
         FROM (SELECT wablast_room(p, a, wablast_now()) AS room, a.per_second, wablast_slowed(p.slow, p.slowed_at, wablast_now()) AS slow,
             (SELECT count(*) FROM mailings m WHERE m.account_id = a.id AND m.state = 'sending') AS mailings,
             CASE WHEN p.blocked_until > wablast_now() THEN p.blocked_until END AS blocked_until, p.blocked_reason, p.probing,
             CASE WHEN p.next_at > wablast_now() AND a.delay_max IS NOT NULL THEN p.next_at END AS pause_end, wablast_now() AS now, a.hourly_cap
           FROM accounts a JOIN account_pace p ON p.account_id = a.id WHERE a.id = $1) s",
    )
    .bind::<BigInt, _>(account)
    .get_result(conn)
    .await
    .optional()
}

/// Until when a waiting message's own moment has not come, and why.
pub fn own_moment(
    not_before: Option<DateTime<Utc>>,
    code: Option<&str>,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, Moment)> {
    let at = not_before.filter(|at| *at > now)?;
    Some((
        at,
        match code {
            Some("quiet_hours") => Moment::Quiet,
            Some("person_gap") => Moment::Gap,
            _ => Moment::Retry,
        },
    ))
}

/// Why a message waits for a moment of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Quiet,
    Gap,
    Retry,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(from: &str, until: &str, local: bool) -> Rules {
        let time = |text: &str| chrono::NaiveTime::parse_from_str(text, "%H:%M").ok();
        Rules {
            hourly_cap: None,
            daily_cap: None,
            delay_min: None,
            delay_max: None,
            warm_up_first: None,
            warm_up_days: None,
            warm_up_since: None,
            person_gap: 0,
            quiet_from: time(from),
            quiet_until: time(until),
            quiet_local: local,
        }
    }

    #[test]
    fn pace_the_companys_hours_hold_all_and_the_recipients_only_theirs() {
        let now: DateTime<Utc> = "2026-11-26T14:30:00Z".parse().unwrap();
        let jakarta = chrono_tz::Asia::Jakarta;
        let gates = Gates::of(&rules("21:00", "08:00", false), jakarta, now);
        assert_eq!(
            gates.mailings_until.map(|at| at.to_rfc3339()).as_deref(),
            Some("2026-11-27T01:00:00+00:00")
        );
        let gates = Gates::of(&rules("21:00", "08:00", true), jakarta, now);
        assert_eq!(gates.mailings_until, None);
        let until = |number: &str| {
            let found = gates
                .prefixes
                .iter()
                .position(|prefix| number.starts_with(prefix));
            found.and_then(|place| gates.quiet_until[place])
        };
        assert!(until("6281234567890").is_some() && until("34612345678").is_none());
        assert!(
            until("88213123456").is_some(),
            "without a country the company's clock counts"
        );
        assert_eq!(
            Gates::of(&rules("", "", true), jakarta, now),
            Gates::default()
        );
    }
}
