//! The first week: sessions that end while one writes, buttons pressed twice.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::browser::Browser;
use crate::support::{EMAIL, PASSWORD, TestApp, simulator};
use wablast::simulator::Options;

/// Signs in on the page that a press led to, and follows where that leads.
async fn sign_in_from(
    browser: &mut Browser,
    page: crate::support::browser::Page,
    email: &str,
) -> crate::support::browser::Page {
    let form = page.form("/login");
    browser
        .submit(form.set("email", email).set("password", PASSWORD))
        .await
}

#[tokio::test]
async fn what_was_written_when_the_session_ended_comes_back_unsent() {
    let app = TestApp::new().await;
    let list = app.list_of(1).await;
    let contact = app.value("SELECT min(id) FROM contacts").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/contacts/{contact}");
    let form = browser.get(&address).await.form(&address);
    app.advance(TimeDelta::hours(9)).await;
    let login = browser
        .submit(form.set("name", "Written for nothing?"))
        .await;
    assert_eq!(login.path, "/login");
    assert!(login.text().contains("is kept"), "{}", login.text());
    let page = sign_in_from(&mut browser, login, EMAIL).await;
    assert_eq!((page.status, page.path.as_str()), (200, address.as_str()));
    assert_eq!(page.value("name"), "Written for nothing?");
    let stored = format!("SELECT name FROM contacts WHERE id = {contact}");
    assert_ne!(app.value(&stored).await, "Written for nothing?");
    let saved = browser.submit(page.form(&address)).await;
    assert_eq!(saved.status, 200);
    assert_eq!(app.value(&stored).await, "Written for nothing?");

    // The form of a mailing may carry a file, and comes in another shape.
    let form = browser.get("/mailings/new").await.form("/mailings");
    app.advance(TimeDelta::hours(9)).await;
    let typed = form.set("subject", "With a file").set("message", "Hello");
    let login = browser.upload(typed, "file", "", "").await;
    let page = sign_in_from(&mut browser, login, EMAIL).await;
    let kept = (page.path.as_str(), page.value("subject"));
    assert_eq!(kept, ("/mailings/new", "With a file".to_owned()));

    // A new record, and a text whose form cannot be filled.
    let form = browser.get("/lists/new").await.form("/lists");
    let page = browser.get(&format!("/lists/{list}")).await;
    let note = page.form(&format!("/lists/{list}/note"));
    app.advance(TimeDelta::hours(9)).await;
    let login = browser.submit(form.set("name", "A new list")).await;
    let page = sign_in_from(&mut browser, login, EMAIL).await;
    assert_eq!(
        (page.path.as_str(), page.value("name").as_str()),
        ("/lists/new", "A new list")
    );
    app.advance(TimeDelta::hours(9)).await;
    let login = browser.submit(note.set("note", "Call them back")).await;
    let page = sign_in_from(&mut browser, login, EMAIL).await;
    assert!(page.path.starts_with("/kept/"), "{}", page.path);
    assert!(page.text().contains("Call them back"));
}

#[tokio::test]
async fn nobody_else_sees_what_was_kept_and_no_secret_is() {
    let app = TestApp::new().await;
    app.person("other@example.com", "administrator").await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/accounts/{account}");
    let form = browser.get(&address).await.form(&address);
    app.advance(TimeDelta::hours(9)).await;
    let typed = form.set("api_key", "s3cr3t").set("name", "Only mine");
    let login = browser.submit(typed).await;
    let next = login.value("next");
    let page = sign_in_from(&mut browser, login, "other@example.com").await;
    assert_eq!(page.path, address);
    assert_ne!(page.value("name"), "Only mine");
    let mut own = Browser::new(&app);
    own.sign_in().await;
    let page = own.get(&next).await;
    assert_eq!(page.value("name"), "Only mine");
    assert!(!page.html.contains("s3cr3t"));
    let sealed = app
        .value("SELECT encode(sealed, 'escape') FROM kept_forms")
        .await;
    assert!(!sealed.contains("Only mine"));
}

#[tokio::test]
async fn a_form_of_another_site_is_not_kept() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get("/lists/new").await.form("/lists");
    app.advance(TimeDelta::hours(9)).await;
    browser
        .submit_from(form.set("name", "Planted"), Some("https://evil.example"))
        .await;
    assert_eq!(app.value("SELECT count(*) FROM kept_forms").await, "0");
}

#[tokio::test]
async fn a_button_pressed_twice_does_it_once_and_shows_the_same() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    let duplicate = page.form(&format!("/mailings/{mailing}/duplicate"));
    let (_, first) = browser.submit_once(duplicate.clone()).await;
    let (_, second) = browser.submit_once(duplicate).await;
    assert_eq!(first, second);
    assert_eq!(app.value("SELECT count(*) FROM mailings").await, "2");

    let form = browser.get("/lists/new").await.form("/lists");
    let form = form.set("name", "Once");
    let (_, first) = browser.submit_once(form.clone()).await;
    let (status, second) = browser.submit_once(form.clone()).await;
    assert_eq!((status, &first), (303, &second));
    // From a page of its own it is a press of its own.
    let again = browser.get("/lists/new").await.form("/lists");
    assert_eq!(browser.submit(again.set("name", "Once")).await.status, 422);

    let page = browser.get(&first).await;
    let note = page.form(&format!("{first}/note")).set("note", "Twice?");
    browser.submit_once(note.clone()).await;
    browser.submit_once(note.clone()).await;
    browser.submit_once(note.set("note", "Another")).await;
    let notes = app
        .value("SELECT string_agg(note, ', ' ORDER BY id) FROM audit WHERE action = 'noted'")
        .await;
    assert_eq!(notes, "Twice?, Another");
}

#[tokio::test]
async fn six_presses_of_send_now_at_once_are_one_line_of_history() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(3).await;
    let made = json!({ "subject": "Six", "account_id": account, "recipients": { "list_ids": [list] }, "message": "Hello" });
    let id = app.ok("POST", "/mailings", Some(&made)).await["id"].clone();
    let mut browsers = Vec::new();
    for _ in 0..6 {
        let mut browser = Browser::new(&app);
        browser.sign_in().await;
        let page = browser.get(&format!("/mailings/{id}/send")).await;
        browsers.push((browser, page.form(&format!("/mailings/{id}/send_now"))));
    }
    let presses = browsers
        .iter_mut()
        .map(|(browser, form)| browser.submit_once(form.clone()));
    for (status, next) in join_all(presses).await {
        assert_eq!((status, next), (303, format!("/mailings/{id}")));
    }
    let lines = app
        .value(&format!(
            "SELECT count(*) FROM audit WHERE noun = 'mailings' AND record_id = {id} AND action = 'send_now'"
        ))
        .await;
    assert_eq!(lines, "1");
}

#[tokio::test]
async fn one_account_is_chosen_and_of_several_a_person_chooses() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let first = app.account(&waha).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get("/mailings/new").await.form("/mailings");
    assert_eq!(form.get("account_id"), first.to_string());
    app.execute(
        "INSERT INTO accounts (company_id, name, provider, send_through, delivery, api_url, session, account_key,
             webhook_verify_token, per_second, burst)
           SELECT company_id, 'Second', provider, send_through, delivery, api_url, 'second', 'another-key',
             webhook_verify_token, per_second, burst FROM accounts;
         INSERT INTO account_companies (company_id, account_id) SELECT 1, max(id) FROM accounts",
    )
    .await;
    let form = browser.get("/mailings/new").await.form("/mailings");
    assert_eq!(form.get("account_id"), "");
    let refused = browser.submit(form.set("subject", "Whose?")).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("Choose the WhatsApp account"));
}

#[tokio::test]
async fn a_year_nobody_means_is_refused_in_words() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/mailings/{mailing}");
    for typed in ["1969-12-01T10:00", "0001-01-01T00:00"] {
        let form = browser.get(&address).await.form(&address);
        let refused = browser.submit(form.set("schedule_date", typed)).await;
        assert_eq!(refused.status, 422, "{typed}");
        assert!(refused.text().contains("from 1970 to 2199"), "{typed}");
        assert_eq!(refused.value("schedule_date"), typed);
        let job = "/jobs/scheduler_send";
        let form = browser.get(job).await.form(job);
        let refused = browser.submit(form.set("next_run", typed)).await;
        assert_eq!(refused.status, 422, "{typed}");
    }
}

#[tokio::test]
async fn a_test_message_is_as_long_as_the_gateway_takes() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/accounts/{account}")).await;
    let form = page.form(&format!("/accounts/{account}/test-message"));
    let form = form
        .set("number", "6281200000001")
        .set("text", &"x".repeat(4097));
    let refused = browser.submit(form).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("at most 4096 fit"));
    assert_eq!(app.value("SELECT count(*) FROM outgoing").await, "0");
}

#[tokio::test]
async fn countries_are_named_in_the_language_of_the_panel() {
    let app = TestApp::new().await;
    app.execute(
        "INSERT INTO contacts (company_id, whatsapp_number, name, country) VALUES (1, '4915100000002', 'Bert', 'DE')",
    )
    .await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    assert_eq!(
        browser.get("/contacts").await.column("Country"),
        ["Germany"]
    );
    app.execute("UPDATE users SET language = 'id'").await;
    assert!(browser.get("/contacts").await.text().contains("Jerman"));
    let titles = browser.get("/contacts?g=country").await;
    assert!(
        titles
            .texts("tr.group")
            .iter()
            .any(|title| title.contains("Jerman"))
    );
}

#[tokio::test]
async fn an_address_the_gateway_cannot_reach_is_named() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/accounts/{account}");
    assert!(
        !browser
            .get(&address)
            .await
            .text()
            .contains("WABLAST_PUBLIC_URL")
    );
    app.execute("UPDATE accounts SET api_url = 'http://waha.example.com:3000'")
        .await;
    assert!(
        browser
            .get(&address)
            .await
            .text()
            .contains("WABLAST_PUBLIC_URL")
    );
}
