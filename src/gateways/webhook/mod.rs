//! A webhook that sends for us: n8n and similar, with the payload of the add-on whose flows move over.
//!
//! Facts are from runs of n8n 1.123 and 2.41. Invariants: one POST a message, never repeated by itself,
//! never redirected; only an answer that proves it makes a message *not sent*, *refused* or *accepted*;
//! a 2xx that says nothing is *handed over*, which is uncertain until the flow reports.

pub mod classify;
pub mod events;
pub mod news;
pub mod proof;
mod test;

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::http::Http;
use super::waha::events::sign;
use super::{Accepted, FailureCode, SendError};

pub use proof::Proof;
pub use test::Probe;

/// A flow may take long: under load n8n answered after 9 s, and media takes longer.
pub const TOTAL: Duration = Duration::from_secs(30);

/// Where a flow listens, and what opens it.
#[derive(Debug, Clone)]
pub struct WebhookAddress {
    pub url: Url,
    pub proof: Proof,
    /// Signs every request the way WAHA signs its events, for flows that check that.
    pub secret: Option<SecretString>,
    /// This flow does not report: what it takes counts as sent.
    pub counts_as_sent: bool,
    /// Never to be seen in what the flow answers.
    pub hidden: Vec<SecretString>,
}

/// A client of one flow.
#[derive(Clone)]
pub struct Webhook {
    http: Http,
    address: WebhookAddress,
}

/// One message with what a flow gets to know of it.
#[derive(Debug, Clone, Default)]
pub struct Push {
    pub account_id: i64,
    pub account_name: String,
    pub mailing_id: Option<i64>,
    pub list_id: Option<i64>,
    pub list_name: String,
    pub log_id: Option<i64>,
    pub session: String,
    /// The provider's id of the message this one answers.
    pub reply_to: Option<String>,
    /// Ours, the same for every try: reports name it.
    pub sent_id: i64,
    pub contact_id: Option<i64>,
    pub contact_name: String,
    /// Digits, or another address such as `123@lid`.
    pub to: String,
    pub text: String,
    /// Content type and address of a file; empty for none.
    pub mime_type: String,
    pub media_url: String,
    /// Which try this is; part of the Idempotency-Key.
    pub attempt: i16,
}

impl Push {
    /// The add-on's payload: `contact` is JSON inside a string.
    pub fn payload(&self) -> Value {
        let contact = json!({
            "sent_id": self.sent_id,
            "contact_id": self.contact_id,
            "contact_name": self.contact_name,
            "contact_whatsapp": self.to,
            "message": self.text,
            "mime_type": self.mime_type,
            "media_url": self.media_url,
            "hasmedia": !self.media_url.is_empty(),
        });
        json!({
            "wa_config_id": self.account_id,
            "wa_config_name": self.account_name,
            "mailing_id": self.mailing_id,
            "mailing_list": self.list_id,
            "mailing_list_name": self.list_name,
            "mailing_log_id": self.log_id,
            "session": self.session,
            "reply_to": self.reply_to.as_deref().unwrap_or_default(),
            "contact": contact.to_string(),
        })
    }

    /// The same for one try, however often its request is seen.
    fn idempotency_key(&self) -> String {
        format!("wablast-{}-{}", self.sent_id, self.attempt)
    }
}

impl Webhook {
    pub fn new(http: Http, address: WebhookAddress) -> Self {
        Self { http, address }
    }

    /// Hands one message to the flow.
    pub async fn push(&self, push: &Push) -> Result<Accepted, SendError> {
        if is_test_address(&self.address.url) {
            return Err(SendError::AccountStop {
                code: FailureCode::GatewayRefused,
                reason: TEST_ADDRESS.to_owned(),
            });
        }
        let body = push.payload().to_string().into_bytes();
        let mut headers = self.address.proof.headers(&body);
        headers.push(("Idempotency-Key", push.idempotency_key()));
        if let Some(secret) = &self.address.secret {
            headers.push((
                "X-Webhook-Hmac",
                sign(secret.expose_secret().as_bytes(), &body),
            ));
            headers.push(("X-Webhook-Hmac-Algorithm", "sha512".to_owned()));
        }
        let url = self.address.url.clone();
        match self
            .http
            .post_within(
                url,
                &self.address.proof.credentials(),
                body,
                &headers,
                TOTAL,
            )
            .await
        {
            Ok(reply) => classify::answered(&reply, &self.address),
            Err(failure) => Err(classify::failed(failure, &self.address.hidden)),
        }
    }
}

/// Why an address of n8n's editor cannot be used.
pub const TEST_ADDRESS: &str = "This is n8n's test address: it works once, while the editor is open. Use the production URL (/webhook/…).";

/// n8n serves `/webhook-test/` for exactly one call after a click in its editor.
pub fn is_test_address(url: &Url) -> bool {
    url.path().contains("/webhook-test/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_the_add_on_s() {
        let push = Push {
            account_id: 1,
            account_name: "Toko".into(),
            mailing_id: Some(7),
            list_id: Some(3),
            list_name: "Pelanggan".into(),
            log_id: Some(9),
            session: "default".into(),
            sent_id: 42,
            contact_id: Some(5),
            contact_name: "Budi".into(),
            to: "6281234".into(),
            text: "Hi \"Budi\" 🌸\n{{ $json }}".into(),
            attempt: 2,
            ..Push::default()
        };
        let payload = push.payload();
        assert_eq!(
            payload
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect::<std::collections::BTreeSet<_>>(),
            [
                "wa_config_id",
                "wa_config_name",
                "mailing_id",
                "mailing_list",
                "mailing_list_name",
                "mailing_log_id",
                "session",
                "reply_to",
                "contact"
            ]
            .into()
        );
        let contact: Value = serde_json::from_str(payload["contact"].as_str().unwrap()).unwrap();
        assert_eq!(
            contact,
            json!({ "sent_id": 42, "contact_id": 5, "contact_name": "Budi", "contact_whatsapp": "6281234",
                "message": "Hi \"Budi\" 🌸\n{{ $json }}", "mime_type": "", "media_url": "", "hasmedia": false })
        );
        assert_eq!(push.idempotency_key(), "wablast-42-2");
    }

    #[test]
    fn the_editor_s_address_is_told_from_the_production_one() {
        let is = |url: &str| is_test_address(&Url::parse(url).unwrap());
        assert!(is("https://n8n.example/webhook-test/wa-blast"));
        assert!(is("https://example.com/n8n/webhook-test/x"));
        assert!(!is("https://n8n.example/webhook/wa-blast"));
    }
}
