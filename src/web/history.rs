//! A record's audit as its page tells it.
//!
//! An action `opt_out` of contacts is the word `contacts.did.opt_out` of the catalogue, or itself.

use crate::audit::Entry;
use crate::web::page::Shell;
use crate::web::pieces::Event;

/// The entries of a record of `noun`, in their order.
pub fn events(shell: &Shell, noun: &str, entries: Vec<Entry>) -> Vec<Event> {
    entries
        .into_iter()
        .map(|entry| Event {
            text: text(shell, noun, &entry),
            changes: changes(&entry.changes),
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
fn changes(changes: &serde_json::Value) -> Vec<(String, String, String)> {
    let text = |change: &serde_json::Value, key: &str| {
        change[key].as_str().map_or_else(
            || change[key].to_string().trim_matches('"').to_owned(),
            str::to_owned,
        )
    };
    changes
        .as_array()
        .into_iter()
        .flatten()
        .map(|change| {
            (
                text(change, "field"),
                text(change, "old"),
                text(change, "new"),
            )
        })
        .collect()
}
