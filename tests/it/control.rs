//! What people say while messages leave holds over all instances within a second.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use wablast::app::{App, Wake};
use wablast::db::Db;
use wablast::mailings::release;
use wablast::outgoing::deliver;
use wablast::simulator::{Options, Running};

use crate::support::{TestApp, arrived, simulator};

/// Deliverers of two instances: each with connections and signals of its own.
struct Two {
    stop: watch::Sender<bool>,
    deliverers: Vec<JoinHandle<()>>,
}

impl Two {
    async fn start(app: &TestApp) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut deliverers = Vec::new();
        for _ in 0..2 {
            let instance = App {
                db: Db::connect(app.url()).await.unwrap(),
                wake: Wake::default(),
                ..app.app.clone()
            };
            deliverers.push(tokio::spawn(deliver::run(instance, stopped.clone())));
        }
        Self { stop, deliverers }
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        for deliverer in self.deliverers {
            deliverer.await.unwrap();
        }
    }
}

async fn total(waha: &Running) -> u64 {
    arrived(waha).await["total"].as_u64().unwrap()
}

async fn more_than(app: &TestApp, waha: &Running, count: u64) {
    app.until("more have arrived", || async { total(waha).await > count })
        .await;
}

/// Nobody holds anything any more.
async fn at_rest(app: &TestApp) {
    app.until("nothing is held", || async {
        app.value("SELECT count(*) FROM outgoing WHERE state IN ('claimed', 'sending')")
            .await
            == "0"
    })
    .await;
}

async fn sending(app: &TestApp, waha: &Running, people: usize, per_second: f64) -> (i64, i64) {
    let account = app.account(waha).await;
    app.execute(&format!(
        "UPDATE accounts SET per_second = {per_second}, burst = 1"
    ))
    .await;
    let list = app.list_of(people).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    (account, mailing)
}

async fn verb(app: &TestApp, mailing: i64, verb: &str) -> Value {
    app.ok("POST", &format!("/mailings/{mailing}/{verb}"), None)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn when_pause_and_cancel_answer_no_instance_sends_any_more() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        acks: false,
        ..Options::default()
    })
    .await;
    let (_, mailing) = sending(&app, &waha, 3_000, 300.0).await;
    let two = Two::start(&app).await;
    let mut before = 0;
    for _ in 0..3 {
        more_than(&app, &waha, before + 50).await;
        let asked = Instant::now();
        verb(&app, mailing, "pause").await;
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
        let at_answer = total(&waha).await;
        at_rest(&app).await;
        assert_eq!(
            total(&waha).await,
            at_answer,
            "sent after pause had answered"
        );
        assert_eq!(app.show(mailing).await["state"], "paused");
        before = at_answer;
        verb(&app, mailing, "resume").await;
    }
    more_than(&app, &waha, before + 50).await;
    verb(&app, mailing, "cancel").await;
    let at_answer = total(&waha).await;
    at_rest(&app).await;
    assert_eq!(
        total(&waha).await,
        at_answer,
        "sent after cancel had answered"
    );
    two.end().await;
    let counts = app.show(mailing).await["counts"].clone();
    assert_eq!(counts["accepted"], at_answer, "{counts}");
    assert_eq!(counts["canceled"], 3_000 - at_answer, "{counts}");
    app.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_pause_of_an_account_answers_no_instance_sends_over_it_any_more() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        acks: false,
        ..Options::default()
    })
    .await;
    let (account, mailing) = sending(&app, &waha, 1_000, 300.0).await;
    let two = Two::start(&app).await;
    let mut before = 0;
    for _ in 0..3 {
        more_than(&app, &waha, before + 50).await;
        let asked = Instant::now();
        let path = format!("/accounts/{account}/pause");
        app.ok("POST", &path, None).await;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        let at_answer = total(&waha).await;
        at_rest(&app).await;
        assert_eq!(
            total(&waha).await,
            at_answer,
            "sent after pause had answered"
        );
        before = at_answer;
        app.ok("POST", &format!("/accounts/{account}/resume"), None)
            .await;
    }
    app.until("everybody has it", || async { total(&waha).await == 1_000 })
        .await;
    at_rest(&app).await;
    two.end().await;
    assert_eq!(app.show(mailing).await["counts"]["accepted"], 1_000);
    app.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_a_second_after_somebody_opted_out() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        acks: false,
        ..Options::default()
    })
    .await;
    let (_, mailing) = sending(&app, &waha, 400, 200.0).await;
    let two = Two::start(&app).await;
    more_than(&app, &waha, 50).await;
    // Everybody else at once: what leaves afterwards was begun within the second.
    app.execute(
        "UPDATE contacts SET opt_out = true, opt_out_at = wablast_now(), opt_out_reason = 'asked'",
    )
    .await;
    let at = app.value("SELECT wablast_now()").await;
    app.until("nothing is open", || async {
        let counts = app.show(mailing).await["counts"].clone();
        counts["queued"] == 0 && counts["claimed"] == 0 && counts["sending"] == 0
    })
    .await;
    two.end().await;
    let late = app
        .value(&format!(
            "SELECT count(*) FROM attempts WHERE begun_at > '{at}'::timestamptz + interval '1 second'"
        ))
        .await;
    assert_eq!(late, "0");
    let counts = app.show(mailing).await["counts"].clone();
    assert_eq!(counts["accepted"], total(&waha).await, "{counts}");
    assert!(counts["skipped"].as_i64().unwrap() > 200, "{counts}");
    app.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pace_holds_from_the_next_second_on() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        acks: false,
        ..Options::default()
    })
    .await;
    let (_, mailing) = sending(&app, &waha, 60, 0.05).await;
    let two = Two::start(&app).await;
    more_than(&app, &waha, 0).await;
    let changed = Instant::now();
    app.execute("UPDATE accounts SET per_second = 5000, burst = 100, updated_at = wablast_now()")
        .await;
    app.until("all have it", || async { total(&waha).await == 60 })
        .await;
    assert!(
        changed.elapsed() < Duration::from_secs(3),
        "{:?}",
        changed.elapsed()
    );
    two.end().await;
    assert_eq!(app.show(mailing).await["counts"]["accepted"], 60);
}
