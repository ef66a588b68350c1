//! Messages that nobody acknowledged are looked up by their id, slowly; what is not found stays as it is.
//! A session that works again starts its account though the event that says so was lost.

use chrono::TimeDelta;
use serde_json::json;
use wablast::mailings::unheard;
use wablast::simulator::{Fault, Faults, Options};

use crate::support::{TestApp, simulator, tell};

fn always(fault: Fault) -> Faults {
    let mut faults = Faults::default();
    faults.share.insert(fault, 1.0);
    faults
}

async fn sent(app: &TestApp, account: i64, people: usize) -> i64 {
    let list = app.list_of(people).await;
    let mailing = app.mailing(account, list, "Halo").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    mailing
}

async fn of_state(app: &TestApp, state: &str) -> String {
    app.value(&format!(
        "SELECT count(*) FROM outgoing WHERE state = '{state}'"
    ))
    .await
}

#[tokio::test]
async fn messages_whose_receipts_were_lost_are_found_at_a_slow_pace() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        faults: always(Fault::EventsLost),
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    let mailing = sent(&app, account, 7).await;
    assert_eq!(of_state(&app, "accepted").await, "7");
    assert_eq!(unheard::look(&app.app).await.unwrap(), 0, "they are young");
    app.advance(TimeDelta::minutes(11)).await;
    assert_eq!(unheard::look(&app.app).await.unwrap(), 5);
    assert_eq!(
        unheard::look(&app.app).await.unwrap(),
        0,
        "five in ten seconds"
    );
    app.advance(TimeDelta::seconds(11)).await;
    assert_eq!(unheard::look(&app.app).await.unwrap(), 2);
    assert_eq!(of_state(&app, "read").await, "7");
    assert_eq!(app.show(mailing).await["counts"]["read"], 7);
    unheard::look(&app.app).await.unwrap();
    assert_eq!(app.value("SELECT count(*) FROM unheard").await, "0");
    app.holds().await;
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_our_own_id() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        faults: always(Fault::ResetAfter),
        acks: false,
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    app.execute("UPDATE accounts SET auto_pause_percent = 100")
        .await;
    sent(&app, account, 2).await;
    assert_eq!(of_state(&app, "uncertain").await, "2");
    app.advance(TimeDelta::minutes(11)).await;
    assert_eq!(unheard::look(&app.app).await.unwrap(), 2);
    assert_eq!(of_state(&app, "accepted").await, "2");
    app.holds().await;
}

#[tokio::test]
async fn what_is_not_found_stays_and_is_asked_for_a_few_times() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        acks: false,
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    sent(&app, account, 1).await;
    tell(&waha, "/simulator/reset", &json!({})).await;
    let mut asked = 0;
    for minutes in [11, 11, 31, 121, 481] {
        app.advance(TimeDelta::minutes(minutes)).await;
        assert_eq!(unheard::look(&app.app).await.unwrap(), 0);
        asked += 1;
        assert_eq!(
            app.value("SELECT tries FROM unheard").await,
            asked.to_string()
        );
    }
    app.advance(TimeDelta::minutes(11)).await;
    unheard::look(&app.app).await.unwrap();
    assert_eq!(app.value("SELECT count(*) FROM unheard").await, "0");
    assert_eq!(of_state(&app, "accepted").await, "1");
    app.holds().await;
}

#[tokio::test]
async fn a_waha_that_is_away_or_keeps_nothing_is_asked_later() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        faults: always(Fault::EventsLost),
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    sent(&app, account, 3).await;
    app.put_config(
        &waha.url(),
        &json!({ "noweb": { "store": { "enabled": false } } }),
    )
    .await;
    app.advance(TimeDelta::minutes(11)).await;
    assert_eq!(unheard::look(&app.app).await.unwrap(), 0);
    assert_eq!(app.value("SELECT max(tries) FROM unheard").await, "0");
    let closed = format!("http://127.0.0.1:{}", crate::support::instance::free_port());
    app.execute(&format!("UPDATE accounts SET api_url = '{closed}'"))
        .await;
    app.advance(TimeDelta::minutes(11)).await;
    assert_eq!(unheard::look(&app.app).await.unwrap(), 0);
    app.execute(&format!("UPDATE accounts SET api_url = '{}'", waha.url()))
        .await;
    app.put_config(
        &waha.url(),
        &json!({ "noweb": { "store": { "enabled": true } } }),
    )
    .await;
    app.advance(TimeDelta::minutes(11)).await;
    assert_eq!(unheard::look(&app.app).await.unwrap(), 3);
    assert_eq!(of_state(&app, "read").await, "3");
}

#[tokio::test]
async fn a_session_that_works_again_starts_its_account() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    tell(&waha, "/simulator/session", &json!({ "status": "STOPPED" })).await;
    app.until("the account is stopped", || async {
        app.apply_webhooks().await;
        app.value("SELECT health FROM accounts").await == "stopped"
    })
    .await;
    // The event of its start gets lost.
    let lost = json!({ "url": "http://127.0.0.1:9/", "hmac_key": "x" });
    tell(&waha, "/simulator/webhook", &lost).await;
    unheard::look(&app.app).await.unwrap();
    assert_eq!(app.value("SELECT health FROM accounts").await, "stopped");
    tell(&waha, "/simulator/session", &json!({ "status": "WORKING" })).await;
    unheard::look(&app.app).await.unwrap();
    assert_eq!(
        app.value("SELECT health FROM accounts").await,
        "stopped",
        "once a minute"
    );
    app.advance(TimeDelta::seconds(61)).await;
    unheard::look(&app.app).await.unwrap();
    assert_eq!(app.value("SELECT health FROM accounts").await, "running");
    // Credentials that were refused wait for a test.
    app.execute(&format!(
        "UPDATE accounts SET health = 'stopped', health_code = 'auth' WHERE id = {account}"
    ))
    .await;
    app.advance(TimeDelta::seconds(61)).await;
    unheard::look(&app.app).await.unwrap();
    assert_eq!(app.value("SELECT health FROM accounts").await, "stopped");
}

#[tokio::test]
async fn a_hidden_id_is_learned_when_we_send_and_its_stop_finds_the_person() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        lids: true,
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    sent(&app, account, 2).await;
    let known = "SELECT string_agg(i.value, ',' ORDER BY i.value) FROM contact_identities i WHERE i.kind = 'lid'";
    app.until("both hidden ids are known", || async {
        app.apply_webhooks().await;
        app.value(known).await == "96281200000000@lid,96281200000001@lid"
    })
    .await;
    let stop = json!({ "from": "96281200000001@lid", "text": "STOP" });
    tell(&waha, "/simulator/incoming", &stop).await;
    app.until("the stop is applied", || async {
        app.apply_webhooks().await;
        app.value("SELECT string_agg(whatsapp_number, ',') FROM contacts WHERE opt_out")
            .await
            == "6281200000001"
    })
    .await;
    // Groups, newsletters and statuses never become people.
    for from in ["1203-55@g.us", "120363@newsletter", "status@broadcast"] {
        tell(
            &waha,
            "/simulator/incoming",
            &json!({ "from": from, "text": "STOP" }),
        )
        .await;
    }
    app.until("everything is applied", || async {
        app.apply_webhooks().await;
        waha.is_quiet()
            && app
                .value("SELECT count(*) FROM inbox WHERE state = 'new'")
                .await
                == "0"
    })
    .await;
    assert_eq!(app.value("SELECT count(*) FROM contacts").await, "2");
    assert_eq!(app.value("SELECT count(*) FROM incoming").await, "1");
    let _ = account;
}
