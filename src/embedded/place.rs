//! The data folder: who uses it, where the cluster and its socket are.
//!
//! Invariants: one process holds `app.lock` and with it the cluster; who joins says so in `app.joined`;
//! nobody but this user reaches the socket. A folder that was moved or copied is as good as before: no
//! path inside is believed without a look at where the folder is now.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User};

use super::Role;
use super::space;

/// A socket's path may have 107 bytes; the rest is PostgreSQL's file name.
const SOCKET_FOLDER_AT_MOST: usize = 85;

#[derive(Debug, Clone)]
pub(super) struct Place {
    pub data_dir: PathBuf,
    pub cluster: PathBuf,
    pub socket_folder: PathBuf,
}

/// Whether some process has the folder now.
pub fn is_used(data_dir: &Path) -> bool {
    File::open(data_dir.join("app.lock"))
        .is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
}

/// Who has the lock of the folder.
pub(super) enum Taken {
    Ours(Flock<File>),
    By { holder: String, is_server: bool },
}

impl Place {
    /// Makes what is missing of the folders.
    pub fn prepare(data_dir: &Path) -> anyhow::Result<Self> {
        private_folder(data_dir).map_err(|error| refused(error, data_dir))?;
        // As /proc shows it: a process is told by its working folder.
        let data_dir = fs::canonicalize(data_dir)
            .with_context(|| format!("finding the folder {}", data_dir.display()))?;
        let cluster = data_dir.join("pg");
        let socket_folder = socket_folder(&data_dir, &cluster)?;
        Ok(Self {
            data_dir,
            cluster,
            socket_folder,
        })
    }

    pub fn url(&self) -> String {
        format!(
            "host='{}' user=postgres dbname=wablast",
            self.socket_folder.display()
        )
    }

    pub fn socket(&self) -> PathBuf {
        self.socket_folder.join(".s.PGSQL.5432")
    }

    pub fn log(&self) -> PathBuf {
        self.data_dir.join("postgres.log")
    }

    /// Takes the folder for this process, or says who has it.
    pub fn take_lock(&self, role: Role) -> anyhow::Result<Taken> {
        let path = self.data_dir.join("app.lock");
        let file = open(&path).map_err(|error| refused(error, &self.data_dir))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                let what = match role {
                    Role::Server => "serve",
                    Role::Command => "command",
                };
                // A courtesy: on a full disk the lock holds without it.
                let _ = lock.set_len(0);
                let _ = writeln!(lock, "{} {what}", std::process::id());
                Ok(Taken::Ours(lock))
            }
            Err((mut file, _)) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                let mut words = text.split_whitespace();
                Ok(Taken::By {
                    holder: words.next().unwrap_or("of unknown number").to_owned(),
                    is_server: words.next() != Some("command"),
                })
            }
        }
    }

    /// Held by everybody who uses the cluster of another process; `None`: that process is stopping.
    pub fn share(&self) -> anyhow::Result<Option<Flock<File>>> {
        self.joined(FlockArg::LockSharedNonblock)
    }

    /// Held by a command that stops its cluster; `None`: somebody uses it still.
    pub fn alone(&self) -> anyhow::Result<Option<Flock<File>>> {
        self.joined(FlockArg::LockExclusiveNonblock)
    }

    fn joined(&self, how: FlockArg) -> anyhow::Result<Option<Flock<File>>> {
        let path = self.data_dir.join("app.joined");
        let file = open(&path).map_err(|error| refused(error, &self.data_dir))?;
        Ok(Flock::lock(file, how).ok())
    }

    /// Removes a socket's folder outside the data folder, if it is empty.
    pub fn forget_socket_folder(&self) {
        if !self.socket_folder.starts_with(&self.data_dir) {
            let _ = fs::remove_dir(&self.socket_folder);
        }
    }

    /// Whether there is a cluster, and we may use it.
    pub fn has_cluster(&self) -> anyhow::Result<bool> {
        let owner = match fs::metadata(&self.cluster) {
            Ok(found) => Uid::from_raw(found.uid()),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(refused(error, &self.cluster)),
        };
        let we = Uid::effective();
        anyhow::ensure!(
            we.is_root() || we == owner,
            "the database in {} belongs to {}, and this is {}. Start it as its owner, or give it away: chown -R {we} {}",
            self.cluster.display(),
            named(owner),
            named(we),
            self.data_dir.display()
        );
        match fs::read_to_string(self.cluster.join("PG_VERSION")) {
            Ok(_) => Ok(true),
            Err(error) => Err(anyhow::Error::new(error).context(format!(
                "{} is there but is no PostgreSQL cluster. Move it away to start anew, or restore it from a backup",
                self.cluster.display()
            ))),
        }
    }
}

pub(super) fn private_folder(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
}

/// A fault of the folder in words one can act on.
fn refused(error: std::io::Error, folder: &Path) -> anyhow::Error {
    let shown = folder.display();
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            let owner = folder
                .ancestors()
                .find_map(|path| Some((path, fs::metadata(path).ok()?)));
            let owner = owner.map_or(String::new(), |(path, found)| {
                let owner = named(Uid::from_raw(found.uid()));
                format!(" {} belongs to {owner}.", path.display())
            });
            anyhow::anyhow!(
                "the data folder {shown} cannot be written by {}: {error}.{owner} Make it writable, or set WABLAST_DATA_DIR to another folder.",
                named(Uid::effective())
            )
        }
        ErrorKind::StorageFull => anyhow::anyhow!(
            "the data folder {shown} cannot be written: {error}. {}",
            space::words(folder)
        ),
        _ => anyhow::Error::new(error).context(format!("using the data folder {shown}")),
    }
}

fn named(uid: Uid) -> String {
    match User::from_uid(uid).ok().flatten() {
        Some(user) => format!("{} (uid {uid})", user.name),
        None => format!("uid {uid}"),
    }
}

/// The folder of the socket: in the data folder, or a private one with a short name.
fn socket_folder(data_dir: &Path, cluster: &Path) -> anyhow::Result<PathBuf> {
    let near = data_dir.join("run");
    if near.as_os_str().len() <= SOCKET_FOLDER_AT_MOST && is_plain(&near) {
        private_folder(&near).map_err(|error| refused(error, &near))?;
        fs::set_permissions(&near, fs::Permissions::from_mode(0o700))
            .map_err(|error| refused(error, &near))?;
        return Ok(near);
    }
    let note = data_dir.join("pg.socket-folder");
    let known = fs::read_to_string(&note).ok().and_then(|text| {
        let (folder, of) = text.split_once('\n')?;
        (Path::new(of) == data_dir).then(|| PathBuf::from(folder))
    });
    if let Some(known) = known.filter(|known| is_private(known, cluster)) {
        return Ok(known);
    }
    let far = std::env::temp_dir().join(format!("wablast-{}", crate::random::token(12)));
    private_folder(&far).with_context(|| format!("making the folder {}", far.display()))?;
    fs::set_permissions(&far, fs::Permissions::from_mode(0o700))?;
    let text = format!("{}\n{}", far.display(), data_dir.display());
    fs::write(&note, text).map_err(|error| refused(error, data_dir))?;
    Ok(far)
}

/// PostgreSQL reads a list of folders, and so does its client: their commas, quotes and backslashes are
/// not for names.
fn is_plain(folder: &Path) -> bool {
    folder
        .to_str()
        .is_some_and(|text| !text.contains([',', '\'', '"', '\\']))
}

/// Whether a folder in the shared temporary folder is still ours: after a clean-up somebody else may
/// have made one of this name.
fn is_private(folder: &Path, cluster: &Path) -> bool {
    let Ok(found) = fs::symlink_metadata(folder) else {
        return false;
    };
    let of_cluster = fs::metadata(cluster).map(|cluster| cluster.uid()).ok();
    found.is_dir()
        && found.mode() & 0o077 == 0
        && (found.uid() == Uid::effective().as_raw() || Some(found.uid()) == of_cluster)
}
