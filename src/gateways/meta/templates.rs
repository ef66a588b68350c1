//! Templates as Meta keeps them: listed page by page, and a new one handed in for approval.
//!
//! Invariants: a template is named by its name and language; the next page is asked for by its cursor, never by
//! the address Meta gives (it may hold the token); what a template consists of is read once, here, into
//! [`Shape`]. Knows no database.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::SendError;
use super::Meta;

const FIELDS: &str =
    "id,name,language,status,category,parameter_format,components,quality_score,rejected_reason";
/// Small enough for a page of the longest templates to be read.
const PAGE: &str = "40";
/// A list that never ends is none.
const PAGES_AT_MOST: usize = 500;

/// A template at Meta.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub uid: String,
    pub name: String,
    pub language: String,
    /// As Meta writes it: APPROVED, PENDING ...
    pub status: String,
    pub category: String,
    pub quality: Option<String>,
    pub rejected_reason: Option<String>,
    pub shape: Shape,
}

/// What a template consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Variables have names instead of numbers.
    #[serde(default)]
    pub named: bool,
    /// none, text, image, video, document, or another one that mailings cannot fill.
    #[serde(default)]
    pub header_type: String,
    #[serde(default)]
    pub header: String,
    #[serde(default)]
    pub body: String,
    #[serde(default)]
    pub footer: String,
    #[serde(default)]
    pub buttons: Vec<Button>,
    /// Variable (`body.1`) to the sample it was approved with.
    #[serde(default)]
    pub samples: std::collections::BTreeMap<String, String>,
    /// Of an authentication template, whose text Meta writes itself.
    #[serde(default)]
    pub code: Option<Code>,
}

/// What a business chooses about an authentication template. From Meta's OpenAPI document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// "For your security, do not share this code."
    pub warns: bool,
    /// "This code expires in 10 minutes."
    pub minutes: Option<u8>,
    /// The Android app a press fills the code into; `None`: it copies the code.
    pub app: Option<App>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub package: String,
    pub hash: String,
}

/// How Meta lists the button of an authentication template: a link that WhatsApp takes the code from.
const CODE_LINK: &str = "https://www.whatsapp.com/otp/";
/// The kind of button that carries the code; its value is the code of the text.
pub const CODE_BUTTON: &str = "otp";

/// A button, in the order of the template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// url, quick_reply, phone_number, copy_code ..., in lower case.
    pub kind: String,
    pub text: String,
    /// Of a `url` button; `{{1}}` at its end makes it dynamic.
    #[serde(default)]
    pub url: String,
    #[serde(default)]
    pub phone: String,
}

/// A place in a template that wants a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// `body.1`, `body.first_name`, `header.1`, `button.0`: its name in a mailing's mapping.
    pub key: String,
    /// What stands between the braces; none for a button.
    pub variable: Option<String>,
    pub place: Place,
    /// May stay empty: what a quick reply brings back beside its text.
    pub optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Header,
    Body,
    /// The button at this index.
    Button(usize),
}

impl Button {
    pub fn is_dynamic(&self) -> bool {
        (self.kind == "url" && self.url.contains("{{")) || self.kind == "copy_code"
    }
}

impl Shape {
    /// Every place that wants a value, in reading order.
    pub fn slots(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        let texts = [
            (
                Place::Header,
                "header",
                if self.header_type == "text" {
                    self.header.as_str()
                } else {
                    ""
                },
            ),
            (Place::Body, "body", self.body.as_str()),
        ];
        for (place, name, text) in texts {
            for variable in variables(text) {
                let key = format!("{name}.{variable}");
                if !slots.iter().any(|slot: &Slot| slot.key == key) {
                    slots.push(Slot {
                        key,
                        variable: Some(variable),
                        place,
                        optional: false,
                    });
                }
            }
        }
        for (index, button) in self.buttons.iter().enumerate() {
            let optional = button.kind == "quick_reply";
            if optional || button.is_dynamic() {
                slots.push(Slot {
                    key: format!("button.{index}"),
                    variable: None,
                    place: Place::Button(index),
                    optional,
                });
            }
        }
        slots
    }

    /// Its header is a file.
    pub fn has_file(&self) -> bool {
        matches!(self.header_type.as_str(), "image" | "video" | "document")
    }

    /// Why mailings cannot use it; `None`: they can.
    pub fn unusable(&self) -> Option<&'static str> {
        if !matches!(
            self.header_type.as_str(),
            "none" | "text" | "image" | "video" | "document"
        ) {
            return Some("Its header is of a kind that mailings cannot fill.");
        }
        let known = |button: &Button| {
            matches!(
                button.kind.as_str(),
                "url" | "quick_reply" | "phone_number" | "copy_code" | CODE_BUTTON
            )
        };
        if !self.buttons.iter().all(known) {
            return Some("It has a button of a kind that mailings cannot fill.");
        }
        None
    }
}

/// What stands between double braces, in order, each time it stands there.
pub fn variables(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        let name = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.is_empty() && name.chars().all(is_name) {
            found.push(name.to_owned());
        }
        rest = after;
    }
    found
}

/// `text` with every variable replaced; a variable without a value stays.
pub fn with_values(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        out.push_str(before);
        match value(name.trim()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&format!("{{{{{name}}}}}")),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

impl Meta {
    /// All templates of the account.
    pub async fn templates(&self) -> Result<Vec<Listed>, SendError> {
        let waba = self.address.account_uid.as_str();
        let mut all = Vec::new();
        let mut after = String::new();
        for _ in 0..PAGES_AT_MOST {
            let mut query = vec![("fields", FIELDS), ("limit", PAGE)];
            if !after.is_empty() {
                query.push(("after", after.as_str()));
            }
            let page = self.get(&[waba, "message_templates"], &query).await?;
            all.extend(
                page["data"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(listed),
            );
            let cursor = page["paging"]["cursors"]["after"].as_str();
            match (page["paging"]["next"].as_str(), cursor) {
                (Some(_), Some(cursor)) if cursor != after => cursor.clone_into(&mut after),
                _ => break,
            }
        }
        Ok(all)
    }

    /// Hands in a template; `sample` is the handle of its header's file. Returns its id, status and category at Meta.
    pub async fn create_template(
        &self,
        name: &str,
        language: &str,
        category: &str,
        shape: &Shape,
        sample: Option<&str>,
    ) -> Result<(String, String, String), SendError> {
        let waba = self.address.account_uid.as_str();
        let body = json!({
            "name": name, "language": language, "category": category,
            "parameter_format": if shape.named { "NAMED" } else { "POSITIONAL" },
            "components": match &shape.code {
                Some(code) => code_components(code),
                None => components(shape, sample),
            },
        });
        let answer = self.post(&[waba, "message_templates"], &body).await?;
        let text = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
        Ok((
            text(&answer["id"], ""),
            text(&answer["status"], "PENDING"),
            text(&answer["category"], category),
        ))
    }
}

/// The components of an authentication template.
fn code_components(code: &Code) -> Value {
    let mut components = vec![json!({ "type": "BODY", "add_security_recommendation": code.warns })];
    if let Some(minutes) = code.minutes {
        components.push(json!({ "type": "FOOTER", "code_expiration_minutes": minutes }));
    }
    // Without words of ours the buttons speak the template's language.
    let button = match &code.app {
        None => json!({ "type": "OTP", "otp_type": "COPY_CODE" }),
        Some(app) => json!({ "type": "OTP", "otp_type": "ONE_TAP",
            "package_name": app.package, "signature_hash": app.hash }),
    };
    components.push(json!({ "type": "BUTTONS", "buttons": [button] }));
    json!(components)
}

/// The components of a new template, with the samples Meta asks for.
fn components(shape: &Shape, handle: Option<&str>) -> Value {
    let sample = |key: String| shape.samples.get(&key).cloned().unwrap_or_default();
    let samples = |place: &str, text: &str| -> (Vec<String>, Vec<Value>) {
        let mut names = variables(text);
        names.dedup();
        let values = names
            .iter()
            .map(|name| sample(format!("{place}.{name}")))
            .collect();
        let named = names
            .iter()
            .map(|name| json!({ "param_name": name, "example": sample(format!("{place}.{name}")) }))
            .collect();
        (values, named)
    };
    let mut components = Vec::new();
    if shape.header_type == "text" && !shape.header.is_empty() {
        let mut header = json!({ "type": "HEADER", "format": "TEXT", "text": shape.header });
        let (values, named) = samples("header", &shape.header);
        if !values.is_empty() {
            header["example"] = if shape.named {
                json!({ "header_text_named_params": named })
            } else {
                json!({ "header_text": values })
            };
        }
        components.push(header);
    }
    if let (true, Some(handle)) = (shape.has_file(), handle) {
        components.push(
            json!({ "type": "HEADER", "format": shape.header_type.to_uppercase(),
            "example": { "header_handle": [handle] } }),
        );
    }
    let mut body = json!({ "type": "BODY", "text": shape.body });
    let (values, named) = samples("body", &shape.body);
    if !values.is_empty() {
        body["example"] = if shape.named {
            json!({ "body_text_named_params": named })
        } else {
            json!({ "body_text": [values] })
        };
    }
    components.push(body);
    if !shape.footer.is_empty() {
        components.push(json!({ "type": "FOOTER", "text": shape.footer }));
    }
    if !shape.buttons.is_empty() {
        let buttons: Vec<Value> = shape
            .buttons
            .iter()
            .enumerate()
            .map(|(index, button)| {
                let mut one = json!({ "type": button.kind.to_uppercase(), "text": button.text });
                if button.kind == "url" {
                    one["url"] = json!(button.url);
                    if button.is_dynamic() {
                        one["example"] = json!([sample(format!("button.{index}"))]);
                    }
                }
                if button.kind == "phone_number" {
                    one["phone_number"] = json!(button.phone);
                }
                one
            })
            .collect();
        components.push(json!({ "type": "BUTTONS", "buttons": buttons }));
    }
    json!(components)
}

fn listed(one: &Value) -> Option<Listed> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let some = |value: &Value| Some(text(value)).filter(|text| !text.is_empty());
    Some(Listed {
        uid: some(&one["id"])?,
        name: some(&one["name"])?,
        language: some(&one["language"])?,
        status: text(&one["status"]),
        category: text(&one["category"]),
        quality: some(&one["quality_score"]["score"]),
        rejected_reason: some(&one["rejected_reason"]).filter(|reason| reason != "NONE"),
        shape: shape(one),
    })
}

fn shape(one: &Value) -> Shape {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut shape = Shape {
        named: one["parameter_format"].as_str() == Some("NAMED"),
        header_type: "none".to_owned(),
        ..Shape::default()
    };
    for component in one["components"].as_array().into_iter().flatten() {
        match text(&component["type"]).to_uppercase().as_str() {
            "HEADER" => {
                shape.header_type = text(&component["format"]).to_lowercase();
                shape.header = text(&component["text"]);
                sample(&mut shape, "header", &component["example"], "header_text");
            }
            "BODY" => {
                shape.body = text(&component["text"]);
                sample(&mut shape, "body", &component["example"], "body_text");
            }
            "FOOTER" => shape.footer = text(&component["text"]),
            "BUTTONS" => {
                for button in component["buttons"].as_array().into_iter().flatten() {
                    let url = text(&button["url"]);
                    let is_code = url.starts_with(CODE_LINK);
                    shape.buttons.push(Button {
                        kind: if is_code {
                            CODE_BUTTON.to_owned()
                        } else {
                            text(&button["type"]).to_lowercase()
                        },
                        text: text(&button["text"]),
                        url: if is_code { String::new() } else { url },
                        phone: text(&button["phone_number"]),
                    });
                }
            }
            _ => {}
        }
    }
    shape
}

/// The samples of a text: named ones by their name, others by their place.
fn sample(shape: &mut Shape, place: &str, example: &Value, field: &str) {
    let named = &example[format!("{field}_named_params")];
    for one in named.as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (one["param_name"].as_str(), one["example"].as_str()) {
            shape
                .samples
                .insert(format!("{place}.{name}"), value.to_owned());
        }
    }
    // body_text is a list of lists, header_text a list.
    let values = match &example[field][0] {
        Value::Array(values) => values.clone(),
        _ => example[field].as_array().cloned().unwrap_or_default(),
    };
    for (index, value) in values.iter().enumerate() {
        if let Some(value) = value.as_str() {
            shape
                .samples
                .insert(format!("{place}.{}", index + 1), value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_with_its_places_and_samples() {
        let one = json!({
            "id": "1", "name": "promo", "language": "id", "status": "APPROVED", "category": "MARKETING", "parameter_format": "POSITIONAL",
            "quality_score": { "score": "GREEN" }, "rejected_reason": "NONE",
            "components": [
                { "type": "HEADER", "format": "IMAGE", "example": { "header_handle": ["https://x"] } },
                { "type": "BODY", "text": "Hi {{1}}, {{2}} off until {{1}}", "example": { "body_text": [["Siti", "10 %"]] } },
                { "type": "FOOTER", "text": "Bye" },
                { "type": "BUTTONS", "buttons": [
                    { "type": "QUICK_REPLY", "text": "Stop" },
                    { "type": "URL", "text": "Shop", "url": "https://shop.example/{{1}}" } ] },
            ],
        });
        let listed = listed(&one).unwrap();
        assert_eq!(listed.rejected_reason, None);
        assert_eq!(listed.quality.as_deref(), Some("GREEN"));
        let keys: Vec<String> = listed
            .shape
            .slots()
            .into_iter()
            .map(|slot| slot.key)
            .collect();
        assert_eq!(keys, ["body.1", "body.2", "button.0", "button.1"]);
        assert_eq!(listed.shape.samples["body.2"], "10 %");
        assert!(listed.shape.has_file());
        assert_eq!(listed.shape.unusable(), None);
    }

    #[test]
    fn an_authentication_template_is_meta_s_own_text_with_our_choices() {
        let code = Code {
            warns: true,
            minutes: Some(10),
            app: None,
        };
        assert_eq!(
            code_components(&code),
            json!([
                { "type": "BODY", "add_security_recommendation": true },
                { "type": "FOOTER", "code_expiration_minutes": 10 },
                { "type": "BUTTONS", "buttons": [{ "type": "OTP", "otp_type": "COPY_CODE" }] },
            ])
        );
        let app = App {
            package: "com.example.shop".to_owned(),
            hash: "K8a/AINcGX7".to_owned(),
        };
        let tap = code_components(&Code {
            app: Some(app),
            ..Code::default()
        });
        assert_eq!(tap[1]["buttons"][0]["otp_type"], "ONE_TAP");
        assert_eq!(tap[1]["buttons"][0]["package_name"], "com.example.shop");
        // As it is listed, its button wants no value of its own.
        let listed = shape(&json!({ "components": [
            { "type": "BODY", "text": "*{{1}}* is your verification code." },
            { "type": "BUTTONS", "buttons": [{ "type": "URL", "text": "Copy code",
                "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}" }] },
        ] }));
        assert_eq!(listed.buttons[0].kind, CODE_BUTTON);
        assert_eq!(listed.slots().len(), 1);
        assert_eq!(listed.unusable(), None);
    }

    #[test]
    fn a_header_with_a_file_is_handed_in_with_its_sample() {
        let shape = Shape {
            header_type: "image".to_owned(),
            body: "Hello".to_owned(),
            ..Shape::default()
        };
        assert_eq!(
            components(&shape, Some("4::aW"))[0],
            json!({ "type": "HEADER", "format": "IMAGE", "example": { "header_handle": ["4::aW"] } })
        );
    }

    #[test]
    fn named_variables_keep_their_names_and_unknown_ones_their_braces() {
        assert_eq!(
            variables("a {{first_name}} {{ 2 }} {{x y}} {{"),
            ["first_name", "2"]
        );
        let filled = with_values("Hi {{first_name}} {{2}}!", |name| {
            (name == "first_name").then(|| "Siti".to_owned())
        });
        assert_eq!(filled, "Hi Siti {{2}}!");
    }
}
