//! The events a simulated Meta posts: signed, several statuses in one post, repeated until they are taken.
//!
//! Invariant: a post is repeated with the same bytes. From Meta's documentation: whatever is not 200 is tried again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use url::Url;

use super::{Webhook, locked};
use crate::gateways::http::{Credentials, Http};
use crate::gateways::meta::events;

/// Statuses of one post, as Meta does where many come at once.
const TOGETHER: usize = 10;
const AT_ONCE: usize = 16;
const ATTEMPTS: u32 = 6;
const PATIENCE: Duration = Duration::from_secs(20);

/// A cheap clone.
#[derive(Clone)]
pub(super) struct MetaHooks {
    target: Arc<Mutex<Option<Webhook>>>,
    sender: mpsc::UnboundedSender<Value>,
    begun: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
}

impl MetaHooks {
    pub(super) fn start(http: Http, webhook: Option<Webhook>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let hooks = Self {
            target: Arc::new(Mutex::new(webhook)),
            sender,
            begun: Arc::default(),
            ended: Arc::default(),
        };
        let posting = post_all(
            http,
            Arc::clone(&hooks.target),
            Arc::clone(&hooks.ended),
            receiver,
        );
        tokio::spawn(posting);
        hooks
    }

    pub(super) fn set_target(&self, webhook: Option<Webhook>) {
        *locked(&self.target) = webhook;
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.begun.load(Ordering::SeqCst) == self.ended.load(Ordering::SeqCst)
    }

    /// Posts a change `{field, value}`, soon.
    pub(super) fn post(&self, field: &str, value: Value) {
        if locked(&self.target).is_none() {
            return;
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        // Fails only while everything stops.
        let _ = self.sender.send(json!({ "field": field, "value": value }));
    }
}

async fn post_all(
    http: Http,
    target: Arc<Mutex<Option<Webhook>>>,
    ended: Arc<AtomicU64>,
    mut receiver: mpsc::UnboundedReceiver<Value>,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(first) = receiver.recv().await {
        let mut changes = vec![first];
        while changes.len() < TOGETHER {
            match receiver.try_recv() {
                Ok(next) => changes.push(next),
                Err(_) => break,
            }
        }
        let count = changes.len() as u64;
        let Some(webhook) = locked(&target).clone() else {
            ended.fetch_add(count, Ordering::SeqCst);
            continue;
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (http, ended) = (http.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let body = json!({ "object": "whatsapp_business_account",
                "entry": [{ "id": super::meta::WABA, "changes": changes }] });
            let bytes = body.to_string().into_bytes();
            for attempt in 0..ATTEMPTS {
                if post_one(&http, &webhook, &bytes).await {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
            }
            drop(place);
            ended.fetch_add(count, Ordering::SeqCst);
        });
    }
}

async fn post_one(http: &Http, webhook: &Webhook, bytes: &[u8]) -> bool {
    let Ok(url) = Url::parse(&webhook.url) else {
        return true;
    };
    let signature = events::sign(webhook.hmac_key.as_bytes(), bytes);
    let headers = [("X-Hub-Signature-256", signature)];
    http.post_within(
        url,
        &Credentials::default(),
        bytes.to_vec(),
        &headers,
        PATIENCE,
    )
    .await
    .is_ok_and(|reply| reply.status == 200)
}
