//! `wablast postgres-launcher`: becomes PostgreSQL (or initdb) with the right identity.
//!
//! PostgreSQL refuses to run as root. A root that starts us gets a user namespace of its own, in which
//! the same files belong to an ordinary user. Where that is not allowed (some containers), the files go
//! to `postgres` or `nobody` and so do we; files that belong to somebody else already stay theirs, and we
//! become them. The death of our parent is PostgreSQL's signal to shut down.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User, chown, getppid, setgid, setgroups, setsid, setuid};

/// `arguments`: the parent's pid, the folder that must belong to PostgreSQL (in the data folder), the
/// socket's folder, the program and its own arguments. Returns only an error: on success the program has taken our place.
pub fn run(arguments: &[OsString]) -> anyhow::Error {
    match prepare(arguments) {
        Ok(mut command) => {
            anyhow::Error::new(command.exec()).context("starting PostgreSQL's program")
        }
        Err(error) => error,
    }
}

fn prepare(arguments: &[OsString]) -> anyhow::Result<Command> {
    let [parent, owned, socket_folder, program, rest @ ..] = arguments else {
        bail!("postgres-launcher is for the product's own use");
    };
    let parent: i32 = parent
        .to_string_lossy()
        .parse()
        .context("reading the parent's pid")?;
    if Uid::effective().is_root() {
        leave_root(Path::new(owned), Path::new(socket_folder))?;
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

fn leave_root(owned: &Path, socket_folder: &Path) -> anyhow::Result<()> {
    let found = fs::metadata(owned).with_context(|| format!("looking at {}", owned.display()))?;
    let user = if found.uid() != 0 {
        Identity {
            name: format!("uid {}", found.uid()),
            uid: Uid::from_raw(found.uid()),
            gid: Gid::from_raw(found.gid()),
        }
    } else if enter_namespace().is_ok() {
        return Ok(());
    } else {
        Identity::ordinary()?
    };
    user.gets(owned)?;
    user.gets(socket_folder)?;
    // The way to it, without a look at what else is there.
    if let Some(data_dir) = owned.parent() {
        chown(data_dir, None, Some(user.gid))
            .with_context(|| format!("opening {} to PostgreSQL", data_dir.display()))?;
        fs::set_permissions(data_dir, fs::Permissions::from_mode(0o710))?;
    }
    setgroups(&[]).context("leaving root's groups")?;
    setgid(user.gid).context("changing the group")?;
    setuid(user.uid).context("changing the user")?;
    user.reaches(owned)
}

/// In the namespace root's files belong to uid 65534, and so do we.
fn enter_namespace() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", "65534 0 1")?;
    fs::write("/proc/self/gid_map", "65534 0 1")?;
    Ok(())
}

/// Who PostgreSQL runs as where it may have no namespace.
struct Identity {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl Identity {
    fn ordinary() -> anyhow::Result<Self> {
        let user = ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .context("there is no user postgres or nobody to run PostgreSQL as")?;
        Ok(Self {
            name: user.name,
            uid: user.uid,
            gid: user.gid,
        })
    }

    fn gets(&self, path: &Path) -> anyhow::Result<()> {
        let found = fs::symlink_metadata(path)?;
        if found.uid() != self.uid.as_raw() {
            chown(path, Some(self.uid), Some(self.gid))
                .with_context(|| format!("giving {} to {}", path.display(), self.name))?;
        }
        if found.is_dir() {
            for entry in fs::read_dir(path)? {
                self.gets(&entry?.path())?;
            }
        }
        Ok(())
    }

    /// Every folder on the way must let this user through.
    fn reaches(&self, owned: &Path) -> anyhow::Result<()> {
        let Err(error) = fs::read_dir(owned) else {
            return Ok(());
        };
        let closed = owned
            .ancestors()
            .skip(1)
            .filter(|path| fs::metadata(path.join(".")).is_err())
            .last()
            .unwrap_or(owned);
        bail!(
            "PostgreSQL runs as {} here, who cannot reach {} ({error}): {} is closed to others. Set WABLAST_DATA_DIR to a folder elsewhere, such as /var/lib/wablast, or open it: chmod o+x {}",
            self.name,
            owned.display(),
            closed.display(),
            closed.display()
        )
    }
}
