//! What an end without goodbye leaves behind: a postmaster that lives on, orphaned backends, lock files.
//!
//! Invariants: a process belongs to a cluster when its working folder is the cluster's, so a pid that
//! somebody else got meanwhile does not count, nor does a zombie; lock files are removed only when no
//! process lives in the cluster (removing them beside a living one would defeat PostgreSQL's own guard).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::Place;
use super::postmaster::answers;

const LOOK: Duration = Duration::from_millis(20);
/// A postmaster writes its last checkpoint.
const SHUT_DOWN_WITHIN: Duration = Duration::from_secs(30);
const ORPHANS_END_WITHIN: Duration = Duration::from_secs(3);
const KILLED_WITHIN: Duration = Duration::from_secs(10);
/// A postmaster that was told to stop says so by then.
const MAKE_SURE: Duration = Duration::from_millis(150);

/// The postmaster of `place` that survived its process and serves on, if there is one.
pub(super) fn survivor(place: &Place) -> Option<Pid> {
    let first = serving(place)?;
    // The signal of its parent's death may be on its way.
    std::thread::sleep(MAKE_SURE);
    serving(place).filter(|pid| *pid == first)
}

fn serving(place: &Place) -> Option<Pid> {
    let (pid, _) = noted(&place.cluster)?;
    (lives_in(pid, &place.cluster) && is_ready(place)).then_some(pid)
}

/// It says that it is ready, and answers. Asked sooner, it would note every question in its log.
pub(super) fn is_ready(place: &Place) -> bool {
    noted(&place.cluster).is_some_and(|(_, state)| state == "ready") && answers(&place.socket())
}

/// The pid and state in `postmaster.pid`.
fn noted(cluster: &Path) -> Option<(Pid, String)> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    let state = lines.nth(6).unwrap_or_default().trim().to_owned();
    Some((Pid::from_raw(pid), state))
}

/// Makes sure nobody lives in the cluster, then removes its lock files.
pub(super) fn clear(place: &Place) -> anyhow::Result<()> {
    let cluster = &place.cluster;
    if let Some((pid, _)) = noted(cluster)
        && lives_in(pid, cluster)
    {
        tracing::warn!("a PostgreSQL of an earlier run (process {pid}) is shut down first");
        let _ = kill(pid, Signal::SIGINT);
        wait(SHUT_DOWN_WITHIN, || !lives_in(pid, cluster));
        // Its children follow it by themselves.
        let _ = kill(pid, Signal::SIGKILL);
    }
    end_all_in(cluster)?;
    for file in [
        cluster.join("postmaster.pid"),
        place.socket(),
        place.socket_folder.join(".s.PGSQL.5432.lock"),
    ] {
        let _ = fs::remove_file(file);
    }
    Ok(())
}

/// Ends every process that lives in `folder`: asked first, then killed.
pub(super) fn end_all_in(folder: &Path) -> anyhow::Result<()> {
    let living = living_in(folder);
    if living.is_empty() {
        return Ok(());
    }
    signal(&living, Signal::SIGTERM);
    wait(ORPHANS_END_WITHIN, || living_in(folder).is_empty());
    signal(&living_in(folder), Signal::SIGKILL);
    wait(KILLED_WITHIN, || living_in(folder).is_empty());
    let living = living_in(folder);
    anyhow::ensure!(
        living.is_empty(),
        "processes of an earlier PostgreSQL live in {} and cannot be ended: {}",
        folder.display(),
        living
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}

fn wait(within: Duration, done: impl Fn() -> bool) {
    let deadline = Instant::now() + within;
    while !done() && Instant::now() < deadline {
        std::thread::sleep(LOOK);
    }
}

pub(super) fn lives_in(pid: Pid, folder: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)
}

/// Processes whose working folder is `folder`. Zombies have none.
fn living_in(folder: &Path) -> Vec<Pid> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .map(Pid::from_raw)
        .filter(|pid| lives_in(*pid, folder))
        .collect()
}

fn signal(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // One that has ended meanwhile is what we want.
        let _ = kill(*pid, signal);
    }
}
