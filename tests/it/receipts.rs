//! Receipts in any order, any number of times, before and after our own commit, end the same.

use serde_json::json;
use wablast::gateways::waha::events;
use wablast::simulator::Options;

use crate::support::{TestApp, simulator};

async fn sent_message() -> (TestApp, i64, String, String, String) {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        acks: false,
        version: "2026.2.1".into(),
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    let id = app.value("SELECT provider_id FROM outgoing").await;
    let key = app.value("SELECT account_key FROM accounts").await;
    // The tests know the key that the account was made with.
    app.execute("UPDATE accounts SET webhook_secret = NULL")
        .await;
    let account = wablast::ids::AccountId(account);
    let place = wablast::crypt::Place {
        table: "accounts",
        row: account.0,
        column: "webhook_secret",
        company: 1,
    };
    let sealed = app
        .app
        .crypt
        .seal(place, &secrecy::SecretString::from("hook-key"))
        .unwrap();
    app.execute(&format!(
        "UPDATE accounts SET webhook_secret = '\\x{}'",
        hex::encode(sealed)
    ))
    .await;
    (app, mailing, id, key, "hook-key".to_owned())
}

async fn post(app: &TestApp, key: &str, secret: &str, event: u32, id: &str, ack: i64) -> u16 {
    let body = json!({ "id": format!("evt_{event}"), "event": "message.ack", "session": "default", "timestamp": 1_795_395_741_579_i64,
        "payload": { "id": format!("true_1@c.us_{id}"), "fromMe": true, "ack": ack } })
    .to_string()
    .into_bytes();
    let signature = events::sign(secret.as_bytes(), &body);
    app.post_raw(
        &format!("/webhooks/waha/{key}"),
        &[("X-Webhook-Hmac", &signature)],
        body,
    )
    .await
}

#[tokio::test]
async fn receipts_in_any_order_end_the_same() {
    let orders: [&[i64]; 6] = [
        &[1, 2, 3],
        &[3, 2, 1],
        &[2, 3, 1, 1],
        &[3, -1, 2],
        &[-1, 3],
        &[2, 3, 3, 2, -1, 1],
    ];
    for order in orders {
        let (app, mailing, id, key, secret) = sent_message().await;
        for (n, ack) in (0..).zip(order) {
            assert_eq!(post(&app, &key, &secret, n, &id, *ack).await, 200);
            app.apply_webhooks().await;
        }
        let shown = app.show(mailing).await;
        assert_eq!(
            (shown["counts"]["read"].as_i64(), shown["state"].as_str()),
            (Some(1), Some("done")),
            "{order:?}"
        );
    }
}

#[tokio::test]
async fn a_late_failure_turns_done_into_failed_and_a_delivery_outranks_it() {
    let (app, mailing, id, key, secret) = sent_message().await;
    post(&app, &key, &secret, 1, &id, -1).await;
    app.apply_webhooks().await;
    assert_eq!(app.show(mailing).await["state"], "failed");
    post(&app, &key, &secret, 2, &id, 2).await;
    app.apply_webhooks().await;
    let shown = app.show(mailing).await;
    assert_eq!(
        (
            shown["counts"]["delivered"].as_i64(),
            shown["state"].as_str()
        ),
        (Some(1), Some("done"))
    );
}

#[tokio::test]
async fn a_receipt_that_comes_before_its_message_is_known_is_not_lost() {
    let (app, mailing, id, key, secret) = sent_message().await;
    // As if the answer of the gateway had not been recorded yet.
    app.execute("UPDATE attempts SET provider_id = NULL, outcome = NULL, rank = 0")
        .await;
    app.execute("UPDATE outgoing SET state = 'uncertain', provider_id = NULL, accepted_at = NULL")
        .await;
    post(&app, &key, &secret, 1, &id, 2).await;
    app.apply_webhooks().await;
    assert_eq!(app.value("SELECT count(*) FROM parked_receipts").await, "1");
    app.execute(&format!("UPDATE attempts SET provider_id = '{id}'"))
        .await;
    let mut conn = app.app.db.system().await.unwrap();
    wablast::outgoing::receipts::sweep(&mut conn).await.unwrap();
    assert_eq!(app.show(mailing).await["counts"]["delivered"], 1);
}

#[tokio::test]
async fn a_webhook_without_a_good_signature_changes_nothing() {
    let (app, _, id, key, secret) = sent_message().await;
    assert_eq!(post(&app, &key, "another key", 1, &id, 3).await, 401);
    assert_eq!(post(&app, "nobody", &secret, 1, &id, 3).await, 404);
    assert_eq!(
        app.post_raw(&format!("/webhooks/waha/{key}"), &[], b"{}".to_vec())
            .await,
        401
    );
    let nonsense = b"nonsense".to_vec();
    let signature = events::sign(secret.as_bytes(), &nonsense);
    assert_eq!(
        app.post_raw(
            &format!("/webhooks/waha/{key}"),
            &[("X-Webhook-Hmac", &signature)],
            nonsense
        )
        .await,
        400
    );
    assert_eq!(app.value("SELECT count(*) FROM inbox").await, "0");
}

#[tokio::test]
async fn an_event_is_stored_once() {
    let (app, _, id, key, secret) = sent_message().await;
    for _ in 0..3 {
        assert_eq!(post(&app, &key, &secret, 9, &id, 1).await, 200);
    }
    assert_eq!(app.value("SELECT count(*) FROM inbox").await, "1");
}
