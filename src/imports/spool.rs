//! A file on its way: written to a folder without a name there, so that nothing is left of it however
//! the program ends. Between instances it stands in pieces in the database.
//!
//! Invariant: no more than a piece of it is in memory.

use std::fs::File;
use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::read::{BYTES_MAX, ReadFault};
use crate::error::{Error, Result};

/// Of a piece in the database.
pub(super) const PIECE: usize = 1024 * 1024;
/// What is read on and thrown away of a file that is too large: a browser that is cut off shows no answer.
const READ_ON: u64 = 2 * BYTES_MAX;

/// A file that is being written.
pub struct Spool {
    file: tokio::fs::File,
    length: u64,
}

impl Spool {
    /// In the folder; where it cannot be, in that of the system.
    pub fn open(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).or_else(|_| tempfile::tempfile());
        Ok(Self {
            file: tokio::fs::File::from_std(file.map_err(anyhow::Error::from)?),
            length: 0,
        })
    }

    /// What is more than a file may have is counted and not kept.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        if self.length <= BYTES_MAX {
            self.file
                .write_all(bytes)
                .await
                .map_err(anyhow::Error::from)?;
        } else if self.length > READ_ON {
            return Err(too_large());
        }
        Ok(())
    }

    /// The whole file, or that it is too large.
    pub async fn finish(mut self) -> Result<File> {
        self.file.flush().await.map_err(anyhow::Error::from)?;
        if self.length > BYTES_MAX {
            return Err(too_large());
        }
        Ok(self.file.into_std().await)
    }
}

fn too_large() -> Error {
    Error::invalid("file", ReadFault::TooLarge.to_string())
}

/// Reads a file from its start, piece by piece.
pub(super) struct Pieces {
    file: tokio::fs::File,
}

impl Pieces {
    pub async fn of(file: File) -> io::Result<Self> {
        let mut file = tokio::fs::File::from_std(file);
        file.rewind().await?;
        Ok(Self { file })
    }

    /// The next piece; none: that was all.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut self.file)
            .take(PIECE as u64)
            .read_to_end(&mut piece)
            .await?;
        Ok((!piece.is_empty()).then_some(piece))
    }
}
