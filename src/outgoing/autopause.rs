//! An account that pauses itself: after ten failures of its own in a row, after five uncertain outcomes in
//! a row, or when too many of its last 200 messages failed or are uncertain.
//!
//! Invariants: counted in the database over all instances, in the order outcomes are recorded; a batch in
//! which all were accepted writes nothing unless something went wrong lately; what a flow took and will
//! report does not count, neither does a gateway that asks for patience (`queue::block` heeds that). What
//! is known later only, receipts that say *failed* and workers that are gone, waits in `late_marks`. After
//! a minute, then two, up to half an hour, one message at a time is tried (the triggers of the migration
//! hold back the others); the first that is accepted lets the account run. Does not know mailings.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, SmallInt, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use tokio::sync::watch;

use super::posting::HELD_UP;
use super::record::Outcome;
use crate::accounts::health;
use crate::app::App;
use crate::gateways::{FailureCode, SendError};
use crate::ids::AccountId;
use crate::prepared::prepared;

const FAILURES: usize = 10;
const UNCERTAIN: usize = 5;
const WINDOW: usize = 200;
/// A share of fewer says little: a tenth of them would be what five uncertain ones in a row are already, and
/// a few mistyped numbers of a small list would do.
const ENOUGH: usize = 50;
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);
const LOOK: Duration = Duration::from_secs(1);

/// What an outcome says of the account; `None`: nothing.
fn mark(result: Result<(), &SendError>) -> Option<char> {
    match result {
        Ok(()) => Some('.'),
        Err(SendError::Refused { .. }) => Some('f'),
        Err(SendError::Uncertain { code, .. }) => (*code != FailureCode::HandedOver).then_some('u'),
        // That our own process was held up says nothing of the account.
        Err(SendError::NotSent { code, reason, .. }) => {
            (*code != FailureCode::RateLimited && reason != HELD_UP).then_some('n')
        }
        Err(SendError::AccountStop { .. } | SendError::MailingStop { .. }) => None,
    }
}

/// Why an account should rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Failures,
    Uncertain,
    /// So many, of so many.
    Share(usize, usize),
}

/// `recent`: a letter an outcome, the newest last; `seen`: of so many outcomes, where those before the
/// first of these were all well.
fn verdict(recent: &str, seen: usize, percent: i32) -> Option<Why> {
    let in_a_row = |letter| {
        recent
            .chars()
            .rev()
            .take_while(|one| *one == letter)
            .count()
    };
    if in_a_row('n') >= FAILURES {
        Some(Why::Failures)
    } else if in_a_row('u') >= UNCERTAIN {
        Some(Why::Uncertain)
    } else {
        share(recent, seen, percent)
    }
}

fn share(recent: &str, seen: usize, percent: i32) -> Option<Why> {
    let bad = recent
        .chars()
        .filter(|one| matches!(one, 'f' | 'u'))
        .count();
    let percent = usize::try_from(percent).unwrap_or(100);
    // As many as pass the share of the whole window need not wait until it is full.
    let passes = bad * 100 > percent * seen && (seen >= ENOUGH || bad * 100 > percent * WINDOW);
    (percent < 100 && passes).then_some(Why::Share(bad, seen))
}

impl Why {
    /// For people; `said`: what the gateway said last.
    fn words(self, said: &str) -> String {
        match self {
            Self::Failures => {
                format!("Paused by itself: {FAILURES} messages in a row could not be sent. {said}")
            }
            Self::Uncertain => format!(
                "Paused by itself: of {UNCERTAIN} messages in a row nobody knows whether they arrived. {said}"
            ),
            Self::Share(bad, seen) => format!(
                "Paused by itself: {bad} of the last {seen} messages failed or are uncertain. {said}"
            ),
        }
    }
}

/// The n-th try in vain is followed by this wait.
fn wait(probes: i16) -> Duration {
    let doubled = 2_u32.saturating_pow(u32::from(probes.unsigned_abs()).min(16));
    FIRST_WAIT.saturating_mul(doubled).min(LONGEST_WAIT)
}

#[derive(QueryableByName)]
struct Recent {
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Text)]
    recent: String,
    #[diesel(sql_type = SmallInt)]
    probes: i16,
    #[diesel(sql_type = Integer)]
    percent: i32,
    #[diesel(sql_type = Bool)]
    probing: bool,
}

const KNOWN: &str = "r.account_id, r.recent, r.probes,
  (SELECT a.auto_pause_percent FROM accounts a WHERE a.id = r.account_id) AS percent,
  coalesce((SELECT p.probing FROM account_pace p WHERE p.account_id = r.account_id), false) AS probing";

/// What one batch says of its accounts.
#[derive(Default)]
struct Said<'a> {
    marks: String,
    /// Took something: accepted, or handed over to a flow.
    took: bool,
    last: &'a str,
}

impl<'a> Said<'a> {
    fn hear(&mut self, result: Result<(), &'a SendError>) {
        self.marks.extend(mark(result));
        match result {
            Ok(()) => self.took = true,
            Err(error) if error.code() == FailureCode::HandedOver => self.took = true,
            Err(error) => self.last = error.reason(),
        }
    }
}

/// Takes note of a batch of outcomes, and pauses or starts accounts by it.
pub async fn note(conn: &mut AsyncPgConnection, outcomes: &[Outcome]) -> QueryResult<()> {
    let mut said: BTreeMap<i64, Said<'_>> = BTreeMap::new();
    for outcome in outcomes {
        let account = said.entry(outcome.account.0).or_default();
        account.hear(outcome.result.as_ref().map(|_| ()));
    }
    weigh(conn, &said).await
}

/// Takes note that a gateway could not even be prepared for messages; they wait, and one failure is counted.
pub(super) async fn not_prepared(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    error: &SendError,
) -> QueryResult<()> {
    let mut said = Said::default();
    said.hear(Err(error));
    weigh(conn, &BTreeMap::from([(account.0, said)])).await
}

async fn weigh(conn: &mut AsyncPgConnection, said: &BTreeMap<i64, Said<'_>>) -> QueryResult<()> {
    for recent in remember(conn, said).await? {
        let (id, Some(said)) = (recent.account_id, said.get(&recent.account_id.0)) else {
            continue;
        };
        if recent.probing {
            probed(conn, &recent, said).await?;
            continue;
        }
        let mut seen = recent.recent.len();
        if seen < WINDOW && share(&recent.recent, seen.max(ENOUGH), recent.percent).is_some() {
            seen = seen.max(sent_lately(conn, id).await?);
        }
        if let Some(why) = verdict(&recent.recent, seen, recent.percent) {
            health::auto_pause(conn, id, &why.words(said.last), FIRST_WAIT, false).await?;
        }
    }
    Ok(())
}

/// How many messages of the account ended lately, as far as the newest attempts of all show: what went well
/// before something went wrong is not written down.
async fn sent_lately(conn: &mut AsyncPgConnection, account: AccountId) -> QueryResult<usize> {
    #[derive(QueryableByName)]
    struct Ended {
        #[diesel(sql_type = BigInt)]
        ended: i64,
    }
    let found: Ended = sql_query(
        "SELECT least($2, count(*)) AS ended FROM (SELECT account_id, outcome FROM attempts ORDER BY id DESC LIMIT 5000) a
         WHERE a.account_id = $1 AND a.outcome IN ('accepted', 'refused', 'uncertain')",
    )
    .bind::<BigInt, _>(account)
    .bind::<BigInt, _>(i64::try_from(WINDOW).unwrap_or(i64::MAX))
    .get_result(conn)
    .await?;
    Ok(usize::try_from(found.ended).unwrap_or(WINDOW))
}

#[derive(QueryableByName)]
struct Late {
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Text)]
    marks: String,
    #[diesel(sql_type = Text)]
    reason: String,
}

/// Counts what was known later only.
async fn count_late(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    let late: Vec<Late> = sql_query(
        "WITH taken AS (DELETE FROM late_marks RETURNING id, account_id, mark, reason)
         SELECT account_id, string_agg(mark, '' ORDER BY id) AS marks, (array_agg(reason ORDER BY id DESC))[1] AS reason
         FROM taken GROUP BY account_id",
    )
    .load(conn)
    .await?;
    let said: BTreeMap<i64, Said<'_>> = late
        .iter()
        .map(|late| {
            let said = Said {
                marks: late.marks.clone(),
                took: false,
                last: &late.reason,
            };
            (late.account_id.0, said)
        })
        .collect();
    if said.is_empty() {
        return Ok(());
    }
    conn.transaction(async |conn| weigh(conn, &said).await)
        .await
}

/// Writes what went wrong, and what went well where something went wrong lately. Accounts in the order of
/// their ids, so that two instances never wait for each other.
async fn remember(
    conn: &mut AsyncPgConnection,
    said: &BTreeMap<i64, Said<'_>>,
) -> QueryResult<Vec<Recent>> {
    let (ids, marks): (Vec<i64>, Vec<&str>) = said
        .iter()
        .map(|(id, said)| (*id, said.marks.as_str()))
        .unzip();
    let all_well = marks
        .iter()
        .all(|marks| marks.chars().all(|one| one == '.'));
    let statement = if all_well {
        // Without a row to change this costs a look, and no write.
        format!(
            "WITH t AS (SELECT * FROM unnest($1::bigint[], $2::text[]) AS t(id, marks)),
               held AS (SELECT r.account_id FROM account_recent r JOIN t ON t.id = r.account_id WHERE r.recent <> ''
                        ORDER BY r.account_id FOR UPDATE OF r)
             UPDATE account_recent r SET recent = CASE WHEN right(r.recent || t.marks, {WINDOW}) ~ '[^.]'
               OR (SELECT p.probing FROM account_pace p WHERE p.account_id = r.account_id)
               THEN right(r.recent || t.marks, {WINDOW}) ELSE '' END
             FROM t, held WHERE t.id = held.account_id AND r.account_id = held.account_id RETURNING {KNOWN}"
        )
    } else {
        format!(
            "INSERT INTO account_recent AS r (account_id, company_id, recent)
             SELECT a.id, a.company_id, right(t.marks, {WINDOW})
             FROM unnest($1::bigint[], $2::text[]) AS t(id, marks) JOIN accounts a ON a.id = t.id ORDER BY a.id
             ON CONFLICT (account_id) DO UPDATE SET recent = right(r.recent || EXCLUDED.recent, {WINDOW}) RETURNING {KNOWN}"
        )
    };
    prepared(&statement)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Text>, _>(marks)
        .load(conn)
        .await
}

/// The message that was tried has an outcome.
async fn probed(conn: &mut AsyncPgConnection, recent: &Recent, said: &Said<'_>) -> QueryResult<()> {
    let id = recent.account_id;
    if said.took {
        health::probe_passed(conn, id).await?;
        return Ok(());
    }
    let words = format!(
        "Paused by itself: the message that was tried did not go out either. {}",
        said.last
    );
    if health::auto_pause(conn, id, &words, wait(recent.probes + 1), true).await? > 0 {
        sql_query("UPDATE account_recent SET probes = probes + 1 WHERE account_id = $1")
            .bind::<BigInt, _>(id)
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Counts late news, and lets accounts whose time has come try a message; true: some do.
pub async fn look(app: &App) -> anyhow::Result<bool> {
    let mut conn = app.db.system().await?;
    count_late(&mut conn).await?;
    let begun = health::begin_probes(&mut conn).await?;
    if begun > 0 {
        app.wake.deliver.notify_one();
    }
    Ok(begun > 0)
}

/// Looks every second, until `stop`.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        if let Err(error) = look(&app).await {
            tracing::error!("looking at accounts that paused themselves: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_uncertain_outcomes_count_in_a_row_and_by_their_share() {
        let verdict = |recent: &str, percent| verdict(recent, recent.len(), percent);
        assert_eq!(verdict("", 10), None);
        assert_eq!(verdict("nnnnnnnnn", 10), None);
        assert_eq!(verdict(".nnnnnnnnnn", 10), Some(Why::Failures));
        assert_eq!(verdict("nnnnn.nnnnn", 10), None);
        assert_eq!(verdict("uuuu.uuuu", 10), None);
        assert_eq!(verdict("fuuuuu", 10), Some(Why::Uncertain));
        assert_eq!(verdict(&"f".repeat(20), 10), None);
        assert_eq!(verdict(&".f".repeat(21), 10), Some(Why::Share(21, 42)));
        assert_eq!(verdict(&".f".repeat(21), 11), None);
        assert_eq!(verdict(&"f".repeat(200), 100), None);
    }

    #[test]
    fn a_share_counts_from_fifty_messages_on_and_of_all_that_were_sent() {
        let bad = |bad: usize, seen: usize| share(&"f".repeat(bad), seen, 10);
        assert_eq!(bad(6, 49), None);
        assert_eq!(bad(6, 50), Some(Why::Share(6, 50)));
        assert_eq!(bad(5, 50), None);
        assert_eq!(bad(6, 200), None);
        assert_eq!(bad(20, 200), None);
        assert_eq!(bad(21, 200), Some(Why::Share(21, 200)));
    }

    #[test]
    fn waits_double_up_to_half_an_hour() {
        let minutes: Vec<u64> = (0..7).map(|n| wait(n).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(wait(i16::MAX), LONGEST_WAIT);
    }
}
