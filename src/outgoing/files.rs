//! The files of an account's messages, ready to go.
//!
//! Invariants: a file is read before its messages begin, never between the attempt and its request; it
//! is in memory once for all messages of an account, and only while some of them are claimed; what is
//! too large for a request goes as a link that the gateway fetches; where the gateway keeps files, one is
//! uploaded once a number and named by its id (`uploads.rs`).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use diesel_async::AsyncPgConnection;

use super::claim::Claimed;
use super::uploads;
use crate::accounts::{self, Account};
use crate::app::App;
use crate::error::{Error, Result as Said};
use crate::gateways::meta::Meta;
use crate::gateways::{Attachment, SendError, Source};
use crate::ids::{AccountId, MailingId, MediaId};
use crate::media::{self, Media};

/// In base64 a third more; WAHA takes requests of 50 MB.
pub const INSIDE_AT_MOST: u64 = 35 * 1024 * 1024;

type Which = (MediaId, Option<MailingId>);

/// How a gateway takes files.
#[derive(Clone)]
pub(super) enum Wanted {
    /// In the request, in base64.
    Inside,
    /// The gateway fetches it from us.
    AsLink,
    /// It keeps files and knows them by id.
    Uploaded(AccountId, Arc<Meta>),
}

/// Why a file is not ready.
pub(super) enum Missing {
    /// Our own storage or database.
    Here(anyhow::Error),
    /// The gateway did not take it.
    There(SendError),
}

impl<E: Into<anyhow::Error>> From<E> for Missing {
    fn from(error: E) -> Self {
        Self::Here(error.into())
    }
}

/// What the messages under way carry.
#[derive(Default)]
pub(super) struct Files(HashMap<Which, Attachment>);

impl Files {
    /// Has ready what these messages carry, and forgets the rest.
    pub(super) async fn fetch(
        &mut self,
        app: &App,
        claimed: &[Claimed],
        how: &Wanted,
    ) -> Result<(), Missing> {
        let wanted: HashSet<Which> = claimed.iter().filter_map(which).collect();
        // Links and ids end and are made anew; bytes never change.
        let inside = matches!(how, Wanted::Inside);
        self.0.retain(|which, file| {
            wanted.contains(which) && inside && matches!(file.source, Source::Inside(_))
        });
        for which in wanted {
            if let Entry::Vacant(missing) = self.0.entry(which) {
                missing.insert(read(app, which.0, which.1, how).await?);
            }
        }
        Ok(())
    }

    pub(super) fn of(&self, claimed: &Claimed) -> Option<Attachment> {
        self.0.get(&which(claimed)?).cloned()
    }
}

fn which(claimed: &Claimed) -> Option<Which> {
    claimed.media_id.map(|id| (id, claimed.mailing_id))
}

async fn read(
    app: &App,
    id: MediaId,
    mailing: Option<MailingId>,
    how: &Wanted,
) -> Result<Attachment, Missing> {
    let mut conn = app.db.system().await?;
    let media = media::query::find(&mut conn, id).await?;
    let source = match how {
        Wanted::Uploaded(account, meta) => {
            drop(conn);
            Source::Uploaded(uploads::id_of(app, *account, meta, &media).await?)
        }
        Wanted::Inside if media.length() <= INSIDE_AT_MOST => {
            drop(conn);
            let bytes = bytes_of(app, &media).await?;
            let data = tokio::task::spawn_blocking(move || STANDARD.encode(bytes)).await?;
            Source::Inside(Bytes::from(data))
        }
        Wanted::Inside | Wanted::AsLink => {
            Source::Link(link(&mut conn, app, &media, mailing).await?)
        }
    };
    Ok(Attachment {
        kind: media.kind().as_str(),
        mime: media.full_mime().to_owned(),
        file_name: media.file_name,
        source,
    })
}

/// Whether the file can go the way the account sends; else why not, at its field.
pub fn can_go(app: &App, file: &Media, account: &Account) -> Said<()> {
    // Meta keeps what is uploaded to it.
    if account.is_meta() {
        return Ok(());
    }
    if account.sends_through_webhook() {
        // Workers that fetch have an address of ours already.
        let theirs = &account.webhook_url;
        return if theirs.is_empty() || accounts::test::finds_us(app, theirs) {
            Ok(())
        } else {
            Err(Error::invalid(
                "media_id",
                "The flow fetches files from us, and it cannot reach us: set WABLAST_PUBLIC_URL to an address it can reach, or take the file out.",
            ))
        };
    }
    let is_large = file.length() > INSIDE_AT_MOST;
    if is_large && !accounts::test::finds_us(app, &account.api_url) {
        return Err(Error::invalid(
            "media_id",
            "A file of this size is fetched by WAHA, and WAHA cannot reach us: set WABLAST_PUBLIC_URL to an address it can reach, or take a file of at most 35 MB.",
        ));
    }
    Ok(())
}

/// A file as it was uploaded to us.
pub(super) async fn bytes_of(app: &App, media: &Media) -> anyhow::Result<Bytes> {
    let bytes = app.storage.read(&media.storage_key).await?;
    anyhow::ensure!(
        bytes.len() as u64 == media.length(),
        "the file in the storage has another size than the one that was uploaded"
    );
    Ok(bytes)
}

/// Where a gateway that fetches files itself finds the one of a message.
pub async fn link(
    conn: &mut AsyncPgConnection,
    app: &App,
    media: &Media,
    mailing: Option<MailingId>,
) -> diesel::QueryResult<String> {
    media::links::of(conn, app, media.company_id, media.id, mailing).await
}
