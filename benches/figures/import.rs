//! Rows a second of an import, from the upload to the report: all rows new, all rows known already and
//! unchanged, all rows known and changed.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::instance::Instance;
use crate::report::Report;

pub async fn measure(report: &mut Report, size: usize) {
    let instance = Instance::start(false).await;
    for (what, mode, town, counted) in [
        ("all new", "insert", "Bandung", "created"),
        ("all known, none changed", "insert", "Bandung", "skipped"),
        ("all known, all changed", "update", "Garut", "updated"),
    ] {
        let mut file = "Name,WhatsApp Number,Email,Town\n".to_owned();
        for n in 0..size {
            let number = 10_000_000 + n;
            let _ = writeln!(
                file,
                "Person {n},+62 812 {number:08},person{n}@example.com,{town}"
            );
        }
        let begin = Instant::now();
        let done = import(&instance, file, mode).await;
        let took = begin.elapsed().as_secs_f64();
        assert_eq!(done[counted], size, "{done}");
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

async fn import(instance: &Instance, file: String, mode: &str) -> Value {
    let mapping = json!({ "Name": "name", "WhatsApp Number": "whatsapp_number", "Email": "email",
        "Town": "attributes.town" });
    let options = json!({ "country": "ID", "mode": mode, "mapping": mapping });
    let file = reqwest::multipart::Part::bytes(file.into_bytes()).file_name("people.csv");
    let form = reqwest::multipart::Form::new()
        .text("options", options.to_string())
        .part("file", file);
    let staged = instance.upload("/imports", form).await;
    let path = format!("/imports/{}", staged["id"]);
    let begin = Instant::now();
    loop {
        let shown = instance.api("GET", &path, Value::Null).await;
        match shown["state"].as_str() {
            Some("done") => return shown,
            Some("queued" | "running") => {}
            _ => panic!("the import ended otherwise: {shown}"),
        }
        assert!(begin.elapsed() < Duration::from_secs(3600), "{shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
