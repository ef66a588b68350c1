//! The private PostgreSQL of the default set-up: a child process on a socket in the data folder.
//!
//! Invariants: nobody but this user reaches it (socket folder 0700, no TCP); one process a data folder
//! (`app.lock`); a half-made cluster is never used (made beside, then renamed); when this process dies,
//! PostgreSQL shuts down by itself. Knows no table.

pub mod binaries;
pub mod launcher;
mod leftovers;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use binaries::Binaries;

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// A socket's path may have 107 bytes; the rest is PostgreSQL's file name.
const SOCKET_FOLDER_AT_MOST: usize = 85;

/// A running cluster; holds the lock of the data folder.
pub struct Embedded {
    url: String,
    pid: Pid,
    /// Ends the thread that started the child: the child dies with that thread.
    release: mpsc::Sender<()>,
    _lock: Flock<File>,
}

/// How durable a cluster has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Production,
    /// Fast, and lost with the machine's power.
    Tests,
}

impl Embedded {
    /// Starts the cluster of `data_dir`, making it first where there is none. `launcher` is the `wablast`
    /// binary, run as `wablast postgres-launcher …`.
    pub async fn start(
        data_dir: &Path,
        pg_bin_dir: Option<&Path>,
        launcher: &Path,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        let (data_dir, pg_bin_dir, launcher) = (
            absolute(data_dir)?,
            pg_bin_dir.map(Path::to_owned),
            launcher.to_owned(),
        );
        let started = tokio::task::spawn_blocking(move || {
            start_blocking(&data_dir, pg_bin_dir.as_deref(), &launcher, purpose)
        })
        .await??;
        started.make_database().await?;
        Ok(started)
    }

    /// How tokio-postgres connects.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Shuts the cluster down: running statements end, everything is on disk.
    pub async fn stop(self) {
        let _ = kill(self.pid, Signal::SIGINT);
        let deadline = Instant::now() + STOPPED_WITHIN;
        while Path::new(&format!("/proc/{}/cwd", self.pid)).exists() && Instant::now() < deadline {
            if matches!(nix::sys::wait::waitpid(self.pid, Some(nix::sys::wait::WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some())
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = self.release.send(());
    }

    /// The roles and the database, where they are missing.
    async fn make_database(&self) -> anyhow::Result<()> {
        let (client, connection) = tokio_postgres::connect(
            &self.url.replace("dbname=wablast", "dbname=postgres"),
            tokio_postgres::NoTls,
        )
        .await
        .context("connecting to the private PostgreSQL")?;
        let connection = tokio::spawn(connection);
        for role in ["wablast", "wablast_app", "wablast_worker"] {
            let known = client
                .query("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&role])
                .await?;
            if known.is_empty() {
                client
                    .batch_execute(&format!("CREATE ROLE {role} NOLOGIN"))
                    .await?;
            }
        }
        if client
            .query("SELECT 1 FROM pg_database WHERE datname = 'wablast'", &[])
            .await?
            .is_empty()
        {
            client
                .batch_execute("CREATE DATABASE wablast OWNER wablast")
                .await?;
        }
        drop(client);
        let _ = connection.await;
        Ok(())
    }
}

/// How to connect to the cluster that another process runs for this data folder; `None` if none runs.
pub async fn join(data_dir: &Path) -> anyhow::Result<Option<String>> {
    let data_dir = absolute(data_dir)?;
    let Some(folder) = socket_folder_of(&data_dir) else {
        return Ok(None);
    };
    let url = url_of(&folder);
    match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
        Ok(_) => Ok(Some(url)),
        Err(_) => Ok(None),
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("finding the folder {}", path.display()))
}

fn url_of(socket_folder: &Path) -> String {
    format!(
        "host={} user=postgres dbname=wablast",
        socket_folder.display()
    )
}

fn start_blocking(
    data_dir: &Path,
    pg_bin_dir: Option<&Path>,
    launcher: &Path,
    purpose: Purpose,
) -> anyhow::Result<Embedded> {
    private_folder(data_dir)?;
    let lock = take_lock(data_dir)?;
    let cluster = data_dir.join("pg");
    let binaries = Binaries::find(data_dir, pg_bin_dir)?;
    if !cluster.join("PG_VERSION").exists() {
        make_cluster(data_dir, &binaries, launcher)?;
    }
    binaries.fit(&cluster)?;
    let socket_folder = socket_folder(data_dir)?;
    leftovers::clear(&cluster)?;
    let (pid, release) = spawn(&cluster, &socket_folder, &binaries, launcher, purpose)?;
    wait_until_ready(&socket_folder, pid, data_dir)?;
    Ok(Embedded {
        url: url_of(&socket_folder),
        pid,
        release,
        _lock: lock,
    })
}

fn private_folder(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("making the folder {}", path.display()))
}

/// One process a data folder.
fn take_lock(data_dir: &Path) -> anyhow::Result<Flock<File>> {
    let path = data_dir.join("app.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            lock.set_len(0)?;
            writeln!(lock, "{}", std::process::id())?;
            Ok(lock)
        }
        Err((mut file, _)) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            bail!(
                "another instance uses {} (process {}). Stop it, or set WABLAST_DATA_DIR to another folder.",
                data_dir.display(),
                holder.trim()
            )
        }
    }
}

/// Makes the cluster beside its place and renames it when it is whole.
fn make_cluster(data_dir: &Path, binaries: &Binaries, launcher: &Path) -> anyhow::Result<()> {
    let half = data_dir.join("pg.init");
    if half.exists() {
        fs::remove_dir_all(&half)
            .with_context(|| format!("removing the half-made cluster {}", half.display()))?;
    }
    private_folder(&half)?;
    let mut command = launched(launcher, &binaries.initdb(), &half);
    command
        .arg("-D")
        .arg(&half)
        .args([
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth-local=trust",
            "--auth-host=reject",
            "--data-checksums",
            "--no-sync",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = command
        .output()
        .with_context(|| format!("running {}", binaries.initdb().display()))?;
    if !output.status.success() {
        bail!(
            "could not make a PostgreSQL cluster in {}:\n{}",
            half.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::rename(&half, data_dir.join("pg")).context("putting the new cluster into its place")
}

/// `program` through our launcher, with nothing of our environment.
fn launched(launcher: &Path, program: &Path, owned: &Path) -> Command {
    let mut command = Command::new(launcher);
    command
        .arg("postgres-launcher")
        .arg(std::process::id().to_string())
        .arg(owned)
        .arg(program)
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

fn spawn(
    cluster: &Path,
    socket_folder: &Path,
    binaries: &Binaries,
    launcher: &Path,
    purpose: Purpose,
) -> anyhow::Result<(Pid, mpsc::Sender<()>)> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(cluster.with_file_name("postgres.log"))
        .context("opening the log of PostgreSQL")?;
    let mut command = launched(launcher, &binaries.postgres(), cluster);
    command.arg("-D").arg(cluster).arg("-k").arg(socket_folder);
    for setting in settings(purpose) {
        command.args(["-c", &setting]);
    }
    command.stdout(log.try_clone()?).stderr(log);
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    // The child gets a signal when the *thread* that made it ends: this one waits for our end.
    std::thread::Builder::new()
        .name("postgres".to_owned())
        .spawn(move || {
            let child = command.spawn();
            let alive = child.is_ok();
            let _ = tell.send(child.map(|child| child.id()));
            if alive {
                let _ = released.recv();
            }
        })?;
    let pid = told.recv()?.context("starting PostgreSQL")?;
    Ok((Pid::from_raw(i32::try_from(pid)?), release))
}

fn settings(purpose: Purpose) -> Vec<String> {
    let quarter_mib = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            text.lines()
                .next()?
                .split_whitespace()
                .nth(1)?
                .parse::<u64>()
                .ok()
        })
        .map_or(128, |kib| (kib / 4 / 1024).clamp(32, 512));
    let mut settings = vec![
        "listen_addresses=".to_owned(),
        "unix_socket_permissions=0700".to_owned(),
        "jit=off".to_owned(),
        "random_page_cost=1.1".to_owned(),
        "max_wal_size=2GB".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
    ];
    match purpose {
        Purpose::Production => {
            settings.push(format!("shared_buffers={quarter_mib}MB"));
            settings.push("max_connections=100".to_owned());
        }
        Purpose::Tests => {
            for setting in [
                "fsync=off",
                "full_page_writes=off",
                "synchronous_commit=off",
                "max_connections=400",
                "shared_buffers=128MB",
                "autovacuum=off",
            ] {
                settings.push(setting.to_owned());
            }
        }
    }
    settings
}

/// The folder of the socket: in the data folder, or a private one with a short name.
fn socket_folder(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let note = data_dir.join("pg.socket-folder");
    if let Some(known) = socket_folder_of(data_dir).filter(|known| known.is_dir()) {
        return Ok(known);
    }
    let mut folder = data_dir.join("run");
    if folder.as_os_str().len() > SOCKET_FOLDER_AT_MOST {
        folder = std::env::temp_dir().join(format!("wablast-{}", crate::random::token(12)));
    }
    private_folder(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
    fs::write(note, folder.as_os_str().as_encoded_bytes())?;
    Ok(folder)
}

fn socket_folder_of(data_dir: &Path) -> Option<PathBuf> {
    fs::read_to_string(data_dir.join("pg.socket-folder"))
        .ok()
        .map(PathBuf::from)
}

/// Ready is when a start-up packet is answered on the socket.
fn wait_until_ready(socket_folder: &Path, pid: Pid, data_dir: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    let socket = socket_folder.join(".s.PGSQL.5432");
    loop {
        if answers(&socket) {
            return Ok(());
        }
        let ended = matches!(nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WNOHANG)), Ok(status) if status.pid().is_some());
        if ended || Instant::now() > deadline {
            let log = fs::read_to_string(data_dir.join("postgres.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(12).collect();
            bail!(
                "the private PostgreSQL did not start. The end of {}:\n{}",
                data_dir.join("postgres.log").display(),
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        std::thread::sleep(Duration::from_millis(15));
    }
}

fn answers(socket: &Path) -> bool {
    let mut packet = Vec::new();
    let body = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(body.len() + 8).unwrap_or(0);
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(&196_608_u32.to_be_bytes());
    packet.extend_from_slice(body);
    let ask = || -> std::io::Result<u8> {
        let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(&packet)?;
        let mut first = [0_u8; 1];
        stream.read_exact(&mut first)?;
        Ok(first[0])
    };
    matches!(ask(), Ok(b'R'))
}
