//! SQL of jobs and their runs.

use chrono::{DateTime, Duration, Months, TimeZone as _, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use crate::db::wablast_now;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::UserId;
use crate::schema::jobs;

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = jobs)]
pub struct Job {
    pub name: String,
    pub label: String,
    pub interval_number: i32,
    pub interval_unit: String,
    pub time_zone: String,
    pub active: bool,
    pub next_run: DateTime<Utc>,
    pub last_run: Option<DateTime<Utc>>,
}

impl Job {
    /// The first slot after `now`: missed ones collapse. Days and longer keep the hour in the job's zone.
    pub fn next_after(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let n = i64::from(self.interval_number.max(1));
        let step = match self.interval_unit.as_str() {
            "minutes" => Some(Duration::minutes(n)),
            "hours" => Some(Duration::hours(n)),
            _ => None,
        };
        if let Some(step) = step {
            let behind = (now - self.next_run).num_milliseconds().max(0);
            let steps = behind / step.num_milliseconds() + 1;
            return self.next_run + Duration::milliseconds(step.num_milliseconds() * steps);
        }
        let zone: chrono_tz::Tz = self.time_zone.parse().unwrap_or(chrono_tz::UTC);
        let start = self.next_run.with_timezone(&zone).naive_local();
        (1..10_000_u32)
            .map(|times| {
                let times = i64::from(times) * n;
                let local = match self.interval_unit.as_str() {
                    "weeks" => start + Duration::weeks(times),
                    "months" => start
                        .checked_add_months(Months::new(u32::try_from(times).unwrap_or(u32::MAX)))
                        .unwrap_or(start),
                    _ => start + Duration::days(times),
                };
                first_valid(zone, local)
            })
            .find(|next| *next > now)
            .unwrap_or_else(|| now + Duration::days(1))
    }
}

/// The instant of a local time; in a gap the first one after it, in an overlap the first of the two.
fn first_valid(zone: chrono_tz::Tz, local: chrono::NaiveDateTime) -> DateTime<Utc> {
    (0..=180)
        .find_map(|minutes| {
            zone.from_local_datetime(&(local + Duration::minutes(minutes)))
                .earliest()
        })
        .map_or_else(|| local.and_utc(), |found| found.with_timezone(&Utc))
}

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

pub(super) async fn due(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Job>> {
    jobs::table
        .filter(jobs::active)
        .filter(jobs::next_run.le(wablast_now()))
        .order((jobs::next_run, jobs::name))
        .select(Job::as_select())
        .load(conn)
        .await
}

#[derive(QueryableByName)]
struct Run {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Takes a due slot: of several instances one gets it. Returns the run.
pub(super) async fn take_slot(
    conn: &mut AsyncPgConnection,
    job: &Job,
    next: DateTime<Utc>,
) -> QueryResult<Option<i64>> {
    let run: Option<Run> = sql_query(
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

/// `None`: a run of this job is under way.
pub(super) async fn start_manual(
    conn: &mut AsyncPgConnection,
    name: &str,
    user: UserId,
) -> QueryResult<Option<i64>> {
    let run: Option<Run> = sql_query(
        "INSERT INTO job_runs (job, slot, trigger, user_id, started_at)
         SELECT $1, wablast_now(), 'manual', $2, wablast_now()
         WHERE NOT EXISTS (SELECT FROM job_runs WHERE job = $1 AND ended_at IS NULL AND started_at > wablast_now() - interval '10 minutes')
         ON CONFLICT ON CONSTRAINT job_runs_once DO NOTHING RETURNING id",
    )
    .bind::<Text, _>(name)
    .bind::<BigInt, _>(user)
    .get_result(conn)
    .await
    .optional()?;
    Ok(run.map(|run| run.id))
}

pub(super) async fn finish(
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

/// The form of a job, as text.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct JobInput {
    pub interval_number: String,
    pub interval_unit: String,
    pub active: Option<String>,
}

/// Changes when a job runs; works at once, in every instance.
pub async fn update(conn: &mut AsyncPgConnection, name: &str, input: &JobInput) -> Result<Job> {
    let mut errors = FieldErrors::default();
    let number: Option<i32> = input
        .interval_number
        .trim()
        .parse()
        .ok()
        .filter(|number| (1..=10_000).contains(number));
    if number.is_none() {
        errors.add("interval_number", "Enter a whole number from 1 to 10,000.");
    }
    let unit = ["minutes", "hours", "days", "weeks", "months"]
        .into_iter()
        .find(|unit| *unit == input.interval_unit);
    if unit.is_none() {
        errors.add(
            "interval_unit",
            "Choose minutes, hours, days, weeks or months.",
        );
    }
    let (number, unit) = errors.or(number.zip(unit))?;
    let before = find(conn, name).await?;
    let changed = Job {
        interval_number: number,
        interval_unit: unit.to_owned(),
        ..before
    };
    sql_query(
        "UPDATE jobs SET interval_number = $2, interval_unit = $3, active = $4, updated_at = wablast_now(),
           next_run = CASE WHEN $4 AND NOT active THEN wablast_now()
             WHEN interval_number <> $2 OR interval_unit <> $3 THEN least(next_run, $5) ELSE next_run END
         WHERE name = $1",
    )
    .bind::<Text, _>(name)
    .bind::<Integer, _>(number)
    .bind::<Text, _>(unit)
    .bind::<Bool, _>(input.active.is_some())
    .bind::<Timestamptz, _>(changed.next_after(changed.last_run.unwrap_or(changed.next_run)))
    .execute(conn)
    .await?;
    find(conn, name).await.map_err(Error::from)
}

#[derive(Debug, Clone, QueryableByName)]
pub struct JobRun {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    pub trigger: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub user_name: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub started_at: DateTime<Utc>,
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
        "SELECT r.id, r.trigger, u.name AS user_name, r.started_at, r.ended_at, r.done, r.summary, r.error
         FROM job_runs r LEFT JOIN users u ON u.id = r.user_id WHERE r.job = $1 ORDER BY r.id DESC LIMIT $2",
    )
    .bind::<Text, _>(name)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: i32, unit: &str, zone: &str, next: &str) -> Job {
        Job {
            name: "x".into(),
            label: "x".into(),
            interval_number: number,
            interval_unit: unit.into(),
            time_zone: zone.into(),
            active: true,
            next_run: next.parse().unwrap(),
            last_run: None,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn missed_slots_collapse_into_one() {
        let job = job(1, "minutes", "UTC", "2026-11-24T10:00:00Z");
        assert_eq!(
            job.next_after(at("2026-11-24T10:00:00Z")),
            at("2026-11-24T10:01:00Z")
        );
        assert_eq!(
            job.next_after(at("2026-11-24T13:30:30Z")),
            at("2026-11-24T13:31:00Z")
        );
    }

    #[test]
    fn a_daily_job_keeps_its_hour_over_the_change_of_the_clocks() {
        let daily = job(1, "days", "Europe/Berlin", "2026-03-28T01:30:00Z");
        // 02:30 does not exist on the 29th: the first valid instant after it.
        assert_eq!(
            daily.next_after(at("2026-03-28T01:30:00Z")),
            at("2026-03-29T01:00:00Z")
        );
        assert_eq!(
            daily.next_after(at("2026-03-29T12:00:00Z")),
            at("2026-03-30T00:30:00Z")
        );
    }
}
