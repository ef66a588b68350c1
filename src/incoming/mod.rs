//! Messages from people: stored once, linked to who wrote them, obeyed when they say stop.
//!
//! Invariants: one row a message of the gateway; groups and newsletters never become contacts; only a
//! STOP word opts out and only a START word or a person opts in again. Owns `incoming`.

pub mod conversation;
pub mod list;
pub mod query;

use diesel_async::AsyncPgConnection;

use crate::accounts::{self, Account};
use crate::companies;
use crate::contacts;
use crate::error::{Error, Result};
use crate::gateways::waha::events::{IncomingMessage, Sender};
use crate::ids::{CompanyId, ContactId, IncomingId};
use crate::text::keyword;
use crate::text::phone::PhoneNumber;

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
    let (number, lid) = match &message.sender {
        Sender::Phone(digits) => (PhoneNumber::from_gateway(digits), None),
        Sender::Lid { lid, phone } => (
            phone.as_deref().and_then(PhoneNumber::from_gateway),
            Some(lid.as_str()),
        ),
        Sender::NotAPerson(_) => return Ok(None),
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
    let says_stop = keyword::matches(text, &company_row.opt_out_words);
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
    if let Some(reply) = &reply {
        crate::outgoing::query::mark_replied(conn, reply.outgoing_id).await?;
    }
    if says_stop {
        stop_everywhere(conn, account, digits, lid, contact).await?;
    } else if keyword::matches(text, &company_row.opt_in_words) {
        contacts::opt_in(conn, &[contact], "Answered with a start word").await?;
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
    let contact = match contacts::query::by_identity(conn, company, digits, lid).await? {
        Some(known) => known,
        None => {
            let name = message
                .sender_name
                .as_deref()
                .or(digits)
                .or(lid)
                .unwrap_or_default();
            let country = number.and_then(PhoneNumber::country);
            contacts::query::from_incoming(conn, company, digits, country.as_deref(), name).await?
        }
    };
    if let Some(lid) = lid {
        contacts::query::learn_lid(conn, company, contact, lid).await?;
    }
    Ok(contact)
}

/// A stop counts in every company that may use the account, with or without a contact there.
async fn stop_everywhere(
    conn: &mut AsyncPgConnection,
    account: &Account,
    digits: Option<&str>,
    lid: Option<&str>,
    contact: ContactId,
) -> Result<()> {
    contacts::opt_out(conn, &[contact], SAID_STOP).await?;
    for company in accounts::query::companies(conn, account.id).await? {
        match contacts::query::by_identity(conn, company, digits, lid).await? {
            Some(contact) => {
                contacts::opt_out(conn, &[contact], SAID_STOP).await?;
            }
            None => {
                if let Some(digits) = digits {
                    contacts::query::suppress(conn, company, digits, SAID_STOP).await?;
                }
            }
        }
    }
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
