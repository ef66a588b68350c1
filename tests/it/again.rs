//! Trying again: what failed, and what nobody knows the end of.

use serde_json::{Value, json};
use wablast::outgoing::receipts;
use wablast::simulator::{Options, Running};

use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator, tell};

/// Ten people; three are refused, two end uncertain, one of whom got the message.
async fn mixed(app: &TestApp) -> (Running, i64) {
    let waha = simulator(Options {
        version: "2026.2.1".into(),
        acks: false,
        ..Options::default()
    })
    .await;
    tell(
        &waha,
        "/simulator/faults",
        &json!({ "numbers": { "6281200000001": "refused", "6281200000002": "refused", "6281200000003": "refused",
            "6281200000004": "error_after", "6281200000005": "error_before" } }),
    )
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(10).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    let sent = app.deliver(mailing).await;
    assert_eq!(counts(&sent), [5, 3, 2], "{sent}");
    (waha, mailing)
}

/// Accepted, failed, uncertain.
fn counts(shown: &Value) -> [i64; 3] {
    ["accepted", "failed", "uncertain"].map(|state| shown["counts"][state].as_i64().unwrap())
}

/// The gateway is well from now on.
async fn heal(waha: &Running) {
    tell(waha, "/simulator/faults", &json!({ "numbers": {} })).await;
}

/// What the logs say, the oldest first: trigger, contacts, sent, failed, uncertain, state.
async fn logs(app: &TestApp) -> String {
    app.value(
        "SELECT string_agg(concat_ws(' ', l.trigger, l.state,
           (SELECT count(*) FROM (SELECT state FROM outgoing WHERE log_id = l.id UNION ALL SELECT state FROM log_ends WHERE log_id = l.id) s)), ', ' ORDER BY l.id)
         FROM logs l",
    )
    .await
}

#[tokio::test]
async fn retry_sends_only_what_failed_on_the_same_rows_with_a_log_of_its_own() {
    let app = TestApp::new().await;
    let (waha, mailing) = mixed(&app).await;
    heal(&waha).await;
    // Somebody said stop in the meantime.
    app.execute("UPDATE contacts SET opt_out = true, opt_out_at = now() WHERE whatsapp_number = '6281200000003'")
        .await;
    let retried = app
        .ok("POST", &format!("/mailings/{mailing}/retry_failed"), None)
        .await;
    assert_eq!(retried["state"], "sending", "{retried}");
    assert_eq!(retried["counts"]["queued"], 2);
    let done = app.deliver(mailing).await;
    assert_eq!(counts(&done), [7, 1, 2], "{done}");
    assert_eq!(done["counts"]["total"], 10);
    let phones = arrived(&waha).await;
    assert_eq!(
        (phones["total"].as_i64(), phones["doubled"].as_i64()),
        (Some(8), Some(0))
    );
    assert_eq!(
        logs(&app).await,
        "send_now partial_failure 10, retry done 2"
    );
    // A second time there is nothing to send: the one who is left said stop.
    let (status, answer) = app
        .call("POST", &format!("/mailings/{mailing}/retry_failed"), None)
        .await;
    assert_eq!(status, 422, "{answer}");
    assert!(
        answer.to_string().contains("None of these messages"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_number_that_is_not_on_whatsapp_is_not_tried_again() {
    let app = TestApp::new().await;
    let (waha, mailing) = mixed(&app).await;
    heal(&waha).await;
    app.execute("UPDATE outgoing SET code = 'not_on_whatsapp' WHERE state = 'failed' AND number = '6281200000001'")
        .await;
    app.ok("POST", &format!("/mailings/{mailing}/retry_failed"), None)
        .await;
    let done = app.deliver(mailing).await;
    assert_eq!(counts(&done), [7, 1, 2], "{done}");
}

#[tokio::test]
async fn what_waits_to_be_tried_again_and_is_stopped_ends_as_it_had_ended() {
    let app = TestApp::new().await;
    let (waha, mailing) = mixed(&app).await;
    heal(&waha).await;
    app.ok("POST", &format!("/mailings/{mailing}/retry_failed"), None)
        .await;
    let canceled = app
        .ok("POST", &format!("/mailings/{mailing}/cancel"), None)
        .await;
    assert_eq!(canceled["state"], "partial_failure", "as it had ended");
    assert_eq!(counts(&canceled), [5, 3, 2], "{canceled}");
    assert_eq!(canceled["counts"]["canceled"], 0);
    app.holds().await;
    // And it can be tried again later.
    app.ok("POST", &format!("/mailings/{mailing}/retry_failed"), None)
        .await;
    let done = app.deliver(mailing).await;
    assert_eq!(counts(&done), [8, 0, 2], "{done}");
    // One by one, by somebody who opts out while it waits.
    let other = TestApp::new().await;
    let (waha, mailing) = mixed(&other).await;
    heal(&waha).await;
    other
        .ok("POST", &format!("/mailings/{mailing}/retry_failed"), None)
        .await;
    let contact = other
        .value("SELECT id FROM contacts WHERE whatsapp_number = '6281200000001'")
        .await;
    other
        .ok(
            "PATCH",
            &format!("/contacts/{contact}"),
            Some(&json!({ "opt_out": true, "reason": "asked" })),
        )
        .await;
    let shown = other.show(mailing).await;
    assert_eq!(
        (
            shown["counts"]["queued"].as_i64(),
            shown["counts"]["skipped"].as_i64()
        ),
        (Some(2), Some(0))
    );
    let done = other.deliver(mailing).await;
    assert_eq!(counts(&done), [7, 1, 2], "{done}");
}

#[tokio::test]
async fn a_failure_reported_twice_does_not_take_back_a_retry() {
    let app = TestApp::new().await;
    let (waha, mailing) = mixed(&app).await;
    heal(&waha).await;
    // WhatsApp reports an error after the gateway had taken the message.
    app.execute(
        "UPDATE attempts SET rank = 3 WHERE outgoing_id = (SELECT min(id) FROM outgoing WHERE state = 'accepted')",
    )
    .await;
    let id: i64 = app
        .value("SELECT min(id) FROM outgoing WHERE state = 'accepted'")
        .await
        .parse()
        .unwrap();
    let ids = [wablast::ids::OutgoingId(id)];
    let mut conn = app.app.db.system().await.unwrap();
    receipts::weigh(&mut conn, &ids).await.unwrap();
    assert_eq!(
        app.value(&format!("SELECT state FROM outgoing WHERE id = {id}"))
            .await,
        "failed"
    );
    app.ok("POST", &format!("/mailings/{mailing}/retry_failed"), None)
        .await;
    receipts::weigh(&mut conn, &ids).await.unwrap();
    assert_eq!(
        app.value(&format!("SELECT state FROM outgoing WHERE id = {id}"))
            .await,
        "queued"
    );
    drop(conn);
    app.deliver(mailing).await;
    assert_eq!(
        app.value(&format!("SELECT state FROM outgoing WHERE id = {id}"))
            .await,
        "accepted"
    );
}

#[tokio::test]
async fn an_uncertain_message_is_sent_again_or_called_sent_by_a_manager_only() {
    let app = TestApp::new().await;
    let (waha, mailing) = mixed(&app).await;
    heal(&waha).await;
    let mut manager = Browser::new(&app);
    manager.sign_in().await;
    let page = manager.get(&format!("/mailings/{mailing}")).await;
    let ways = page.attributes(".errs a[data-confirm]", "href");
    assert_eq!(
        ways,
        [
            format!("/mailings/{mailing}/mark_sent"),
            format!("/mailings/{mailing}/resend")
        ]
    );
    // One of the two is seen on the phone: it arrived.
    let seen = app
        .value("SELECT id FROM outgoing WHERE number = '6281200000004'")
        .await;
    let ask = manager
        .get(&format!("/mailings/{mailing}/mark_sent?message={seen}"))
        .await;
    assert!(ask.text().contains("1 uncertain message"), "{}", ask.text());
    let back = manager
        .submit(ask.form(&format!("/mailings/{mailing}/mark_sent?message={seen}")))
        .await;
    assert_eq!(back.path, format!("/outgoing/{seen}"));
    assert_eq!(
        app.value(&format!("SELECT state FROM outgoing WHERE id = {seen}"))
            .await,
        "sent"
    );
    assert_eq!(
        app.value(&format!(
            "SELECT settled_by FROM attempts WHERE outgoing_id = {seen}"
        ))
        .await,
        "1"
    );
    // The other goes out again, with the warning.
    let ask = manager.get(&format!("/mailings/{mailing}/resend")).await;
    assert!(ask.text().contains("a second time"), "{}", ask.text());
    manager
        .submit(ask.form(&format!("/mailings/{mailing}/resend")))
        .await;
    let done = app.deliver(mailing).await;
    assert_eq!(counts(&done), [6, 3, 0], "{done}");
    assert_eq!(done["counts"]["sent"], 1);
    assert_eq!(
        logs(&app).await,
        "send_now partial_failure 10, resend done 1"
    );
    let history = app
        .value("SELECT string_agg(action, ' ' ORDER BY id) FROM audit WHERE noun = 'mailings' AND action IN ('mark_sent', 'resend')")
        .await;
    assert_eq!(history, "mark_sent resend");
    // Whoever is only a user may neither.
    app.person("rudi@example.com", "user").await;
    let mut user = Browser::new(&app);
    user.sign_in_as("rudi@example.com").await;
    for verb in ["resend", "mark_sent"] {
        let answer = user.get(&format!("/mailings/{mailing}/{verb}")).await;
        assert_eq!(answer.status, 403, "{verb}");
        let own = user.get("/preferences").await.form("/preferences");
        let answer = user
            .submit_once(own.to(&format!("/mailings/{mailing}/{verb}")))
            .await;
        assert_eq!(answer.0, 403, "{verb}");
    }
}

#[tokio::test]
async fn an_earlier_attempt_that_did_arrive_drops_a_resend_that_has_not_begun() {
    let app = TestApp::new().await;
    let (_waha, mailing) = mixed(&app).await;
    let mut manager = Browser::new(&app);
    manager.sign_in().await;
    let ask = manager.get(&format!("/mailings/{mailing}/resend")).await;
    manager
        .submit(ask.form(&format!("/mailings/{mailing}/resend")))
        .await;
    let id: i64 = app
        .value("SELECT id FROM outgoing WHERE number = '6281200000004' AND state = 'queued'")
        .await
        .parse()
        .unwrap();
    app.execute(&format!(
        "UPDATE attempts SET rank = 4 WHERE outgoing_id = {id}"
    ))
    .await;
    let mut conn = app.app.db.system().await.unwrap();
    receipts::weigh(&mut conn, &[wablast::ids::OutgoingId(id)])
        .await
        .unwrap();
    assert_eq!(
        app.value(&format!("SELECT state FROM outgoing WHERE id = {id}"))
            .await,
        "delivered"
    );
}
