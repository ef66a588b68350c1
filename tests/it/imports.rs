//! Importing recipients: files as people have them, results that add up, and nothing that an import
//! must not do.

use serde_json::json;

use crate::support::TestApp;
use crate::support::browser::{Browser, Form, Page};

/// As a shop's spreadsheet saves it. Line 5 is empty, line 12 has only separators.
const MEMBERS: &str = "\u{feff}Nama Lengkap;No. HP;Email;Kategori;Mailing Lists;Toko\r\n\
    Siti Nurhaliza Rahmawati;0812 3456 7890;siti@batik.example;VIP, Grosir;Pembeli November;Dago\r\n\
    Budi Santoso;+62 813-1111-2222;;;;Malioboro\r\n\
    I Gusti Ayu Dewanti;6281455556666;;Grosir;;\r\n\
    \r\n\
    Siti R.;+62 812 3456 7890;;Lama;;\r\n\
    Agus;6.28E+11;;;;\r\n\
    \"=HYPERLINK(\"\"http://evil.example\"\")\";12;;;;\r\n\
    <script>alert(1)</script>;0815 5555 1234;;;;\r\n\
    Tono yang berhenti;0812 7777 8888;;;;\r\n\
    Rina Baru;0811 2222 333;;;;Tunjungan\r\n\
    ;;;;;\r\n";

pub async fn ready() -> (TestApp, Browser) {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    (app, browser)
}

/// Uploads a file to the form with everything as it is proposed.
pub async fn upload(browser: &mut Browser, name: &str, bytes: impl Into<Vec<u8>>) -> Page {
    let form = browser.get("/imports/new").await.form("/imports");
    browser.upload(form, "file", name, bytes).await
}

pub fn run_form(page: &Page) -> Form {
    page.form(&format!("{}/run", page.path))
}

/// rows, created, updated, skipped and rejected of the last import.
async fn counts(app: &TestApp) -> String {
    app.value("SELECT concat_ws(' ', rows, created, updated, skipped, rejected) FROM imports ORDER BY id DESC LIMIT 1")
        .await
}

#[tokio::test]
async fn an_import_adds_up_and_tells_every_row() {
    let (app, mut browser) = ready().await;
    let known = app
        .ok("POST", "/contacts/bulk", Some(&json!({ "contacts": [
            { "name": "Tono", "whatsapp_number": "081277778888" }, { "name": "Rina Lama", "whatsapp_number": "08112222333" }] })))
        .await;
    assert_eq!(known["created"], 2, "{known}");
    app.execute("UPDATE contacts SET opt_out = true, opt_out_at = wablast_now(), opt_out_reason = 'STOP' WHERE name = 'Tono'")
        .await;
    let list = app
        .ok("POST", "/lists", Some(&json!({ "name": "Member" })))
        .await["id"]
        .as_i64()
        .unwrap();

    let page = browser.get(&format!("/imports/new?list={list}")).await;
    let form = page.form("/imports").set("tags", "Impor November");
    assert_eq!(form.get("country"), "ID", "the company's");
    assert_eq!(form.get("list_ids"), list.to_string());
    let page = browser
        .upload(form, "file", "member <b>.csv", MEMBERS)
        .await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Import 9 rows"), "{}", page.text());
    assert!(!page.html.contains("<b>.csv"), "the name is escaped");
    let chosen: Vec<String> = [
        "name",
        "whatsapp_number",
        "email",
        "tags",
        "lists",
        "attributes.toko",
    ]
    .map(str::to_owned)
    .to_vec();
    let form = run_form(&page);
    assert_eq!(form.all("mapping"), chosen, "the guess");
    assert_eq!(
        app.value("SELECT count(*) FROM contacts").await,
        "2",
        "nothing yet"
    );

    let address = page.path.clone();
    let page = browser.submit(form.clone()).await;
    assert_eq!((page.status, page.path.as_str()), (200, address.as_str()));
    assert_eq!(counts(&app).await, "9 4 2 1 2");
    let text = page.text();
    for sentence in [
        "7 of 9 rows are in.",
        "Line 6: same number as line 2",
        "lost digits in a spreadsheet",
        "The number is too short.",
        "New tags: Grosir, Impor November, Lama, VIP",
        "New lists: Pembeli November",
    ] {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    assert!(!page.html.contains("<script>alert"));

    // What is stored.
    assert_eq!(
        app.value("SELECT string_agg(whatsapp_number, ' ' ORDER BY whatsapp_number) FROM contacts")
            .await,
        "628112222333 6281234567890 6281277778888 6281311112222 6281455556666 6281555551234"
    );
    assert_eq!(
        app.value("SELECT name || ' ' || (attributes ->> 'toko') FROM contacts WHERE whatsapp_number = '628112222333'")
            .await,
        "Rina Baru Tunjungan"
    );
    assert_eq!(
        app.value("SELECT opt_out || ' ' || opt_out_reason FROM contacts WHERE whatsapp_number = '6281277778888'")
            .await,
        "true STOP",
        "an opt-out stays"
    );
    assert_eq!(
        app.value(&format!(
            "SELECT count(*) FROM list_members WHERE list_id = {list}"
        ))
        .await,
        "6"
    );
    assert_eq!(
        app.value("SELECT string_agg(t.name, ' ' ORDER BY t.name) FROM contact_tags ct JOIN tags t ON t.id = ct.tag_id
                   JOIN contacts c ON c.id = ct.contact_id WHERE c.whatsapp_number = '6281234567890'")
            .await,
        "Grosir Impor November Lama VIP",
        "the repeated row's tag too"
    );
    assert_eq!(
        app.value("SELECT ((SELECT count(*) FROM import_chunks) = 0) || state FROM imports")
            .await,
        "truedone"
    );

    // Again: nothing happens.
    let (status, next) = browser.submit_once(form).await;
    assert_eq!((status, next.as_str()), (303, address.as_str()));
    assert_eq!(counts(&app).await, "9 4 2 1 2");
    assert_eq!(
        app.value("SELECT count(*) FROM audit WHERE noun = 'imports' AND action = 'imported'")
            .await,
        "1"
    );

    // The rejected rows come back with their columns, harmless, and can be uploaded again.
    let file = browser.get(&format!("{address}/rejected.csv")).await;
    assert!(file.header("content-type").starts_with("text/csv"));
    assert!(file.header("content-disposition").starts_with("attachment"));
    let lines: Vec<&str> = file.html.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        lines[0],
        "Nama Lengkap;No. HP;Email;Kategori;Mailing Lists;Toko;reason"
    );
    assert!(lines[1].starts_with("Agus;6.28E+11;"), "{}", lines[1]);
    assert!(lines[2].starts_with("\"'=HYPERLINK("), "{}", lines[2]);
    let fixed = file.html.replace("6.28E+11", "0819 1234 5678");
    let page = upload(&mut browser, "fixed.csv", fixed).await;
    let page = browser.submit(run_form(&page)).await;
    assert!(
        page.text().contains("1 of 2 rows are in."),
        "{}",
        page.text()
    );
    assert_eq!(
        app.value(
            "SELECT name || attributes FROM contacts WHERE whatsapp_number = '6281912345678'"
        )
        .await,
        "Agus{}",
        "the reason is no attribute"
    );
    let list = browser.get("/imports").await;
    assert!(list.text().contains("fixed.csv") && list.text().contains("member <b>.csv"));
}

#[tokio::test]
async fn known_numbers_can_stay_as_they_are_and_a_column_can_say_stop() {
    let (app, mut browser) = ready().await;
    app.ok(
        "POST",
        "/contacts/bulk",
        Some(&json!({ "contacts": [{ "name": "Rina Lama", "whatsapp_number": "08112222333" }] })),
    )
    .await;
    let form = browser
        .get("/imports/new")
        .await
        .form("/imports")
        .set("on_duplicate", "skip");
    let csv = "Name,Phone,Opt-Out\nRina Baru,+628112222333,yes\nBudi,6581234567,no\nAyu,081234567890,x\nTorn, in two,081355556666,no\n";
    let page = browser.upload(form, "other", "stop.csv", csv).await;
    assert_eq!(page.status, 422, "another field than the file's");
    let page = browser
        .upload(page.form("/imports"), "file", "stop.csv", csv)
        .await;
    let page = browser.submit(run_form(&page)).await;
    assert_eq!(counts(&app).await, "4 2 0 1 1", "{}", page.text());
    assert!(page.text().contains("4 cells, the file has 3 columns"));
    assert_eq!(
        app.value("SELECT string_agg(name || ' ' || opt_out, ', ' ORDER BY id) FROM contacts")
            .await,
        "Rina Lama true, Budi false, Ayu true"
    );
    assert_eq!(
        app.value("SELECT DISTINCT opt_out_reason FROM contacts WHERE opt_out")
            .await,
        "Import of stop.csv"
    );
}

#[tokio::test]
async fn what_is_no_csv_is_refused_with_what_to_do() {
    let (app, mut browser) = ready().await;
    for (name, bytes, sentence) in [
        (
            "a.xlsx",
            b"PK\x03\x04xlsx".to_vec(),
            "This workbook cannot be read.",
        ),
        ("a.pdf", b"%PDF-1.7".to_vec(), "save it as CSV"),
        ("a.png", b"\x89PNG\r\n".to_vec(), "save it as CSV"),
        ("empty.csv", Vec::new(), "The file is empty."),
        ("header.csv", b"Name;Phone\n".to_vec(), "no rows"),
        ("", b"Name;Phone\nA;0812\n".to_vec(), "Choose a file first."),
    ] {
        let page = upload(&mut browser, name, bytes).await;
        assert_eq!(page.status, 422, "{name}");
        assert!(page.text().contains(sentence), "{name}: {}", page.text());
    }
    assert_eq!(app.value("SELECT count(*) FROM imports").await, "0");
    let form = browser.get("/imports/new").await.form("/imports");
    let page = browser
        .upload(
            form.set("csrf", "another"),
            "file",
            "a.csv",
            "Name;HP\nA;0812\n",
        )
        .await;
    assert_eq!(page.status, 403);
}

#[tokio::test]
async fn a_mapping_with_faults_is_shown_again_and_a_draft_can_be_canceled() {
    let (app, mut browser) = ready().await;
    let page = upload(&mut browser, "a.csv", "Name,Phone\nAyu,081234567890\n").await;
    let form = run_form(&page);
    let none = browser
        .submit(form.clone().set("mapping", "name").add("mapping", "ignore"))
        .await;
    assert_eq!(none.status, 422);
    assert!(none.text().contains("which column is the WhatsApp number"));
    let twice = form
        .clone()
        .set("mapping", "whatsapp_number")
        .add("mapping", "whatsapp_number");
    let twice = browser.submit(twice).await;
    assert!(
        twice
            .text()
            .contains("Another column is this field already")
    );
    let odd = form
        .clone()
        .set("mapping", "<script>")
        .add("mapping", "whatsapp_number");
    let odd = browser.submit(odd).await;
    assert!(odd.text().contains("This field is not known"));
    assert_eq!(app.value("SELECT state FROM imports").await, "draft");
    let canceled = browser
        .submit(page.form(&format!("{}/cancel", page.path)))
        .await;
    assert_eq!(canceled.path, "/imports");
    let (status, _) = browser.submit_once(form).await;
    assert_eq!(status, 303);
    assert_eq!(
        app.value(
            "SELECT state || ((SELECT count(*) FROM import_chunks) = 0) || (SELECT count(*) FROM contacts) FROM imports"
        )
        .await,
        "canceledtrue0"
    );
    assert_eq!(browser.get(&page.path).await.status, 200);
}

#[tokio::test]
async fn every_user_may_import_and_another_company_s_import_does_not_exist() {
    let (app, mut browser) = ready().await;
    app.execute(
        "UPDATE user_companies SET role = 'user';
         INSERT INTO companies (name, country, time_zone) VALUES ('Other', 'ID', 'Asia/Jakarta');
         INSERT INTO imports (company_id, user_id, file_name, options) SELECT id, 1, 'theirs.csv', '{}' FROM companies WHERE name = 'Other'",
    )
    .await;
    let theirs = app.value("SELECT id FROM imports").await;
    for path in ["", "/rejected.csv"] {
        let page = browser.get(&format!("/imports/{theirs}{path}")).await;
        assert_eq!(page.status, 404, "{path}");
    }
    let page = upload(&mut browser, "a.csv", "Name,Phone\nAyu,081234567890\n").await;
    for verb in ["run", "cancel"] {
        let form = run_form(&page).to(&format!("/imports/{theirs}/{verb}"));
        assert_eq!(browser.submit_once(form).await.0, 404, "{verb}");
    }
    assert!(!browser.get("/imports").await.text().contains("theirs.csv"));
    let page = browser.submit(run_form(&page)).await;
    assert!(
        page.text().contains("The only row is in."),
        "{}",
        page.text()
    );
}
