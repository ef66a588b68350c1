//! `wablast check`: silent when every promise holds, and it names what breaks one.

use std::fmt::Write as _;

use wablast::check;
use wablast::simulator::Options;

use crate::support::instance::run;
use crate::support::{PASSWORD, TestApp, simulator};

/// What breaks a promise, and words of the promise it breaks.
const BREAKS: &[(&str, &str)] = &[
    (
        "INSERT INTO attempts (company_id, account_id, outgoing_id, fence, begun_at, ended_at, outcome)
         SELECT company_id, account_id, id, fence + 1, wablast_now(), wablast_now(), 'uncertain' FROM outgoing WHERE id = 1;
         UPDATE outgoing SET attempts = 2, fence = fence + 1 WHERE id = 1",
        "more attempts that may",
    ),
    (
        "UPDATE outgoing SET state = 'queued' WHERE id = 2",
        "is never waiting",
    ),
    (
        "UPDATE outgoing SET state = 'skipped', code = 'opted_out' WHERE id = 3",
        "is never waiting",
    ),
    (
        "DELETE FROM attempts WHERE outgoing_id = 4",
        "only where a gateway, a receipt or a person",
    ),
    (
        "UPDATE outgoing SET attempts = 3 WHERE id = 5",
        "as many attempts on record",
    ),
    (
        "DELETE FROM outgoing WHERE id = 6",
        "one message for everybody",
    ),
    (
        "DELETE FROM outgoing WHERE id = 6",
        "without a message once the release",
    ),
    (
        "UPDATE outgoing SET state = 'skipped', code = NULL WHERE id = 7",
        "has a reason",
    ),
    (
        "UPDATE outgoing SET state = 'failed', code = NULL, failed_at = wablast_now() WHERE id = 8",
        "says why",
    ),
    (
        "UPDATE outgoing SET state = 'claimed', owner = gen_random_uuid(), lease_until = wablast_now() - interval '10 minutes' WHERE id = 9",
        "in the hands of a deliverer that is gone",
    ),
    (
        "UPDATE outgoing SET state = 'sending', fence = fence + 7, owner = gen_random_uuid(), lease_until = wablast_now() WHERE id = 9",
        "has its attempt on record",
    ),
    (
        "UPDATE mailings SET state = 'failed', finished_at = wablast_now() - interval '1 hour' WHERE id = 1",
        "is what its messages say",
    ),
    (
        "UPDATE mailings SET state = 'canceled' WHERE id = 1;
         UPDATE outgoing SET state = 'queued' WHERE id = 9",
        "has nothing open",
    ),
    (
        "UPDATE mailings SET log_id = NULL",
        "has its text on record",
    ),
    (
        "UPDATE logs SET state = 'running'; UPDATE mailings SET finished_at = wablast_now() - interval '1 hour'",
        "A log runs as long",
    ),
    (
        "UPDATE outgoing SET state = 'read', read_at = NULL WHERE id = 10",
        "read means delivered",
    ),
    (
        "UPDATE attempts SET rank = 5 WHERE outgoing_id = 11",
        "the furthest that its receipts reached",
    ),
    ("UPDATE account_pace SET tokens = -5", "more of its pace"),
    (
        "UPDATE outgoing SET account_id = 999 WHERE id = 12",
        "belongs to an account",
    ),
    (
        "UPDATE outgoing SET contact_id = 999999 WHERE id = 12",
        "contact exists in the same company",
    ),
    (
        "UPDATE attempts SET outgoing_id = 999999 WHERE outgoing_id = 13",
        "belongs to a message",
    ),
];

#[tokio::test]
async fn every_promise_holds_after_a_run_and_what_breaks_one_is_named() {
    let app = TestApp::new().await;
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
    app.deliver(mailing).await;
    let fine = check::all(&app.app).await.unwrap();
    for finding in &fine {
        assert_eq!(finding.broken, 0, "{}", finding.line());
    }
    // Everything as it was after each of them, so that none hides another.
    app.execute(
        "CREATE SCHEMA kept; CREATE TABLE kept.outgoing AS TABLE outgoing; CREATE TABLE kept.attempts AS TABLE attempts;
         CREATE TABLE kept.mailings AS TABLE mailings; CREATE TABLE kept.logs AS TABLE logs; CREATE TABLE kept.account_pace AS TABLE account_pace",
    )
    .await;
    let mut missed = String::new();
    for (breaks, words) in BREAKS {
        app.execute(breaks).await;
        let found = check::all(&app.app).await.unwrap();
        let named = found
            .iter()
            .any(|one| one.broken > 0 && one.promise.holds.contains(words));
        if !named {
            writeln!(missed, "not noticed ({words}): {breaks}").unwrap();
        }
        app.execute(
            "DELETE FROM outgoing; INSERT INTO outgoing OVERRIDING SYSTEM VALUE TABLE kept.outgoing;
             DELETE FROM attempts; INSERT INTO attempts OVERRIDING SYSTEM VALUE TABLE kept.attempts;
             UPDATE mailings m SET state = k.state, log_id = k.log_id, finished_at = k.finished_at FROM kept.mailings k WHERE k.id = m.id;
             UPDATE logs l SET state = k.state FROM kept.logs k WHERE k.id = l.id;
             UPDATE account_pace p SET tokens = k.tokens FROM kept.account_pace k WHERE k.account_id = p.account_id",
        )
        .await;
    }
    assert!(missed.is_empty(), "{missed}");
}

#[tokio::test]
async fn the_command_says_that_all_hold() {
    let folder = tempfile::tempdir().unwrap();
    let setup = [
        "setup",
        "--company",
        "Batik",
        "--country",
        "ID",
        "--time-zone",
        "Asia/Jakarta",
        "--admin-name",
        "Dewi",
        "--admin-email",
        "dewi@example.com",
        "--admin-password-stdin",
    ];
    run(folder.path(), &setup, PASSWORD);
    let said = run(folder.path(), &["check"], "");
    assert!(
        said.lines().last().unwrap().ends_with("promises hold."),
        "{said}"
    );
}
