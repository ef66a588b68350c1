//! Imports beside the requests: by the API, several instances, crashes and stops in the middle.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};
use wablast::app::App;
use wablast::db::Db;
use wablast::imports::work;

use crate::support::TestApp;
use crate::support::browser::Browser;

/// A file of people P0, P1 … with numbers from 628120000000 on; every tenth row is wrong.
pub fn file(rows: usize) -> String {
    let mut file = "Nama,HP,Kota\n".to_owned();
    for row in 0..rows {
        let number = if row % 10 == 9 {
            "12".to_owned()
        } else {
            format!("08120{row:07}")
        };
        file.push_str(&format!("P{row},{number},Bandung\n"));
    }
    file
}

pub async fn upload(app: &TestApp, file: impl Into<Vec<u8>>, options: Value) -> i64 {
    let (status, answer) = app.import("people.csv", file, Some(&options)).await;
    assert_eq!(status, 202, "{answer}");
    answer["id"].as_i64().unwrap()
}

pub async fn work_on(app: &App) {
    let (_open, stop) = watch::channel(false);
    work::all(app, &stop).await.unwrap();
}

async fn shown(app: &TestApp, id: i64) -> Value {
    app.ok("GET", &format!("/imports/{id}"), None).await
}

/// state, then the figures; they always add up.
pub async fn figures(app: &TestApp, id: i64) -> String {
    let shown = shown(app, id).await;
    let figure = |name: &str| shown[name].as_i64().unwrap();
    assert_eq!(
        figure("rows"),
        figure("created") + figure("updated") + figure("skipped") + figure("rejected"),
        "{shown}"
    );
    format!(
        "{} {} {} {} {} {}",
        shown["state"].as_str().unwrap(),
        figure("rows"),
        figure("created"),
        figure("updated"),
        figure("skipped"),
        figure("rejected")
    )
}

/// Somebody who is just being entered elsewhere: an import that meets them waits.
async fn blocker(app: &TestApp, number: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(app.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute(&format!(
            "BEGIN; INSERT INTO contacts (company_id, name, whatsapp_number) VALUES (1, 'Elsewhere', '{number}')"
        ))
        .await
        .unwrap();
    client
}

/// Another instance on the same database.
async fn instance(app: &TestApp) -> App {
    App {
        db: Db::connect(app.url()).await.unwrap(),
        ..app.app.clone()
    }
}

async fn waiting(app: &TestApp, locks: usize) {
    app.until("somebody waits for a lock", || async {
        let waits = app
            .value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
            .await;
        waits.parse::<usize>().unwrap() >= locks
    })
    .await;
}

#[tokio::test]
async fn the_api_imports_in_the_background_and_tells_every_row() {
    let app = TestApp::new().await;
    let list = app
        .ok("POST", "/lists", Some(&json!({ "name": "Member" })))
        .await["id"]
        .as_i64()
        .unwrap();
    let options = json!({ "list_ids": [list], "country": "ID", "mode": "insert", "tags": ["November"],
        "mapping": { "HP": "whatsapp_number", "Kota": "attributes.town" }, "header": null });
    let id = upload(&app, file(20), options).await;
    assert_eq!(figures(&app, id).await, "queued 0 0 0 0 0");
    work_on(&app.app).await;
    assert_eq!(figures(&app, id).await, "done 20 18 0 0 2");
    let shown = shown(&app, id).await;
    assert_eq!(
        shown["rejected_file"],
        format!("/api/v1/imports/{id}/rejected.csv")
    );
    assert_eq!(shown["message"], Value::Null);
    assert_eq!(
        app.value("SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE name = ''), min(attributes ->> 'town')) FROM contacts")
            .await,
        "18 18 Bandung",
        "columns that are not named are not imported"
    );
    assert_eq!(app.value("SELECT count(*) FROM list_members").await, "18");
    assert_eq!(app.value("SELECT count(*) FROM contact_tags").await, "18");
    assert_eq!(app.value("SELECT count(*) FROM import_chunks").await, "0");

    // What cannot be is said before anything is kept.
    for (file, options, word) in [
        ("Nama,HP\nA,0812\n", json!({ "mode": "replace" }), "replace"),
        ("Nama,HP\nA,0812\n", json!({ "list_ids": [99] }), "list"),
        (
            "Nama,HP\nA,0812\n",
            json!({ "mapping": { "Telp": "whatsapp_number" } }),
            "Telp",
        ),
        (
            "Nama,HP\nA,0812\n",
            json!({ "mapping": { "Nama": "name" } }),
            "WhatsApp number",
        ),
        ("Nama,HP\n", json!({}), "no rows"),
        ("", json!({}), "empty"),
        ("Nama,HP\nA,\"08\nB,\"9\",8\n", json!({}), "quotation mark"),
    ] {
        let (status, answer) = app.import("a.csv", file, Some(&options)).await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer.to_string().contains(word), "{word}: {answer}");
    }
    let (status, _) = app.call("GET", "/imports/999", None).await;
    assert_eq!(status, 404);
    assert_eq!(app.value("SELECT count(*) FROM imports").await, "1");
}

#[tokio::test]
async fn known_people_are_left_filled_or_replaced_and_stay_opted_out() {
    let app = TestApp::new().await;
    app.execute(
        "INSERT INTO contacts (company_id, name, whatsapp_number, email, attributes, opt_out, opt_out_at, opt_out_reason)
         VALUES (1, 'Siti', '6281200000001', '', '{\"kota\": \"Solo\"}', true, now(), 'STOP'),
                (1, '', '6281200000002', 'b@x.example', '{}', false, NULL, NULL)",
    )
    .await;
    let file = "Nama,HP,Email,Kota,Opt-Out\nBaru,081200000001,a@x.example,Dago,no\nBudi,081200000002,c@x.example,Dago,\n";
    let stored = "SELECT string_agg(concat_ws(' ', name, email, attributes ->> 'kota', opt_out), ', ' ORDER BY id) FROM contacts";
    for (mode, expected, people) in [
        ("insert", "done 2 0 0 2 0", "Siti  Solo t,  b@x.example f"),
        (
            "fill_blanks",
            "done 2 0 2 0 0",
            "Siti a@x.example Solo t, Budi b@x.example Dago f",
        ),
        (
            "fill_blanks",
            "done 2 0 0 2 0",
            "Siti a@x.example Solo t, Budi b@x.example Dago f",
        ),
        (
            "update",
            "done 2 0 2 0 0",
            "Baru a@x.example Dago t, Budi c@x.example Dago f",
        ),
    ] {
        let id = upload(&app, file, json!({ "mode": mode })).await;
        work_on(&app.app).await;
        assert_eq!(figures(&app, id).await, expected, "{mode}");
        assert_eq!(app.value(stored).await, people, "{mode}");
    }
    let notes = app
        .value(
            "SELECT options -> 'notes' ->> 'stay_opted_out' FROM imports ORDER BY id DESC LIMIT 1",
        )
        .await;
    assert_eq!(notes, "1");
}

#[tokio::test]
async fn a_crash_in_the_middle_loses_nothing_and_doubles_nothing() {
    let app = TestApp::new().await;
    let mut rows = file(12_000);
    // A number of the first chunk once more, behind the crash.
    rows.push_str("P0 lagi,081200000000,Dago\n");
    let id = upload(&app, rows, json!({})).await;
    // Row 7,001 stands in the second chunk.
    let blocker = blocker(&app, "6281200007000").await;
    let doomed = instance(&app).await;
    let worker = tokio::spawn(async move { work_on(&doomed).await });
    app.until("the first chunk is in", || async {
        app.value("SELECT position FROM imports").await == "5000"
    })
    .await;
    waiting(&app, 1).await;
    worker.abort();
    assert!(worker.await.unwrap_err().is_cancelled());
    assert_eq!(figures(&app, id).await, "running 5000 4500 0 0 500");
    blocker.batch_execute("COMMIT").await.unwrap();

    // Whoever is next waits for the lease to end, then goes on.
    let next = instance(&app).await;
    work_on(&next).await;
    assert_eq!(figures(&app, id).await, "running 5000 4500 0 0 500");
    app.advance(TimeDelta::seconds(61)).await;
    app.until("the import is done", || async {
        work_on(&next).await;
        app.value("SELECT state FROM imports").await == "done"
    })
    .await;
    assert_eq!(figures(&app, id).await, "done 12001 10799 0 2 1200");
    assert_eq!(app.value("SELECT count(*) FROM contacts").await, "10800");
    assert_eq!(
        app.value("SELECT count(*) FROM import_rejected").await,
        "1200"
    );
    let repeats = app
        .value("SELECT options #>> '{notes,repeats}' FROM imports")
        .await;
    assert_eq!(
        repeats, "[[12002, 2]]",
        "lines of before the crash are known"
    );
}

#[tokio::test]
async fn several_instances_share_the_work_and_import_nothing_twice() {
    let app = TestApp::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(upload(&app, file(300), json!({})).await);
    }
    let others = [
        instance(&app).await,
        instance(&app).await,
        instance(&app).await,
    ];
    futures_util::future::join_all(others.iter().map(work_on)).await;
    let (mut created, mut skipped) = (0, 0);
    for id in ids {
        let shown = shown(&app, id).await;
        assert_eq!(shown["state"], "done", "{shown}");
        assert_eq!(shown["rejected"], 30);
        created += shown["created"].as_i64().unwrap();
        skipped += shown["skipped"].as_i64().unwrap();
    }
    assert_eq!((created, skipped), (270, 540));
    assert_eq!(app.value("SELECT count(*) FROM contacts").await, "270");
    assert_eq!(
        app.value("SELECT count(*) FROM audit WHERE noun = 'imports' AND action = 'imported'")
            .await,
        "3"
    );
}

#[tokio::test]
async fn a_stop_in_the_middle_keeps_what_is_in_and_says_how_far_it_came() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let id = upload(&app, file(30_000), json!({})).await;
    let queued = browser.get(&format!("/imports/{id}")).await;
    assert!(
        queued.text().contains("Waiting for its turn"),
        "{}",
        queued.text()
    );
    let blocker = blocker(&app, "6281200007000").await;
    let busy = instance(&app).await;
    let worker = tokio::spawn(async move { work_on(&busy).await });
    waiting(&app, 1).await;
    let running = browser.get(&format!("/imports/{id}")).await;
    assert!(
        running.text().contains("5,000 of 30,000 rows"),
        "{}",
        running.text()
    );
    assert!(
        running
            .html
            .contains(&format!("data-poll=\"/imports/{id}/progress?"))
    );
    let fragment = browser.get(&format!("/imports/{id}/progress")).await;
    assert!(fragment.text().contains("5,000 of 30,000 rows"));
    assert_eq!(fragment.header("x-settled"), "");
    let stop = running.form(&format!("/imports/{id}/cancel"));
    let stopping = tokio::spawn(async move { browser.submit(stop).await.text() });
    // The worker for the person, the stop for the worker.
    waiting(&app, 2).await;
    blocker.batch_execute("ROLLBACK").await.unwrap();
    let page = stopping.await.unwrap();
    worker.await.unwrap();
    let figures = figures(&app, id).await;
    assert!(figures.starts_with("canceled "), "{figures}");
    assert!(page.contains("of 30,000 rows; these are in."), "{page}");
    let shown = shown(&app, id).await;
    assert!(shown["rows"].as_i64().unwrap() < 30_000, "{shown}");
    assert_eq!(
        app.value("SELECT count(*) FROM contacts").await,
        shown["created"].to_string()
    );
    assert_eq!(app.value("SELECT count(*) FROM import_chunks").await, "0");
    // It does not begin again.
    app.advance(TimeDelta::seconds(61)).await;
    work_on(&app.app).await;
    assert_eq!(self::figures(&app, id).await, figures);
}

#[tokio::test]
async fn an_instance_that_ends_hands_its_import_on() {
    let app = TestApp::new().await;
    let id = upload(&app, file(12_000), json!({})).await;
    let blocker = blocker(&app, "6281200007000").await;
    let (stop, stopped) = watch::channel(false);
    let ending = instance(&app).await;
    let worker = tokio::spawn(async move { work::all(&ending, &stopped).await });
    waiting(&app, 1).await;
    stop.send(true).unwrap();
    blocker.batch_execute("ROLLBACK").await.unwrap();
    worker.await.unwrap().unwrap();
    assert_eq!(figures(&app, id).await, "queued 10000 9000 0 0 1000");
    work_on(&app.app).await;
    assert_eq!(figures(&app, id).await, "done 12000 10800 0 0 1200");
}

#[tokio::test]
async fn what_cannot_be_stored_is_tried_again_then_given_up_and_can_go_on() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let id = upload(&app, file(6_000), json!({})).await;
    app.execute("ALTER TABLE contacts ADD CONSTRAINT trouble CHECK (name <> 'P5500')")
        .await;
    for _ in 0..7 {
        work_on(&app.app).await;
        app.advance(TimeDelta::seconds(61)).await;
    }
    let shown = shown(&app, id).await;
    assert_eq!(
        (shown["state"].as_str(), shown["rows"].as_i64()),
        (Some("failed"), Some(5_000)),
        "{shown}"
    );
    let said = shown["message"].as_str().unwrap();
    assert!(
        said.contains("on our side") && !said.contains("trouble"),
        "{said}"
    );
    app.execute("ALTER TABLE contacts DROP CONSTRAINT trouble")
        .await;
    let page = browser.get(&format!("/imports/{id}")).await;
    assert!(
        page.text().contains("Broke off after 5,000 of 6,000 rows"),
        "{}",
        page.text()
    );
    browser
        .submit(page.form(&format!("/imports/{id}/resume")))
        .await;
    work_on(&app.app).await;
    assert_eq!(figures(&app, id).await, "done 6000 5400 0 0 600");
}

#[tokio::test]
async fn a_test_says_what_would_happen_and_writes_nothing() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    app.ok(
        "POST",
        "/contacts/bulk",
        Some(&json!({ "contacts": [{ "name": "Lama", "whatsapp_number": "081200000000" }] })),
    )
    .await;
    let mut people = file(20);
    people.push_str("Lagi,+62 812-0000-0001,\n");
    let form = browser.get("/imports/new").await.form("/imports");
    let columns = browser.upload(form, "file", "test.csv", people).await;
    let id = columns.path.rsplit('/').next().unwrap().to_owned();
    assert!(columns.text().contains("4 % empty"), "{}", columns.text());
    let form = columns.form(&format!("{}/run", columns.path));
    let test = form.clone().to(&format!("{}/test", columns.path));
    let page = browser.submit(test.clone()).await;
    assert_eq!(page.path, columns.path);
    for sentence in [
        "What the test found",
        "Nothing was written.",
        "The number is too short.",
        "11, 21",
        "Line 22: same number as line 3",
    ] {
        assert!(
            page.text().contains(sentence),
            "{sentence}: {}",
            page.text()
        );
    }
    let tested = app
        .value("SELECT concat_ws(' ', tested -> 'counts' ->> 'created', tested -> 'counts' ->> 'updated', tested -> 'counts' ->> 'skipped',
                tested -> 'counts' ->> 'rejected', tested -> 'notes' ->> 'by_country', state, position) FROM imports")
        .await;
    assert_eq!(tested, "17 1 1 2 18 draft 0");
    assert_eq!(app.value("SELECT count(*) FROM contacts").await, "1");
    assert_eq!(app.value("SELECT count(*) FROM import_rejected").await, "0");

    // What is imported then is what was said.
    browser
        .submit(page.form(&format!("{}/run", columns.path)))
        .await;
    assert_eq!(figures(&app, id.parse().unwrap()).await, "done 21 17 1 1 2");
}

#[tokio::test]
async fn a_column_becomes_an_attribute_of_a_chosen_name_and_faults_are_said_in_words() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let csv = "Nama,HP,Ulang Tahun?\nSiti,081234567890,17/08/1988\n";
    let form = browser.get("/imports/new").await.form("/imports");
    let page = browser.upload(form, "file", "a.csv", csv).await;
    let form = page.form(&format!("{}/run", page.path));
    assert_eq!(form.all("attribute")[2], "ulang_tahun");
    let named = |name: &str| {
        form.clone()
            .set("mapping", "name")
            .add("mapping", "whatsapp_number")
            .add("mapping", "attribute")
            .set("attribute", "")
            .add("attribute", "")
            .add("attribute", name)
    };
    for bad in ["", "???", "name"] {
        let again = browser.submit(named(bad)).await;
        assert_eq!(again.status, 422);
        assert!(
            again.text().contains("An attribute needs a name"),
            "{bad}: {}",
            again.text()
        );
        let again = again.form(&format!("{}/run", page.path));
        assert_eq!(again.all("mapping")[2], "attribute", "the choice stays");
    }
    browser.submit(named("Birthday ({{x}})")).await;
    assert_eq!(
        app.value("SELECT attributes FROM contacts").await,
        "{\"birthday_x\": \"17/08/1988\"}"
    );
}

#[tokio::test]
async fn a_column_that_would_flood_the_tags_goes_back_to_the_columns() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let mut csv = "Nama,HP,Tags\n".to_owned();
    for row in 0..1_001 {
        csv.push_str(&format!("P{row},08120{row:07},T{row}\n"));
    }
    let form = browser.get("/imports/new").await.form("/imports");
    let page = browser.upload(form, "file", "a.csv", csv).await;
    let page = browser
        .submit(page.form(&format!("{}/run", page.path)))
        .await;
    assert!(
        page.text().contains("would make 1001 new tags"),
        "{}",
        page.text()
    );
    assert_eq!(
        app.value("SELECT state || (SELECT count(*) FROM contacts) || (SELECT count(*) FROM tags) FROM imports")
            .await,
        "draft00"
    );
}

#[tokio::test]
async fn files_nobody_needs_any_more_are_swept() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get("/imports/new").await.form("/imports");
    browser.upload(form, "file", "forgotten.csv", file(3)).await;
    let id = upload(&app, file(10), json!({})).await;
    work_on(&app.app).await;
    let sweep = || async {
        let mut conn = app.app.db.system().await.unwrap();
        wablast::imports::query::sweep(&mut conn).await.unwrap();
    };
    let kept = "SELECT concat_ws(' ', (SELECT count(*) FROM import_chunks), (SELECT count(*) FROM import_rejected))";
    sweep().await;
    assert_eq!(app.value(kept).await, "1 1");
    app.advance(TimeDelta::days(8)).await;
    sweep().await;
    assert_eq!(app.value(kept).await, "0 1");
    app.advance(TimeDelta::days(90)).await;
    sweep().await;
    assert_eq!(app.value(kept).await, "0 0");
    assert_eq!(shown(&app, id).await["rejected_file"], Value::Null);
}
