//! The thread that keeps PostgreSQL running: starts it, restarts it when it ends, stops it.
//!
//! Invariants: PostgreSQL gets a signal when the *thread* that started it ends, so this one lives until
//! it is told to stop; the lock of the data folder is given back after PostgreSQL has ended; whatever
//! happens to PostgreSQL, the process lives on.

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use nix::fcntl::Flock;
use tokio::sync::{oneshot, watch};

use super::binaries::Binaries;
use super::place::Place;
use super::postmaster::Postmaster;
use super::{Purpose, Role, cluster, space};

const LOOK: Duration = Duration::from_millis(50);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// One that ran for so long did not fail at its start.
const STEADY: Duration = Duration::from_secs(60);
/// How long a command waits for those who joined its cluster.
const OTHERS_END_WITHIN: Duration = Duration::from_secs(60);

/// How the private PostgreSQL is.
#[derive(Debug, Clone)]
pub struct Status {
    pub up: bool,
    pub since: Instant,
    /// How often it was started again since our own start.
    pub restarts: u32,
}

pub(super) struct Supervisor {
    pub place: Place,
    pub pg_bin_dir: Option<PathBuf>,
    pub launcher: PathBuf,
    pub purpose: Purpose,
    pub role: Role,
    pub lock: Flock<File>,
    /// A word, or a closed channel: stop.
    pub orders: Receiver<()>,
    pub status: watch::Sender<Status>,
}

impl Supervisor {
    /// Runs until told to stop; `started` hears how the first start went.
    pub fn run(self, started: oneshot::Sender<anyhow::Result<()>>) {
        let first = self
            .begin()
            .map_err(|error| space::explained(error, &self.place.data_dir));
        let (binaries, mut postmaster) = match first {
            Ok(begun) => begun,
            Err(error) => {
                // Free before the error is told.
                drop(self.lock);
                let _ = started.send(Err(error));
                return;
            }
        };
        self.status
            .send_modify(|status| status.since = Instant::now());
        if started.send(Ok(())).is_ok() {
            self.keep(&binaries, &mut postmaster);
        }
        let alone = self.wait_for_others();
        if let Some(postmaster) = &mut postmaster {
            postmaster.stop();
        }
        self.place.forget_socket_folder();
        drop(self.lock);
        drop(alone);
    }

    fn begin(&self) -> anyhow::Result<(Binaries, Option<Postmaster>)> {
        let place = &self.place;
        let binaries = Binaries::find(&place.data_dir, self.pg_bin_dir.as_deref())?;
        if !place.has_cluster()? {
            cluster::make(place, &binaries, &self.launcher, self.purpose)?;
        }
        binaries.fit(&place.cluster)?;
        let postmaster = self.start(&binaries)?;
        Ok((binaries, Some(postmaster)))
    }

    fn start(&self, binaries: &Binaries) -> anyhow::Result<Postmaster> {
        let orders = &self.orders;
        // A word that is heard here is not heard again: closing the channel follows it.
        let give_up = || matches!(orders.try_recv(), Err(TryRecvError::Disconnected));
        Postmaster::start(&self.place, binaries, &self.launcher, self.purpose, give_up)
    }

    /// Until told to stop: looks after it, and starts it again.
    fn keep(&self, binaries: &Binaries, postmaster: &mut Option<Postmaster>) {
        let mut wait = FIRST_WAIT;
        loop {
            let pause = if postmaster.is_some() { LOOK } else { wait };
            match self.orders.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(running) = postmaster {
                let Some(how) = running.ended() else { continue };
                let log = self.place.log();
                tracing::error!(
                    "PostgreSQL ended ({how}) and is started again; {} says why",
                    log.display()
                );
                if self.status.borrow().since.elapsed() > STEADY {
                    wait = FIRST_WAIT;
                }
                *postmaster = None;
                self.tell(false);
                continue;
            }
            match self.start(binaries) {
                Ok(started) => {
                    tracing::info!("PostgreSQL runs again (process {})", started.pid());
                    *postmaster = Some(started);
                    self.tell(true);
                }
                Err(error) => {
                    let error = space::explained(error, &self.place.data_dir);
                    tracing::error!("PostgreSQL does not start, trying again: {error:#}");
                }
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn tell(&self, up: bool) {
        self.status.send_modify(|status| {
            status.restarts += u32::from(up);
            status.up = up;
            status.since = Instant::now();
        });
    }

    /// A command that started the cluster leaves it to those who joined meanwhile. Nobody joins while
    /// what this returns is held.
    fn wait_for_others(&self) -> Option<Flock<File>> {
        if self.role == Role::Server {
            return None;
        }
        let deadline = Instant::now() + OTHERS_END_WITHIN;
        while Instant::now() < deadline {
            match self.place.alone() {
                Ok(None) => std::thread::sleep(LOOK),
                Ok(alone) => return alone,
                Err(_) => return None,
            }
        }
        None
    }
}
