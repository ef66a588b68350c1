//! What an administrator types about a person.
//!
//! Invariant: a [`UserDraft`] names known roles only; which companies it may speak of is not decided here.

use crate::error::{FieldErrors, Result};
use crate::ids::CompanyId;

use super::normalized;

/// A role's words, as they are stored; each may do what the one before may.
pub const ROLES: [&str; 3] = ["user", "manager", "administrator"];

const NAME_MAX: usize = 200;

/// The form, as text. `company_ids` and `roles` go together, one by one; a blank role is none.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct UserInput {
    pub name: String,
    pub email: String,
    pub language: String,
    pub time_zone: String,
    /// Where the person works next; blank: as it is.
    pub active_company: String,
    pub company_ids: Vec<i64>,
    pub roles: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDraft {
    pub name: String,
    pub email: String,
    pub language: &'static str,
    pub time_zone: Option<String>,
    pub active_company: Option<CompanyId>,
    pub roles: Vec<(CompanyId, Option<&'static str>)>,
}

impl UserInput {
    /// The draft, or all faults at once.
    pub fn parse(&self) -> Result<UserDraft> {
        let mut errors = FieldErrors::default();
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            errors.add("name", "Enter the person's name.");
        }
        if name.chars().count() > NAME_MAX {
            errors.add("name", "The name is too long; at most 200 letters.");
        }
        let email = normalized(&self.email);
        if !is_address(&email) {
            errors.add(
                "email",
                "Enter the e-mail address the person signs in with.",
            );
        }
        let zone = self.time_zone.trim();
        let time_zone = zone.parse::<chrono_tz::Tz>().ok();
        if !zone.is_empty() && time_zone.is_none() {
            errors.add("time_zone", "Choose a time zone, for example Asia/Jakarta.");
        }
        let roles = self.roles(&mut errors);
        errors.or(Some(UserDraft {
            name,
            email,
            language: if self.language == "id" { "id" } else { "en" },
            time_zone: time_zone.map(|zone| zone.name().to_owned()),
            active_company: self.active_company.trim().parse().ok().map(CompanyId),
            roles,
        }))
    }

    fn roles(&self, errors: &mut FieldErrors) -> Vec<(CompanyId, Option<&'static str>)> {
        let pairs = self.company_ids.iter().zip(&self.roles);
        let mut roles = Vec::new();
        for (company, word) in pairs {
            let role = role(word);
            if role.is_none() && !word.trim().is_empty() {
                errors.add("roles", "Choose User, Manager or Administrator.");
            }
            roles.push((CompanyId(*company), role));
        }
        roles
    }
}

/// The stored word of a role.
pub fn role(word: &str) -> Option<&'static str> {
    ROLES.into_iter().find(|role| *role == word.trim())
}

/// Something before and something after one `@`, and no blanks; more only a letter sent there proves.
pub fn is_address(email: &str) -> bool {
    let parts = email.split_once('@');
    email.len() <= 254
        && !email.contains(char::is_whitespace)
        && parts.is_some_and(|(local, host)| {
            !local.is_empty() && !host.is_empty() && !host.contains('@')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn people_every_fault_stands_at_its_field() {
        let input = UserInput {
            email: "nobody".into(),
            time_zone: "Mars/Base".into(),
            company_ids: vec![1],
            roles: vec!["emperor".into()],
            ..UserInput::default()
        };
        let Err(Error::Invalid(errors)) = input.parse() else {
            panic!("accepted")
        };
        let fields: Vec<&String> = errors.0.keys().collect();
        assert_eq!(fields, ["email", "name", "roles", "time_zone"]);
    }

    #[test]
    fn people_roles_go_with_their_companies() {
        let input = UserInput {
            name: " Siti ".into(),
            email: "Siti@Example.com".into(),
            company_ids: vec![4, 7],
            roles: vec!["".into(), "manager".into()],
            ..UserInput::default()
        };
        let draft = input.parse().unwrap();
        assert_eq!(
            (draft.name.as_str(), draft.email.as_str()),
            ("Siti", "siti@example.com")
        );
        assert_eq!(
            draft.roles,
            [(CompanyId(4), None), (CompanyId(7), Some("manager"))]
        );
    }

    #[test]
    fn people_an_address_has_two_halves() {
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c"] {
            assert!(!is_address(bad), "{bad:?}");
        }
        assert!(is_address("dewi@example.com"));
    }
}
