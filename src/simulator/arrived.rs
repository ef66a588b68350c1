//! What took effect: every message that would have reached a phone.

use std::collections::HashMap;

use serde_json::{Value, json};

/// A file that came with a message.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct File {
    /// image, video, file, voice
    pub kind: &'static str,
    pub name: String,
    pub mime: String,
    pub size: usize,
    /// hex
    pub sha256: String,
    /// It was fetched from a link.
    pub fetched: bool,
}

/// A message that took effect.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub to: String,
    pub id: String,
    /// Of a file its caption.
    pub text: String,
    pub file: Option<File>,
    /// The message it answers, as it was asked for.
    pub reply_to: Option<String>,
    pub at: i64,
    /// When it took effect, in milliseconds since 1970 by the real clock.
    pub at_ms: i64,
    pub ack: i64,
}

#[derive(Debug, Default)]
pub(super) struct Arrived {
    messages: Vec<Message>,
    by_id: HashMap<String, usize>,
    by_number: HashMap<String, u32>,
    next_id: u64,
}

impl Arrived {
    /// Empty; ids are counted on from here.
    pub(super) fn from(next_id: u64) -> Self {
        Self {
            next_id,
            ..Self::default()
        }
    }

    /// An id as NOWEB makes them, different for every call.
    pub(super) fn new_id(&mut self, seed: u64) -> String {
        self.next_id += 1;
        format!("3EB0{:04X}{:012X}", seed & 0xFFFF, self.next_id)
    }

    pub(super) fn add(&mut self, message: Message) {
        *self.by_number.entry(message.to.clone()).or_default() += 1;
        self.by_id.insert(message.id.clone(), self.messages.len());
        self.messages.push(message);
    }

    pub(super) fn find(&self, id: &str) -> Option<&Message> {
        self.by_id
            .get(id)
            .and_then(|index| self.messages.get(*index))
    }

    pub(super) fn set_ack(&mut self, id: &str, ack: i64) {
        if let Some(message) = self
            .by_id
            .get(id)
            .and_then(|index| self.messages.get_mut(*index))
        {
            message.ack = ack;
        }
    }

    pub(super) fn clear(&mut self) {
        let next_id = self.next_id;
        *self = Self {
            next_id,
            ..Self::default()
        };
    }

    pub(super) fn last(&self, count: usize) -> Vec<Message> {
        self.messages.iter().rev().take(count).cloned().collect()
    }

    pub(super) fn total(&self) -> usize {
        self.messages.len()
    }

    /// People who got more than one message.
    pub(super) fn doubled(&self) -> usize {
        self.by_number.values().filter(|count| **count > 1).count()
    }

    pub(super) fn json(&self, details: bool, limit: usize) -> Value {
        let items: Vec<Value> = self
            .last(limit)
            .iter()
            .map(|message| json!({ "to": message.to, "id": message.id, "text": message.text, "file": message.file, "reply_to": message.reply_to, "at": message.at, "at_ms": message.at_ms, "ack": message.ack }))
            .collect();
        let mut answer = json!({ "total": self.total(), "people": self.by_number.len(), "doubled": self.doubled(), "items": items });
        if details {
            answer["by_number"] = json!(self.by_number);
        }
        answer
    }
}
