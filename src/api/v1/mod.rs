//! Version 1 of the REST API, a file a noun.

pub mod account_changes;
pub mod accounts;
pub mod callback_token;
pub mod contacts;
pub mod import_undo;
pub mod imports;
pub mod incoming;
pub mod lists;
pub mod mailings;
pub mod media;
pub mod messages;
pub mod outgoing;
pub mod pace;
pub mod templates;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use utoipa::{IntoParams, ToSchema};

use super::token::ApiCaller;
use crate::audit;
use crate::error::{Error, Result};

const LIMIT: i64 = 100;
const LIMIT_MAX: i64 = 1000;

/// `?limit=` within its bounds.
fn limit(wanted: Option<i64>) -> i64 {
    wanted.unwrap_or(LIMIT).clamp(1, LIMIT_MAX)
}

/// One page of a list.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct Page<T> {
    items: Vec<T>,
    /// The `cursor` of the next page; null: this is the last.
    next: Option<String>,
    /// How many there are on all pages; null where they are more than 10,000, and on later pages.
    total: Option<i64>,
}

impl<T> Page<T> {
    /// The cursor is the last id when there may be more.
    fn new(items: Vec<T>, limit: i64, last: Option<i64>, total: Option<i64>) -> Self {
        let full = i64::try_from(items.len()).unwrap_or(i64::MAX) >= limit;
        Self {
            next: last.filter(|_| full).map(|id| id.to_string()),
            items,
            total,
        }
    }

    /// A page of everything, which is at hand in the order of `id`.
    fn of(all: Vec<T>, limit: i64, after: i64, id: impl Fn(&T) -> i64) -> Self {
        let total = i64::try_from(all.len()).ok().filter(|_| after == 0);
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        let items: Vec<T> = all
            .into_iter()
            .filter(|item| id(item) > after)
            .take(size)
            .collect();
        let last = items.last().map(id);
        Self::new(items, limit, last, total)
    }
}

/// A cursor as the id it stands for.
fn after(cursor: Option<&str>) -> Result<i64> {
    match cursor {
        None | Some("") => Ok(0),
        Some(cursor) => cursor.parse().map_err(|_| {
            Error::invalid("cursor", "Use the value of \"next\" from the page before.")
        }),
    }
}

/// Programs say which instant they mean.
fn with_offset(field: &str, text: Option<&str>) -> Result<Option<DateTime<Utc>>> {
    text.map(|text| {
        DateTime::parse_from_rfc3339(text)
            .map(|date| date.with_timezone(&Utc))
            .map_err(|_| {
                Error::invalid(
                    field,
                    "Use RFC 3339 with an offset, for example 2026-11-24T10:00:00+07:00.",
                )
            })
    })
    .transpose()
}

/// Says in a record's history what a program did with it, and whose token it used.
async fn noted(
    conn: &mut AsyncPgConnection,
    caller: &ApiCaller,
    noun: &str,
    record: i64,
    what: &str,
) -> Result<()> {
    let (company, by, note) = (caller.company, Some(caller.user), Some(audit::BY_API));
    audit::note(conn, company, noun, record, by, what, note).await?;
    Ok(())
}

/// The pages of a list that has no filters.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Paging {
    /// Items a page, 1 to 1000 (more is read as 1000); 100 where it is absent.
    limit: Option<i64>,
    /// The value of `next` from the page before.
    cursor: Option<String>,
}

/// The header of calls that make or send something.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what idempotency::once reads")]
struct Once {
    /// Your own name of this request, for example a UUID: sent again within 48 hours by the same token, it
    /// is not done again but answers the first result. With another body: 422.
    #[param(
        rename = "Idempotency-Key",
        example = "5f8c1c1e-4a52-4b0f-9a55-2f1c7be0a001"
    )]
    idempotency_key: Option<String>,
}
