//! The OpenAPI document at `/api/v1/openapi.json`, made from the types that are parsed and answered.
//!
//! A call is described where it is written (`#[utoipa::path]` over its handler), listed below, and compared
//! with the registered routes by a test. What all calls share is added here once: the token, the answers
//! of refusals, an example of every body.

use std::sync::LazyLock;

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::error::Envelope;
use super::v1::{
    account_changes, accounts, callback_token, contacts, import_undo, imports, incoming, lists,
    mailings, media, messages, outgoing, templates,
};
use crate::app::App;
use crate::gateways::webhook::news::{FlowEvent, FlowEvents};
use crate::limits::{CALLS_AT_ONCE, CALLS_PER_SECOND};

#[derive(OpenApi)]
#[openapi(
    info(title = "Infinys WhatsApp Blasting"),
    components(schemas(Envelope, FlowEvents, FlowEvent)),
    tags(
        (name = "Accounts", description = "Connected WhatsApp numbers, and whether they may send."),
        (name = "Lists", description = "Mailing lists."),
        (name = "Contacts", description = "People who may be written to."),
        (name = "Templates", description = "Texts that Meta has approved, for accounts at its Cloud API."),
        (name = "Mailings", description = "What is written to many: drafted, checked, scheduled, sent, followed."),
        (name = "Messages", description = "What left, what became of it, and what people answered."),
        (name = "Document", description = "The description of all this for programs."),
    ),
    paths(
        accounts::create, accounts::list, accounts::show, accounts::test, accounts::pause, accounts::resume,
        account_changes::change, account_changes::callback_secret, account_changes::gateway_log, account_changes::change_gateway_log,
        callback_token::show, callback_token::make,
        lists::create, lists::list, lists::show, templates::list, templates::copy,
        contacts::bulk, contacts::list, contacts::show, contacts::update,
        mailings::create, mailings::list, mailings::show, mailings::preflight, mailings::submit, mailings::send_now,
        mailings::pause, mailings::resume, mailings::cancel, mailings::draft, mailings::duplicate,
        imports::create, imports::show, imports::rejected, import_undo::foresee, import_undo::run, media::create, media::show, mailings::retry_failed,
        messages::list, outgoing::pull, outgoing::results, incoming::list,
        openapi,
    ),
)]
struct Calls;

const ABOUT: &str = "Drives Infinys WhatsApp Blasting from programs: n8n flows, shops, scripts.

Send a token with every call, `Authorization: Bearer wab_…`; an administrator makes it under Technical > API \
Tokens. It acts as its user in its company, with the rights the user has there.

JSON in and out; unknown fields are refused. Times are RFC 3339 with an offset, numbers are E.164 digits \
without `+`, ids are integers. A list answers `items`, `next` and `total`: ask for the next page with \
`?cursor=`. Every refusal has the same envelope with a code and a sentence. A call with an \
`Idempotency-Key` can be repeated without doing it twice.

A flow that sends for an account reports to `POST /webhooks/flow/{account_key}` (its address stands on the \
account's page): `FlowEvents` in the body, `X-Wablast-Signature: sha256=` and the HMAC-SHA256 of the raw body with the \
account's secret. See `webhooks` in this document.";

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// The document, with relative addresses.
pub fn all() -> &'static Value {
    &DOCUMENT
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "Document", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value,
        example = json!({ "openapi": "3.1.0", "info": { "title": "Infinys WhatsApp Blasting", "version": "0.1.0" }, "paths": {} }))))]
pub async fn openapi(app: web::Data<App>) -> HttpResponse {
    let mut document = all().clone();
    document["servers"] = json!([{ "url": format!("{}/api/v1", app.config.public_url()) }]);
    HttpResponse::Ok().json(document)
}

/// Of a record's verbs those that a program can call.
pub fn callable(noun: &str, verbs: &[&str]) -> Vec<String> {
    let is_call = |verb: &&str| {
        let address = format!("/{noun}/{{id}}/{verb}");
        all()["paths"][address.as_str()]["post"].is_object()
    };
    let mut called: Vec<String> = Vec::new();
    for verb in verbs.iter().copied() {
        // A submitted mailing's date is moved by submitting it again.
        let verb = if verb == "reschedule" { "submit" } else { verb };
        if is_call(&verb) && !called.iter().any(|known| known == verb) {
            called.push(verb.to_owned());
        }
    }
    called
}

/// Refusals that any call may meet, and those that depend on what it takes.
const REFUSALS: [(&str, &str, &str, &str); 9] = [
    (
        "401",
        "unauthorized",
        "The token is missing, wrong or revoked",
        "Send a valid token: Authorization: Bearer wab_…",
    ),
    (
        "403",
        "forbidden",
        "The role does not allow it",
        "Your role does not allow this.",
    ),
    (
        "404",
        "not_found",
        "No such record in this company",
        "This record does not exist.",
    ),
    (
        "409",
        "conflict",
        "Not in this state",
        "Only a draft can be submitted.",
    ),
    (
        "413",
        "invalid",
        "The body is larger than 16 MiB",
        "The body is too large. Send it in several calls.",
    ),
    (
        "422",
        "invalid",
        "Something in the request needs another look",
        "Some fields need another look.",
    ),
    (
        "429",
        "rate_limited",
        "Too many calls; Retry-After says after how many seconds to come again",
        "Too many tries. Wait 1 seconds and try again.",
    ),
    (
        "500",
        "internal",
        "Our fault; it is logged",
        "Something went wrong on our side.",
    ),
    (
        "503",
        "busy",
        "The database is busy or away; come again after Retry-After",
        "The system is busy. Try again in a moment.",
    ),
];

fn document() -> Value {
    let mut document = serde_json::to_value(Calls::openapi()).unwrap_or_default();
    document["info"]["description"] = json!(format!(
        "{ABOUT}\n\nA token may make {CALLS_PER_SECOND} calls a second and {CALLS_AT_ONCE} at once; then 429 with Retry-After."
    ));
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    document["servers"] = json!([{ "url": "/api/v1" }]);
    document["security"] = json!([{ "token": [] }]);
    document["components"]["securitySchemes"] = json!({ "token": {
        "type": "http", "scheme": "bearer", "bearerFormat": "wab_…",
        "description": "A token of Technical > API Tokens, or of `wablast token create`.",
    } });
    document["webhooks"] = flow_events();
    let schemas = document["components"]["schemas"].clone();
    let calls = document["paths"].as_object_mut();
    for (path, methods) in calls.into_iter().flatten() {
        for (method, call) in methods.as_object_mut().into_iter().flatten() {
            complete(path, method, call, &schemas);
        }
    }
    document
}

/// What a flow may post beside the calls above: not under their address, and signed instead of with a token.
fn flow_events() -> Value {
    let said = |description: &str| json!({ "description": description });
    json!({ "flowEvents": { "post": {
        "operationId": "flowEvents",
        "summary": "A flow reports what became of messages and brings what people write",
        "description": "POST to /webhooks/flow/{account_key}, the address on the account's page. At most 4 MB. Each event counts once by its id; one that comes before its message is kept and applied later.",
        "security": [],
        "parameters": [{ "in": "header", "name": "X-Wablast-Signature", "required": true, "schema": { "type": "string" },
            "description": "sha256= and the HMAC-SHA256, in hexadecimal, of the raw body with the account's secret for signed events" }],
        "requestBody": { "required": true, "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/FlowEvents" },
            "example": { "events": [
                { "id": "exec-1718-42", "sent_id": 42, "status": "sent", "provider_id": "true_6281234567890@c.us_3EB0C767D26A1B2E3F", "at": "2026-11-24T10:00:00+07:00" },
                { "id": "exec-1719", "kind": "incoming", "from": "6281234567890", "to": "6281122334455", "name": "Budi", "text": "Hi" },
            ] },
        } } },
        "responses": {
            "200": said("Stored, or known already"),
            "400": said("The body cannot be read; the sentence names the event at fault, and nothing is stored"),
            "401": said("The signature does not fit"),
            "404": said("No account that sends through a webhook has this key"),
            "413": said("The body is larger than 4 MB"),
            "503": said("Come again in a moment: the same events count once"),
        },
    } } })
}

/// Adds to one call what its description need not repeat.
fn complete(path: &str, method: &str, call: &mut Value, schemas: &Value) {
    if path == "/openapi.json" {
        call["security"] = json!([]);
    }
    let mut codes = vec!["429", "500", "503"];
    if path != "/openapi.json" {
        codes.push("401");
    }
    if path.contains("{id}") {
        codes.push("404");
    }
    if method != "get"
        || call["parameters"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["in"] != "path"))
    {
        codes.push("422");
    }
    if call["requestBody"].is_object() {
        codes.push("413");
    }
    for (code, name, description, message) in REFUSALS {
        let own = call["responses"][code]["description"]
            .as_str()
            .map(str::to_owned);
        if own.is_none() && !codes.contains(&code) {
            continue;
        }
        let mut example = json!({ "error": { "code": name, "message": message } });
        match code {
            "422" => example["error"]["fields"] = json!({ "subject": ["Enter a subject."] }),
            "409" => example["error"]["legal"] = json!(["duplicate"]),
            _ => {}
        }
        call["responses"][code] = json!({
            "description": own.as_deref().unwrap_or(description),
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" }, "example": example } },
        });
        if matches!(code, "429" | "503") {
            call["responses"][code]["headers"] = json!({ "Retry-After": { "description": "Seconds", "schema": { "type": "integer" } } });
        }
    }
    if let Some(body) = call.get_mut("requestBody") {
        with_example(body, schemas, true);
    }
    for answer in call["responses"]
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
    {
        with_example(answer, schemas, false);
    }
}

/// Puts an example beside the schema of a body that has none.
fn with_example(body: &mut Value, schemas: &Value, asked: bool) {
    let kinds = body.get_mut("content").and_then(Value::as_object_mut);
    for content in kinds.into_iter().flat_map(Map::values_mut) {
        if content.get("example").is_none() && content.get("examples").is_none() {
            content["example"] = example(&content["schema"], schemas, asked);
        }
    }
}

/// A value that fits the schema: its own examples where it has some. In what one asks, fields that may be
/// absent are.
fn example(schema: &Value, schemas: &Value, asked: bool) -> Value {
    if let Some(own) = schema.get("example") {
        return own.clone();
    }
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|name| name.rsplit('/').next())
    {
        return example(&schemas[name], schemas, asked);
    }
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    if let Some(all) = schema["allOf"].as_array() {
        let parts = all.iter().map(|part| example(part, schemas, asked));
        let fields = parts.filter_map(|part| part.as_object().cloned()).flatten();
        return Value::Object(fields.collect());
    }
    if let Some(ways) = schema["oneOf"].as_array() {
        let way = ways.iter().find(|way| way["type"] != "null");
        return way.map_or(Value::Null, |way| example(way, schemas, asked));
    }
    let kind = match &schema["type"] {
        // May be null, and nothing better is known.
        Value::Array(_) => return Value::Null,
        kind => kind.as_str().unwrap_or("object"),
    };
    match kind {
        "array" => json!([example(&schema["items"], schemas, asked)]),
        "string" if schema["format"] == "date-time" => json!("2026-11-24T03:00:00Z"),
        "string" if schema["format"] == "binary" => json!("(the bytes of the file)"),
        "string" => json!(""),
        "integer" | "number" => json!(0),
        "boolean" => json!(false),
        _ => {
            let required = |name: &str| {
                let names = schema["required"].as_array();
                names.is_some_and(|all| all.iter().any(|one| one == name))
            };
            let fields = schema["properties"].as_object().into_iter().flatten();
            let shown = fields
                .filter(|(name, field)| !asked || required(name) || field.get("example").is_some());
            Value::Object(
                shown
                    .map(|(name, field)| (name.clone(), example(field, schemas, asked)))
                    .collect(),
            )
        }
    }
}
