//! What a verb of the domain can answer when it cannot do what it was asked.
//!
//! Invariants: the text of an [`Error`] is a sentence for the person who asked; it never contains
//! its source, a driver's message, a URL with a token or a secret. The chain behind `Internal` is
//! printed once, at the door. Knows nothing of HTTP.

use std::collections::BTreeMap;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Faults of one form or request body: field name to sentences a person can act on.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct FieldErrors(pub BTreeMap<String, Vec<String>>);

impl FieldErrors {
    pub fn one(field: &str, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, message);
        errors
    }

    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0
            .entry(field.to_owned())
            .or_default()
            .push(message.into());
    }

    /// A text that is longer than fits; letters, not bytes.
    pub fn at_most(&mut self, field: &str, text: &str, most: usize) {
        let length = text.chars().count();
        if length > most {
            self.add(
                field,
                format!("This has {length} characters; at most {most} fit."),
            );
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sentences for one field, in the order they were found.
    pub fn of(&self, field: &str) -> &[String] {
        self.0.get(field).map_or(&[], Vec::as_slice)
    }

    /// `value` when nothing was wrong, all faults otherwise.
    pub fn or<T>(self, value: Option<T>) -> Result<T> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            _ => Err(Error::Invalid(self)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Also the answer for another company's record: whether it exists is not told.
    #[error("This record does not exist.")]
    NotFound,
    #[error("Your role does not allow this.")]
    Forbidden,
    /// Not a question of the role; the sentence says whose it is.
    #[error("{0}")]
    Refused(&'static str),
    /// The form's token is not this session's: a page from before signing in, or from another site.
    #[error("This page is too old, so nothing was changed. Open it again and repeat what you did.")]
    StaleForm,
    /// The page was opened while its person worked in another company.
    #[error(
        "This page belongs to another company than the one you work in now, so nothing was changed."
    )]
    OtherCompany,
    #[error("Sign in to go on.")]
    SignIn,
    #[error("Some fields need another look.")]
    Invalid(FieldErrors),
    /// An illegal transition; says what is legal, as verbs.
    #[error("{message}")]
    Conflict {
        message: String,
        legal: Vec<&'static str>,
    },
    #[error("Too many tries. Wait {after_seconds} seconds and try again.")]
    RateLimited { after_seconds: u64 },
    /// Every connection to the database is busy, or the database is away: try again.
    #[error("The system is busy. Try again in a moment.")]
    Busy,
    #[error("Something went wrong on our side.")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::one(field, message))
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict {
            message: message.into(),
            legal: Vec::new(),
        }
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        let away = error.chain().any(|cause| {
            cause.downcast_ref().is_some_and(is_away)
                || matches!(cause.downcast_ref(), Some(Self::Busy))
        });
        if away {
            Self::Busy
        } else {
            Self::Internal(error)
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        match error {
            diesel::result::Error::NotFound => Self::NotFound,
            // PostgreSQL stores every character but one.
            diesel::result::Error::DatabaseError(_, ref said)
                if said.message().starts_with("invalid byte sequence") =>
            {
                Self::invalid(
                    "form",
                    "A text holds a character that cannot be stored (NUL).",
                )
            }
            other if is_away(&other) => {
                tracing::warn!("the database went away: {other}");
                Self::Busy
            }
            other => Self::Internal(anyhow::Error::new(other)),
        }
    }
}

/// Whether a statement failed because the database ended under it.
fn is_away(error: &diesel::result::Error) -> bool {
    const SAID: [&str; 4] = [
        "connection closed",
        "error communicating with the server",
        "terminating connection",
        "the database system is",
    ];
    match error {
        diesel::result::Error::BrokenTransactionManager => true,
        diesel::result::Error::DatabaseError(_, said) => {
            SAID.iter().any(|words| said.message().starts_with(words))
        }
        _ => false,
    }
}

/// The name of the violated constraint, if that is why a statement failed.
pub fn violated_constraint(error: &diesel::result::Error) -> Option<&str> {
    match error {
        diesel::result::Error::DatabaseError(_, info) => info.constraint_name(),
        _ => None,
    }
}
