//! The real program as its own process, to be killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A port nobody listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_wablast");

fn command(folder: &Path, port: u16) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env("WABLAST_DATA_DIR", folder)
        .env("WABLAST_LISTEN", format!("127.0.0.1:{port}"))
        .env("WABLAST_LOG", "warn")
        .env_remove("DATABASE_URL");
    command
}

/// Runs a command of the program and returns what it printed.
pub fn run(folder: &Path, arguments: &[&str], input: &str) -> String {
    finish(command(folder, 1), arguments, input)
}

fn finish(mut command: Command, arguments: &[&str], input: &str) -> String {
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Several programs with one database, one key and one storage.
pub struct Shared {
    folder: tempfile::TempDir,
    database_url: String,
}

impl Shared {
    pub fn new(database_url: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            database_url: database_url.to_owned(),
        }
    }

    fn command(&self, port: u16) -> Command {
        let mut command = command(&self.folder.path().join(port.to_string()), port);
        command
            .env("DATABASE_URL", &self.database_url)
            .env("WABLAST_MASTER_KEY_FILE", self.folder.path().join("key"))
            .env("WABLAST_STORAGE", self.folder.path().join("media"));
        command
    }

    /// Runs a command of the program and returns what it printed.
    pub fn run(&self, arguments: &[&str], input: &str) -> String {
        finish(self.command(1), arguments, input)
    }

    /// `wablast serve` or `wablast web`.
    pub async fn start(&self, what: &str) -> Instance {
        let port = free_port();
        let mut command = self.command(port);
        command.arg(what);
        Instance::begin(command, port, Duration::from_secs(60)).await
    }

    /// The same at a port, with more in its environment.
    pub async fn start_with(&self, port: u16, more: &[(&str, &str)]) -> Instance {
        let mut command = self.command(port);
        command.arg("serve").envs(more.iter().copied());
        Instance::begin(command, port, Duration::from_secs(60)).await
    }

    /// `wablast worker`, which listens nowhere.
    pub fn worker(&self) -> Instance {
        let child = self
            .command(2)
            .arg("worker")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let url = String::new();
        Instance { child, url }
    }
}

/// A running `wablast serve`; killed when dropped.
pub struct Instance {
    child: Child,
    pub url: String,
}

impl Instance {
    pub async fn start(folder: &Path, port: u16) -> Self {
        Self::start_with(folder, port, None).await
    }

    /// With PostgreSQL's programs from `pg_bin_dir`.
    pub async fn start_with(folder: &Path, port: u16, pg_bin_dir: Option<&Path>) -> Self {
        let mut command = command(folder, port);
        if let Some(pg_bin_dir) = pg_bin_dir {
            command.env("PG_BIN_DIR", pg_bin_dir);
        }
        command.arg("serve");
        Self::begin(command, port, Duration::from_secs(60)).await
    }

    /// `wablast demo`, made first where it is not there.
    /// It listens where it says it does: while it is made, others may take a port that was free.
    pub async fn demo(folder: &Path, reset: bool) -> Self {
        let mut command = command(folder, 0);
        command.arg("demo");
        if reset {
            command.arg("--reset");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let said = Arc::new(Mutex::new(None));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("Infinys WhatsApp Blasting: ") {
                    *heard.lock().unwrap() = Some(address.trim().to_owned());
                }
            }
        });
        let address = || said.lock().unwrap().clone();
        super::until("the demo stands", Duration::from_secs(240), || async {
            address().is_some()
        })
        .await;
        let url = address().unwrap();
        Self { child, url }
    }

    async fn begin(mut command: Command, port: u16, within: Duration) -> Self {
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let instance = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        };
        super::until("the instance answers", within, || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await;
        instance
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// -STOP, -CONT ...
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid()]).status();
        assert!(sent.unwrap().success());
    }

    /// kill -9
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and wait for the end.
    pub fn stop(&mut self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
