//! Which folder a cluster lies in: a random mark in a file beside it, handed to PostgreSQL at its start.
//!
//! Invariants: the mark is bound to the moment the folder was made and, where the file system does not know
//! that, to its inode; so a copy of the data folder (cp, rsync, a restored backup) gets a mark of its own,
//! and sending is locked there (`wablast_guard()`), while a folder that was renamed, a volume in another
//! container and a disk under another device number keep theirs. What copies the file system itself, such
//! as a snapshot of a machine, is not seen: such a copy is started with `WABLAST_SENDING=off`.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::UNIX_EPOCH;

use anyhow::Context as _;

use super::place::Place;

/// How a folder is told from its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    born: Option<u128>,
    inode: u64,
}

impl Origin {
    fn of(place: &Place) -> std::io::Result<Self> {
        let found = fs::metadata(&place.cluster)?;
        let born = found.created().ok();
        Ok(Self {
            born: born.and_then(|at| Some(at.duration_since(UNIX_EPOCH).ok()?.as_nanos())),
            inode: found.ino(),
        })
    }

    fn is(&self, noted: &Self) -> bool {
        match (self.born, noted.born) {
            (Some(born), Some(noted)) => born == noted,
            _ => self.inode == noted.inode,
        }
    }
}

/// The mark of the cluster's folder; a new one where it is new, or a copy.
pub(super) fn of(place: &Place) -> anyhow::Result<String> {
    let path = place.data_dir.join("pg.mark");
    let origin =
        Origin::of(place).with_context(|| format!("looking at {}", place.cluster.display()))?;
    let noted = fs::read_to_string(&path).ok();
    if let Some((mark, noted)) = noted.as_deref().and_then(parse)
        && origin.is(&noted)
    {
        return Ok(mark.to_owned());
    }
    let mark = crate::random::token(16);
    let born = origin.born.map_or("-".to_owned(), |born| born.to_string());
    let text = format!("{mark} {born} {}\n", origin.inode);
    let half = place.data_dir.join("pg.mark.new");
    let written = File::create(&half).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, &path)
    });
    written.with_context(|| format!("writing {}", path.display()))?;
    Ok(mark)
}

fn parse(text: &str) -> Option<(&str, Origin)> {
    let mut words = text.split_whitespace();
    let mark = words.next()?;
    let born = words.next()?.parse().ok();
    let inode = words.next()?.parse().ok()?;
    Some((mark, Origin { born, inode }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(born: Option<u128>, inode: u64) -> Origin {
        Origin { born, inode }
    }

    #[test]
    fn the_moment_it_was_made_decides_and_else_the_inode() {
        assert!(origin(Some(5), 1).is(&origin(Some(5), 2)));
        assert!(!origin(Some(5), 1).is(&origin(Some(6), 1)));
        assert!(origin(None, 1).is(&origin(Some(6), 1)));
        assert!(!origin(Some(5), 1).is(&origin(None, 2)));
        assert_eq!(parse("abc 12 7\n"), Some(("abc", origin(Some(12), 7))));
        assert_eq!(parse("abc - 7\n"), Some(("abc", origin(None, 7))));
        assert_eq!(parse("abc"), None);
    }
}
