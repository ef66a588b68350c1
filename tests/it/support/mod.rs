//! The product as a test sees it: a real server on a real database with a clock that moves by hand.

pub mod browser;
pub mod chromium;
pub mod db;
pub mod instance;
pub mod openapi;
pub mod proxy;
pub mod site;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::watch;
use wablast::app::{App, Wake};
use wablast::clock::Clock;
use wablast::config::Config;
use wablast::crypt::Crypt;
use wablast::db::Db;
use wablast::gateways::http::Http;
use wablast::ids::{CompanyId, UserId};
use wablast::mailings::{release, settle};
use wablast::outgoing::deliver;
use wablast::server::Server;
use wablast::settings::{self, SetUpInput};
use wablast::simulator::{self, Options, Running};
use wablast::storage::Storage;
use wablast::{auth, check, intake, scheduler};

pub const PASSWORD: &str = "correct horse battery";
pub const EMAIL: &str = "dewi@example.com";

/// A server with its own database; jobs run only when the test says so.
pub struct TestApp {
    pub app: App,
    pub address: String,
    pub token: String,
    client: reqwest::Client,
    _database: db::TestDatabase,
    _folder: Arc<tempfile::TempDir>,
}

#[expect(clippy::disallowed_methods, reason = "the tests' own client")]
fn client() -> reqwest::Client {
    let _ = Http::new();
    reqwest::Client::new()
}

impl TestApp {
    /// Set up, with one administrator and a token.
    pub async fn new() -> Self {
        Self::bare().await.set_up().await
    }

    /// Set up, at an address that is known before it starts, so that gateways find it.
    pub async fn on_its_port() -> Self {
        let listen = format!("127.0.0.1:{}", instance::free_port());
        Self::listening(&listen).await.set_up().await
    }

    async fn set_up(self) -> Self {
        let app = self;
        let input = SetUpInput {
            company: "Batik Sekar Arum".into(),
            country: "ID".into(),
            time_zone: "Asia/Jakarta".into(),
            name: "Dewi Kartikasari".into(),
            email: EMAIL.into(),
            password: PASSWORD.into(),
        };
        let (company, user) = settings::set_up(&app.app, &input).await.unwrap();
        let mut conn = app.app.db.system().await.unwrap();
        let token = auth::token::create(&mut conn, company, user, "tests", &[])
            .await
            .unwrap();
        drop(conn);
        Self { token, ..app }
    }

    /// Before the first set-up.
    pub async fn bare() -> Self {
        Self::listening("127.0.0.1:0").await
    }

    async fn listening(listen: &str) -> Self {
        let database = db::TestDatabase::create().await;
        let folder = tempfile::tempdir().unwrap();
        let config = Config::from(|name| match name {
            "WABLAST_LISTEN" => Some(listen.to_owned()),
            "WABLAST_DATA_DIR" => Some(folder.path().to_string_lossy().into_owned()),
            _ => None,
        })
        .unwrap();
        let app = App {
            db: Db::connect(&database.url).await.unwrap(),
            clock: Clock::manual(),
            http: Http::new().unwrap(),
            crypt: Crypt::new([7; 32]),
            storage: Storage::open(&config.storage).unwrap(),
            wake: Wake::default(),
            config: Arc::new(config),
        };
        let server = Server::build(app.clone(), 1).unwrap();
        let address = format!("http://{}", server.address);
        tokio::spawn(server.run());
        Self {
            app,
            address,
            token: String::new(),
            client: client(),
            _database: database,
            _folder: Arc::new(folder),
        }
    }

    /// Moves every clock of the product.
    pub async fn advance(&self, by: TimeDelta) {
        self.app.clock.advance(by);
        self._database
            .execute(&format!(
                "UPDATE test_clock SET shift = shift + interval '{} milliseconds'",
                by.num_milliseconds()
            ))
            .await;
    }

    /// A copy of its database as it is now.
    pub async fn copied(&self) -> db::TestDatabase {
        self._database.copied().await
    }

    /// Its database becomes what `earlier` is.
    pub async fn set_back_to(&self, earlier: db::TestDatabase) {
        self._database.set_back_to(earlier).await;
    }

    pub fn url(&self) -> &str {
        &self._database.url
    }

    /// Somebody else in the same company, with the same password; their id.
    pub async fn person(&self, email: &str, role: &str) -> String {
        self.execute(&format!(
            "INSERT INTO users (name, email, password_hash, active_company_id)
               SELECT '{role} Rudi', '{email}', password_hash, active_company_id FROM users WHERE id = 1;
             INSERT INTO user_companies (user_id, company_id, role)
               SELECT id, active_company_id, '{role}' FROM users WHERE email = '{email}'"
        ))
        .await;
        self.value(&format!("SELECT id FROM users WHERE email = '{email}'"))
            .await
    }

    /// Another company; its id. Nobody works in it yet.
    pub async fn company(&self, name: &str) -> String {
        self.execute(&format!(
            "INSERT INTO companies (name, country, time_zone) VALUES ('{name}', 'ID', 'Asia/Jakarta')"
        ))
        .await;
        self.value(&format!("SELECT id FROM companies WHERE name = '{name}'"))
            .await
    }

    /// Somebody who works in `company` alone, with the password of the first; their id.
    pub async fn person_of(&self, company: &str, email: &str, role: &str) -> String {
        let id = self.person(email, role).await;
        self.execute(&format!(
            "BEGIN; DELETE FROM user_companies WHERE user_id = {id};
             INSERT INTO user_companies VALUES ({id}, {company}, '{role}');
             UPDATE users SET active_company_id = {company} WHERE id = {id}; COMMIT"
        ))
        .await;
        id
    }

    /// An API token of a user in a company.
    pub async fn token_of(&self, company: &str, user: &str) -> String {
        let mut conn = self.app.db.system().await.unwrap();
        let company = CompanyId(company.parse().unwrap());
        let user = UserId(user.parse().unwrap());
        auth::token::create(&mut conn, company, user, "tests", &[])
            .await
            .unwrap()
    }

    /// A mark of everything that is stored, table by table, but for who is signed in and which token
    /// was used when: the same mark, nothing changed.
    pub async fn mark(&self) -> String {
        let parts = self
            .value(
                "SELECT string_agg(format('(SELECT ''%s '' || coalesce(md5(string_agg((to_jsonb(t) - ''last_used_at'')::text, '','' ORDER BY (to_jsonb(t) - ''last_used_at'')::text)), ''-'') FROM %I t)', tablename, tablename), ' || E''\\n'' || ' ORDER BY tablename)
                 FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'sessions'",
            )
            .await;
        self.value(&format!("SELECT {parts}")).await
    }

    /// Runs SQL as the database's owner.
    pub async fn execute(&self, statement: &str) {
        self._database.execute(statement).await;
    }

    /// The first column of the first row, as text.
    pub async fn value(&self, query: &str) -> String {
        self._database.value(query).await
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.caller().call(method, path, body).await
    }

    /// The same server as somebody else calls it.
    pub fn as_token(&self, token: &str) -> Caller {
        Caller {
            client: self.client.clone(),
            address: self.address.clone(),
            token: token.to_owned(),
        }
    }

    /// Another server, as somebody with a token calls it.
    pub fn as_token_at(address: &str, token: &str) -> Caller {
        Caller {
            client: client(),
            address: address.to_owned(),
            token: token.to_owned(),
        }
    }

    fn caller(&self) -> Caller {
        self.as_token(&self.token)
    }

    /// A call that must succeed.
    pub async fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.caller().ok(method, path, body).await
    }

    /// Uploads a file through the API.
    pub async fn upload(&self, file_name: &str, bytes: Vec<u8>) -> (u16, Value) {
        let file = reqwest::multipart::Part::bytes(bytes).file_name(file_name.to_owned());
        let response = self
            .client
            .post(format!("{}/api/v1/media", self.address))
            .bearer_auth(&self.token)
            .multipart(reqwest::multipart::Form::new().part("file", file))
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// `POST /imports` with a file and its options.
    pub async fn import(
        &self,
        file_name: &str,
        bytes: impl Into<Vec<u8>>,
        options: Option<&Value>,
    ) -> (u16, Value) {
        let file = reqwest::multipart::Part::bytes(bytes.into()).file_name(file_name.to_owned());
        let mut form = reqwest::multipart::Form::new().part("file", file);
        if let Some(options) = options {
            form = form.text("options", options.to_string());
        }
        let request = self
            .client
            .post(format!("{}/api/v1/imports", self.address))
            .bearer_auth(&self.token)
            .multipart(form);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    /// Something that is no page and no JSON: a file.
    pub async fn fetch(&self, method: &str, url: &str, range: Option<&str>) -> reqwest::Response {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, url);
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        request.send().await.unwrap()
    }

    /// What a simulated WAHA says to whoever has its key.
    pub async fn fetch_with_key(&self, url: &str) -> Value {
        let asked = self.client.get(url).header("X-Api-Key", "simulator-key");
        asked.send().await.unwrap().json().await.unwrap()
    }

    /// Deletes at a simulated WAHA.
    pub async fn remove(&self, url: &str) {
        let asked = self.client.delete(url).header("X-Api-Key", "simulator-key");
        asked.send().await.unwrap();
    }

    /// Writes the configuration of a simulated WAHA's session.
    pub async fn put_config(&self, waha: &str, config: &Value) {
        let url = format!("{waha}/api/sessions/default");
        let asked = self.client.put(url).header("X-Api-Key", "simulator-key");
        asked
            .json(&json!({ "config": config }))
            .send()
            .await
            .unwrap();
    }

    pub async fn post_raw(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> u16 {
        let mut request = self
            .client
            .post(format!("{}{path}", self.address))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// An account on the simulator, whose events come to this server.
    pub async fn account(&self, simulator: &Running) -> i64 {
        let account = self
            .ok(
                "POST",
                "/accounts",
                Some(&json!({ "name": "Toko Bandung", "provider": "waha", "api_url": simulator.url(), "api_key": "simulator-key",
                    "pace": { "per_second": 5000, "burst": 5000 } })),
            )
            .await;
        let hook = json!({ "url": format!("{}/webhooks/waha/{}", self.address, account["account_key"].as_str().unwrap()),
            "hmac_key": account["webhook_secret"] });
        client()
            .post(format!("{}/simulator/webhook", simulator.url()))
            .json(&hook)
            .send()
            .await
            .unwrap();
        account["id"].as_i64().unwrap()
    }

    /// A list with people called P0, P1 ... and numbers from 6281200000000 on.
    pub async fn list_of(&self, people: usize) -> i64 {
        self.list_of_from(0, people).await
    }

    /// The same beginning with another person.
    pub async fn list_of_from(&self, first: usize, people: usize) -> i64 {
        let list = self
            .ok(
                "POST",
                "/lists",
                Some(&json!({ "name": format!("List of {people}") })),
            )
            .await;
        let contacts: Vec<Value> = (first..first + people)
            .map(|n| json!({ "name": format!("P{n}"), "whatsapp_number": (6_281_200_000_000_i64 + n as i64).to_string() }))
            .collect();
        let added = self
            .ok(
                "POST",
                "/contacts/bulk",
                Some(&json!({ "list_ids": [list["id"]], "contacts": contacts })),
            )
            .await;
        assert_eq!(added["created"], people, "{added}");
        list["id"].as_i64().unwrap()
    }

    pub async fn mailing(&self, account: i64, list: i64, message: &str) -> i64 {
        let mailing = self
            .ok(
                "POST",
                "/mailings",
                Some(&json!({ "subject": "Hello", "account_id": account, "recipients": { "list_ids": [list] }, "message": message })),
            )
            .await;
        mailing["id"].as_i64().unwrap()
    }

    pub async fn show(&self, mailing: i64) -> Value {
        self.ok("GET", &format!("/mailings/{mailing}"), None).await
    }

    /// Releases and delivers until nothing of the mailing is open, then applies what came back.
    pub async fn deliver(&self, mailing: i64) -> Value {
        release::advance(&self.app).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let deliverer = tokio::spawn(deliver::run(self.app.clone(), stopped));
        self.until("nothing is open", || async {
            let counts = self.show(mailing).await["counts"].clone();
            counts["queued"] == 0 && counts["claimed"] == 0 && counts["sending"] == 0
        })
        .await;
        stop.send(true).unwrap();
        deliverer.await.unwrap();
        settle::all(&self.app).await.unwrap();
        self.holds().await;
        self.show(mailing).await
    }

    /// Every promise of `wablast check` holds.
    pub async fn holds(&self) {
        for finding in check::all(&self.app).await.unwrap() {
            assert_eq!(finding.broken, 0, "{}", finding.line());
        }
    }

    /// One look of the scheduler at its jobs.
    pub async fn tick(&self) {
        scheduler::tick(&self.app).await.unwrap();
    }

    pub async fn apply_webhooks(&self) {
        intake::apply::all(&self.app).await.unwrap();
    }

    /// Waits for a condition with a deadline.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, condition: impl Fn() -> F) {
        until(what, Duration::from_secs(30), condition).await;
    }
}

/// Somebody with a token.
pub struct Caller {
    client: reqwest::Client,
    address: String,
    token: String,
}

impl Caller {
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method.clone(), format!("{}/api/v1{path}", self.address))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let answer = response.json().await.unwrap_or(Value::Null);
        openapi::check(method.as_str(), path, body, status, &answer);
        (status, answer)
    }

    /// A call that may end without an answer.
    pub async fn try_call(&self, method: &str, path: &str, body: &Value) -> Option<u16> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}/api/v1{path}", self.address);
        let request = self.client.request(method, url).bearer_auth(&self.token);
        let answer = request.json(body).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// A call as it stands, with its headers; what it answered and after how many seconds to come again.
    pub async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Option<u64>, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.address))
            .body(body.to_owned());
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let after = response.headers().get("Retry-After").cloned();
        let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
        (
            response.status().as_u16(),
            after,
            response.json().await.unwrap_or(Value::Null),
        )
    }

    pub async fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method, path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }
}

pub async fn until<F: Future<Output = bool>>(
    what: &str,
    within: Duration,
    condition: impl Fn() -> F,
) {
    let deadline = Instant::now() + within;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {within:?} until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A simulated WAHA that answers at once.
pub async fn simulator(options: Options) -> Running {
    simulator::start(Options {
        waits: false,
        ..options
    })
    .await
    .unwrap()
}

/// What took effect at the simulator.
pub async fn arrived(simulator: &Running) -> Value {
    let url = format!(
        "{}/simulator/arrived?details=1&limit=100000",
        simulator.url()
    );
    client()
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// Tells the simulator something.
pub async fn tell(simulator: &Running, path: &str, body: &Value) {
    client()
        .post(format!("{}{path}", simulator.url()))
        .json(body)
        .send()
        .await
        .unwrap();
}
