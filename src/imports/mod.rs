//! Imports: files of contacts become recipients.
//!
//! A file is staged first (read whole, its columns guessed), then tested, run or canceled. What runs is
//! queued, and worked on by any instance ([`work`]) in chunks: a chunk's people, its rejected rows and the
//! position behind it are one transaction, so that whoever goes on after a crash goes on exactly there.
//!
//! Invariants: rows that are done = created + updated + skipped + rejected, where blank lines are no rows;
//! every number goes through `text::phone`; an import opts people out and never in; the file is dropped
//! when the import is over; what it replaced is kept for as long as it can be taken back. Owns `imports`,
//! `import_chunks`, `import_rejected` and `import_changes`; contacts are written by `contacts::bulk`.

mod changes;
mod decode;
pub mod download;
mod headers;
pub mod list;
pub mod mapping;
mod people;
pub mod query;
mod quotes;
pub mod read;
pub mod rejected;
pub mod spool;
mod sheet;
mod stage;
mod stored;
pub mod undo;
pub mod work;
mod workbook;

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;

use crate::audit;
use crate::auth::{Caller, Role};
use crate::contacts::bulk::OnDuplicate;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{ImportId, ListId};

pub use changes::Figures;
pub use query::{Import, Task};
pub use sheet::read_sheet;
pub use stage::{Looked, StageInput, look_at, stage};

use mapping::Field;
use read::{ColumnSample, Format};

/// Names and lines that a result shows; the rest is counted.
const SHOWN: usize = 50;
/// Reasons that are told apart, and lines named for each.
const REASONS: usize = 30;
const LINES: usize = 5;

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
    /// Of a workbook: its sheets, and the one that was read.
    #[serde(default)]
    pub sheets: Vec<String>,
    #[serde(default)]
    pub sheet: String,
    /// Whether the first row names the columns, where somebody said so.
    #[serde(default)]
    pub header: Option<bool>,
    /// The columns are filled in as in the import of then.
    #[serde(default)]
    pub remembered: Option<DateTime<Utc>>,
}

/// What is worth knowing about a run beside its counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Notes {
    /// Rows whose number stands above them already; they are among the skipped.
    pub repeated: usize,
    /// The first of them: their line, and the line that has the number first.
    pub repeats: Vec<(u64, u64)>,
    /// Why rows were rejected, the first reasons of the file.
    pub reasons: Vec<Reason>,
    /// Numbers that named no country and got the import's.
    pub by_country: usize,
    /// People of the file who had said stop before, and stay so.
    pub stay_opted_out: usize,
    /// People whom the file opted out.
    pub opted_out: usize,
    pub new_tags: Names,
    pub new_lists: Names,
}

/// Rows rejected for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    pub reason: String,
    pub count: usize,
    /// The first of them.
    pub lines: Vec<u64>,
}

impl Notes {
    fn add_reason(&mut self, reason: &str, line: u64) {
        if let Some(known) = self.reasons.iter_mut().find(|one| one.reason == reason) {
            known.count += 1;
            if known.lines.len() < LINES {
                known.lines.push(line);
            }
        } else if self.reasons.len() < REASONS {
            self.reasons.push(Reason {
                reason: reason.to_owned(),
                count: 1,
                lines: vec![line],
            });
        }
    }
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub rows: i64,
    pub created: i64,
    pub updated: i64,
    pub skipped: i64,
    pub rejected: i64,
}

impl Counts {
    /// Rows that are done.
    pub fn done(&self) -> i64 {
        self.created + self.updated + self.skipped + self.rejected
    }

    /// Rows whose person is here now.
    pub fn present(&self) -> i64 {
        self.done() - self.rejected
    }
}

/// What a test said, and of which mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tested {
    pub mapping: Vec<String>,
    pub counts: Counts,
    pub notes: Notes,
}

/// An import is whose file it is; managers look after everybody's.
pub fn require_own(import: &Import, caller: &Caller) -> Result<()> {
    if import.user_id == caller.user || caller.role >= Role::Manager {
        Ok(())
    } else {
        Err(Error::Refused(
            "This import is somebody else's. They, or a manager, start, stop and resume it.",
        ))
    }
}

/// The same of the rows in it: they are people somebody else has in a file.
pub fn require_rows(import: &Import, caller: &Caller) -> Result<()> {
    require_own(import, caller).map_err(|_| {
        Error::Refused(
            "The rows of this import are somebody else's. They, or a manager, open them.",
        )
    })
}

/// Queues a draft with the fields chosen for its columns. One that is under way or over stays as it is:
/// two presses of the button are one import.
pub async fn start(
    conn: &mut AsyncPgConnection,
    caller: &Caller,
    id: ImportId,
    task: Task,
    mapping: &[String],
) -> Result<bool> {
    let import = query::find(conn, id).await?;
    require_own(&import, caller)?;
    if !import.is_draft() {
        return Ok(false);
    }
    let mut options = import.options()?;
    let chosen = choose(&options, mapping)?;
    options.mapping = chosen.iter().map(ToString::to_string).collect();
    options.notes = Notes::default();
    let queued = query::queue(conn, id, task, &options).await?;
    if queued && task == Task::Import {
        noted(conn, caller, id, "started").await?;
    }
    Ok(queued)
}

async fn noted(
    conn: &mut AsyncPgConnection,
    caller: &Caller,
    id: ImportId,
    what: &str,
) -> QueryResult<usize> {
    let by = Some(caller.user);
    audit::note(conn, caller.company, "imports", id.0, by, what, None).await
}

/// The fields, or what is wrong with the choice; numbers may also stand in a column of attributes. A column's fault stands under `column-<its number>`.
pub fn choose(options: &Options, mapping: &[String]) -> Result<Vec<Field>> {
    let mut errors = FieldErrors::default();
    if mapping.len() != options.columns.len() {
        let lost = "The columns of the form are not those of the file. Open the page again.";
        return Err(Error::invalid("mapping", lost));
    }
    let chosen = fields(mapping);
    for (index, (field, key)) in chosen.iter().zip(mapping).enumerate() {
        let column = format!("column-{}", index + 1);
        if field.to_string() != *key && key.starts_with("attributes.") {
            let name = "An attribute needs a name of letters and digits, which no field of recipients has already.";
            errors.add(&column, name);
        } else if field.to_string() != *key {
            errors.add(&column, "This field is not known. Choose another.");
        } else if !field.repeats() && chosen.iter().take(index).any(|other| other == field) {
            errors.add(
                &column,
                "Another column is this field already. Choose one of them.",
            );
        }
    }
    if !chosen.contains(&Field::WhatsappNumber) && !chosen.contains(&Field::Attributes) {
        errors.add(
            "mapping",
            "Choose which column is the WhatsApp number: without it nobody can be written to.",
        );
    }
    errors.or(Some(chosen))
}

/// Drops a staged file, or stops what is under way; what was imported so far stays. `false`: it is over
/// already, nothing changed.
pub async fn cancel(conn: &mut AsyncPgConnection, caller: &Caller, id: ImportId) -> Result<bool> {
    let import = query::find(conn, id).await?;
    require_own(&import, caller)?;
    if import.is_under_way() && import.task() == Task::Test {
        return Ok(query::stop_test(conn, id).await?);
    }
    let canceled = query::cancel(conn, id).await?;
    if canceled {
        noted(conn, caller, id, "canceled").await?;
    }
    Ok(canceled)
}

/// Goes on with an import that failed in the middle. `false`: it did not, or its file is gone.
pub async fn resume(conn: &mut AsyncPgConnection, caller: &Caller, id: ImportId) -> Result<bool> {
    require_own(&query::find(conn, id).await?, caller)?;
    let queued = query::resume(conn, id).await?;
    if queued {
        noted(conn, caller, id, "started").await?;
    }
    Ok(queued)
}

/// The fields a stored mapping names; one that is not known any more is left out of the import.
pub fn fields(mapping: &[String]) -> Vec<Field> {
    mapping
        .iter()
        .map(|field| field.parse().unwrap_or(Field::Ignore))
        .collect()
}
