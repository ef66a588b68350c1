//! What people and integrators type about a contact, and what it must be.

use std::collections::BTreeMap;

use crate::error::{FieldErrors, Result};
use crate::ids::ListId;
use crate::text::country;
use crate::text::phone::PhoneNumber;

/// The form, as text. The API fills the same struct.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ContactInput {
    pub name: String,
    pub title: String,
    pub whatsapp_number: String,
    /// ISO code or a country's name.
    pub country: String,
    pub email: String,
    pub company_name: String,
    pub job_position: String,
    pub description: String,
    /// Names, separated by commas.
    pub tags: String,
    pub list_ids: Vec<i64>,
    /// One `key: value` a line.
    pub attributes: String,
    pub active: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ContactDraft {
    pub name: String,
    pub title: String,
    pub whatsapp_number: Option<PhoneNumber>,
    pub country: Option<String>,
    pub email: String,
    pub company_name: String,
    pub job_position: String,
    pub description: String,
    pub tags: Vec<String>,
    pub list_ids: Vec<ListId>,
    pub attributes: BTreeMap<String, String>,
    pub active: bool,
}

impl ContactInput {
    /// The draft, or all faults. `default_country`: of numbers that name none.
    pub fn parse(&self, default_country: &str) -> Result<ContactDraft> {
        self.parse_known(default_country, true)
    }

    /// The same for somebody known: a person known by another identity may have no number.
    pub fn parse_known(&self, default_country: &str, has_number: bool) -> Result<ContactDraft> {
        let mut errors = FieldErrors::default();
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            errors.add("name", "Enter the person's name.");
        }
        if name.chars().count() > 200 {
            errors.add("name", "The name is too long; at most 200 letters.");
        }
        for (field, text, most) in [
            ("title", &self.title, 100),
            ("email", &self.email, 320),
            ("company_name", &self.company_name, 200),
            ("job_position", &self.job_position, 200),
            ("description", &self.description, 4000),
            ("attributes", &self.attributes, 20_000),
        ] {
            errors.at_most(field, text.trim(), most);
        }
        let tags = names(&self.tags);
        for tag in &tags {
            errors.at_most("tags", tag, 100);
        }
        if tags.len() > TAGS_MOST {
            errors.add("tags", "A recipient has at most 50 tags. Take some out.");
        }
        let country = self.country.trim();
        let code = if country.is_empty() {
            None
        } else {
            country::by_name(country)
        };
        if code.is_none() && !country.is_empty() {
            errors.add(
                "country",
                "This country is not known. Write its name in English, or its two-letter code.",
            );
        }
        let number =
            match PhoneNumber::parse(&self.whatsapp_number, code.unwrap_or(default_country)) {
                _ if !has_number && self.whatsapp_number.trim().is_empty() => None,
                Ok(number) => Some(number),
                Err(fault) => {
                    errors.add("whatsapp_number", fault.to_string());
                    None
                }
            };
        let email = self.email.trim().to_owned();
        if !email.is_empty() && !email.contains('@') {
            errors.add("email", "This is not an e-mail address.");
        }
        let mut attributes = BTreeMap::new();
        for line in self
            .attributes
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            match line.split_once(':') {
                Some((key, value)) if is_key(key.trim()) => {
                    attributes.insert(key.trim().to_owned(), value.trim().to_owned());
                }
                _ => errors.add(
                    "attributes",
                    format!("Write one “name: value” a line. This line is not: {line}"),
                ),
            }
        }
        let country = code
            .map(str::to_owned)
            .or_else(|| number.as_ref().and_then(PhoneNumber::country));
        errors.or(Some(ContactDraft {
            name,
            title: self.title.trim().to_owned(),
            whatsapp_number: number,
            country,
            email,
            company_name: self.company_name.trim().to_owned(),
            job_position: self.job_position.trim().to_owned(),
            description: self.description.trim().to_owned(),
            tags,
            list_ids: self.list_ids.iter().copied().map(ListId).collect(),
            attributes,
            active: self.active.is_some(),
        }))
    }
}

/// More tells people apart no better, and fills every list.
const TAGS_MOST: usize = 50;

/// A name that a placeholder can carry.
pub fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.chars().count() <= 60
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
}

/// Names separated by commas, each once.
pub fn names(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in text
        .split([',', ';'])
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_contact_is_normalised() {
        let input = ContactInput {
            name: " Siti ".into(),
            whatsapp_number: "0812 3456 7890".into(),
            tags: "VIP, Bandung; VIP".into(),
            attributes: "points: 340\nstore : Dago".into(),
            active: Some("on".into()),
            ..ContactInput::default()
        };
        let draft = input.parse("ID").unwrap();
        assert_eq!(draft.whatsapp_number.unwrap().as_str(), "6281234567890");
        assert_eq!(draft.country.as_deref(), Some("ID"));
        assert_eq!(draft.tags, ["VIP", "Bandung"]);
        assert_eq!(draft.attributes["store"], "Dago");
    }

    #[test]
    fn all_faults_come_at_once() {
        let input = ContactInput {
            whatsapp_number: "x".into(),
            country: "Atlantis".into(),
            email: "nobody".into(),
            attributes: "no colon".into(),
            ..ContactInput::default()
        };
        let Err(Error::Invalid(errors)) = input.parse("ID") else {
            panic!("parsed")
        };
        for field in ["name", "whatsapp_number", "country", "email", "attributes"] {
            assert!(!errors.of(field).is_empty(), "{field}");
        }
    }
}
