//! How far a mailing is: figures, what gates the next message, what went wrong, who waits and who was left
//! out. Part of the mailing's page, and by itself what the page asks for while it changes.
//!
//! Invariant: every figure is counted from the messages in one statement and leads to exactly those rows.

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web;
use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncPgConnection;

use super::curve::Chart;
use super::gate::{Gate, Holds, rate};
use super::preview::duration;
use super::waiting::Waiting;
use super::{again, fragment_shell};
use crate::app::App;
use crate::error::Result;
use crate::ids::MailingId;
use crate::instances;
use crate::mailings::figures::{self, Counted};
use crate::mailings::query::Facts;
use crate::mailings::{Mailing, State, query};
use crate::outgoing::pace::own_moment;
use crate::outgoing::query::Counts;
use crate::outgoing::tally::{self, Curve, Tally};
use crate::outgoing::{held, open};
use crate::rates::charges;
use crate::web::badges;
use crate::web::error::WebResult;
use crate::web::pace::Pace;
use crate::web::page::{Shell, html};
use crate::web::pieces::{Figures, Progress};
use crate::web::rates;
use crate::web::visit::Visit;

/// Receipts come in for so long after the end that the page looks at them by itself.
const RECEIPTS: TimeDelta = TimeDelta::days(2);
/// Figures older than this say how old they are.
const FRESH: TimeDelta = TimeDelta::seconds(5);

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
    speed: Option<Speed>,
    wrong: Vec<Cause>,
    left_out: Vec<Cause>,
    waiting: Option<Waiting>,
    chart: Option<Chart>,
    /// What Meta holds back while it assesses the template.
    held: i64,
    /// What delivered messages cost; empty where nothing is charged.
    cost: String,
    /// When the figures are not of this moment: what they are of.
    counted: String,
    /// Newer figures are being counted.
    outdated: bool,
}

impl HtmlSafe for Standing {}

/// How fast it goes, in words.
struct Speed {
    /// While it sends.
    now: Option<String>,
    average: String,
}

impl Standing {
    pub async fn load(
        visit: &Visit,
        conn: &mut AsyncPgConnection,
        shell: &Shell,
        mailing: &Mailing,
    ) -> Result<Self> {
        let app: &App = &visit.app;
        let facts = query::facts(conn, mailing.id).await?;
        let Counted {
            value: tally,
            taken_at,
            outdated,
        } = figures::tally(app, conn, mailing).await?;
        let curve = match mailing.started_at {
            Some(_) => Some(figures::curve(app, conn, mailing, facts.per_second).await?),
            None => None,
        };
        let counts = tally.counts();
        let (wrong, left_out) = causes(shell, mailing, &tally);
        let pace = curve.as_ref().map_or(0.0, |curve| {
            pace(mailing, &facts, &curve.value, curve.taken_at)
        });
        let left = left(shell, &counts, pace);
        let holds = holds(visit, conn, shell, mailing, (&facts, &counts), left).await?;
        let goes = mailing.state() == State::Sending && holds.stopped().is_none();
        let each = if goes { pace } else { 0.0 };
        let batched = holds.batch.is_some();
        let mut standing = Self {
            gate: holds.gate(),
            waiting: Waiting::load(conn, shell, mailing, &tally, batched, each).await?,
            speed: curve
                .as_ref()
                .and_then(|curve| speed(shell, mailing, &counts, curve)),
            chart: curve.and_then(|curve| {
                let end = figures::end(mailing, curve.taken_at);
                Chart::new(shell, &curve.value, end)
            }),
            held: match mailing.template_id {
                Some(_) => held::of_mailing(conn, mailing.id).await?,
                None => 0,
            },
            cost: rates::said(shell, &charges::of_mailing(conn, mailing.id).await?),
            figures: figures_of(&counts),
            counted: counted(shell, taken_at, outdated),
            shell: shell.clone(),
            mailing: mailing.clone(),
            facts,
            counts,
            wrong,
            left_out,
            outdated,
        };
        let alone = !standing.has_causes();
        standing.chart = standing.chart.map(|chart| chart.alone(alone));
        Ok(standing)
    }

    /// Milliseconds after which the page looks again by itself; `None`: nothing changes any more.
    pub fn again_after(&self) -> Option<u32> {
        let lately = |at: DateTime<Utc>| self.shell.now - at < RECEIPTS;
        match self.mailing.state() {
            State::Sending => Some(2_000),
            _ if self.outdated => Some(2_000),
            State::Submitted | State::Paused => Some(4_000),
            _ if self.mailing.released() && self.mailing.finished_at.is_some_and(lately) => {
                Some(15_000)
            }
            _ => None,
        }
    }

    fn has_causes(&self) -> bool {
        self.waiting.is_some() || !self.wrong.is_empty() || !self.left_out.is_empty()
    }

    /// The curve stands beside what is told in words.
    fn beside(&self) -> bool {
        self.chart.is_some() && self.has_causes()
    }

    fn allowed(&self) -> String {
        rate(&self.shell, self.facts.per_second)
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

    fn held_href(&self) -> String {
        format!("{}held", self.rows())
    }

    fn wrong_count(&self) -> i64 {
        self.wrong.iter().map(|cause| cause.count).sum()
    }

    fn left_out_count(&self) -> i64 {
        self.left_out.iter().map(|cause| cause.count).sum()
    }
}

fn figures_of(counts: &Counts) -> Figures {
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

/// What went wrong, and who was left out.
fn causes(shell: &Shell, mailing: &Mailing, tally: &Tally) -> (Vec<Cause>, Vec<Cause>) {
    let (mut wrong, mut left_out) = (Vec::new(), Vec::new());
    for (state, code, count) in tally.reasons() {
        let mut cause = cause(shell, mailing.id, state, code, count);
        match state {
            "skipped" => left_out.push(cause),
            "uncertain" => {
                cause.ways = again::ways(shell.role, mailing);
                wrong.push(cause);
            }
            _ => wrong.push(cause),
        }
    }
    (wrong, left_out)
}

/// Everything that may hold messages, as far as it matters in this state.
async fn holds<'a>(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    shell: &'a Shell,
    mailing: &'a Mailing,
    (facts, counts): (&'a Facts, &'a Counts),
    left: String,
) -> Result<Holds<'a>> {
    let mut holds = Holds {
        shell,
        mailing,
        facts,
        counts,
        sending: visit.app.config.sending,
        batch: None,
        pace: None,
        held: None,
        later: None,
        instances: Vec::new(),
        left,
    };
    if mailing.state() == State::Sending {
        let batch = open::batch(conn, mailing.account_id, mailing.id).await?;
        holds.batch = batch.filter(|batch| batch.rests);
        holds.pace = Pace::load(visit, mailing.account_id).await?;
        holds.held = Some(tally::held(conn, mailing.id).await?);
        let first = tally::in_line(conn, mailing.id, 1).await?;
        holds.later = first
            .first()
            .and_then(|one| own_moment(one.not_before, one.code.as_deref(), shell.now));
        holds.instances = instances::all(conn).await?;
    }
    Ok(holds)
}

/// Messages a second that may be expected: what left lately where it says something, else its share of
/// what the account may.
fn pace(mailing: &Mailing, facts: &Facts, curve: &Curve, taken_at: DateTime<Utc>) -> f64 {
    let allowed = facts.per_second / (1.0 + facts.others as f64);
    let began = mailing.started_at.unwrap_or(taken_at);
    let seen = seconds(taken_at - began).min(curve.within as f64);
    if curve.recent >= 10 && seen >= 10.0 {
        (curve.recent as f64 / seen).min(facts.per_second)
    } else {
        allowed
    }
}

fn seconds(span: TimeDelta) -> f64 {
    span.num_milliseconds().max(0) as f64 / 1_000.0
}

/// "About 2 h 57 min left, done around 12:38."
fn left(shell: &Shell, counts: &Counts, per_second: f64) -> String {
    if counts.open() == 0 || per_second <= 0.0 {
        return shell.t("mailings.gate.last");
    }
    #[expect(clippy::cast_possible_truncation, reason = "an estimate for people")]
    let rest = (counts.open() as f64 / per_second).ceil().min(1e9) as i64;
    let end = shell.now + TimeDelta::seconds(rest);
    shell.tf(
        "mailings.left_done",
        &[duration(shell, rest), shell.date(&end)],
    )
}

/// `None` where nothing has left.
fn speed(
    shell: &Shell,
    mailing: &Mailing,
    counts: &Counts,
    curve: &Counted<Curve>,
) -> Option<Speed> {
    let began = mailing.started_at?;
    let over = mailing.finished_at.unwrap_or(curve.taken_at) - began;
    let tried = counts.sent() + counts.failed() + counts.of("uncertain");
    if tried == 0 {
        return None;
    }
    let within = seconds(curve.taken_at - began).clamp(1.0, curve.value.within as f64);
    let now = (mailing.state() == State::Sending)
        .then(|| rate(shell, curve.value.recent as f64 / within));
    Some(Speed {
        now,
        average: rate(shell, tried as f64 / seconds(over).max(1.0)),
    })
}

fn counted(shell: &Shell, taken_at: DateTime<Utc>, outdated: bool) -> String {
    let time = taken_at.with_timezone(&shell.zone);
    let time = [time.format("%H:%M:%S").to_string()];
    if outdated {
        shell.tf("mailings.counting", &time)
    } else if shell.now - taken_at > FRESH {
        shell.tf("mailings.counted", &time)
    } else {
        String::new()
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct From {
    /// The state of the page that asks; its buttons belong to that one.
    from: String,
}

/// Settled: 1 where the page that asks stands for another state than the mailing is in, `rest` where nothing
/// follows. Again: after how many milliseconds to ask once more.
pub async fn fragment(visit: Visit, id: web::Path<i64>, from: web::Query<From>) -> WebResult {
    let mut conn = visit.conn().await?;
    let mailing = query::find(&mut conn, MailingId(*id)).await?;
    let shell = fragment_shell(&visit)?;
    let standing = Standing::load(&visit, &mut conn, &shell, &mailing).await?;
    // The connection goes back to the others instead of being closed: this is asked every two seconds.
    conn.commit().await?;
    let changed = !from.from.is_empty() && from.from != mailing.state;
    let (name, value) = match standing.again_after() {
        _ if changed => ("x-settled", "1".to_owned()),
        None => ("x-settled", "rest".to_owned()),
        Some(after) => ("x-again", after.to_string()),
    };
    let mut answer = html(standing);
    let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""));
    answer
        .headers_mut()
        .insert(HeaderName::from_static(name), value);
    Ok(answer)
}
