//! How far a mailing is: figures, what gates the next message, what went wrong and who was left out.
//! Part of the mailing's page, and by itself what the page asks for while it sends.
//!
//! Invariant: every figure is counted from the messages and leads to exactly those rows.

use actix_web::web;
use askama::Template;
use askama::filters::HtmlSafe;
use diesel_async::AsyncPgConnection;

use super::preview::duration;
use super::{again, fragment_shell};
use crate::error::Result;
use crate::ids::MailingId;
use crate::mailings::query::Facts;
use crate::mailings::{Mailing, State, query};
use crate::outgoing::open::{self, Batch};
use crate::outgoing::query::{Counts, counts, reasons};
use crate::web::badges;
use crate::web::error::WebResult;
use crate::web::page::{Shell, html};
use crate::web::pieces::{Figures, Progress};
use crate::web::visit::Visit;

/// What the next message waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Gate {
    icon: &'static str,
    lead: String,
    more: String,
}

/// What may hold messages beside their account.
struct Held {
    /// This copy may send at all.
    sending: bool,
    /// Where something rests until the next batch is opened.
    batch: Option<Batch>,
}

/// One figure over its word.
struct Smart {
    href: String,
    icon: &'static str,
    figure: String,
    word: &'static str,
}

/// People of one cause.
struct Cause {
    count: i64,
    title: String,
    hint: String,
    href: String,
    /// What may be done about it: a word and where it is asked.
    ways: Vec<(&'static str, String)>,
}

/// The part of the page that changes by itself.
#[derive(Template)]
#[template(path = "mailings/progress.html")]
pub struct Standing {
    shell: Shell,
    mailing: Mailing,
    facts: Facts,
    counts: Counts,
    figures: Figures,
    gate: Gate,
    wrong: Vec<Cause>,
    left_out: Vec<Cause>,
}

impl HtmlSafe for Standing {}

impl Standing {
    pub async fn load(
        conn: &mut AsyncPgConnection,
        shell: &Shell,
        mailing: &Mailing,
        sending: bool,
    ) -> Result<Self> {
        let facts = query::facts(conn, mailing.id).await?;
        let counts = counts(conn, mailing.id).await?;
        let (mut wrong, mut left_out) = (Vec::new(), Vec::new());
        for (state, code, count) in reasons(conn, mailing.id).await? {
            let mut cause = cause(shell, mailing.id, &state, &code, count);
            if state == "uncertain" && code != "handed_over" {
                cause.ways = again::ways(shell.role, mailing);
            }
            if state == "skipped" {
                left_out.push(cause);
            } else {
                wrong.push(cause);
            }
        }
        let batch = match mailing.state() {
            State::Sending => open::batch(conn, mailing.account_id, mailing.id).await?,
            _ => None,
        };
        let held = Held {
            sending,
            batch: batch.filter(|batch| batch.rests),
        };
        Ok(Self {
            gate: gate(shell, mailing, &facts, &counts, &held),
            figures: figures(&counts),
            shell: shell.clone(),
            mailing: mailing.clone(),
            facts,
            counts,
            wrong,
            left_out,
        })
    }

    pub fn uncertain(&self) -> i64 {
        self.figures.uncertain
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Where the rows of a state are; the state's name is added.
    fn rows(&self) -> String {
        format!("/outgoing?mailing={}&f=", self.mailing.id)
    }

    fn bar(&self) -> Progress<'_> {
        Progress::new(&self.shell, &self.figures, self.rows())
    }

    fn smart(&self) -> Vec<Smart> {
        let rows = self.rows();
        let shell = &self.shell;
        let one = |state: &str, icon, figure: i64, word| Smart {
            href: format!("{rows}{state}"),
            icon,
            figure: shell.number(figure),
            word,
        };
        let logs: String =
            url::form_urlencoded::byte_serialize(self.mailing.subject.as_bytes()).collect();
        vec![
            Smart {
                href: format!("/outgoing?mailing={}", self.mailing.id),
                ..one("", "users", self.counts.total(), "mailings.recipients")
            },
            one(
                "sent&f=delivered&f=read",
                "send",
                self.counts.sent(),
                "state.message.sent",
            ),
            one(
                "delivered&f=read",
                "checks",
                self.counts.delivered(),
                "state.message.delivered",
            ),
            one("read", "eye", self.figures.read, "state.message.read"),
            one(
                "failed",
                "alert-circle",
                self.figures.failed,
                "state.message.failed",
            ),
            one(
                "uncertain",
                "help-circle",
                self.figures.uncertain,
                "state.message.uncertain",
            ),
            one(
                "skipped",
                "user-off",
                self.figures.skipped,
                "state.message.skipped",
            ),
            Smart {
                href: format!("/logs?q={logs}"),
                icon: "history",
                figure: shell.number(self.facts.logs),
                word: "menu.logs",
            },
        ]
    }

    fn wrong_count(&self) -> i64 {
        self.wrong.iter().map(|cause| cause.count).sum()
    }

    fn left_out_count(&self) -> i64 {
        self.left_out.iter().map(|cause| cause.count).sum()
    }
}

fn figures(counts: &Counts) -> Figures {
    Figures {
        read: counts.of("read"),
        delivered: counts.of("delivered"),
        sent: counts.of("accepted") + counts.of("sent"),
        failed: counts.failed(),
        uncertain: counts.of("uncertain"),
        handed_over: counts.handed_over(),
        queued: counts.open(),
        skipped: counts.of("skipped"),
        canceled: counts.of("canceled"),
    }
}

fn cause(shell: &Shell, id: MailingId, state: &str, code: &str, count: i64) -> Cause {
    let vocabulary = if state == "skipped" { "skip" } else { "code" };
    let word = badges::word(shell.lang, vocabulary, code);
    let title = match state {
        "expired" => badges::word(shell.lang, "message", state),
        // The same code may stand for what failed.
        "uncertain" => format!("{}: {word}", badges::word(shell.lang, "message", state)),
        _ => word,
    };
    let key = format!("code_hint.{code}");
    let hint = shell.t(&key);
    let filter = match (state, code) {
        ("skipped", "opted_out" | "list_opted_out") => "opted_out",
        ("skipped", "invalid_number" | "no_number") => "invalid",
        ("skipped", "duplicate") => "duplicate",
        ("skipped", "blacklisted") => "blacklisted",
        ("expired", _) => "failed",
        (state, _) => state,
    };
    Cause {
        count,
        title,
        hint: if hint == key || state == "expired" {
            String::new()
        } else {
            hint
        },
        href: format!("/outgoing?mailing={id}&f={filter}"),
        ways: Vec::new(),
    }
}

fn gate(shell: &Shell, mailing: &Mailing, facts: &Facts, counts: &Counts, held: &Held) -> Gate {
    let say = |icon, lead: String, more: String| Gate { icon, lead, more };
    let reason = shell.say(mailing.state_reason.as_deref().unwrap_or_default());
    let date = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map(|at| shell.date(&at)).unwrap_or_default()
    };
    match mailing.state() {
        State::Draft => Gate::default(),
        State::Submitted => {
            let due = mailing.schedule_date.is_some_and(|at| at <= shell.now);
            let lead = if due {
                shell.t("mailings.gate.due")
            } else {
                shell.tf("mailings.gate.scheduled", &[date(mailing.schedule_date)])
            };
            let more = stopped(shell, facts, held.sending).unwrap_or_default();
            say("calendar-clock", lead, more)
        }
        State::Missed => say("clock-exclamation", shell.t("mailings.gate.missed"), reason),
        State::Paused => {
            let waiting = shell.tn("mailings.gate.waiting", counts.open());
            say(
                "player-pause",
                shell.t("mailings.gate.paused"),
                if reason.is_empty() { waiting } else { reason },
            )
        }
        State::Sending => match (stopped(shell, facts, held.sending), &held.batch) {
            (Some(why), _) => say("alert-circle", shell.t("mailings.gate.stopped"), why),
            (None, _) if !mailing.release_done => say(
                "loader-2",
                shell.t("mailings.gate.preparing"),
                shell.t("mailings.gate.preparing_more"),
            ),
            (None, _) if counts.open() == 0 && counts.handed_over() > 0 => say(
                "hourglass",
                shell.tn("mailings.gate.handed_over", counts.handed_over()),
                shell.t("mailings.gate.handed_over_more"),
            ),
            (None, Some(batch)) if batch.opened == 0 => say(
                "hourglass",
                enqueue(shell, batch),
                shell.tn("mailings.gate.waiting", counts.of("queued")),
            ),
            (None, Some(batch)) => say("hourglass", pace(shell, facts), enqueue(shell, batch)),
            (None, None) => say("hourglass", pace(shell, facts), left(shell, facts, counts)),
        },
        State::Canceled => say(
            "ban",
            shell.t("mailings.gate.canceled"),
            if mailing.released() {
                shell.tn("mailings.gate.kept_back", counts.of("canceled"))
            } else {
                String::new()
            },
        ),
        State::Done | State::PartialFailure | State::Failed => say(
            "circle-check",
            shell.tf("mailings.gate.finished", &[date(mailing.finished_at)]),
            reason,
        ),
    }
}

/// Why nothing leaves, when something holds all of it.
fn stopped(shell: &Shell, facts: &Facts, sending: bool) -> Option<String> {
    if !sending {
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

/// What opens the next batch.
fn enqueue(shell: &Shell, batch: &Batch) -> String {
    if batch.active {
        shell.tf("mailings.gate.enqueue", &[shell.date(&batch.next_run)])
    } else {
        shell.t("mailings.gate.enqueue_off")
    }
}

/// "About 15 a minute", or an hour where it is less than one a minute.
fn pace(shell: &Shell, facts: &Facts) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a figure for people")]
    let whole = |value: f64| value.round().clamp(0.0, 1e9) as i64;
    let minute = facts.per_second * 60.0;
    if minute >= 1.0 {
        shell.tf("mailings.gate.minute", &[shell.number(whole(minute))])
    } else {
        shell.tf("mailings.gate.hour", &[shell.number(whole(minute * 60.0))])
    }
}

fn left(shell: &Shell, facts: &Facts, counts: &Counts) -> String {
    if counts.open() == 0 || facts.per_second <= 0.0 {
        return shell.t("mailings.gate.last");
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an estimate for people"
    )]
    let seconds = (counts.open() as f64 / facts.per_second).ceil().min(1e12) as i64;
    shell.tf("mailings.gate.left", &[duration(shell, seconds)])
}

/// Whether a page of this state changes by itself.
pub fn is_live(state: State) -> bool {
    matches!(state, State::Submitted | State::Sending | State::Paused)
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct From {
    /// The state of the page that asks; its buttons belong to that one.
    from: String,
}

/// Settled: the page that asks stands for another state than the mailing is in, or nothing follows.
pub async fn fragment(visit: Visit, id: web::Path<i64>, from: web::Query<From>) -> WebResult {
    let mut conn = visit.conn().await?;
    let mailing = query::find(&mut conn, MailingId(*id)).await?;
    let shell = fragment_shell(&visit)?;
    let standing = Standing::load(&mut conn, &shell, &mailing, visit.app.config.sending).await?;
    let changed = !from.from.is_empty() && from.from != mailing.state;
    let mut answer = html(standing);
    if changed || !is_live(mailing.state()) {
        answer.headers_mut().insert(
            actix_web::http::header::HeaderName::from_static("x-settled"),
            actix_web::http::header::HeaderValue::from_static("1"),
        );
    }
    Ok(answer)
}
