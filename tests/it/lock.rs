//! A database that goes back in time, and a clock that goes forward.

use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::watch;
use wablast::app::{App, Wake};
use wablast::check;
use wablast::db::Db;
use wablast::ids::CompanyId;
use wablast::mailings::{release, settle};
use wablast::outgoing::deliver;
use wablast::scheduler::jump::{self, Looks};
use wablast::simulator::{Options, Running};

use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator};

/// The same installation, with connections of its own.
async fn reconnected(app: &TestApp, url: &str) -> App {
    App {
        db: Db::connect(url).await.unwrap(),
        wake: Wake::default(),
        ..app.app.clone()
    }
}

/// A mailing to 20 people that is being sent, and one that is due in an hour.
async fn began(app: &TestApp) -> (Running, i64, i64) {
    let waha = simulator(Options {
        acks: false,
        ..Options::default()
    })
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(20).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let due = app.app.clock.now() + TimeDelta::hours(1);
    let later = app.mailing(account, list, "Later").await;
    app.ok(
        "POST",
        &format!("/mailings/{later}/submit"),
        Some(&json!({ "schedule_date": due.to_rfc3339() })),
    )
    .await;
    (waha, mailing, later)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_database_sends_nothing_until_an_administrator_has_unlocked_it() {
    let app = TestApp::new().await;
    let (waha, mailing, later) = began(&app).await;
    // A copy is taken; the original goes on and sends everything.
    let copy = app.copied().await;
    app.deliver(mailing).await;
    assert_eq!(arrived(&waha).await["total"], 20);

    // The copy is started like the original, and would send all of it again.
    let copied = reconnected(&app, &copy.url).await;
    let state =
        format!("SELECT concat_ws('|', state, state_reason) FROM mailings WHERE id = {mailing}");
    drop(copied.db.system().await.unwrap());
    let paused = copy.value(&state).await;
    assert!(
        paused.starts_with("paused|The database was restored, copied or promoted on 2"),
        "{paused}"
    );
    // Also when somebody resumes it, and for hours.
    copy.execute(
        "UPDATE mailings SET state = 'sending', state_reason = NULL WHERE state = 'paused'",
    )
    .await;
    copy.execute("UPDATE test_clock SET shift = shift + interval '3 hours'")
        .await;
    assert_eq!(
        release::due(&copied).await.unwrap(),
        release::Released::default()
    );
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(copied.clone(), stopped));
    let looked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%account_pace%'";
    app.until("the deliverer has looked", || async {
        copy.value(looked).await != "0"
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    assert_eq!(copy.value("SELECT count(*) FROM attempts").await, "0");
    assert_eq!(arrived(&waha).await["total"], 20);
    assert_eq!(
        copy.value(&format!("SELECT state FROM mailings WHERE id = {later}"))
            .await,
        "submitted"
    );
    // The original is what it was.
    assert_eq!(
        app.value("SELECT locked_at IS NULL FROM installation")
            .await,
        "t"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_unlocks_reads_how_many_may_repeat_and_what_was_due_is_missed() {
    let app = TestApp::new().await;
    let (_waha, mailing, later) = began(&app).await;
    // What a promoted replica finds: another timeline than the one that was noted.
    app.execute("UPDATE installation SET cluster = '1/00000001/1'")
        .await;
    drop(
        reconnected(&app, app.url())
            .await
            .db
            .system()
            .await
            .unwrap(),
    );
    assert_eq!(app.show(mailing).await["state"], "paused");
    app.advance(TimeDelta::hours(2)).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/mailings").await.text();
    assert!(page.contains("Sending is locked since"), "{page}");
    let page = browser.get("/instances").await;
    let text = page.text();
    assert!(text.contains("20 messages wait; each may arrive"), "{text}");
    assert!(
        text.contains("1 scheduled mailing was due meanwhile"),
        "{text}"
    );
    browser.submit(page.form("/instances/unlock")).await;
    assert_eq!(app.show(later).await["state"], "missed");
    assert_eq!(app.show(mailing).await["state"], "paused");
    app.ok("POST", &format!("/mailings/{mailing}/resume"), None)
        .await;
    let sent = app.deliver(mailing).await;
    assert_eq!(sent["counts"]["accepted"], 20, "{sent}");
}

/// Set back in the middle of a mailing, to before it sent anything. `noted`: without its identity changing, as
/// where a server lost its last moments.
async fn set_back(noted: bool, why: &str) {
    let app = TestApp::new().await;
    let (waha, mailing, _) = began(&app).await;
    app.execute("UPDATE accounts SET per_second = 10, burst = 1")
        .await;
    let earlier = app.copied().await;
    if noted {
        earlier
            .execute("UPDATE installation SET cluster = wablast_cluster()")
            .await;
    }
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    let total = async || arrived(&waha).await["total"].as_i64().unwrap();
    app.until("some have arrived", || async { total().await >= 5 })
        .await;
    app.set_back_to(earlier).await;
    app.until("the instance has told what it sent", || async {
        let uncertain = "SELECT count(*) FROM outgoing WHERE state = 'uncertain'";
        app.value(uncertain).await == total().await.to_string()
    })
    .await;
    let left = total().await;
    assert!(left < 20, "it came too late to prove anything");
    assert_eq!(app.show(mailing).await["state"], "paused");
    app.holds().await;

    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/instances").await;
    let text = page.text();
    assert!(text.contains(why), "{text}");
    assert!(
        text.contains(&format!("{left} messages waited here")),
        "{text}"
    );
    browser.submit(page.form("/instances/unlock")).await;
    app.ok("POST", &format!("/mailings/{mailing}/resume"), None)
        .await;
    app.until("everybody has it", || async { total().await == 20 })
        .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    settle::all(&app.app).await.unwrap();
    let counts = app.show(mailing).await["counts"].clone();
    assert_eq!(counts["uncertain"], left, "{counts}");
    assert_eq!(counts["accepted"], 20 - left, "{counts}");
    assert_eq!(arrived(&waha).await["doubled"], 0);
    app.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_is_told_what_was_sent_and_nobody_gets_it_twice() {
    set_back(false, "it was restored from a backup or copied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_lost_its_last_moments_is_found_out_before_anything_leaves() {
    set_back(true, "The database lost its last moments").await;
}

#[tokio::test]
async fn a_commit_is_waited_for_whatever_the_server_does_and_what_it_risks_is_said() {
    let app = TestApp::new().await;
    let default = "SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'";
    assert_eq!(app.value(default).await, "off");
    let mut system = app.app.db.system().await.unwrap();
    let mut company = app.app.db.company(CompanyId(1)).await.unwrap();
    for conn in [&mut *system, &mut *company] {
        let words = check::durability(conn).await.unwrap();
        assert_eq!(words.len(), 2, "{words:?}");
        assert!(words[0].contains("fsync off"), "{words:?}");
        assert!(words[1].contains("full_page_writes off"), "{words:?}");
    }
    drop((system, company));
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/instances").await.text();
    assert!(page.contains("fsync off"), "{page}");
}

#[tokio::test]
async fn after_a_jump_of_the_clock_releases_wait_ten_minutes_or_for_a_person() {
    let app = TestApp::new().await;
    let (_waha, _, later) = began(&app).await;
    let mut looks = Looks::default();
    assert!(!jump::look(&app.app, &mut looks).await.unwrap());
    app.advance(TimeDelta::hours(2)).await;
    assert!(jump::look(&app.app, &mut looks).await.unwrap());
    assert_eq!(
        release::due(&app.app).await.unwrap(),
        release::Released::default()
    );
    assert_eq!(app.show(later).await["state"], "submitted");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get("/instances").await;
    assert!(
        page.text().contains("The clock jumped forward"),
        "{}",
        page.text()
    );
    browser.submit(page.form("/instances/clock")).await;
    assert_eq!(release::due(&app.app).await.unwrap().started, 1);
    assert_eq!(app.show(later).await["state"], "sending");
}
