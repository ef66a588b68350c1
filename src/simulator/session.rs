//! The session a simulated WAHA has: its status, its configuration, the phone that is linked or not.
//!
//! As WAHA Core does it: the session is there before anybody made it, starting it twice is refused, and
//! a change of its configuration restarts it while it runs.

use std::sync::Mutex;

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::waha::{authorized, bad_request, refused};
use super::{Options, State, Webhook, locked, qr};

/// How long a code stands, in seconds.
const TURN: i64 = 20;

pub(super) struct Session(Mutex<Inner>);

struct Inner {
    status: String,
    /// Whether the phone knows it.
    linked: bool,
    /// Whether there is one of the name.
    there: bool,
    config: Value,
}

impl Session {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Inner {
            status: "WORKING".to_owned(),
            linked: true,
            there: true,
            config: json!({ "noweb": { "store": { "enabled": true, "fullSync": false } } }),
        }))
    }

    pub(super) fn status(&self) -> String {
        locked(&self.0).status.clone()
    }

    /// Whether messages are kept to be looked up.
    pub(super) fn keeps(&self, options: &Options) -> bool {
        let told = locked(&self.0).config["noweb"]["store"]["enabled"] == true;
        options.engine != "NOWEB" || told
    }

    fn is_there(&self, name: &str, options: &Options) -> bool {
        name == options.session && locked(&self.0).there
    }

    fn json(&self, options: &Options) -> Value {
        let inner = locked(&self.0);
        let me = (inner.status == "WORKING")
            .then(|| json!({ "id": "628990000001@c.us", "pushName": "Simulator", "lid": "99999999999@lid" }));
        json!({ "name": options.session, "status": inner.status, "config": inner.config, "me": me,
            "presence": null, "timestamps": { "activity": null }, "engine": { "engine": options.engine } })
    }
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/sessions", web::get().to(sessions))
        .route("/api/sessions", web::post().to(create))
        .route("/api/sessions/{name}", web::get().to(session))
        .route("/api/sessions/{name}", web::put().to(configure))
        .route("/api/sessions/{name}", web::delete().to(delete))
        .route("/api/sessions/{name}/me", web::get().to(me))
        .route(
            "/api/sessions/{name}/{action:start|stop|restart|logout}",
            web::post().to(act),
        )
        .route("/api/{session}/auth/qr", web::get().to(code_to_scan))
        .route(
            "/api/{session}/auth/request-code",
            web::post().to(code_to_type),
        );
}

fn no_session() -> HttpResponse {
    HttpResponse::NotFound()
        .json(json!({ "message": "Session not found", "error": "Not Found", "statusCode": 404 }))
}

pub(super) fn unprocessable(message: &str) -> HttpResponse {
    HttpResponse::UnprocessableEntity()
        .json(json!({ "message": message, "error": "Unprocessable Entity", "statusCode": 422 }))
}

async fn sessions(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    authorized!(request, state);
    HttpResponse::Ok().json(json!([state.session.json(&state.options)]))
}

async fn session(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if state.session.is_there(&name, &state.options) {
        HttpResponse::Ok().json(state.session.json(&state.options))
    } else {
        no_session()
    }
}

async fn create(
    request: HttpRequest,
    body: web::Json<Value>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    let name = body["name"].as_str().unwrap_or("default");
    if name != state.options.session {
        return unprocessable("WAHA Core support only 'default' session.");
    }
    if state.session.is_there(name, &state.options) {
        return unprocessable(&format!(
            "Session '{name}' already exists. Use PUT to update it."
        ));
    }
    {
        let mut inner = locked(&state.session.0);
        inner.there = true;
        inner.linked = false;
        inner.status = "STOPPED".to_owned();
    }
    take_config(&state, &body["config"]);
    if body["start"] != false {
        begin(&state);
    }
    HttpResponse::Created().json(state.session.json(&state.options))
}

async fn delete(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if state.session.is_there(&name, &state.options) {
        locked(&state.session.0).there = false;
    }
    HttpResponse::Ok().finish()
}

/// Takes webhooks from a session's configuration, as WAHA does; a session that runs begins anew.
async fn configure(
    request: HttpRequest,
    name: web::Path<String>,
    body: web::Json<Value>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if !state.session.is_there(&name, &state.options) {
        return no_session();
    }
    take_config(&state, &body["config"]);
    if state.session.status() != "STOPPED" {
        begin(&state);
    }
    HttpResponse::Ok().json(state.session.json(&state.options))
}

/// Its events go to the last webhook that has a key.
fn take_config(state: &State, config: &Value) {
    locked(&state.session.0).config = config.clone();
    let hooks = config["webhooks"].as_array().into_iter().flatten();
    let target = hooks
        .filter_map(|hook| {
            Some(Webhook {
                url: hook["url"].as_str()?.to_owned(),
                hmac_key: hook["hmac"]["key"].as_str()?.to_owned(),
            })
        })
        .next_back();
    if target.is_some() {
        state.hooks.set_target(target);
    }
}

/// From the beginning: with its phone it works, without it asks for one.
fn begin(state: &State) {
    set_status(state, "STARTING");
    let linked = locked(&state.session.0).linked;
    set_status(state, if linked { "WORKING" } else { "SCAN_QR_CODE" });
}

async fn me(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if !state.session.is_there(&name, &state.options) {
        return no_session();
    }
    match state.session.json(&state.options)["me"].clone() {
        // Running, not logged in: an empty body, no JSON.
        Value::Null => HttpResponse::Ok().finish(),
        me => HttpResponse::Ok().json(me),
    }
}

async fn act(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    let (name, action) = path.into_inner();
    if !state.session.is_there(&name, &state.options) {
        return no_session();
    }
    match action.as_str() {
        "stop" => set_status(&state, "STOPPED"),
        "logout" => {
            locked(&state.session.0).linked = false;
            begin(&state);
        }
        "start" if state.session.status() != "STOPPED" => {
            return unprocessable(&format!("Session '{name}' is already started."));
        }
        _ => begin(&state),
    }
    HttpResponse::Created().json(state.session.json(&state.options))
}

pub(super) fn set_status(state: &State, status: &str) {
    locked(&state.session.0).status = status.to_owned();
    state.hooks.post(
        "session.status",
        json!({ "name": state.options.session, "status": status, "statuses": [] }),
    );
}

/// Somebody scans the code, or types the other one.
pub(super) fn link(state: &State) {
    locked(&state.session.0).linked = true;
    set_status(state, "WORKING");
}

/// The refusal, where the session waits for no phone.
fn wants_no_phone(state: &State) -> Option<HttpResponse> {
    let status = state.session.status();
    (status != "SCAN_QR_CODE").then(|| {
        HttpResponse::UnprocessableEntity().json(json!({
            "error": "Session status is not as expected. Try again later or restart the session",
            "session": state.options.session, "status": status, "expected": ["SCAN_QR_CODE"],
        }))
    })
}

#[derive(serde::Deserialize)]
struct Format {
    format: Option<String>,
}

async fn code_to_scan(
    request: HttpRequest,
    query: web::Query<Format>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if let Some(answer) = wants_no_phone(&state) {
        return answer;
    }
    let turn = state
        .options
        .clock
        .now()
        .timestamp()
        .div_euclid(TURN)
        .unsigned_abs();
    let image = qr::png(turn);
    let accepts = |kind: &str| {
        let header = request.headers().get(ACCEPT);
        header
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains(kind))
    };
    if query.format.as_deref() == Some("raw") {
        return HttpResponse::Ok().json(json!({ "value": format!("2@simulated{turn}") }));
    }
    if accepts("application/json") {
        return HttpResponse::Ok()
            .json(json!({ "mimetype": "image/png", "data": STANDARD.encode(image) }));
    }
    HttpResponse::Ok().content_type("image/png").body(image)
}

async fn code_to_type(
    request: HttpRequest,
    body: web::Json<Value>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if let Some(answer) = wants_no_phone(&state) {
        return answer;
    }
    if body["phoneNumber"].as_str().is_none() {
        return bad_request("phoneNumber is required");
    }
    HttpResponse::Created().json(json!({ "code": "SIMU-LATE" }))
}
