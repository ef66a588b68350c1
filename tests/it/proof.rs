//! The promise, with the real program and a kill -9 in the middle: nobody twice, nobody lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wablast::simulator::{Options, Running as Simulator};

use crate::support::instance::{Instance, free_port, run};
use crate::support::{PASSWORD, arrived, simulator, tell, until};

const PEOPLE: usize = 10_000;

pub struct Api {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    #[expect(clippy::disallowed_methods, reason = "the test's own client")]
    pub fn new(url: &str, token: String) -> Self {
        Self {
            client: reqwest::Client::new(),
            url: url.to_owned(),
            token,
        }
    }

    pub async fn account(&self, name: &str, gateway: &str, pace: Value) -> Value {
        self.post("/accounts", json!({ "name": name, "provider": "waha", "api_url": gateway, "api_key": "simulator-key",
            "pace": pace }))
            .await
    }

    /// A list of so many people, with the numbers from 6281200000000 on.
    pub async fn list_of(&self, people: usize) -> Value {
        let list = self.post("/lists", json!({ "name": "Everybody" })).await;
        let contacts: Vec<Value> = (0..people)
            .map(|n| json!({ "name": format!("P{n}"), "whatsapp_number": (6_281_200_000_000_i64 + n as i64).to_string() }))
            .collect();
        for some in contacts.chunks(10_000) {
            let body = json!({ "list_ids": [list["id"]], "contacts": some });
            let added = self.post("/contacts/bulk", body).await;
            assert_eq!(added["created"], some.len());
        }
        list
    }

    /// A draft to a list; its path.
    pub async fn mailing(&self, account: &Value, list: &Value) -> String {
        let mailing = self
            .post("/mailings", json!({ "subject": "Proof", "account_id": account["id"], "recipients": { "list_ids": [list["id"]] },
                "message": "Hi {{contact.name}}" }))
            .await;
        format!("/mailings/{}", mailing["id"])
    }

    /// Asks for something of a program that may die of it.
    pub async fn try_post(&self, path: &str) {
        let request = self
            .client
            .post(format!("{}/api/v1{path}", self.url))
            .bearer_auth(&self.token)
            .json(&json!({}));
        let _ = request.send().await;
    }

    /// The same, asking another instance.
    pub fn at(self, url: &str) -> Self {
        let url = url.to_owned();
        Self { url, ..self }
    }

    /// The status and what was answered.
    pub async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (status, answer)
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, &format!("/api/v1{path}"), body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.call(reqwest::Method::POST, path, Some(body)).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call(reqwest::Method::GET, path, None).await
    }

    /// Until nothing of a mailing waits or is under way.
    pub async fn until_nothing_is_open(&self, path: &str, people: usize) {
        until("nothing is open", Duration::from_secs(240), || async {
            let shown = self.get(path).await;
            let open = ["queued", "claimed", "sending"]
                .iter()
                .map(|state| shown["counts"][*state].as_i64().unwrap())
                .sum::<i64>();
            // It settles within a second of its last message.
            open == 0 && shown["counts"]["total"] == people && shown["state"] != "sending"
        })
        .await;
    }
}

/// Sets `data` up; a token.
pub fn set_up(data: &Path) -> String {
    set_up_by(|arguments, input| run(data, arguments, input))
}

/// The same, with the program as `run` calls it.
pub fn set_up_by(run: impl Fn(&[&str], &str) -> String) -> String {
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
    run(&setup, PASSWORD);
    let token = ["token", "create", "--email", "dewi@example.com", "--name"];
    let printed = run(&[&token[..], &["proof"]].concat(), "");
    printed.lines().last().unwrap().to_owned()
}

/// A mailing to `people` people that is being sent; its path.
pub async fn begin(url: &str, token: String, waha: &Simulator, people: usize) -> (Api, String) {
    let haste = json!({ "per_second": 5000, "burst": 5000 });
    let begun = begin_at(url, token, waha, people, haste).await;
    until("a third has arrived", Duration::from_secs(120), || async {
        arrived(waha).await["total"].as_u64().unwrap() > people as u64 / 3
    })
    .await;
    begun
}

/// The same at a pace, and without waiting for anything.
pub async fn begin_at(
    url: &str,
    token: String,
    waha: &Simulator,
    people: usize,
    pace: Value,
) -> (Api, String) {
    let api = Api::new(url, token);
    let account = api.account("Toko", &waha.url(), pace).await;
    let list = api.list_of(people).await;
    let path = api.mailing(&account, &list).await;
    api.post(&format!("{path}/send_now"), json!({})).await;
    (api, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_claim_and_finish_sends_nothing_twice_and_loses_nobody() {
    let folder = tempfile::tempdir().unwrap();
    // No acknowledgements: what the crash left unknown stays visible as uncertain.
    let waha = simulator(Options {
        acks: false,
        latency: Duration::from_millis(15),
        ..Options::default()
    })
    .await;
    let data = folder.path().to_owned();
    let token = set_up(&data);
    let port = free_port();
    let mut instance = Instance::start(&data, port).await;
    let (api, path) = begin(&instance.url, token, &waha, PEOPLE).await;
    instance.kill();
    let at_kill = arrived(&waha).await["total"].as_u64().unwrap();
    assert!(
        at_kill < PEOPLE as u64,
        "the kill came too late to prove anything"
    );
    let mut instance = Instance::start(&data, port).await;
    api.until_nothing_is_open(&path, PEOPLE).await;
    let uncertain = check(&api, &path, &waha, PEOPLE).await;
    // Never more than the requests of one account at one time.
    assert!(uncertain <= 64, "{uncertain} uncertain after one kill");
    run(&data, &["check"], "");
    instance.stop();
    tell(&waha, "/simulator/reset", &json!({})).await;
}

/// Holds what we say against what the phones got, person by person. How many are uncertain.
pub async fn check(api: &Api, path: &str, waha: &Simulator, people: usize) -> usize {
    let shown = api.get(path).await;
    let arrived = arrived(waha).await;
    assert_eq!(arrived["doubled"], 0, "somebody was written to twice");
    let by_number: BTreeMap<String, u64> =
        serde_json::from_value(arrived["by_number"].clone()).unwrap();
    let mut cursor = Some("0".to_owned());
    let (mut uncertain, mut uncertain_not_arrived, mut seen) = (0, 0, 0);
    while let Some(after) = cursor {
        let page = api
            .get(&format!(
                "/messages?mailing_id={}&limit=1000&cursor={after}",
                shown["id"]
            ))
            .await;
        for message in page["items"].as_array().unwrap() {
            seen += 1;
            let did_arrive = by_number.contains_key(message["to"].as_str().unwrap());
            match message["state"].as_str().unwrap() {
                "accepted" | "sent" | "delivered" | "read" => {
                    assert!(did_arrive, "accepted, but it never arrived: {message}")
                }
                "uncertain" => {
                    uncertain += 1;
                    uncertain_not_arrived += usize::from(!did_arrive);
                }
                other => panic!("left as {other}: {message}"),
            }
        }
        cursor = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, people);
    assert_eq!(
        by_number.len() + uncertain_not_arrived,
        people,
        "somebody was lost"
    );
    println!(
        "{people} people: {} arrived, {uncertain} uncertain, of which {uncertain_not_arrived} did not arrive",
        by_number.len()
    );
    // Evidence that comes meanwhile settles some; where none comes the three are the same.
    let counted = |shown: &Value| usize::try_from(shown["counts"]["uncertain"].as_u64().unwrap());
    let (before, after) = (
        counted(&shown).unwrap(),
        counted(&api.get(path).await).unwrap(),
    );
    assert!(
        after <= uncertain && uncertain <= before,
        "{before} counted, {uncertain} seen, {after} counted"
    );
    uncertain
}
