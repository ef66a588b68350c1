//! A flow as n8n serves it: `/webhook/{path}` takes the payload, answers as the chosen mode does, and
//! reports to `/isi/create_logsent`. Bodies are those that were measured.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use serde_json::{Value, json};
use url::Url;

use super::arrived::{File, Message};
use super::faults::Fault;
use super::{State, answers, locked, media};
use crate::clock::Clock;

/// How the simulated flow behaves.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flow {
    pub mode: Mode,
    /// What its webhook asks for; empty: nothing.
    pub user: String,
    pub password: String,
    /// Our address, such as `http://127.0.0.1:8080`; empty: it does not report.
    pub callback_url: String,
    pub callback_token: String,
    pub report: When,
}

/// What the flow does with a message, and what it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Sends; `{"message":"Workflow was started"}` at once
    #[default]
    Started,
    /// Sends; 200 without a body
    Empty,
    /// Sends; `{"status":"success", "waha_id"}`
    Success,
    /// Does not send; 502 `{"status":"error"}`, and reports the failure
    Error,
    /// Does not send; 200 all the same, and reports the failure
    ErrorLater,
    /// Sends, and then fails: 500
    Crash,
    /// Sends; the connection breaks instead of an answer
    Reset,
    /// The workflow is not active: 404 as JSON
    Inactive,
    /// n8n is starting: 404 as HTML
    Starting,
    /// User or password are wrong: 401
    Unauthorized,
    /// 429 with Retry-After
    Busy,
}

/// When the flow reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before it answers the push, as a flow that answers at its end does
    Before,
    /// After it has answered
    #[default]
    After,
    Never,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/webhook/{path:.*}", web::post().to(push))
        .route("/webhook/{path:.*}", web::get().to(look))
        .route("/simulator/flow", web::post().to(set));
}

async fn set(body: web::Json<Flow>, state: web::Data<State>) -> HttpResponse {
    *locked(&state.flow) = body.into_inner();
    HttpResponse::Ok().json(json!({ "set": true }))
}

/// n8n's errors carry its stack trace.
fn error(status: u16, message: &str) -> HttpResponse {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    HttpResponse::build(status).json(json!({
        "code": status.as_u16(), "message": message,
        "hint": "The workflow must be active for a production URL to run successfully.",
        "stacktrace": format!("ResponseError: {message}\n    at LiveWebhooks.findWebhook (/usr/local/lib/node_modules/n8n/dist/webhooks/live-webhooks.js:74:19)"),
    }))
}

fn not_registered(method: &str, path: &str) -> HttpResponse {
    error(
        404,
        &format!("The requested webhook \"{method} {path}\" is not registered."),
    )
}

fn starting(method: &str, path: &str) -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/html; charset=utf-8")
        .body(format!(
            "<!DOCTYPE html><pre>Cannot {method} /webhook/{path}</pre>"
        ))
}

async fn look(path: web::Path<String>, state: web::Data<State>) -> HttpResponse {
    match locked(&state.flow).mode {
        Mode::Inactive => not_registered("GET", &path),
        Mode::Starting => starting("GET", &path),
        _ => error(
            404,
            "This webhook is not registered for GET requests. Did you mean to make a POST request?",
        ),
    }
}

fn refused(words: &'static str) -> HttpResponse {
    HttpResponse::Unauthorized()
        .insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"Webhook\""))
        .body(words)
}

/// 401 as n8n says it, where the credentials do not fit.
fn door(request: &HttpRequest, flow: &Flow) -> Option<HttpResponse> {
    if flow.mode == Mode::Unauthorized {
        return Some(refused("Authorization data is wrong!"));
    }
    if flow.user.is_empty() {
        return None;
    }
    let wanted = base64::engine::general_purpose::STANDARD
        .encode(format!("{}:{}", flow.user, flow.password));
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match given.and_then(|given| given.strip_prefix("Basic ")) {
        None => Some(refused("Authorization is required!")),
        Some(given) if given != wanted => Some(refused("Authorization data is wrong!")),
        Some(_) => None,
    }
}

async fn push(
    request: HttpRequest,
    path: web::Path<String>,
    bytes: web::Bytes,
    state: web::Data<State>,
) -> HttpResponse {
    let flow = locked(&state.flow).clone();
    match flow.mode {
        Mode::Inactive => return not_registered("POST", &path),
        Mode::Starting => return starting("POST", &path),
        _ => {}
    }
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return error(422, "Failed to parse request body");
    };
    if let Some(refused) = door(&request, &flow) {
        return refused;
    }
    if flow.mode == Mode::Busy {
        return HttpResponse::TooManyRequests()
            .insert_header((header::RETRY_AFTER, "7"))
            .finish();
    }
    if !state.options.latency.is_zero() {
        tokio::time::sleep(state.options.latency).await;
    }
    let contact: Value = body["contact"]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let number = to(&contact);
    let fault = locked(&state.faults).for_message(&number, &mut locked(&state.dice));
    if let Some(answer) = answers::before(fault).await {
        return answer;
    }
    // A file that cannot be fetched ends in the flow's error branch.
    let file = file(&state, &contact).await;
    let sent = !matches!(flow.mode, Mode::Error | Mode::ErrorLater) && file.is_ok();
    let id = sent.then(|| send(&state, &body, &contact, file.unwrap_or_default()));
    let report = report(&flow, &body, &contact, id.as_deref());
    match flow.report {
        When::Before => post(&state, &flow, "create_logsent", report).await,
        When::After => {
            let (state, flow) = (state.clone(), flow.clone());
            tokio::spawn(async move { post(&state, &flow, "create_logsent", report).await });
        }
        When::Never => {}
    }
    let sent_id = contact["sent_id"].to_string();
    if fault.is_some() {
        let right = json!({ "message": "Workflow was started" });
        return answers::after(fault, StatusCode::OK, &right).await;
    }
    match flow.mode {
        Mode::Empty | Mode::ErrorLater => {
            HttpResponse::Ok().content_type("application/json").finish()
        }
        Mode::Success => HttpResponse::Ok()
            .json(json!({ "status": "success", "sent_id": sent_id, "waha_id": id })),
        Mode::Error => {
            HttpResponse::BadGateway().json(json!({ "status": "error", "sent_id": sent_id }))
        }
        Mode::Crash => error(500, "Error in workflow"),
        Mode::Reset => answers::after(Some(Fault::ResetAfter), StatusCode::OK, &Value::Null).await,
        _ => HttpResponse::Ok().json(json!({ "message": "Workflow was started" })),
    }
}

/// The file of a message, fetched from where the push says it is.
async fn file(state: &State, contact: &Value) -> Result<Option<File>, String> {
    let Some(url) = contact["media_url"].as_str().filter(|url| !url.is_empty()) else {
        return Ok(None);
    };
    let mime = contact["mime_type"].as_str().unwrap_or_default();
    let kind = match mime.split('/').next() {
        Some("image") => "image",
        Some("video") => "video",
        Some("audio") => "voice",
        _ => "file",
    };
    let named = json!({ "mimetype": mime, "url": url });
    media::read(state, kind, &named).await.map(Some)
}

/// The number of the person; old flows get it as a number.
fn to(contact: &Value) -> String {
    match &contact["contact_whatsapp"] {
        Value::String(to) => to.clone(),
        other => other.to_string(),
    }
}

/// What WAHA would do for the flow; its id of the message.
fn send(state: &State, body: &Value, contact: &Value, file: Option<File>) -> String {
    let to = to(contact);
    let mut arrived = locked(&state.arrived);
    let id = arrived.new_id(state.options.seed);
    arrived.add(Message {
        to: to.clone(),
        id: id.clone(),
        text: contact["message"].as_str().unwrap_or_default().to_owned(),
        file,
        reply_to: body["reply_to"]
            .as_str()
            .filter(|quoted| !quoted.is_empty())
            .map(str::to_owned),
        at: Clock::system().now().timestamp(),
        at_ms: Clock::system().now().timestamp_millis(),
        ack: 1,
    });
    format!("true_{to}@c.us_{id}")
}

/// The add-on's report: every id is text. In its error branch a flow has our request at hand, and
/// sends it back.
fn report(flow: &Flow, body: &Value, contact: &Value, id: Option<&str>) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut message = json!({
        "action": "update", "id": text(&contact["sent_id"]), "contact_id": text(&contact["contact_id"]),
        "config_id": text(&body["wa_config_id"]), "mailing_id": text(&body["mailing_id"]),
        "mailing_log_id": text(&body["mailing_log_id"]), "from_number": "628990000001",
        "to_number": text(&contact["contact_whatsapp"]), "body": contact["message"],
    });
    match id {
        Some(id) => {
            message["result_from"] = json!("waha");
            message["json_message"] = json!({ "id": id, "_data": {} });
        }
        None => {
            let credentials = base64::engine::general_purpose::STANDARD
                .encode(format!("{}:{}", flow.user, flow.password));
            message["result_from"] = json!("error");
            message["error"] = json!(
                "422 - \"Session status is not as expected\"\n    at httpRequest (/usr/local/lib/node_modules/n8n/x.js:9:1)"
            );
            message["json_message"] = json!({ "headers": { "authorization": format!("Basic {credentials}") }, "body": body });
        }
    }
    message
}

/// Calls one of our callbacks.
async fn post(state: &State, flow: &Flow, callback: &str, message: Value) {
    let address = format!("{}/isi/{callback}", flow.callback_url.trim_end_matches('/'));
    let Ok(url) = Url::parse(&address) else {
        return;
    };
    let body = json!({ "messages": [message], "token": flow.callback_token });
    // Whether it was taken shows in what was told; nobody waits for it here.
    let _ = state
        .http
        .post_bytes(url, body.to_string().into_bytes(), &[])
        .await;
}

/// Somebody writes, and the flow brings it where it calls back at all.
pub(super) async fn bring(state: &State, from: &str, text: &str, name: Option<&str>) {
    let flow = locked(&state.flow).clone();
    let message = json!({ "action": "create", "from": from, "to": "628990000001@c.us", "name": name.unwrap_or_default(),
        "body": text, "hasmedia": false, "type": "text/plain" });
    post(state, &flow, "wa_incoming", message).await;
}
