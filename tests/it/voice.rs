//! Voice notes: taken by their bytes, sent by every way an account has, and never with words that nobody would read;
//! and files in replies.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use wablast::outgoing::deliver;
use wablast::simulator::{Options, Running};

use crate::media::pdf;
use crate::meta;
use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator, tell};

/// Ogg with Opus, as phones record.
fn note(sound: &str) -> Vec<u8> {
    let page = |inside: &[u8]| {
        let mut page = b"OggS\0\x02".to_vec();
        page.resize(26, 0);
        page.push(1);
        page.push(u8::try_from(inside.len()).unwrap());
        page.extend_from_slice(inside);
        page
    };
    [page(b"OpusHead\x01\x01"), page(sound.as_bytes())].concat()
}

/// Two frames of MP3.
fn mp3() -> Vec<u8> {
    let mut frame = vec![0xFF, 0xFB, 0x90, 0x00];
    frame.resize(417, 0);
    [frame.as_slice(), &frame].concat()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

async fn uploaded(app: &TestApp, name: &str, bytes: Vec<u8>) -> Value {
    let (status, answer) = app.upload(name, bytes).await;
    assert_eq!(status, 201, "{answer}");
    answer
}

fn mailing_of(account: i64, list: i64, file: &Value, message: &str, footer: &str) -> Value {
    json!({ "subject": "Heard", "account_id": account, "recipients": { "list_ids": [list] },
        "header": { "type": "voice", "media_id": file["id"] }, "message": message, "footer": footer })
}

async fn send(app: &TestApp, mailing: &Value) -> Value {
    let id = app.ok("POST", "/mailings", Some(mailing)).await["id"]
        .as_i64()
        .unwrap();
    app.ok("POST", &format!("/mailings/{id}/send_now"), None)
        .await;
    app.deliver(id).await
}

fn files(arrived: &Value) -> Vec<&Value> {
    let items = arrived["items"].as_array().unwrap().iter();
    items.filter(|item| item["file"].is_object()).collect()
}

#[tokio::test]
async fn a_voice_note_is_known_by_its_bytes_and_bounded() {
    let app = TestApp::new().await;
    let file = uploaded(&app, "salam.mp3", note("hello")).await;
    assert_eq!(
        (&file["kind"], &file["mime"], &file["file_name"]),
        (
            &json!("voice"),
            &json!("audio/ogg"),
            &json!("salam.mp3.ogg")
        )
    );
    let file = uploaded(&app, "salam.mp3", mp3()).await;
    assert_eq!(
        (&file["kind"], &file["mime"]),
        (&json!("voice"), &json!("audio/mpeg"))
    );
    let vorbis = String::from_utf8_lossy(&note("x")).replace("OpusHead", "\u{1}vorbis-");
    for (name, bytes, words) in [
        (
            "cut.ogg",
            note("hello")[..40].to_vec(),
            "end of this file is missing",
        ),
        (
            "music.ogg",
            vorbis.into_bytes(),
            "Voice notes: OGG with Opus, MP3, M4A.",
        ),
        (
            "long.mp3",
            [mp3(), vec![0; 16 * 1024 * 1024]].concat(),
            "voice note is too large: WhatsApp takes at most 16 MB",
        ),
    ] {
        let (status, answer) = app.upload(name, bytes).await;
        assert!(
            status == 422 && answer.to_string().contains(words),
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn it_arrives_whole_once_a_person_and_other_sound_is_converted() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(2).await;
    for (name, bytes) in [("salam.ogg", note("hello")), ("salam.mp3", mp3())] {
        let file = uploaded(&app, name, bytes.clone()).await;
        let sent = send(&app, &mailing_of(account, list, &file, "", "")).await;
        assert_eq!(sent["funnel"]["sent"], 2, "{sent}");
        let arrived = arrived(&waha).await;
        let heard: Vec<&Value> = files(&arrived)
            .into_iter()
            .filter(|item| item["file"]["sha256"] == sha256(&bytes).as_str())
            .collect();
        assert_eq!(heard.len(), 2, "{name}: {arrived}");
        for item in heard {
            assert_eq!(item["file"]["kind"], "voice", "{item}");
            assert_eq!(item["text"], "");
        }
    }
    app.holds().await;
}

#[tokio::test]
async fn words_that_nobody_would_read_are_refused_at_their_field() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let file = uploaded(&app, "salam.ogg", note("hello")).await;
    for (message, footer, field) in [("Halo", "", "message"), ("", "Toko", "footer")] {
        let wrong = mailing_of(account, list, &file, message, footer);
        let (status, answer) = app.call("POST", "/mailings", Some(&wrong)).await;
        let said = answer["error"]["fields"][field][0].to_string();
        assert!(
            status == 422 && said.contains("A voice note carries no text"),
            "{answer}"
        );
    }
    // The form keeps what was typed, shows the note to be heard, and sends it without words.
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get("/mailings/new").await.form("/mailings");
    let form = form
        .set("subject", "Heard")
        .set("account_id", &account.to_string())
        .add("list_ids", list)
        .set("header_type", "voice")
        .set("message", "Halo");
    let page = browser
        .upload(form, "file", "salam.ogg", note("hello"))
        .await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains("A voice note carries no text"));
    let form = page.form("/mailings");
    assert_eq!(form.get("message").trim(), "Halo");
    let page = browser.submit(form.set("message", "")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let heard = page.attributes(".bubble audio.media", "src").remove(0);
    let sound = browser.get(&heard).await;
    assert_eq!(
        (sound.status, sound.header("content-type")),
        (200, "audio/ogg".to_owned())
    );
}

#[tokio::test]
async fn meta_gets_it_as_a_voice_message_and_a_flow_by_its_address() {
    let (app, meta, account) = meta::ready(Options::default()).await;
    let list = app.list_of(1).await;
    meta.somebody_writes_to_meta("6281200000000", "P0", "Halo");
    meta::told(&app, &meta).await;
    let file = uploaded(&app, "salam.ogg", note("hello")).await;
    let sent = send(&app, &mailing_of(account, list, &file, "", "")).await;
    assert_eq!(sent["funnel"]["sent"], 1, "{sent}");
    let got = arrived(&meta).await;
    assert_eq!(files(&got)[0]["file"]["kind"], "voice", "{got}");

    let app = TestApp::on_its_port().await;
    let n8n = simulator(Options::default()).await;
    let account = json!({ "name": "Flow", "provider": "waha", "send_through": "webhook", "delivery": "direct",
        "webhook_url": format!("{}/webhook/wa-blast", n8n.url()), "pace": { "per_second": 500, "burst": 500 } });
    let account = app.ok("POST", "/accounts", Some(&account)).await["id"]
        .as_i64()
        .unwrap();
    let list = app.list_of(1).await;
    let how = json!({ "mode": "success", "report": "never" });
    tell(&n8n, "/simulator/flow", &how).await;
    let file = uploaded(&app, "salam.ogg", note("hello")).await;
    let sent = send(&app, &mailing_of(account, list, &file, "", "")).await;
    assert_eq!(sent["funnel"]["sent"], 1, "{sent}");
    let got = arrived(&n8n).await;
    let file = &files(&got)[0]["file"];
    assert_eq!(
        (&file["kind"], &file["mime"], &file["fetched"]),
        (
            &json!("voice"),
            &json!("audio/ogg; codecs=opus"),
            &json!(true)
        ),
        "{got}"
    );
    assert_eq!(file["sha256"], sha256(&note("hello")).as_str());
}

/// Somebody writes, and the answers wait to be typed.
async fn asked(app: &TestApp, waha: &Running) -> String {
    let message =
        json!({ "from": "6281255500147", "text": "Harga?", "name": "Siti", "id": "ABC1" });
    tell(waha, "/simulator/incoming", &message).await;
    app.until("it is here", || async {
        app.apply_webhooks().await;
        app.value("SELECT count(*) FROM incoming").await == "1"
    })
    .await;
    let id = app.value("SELECT max(id) FROM incoming").await;
    format!("/incoming/{id}")
}

#[tokio::test]
async fn a_reply_takes_a_file_with_words_under_it_and_a_voice_note_without() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    app.account(&waha).await;
    let at = asked(&app, &waha).await;
    let action = format!("{at}/reply");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get(&at).await.form(&action);
    // Refused in words; what was typed and the file stay.
    let refused = browser
        .upload(
            form.clone().set("text", "Dengar ini"),
            "file",
            "salam.ogg",
            note("hello"),
        )
        .await;
    assert_eq!(refused.status, 422);
    let said = refused.text();
    assert!(
        said.contains("A voice note carries no text") && said.contains("salam.ogg"),
        "{said}"
    );
    let long = form.clone().set("text", &"a".repeat(1025));
    let refused_too = browser
        .upload(long, "file", "harga.pdf", pdf("prices"))
        .await;
    assert!(
        refused_too.status == 422 && refused_too.text().contains("at most 1024 characters"),
        "{}",
        refused_too.text()
    );
    let broken = browser
        .upload(form.clone(), "file", "page.html", b"<html>".to_vec())
        .await;
    assert!(
        broken.status == 422 && broken.text().contains("does not take a file of this type"),
        "{}",
        broken.text()
    );
    // Without words it goes; the same press again is the same message.
    let voice = refused.form(&action).set("text", "");
    for _ in 0..2 {
        assert_eq!(browser.submit_once(voice.clone()).await.0, 303);
    }
    let with_words = form.set("text", "Ini daftarnya");
    let page = browser
        .upload(with_words, "file", "harga.pdf", pdf("prices"))
        .await;
    assert!(
        page.text().contains("The reply is on its way."),
        "{}",
        page.text()
    );
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("both arrived", || async {
        arrived(&waha).await["total"] == 2
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    let arrived = arrived(&waha).await;
    let mut got: Vec<String> = files(&arrived)
        .into_iter()
        .map(|item| {
            format!(
                "{} {} {}",
                item["file"]["kind"], item["text"], item["reply_to"]
            )
        })
        .collect();
    got.sort();
    let quoted = "\"false_6281255500147@c.us_ABC1\"";
    assert_eq!(
        got,
        [
            format!("\"file\" \"Ini daftarnya\" {quoted}"),
            format!("\"voice\" \"\" {quoted}")
        ]
    );
    let shown = browser.get(&at).await;
    assert!(shown.text().contains("harga.pdf"), "{}", shown.text());
}

#[tokio::test]
async fn a_file_is_taken_off_a_reply_and_what_was_typed_stays() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    app.account(&waha).await;
    let at = asked(&app, &waha).await;
    let action = format!("{at}/reply");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let form = browser.get(&at).await.form(&action).set("text", "Dengar");
    let page = browser
        .upload(form, "file", "salam.ogg", note("hello"))
        .await;
    let form = page.form(&action).add("then", "remove_file");
    let page = browser.submit(form).await;
    assert_eq!(page.status, 200);
    assert!(!page.text().contains("salam.ogg"), "{}", page.text());
    assert_eq!(page.form(&action).get("text").trim(), "Dengar");
    assert_eq!(app.value("SELECT count(*) FROM outgoing").await, "0");
}
