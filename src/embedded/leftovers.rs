//! What a killed PostgreSQL leaves behind: its pid file, its socket's lock, orphaned backends.
//!
//! Invariant: the lock files are removed only when no process lives in the cluster's folder; a process is
//! told by its working folder, so a pid that somebody else got meanwhile does not count.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const ORPHANS_END_WITHIN: Duration = Duration::from_secs(5);

/// Makes sure nobody lives in `cluster`, then removes its lock files.
pub(super) fn clear(cluster: &Path) -> anyhow::Result<()> {
    if !cluster.join("postmaster.pid").exists() {
        return Ok(());
    }
    let mut asked = false;
    let deadline = Instant::now() + ORPHANS_END_WITHIN;
    loop {
        let living = living_in(cluster);
        if living.is_empty() {
            break;
        }
        if !asked {
            // A postmaster whose parent died is shutting down already; others are asked.
            signal(&living, Signal::SIGINT);
            asked = true;
        }
        if Instant::now() > deadline {
            signal(&living, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
        anyhow::ensure!(
            Instant::now() < deadline + ORPHANS_END_WITHIN,
            "processes of an earlier PostgreSQL still live in {}: {living:?}",
            cluster.display()
        );
    }
    let _ = std::fs::remove_file(cluster.join("postmaster.pid"));
    let run = cluster.with_file_name("run");
    for file in [".s.PGSQL.5432", ".s.PGSQL.5432.lock"] {
        let _ = std::fs::remove_file(run.join(file));
    }
    Ok(())
}

/// Processes whose working folder is the cluster. Zombies have none.
fn living_in(cluster: &Path) -> Vec<Pid> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_string_lossy().parse().ok()?;
            let cwd = std::fs::read_link(entry.path().join("cwd")).ok()?;
            (cwd == cluster).then(|| Pid::from_raw(pid))
        })
        .collect()
}

fn signal(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // One that has ended meanwhile is what we want.
        let _ = kill(*pid, signal);
    }
}
