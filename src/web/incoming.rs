//! Incoming messages: the list, and one inside its conversation.
//!
//! Invariant: reading a page changes nothing; a message counts as read when somebody says so.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::web;
use askama::Template;
use diesel_async::AsyncPgConnection;

use crate::auth::Role;
use crate::bulk;
use crate::contacts::{self, Contact};
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{IncomingId, MailingId};
use crate::incoming::conversation::{self, Said};
use crate::incoming::files::{self, Kept};
use crate::incoming::list::LIST;
use crate::incoming::query::{self, Incoming};
use crate::incoming::reply::{self, ReplyInput};
use crate::search::ListQuery;
use crate::text::markup::Line;
use crate::text::phone;
use crate::web::badges;
use crate::web::bulk_runs;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::list::{Bulk, Empty, ListView, Selected};
use crate::web::media::{self, FileField, Served};
use crate::web::multipart::{self, Filled};
use crate::web::page::{Action, Menu, Shell, html_with};
use crate::web::pieces::Badge;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::{audit, incoming};

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/incoming", web::get().to(list))
        .route(
            "/incoming/bulk/{verb:read|unread}",
            web::post().to(mark_many),
        )
        .route("/incoming/{id:[0-9]+}", web::get().to(show))
        .route("/incoming/{id:[0-9]+}/file", web::get().to(file))
        .route(
            "/incoming/{id:[0-9]+}/{verb:read|unread}",
            web::post().to(mark),
        )
        .route("/incoming/{id:[0-9]+}/undo", web::post().to(undo))
        .route("/incoming/{id:[0-9]+}/reply", web::post().to(answer));
}

/// One message of the conversation as it is drawn.
struct Bubble {
    ours: bool,
    /// The message the page is about.
    here: bool,
    /// Its own page.
    href: String,
    /// The day, on the first message of each.
    day: String,
    /// 09:41.
    time: String,
    lines: Vec<Line>,
    mime: Option<String>,
    /// The file they sent.
    file: Option<Attached>,
    /// The emoji they put on it.
    reaction: String,
    mailing: Option<(MailingId, String)>,
    /// A word for the ticks; empty for theirs.
    state: String,
    icon: &'static str,
    /// Of what was written to this person alone: what it is and what became of it.
    alone: Option<(String, Badge)>,
}

/// A file that somebody sent, as it stands in the chat.
struct Attached {
    /// image, audio, video or document; waiting, missing or too_large where there is none.
    kind: &'static str,
    href: String,
    name: String,
    /// "PDF · 1.2 MB"
    detail: String,
}

impl Attached {
    fn of(shell: &Shell, kept: &Kept) -> Self {
        let kind = match kept.state.as_str() {
            "kept" if kept.is_shown() => ["image", "audio", "video"]
                .into_iter()
                .find(|kind| kept.mime.starts_with(kind))
                .unwrap_or("document"),
            "kept" => "document",
            "waiting" => "waiting",
            "too_large" => "too_large",
            _ => "missing",
        };
        Self {
            kind,
            href: format!("/incoming/{}/file", kept.incoming_id),
            name: kept.name(),
            detail: media::size(shell, u64::try_from(kept.size).unwrap_or_default()),
        }
    }
}

/// What stands in the forms of the page.
#[derive(Debug, Default)]
struct Typed {
    reason: String,
    reply: ReplyInput,
}

#[derive(Template)]
#[template(path = "incoming/show.html")]
struct IncomingPage {
    shell: Shell,
    message: Incoming,
    contact: Option<Contact>,
    bubbles: Vec<Bubble>,
    /// Why nobody can answer.
    obstacle: Option<&'static str>,
    /// What goes with the reply.
    file: FileField,
    typed: Typed,
    errors: FieldErrors,
}

impl IncomingPage {
    fn number(&self) -> String {
        phone::display_digits(&self.message.sender)
    }

    fn name(&self) -> String {
        match self.message.contact_name.as_str() {
            "" => self.number(),
            name => name.to_owned(),
        }
    }

    fn receiver(&self) -> String {
        let number = self.message.receiver.as_deref().map(phone::display_digits);
        number.unwrap_or_default()
    }

    /// Something of the file is to be seen.
    fn has_file(&self) -> bool {
        let wrong = |name| !self.errors.of(name).is_empty();
        self.file.file.is_some() || wrong("file") || wrong("media_id")
    }

    fn is_opted_out(&self) -> bool {
        self.contact.as_ref().is_some_and(|contact| contact.opt_out)
    }

    /// The person's opt-out stands because of this message.
    fn stops(&self) -> bool {
        self.message.opted_out && self.message.opt_out_undone_at.is_none()
    }

    /// Whether that opt-out is still in force: somebody may have been opted in by hand since.
    fn is_out(&self) -> bool {
        self.contact.as_ref().is_none_or(|contact| contact.opt_out)
    }

    fn state(&self) -> &'static str {
        match (self.stops(), self.message.read_at) {
            (true, _) => "stop",
            (_, Some(_)) => "read",
            (_, None) => "new",
        }
    }
}

async fn list(visit: Visit) -> WebResult {
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    let mut actions = Vec::new();
    if shell.is_administrator() {
        actions.push(Action::link(shell.t("menu.accounts"), "/accounts"));
    }
    let empty = Empty {
        icon: "inbox",
        title: "incoming.none",
        text: "incoming.none_text",
        actions,
    };
    let table = Table::new(shell, "menu.incoming", "/incoming/", found);
    Ok(ListView::new(table, "/incoming", empty)
        .bulk(vec![
            Bulk::new("/incoming/bulk/read", "incoming.mark_read", "check"),
            Bulk::new("/incoming/bulk/unread", "incoming.mark_unread", "mail"),
        ])
        .answer())
}

async fn mark_many(
    visit: Visit,
    verb: web::Path<String>,
    Posted(chosen): Posted<Selected>,
) -> WebResult {
    let mut conn = visit.conn().await?;
    if chosen.all.is_some() {
        let back = ListQuery::parse(&chosen.selection, &LIST).href();
        let wanted = bulk::Wanted {
            action: match verb.as_str() {
                "read" => bulk::Action::MarkRead,
                _ => bulk::Action::MarkUnread,
            },
            argument: "",
            argument_name: "",
            back: &format!("/incoming{back}"),
        };
        let run = bulk_runs::ask(&visit, &mut conn, (&LIST, None), &chosen, wanted).await?;
        conn.commit().await?;
        return Ok(see_other(format!("/bulk/{run}")));
    }
    let ids = chosen.resolve(&mut conn, &LIST, &visit, None).await?;
    let ids: Vec<IncomingId> = ids.into_iter().map(IncomingId).collect();
    query::mark_read(&mut conn, &ids, verb.as_str() == "read").await?;
    conn.commit().await?;
    let back = ListQuery::parse(&chosen.selection, &LIST).href();
    Ok(see_other(format!("/incoming{back}")))
}

async fn render(visit: &Visit, id: IncomingId, mut typed: Typed, errors: FieldErrors) -> WebResult {
    let mut conn = visit.conn().await?;
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    let message = query::find(&mut conn, id).await?;
    let contact = match message.contact_id {
        Some(contact) => contacts::query::find_many(&mut conn, &[contact])
            .await?
            .pop(),
        None => None,
    };
    if typed.reply.key.is_empty() {
        typed.reply.key = crate::random::token(16);
    }
    let status = if errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let chosen = typed.reply.media_id.parse().ok();
    let page = IncomingPage {
        file: FileField {
            file: media::named(&mut conn, &shell, chosen).await?,
            errors: errors.clone(),
            shell: shell.clone(),
        },
        bubbles: bubbles(&mut conn, &shell, &message).await?,
        obstacle: reply::obstacle(&mut conn, &message, visit.user).await?,
        shell,
        message,
        contact,
        typed,
        errors,
    };
    Ok(html_with(status, page))
}

/// The conversation around a message; the message alone where nobody knows who wrote it.
async fn bubbles(
    conn: &mut AsyncPgConnection,
    shell: &Shell,
    message: &Incoming,
) -> Result<Vec<Bubble>> {
    let said = match message.contact_id {
        Some(contact) => conversation::around(conn, contact, message.received_at).await?,
        None => vec![Said::alone(message)],
    };
    let theirs = said.iter().filter(|said| !said.ours && said.mime.is_some());
    let ids: Vec<i64> = theirs.map(|said| said.id).collect();
    let mut attached: HashMap<i64, Attached> = files::of(conn, &ids)
        .await?
        .iter()
        .map(|kept| (kept.incoming_id.0, Attached::of(shell, kept)))
        .collect();
    let mut before = String::new();
    let drawn = said.into_iter().map(|said| {
        let day = shell.day(&said.at);
        let first = day != before;
        before.clone_from(&day);
        Bubble {
            file: if said.ours {
                None
            } else {
                attached.remove(&said.id)
            },
            day: if first { day } else { String::new() },
            ..bubble(shell, message, said)
        }
    });
    Ok(drawn.collect())
}

fn bubble(shell: &Shell, message: &Incoming, said: Said) -> Bubble {
    let (table, icon) = match (said.ours, said.state.as_str()) {
        (false, _) => ("incoming", ""),
        (true, "delivered" | "read") => ("outgoing", "checks"),
        (true, _) => ("outgoing", "check"),
    };
    let alone = said.ours && said.mailing_id.is_none();
    Bubble {
        ours: said.ours,
        here: !said.ours && said.id == message.id.0,
        href: format!("/{table}/{}", said.id),
        day: String::new(),
        time: shell
            .local(&said.at)
            .split_once('T')
            .map_or_else(String::new, |(_, time)| time.to_owned()),
        lines: said.lines(),
        state: if said.ours {
            badges::word(shell.lang, "message", &said.state)
        } else {
            String::new()
        },
        mailing: said.mailing_id.map(|id| (id, said.mailing)),
        mime: said.mime,
        file: None,
        reaction: said.reaction,
        icon,
        alone: alone.then(|| {
            let kind = badges::word(shell.lang, "kind", &said.kind);
            (kind, shell.badge("message", &said.state))
        }),
    }
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = IncomingId(*id);
    render(&visit, id, Typed::default(), FieldErrors::default()).await
}

async fn mark(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    let (id, verb) = path.into_inner();
    let id = IncomingId(id);
    let mut conn = visit.conn().await?;
    query::find(&mut conn, id).await?;
    query::mark_read(&mut conn, &[id], verb == "read").await?;
    conn.commit().await?;
    Ok(see_other(format!("/incoming/{id}")))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Undo {
    reason: String,
}

/// Takes back the opt-out that a message caused.
async fn undo(visit: Visit, id: web::Path<i64>, Posted(given): Posted<Undo>) -> WebResult {
    visit.require(Role::Manager)?;
    let id = IncomingId(*id);
    match take_back(&visit, id, given.reason.trim()).await {
        Ok(()) => {
            visit.tell("incoming.undone_now");
            Ok(see_other(format!("/incoming/{id}")))
        }
        Err(Error::Invalid(errors)) => {
            let typed = Typed {
                reason: given.reason,
                ..Typed::default()
            };
            render(&visit, id, typed, errors).await
        }
        Err(other) => Err(other.into()),
    }
}

/// A reply to the message, over the account it came by.
async fn answer(visit: Visit, id: web::Path<i64>, payload: web::Payload) -> WebResult {
    let id = IncomingId(*id);
    let filled = multipart::read(&visit, payload).await?;
    let (input, read) = with_file(&visit, filled).await?;
    let sent: Result<bool> = async {
        // The file was taken off: the page again, with the rest of what was typed.
        if !read? {
            return Ok(false);
        }
        let mut conn = visit.conn().await?;
        let (company, user) = (visit.company, visit.user);
        reply::send(&visit.app, &mut conn, company, user, id, &input).await?;
        conn.commit().await?;
        Ok(true)
    }
    .await;
    match sent {
        Ok(false) => {
            let typed = Typed {
                reply: input,
                ..Typed::default()
            };
            render(&visit, id, typed, FieldErrors::default()).await
        }
        Ok(true) => {
            visit.app.wake.deliver.notify_one();
            visit.tell("incoming.replied");
            Ok(see_other(format!("/incoming/{id}")))
        }
        Err(Error::Invalid(errors)) => {
            let typed = Typed {
                reply: input,
                ..Typed::default()
            };
            render(&visit, id, typed, errors).await
        }
        Err(other) => Err(other.into()),
    }
}

/// What was typed, with the file that came along kept; whether it is to be sent, or what is wrong with the file.
async fn with_file(visit: &Visit, filled: Filled) -> Result<(ReplyInput, Result<bool>)> {
    let mut input = ReplyInput::default();
    let mut sends = true;
    for (name, value) in filled.pairs {
        match name.as_str() {
            "text" => input.text = value,
            "key" => input.key = value,
            "media_id" => input.media_id = value,
            "then" => sends = value != "remove_file",
            _ => {}
        }
    }
    if !sends {
        input.media_id.clear();
    }
    let kept = match filled.file.filter(|_| sends) {
        None => return Ok((input, Ok(sends))),
        Some(Err(error)) => Err(error),
        Some(Ok(file)) => crate::media::keep(&visit.app, visit.company, visit.user, file).await,
    };
    match kept {
        Ok(kept) => {
            input.media_id = kept.id.to_string();
            Ok((input, Ok(true)))
        }
        Err(fault @ Error::Invalid(_)) => Ok((input, Err(fault))),
        Err(other) => Err(other),
    }
}

async fn take_back(visit: &Visit, id: IncomingId, reason: &str) -> Result<()> {
    let mut conn = visit.conn().await?;
    let message = query::find(&mut conn, id).await?;
    incoming::undo_opt_out(&mut conn, id, reason).await?;
    if let Some(contact) = message.contact_id {
        let (by, note) = (Some(visit.user), Some(reason));
        let what = "opt_in";
        audit::note(
            &mut conn,
            visit.company,
            "contacts",
            contact.0,
            by,
            what,
            note,
        )
        .await?;
    }
    conn.commit().await
}

/// The file of a message: shown where a browser can do so without running anything, else saved.
async fn file(visit: Visit, id: web::Path<i64>) -> WebResult {
    let mut conn = visit.conn().await?;
    let kept = files::find(&mut conn, IncomingId(*id)).await?;
    drop(conn);
    let Some((kept, key)) = kept.and_then(|kept| Some((kept.clone(), kept.storage_key?))) else {
        return Err(Error::NotFound.into());
    };
    let served = Served {
        key,
        mime: kept.mime.clone(),
        name: kept.name(),
        length: u64::try_from(kept.size).unwrap_or_default(),
    };
    Ok(media::answer(&visit.app, &visit.request, &served, kept.is_shown()).await?)
}
