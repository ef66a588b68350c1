//! Messages that Meta takes and holds back while it assesses the quality of their template.

use serde_json::json;
use wablast::simulator::{Faults, Options};

use crate::meta::{promo, ready, send, told};
use crate::support::browser::Browser;
use crate::support::tell;

#[tokio::test]
async fn meta_held_messages_say_so_until_a_receipt_comes() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(3).await;
    // As by hand, over HTTP.
    let held = json!({ "name": "weekend_promo", "held": true });
    tell(&meta, "/simulator/template", &held).await;
    let mailing = promo(&app, account, list).await;
    let shown = send(&app, &meta, mailing).await;
    // Nothing is open and nothing is sent again: they were taken.
    assert_eq!(
        (&shown["state"], &shown["counts"]["accepted"]),
        (&json!("done"), &json!(3)),
        "{shown}"
    );
    let messages = app
        .ok("GET", &format!("/messages?mailing_id={mailing}"), None)
        .await;
    for message in messages["items"].as_array().unwrap() {
        assert_eq!(message["held"], true, "{message}");
        assert_eq!(message["error_code"], json!(null));
    }
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    assert!(
        page.text()
            .contains("Meta holds 3 messages back while it assesses the template's quality."),
        "{}",
        page.text()
    );
    let list = browser
        .get(&format!("/outgoing?mailing={mailing}&f=held"))
        .await;
    assert_eq!(list.column("Status"), ["Held by Meta"; 3]);
    let id = app.value("SELECT min(id) FROM outgoing").await;
    let page = browser.get(&format!("/outgoing/{id}")).await;
    assert!(
        page.text().contains("holds it back while it assesses"),
        "{}",
        page.text()
    );

    // One of them fails in the end, the others go.
    meta.set_faults(Faults {
        late_codes: [("6281200000002".to_owned(), 131_049)].into(),
        ..Faults::default()
    });
    meta.paces_template("weekend_promo", false);
    told(&app, &meta).await;
    assert_eq!(
        app.value(
            "SELECT string_agg(state || coalesce(' ' || code, ''), ', ' ORDER BY id) FROM outgoing"
        )
        .await,
        "read, read, failed marketing_limit"
    );
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    assert!(!page.text().contains("Meta holds"), "{}", page.text());
    let list = browser
        .get(&format!("/outgoing?mailing={mailing}&f=held"))
        .await;
    assert!(list.texts("table.list tbody th").is_empty());
}
