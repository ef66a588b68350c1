//! Messages from people: stored once, linked to who wrote them, obeyed when they say stop.
//!
//! Invariants: one row a message of the gateway; groups and newsletters never become contacts; only a
//! STOP word opts out and only a START word or a person opts in again; whoever writes for the first time
//! is welcomed once, whoever opts out is told so once, in the transaction that stores the message. Owns
//! `incoming`.

pub mod conversation;
pub mod files;
pub mod list;
mod preferences;
pub mod query;
pub mod reply;
pub mod signs;

use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::AsyncPgConnection;

use crate::accounts::Account;
use crate::companies;
use crate::contacts;
use crate::error::{Error, Result};
use crate::gateways::waha::events::IncomingMessage;
use crate::ids::{CompanyId, ContactId, IncomingId};
use crate::outgoing::governor;
use crate::outgoing::query::{Single, add_single};
use crate::text::keyword;
use crate::text::merge::Template;
use crate::text::phone::PhoneNumber;

pub use preferences::{moved, prefers, unsubscribed};

/// Why Meta takes no free text to somebody: as a sentence at their number.
pub const NOT_OPEN: &str = "This person did not write to the account within 24 hours, and Meta takes free text only then. Nothing was sent. Let them write first, or test a mailing on a template: that reaches anybody.";

/// So long after somebody wrote Meta takes free text to them.
const WINDOW: TimeDelta = TimeDelta::hours(24);

/// The reason an opt-out by word is stored with.
pub const SAID_STOP: &str = "Answered with a stop word";

/// Stores a message and does what it asks. `None`: it was known already, or nobody's. Run it inside a
/// transaction of the worker.
pub async fn receive(
    conn: &mut AsyncPgConnection,
    account: &Account,
    message: &IncomingMessage,
    inbox: i64,
) -> Result<Option<IncomingId>> {
    let Some((number, lid)) = preferences::identity(&message.sender) else {
        return Ok(None);
    };
    let number = number.as_ref();
    let digits = number.map(PhoneNumber::as_str);
    let company = query::company_of_conversation(conn, account, digits, lid).await?;
    let contact = contact_of(conn, company, number, lid, message).await?;
    let reply = query::what_it_answers(
        conn,
        account.id,
        company,
        contact,
        message.quoted.as_deref(),
    )
    .await?;
    let company_row = companies::find(conn, company).await?;
    let text = message.text.as_deref().unwrap_or_default();
    let payload = message.payload.as_deref().unwrap_or_default();
    let says = |words: &[String]| keyword::matches(text, words) || keyword::matches(payload, words);
    let says_stop = !message.is_reaction && says(&company_row.opt_out_words);
    let Some(id) = query::insert(
        conn,
        &query::NewIncoming {
            company,
            account,
            contact,
            sender: digits.or(lid).unwrap_or_default(),
            message,
            reply: reply.as_ref(),
            opted_out: says_stop,
            inbox,
        },
    )
    .await?
    else {
        return Ok(None);
    };
    if let Some(file) = &message.file {
        files::note(conn, company, account.id, id, file).await?;
    }
    // Somebody was there; nothing was said.
    if message.is_reaction {
        return Ok(Some(id));
    }
    if let Some(reply) = &reply {
        crate::outgoing::query::mark_replied(conn, reply.outgoing_id).await?;
    }
    let person = Person {
        company,
        contact,
        address: digits.or(lid),
        until: account
            .is_meta()
            .then(|| message.sent_at.map(|at| at + WINDOW))
            .flatten(),
    };
    if says_stop {
        let news = stop_everywhere(conn, account, digits, lid, contact).await?;
        if news {
            confirm(conn, account, &person, id).await?;
            governor::opted_out(conn, company, account.id).await?;
        }
    } else {
        if says(&company_row.opt_in_words) {
            contacts::opt_in(conn, &[contact], "Answered with a start word").await?;
        }
        welcome(conn, account, &person, id).await?;
    }
    Ok(Some(id))
}

async fn contact_of(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: Option<&PhoneNumber>,
    lid: Option<&str>,
    message: &IncomingMessage,
) -> Result<ContactId> {
    let digits = number.map(PhoneNumber::as_str);
    let known = match contacts::identity::by_identity(conn, company, digits, lid).await? {
        None => {
            // Two messages of somebody new may be read at the same time.
            contacts::identity::lock_identity(conn, company, lid.or(digits).unwrap_or_default())
                .await?;
            contacts::identity::by_identity(conn, company, digits, lid).await?
        }
        known => known,
    };
    let contact = match known {
        Some(known) => known,
        None => {
            let name = message
                .sender_name
                .as_deref()
                .or(digits)
                .or(lid)
                .unwrap_or_default();
            let country = number.and_then(PhoneNumber::country);
            contacts::identity::from_incoming(conn, company, digits, country.as_deref(), name)
                .await?
        }
    };
    if let Some(lid) = lid {
        contacts::identity::learn_lid(conn, company, contact, lid).await?;
    }
    Ok(contact)
}

/// A stop counts in every company that may use the account, with or without a contact there. True when
/// this person was not opted out before.
async fn stop_everywhere(
    conn: &mut AsyncPgConnection,
    account: &Account,
    digits: Option<&str>,
    lid: Option<&str>,
    contact: ContactId,
) -> Result<bool> {
    let changed = contacts::opt_out(conn, &[contact], SAID_STOP).await?;
    preferences::stop_in_companies(conn, account, digits, lid, SAID_STOP).await?;
    Ok(changed > 0)
}

/// Who wrote, and where an answer goes.
struct Person<'a> {
    company: CompanyId,
    contact: ContactId,
    address: Option<&'a str>,
    /// Until when the gateway takes free text to them; none: always.
    until: Option<DateTime<Utc>>,
}

/// The account's welcome for who never wrote to it before.
async fn welcome(
    conn: &mut AsyncPgConnection,
    account: &Account,
    person: &Person<'_>,
    id: IncomingId,
) -> Result<()> {
    if account.welcome_message.is_empty()
        || !query::is_first(conn, account.id, person.contact, id).await?
    {
        return Ok(());
    }
    // Two first messages read at the same time both come here: the cause lets one of them through.
    let cause = format!("welcome:{}:{}", account.id, person.contact);
    let text = &account.welcome_message;
    answer(conn, account, person, "welcome", text, &cause).await
}

/// Tells somebody whose message opted them out that it was understood.
async fn confirm(
    conn: &mut AsyncPgConnection,
    account: &Account,
    person: &Person<'_>,
    id: IncomingId,
) -> Result<()> {
    let cause = format!("confirmation:{id}");
    let text = &account.opt_out_confirmation;
    answer(conn, account, person, "confirmation", text, &cause).await
}

/// Queues one of the account's own texts, with the person's values, where it can be sent at all.
async fn answer(
    conn: &mut AsyncPgConnection,
    account: &Account,
    person: &Person<'_>,
    kind: &'static str,
    text: &str,
    cause: &str,
) -> Result<()> {
    let can_send = account.active && account.not_built().is_none();
    let (true, Some(number)) = (can_send, person.address) else {
        return Ok(());
    };
    let contacts = contacts::query::find_many(conn, &[person.contact]).await?;
    let Some(contact) = contacts.first() else {
        return Ok(());
    };
    let wanted = kind == "confirmation" || (contact.active && !contact.opt_out);
    let text = Template::parse(text).fill(&contact.values());
    if !wanted || text.trim().is_empty() {
        return Ok(());
    }
    let single = Single {
        company: person.company,
        account: account.id,
        kind,
        contact: Some(person.contact),
        number,
        text: text.trim(),
        user: None,
        cause,
        quoted: None,
        media: None,
        version: None,
        until: person.until,
    };
    add_single(conn, &single).await?;
    Ok(())
}

/// Undoes an opt-out that a message caused; needs the reason.
pub async fn undo_opt_out(
    conn: &mut AsyncPgConnection,
    id: IncomingId,
    reason: &str,
) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Error::invalid(
            "reason",
            "Say why this person may be written to again.",
        ));
    }
    let contact = query::undo_opt_out(conn, id, reason.trim())
        .await?
        .ok_or_else(|| {
            Error::conflict("This message did not opt anybody out, or that was undone already.")
        })?;
    contacts::opt_in(conn, &[contact], reason).await?;
    Ok(())
}
