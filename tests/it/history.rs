//! Who changed what, when, from what to what; and two people in one form.

use serde_json::json;

use crate::support::browser::{Browser, Page};
use crate::support::{TestApp, simulator};
use wablast::simulator::Options;

fn changes(page: &Page) -> Vec<String> {
    page.texts(".chatter .change")
}

#[tokio::test]
async fn a_contact_tells_what_changed_in_words() {
    let app = TestApp::new().await;
    let list = app.list_of(1).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let id = app.value("SELECT min(id) FROM contacts").await;
    let address = format!("/contacts/{id}");
    let form = browser.get(&address).await.form(&address);
    let changed = form
        .set("name", "Siti Rahma")
        .set("country", "MY")
        .without("list_ids")
        .without("active");
    let page = browser.submit(changed).await;
    let told = changes(&page).join(" ");
    let name = app
        .value(&format!("SELECT name FROM lists WHERE id = {list}"))
        .await;
    assert!(told.contains("→ Siti Rahma"), "{told}");
    assert!(told.contains("→ Malaysia"), "{told}");
    assert!(
        told.contains(&format!("Mailing Lists {name} → empty")),
        "{told}"
    );
    assert!(told.contains("Active Yes → No"), "{told}");

    // Saved as it stands: nothing happened, nothing is told.
    let before = app.value("SELECT count(*) FROM audit").await;
    let form = browser.get(&address).await.form(&address);
    browser.submit(form).await;
    assert_eq!(app.value("SELECT count(*) FROM audit").await, before);

    app.execute("UPDATE users SET language = 'id'").await;
    let told = changes(&browser.get(&address).await).join(" ");
    assert!(told.contains("Ya → Tidak"), "{told}");
}

#[tokio::test]
async fn an_account_tells_that_a_secret_changed_and_never_the_secret() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let id = app.account(&waha).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/accounts/{id}");
    let form = browser.get(&address).await.form(&address);
    let changed = form.set("api_key", "s3cr3t-k3y").set("name", "Front desk");
    let page = browser.submit(changed).await;
    let told = changes(&page).join(" ");
    assert!(
        told.contains("→ Front desk") && told.contains("API key •••• → changed"),
        "{told}"
    );
    let stored = app
        .value("SELECT string_agg(changes::text, ' ') FROM audit")
        .await;
    assert!(!stored.contains("s3cr3t-k3y"), "{stored}");

    let note = page.form(&format!("{address}/note"));
    let noted = browser.submit(note.set("note", "SIM renewed")).await;
    assert!(
        noted
            .texts(".chatter li")
            .iter()
            .any(|line| line.contains("SIM renewed"))
    );
}

#[tokio::test]
async fn a_mailing_tells_names_and_where_a_long_text_differs() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let long = format!("{}old end", "word ".repeat(200));
    let mailing = app.mailing(account, list, &long).await;
    app.ok("POST", "/lists", Some(&json!({ "name": "Second list" })))
        .await;
    let second = app.value("SELECT max(id) FROM lists").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/mailings/{mailing}");
    let form = browser.get(&address).await.form(&address);
    let message = form.get("message").replace("old end", "new end");
    let changed = form
        .set("message", &message)
        .set("list_ids", &second)
        .set("schedule_date", "2027-03-01T10:00");
    let page = browser.submit(changed).await;
    let told = changes(&page).join(" ");
    assert!(
        told.contains("old end → …") && told.contains("new end"),
        "{told}"
    );
    assert!(told.contains("→ Second list"), "{told}");
    assert!(
        told.contains("Schedule Date empty → 1 Mar 2027 10:00"),
        "{told}"
    );
    let noted = page
        .form(&format!("{address}/note"))
        .set("note", "Asked by sales");
    assert!(
        browser
            .submit(noted)
            .await
            .text()
            .contains("Asked by sales")
    );
}

/// Two tabs of one record: the second save is told of the first, and may win or give way.
async fn two_tabs(app: &TestApp, address: &str, field: &str) {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    let first = browser.get(address).await.form(address);
    let second = browser.get(address).await.form(address);
    let saved = browser.submit(first.set(field, "1234 first")).await;
    assert_eq!(saved.status, 200, "{address}");
    let refused = browser.submit(second.set(field, "1234 second")).await;
    assert_eq!(refused.status, 409, "{address}: {}", refused.text());
    assert_eq!(refused.value(field), "1234 second", "{address}");
    let notice = refused.texts(".newer").join(" ");
    assert!(notice.contains("→ 1234 first"), "{address}: {notice}");
    let anyway = browser.submit(refused.form(address)).await;
    assert_eq!(
        (anyway.status, anyway.value(field).as_str()),
        (200, "1234 second")
    );
}

#[tokio::test]
async fn a_newer_save_is_not_overwritten_unseen() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let contact = app.value("SELECT min(id) FROM contacts").await;
    two_tabs(&app, &format!("/contacts/{contact}"), "name").await;
    two_tabs(&app, &format!("/lists/{list}"), "name").await;
    two_tabs(&app, &format!("/accounts/{account}"), "name").await;
    two_tabs(&app, &format!("/mailings/{mailing}"), "subject").await;
}

#[tokio::test]
async fn a_fault_in_between_does_not_forget_the_newer_save() {
    let app = TestApp::new().await;
    let list = app.list_of(1).await;
    let address = format!("/lists/{list}");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let mine = browser.get(&address).await.form(&address);
    let theirs = browser.get(&address).await.form(&address);
    browser.submit(theirs.set("name", "Theirs")).await;
    let faulty = browser.submit(mine.set("name", "")).await;
    assert_eq!(faulty.status, 422);
    let refused = browser
        .submit(faulty.form(&address).set("name", "Mine"))
        .await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let saved = browser.submit(refused.form(&address)).await;
    assert_eq!(saved.status, 200);
}

#[tokio::test]
async fn a_job_tells_what_changed_and_minds_a_newer_save() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = "/jobs/scheduler_send";
    let first = browser.get(address).await.form(address);
    let second = browser.get(address).await.form(address);
    browser.submit(first.set("interval_number", "7")).await;
    let told = changes(&browser.get("/jobs").await).join(" ");
    assert!(told.contains("1 → 7"), "{told}");
    let refused = browser.submit(second.set("interval_number", "9")).await;
    assert_eq!(refused.status, 409);
    assert_eq!(browser.submit(refused.form(address)).await.status, 200);
}
