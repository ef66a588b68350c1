//! How much room a folder has, for errors.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// A disk with less is named in every error, full or not.
const LITTLE: u64 = 64 << 20;

/// What a full disk says, in the words of PostgreSQL and of the system.
const FULL: [&str; 2] = ["No space left on device", "Check free disk space"];

fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.blocks_available() * found.fragment_size())
}

/// The folder and how much is free there.
pub(super) fn words(folder: &Path) -> String {
    match free(folder) {
        Some(bytes) => format!(
            "{} has {}.{} MB free (a new database takes 60 MB): make room there, then start again.",
            folder.display(),
            bytes >> 20,
            ((bytes % (1 << 20)) * 10) >> 20
        ),
        None => format!("Make room in {}, then start again.", folder.display()),
    }
}

/// `error`, with a word about room where that is the reason or may be.
pub(super) fn explained(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    let said = format!("{error:#}");
    let is_full = FULL.iter().any(|words| said.contains(words));
    if is_full || free(folder).is_some_and(|bytes| bytes < LITTLE) {
        return anyhow::anyhow!("{}\n{}", said.trim_end(), words(folder));
    }
    error
}
