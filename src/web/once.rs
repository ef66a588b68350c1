//! A secret that is shown once: on the page after the form that made it.
//!
//! Invariants: it waits sealed in the session of who made it, for one page, and is gone when that page was
//! shown; a reload shows it no more and makes nothing anew.

use secrecy::{ExposeSecret as _, SecretString};

use crate::crypt::Place;
use crate::error::Result;
use crate::web::visit::Visit;

const KEY: &str = "once";

fn place(visit: &Visit) -> Place<'static> {
    Place {
        table: "sessions",
        row: visit.user.0,
        column: "once",
        company: visit.company.0,
    }
}

/// Keeps a secret for the next look at `page`.
pub fn keep(visit: &Visit, page: &str, secret: &str) -> Result<()> {
    let secret = SecretString::from(secret.to_owned());
    let sealed = visit.app.crypt.seal(place(visit), &secret)?;
    visit
        .session
        .insert(KEY, (page, hex::encode(sealed)))
        .map_err(|error| anyhow::anyhow!("keeping a secret for its page: {error}"))?;
    Ok(())
}

/// The secret that waits for `page`, this once.
pub fn take(visit: &Visit, page: &str) -> Option<String> {
    let (wanted, sealed): (String, String) = visit.session.get(KEY).ok().flatten()?;
    if wanted != page {
        return None;
    }
    visit.session.remove(KEY);
    let sealed = hex::decode(sealed).ok()?;
    let secret = visit.app.crypt.open(place(visit), &sealed).ok()?;
    Some(secret.expose_secret().to_owned())
}
