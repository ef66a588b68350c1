//! Whether an uncertain message arrived, by what WhatsApp itself lists: for accounts whose policy asks.
//!
//! Invariants: exactly one message of ours in the chat that is nobody else's and says the same means that it
//! arrived. That it did *not* takes all of this: its request has ended and its worker noted so; the session
//! has worked without a break since; its store keeps messages, shown by another message that is found; every
//! look since the first found nothing of ours, the last at least a minute after the first and ten minutes
//! after it began. Anything else proves nothing, and the message stays uncertain. Owns `look_ups`; sends
//! nothing.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::posting::values;
use super::receipts::{self, Receipt};
use crate::accounts;
use crate::app::App;
use crate::gateways::waha::Waha;
use crate::gateways::waha::chats::{Listed, Store};
use crate::ids::{AccountId, MailingId, OutgoingId, VersionId};
use crate::schema::mailing_versions;
use crate::text::merge::{Parts, compose};

/// A message's own time and that of the gateway differ a little.
const BEFORE: TimeDelta = TimeDelta::seconds(5);

/// Messages whose request ended without a usable answer. What a process left behind, or a flow took, is never
/// looked for: nobody knows that it has ended.
const GATHER: &str = "
INSERT INTO look_ups (outgoing_id, company_id, account_id, fence, next_at)
SELECT o.id, o.company_id, o.account_id, o.fence, wablast_now()
FROM accounts ac
JOIN mailings m ON m.account_id = ac.id AND m.state IN ('sending', 'paused', 'done', 'partial_failure', 'failed')
  AND (m.finished_at IS NULL OR m.finished_at > wablast_now() - interval '1 day')
JOIN outgoing o ON o.mailing_id = m.id AND o.state = 'uncertain' AND o.number IS NOT NULL
  AND o.code IN ('timeout', 'bad_response', 'gateway_error', 'unreachable', 'tls')
JOIN attempts a ON a.outgoing_id = o.id AND a.fence = o.fence AND a.outcome = 'uncertain' AND a.ended_at IS NOT NULL
  AND a.begun_at > wablast_now() - interval '1 day' AND (ac.session_broke_at IS NULL OR ac.session_broke_at < a.begun_at)
WHERE ac.resend_proven AND ac.active AND ac.provider = 'waha' AND ac.send_through = 'api'
ON CONFLICT (outgoing_id) DO UPDATE SET fence = EXCLUDED.fence, next_at = EXCLUDED.next_at, clear_since = NULL, proven_at = NULL
  WHERE look_ups.fence <> EXCLUDED.fence";

const FORGET: &str = "
DELETE FROM look_ups l WHERE NOT EXISTS (
  SELECT FROM outgoing o JOIN accounts ac ON ac.id = o.account_id
  JOIN attempts a ON a.outgoing_id = o.id AND a.fence = l.fence
  WHERE o.id = l.outgoing_id AND o.state = 'uncertain' AND o.fence = l.fence AND ac.resend_proven
    AND a.begun_at > wablast_now() - interval '1 day' AND (ac.session_broke_at IS NULL OR ac.session_broke_at < a.begun_at))";

/// Whoever takes one looks at it before another instance does.
const TAKE: &str = "
WITH due AS (
  SELECT outgoing_id FROM look_ups WHERE next_at <= wablast_now() AND proven_at IS NULL
  ORDER BY next_at LIMIT 50 FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE look_ups l SET next_at = wablast_now() + interval '65 seconds' FROM due WHERE l.outgoing_id = due.outgoing_id
  RETURNING l.outgoing_id, l.fence, l.clear_since
)
SELECT o.id, o.account_id, o.mailing_id, o.version_id, o.number, o.field_values, t.fence, a.begun_at, a.own_ref,
  (SELECT i.value FROM contact_identities i WHERE i.contact_id = o.contact_id AND i.kind = 'lid' LIMIT 1) AS lid,
  (SELECT n.chat_id FROM number_checks n WHERE n.company_id = o.company_id AND n.number = o.number) AS chat_id,
  coalesce(t.clear_since <= wablast_now() - interval '60 seconds', false) AND a.begun_at <= wablast_now() - interval '10 minutes' AS last
FROM taken t JOIN outgoing o ON o.id = t.outgoing_id JOIN attempts a ON a.outgoing_id = t.outgoing_id AND a.fence = t.fence
ORDER BY o.id";

#[derive(Debug, QueryableByName)]
struct Due {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = BigInt)]
    mailing_id: MailingId,
    #[diesel(sql_type = Nullable<BigInt>)]
    version_id: Option<VersionId>,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Jsonb)]
    field_values: serde_json::Value,
    #[diesel(sql_type = Integer)]
    fence: i32,
    #[diesel(sql_type = Timestamptz)]
    begun_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    own_ref: Option<String>,
    /// Another address of the same person, under which WhatsApp may keep the chat.
    #[diesel(sql_type = Nullable<Text>)]
    lid: Option<String>,
    /// Where its number is on WhatsApp, when that is elsewhere.
    #[diesel(sql_type = Nullable<Text>)]
    chat_id: Option<String>,
    /// Where this look finds nothing either, nothing arrived.
    #[diesel(sql_type = Bool)]
    last: bool,
}

/// What a look at the chat said.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Arrived(Listed),
    /// Nothing of ours that is not known.
    Clear,
    /// Something, and nobody can say that it is this message.
    Unclear,
}

/// Looks for what is due. Returns the messages that were found.
pub async fn look(app: &App) -> anyhow::Result<Vec<OutgoingId>> {
    let due: Vec<Due> = {
        let mut conn = app.db.system().await?;
        sql_query(FORGET).execute(&mut conn).await?;
        sql_query(GATHER).execute(&mut conn).await?;
        sql_query(TAKE).load(&mut conn).await?
    };
    let mut by_account: BTreeMap<i64, Vec<Due>> = BTreeMap::new();
    for one in due {
        by_account.entry(one.account_id.0).or_default().push(one);
    }
    let mut found = Vec::new();
    for (account, due) in by_account {
        match look_at(app, AccountId(account), due).await {
            Ok(some) => found.extend(some),
            Err(error) => tracing::warn!(account, "looking for uncertain messages: {error:#}"),
        }
    }
    Ok(found)
}

async fn look_at(app: &App, account: AccountId, due: Vec<Due>) -> anyhow::Result<Vec<OutgoingId>> {
    let waha = {
        let mut conn = app.db.system().await?;
        accounts::query::find(&mut conn, account).await?.waha(app)?
    };
    match waha.store().await.map_err(said)? {
        Store::Kept => {}
        Store::Off => return Ok(Vec::new()),
        Store::Away => {
            let mut conn = app.db.system().await?;
            accounts::health::session_broke(&mut conn, account).await?;
            return Ok(Vec::new());
        }
    }
    let mut found = Vec::new();
    let mut shown: BTreeMap<i64, bool> = BTreeMap::new();
    for one in due {
        // No connection is held while the gateway answers.
        let shows = match shown.get(&one.mailing_id.0) {
            Some(shows) => *shows,
            None => {
                let shows = shows_others(app, &waha, &one).await?;
                shown.insert(one.mailing_id.0, shows);
                shows
            }
        };
        let Some(listed) = chat(&waha, &one).await? else {
            continue;
        };
        let mut conn = app.db.system().await?;
        match judge(&mut conn, &one, listed).await? {
            Verdict::Arrived(listed) => {
                arrived(&mut conn, app, &one, listed).await?;
                found.push(one.id);
            }
            Verdict::Clear if shows => clear(&mut conn, &one).await?,
            Verdict::Clear | Verdict::Unclear => unclear(&mut conn, &one).await?,
        }
    }
    Ok(found)
}

fn said(error: crate::gateways::SendError) -> anyhow::Error {
    anyhow::anyhow!("{}", error.reason())
}

/// Our messages in every chat this person may have; `None`: not all of them can be listed.
async fn chat(waha: &Waha, one: &Due) -> anyhow::Result<Option<Vec<Listed>>> {
    let mut all = Vec::new();
    for to in [Some(&one.number), one.lid.as_ref(), one.chat_id.as_ref()]
        .into_iter()
        .flatten()
    {
        match waha.own_messages(to, one.begun_at - BEFORE).await {
            Ok(Some(listed)) => all.extend(listed),
            Ok(None) => return Ok(None),
            Err(error) => return Err(said(error)),
        }
    }
    Ok(Some(all))
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    provider_id: String,
    #[diesel(sql_type = Timestamptz)]
    begun_at: DateTime<Utc>,
}

/// Whether the list shows a message of the same mailing that is known to have arrived: an empty list of a
/// store that shows nothing proves nothing.
async fn shows_others(app: &App, waha: &Waha, one: &Due) -> anyhow::Result<bool> {
    let known: Option<Known> = {
        let mut conn = app.db.system().await?;
        sql_query(
            "SELECT o.number, a.provider_id, a.begun_at FROM outgoing o
             JOIN attempts a ON a.outgoing_id = o.id AND a.provider_id IS NOT NULL
             WHERE o.mailing_id = $1 AND o.state IN ('accepted', 'sent', 'delivered', 'read') AND o.number IS NOT NULL LIMIT 1",
        )
        .bind::<BigInt, _>(one.mailing_id)
        .get_result(&mut conn)
        .await
        .optional()?
    };
    let Some(known) = known else { return Ok(false) };
    let listed = waha
        .own_messages(&known.number, known.begun_at - BEFORE)
        .await
        .map_err(said)?;
    Ok(listed.is_some_and(|listed| listed.iter().any(|one| one.id == known.provider_id)))
}

async fn judge(
    conn: &mut AsyncPgConnection,
    one: &Due,
    listed: Vec<Listed>,
) -> QueryResult<Verdict> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = Text)]
        id: String,
    }
    if let Some(own) = listed
        .iter()
        .find(|listed| Some(&listed.id) == one.own_ref.as_ref())
    {
        return Ok(Verdict::Arrived(own.clone()));
    }
    let ids: Vec<&str> = listed.iter().map(|listed| listed.id.as_str()).collect();
    let known: Vec<Id> = sql_query(
        "SELECT a.provider_id AS id FROM attempts a WHERE a.account_id = $1 AND a.provider_id = ANY ($2)
         UNION SELECT a.own_ref FROM attempts a WHERE a.account_id = $1 AND a.own_ref = ANY ($2)",
    )
    .bind::<BigInt, _>(one.account_id)
    .bind::<Array<Text>, _>(ids)
    .load(conn)
    .await?;
    let known: HashSet<String> = known.into_iter().map(|known| known.id).collect();
    let text = text_of(conn, one).await?;
    Ok(verdict(listed, &known, text.as_deref()))
}

fn verdict(listed: Vec<Listed>, known: &HashSet<String>, text: Option<&str>) -> Verdict {
    let mut unknown = listed.into_iter().filter(|one| !known.contains(&one.id));
    match (unknown.next(), unknown.next()) {
        (None, _) => Verdict::Clear,
        (Some(only), None) if Some(only.text.trim()) == text.map(str::trim) => {
            Verdict::Arrived(only)
        }
        _ => Verdict::Unclear,
    }
}

/// What the message says.
async fn text_of(conn: &mut AsyncPgConnection, one: &Due) -> QueryResult<Option<String>> {
    let Some(version) = one.version_id else {
        return Ok(None);
    };
    let (subject, header, message, footer) = mailing_versions::table
        .find(version)
        .select((
            mailing_versions::subject,
            mailing_versions::header,
            mailing_versions::message,
            mailing_versions::footer,
        ))
        .first(conn)
        .await?;
    let parts = Parts {
        subject,
        header,
        message,
        footer,
    };
    Ok(Some(compose(&parts, &values(&one.field_values))))
}

/// It is there: the chat is its receipt.
async fn arrived(
    conn: &mut AsyncPgConnection,
    app: &App,
    one: &Due,
    listed: Listed,
) -> QueryResult<()> {
    let receipt = Receipt {
        account: one.account_id,
        reference: listed.id,
        rank: listed.rank,
        at: app.clock.now(),
    };
    conn.transaction(async |conn| {
        sql_query("UPDATE attempts SET provider_id = $3 WHERE outgoing_id = $1 AND fence = $2 AND provider_id IS NULL")
            .bind::<BigInt, _>(one.id)
            .bind::<Integer, _>(one.fence)
            .bind::<Text, _>(&receipt.reference)
            .execute(conn)
            .await?;
        receipts::apply(conn, std::slice::from_ref(&receipt)).await?;
        QueryResult::Ok(())
    })
    .await
}

async fn clear(conn: &mut AsyncPgConnection, one: &Due) -> QueryResult<()> {
    sql_query(
        "UPDATE look_ups SET clear_since = coalesce(clear_since, wablast_now()), proven_at = CASE WHEN $3 THEN wablast_now() END
         WHERE outgoing_id = $1 AND fence = $2",
    )
    .bind::<BigInt, _>(one.id)
    .bind::<Integer, _>(one.fence)
    .bind::<Bool, _>(one.last)
    .execute(conn)
    .await?;
    Ok(())
}

/// From the beginning, in a while.
async fn unclear(conn: &mut AsyncPgConnection, one: &Due) -> QueryResult<()> {
    sql_query(
        "UPDATE look_ups SET clear_since = NULL, next_at = wablast_now() + interval '10 minutes' WHERE outgoing_id = $1 AND fence = $2",
    )
    .bind::<BigInt, _>(one.id)
    .bind::<Integer, _>(one.fence)
    .execute(conn)
    .await?;
    Ok(())
}

/// A message that did not arrive.
#[derive(Debug, QueryableByName)]
pub struct Proven {
    #[diesel(sql_type = BigInt)]
    pub mailing_id: MailingId,
    #[diesel(sql_type = BigInt)]
    pub id: OutgoingId,
}

/// What did not arrive, for as long as its proof stands.
pub async fn proven(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Proven>> {
    sql_query(FORGET).execute(conn).await?;
    sql_query(
        "SELECT o.mailing_id, o.id FROM look_ups l JOIN outgoing o ON o.id = l.outgoing_id
         WHERE l.proven_at IS NOT NULL ORDER BY o.mailing_id, o.id LIMIT 10000",
    )
    .load(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateways::Rank;

    #[test]
    fn only_one_that_says_the_same_is_it_and_only_nothing_is_nothing() {
        let listed = |id: &str, text: &str| Listed {
            id: id.to_owned(),
            text: text.to_owned(),
            rank: Rank::Sent,
        };
        let known = HashSet::from(["A".to_owned()]);
        let judged = |all: &[Listed]| verdict(all.to_vec(), &known, Some("Halo"));
        assert_eq!(judged(&[]), Verdict::Clear);
        assert_eq!(judged(&[listed("A", "Halo")]), Verdict::Clear);
        let it = listed("B", "Halo");
        assert_eq!(
            judged(&[listed("A", "Halo"), it.clone()]),
            Verdict::Arrived(it.clone())
        );
        assert_eq!(judged(&[listed("B", "Hai")]), Verdict::Unclear);
        assert_eq!(judged(&[it, listed("C", "Halo")]), Verdict::Unclear);
        assert_eq!(
            verdict(vec![listed("B", "")], &known, None),
            Verdict::Unclear
        );
    }
}
