//! The events a simulated WAHA posts: signed, retried with doubling waits, the same body each time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};
use url::Url;

use super::{Options, Webhook, locked};
use crate::clock::Clock;
use crate::gateways::http::Http;
use crate::gateways::waha::events;

const AT_ONCE: usize = 128;
const ATTEMPTS: u32 = 6;

/// A cheap clone.
#[derive(Clone)]
pub(super) struct Hooks {
    target: Arc<Mutex<Option<Webhook>>>,
    sender: mpsc::UnboundedSender<Value>,
    event: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    engine: String,
    version: String,
    session: String,
}

impl Hooks {
    pub(super) fn start(http: Http, webhook: Option<Webhook>, options: &Options) -> Self {
        let target = Arc::new(Mutex::new(webhook));
        let (sender, receiver) = mpsc::unbounded_channel();
        let ended = Arc::new(AtomicU64::new(0));
        tokio::spawn(post_all(
            http,
            Arc::clone(&ended),
            Arc::clone(&target),
            receiver,
            format!("WAHA/{}", options.version),
        ));
        Self {
            target,
            sender,
            event: Arc::default(),
            ended,
            engine: options.engine.clone(),
            version: options.version.clone(),
            session: options.session.clone(),
        }
    }

    pub(super) fn set_target(&self, webhook: Option<Webhook>) {
        *locked(&self.target) = webhook;
    }

    pub(super) fn target(&self) -> Option<Webhook> {
        locked(&self.target).clone()
    }

    /// Whether no event waits for its turn or its answer.
    pub(super) fn is_quiet(&self) -> bool {
        self.event.load(Ordering::SeqCst) == self.ended.load(Ordering::SeqCst)
    }

    /// Posts an event, soon.
    pub(super) fn post(&self, event: &str, payload: Value) {
        if locked(&self.target).is_none() {
            return;
        }
        let n = self.event.fetch_add(1, Ordering::SeqCst);
        let now = Clock::system().now().timestamp_millis();
        let body = json!({
            "id": format!("evt_sim{now:013}{n:08}"), "timestamp": now, "event": event, "session": self.session,
            "me": { "id": "628990000001@c.us", "pushName": "Simulator" }, "payload": payload, "engine": self.engine,
            "environment": { "version": self.version, "engine": self.engine, "tier": "CORE", "browser": null },
        });
        // Fails only while everything stops.
        let _ = self.sender.send(body);
    }
}

async fn post_all(
    http: Http,
    ended: Arc<AtomicU64>,
    target: Arc<Mutex<Option<Webhook>>>,
    mut receiver: mpsc::UnboundedReceiver<Value>,
    agent: String,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(body) = receiver.recv().await {
        let Some(webhook) = locked(&target).clone() else {
            continue;
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (http, agent, ended) = (http.clone(), agent.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let retries = post_one(&http, &webhook, &body, &agent).await;
            // The place is free for others while this one waits for its next try.
            drop(place);
            if !retries {
                for attempt in 1..ATTEMPTS {
                    tokio::time::sleep(Duration::from_secs(2 << attempt.min(5))).await;
                    if post_one(&http, &webhook, &body, &agent).await {
                        break;
                    }
                }
            }
            ended.fetch_add(1, Ordering::SeqCst);
        });
    }
}

async fn post_one(http: &Http, webhook: &Webhook, body: &Value, agent: &str) -> bool {
    let Ok(url) = Url::parse(&webhook.url) else {
        return true;
    };
    let bytes = body.to_string().into_bytes();
    let headers = [
        (
            "X-Webhook-Request-Id",
            body["id"]
                .as_str()
                .unwrap_or_default()
                .replace("evt_", "req"),
        ),
        ("X-Webhook-Timestamp", body["timestamp"].to_string()),
        (
            "X-Webhook-Hmac",
            events::sign(webhook.hmac_key.as_bytes(), &bytes),
        ),
        ("X-Webhook-Hmac-Algorithm", "sha512".to_owned()),
        ("X-Simulated-Agent", agent.to_owned()),
    ];
    http.post_bytes(url, bytes, &headers)
        .await
        .is_ok_and(|reply| (200..300).contains(&reply.status))
}
