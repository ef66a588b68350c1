//! The question before a person is opted out, or in again, with its reason.
//!
//! Invariants: neither happens without a reason; opting in by hand is for managers.

use actix_web::http::StatusCode;
use actix_web::web;
use askama::Template;

use crate::audit;
use crate::auth::Role;
use crate::contacts::{self, Contact, query};
use crate::error::{Error, FieldErrors, Result};
use crate::ids::ContactId;
use crate::web::error::WebResult;
use crate::web::form::{Posted, own_path, see_other};
use crate::web::page::{Menu, Shell, html_with};
use crate::web::visit::Visit;

#[derive(Template)]
#[template(path = "contacts/consent.html")]
struct ConsentPage {
    shell: Shell,
    contact: Contact,
    /// Out, or in again.
    out: bool,
    reasons: Vec<String>,
    given: Given,
    errors: FieldErrors,
}

/// The reason, and the page to go back to.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Given {
    reason: String,
    next: String,
}

impl ConsentPage {
    fn back(&self) -> String {
        back(self.contact.id, &self.given.next)
    }

    fn action(&self) -> String {
        let verb = if self.out { "opt-out" } else { "opt-in" };
        format!("/contacts/{}/{verb}", self.contact.id)
    }
}

/// Where the question came from; the person's page when it came from nowhere.
fn back(id: ContactId, next: &str) -> String {
    if next.is_empty() {
        format!("/contacts/{id}")
    } else {
        own_path(next).to_owned()
    }
}

async fn render(
    visit: &Visit,
    id: ContactId,
    out: bool,
    given: Given,
    errors: FieldErrors,
) -> WebResult {
    let mut conn = visit.conn().await?;
    let contact = query::find(&mut conn, id).await?;
    let status = if errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let page = ConsentPage {
        shell: visit.shell(Menu::Contacts, &mut conn).await?,
        contact,
        out,
        reasons: if out {
            super::reasons(visit)
        } else {
            Vec::new()
        },
        given,
        errors,
    };
    Ok(html_with(status, page))
}

/// Whether the address means out; in again is for managers.
fn is_out(visit: &Visit, verb: &str) -> Result<bool> {
    let out = verb == "opt-out";
    if !out {
        visit.require(Role::Manager)?;
    }
    Ok(out)
}

pub async fn ask(
    visit: Visit,
    path: web::Path<(i64, String)>,
    given: web::Query<Given>,
) -> WebResult {
    let (id, verb) = path.into_inner();
    let out = is_out(&visit, &verb)?;
    let given = given.into_inner();
    render(&visit, ContactId(id), out, given, FieldErrors::default()).await
}

pub async fn decide(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(given): Posted<Given>,
) -> WebResult {
    let (id, verb) = path.into_inner();
    let (id, out) = (ContactId(id), is_out(&visit, &verb)?);
    match store(&visit, id, out, given.reason.trim()).await {
        Ok(()) => {
            visit.tell(if out {
                "contacts.opted_out_now"
            } else {
                "contacts.opted_in_now"
            });
            Ok(see_other(back(id, &given.next)))
        }
        Err(Error::Invalid(errors)) => render(&visit, id, out, given, errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn store(visit: &Visit, id: ContactId, out: bool, reason: &str) -> Result<()> {
    if reason.is_empty() {
        return Err(Error::invalid("reason", visit.t("contacts.reason_first")));
    }
    let mut conn = visit.conn().await?;
    query::find(&mut conn, id).await?;
    let (changed, what) = if out {
        let changed = contacts::opt_out(&mut conn, &[id], reason).await?;
        (changed, "opt_out")
    } else {
        (contacts::opt_in(&mut conn, &[id], reason).await?, "opt_in")
    };
    if changed > 0 {
        let (by, note) = (Some(visit.user), Some(reason));
        audit::note(&mut conn, visit.company, "contacts", id.0, by, what, note).await?;
    }
    conn.commit().await
}
