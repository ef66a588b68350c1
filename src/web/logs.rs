//! Mailing Logs: the runs of mailings, each with its figures, what the gateway said, and its messages.
//!
//! Invariant: nothing changes here.

use actix_web::web;
use askama::Template;

use crate::error::Result;
use crate::ids::{LogId, MailingId};
use crate::mailings::logs_list::{self, Detail, LIST};
use crate::mailings::query as mailings;
use crate::outgoing::list as messages;
use crate::outgoing::query::{Counts, counts_of_log};
use crate::rates::charges;
use crate::web::error::WebResult;
use crate::web::list::{Empty, ListView};
use crate::web::page::{Action, Menu, Shell, html};
use crate::web::pieces::{Figures, Progress};
use crate::web::rates;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/logs", web::get().to(list))
        .route("/logs/{id:[0-9]+}", web::get().to(show));
}

/// What the address may name beside the list's own parameters.
#[derive(Debug, Default, serde::Deserialize)]
struct Narrowed {
    /// Only the runs of this mailing; anything that is no id is ignored.
    mailing: Option<String>,
}

#[derive(Template)]
#[template(path = "logs/show.html")]
struct LogPage {
    shell: Shell,
    log: Detail,
    counts: Counts,
    /// What its delivered messages cost; empty where nothing is charged.
    cost: String,
    messages: Table,
}

impl LogPage {
    fn figures(&self) -> Figures {
        let of = |state| self.counts.of(state);
        Figures {
            read: of("read"),
            delivered: of("delivered"),
            sent: of("accepted") + of("sent"),
            failed: self.counts.failed(),
            uncertain: of("uncertain"),
            handed_over: self.counts.handed_over(),
            queued: self.counts.open(),
            skipped: of("skipped"),
            canceled: of("canceled"),
        }
    }

    fn progress(&self) -> Progress<'_> {
        let href = format!("/logs/{}?f=", self.log.id);
        Progress::new(&self.shell, &self.figures(), href)
    }

    /// "Hello, 24 Nov 09:41".
    fn name(&self) -> String {
        format!(
            "{}, {}",
            self.log.mailing,
            self.shell.date(&self.log.started_at)
        )
    }
}

async fn list(visit: Visit, narrowed: web::Query<Narrowed>) -> WebResult {
    let mut conn = visit.conn().await?;
    let mailing = narrowed.mailing.as_ref().and_then(|id| id.parse().ok());
    let mut lead = String::new();
    if let Some(id) = mailing {
        let mailing = mailings::find(&mut conn, MailingId(id)).await?;
        lead = visit.tf("logs.of_mailing", &[mailing.subject]);
    }
    let extra = mailing.map(|id| (logs_list::OF_MAILING, id));
    let found = table::load(&mut conn, &LIST, &visit, extra).await?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let empty = Empty {
        icon: "history",
        title: "logs.none",
        text: "logs.none_text",
        actions: vec![Action::link(shell.t("menu.mailings"), "/mailings")],
    };
    let table = Table::new(shell, "menu.logs", "/logs/", found);
    let view = ListView::new(table, "/logs", empty);
    Ok(ListView { lead, ..view }.answer())
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    Ok(html(page(&visit, LogId(*id)).await?))
}

async fn page(visit: &Visit, id: LogId) -> Result<LogPage> {
    let mut conn = visit.conn().await?;
    let log = logs_list::find(&mut conn, id).await?;
    let counts = counts_of_log(&mut conn, log.mailing_id, id).await?;
    let cost = charges::of_log(&mut conn, id).await?;
    let extra = Some((messages::OF_LOG, id.0));
    let found = table::load(&mut conn, &messages::LIST, visit, extra).await?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    Ok(LogPage {
        messages: Table::new(shell.clone(), "logs.sent_history", "/outgoing/", found),
        cost: rates::said(&shell, &cost),
        shell,
        log,
        counts,
    })
}
