//! Technical > Gateway Log: what is written of requests to gateways, what never is, for how long, and that nobody
//! who sends waits for it.

use chrono::TimeDelta;
use serde_json::{Value, json};
use wablast::gateway_log;
use wablast::simulator::Options;
use wiremock::matchers::{any, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::browser::{Browser, Page};
use crate::support::{TestApp, simulator};

const PASSWORD: &str = "s3cret-pass";

async fn webhook_account(app: &TestApp, url: &str) -> i64 {
    let account = json!({ "name": "Flow", "provider": "waha", "send_through": "webhook", "delivery": "direct", "webhook_url": url,
        "webhook_user": "n8n", "webhook_password": PASSWORD, "pace": { "per_second": 5000, "burst": 5000 } });
    app.ok("POST", "/accounts", Some(&account)).await["id"]
        .as_i64()
        .unwrap()
}

async fn send(app: &TestApp, account: i64, list: i64, text: &str) -> Value {
    let mailing = app.mailing(account, list, text).await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await
}

async fn signed_in(app: &TestApp) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    browser
}

/// Chooses what is written down, on the page.
async fn choose(browser: &mut Browser, what: &str, days: &str) -> Page {
    let page = browser.get("/gateway-log/settings").await;
    let form = page
        .form("/gateway-log/settings")
        .set("what", what)
        .set("days", days);
    browser.submit(form).await
}

async fn written(app: &TestApp) -> usize {
    gateway_log::write(&app.app).await.unwrap()
}

async fn rows(app: &TestApp) -> Vec<Value> {
    let all = app
        .value("SELECT coalesce(json_agg(t ORDER BY id), '[]')::text FROM gateway_log t")
        .await;
    serde_json::from_str(&all).unwrap()
}

#[tokio::test]
async fn a_question_whose_refusal_is_good_news_is_no_failure() {
    let app = TestApp::new().await;
    let n8n = MockServer::start().await;
    let takes_post = json!({ "code": 404, "message": "This webhook is not registered for GET requests. Did you mean to make a POST request?" });
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(404).set_body_json(takes_post))
        .up_to_n_times(2)
        .mount(&n8n)
        .await;
    let off =
        json!({ "code": 404, "message": "The requested webhook \"GET x\" is not registered." });
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(404).set_body_json(off))
        .mount(&n8n)
        .await;
    let account = webhook_account(&app, &format!("{}/webhook/x", n8n.uri())).await;
    let test = format!("/accounts/{account}/test");
    let tested = app.ok("POST", &test, None).await;
    assert_eq!(tested["ok"], true, "{tested}");
    assert_eq!(written(&app).await, 0, "nothing went wrong");
    let mut browser = signed_in(&app).await;
    choose(&mut browser, "everything", "7").await;
    for _ in 0..2 {
        app.ok("POST", &test, None).await;
    }
    assert_eq!(written(&app).await, 2);
    let rows = rows(&app).await;
    assert_eq!(
        (&rows[0]["outcome"], &rows[0]["status"]),
        (&json!("answered"), &json!(404))
    );
    assert_eq!(rows[1]["outcome"], "failed", "that one is switched off");
    let page = browser
        .get(&format!("/gateway-log/{}", rows[0]["id"]))
        .await
        .text();
    for said in [
        "Answered",
        "What the answer means",
        "the workflow is active and takes POST",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let errors = browser.get("/gateway-log?f=errors").await;
    assert_eq!(errors.texts("tbody tr").len(), 1, "{}", errors.text());
}

#[tokio::test]
async fn what_goes_wrong_is_written_and_successes_are_not_unless_asked_for() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let n8n = MockServer::start().await;
    let inside = json!({ "message": "Error in workflow", "stacktrace": "at /usr/local/lib/node_modules/n8n/x.js:1:1", "hint": format!("Basic bjhuOnMzY3JldC1wYXNz {PASSWORD}") });
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500).set_body_json(inside))
        .mount(&n8n)
        .await;
    let (by_api, by_flow) = (
        app.account(&waha).await,
        webhook_account(&app, &format!("{}/webhook/x", n8n.uri())).await,
    );
    let list = app.list_of(1).await;
    send(&app, by_api, list, "Hi {{contact.name}}").await;
    assert_eq!(written(&app).await, 0, "a success");
    send(&app, by_flow, list, &format!("Hi {}", "long ".repeat(500))).await;
    assert_eq!(written(&app).await, 1);
    let row = rows(&app).await.remove(0);
    assert_eq!(
        (
            row["gateway"].as_str(),
            row["method"].as_str(),
            row["status"].as_i64(),
            row["outcome"].as_str()
        ),
        (Some("n8n"), Some("POST"), Some(500), Some("uncertain"))
    );
    assert_eq!(
        row["address"],
        format!("{}/webhook/x", n8n.uri().trim_start_matches("http://"))
    );
    let message = app
        .value(&format!(
            "SELECT id FROM outgoing WHERE account_id = {by_flow}"
        ))
        .await;
    assert_eq!(row["outgoing_id"].to_string(), message);
    let (request, answer) = (
        row["request"].as_str().unwrap(),
        row["answer"].as_str().unwrap(),
    );
    assert!(
        request.contains("wa_config_id") && request.contains("long long"),
        "{request}"
    );
    assert!(
        request.len() < 1500 && row["request_bytes"].as_i64().unwrap() > 2500,
        "{}",
        request.len()
    );
    assert!(answer.contains("Error in workflow"), "{answer}");
    let all = row.to_string();
    for gone in [PASSWORD, "bjhuOn", "stacktrace", "/usr/local"] {
        assert!(!all.contains(gone), "{gone} in {all}");
    }
    // The list, its search, and the page of one.
    let mut browser = signed_in(&app).await;
    let page = browser.get("/gateway-log?q=webhook").await;
    assert!(
        page.text().contains("Only what goes wrong") && page.text().contains("Uncertain"),
        "{}",
        page.text()
    );
    assert!(
        !browser
            .get("/gateway-log?f=waha")
            .await
            .text()
            .contains("/webhook/x")
    );
    let page = browser.get(&format!("/gateway-log/{}", row["id"])).await;
    assert!(
        page.text().contains("Error in workflow")
            && page.html.contains(&format!("/outgoing/{message}")),
        "{}",
        page.text()
    );
    // Everything, by the person's choice, at once.
    choose(&mut browser, "everything", "30").await;
    send(&app, by_api, list, "Hi again").await;
    written(&app).await;
    let sent = rows(&app).await;
    let sent = sent
        .iter()
        .find(|row| row["outcome"] == "accepted")
        .unwrap();
    assert_eq!(
        (sent["gateway"].as_str(), sent["account_id"].as_i64()),
        (Some("waha"), Some(by_api))
    );
    assert!(
        sent["address"].as_str().unwrap().ends_with("/api/sendText"),
        "{sent}"
    );
    assert!(
        sent["outgoing_id"].is_i64() && !sent.to_string().contains("simulator-key"),
        "{sent}"
    );
    // A question that is about no message.
    app.ok("POST", &format!("/accounts/{by_api}/test"), None)
        .await;
    written(&app).await;
    let asked = rows(&app).await;
    assert!(
        asked
            .iter()
            .any(|row| row["outcome"] == "answered" && row["outgoing_id"].is_null()),
        "{asked:?}"
    );
    // And nothing.
    choose(&mut browser, "nothing", "30").await;
    let before = rows(&app).await.len();
    send(&app, by_flow, list, "Hi once more").await;
    written(&app).await;
    assert_eq!(rows(&app).await.len(), before);
}

#[tokio::test]
async fn a_token_of_meta_s_and_a_code_that_links_a_phone_are_never_written() {
    let app = TestApp::new().await;
    let mut browser = signed_in(&app).await;
    choose(&mut browser, "everything", "7").await;
    let meta = MockServer::start().await;
    let refused = json!({ "error": { "code": 190, "message": "Error validating access token EAAG-the-token" }, "access_token": "EAAG-the-token" });
    Mock::given(any())
        .respond_with(ResponseTemplate::new(401).set_body_json(refused))
        .mount(&meta)
        .await;
    let account = json!({ "name": "Meta", "provider": "meta", "base_url": meta.uri(), "token": "EAAG-the-token", "app_secret": "the-app-secret",
        "app_id": "1", "waba_id": "2", "phone_number_id": "3" });
    let account = app.ok("POST", "/accounts", Some(&account)).await;
    app.ok("POST", &format!("/accounts/{}/test", account["id"]), None)
        .await;
    let waha = simulator(Options::default()).await;
    let linked = app.account(&waha).await;
    browser.get(&format!("/accounts/{linked}/qr")).await;
    browser.get(&format!("/accounts/{linked}")).await;
    written(&app).await;
    let all = rows(&app).await;
    assert!(
        all.iter()
            .any(|row| row["gateway"] == "meta" && row["outcome"] == "failed"),
        "{all:?}"
    );
    for row in &all {
        let text = row.to_string();
        assert!(
            !text.contains("EAAG-the-token") && !text.contains("simulator-key"),
            "{text}"
        );
        if row["address"].as_str().unwrap().contains("/auth/") {
            assert_eq!(
                (row["request"].as_str(), row["answer"].as_str()),
                (Some(""), Some("")),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn more_than_the_queue_holds_is_counted_and_nobody_waits() {
    let app = TestApp::new().await;
    let mut browser = signed_in(&app).await;
    choose(&mut browser, "everything", "7").await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1300).await;
    // Nobody writes meanwhile: what does not fit is let go.
    let sent = send(&app, account, list, "Hi {{contact.name}}").await;
    assert_eq!(sent["counts"]["failed"], 0, "{sent}");
    assert_eq!(written(&app).await, 1000);
    let dropped: i64 = app
        .value("SELECT sum(dropped) FROM gateway_log_dropped")
        .await
        .parse()
        .unwrap();
    assert!(dropped >= 300, "{dropped}");
    let page = browser.get("/gateway-log").await;
    assert!(
        page.text().contains("since yesterday are missing"),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn what_was_kept_long_enough_goes_by_the_job() {
    let app = TestApp::new().await;
    let n8n = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500))
        .mount(&n8n)
        .await;
    let account = webhook_account(&app, &format!("{}/webhook/x", n8n.uri())).await;
    let list = app.list_of(1).await;
    send(&app, account, list, "Hi").await;
    written(&app).await;
    app.advance(TimeDelta::days(6)).await;
    send(&app, account, list, "Hi again").await;
    written(&app).await;
    assert_eq!(rows(&app).await.len(), 2);
    app.advance(TimeDelta::hours(30)).await;
    app.execute("UPDATE jobs SET active = (name = 'sweep_gateway_log'), next_run = wablast_now()")
        .await;
    app.tick().await;
    assert_eq!(
        rows(&app).await.len(),
        1,
        "a week, where nothing was chosen"
    );
    let words = app
        .value("SELECT summary FROM job_runs WHERE job = 'sweep_gateway_log'")
        .await;
    assert_eq!(words, "1 entry deleted.");
    // A shorter time takes the other as well; what cannot be meant is said.
    let mut browser = signed_in(&app).await;
    let page = choose(&mut browser, "errors", "0").await;
    assert!(
        page.status == 422 && page.text().contains("from 1 to 90"),
        "{}",
        page.text()
    );
    choose(&mut browser, "errors", "1").await;
    app.execute("UPDATE jobs SET next_run = wablast_now() WHERE name = 'sweep_gateway_log'")
        .await;
    app.tick().await;
    assert_eq!(rows(&app).await.len(), 0);
    let page = browser.get("/gateway-log/settings").await;
    assert!(page.text().contains("Keep for"), "{}", page.text());
}

#[tokio::test]
async fn only_the_company_s_administrators_see_its_exchanges() {
    let app = TestApp::new().await;
    let n8n = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(500))
        .mount(&n8n)
        .await;
    let account = webhook_account(&app, &format!("{}/webhook/x", n8n.uri())).await;
    let list = app.list_of(1).await;
    send(&app, account, list, "Hi").await;
    written(&app).await;
    let id = app.value("SELECT id FROM gateway_log").await;
    let other = app.company("Other").await;
    app.person_of(&other, "budi@example.com", "administrator")
        .await;
    app.person("manager@example.com", "manager").await;
    for (email, status) in [("budi@example.com", 404), ("manager@example.com", 403)] {
        let mut browser = Browser::new(&app);
        browser.sign_in_as(email).await;
        assert_eq!(
            browser.get(&format!("/gateway-log/{id}")).await.status,
            status,
            "{email}"
        );
        let list = browser.get("/gateway-log").await;
        assert!(!list.text().contains("/webhook/x"), "{email}");
    }
}
