//! What is too long, too far away or not theirs: an answer in words, never a failure.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::browser::{Browser, Form};
use crate::support::site::World;

#[tokio::test]
async fn an_account_that_is_kept_for_others_is_not_there_for_a_token() {
    let world = World::new("Toko").await;
    let app = &world.app;
    let rudi = world.ids["users"].clone();
    let path = format!("/accounts/{}", world.ids["accounts"]);
    let token = app.token_of("1", &rudi).await;
    assert_eq!(app.as_token(&token).call("GET", &path, None).await.0, 200);
    app.execute(
        "INSERT INTO account_users (company_id, account_id, user_id) SELECT 1, id, 1 FROM accounts",
    )
    .await;
    assert_eq!(app.as_token(&token).call("GET", &path, None).await.0, 404);
    // Who looks after accounts sees them all.
    app.execute(&format!("UPDATE account_users SET user_id = {rudi}"))
        .await;
    assert_eq!(app.call("GET", &path, None).await.0, 200);
}

#[tokio::test]
async fn a_colleague_s_import_is_only_looked_at() {
    let world = World::new("Toko").await;
    let app = &world.app;
    app.person("user@example.com", "user").await;
    app.person("manager@example.com", "manager").await;
    let draft = app
        .value("SELECT id FROM imports WHERE state = 'draft'")
        .await;
    let (page, cancel) = (
        format!("/imports/{draft}"),
        format!("/imports/{draft}/cancel"),
    );
    let mut user = Browser::new(app);
    user.sign_in_as("user@example.com").await;
    let refused = user.get(&page).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("somebody else's"),
        "{}",
        refused.text()
    );
    let form = user.get("/preferences").await.form("/logout");
    for verb in ["cancel", "resume", "run", "test"] {
        let form = form.clone().to(&format!("/imports/{draft}/{verb}"));
        assert_eq!(user.submit_once(form).await.0, 403, "{verb}");
    }
    assert_eq!(
        app.value(&format!("SELECT state FROM imports WHERE id = {draft}"))
            .await,
        "draft"
    );
    let mut manager = Browser::new(app);
    manager.sign_in_as("manager@example.com").await;
    let form = manager.get(&page).await.form(&cancel);
    manager.submit(form).await;
    assert_eq!(
        app.value(&format!("SELECT state FROM imports WHERE id = {draft}"))
            .await,
        "canceled"
    );
}

#[tokio::test]
async fn a_mailing_that_waits_is_submitted_again_for_another_date() {
    let world = World::new("Toko").await;
    let app = &world.app;
    let path = format!("/mailings/{}/submit", world.ids["mailings"]);
    let at = |hours: i64| {
        let date = app.app.clock.now() + chrono::TimeDelta::hours(hours);
        json!({ "schedule_date": date.to_rfc3339() })
    };
    let first = app.ok("POST", &path, Some(&at(2))).await;
    assert_eq!(first["state"], "submitted");
    let moved = app.ok("POST", &path, Some(&at(5))).await;
    assert_eq!(moved["state"], "submitted");
    assert_ne!(moved["schedule_date"], first["schedule_date"]);
    let (status, refused) = app.call("POST", &path, Some(&at(-5))).await;
    assert_eq!(status, 422, "{refused}");
    let again = app.ok("POST", &path, None).await;
    assert_eq!(
        again["schedule_date"], moved["schedule_date"],
        "the same press again"
    );
}

/// What people, programs and attackers put into fields.
fn hostile() -> Vec<String> {
    vec![
        "a".repeat(200_000),
        "\u{1F600}".repeat(20_000),
        "before\0after".to_owned(),
        "\u{202e}\u{7}\u{1b}[31m".to_owned(),
        "9".repeat(40),
        "-1".to_owned(),
        "1e400".to_owned(),
        "9999-12-31T23:59".to_owned(),
        "https://".to_owned() + &"x".repeat(5000) + ".example",
        "'; DROP TABLE contacts; --".to_owned(),
        "{{".repeat(3000),
        // Three times as long once it is written as an address.
        format!("https://example.com/{}", "\u{4e2d}".repeat(900)),
    ]
}

async fn takes(browser: &mut Browser, form: Form, what: &str) {
    let status = browser.submit_once(form).await.0;
    assert!(status < 500, "{what}: {status}");
}

#[tokio::test]
async fn no_field_of_a_form_can_make_the_panel_fail() {
    let world = World::new("Toko").await;
    let mut browser = Browser::new(&world.app);
    browser.sign_in().await;
    let forms = [
        ("/accounts/new", "/accounts"),
        ("/contacts/new", "/contacts"),
        ("/lists/new", "/lists"),
        ("/mailings/new", "/mailings"),
        ("/templates/new", "/templates"),
        ("/companies/new", "/companies"),
        ("/users/new", "/users"),
        ("/preferences", "/preferences"),
        ("/tokens", "/tokens"),
    ];
    for (page, action) in forms {
        let page = browser.get(page).await;
        assert_eq!(page.status, 200, "{}", page.path);
        let names = page.attributes(
            &format!("form[action=\"{action}\"] :is(input, textarea, select)"),
            "name",
        );
        assert!(names.len() >= 2, "{action}: {names:?}");
        for value in hostile() {
            let mut form = page.form(action);
            for name in names
                .iter()
                .filter(|name| *name != "csrf" && *name != "then")
            {
                form = form.set(name, &value);
            }
            let short: String = value.chars().take(20).collect();
            takes(&mut browser, form, &format!("{action} with {short}")).await;
        }
    }
}

#[tokio::test]
async fn a_favourite_belongs_to_a_list_of_this_site() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/contacts?f=active").await;
    let form = page.form("/favourites").set("name", "x");
    // Letters PostgreSQL cannot press together.
    let long: String = (0..3500_u32)
        .map(|n| char::from(b'a' + u8::try_from(n * n * 7 % 26 + n % 3).unwrap() % 26))
        .collect();
    let evil = [
        "//evil.example",
        "https://evil.example",
        "\\evil.example",
        "/contacts?f=active",
        "",
        &format!("/{long}"),
        &long,
    ];
    for list in evil {
        let (status, next) = browser.submit_once(form.clone().set("list", list)).await;
        assert_eq!((status, next.as_str()), (404, ""), "{list}");
    }
    let (status, next) = browser.submit_once(form.set("list", "/contacts")).await;
    assert_eq!(status, 303);
    assert!(next.starts_with("/contacts?"), "{next}");
}

#[tokio::test]
async fn no_field_of_a_call_can_make_the_api_fail() {
    let app = TestApp::new().await;
    let bodies = |value: &str| -> Vec<(&str, Value)> {
        vec![
            (
                "/accounts",
                json!({ "name": value, "provider": "waha", "api_url": value, "api_key": value, "session": value }),
            ),
            (
                "/accounts",
                json!({ "name": value, "provider": "meta", "app_id": value, "waba_id": value, "phone_number_id": value, "token": value, "app_secret": value, "base_url": value }),
            ),
            ("/lists", json!({ "name": value, "description": value })),
            (
                "/contacts/bulk",
                json!({ "contacts": [{ "name": value, "whatsapp_number": value, "tags": [value], "attributes": { "x": value } }] }),
            ),
            (
                "/contacts/bulk",
                json!({ "contacts": [{ "name": "Siti", "whatsapp_number": "628123456789", "tags": [value] }] }),
            ),
            (
                "/mailings",
                json!({ "subject": value, "account_id": 1, "recipients": { "list_ids": [1] }, "message": value, "footer": value, "schedule_date": value }),
            ),
        ]
    };
    for value in hostile() {
        for (path, body) in bodies(&value) {
            let (status, _, answer) = app
                .as_token(&app.token)
                .raw(
                    "POST",
                    path,
                    &[("Content-Type", "application/json")],
                    &body.to_string(),
                )
                .await;
            assert!(status < 500, "{path} {status} {answer}");
        }
    }
    for id in ["0", "-1", "99999999999999999999", "1e9", "x"] {
        for path in ["accounts", "mailings", "contacts", "imports", "media"] {
            let (status, _, answer) = app
                .as_token(&app.token)
                .raw("GET", &format!("/{path}/{id}"), &[], "")
                .await;
            assert!(status < 500, "{path}/{id}: {status} {answer}");
        }
    }
}
