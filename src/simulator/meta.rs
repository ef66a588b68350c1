//! Meta's own addresses under `/v…/`, with its answers and its error bodies.
//!
//! Invariants: what is accepted counts as arrived, as for WAHA; every request is looked at as Meta does: token, number,
//! template, number of parameters; statuses come afterwards and carry what was sent along.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::arrived::{File, Message};
use super::faults::Fault;
use super::{State, answers, locked, meta_templates};
use crate::clock::Clock;
use crate::gateways::meta::sample::TYPES;

/// The business account and its two numbers.
pub const WABA: &str = "900800700600500";
pub const PHONES: [&str; 2] = ["100200300400500", "100200300400501"];
/// Its own number, as digits.
pub const NUMBER: &str = "628990000001";

/// What a simulated business account keeps.
#[derive(Default)]
pub(super) struct Kept {
    pub templates: Vec<meta_templates::Kept>,
    pub media: BTreeMap<String, String>,
    pub subscribed: bool,
    /// Files that people sent, by id: type and bytes.
    pub files: BTreeMap<String, (String, Vec<u8>)>,
    /// The portfolio's limit of people in 24 hours; `None`: TIER_100K.
    pub limit: Option<String>,
    /// Who wrote: their window is open.
    pub windows: BTreeSet<String>,
    /// Templates whose messages are held back while their quality is assessed.
    pub paced: BTreeSet<String>,
    /// What is held back, in its order.
    pub held: Vec<Held>,
    /// Handles of sample files.
    pub samples: BTreeSet<String>,
    /// Messages that came by the call for marketing.
    pub marketing: u64,
    pub ids: u64,
}

/// A message that was taken and waits for the end of an assessment.
pub(super) struct Held {
    phone: String,
    number: String,
    id: String,
    body: Value,
}

impl Kept {
    pub fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::scope("/{version:v[0-9]+\\.[0-9]+}")
            .route("/file/{id}", web::get().to(file))
            .route("/debug_token", web::get().to(debug_token))
            .route("/{id}/messages", web::post().to(messages))
            .route("/{id}/marketing_messages", web::post().to(marketing))
            .route("/{id}/uploads", web::post().to(open_sample))
            .route("/{id}/media", web::post().to(media))
            .route("/{id}/phone_numbers", web::get().to(phone_numbers))
            .route("/{id}/subscribed_apps", web::get().to(subscribed))
            .route("/{id}/subscribed_apps", web::post().to(subscribe))
            .route(
                "/{id}/message_templates",
                web::get().to(meta_templates::list),
            )
            .route(
                "/{id}/message_templates",
                web::post().to(meta_templates::create),
            )
            .route("/{id}", web::get().to(number))
            .route("/{id}", web::post().to(sample)),
    );
}

pub(super) type Path = web::Path<(String, String)>;

/// An error of Meta's.
pub(super) fn fault(code: i64, details: &str) -> HttpResponse {
    let status = match code {
        0 | 190 => StatusCode::UNAUTHORIZED,
        1 | 2 | 131_000 | 131_016 => StatusCode::INTERNAL_SERVER_ERROR,
        4 | 80007 | 130_429 | 131_056 => StatusCode::TOO_MANY_REQUESTS,
        10 | 200..=299 | 368 | 131_005 => StatusCode::FORBIDDEN,
        132_001 => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    HttpResponse::build(status).json(json!({ "error": {
        "message": format!("(#{code}) {details}"), "type": "OAuthException", "code": code,
        "error_data": { "messaging_product": "whatsapp", "details": details }, "fbtrace_id": "SIMULATED",
    } }))
}

/// 190, when the token is missing or wrong.
pub(super) fn refused(request: &HttpRequest, state: &State) -> Option<HttpResponse> {
    let wanted = state.options.api_key.as_deref()?;
    let given = request
        .headers()
        .get("Authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    (given != Some(wanted)).then(|| fault(190, "The access token could not be decrypted"))
}

async fn number(request: HttpRequest, path: Path, state: web::Data<State>) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    let id = &path.1;
    if let Some((mime, bytes)) = locked(&state.meta).files.get(id) {
        let host = request.connection_info().host().to_owned();
        return HttpResponse::Ok().json(json!({ "messaging_product": "whatsapp", "id": id, "mime_type": mime,
            "url": format!("http://{host}/{}/file/{id}", path.0), "file_size": bytes.len().to_string() }));
    }
    if id.starts_with("77") {
        return fault(
            100,
            "Unsupported get request. Object with this ID does not exist",
        );
    }
    if !PHONES.contains(&id.as_str()) {
        return fault(33, "Object with this ID does not exist");
    }
    HttpResponse::Ok().json(json!({
        "id": id, "display_phone_number": "+62 899-0000-001", "verified_name": "Simulated Shop", "quality_rating": "GREEN",
        "status": "CONNECTED", "throughput": { "level": "STANDARD" }, "account_mode": "SANDBOX",
        "whatsapp_business_manager_messaging_limit": locked(&state.meta).limit.clone().unwrap_or_else(|| "TIER_100K".to_owned()),
    }))
}

/// The bytes of a file that somebody sent, for whoever has the token.
async fn file(request: HttpRequest, path: Path, state: web::Data<State>) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    match locked(&state.meta).files.get(&path.1) {
        Some((mime, bytes)) => HttpResponse::Ok()
            .content_type(mime.as_str())
            .body(bytes.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}

/// What the token may do: everything, for ever.
async fn debug_token(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    HttpResponse::Ok().json(json!({ "data": {
        "app_id": "42", "type": "SYSTEM_USER", "application": "Simulated", "expires_at": 0, "is_valid": true,
        "scopes": ["whatsapp_business_management", "whatsapp_business_messaging"],
    } }))
}

async fn phone_numbers(request: HttpRequest, path: Path, state: web::Data<State>) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    if path.1 != WABA {
        return fault(100, "Object with this ID does not exist");
    }
    let numbers = PHONES.map(|id| json!({ "id": id }));
    HttpResponse::Ok().json(json!({ "data": numbers }))
}

async fn subscribed(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    let apps = if locked(&state.meta).subscribed {
        json!([{ "whatsapp_business_api_data": { "id": "1", "name": "wablast" } }])
    } else {
        json!([])
    };
    HttpResponse::Ok().json(json!({ "data": apps }))
}

async fn subscribe(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    locked(&state.meta).subscribed = true;
    HttpResponse::Ok().json(json!({ "success": true }))
}

async fn media(
    request: HttpRequest,
    path: Path,
    bytes: web::Bytes,
    state: web::Data<State>,
) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
    let is_form = head.contains("name=\"messaging_product\"") && head.contains("name=\"file\"");
    if !PHONES.contains(&path.1.as_str()) || !is_form {
        return fault(100, "Invalid parameter");
    }
    let name = head
        .split_once("filename=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .unwrap_or_default();
    let mut kept = locked(&state.meta);
    let id = format!("77{:010}", kept.next_id());
    kept.media.insert(id.clone(), name);
    HttpResponse::Ok().json(json!({ "id": id }))
}

#[derive(serde::Deserialize)]
struct Opened {
    file_length: usize,
    file_type: String,
}

/// The first step of a sample: a session for so many bytes.
async fn open_sample(
    request: HttpRequest,
    opened: Option<web::Query<Opened>>,
    state: web::Data<State>,
) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    let Some(opened) = opened.filter(|opened| TYPES.contains(&opened.file_type.as_str())) else {
        return fault(100, "The parameter file_type is required");
    };
    HttpResponse::Ok().json(json!({ "id": format!("upload:SIM{}==?sig=AR", opened.file_length) }))
}

/// The second: the bytes, for a handle.
async fn sample(
    request: HttpRequest,
    path: Path,
    bytes: web::Bytes,
    state: web::Data<State>,
) -> HttpResponse {
    let header = |name: &str| {
        let value = request.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let token = state.options.api_key.as_deref().unwrap_or_default();
    let fits = path.1 == format!("upload:SIM{}==", bytes.len());
    if header("Authorization") != format!("OAuth {token}") || header("file_offset") != "0" || !fits
    {
        return fault(100, "Invalid upload session");
    }
    let mut kept = locked(&state.meta);
    let handle = format!("4::SIM{}", kept.next_id());
    kept.samples.insert(handle.clone());
    HttpResponse::Ok().json(json!({ "h": handle }))
}

/// The call for marketing templates, which takes no others.
async fn marketing(
    request: HttpRequest,
    path: Path,
    bytes: web::Bytes,
    state: web::Data<State>,
) -> HttpResponse {
    let body = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
    {
        let mut kept = locked(&state.meta);
        let category = meta_templates::category(&kept, &body["template"]);
        if body["type"] != "template" || category != "marketing" {
            return fault(131_055, "Only marketing templates can be sent by this call");
        }
        kept.marketing += 1;
    }
    messages(request, path, bytes, state).await
}

async fn messages(
    request: HttpRequest,
    path: Path,
    bytes: web::Bytes,
    state: web::Data<State>,
) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return fault(100, "The body is not JSON");
    };
    let (phone, to) = (path.1.as_str(), body["to"].as_str());
    let to = to
        .or_else(|| body["recipient"].as_str())
        .unwrap_or_default();
    if !PHONES.contains(&phone) || body["messaging_product"] != "whatsapp" || to.is_empty() {
        return fault(100, "Invalid parameter");
    }
    let number: String = to.trim_start_matches('+').to_owned();
    let happens = locked(&state.faults).for_message(&number, &mut locked(&state.dice));
    let code = locked(&state.faults).codes.get(&number).copied();
    if let Some(code) = code {
        return fault(code, "as the simulator was told");
    }
    if let Some(answer) = answers::before(happens).await {
        return answer;
    }
    let said = match said(&state, &body, &number) {
        Ok(said) => said,
        Err((code, details)) => return fault(code, &details),
    };
    if !state.options.latency.is_zero() {
        tokio::time::sleep(state.options.latency).await;
    }
    let id = arrive(&state, &body, &number, said);
    let held = is_held(&state, &body);
    if held {
        locked(&state.meta).held.push(Held {
            phone: phone.to_owned(),
            number: number.clone(),
            id: id.clone(),
            body: body.clone(),
        });
    } else {
        statuses(&state, phone, &number, &id, &body, happens);
    }
    let mut message = json!({ "id": id });
    if body["type"] == "template" {
        let standing = if held {
            "held_for_quality_assessment"
        } else {
            "accepted"
        };
        message["message_status"] = json!(standing);
    }
    let answer = json!({ "messaging_product": "whatsapp", "contacts": [{ "input": to, "wa_id": number }], "messages": [message] });
    answers::after(happens, StatusCode::OK, &answer).await
}

fn is_held(state: &State, body: &Value) -> bool {
    let name = body["template"]["name"].as_str();
    name.is_some_and(|name| locked(&state.meta).paced.contains(name))
}

/// Meta holds the messages of a template back from now on, or lets go what it held.
pub(super) fn paces(state: &State, template: &str, holds: bool) {
    let held = {
        let mut kept = locked(&state.meta);
        if holds {
            kept.paced.insert(template.to_owned());
            return;
        }
        kept.paced.remove(template);
        std::mem::take(&mut kept.held)
    };
    for Held {
        phone,
        number,
        id,
        body,
    } in held
    {
        statuses(state, &phone, &number, &id, &body, None);
    }
}

/// What a person reads, or the code and words Meta refuses it with.
fn said(
    state: &State,
    body: &Value,
    number: &str,
) -> Result<(String, Option<File>), (i64, String)> {
    let kind = body["type"].as_str().unwrap_or("text");
    let kept = locked(&state.meta);
    if kind == "template" {
        return meta_templates::said(&kept, &body["template"]);
    }
    if !kept.windows.contains(number) {
        return Err((131_047, "Message failed to send because more than 24 hours have passed since the customer last replied to this number.".to_owned()));
    }
    let part = &body[kind];
    match kind {
        "text" => Ok((part["body"].as_str().unwrap_or_default().to_owned(), None)),
        "image" | "video" | "document" | "audio" => {
            let file = file_of(&kept, kind, part)?;
            Ok((
                part["caption"].as_str().unwrap_or_default().to_owned(),
                Some(file),
            ))
        }
        _ => Err((131_051, "Message type is not supported".to_owned())),
    }
}

/// The file behind an id that was uploaded.
pub(super) fn file_of(kept: &Kept, kind: &str, part: &Value) -> Result<File, (i64, String)> {
    let name = part["id"].as_str().and_then(|id| kept.media.get(id));
    let Some(name) = name else {
        return Err((131_053, "The media could not be found".to_owned()));
    };
    Ok(File {
        kind: match kind {
            "image" => "image",
            "video" => "video",
            "audio" => "voice",
            _ => "file",
        },
        name: name.clone(),
        mime: String::new(),
        size: 0,
        sha256: String::new(),
        fetched: false,
    })
}

fn arrive(
    state: &State,
    body: &Value,
    number: &str,
    (text, file): (String, Option<File>),
) -> String {
    let mut arrived = locked(&state.arrived);
    let id = format!("wamid.{}", arrived.new_id(state.options.seed));
    arrived.add(Message {
        to: number.to_owned(),
        id: id.clone(),
        text,
        file,
        reply_to: body["context"]["message_id"].as_str().map(str::to_owned),
        at: state.options.clock.now().timestamp(),
        at_ms: Clock::system().now().timestamp_millis(),
        ack: 0,
    });
    id
}

/// Sent, delivered, read; or failed where the simulator was told so.
fn statuses(
    state: &State,
    phone: &str,
    number: &str,
    id: &str,
    body: &Value,
    happens: Option<Fault>,
) {
    if !state.options.acks || happens == Some(Fault::AcksLost) {
        return;
    }
    let late = locked(&state.faults).late_codes.get(number).copied();
    let words: &[&str] = match (late, happens) {
        (Some(_), _) => &["failed"],
        (None, Some(Fault::NotOnWhatsapp)) => &["sent"],
        (None, Some(Fault::Unread)) => &["sent", "delivered"],
        _ => &["sent", "delivered", "read"],
    };
    let category = {
        let kept = locked(&state.meta);
        meta_templates::category(&kept, &body["template"])
    };
    for word in words {
        let mut status = json!({ "id": id, "status": word, "recipient_id": number,
            "timestamp": state.options.clock.now().timestamp().to_string() });
        if let Some(own) = body["biz_opaque_callback_data"].as_str() {
            status["biz_opaque_callback_data"] = json!(own);
        }
        if let Some(code) = late {
            status["errors"] = json!([{ "code": code, "title": "Failed", "error_data": { "details": "as the simulator was told" } }]);
        } else if *word != "read" {
            status["pricing"] = json!({ "billable": true, "pricing_model": "PMP", "type": "regular", "category": category });
        }
        state
            .meta_hooks
            .post("messages", value_of(phone, "statuses", &status));
    }
}

fn value_of(phone: &str, what: &str, one: &Value) -> Value {
    let mut value = json!({ "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": NUMBER, "phone_number_id": phone } });
    value[what] = json!([one]);
    value
}

/// A person sends a file or a reaction to the first number; `part` is what stands under the kind.
pub(super) fn somebody_sends(state: &State, number: &str, kind: &str, part: &Value) {
    locked(&state.meta).windows.insert(number.to_owned());
    let id = locked(&state.arrived).new_id(state.options.seed);
    let mut message = json!({ "from": number, "id": format!("wamid.IN{id}"), "type": kind,
        "timestamp": state.options.clock.now().timestamp().to_string() });
    message[kind] = part.clone();
    let mut value = value_of(PHONES[0], "messages", &message);
    value["contacts"] = json!([{ "profile": { "name": "Budi" }, "wa_id": number }]);
    state.meta_hooks.post("messages", value);
}

/// A person writes to the first number: the message comes by webhook, and their window opens.
pub(super) fn somebody_writes(state: &State, number: &str, name: &str, text: &str) {
    locked(&state.meta).windows.insert(number.to_owned());
    let id = locked(&state.arrived).new_id(state.options.seed);
    let message = json!({ "from": number, "id": format!("wamid.IN{id}"), "type": "text", "text": { "body": text },
        "timestamp": state.options.clock.now().timestamp().to_string() });
    let mut value = value_of(PHONES[0], "messages", &message);
    value["contacts"] = json!([{ "profile": { "name": name }, "wa_id": number }]);
    state.meta_hooks.post("messages", value);
}
