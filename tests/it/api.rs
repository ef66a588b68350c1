//! The REST API: its document, its manners, what is done once, who may call how often.
//!
//! Every call of the whole suite is compared with the document besides (support/openapi.rs).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use futures_util::future::join_all;
use regex::Regex;
use serde_json::{Value, json};
use wablast::api::document;
use wablast::auth;
use wablast::ids::{CompanyId, UserId};
use wablast::mailings::State;
use wablast::simulator::Options;

use crate::support::browser::Browser;
use crate::support::{TestApp, openapi, simulator};

/// Every route under /api/v1, as the sources register it.
fn registered() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut text = fs::read_to_string(root.join("mod.rs")).unwrap();
    text = text
        .split("web::scope(\"/webhooks")
        .next()
        .unwrap()
        .to_owned();
    for file in fs::read_dir(root.join("v1")).unwrap().flatten() {
        if file.path().extension().is_some_and(|ending| ending == "rs") {
            text += &fs::read_to_string(file.path()).unwrap();
        }
    }
    let text = text.replace("{id:[0-9]+}", "{id}");
    let route = Regex::new(r#"\.route\(\s*"([^"]+)",\s*web::(\w+)\(\)"#).unwrap();
    let all: BTreeSet<String> = route
        .captures_iter(&text)
        .map(|found| format!("{} {}", &found[2], &found[1]))
        .collect();
    assert!(all.len() > 20, "the routes are read from the sources");
    all
}

fn described() -> Vec<(String, &'static Value)> {
    let mut all = Vec::new();
    for (path, methods) in document::all()["paths"].as_object().unwrap() {
        for (method, call) in methods.as_object().unwrap() {
            all.push((format!("{method} {path}"), call));
        }
    }
    all
}

#[test]
fn every_registered_call_is_in_the_document_and_no_other() {
    let described: BTreeSet<String> = described().into_iter().map(|(name, _)| name).collect();
    assert_eq!(registered(), described);
}

#[test]
fn every_call_is_described_whole_and_its_examples_fit() {
    let mut names = BTreeSet::new();
    let mut examples = 0;
    for (name, call) in described() {
        for word in ["summary", "operationId"] {
            assert!(
                call[word].as_str().is_some_and(|text| !text.is_empty()),
                "{name} has no {word}"
            );
        }
        assert!(
            names.insert(call["operationId"].to_string()),
            "{name}: its operationId is another's"
        );
        for parameter in call["parameters"].as_array().into_iter().flatten() {
            let text = parameter["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name}: {parameter} has no description");
        }
        let open = call["security"] == json!([]);
        let statuses = call["responses"].as_object().unwrap();
        assert!(
            statuses.keys().any(|status| status.starts_with('2')),
            "{name}"
        );
        for status in ["401", "429", "500"] {
            assert!(
                statuses.contains_key(status) || (open && status == "401"),
                "{name}: {status}"
            );
        }
        let bodies = statuses.values().chain([&call["requestBody"]]);
        for content in bodies
            .flat_map(|body| body["content"].as_object())
            .flat_map(|kinds| kinds.values())
        {
            let faults = openapi::faults(&content["schema"], &content["example"]);
            assert!(
                faults.is_empty(),
                "the example of {name}: {faults:#?}\n{:#}",
                content["example"]
            );
            examples += 1;
        }
    }
    assert!(examples > 100, "{examples} examples");
}

#[test]
fn the_document_knows_every_state_of_a_mailing() {
    let described = &document::all()["components"]["schemas"]["MailingState"]["enum"];
    let states: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(*described, json!(states));
}

#[tokio::test]
async fn the_document_is_open_and_its_page_shows_every_call() {
    let app = TestApp::new().await;
    let (status, _, served) = app.as_token("").raw("GET", "/openapi.json", &[], "").await;
    assert_eq!(status, 200);
    assert_eq!(served["paths"], document::all()["paths"]);
    let server = served["servers"][0]["url"].as_str().unwrap();
    assert!(
        server.starts_with("http://") && server.ends_with("/api/v1"),
        "{server}"
    );

    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let tokens = browser.get("/tokens").await;
    assert!(
        tokens
            .attributes("a", "href")
            .contains(&"/api/docs".to_owned())
    );
    let page = browser.get("/api/docs").await;
    assert_eq!(page.status, 200);
    let shown = page.attributes("details.call > [id]", "id");
    let leads = page.attributes("a", "href");
    for (name, call) in described() {
        let id = call["operationId"].as_str().unwrap().to_owned();
        assert!(leads.contains(&format!("#{id}")), "{name}");
        assert!(shown.contains(&id), "{name}");
    }
    let ids = page.attributes("[id]", "id");
    for lead in leads.iter().filter_map(|lead| lead.strip_prefix('#')) {
        assert!(ids.iter().any(|id| id == lead), "#{lead} leads nowhere");
    }
}

#[tokio::test]
async fn every_refusal_has_the_envelope() {
    let app = TestApp::new().await;
    let us = app.as_token(&app.token);
    let much = "x".repeat(17 * 1024 * 1024);
    let nobody = app.as_token("wab_no");
    let cases = [
        (&nobody, "GET", "/lists", "", 401, "unauthorized"),
        (&us, "GET", "/mailings/77", "", 404, "not_found"),
        (&us, "GET", "/mailings/seven", "", 404, "not_found"),
        (&us, "GET", "/nothing", "", 404, "not_found"),
        (&us, "POST", "/mailings/77/retry", "", 404, "not_found"),
        (&us, "DELETE", "/lists", "", 404, "not_found"),
        (
            &us,
            "POST",
            "/lists",
            "{\"name\":\"A\",\"colour\":\"red\"}",
            422,
            "invalid",
        ),
        (&us, "POST", "/lists", "{\"name\":", 422, "invalid"),
        (&us, "POST", "/lists", "{}", 422, "invalid"),
        (&us, "GET", "/lists?colour=red", "", 422, "invalid"),
        (&us, "GET", "/contacts?colour=red", "", 422, "invalid"),
        (&us, "GET", "/messages?state=lost", "", 422, "invalid"),
        (&us, "GET", "/messages?cursor=x", "", 422, "invalid"),
        (
            &us,
            "GET",
            "/incoming?since=2026-11-24T10:00:00",
            "",
            422,
            "invalid",
        ),
        (&us, "POST", "/lists", much.as_str(), 413, "invalid"),
    ];
    for (who, method, path, body, status, code) in cases {
        let (got, _, answer) = who.raw(method, path, &[], body).await;
        let said = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(
            (got, &answer["error"]["code"]),
            (status, &json!(code)),
            "{method} {path}: {answer}"
        );
        assert!(!said.is_empty(), "{method} {path}: {answer}");
        assert_eq!(
            answer["error"]["fields"].is_object(),
            status == 422,
            "{method} {path}: {answer}"
        );
    }
    assert_eq!(app.value("SELECT count(*) FROM lists").await, "0");
}

#[tokio::test]
async fn lists_are_read_page_by_page_with_filters() {
    let app = TestApp::new().await;
    let list = app.list_of(5).await;
    app.list_of(0).await;
    let vip = json!({ "contacts": [{ "name": "Siti", "whatsapp_number": "+6281299999999", "tags": ["VIP"] }] });
    app.ok("POST", "/contacts/bulk", Some(&vip)).await;
    let mut seen = Vec::new();
    let mut path = format!("/contacts?list_id={list}&limit=2");
    let mut totals = Vec::new();
    loop {
        let page = app.ok("GET", &path, None).await;
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["id"].as_i64().unwrap()),
        );
        totals.push(page["total"].clone());
        match page["next"].as_str() {
            Some(next) => path = format!("/contacts?list_id={list}&limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(totals, [json!(5), Value::Null, Value::Null]);
    for (filter, found) in [
        ("tag=VIP", 1),
        ("q=siti", 1),
        ("whatsapp_number=6281299999999", 1),
        ("opt_out=true", 0),
        ("opt_out=false", 6),
        ("limit=5000", 6),
        ("limit=0", 1),
    ] {
        let page = app.ok("GET", &format!("/contacts?{filter}"), None).await;
        assert_eq!(page["items"].as_array().unwrap().len(), found, "{filter}");
    }
    let lists = app.ok("GET", "/lists?limit=1", None).await;
    assert_eq!(
        (&lists["total"], &lists["items"][0]["contacts"]),
        (&json!(2), &json!(5))
    );
    let second = app
        .ok(
            "GET",
            &format!("/lists?limit=1&cursor={}", lists["next"].as_str().unwrap()),
            None,
        )
        .await;
    assert_eq!(second["items"][0]["name"], "List of 0");
}

#[tokio::test]
async fn the_same_key_does_it_once_at_once_later_and_after_a_crash_in_between() {
    let app = TestApp::new().await;
    let us = app.as_token(&app.token);
    let key = [("Idempotency-Key", "the order 5")];
    let body = json!({ "name": "Newsletter" }).to_string();
    // The answer cannot be stored: as if the program had ended between the work and its answer.
    app.execute(
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''ended''; END';
         CREATE TRIGGER no BEFORE UPDATE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION no()",
    )
    .await;
    assert_eq!(us.raw("POST", "/lists", &key, &body).await.0, 500);
    let left =
        "SELECT (SELECT count(*) FROM lists) || ' ' || (SELECT count(*) FROM idempotency_keys)";
    assert_eq!(app.value(left).await, "0 0");
    app.execute("DROP TRIGGER no ON idempotency_keys").await;

    let all = join_all((0..8).map(|_| us.raw("POST", "/lists", &key, &body))).await;
    for (status, _, answer) in &all {
        assert_eq!((*status, answer), (201, &all[0].2));
    }
    assert_eq!(app.value(left).await, "1 1");
    let (status, _, answer) = us.raw("POST", "/lists", &key, "{\"name\":\"Other\"}").await;
    assert_eq!(
        (
            status,
            answer["error"]["fields"]["Idempotency-Key"].is_array()
        ),
        (422, true),
        "{answer}"
    );
    let long = "k".repeat(256);
    assert_eq!(
        us.raw("POST", "/lists", &[("Idempotency-Key", &long)], &body)
            .await
            .0,
        422
    );
    // A refusal is not kept: the mended request may use the key.
    let key = [("Idempotency-Key", "mended")];
    assert_eq!(us.raw("POST", "/lists", &key, "{}").await.0, 422);
    assert_eq!(
        us.raw("POST", "/lists", &key, "{\"name\":\"Mended\"}")
            .await
            .0,
        201
    );
    app.advance(chrono::TimeDelta::hours(49)).await;
    let again = us
        .raw(
            "POST",
            "/lists",
            &[("Idempotency-Key", "the order 5")],
            "{\"name\":\"Third\"}",
        )
        .await;
    assert_eq!(again.0, 201, "after two days the key is new: {}", again.2);
}

#[tokio::test]
async fn sending_with_a_key_sends_once_and_a_stored_answer_keeps_its_secret() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let us = app.as_token(&app.token);
    let account = json!({ "name": "Toko", "provider": "waha", "api_url": waha.url(), "api_key": "simulator-key",
        "pace": { "per_second": 500, "burst": 500 } });
    let key = [("Idempotency-Key", "a")];
    let (_, _, first) = us
        .raw("POST", "/accounts", &key, &account.to_string())
        .await;
    let (_, _, again) = us
        .raw("POST", "/accounts", &key, &account.to_string())
        .await;
    assert_eq!(first, again);
    let secret = first["webhook_secret"].as_str().unwrap();
    let stored = app
        .value("SELECT string_agg(answer::text, ' ') FROM idempotency_keys")
        .await;
    assert!(secret.len() > 20 && !stored.contains(secret), "{stored}");

    let list = app.list_of(3).await;
    let mailing = json!({ "subject": "Hello", "account_id": first["id"], "recipients": { "list_ids": [list] }, "message": "Halo" });
    let (_, _, made) = us
        .raw(
            "POST",
            "/mailings",
            &[("Idempotency-Key", "m")],
            &mailing.to_string(),
        )
        .await;
    let (_, _, same) = us
        .raw(
            "POST",
            "/mailings",
            &[("Idempotency-Key", "m")],
            &mailing.to_string(),
        )
        .await;
    assert_eq!(made["id"], same["id"]);
    let id = made["id"].as_i64().unwrap();
    let path = format!("/mailings/{id}/send_now");
    let all =
        join_all((0..5).map(|_| us.raw("POST", &path, &[("Idempotency-Key", "s")], ""))).await;
    assert!(all.iter().all(|(status, _, _)| *status == 200), "{all:?}");
    let shown = app.deliver(id).await;
    assert_eq!(
        (&shown["counts"]["total"], &shown["funnel"]["sent"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(app.value("SELECT count(*) FROM logs").await, "1");
    assert_eq!(
        us.raw(
            "POST",
            &format!("/mailings/{id}/duplicate"),
            &[("Idempotency-Key", "d")],
            ""
        )
        .await
        .0,
        201
    );
    assert_eq!(
        us.raw(
            "POST",
            &format!("/mailings/{id}/duplicate"),
            &[("Idempotency-Key", "d")],
            ""
        )
        .await
        .0,
        201
    );
    assert_eq!(app.value("SELECT count(*) FROM mailings").await, "2");
}

#[tokio::test]
async fn an_account_is_paused_and_resumed_and_a_mailing_goes_through_its_verbs() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    for (verb, state) in [
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "running"),
        ("resume", "running"),
    ] {
        let shown = app
            .ok("POST", &format!("/accounts/{account}/{verb}"), None)
            .await;
        assert_eq!(shown["health"]["state"], state);
    }
    let tested = app
        .ok("POST", &format!("/accounts/{account}/test"), None)
        .await;
    assert_eq!(tested["ok"], true, "{tested}");
    let list = app.list_of(2).await;
    let id = app.mailing(account, list, "Halo {{contact.name}}").await;
    let at = |verb: &str| format!("/mailings/{id}/{verb}");
    assert_eq!(app.ok("GET", &at("preflight"), None).await["will_send"], 2);
    let (status, answer) = app.call("POST", &at("pause"), None).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (409, &json!("conflict"))
    );
    assert!(
        answer["error"]["legal"]
            .as_array()
            .unwrap()
            .contains(&json!("submit")),
        "{answer}"
    );
    assert_eq!(
        app.call("POST", &at("submit"), None).await.0,
        422,
        "no date stored and none given"
    );
    let tomorrow =
        json!({ "schedule_date": (app.app.clock.now() + chrono::TimeDelta::days(1)).to_rfc3339() });
    assert_eq!(
        app.ok("POST", &at("submit"), Some(&tomorrow)).await["state"],
        "submitted"
    );
    assert_eq!(app.ok("POST", &at("draft"), None).await["state"], "draft");
    assert_eq!(
        app.ok("POST", &at("send_now"), None).await["state"],
        "sending"
    );
    assert_eq!(app.ok("POST", &at("pause"), None).await["state"], "paused");
    assert_eq!(
        app.ok("POST", &at("resume"), None).await["state"],
        "sending"
    );
    assert_eq!(
        app.ok("POST", &at("cancel"), None).await["state"],
        "canceled"
    );
    assert_eq!(
        app.ok("POST", &at("duplicate"), None).await["state"],
        "draft"
    );
}

#[tokio::test]
async fn a_token_may_what_its_user_may() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Halo").await;
    let user: i64 = app
        .person("user@example.com", "user")
        .await
        .parse()
        .unwrap();
    let mut conn = app.app.db.system().await.unwrap();
    let token = auth::token::create(&mut conn, CompanyId(1), UserId(user), "theirs", &[])
        .await
        .unwrap();
    drop(conn);
    let user = app.as_token(&token);
    for verb in ["submit", "send_now", "cancel", "draft", "pause", "resume"] {
        let status = user
            .call("POST", &format!("/mailings/{mailing}/{verb}"), None)
            .await
            .0;
        assert_eq!(status, 403, "{verb} of somebody else's mailing");
    }
    for verb in ["pause", "resume", "test"] {
        assert_eq!(
            user.call("POST", &format!("/accounts/{account}/{verb}"), None)
                .await
                .0,
            403
        );
    }
    assert_eq!(
        user.call(
            "POST",
            "/accounts",
            Some(&json!({ "name": "A", "provider": "waha" }))
        )
        .await
        .0,
        403
    );
    let out = json!({ "opt_out": true, "reason": "Asked by phone" });
    assert_eq!(
        user.ok("PATCH", "/contacts/1", Some(&out)).await["opt_out"],
        true
    );
    let back = json!({ "opt_out": false, "reason": "Asked again" });
    assert_eq!(user.call("PATCH", "/contacts/1", Some(&back)).await.0, 403);
    assert_eq!(
        app.call("PATCH", "/contacts/1", Some(&json!({ "opt_out": false })))
            .await
            .0,
        422
    );
    assert_eq!(
        app.ok("PATCH", "/contacts/1", Some(&back)).await["opt_out"],
        false
    );
    let own = json!({ "subject": "Own", "account_id": account, "recipients": { "contact_ids": [1] }, "message": "Halo" });
    let own = user.ok("POST", "/mailings", Some(&own)).await["id"].clone();
    assert_eq!(
        user.ok("POST", &format!("/mailings/{own}/send_now"), None)
            .await["state"],
        "sending"
    );
}

#[tokio::test]
async fn who_calls_too_often_is_told_when_to_come_again() {
    let app = TestApp::new().await;
    let (hasty, calm) = (app.as_token("wab_hasty"), app.as_token(&app.token));
    let mut refused = None;
    for _ in 0..200 {
        let all = join_all((0..50).map(|_| hasty.raw("GET", "/lists", &[], ""))).await;
        refused = all.into_iter().find(|(status, _, _)| *status == 429);
        if refused.is_some() {
            break;
        }
    }
    let (_, after, answer) = refused.expect("10,000 calls at once are too many");
    assert_eq!(answer["error"]["code"], "rate_limited");
    assert!(after.is_some_and(|seconds| seconds >= 1), "{after:?}");
    assert_eq!(
        calm.raw("GET", "/lists", &[], "").await.0,
        200,
        "others are not slowed down"
    );
}

#[tokio::test]
async fn whoever_tries_passwords_too_often_from_one_address_is_held_up() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    let page = browser.get("/login").await;
    let mut held = false;
    for n in 0..600 {
        let form = page
            .form("/login")
            .set("email", &format!("p{n}@example.com"))
            .set("password", "not the one");
        if browser.submit_once(form).await.0 == 429 {
            held = true;
            break;
        }
    }
    assert!(held, "600 tries in a row are too many");
}
