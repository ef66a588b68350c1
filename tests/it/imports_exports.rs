//! Exports of the programs people come from, taken as they are, without touching the columns; and files
//! that mean harm.

use serde_json::json;
use tokio::sync::watch;
use wablast::imports::work;

use crate::support::TestApp;
use crate::support::browser::Browser;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/imports");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

const PEOPLE: &str = "SELECT string_agg(concat_ws('|', whatsapp_number, name, title, email, country, company_name, job_position, description,
    (SELECT string_agg(t.name, ',' ORDER BY t.name) FROM contact_tags ct JOIN tags t ON t.id = ct.tag_id WHERE ct.contact_id = c.id),
    (SELECT string_agg(l.name, ',' ORDER BY l.name) FROM list_members m JOIN lists l ON l.id = m.list_id WHERE m.contact_id = c.id),
    CASE WHEN opt_out THEN 'STOP' END, nullif(attributes, '{}')), E'\\n' ORDER BY id) FROM contacts c";

/// Imports a file as it is guessed; created and rejected rows, and who is there.
async fn imported(name: &str) -> (String, String) {
    let app = TestApp::new().await;
    let (status, answer) = app
        .import(name, fixture(name), Some(&json!({ "mode": "update" })))
        .await;
    assert_eq!(status, 202, "{name}: {answer}");
    let (_open, stop) = watch::channel(false);
    work::all(&app.app, &stop).await.unwrap();
    let figures = app
        .value("SELECT concat_ws(' ', state, created, rejected) FROM imports")
        .await;
    (figures, app.value(PEOPLE).await)
}

#[tokio::test]
async fn exports_of_other_programs_come_in_as_they_are() {
    for (name, figures, people) in [
        (
            "odoo-contacts.csv",
            "done 4 0",
            "6281234567801|Siti Rahmawati|Madam|siti@batik.example|ID|Batik Melati|Owner||Grosir,VIP\n\
             6281311112202|Budi Santoso|Mister|budi@toko.example|ID||||Grosir\n\
             6591234503|Tan Wei Ling|||SG|||\n\
             622155501234|Batik Melati||halo@batik.example|ID||||Supplier",
        ),
        (
            "odoo-contacts-technical.csv",
            "done 2 0",
            "6281234567811|Ayu Lestari||ayu@x.example|ID|Butik Melati|Kasir||Reseller,VIP\n\
             60123456712|Lim Kok Wing|||MY|||",
        ),
        (
            "odoo-contacts.xlsx",
            "done 3 0",
            "6281234567871|Putri Ayuningtyas||putri@x.example|ID|Batik Melati|||Grosir,VIP|{\"last_order\": \"2026-10-31\"}\n\
             6281234567872|Rizki Ananda|||ID|||\n\
             6281234567873|Nomor Teks|||ID||||Baru,VIP",
        ),
        (
            "origin-recipients.csv",
            "done 2 0",
            "6281234567821|Dewi Kartika||dewi@x.example|ID|Sari Arum|||VIP|Newsletter,Promo\n\
             6281234567822|Agus Salim|||ID||||Promo",
        ),
        (
            "origin-recipients-technical.csv",
            "done 2 0",
            "6281234567831|Rina Wulandari|Mrs.|rina@x.example|ID|Toko Rina|Owner|Suka batik tulis|Lama,VIP|Newsletter|STOP\n\
             6281234567832|Joko Susilo|||ID||||Newsletter",
        ),
        (
            "listmonk.csv",
            "done 2 1",
            "6281234567841|Maya Sari||maya@x.example|ID||||{\"age\": 31, \"city\": \"Bandung\", \"phone\": \"+62 812 3456 7841\"}\n\
             6281234567842|Hadi Putra||hadi@x.example|ID||||STOP|{\"city\": \"Solo\", \"whatsapp\": 6281234567842}",
        ),
        (
            "google-contacts.csv",
            "done 2 0",
            "6281234567851|Nur Aini Rahman||nur@x.example|ID|Kopi Senja|Barista|Suka kopi,\ndatang pagi|Pelanggan|{\"birthday\": \"1990-05-01\", \"phone_1_label\": \"Mobile\", \"phone_2_label\": \"Home\", \"e_mail_1_label\": \"* Work\"}\n\
             6281234567852|Bayu Prakoso|||ID||||{\"phone_2_label\": \"Mobile\"}",
        ),
        (
            "outlook-contacts.csv",
            "done 1 0",
            "6281234567861|Laras Putri|Mrs.|laras@x.example|ID|Sinar Jaya|Manager|Langganan|Grosir,VIP|{\"business_country_region\": \"Indonesia\"}",
        ),
    ] {
        let (found, there) = imported(name).await;
        assert_eq!(found, figures, "{name}");
        assert_eq!(there, people, "{name}");
    }
}

#[tokio::test]
async fn files_that_mean_harm_are_refused_in_words_or_come_in_harmless() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let wide = |columns: usize| {
        let names: Vec<String> = (0..columns).map(|column| format!("K{column}")).collect();
        format!(
            "HP,{}\n081234567890,{}\n",
            names.join(","),
            vec!["x"; columns].join(",")
        )
    };
    let utf_16: Vec<u8> = "\u{feff}Nama\tHP\r\nSití\t0812 3456 7890\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let huge = format!("Nama,HP\n{},081234567890\n", "x".repeat(40_000));
    let refused: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "The file is empty."),
        (b"Nama,HP\n".to_vec(), "no rows"),
        (
            b"Nama,HP\nA\0B,081234567890\n".to_vec(),
            "Line 2 holds a NUL",
        ),
        (wide(499).into_bytes(), "Line 1 has 500 columns"),
        (huge.into_bytes(), "Line 2 has a cell of more than 32 KiB"),
        (
            b"Nama,Toko,HP\nA,\"Batik,081234567890\nB,\"Sari\",081234567891\n".to_vec(),
            "Line 2 opens a quotation mark that is closed only lines later",
        ),
        (
            b"PK\x03\x04 no workbook".to_vec(),
            "This workbook cannot be read",
        ),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(),
            "This workbook cannot be read",
        ),
    ];
    for (bytes, sentence) in refused {
        let form = browser.get("/imports/new").await.form("/imports");
        let page = browser.upload(form, "file", "a.csv", bytes).await;
        assert_eq!(page.status, 422, "{sentence}");
        assert!(
            page.text().contains(sentence),
            "{sentence}: {}",
            page.text()
        );
    }
    assert_eq!(app.value("SELECT count(*) FROM imports").await, "0");
    let taken: Vec<(Vec<u8>, &str)> = vec![
        (b"081234567890\n081234567891\n".to_vec(), "2 of 0"),
        (
            [b"\xef\xbb\xbf".as_slice(), b"Nama;HP\nSiti;081234567890\n"].concat(),
            "Siti",
        ),
        (utf_16, "Sit\u{ed}"),
        (b"Nama,HP\nSit\xed,081234567890\n".to_vec(), "Sit\u{ed}"),
        (wide(199).into_bytes(), "200 columns"),
    ];
    for (bytes, what) in taken {
        app.execute("DELETE FROM contacts").await;
        let form = browser.get("/imports/new").await.form("/imports");
        let page = browser.upload(form, "file", "a.csv", bytes).await;
        assert_eq!(page.status, 200, "{what}: {}", page.text());
        let page = browser
            .submit(page.form(&format!("{}/run", page.path)))
            .await;
        assert_eq!(
            app.value("SELECT concat(state, rejected) FROM imports ORDER BY id DESC LIMIT 1")
                .await,
            "done0",
            "{what}: {}",
            page.text()
        );
        if what.starts_with("Sit") {
            assert_eq!(app.value("SELECT name FROM contacts").await, what);
        }
    }
    assert_eq!(
        app.value("SELECT count(*) FROM contacts, jsonb_object_keys(attributes)")
            .await,
        "199"
    );
}
