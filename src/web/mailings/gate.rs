//! What the next message of a mailing waits for: one line, the strongest reason first.
//!
//! Invariant: it names what holds *everything* back; where messages leave it says at which pace. Reads
//! facts, decides nothing.

use chrono::{DateTime, TimeDelta, Utc};

use crate::instances::Instance;
use crate::mailings::query::Facts;
use crate::mailings::{Mailing, State};
use crate::outgoing::open::Batch;
use crate::outgoing::pace::Moment;
use crate::outgoing::query::Counts;
use crate::outgoing::tally::Held;
use crate::web::badges;
use crate::web::pace::Pace;
use crate::web::page::Shell;

/// A process that said nothing for so long is taken for gone.
const SILENT: TimeDelta = TimeDelta::seconds(12);
/// Messages are normally in a deliverer's hands for less.
const LONG_HELD: TimeDelta = TimeDelta::seconds(5);
/// Until then nobody needs to be told.
const SOON: TimeDelta = TimeDelta::seconds(3);

/// The line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    pub icon: &'static str,
    pub lead: String,
    /// Counted down after the lead.
    pub until: Option<DateTime<Utc>>,
    pub more: String,
}

/// All that may hold messages of a mailing.
pub struct Holds<'a> {
    pub shell: &'a Shell,
    pub mailing: &'a Mailing,
    pub facts: &'a Facts,
    pub counts: &'a Counts,
    /// This copy may send at all.
    pub sending: bool,
    /// Where something rests until the next batch is opened.
    pub batch: Option<Batch>,
    /// `None` where nothing was ever sent through its account.
    pub pace: Option<Pace>,
    pub held: Option<Held>,
    /// The own moment of the first of the queue, where it has not come.
    pub later: Option<(DateTime<Utc>, Moment)>,
    pub instances: Vec<Instance>,
    /// When it should be over, in words.
    pub left: String,
}

impl Holds<'_> {
    pub fn gate(&self) -> Gate {
        let Self { shell, mailing, .. } = self;
        let reason = shell.say(mailing.state_reason.as_deref().unwrap_or_default());
        match mailing.state() {
            State::Draft => Gate::default(),
            State::Submitted => self.submitted(),
            State::Missed => say("clock-exclamation", shell.t("mailings.gate.missed"), reason),
            State::Paused => self.paused(reason),
            State::Sending => self
                .everything()
                .or_else(|| self.hands())
                .or_else(|| self.later())
                .unwrap_or_else(|| self.moves()),
            State::Canceled => {
                let kept = self.counts.of("canceled");
                let released = mailing.released();
                let more = released.then(|| shell.tn("mailings.gate.kept_back", kept));
                let lead = shell.t("mailings.gate.canceled");
                say("ban", lead, more.unwrap_or_default())
            }
            State::Done | State::PartialFailure | State::Failed => {
                let lead = shell.tf("mailings.gate.finished", &[self.date(mailing.finished_at)]);
                say("circle-check", lead, reason)
            }
        }
    }

    fn date(&self, at: Option<DateTime<Utc>>) -> String {
        at.map_or_else(String::new, |at| self.shell.date(&at))
    }

    fn submitted(&self) -> Gate {
        let date = self.mailing.schedule_date;
        let lead = if date.is_some_and(|at| at <= self.shell.now) {
            self.shell.t("mailings.gate.due")
        } else {
            self.shell.tf("mailings.gate.scheduled", &[self.date(date)])
        };
        say("calendar-clock", lead, self.stopped().unwrap_or_default())
    }

    fn paused(&self, reason: String) -> Gate {
        let waiting = self.shell.tn("mailings.gate.waiting", self.counts.open());
        let why = if reason.is_empty() { waiting } else { reason };
        let account = self.stopped().unwrap_or_default();
        let more = format!("{why} {account}").trim().to_owned();
        say("player-pause", self.shell.t("mailings.gate.paused"), more)
    }

    /// Nothing leaves at all.
    fn everything(&self) -> Option<Gate> {
        let shell = self.shell;
        if let Some(why) = self.stopped() {
            let lead = shell.t("mailings.gate.stopped");
            return Some(say("alert-circle", lead, why));
        }
        if let Some(seen) = self.nobody_sends() {
            let more = shell.tf("mailings.gate.nobody_more", &[shell.date(&seen)]);
            return Some(say("alert-circle", shell.t("mailings.gate.nobody"), more));
        }
        if !self.mailing.release_done {
            let lead = shell.t("mailings.gate.preparing");
            return Some(say(
                "loader-2",
                lead,
                shell.t("mailings.gate.preparing_more"),
            ));
        }
        let pace = self.pace.as_ref()?;
        let Some(until) = pace.standing.blocked_until else {
            let hold = pace.hold(shell)?;
            return Some(Gate {
                until: Some(hold.until),
                ..say("clock-exclamation", hold.lead, hold.more)
            });
        };
        let why = shell.say(pace.standing.blocked_reason.as_deref().unwrap_or_default());
        if pace.standing.probing {
            let lead = shell.t("mailings.gate.probing");
            return Some(say("hourglass", lead, shell.say(&self.facts.health_reason)));
        }
        let lead = shell.tf("mailings.gate.blocked", &[shell.date(&until)]);
        Some(Gate {
            until: Some(until),
            ..say("clock-exclamation", lead, why)
        })
    }

    /// Nothing waits any more; it is in somebody's hands.
    fn hands(&self) -> Option<Gate> {
        let (shell, counts) = (self.shell, self.counts);
        if counts.of("queued") > 0 {
            return None;
        }
        let held = self.held.as_ref();
        if let Some(held) = held.filter(|held| held.claimed + held.sending > 0) {
            let count = held.claimed + held.sending;
            return Some(match self.gone(held) {
                Some(name) => {
                    let lead = shell.tn("mailings.gate.gone", count);
                    let begun = held
                        .uncertain_at
                        .map(|at| shell.tf("mailings.gate.gone_begun", &[shell.date(&at)]));
                    let back = held
                        .back_at
                        .map(|at| shell.tf("mailings.gate.gone_back", &[shell.date(&at)]));
                    let name = shell.tf("mailings.gate.gone_name", &[name]);
                    let more = [Some(name), back, begun].into_iter().flatten();
                    say("alert-circle", lead, more.collect::<Vec<_>>().join(" "))
                }
                None => {
                    let lead = shell.tn("mailings.gate.answers", count);
                    say("hourglass", lead, shell.t("mailings.gate.answers_more"))
                }
            });
        }
        (counts.handed_over() > 0).then(|| {
            let lead = shell.tn("mailings.gate.handed_over", counts.handed_over());
            say("hourglass", lead, shell.t("mailings.gate.handed_over_more"))
        })
    }

    /// The first of the queue waits for a moment of its own.
    fn later(&self) -> Option<Gate> {
        let (at, why) = self.later.filter(|(at, _)| *at > self.shell.now + SOON)?;
        let lead = self
            .shell
            .tf("mailings.gate.later", &[self.shell.date(&at)]);
        let more = match why {
            Moment::Quiet => "mailings.gate.later_quiet",
            Moment::Gap => "mailings.gate.later_gap",
            Moment::Retry => "mailings.gate.later_more",
        };
        Some(Gate {
            until: Some(at),
            ..say("hourglass", lead, self.shell.t(more))
        })
    }

    /// Messages leave.
    fn moves(&self) -> Gate {
        let shell = self.shell;
        let pace = shell.tf("mailings.gate.pace", &[rate(shell, self.facts.per_second)]);
        let batch = self.batch.as_ref().map(|batch| self.enqueue(batch));
        if let Some(batch) = self.batch.as_ref().filter(|batch| batch.opened == 0) {
            let waiting = shell.tn("mailings.gate.waiting", self.counts.of("queued"));
            return say("hourglass", self.enqueue(batch), waiting);
        }
        let others = self.facts.others;
        let shares = (others > 0).then(|| shell.tn("mailings.gate.shares", others));
        let rest = batch.or(Some(self.left.clone()));
        if self.facts.pulled {
            let lead = match self.facts.pulled_at {
                Some(at) => shell.tf("mailings.gate.pulled", &[shell.date(&at)]),
                None => shell.t("mailings.gate.pulled_never"),
            };
            let more = [shares, rest].into_iter().flatten();
            return say("hourglass", lead, more.collect::<Vec<_>>().join(" "));
        }
        let notes = self.pace.iter().flat_map(|pace| pace.notes(shell));
        let next = self.pace.as_ref().map(|pace| pace.standing.next_at);
        if let Some(next) = next.filter(|next| *next > shell.now + SOON) {
            let pause = self.pace.as_ref().and_then(|held| held.pause(shell));
            let more = [pause.or(Some(pace)), shares, rest].into_iter().flatten();
            return Gate {
                until: Some(next),
                ..say(
                    "hourglass",
                    shell.t("mailings.gate.next"),
                    more.chain(notes).collect::<Vec<_>>().join(" "),
                )
            };
        }
        let more = [shares, rest].into_iter().flatten().chain(notes);
        say("hourglass", pace, more.collect::<Vec<_>>().join(" "))
    }

    /// Why nothing leaves, when something holds all of it.
    pub fn stopped(&self) -> Option<String> {
        let (shell, facts) = (self.shell, self.facts);
        if !self.sending {
            return Some(shell.t("mailings.gate.off"));
        }
        if facts.health == "running" {
            return None;
        }
        let state = badges::word(shell.lang, "health", &facts.health);
        let said = shell.tf("mailings.gate.account", &[facts.account.clone(), state]);
        let why = shell.say(&facts.health_reason);
        let next = facts.health_retry_at.map_or(String::new(), |at| {
            shell.tf("accounts.next_try", &[shell.date(&at)])
        });
        Some(format!("{said} {why} {next}").trim().to_owned())
    }

    /// When the last process that sends was seen, where all are gone. None was ever seen: nobody knows.
    fn nobody_sends(&self) -> Option<DateTime<Utc>> {
        let mut last = None;
        for one in self.instances.iter().filter(|one| one.role != "web") {
            if !self.silent(one) {
                return None;
            }
            last = last.max(Some(one.seen_at));
        }
        last
    }

    fn silent(&self, one: &Instance) -> bool {
        self.shell.now - one.seen_at > SILENT
    }

    /// The process that ended without a word while these were in its hands.
    fn gone(&self, held: &Held) -> Option<String> {
        let since = held.since?;
        if self.shell.now - since < LONG_HELD {
            return None;
        }
        self.instances
            .iter()
            .filter(|one| one.role != "web" && self.silent(one) && one.seen_at >= since - SILENT)
            .max_by_key(|one| one.seen_at)
            .map(|one| one.name.clone())
    }

    /// What opens the next batch.
    fn enqueue(&self, batch: &Batch) -> String {
        if batch.active {
            let next = self.shell.date(&batch.next_run);
            self.shell.tf("mailings.gate.enqueue", &[next])
        } else {
            self.shell.t("mailings.gate.enqueue_off")
        }
    }
}

fn say(icon: &'static str, lead: String, more: String) -> Gate {
    Gate {
        icon,
        lead,
        until: None,
        more,
    }
}

/// "80 a second", "15 a minute", "40 an hour": in the unit in which it is a number people see.
pub fn rate(shell: &Shell, per_second: f64) -> String {
    let (value, unit) = match per_second {
        rate if rate >= 5.0 => (rate, "second"),
        rate if rate * 60.0 >= 1.0 => (rate * 60.0, "minute"),
        rate => (rate * 3_600.0, "hour"),
    };
    #[expect(clippy::cast_possible_truncation, reason = "a figure for people")]
    let whole = value.round().clamp(0.0, 1e9) as i64;
    shell.tf(&format!("mailings.rate.{unit}"), &[shell.number(whole)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Lang;

    #[test]
    fn gate_a_rate_is_told_in_a_unit_people_see() {
        let shell = Shell::signed_out(Lang::En, DateTime::<Utc>::default());
        assert_eq!(rate(&shell, 80.4), "80 a second");
        assert_eq!(rate(&shell, 7_250.0), "7,250 a second");
        assert_eq!(rate(&shell, 0.25), "15 a minute");
        assert_eq!(rate(&shell, 0.01), "36 an hour");
        assert_eq!(rate(&shell, 0.0), "0 an hour");
    }
}
