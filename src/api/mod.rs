//! The REST API and the gateways' webhooks: JSON in, JSON out.
//!
//! Invariants: a token acts as its user in its company; unknown fields are refused; every error has the
//! same envelope and never a driver's words; every call is in the document (document.rs). Shares its verbs with the panel and names none of its
//! modules.

pub mod callbacks;
pub mod document;
pub mod error;
pub mod flow;
pub mod idempotency;
pub mod limit;
pub mod token;
pub mod v1;
pub mod webhooks;

use actix_web::middleware::from_fn;
use actix_web::web;

use v1::{
    account_changes, accounts, callback_token, contacts, import_undo, imports, incoming, lists,
    mailings, media, messages, outgoing, templates,
};

/// The site map of the API.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::scope("/api/v1")
                .wrap(from_fn(limit::limited))
                .wrap(from_fn(error::enveloped))
                .app_data(web::PayloadConfig::new(16 * 1024 * 1024))
                .route("/openapi.json", web::get().to(document::openapi))
                .route("/accounts", web::post().to(accounts::create))
                .route("/accounts", web::get().to(accounts::list))
                .route("/accounts/{id:[0-9]+}", web::get().to(accounts::show))
                .route(
                    "/accounts/{id:[0-9]+}",
                    web::patch().to(account_changes::change),
                )
                .route(
                    "/accounts/{id:[0-9]+}/callback_secret",
                    web::post().to(account_changes::callback_secret),
                )
                .route("/callback_token", web::get().to(callback_token::show))
                .route("/callback_token", web::post().to(callback_token::make))
                .route("/gateway_log", web::get().to(account_changes::gateway_log))
                .route(
                    "/gateway_log",
                    web::patch().to(account_changes::change_gateway_log),
                )
                .route("/accounts/{id:[0-9]+}/test", web::post().to(accounts::test))
                .route(
                    "/accounts/{id:[0-9]+}/pause",
                    web::post().to(accounts::pause),
                )
                .route(
                    "/accounts/{id:[0-9]+}/resume",
                    web::post().to(accounts::resume),
                )
                .route(
                    "/accounts/{id:[0-9]+}/templates",
                    web::post().to(templates::copy),
                )
                .route("/templates", web::get().to(templates::list))
                .route("/lists", web::post().to(lists::create))
                .route("/lists", web::get().to(lists::list))
                .route("/lists/{id:[0-9]+}", web::get().to(lists::show))
                .route("/contacts/bulk", web::post().to(contacts::bulk))
                .route("/contacts", web::get().to(contacts::list))
                .route("/contacts/{id:[0-9]+}", web::get().to(contacts::show))
                .route("/contacts/{id:[0-9]+}", web::patch().to(contacts::update))
                .route("/imports", web::post().to(imports::create))
                .route("/imports/{id:[0-9]+}", web::get().to(imports::show))
                .route(
                    "/imports/{id:[0-9]+}/undo",
                    web::get().to(import_undo::foresee),
                )
                .route(
                    "/imports/{id:[0-9]+}/undo",
                    web::post().to(import_undo::run),
                )
                .route(
                    "/imports/{id:[0-9]+}/rejected.csv",
                    web::get().to(imports::rejected),
                )
                .route("/mailings", web::post().to(mailings::create))
                .route("/mailings", web::get().to(mailings::list))
                .route("/mailings/{id:[0-9]+}", web::get().to(mailings::show))
                .route(
                    "/mailings/{id:[0-9]+}/preflight",
                    web::get().to(mailings::preflight),
                )
                .route(
                    "/mailings/{id:[0-9]+}/submit",
                    web::post().to(mailings::submit),
                )
                .route(
                    "/mailings/{id:[0-9]+}/send_now",
                    web::post().to(mailings::send_now),
                )
                .route(
                    "/mailings/{id:[0-9]+}/pause",
                    web::post().to(mailings::pause),
                )
                .route(
                    "/mailings/{id:[0-9]+}/resume",
                    web::post().to(mailings::resume),
                )
                .route(
                    "/mailings/{id:[0-9]+}/cancel",
                    web::post().to(mailings::cancel),
                )
                .route(
                    "/mailings/{id:[0-9]+}/draft",
                    web::post().to(mailings::draft),
                )
                .route(
                    "/mailings/{id:[0-9]+}/retry_failed",
                    web::post().to(mailings::retry_failed),
                )
                .route(
                    "/mailings/{id:[0-9]+}/duplicate",
                    web::post().to(mailings::duplicate),
                )
                .route("/media", web::post().to(media::create))
                .route("/media/{id:[0-9]+}", web::get().to(media::show))
                .route("/messages", web::get().to(messages::list))
                .route("/outgoing/pull", web::post().to(outgoing::pull))
                .route("/outgoing/results", web::post().to(outgoing::results))
                .route("/incoming", web::get().to(incoming::list))
                .default_service(web::to(error::no_such_address)),
        )
        .service(
            web::scope("/webhooks")
                // Meta posts up to 3 MB.
                .app_data(web::PayloadConfig::new(4 * 1024 * 1024))
                .route("/waha/{account_key}", web::post().to(webhooks::waha))
                .route("/meta/{account_key}", web::get().to(webhooks::meta_verify))
                .route("/meta/{account_key}", web::post().to(webhooks::meta))
                .route("/n8n/{account_key}", web::post().to(callbacks::signed))
                .route("/flow/{account_key}", web::post().to(flow::events)),
        )
        .service(
            web::scope("/isi")
                .app_data(web::PayloadConfig::new(1024 * 1024))
                .route("/create_logsent", web::post().to(callbacks::create_logsent))
                .route("/wa_incoming", web::post().to(callbacks::wa_incoming))
                .route("/wa_config", web::post().to(callbacks::wa_config))
                .route(
                    "/cleanup_message",
                    web::post().to(callbacks::cleanup_message),
                )
                .default_service(web::to(error::no_such_address)),
        );
}
