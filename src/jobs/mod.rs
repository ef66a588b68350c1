//! Scheduled Actions: named periodic work, when each is due, and how its runs went.
//!
//! Invariants: the due time is a row; a slot runs once over all instances (compare-and-swap on the row,
//! UNIQUE (job, slot)); missed slots collapse into one run; a run somebody asks for is a row first and
//! begins once; changing a row works at once, in every instance. Owns `jobs` and `job_runs`. Does not
//! know what a job does: that is the scheduler's.

pub mod input;
pub mod query;

use chrono::{DateTime, Duration, Months, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;

use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::schema::jobs;

pub use input::JobInput;

/// Infinys Whatsapp Blasting : Scheduler Send
pub const SCHEDULER_SEND: &str = "scheduler_send";
/// Infinys Whatsapp Blasting : Scheduler Enqueue
pub const SCHEDULER_ENQUEUE: &str = "scheduler_enqueue";
/// Infinys Whatsapp Blasting : Media Cleanup
pub const SWEEP_MEDIA: &str = "sweep_media";
/// Infinys Whatsapp Blasting : Gateway Log Cleanup
pub const SWEEP_GATEWAY_LOG: &str = "sweep_gateway_log";

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
        let zone: Tz = self.time_zone.parse().unwrap_or(Tz::UTC);
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
fn first_valid(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    (0..=180)
        .find_map(|minutes| {
            zone.from_local_datetime(&(local + Duration::minutes(minutes)))
                .earliest()
        })
        .map_or_else(|| local.and_utc(), |found| found.with_timezone(&Utc))
}

/// *Run now*, whether or not it is due or active: the scheduler begins the run when it is woken, on the
/// same path as a slot.
pub async fn ask(conn: &mut AsyncPgConnection, name: &str, user: UserId) -> Result<()> {
    query::lock(conn, name).await?;
    if query::is_working(conn, Some(name)).await? {
        return Err(Error::conflict(
            "This job is running already. Wait until it has ended.",
        ));
    }
    query::insert_asked(conn, name, user).await?;
    Ok(())
}

/// Changes when a job runs. `zone`: where a date without an offset is meant.
pub async fn update(
    conn: &mut AsyncPgConnection,
    name: &str,
    input: &JobInput,
    zone: Tz,
) -> Result<Job> {
    let before = query::lock(conn, name).await?;
    let change = input.parse(&before, zone)?;
    query::write(conn, &before, &change).await?;
    Ok(query::find(conn, name).await?)
}

/// Switches a job on, due at once, or off; a second press changes nothing.
pub async fn set_active(conn: &mut AsyncPgConnection, name: &str, active: bool) -> Result<()> {
    query::find(conn, name).await?;
    query::set_active(conn, name, active).await?;
    Ok(())
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

    /// Every fifth minute of the days around every change of the clocks within ten years, against a table that
    /// is made by walking through the instants and knows nothing of gaps and overlaps.
    #[test]
    fn a_local_minute_is_the_first_instant_that_has_it_or_the_first_after_a_gap() {
        let mut asked = 0;
        for name in [
            "Europe/Berlin",
            "America/New_York",
            "America/Sao_Paulo",
            "America/Santiago",
            "Africa/Cairo",
            "Africa/Casablanca",
            "Australia/Lord_Howe",
            "Pacific/Chatham",
        ] {
            let zone: Tz = name.parse().unwrap();
            let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
            let offset = |at: DateTime<Utc>| local(at) - at.naive_utc();
            let mut day = at("2017-01-01T00:00:00Z");
            while day < at("2027-01-01T00:00:00Z") {
                let next = day + Duration::days(1);
                if offset(day) != offset(next) {
                    let walk = (0..4 * 288)
                        .map(|step| day - Duration::days(1) + Duration::minutes(5 * step));
                    let mut firsts: Vec<(NaiveDateTime, DateTime<Utc>)> = Vec::new();
                    for instant in walk {
                        if firsts.last().is_none_or(|(last, _)| local(instant) > *last) {
                            firsts.push((local(instant), instant));
                        }
                    }
                    let mut wanted = firsts[0].0;
                    for (minute, instant) in firsts {
                        while wanted <= minute {
                            assert_eq!(first_valid(zone, wanted), instant, "{name} {wanted}");
                            wanted += Duration::minutes(5);
                            asked += 1;
                        }
                    }
                }
                day = next;
            }
        }
        assert!(asked > 100_000, "{asked}");
    }
}
