//! What a push shows to its flow: user and password, a bearer token or a signature; that secrets stay secret,
//! and what the test says when they do not fit.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::TestApp;
use crate::support::browser::Browser;

const TOKEN: &str = "flow-token-0123456789";
const SECRET: &str = "signing-secret-0123456789";

async fn account(app: &TestApp, url: &str, more: &Value) -> (u16, Value) {
    let mut account = json!({ "name": "Toko", "provider": "waha", "send_through": "webhook", "delivery": "direct",
        "webhook_url": url, "session": url, "webhook_user": "n8n", "webhook_password": "pass-word",
        "pace": { "per_second": 5000, "burst": 5000 } });
    for (name, value) in more.as_object().unwrap() {
        account[name] = value.clone();
    }
    app.call("POST", "/accounts", Some(&account)).await
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let n8n = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(answer)
        .mount(&n8n)
        .await;
    n8n
}

/// Sends one message through an account with `more`; the requests its flow got.
async fn pushed(app: &TestApp, n8n: &MockServer, more: &Value) -> (i64, Vec<Request>) {
    let (status, account) = account(app, &format!("{}/webhook/x", n8n.uri()), more).await;
    assert_eq!(status, 201, "{account}");
    let account = account["id"].as_i64().unwrap();
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hi {{contact.name}} 🌸").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    (account, n8n.received_requests().await.unwrap())
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_bearer_token_stands_in_its_header_instead_of_user_and_password() {
    let app = TestApp::new().await;
    let n8n = answering(ResponseTemplate::new(200)).await;
    let more = json!({ "webhook_auth": "bearer", "webhook_token": TOKEN });
    let (id, requests) = pushed(&app, &n8n, &more).await;
    assert_eq!(requests.len(), 1);
    assert_eq!(
        header(&requests[0], "authorization"),
        format!("Bearer {TOKEN}")
    );
    assert_eq!(header(&requests[0], "x-wablast-signature"), "");
    assert!(header(&requests[0], "idempotency-key").starts_with("wablast-"));
    let shown = app.ok("GET", &format!("/accounts/{id}"), None).await;
    assert_eq!(
        (
            shown["webhook_auth"].as_str(),
            shown["webhook_token"].as_str(),
            &shown["webhook_signing_secret"]
        ),
        (Some("bearer"), Some("set"), &Value::Null)
    );
}

#[tokio::test]
async fn a_signature_fits_time_and_raw_body_and_nothing_else() {
    let app = TestApp::new().await;
    let n8n = answering(ResponseTemplate::new(200)).await;
    let more = json!({ "webhook_auth": "hmac", "webhook_signing_secret": SECRET });
    let (_, requests) = pushed(&app, &n8n, &more).await;
    let request = &requests[0];
    assert_eq!(header(request, "authorization"), "");
    let at = header(request, "x-wablast-timestamp");
    #[expect(
        clippy::disallowed_methods,
        reason = "what a flow compares the time with"
    )]
    let age = chrono::Utc::now().timestamp() - at.parse::<i64>().unwrap();
    assert!((-5..60).contains(&age), "{age} s");
    let signed = |time: &str, body: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    };
    let signature = header(request, "x-wablast-signature");
    assert_eq!(signature, signed(at, &request.body));
    let mut other = request.body.clone();
    other[5] ^= 1;
    assert_ne!(signature, signed(at, &other));
    assert_ne!(signature, signed("1700000000", &request.body));
}

#[tokio::test]
async fn the_key_of_a_try_is_its_own_and_the_next_try_has_another() {
    let app = TestApp::new().await;
    let n8n = MockServer::start().await;
    let busy = ResponseTemplate::new(429).insert_header("Retry-After", "1");
    Mock::given(method("POST"))
        .respond_with(busy)
        .up_to_n_times(1)
        .mount(&n8n)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&n8n)
        .await;
    let (_, requests) = pushed(&app, &n8n, &json!({})).await;
    let id = app.value("SELECT id FROM outgoing").await;
    let keys: Vec<&str> = requests
        .iter()
        .map(|request| header(request, "idempotency-key"))
        .collect();
    assert_eq!(keys, [format!("wablast-{id}-1"), format!("wablast-{id}-2")]);
}

#[tokio::test]
async fn secrets_are_sealed_shown_nowhere_and_taken_out_of_what_a_flow_says() {
    let app = TestApp::new().await;
    let echo = json!({ "message": format!("you sent Bearer {TOKEN} and {TOKEN} and {SECRET}") });
    let n8n = answering(ResponseTemplate::new(500).set_body_json(echo)).await;
    let more = json!({ "webhook_auth": "bearer", "webhook_token": TOKEN, "webhook_signing_secret": SECRET });
    let (id, _) = pushed(&app, &n8n, &more).await;
    let said = app
        .value("SELECT string_agg(coalesce(o.reason, '') || coalesce(a.reason, ''), ' ') || (SELECT string_agg(error_message, ' ') FROM logs) FROM outgoing o JOIN attempts a ON a.outgoing_id = o.id")
        .await;
    assert!(said.contains("you sent"), "{said}");
    let stored = app
        .value(
            "SELECT encode(token, 'escape') || encode(signing_secret, 'escape') FROM account_flow",
        )
        .await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/accounts/{id}")).await;
    let api = app
        .ok("GET", &format!("/accounts/{id}"), None)
        .await
        .to_string();
    let history = app
        .value("SELECT coalesce(string_agg(to_jsonb(a)::text, ' '), '') FROM audit a")
        .await;
    for text in [&said, &stored, &page.html, &api, &history] {
        for secret in [TOKEN, SECRET] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    // The form changes the choice, keeps what is stored, and says in its history what changed.
    let path = format!("/accounts/{id}");
    let form = page.form(&path);
    assert_eq!(
        (form.get("webhook_auth"), form.get("flow_token")),
        ("bearer".to_owned(), String::new())
    );
    browser.submit(form.set("webhook_auth", "hmac")).await;
    let kept = app.value("SELECT auth || ' ' || (token IS NOT NULL) || ' ' || (signing_secret IS NOT NULL) FROM account_flow").await;
    assert_eq!(kept, "hmac true true");
    let page = browser.get(&path).await;
    assert!(page.text().contains("Signature"), "{}", page.text());
    assert_eq!(
        app.value(&format!(
            "SELECT (untested_since IS NOT NULL)::text FROM accounts WHERE id = {id}"
        ))
        .await,
        "true",
        "another proof is another connection"
    );
}

#[tokio::test]
async fn who_chooses_a_token_or_a_signature_gives_one() {
    let app = TestApp::new().await;
    for (more, field) in [
        (json!({ "webhook_auth": "bearer" }), "flow_token"),
        (json!({ "webhook_auth": "hmac" }), "flow_secret"),
        (
            json!({ "webhook_auth": "hmac", "webhook_signing_secret": "short" }),
            "flow_secret",
        ),
        (
            json!({ "webhook_auth": "bearer", "webhook_token": "two words" }),
            "flow_token",
        ),
        (json!({ "webhook_auth": "oauth" }), "webhook_auth"),
    ] {
        let (status, answer) = account(&app, "http://127.0.0.1:9/webhook/x", &more).await;
        assert_eq!(status, 422, "{answer}");
        assert!(
            answer["error"]["fields"][field].is_array(),
            "{field}: {answer}"
        );
    }
    assert_eq!(app.value("SELECT count(*) FROM accounts").await, "0");
}

#[tokio::test]
async fn the_test_says_in_plain_words_what_does_not_fit() {
    let app = TestApp::new().await;
    let none = json!({ "webhook_user": "" });
    let bearer = json!({ "webhook_auth": "bearer", "webhook_token": TOKEN });
    let signed = json!({ "webhook_auth": "hmac", "webhook_signing_secret": SECRET });
    let other_method = r#"{"code":404,"message":"This webhook is not registered for GET requests. Did you mean to make a POST request?"}"#;
    for (n, (more, status, body, words)) in [
        (
            &none,
            401,
            "Authorization is required!",
            "the account says nothing",
        ),
        (
            &json!({}),
            401,
            "Authorization data is wrong!",
            "does not accept Authentication User and Password",
        ),
        (
            &bearer,
            403,
            "Authorization data is wrong!",
            "does not accept the bearer token (it answered 403)",
        ),
        (
            &bearer,
            401,
            "Authorization is required!",
            "asks for user and password",
        ),
        (&signed, 401, "", "does not accept the signature"),
        (
            &bearer,
            404,
            other_method,
            "Every push shows the bearer token.",
        ),
        (
            &signed,
            404,
            other_method,
            "the first node of the flow has to check it",
        ),
        (
            &none,
            404,
            other_method,
            "anybody who knows its address can run it",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let n8n = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_string(body);
        Mock::given(method("GET"))
            .respond_with(answer)
            .mount(&n8n)
            .await;
        let (_, made) = account(&app, &format!("{}/webhook/{n}", n8n.uri()), more).await;
        let tested = app
            .ok("POST", &format!("/accounts/{}/test", made["id"]), None)
            .await;
        let said = tested["checks"].to_string();
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(tested["ok"], status == 404, "{said}");
        // The question carries what a push carries, so that whoever stands in front of the flow answers as for one.
        let asked = n8n.received_requests().await.unwrap().remove(0);
        match n {
            2 => assert_eq!(header(&asked, "authorization"), format!("Bearer {TOKEN}")),
            4 => assert!(header(&asked, "x-wablast-signature").starts_with("sha256=")),
            _ => {}
        }
    }
}
