//! The templates of a simulated business account: some to begin with, and those handed in.
//!
//! Invariant: a message is refused as Meta refuses it: an unknown or unapproved template, the wrong number of
//! parameters, a missing file.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::arrived::File;
use super::meta::{self, Path, fault, refused};
use super::{State, locked};
use crate::gateways::meta::templates::{variables, with_values};

/// One template as it is listed.
#[derive(Clone)]
pub(super) struct Kept {
    pub json: Value,
}

impl Kept {
    fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }

    fn component(&self, kind: &str) -> Option<&Value> {
        self.json["components"]
            .as_array()?
            .iter()
            .find(|component| component["type"] == kind)
    }
}

/// What every simulated account has.
fn beginning() -> Vec<Kept> {
    let one = |id: u64,
               name: &str,
               language: &str,
               status: &str,
               category: &str,
               components: Value| Kept {
        json: json!({ "id": format!("{id}"), "name": name, "language": language, "status": status, "category": category,
            "parameter_format": "POSITIONAL", "components": components, "quality_score": { "score": "GREEN" }, "rejected_reason": "NONE" }),
    };
    vec![
        one(
            1001,
            "weekend_promo",
            "id",
            "APPROVED",
            "MARKETING",
            json!([
                { "type": "HEADER", "format": "TEXT", "text": "Promo Parang" },
                { "type": "BODY", "text": "Halo {{1}}, diskon {{2}} untuk semua batik sampai Minggu.", "example": { "body_text": [["Siti", "20 %"]] } },
                { "type": "FOOTER", "text": "Balas STOP untuk berhenti" },
                { "type": "BUTTONS", "buttons": [
                    { "type": "URL", "text": "Lihat toko", "url": "https://toko.example/{{1}}", "example": ["https://toko.example/promo"] },
                    { "type": "QUICK_REPLY", "text": "Berhenti" } ] },
            ]),
        ),
        one(
            1002,
            "new_collection",
            "en",
            "APPROVED",
            "MARKETING",
            json!([
                { "type": "HEADER", "format": "IMAGE", "example": { "header_handle": ["https://example.com/a.jpg"] } },
                { "type": "BODY", "text": "Hello {{1}}, our new collection is here.", "example": { "body_text": [["Siti"]] } },
            ]),
        ),
        one(
            1003,
            "order_update",
            "en_US",
            "APPROVED",
            "UTILITY",
            json!([
                { "type": "BODY", "text": "Your order {{1}} is on its way.", "example": { "body_text": [["A-12"]] } },
            ]),
        ),
        one(
            1004,
            "flash_sale",
            "id",
            "PENDING",
            "MARKETING",
            json!([
                { "type": "BODY", "text": "Halo, flash sale mulai pukul 12." },
            ]),
        ),
        one(
            1005,
            "greeting_rtl",
            "ar",
            "APPROVED",
            "MARKETING",
            json!([
                { "type": "BODY", "text": "\u{645}\u{631}\u{62d}\u{628}\u{627} {{1}}\u{60c} \u{644}\u{62f}\u{64a}\u{646}\u{627} \u{639}\u{631}\u{636} \u{62c}\u{62f}\u{64a}\u{62f} \u{644}\u{643}.", "example": { "body_text": [["\u{633}\u{64a}\u{62a}\u{64a}"]] } },
            ]),
        ),
    ]
}

fn with_beginning(kept: &mut meta::Kept) {
    if kept.templates.is_empty() {
        kept.templates = beginning();
    }
}

#[derive(serde::Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    after: Option<String>,
}

pub(super) async fn list(
    request: HttpRequest,
    path: Path,
    page: web::Query<Page>,
    state: web::Data<State>,
) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    if path.1 != meta::WABA {
        return fault(100, "Object with this ID does not exist");
    }
    let mut kept = locked(&state.meta);
    with_beginning(&mut kept);
    // Small pages, so that asking for the next one is rehearsed too.
    let size = page.limit.unwrap_or(25).min(3);
    let from: usize = page
        .after
        .as_deref()
        .and_then(|after| after.parse().ok())
        .unwrap_or(0);
    let data: Vec<&Value> = kept
        .templates
        .iter()
        .skip(from)
        .take(size)
        .map(|one| &one.json)
        .collect();
    let end = from + data.len();
    let mut answer = json!({ "data": data, "paging": { "cursors": { "before": from.to_string(), "after": end.to_string() } } });
    if end < kept.templates.len() {
        answer["paging"]["next"] =
            json!("https://graph.facebook.com/elsewhere?access_token=secret");
    }
    HttpResponse::Ok().json(answer)
}

pub(super) async fn create(
    request: HttpRequest,
    path: Path,
    body: web::Json<Value>,
    state: web::Data<State>,
) -> HttpResponse {
    if let Some(refused) = refused(&request, &state) {
        return refused;
    }
    let body = body.into_inner();
    let (name, language) = (body["name"].as_str(), body["language"].as_str());
    let (Some(name), Some(language), true) = (name, language, path.1 == meta::WABA) else {
        return fault(100, "Invalid parameter");
    };
    let mut kept = locked(&state.meta);
    with_beginning(&mut kept);
    if let Some(wrong) = wrong(&kept, &body) {
        return fault(100, wrong);
    }
    if kept
        .templates
        .iter()
        .any(|one| one.text("name") == name && one.text("language") == language)
    {
        return fault(
            100,
            "There is already content in this language for this template.",
        );
    }
    let id = format!("{}", 2000 + kept.next_id());
    let mut json = body.clone();
    if body["category"] == "AUTHENTICATION" {
        json["components"] = of_a_code(&body);
    }
    json["id"] = json!(id);
    json["status"] = json!("PENDING");
    kept.templates.push(Kept { json });
    HttpResponse::Ok().json(json!({ "id": id, "status": "PENDING", "category": body["category"] }))
}

/// What Meta has against the components of a new template.
fn wrong(kept: &meta::Kept, body: &Value) -> Option<&'static str> {
    let components = body["components"].as_array().into_iter().flatten();
    for component in components {
        let format = component["format"].as_str().unwrap_or("TEXT");
        let handle = component["example"]["header_handle"][0].as_str();
        if format != "TEXT" && !handle.is_some_and(|handle| kept.samples.contains(handle)) {
            return Some("The header_handle of the header is not known");
        }
        let is_body = component["type"] == "BODY";
        if is_body && body["category"] == "AUTHENTICATION" && !component["text"].is_null() {
            return Some("An authentication template takes no text of its own");
        }
    }
    None
}

/// How an authentication template is listed: Meta's text, and a button that carries the code.
fn of_a_code(body: &Value) -> Value {
    let part = |kind: &str| {
        let components = body["components"].as_array().into_iter().flatten();
        components
            .clone()
            .find(|component| component["type"] == kind)
            .cloned()
            .unwrap_or_default()
    };
    let mut text = "*{{1}}* is your verification code.".to_owned();
    if part("BODY")["add_security_recommendation"] == true {
        text.push_str(" For your security, do not share this code.");
    }
    let mut components =
        vec![json!({ "type": "BODY", "text": text, "example": { "body_text": [["123456"]] } })];
    if let Some(minutes) = part("FOOTER")["code_expiration_minutes"].as_u64() {
        let text = format!("This code expires in {minutes} minutes.");
        components.push(json!({ "type": "FOOTER", "text": text }));
    }
    let kind = part("BUTTONS")["buttons"][0]["otp_type"].clone();
    let url = format!(
        "https://www.whatsapp.com/otp/code/?otp_type={}&code=otp{{{{1}}}}",
        kind.as_str().unwrap_or_default()
    );
    components.push(json!({ "type": "BUTTONS", "buttons": [{ "type": "URL", "text": "Copy code", "url": url }] }));
    json!(components)
}

/// What a person reads of a template with its parameters, or how Meta refuses it.
pub(super) fn said(
    kept: &meta::Kept,
    call: &Value,
) -> Result<(String, Option<File>), (i64, String)> {
    let beginning = beginning();
    let all = if kept.templates.is_empty() {
        &beginning
    } else {
        &kept.templates
    };
    let found = all.iter().find(|one| {
        one.json["name"] == call["name"] && one.json["language"] == call["language"]["code"]
    });
    let Some(found) = found else {
        return Err((
            132_001,
            "Template name does not exist in the translation".to_owned(),
        ));
    };
    match found.text("status") {
        "APPROVED" => {}
        "PAUSED" => return Err((132_015, "Template is paused".to_owned())),
        "DISABLED" => return Err((132_016, "Template is disabled".to_owned())),
        _ => return Err((132_001, "Template is not approved".to_owned())),
    }
    let given = |kind: &str| -> Vec<&Value> {
        let components = call["components"].as_array().into_iter().flatten();
        components
            .filter(|component| component["type"] == kind)
            .flat_map(|component| component["parameters"].as_array().into_iter().flatten())
            .collect()
    };
    let header = found.component("HEADER");
    let file = match header.and_then(|header| header["format"].as_str()) {
        Some(format) if format != "TEXT" => {
            let kind = format.to_lowercase();
            let parameters = given("header");
            let Some(parameter) = parameters.first() else {
                return Err((132_012, "The header needs its media".to_owned()));
            };
            Some(meta::file_of(kept, &kind, &parameter[kind.as_str()])?)
        }
        _ => None,
    };
    let body = found
        .component("BODY")
        .and_then(|body| body["text"].as_str())
        .unwrap_or_default();
    let mut names = variables(body);
    names.sort();
    names.dedup();
    let values = given("body");
    if values.len() != names.len()
        || values
            .iter()
            .any(|value| value["text"].as_str().is_none_or(str::is_empty))
    {
        return Err((
            132_000,
            format!(
                "Number of parameters ({}) does not match the expected number ({})",
                values.len(),
                names.len()
            ),
        ));
    }
    let text = with_values(body, |name| {
        let by_name = values.iter().find(|value| value["parameter_name"] == name);
        let by_place = name
            .parse::<usize>()
            .ok()
            .and_then(|number| values.get(number.checked_sub(1)?));
        by_name
            .or(by_place)
            .and_then(|value| value["text"].as_str())
            .map(str::to_owned)
    });
    let buttons = found
        .component("BUTTONS")
        .and_then(|component| component["buttons"].as_array());
    let dynamic = buttons
        .into_iter()
        .flatten()
        .filter(|button| button["url"].as_str().is_some_and(|url| url.contains("{{")))
        .count();
    if given("button").len() < dynamic {
        return Err((131_008, "Required parameter is missing: button".to_owned()));
    }
    Ok((text, file))
}

/// As what a message is charged.
pub(super) fn category(kept: &meta::Kept, call: &Value) -> String {
    let found = kept
        .templates
        .iter()
        .find(|one| one.json["name"] == call["name"]);
    found.map_or_else(
        || {
            if call.is_null() {
                "service"
            } else {
                "marketing"
            }
            .to_owned()
        },
        |one| one.text("category").to_lowercase(),
    )
}

/// Another category from now on, told by webhook.
pub(super) fn moves(state: &State, name: &str, category: &str) {
    let mut news = Vec::new();
    {
        let mut kept = locked(&state.meta);
        with_beginning(&mut kept);
        for one in kept
            .templates
            .iter_mut()
            .filter(|one| one.text("name") == name)
        {
            let before = one.text("category").to_owned();
            one.json["category"] = json!(category);
            news.push(
                json!({ "message_template_id": one.text("id").parse::<u64>().unwrap_or_default(),
                "message_template_name": name, "message_template_language": one.text("language"),
                "previous_category": before, "new_category": category }),
            );
        }
    }
    for one in news {
        state.meta_hooks.post("template_category_update", one);
    }
}

/// Another status from now on, told by webhook.
pub(super) fn becomes(state: &State, name: &str, status: &str, reason: &str) {
    let mut news = Vec::new();
    {
        let mut kept = locked(&state.meta);
        with_beginning(&mut kept);
        for one in kept
            .templates
            .iter_mut()
            .filter(|one| one.text("name") == name)
        {
            one.json["status"] = json!(status);
            news.push(json!({ "event": status, "message_template_id": one.text("id").parse::<u64>().unwrap_or_default(),
                "message_template_name": name, "message_template_language": one.text("language"), "reason": "NONE",
                "message_template_category": one.json["category"], "other_info": { "title": "FIRST_PAUSE", "description": reason } }));
        }
    }
    for one in news {
        state.meta_hooks.post("message_template_status_update", one);
    }
}
