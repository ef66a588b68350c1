//! What is kept for some people, and what changes hands while somebody works with it.

use std::time::Duration;

use diesel_async::AsyncConnection as _;
use serde_json::json;
use wablast::companies;
use wablast::error::Error;
use wablast::ids::{CompanyId, MailingId, UserId};
use wablast::mailings;
use wablast::simulator::Options;

use crate::support::browser::Browser;
use crate::support::site::World;
use crate::support::{TestApp, simulator};

const USER: &str = "user@example.com";

/// An account that only the first administrator may send through, with a cap; a mailing of it that Rudi is
/// responsible for.
async fn kept_account(app: &TestApp, state: &str) -> (i64, String) {
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let sent = app.mailing(account, list, "Before").await;
    app.ok("POST", &format!("/mailings/{sent}/send_now"), None)
        .await;
    app.deliver(sent).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let rudi = app.person(USER, "user").await;
    app.execute(&format!(
        "INSERT INTO account_users (company_id, account_id, user_id) SELECT 1, id, 1 FROM accounts;
         UPDATE accounts SET daily_cap = 777;
         UPDATE mailings SET responsible_id = {rudi}, state = '{state}' WHERE id = {mailing}"
    ))
    .await;
    (mailing, rudi)
}

#[tokio::test]
async fn who_may_not_send_through_an_account_is_told_before_they_press() {
    let app = TestApp::new().await;
    let (mailing, _) = kept_account(&app, "draft").await;
    let mut user = Browser::new(&app);
    user.sign_in_as(USER).await;
    for page in [
        format!("/mailings/{mailing}"),
        format!("/mailings/{mailing}/test"),
    ] {
        let shown = user.get(&page).await;
        assert_eq!(shown.status, 200, "{page}");
        let said = shown.texts(".notice-red").join(" ");
        assert!(
            said.contains("may not send through this account"),
            "{page}: {said}"
        );
    }
    let mut allowed = Browser::new(&app);
    allowed.sign_in().await;
    let shown = allowed.get(&format!("/mailings/{mailing}/test")).await;
    assert_eq!(shown.texts(".notice-red"), Vec::<String>::new());
}

#[tokio::test]
async fn the_caps_of_a_kept_account_are_no_figures_for_others() {
    let app = TestApp::new().await;
    let (mailing, _) = kept_account(&app, "draft").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    mailings::release::advance(&app.app).await.unwrap();
    app.execute(
        "INSERT INTO instances (id, name, role, version, seen_at, clock_ms) VALUES
           (gen_random_uuid(), 'here', 'all', '0.1.0', wablast_now(), 0)",
    )
    .await;
    let message = app.value("SELECT max(id) FROM outgoing").await;
    let pages = [
        format!("/mailings/{mailing}"),
        format!("/outgoing/{message}"),
    ];
    let mut user = Browser::new(&app);
    user.sign_in_as(USER).await;
    let mut allowed = Browser::new(&app);
    allowed.sign_in().await;
    let mut seen = false;
    for page in pages {
        let shown = user.get(&page).await;
        assert_eq!(shown.status, 200, "{page}");
        assert!(!shown.text().contains("777"), "{page}: {}", shown.text());
        seen |= allowed.get(&page).await.text().contains("777");
    }
    let told = allowed.get(&format!("/mailings/{mailing}")).await.text();
    assert!(
        seen,
        "{told}: who may send through it sees its caps somewhere"
    );
}

#[tokio::test]
async fn the_rows_of_a_colleague_s_import_stay_with_them() {
    let world = World::new("Toko").await;
    let app = &world.app;
    let user = app.person(USER, "user").await;
    let manager = app.person("manager@example.com", "manager").await;
    let (status, taken) = app
        .import(
            "people.csv",
            "Name,Phone\nSecret Person,12\nAyu,081234567890\n",
            None,
        )
        .await;
    assert_eq!(status, 202, "{taken}");
    let id = taken["id"].clone();
    let (_going, stop) = tokio::sync::watch::channel(false);
    wablast::imports::work::all(&app.app, &stop).await.unwrap();
    let path = format!("/imports/{id}");
    let file = format!("{path}/rejected.csv");
    let theirs = app.token_of("1", &user).await;
    let theirs = app.as_token(&theirs);
    let shown = theirs.ok("GET", &path, None).await;
    assert_eq!(
        (&shown["rejected"], &shown["rejected_file"]),
        (&json!(1), &json!(null)),
        "{shown}"
    );
    let (status, _, refused) = theirs.raw("GET", &file, &[], "").await;
    assert_eq!(status, 403, "{refused}");
    let said = refused["error"]["message"].as_str().unwrap();
    assert!(said.contains("somebody else's"), "{said}");
    let managers = app.token_of("1", &manager).await;
    assert_eq!(
        app.as_token(&managers).raw("GET", &file, &[], "").await.0,
        200
    );
    let mut browser = Browser::new(app);
    browser.sign_in_as(USER).await;
    let page = browser.get(&path).await;
    assert_eq!(page.status, 200);
    assert!(
        !page.text().contains("Secret Person"),
        "the rows are not theirs"
    );
    assert!(page.text().contains("somebody else's"), "{}", page.text());
    assert_eq!(browser.get(&file).await.status, 403);
}

#[tokio::test]
async fn a_link_that_does_not_work_says_so_in_both_languages() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    for address in [
        "/join?token=bad",
        "/join",
        "/join?token=%00%FF",
        "/join?token=a&token=b",
    ] {
        let page = browser.get(address).await;
        assert!(
            (400..500).contains(&page.status),
            "{address}: {}",
            page.status
        );
        let said = page.text();
        assert!(
            said.contains("administrator") || said.contains("could not be read"),
            "{address}: {said}"
        );
        assert!(
            !said.contains("deserialize") && !said.contains("Query"),
            "{said}"
        );
    }
}

/// Dewi works elsewhere too; a submitted mailing would keep her first company busy.
async fn ready_to_submit(app: &TestApp) -> MailingId {
    let other = app.company("Elsewhere").await;
    app.execute(&format!(
        "INSERT INTO user_companies VALUES (1, {other}, 'administrator')"
    ))
    .await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    MailingId(app.mailing(account, list, "Hello").await)
}

#[tokio::test]
async fn a_company_that_is_deactivated_beside_a_submit_keeps_no_mailing() {
    let app = TestApp::new().await;
    let mailing = ready_to_submit(&app).await;
    let date = app.app.clock.now() + chrono::TimeDelta::hours(1);
    // The submit is first: the deactivation waits, and finds the mailing.
    let mut conn = app.app.db.company(CompanyId(1)).await.unwrap();
    mailings::submit(
        &app.app,
        &mut conn,
        UserId(1),
        mailing,
        Some(date),
        app.app.clock.now(),
    )
    .await
    .unwrap();
    let beside = {
        let app = app.app.clone();
        tokio::spawn(async move {
            let mut system = app.db.system().await.unwrap();
            system
                .transaction(async |conn| companies::deactivate(conn, CompanyId(1)).await)
                .await
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    conn.commit().await.unwrap();
    assert!(matches!(beside.await.unwrap(), Err(Error::Conflict { .. })));
    app.ok("POST", &format!("/mailings/{mailing}/draft"), None)
        .await;

    // The deactivation is first: the submit waits, and is refused.
    let mut across = app.app.db.across().await.unwrap();
    companies::deactivate(&mut across, CompanyId(1))
        .await
        .unwrap();
    let beside = {
        let app = app.app.clone();
        tokio::spawn(async move {
            let mut conn = app.db.company(CompanyId(1)).await.unwrap();
            let now = app.clock.now();
            let done = mailings::submit(&app, &mut conn, UserId(1), mailing, Some(date), now).await;
            if done.is_ok() {
                conn.commit().await.unwrap();
            }
            done.map(|_| ())
        })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    across.commit().await.unwrap();
    let refused = beside.await.unwrap();
    assert!(
        matches!(&refused, Err(Error::Conflict { message, .. }) if message.contains("deactivated")),
        "{refused:?}"
    );
    assert_eq!(app.value("SELECT state FROM mailings").await, "draft");
}

#[tokio::test]
async fn a_mailing_whose_account_no_longer_serves_its_company_says_so_everywhere() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let other = app.company("Owner").await;
    // It is another company's now, and that one has withdrawn it.
    app.execute(&format!(
        "INSERT INTO account_companies (account_id, company_id, active) VALUES ({account}, {other}, true);
         UPDATE accounts SET company_id = {other};
         UPDATE account_companies SET active = false WHERE company_id = 1"
    ))
    .await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    for below in ["", "/test"] {
        let page = browser.get(&format!("/mailings/{mailing}{below}")).await;
        assert_eq!(page.status, 200, "{below}: {}", page.text());
        let said = page.text();
        assert!(
            said.contains("may not use this account any more")
                || said.contains("does not exist")
                || said.contains("any more"),
            "{below}: {said}"
        );
    }
    let asked = browser.get(&format!("/mailings/{mailing}/send_now")).await;
    assert!(asked.status < 500, "{}", asked.status);
    let path = |verb: &str| format!("/mailings/{mailing}/{verb}");
    let (status, checked) = app.call("GET", &path("preflight"), None).await;
    assert_eq!(status, 200, "{checked}");
    let date = app.app.clock.now() + chrono::TimeDelta::hours(1);
    let at = json!({ "schedule_date": date.to_rfc3339() });
    for (verb, body) in [("submit", Some(&at)), ("send_now", None)] {
        let (status, refused) = app.call("POST", &path(verb), body).await;
        assert_eq!(status, 422, "{verb}: {refused}");
        let said = refused["error"]["fields"]["account_id"][0]
            .as_str()
            .unwrap();
        assert!(said.contains("any more"), "{said}");
    }
    app.ok("POST", &path("duplicate"), None).await;
    let list = browser.get("/mailings").await;
    assert_eq!(list.status, 200);
}
