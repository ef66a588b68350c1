//! Accounts at Meta's Cloud API: connected, templates copied, mailings sent and followed, over the simulated API.

use chrono::TimeDelta;
use serde_json::{Value, json};
use wablast::gateways::meta::events;
use wablast::simulator::meta::{NUMBER, PHONES, WABA};
use wablast::simulator::{Faults, Options, Running, Webhook};

use crate::media::png;
use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator};

const SECRET: &str = "the-app-secret";

/// The address of an account's webhooks.
async fn intake(app: &TestApp, account: i64) -> String {
    let key = app
        .value(&format!(
            "SELECT account_key FROM accounts WHERE id = {account}"
        ))
        .await;
    format!("/webhooks/meta/{key}")
}

async fn account_of(app: &TestApp, meta: &Running, phone: &str) -> i64 {
    let made = app
        .ok(
            "POST",
            "/accounts",
            Some(&json!({ "name": format!("Toko {phone}"), "provider": "meta", "app_id": "42", "app_secret": SECRET, "waba_id": WABA,
                "phone_number_id": phone, "token": "simulator-key", "base_url": meta.url(), "pace": { "per_second": 5000, "burst": 5000 } })),
        )
        .await;
    made["id"].as_i64().unwrap()
}

/// A server, a simulated Meta whose events come to it, and an account with its templates.
pub async fn ready(options: Options) -> (TestApp, Running, i64) {
    let app = TestApp::new().await;
    let meta = simulator(options).await;
    let account = account_of(&app, &meta, PHONES[0]).await;
    meta.post_meta_to(Webhook {
        url: format!("{}{}", app.address, intake(&app, account).await),
        hmac_key: SECRET.to_owned(),
    });
    app.ok("POST", &format!("/accounts/{account}/templates"), None)
        .await;
    (app, meta, account)
}

async fn template(app: &TestApp, name: &str) -> i64 {
    let all = app.ok("GET", "/templates", None).await;
    let found = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name} in {all}"))["id"]
        .as_i64()
        .unwrap()
}

pub async fn promo(app: &TestApp, account: i64, list: i64) -> i64 {
    let template = template(app, "weekend_promo").await;
    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&json!({ "subject": "Promo", "account_id": account, "recipients": { "list_ids": [list] },
                "template": { "id": template, "values": { "body.1": "{{contact.name|Kak}}", "body.2": "20 %", "button.0": "promo" } } })),
        )
        .await;
    made["id"].as_i64().unwrap()
}

pub async fn send(app: &TestApp, meta: &Running, mailing: i64) -> Value {
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    told(app, meta).await;
    app.show(mailing).await
}

/// Everything the simulator had to tell has been told and applied.
pub async fn told(app: &TestApp, meta: &Running) {
    app.until("every event was posted", || async { meta.is_quiet() })
        .await;
    app.apply_webhooks().await;
    app.holds().await;
}

#[tokio::test]
async fn meta_a_connection_is_tested_in_words_and_templates_are_copied_page_by_page() {
    let app = TestApp::new().await;
    let meta = simulator(Options::default()).await;
    let account = account_of(&app, &meta, PHONES[0]).await;
    let test = format!("/accounts/{account}/test");
    let tested = app.ok("POST", &test, None).await;
    assert_eq!(tested["ok"], false, "{tested}");
    let words = tested["checks"].to_string();
    assert!(words.contains("Press Subscribe app"), "{words}");
    assert!(
        words.contains("Connected as +628990000001, Simulated Shop."),
        "{words}"
    );
    assert!(words.contains("100,000 people in 24 hours"), "{words}");

    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/accounts/{account}")).await;
    browser
        .submit(page.form(&format!("/accounts/{account}/subscribe")))
        .await;
    assert_eq!(app.ok("POST", &test, None).await["ok"], true);
    assert_eq!(app.value("SELECT phone_number FROM accounts").await, NUMBER);

    let synced = app
        .ok("POST", &format!("/accounts/{account}/templates"), None)
        .await;
    assert_eq!(synced, json!({ "new": 5, "known": 0, "gone": 0 }));
    let again = app
        .ok("POST", &format!("/accounts/{account}/templates"), None)
        .await;
    assert_eq!(again, json!({ "new": 0, "known": 5, "gone": 0 }));
    let all = app.ok("GET", "/templates", None).await;
    assert_eq!(all["total"], 4, "the one in review is no choice: {all}");
}

#[tokio::test]
async fn meta_a_wrong_token_stops_the_account_and_says_so() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(2).await;
    let mailing = promo(&app, account, list).await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    meta.set_faults(Faults {
        codes: [
            ("6281200000000".to_owned(), 190),
            ("6281200000001".to_owned(), 190),
        ]
        .into(),
        ..Faults::default()
    });
    wablast::mailings::release::advance(&app.app).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let deliverer = tokio::spawn(wablast::outgoing::deliver::run(app.app.clone(), stopped));
    app.until("the account stopped", || async {
        app.value("SELECT health FROM accounts").await == "stopped"
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    let reason = app.value("SELECT health_reason FROM accounts").await;
    assert!(
        reason.contains("Enter a new one on the account. (Meta 190:"),
        "{reason}"
    );
    assert_eq!(arrived(&meta).await["total"], 0);
    assert_eq!(app.show(mailing).await["counts"]["queued"], 2);
    app.holds().await;
}

#[tokio::test]
async fn meta_a_mailing_on_a_template_reaches_everybody_once_with_their_values() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(25).await;
    let mailing = promo(&app, account, list).await;
    let shown = send(&app, &meta, mailing).await;
    assert_eq!(shown["counts"]["read"], 25, "{shown}");
    assert_eq!(shown["state"], "done");
    let arrived = arrived(&meta).await;
    assert_eq!(
        (&arrived["total"], &arrived["doubled"]),
        (&json!(25), &json!(0))
    );
    let texts = arrived["items"].to_string();
    assert!(
        texts.contains("Halo P7, diskon 20 % untuk semua batik sampai Minggu."),
        "{texts}"
    );
    // What people read is what the log shows.
    let messages = app
        .ok("GET", &format!("/messages?mailing_id={mailing}"), None)
        .await;
    assert_eq!(messages["total"], 25);
    let version = app
        .value("SELECT template ->> 'name' || ' ' || message FROM mailing_versions")
        .await;
    assert_eq!(
        version,
        "weekend_promo Halo {{contact.name|Kak}}, diskon 20 % untuk semua batik sampai Minggu."
    );
    // The ids of Meta's receipts are those of the attempts.
    assert_eq!(
        app.value("SELECT count(*) FROM attempts WHERE provider_id LIKE 'wamid.%' AND own_ref <> provider_id AND rank = 5").await,
        "25"
    );
}

#[tokio::test]
async fn meta_who_lacks_a_value_is_left_out_and_a_place_without_text_is_asked_for() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(3).await;
    app.execute("UPDATE contacts SET attributes = '{\"code\": \"A1\"}' WHERE name = 'P1'")
        .await;
    let template = template(&app, "order_update").await;
    let draft = |values: Value| {
        json!({ "subject": "Order", "account_id": account, "recipients": { "list_ids": [list] },
            "template": { "id": template, "values": values } })
    };
    let empty = app.ok("POST", "/mailings", Some(&draft(json!({})))).await;
    let (status, refused) = app
        .call("POST", &format!("/mailings/{}/send_now", empty["id"]), None)
        .await;
    assert_eq!(status, 422, "{refused}");
    assert_eq!(
        refused["error"]["fields"]["template_id"][0],
        "Say what stands at {{1}} in the text of the template."
    );

    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&draft(json!({ "body.1": "{{contact.code}}" }))),
        )
        .await;
    let shown = send(&app, &meta, made["id"].as_i64().unwrap()).await;
    assert_eq!(shown["counts"]["read"], 1, "{shown}");
    assert_eq!(shown["counts"]["skipped"], 2);
    assert_eq!(
        app.value("SELECT string_agg(DISTINCT code, ',') FROM outgoing WHERE state = 'skipped'")
            .await,
        "missing_value"
    );
}

#[tokio::test]
async fn meta_free_text_goes_only_to_people_whose_window_is_open() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(3).await;
    meta.somebody_writes_to_meta("6281200000001", "P1", "Masih ada?");
    told(&app, &meta).await;
    let mailing = app.mailing(account, list, "Ya, masih ada").await;
    let before = app
        .ok("GET", &format!("/mailings/{mailing}/preflight"), None)
        .await;
    assert_eq!(before["will_send"], 1, "{before}");
    assert_eq!(before["left_out"]["window_closed"], 2);
    let shown = send(&app, &meta, mailing).await;
    assert_eq!(shown["counts"]["read"], 1);
    let arrived = arrived(&meta).await;
    assert_eq!(arrived["by_number"], json!({ "6281200000001": 1 }));

    app.advance(TimeDelta::hours(25)).await;
    let late = app.mailing(account, list, "Halo lagi").await;
    let before = app
        .ok("GET", &format!("/mailings/{late}/preflight"), None)
        .await;
    assert_eq!(before["will_send"], 0, "{before}");
}

#[tokio::test]
async fn meta_codes_decide_and_a_late_failure_tells_its_reason() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(5).await;
    let person = |n: i64| (6_281_200_000_000 + n).to_string();
    meta.set_faults(Faults {
        codes: [(person(0), 131_049), (person(1), 131_000)].into(),
        late_codes: [(person(2), 131_026), (person(3), 131_050)].into(),
        ..Faults::default()
    });
    let mailing = promo(&app, account, list).await;
    let shown = send(&app, &meta, mailing).await;
    assert_eq!(shown["counts"]["failed"], 3, "{shown}");
    assert_eq!(
        (&shown["counts"]["uncertain"], &shown["counts"]["read"]),
        (&json!(1), &json!(1))
    );
    let codes = app
        .value("SELECT string_agg(right(coalesce(number, skipped_number), 1) || ' ' || code, ', ' ORDER BY id) FROM outgoing WHERE code IS NOT NULL")
        .await;
    assert_eq!(
        codes,
        "0 marketing_limit, 1 gateway_error, 2 not_on_whatsapp, 3 unsubscribed"
    );
    let reason = app
        .value("SELECT reason FROM outgoing WHERE code = 'not_on_whatsapp'")
        .await;
    assert!(
        reason.starts_with("Meta cannot deliver to this number")
            && reason.contains("(Meta 131026:"),
        "{reason}"
    );
    // Whom Meta holds back is not tried again within a day.
    let again = format!("/mailings/{mailing}/retry_failed");
    let (status, refused) = app.call("POST", &again, None).await;
    assert_eq!(status, 422, "{refused}");
    app.advance(TimeDelta::hours(25)).await;
    meta.set_faults(Faults::default());
    let (status, answer) = app.call("POST", &again, None).await;
    assert!(status < 300, "{status} {answer}");
    // Who stopped marketing in WhatsApp is opted out here.
    assert_eq!(
        app.value("SELECT name || ': ' || opt_out_reason FROM contacts WHERE opt_out")
            .await,
        "P3: Stopped marketing messages in WhatsApp"
    );
}

#[tokio::test]
async fn meta_one_person_with_too_many_messages_does_not_hold_up_the_others() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(3).await;
    meta.set_faults(Faults {
        codes: [("6281200000000".to_owned(), 131_056)].into(),
        ..Faults::default()
    });
    let mailing = promo(&app, account, list).await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    wablast::mailings::release::advance(&app.app).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let deliverer = tokio::spawn(wablast::outgoing::deliver::run(app.app.clone(), stopped));
    app.until("the others have theirs", || async {
        arrived(&meta).await["total"] == 2
    })
    .await;
    app.until("the one waits for its own moment", || async {
        app.value("SELECT code FROM outgoing WHERE state = 'queued' AND not_before IS NOT NULL")
            .await
            == "pair_limited"
    })
    .await;
    assert_eq!(
        app.value("SELECT count(*) FROM account_pace WHERE blocked_until IS NOT NULL")
            .await,
        "0"
    );
    // Its clock is set on by hand: the four seconds are over.
    meta.set_faults(Faults::default());
    app.advance(TimeDelta::seconds(5)).await;
    app.until("nobody is missing", || async {
        arrived(&meta).await["total"] == 3
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    assert_eq!(arrived(&meta).await["doubled"], 0);
    app.holds().await;
}

#[tokio::test]
async fn meta_a_lost_answer_is_settled_by_the_reference_that_was_sent_along() {
    let (app, meta, account) = ready(Options {
        faults: Faults::parse(&["close_after@6281200000000".to_owned()]).unwrap(),
        ..Options::default()
    })
    .await;
    let list = app.list_of(2).await;
    let mailing = promo(&app, account, list).await;
    let shown = send(&app, &meta, mailing).await;
    assert_eq!(shown["counts"]["read"], 2, "{shown}");
    assert_eq!(arrived(&meta).await["doubled"], 0);
    assert_eq!(
        app.value("SELECT outcome || ' ' || (provider_id LIKE 'wamid.%') FROM attempts WHERE outcome = 'uncertain'").await,
        "uncertain true"
    );
}

#[tokio::test]
async fn meta_a_template_that_is_paused_pauses_its_mailing_and_resuming_sends_the_rest() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(4).await;
    let mailing = promo(&app, account, list).await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    wablast::mailings::release::advance(&app.app).await.unwrap();
    meta.template_becomes("weekend_promo", "PAUSED", "Low quality.");
    told(&app, &meta).await;
    wablast::mailings::stop::all(&app.app).await.unwrap();
    let shown = app.show(mailing).await;
    assert_eq!(shown["state"], "paused");
    assert_eq!(
        shown["state_reason"],
        "The template weekend_promo is paused at Meta: Low quality."
    );
    // A new one cannot be sent with it either.
    let other = promo_of(&app, account, list, "weekend_promo").await;
    let (status, refused) = app
        .call("POST", &format!("/mailings/{other}/send_now"), None)
        .await;
    assert_eq!(status, 422);
    assert!(
        refused["error"]["fields"]["template_id"][0]
            .as_str()
            .unwrap()
            .contains("is paused at Meta"),
        "{refused}"
    );

    meta.template_becomes("weekend_promo", "APPROVED", "");
    told(&app, &meta).await;
    app.ok("POST", &format!("/mailings/{mailing}/resume"), None)
        .await;
    app.deliver(mailing).await;
    told(&app, &meta).await;
    assert_eq!(app.show(mailing).await["counts"]["read"], 4);
}

/// A draft on a template that may not be among the choices.
async fn promo_of(app: &TestApp, account: i64, list: i64, name: &str) -> i64 {
    let id = app
        .value(&format!("SELECT id FROM templates WHERE name = '{name}'"))
        .await;
    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&json!({ "subject": "Promo", "account_id": account, "recipients": { "list_ids": [list] },
                "template": { "id": id.parse::<i64>().unwrap(), "values": { "body.1": "Kak", "body.2": "20 %", "button.0": "promo" } } })),
        )
        .await;
    made["id"].as_i64().unwrap()
}

#[tokio::test]
async fn meta_a_file_is_uploaded_once_for_everybody_and_for_the_next_mailing() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(3).await;
    let (_, file) = app.upload("batik.png", png("collection")).await;
    let template = template(&app, "new_collection").await;
    for n in 1..=2 {
        let made = app
            .ok(
                "POST",
                "/mailings",
                Some(&json!({ "subject": format!("New {n}"), "account_id": account, "recipients": { "list_ids": [list] },
                    "header": { "type": "image", "media_id": file["id"] },
                    "template": { "id": template, "values": { "body.1": "{{contact.name}}" } } })),
            )
            .await;
        let shown = send(&app, &meta, made["id"].as_i64().unwrap()).await;
        assert_eq!(shown["counts"]["read"], 3, "{shown}");
        // Meta wants six seconds between two messages to one person.
        app.advance(TimeDelta::seconds(7)).await;
    }
    assert_eq!(
        arrived(&meta).await["items"][0]["file"]["name"],
        "batik.png"
    );
    assert_eq!(
        app.value("SELECT count(*) || ' ' || min(provider_id) FROM media_uploads")
            .await,
        "1 770000000001"
    );
    // After 25 days it is uploaded again: Meta keeps files for 30.
    app.advance(TimeDelta::days(26)).await;
    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&json!({ "subject": "Newer", "account_id": account, "recipients": { "list_ids": [list] },
                "header": { "type": "image", "media_id": file["id"] },
                "template": { "id": template, "values": { "body.1": "{{contact.name}}" } } })),
        )
        .await;
    send(&app, &meta, made["id"].as_i64().unwrap()).await;
    assert_eq!(
        app.value("SELECT provider_id FROM media_uploads").await,
        "770000000002"
    );
}

#[tokio::test]
async fn meta_replies_stops_and_preferences_arrive() {
    let (app, meta, account) = ready(Options::default()).await;
    let list = app.list_of(3).await;
    let mailing = promo(&app, account, list).await;
    send(&app, &meta, mailing).await;
    meta.somebody_writes_to_meta("6281200000000", "P0", "STOP");
    meta.somebody_writes_to_meta("6281200000001", "P1", "Berapa harganya?");
    told(&app, &meta).await;
    assert_eq!(app.show(mailing).await["funnel"]["replied"], 2);
    let out = || {
        app.value(
            "SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM contacts WHERE opt_out",
        )
    };
    assert_eq!(out().await, "P0");

    let preference = |value: &str| {
        json!({ "object": "whatsapp_business_account", "entry": [{ "id": WABA, "changes": [{ "field": "user_preferences", "value": {
            "messaging_product": "whatsapp", "metadata": { "display_phone_number": NUMBER, "phone_number_id": PHONES[0] },
            "user_preferences": [{ "wa_id": "6281200000002", "category": "marketing_messages", "value": value, "timestamp": 1_731_705_721 },
                { "wa_id": "6281200000000", "category": "marketing_messages", "value": "resume", "timestamp": 1_731_705_722 }] } }] }] })
    };
    let path = intake(&app, account).await;
    assert_eq!(
        post(&app, &path, &preference("stop").to_string()).await,
        200
    );
    app.apply_webhooks().await;
    assert_eq!(
        out().await,
        "P0,P2",
        "a word's stop is not undone in WhatsApp"
    );
    assert_eq!(
        post(&app, &path, &preference("resume").to_string()).await,
        200
    );
    app.apply_webhooks().await;
    assert_eq!(out().await, "P0");
}

async fn post(app: &TestApp, path: &str, body: &str) -> u16 {
    let signature = events::sign(SECRET.as_bytes(), body.as_bytes());
    app.post_raw(
        path,
        &[("X-Hub-Signature-256", &signature)],
        body.as_bytes().to_vec(),
    )
    .await
}

#[tokio::test]
async fn meta_the_address_is_verified_and_only_signed_posts_are_stored() {
    let app = TestApp::new().await;
    let meta = simulator(Options::default()).await;
    let account = account_of(&app, &meta, PHONES[0]).await;
    let path = intake(&app, account).await;
    let token = app.value("SELECT webhook_verify_token FROM accounts").await;
    let verify = async |token: &str, mode: &str| {
        let url = format!(
            "{}{path}?hub.mode={mode}&hub.verify_token={token}&hub.challenge=115899%3Cb%3E",
            app.address
        );
        let answer = app.fetch("GET", &url, None).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(
        verify(&token, "subscribe").await,
        (200, "115899b".to_owned())
    );
    assert_eq!(verify("wrong", "subscribe").await.0, 403);
    assert_eq!(verify(&token, "unsubscribe").await.0, 403);

    let body = include_str!("../fixtures/meta/derived_batched_mixed.json");
    assert_eq!(post(&app, &path, body).await, 200);
    assert_eq!(post(&app, &path, body).await, 200, "Meta repeats");
    for signature in ["", "sha256=00", &events::sign(b"another", body.as_bytes())] {
        let status = app
            .post_raw(
                &path,
                &[("X-Hub-Signature-256", signature)],
                body.as_bytes().to_vec(),
            )
            .await;
        assert_eq!(status, 401, "{signature}");
    }
    let tampered = body.replace("STOP", "STOPP");
    let signature = events::sign(SECRET.as_bytes(), body.as_bytes());
    let status = app
        .post_raw(
            &path,
            &[("X-Hub-Signature-256", &signature)],
            tampered.into_bytes(),
        )
        .await;
    assert_eq!(status, 401);
    assert_eq!(
        app.value("SELECT count(*) || source FROM inbox GROUP BY source")
            .await,
        "1meta"
    );
}

#[tokio::test]
async fn meta_every_sample_is_taken_and_applied() {
    let app = TestApp::new().await;
    let meta = simulator(Options::default()).await;
    // The numbers of the samples.
    let account = account_of(&app, &meta, "106540352242922").await;
    app.execute("UPDATE accounts SET account_uid = '102290129340398'")
        .await;
    let path = intake(&app, account).await;
    let mut samples = 0;
    for file in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/meta")).unwrap()
    {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|end| end == "json") {
            // Published samples share ids; Meta never gives one twice.
            let body = std::fs::read_to_string(&file).unwrap();
            let body = body.replace("\"wamid.", &format!("\"wamid.{samples}."));
            assert_eq!(post(&app, &path, &body).await, 200, "{}", file.display());
            samples += 1;
        }
    }
    assert_eq!(samples, 41);
    app.apply_webhooks().await;
    assert_eq!(
        app.value(
            "SELECT coalesce(string_agg(error, '; '), 'none') FROM inbox WHERE state <> 'applied'"
        )
        .await,
        "none"
    );
    let said = app
        .value("SELECT string_agg(message || coalesce(' [' || mime || ']', ''), E'\\n' ORDER BY message) FROM incoming WHERE sender = '16505551234'")
        .await;
    for expected in [
        "Unsubscribe",
        "Priority Mail Express",
        "2 x di9ozbzfi4 (30 USD)",
        "[image/jpeg]",
        "Lucía Gómez +1 (983) 555-2319",
        "👍",
        "(Message type is currently not supported.)",
        "äöå STOP",
    ] {
        assert!(said.contains(expected), "{expected} in\n{said}");
    }
    // Somebody without a number is known by their id.
    assert_eq!(
        app.value("SELECT c.name || ' ' || i.kind || ' ' || i.value FROM contact_identities i JOIN contacts c ON c.id = i.contact_id WHERE i.kind = 'bsuid'").await,
        "Sheena Nelson bsuid US.13491208655302741918@bsuid"
    );
    // Messaging was restricted, so the account stands still.
    assert_eq!(
        app.value("SELECT health || ' ' || health_code FROM accounts")
            .await,
        "stopped restricted"
    );
    app.holds().await;
}

#[tokio::test]
async fn meta_events_of_another_number_of_the_app_find_their_account() {
    let (app, meta, first) = ready(Options::default()).await;
    let second = account_of(&app, &meta, PHONES[1]).await;
    app.ok("POST", &format!("/accounts/{second}/templates"), None)
        .await;
    let list = app.list_of(2).await;
    let id = app
        .value(&format!(
            "SELECT id FROM templates WHERE name = 'weekend_promo' AND account_id = {second}"
        ))
        .await;
    let made = app
        .ok(
            "POST",
            "/mailings",
            Some(&json!({ "subject": "Promo", "account_id": second, "recipients": { "list_ids": [list] },
                "template": { "id": id.parse::<i64>().unwrap(), "values": { "body.1": "Kak", "body.2": "5 %", "button.0": "x" } } })),
        )
        .await;
    let shown = send(&app, &meta, made["id"].as_i64().unwrap()).await;
    assert_eq!(shown["counts"]["read"], 2, "{shown}");
    assert_ne!(first, second);
}

#[tokio::test]
async fn meta_a_new_number_and_a_new_id_stay_the_same_person() {
    let (app, meta, account) = ready(Options::default()).await;
    app.list_of(2).await;
    let path = intake(&app, account).await;
    let system = |system: Value| {
        json!({ "object": "whatsapp_business_account", "entry": [{ "id": WABA, "changes": [{ "field": "messages", "value": {
            "messaging_product": "whatsapp", "metadata": { "display_phone_number": NUMBER, "phone_number_id": PHONES[0] },
            "messages": [{ "from": "6281200000000", "id": "wamid.S1", "timestamp": "1753851315", "type": "system", "system": system }] } }] }] })
    };
    let taken = system(json!({ "type": "user_changed_number", "wa_id": "6281200000001" }));
    post(&app, &path, &taken.to_string()).await;
    app.apply_webhooks().await;
    assert_eq!(
        app.value("SELECT whatsapp_number FROM contacts WHERE name = 'P0'")
            .await,
        "6281200000000"
    );
    let moved = system(
        json!({ "type": "user_changed_number", "wa_id": "6281299999999", "user_id": "ID.77" }),
    );
    post(&app, &path, &moved.to_string()).await;
    app.apply_webhooks().await;
    assert_eq!(
        app.value("SELECT whatsapp_number FROM contacts WHERE name = 'P0'")
            .await,
        "6281299999999"
    );
    assert_eq!(
        app.value("SELECT value FROM contact_identities WHERE kind = 'bsuid'")
            .await,
        "ID.77@bsuid"
    );
    drop(meta);
}

#[tokio::test]
async fn meta_a_template_is_written_handed_in_and_refused_in_words() {
    let (app, meta, account) = ready(Options::default()).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/templates/new").await;
    let account = account.to_string();
    let form = page
        .form("/templates")
        .set("account_id", &account)
        .set("name", "Gajian November")
        .set("language", "id")
        .set("category", "marketing")
        .set("body", "Halo {{1}}, gajian sudah tiba.");
    let saved = browser.submit(form).await;
    // The sample's field comes with the variable.
    assert!(
        saved.text().contains("Give every variable a sample"),
        "{}",
        saved.text()
    );
    let form = saved.form("/templates").set("samples", "Siti");
    let saved = browser.submit(form).await;
    let id = app
        .value("SELECT id FROM templates WHERE name = 'gajian_november'")
        .await;
    assert!(saved.text().contains("The draft is saved."));
    browser
        .submit(saved.form(&format!("/templates/{id}/hand-in")))
        .await;
    assert_eq!(
        app.value(&format!(
            "SELECT status || ' ' || (uid <> '') FROM templates WHERE id = {id}"
        ))
        .await,
        "pending true"
    );
    meta.template_becomes("gajian_november", "REJECTED", "It says nothing.");
    told(&app, &meta).await;
    let page = browser.get(&format!("/templates/{id}")).await;
    assert!(page.text().contains("It says nothing."), "{}", page.text());
    assert!(page.text().contains("Halo Siti, gajian sudah tiba."));
}

#[tokio::test]
async fn meta_a_mailing_is_written_on_a_template_in_the_panel() {
    let (app, meta, _) = ready(Options::default()).await;
    let list = app.list_of(2).await;
    let template = template(&app, "weekend_promo").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser
        .get(&format!("/mailings/new?list={list}&template={template}"))
        .await;
    assert!(page.text().contains("weekend_promo"), "{}", page.text());
    assert!(
        page.text().contains("Text {{1}}")
            && page.text().contains("End of the address of button 1")
    );
    let form = page
        .form("/mailings")
        .set("subject", "Promo")
        .without("template_texts")
        .add("template_texts", "{{contact.name|Kak}}")
        .add("template_texts", "20 %")
        .add("template_texts", "promo");
    let saved = browser.submit(form).await;
    assert!(saved.text().contains("Halo"), "{}", saved.text());
    let mailing: i64 = app
        .value("SELECT max(id) FROM mailings")
        .await
        .parse()
        .unwrap();
    assert_eq!(
        app.value("SELECT message FROM mailings").await,
        "Halo {{contact.name|Kak}}, diskon 20 % untuk semua batik sampai Minggu."
    );
    let shown = send(&app, &meta, mailing).await;
    assert_eq!(shown["counts"]["read"], 2, "{shown}");
}
