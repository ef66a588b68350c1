//! What Meta charges: by the card before a mailing goes, by what Meta reports afterwards; and how many people a
//! business may write first to.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::watch;
use wablast::mailings::release;
use wablast::outgoing::{deliver, reach};
use wablast::simulator::Options;

use crate::meta::{promo, ready, send, told};
use crate::support::browser::Browser;
use crate::support::{TestApp, arrived};

async fn preflight(app: &TestApp, mailing: i64) -> Value {
    app.ok("GET", &format!("/mailings/{mailing}/preflight"), None)
        .await
}

/// The sums as the rows have them.
async fn recount(app: &TestApp) -> String {
    app.value(
        "SELECT string_agg(concat_ws(' ', mailing_id, log_id, currency, category, micros, messages), '; ' ORDER BY mailing_id, log_id, currency)
         FROM (SELECT mailing_id, log_id, currency, category, sum(micros) AS micros, count(*) AS messages FROM charges GROUP BY 1, 2, 3, 4) c",
    )
    .await
}

async fn sums(app: &TestApp) -> String {
    app.value(
        "SELECT string_agg(concat_ws(' ', mailing_id, log_id, currency, category, micros, messages), '; ' ORDER BY mailing_id, log_id, currency)
         FROM charge_sums",
    )
    .await
}

#[tokio::test]
async fn rates_a_mailing_says_what_it_will_cost_and_what_it_did() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(5).await;
    let mailing = promo(&app, account, list).await;
    let before = preflight(&app, mailing).await;
    // Five people in Indonesia, marketing.
    assert_eq!(
        before["cost"],
        json!({ "currency": "USD", "micros": 5 * 41_100, "category": "marketing", "since": "2025-07-01", "without_price": 0 })
    );
    let shown = send(&app, &meta, mailing).await;
    let cost = json!([{ "currency": "USD", "category": "marketing", "micros": 5 * 41_100, "messages": 5, "free": 0, "without_price": 0 }]);
    assert_eq!(shown["cost"], cost);
    // The same news again costs nothing.
    app.execute("UPDATE inbox SET state = 'new', applied_at = NULL WHERE source = 'meta'")
        .await;
    told(&app, &meta).await;
    assert_eq!(app.show(mailing).await["cost"], cost);
    assert_eq!(sums(&app).await, recount(&app).await);
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    assert!(page.text().contains("USD 0.2055"), "{}", page.text());
    let log = app.value("SELECT max(id) FROM logs").await;
    let page = browser.get(&format!("/logs/{log}")).await;
    assert!(page.text().contains("USD 0.2055"), "{}", page.text());
}

#[tokio::test]
async fn rates_free_text_costs_what_an_answer_costs() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(2).await;
    meta.somebody_writes_to_meta("6281200000000", "P0", "Halo");
    told(&app, &meta).await;
    let mailing = app.mailing(account, list, "Halo juga").await;
    let before = preflight(&app, mailing).await;
    assert_eq!(
        (
            &before["will_send"],
            &before["cost"]["micros"],
            &before["cost"]["category"]
        ),
        (&json!(1), &json!(20_000), &json!("service")),
        "{before}"
    );
    // An open window is nobody written to first.
    assert_eq!(before["reach"], Value::Null);
}

#[tokio::test]
async fn rates_a_company_puts_its_own_prices_in_place_and_what_was_sent_keeps_its_own() {
    let (app, meta, account) = ready(Options::default()).await;
    let first = promo(&app, account, app.list_of(2).await).await;
    send(&app, &meta, first).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let list = browser.get("/rates?q=indonesia").await;
    assert!(list.text().contains("0.0411"), "{}", list.text());
    let card = browser.get("/rates/card").await;
    let form = card
        .form("/rates/card")
        .set("currency", "idr")
        .set("since", "2026-10-01")
        .set("source", "Our invoice");
    let wrong = form
        .clone()
        .set("prices", "Country; Marketing\nAtlantis; 1; 2; 3");
    let faulty = browser.submit(wrong).await;
    assert_eq!(faulty.status, 422);
    assert!(faulty.text().contains("Atlantis"), "{}", faulty.text());
    let form = form.set("prices", "Country;Marketing;Utility;Authentication\nIndonesia;586,33;356,65;356,65\nMY; 1000; 2; 3; 4");
    let saved = browser.submit(form).await;
    assert_eq!(saved.path, "/rates");
    assert!(saved.text().contains("2 countries"), "{}", saved.text());
    // One country by itself.
    let id = app.value("SELECT id FROM rates WHERE country = 'ID'").await;
    let page = browser.get(&format!("/rates/{id}")).await;
    let form = page.form(&format!("/rates/{id}"));
    let faulty = browser.submit(form.clone().set("utility", "-1")).await;
    assert_eq!(faulty.status, 422);
    browser.submit(form.set("marketing", "600")).await;
    let page = browser.get(&format!("/rates/{id}")).await;
    assert!(
        page.text().contains("586.33"),
        "the history tells: {}",
        page.text()
    );
    let second = promo(&app, account, app.list_of_from(10, 3).await).await;
    let before = preflight(&app, second).await;
    assert_eq!(before["cost"]["currency"], "IDR");
    assert_eq!(before["cost"]["micros"], 3 * 600_000_000_i64);
    send(&app, &meta, second).await;
    assert_eq!(
        app.show(second).await["cost"][0]["micros"],
        3 * 600_000_000_i64
    );
    assert_eq!(app.show(first).await["cost"][0]["micros"], 2 * 41_100);
    // A form that was opened before does not overwrite what somebody saved since.
    let old = page.form(&format!("/rates/{id}")).set("service", "1");
    browser
        .submit(page.form(&format!("/rates/{id}")).set("utility", "2"))
        .await;
    assert_eq!(browser.submit(old).await.status, 409);
    // Nobody else may.
    app.person("manager@example.com", "manager").await;
    let mut manager = Browser::new(&app);
    manager.sign_in_as("manager@example.com").await;
    assert_eq!(manager.get("/rates").await.status, 403);
}

#[tokio::test]
async fn rates_a_business_writes_first_to_no_more_people_a_day_than_meta_lets_it() {
    let (app, meta, account) = ready(Options::default()).await;
    meta.set_meta_limit("TIER_3");
    app.ok("POST", &format!("/accounts/{account}/test"), None)
        .await;
    let list = app.list_of(8).await;
    // Somebody who wrote is not counted.
    meta.somebody_writes_to_meta("6281200000000", "P0", "Halo");
    told(&app, &meta).await;
    let mailing = promo(&app, account, list).await;
    let before = preflight(&app, mailing).await;
    assert_eq!(
        before["reach"],
        json!({ "limit": 3, "used": 0, "fits": 3 }),
        "{before}"
    );
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    let reached = async || app.value("SELECT count(*) FROM reached").await;
    app.until("as many as fit were sent", || async {
        reached().await == "3"
    })
    .await;
    // It has nothing more to send, however long it looks.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(reached().await, "3");
    told(&app, &meta).await;
    let shown = app.show(mailing).await;
    assert_eq!(shown["state"], "sending", "{shown}");
    let left = shown["counts"]["queued"].as_i64().unwrap();
    assert!((4..=5).contains(&left), "{shown}");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    assert!(
        page.text()
            .contains("Meta's limit of 3 people in 24 hours is used up"),
        "{}",
        page.text()
    );
    let page = browser.get(&format!("/accounts/{account}")).await;
    assert!(
        page.text().contains("3 people in 24 hours"),
        "{}",
        page.text()
    );
    // A day later the next three go.
    app.advance(TimeDelta::hours(25)).await;
    app.until("the next were sent", || async { reached().await == "6" })
        .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    told(&app, &meta).await;
    assert_eq!(preflight(&app, mailing).await["reach"]["used"], 3);
    let arrived = arrived(&meta).await;
    assert_eq!(arrived["doubled"], 0, "{arrived}");
    // Whom nobody counts any more is forgotten.
    app.advance(TimeDelta::hours(49)).await;
    let mut conn = app.app.db.system().await.unwrap();
    reach::sweep(&mut conn).await.unwrap();
    drop(conn);
    assert_eq!(reached().await, "0");
}
