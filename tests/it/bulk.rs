//! One action over everything a search found: asked about, frozen, done in chunks, told.

use wablast::bulk;
use wablast::simulator::Options;

use crate::support::browser::{Browser, Form, Page};
use crate::support::{TestApp, simulator};

async fn people(app: &TestApp, from: usize, to: usize) {
    app.execute(&format!(
        "INSERT INTO contacts (company_id, whatsapp_number, name)
         SELECT 1, (6281300000000 + n)::text, 'Person ' || n FROM generate_series({from}, {to}) n"
    ))
    .await;
}

/// The bulk form of the list with "all" ticked, to be sent to one of its buttons.
fn all(page: &Page, action: &str) -> Form {
    page.form("/contacts/bulk/add")
        .add("all", "true")
        .to(action)
}

/// The address of the run behind a question, and its button.
fn go(page: &Page) -> Form {
    assert!(
        page.path.starts_with("/bulk/"),
        "{}: {}",
        page.path,
        page.text()
    );
    page.form(&format!("{}/start", page.path))
}

#[tokio::test]
async fn everything_found_is_asked_about_and_frozen() {
    let app = TestApp::new().await;
    people(&app, 1, 150).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let list = browser.get("/contacts?q=person").await;
    let asked = browser
        .submit(all(&list, "/contacts/bulk/opt-out").set("reason", "They asked"))
        .await;
    assert!(
        asked.text().contains("Opt out 150 people"),
        "{}",
        asked.text()
    );
    assert!(asked.text().contains("Reason: They asked"));
    assert_eq!(
        app.value("SELECT count(*) FROM contacts WHERE opt_out")
            .await,
        "0"
    );

    // Who comes later is not meant; who is out already is left alone and told of.
    people(&app, 151, 160).await;
    app.execute(
        "UPDATE contacts SET opt_out = true, opt_out_reason = 'before', opt_out_at = now() WHERE name = 'Person 7'",
    )
    .await;
    let result = browser.submit(go(&asked)).await;
    assert!(result.text().contains("Done"), "{}", result.text());
    assert_eq!(result.fact("Changed"), "149");
    assert_eq!(result.fact("Left alone: it was so already"), "1");
    assert_eq!(
        app.value("SELECT count(*) FROM contacts WHERE opt_out")
            .await,
        "150"
    );
    let history = app
        .value("SELECT count(*) FROM audit WHERE action = 'opt_out' AND note = 'They asked'")
        .await;
    assert_eq!(history, "149");
    // Pressed again nothing happens.
    let again = browser.submit(go(&asked)).await;
    assert_eq!(again.fact("Changed"), "149");
}

#[tokio::test]
async fn ticked_rows_are_changed_at_once_and_a_clean_run_goes_back_to_the_list() {
    let app = TestApp::new().await;
    people(&app, 1, 3).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let list = browser.get("/contacts").await;
    let one = app.value("SELECT min(id) FROM contacts").await;
    let form = list.form("/contacts/bulk/add").add("ids", one);
    let page = browser.submit(form.to("/contacts/bulk/archive")).await;
    assert_eq!(page.path, "/contacts");
    let asked = browser.submit(all(&page, "/contacts/bulk/archive")).await;
    let back = browser.submit(go(&asked)).await;
    assert_eq!(back.path, "/contacts");
    assert!(back.text().contains("2 records changed"), "{}", back.text());
}

#[tokio::test]
async fn many_go_on_in_the_background_and_can_be_stopped() {
    let app = TestApp::new().await;
    people(&app, 1, 5_000).await;
    app.execute("INSERT INTO lists (company_id, name) VALUES (1, 'Everybody')")
        .await;
    let id = app.value("SELECT id FROM lists").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let list = browser.get("/contacts").await;
    let asked = browser
        .submit(all(&list, "/contacts/bulk/add").set("to_list", &id))
        .await;
    assert!(
        asked
            .text()
            .contains("Add 5,000 people to the list Everybody")
    );
    let running = browser.submit(go(&asked)).await;
    assert!(running.text().contains("Under way"), "{}", running.text());
    assert!(bulk::advance(&app.app).await.unwrap());
    let page = browser.get(&running.path).await;
    assert_eq!(page.fact("Changed"), "2,000");
    let everywhere = browser.get("/lists").await;
    assert!(
        everywhere.text().contains("is under way: 40 %"),
        "{}",
        everywhere.text()
    );
    let stopped = browser
        .submit(page.form(&format!("{}/cancel", page.path)))
        .await;
    assert!(!bulk::advance(&app.app).await.unwrap());
    assert_eq!(
        stopped.fact("Not reached: nothing was done with them"),
        "3,000"
    );
    assert_eq!(app.value("SELECT count(*) FROM list_members").await, "2000");
}

#[tokio::test]
async fn a_run_goes_on_where_it_was_and_two_instances_do_it_once() {
    let app = TestApp::new().await;
    people(&app, 1, 6_500).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let list = browser.get("/contacts").await;
    let asked = browser.submit(all(&list, "/contacts/bulk/archive")).await;
    browser.submit(go(&asked)).await;
    for _ in 0..8 {
        let (one, other) = futures_util::join!(bulk::advance(&app.app), bulk::advance(&app.app));
        one.unwrap();
        other.unwrap();
    }
    let page = browser.get(&asked.path).await;
    assert_eq!(page.fact("Changed"), "6,500");
    assert_eq!(
        app.value("SELECT count(*) FROM audit WHERE action = 'archive'")
            .await,
        "6500"
    );
    assert!(page.text().contains("Done"));
}

#[tokio::test]
async fn another_persons_run_is_not_there() {
    let app = TestApp::new().await;
    people(&app, 1, 2).await;
    app.person("user@example.com", "user").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let list = browser.get("/contacts").await;
    let asked = browser.submit(all(&list, "/contacts/bulk/archive")).await;
    let mut user = Browser::new(&app);
    user.sign_in_as("user@example.com").await;
    assert_eq!(user.get(&asked.path).await.status, 404);
}

#[tokio::test]
async fn every_mailing_that_is_found_is_archived_after_a_question() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    for n in 0..12 {
        let mailing = app.mailing(account, list, "Halo").await;
        assert!(mailing > 0, "{n}");
    }
    let person = app.person("user@example.com", "user").await;
    app.execute(&format!(
        "UPDATE mailings SET responsible_id = {person} WHERE id IN (SELECT id FROM mailings ORDER BY id LIMIT 3);
         UPDATE mailings SET state = 'submitted', schedule_date = wablast_now() + interval '1 day' WHERE id = (SELECT max(id) FROM mailings)"
    ))
    .await;
    let ask = async |browser: &mut Browser| {
        let page = browser.get("/mailings?f=active").await;
        let form = page.form("/mailings/archive").add("all", "true");
        browser.submit(form).await
    };
    // Who is no manager archives their own, whatever the search found.
    let mut user = Browser::new(&app);
    user.sign_in_as("user@example.com").await;
    let asked = ask(&mut user).await;
    assert!(
        asked.text().contains("Archive 12 mailings"),
        "{}",
        asked.text()
    );
    assert_eq!(
        app.value("SELECT count(*) FROM mailings WHERE NOT active")
            .await,
        "0"
    );
    let result = user.submit(go(&asked)).await;
    assert_eq!(result.fact("Changed"), "3");
    assert_eq!(result.fact("Left alone: somebody else is responsible"), "9");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let asked = ask(&mut browser).await;
    let result = browser.submit(go(&asked)).await;
    assert_eq!(result.fact("Changed"), "8");
    assert_eq!(result.fact("Left alone: submitted or on its way"), "1");
    assert_eq!(
        app.value("SELECT count(*) FROM audit WHERE noun = 'mailings' AND action = 'archive'")
            .await,
        "11"
    );
}

#[tokio::test]
async fn every_member_that_is_found_leaves_their_list_after_a_question() {
    let app = TestApp::new().await;
    people(&app, 1, 120).await;
    app.execute(
        "INSERT INTO lists (company_id, name) VALUES (1, 'Member'), (1, 'Other');
         INSERT INTO list_members (company_id, list_id, contact_id) SELECT 1, l.id, c.id FROM lists l, contacts c;
         UPDATE contacts SET name = 'Tamu' WHERE id % 3 = 0",
    )
    .await;
    let list = app.value("SELECT min(id) FROM lists").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/lists/{list}?q=tamu")).await;
    let remove = format!("/lists/{list}/remove");
    let asked = browser.submit(page.form(&remove).add("all", "true")).await;
    assert!(
        asked
            .text()
            .contains("Remove 40 people from the list Member"),
        "{}",
        asked.text()
    );
    let members = "SELECT string_agg(n::text, ' ' ORDER BY id) FROM (SELECT list_id AS id, count(*) AS n FROM list_members GROUP BY 1) m";
    assert_eq!(app.value(members).await, "120 120");
    let back = browser.submit(go(&asked)).await;
    assert!(
        back.path.starts_with(&format!("/lists/{list}")),
        "{}",
        back.path
    );
    assert_eq!(
        app.value(members).await,
        "80 120",
        "of this list, and only those who were found"
    );
    assert!(back.text().contains("40"), "the list's history says so");
}
