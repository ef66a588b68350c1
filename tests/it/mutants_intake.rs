//! Bodies that no gateway ever sent, made from those that they did: 20,000 of them, properly signed, to every
//! address that takes events. Nothing falls, nothing is stuck, nobody else is touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use uuid::Uuid;
use wablast::accounts::{self, callback_token, flow};
use wablast::gateways::{Accepted, meta, waha};
use wablast::ids::{AccountId, CompanyId, UserId};
use wablast::intake;
use wablast::outgoing::pace::Gates;
use wablast::outgoing::record::{self, Outcome};
use wablast::outgoing::{begin, claim, deliver, queue};

use crate::support::TestApp;

const BODIES: u64 = 20_000;
const TAMPERED: u64 = 1_000;
/// Posts under way at one time: they share commits.
const AT_ONCE: usize = 100;
const META_SECRET: &str = "the-app-secret";

/// The same numbers for the same seed (`splitmix64`).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Stands for a number that JSON can write and no integer holds.
const HUGE: &str = "@huge@";

/// What may stand where something else was.
fn odd(dice: &mut Dice) -> Value {
    match dice.below(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(i64::MAX),
        5 => json!(u64::MAX),
        6 => json!(HUGE),
        7 => json!(0.000_1),
        8 => json!(""),
        9 => json!("9".repeat(400)),
        10 => json!("\u{0}a\u{0}"),
        11 => json!("👩‍👩‍👧‍👦\u{202e}STOP\u{feff}".repeat(50)),
        12 => json!([]),
        13 => json!({}),
        14 => json!([[{ "id": 1 }], null, "x"]),
        _ => json!("x".repeat(20_000)),
    }
}

/// The places of a value, as pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, field)| (key.replace('~', "~0").replace('/', "~1"), field))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(n, item)| (n.to_string(), item))
            .collect(),
        _ => return,
    };
    for (key, field) in inside {
        let place = format!("{at}/{key}");
        places(field, &place, found);
        found.push(place);
    }
}

/// Changes the meaning: another type, a huge number, two values in each other's place, one gone, one twice.
fn restructured(dice: &mut Dice, body: &[u8]) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let mut all = Vec::new();
    places(&value, "", &mut all);
    if all.is_empty() {
        return None;
    }
    let at = dice.one(&all).clone();
    match dice.below(6) {
        0 | 1 => *value.pointer_mut(&at)? = odd(dice),
        2 => {
            let from: &String = dice.one(&all);
            let other = value.pointer(from)?.clone();
            *value.pointer_mut(&at)? = other;
        }
        3 => {
            let (parent, key) = at.rsplit_once('/')?;
            match value.pointer_mut(parent)? {
                Value::Object(fields) => drop(fields.remove(key)),
                Value::Array(items) => items.clear(),
                _ => return None,
            }
        }
        4 => {
            let whole = value.pointer(&at)?.clone();
            let (parent, _) = at.rsplit_once('/')?;
            match value.pointer_mut(parent)? {
                Value::Array(items) => items.extend(vec![whole; 50]),
                Value::Object(fields) => drop(fields.insert("more".to_owned(), whole)),
                _ => return None,
            }
        }
        _ => {
            // JSON inside a string is read too.
            let inner = value.pointer(&at)?.to_string();
            *value.pointer_mut(&at)? = inner.into();
        }
    }
    let text = value.to_string().replace(&format!("\"{HUGE}\""), "1e999");
    Some(text.into_bytes())
}

/// Changes the bytes.
fn damaged(dice: &mut Dice, body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    let at = dice.below(bytes.len());
    match dice.below(6) {
        0 => {
            for _ in 0..=dice.below(4) {
                let at = dice.below(bytes.len());
                bytes[at] ^= 1 << dice.below(8);
            }
        }
        1 => bytes.truncate(at),
        2 => {
            let bad: &[u8] =
                dice.one::<&[u8]>(&[b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\\ud800"]);
            bytes.splice(at..at, bad.iter().copied());
        }
        3 => {
            // A key twice.
            if let Some(quote) = bytes[at..].windows(2).position(|two| two == b",\"") {
                let place = at + quote + 1;
                let rest: Vec<u8> = bytes[place..]
                    .iter()
                    .copied()
                    .take_while(|byte| *byte != b':')
                    .collect();
                let twice = [rest, b":{\"id\":[]},".to_vec()].concat();
                bytes.splice(place..place, twice);
            }
        }
        4 => {
            let deep = 1 << (4 + dice.below(10));
            let nested = [vec![b'['; deep], vec![b']'; deep]].concat();
            let value = bytes[at..].iter().position(|byte| *byte == b':');
            if let Some(colon) = value {
                bytes.splice(
                    at + colon + 1..at + colon + 1,
                    [nested, b",\"x\":".to_vec()].concat(),
                );
            }
        }
        _ => {
            let to = (at + dice.below(200)).min(bytes.len());
            let piece = bytes[at..to].to_vec();
            let place = dice.below(bytes.len());
            bytes.splice(place..place, piece);
        }
    }
    bytes
}

fn mutant(dice: &mut Dice, sample: &[u8]) -> Vec<u8> {
    let mut body = sample.to_vec();
    for _ in 0..=dice.below(3) {
        body = match dice.below(5) {
            0..3 => restructured(dice, &body).unwrap_or(body),
            _ if body.is_empty() => body,
            _ => damaged(dice, &body),
        };
    }
    body
}

/// Where a kind of bodies goes, with what makes it genuine.
#[derive(Clone)]
enum Door {
    Waha { path: String, key: String },
    Meta { path: String },
    Signed { path: String, key: String },
    Events { path: String, key: String },
    Flow { path: &'static str, token: String },
}

impl Door {
    fn path(&self) -> &str {
        match self {
            Self::Waha { path, .. }
            | Self::Meta { path }
            | Self::Signed { path, .. }
            | Self::Events { path, .. } => path,
            Self::Flow { path, .. } => path,
        }
    }

    fn genuine(&self, body: &[u8]) -> (&'static str, String) {
        match self {
            Self::Waha { key, .. } | Self::Signed { key, .. } => {
                ("X-Webhook-Hmac", waha::events::sign(key.as_bytes(), body))
            }
            Self::Meta { .. } => (
                "X-Hub-Signature-256",
                meta::events::sign(META_SECRET.as_bytes(), body),
            ),
            Self::Events { key, .. } => (
                "X-Wablast-Signature",
                meta::events::sign(key.as_bytes(), body),
            ),
            Self::Flow { token, .. } => ("Authorization", format!("Bearer {token}")),
        }
    }
}

fn fixtures(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|file| file.path())
        .collect();
    paths.sort();
    let json = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    json.map(|path| fs::read(path).unwrap()).collect()
}

/// WAHA's events as they were captured, some of them about messages that we sent.
fn waha_samples() -> Vec<Vec<u8>> {
    let captured: Value =
        serde_json::from_slice(include_bytes!("../fixtures/waha/webhooks.json")).unwrap();
    let events = captured.as_array().unwrap().iter();
    events
        .map(|event| event["body"].as_str().unwrap().as_bytes().to_vec())
        .collect()
}

fn callback_samples(ids: &[String]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for id in ids {
        all.push(json!({ "messages": [{ "action": "update", "id": id, "contact_id": "5", "config_id": "1", "mailing_id": "7", "mailing_log_id": "9",
            "from_number": "x", "to_number": "y", "body": "Hi", "result_from": "waha",
            "json_message": { "id": "true_6281234@c.us_3EB0A", "_data": { "id": { "id": "3EB0A" } } } }], "token": "" }));
        all.push(
            json!({ "messages": [{ "action": "update", "id": id, "result_from": "error",
            "error": "422 - \"{\\\"error\\\":\\\"Session status is not as expected\\\"}\"",
            "json_message": { "headers": { "authorization": "Basic dXNlcjpwYXNzd29yZA==" } } }] }),
        );
        all.push(json!({ "jsonrpc": "2.0", "id": 1, "params": { "messages": { "id": id, "status": "delivered", "json_message": "{\"key\":{\"id\":\"3EB0C\"}}" }, "token": "" } }));
    }
    all.push(json!({ "messages": [{ "action": "create", "from": "6281234@c.us", "to": "628111@c.us", "name": "Budi", "body": "STOP",
        "hasmedia": false, "type": "text/plain", "message_id": "false_6281234@c.us_3A0000000000000001" }], "token": "" }));
    all.push(json!({ "messages": [{ "from": "99999999999@lid", "body": "Halo", "hasmedia": "true", "type": "image/jpeg", "quotedMsgId": "true_x_3EB0A" }], "config_id": "3" }));
    all.push(json!({ "event": "message", "from": "6281234@c.us", "body": "Halo", "message_id": "false_6281234@c.us_3A0000000000000002" }));
    all.into_iter()
        .map(|body| body.to_string().into_bytes())
        .collect()
}

/// Signed events of a flow.
fn event_samples(ids: &[String]) -> Vec<Vec<u8>> {
    let events = |id: &String| {
        json!({ "events": [
            { "id": format!("evt_1{id}"), "sent_id": id, "status": "sent", "provider_id": format!("true_x_3EB0{id}") },
            { "id": format!("evt_2{id}"), "sent_id": id, "status": "failed", "error": "422 - no" },
            { "id": format!("evt_3{id}"), "kind": "incoming", "from": "6281234", "to": "628111", "name": "Budi", "text": "STOP" } ] })
        .to_string()
        .into_bytes()
    };
    ids.iter().map(events).collect()
}

/// A company with an account of each kind, messages that samples speak of, and every door.
async fn doors(app: &TestApp) -> Vec<(Door, Vec<Vec<u8>>, u64)> {
    let made = json!({ "name": "WAHA", "provider": "waha", "api_url": "http://127.0.0.1:9", "webhook_secret": "my-secret" });
    let waha = app.ok("POST", "/accounts", Some(&made)).await;
    taken(app, waha["id"].as_i64().unwrap()).await;
    let made = json!({ "name": "Meta", "provider": "meta", "app_id": "42", "app_secret": META_SECRET, "waba_id": "102290129340398",
        "phone_number_id": "106540352242922", "token": "x", "base_url": "http://127.0.0.1:9" });
    let meta = app.ok("POST", "/accounts", Some(&made)).await;
    let made = json!({ "name": "Flow", "provider": "waha", "send_through": "webhook", "delivery": "direct", "pull": true, "session": "flow",
        "webhook_secret": "hook-key", "pace": { "per_second": 5000, "burst": 5000 }, "welcome_message": "Welcome" });
    let flow = app.ok("POST", "/accounts", Some(&made)).await;
    let list = app.list_of(6).await;
    let mailing = app.mailing(flow["id"].as_i64().unwrap(), list, "Hi").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    wablast::mailings::release::advance(&app.app).await.unwrap();
    let pulled = json!({ "account_id": flow["id"], "limit": 6, "lease_seconds": 60 });
    let pulled = app.ok("POST", "/outgoing/pull", Some(&pulled)).await;
    let ids: Vec<String> = pulled["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["sent_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 6);
    let token = {
        let mut conn = app.app.db.system().await.unwrap();
        callback_token::make(&mut conn, CompanyId(1), UserId(1))
            .await
            .unwrap()
            .expose_secret()
            .to_owned()
    };
    let of = |account: &Value, kind: &str| {
        format!(
            "/webhooks/{kind}/{}",
            account["account_key"].as_str().unwrap()
        )
    };
    let secret = {
        let mut conn = app.app.db.system().await.unwrap();
        let id = AccountId(flow["id"].as_i64().unwrap());
        let account = accounts::query::find(&mut conn, id).await.unwrap();
        let made = flow::make_callback_secret(&mut conn, &app.app.crypt, &account).await;
        made.unwrap().expose_secret().to_owned()
    };
    let callbacks = callback_samples(&ids);
    let flow_door = |path| Door::Flow {
        path,
        token: token.clone(),
    };
    vec![
        (
            Door::Events {
                path: of(&flow, "flow"),
                key: secret,
            },
            event_samples(&ids),
            1_000,
        ),
        (
            Door::Waha {
                path: of(&waha, "waha"),
                key: "my-secret".into(),
            },
            waha_samples(),
            8_000,
        ),
        (
            Door::Meta {
                path: of(&meta, "meta"),
            },
            fixtures("meta"),
            7_000,
        ),
        (
            Door::Signed {
                path: of(&flow, "n8n"),
                key: "hook-key".into(),
            },
            callbacks.clone(),
            1_200,
        ),
        (flow_door("/isi/create_logsent"), callbacks.clone(), 1_200),
        (flow_door("/isi/wa_incoming"), callbacks.clone(), 1_200),
        (flow_door("/isi/wa_config"), callbacks.clone(), 200),
        (flow_door("/isi/cleanup_message"), callbacks, 200),
    ]
}

/// A message that WAHA took, with the id that the captured acknowledgements name.
async fn taken(app: &TestApp, account: i64) {
    let list = app.list_of_from(100, 1).await;
    let mailing = app.mailing(account, list, "Hi").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    wablast::mailings::release::advance(&app.app).await.unwrap();
    let mut conn = app.app.db.system().await.unwrap();
    queue::accounts_with_work(&mut conn).await.unwrap();
    let owner = Uuid::new_v4();
    let claimed = claim::claim(&mut conn, AccountId(account), owner, 1)
        .await
        .unwrap();
    let begun = begin::begin(&mut conn, owner, &claimed, &[None], &Gates::default())
        .await
        .unwrap();
    let outcome = Outcome {
        id: begun[0].id,
        account: AccountId(account),
        fence: begun[0].fence,
        log: begun[0].log_id,
        counts_people: false,
        result: Ok(Accepted {
            provider_id: Some("3EB07D6801E4A18CA2F271".to_owned()),
            held: false,
        }),
        wait: std::time::Duration::ZERO,
    };
    record::record(&mut conn, &[outcome]).await.unwrap();
}

/// A mark of every row of a company.
async fn mark(app: &TestApp, company: &str) -> String {
    let parts = app
        .value(&format!(
            "SELECT string_agg(format('(SELECT ''%s '' || coalesce(md5(string_agg(to_jsonb(t)::text, '','' ORDER BY to_jsonb(t)::text)), ''-'') FROM %I t WHERE company_id = {company})', table_name, table_name), ' || E''\\n'' || ' ORDER BY table_name)
             FROM information_schema.columns WHERE column_name = 'company_id' AND table_schema = 'public'"
        ))
        .await;
    app.value(&format!("SELECT {parts}")).await
}

/// Somebody else's account, people and messages, with numbers that the samples name.
async fn neighbour(app: &TestApp) -> String {
    let other = app.company("Elsewhere").await;
    let siti = app
        .person_of(&other, "siti@example.com", "administrator")
        .await;
    let theirs = app.as_token(&app.token_of(&other, &siti).await);
    let made = json!({ "name": "Theirs", "provider": "waha", "send_through": "webhook", "webhook_url": "http://127.0.0.1:9/x", "session": "theirs" });
    theirs.ok("POST", "/accounts", Some(&made)).await;
    let list = theirs
        .ok("POST", "/lists", Some(&json!({ "name": "Theirs" })))
        .await;
    let people: Vec<Value> = ["6281234", "5511999999999", "16505551234", "6281200000000"]
        .iter()
        .map(|number| json!({ "name": number, "whatsapp_number": number }))
        .collect();
    let people = json!({ "list_ids": [list["id"]], "contacts": people });
    theirs.ok("POST", "/contacts/bulk", Some(&people)).await;
    other
}

/// Posts, many at a time; how often each status came.
async fn post_all(
    app: &Arc<TestApp>,
    posts: Vec<(Door, Vec<u8>, Option<String>)>,
) -> BTreeMap<u16, u64> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = Vec::with_capacity(posts.len());
    for (door, body, header) in posts {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let app = Arc::clone(app);
        running.push(tokio::spawn(async move {
            let (name, genuine) = door.genuine(&body);
            let value = header.unwrap_or(genuine);
            let kept = body.clone();
            let status = app
                .post_raw(
                    door.path(),
                    &[("Content-Type", "application/json"), (name, &value)],
                    body,
                )
                .await;
            drop(place);
            assert!(
                status < 500,
                "{status} from {} for {}",
                door.path(),
                String::from_utf8_lossy(&kept)
            );
            status
        }));
    }
    let mut seen = BTreeMap::new();
    for one in running {
        *seen.entry(one.await.unwrap()).or_default() += 1;
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mutated_body_fells_the_intake_or_touches_another_company() {
    let app = Arc::new(TestApp::new().await);
    let other = neighbour(&app).await;
    let doors = doors(&app).await;
    let before = mark(&app, &other).await;
    let begin = Instant::now();
    let mut dice = Dice(2026);
    let mut posts = Vec::new();
    for (door, samples, many) in &doors {
        for n in 0..*many {
            let sample = &samples[usize::try_from(n).unwrap() % samples.len()];
            // An event of its own: what was stored before would not be applied.
            let sample = String::from_utf8_lossy(sample).replace("evt_", &format!("evt_{n}_"));
            posts.push((door.clone(), mutant(&mut dice, sample.as_bytes()), None));
        }
    }
    assert_eq!(posts.len() as u64, BODIES);
    let seen = post_all(&app, posts).await;
    let posted = begin.elapsed();
    assert!(
        seen.keys().all(|status| [200, 400, 401].contains(status)),
        "{seen:?}"
    );
    let read = seen.get(&200).copied().unwrap_or_default();
    assert!(read > BODIES / 4, "most reach what reads them: {seen:?}");

    intake::apply::all(&app.app).await.unwrap();
    // What failed is tried again until it is set aside.
    for _ in 0..6 {
        app.advance(TimeDelta::minutes(2)).await;
        intake::apply::all(&app.app).await.unwrap();
    }
    println!(
        "{seen:?}: posted in {posted:.1?}, applied by {:.1?}",
        begin.elapsed()
    );
    let waits = "SELECT count(*) FROM inbox WHERE state = 'new'";
    assert_eq!(app.value(waits).await, "0", "the applier is not stuck");
    let aside = "SELECT coalesce(string_agg(DISTINCT left(error, 200), E'\\n'), '') FROM inbox WHERE state = 'set_aside'";
    assert_eq!(app.value(aside).await, "", "nothing is set aside");
    assert_eq!(mark(&app, &other).await, before, "the neighbour's rows");
    deliver::reap_once(&app.app).await.unwrap();
    wablast::mailings::settle::all(&app.app).await.unwrap();
    app.advance(TimeDelta::minutes(2)).await;
    wablast::outgoing::receipts::sweep(&mut app.app.db.system().await.unwrap())
        .await
        .unwrap();
    app.holds().await;
    assert!(
        app.value("SELECT count(*) FROM outgoing WHERE state IN ('delivered', 'read', 'sent')")
            .await
            != "0",
        "some of them meant something"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tampered_signature_gets_in() {
    let app = Arc::new(TestApp::new().await);
    let doors = doors(&app).await;
    let inbox = app.value("SELECT count(*) FROM inbox").await;
    let mut dice = Dice(4052);
    let mut posts = Vec::new();
    for n in 0..TAMPERED {
        let (door, samples, _) = &doors[usize::try_from(n).unwrap() % doors.len()];
        let body = dice.one(samples).clone();
        let (_, genuine) = door.genuine(&body);
        let at = genuine.len() - 1 - dice.below(20);
        let wrong = match dice.below(6) {
            0 => String::new(),
            1 => genuine[..genuine.len() - 2].to_owned(),
            2 => format!("{genuine}00"),
            3 => genuine.chars().rev().collect(),
            // Of another body.
            4 => door.genuine(b"{}").1.replace("Bearer ", "Bearer x"),
            _ => {
                let other = if genuine.as_bytes()[at] == b'0' {
                    "1"
                } else {
                    "0"
                };
                format!("{}{other}{}", &genuine[..at], &genuine[at + 1..])
            }
        };
        posts.push((door.clone(), body, Some(wrong)));
    }
    let seen = post_all(&app, posts).await;
    assert_eq!(seen, BTreeMap::from([(401, TAMPERED)]));
    assert_eq!(app.value("SELECT count(*) FROM inbox").await, inbox);
}
