//! The page of a mailing: the form of a draft one may change, else what it is and how far it came.

use actix_web::http::StatusCode;
use actix_web::web;
use askama::Template;

use super::buttons::{self, Button};
use super::form::{self, Shown};
use super::preview::{self, Aside, Bubble};
use super::progress::Standing;
use super::{Asked, href, may, told};
use crate::error::FieldErrors;
use crate::ids::MailingId;
use crate::mailings::{Mailing, State, Verb, query};
use crate::web::error::WebResult;
use crate::web::media::{self, Named};
use crate::web::page::{Menu, Shell, html_with};
use crate::web::pieces::Event;
use crate::web::visit::Visit;

#[derive(Template)]
#[template(path = "mailings/show.html")]
struct ShowPage {
    shell: Shell,
    mailing: Mailing,
    errors: FieldErrors,
    /// Empty for whoever only reads.
    buttons: Vec<Button>,
    may: bool,
    /// The typed or stored date, for the field.
    schedule_date: String,
    standing: Standing,
    /// Before it is released.
    aside: Option<Aside>,
    bubble: Bubble,
    file: Option<Named>,
    events: Vec<Event>,
}

impl ShowPage {
    fn steps(&self) -> Vec<String> {
        self.bar().0
    }

    fn step(&self) -> usize {
        self.bar().1
    }

    fn hue(&self) -> &'static str {
        self.bar().2
    }

    fn bar(&self) -> (Vec<String>, usize, &'static str) {
        let state = self.mailing.state();
        buttons::steps(&self.shell, state, self.standing.uncertain())
    }

    /// The states' badge, which says how many are uncertain.
    fn badge(&self) -> String {
        match (self.mailing.state(), self.standing.uncertain()) {
            (State::Done, uncertain) if uncertain > 0 => format!("uncertain:{uncertain}"),
            _ => self.mailing.state.clone(),
        }
    }

    /// Where the page asks for its figures while they change.
    fn poll(&self) -> String {
        let Mailing { id, state, .. } = &self.mailing;
        format!("/mailings/{id}/progress?from={state}")
    }

    /// The date can be changed.
    fn moves(&self) -> bool {
        self.may && self.mailing.allows(Verb::Reschedule)
    }

    fn is_missed(&self) -> bool {
        self.mailing.state() == State::Missed
    }

    /// Where the changed date is posted: a missed mailing is submitted with it.
    fn move_href(&self) -> String {
        let verb = if self.is_missed() {
            "submit"
        } else {
            "reschedule"
        };
        format!("/mailings/{}/{verb}", self.mailing.id)
    }

    fn note_href(&self) -> String {
        format!("/mailings/{}/note", self.mailing.id)
    }

    fn unarchive_href(&self) -> String {
        format!("/mailings/{}/unarchive", self.mailing.id)
    }

    /// The lists, or how many contacts.
    fn recipients(&self) -> String {
        let facts = self.standing.facts();
        if self.mailing.recipients == "lists" {
            facts.lists.clone()
        } else {
            self.shell.tn("mailings.contact_count", facts.contacts)
        }
    }

    /// Who or what began it.
    fn started_by(&self) -> String {
        let facts = self.standing.facts();
        if facts.trigger.is_empty() {
            return String::new();
        }
        let trigger = self.shell.t(&format!("trigger.{}", facts.trigger));
        if facts.started_by.is_empty() {
            trigger
        } else {
            format!("{trigger}, {}", facts.started_by)
        }
    }
}

pub async fn page(visit: Visit, id: web::Path<i64>, asked: web::Query<Asked>) -> WebResult {
    let shown = Shown {
        id: Some(MailingId(*id)),
        typed: form::kept(&visit).await?,
        contact: asked.contact(),
        find: asked.find(),
        ..Shown::default()
    };
    record(&visit, MailingId(*id), shown, None).await
}

/// A mailing with faults of a verb.
pub async fn faulty(
    visit: &Visit,
    id: MailingId,
    errors: FieldErrors,
    date: Option<String>,
) -> WebResult {
    let shown = Shown {
        id: Some(id),
        errors,
        ..Shown::default()
    };
    record(visit, id, shown, date).await
}

/// The form or the page, with faults where a verb found some; `date`: what was typed for the schedule.
async fn record(visit: &Visit, id: MailingId, shown: Shown, date: Option<String>) -> WebResult {
    let mut conn = visit.conn().await?;
    let mailing = query::find(&mut conn, id).await?;
    if form::is_form(visit, &mailing) {
        drop(conn);
        return form::render(visit, shown).await;
    }
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let standing = Standing::load(visit, &mut conn, &shell, &mailing).await?;
    let aside = if mailing.released() || mailing.state() == State::Canceled {
        None
    } else {
        let aside =
            preview::of_stored(visit, &mut conn, &shell, &mailing, shown.contact, "").await?;
        Some(Aside {
            asks: href(id),
            ..aside
        })
    };
    let may = may(visit, &mailing);
    let file = media::named(&mut conn, &shell, mailing.media_id).await?;
    let template_buttons = preview::buttons(&mut conn, mailing.template_id).await?;
    let stored = mailing.schedule_date.map(|date| shell.local(&date));
    let page = ShowPage {
        buttons: if may {
            buttons::of(&mailing)
        } else {
            Vec::new()
        },
        may,
        schedule_date: date.or(stored).unwrap_or_default(),
        bubble: preview::written(&preview::parts(&mailing))
            .under(file.clone())
            .above(template_buttons),
        file,
        events: told(&mut conn, &shell, &mailing).await?,
        errors: shown.errors,
        shell,
        mailing,
        standing,
        aside,
    };
    // Committed, so that the connection goes back to the others.
    conn.commit().await?;
    let status = if page.errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    Ok(html_with(status, page))
}
