//! What an import takes over and what one chooses: the columns of the last time, the sheet of a workbook, countries by
//! their names.

use std::io::{Cursor, Write as _};

use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::imports::{ready, run_form, upload};
use crate::support::browser::Browser;

/// A workbook of sheets with rows of text.
fn workbook(sheets: &[(&str, &[&[&str]])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |name: &str, text: String| {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    };
    let each = |of: &dyn Fn(usize, &str) -> String| -> String {
        let all = sheets.iter().enumerate();
        all.map(|(n, (name, _))| of(n + 1, name)).collect()
    };
    put(
        "[Content_Types].xml",
        format!(
            r#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>{}</Types>"#,
            each(&|n, _| format!(
                r#"<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>"#
            ))
        ),
    );
    put(
        "_rels/.rels",
        r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#.to_owned(),
    );
    put(
        "xl/_rels/workbook.xml.rels",
        format!(
            r#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>"#,
            each(&|n, _| format!(
                r#"<Relationship Id="rId{n}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet{n}.xml"/>"#
            ))
        ),
    );
    put(
        "xl/workbook.xml",
        format!(
            r#"<?xml version="1.0"?><workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>{}</sheets></workbook>"#,
            each(&|n, name| format!(r#"<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>"#))
        ),
    );
    for (n, (_, rows)) in sheets.iter().enumerate() {
        let mut body = String::new();
        for (r, row) in rows.iter().enumerate() {
            let cells: String = row
                .iter()
                .zip('A'..)
                .map(|(cell, column)| {
                    format!(
                        r#"<c r="{column}{}" t="inlineStr"><is><t>{cell}</t></is></c>"#,
                        r + 1
                    )
                })
                .collect();
            body += &format!(r#"<row r="{}">{cells}</row>"#, r + 1);
        }
        put(
            &format!("xl/worksheets/sheet{}.xml", n + 1),
            format!(
                r#"<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{body}</sheetData></worksheet>"#
            ),
        );
    }
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn a_file_with_the_same_columns_is_filled_in_as_the_last_time() {
    let (app, mut browser) = ready().await;
    let file = |number: &str| format!("Nama;No HP;Toko\nSiti;{number};Dago\n");
    let first = upload(&mut browser, "a.csv", file("081200000001")).await;
    assert!(!first.text().contains("filled in as"), "{}", first.text());
    let form = run_form(&first);
    assert_eq!(form.all("mapping")[2], "attributes.toko", "the guess");
    // Dropped before it ran: nothing is learned of it.
    let cancel = first.form(&format!("{}/cancel", first.path));
    browser.submit(cancel).await;
    let second = upload(&mut browser, "b.csv", file("081200000002")).await;
    let form = run_form(&second);
    assert_eq!(form.all("mapping")[2], "attributes.toko");
    let chosen = form
        .without("mapping")
        .add("mapping", "name")
        .add("mapping", "whatsapp_number")
        .add("mapping", "company_name");
    let done = browser.submit(chosen).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let third = upload(&mut browser, "c.csv", file("081200000003")).await;
    assert_eq!(
        run_form(&third).all("mapping"),
        ["name", "whatsapp_number", "company_name"]
    );
    assert!(
        third
            .text()
            .contains("last import of a file with the same columns"),
        "{}",
        third.text()
    );
    let guessed = browser.get(&format!("{}?guess=1", third.path)).await;
    let form = guessed.form(&format!("{}/run", third.path));
    assert_eq!(form.all("mapping")[2], "attributes.toko");
    // Other columns, another order, another company: guessed.
    let other = upload(
        &mut browser,
        "d.csv",
        "No HP;Nama;Toko\n081200000004;Siti;Dago\n",
    )
    .await;
    assert_eq!(run_form(&other).all("mapping")[2], "attributes.toko");
    let company = app.company("Toko Melati").await;
    app.person_of(&company, "budi@example.com", "administrator")
        .await;
    let mut budi = Browser::new(&app);
    budi.sign_in_as("budi@example.com").await;
    let theirs = upload(&mut budi, "e.csv", file("081200000005")).await;
    assert_eq!(run_form(&theirs).all("mapping")[2], "attributes.toko");
    // A program that names no columns gets the guess, whatever people chose before.
    let stored = app
        .value("SELECT count(*) FROM contacts WHERE company_name = 'Dago'")
        .await;
    assert_eq!(stored, "1");
}

#[tokio::test]
async fn one_chooses_the_sheet_of_a_workbook() {
    let (app, mut browser) = ready().await;
    let book = workbook(&[
        (
            "Catatan",
            &[&["Nama", "No HP"], &["Bukan pelanggan", "081200000010"]],
        ),
        (
            "Pelanggan",
            &[
                &["Nama", "No HP", "Kota"],
                &["Siti", "081200000011", "Bandung"],
                &["Budi", "081200000012", "Solo"],
            ],
        ),
        ("Kosong", &[]),
    ]);
    let page = upload(&mut browser, "buku.xlsx", book.clone()).await;
    let text = page.text();
    for said in [
        "Import 1 row",
        "The sheet Catatan was read.",
        "Pelanggan",
        "Kosong",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // Another sheet is read without another upload; one that cannot be changes nothing.
    let sheets = format!("{}/sheet", page.path);
    let form = page.form(&sheets);
    assert_eq!(form.get("sheet"), "Catatan");
    for (sheet, words) in [
        ("Kosong", "This sheet of the workbook is empty."),
        ("Tamu", "The workbook has no sheet of this name."),
    ] {
        let refused = browser.submit(form.clone().set("sheet", sheet)).await;
        let text = refused.text();
        assert!(
            refused.status == 422 && text.contains(words),
            "{sheet}: {text}"
        );
        assert!(text.contains("Import 1 row"), "{text}");
    }
    let test = run_form(&page).to(&format!("{}/test", page.path));
    assert!(
        browser
            .submit(test)
            .await
            .text()
            .contains("What the test found")
    );
    let page = browser.submit(form.clone().set("sheet", "Pelanggan")).await;
    let text = page.text();
    for said in ["Import 2 rows", "The sheet Pelanggan was read."] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(
        !text.contains("What the test found"),
        "of another sheet: {text}"
    );
    assert_eq!(
        run_form(&page).all("mapping"),
        ["name", "whatsapp_number", "attributes.kota"]
    );
    // Back and forth, and twice the same: nothing more is stored for it.
    for sheet in ["Catatan", "Pelanggan", "Pelanggan"] {
        let page = browser.submit(form.clone().set("sheet", sheet)).await;
        assert_eq!(page.status, 200, "{sheet}");
    }
    assert_eq!(
        app.value("SELECT string_agg(workbook::text, ' ' ORDER BY workbook) FROM import_chunks")
            .await,
        "false true"
    );
    let done = browser.submit(run_form(&page)).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(
        app.value("SELECT string_agg(name, ',' ORDER BY name) FROM contacts")
            .await,
        "Budi,Siti"
    );
    assert_eq!(app.value("SELECT count(*) FROM import_chunks").await, "0");
    let late = browser.submit(form.set("sheet", "Catatan")).await;
    assert_eq!(late.status, 409, "{}", late.text());
    for (sheet, words) in [
        ("Tamu", "Its sheets: Catatan, Pelanggan, Kosong."),
        ("3", "This sheet of the workbook is empty."),
    ] {
        let form = browser.get("/imports/new").await.form("/imports");
        let refused = browser
            .upload(form.set("sheet", sheet), "file", "buku.xlsx", book.clone())
            .await;
        assert!(
            refused.status == 422 && refused.text().contains(words),
            "{sheet}: {}",
            refused.text()
        );
        assert_eq!(
            refused.form("/imports").get("sheet"),
            sheet,
            "nothing is lost"
        );
    }
    let options = json!({ "sheet": "2", "mode": "update" });
    let (status, answer) = app.import("buku.xlsx", book, Some(&options)).await;
    assert_eq!(status, 202, "{answer}");
}

#[tokio::test]
async fn countries_are_known_by_their_names_in_both_languages() {
    let (app, mut browser) = ready().await;
    let file = "Nama;No HP;Negara\nA;81234567;Singapura\nB;0123456789;Malaysia\nC;081200000021;Indonesia\nD;081200000022;ID\nE;081200000023;indonesia\n";
    let page = upload(&mut browser, "a.csv", file).await;
    assert_eq!(
        run_form(&page).all("mapping"),
        ["name", "whatsapp_number", "country"]
    );
    browser.submit(run_form(&page)).await;
    assert_eq!(
        app.value("SELECT string_agg(name || ' ' || country, ',' ORDER BY name) FROM contacts")
            .await,
        "A SG,B MY,C ID,D ID,E ID"
    );
}
