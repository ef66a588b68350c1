//! Rows a second of an import, from pressing *Import* to the report, all rows new and then all known.

use std::fmt::Write as _;
use std::time::Instant;

use crate::instance::Instance;
use crate::report::Report;

/// What one file may hold.
const AT_MOST: usize = 100_000;

pub async fn measure(report: &mut Report, size: usize) {
    let instance = Instance::start(false).await;
    instance.sign_in().await;
    let size = size.min(AT_MOST);
    let mut file = "Name,WhatsApp Number,Email,Town\n".to_owned();
    for n in 0..size {
        let _ = writeln!(
            file,
            "Person {n},+62 812 {:08},person{n}@example.com,Bandung",
            n + 10_000_000
        );
    }
    for what in ["all new", "all known"] {
        let took = import(&instance, &file).await;
        report.row(
            format!("import of {size} rows, {what}"),
            size as f64 / took,
            "rows/s",
        );
    }
    let people = instance.sql("SELECT count(*) FROM contacts").await;
    assert_eq!(people, size as i64, "everybody is there, once");
    report.row("peak memory", instance.process.peak_mib(), "MiB");
}

async fn import(instance: &Instance, file: &str) -> f64 {
    let token = instance.form_token("/imports/new").await;
    let part = reqwest::multipart::Part::bytes(file.as_bytes().to_vec()).file_name("people.csv");
    let form = reqwest::multipart::Form::new()
        .text("csrf", token)
        .part("file", part);
    let uploaded = instance
        .client
        .post(format!("{}/imports", instance.url))
        .header("Origin", &instance.url)
        .multipart(form)
        .send()
        .await
        .unwrap();
    let path = uploaded.url().path().to_owned();
    let page = uploaded.text().await.unwrap();
    // The guessed columns as the page has them.
    let form = fields(&page, &format!("action=\"{path}/run\""));
    let id: i64 = path
        .rsplit('/')
        .next()
        .unwrap()
        .parse()
        .expect("an import was made");
    let begin = Instant::now();
    let run = instance
        .client
        .post(format!("{}{path}/run", instance.url))
        .header("Origin", &instance.url)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap();
    assert!(run.status().is_success(), "{}", run.status());
    let done = format!("SELECT count(*) FROM imports WHERE id = {id} AND state = 'done'");
    while instance.sql(&done).await == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    begin.elapsed().as_secs_f64()
}

/// The form with this action as a browser would post it untouched.
fn fields(page: &str, action: &str) -> String {
    let page = scraper::Html::parse_document(page);
    let all = scraper::Selector::parse(&format!("form[{action}] [name]")).unwrap();
    let chosen = scraper::Selector::parse("option[selected]").unwrap();
    let option = scraper::Selector::parse("option").unwrap();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for field in page.select(&all) {
        let name = field.attr("name").unwrap();
        let value = match field.value().name() {
            "select" => {
                let first = field
                    .select(&chosen)
                    .next()
                    .or_else(|| field.select(&option).next());
                first
                    .and_then(|option| option.attr("value"))
                    .unwrap_or_default()
                    .to_owned()
            }
            "textarea" => field.text().collect(),
            "button" => continue,
            _ => {
                let boxes = matches!(field.attr("type"), Some("checkbox" | "radio"));
                if boxes && field.attr("checked").is_none() {
                    continue;
                }
                field.attr("value").unwrap_or_default().to_owned()
            }
        };
        form.append_pair(name, &value);
    }
    form.finish()
}
