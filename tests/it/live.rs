//! The page of a mailing while it changes: figures that are those of a recount and cost little, what gates
//! the next message, who waits, and what it says when it rests.

use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::watch;
use wablast::ids::MailingId;
use wablast::mailings::{query, release, settle};
use wablast::outgoing::query::counts;
use wablast::outgoing::tally::{self, Signs};
use wablast::outgoing::{STATES, deliver};
use wablast::simulator::Options;

use crate::support::browser::{Browser, Page};
use crate::support::{TestApp, simulator, tell};

/// A mailing whose messages nobody has sent yet.
async fn released(app: &TestApp, people: usize) -> i64 {
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(people).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    mailing
}

async fn progress(browser: &mut Browser, mailing: i64) -> Page {
    browser
        .get(&format!("/mailings/{mailing}/progress?from=sending"))
        .await
}

/// What stands in the legend, added up.
fn legend(page: &Page) -> i64 {
    page.texts(".legend dd a")
        .iter()
        .map(|figure| figure.replace([',', '.'], "").parse::<i64>().unwrap())
        .sum()
}

fn gate(page: &Page) -> String {
    page.texts(".gate").swap_remove(0)
}

#[tokio::test]
async fn a_mailing_settles_by_signs_that_say_what_the_counts_say() {
    let app = TestApp::new().await;
    let mailing = released(&app, 3).await;
    let mut conn = app.app.db.system().await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for first in STATES {
        for second in ["queued", "failed", "uncertain", "read", "skipped"] {
            for code in ["NULL", "'handed_over'", "'timeout'"] {
                let state = |id: &str, state: &str| {
                    let owner = if ["claimed", "sending"].contains(&state) {
                        "gen_random_uuid(), lease_until = now()"
                    } else {
                        "NULL, lease_until = NULL"
                    };
                    format!(
                        "UPDATE outgoing SET state = '{state}', code = {code}, owner = {owner} WHERE id = (SELECT {id}(id) FROM outgoing);"
                    )
                };
                app.execute(&format!("{}{}", state("min", first), state("max", second)))
                    .await;
                let id = MailingId(mailing);
                let counted = counts(&mut conn, id).await.unwrap();
                let told = tally::signs(&mut conn, id).await.unwrap();
                assert_eq!(told, Signs::from(&counted), "{first} {second} {code}");
                let tally = tally::tally(&mut conn, id).await.unwrap();
                assert_eq!(tally.counts(), counted);
                seen.insert(format!("{told:?}"));
            }
        }
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

#[tokio::test]
async fn figures_add_up_to_the_recipients_while_messages_leave_and_rest_as_a_recount() {
    let app = TestApp::new().await;
    let mailing = released(&app, 400).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    app.execute("UPDATE accounts SET per_second = 300, burst = 20")
        .await;
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    let mut looks = 0;
    loop {
        let page = progress(&mut browser, mailing).await;
        assert_eq!(legend(&page), 400, "{}", page.text());
        looks += 1;
        app.apply_webhooks().await;
        settle::all(&app.app).await.unwrap();
        if page.header("x-settled") == "1" {
            break;
        }
        assert_eq!(page.header("x-again"), "2000");
    }
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    assert!(looks > 2);
    app.until("all are read", || async {
        app.apply_webhooks().await;
        app.show(mailing).await["counts"]["read"] == 400
    })
    .await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    assert_eq!(page.texts(".legend dd"), ["400 100 %"]);
    assert_eq!(page.attributes("[data-poll]", "data-every"), ["15000"]);
    // The curve ends where the figures are.
    let key = page.texts(".curve-key li");
    assert_eq!(key, ["Sent 400", "Delivered 400", "Read 400"]);
    app.execute("UPDATE outgoing SET state = 'delivered', read_at = NULL WHERE id % 4 = 0; UPDATE outgoing SET state = 'sent', read_at = NULL, delivered_at = NULL WHERE id % 4 = 1")
        .await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    let key = page.texts(".curve-key li");
    assert_eq!(key, ["Sent 400", "Delivered 300", "Read 200"]);
    // Two days later nothing changes by itself any more.
    app.advance(TimeDelta::days(3)).await;
    browser.sign_in().await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    assert_eq!(page.attributes("[data-poll]", "data-every").len(), 0);
    let asked = browser
        .get(&format!("/mailings/{mailing}/progress?from=done"))
        .await;
    assert_eq!(asked.header("x-settled"), "rest");
}

#[tokio::test]
async fn a_large_mailing_is_counted_once_in_twenty_times_what_that_takes() {
    let app = TestApp::new().await;
    let mailing = released(&app, 12).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    app.execute("UPDATE mailings SET audience_size = 1000000")
        .await;
    let first = progress(&mut browser, mailing).await;
    assert_eq!(first.texts(".legend dd"), ["12 100 %"]);
    let kept = "SELECT count(*) FROM mailing_figures WHERE figures::text <> '[]'";
    assert_eq!(app.value(kept).await, "2", "the counts and the curve");
    // Counting takes a second, as far as anybody knows.
    app.execute("UPDATE mailing_figures SET took_ms = 1000;
                 UPDATE outgoing SET state = 'failed', code = 'timeout' WHERE id = (SELECT min(id) FROM outgoing)")
        .await;
    app.advance(TimeDelta::seconds(15)).await;
    let same = progress(&mut browser, mailing).await;
    assert_eq!(same.texts(".legend dd"), ["12 100 %"], "still good");
    assert!(same.text().contains("Counted at"), "{}", same.text());
    // After twenty seconds whoever looks sees the old ones, and somebody counts beside it.
    app.advance(TimeDelta::seconds(6)).await;
    let outdated = progress(&mut browser, mailing).await;
    assert_eq!(outdated.texts(".legend dd"), ["12 100 %"]);
    assert!(outdated.text().contains("being counted again"));
    app.until("it is counted again", || async {
        app.value(
            "SELECT count(*) FROM mailing_figures WHERE took_ms < 1000 AND counting_until IS NULL",
        )
        .await
            == "2"
    })
    .await;
    let fresh = progress(&mut browser, mailing).await;
    assert_eq!(fresh.texts(".legend dd"), ["1 8 %", "11 92 %"]);
    // A state that changed asks for new figures at once.
    app.execute("UPDATE outgoing SET state = 'read', code = NULL WHERE state = 'failed'")
        .await;
    app.ok("POST", &format!("/mailings/{mailing}/pause"), None)
        .await;
    let paused = browser.get(&format!("/mailings/{mailing}")).await;
    assert_eq!(paused.texts(".legend dd"), ["1 8 %", "11 92 %"]);
    assert!(paused.text().contains("Read"), "{}", paused.text());
}

#[tokio::test]
async fn a_process_that_is_gone_is_named_while_its_messages_are_held() {
    let app = TestApp::new().await;
    let mailing = released(&app, 3).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let first = "(SELECT min(id) FROM outgoing)";
    app.execute(&format!(
        "UPDATE outgoing SET state = 'claimed', owner = gen_random_uuid(), lease_until = wablast_now() + interval '50 seconds';
         UPDATE outgoing SET state = 'sending' WHERE id = {first};
         INSERT INTO instances (id, name, role, version, seen_at, clock_ms) VALUES
           (gen_random_uuid(), 'one of shop', 'all', '1', wablast_now() - interval '8 seconds', 0),
           (gen_random_uuid(), 'two of shop', 'all', '1', wablast_now() + interval '10 seconds', 0)"
    ))
    .await;
    app.advance(TimeDelta::seconds(10)).await;
    let page = progress(&mut browser, mailing).await;
    let said = gate(&page);
    assert!(
        said.contains("3 messages are in the hands of a process that is gone"),
        "{said}"
    );
    assert!(said.contains("one of shop ended without a word"), "{said}");
    assert!(
        said.contains("goes back to the queue") && said.contains("becomes uncertain"),
        "{said}"
    );
    assert_eq!(page.texts(".errs b"), ["Are being sent"]);
    // All are gone.
    app.advance(TimeDelta::seconds(30)).await;
    let said = gate(&progress(&mut browser, mailing).await);
    assert!(said.contains("Nothing that sends is running"), "{said}");
    // What they held goes back, and another one sends it.
    app.advance(TimeDelta::seconds(60)).await;
    app.execute("DELETE FROM instances").await;
    deliver::reap_once(&app.app).await.unwrap();
    let page = progress(&mut browser, mailing).await;
    assert_eq!(
        page.texts(".errs b"),
        [
            "Wait for their turn",
            "Uncertain: Program stopped while sending"
        ]
    );
}

#[tokio::test]
async fn the_gate_says_what_holds_everything_back() {
    let app = TestApp::new().await;
    let mailing = released(&app, 8).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    app.execute("UPDATE accounts SET per_second = 0.25, burst = 1;
                 INSERT INTO account_pace (account_id, company_id, tokens, tokens_at) SELECT id, company_id, 1, wablast_now() FROM accounts")
        .await;
    let page = progress(&mut browser, mailing).await;
    assert!(
        gate(&page).starts_with("About 15 a minute leave. About 1 min left"),
        "{}",
        gate(&page)
    );
    assert_eq!(page.fact("Pace allowed"), "15 a minute");
    assert_eq!(page.texts(".in-line tbody tr").len(), 5);
    // The token was spent just now.
    app.execute("UPDATE account_pace SET tokens = 0, tokens_at = wablast_now()")
        .await;
    let page = progress(&mut browser, mailing).await;
    assert!(
        gate(&page).starts_with("Next message in"),
        "{}",
        gate(&page)
    );
    assert_eq!(
        page.attributes(".gate [data-countdown]", "data-countdown")
            .len(),
        1
    );
    app.execute("UPDATE outgoing SET not_before = wablast_now() + interval '5 minutes'")
        .await;
    let page = progress(&mut browser, mailing).await;
    assert!(
        gate(&page).starts_with("The next message goes"),
        "{}",
        gate(&page)
    );
    assert_eq!(page.texts(".errs b"), ["Wait for their next try"]);
    app.execute("UPDATE account_pace SET blocked_until = wablast_now() + interval '9 minutes', blocked_reason = 'WAHA cannot be reached.'")
        .await;
    let said = gate(&progress(&mut browser, mailing).await);
    assert!(
        said.starts_with("Nothing leaves before") && said.contains("WAHA cannot be reached"),
        "{said}"
    );
    app.execute("UPDATE accounts SET health = 'paused', health_reason = 'Five in a row.', health_retry_at = wablast_now() + interval '1 minute'")
        .await;
    let page = progress(&mut browser, mailing).await;
    assert!(
        gate(&page).contains("Five in a row. A message is tried"),
        "{}",
        gate(&page)
    );
    assert_eq!(page.fact("WhatsApp Account"), "Toko Bandung Paused");
    app.ok("POST", &format!("/mailings/{mailing}/pause"), None)
        .await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    assert!(
        gate(&page).contains("8 messages wait. The account Toko Bandung"),
        "{}",
        gate(&page)
    );
    assert!(
        page.texts(".errs b")
            .contains(&"Wait for their next try".to_owned())
    );
}

#[tokio::test]
async fn a_log_of_a_run_that_reached_everybody_keeps_no_error_of_the_way() {
    let app = TestApp::new().await;
    let mailing = released(&app, 2).await;
    let said =
        format!("SELECT coalesce(error_message, '-') FROM logs WHERE mailing_id = {mailing}");
    app.execute("UPDATE logs SET error_message = 'WAHA cannot be reached.'")
        .await;
    let done = app.deliver(mailing).await;
    assert_eq!(
        (&done["state"], app.value(&said).await.as_str()),
        (&json!("done"), "-")
    );
}

#[tokio::test]
async fn who_ended_is_looked_at_again_and_what_failed_late_keeps_its_place() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    tell(
        &waha,
        "/simulator/faults",
        &json!({ "numbers": { "6281200000001": "refused", "6281200000002": "reset_before" } }),
    )
    .await;
    let account = app.account(&waha).await;
    let list = app.list_of(4).await;
    let mailing = app.mailing(account, list, "Hello").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    let ended = app.deliver(mailing).await;
    assert_eq!(ended["state"], "partial_failure", "{ended}");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/mailings/{mailing}")).await;
    let links = page.attributes(".cause-ways a", "href");
    assert_eq!(
        links,
        [
            format!("/mailings/{mailing}/mark_sent"),
            format!("/mailings/{mailing}/resend")
        ]
    );
    assert_eq!(legend(&page), 4, "{}", page.text());
    // Nothing is left that failed: nobody told, and the look once a minute finds it.
    app.execute(
        "UPDATE outgoing SET state = 'accepted', code = NULL, reason = NULL WHERE state = 'failed'",
    )
    .await;
    assert_eq!(settle::all(&app.app).await.unwrap(), 0);
    assert_eq!(settle::ended(&app.app).await.unwrap(), 1);
    let mut conn = app.app.db.system().await.unwrap();
    let mailing = query::find(&mut conn, MailingId(mailing)).await.unwrap();
    assert_eq!(mailing.state, "done");
}
