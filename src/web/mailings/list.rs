//! The list of mailings, and what may be done with several of them.

use crate::auth::Role;
use crate::bulk;
use crate::error::{Error, Result};
use crate::ids::MailingId;
use crate::mailings::list::LIST;
use crate::mailings::{self, Verb};
use crate::search::ListQuery;
use crate::web::bulk_runs;
use crate::web::error::WebResult;
use crate::web::form::{Posted, see_other};
use crate::web::list::{Bulk, Empty, ListView, Selected};
use crate::web::page::{Action, Menu};
use crate::web::table::{self, Table};
use crate::web::visit::Visit;

use super::{noted, own};

pub async fn page(visit: Visit) -> WebResult {
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let empty = Empty {
        icon: "speakerphone",
        title: "mailings.none",
        text: "mailings.none_text",
        actions: vec![
            Action::link(shell.t("mailings.new"), "/mailings/new").icon("plus"),
            Action::link(shell.t("menu.lists"), "/lists").icon("users"),
        ],
    };
    let bulk = vec![Bulk::new("/mailings/archive", "form.archive", "archive")];
    let table = Table::new(shell, "menu.mailings", "/mailings/", found);
    Ok(ListView::new(table, "/mailings", empty)
        .creating("/mailings/new")
        .bulk(bulk)
        .answer())
}

/// Archives the chosen ones that may be; the others stay, and the person is told how many. Everything a search
/// found is asked about first.
pub async fn archive(visit: Visit, Posted(selected): Posted<Selected>) -> WebResult {
    let mut conn = visit.conn().await?;
    if selected.all.is_some() {
        let back = ListQuery::parse(&selected.selection, &LIST).href();
        let wanted = bulk::Wanted {
            action: bulk::Action::ArchiveMailings,
            argument: if visit.role >= Role::Manager {
                ""
            } else {
                bulk::OWN
            },
            argument_name: "",
            back: &format!("/mailings{back}"),
        };
        let run = bulk_runs::ask(&visit, &mut conn, (&LIST, None), &selected, wanted).await?;
        conn.commit().await?;
        return Ok(see_other(format!("/bulk/{run}")));
    }
    let ids = selected.resolve(&mut conn, &LIST, &visit, None).await?;
    let (mut done, mut left) = (0, 0);
    for id in ids.into_iter().map(MailingId) {
        if archived(&visit, &mut conn, id).await? {
            done += 1;
        } else {
            left += 1;
        }
    }
    conn.commit().await?;
    if done > 0 {
        visit.tell(&visit.tn("mailings.archived", done));
    }
    if left > 0 {
        visit.warn(&visit.tn("mailings.not_archived", left));
    }
    Ok(see_other("/mailings"))
}

async fn archived(
    visit: &Visit,
    conn: &mut diesel_async::AsyncPgConnection,
    id: MailingId,
) -> Result<bool> {
    let mailing = match own(visit, conn, id).await {
        Ok(mailing) => mailing,
        Err(Error::Forbidden | Error::NotFound) => return Ok(false),
        Err(other) => return Err(other),
    };
    if !mailing.allows(Verb::Archive) {
        return Ok(false);
    }
    if mailing.active {
        mailings::set_active(conn, id, false).await?;
        noted(visit, conn, id, "archive").await?;
    }
    Ok(true)
}
