//! The files of an account's messages, ready to go.
//!
//! Invariants: a file is read before its messages begin, never between the attempt and its request; it
//! is in memory once for all messages of an account, and only while some of them are claimed; what is
//! too large for a request goes as a link that the gateway fetches.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use diesel_async::AsyncPgConnection;

use super::claim::Claimed;
use crate::app::App;
use crate::gateways::{Attachment, Source};
use crate::ids::{MailingId, MediaId};
use crate::media::{self, Media};

/// In base64 a third more; WAHA takes requests of 50 MB.
pub const INSIDE_AT_MOST: u64 = 35 * 1024 * 1024;

type Which = (MediaId, Option<MailingId>);

/// What the messages under way carry.
#[derive(Default)]
pub(super) struct Files(HashMap<Which, Attachment>);

impl Files {
    /// Reads what these messages carry and forgets the rest. `as_links`: the gateway fetches every file.
    pub(super) async fn fetch(
        &mut self,
        app: &App,
        claimed: &[Claimed],
        as_links: bool,
    ) -> anyhow::Result<()> {
        let wanted: HashSet<Which> = claimed.iter().filter_map(which).collect();
        // Links end and are made anew; bytes never change.
        self.0.retain(|which, file| {
            wanted.contains(which) && !as_links && matches!(file.source, Source::Inside(_))
        });
        for which in wanted {
            if let Entry::Vacant(missing) = self.0.entry(which) {
                missing.insert(read(app, which.0, which.1, as_links).await?);
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
    as_link: bool,
) -> anyhow::Result<Attachment> {
    let mut conn = app.db.system().await?;
    let media = media::query::find(&mut conn, id).await?;
    let source = if as_link || media.length() > INSIDE_AT_MOST {
        Source::Link(link(&mut conn, app, &media, mailing).await?)
    } else {
        drop(conn);
        let bytes = app.storage.read(&media.storage_key).await?;
        anyhow::ensure!(
            bytes.len() as u64 == media.length(),
            "the file in the storage has another size than the one that was uploaded"
        );
        let data = tokio::task::spawn_blocking(move || STANDARD.encode(bytes)).await?;
        Source::Inside(Bytes::from(data))
    };
    Ok(Attachment {
        kind: media.kind().as_str(),
        mime: media.mime,
        file_name: media.file_name,
        source,
    })
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
