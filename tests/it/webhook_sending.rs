//! Sending through a webhook: what a flow answers, what it reports and when, and that nobody gets
//! anything twice by it.

use std::time::Duration;

use base64::Engine as _;
use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;
use wablast::accounts::callback_token;
use wablast::gateways::waha::events::sign;
use wablast::ids::{AccountId, CompanyId, UserId};
use wablast::mailings::{release, settle};
use wablast::outgoing::pace::Gates;
use wablast::outgoing::{begin, claim, deliver, queue};
use wablast::simulator::{Options, Running};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::proof::set_up;
use crate::support::browser::Browser;
use crate::support::instance::{Instance, free_port};
use crate::support::{TestApp, arrived, simulator, tell, until};

const USER: &str = "n8n";
const HOOK_PASSWORD: &str = "s3cret:pä";

/// A company whose account sends through the simulated flow, and its callback token.
struct World {
    app: TestApp,
    n8n: Running,
    account: i64,
    token: String,
}

pub async fn account_at(app: &TestApp, webhook_url: &str, more: &Value) -> i64 {
    let mut account = json!({ "name": "Toko", "provider": "waha", "send_through": "webhook", "delivery": "direct",
        "webhook_url": webhook_url, "webhook_user": USER, "webhook_password": HOOK_PASSWORD,
        "pace": { "per_second": 5000, "burst": 5000 } });
    for (name, value) in more.as_object().unwrap() {
        account[name] = value.clone();
    }
    app.ok("POST", "/accounts", Some(&account)).await["id"]
        .as_i64()
        .unwrap()
}

impl World {
    async fn new(mode: &str, report: &str) -> Self {
        Self::with(mode, report, &json!({})).await
    }

    async fn with(mode: &str, report: &str, more: &Value) -> Self {
        let app = TestApp::new().await;
        let n8n = simulator(Options::default()).await;
        let account = account_at(&app, &format!("{}/webhook/wa-blast", n8n.url()), more).await;
        let token = {
            let mut conn = app.app.db.system().await.unwrap();
            let token = callback_token::make(&mut conn, CompanyId(1), UserId(1)).await;
            token.unwrap().expose_secret().to_owned()
        };
        let world = Self {
            app,
            n8n,
            account,
            token,
        };
        world.behave(mode, report).await;
        world
    }

    async fn behave(&self, mode: &str, report: &str) {
        let flow = json!({ "mode": mode, "report": report, "user": USER, "password": HOOK_PASSWORD,
            "callback_url": self.app.address, "callback_token": self.token });
        tell(&self.n8n, "/simulator/flow", &flow).await;
    }

    /// A mailing to so many people that has begun.
    async fn send_to(&self, people: usize) -> i64 {
        let list = self.app.list_of(people).await;
        let mailing = self
            .app
            .mailing(self.account, list, "Hi {{contact.name}} 🌸")
            .await;
        self.app
            .ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        release::advance(&self.app.app).await.unwrap();
        mailing
    }

    async fn counts(&self, mailing: i64) -> Value {
        self.app.show(mailing).await["counts"].clone()
    }

    /// Delivers until `what` holds.
    async fn deliver_until<F: Future<Output = bool>>(&self, what: &str, condition: impl Fn() -> F) {
        let (stop, stopped) = watch::channel(false);
        let deliverer = tokio::spawn(deliver::run(self.app.app.clone(), stopped));
        self.app.until(what, condition).await;
        stop.send(true).unwrap();
        deliverer.await.unwrap();
    }

    async fn health(&self) -> String {
        self.app
            .value(&format!(
                "SELECT health FROM accounts WHERE id = {}",
                self.account
            ))
            .await
    }

    async fn log(&self) -> String {
        self.app.value("SELECT error_message FROM logs").await
    }

    /// Posts a callback as a flow does.
    async fn call_back(&self, name: &str, token: &str, messages: &Value) -> (u16, Value) {
        let body = json!({ "messages": messages, "token": token });
        post(&self.app, &format!("/isi/{name}"), &body).await
    }

    async fn doubled(&self) -> i64 {
        arrived(&self.n8n).await["doubled"].as_i64().unwrap()
    }
}

async fn post(app: &TestApp, path: &str, body: &Value) -> (u16, Value) {
    let answer = reqwest_client()
        .post(format!("{}{path}", app.address))
        .json(body)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

#[expect(clippy::disallowed_methods, reason = "the tests' own client")]
fn reqwest_client() -> reqwest::Client {
    reqwest::Client::new()
}

/// A database that holds nothing of what was sent along as a credential.
async fn no_credential_is_stored(app: &TestApp) {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{HOOK_PASSWORD}"));
    let kept = app
        .value("SELECT string_agg(convert_from(body, 'UTF8') || headers::text, ' ') FROM inbox")
        .await;
    let said = app
        .value(
            "SELECT coalesce(string_agg(coalesce(o.reason, '') || coalesce(a.reason, '') || coalesce(a.failure, ''), ' '), '')
               || (SELECT coalesce(string_agg(error_message, ' '), '') FROM logs)
             FROM outgoing o JOIN attempts a ON a.outgoing_id = o.id",
        )
        .await;
    for text in [kept, said] {
        for secret in [basic.as_str(), HOOK_PASSWORD, "cbt_"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn a_report_counts_before_during_and_after_the_push_s_own_answer() {
    for (mode, report, state, count) in [
        ("started", "before", "done", "sent"),
        ("started", "after", "done", "sent"),
        ("empty", "before", "done", "sent"),
        ("empty", "after", "done", "sent"),
        ("success", "before", "done", "sent"),
        ("success", "after", "done", "sent"),
        ("success", "never", "done", "accepted"),
        ("crash", "before", "done", "sent"),
        ("crash", "after", "done", "sent"),
        ("reset", "after", "done", "sent"),
        ("error", "before", "failed", "failed"),
        ("error", "after", "failed", "failed"),
        ("error", "never", "failed", "failed"),
        ("error_later", "before", "failed", "failed"),
        ("error_later", "after", "failed", "failed"),
    ] {
        let world = World::new(mode, report).await;
        let mailing = world.send_to(3).await;
        world
            .deliver_until(&format!("{mode} {report}: three are {count}"), || async {
                settle::all(&world.app.app).await.unwrap();
                let shown = world.app.show(mailing).await;
                shown["counts"][count] == 3 && shown["state"] == state
            })
            .await;
        let failed = count == "failed";
        assert_eq!(
            arrived(&world.n8n).await["total"],
            if failed { 0 } else { 3 },
            "{mode} {report}"
        );
        assert_eq!(world.doubled().await, 0, "{mode} {report}");
        let ids = world
            .app
            .value("SELECT count(provider_id) FROM outgoing")
            .await;
        assert_eq!(ids, if failed { "0" } else { "3" }, "{mode} {report}");
        assert_eq!(
            world.app.value("SELECT count(*) FROM attempts").await,
            "3",
            "{mode} {report}"
        );
        no_credential_is_stored(&world.app).await;
    }
}

#[tokio::test]
async fn the_flow_gets_the_add_on_s_payload_with_credentials_and_signature() {
    let app = TestApp::new().await;
    let n8n = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&n8n)
        .await;
    let account = account_at(
        &app,
        &format!("{}/webhook/x", n8n.uri()),
        &json!({ "session": "toko", "webhook_secret": "hook-key" }),
    )
    .await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hi {{contact.name}}").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    let sent = app.deliver(mailing).await;
    assert_eq!(
        (
            sent["counts"]["handed_over"].as_i64(),
            sent["counts"]["uncertain"].as_i64()
        ),
        (Some(1), Some(0)),
        "{sent}"
    );
    let requests = n8n.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{HOOK_PASSWORD}"));
    assert_eq!(header("authorization"), format!("Basic {basic}"));
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-webhook-hmac"), sign(b"hook-key", &request.body));
    let body: Value = request.body_json().unwrap();
    let contact: Value = serde_json::from_str(body["contact"].as_str().unwrap()).unwrap();
    assert_eq!(
        header("idempotency-key"),
        format!("wablast-{}-1", contact["sent_id"])
    );
    assert_eq!(
        (
            body["session"].as_str(),
            body["mailing_id"].as_i64(),
            body["wa_config_id"].as_i64(),
            body["mailing_list_name"].as_str()
        ),
        (
            Some("toko"),
            Some(mailing),
            Some(account),
            Some("List of 1")
        )
    );
    assert_eq!(
        (
            contact["contact_whatsapp"].as_str(),
            contact["message"].as_str(),
            contact["hasmedia"].as_bool()
        ),
        (Some("6281200000000"), Some("Hi P0"), Some(false))
    );
}

#[tokio::test]
async fn what_is_handed_over_is_open_until_its_time_is_over_and_a_later_report_still_counts() {
    let world = World::with("started", "never", &json!({ "callback_minutes": 10 })).await;
    let mailing = world.send_to(3).await;
    let sent = world.app.deliver(mailing).await;
    assert_eq!(
        (
            sent["state"].as_str(),
            sent["counts"]["handed_over"].as_i64(),
            sent["counts"]["uncertain"].as_i64(),
            sent["counts"]["total"].as_i64()
        ),
        (Some("sending"), Some(3), Some(0), Some(3)),
        "{sent}"
    );
    assert_eq!(world.log().await, "", "what is handed over is no error");
    world.app.advance(TimeDelta::minutes(9)).await;
    deliver::expire_handed_over(&world.app.app).await.unwrap();
    assert_eq!(world.counts(mailing).await["handed_over"], 3);
    world.app.advance(TimeDelta::minutes(2)).await;
    deliver::expire_handed_over(&world.app.app).await.unwrap();
    settle::all(&world.app.app).await.unwrap();
    let late = world.app.show(mailing).await;
    assert_eq!(
        (
            late["state"].as_str(),
            late["counts"]["uncertain"].as_i64(),
            late["counts"]["handed_over"].as_i64()
        ),
        (Some("done"), Some(3), Some(0))
    );
    assert!(
        world.log().await.contains("did not report"),
        "{}",
        world.log().await
    );
    let id = world.app.value("SELECT min(id) FROM outgoing").await;
    let (status, answer) = world
        .call_back(
            "create_logsent",
            &world.token,
            &json!([{ "id": id, "result_from": "waha" }]),
        )
        .await;
    assert_eq!((status, answer["status"].as_str()), (200, Some("success")));
    let settled = world.counts(mailing).await;
    assert_eq!(
        (settled["sent"].as_i64(), settled["uncertain"].as_i64()),
        (Some(1), Some(2))
    );
    // Hours later nothing was sent again.
    world.app.advance(TimeDelta::hours(5)).await;
    world.app.deliver(mailing).await;
    assert_eq!(
        (
            arrived(&world.n8n).await["total"].as_i64(),
            world.doubled().await
        ),
        (Some(3), 0)
    );
}

#[tokio::test]
async fn a_flow_that_does_not_report_counts_as_sent_where_the_account_says_so() {
    let world = World::with("started", "never", &json!({ "counts_as_sent": true })).await;
    let mailing = world.send_to(2).await;
    let sent = world.app.deliver(mailing).await;
    assert_eq!(
        (sent["state"].as_str(), sent["counts"]["accepted"].as_i64()),
        (Some("done"), Some(2)),
        "{sent}"
    );
}

#[tokio::test]
async fn an_inactive_workflow_stops_the_account_says_why_and_goes_on_by_itself() {
    for mode in ["inactive", "starting"] {
        let world = World::new(mode, "before").await;
        let mailing = world.send_to(4).await;
        world
            .deliver_until("the account is stopped and the log says why", || async {
                world.health().await == "stopped" && !world.log().await.is_empty()
            })
            .await;
        let shown = world.app.show(mailing).await;
        assert_eq!(
            (
                shown["state"].as_str(),
                shown["counts"]["queued"].as_i64(),
                shown["counts"]["failed"].as_i64()
            ),
            (Some("sending"), Some(4), Some(0))
        );
        let said = world.log().await;
        assert!(
            said.contains("404")
                && said.contains(if mode == "inactive" {
                    "Activate it in n8n"
                } else {
                    "still be starting"
                }),
            "{said}"
        );
        assert!(!said.contains("/usr/local"), "{said}");
        // n8n's own words say that it is still off; a server that is starting may have started.
        world.app.advance(TimeDelta::seconds(61)).await;
        deliver::look_at_stopped(&world.app.app).await.unwrap();
        assert_eq!(world.health().await == "stopped", mode == "inactive");
        assert_eq!(
            world.app.value("SELECT sum(attempts) FROM outgoing").await,
            "1",
            "one message found out"
        );
        world.behave("started", "before").await;
        world.app.advance(TimeDelta::seconds(61)).await;
        deliver::look_at_stopped(&world.app.app).await.unwrap();
        assert_eq!(world.health().await, "running");
        world
            .deliver_until("everybody got it", || async {
                settle::all(&world.app.app).await.unwrap();
                world.app.show(mailing).await["state"] == "done"
            })
            .await;
        assert_eq!(
            (
                arrived(&world.n8n).await["total"].as_i64(),
                world.doubled().await
            ),
            (Some(4), 0)
        );
    }
}

#[tokio::test]
async fn an_account_that_is_changed_while_it_sends_goes_the_new_way_with_the_next_message() {
    let world = World::new("inactive", "never").await;
    let api = json!({ "name": "By API", "provider": "waha", "api_url": world.n8n.url(), "api_key": "simulator-key",
        "pace": { "per_second": 5, "burst": 1 } });
    let account = world.app.ok("POST", "/accounts", Some(&api)).await["id"]
        .as_i64()
        .unwrap();
    let list = world.app.list_of(30).await;
    let mailing = world.app.mailing(account, list, "Hi").await;
    world
        .app
        .ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&world.app.app).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(world.app.app.clone(), stopped));
    world
        .app
        .until("the first has left", || async {
            arrived(&world.n8n).await["total"].as_i64() > Some(0)
        })
        .await;
    let webhook = format!("{}/webhook/other", world.n8n.url());
    world
        .app
        .execute(&format!(
            "UPDATE accounts SET send_through = 'webhook', webhook_url = '{webhook}', updated_at = wablast_now() WHERE id = {account}"
        ))
        .await;
    let health = format!("SELECT health FROM accounts WHERE id = {account}");
    world
        .app
        .until("the flow stops the account", || async {
            world.app.value(&health).await == "stopped"
        })
        .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    let total = arrived(&world.n8n).await["total"].as_i64().unwrap();
    let counts = world.counts(mailing).await;
    assert!(total < 30, "the rest waits");
    assert_eq!(counts["queued"].as_i64(), Some(30 - total), "{counts}");
    assert_eq!(world.doubled().await, 0);
}

#[tokio::test]
async fn refused_credentials_stop_the_account_until_a_test_passes() {
    let world = World::new("unauthorized", "before").await;
    let mailing = world.send_to(2).await;
    world
        .deliver_until("the account is stopped", || async {
            world.health().await == "stopped" && world.log().await.contains("Authentication User")
        })
        .await;
    world.app.advance(TimeDelta::hours(1)).await;
    deliver::look_at_stopped(&world.app.app).await.unwrap();
    assert_eq!(world.health().await, "stopped", "not by itself");
    assert_eq!(world.counts(mailing).await["queued"], 2);
    world.behave("started", "before").await;
    let tested = world
        .app
        .ok("POST", &format!("/accounts/{}/test", world.account), None)
        .await;
    assert_eq!(tested["ok"], true, "{tested}");
    assert_eq!(
        arrived(&world.n8n).await["total"],
        0,
        "the test runs nothing"
    );
    world
        .deliver_until("both got it", || async {
            world.counts(mailing).await["sent"] == 2
        })
        .await;
    assert_eq!(world.doubled().await, 0);
}

#[tokio::test]
async fn other_answers_have_their_classes_too() {
    for (status, body, count) in [
        (
            422,
            r#"{"code":422,"message":"Failed to parse request body","stacktrace":"at /usr/x.js:1:1"}"#,
            "failed",
        ),
        (500, r#"{"message":"Error in workflow"}"#, "uncertain"),
        (503, "", "uncertain"),
        (504, "", "uncertain"),
        (301, "", "uncertain"),
        (502, "Bad Gateway", "uncertain"),
    ] {
        let app = TestApp::new().await;
        let n8n = MockServer::start().await;
        let answer = ResponseTemplate::new(status)
            .set_body_string(body)
            .insert_header("location", "https://elsewhere.example/");
        Mock::given(method("POST"))
            .respond_with(answer)
            .mount(&n8n)
            .await;
        let account = account_at(&app, &format!("{}/webhook/x", n8n.uri()), &json!({})).await;
        let list = app.list_of(2).await;
        let mailing = app.mailing(account, list, "Hi").await;
        app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        let sent = app.deliver(mailing).await;
        assert_eq!(sent["counts"][count], 2, "{status}: {sent}");
        assert_eq!(
            n8n.received_requests().await.unwrap().len(),
            2,
            "{status}: each once"
        );
        let said = app.value("SELECT error_message FROM logs").await;
        assert!(
            said.contains(&status.to_string()) && !said.contains("/usr"),
            "{status}: {said}"
        );
    }
}

#[tokio::test]
async fn patience_asked_for_and_a_flow_that_is_away_burn_no_message_and_show_in_the_log() {
    let world = World::new("busy", "before").await;
    let mailing = world.send_to(3).await;
    world
        .deliver_until("the account waits", || async {
            world
                .app
                .value("SELECT blocked_until IS NOT NULL FROM account_pace")
                .await
                == "t"
                && world.log().await.contains("429")
        })
        .await;
    let wait = world
        .app
        .value("SELECT extract(epoch FROM blocked_until - wablast_now()) > 3 FROM account_pace")
        .await;
    assert_eq!(
        (
            world.counts(mailing).await["queued"].as_i64(),
            wait.as_str()
        ),
        (Some(3), "t")
    );

    let away = format!("http://127.0.0.1:{}/webhook/x", free_port());
    let account = account_at(&world.app, &away, &json!({})).await;
    let list: i64 = world
        .app
        .value("SELECT min(id) FROM lists")
        .await
        .parse()
        .unwrap();
    let second = world.app.mailing(account, list, "Hi").await;
    world
        .app
        .ok("POST", &format!("/mailings/{second}/send_now"), None)
        .await;
    release::advance(&world.app.app).await.unwrap();
    let said = format!("SELECT error_message FROM logs WHERE mailing_id = {second}");
    world
        .deliver_until("the log says that nothing listens", || async {
            world.app.value(&said).await.contains("cannot be reached")
        })
        .await;
    let shown = world.app.show(second).await;
    assert_eq!(
        (
            shown["counts"]["queued"].as_i64(),
            shown["counts"]["failed"].as_i64()
        ),
        (Some(3), Some(0))
    );
}

#[tokio::test]
async fn a_report_counts_once_however_often_it_comes() {
    let world = World::new("started", "never").await;
    let mailing = world.send_to(2).await;
    world.app.deliver(mailing).await;
    let id = world.app.value("SELECT min(id) FROM outgoing").await;
    let report = json!([{ "action": "update", "id": id, "result_from": "waha", "json_message": { "id": "true_1@c.us_3EB0SAME" } }]);
    for _ in 0..5 {
        assert_eq!(
            world
                .call_back("create_logsent", &world.token, &report)
                .await
                .0,
            200
        );
        world.app.advance(TimeDelta::minutes(1)).await;
    }
    let counts = world.counts(mailing).await;
    assert_eq!(
        (counts["sent"].as_i64(), counts["total"].as_i64()),
        (Some(1), Some(2)),
        "{counts}"
    );
    // A failure that is reported twice is one failure, with the flow's words.
    let other = world.app.value("SELECT max(id) FROM outgoing").await;
    let failure = json!([{ "id": other, "result_from": "error", "error": "no session" }]);
    for _ in 0..2 {
        world
            .call_back("create_logsent", &world.token, &failure)
            .await;
        world.app.advance(TimeDelta::minutes(3)).await;
    }
    settle::all(&world.app.app).await.unwrap();
    let shown = world.app.show(mailing).await;
    assert_eq!(
        (shown["state"].as_str(), shown["counts"]["failed"].as_i64()),
        (Some("partial_failure"), Some(1))
    );
    assert_eq!(
        world
            .app
            .value(&format!("SELECT reason FROM outgoing WHERE id = {other}"))
            .await,
        "The flow reported a failure: no session"
    );
    assert_eq!(world.app.value("SELECT count(*) FROM attempts").await, "2");
}

#[tokio::test]
async fn another_company_s_token_brings_nothing_to_an_account_that_is_shared_with_it() {
    let world = World::new("started", "never").await;
    let app = &world.app;
    let list = app.list_of(1).await;
    app.execute(&format!(
        "INSERT INTO companies (name, country, time_zone) VALUES ('Other', 'ID', 'Asia/Jakarta');
         INSERT INTO account_companies (company_id, account_id) VALUES (2, {});
         UPDATE contacts SET opt_out = true, opt_out_at = now(), opt_out_reason = 'asked'",
        world.account
    ))
    .await;
    let foreign = {
        let mut conn = app.app.db.system().await.unwrap();
        let token = callback_token::make(&mut conn, CompanyId(2), UserId(1)).await;
        token.unwrap().expose_secret().to_owned()
    };
    for (text, from) in [("START", "6281200000000"), ("STOP", "6281200000099")] {
        let message = json!([{ "config_id": world.account.to_string(), "from": format!("{from}@c.us"), "body": text,
            "message_id": format!("false_{from}_A") }]);
        world.call_back("wa_incoming", &foreign, &message).await;
    }
    let stands = app
        .value("SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE opt_out)) FROM contacts")
        .await;
    assert_eq!(stands, "1 1", "of list {list}");
    assert_eq!(app.value("SELECT count(*) FROM incoming").await, "0");
}

#[tokio::test]
async fn a_report_does_not_call_failed_what_is_known_to_have_left() {
    // What WAHA took itself is no flow's to speak of.
    let world = World::new("success", "never").await;
    let waha = world.app.account(&world.n8n).await;
    let list = world.app.list_of(2).await;
    let mut sent = Vec::new();
    // And what the flow itself called sent stays so.
    for account in [waha, world.account] {
        let text = format!("Hello by {account}");
        let mailing = world.app.mailing(account, list, &text).await;
        let path = format!("/mailings/{mailing}/send_now");
        world.app.ok("POST", &path, None).await;
        world.app.deliver(mailing).await;
        sent.push(mailing);
    }
    let ids = world
        .app
        .value("SELECT string_agg(id::text, ',') FROM outgoing")
        .await;
    for id in ids.split(',') {
        let report =
            json!([{ "id": id, "status": "failed", "result_from": "error", "error": "x" }]);
        let (status, _) = world
            .call_back("create_logsent", &world.token, &report)
            .await;
        assert_eq!(status, 200);
    }
    for mailing in sent {
        let counts = world.counts(mailing).await;
        assert_eq!(counts["failed"], 0, "{counts}");
    }
    assert_eq!(arrived(&world.n8n).await["total"], 4);
}

#[tokio::test]
async fn a_wrong_token_learns_nothing_and_no_address_hands_one_out() {
    let world = World::new("started", "never").await;
    let mailing = world.send_to(1).await;
    world.app.deliver(mailing).await;
    world
        .app
        .execute("INSERT INTO companies (name, country, time_zone) VALUES ('Other', 'ID', 'Asia/Jakarta')")
        .await;
    let foreign = {
        let mut conn = world.app.app.db.system().await.unwrap();
        let token = callback_token::make(&mut conn, CompanyId(2), UserId(1))
            .await
            .unwrap();
        token.expose_secret().to_owned()
    };
    let id = world.app.value("SELECT min(id) FROM outgoing").await;
    let report = json!([{ "id": id, "result_from": "waha" }]);
    let before = world.app.mark().await;
    let mut refused = Vec::new();
    for (name, token) in [
        ("create_logsent", ""),
        ("create_logsent", "your_default_value"),
        ("create_logsent", "cbt_wrong"),
        ("wa_incoming", "cbt_wrong"),
        ("wa_config", "cbt_wrong"),
        ("cleanup_message", "cbt_wrong"),
    ] {
        refused.push(world.call_back(name, token, &report).await);
    }
    assert!(
        refused.iter().all(|answer| *answer == refused[0]) && refused[0].0 == 401,
        "{refused:?}"
    );
    assert_eq!(world.app.mark().await, before, "nothing is changed by it");
    for path in ["/isi/get_token", "/isi/token"] {
        assert_eq!(world.app.post_raw(path, &[], Vec::new()).await, 404);
    }
    assert_eq!(
        world
            .app
            .post_raw("/isi/create_logsent", &[], b"not json".to_vec())
            .await,
        400
    );
    // Another company's token and an unknown message get the very answer a known one gets.
    let (status, others) = world.call_back("create_logsent", &foreign, &report).await;
    let (_, unknown) = world
        .call_back(
            "create_logsent",
            &world.token,
            &json!([{ "id": "999999", "result_from": "waha" }]),
        )
        .await;
    assert_eq!(
        world.counts(mailing).await["handed_over"],
        1,
        "not its message"
    );
    let (_, known) = world
        .call_back("create_logsent", &world.token, &report)
        .await;
    assert_eq!((status, &others, &unknown), (200, &known, &known));
    assert_eq!(world.counts(mailing).await["sent"], 1);
    let configs = world
        .call_back("wa_config", &world.token, &json!([]))
        .await
        .1;
    assert_eq!(configs["result"][0]["name"], "Toko", "{configs}");
    assert_eq!(
        configs["result"][0].as_object().unwrap().len(),
        5,
        "{configs}"
    );
    let none = world.call_back("wa_config", &foreign, &json!([])).await.1;
    assert_eq!(none["result"], json!([]));
    // A new token ends the old one.
    let fresh = {
        let mut conn = world.app.app.db.system().await.unwrap();
        callback_token::make(&mut conn, CompanyId(1), UserId(1))
            .await
            .unwrap()
    };
    assert_eq!(
        world
            .call_back("cleanup_message", &world.token, &json!([]))
            .await
            .0,
        401
    );
    let cleaned = world
        .call_back("cleanup_message", fresh.expose_secret(), &json!([]))
        .await;
    assert_eq!(
        (
            cleaned.0,
            world
                .app
                .value("SELECT count(*) FROM outgoing")
                .await
                .as_str()
        ),
        (200, "1")
    );
}

#[tokio::test]
async fn what_was_begun_when_the_process_ended_is_settled_by_its_report() {
    let world = World::with("started", "never", &json!({ "at_once": 2 })).await;
    let mailing = world.send_to(2).await;
    let account = AccountId(world.account);
    let mut conn = world.app.app.db.system().await.unwrap();
    // Where pace has its row; then the process begins both, and is gone before it can note anything.
    queue::accounts_with_work(&mut conn).await.unwrap();
    let owner = Uuid::new_v4();
    let claimed = claim::claim(&mut conn, account, owner, 2).await.unwrap();
    let begun = begin::begin(&mut conn, owner, &claimed, &[None, None], &Gates::default())
        .await
        .unwrap();
    assert_eq!(begun.len(), 2);
    // One report comes while nobody knows yet that the process is gone.
    let id = begun[0].id;
    world
        .call_back(
            "create_logsent",
            &world.token,
            &json!([{ "id": id.to_string(), "result_from": "waha" }]),
        )
        .await;
    assert_eq!(world.counts(mailing).await["sent"], 1);
    world.app.advance(TimeDelta::seconds(90)).await;
    deliver::reap_once(&world.app.app).await.unwrap();
    let counts = world.counts(mailing).await;
    assert_eq!(
        (counts["sent"].as_i64(), counts["uncertain"].as_i64()),
        (Some(1), Some(1)),
        "{counts}"
    );
    let late = json!([{ "id": begun[1].id, "result_from": "waha" }]);
    world.call_back("create_logsent", &world.token, &late).await;
    let done = world.app.deliver(mailing).await;
    assert_eq!(
        (done["state"].as_str(), done["counts"]["sent"].as_i64()),
        (Some("done"), Some(2))
    );
    assert_eq!(
        arrived(&world.n8n).await["total"],
        0,
        "nothing was posted again"
    );
}

/// The real program, killed while a flow has both messages and has not answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_push_and_answer_is_settled_by_reports_and_posts_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let token = tokio::task::spawn_blocking(move || set_up(&data))
        .await
        .unwrap();
    let n8n = MockServer::start().await;
    let never = ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
    Mock::given(method("POST"))
        .respond_with(never)
        .mount(&n8n)
        .await;
    let port = free_port();
    let mut instance = Instance::start(folder.path(), port).await;
    let client = reqwest_client();
    let url = instance.url.clone();
    let api = async |verb: reqwest::Method, path: &str, body: Value| -> Value {
        let asked = client
            .request(verb, format!("{url}/api/v1{path}"))
            .bearer_auth(&token)
            .json(&body);
        asked.send().await.unwrap().json().await.unwrap()
    };
    let post = async |path: &str, body: Value| api(reqwest::Method::POST, path, body).await;
    let account = post(
        "/accounts",
        json!({ "name": "Toko", "provider": "waha", "send_through": "webhook", "delivery": "direct", "at_once": 2,
            "webhook_url": format!("{}/webhook/x", n8n.uri()), "webhook_secret": "hook-key", "pace": { "per_second": 500, "burst": 500 } }),
    )
    .await;
    let list = post("/lists", json!({ "name": "Two" })).await;
    let two = json!([{ "name": "A", "whatsapp_number": "6281200000001" }, { "name": "B", "whatsapp_number": "6281200000002" }]);
    post(
        "/contacts/bulk",
        json!({ "list_ids": [list["id"]], "contacts": two }),
    )
    .await;
    let mailing = post(
        "/mailings",
        json!({ "subject": "Proof", "account_id": account["id"], "recipients": { "list_ids": [list["id"]] }, "message": "Hi" }),
    )
    .await;
    let path = format!("/mailings/{}", mailing["id"]);
    post(&format!("{path}/send_now"), json!({})).await;
    let pushed = async || n8n.received_requests().await.unwrap();
    until("both are pushed", Duration::from_secs(60), || async {
        pushed().await.len() == 2
    })
    .await;
    instance.kill();
    let instance = Instance::start(folder.path(), port).await;
    let report = async |request: &wiremock::Request| {
        let body: Value = request.body_json().unwrap();
        let contact: Value = serde_json::from_str(body["contact"].as_str().unwrap()).unwrap();
        let body = json!({ "sent_id": contact["sent_id"], "status": "sent" }).to_string();
        let key = account["account_key"].as_str().unwrap();
        let answer = client
            .post(format!("{}/webhooks/n8n/{key}", instance.url))
            .header("X-Webhook-Hmac", sign(b"hook-key", body.as_bytes()))
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
    };
    let counts = async || api(reqwest::Method::GET, &path, json!({})).await;
    // One report comes before anybody noticed that the process is gone, the other long after.
    report(&pushed().await[0]).await;
    until(
        "the other is uncertain",
        Duration::from_secs(180),
        || async {
            let counts = counts().await["counts"].clone();
            counts["sent"] == 1 && counts["uncertain"] == 1
        },
    )
    .await;
    report(&pushed().await[1]).await;
    until("the mailing is done", Duration::from_secs(60), || async {
        let shown = counts().await;
        shown["state"] == "done" && shown["counts"]["sent"] == 2
    })
    .await;
    assert_eq!(pushed().await.len(), 2, "nothing was pushed again");
}

#[tokio::test]
async fn scheduler_enqueue_opens_batches_for_flows_too() {
    let world = World::with(
        "started",
        "before",
        &json!({ "delivery": "", "batch_size": 2, "at_once": 2 }),
    )
    .await;
    assert_eq!(
        world.app.value("SELECT delivery FROM accounts").await,
        "batched",
        "the default of a webhook"
    );
    let mailing = world.send_to(5).await;
    world.app.execute("UPDATE jobs SET active = true, next_run = wablast_now() WHERE name = 'scheduler_enqueue'").await;
    for expected in [2, 4, 5] {
        world.app.tick().await;
        world
            .deliver_until("a batch has left", || async {
                world.counts(mailing).await["sent"] == expected
            })
            .await;
        world.app.advance(TimeDelta::minutes(3)).await;
    }
    settle::all(&world.app.app).await.unwrap();
    assert_eq!(world.app.show(mailing).await["state"], "done");
    assert_eq!(
        (
            arrived(&world.n8n).await["total"].as_i64(),
            world.doubled().await
        ),
        (Some(5), 0)
    );
}

#[tokio::test]
async fn what_a_flow_says_is_in_the_log_without_its_insides() {
    let world = World::new("error_later", "after").await;
    let mailing = world.send_to(1).await;
    world
        .deliver_until("it failed", || async {
            world.counts(mailing).await["failed"] == 1
        })
        .await;
    settle::all(&world.app.app).await.unwrap();
    let said = world.log().await;
    assert!(said.contains("Session status is not as expected"), "{said}");
    assert!(
        !said.contains("/usr/local") && !said.contains("x.js"),
        "{said}"
    );
    no_credential_is_stored(&world.app).await;
    let mut browser = Browser::new(&world.app);
    browser.sign_in().await;
    let list = browser.get("/logs").await;
    assert!(
        list.text().contains("Session status is not as expected"),
        "the column Error Message"
    );
    let log = world.app.value("SELECT id FROM logs").await;
    assert!(
        browser
            .get(&format!("/logs/{log}"))
            .await
            .text()
            .contains("Session status is not as expected")
    );
    let event = world.app.value("SELECT id FROM inbox").await;
    let event = browser.get(&format!("/webhook-log/{event}")).await;
    assert!(
        event.text().contains("create_logsent") && !event.text().contains("Basic "),
        "{}",
        event.text()
    );
}

#[tokio::test]
async fn people_s_messages_that_a_flow_brings_are_applied_before_it_is_answered() {
    let world = World::new("started", "before").await;
    let mailing = world.send_to(1).await;
    world
        .deliver_until("it is sent", || async {
            world.counts(mailing).await["sent"] == 1
        })
        .await;
    let from = |from: &str, body: &str| json!([{ "action": "create", "from": from, "to": "628111@c.us", "name": "P0", "body": body, "hasmedia": false, "type": "text/plain" }]);
    let contact = world.app.value("SELECT id FROM contacts").await;
    for _ in 0..3 {
        let (status, answer) = world
            .call_back(
                "wa_incoming",
                &world.token,
                &from("6281200000000@c.us", "Halo"),
            )
            .await;
        assert_eq!(
            (
                status,
                answer["contact_id"].to_string(),
                answer["welcome_message"].as_str(),
                answer["isNewUser"].as_bool()
            ),
            (200, contact.clone(), Some(""), Some(false)),
            "{answer}"
        );
    }
    assert_eq!(
        world.app.value("SELECT count(*) FROM incoming").await,
        "1",
        "the same within a minute"
    );
    assert_eq!(
        world
            .app
            .value("SELECT count(*) FROM outgoing WHERE replied_at IS NOT NULL")
            .await,
        "1"
    );
    world
        .call_back(
            "wa_incoming",
            &world.token,
            &from("6281200000000@c.us", "STOP"),
        )
        .await;
    assert_eq!(world.app.value("SELECT opt_out FROM contacts").await, "t");
    let (_, stranger) = world
        .call_back(
            "wa_incoming",
            &world.token,
            &from("628555000111@c.us", "Hi"),
        )
        .await;
    assert!(stranger["contact_id"].as_i64().is_some(), "{stranger}");
    let (_, group) = world
        .call_back("wa_incoming", &world.token, &from("1-2@g.us", "Hi"))
        .await;
    assert_eq!(group["contact_id"], Value::Null);
    assert_eq!(
        world.app.value("SELECT count(*) FROM contacts").await,
        "2",
        "a group is nobody"
    );
    // Several in one request are answered one by one.
    let both = json!([from("6281200000000", "A")[0], from("628555000111", "B")[0]]);
    let (_, answer) = world.call_back("wa_incoming", &world.token, &both).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    // A message with its own id is quoted by it.
    let mut own = from("628555000111@c.us", "Hi again");
    own[0]["message_id"] = json!("false_628555000111@c.us_ABCDEF12");
    world.call_back("wa_incoming", &world.token, &own).await;
    assert_eq!(
        world
            .app
            .value("SELECT provider_id FROM incoming ORDER BY id DESC LIMIT 1")
            .await,
        "ABCDEF12"
    );
}

#[tokio::test]
async fn signed_reports_tell_delivered_and_read_too() {
    let world = World::with("started", "never", &json!({ "webhook_secret": "hook-key" })).await;
    let mailing = world.send_to(1).await;
    world.app.deliver(mailing).await;
    let id = world.app.value("SELECT id FROM outgoing").await;
    let key = world.app.value("SELECT account_key FROM accounts").await;
    let signed = async |status: &str, secret: &[u8]| {
        let body = json!({ "sent_id": id.parse::<i64>().unwrap(), "status": status, "provider_id": "3EB0X" }).to_string().into_bytes();
        let signature = sign(secret, &body);
        world
            .app
            .post_raw(
                &format!("/webhooks/n8n/{key}"),
                &[("X-Webhook-Hmac", &signature)],
                body,
            )
            .await
    };
    assert_eq!(signed("read", b"another-key").await, 401);
    assert_eq!(world.counts(mailing).await["handed_over"], 1);
    for status in ["sent", "read", "delivered"] {
        assert_eq!(signed(status, b"hook-key").await, 200);
    }
    assert_eq!(world.counts(mailing).await["read"], 1);
}

#[tokio::test]
async fn what_an_account_s_key_signs_finds_messages_of_every_company_that_uses_it_and_no_other() {
    let world = World::with("started", "never", &json!({ "webhook_secret": "hook-key" })).await;
    let app = &world.app;
    let other = app.company("Toko Melati").await;
    let budi = app
        .person_of(&other, "budi@example.com", "administrator")
        .await;
    app.execute(&format!(
        "INSERT INTO account_companies (company_id, account_id) VALUES ({other}, {})",
        world.account
    ))
    .await;
    let budi = app.as_token(&app.token_of(&other, &budi).await);
    // One message of the linked company through the shared account, one through an account of its own.
    let list = json!({ "name": "Melati" });
    let list = budi.ok("POST", "/lists", Some(&list)).await["id"].clone();
    let people = json!({ "list_ids": [list], "contacts": [{ "name": "Siti", "whatsapp_number": "6281200000077" }] });
    budi.ok("POST", "/contacts/bulk", Some(&people)).await;
    let own = json!({ "name": "Own", "provider": "waha", "send_through": "webhook", "delivery": "direct", "session": "own",
        "webhook_url": format!("{}/webhook/own", world.n8n.url()), "webhook_user": USER, "webhook_password": HOOK_PASSWORD,
        "pace": { "per_second": 5000, "burst": 5000 } });
    let own = budi.ok("POST", "/accounts", Some(&own)).await["id"].clone();
    let mut messages = Vec::new();
    for account in [json!(world.account), own] {
        let mailing = json!({ "subject": "Promo", "account_id": account, "recipients": { "list_ids": [list] }, "message": "Hi" });
        let id = budi.ok("POST", "/mailings", Some(&mailing)).await["id"].clone();
        budi.ok("POST", &format!("/mailings/{id}/send_now"), None)
            .await;
        release::advance(&app.app).await.unwrap();
        world
            .deliver_until("it is handed over", || async {
                app.value(&format!(
                    "SELECT state FROM outgoing WHERE mailing_id = {id}"
                ))
                .await
                    == "uncertain"
            })
            .await;
        let message = format!("SELECT id FROM outgoing WHERE mailing_id = {id}");
        messages.push(app.value(&message).await);
    }
    let key = app
        .value(&format!(
            "SELECT account_key FROM accounts WHERE id = {}",
            world.account
        ))
        .await;
    for (message, expected) in messages.iter().zip(["read", "uncertain"]) {
        for status in ["sent", "read"] {
            let body = json!({ "sent_id": message, "status": status, "provider_id": format!("3EB0{message}") });
            let body = body.to_string().into_bytes();
            let signature = sign(b"hook-key", &body);
            let path = format!("/webhooks/n8n/{key}");
            let headers = [("X-Webhook-Hmac", signature.as_str())];
            assert_eq!(app.post_raw(&path, &headers, body).await, 200);
        }
        let state = format!("SELECT state FROM outgoing WHERE id = {message}");
        assert_eq!(app.value(&state).await, expected);
    }
    // The owner's token still speaks of the owner's messages alone.
    let report = json!([{ "id": messages[1], "result_from": "waha", "json_message": { "id": "true_1@c.us_X" } }]);
    world
        .call_back("create_logsent", &world.token, &report)
        .await;
    let state = format!("SELECT state FROM outgoing WHERE id = {}", messages[1]);
    assert_eq!(app.value(&state).await, "uncertain");
    app.holds().await;
}

#[tokio::test]
async fn the_test_says_in_words_what_is_wrong_and_runs_nothing() {
    let world = World::new("started", "never").await;
    let test = async || {
        let tested = world
            .app
            .ok("POST", &format!("/accounts/{}/test", world.account), None)
            .await;
        (
            tested["ok"].as_bool().unwrap(),
            tested["checks"].to_string(),
        )
    };
    for (mode, ok, words) in [
        ("started", true, "is active and takes POST"),
        ("inactive", false, "not active"),
        ("starting", false, "may still be starting"),
    ] {
        world.behave(mode, "never").await;
        let (passed, checks) = test().await;
        assert!(passed == ok && checks.contains(words), "{mode}: {checks}");
        assert!(
            !checks.contains("/usr/local") && !checks.contains(HOOK_PASSWORD),
            "{checks}"
        );
    }
    assert_eq!(arrived(&world.n8n).await["total"], 0);
    let refused = json!({ "name": "X", "provider": "waha", "send_through": "webhook", "webhook_url": "http://127.0.0.1:5678/webhook-test/x" });
    let (status, answer) = world.app.call("POST", "/accounts", Some(&refused)).await;
    assert!(
        status == 422
            && answer["error"]["fields"]["webhook_url"][0]
                .as_str()
                .unwrap()
                .contains("test address"),
        "{answer}"
    );
    world
        .app
        .execute("UPDATE accounts SET webhook_url = 'http://127.0.0.1:1/webhook/x'")
        .await;
    let (passed, checks) = test().await;
    assert!(
        !passed && checks.contains("Nothing listens at 127.0.0.1 port 1"),
        "{checks}"
    );
}

#[tokio::test]
async fn a_secret_s_button_pressed_twice_makes_one_and_shows_it() {
    let world = World::new("started", "never").await;
    let mut browser = Browser::new(&world.app);
    browser.sign_in().await;
    let own = format!("/accounts/{}", world.account);
    for (button, shown) in [("callback-token", "cbt_"), ("flow-secret", "fls_")] {
        let form = browser.get(&own).await.form(&format!("{own}/{button}"));
        let first = browser.submit_once(form.clone()).await;
        assert_eq!(first.0, 303);
        let table = "SELECT coalesce((SELECT token_hash::text FROM callback_tokens), '') || coalesce((SELECT callback_secret::text FROM account_flow WHERE callback_secret IS NOT NULL), '')";
        let made = world.app.value(table).await;
        assert_eq!(browser.submit_once(form).await, first, "{button}");
        assert_eq!(world.app.value(table).await, made, "{button}: made once");
        let found = regex::Regex::new(&format!("{shown}[A-Za-z0-9]{{40}}")).unwrap();
        let page = browser.get(&own).await;
        assert!(found.is_match(&page.html), "{button}: {}", page.text());
    }
}

#[tokio::test]
async fn the_callback_token_is_shown_once_and_a_reload_makes_no_other() {
    let world = World::new("started", "never").await;
    let mut browser = Browser::new(&world.app);
    browser.sign_in().await;
    let path = format!("/accounts/{}", world.account);
    let page = browser.get(&path).await;
    assert!(page.html.contains("/isi/create_logsent"));
    let shown = browser
        .submit(page.form(&format!("{path}/callback-token")))
        .await;
    assert_eq!(
        shown.path.split('#').next(),
        Some(path.as_str()),
        "a page of its own"
    );
    let token = regex::Regex::new("cbt_[A-Za-z0-9]{40}")
        .unwrap()
        .find(&shown.html)
        .unwrap()
        .as_str()
        .to_owned();
    let made = world.app.value("SELECT made_at FROM callback_tokens").await;
    let again = browser.get(&path).await;
    assert!(!again.html.contains("cbt_"), "shown once");
    assert_eq!(
        world.app.value("SELECT made_at FROM callback_tokens").await,
        made
    );
    assert_eq!(
        world
            .call_back("cleanup_message", &token, &json!([]))
            .await
            .0,
        200
    );
    let stored = world
        .app
        .value("SELECT (SELECT string_agg(t::text, ' ') FROM callback_tokens t) || (SELECT string_agg(s::text, ' ') FROM sessions s)")
        .await;
    assert!(!stored.contains(&token), "nowhere in plain");
}
