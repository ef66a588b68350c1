//! Instances whose clock is wrong, and a database's clock that steps back: leases and slots go by the
//! database's clock alone.

use chrono::TimeDelta;
use tokio::sync::watch;
use wablast::app::App;
use wablast::clock::Clock;
use wablast::ids::AccountId;
use wablast::mailings::{release, settle};
use wablast::outgoing::queue::Reaped;
use wablast::outgoing::{claim, deliver, queue};
use wablast::scheduler;
use wablast::simulator::Options;

use crate::support::{TestApp, arrived, simulator};

const PEOPLE: usize = 200;

/// Another instance on the same database, whose clock is off.
fn off_by(app: &TestApp, off: TimeDelta) -> App {
    let clock = Clock::manual();
    clock.advance(off);
    App {
        clock,
        ..app.app.clone()
    }
}

fn offs() -> [TimeDelta; 4] {
    [
        TimeDelta::hours(1),
        TimeDelta::hours(-1),
        TimeDelta::minutes(5),
        TimeDelta::minutes(-5),
    ]
}

/// The database's clock alone.
async fn step(app: &TestApp, seconds: i64) {
    app.execute(&format!(
        "UPDATE test_clock SET shift = shift + make_interval(secs => {seconds})"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_neither_takes_what_another_sends_nor_leaves_what_nobody_holds() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        acks: false,
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(PEOPLE).await;
    for off in offs() {
        let wrong = off_by(&app, off);
        let mailing = app.mailing(account, list, "Hello").await;
        app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        release::advance(&app.app).await.unwrap();
        // One died with ten in its hands; they are nobody else's before their lease is over.
        let mut conn = app.app.db.system().await.unwrap();
        queue::accounts_with_work(&mut conn).await.unwrap();
        let owner = uuid::Uuid::new_v4();
        let held = claim::claim(&mut conn, AccountId(account), owner, 10)
            .await
            .unwrap();
        drop(conn);
        let (stop, stopped) = watch::channel(false);
        let delivering = [
            tokio::spawn(deliver::run(app.app.clone(), stopped.clone())),
            tokio::spawn(deliver::run(wrong.clone(), stopped)),
        ];
        app.until("all but those are sent", || async {
            let reaped = deliver::reap_once(&wrong).await.unwrap();
            assert_eq!(reaped, Reaped::default(), "{off}: too early");
            let counts = app.show(mailing).await["counts"].clone();
            counts["accepted"] == PEOPLE - held.len()
        })
        .await;
        step(&app, 61).await;
        let reaped = deliver::reap_once(&wrong).await.unwrap();
        assert_eq!(reaped.requeued, held.len(), "{off}: too late");
        app.until("all are sent", || async {
            app.show(mailing).await["counts"]["accepted"] == PEOPLE
        })
        .await;
        stop.send(true).unwrap();
        for one in delivering {
            one.await.unwrap();
        }
        settle::all(&app.app).await.unwrap();
    }
    app.holds().await;
    let people = serde_json::json!(PEOPLE * offs().len());
    assert_eq!(arrived(&waha).await["total"], people);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_once_a_slot_whosever_clock_is_wrong_and_when_the_databases_steps_back() {
    let app = TestApp::new().await;
    let runs =
        "SELECT count(*) FROM job_runs WHERE job = 'scheduler_send' AND trigger = 'schedule'";
    let slots = "SELECT count(DISTINCT slot) FROM job_runs WHERE job = 'scheduler_send' AND trigger = 'schedule'";
    let tick = async |wrong: &App| {
        // The wrong one is the first to look.
        scheduler::tick(wrong).await.unwrap();
        let (one, other) = tokio::join!(scheduler::tick(wrong), scheduler::tick(&app.app));
        one.unwrap();
        other.unwrap();
    };
    tick(&off_by(&app, TimeDelta::zero())).await;
    let mut expected = 1;
    assert_eq!(app.value(runs).await, "1");
    for off in offs() {
        let wrong = off_by(&app, off);
        for _ in 0..3 {
            step(&app, 60).await;
            tick(&wrong).await;
            expected += 1;
            assert_eq!(app.value(runs).await, expected.to_string(), "{off}");
        }
    }
    // Back by two minutes: what ran does not run again, and afterwards it goes on.
    step(&app, -120).await;
    let right = off_by(&app, TimeDelta::zero());
    for _ in 0..2 {
        tick(&right).await;
        step(&app, 60).await;
    }
    assert_eq!(app.value(runs).await, expected.to_string());
    step(&app, 60).await;
    tick(&right).await;
    assert_eq!(app.value(runs).await, (expected + 1).to_string());
    assert_eq!(app.value(slots).await, (expected + 1).to_string());
}
