//! Webhooks a second: acknowledgements and incoming messages of WAHA at a fixed rate through HTTP, how long each is
//! answered, whether any is lost or counted twice, and how far the applier is behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use wablast::gateways::waha::events::sign;

use crate::instance::Instance;
use crate::report::{Report, percentile};

/// How many a second, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub rate: usize,
    pub seconds: usize,
}

impl Load {
    /// `--rate N --seconds N`; what is not given is 2,000 a second for a minute.
    pub fn of(arguments: &[String]) -> Self {
        let after = |name: &str, default: usize| {
            let at = arguments.iter().position(|argument| argument == name);
            at.and_then(|at| arguments.get(at + 1))
                .map_or(default, |given| given.parse().expect("a whole number"))
        };
        Self {
            rate: after("--rate", 2_000).max(1),
            seconds: after("--seconds", 60).max(1),
        }
    }
}

/// Posts under way at one time; more is what WAHA would hold back too.
const AT_ONCE: usize = 2_000;
const TICK: Duration = Duration::from_millis(10);
/// Of ten webhooks, as WAHA sends them in a mailing: three for each message, and now and then an answer.
const INCOMING_OF_TEN: usize = 1;
const KEY: &str = "bench-hook-key";

struct Poster {
    client: reqwest::Client,
    url: String,
    failed: AtomicU64,
}

impl Poster {
    async fn post(&self, body: String, due: Instant) -> f64 {
        let signature = sign(KEY.as_bytes(), body.as_bytes());
        let request = self
            .client
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("X-Webhook-Hmac", signature);
        let answered = request.body(body).send().await;
        if !answered.is_ok_and(|answer| answer.status().is_success()) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        due.elapsed().as_secs_f64() * 1000.0
    }
}

/// The `n`-th webhook: the next acknowledgement of a message, or somebody who writes.
fn event(n: usize) -> String {
    let envelope = |event: &str, payload: serde_json::Value| {
        json!({ "id": format!("evt_bench{n:020}"), "timestamp": 1_795_395_921_042_u64, "event": event, "session": "default",
            "me": { "id": "628111@c.us" }, "payload": payload, "engine": "NOWEB" })
        .to_string()
    };
    if n % 10 < INCOMING_OF_TEN {
        let person = 628_000_000_001 + (n / 10) % 1_000;
        return envelope(
            "message",
            json!({ "id": format!("false_{person}@c.us_IN{n:018}"), "timestamp": 1_795_395_921, "from": format!("{person}@c.us"),
                "fromMe": false, "body": format!("Terima kasih {n}"), "hasMedia": false, "_data": { "notifyName": "Person" } }),
        );
    }
    let (message, step) = acknowledged(n);
    let (ack, name) = [(1, "SERVER"), (2, "DEVICE"), (3, "READ")][step];
    envelope(
        "message.ack",
        json!({ "id": format!("true_{}@c.us_{}", 628_000_000_000 + message, reference(message)),
            "from": format!("{}@c.us", 628_000_000_000 + message), "fromMe": true, "ack": ack, "ackName": name }),
    )
}

/// Which message, and its how many-th news, the `n`-th webhook is about.
fn acknowledged(n: usize) -> (usize, usize) {
    let of_acks = n / 10 * (10 - INCOMING_OF_TEN) + n % 10 - INCOMING_OF_TEN;
    (of_acks / 3 + 1, of_acks % 3)
}

fn reference(message: usize) -> String {
    format!("BENCH{message:015}")
}

pub async fn measure(report: &mut Report, load: Load) {
    let total = load.rate * load.seconds;
    let incoming = (0..total).filter(|n| n % 10 < INCOMING_OF_TEN).count();
    let acks = total - incoming;
    let messages = acks.div_ceil(3);
    let instance = Instance::start(false).await;
    let account = json!({ "name": "Bench", "provider": "waha", "api_url": "http://127.0.0.1:9", "api_key": "x", "webhook_secret": KEY });
    let account = instance.api("POST", "/accounts", account).await;
    sent(&instance, &account, messages).await;
    let poster = Arc::new(Poster {
        client: instance.client.clone(),
        url: format!(
            "{}/webhooks/waha/{}",
            instance.url,
            account["account_key"].as_str().unwrap()
        ),
        failed: AtomicU64::new(0),
    });
    let (own, postgres) = instance.process.cpu();
    let begin = Instant::now();
    let (times, behind) = tokio::join!(
        post(&poster, load, total, begin),
        watch(&instance, begin, load)
    );
    let sent_in = begin.elapsed();
    until_applied(&instance).await;
    let applied_in = begin.elapsed();
    let now = instance.process.cpu();

    let what = format!("{} a second for {} s", load.rate, load.seconds);
    let mut times = times;
    let spread = [
        ("p50", percentile(&mut times, 50)),
        ("p99", percentile(&mut times, 99)),
        ("max", percentile(&mut times, 100)),
    ];
    report.line(&format!("{what}: answered in"), &spread, "ms");
    let reached = total as f64 / sent_in.as_secs_f64();
    report.row(format!("{what}: reached"), reached, "webhooks/s");
    report.row(
        format!("{what}: the applier was behind by at most"),
        behind,
        "s",
    );
    report.row(
        format!("{what}: all applied after the last by"),
        (applied_in - sent_in).as_secs_f64(),
        "s",
    );
    for (who, seconds) in [
        ("application", now.0 - own),
        ("PostgreSQL", now.1 - postgres),
    ] {
        let each = seconds * 1e6 / total as f64;
        report.row(format!("{what}: CPU of the {who}"), each, "us/webhook");
    }
    report.row(
        format!("{what}: peak memory"),
        instance.process.peak_mib(),
        "MiB",
    );
    let failed = poster.failed.load(Ordering::Relaxed);
    let stored = instance.sql("SELECT count(*) FROM inbox").await;
    let lost = i64::try_from(total).unwrap() - i64::try_from(failed).unwrap() - stored;
    report.row(format!("{what}: posted"), total as f64, "webhooks");
    report.row(
        format!("{what}: not answered with 200"),
        failed as f64,
        "webhooks",
    );
    report.row(
        format!("{what}: answered and not stored"),
        lost as f64,
        "webhooks",
    );
    let wrong = wrongly_counted(&instance, incoming, acks).await;
    report.row(
        format!("{what}: applied otherwise than once"),
        wrong as f64,
        "webhooks",
    );
}

/// A mailing whose messages the gateway took: their receipts are still to come.
async fn sent(instance: &Instance, account: &serde_json::Value, messages: usize) {
    let list = instance.people(messages).await;
    let mailing = instance.mailing(account, list).await;
    instance.release_by_hand(mailing).await;
    instance
        .sql(&format!(
            "UPDATE outgoing o SET state = 'accepted', attempts = 1, fence = 1, begun_at = now(), accepted_at = now(), provider_id = r.reference
               FROM (SELECT id, 'BENCH' || lpad(row_number() OVER (ORDER BY id)::text, 15, '0') AS reference FROM outgoing) r WHERE r.id = o.id;
             INSERT INTO attempts (company_id, account_id, outgoing_id, fence, begun_at, ended_at, outcome, provider_id, rank)
               SELECT company_id, account_id, id, 1, begun_at, begun_at, 'accepted', provider_id, 1 FROM outgoing;
             UPDATE mailings SET state = 'done', finished_at = now() WHERE id = {mailing};
             ANALYZE outgoing, attempts"
        ))
        .await;
}

/// Posts on time, whatever the answers take; how long each took from its moment, in milliseconds.
async fn post(poster: &Arc<Poster>, load: Load, total: usize, begin: Instant) -> Vec<f64> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut next = 0;
    while next < total {
        let due = ((begin.elapsed() + TICK).as_secs_f64() * load.rate as f64) as usize;
        for n in next..due.min(total) {
            let at = begin + Duration::from_secs_f64(n as f64 / load.rate as f64);
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let (poster, sender) = (Arc::clone(poster), sender.clone());
            tokio::spawn(async move {
                tokio::time::sleep_until(at.into()).await;
                let took = poster.post(event(n), at).await;
                drop(place);
                let _ = sender.send(took);
            });
        }
        next = due.min(total).max(next);
        tokio::time::sleep(TICK).await;
    }
    drop(sender);
    let mut times = Vec::with_capacity(total);
    while let Some(time) = receiver.recv().await {
        times.push(time);
    }
    times
}

/// The longest that a stored event waited, in seconds.
async fn watch(instance: &Instance, begin: Instant, load: Load) -> f64 {
    let mut longest = 0;
    while begin.elapsed() < Duration::from_secs(load.seconds as u64) {
        longest = longest.max(behind(instance).await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    longest as f64 / 1000.0
}

/// Milliseconds.
async fn behind(instance: &Instance) -> i64 {
    instance
        .sql("SELECT coalesce(extract(epoch FROM clock_timestamp() - min(received_at)) * 1000, 0)::bigint FROM inbox WHERE state = 'new'")
        .await
}

async fn until_applied(instance: &Instance) {
    let begin = Instant::now();
    while instance
        .sql("SELECT count(*) FROM inbox WHERE state = 'new'")
        .await
        > 0
    {
        assert!(
            begin.elapsed() < Duration::from_secs(3600),
            "it does not end"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Events that are not applied, and effects that are missing or too many.
async fn wrongly_counted(instance: &Instance, incoming: usize, acks: usize) -> i64 {
    let apart = |known: usize, found: i64| (i64::try_from(known).unwrap() - found).abs();
    let not_applied = instance
        .sql("SELECT count(*) FROM inbox WHERE state <> 'applied'")
        .await;
    let came = instance.sql("SELECT count(*) FROM incoming").await;
    let read = instance
        .sql("SELECT count(*) FROM outgoing WHERE state = 'read'")
        .await;
    let twice = instance
        .sql("SELECT count(*) - count(DISTINCT (account_id, provider_id)) FROM incoming")
        .await;
    not_applied + apart(incoming, came) + apart(acks / 3, read) + twice
}
