//! Two people in one form: what one saved is not overwritten by what the other opened before.
//!
//! A form carries what it was filled from, as `version`: a hash of the stored fields and when they were
//! read. Saving over something else answers 409 with the form as it was typed, who changed what, and
//! the new version, so that the same button saves anyway. Invariant: [`unchanged`] is asked under
//! `audit::hold`, in the transaction that writes.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::audit;
use crate::error::{Error, FieldErrors, Result};
use crate::web::form;
use crate::web::history;
use crate::web::page::Shell;
use crate::web::pieces::Event;
use crate::web::visit::Visit;

/// The fault that stands for "somebody saved in between"; no form has such a field.
const NEWER: &str = "version";

/// What a form was filled from, and what happened to that since.
#[derive(Debug, Default)]
pub struct Stand {
    pub version: String,
    /// Somebody saved in between: what they did, newest first.
    pub newer: Option<Vec<Event>>,
    /// The record as it is stored now.
    pub href: String,
}

impl Stand {
    /// Of a stored record's form. `stored`: the form's fields as they are stored now; a fault of
    /// [`unchanged`] is taken out of `errors`.
    pub async fn of(
        visit: &Visit,
        conn: &mut AsyncPgConnection,
        shell: &Shell,
        (noun, record): (&str, i64),
        stored: &impl Serialize,
        errors: &mut FieldErrors,
    ) -> Result<Self> {
        let posted = form::version(&visit.request);
        let is_newer = errors.0.remove(NEWER).is_some();
        if !is_newer && let Some(posted) = posted {
            // What was typed still stands on what was read then.
            return Ok(Self {
                version: posted,
                ..Self::default()
            });
        }
        let mut newer = None;
        if is_newer {
            let since = posted.as_deref().and_then(read_at).unwrap_or_default();
            let entries = audit::since(conn, noun, record, since).await?;
            newer = Some(history::events(shell, noun, entries));
        }
        Ok(Self {
            version: version(stored, visit.app.clock.now()),
            newer,
            href: visit.request.path().to_owned(),
        })
    }

    /// Of a form of the page that is not the one that was posted.
    pub fn fresh(visit: &Visit, stored: &impl Serialize) -> Self {
        Self {
            version: version(stored, visit.app.clock.now()),
            ..Self::default()
        }
    }

    pub fn status(&self, errors: &FieldErrors) -> StatusCode {
        match (&self.newer, errors.is_empty()) {
            (Some(_), _) => StatusCode::CONFLICT,
            (None, true) => StatusCode::OK,
            (None, false) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// Whether the record is still what the posted form was filled from.
pub fn unchanged(visit: &Visit, stored: &impl Serialize) -> Result<()> {
    still(form::version(&visit.request).as_deref(), stored)
}

/// The same of a posted form's version.
pub fn still(posted: Option<&str>, stored: &impl Serialize) -> Result<()> {
    let Some(posted) = posted else {
        return Ok(());
    };
    if posted.split('.').next() == Some(&hash(stored)) {
        Ok(())
    } else {
        Err(Error::invalid(NEWER, ""))
    }
}

fn version(stored: &impl Serialize, now: DateTime<Utc>) -> String {
    format!("{}.{}", hash(stored), now.timestamp_micros())
}

fn read_at(version: &str) -> Option<DateTime<Utc>> {
    let micros = version.split_once('.')?.1.parse().ok()?;
    DateTime::from_timestamp_micros(micros)
}

fn hash(stored: &impl Serialize) -> String {
    let fields = serde_json::json!(stored).to_string();
    hex::encode(&Sha256::digest(fields.as_bytes())[..12])
}
