//! Batched delivery: a mailing rests in the queue until Scheduler Enqueue, or a person, opens the next
//! batch; everybody gets it once in the end.

use chrono::TimeDelta;
use diesel_async::AsyncConnection as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;
use wablast::ids::{AccountId, MailingId};
use wablast::mailings::{self, Verb, release, settle};
use wablast::outgoing::begin::begin;
use wablast::outgoing::pace::Gates;
use wablast::outgoing::{claim, deliver, open, queue};
use wablast::simulator::{Options, Running};

use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator};

const OFF: &str = "Scheduler Enqueue is off, so nothing pushes them.";

/// A deliverer that works until it is dropped.
struct Deliverer(
    #[expect(dead_code, reason = "dropping it ends the deliverer")] watch::Sender<bool>,
);

fn deliverer(app: &TestApp) -> Deliverer {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(deliver::run(app.app.clone(), stopped));
    Deliverer(stop)
}

async fn signed_in(app: &TestApp) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    browser
}

/// An account that opens `size` at a time.
async fn batched(app: &TestApp, waha: &Running, size: usize) -> i64 {
    let account = app.account(waha).await;
    app.execute(&format!(
        "UPDATE accounts SET delivery = 'batched', batch_size = {size} WHERE id = {account}"
    ))
    .await;
    account
}

/// A mailing to the list whose messages all stand in the queue.
async fn queued(app: &TestApp, account: i64, list: i64) -> i64 {
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    mailing
}

async fn opened(app: &TestApp, mailing: i64) -> usize {
    app.value(&format!(
        "SELECT count(*) FROM outgoing WHERE mailing_id = {mailing} AND opened_at IS NOT NULL AND state = 'queued'"
    ))
    .await
    .parse()
    .unwrap()
}

/// How many of a batched account are opened by one look of the job.
async fn run(app: &TestApp) -> usize {
    open::all(&app.app).await.unwrap().messages
}

async fn total(waha: &Running) -> Value {
    arrived(waha).await["total"].clone()
}

/// Waits until nothing is on its way and no account has anything that may go.
async fn all_has_left(app: &TestApp) {
    app.until("nothing may leave any more", || async {
        let held = app
            .value("SELECT count(*) FROM outgoing WHERE state IN ('claimed', 'sending')")
            .await;
        let mut conn = app.app.db.system().await.unwrap();
        let work = queue::accounts_with_work(&mut conn).await.unwrap();
        held == "0" && work.is_empty()
    })
    .await;
}

#[tokio::test]
async fn nothing_leaves_while_the_job_is_off_and_one_run_opens_one_batch() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = signed_in(&app).await;
    let page = format!("/accounts/{account}");
    let form = browser.get(&page).await.form(&page);
    assert_eq!(form.get("batch_size"), "100");
    let form = form.set("delivery", "batched");
    let wrong = browser.submit(form.clone().set("batch_size", "0")).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("from 1 to 10,000"));
    browser.submit(form.set("batch_size", "10")).await;
    let list = app.list_of(25).await;
    let mailing = queued(&app, account, list).await;
    let _deliverer = deliverer(&app);
    app.tick().await;
    all_has_left(&app).await;
    assert_eq!(total(&waha).await, 0, "the job is off");

    let page = browser.get(&format!("/mailings/{mailing}")).await.text();
    let banner = format!("25 messages rest in the queue of Toko Bandung. {OFF}");
    assert!(page.contains(&banner), "{page}");
    assert!(
        page.contains("nothing pushes the rest of the queue. 25 messages wait."),
        "{page}"
    );
    let last = app.value("SELECT max(id) FROM outgoing").await;
    let why = browser.get(&format!("/outgoing/{last}")).await.text();
    assert!(
        why.contains("Scheduler Enqueue is off, so nothing pushes it."),
        "{why}"
    );

    let enable = browser.get("/mailings").await;
    let jobs = browser
        .submit(enable.form("/jobs/scheduler_enqueue/enable"))
        .await;
    assert!(!jobs.text().contains(OFF));
    for words in [
        "Infinys Whatsapp Blasting : Scheduler Enqueue",
        "Infinys Whatsapp Blasting : Scheduler Send",
        "Opens the next batch of each batched account",
        "2 minutes",
    ] {
        assert!(jobs.text().contains(words), "{words}: {}", jobs.text());
    }
    for (batch, sum) in [(10, 10), (10, 20), (5, 25)] {
        app.tick().await;
        app.until("the batch has left", || async { total(&waha).await == sum })
            .await;
        all_has_left(&app).await;
        assert_eq!(total(&waha).await, sum, "exactly the batch");
        let said = app
            .value("SELECT summary FROM job_runs WHERE job = 'scheduler_enqueue' ORDER BY id DESC LIMIT 1")
            .await;
        assert_eq!(said, format!("1 account: {batch} messages opened."));
        let first = app
            .value(&format!(
                "SELECT count(*) FROM (SELECT state FROM outgoing WHERE mailing_id = {mailing} ORDER BY id LIMIT {sum}) o
                 WHERE state <> 'queued'"
            ))
            .await;
        assert_eq!(first, sum.to_string(), "the first come first");
        if sum == 10 {
            let next = "Waits for Scheduler Enqueue, next run at";
            let page = browser.get(&format!("/mailings/{mailing}")).await.text();
            assert!(page.contains(next), "{page}");
            assert!(
                browser
                    .get(&format!("/outgoing/{last}"))
                    .await
                    .text()
                    .contains(next)
            );
        }
        app.advance(TimeDelta::minutes(2)).await;
    }
    settle::all(&app.app).await.unwrap();
    assert_eq!(app.show(mailing).await["state"], "done");
    assert_eq!(arrived(&waha).await["doubled"], 0);
    app.tick().await;
    let said = app
        .value(
            "SELECT summary FROM job_runs WHERE job = 'scheduler_enqueue' ORDER BY id DESC LIMIT 1",
        )
        .await;
    assert_eq!(said, "Nothing was opened.");
}

#[tokio::test]
async fn what_is_opened_is_not_topped_up_and_runs_at_the_same_time_open_one_batch() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = batched(&app, &waha, 10).await;
    let list = app.list_of(40).await;
    let mailing = queued(&app, account, list).await;
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let app = app.app.clone();
            tokio::spawn(async move { open::all(&app).await.unwrap().messages })
        })
        .collect();
    let mut messages = 0;
    for run in runs {
        messages += run.await.unwrap();
    }
    assert_eq!((messages, opened(&app, mailing).await), (10, 10));
    assert_eq!(run(&app).await, 0, "ten wait already");
    // Held by a deliverer counts as waiting too; given back, or taken from one that is gone, stays open.
    let mut conn = app.app.db.system().await.unwrap();
    let (id, owner) = (AccountId(account), Uuid::new_v4());
    queue::accounts_with_work(&mut conn).await.unwrap();
    let claimed = claim::claim(&mut conn, id, owner, 64).await.unwrap();
    assert_eq!(claimed.len(), 10, "what rests is not claimed");
    assert_eq!(run(&app).await, 0);
    queue::give_back(&mut conn, &claimed).await.unwrap();
    assert_eq!(opened(&app, mailing).await, 10);
    claim::claim(&mut conn, id, owner, 64).await.unwrap();
    app.advance(TimeDelta::hours(1)).await;
    queue::reap(&mut conn).await.unwrap();
    assert_eq!((opened(&app, mailing).await, run(&app).await), (10, 0));
    // Those whose own time has not come do not hold up the next batch.
    app.execute("UPDATE outgoing SET not_before = wablast_now() + interval '1 hour' WHERE opened_at IS NOT NULL")
        .await;
    assert_eq!(run(&app).await, 10);
}

#[tokio::test]
async fn mailings_share_a_batch_and_what_one_has_not_the_other_fills() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = batched(&app, &waha, 10).await;
    let list = app.list_of(20).await;
    let long = queued(&app, account, list).await;
    let short = queued(&app, account, list).await;
    let paused = queued(&app, account, list).await;
    app.ok("POST", &format!("/mailings/{paused}/pause"), None)
        .await;
    app.execute(&format!(
        "UPDATE outgoing SET state = 'canceled' WHERE id IN (SELECT id FROM outgoing WHERE mailing_id = {short} ORDER BY id LIMIT 17)"
    ))
    .await;
    // The account is not served while it may not send.
    app.execute("UPDATE accounts SET health = 'stopped'").await;
    assert_eq!(run(&app).await, 0);
    app.execute("UPDATE accounts SET health = 'running'").await;
    assert_eq!(run(&app).await, 10);
    let shares = (
        opened(&app, long).await,
        opened(&app, short).await,
        opened(&app, paused).await,
    );
    assert_eq!(shares, (7, 3, 0));
}

#[tokio::test]
async fn an_administrator_pushes_a_batch_while_the_job_is_off() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = batched(&app, &waha, 10).await;
    let list = app.list_of(25).await;
    let mailing = queued(&app, account, list).await;
    let mut browser = signed_in(&app).await;
    let push = format!("/accounts/{account}/push");
    let form = browser
        .get(&format!("/accounts/{account}"))
        .await
        .form(&push);
    let page = browser.submit(form.clone()).await;
    assert!(page.text().contains("10 messages are opened."));
    assert!(page.text().contains("15 messages rest in the queue"));
    let again = browser.submit(form.clone()).await;
    assert!(
        again.text().contains("the last batch is still on its way"),
        "{}",
        again.text()
    );
    assert_eq!(opened(&app, mailing).await, 10);
    let _deliverer = deliverer(&app);
    app.until("the batch has left", || async { total(&waha).await == 10 })
        .await;
    all_has_left(&app).await;
    assert_eq!(total(&waha).await, 10);
    // In the banner of any page, too.
    let banner = browser.get("/contacts").await.form(&push);
    browser.submit(banner).await;
    app.until("the next one too", || async { total(&waha).await == 20 })
        .await;
    let audited = app
        .value("SELECT string_agg(note, ' ' ORDER BY id) FROM audit WHERE noun = 'accounts' AND action = 'push'")
        .await;
    assert_eq!(audited, "10 0 10");

    app.execute("UPDATE accounts SET health = 'paused'").await;
    assert_eq!(browser.submit_once(form.clone()).await.0, 409);
    app.execute("UPDATE accounts SET health = 'running', delivery = 'direct'")
        .await;
    assert_eq!(browser.submit_once(form.clone()).await.0, 409);
    app.until("Direct sends the rest", || async {
        total(&waha).await == 25
    })
    .await;
    assert_eq!(arrived(&waha).await["doubled"], 0);
    app.execute(
        "UPDATE user_companies SET role = 'manager'; UPDATE accounts SET delivery = 'batched'",
    )
    .await;
    queued(&app, account, list).await;
    assert_eq!(browser.submit_once(form).await.0, 403);
    let page = browser.get("/contacts").await;
    assert!(page.text().contains(OFF), "everybody is told");
    assert!(
        !page.html.contains(&push) && !page.html.contains("scheduler_enqueue/enable"),
        "only administrators get the buttons"
    );
}

#[tokio::test]
async fn pausing_closes_what_was_opened_and_the_next_run_after_resuming_goes_on() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = batched(&app, &waha, 10).await;
    let list = app.list_of(25).await;
    let mailing = queued(&app, account, list).await;
    assert_eq!(run(&app).await, 10);
    let mut conn = app.app.db.system().await.unwrap();
    let owner = Uuid::new_v4();
    queue::accounts_with_work(&mut conn).await.unwrap();
    let claimed = claim::claim(&mut conn, AccountId(account), owner, 3)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 3);
    app.ok("POST", &format!("/mailings/{mailing}/pause"), None)
        .await;
    let begun = begin(
        &mut conn,
        owner,
        &claimed,
        &[None, None, None],
        &Gates::default(),
    )
    .await
    .unwrap();
    assert!(begun.is_empty(), "a paused mailing begins nothing");
    let left = "SELECT count(*) FROM outgoing WHERE opened_at IS NOT NULL OR state <> 'queued'";
    assert_eq!(app.value(left).await, "0");
    assert_eq!(run(&app).await, 0, "nothing is opened for a paused mailing");
    app.ok("POST", &format!("/mailings/{mailing}/resume"), None)
        .await;
    let _deliverer = deliverer(&app);
    all_has_left(&app).await;
    assert_eq!(total(&waha).await, 0, "resumed, it waits for the next run");
    for sum in [10, 20, 25] {
        assert_eq!(run(&app).await, if sum == 25 { 5 } else { 10 });
        app.until("the batch has left", || async { total(&waha).await == sum })
            .await;
        app.until("and is recorded", || async {
            app.show(mailing).await["counts"]["sending"] == 0
        })
        .await;
    }
    assert_eq!(arrived(&waha).await["doubled"], 0);

    // Cancelling leaves nothing opened either.
    let other = queued(&app, account, list).await;
    drop(_deliverer);
    app.execute("UPDATE account_pace SET blocked_until = wablast_now() + interval '1 hour'")
        .await;
    assert_eq!(run(&app).await, 10);
    let cancel = conn
        .transaction(async |conn| mailings::change(conn, MailingId(other), Verb::Cancel).await)
        .await;
    assert_eq!(cancel.unwrap().state, "canceled");
    let canceled = format!(
        "SELECT count(*) FROM outgoing WHERE mailing_id = {other} AND state = 'canceled' AND opened_at IS NULL"
    );
    assert_eq!(app.value(&canceled).await, "25");
}

#[tokio::test]
async fn a_message_of_its_own_leaves_a_batched_account_at_once() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = batched(&app, &waha, 10).await;
    let list = app.list_of(5).await;
    queued(&app, account, list).await;
    let mut browser = signed_in(&app).await;
    let page = browser.get(&format!("/accounts/{account}")).await;
    let form = page
        .form(&format!("/accounts/{account}/test-message"))
        .set("number", "0812 9999 0000")
        .set("text", "Does it work?");
    browser.submit(form).await;
    let _deliverer = deliverer(&app);
    app.until("the test has left", || async { total(&waha).await == 1 })
        .await;
    all_has_left(&app).await;
    let arrived = arrived(&waha).await;
    assert_eq!(arrived["total"], 1, "the mailing rests");
    assert_eq!(arrived["items"][0]["text"], "Does it work?");
}

#[tokio::test]
async fn integrators_set_and_read_the_batch_size() {
    let app = TestApp::new().await;
    let new = |size: i64| json!({ "name": "Shop", "provider": "waha", "api_url": "http://127.0.0.1:1", "delivery": "batched", "batch_size": size });
    assert_eq!(
        app.call("POST", "/accounts", Some(&new(0))).await.0,
        422,
        "a batch holds one at least"
    );
    let made = app.ok("POST", "/accounts", Some(&new(300))).await;
    assert_eq!(made["batch_size"], 300);
}
