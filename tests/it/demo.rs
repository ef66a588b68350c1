//! `wablast demo`: made by one command, honest in its figures, labelled everywhere, kept, made anew.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use wablast::demo::{PASSWORD, PEOPLE};
use wablast::embedded::{Opened, Options, Purpose, Role};

use crate::support::chromium::Chromium;
use crate::support::db::TestDatabase;
use crate::support::instance::{Instance, PROGRAM, run};
use crate::support::until;

/// The demo's database, joined as a command joins it.
struct Inside {
    database: TestDatabase,
    _joined: Opened,
}

impl Deref for Inside {
    type Target = TestDatabase;
    fn deref(&self) -> &TestDatabase {
        &self.database
    }
}

async fn database(folder: &Path) -> Inside {
    let options = Options {
        data_dir: folder,
        pg_bin_dir: None,
        launcher: Path::new(PROGRAM),
        purpose: Purpose::Demo,
    };
    let joined = Opened::open(options, Role::Command).await.unwrap();
    let url = joined.url().to_owned();
    Inside {
        database: TestDatabase { url },
        _joined: joined,
    }
}

/// What must be 0 in every database of ours, and what it would mean.
const RECOUNTS: &[(&str, &str)] = &[
    (
        "a mailing without all its messages",
        "SELECT count(*) FROM mailings m WHERE version_id IS NOT NULL AND audience_size <> (SELECT count(*) FROM outgoing o WHERE o.mailing_id = m.id)",
    ),
    (
        "something is under way",
        "SELECT count(*) FROM outgoing WHERE state IN ('queued', 'claimed', 'sending', 'accepted')",
    ),
    (
        "attempts that are not counted",
        "SELECT count(*) FROM outgoing o WHERE attempts <> (SELECT count(*) FROM attempts a WHERE a.outgoing_id = o.id)",
    ),
    (
        "an attempt without an end",
        "SELECT count(*) FROM attempts WHERE outcome IS NULL",
    ),
    (
        "a message to somebody who had opted out",
        "SELECT count(*) FROM outgoing o JOIN contacts c ON c.id = o.contact_id WHERE o.kind = 'mailing' AND o.begun_at > c.opt_out_at AND c.opt_out",
    ),
    (
        "somebody written to twice by one mailing",
        "SELECT count(*) FROM (SELECT FROM outgoing WHERE kind = 'mailing' GROUP BY mailing_id, contact_id HAVING count(*) > 1) twice",
    ),
    (
        "an instant in the future",
        "SELECT count(*) FROM outgoing WHERE greatest(created_at, begun_at, accepted_at, delivered_at, read_at, replied_at) > clock_timestamp()",
    ),
    (
        "read before it was sent",
        "SELECT count(*) FROM outgoing WHERE begun_at < created_at OR accepted_at < begun_at OR delivered_at < accepted_at OR read_at < delivered_at OR replied_at < read_at",
    ),
    (
        "a message outside of its mailing's run",
        "SELECT count(*) FROM outgoing o JOIN mailings m ON m.id = o.mailing_id WHERE o.begun_at < m.started_at",
    ),
    (
        "a mailing that says done with failures, or failed without",
        "SELECT count(*) FROM mailings m WHERE state IN ('done', 'partial_failure') AND (state = 'partial_failure') <> EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state IN ('failed', 'expired'))",
    ),
    (
        "a log that still runs",
        "SELECT count(*) FROM logs WHERE state = 'running'",
    ),
    (
        "an event that is not applied",
        "SELECT count(*) FROM inbox WHERE state <> 'applied'",
    ),
    (
        "a person without a number",
        "SELECT count(*) FROM contacts WHERE whatsapp_number IS NULL",
    ),
    (
        "the clock is still set back",
        "SELECT count(*) FROM pg_tables WHERE tablename = 'demo_clock'",
    ),
    (
        "SQL's time is not now",
        "SELECT (abs(extract(epoch FROM wablast_now() - clock_timestamp())) > 1)::int",
    ),
];

/// What it has: at least so many.
const HAS: &[(&str, &str, i64)] = &[
    ("people", "SELECT count(*) FROM contacts", 2000),
    (
        "countries",
        "SELECT count(DISTINCT country) FROM contacts",
        6,
    ),
    ("tags", "SELECT count(DISTINCT tag_id) FROM contact_tags", 3),
    (
        "people with attributes",
        "SELECT count(*) FROM contacts WHERE attributes ? 'points'",
        1000,
    ),
    ("lists", "SELECT count(*) FROM lists", 5),
    (
        "opt-outs by hand and by word",
        "SELECT count(*) FROM contacts WHERE opt_out",
        35,
    ),
    (
        "stops that people sent",
        "SELECT count(*) FROM incoming WHERE opted_out",
        5,
    ),
    (
        "messages nobody read",
        "SELECT count(*) FROM incoming WHERE read_at IS NULL",
        8,
    ),
    (
        "answers to mailings",
        "SELECT count(*) FROM outgoing WHERE replied_at IS NOT NULL",
        20,
    ),
    (
        "replies of the company",
        "SELECT count(*) FROM outgoing WHERE kind = 'reply' AND state IN ('sent', 'delivered', 'read')",
        3,
    ),
    (
        "ended mailings",
        "SELECT count(*) FROM mailings WHERE state = 'done'",
        2,
    ),
    (
        "a partial failure",
        "SELECT count(*) FROM mailings WHERE state = 'partial_failure'",
        1,
    ),
    (
        "a canceled one",
        "SELECT count(*) FROM mailings WHERE state = 'canceled'",
        1,
    ),
    (
        "one with its date",
        "SELECT count(*) FROM mailings WHERE state = 'submitted' AND schedule_date > now()",
        1,
    ),
    (
        "drafts",
        "SELECT count(*) FROM mailings WHERE state = 'draft'",
        2,
    ),
    (
        "people skipped with the reason",
        "SELECT count(*) FROM outgoing WHERE state = 'skipped' AND code = 'opted_out'",
        10,
    ),
    (
        "templates of the number at Meta",
        "SELECT count(*) FROM templates",
        5,
    ),
    (
        "what a mailing on a template cost",
        "SELECT count(*) FROM charge_sums WHERE micros > 0",
        1,
    ),
    (
        "days of work",
        "SELECT count(DISTINCT date(started_at)) FROM logs",
        4,
    ),
    (
        "roles",
        "SELECT count(DISTINCT role) FROM user_companies",
        3,
    ),
];

async fn judged(folder: &Path) {
    let promises = run(folder, &["check"], "");
    assert!(promises.contains("promises hold"), "{promises}");
    let database = database(folder).await;
    for (meaning, query) in RECOUNTS {
        assert_eq!(database.value(query).await, "0", "{meaning}");
    }
    for (what, query, least) in HAS {
        let count: i64 = database.value(query).await.parse().unwrap();
        assert!(count >= *least, "{what}: {count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_made_and_every_figure_equals_a_recount() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("demo");
    let mut demo = Instance::demo(&folder, false).await;
    judged(&folder).await;
    database(&folder)
        .await
        .execute("UPDATE companies SET name = 'Kept'")
        .await;
    demo.stop();

    // Opened again, it is the same; the simulator answers where the account looks for it.
    let mut demo = Instance::demo(&folder, false).await;
    let again = database(&folder).await;
    assert_eq!(again.value("SELECT name FROM companies").await, "Kept");
    judged(&folder).await;
    let gateway = again
        .value("SELECT api_url FROM accounts WHERE provider = 'waha'")
        .await;
    let gateway = gateway.strip_prefix("http://").unwrap().to_owned();
    until("the simulator answers", Duration::from_secs(20), || async {
        tokio::net::TcpStream::connect(&gateway).await.is_ok()
    })
    .await;
    drop(again);
    demo.stop();

    let mut demo = Instance::demo(&folder, true).await;
    assert!(
        database(&folder)
            .await
            .value("SELECT name FROM companies")
            .await
            .contains("demo")
    );
    judged(&folder).await;
    demo.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_walked_from_the_sign_in_to_a_mailing_that_everybody_got() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("demo");
    let demo = Instance::demo(&folder, false).await;
    let browser = Chromium::start(&demo.url).await;
    let label = "Demo with a simulated gateway";

    browser.goto("/login").await;
    browser.reads(label).await;
    let (_, administrator, _) = PEOPLE[0];
    browser.fill("email", administrator).await;
    browser.fill("password", PASSWORD).await;
    browser.press("main button[type=submit]").await;
    browser.reads("Promo Parang, siap dikirim").await;

    let menus = browser
        .script("return [...new Set([...document.querySelectorAll('nav a[href^=\"/\"]')].map(a => a.getAttribute('href')))]")
        .await;
    let menus: Vec<String> = serde_json::from_value(menus).unwrap();
    for page in [
        "/mailings",
        "/logs",
        "/lists",
        "/contacts",
        "/incoming",
        "/outgoing",
        "/accounts",
        "/jobs",
    ] {
        assert!(menus.iter().any(|menu| menu == page), "{page} of {menus:?}");
    }
    for page in &menus {
        browser.goto(page).await;
        browser.reads(label).await;
        let wide = browser
            .script("return document.documentElement.scrollWidth <= window.innerWidth")
            .await;
        assert_eq!(wide, true, "{page} scrolls sideways");
    }
    browser.goto("/accounts").await;
    browser.reads("Simulator: Toko Bandung").await;

    let database = database(&folder).await;
    let ready = database
        .value("SELECT id FROM mailings WHERE subject = 'Promo Parang, siap dikirim'")
        .await;
    database
        .execute("UPDATE accounts SET per_second = 500, burst = 500")
        .await;
    browser.goto(&format!("/mailings/{ready}")).await;
    browser.reads("Simulator: Toko Bandung").await;
    browser.press("button[form=mailing][value=send_now]").await;
    browser.reads("Send to ").await;
    browser.press("[data-dialog] button.btn-primary").await;
    until("everybody has it", Duration::from_secs(60), || async {
        let state = database.value(&format!("SELECT state FROM mailings WHERE id = {ready}")).await;
        let open = database.value(&format!("SELECT count(*) FROM outgoing WHERE mailing_id = {ready} AND state NOT IN ('delivered', 'read', 'skipped')")).await;
        state == "done" && open == "0"
    })
    .await;
    let reached = database
        .value(&format!("SELECT count(*) FROM outgoing WHERE mailing_id = {ready} AND state IN ('delivered', 'read')"))
        .await;
    assert!(reached.parse::<i64>().unwrap() > 100, "{reached}");
    browser.goto("/logs").await;
    browser.press("table.list tbody th a").await;
    browser.reads("Promo Parang, siap dikirim").await;
    browser.reads("Done").await;
    browser.reads(&reached).await;
    browser.reads("Delivered").await;
    assert_eq!(browser.faults().await, Vec::<String>::new());
    browser.close().await;
}
