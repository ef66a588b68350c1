//! The demo's own data folder: it never touches data of anybody else.
//!
//! Invariant: a folder is emptied only when it carries the demo's mark, and no program works in it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::config::DEMO_MARK;
use crate::embedded;

const BEGUN: &str = "being made\n";
const READY: &str = "ready\n";

/// Whether the demo has to be made, or stands there since an earlier start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    New,
    Ready,
}

/// Looks at the folder and, with `reset` or after a start that did not end, empties it.
pub fn prepare(folder: &Path, reset: bool) -> anyhow::Result<Found> {
    let mark = folder.join(DEMO_MARK);
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if mark.exists() {
        let ready = fs::read_to_string(&mark)? == READY;
        if ready && !reset {
            return Ok(Found::Ready);
        }
        ensure!(
            !embedded::is_used(folder),
            "the demo in {} is running: end it first",
            folder.display()
        );
        empty(folder)?;
    } else if !is_empty {
        bail!(
            "{} holds data that is not a demo's, and a demo touches nothing else. Set WABLAST_DATA_DIR to another folder.",
            folder.display()
        );
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::write(&mark, BEGUN)?;
    Ok(Found::New)
}

/// From now on it is opened as it is.
pub fn is_ready(folder: &Path) -> anyhow::Result<()> {
    fs::write(folder.join(DEMO_MARK), READY).context("marking the demo as ready")
}

fn empty(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // The mark goes last, so that what is half removed is still known as a demo's.
        if path.ends_with(DEMO_MARK) {
            continue;
        }
        if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        }
        .with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_folders_of_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("demo");
        assert_eq!(prepare(&own, false).unwrap(), Found::New);
        fs::write(own.join("half"), "x").unwrap();
        assert_eq!(
            prepare(&own, false).unwrap(),
            Found::New,
            "made anew after a start that did not end"
        );
        assert!(!own.join("half").exists());
        is_ready(&own).unwrap();
        assert_eq!(prepare(&own, false).unwrap(), Found::Ready);
        assert_eq!(prepare(&own, true).unwrap(), Found::New);

        let real = folder.path().join("real");
        fs::create_dir(&real).unwrap();
        fs::write(real.join("secret.key"), "k").unwrap();
        for reset in [false, true] {
            let refused = prepare(&real, reset).unwrap_err().to_string();
            assert!(refused.contains("not a demo's"), "{refused}");
        }
        assert!(real.join("secret.key").exists());
    }
}
