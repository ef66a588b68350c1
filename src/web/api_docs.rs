//! The API as people read it: the OpenAPI document as a page. Works without script, changes nothing.
//!
//! Knows the document only as JSON: the server gives it, so that this door need not name the other.

use actix_web::web;
use askama::Template;
use serde_json::{Map, Value};

use crate::web::error::WebResult;
use crate::web::page::{Menu, Shell, html};
use crate::web::visit::Visit;

/// How to get the OpenAPI document of this program, which takes memory from the first look on.
pub struct Document(pub fn() -> &'static Value);

pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/api/docs", web::get().to(page));
}

#[derive(Template)]
#[template(path = "api/docs.html")]
struct DocsPage {
    shell: Shell,
    about: Vec<Vec<Piece>>,
    groups: Vec<Group>,
    shapes: Vec<Shape>,
}

/// A stretch of text; the document writes names between backticks.
struct Piece {
    code: bool,
    text: String,
}

fn pieces(text: &str) -> Vec<Piece> {
    let parts = text.split('`').enumerate();
    let one = |(n, part): (usize, &str)| Piece {
        code: n % 2 == 1,
        text: part.to_owned(),
    };
    parts
        .map(one)
        .filter(|piece| !piece.text.is_empty())
        .collect()
}

/// The calls of one noun.
struct Group {
    name: String,
    text: String,
    calls: Vec<Call>,
}

struct Call {
    id: String,
    method: String,
    path: String,
    summary: String,
    text: Vec<Piece>,
    parameters: Vec<Field>,
    /// What the body holds and an example of it.
    body: Option<(Kind, String)>,
    answers: Vec<Answer>,
    /// The call as a terminal makes it.
    curl: String,
}

impl Call {
    fn hue(&self) -> &'static str {
        match self.method.as_str() {
            "GET" => "blue",
            "POST" => "green",
            "DELETE" => "red",
            _ => "amber",
        }
    }
}

struct Answer {
    status: String,
    text: String,
    kind: Kind,
    /// Of an answer that is no refusal.
    example: String,
}

/// A type as one reads it, with the shape it leads to.
#[derive(Default)]
struct Kind {
    text: String,
    shape: String,
}

struct Field {
    name: String,
    place: String,
    kind: Kind,
    required: bool,
    text: Vec<Piece>,
}

/// A named object.
struct Shape {
    name: String,
    text: Vec<Piece>,
    fields: Vec<Field>,
    words: Vec<String>,
}

async fn page(visit: Visit, document: web::Data<Document>) -> WebResult {
    let mut conn = visit.conn().await?;
    let shell = visit.shell(Menu::Technical, &mut conn).await?;
    let server = format!("{}/api/v1", visit.app.config.public_url());
    let document = (document.0)();
    let about = text(&document["info"]["description"]);
    Ok(html(DocsPage {
        shell,
        about: about.split("\n\n").map(pieces).collect(),
        groups: groups(document, &server),
        shapes: shapes(document),
    }))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn groups(document: &Value, server: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = text(&tag["name"]);
        groups.push(Group {
            text: text(&tag["description"]),
            calls: calls(document, &name, server),
            name,
        });
    }
    groups.retain(|group| !group.calls.is_empty());
    groups
}

fn calls(document: &Value, tag: &str, server: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    for (path, methods) in items(&document["paths"]) {
        for (method, call) in items(methods) {
            if call["tags"][0] == tag {
                calls.push(one(path, method, call, server));
            }
        }
    }
    calls
}

fn one(path: &str, method: &str, call: &Value, server: &str) -> Call {
    let method = method.to_uppercase();
    let parameters = call["parameters"].as_array().into_iter().flatten();
    let body = items(&call["requestBody"]["content"]).next();
    let example = body.map(|(_, content)| pretty(&content["example"]));
    Call {
        id: text(&call["operationId"]),
        path: path.to_owned(),
        summary: text(&call["summary"]),
        text: pieces(&text(&call["description"])),
        parameters: parameters.map(parameter).collect(),
        answers: items(&call["responses"])
            .map(|(status, answer)| answered(status, answer))
            .collect(),
        curl: curl(
            &method,
            &format!("{server}{path}"),
            body.map(|(kind, content)| (kind.as_str(), content)),
        ),
        body: body
            .map(|(_, content)| kind(&content["schema"]))
            .zip(example),
        method,
    }
}

fn curl(method: &str, address: &str, body: Option<(&str, &Value)>) -> String {
    let address = address.replace("{id}", "1");
    let mut line = match method {
        "GET" => format!("curl {address}"),
        _ => format!("curl -X {method} {address}"),
    };
    line.push_str(" \\\n  -H 'Authorization: Bearer wab_…'");
    match body {
        None => {}
        Some(("multipart/form-data", content)) => {
            for (part, example) in items(&content["example"]) {
                let given = match part.as_str() {
                    "file" => "@FILE".to_owned(),
                    _ => example.to_string(),
                };
                line.push_str(&format!(" \\\n  -F '{part}={given}'"));
            }
        }
        Some((_, content)) => {
            let body = pretty(&content["example"]).replace('\'', "'\\''");
            line.push_str(&format!(
                " \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
            ));
        }
    }
    line
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn parameter(one: &Value) -> Field {
    Field {
        name: text(&one["name"]),
        place: text(&one["in"]),
        kind: kind(&one["schema"]),
        required: one["required"] == true,
        text: pieces(&text(&one["description"])),
    }
}

fn answered(status: &str, answer: &Value) -> Answer {
    let content = items(&answer["content"]).next().map(|(_, content)| content);
    let example = content.filter(|_| status.starts_with('2'));
    Answer {
        status: status.to_owned(),
        text: text(&answer["description"]),
        kind: content
            .map(|content| kind(&content["schema"]))
            .unwrap_or_default(),
        example: example
            .map(|content| pretty(&content["example"]))
            .unwrap_or_default(),
    }
}

/// "integer", "string or null", "list of Contact".
fn kind(schema: &Value) -> Kind {
    if let Some(shape) = schema["$ref"]
        .as_str()
        .and_then(|name| name.rsplit('/').next())
    {
        return Kind {
            text: shape.to_owned(),
            shape: shape.to_owned(),
        };
    }
    if let Some(ways) = schema["oneOf"].as_array() {
        let of = ways
            .iter()
            .find(|way| way["type"] != "null")
            .map(kind)
            .unwrap_or_default();
        return Kind {
            text: format!("{} or null", of.text),
            shape: of.shape,
        };
    }
    let names = match &schema["type"] {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    };
    let of = kind_of_items(schema);
    let name = |name: &str| match (name, &schema["format"]) {
        ("array", _) => format!("list of {}", of.text),
        ("string", Value::String(format)) if format == "date-time" => "time".to_owned(),
        _ => name.to_owned(),
    };
    let words: Vec<String> = names.into_iter().map(name).collect();
    Kind {
        text: words.join(" or "),
        shape: of.shape,
    }
}

fn kind_of_items(schema: &Value) -> Kind {
    schema.get("items").map(kind).unwrap_or_default()
}

fn shapes(document: &Value) -> Vec<Shape> {
    let all = items(&document["components"]["schemas"]);
    all.map(|(name, schema)| shape(name, schema)).collect()
}

fn shape(name: &str, schema: &Value) -> Shape {
    let words = schema["enum"].as_array().into_iter().flatten();
    let mut fields = fields(schema);
    let parts = ["allOf", "oneOf"].map(|word| schema[word].as_array());
    for part in parts.into_iter().flatten().flatten() {
        match part["$ref"].as_str() {
            Some(_) => fields.push(Field {
                name: "…".to_owned(),
                place: String::new(),
                kind: kind(part),
                required: true,
                text: Vec::new(),
            }),
            None => fields.extend(self::fields(part)),
        }
    }
    Shape {
        name: name.to_owned(),
        text: pieces(&text(&schema["description"])),
        fields,
        words: words.map(text).collect(),
    }
}

fn fields(schema: &Value) -> Vec<Field> {
    let required = schema["required"].as_array();
    let needed = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let properties = schema["properties"].as_object();
    let empty = Map::new();
    let one = |(name, field): (&String, &Value)| Field {
        name: name.clone(),
        place: String::new(),
        kind: kind(field),
        required: needed(name),
        text: pieces(&text(&field["description"])),
    };
    properties.unwrap_or(&empty).iter().map(one).collect()
}
