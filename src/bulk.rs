//! One action over many records: asked for with its records frozen, confirmed, then done in chunks.
//!
//! Invariants: what is done is what the search found when it was asked, whatever matches later; a chunk
//! and how far it came are one transaction under the run's row lock, so that one instance works at a time,
//! a crash loses nothing and repeats nothing; whoever is left out has the reason. Owns `bulk_runs` and
//! `bulk_items`. Knows no page.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::sync::watch;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{BulkRunId, CompanyId, ContactId, IncomingId, ListId, MailingId, UserId};
use crate::schema::{bulk_runs, contacts as people};
use crate::search::{self, ListQuery, ListSpec};
use crate::{audit, contacts, incoming, lists, mailings};

/// Records of one transaction: a second at most.
const CHUNK: i64 = 2_000;
/// Runs of up to this many are done while one waits.
pub const AT_ONCE: i64 = 2_000;
/// The argument of an action that is for one's own records alone.
pub const OWN: &str = "own";
/// The most records of one run.
pub const MOST: i64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Into the list whose id is the argument.
    AddToList,
    RemoveFromList,
    /// The argument is the reason.
    OptOut,
    Archive,
    Unarchive,
    MarkRead,
    MarkUnread,
    /// Of mailings; the argument is `own` where only those of who asked are meant.
    ArchiveMailings,
}

impl Action {
    pub const ALL: [Self; 8] = [
        Self::AddToList,
        Self::RemoveFromList,
        Self::OptOut,
        Self::Archive,
        Self::Unarchive,
        Self::MarkRead,
        Self::MarkUnread,
        Self::ArchiveMailings,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddToList => "add_to_list",
            Self::RemoveFromList => "remove_from_list",
            Self::OptOut => "opt_out",
            Self::Archive => "archive",
            Self::Unarchive => "unarchive",
            Self::MarkRead => "mark_read",
            Self::MarkUnread => "mark_unread",
            Self::ArchiveMailings => "archive_mailings",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// What is asked for, before its records are frozen.
pub struct Wanted<'a> {
    pub action: Action,
    pub argument: &'a str,
    pub argument_name: &'a str,
    /// The list as it is looked at.
    pub back: &'a str,
}

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = bulk_runs)]
pub struct Run {
    pub id: BulkRunId,
    pub company_id: CompanyId,
    pub user_id: UserId,
    pub action: String,
    pub argument: String,
    pub argument_name: String,
    pub back: String,
    /// `asked`, `running`, `done`, `canceled`, `failed`.
    pub state: String,
    pub total: i64,
    pub position: i64,
    pub changed: i64,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl Run {
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }

    pub fn left_out(&self) -> i64 {
        self.position - self.changed
    }
}

/// Freezes what the search finds now; nothing is done before [`start`].
pub async fn ask(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    wanted: &Wanted<'_>,
    (spec, query, extra): (&'static ListSpec, &ListQuery, search::Extra),
) -> Result<Run> {
    let run: BulkRunId = diesel::insert_into(bulk_runs::table)
        .values((
            bulk_runs::company_id.eq(company),
            bulk_runs::user_id.eq(user),
            bulk_runs::action.eq(wanted.action.as_str()),
            bulk_runs::argument.eq(wanted.argument),
            bulk_runs::argument_name.eq(wanted.argument_name),
            bulk_runs::back.eq(wanted.back),
        ))
        .returning(bulk_runs::id)
        .get_result(conn)
        .await?;
    let into = format!(
        "INSERT INTO bulk_items (company_id, run_id, position, record_id) SELECT {company}, {run}, row_number() OVER (ORDER BY id), id"
    );
    let total = search::freeze(conn, spec, query, extra, &into, MOST + 1).await?;
    if total > MOST {
        return Err(Error::conflict(
            "This search finds more than 1,000,000 records. Narrow it with a filter.",
        ));
    }
    let run = diesel::update(bulk_runs::table.find(run))
        .set(bulk_runs::total.eq(total))
        .returning(Run::as_returning())
        .get_result(conn)
        .await?;
    Ok(run)
}

pub async fn find(conn: &mut AsyncPgConnection, id: BulkRunId) -> QueryResult<Run> {
    bulk_runs::table
        .find(id)
        .select(Run::as_select())
        .first(conn)
        .await
}

/// What somebody has under way.
pub async fn running(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
) -> QueryResult<Vec<Run>> {
    bulk_runs::table
        .filter(bulk_runs::company_id.eq(company))
        .filter(bulk_runs::user_id.eq(user))
        .filter(bulk_runs::state.eq("running"))
        .order(bulk_runs::id)
        .select(Run::as_select())
        .load(conn)
        .await
}

/// Confirmed. A second press changes nothing.
pub async fn start(conn: &mut AsyncPgConnection, id: BulkRunId) -> QueryResult<usize> {
    sql_query("UPDATE bulk_runs SET state = 'running', started_at = wablast_now() WHERE id = $1 AND state = 'asked'")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await
}

/// What is not done yet is not done; what is done stays done.
pub async fn cancel(conn: &mut AsyncPgConnection, id: BulkRunId) -> QueryResult<usize> {
    sql_query(
        "UPDATE bulk_runs SET state = 'canceled', finished_at = wablast_now() WHERE id = $1 AND state IN ('asked', 'running')",
    )
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await
}

/// How many were left out for each reason, the most frequent first.
pub async fn left_out(
    conn: &mut AsyncPgConnection,
    id: BulkRunId,
) -> QueryResult<Vec<(String, i64)>> {
    #[derive(QueryableByName)]
    struct Reason {
        #[diesel(sql_type = Text)]
        reason: String,
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let reasons: Vec<Reason> = sql_query(
        "SELECT left_out AS reason, count(*) AS n FROM bulk_items WHERE run_id = $1 AND left_out IS NOT NULL
         GROUP BY left_out ORDER BY n DESC, reason",
    )
    .bind::<BigInt, _>(id)
    .load(conn)
    .await?;
    Ok(reasons.into_iter().map(|one| (one.reason, one.n)).collect())
}

/// Works on whatever is confirmed, until `stop`.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = app.wake.bulk.notified() => {}
            _ = ticks.tick() => {}
            _ = stop.changed() => return,
        }
        while !*stop.borrow() {
            match advance(&app).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!("bulk actions: {error:#}");
                    break;
                }
            }
        }
    }
}

/// One chunk of every run that nobody else works on; whether anything was left to do.
pub async fn advance(app: &App) -> Result<bool> {
    let waiting: Vec<(BulkRunId, CompanyId)> = {
        let mut conn = app.db.system().await?;
        bulk_runs::table
            .filter(bulk_runs::state.eq("running"))
            .order(bulk_runs::id)
            .select((bulk_runs::id, bulk_runs::company_id))
            .load(&mut conn)
            .await?
    };
    let mut worked = false;
    for (id, company) in waiting {
        match chunk(app, id, company).await {
            Ok(did) => worked |= did,
            Err(error) => failed(app, id, &error).await?,
        }
    }
    Ok(worked)
}

/// What cannot be done is told on the run's page; what was done before stays.
async fn failed(app: &App, id: BulkRunId, error: &Error) -> Result<()> {
    if matches!(error, Error::Busy) {
        return Ok(());
    }
    tracing::error!("bulk action {id}: {error:?}");
    let mut conn = app.db.system().await?;
    sql_query(
        "UPDATE bulk_runs SET state = 'failed', finished_at = wablast_now(), error = $2 WHERE id = $1 AND state = 'running'",
    )
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(error.to_string())
    .execute(&mut conn)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Item {
    #[diesel(sql_type = BigInt)]
    position: i64,
    #[diesel(sql_type = BigInt)]
    record_id: i64,
}

/// The next records of a run; false when another instance has it or it has ended.
async fn chunk(app: &App, id: BulkRunId, company: CompanyId) -> Result<bool> {
    let mut conn = app.db.company(company).await?;
    let run: Option<Run> = bulk_runs::table
        .find(id)
        .filter(bulk_runs::state.eq("running"))
        .for_update()
        .skip_locked()
        .select(Run::as_select())
        .first(&mut *conn)
        .await
        .optional()?;
    let Some(run) = run else { return Ok(false) };
    let items: Vec<Item> = sql_query(
        "SELECT position, record_id FROM bulk_items WHERE run_id = $1 AND position > $2 ORDER BY position LIMIT $3",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(run.position)
    .bind::<BigInt, _>(CHUNK)
    .load(&mut *conn)
    .await?;
    let mut done = Done::default();
    if !items.is_empty() {
        let ids: Vec<i64> = items.iter().map(|item| item.record_id).collect();
        done = apply(&mut conn, &run, &ids).await?;
        keep_reasons(&mut conn, &run, &done).await?;
    }
    let position = items.last().map_or(run.position, |item| item.position);
    let ended = position >= run.total || items.is_empty();
    let finished: Option<DateTime<Utc>> = ended.then(|| app.clock.now());
    sql_query(
        "UPDATE bulk_runs SET position = $2, changed = changed + $3, finished_at = $4,
           state = CASE WHEN $4 IS NULL THEN state ELSE 'done' END WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(position)
    .bind::<BigInt, _>(i64::try_from(done.changed.len()).unwrap_or(i64::MAX))
    .bind::<Nullable<Timestamptz>, _>(finished)
    .execute(&mut *conn)
    .await?;
    conn.commit().await?;
    if run.action == Action::OptOut.as_str() {
        app.wake.settle.notify_one();
    }
    Ok(!ended)
}

async fn keep_reasons(conn: &mut AsyncPgConnection, run: &Run, done: &Done) -> QueryResult<usize> {
    let (ids, reasons): (Vec<i64>, Vec<&str>) = done.left_out.iter().copied().unzip();
    sql_query(
        "UPDATE bulk_items i SET left_out = r.reason FROM unnest($2::bigint[], $3::text[]) AS r(id, reason)
         WHERE i.run_id = $1 AND i.record_id = r.id AND i.position > $4 AND i.position <= $4 + $5",
    )
    .bind::<BigInt, _>(run.id)
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Text>, _>(reasons)
    .bind::<BigInt, _>(run.position)
    .bind::<BigInt, _>(CHUNK)
    .execute(conn)
    .await
}

/// What became of a chunk: who was changed, and who was left out why.
#[derive(Debug, Default)]
struct Done {
    changed: Vec<i64>,
    left_out: Vec<(i64, &'static str)>,
}

impl Done {
    /// `changed` of `ids` were; the others were not because of `reason`, or because they are gone.
    fn of(ids: &[i64], known: &HashSet<i64>, changed: Vec<i64>, reason: &'static str) -> Self {
        let did: HashSet<i64> = changed.iter().copied().collect();
        let left_out = ids
            .iter()
            .filter(|id| !did.contains(id))
            .map(|id| (*id, if known.contains(id) { reason } else { "gone" }))
            .collect();
        Self { changed, left_out }
    }
}

async fn apply(conn: &mut AsyncPgConnection, run: &Run, ids: &[i64]) -> Result<Done> {
    let action = Action::parse(&run.action).ok_or(Error::NotFound)?;
    match action {
        Action::MarkRead | Action::MarkUnread => {
            let messages: Vec<IncomingId> = ids.iter().copied().map(IncomingId).collect();
            incoming::query::mark_read(conn, &messages, action == Action::MarkRead).await?;
            let known: HashSet<i64> = ids.iter().copied().collect();
            Ok(Done::of(ids, &known, ids.to_vec(), "gone"))
        }
        Action::AddToList | Action::RemoveFromList => members(conn, run, action, ids).await,
        Action::OptOut | Action::Archive | Action::Unarchive => {
            states(conn, run, action, ids).await
        }
        Action::ArchiveMailings => archived(conn, run, ids).await,
    }
}

/// Archives mailings that may be; the others say why not.
async fn archived(conn: &mut AsyncPgConnection, run: &Run, ids: &[i64]) -> Result<Done> {
    let mut done = Done::default();
    for id in ids {
        match archive(conn, run, MailingId(*id)).await? {
            None => done.changed.push(*id),
            Some(reason) => done.left_out.push((*id, reason)),
        }
    }
    let (company, by) = (run.company_id, Some(run.user_id));
    audit::note_many(
        conn,
        company,
        "mailings",
        &done.changed,
        by,
        "archive",
        None,
    )
    .await?;
    Ok(done)
}

/// Why a mailing was left alone; `None`: it is archived now.
async fn archive(
    conn: &mut AsyncPgConnection,
    run: &Run,
    id: MailingId,
) -> Result<Option<&'static str>> {
    let Some(mailing) = mailings::query::find(conn, id).await.optional()? else {
        return Ok(Some("gone"));
    };
    if run.argument == OWN && mailing.responsible_id != run.user_id {
        return Ok(Some("not_yours"));
    }
    if !mailing.active {
        return Ok(Some("already"));
    }
    match mailings::set_active(conn, id, false).await {
        Ok(()) => Ok(None),
        Err(Error::Conflict { .. }) => Ok(Some("needed")),
        Err(other) => Err(other),
    }
}

/// Those of the people who are here, with their state: opted out, active.
async fn people_of(
    conn: &mut AsyncPgConnection,
    ids: &[i64],
) -> QueryResult<Vec<(i64, bool, bool)>> {
    people::table
        .filter(people::id.eq_any(ids.iter().copied().map(ContactId)))
        .filter(people::erased_at.is_null())
        .order(people::id)
        .select((people::id, people::opt_out, people::active))
        .load(conn)
        .await
        .map(|rows: Vec<(ContactId, bool, bool)>| {
            rows.into_iter()
                .map(|(id, out, active)| (id.0, out, active))
                .collect()
        })
}

async fn members(
    conn: &mut AsyncPgConnection,
    run: &Run,
    action: Action,
    ids: &[i64],
) -> Result<Done> {
    let list: ListId = run.argument.parse().map_err(|_| Error::NotFound)?;
    let known: HashSet<i64> = people_of(conn, ids)
        .await?
        .iter()
        .map(|one| one.0)
        .collect();
    let all: Vec<ContactId> = known.iter().copied().map(ContactId).collect();
    let inside: HashSet<ContactId> = lists::list::among(conn, list, &all)
        .await?
        .into_iter()
        .collect();
    let joins = action == Action::AddToList;
    let wanted: Vec<ContactId> = all
        .into_iter()
        .filter(|id| inside.contains(id) != joins)
        .collect();
    let (what, reason) = if joins {
        lists::add_members(conn, run.company_id, list, &wanted).await?;
        ("list_added", "member")
    } else {
        lists::remove_members(conn, list, &wanted).await?;
        ("list_removed", "not_member")
    };
    let changed: Vec<i64> = wanted.iter().map(|id| id.0).collect();
    noted(conn, run, &changed, what, Some(&run.argument_name)).await?;
    if !changed.is_empty() {
        let what = if joins { "added" } else { "removed" };
        let (company, by) = (run.company_id, Some(run.user_id));
        let people = changed.len().to_string();
        audit::note(conn, company, "lists", list.0, by, what, Some(&people)).await?;
    }
    Ok(Done::of(ids, &known, changed, reason))
}

async fn states(
    conn: &mut AsyncPgConnection,
    run: &Run,
    action: Action,
    ids: &[i64],
) -> Result<Done> {
    let rows = people_of(conn, ids).await?;
    let known: HashSet<i64> = rows.iter().map(|one| one.0).collect();
    let wanted: Vec<ContactId> = rows
        .iter()
        .filter(|(_, out, active)| match action {
            Action::OptOut => !out,
            Action::Archive => *active,
            _ => !active,
        })
        .map(|one| ContactId(one.0))
        .collect();
    let (what, note) = match action {
        Action::OptOut => {
            contacts::opt_out(conn, &wanted, &run.argument).await?;
            ("opt_out", Some(run.argument.as_str()))
        }
        Action::Archive => {
            contacts::set_active(conn, &wanted, false).await?;
            ("archive", None)
        }
        _ => {
            contacts::set_active(conn, &wanted, true).await?;
            ("unarchive", None)
        }
    };
    let changed: Vec<i64> = wanted.iter().map(|id| id.0).collect();
    noted(conn, run, &changed, what, note).await?;
    Ok(Done::of(ids, &known, changed, "already"))
}

async fn noted(
    conn: &mut AsyncPgConnection,
    run: &Run,
    records: &[i64],
    what: &str,
    note: Option<&str>,
) -> QueryResult<usize> {
    let by = Some(run.user_id);
    audit::note_many(conn, run.company_id, "contacts", records, by, what, note).await
}

/// Questions nobody answered, and the records of runs that ended a month ago.
pub async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query(
        "DELETE FROM bulk_runs WHERE state = 'asked' AND created_at < wablast_now() - interval '1 day'
           OR finished_at < wablast_now() - interval '30 days'",
    )
    .execute(conn)
    .await
}
