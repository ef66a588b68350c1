//! How a WAHA account sends: ready-made paces, typing, link previews, number checks, slowing down; and the
//! warning before a number writes to many more people than it ever did.

use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::watch;
use wablast::mailings::{proven, release, unheard};
use wablast::outgoing::deliver;
use wablast::simulator::{Fault, Options};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator, tell};

async fn admin(app: &TestApp) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    browser
}

async fn contact(app: &TestApp, name: &str, number: &str) {
    let people = json!({ "contacts": [{ "name": name, "whatsapp_number": number }] });
    app.ok("POST", "/contacts/bulk", Some(&people)).await;
}

#[tokio::test]
async fn a_ready_made_pace_fills_the_fields_and_is_told() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = admin(&app).await;
    let own = format!("/accounts/{account}");
    let page = browser.get(&own).await;
    assert!(page.text().contains("This account has a pace of its own."));
    let fields = "SELECT concat_ws(' ', per_second, delay_min, delay_max, hourly_cap, daily_cap, warm_up_first, warm_up_days, quiet_from, quiet_local) FROM accounts";
    for (preset, filled) in [
        ("careful", "1 30 60 40 200 20 14 20:00:00 t"),
        ("normal", "1 8 20 200 1000 50 10 21:00:00 t"),
        ("fast", "1 2 5 900 5000 t"),
    ] {
        let form = page.form("/logout").to(&format!("{own}/preset/{preset}"));
        let page = browser.submit(form).await;
        assert_eq!(app.value(fields).await, filled);
        assert_eq!(
            page.texts("#sending .state-green").len(),
            1,
            "{preset} is the chosen one"
        );
        assert!(!page.text().contains("a pace of its own"));
        assert!(page.text().contains("Pace filled"), "the history says so");
    }
    let told = browser.get(&own).await.texts("del, ins").concat();
    assert!(
        told.contains("200") && told.contains("1000"),
        "what stood there before: {told}"
    );
    assert_eq!(
        app.value("SELECT slow_down FROM account_sending").await,
        "t"
    );
    // Refused with a sentence at its field, and nothing changed.
    let form = browser.get(&own).await.form(&format!("{own}/sending"));
    let page = browser
        .submit(form.clone().set("checks_an_hour", "5000"))
        .await;
    assert!(
        page.status == 422 && page.text().contains("from 1 to 1,000"),
        "{}",
        page.text()
    );
    let page = browser
        .submit(form.set("checks_an_hour", "30").add("typing", "true"))
        .await;
    assert!(page.text().contains("Show “typing…” first"));
    assert_eq!(
        app.value("SELECT typing || ' ' || checks_an_hour FROM account_sending")
            .await,
        "true 30"
    );
}

#[tokio::test]
async fn how_it_sends_is_not_overwritten_unseen() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let own = format!("/accounts/{account}");
    let action = format!("{own}/sending");
    let mut browser = admin(&app).await;
    let mine = browser.get(&own).await.form(&action);
    let theirs = browser.get(&own).await.form(&action);
    let saved = browser.submit(theirs.set("checks_an_hour", "50")).await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    let refused = browser.submit(mine.set("checks_an_hour", "70")).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let newer = refused.texts(".newer").concat();
    assert!(newer.contains("50"), "who changed what: {newer}");
    assert_eq!(refused.form(&action).get("checks_an_hour"), "70", "kept");
    let stored = "SELECT checks_an_hour FROM account_sending";
    assert_eq!(app.value(stored).await, "50");
    // The account's own form beside it stands on what is stored, and is not in the way.
    let beside = browser.submit(refused.form(&own)).await;
    assert_eq!(beside.status, 200, "{}", beside.text());
    let anyway = browser.submit(refused.form(&action)).await;
    assert_eq!(anyway.status, 200, "{}", anyway.text());
    assert_eq!(app.value(stored).await, "70");
    // A fault keeps what was typed, too.
    let form = browser.get(&own).await.form(&action);
    let fault = browser.submit(form.set("checks_an_hour", "0")).await;
    assert_eq!(fault.status, 422);
    assert_eq!(fault.form(&action).get("checks_an_hour"), "0");
}

#[tokio::test]
async fn somebody_types_before_a_message_and_links_may_stay_plain() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    app.execute("INSERT INTO account_sending (account_id, company_id, typing, link_preview) SELECT id, company_id, true, false FROM accounts").await;
    let list = app.list_of(2).await;
    let mailing = app.mailing(account, list, "Halo https://example.com").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    let mut typed = waha.typed();
    typed.sort();
    let chats = ["6281200000000@c.us", "6281200000001@c.us"];
    let expected: Vec<String> = ["sendSeen", "startTyping", "stopTyping"]
        .iter()
        .flat_map(|call| chats.iter().map(move |chat| format!("{call} {chat}")))
        .collect();
    assert_eq!(typed, expected);
    assert_eq!(arrived(&waha).await["total"], 2);
    app.holds().await;
}

#[tokio::test]
async fn numbers_are_checked_ahead_within_the_budget_and_who_is_not_there_is_skipped() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    waha_without(&waha, "6281200000001").await;
    let account = app.account(&waha).await;
    app.execute("INSERT INTO account_sending (account_id, company_id, check_numbers, checks_an_hour) SELECT id, company_id, true, 4 FROM accounts").await;
    let list = app.list_of(5).await;
    let mailing = app.mailing(account, list, "Halo").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let checked = "SELECT count(*) FROM number_checks";
    unheard::look(&app.app).await.unwrap();
    assert_eq!(app.value(checked).await, "4");
    app.advance(TimeDelta::seconds(11)).await;
    unheard::look(&app.app).await.unwrap();
    assert_eq!(
        app.value(checked).await,
        "4",
        "the budget of the hour is used"
    );
    let skipped = "SELECT string_agg(skipped_number || ' ' || code, ',') FROM outgoing WHERE state = 'skipped'";
    assert_eq!(app.value(skipped).await, "6281200000001 not_on_whatsapp");
    app.deliver(mailing).await;
    assert_eq!(arrived(&waha).await["total"], 4);
    // It is a property of the person, with its date, and leaves them out of the next.
    let id = app
        .value("SELECT id FROM contacts WHERE whatsapp_number = '6281200000001'")
        .await;
    let page = admin(&app).await.get(&format!("/contacts/{id}")).await;
    assert!(
        page.text().contains("Not on WhatsApp, asked"),
        "{}",
        page.text()
    );
    let next = app.mailing(account, list, "Halo lagi").await;
    let check = app
        .ok("GET", &format!("/mailings/{next}/preflight"), None)
        .await;
    assert_eq!(
        (
            check["will_send"].as_i64(),
            check["left_out"]["not_on_whatsapp"].as_i64()
        ),
        (Some(4), Some(1)),
        "{check}"
    );
    // After 90 days it is asked again.
    app.advance(TimeDelta::days(91)).await;
    let check = app
        .ok("GET", &format!("/mailings/{next}/preflight"), None)
        .await;
    assert_eq!(check["will_send"], 5, "{check}");
    app.holds().await;
}

async fn waha_without(waha: &wablast::simulator::Running, number: &str) {
    let mut faults = wablast::simulator::Faults::default();
    faults
        .numbers
        .insert(number.to_owned(), Fault::NotOnWhatsapp);
    tell(waha, "/simulator/faults", &json!(faults)).await;
}

#[tokio::test]
async fn a_number_that_whatsapp_knows_by_another_one_is_written_to_there_and_found_again() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    contact(&app, "Ana", "5511987654321").await;
    app.execute("INSERT INTO account_sending (account_id, company_id, check_numbers) SELECT id, company_id, true FROM accounts").await;
    let id = app
        .value("SELECT max(id) FROM contacts")
        .await
        .parse::<i64>()
        .unwrap();
    let draft = json!({ "subject": "Oi", "account_id": account, "recipients": { "contact_ids": [id] }, "message": "Oi" });
    let mailing = app.ok("POST", "/mailings", Some(&draft)).await["id"]
        .as_i64()
        .unwrap();
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    unheard::look(&app.app).await.unwrap();
    app.deliver(mailing).await;
    let arrived = arrived(&waha).await;
    assert_eq!(arrived["items"][0]["to"], "551187654321", "{arrived}");
    assert_eq!(
        app.value("SELECT number FROM outgoing").await,
        "5511987654321"
    );
    tell(
        &waha,
        "/simulator/incoming",
        &json!({ "from": "551187654321", "text": "STOP" }),
    )
    .await;
    app.until("the stop found Ana", || async {
        app.apply_webhooks().await;
        app.value("SELECT string_agg(name, ',') FROM contacts WHERE opt_out")
            .await
            == "Ana"
    })
    .await;
    assert_eq!(app.value("SELECT count(*) FROM contacts").await, "1");
}

#[tokio::test]
async fn trouble_slows_an_account_down_with_its_reason_where_it_asks_for_that() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let slow = "SELECT round(wablast_slowed(slow, slowed_at, wablast_now())::numeric, 1) FROM account_pace";
    let failed = json!({ "share": { "error_ack": 1.0 }, "numbers": {} });
    tell(&waha, "/simulator/faults", &failed).await;
    let list = app.list_of(1).await;
    for (asks, expected) in [(false, "1.0"), (true, "0.5")] {
        app.execute(&format!("INSERT INTO account_sending (account_id, company_id, slow_down) SELECT id, company_id, {asks} FROM accounts
            ON CONFLICT (account_id) DO UPDATE SET slow_down = EXCLUDED.slow_down")).await;
        let mailing = app.mailing(account, list, "Halo").await;
        app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        app.deliver(mailing).await;
        app.until("the error is applied", || async {
            app.apply_webhooks().await;
            app.value(&format!(
                "SELECT state FROM outgoing WHERE mailing_id = {mailing}"
            ))
            .await
                == "failed"
        })
        .await;
        assert_eq!(app.value(slow).await, expected);
    }
    let page = admin(&app).await.get(&format!("/accounts/{account}")).await;
    assert!(
        page.text()
            .contains("WhatsApp reported an error for a message it had taken."),
        "{}",
        page.text()
    );
    // Three people who say stop within an hour.
    app.execute("UPDATE account_pace SET slow = 1, slowed_at = NULL; UPDATE account_sending SET slowed_at = NULL").await;
    for n in 1..=3 {
        assert_eq!(app.value(slow).await, "1.0", "{n}");
        let stop = json!({ "from": format!("62812000009{n}"), "text": "STOP" });
        tell(&waha, "/simulator/incoming", &stop).await;
        app.until("it is applied", || async {
            app.apply_webhooks().await;
            app.value("SELECT count(*) FROM incoming").await == n.to_string()
        })
        .await;
    }
    assert_eq!(app.value(slow).await, "0.5");
    let why = "SELECT slowed_why FROM account_sending";
    assert_eq!(
        app.value(why).await,
        "Several people opted out within an hour."
    );
    app.advance(TimeDelta::minutes(2)).await;
    tell(&waha, "/simulator/session", &json!({ "status": "FAILED" })).await;
    app.until("the drop is applied", || async {
        app.apply_webhooks().await;
        app.value(why).await == "The session dropped."
    })
    .await;
}

#[tokio::test]
async fn whom_whatsapp_keeps_from_strangers_goes_slower_then_rests_and_says_why() {
    let app = TestApp::new().await;
    let waha = MockServer::start().await;
    let refusal = json!({ "statusCode": 500, "timestamp": "2026-11-27T03:00:00.000Z",
        "exception": { "message": "2 UNKNOWN: server returned error 463", "name": "Error", "stack": "at /app/dist/main.js:1" },
        "request": { "path": "/api/sendText", "method": "POST", "body": { "text": "Rahasia" }, "query": {} },
        "version": { "version": "2026.7.1", "engine": "GOWS" } });
    Mock::given(method("POST"))
        .and(path("/api/sendText"))
        .respond_with(ResponseTemplate::new(500).set_body_json(refusal))
        .mount(&waha)
        .await;
    Mock::given(any())
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(json!({ "version": "2026.2.1", "engine": "NOWEB" })),
        )
        .mount(&waha)
        .await;
    let account = json!({ "name": "Toko", "provider": "waha", "api_url": waha.uri(), "api_key": "k",
        "pace": { "per_second": 20, "burst": 1 } });
    let account = app.ok("POST", "/accounts", Some(&account)).await["id"].clone();
    app.execute("INSERT INTO account_sending (account_id, company_id, slow_down) SELECT id, company_id, true FROM accounts
        ON CONFLICT (account_id) DO UPDATE SET slow_down = true").await;
    let list = app.list_of(30).await;
    let mailing = app.mailing(account.as_i64().unwrap(), list, "Halo").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("the account rests", || async {
        app.value("SELECT health || ' ' || health_code FROM accounts")
            .await
            == "paused auto"
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    // A 500 proves nothing: what was tried is uncertain, and the rest waits.
    let counts = app.show(mailing).await["counts"].clone();
    let tried = counts["uncertain"].as_i64().unwrap();
    assert!((5..=8).contains(&tried), "{counts}");
    assert_eq!(counts["queued"], 30 - tried, "{counts}");
    assert_eq!(
        app.value("SELECT slow < 1 FROM account_pace").await,
        "t",
        "slower before it rests"
    );
    let mut browser = admin(&app).await;
    let page = browser.get(&format!("/accounts/{account}")).await.text();
    for words in [
        "WhatsApp refused a message to somebody who does not know this number (error 463).",
        "Paused by itself: of 5 messages in a row nobody knows whether they arrived.",
        "server returned error 463",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    for hidden in ["Rahasia", "/app/dist"] {
        assert!(!page.contains(hidden), "{hidden}");
    }
    let page = browser.get(&format!("/mailings/{mailing}")).await.text();
    assert!(page.contains("Paused by itself"), "{page}");
    app.holds().await;
}

#[tokio::test]
async fn a_number_that_never_wrote_to_so_many_warns_before_it_does() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = admin(&app).await;
    let (few, many) = (app.list_of(20).await, app.list_of_from(20, 60).await);
    let ask = |mailing: i64| format!("/mailings/{mailing}/send");
    let first = app.mailing(account, many, "Halo").await;
    let page = browser.get(&ask(first)).await;
    assert!(
        page.text().contains("has sent no mailing yet"),
        "{}",
        page.text()
    );
    let small = app.mailing(account, few, "Halo").await;
    assert!(
        !browser
            .get(&ask(small))
            .await
            .text()
            .contains("WhatsApp blocks")
    );
    app.ok("POST", &format!("/mailings/{small}/send_now"), None)
        .await;
    app.deliver(small).await;
    let page = browser.get(&ask(first)).await;
    assert!(
        page.text()
            .contains("has sent 20 messages in one mailing at most; 60 is much more"),
        "{}",
        page.text()
    );
    app.ok("POST", &format!("/mailings/{first}/send_now"), None)
        .await;
    app.deliver(first).await;
    let again = app.mailing(account, many, "Halo lagi").await;
    assert!(
        !browser
            .get(&ask(again))
            .await
            .text()
            .contains("WhatsApp blocks")
    );
}

#[tokio::test]
async fn what_was_sent_to_another_number_is_looked_for_there_before_it_goes_again() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        version: "2026.2.1".into(),
        acks: false,
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    app.execute(
        "UPDATE accounts SET resend_proven = true;
         INSERT INTO account_sending (account_id, company_id, check_numbers) SELECT id, company_id, true FROM accounts",
    )
    .await;
    contact(&app, "Ana", "5511987654321").await;
    contact(&app, "Siti", "6281200000001").await;
    let faults = json!({ "numbers": { "551187654321": "error_after" } });
    tell(&waha, "/simulator/faults", &faults).await;
    let draft = json!({ "subject": "Oi", "account_id": account, "recipients": { "contact_ids": [1, 2] }, "message": "Oi {{contact.name}}" });
    let mailing = app.ok("POST", "/mailings", Some(&draft)).await["id"]
        .as_i64()
        .unwrap();
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    unheard::look(&app.app).await.unwrap();
    let sent = app.deliver(mailing).await;
    assert_eq!(sent["counts"]["uncertain"], 1, "{sent}");
    tell(&waha, "/simulator/faults", &json!({})).await;
    let mut gone = proven::look(&app.app).await.unwrap();
    for seconds in [70, 600, 70, 70] {
        app.advance(TimeDelta::seconds(seconds)).await;
        gone += proven::look(&app.app).await.unwrap();
    }
    assert_eq!(gone, 0, "Ana has it, under the number WhatsApp knows");
    assert_eq!(
        app.value("SELECT string_agg(DISTINCT state, ',') FROM outgoing")
            .await,
        "accepted"
    );
    assert_eq!(arrived(&waha).await["doubled"], 0);
    app.holds().await;
}
