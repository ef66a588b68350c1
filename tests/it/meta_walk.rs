//! The official road as a person walks it, in Debian's Chromium: from the account's form to a mailing that was paused
//! in the middle because Meta paused its template, and its receipts and cost on the log.

use fantoccini::Locator;
use tokio::sync::watch;
use wablast::mailings::{release, settle, stop};
use wablast::outgoing::deliver;
use wablast::simulator::meta::{PHONES, WABA};
use wablast::simulator::{Options, Running, Webhook};

use crate::support::chromium::Chromium;
use crate::support::{EMAIL, PASSWORD, TestApp, arrived, simulator};

const SECRET: &str = "the-app-secret";
const PEOPLE: usize = 30;

async fn sign_in(browser: &Chromium) {
    browser.goto("/login").await;
    browser.fill("email", EMAIL).await;
    browser.fill("password", PASSWORD).await;
    browser.press("main button[type=submit]").await;
    browser.reads("Mailings").await;
}

/// Creates the account, tests it, subscribes the app and copies the templates.
async fn connect(browser: &Chromium, app: &TestApp, meta: &Running) {
    browser.goto("/accounts/new").await;
    browser.fill("name", "Toko Resmi").await;
    browser.tick("provider", "meta").await;
    for (field, value) in [
        ("app_uid", "42"),
        ("app_secret", SECRET),
        ("base_url", meta.url().as_str()),
        ("account_uid", WABA),
        ("phone_uid", PHONES[0]),
        ("token", "simulator-key"),
        // Ten at once, then one every two seconds: slow enough to be stopped by hand.
        ("burst", "10"),
        ("per_second", "0.5"),
    ] {
        browser.fill(field, value).await;
    }
    browser.press_named("Create account").await;
    browser.reads("Press Test connection").await;
    let key = app.value("SELECT account_key FROM accounts").await;
    let shown = browser.text().await;
    assert!(shown.contains(&format!("/webhooks/meta/{key}")), "{shown}");
    meta.post_meta_to(Webhook {
        url: format!("{}/webhooks/meta/{key}", app.address),
        hmac_key: SECRET.to_owned(),
    });
    browser.press_through("Test connection").await;
    browser.reads("Press Subscribe app").await;
    browser.reads("The last test found something to mend").await;
    assert!(!browser.text().await.contains("Untested since"));
    browser.press_through("Subscribe app").await;
    browser
        .reads("Meta posts this account's events from now on")
        .await;
    browser.press_through("Test connection").await;
    browser.reads("An app receives the events").await;
    browser.reads("100,000 people in 24 hours").await;
    let shown = browser.text().await;
    assert!(
        !shown.contains("something to mend") && shown.contains("Simulated Shop"),
        "{shown}"
    );
    browser.press_through("Sync templates").await;
    browser.reads("5 new, 0 known").await;
}

/// What stands at the variable of this number on the form, from 1.
async fn maps(browser: &Chromium, place: usize, text: &str) {
    let id = format!("f-place-{place}");
    let field = browser.client.find(Locator::Id(&id)).await.unwrap();
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
}

/// Writes the mailing on its template, looks at preview and figures, and sends it.
async fn compose(browser: &Chromium, template: &str) {
    browser.goto("/templates").await;
    browser.reads("weekend_promo").await;
    browser.goto("/mailings/new").await;
    browser.fill("subject", "Promo resmi").await;
    browser.tick("list_ids", "1").await;
    browser.set("template_id", template).await;
    browser.reads("Say what stands at its variables").await;
    maps(browser, 1, "{{contact.name|Kak}}").await;
    maps(browser, 2, "{{contact.diskon|10 %}}").await;
    maps(browser, 3, "promo").await;
    // A field, an attribute, a text; the last person has no attribute and gets the fallback.
    browser
        .reads("Halo P0, diskon 25 % untuk semua batik")
        .await;
    browser.reads("30 of 30 people").await;
    browser.reads("USD 1.23").await;
    let last = browser
        .script("return [...document.querySelectorAll('#f-as option')].find(o => o.textContent === 'P29').value")
        .await;
    browser.set("as", last.as_str().unwrap()).await;
    browser.reads("Halo P29, diskon 10 %").await;
    browser.press("button[form=mailing][value=send_now]").await;
    browser.reads("Send to 30 people").await;
    browser.press("[data-dialog] button.btn-primary").await;
    browser.reads("Promo resmi").await;
}

/// Everything the simulator had to tell has been told and applied.
async fn told(app: &TestApp, meta: &Running) {
    app.until("every event was posted", || async { meta.is_quiet() })
        .await;
    app.apply_webhooks().await;
}

#[tokio::test]
async fn meta_is_walked_from_the_account_to_a_mailing_whose_template_paused_in_the_middle() {
    let app = TestApp::new().await;
    let meta = simulator(Options::default()).await;
    app.list_of(PEOPLE).await;
    app.execute("UPDATE contacts SET attributes = '{\"diskon\": \"25 %\"}' WHERE name <> 'P29'")
        .await;
    let browser = Chromium::start(&app.address).await;
    sign_in(&browser).await;
    connect(&browser, &app, &meta).await;
    let template = app
        .value("SELECT id FROM templates WHERE name = 'weekend_promo'")
        .await;
    compose(&browser, &template).await;

    let (stop, stopped) = watch::channel(false);
    tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("the first ten have theirs", || async {
        release::advance(&app.app).await.unwrap();
        arrived(&meta).await["total"].as_u64() >= Some(10)
    })
    .await;
    meta.template_becomes("weekend_promo", "PAUSED", "Low quality.");
    told(&app, &meta).await;
    stop::all(&app.app).await.unwrap();
    browser
        .reads("The template weekend_promo is paused at Meta: Low quality.")
        .await;
    let before = arrived(&meta).await["total"].as_u64().unwrap();
    assert!(before < PEOPLE as u64, "{before}");
    // It says so where the template is, too.
    browser.goto(&format!("/templates/{template}")).await;
    browser.reads("Low quality.").await;

    meta.template_becomes("weekend_promo", "APPROVED", "");
    told(&app, &meta).await;
    app.execute("UPDATE accounts SET per_second = 500, burst = 500, updated_at = wablast_now()")
        .await;
    let mailing = app.value("SELECT id FROM mailings").await;
    browser.goto(&format!("/mailings/{mailing}")).await;
    browser.press_named("Resume").await;
    app.until("all have read it", || async {
        app.apply_webhooks().await;
        app.value("SELECT count(*) FROM outgoing WHERE state = 'read'")
            .await
            == PEOPLE.to_string()
    })
    .await;
    stop.send(true).unwrap();
    settle::all(&app.app).await.unwrap();
    browser.goto("/logs").await;
    browser.press("table.list tbody th a").await;
    browser.reads("Promo resmi").await;
    browser.reads("Done").await;
    browser.reads("Read").await;
    // Thirty times the price of Indonesia.
    browser.reads("USD 1.23").await;
    let arrived = arrived(&meta).await;
    assert_eq!(
        (&arrived["total"], &arrived["doubled"]),
        (&serde_json::json!(30), &serde_json::json!(0))
    );
    app.holds().await;
    assert_eq!(browser.faults().await, Vec::<String>::new());
    browser.close().await;
}
