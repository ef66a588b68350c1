//! Files: what is taken, where it lies, how it goes out, and when it is deleted.

use chrono::TimeDelta;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use wablast::config::{Config, StorageSetting};
use wablast::ids::{CompanyId, MailingId, MediaId, UserId};
use wablast::media::{Receiving, keep, links, sweep};
use wablast::outgoing::deliver;
use wablast::simulator::{Options, Running};
use wablast::storage::Storage;

use crate::support::browser::{Browser, Page};
use crate::support::{TestApp, arrived, simulator, tell};

pub fn png(filling: &str) -> Vec<u8> {
    [
        b"\x89PNG\r\n\x1a\n",
        filling.as_bytes(),
        b"IEND\xAE\x42\x60\x82",
    ]
    .concat()
}

pub fn mp4(filling: &str) -> Vec<u8> {
    let boxed = |name: &[u8], inside: &[u8]| {
        let length = u32::try_from(inside.len() + 8).unwrap();
        [&length.to_be_bytes()[..], name, inside].concat()
    };
    let parts: [(&[u8], &[u8]); 3] = [
        (b"ftyp", b"isom\0\0\0\0"),
        (b"mdat", filling.as_bytes()),
        (b"moov", b"when"),
    ];
    parts.map(|(name, inside)| boxed(name, inside)).concat()
}

pub fn pdf(filling: &str) -> Vec<u8> {
    format!("%PDF-1.7\n{filling}\n%%EOF\n").into_bytes()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

async fn uploaded(app: &TestApp, name: &str, bytes: Vec<u8>) -> Value {
    let (status, answer) = app.upload(name, bytes).await;
    assert_eq!(status, 201, "{answer}");
    answer
}

fn fault(answer: &Value) -> String {
    answer["error"]["fields"]["file"][0]
        .as_str()
        .unwrap_or_else(|| panic!("no fault of the file: {answer}"))
        .to_owned()
}

async fn ready() -> (TestApp, Running, i64, i64) {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(2).await;
    (app, waha, account, list)
}

async fn with_file(app: &TestApp, account: i64, list: i64, file: &Value, message: &str) -> i64 {
    let mailing = json!({ "subject": "With a file", "account_id": account, "recipients": { "list_ids": [list] },
        "header": { "type": file["kind"], "media_id": file["id"] }, "message": message, "footer": "" });
    let made = app.ok("POST", "/mailings", Some(&mailing)).await;
    made["id"].as_i64().unwrap()
}

async fn send(app: &TestApp, mailing: i64) -> Value {
    let path = format!("/mailings/{mailing}/send_now");
    app.ok("POST", &path, None).await;
    app.deliver(mailing).await
}

/// Files that lie in the storage's folder.
fn stored(app: &TestApp) -> Vec<std::path::PathBuf> {
    let StorageSetting::Folder(folder) = &app.app.config.storage else {
        panic!("a folder")
    };
    let mut found = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found
}

fn temporary(app: &TestApp) -> usize {
    std::fs::read_dir(app.app.config.data_dir.join("uploads")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_file_is_what_its_bytes_say_whatever_its_name_or_the_browser_says() {
    let app = TestApp::new().await;
    let file = uploaded(&app, "holiday.exe", png("x")).await;
    assert_eq!(
        (
            file["kind"].as_str(),
            file["mime"].as_str(),
            file["file_name"].as_str()
        ),
        (Some("image"), Some("image/png"), Some("holiday.exe.png"))
    );
    for (name, bytes) in [
        ("photo.jpg", b"<html><script>x()</script>".to_vec()),
        (
            "photo.png",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>".to_vec(),
        ),
        ("list.pdf", b"MZ\x90\0\x03 a program".to_vec()),
        ("clip.mp4", b"GIF89a not a clip".to_vec()),
        (
            "table.xlsx",
            b"PK\x03\x04 evil PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        ),
        ("notes.txt", b"\xff\xfe\0n\0o".to_vec()),
    ] {
        let (status, answer) = app.upload(name, bytes).await;
        assert_eq!(status, 422, "{name}: {answer}");
        assert!(
            fault(&answer).contains("does not take a file of this type"),
            "{name}"
        );
    }
    assert_eq!((stored(&app).len(), temporary(&app)), (1, 0));
}

#[tokio::test]
async fn an_empty_a_truncated_and_a_too_large_file_are_refused_in_words() {
    let app = TestApp::new().await;
    let (status, answer) = app.upload("empty.pdf", Vec::new()).await;
    assert!(
        status == 422 && fault(&answer).contains("empty"),
        "{answer}"
    );
    let whole = mp4("pictures");
    for cut in [
        png("x")[..12].to_vec(),
        whole[..whole.len() - 5].to_vec(),
        b"%PDF-1.7 begin".to_vec(),
    ] {
        let (status, answer) = app.upload("cut", cut).await;
        assert!(
            status == 422 && fault(&answer).contains("end of this file is missing"),
            "{answer}"
        );
    }
    let large = png(&"x".repeat(5 * 1024 * 1024));
    let (status, answer) = app.upload("large.png", large).await;
    assert!(
        status == 422 && fault(&answer).contains("at most 5 MB"),
        "{answer}"
    );
    let large = mp4(&"x".repeat(16 * 1024 * 1024));
    let (status, answer) = app.upload("large.mp4", large).await;
    assert!(
        status == 422 && fault(&answer).contains("at most 16 MB"),
        "{answer}"
    );
    assert_eq!(
        (stored(&app).len(), temporary(&app)),
        (0, 0),
        "nothing is left behind"
    );
    let just = 5 * 1024 * 1024 - png("").len();
    uploaded(&app, "just.png", png(&"x".repeat(just))).await;
}

#[tokio::test]
async fn more_than_any_provider_takes_is_not_written_to_disk() {
    let app = TestApp::new().await;
    let mut receiving = Receiving::start(&app.app).await.unwrap();
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..130 {
        receiving.write(&piece).await.unwrap();
    }
    let folder = app.app.config.data_dir.join("uploads");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    assert!(file.metadata().unwrap().len() <= 100 * 1024 * 1024);
    let Err(error) = receiving.finish("x.txt").await else {
        panic!("taken")
    };
    assert!(format!("{error:?}").contains("at most 100 MB"), "{error:?}");
    assert_eq!(temporary(&app), 0);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let app = TestApp::new().await;
    let body = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n%PDF-1.7 half".to_vec();
    let bearer = format!("Bearer {}", app.token);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "multipart/form-data; boundary=x"),
    ];
    assert_eq!(app.post_raw("/api/v1/media", &headers, body).await, 422);
    assert_eq!(app.value("SELECT count(*) FROM media").await, "0");
    assert_eq!((stored(&app).len(), temporary(&app)), (0, 0));
}

#[tokio::test]
async fn the_same_bytes_lie_in_the_storage_once_and_keep_each_name() {
    let app = TestApp::new().await;
    let first = uploaded(&app, "prices.pdf", pdf("a")).await;
    let again = uploaded(&app, "prices.pdf", pdf("a")).await;
    let renamed = uploaded(&app, "offer.pdf", pdf("a")).await;
    assert_eq!(first["id"], again["id"]);
    assert_ne!(first["id"], renamed["id"]);
    assert_eq!(renamed["file_name"], "offer.pdf");
    assert_eq!(stored(&app).len(), 1);
    let shown = app
        .ok("GET", &format!("/media/{}", first["id"]), None)
        .await;
    assert_eq!(shown["sha256"], sha256(&pdf("a")));
}

#[tokio::test]
async fn another_company_s_file_does_not_exist() {
    let (app, _waha, account, list) = ready().await;
    let file = uploaded(&app, "prices.pdf", pdf("a")).await;
    let mailing = with_file(&app, account, list, &file, "Hi").await;
    app.execute("INSERT INTO companies (name, country, time_zone) VALUES ('Other', 'ID', 'Asia/Jakarta'); INSERT INTO user_companies SELECT 1, 2, 'administrator'")
        .await;
    let token = {
        let mut conn = app.app.db.system().await.unwrap();
        wablast::auth::token::create(&mut conn, CompanyId(2), UserId(1), "other", &[])
            .await
            .unwrap()
    };
    let other = app.as_token(&token);
    let path = format!("/media/{}", file["id"]);
    assert_eq!(other.call("GET", &path, None).await.0, 404);
    let account = other
        .ok("POST", "/accounts", Some(&json!({ "name": "B", "provider": "waha", "api_url": "http://127.0.0.1:1", "session": "b" })))
        .await["id"]
        .clone();
    let stolen = json!({ "subject": "Stolen", "account_id": account, "header": { "type": "document", "media_id": file["id"] }, "message": "x" });
    let (status, answer) = other.call("POST", "/mailings", Some(&stolen)).await;
    assert_eq!(status, 422, "{answer}");
    assert!(
        answer["error"]["fields"]["media_id"][0]
            .as_str()
            .unwrap()
            .contains("not there")
    );
    app.execute("UPDATE users SET active_company_id = 2").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    assert_eq!(
        browser
            .get(&format!("/media/{}/file", file["id"]))
            .await
            .status,
        404
    );
    assert_eq!(
        browser.get(&format!("/mailings/{mailing}")).await.status,
        404
    );
}

#[tokio::test]
async fn all_three_kinds_arrive_whole_with_their_caption_once_a_person() {
    let (app, waha, account, list) = ready().await;
    let cases = [
        (
            "image",
            "Foto “baru” & lain.png",
            png("image"),
            "Halo {{contact.name}}, *baru*!",
        ),
        (
            "video",
            "clip.mp4",
            mp4("video"),
            "Lihat \"ini\"\nbaris dua",
        ),
        ("file", "Daftar harga.pdf", pdf("document"), ""),
    ];
    for (call, name, bytes, message) in cases {
        let file = uploaded(&app, name, bytes.clone()).await;
        let mailing = with_file(&app, account, list, &file, message).await;
        let done = send(&app, mailing).await;
        assert_eq!(done["counts"]["uncertain"], 0, "{done}");
        let arrived = arrived(&waha).await;
        let items: Vec<&Value> = arrived["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|item| item["file"]["kind"] == call)
            .collect();
        assert_eq!(items.len(), 2, "{arrived}");
        for item in items {
            assert_eq!(item["file"]["sha256"], sha256(&bytes), "{item}");
            assert_eq!(item["file"]["name"], file["file_name"]);
            assert_eq!(item["file"]["mime"], file["mime"]);
            assert_eq!(item["file"]["fetched"], false);
            let number = item["to"].as_str().unwrap();
            let person = if number.ends_with('0') { "P0" } else { "P1" };
            assert_eq!(item["text"], message.replace("{{contact.name}}", person));
        }
    }
    assert_eq!(
        app.value("SELECT count(*) FROM attempts WHERE own_ref IS NOT NULL")
            .await,
        "0",
        "these calls take no id of ours"
    );
    app.until("the receipts are here", || async {
        app.apply_webhooks().await;
        app.value("SELECT count(*) FROM outgoing WHERE state = 'read'")
            .await
            == "6"
    })
    .await;
}

#[tokio::test]
async fn a_build_without_media_refuses_for_good_and_a_lost_answer_rests_as_uncertain() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        version: "2026.2.1".into(),
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let file = uploaded(&app, "a.png", png("a")).await;
    let refused = with_file(&app, account, list, &file, "Hi").await;
    let done = send(&app, refused).await;
    assert_eq!(
        (done["state"].as_str(), done["counts"]["failed"].as_i64()),
        (Some("failed"), Some(1)),
        "{done}"
    );
    assert_eq!(
        app.value("SELECT code FROM outgoing").await,
        "media_rejected"
    );

    let (app, waha, account, list) = ready().await;
    tell(
        &waha,
        "/simulator/faults",
        &json!({ "share": { "reset_after": 1.0 } }),
    )
    .await;
    let file = uploaded(&app, "a.png", png("a")).await;
    let lost = with_file(&app, account, list, &file, "Hi").await;
    let done = send(&app, lost).await;
    assert_eq!(done["counts"]["uncertain"], 2, "{done}");
    app.deliver(lost).await;
    assert_eq!(
        arrived(&waha).await["total"],
        2,
        "never sent again by itself"
    );
}

#[tokio::test]
async fn a_message_with_a_file_is_held_as_long_as_its_request_may_take() {
    let (app, waha, account, list) = ready().await;
    tell(
        &waha,
        "/simulator/faults",
        &json!({ "share": { "timeout_before": 1.0 } }),
    )
    .await;
    let file = uploaded(&app, "a.png", png("a")).await;
    let mailing = with_file(&app, account, list, &file, "Hi").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    wablast::mailings::release::advance(&app.app).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("both have begun", || async {
        app.value("SELECT count(*) FROM outgoing WHERE state = 'sending'")
            .await
            == "2"
    })
    .await;
    assert_eq!(
        app.value("SELECT bool_and(lease_until - begun_at BETWEEN interval '130 seconds' AND interval '136 seconds') FROM outgoing").await,
        "t"
    );
    app.advance(TimeDelta::seconds(120)).await;
    assert_eq!(deliver::reap_once(&app.app).await.unwrap().uncertain, 0);
    app.advance(TimeDelta::seconds(30)).await;
    assert_eq!(deliver::reap_once(&app.app).await.unwrap().uncertain, 2);
    let _ = stop.send(true);
    deliverer.abort();
}

#[tokio::test]
async fn a_file_that_cannot_be_read_keeps_its_messages_and_goes_when_it_is_back() {
    let (app, waha, account, list) = ready().await;
    let file = uploaded(&app, "a.png", png("a")).await;
    let mailing = with_file(&app, account, list, &file, "Hi").await;
    let at = stored(&app).remove(0);
    let aside = at.with_extension("aside");
    std::fs::rename(&at, &aside).unwrap();
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    wablast::mailings::release::advance(&app.app).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("the account says what it waits for", || async {
        app.value("SELECT blocked_reason FROM account_pace")
            .await
            .contains("storage")
    })
    .await;
    assert_eq!(app.value("SELECT count(*) FROM attempts").await, "0");
    std::fs::rename(&aside, &at).unwrap();
    app.execute("UPDATE account_pace SET blocked_until = NULL")
        .await;
    app.until("both arrived", || async {
        arrived(&waha).await["total"] == 2
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
}

#[tokio::test]
async fn a_caption_that_a_value_makes_too_long_fails_that_person_alone() {
    let (app, _waha, account, list) = ready().await;
    app.execute(&format!(
        "UPDATE contacts SET name = '{}' WHERE name = 'P0'",
        "n".repeat(1020)
    ))
    .await;
    let file = uploaded(&app, "a.png", png("a")).await;
    let mailing = with_file(&app, account, list, &file, "Halo {{contact.name}}").await;
    let done = send(&app, mailing).await;
    assert_eq!(
        (
            done["counts"]["failed"].as_i64(),
            done["funnel"]["sent"].as_i64()
        ),
        (Some(1), Some(1)),
        "{done}"
    );
    let long = json!({ "subject": "Long", "account_id": account, "header": { "type": "image", "media_id": file["id"] }, "message": "x".repeat(1025) });
    let (status, answer) = app.call("POST", "/mailings", Some(&long)).await;
    assert!(
        status == 422 && answer.to_string().contains("at most 1024"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_header_and_its_file_must_be_of_one_kind() {
    let (app, _waha, account, _list) = ready().await;
    let file = uploaded(&app, "a.png", png("a")).await;
    for (header, words) in [
        (
            json!({ "type": "video", "media_id": file["id"] }),
            "an image",
        ),
        (json!({ "type": "image", "media_id": 987_654 }), "not there"),
        (json!({ "type": "image" }), "Upload the file"),
    ] {
        let mailing =
            json!({ "subject": "X", "account_id": account, "header": header, "message": "x" });
        let (status, answer) = app.call("POST", "/mailings", Some(&mailing)).await;
        assert!(
            status == 422
                && answer["error"]["fields"]["media_id"][0]
                    .as_str()
                    .unwrap()
                    .contains(words),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_duplicate_keeps_the_file_and_a_version_keeps_the_one_it_was_sent_with() {
    let (app, waha, account, list) = ready().await;
    let first = uploaded(&app, "first.png", png("first")).await;
    let second = uploaded(&app, "second.png", png("second")).await;
    let mailing = with_file(&app, account, list, &first, "One").await;
    let copy = app
        .ok("POST", &format!("/mailings/{mailing}/duplicate"), None)
        .await;
    assert_eq!(copy["header"]["media_id"], first["id"]);
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    // Whatever the mailing's row says later, what goes out is what was frozen.
    app.execute(&format!(
        "UPDATE mailings SET media_id = {} WHERE id = {mailing}",
        second["id"]
    ))
    .await;
    app.deliver(mailing).await;
    let arrived = arrived(&waha).await;
    for item in arrived["items"].as_array().unwrap() {
        assert_eq!(item["file"]["sha256"], sha256(&png("first")), "{item}");
    }
    assert!(
        app.value(&format!(
            "SELECT count(*) FROM mailing_versions WHERE media_id = {}",
            first["id"]
        ))
        .await
            == "1"
    );
}

async fn link(app: &TestApp, media: i64, mailing: Option<i64>) -> String {
    let mut conn = app.app.db.system().await.unwrap();
    let link = links::of(
        &mut conn,
        &app.app,
        CompanyId(1),
        MediaId(media),
        mailing.map(MailingId),
    )
    .await
    .unwrap();
    let (_, token) = link.rsplit_once('/').unwrap();
    format!("{}/media/{token}", app.address)
}

#[tokio::test]
async fn a_link_answers_ranges_and_heads_and_shows_nothing_inside_a_page() {
    let (app, _waha, _account, _list) = ready().await;
    let bytes = pdf("0123456789");
    let file = uploaded(&app, "Daftar harga é.pdf", bytes.clone()).await;
    let url = link(&app, file["id"].as_i64().unwrap(), None).await;
    let answer = app.fetch("GET", &url, None).await;
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/pdf");
    assert_eq!(header("content-length"), bytes.len().to_string());
    assert_eq!(
        header("content-disposition"),
        "attachment; filename*=UTF-8''Daftar%20harga%20%C3%A9.pdf"
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(header("content-security-policy").contains("sandbox"));
    assert_eq!(answer.bytes().await.unwrap(), bytes);
    let head = app.fetch("HEAD", &url, None).await;
    assert_eq!(
        (
            head.status().as_u16(),
            head.headers()["content-length"].to_str().unwrap()
        ),
        (200, bytes.len().to_string().as_str())
    );
    let part = app.fetch("GET", &url, Some("bytes=9-12")).await;
    assert_eq!(part.status(), 206);
    assert_eq!(
        part.headers()["content-range"],
        format!("bytes 9-12/{}", bytes.len())
    );
    assert_eq!(part.bytes().await.unwrap(), bytes[9..13]);
    let beyond = app.fetch("GET", &url, Some("bytes=99999-")).await;
    assert_eq!(beyond.status(), 416);
    for guess in ["1", &"a".repeat(32)] {
        let guess = format!("{}/media/{guess}", app.address);
        assert_eq!(app.fetch("GET", &guess, None).await.status(), 404);
    }
}

#[tokio::test]
async fn a_link_ends_with_its_mailing_and_by_itself() {
    let (app, _waha, account, list) = ready().await;
    let file = uploaded(&app, "a.pdf", pdf("a")).await;
    let id = file["id"].as_i64().unwrap();
    let mailing = with_file(&app, account, list, &file, "Hi").await;
    let of_run = link(&app, id, Some(mailing)).await;
    let own = link(&app, id, None).await;
    assert_eq!(
        of_run,
        link(&app, id, Some(mailing)).await,
        "one for the run"
    );
    assert_ne!(of_run, own);
    let status = async |url: &str| app.fetch("GET", url, None).await.status().as_u16();
    send(&app, mailing).await;
    app.advance(TimeDelta::minutes(59)).await;
    assert_eq!((status(&of_run).await, status(&own).await), (200, 200));
    app.advance(TimeDelta::minutes(2)).await;
    assert_eq!((status(&of_run).await, status(&own).await), (404, 404));
    let running = with_file(&app, account, list, &file, "Hi").await;
    let long = link(&app, id, Some(running)).await;
    app.advance(TimeDelta::hours(23)).await;
    assert_eq!(status(&long).await, 200);
    assert_ne!(
        long,
        link(&app, id, Some(running)).await,
        "one that is good for an hour"
    );
    app.advance(TimeDelta::hours(2)).await;
    assert_eq!(status(&long).await, 404);
}

#[tokio::test]
async fn a_file_too_large_for_a_request_is_fetched_from_its_link_whole() {
    let app = TestApp::on_its_port().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let bytes = pdf(&"large ".repeat(6 * 1024 * 1024));
    let file = uploaded(&app, "catalogue.pdf", bytes.clone()).await;
    let mailing = with_file(&app, account, list, &file, "Hi").await;
    send(&app, mailing).await;
    let arrived = arrived(&waha).await;
    let item = &arrived["items"][0];
    assert_eq!(item["file"]["fetched"], true, "{arrived}");
    assert_eq!(item["file"]["sha256"], sha256(&bytes));
    let elsewhere = app
        .ok("POST", "/accounts", Some(&json!({ "name": "Far", "provider": "waha", "api_url": "https://waha.example.com", "session": "far" })))
        .await["id"]
        .as_i64()
        .unwrap();
    let far = with_file(&app, elsewhere, list, &file, "Hi").await;
    let (status, answer) = app
        .call("POST", &format!("/mailings/{far}/send_now"), None)
        .await;
    assert!(
        status == 422 && answer.to_string().contains("WABLAST_PUBLIC_URL"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_flow_gets_the_address_and_type_of_a_file_and_fetches_it_whole() {
    let app = TestApp::on_its_port().await;
    let n8n = simulator(Options::default()).await;
    let account = |name: &str, url: &str| {
        json!({ "name": name, "provider": "waha", "send_through": "webhook", "delivery": "direct",
            "webhook_url": url, "pace": { "per_second": 500, "burst": 500 } })
    };
    let near = account("Flow", &format!("{}/webhook/wa-blast", n8n.url()));
    let near = app.ok("POST", "/accounts", Some(&near)).await["id"]
        .as_i64()
        .unwrap();
    let list = app.list_of(2).await;
    let bytes = png("through a flow");
    let file = uploaded(&app, "banner.png", bytes.clone()).await;
    let mailing = with_file(&app, near, list, &file, "Look!").await;
    tell(
        &n8n,
        "/simulator/flow",
        &json!({ "mode": "success", "report": "never" }),
    )
    .await;
    let sent = send(&app, mailing).await;
    assert_eq!(sent["counts"]["accepted"], 2, "{sent}");
    let arrived = arrived(&n8n).await;
    for item in arrived["items"].as_array().unwrap() {
        assert_eq!(item["file"]["mime"], "image/png", "{item}");
        assert_eq!(item["file"]["fetched"], true);
        assert_eq!(item["file"]["sha256"], sha256(&bytes));
        assert_eq!(item["text"], "Look!");
    }
    let far = account("Far flow", "https://n8n.example.com/webhook/wa-blast");
    let far = app.ok("POST", "/accounts", Some(&far)).await["id"]
        .as_i64()
        .unwrap();
    let far = with_file(&app, far, list, &file, "Look!").await;
    let (status, answer) = app
        .call("POST", &format!("/mailings/{far}/send_now"), None)
        .await;
    assert!(
        status == 422 && answer.to_string().contains("The flow fetches files"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_nobody_needs_goes_after_a_day_and_what_was_sent_stays() {
    let (app, _waha, account, list) = ready().await;
    let sent = uploaded(&app, "sent.png", png("sent")).await;
    let draft = uploaded(&app, "draft.png", png("draft")).await;
    let unused = uploaded(&app, "unused.png", png("unused")).await;
    let shared = uploaded(&app, "other-name.png", png("draft")).await;
    let mailing = with_file(&app, account, list, &sent, "Hi").await;
    send(&app, mailing).await;
    with_file(&app, account, list, &draft, "Hi").await;
    // Killed between the upload and its row: noted before, never kept.
    let orphan = app.app.config.data_dir.join("orphan");
    std::fs::write(&orphan, b"half kept").unwrap();
    app.app.storage.put_file("1/orphan", &orphan).await.unwrap();
    app.execute("INSERT INTO media_leftovers (storage_key, company_id) VALUES ('1/orphan', 1)")
        .await;
    assert_eq!(stored(&app).len(), 4);
    assert_eq!(
        sweep::run(&app.app).await.unwrap(),
        0,
        "not before a day is over"
    );
    app.advance(TimeDelta::hours(25)).await;
    assert_eq!(sweep::run(&app.app).await.unwrap(), 2);
    assert_eq!(stored(&app).len(), 2, "sent and draft");
    for gone in [&unused, &shared] {
        assert_eq!(
            app.call("GET", &format!("/media/{}", gone["id"]), None)
                .await
                .0,
            404
        );
    }
    app.execute("DELETE FROM mailing_lists WHERE mailing_id IN (SELECT id FROM mailings WHERE state = 'draft'); DELETE FROM mailings WHERE state = 'draft'").await;
    assert_eq!(sweep::run(&app.app).await.unwrap(), 1, "the draft's");
    assert_eq!(stored(&app).len(), 1, "what was sent stays");
    assert_eq!(app.value("SELECT count(*) FROM media_leftovers").await, "0");
    app.execute("UPDATE jobs SET next_run = wablast_now() WHERE name = 'sweep_media'")
        .await;
    app.tick().await;
    assert_eq!(app.value("SELECT count(*) FROM job_runs WHERE job = 'sweep_media' AND error IS NULL AND ended_at IS NOT NULL").await, "1");
}

#[tokio::test]
async fn the_form_takes_a_file_without_script_keeps_it_through_faults_and_shows_it() {
    let (app, waha, account, list) = ready().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get("/mailings/new").await.form("/mailings");
    let form = form
        .set("account_id", &account.to_string())
        .set("header_type", "image")
        .set("message", "Halo");
    let page = browser
        .upload(form.clone(), "file", "promo.png", png("promo"))
        .await;
    assert_eq!(page.status, 422, "there is no subject");
    assert!(page.text().contains("promo.png"), "nothing is lost");
    let form = page
        .form("/mailings")
        .set("subject", "Promo")
        .add("list_ids", list);
    let page = browser.submit(form).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let mailing = page.path.clone();
    let shown = page.attributes(".bubble img.media", "src").remove(0);
    let picture = browser.get(&shown).await;
    assert_eq!(
        (picture.status, picture.header("content-type").as_str()),
        (200, "image/png")
    );
    assert!(
        page.text().contains("File: promo.png"),
        "the history says so"
    );

    let refused = browser
        .upload(page.form(&mailing), "file", "promo.png", b"<html>".to_vec())
        .await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("does not take a file of this type"));
    assert!(
        !refused.attributes(".bubble img.media", "src").is_empty(),
        "the one before stays"
    );

    let form = refused
        .form(&mailing)
        .set("header_type", "document")
        .set("message", "");
    let page = browser
        .upload(form, "file", "Daftar.pdf", pdf("prices"))
        .await;
    assert_eq!(page.texts(".doccard b"), ["Daftar.pdf"], "{}", page.text());
    let test = browser.get(&format!("{mailing}/test")).await;
    let form = test
        .form(&format!("{mailing}/test"))
        .set("number", "628111222333");
    let page: Page = browser.submit(form).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("the test arrived", || async {
        arrived(&waha).await["total"] == 1
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    let arrived = arrived(&waha).await;
    assert_eq!(
        arrived["items"][0]["file"]["sha256"],
        sha256(&pdf("prices"))
    );
    assert_eq!(arrived["items"][0]["text"], "");

    let page = browser.get(&mailing).await;
    let form = page.form(&mailing).add("then", "remove_file");
    let page = browser.submit(form).await;
    assert!(page.texts(".doccard b").is_empty());
    assert!(page.text().contains("File taken out"));
}

#[tokio::test]
async fn a_file_chosen_with_script_is_stored_at_once_and_needs_the_form_s_token() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser
        .get("/mailings/new")
        .await
        .form("/mailings")
        .to("/media");
    let part = browser
        .upload(form.clone(), "file", "clip.mp4", mp4("x"))
        .await;
    assert_eq!(
        (part.status, part.attributes(".filebox", "data-kind")),
        (200, vec!["video".to_owned()])
    );
    let id = part.value("media_id");
    assert_eq!(app.value("SELECT id::text FROM media").await, id);
    let part = browser
        .upload(form.clone(), "file", "clip.mp4", b"GIF89a".to_vec())
        .await;
    assert!(part.status == 422 && part.text().contains("does not take"));
    for forged in [form.clone().without("csrf"), form.clone().set("csrf", "x")] {
        let answer = browser
            .upload(forged, "file", "clip.mp4", mp4("forged"))
            .await;
        assert_eq!(answer.status, 403);
    }
    let other = browser
        .upload_from(
            form,
            "file",
            "clip.mp4",
            mp4("forged"),
            Some("https://evil.example"),
        )
        .await;
    assert_eq!(other.status, 403);
    assert_eq!(app.value("SELECT count(*) FROM media").await, "1");
}

#[tokio::test]
async fn keeping_the_same_bytes_twice_at_once_stores_them_once() {
    let app = TestApp::new().await;
    let receive = async |name: &str| {
        let mut receiving = Receiving::start(&app.app).await.unwrap();
        receiving.write(&pdf("same")).await.unwrap();
        receiving.finish(name).await.unwrap()
    };
    let (one, two) = (receive("a.pdf").await, receive("b.pdf").await);
    let (company, user) = (CompanyId(1), UserId(1));
    let (one, two) = tokio::join!(
        keep(&app.app, company, user, one),
        keep(&app.app, company, user, two)
    );
    assert_eq!(one.unwrap().storage_key, two.unwrap().storage_key);
    app.advance(TimeDelta::hours(25)).await;
    app.execute("UPDATE media SET used_at = wablast_now()")
        .await;
    sweep::run(&app.app).await.unwrap();
    assert_eq!(stored(&app).len(), 1);
}

#[test]
fn the_storage_is_a_folder_or_a_bucket_and_never_printed_with_its_secrets() {
    let read = |storage: &str| {
        Config::from(|name| match name {
            "WABLAST_STORAGE" => Some(storage.to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("top-secret".to_owned()),
            "AWS_ENDPOINT_URL" => Some("http://minio:9000".to_owned()),
            _ => None,
        })
    };
    let bucket = read("s3://files/wablast/").unwrap();
    let StorageSetting::S3 {
        bucket: name,
        prefix,
        options,
    } = &bucket.storage
    else {
        panic!("{bucket:?}")
    };
    assert_eq!((name.as_str(), prefix.as_str()), ("files", "wablast"));
    assert!(
        options
            .0
            .contains(&("aws_allow_http".to_owned(), "true".to_owned()))
    );
    assert!(!format!("{bucket:?}").contains("top-secret"));
    assert_eq!(
        read("/srv/files").unwrap().storage,
        StorageSetting::Folder("/srv/files".into())
    );
    for wrong in ["s3://", "https://files", "s3:///prefix"] {
        assert!(
            read(wrong)
                .unwrap_err()
                .to_string()
                .contains("WABLAST_STORAGE"),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_bucket_keeps_reads_streams_and_deletes() {
    use futures_util::TryStreamExt as _;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};
    let s3 = MockServer::start().await;
    let at = "/files/wablast/1/key";
    let answer = |status: u16| {
        ResponseTemplate::new(status)
            .insert_header("ETag", "\"one\"")
            .insert_header("Last-Modified", "Wed, 25 Nov 2026 10:00:00 GMT")
    };
    Mock::given(method("PUT"))
        .and(path(at))
        .respond_with(answer(200))
        .expect(1)
        .mount(&s3)
        .await;
    let part = answer(206)
        .insert_header("Content-Range", "bytes 1-3/5")
        .set_body_bytes(b"bcd".to_vec());
    Mock::given(method("GET"))
        .and(path(at))
        .and(wiremock::matchers::header("range", "bytes=1-3"))
        .respond_with(part)
        .mount(&s3)
        .await;
    Mock::given(method("GET"))
        .and(path(at))
        .respond_with(answer(200).set_body_bytes(b"abcde".to_vec()))
        .mount(&s3)
        .await;
    Mock::given(method("DELETE"))
        .and(path(at))
        .respond_with(answer(204))
        .expect(1)
        .mount(&s3)
        .await;
    Mock::given(method("GET"))
        .and(path("/files/wablast/1/nobody"))
        .respond_with(ResponseTemplate::new(404))
        .mount(&s3)
        .await;
    let uri = s3.uri();
    let config = Config::from(|name| match name {
        "WABLAST_STORAGE" => Some("s3://files/wablast".to_owned()),
        "AWS_ACCESS_KEY_ID" => Some("key".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
        "AWS_REGION" => Some("us-east-1".to_owned()),
        "AWS_ENDPOINT_URL" => Some(uri.clone()),
        _ => None,
    })
    .unwrap();
    let _ = wablast::gateways::http::Http::new();
    let storage = Storage::open(&config.storage).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"abcde").unwrap();
    storage.put_file("1/key", &file).await.unwrap();
    let put = s3.received_requests().await.unwrap().remove(0);
    assert_eq!(put.body, b"abcde");
    assert!(
        put.headers["authorization"]
            .to_str()
            .unwrap()
            .starts_with("AWS4-HMAC-SHA256")
    );
    assert_eq!(storage.read("1/key").await.unwrap(), b"abcde".as_slice());
    let stretch: Vec<_> = storage
        .stream("1/key", 1..4)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(stretch.concat(), b"bcd");
    assert!(storage.read("1/nobody").await.is_err());
    storage.delete("1/key").await.unwrap();
}
