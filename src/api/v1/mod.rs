//! Version 1 of the REST API, a file a noun.

pub mod accounts;
pub mod contacts;
pub mod imports;
pub mod incoming;
pub mod lists;
pub mod mailings;
pub mod media;
pub mod messages;

use serde_json::{Value, json};

const LIMIT: i64 = 100;
const LIMIT_MAX: i64 = 1000;

/// `?limit=` within its bounds.
fn limit(wanted: Option<i64>) -> i64 {
    wanted.unwrap_or(LIMIT).clamp(1, LIMIT_MAX)
}

/// `{"items", "next", "total"}`; the cursor is the last id when there may be more.
fn page(items: Vec<Value>, limit: i64, last: Option<i64>) -> Value {
    let full = i64::try_from(items.len()).unwrap_or(i64::MAX) >= limit;
    let next = last.filter(|_| full).map(|id| id.to_string());
    json!({ "items": items, "next": next, "total": null })
}

/// A cursor as the id it stands for.
fn after(cursor: Option<&str>) -> Result<i64, crate::error::Error> {
    match cursor {
        None | Some("") => Ok(0),
        Some(cursor) => cursor.parse().map_err(|_| {
            crate::error::Error::invalid(
                "cursor",
                "Use the value of \"next\" from the page before.",
            )
        }),
    }
}
