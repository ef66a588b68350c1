//! Mailings: the list, the form, the verbs, and what became of them.
//!
//! Invariant: which buttons stand on a page is asked of `mailings::allows`, never decided here; whoever
//! may not change a mailing reads it.

mod again;
mod buttons;
mod changed;
mod choices;
mod curve;
mod form;
mod gate;
mod input;
mod list;
pub mod preview;
mod progress;
mod show;
mod template;
mod test;
mod verbs;
mod waiting;

use actix_web::web;
use diesel_async::AsyncPgConnection;

use crate::audit;
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::ids::{ContactId, MailingId};
use crate::mailings::{Mailing, query};
use crate::web::error::WebResult;
use crate::web::form::{Posted, company_token};
use crate::web::history::{self, Note};
use crate::web::page::Shell;
use crate::web::pieces::Event;
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/mailings", web::get().to(list::page))
        .route("/mailings", web::post().to(form::create))
        .route("/mailings/new", web::get().to(form::new))
        .route("/mailings/check", web::post().to(form::check))
        .route("/mailings/contacts", web::get().to(form::contacts))
        .route("/mailings/archive", web::post().to(list::archive))
        .route("/mailings/{id:[0-9]+}", web::get().to(show::page))
        .route("/mailings/{id:[0-9]+}", web::post().to(form::save))
        .route(
            "/mailings/{id:[0-9]+}/progress",
            web::get().to(progress::fragment),
        )
        .route("/mailings/{id:[0-9]+}/send", web::get().to(verbs::ask_send))
        .route(
            "/mailings/{id:[0-9]+}/send_now",
            web::post().to(verbs::send_now),
        )
        .route(
            "/mailings/{id:[0-9]+}/submit",
            web::post().to(verbs::submit),
        )
        .route(
            "/mailings/{id:[0-9]+}/reschedule",
            web::post().to(verbs::reschedule),
        )
        .route(
            "/mailings/{id:[0-9]+}/cancel",
            web::get().to(verbs::ask_cancel),
        )
        .route(
            "/mailings/{id:[0-9]+}/{verb:pause|resume|cancel|draft}",
            web::post().to(verbs::change),
        )
        .route(
            "/mailings/{id:[0-9]+}/retry_failed",
            web::get().to(again::ask_retry),
        )
        .route(
            "/mailings/{id:[0-9]+}/retry_failed",
            web::post().to(again::retry),
        )
        .route(
            "/mailings/{id:[0-9]+}/resend",
            web::get().to(again::ask_resend),
        )
        .route(
            "/mailings/{id:[0-9]+}/resend",
            web::post().to(again::resend),
        )
        .route(
            "/mailings/{id:[0-9]+}/mark_sent",
            web::get().to(again::ask_mark_sent),
        )
        .route(
            "/mailings/{id:[0-9]+}/mark_sent",
            web::post().to(again::mark_sent),
        )
        .route("/mailings/{id:[0-9]+}/note", web::post().to(note))
        .route(
            "/mailings/{id:[0-9]+}/duplicate",
            web::post().to(verbs::duplicate),
        )
        .route(
            "/mailings/{id:[0-9]+}/{verb:archive|unarchive}",
            web::post().to(verbs::set_active),
        )
        .route(
            "/mailings/{id:[0-9]+}/delete",
            web::get().to(verbs::ask_delete),
        )
        .route(
            "/mailings/{id:[0-9]+}/delete",
            web::post().to(verbs::delete),
        )
        .route("/mailings/{id:[0-9]+}/test", web::get().to(test::page))
        .route("/mailings/{id:[0-9]+}/test", web::post().to(test::send));
}

/// What an address of a mailing's page may add.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
struct Asked {
    /// Whom the preview stands for.
    r#as: String,
    /// Words to find contacts with.
    find: String,
}

impl Asked {
    fn contact(&self) -> Option<ContactId> {
        self.r#as.parse().ok()
    }

    fn find(&self) -> String {
        self.find.replace('\0', "").trim().to_owned()
    }
}

/// Whether the person may do anything with this mailing: their own, or any as a manager.
fn may(visit: &Visit, mailing: &Mailing) -> bool {
    visit.role >= Role::Manager || mailing.responsible_id == visit.user
}

/// The mailing, for somebody who may change it.
async fn own(visit: &Visit, conn: &mut AsyncPgConnection, id: MailingId) -> Result<Mailing> {
    let mailing = query::find(conn, id).await?;
    if may(visit, &mailing) {
        Ok(mailing)
    } else {
        Err(Error::Forbidden)
    }
}

/// Says in the mailing's history who did what.
async fn noted(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    id: MailingId,
    what: &str,
) -> Result<()> {
    let by = Some(visit.user);
    audit::note(conn, visit.company, "mailings", id.0, by, what, None).await?;
    Ok(())
}

/// The address of a mailing's page.
fn href(id: MailingId) -> String {
    format!("/mailings/{id}")
}

/// For fragments: language and zone without the page around, so that no message waiting for the next
/// page is lost to one of them.
fn fragment_shell(visit: &Visit) -> Result<Shell> {
    Ok(Shell {
        zone: visit.zone,
        role: Some(visit.role),
        csrf: company_token(&visit.session, visit.company)?,
        ..Shell::signed_out(visit.lang(), visit.app.clock.now())
    })
}

/// A note of whoever may change the mailing.
async fn note(visit: Visit, id: web::Path<i64>, Posted(given): Posted<Note>) -> WebResult {
    let id = MailingId(*id);
    let mut conn = visit.conn().await?;
    own(&visit, &mut conn, id).await?;
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    given.leave(&visit, &mut conn, "mailings", id.0).await?;
    Ok(visit.goes_on(conn, format!("{}#history", href(id))).await?)
}

/// The history of a mailing, with what the system did to it.
async fn told(
    conn: &mut AsyncPgConnection,
    shell: &Shell,
    mailing: &Mailing,
) -> Result<Vec<Event>> {
    let entries = audit::of(conn, "mailings", mailing.id.0).await?;
    let mut events: Vec<Event> = entries
        .into_iter()
        .map(|entry| Event {
            by: entry.user_name,
            at: entry.at,
            icon: "pencil",
            text: match (entry.action.as_str(), &entry.note) {
                ("noted", note) => note.clone().unwrap_or_default(),
                ("file", Some(name)) => shell.tf("mailings.event.file", &[name]),
                (action, Some(note)) if note == audit::BY_API => {
                    let word = shell.t(&format!("mailings.event.{action}"));
                    format!("{word}: {note}")
                }
                (action, _) => shell.t(&format!("mailings.event.{action}")),
            },
            changes: history::changes(shell, &entry.changes),
        })
        .collect();
    let system = [
        (mailing.started_at, "send", "mailings.event.started"),
        (mailing.finished_at, "check", "mailings.event.finished"),
    ];
    for (at, icon, text) in system {
        events.extend(at.map(|at| Event {
            by: None,
            at,
            icon,
            text: shell.t(text),
            changes: Vec::new(),
        }));
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.at));
    Ok(events)
}
