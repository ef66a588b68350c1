//! `wablast postgres-launcher`: becomes PostgreSQL (or initdb) with the right identity.
//!
//! PostgreSQL refuses to run as root. A root that starts us gets a user namespace of its own, in which
//! the same files belong to an ordinary user; where that is not allowed (some containers), the files go
//! to `postgres` or `nobody` and so do we. The death of our parent is PostgreSQL's signal to shut down.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User, chown, getppid, setgid, setsid, setuid};

/// `arguments`: the parent's pid, the folder that must belong to PostgreSQL, the program and its own
/// arguments. Returns only an error: on success the program has taken our place.
pub fn run(arguments: &[OsString]) -> anyhow::Error {
    match prepare(arguments) {
        Ok(mut command) => {
            anyhow::Error::new(command.exec()).context("starting PostgreSQL's program")
        }
        Err(error) => error,
    }
}

fn prepare(arguments: &[OsString]) -> anyhow::Result<Command> {
    let [parent, owned, program, rest @ ..] = arguments else {
        bail!("postgres-launcher is for the product's own use");
    };
    let parent: i32 = parent
        .to_string_lossy()
        .parse()
        .context("reading the parent's pid")?;
    if Uid::effective().is_root() && enter_namespace().is_err() {
        become_ordinary(Path::new(owned))?;
    }
    setsid().context("starting a session")?;
    // After the change of identity, which clears it.
    prctl::set_pdeathsig(Signal::SIGINT).context("asking for the parent's death")?;
    if getppid().as_raw() != parent && getppid().as_raw() != 0 {
        bail!("the parent ended before PostgreSQL could start");
    }
    let mut command = Command::new(program);
    command.args(rest);
    Ok(command)
}

/// In the namespace root's files belong to uid 65534, and so do we.
fn enter_namespace() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", "65534 0 1")?;
    std::fs::write("/proc/self/gid_map", "65534 0 1")?;
    Ok(())
}

fn become_ordinary(owned: &Path) -> anyhow::Result<()> {
    let user = ["postgres", "nobody"]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .context("there is no user postgres or nobody to run PostgreSQL as")?;
    give(owned, &user)?;
    let socket_folder = owned.with_file_name("run");
    if socket_folder.is_dir() {
        give(&socket_folder, &user)?;
    }
    setgid(user.gid).context("changing the group")?;
    setuid(user.uid).context("changing the user")?;
    Ok(())
}

fn give(path: &Path, user: &User) -> anyhow::Result<()> {
    chown(path, Some(user.uid), Some(user.gid))
        .with_context(|| format!("giving {} to {}", path.display(), user.name))?;
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    Ok(())
}
