//! A file as it streams in, on its way to a temporary file.
//!
//! Invariants: no more than one piece of it is in memory; no more is written than any provider takes;
//! the temporary file is gone when nobody holds it.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::kinds::{self, Kind};
use super::names;
use super::sniff::{Found, sniff};
use crate::app::App;
use crate::error::{Error, Result};

/// What is read on and thrown away of a file that is too large: a browser that is cut off shows no answer.
const READ_ON: u64 = 1024 * 1024 * 1024;

/// A file of this process alone, gone when nobody holds it.
pub struct Temporary(PathBuf);

impl Temporary {
    /// An empty one, open for writing.
    pub async fn new(app: &App) -> Result<(Self, tokio::fs::File)> {
        let folder = folder(app);
        tokio::fs::create_dir_all(&folder).await.map_err(disk)?;
        let path = folder.join(crate::random::token(24));
        let file = tokio::fs::File::create_new(&path).await.map_err(disk)?;
        Ok((Self(path), file))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file that is coming in.
pub struct Receiving {
    temporary: Temporary,
    file: tokio::fs::File,
    hash: Sha256,
    size: u64,
}

/// A file that came in whole and is taken.
pub struct Received {
    temporary: Temporary,
    pub kind: Kind,
    pub mime: &'static str,
    pub file_name: String,
    pub size: u64,
    pub sha256: Vec<u8>,
}

impl Received {
    pub(super) fn path(&self) -> &Path {
        &self.temporary.0
    }
}

/// Where files lie while they come in.
pub(super) fn folder(app: &App) -> PathBuf {
    app.config.data_dir.join("uploads")
}

fn fault(sentence: impl Into<String>) -> Error {
    Error::invalid("file", sentence)
}

fn disk(error: std::io::Error) -> Error {
    Error::Internal(anyhow::Error::new(error).context("writing an upload to the data folder"))
}

impl Receiving {
    pub async fn start(app: &App) -> Result<Self> {
        let (temporary, file) = Temporary::new(app).await?;
        Ok(Self {
            temporary,
            file,
            hash: Sha256::new(),
            size: 0,
        })
    }

    /// Takes the next piece. Of a file that is too large the rest is let go by, up to a limit.
    pub async fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.size += piece.len() as u64;
        if self.size > READ_ON {
            return Err(self.too_large());
        }
        if self.size <= kinds::most_bytes(Kind::Document) {
            self.hash.update(piece);
            self.file.write_all(piece).await.map_err(disk)?;
        }
        Ok(())
    }

    fn too_large(&self) -> Error {
        fault(kinds::too_large(
            Kind::Document,
            kinds::most_bytes(Kind::Document) / 1024 / 1024,
        ))
    }

    /// The whole file came: what it is, or why it is not taken.
    pub async fn finish(mut self, given_name: &str) -> Result<Received> {
        if self.size == 0 {
            return Err(fault("The file is empty. Choose another one."));
        }
        if self.size > kinds::most_bytes(Kind::Document) {
            return Err(self.too_large());
        }
        self.file.flush().await.map_err(disk)?;
        drop(self.file);
        let path = self.temporary.0.clone();
        let found = tokio::task::spawn_blocking(move || sniff(&mut std::fs::File::open(path)?))
            .await
            .map_err(anyhow::Error::new)?
            .map_err(disk)?;
        let mime = match found {
            Found::Mime(mime) => mime,
            Found::CutOff => {
                return Err(fault(
                    "The end of this file is missing. Open it on your computer; if it is whole there, upload it again.",
                ));
            }
            Found::Refused | Found::Unknown => {
                return Err(fault(
                    "WhatsApp does not take a file of this type here. Images: JPEG, PNG. Videos: MP4, 3GP. Documents: PDF, text, Word, Excel, PowerPoint. Voice notes: OGG with Opus, MP3, M4A.",
                ));
            }
        };
        let known = kinds::of_mime(mime)
            .ok_or_else(|| anyhow::anyhow!("{mime} is sniffed and not listed"))?;
        let most = kinds::most_bytes(known.kind);
        if self.size > most {
            return Err(fault(kinds::too_large(known.kind, most / 1024 / 1024)));
        }
        Ok(Received {
            temporary: self.temporary,
            kind: known.kind,
            mime,
            file_name: names::safe(given_name, known),
            size: self.size,
            sha256: self.hash.finalize().to_vec(),
        })
    }
}
