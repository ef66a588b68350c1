//! Uncertain messages, where the account may send again by itself what WhatsApp proves not to have got.

use chrono::TimeDelta;
use serde_json::json;
use wablast::mailings::proven;
use wablast::simulator::{Options, Running};

use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator, tell};

/// Six people; the first never gets it and the second does, and of both nobody knows.
async fn uncertain(policy: bool) -> (TestApp, Running, i64, i64) {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        version: "2026.2.1".into(),
        acks: false,
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    app.execute(&format!("UPDATE accounts SET resend_proven = {policy}"))
        .await;
    let faults =
        json!({ "numbers": { "6281200000000": "error_before", "6281200000001": "error_after" } });
    tell(&waha, "/simulator/faults", &faults).await;
    let list = app.list_of(6).await;
    let mailing = app.mailing(account, list, "Hello {{contact.name}}").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    let sent = app.deliver(mailing).await;
    assert_eq!(sent["counts"]["uncertain"], 2, "{sent}");
    tell(&waha, "/simulator/faults", &json!({})).await;
    (app, waha, account, mailing)
}

async fn state(app: &TestApp, number: &str) -> String {
    app.value(&format!(
        "SELECT state FROM outgoing WHERE number = '{number}'"
    ))
    .await
}

/// Looks now, and `seconds` later once more.
async fn looks(app: &TestApp, seconds: &[i64]) -> usize {
    let mut gone = proven::look(&app.app).await.unwrap();
    for later in seconds {
        app.advance(TimeDelta::seconds(*later)).await;
        gone += proven::look(&app.app).await.unwrap();
    }
    gone
}

#[tokio::test]
async fn what_arrived_is_found_and_what_did_not_goes_again_once_it_is_proven() {
    let (app, waha, account, mailing) = uncertain(true).await;
    assert_eq!(looks(&app, &[]).await, 0);
    assert_eq!(state(&app, "6281200000001").await, "accepted");
    // Nothing of the other, but nine minutes are not ten.
    assert_eq!(looks(&app, &[70, 400, 70]).await, 0);
    assert_eq!(state(&app, "6281200000000").await, "uncertain");
    assert_eq!(looks(&app, &[70]).await, 1);
    assert_eq!(state(&app, "6281200000000").await, "queued");
    assert_eq!(app.show(mailing).await["state"], "sending");
    let sent = app.deliver(mailing).await;
    assert_eq!(sent["state"], "done", "{sent}");
    assert_eq!(sent["counts"]["accepted"], 6, "{sent}");
    let arrived = arrived(&waha).await;
    assert_eq!(
        (&arrived["total"], &arrived["doubled"]),
        (&json!(6), &json!(0))
    );
    assert_eq!(looks(&app, &[70]).await, 0);
    assert_eq!(app.value("SELECT count(*) FROM look_ups").await, "0");

    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/mailings/{mailing}")).await.text();
    assert!(
        page.contains("WhatsApp proved that nothing had arrived"),
        "{page}"
    );
    let trigger =
        "SELECT trigger || coalesce(user_id::text, '') FROM logs ORDER BY id DESC LIMIT 1";
    assert_eq!(app.value(trigger).await, "resend");
    set_by_the_form(&mut browser, &app, account).await;
}

async fn set_by_the_form(browser: &mut Browser, app: &TestApp, account: i64) {
    let path = format!("/accounts/{account}");
    let page = browser.get(&path).await;
    assert!(page.text().contains("somebody gets it twice"));
    browser
        .submit(page.form(&path).without("resend_proven"))
        .await;
    assert_eq!(app.ok("GET", &path, None).await["resend_proven"], false);
}

#[tokio::test]
async fn without_the_policy_nothing_is_even_looked_for() {
    let (app, waha, _, mailing) = uncertain(false).await;
    assert_eq!(looks(&app, &[70, 600, 70]).await, 0);
    assert_eq!(app.value("SELECT count(*) FROM look_ups").await, "0");
    assert_eq!(app.show(mailing).await["counts"]["uncertain"], 2);
    assert_eq!(arrived(&waha).await["total"], 5);
}

#[tokio::test]
async fn a_session_that_broke_meanwhile_proves_nothing() {
    let (app, waha, _, mailing) = uncertain(true).await;
    assert_eq!(looks(&app, &[70]).await, 0);
    // It is seen not to work, and works again.
    tell(&waha, "/simulator/session", &json!({ "status": "STOPPED" })).await;
    assert_eq!(looks(&app, &[70]).await, 0);
    tell(&waha, "/simulator/session", &json!({ "status": "WORKING" })).await;
    assert_eq!(looks(&app, &[70, 600, 70, 70]).await, 0);
    assert_eq!(state(&app, "6281200000000").await, "uncertain");
    assert_eq!(app.show(mailing).await["counts"]["queued"], 0);
}

#[tokio::test]
async fn a_list_that_shows_nothing_at_all_proves_nothing_and_neither_does_a_worker_that_is_gone() {
    let (app, waha, _, mailing) = uncertain(true).await;
    // The gateway's store was emptied: one of the two did arrive.
    tell(&waha, "/simulator/reset", &json!({})).await;
    assert_eq!(looks(&app, &[70, 600, 70, 600, 70]).await, 0);
    assert_eq!(app.show(mailing).await["counts"]["uncertain"], 2);

    let (app, _waha, _, _) = uncertain(true).await;
    // Nobody noted the end of its request.
    app.execute("UPDATE attempts SET ended_at = NULL WHERE outcome = 'uncertain'")
        .await;
    assert_eq!(looks(&app, &[70, 600, 70, 70]).await, 0);
    assert_eq!(state(&app, "6281200000000").await, "uncertain");
}
