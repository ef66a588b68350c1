//! A real week: two tabs, a button pressed twice, a message typed with a wrong number, a time and its zone.

use wablast::simulator::Options;

use crate::support::browser::{Browser, Form};
use crate::support::site::World;
use crate::support::{TestApp, simulator};

/// One form in two tabs: the second save is told, keeps what was typed, and may win.
async fn two_tabs(browser: &mut Browser, address: &str, field: &str, (one, two): (&str, &str)) {
    let first = browser.get(address).await.form(address);
    let second = browser.get(address).await.form(address);
    let saved = browser.submit(first.set(field, one)).await;
    assert_eq!(saved.status, 200, "{address}: {}", saved.text());
    let refused = browser.submit(second.set(field, two)).await;
    assert_eq!(refused.status, 409, "{address}: {}", refused.text());
    assert_eq!(refused.form(address).get(field), two, "{address}");
    assert!(!refused.texts(".newer").is_empty(), "{address}");
    let anyway = browser.submit(refused.form(address)).await;
    assert_eq!(anyway.status, 200, "{address}: {}", anyway.text());
    let kept = browser.get(address).await.form(address).get(field);
    assert_eq!(kept, two, "{address}");
}

#[tokio::test]
async fn every_form_minds_a_newer_save() {
    let world = World::new("Toko").await;
    let app = &world.app;
    app.execute(
        "UPDATE templates SET status = 'draft', uid = '', shape = jsonb_set(shape, '{body}', '\"Hello {{1}} there\"'); UPDATE accounts SET provider = 'meta'",
    )
    .await;
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    let names = ("First name", "Second name");
    two_tabs(&mut browser, "/companies/1", "name", names).await;
    let person = format!("/users/{}", world.ids["users"]);
    two_tabs(&mut browser, &person, "name", names).await;
    let zones = ("Asia/Tokyo", "Europe/Madrid");
    two_tabs(&mut browser, "/preferences", "time_zone", zones).await;
    let template = format!("/templates/{}", world.ids["templates"]);
    two_tabs(&mut browser, &template, "footer", ("One", "Two")).await;
}

/// Sends the same form twice; both lead to the same page.
async fn twice(browser: &mut Browser, form: Form) -> String {
    let first = browser.submit_once(form.clone()).await;
    let second = browser.submit_once(form).await;
    assert_eq!(first.0, 303, "{first:?}");
    assert_eq!(first, second);
    first.1
}

#[tokio::test]
async fn a_button_pressed_twice_makes_one_thing_and_shows_its_secret() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let count = async |what: &str| app.value(&format!("SELECT count(*) FROM {what}")).await;

    let form = browser.get("/tokens").await.form("/tokens");
    let page = twice(&mut browser, form.set("name", "n8n")).await;
    assert_eq!(count("api_tokens WHERE name = 'n8n'").await, "1");
    let shown = browser.get(&page).await.texts(".notice code").join(" ");
    assert!(shown.starts_with("wab_"), "{shown}");

    let form = browser.get("/users/new").await.form("/users");
    let form = form.set("name", "Siti").set("email", "siti@example.com");
    let page = twice(&mut browser, form).await;
    let shown = browser.get(&page).await;
    assert!(shown.text().contains("/join?token="), "{}", shown.text());
    let link = shown.form(&format!("{page}/link"));
    let page = twice(&mut browser, link).await;
    let copied = browser
        .get(&page)
        .await
        .attributes("[data-copy]", "data-copy");
    let (_, token) = copied[0].split_once("/join?token=").unwrap();
    let mut siti = Browser::new(&app);
    let joins = siti.get(&format!("/join?token={token}")).await;
    assert_eq!(joins.status, 200, "the link that is shown works");

    let form = browser.get("/companies/new").await.form("/companies");
    twice(&mut browser, form.set("name", "Toko Melati")).await;
    assert_eq!(count("companies").await, "2");

    let waha = simulator(Options::default()).await;
    let form = browser.get("/accounts/new").await.form("/accounts");
    let form = form
        .set("name", "Front desk")
        .set("api_url", &waha.url())
        .set("api_key", "simulator-key");
    let page = twice(&mut browser, form).await;
    assert_eq!(count("accounts").await, "1");
    let account = browser.get(&page).await;
    let shown = account.texts(".notice code").join(" ");
    assert!(shown.len() >= 40, "the webhook's key is shown: {shown}");

    let form = account.form(&format!("{page}/test-message"));
    let form = form.set("number", "+62 812 0000 0001").set("text", "Halo");
    twice(&mut browser, form).await;
    assert_eq!(count("outgoing WHERE kind = 'test'").await, "1");

    let form = browser.get("/imports/new").await.form("/imports");
    let file = "Name,Phone\nAyu,081234567890\n";
    let first = browser
        .upload(form.clone(), "file", "people.csv", file)
        .await;
    let second = browser
        .upload(form.clone(), "file", "people.csv", file)
        .await;
    assert_eq!(first.path, second.path);
    assert_eq!(count("imports").await, "1");
    // The same page with another content of the same name is another file.
    let other = browser
        .upload(
            form,
            "file",
            "people.csv",
            "Name,Phone\nBudi,081234567891\n",
        )
        .await;
    assert_ne!(other.path, first.path);
}

#[tokio::test]
async fn a_test_message_keeps_its_text_when_the_number_is_wrong() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let id = app.account(&waha).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let action = format!("/accounts/{id}/test-message");
    let form = browser.get(&format!("/accounts/{id}")).await.form(&action);
    let page = browser
        .submit(form.set("number", "12").set("text", "Halo dunia"))
        .await;
    assert_eq!(page.status, 422);
    let again = page.form(&action);
    assert_eq!(
        (again.get("number").as_str(), again.get("text").trim()),
        ("12", "Halo dunia")
    );
}

#[tokio::test]
async fn every_date_and_time_has_its_zone_beside_it() {
    let world = World::new("Toko").await;
    let app = &world.app;
    let draft = &world.ids["mailings"];
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    let mut pages = vec![
        "/mailings/new".to_owned(),
        format!("/mailings/{draft}"),
        "/jobs/scheduler_send".to_owned(),
    ];
    let date = app.app.clock.now() + chrono::TimeDelta::hours(2);
    let at = serde_json::json!({ "schedule_date": date.to_rfc3339() });
    for (round, zone) in ["Asia/Jakarta", "Asia/Makassar"].into_iter().enumerate() {
        let mut seen = 0;
        for address in &pages {
            let page = browser.get(address).await;
            for id in page.attributes("input[type=datetime-local]", "id") {
                let label = page.texts(&format!("label[for={id}]")).join(" ");
                assert!(label.contains(zone), "{address} {id}: {label}");
                seen += 1;
            }
        }
        assert!(seen >= 4, "{seen}");
        if round == 0 {
            let submit = format!("/mailings/{draft}/submit");
            app.ok("POST", &submit, Some(&at)).await;
            app.execute("UPDATE users SET time_zone = 'Asia/Makassar'")
                .await;
            pages.push("/mailings/new".to_owned());
        }
    }
}
