//! What a search found, as a file.

use crate::support::TestApp;
use crate::support::browser::Browser;

async fn people(app: &TestApp, count: usize) {
    app.execute(&format!(
        "INSERT INTO contacts (company_id, whatsapp_number, name, country)
         SELECT 1, (6281500000000 + n)::text, 'Person ' || lpad(n::text, 5, '0'), 'DE' FROM generate_series(1, {count}) n"
    ))
    .await;
}

fn rows(file: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(file.trim_start_matches('\u{feff}').as_bytes());
    let records = reader.records().map(Result::unwrap);
    records
        .map(|record| record.iter().map(str::to_owned).collect())
        .collect()
}

#[tokio::test]
async fn everything_found_is_in_the_file_once_and_in_order() {
    let app = TestApp::new().await;
    people(&app, 2_345).await;
    app.execute("UPDATE contacts SET name = 'Left out' WHERE name = 'Person 00007'")
        .await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let list = browser.get("/contacts?q=person&s=-name&c=created").await;
    let links = list.attributes("a[href^='/export.csv']", "href");
    let page = browser.get(&links[0]).await;
    assert!(page.header("content-disposition").contains("contacts.csv"));
    let rows = rows(&page.html);
    assert_eq!(rows.len(), 2_345, "heads and all but one");
    assert!(rows[0].iter().any(|head| head.starts_with("Created on (")));
    let names: Vec<_> = rows[1..].iter().map(|row| row[0].clone()).collect();
    assert!(names.is_sorted_by(|one, other| one > other));
    assert!(rows[1].contains(&"Germany".to_owned()), "{:?}", rows[1]);
}

#[tokio::test]
async fn no_cell_is_a_formula_and_only_managers_take_it_out() {
    let app = TestApp::new().await;
    people(&app, 1).await;
    app.execute("UPDATE contacts SET name = '=HYPERLINK(\"http://evil.example\")'")
        .await;
    app.person("user@example.com", "user").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let file = browser.get("/export.csv?list=/contacts").await;
    assert!(rows(&file.html)[1][0].starts_with('\''), "{}", file.html);
    assert_eq!(browser.get("/export.csv?list=/accounts").await.status, 404);
    let mut user = Browser::new(&app);
    user.sign_in_as("user@example.com").await;
    assert_eq!(user.get("/export.csv?list=/contacts").await.status, 403);
    let list = user.get("/contacts").await;
    assert!(list.attributes("a[href^='/export.csv']", "href").is_empty());
}
