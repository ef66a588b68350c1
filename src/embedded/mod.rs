//! The private PostgreSQL of the default set-up: a child process on a socket in the data folder.
//!
//! Invariants: nobody but this user reaches it (socket folder 0700, no TCP); one process a data folder
//! runs it (`app.lock`), all others join through the socket; a half-made cluster is never used (made
//! beside, then renamed); when it ends it is started again, and when this process dies it shuts down by
//! itself. Knows no table.

pub mod binaries;
mod cluster;
pub mod launcher;
mod leftovers;
mod mark;
mod place;
mod postmaster;
mod space;
mod supervise;

use std::fs::File;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::fcntl::Flock;
use tokio::sync::{oneshot, watch};

pub use place::is_used;
use place::{Place, Taken};
pub use supervise::Status;
use supervise::Supervisor;

/// How long a folder may be held by somebody who is starting, stopping or doing a command.
const FREE_WITHIN: Duration = Duration::from_secs(60);

/// How durable a cluster has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Production,
    /// As fast as tests, for a long life: what the machine's power takes is made again.
    Demo,
    /// Fast, and lost with the machine's power.
    Tests,
}

/// What for a process opens the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Alone in its folder.
    Server,
    /// Uses the cluster that runs, or runs it for a while.
    Command,
}

/// The cluster of a data folder, as this process has it.
pub enum Opened {
    Own(Embedded),
    Joined(Joined),
}

/// A cluster that another process runs.
pub struct Joined {
    url: String,
    _share: Flock<File>,
}

/// A cluster that this process runs; it ends with this value.
pub struct Embedded {
    url: String,
    orders: mpsc::Sender<()>,
    ended: oneshot::Receiver<()>,
    status: watch::Receiver<Status>,
}

/// What a start needs.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub data_dir: &'a Path,
    pub pg_bin_dir: Option<&'a Path>,
    /// The `wablast` binary, run as `wablast postgres-launcher …`.
    pub launcher: &'a Path,
    pub purpose: Purpose,
}

impl Opened {
    /// The cluster of the data folder: started, made first where there is none, or joined.
    pub async fn open(options: Options<'_>, role: Role) -> anyhow::Result<Self> {
        let data_dir = options.data_dir.to_owned();
        let place = tokio::task::spawn_blocking(move || Place::prepare(&data_dir)).await??;
        let deadline = Instant::now() + FREE_WITHIN;
        loop {
            let (holder, is_server) = match place.take_lock(role)? {
                Taken::Ours(lock) => {
                    return Ok(Self::Own(Embedded::run(options, role, place, lock).await?));
                }
                Taken::By { holder, is_server } => (holder, is_server),
            };
            let late = Instant::now() > deadline;
            if role == Role::Server && (is_server || late) {
                bail!(
                    "another instance uses {} (process {holder}). Stop it, or set WABLAST_DATA_DIR to another folder.",
                    place.data_dir.display()
                );
            }
            if role == Role::Command
                && let Some(joined) = Joined::join(&place).await?
            {
                return Ok(Self::Joined(joined));
            }
            if late {
                bail!(
                    "process {holder} uses {}, and its PostgreSQL does not answer. Look at {}.",
                    place.data_dir.display(),
                    place.log().display()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn url(&self) -> &str {
        match self {
            Self::Own(own) => &own.url,
            Self::Joined(joined) => &joined.url,
        }
    }

    /// Stops what this process started.
    pub async fn close(self) {
        if let Self::Own(own) = self {
            own.stop().await;
        }
    }
}

impl Joined {
    async fn join(place: &Place) -> anyhow::Result<Option<Self>> {
        let Some(share) = place.share()? else {
            return Ok(None);
        };
        let url = place.url();
        let answers = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
        Ok(answers.is_ok().then_some(Self { url, _share: share }))
    }
}

impl Embedded {
    /// Starts the cluster of a server.
    pub async fn start(
        data_dir: &Path,
        pg_bin_dir: Option<&Path>,
        launcher: &Path,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        let options = Options {
            data_dir,
            pg_bin_dir,
            launcher,
            purpose,
        };
        match Opened::open(options, Role::Server).await? {
            Opened::Own(own) => Ok(own),
            Opened::Joined(_) => bail!("a server joins nobody"),
        }
    }

    async fn run(
        options: Options<'_>,
        role: Role,
        place: Place,
        lock: Flock<File>,
    ) -> anyhow::Result<Self> {
        let (orders, ordered) = mpsc::channel();
        let (started, has_started) = oneshot::channel();
        let (over, ended) = oneshot::channel();
        let (tell, status) = watch::channel(Status {
            up: true,
            since: Instant::now(),
            restarts: 0,
        });
        let url = place.url();
        let supervisor = Supervisor {
            place,
            pg_bin_dir: options.pg_bin_dir.map(Path::to_owned),
            launcher: options.launcher.to_owned(),
            purpose: options.purpose,
            role,
            lock,
            orders: ordered,
            status: tell,
        };
        std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || {
                supervisor.run(started);
                let _ = over.send(());
            })?;
        has_started
            .await
            .context("the thread of the private PostgreSQL ended")??;
        let own = Self {
            url,
            orders,
            ended,
            status,
        };
        own.make_database().await?;
        Ok(own)
    }

    /// How tokio-postgres connects.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it is, now and later.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Shuts the cluster down: connections are closed, everything is on disk.
    pub async fn stop(self) {
        let _ = self.orders.send(());
        drop(self.orders);
        let _ = self.ended.await;
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
