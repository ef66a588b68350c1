//! What gateways posted to us, and what became of it. What was set aside can be applied again.
//!
//! Invariant: credentials and signatures are not shown (`intake::list` leaves them out).

use actix_web::web;
use askama::Template;

use crate::audit::{self, Entry};
use crate::auth::Role;
use crate::error::Error;
use crate::intake;
use crate::intake::list::{self as inbox, Detail, LIST};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::list::{Empty, ListView};
use crate::web::page::{Action, Menu, Shell, html};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/webhook-log", web::get().to(list))
        .route("/webhook-log/{id:[0-9]+}", web::get().to(show))
        .route("/webhook-log/{id:[0-9]+}/replay", web::post().to(replay));
}

#[derive(Template)]
#[template(path = "webhook_log/show.html")]
struct EventPage {
    shell: Shell,
    event: Detail,
    history: Vec<Event>,
}

impl EventPage {
    fn name(&self) -> String {
        if self.event.event.is_empty() {
            self.event.dedupe.clone()
        } else {
            self.event.event.clone()
        }
    }

    fn replay_href(&self) -> String {
        format!("/webhook-log/{}/replay", self.event.id)
    }
}

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Technical, &mut conn).await?;
    let empty = Empty {
        icon: "webhook",
        title: "webhook_log.none",
        text: "webhook_log.none_text",
        actions: vec![Action::link(shell.t("menu.accounts"), "/accounts")],
    };
    let table = Table::new(shell, "menu.webhook_log", "/webhook-log/", found);
    Ok(ListView::new(table, "/webhook-log", empty).answer())
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let event = inbox::find(&mut conn, *id).await?;
    let entries = audit::of(&mut conn, "webhook_log", *id).await?;
    let shell = visit.shell(Menu::Technical, &mut conn).await?;
    let history = entries
        .into_iter()
        .map(|entry| told(&shell, entry))
        .collect();
    Ok(html(EventPage {
        shell,
        event,
        history,
    }))
}

/// One line of the event's history.
fn told(shell: &Shell, entry: Entry) -> Event {
    Event {
        by: entry.user_name,
        at: entry.at,
        icon: "rotate-clockwise",
        text: shell.t(&format!("webhook_log.{}", entry.action)),
        changes: Vec::new(),
    }
}

async fn replay(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    inbox::find(&mut conn, *id).await?;
    if !intake::replay(&mut conn, *id).await? {
        return Err(Error::conflict(visit.t("webhook_log.not_aside")).into());
    }
    let (company, by) = (visit.company, Some(visit.user));
    audit::note(&mut conn, company, "webhook_log", *id, by, "replayed", None).await?;
    conn.commit().await?;
    visit.app.wake.intake.notify_one();
    visit.tell("webhook_log.replaying");
    Ok(see_other(format!("/webhook-log/{id}")))
}
