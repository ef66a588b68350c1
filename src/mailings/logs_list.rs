//! Mailing logs as pages show them: one row a run, its totals counted from the messages; those that a
//! later run took over count as they had ended in this one.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::ids::{AccountId, LogId, MailingId};
use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

/// Runs, the newest first. Their messages are found through the mailing, which has an index.
pub static LIST: ListSpec = ListSpec {
    noun: "logs",
    from: "logs t JOIN mailings m ON m.id = t.mailing_id LEFT JOIN accounts a ON a.id = t.account_id",
    id: "t.id",
    columns: &[
        Column::new("mailing", "logs.mailing", "m.subject", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new("started", "logs.sent_date", "t.started_at", Kind::Date)
            .sortable()
            .cell("m4"),
        Column::new("lists", "logs.recipients", "t.recipients", Kind::Text),
        Column::new("account", "logs.account", "a.name", Kind::Text).sortable_nullable(),
        Column::new("trigger", "logs.trigger", "t.trigger", Kind::Badge("trigger")),
        Column::new("state", "logs.status", "CASE WHEN t.state = 'done' AND EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = t.mailing_id AND o.log_id = t.id AND o.state = 'uncertain') THEN 'uncertain:' || (SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.mailing_id AND o.log_id = t.id AND o.state = 'uncertain') ELSE t.state END", Kind::Badge("log")).cell("m2"),
        Column::new("contacts", "logs.contacts", "((SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.mailing_id AND o.log_id = t.id) + (SELECT count(*) FROM log_ends e WHERE e.log_id = t.id))", Kind::Number).sum(),
        Column::new("sent", "logs.sent", "(SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.mailing_id AND o.log_id = t.id AND o.state IN ('accepted', 'sent', 'delivered', 'read'))", Kind::Number).sum(),
        Column::new("delivered", "logs.delivered", "(SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.mailing_id AND o.log_id = t.id AND o.state IN ('delivered', 'read'))", Kind::Number).sum(),
        Column::new("failed", "logs.failed", "((SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.mailing_id AND o.log_id = t.id AND o.state IN ('failed', 'expired')) + (SELECT count(*) FROM log_ends e WHERE e.log_id = t.id AND e.state IN ('failed', 'expired')))", Kind::Number).sum(),
        Column::new("uncertain", "logs.uncertain", "((SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.mailing_id AND o.log_id = t.id AND o.state = 'uncertain' AND o.code IS DISTINCT FROM 'handed_over') + (SELECT count(*) FROM log_ends e WHERE e.log_id = t.id AND e.state = 'uncertain'))", Kind::Number).sum().optional(),
        Column::new("error", "logs.error", "t.error_message", Kind::Sentence).cell("m3"),
        Column::new("finished", "logs.finished", "t.finished_at", Kind::Date).sortable_nullable().optional(),
    ],
    filters: &[
        Filter::new("running", "state.log.running", "t.state = 'running'", "state"),
        Filter::new("done", "state.log.done", "t.state = 'done'", "state"),
        Filter::new("partial_failure", "state.log.partial_failure", "t.state = 'partial_failure'", "state"),
        Filter::new("failed", "state.log.failed", "t.state = 'failed'", "state"),
        Filter::new("canceled", "state.log.canceled", "t.state = 'canceled'", "state"),
        Filter::new("errors", "logs.with_errors", "t.error_message IS NOT NULL", "errors"),
    ],
    groups: &[
        Group::new("mailing", "logs.mailing", "m.subject", GroupKind::Text),
        Group::new("account", "logs.account", "a.name", GroupKind::Text),
        Group::new("state", "logs.status", "t.state", GroupKind::Badge("log")),
        Group::new("trigger", "logs.trigger", "t.trigger", GroupKind::Badge("trigger")),
        Group::new("month", "logs.month", "t.started_at", GroupKind::Month),
        Group::new("day", "logs.day", "t.started_at", GroupKind::Day),
    ],
    text: &["m.subject", "coalesce(t.error_message, '')", "t.recipients"],
    sort: ("id", Direction::Descending),
    group: &[],
    always: "",
    keep: &["tab", "mailing"],
};

/// The runs of one mailing, as a list's extra condition.
pub const OF_MAILING: &str = "t.mailing_id = $1";

/// One run with the names around it.
#[derive(Debug, Clone, QueryableByName)]
pub struct Detail {
    #[diesel(sql_type = BigInt)]
    pub id: LogId,
    #[diesel(sql_type = BigInt)]
    pub mailing_id: MailingId,
    #[diesel(sql_type = Text)]
    pub mailing: String,
    #[diesel(sql_type = BigInt)]
    pub account_id: AccountId,
    #[diesel(sql_type = Text)]
    pub account: String,
    #[diesel(sql_type = Text)]
    pub trigger: String,
    /// Who started it; none: the scheduler.
    #[diesel(sql_type = Nullable<Text>)]
    pub user_name: Option<String>,
    #[diesel(sql_type = Text)]
    pub recipients: String,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_message: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub started_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
}

pub async fn find(conn: &mut AsyncPgConnection, id: LogId) -> Result<Detail> {
    let found = sql_query(
        "SELECT g.id, g.mailing_id, m.subject AS mailing, g.account_id, coalesce(a.name, '') AS account, g.trigger,
           u.name AS user_name, g.recipients, g.state, g.error_message, g.started_at, g.finished_at
         FROM logs g JOIN mailings m ON m.id = g.mailing_id LEFT JOIN accounts a ON a.id = g.account_id
           LEFT JOIN users u ON u.id = g.user_id WHERE g.id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(found)
}
