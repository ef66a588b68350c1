//! The WAHA client against the simulated WAHA and against answers no healthy gateway gives.

use secrecy::SecretString;
use wablast::gateways::http::Http;
use wablast::gateways::waha::{Waha, WahaAddress};
use wablast::gateways::{FailureCode, Rank, SendError, TextMessage};
use wablast::simulator::Options;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{simulator, tell};

fn client(url: &str, key: &str) -> Waha {
    let address = WahaAddress {
        base_url: url.parse().unwrap(),
        api_key: Some(SecretString::from(key.to_owned())),
        basic: None,
        session: "default".to_owned(),
    };
    Waha::new(Http::new().unwrap(), address)
}

fn message() -> TextMessage {
    TextMessage {
        to: "628111".into(),
        text: "private words".into(),
        media: None,
        own_ref: None,
        quoted: None,
        template: None,
    }
}

fn failed_check(checks: &[wablast::gateways::Check]) -> (&'static str, String) {
    let check = checks
        .iter()
        .find(|check| !check.ok)
        .expect("a check that failed");
    (check.name, check.message.clone())
}

#[tokio::test]
async fn every_engine_of_the_simulator_gives_an_id_that_can_be_looked_up() {
    for engine in ["NOWEB", "GOWS", "WEBJS"] {
        let running = simulator(Options {
            engine: engine.into(),
            ..Options::default()
        })
        .await;
        let waha = client(&running.url(), "simulator-key");
        let accepted = waha.send_text(&message()).await.unwrap();
        let sighting = waha
            .look_up("628111", accepted.provider_id.as_deref().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(sighting.rank, Some(Rank::Read), "{engine}");
        assert_eq!(waha.look_up("628111", "nobody").await.unwrap(), None);
    }
}

#[tokio::test]
async fn our_own_id_comes_back_where_the_version_takes_it() {
    let new = simulator(Options::default()).await;
    let waha = client(&new.url(), "simulator-key");
    let id = waha.new_message_id().await.unwrap();
    let sent = waha
        .send_text(&TextMessage {
            own_ref: Some(id.clone()),
            ..message()
        })
        .await
        .unwrap();
    assert_eq!(sent.provider_id, Some(id));
    let old = simulator(Options {
        version: "2026.2.1".into(),
        ..Options::default()
    })
    .await;
    let waha = client(&old.url(), "simulator-key");
    assert!(waha.new_message_id().await.is_err());
    let sent = waha
        .send_text(&TextMessage {
            own_ref: Some("OURS".into()),
            ..message()
        })
        .await
        .unwrap();
    assert_ne!(sent.provider_id.as_deref(), Some("OURS"));
}

#[tokio::test]
async fn no_reason_repeats_the_message_or_the_key() {
    let server = MockServer::start().await;
    let echo = serde_json::json!({ "exception": { "message": "boom", "stack": "at x" }, "request": { "body": { "text": "private words" } } });
    Mock::given(path("/api/sendText"))
        .respond_with(ResponseTemplate::new(500).set_body_json(echo))
        .mount(&server)
        .await;
    let Err(error) = client(&server.uri(), "very-secret-key")
        .send_text(&message())
        .await
    else {
        panic!("accepted")
    };
    assert!(matches!(error, SendError::Uncertain { .. }));
    assert!(
        !error.reason().contains("private") && !error.reason().contains("very-secret"),
        "{}",
        error.reason()
    );
}

#[tokio::test]
async fn a_500_that_echoes_a_whole_file_is_uncertain_in_waha_s_own_words() {
    let server = MockServer::start().await;
    let echo = serde_json::json!({ "exception": { "message": "Connection \"closed\"", "stack": "at x" },
        "request": { "body": { "file": { "data": "private".repeat(100_000) } } } });
    Mock::given(path("/api/sendImage"))
        .respond_with(ResponseTemplate::new(500).set_body_json(echo))
        .mount(&server)
        .await;
    let image = wablast::gateways::Attachment {
        kind: "image",
        mime: "image/png".into(),
        file_name: "a.png".into(),
        source: wablast::gateways::Source::Link("http://127.0.0.1/a.png".into()),
    };
    let message = TextMessage {
        media: Some(image),
        ..message()
    };
    let Err(error) = client(&server.uri(), "k").send(&message).await else {
        panic!("accepted")
    };
    assert!(matches!(error, SendError::Uncertain { .. }), "{error:?}");
    assert_eq!(error.reason(), "WAHA answered 500: Connection \"closed\"");
}

#[tokio::test]
async fn nobody_listening_is_proven_not_sent_and_a_huge_answer_is_not() {
    let closed = format!("http://127.0.0.1:{}", crate::support::instance::free_port());
    let Err(error) = client(&closed, "k").send_text(&message()).await else {
        panic!("accepted")
    };
    assert!(
        matches!(
            error,
            SendError::NotSent {
                code: FailureCode::Unreachable,
                ..
            }
        ),
        "{error:?}"
    );
    let server = MockServer::start().await;
    Mock::given(path("/api/sendText"))
        .respond_with(ResponseTemplate::new(201).set_body_bytes(vec![b' '; 300 * 1024]))
        .mount(&server)
        .await;
    let Err(error) = client(&server.uri(), "k").send_text(&message()).await else {
        panic!("accepted")
    };
    assert!(matches!(error, SendError::Uncertain { .. }), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(201))
        .expect(0)
        .mount(&elsewhere)
        .await;
    let server = MockServer::start().await;
    Mock::given(path("/api/sendText"))
        .respond_with(ResponseTemplate::new(307).insert_header("Location", elsewhere.uri()))
        .mount(&server)
        .await;
    let Err(error) = client(&server.uri(), "k").send_text(&message()).await else {
        panic!("accepted")
    };
    assert!(matches!(error, SendError::Uncertain { .. }), "{error:?}");
}

#[tokio::test]
async fn a_test_says_what_is_wrong_in_plain_words() {
    let running = simulator(Options::default()).await;
    let good = client(&running.url(), "simulator-key").test().await;
    assert!(good.iter().all(|check| check.ok), "{good:?}");
    let (name, words) = failed_check(&client(&running.url(), "wrong").test().await);
    assert_eq!(name, "key", "{words}");
    let closed = format!("http://127.0.0.1:{}", crate::support::instance::free_port());
    let (name, words) = failed_check(&client(&closed, "k").test().await);
    assert!(
        name == "reachable" && words.contains("Nothing listens"),
        "{words}"
    );
    let (name, words) = failed_check(&client("http://waha.invalid:3000", "k").test().await);
    assert!(
        name == "reachable" && words.contains("not known"),
        "{words}"
    );
    let website = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(200).set_body_string("<html>welcome</html>"))
        .mount(&website)
        .await;
    let (name, words) = failed_check(&client(&website.uri(), "k").test().await);
    assert!(name == "waha" && words.contains("not WAHA"), "{words}");
    tell(
        &running,
        "/simulator/session",
        &serde_json::json!({ "status": "SCAN_QR_CODE" }),
    )
    .await;
    let (name, words) = failed_check(&client(&running.url(), "simulator-key").test().await);
    assert!(name == "session" && words.contains("QR code"), "{words}");
    let secure = running.url().replace("http://", "https://");
    let (name, words) = failed_check(&client(&secure, "simulator-key").test().await);
    assert!(name == "reachable" && words.contains("http://"), "{words}");
}

#[tokio::test]
async fn an_open_waha_is_warned_of() {
    let running = simulator(Options {
        api_key: None,
        ..Options::default()
    })
    .await;
    let checks = client(&running.url(), "anything").test().await;
    assert!(
        checks
            .iter()
            .any(|check| check.name == "key" && check.message.contains("without a key")),
        "{checks:?}"
    );
}
