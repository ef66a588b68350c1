//! Where PostgreSQL's programs are.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// A folder with `initdb` and `postgres`.
#[derive(Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Looks in PG_BIN_DIR, the data folder, PATH and the places of Debian and Red Hat. The version an
    /// existing cluster was made with comes first.
    pub fn find(data_dir: &Path, pg_bin_dir: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(folder) = pg_bin_dir {
            if !is_complete(folder) {
                bail!(
                    "PG_BIN_DIR is {}, but initdb and postgres are not there",
                    folder.display()
                );
            }
            return Ok(Self {
                folder: folder.to_owned(),
            });
        }
        let mut folders = vec![data_dir.join("pgbin/bin"), data_dir.join("pgbin")];
        folders.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        folders.extend(numbered("/usr/lib/postgresql", "bin"));
        folders.extend(
            numbered("/usr", "bin")
                .into_iter()
                .filter(|folder| folder.to_string_lossy().contains("pgsql-")),
        );
        folders.retain(|folder| is_complete(folder));
        let wanted = std::fs::read_to_string(data_dir.join("pg/PG_VERSION")).ok();
        let fitting = wanted.as_deref().and_then(|wanted| {
            folders
                .iter()
                .find(|folder| major(folder).as_deref() == Some(wanted.trim()))
        });
        match fitting.or(folders.first()) {
            Some(folder) => Ok(Self {
                folder: folder.clone(),
            }),
            None => bail!(
                "PostgreSQL is not installed. Install it (apt-get install postgresql), set PG_BIN_DIR to the folder of initdb and \
                 postgres, or set DATABASE_URL to a PostgreSQL that runs already."
            ),
        }
    }

    pub fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// Refuses a cluster that another major version made.
    pub fn fit(&self, cluster: &Path) -> anyhow::Result<()> {
        let made_with = std::fs::read_to_string(cluster.join("PG_VERSION")).unwrap_or_default();
        match major(&self.folder) {
            Some(have) if have != made_with.trim() => bail!(
                "the data in {} was made by PostgreSQL {}, but {} has PostgreSQL {have}. Install PostgreSQL {} beside it, or set PG_BIN_DIR.",
                cluster.display(),
                made_with.trim(),
                self.folder.display(),
                made_with.trim()
            ),
            _ => Ok(()),
        }
    }
}

fn is_complete(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

/// `base/*/tail`, the highest version first.
fn numbered(base: &str, tail: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.trim_start_matches("pgsql-").parse().ok()?;
            Some((number, entry.path().join(tail)))
        })
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, path)| path).collect()
}

/// The major version of the programs in a folder.
fn major(folder: &Path) -> Option<String> {
    let output = std::process::Command::new(folder.join("postgres"))
        .arg("--version")
        .env_clear()
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    Some(version.split(['.', 'd', 'b', 'r']).next()?.to_owned())
}
