//! Who of a mailing is waiting, and why: in groups that add up to what is open, and the first of the queue.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncPgConnection;

use crate::error::Result;
use crate::mailings::{Mailing, State};
use crate::outgoing::query::Counts;
use crate::outgoing::tally::{self, InLine, Tally};
use crate::text::phone;
use crate::web::page::Shell;

/// How many of the queue are named.
const NAMED: i64 = 5;

/// People who wait for the same.
struct Group {
    count: i64,
    title: String,
    why: String,
    /// The filter of Outgoing.
    filter: &'static str,
}

/// One of the first in the queue.
struct Next {
    href: String,
    name: String,
    number: String,
    when: String,
}

#[derive(Template)]
#[template(path = "mailings/waiting.html")]
pub struct Waiting {
    shell: Shell,
    mailing: Mailing,
    groups: Vec<Group>,
    next: Vec<Next>,
}

impl HtmlSafe for Waiting {}

impl Waiting {
    /// `None` where nobody waits. `per_second`: at what pace they leave; 0 where nothing does.
    pub async fn load(
        conn: &mut AsyncPgConnection,
        shell: &Shell,
        mailing: &Mailing,
        tally: &Tally,
        batched: bool,
        per_second: f64,
    ) -> Result<Option<Self>> {
        let groups = groups(shell, mailing, tally, batched);
        if groups.is_empty() || !matches!(mailing.state(), State::Sending | State::Paused) {
            return Ok(None);
        }
        let first = tally::in_line(conn, mailing.id, NAMED).await?;
        let next = (1..)
            .zip(first)
            .map(|(place, one)| next(shell, mailing, one, place, per_second))
            .collect();
        Ok(Some(Self {
            shell: shell.clone(),
            mailing: mailing.clone(),
            groups,
            next,
        }))
    }

    fn count(&self) -> i64 {
        self.groups.iter().map(|group| group.count).sum()
    }

    fn rows(&self, group: &Group) -> String {
        format!("/outgoing?mailing={}&f={}", self.mailing.id, group.filter)
    }
}

fn groups(shell: &Shell, mailing: &Mailing, tally: &Tally, batched: bool) -> Vec<Group> {
    let counts: Counts = tally.counts();
    let paused = mailing.state() == State::Paused;
    // Opening means something only where the account sends in batches.
    let (ready, closed) = match (tally.waiting("ready"), tally.waiting("closed")) {
        (ready, closed) if batched => (ready, closed),
        (ready, closed) => (ready + closed, 0),
    };
    let processing = counts.of("claimed") + counts.of("sending");
    let turn = if paused { "paused" } else { "ready" };
    [
        (processing, "processing", "queued"),
        (ready, turn, "queued"),
        (tally.waiting("quiet"), "quiet", "queued"),
        (tally.waiting("later"), "later", "queued"),
        (closed, if paused { "paused" } else { "closed" }, "queued"),
        (counts.handed_over(), "handed_over", "handed_over"),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, kind, filter)| Group {
        count,
        title: shell.t(&format!("mailings.wait.{kind}")),
        why: shell.t(&format!("mailings.wait.{kind}_why")),
        filter,
    })
    .collect()
}

/// When somebody's turn comes: told where one can wait for it.
fn next(shell: &Shell, mailing: &Mailing, one: InLine, place: i32, per_second: f64) -> Next {
    let when = match one.not_before {
        _ if mailing.state() == State::Paused => shell.t("mailings.wait.when_resumed"),
        Some(at) if one.code.as_deref() == Some("quiet_hours") => {
            shell.tf("mailings.wait.quiet_until", &[shell.date(&at)])
        }
        Some(at) => shell.tf("mailings.wait.not_before", &[shell.date(&at)]),
        None if per_second > 0.0 && per_second <= 1.0 => {
            shell.tf("mailings.wait.about", &[turn(shell, place, per_second)])
        }
        None => shell.t("mailings.wait.in_turn"),
    };
    Next {
        href: format!("/outgoing/{}", one.id),
        number: phone::display_digits(&one.number),
        name: one.name,
        when,
    }
}

fn turn(shell: &Shell, place: i32, per_second: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "some seconds or hours")]
    let seconds = (f64::from(place) / per_second).min(1e9) as i64;
    let at: DateTime<Utc> = shell.now + TimeDelta::seconds(seconds);
    at.with_timezone(&shell.zone).format("%H:%M:%S").to_string()
}
