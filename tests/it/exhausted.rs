//! Every connection of a program hangs in the database: it lives, says so, turns away what it cannot keep, and
//! goes on by itself when they come back.

use std::time::Duration;

use futures_util::future::{join, join_all};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha512;

use crate::instances::shared;
use crate::proof::{Api, check};
use crate::support::{TestApp, arrived, until};

const PEOPLE: usize = 3_000;
/// More requests than a program has connections.
const ASKED: usize = 40;
const SOON: Duration = Duration::from_secs(30);
/// Whoever asks for a row of these waits: the deliverer, the intake, the doors.
const HANG: &str = "BEGIN; LOCK TABLE outgoing, accounts, inbox, users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(15); COMMIT";
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_connections_all_hang_loses_nobody_and_doubles_nobody() {
    let (app, waha, shared, token) = shared().await;
    let mut instance = shared.start("serve").await;
    let api = Api::new(&instance.url, token);
    let pace = json!({ "per_second": 300, "burst": 16 });
    let account = api.account("Toko", &waha.url(), pace).await;
    let list = api.list_of(PEOPLE).await;
    let path = api.mailing(&account, &list).await;
    api.post(&format!("{path}/send_now"), json!({})).await;
    let sent = async || arrived(&waha).await["total"].as_u64().unwrap();
    until("some have arrived", SOON, || async { sent().await > 300 }).await;

    let stuck = join(
        app.execute(HANG),
        meanwhile(&app, &instance.url, &api, &account),
    );
    let ((), (answers, stored)) = stuck.await;
    assert!(instance.is_alive());
    let kept = app
        .value("SELECT count(*) FROM inbox WHERE event = 'session.status'")
        .await;
    assert_eq!(
        kept,
        stored.to_string(),
        "a webhook that was answered with 200 is kept, any other is not"
    );
    // Who got a connection waited with it.
    assert!(
        answers.iter().all(|status| [200, 503].contains(status)),
        "{answers:?}"
    );
    assert!(answers.contains(&503), "{answers:?}");

    let before = sent().await;
    until("it goes on", SOON, || async { sent().await > before + 300 }).await;
    assert_eq!(api.ask(Method::GET, "/readyz", None).await.0, 200);
    api.until_nothing_is_open(&path, PEOPLE).await;
    assert_eq!(check(&api, &path, &waha, PEOPLE).await, 0, "uncertain");
    shared.run(&["check"], "");
    instance.stop();
}

/// Asks for more than there are connections: what the API answered, and how many webhooks were answered with 200.
async fn meanwhile(app: &TestApp, url: &str, api: &Api, account: &Value) -> (Vec<u16>, usize) {
    until("connections hang", SOON, || async {
        app.value(WAITING).await.parse::<u32>().unwrap() > 2
    })
    .await;
    let pages = join_all((0..ASKED).map(|_| api.ask(Method::GET, "/api/v1/accounts", None)));
    let hooks = join_all((0..ASKED).map(|n| post(url, account, n)));
    let health = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        api.ask(Method::GET, "/readyz", None).await
    };
    let ((pages, hooks), (status, health)) = join(join(pages, hooks), health).await;
    assert_eq!(
        (status, &health["database"]["state"]),
        (503, &json!("busy")),
        "{health}"
    );
    let stored = hooks.iter().filter(|status| **status == 200).count();
    assert!(
        hooks.iter().all(|status| [200, 503].contains(status)),
        "{hooks:?}"
    );
    (
        pages.into_iter().map(|(status, _)| status).collect(),
        stored,
    )
}

/// A signed event; the status it is answered with.
#[expect(clippy::disallowed_methods, reason = "the test's own client")]
async fn post(url: &str, account: &Value, n: usize) -> u16 {
    let body =
        json!({ "id": format!("evt_{n}"), "event": "session.status", "session": account["session"],
        "payload": { "status": "WORKING" } })
        .to_string();
    let secret = account["webhook_secret"].as_str().unwrap();
    let mut mac = Hmac::<Sha512>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let key = account["account_key"].as_str().unwrap();
    let request = reqwest::Client::new()
        .post(format!("{url}/webhooks/waha/{key}"))
        .header("X-Webhook-Hmac", hex::encode(mac.finalize().into_bytes()))
        .header("X-Webhook-Hmac-Algorithm", "sha512")
        .body(body);
    request.send().await.unwrap().status().as_u16()
}
