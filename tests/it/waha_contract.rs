//! Our client of WAHA against WAHA's own OpenAPI document, its events as they were captured, and every row of
//! what it answers to a send.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use secrecy::SecretString;
use serde_json::{Value, json};
use wablast::gateways::http::Http;
use wablast::gateways::waha::session::Hook;
use wablast::gateways::waha::{Waha, WahaAddress};
use wablast::gateways::{Attachment, FailureCode, SendError, Source, TextMessage};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::TestApp;
use crate::support::openapi::faults_in;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../fixtures/waha/openapi.json")).unwrap());

fn client(url: &str) -> Waha {
    let address = WahaAddress {
        base_url: url.parse().unwrap(),
        api_key: Some(SecretString::from("k".to_owned())),
        basic: None,
        session: "default".to_owned(),
    };
    Waha::new(Http::new().unwrap(), address)
}

/// The described call, with its address as the document writes it.
fn described(request: &Request) -> Option<(&'static String, &'static Value)> {
    let path: Vec<&str> = request.url.path().split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == path.len()
            && template
                .iter()
                .zip(&path)
                .all(|(theirs, our)| theirs == our || theirs.starts_with('{'))
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let mut known: Vec<_> = paths
        .iter()
        .filter(|(template, _)| fits(template))
        .collect();
    known.sort_by_key(|(template, _)| template.matches('{').count());
    let method = request.method.as_str().to_lowercase();
    known
        .into_iter()
        .find_map(|(template, methods)| Some((template, methods.get(&method)?)))
}

/// What the document has against a request.
fn wrong(request: &Request) -> Vec<String> {
    let Some((_, call)) = described(request) else {
        return vec!["no such call".to_owned()];
    };
    let mut found = Vec::new();
    let asked: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
    let parameters: Vec<&Value> = call["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let in_query = |one: &&&Value| one["in"] == "query";
    for parameter in parameters.iter().filter(in_query) {
        let name = parameter["name"].as_str().unwrap();
        let given = asked.iter().find(|(asked, _)| asked == name);
        let choice = parameter["schema"]["enum"].as_array();
        match given {
            None if parameter["required"] == true => found.push(format!("?{name} is missing")),
            Some((_, value)) if choice.is_some_and(|all| !all.contains(&json!(value))) => {
                found.push(format!("?{name}={value} is none of {choice:?}"));
            }
            _ => {}
        }
    }
    for (name, _) in &asked {
        if !parameters
            .iter()
            .any(|one| one["in"] == "query" && one["name"] == name.as_str())
        {
            found.push(format!("?{name} is not in the document"));
        }
    }
    let schema = &call["requestBody"]["content"]["application/json"]["schema"];
    match (schema.is_null(), request.body.is_empty()) {
        (true, false) => found.push("a body that nobody reads".to_owned()),
        (false, true) => found.push("no body".to_owned()),
        (true, true) => {}
        (false, false) => {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            found.extend(faults_in(&DOCUMENT, schema, &body));
        }
    }
    found
}

fn text() -> TextMessage {
    TextMessage {
        to: "6281200000001".into(),
        text: "Halo".into(),
        media: None,
        own_ref: Some("3EB0AA".into()),
        quoted: Some("false_6281200000001@c.us_3A".into()),
        template: None,
    }
}

fn file(kind: &'static str, mime: &str, source: Source) -> TextMessage {
    TextMessage {
        media: Some(Attachment {
            kind,
            mime: mime.into(),
            file_name: "a".into(),
            source,
        }),
        ..text()
    }
}

#[tokio::test]
async fn every_call_we_make_is_as_waha_describes_it() {
    let server = MockServer::start().await;
    let session = json!({ "name": "default", "status": "WORKING", "me": null,
        "config": { "metadata": { "a": "b" }, "webhooks": [{ "url": "http://crm.example", "events": ["message"] }] } });
    Mock::given(path("/api/sessions/default"))
        .respond_with(ResponseTemplate::new(200).set_body_json(session))
        .mount(&server)
        .await;
    Mock::given(path("/api/sessions/new"))
        .respond_with(ResponseTemplate::new(404).set_body_json(json!({ "statusCode": 404 })))
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(201).set_body_json(
            json!({ "id": "true_1@c.us_A", "version": "2026.7.1", "engine": "NOWEB" }),
        ))
        .mount(&server)
        .await;
    let waha = client(&server.uri());
    let hook = Hook {
        url: "https://blast.example/webhooks/waha/abc".into(),
        key: SecretString::from("key".to_owned()),
    };
    let _ = waha.version().await;
    let _ = waha.new_message_id().await;
    waha.send(&text()).await.unwrap();
    for (kind, mime) in [
        ("image", "image/png"),
        ("video", "video/mp4"),
        ("document", "application/pdf"),
    ] {
        let inside = Source::Inside(Bytes::from_static(b"QUJD"));
        let link = Source::Link("https://blast.example/m/1".into());
        waha.send(&file(kind, mime, inside)).await.unwrap();
        waha.send(&file(kind, mime, link)).await.unwrap();
    }
    for mime in ["audio/ogg; codecs=opus", "audio/mpeg"] {
        for source in [
            Source::Inside(Bytes::from_static(b"QUJD")),
            Source::Link("https://blast.example/m/1".into()),
        ] {
            let note = TextMessage {
                text: String::new(),
                ..file("voice", mime, source)
            };
            waha.send(&note).await.unwrap();
        }
    }
    // Words with a voice note would be lost: nothing is asked for them.
    let told = file("voice", "audio/ogg", Source::Inside(Bytes::new()));
    assert!(matches!(
        waha.send(&told).await,
        Err(SendError::Refused { .. })
    ));
    let _ = waha.look_up("6281200000001", "3EB0AA").await;
    let _ = waha
        .own_messages("6281200000001", DateTime::from_timestamp(1_000, 0).unwrap())
        .await;
    let _ = waha.store().await;
    let _ = waha.test().await;
    let _ = waha.check_exists("6281200000001").await;
    waha.type_to("6281200000001", Duration::ZERO).await;
    let _ = waha.clone().previewing(false).send(&text()).await;
    let _ = waha.qr(Duration::from_secs(5)).await;
    let _ = waha.pairing_code("6281200000001").await;
    let _ = waha.start(&hook).await;
    let _ = waha.set_hook(&hook).await;
    for verb in ["restart", "stop", "logout"] {
        waha.act(verb).await.unwrap();
    }
    let fresh = WahaAddress {
        base_url: server.uri().parse().unwrap(),
        api_key: None,
        basic: None,
        session: "new".into(),
    };
    Waha::new(Http::new().unwrap(), fresh)
        .start(&hook)
        .await
        .unwrap();
    let requests = server.received_requests().await.unwrap();
    let mut called = BTreeSet::new();
    for request in &requests {
        let found = wrong(request);
        assert!(
            found.is_empty(),
            "{} {}: {found:#?}",
            request.method,
            request.url
        );
        let (template, _) = described(request).unwrap();
        called.insert(format!("{} {template}", request.method));
    }
    for call in [
        "GET /api/server/version",
        "GET /api/contacts/check-exists",
        "POST /api/sendSeen",
        "POST /api/startTyping",
        "POST /api/stopTyping",
        "GET /api/sessions/{session}",
        "GET /api/sessions/{session}/me",
        "GET /api/{session}/auth/qr",
        "GET /api/{session}/chats/{chatId}/messages",
        "GET /api/{session}/chats/{chatId}/messages/{messageId}",
        "GET /api/{session}/new-message-id",
        "GET /ping",
        "POST /api/sendFile",
        "POST /api/sendImage",
        "POST /api/sendText",
        "POST /api/sendVideo",
        "POST /api/sendVoice",
        "POST /api/sessions",
        "POST /api/sessions/{session}/logout",
        "POST /api/sessions/{session}/restart",
        "POST /api/sessions/{session}/start",
        "POST /api/sessions/{session}/stop",
        "POST /api/{session}/auth/request-code",
        "PUT /api/sessions/{session}",
    ] {
        assert!(called.contains(call), "{call} was not made: {called:#?}");
    }
}

#[tokio::test]
async fn a_request_that_waha_does_not_describe_is_noticed() {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let http = Http::new().unwrap();
    for (path, body) in [
        (
            "/api/sendText",
            json!({ "session": "default", "chatId": "1@c.us" }),
        ),
        (
            "/api/sendText",
            json!({ "session": "default", "chatId": "1@c.us", "text": 5 }),
        ),
        (
            "/api/sendText",
            json!({ "session": "default", "chatId": "1@c.us", "text": "a", "subject": "b" }),
        ),
        (
            "/api/sendImage",
            json!({ "session": "default", "chatId": "1@c.us", "file": { "mimetype": "image/png" } }),
        ),
        ("/api/sendLetter", json!({})),
    ] {
        let url = format!("{}{path}", server.uri()).parse().unwrap();
        http.post_json(url, &Default::default(), &body)
            .await
            .unwrap();
    }
    for request in server.received_requests().await.unwrap() {
        assert!(!wrong(&request).is_empty(), "{}", request.url);
    }
}

#[tokio::test]
async fn the_captured_events_pass_the_intake_and_do_what_they_say() {
    let app = TestApp::new().await;
    let account = json!({ "name": "Toko", "provider": "waha", "api_url": "http://127.0.0.1:9", "api_key": "k", "webhook_secret": "my-secret" });
    app.ok("POST", "/accounts", Some(&account)).await;
    app.list_of(1).await;
    // What the acknowledgements are about.
    app.execute(
        "INSERT INTO outgoing_content (company_id, text, cause) VALUES (1, 'hello 1', 'x');
         INSERT INTO outgoing (company_id, account_id, kind, contact_id, content_id, number, state, fence, attempts, accepted_at)
           SELECT 1, 1, 'test', min(id), (SELECT max(id) FROM outgoing_content), '5511999999999', 'accepted', 1, 1, wablast_now() FROM contacts;
         INSERT INTO attempts (company_id, account_id, outgoing_id, fence, provider_id, begun_at, ended_at, outcome, rank)
           SELECT 1, 1, id, 1, '3EB07D6801E4A18CA2F271', wablast_now(), wablast_now(), 'accepted', 1 FROM outgoing",
    )
    .await;
    let hook = format!(
        "/webhooks/waha/{}",
        app.value("SELECT account_key FROM accounts").await
    );
    let events: Vec<Value> =
        serde_json::from_str(include_str!("../fixtures/waha/webhooks.json")).unwrap();
    assert_eq!(events.len(), 13);
    for event in &events {
        let (hmac, body) = (
            event["hmac"].as_str().unwrap(),
            event["body"].as_str().unwrap(),
        );
        let headers = [
            ("X-Webhook-Hmac", hmac),
            ("X-Webhook-Hmac-Algorithm", "sha512"),
        ];
        // WAHA sends the same again when it did not hear us.
        for _ in 0..2 {
            let status = app
                .post_raw(&hook, &headers, body.as_bytes().to_vec())
                .await;
            assert_eq!(status, 200, "{}", event["name"]);
        }
        let changed = body.replacen("default", "defaulT", 1);
        assert_eq!(
            app.post_raw(&hook, &headers, changed.into_bytes()).await,
            401
        );
    }
    app.apply_webhooks().await;
    assert_eq!(
        app.value("SELECT count(*) FROM inbox WHERE state <> 'applied'")
            .await,
        "0"
    );
    assert_eq!(
        app.value("SELECT count(*) FROM inbox").await,
        "13",
        "message and message.any are two events"
    );
    // ERROR came too; that it was read outranks it, whatever the order.
    assert_eq!(
        app.value("SELECT state FROM outgoing WHERE number = '5511999999999'")
            .await,
        "read"
    );
    // One message, though two events tell of it; it said STOP.
    assert_eq!(
        app.value("SELECT count(*) || ' ' || min(message) FROM incoming")
            .await,
        "1 STOP"
    );
    let person =
        "SELECT whatsapp_number || ' ' || name || ' ' || opt_out FROM contacts WHERE NOT is_manual";
    assert_eq!(app.value(person).await, "5511888888888 Someone true");
}

/// Status, body, and what becomes of the message: each row of the contract's table.
fn rows() -> Vec<(u16, Value, &'static str)> {
    let status = |status: &str| json!({ "error": "Session status is not as expected. Try again later or restart the session", "session": "default", "status": status, "expected": ["WORKING"] });
    let exception = |message: &str| json!({ "statusCode": 500, "exception": { "message": message, "name": "Error", "stack": "at x" }, "request": { "body": { "text": "private" } } });
    vec![
        (422, status("STOPPED"), "account stop"),
        (422, status("FAILED"), "account stop"),
        (422, status("SCAN_QR_CODE"), "account stop"),
        (422, status("STARTING"), "not sent"),
        (422, status("PASSKEY_REQUIRED"), "not sent"),
        (
            422,
            json!({ "error": "Session \"default\" does not exist", "session": "default" }),
            "account stop",
        ),
        (
            422,
            json!({ "message": "WAHA Core support only 'default' session. If you want to use more", "error": "Unprocessable Entity", "statusCode": 422 }),
            "account stop",
        ),
        (
            400,
            json!({ "message": "Session name is required", "error": "Bad Request", "statusCode": 400 }),
            "refused",
        ),
        (
            400,
            json!({ "message": "Unexpected end of JSON input", "error": "Bad Request", "statusCode": 400 }),
            "refused",
        ),
        (
            500,
            exception("Cannot read properties of undefined (reading 'includes')"),
            "uncertain",
        ),
        (500, exception("Connection Closed"), "uncertain"),
        (
            500,
            exception("2 UNKNOWN: server returned error 463"),
            "uncertain",
        ),
        (
            500,
            exception("no LID found for 5511999999999@s.whatsapp.net from server"),
            "uncertain",
        ),
        (
            404,
            json!({ "message": "Cannot POST /api/sendText", "error": "Not Found", "statusCode": 404 }),
            "account stop",
        ),
        (
            401,
            json!({ "message": "Unauthorized", "statusCode": 401 }),
            "account stop",
        ),
        (
            422,
            json!({ "message": "The feature is available only in Plus version for 'NOWEB' engine.", "error": "Unprocessable Entity", "statusCode": 422 }),
            "refused",
        ),
        (
            501,
            json!({ "message": "The method is not implemented by 'NOWEB' engine.", "error": "Not Implemented", "statusCode": 501 }),
            "refused",
        ),
        (201, json!({}), "uncertain"),
        (
            201,
            json!({ "key": { "remoteJid": "5511999999999@s.whatsapp.net", "fromMe": true, "id": "3EB0" }, "messageTimestamp": "1795395920", "status": "PENDING" }),
            "accepted",
        ),
        (
            201,
            json!({ "id": { "fromMe": true, "remote": "1@g.us", "id": "3EB0", "_serialized": "true_1@g.us_3EB0" } }),
            "accepted",
        ),
        (
            201,
            json!({ "id": "true_99@lid_3EB0", "_data": { "Info": {} } }),
            "accepted",
        ),
    ]
}

#[tokio::test]
async fn every_row_of_what_waha_answers_has_its_class_and_says_nothing_private() {
    for (status, body, expected) in rows() {
        let server = MockServer::start().await;
        Mock::given(path("/api/sendText"))
            .respond_with(ResponseTemplate::new(status).set_body_json(&body))
            .mount(&server)
            .await;
        let sent = client(&server.uri()).send(&text()).await;
        let (class, reason) = match &sent {
            Ok(accepted) => ("accepted", accepted.provider_id.clone().unwrap()),
            Err(error) => {
                let class = match error {
                    SendError::NotSent { .. } => "not sent",
                    SendError::AccountStop { .. } => "account stop",
                    SendError::MailingStop { .. } => "mailing stop",
                    SendError::Refused { .. } => "refused",
                    SendError::Uncertain { .. } => "uncertain",
                };
                (class, error.reason().to_owned())
            }
        };
        assert_eq!(class, expected, "{status} {body}");
        assert!(
            !reason.is_empty() && !reason.contains("private") && !reason.contains("at x"),
            "{reason}"
        );
    }
    // Nobody there, and nobody of that name: nothing left.
    let closed = format!("http://127.0.0.1:{}", crate::support::instance::free_port());
    for (url, code) in [
        (closed.as_str(), FailureCode::Unreachable),
        ("http://waha.invalid:3000", FailureCode::Unreachable),
    ] {
        let Err(error) = client(url).send(&text()).await else {
            panic!("accepted");
        };
        assert!(
            matches!(error, SendError::NotSent { .. }) && error.code() == code,
            "{error:?}"
        );
    }
}
