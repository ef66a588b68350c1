//! WAHA's own addresses, with its answers, its error bodies and its waits.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::arrived::{File, Message};
use super::faults::Fault;
use super::{State, answers, locked, media};
use crate::clock::Clock;

/// What NOWEB says to whoever asks for messages that it does not keep.
const NO_STORE: &str = "Enable NOWEB store \"config.noweb.store.enabled=True\" to use this method.";

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route(
            "/ping",
            web::get().to(async || HttpResponse::Ok().json(json!({ "message": "pong" }))),
        )
        .route("/api/server/version", web::get().to(version))
        .route("/api/version", web::get().to(version))
        .route("/api/server/status", web::get().to(server_status))
        .route("/health", web::get().to(health))
        .route("/api/contacts/check-exists", web::get().to(check_exists))
        .route("/api/sendText", web::post().to(send_text))
        .route(
            "/api/{call:sendImage|sendVideo|sendFile|sendVoice}",
            web::post().to(media::send),
        )
        .route(
            "/api/{call:startTyping|stopTyping|sendSeen}",
            web::post().to(typing),
        )
        .route(
            "/api/{session}/new-message-id",
            web::get().to(new_message_id),
        )
        .route("/api/{session}/chats/{chat}/messages", web::get().to(list))
        .route(
            "/api/{session}/chats/{chat}/messages/{id}",
            web::get().to(look_up),
        );
}

/// 401 as WAHA says it, when the key is missing or wrong.
pub(super) fn refused(request: &HttpRequest, state: &State) -> Option<HttpResponse> {
    let wanted = state.options.api_key.as_deref()?;
    let given = request
        .headers()
        .get("X-Api-Key")
        .and_then(|key| key.to_str().ok());
    (given != Some(wanted)).then(|| {
        HttpResponse::Unauthorized().json(json!({ "message": "Unauthorized", "statusCode": 401 }))
    })
}

macro_rules! authorized {
    ($request:expr, $state:expr) => {
        if let Some(refused) = refused(&$request, &$state) {
            return refused;
        }
    };
}
pub(super) use authorized;

async fn version(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    authorized!(request, state);
    HttpResponse::Ok().json(json!({
        "version": state.options.version, "engine": state.options.engine, "tier": "CORE", "browser": null,
        "platform": "linux/x64", "worker": { "id": null },
    }))
}

async fn server_status(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    authorized!(request, state);
    HttpResponse::Ok().json(json!({ "startTimestamp": 1, "uptime": 1, "worker": { "id": "" } }))
}

async fn health(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    authorized!(request, state);
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

#[derive(serde::Deserialize)]
struct Phone {
    phone: Option<String>,
    session: Option<String>,
}

async fn check_exists(
    request: HttpRequest,
    query: web::Query<Phone>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if query.session.is_none() {
        return bad_request("Session name is required");
    }
    let Some(phone) = &query.phone else {
        return exception(
            "Cannot read properties of undefined (reading 'replace')",
            &json!({}),
        );
    };
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    let missing = locked(&state.faults).numbers.get(&digits) == Some(&Fault::NotOnWhatsapp);
    if missing {
        HttpResponse::Ok().json(json!({ "numberExists": false }))
    } else {
        HttpResponse::Ok()
            .json(json!({ "numberExists": true, "chatId": format!("{}@c.us", known_as(&digits)) }))
    }
}

async fn typing(
    request: HttpRequest,
    call: web::Path<String>,
    body: web::Json<Value>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    let chat = body["chatId"].as_str().unwrap_or_default();
    locked(&state.typed).push(format!("{call} {chat}"));
    HttpResponse::Created().json(json!({ "result": true }))
}

fn played(state: &State) -> crate::gateways::waha::Version {
    crate::gateways::waha::Version {
        version: state.options.version.clone(),
        engine: state.options.engine.clone(),
    }
}

fn has_own_ids(state: &State) -> bool {
    played(state).has_own_ids()
}

/// Media came to the free build with 2026.6.1.
pub(super) fn has_media(state: &State) -> bool {
    played(state).is_at_least([2026, 6, 1])
}

async fn new_message_id(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    authorized!(request, state);
    if !has_own_ids(&state) {
        let path = request.path();
        return HttpResponse::NotFound()
            .json(json!({ "message": format!("Cannot GET {path}"), "error": "Not Found", "statusCode": 404 }));
    }
    let id = locked(&state.arrived).new_id(state.options.seed);
    HttpResponse::Ok().json(json!({ "id": id }))
}

pub(super) fn bad_request(message: &str) -> HttpResponse {
    HttpResponse::BadRequest()
        .json(json!({ "message": message, "error": "Bad Request", "statusCode": 400 }))
}

/// WAHA's 500: it echoes the request.
pub(super) fn exception(message: &str, body: &Value) -> HttpResponse {
    exception_at("/api/sendText", message, body)
}

pub(super) fn exception_at(path: &str, message: &str, body: &Value) -> HttpResponse {
    HttpResponse::InternalServerError().json(json!({
        "statusCode": 500, "timestamp": Clock::system().now(),
        "exception": { "message": message, "name": "TypeError", "stack": format!("TypeError: {message}\n    at WhatsappSession.send") },
        "request": { "path": path, "method": "POST", "body": body, "query": {} },
        "version": { "version": "2026.7.1" },
    }))
}

async fn wait(state: &State, seconds: u64) {
    if state.options.waits {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

async fn send_text(
    request: HttpRequest,
    bytes: web::Bytes,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    let body = match admitted(&bytes, &state).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let (Some(chat), Some(text)) = (body["chatId"].as_str(), body["text"].as_str()) else {
        return exception(
            "Cannot read properties of undefined (reading 'includes')",
            &body,
        );
    };
    if !state.options.latency.is_zero() {
        tokio::time::sleep(state.options.latency).await;
    }
    deliver(&state, &body, chat, text.to_owned(), None).await
}

/// What WAHA looks at before anything else: JSON, a session, and one that works.
pub(super) async fn admitted(bytes: &[u8], state: &State) -> Result<Value, HttpResponse> {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else {
        return Err(bad_request("Unexpected end of JSON input"));
    };
    let Some(session) = body["session"].as_str() else {
        return Err(bad_request("Session name is required"));
    };
    if session != state.options.session {
        wait(state, 5).await;
        return Err(HttpResponse::UnprocessableEntity().json(
            json!({ "error": format!("Session \"{session}\" does not exist"), "session": session }),
        ));
    }
    let status = state.session.status();
    if status != "WORKING" {
        wait(state, if status == "STOPPED" { 5 } else { 10 }).await;
        return Err(HttpResponse::UnprocessableEntity().json(json!({
            "error": "Session status is not as expected. Try again later or restart the session",
            "session": session, "status": status, "expected": ["WORKING"],
        })));
    }
    Ok(body)
}

/// A message that WAHA took, with the fault that is its turn.
pub(super) async fn deliver(
    state: &State,
    body: &Value,
    chat: &str,
    text: String,
    file: Option<File>,
) -> HttpResponse {
    let number = chat.split('@').next().unwrap_or(chat).to_owned();
    let fault = locked(&state.faults).for_message(&number, &mut locked(&state.dice));
    let has_file = file.is_some();
    if fault == Some(Fault::ErrorBefore) {
        return exception("Connection Closed", body);
    }
    if let Some(answer) = answers::before(fault).await {
        return answer;
    }
    let own = body["id"]
        .as_str()
        .filter(|_| has_own_ids(state) && !has_file)
        .map(str::to_owned);
    let id = {
        let mut arrived = locked(&state.arrived);
        let id = own.unwrap_or_else(|| arrived.new_id(state.options.seed));
        let at = state.options.clock.now().timestamp();
        arrived.add(Message {
            to: number.clone(),
            id: id.clone(),
            text: text.clone(),
            file,
            reply_to: body["reply_to"].as_str().map(str::to_owned),
            at,
            at_ms: Clock::system().now().timestamp_millis(),
            ack: 0,
        });
        id
    };
    acknowledge(state, &number, &id, &text, has_file, fault);
    match fault {
        Some(Fault::ErrorAfter) => exception("Connection Closed", body),
        Some(Fault::WrongId) => {
            let other = locked(&state.arrived).new_id(state.options.seed);
            HttpResponse::Created().json(answer(state, &number, &other, &text))
        }
        _ => {
            answers::after(
                fault,
                StatusCode::CREATED,
                &answer(state, &number, &id, &text),
            )
            .await
        }
    }
}

/// The 201 body, in the shape of the engine.
fn answer(state: &State, number: &str, id: &str, text: &str) -> Value {
    match state.options.engine.as_str() {
        "WEBJS" => {
            json!({ "id": { "fromMe": true, "remote": format!("{number}@c.us"), "id": id, "_serialized": format!("true_{number}@c.us_{id}") }, "_data": {} })
        }
        "GOWS" => {
            json!({ "id": format!("true_{number}@c.us_{id}"), "_data": { "Info": {}, "Message": {} } })
        }
        _ => json!({
            "key": { "remoteJid": format!("{number}@s.whatsapp.net"), "fromMe": true, "id": id },
            "message": { "extendedTextMessage": { "text": text } },
            "messageTimestamp": Clock::system().now().timestamp().to_string(), "status": "PENDING",
        }),
    }
}

/// The events WhatsApp would cause.
fn acknowledge(
    state: &State,
    number: &str,
    id: &str,
    text: &str,
    has_file: bool,
    fault: Option<Fault>,
) {
    if !state.options.acks || fault == Some(Fault::AcksLost) {
        return;
    }
    let lost = fault == Some(Fault::EventsLost);
    // WhatsApp may keep the chat under the person's hidden id.
    let chat = if state.options.lids {
        format!("{}@lid", lid_of(number))
    } else {
        format!("{number}@c.us")
    };
    let full = format!("true_{chat}_{id}");
    let now = state.options.clock.now().timestamp();
    if !state.options.last_ack_alone && !lost {
        state.hooks.post(
            "message.any",
            json!({ "id": full, "timestamp": now, "from": format!("{number}@c.us"), "fromMe": true, "source": "api", "body": text,
                "hasMedia": has_file, "media": null, "ack": 0, "ackName": "PENDING", "_data": {} }),
        );
    }
    let acks: &[(i64, &str)] = match fault {
        Some(Fault::NotOnWhatsapp) => &[(1, "SERVER")],
        Some(Fault::ErrorAck) => &[(1, "SERVER"), (-1, "ERROR")],
        Some(Fault::Unread) => &[(1, "SERVER"), (2, "DEVICE")],
        _ => &[(1, "SERVER"), (2, "DEVICE"), (3, "READ")],
    };
    let skipped = if state.options.last_ack_alone {
        acks.len() - 1
    } else {
        0
    };
    for (ack, name) in &acks[skipped..] {
        locked(&state.arrived).set_ack(id, *ack);
        if lost {
            continue;
        }
        state.hooks.post(
            "message.ack",
            json!({ "id": full, "from": format!("{number}@c.us"), "fromMe": true, "ack": ack, "ackName": name }),
        );
    }
}

/// Brazil's mobile numbers have nine digits, and WhatsApp knows the older ones by eight.
fn known_as(digits: &str) -> String {
    match digits.strip_prefix("55") {
        Some(rest) if rest.len() == 11 && rest[2..].starts_with('9') => {
            format!("55{}{}", &rest[..2], &rest[3..])
        }
        _ => digits.to_owned(),
    }
}

/// The hidden id a simulated person has.
fn lid_of(number: &str) -> String {
    format!("9{number}")
}

async fn look_up(
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if !state.session.keeps(&state.options) {
        return bad_request(NO_STORE);
    }
    let (_, _, id) = path.into_inner();
    let found = locked(&state.arrived)
        .find(crate::gateways::waha::events::stanza(&id))
        .cloned();
    match found {
        Some(message) => HttpResponse::Ok().json(stored(&message)),
        None => HttpResponse::NotFound().json(
            json!({ "message": "Message not found", "error": "Not Found", "statusCode": 404 }),
        ),
    }
}

async fn list(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> HttpResponse {
    authorized!(request, state);
    if !state.session.keeps(&state.options) {
        return bad_request(NO_STORE);
    }
    let (_, chat) = path.into_inner();
    let number = chat.split('@').next().unwrap_or(&chat);
    let messages: Vec<Value> = locked(&state.arrived)
        .last(1000)
        .iter()
        .filter(|message| message.to == number)
        .map(stored)
        .collect();
    HttpResponse::Ok().json(messages)
}

fn stored(message: &Message) -> Value {
    json!({
        "id": format!("true_{}@c.us_{}", message.to, message.id), "timestamp": message.at, "from": format!("{}@c.us", message.to),
        "fromMe": true, "source": "api", "body": message.text, "hasMedia": message.file.is_some(), "media": null, "ack": message.ack, "_data": {},
    })
}
