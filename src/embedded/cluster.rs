//! Making a cluster, and its settings.
//!
//! Invariant: a half-made cluster is never used: it is made beside its place, written to disk, then renamed.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::binaries::Binaries;
use super::place::{Place, private_folder};
use super::{Purpose, leftovers};

/// Makes the cluster of `place`; what an interrupted try left is removed first.
pub(super) fn make(
    place: &Place,
    binaries: &Binaries,
    launcher: &Path,
    purpose: Purpose,
) -> anyhow::Result<()> {
    let half = place.data_dir.join("pg.init");
    if half.exists() {
        leftovers::end_all_in(&half)?;
        fs::remove_dir_all(&half)
            .with_context(|| format!("removing the half-made cluster {}", half.display()))?;
    }
    private_folder(&half).with_context(|| format!("making the folder {}", half.display()))?;
    let mut command = launched(launcher, &binaries.initdb(), &half, place);
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
        ])
        .current_dir(&half)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if purpose != Purpose::Production {
        command.arg("--no-sync");
    }
    let output = command
        .output()
        .with_context(|| format!("running {}", binaries.initdb().display()))?;
    if !output.status.success() {
        // Half a cluster takes room, and there may be none.
        let _ = fs::remove_dir_all(&half);
        bail!(
            "could not make a PostgreSQL cluster in {}:\n{}",
            half.display(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    fs::rename(&half, &place.cluster).context("putting the new cluster into its place")?;
    File::open(&place.data_dir)
        .and_then(|folder| folder.sync_all())
        .context("writing the new cluster's place to disk")
}

/// `program` through our launcher, with nothing of our environment.
pub(super) fn launched(launcher: &Path, program: &Path, owned: &Path, place: &Place) -> Command {
    let mut command = Command::new(launcher);
    command
        .arg("postgres-launcher")
        .arg(std::process::id().to_string())
        .arg(owned)
        .arg(&place.socket_folder)
        .arg(program)
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

pub(super) fn settings(purpose: Purpose) -> Vec<String> {
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
            settings.push(format!("shared_buffers={}MB", shared_buffers_mib()));
            settings.push("max_connections=100".to_owned());
        }
        Purpose::Demo => {
            for setting in [
                "fsync=off",
                "full_page_writes=off",
                "synchronous_commit=off",
                "shared_buffers=128MB",
                "max_connections=100",
            ] {
                settings.push(setting.to_owned());
            }
        }
        Purpose::Tests => {
            for setting in [
                "fsync=off",
                "full_page_writes=off",
                "synchronous_commit=off",
                "max_connections=400",
                "shared_buffers=128MB",
                "autovacuum=off",
                "max_wal_size=512MB",
            ] {
                settings.push(setting.to_owned());
            }
        }
    }
    settings
}

/// A quarter of the memory, at most 512 MB.
fn shared_buffers_mib() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.map_or(128, |kib| (kib / 4 / 1024).clamp(32, 512))
}
