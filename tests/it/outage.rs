//! PostgreSQL ends while the program works: the program lives on, says so, and goes on afterwards.

use std::fs;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use wablast::simulator::Options;

use crate::embedded::{kill, open_folder, postmaster, wrapped};
use crate::proof::{begin, begin_at, check, set_up};
use crate::support::browser::Browser;
use crate::support::instance::{Instance, free_port, run};
use crate::support::{arrived, simulator, until};

const PEOPLE: usize = 3_000;
const SOON: Duration = Duration::from_secs(60);

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
    let at_outage = arrived(&waha).await["total"].as_u64().unwrap();
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
    let pace = json!({ "per_second": 400, "burst": 64 });
    let (api, path) = begin_at(&instance.url, token, &waha, PEOPLE, pace).await;
    for restart in 1..=4_u64 {
        let before = arrived(&waha).await["total"].as_u64().unwrap();
        until("it goes on", SOON, || async {
            arrived(&waha).await["total"].as_u64().unwrap() > before + 200
        })
        .await;
        kill(&postmaster(&data), "-QUIT");
        until("it was restarted", SOON, || async {
            let (status, health) = api.ask(Method::GET, "/healthz", None).await;
            status == 200 && health["database"]["restarts"] == restart
        })
        .await;
        assert!(instance.is_alive());
    }
    api.until_nothing_is_open(&path, PEOPLE).await;
    // This process lived on, and knows of each message what became of it.
    assert_eq!(check(&api, &path, &waha, PEOPLE).await, 0, "uncertain");
    run(&data, &["check"], "");
    instance.stop();
}
