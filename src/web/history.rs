//! A record's audit as its page tells it: what was done, which fields changed from what to what, notes.
//!
//! Invariant: a secret has no value here; the forms' fields that are told are listed, and no secret is.
//!
//! An action `opt_out` of contacts is the word `contacts.did.opt_out` of the catalogue, or itself.

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde_json::Value;

use crate::audit::{self, Entry};
pub use crate::audit::{Field, Told, diff};
use crate::error::{Error, Result};
use crate::text::country;
use crate::web::page::Shell;
use crate::web::pieces::Event;
use crate::web::visit::Visit;

/// What a page shows of a long text.
const SHOWN: usize = 160;
const NOTE_MAX: usize = 4000;

/// The entries of a record of `noun`, in their order.
pub fn events(shell: &Shell, noun: &str, entries: Vec<Entry>) -> Vec<Event> {
    entries
        .into_iter()
        .map(|entry| Event {
            text: text(shell, noun, &entry),
            changes: changes(shell, &entry.changes),
            by: entry.user_name,
            at: entry.at,
            icon: "history",
        })
        .collect()
}

fn text(shell: &Shell, noun: &str, entry: &Entry) -> String {
    let note = entry.note.as_deref().unwrap_or_default();
    if entry.action == "noted" {
        return note.to_owned();
    }
    let key = format!("{noun}.did.{}", entry.action);
    let word = shell.t(&key);
    let word = if word == key {
        entry.action.replace('_', " ")
    } else {
        word
    };
    if note.is_empty() {
        word
    } else {
        format!("{word}: {note}")
    }
}

/// Field, old value, new value of each change.
pub fn changes(shell: &Shell, changes: &Value) -> Vec<(String, String, String)> {
    changes
        .as_array()
        .into_iter()
        .flatten()
        .map(|change| {
            let field = change["field"].as_str().unwrap_or_default();
            let (old, new) = (
                written(shell, &change["old"]),
                written(shell, &change["new"]),
            );
            let (old, new) = around_difference(&old, &new);
            (shell.t(field), old, new)
        })
        .collect()
}

fn written(shell: &Shell, value: &Value) -> String {
    let of = |key: &str| value[key].as_str().unwrap_or_default();
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => shell.t("shell.yes"),
        Value::Bool(false) => shell.t("shell.no"),
        Value::Null => String::new(),
        Value::Object(named) if named.contains_key("word") => shell.t(of("word")),
        Value::Object(named) if named.contains_key("country") => {
            country::named(shell.lang, of("country")).to_owned()
        }
        Value::Object(named) if named.contains_key("at") => DateTime::parse_from_rfc3339(of("at"))
            .map(|at| shell.date(&at.with_timezone(&Utc)))
            .unwrap_or_default(),
        other => other.to_string(),
    }
}

/// Long texts are shown where they begin to differ.
fn around_difference(old: &str, new: &str) -> (String, String) {
    let same = old
        .chars()
        .zip(new.chars())
        .take_while(|(one, other)| one == other);
    let same = same.count();
    let from = if same > SHOWN / 2 {
        same - SHOWN / 4
    } else {
        0
    };
    let cut = |text: &str| {
        let length = text.chars().count();
        let middle: String = text.chars().skip(from).take(SHOWN).collect();
        let before = if from > 0 && length > from { "…" } else { "" };
        let after = if length > from + SHOWN { "…" } else { "" };
        format!("{before}{middle}{after}")
    };
    (cut(old), cut(new))
}

/// A note somebody leaves on a record that was found in their company.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Note {
    note: String,
}

impl Note {
    pub async fn leave(
        &self,
        visit: &Visit,
        conn: &mut AsyncPgConnection,
        noun: &str,
        record: i64,
    ) -> Result<()> {
        let note = self.note.trim();
        if note.is_empty() {
            return Ok(());
        }
        if note.chars().count() > NOTE_MAX {
            return Err(Error::invalid(
                "note",
                "The note is too long; at most 4,000 letters.",
            ));
        }
        let (company, by) = (visit.company, Some(visit.user));
        audit::note(conn, company, noun, record, by, "noted", Some(note)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shown_where_it_differs() {
        let old = format!("{}old end", "x".repeat(500));
        let new = format!("{}new end", "x".repeat(500));
        let (old, new) = around_difference(&old, &new);
        assert!(
            old.ends_with("old end") && new.ends_with("new end"),
            "{old} {new}"
        );
        assert!(old.chars().count() < 200 && old.starts_with('…'));
        assert_eq!(
            around_difference("a", "b"),
            ("a".to_owned(), "b".to_owned())
        );
    }
}
