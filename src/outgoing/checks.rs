//! Whether the numbers that wait are on WhatsApp, asked ahead of the sending where an account wants it.
//!
//! Invariants: an answer is believed for 90 days; an account asks within its hourly budget, all instances
//! together; who is not there is skipped with that reason; a question that fails changes nothing. Owns
//! `number_checks`.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::begin::Begun;
use super::query::skip_waiting;
use crate::accounts;
use crate::app::App;
use crate::gateways::waha::person::Existence;
use crate::ids::{AccountId, CompanyId, ContactId, OutgoingId};

pub const NOT_ON_WHATSAPP: &str = "not_on_whatsapp";

/// Whoever gets a turn asks before another instance does.
const TURN: &str = "
UPDATE account_sending s SET asked_at = wablast_now() FROM accounts a
WHERE a.id = s.account_id AND s.check_numbers AND a.active AND a.health = 'running' AND a.provider = 'waha' AND a.send_through = 'api'
  AND (s.asked_at IS NULL OR s.asked_at <= wablast_now() - interval '10 seconds')
RETURNING s.account_id, least(5, s.checks_an_hour - (SELECT count(*) FROM number_checks n
  WHERE n.account_id = s.account_id AND n.checked_at > wablast_now() - interval '1 hour'))::int AS left";

const WAITING: &str = "
SELECT DISTINCT q.company_id, q.number FROM mailings m CROSS JOIN LATERAL (
  SELECT o.company_id, o.number FROM outgoing o
  WHERE o.mailing_id = m.id AND o.state = 'queued' AND o.number IS NOT NULL AND NOT EXISTS (
    SELECT FROM number_checks n WHERE n.company_id = o.company_id AND n.number = o.number AND n.checked_at > wablast_now() - interval '90 days')
  ORDER BY o.id LIMIT $2) q
WHERE m.account_id = $1 AND m.state IN ('sending', 'paused') LIMIT $2";

#[derive(QueryableByName)]
struct Turn {
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Integer)]
    left: i32,
}

#[derive(QueryableByName)]
struct Waiting {
    #[diesel(sql_type = BigInt)]
    company_id: CompanyId,
    #[diesel(sql_type = Text)]
    number: String,
}

#[derive(QueryableByName)]
struct Person {
    #[diesel(sql_type = BigInt)]
    id: ContactId,
}

/// One look at what waits; returns how many numbers were asked for.
pub async fn look(app: &App) -> anyhow::Result<usize> {
    let turns: Vec<Turn> = {
        let mut conn = app.db.system().await?;
        sql_query(TURN).load(&mut conn).await?
    };
    let mut asked = 0;
    for turn in turns.into_iter().filter(|turn| turn.left > 0) {
        asked += ask(app, &turn).await?;
    }
    Ok(asked)
}

async fn ask(app: &App, turn: &Turn) -> anyhow::Result<usize> {
    let (waha, waiting) = {
        let mut conn = app.db.system().await?;
        let account = accounts::query::find(&mut conn, turn.account_id).await?;
        let waiting: Vec<Waiting> = sql_query(WAITING)
            .bind::<BigInt, _>(turn.account_id)
            .bind::<Integer, _>(turn.left)
            .load(&mut conn)
            .await?;
        (account.waha(app)?, waiting)
    };
    let mut asked = 0;
    for one in waiting {
        // No connection is held while the gateway answers.
        match waha.check_exists(&one.number).await {
            Ok(found) => {
                let mut conn = app.db.system().await?;
                conn.transaction(async |conn| said(conn, turn.account_id, &one, &found).await)
                    .await?;
                asked += 1;
            }
            Err(error) => {
                tracing::info!(
                    account = turn.account_id.0,
                    "checking a number: {}",
                    error.reason()
                );
                break;
            }
        }
    }
    Ok(asked)
}

/// Keeps the answer, and lets it count for whoever has the number.
async fn said(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    one: &Waiting,
    found: &Existence,
) -> QueryResult<()> {
    let own = format!("{}@c.us", one.number);
    let elsewhere = found.chat_id.as_deref().filter(|chat| *chat != own);
    sql_query(
        "INSERT INTO number_checks (company_id, number, account_id, on_whatsapp, chat_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (company_id, number) DO UPDATE SET account_id = EXCLUDED.account_id, on_whatsapp = EXCLUDED.on_whatsapp,
           chat_id = EXCLUDED.chat_id, checked_at = wablast_now()",
    )
    .bind::<BigInt, _>(one.company_id)
    .bind::<Text, _>(&one.number)
    .bind::<BigInt, _>(account)
    .bind::<Bool, _>(found.on_whatsapp)
    .bind::<Nullable<Text>, _>(elsewhere)
    .execute(conn)
    .await?;
    let people: Vec<Person> =
        sql_query("SELECT id FROM contacts WHERE company_id = $1 AND whatsapp_number = $2")
            .bind::<BigInt, _>(one.company_id)
            .bind::<Text, _>(&one.number)
            .load(conn)
            .await?;
    let people: Vec<ContactId> = people.into_iter().map(|person| person.id).collect();
    if !found.on_whatsapp {
        skip_waiting(conn, &people, NOT_ON_WHATSAPP).await?;
    }
    if let Some(chat) = elsewhere {
        remember(conn, one.company_id, &people, chat).await?;
    }
    Ok(())
}

/// Answers come from that address: it is another name of the person.
async fn remember(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    people: &[ContactId],
    chat: &str,
) -> QueryResult<()> {
    let (kind, value) = match chat.split_once('@') {
        Some((_, "lid")) => ("lid", chat),
        Some((digits, _)) => ("wa_id", digits),
        None => ("wa_id", chat),
    };
    sql_query(
        "INSERT INTO contact_identities (company_id, contact_id, kind, value)
         SELECT $1, min(id), $3, $4 FROM unnest($2::bigint[]) AS p(id) HAVING count(*) > 0 ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<BigInt>, _>(people)
    .bind::<Text, _>(kind)
    .bind::<Text, _>(value)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Address {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    #[diesel(sql_type = Text)]
    chat_id: String,
}

/// Sends each message to where WhatsApp said its number is.
pub(super) async fn address(app: &App, begun: &mut [Begun]) -> anyhow::Result<()> {
    let ids: Vec<OutgoingId> = begun.iter().map(|one| one.id).collect();
    let mut conn = app.db.system().await?;
    let elsewhere: Vec<Address> = sql_query(
        "SELECT o.id, n.chat_id FROM outgoing o JOIN number_checks n ON n.company_id = o.company_id AND n.number = o.number
         WHERE o.id = ANY ($1) AND n.chat_id IS NOT NULL",
    )
    .bind::<Array<BigInt>, _>(ids)
    .load(&mut conn)
    .await?;
    for one in elsewhere {
        if let Some(message) = begun.iter_mut().find(|message| message.id == one.id) {
            message.number = Some(one.chat_id);
        }
    }
    Ok(())
}
