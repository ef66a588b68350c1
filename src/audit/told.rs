//! How a changed form is told: which fields, from what to what, with names where the form has ids.
//!
//! Invariant: a field that is not listed is not told; secrets never are. Knows nothing of pages: labels and
//! words are keys of the catalogue.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::Change;

/// What is kept of a long text.
const KEPT: usize = 4096;
/// Names of records in one line.
const MOST_NAMES: usize = 20;

/// How a field's values are told.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    Text,
    /// A box that is ticked or not.
    Flag,
    /// An instant, RFC 3339.
    Date,
    /// A country's code.
    Country,
    /// A word of the catalogue: what stands before the value in its key.
    Word(&'static str),
    /// Ids of records, told by their names.
    Names,
}

/// A field of a form: its name, its label's key, and how it is told.
pub type Field = (&'static str, &'static str, Told);

/// What differs between the form as it was and as it is. `names`: by field and id.
pub fn diff(
    before: &impl Serialize,
    after: &impl Serialize,
    fields: &[Field],
    names: &HashMap<(&'static str, String), String>,
) -> Vec<Change> {
    let (before, after) = (json!(before), json!(after));
    let changed = fields
        .iter()
        .filter(|(key, ..)| before[*key] != after[*key]);
    changed
        .map(|(key, label, told)| Change {
            field: (*label).to_owned(),
            old: kept(*told, key, &before[*key], names),
            new: kept(*told, key, &after[*key], names),
        })
        .collect()
}

fn kept(
    told: Told,
    key: &'static str,
    value: &Value,
    names: &HashMap<(&'static str, String), String>,
) -> Value {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let text = plain(value);
    let name = |id: &Value| {
        let id = plain(id);
        names.get(&(key, id.clone())).cloned().unwrap_or(id)
    };
    match told {
        Told::Flag => json!(!matches!(value, Value::Null | Value::Bool(false))),
        _ if text.is_empty() => json!(""),
        Told::Text => json!(text.chars().take(KEPT).collect::<String>()),
        Told::Date => json!({ "at": text }),
        Told::Country => json!({ "country": text }),
        Told::Word(before) => json!({ "word": format!("{before}{text}") }),
        Told::Names => match value.as_array() {
            Some(ids) => {
                let few: Vec<String> = ids.iter().take(MOST_NAMES).map(name).collect();
                let more = if ids.len() > MOST_NAMES { " …" } else { "" };
                json!(format!("{}{more}", few.join(", ")))
            }
            None => json!(name(value)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_and_ids_by_their_names() {
        let names = HashMap::from([(("lists", "3".to_owned()), "News".to_owned())]);
        let fields: &[Field] = &[
            ("name", "contacts.name", Told::Text),
            ("lists", "contacts.lists", Told::Names),
            ("active", "contacts.active", Told::Flag),
        ];
        let before = json!({ "name": "Ani", "lists": [], "active": "true" });
        let after = json!({ "name": "Ani", "lists": [3], "active": null });
        let changes = diff(&before, &after, fields, &names);
        let told: Vec<_> = changes
            .iter()
            .map(|one| (one.field.as_str(), &one.new))
            .collect();
        assert_eq!(
            told,
            [
                ("contacts.lists", &json!("News")),
                ("contacts.active", &json!(false))
            ]
        );
    }
}
