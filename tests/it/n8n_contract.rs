//! What n8n answers, row by row as it was measured in both versions, and what becomes of message and account;
//! and what flows report, before, during and after the push's own answer.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use wablast::accounts::callback_token;
use wablast::ids::{CompanyId, UserId};
use wablast::mailings::{release, settle};
use wablast::outgoing::deliver;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use secrecy::ExposeSecret as _;

use crate::support::instance::free_port;
use crate::support::{TestApp, until};

const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// No content type at all.
const NONE: &str = "";
/// n8n adds its stack trace to every error.
const TRACE: &str = "ResponseError: x\\n    at LiveWebhooks.findWebhook (/usr/local/lib/node_modules/n8n/dist/webhooks/live-webhooks.js:74:19)";

/// One row of the table: what n8n says, and what that means.
struct Row {
    name: &'static str,
    status: u16,
    kind: &'static str,
    body: String,
    /// Outcome of the attempt, its code, the message's state, the account's health.
    means: [&'static str; 4],
    /// A word of the reason.
    says: &'static str,
}

fn row(
    name: &'static str,
    (status, kind, body): (u16, &'static str, &str),
    means: [&'static str; 4],
    says: &'static str,
) -> Row {
    Row {
        name,
        status,
        kind,
        body: body.replace("TRACE", TRACE),
        means,
        says,
    }
}

const ACCEPTED: [&str; 4] = ["accepted", "", "accepted", "running"];
const HANDED_OVER: [&str; 4] = ["uncertain", "handed_over", "uncertain", "running"];
const REFUSED: [&str; 4] = ["refused", "gateway_error", "failed", "running"];
const MALFORMED: [&str; 4] = ["refused", "gateway_refused", "failed", "running"];
const AUTH: [&str; 4] = ["account_stop", "auth", "queued", "stopped"];
const INACTIVE: [&str; 4] = ["account_stop", "workflow_inactive", "queued", "stopped"];
const UNCERTAIN: [&str; 4] = ["uncertain", "gateway_error", "uncertain", "running"];
const UNREADABLE: [&str; 4] = ["uncertain", "bad_response", "uncertain", "running"];
const LATER: [&str; 4] = ["not_sent", "rate_limited", "queued", "running"];
const AWAY: [&str; 4] = ["not_sent", "unreachable", "queued", "running"];

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let not_registered = r#"{"code":404,"message":"The requested webhook \"POST wa-blast\" is not registered.","hint":"The workflow must be active for a production URL to run successfully.","stacktrace":"TRACE"}"#;
    let not_listening = r#"{"code":404,"message":"The requested webhook \"wa-blast\" is not registered.","hint":"Click the 'Execute workflow' button on the canvas, then try again.","stacktrace":"TRACE"}"#;
    vec![
        row("ok, Respond to Webhook", (200, JSON, r#"{"status":"success","sent_id":"42","waha_id":"true_6281@c.us_3EB0OK"}"#), ACCEPTED, ""),
        row("no Authorization", (401, NONE, "Authorization is required!"), AUTH, "User and Password (it answered 401)"),
        row("1.x wrong user or password", (403, NONE, "Authorization data is wrong!"), AUTH, "User and Password (it answered 403)"),
        row("2.x wrong user or password", (401, NONE, "Authentication data is wrong!"), AUTH, "User and Password (it answered 401)"),
        row("unknown path, inactive", (404, JSON, not_registered), INACTIVE, "Activate it in n8n"),
        row("test address not listening", (404, JSON, not_listening), INACTIVE, "Activate it in n8n"),
        row("only another method", (404, JSON, r#"{"code":404,"message":"This webhook is not registered for POST requests. Did you mean to make a GET request?","stacktrace":"TRACE"}"#), INACTIVE, "404"),
        row("n8n still starting", (404, HTML, "<!DOCTYPE html>\n<pre>Cannot POST /webhook/wa-blast</pre>"), INACTIVE, "still be starting"),
        row("malformed JSON", (422, JSON, r#"{"code":422,"message":"Failed to parse request body","hint":"Unexpected end of JSON input","stacktrace":"TRACE"}"#), MALFORMED, "answered 422: Failed to parse request body"),
        row("body over 16 MiB", (500, JSON, r#"{"code":0,"message":"There was a problem executing the workflow"}"#), UNCERTAIN, "There was a problem executing the workflow"),
        row("node error, lastNode", (500, JSON, r#"{"message":"Error in workflow"}"#), UNCERTAIN, "answered 500: Error in workflow"),
        row("1.x node error before Respond", (200, JSON, ""), HANDED_OVER, "will report"),
        row("2.x node error before Respond", (500, JSON, r#"{"message":"Error in workflow","stacktrace":"TRACE"}"#), UNCERTAIN, "Error in workflow"),
        row("branch without Respond", (200, JSON, ""), HANDED_OVER, "will report"),
        row("no Respond node", (500, JSON, r#"{"code":0,"message":"No Respond to Webhook node found in the workflow","stacktrace":"TRACE"}"#), UNCERTAIN, "No Respond to Webhook node"),
        row("onReceived", (200, JSON, r#"{"message":"Workflow was started"}"#), HANDED_OVER, "will report"),
        row("onReceived with its own data", (200, HTML, r#"{"status":"queued"}"#), HANDED_OVER, "will report"),
        row("lastNode with our callback's answer", (200, JSON, r#"{"jsonrpc":"2.0","id":1,"status":"success","result":"Log sent successfully"}"#), HANDED_OVER, "will report"),
        row("error branch", (502, JSON, r#"{"status":"error","sent_id":"42"}"#), REFUSED, "The flow reported a failure"),
        row("1.x stopped with WAHA under way", (500, JSON, r#"{"code":0,"message":"The execution was cancelled because the system is shutting down"}"#), UNCERTAIN, "shutting down"),
        row("text/html 200", (200, HTML, "<html><body>Hello</body></html>"), HANDED_OVER, "will report"),
        row("no content", (204, NONE, ""), HANDED_OVER, "will report"),
        row("a proxy's 502", (502, HTML, "<html>Bad Gateway</html>"), UNCERTAIN, "answered 502"),
        row("a proxy's 503", (503, HTML, ""), UNCERTAIN, "answered 503"),
        row("a proxy's 504", (504, NONE, ""), UNCERTAIN, "answered 504"),
        row("429", (429, NONE, ""), LATER, "answered 429"),
        row("redirect", (302, HTML, ""), UNREADABLE, "points to another address"),
        row("permanent redirect", (308, HTML, ""), UNREADABLE, "points to another address"),
        row("all items, the first speaks", (200, JSON, r#"[{"status":"success","waha_id":"3EB0LIST"},{"status":"error"}]"#), ACCEPTED, ""),
        row("an explicit failure", (200, JSON, r#"{"status":"error","error":"no session","stack":"TRACE"}"#), REFUSED, "no session"),
        row("success without an id", (200, JSON, r#"{"status":"success","sent_id":"42"}"#), HANDED_OVER, "will report"),
    ]
}

/// A company with its callback token, and accounts at whatever webhook.
struct World {
    app: TestApp,
    list: i64,
    token: String,
}

impl World {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let list = app.list_of(1).await;
        let token = {
            let mut conn = app.app.db.system().await.unwrap();
            let token = callback_token::make(&mut conn, CompanyId(1), UserId(1)).await;
            token.unwrap().expose_secret().to_owned()
        };
        Self { app, list, token }
    }

    async fn account(&self, url: &str) -> i64 {
        let account = json!({ "name": url, "provider": "waha", "send_through": "webhook", "delivery": "direct", "webhook_url": url,
            "session": url, "webhook_user": "n8n", "webhook_password": "s3cret:pä", "pace": { "per_second": 5000, "burst": 5000 } });
        let account = self.app.ok("POST", "/accounts", Some(&account)).await;
        account["id"].as_i64().unwrap()
    }

    /// One message through a new account at `url`; the message's id.
    async fn send_to(&self, url: &str) -> i64 {
        let account = self.account(url).await;
        let mailing = self
            .app
            .mailing(account, self.list, "Hi {{contact.name}}")
            .await;
        let path = format!("/mailings/{mailing}/send_now");
        self.app.ok("POST", &path, None).await;
        release::advance(&self.app.app).await.unwrap();
        let id = format!("SELECT id FROM outgoing WHERE mailing_id = {mailing}");
        self.app.value(&id).await.parse().unwrap()
    }

    /// Delivers until every attempt has ended and there are so many.
    async fn deliver(&self, attempts: usize) {
        let ended = "SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL";
        self.deliver_while(async || {
            let all = || async { self.app.value(ended).await == attempts.to_string() };
            self.app
                .until(&format!("{attempts} attempts ended"), all)
                .await;
        })
        .await;
        settle::all(&self.app.app).await.unwrap();
    }

    async fn deliver_while(&self, what: impl AsyncFnOnce()) {
        let (stop, stopped) = watch::channel(false);
        let deliverer = tokio::spawn(deliver::run(self.app.app.clone(), stopped));
        what().await;
        stop.send(true).unwrap();
        deliverer.await.unwrap();
    }

    /// Outcome, code, state and health of a message, and why.
    async fn became(&self, id: i64) -> ([String; 4], String) {
        let of = |column: &str| {
            format!(
                "SELECT coalesce({column}, '') FROM outgoing o JOIN accounts ac ON ac.id = o.account_id
                 LEFT JOIN attempts a ON a.outgoing_id = o.id WHERE o.id = {id}"
            )
        };
        let mut all = Vec::new();
        for column in ["a.outcome", "a.code", "o.state", "ac.health", "a.reason"] {
            all.push(self.app.value(&of(column)).await);
        }
        let reason = all.pop().unwrap();
        (all.try_into().unwrap(), reason)
    }

    async fn state(&self, id: i64) -> String {
        self.app
            .value(&format!("SELECT state FROM outgoing WHERE id = {id}"))
            .await
    }

    async fn call_back(&self, message: Value) -> u16 {
        let body = json!({ "messages": [message], "token": self.token }).to_string();
        let json = [("Content-Type", "application/json")];
        self.app
            .post_raw("/isi/create_logsent", &json, body.into_bytes())
            .await
    }
}

async fn n8n_that_answers(rows: &[Row]) -> MockServer {
    let n8n = MockServer::start().await;
    for (n, row) in rows.iter().enumerate() {
        let mut answer = ResponseTemplate::new(row.status);
        answer = match row.kind {
            NONE => answer.set_body_bytes(row.body.clone()),
            kind => answer.set_body_raw(row.body.clone(), kind),
        };
        if (300..400).contains(&row.status) {
            answer = answer.insert_header("Location", format!("{}/elsewhere", n8n.uri()).as_str());
        }
        let here = path(format!("/webhook/row-{n}"));
        Mock::given(here).respond_with(answer).mount(&n8n).await;
    }
    n8n
}

#[tokio::test]
async fn every_row_of_the_table_has_its_outcome_its_health_and_its_state() {
    let world = World::new().await;
    let rows = rows();
    let n8n = n8n_that_answers(&rows).await;
    let mut messages = Vec::new();
    for n in 0..rows.len() {
        messages.push(
            world
                .send_to(&format!("{}/webhook/row-{n}", n8n.uri()))
                .await,
        );
    }
    world.deliver(rows.len()).await;
    for (row, id) in rows.iter().zip(&messages) {
        let (became, reason) = world.became(*id).await;
        assert_eq!(became, row.means, "{}: {reason}", row.name);
        assert!(reason.contains(row.says), "{}: {reason}", row.name);
        for inside in [
            "/usr/local",
            "stacktrace",
            "LiveWebhooks",
            "<html",
            "s3cret",
        ] {
            assert!(!reason.contains(inside), "{}: {reason}", row.name);
        }
    }
    world.app.holds().await;
    let asked = n8n.received_requests().await.unwrap();
    assert_eq!(
        asked.len(),
        rows.len(),
        "one request a message, no redirect followed"
    );
    for request in &asked {
        // UTF-8 before base64, and always JSON.
        assert_eq!(
            request.headers["authorization"],
            "Basic bjhuOnMzY3JldDpww6Q="
        );
        assert_eq!(request.headers["content-type"], "application/json");
        let key = request.headers["idempotency-key"].to_str().unwrap();
        let body: Value = request.body_json().unwrap();
        let contact: Value = serde_json::from_str(body["contact"].as_str().unwrap()).unwrap();
        assert_eq!(key, format!("wablast-{}-1", contact["sent_id"]));
    }
    // What is uncertain is settled by its report, whatever the answer was; what was queued or failed for good is
    // not called sent by somebody who repeats himself.
    for (row, id) in rows.iter().zip(&messages) {
        if row.means[0] == "uncertain" {
            let report = json!({ "id": id.to_string(), "result_from": "waha", "json_message": { "id": format!("true_1@c.us_R{id}") } });
            for _ in 0..3 {
                assert_eq!(world.call_back(report.clone()).await, 200);
            }
            assert_eq!(world.state(*id).await, "sent", "{}", row.name);
        }
    }
    let attempts = world.app.value("SELECT count(*) FROM attempts").await;
    assert_eq!(
        attempts,
        rows.len().to_string(),
        "nothing was tried again by it"
    );
    world.app.holds().await;
}

/// Takes a request whole and answers what `answer` says, then closes.
async fn raw_server(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = vec![0; 64 * 1024];
            let _ = stream.read(&mut seen).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    format!("http://{address}/webhook/x")
}

#[tokio::test]
async fn what_is_no_answer_at_all_has_its_class_too() {
    let world = World::new().await;
    let big = "x".repeat(300 * 1024);
    let oversized = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{big}",
        big.len()
    );
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"status\":".to_vec();
    let mut messages = Vec::new();
    for (name, url, means) in [
        (
            "n8n is down",
            format!("http://127.0.0.1:{}/webhook/x", free_port()),
            AWAY,
        ),
        (
            "closed after the request",
            raw_server(Vec::new()).await,
            UNREADABLE,
        ),
        ("cut in the middle", raw_server(cut).await, UNREADABLE),
        (
            "an oversized answer",
            raw_server(oversized.into_bytes()).await,
            UNREADABLE,
        ),
        (
            "not HTTP",
            raw_server(b"SSH-2.0-OpenSSH\r\n".to_vec()).await,
            UNREADABLE,
        ),
    ] {
        messages.push((name, world.send_to(&url).await, means));
    }
    world.deliver(messages.len()).await;
    for (name, id, means) in messages {
        let (became, reason) = world.became(id).await;
        assert_eq!(became, means, "{name}: {reason}");
    }
    world.app.holds().await;
}

#[tokio::test]
async fn a_flow_that_says_nothing_for_thirty_seconds_leaves_uncertain_until_it_reports() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhook/x", listener.local_addr().unwrap());
    // Takes the push whole, and holds the line.
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = vec![0; 64 * 1024];
            let _ = stream.read(&mut seen).await;
            held.push(stream);
        }
    });
    let id = world.send_to(&url).await;
    let began = std::time::Instant::now();
    world
        .deliver_while(async || {
            let ended = "SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL";
            until("the push was given up", Duration::from_secs(60), || async {
                world.app.value(ended).await == "1"
            })
            .await;
        })
        .await;
    assert!(
        began.elapsed() >= Duration::from_secs(29),
        "30 s are its due"
    );
    let (became, reason) = world.became(id).await;
    assert_eq!(
        became,
        ["uncertain", "timeout", "uncertain", "running"],
        "{reason}"
    );
    let report = json!({ "id": id.to_string(), "result_from": "waha", "json_message": { "id": "true_1@c.us_LATE" } });
    assert_eq!(world.call_back(report).await, 200);
    assert_eq!(world.state(id).await, "sent");
    assert_eq!(world.app.value("SELECT count(*) FROM attempts").await, "1");
    world.app.holds().await;
    silent.abort();
}

#[tokio::test]
async fn a_report_during_the_push_holds_whatever_the_push_s_own_answer_says() {
    for (name, status, body, failed) in [
        ("200 empty", 200, "", false),
        ("500", 500, r#"{"message":"Error in workflow"}"#, false),
        (
            "its own success",
            200,
            r#"{"status":"success","waha_id":"true_1@c.us_3EB0D"}"#,
            false,
        ),
        (
            "an error branch after a failure",
            502,
            r#"{"status":"error"}"#,
            true,
        ),
        ("200 empty after a failure", 200, "", true),
    ] {
        let world = World::new().await;
        let n8n = MockServer::start().await;
        let slow = ResponseTemplate::new(status)
            .set_body_raw(body, JSON)
            .set_delay(Duration::from_millis(1200));
        Mock::given(path("/webhook/x"))
            .respond_with(slow)
            .mount(&n8n)
            .await;
        let id = world.send_to(&format!("{}/webhook/x", n8n.uri())).await;
        let expected = if failed { "failed" } else { "sent" };
        world
            .deliver_while(async || {
                world.app.until("the push is under way", || async { world.state(id).await == "sending" }).await;
                let report = if failed {
                    json!({ "id": id, "result_from": "error", "error": "422 - Session status is not as expected" })
                } else {
                    json!({ "id": id, "result_from": "waha", "json_message": { "id": "true_1@c.us_3EB0D" } })
                };
                // Nothing of ours is locked while the flow has the message.
                assert_eq!(world.call_back(report.clone()).await, 200, "{name}");
                assert_eq!(world.state(id).await, expected, "{name}");
                let ended = "SELECT count(*) FROM attempts WHERE ended_at IS NOT NULL";
                world.app.until("the push ended", || async { world.app.value(ended).await == "1" }).await;
                assert_eq!(world.call_back(report).await, 200, "{name}");
            })
            .await;
        assert_eq!(world.state(id).await, expected, "{name}");
        assert_eq!(n8n.received_requests().await.unwrap().len(), 1, "{name}");
        world.app.holds().await;
    }
}

#[tokio::test]
async fn our_own_credentials_that_a_flow_sends_back_are_stored_nowhere() {
    let world = World::new().await;
    let n8n = MockServer::start().await;
    Mock::given(path("/webhook/x"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&n8n)
        .await;
    let id = world.send_to(&format!("{}/webhook/x", n8n.uri())).await;
    world.deliver(1).await;
    let pushed = &n8n.received_requests().await.unwrap()[0];
    let credentials = pushed.headers["authorization"].to_str().unwrap();
    // What an error branch passes on as $json: the webhook's item, as an object and as text.
    let item = json!({ "headers": { "authorization": credentials, "x-webhook-hmac": pushed.headers["x-webhook-hmac"].to_str().unwrap() },
        "body": pushed.body_json::<Value>().unwrap() });
    for json_message in [item.clone(), json!(item.to_string())] {
        let report = json!({ "id": id, "result_from": "error", "error": format!("401 - {credentials}"), "json_message": json_message });
        assert_eq!(world.call_back(report).await, 200);
    }
    assert_eq!(world.state(id).await, "failed");
    let stored = world
        .app
        .value("SELECT string_agg(convert_from(body, 'UTF8'), ' ') || (SELECT string_agg(coalesce(reason, ''), ' ') FROM outgoing) || (SELECT string_agg(coalesce(failure, ''), ' ') FROM attempts) FROM inbox")
        .await;
    assert_eq!(world.app.value("SELECT count(*) FROM inbox").await, "2");
    for secret in ["bjhuOnMz", "s3cret", &world.token] {
        assert!(!stored.contains(secret), "{secret} in {stored}");
    }
    assert!(
        stored.contains("wa_config_id"),
        "the rest of it is there: {stored}"
    );
}

#[tokio::test]
async fn what_we_post_and_take_stays_far_below_what_n8n_takes() {
    let world = World::new().await;
    let n8n = MockServer::start().await;
    Mock::given(path("/webhook/x"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&n8n)
        .await;
    let account = world.account(&format!("{}/webhook/x", n8n.uri())).await;
    // The longest text there is, of letters that are longest in JSON in a string in JSON.
    let text = "\"".repeat(4096);
    let mailing = world.app.mailing(account, world.list, &text).await;
    world
        .app
        .ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&world.app.app).await.unwrap();
    world.deliver(1).await;
    let pushed = n8n.received_requests().await.unwrap().remove(0);
    let (size, bound) = (pushed.body.len(), 16 * 1024 * 1024);
    assert!(size > 4096 && size < bound / 100, "{size} bytes");
    // A flow's callback is bounded as well; what is larger changes nothing.
    let id: i64 = world
        .app
        .value("SELECT id FROM outgoing")
        .await
        .parse()
        .unwrap();
    let large = json!({ "id": id, "result_from": "waha", "body": "x".repeat(1024 * 1024) });
    assert_eq!(world.call_back(large).await, 413);
    assert_eq!(world.state(id).await, "uncertain");
}
