//! The Gateway Log as pages show it: the list, and one exchange with its bodies.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

const ERROR: &str = "t.outcome NOT IN ('answered', 'accepted', 'handed_over')";

/// Exchanges, the newest first.
pub static LIST: ListSpec = ListSpec {
    noun: "gateway_log",
    from: "gateway_log t LEFT JOIN accounts a ON a.id = t.account_id",
    id: "t.id",
    columns: &[
        Column::new(
            "address",
            "gateway_log.request",
            "t.method || ' ' || t.address",
            Kind::Strong,
        )
        .cell("m1"),
        Column::new("at", "gateway_log.at", "t.at", Kind::Date).cell("m4"),
        Column::new("account", "gateway_log.account", "a.name", Kind::Text).cell("m3"),
        Column::new(
            "outcome",
            "gateway_log.outcome",
            "t.outcome",
            Kind::Badge("gateway"),
        )
        .cell("m2"),
        Column::new("status", "gateway_log.status", "t.status", Kind::Number),
        Column::new("ms", "gateway_log.ms", "t.ms", Kind::Number),
        Column::new(
            "message",
            "gateway_log.message",
            "t.outgoing_id",
            Kind::Number,
        ),
        Column::new("gateway", "gateway_log.gateway", "t.gateway", Kind::Text).optional(),
        Column::new(
            "failure",
            "gateway_log.failure",
            "t.failure",
            Kind::Sentence,
        )
        .optional(),
    ],
    filters: &[
        Filter::new("errors", "gateway_log.errors", ERROR, "outcome"),
        Filter::new(
            "fine",
            "gateway_log.fine",
            "t.outcome IN ('answered', 'accepted', 'handed_over')",
            "outcome",
        ),
        Filter::new("waha", "gateway_log.waha", "t.gateway = 'waha'", "gateway"),
        Filter::new("meta", "gateway_log.meta", "t.gateway = 'meta'", "gateway"),
        Filter::new("n8n", "gateway_log.n8n", "t.gateway = 'n8n'", "gateway"),
        Filter::new(
            "messages",
            "gateway_log.messages",
            "t.outgoing_id IS NOT NULL",
            "about",
        ),
        Filter::new("slow", "gateway_log.slow", "t.ms >= 5000", "slow"),
        Filter::new(
            "today",
            "gateway_log.today",
            "t.at >= date_trunc('day', wablast_now(), {zone})",
            "date",
        ),
    ],
    groups: &[
        Group::new("account", "gateway_log.account", "a.name", GroupKind::Text),
        Group::new(
            "outcome",
            "gateway_log.outcome",
            "t.outcome",
            GroupKind::Badge("gateway"),
        ),
        Group::new(
            "gateway",
            "gateway_log.gateway",
            "t.gateway",
            GroupKind::Text,
        ),
        Group::new(
            "status",
            "gateway_log.status",
            "t.status::text",
            GroupKind::Text,
        ),
        Group::new("day", "gateway_log.day", "t.at", GroupKind::Day),
    ],
    text: &[
        "t.address",
        "coalesce(a.name, '')",
        "coalesce(t.failure, '')",
        "coalesce(t.outgoing_id::text, '')",
    ],
    sort: ("id", Direction::Descending),
    group: &[],
    always: "t.company_id = current_setting('app.company')::bigint",
    keep: &[],
};

/// One exchange.
#[derive(Debug, Clone, QueryableByName)]
pub struct Detail {
    #[diesel(sql_type = BigInt)]
    pub account_id: i64,
    #[diesel(sql_type = Text)]
    pub account: String,
    #[diesel(sql_type = Text)]
    pub gateway: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub outgoing_id: Option<i64>,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    pub method: String,
    #[diesel(sql_type = Text)]
    pub address: String,
    #[diesel(sql_type = Nullable<Integer>)]
    pub status: Option<i32>,
    #[diesel(sql_type = Integer)]
    pub ms: i32,
    #[diesel(sql_type = Text)]
    pub outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub failure: Option<String>,
    #[diesel(sql_type = Text)]
    request: String,
    #[diesel(sql_type = BigInt)]
    pub request_bytes: i64,
    #[diesel(sql_type = Text)]
    answer: String,
    #[diesel(sql_type = BigInt)]
    pub answer_bytes: i64,
}

impl Detail {
    pub fn request(&self) -> String {
        in_lines(&self.request)
    }

    pub fn answer(&self) -> String {
        in_lines(&self.answer)
    }
}

/// JSON set out in lines; anything else as it is.
fn in_lines(body: &str) -> String {
    serde_json::from_str::<serde_json::Value>(body)
        .and_then(|json| serde_json::to_string_pretty(&json))
        .unwrap_or_else(|_| body.to_owned())
}

pub async fn find(conn: &mut AsyncPgConnection, id: i64) -> Result<Detail> {
    let found = sql_query(
        "SELECT t.account_id, coalesce(a.name, '') AS account, t.gateway, t.outgoing_id, t.at, t.method, t.address, t.status, t.ms,
           t.outcome, t.failure, t.request, t.request_bytes, t.answer, t.answer_bytes
         FROM gateway_log t LEFT JOIN accounts a ON a.id = t.account_id WHERE t.id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(found)
}
