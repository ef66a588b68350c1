//! Media: the image, video, document or voice note that a mailing or a reply carries.
//!
//! Invariants: what a file is, its bytes decide, never its name or the browser; the same bytes of a
//! company lie in the storage once; a file that a mailing or a sent version refers to is never deleted;
//! what the storage holds and no row has is written down beforehand, so that nothing there is guessed
//! away. Owns `media`, `media_links` and `media_leftovers`. Does not know how messages leave.

pub mod kinds;
pub mod links;
pub mod names;
pub mod query;
pub mod receive;
pub mod sniff;
mod sound;
pub mod sweep;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{CompanyId, MediaId, UserId};
use crate::schema::media;
use crate::storage::StorageError;

pub use kinds::Kind;
pub use receive::{Received, Receiving};

/// A stored file.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = media)]
pub struct Media {
    pub id: MediaId,
    pub company_id: CompanyId,
    pub kind: String,
    pub file_name: String,
    pub mime: String,
    pub size: i64,
    pub sha256: Vec<u8>,
    pub storage_key: String,
    pub created_at: DateTime<Utc>,
}

impl Media {
    pub fn kind(&self) -> Kind {
        // The column is checked to hold one of these.
        Kind::parse(&self.kind).unwrap_or(Kind::Document)
    }

    /// Its type as gateways want it named: of Ogg they take Opus alone, and ask to hear so.
    pub fn full_mime(&self) -> &str {
        match self.mime.as_str() {
            "audio/ogg" => "audio/ogg; codecs=opus",
            other => other,
        }
    }

    pub fn length(&self) -> u64 {
        u64::try_from(self.size).unwrap_or(0)
    }
}

/// Keeps a received file for a company: the bytes in the storage, then the row. No transaction is open
/// while the storage takes them.
pub async fn keep(
    app: &App,
    company: CompanyId,
    user: UserId,
    received: Received,
) -> Result<Media> {
    let mut conn = app.db.company(company).await?;
    query::lock_bytes(&mut conn, company, &received.sha256).await?;
    if let Some(key) = query::key_of(&mut conn, &received.sha256).await? {
        let kept = query::insert(&mut conn, company, user, &received, &key).await?;
        conn.commit().await?;
        return Ok(kept);
    }
    let key = format!("{company}/{}", crate::random::token(32));
    query::note_leftover(&mut conn, company, &key).await?;
    conn.commit().await?;
    app.storage
        .put_file(&key, received.path())
        .await
        .map_err(away)?;
    let mut conn = app.db.company(company).await?;
    query::lock_bytes(&mut conn, company, &received.sha256).await?;
    // Somebody may have kept the same bytes meanwhile: ours then stay a leftover.
    let known = query::key_of(&mut conn, &received.sha256).await?;
    if known.is_none() && query::forget_leftover(&mut conn, &key).await? == 0 {
        return Err(away(StorageError::Missing));
    }
    let key = known.unwrap_or(key);
    let kept = query::insert(&mut conn, company, user, &received, &key).await?;
    conn.commit().await?;
    Ok(kept)
}

fn away(error: StorageError) -> Error {
    tracing::error!("storing a file: {:#}", anyhow::Error::new(error));
    Error::invalid(
        "file",
        "The file could not be stored just now. Nothing is lost but the upload: try it again in a moment.",
    )
}

fn fault(sentence: impl Into<String>) -> Error {
    Error::invalid("media_id", sentence.into())
}

/// The file, when it may be the header of this kind in a mailing of an account of this provider; else a
/// sentence at the field.
pub async fn for_header(
    conn: &mut AsyncPgConnection,
    id: MediaId,
    header_type: &str,
    provider: &str,
) -> Result<Media> {
    let media = there(conn, id).await?;
    if media.kind != header_type {
        return Err(fault(format!(
            "The file is {}. Choose this kind as the header, or upload another file.",
            media.kind().with_article()
        )));
    }
    fits(media, provider)
}

/// The file, when an account of this provider takes it.
pub async fn for_account(
    conn: &mut AsyncPgConnection,
    id: MediaId,
    provider: &str,
) -> Result<Media> {
    fits(there(conn, id).await?, provider)
}

async fn there(conn: &mut AsyncPgConnection, id: MediaId) -> Result<Media> {
    match query::find(conn, id).await {
        Ok(media) => Ok(media),
        Err(diesel::result::Error::NotFound) => {
            Err(fault("This file is not there any more. Upload it again."))
        }
        Err(other) => Err(other.into()),
    }
}

fn fits(media: Media, provider: &str) -> Result<Media> {
    match kinds::fault(provider, media.kind(), &media.mime, media.length()) {
        Some(sentence) => Err(fault(sentence)),
        None => Ok(media),
    }
}
