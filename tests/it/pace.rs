//! Pace: caps, pauses, warm-up, quiet hours, the gap to one person, slowing down, the end of a mailing, and the
//! frequency cap; over several takers, and in the words of the pages.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;
use wablast::accounts::{self, Rules};
use wablast::ids::{AccountId, CompanyId};
use wablast::mailings::release;
use wablast::outgoing::claim::{self, Ask, Ready, Trail};
use wablast::outgoing::deliver;
use wablast::outgoing::pace::{self, Gates};
use wablast::outgoing::queue::{self, Next};
use wablast::simulator::{Options, Running};

use crate::support::browser::Browser;
use crate::support::{TestApp, arrived, simulator, tell};

/// A released mailing of so many people, through an account with these columns.
struct Stage {
    app: TestApp,
    waha: Running,
    account: i64,
    mailing: i64,
}

impl Stage {
    async fn new(people: usize, columns: &str) -> Self {
        let app = TestApp::new().await;
        let waha = simulator(Options::default()).await;
        let account = app.account(&waha).await;
        let list = app.list_of(people).await;
        let mailing = app.mailing(account, list, "Hello").await;
        let stage = Self {
            app,
            waha,
            account,
            mailing,
        };
        stage.set(columns).await;
        stage.send(mailing).await;
        stage
    }

    /// As a form that is saved.
    async fn set(&self, columns: &str) {
        self.app
            .execute(&format!(
                "UPDATE accounts SET {columns}, updated_at = wablast_now()"
            ))
            .await;
    }

    async fn send(&self, mailing: i64) {
        let path = format!("/mailings/{mailing}/send_now");
        self.app.ok("POST", &path, None).await;
        release::advance(&self.app.app).await.unwrap();
        let mut conn = self.app.app.db.system().await.unwrap();
        queue::accounts_with_work(&mut conn).await.unwrap();
    }

    /// How many of at most a hundred are taken now.
    async fn taken(&self) -> usize {
        let mut conn = self.app.app.db.system().await.unwrap();
        let account = AccountId(self.account);
        let gates = self.gates().await;
        let ask = Ask {
            account,
            owner: Uuid::new_v4(),
            limit: 100,
            ready: &Ready {
                begin: true,
                own_refs: None,
            },
            gates: &gates,
        };
        let taken = claim::take(&mut conn, &ask, &mut Trail::default())
            .await
            .unwrap();
        taken.begun.len() + taken.claimed.len()
    }

    async fn gates(&self) -> Gates {
        let mut conn = self.app.app.db.system().await.unwrap();
        let account = accounts::query::find(&mut conn, AccountId(self.account))
            .await
            .unwrap();
        let zone = wablast::companies::find(&mut conn, CompanyId(1))
            .await
            .unwrap()
            .zone();
        Gates::of(&account.rules, zone, self.app.app.clock.now())
    }

    fn deliver(&self) -> (watch::Sender<bool>, JoinHandle<()>) {
        let (stop, stopped) = watch::channel(false);
        (
            stop,
            tokio::spawn(deliver::run(self.app.app.clone(), stopped)),
        )
    }

    async fn states(&self) -> String {
        self.app
            .value("SELECT string_agg(state || ' ' || coalesce(code, '-') || ' ' || n, ', ' ORDER BY state, code)
                    FROM (SELECT state, code, count(*) AS n FROM outgoing GROUP BY 1, 2) s")
            .await
    }

    /// Somebody tries the account: a message of another kind.
    async fn test_message(&self, number: &str) {
        self.app
            .execute(&format!(
                "WITH c AS (INSERT INTO outgoing_content (company_id, text, cause) VALUES (1, 'Hello', '{number}') RETURNING id)
                 INSERT INTO outgoing (company_id, account_id, kind, content_id, number, state)
                   SELECT 1, {}, 'test', id, '{number}', 'queued' FROM c",
                self.account
            ))
            .await;
    }
}

#[tokio::test]
async fn an_hourly_cap_lets_no_hour_have_more_and_other_kinds_through() {
    let stage = Stage::new(12, "hourly_cap = 5").await;
    assert_eq!(stage.taken().await, 5);
    assert_eq!(stage.taken().await, 0, "full");
    stage.test_message("6281300000001").await;
    assert_eq!(stage.taken().await, 1, "a test goes");
    let mut conn = stage.app.app.db.system().await.unwrap();
    let account = AccountId(stage.account);
    let standing = pace::standing(&mut conn, account).await.unwrap().unwrap();
    assert_eq!(
        (standing.hour, standing.full()),
        (Some(6), Some(pace::Cap::Hour))
    );
    let until = standing.capped_until.unwrap() - stage.app.app.clock.now();
    assert!(
        until > TimeDelta::minutes(59) && until <= TimeDelta::minutes(70),
        "{until}"
    );
    let Next::In(wait) = queue::next(&mut conn, account, None).await.unwrap() else {
        panic!("seven wait")
    };
    assert!(wait.as_secs() > 59 * 60, "{wait:?}");
    drop(conn);
    stage.app.advance(TimeDelta::minutes(59)).await;
    assert_eq!(stage.taken().await, 0, "an hour is not over");
    stage.app.advance(TimeDelta::minutes(11)).await;
    assert_eq!(stage.taken().await, 5);
}

#[tokio::test]
async fn a_daily_cap_holds_over_a_day_and_what_was_given_back_does_not_count() {
    let stage = Stage::new(9, "daily_cap = 4").await;
    let mut conn = stage.app.app.db.system().await.unwrap();
    let account = AccountId(stage.account);
    let claimed = claim::claim(&mut conn, account, Uuid::new_v4(), 100)
        .await
        .unwrap();
    assert_eq!(claimed.len(), 4);
    queue::give_back(&mut conn, &claimed).await.unwrap();
    pace::give_room_back(&mut conn, account, claimed.len())
        .await
        .unwrap();
    drop(conn);
    assert_eq!(stage.taken().await, 4, "nothing had left");
    stage.app.advance(TimeDelta::hours(23)).await;
    assert_eq!(stage.taken().await, 0);
    stage.app.advance(TimeDelta::minutes(71)).await;
    assert_eq!(stage.taken().await, 4);
}

#[tokio::test]
async fn takers_together_stay_under_a_cap() {
    let stage = Stage::new(150, "hourly_cap = 40, daily_cap = 1000").await;
    let mut takers = Vec::new();
    for _ in 0..6 {
        let (app, account) = (stage.app.app.clone(), AccountId(stage.account));
        takers.push(tokio::spawn(async move {
            let (mut all, owner) = (0, Uuid::new_v4());
            for _ in 0..10 {
                let mut conn = app.db.system().await.unwrap();
                all += claim::claim(&mut conn, account, owner, 7)
                    .await
                    .unwrap()
                    .len();
            }
            all
        }));
    }
    let mut all = 0;
    for taker in takers {
        all += taker.await.unwrap();
    }
    assert_eq!(all, 40);
}

#[tokio::test]
async fn a_warm_up_grows_day_by_day_in_the_database_as_on_the_page() {
    let stage = Stage::new(
        60,
        "daily_cap = 50, warm_up_first = 3, warm_up_days = 6, warm_up_since = wablast_now()",
    )
    .await;
    let rules = Rules {
        hourly_cap: None,
        daily_cap: Some(50),
        delay_min: None,
        delay_max: None,
        warm_up_first: Some(3),
        warm_up_days: Some(6),
        warm_up_since: None,
        person_gap: 0,
        quiet_from: None,
        quiet_until: None,
        quiet_local: true,
    };
    for day in 1..=8 {
        let stored = stage
            .app
            .value(&format!(
                "SELECT wablast_day_cap(50, 3, 6, '2026-01-01', '2026-01-01'::timestamptz + interval '{} hours')",
                (day - 1) * 24 + 5
            ))
            .await;
        assert_eq!(
            Some(stored),
            rules.cap_on(day).map(|cap| cap.to_string()),
            "day {day}"
        );
    }
    assert_eq!(stage.taken().await, 3, "the first day");
    stage.app.advance(TimeDelta::hours(25)).await;
    let second = usize::try_from(rules.cap_on(2).unwrap()).unwrap();
    assert_eq!(stage.taken().await, second, "the second");
}

#[tokio::test]
async fn a_pause_follows_every_message() {
    let stage = Stage::new(3, "delay_min = 20, delay_max = 30").await;
    assert_eq!(stage.taken().await, 1, "one at a time");
    assert_eq!(stage.taken().await, 0);
    let mut conn = stage.app.app.db.system().await.unwrap();
    let Next::In(wait) = queue::next(&mut conn, AccountId(stage.account), None)
        .await
        .unwrap()
    else {
        panic!("two wait")
    };
    assert!((10..=30).contains(&wait.as_secs()), "{wait:?}");
    drop(conn);
    stage.app.advance(TimeDelta::seconds(31)).await;
    assert_eq!(stage.taken().await, 1);
}

#[tokio::test]
async fn two_messages_to_one_person_are_kept_apart() {
    let stage = Stage::new(4, "person_gap = 60").await;
    let list: i64 = stage
        .app
        .value("SELECT max(id) FROM lists")
        .await
        .parse()
        .unwrap();
    let other = stage.app.mailing(stage.account, list, "Again").await;
    stage.send(other).await;
    assert_eq!(stage.taken().await, 4, "one message to each of four");
    let waits = "SELECT count(*) FROM outgoing WHERE code = 'person_gap' AND state = 'queued' AND not_before > wablast_now()";
    assert_eq!(stage.app.value(waits).await, "4");
    assert_eq!(stage.taken().await, 0);
    stage.app.advance(TimeDelta::seconds(61)).await;
    assert_eq!(stage.taken().await, 4);
}

/// Hours around now by the clocks of Indonesia that are day in Spain.
fn night_in_indonesia(now: DateTime<Utc>) -> (String, String) {
    let there = now.with_timezone(&chrono_tz::Asia::Jakarta).time();
    let time = |hours| {
        (there + TimeDelta::hours(hours))
            .format("%H:%M")
            .to_string()
    };
    (time(-1), time(3))
}

#[tokio::test]
async fn who_sleeps_is_written_to_afterwards_and_the_others_meanwhile() {
    let stage = Stage::new(3, "burst = burst").await;
    let app = &stage.app;
    let (from, until) = night_in_indonesia(app.app.clock.now());
    stage
        .set(&format!("quiet_from = '{from}', quiet_until = '{until}'"))
        .await;
    app.execute("UPDATE outgoing SET number = '34612345678' WHERE number = '6281200000001'")
        .await;
    let (stop, deliverer) = stage.deliver();
    app.until("the one in Spain has it", || async {
        arrived(&stage.waha).await["total"] == 1
            && stage.states().await.contains("queued quiet_hours 2")
    })
    .await;
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    let id = app
        .value("SELECT max(id) FROM outgoing WHERE code = 'quiet_hours'")
        .await;
    let text = browser.get(&format!("/outgoing/{id}")).await.text();
    assert!(
        text.contains("Quiet hours. It is") && text.contains("there (Jakarta)"),
        "{text}"
    );
    let text = browser
        .get(&format!("/mailings/{}", stage.mailing))
        .await
        .text();
    assert!(text.contains("Wait for the end of quiet hours"), "{text}");
    app.advance(TimeDelta::minutes(181)).await;
    app.until("it is day everywhere", || async {
        arrived(&stage.waha).await["total"] == 3
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    assert_eq!(arrived(&stage.waha).await["doubled"], 0);
    app.holds().await;
}

#[tokio::test]
async fn changed_quiet_hours_let_go_what_the_old_ones_held() {
    let stage = Stage::new(30, "burst = burst").await;
    let (from, until) = night_in_indonesia(stage.app.app.clock.now());
    stage
        .set(&format!("quiet_from = '{from}', quiet_until = '{until}'"))
        .await;
    let (stop, deliverer) = stage.deliver();
    stage
        .app
        .until("all are held", || async {
            stage.states().await == "queued quiet_hours 30"
        })
        .await;
    stage.set("quiet_from = NULL, quiet_until = NULL").await;
    stage
        .app
        .until("all have it", || async {
            arrived(&stage.waha).await["total"] == 30
        })
        .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    stage.app.holds().await;
}

#[tokio::test]
async fn what_was_put_off_by_old_rules_after_others_had_followed_is_let_go_too() {
    let stage = Stage::new(1, "burst = burst").await;
    let mut conn = stage.app.app.db.system().await.unwrap();
    let account = AccountId(stage.account);
    pace::follow_rules(&mut conn, account, false).await.unwrap();
    // Another process still went by the rules of before.
    stage
        .app
        .execute("UPDATE outgoing SET not_before = wablast_now() + interval '9 hours', code = 'quiet_hours'")
        .await;
    pace::follow_rules(&mut conn, account, false).await.unwrap();
    assert_eq!(stage.states().await, "queued quiet_hours 1");
    pace::follow_rules(&mut conn, account, true).await.unwrap();
    assert_eq!(stage.states().await, "queued - 1");
}

#[tokio::test]
async fn quiet_hours_of_the_company_hold_mailings_and_nothing_else() {
    let stage = Stage::new(3, "burst = burst").await;
    let now = stage.app.app.clock.now();
    let here = now.with_timezone(&chrono_tz::Asia::Jakarta).time();
    let until = (here + TimeDelta::hours(2)).format("%H:%M").to_string();
    let from = (here - TimeDelta::hours(1)).format("%H:%M").to_string();
    stage
        .set(&format!(
            "quiet_from = '{from}', quiet_until = '{until}', quiet_local = false"
        ))
        .await;
    stage.test_message("6281300000002").await;
    let (stop, deliverer) = stage.deliver();
    stage
        .app
        .until("the test has arrived", || async {
            arrived(&stage.waha).await["total"] == 1
        })
        .await;
    assert_eq!(stage.taken().await, 0);
    let mut browser = Browser::new(&stage.app);
    browser.sign_in().await;
    for page in [
        format!("/mailings/{}", stage.mailing),
        format!("/accounts/{}", stage.account),
    ] {
        let text = browser.get(&page).await.text();
        assert!(text.contains("Quiet hours until"), "{page}: {text}");
    }
    stage.app.advance(TimeDelta::minutes(121)).await;
    stage
        .app
        .until("all have it", || async {
            arrived(&stage.waha).await["total"] == 4
        })
        .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
}

#[tokio::test]
async fn a_rate_error_halves_the_rate_which_rises_again_and_fails_nobody() {
    let stage = Stage::new(5, "burst = burst").await;
    tell(
        &stage.waha,
        "/simulator/faults",
        &json!({ "numbers": { "6281200000002": "rate_limited" } }),
    )
    .await;
    let (stop, deliverer) = stage.deliver();
    let slow = || async { stage.app.value("SELECT slow FROM account_pace").await };
    stage
        .app
        .until("it goes slower", || async { slow().await == "0.5" })
        .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    tell(&stage.waha, "/simulator/faults", &json!({ "numbers": {} })).await;
    let mut conn = stage.app.app.db.system().await.unwrap();
    let account = AccountId(stage.account);
    pace::slow_down(&mut conn, account).await.unwrap();
    assert_eq!(slow().await, "0.5", "answers that come together count once");
    stage.app.advance(TimeDelta::minutes(10)).await;
    let standing = pace::standing(&mut conn, account).await.unwrap().unwrap();
    assert!((standing.slow - 1.0).abs() < 1e-9, "{}", standing.slow);
    drop(conn);
    let sent = stage.app.deliver(stage.mailing).await;
    assert_eq!(sent["state"], "done", "{sent}");
    assert_eq!(arrived(&stage.waha).await["doubled"], 0);
}

#[tokio::test]
async fn what_has_not_left_by_the_end_of_a_mailing_expires() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(5).await;
    let end = |hours| (app.app.clock.now() + TimeDelta::hours(hours)).to_rfc3339();
    let body = |not_after: String| json!({ "subject": "Hello", "account_id": account, "recipients": { "list_ids": [list] }, "message": "Today only", "not_after": not_after });
    let over = app.ok("POST", "/mailings", Some(&body(end(-1)))).await;
    let path = format!("/mailings/{}/send_now", over["id"]);
    let (status, refused) = app.call("POST", &path, None).await;
    assert_eq!(status, 422, "{refused}");
    assert!(refused.to_string().contains("not_after"), "{refused}");
    let mailing = app.ok("POST", "/mailings", Some(&body(end(2)))).await["id"]
        .as_i64()
        .unwrap();
    app.execute("UPDATE accounts SET hourly_cap = 2").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    release::advance(&app.app).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("two have it", || async {
        arrived(&waha).await["total"] == 2
    })
    .await;
    app.execute("UPDATE accounts SET hourly_cap = 1, updated_at = wablast_now()")
        .await;
    app.advance(TimeDelta::hours(3)).await;
    deliver::reap_once(&app.app).await.unwrap();
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    let shown = app.deliver(mailing).await;
    assert_eq!(shown["counts"]["expired"], 3, "{shown}");
    assert_eq!(shown["state"], "partial_failure", "{shown}");
    assert_eq!(arrived(&waha).await["total"], 2);
}

#[tokio::test]
async fn nobody_gets_more_mailings_than_the_company_allows() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(4).await;
    app.execute("UPDATE companies SET frequency_mailings = 1, frequency_days = 7")
        .await;
    let mut mailings = Vec::new();
    // Both are released before anybody was written to.
    for _ in 0..2 {
        let mailing = app.mailing(account, list, "Hello").await;
        app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        mailings.push(mailing);
    }
    release::advance(&app.app).await.unwrap();
    app.deliver(mailings[0]).await;
    app.deliver(mailings[1]).await;
    assert_eq!(arrived(&waha).await["total"], 4, "one each");
    let skipped = |shown: &Value| shown["counts"]["skipped"].as_i64().unwrap_or_default();
    let (first, second) = (app.show(mailings[0]).await, app.show(mailings[1]).await);
    assert_eq!(skipped(&first) + skipped(&second), 4, "{first} {second}");
    let third = app.mailing(account, list, "Hello").await;
    let check = app
        .ok("GET", &format!("/mailings/{third}/preflight"), None)
        .await;
    assert_eq!(
        (
            check["will_send"].as_i64(),
            check["left_out"]["frequency_cap"].as_i64()
        ),
        (Some(0), Some(4)),
        "{check}"
    );
    app.advance(TimeDelta::days(8)).await;
    let check = app
        .ok("GET", &format!("/mailings/{third}/preflight"), None)
        .await;
    assert_eq!(check["will_send"], 4, "{check}");
}

#[tokio::test]
async fn the_form_keeps_every_rule_and_says_what_is_wrong() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let address = format!("/accounts/{account}");
    let filled = [
        ("hourly_cap", "400"),
        ("daily_cap", "2400"),
        ("delay_min", "2"),
        ("delay_max", "5.5"),
        ("warm_up_first", "20"),
        ("warm_up_days", "14"),
        ("person_gap", "6"),
        ("quiet_from", "20:00"),
        ("quiet_until", "08:00"),
        ("quiet_zone", "company"),
    ];
    let form = |page: &crate::support::browser::Page| {
        let form = page.form(&address);
        filled
            .iter()
            .fold(form, |form, (name, value)| form.set(name, value))
    };
    let page = browser.get(&address).await;
    let page = browser.submit(form(&page).set("delay_max", "1")).await;
    assert!(
        page.text()
            .contains("The longest pause must not be shorter"),
        "{}",
        page.text()
    );
    let page = browser.submit(form(&page)).await;
    let kept = page.form(&address);
    for (name, value) in filled {
        assert_eq!(kept.get(name), value, "{name}");
    }
    let since = "SELECT warm_up_since FROM accounts";
    let before = app.value(since).await;
    app.advance(TimeDelta::minutes(20)).await;
    let page = browser.submit(kept.set("hourly_cap", "500")).await;
    assert_eq!(
        app.value(since).await,
        before,
        "a warm-up that goes on keeps its first day"
    );
    assert!(page.text().contains("Hourly cap"), "the history says so");
    let shown = app.ok("GET", &format!("/accounts/{account}"), None).await;
    assert_eq!(
        shown["pace"],
        json!({ "per_second": 5000.0, "burst": 5000, "hourly_cap": 500, "daily_cap": 2400, "delay": { "min": 2.0, "max": 5.5 },
            "warm_up": { "first_day": 20, "days": 14 }, "person_gap": 6,
            "quiet_hours": { "from": "20:00", "until": "08:00", "zone": "company" } })
    );
}

#[tokio::test]
async fn thousands_of_quiet_people_do_not_keep_the_others_waiting() {
    let stage = Stage::new(2, "burst = burst").await;
    let app = &stage.app;
    let (from, until) = night_in_indonesia(app.app.clock.now());
    stage
        .set(&format!("quiet_from = '{from}', quiet_until = '{until}'"))
        .await;
    // The queue before the one in Spain is long and asleep.
    app.execute(
        "INSERT INTO outgoing (company_id, account_id, kind, mailing_id, version_id, log_id, contact_id, number, state, field_values)
           SELECT o.company_id, o.account_id, 'mailing', o.mailing_id, o.version_id, o.log_id, -n, '62822' || lpad(n::text, 8, '0'), 'queued', '{}'
           FROM (SELECT * FROM outgoing LIMIT 1) o, generate_series(1, 25000) n;
         WITH last AS (SELECT max(id) AS id FROM outgoing) UPDATE outgoing SET number = '34612345678' FROM last WHERE outgoing.id = last.id",
    )
    .await;
    let (stop, deliverer) = stage.deliver();
    app.until("the one in Spain has it", || async {
        arrived(&stage.waha).await["total"] == 1
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    assert_eq!(
        app.value("SELECT count(*) FROM outgoing WHERE code = 'quiet_hours' AND state = 'queued'")
            .await,
        "25001"
    );
}
