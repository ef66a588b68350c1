//! The page that sets up an n8n flow, and the workflow file it gives: whole, without a secret, and reading what we
//! post and posting what we read.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};
use wablast::gateways::Rank;
use wablast::gateways::webhook::{Push, events};

use crate::support::TestApp;
use crate::support::browser::Browser;

const TEXT: &str = include_str!("../../docs/n8n-workflow.json");

fn workflow() -> Value {
    serde_json::from_str(TEXT).unwrap()
}

fn node<'a>(workflow: &'a Value, name: &str) -> &'a Value {
    let nodes = workflow["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|node| node["name"] == name);
    found.unwrap_or_else(|| panic!("no node {name}"))
}

/// Every text of a value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

/// What n8n imports: every node whole, every connection to a node.
fn is_whole(workflow: &Value) {
    let nodes = workflow["nodes"].as_array().unwrap();
    let names: BTreeSet<&str> = nodes
        .iter()
        .map(|node| node["name"].as_str().unwrap())
        .collect();
    let ids: BTreeSet<&str> = nodes
        .iter()
        .map(|node| node["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        (names.len(), ids.len()),
        (nodes.len(), nodes.len()),
        "each once"
    );
    for node in nodes {
        assert!(
            node["parameters"].is_object() && node["typeVersion"].is_number(),
            "{node}"
        );
        assert!(
            node["type"]
                .as_str()
                .unwrap()
                .starts_with("n8n-nodes-base."),
            "{node}"
        );
        let at = node["position"].as_array().unwrap();
        assert!(at.len() == 2 && at.iter().all(Value::is_i64), "{node}");
        if node["type"] == "n8n-nodes-base.webhook" {
            assert!(node["webhookId"].is_string(), "{node}");
        }
    }
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    for (from, ways) in workflow["connections"].as_object().unwrap() {
        assert!(names.contains(from.as_str()), "{from}");
        for way in ways["main"].as_array().unwrap() {
            for target in way.as_array().unwrap() {
                let name = target["node"].as_str().unwrap();
                assert!(
                    names.contains(name) && target["type"] == "main" && target["index"] == 0,
                    "{target}"
                );
                reached.insert(name);
            }
        }
    }
    for node in nodes {
        let begins = node["type"] == "n8n-nodes-base.webhook";
        assert!(
            begins != reached.contains(node["name"].as_str().unwrap()),
            "{node}"
        );
    }
    let mut all = Vec::new();
    texts(workflow, &mut all);
    let named = Regex::new(r"\$\('([^']+)'\)").unwrap();
    for expression in all.iter().filter(|text| text.starts_with('=')) {
        // n8n ends an expression at the first pair of braces.
        assert_eq!(
            expression.matches("}}").count(),
            expression.matches("{{").count(),
            "{expression}"
        );
        for name in named.captures_iter(expression) {
            assert!(names.contains(&name[1]), "{expression}");
        }
    }
}

/// Secrets stand in credentials, which a file names only; and no request of ours goes back.
fn holds_no_secret(workflow: &Value) {
    for node in workflow["nodes"].as_array().unwrap() {
        for (kind, credential) in node["credentials"].as_object().into_iter().flatten() {
            let fields: Vec<&String> = credential.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["id", "name"], "{kind}");
        }
        let parameters = node["parameters"].to_string();
        for word in [
            "headers",
            "password",
            "token",
            "cbt_",
            "Bearer",
            "X-Api-Key",
            "headerParameters",
        ] {
            assert!(!parameters.contains(word), "{word} in {parameters}");
        }
        let asks = ["n8n-nodes-base.webhook", "n8n-nodes-base.httpRequest"]
            .contains(&node["type"].as_str().unwrap());
        assert_eq!(asks, node["credentials"].is_object(), "{node}");
    }
}

#[test]
fn the_workflow_is_one_file_in_two_places_whole_and_without_a_secret() {
    assert_eq!(TEXT, include_str!("../../static/n8n-workflow.json"));
    let workflow = workflow();
    is_whole(&workflow);
    holds_no_secret(&workflow);
    for name in ["Send text by WAHA", "Send file by WAHA"] {
        assert_eq!(
            node(&workflow, name)["retryOnFail"],
            false,
            "n8n must not send twice either"
        );
        let ways = workflow["connections"][name]["main"].as_array().unwrap();
        assert_eq!(ways.len(), 2, "an error has a way of its own");
    }
    assert_eq!(
        node(&workflow, "Webhook")["parameters"]["responseMode"],
        "responseNode"
    );
}

#[test]
fn the_workflow_reads_what_we_post_and_reports_what_we_read() {
    let workflow = workflow();
    let payload = Push {
        media_url: "x".into(),
        ..Push::default()
    }
    .payload();
    let contact: Value = serde_json::from_str(payload["contact"].as_str().unwrap()).unwrap();
    let reads = node(&workflow, "Message")["parameters"]["jsonOutput"]
        .as_str()
        .unwrap();
    let (ours, theirs) = (
        Regex::new(r"\$json\.body\.(\w+)").unwrap(),
        Regex::new(r"\.contact\)\.(\w+)").unwrap(),
    );
    let mut read = BTreeSet::new();
    for found in ours.captures_iter(reads) {
        assert!(
            payload.get(&found[1]).is_some(),
            "{} is not posted",
            &found[1]
        );
    }
    for found in theirs.captures_iter(reads) {
        assert!(
            contact.get(&found[1]).is_some(),
            "{} is not posted",
            &found[1]
        );
        read.insert(found[1].to_owned());
    }
    for needed in [
        "sent_id",
        "contact_whatsapp",
        "message",
        "hasmedia",
        "mime_type",
        "media_url",
    ] {
        assert!(read.contains(needed), "{needed} is not read");
    }
    // What later nodes read of the message is made there.
    let made: BTreeSet<String> = Regex::new(r"[{,] (\w+):")
        .unwrap()
        .captures_iter(reads)
        .map(|found| found[1].to_owned())
        .collect();
    let mut all = Vec::new();
    texts(&workflow, &mut all);
    let used = Regex::new(r"\$\('Message'\)\.item\.json\.(\w+)").unwrap();
    for text in &all {
        for found in used.captures_iter(text) {
            assert!(
                made.contains(&found[1]),
                "{} is not made in {made:?}",
                &found[1]
            );
        }
    }
    // As it comes here.
    let sent = json!({ "action": "update", "id": "42", "result_from": "waha", "json_message": { "id": "true_6281@c.us_3EB0A" } });
    let sent = events::report(&sent, &[]).unwrap();
    assert_eq!(
        (sent.sent_id, sent.rank, sent.provider_id.as_deref()),
        (42, Rank::Sent, Some("3EB0A"))
    );
    let failed =
        json!({ "action": "update", "id": "42", "result_from": "error", "error": "422 - no" });
    assert_eq!(events::report(&failed, &[]).unwrap().rank, Rank::Failed);
    for (name, says) in [
        (
            "Report sent",
            ["id: String(", "result_from: 'waha'", "json_message: { id:"],
        ),
        (
            "Report failure",
            ["id: String(", "result_from: 'error'", "error: $('Failure')"],
        ),
        ("Bring message", ["from: ", "message_id: ", "body: "]),
        (
            "Answer sent",
            ["status: 'success'", "sent_id: ", "waha_id: "],
        ),
        (
            "Answer failure",
            ["status: 'error'", "sent_id: ", "error: "],
        ),
        ("Answer unknown", ["status: 'unknown'", "sent_id: ", ""]),
    ] {
        let parameters = &node(&workflow, name)["parameters"];
        let body = parameters["jsonBody"]
            .as_str()
            .or(parameters["responseBody"].as_str())
            .unwrap();
        for word in says {
            assert!(body.contains(word), "{name} says {word}: {body}");
        }
    }
}

#[tokio::test]
async fn the_page_shows_the_steps_and_gives_the_file_with_our_addresses() {
    let app = TestApp::new().await;
    let made = json!({ "name": "Toko <b>\"{{ $env }}\"", "provider": "waha", "send_through": "webhook",
        "webhook_url": "https://n8n.example.com/webhook/toko/one", "webhook_user": "n8n", "webhook_password": "s3cret-of-hook" });
    let account = app.ok("POST", "/accounts", Some(&made)).await["id"]
        .as_i64()
        .unwrap();
    let mut dewi = Browser::new(&app);
    dewi.sign_in().await;
    let at = format!("/accounts/{account}/flow");
    let from = dewi.get(&format!("/accounts/{account}")).await;
    assert!(
        from.html.contains(&format!("href=\"{at}\"")),
        "the account leads there"
    );
    let page = dewi.get(&at).await;
    let ours = app.app.config.public_url();
    for name in [
        "create_logsent",
        "wa_incoming",
        "wa_config",
        "cleanup_message",
    ] {
        assert!(page.html.contains(&format!("{ours}/isi/{name}")), "{name}");
    }
    assert!(
        page.text().contains("There is no callback token yet"),
        "{}",
        page.text()
    );
    let shown = dewi.submit(page.form(&format!("{at}/token"))).await;
    assert_eq!(shown.path, at);
    let token = Regex::new("cbt_[A-Za-z0-9]{40}").unwrap();
    let token = token.find(&shown.html).unwrap().as_str().to_owned();
    let again = dewi.get(&at).await;
    assert!(
        !again.html.contains(&token) && again.html.contains("cbt_••••"),
        "shown once, then masked"
    );
    let file = dewi.get(&format!("{at}/n8n-workflow.json")).await;
    assert!(file.header("content-disposition").starts_with("attachment"));
    let filled: Value = serde_json::from_str(&file.html).unwrap();
    is_whole(&filled);
    holds_no_secret(&filled);
    for secret in ["s3cret-of-hook", &token] {
        assert!(!file.html.contains(secret), "{secret}");
    }
    assert_eq!(filled["name"], "WhatsApp Blasting: Toko <b>\"{{ $env }}\"");
    assert_eq!(node(&filled, "Webhook")["parameters"]["path"], "toko/one");
    assert_eq!(
        node(&filled, "Report sent")["parameters"]["url"],
        format!("{ours}/isi/create_logsent")
    );
    // With the token as n8n's credential sends it.
    let body = json!({ "messages": [] }).to_string().into_bytes();
    let bearer = format!("Bearer {token}");
    let json = ("Content-Type", "application/json");
    let status = app
        .post_raw(
            "/isi/create_logsent",
            &[json, ("Authorization", &bearer)],
            body.clone(),
        )
        .await;
    assert_eq!(status, 200);
    for wrong in ["Bearer cbt_wrong", "Basic eDp5", ""] {
        assert_eq!(
            app.post_raw(
                "/isi/create_logsent",
                &[json, ("Authorization", wrong)],
                body.clone()
            )
            .await,
            401,
            "{wrong}"
        );
    }
    let open = json!({ "name": "Open", "provider": "waha", "send_through": "webhook", "webhook_url": "https://n8n.example.com/webhook/open" });
    let open = app.ok("POST", "/accounts", Some(&open)).await["id"]
        .as_i64()
        .unwrap();
    let file = dewi
        .get(&format!("/accounts/{open}/flow/n8n-workflow.json"))
        .await;
    let filled: Value = serde_json::from_str(&file.html).unwrap();
    assert_eq!(
        node(&filled, "Webhook")["parameters"]["authentication"],
        "none"
    );
    let api = json!({ "name": "API", "provider": "waha", "api_url": "http://127.0.0.1:9" });
    let api = app.ok("POST", "/accounts", Some(&api)).await["id"]
        .as_i64()
        .unwrap();
    assert_eq!(
        dewi.get(&format!("/accounts/{api}/flow")).await.path,
        format!("/accounts/{api}")
    );
}
