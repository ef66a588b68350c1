//! Files and reactions that people send to a number at Meta.

use wablast::incoming::{files, signs};
use wablast::simulator::{Faults, Options};

use crate::meta::{promo, ready, send, told};
use crate::support::TestApp;
use crate::support::browser::Browser;

const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0 a picture \xFF\xD9";

/// The newest message somebody sent.
async fn newest(app: &TestApp) -> String {
    app.value("SELECT max(id) FROM incoming").await
}

#[tokio::test]
async fn meta_files_are_fetched_by_their_bytes_and_shown_in_the_chat() {
    let (app, meta, _) = ready(Options::default()).await;
    meta.somebody_sends_file_to_meta("6281200000000", "image", "image/jpeg", JPEG);
    told(&app, &meta).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let id = newest(&app).await;
    let address = format!("/incoming/{id}");
    let page = browser.get(&address).await;
    assert!(page.text().contains("being fetched"), "{}", page.text());
    assert_eq!(files::look(&app.app).await.unwrap(), 1);
    assert_eq!(files::look(&app.app).await.unwrap(), 0, "once");
    let page = browser.get(&address).await;
    let file = format!("{address}/file");
    assert_eq!(page.attributes("img.media", "src"), [file.as_str()]);
    let answer = browser.raw(&file).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    assert_eq!(answer.bytes().await.unwrap(), JPEG);
    // What no row needs is swept; this is needed.
    assert_eq!(app.value("SELECT count(*) FROM media_leftovers").await, "0");
    // Another company does not see it.
    let other = app.company("Lain").await;
    app.person_of(&other, "lain@example.com", "administrator")
        .await;
    let mut stranger = Browser::new(&app);
    stranger.sign_in_as("lain@example.com").await;
    assert_eq!(stranger.get(&file).await.status, 404);
}

#[tokio::test]
async fn meta_files_that_only_say_they_are_pictures_are_never_opened() {
    let (app, meta, _) = ready(Options::default()).await;
    let evil = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    meta.somebody_sends_file_to_meta("6281200000000", "image", "image/svg+xml", evil);
    told(&app, &meta).await;
    files::look(&app.app).await.unwrap();
    let id = newest(&app).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/incoming/{id}")).await;
    assert!(page.attributes("img.media", "src").is_empty());
    let answer = browser.raw(&format!("/incoming/{id}/file")).await;
    let headers = answer.headers();
    assert!(!headers["content-type"].to_str().unwrap().contains("svg"));
    assert!(
        headers["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
}

#[tokio::test]
async fn meta_files_that_meta_has_no_longer_leave_their_message_with_the_reason() {
    let (app, meta, _) = ready(Options::default()).await;
    let id = meta.somebody_sends_file_to_meta("6281200000000", "audio", "audio/ogg", b"OggS voice");
    meta.forget_file(&id);
    told(&app, &meta).await;
    assert_eq!(files::look(&app.app).await.unwrap(), 0);
    assert_eq!(
        app.value("SELECT state || ': ' || reason FROM incoming_files")
            .await,
        "missing: Meta has the file no longer."
    );
    // However often a process died over a file, the others are fetched.
    app.execute("UPDATE incoming_files SET state = 'waiting', tries = 12, next_at = wablast_now()")
        .await;
    meta.somebody_sends_file_to_meta("6281200000001", "image", "image/jpeg", JPEG);
    told(&app, &meta).await;
    assert_eq!(files::look(&app.app).await.unwrap(), 1);
    let id = app
        .value("SELECT incoming_id FROM incoming_files WHERE state = 'missing'")
        .await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/incoming/{id}")).await;
    assert!(page.text().contains("has no longer"), "{}", page.text());
    assert_eq!(
        browser.get(&format!("/incoming/{id}/file")).await.status,
        404
    );
}

#[tokio::test]
async fn meta_files_a_reaction_stands_on_its_message_and_is_no_answer() {
    let (app, meta, account) = ready(Options::default()).await;
    let mailing = promo(&app, account, app.list_of(1).await).await;
    send(&app, &meta, mailing).await;
    let ours = app.value("SELECT provider_id FROM outgoing").await;
    meta.somebody_reacts_at_meta("6281200000000", &ours, "\u{2764}\u{fe0f}");
    told(&app, &meta).await;
    assert_eq!(
        app.value("SELECT count(*) FROM incoming WHERE reaction AND read_at IS NOT NULL")
            .await,
        "1"
    );
    assert_eq!(
        app.value("SELECT count(replied_at) FROM outgoing").await,
        "0"
    );
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/incoming/{}", newest(&app).await);
    let page = browser.get(&address).await;
    assert_eq!(page.texts(".bubble-out .reaction"), ["\u{2764}\u{fe0f}"]);
    meta.somebody_reacts_at_meta("6281200000000", &ours, "");
    told(&app, &meta).await;
    let page = browser.get(&address).await;
    assert!(page.texts(".reaction").is_empty());
}

#[tokio::test]
async fn meta_signs_a_refusal_that_speaks_of_the_person_is_followed() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(2).await;
    let person = |n: i64| (6_281_200_000_000 + n).to_string();
    meta.set_faults(Faults {
        codes: [(person(0), 131_050), (person(1), 131_026)].into(),
        ..Faults::default()
    });
    let first = promo(&app, account, list).await;
    send(&app, &meta, first).await;
    signs::follow(&app.app).await.unwrap();
    assert_eq!(
        app.value(
            "SELECT string_agg(name || ': ' || opt_out_reason, ', ') FROM contacts WHERE opt_out"
        )
        .await,
        "P0: Stopped marketing messages in WhatsApp"
    );
    // Once may be a passing reason; twice is not.
    assert_eq!(app.value("SELECT count(*) FROM number_checks").await, "0");
    let second = promo(&app, account, list).await;
    send(&app, &meta, second).await;
    signs::follow(&app.app).await.unwrap();
    assert_eq!(
        app.value("SELECT number || ' ' || on_whatsapp FROM number_checks")
            .await,
        format!("{} false", person(1))
    );
    let third = promo(&app, account, list).await;
    let before = app
        .ok("GET", &format!("/mailings/{third}/preflight"), None)
        .await;
    assert_eq!(
        before["left_out"],
        serde_json::json!({ "opted_out": 1, "not_on_whatsapp": 1 })
    );
}
