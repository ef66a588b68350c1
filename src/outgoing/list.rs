//! Outgoing messages as pages show them: the list, one message with its tries, and what it said.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::ids::{AccountId, ContactId, LogId, MailingId, MediaId, OutgoingId};
use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};
use crate::text::merge::{self, Parts, Values};

const NUMBER: &str = "coalesce(t.number, t.skipped_number)";

/// Messages, the newest first. A state people name may be several in the database.
pub static LIST: ListSpec = ListSpec {
    noun: "outgoing",
    from: "outgoing t LEFT JOIN contacts c ON c.id = t.contact_id LEFT JOIN mailings m ON m.id = t.mailing_id
      LEFT JOIN lists l ON l.id = t.list_id LEFT JOIN accounts a ON a.id = t.account_id",
    id: "t.id",
    columns: &[
        Column::new("contact", "outgoing.contact", "coalesce(nullif(c.name, ''), t.number, t.skipped_number, '')", Kind::Strong).cell("m1"),
        Column::new("date", "outgoing.date", "coalesce(t.accepted_at, t.created_at)", Kind::Date).cell("m4"),
        Column::new("number", "outgoing.number", NUMBER, Kind::Phone),
        Column::new("mailing", "outgoing.mailing", "m.subject", Kind::Text).cell("m3"),
        Column::new("list", "outgoing.list", "l.name", Kind::Text),
        Column::new("account", "outgoing.account", "a.name", Kind::Text),
        Column::new("kind", "outgoing.kind", "t.kind", Kind::Badge("kind")).optional(),
        Column::new("state", "outgoing.status", "CASE WHEN t.replied_at IS NOT NULL THEN 'replied' WHEN t.state = 'uncertain' AND t.code = 'handed_over' THEN 'handed_over' WHEN t.state = 'accepted' AND t.code = 'held_for_quality' THEN 'held' ELSE t.state END", Kind::Badge("message")).cell("m2"),
        Column::new("code", "outgoing.code", "CASE WHEN t.state <> 'accepted' THEN nullif(t.code, 'handed_over') END", Kind::Badge("code")),
        Column::new("error", "outgoing.error", "CASE WHEN t.state <> 'skipped' AND t.code IS DISTINCT FROM 'handed_over' THEN t.reason END", Kind::Sentence),
        Column::new("attempts", "outgoing.attempts", "t.attempts", Kind::Number).optional(),
        Column::new("provider_id", "outgoing.provider_id", "t.provider_id", Kind::Text).optional(),
        Column::new("delivered", "outgoing.delivered_at", "t.delivered_at", Kind::Date).optional(),
        Column::new("read", "outgoing.read_at", "t.read_at", Kind::Date).optional(),
    ],
    filters: &[
        Filter::new("queued", "state.message.queued", "t.state IN ('queued', 'claimed', 'sending')", "state"),
        Filter::new("sent", "state.message.sent", "t.state IN ('accepted', 'sent')", "state"),
        Filter::new("delivered", "state.message.delivered", "t.state = 'delivered'", "state"),
        Filter::new("read", "state.message.read", "t.state = 'read'", "state"),
        Filter::new("failed", "state.message.failed", "t.state IN ('failed', 'expired')", "state"),
        Filter::new("uncertain", "state.message.uncertain", "t.state = 'uncertain' AND t.code IS DISTINCT FROM 'handed_over'", "state"),
        Filter::new("handed_over", "state.message.handed_over", "t.state = 'uncertain' AND t.code = 'handed_over'", "state"),
        Filter::new("held", "state.message.held", "t.state = 'accepted' AND t.code = 'held_for_quality'", "state"),
        Filter::new("skipped", "state.message.skipped", "t.state = 'skipped'", "state"),
        Filter::new("canceled", "state.message.canceled", "t.state = 'canceled'", "state"),
        Filter::new("replied", "state.message.replied", "t.replied_at IS NOT NULL", "replied"),
        Filter::new("opted_out", "skip.opted_out", "t.code IN ('opted_out', 'list_opted_out')", "reason"),
        Filter::new("invalid", "skip.invalid_number", "t.code IN ('invalid_number', 'no_number')", "reason"),
        Filter::new("duplicate", "skip.duplicate", "t.code = 'duplicate'", "reason"),
        Filter::new("blacklisted", "skip.blacklisted", "t.code = 'blacklisted'", "reason"),
        Filter::new("today", "outgoing.today", "t.created_at >= date_trunc('day', wablast_now(), {zone})", "date"),
        Filter::new("week", "outgoing.week", "t.created_at >= wablast_now() - interval '7 days'", "date"),
    ],
    groups: &[
        Group::new("month", "outgoing.month", "t.created_at", GroupKind::Month),
        Group::new("day", "outgoing.day", "t.created_at", GroupKind::Day),
        Group::new("state", "outgoing.status", "t.state", GroupKind::Badge("message")),
        Group::new("code", "outgoing.code", "t.code", GroupKind::Badge("code")),
        Group::new("mailing", "outgoing.mailing", "m.subject", GroupKind::Text),
        Group::new("list", "outgoing.list", "l.name", GroupKind::Text),
        Group::new("account", "outgoing.account", "a.name", GroupKind::Text),
    ],
    text: &["coalesce(c.name, '')", "coalesce(t.number, t.skipped_number, '')", "coalesce(m.subject, '')"],
    sort: ("id", Direction::Descending),
    group: &[],
    always: "t.company_id = current_setting('app.company')::bigint",
    keep: &["tab", "mailing", "log"],
};

/// The messages of one mailing, as a list's extra condition.
pub const OF_MAILING: &str = "t.mailing_id = $1";

/// The messages of one run; found through its mailing, which has an index.
pub const OF_LOG: &str = "t.mailing_id = (SELECT g.mailing_id FROM logs g WHERE g.id = $1) AND (t.log_id = $1 OR EXISTS (SELECT FROM log_ends e WHERE e.log_id = $1 AND e.outgoing_id = t.id))";

#[derive(Debug, Clone, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = BigInt)]
    pub id: OutgoingId,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub contact_id: Option<ContactId>,
    #[diesel(sql_type = Text)]
    pub contact: String,
    #[diesel(sql_type = Text)]
    pub number: String,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub mailing_id: Option<MailingId>,
    #[diesel(sql_type = Text)]
    pub mailing: String,
    #[diesel(sql_type = Text)]
    pub list: String,
    #[diesel(sql_type = BigInt)]
    pub account_id: AccountId,
    #[diesel(sql_type = Text)]
    pub account: String,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
}

/// One message with everything its page tells.
#[derive(Debug, Clone, QueryableByName)]
pub struct Detail {
    #[diesel(embed)]
    pub head: Row,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub log_id: Option<LogId>,
    #[diesel(sql_type = SmallInt)]
    pub attempts: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub provider_id: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub not_before: Option<DateTime<Utc>>,
    /// Where delivery is batched: since when it may leave.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub opened_at: Option<DateTime<Utc>>,
    /// While a flow has it: when it becomes uncertain unless the flow reports.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub settles_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub accepted_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub sent_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub delivered_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub read_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub failed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub replied_at: Option<DateTime<Utc>>,
    /// Of the mailing; empty for a message of its own.
    #[diesel(sql_type = Text)]
    pub mailing_state: String,
    #[diesel(sql_type = Text)]
    pub health: String,
    #[diesel(sql_type = Text)]
    pub health_reason: String,
    /// The file it carries.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub media_id: Option<MediaId>,
    #[diesel(sql_type = Nullable<Text>)]
    own_text: Option<String>,
    #[diesel(sql_type = Text)]
    subject: String,
    #[diesel(sql_type = Text)]
    header: String,
    #[diesel(sql_type = Text)]
    message: String,
    #[diesel(sql_type = Text)]
    footer: String,
    #[diesel(sql_type = Jsonb)]
    field_values: serde_json::Value,
}

impl Detail {
    /// What the person reads.
    pub fn text(&self) -> String {
        if let Some(text) = &self.own_text {
            return text.clone();
        }
        let values: Values = self
            .field_values
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let parts = Parts {
            subject: self.subject.clone(),
            header: self.header.clone(),
            message: self.message.clone(),
            footer: self.footer.clone(),
        };
        merge::compose(&parts, &values)
    }
}

pub async fn find(conn: &mut AsyncPgConnection, id: OutgoingId) -> Result<Detail> {
    let found = sql_query(
        "SELECT o.id, o.created_at, o.contact_id, coalesce(c.name, '') AS contact, coalesce(o.number, o.skipped_number, '') AS number,
           o.kind, o.mailing_id, coalesce(m.subject, '') AS mailing, coalesce(l.name, '') AS list, o.account_id,
           coalesce(a.name, '') AS account, o.state, o.code, o.reason, o.log_id, o.attempts, o.provider_id, o.not_before, o.opened_at, o.settles_at, o.accepted_at,
           o.sent_at, o.delivered_at, o.read_at, o.failed_at, o.replied_at, coalesce(m.state, '') AS mailing_state,
           coalesce(a.health, '') AS health, coalesce(a.health_reason, '') AS health_reason, coalesce(v.media_id, t.media_id) AS media_id, t.text AS own_text,
           coalesce(v.subject, '') AS subject, coalesce(v.header, '') AS header, coalesce(v.message, '') AS message,
           coalesce(v.footer, '') AS footer, o.field_values
         FROM outgoing o LEFT JOIN contacts c ON c.id = o.contact_id LEFT JOIN mailings m ON m.id = o.mailing_id
           LEFT JOIN lists l ON l.id = o.list_id LEFT JOIN accounts a ON a.id = o.account_id
           LEFT JOIN outgoing_content t ON t.id = o.content_id LEFT JOIN mailing_versions v ON v.id = o.version_id
         WHERE o.id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(found)
}

/// One try.
#[derive(Debug, Clone, QueryableByName)]
pub struct Attempt {
    #[diesel(sql_type = Timestamptz)]
    pub begun_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    /// Null while open.
    #[diesel(sql_type = Nullable<Text>)]
    pub outcome: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
}

/// The tries of a message, the first one first.
pub async fn attempts(conn: &mut AsyncPgConnection, id: OutgoingId) -> QueryResult<Vec<Attempt>> {
    sql_query(
        "SELECT begun_at, ended_at, outcome, code, reason FROM attempts WHERE outgoing_id = $1 ORDER BY id",
    )
    .bind::<BigInt, _>(id)
    .load(conn)
    .await
}

/// How many of the same mailing wait before this one and may go before it: not who is put off.
pub async fn waiting_before(
    conn: &mut AsyncPgConnection,
    mailing: MailingId,
    id: OutgoingId,
) -> QueryResult<i64> {
    use crate::schema::outgoing;
    outgoing::table
        .filter(outgoing::mailing_id.eq(mailing))
        .filter(outgoing::state.eq("queued"))
        .filter(outgoing::not_before.is_null())
        .filter(outgoing::id.lt(id))
        .count()
        .get_result(conn)
        .await
}
