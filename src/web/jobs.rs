//! Scheduled Actions: when each job runs, how its runs went, and *Run now*.
//!
//! Invariant: a request never runs a job: it writes that a run is wanted and wakes the scheduler.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use diesel_async::AsyncPgConnection;
use serde_json::json;

use crate::audit::{self, Entry};
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::jobs::query::{self, JobRun};
use crate::jobs::{self, Job, JobInput};
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::history::{self, Field, Told};
use crate::web::job_runs::{self, Mark};
use crate::web::kept;
use crate::web::page::{Menu, Shell, html, html_with};
use crate::web::pieces::Event;
use crate::web::visit::Visit;

/// Runs of the strip, and of the history that unfolds under a job.
const RECENT: i64 = 30;
/// Runs on a job's own page.
const MANY: i64 = 200;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/jobs", web::get().to(list))
        .route("/jobs/working", web::get().to(working))
        .route("/jobs/{name}", web::get().to(show))
        .route("/jobs/{name}", web::post().to(update))
        .route("/jobs/{name}/run", web::post().to(run))
        .route(
            "/jobs/{name}/{verb:enable|disable}",
            web::post().to(set_active),
        );
}

/// A job with its last runs, newest first.
struct Line {
    job: Job,
    runs: Vec<JobRun>,
}

impl Line {
    fn marks(&self, shell: &Shell) -> Vec<Mark> {
        job_runs::marks(shell, &self.runs)
    }

    fn sentence(&self, shell: &Shell) -> String {
        job_runs::sentence(shell, &self.runs)
    }
}

#[derive(Template)]
#[template(path = "jobs/list.html")]
struct JobsPage {
    shell: Shell,
    lines: Vec<Line>,
    /// Something was asked for or runs now.
    working: bool,
    history: Vec<Event>,
}

#[derive(Template)]
#[template(path = "jobs/form.html")]
struct JobPage {
    shell: Shell,
    line: Line,
    input: JobInput,
    errors: FieldErrors,
    stand: Stand,
    working: bool,
}

/// What the history tells of a changed job.
const TOLD: &[Field] = &[
    ("interval_number", "jobs.execute_every", Told::Text),
    (
        "interval_unit",
        "jobs.interval_unit",
        Told::Word("jobs.unit."),
    ),
    ("active", "jobs.active", Told::Flag),
];

/// What people decide about a job; when it runs next changes by itself.
fn decided(job: &Job) -> serde_json::Value {
    json!({ "interval_number": job.interval_number, "interval_unit": job.interval_unit, "active": job.active })
}

impl JobPage {
    fn href(&self, verb: &str) -> String {
        format!("/jobs/{}{verb}", self.line.job.name)
    }

    fn units(&self) -> Vec<(&'static str, String)> {
        jobs::input::UNITS
            .into_iter()
            .map(|unit| (unit, format!("jobs.unit.{unit}")))
            .collect()
    }
}

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let mut lines = Vec::new();
    for job in query::all(&mut conn).await? {
        let runs = query::runs(&mut conn, &job.name, RECENT).await?;
        lines.push(Line { job, runs });
    }
    let working = query::is_working(&mut conn, None).await?;
    let entries = audit::of(&mut conn, "jobs", 0).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let history = entries
        .into_iter()
        .map(|entry| told(&shell, entry))
        .collect();
    Ok(html(JobsPage {
        shell,
        lines,
        working,
        history,
    }))
}

/// One line of what people did to the jobs.
fn told(shell: &Shell, entry: Entry) -> Event {
    let done = shell.t(&format!("jobs.did.{}", entry.action));
    Event {
        by: entry.user_name,
        at: entry.at,
        icon: "adjustments-horizontal",
        text: entry
            .note
            .map_or_else(|| done.clone(), |note| format!("{done}: {note}")),
        changes: history::changes(shell, &entry.changes),
    }
}

async fn show(visit: Visit, name: web::Path<String>) -> WebResult {
    let typed = kept::form(&visit).await?;
    render(&visit, &name, typed, FieldErrors::default()).await
}

/// The job's page: its form, as it is stored or as it was typed, and its runs.
async fn render(
    visit: &Visit,
    name: &str,
    typed: Option<JobInput>,
    mut errors: FieldErrors,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let job = query::find(&mut conn, name).await?;
    let runs = query::runs(&mut conn, name, MANY).await?;
    let working = query::is_working(&mut conn, Some(name)).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let input = typed.unwrap_or_else(|| JobInput {
        interval_number: job.interval_number.to_string(),
        interval_unit: job.interval_unit.clone(),
        active: job.active.then(|| "true".to_owned()),
        next_run: shell.local(&job.next_run),
    });
    let (record, stored) = (("jobs", 0), decided(&job));
    let stand = Stand::of(visit, &mut conn, &shell, record, &stored, &mut errors).await?;
    let status = stand.status(&errors);
    let page = JobPage {
        stand,
        shell,
        line: Line { job, runs },
        input,
        errors,
        working,
    };
    Ok(html_with(status, page))
}

/// Says in the jobs' history who did what to which; they have no ids, so it is one history.
async fn noted(visit: &Visit, conn: &mut AsyncPgConnection, did: &str, note: &str) -> Result<()> {
    let (company, by) = (visit.company, Some(visit.user));
    audit::note(conn, company, "jobs", 0, by, did, Some(note)).await?;
    Ok(())
}

async fn update(
    visit: Visit,
    name: web::Path<String>,
    Posted(input): Posted<JobInput>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let saved: Result<()> = async {
        let mut conn = visit.conn().await?;
        audit::hold(&mut conn, "jobs", 0).await?;
        let before = decided(&query::find(&mut conn, &name).await?);
        edit::unchanged(&visit, &before)?;
        let job = jobs::update(&mut conn, &name, &input, visit.zone).await?;
        let mut changes = history::diff(&before, &decided(&job), TOLD, &HashMap::new());
        for change in &mut changes {
            // One history for all jobs: each line says which.
            change.field = format!("{}, {}", job.label, visit.t(&change.field));
        }
        let (company, by) = (visit.company, Some(visit.user));
        audit::note_changes(&mut conn, company, "jobs", 0, by, &changes).await?;
        conn.commit().await
    }
    .await;
    match saved {
        Ok(()) => {
            visit.tell("jobs.saved");
            Ok(see_other(format!("/jobs/{name}")))
        }
        Err(Error::Invalid(errors)) => render(&visit, &name, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn run(visit: Visit, name: web::Path<String>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    jobs::ask(&mut conn, &name, visit.user).await?;
    conn.commit().await?;
    visit.app.wake.jobs.notify_one();
    visit.tell("jobs.asked");
    Ok(see_other("/jobs"))
}

async fn set_active(
    visit: Visit,
    path: web::Path<(String, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let (name, verb) = path.into_inner();
    let on = verb == "enable";
    let mut conn = visit.conn().await?;
    jobs::set_active(&mut conn, &name, on).await?;
    let label = query::find(&mut conn, &name).await?.label;
    let did = if on { "enabled" } else { "disabled" };
    noted(&visit, &mut conn, did, &label).await?;
    conn.commit().await?;
    visit.tell(if on { "jobs.enabled" } else { "jobs.disabled" });
    Ok(see_other("/jobs"))
}

/// What the page asks every two seconds while a run is wanted or under way.
async fn working(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/html; charset=utf-8");
    if query::is_working(&mut conn, None).await? {
        // A text of the catalogue; nothing anybody wrote.
        return Ok(answer.body(visit.t("jobs.working")));
    }
    Ok(answer.insert_header(("X-Settled", "1")).body(""))
}
