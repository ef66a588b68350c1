//! `POST /webhooks/flow/{key}`: signed events of a flow, through the inbox.

use chrono::TimeDelta;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use wablast::mailings::{release, settle};
use wablast::outgoing::receipts;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::TestApp;
use crate::support::browser::Browser;

/// A company whose account sends through a flow that answers nothing, and the secret its reports are signed with.
struct World {
    app: TestApp,
    account: i64,
    address: String,
    secret: String,
    browser: Browser,
    _n8n: MockServer,
}

fn signed(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl World {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let n8n = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&n8n)
            .await;
        let account = json!({ "name": "Toko", "provider": "waha", "send_through": "webhook", "delivery": "direct",
            "webhook_url": format!("{}/webhook/x", n8n.uri()), "webhook_user": "n8n", "webhook_password": "s3cret-pass",
            "pace": { "per_second": 5000, "burst": 5000 } });
        let account = app.ok("POST", "/accounts", Some(&account)).await;
        let key = account["account_key"].as_str().unwrap();
        let mut browser = Browser::new(&app);
        browser.sign_in().await;
        let mut world = Self {
            account: account["id"].as_i64().unwrap(),
            address: format!("/webhooks/flow/{key}"),
            secret: String::new(),
            app,
            browser,
            _n8n: n8n,
        };
        world.secret = world.make_secret().await;
        world
    }

    /// Presses the button of the account's page; the secret it shows this once.
    async fn make_secret(&mut self) -> String {
        let path = format!("/accounts/{}", self.account);
        let page = self.browser.get(&path).await;
        assert!(
            page.html.contains(&self.address),
            "the address stands there to be copied"
        );
        let shown = self
            .browser
            .submit(page.form(&format!("{path}/flow-secret")))
            .await;
        let secret = regex::Regex::new("fls_[A-Za-z0-9]{40}").unwrap();
        let secret = secret
            .find(&shown.html)
            .expect("the secret, this once")
            .as_str()
            .to_owned();
        assert!(
            !self.browser.get(&path).await.html.contains(&secret),
            "shown once"
        );
        secret
    }

    async fn post(&self, events: Value) -> u16 {
        let body = json!({ "events": events }).to_string().into_bytes();
        let signature = signed(&self.secret, &body);
        self.app
            .post_raw(&self.address, &[("X-Wablast-Signature", &signature)], body)
            .await
    }

    async fn send_to(&self, people: usize) -> (i64, Vec<i64>) {
        let list = self.app.list_of(people).await;
        let mailing = self
            .app
            .mailing(self.account, list, "Hi {{contact.name}}")
            .await;
        self.app
            .ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        release::advance(&self.app.app).await.unwrap();
        let ids = format!(
            "SELECT string_agg(id::text, ',' ORDER BY id) FROM outgoing WHERE mailing_id = {mailing}"
        );
        let ids = self.app.value(&ids).await;
        (
            mailing,
            ids.split(',').map(|id| id.parse().unwrap()).collect(),
        )
    }

    async fn apply(&self) {
        self.app.apply_webhooks().await;
        settle::all(&self.app.app).await.unwrap();
    }

    async fn state(&self, id: i64) -> String {
        self.app
            .value(&format!("SELECT state FROM outgoing WHERE id = {id}"))
            .await
    }
}

#[tokio::test]
async fn signed_events_tell_what_became_of_messages_in_any_order_and_once() {
    let world = World::new().await;
    let (mailing, ids) = world.send_to(4).await;
    world.app.deliver(mailing).await;
    let [a, b, c, d] = ids[..] else { panic!() };
    let events = json!([
        { "id": "e1", "sent_id": a, "status": "read", "provider_id": "true_1@c.us_3EB0A" },
        { "id": "e2", "sent_id": a.to_string(), "status": "sent" },
        { "id": "e3", "sent_id": b, "status": "delivered", "at": "2026-11-24T10:00:00+07:00" },
        { "id": "e4", "sent_id": c, "status": "failed", "error": "Session status is not as expected" },
        { "id": "e5", "sent_id": d, "status": "accepted", "provider_id": "3EB0D" },
        // Later receipts may know WhatsApp's id alone.
        { "id": "e6", "provider_id": "false_1@c.us_3EB0D", "status": "delivered" },
    ]);
    for _ in 0..2 {
        assert_eq!(world.post(events.clone()).await, 200);
        world.apply().await;
        let states = [
            world.state(a).await,
            world.state(b).await,
            world.state(c).await,
            world.state(d).await,
        ];
        assert_eq!(states, ["read", "delivered", "failed", "delivered"]);
    }
    assert_eq!(
        world
            .app
            .value("SELECT count(*) || ' ' || count(*) FILTER (WHERE state = 'applied') FROM inbox")
            .await,
        "6 6"
    );
    let shown = world.app.show(mailing).await;
    assert_eq!(
        (shown["state"].as_str(), shown["counts"]["failed"].as_i64()),
        (Some("partial_failure"), Some(1))
    );
    let log = world.app.value("SELECT error_message FROM logs").await;
    assert!(
        log.contains("The flow reported a failure: Session status is not as expected"),
        "{log}"
    );
    // The same id with other words is the same event.
    assert_eq!(
        world
            .post(json!([{ "id": "e3", "sent_id": b, "status": "read" }]))
            .await,
        200
    );
    world.apply().await;
    assert_eq!(world.state(b).await, "delivered");
    world.app.holds().await;
}

#[tokio::test]
async fn what_comes_early_waits_for_its_message() {
    let world = World::new().await;
    let (mailing, ids) = world.send_to(2).await;
    // One names WhatsApp's id that nobody knows yet; one a message that has not left.
    assert_eq!(
        world
            .post(json!([{ "id": "p", "provider_id": "3EB0EARLY", "status": "delivered" }]))
            .await,
        200
    );
    assert_eq!(
        world
            .post(json!([{ "id": "q", "sent_id": ids[1], "status": "read" }]))
            .await,
        200
    );
    world.apply().await;
    assert_eq!(
        world
            .app
            .value("SELECT count(*) FROM parked_receipts")
            .await,
        "1"
    );
    let waits = world.app.value("SELECT state || ' ' || tries || ' ' || error FROM inbox WHERE dedupe = 'flow.status:q'").await;
    assert!(
        waits.starts_with("new 1 ")
            && waits.contains("did not leave through this account's webhook yet"),
        "{waits}"
    );
    assert_eq!(world.state(ids[1]).await, "queued");
    world.app.deliver(mailing).await;
    world.app.advance(TimeDelta::seconds(5)).await;
    world
        .post(
            json!([{ "id": "r", "sent_id": ids[0], "status": "sent", "provider_id": "3EB0EARLY" }]),
        )
        .await;
    world.apply().await;
    let mut conn = world.app.app.db.system().await.unwrap();
    receipts::sweep(&mut conn).await.unwrap();
    drop(conn);
    assert_eq!(
        (
            world.state(ids[0]).await.as_str(),
            world.state(ids[1]).await.as_str()
        ),
        ("delivered", "read")
    );
    assert_eq!(
        world
            .app
            .value("SELECT count(*) FROM inbox WHERE state <> 'applied'")
            .await,
        "0"
    );
    world.app.holds().await;
    // What never fits is set aside, seen, and stops nobody.
    world
        .post(json!([{ "id": "s", "sent_id": 999_999, "status": "sent" }]))
        .await;
    for _ in 0..6 {
        world.apply().await;
        world.app.advance(TimeDelta::seconds(70)).await;
    }
    assert_eq!(
        world
            .app
            .value("SELECT state FROM inbox WHERE dedupe = 'flow.status:s'")
            .await,
        "set_aside"
    );
}

#[tokio::test]
async fn a_tampered_signature_never_passes_and_changes_nothing() {
    let mut world = World::new().await;
    let (mailing, ids) = world.send_to(1).await;
    world.app.deliver(mailing).await;
    let body = json!({ "events": [{ "id": "x", "sent_id": ids[0], "status": "read" }] })
        .to_string()
        .into_bytes();
    let right = signed(&world.secret, &body);
    let mut flipped = right.clone().into_bytes();
    let last = flipped.len() - 1;
    flipped[last] = if flipped[last] == b'0' { b'1' } else { b'0' };
    let flipped = String::from_utf8(flipped).unwrap();
    let mut other = body.clone();
    other[20] ^= 1;
    let before = world.app.mark().await;
    for (signature, body) in [
        ("", &body),
        ("sha256=", &body),
        (&right[7..], &body),
        (&flipped, &body),
        (&right[..right.len() - 2], &body),
        (&signed("another secret", &body), &body),
        (&right, &other),
    ] {
        let headers = [("X-Wablast-Signature", signature)];
        assert_eq!(
            world
                .app
                .post_raw(&world.address, &headers, body.clone())
                .await,
            401,
            "{signature}"
        );
    }
    assert_eq!(
        world.app.post_raw(&world.address, &[], body.clone()).await,
        401
    );
    let headers = [("X-Wablast-Signature", right.as_str())];
    assert_eq!(
        world
            .app
            .post_raw("/webhooks/flow/unknown", &headers, body.clone())
            .await,
        404
    );
    let large = vec![b' '; 4 * 1024 * 1024 + 1];
    let fits = signed(&world.secret, &large);
    assert_eq!(
        world
            .app
            .post_raw(&world.address, &[("X-Wablast-Signature", &fits)], large)
            .await,
        413
    );
    for wrong in [
        json!("x"),
        json!([]),
        json!([{ "id": "x", "sent_id": ids[0], "status": "gone" }]),
    ] {
        assert_eq!(world.post(wrong).await, 400);
    }
    assert_eq!(
        world.app.mark().await,
        before,
        "nothing is stored of all this"
    );
    // A new secret ends the old one.
    let old = world.secret.clone();
    world.secret = world.make_secret().await;
    let signature = signed(&old, &body);
    assert_eq!(
        world
            .app
            .post_raw(&world.address, &[("X-Wablast-Signature", &signature)], body)
            .await,
        401
    );
    assert_eq!(
        world
            .post(json!([{ "id": "x", "sent_id": ids[0], "status": "read" }]))
            .await,
        200
    );
    world.apply().await;
    assert_eq!(world.state(ids[0]).await, "read");
    let stored = world
        .app
        .value("SELECT encode(callback_secret, 'escape') FROM account_flow")
        .await;
    assert!(!stored.contains(&world.secret));
}

#[tokio::test]
async fn an_account_s_flow_speaks_of_its_own_messages_whoever_s_they_are() {
    let world = World::new().await;
    let app = &world.app;
    // Another account's message is not there, one of a company it is shared with is.
    let other = json!({ "name": "Other", "provider": "waha", "send_through": "webhook", "delivery": "direct", "session": "b",
        "webhook_url": format!("{}/webhook/y", world._n8n.uri()), "pace": { "per_second": 5000, "burst": 5000 } });
    let other = app.ok("POST", "/accounts", Some(&other)).await["id"]
        .as_i64()
        .unwrap();
    let list = app.list_of(1).await;
    let mailing = app.mailing(other, list, "Hi").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    let id = app.value("SELECT id FROM outgoing").await;
    world
        .post(json!([{ "id": "o", "sent_id": id, "status": "read" }]))
        .await;
    world.apply().await;
    assert_eq!(app.value("SELECT state FROM outgoing").await, "uncertain");
    app.execute(&format!(
        "UPDATE outgoing SET account_id = {}; UPDATE attempts SET account_id = {}",
        world.account, world.account
    ))
    .await;
    app.advance(TimeDelta::seconds(10)).await;
    world.apply().await;
    assert_eq!(app.value("SELECT state FROM outgoing").await, "read");
}

#[tokio::test]
async fn a_person_s_message_arrives_once_is_obeyed_and_is_seen_in_the_webhook_log() {
    let mut world = World::new().await;
    world.send_to(1).await;
    let stop = json!([{ "id": "in-1", "kind": "incoming", "from": "6281200000000@c.us", "to": "628111", "name": "P0", "text": "STOP",
        "error": "Basic bjhuOnMzY3JldC1wYXNz s3cret-pass" }]);
    for _ in 0..3 {
        assert_eq!(world.post(stop.clone()).await, 200);
        world.apply().await;
    }
    let known = world.app.value("SELECT (SELECT count(*) FROM incoming) || ' ' || (SELECT count(*) FROM contacts WHERE opt_out)").await;
    assert_eq!(known, "1 1");
    let stored = world
        .app
        .value("SELECT convert_from(body, 'UTF8') FROM inbox")
        .await;
    assert!(
        stored.contains("STOP") && !stored.contains("s3cret") && !stored.contains("bjhuOn"),
        "{stored}"
    );
    let list = world.browser.get("/webhook-log").await;
    assert!(list.text().contains("flow.incoming"), "{}", list.text());
    let id = world.app.value("SELECT id FROM inbox").await;
    let page = world.browser.get(&format!("/webhook-log/{id}")).await;
    assert!(
        page.text().contains("flow.incoming:in-1"),
        "{}",
        page.text()
    );
}
