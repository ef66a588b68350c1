//! How an account stands, in words: what holds its messages, how full its caps are, how fast it goes.
//!
//! Invariant: one wording for the account's page, the page of a mailing and that of a message. Reads facts,
//! decides nothing.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::accounts::{self, Rules};
use crate::auth::Role;
use crate::companies;
use crate::error::Result;
use crate::ids::AccountId;
use crate::outgoing::pace::{self, Cap, Gates, Standing};
use crate::outgoing::reach::{self, Room};
use crate::text::zones;
use crate::web::page::Shell;
use crate::web::visit::Visit;

/// After so long an account has its own pace again, whatever slowed it down.
const LATELY: TimeDelta = TimeDelta::minutes(30);

/// An account's pace at the moment it was asked.
#[derive(Debug, Clone)]
pub struct Pace {
    pub standing: Standing,
    pub rules: Rules,
    /// The owner's.
    zone: Tz,
    /// The company's quiet hours last until then.
    pub quiet_until: Option<DateTime<Utc>>,
    /// The trouble that slowed it down lately, where it was no rate error.
    slowed_why: Option<String>,
    /// Of an account at Meta: the limit of people in 24 hours.
    pub reach: Option<Room>,
    /// Whoever looks may see how much of its caps is used.
    figures: bool,
}

/// What holds every mailing of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub lead: String,
    pub until: DateTime<Utc>,
    pub more: String,
}

/// A cap and how much of it is used.
pub struct Bar {
    pub label: String,
    pub used: i64,
    pub cap: i64,
    pub figure: String,
}

impl Pace {
    /// An account may be shared: its pace is its owner's, whoever looks. The caller has seen what is sent
    /// through it; of an account that is kept for others they are told what holds messages, and no figures.
    pub async fn load(visit: &Visit, id: AccountId) -> Result<Option<Self>> {
        let now = visit.app.clock.now();
        let mut conn = visit.app.db.system().await?;
        let Some(standing) = pace::standing(&mut conn, id).await? else {
            return Ok(None);
        };
        let account = accounts::query::find(&mut conn, id).await?;
        let zone = companies::find(&mut conn, account.company_id).await?.zone();
        let figures = visit.role >= Role::Administrator
            || accounts::query::is_allowed(&mut conn, id, visit.user).await?;
        let sending = accounts::sending::of(&mut conn, id).await?;
        let lately = sending.slowed_at.is_some_and(|at| now - at < LATELY);
        let reach = if account.is_meta() {
            reach::room(&mut conn, account.company_id).await?
        } else {
            None
        };
        let quiet_until = Gates::of(&account.rules, zone, now).mailings_until;
        Ok(Some(Self {
            standing,
            rules: account.rules,
            zone,
            quiet_until,
            slowed_why: sending.slowed_why.filter(|_| lately),
            reach,
            figures,
        }))
    }

    /// What holds mailings now, beside the gateway itself.
    pub fn hold(&self, shell: &Shell) -> Option<Hold> {
        if let Some(until) = self.quiet_until {
            return Some(Hold {
                lead: shell.tf("pace.quiet", &[shell.date(&until)]),
                until,
                more: shell.tf("pace.quiet_more", &self.hours()),
            });
        }
        if let Some(room) = self.reach.filter(|room| room.left() == 0)
            && let Some(until) = room.again_at
        {
            return Some(Hold {
                lead: shell.tf(
                    "pace.reached",
                    &[shell.number(room.limit), shell.date(&until)],
                ),
                until,
                more: shell.t("pace.reached_more"),
            });
        }
        let until = self.standing.capped_until?;
        let (key, cap) = match self.standing.full()? {
            Cap::Day => ("pace.full_day", self.standing.day_cap),
            Cap::Hour => ("pace.full_hour", self.standing.hourly_cap),
        };
        let cap = shell.number(i64::from(cap.unwrap_or_default()));
        Some(Hold {
            lead: shell.tf(key, &[cap, shell.date(&until)]),
            until,
            more: self.warm_up(shell),
        })
    }

    /// "20:00", "08:00".
    fn hours(&self) -> [String; 2] {
        let hours = self.rules.quiet();
        let time = |time: chrono::NaiveTime| time.format("%H:%M").to_string();
        hours.map_or_else(Default::default, |hours| {
            [time(hours.from), time(hours.until)]
        })
    }

    /// "Day 3 of 14 of the warm-up."; empty where there is none.
    pub fn warm_up(&self, shell: &Shell) -> String {
        let day = self.rules.warm_up_day(shell.now);
        day.zip(self.rules.warm_up_days)
            .map_or_else(String::new, |(day, days)| {
                let (day, days) = (shell.number(i64::from(day)), shell.number(i64::from(days)));
                shell.tf("pace.warm_up", &[day, days])
            })
    }

    /// Why the next one does not go this instant, though messages leave.
    pub fn pause(&self, shell: &Shell) -> Option<String> {
        let (shortest, longest) = self.rules.delay_min.zip(self.rules.delay_max)?;
        self.standing.pausing.then(|| {
            let seconds = |seconds: f64| format!("{}", (seconds * 10.0).round() / 10.0);
            shell.tf("pace.pause", &[seconds(shortest), seconds(longest)])
        })
    }

    /// What else is good to know: the caps, being slowed down, quiet hours to come.
    pub fn notes(&self, shell: &Shell) -> Vec<String> {
        let bars = self.bars(shell).into_iter();
        let caps = bars.map(|bar| format!("{} {}.", bar.label, bar.figure));
        caps.chain(self.asides(shell)).collect()
    }

    /// The same without the caps.
    pub fn asides(&self, shell: &Shell) -> Vec<String> {
        let mut notes = Vec::new();
        if self.standing.slow < 0.995 {
            let percent = (self.standing.slow * 100.0).round();
            notes.push(match &self.slowed_why {
                Some(why) => shell.tf(
                    "pace.slowed_trouble",
                    &[format!("{percent}"), shell.say(why)],
                ),
                None => shell.tf("pace.slowed", &[format!("{percent}")]),
            });
        }
        if self.rules.quiet().is_some() && self.quiet_until.is_none() {
            let whose = if self.rules.quiet_local {
                "pace.quiet_there"
            } else {
                "pace.quiet_here"
            };
            notes.push(shell.tf(whose, &self.hours()));
        }
        notes
    }

    /// The caps, the hour's first.
    pub fn bars(&self, shell: &Shell) -> Vec<Bar> {
        if !self.figures {
            return Vec::new();
        }
        let standing = &self.standing;
        [
            (
                "pace.hour",
                standing.hour,
                standing.hourly_cap.map(i64::from),
            ),
            ("pace.day", standing.day, standing.day_cap.map(i64::from)),
            (
                "pace.people",
                self.reach.map(|room| room.used),
                self.reach.map(|room| room.limit),
            ),
        ]
        .into_iter()
        .filter_map(|(label, used, cap)| {
            let (used, cap) = (used?, cap?);
            let figures = [shell.number(used), shell.number(cap)];
            Some(Bar {
                label: shell.t(label),
                used: used.min(cap),
                cap,
                figure: shell.tf("pace.of", &figures),
            })
        })
        .collect()
    }

    /// "It is 22:10 there (Madrid)."; of the country of the number, else of the company.
    pub fn there(&self, shell: &Shell, number: &str) -> String {
        let zone = zones::of_number(number)
            .first()
            .copied()
            .unwrap_or(self.zone);
        let time = shell.now.with_timezone(&zone).format("%H:%M").to_string();
        let city = zone
            .name()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .replace('_', " ");
        shell.tf("pace.there", &[time, city])
    }
}
