//! What Meta tells about an account by itself, its call for marketing, and free text outside of an open window.

use chrono::TimeDelta;
use serde_json::json;
use wablast::outgoing::deliver;
use wablast::simulator::Options;

use crate::meta::{promo, ready, send, told};
use crate::support::arrived;
use crate::support::browser::Browser;

#[tokio::test]
async fn meta_account_news_are_told_in_words_on_its_page() {
    let (app, meta, account) = ready(Options::default()).await;
    for (field, value) in [
        (
            "account_alerts",
            json!({ "entity_type": "BUSINESS", "entity_id": "1", "alert_info": { "alert_severity": "WARNING", "alert_status": "ACTIVE",
                "alert_type": "INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED", "alert_description": "Limits cannot be increased yet." } }),
        ),
        (
            "account_update",
            json!({ "event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info": { "pricing_category": "UTILITY",
                "region": "Indonesia", "tier": "0:100000", "effective_month": "2026-12" } }),
        ),
        ("account_review_update", json!({ "decision": "APPROVED" })),
        (
            "phone_number_name_update",
            json!({ "display_phone_number": "628990000001", "decision": "REJECTED", "requested_verified_name": "Toko Emas",
                "rejection_reason": "NAME_EMPLOYEE_ISSUE" }),
        ),
        (
            "business_capability_update",
            json!({ "max_daily_conversations_per_business": "TIER_10K" }),
        ),
        (
            "security",
            json!({ "display_phone_number": "628990000001", "event": "PIN_CHANGED", "requester": "1" }),
        ),
    ] {
        meta.meta_tells(field, value);
        told(&app, &meta).await;
    }
    // Applied again, each is there once.
    app.execute("UPDATE inbox SET state = 'new', applied_at = NULL")
        .await;
    told(&app, &meta).await;
    assert_eq!(app.value("SELECT count(*) FROM account_notices").await, "6");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let said = browser.get(&format!("/accounts/{account}")).await.text();
    for words in [
        "Meta alerts: Limits cannot be increased yet.",
        "UTILITY messages to Indonesia in volume tier",
        "Meta has reviewed this account: it may be used.",
        "Meta refuses the name “Toko Emas”: NAME_EMPLOYEE_ISSUE",
        "The business may write first to 10,000 people in 24 hours.",
        "Somebody changed the PIN of the number at Meta.",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    app.execute("UPDATE users SET language = 'id'").await;
    let said = browser.get(&format!("/accounts/{account}")).await.text();
    assert!(
        said.contains("Bisnis boleh menyapa lebih dulu 10.000 orang dalam 24 jam."),
        "{said}"
    );
    app.holds().await;
}

#[tokio::test]
async fn meta_account_sends_marketing_by_meta_s_own_call_where_it_is_asked_to() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(2).await;
    let first = promo(&app, account, list).await;
    send(&app, &meta, first).await;
    assert_eq!(meta.marketing_messages(), 0);
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/accounts/{account}");
    let page = browser.get(&address).await;
    let page = browser
        .submit(page.form(&format!("{address}/marketing-messages/on")))
        .await;
    assert!(
        page.text().contains("go through Meta's marketing messages"),
        "{}",
        page.text()
    );
    app.advance(TimeDelta::seconds(7)).await;
    let second = promo(&app, account, list).await;
    let shown = send(&app, &meta, second).await;
    assert_eq!(shown["counts"]["read"], 2, "{shown}");
    assert_eq!(meta.marketing_messages(), 2);
    // A template of another category goes as ever.
    app.advance(TimeDelta::seconds(7)).await;
    let id = app
        .value("SELECT id FROM templates WHERE name = 'order_update'")
        .await;
    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&json!({ "subject": "Order", "account_id": account, "recipients": { "list_ids": [list] },
                "template": { "id": id.parse::<i64>().unwrap(), "values": { "body.1": "A1" } } })),
        )
        .await;
    let shown = send(&app, &meta, made["id"].as_i64().unwrap()).await;
    assert_eq!(shown["counts"]["read"], 2, "{shown}");
    assert_eq!(meta.marketing_messages(), 2);
    let page = browser.get(&address).await;
    browser
        .submit(page.form(&format!("{address}/marketing-messages/off")))
        .await;
    app.advance(TimeDelta::seconds(7)).await;
    let third = promo(&app, account, list).await;
    send(&app, &meta, third).await;
    assert_eq!(meta.marketing_messages(), 2);
}

#[tokio::test]
async fn meta_account_tests_of_free_text_are_refused_before_they_fail() {
    let (app, meta, account) = ready(Options::default()).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/accounts/{account}");
    let page = browser.get(&address).await;
    assert!(
        page.text().contains(
            "Meta takes free text only to people who wrote to this number within 24 hours"
        ),
        "{}",
        page.text()
    );
    let template = app
        .value("SELECT id FROM templates WHERE status = 'approved' ORDER BY name LIMIT 1")
        .await;
    let way = format!("/mailings/new?template={template}");
    assert!(page.attributes("a", "href").contains(&way));
    let form = page
        .form(&format!("{address}/test-message"))
        .set("number", "081200000001")
        .set("text", "Halo");
    let refused = browser.submit(form.clone()).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused
            .text()
            .contains("did not write to the account within 24 hours"),
        "{}",
        refused.text()
    );
    assert_eq!(app.value("SELECT count(*) FROM outgoing").await, "0");
    // A mailing of free text says it on its test's page, and refuses too.
    let list = app.list_of(2).await;
    let mailing = app.mailing(account, list, "Halo {{contact.name}}").await;
    let test = format!("/mailings/{mailing}/test");
    let page = browser.get(&test).await;
    assert!(
        page.text().contains("This mailing is free text"),
        "{}",
        page.text()
    );
    let mailed = page
        .form(&test)
        .without("to")
        .add("to", "number")
        .set("number", "081200000001");
    let refused = browser.submit(mailed.clone()).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    // Whoever wrote gets both.
    meta.somebody_writes_to_meta("6281200000001", "P1", "Halo?");
    told(&app, &meta).await;
    browser.submit(form).await;
    browser.submit(mailed).await;
    assert_eq!(
        app.value("SELECT count(*) FROM outgoing WHERE kind = 'test'")
            .await,
        "2"
    );
}

#[tokio::test]
async fn meta_account_a_welcome_that_is_too_late_says_why_instead_of_failing_at_meta() {
    let (app, meta, account) = ready(Options::default()).await;
    app.execute("UPDATE accounts SET welcome_message = 'Halo {{contact.name}}'")
        .await;
    app.ok("POST", &format!("/accounts/{account}/pause"), None)
        .await;
    meta.somebody_writes_to_meta("6281200000001", "Budi", "Halo?");
    told(&app, &meta).await;
    app.advance(TimeDelta::hours(25)).await;
    deliver::reap_once(&app.app).await.unwrap();
    assert_eq!(
        app.value("SELECT kind || ' ' || state FROM outgoing").await,
        "welcome expired"
    );
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let id = app.value("SELECT id FROM outgoing").await;
    let page = browser.get(&format!("/outgoing/{id}")).await;
    assert!(
        page.text()
            .contains("Meta takes such a message only within 24 hours"),
        "{}",
        page.text()
    );
    assert_eq!(arrived(&meta).await["total"], 0);
    app.holds().await;
}
