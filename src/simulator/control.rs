//! The simulator's own addresses: what arrived, which faults happen, people who write; and its page.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use askama::Template;
use serde_json::json;

use super::arrived::Message;
use super::{Faults, State, Webhook, flow, locked, meta, meta_templates, session};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(page))
        .route("/simulator.css", web::get().to(css))
        .route("/simulator/arrived", web::get().to(arrived))
        .route("/simulator/faults", web::post().to(faults))
        .route("/simulator/incoming", web::post().to(incoming))
        .route("/simulator/write", web::post().to(write))
        .route("/simulator/session", web::post().to(status))
        .route("/simulator/scan", web::post().to(scan))
        .route("/simulator/template", web::post().to(template))
        .route("/simulator/webhook", web::post().to(webhook))
        .route("/simulator/reset", web::post().to(reset));
}

#[derive(serde::Deserialize)]
struct Wanted {
    details: Option<u8>,
    limit: Option<usize>,
}

async fn arrived(query: web::Query<Wanted>, state: web::Data<State>) -> HttpResponse {
    let json = locked(&state.arrived).json(query.details == Some(1), query.limit.unwrap_or(20));
    HttpResponse::Ok().json(json)
}

async fn faults(body: web::Json<Faults>, state: web::Data<State>) -> HttpResponse {
    *locked(&state.faults) = body.into_inner();
    HttpResponse::Ok().json(json!({ "faults": *locked(&state.faults) }))
}

#[derive(serde::Deserialize)]
pub(super) struct Written {
    /// Digits, or a full address such as 123@lid or 123@g.us.
    from: String,
    text: String,
    name: Option<String>,
    id: Option<String>,
}

impl Written {
    pub(super) fn new(from: &str, name: &str, text: &str) -> Self {
        Self {
            from: from.to_owned(),
            text: text.to_owned(),
            name: Some(name.to_owned()),
            id: None,
        }
    }
}

pub(super) async fn somebody_writes(state: &State, written: &Written) {
    let from = if written.from.contains('@') {
        written.from.clone()
    } else {
        format!("{}@c.us", written.from)
    };
    if state.hooks.target().is_none() {
        flow::bring(state, &from, &written.text, written.name.as_deref()).await;
    }
    let id = written
        .id
        .clone()
        .unwrap_or_else(|| locked(&state.arrived).new_id(state.options.seed));
    state.hooks.post(
        "message.any",
        json!({
            "id": format!("false_{from}_{id}"), "timestamp": state.options.clock.now().timestamp(), "from": from, "fromMe": false,
            "source": "app", "body": written.text, "hasMedia": false, "media": null, "ack": 2, "ackName": "DEVICE", "replyTo": null,
            "_data": { "notifyName": written.name },
        }),
    );
}

async fn incoming(body: web::Json<Written>, state: web::Data<State>) -> HttpResponse {
    somebody_writes(&state, &body).await;
    HttpResponse::Ok().json(json!({ "posted": state.hooks.target().is_some() }))
}

async fn write(form: web::Form<Written>, state: web::Data<State>) -> HttpResponse {
    somebody_writes(&state, &form).await;
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/"))
        .finish()
}

#[derive(serde::Deserialize)]
struct Status {
    status: String,
}

async fn status(body: web::Json<Status>, state: web::Data<State>) -> HttpResponse {
    session::set_status(&state, &body.status);
    HttpResponse::Ok().json(json!({ "status": body.status }))
}

/// The phone scans the code.
async fn scan(state: web::Data<State>) -> HttpResponse {
    session::link(&state);
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/"))
        .finish()
}

/// What happens to a template at Meta; what is left out stays.
#[derive(serde::Deserialize)]
struct Told {
    name: String,
    /// APPROVED, PAUSED, REJECTED ...
    status: Option<String>,
    #[serde(default)]
    reason: String,
    category: Option<String>,
    /// Its messages are held back while its quality is assessed.
    held: Option<bool>,
}

async fn template(body: web::Json<Told>, state: web::Data<State>) -> HttpResponse {
    let told = body.into_inner();
    if let Some(status) = &told.status {
        meta_templates::becomes(&state, &told.name, status, &told.reason);
    }
    if let Some(category) = &told.category {
        meta_templates::moves(&state, &told.name, category);
    }
    if let Some(held) = told.held {
        meta::paces(&state, &told.name, held);
    }
    HttpResponse::Ok().json(json!({ "name": told.name }))
}

async fn webhook(body: web::Json<Webhook>, state: web::Data<State>) -> HttpResponse {
    state.hooks.set_target(Some(body.into_inner()));
    HttpResponse::Ok().json(json!({ "set": true }))
}

async fn reset(state: web::Data<State>) -> HttpResponse {
    locked(&state.arrived).clear();
    HttpResponse::Ok().json(json!({ "total": 0 }))
}

#[derive(Template)]
#[template(path = "simulator/page.html")]
struct Page {
    version: String,
    engine: String,
    session: String,
    status: String,
    webhook: Option<String>,
    total: usize,
    doubled: usize,
    messages: Vec<Message>,
}

async fn page(state: web::Data<State>) -> HttpResponse {
    let page = {
        let arrived = locked(&state.arrived);
        Page {
            version: state.options.version.clone(),
            engine: state.options.engine.clone(),
            session: state.options.session.clone(),
            status: state.session.status(),
            webhook: state.hooks.target().map(|webhook| webhook.url),
            total: arrived.total(),
            doubled: arrived.doubled(),
            messages: arrived.last(30),
        }
    };
    match page.render() {
        Ok(html) => HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .body(html),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn css() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .body(include_str!("../../static/simulator.css"))
}
