//! Accounts changed by programs as by the panel: how messages leave, the secret of a flow's reports, and what the
//! Gateway Log writes down.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::TestApp;
use crate::support::browser::Browser;

async fn account(app: &TestApp) -> i64 {
    let account = json!({ "name": "Toko", "provider": "waha", "send_through": "webhook", "delivery": "direct",
        "webhook_url": "http://127.0.0.1:9/webhook/x", "pace": { "per_second": 2.0, "hourly_cap": 400 } });
    app.ok("POST", "/accounts", Some(&account)).await["id"]
        .as_i64()
        .unwrap()
}

#[tokio::test]
async fn a_program_changes_an_account_as_its_form_does() {
    let app = TestApp::new().await;
    let path = format!("/accounts/{}", account(&app).await);
    let before = app.ok("GET", &path, None).await;
    assert_eq!(
        (&before["pull"], &before["delivery"]),
        (&json!(false), &json!("direct"))
    );
    let change = json!({ "pull": true, "delivery": "batched", "batch_size": 40 });
    let after = app.ok("PATCH", &path, Some(&change)).await;
    assert_eq!(
        (&after["pull"], &after["delivery"], &after["batch_size"]),
        (&json!(true), &json!("batched"), &json!(40)),
        "{after}"
    );
    // What was not named stays.
    for same in [
        "name",
        "webhook_url",
        "pace",
        "allowed_company_ids",
        "at_once",
    ] {
        assert_eq!(after[same], before[same], "{same}");
    }
    let asked = json!({ "account_id": after["id"] });
    assert_eq!(
        app.call("POST", "/outgoing/pull", Some(&asked)).await.0,
        200,
        "workers fetch now"
    );
    let change = json!({ "pull": false, "name": "Toko Dua", "webhook_password": "s3cret-new", "pace": { "per_second": 1.0 } });
    let after = app.ok("PATCH", &path, Some(&change)).await;
    assert_eq!(
        (&after["pull"], &after["pace"]["hourly_cap"]),
        (&json!(false), &Value::Null),
        "the pace is replaced whole: {after}"
    );
    assert_eq!(
        app.call("POST", "/outgoing/pull", Some(&asked)).await.0,
        409
    );
    // The history tells it, and no secret.
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&path).await;
    let text = page.text();
    for told in ["Changed: API", "Workers fetch the messages", "Toko Dua"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!page.html.contains("s3cret-new"));
    for (wrong, field) in [
        (json!({ "delivery": "pigeon" }), "delivery"),
        (json!({ "batch_size": 0 }), "batch_size"),
        (json!({ "name": " " }), "name"),
        (json!({ "webhook_url": "ftp://x" }), "webhook_url"),
        (
            json!({ "send_through": "api", "api_url": "http://127.0.0.1:9", "pull": true }),
            "pull",
        ),
        (json!({ "allowed_user_ids": [987_654] }), "allowed_user_ids"),
        (json!({ "provider": "meta" }), "body"),
    ] {
        let (status, answer) = app.call("PATCH", &path, Some(&wrong)).await;
        assert!(
            status == 422 && answer["error"]["fields"][field].is_array(),
            "{wrong}: {answer}"
        );
    }
    let unchanged = app.ok("GET", &path, None).await;
    assert_eq!(unchanged["name"], "Toko Dua");
}

#[tokio::test]
async fn only_administrators_of_its_company_change_an_account_or_the_log() {
    let app = TestApp::new().await;
    let account = account(&app).await;
    let other = app.company("Toko Melati").await;
    let stranger = app
        .person_of(&other, "budi@example.com", "administrator")
        .await;
    let stranger = app.as_token(&app.token_of(&other, &stranger).await);
    let manager = app.person("rudi@example.com", "manager").await;
    let manager = app.as_token(&app.token_of("1", &manager).await);
    let path = format!("/accounts/{account}");
    let secret = format!("{path}/callback_secret");
    let name = json!({ "name": "Stolen" });
    let all = json!({ "what": "everything" });
    for (method, path, body, of_stranger) in [
        ("PATCH", path.as_str(), Some(&name), 404),
        ("POST", secret.as_str(), None, 404),
        // Every company has a log of its own.
        ("PATCH", "/gateway_log", Some(&all), 200),
        ("GET", "/gateway_log", None, 200),
    ] {
        let status = stranger.call(method, path, body).await.0;
        assert_eq!(status, of_stranger, "{method} {path}");
        let status = manager.call(method, path, body).await.0;
        assert_eq!(status, 403, "{method} {path}");
    }
    // One it is shared with reads it, and changes nothing.
    app.execute(&format!(
        "INSERT INTO account_companies (company_id, account_id) VALUES ({other}, {account})"
    ))
    .await;
    for (method, path, body) in [("PATCH", &path, Some(&name)), ("POST", &secret, None)] {
        assert_eq!(stranger.call(method, path, body).await.0, 403, "{path}");
    }
    assert_eq!(app.ok("GET", &path, None).await["name"], "Toko");
    assert_eq!(
        app.ok("GET", "/gateway_log", None).await,
        json!({ "what": "errors", "days": 7 })
    );
}

fn signed(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn the_secret_of_a_flow_s_reports_is_made_and_answered_once() {
    let app = TestApp::new().await;
    let path = format!("/accounts/{}", account(&app).await);
    let make = format!("{path}/callback_secret");
    assert_eq!(
        app.ok("GET", &path, None).await["callback_secret"],
        Value::Null
    );
    let first = app.ok("POST", &make, None).await;
    let secret = first["callback_secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("fls_") && secret.len() == 44, "{secret}");
    let shown = app.ok("GET", &path, None).await;
    assert_eq!(
        (&shown["callback_secret"], &shown["callback_url"]),
        (&json!("set"), &first["callback_url"])
    );
    let post = async |secret: &str, id: &str| {
        let body = json!({ "events": [{ "id": id, "kind": "incoming", "from": "6281200000001", "to": "628111", "text": "Halo" }] })
            .to_string()
            .into_bytes();
        let key = shown["account_key"].as_str().unwrap();
        let signature = signed(secret, &body);
        app.post_raw(
            &format!("/webhooks/flow/{key}"),
            &[("X-Wablast-Signature", &signature)],
            body,
        )
        .await
    };
    assert_eq!(post(&secret, "e-1").await, 200);
    // The same call again with its key answers the same; another one ends the secret.
    let headers = [("Idempotency-Key", "make-1")];
    let caller = app.as_token(&app.token);
    let (status, _, second) = caller.raw("POST", &make, &headers, "").await;
    let (_, _, again) = caller.raw("POST", &make, &headers, "").await;
    assert_eq!((status, &second), (201, &again));
    assert_ne!(second["callback_secret"], first["callback_secret"]);
    assert_eq!(post(&secret, "e-2").await, 401);
    let second = second["callback_secret"].as_str().unwrap();
    assert_eq!(post(second, "e-3").await, 200);
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&path).await;
    assert!(page.text().contains("New secret for signed events"));
    assert!(!page.html.contains(second));
    let by_api = json!({ "name": "API", "provider": "waha", "api_url": "http://127.0.0.1:9" });
    let by_api = app.ok("POST", "/accounts", Some(&by_api)).await["id"].clone();
    let path = format!("/accounts/{by_api}/callback_secret");
    assert_eq!(app.call("POST", &path, None).await.0, 409);
}

#[tokio::test]
async fn what_the_gateway_log_writes_is_chosen_by_a_program_too() {
    let app = TestApp::new().await;
    let path = "/gateway_log";
    let all = json!({ "what": "everything" });
    assert_eq!(
        app.ok("PATCH", path, Some(&all)).await,
        json!({ "what": "everything", "days": 7 })
    );
    let days = json!({ "days": 30 });
    assert_eq!(
        app.ok("PATCH", path, Some(&days)).await,
        json!({ "what": "everything", "days": 30 })
    );
    for (wrong, field) in [
        (json!({ "what": "some" }), "what"),
        (json!({ "days": 0 }), "days"),
        (json!({ "days": 91 }), "days"),
    ] {
        let (status, answer) = app.call("PATCH", path, Some(&wrong)).await;
        assert!(
            status == 422 && answer["error"]["fields"][field].is_array(),
            "{answer}"
        );
    }
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/gateway-log/settings").await;
    assert_eq!(
        page.form("/gateway-log/settings").get("days"),
        "30",
        "the panel shows it"
    );
    assert!(page.text().contains("API"), "{}", page.text());
}

#[tokio::test]
async fn the_company_s_callback_token_is_made_and_answered_once() {
    let app = TestApp::new().await;
    let path = "/callback_token";
    assert_eq!(
        app.ok("GET", path, None).await,
        json!({ "exists": false, "made_by": null, "made_at": null, "last_used_at": null })
    );
    let made = app.ok("POST", path, None).await;
    let first = made["callback_token"].as_str().unwrap().to_owned();
    assert!(first.starts_with("cbt_") && first.len() == 44, "{first}");
    let shown = app.ok("GET", path, None).await;
    assert_eq!(
        (&shown["exists"], &shown["last_used_at"]),
        (&json!(true), &Value::Null)
    );
    assert!(shown["made_at"].is_string() && shown["made_by"].is_string());
    assert!(!shown.to_string().contains(&first));
    let calls = async |token: &str| {
        let body = json!({ "messages": [], "token": token }).to_string();
        let json = [("Content-Type", "application/json")];
        app.post_raw("/isi/create_logsent", &json, body.into_bytes())
            .await
    };
    assert_eq!(calls(&first).await, 200);
    assert!(app.ok("GET", path, None).await["last_used_at"].is_string());
    // With its key a repeated call makes no other, and another one ends the first.
    let headers = [("Idempotency-Key", "make-1")];
    let caller = app.as_token(&app.token);
    let (status, _, second) = caller.raw("POST", path, &headers, "").await;
    let (_, _, again) = caller.raw("POST", path, &headers, "").await;
    assert_eq!((status, &second), (201, &again));
    let second = second["callback_token"].as_str().unwrap();
    assert_eq!(calls(&first).await, 401);
    assert_eq!(calls(second).await, 200);
    // The company's history tells it, and no token; the panel makes one that is told there too.
    let account = account(&app).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/accounts/{account}")).await;
    let form = page.form(&format!("/accounts/{account}/callback-token"));
    assert!(browser.submit(form).await.text().contains("cbt_"));
    assert_eq!(calls(second).await, 401);
    let told = browser.get("/companies/1").await;
    let count = told.text().matches("New callback token").count();
    assert_eq!(count, 3, "{}", told.text());
    assert_eq!(told.text().matches("New callback token: API").count(), 2);
    assert!(!told.html.contains("cbt_"), "{}", told.html);
    let told = browser.get(&format!("/accounts/{account}")).await;
    assert!(
        told.text().contains("New callback token"),
        "{}",
        told.text()
    );
}

#[tokio::test]
async fn only_administrators_make_a_callback_token_and_each_company_has_its_own() {
    let app = TestApp::new().await;
    let path = "/callback_token";
    let ours = app.ok("POST", path, None).await["callback_token"].clone();
    for role in ["manager", "user"] {
        let person = app.person(&format!("{role}@example.com"), role).await;
        let person = app.as_token(&app.token_of("1", &person).await);
        for method in ["GET", "POST"] {
            assert_eq!(person.call(method, path, None).await.0, 403, "{role}");
        }
    }
    let other = app.company("Toko Melati").await;
    let stranger = app
        .person_of(&other, "budi@example.com", "administrator")
        .await;
    let stranger = app.as_token(&app.token_of(&other, &stranger).await);
    let (_, shown) = stranger.call("GET", path, None).await;
    assert_eq!(shown["exists"], false);
    let (status, theirs) = stranger.call("POST", path, None).await;
    assert_eq!(status, 201);
    for token in [&ours, &theirs["callback_token"]] {
        let body = json!({ "messages": [], "token": token }).to_string();
        let json = [("Content-Type", "application/json")];
        let status = app
            .post_raw("/isi/create_logsent", &json, body.into_bytes())
            .await;
        assert_eq!(status, 200, "both hold");
    }
}
