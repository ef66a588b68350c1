//! Every request of our client of Meta against a description of Meta's API.

use std::sync::LazyLock;

use bytes::Bytes;
use secrecy::SecretString;
use serde_json::{Value, json};
use wablast::clock::Clock;
use wablast::gateways::http::Http;
use wablast::gateways::meta::message::{ButtonValue, TemplateCall, Variable};
use wablast::gateways::meta::{Meta, MetaAddress, base};
use wablast::gateways::{Attachment, SendError, Source, TextMessage};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::openapi::faults_in;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../fixtures/meta_api/openapi.json")).unwrap()
});

/// The ids of the description.
const PHONE: &str = "106540352242922";
const WABA: &str = "102290129340398";
const FILE: &str = "1037543291543636";

async fn answering(body: Value) -> (MockServer, Meta) {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    let address = MetaAddress {
        base: base(&server.uri()).unwrap(),
        token: Some(SecretString::from("t".to_owned())),
        phone_uid: PHONE.to_owned(),
        account_uid: WABA.to_owned(),
    };
    let meta = Meta::new(Http::new().unwrap(), address);
    (server, meta)
}

/// The described call.
fn described(request: &Request) -> Option<&'static Value> {
    let path: Vec<&str> = request.url.path().split('/').collect();
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let mut known: Vec<_> = paths
        .iter()
        .filter(|(template, _)| {
            let template: Vec<&str> = template.split('/').collect();
            template.len() == path.len()
                && template
                    .iter()
                    .zip(&path)
                    .all(|(theirs, our)| theirs == our || theirs.starts_with('{'))
        })
        .collect();
    known.sort_by_key(|(template, _)| template.matches('{').count());
    let method = request.method.as_str().to_lowercase();
    known
        .into_iter()
        .find_map(|(_, methods)| methods.get(&method))
}

/// What the description has against a request.
fn wrong(request: &Request) -> Vec<String> {
    let Some(call) = described(request) else {
        return vec![format!("no such call: {} {}", request.method, request.url)];
    };
    let mut found = Vec::new();
    if request
        .headers
        .get("authorization")
        .map(|value| value.as_bytes())
        != Some(b"Bearer t")
    {
        found.push("without the token".to_owned());
    }
    let parameters = call["parameters"].as_array().into_iter().flatten();
    let names: Vec<&str> = parameters
        .filter(|one| one["in"] == "query")
        .filter_map(|one| one["name"].as_str())
        .collect();
    for (name, _) in request.url.query_pairs() {
        if !names.contains(&name.as_ref()) {
            found.push(format!("?{name} is not described"));
        }
    }
    let schema = &call["requestBody"]["content"]["application/json"]["schema"];
    if !schema.is_null() {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        found.extend(faults_in(&DOCUMENT, schema, &body));
    }
    found
}

async fn fits(server: &MockServer, what: &str) {
    let requests = server.received_requests().await.unwrap();
    assert!(!requests.is_empty(), "{what}: nothing was asked");
    for request in requests {
        let wrong = wrong(&request);
        assert!(
            wrong.is_empty(),
            "{what}: {wrong:#?}\n{}",
            String::from_utf8_lossy(&request.body)
        );
    }
}

fn message() -> TextMessage {
    TextMessage {
        to: "6281200000001".into(),
        text: "Halo, lihat https://example.com".into(),
        media: None,
        own_ref: Some("3EB0AA".into()),
        quoted: Some("wamid.X".into()),
        template: None,
    }
}

fn file(kind: &'static str, source: Source) -> Attachment {
    Attachment {
        kind,
        mime: "x/y".to_owned(),
        file_name: "Daftar harga.pdf".to_owned(),
        source,
    }
}

fn promo(name: Option<&str>) -> TemplateCall {
    let variable = |text: &str| Variable {
        name: name.map(str::to_owned),
        text: text.to_owned(),
    };
    TemplateCall {
        name: "weekend_promo".to_owned(),
        language: "id".to_owned(),
        header: vec![variable("Siti")],
        body: vec![variable("Siti\nAminah"), variable("20 %")],
        buttons: [
            ("url", "abc"),
            ("quick_reply", "STOP_12"),
            ("copy_code", "HEMAT20"),
        ]
        .into_iter()
        .enumerate()
        .map(|(index, (kind, text))| ButtonValue {
            index,
            kind: kind.to_owned(),
            text: text.to_owned(),
        })
        .collect(),
        marketing: true,
    }
}

fn messages() -> Vec<(&'static str, TextMessage)> {
    let text = message();
    let with = |media: Attachment| TextMessage {
        media: Some(media),
        ..message()
    };
    let uploaded = || Source::Uploaded(FILE.to_owned());
    vec![
        ("text", text.clone()),
        (
            "to an id of Meta's",
            TextMessage {
                to: "US.13491208655302741918@bsuid".into(),
                quoted: None,
                ..message()
            },
        ),
        (
            "an image that was uploaded",
            with(file("image", uploaded())),
        ),
        (
            "a video by its address",
            with(file(
                "video",
                Source::Link("https://example.com/a.mp4".to_owned()),
            )),
        ),
        (
            "a document without a word",
            TextMessage {
                text: String::new(),
                ..with(file("document", uploaded()))
            },
        ),
        (
            "a voice note",
            TextMessage {
                text: String::new(),
                ..with(Attachment {
                    mime: "audio/ogg; codecs=opus".to_owned(),
                    ..file("voice", uploaded())
                })
            },
        ),
        (
            "sound by its address",
            TextMessage {
                text: String::new(),
                ..with(file(
                    "voice",
                    Source::Link("https://example.com/a.mp3".to_owned()),
                ))
            },
        ),
        (
            "a template by places",
            TextMessage {
                template: Some(promo(None)),
                ..message()
            },
        ),
        (
            "a template by names",
            TextMessage {
                template: Some(promo(Some("first_name"))),
                ..message()
            },
        ),
        (
            "a template with a file",
            TextMessage {
                template: Some(TemplateCall {
                    header: Vec::new(),
                    ..promo(None)
                }),
                ..with(file("document", uploaded()))
            },
        ),
        (
            "a template without variables",
            TextMessage {
                template: Some(TemplateCall {
                    name: "halo".to_owned(),
                    language: "id".to_owned(),
                    ..TemplateCall::default()
                }),
                ..message()
            },
        ),
    ]
}

#[tokio::test]
async fn meta_contract_every_message_is_as_meta_describes_it() {
    for (what, message) in messages() {
        let (server, meta) = answering(json!({ "messages": [{ "id": "wamid.Y" }] })).await;
        meta.send(&message).await.unwrap();
        fits(&server, what).await;
    }
    // What cannot go is refused before anything is asked.
    let (server, meta) = answering(json!({ "messages": [{ "id": "wamid.Y" }] })).await;
    let told = TextMessage {
        media: Some(file("voice", Source::Uploaded(FILE.to_owned()))),
        ..message()
    };
    assert!(matches!(
        meta.send(&told).await,
        Err(SendError::Refused { .. })
    ));
    let inside = TextMessage {
        media: Some(file("image", Source::Inside(Bytes::from_static(b"x")))),
        ..message()
    };
    assert!(matches!(
        meta.send(&inside).await,
        Err(SendError::NotSent { .. })
    ));
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn meta_contract_the_judge_sees_what_meta_would_refuse() {
    let schema = &DOCUMENT["components"]["schemas"]["Message"];
    let good = json!({ "messaging_product": "whatsapp", "to": "+6281", "type": "text", "text": { "body": "x" } });
    assert_eq!(faults_in(&DOCUMENT, schema, &good), Vec::<String>::new());
    let long = "x".repeat(1025);
    for bad in [
        json!({ "messaging_product": "whatsapp", "type": "text", "text": { "body": "x" } }),
        json!({ "messaging_product": "sms", "to": "+6281", "type": "text", "text": { "body": "x" } }),
        json!({ "messaging_product": "whatsapp", "to": "+6281", "type": "text", "text": { "body": "x", "colour": 1 } }),
        json!({ "messaging_product": "whatsapp", "to": "+6281", "type": "image", "image": { "id": "1", "link": "https://x" } }),
        json!({ "messaging_product": "whatsapp", "to": "+6281", "type": "image", "image": { "id": "1", "caption": long } }),
        json!({ "messaging_product": "whatsapp", "to": "+6281", "type": "template", "template": { "name": "Bad Name", "language": { "code": "id" } } }),
    ] {
        assert!(!faults_in(&DOCUMENT, schema, &bad).is_empty(), "{bad}");
    }
}

#[tokio::test]
async fn meta_contract_every_question_is_one_that_meta_answers() {
    let (server, meta) = answering(json!({ "data": [], "id": FILE, "success": true })).await;
    meta.standing().await.unwrap();
    meta.subscribe().await.unwrap();
    meta.templates().await.unwrap();
    // The token is asked about at an address that the description leaves out.
    let (checks, _) = meta.test(Clock::system().now()).await;
    assert!(checks.len() > 2, "{checks:?}");
    let mut into = Vec::new();
    meta.fetch(FILE, 1000, &mut into).await.unwrap_err();
    let requests = server.received_requests().await.unwrap();
    let mut asked: Vec<&str> = Vec::new();
    for request in &requests {
        let path = request.url.path();
        if path.ends_with("/debug_token") {
            continue;
        }
        asked.push(path.split_once("v26.0/").unwrap().1);
        assert_eq!(wrong(request), Vec::<String>::new(), "{}", request.url);
    }
    for part in [
        PHONE.to_owned(),
        FILE.to_owned(),
        format!("{WABA}/phone_numbers"),
        format!("{WABA}/subscribed_apps"),
        format!("{WABA}/message_templates"),
    ] {
        assert!(asked.contains(&part.as_str()), "{part} in {asked:?}");
    }
}

#[tokio::test]
async fn meta_contract_an_upload_has_the_parts_meta_wants() {
    let (server, meta) = answering(json!({ "id": FILE })).await;
    let id = meta
        .upload("image/png", "logo \"1\".png", b"\x89PNG")
        .await
        .unwrap();
    assert_eq!(id, FILE);
    let requests = server.received_requests().await.unwrap();
    let request = &requests[0];
    assert_eq!(wrong(request), Vec::<String>::new());
    let kind = request.headers["content-type"].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = String::from_utf8_lossy(&request.body);
    for part in [
        "name=\"messaging_product\"",
        "name=\"type\"",
        "name=\"file\"",
    ] {
        assert!(body.contains(part), "{part} in {body}");
    }
    assert!(body.contains("whatsapp") && body.contains("image/png"));
    assert!(body.trim_end().ends_with(&format!("--{boundary}--")));
}
