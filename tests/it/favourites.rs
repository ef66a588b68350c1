//! Searches under a name, and optional columns that stay chosen.

use crate::support::TestApp;
use crate::support::browser::{Browser, Page};

/// The words of the facets in the search field.
fn facets(page: &Page) -> Vec<String> {
    page.texts(".facets .facet")
}

async fn signed_in(app: &TestApp, email: &str) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in_as(email).await;
    browser
}

async fn two_contacts(app: &TestApp) {
    app.execute(
        "INSERT INTO contacts (company_id, whatsapp_number, name, country) VALUES (1, '6281200000001', 'Ani', 'ID');
         INSERT INTO contacts (company_id, whatsapp_number, name, country, opt_out, opt_out_reason, opt_out_at)
         VALUES (1, '4915100000002', 'Bert', 'DE', true, 'asked', now())",
    )
    .await;
}

#[tokio::test]
async fn a_search_is_kept_opens_the_list_and_goes_again() {
    let app = TestApp::new().await;
    two_contacts(&app).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let list = browser
        .get("/contacts?q=bert&f=optout&g=country&s=-company&c=email")
        .await;
    let form = list.form("/favourites");
    let saved = browser
        .submit(
            form.set("name", "Germans who left")
                .add("is_default", "true"),
        )
        .await;
    assert_eq!((saved.status, saved.path.as_str()), (200, "/contacts"));
    assert_eq!(facets(&saved), ["Germans who left"]);

    let opened = browser.get("/contacts").await;
    assert_eq!(facets(&opened), ["Germans who left"]);
    assert_eq!(opened.column("Full name"), ["Bert"]);
    assert!(opened.texts("thead th").contains(&"E-mail".to_owned()));
    assert!(opened.html.contains("aria-sort=\"descending\""));

    // What an address asks is asked, also when it is everything.
    let all = browser.get("/contacts?").await;
    assert!(facets(&all).len() <= 1 && !all.text().contains("aria-sort"));
    assert!(all.column("Full name").contains(&"Ani".to_owned()));

    let id = app.value("SELECT id FROM favourites").await;
    let page = browser.get(&format!("/favourites/{id}")).await;
    let form = page.form(&format!("/favourites/{id}"));
    let renamed = form.set("name", "Gone").without("is_default");
    assert_eq!(facets(&browser.submit(renamed).await), ["Gone"]);
    let plain = browser.get("/contacts").await;
    assert_ne!(facets(&plain), ["Gone"]);

    let page = browser.get(&format!("/favourites/{id}")).await;
    browser
        .submit(page.form(&format!("/favourites/{id}/delete")))
        .await;
    assert_eq!(app.value("SELECT count(*) FROM favourites").await, "0");
}

#[tokio::test]
async fn a_name_is_asked_for_and_taken_once() {
    let app = TestApp::new().await;
    two_contacts(&app).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get("/contacts?f=optout").await.form("/favourites");
    let empty = browser.submit(form.clone().set("name", "  ")).await;
    assert_eq!(empty.status, 422);
    assert!(empty.text().contains("Give the search a name."));
    browser.submit(form.clone().set("name", "Left")).await;
    let again = browser.submit(form.set("name", "LEFT")).await;
    assert_eq!(again.status, 422);
    assert_eq!(again.value("name"), "LEFT");
    let mended = again.form("/favourites").set("name", "Left us");
    assert_eq!(browser.submit(mended).await.status, 200);
    assert_eq!(app.value("SELECT count(*) FROM favourites").await, "2");
}

#[tokio::test]
async fn a_shared_search_is_everybodys_and_an_own_default_wins() {
    let app = TestApp::new().await;
    two_contacts(&app).await;
    app.person("manager@example.com", "manager").await;
    app.person("user@example.com", "user").await;
    let mut manager = signed_in(&app, "manager@example.com").await;
    let form = manager.get("/contacts?f=optout").await.form("/favourites");
    let shared = form.set("name", "Left").add("shared", "true");
    manager.submit(shared.add("is_default", "true")).await;

    let mut user = signed_in(&app, "user@example.com").await;
    let opened = user.get("/contacts").await;
    assert_eq!(facets(&opened), ["Left"]);
    let id = app.value("SELECT id FROM favourites").await;
    assert_eq!(user.get(&format!("/favourites/{id}")).await.status, 403);
    let form = user.get("/contacts?f=subscribed").await.form("/favourites");
    let stolen = form.clone().set("name", "Mine").add("shared", "true");
    assert_eq!(user.submit(stolen).await.status, 403);
    user.submit(form.set("name", "Mine").add("is_default", "true"))
        .await;
    assert_eq!(facets(&user.get("/contacts").await), ["Mine"]);
    assert_eq!(facets(&manager.get("/contacts").await), ["Left"]);
    let own = app
        .value("SELECT id FROM favourites WHERE name = 'Mine'")
        .await;
    assert_eq!(manager.get(&format!("/favourites/{own}")).await.status, 404);
}

#[tokio::test]
async fn optional_columns_stay_chosen_and_an_address_wins() {
    let app = TestApp::new().await;
    two_contacts(&app).await;
    app.person("user@example.com", "user").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let heads = |page: &Page| page.texts("table.list thead th");
    let has = |page: &Page, head: &str| heads(page).contains(&head.to_owned());
    let list = browser.get("/contacts?f=").await;
    assert!(!has(&list, "E-mail"));
    let shown = browser
        .submit(list.form("/favourites/columns").set("toggle", "email"))
        .await;
    assert!(has(&shown, "E-mail") && shown.column("Full name").len() == 2);
    assert!(has(&browser.get("/contacts").await, "E-mail"));
    assert!(!has(&browser.get("/contacts?c=").await, "E-mail"));
    let other = browser.get("/contacts?c=created").await;
    assert!(!has(&other, "E-mail") && has(&other, "Created on"));
    let mut user = signed_in(&app, "user@example.com").await;
    assert!(!has(&user.get("/contacts").await, "E-mail"));
    let list = browser.get("/contacts").await;
    let hidden = browser
        .submit(list.form("/favourites/columns").set("toggle", "email"))
        .await;
    assert!(!has(&hidden, "E-mail"));
    assert!(!has(&browser.get("/contacts").await, "E-mail"));
}

#[tokio::test]
async fn a_list_outside_this_site_is_not_led_to() {
    let app = TestApp::new().await;
    two_contacts(&app).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get("/contacts").await.form("/favourites/columns");
    let evil = form.set("list", "//evil.example").set("toggle", "email");
    let (status, next) = browser.submit_once(evil).await;
    assert_eq!((status, next.as_str()), (404, ""));
}
