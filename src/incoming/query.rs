//! SQL of incoming messages.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::accounts::Account;
use crate::gateways::waha::events::IncomingMessage;
use crate::ids::{AccountId, CompanyId, ContactId, IncomingId, MailingId, OutgoingId};
use crate::search::{COUNT_LIMIT, counted};

#[derive(QueryableByName)]
struct Company {
    #[diesel(sql_type = BigInt)]
    company_id: CompanyId,
}

/// The company that wrote last to this person over this account within 15 days, else the owner.
pub(super) async fn company_of_conversation(
    conn: &mut AsyncPgConnection,
    account: &Account,
    number: Option<&str>,
    lid: Option<&str>,
) -> QueryResult<CompanyId> {
    let found: Option<Company> = sql_query(
        "SELECT o.company_id FROM outgoing o JOIN companies co ON co.id = o.company_id AND co.active
         WHERE o.account_id = $1 AND o.accepted_at > wablast_now() - interval '15 days'
           AND o.contact_id IN (
             SELECT c.id FROM contacts c JOIN account_companies ac ON ac.company_id = c.company_id AND ac.account_id = $1 AND ac.active
             WHERE c.whatsapp_number = $2
             UNION SELECT i.contact_id FROM contact_identities i
               JOIN account_companies ac ON ac.company_id = i.company_id AND ac.account_id = $1 AND ac.active
             WHERE i.kind IN ('lid', 'bsuid') AND i.value = $3)
         ORDER BY o.accepted_at DESC LIMIT 1",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<Nullable<Text>, _>(number)
    .bind::<Nullable<Text>, _>(lid)
    .get_result(conn)
    .await
    .optional()?;
    Ok(found.map_or(account.company_id, |found| found.company_id))
}

#[derive(QueryableByName)]
struct Open {
    #[diesel(sql_type = Bool)]
    open: bool,
}

/// Whether the sender of this message wrote to its account within 24 hours.
pub(super) async fn is_window_open(
    conn: &mut AsyncPgConnection,
    message: &Incoming,
) -> QueryResult<bool> {
    let found: Open = sql_query(
        "SELECT EXISTS (SELECT FROM incoming WHERE account_id = $1 AND contact_id = $2
           AND received_at > wablast_now() - interval '24 hours') AS open",
    )
    .bind::<BigInt, _>(message.account_id)
    .bind::<Nullable<BigInt>, _>(message.contact_id)
    .get_result(conn)
    .await?;
    Ok(found.open)
}

/// Whether whoever has this number wrote to the account within 24 hours.
pub async fn is_open_for(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    digits: &str,
) -> QueryResult<bool> {
    let found: Open = sql_query(
        "SELECT EXISTS (SELECT FROM incoming i JOIN contacts c ON c.id = i.contact_id
           WHERE c.whatsapp_number = $2 AND i.account_id = $1 AND i.received_at > wablast_now() - interval '24 hours') AS open",
    )
    .bind::<BigInt, _>(account)
    .bind::<Text, _>(digits)
    .get_result(conn)
    .await?;
    Ok(found.open)
}

/// The mailing message that an incoming one answers.
#[derive(Debug, Clone, QueryableByName)]
pub(super) struct Answered {
    #[diesel(sql_type = BigInt)]
    pub outgoing_id: OutgoingId,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub mailing_id: Option<MailingId>,
}

/// The quoted message, else the last mailing message this person got over this account within 3 days.
pub(super) async fn what_it_answers(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    company: CompanyId,
    contact: ContactId,
    quoted: Option<&str>,
) -> QueryResult<Option<Answered>> {
    sql_query(
        "SELECT outgoing_id, mailing_id FROM (
           SELECT o.id AS outgoing_id, o.mailing_id, 0 AS rank FROM attempts a JOIN outgoing o ON o.id = a.outgoing_id
           WHERE a.account_id = $1 AND a.provider_id = $4 AND o.company_id = $2
           UNION ALL
           (SELECT o.id, o.mailing_id, 1 FROM outgoing o
            WHERE o.contact_id = $3 AND o.account_id = $1 AND o.kind = 'mailing'
              AND o.accepted_at > wablast_now() - interval '3 days' ORDER BY o.id DESC LIMIT 1)
         ) f ORDER BY rank LIMIT 1",
    )
    .bind::<BigInt, _>(account)
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(contact)
    .bind::<Nullable<Text>, _>(quoted)
    .get_result(conn)
    .await
    .optional()
}

pub(super) struct NewIncoming<'a> {
    pub company: CompanyId,
    pub account: &'a Account,
    pub contact: ContactId,
    pub sender: &'a str,
    pub message: &'a IncomingMessage,
    pub reply: Option<&'a Answered>,
    pub opted_out: bool,
    pub inbox: i64,
}

#[derive(QueryableByName)]
struct Made {
    #[diesel(sql_type = BigInt)]
    id: IncomingId,
}

/// `None`: this message is stored already.
pub(super) async fn insert(
    conn: &mut AsyncPgConnection,
    new: &NewIncoming<'_>,
) -> QueryResult<Option<IncomingId>> {
    let made: Option<Made> = sql_query(
        "INSERT INTO incoming (company_id, account_id, contact_id, provider_id, sender, sender_name, receiver, message, mime,
           quoted_provider_id, outgoing_id, mailing_id, sent_at, opted_out, inbox_id, full_id, reaction, read_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, CASE WHEN $17 THEN wablast_now() END)
         ON CONFLICT ON CONSTRAINT incoming_once DO NOTHING RETURNING id",
    )
    .bind::<BigInt, _>(new.company)
    .bind::<BigInt, _>(new.account.id)
    .bind::<BigInt, _>(new.contact)
    .bind::<Text, _>(&new.message.stanza)
    .bind::<Text, _>(new.sender)
    .bind::<Text, _>(new.message.sender_name.as_deref().unwrap_or_default())
    .bind::<Nullable<Text>, _>(new.account.phone_number.as_deref())
    .bind::<Text, _>(new.message.text.as_deref().unwrap_or_default())
    .bind::<Nullable<Text>, _>(new.message.media.as_deref())
    .bind::<Nullable<Text>, _>(new.message.quoted.as_deref())
    .bind::<Nullable<BigInt>, _>(new.reply.map(|reply| reply.outgoing_id))
    .bind::<Nullable<BigInt>, _>(new.reply.and_then(|reply| reply.mailing_id))
    .bind::<Nullable<Timestamptz>, _>(new.message.sent_at)
    .bind::<Bool, _>(new.opted_out)
    .bind::<BigInt, _>(new.inbox)
    .bind::<Text, _>(&new.message.full_id)
    .bind::<Bool, _>(new.message.is_reaction)
    .get_result(conn)
    .await
    .optional()?;
    Ok(made.map(|made| made.id))
}

/// Whether this is the only message the person ever wrote to the account.
pub(super) async fn is_first(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    contact: ContactId,
    id: IncomingId,
) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct First {
        #[diesel(sql_type = Bool)]
        first: bool,
    }
    let first: First = sql_query(
        "SELECT NOT EXISTS (SELECT FROM incoming WHERE contact_id = $1 AND account_id = $2 AND id <> $3) AS first",
    )
    .bind::<BigInt, _>(contact)
    .bind::<BigInt, _>(account)
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(first.first)
}

#[derive(QueryableByName)]
struct Contact {
    #[diesel(sql_type = BigInt)]
    contact_id: ContactId,
}

/// Marks the undo; the person it concerns.
pub(super) async fn undo_opt_out(
    conn: &mut AsyncPgConnection,
    id: IncomingId,
    reason: &str,
) -> QueryResult<Option<ContactId>> {
    let contact: Option<Contact> = sql_query(
        "UPDATE incoming SET opt_out_undone_at = wablast_now(), opt_out_undone_reason = $2
         WHERE id = $1 AND opted_out AND opt_out_undone_at IS NULL AND contact_id IS NOT NULL RETURNING contact_id",
    )
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(reason)
    .get_result(conn)
    .await
    .optional()?;
    Ok(contact.map(|contact| contact.contact_id))
}

pub async fn mark_read(
    conn: &mut AsyncPgConnection,
    ids: &[IncomingId],
    read: bool,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE incoming SET read_at = CASE WHEN $2 THEN coalesce(read_at, wablast_now()) END WHERE id = ANY ($1)",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Bool, _>(read)
    .execute(conn)
    .await
}

/// How many messages nobody has read.
pub async fn unread(conn: &mut AsyncPgConnection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Unread {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let unread: Unread =
        sql_query("SELECT count(*) AS n FROM incoming WHERE read_at IS NULL AND company_id = current_setting('app.company')::bigint")
            .get_result(conn)
            .await?;
    Ok(unread.n)
}

/// A message with the names around it.
#[derive(Debug, Clone, QueryableByName, serde::Serialize, utoipa::ToSchema)]
pub struct Incoming {
    #[diesel(sql_type = BigInt)]
    #[schema(value_type = i64, example = 31)]
    pub id: IncomingId,
    #[diesel(sql_type = BigInt)]
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    #[diesel(sql_type = Text)]
    #[schema(example = "Toko Bandung")]
    pub account_name: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    #[schema(value_type = Option<i64>)]
    pub contact_id: Option<ContactId>,
    #[diesel(sql_type = Text)]
    #[schema(example = "Siti Rahmawati")]
    pub contact_name: String,
    #[diesel(sql_type = Text)]
    #[schema(example = "6281255500147")]
    pub sender: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub receiver: Option<String>,
    #[diesel(sql_type = Text)]
    #[schema(example = "Masih ada ukuran L, Kak")]
    pub message: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub mime: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub quoted_provider_id: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    #[schema(value_type = Option<i64>)]
    pub mailing_id: Option<MailingId>,
    #[diesel(sql_type = Nullable<Text>)]
    pub mailing_subject: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub read_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    pub opted_out: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub opt_out_undone_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub opt_out_undone_reason: Option<String>,
    /// What a reply that quotes this message names it by.
    #[serde(skip)]
    #[diesel(sql_type = Text)]
    pub quotable: String,
}

const COLUMNS: &str = "SELECT i.id, i.account_id, coalesce(a.name, '') AS account_name, i.contact_id,
   coalesce(nullif(c.name, ''), i.sender_name) AS contact_name, i.sender, i.receiver, i.message, i.mime, i.quoted_provider_id, i.mailing_id,
   m.subject AS mailing_subject, i.received_at, i.read_at, i.opted_out, i.opt_out_undone_at, i.opt_out_undone_reason,
   coalesce(i.full_id, concat('false_', i.sender, CASE WHEN i.sender NOT LIKE '%@%' THEN '@c.us' END, '_', i.provider_id)) AS quotable
 FROM incoming i LEFT JOIN accounts a ON a.id = i.account_id LEFT JOIN contacts c ON c.id = i.contact_id
   LEFT JOIN mailings m ON m.id = i.mailing_id";

pub async fn find(conn: &mut AsyncPgConnection, id: IncomingId) -> QueryResult<Incoming> {
    sql_query(format!("{COLUMNS} WHERE i.id = $1"))
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await
}

/// How many [`since`] finds in all; `None`: more than are counted.
pub async fn count_since(
    conn: &mut AsyncPgConnection,
    since: Option<DateTime<Utc>>,
) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let found: Found = sql_query(
        "SELECT count(*) AS n FROM (SELECT FROM incoming WHERE $1::timestamptz IS NULL OR received_at >= $1 LIMIT $2) found",
    )
    .bind::<Nullable<Timestamptz>, _>(since)
    .bind::<BigInt, _>(COUNT_LIMIT + 1)
    .get_result(conn)
    .await?;
    Ok(counted(found.n))
}

/// Messages by id, upwards, received at or after `since`.
pub async fn since(
    conn: &mut AsyncPgConnection,
    since: Option<DateTime<Utc>>,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<Incoming>> {
    sql_query(format!("{COLUMNS} WHERE i.id > $1 AND ($2::timestamptz IS NULL OR i.received_at >= $2) ORDER BY i.id LIMIT $3"))
        .bind::<BigInt, _>(after)
        .bind::<Nullable<Timestamptz>, _>(since)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await
}

/// What one person wrote, newest first.
pub async fn of_contact(
    conn: &mut AsyncPgConnection,
    contact: ContactId,
    limit: i64,
) -> QueryResult<Vec<Incoming>> {
    sql_query(format!(
        "{COLUMNS} WHERE i.contact_id = $1 ORDER BY i.id DESC LIMIT $2"
    ))
    .bind::<BigInt, _>(contact)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await
}
