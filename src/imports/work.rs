//! Working on an import: the rows of its file in chunks, by whichever instance took it.
//!
//! Invariants: a chunk is stored with the position behind it in one transaction, under the lease, so that
//! no row counts twice and none is left out, whoever stops where; a test goes the same way and writes
//! nothing; one chunk is stored while the next is read, and more are not in memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::people::{self, Chunk, People, Person};
use super::query::{self, Claimed, Import, Task};
use super::read::ReadFault;
use super::stored::Kept;
use super::{Counts, Names, Notes, Options, SHOWN, Tested, changes, fields, stored};
use crate::app::App;
use crate::contacts::bulk::{self, Manner, Numbered};
use crate::contacts::{self, consent, query as contact_query};
use crate::db::CompanyConn;
use crate::error::Error;
use crate::ids::{ContactId, ImportId};
use crate::{audit, lists};

/// Rows of a transaction.
const CHUNK: usize = 5_000;
/// A file of so many rows is imported while its person waits for the page.
pub const SMALL: i64 = 2_000;
/// The lease is renewed at least so often.
const BEAT: Duration = Duration::from_secs(10);
/// How often work may begin without a chunk coming of it.
const TRIES: i32 = 5;
/// More new names than these come from a column that holds something else.
const NEW_TAGS_MAX: usize = 1_000;
const NEW_LISTS_MAX: usize = 200;
/// Names that are compared with those that exist.
const NAMES_MAX: usize = 20_000;

/// Why work on an import ended before its last row.
enum Halt {
    /// Canceled, or somebody else's by now.
    Lost,
    /// The program stops.
    Stopping,
    /// Nothing was begun: what to change.
    Refused(String),
    /// The file cannot be read on.
    Broken(String),
    Error(Error),
}

impl<E: Into<Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Works on what waits, one after the other, until `stop`.
pub async fn all(app: &App, stop: &watch::Receiver<bool>) -> anyhow::Result<()> {
    while !*stop.borrow() && next(app, stop, None).await? {}
    Ok(())
}

/// Works on one import alone, if it waits.
pub async fn one(app: &App, id: ImportId) -> anyhow::Result<bool> {
    let (_open, stop) = watch::channel(false);
    next(app, &stop, Some(id)).await
}

async fn next(
    app: &App,
    stop: &watch::Receiver<bool>,
    only: Option<ImportId>,
) -> anyhow::Result<bool> {
    let claimed = {
        let mut conn = app.db.system().await?;
        query::claim(&mut conn, Uuid::new_v4(), only).await?
    };
    let Some(claimed) = claimed else {
        return Ok(false);
    };
    let work = Work { app, claimed, stop };
    let halt = match AssertUnwindSafe(work.run()).catch_unwind().await {
        Ok(Ok(())) => return Ok(true),
        Ok(Err(halt)) => halt,
        Err(_) => Halt::Error(anyhow::anyhow!("the import panicked").into()),
    };
    work.halt(halt).await?;
    Ok(true)
}

struct Work<'a> {
    app: &'a App,
    claimed: Claimed,
    stop: &'a watch::Receiver<bool>,
}

impl Work<'_> {
    async fn conn(&self) -> Result<CompanyConn, Error> {
        self.app.db.company(self.claimed.company_id).await
    }

    async fn run(&self) -> Result<(), Halt> {
        let import = {
            let mut conn = self.conn().await?;
            query::find(&mut conn, self.claimed.id).await?
        };
        let mut options = import.options()?;
        let mut file = self.fetch().await?;
        if import.position == 0 {
            options.notes = Notes::default();
            file = self.check_names(file, &mut options).await?;
        }
        let mut report = Report::of(&import, options);
        let (send, mut chunks) = mpsc::channel(1);
        let (options, position) = (report.options.clone(), import.position);
        let reading = spawn_blocking(move || read_on(file, &options, position, &send));
        loop {
            let chunk = match tokio::time::timeout(BEAT, chunks.recv()).await {
                Ok(Some(chunk)) => chunk.map_err(|fault| Halt::Broken(fault.to_string()))?,
                Ok(None) => {
                    reading.await.map_err(anyhow::Error::from)?;
                    return Err(anyhow::anyhow!("the reader ended before the file").into());
                }
                Err(_) => {
                    self.beat(report.position).await?;
                    continue;
                }
            };
            if chunk.rows() == 0 {
                break;
            }
            if *self.stop.borrow() {
                return Err(Halt::Stopping);
            }
            match import.task() {
                Task::Import => self.store_with_patience(&chunk, &mut report).await?,
                Task::Test => self.foresee(&chunk, &mut report).await?,
            }
        }
        self.finish(&import, report).await
    }

    /// The file, put together from its pieces.
    async fn fetch(&self) -> Result<File, Halt> {
        let (db, folder) = (&self.app.db, &self.app.config.data_dir);
        let (company, id) = (self.claimed.company_id, self.claimed.id);
        let file = stored::fetch(db, folder, company, id, Kept::Table).await?;
        Ok(file.ok_or_else(|| anyhow::anyhow!("import {id} has no file"))?)
    }

    /// Refuses a file whose columns would flood the tags or the lists, before anything is written.
    async fn check_names(&self, file: File, options: &mut Options) -> Result<File, Halt> {
        let (asked, again) = (
            options.clone(),
            file.try_clone().map_err(anyhow::Error::from)?,
        );
        let (tags, groups) = spawn_blocking(move || {
            people::group_names(again, &asked, &fields(&asked.mapping), NAMES_MAX)
        })
        .await
        .map_err(anyhow::Error::from)?
        .map_err(|fault| Halt::Broken(fault.to_string()))?;
        self.beat(0).await?;
        let mut conn = self.conn().await?;
        let tags: Vec<String> = tags.into_iter().collect();
        let groups: Vec<String> = groups.into_iter().collect();
        let new_tags = unknown(&tags, contact_query::known_tags(&mut conn, &tags).await?);
        let new_lists = unknown(&groups, lists::known_names(&mut conn, &groups).await?);
        conn.commit().await?;
        options.notes.new_tags = Names::of(&new_tags);
        options.notes.new_lists = Names::of(&new_lists);
        for (new, most, what) in [
            (&options.notes.new_tags, NEW_TAGS_MAX, "tags"),
            (&options.notes.new_lists, NEW_LISTS_MAX, "lists"),
        ] {
            if new.count > most {
                return Err(Halt::Refused(format!(
                    "The file would make {} new {what}; at most {most} fit. Choose another field for that column.",
                    new.count
                )));
            }
        }
        Ok(file)
    }

    /// Says that somebody is still at work.
    async fn beat(&self, position: i64) -> Result<(), Halt> {
        let mut conn = self.conn().await?;
        let held = query::hold(&mut conn, &self.claimed, position).await?;
        conn.commit().await?;
        if held { Ok(()) } else { Err(Halt::Lost) }
    }

    /// Two imports that meet the same people may have to begin a chunk anew.
    async fn store_with_patience(&self, chunk: &Chunk, report: &mut Report) -> Result<(), Halt> {
        for pause in [50, 200, 600] {
            match self.store(chunk, report).await {
                Err(Halt::Error(error)) => {
                    tracing::warn!(import = %self.claimed.id, "a chunk begins anew: {error:?}");
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                done => return done,
            }
        }
        self.store(chunk, report).await
    }

    async fn store(&self, chunk: &Chunk, report: &mut Report) -> Result<(), Halt> {
        let mut conn = self.conn().await?;
        if !query::hold(&mut conn, &self.claimed, report.position).await? {
            return Err(Halt::Lost);
        }
        let (accepted, again) = (numbered(&chunk.accepted), numbered(&chunk.again));
        let manner = self.manner(&report.options);
        let outcome = bulk::store(&mut conn, manner, &accepted, &again).await?;
        let (company, id) = (self.claimed.company_id, self.claimed.id);
        changes::keep(&mut conn, company, id, &outcome.given).await?;
        let ids = |people: &[Person], wanted: fn(&Person) -> bool| -> Vec<ContactId> {
            people
                .iter()
                .filter(|person| wanted(person))
                .filter_map(|person| outcome.contacts.get(person.number.as_str()).copied())
                .collect()
        };
        let mut next = report.clone();
        next.add(chunk, &outcome);
        let everybody = ids(&chunk.accepted, |_| true);
        next.notes().stay_opted_out +=
            whole(consent::count_opted_out(&mut conn, &everybody).await?);
        let mut stops = ids(&chunk.accepted, |person| person.opt_out);
        stops.extend(ids(&chunk.again, |person| person.opt_out));
        if !stops.is_empty() {
            let reason = format!("Import of {}", report.file_name);
            next.notes().opted_out += contacts::opt_out(&mut conn, &stops, &reason).await?;
        }
        if !chunk.refused.is_empty() {
            query::add_rejected(&mut conn, &self.claimed, &chunk.refused).await?;
        }
        // A result that does not add up is never stored.
        if next.counts.done() != next.position {
            return Err(anyhow::anyhow!("an import does not add up: {:?}", next.counts).into());
        }
        let (counts, options) = (&next.counts, &next.options);
        query::advance(&mut conn, &self.claimed, next.position, counts, options).await?;
        conn.commit().await?;
        *report = next;
        Ok(())
    }

    async fn foresee(&self, chunk: &Chunk, report: &mut Report) -> Result<(), Halt> {
        let mut conn = self.conn().await?;
        if !query::hold(&mut conn, &self.claimed, report.position).await? {
            return Err(Halt::Lost);
        }
        let accepted = numbered(&chunk.accepted);
        let manner = self.manner(&report.options);
        let outcome = bulk::foresee(&mut conn, manner, &accepted).await?;
        report.add(chunk, &outcome);
        let known: Vec<ContactId> = outcome.contacts.values().copied().collect();
        report.notes().stay_opted_out += whole(consent::count_opted_out(&mut conn, &known).await?);
        let stops = chunk.accepted.iter().chain(&chunk.again);
        report.notes().opted_out += stops.filter(|person| person.opt_out).count();
        query::step(&mut conn, &self.claimed, report.position).await?;
        conn.commit().await?;
        Ok(())
    }

    fn manner<'o>(&self, options: &'o Options) -> Manner<'o> {
        Manner {
            company: self.claimed.company_id,
            on_duplicate: options.on_duplicate,
            list_ids: &options.list_ids,
            import: Some(self.claimed.id),
        }
    }

    async fn finish(&self, import: &Import, report: Report) -> Result<(), Halt> {
        let mut conn = self.conn().await?;
        let is_ours = match import.task() {
            Task::Import => {
                let finished = query::finish(&mut conn, &self.claimed).await?;
                if finished {
                    let (company, id) = (self.claimed.company_id, self.claimed.id.0);
                    audit::note(&mut conn, company, "imports", id, None, "imported", None).await?;
                }
                finished
            }
            Task::Test => {
                let tested = report.tested();
                query::back_to_draft(&mut conn, &self.claimed, Some(&tested), None).await?
            }
        };
        conn.commit().await?;
        if is_ours { Ok(()) } else { Err(Halt::Lost) }
    }

    async fn halt(&self, halt: Halt) -> anyhow::Result<()> {
        let id = self.claimed.id;
        let mut conn = self.conn().await?;
        match halt {
            Halt::Lost => {}
            Halt::Stopping => {
                query::release(&mut conn, &self.claimed, 0).await?;
            }
            Halt::Refused(message) => {
                query::back_to_draft(&mut conn, &self.claimed, None, Some(&message)).await?;
            }
            Halt::Broken(message) => {
                query::fail(&mut conn, &self.claimed, &message).await?;
            }
            Halt::Error(error) if self.claimed.tries >= TRIES => {
                tracing::error!(import = %id, "given up: {error:?}");
                let message = "Something went wrong on our side, several times. The rows counted here are in; go on with the rest when it is mended.";
                query::fail(&mut conn, &self.claimed, message).await?;
            }
            Halt::Error(error) => {
                tracing::error!(import = %id, "will be tried again: {error:?}");
                query::release(&mut conn, &self.claimed, 5).await?;
            }
        }
        conn.commit().await?;
        Ok(())
    }
}

/// What came of the rows so far.
#[derive(Clone)]
struct Report {
    file_name: String,
    position: i64,
    counts: Counts,
    options: Options,
}

impl Report {
    fn of(import: &Import, options: Options) -> Self {
        let counts = match import.task() {
            Task::Import => import.counts(),
            Task::Test => Counts::default(),
        };
        Self {
            file_name: import.file_name.clone(),
            position: import.position,
            counts,
            options,
        }
    }

    fn notes(&mut self) -> &mut Notes {
        &mut self.options.notes
    }

    fn add(&mut self, chunk: &Chunk, outcome: &bulk::Outcome) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.position += count(chunk.rows());
        self.counts.created += count(outcome.created);
        self.counts.updated += count(outcome.updated);
        self.counts.skipped += count(outcome.skipped + chunk.repeats.len());
        self.counts.rejected += count(chunk.refused.len());
        let notes = self.notes();
        notes.repeated += chunk.repeats.len();
        let room = SHOWN.saturating_sub(notes.repeats.len());
        notes.repeats.extend(chunk.repeats.iter().take(room));
        notes.by_country += chunk.by_country;
        for row in &chunk.refused {
            notes.add_reason(&row.reason, row.line);
        }
    }

    fn tested(self) -> Tested {
        Tested {
            counts: Counts {
                rows: self.position,
                ..self.counts
            },
            mapping: self.options.mapping,
            notes: self.options.notes,
        }
    }
}

/// Reads from a position to the end; an empty chunk is the end. Whoever listens no more stops it.
fn read_on(
    file: File,
    options: &Options,
    position: i64,
    send: &mpsc::Sender<Result<Chunk, ReadFault>>,
) {
    let chosen = fields(&options.mapping);
    let opened = People::open(file, options, &chosen).and_then(|mut people| {
        people.skip(u64::try_from(position).unwrap_or_default())?;
        Ok(people)
    });
    let mut people = match opened {
        Ok(people) => people,
        Err(fault) => {
            let _ = send.blocking_send(Err(fault));
            return;
        }
    };
    loop {
        let chunk = people.chunk(CHUNK);
        let is_last = chunk.as_ref().map_or(true, |chunk| chunk.rows() == 0);
        if send.blocking_send(chunk).is_err() || is_last {
            return;
        }
    }
}

fn numbered(people: &[Person]) -> Vec<Numbered<'_>> {
    people
        .iter()
        .map(|person| (person.number.clone(), &person.row))
        .collect()
}

fn unknown(names: &[String], known: Vec<String>) -> Vec<String> {
    let known: BTreeSet<String> = known.into_iter().collect();
    names
        .iter()
        .filter(|name| !known.contains(*name))
        .cloned()
        .collect()
}

fn whole(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}
