//! A person's answer to a message, over the account it came by.
//!
//! Invariants: one press makes one message, however often it is sent; the answer quotes what it answers
//! and goes to where that came from; it may go to somebody who opted out; a file goes as the header of a
//! mailing would, with the text under it. Knows no gateway: the deliverer sends it like everything else.

use diesel::OptionalExtension as _;
use diesel_async::AsyncPgConnection;
use sha2::{Digest as _, Sha256};

use super::query::{self, Incoming};
use crate::accounts::{self, Account};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{CompanyId, IncomingId, MediaId, UserId};
use crate::mailings::input::WORDS_WITH_VOICE;
use crate::media::{self, Media};
use crate::outgoing;
use crate::outgoing::query::{Single, add_single};
use crate::text::merge;

/// The form, as text.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct ReplyInput {
    pub text: String,
    /// A file that was uploaded, to go with the text.
    pub media_id: String,
    /// Makes a double click one message.
    pub key: String,
}

impl ReplyInput {
    fn media(&self) -> Option<MediaId> {
        self.media_id.trim().parse().ok()
    }

    /// The text that goes, with the file or alone.
    fn parse(&self, file: Option<&Media>) -> Result<String> {
        let text = self.text.trim().replace("\r\n", "\n").replace('\0', "");
        let length = merge::length(&text);
        if let Some(file) = file {
            return match (file.kind().has_caption(), merge::CAPTION_MAX) {
                (false, _) if !text.is_empty() => Err(Error::invalid("text", WORDS_WITH_VOICE)),
                (true, most) if length > most => Err(Error::invalid(
                    "text",
                    format!(
                        "Under a file WhatsApp takes at most {most} characters; this has {length}."
                    ),
                )),
                _ => Ok(text),
            };
        }
        if text.is_empty() {
            Err(Error::invalid("text", "Write the reply first."))
        } else if length > merge::TEXT_MAX {
            let most = merge::TEXT_MAX;
            Err(Error::invalid(
                "text",
                format!("This is {length} characters long. WhatsApp takes {most}."),
            ))
        } else {
            Ok(text)
        }
    }
}

/// Why `user` cannot answer this message, as a sentence; `None`: it can be answered.
pub async fn obstacle(
    conn: &mut AsyncPgConnection,
    message: &Incoming,
    user: UserId,
) -> Result<Option<&'static str>> {
    let account = accounts::query::find(conn, message.account_id)
        .await
        .optional()?;
    let Some(account) = account else {
        return Ok(Some(
            "This company may not use the account that the message came by.",
        ));
    };
    let is_allowed = accounts::query::is_allowed(conn, account.id, user).await?;
    Ok(if !account.active {
        Some("The account that it came by is archived. An administrator can bring it back.")
    } else if let Some(reason) = account.not_built() {
        Some(reason)
    } else if !is_allowed {
        Some(
            "You may not send through the account that it came by. Ask an administrator to allow you.",
        )
    } else if account.is_meta() && !query::is_window_open(conn, message).await? {
        Some(
            "More than 24 hours have passed since this person wrote. Meta now takes an approved template only: send a mailing to this contact.",
        )
    } else if message.sender.is_empty() {
        Some("It came without a number that an answer could go to.")
    } else {
        None
    })
}

/// Queues the answer and marks the message as read.
pub async fn send(
    app: &App,
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    id: IncomingId,
    input: &ReplyInput,
) -> Result<()> {
    let message = query::find(conn, id).await?;
    if let Some(reason) = obstacle(conn, &message, user).await? {
        return Err(Error::invalid("text", reason));
    }
    let file = match input.media() {
        Some(media) => {
            let account = accounts::query::find(conn, message.account_id).await?;
            Some(fitting(app, conn, media, &account).await?)
        }
        None => None,
    };
    let text = input.parse(file.as_ref())?;
    let single = Single {
        company,
        account: message.account_id,
        kind: "reply",
        contact: message.contact_id,
        number: &message.sender,
        text: &text,
        user: Some(user),
        cause: &cause(id, &input.key, &text, file.as_ref()),
        quoted: Some(&message.quotable),
        media: file.map(|file| file.id),
        version: None,
        until: None,
    };
    add_single(conn, &single).await?;
    query::mark_read(conn, &[id], true).await?;
    Ok(())
}

/// The file, where it can go through the account.
async fn fitting(
    app: &App,
    conn: &mut AsyncPgConnection,
    id: MediaId,
    account: &Account,
) -> Result<Media> {
    let file = media::for_account(conn, id, &account.provider).await?;
    outgoing::files::can_go(app, &file, account)?;
    Ok(file)
}

/// The same text from the same page is the same press; another text, typed after going back to that
/// page, is another answer and must not be lost.
fn cause(id: IncomingId, key: &str, text: &str, file: Option<&Media>) -> String {
    let text = match file {
        Some(file) => format!("{}:{text}", file.id),
        None => text.to_owned(),
    };
    let words = hex::encode(&Sha256::digest(text.as_bytes())[..8]);
    match key.trim() {
        // A form without a key cannot be told from its repetition: nothing is lost.
        "" => format!("reply:{id}:{}", crate::random::token(16)),
        key => format!("reply:{id}:{}:{words}", shortened(key)),
    }
}

fn shortened(key: &str) -> String {
    key.chars().filter(|c| *c != '\0').take(64).collect()
}
