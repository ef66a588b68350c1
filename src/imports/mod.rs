//! Imports: files of contacts become recipients.
//!
//! A file is staged first (read whole, its columns guessed), then run or canceled. One run is one
//! transaction over all rows, at most [`read::ROWS_MAX`]: whatever breaks in the middle leaves the import
//! as it was staged, and no result is half told.
//!
//! Invariants: rows = created + updated + skipped + rejected, where blank lines are no rows; every number
//! goes through `text::phone`; an import opts people out and never in; the file is dropped when the
//! import is over. Owns `imports`; contacts are written by `contacts::bulk`.

pub mod apply;
mod decode;
mod headers;
pub mod list;
pub mod mapping;
mod people;
pub mod query;
pub mod read;
pub mod rejected;
mod stage;

use diesel_async::AsyncPgConnection;

use crate::audit;
use crate::contacts::bulk::OnDuplicate;
use crate::error::Result;
use crate::ids::{CompanyId, ImportId, ListId, UserId};

pub use query::Import;
pub use stage::{StageInput, stage};

use mapping::Field;
use read::{ColumnSample, Format};

/// Names and lines that a result shows; the rest is counted.
const SHOWN: usize = 50;

/// How a file is imported, as it is kept beside it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Options {
    /// ISO code: of numbers that name no country.
    pub country: String,
    pub on_duplicate: OnDuplicate,
    /// Everybody joins these.
    pub list_ids: Vec<ListId>,
    /// Everybody gets these.
    pub tags: Vec<String>,
    pub format: Format,
    pub columns: Vec<ColumnSample>,
    /// The field of each column: guessed, then chosen.
    pub mapping: Vec<String>,
    #[serde(default)]
    pub notes: Notes,
}

/// What is worth knowing about a run beside its counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Notes {
    /// Rows whose number stands above them already; they are among the skipped.
    pub repeated: usize,
    /// The first of them: their line, and the line that has the number first.
    pub repeats: Vec<(u64, u64)>,
    /// Lines of the first rejected rows, in the order of the file of rejected rows.
    pub rejected_lines: Vec<u64>,
    /// People of the file who had said stop before, and stay so.
    pub stay_opted_out: usize,
    /// People whom the file opted out.
    pub opted_out: usize,
    pub new_tags: Names,
    pub new_lists: Names,
}

/// How many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Names {
    pub count: usize,
    pub first: Vec<String>,
}

impl Names {
    fn of(names: &[String]) -> Self {
        Self {
            count: names.len(),
            first: names.iter().take(SHOWN).cloned().collect(),
        }
    }
}

/// Every row is in exactly one of the four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub rows: i64,
    pub created: i64,
    pub updated: i64,
    pub skipped: i64,
    pub rejected: i64,
}

impl Counts {
    fn add_up(&self) -> bool {
        self.rows == self.created + self.updated + self.skipped + self.rejected
    }

    /// Rows whose person is here now.
    pub fn present(&self) -> i64 {
        self.rows - self.rejected
    }
}

/// Drops a staged file. `false`: it is over already, nothing changed.
pub async fn cancel(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    id: ImportId,
) -> Result<bool> {
    query::find(conn, id).await?;
    let canceled = query::cancel(conn, id).await?;
    if canceled {
        audit::note(conn, company, "imports", id.0, Some(user), "canceled", None).await?;
    }
    Ok(canceled)
}

/// The fields a stored mapping names; one that is not known any more is left out of the import.
pub fn fields(mapping: &[String]) -> Vec<Field> {
    mapping
        .iter()
        .map(|field| field.parse().unwrap_or(Field::Ignore))
        .collect()
}
