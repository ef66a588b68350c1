//! The webhook inbox as pages show it: the list, and one event with what it carried.
//!
//! Invariant: what could open a door (credentials, signatures) is not shown, whatever was stored.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Jsonb, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::Result;
use crate::ids::AccountId;
use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

/// Events, the newest first.
pub static LIST: ListSpec = ListSpec {
    noun: "webhook_log",
    from: "inbox t LEFT JOIN accounts a ON a.id = t.account_id",
    id: "t.id",
    columns: &[
        Column::new(
            "event",
            "webhook_log.event",
            "coalesce(nullif(t.event, ''), t.dedupe)",
            Kind::Strong,
        )
        .cell("m1"),
        Column::new(
            "received",
            "webhook_log.received",
            "t.received_at",
            Kind::Date,
        )
        .cell("m4"),
        Column::new("account", "webhook_log.account", "a.name", Kind::Text).cell("m3"),
        Column::new(
            "state",
            "webhook_log.status",
            "t.state",
            Kind::Badge("inbox"),
        )
        .cell("m2"),
        Column::new("tries", "webhook_log.tries", "t.tries", Kind::Number),
        Column::new("error", "webhook_log.error", "t.error", Kind::Sentence),
        Column::new("applied", "webhook_log.applied", "t.applied_at", Kind::Date).optional(),
    ],
    filters: &[
        Filter::new("new", "state.inbox.new", "t.state = 'new'", "state"),
        Filter::new(
            "applied",
            "state.inbox.applied",
            "t.state = 'applied'",
            "state",
        ),
        Filter::new(
            "set_aside",
            "state.inbox.set_aside",
            "t.state = 'set_aside'",
            "state",
        ),
        Filter::new(
            "today",
            "webhook_log.today",
            "t.received_at >= date_trunc('day', wablast_now(), {zone})",
            "date",
        ),
    ],
    groups: &[
        Group::new("event", "webhook_log.event", "t.event", GroupKind::Text),
        Group::new(
            "state",
            "webhook_log.status",
            "t.state",
            GroupKind::Badge("inbox"),
        ),
        Group::new("account", "webhook_log.account", "a.name", GroupKind::Text),
        Group::new("day", "webhook_log.day", "t.received_at", GroupKind::Day),
    ],
    text: &["t.event", "coalesce(a.name, '')", "coalesce(t.error, '')"],
    sort: ("id", Direction::Descending),
    group: &[],
    always: "t.company_id = current_setting('app.company')::bigint",
    keep: &[],
};

/// One event.
#[derive(Debug, Clone, QueryableByName)]
pub struct Detail {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = BigInt)]
    pub account_id: AccountId,
    #[diesel(sql_type = Text)]
    pub account: String,
    #[diesel(sql_type = Text)]
    pub event: String,
    #[diesel(sql_type = Text)]
    pub dedupe: String,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = SmallInt)]
    pub tries: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub error: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub applied_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub next_try: Option<DateTime<Utc>>,
    #[diesel(sql_type = Jsonb)]
    headers: serde_json::Value,
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

impl Detail {
    /// Name and value of every header that may be seen.
    pub fn headers(&self) -> Vec<(String, String)> {
        self.headers
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| !is_secret(name))
            .map(|(name, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), value)
            })
            .collect()
    }

    /// The body, JSON set out in lines.
    pub fn body(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body)
            .and_then(|json| serde_json::to_string_pretty(&json))
            .unwrap_or_else(|_| String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// Headers that let somebody in or prove who posted.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "x-webhook-hmac"
        || [
            "authorization",
            "cookie",
            "signature",
            "api-key",
            "token",
            "secret",
        ]
        .iter()
        .any(|word| name.contains(word))
}

pub async fn find(conn: &mut AsyncPgConnection, id: i64) -> Result<Detail> {
    let found = sql_query(
        "SELECT i.id, i.account_id, coalesce(a.name, '') AS account, i.event, i.dedupe, i.state, i.tries, i.error, i.received_at,
           i.applied_at, i.next_try, i.headers, i.body
         FROM inbox i LEFT JOIN accounts a ON a.id = i.account_id WHERE i.id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_signatures_are_not_shown() {
        for secret in [
            "Authorization",
            "proxy-authorization",
            "X-Webhook-Hmac",
            "x-hub-signature-256",
            "X-Api-Key",
            "cookie",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for plain in [
            "user-agent",
            "x-webhook-hmac-algorithm",
            "x-webhook-request-id",
        ] {
            assert!(!is_secret(plain), "{plain}");
        }
    }
}
