//! What is done to many recipients at once.
//!
//! Invariants: who is changed was read again through the person's company; everything a search finds is
//! asked about first (`web::bulk_runs`), the ticked rows of a page are changed at once.

use actix_web::web;
use diesel_async::AsyncPgConnection;

use crate::bulk::{Action, Wanted};
use crate::contacts::list::{LIST, known};
use crate::db::CompanyConn;
use crate::error::{Error, Result};
use crate::ids::{ContactId, ListId};
use crate::search::ListQuery;
use crate::web::bulk_runs;
use crate::web::error::WebResult;
use crate::web::form::{Posted, see_other};
use crate::web::list::Selected;
use crate::web::visit::Visit;
use crate::{audit, contacts, lists};

/// The most people a mailing takes one by one.
const MOST_IN_MAILING: usize = 500;

/// The selection, and the fields of all its buttons.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Chosen {
    ids: Vec<i64>,
    all: Option<String>,
    selection: String,
    to_list: String,
    from_list: String,
    reason: String,
}

impl Chosen {
    /// Everything the search finds is meant: that is asked about first, and frozen.
    async fn asked(
        &self,
        visit: &Visit,
        mut conn: CompanyConn,
        action: Action,
        (argument, argument_name): (&str, &str),
    ) -> WebResult {
        let back = self.back();
        let wanted = Wanted {
            action,
            argument,
            argument_name,
            back: &back,
        };
        let run = bulk_runs::ask(visit, &mut conn, (&LIST, None), &self.selected(), wanted).await?;
        conn.commit().await?;
        Ok(see_other(format!("/bulk/{run}")))
    }

    fn selected(&self) -> Selected {
        Selected {
            ids: self.ids.clone(),
            all: self.all.clone(),
            selection: self.selection.clone(),
        }
    }

    async fn people(&self, conn: &mut AsyncPgConnection, visit: &Visit) -> Result<Vec<ContactId>> {
        let ids = self.selected().resolve(conn, &LIST, visit, None).await?;
        let ids: Vec<ContactId> = ids.into_iter().map(ContactId).collect();
        let people = known(conn, &ids).await?;
        if people.is_empty() {
            return Err(Error::NotFound);
        }
        Ok(people)
    }

    /// The list as it was looked at.
    fn back(&self) -> String {
        format!(
            "/contacts{}",
            ListQuery::parse(&self.selection, &LIST).href()
        )
    }
}

/// The list that was chosen beside the button.
async fn list(
    conn: &mut AsyncPgConnection,
    visit: &Visit,
    field: &str,
    chosen: &str,
) -> Result<lists::List> {
    let id = chosen
        .parse()
        .map_err(|_| Error::invalid(field, visit.t("contacts.list_first")))?;
    Ok(lists::find(conn, ListId(id)).await?)
}

/// Says in everybody's history who did what.
async fn noted(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    people: &[ContactId],
    what: &str,
    note: Option<&str>,
) -> Result<()> {
    let records: Vec<i64> = people.iter().map(|person| person.0).collect();
    let by = Some(visit.user);
    audit::note_many(conn, visit.company, "contacts", &records, by, what, note).await?;
    Ok(())
}

/// Tells how many were changed, and goes back to the list.
fn told(visit: &Visit, key: &str, changed: usize, chosen: &Chosen) -> WebResult {
    let changed = i64::try_from(changed).unwrap_or(i64::MAX);
    visit.tell(&visit.tn(key, changed));
    Ok(see_other(chosen.back()))
}

pub async fn add(visit: Visit, Posted(chosen): Posted<Chosen>) -> WebResult {
    let mut conn = visit.conn().await?;
    let list = list(&mut conn, &visit, "to_list", &chosen.to_list).await?;
    if chosen.all.is_some() {
        let argument = (list.id.to_string(), list.name);
        let argument = (argument.0.as_str(), argument.1.as_str());
        return chosen
            .asked(&visit, conn, Action::AddToList, argument)
            .await;
    }
    let people = chosen.people(&mut conn, &visit).await?;
    let added = lists::add_members(&mut conn, visit.company, list.id, &people).await?;
    noted(&visit, &mut conn, &people, "list_added", Some(&list.name)).await?;
    conn.commit().await?;
    told(&visit, "contacts.told_added", added, &chosen)
}

pub async fn remove(visit: Visit, Posted(chosen): Posted<Chosen>) -> WebResult {
    let mut conn = visit.conn().await?;
    let list = list(&mut conn, &visit, "from_list", &chosen.from_list).await?;
    if chosen.all.is_some() {
        let argument = (list.id.to_string(), list.name);
        let argument = (argument.0.as_str(), argument.1.as_str());
        return chosen
            .asked(&visit, conn, Action::RemoveFromList, argument)
            .await;
    }
    let people = chosen.people(&mut conn, &visit).await?;
    let members = lists::list::among(&mut conn, list.id, &people).await?;
    let removed = lists::remove_members(&mut conn, list.id, &members).await?;
    noted(
        &visit,
        &mut conn,
        &members,
        "list_removed",
        Some(&list.name),
    )
    .await?;
    conn.commit().await?;
    told(&visit, "contacts.told_removed", removed, &chosen)
}

pub async fn opt_out(visit: Visit, Posted(chosen): Posted<Chosen>) -> WebResult {
    let reason = chosen.reason.trim();
    if reason.is_empty() {
        return Err(Error::invalid("reason", visit.t("contacts.reason_first")).into());
    }
    let mut conn = visit.conn().await?;
    if chosen.all.is_some() {
        let argument = (reason, reason);
        return chosen.asked(&visit, conn, Action::OptOut, argument).await;
    }
    let people = chosen.people(&mut conn, &visit).await?;
    let changed = contacts::opt_out(&mut conn, &people, reason).await?;
    noted(&visit, &mut conn, &people, "opt_out", Some(reason)).await?;
    conn.commit().await?;
    told(&visit, "contacts.told_opted_out", changed, &chosen)
}

pub async fn set_active(
    visit: Visit,
    verb: web::Path<String>,
    Posted(chosen): Posted<Chosen>,
) -> WebResult {
    let active = verb.as_str() == "unarchive";
    let mut conn = visit.conn().await?;
    if chosen.all.is_some() {
        let action = if active {
            Action::Unarchive
        } else {
            Action::Archive
        };
        return chosen.asked(&visit, conn, action, ("", "")).await;
    }
    let people = chosen.people(&mut conn, &visit).await?;
    let changed = contacts::set_active(&mut conn, &people, active).await?;
    noted(&visit, &mut conn, &people, &verb, None).await?;
    conn.commit().await?;
    let key = if active {
        "contacts.told_unarchived"
    } else {
        "contacts.told_archived"
    };
    told(&visit, key, changed, &chosen)
}

/// A new mailing to the selected people; nothing is made before it is saved.
pub async fn mailing(visit: Visit, Posted(chosen): Posted<Chosen>) -> WebResult {
    let mut conn = visit.conn().await?;
    let people = chosen.people(&mut conn, &visit).await?;
    if people.len() > MOST_IN_MAILING {
        return Err(Error::invalid("ids", visit.t("contacts.too_many")).into());
    }
    let people: Vec<String> = people
        .iter()
        .map(|person| format!("contact={person}"))
        .collect();
    Ok(see_other(format!("/mailings/new?{}", people.join("&"))))
}
