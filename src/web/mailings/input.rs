//! The posted form of a mailing, and the form of a stored one.

use chrono_tz::Tz;

use crate::error::{Error, Result};
use crate::ids::{ContactId, MailingId};
use crate::mailings::query::Chosen;
use crate::mailings::{Mailing, MailingInput};
use crate::media::Kind;

/// Everything that is posted with the form beside the mailing's own fields.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Beside {
    /// The stored mailing the live check speaks of; empty for a new one.
    pub id: String,
    /// What follows the saving: submit, send_now, test, find, remove_file, or nothing.
    pub then: String,
    /// Whom the preview stands for.
    pub r#as: String,
    /// Words to find whom the preview stands for.
    pub as_find: String,
    /// Words to find contacts with, when no script does.
    pub find: String,
    /// Makes two presses of a new mailing's form one mailing.
    pub key: String,
}

impl Beside {
    pub fn mailing(&self) -> Option<MailingId> {
        self.id.parse().ok()
    }

    pub fn contact(&self) -> Option<ContactId> {
        self.r#as.parse().ok()
    }
}

/// The pairs as both structs; a field that is no number where one must be is a fault of the form.
pub fn read(pairs: &[(String, String)]) -> Result<(MailingInput, Beside)> {
    let broken = |_| Error::invalid("form", "The form could not be read.");
    // A NUL cannot be stored, and nobody can type one.
    let filled = pairs
        .iter()
        .filter(|(name, value)| !(name.ends_with("_ids") && value.is_empty()))
        .map(|(name, value)| (name, value.replace('\0', "")));
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(filled)
        .finish();
    let input = serde_html_form::from_str(&body).map_err(broken)?;
    let beside = serde_html_form::from_str(&body).map_err(broken)?;
    Ok((input, beside))
}

/// What stands in the form of a stored mailing.
pub fn of(mailing: &Mailing, chosen: &Chosen, zone: Tz) -> MailingInput {
    MailingInput {
        subject: mailing.subject.clone(),
        account_id: mailing.account_id.to_string(),
        responsible_id: mailing.responsible_id.to_string(),
        recipients: mailing.recipients.clone(),
        list_ids: chosen.lists.iter().map(|id| id.0).collect(),
        exclude_list_ids: chosen.excluded.iter().map(|id| id.0).collect(),
        contact_ids: chosen.contacts.iter().map(|id| id.0).collect(),
        header_type: mailing.header_type.clone(),
        media_id: mailing
            .media_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        header: mailing.header.clone(),
        message: mailing.message.clone(),
        footer: mailing.footer.clone(),
        schedule_date: mailing
            .schedule_date
            .map(|date| {
                date.with_timezone(&zone)
                    .format("%Y-%m-%dT%H:%M")
                    .to_string()
            })
            .unwrap_or_default(),
        not_after: mailing
            .not_after
            .map(|date| {
                date.with_timezone(&zone)
                    .format("%Y-%m-%dT%H:%M")
                    .to_string()
            })
            .unwrap_or_default(),
        skip_missing_values: mailing.skip_missing_values.then(|| "true".to_owned()),
        template_id: mailing
            .template_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        template_keys: mailing.template_values().into_keys().collect(),
        template_texts: mailing.template_values().into_values().collect(),
    }
}

/// The form as far as a check can use it: what is not typed yet does not stop the count.
pub fn lenient(input: &MailingInput) -> MailingInput {
    let mut input = input.clone();
    if input.subject.trim().is_empty() {
        "-".clone_into(&mut input.subject);
    }
    let has_file = Kind::parse(&input.header_type).is_some();
    let missing = if has_file {
        &input.media_id
    } else {
        &input.header
    };
    if missing.trim().is_empty() {
        "none".clone_into(&mut input.header_type);
    }
    let both = input.list_ids.clone();
    input.exclude_list_ids.retain(|id| !both.contains(id));
    input.schedule_date = String::new();
    input.not_after = String::new();
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
        given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn fields_of_the_mailing_and_beside_it_are_read_from_one_form() {
        let given = pairs(&[
            ("subject", "Promo\0"),
            ("list_ids", "3"),
            ("list_ids", "4"),
            ("contact_ids", ""),
            ("then", "submit"),
            ("as", "9"),
            ("csrf", "x"),
        ]);
        let (input, beside) = read(&given).unwrap();
        assert_eq!(input.subject, "Promo");
        assert_eq!(input.list_ids, [3, 4]);
        assert!(input.contact_ids.is_empty());
        assert_eq!(beside.then, "submit");
        assert_eq!(beside.contact(), Some(ContactId(9)));
        assert_eq!(beside.mailing(), None);
    }

    #[test]
    fn an_id_that_is_no_number_is_a_fault_of_the_form() {
        assert!(read(&pairs(&[("list_ids", "x")])).is_err());
    }
}
