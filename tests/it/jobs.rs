//! Scheduled actions: their rows decide when they run, the panel changes the rows.

use chrono::TimeDelta;
use serde_json::json;
use wablast::scheduler;
use wablast::simulator::Options;

use crate::support::browser::Browser;
use crate::support::{TestApp, simulator};

const PAGE: &str = "/jobs/scheduler_send";

async fn runs(app: &TestApp, trigger: &str) -> i64 {
    app.value(&format!(
        "SELECT count(*) FROM job_runs WHERE job = 'scheduler_send' AND trigger = '{trigger}' AND ended_at IS NOT NULL"
    ))
    .await
    .parse()
    .unwrap()
}

async fn signed_in(app: &TestApp) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    browser
}

/// A mailing submitted for an hour from now.
async fn submitted(app: &TestApp, account: i64) -> i64 {
    let list = app.list_of(2).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let date = app.app.clock.now() + TimeDelta::hours(1);
    app.ok(
        "POST",
        &format!("/mailings/{mailing}/submit"),
        Some(&json!({ "schedule_date": date.to_rfc3339() })),
    )
    .await;
    mailing
}

#[tokio::test]
async fn another_interval_holds_without_a_restart() {
    let app = TestApp::new().await;
    let mut browser = signed_in(&app).await;
    app.tick().await;
    assert_eq!(runs(&app, "schedule").await, 1);
    let page = browser.get(PAGE).await;
    let saved = browser
        .submit(page.form(PAGE).set("interval_number", "5"))
        .await;
    assert_eq!((saved.status, saved.path.as_str()), (200, PAGE));
    assert!(browser.get("/jobs").await.text().contains("5 minutes"));
    // The slot that stood there is kept; from it on every five minutes.
    for (minutes, expected) in [(1, 2), (2, 2), (2, 2), (1, 3)] {
        app.advance(TimeDelta::minutes(minutes)).await;
        app.tick().await;
        assert_eq!(
            runs(&app, "schedule").await,
            expected,
            "after {minutes} more"
        );
    }
    // A next execution that a person types counts too (within a day: idle runs are kept no longer).
    let next = (app.app.clock.now() + TimeDelta::hours(20))
        .with_timezone(&chrono_tz::Asia::Jakarta)
        .format("%Y-%m-%dT%H:%M")
        .to_string();
    let page = browser.get(PAGE).await;
    browser.submit(page.form(PAGE).set("next_run", &next)).await;
    app.advance(TimeDelta::hours(19)).await;
    app.tick().await;
    assert_eq!(runs(&app, "schedule").await, 3);
    app.advance(TimeDelta::hours(1)).await;
    app.tick().await;
    assert_eq!(runs(&app, "schedule").await, 4);
}

#[tokio::test]
async fn what_is_wrong_in_the_form_is_told_by_field() {
    let app = TestApp::new().await;
    let mut browser = signed_in(&app).await;
    let page = browser.get(PAGE).await;
    let wrong = page
        .form(PAGE)
        .set("interval_number", "0")
        .set("interval_unit", "fortnights")
        .set("next_run", "soon");
    let answer = browser.submit(wrong).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.value("interval_number"), "0");
    for sentence in ["from 1 to 10,000", "Choose minutes", "a date and a time"] {
        assert!(answer.text().contains(sentence), "{}", answer.text());
    }
    assert_eq!(
        app.value("SELECT interval_number FROM jobs WHERE name = 'scheduler_send'")
            .await,
        "1",
        "nothing was kept"
    );
}

#[tokio::test]
async fn off_means_that_it_does_not_run_and_a_banner_says_what_waits() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = signed_in(&app).await;
    let page = browser.get(PAGE).await;
    let answer = browser
        .submit(page.form("/jobs/scheduler_send/disable"))
        .await;
    assert!(!answer.text().contains("Scheduler Send is off and"));
    let mailing = submitted(&app, account).await;
    app.advance(TimeDelta::hours(2)).await;
    app.tick().await;
    assert_eq!(runs(&app, "schedule").await, 0);
    assert_eq!(app.show(mailing).await["state"], "submitted");
    let page = browser.get("/outgoing").await;
    assert!(
        page.text()
            .contains("Scheduler Send is off and 1 submitted mailing waits."),
        "{}",
        page.text()
    );
    let page = browser
        .submit(page.form("/jobs/scheduler_send/enable"))
        .await;
    assert!(!page.text().contains("Scheduler Send is off and"));
    assert!(
        !page.text().contains("Scheduler Send has not run"),
        "{}",
        page.text()
    );
    app.tick().await;
    assert_eq!(runs(&app, "schedule").await, 1);
    assert_eq!(app.show(mailing).await["state"], "sending");
}

#[tokio::test]
async fn run_now_releases_what_is_due_and_stands_in_the_history_with_its_name() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = signed_in(&app).await;
    app.execute("UPDATE jobs SET active = false").await;
    let mailing = submitted(&app, account).await;
    app.advance(TimeDelta::hours(2)).await;
    let page = browser.get("/jobs").await;
    let form = page.form("/jobs/scheduler_send/run");
    let asked = browser.submit(form.clone()).await;
    assert!(asked.text().contains("A run is under way."));
    assert_eq!(
        app.show(mailing).await["state"],
        "submitted",
        "the request itself runs nothing"
    );
    // A second press while it waits is refused, in words.
    assert_eq!(browser.submit_once(form).await.0, 409);
    app.tick().await;
    assert_eq!(app.show(mailing).await["state"], "sending");
    assert_eq!(
        (runs(&app, "manual").await, runs(&app, "schedule").await),
        (1, 0)
    );
    let page = browser.get("/jobs").await;
    for words in ["By hand", "Dewi Kartikasari", "1 released."] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    let settled = browser.get("/jobs/working").await;
    assert_eq!(settled.header("X-Settled"), "1");
}

#[tokio::test]
async fn of_several_instances_one_takes_a_slot_and_one_a_run_somebody_asked_for() {
    let app = TestApp::new().await;
    let mut browser = signed_in(&app).await;
    let page = browser.get("/jobs").await;
    browser.submit(page.form("/jobs/scheduler_send/run")).await;
    let looks: Vec<_> = (0..8)
        .map(|_| {
            let app = app.app.clone();
            tokio::spawn(async move { scheduler::tick(&app).await.unwrap() })
        })
        .collect();
    for look in looks {
        look.await.unwrap();
    }
    assert_eq!(
        (runs(&app, "manual").await, runs(&app, "schedule").await),
        (1, 1)
    );
}

#[tokio::test]
async fn a_scheduler_that_stopped_is_told_on_every_page_until_it_runs_again() {
    let app = TestApp::new().await;
    let mut browser = signed_in(&app).await;
    app.tick().await;
    app.advance(TimeDelta::seconds(100)).await;
    let late = "Scheduler Send has not run since";
    assert!(!browser.get("/logs").await.text().contains(late));
    app.advance(TimeDelta::minutes(2)).await;
    assert!(browser.get("/logs").await.text().contains(late));
    app.tick().await;
    assert!(!browser.get("/logs").await.text().contains(late));
}

#[tokio::test]
async fn only_administrators_come_to_the_jobs_and_the_webhook_log() {
    let app = TestApp::new().await;
    let mut browser = signed_in(&app).await;
    app.execute("UPDATE user_companies SET role = 'manager'")
        .await;
    for path in ["/jobs", PAGE, "/jobs/working", "/webhook-log"] {
        assert_eq!(browser.get(path).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn logs_messages_and_events_have_pages_that_say_what_became_of_them() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mailing = submitted(&app, account).await;
    let mut browser = signed_in(&app).await;
    app.advance(TimeDelta::hours(2)).await;
    app.tick().await;
    wablast::mailings::release::advance(&app.app).await.unwrap();
    app.execute(&format!(
        "UPDATE accounts SET health = 'stopped', health_reason = 'The <b>session</b> is gone.' WHERE id = {account}"
    ))
    .await;
    let id = app.value("SELECT max(id) FROM outgoing").await;
    let page = browser.get(&format!("/outgoing/{id}")).await;
    assert!(
        page.text()
            .contains("Toko Bandung is stopped: The <b>session</b> is gone."),
        "{}",
        page.text()
    );
    assert!(
        page.text()
            .contains("Toko Bandung is stopped while Hello is being sent through it."),
        "{}",
        page.text()
    );
    app.execute("UPDATE accounts SET health = 'running', health_reason = NULL")
        .await;
    let page = browser.get(&format!("/outgoing/{id}")).await;
    assert!(
        page.text()
            .contains("1 message of this mailing waits before it."),
        "{}",
        page.text()
    );
    app.deliver(mailing).await;
    app.until("receipts are back", || async {
        app.apply_webhooks().await;
        app.show(mailing).await["counts"]["read"] == 2
    })
    .await;
    let page = browser.get(&format!("/outgoing/{id}")).await;
    assert!(page.text().contains("The person has opened it."));
    let page = browser.get(&format!("/outgoing?mailing={mailing}")).await;
    assert!(page.text().contains("Messages of Hello"), "{}", page.text());
    let page = browser.get(&format!("/logs?mailing={mailing}")).await;
    assert!(page.text().contains("Log"), "{}", page.text());
    assert_eq!(browser.get("/logs?mailing=999").await.status, 404);
    let log = app.value("SELECT id FROM logs").await;
    let page = browser.get(&format!("/logs/{log}")).await;
    for words in ["of 2 sent", "List of 2", "Scheduler", "P0", "P1"] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    let event = app.value("SELECT max(id) FROM inbox").await;
    app.execute(&format!(
        "UPDATE inbox SET state = 'set_aside', tries = 5, error = 'odd',
           headers = '{{\"authorization\": \"Bearer topsecret\", \"user-agent\": \"WAHA\"}}' WHERE id = {event}"
    ))
    .await;
    assert!(
        browser
            .get("/webhook-log?f=set_aside")
            .await
            .text()
            .contains("odd")
    );
    let page = browser.get(&format!("/webhook-log/{event}")).await;
    assert!(page.text().contains("user-agent: WAHA") && !page.html.contains("topsecret"));
    let replay = page.form(&format!("/webhook-log/{event}/replay"));
    let page = browser.submit(replay.clone()).await;
    assert!(
        page.text().contains("Put back into the line"),
        "{}",
        page.text()
    );
    app.apply_webhooks().await;
    assert_eq!(
        app.value(&format!("SELECT state FROM inbox WHERE id = {event}"))
            .await,
        "applied"
    );
    assert_eq!(browser.submit_once(replay).await.0, 409);
}
