//! Messages a second, from the button to the last outcome, through the real HTTP of a simulated WAHA
//! that answers at once. Application, PostgreSQL and simulator share the machine.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::instance::{Instance, simulate};
use crate::report::Report;

pub async fn measure(report: &mut Report, sizes: &[usize]) {
    for size in sizes {
        for acks in [false, true] {
            run(report, *size, acks).await;
        }
    }
}

async fn run(report: &mut Report, size: usize, acks: bool) {
    let (waha, address) = simulate(acks);
    let instance = Instance::start(true).await;
    let account = instance.account(&address).await;
    let hook = json!({ "url": format!("{}/webhooks/waha/{}", instance.url, account["account_key"].as_str().unwrap()),
        "hmac_key": account["webhook_secret"] });
    let told = instance.client.post(format!("{address}/simulator/webhook"));
    assert!(told.json(&hook).send().await.unwrap().status().is_success());
    let list = instance.people(size).await;
    let mailing = instance.mailing(&account, list).await;
    let path = format!("/mailings/{mailing}");
    instance.process.forget_peak();
    let begin = Instant::now();
    instance
        .api("POST", &format!("{path}/send_now"), json!({}))
        .await;
    let (mut first, mut accepted) = (None, None);
    let (own, postgres) = instance.process.cpu();
    let (simulator, _) = waha.cpu();
    let all = loop {
        let asked = Instant::now();
        let counts = instance.api("GET", &path, Value::Null).await["counts"].clone();
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
        if accepted.is_some() && (!acks || of(&["read"]) == size as u64) {
            break begin.elapsed();
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
        // Looking costs the measured machine at most a twentieth.
        tokio::time::sleep(
            (asked.elapsed() * 20).clamp(Duration::from_millis(50), Duration::from_secs(2)),
        )
        .await;
    };
    let each = |seconds: f64| seconds * 1e6 / size as f64;
    let now = instance.process.cpu();
    let spent = [
        ("application", now.0 - own),
        ("PostgreSQL", now.1 - postgres),
        ("simulator", waha.cpu().0 - simulator),
    ];
    let what = format!(
        "{size} messages, {} acknowledgements",
        if acks { 3 } else { 0 }
    );
    let rate = |took: Duration| size as f64 / took.as_secs_f64();
    report.row(
        format!("{what}: first outcome seen after"),
        first.unwrap().as_secs_f64(),
        "s",
    );
    report.row(
        format!("{what}: accepted"),
        rate(accepted.unwrap()),
        "messages/s",
    );
    if acks {
        report.row(format!("{what}: read by all"), rate(all), "messages/s");
    }
    for (who, seconds) in spent {
        report.row(
            format!("{what}: CPU of the {who}"),
            each(seconds),
            "us/message",
        );
    }
    report.row(
        format!("{what}: peak memory"),
        instance.process.peak_mib(),
        "MiB",
    );
}
