//! One run of PostgreSQL: started, ready, ended.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::binaries::Binaries;
use super::place::Place;
use super::{Purpose, cluster, leftovers, mark};

/// After a crash PostgreSQL repeats what it had promised, which takes as long as it takes.
const READY_WITHIN: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(15);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// A log that is longer makes room for a new one.
const LOG_AT_MOST: u64 = 16 << 20;

pub(super) enum Postmaster {
    Ours(Child),
    /// It survived the process that started it.
    Adopted {
        pid: Pid,
        cluster: PathBuf,
    },
}

impl Postmaster {
    /// Adopts the one that runs, or starts one and waits until it answers. `give_up` is asked meanwhile.
    pub fn start(
        place: &Place,
        binaries: &Binaries,
        launcher: &Path,
        purpose: Purpose,
        give_up: impl FnMut() -> bool,
    ) -> anyhow::Result<Self> {
        if let Some(pid) = leftovers::survivor(place) {
            tracing::info!("adopted the PostgreSQL that runs already (process {pid})");
            return Ok(Self::Adopted {
                pid,
                cluster: place.cluster.clone(),
            });
        }
        leftovers::clear(place)?;
        let (mut log, begin) = open_log(&place.log())?;
        let mut command = cluster::launched(launcher, &binaries.postgres(), &place.cluster, place);
        command.arg("-D").arg(&place.cluster);
        command.arg("-k").arg(&place.socket_folder);
        for setting in cluster::settings(purpose) {
            command.args(["-c", &setting]);
        }
        // Part of the database's identity (`wablast_cluster()`).
        command.args(["-c", &format!("wablast.folder={}", mark::of(place)?)]);
        command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        let child = command.spawn().context("starting PostgreSQL")?;
        let mut postmaster = Self::Ours(child);
        match postmaster.wait_until_ready(place, give_up) {
            Ok(()) => Ok(postmaster),
            Err(error) => {
                postmaster.stop();
                let mut said = String::new();
                let _ = log.seek(SeekFrom::Start(begin));
                let _ = log.read_to_string(&mut said);
                let tail: Vec<&str> = said.lines().rev().take(12).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                bail!(
                    "{error}. What it said, at the end of {}:\n{}",
                    place.log().display(),
                    tail.join("\n")
                )
            }
        }
    }

    pub fn pid(&self) -> Pid {
        match self {
            Self::Ours(child) => Pid::from_raw(child.id().cast_signed()),
            Self::Adopted { pid, .. } => *pid,
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<String> {
        match self {
            Self::Ours(child) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            },
            Self::Adopted { pid, cluster } => {
                (!leftovers::lives_in(*pid, cluster)).then(|| "it is gone".to_owned())
            }
        }
    }

    /// Shuts it down: connections are closed, everything is on disk.
    pub fn stop(&mut self) {
        for (signal, within) in [
            (Signal::SIGINT, STOPPED_WITHIN),
            (Signal::SIGQUIT, Duration::from_secs(5)),
            (Signal::SIGKILL, Duration::from_secs(5)),
        ] {
            if self.ended().is_some() {
                return;
            }
            let _ = kill(self.pid(), signal);
            let deadline = Instant::now() + within;
            while self.ended().is_none() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn wait_until_ready(
        &mut self,
        place: &Place,
        mut give_up: impl FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if leftovers::is_ready(place) {
                return Ok(());
            }
            if let Some(how) = self.ended() {
                bail!("the private PostgreSQL did not start ({how})");
            }
            if Instant::now() > deadline {
                bail!(
                    "the private PostgreSQL did not answer within {} s",
                    READY_WITHIN.as_secs()
                );
            }
            if give_up() {
                bail!("the start of the private PostgreSQL was given up");
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// The log, and where this run's part begins.
fn open_log(path: &Path) -> anyhow::Result<(File, u64)> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_AT_MOST) {
        let _ = fs::rename(path, path.with_extension("log.1"));
    }
    let log = File::options()
        .create(true)
        .append(true)
        .read(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))?;
    let begin = log.metadata().map_or(0, |found| found.len());
    Ok((log, begin))
}

/// Ready is when a start-up packet is answered on the socket.
pub(super) fn answers(socket: &Path) -> bool {
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
