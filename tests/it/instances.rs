//! Several real programs share one database: the work, its end, and who is there.

use std::time::Duration;

use wablast::simulator::{Options, Running};

use crate::proof::{begin, check, set_up_by};
use crate::support::browser::Browser;
use crate::support::instance::Shared;
use crate::support::{TestApp, simulator, until};

const PEOPLE: usize = 3_000;
const SOON: Duration = Duration::from_secs(30);

/// A database that several programs share, set up, with a gateway that is not of the quickest.
pub async fn shared() -> (TestApp, Running, Shared, String) {
    let app = TestApp::bare().await;
    let waha = simulator(Options {
        acks: false,
        latency: Duration::from_millis(50),
        ..Options::default()
    })
    .await;
    let shared = Shared::new(app.url());
    let token = set_up_by(|arguments, input| shared.run(arguments, input));
    (app, waha, shared, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ready_work_of_an_instance_that_dies_goes_on_at_once_on_the_others() {
    let (app, waha, shared, token) = shared().await;
    let mut one = shared.start("serve").await;
    let mut other = shared.start("serve").await;
    let (api, path) = begin(&other.url, token, &waha, PEOPLE).await;
    let owners = "SELECT count(DISTINCT owner) FROM outgoing WHERE owner IS NOT NULL";
    until("both send", SOON, || async {
        app.value(owners).await == "2"
    })
    .await;
    one.kill();
    let at_kill = app.value("SELECT max(id) FROM attempts").await;
    until("the other goes on", Duration::from_secs(2), || async {
        let later = format!("SELECT max(id) > {at_kill} + 100 FROM attempts");
        app.value(&later).await == "t"
    })
    .await;
    // What the dead one had begun is uncertain after its lease; what it only held goes out.
    api.until_nothing_is_open(&path, PEOPLE).await;
    let uncertain = check(&api, &path, &waha, PEOPLE).await;
    assert!(uncertain <= 64, "{uncertain} uncertain after one kill");
    let mut browser = Browser::at(&other.url);
    browser.sign_in().await;
    let page = browser.get("/instances").await.text();
    assert!(page.contains("There") && page.contains("Gone"), "{page}");
    until("it has settled", SOON, || async {
        app.value("SELECT count(*) FROM mailings WHERE state = 'sending'")
            .await
            == "0"
    })
    .await;
    shared.run(&["check"], "");
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_web_and_workers_under_load_leaves_nothing_uncertain() {
    let (app, waha, shared, token) = shared().await;
    let mut web = shared.start("web").await;
    let mut workers = vec![shared.worker(), shared.worker()];
    let roles = "SELECT string_agg(role, ' ' ORDER BY role) FROM instances";
    until("all are there", SOON, || async {
        app.value(roles).await == "web worker worker"
    })
    .await;
    let (api, path) = begin(&web.url, token, &waha, PEOPLE).await;
    for worker in &mut workers {
        worker.stop();
        *worker = shared.worker();
    }
    web.stop();
    let mut web = shared.start("web").await;
    let api = api.at(&web.url);
    api.until_nothing_is_open(&path, PEOPLE).await;
    assert_eq!(check(&api, &path, &waha, PEOPLE).await, 0, "uncertain");
    // Whoever left in order is not called gone.
    assert_eq!(app.value(roles).await, "web worker worker");
    shared.run(&["check"], "");
    for mut worker in workers {
        worker.stop();
    }
    web.stop();
    assert_eq!(app.value("SELECT count(*) FROM instances").await, "0");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_shown() {
    let app = TestApp::new().await;
    // The database's clock stands still behind the one of this process.
    app.app.clock.advance(chrono::TimeDelta::seconds(95));
    let role = wablast::instances::Role::Worker;
    wablast::instances::beat(&app.app, uuid::Uuid::new_v4(), "toko process 7", role)
        .await
        .unwrap();
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/instances").await.text();
    assert!(page.contains("toko process 7"), "{page}");
    assert!(
        page.contains("95 s ahead of the database") || page.contains("94 s ahead of the database"),
        "{page}"
    );
}
