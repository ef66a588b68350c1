//! A mailing on a template through a simulated Meta that posts three statuses a message, up to ten in one post: whether
//! the rate is held, the statuses keep up, and nobody is lost or doubled.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::instance::{Instance, Process, free_port, program};
use crate::report::Report;

/// The simulated business account, its number, and what opens it.
const WABA: &str = "900800700600500";
const PHONE: &str = "100200300400500";
const TOKEN: &str = "simulator-key";
const SECRET: &str = "bench-secret";

/// `sizes`: messages and messages a second, in pairs.
pub async fn measure(report: &mut Report, sizes: &[usize]) {
    for pair in sizes.chunks(2) {
        if let [size, rate] = pair {
            run(report, *size, *rate).await;
        }
    }
}

/// A simulated Meta that posts to `hook`.
fn simulate(port: u16, hook: &str) -> Process {
    let mut command = Command::new(program().0);
    command.args([
        "simulate",
        "--no-waits",
        "--listen",
        &format!("127.0.0.1:{port}"),
    ]);
    command.args(["--meta-webhook-url", hook, "--app-secret", SECRET]);
    Process::of(command.stdout(Stdio::null()).spawn().unwrap())
}

async fn run(report: &mut Report, size: usize, rate: usize) {
    let port = free_port();
    let address = format!("http://127.0.0.1:{port}");
    let instance = Instance::start(true).await;
    let account = instance
        .api(
            "POST",
            "/accounts",
            json!({ "name": "Meta", "provider": "meta", "app_id": "42", "app_secret": SECRET, "waba_id": WABA,
                "phone_number_id": PHONE, "token": TOKEN, "base_url": address,
                "pace": { "per_second": rate, "burst": rate } }),
        )
        .await;
    let hook = format!(
        "{}/webhooks/meta/{}",
        instance.url,
        account["account_key"].as_str().unwrap()
    );
    let meta = simulate(port, &hook);
    let id = account["id"].as_i64().unwrap();
    for _ in 0..100 {
        if reqwest::get(&address).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    instance
        .api("POST", &format!("/accounts/{id}/templates"), json!({}))
        .await;
    let templates = instance.api("GET", "/templates", Value::Null).await;
    let template = templates["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "weekend_promo")
        .unwrap()["id"]
        .clone();
    let list = instance.people(size).await;
    let mailing = instance
        .api(
            "POST",
            "/mailings",
            json!({ "subject": "Bench", "account_id": id, "recipients": { "list_ids": [list] },
                "template": { "id": template, "values": { "body.1": "{{contact.name|Kak}}", "body.2": "20 %", "button.0": "promo" } } }),
        )
        .await["id"]
        .as_i64()
        .unwrap();
    let path = format!("/mailings/{mailing}");
    let begin = Instant::now();
    instance
        .api("POST", &format!("{path}/send_now"), json!({}))
        .await;
    let (mut first, mut accepted) = (None, None);
    let before = (instance.process.cpu(), meta.cpu().0);
    let all = loop {
        let shown = instance.api("GET", &path, Value::Null).await;
        let counts = &shown["counts"];
        let of = |states: &[&str]| -> u64 {
            states
                .iter()
                .map(|state| counts[*state].as_u64().unwrap())
                .sum()
        };
        let gone = of(&["accepted", "sent", "delivered", "read"]);
        if gone > 0 && first.is_none() {
            first = Some(begin.elapsed());
        }
        if gone == size as u64 && accepted.is_none() {
            accepted = Some(begin.elapsed());
        }
        if of(&["read"]) == size as u64 {
            let charged: u64 = shown["cost"]
                .as_array()
                .unwrap()
                .iter()
                .map(|cost| cost["messages"].as_u64().unwrap())
                .sum();
            if charged == size as u64 {
                break begin.elapsed();
            }
        }
        assert_eq!(
            of(&["failed", "uncertain", "expired", "skipped", "canceled"]),
            0,
            "{counts}"
        );
        assert!(
            begin.elapsed() < Duration::from_secs(3600),
            "it does not end: {counts}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let arrived: Value = reqwest::get(format!("{address}/simulator/arrived"))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let accepted = accepted.unwrap();
    let what = format!("{size} messages at {rate} a second");
    let mut row = |word: &str, value: f64, unit: &'static str| {
        report.row(format!("{what}: {word}"), value, unit)
    };
    row(
        "first outcome seen after",
        first.unwrap().as_secs_f64(),
        "s",
    );
    row(
        "accepted",
        size as f64 / accepted.as_secs_f64(),
        "messages/s",
    );
    row(
        "read by all after the last was accepted",
        (all - accepted).as_secs_f64(),
        "s",
    );
    row(
        "arrived at the gateway",
        arrived["total"].as_f64().unwrap_or(-1.0),
        "messages",
    );
    row(
        "doubled at the gateway",
        arrived["doubled"].as_f64().unwrap_or(-1.0),
        "messages",
    );
    let each = |seconds: f64| seconds * 1e6 / size as f64;
    let now = instance.process.cpu();
    row(
        "CPU of the application",
        each(now.0 - before.0.0),
        "us/message",
    );
    row("CPU of PostgreSQL", each(now.1 - before.0.1), "us/message");
    row(
        "CPU of the simulator",
        each(meta.cpu().0 - before.1),
        "us/message",
    );
    row("peak memory", instance.process.peak_mib(), "MiB");
}
