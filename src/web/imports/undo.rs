//! The question before an import is taken back: who goes, who gets something back, who stays and why.
//!
//! Invariant: for managers, because people go.

use std::time::Duration;

use actix_web::web;
use askama::Template;
use diesel_async::AsyncPgConnection;

use super::pages::short;
use crate::auth::Role;
use crate::error::Result;
use crate::ids::ImportId;
use crate::imports::undo::{self, Fate, Undone};
use crate::imports::{Import, query};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::page::{Menu, Shell, html};
use crate::web::visit::Visit;

/// How long a page waits; a million people take a minute or two.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Template)]
#[template(path = "imports/undo.html")]
struct UndoPage {
    shell: Shell,
    import: Import,
    fate: Fate,
}

impl UndoPage {
    fn name(&self) -> String {
        short(&self.import.file_name)
    }

    fn href(&self) -> String {
        format!("/imports/{}", self.import.id)
    }

    fn action(&self) -> String {
        format!("/imports/{}/undo", self.import.id)
    }

    fn word(&self, reason: &str) -> String {
        self.shell.t(&format!("imports.stays.{reason}"))
    }
}

/// Whether the person who looks may take this import back.
pub async fn is_offered(visit: &Visit, conn: &mut AsyncPgConnection, id: ImportId) -> Result<bool> {
    Ok(visit.require(Role::Manager).is_ok() && undo::is_open(conn, id).await?)
}

pub async fn question(visit: Visit, id: web::Path<i64>) -> WebResult {
    visit.require(Role::Manager)?;
    let id = ImportId(*id);
    let mut conn = visit.conn().await?;
    let import = query::find(&mut conn, id).await?;
    if !undo::is_open(&mut conn, id).await? {
        return Ok(see_other(format!("/imports/{id}")));
    }
    Ok(html(UndoPage {
        fate: undo::fate(&mut conn, id).await?,
        shell: visit.shell(Menu::Contacts, &mut conn).await?,
        import,
    }))
}

pub async fn run(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Manager)?;
    let id = ImportId(*id);
    let (db, company, user) = (visit.app.db.clone(), visit.company, visit.user);
    // Neither a page that is closed nor one that waited long enough stops it.
    let undoing = tokio::spawn(async move { undo::undo(&db, company, user, id).await });
    match tokio::time::timeout(PATIENCE, undoing).await {
        Ok(undone) => {
            let undone = undone.map_err(anyhow::Error::from)??;
            visit.tell(&said(&visit, undone));
        }
        Err(_) => visit.tell("imports.undoing"),
    }
    Ok(see_other(format!("/imports/{id}")))
}

/// What was done, without what was not.
fn said(visit: &Visit, Undone { gone, restored }: Undone) -> String {
    let mut said = Vec::new();
    if gone > 0 || restored == 0 {
        said.push(visit.tn("imports.undone", gone));
    }
    if restored > 0 {
        said.push(visit.tn("imports.restored", restored));
    }
    said.join(" ")
}
