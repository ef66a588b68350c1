//! Workers that fetch messages and report: nobody gets one twice, nothing is lost, and whoever says nothing
//! leaves *uncertain*.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::watch;
use wablast::mailings::{release, settle};
use wablast::outgoing::{deliver, open};

use crate::proof::{Api, set_up_by};
use crate::support::TestApp;
use crate::support::browser::Browser;
use crate::support::instance::{Shared, free_port};

/// A company with an account whose messages workers fetch.
struct World {
    app: TestApp,
    account: i64,
}

impl World {
    async fn new(more: &Value) -> Self {
        let app = TestApp::new().await;
        let mut account = json!({ "name": "Toko", "provider": "waha", "send_through": "webhook", "delivery": "direct",
            "pull": true, "pace": { "per_second": 5000, "burst": 5000 } });
        for (name, value) in more.as_object().unwrap() {
            account[name] = value.clone();
        }
        let made = app.ok("POST", "/accounts", Some(&account)).await;
        assert_eq!(made["pull"], true, "{made}");
        let account = made["id"].as_i64().unwrap();
        Self { app, account }
    }

    async fn quick() -> Self {
        Self::new(&json!({})).await
    }

    /// A mailing to so many people that has begun.
    async fn send_to(&self, people: usize) -> i64 {
        let list = self.app.list_of(people).await;
        let mailing = self
            .app
            .mailing(self.account, list, "Hi {{contact.name}} 🌸")
            .await;
        self.app
            .ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        release::advance(&self.app.app).await.unwrap();
        mailing
    }

    async fn pull(&self, limit: u32) -> Value {
        let body = json!({ "account_id": self.account, "limit": limit, "lease_seconds": 60 });
        self.app.ok("POST", "/outgoing/pull", Some(&body)).await
    }

    async fn items(&self, limit: u32) -> Vec<Value> {
        self.pull(limit).await["items"].as_array().unwrap().clone()
    }

    /// Reports one; what was done with it.
    async fn report(&self, item: &Value, status: &str, more: &Value) -> String {
        let mut result =
            json!({ "sent_id": item["sent_id"], "attempt": item["attempt"], "status": status });
        for (name, value) in more.as_object().unwrap() {
            result[name] = value.clone();
        }
        let body = json!({ "results": [result] });
        let noted = self.app.ok("POST", "/outgoing/results", Some(&body)).await;
        noted["results"][0]["noted"].as_str().unwrap().to_owned()
    }

    async fn state(&self, item: &Value) -> String {
        let id = &item["sent_id"];
        self.app
            .value(&format!("SELECT state FROM outgoing WHERE id = {id}"))
            .await
    }

    /// The lease and its grace are over, and somebody looks.
    async fn lease_ends(&self) -> usize {
        self.app.advance(TimeDelta::seconds(75)).await;
        deliver::reap_once(&self.app.app).await.unwrap().uncertain
    }
}

#[tokio::test]
async fn what_a_worker_fetches_has_begun_and_is_what_it_reports() {
    let world = World::quick().await;
    let app = &world.app;
    let mailing = world.send_to(4).await;
    let mut dewi = Browser::new(app);
    dewi.sign_in().await;
    let page = dewi.get(&format!("/mailings/{mailing}")).await.text();
    assert!(
        page.contains("Waits for a worker to fetch the messages"),
        "{page}"
    );
    let batch = world.pull(4).await;
    let items = batch["items"].as_array().unwrap();
    assert_eq!(items.len(), 4, "{batch}");
    let first = &items[0];
    assert_eq!(
        (
            first["number"].as_str(),
            first["text"].as_str(),
            first["mailing_id"].as_i64()
        ),
        (Some("6281200000000"), Some("Hi P0 🌸"), Some(mailing))
    );
    assert_eq!(
        (&first["contact_name"], &first["media"]),
        (&json!("P0"), &Value::Null)
    );
    assert_eq!(
        app.value("SELECT count(*) || ' ' || bool_and(o.state = 'sending' AND a.own_ref LIKE 'pull-%' AND o.lease_until > wablast_now()) FROM outgoing o JOIN attempts a ON a.outgoing_id = o.id AND a.fence = o.fence").await,
        "4 true"
    );
    let sent = json!({ "provider_id": "3EB0AA", "at": "2026-11-24T10:00:00+07:00" });
    assert_eq!(world.report(first, "sent", &sent).await, "recorded");
    assert_eq!(world.report(first, "sent", &sent).await, "repeated");
    assert_eq!(
        world.report(first, "failed", &json!({})).await,
        "contradicted"
    );
    assert_eq!(world.state(first).await, "accepted");
    assert_eq!(
        app.value("SELECT provider_id || ' ' || (accepted_at >= begun_at) FROM outgoing WHERE state = 'accepted'").await,
        "3EB0AA true",
        "no earlier than it was fetched"
    );
    let failed = json!({ "code": "not_on_whatsapp", "error": "no such number" });
    assert_eq!(world.report(&items[1], "failed", &failed).await, "recorded");
    assert_eq!(
        app.value("SELECT code || ': ' || reason FROM outgoing WHERE state = 'failed'")
            .await,
        "not_on_whatsapp: The worker reported a failure: no such number"
    );
    let busy = json!({ "code": "busy", "error": "WAHA starts" });
    assert_eq!(world.report(&items[2], "not_sent", &busy).await, "recorded");
    assert_eq!(world.state(&items[2]).await, "queued");
    assert!(
        app.value("SELECT reason FROM outgoing WHERE state = 'queued'")
            .await
            .ends_with("busy: WAHA starts")
    );
    let blocked = world.pull(4).await;
    assert_eq!(blocked["items"], json!([]), "its gateway rests: {blocked}");
    assert!(blocked["wait_seconds"].as_f64().unwrap() > 0.5, "{blocked}");
    app.advance(TimeDelta::seconds(30)).await;
    let again = world.items(4).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0]["sent_id"], items[2]["sent_id"]);
    assert_ne!(again[0]["attempt"], items[2]["attempt"]);
    // What is said again of the first try changes nothing.
    assert_eq!(world.report(&items[2], "not_sent", &busy).await, "repeated");
    assert_eq!(world.state(&again[0]).await, "sending");
    assert_eq!(
        world.report(&again[0], "sent", &json!({})).await,
        "recorded"
    );
    assert_eq!(
        world
            .report(&items[3], "sent", &json!({ "provider_id": "" }))
            .await,
        "recorded"
    );
    settle::all(&app.app).await.unwrap();
    let shown = app.show(mailing).await;
    assert_eq!(
        (
            &shown["state"],
            &shown["counts"]["accepted"],
            &shown["counts"]["failed"]
        ),
        (&json!("partial_failure"), &json!(3), &json!(1)),
        "{shown}"
    );
    app.holds().await;
}

#[tokio::test]
async fn many_workers_at_once_never_get_the_same_message_and_our_deliverer_gets_none() {
    let world = Arc::new(World::quick().await);
    let mailing = world.send_to(300).await;
    let (stop, stopped) = watch::channel(false);
    let ours = tokio::spawn(deliver::run(world.app.app.clone(), stopped));
    let workers: Vec<_> = (0..6)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let items = world.items(20).await;
                    if items.is_empty() {
                        return mine;
                    }
                    for item in items {
                        assert_eq!(world.report(&item, "sent", &json!({})).await, "recorded");
                        mine.push(item["sent_id"].as_i64().unwrap());
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.unwrap());
    }
    stop.send(true).unwrap();
    ours.await.unwrap();
    assert_eq!(
        (all.len(), all.iter().collect::<BTreeSet<_>>().len()),
        (300, 300)
    );
    settle::all(&world.app.app).await.unwrap();
    let shown = world.app.show(mailing).await;
    assert_eq!(shown["state"], "done", "{shown}");
    let tries =
        "SELECT count(*) || ' ' || count(*) FILTER (WHERE own_ref LIKE 'pull-%') FROM attempts";
    assert_eq!(world.app.value(tries).await, "300 300");
    world.app.holds().await;
}

#[tokio::test]
async fn a_worker_that_says_nothing_leaves_uncertain_and_a_late_word_is_evidence() {
    let world = World::quick().await;
    let app = &world.app;
    let mailing = world.send_to(4).await;
    let items = world.items(4).await;
    assert_eq!(world.lease_ends().await, 4);
    assert_eq!(
        app.value("SELECT DISTINCT code || ': ' || reason FROM outgoing")
            .await,
        "no_callback: An outside worker fetched this message and did not report what became of it in time."
    );
    assert!(
        world.items(50).await.is_empty(),
        "never handed out again by itself"
    );
    assert_eq!(
        world
            .report(&items[0], "sent", &json!({ "provider_id": "A1" }))
            .await,
        "late"
    );
    assert_eq!(
        world
            .report(&items[1], "failed", &json!({ "error": "gone" }))
            .await,
        "late"
    );
    assert_eq!(
        world.report(&items[2], "not_sent", &json!({})).await,
        "late"
    );
    let mut states = Vec::new();
    for item in &items {
        states.push(world.state(item).await);
    }
    assert_eq!(states, ["accepted", "failed", "uncertain", "uncertain"]);
    assert_eq!(
        app.value(
            "SELECT string_agg(coalesce(outcome, '-'), ' ' ORDER BY outgoing_id) FROM attempts"
        )
        .await,
        "accepted refused not_sent uncertain"
    );
    settle::all(&app.app).await.unwrap();
    assert_eq!(app.show(mailing).await["counts"]["uncertain"], 2);
    // A person sends one again; the old word of a failure does not touch the new try.
    let last = &items[3];
    app.execute(&format!(
        "INSERT INTO log_ends (company_id, outgoing_id, log_id, state, code, reason) SELECT company_id, id, log_id, state, code, reason FROM outgoing WHERE id = {0};
         UPDATE outgoing SET state = 'queued', fence = fence + 1, code = NULL, reason = NULL WHERE id = {0};
         UPDATE mailings SET state = 'sending'; UPDATE account_pace SET blocked_until = NULL",
        last["sent_id"]
    ))
    .await;
    let again = world.items(4).await;
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(world.report(last, "failed", &json!({})).await, "late");
    assert_eq!(world.state(last).await, "sending");
    assert_eq!(
        world.report(&again[0], "sent", &json!({})).await,
        "recorded"
    );
    assert_eq!(world.state(last).await, "accepted");
}

#[tokio::test]
async fn that_it_left_after_all_takes_a_message_out_of_the_queue() {
    let world = World::quick().await;
    world.send_to(1).await;
    let item = world.items(1).await.remove(0);
    assert_eq!(
        world.report(&item, "not_sent", &json!({})).await,
        "recorded"
    );
    assert_eq!(
        world
            .report(&item, "sent", &json!({ "provider_id": "A1" }))
            .await,
        "late"
    );
    assert_eq!(world.state(&item).await, "accepted");
    world.app.advance(TimeDelta::minutes(5)).await;
    assert!(world.items(1).await.is_empty());
    settle::all(&world.app.app).await.unwrap();
    world.app.holds().await;
}

#[tokio::test]
async fn cancel_opt_out_and_pause_hold_for_what_was_not_fetched_yet() {
    let world = World::quick().await;
    let app = &world.app;
    let mailing = world.send_to(5).await;
    let fetched = world.items(2).await;
    // Two more asked to stop: one waits, one is in a worker's hands and comes back.
    for name in ["P1", "P2"] {
        let id = app
            .value(&format!("SELECT id FROM contacts WHERE name = '{name}'"))
            .await;
        let out = json!({ "opt_out": true, "reason": "asked" });
        app.ok("PATCH", &format!("/contacts/{id}"), Some(&out))
            .await;
    }
    assert_eq!(
        world.report(&fetched[1], "not_sent", &json!({})).await,
        "recorded"
    );
    app.advance(TimeDelta::minutes(2)).await;
    app.ok("POST", &format!("/mailings/{mailing}/pause"), None)
        .await;
    assert!(world.items(50).await.is_empty(), "paused");
    app.ok("POST", &format!("/mailings/{mailing}/resume"), None)
        .await;
    app.ok("POST", &format!("/accounts/{}/pause", world.account), None)
        .await;
    assert_eq!(
        world.pull(50).await["wait_seconds"],
        Value::Null,
        "the account is paused"
    );
    app.ok("POST", &format!("/accounts/{}/resume", world.account), None)
        .await;
    let more = world.items(1).await;
    assert_eq!(more[0]["contact_name"], "P3", "{more:?}");
    app.ok("POST", &format!("/mailings/{mailing}/cancel"), None)
        .await;
    assert!(world.items(50).await.is_empty(), "cancelled");
    // What was fetched before may have gone: its result counts, and what did not go ends.
    assert_eq!(
        world.report(&fetched[0], "sent", &json!({})).await,
        "recorded"
    );
    assert_eq!(
        world.report(&more[0], "not_sent", &json!({})).await,
        "recorded"
    );
    deliver::reap_once(&app.app).await.unwrap();
    app.advance(TimeDelta::minutes(2)).await;
    assert!(world.items(50).await.is_empty());
    deliver::reap_once(&app.app).await.unwrap();
    assert_eq!(
        app.value("SELECT string_agg(state, ' ' ORDER BY id) FROM outgoing")
            .await,
        "accepted skipped skipped canceled canceled"
    );
    app.holds().await;
}

#[tokio::test]
async fn the_account_s_pace_quiet_hours_and_batches_hold_for_workers_too() {
    let world = World::new(&json!({ "pace": { "per_second": 0.25, "burst": 1 } })).await;
    world.send_to(5).await;
    assert_eq!(world.items(50).await.len(), 1, "as many as the burst");
    let none = world.pull(50).await;
    assert_eq!(none["items"], json!([]));
    let wait = none["wait_seconds"].as_f64().unwrap();
    assert!(wait > 1.0 && wait <= 4.1, "{none}");
    world.app.advance(TimeDelta::seconds(5)).await;
    assert_eq!(world.items(50).await.len(), 1);

    // But for the last minute of a day.
    let night = json!({ "pace": { "per_second": 5000, "burst": 5000,
        "quiet_hours": { "from": "00:00", "until": "23:59", "zone": "recipient" } } });
    let world = World::new(&night).await;
    world.send_to(3).await;
    let none = world.pull(50).await;
    let minute_left = none["items"].as_array().unwrap().len() == 3;
    assert!(
        minute_left || none["wait_seconds"].as_f64().unwrap() > 1.0,
        "everybody sleeps: {none}"
    );

    let world = World::new(&json!({ "delivery": "batched", "batch_size": 2 })).await;
    world.send_to(5).await;
    assert_eq!(
        world.pull(50).await["wait_seconds"],
        Value::Null,
        "nothing is opened"
    );
    assert_eq!(open::all(&world.app.app).await.unwrap().messages, 2);
    assert_eq!(world.items(50).await.len(), 2);
}

#[tokio::test]
async fn a_file_comes_as_an_address_that_leads_to_it() {
    let world = World::quick().await;
    let app = &world.app;
    let (status, file) = app.upload("menu.png", crate::media::png("a")).await;
    assert_eq!(status, 201, "{file}");
    let list = app.list_of(1).await;
    let mailing = app
        .ok("POST", "/mailings", Some(&json!({ "subject": "Menu", "account_id": world.account, "recipients": { "list_ids": [list] },
            "header": { "type": "image", "media_id": file["id"] }, "message": "Our menu" })))
        .await;
    app.ok(
        "POST",
        &format!("/mailings/{}/send_now", mailing["id"]),
        None,
    )
    .await;
    release::advance(&app.app).await.unwrap();
    let item = world.items(1).await.remove(0);
    assert_eq!(
        (&item["media"]["mime_type"], &item["media"]["file_name"]),
        (&json!("image/png"), &json!("menu.png"))
    );
    let address = item["media"]["url"].as_str().unwrap();
    let path = address.split_once("/media/").unwrap().1;
    let fetched = app
        .fetch("GET", &format!("{}/media/{path}", app.address), None)
        .await;
    assert_eq!(fetched.bytes().await.unwrap(), crate::media::png("a"));
}

#[tokio::test]
async fn who_may_not_fetch_is_told_so() {
    let world = World::quick().await;
    let app = &world.app;
    world.send_to(1).await;
    let ask = |account: i64| json!({ "account_id": account });
    let posted = json!({ "name": "Posted", "provider": "waha", "send_through": "webhook", "webhook_url": "http://127.0.0.1:9/x" });
    let posted = app.ok("POST", "/accounts", Some(&posted)).await["id"]
        .as_i64()
        .unwrap();
    let (status, answer) = app.call("POST", "/outgoing/pull", Some(&ask(posted))).await;
    assert_eq!(status, 409, "{answer}");
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Workers fetch the messages"),
        "{answer}"
    );
    let (status, _) = app.call("POST", "/outgoing/pull", Some(&ask(4242))).await;
    assert_eq!(status, 404);
    let other = app.company("Elsewhere").await;
    let stranger = app
        .person_of(&other, "siti@example.com", "administrator")
        .await;
    let theirs = app.as_token(&app.token_of(&other, &stranger).await);
    let (status, _) = theirs
        .call("POST", "/outgoing/pull", Some(&ask(world.account)))
        .await;
    assert_eq!(status, 404, "another company's account is not there");
    let item = world.items(1).await.remove(0);
    let result = json!({ "results": [{ "sent_id": item["sent_id"], "attempt": item["attempt"], "status": "sent" }] });
    let noted = theirs.ok("POST", "/outgoing/results", Some(&result)).await;
    assert_eq!(noted["results"][0]["noted"], "unknown", "{noted}");
    assert_eq!(world.state(&item).await, "sending");
    let manager = app.person("rudi@example.com", "manager").await;
    let managers = app.as_token(&app.token_of("1", &manager).await);
    for (path, body) in [
        ("/outgoing/pull", ask(world.account)),
        ("/outgoing/results", result),
    ] {
        assert_eq!(
            managers.call("POST", path, Some(&body)).await.0,
            403,
            "{path}"
        );
    }
    for wrong in [
        json!({ "account_id": world.account, "limit": 0 }),
        json!({ "account_id": world.account, "limit": 51 }),
        json!({ "account_id": world.account, "lease_seconds": 9 }),
        json!({ "account_id": world.account, "lease_seconds": 601 }),
        json!({ "account_id": world.account, "more": 1 }),
        json!({ "limit": 1 }),
    ] {
        assert_eq!(
            app.call("POST", "/outgoing/pull", Some(&wrong)).await.0,
            422,
            "{wrong}"
        );
    }
    for wrong in [
        json!({ "results": [] }),
        json!({ "results": [{ "sent_id": 1, "attempt": "x", "status": "perhaps" }] }),
        json!({ "results": [{ "sent_id": 1, "attempt": "x", "status": "sent", "at": "yesterday" }] }),
    ] {
        assert_eq!(
            app.call("POST", "/outgoing/results", Some(&wrong)).await.0,
            422,
            "{wrong}"
        );
    }
    let by_api =
        json!({ "name": "X", "provider": "waha", "api_url": "http://127.0.0.1:9", "pull": true });
    assert_eq!(app.call("POST", "/accounts", Some(&by_api)).await.0, 422);
}

#[tokio::test]
async fn ticking_the_box_takes_the_queue_from_our_deliverer_and_back() {
    let world = World::quick().await;
    let app = &world.app;
    world.send_to(2).await;
    let mut dewi = Browser::new(app);
    dewi.sign_in().await;
    let at = format!("/accounts/{}", world.account);
    let page = dewi.get(&at).await;
    let form = page.form(&at);
    assert_eq!(form.get("pulls"), "true");
    let tested = app.ok("POST", &format!("{at}/test"), None).await;
    assert!(
        tested["checks"][0]["message"]
            .as_str()
            .unwrap()
            .contains("None has come yet"),
        "{tested}"
    );
    let saved = dewi.submit(form.clone().without("pulls")).await;
    assert_eq!(saved.status, 422, "{}", saved.text());
    let saved = dewi
        .submit(
            form.without("pulls")
                .set("webhook_url", "http://127.0.0.1:9/webhook/x"),
        )
        .await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    assert!(
        saved.text().contains("Workers fetch the messages"),
        "the history tells it"
    );
    let body = json!({ "account_id": world.account });
    assert_eq!(app.call("POST", "/outgoing/pull", Some(&body)).await.0, 409);
    let mut conn = app.app.db.system().await.unwrap();
    let ours = wablast::outgoing::queue::accounts_with_work(&mut conn)
        .await
        .unwrap();
    assert_eq!(ours.len(), 1);
    drop(conn);
    let page = dewi.get(&at).await;
    dewi.submit(page.form(&at).set("pulls", "true")).await;
    let mut conn = app.app.db.system().await.unwrap();
    let ours = wablast::outgoing::queue::accounts_with_work(&mut conn)
        .await
        .unwrap();
    assert!(ours.is_empty());
    drop(conn);
    assert_eq!(world.items(5).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_forgot_what_was_fetched_is_told_also_where_nobody_asks_again() {
    let world = World::quick().await;
    world.send_to(5).await;
    let earlier = world.app.copied().await;
    assert_eq!(world.items(3).await.len(), 3);
    world.app.set_back_to(earlier).await;
    let state = "SELECT string_agg(state, ' ' ORDER BY state) FROM outgoing";
    world
        .app
        .until("what was fetched rests as uncertain", || async {
            world.app.value(state).await == "queued queued uncertain uncertain uncertain"
        })
        .await;
    assert_eq!(
        world
            .app
            .value("SELECT locked_at IS NOT NULL FROM installation")
            .await,
        "t",
        "nothing leaves until somebody has looked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_dies_before_it_answers_and_nobody_gets_a_second_message() {
    let app = TestApp::bare().await;
    let shared = Shared::new(app.url());
    let token = set_up_by(|arguments, input| shared.run(arguments, input));
    let port = free_port();
    let armed = [("WABLAST_CRASH_AT", "pull.done:1")];
    let mut doomed = shared.start_with(port, &armed).await;
    let caller = TestApp::as_token_at(&doomed.url, &token);
    let account = json!({ "name": "Toko", "provider": "waha", "send_through": "webhook", "delivery": "direct",
        "pull": true, "pace": { "per_second": 5000, "burst": 5000 } });
    let account = caller.ok("POST", "/accounts", Some(&account)).await;
    let api = Api::new(&doomed.url, token.clone());
    let list = api.list_of(5).await;
    let path = api.mailing(&account, &list).await;
    api.try_post(&format!("{path}/send_now")).await;
    app.until("all are released", || async {
        app.value("SELECT count(*) FROM outgoing WHERE state = 'queued'")
            .await
            == "5"
    })
    .await;
    let ask = json!({ "account_id": account["id"], "limit": 3 });
    assert!(
        caller
            .try_call("POST", "/outgoing/pull", &ask)
            .await
            .is_none(),
        "no answer"
    );
    doomed.kill();
    assert_eq!(
        app.value("SELECT count(*) FROM outgoing WHERE state = 'sending'")
            .await,
        "3"
    );
    let mut next = shared.start_with(port, &[]).await;
    let rest = caller
        .ok(
            "POST",
            "/outgoing/pull",
            Some(&json!({ "account_id": account["id"], "limit": 50 })),
        )
        .await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 2, "{rest}");
    app.execute("UPDATE test_clock SET shift = shift + interval '90 seconds'")
        .await;
    app.until("all rest as uncertain", || async {
        app.value("SELECT count(*) FROM outgoing WHERE state = 'uncertain'")
            .await
            == "5"
    })
    .await;
    assert_eq!(app.value("SELECT count(*) FROM attempts").await, "5");
    next.stop();
}
