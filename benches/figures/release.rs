//! Freezing the audience of a mailing and writing its messages, beside the bare statement that writes
//! the same rows into a table with the same indexes and checks.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::instance::Instance;
use crate::report::Report;

pub async fn measure(report: &mut Report, size: usize) {
    // Nothing is sent: only the writing counts.
    let instance = Instance::start(false).await;
    let account = instance.account("http://127.0.0.1:9").await;
    let list = instance.people(size).await;
    let mailing = instance.mailing(&account, list).await;
    let path = format!("/mailings/{mailing}/send_now");
    let begin = Instant::now();
    instance.api("POST", &path, json!({})).await;
    let answered = begin.elapsed();
    let count = format!("SELECT count(*) FROM outgoing WHERE mailing_id = {mailing}");
    while instance.sql(&count).await < size as i64 {
        assert!(
            begin.elapsed() < Duration::from_secs(1800),
            "it does not end"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let released = begin.elapsed();
    instance
        .sql("CREATE TABLE bare (LIKE outgoing INCLUDING ALL EXCLUDING IDENTITY)")
        .await;
    let begin = Instant::now();
    instance
        .sql(&format!(
            "INSERT INTO bare SELECT * FROM outgoing WHERE mailing_id = {mailing}"
        ))
        .await;
    let bare = begin.elapsed();
    report.row(
        format!("release of {size}: the button answers after"),
        answered.as_secs_f64(),
        "s",
    );
    report.row(
        format!("release of {size}: all written after"),
        released.as_secs_f64(),
        "s",
    );
    report.row(
        format!("release of {size}"),
        size as f64 / released.as_secs_f64(),
        "rows/s",
    );
    report.row(
        format!("bare INSERT ... SELECT of {size} rows"),
        bare.as_secs_f64(),
        "s",
    );
    report.row("peak memory", instance.process.peak_mib(), "MiB");
}
