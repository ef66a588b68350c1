//! Gateways as an administrator sees them in Debian's Chromium: a phone linked by its code, a session lost and
//! restored, an account that rests by itself, a flow that is switched off and on again.

use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::watch;
use wablast::mailings::{release, settle};
use wablast::outgoing::deliver;
use wablast::simulator::{Options, Running};

use crate::support::chromium::Chromium;
use crate::support::{EMAIL, PASSWORD, TestApp, arrived, simulator, tell};

async fn signed_in(app: &TestApp) -> Chromium {
    let browser = Chromium::start(&app.address).await;
    browser.goto("/login").await;
    browser.fill("email", EMAIL).await;
    browser.fill("password", PASSWORD).await;
    browser.press("main button[type=submit]").await;
    browser.reads("Broadcasts").await;
    browser
}

/// A mailing that has begun, and our deliverer at work.
async fn sending(app: &TestApp, account: i64, people: usize) -> (i64, watch::Sender<bool>) {
    let list = app.list_of(people).await;
    let mailing = app.mailing(account, list, "Halo {{contact.name}}").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(deliver::run(app.app.clone(), stopped));
    (mailing, stop)
}

async fn health(app: &TestApp, wanted: &str) {
    app.until(&format!("the account is {wanted}"), || async {
        app.apply_webhooks().await;
        app.value("SELECT health FROM accounts").await == wanted
    })
    .await;
}

/// Everybody has it, once.
async fn all_have_it(app: &TestApp, gateway: &Running, mailing: i64, people: usize) {
    app.until("everybody has it", || async {
        arrived(gateway).await["total"] == people
    })
    .await;
    app.until("it is done", || async {
        app.apply_webhooks().await;
        settle::all(&app.app).await.unwrap();
        app.show(mailing).await["state"] == "done"
    })
    .await;
    assert_eq!(arrived(gateway).await["doubled"], 0);
}

#[tokio::test]
async fn a_phone_is_linked_by_its_code_and_a_lost_session_is_brought_back() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let own = format!("/accounts/{account}");
    let scan = json!({ "status": "SCAN_QR_CODE" });
    tell(&waha, "/simulator/session", &scan).await;
    let browser = signed_in(&app).await;
    browser.goto(&own).await;
    browser.reads("Waits for the phone").await;
    browser.reads("Tap Link a device").await;
    let drawn = "const code = document.querySelector('img.qr'); return !!code && code.complete && code.naturalWidth > 100";
    app.until("the code is drawn", || async {
        browser.script(drawn).await == json!(true)
    })
    .await;
    let left = browser
        .script("return document.querySelector('#session [data-countdown]').textContent")
        .await;
    let left = left.as_str().unwrap().to_owned();
    assert!(left.starts_with("0:") && left.len() == 4, "{left}");
    // The page notices by itself.
    tell(&waha, "/simulator/scan", &json!({})).await;
    browser.reads("The phone is linked").await;
    browser.reads("+62 899 0000 001").await;

    tell(&waha, "/simulator/session", &json!({ "status": "FAILED" })).await;
    let (mailing, stop) = sending(&app, account, 3).await;
    health(&app, "stopped").await;
    browser.goto(&own).await;
    browser.reads("Nothing leaves through this account.").await;
    browser.reads("Press Restart session").await;
    browser.goto(&format!("/mailings/{mailing}")).await;
    browser.reads("Sending").await;
    browser.goto(&own).await;
    browser.press_named("Restart session").await;
    browser.reads("The session restarts.").await;
    browser.reads("The phone is linked").await;
    health(&app, "running").await;
    all_have_it(&app, &waha, mailing, 3).await;
    let _ = stop.send(true);
    assert_eq!(browser.faults().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn an_account_that_rests_by_itself_says_why_and_goes_on() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        version: "2026.2.1".into(),
        acks: false,
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    app.execute("UPDATE accounts SET per_second = 20, burst = 1")
        .await;
    let faults = json!({ "share": { "error_after": 1.0 } });
    tell(&waha, "/simulator/faults", &faults).await;
    let (mailing, stop) = sending(&app, account, 12).await;
    health(&app, "paused").await;
    let browser = signed_in(&app).await;
    browser.goto(&format!("/accounts/{account}")).await;
    browser
        .reads("Paused by itself: of 5 messages in a row nobody knows whether they arrived.")
        .await;
    browser.goto(&format!("/mailings/{mailing}")).await;
    browser.reads("Paused by itself").await;
    tell(&waha, "/simulator/faults", &json!({})).await;
    browser.goto(&format!("/accounts/{account}")).await;
    browser.press_named("Resume").await;
    app.until("the rest has left", || async {
        app.value("SELECT count(*) FROM outgoing WHERE state IN ('queued', 'claimed', 'sending')")
            .await
            == "0"
    })
    .await;
    assert_eq!(arrived(&waha).await["doubled"], 0);
    assert_eq!(arrived(&waha).await["total"], 12);
    browser.goto(&format!("/mailings/{mailing}")).await;
    browser.reads("Uncertain").await;
    let _ = stop.send(true);
    assert_eq!(browser.faults().await, Vec::<String>::new());
    browser.close().await;
}

#[tokio::test]
async fn a_flow_that_is_switched_off_says_so_and_goes_on_once_it_is_on() {
    let app = TestApp::new().await;
    let n8n = simulator(Options::default()).await;
    let account = json!({ "name": "Flow", "provider": "waha", "send_through": "webhook", "delivery": "direct",
        "webhook_url": format!("{}/webhook/wa-blast", n8n.url()), "pace": { "per_second": 500, "burst": 500 } });
    let account = app.ok("POST", "/accounts", Some(&account)).await["id"]
        .as_i64()
        .unwrap();
    let off = json!({ "mode": "inactive", "report": "never" });
    tell(&n8n, "/simulator/flow", &off).await;
    let (mailing, stop) = sending(&app, account, 3).await;
    health(&app, "stopped").await;
    let browser = signed_in(&app).await;
    browser.goto(&format!("/accounts/{account}")).await;
    browser.reads("Nothing leaves through this account.").await;
    browser.reads("Activate it in n8n").await;
    browser.press_named("Test webhook").await;
    browser.reads("Activate it in n8n").await;
    let on = json!({ "mode": "success", "report": "never" });
    tell(&n8n, "/simulator/flow", &on).await;
    browser.press_named("Test webhook").await;
    browser.reads("The workflow is active and takes POST").await;
    health(&app, "running").await;
    app.advance(TimeDelta::seconds(61)).await;
    all_have_it(&app, &n8n, mailing, 3).await;
    browser.goto(&format!("/mailings/{mailing}")).await;
    browser.reads("Done").await;
    let _ = stop.send(true);
    assert_eq!(browser.faults().await, Vec::<String>::new());
    browser.close().await;
}
