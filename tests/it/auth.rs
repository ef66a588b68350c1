//! Setting up, signing in, staying signed in, and forms that only our own pages can post.

use chrono::TimeDelta;
use wablast::settings;

use crate::support::browser::Browser;
use crate::support::{EMAIL, PASSWORD, TestApp};

#[tokio::test]
async fn an_installation_is_set_up_once_by_who_has_the_token() {
    let app = TestApp::bare().await;
    let mut browser = Browser::new(&app);
    assert_eq!(
        browser.get("/setup").await.path,
        "/login",
        "without the token"
    );
    let token = settings::new_setup_token(&app.app).await.unwrap().unwrap();
    let page = browser.get(&format!("/setup?token={token}")).await;
    let fault = page
        .form("/setup")
        .set("company", "Batik")
        .set("name", "Dewi")
        .set("email", EMAIL)
        .set("password", "short");
    let page = browser.submit(fault).await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains("at least 12 characters"));
    assert_eq!(page.value("company"), "Batik", "what was typed stays");
    let page = browser
        .submit(page.form("/setup").set("password", PASSWORD))
        .await;
    assert!(
        (200..400).contains(&page.status) || page.status == 404,
        "{}",
        page.status
    );
    assert_eq!(app.value("SELECT count(*) FROM companies").await, "1");
    assert_eq!(
        browser.get(&format!("/setup?token={token}")).await.path,
        "/login",
        "the page is gone"
    );
    assert!(settings::new_setup_token(&app.app).await.unwrap().is_none());
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_person_look_the_same_and_slow_down() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    let mut answers = Vec::new();
    for email in [EMAIL, "nobody@example.com"] {
        let page = browser.get("/login").await;
        let page = browser
            .submit(
                page.form("/login")
                    .set("email", email)
                    .set("password", "not the password"),
            )
            .await;
        assert_eq!(page.status, 422);
        answers.push(page.text().replace(email, ""));
    }
    assert_eq!(answers[0], answers[1]);
    for _ in 0..4 {
        let page = browser.get("/login").await;
        browser
            .submit(
                page.form("/login")
                    .set("email", EMAIL)
                    .set("password", "not the password"),
            )
            .await;
    }
    let page = browser.get("/login").await;
    let page = browser
        .submit(
            page.form("/login")
                .set("email", EMAIL)
                .set("password", PASSWORD),
        )
        .await;
    assert!(page.text().contains("Too many tries"), "{}", page.text());
    app.advance(TimeDelta::minutes(20)).await;
    browser.sign_in().await;
}

#[tokio::test]
async fn a_session_ends_by_signing_out_by_rest_and_by_age() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/preferences").await;
    assert_eq!(page.status, 200);
    let stored = app
        .value("SELECT encode(id_hash, 'hex') FROM sessions WHERE user_id IS NOT NULL")
        .await;
    assert_eq!(stored.len(), 64, "only a hash is stored");
    browser.submit(page.form("/logout")).await;
    assert_eq!(browser.get("/preferences").await.path, "/login");
    browser.sign_in().await;
    app.advance(TimeDelta::hours(8) + TimeDelta::minutes(1))
        .await;
    assert_eq!(
        browser.get("/preferences").await.path,
        "/login",
        "rested too long"
    );
    browser.sign_in().await;
    for _ in 0..4 {
        app.advance(TimeDelta::hours(7)).await;
        browser.get("/preferences").await;
    }
    assert_eq!(
        browser.get("/preferences").await.path,
        "/login",
        "a day is over"
    );
}

#[tokio::test]
async fn signing_in_makes_a_new_session_and_the_cookie_is_well_guarded() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.get("/login").await;
    let before = app
        .value("SELECT encode(id_hash, 'hex') FROM sessions")
        .await;
    browser.sign_in().await;
    assert_eq!(
        app.value(&format!(
            "SELECT count(*) FROM sessions WHERE id_hash = '\\x{before}'"
        ))
        .await,
        "0"
    );
    let cookie = browser.last_cookie.clone();
    for part in [
        "__Host-sid=",
        "HttpOnly",
        "Secure",
        "SameSite=Lax",
        "Path=/",
    ] {
        assert!(cookie.contains(part), "{part} in {cookie}");
    }
    assert!(!cookie.contains("Domain"));
}

#[tokio::test]
async fn a_form_that_no_page_of_ours_made_changes_nothing() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/preferences").await;
    let before = app.value("SELECT language || theme FROM users").await;
    let good = page
        .form("/preferences")
        .set("language", "id")
        .set("theme", "dark");
    let mut other = Browser::new(&app);
    other.sign_in().await;
    let foreign = other
        .get("/preferences")
        .await
        .form("/preferences")
        .get("csrf");
    for token in ["", "x", foreign.as_str()] {
        let page = browser.submit(good.clone().set("csrf", token)).await;
        assert_eq!(page.status, 403, "token {token:?}");
    }
    let page = browser
        .submit_from(good.clone(), Some("https://evil.example"))
        .await;
    assert_eq!(page.status, 403, "another site");
    assert_eq!(
        app.value("SELECT language || theme FROM users").await,
        before
    );
    assert_eq!(browser.submit(good).await.status, 200);
    assert_eq!(
        app.value("SELECT language || theme FROM users").await,
        "iddark"
    );
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let app = TestApp::new().await;
    let (mut mine, mut other) = (Browser::new(&app), Browser::new(&app));
    mine.sign_in().await;
    other.sign_in().await;
    let page = mine.get("/preferences").await;
    let new = page
        .form("/preferences/password")
        .set("current", PASSWORD)
        .set("password", "a much better secret");
    assert_eq!(mine.submit(new).await.path, "/preferences");
    assert_eq!(mine.get("/preferences").await.path, "/preferences");
    assert_eq!(other.get("/preferences").await.path, "/login");
}

#[tokio::test]
async fn pages_carry_the_headers_that_guard_them() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    for path in ["/login", "/nowhere", "/healthz"] {
        let page = browser.get(path).await;
        assert!(
            page.header("content-security-policy")
                .contains("default-src 'none'"),
            "{path}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
    }
    browser.sign_in().await;
    assert_eq!(
        browser.get("/preferences").await.header("cache-control"),
        "no-store"
    );
}

#[tokio::test]
async fn signing_in_leads_only_to_pages_of_ours() {
    let app = TestApp::new().await;
    for (next, expected) in [("//evil.example/x", "/"), ("/tokens", "/tokens")] {
        let mut browser = Browser::new(&app);
        let page = browser.get(&format!("/login?next={next}")).await;
        let answer = browser
            .submit_once(
                page.form("/login")
                    .set("email", EMAIL)
                    .set("password", PASSWORD),
            )
            .await;
        assert_eq!(answer, (303, expected.to_owned()));
    }
}
