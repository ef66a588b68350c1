//! The form of a job: from text to a change of its row, or all faults at once.

use chrono::{DateTime, Datelike as _, Duration, DurationRound as _, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::{Job, first_valid};
use crate::error::{FieldErrors, Result};

/// The units an interval is counted in, as the database names them.
pub const UNITS: [&str; 5] = ["minutes", "hours", "days", "weeks", "months"];

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct JobInput {
    pub interval_number: String,
    pub interval_unit: String,
    /// Ticked: runs by itself.
    pub active: Option<String>,
    /// `2026-11-24T10:00` in the person's zone; empty leaves it as it is.
    pub next_run: String,
}

/// What a form asks of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub interval_number: i32,
    pub interval_unit: &'static str,
    pub active: bool,
    /// Typed by a person, with the zone it was meant in; none: follows the interval.
    pub next_run: Option<(DateTime<Utc>, Tz)>,
}

impl JobInput {
    /// The change, or all faults. `zone`: where the date is meant.
    pub fn parse(&self, job: &Job, zone: Tz) -> Result<Change> {
        let mut errors = FieldErrors::default();
        let number: Option<i32> = self
            .interval_number
            .trim()
            .parse()
            .ok()
            .filter(|number| (1..=10_000).contains(number));
        if number.is_none() {
            errors.add("interval_number", "Enter a whole number from 1 to 10,000.");
        }
        let unit = UNITS.into_iter().find(|unit| *unit == self.interval_unit);
        if unit.is_none() {
            errors.add(
                "interval_unit",
                "Choose minutes, hours, days, weeks or months.",
            );
        }
        let next_run = self.typed(zone);
        match next_run {
            Err(_) => errors.add("next_run", "Enter a date and a time, such as 24 Nov 10:00."),
            Ok(Some(next)) if !(1970..=2199).contains(&next.year()) => {
                errors.add("next_run", "Choose a year from 1970 to 2199.");
            }
            Ok(_) => {}
        }
        // The form shows minutes: the same minute as before is no wish.
        let shown = job.next_run.duration_trunc(Duration::minutes(1)).ok();
        let next_run = next_run
            .unwrap_or_default()
            .filter(|next| Some(*next) != shown);
        let (number, unit) = errors.or(number.zip(unit))?;
        Ok(Change {
            interval_number: number,
            interval_unit: unit,
            active: self.active.is_some(),
            next_run: next_run.map(|next| (next, zone)),
        })
    }

    fn typed(&self, zone: Tz) -> Result<Option<DateTime<Utc>>, chrono::ParseError> {
        let text = self.next_run.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M")
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S"))?;
        Ok(Some(first_valid(zone, local)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn job() -> Job {
        Job {
            name: "x".into(),
            label: "x".into(),
            interval_number: 1,
            interval_unit: "minutes".into(),
            time_zone: "UTC".into(),
            active: true,
            next_run: "2026-11-24T03:00:27Z".parse().unwrap(),
            last_run: None,
        }
    }

    fn input(next_run: &str) -> JobInput {
        JobInput {
            interval_number: " 5 ".into(),
            interval_unit: "hours".into(),
            active: None,
            next_run: next_run.into(),
        }
    }

    #[test]
    fn the_minute_that_stood_there_is_no_wish_and_another_one_is_meant_in_the_persons_zone() {
        let zone = chrono_tz::Asia::Jakarta;
        let same = input("2026-11-24T10:00").parse(&job(), zone).unwrap();
        assert_eq!(same.next_run, None);
        let later = input("2026-11-24T10:01").parse(&job(), zone).unwrap();
        assert_eq!(
            later.next_run,
            Some(("2026-11-24T03:01:00Z".parse().unwrap(), zone))
        );
        assert_eq!(
            (later.interval_number, later.interval_unit, later.active),
            (5, "hours", false)
        );
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let wrong = JobInput {
            interval_number: "0".into(),
            interval_unit: "fortnights".into(),
            active: None,
            next_run: "soon".into(),
        };
        let Err(Error::Invalid(faults)) = wrong.parse(&job(), Tz::UTC) else {
            panic!("accepted")
        };
        assert_eq!(faults.0.len(), 3, "{faults:?}");
    }
}
