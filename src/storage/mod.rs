//! Where uploaded files lie: a folder or an S3-compatible bucket, behind one interface.
//!
//! Invariants: keys are made by us, never taken from whoever uploads; a file is there whole or not at
//! all; no more than a few parts of a file are in memory while it is stored or streamed. Knows no table
//! and no company.

use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _};
use tokio::io::AsyncWriteExt as _;

use crate::config::StorageSetting;

/// What is sent to the bucket at a time; S3 wants 5 MiB and more.
const PART: usize = 8 * 1024 * 1024;
/// Parts under way at a time.
const PARTS: usize = 2;

/// A cheap clone.
#[derive(Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("the file is not in the storage")]
    Missing,
    #[error("the storage could not be reached")]
    Unavailable(#[source] anyhow::Error),
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            other => Self::Unavailable(anyhow::Error::new(other)),
        }
    }
}

impl Storage {
    /// Opens what the operator set. A bucket is not asked until it is used.
    pub fn open(setting: &StorageSetting) -> anyhow::Result<Self> {
        match setting {
            StorageSetting::Folder(folder) => {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("making the folder {}", folder.display()))?;
                let store = LocalFileSystem::new_with_prefix(folder)
                    .with_context(|| format!("opening the folder {}", folder.display()))?
                    .with_fsync(true);
                Ok(Self {
                    store: Arc::new(store),
                    prefix: String::new(),
                })
            }
            StorageSetting::S3 {
                bucket,
                prefix,
                options,
            } => {
                let mut builder = AmazonS3Builder::new()
                    .with_bucket_name(bucket)
                    // One by one: not everything that speaks S3 knows the other call.
                    .with_disable_bulk_delete(true);
                for (name, value) in &options.0 {
                    let key: AmazonS3ConfigKey = name
                        .parse()
                        .with_context(|| format!("reading {}", name.to_uppercase()))?;
                    builder = builder.with_config(key, value);
                }
                let store = builder
                    .build()
                    .with_context(|| format!("opening the bucket {bucket}"))?;
                Ok(Self {
                    store: Arc::new(store),
                    prefix: prefix.clone(),
                })
            }
        }
    }

    fn path(&self, key: &str) -> Path {
        if self.prefix.is_empty() {
            Path::from(key)
        } else {
            Path::from(format!("{}/{key}", self.prefix))
        }
    }

    /// Stores a file of this machine under a key.
    pub async fn put_file(&self, key: &str, file: &FilePath) -> Result<(), StorageError> {
        let away = |error: std::io::Error| StorageError::Unavailable(anyhow::Error::new(error));
        let mut file = tokio::fs::File::open(file).await.map_err(away)?;
        let mut writer = BufWriter::with_capacity(Arc::clone(&self.store), self.path(key), PART)
            .with_max_concurrency(PARTS);
        if let Err(error) = tokio::io::copy(&mut file, &mut writer).await {
            // Best effort: what was begun of it is nowhere to be seen.
            let _ = writer.abort().await;
            return Err(away(error));
        }
        writer.shutdown().await.map_err(away)
    }

    /// The whole file.
    pub async fn read(&self, key: &str) -> Result<Bytes, StorageError> {
        Ok(self.store.get(&self.path(key)).await?.bytes().await?)
    }

    /// A stretch of the file, piece by piece.
    pub async fn stream(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
        let options = GetOptions::new().with_range(Some(range));
        let found = self.store.get_opts(&self.path(key), options).await?;
        Ok(found.into_stream().map_err(StorageError::from).boxed())
    }

    /// Deletes a file; one that is not there is as good.
    pub async fn delete(&self, key: &str) -> Result<(), StorageError> {
        match self.store.delete(&self.path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }
}
