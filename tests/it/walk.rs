//! The product as a person meets it, in Debian's Chromium: from the first start to a second mailing
//! that leaves out who said STOP, and a scheduled one across an outage.

use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::watch;
use wablast::outgoing::deliver;
use wablast::settings;
use wablast::simulator::{Options, Running};

use crate::support::chromium::Chromium;
use crate::support::{TestApp, arrived, simulator, tell};

/// As a shop keeps it: semicolons, numbers as people write them, one row that cannot be reached.
const MEMBERS: &str = "\u{feff}Nama;No. HP;Kota;Poin\r\n\
    Siti Rahmawati;0812 5550 0147;Bandung;340\r\n\
    Bambang Hermanto;+62 811-5550-0073;Bandung;120\r\n\
    I Gusti Ayu Putri Maharani Dewanti;6281955503310;Ubud;\r\n\
    Tanpa Nomor;12;Cimahi;5\r\n";

async fn set_up(browser: &Chromium, app: &TestApp) {
    let token = settings::new_setup_token(&app.app).await.unwrap().unwrap();
    browser.goto(&format!("/setup?token={token}")).await;
    for (field, value) in [
        ("company", "Batik Sekar Arum"),
        ("name", "Dewi Kartikasari"),
        ("email", "dewi@example.com"),
        ("password", "a sentence only I know"),
    ] {
        browser.fill(field, value).await;
    }
    browser.press("main form button").await;
    browser.reads("Everything is ready").await;
}

/// Makes the account, sees five things that can be wrong with it named in words, and then none.
async fn connect(browser: &Chromium, app: &TestApp, waha: &Running) {
    assert_eq!(browser.path().await, "/accounts/new");
    browser.fill("name", "Toko Bandung").await;
    browser.fill("api_url", &waha.url()).await;
    browser.fill("api_key", "not the key").await;
    browser.fill("per_second", "500").await;
    browser.fill("burst", "500").await;
    browser.press_named("Create account").await;
    browser.reads("It is not shown again").await;
    let key = browser
        .script("return document.querySelector('.notice-amber .copy code').textContent")
        .await;
    let hook = app.value("SELECT account_key FROM accounts").await;
    tell(
        waha,
        "/simulator/webhook",
        &json!({ "url": format!("{}/webhooks/waha/{hook}", app.address), "hmac_key": key }),
    )
    .await;

    let test = "WAHA does not accept the API key";
    test_account(browser).await;
    browser.reads(test).await;
    let port = crate::support::instance::free_port();
    let wrong: [(&str, String, &str); 3] = [
        (
            "api_url",
            format!("http://127.0.0.1:{port}"),
            "Nothing listens at 127.0.0.1",
        ),
        (
            "api_url",
            "http://waha.invalid:3000".to_owned(),
            "The name waha.invalid is not known",
        ),
        ("api_url", app.address.clone(), "is not WAHA"),
    ];
    for (field, value, words) in wrong {
        browser.fill(field, &value).await;
        save(browser).await;
        test_account(browser).await;
        browser.reads(words).await;
    }
    browser.fill("api_url", &waha.url()).await;
    browser.press(".secret-edit > summary").await;
    browser.fill("api_key", "simulator-key").await;
    save(browser).await;
    browser.reads("Untested since").await;
    tell(
        waha,
        "/simulator/session",
        &json!({ "status": "SCAN_QR_CODE" }),
    )
    .await;
    test_account(browser).await;
    browser.reads("scan the QR code with the phone").await;
    tell(waha, "/simulator/session", &json!({ "status": "WORKING" })).await;
    test_account(browser).await;
    browser.reads("Connected as +").await;
    assert!(!browser.text().await.contains("Untested since"));
}

async fn test_account(browser: &Chromium) {
    browser.goto("/accounts/1").await;
    browser.press_named("Test WAHA Credentials").await;
    browser.arrives("test").await;
}

async fn save(browser: &Chromium) {
    browser.press(".savebar button").await;
    browser.reads("The account is saved").await;
    let path = browser.path().await;
    browser.goto(&path).await;
}

async fn import(browser: &Chromium, folder: &std::path::Path) {
    let file = folder.join("members.csv");
    std::fs::write(&file, MEMBERS).unwrap();
    browser.goto("/lists/new").await;
    browser.fill("name", "Member Bandung").await;
    browser
        .press("main button.btn-primary, .actions button.btn-primary")
        .await;
    browser.reads("Member Bandung").await;
    browser.goto("/imports/new").await;
    browser.upload("file", &file).await;
    browser.tick("list_ids", "1").await;
    browser.press("button[form=import]").await;
    browser.reads("Nama").await;
    browser.press("button[form=run]").await;
    browser.reads("members.csv").await;
    browser.reads("Tanpa Nomor").await;
}

/// Fills a mailing to the list, with the figures beside it following what is typed.
async fn compose(browser: &Chromium, subject: &str, message: &str) {
    browser.goto("/mailings/new").await;
    browser.fill("subject", subject).await;
    browser.set("account_id", "1").await;
    browser.tick("list_ids", "1").await;
    browser.fill("message", message).await;
}

async fn runs(app: &TestApp) -> watch::Sender<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(deliver::run(app.app.clone(), stopped));
    stop
}

async fn count(app: &TestApp, query: &str) -> i64 {
    app.value(query).await.parse().unwrap()
}

#[tokio::test]
async fn from_the_first_start_to_a_mailing_that_leaves_out_who_said_stop() {
    let app = TestApp::bare().await;
    let waha = simulator(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let browser = Chromium::start(&app.address).await;

    set_up(&browser, &app).await;
    connect(&browser, &app, &waha).await;
    import(&browser, folder.path()).await;

    compose(
        &browser,
        "Promo Parang",
        "Halo {{contact.name}}, poin Anda {{contact.poin|0}}.",
    )
    .await;
    browser.reads("3 of 3 people").await;
    browser.reads("Halo Bambang Hermanto, poin Anda 120.").await;
    browser.press("button[form=mailing][value=send_now]").await;
    browser.reads("Send to 3 people").await;
    browser.press("[data-dialog] button.btn-primary").await;
    browser.reads("Promo Parang").await;
    let stop = runs(&app).await;
    app.until("all three are delivered", || async {
        wablast::mailings::release::advance(&app.app).await.unwrap();
        app.apply_webhooks().await;
        count(
            &app,
            "SELECT count(*) FROM outgoing WHERE state IN ('delivered', 'read')",
        )
        .await
            == 3
    })
    .await;
    wablast::mailings::settle::all(&app.app).await.unwrap();
    browser.goto("/logs").await;
    browser.press("table.list tbody th a").await;
    browser.reads("Promo Parang").await;
    browser.reads("Done").await;
    browser.reads("Delivered").await;
    assert_eq!(arrived(&waha).await["total"], 3);

    tell(
        &waha,
        "/simulator/incoming",
        &json!({ "from": "6281255500147", "text": "stop", "name": "Siti" }),
    )
    .await;
    app.until("the STOP is applied", || async {
        app.apply_webhooks().await;
        count(&app, "SELECT count(*) FROM contacts WHERE opt_out").await == 1
    })
    .await;
    browser.goto("/incoming?g=").await;
    browser.reads("Siti Rahmawati").await;
    browser.press("table.list tbody th a").await;
    browser.reads("Undo").await;

    compose(&browser, "Promo Kebaya", "Halo {{contact.name}}").await;
    browser.reads("2 of 3 people").await;
    browser.reads("Opted out").await;
    browser.press("button[form=mailing][value=send_now]").await;
    browser.reads("Send to 2 people").await;
    browser.press("[data-dialog] button.btn-primary").await;
    app.until("the two others have it", || async {
        wablast::mailings::release::advance(&app.app).await.unwrap();
        count(
            &app,
            "SELECT count(*) FROM outgoing WHERE accepted_at IS NOT NULL",
        )
        .await
            == 5
    })
    .await;
    browser.goto("/outgoing?f=skipped").await;
    browser.reads("Siti Rahmawati").await;
    browser.reads("Opted out").await;
    assert_eq!(arrived(&waha).await["total"], 5);

    scheduled(&browser, &app, &waha).await;
    let _ = stop.send(true);
    assert_eq!(browser.faults().await, Vec::<String>::new());
    browser.close().await;
}

/// *Submit to Scheduler*: never early, and released after an outage of hours.
async fn scheduled(browser: &Chromium, app: &TestApp, waha: &Running) {
    compose(browser, "Promo Besok", "Halo lagi {{contact.name}}").await;
    let date = (app.app.clock.now() + TimeDelta::hours(2)).with_timezone(&chrono_tz::Asia::Jakarta);
    browser
        .set("schedule_date", &date.format("%Y-%m-%dT%H:%M").to_string())
        .await;
    browser.reads("2 of 3 people").await;
    browser.press("button[form=mailing][value=submit]").await;
    browser.reads("Submitted").await;
    let state =
        "SELECT count(*) FROM mailings WHERE subject = 'Promo Besok' AND state = 'submitted'";
    assert_eq!(count(app, state).await, 1);
    app.advance(TimeDelta::minutes(115)).await;
    app.tick().await;
    assert_eq!(count(app, state).await, 1, "five minutes early is early");
    // Nothing ran for five hours; the next look finds it.
    app.advance(TimeDelta::hours(5)).await;
    app.tick().await;
    app.until("it is sent after the outage", || async {
        wablast::mailings::release::advance(&app.app).await.unwrap();
        count(
            app,
            "SELECT count(*) FROM outgoing WHERE accepted_at IS NOT NULL",
        )
        .await
            == 7
    })
    .await;
    assert_eq!(arrived(waha).await["total"], 7);
}
