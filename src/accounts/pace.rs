//! The rules of an account's pace: caps, pauses, warm-up, quiet hours, and how soon a person is written to again.
//!
//! Invariants: a warm-up leads to a daily cap; hours that begin when they end are no hours. What they do is
//! decided where messages are taken (`outgoing`); the formula of the warm-up stands there too, in SQL, and a
//! test compares both.

use chrono::{DateTime, NaiveTime, Utc};
use diesel::prelude::*;

use super::{Account, AccountInput};
use crate::error::FieldErrors;
use crate::schema::accounts;
use crate::text::zones::Hours;

/// Seconds between two messages to one person that Meta asks for (one message every 6 seconds to a user;
/// developers.facebook.com, Cloud API, "Pair rate limits").
pub const META_GAP: i32 = 6;
const MOST_AN_HOUR: i32 = 10_000_000;
const MOST_A_DAY: i32 = 100_000_000;
/// Seconds; a longer pause is an hourly cap.
const LONGEST_DELAY: f64 = 3_600.0;
const LONGEST_WARM_UP: i32 = 365;
const LONGEST_GAP: i32 = 86_400;

/// As stored; nothing set means no such rule.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = accounts)]
pub struct Rules {
    /// Most messages in any 60 minutes.
    pub hourly_cap: Option<i32>,
    /// Most messages in any 24 hours.
    pub daily_cap: Option<i32>,
    /// Seconds of the random pause after a message.
    pub delay_min: Option<f64>,
    pub delay_max: Option<f64>,
    pub warm_up_first: Option<i32>,
    pub warm_up_days: Option<i32>,
    pub warm_up_since: Option<DateTime<Utc>>,
    /// Seconds between two messages to one person.
    pub person_gap: i32,
    pub quiet_from: Option<NaiveTime>,
    pub quiet_until: Option<NaiveTime>,
    /// Quiet hours are those of the recipient's country, not of the company.
    pub quiet_local: bool,
}

impl Rules {
    pub fn quiet(&self) -> Option<Hours> {
        let (from, until) = self.quiet_from.zip(self.quiet_until)?;
        Some(Hours { from, until })
    }

    /// The day of the warm-up that `now` is in, from 1; `None` where there is none, or it is over.
    pub fn warm_up_day(&self, now: DateTime<Utc>) -> Option<i32> {
        let (since, days) = self.warm_up_since.zip(self.warm_up_days)?;
        let passed = i32::try_from((now - since).num_seconds().max(0) / 86_400).ok()?;
        (passed < days - 1).then_some(passed + 1)
    }

    /// How many days pass before the last of `messages` may go.
    fn full_days(&self, messages: i64, now: DateTime<Utc>) -> i64 {
        let Some(cap) = self.daily_cap else { return 0 };
        let (mut left, mut days) = (messages, 0);
        let mut warm_up = self.warm_up_day(now);
        while let Some(day) = warm_up {
            let today = i64::from(self.cap_on(day).unwrap_or(cap)).max(1);
            if left <= today {
                return days;
            }
            left -= today;
            days += 1;
            warm_up = (Some(day + 1) < self.warm_up_days).then_some(day + 1);
        }
        days + (left - 1).max(0) / i64::from(cap)
    }

    /// Most messages on a day of the warm-up, from 1.
    pub fn cap_on(&self, day: i32) -> Option<i32> {
        let cap = self.daily_cap?;
        let Some((first, days)) = self.warm_up_first.zip(self.warm_up_days) else {
            return Some(cap);
        };
        if day >= days {
            return Some(cap);
        }
        let (first, all) = (f64::from(first), f64::from(cap));
        let grown = first * (all / first).powf(f64::from(day - 1) / f64::from(days - 1));
        #[expect(clippy::cast_possible_truncation, reason = "at most the cap")]
        Some((grown + 1e-9).floor() as i32)
    }
}

impl Account {
    /// How long `messages` take at least, in seconds, begun now: at the rate, with the pauses, under the caps.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an estimate for people"
    )]
    pub fn least_seconds(&self, messages: i64, now: DateTime<Utc>) -> i64 {
        let rules = &self.rules;
        let rate = (messages - i64::from(self.burst)).max(0) as f64 / self.per_second;
        let pauses = rules.delay_min.zip(rules.delay_max);
        let pauses = pauses.map_or(0.0, |(short, long)| f64::midpoint(short, long));
        let paused = (messages - 1).max(0) as f64 * pauses;
        let hours = rules
            .hourly_cap
            .map_or(0, |cap| (messages - 1).max(0) / i64::from(cap));
        let days = rules.full_days(messages, now);
        let seconds = rate.max(paused).ceil() as i64;
        seconds.max(hours * 3_600).max(days * 86_400)
    }
}

/// What was typed, or the fault at its field. `is_meta`: its smallest gap is Meta's.
pub(super) fn parse(input: &AccountInput, is_meta: bool, errors: &mut FieldErrors) -> Rules {
    let hourly_cap = cap(
        &input.hourly_cap,
        MOST_AN_HOUR,
        "hourly_cap",
        "The hourly cap is a whole number from 1 to 10,000,000, or nothing for no cap.",
        errors,
    );
    let daily_cap = cap(
        &input.daily_cap,
        MOST_A_DAY,
        "daily_cap",
        "The daily cap is a whole number from 1 to 100,000,000, or nothing for no cap.",
        errors,
    );
    let (delay_min, delay_max) = delays(input, errors);
    let (warm_up_first, warm_up_days) = warm_up(input, daily_cap, errors);
    let (quiet_from, quiet_until) = hours(input, errors);
    Rules {
        hourly_cap,
        daily_cap,
        delay_min,
        delay_max,
        warm_up_first,
        warm_up_days,
        warm_up_since: None,
        person_gap: gap(&input.person_gap, is_meta, errors),
        quiet_from,
        quiet_until,
        quiet_local: input.quiet_zone != "company",
    }
}

fn cap(text: &str, most: i32, field: &str, fault: &str, errors: &mut FieldErrors) -> Option<i32> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let cap = text.parse().ok().filter(|cap| (1..=most).contains(cap));
    if cap.is_none() {
        errors.add(field, fault);
    }
    cap
}

fn delays(input: &AccountInput, errors: &mut FieldErrors) -> (Option<f64>, Option<f64>) {
    let typed = [&input.delay_min, &input.delay_max].map(|text| text.trim().replace(',', "."));
    if typed.iter().all(String::is_empty) {
        return (None, None);
    }
    let read = |text: &str| {
        let seconds: Option<f64> = text.parse().ok();
        seconds.filter(|seconds| (0.0..=LONGEST_DELAY).contains(seconds))
    };
    let [shortest, longest] = typed;
    match (
        read(if shortest.is_empty() { "0" } else { &shortest }),
        read(&longest),
    ) {
        (Some(0.0), Some(0.0)) => (None, None),
        (Some(shortest), Some(longest)) if shortest <= longest => (Some(shortest), Some(longest)),
        (Some(_), Some(_)) => {
            errors.add(
                "delay_max",
                "The longest pause must not be shorter than the shortest.",
            );
            (None, None)
        }
        (shortest, _) => {
            let field = if shortest.is_none() {
                "delay_min"
            } else {
                "delay_max"
            };
            errors.add(field, "A pause is a number of seconds from 0 to 3,600. Enter the shortest and the longest, or neither.");
            (None, None)
        }
    }
}

fn warm_up(
    input: &AccountInput,
    daily_cap: Option<i32>,
    errors: &mut FieldErrors,
) -> (Option<i32>, Option<i32>) {
    let (first, days) = (input.warm_up_first.trim(), input.warm_up_days.trim());
    if first.is_empty() && days.is_empty() {
        return (None, None);
    }
    let Some(cap) = daily_cap else {
        if errors.of("daily_cap").is_empty() {
            errors.add(
                "daily_cap",
                "A warm-up grows to the daily cap: enter one, or leave the warm-up empty.",
            );
        }
        return (None, None);
    };
    let first = first.parse().ok().filter(|first| (1..=cap).contains(first));
    let days = days
        .parse()
        .ok()
        .filter(|days| (2..=LONGEST_WARM_UP).contains(days));
    if first.is_none() {
        errors.add(
            "warm_up_first",
            "The first day of a warm-up has from 1 message to as many as the daily cap.",
        );
    }
    if days.is_none() {
        errors.add("warm_up_days", "A warm-up takes from 2 to 365 days.");
    }
    first.zip(days).unzip()
}

fn hours(input: &AccountInput, errors: &mut FieldErrors) -> (Option<NaiveTime>, Option<NaiveTime>) {
    let (from, until) = (input.quiet_from.trim(), input.quiet_until.trim());
    if from.is_empty() && until.is_empty() {
        return (None, None);
    }
    let read = |text: &str| {
        NaiveTime::parse_from_str(text, "%H:%M")
            .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
            .ok()
    };
    let (from, until) = (read(from), read(until));
    for (time, field) in [(from, "quiet_from"), (until, "quiet_until")] {
        if time.is_none() {
            errors.add(
                field,
                "Enter both times of the quiet hours, for example 20:00 and 08:00, or neither.",
            );
        }
    }
    if from.is_some() && from == until {
        errors.add(
            "quiet_until",
            "Quiet hours must not end when they begin: nothing would ever be sent.",
        );
        return (None, None);
    }
    from.zip(until).unzip()
}

fn gap(text: &str, is_meta: bool, errors: &mut FieldErrors) -> i32 {
    let least = if is_meta { META_GAP } else { 0 };
    let text = text.trim();
    if text.is_empty() {
        return least;
    }
    match text.parse() {
        Ok(gap) if (least..=LONGEST_GAP).contains(&gap) => gap,
        _ if is_meta => {
            errors.add("person_gap", "Between two messages to one person Meta wants at least 6 seconds; at most 86,400 fit.");
            least
        }
        _ => {
            errors.add(
                "person_gap",
                "The gap is a whole number of seconds from 0 to 86,400.",
            );
            least
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &AccountInput) -> (Rules, FieldErrors) {
        let mut errors = FieldErrors::default();
        let rules = parse(input, false, &mut errors);
        (rules, errors)
    }

    #[test]
    fn pace_nothing_typed_is_no_rule() {
        let (rules, errors) = read(&AccountInput::default());
        assert!(errors.is_empty());
        assert_eq!(
            (
                rules.hourly_cap,
                rules.daily_cap,
                rules.delay_max,
                rules.warm_up_first,
                rules.quiet()
            ),
            (None, None, None, None, None)
        );
        assert_eq!(rules.person_gap, 0);
        assert_eq!(
            parse(&AccountInput::default(), true, &mut FieldErrors::default()).person_gap,
            6
        );
    }

    #[test]
    fn pace_every_fault_stands_at_its_field() {
        let faults: [(&str, AccountInput); 10] = [
            (
                "hourly_cap",
                AccountInput {
                    hourly_cap: "0".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "daily_cap",
                AccountInput {
                    daily_cap: "many".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "delay_min",
                AccountInput {
                    delay_min: "-1".into(),
                    delay_max: "3".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "delay_max",
                AccountInput {
                    delay_min: "5".into(),
                    delay_max: "2".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "delay_max",
                AccountInput {
                    delay_min: "5".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "daily_cap",
                AccountInput {
                    warm_up_first: "20".into(),
                    warm_up_days: "14".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "warm_up_first",
                AccountInput {
                    daily_cap: "10".into(),
                    warm_up_first: "20".into(),
                    warm_up_days: "14".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "warm_up_days",
                AccountInput {
                    daily_cap: "100".into(),
                    warm_up_first: "20".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "quiet_until",
                AccountInput {
                    quiet_from: "20:00".into(),
                    quiet_until: "20:00".into(),
                    ..AccountInput::default()
                },
            ),
            (
                "quiet_from",
                AccountInput {
                    quiet_from: "8 pm".into(),
                    quiet_until: "08:00".into(),
                    ..AccountInput::default()
                },
            ),
        ];
        for (field, input) in faults {
            let (_, errors) = read(&input);
            assert!(!errors.of(field).is_empty(), "{field}: {input:?}");
        }
    }

    #[test]
    fn pace_a_warm_up_grows_from_its_first_day_to_the_cap() {
        let (rules, errors) = read(&AccountInput {
            daily_cap: "2400".into(),
            warm_up_first: "20".into(),
            warm_up_days: "14".into(),
            ..AccountInput::default()
        });
        assert!(errors.is_empty());
        let caps: Vec<_> = (1..=15).filter_map(|day| rules.cap_on(day)).collect();
        assert_eq!((caps[0], caps[13], caps[14]), (20, 2400, 2400));
        assert!(caps.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}
