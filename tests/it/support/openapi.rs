//! The OpenAPI document as a judge: every call the tests make is compared with it.
//!
//! Knows the part of JSON Schema that the document uses and refuses the rest, so that nothing passes
//! unread. Objects are closed: an answer with a field the document does not name is wrong.

use serde_json::{Map, Value};
use wablast::api::document;

/// Words that say nothing about which values fit.
const TALK: [&str; 7] = [
    "description",
    "example",
    "examples",
    "title",
    "default",
    "deprecated",
    "nullable",
];

/// The described call behind a method and an address, as the document writes it.
pub fn call(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |template: &str| {
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (path.split('/').collect(), template.split('/').collect());
        ours.len() == theirs.len()
            && ours
                .iter()
                .zip(&theirs)
                .all(|(our, their)| our == their || their.starts_with('{'))
    };
    let paths = document::all()["paths"].as_object().unwrap();
    // An address without a placeholder is meant where both fit.
    let mut known: Vec<_> = paths
        .iter()
        .filter(|(template, _)| fits(template))
        .collect();
    known.sort_by_key(|(template, _)| template.matches('{').count());
    known
        .into_iter()
        .find_map(|(_, methods)| methods.get(method.to_lowercase()))
}

/// Panics where the document says otherwise.
pub fn check(method: &str, path: &str, asked: Option<&Value>, status: u16, answer: &Value) {
    let Some(call) = call(method, path) else {
        assert_eq!(status, 404, "{method} {path} is not in the document");
        return;
    };
    let described = &call["responses"][status.to_string()];
    assert!(
        described.is_object(),
        "{method} {path}: the document knows no {status}: {answer}"
    );
    let faults = faults(&described["content"]["application/json"]["schema"], answer);
    assert!(
        faults.is_empty(),
        "{method} {path} {status}: {faults:#?}\n{answer:#}"
    );
    if let Some(asked) = asked.filter(|_| status < 300) {
        let schema = &call["requestBody"]["content"]["application/json"]["schema"];
        let faults = self::faults(schema, asked);
        assert!(
            faults.is_empty(),
            "what was asked of {method} {path}: {faults:#?}\n{asked:#}"
        );
    }
}

/// What is wrong with a value, by place; our own document explains the references.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    faults_in(document::all(), schema, value)
}

/// The same with another document.
pub fn faults_in(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(document, schema, value, "$", &mut found);
    found
}

/// References and `allOf` written out.
fn whole(document: &Value, schema: &Value) -> Map<String, Value> {
    let mut all = schema.as_object().cloned().unwrap_or_default();
    if let Some(name) = all.remove("$ref") {
        let name = name.as_str().unwrap().rsplit('/').next().unwrap();
        let known = &document["components"]["schemas"][name];
        assert!(
            known.is_object(),
            "the document refers to {name}, which it does not describe"
        );
        all.extend(whole(document, known));
    }
    for part in all
        .remove("allOf")
        .iter()
        .filter_map(Value::as_array)
        .flatten()
    {
        for (word, said) in whole(document, part) {
            match (all.get_mut(&word), said) {
                (Some(Value::Object(before)), Value::Object(more)) => before.extend(more),
                (Some(Value::Array(before)), Value::Array(more)) => before.extend(more),
                (Some(_), _) => {}
                (None, said) => drop(all.insert(word, said)),
            }
        }
    }
    all
}

fn walk(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = whole(document, schema);
    if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
        return;
    }
    for (word, said) in &schema {
        match word.as_str() {
            "type" if !of_type(said, value) => found.push(format!("{at}: {value} is not {said}")),
            "enum" if !said.as_array().unwrap().contains(value) => {
                found.push(format!("{at}: {value} is none of {said}"))
            }
            "format" => format(said, value, at, found),
            "minimum" if value.as_f64() < said.as_f64() => {
                found.push(format!("{at}: {value} is less than {said}"))
            }
            "const" if said != value => found.push(format!("{at}: {value} is not {said}")),
            "pattern" => {
                let pattern = regex::Regex::new(said.as_str().unwrap()).unwrap();
                if value.as_str().is_some_and(|text| !pattern.is_match(text)) {
                    found.push(format!("{at}: {value} is not {pattern}"));
                }
            }
            "maxLength" | "minLength" => {
                let length = value.as_str().map(|text| text.chars().count() as u64);
                let wrong = match (word.as_str(), length, said.as_u64()) {
                    ("maxLength", Some(length), Some(most)) => length > most,
                    ("minLength", Some(length), Some(least)) => length < least,
                    _ => false,
                };
                if wrong {
                    found.push(format!("{at}: {word} {said}"));
                }
            }
            "minItems"
                if value
                    .as_array()
                    .is_some_and(|all| (all.len() as u64) < said.as_u64().unwrap()) =>
            {
                found.push(format!("{at}: fewer than {said}"));
            }
            "anyOf" => {
                let mut ways = said.as_array().unwrap().iter();
                if !ways.any(|way| faults_in(document, way, value).is_empty()) {
                    found.push(format!("{at}: {value} fits none of {said}"));
                }
            }
            "oneOf" => {
                let fits = said
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|way| faults_in(document, way, value).is_empty())
                    .count();
                if fits != 1 {
                    found.push(format!("{at}: {value} fits {fits} of {said}"));
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    walk(document, said, item, &format!("{at}[{n}]"), found);
                }
            }
            "properties"
            | "required"
            | "additionalProperties"
            | "propertyNames"
            | "type"
            | "enum"
            | "const"
            | "minItems"
            | "minimum" => {}
            word if TALK.contains(&word) => {}
            unknown => found.push(format!("{at}: this check does not know {unknown}")),
        }
    }
    if let Some(fields) = value.as_object() {
        object(document, &schema, fields, at, found);
    }
}

fn object(
    document: &Value,
    schema: &Map<String, Value>,
    fields: &Map<String, Value>,
    at: &str,
    found: &mut Vec<String>,
) {
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if !fields.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    let known = schema.get("properties").and_then(Value::as_object);
    let others = schema.get("additionalProperties");
    let names = schema.get("propertyNames");
    for (name, field) in fields {
        let at = format!("{at}.{name}");
        match (known.and_then(|known| known.get(name)), others) {
            (Some(schema), _) => walk(document, schema, field, &at, found),
            (None, Some(Value::Bool(true))) => {}
            (None, Some(schema @ Value::Object(_))) => walk(document, schema, field, &at, found),
            (None, _) if known.is_none() && others.is_none() => {}
            (None, _) => found.push(format!("{at} is not in the document")),
        }
        if let Some(names) = names {
            walk(document, names, &Value::String(name.clone()), &at, found);
        }
    }
}

fn of_type(said: &Value, value: &Value) -> bool {
    let one = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other}"),
    };
    match said {
        Value::Array(names) => names.iter().any(one),
        name => one(name),
    }
}

fn format(said: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let instant = |text: &str| chrono::DateTime::parse_from_rfc3339(text).is_ok();
    match said.as_str().unwrap() {
        "date-time" => {
            if value.as_str().is_some_and(|text| !instant(text)) {
                found.push(format!("{at}: {value} is no time with an offset"));
            }
        }
        "date" => {
            if value
                .as_str()
                .is_some_and(|text| text.parse::<chrono::NaiveDate>().is_err())
            {
                found.push(format!("{at}: {value} is no day"));
            }
        }
        "int32" | "int64" | "double" | "binary" => {}
        other => found.push(format!("{at}: this check does not know the format {other}")),
    }
}

#[test]
fn openapi_the_judge_sees_what_is_wrong() {
    use serde_json::json;
    let schema = json!({ "type": "object", "required": ["id"], "properties": {
        "id": { "type": "integer" }, "at": { "type": ["string", "null"], "format": "date-time" } } });
    assert!(
        faults(
            &schema,
            &json!({ "id": 1, "at": "2026-11-24T10:00:00+07:00" })
        )
        .is_empty()
    );
    assert!(faults(&schema, &json!({ "id": 1, "at": null })).is_empty());
    for wrong in [
        json!({}),
        json!({ "id": "1" }),
        json!({ "id": 1, "more": true }),
        json!({ "id": 1, "at": "2026-11-24T10:00:00" }),
        json!([]),
    ] {
        assert_eq!(faults(&schema, &wrong).len(), 1, "{wrong}");
    }
    assert_eq!(faults(&json!({ "multipleOf": 2 }), &json!(2)).len(), 1);
    for (schema, wrong) in [
        (json!({ "pattern": "^x$" }), json!("y")),
        (json!({ "const": "x" }), json!("y")),
        (json!({ "maxLength": 1 }), json!("xx")),
        (json!({ "minItems": 1 }), json!([])),
        (
            json!({ "anyOf": [{ "required": ["a"] }, { "required": ["b"] }] }),
            json!({}),
        ),
    ] {
        assert_eq!(faults(&schema, &wrong).len(), 1, "{schema}");
    }
}
