//! A person's form as it is stored, and what the history tells of a changed one.
//!
//! Invariant: whoever changes a person, the panel or a program, the history tells it in the same words.

use diesel_async::AsyncPgConnection;

use super::{Contact, ContactInput, query};
use crate::audit::{self, Change, Field, Told};
use crate::error::Result;
use crate::ids::ListId;
use crate::text::phone;

/// The form of somebody who is stored, and the lists they are in.
pub type Form = (ContactInput, Vec<(ListId, String)>);

/// What the history tells of a changed form.
const TOLD: &[Field] = &[
    ("name", "contacts.name", Told::Text),
    ("title", "contacts.title", Told::Text),
    ("whatsapp_number", "contacts.number", Told::Text),
    ("country", "contacts.country", Told::Country),
    ("email", "contacts.email", Told::Text),
    ("company_name", "contacts.company", Told::Text),
    ("job_position", "contacts.job_position", Told::Text),
    ("description", "contacts.description", Told::Text),
    ("tags", "contacts.tags", Told::Text),
    ("list_ids", "contacts.lists", Told::Names),
    ("attributes", "contacts.attributes", Told::Text),
    ("active", "state.active.true", Told::Flag),
];

/// What is stored, as the form shows it.
fn stored(contact: &Contact, tags: &[String], lists: &[(ListId, String)]) -> ContactInput {
    let attributes: Vec<String> = contact
        .attribute_texts()
        .into_iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    ContactInput {
        name: contact.name.clone(),
        title: contact.title.clone(),
        whatsapp_number: contact
            .whatsapp_number
            .as_deref()
            .map(phone::display_digits)
            .unwrap_or_default(),
        country: contact.country.clone().unwrap_or_default(),
        email: contact.email.clone(),
        company_name: contact.company_name.clone(),
        job_position: contact.job_position.clone(),
        description: contact.description.clone(),
        tags: tags.join(", "),
        list_ids: lists.iter().map(|(id, _)| id.0).collect(),
        attributes: attributes.join("\n"),
        active: contact.active.then(|| "true".to_owned()),
    }
}

/// The form of somebody who is stored, and the lists they are in.
pub async fn form_of(conn: &mut AsyncPgConnection, contact: &Contact) -> Result<Form> {
    let own = query::lists_of(conn, contact.id).await?;
    let tags = query::tags_of(conn, contact.id).await?;
    Ok((stored(contact, &tags, &own), own))
}

/// What changed since `before`, for the history.
pub async fn changes(
    conn: &mut AsyncPgConnection,
    (before, mut lists): Form,
    now: &Contact,
) -> Result<Vec<Change>> {
    let (after, joined) = form_of(conn, now).await?;
    lists.extend(joined);
    let names = lists
        .into_iter()
        .map(|(id, name)| (("list_ids", id.to_string()), name));
    Ok(audit::diff(&before, &after, TOLD, &names.collect()))
}
