//! A running program in a data folder of its own, with everything a figure needs of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::report;

const EMAIL: &str = "dewi@example.com";
const PASSWORD: &str = "correct horse battery";

/// The folder of builds.
pub fn target() -> PathBuf {
    let debug = Path::new(env!("CARGO_BIN_EXE_wablast"));
    debug.ancestors().nth(2).unwrap().to_owned()
}

/// The program to measure, and how it was built.
pub fn program() -> (PathBuf, &'static str) {
    let release = target().join("release/wablast");
    if release.is_file() {
        (release, "release")
    } else {
        (env!("CARGO_BIN_EXE_wablast").into(), "debug")
    }
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A process that is stopped when dropped.
pub struct Process(Child);

impl Process {
    pub fn of(child: Child) -> Self {
        Self(child)
    }

    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// SIGTERM, and the end.
    pub fn stop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }

    /// Seconds of CPU of this process alone so far, and of everything it started that still runs.
    pub fn cpu(&self) -> (f64, f64) {
        let own = i64::from(self.0.id());
        (
            cpu_of(own).unwrap_or(0.0),
            descendants(own).into_iter().filter_map(cpu_of).sum(),
        )
    }

    /// Forgets the most memory it had so far, see proc(5): setting up hashes a password, which takes much for a moment.
    pub fn forget_peak(&self) {
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.0.id()), "5");
    }

    /// The most memory it had since, in MiB.
    pub fn peak_mib(&self) -> f64 {
        let path = format!("/proc/{}/status", self.0.id());
        let status = std::fs::read_to_string(path).unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib: f64 = peak
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        kib / 1024.0
    }
}

/// The fields of `/proc/PID/stat` behind the name: state, parent ...
fn stat(pid: i64) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn cpu_of(pid: i64) -> Option<f64> {
    let stat = stat(pid)?;
    // utime and stime in ticks of 10 ms, see proc(5).
    Some((stat[11].parse::<f64>().ok()? + stat[12].parse::<f64>().ok()?) / 100.0)
}

fn descendants(of: i64) -> Vec<i64> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let parents: Vec<(i64, i64)> = entries
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(pid)?[1].parse().ok()?))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            parents
                .iter()
                .filter(|(_, its)| *its == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A data folder under `target/bench`, removed when dropped.
pub fn data_folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("data-")
        .tempdir_in(report::folder())
        .unwrap()
}

fn command(data: &Path, port: u16) -> Command {
    let mut command = Command::new(program().0);
    command
        .env("WABLAST_DATA_DIR", data)
        .env("WABLAST_LISTEN", format!("127.0.0.1:{port}"))
        .env("WABLAST_PUBLIC_URL", format!("http://127.0.0.1:{port}"))
        .env("WABLAST_LOG", "error")
        .env_remove("DATABASE_URL");
    command
}

/// Starts the server; how long until it answers.
pub async fn serve(data: &Path, port: u16, sending: bool) -> (Process, Duration) {
    let begin = Instant::now();
    let child = command(data, port)
        .arg("serve")
        .env("WABLAST_SENDING", if sending { "on" } else { "off" })
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    let address = format!("http://127.0.0.1:{port}/healthz");
    loop {
        match reqwest::get(&address).await {
            Ok(answer) if answer.status().is_success() => break,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "it does not start"
        );
    }
    (process, begin.elapsed())
}

pub struct Instance {
    pub process: Process,
    pub url: String,
    pub client: reqwest::Client,
    token: String,
    /// How to reach its PostgreSQL as the owner of everything.
    pub database: String,
    _data: TempDir,
}

impl Instance {
    /// Set up and serving.
    pub async fn start(sending: bool) -> Self {
        wablast::gateways::http::Http::new().unwrap();
        let data = data_folder();
        let run = |arguments: &[&str], input: &str| {
            let mut child = command(data.path(), 1)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{arguments:?}");
            let printed = String::from_utf8(output.stdout).unwrap();
            printed.lines().last().unwrap_or_default().to_owned()
        };
        let setup = "setup --company Batik --country ID --time-zone Asia/Jakarta --admin-name Dewi --admin-password-stdin --admin-email";
        let setup: Vec<&str> = setup.split(' ').chain([EMAIL]).collect();
        run(&setup, PASSWORD);
        let token = run(
            &["token", "create", "--name", "bench", "--email", EMAIL],
            "",
        );
        let port = free_port();
        let (process, _) = serve(data.path(), port, sending).await;
        let socket = std::fs::canonicalize(data.path()).unwrap().join("run");
        let near = socket.as_os_str().len() <= 85;
        let socket = if near {
            socket.display().to_string()
        } else {
            let note = std::fs::read_to_string(data.path().join("pg.socket-folder")).unwrap();
            note.lines().next().unwrap().to_owned()
        };
        Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::builder()
                .cookie_store(true)
                .build()
                .unwrap(),
            token,
            database: format!("host='{socket}' user=postgres dbname=wablast"),
            _data: data,
        }
    }

    /// Runs statements as the owner of everything; the first value of the last one, if it is a number.
    pub async fn sql(&self, statements: &str) -> i64 {
        let (client, connection) = tokio_postgres::connect(&self.database, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let rows = client.simple_query(statements).await.unwrap();
        rows.iter()
            .rev()
            .find_map(|row| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                _ => None,
            })
            .unwrap_or_default()
    }

    pub async fn api(&self, method: &str, path: &str, body: Value) -> Value {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, format!("{}/api/v1{path}", self.url))
            .bearer_auth(&self.token);
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    pub async fn upload(&self, path: &str, form: reqwest::multipart::Form) -> Value {
        let address = format!("{}/api/v1{path}", self.url);
        let request = self.client.post(address).bearer_auth(&self.token);
        let response = request.multipart(form).send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// An account without a limit to speak of, whose gateway is at `waha`.
    pub async fn account(&self, waha: &str) -> Value {
        let body = json!({ "name": "Bench", "provider": "waha", "api_url": waha, "api_key": "simulator-key",
            "pace": { "per_second": 100_000, "burst": 100_000 } });
        self.api("POST", "/accounts", body).await
    }

    /// `n` people in a list; its id.
    pub async fn people(&self, n: usize) -> i64 {
        let list = self
            .api("POST", "/lists", json!({ "name": format!("{n} people") }))
            .await;
        let list = list["id"].as_i64().unwrap();
        self.sql(&format!(
            "INSERT INTO contacts (company_id, name, whatsapp_number, country)
               SELECT 1, 'Person ' || n, (628000000000 + n)::text, 'ID' FROM generate_series(1, {n}) n;
             INSERT INTO list_members (company_id, list_id, contact_id) SELECT 1, {list}, id FROM contacts;
             ANALYZE contacts, list_members"
        ))
        .await;
        list
    }

    /// A draft to a list; its id.
    pub async fn mailing(&self, account: &Value, list: i64) -> i64 {
        let body = json!({ "subject": "Bench", "account_id": account["id"], "recipients": { "list_ids": [list] },
            "message": "Hello {{contact.name}}, our shop opens at nine." });
        let mailing = self.api("POST", "/mailings", body).await;
        mailing["id"].as_i64().unwrap()
    }

    /// What *Send Now* makes of a mailing to everybody, written in one statement.
    pub async fn release_by_hand(&self, mailing: i64) {
        self.sql(&format!(
            "WITH version AS (
               INSERT INTO mailing_versions (company_id, mailing_id, subject, header, message, footer, fields)
               SELECT company_id, id, subject, header, message, footer, '{{contact.name}}' FROM mailings WHERE id = {mailing} RETURNING id
             ), started AS (
               UPDATE mailings m SET state = 'sending', version_id = v.id, release_done = true, started_at = now()
               FROM version v WHERE m.id = {mailing} RETURNING m.*
             )
             INSERT INTO outgoing (company_id, account_id, kind, mailing_id, version_id, contact_id, number, field_values, state)
             SELECT s.company_id, s.account_id, 'mailing', s.id, s.version_id, c.id, c.whatsapp_number,
               jsonb_build_object('contact.name', c.name), 'queued' FROM started s, contacts c ORDER BY c.id;
             INSERT INTO account_pace (account_id, company_id, tokens, tokens_at) SELECT id, company_id, burst, now() FROM accounts
               ON CONFLICT DO NOTHING;
             ANALYZE outgoing"
        ))
        .await;
    }

    pub async fn sign_in(&self) {
        let token = self.form_token("/login").await;
        let form = format!(
            "csrf={token}&email={EMAIL}&password={}",
            PASSWORD.replace(' ', "+")
        );
        let answer = self
            .client
            .post(format!("{}/login", self.url))
            .header("Origin", &self.url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .unwrap();
        assert_ne!(answer.url().path(), "/login", "signing in");
    }

    /// The token that forms on this page carry.
    pub async fn form_token(&self, path: &str) -> String {
        let page = self.page(path).await;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    pub async fn page(&self, path: &str) -> String {
        let answer = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    }
}

/// `wablast simulate`, answering at once; its address.
pub fn simulate(acks: bool) -> (Process, String) {
    let port = free_port();
    let mut command = Command::new(program().0);
    command.args([
        "simulate",
        "--no-waits",
        "--listen",
        &format!("127.0.0.1:{port}"),
    ]);
    if !acks {
        command.arg("--no-acks");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut printed).unwrap();
    (Process(child), format!("http://127.0.0.1:{port}"))
}
