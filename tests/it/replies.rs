//! Replies, the welcome of who writes first, the confirmation of a stop: each once, to whom it may go.

use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;
use wablast::db::CompanyConn;
use wablast::gateways::waha::events::{IncomingMessage, Sender};
use wablast::ids::{AccountId, CompanyId};
use wablast::outgoing::query::{Single, add_single};
use wablast::outgoing::{claim, deliver, queue};
use wablast::simulator::{Options, Running};
use wablast::{accounts, incoming, intake};

use crate::support::browser::{Browser, Page};
use crate::support::{TestApp, arrived, simulator, tell};

async fn ready() -> (TestApp, Running, i64) {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    (app, waha, account)
}

/// Somebody writes; all events that came by then are applied.
async fn writes(app: &TestApp, waha: &Running, from: &str, text: &str, id: &str) {
    let before: u32 = events(app, "true").await;
    let message = json!({ "from": from, "text": text, "name": "Siti", "id": id });
    tell(waha, "/simulator/incoming", &message).await;
    app.until("the event is stored", || async {
        events(app, "true").await > before
    })
    .await;
    app.apply_webhooks().await;
    assert_eq!(events(app, "state <> 'applied'").await, 0);
}

async fn events(app: &TestApp, which: &str) -> u32 {
    let count = app
        .value(&format!("SELECT count(*) FROM inbox WHERE {which}"))
        .await;
    count.parse().unwrap()
}

/// Delivers until nothing is open; what arrived.
async fn delivered(app: &TestApp, waha: &Running) -> Vec<Value> {
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("nothing is open", || async {
        app.value("SELECT count(*) FROM outgoing WHERE state IN ('queued', 'claimed', 'sending')")
            .await
            == "0"
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    arrived(waha).await["items"].as_array().unwrap().clone()
}

async fn kinds(app: &TestApp) -> String {
    app.value("SELECT coalesce(string_agg(kind || ' ' || coalesce(number, ''), ', ' ORDER BY id), '') FROM outgoing")
        .await
}

async fn page_of(app: &TestApp, browser: &mut Browser) -> (Page, String) {
    let id = app.value("SELECT max(id) FROM incoming").await;
    (
        browser.get(&format!("/incoming/{id}")).await,
        format!("/incoming/{id}/reply"),
    )
}

#[tokio::test]
async fn a_reply_arrives_once_and_quotes_what_it_answers_also_for_who_opted_out() {
    let (app, waha, _) = ready().await;
    writes(&app, &waha, "6281255500147", "Masih ada?", "ABC1").await;
    app.execute("UPDATE contacts SET opt_out = true, opt_out_at = wablast_now(); UPDATE user_companies SET role = 'user'")
        .await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let (page, action) = page_of(&app, &mut browser).await;
    let form = page.form(&action).set("text", "Masih,\r\nBu <b>Siti</b> ");
    for _ in 0..2 {
        let (status, next) = browser.submit_once(form.clone()).await;
        assert_eq!((status, next), (303, page.path.clone()));
    }
    let page = browser.get(&page.path).await;
    let shown = page.text();
    assert!(shown.contains("The reply is on its way."), "{shown}");
    assert!(shown.contains("Reply Queued"), "{shown}");
    assert!(page.html.contains("Bu &#60;b&#62;Siti"), "escaped");
    let items = delivered(&app, &waha).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0]["to"], "6281255500147");
    assert_eq!(items[0]["text"], "Masih,\nBu <b>Siti</b>");
    assert_eq!(items[0]["reply_to"], "false_6281255500147@c.us_ABC1");
    assert_eq!(
        app.value("SELECT count(*) FROM incoming WHERE read_at IS NOT NULL")
            .await,
        "1"
    );
    // Another text from the same page is another answer.
    let second = form.set("text", "Mau kami simpankan?");
    assert_eq!(browser.submit_once(second).await.0, 303);
    assert_eq!(delivered(&app, &waha).await.len(), 2);
    let contact = app.value("SELECT max(id) FROM contacts").await;
    let counters = app.ok("GET", &format!("/contacts/{contact}"), None).await;
    assert!(
        counters.to_string().contains("\"messages_sent\":2"),
        "{counters}"
    );
    let list = browser.get("/outgoing").await.text();
    assert!(list.contains("Kind") && list.contains("Reply"), "{list}");
}

#[tokio::test]
async fn somebody_known_by_a_hidden_id_alone_is_answered_there() {
    let (app, waha, _) = ready().await;
    writes(&app, &waha, "99887766@lid", "Halo", "LID1").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let (page, action) = page_of(&app, &mut browser).await;
    browser
        .submit(page.form(&action).set("text", "Halo juga"))
        .await;
    assert_eq!(kinds(&app).await, "reply 99887766@lid");
    let items = delivered(&app, &waha).await;
    assert_eq!(items[0]["reply_to"], "false_99887766@lid_LID1");
}

#[tokio::test]
async fn what_cannot_be_answered_says_so_and_keeps_what_was_typed() {
    let (app, waha, _) = ready().await;
    writes(&app, &waha, "6281255500147", "Halo", "ABC1").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let (page, action) = page_of(&app, &mut browser).await;
    let form = page.form(&action);
    let empty = browser.submit(form.clone().set("text", " \n ")).await;
    assert_eq!(empty.status, 422);
    assert!(empty.text().contains("Write the reply first."));
    let long = browser
        .submit(form.clone().set("text", &"a".repeat(4097)))
        .await;
    assert_eq!(long.status, 422);
    for (change, words) in [
        (
            "provider = 'meta', send_through = 'webhook'",
            "A Meta account sends through Meta's own API.",
        ),
        (
            "provider = 'waha', send_through = 'api', active = false",
            "archived",
        ),
    ] {
        app.execute(&format!("UPDATE accounts SET {change}")).await;
        let refused = browser.submit(form.clone().set("text", "Masih ada")).await;
        assert_eq!(refused.status, 422);
        assert!(refused.text().contains(words), "{}", refused.text());
        assert_eq!(refused.form(&action).get("text").trim(), "Masih ada");
        let fresh = browser.get(&page.path).await;
        assert!(fresh.text().contains(words));
        assert!(!fresh.html.contains(&action), "nothing to type into");
    }
    assert_eq!(kinds(&app).await, "");
}

#[tokio::test]
async fn another_company_s_message_cannot_be_answered() {
    let (app, waha, _) = ready().await;
    writes(&app, &waha, "6281255500147", "Halo", "ABC1").await;
    app.execute(
        "INSERT INTO companies (name, country, time_zone) VALUES ('Other', 'ID', 'Asia/Jakarta');
         INSERT INTO user_companies SELECT 1, id, 'administrator' FROM companies WHERE name = 'Other';
         UPDATE users SET active_company_id = (SELECT id FROM companies WHERE name = 'Other')",
    )
    .await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let id = app.value("SELECT max(id) FROM incoming").await;
    let form = browser.get("/preferences").await.form("/preferences");
    let form = form.to(&format!("/incoming/{id}/reply")).set("text", "Hi");
    assert_eq!(browser.submit_once(form).await.0, 404);
    assert_eq!(kinds(&app).await, "");
}

const TEXTS: &str = "UPDATE accounts SET welcome_message = 'Halo {{contact.name|Kak}}!',
    opt_out_confirmation = 'Baik {{contact.name}}, kami berhenti.'";

#[tokio::test]
async fn the_welcome_goes_once_to_who_writes_for_the_first_time() {
    let (app, waha, _) = ready().await;
    // Wrote before there was a welcome.
    writes(&app, &waha, "6281200000009", "Halo", "OLD1").await;
    app.execute(TEXTS).await;
    writes(&app, &waha, "6281200000009", "Halo lagi", "OLD2").await;
    writes(&app, &waha, "6281200000001", "Halo", "NEW1").await;
    writes(&app, &waha, "6281200000001", "Halo", "NEW1").await;
    writes(&app, &waha, "6281200000001", "Halo lagi", "NEW2").await;
    writes(&app, &waha, "120363@g.us", "Halo", "GRP1").await;
    writes(&app, &waha, "status@broadcast", "Halo", "STA1").await;
    // Opted out before the first message: by somebody's hand.
    let contacts = json!({ "contacts": [{ "name": "Budi", "whatsapp_number": "6281200000003" }] });
    app.ok("POST", "/contacts/bulk", Some(&contacts)).await;
    app.execute("UPDATE contacts SET opt_out = true, opt_out_at = wablast_now() WHERE whatsapp_number = '6281200000003'")
        .await;
    writes(&app, &waha, "6281200000003", "Halo", "OUT1").await;
    assert_eq!(kinds(&app).await, "welcome 6281200000001");
    let items = delivered(&app, &waha).await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["text"], "Halo Siti!");
    assert_eq!(items[0]["reply_to"], Value::Null);
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let id = app
        .value("SELECT max(id) FROM incoming WHERE sender = '6281200000001'")
        .await;
    let shown = browser.get(&format!("/incoming/{id}")).await.text();
    assert!(shown.contains("Welcome") && shown.contains("Halo Siti!"));
}

/// Reads a message, in a transaction that is not committed yet.
async fn receive(app: &TestApp, account: i64, sender: &Sender, stanza: &str) -> CompanyConn {
    let mut conn = app.app.db.across().await.unwrap();
    let account = accounts::query::find(&mut conn, AccountId(account))
        .await
        .unwrap();
    let message = IncomingMessage {
        stanza: stanza.to_owned(),
        full_id: format!("false_1@c.us_{stanza}"),
        sender: sender.clone(),
        sender_name: Some("Siti".into()),
        text: Some("Halo".into()),
        media: None,
        quoted: None,
        sent_at: None,
        file: None,
        is_reaction: false,
        payload: None,
    };
    incoming::receive(&mut conn, &account, &message, 1)
        .await
        .unwrap();
    conn
}

/// Two messages read at one time: the second is read while the first is not committed yet, and waits for it.
async fn receive_at_once(app: &TestApp, account: i64, sender: &Sender, first: &str, second: &str) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let first = receive(app, account, sender, first).await;
    let commit = async {
        app.until("the second waits for the first", || async {
            app.value(waits).await != "0"
        })
        .await;
        first.commit().await.unwrap();
    };
    let (second, ()) = tokio::join!(receive(app, account, sender, second), commit);
    second.commit().await.unwrap();
}

#[tokio::test]
async fn two_first_messages_read_at_the_same_time_are_welcomed_once() {
    let (app, _waha, account) = ready().await;
    app.execute(TEXTS).await;
    let people = [
        Sender::Phone("6281200000001".into()),
        Sender::Lid {
            lid: "99887766@lid".into(),
            phone: None,
        },
    ];
    for (n, sender) in (1..).zip(people) {
        let (first, second) = (format!("{n}A"), format!("{n}B"));
        receive_at_once(&app, account, &sender, &first, &second).await;
    }
    assert_eq!(
        kinds(&app).await,
        "welcome 6281200000001, welcome 99887766@lid"
    );
    assert_eq!(app.value("SELECT count(*) FROM contacts").await, "2");
    assert_eq!(app.value("SELECT count(*) FROM incoming").await, "4");
}

#[tokio::test]
async fn two_instances_that_apply_the_same_inbox_welcome_once() {
    let (app, waha, _) = ready().await;
    app.execute(TEXTS).await;
    for id in ["A", "B", "A"] {
        let message = json!({ "from": "6281200000001", "text": "Halo", "id": id });
        tell(&waha, "/simulator/incoming", &message).await;
    }
    app.until("three events are stored", || async {
        events(&app, "true").await == 3
    })
    .await;
    let (first, second) = tokio::join!(intake::apply::all(&app.app), intake::apply::all(&app.app));
    assert_eq!(first.unwrap() + second.unwrap(), 3);
    assert_eq!(kinds(&app).await, "welcome 6281200000001");
}

#[tokio::test]
async fn a_stop_is_confirmed_once_and_never_welcomed() {
    let (app, waha, _) = ready().await;
    app.execute(TEXTS).await;
    writes(&app, &waha, "6281200000001", "STOP", "S1").await;
    writes(&app, &waha, "6281200000001", "STOP", "S1").await;
    assert_eq!(kinds(&app).await, "confirmation 6281200000001");
    let items = delivered(&app, &waha).await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["text"], "Baik Siti, kami berhenti.");
    // Out already: nothing new to confirm.
    writes(&app, &waha, "6281200000001", "berhenti", "S2").await;
    assert_eq!(kinds(&app).await, "confirmation 6281200000001");
    assert_eq!(
        app.value("SELECT count(*) FROM contacts WHERE opt_out")
            .await,
        "1"
    );
}

#[tokio::test]
async fn a_stop_takes_back_a_welcome_that_waits() {
    let (app, waha, _) = ready().await;
    app.execute(TEXTS).await;
    writes(&app, &waha, "6281200000001", "Halo", "S1").await;
    writes(&app, &waha, "6281200000001", "STOP", "S2").await;
    let items = delivered(&app, &waha).await;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["text"], "Baik Siti, kami berhenti.");
    assert_eq!(
        app.value("SELECT code FROM outgoing WHERE kind = 'welcome'")
            .await,
        "opted_out"
    );
}

#[tokio::test]
async fn nothing_is_said_by_an_account_without_words_or_that_cannot_send() {
    let (app, waha, _) = ready().await;
    writes(&app, &waha, "6281200000001", "Halo", "A").await;
    writes(&app, &waha, "6281200000001", "STOP", "B").await;
    app.execute(&format!("{TEXTS}, active = false")).await;
    writes(&app, &waha, "6281200000002", "Halo", "C").await;
    writes(&app, &waha, "6281200000002", "STOP", "D").await;
    assert_eq!(kinds(&app).await, "");
}

#[tokio::test]
async fn an_account_s_texts_know_their_placeholders() {
    let (app, waha, _) = ready().await;
    let account = |session: &str, welcome: &str, confirmation: &str| {
        json!({ "name": "Toko", "provider": "waha", "api_url": waha.url(), "session": session,
            "welcome_message": welcome, "opt_out_confirmation": confirmation })
    };
    let wrong = account("a", "Hi {{contact.nmae}}", "{{subject}}");
    let (status, answer) = app.call("POST", "/accounts", Some(&wrong)).await;
    assert_eq!(status, 422, "{answer}");
    for words in [
        "contact.nmae",
        "subject",
        "welcome_message",
        "opt_out_confirmation",
    ] {
        assert!(answer.to_string().contains(words), "{answer}");
    }
    app.ok(
        "POST",
        "/contacts/bulk",
        Some(&json!({ "contacts": [{ "name": "A", "whatsapp_number": "6281200000001", "attributes": { "points": "3" } }] })),
    )
    .await;
    let right = account("b", "Hi {{contact.name|there}}, {{contact.points}}", "Bye");
    let made = app.ok("POST", "/accounts", Some(&right)).await;
    assert_eq!(made["opt_out_confirmation"], "Bye");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let path = format!("/accounts/{}", made["id"]);
    let form = browser.get(&path).await.form(&path);
    assert_eq!(form.get("opt_out_confirmation").trim(), "Bye");
    let refused = browser
        .submit(form.clone().set("welcome_message", "Hi {{contact.x}}"))
        .await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("{{contact.x}} is not known"));
    let saved = browser
        .submit(form.set("opt_out_confirmation", "Baik {{contact.name}}"))
        .await;
    assert_eq!(saved.status, 200);
    assert_eq!(
        app.value("SELECT opt_out_confirmation FROM accounts ORDER BY id DESC LIMIT 1")
            .await,
        "Baik {{contact.name}}"
    );
}

#[tokio::test]
async fn confirmations_and_replies_leave_before_welcomes() {
    let (app, _waha, account) = ready().await;
    let mut conn = app.app.db.system().await.unwrap();
    for kind in ["welcome", "test", "reply", "confirmation"] {
        let single = Single {
            company: CompanyId(1),
            account: AccountId(account),
            kind,
            contact: None,
            number: "6281200000001",
            text: "Hi",
            user: None,
            cause: kind,
            quoted: None,
            media: None,
            version: None,
            until: None,
        };
        add_single(&mut conn, &single).await.unwrap();
    }
    queue::accounts_with_work(&mut conn).await.unwrap();
    let mut order = Vec::new();
    for _ in 0..4 {
        let claimed = claim::claim(&mut conn, AccountId(account), Uuid::new_v4(), 1)
            .await
            .unwrap();
        let query = format!("SELECT kind FROM outgoing WHERE id = {}", claimed[0].id);
        order.push(app.value(&query).await);
    }
    assert_eq!(order, ["confirmation", "reply", "test", "welcome"]);
}
