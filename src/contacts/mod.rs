//! Recipients: people we may write to.
//!
//! Invariants: a number is normalised on every path; an opt-out is stored together with the end of every
//! message that waits for the person, and nothing but a person with a reason or a START word lifts it.
//! Owns `contacts`, `contact_identities`, `tags`, `contact_tags` and `blacklist`.

pub mod bulk;
pub mod change;
pub mod consent;
pub mod filter;
pub mod given;
pub mod identity;
pub mod input;
pub mod joined;
pub mod list;
pub mod query;
pub mod told;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;

use crate::error::{Error, Result, violated_constraint};
use crate::ids::{CompanyId, ContactId};
use crate::outgoing;
use crate::schema::contacts;

pub use input::{ContactDraft, ContactInput};

#[derive(Debug, Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = contacts)]
pub struct Contact {
    pub id: ContactId,
    pub company_id: CompanyId,
    pub name: String,
    pub title: String,
    pub whatsapp_number: Option<String>,
    pub country: Option<String>,
    pub email: String,
    pub company_name: String,
    pub job_position: String,
    pub description: String,
    pub attributes: serde_json::Value,
    pub opt_out: bool,
    pub opt_out_reason: Option<String>,
    pub opt_out_at: Option<DateTime<Utc>>,
    pub active: bool,
    pub is_manual: bool,
    pub is_new: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Contact {
    /// Title and name.
    pub fn full_name(&self) -> String {
        format!("{} {}", self.title, self.name).trim().to_owned()
    }

    /// What people call this person: title and name, else the number.
    pub fn called(&self) -> String {
        match (self.full_name(), &self.whatsapp_number) {
            (name, Some(number)) if name.is_empty() => crate::text::phone::display_digits(number),
            (name, _) => name,
        }
    }

    /// Attribute names and values as text.
    pub fn attribute_texts(&self) -> BTreeMap<String, String> {
        let texts = self
            .attributes
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (key.clone(), text)
            });
        texts.collect()
    }

    /// Attributes as a form gives them back: a value whose text was not changed keeps its type.
    fn with_texts(&self, texts: &BTreeMap<String, String>) -> serde_json::Value {
        let before = self.attribute_texts();
        let kept = |key: &str, text: &String| {
            let same = before.get(key) == Some(text);
            same.then(|| self.attributes[key].clone())
        };
        texts
            .iter()
            .map(|(key, text)| {
                let value = kept(key, text).unwrap_or_else(|| text.clone().into());
                (key.clone(), value)
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// The values of all placeholders, for previews.
    pub fn values(&self) -> crate::text::merge::Values {
        let mut values: crate::text::merge::Values = [
            ("contact.name", self.name.clone()),
            ("contact.full_name", self.full_name()),
            ("contact.title", self.title.clone()),
            (
                "contact.whatsapp_number",
                self.whatsapp_number.clone().unwrap_or_default(),
            ),
            ("contact.country", self.country.clone().unwrap_or_default()),
            ("contact.email", self.email.clone()),
            ("contact.company_name", self.company_name.clone()),
            ("contact.job_position", self.job_position.clone()),
            ("contact.description", self.description.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        values.extend(
            self.attribute_texts()
                .into_iter()
                .map(|(key, value)| (format!("contact.{key}"), value)),
        );
        values
    }
}

pub async fn create(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    draft: &ContactDraft,
) -> Result<Contact> {
    let id = query::insert(conn, company, draft)
        .await
        .map_err(number_taken)?;
    query::set_tags(conn, company, id, &draft.tags).await?;
    query::set_lists(conn, company, id, &draft.list_ids).await?;
    Ok(query::find(conn, id).await?)
}

pub async fn update(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ContactId,
    draft: &ContactDraft,
) -> Result<Contact> {
    let before = query::hold(conn, id).await?;
    let attributes = before.with_texts(&draft.attributes);
    query::write(conn, id, draft, &attributes)
        .await
        .map_err(number_taken)?;
    query::set_tags(conn, company, id, &draft.tags).await?;
    query::set_lists(conn, company, id, &draft.list_ids).await?;
    if before.active && !draft.active {
        outgoing::query::skip_waiting(conn, &[id], "inactive").await?;
    }
    Ok(query::find(conn, id).await?)
}

/// These people said stop: nothing that waits for them goes out.
pub async fn opt_out(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
    reason: &str,
) -> Result<usize> {
    let changed = consent::store_opt_out(conn, ids, reason).await?;
    outgoing::query::skip_waiting(conn, ids, "opted_out").await?;
    Ok(changed)
}

/// A person allows messages again; needs the reason.
pub async fn opt_in(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
    reason: &str,
) -> Result<usize> {
    if reason.trim().is_empty() {
        return Err(Error::invalid(
            "reason",
            "Say why this person may be written to again.",
        ));
    }
    Ok(consent::store_opt_in(conn, ids).await?)
}

pub async fn set_active(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
    active: bool,
) -> Result<usize> {
    let changed = query::set_active(conn, ids, active).await?;
    if !active {
        outgoing::query::skip_waiting(conn, ids, "inactive").await?;
    }
    Ok(changed)
}

fn number_taken(error: diesel::result::Error) -> Error {
    match violated_constraint(&error) {
        Some("contacts_number_unique") => Error::invalid(
            "whatsapp_number",
            "Another recipient has this number already.",
        ),
        _ => error.into(),
    }
}
