//! What WhatsApp itself tells about a person: marketing stopped or taken again, another number, another id.
//!
//! Invariants: a stop counts in every company that may use the account; taking messages again in WhatsApp undoes
//! a stop that was made there, never one that a word or a person made; a number that somebody else has already
//! is not given away.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::accounts::{self, Account};
use crate::audit;
use crate::contacts;
use crate::error::Result;
use crate::gateways::waha::events::Sender;
use crate::ids::ContactId;
use crate::text::phone::PhoneNumber;

/// The reason an opt-out made in WhatsApp is stored with.
pub const STOPPED_THERE: &str = "Stopped marketing messages in WhatsApp";

/// The number and the hidden id of somebody; `None`: not a person.
pub(super) fn identity(sender: &Sender) -> Option<(Option<PhoneNumber>, Option<&str>)> {
    match sender {
        Sender::Phone(digits) => Some((PhoneNumber::from_gateway(digits), None)),
        Sender::Lid { lid, phone } => Some((
            phone.as_deref().and_then(PhoneNumber::from_gateway),
            Some(lid.as_str()),
        )),
        Sender::NotAPerson(_) => None,
    }
}

/// Opts a person out in every company that may use the account, with or without a contact there.
pub(super) async fn stop_in_companies(
    conn: &mut AsyncPgConnection,
    account: &Account,
    digits: Option<&str>,
    lid: Option<&str>,
    reason: &str,
) -> Result<()> {
    for company in accounts::query::companies(conn, account.id).await? {
        match contacts::identity::by_identity(conn, company, digits, lid).await? {
            Some(contact) => {
                contacts::opt_out(conn, &[contact], reason).await?;
            }
            None => {
                if let Some(digits) = digits {
                    contacts::consent::suppress(conn, company, digits, reason).await?;
                }
            }
        }
    }
    Ok(())
}

/// Somebody stopped marketing messages in WhatsApp, or takes them again.
pub async fn prefers(
    conn: &mut AsyncPgConnection,
    account: &Account,
    sender: &Sender,
    stop: bool,
) -> Result<()> {
    let Some((number, lid)) = identity(sender) else {
        return Ok(());
    };
    let digits = number.as_ref().map(PhoneNumber::as_str);
    if stop {
        return stop_in_companies(conn, account, digits, lid, STOPPED_THERE).await;
    }
    for company in accounts::query::companies(conn, account.id).await? {
        let contact = contacts::identity::by_identity(conn, company, digits, lid).await?;
        contacts::consent::opt_in_again(conn, company, contact, digits, STOPPED_THERE).await?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Addressee {
    #[diesel(sql_type = Nullable<BigInt>)]
    contact_id: Option<ContactId>,
    #[diesel(sql_type = Nullable<Text>)]
    number: Option<String>,
}

/// A message failed because its person stopped marketing messages.
pub async fn unsubscribed(
    conn: &mut AsyncPgConnection,
    account: &Account,
    provider_id: &str,
    own_ref: Option<&str>,
) -> Result<()> {
    let found: Option<Addressee> = sql_query(
        "SELECT o.contact_id, o.number FROM attempts a JOIN outgoing o ON o.id = a.outgoing_id
         WHERE a.account_id = $1 AND (a.provider_id = $2 OR a.own_ref = $3) ORDER BY a.id DESC LIMIT 1",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<Text, _>(provider_id)
    .bind::<Nullable<Text>, _>(own_ref)
    .get_result(conn)
    .await
    .optional()?;
    let Some(found) = found else {
        return Ok(());
    };
    if let Some(contact) = found.contact_id {
        contacts::opt_out(conn, &[contact], STOPPED_THERE).await?;
    }
    let digits = found.number.filter(|number| !number.contains('@'));
    stop_in_companies(conn, account, digits.as_deref(), None, STOPPED_THERE).await
}

/// Somebody has another number or another id now: their contacts follow, where they are known.
pub async fn moved(
    conn: &mut AsyncPgConnection,
    account: &Account,
    from: &Sender,
    to: &Sender,
) -> Result<()> {
    let (Some((old, old_id)), Some((new, new_id))) = (identity(from), identity(to)) else {
        return Ok(());
    };
    let old = old.as_ref().map(PhoneNumber::as_str);
    for company in accounts::query::companies(conn, account.id).await? {
        let known = contacts::identity::by_identity(conn, company, old, old_id).await?;
        let Some(contact) = known else { continue };
        if let Some(id) = new_id {
            contacts::identity::learn_lid(conn, company, contact, id).await?;
        }
        if let Some(new) = &new {
            let country = new.country();
            let (number, country) = (new.as_str(), country.as_deref());
            let changed =
                contacts::identity::renumber(conn, company, contact, number, country).await?;
            if changed == 1 {
                let (table, what) = ("contacts", "renumbered");
                audit::note(conn, company, table, contact.0, None, what, Some(number)).await?;
            }
        }
    }
    Ok(())
}
