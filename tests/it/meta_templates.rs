//! Templates written here and handed in: a header that is a file, a code; and what a new category costs.

use chrono::TimeDelta;
use serde_json::json;
use wablast::simulator::Options;

use crate::media::png;
use crate::meta::{promo, ready, send, told};
use crate::support::browser::Browser;
use crate::support::chromium::Chromium;
use crate::support::{EMAIL, PASSWORD, TestApp};

async fn status(app: &TestApp, name: &str) -> String {
    app.value(&format!(
        "SELECT status || ' ' || (shape ->> 'header_type') FROM templates WHERE name = '{name}'"
    ))
    .await
}

#[tokio::test]
async fn meta_templates_with_a_file_as_header_go_in_with_its_sample_and_are_sent_with_another() {
    let (app, meta, account) = ready(Options::default()).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/templates/new").await;
    let form = page
        .form("/templates")
        .set("account_id", &account.to_string())
        .set("name", "koleksi_baru")
        .set("language", "id")
        .without("header_type")
        .add("header_type", "image")
        .set("body", "Halo {{1}}, lihat koleksi baru.")
        .add("samples", "Siti");
    let saved = browser.submit(form.clone()).await;
    assert!(
        saved.text().contains("Upload a sample of the header"),
        "{}",
        saved.text()
    );
    // A document is no image, and a text file no sample.
    let wrong = browser
        .upload(
            form.clone(),
            "file",
            "harga.pdf",
            b"%PDF-1.7 price list %%EOF".to_vec(),
        )
        .await;
    assert_eq!(wrong.status, 422);
    let saved = browser
        .upload(form, "file", "contoh.png", png("sample"))
        .await;
    assert!(
        saved.text().contains("The draft is saved."),
        "{}",
        saved.text()
    );
    assert!(saved.text().contains("contoh.png"));
    let id = app
        .value("SELECT id FROM templates WHERE name = 'koleksi_baru'")
        .await;
    // Nobody sweeps the sample, however old it is.
    app.execute("UPDATE media SET used_at = wablast_now() - interval '9 days'")
        .await;
    wablast::media::sweep::run(&app.app).await.unwrap();
    let saved = browser.get(&format!("/templates/{id}")).await;
    let form = saved.form(&format!("/templates/{id}/hand-in"));
    browser.submit(form).await;
    assert_eq!(status(&app, "koleksi_baru").await, "pending image");
    meta.template_becomes("koleksi_baru", "APPROVED", "");
    told(&app, &meta).await;
    app.ok("POST", &format!("/accounts/{account}/templates"), None)
        .await;
    assert_eq!(status(&app, "koleksi_baru").await, "approved image");
    // The form of a mailing on it asks for the file; a draft of a program's may wait for it, and does not go.
    let page = browser.get(&format!("/mailings/new?template={id}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let list = app.list_of(1).await;
    let form = page
        .form("/mailings")
        .set("subject", "Koleksi")
        .add("list_ids", list.to_string())
        .without("template_texts")
        .add("template_texts", "{{contact.name}}");
    assert_eq!(browser.submit(form).await.status, 422);
    let mailing = json!({ "subject": "Koleksi", "account_id": account, "recipients": { "list_ids": [list] },
        "template": { "id": id.parse::<i64>().unwrap(), "values": { "body.1": "{{contact.name}}" } } });
    let made = app.ok("POST", "/mailings", Some(&mailing)).await;
    let (refused, why) = app
        .call("POST", &format!("/mailings/{}/send_now", made["id"]), None)
        .await;
    assert_eq!(refused, 422, "{why}");
    assert!(
        why.to_string().contains("has a file as its header"),
        "{why}"
    );
    let (_, file) = app.upload("batik.png", png("mailing")).await;
    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&json!({ "subject": "Koleksi", "account_id": account, "recipients": { "list_ids": [list] },
                "header": { "type": "image", "media_id": file["id"] },
                "template": { "id": id.parse::<i64>().unwrap(), "values": { "body.1": "{{contact.name}}" } } })),
        )
        .await;
    let shown = send(&app, &meta, made["id"].as_i64().unwrap()).await;
    assert_eq!(shown["counts"]["read"], 1, "{shown}");
}

#[tokio::test]
async fn meta_templates_of_codes_go_in_without_a_text_and_carry_the_code_twice() {
    let (app, meta, account) = ready(Options::default()).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/templates/new").await;
    let form = page
        .form("/templates")
        .set("account_id", &account.to_string())
        .set("name", "kode_masuk")
        .set("language", "en_US")
        .without("category")
        .add("category", "authentication")
        .set("minutes", "100");
    let saved = browser.submit(form).await;
    assert!(
        saved.text().contains("A code holds from 1 to 90 minutes"),
        "{}",
        saved.text()
    );
    let saved = browser
        .submit(saved.form("/templates").set("minutes", "10"))
        .await;
    assert!(
        saved.text().contains("is your verification code."),
        "{}",
        saved.text()
    );
    let id = app
        .value("SELECT id FROM templates WHERE name = 'kode_masuk'")
        .await;
    let form = saved.form(&format!("/templates/{id}/hand-in"));
    browser.submit(form).await;
    meta.template_becomes("kode_masuk", "APPROVED", "");
    told(&app, &meta).await;
    app.ok("POST", &format!("/accounts/{account}/templates"), None)
        .await;
    let list = app.list_of(2).await;
    app.execute("UPDATE contacts SET attributes = jsonb_build_object('kode', '7' || id)")
        .await;
    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&json!({ "subject": "Kode", "account_id": account, "recipients": { "list_ids": [list] },
                "template": { "id": id.parse::<i64>().unwrap(), "values": { "body.1": "{{contact.kode}}" } } })),
        )
        .await;
    let mailing = made["id"].as_i64().unwrap();
    let before = app
        .ok("GET", &format!("/mailings/{mailing}/preflight"), None)
        .await;
    assert_eq!(before["cost"]["category"], "authentication");
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    assert!(
        page.text()
            .contains("Meta's discounts by volume are not counted"),
        "{}",
        page.text()
    );
    let shown = send(&app, &meta, mailing).await;
    assert_eq!(shown["counts"]["read"], 2, "{shown}");
    assert_eq!(
        app.value("SELECT (template #>> '{buttons,0,kind}') || ' ' || (template #>> '{buttons,0,text}') FROM mailing_versions").await,
        "url {{contact.kode}}"
    );
}

#[tokio::test]
async fn meta_templates_in_another_category_tell_what_that_costs() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(10).await;
    let id = app
        .value("SELECT id FROM templates WHERE name = 'order_update'")
        .await;
    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&json!({ "subject": "Order", "account_id": account, "recipients": { "list_ids": [list] },
                "template": { "id": id.parse::<i64>().unwrap(), "values": { "body.1": "A1" } } })),
        )
        .await;
    let mailing = made["id"].as_i64().unwrap();
    let preflight = async || {
        app.ok("GET", &format!("/mailings/{mailing}/preflight"), None)
            .await
    };
    let before = preflight().await;
    assert_eq!(before["cost"]["micros"], 10 * 20_000, "{before}");
    assert_eq!(before["category_change"], json!(null));

    meta.template_moves("order_update", "MARKETING");
    told(&app, &meta).await;
    let after = preflight().await;
    assert_eq!(after["cost"]["micros"], 10 * 41_100, "{after}");
    assert_eq!(
        (
            &after["category_change"]["before"],
            &after["category_change"]["micros_before"]
        ),
        (&json!("utility"), &json!(10 * 20_000))
    );
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    let said = page.text();
    assert!(
        said.contains("Meta moved this template from Utility to Marketing on")
            && said.contains("would cost USD 0.4110 instead of USD 0.2000"),
        "{said}"
    );
    let page = browser.get(&format!("/templates/{id}")).await;
    let said = page.text();
    assert!(
        said.contains("from Utility to Marketing on")
            && said.contains("USD 0.0411 instead of USD 0.0200"),
        "{said}"
    );
    // After a month it is no news for a mailing.
    app.advance(TimeDelta::days(40)).await;
    assert_eq!(preflight().await["category_change"], json!(null));
}

#[tokio::test]
async fn meta_templates_are_tested_as_templates_with_their_values() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(1).await;
    let mailing = promo(&app, account, list).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let test = format!("/mailings/{mailing}/test");
    let page = browser.get(&test).await;
    let buttons = page.texts(".bubble-buttons li");
    assert_eq!(buttons, ["Lihat toko", "Berhenti"], "as WhatsApp shows it");
    assert!(
        page.text().contains("it reaches anybody"),
        "{}",
        page.text()
    );
    let form = page
        .form(&test)
        .without("to")
        .add("to", "number")
        .set("number", "081299990000");
    browser.submit(form).await;
    assert_eq!(
        app.value("SELECT kind || ' ' || (version_id IS NOT NULL) FROM outgoing")
            .await,
        "test true"
    );
    deliver_all(&app).await;
    told(&app, &meta).await;
    let arrived = crate::support::arrived(&meta).await;
    assert_eq!(arrived["by_number"], json!({ "6281299990000": 1 }));
    assert!(
        arrived["items"]
            .to_string()
            .contains("Halo P0, diskon 20 %"),
        "{arrived}"
    );
    assert_eq!(app.value("SELECT state FROM outgoing").await, "read");
    // The draft may still go; its test keeps what it said.
    let delete = format!("/mailings/{mailing}/delete");
    let page = browser.get(&delete).await;
    let gone = browser.submit(page.form(&delete)).await;
    assert_eq!(
        app.value("SELECT count(*) FROM mailings").await,
        "0",
        "{}",
        gone.text()
    );
    let id = app.value("SELECT id FROM outgoing").await;
    let page = browser.get(&format!("/outgoing/{id}")).await;
    assert!(page.text().contains("Halo P0"), "{}", page.text());
    app.holds().await;
}

async fn deliver_all(app: &TestApp) {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let deliverer = tokio::spawn(wablast::outgoing::deliver::run(app.app.clone(), stopped));
    app.until("nothing waits", || async {
        app.value("SELECT count(*) FROM outgoing WHERE state IN ('queued', 'claimed', 'sending')")
            .await
            == "0"
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_templates_written_from_right_to_left_fit_a_phone() {
    let (app, _meta, _) = ready(Options::default()).await;
    let id = app
        .value("SELECT id FROM templates WHERE language = 'ar'")
        .await;
    let long = "\u{645}\u{631}\u{62d}\u{628}\u{627}".repeat(30);
    app.execute(&format!(
        "UPDATE templates SET name = '{}', shape = shape || jsonb_build_object('footer', '{long}', 'buttons',
           jsonb_build_array(jsonb_build_object('kind', 'url', 'text', '{long}', 'url', 'https://x')))
         WHERE id = {id}",
        "w".repeat(200)
    ))
    .await;
    let browser = Chromium::start_narrow(&app.address).await;
    browser.goto("/login").await;
    browser.fill("email", EMAIL).await;
    browser.fill("password", PASSWORD).await;
    browser.press("main button[type=submit]").await;
    browser.reads("Mailings").await;
    browser.goto(&format!("/templates/{id}")).await;
    let inside = browser
        .script(
            "const phone = document.querySelector('.phone');
             phone.scrollIntoView({ block: 'center', behavior: 'instant' });
             const frame = phone.getBoundingClientRect();
             const parts = [...phone.querySelectorAll('*')].map(one => one.getBoundingClientRect());
             const bubble = phone.querySelector('.bubble');
             const beside = bubble.getBoundingClientRect();
             return [document.documentElement.scrollWidth <= 390, frame.left >= 0 && frame.right <= 390,
               parts.every(part => part.left >= frame.left - 1 && part.right <= frame.right + 1),
               getComputedStyle(bubble).direction,
               // Its buttons stand under it.
               Math.abs(phone.querySelector('.bubble-buttons').getBoundingClientRect().left - beside.left) <= 2]",
        )
        .await;
    assert_eq!(inside, json!([true, true, true, "rtl", true]));
    browser.close().await;
}
