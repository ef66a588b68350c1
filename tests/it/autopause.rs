//! Accounts that pause themselves, and how they find out that they work again.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::watch;
use wablast::gateways::{FailureCode, Rank, SendError};
use wablast::ids::{AccountId, OutgoingId};
use wablast::mailings::{release, stop};
use wablast::outgoing::receipts::{self, Receipt};
use wablast::outgoing::record::Outcome;
use wablast::outgoing::{autopause, deliver, stops};
use wablast::simulator::{Options, Running};

use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator, tell};

async fn all(waha: &Running, fault: &str) {
    let faults = json!({ "share": { fault: 1.0 } });
    tell(waha, "/simulator/faults", &faults).await;
}

async fn heal(waha: &Running) {
    tell(waha, "/simulator/faults", &json!({})).await;
}

/// A mailing to `people` at one request at a time, so that the order of outcomes is known.
async fn begun(app: &TestApp, waha: &Running, people: usize) -> (i64, i64) {
    let account = app.account(waha).await;
    app.execute("UPDATE accounts SET per_second = 20, burst = 1")
        .await;
    let list = app.list_of(people).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    (account, mailing)
}

/// A mailing that has begun over a gateway that fails in this way, every time.
async fn failing(fault: &str, people: usize) -> (TestApp, Running, i64, i64) {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        version: "2026.2.1".into(),
        acks: false,
        ..Options::default()
    })
    .await;
    all(&waha, fault).await;
    let (account, mailing) = begun(&app, &waha, people).await;
    (app, waha, account, mailing)
}

async fn health(app: &TestApp, account: i64) -> Value {
    app.ok("GET", &format!("/accounts/{account}"), None).await["health"].clone()
}

/// Delivers until the account's health is `state` with this code.
async fn deliver_until(app: &TestApp, state: &str, code: &str) {
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until(&format!("the account is {state} {code}"), || async {
        app.value("SELECT concat_ws(' ', health, health_code) FROM accounts")
            .await
            == format!("{state} {code}").trim()
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    app.holds().await;
}

#[tokio::test]
async fn five_uncertain_in_a_row_pause_and_a_single_message_finds_out_whether_it_works_again() {
    let (app, waha, account, mailing) = failing("error_after", 30).await;
    deliver_until(&app, "paused", "auto").await;
    let paused = health(&app, account).await;
    let reason = paused["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(
            "Paused by itself: of 5 messages in a row nobody knows whether they arrived."
        ),
        "{reason}"
    );
    assert!(paused["next_try_at"].is_string(), "{paused}");
    // At most what had begun before the fifth was recorded.
    let before = app.show(mailing).await["counts"]["uncertain"]
        .as_i64()
        .unwrap();
    assert!((5..=8).contains(&before), "{before}");
    said_on_the_pages(&app, account, mailing).await;

    // Too early: nothing is tried.
    app.advance(TimeDelta::seconds(58)).await;
    assert!(!autopause::look(&app.app).await.unwrap());
    // After a minute exactly one message is; it fails, and the wait is two minutes now.
    app.advance(TimeDelta::seconds(3)).await;
    assert!(autopause::look(&app.app).await.unwrap());
    deliver_until(&app, "paused", "auto").await;
    assert_eq!(app.show(mailing).await["counts"]["uncertain"], before + 1);
    app.advance(TimeDelta::seconds(61)).await;
    assert!(!autopause::look(&app.app).await.unwrap());
    app.advance(TimeDelta::seconds(60)).await;
    // The gateway is well again: the one that is tried is accepted, and the rest follows.
    heal(&waha).await;
    assert!(autopause::look(&app.app).await.unwrap());
    deliver_until(&app, "running", "").await;
    let sent = app.deliver(mailing).await;
    assert_eq!(sent["counts"]["accepted"], 30 - before - 1, "{sent}");
    assert_eq!(sent["counts"]["uncertain"], before + 1);
    assert_eq!(arrived(&waha).await["doubled"], 0);
    assert_eq!(app.value("SELECT recent FROM account_recent").await, "");
}

/// Reason and moment of the next try, on the account's page and the mailing's, for people.
async fn said_on_the_pages(app: &TestApp, account: i64, mailing: i64) {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    for path in [
        format!("/accounts/{account}"),
        format!("/mailings/{mailing}"),
    ] {
        let page = browser.get(&path).await;
        assert!(
            page.text().contains("Paused by itself: of 5 messages"),
            "{path}"
        );
        assert!(page.text().contains("A message is tried"), "{path}");
    }
}

/// What the recorder of some instance hears: `count` times the same answer.
fn heard(account: i64, count: usize, code: FailureCode) -> Vec<Outcome> {
    (0..count)
        .map(|_| Outcome {
            id: OutgoingId(1),
            account: AccountId(account),
            fence: 1,
            log: None,
            result: Err(SendError::NotSent {
                after: None,
                code,
                reason: "Nothing listens at waha port 3000.".to_owned(),
            }),
            wait: Duration::ZERO,
            counts_people: false,
        })
        .collect()
}

#[tokio::test]
async fn ten_failures_in_a_row_over_all_instances_pause_and_patience_that_was_asked_for_does_not() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut one = app.app.db.system().await.unwrap();
    let mut other = app.app.db.system().await.unwrap();
    let limited = heard(account, 30, FailureCode::RateLimited);
    autopause::note(&mut one, &limited).await.unwrap();
    let unreachable = heard(account, 5, FailureCode::Unreachable);
    autopause::note(&mut one, &unreachable).await.unwrap();
    assert_eq!(health(&app, account).await["state"], "running");
    autopause::note(&mut other, &unreachable).await.unwrap();
    let paused = health(&app, account).await;
    assert_eq!(paused["state"], "paused");
    assert_eq!(
        paused["reason"],
        "Paused by itself: 10 messages in a row could not be sent. Nothing listens at waha port 3000."
    );
    app.holds().await;
}

#[tokio::test]
async fn a_person_s_pause_is_not_ended_by_the_account_itself() {
    let (app, waha, account, _) = failing("error_before", 12).await;
    deliver_until(&app, "paused", "auto").await;
    let paused = app
        .ok("POST", &format!("/accounts/{account}/pause"), None)
        .await;
    assert_eq!(paused["health"]["reason"], "Paused by a person.");
    assert!(paused["health"]["next_try_at"].is_null());
    app.advance(TimeDelta::hours(2)).await;
    assert!(!autopause::look(&app.app).await.unwrap());
    // A person who resumes it forgets what was.
    heal(&waha).await;
    app.ok("POST", &format!("/accounts/{account}/resume"), None)
        .await;
    assert_eq!(app.value("SELECT recent FROM account_recent").await, "");
    app.holds().await;
}

async fn set_by_the_form(app: &TestApp, account: i64) {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    let path = format!("/accounts/{account}");
    let form = browser.get(&path).await.form(&path);
    assert_eq!(form.get("auto_pause_percent"), "10");
    let wrong = form.clone().set("auto_pause_percent", "0");
    let refused = browser.submit(wrong).await.text();
    assert!(
        refused.contains("a whole number from 1 to 100"),
        "{refused}"
    );
    browser.submit(form.set("auto_pause_percent", "5")).await;
    let shown = app.ok("GET", &path, None).await;
    assert_eq!(shown["auto_pause_percent"], 5);
}

#[tokio::test]
async fn a_mailing_whose_content_is_refused_pauses_with_the_reason() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let (account, mailing) = begun(&app, &waha, 5).await;
    let id = app.value("SELECT min(id) FROM outgoing").await;
    let refused = Outcome {
        id: OutgoingId(id.parse().unwrap()),
        result: Err(SendError::MailingStop {
            code: FailureCode::TemplateRequired,
            reason: "The template promo is paused.".to_owned(),
        }),
        ..heard(account, 1, FailureCode::Unreachable).remove(0)
    };
    let mut conn = app.app.db.system().await.unwrap();
    stops::note(&mut conn, &[refused]).await.unwrap();
    assert_eq!(stop::all(&app.app).await.unwrap(), 1);
    assert_eq!(stop::all(&app.app).await.unwrap(), 0);
    let shown = app.show(mailing).await;
    assert_eq!(shown["state"], "paused");
    assert_eq!(shown["state_reason"], "The template promo is paused.");
    let resumed = app
        .ok("POST", &format!("/mailings/{mailing}/resume"), None)
        .await;
    assert_eq!(resumed["state"], "sending");
    assert!(resumed["state_reason"].is_null(), "{resumed}");
}

#[tokio::test]
async fn a_tenth_of_the_last_two_hundred_pauses_and_the_share_is_the_account_s() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let (account, mailing) = begun(&app, &waha, 60).await;
    app.execute("UPDATE accounts SET per_second = 200").await;
    set_by_the_form(&app, account).await;
    // Every third is refused: the eleventh passes five percent of 200.
    let numbers: serde_json::Map<String, Value> = (0..60)
        .filter(|n| n % 3 == 0)
        .map(|n| ((6_281_200_000_000_i64 + n).to_string(), json!("refused")))
        .collect();
    tell(&waha, "/simulator/faults", &json!({ "numbers": numbers })).await;
    deliver_until(&app, "paused", "auto").await;
    let reason = health(&app, account).await["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        reason.contains("messages failed or are uncertain"),
        "{reason}"
    );
    let counts = app.show(mailing).await["counts"].clone();
    assert!(counts["failed"].as_i64().unwrap() < 20, "{counts}");
    assert!(counts["queued"].as_i64().unwrap() > 0, "{counts}");
}

#[tokio::test]
async fn what_is_known_later_counts_too() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        acks: false,
        ..Options::default()
    })
    .await;
    let (account, mailing) = begun(&app, &waha, 60).await;
    app.execute("UPDATE accounts SET per_second = 5000, burst = 5000")
        .await;
    app.deliver(mailing).await;
    let receipts = |ids: &str| {
        let ids = format!("SELECT string_agg(provider_id, ' ') FROM outgoing WHERE {ids}");
        let (app, account) = (&app, AccountId(account));
        async move {
            let found = app.value(&ids).await;
            let receipt = |reference: &str| Receipt {
                account,
                reference: reference.to_owned(),
                rank: Rank::Failed,
                at: app.app.clock.now(),
            };
            let all: Vec<Receipt> = found.split(' ').map(receipt).collect();
            let mut conn = app.app.db.system().await.unwrap();
            receipts::apply(&mut conn, &all).await.unwrap();
            autopause::look(&app.app).await.unwrap();
        }
    };
    let six = "id IN (SELECT id FROM outgoing ORDER BY id LIMIT 6)";
    receipts(six).await;
    assert_eq!(health(&app, account).await["state"], "running");
    // Said again it is the same.
    receipts(six).await;
    assert_eq!(
        app.value("SELECT recent FROM account_recent").await,
        "ffffff"
    );
    receipts("id IN (SELECT id FROM outgoing ORDER BY id LIMIT 7)").await;
    let paused = health(&app, account).await;
    assert_eq!(paused["state"], "paused");
    let reason = paused["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("Paused by itself: 7 of the last 60 messages failed"),
        "{reason}"
    );
    assert_eq!(app.value("SELECT count(*) FROM late_marks").await, "0");
}

#[tokio::test]
async fn worker_after_worker_that_is_gone_pauses_the_account_and_one_does_not() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let (account, _) = begun(&app, &waha, 50).await;
    for gone in 1..=5 {
        // Ten at a time were under way.
        app.execute(
            "WITH begun AS (
               UPDATE outgoing SET state = 'sending', attempts = 1, fence = 1, owner = gen_random_uuid(), lease_until = wablast_now() - interval '1 minute'
               WHERE id IN (SELECT id FROM outgoing WHERE state = 'queued' ORDER BY id LIMIT 10) RETURNING *)
             INSERT INTO attempts (company_id, account_id, outgoing_id, log_id, fence, begun_at)
             SELECT company_id, account_id, id, log_id, 1, wablast_now() FROM begun",
        )
        .await;
        deliver::reap_once(&app.app).await.unwrap();
        autopause::look(&app.app).await.unwrap();
        let state = health(&app, account).await["state"].clone();
        assert_eq!(state == "paused", gone == 5, "{gone}: {state}");
    }
    app.holds().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_even_be_asked_pauses_the_account() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let (account, mailing) = begun(&app, &waha, 3).await;
    waha.stop().await;
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("the account has paused itself", || async {
        // Nobody waits for its patience here.
        app.execute("UPDATE account_pace SET blocked_until = NULL")
            .await;
        health(&app, account).await["state"] == "paused"
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    let reason = health(&app, account).await["reason"].clone();
    let reason = reason.as_str().unwrap();
    assert!(
        reason.starts_with("Paused by itself: 10 messages in a row could not be sent."),
        "{reason}"
    );
    assert_eq!(app.show(mailing).await["counts"]["queued"], 3);
    app.holds().await;
}
