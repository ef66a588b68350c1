//! Freezing a large audience: the first ten thousand go ahead, nobody is in twice or missing, and whoever decides
//! about the others holds up no pause.

use diesel_async::SimpleAsyncConnection as _;
use serde_json::json;
use wablast::mailings::release;
use wablast::simulator::Options;

use crate::support::{TestApp, simulator};

const PEOPLE: i64 = 24_000;

async fn list(app: &TestApp, name: &str, which: &str) -> i64 {
    let list = app
        .ok("POST", "/lists", Some(&json!({ "name": name })))
        .await["id"]
        .as_i64()
        .unwrap();
    app.execute(&format!(
        "INSERT INTO list_members (company_id, list_id, contact_id) SELECT 1, {list}, id FROM contacts WHERE {which}"
    ))
    .await;
    list
}

/// A mailing to two lists that overlap, without a third; its id and how many are to get it.
async fn draft(app: &TestApp) -> (i64, String) {
    app.execute(&format!(
        "INSERT INTO contacts (company_id, name, whatsapp_number, country)
         SELECT 1, 'P' || n, (6281200000000 + n)::text, 'ID' FROM generate_series(1, {PEOPLE}) n"
    ))
    .await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let first = list(app, "First", "id % 24000 < 16000").await;
    let second = list(app, "Second", "id % 24000 >= 8000").await;
    let without = list(app, "Without", "id % 5 = 0").await;
    let mailing = app.mailing(account, first, "Hello").await;
    app.execute(&format!(
        "INSERT INTO mailing_lists (company_id, mailing_id, list_id, position, excluded)
         VALUES (1, {mailing}, {second}, 2, false), (1, {mailing}, {without}, 3, true)"
    ))
    .await;
    let everybody = app
        .value("SELECT count(*) FROM contacts WHERE id % 5 <> 0")
        .await;
    (mailing, everybody)
}

#[tokio::test]
async fn the_first_of_a_large_audience_go_ahead_of_the_others_and_nobody_is_in_twice_or_missing() {
    let app = TestApp::new().await;
    let (mailing, everybody) = draft(&app).await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    // Another instance decides about the others, and takes its time.
    let mut other = app.app.db.system().await.unwrap();
    let lock = |what: &str| format!("SELECT {what}(hashtextextended('freeze {mailing}', 0))");
    other
        .batch_execute(&lock("pg_advisory_lock"))
        .await
        .unwrap();
    let head = release::advance(&app.app).await.unwrap();
    assert!((1..=10_001).contains(&head), "{head} go ahead");
    let done =
        format!("SELECT release_done, audience_size IS NULL FROM mailings WHERE id = {mailing}");
    let done =
        format!("SELECT (r.release_done, r.unknown)::text FROM ({done}) r(release_done, unknown)");
    assert_eq!(app.value(&done).await, "(f,t)");
    for verb in ["pause", "resume"] {
        app.ok("POST", &format!("/mailings/{mailing}/{verb}"), None)
            .await;
    }
    other
        .batch_execute(&lock("pg_advisory_unlock"))
        .await
        .unwrap();
    release::advance(&app.app).await.unwrap();
    assert_eq!(app.value(&done).await, "(t,f)");
    let all = "count(*) || ' ' || count(DISTINCT contact_id)";
    let twice = format!("{everybody} {everybody}");
    for table in ["outgoing", "audience"] {
        assert_eq!(
            app.value(&format!("SELECT {all} FROM {table}")).await,
            twice
        );
    }
    assert_eq!(
        app.value("SELECT min(position) || ' ' || max(position) FROM audience")
            .await,
        format!("1 {everybody}")
    );
    let excluded = "SELECT count(*) FROM outgoing WHERE contact_id % 5 = 0";
    assert_eq!(app.value(excluded).await, "0");
    app.holds().await;
}

#[tokio::test]
async fn contacts_that_were_chosen_by_hand_are_frozen_the_same_way() {
    let app = TestApp::new().await;
    let (mailing, _) = draft(&app).await;
    app.execute(&format!(
        "UPDATE mailings SET recipients = 'contacts' WHERE id = {mailing};
         INSERT INTO mailing_contacts (company_id, mailing_id, contact_id) SELECT 1, {mailing}, id FROM contacts ORDER BY id LIMIT 10500"
    ))
    .await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let sizes = "SELECT head_size || ' ' || audience_size || ' ' || (SELECT count(DISTINCT contact_id) FROM outgoing) FROM mailings";
    assert_eq!(app.value(sizes).await, "10001 10500 10500");
    app.holds().await;
}
