//! What WAHA does around one person beside sending: whether a number is on WhatsApp, and "typing…".
//!
//! Invariant: nothing here sends a message, and what fails here is no reason not to send one.

use std::time::Duration;

use serde_json::json;

use super::super::SendError;
use super::{Waha, chat_id, classify};

/// Typing is decoration: it waits for nobody long.
const SOON: Duration = Duration::from_secs(5);

/// What WhatsApp says of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existence {
    pub on_whatsapp: bool,
    /// Where messages to it go; in Brazil often another number.
    pub chat_id: Option<String>,
}

impl Waha {
    pub async fn check_exists(&self, number: &str) -> Result<Existence, SendError> {
        let mut url = self.url("/api/contacts/check-exists");
        url.query_pairs_mut()
            .append_pair("phone", number)
            .append_pair("session", &self.address.session);
        let reply = self
            .http
            .get(url, &self.credentials)
            .await
            .map_err(classify::failed)?;
        let body = reply.json().filter(|_| reply.status == 200);
        match body
            .as_ref()
            .and_then(|body| Some((body, body["numberExists"].as_bool()?)))
        {
            Some((body, on_whatsapp)) => Ok(Existence {
                on_whatsapp,
                chat_id: body["chatId"].as_str().map(str::to_owned),
            }),
            None => Err(classify::asked(&reply)),
        }
    }

    /// Marks what the person wrote as seen and shows "typing…" for a while.
    pub async fn type_to(&self, to: &str, wait: Duration) {
        let chat = json!({ "session": self.address.session, "chatId": chat_id(to) });
        self.around(&chat, "/api/sendSeen").await;
        self.around(&chat, "/api/startTyping").await;
        tokio::time::sleep(wait).await;
        self.around(&chat, "/api/stopTyping").await;
    }

    async fn around(&self, chat: &serde_json::Value, path: &str) {
        let body = chat.to_string().into_bytes();
        let asked = self
            .http
            .post_within(self.url(path), &self.credentials, body, &[], SOON)
            .await;
        if let Err(failure) = asked {
            tracing::debug!(?failure, path, "around a message");
        }
    }
}
