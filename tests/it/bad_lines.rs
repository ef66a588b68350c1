//! Lines that go dead without a word, connections that are ended all the time, and a process that freezes
//! past its leases: what left is known, and nothing leaves that may not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::instances::shared;
use crate::proof::{Api, begin_at, check};
use crate::support::instance::free_port;
use crate::support::proxy::{Far, Line, Proxy};
use crate::support::{TestApp, arrived, until};

const PEOPLE: usize = 3_000;
const FEW: usize = 500;
/// They last for half a minute.
const MANY: usize = 12_000;
const SOON: Duration = Duration::from_secs(30);
/// Longer than a request may start after its message was begun, and takes.
const STARTED: Duration = Duration::from_millis(1_500);

/// Every lease that stands now is over.
async fn leases_end(app: &TestApp) {
    app.execute("UPDATE test_clock SET shift = shift + interval '90 seconds'")
        .await;
}

fn pace() -> serde_json::Value {
    json!({ "per_second": 600, "burst": 64 })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_over_a_dead_line_to_the_database_and_what_left_is_known_when_it_is_well() {
    dead_line(Line {
        asks_vanish: true,
        answers_vanish: true,
        ..Line::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_when_only_the_answers_of_the_database_get_lost() {
    dead_line(Line {
        answers_vanish: true,
        ..Line::default()
    })
    .await;
}

/// The line to the database becomes like `dead`, while another instance has a good one.
async fn dead_line(dead: Line) {
    let (app, waha, shared, token) = shared().await;
    let socket = app.url().split('\'').nth(1).unwrap().to_owned();
    let line = Proxy::to(Far::Unix(format!("{socket}/.s.PGSQL.5432"))).await;
    let far = app.url().replace(
        &format!("'{socket}'"),
        &format!("127.0.0.1 port={}", line.port),
    );
    let mut one = shared
        .start_with(free_port(), &[("DATABASE_URL", &far)])
        .await;
    let (api, path) = begin_at(&one.url, token, &waha, PEOPLE, pace()).await;
    until("some have arrived", SOON, || async {
        arrived(&waha).await["total"].as_u64().unwrap() > 300
    })
    .await;
    line.set(dead);
    tokio::time::sleep(STARTED).await;
    let at_death = arrived(&waha).await["total"].as_u64().unwrap();
    assert!(at_death < PEOPLE as u64, "the line died too late");
    tokio::time::sleep(STARTED).await;
    assert_eq!(
        arrived(&waha).await["total"],
        at_death,
        "it sent without its database"
    );
    assert!(one.is_alive());
    // Its leases end, and another does the rest.
    leases_end(&app).await;
    let mut other = shared.start("serve").await;
    let api = api.at(&other.url);
    api.until_nothing_is_open(&path, PEOPLE).await;
    let before = api.get(&path).await["counts"]["uncertain"]
        .as_u64()
        .unwrap();
    assert!(before <= 64, "{before} uncertain");
    line.set(Line::default());
    // What it had heard is evidence.
    let phones = arrived(&waha).await;
    let numbers: BTreeMap<String, u64> =
        serde_json::from_value(phones["by_number"].clone()).unwrap();
    let numbers: Vec<_> = numbers.into_keys().collect();
    let unknown = format!(
        "SELECT count(*) FROM outgoing WHERE state = 'uncertain' AND number = ANY (string_to_array('{}', ','))",
        numbers.join(",")
    );
    until("it has said what it heard", SOON, || async {
        app.value(&unknown).await == "0"
    })
    .await;
    let uncertain = check(&api, &path, &waha, PEOPLE).await;
    println!("{before} uncertain while the line was dead, {uncertain} afterwards");
    assert!(one.is_alive());
    shared.run(&["check"], "");
    one.stop();
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_freezes_past_its_leases_sends_nothing_when_it_wakes() {
    let (app, waha, shared, token) = shared().await;
    let mut frozen = shared.start("serve").await;
    let (api, path) = begin_at(&frozen.url, token, &waha, PEOPLE, pace()).await;
    until("some have arrived", SOON, || async {
        arrived(&waha).await["total"].as_u64().unwrap() > 300
    })
    .await;
    frozen.signal("-STOP");
    leases_end(&app).await;
    let mut other = shared.start("serve").await;
    let api = api.at(&other.url);
    api.until_nothing_is_open(&path, PEOPLE).await;
    let before = arrived(&waha).await["total"].as_u64().unwrap();
    frozen.signal("-CONT");
    tokio::time::sleep(2 * STARTED).await;
    assert_eq!(
        arrived(&waha).await["total"],
        before,
        "it sent after its lease"
    );
    assert!(check(&api, &path, &waha, PEOPLE).await <= 64);
    shared.run(&["check"], "");
    frozen.stop();
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_ended_five_times_a_second_cost_nobody_their_message() {
    let (app, waha, shared, token) = shared().await;
    let mut instance = shared.start("serve").await;
    let pace = json!({ "per_second": 400, "burst": 64 });
    let (api, path) = begin_at(&instance.url, token, &waha, MANY, pace).await;
    for _ in 0..150 {
        app.execute(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) one",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(instance.is_alive());
    }
    api.until_nothing_is_open(&path, MANY).await;
    // This process knows of each message what became of it.
    assert_eq!(check(&api, &path, &waha, MANY).await, 0, "uncertain");
    shared.run(&["check"], "");
    instance.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_to_the_gateway_that_is_slow_and_resets_in_the_middle_of_requests_doubles_nobody() {
    let (app, waha, shared, token) = shared().await;
    let gateway = Proxy::to(Far::Tcp(waha.url().replace("http://", ""))).await;
    let mut instance = shared.start("serve").await;
    let api = Api::new(&instance.url, token);
    let through = format!("http://127.0.0.1:{}", gateway.port);
    let account = api.account("Toko", &through, pace()).await;
    let list = api.list_of(FEW).await;
    let path = api.mailing(&account, &list).await;
    api.try_post(&format!("{path}/send_now")).await;
    until("some have arrived", SOON, || async {
        arrived(&waha).await["total"].as_u64().unwrap() > 20
    })
    .await;
    gateway.set(Line {
        delay: Duration::from_millis(20),
        // Each connection has carried more: it ends within its next request.
        reset_at: Some(100),
        ..Line::default()
    });
    until("somebody is uncertain", SOON, || async {
        api.get(&path).await["counts"]["uncertain"] != 0
    })
    .await;
    gateway.set(Line::default());
    // An account that paused itself tries again after a while.
    let while_passes = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            app.execute("UPDATE test_clock SET shift = shift + interval '61 seconds'")
                .await;
        }
    };
    tokio::select! {
        () = while_passes => {}
        () = api.until_nothing_is_open(&path, FEW) => {}
    }
    check(&api, &path, &waha, FEW).await;
    shared.run(&["check"], "");
    instance.stop();
}
