//! The ways a message leaves: WAHA's own API, Meta's Cloud API, or a webhook that sends for us.
//!
//! The account decides by its provider and *Send through*. Knows no queue and no state.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::files::Wanted;
use crate::accounts::Account;
use crate::accounts::flow::Flow;
use crate::accounts::sending::Sending;
use crate::app::App;
use crate::gateways::meta::Meta;
use crate::gateways::waha::Waha;
use crate::gateways::webhook::{Push, Webhook};
use crate::gateways::{Accepted, Attachment, SendError, Source, TextMessage, changed_meanwhile};
use crate::ids::{ContactId, ListId, LogId, MailingId, OutgoingId};

/// Requests of one account at one time where it sends by API.
const BY_API: usize = 64;
/// Meta's answers come from far away: for 1,000 a second more must be under way.
const BY_META: usize = 256;

/// How one account sends.
#[derive(Clone)]
pub(super) enum Way {
    Waha(Arc<Waha>),
    Meta(Arc<Meta>),
    Webhook(Arc<Webhook>),
}

impl Way {
    /// Fails where the account's address or secrets cannot be read.
    pub(super) fn of(
        account: &Account,
        sending: &Sending,
        flow: &Flow,
        app: &App,
    ) -> anyhow::Result<Self> {
        Ok(if account.sends_through_webhook() {
            Self::Webhook(Arc::new(account.webhook(app, flow)?))
        } else if account.is_meta() {
            Self::Meta(Arc::new(
                account
                    .meta(app)?
                    .by_marketing_call(sending.marketing_messages),
            ))
        } else {
            let waha = account.waha(app)?.previewing(sending.link_preview);
            Self::Waha(Arc::new(waha))
        })
    }

    /// Whether message ids of our own are sent along.
    pub(super) async fn has_own_ids(&self) -> Result<bool, SendError> {
        match self {
            Self::Waha(waha) => Ok(waha.version().await?.has_own_ids()),
            Self::Meta(_) => Ok(true),
            Self::Webhook(_) => Ok(false),
        }
    }

    /// Whether a message with a file takes one of them too.
    pub(super) fn has_own_ids_for_files(&self) -> bool {
        matches!(self, Self::Meta(_))
    }

    pub(super) async fn new_message_id(&self) -> Result<String, SendError> {
        match self {
            Self::Waha(waha) => waha.new_message_id().await,
            // Comes back in every receipt; nobody has to be asked for one.
            Self::Meta(_) => Ok(crate::random::token(22)),
            // Asked only where there are own ids.
            Self::Webhook(_) => Ok(String::new()),
        }
    }

    /// Sends one message; `push` says what a flow gets to know of it.
    pub(super) async fn send(
        &self,
        message: TextMessage,
        push: Option<Push>,
    ) -> Result<Accepted, SendError> {
        match self {
            Self::Waha(waha) => waha.send(&message).await,
            Self::Meta(meta) => meta.send(&message).await,
            Self::Webhook(webhook) => {
                let (mime_type, media_url) = match message.media {
                    None => (String::new(), String::new()),
                    Some(Attachment {
                        mime,
                        source: Source::Link(link),
                        ..
                    }) => (mime, link),
                    Some(_) => return Err(changed_meanwhile()),
                };
                let push = Push {
                    to: message.to,
                    text: message.text,
                    reply_to: message.quoted,
                    mime_type,
                    media_url,
                    ..push.unwrap_or_default()
                };
                webhook.push(&push).await
            }
        }
    }
}

/// How the files of an account's messages have to be ready.
pub(super) fn files_go(account: &Account, way: &Way) -> Wanted {
    match way {
        Way::Waha(_) => Wanted::Inside,
        // A flow fetches every file itself.
        Way::Webhook(_) => Wanted::AsLink,
        Way::Meta(meta) => Wanted::Uploaded(account.id, Arc::clone(meta)),
    }
}

/// How many requests of this account may be under way at one time.
pub(super) fn places(account: &Account) -> usize {
    if account.sends_through_webhook() {
        usize::try_from(account.at_once).unwrap_or(1).clamp(1, 5)
    } else if account.is_meta() {
        BY_META
    } else {
        BY_API
    }
}

#[derive(QueryableByName)]
struct Around {
    #[diesel(sql_type = BigInt)]
    id: OutgoingId,
    #[diesel(sql_type = Nullable<BigInt>)]
    mailing_id: Option<MailingId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    log_id: Option<LogId>,
    #[diesel(sql_type = Nullable<BigInt>)]
    list_id: Option<ListId>,
    #[diesel(sql_type = Text)]
    list_name: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    contact_id: Option<ContactId>,
    #[diesel(sql_type = Text)]
    contact_name: String,
    #[diesel(sql_type = diesel::sql_types::SmallInt)]
    attempts: i16,
}

/// What a flow gets to know of begun messages beside number and text.
pub(super) async fn around(
    conn: &mut AsyncPgConnection,
    account: &Account,
    ids: &[OutgoingId],
) -> QueryResult<HashMap<OutgoingId, Push>> {
    let rows: Vec<Around> = sql_query(
        "SELECT o.id, o.mailing_id, o.log_id, o.list_id, coalesce(l.name, '') AS list_name, o.contact_id,
           coalesce(c.name, '') AS contact_name, o.attempts
         FROM outgoing o LEFT JOIN lists l ON l.id = o.list_id LEFT JOIN contacts c ON c.id = o.contact_id
         WHERE o.id = ANY ($1)",
    )
    .bind::<Array<BigInt>, _>(ids)
    .load(conn)
    .await?;
    let push = |row: Around| Push {
        account_id: account.id.0,
        account_name: account.name.clone(),
        mailing_id: row.mailing_id.map(|id| id.0),
        list_id: row.list_id.map(|id| id.0),
        list_name: row.list_name,
        log_id: row.log_id.map(|id| id.0),
        session: account.session.clone(),
        sent_id: row.id.0,
        contact_id: row.contact_id.map(|id| id.0),
        contact_name: row.contact_name,
        attempt: row.attempts,
        ..Push::default()
    };
    Ok(rows.into_iter().map(|row| (row.id, push(row))).collect())
}
