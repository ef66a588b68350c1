//! A mailing from the API to the phone, and everything that can come between.

use chrono::TimeDelta;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::json;
use wablast::gateways::{FailureCode, SendError};
use wablast::ids::AccountId;
use wablast::mailings::release;
use wablast::outgoing::pace::Gates;
use wablast::outgoing::queue::{self, Next};
use wablast::outgoing::record::{self, Outcome};
use wablast::outgoing::{begin, claim};
use wablast::simulator::Options;

use crate::support::{TestApp, arrived, simulator, tell};

#[tokio::test]
async fn a_mailing_reaches_everybody_once_and_its_receipts_come_back() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(300).await;
    let mailing = app
        .mailing(account, list, "Hi {{contact.name|there}}!")
        .await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    let sent = app.deliver(mailing).await;
    assert_eq!(sent["state"], "done", "{sent}");
    assert_eq!(sent["counts"]["total"], 300);
    app.until("all are read", || async {
        app.apply_webhooks().await;
        app.show(mailing).await["counts"]["read"] == 300
    })
    .await;
    let arrived = arrived(&waha).await;
    assert_eq!(
        (arrived["total"].as_i64(), arrived["doubled"].as_i64()),
        (Some(300), Some(0))
    );
    assert!(
        arrived["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|message| message["text"] == "Hi P7!")
    );
    let messages = app
        .ok(
            "GET",
            &format!("/messages?mailing_id={mailing}&limit=1"),
            None,
        )
        .await;
    assert_eq!(messages["items"][0]["attempts"], 1);
    assert_eq!(messages["items"][0]["state"], "read");
}

#[tokio::test]
async fn an_answer_that_proves_nothing_rests_as_uncertain_and_is_never_sent_again() {
    let app = TestApp::new().await;
    // An older WAHA: no ids of our own, and no events that could settle anything.
    let waha = simulator(Options {
        version: "2026.2.1".into(),
        acks: false,
        ..Options::default()
    })
    .await;
    tell(
        &waha,
        "/simulator/faults",
        &json!({ "numbers": { "6281200000001": "error_after", "6281200000002": "error_before", "6281200000003": "reset_after",
            "6281200000004": "empty_answer", "6281200000005": "reset_before" } }),
    )
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(8).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    let sent = app.deliver(mailing).await;
    assert_eq!(
        (
            sent["counts"]["accepted"].as_i64(),
            sent["counts"]["uncertain"].as_i64()
        ),
        (Some(3), Some(5)),
        "{sent}"
    );
    let once = arrived(&waha).await;
    assert_eq!(
        (once["total"].as_i64(), once["doubled"].as_i64()),
        (Some(6), Some(0))
    );
    // Hours later nothing has changed.
    app.advance(TimeDelta::hours(5)).await;
    let later = app.deliver(mailing).await;
    assert_eq!(later["counts"], sent["counts"]);
    assert_eq!(arrived(&waha).await["total"], 6);
    let log = app
        .value(&format!(
            "SELECT error_message FROM logs WHERE mailing_id = {mailing}"
        ))
        .await;
    assert!(!log.is_empty(), "the log says what the gateway said");
}

#[tokio::test]
async fn evidence_settles_what_was_uncertain() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    tell(
        &waha,
        "/simulator/faults",
        &json!({ "numbers": { "6281200000001": "reset_after", "6281200000002": "reset_before" } }),
    )
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(3).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    app.until("the one that arrived is known by our own id", || async {
        app.apply_webhooks().await;
        let counts = app.show(mailing).await["counts"].clone();
        counts["read"] == 2 && counts["uncertain"] == 1
    })
    .await;
    assert_eq!(arrived(&waha).await["total"], 2);
}

#[tokio::test]
async fn a_refused_key_stops_the_account_and_burns_no_message() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        api_key: Some("another-key".into()),
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(5).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let deliverer = tokio::spawn(wablast::outgoing::deliver::run(app.app.clone(), stopped));
    app.until("the account is stopped", || async {
        app.ok("GET", &format!("/accounts/{account}"), None).await["health"]["state"] == "stopped"
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    let shown = app.show(mailing).await;
    assert_eq!(
        (shown["state"].as_str(), shown["counts"]["queued"].as_i64()),
        (Some("sending"), Some(5))
    );
    assert_eq!(arrived(&waha).await["total"], 0);
}

#[tokio::test]
async fn a_session_that_stops_and_works_again_lets_the_rest_go() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    tell(&waha, "/simulator/session", &json!({ "status": "STOPPED" })).await;
    let list = app.list_of(5).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.until("the account is stopped", || async {
        app.apply_webhooks().await;
        app.ok("GET", &format!("/accounts/{account}"), None).await["health"]["state"] == "stopped"
    })
    .await;
    tell(&waha, "/simulator/session", &json!({ "status": "WORKING" })).await;
    app.until("the account runs", || async {
        app.apply_webhooks().await;
        app.ok("GET", &format!("/accounts/{account}"), None).await["health"]["state"] == "running"
    })
    .await;
    assert_eq!(app.deliver(mailing).await["state"], "done");
    assert_eq!(arrived(&waha).await["doubled"], 0);
}

#[tokio::test]
async fn who_opted_out_is_left_out_with_the_reason_also_after_the_release() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(4).await;
    let contacts = app
        .ok("GET", &format!("/contacts?list_id={list}"), None)
        .await;
    let id = |n: usize| contacts["items"][n]["id"].as_i64().unwrap();
    app.ok(
        "PATCH",
        &format!("/contacts/{}", id(0)),
        Some(&json!({ "opt_out": true, "reason": "asked by phone" })),
    )
    .await;
    let mailing = app.mailing(account, list, "Hello").await;
    let preflight = app
        .ok("GET", &format!("/mailings/{mailing}/preflight"), None)
        .await;
    assert_eq!(
        (
            preflight["will_send"].as_i64(),
            preflight["left_out"]["opted_out"].as_i64()
        ),
        (Some(3), Some(1))
    );
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    app.ok(
        "PATCH",
        &format!("/contacts/{}", id(1)),
        Some(&json!({ "opt_out": true })),
    )
    .await;
    let sent = app.deliver(mailing).await;
    assert_eq!(
        (sent["state"].as_str(), sent["counts"]["skipped"].as_i64()),
        (Some("done"), Some(2)),
        "{sent}"
    );
    assert_eq!(arrived(&waha).await["total"], 2);
    let skipped = app
        .ok(
            "GET",
            &format!("/messages?mailing_id={mailing}&state=skipped"),
            None,
        )
        .await;
    assert!(
        skipped["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|message| message["reason"] == "opted_out"),
        "{skipped}"
    );
}

#[tokio::test]
async fn a_stop_by_message_opts_out_and_the_next_mailing_leaves_that_person_out() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(3).await;
    let first = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{first}/send_now"), None)
        .await;
    app.deliver(first).await;
    tell(
        &waha,
        "/simulator/incoming",
        &json!({ "from": "6281200000001", "text": " Berhenti! ", "name": "Siti" }),
    )
    .await;
    tell(
        &waha,
        "/simulator/incoming",
        &json!({ "from": "120363@g.us", "text": "STOP" }),
    )
    .await;
    app.until("the message is there", || async {
        app.apply_webhooks().await;
        app.ok("GET", "/incoming", None).await["items"]
            .as_array()
            .unwrap()
            .len()
            == 1
    })
    .await;
    assert_eq!(app.show(first).await["funnel"]["replied"], 1);
    let second = app.mailing(account, list, "Hello again").await;
    let preflight = app
        .ok("GET", &format!("/mailings/{second}/preflight"), None)
        .await;
    assert_eq!(preflight["left_out"], json!({ "opted_out": 1 }));
    // The group made nobody a contact.
    assert_eq!(app.value("SELECT count(*) FROM contacts").await, "3");
}

#[tokio::test]
async fn a_submitted_mailing_is_never_early_and_survives_an_outage() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(2).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let due = app.app.clock.now() + TimeDelta::minutes(30);
    app.ok(
        "POST",
        &format!("/mailings/{mailing}/submit"),
        Some(&json!({ "schedule_date": due.to_rfc3339() })),
    )
    .await;
    app.advance(TimeDelta::minutes(29) + TimeDelta::seconds(55))
        .await;
    app.tick().await;
    assert_eq!(app.show(mailing).await["state"], "submitted");
    // Down for six hours, and then it goes out all the same, once.
    app.advance(TimeDelta::hours(6)).await;
    app.tick().await;
    app.tick().await;
    assert_eq!(app.show(mailing).await["state"], "sending");
    assert_eq!(app.deliver(mailing).await["state"], "done");
    assert_eq!(arrived(&waha).await["total"], 2);
    assert_eq!(app.value("SELECT count(*) FROM logs").await, "1");
}

#[tokio::test]
async fn a_mailing_later_than_the_tolerance_asks_a_person() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(2).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let due = app.app.clock.now() + TimeDelta::minutes(30);
    app.ok(
        "POST",
        &format!("/mailings/{mailing}/submit"),
        Some(&json!({ "schedule_date": due.to_rfc3339() })),
    )
    .await;
    app.advance(TimeDelta::hours(26)).await;
    app.tick().await;
    assert_eq!(app.show(mailing).await["state"], "missed");
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    assert_eq!(app.deliver(mailing).await["state"], "done");
}

#[tokio::test]
async fn send_now_twice_is_one_run_and_the_scheduler_makes_no_second_one() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(3).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let due = app.app.clock.now() + TimeDelta::minutes(5);
    app.ok(
        "POST",
        &format!("/mailings/{mailing}/submit"),
        Some(&json!({ "schedule_date": due.to_rfc3339() })),
    )
    .await;
    for _ in 0..2 {
        app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
    }
    app.deliver(mailing).await;
    app.advance(TimeDelta::minutes(10)).await;
    app.tick().await;
    app.deliver(mailing).await;
    assert_eq!(arrived(&waha).await["total"], 3);
    assert_eq!(app.value("SELECT count(*) FROM logs").await, "1");
    let (status, answer) = app
        .call("POST", &format!("/mailings/{mailing}/submit"), None)
        .await;
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (409, Some("conflict"))
    );
}

#[tokio::test]
async fn a_canceled_mailing_sends_nothing_more() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(50).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let canceled = app
        .ok("POST", &format!("/mailings/{mailing}/cancel"), None)
        .await;
    assert_eq!(
        (
            canceled["state"].as_str(),
            canceled["counts"]["canceled"].as_i64()
        ),
        (Some("canceled"), Some(50))
    );
    app.deliver(mailing).await;
    assert_eq!(arrived(&waha).await["total"], 0);
}

#[tokio::test]
async fn a_retried_request_with_one_idempotency_key_happens_once() {
    let app = TestApp::new().await;
    let body = json!({ "name": "Newsletter" }).to_string();
    let auth = format!("Bearer {}", app.token);
    let headers = [
        ("Authorization", auth.as_str()),
        ("Idempotency-Key", "k1"),
        ("Content-Type", "application/json"),
    ];
    assert_eq!(
        app.post_raw("/api/v1/lists", &headers, body.clone().into_bytes())
            .await,
        201
    );
    assert_eq!(
        app.post_raw("/api/v1/lists", &headers, body.into_bytes())
            .await,
        201
    );
    assert_eq!(
        app.post_raw("/api/v1/lists", &headers, b"{\"name\":\"Other\"}".to_vec())
            .await,
        422
    );
    assert_eq!(app.value("SELECT count(*) FROM lists").await, "1");
}

#[tokio::test]
async fn a_slow_account_is_asked_again_when_its_next_token_is_there() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    app.execute("UPDATE accounts SET per_second = 4, burst = 1")
        .await;
    let list = app.list_of(4).await;
    let mailing = app.mailing(account, list, "Slowly").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let mut conn = app.app.db.system().await.unwrap();
    let account = AccountId(account);
    queue::accounts_with_work(&mut conn).await.unwrap();
    app.execute("UPDATE account_pace SET tokens = 0, tokens_at = wablast_now()")
        .await;
    match queue::next(&mut conn, account, None).await.unwrap() {
        Next::In(wait) => assert!(
            wait.as_millis() > 100 && wait.as_millis() <= 250,
            "{wait:?}"
        ),
        Next::Idle => panic!("four messages wait"),
    }
    drop(conn);
    let sent = app.deliver(mailing).await;
    assert_eq!(sent["counts"]["total"], 4, "{sent}");
    assert_eq!(arrived(&waha).await["total"], 4);
}

#[tokio::test]
async fn an_account_that_waits_sends_nothing_urgent_either() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    app.execute(&format!(
        "INSERT INTO outgoing_content (company_id, text, cause) VALUES (1, 'Hello', 'x');
         INSERT INTO outgoing (company_id, account_id, kind, content_id, number, state)
           SELECT 1, {account}, 'test', id, '6281200000000', 'queued' FROM outgoing_content"
    ))
    .await;
    let mut conn = app.app.db.system().await.unwrap();
    queue::accounts_with_work(&mut conn).await.unwrap();
    let claim = async |conn: &mut _| {
        claim::claim(conn, AccountId(account), uuid::Uuid::new_v4(), 10)
            .await
            .unwrap()
            .len()
    };
    app.execute("UPDATE account_pace SET blocked_until = wablast_now() + interval '1 hour'")
        .await;
    assert_eq!(claim(&mut conn).await, 0, "the gateway asked for patience");
    app.advance(TimeDelta::hours(2)).await;
    assert_eq!(claim(&mut conn).await, 1);
}

/// A released mailing to one person that nobody has taken.
async fn one_waits() -> (TestApp, AccountId) {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let mut conn = app.app.db.system().await.unwrap();
    queue::accounts_with_work(&mut conn).await.unwrap();
    drop(conn);
    (app, AccountId(account))
}

#[tokio::test]
async fn an_old_claim_begins_nothing_once_its_lease_is_over_or_somebody_else_holds_it() {
    let (app, account) = one_waits().await;
    let mut conn = app.app.db.system().await.unwrap();
    let (frozen, other) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let begin = async |conn: &mut _, owner, claimed: &[claim::Claimed]| {
        begin::begin(conn, owner, claimed, &[None], &Gates::default())
            .await
            .unwrap()
            .len()
    };
    let old = claim::claim(&mut conn, account, frozen, 1).await.unwrap();
    assert_eq!(old.len(), 1);
    app.advance(TimeDelta::minutes(5)).await;
    assert_eq!(begin(&mut conn, frozen, &old).await, 0, "its lease is over");
    queue::reap(&mut conn).await.unwrap();
    let new = claim::claim(&mut conn, account, other, 1).await.unwrap();
    assert_eq!(new.len(), 1);
    assert_eq!(begin(&mut conn, frozen, &old).await, 0, "another holds it");
    assert_eq!(begin(&mut conn, other, &new).await, 1);
}

#[tokio::test]
async fn an_outcome_that_comes_late_changes_nothing_of_who_tries_again_meanwhile() {
    let (app, account) = one_waits().await;
    let mut conn = app.app.db.system().await.unwrap();
    let begin = async |conn: &mut AsyncPgConnection| {
        let owner = uuid::Uuid::new_v4();
        let claimed = claim::claim(conn, account, owner, 1).await.unwrap();
        begin::begin(conn, owner, &claimed, &[None], &Gates::default())
            .await
            .unwrap()
            .remove(0)
    };
    let frozen = begin(&mut conn).await;
    app.advance(TimeDelta::minutes(5)).await;
    assert_eq!(queue::reap(&mut conn).await.unwrap().uncertain, 1);
    // A person sends it again, and another worker is at it.
    app.execute("UPDATE outgoing SET state = 'queued', fence = fence + 1")
        .await;
    let trying = begin(&mut conn).await;
    let holds = "SELECT state || ' ' || fence || ' ' || (owner IS NOT NULL) || ' ' || lease_until FROM outgoing";
    let before = app.value(holds).await;
    assert!(
        before.starts_with(&format!("sending {}", trying.fence)),
        "{before}"
    );
    let late = Outcome {
        id: frozen.id,
        account,
        fence: frozen.fence,
        log: None,
        result: Err(SendError::NotSent {
            after: None,
            code: FailureCode::Unreachable,
            reason: "nothing listened".to_owned(),
        }),
        wait: std::time::Duration::ZERO,
        counts_people: false,
    };
    record::record(&mut conn, &[late]).await.unwrap();
    assert_eq!(app.value(holds).await, before);
    let outcomes = "SELECT string_agg(coalesce(outcome, 'open'), ' ' ORDER BY fence) FROM attempts";
    assert_eq!(app.value(outcomes).await, "not_sent open");
}

#[tokio::test]
async fn a_cancel_at_the_very_moment_when_an_outcome_is_noted_leaves_nothing_waiting() {
    let (app, account) = one_waits().await;
    let mut conn = app.app.db.system().await.unwrap();
    let owner = uuid::Uuid::new_v4();
    let claimed = claim::claim(&mut conn, account, owner, 1).await.unwrap();
    let begun = begin::begin(&mut conn, owner, &claimed, &[None], &Gates::default())
        .await
        .unwrap()
        .remove(0);
    let busy = Outcome {
        id: begun.id,
        account,
        fence: begun.fence,
        log: None,
        result: Err(SendError::NotSent {
            after: None,
            code: FailureCode::RateLimited,
            reason: "too many".to_owned(),
        }),
        wait: std::time::Duration::ZERO,
        counts_people: false,
    };
    let noted = tokio::sync::Notify::new();
    let recording = conn.transaction(async |conn| {
        record::record(conn, &[busy]).await?;
        noted.notify_one();
        // Nobody else has seen it yet, and the cancel waits for this message.
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        app.until("the cancel waits", || async { app.value(waits).await == "1" })
            .await;
        diesel::QueryResult::Ok(())
    });
    let canceling = async {
        noted.notified().await;
        let mailing = app.value("SELECT max(id) FROM mailings").await;
        app.ok("POST", &format!("/mailings/{mailing}/cancel"), None)
            .await
    };
    let (recorded, _) = tokio::join!(recording, canceling);
    recorded.unwrap();
    assert_eq!(app.value("SELECT state FROM outgoing").await, "canceled");
}
