//! SQL of outgoing messages that is not the deliverer's: making, stopping, counting, listing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::again::{self, Waiting};
use crate::ids::{
    AccountId, CompanyId, ContactId, LogId, MailingId, MediaId, OutgoingId, UserId, VersionId,
};
use crate::search::{COUNT_LIMIT, counted};

/// What one stretch of a frozen audience becomes.
pub struct Chunk<'a> {
    pub company: CompanyId,
    pub mailing: MailingId,
    pub account: AccountId,
    pub version: VersionId,
    pub log: LogId,
    /// Positions above this one ...
    pub after: i64,
    /// ... up to and with this one.
    pub up_to: i64,
    pub not_after: Option<DateTime<Utc>>,
    /// SQL of the skip reason over the aliases `u` (audience) and `c` (contacts); null: will be sent.
    pub verdict: &'a str,
    /// SQL of a jsonb object with the values of the placeholders, over `c` and `l` (lists).
    pub values: &'a str,
}

/// Makes the messages of a stretch; those left out get a row too, with the reason.
pub async fn add_chunk(conn: &mut AsyncPgConnection, chunk: &Chunk<'_>) -> QueryResult<usize> {
    let statement = format!(
        "INSERT INTO outgoing (company_id, account_id, kind, mailing_id, version_id, log_id, contact_id, list_id,
           number, skipped_number, field_values, state, code, not_after)
         SELECT $1, $2, 'mailing', $3, $4, $5, j.contact_id, j.list_id,
           CASE WHEN j.verdict IS NULL THEN j.number END, CASE WHEN j.verdict IS NOT NULL THEN j.number END,
           j.field_values, CASE WHEN j.verdict IS NULL THEN 'queued' ELSE 'skipped' END, j.verdict, CASE WHEN j.verdict IS NULL THEN $8 END
         FROM (
           SELECT u.position, u.contact_id, u.list_id, u.number, ({verdict}) AS verdict, ({values}) AS field_values
           FROM audience u JOIN contacts c ON c.id = u.contact_id LEFT JOIN lists l ON l.id = u.list_id
           WHERE u.mailing_id = $3 AND u.position > $6 AND u.position <= $7
         ) j ORDER BY j.position",
        verdict = chunk.verdict,
        values = chunk.values
    );
    sql_query(statement)
        .bind::<BigInt, _>(chunk.company)
        .bind::<BigInt, _>(chunk.account)
        .bind::<BigInt, _>(chunk.mailing)
        .bind::<BigInt, _>(chunk.version)
        .bind::<BigInt, _>(chunk.log)
        .bind::<BigInt, _>(chunk.after)
        .bind::<BigInt, _>(chunk.up_to)
        .bind::<Nullable<Timestamptz>, _>(chunk.not_after)
        .execute(conn)
        .await
}

/// A message of its own (test, reply ...). `cause` makes it happen once: the second call with the same
/// cause makes nothing and returns `None`.
#[derive(Debug)]
pub struct Single<'a> {
    pub company: CompanyId,
    pub account: AccountId,
    pub kind: &'static str,
    pub contact: Option<ContactId>,
    /// E.164 digits, or another address such as 123@lid.
    pub number: &'a str,
    pub text: &'a str,
    pub user: Option<UserId>,
    pub cause: &'a str,
    /// The gateway's id of the message this one answers.
    pub quoted: Option<&'a str>,
    /// The file it carries.
    pub media: Option<MediaId>,
    /// The version it is sent as, with the values of its placeholders; none: its text, as it is.
    pub version: Option<(VersionId, serde_json::Value)>,
    /// What has not left by then expires.
    pub until: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Made {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
}

pub async fn add_single(
    conn: &mut AsyncPgConnection,
    single: &Single<'_>,
) -> QueryResult<Option<OutgoingId>> {
    let made: Option<Made> = sql_query(
        "WITH content AS (
           INSERT INTO outgoing_content (company_id, text, user_id, cause, quoted, media_id) VALUES ($1, $2, $3, $4, $9, $10)
           ON CONFLICT ON CONSTRAINT outgoing_content_cause_unique DO NOTHING RETURNING id
         )
         INSERT INTO outgoing (company_id, account_id, kind, content_id, contact_id, number, state, version_id, field_values, not_after)
         SELECT $1, $5, $6, content.id, $7, $8, 'queued', $11, coalesce($12, '{}'), $13 FROM content RETURNING id",
    )
    .bind::<BigInt, _>(single.company)
    .bind::<Text, _>(single.text)
    .bind::<Nullable<BigInt>, _>(single.user)
    .bind::<Text, _>(single.cause)
    .bind::<BigInt, _>(single.account)
    .bind::<Text, _>(single.kind)
    .bind::<Nullable<BigInt>, _>(single.contact)
    .bind::<Text, _>(single.number)
    .bind::<Nullable<Text>, _>(single.quoted)
    .bind::<Nullable<BigInt>, _>(single.media)
    .bind::<Nullable<BigInt>, _>(single.version.as_ref().map(|(version, _)| *version))
    .bind::<Nullable<Jsonb>, _>(single.version.as_ref().map(|(_, values)| values))
    .bind::<Nullable<Timestamptz>, _>(single.until)
    .get_result(conn)
    .await
    .optional()?;
    Ok(made.map(|made| made.id))
}

/// Takes the waiting messages to these people out of the queue, with the reason. Belongs to the
/// transaction that stores the reason (an opt-out, a deactivation).
pub async fn skip_waiting(
    conn: &mut AsyncPgConnection,
    contacts: &[ContactId],
    reason: &str,
) -> QueryResult<usize> {
    again::fall_back(conn, Waiting::OfContacts(contacts)).await?;
    sql_query(
        "UPDATE outgoing SET state = 'skipped', code = $2, fence = fence + 1, owner = NULL, lease_until = NULL,
           skipped_number = number, number = NULL
         WHERE contact_id = ANY ($1) AND state IN ('queued', 'claimed') AND kind IN ('mailing', 'welcome', 'single')",
    )
    .bind::<Array<BigInt>, _>(contacts)
    .bind::<Text, _>(reason)
    .execute(conn)
    .await
}

/// Stops what has not begun of a mailing; what is at the gateway finishes, and when it turns out that it
/// did not leave its time is over: it never goes again. One statement, so that a message whose outcome is noted
/// meanwhile is seen as what it has become.
pub async fn cancel_waiting(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
) -> QueryResult<usize> {
    again::fall_back(conn, Waiting::OfMailing(mailing)).await?;
    sql_query(
        "UPDATE outgoing o SET
           state = CASE WHEN o.state = 'sending' OR e.again THEN o.state ELSE 'canceled' END,
           not_after = CASE WHEN o.state = 'sending' OR e.again THEN least(o.not_after, wablast_now()) ELSE o.not_after END,
           fence = CASE WHEN o.state = 'sending' OR e.again THEN o.fence ELSE o.fence + 1 END,
           owner = CASE WHEN o.state = 'sending' OR e.again THEN o.owner END,
           lease_until = CASE WHEN o.state = 'sending' OR e.again THEN o.lease_until END,
           opened_at = NULL
         FROM (SELECT w.id, EXISTS (SELECT FROM log_ends l WHERE l.outgoing_id = w.id) AS again FROM outgoing w
               WHERE w.mailing_id = $1 AND w.state IN ('queued', 'claimed', 'sending')) e
         WHERE o.id = e.id AND o.mailing_id = $1 AND o.state IN ('queued', 'claimed', 'sending')",
    )
    .bind::<BigInt, _>(mailing)
    .execute(conn)
    .await
}

/// The state a message counts as: what a flow took and has not reported yet is *handed_over*, not
/// uncertain.
const STANDING: &str =
    "CASE WHEN state = 'uncertain' AND code = 'handed_over' THEN 'handed_over' ELSE state END";

/// How many messages are in each state; disjoint, and they sum to `total`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, i64>);

impl Counts {
    pub fn of(&self, state: &str) -> i64 {
        self.0.get(state).copied().unwrap_or(0)
    }

    pub fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// Not yet ended: queued, claimed, sending.
    pub fn open(&self) -> i64 {
        self.of("queued") + self.of("claimed") + self.of("sending")
    }

    /// A flow has them and will report.
    pub fn handed_over(&self) -> i64 {
        self.of("handed_over")
    }

    /// Left our hands and was taken: accepted, sent, delivered, read.
    pub fn sent(&self) -> i64 {
        self.of("accepted") + self.of("sent") + self.delivered()
    }

    pub fn delivered(&self) -> i64 {
        self.of("delivered") + self.of("read")
    }

    /// Failed for good: failed, expired.
    pub fn failed(&self) -> i64 {
        self.of("failed") + self.of("expired")
    }
}

impl FromIterator<(String, i64)> for Counts {
    /// The same state twice is added up.
    fn from_iter<I: IntoIterator<Item = (String, i64)>>(parts: I) -> Self {
        let mut counts = Self::default();
        for (state, count) in parts {
            *counts.0.entry(state).or_default() += count;
        }
        counts
    }
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    mailing_id: MailingId,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

pub async fn counts(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<Counts> {
    Ok(counts_of(conn, &[mailing])
        .await?
        .remove(&mailing)
        .unwrap_or_default())
}

pub async fn counts_of(
    conn: &mut AsyncPgConnection,
    mailings: &[MailingId],
) -> QueryResult<BTreeMap<MailingId, Counts>> {
    let rows: Vec<CountRow> = sql_query(
        format!("SELECT mailing_id, {STANDING} AS state, count(*) AS n FROM outgoing WHERE mailing_id = ANY ($1) GROUP BY 1, 2"),
    )
    .bind::<Array<BigInt>, _>(mailings)
    .load(conn)
    .await?;
    let mut counts: BTreeMap<MailingId, Counts> = BTreeMap::new();
    for row in rows {
        counts
            .entry(row.mailing_id)
            .or_default()
            .0
            .insert(row.state, row.n);
    }
    Ok(counts)
}

/// The messages of one run of a mailing; those that a later run took over count as they had ended in it.
pub async fn counts_of_log(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
    log: LogId,
) -> QueryResult<Counts> {
    let rows: Vec<CountRow> = sql_query(format!(
        "SELECT $1 AS mailing_id, state, count(*) AS n FROM (
           SELECT {STANDING} AS state FROM outgoing WHERE mailing_id = $1 AND log_id = $2
           UNION ALL SELECT state FROM log_ends WHERE log_id = $2) s GROUP BY state"
    ))
    .bind::<BigInt, _>(mailing)
    .bind::<BigInt, _>(log)
    .load(conn)
    .await?;
    Ok(Counts(
        rows.into_iter().map(|row| (row.state, row.n)).collect(),
    ))
}

/// A message as the API and the pages show it.
#[derive(Debug, Clone, QueryableByName, serde::Serialize, utoipa::ToSchema)]
pub struct Message {
    #[diesel(sql_type = BigInt)]
    #[schema(value_type = i64, example = 901)]
    pub id: OutgoingId,
    #[diesel(sql_type = Nullable<BigInt>)]
    #[schema(value_type = Option<i64>, example = 12)]
    pub contact_id: Option<ContactId>,
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(example = "6281255500147")]
    pub to: Option<String>,
    #[diesel(sql_type = Text)]
    #[schema(example = "delivered")]
    pub state: String,
    /// Meta took it and holds it back while it assesses the quality of the template
    #[diesel(sql_type = Bool)]
    #[schema(example = false)]
    pub held: bool,
    /// Why it was left out.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_message: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub provider_message_id: Option<String>,
    #[diesel(sql_type = SmallInt)]
    pub attempts: i16,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub accepted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub delivered_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub read_at: Option<DateTime<Utc>>,
}

/// Which messages the API lists.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    pub mailing: Option<MailingId>,
    pub state: Option<String>,
    pub contact: Option<ContactId>,
    /// Ids above this one.
    pub after: i64,
    pub limit: i64,
}

/// How many [`messages`] finds in all; `None`: more than are counted.
pub async fn count_messages(
    conn: &mut AsyncPgConnection,
    filter: &MessageFilter,
) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let found: Found = sql_query(
        "SELECT count(*) AS n FROM (SELECT FROM outgoing
           WHERE ($1::bigint IS NULL OR mailing_id = $1) AND ($2::text IS NULL OR state = $2)
             AND ($3::bigint IS NULL OR contact_id = $3) LIMIT $4) found",
    )
    .bind::<Nullable<BigInt>, _>(filter.mailing)
    .bind::<Nullable<Text>, _>(filter.state.as_deref())
    .bind::<Nullable<BigInt>, _>(filter.contact)
    .bind::<BigInt, _>(COUNT_LIMIT + 1)
    .get_result(conn)
    .await?;
    Ok(counted(found.n))
}

/// Messages by id, upwards; row-level security keeps to one company.
pub async fn messages(
    conn: &mut AsyncPgConnection,
    filter: &MessageFilter,
) -> QueryResult<Vec<Message>> {
    sql_query(
        "SELECT id, contact_id, coalesce(number, skipped_number) AS \"to\", state,
           CASE WHEN state = 'skipped' THEN code END AS reason,
           CASE WHEN state NOT IN ('skipped', 'accepted') THEN code END AS error_code,
           CASE WHEN state <> 'skipped' THEN outgoing.reason END AS error_message,
           coalesce(state = 'accepted' AND code = 'held_for_quality', false) AS held, provider_id AS provider_message_id, attempts, created_at, accepted_at, delivered_at, read_at
         FROM outgoing
         WHERE id > $1 AND ($2::bigint IS NULL OR mailing_id = $2) AND ($3::text IS NULL OR state = $3)
           AND ($4::bigint IS NULL OR contact_id = $4)
         ORDER BY id LIMIT $5",
    )
    .bind::<BigInt, _>(filter.after)
    .bind::<Nullable<BigInt>, _>(filter.mailing)
    .bind::<Nullable<Text>, _>(filter.state.as_deref())
    .bind::<Nullable<BigInt>, _>(filter.contact)
    .bind::<BigInt, _>(filter.limit)
    .load(conn)
    .await
}

#[derive(QueryableByName)]
struct Open {
    #[diesel(sql_type = Bool)]
    open: bool,
}

/// Whether anything of a mailing has not ended.
pub async fn is_open(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<bool> {
    let open: Open = sql_query(
        "SELECT EXISTS (SELECT FROM outgoing WHERE mailing_id = $1 AND state IN ('queued', 'claimed', 'sending')) AS open",
    )
    .bind::<BigInt, _>(mailing)
    .get_result(conn)
    .await?;
    Ok(open.open)
}

/// A person answered this message; the first answer counts.
pub async fn mark_replied(conn: &mut AsyncPgConnection, id: OutgoingId) -> QueryResult<usize> {
    sql_query("UPDATE outgoing SET replied_at = wablast_now() WHERE id = $1 AND replied_at IS NULL")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await
}

/// How many messages of a mailing were answered.
pub async fn replied(conn: &mut AsyncPgConnection, mailing: MailingId) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Replied {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let replied: Replied = sql_query(
        "SELECT count(*) AS n FROM outgoing WHERE mailing_id = $1 AND replied_at IS NOT NULL",
    )
    .bind::<BigInt, _>(mailing)
    .get_result(conn)
    .await?;
    Ok(replied.n)
}
