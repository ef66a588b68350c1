//! Messages that nobody acknowledged: WAHA is asked for them by their id, slowly.
//!
//! Receipts get lost: WAHA forgets events when it stops, or when it did not reach us for long. Invariants: what
//! is found is a receipt like any other; a message that is not found proves nothing and stays as it is; an
//! account is asked for five messages in ten seconds at most, by all instances together. Owns `unheard` and
//! `unheard_cursor`; sends nothing.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use futures_util::{StreamExt as _, stream};

use super::receipts::{self, Receipt};
use crate::accounts;
use crate::app::App;
use crate::gateways::waha::Waha;
use crate::ids::{AccountId, OutgoingId};

/// Accounts that are asked at one time.
const AT_ONCE: usize = 8;

/// Attempts are walked once, in their order, when they are ten minutes old: an index over what waits for a
/// receipt would cost every message.
const GATHER: &str = "
WITH cursor AS (
  SELECT attempt_id FROM unheard_cursor FOR UPDATE
), next AS (
  SELECT a.id, a.outgoing_id, a.account_id, a.begun_at, a.rank, coalesce(a.provider_id, a.own_ref) AS reference FROM attempts a
  WHERE a.id > (SELECT attempt_id FROM cursor) ORDER BY a.id LIMIT 5000
), young AS (
  SELECT min(id) AS id FROM next WHERE begun_at > wablast_now() - interval '10 minutes'
), old AS (
  SELECT n.* FROM next n, young WHERE young.id IS NULL OR n.id < young.id
), added AS (
  INSERT INTO unheard (outgoing_id, company_id, account_id, reference, next_at)
  SELECT o.id, o.company_id, o.account_id, n.reference, wablast_now() FROM old n
  JOIN accounts ac ON ac.id = n.account_id AND ac.provider = 'waha' AND ac.send_through = 'api' AND ac.active
  JOIN outgoing o ON o.id = n.outgoing_id AND o.state IN ('accepted', 'uncertain')
  WHERE n.reference IS NOT NULL AND n.rank <= 1
  ON CONFLICT (outgoing_id) DO UPDATE SET reference = EXCLUDED.reference, tries = 0, next_at = EXCLUDED.next_at
), moved AS (
  UPDATE unheard_cursor SET attempt_id = (SELECT max(id) FROM old) WHERE EXISTS (SELECT FROM old)
)
SELECT count(*) AS walked FROM old";

const FORGET: &str = "
DELETE FROM unheard u WHERE u.tries > 4 OR u.since < wablast_now() - interval '1 day' OR NOT EXISTS (
  SELECT FROM outgoing o WHERE o.id = u.outgoing_id AND o.state IN ('accepted', 'uncertain'))";

/// Whoever takes one asks for it before another instance does; the waits grow.
const TAKE: &str = "
WITH turn AS (
  INSERT INTO account_sessions (account_id, company_id, asked_at)
  SELECT ac.id, ac.company_id, wablast_now() FROM accounts ac
  WHERE ac.active AND ac.provider = 'waha' AND ac.send_through = 'api'
    AND EXISTS (SELECT FROM unheard u WHERE u.account_id = ac.id AND u.next_at <= wablast_now())
  ON CONFLICT (account_id) DO UPDATE SET asked_at = EXCLUDED.asked_at
  WHERE account_sessions.asked_at IS NULL OR account_sessions.asked_at <= EXCLUDED.asked_at - interval '10 seconds'
  RETURNING account_id
), due AS (
  SELECT d.outgoing_id FROM turn t CROSS JOIN LATERAL (
    SELECT u.outgoing_id FROM unheard u WHERE u.account_id = t.account_id AND u.next_at <= wablast_now()
    ORDER BY u.next_at LIMIT 5 FOR UPDATE OF u SKIP LOCKED) d
)
UPDATE unheard u SET tries = u.tries + 1,
  next_at = wablast_now() + (ARRAY[interval '10 minutes', '30 minutes', '2 hours', '8 hours', '1 day'])[u.tries + 1]
FROM due d, outgoing o WHERE u.outgoing_id = d.outgoing_id AND o.id = u.outgoing_id
RETURNING u.outgoing_id, u.account_id, u.reference, coalesce(o.number, o.skipped_number) AS number,
  (SELECT i.value FROM contact_identities i WHERE i.contact_id = o.contact_id AND i.kind = 'lid' LIMIT 1) AS lid,
  (SELECT n.chat_id FROM number_checks n WHERE n.company_id = o.company_id AND n.number = o.number) AS chat_id";

/// The gateway did not answer: nobody was asked for.
const NOT_ASKED: &str = "
UPDATE unheard SET tries = greatest(0, tries - 1), next_at = wablast_now() + interval '10 minutes' WHERE outgoing_id = ANY ($1)";

#[derive(QueryableByName)]
struct Walked {
    #[diesel(sql_type = BigInt)]
    walked: i64,
}

#[derive(Debug, QueryableByName)]
struct Due {
    #[diesel(sql_type = BigInt)]
    outgoing_id: OutgoingId,
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Text)]
    reference: String,
    #[diesel(sql_type = Nullable<Text>)]
    number: Option<String>,
    /// Another address of the same person, under which WhatsApp may keep the chat.
    #[diesel(sql_type = Nullable<Text>)]
    lid: Option<String>,
    /// Where its number is on WhatsApp.
    #[diesel(sql_type = Nullable<Text>)]
    chat_id: Option<String>,
}

/// Asks for what is due. Returns the messages of which something was learned.
pub async fn look(app: &App) -> anyhow::Result<Vec<OutgoingId>> {
    let due: Vec<Due> = {
        let mut conn = app.db.system().await?;
        while gather(&mut conn).await? == 5000 {}
        sql_query(FORGET).execute(&mut conn).await?;
        sql_query(TAKE).load(&mut conn).await?
    };
    let mut by_account: BTreeMap<i64, Vec<Due>> = BTreeMap::new();
    for one in due {
        by_account.entry(one.account_id.0).or_default().push(one);
    }
    let touched: Vec<Vec<OutgoingId>> = stream::iter(by_account)
        .map(|(account, due)| async move {
            look_at(app, AccountId(account), due)
                .await
                .unwrap_or_else(|error| {
                    tracing::warn!(account, "looking for messages without receipts: {error:#}");
                    Vec::new()
                })
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    Ok(touched.concat())
}

async fn gather(conn: &mut AsyncPgConnection) -> QueryResult<i64> {
    let walked: Walked = sql_query(GATHER).get_result(conn).await?;
    Ok(walked.walked)
}

async fn look_at(app: &App, account: AccountId, due: Vec<Due>) -> anyhow::Result<Vec<OutgoingId>> {
    let waha = {
        let mut conn = app.db.system().await?;
        accounts::query::find(&mut conn, account).await?.waha(app)?
    };
    let mut found = Vec::new();
    let mut said = Ok(());
    let mut due = due.into_iter();
    for one in due.by_ref() {
        // No connection is held while the gateway answers.
        match find(app, &waha, &one).await {
            Ok(receipt) => found.extend(receipt),
            Err(reason) => {
                said = Err((one.outgoing_id, reason));
                break;
            }
        }
    }
    let mut conn = app.db.system().await?;
    let touched = conn
        .transaction(async |conn| receipts::apply(conn, &found).await)
        .await?;
    if let Err((first, reason)) = said {
        let rest: Vec<OutgoingId> = std::iter::once(first)
            .chain(due.map(|one| one.outgoing_id))
            .collect();
        sql_query(NOT_ASKED)
            .bind::<Array<BigInt>, _>(rest)
            .execute(&mut conn)
            .await?;
        tracing::info!(
            account = account.0,
            "messages without receipts are asked for later: {reason}"
        );
    }
    Ok(touched)
}

/// Its receipt; `None`: WAHA does not know the message, or nothing of what became of it.
async fn find(app: &App, waha: &Waha, one: &Due) -> Result<Option<Receipt>, String> {
    for to in [&one.chat_id, &one.number, &one.lid].into_iter().flatten() {
        let sighting = waha.look_up(to, &one.reference).await;
        let Some(sighting) = sighting.map_err(|error| error.reason().to_owned())? else {
            continue;
        };
        return Ok(sighting.rank.map(|rank| Receipt {
            account: one.account_id,
            reference: one.reference.clone(),
            rank,
            at: app.clock.now(),
        }));
    }
    Ok(None)
}
