//! The bodies of messages: text, file, template, and the upload of a file.
//!
//! Invariants: a number goes with a plus sign, or Meta puts the business's country code before it; our own
//! reference goes along as `biz_opaque_callback_data` and comes back in every receipt; a footer never gets a
//! component, and a component without variables is left out. Knows no placeholders: values come filled.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::{
    Attachment, SendError, Source, TextMessage, changed_meanwhile, voice_with_words,
};

/// How the address of a person without a known number ends; what stands before is Meta's id of them.
pub const BSUID: &str = "@bsuid";

/// An approved template with the values of its variables. Stored with a mailing's version the values are
/// texts with placeholders; sent they are one person's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateCall {
    pub name: String,
    pub language: String,
    /// Of a text header.
    #[serde(default)]
    pub header: Vec<Variable>,
    #[serde(default)]
    pub body: Vec<Variable>,
    #[serde(default)]
    pub buttons: Vec<ButtonValue>,
    /// Its category is marketing, for which Meta has a call of its own.
    #[serde(default)]
    pub marketing: bool,
}

/// The value of a variable; without a name its place counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: Option<String>,
    pub text: String,
}

/// What a button carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ButtonValue {
    /// From 0, in the order of the template.
    pub index: usize,
    /// `url` (the end of its address), `quick_reply` (what comes back) or `copy_code`.
    pub kind: String,
    pub text: String,
}

impl TemplateCall {
    /// The same call with every text replaced by what `fill` makes of it.
    pub fn map(&self, fill: impl Fn(&str) -> String) -> Self {
        let variables = |all: &[Variable]| {
            all.iter()
                .map(|one| Variable {
                    name: one.name.clone(),
                    text: fill(&one.text),
                })
                .collect()
        };
        Self {
            name: self.name.clone(),
            language: self.language.clone(),
            marketing: self.marketing,
            header: variables(&self.header),
            body: variables(&self.body),
            buttons: self
                .buttons
                .iter()
                .map(|one| ButtonValue {
                    text: fill(&one.text),
                    ..one.clone()
                })
                .collect(),
        }
    }

    /// Everything that may hold placeholders.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let variables = self.header.iter().chain(&self.body).map(|one| &one.text);
        variables
            .chain(self.buttons.iter().map(|one| &one.text))
            .map(String::as_str)
    }
}

/// The request of a message. Fails where something in it cannot go through Meta.
pub(super) fn body(message: &TextMessage) -> Result<Value, SendError> {
    let mut body = json!({ "messaging_product": "whatsapp", "recipient_type": "individual" });
    match message.to.strip_suffix(BSUID) {
        Some(id) => body["recipient"] = json!(id),
        None => body["to"] = json!(format!("+{}", message.to.trim_start_matches('+'))),
    }
    if let Some(own_ref) = &message.own_ref {
        body["biz_opaque_callback_data"] = json!(own_ref);
    }
    if let Some(quoted) = &message.quoted {
        body["context"] = json!({ "message_id": quoted });
    }
    let kind = match (&message.template, &message.media) {
        (Some(template), media) => {
            body["template"] = template_of(template, media.as_ref())?;
            "template"
        }
        (None, Some(media)) => {
            let mut file = file(media)?;
            if media.kind == "voice" {
                if !message.text.is_empty() {
                    return Err(voice_with_words());
                }
                // Ogg with Opus is shown as a voice note, other sound as a file that plays.
                file["voice"] = json!(media.mime.starts_with("audio/ogg"));
            } else if !message.text.is_empty() {
                file["caption"] = json!(message.text);
            }
            let kind = kind_of(media);
            body[kind] = file;
            kind
        }
        (None, None) => {
            body["text"] = json!({ "body": message.text, "preview_url": true });
            "text"
        }
    };
    body["type"] = json!(kind);
    Ok(body)
}

/// What Meta calls a file of this kind.
fn kind_of(media: &Attachment) -> &'static str {
    match media.kind {
        "voice" => "audio",
        other => other,
    }
}

/// The file of a message, as an id or an address Meta fetches.
fn file(media: &Attachment) -> Result<Value, SendError> {
    let mut file = match &media.source {
        Source::Uploaded(id) => json!({ "id": id }),
        Source::Link(url) => json!({ "link": url }),
        Source::Inside(_) => return Err(changed_meanwhile()),
    };
    if media.kind == "document" {
        // Without one the person sees a nameless file.
        file["filename"] = json!(media.file_name);
    }
    Ok(file)
}

fn template_of(template: &TemplateCall, media: Option<&Attachment>) -> Result<Value, SendError> {
    let mut components = Vec::new();
    if let Some(media) = media {
        let mut parameter = json!({ "type": kind_of(media) });
        parameter[kind_of(media)] = file(media)?;
        components.push(json!({ "type": "header", "parameters": [parameter] }));
    } else if !template.header.is_empty() {
        components.push(json!({ "type": "header", "parameters": parameters(&template.header) }));
    }
    if !template.body.is_empty() {
        components.push(json!({ "type": "body", "parameters": parameters(&template.body) }));
    }
    for button in &template.buttons {
        let parameter = match button.kind.as_str() {
            "quick_reply" => json!({ "type": "payload", "payload": button.text }),
            "copy_code" => json!({ "type": "coupon_code", "coupon_code": one_line(&button.text) }),
            _ => json!({ "type": "text", "text": one_line(&button.text) }),
        };
        components.push(json!({
            "type": "button", "sub_type": button.kind, "index": button.index.to_string(), "parameters": [parameter],
        }));
    }
    let mut call = json!({ "name": template.name, "language": { "code": template.language } });
    if !components.is_empty() {
        call["components"] = json!(components);
    }
    Ok(call)
}

fn parameters(variables: &[Variable]) -> Vec<Value> {
    variables
        .iter()
        .map(|one| {
            let mut parameter = json!({ "type": "text", "text": one_line(&one.text) });
            if let Some(name) = &one.name {
                parameter["parameter_name"] = json!(name);
            }
            parameter
        })
        .collect()
}

/// A value may have no line breaks, no tabs and not more than four spaces in a row (132012).
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The form of an upload: its content type and bytes.
pub(super) fn upload(mime: &str, name: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    let boundary = crate::random::token(32);
    // Quotes and line breaks would end the header they stand in.
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_control() || c == '"' || c == '\\' {
                '_'
            } else {
                c
            }
        })
        .collect();
    let mut body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\n{mime}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {mime}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(to: &str) -> TextMessage {
        TextMessage {
            to: to.to_owned(),
            text: "Hello".to_owned(),
            media: None,
            own_ref: Some("r1".to_owned()),
            quoted: None,
            template: None,
        }
    }

    #[test]
    fn a_number_goes_with_a_plus_and_a_hidden_person_by_their_id() {
        let body_of = |to: &str| body(&message(to)).unwrap();
        assert_eq!(body_of("628123")["to"], "+628123");
        let hidden = body_of("US.1349@bsuid");
        assert_eq!(hidden["recipient"], "US.1349");
        assert!(hidden.get("to").is_none());
        assert_eq!(hidden["biz_opaque_callback_data"], "r1");
    }

    #[test]
    fn a_template_carries_its_values_in_the_form_meta_takes() {
        let variable = |name: Option<&str>, text: &str| Variable {
            name: name.map(str::to_owned),
            text: text.to_owned(),
        };
        let call = TemplateCall {
            name: "promo".into(),
            language: "id".into(),
            header: vec![],
            body: vec![variable(None, "Siti\n Rahma"), variable(None, "10 %")],
            buttons: vec![ButtonValue {
                index: 1,
                kind: "url".into(),
                text: "abc".into(),
            }],
            marketing: true,
        };
        let media = Attachment {
            kind: "document",
            mime: "application/pdf".into(),
            file_name: "price list.pdf".into(),
            source: Source::Uploaded("55".into()),
        };
        let with = TextMessage {
            template: Some(call),
            media: Some(media),
            ..message("628123")
        };
        let body = body(&with).unwrap();
        assert_eq!(body["type"], "template");
        assert_eq!(
            body["template"],
            json!({ "name": "promo", "language": { "code": "id" }, "components": [
                { "type": "header", "parameters": [{ "type": "document", "document": { "id": "55", "filename": "price list.pdf" } }] },
                { "type": "body", "parameters": [{ "type": "text", "text": "Siti Rahma" }, { "type": "text", "text": "10 %" }] },
                { "type": "button", "sub_type": "url", "index": "1", "parameters": [{ "type": "text", "text": "abc" }] },
            ] })
        );
    }

    #[test]
    fn a_file_name_cannot_leave_its_header() {
        let (_, body) = upload("text/plain", "a\"\r\nX: y", b"bytes");
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("filename=\"a___X: y\""), "{text}");
    }
}
