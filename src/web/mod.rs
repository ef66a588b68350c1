//! The panel: pages and forms. A file a noun; this one is the site map.
//!
//! Invariants: a handler extracts, asks for a right, calls one verb and answers; no SQL stands here;
//! every successful POST answers 303.

pub mod account_flow;
pub mod account_meta;
pub mod account_verbs;
pub mod accounts;
pub mod api_docs;
pub mod assets;
pub mod badges;
pub mod banners;
pub mod bulk_runs;
pub mod callbacks;
pub mod companies;
pub mod contacts;
pub mod edit;
pub mod error;
pub mod export;
pub mod favourites;
pub mod form;
pub mod gateway_log;
pub mod health;
pub mod history;
pub mod imports;
pub mod incoming;
pub mod instances;
pub mod job_runs;
pub mod jobs;
pub mod join;
pub mod kept;
pub mod list;
pub mod lists;
pub mod login;
pub mod logs;
pub mod mailings;
pub mod media;
pub mod menu;
pub mod multipart;
pub mod once;
pub mod outgoing;
pub mod pace;
pub mod page;
pub mod pieces;
pub mod preferences;
pub mod security;
pub mod session;
pub mod setup;
pub mod table;
pub mod rates;
mod template_form;
pub mod templates;
pub mod tokens;
pub mod users;
pub mod visit;
pub mod waha_sending;
pub mod waha_session;
pub mod webhook_log;

use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, web};

use crate::app::App;
use crate::web::error::WebResult;
use crate::web::form::see_other;
use crate::web::session::Signed;

/// The site map of the panel.
pub fn routes(config: &mut web::ServiceConfig, app: &App) {
    config
        .route("/healthz", web::get().to(health::healthz))
        .route("/readyz", web::get().to(health::readyz))
        .route("/static/{version}/{path:.*}", web::get().to(assets::file))
        .configure(media::public)
        .service(
            web::scope("")
                .wrap(from_fn(error::pages))
                .wrap(from_fn(kept::catch))
                .wrap(session::middleware(app))
                .wrap(from_fn(error::away))
                .wrap(security::private())
                .route("/", web::get().to(first_page))
                .route("/setup", web::get().to(setup::page))
                .route("/setup", web::post().to(setup::set_up))
                .route("/login", web::get().to(login::page))
                .route("/login", web::post().to(login::sign_in))
                .route("/logout", web::post().to(login::sign_out))
                .route("/company", web::post().to(login::switch_company))
                .route("/company/back", web::post().to(login::switch_back))
                .configure(nouns)
                .default_service(web::to(nowhere)),
        );
}

/// The pages of each noun.
fn nouns(config: &mut web::ServiceConfig) {
    config
        .configure(mailings::routes)
        .configure(media::routes)
        .configure(logs::routes)
        .configure(lists::routes)
        .configure(rates::routes)
        .configure(templates::routes)
        .configure(contacts::routes)
        .configure(imports::routes)
        .configure(incoming::routes)
        .configure(outgoing::routes)
        .configure(accounts::routes)
        .configure(account_flow::routes)
        .configure(waha_session::routes)
        .configure(waha_sending::routes)
        .configure(jobs::routes)
        .configure(gateway_log::routes)
        .configure(webhook_log::routes)
        .configure(instances::routes)
        .configure(tokens::routes)
        .configure(api_docs::routes)
        .configure(preferences::routes)
        .configure(favourites::routes)
        .configure(users::routes)
        .configure(companies::routes)
        .configure(join::routes)
        .configure(kept::routes)
        .configure(bulk_runs::routes)
        .configure(export::routes);
}

async fn first_page(_: Signed) -> HttpResponse {
    see_other("/mailings")
}

async fn nowhere(_: Signed) -> WebResult {
    Err(crate::error::Error::NotFound.into())
}
