//! SQL of jobs and their runs.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::Job;
use super::input::Change;
use crate::db::wablast_now;
use crate::ids::UserId;
use crate::schema::jobs;

/// A run that has not ended after this long lost its process; it stops nobody.
const LOST: &str = "interval '10 minutes'";

/// Every job, by its label.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Job>> {
    jobs::table
        .order(jobs::label)
        .select(Job::as_select())
        .load(conn)
        .await
}

pub async fn find(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<Job> {
    jobs::table
        .find(name)
        .select(Job::as_select())
        .first(conn)
        .await
}

/// The job, held until the transaction ends.
pub(super) async fn lock(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<Job> {
    jobs::table
        .find(name)
        .select(Job::as_select())
        .for_update()
        .first(conn)
        .await
}

/// Active jobs whose instant is reached.
pub async fn due(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Job>> {
    jobs::table
        .filter(jobs::active)
        .filter(jobs::next_run.le(wablast_now()))
        .order((jobs::next_run, jobs::name))
        .select(Job::as_select())
        .load(conn)
        .await
}

/// How the jobs are, for those who watch over the installation.
#[derive(Debug, QueryableByName)]
pub struct Health {
    #[diesel(sql_type = BigInt)]
    pub active: i64,
    /// Due for minutes, and nobody took them.
    #[diesel(sql_type = BigInt)]
    pub late: i64,
}

pub async fn health(conn: &mut AsyncPgConnection) -> QueryResult<Health> {
    sql_query(
        "SELECT count(*) AS active, count(*) FILTER (WHERE next_run < wablast_now() - interval '5 minutes') AS late
         FROM jobs WHERE active",
    )
    .get_result(conn)
    .await
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Takes a due slot: of several instances one gets it. Returns the run.
pub async fn take_slot(
    conn: &mut AsyncPgConnection,
    job: &Job,
    next: DateTime<Utc>,
) -> QueryResult<Option<i64>> {
    let run: Option<Id> = sql_query(
        "WITH taken AS (
           UPDATE jobs SET next_run = $3 WHERE name = $1 AND next_run = $2 AND active RETURNING name
         )
         INSERT INTO job_runs (job, slot, trigger, started_at) SELECT name, $2, 'schedule', wablast_now() FROM taken
         ON CONFLICT ON CONSTRAINT job_runs_once DO NOTHING RETURNING id",
    )
    .bind::<Text, _>(&job.name)
    .bind::<Timestamptz, _>(job.next_run)
    .bind::<Timestamptz, _>(next)
    .get_result(conn)
    .await
    .optional()?;
    Ok(run.map(|run| run.id))
}

#[derive(QueryableByName)]
struct Yes {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

/// Whether a run of the job, or of any, is asked for or under way.
pub async fn is_working(conn: &mut AsyncPgConnection, name: Option<&str>) -> QueryResult<bool> {
    let working: Yes = sql_query(format!(
        "SELECT EXISTS (SELECT FROM jobs j CROSS JOIN LATERAL (SELECT r.slot, r.started_at, r.ended_at FROM job_runs r
             WHERE r.job = j.name ORDER BY r.id DESC LIMIT 20) r
           WHERE ($1 IS NULL OR j.name = $1) AND r.ended_at IS NULL AND coalesce(r.started_at, r.slot) > wablast_now() - {LOST}) AS yes"
    ))
    .bind::<Nullable<Text>, _>(name)
    .get_result(conn)
    .await?;
    Ok(working.yes)
}

/// A run somebody wants; it begins when the scheduler looks.
pub(super) async fn insert_asked(
    conn: &mut AsyncPgConnection,
    name: &str,
    user: UserId,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO job_runs (job, slot, trigger, user_id, started_at) VALUES ($1, wablast_now(), 'manual', $2, NULL)
         ON CONFLICT ON CONSTRAINT job_runs_once DO NOTHING",
    )
    .bind::<Text, _>(name)
    .bind::<BigInt, _>(user)
    .execute(conn)
    .await
}

/// A run that was asked for and begins now.
#[derive(Debug, QueryableByName)]
pub struct Asked {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub job: String,
}

/// Begins the oldest run that was asked for: of several instances one gets it.
pub async fn take_asked(conn: &mut AsyncPgConnection) -> QueryResult<Option<Asked>> {
    sql_query(
        "UPDATE job_runs SET started_at = wablast_now() WHERE id = (
           SELECT id FROM job_runs WHERE started_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING id, job",
    )
    .get_result(conn)
    .await
    .optional()
}

/// Writes how a run ended, and removes what is too old to keep.
pub async fn finish(
    conn: &mut AsyncPgConnection,
    run: i64,
    name: &str,
    done: i64,
    summary: Option<&str>,
    error: Option<&str>,
) -> QueryResult<()> {
    conn.transaction(async |conn| {
        sql_query("UPDATE job_runs SET ended_at = wablast_now(), done = $2, summary = $3, error = $4 WHERE id = $1")
            .bind::<BigInt, _>(run)
            .bind::<BigInt, _>(done)
            .bind::<Nullable<Text>, _>(summary)
            .bind::<Nullable<Text>, _>(error)
            .execute(conn)
            .await?;
        sql_query("UPDATE jobs SET last_run = wablast_now() WHERE name = $1")
            .bind::<Text, _>(name)
            .execute(conn)
            .await?;
        // Runs that found nothing to do are kept for a day, others for 90.
        sql_query(
            "DELETE FROM job_runs WHERE job = $1 AND ended_at < wablast_now() - CASE WHEN done = 0 AND error IS NULL
               THEN interval '1 day' ELSE interval '90 days' END",
        )
        .bind::<Text, _>(name)
        .execute(conn)
        .await?;
        QueryResult::Ok(())
    })
    .await
}

/// Writes a change. A job that is switched on is due at once; another interval counts from the last run.
pub(super) async fn write(
    conn: &mut AsyncPgConnection,
    before: &Job,
    change: &Change,
) -> QueryResult<usize> {
    let after = Job {
        interval_number: change.interval_number,
        interval_unit: change.interval_unit.to_owned(),
        ..before.clone()
    };
    let follows = after.next_after(after.last_run.unwrap_or(after.next_run));
    sql_query(
        "UPDATE jobs SET interval_number = $2, interval_unit = $3, active = $4, updated_at = wablast_now(),
           time_zone = coalesce($7, time_zone),
           next_run = CASE WHEN $6 IS NOT NULL THEN $6 WHEN $4 AND NOT active THEN wablast_now()
             WHEN interval_number <> $2 OR interval_unit <> $3 THEN least(next_run, $5) ELSE next_run END
         WHERE name = $1",
    )
    .bind::<Text, _>(&before.name)
    .bind::<Integer, _>(change.interval_number)
    .bind::<Text, _>(change.interval_unit)
    .bind::<Bool, _>(change.active)
    .bind::<Timestamptz, _>(follows)
    .bind::<Nullable<Timestamptz>, _>(change.next_run.map(|(next, _)| next))
    .bind::<Nullable<Text>, _>(change.next_run.map(|(_, zone)| zone.name()))
    .execute(conn)
    .await
}

pub(super) async fn set_active(
    conn: &mut AsyncPgConnection,
    name: &str,
    active: bool,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE jobs SET active = $2, updated_at = wablast_now(), next_run = CASE WHEN $2 THEN wablast_now() ELSE next_run END
         WHERE name = $1 AND active <> $2",
    )
    .bind::<Text, _>(name)
    .bind::<Bool, _>(active)
    .execute(conn)
    .await
}

/// One run, as its page tells it.
#[derive(Debug, Clone, QueryableByName)]
pub struct JobRun {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub trigger: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub user_name: Option<String>,
    /// When it was due, or asked for.
    #[diesel(sql_type = Timestamptz)]
    pub slot: DateTime<Utc>,
    /// None: asked for, not begun yet.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub started_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub ended_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pub done: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub summary: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error: Option<String>,
}

/// The last runs of a job, newest first.
pub async fn runs(
    conn: &mut AsyncPgConnection,
    name: &str,
    limit: i64,
) -> QueryResult<Vec<JobRun>> {
    sql_query(
        "SELECT r.id, r.trigger, u.name AS user_name, r.slot, r.started_at, r.ended_at, r.done, r.summary, r.error
         FROM job_runs r LEFT JOIN users u ON u.id = r.user_id WHERE r.job = $1 ORDER BY r.id DESC LIMIT $2",
    )
    .bind::<Text, _>(name)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await
}
