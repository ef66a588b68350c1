//! A session looked after from the panel: how it stands, the code to scan, starting and ending it, and
//! where it posts its events. Only WAHA's status says whether it works.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use wablast::clock::Clock;
use wablast::gateways::waha::events;
use wablast::simulator::{Options, Running};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::browser::{Browser, Page};
use crate::support::{TestApp, simulator, tell};

async fn admin(app: &TestApp) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    browser
}

/// An account whose WAHA has not been told about us.
async fn account_at(app: &TestApp, url: &str) -> String {
    let account =
        json!({ "name": "Toko", "provider": "waha", "api_url": url, "api_key": "simulator-key" });
    app.ok("POST", "/accounts", Some(&account)).await["id"].to_string()
}

async fn press(browser: &mut Browser, account: &str, verb: &str) -> Page {
    let page = browser.get(&format!("/accounts/{account}")).await;
    let token = page.form("/logout");
    browser
        .submit(token.to(&format!("/accounts/{account}/session/{verb}")))
        .await
}

async fn config(app: &TestApp, waha: &Running) -> Value {
    let answer = app
        .fetch_with_key(&format!("{}/api/sessions/default", waha.url()))
        .await;
    answer["config"].clone()
}

fn standing(page: &Page) -> String {
    page.texts("[data-poll] .state").concat()
}

#[tokio::test]
async fn a_phone_is_linked_from_the_panel_alone() {
    let app = TestApp::on_its_port().await;
    let waha = simulator(Options {
        clock: Clock::manual(),
        ..Options::default()
    })
    .await;
    tell(&waha, "/simulator/session", &json!({ "status": "STOPPED" })).await;
    let account = account_at(&app, &waha.url()).await;
    let mut browser = admin(&app).await;
    let page = browser.get(&format!("/accounts/{account}")).await;
    assert_eq!(standing(&page), "Stopped");
    assert!(page.text().contains("does not post its events here yet"));
    // The phone was never linked.
    press(&mut browser, &account, "start").await;
    let page = press(&mut browser, &account, "logout").await;
    assert_eq!(standing(&page), "Waits for the phone");
    let code = page.attributes("img.qr", "src").swap_remove(0);
    let image = browser.get(&code).await;
    assert_eq!(
        (image.status, image.header("content-type")),
        (200, "image/png".to_owned())
    );
    assert_eq!(image.header("cache-control"), "no-store");
    // The part that asks again by itself follows the code, and tells when the phone is there.
    let part = format!("/accounts/{account}/session/now?from=scan");
    let before = browser.get(&part).await;
    assert_eq!(
        (before.header("x-again"), before.header("x-settled")),
        ("3000".to_owned(), String::new())
    );
    let first = before.attributes("img.qr", "src");
    // How long it stands is said in words, and counts from when it was seen first; without script one looks again.
    let stands = before.attributes("[data-countdown]", "data-countdown");
    let until: DateTime<Utc> = stands[0].parse().unwrap();
    let left = until - app.app.clock.now();
    assert!(
        left > TimeDelta::seconds(5) && left <= TimeDelta::seconds(20),
        "{left}"
    );
    let said = before.text();
    let clock = until.with_timezone(&chrono_tz::Asia::Jakarta);
    for words in [
        "Each code stands for about 20 seconds",
        &clock.format("%H:%M:%S").to_string(),
        "Look again shows the code of this moment.",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    app.advance(TimeDelta::seconds(12)).await;
    let still = browser.get(&part).await;
    assert_eq!(
        still.attributes("[data-countdown]", "data-countdown"),
        stands
    );
    assert!(first.len() == 1 && first[0].starts_with(code.split('?').next().unwrap()));
    waha.passes(TimeDelta::seconds(25));
    let next = browser.get(&part).await;
    assert_ne!(next.attributes("img.qr", "src"), first);
    assert_ne!(
        next.attributes("[data-countdown]", "data-countdown"),
        stands
    );
    tell(&waha, "/simulator/scan", &json!({})).await;
    let after = browser.get(&part).await;
    assert_eq!(after.header("x-settled"), "1");
    let page = browser.get(&format!("/accounts/{account}")).await;
    assert_eq!(standing(&page), "Working");
    let text = page.text();
    for said in [
        "+62 899 0000 001 (Simulator)",
        "WAHA 2026.7.1, NOWEB",
        "posts its events here, signed",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(page.attributes("img.qr", "src").is_empty());
    assert_eq!(
        browser.get(&code).await.status,
        404,
        "no code is asked for any more"
    );
    // Events came, signed with our key, without anything being copied.
    app.until("events are applied", || async {
        app.apply_webhooks().await;
        app.value("SELECT last_event_at IS NOT NULL FROM accounts")
            .await
            == "t"
    })
    .await;
    let history = browser.get(&format!("/accounts/{account}")).await.text();
    assert!(
        history.contains("Session started") && history.contains("Phone unlinked"),
        "{history}"
    );
}

#[tokio::test]
async fn a_code_to_type_is_shown_once() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    tell(
        &waha,
        "/simulator/session",
        &json!({ "status": "SCAN_QR_CODE" }),
    )
    .await;
    let account = account_at(&app, &waha.url()).await;
    let mut browser = admin(&app).await;
    let page = browser.get(&format!("/accounts/{account}")).await;
    let form = page.form(&format!("/accounts/{account}/session/code"));
    let page = browser
        .submit(form.clone().set("number", "0812 5550 0147"))
        .await;
    assert!(page.text().contains("SIMU-LATE"), "{}", page.text());
    let page = browser.get(&format!("/accounts/{account}")).await;
    assert!(!page.text().contains("SIMU-LATE"));
    let page = browser.submit(form.clone().set("number", "12")).await;
    assert!(page.text().contains("too short"), "{}", page.text());
    tell(&waha, "/simulator/session", &json!({ "status": "WORKING" })).await;
    let page = browser.submit(form.set("number", "0812 5550 0147")).await;
    assert!(
        page.text().contains("does not wait for a phone now"),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn stopping_and_logging_out_ask_first_and_starting_twice_is_fine() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = account_at(&app, &waha.url()).await;
    let mut browser = admin(&app).await;
    for (verb, after) in [("stop", "Stopped"), ("logout", "Waits for the phone")] {
        let asked = browser
            .get(&format!("/accounts/{account}/session/{verb}"))
            .await;
        assert_eq!(
            (asked.status, asked.texts("[data-dialog] h2").len()),
            (200, 1)
        );
        let form = asked.form(&format!("/accounts/{account}/session/{verb}"));
        let page = browser.submit(form).await;
        assert_eq!(standing(&page), after);
        tell(&waha, "/simulator/scan", &json!({})).await;
    }
    let page = press(&mut browser, &account, "start").await;
    let said = page.text();
    assert!(
        said.contains("The session starts.") && standing(&page) == "Working",
        "{said}"
    );
    // Where there was none, it is made.
    app.remove(&format!("{}/api/sessions/default", waha.url()))
        .await;
    let page = browser.get(&format!("/accounts/{account}")).await;
    assert_eq!(standing(&page), "No session yet");
    let page = press(&mut browser, &account, "start").await;
    assert_eq!(standing(&page), "Waits for the phone");
}

#[tokio::test]
async fn every_status_and_every_failure_has_its_words() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = account_at(&app, &waha.url()).await;
    let mut browser = admin(&app).await;
    let own = format!("/accounts/{account}");
    for (status, name) in [
        ("STOPPED", "Stopped"),
        ("STARTING", "Starting"),
        ("SCAN_QR_CODE", "Waits for the phone"),
        ("FAILED", "Failed"),
        ("PASSKEY_REQUIRED", "Waits for a passkey"),
        ("PASSKEY_CONFIRMATION_REQUIRED", "Waits for a passkey"),
        ("SOMETHING_NEW", "Not working"),
        ("WORKING", "Working"),
    ] {
        tell(&waha, "/simulator/session", &json!({ "status": status })).await;
        assert_eq!(standing(&browser.get(&own).await), name, "{status}");
    }
    // A phone that is known does not make a session work, and a working one may not say whose it is.
    let odd = MockServer::start().await;
    let answers = |status: &str, me: Value| {
        ResponseTemplate::new(200)
            .set_body_json(json!({ "name": "default", "status": status, "me": me, "config": null }))
    };
    Mock::given(path("/api/sessions/default/me"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&odd)
        .await;
    Mock::given(path("/api/sessions/default"))
        .respond_with(answers("FAILED", json!({ "id": "628111@c.us" })))
        .up_to_n_times(1)
        .mount(&odd)
        .await;
    Mock::given(path("/api/sessions/default"))
        .respond_with(answers("WORKING", Value::Null))
        .mount(&odd)
        .await;
    app.execute(&format!("UPDATE accounts SET api_url = '{}'", odd.uri()))
        .await;
    let page = browser.get(&own).await;
    assert_eq!(
        (standing(&page), page.text().contains("628")),
        ("Failed".to_owned(), false)
    );
    assert_eq!(standing(&browser.get(&own).await), "Working");
    for (answer, words) in [
        (
            ResponseTemplate::new(401)
                .set_body_json(json!({ "message": "Unauthorized", "statusCode": 401 })),
            "does not accept the API key",
        ),
        (
            ResponseTemplate::new(422)
                .set_body_json(json!({ "message": "WAHA Core support only 'default' session. x" })),
            "has only the session “default”",
        ),
        (
            ResponseTemplate::new(502).set_body_string("<html>bad</html>"),
            "WAHA answered 502",
        ),
        (
            ResponseTemplate::new(200).set_body_string("<html>hello</html>"),
            "WAHA answered 200",
        ),
    ] {
        let wrong = MockServer::start().await;
        Mock::given(method("GET"))
            .respond_with(answer)
            .mount(&wrong)
            .await;
        app.execute(&format!("UPDATE accounts SET api_url = '{}'", wrong.uri()))
            .await;
        let page = browser.get(&own).await;
        assert_eq!(standing(&page), "WAHA does not answer");
        let text = page.text();
        assert!(
            text.contains(words) && !text.contains("<html"),
            "{words}: {text}"
        );
    }
    let closed = format!("http://127.0.0.1:{}", crate::support::instance::free_port());
    app.execute(&format!("UPDATE accounts SET api_url = '{closed}'"))
        .await;
    let page = press(&mut browser, &account, "restart").await;
    assert!(
        page.text().contains("Nothing listens at 127.0.0.1"),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn what_a_version_costs_is_said() {
    let app = TestApp::new().await;
    let mut browser = admin(&app).await;
    for (version, engine, costs) in [
        ("2026.7.1", "NOWEB", &[][..]),
        (
            "2026.7.1",
            "WEBJS",
            &["This engine takes no message ids of ours"],
        ),
        (
            "2026.2.1",
            "NOWEB",
            &[
                "need WAHA 2026.6.1",
                "Message ids of our own need WAHA 2026.4.3",
            ],
        ),
        (
            "2024.10.8",
            "NOWEB",
            &[
                "cannot sign events",
                "need WAHA 2026.6.1",
                "need WAHA 2026.4.3",
            ],
        ),
    ] {
        let waha = simulator(Options {
            version: version.into(),
            engine: engine.into(),
            ..Options::default()
        })
        .await;
        let account = account_at(&app, &waha.url()).await;
        let page = browser.get(&format!("/accounts/{account}")).await;
        let said = page.texts("[data-poll] .checks-plain li");
        assert_eq!(said.len(), costs.len(), "{version} {engine}: {said:?}");
        for cost in costs {
            assert!(
                said.iter().any(|line| line.contains(cost)),
                "{cost}: {said:?}"
            );
        }
    }
}

#[tokio::test]
async fn webhooks_are_set_with_one_button_and_keep_what_else_is_there() {
    let app = TestApp::on_its_port().await;
    let waha = simulator(Options::default()).await;
    let account = account_at(&app, &waha.url()).await;
    let theirs = json!({ "url": "http://127.0.0.1:9/crm", "events": ["message"] });
    app.put_config(&waha.url(), &json!({ "metadata": { "shop": "7" }, "webhooks": [theirs], "noweb": { "markOnline": false, "store": { "enabled": true } } })).await;
    let mut browser = admin(&app).await;
    let page = press(&mut browser, &account, "webhooks").await;
    assert!(page.text().contains("WAHA knows where to post events."));
    let config = config(&app, &waha).await;
    assert_eq!(config["metadata"], json!({ "shop": "7" }));
    assert_eq!(config["noweb"]["markOnline"], false);
    assert_eq!(config["webhooks"][0], theirs);
    let ours = &config["webhooks"][1];
    let key = app.value("SELECT account_key FROM accounts").await;
    assert_eq!(ours["url"], format!("{}/webhooks/waha/{key}", app.address));
    assert_eq!(
        ours["events"],
        json!(["session.status", "message.any", "message.ack"])
    );
    assert_eq!(ours["retries"]["policy"], "exponential");
    assert!(
        ours["hmac"]["key"]
            .as_str()
            .is_some_and(|key| key.len() >= 32)
    );
    app.until("the events of the restart are applied", || async {
        app.apply_webhooks().await;
        app.value("SELECT last_event_at IS NOT NULL FROM accounts")
            .await
            == "t"
    })
    .await;
    // Set again is one webhook, not two; a new key is seen and mended.
    press(&mut browser, &account, "webhooks").await;
    let form = browser
        .get(&format!("/accounts/{account}"))
        .await
        .form(&format!("/accounts/{account}/webhook-key"));
    let page = browser.submit(form).await;
    assert!(
        page.text().contains("signs events with another key"),
        "{}",
        page.text()
    );
    let page = press(&mut browser, &account, "webhooks").await;
    assert!(page.text().contains("posts its events here, signed"));
    assert_eq!(
        self::config(&app, &waha).await["webhooks"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let key = app.value("SELECT account_key FROM accounts").await;
    assert!(
        !page.html.contains(ours["hmac"]["key"].as_str().unwrap()),
        "{key}: the key is not shown"
    );
}

#[tokio::test]
async fn setting_webhooks_loses_nothing_that_the_owner_configured() {
    let app = TestApp::on_its_port().await;
    let waha = MockServer::start().await;
    // Everything a session's configuration can hold, and apps, which WAHA keeps beside it: it deletes those that a
    // request with apps does not name.
    let theirs = json!({ "url": "http://crm.example/hook", "events": ["message"], "hmac": { "key": "theirs" },
        "retries": { "policy": "linear", "delaySeconds": 5, "attempts": 3 }, "customHeaders": [{ "name": "X-A", "value": "1" }] });
    let config = json!({ "metadata": { "shop": "7" }, "proxy": { "server": "proxy.example:3128", "username": "u", "password": "p" },
        "debug": true, "ignore": { "status": true, "groups": null, "channels": true }, "client": { "browserName": "IE", "deviceName": "Toko" },
        "noweb": { "markOnline": false, "store": { "enabled": true, "fullSync": true } }, "gows": { "storage": { "messages": false } },
        "webjs": { "tagsEventsOn": true }, "somethingNew": { "kept": [1, null] }, "webhooks": [theirs] });
    let session = json!({ "name": "default", "status": "WORKING", "me": null, "config": config,
        "apps": [{ "id": "app_1", "session": "default", "app": "chatwoot", "config": { "url": "http://chat.example" } }] });
    Mock::given(method("GET"))
        .and(path("/api/sessions/default"))
        .respond_with(ResponseTemplate::new(200).set_body_json(session))
        .mount(&waha)
        .await;
    Mock::given(method("GET"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(json!({ "version": "2026.7.1", "engine": "NOWEB" })),
        )
        .mount(&waha)
        .await;
    for verb in ["PUT", "POST"] {
        Mock::given(method(verb))
            .respond_with(ResponseTemplate::new(201).set_body_json(json!({})))
            .mount(&waha)
            .await;
    }
    let account = account_at(&app, &waha.uri()).await;
    let mut browser = admin(&app).await;
    for verb in ["webhooks", "start"] {
        press(&mut browser, &account, verb).await;
    }
    let requests = waha.received_requests().await.unwrap();
    let written: Vec<Value> = requests
        .iter()
        .filter(|request| request.method.as_str() == "PUT")
        .map(|request| request.body_json().unwrap())
        .collect();
    assert_eq!(written.len(), 2);
    for body in written {
        let parts: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(parts, ["config"], "apps that are not named stay");
        for (name, value) in config.as_object().unwrap() {
            if name != "webhooks" {
                assert_eq!(&body["config"][name], value, "{name}");
            }
        }
        let hooks = body["config"]["webhooks"].as_array().unwrap();
        assert_eq!((hooks.len(), &hooks[0]), (2, &theirs));
    }
}

#[tokio::test]
async fn a_silence_is_seen_and_says_why() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await.to_string();
    let hook = format!(
        "/webhooks/waha/{}",
        app.value("SELECT account_key FROM accounts").await
    );
    let mut browser = admin(&app).await;
    let own = format!("/accounts/{account}");
    let body = br#"{"event":"session.status","session":"default","payload":{"status":"WORKING"}}"#
        .to_vec();
    assert_eq!(app.post_raw(&hook, &[], body.clone()).await, 401);
    let text = browser.get(&own).await.text();
    assert!(
        text.contains("An event without a signature was refused"),
        "{text}"
    );
    app.advance(TimeDelta::minutes(2)).await;
    let wrong = events::sign(b"another key", &body);
    assert_eq!(
        app.post_raw(&hook, &[("X-Webhook-Hmac", &wrong)], body.clone())
            .await,
        401
    );
    let text = browser.get(&own).await.text();
    assert!(
        text.contains("An event signed with another key was refused"),
        "{text}"
    );
    // One that is good ends it.
    tell(&waha, "/simulator/session", &json!({ "status": "WORKING" })).await;
    app.until("it is applied", || async {
        app.apply_webhooks().await;
        app.value("SELECT last_event_at IS NOT NULL FROM accounts")
            .await
            == "t"
    })
    .await;
    assert!(!browser.get(&own).await.text().contains("was refused"));
    // Given our address, and nothing came: this one leads nowhere.
    press(&mut browser, &account, "webhooks").await;
    app.advance(TimeDelta::minutes(2)).await;
    let text = browser.get(&own).await.text();
    assert!(
        text.contains("WAHA does not reach http://127.0.0.1:0/webhooks"),
        "{text}"
    );
    // Messages leave, and no event tells of them.
    app.execute("UPDATE account_sessions SET hooks_set_at = NULL")
        .await;
    app.execute("INSERT INTO account_pace (account_id, company_id, tokens, tokens_at) SELECT id, company_id, 1, wablast_now() + interval '15 minutes' FROM accounts
        ON CONFLICT (account_id) DO UPDATE SET tokens_at = EXCLUDED.tokens_at").await;
    app.advance(TimeDelta::minutes(17)).await;
    let text = browser.get(&own).await.text();
    assert!(text.contains("no event has come since"), "{text}");
}

#[tokio::test]
async fn managers_who_may_use_the_account_look_after_its_session() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = account_at(&app, &waha.url()).await;
    let manager = app.person("manager@example.com", "manager").await;
    app.person("user@example.com", "user").await;
    let own = format!("/accounts/{account}/session");
    let mut user = Browser::new(&app);
    user.sign_in_as("user@example.com").await;
    assert_eq!(user.get(&own).await.status, 403);
    let mut browser = Browser::new(&app);
    browser.sign_in_as("manager@example.com").await;
    let page = browser.get(&own).await;
    assert_eq!(standing(&page), "Working");
    let restart = page.form(&format!("{own}/restart"));
    let page = browser.submit(restart.clone()).await;
    assert!(page.path.starts_with(&own) && page.text().contains("The session restarts."));
    // Somebody else alone may use it.
    app.execute(&format!(
        "INSERT INTO account_users (company_id, account_id, user_id) VALUES (1, {account}, 1)"
    ))
    .await;
    assert_eq!(browser.get(&own).await.status, 403);
    assert_eq!(browser.submit_once(restart).await.0, 403);
    app.execute(&format!("INSERT INTO account_users (company_id, account_id, user_id) VALUES (1, {account}, {manager})")).await;
    assert_eq!(browser.get(&own).await.status, 200);
    // What has no session says so.
    app.execute("UPDATE accounts SET send_through = 'webhook'")
        .await;
    assert_eq!(browser.get(&own).await.status, 409);
}
