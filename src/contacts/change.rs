//! Changing only what is named, as programs do.
//!
//! Invariants: the person is held until the transaction ends, so that two changes at one time both count;
//! what is not named is neither judged nor written, also where it would not pass the form.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::Value;

use super::{Contact, ContactInput, number_taken, query};
use crate::db::wablast_now;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{CompanyId, ContactId, ListId};
use crate::outgoing;
use crate::schema::contacts;

/// Fields by their names; `None` stays as it is. Lists must exist.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    pub name: Option<String>,
    pub title: Option<String>,
    pub whatsapp_number: Option<String>,
    /// ISO code or name.
    pub country: Option<String>,
    pub email: Option<String>,
    pub company_name: Option<String>,
    pub job_position: Option<String>,
    pub description: Option<String>,
    /// All tags from now on.
    pub tags: Option<Vec<String>>,
    /// All lists from now on.
    pub list_ids: Option<Vec<ListId>>,
    /// Values by name; those not named stay.
    pub attributes: BTreeMap<String, Value>,
    pub active: Option<bool>,
}

#[derive(AsChangeset)]
#[diesel(table_name = contacts)]
struct Columns {
    name: Option<String>,
    title: Option<String>,
    whatsapp_number: Option<Option<String>>,
    country: Option<Option<String>>,
    email: Option<String>,
    company_name: Option<String>,
    job_position: Option<String>,
    description: Option<String>,
    attributes: Option<Value>,
    active: Option<bool>,
    is_new: bool,
}

impl Change {
    /// The columns that change; faults of what is named.
    fn columns(&self, before: &Contact, default_country: &str) -> Result<Columns> {
        let named = |value: &Option<String>| value.clone().unwrap_or_default();
        // What is not named is filled so that it passes.
        let input = ContactInput {
            name: self.name.clone().unwrap_or_else(|| "-".to_owned()),
            title: named(&self.title),
            whatsapp_number: named(&self.whatsapp_number),
            country: self
                .country
                .clone()
                .or_else(|| before.country.clone())
                .unwrap_or_default(),
            email: named(&self.email),
            company_name: named(&self.company_name),
            job_position: named(&self.job_position),
            description: named(&self.description),
            ..ContactInput::default()
        };
        let parsed = input.parse_known(default_country, self.whatsapp_number.is_some());
        let mut errors = FieldErrors::default();
        for key in self
            .attributes
            .keys()
            .filter(|key| !super::input::is_key(key))
        {
            errors.add(
                "attributes",
                format!("“{key}” cannot be the name of a value. Use letters, digits, spaces, - and _; at most 60."),
            );
        }
        let tags = self.tags.iter().flatten();
        if tags.into_iter().any(|tag| tag.chars().count() > 100) {
            errors.add("tags", "A tag is too long; at most 100 letters.");
        }
        let draft = match parsed {
            Ok(draft) => errors.or(Some(draft))?,
            Err(Error::Invalid(mut faults)) => {
                faults.0.extend(errors.0);
                return Err(Error::Invalid(faults));
            }
            Err(other) => return Err(other),
        };
        let attributes = (!self.attributes.is_empty()).then(|| {
            let mut all = before.attributes.as_object().cloned().unwrap_or_default();
            all.extend(self.attributes.clone());
            Value::Object(all)
        });
        let number = self.whatsapp_number.is_some();
        Ok(Columns {
            name: self.name.as_ref().map(|_| draft.name),
            title: self.title.as_ref().map(|_| draft.title),
            whatsapp_number: number.then(|| {
                draft
                    .whatsapp_number
                    .map(|number| number.as_str().to_owned())
            }),
            country: (number || self.country.is_some()).then_some(draft.country),
            email: self.email.as_ref().map(|_| draft.email),
            company_name: self.company_name.as_ref().map(|_| draft.company_name),
            job_position: self.job_position.as_ref().map(|_| draft.job_position),
            description: self.description.as_ref().map(|_| draft.description),
            attributes,
            active: self.active,
            is_new: false,
        })
    }
}

/// Changes what is named; returns the person as they were before.
pub async fn change(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ContactId,
    change: &Change,
    default_country: &str,
) -> Result<Contact> {
    let before = query::hold(conn, id).await?;
    if *change == Change::default() {
        return Ok(before);
    }
    let columns = change.columns(&before, default_country)?;
    diesel::update(contacts::table.find(id))
        .set((&columns, contacts::updated_at.eq(wablast_now())))
        .execute(conn)
        .await
        .map_err(number_taken)?;
    if let Some(tags) = &change.tags {
        let tags: Vec<String> = tags
            .iter()
            .map(|tag| tag.trim().to_owned())
            .filter(|tag| !tag.is_empty())
            .collect();
        query::set_tags(conn, company, id, &tags).await?;
    }
    if let Some(lists) = &change.list_ids {
        query::set_lists(conn, company, id, lists).await?;
    }
    if before.active && change.active == Some(false) {
        outgoing::query::skip_waiting(conn, &[id], "inactive").await?;
    }
    Ok(before)
}
