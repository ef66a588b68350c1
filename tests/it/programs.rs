//! What programs do shows where people look, and what they ask for is there: history, lists, verbs, examples.

use serde_json::{Value, json};
use wablast::api::document;
use wablast::simulator::Options;

use crate::support::browser::Browser;
use crate::support::{TestApp, simulator};

/// What the history of a page tells.
async fn history(browser: &mut Browser, address: &str) -> String {
    browser.get(address).await.texts(".chatter").join(" ")
}

#[tokio::test]
async fn a_program_s_change_of_a_contact_is_told_field_by_field() {
    let app = TestApp::new().await;
    let list = app.list_of(1).await;
    let id = app.value("SELECT min(id) FROM contacts").await;
    let path = format!("/contacts/{id}");
    let change = json!({ "name": "Siti Rahma", "country": "MY", "tags": ["VIP"], "list_ids": [], "attributes": { "points": 5 }, "opt_out": true, "reason": "Asked by phone" });
    app.ok("PATCH", &path, Some(&change)).await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&path).await;
    let told = page.texts(".chatter").join(" ");
    let changes = page.texts(".chatter .change").join(" ");
    let list = app
        .value(&format!("SELECT name FROM lists WHERE id = {list}"))
        .await;
    for part in [
        "P0 → Siti Rahma".to_owned(),
        "→ Malaysia".to_owned(),
        "→ VIP".to_owned(),
        format!("{list} → empty"),
        "points: 5".to_owned(),
    ] {
        assert!(changes.contains(&part), "{part}: {changes}");
    }
    assert!(told.contains("Changed: API"), "{told}");
    assert!(told.contains("Opted out: Asked by phone (API)"), "{told}");

    // The same again changes nothing, and nothing is told.
    let before = app.value("SELECT count(*) FROM audit").await;
    app.ok("PATCH", &path, Some(&change)).await;
    assert_eq!(app.value("SELECT count(*) FROM audit").await, before);
}

#[tokio::test]
async fn people_a_program_brings_have_a_history() {
    let app = TestApp::new().await;
    let bring = |name: &str, how: &str| json!({ "on_duplicate": how, "contacts": [{ "name": name, "whatsapp_number": "6281200000001", "email": "a@example.com" }] });
    app.ok("POST", "/contacts/bulk", Some(&bring("Siti", "skip")))
        .await;
    let id = app.value("SELECT max(id) FROM contacts").await;
    let path = format!("/contacts/{id}");
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let told = history(&mut browser, &path).await;
    assert!(
        told.contains("Created: API") && !told.contains("Changed"),
        "{told}"
    );
    // Nothing to fill, and nothing done: nothing is told.
    for how in ["skip", "fill_blanks"] {
        app.ok("POST", "/contacts/bulk", Some(&bring("Budi", how)))
            .await;
    }
    let told = history(&mut browser, &path).await;
    assert!(!told.contains("Changed"), "{told}");
    app.ok("POST", "/contacts/bulk", Some(&bring("Budi", "update")))
        .await;
    let told = history(&mut browser, &path).await;
    assert!(told.contains("Changed: API"), "{told}");
}

#[tokio::test]
async fn what_a_program_makes_and_moves_has_a_history() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let date = app.app.clock.now() + chrono::TimeDelta::hours(2);
    let at = json!({ "schedule_date": date.to_rfc3339() });
    let verb = |verb: &str| format!("/mailings/{mailing}/{verb}");
    app.ok("POST", &verb("submit"), Some(&at)).await;
    app.ok("POST", &verb("submit"), None).await;
    app.ok("POST", &verb("draft"), None).await;
    app.ok("POST", &verb("duplicate"), None).await;
    for verb in ["pause", "resume"] {
        app.ok("POST", &format!("/accounts/{account}/{verb}"), None)
            .await;
    }
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let told = history(&mut browser, &format!("/mailings/{mailing}")).await;
    for part in [
        "Created: API",
        "Submitted to the scheduler: API",
        "Taken back to draft: API",
        "Duplicated: API",
    ] {
        assert_eq!(told.matches(part).count(), 1, "{part}: {told}");
    }
    let told = history(&mut browser, &format!("/accounts/{account}")).await;
    for part in ["Created: API", "Paused: API", "Resumed: API"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = history(&mut browser, &format!("/lists/{list}")).await;
    assert!(told.contains("Created: API"), "{told}");
}

#[tokio::test]
async fn mailings_are_listed_by_state_and_words_page_by_page() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    for (subject, message) in [
        ("Promo Parang", "one"),
        ("Newsletter", "two 100%"),
        ("Promo Kawung", "three"),
    ] {
        let mailing = json!({ "subject": subject, "account_id": account, "recipients": { "list_ids": [list] }, "message": message });
        app.ok("POST", "/mailings", Some(&mailing)).await;
    }
    let third = app.value("SELECT max(id) FROM mailings").await;
    let date = app.app.clock.now() + chrono::TimeDelta::hours(2);
    let at = json!({ "schedule_date": date.to_rfc3339() });
    app.ok("POST", &format!("/mailings/{third}/submit"), Some(&at))
        .await;
    let subjects = async |query: &str| -> Vec<String> {
        let found = app.ok("GET", &format!("/mailings?{query}"), None).await;
        let items = found["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["subject"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(subjects("q=promo").await, ["Promo Parang", "Promo Kawung"]);
    assert_eq!(subjects("q=100%25").await, ["Newsletter"]);
    assert_eq!(subjects("q=%25").await, ["Newsletter"]);
    assert_eq!(subjects("state=submitted").await, ["Promo Kawung"]);
    assert_eq!(subjects("account_id=999").await, Vec::<String>::new());
    assert_eq!(subjects("active=false").await, Vec::<String>::new());
    let first = app.ok("GET", "/mailings?limit=2", None).await;
    assert_eq!(first["total"], 3, "{first}");
    let next = first["next"].as_str().unwrap();
    let rest = app
        .ok("GET", &format!("/mailings?limit=2&cursor={next}"), None)
        .await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 1, "{rest}");
    assert_eq!(rest["next"], Value::Null);
    let (status, refused) = app.call("GET", "/mailings?state=sent", None).await;
    assert_eq!(status, 422);
    let said = refused["error"]["fields"]["state"][0].as_str().unwrap();
    assert!(said.contains("partial_failure"), "{said}");
    // Another company sees none of them.
    let other = app.company("Other").await;
    let person = app
        .person_of(&other, "o@example.com", "administrator")
        .await;
    let token = app.token_of(&other, &person).await;
    let theirs = app.as_token(&token).ok("GET", "/mailings", None).await;
    assert_eq!(theirs["items"], json!([]));
    let (status, _) = app
        .as_token(&token)
        .call("GET", &format!("/lists/{list}"), None)
        .await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_list_says_how_many_are_on_it() {
    let app = TestApp::new().await;
    let list = app.list_of(3).await;
    let one = app.value("SELECT min(id) FROM contacts").await;
    let out = json!({ "opt_out": true });
    app.ok("PATCH", &format!("/contacts/{one}"), Some(&out))
        .await;
    let shown = app.ok("GET", &format!("/lists/{list}"), None).await;
    assert_eq!(
        (&shown["contacts"], &shown["opted_out"], &shown["mailings"]),
        (&json!(3), &json!(1), &json!(0)),
        "{shown}"
    );
}

#[tokio::test]
async fn a_conflict_names_only_verbs_that_can_be_called() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hello").await;
    let paths = document::all()["paths"].as_object().unwrap();
    for state in wablast::mailings::State::ALL {
        app.execute(&format!(
            "UPDATE mailings SET state = '{}', schedule_date = wablast_now() + interval '1 hour' WHERE id = {mailing}",
            state.as_str()
        ))
        .await;
        let wrong = if state == wablast::mailings::State::Sending {
            "resume"
        } else {
            "pause"
        };
        if matches!(wrong, "resume") || state == wablast::mailings::State::Paused {
            continue;
        }
        let (status, refused) = app
            .call("POST", &format!("/mailings/{mailing}/{wrong}"), None)
            .await;
        assert_eq!(status, 409, "{state:?} {refused}");
        let legal = refused["error"]["legal"].as_array().unwrap();
        assert!(legal.contains(&json!("duplicate")), "{state:?}: {legal:?}");
        for verb in legal {
            let path = format!("/mailings/{{id}}/{}", verb.as_str().unwrap());
            assert!(paths.contains_key(&path), "{state:?}: there is no {path}");
        }
        let submits = legal.contains(&json!("submit"));
        let may = matches!(state.as_str(), "draft" | "submitted" | "missed");
        assert_eq!(submits, may, "{state:?}: {legal:?}");
    }
}

/// Where an example says nothing: an empty text, a thing without fields.
fn empty(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.is_empty() => found.push(format!("{at}: an empty text")),
        Value::Object(fields) => {
            for (name, field) in fields {
                let at = format!("{at}.{name}");
                match field {
                    Value::Number(id) if name.ends_with("id") && id.as_i64() == Some(0) => {
                        found.push(format!("{at}: no id"));
                    }
                    field => empty(field, &at, found),
                }
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                empty(item, &format!("{at}[{n}]"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_call_has_examples_that_say_something() {
    let mut found = Vec::new();
    for (path, methods) in document::all()["paths"].as_object().unwrap() {
        for (method, call) in methods.as_object().unwrap() {
            let name = format!("{method} {path}");
            let responses = call["responses"].as_object().unwrap();
            let fine = responses.iter().filter(|(code, _)| code.starts_with('2'));
            let bodies = fine.map(|(code, body)| (code.as_str(), body));
            let asked = call.get("requestBody").map(|body| ("asked", body));
            for (which, body) in bodies.chain(asked) {
                let kinds = body["content"].as_object();
                assert!(
                    kinds.is_some_and(|kinds| !kinds.is_empty()),
                    "{name} {which}"
                );
                for content in kinds.into_iter().flatten().map(|(_, content)| content) {
                    let example = &content["example"];
                    let at = format!("{name} {which}");
                    match example {
                        Value::Null => found.push(format!("{at}: none")),
                        Value::Object(fields) if fields.is_empty() => {
                            found.push(format!("{at}: nothing in it"));
                        }
                        Value::Array(items) if items.is_empty() => {
                            found.push(format!("{at}: nothing in it"));
                        }
                        example => empty(example, &at, &mut found),
                    }
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
