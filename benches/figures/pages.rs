//! Latencies of the pages people work with, asked one after the other, with so many people in one list
//! and a tenth as many messages of one mailing.

use std::time::Instant;

use crate::instance::Instance;
use crate::report::{Report, percentile};

const TIMES: usize = 30;

pub async fn measure(report: &mut Report, size: usize) {
    let instance = Instance::start(false).await;
    let account = instance.account("http://127.0.0.1:9").await;
    let list = instance.people(size).await;
    let mailing = instance.mailing(&account, list).await;
    fill(&instance, mailing, size / 10).await;
    instance.sign_in().await;
    let last = instance.sql("SELECT max(id) FROM contacts").await;
    let log = instance.sql("SELECT max(id) FROM logs").await;
    let paths = [
        "/mailings".to_owned(),
        format!("/mailings/{mailing}"),
        "/mailings/new".to_owned(),
        "/logs".to_owned(),
        format!("/logs/{log}"),
        "/outgoing".to_owned(),
        "/outgoing?f=read".to_owned(),
        "/contacts".to_owned(),
        "/contacts?q=Person+77".to_owned(),
        "/contacts?s=-created".to_owned(),
        format!("/contacts/{last}"),
        "/lists".to_owned(),
        format!("/lists/{list}"),
        "/incoming".to_owned(),
        "/imports".to_owned(),
        "/accounts".to_owned(),
        "/jobs".to_owned(),
    ];
    for path in paths {
        let mut took = Vec::with_capacity(TIMES);
        let cold = time(&instance, &path).await;
        for _ in 0..TIMES {
            took.push(time(&instance, &path).await);
        }
        let shown = path.replace(|letter: char| letter.is_ascii_digit(), "");
        let (p50, p95) = (percentile(&mut took, 50), percentile(&mut took, 95));
        report.line(&shown, &[("p50", p50), ("p95", p95), ("first", cold)], "ms");
    }
    report.row("peak memory", instance.process.peak_mib(), "MiB");
}

async fn time(instance: &Instance, path: &str) -> f64 {
    let begin = Instant::now();
    instance.page(path).await;
    begin.elapsed().as_secs_f64() * 1000.0
}

/// Messages that were sent and read, of a mailing that is done.
async fn fill(instance: &Instance, mailing: i64, messages: usize) {
    instance
        .sql(&format!(
            "WITH log AS (
               INSERT INTO logs (company_id, mailing_id, account_id, trigger, state)
               SELECT 1, {mailing}, account_id, 'send_now', 'done' FROM mailings WHERE id = {mailing} RETURNING id, account_id)
             INSERT INTO outgoing (company_id, account_id, kind, mailing_id, log_id, contact_id, number, state, accepted_at, sent_at, delivered_at, read_at)
             SELECT 1, log.account_id, 'mailing', {mailing}, log.id, c.id, c.whatsapp_number, 'read',
               wablast_now(), wablast_now(), wablast_now(), wablast_now()
             FROM log, (SELECT id, whatsapp_number FROM contacts ORDER BY id LIMIT {messages}) c;
             ANALYZE outgoing, logs"
        ))
        .await;
}
