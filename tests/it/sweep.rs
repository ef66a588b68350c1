//! Hostile values, one field at a time, in every form of a record and every call that changes one: an
//! answer in words, never a failure.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::browser::{Browser, Form, Page};
use crate::support::site::World;

/// What programs, people and attackers put into one field.
fn hostile() -> [String; 7] {
    [
        "a".repeat(70_000),
        "\u{1F600}\u{202e}\u{7}\u{1b}[31m".repeat(300),
        "before\0after".to_owned(),
        "9".repeat(40),
        "9999-12-31T23:59".to_owned(),
        "-1e400".to_owned(),
        "{{".repeat(600) + "'; DROP TABLE contacts; --",
    ]
}

/// The names of a form's fields, each once.
fn fields(page: &Page, action: &str) -> Vec<String> {
    let css = format!("form[action=\"{action}\"] :is(input, textarea, select)");
    let mut names = page.attributes(&css, "name");
    names.sort();
    names.dedup();
    names.retain(|name| !["csrf", "version", "file"].contains(&name.as_str()));
    names
}

/// Every field of the form to `action` takes every hostile value, alone; `post`: where it is sent.
async fn swept(browser: &mut Browser, address: &str, action: &str, post: &str) -> usize {
    let page = browser.get(address).await;
    assert_eq!(page.status, 200, "{address}: {}", page.text());
    // What was saved before is no reason to refuse what is tried now.
    let form = page.form(action).without("version").to(post);
    let names = fields(&page, action);
    assert!(
        !names.is_empty(),
        "{address}: the form to {action} has fields"
    );
    for name in &names {
        for value in hostile() {
            let short: String = value.chars().take(12).collect();
            takes(
                browser,
                form.clone().set(name, &value),
                &format!("{post} {name} with {short:?}"),
            )
            .await;
        }
    }
    let page = browser.get(address).await;
    assert!(page.status < 500, "{address} afterwards: {}", page.status);
    names.len()
}

async fn takes(browser: &mut Browser, form: Form, what: &str) {
    let status = browser.submit_once(form).await.0;
    assert!(status < 500, "{what}: {status}");
}

#[tokio::test]
async fn no_field_of_an_account_s_forms_can_make_the_panel_fail() {
    let world = World::new("Toko").await;
    let mut browser = Browser::new(&world.app);
    browser.sign_in().await;
    let account = format!("/accounts/{}", world.ids["accounts"]);
    let mut seen = 0;
    for below in ["", "/sending", "/test-message", "/note"] {
        let action = format!("{account}{below}");
        seen += swept(&mut browser, &account, &action, &action).await;
    }
    assert!(seen > 30, "{seen} fields");
}

#[tokio::test]
async fn no_field_of_a_record_s_form_can_make_the_panel_fail() {
    let world = World::new("Toko").await;
    let app = &world.app;
    app.execute(
        "UPDATE templates SET status = 'draft', uid = ''; UPDATE accounts SET provider = 'meta'",
    )
    .await;
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    let id = |noun: &str| world.ids[noun].clone();
    let mut seen = 0;
    for (noun, id) in [
        ("contacts", id("contacts")),
        ("lists", id("lists")),
        ("templates", id("templates")),
        ("users", id("users")),
        ("companies", "1".to_owned()),
        ("jobs", "scheduler_send".to_owned()),
    ] {
        let address = format!("/{noun}/{id}");
        seen += swept(&mut browser, &address, &address, &address).await;
    }
    assert!(seen > 40, "{seen} fields");
}

#[tokio::test]
async fn no_field_around_mailings_imports_and_replies_can_make_the_panel_fail() {
    let world = World::new("Toko").await;
    let app = &world.app;
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    let mailing = format!("/mailings/{}", world.ids["mailings"]);
    let incoming = format!("/incoming/{}", world.ids["incoming"]);
    let draft = app
        .value("SELECT id FROM imports WHERE state = 'draft'")
        .await;
    let import = format!("/imports/{draft}");
    let run = format!("{import}/run");
    let mut seen = 0;
    for (address, action, post) in [
        (&incoming, format!("{incoming}/reply"), None),
        (&incoming, format!("{incoming}/note"), None),
        (&format!("{mailing}/test"), format!("{mailing}/test"), None),
        (&import, run.clone(), Some(format!("{import}/test"))),
        (&mailing, mailing.clone(), None),
        (
            &mailing,
            mailing.clone(),
            Some("/mailings/check".to_owned()),
        ),
    ] {
        let page = browser.get(address).await;
        if !page.attributes("form", "action").contains(&action) {
            continue;
        }
        let post = post.unwrap_or_else(|| action.clone());
        seen += swept(&mut browser, address, &action, &post).await;
    }
    assert!(seen > 20, "{seen} fields");
    // As many columns as nobody has, and none.
    let page = browser.get("/preferences").await;
    for columns in [0, 1, 5_000] {
        let mut form = page.form("/logout").to(&run);
        for _ in 0..columns {
            form = form.add("mapping", "attributes.".repeat(20));
        }
        takes(&mut browser, form, &format!("{run} with {columns} columns")).await;
    }
}

#[tokio::test]
async fn no_one_time_link_can_make_the_panel_fail() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    let login = browser.get("/login").await;
    for value in hostile() {
        let form = login.form("/login").to("/join");
        let form = form.set("token", &value).set("password", &value);
        takes(&mut browser, form, "/join").await;
        let form = login.form("/login").set("email", &value);
        takes(&mut browser, form.set("password", &value), "/login").await;
        let asked: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let asked: String = asked.chars().take(20_000).collect();
        let status = browser.get(&format!("/join?token={asked}")).await.status;
        assert!(status < 500, "{status}");
    }
}

/// One field of a body holds the value; as a text, and as what else JSON has.
fn bodies(template: &Value, value: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for name in template.as_object().unwrap().keys() {
        let mut variants = vec![json!(value), json!([value]), json!({ value: value })];
        variants.extend([
            json!(null),
            json!(-1),
            json!(i64::MAX),
            json!(1e300),
            json!([]),
        ]);
        for variant in variants {
            let mut body = template.clone();
            body[name] = variant;
            all.push((name.clone(), body));
        }
    }
    all
}

#[tokio::test]
async fn no_field_of_a_call_that_changes_something_can_make_the_api_fail() {
    let world = World::new("Toko").await;
    let app = &world.app;
    let contact = format!("/contacts/{}", world.ids["contacts"]);
    let submit = format!("/mailings/{}/submit", world.ids["mailings"]);
    let person = json!({ "name": "Siti", "title": "Ibu", "whatsapp_number": "6281200000001", "country": "ID", "email": "a@example.com",
        "company_name": "Toko", "job_position": "x", "description": "x", "tags": ["VIP"], "list_ids": [], "attributes": { "x": 1 },
        "active": true, "opt_out": false, "reason": "x" });
    let account = format!("/accounts/{}", world.ids["accounts"]);
    let settings = json!({ "name": "Toko", "send_through": "webhook", "delivery": "direct", "batch_size": 5, "pull": true,
        "api_url": "http://127.0.0.1:9", "api_key": "x", "webhook_url": "http://127.0.0.1:9/webhook/x", "webhook_auth": "basic",
        "webhook_user": "x", "webhook_password": "x", "webhook_token": "x", "webhook_signing_secret": "0123456789abcdef",
        "callback_minutes": 5, "counts_as_sent": true, "at_once": 2, "pace": { "per_second": 1.0 }, "auto_pause_percent": 5,
        "resend_proven": true, "welcome_message": "x", "opt_out_confirmation": "x", "allowed_company_ids": [], "allowed_user_ids": [] });
    let log = json!({ "what": "errors", "days": 3 });
    let caller = app.as_token(&app.token);
    let headers = [("Content-Type", "application/json")];
    for (method, path, template) in [
        ("PATCH", contact.as_str(), &person),
        ("PATCH", account.as_str(), &settings),
        ("PATCH", "/gateway_log", &log),
        ("POST", submit.as_str(), &json!({ "schedule_date": "x" })),
    ] {
        for value in hostile() {
            for (name, body) in bodies(template, &value) {
                let (status, _, answer) =
                    caller.raw(method, path, &headers, &body.to_string()).await;
                assert!(status < 500, "{method} {path} {name}: {status} {answer}");
            }
        }
    }
    for value in hostile() {
        let asked: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        let asked: String = asked.chars().take(8_000).collect();
        for (path, names) in [
            (
                "/mailings",
                ["state", "q", "account_id", "active", "limit", "cursor"],
            ),
            (
                "/contacts",
                ["list_id", "q", "tag", "opt_out", "limit", "cursor"],
            ),
            (
                "/messages",
                [
                    "mailing_id",
                    "state",
                    "contact_id",
                    "nobody",
                    "limit",
                    "cursor",
                ],
            ),
            ("/incoming", ["since", "q", "x", "y", "limit", "cursor"]),
        ] {
            for name in names {
                let (status, _, answer) = caller
                    .raw("GET", &format!("{path}?{name}={asked}"), &[], "")
                    .await;
                assert!(status < 500, "{path} {name}: {status} {answer}");
            }
        }
    }
}
