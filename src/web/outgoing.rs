//! Outgoing messages, one by one: where each stands, why, and when it goes on.
//!
//! Invariant: nothing changes here; every state is explained in a sentence. The list stands ungrouped,
//! newest first: to group a million messages by day costs seconds, and is one press away.

use actix_web::web;
use askama::Template;
use chrono::{DateTime, Duration, Utc};
use diesel_async::AsyncPgConnection;

use crate::auth::Role;
use crate::error::Result;
use crate::gateways::HELD;
use crate::ids::{LogId, MailingId, OutgoingId};
use crate::mailings::{State, Verb, allows, logs_list, query as mailings};
use crate::outgoing::list::{self as messages, Attempt, Detail, LIST};
use crate::outgoing::open::{self, Batch};
use crate::outgoing::pace::{Moment, own_moment};
use crate::text::markup::{self, Line};
use crate::text::phone;
use crate::web::error::WebResult;
use crate::web::list::{Empty, ListView};
use crate::web::media::{self, Named};
use crate::web::pace::Pace;
use crate::web::page::{Action, Menu, Shell, html};
use crate::web::table::{self, Table};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/outgoing", web::get().to(list))
        .route("/outgoing/{id:[0-9]+}", web::get().to(show));
}

/// What the address may name beside the list's own parameters; anything that is no id is ignored.
#[derive(Debug, Default, serde::Deserialize)]
struct Narrowed {
    mailing: Option<String>,
    log: Option<String>,
}

impl Narrowed {
    /// The condition on the list, and the sentence that says so.
    async fn read(
        &self,
        visit: &Visit,
        conn: &mut AsyncPgConnection,
    ) -> Result<(Option<(&'static str, i64)>, String)> {
        let id = |text: &Option<String>| text.as_ref().and_then(|id| id.parse().ok());
        if let Some(id) = id(&self.log) {
            let log = logs_list::find(conn, LogId(id)).await?;
            let when = crate::i18n::date(
                visit.lang(),
                visit.zone,
                visit.app.clock.now(),
                &log.started_at,
            );
            let lead = visit.tf("outgoing.of_log", &[log.mailing, when]);
            return Ok((Some((messages::OF_LOG, id)), lead));
        }
        if let Some(id) = id(&self.mailing) {
            let mailing = mailings::find(conn, MailingId(id)).await?;
            let lead = visit.tf("outgoing.of_mailing", &[mailing.subject]);
            return Ok((Some((messages::OF_MAILING, id)), lead));
        }
        Ok((None, String::new()))
    }
}

async fn list(visit: Visit, narrowed: web::Query<Narrowed>) -> WebResult {
    let mut conn = visit.conn().await?;
    let (extra, lead) = narrowed.read(&visit, &mut conn).await?;
    let found = table::load(&mut conn, &LIST, &visit, extra).await?;
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    let empty = Empty {
        icon: "send-2",
        title: "outgoing.none",
        text: "outgoing.none_text",
        actions: vec![Action::link(shell.t("menu.mailings"), "/mailings")],
    };
    let table = Table::new(shell, "menu.outgoing", "/outgoing/", found);
    let view = ListView::new(table, "/outgoing", empty);
    Ok(ListView { lead, ..view }.answer())
}

#[derive(Template)]
#[template(path = "outgoing/show.html")]
struct MessagePage {
    shell: Shell,
    message: Detail,
    attempts: Vec<Attempt>,
    lines: Vec<Line>,
    file: Option<Named>,
    /// Of the same mailing, in the queue before it.
    before: i64,
    pace: Option<Pace>,
    /// It rests until the next batch is opened.
    rests: Option<Batch>,
    /// This copy may send at all.
    sending: bool,
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    Ok(html(page(&visit, OutgoingId(*id)).await?))
}

async fn page(visit: &Visit, id: OutgoingId) -> Result<MessagePage> {
    let mut conn = visit.conn().await?;
    let message = messages::find(&mut conn, id).await?;
    let queued = message.head.state == "queued";
    let (mut before, mut pace, mut rests) = (0, None, None);
    if queued {
        pace = Pace::load(visit, message.head.account_id).await?;
    }
    if let Some(mailing) = message.head.mailing_id.filter(|_| queued) {
        before = messages::waiting_before(&mut conn, mailing, id).await?;
        if message.opened_at.is_none() {
            rests = open::batch(&mut conn, message.head.account_id, mailing).await?;
        }
    }
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    Ok(MessagePage {
        attempts: messages::attempts(&mut conn, id).await?,
        lines: markup::to_spans(&message.text()),
        file: media::named(&mut conn, &shell, message.media_id).await?,
        shell,
        message,
        before,
        pace,
        rests,
        sending: visit.app.config.sending,
    })
}

impl MessagePage {
    /// The person, else the number.
    fn name(&self) -> String {
        if self.message.head.contact.is_empty() {
            self.number()
        } else {
            self.message.head.contact.clone()
        }
    }

    fn number(&self) -> String {
        phone::display_digits(&self.message.head.number)
    }

    fn state(&self) -> &str {
        let head = &self.message.head;
        if self.message.replied_at.is_some() {
            "replied"
        } else if head.state == "uncertain" && head.code.as_deref() == Some("handed_over") {
            "handed_over"
        } else if head.state == "accepted" && head.code.as_deref() == Some(HELD) {
            "held"
        } else {
            &self.message.head.state
        }
    }

    /// The code in words: why it was left out, or why it failed.
    fn code(&self) -> String {
        let Some(code) = &self.message.head.code else {
            return String::new();
        };
        let noun = if self.message.head.state == "skipped" {
            "skip"
        } else {
            "code"
        };
        self.known(&format!("{noun}.{code}"))
            .unwrap_or_else(|| code.clone())
    }

    /// What the code means and what to do; empty where the catalogue has nothing.
    fn hint(&self) -> String {
        let code = self.message.head.code.as_deref().unwrap_or_default();
        self.known(&format!("code_hint.{code}")).unwrap_or_default()
    }

    fn known(&self, key: &str) -> Option<String> {
        let text = self.shell.t(key);
        (text != key).then_some(text)
    }

    /// Why it stands where it stands, or when it goes on.
    fn why(&self) -> String {
        let shell = &self.shell;
        match self.state() {
            "queued" => self.why_queued(),
            "claimed" | "sending" => shell.t("outgoing.why.processing"),
            "accepted" | "sent" => shell.t("outgoing.why.sent"),
            "failed" | "uncertain" if !self.hint().is_empty() => self.hint(),
            "failed" => shell.t("outgoing.why.failed"),
            // A text of its own expires only where the gateway takes none any more.
            "expired" if self.message.head.mailing_id.is_none() => {
                shell.t("outgoing.why.expired_window")
            }
            "uncertain" => shell.t("outgoing.why.uncertain"),
            "skipped" => shell.tf("outgoing.why.skipped", &[self.code()]),
            "handed_over" => {
                let until = self.message.settles_at.map(|at| shell.date(&at));
                shell.tf("outgoing.why.handed_over", &[until.unwrap_or_default()])
            }
            other => self
                .known(&format!("outgoing.why.{other}"))
                .unwrap_or_default(),
        }
    }

    /// What holds a waiting message back, the strongest reason first.
    fn why_queued(&self) -> String {
        let (shell, message, account) = (&self.shell, &self.message, &self.message.head.account);
        let ahead = |at: Option<DateTime<Utc>>| at.filter(|at| *at > shell.now);
        if !self.sending {
            return shell.t("outgoing.why.copy");
        }
        if message.mailing_state == "paused" {
            return shell.t("outgoing.why.mailing_paused");
        }
        if matches!(message.health.as_str(), "paused" | "stopped") {
            let key = format!("outgoing.why.account_{}", message.health);
            return shell.tf(&key, &[account, &shell.say(&message.health_reason)]);
        }
        if let Some((at, why)) =
            own_moment(message.not_before, message.head.code.as_deref(), shell.now)
        {
            return self.why_later(at, why);
        }
        let standing = self.pace.as_ref().map(|pace| &pace.standing);
        if let Some(at) = ahead(standing.and_then(|standing| standing.blocked_until)) {
            return shell.tf("outgoing.why.blocked", &[account, &shell.date(&at)]);
        }
        let hold = self.pace.as_ref().and_then(|pace| pace.hold(shell));
        if let Some(hold) = hold.filter(|_| message.head.mailing_id.is_some()) {
            return format!("{} {}", hold.lead, hold.more).trim().to_owned();
        }
        match &self.rests {
            Some(batch) if batch.active => {
                return shell.tf("outgoing.why.enqueue", &[shell.date(&batch.next_run)]);
            }
            Some(_) => return shell.t("outgoing.why.enqueue_off"),
            None => {}
        }
        if self.before == 0 {
            return shell.t("outgoing.why.next");
        }
        let waiting = shell.tn("outgoing.why.before", self.before);
        match standing.map(|standing| standing.seconds(self.before)) {
            Some(seconds) if seconds < 1e9 => {
                let at = shell.now + Duration::milliseconds((seconds * 1000.0) as i64);
                format!(
                    "{waiting} {}",
                    shell.tf("outgoing.why.about", &[shell.date(&at)])
                )
            }
            _ => waiting,
        }
    }

    /// Its own moment has not come.
    fn why_later(&self, at: DateTime<Utc>, why: Moment) -> String {
        let (shell, date) = (&self.shell, self.shell.date(&at));
        match why {
            Moment::Quiet => {
                let there = self
                    .pace
                    .as_ref()
                    .map(|pace| pace.there(shell, &self.message.head.number));
                shell.tf("outgoing.why.quiet", &[there.unwrap_or_default(), date])
            }
            Moment::Gap => shell.tf("outgoing.why.gap", &[date]),
            Moment::Retry => shell.tf("outgoing.why.not_before", &[date]),
        }
    }

    /// What a manager may do about a message nobody knows the end of: a word and where it is asked.
    fn ways(&self) -> Vec<(&'static str, String)> {
        let head = &self.message.head;
        let Some(mailing) = head.mailing_id.filter(|_| head.state == "uncertain") else {
            return Vec::new();
        };
        let state = State::parse(&self.message.mailing_state);
        let waits = head.code.as_deref() == Some("handed_over");
        if waits || self.shell.role < Some(Role::Manager) {
            return Vec::new();
        }
        [
            (Verb::MarkSent, "verb.mark_sent"),
            (Verb::Resend, "verb.resend"),
        ]
        .into_iter()
        .filter(|(verb, _)| state.is_some_and(|state| allows(state, *verb, true)))
        .map(|(verb, word)| {
            let address = format!("/mailings/{mailing}/{}?message={}", verb.as_str(), head.id);
            (word, address)
        })
        .collect()
    }

    /// What happened to it, in order.
    fn times(&self) -> Vec<(&'static str, DateTime<Utc>)> {
        let message = &self.message;
        let known = [
            ("outgoing.created", Some(message.head.created_at)),
            ("outgoing.accepted_at", message.accepted_at),
            ("outgoing.sent_at", message.sent_at),
            ("outgoing.delivered_at", message.delivered_at),
            ("outgoing.read_at", message.read_at),
            ("outgoing.replied_at", message.replied_at),
            ("outgoing.failed_at", message.failed_at),
        ];
        let mut times: Vec<_> = known
            .into_iter()
            .filter_map(|(label, at)| Some((label, at?)))
            .collect();
        times.sort_by_key(|(_, at)| *at);
        times
    }

    /// How a try ended, in words; one that is open says so.
    fn outcome(&self, attempt: &Attempt) -> String {
        let outcome = attempt.outcome.as_deref().unwrap_or("open");
        self.shell.t(&format!("outgoing.outcome.{outcome}"))
    }

    fn attempt_code(&self, attempt: &Attempt) -> String {
        let code = attempt.code.as_deref().unwrap_or_default();
        self.known(&format!("code.{code}"))
            .unwrap_or_else(|| code.to_owned())
    }
}
