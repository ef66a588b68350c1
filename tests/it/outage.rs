//! PostgreSQL ends while the program works: the program lives on, says so, and goes on afterwards.
//!
//! `WABLAST_OUTAGE="60"`: how many seconds it stays away. CI lets it come back at once.

use std::fs;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use wablast::simulator::{Options, Running};

use crate::embedded::{kill, open_folder, postmaster, wrapped};
use crate::proof::{begin, begin_at, check, set_up};
use crate::support::browser::Browser;
use crate::support::instance::{Instance, free_port, run};
use crate::support::{arrived, simulator, until};

const PEOPLE: usize = 3_000;
/// They last for four restarts at [`RATE`].
const MANY: usize = 12_000;
/// Messages a second.
const RATE: u32 = 200;
const SOON: Duration = Duration::from_secs(60);
/// Until the rate is held again, from the moment PostgreSQL ended.
const BACK: Duration = Duration::from_secs(15);

#[expect(clippy::disallowed_methods, reason = "a size of this test")]
fn away() -> Duration {
    Duration::from_secs(std::env::var("WABLAST_OUTAGE").map_or(0, |size| size.parse().unwrap()))
}

async fn arrived_so_far(waha: &Running) -> u64 {
    arrived(waha).await["total"].as_u64().unwrap()
}

/// The moment from which [`RATE`] is held again: two stretches in a row have 95 % of it, so that what a bucket
/// gathered meanwhile does not pass for it.
async fn holds_its_rate(waha: &Running) -> Instant {
    const STRETCH: Duration = Duration::from_secs(2);
    let asked = Instant::now();
    let (mut at, mut before) = (Instant::now(), arrived_so_far(waha).await);
    let mut since: Option<Instant> = None;
    loop {
        assert!(asked.elapsed() < SOON, "the rate never came back");
        tokio::time::sleep(STRETCH).await;
        // Reading the answer takes its time too, of a number of thousands.
        let (now, arrived) = (Instant::now(), arrived_so_far(waha).await);
        let more = f64::from(u32::try_from(arrived - before).unwrap());
        let holds = more / (now - at).as_secs_f64() >= 0.95 * f64::from(RATE);
        match since {
            Some(since) if holds => return since,
            _ => since = holds.then_some(at),
        }
        (at, before) = (now, arrived);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_postgresql_in_the_middle_of_a_mailing_loses_nobody_and_doubles_nobody() {
    let folder = open_folder();
    let data = folder.path().join("data");
    let waha = simulator(Options {
        acks: false,
        latency: Duration::from_millis(50),
        ..Options::default()
    })
    .await;
    // While this file is there PostgreSQL does not start.
    let closed = folder.path().join("closed");
    let before = format!("[ -e {} ] && exit 1", closed.display());
    let programs = wrapped(folder.path(), &before, "");
    let token = set_up(&data);
    let mut instance = Instance::start_with(&data, free_port(), Some(&programs)).await;
    let mut signed_in = Browser::at(&instance.url);
    signed_in.sign_in().await;
    let mut stranger = Browser::at(&instance.url);
    let (api, path) = begin(&instance.url, token, &waha, PEOPLE).await;

    fs::write(&closed, "").unwrap();
    kill(&postmaster(&data), "-KILL");
    until("it is known", SOON, || async {
        api.ask(Method::GET, "/healthz", None).await.0 == 503
    })
    .await;
    let (_, health) = api.ask(Method::GET, "/healthz", None).await;
    assert_eq!(health["database"]["state"], "down", "{health}");
    assert_eq!(api.ask(Method::GET, "/readyz", None).await.0, 503);
    let at_outage = arrived_so_far(&waha).await;
    assert!(at_outage < PEOPLE as u64, "the outage came too late");
    for (who, path) in [(&mut signed_in, "/mailings"), (&mut stranger, "/login")] {
        let page = who.get(path).await;
        assert_eq!(page.status, 503, "{path}");
        assert!(page.text().contains("Nothing is lost"), "{}", page.text());
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}");
        assert!(!page.header("retry-after").is_empty(), "{path}");
    }
    let (status, answer) = api.ask(Method::GET, "/api/v1/mailings/1", None).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("busy")));
    let hook = api.ask(Method::POST, "/webhooks/waha/any", Some(json!({})));
    assert_eq!(hook.await.0, 503, "a gateway comes again");
    assert!(instance.is_alive());
    tokio::time::sleep(away()).await;
    assert_eq!(
        api.ask(Method::GET, "/readyz", None).await.0,
        503,
        "it was away all the time"
    );
    assert!(instance.is_alive());

    fs::remove_file(&closed).unwrap();
    until("it is up", SOON, || async {
        api.ask(Method::GET, "/readyz", None).await.0 == 200
    })
    .await;
    let (_, health) = api.ask(Method::GET, "/healthz", None).await;
    assert_eq!(health["database"]["restarts"], 1, "{health}");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    let page = signed_in.get("/mailings").await;
    assert_eq!((page.status, page.path.as_str()), (200, "/mailings"));
    api.until_nothing_is_open(&path, PEOPLE).await;
    // This process knows of each message whether its request had begun, and what came of it.
    assert_eq!(check(&api, &path, &waha, PEOPLE).await, 0, "uncertain");
    instance.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn four_immediate_restarts_of_postgresql_in_a_row_lose_nobody_and_double_nobody() {
    let folder = open_folder();
    let data = folder.path().join("data");
    let waha = simulator(Options {
        acks: false,
        latency: Duration::from_millis(50),
        ..Options::default()
    })
    .await;
    let token = set_up(&data);
    let mut instance = Instance::start(&data, free_port()).await;
    let pace = json!({ "per_second": RATE, "burst": 64 });
    let (api, path) = begin_at(&instance.url, token, &waha, MANY, pace).await;
    for restart in 1..=4_u64 {
        let before = arrived_so_far(&waha).await;
        until("it goes on", SOON, || async {
            arrived_so_far(&waha).await > before + 200
        })
        .await;
        let ended = Instant::now();
        kill(&postmaster(&data), "-QUIT");
        until("it was restarted", SOON, || async {
            let (status, health) = api.ask(Method::GET, "/healthz", None).await;
            status == 200 && health["database"]["restarts"] == restart
        })
        .await;
        let took = holds_its_rate(&waha).await - ended;
        println!("restart {restart}: the rate is held after {took:.1?}");
        assert!(took <= BACK, "restart {restart}: {took:?}");
        assert!(instance.is_alive());
    }
    let left = MANY as u64 - arrived_so_far(&waha).await;
    assert!(left > 0, "the restarts came too late");
    api.until_nothing_is_open(&path, MANY).await;
    // This process lived on, and knows of each message what became of it.
    assert_eq!(check(&api, &path, &waha, MANY).await, 0, "uncertain");
    run(&data, &["check"], "");
    instance.stop();
}
