//! Recipients: the people we may write to.
//!
//! The list stands here; `form` is one person's page, `bulk` what is done to many at once, `consent`
//! the two questions before somebody is opted out or in.

mod bulk;
mod consent;
mod form;

use actix_web::web;

use crate::contacts::list::LIST;
use crate::lists;
use crate::web::error::WebResult;
use crate::web::list::{Bulk, Empty, ListView};
use crate::web::page::{Action, Menu};
use crate::web::table::{self, Table};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/contacts", web::get().to(list))
        .route("/contacts/new", web::get().to(form::new))
        .route("/contacts", web::post().to(form::create))
        .route("/contacts/bulk/add", web::post().to(bulk::add))
        .route("/contacts/bulk/remove", web::post().to(bulk::remove))
        .route("/contacts/bulk/opt-out", web::post().to(bulk::opt_out))
        .route(
            "/contacts/bulk/{verb:archive|unarchive}",
            web::post().to(bulk::set_active),
        )
        .route("/contacts/bulk/mailing", web::post().to(bulk::mailing))
        .route("/contacts/{id:[0-9]+}", web::get().to(form::show))
        .route("/contacts/{id:[0-9]+}", web::post().to(form::update))
        .route("/contacts/{id:[0-9]+}/note", web::post().to(form::note))
        .route(
            "/contacts/{id:[0-9]+}/{verb:opt-out|opt-in}",
            web::get().to(consent::ask),
        )
        .route(
            "/contacts/{id:[0-9]+}/{verb:opt-out|opt-in}",
            web::post().to(consent::decide),
        );
}

/// Why people usually want no more messages, in the person's language.
fn reasons(visit: &Visit) -> Vec<String> {
    [
        "contacts.reason.phone",
        "contacts.reason.person",
        "contacts.reason.email",
        "contacts.reason.many",
        "contacts.reason.wrong",
    ]
    .map(|key| visit.t(key))
    .to_vec()
}

async fn list(visit: Visit) -> WebResult {
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let lists = lists::list::names(&mut conn).await?;
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    let import = Action::link(shell.t("contacts.import"), "/imports/new").icon("upload");
    let new = Action::link(shell.t("contacts.new"), "/contacts/new").icon("plus");
    let empty = Empty {
        icon: "users",
        title: "contacts.none",
        text: "contacts.none_text",
        actions: vec![import.clone(), new],
    };
    let table = Table::new(shell, "menu.recipients", "/contacts/", found);
    Ok(ListView::new(table, "/contacts", empty)
        .creating("/contacts/new")
        .cog(vec![import])
        .bulk(buttons(&visit, &lists))
        .answer())
}

/// The buttons over a selection.
fn buttons(visit: &Visit, lists: &[(crate::ids::ListId, String)]) -> Vec<Bulk> {
    let options: Vec<(String, String)> = lists
        .iter()
        .map(|(id, name)| (id.to_string(), name.clone()))
        .collect();
    let reasons = reasons(visit)
        .into_iter()
        .map(|reason| (reason.clone(), reason))
        .collect();
    vec![
        Bulk::new("/contacts/bulk/add", "contacts.add", "playlist-add").with(
            "to_list",
            "contacts.add_choose",
            options.clone(),
        ),
        Bulk::new("/contacts/bulk/remove", "contacts.remove", "x").with(
            "from_list",
            "contacts.remove_choose",
            options,
        ),
        Bulk::new(
            "/contacts/bulk/opt-out",
            "contacts.opt_out_button",
            "user-off",
        )
        .with("reason", "contacts.reason_choose", reasons),
        Bulk::new("/contacts/bulk/mailing", "contacts.mail", "send"),
        Bulk::new("/contacts/bulk/archive", "form.archive", "archive"),
        Bulk::new("/contacts/bulk/unarchive", "form.unarchive", "archive"),
    ]
}
