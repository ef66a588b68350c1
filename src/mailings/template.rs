//! A mailing on a template of Meta's: its texts come from the template, its values from the mailing.
//!
//! Invariants: the template belongs to the account that sends; header, message and footer are always those of the
//! template with the mailing's values in their places, so that preview, log and search show what people read; who
//! lacks a value is left out, because Meta refuses an empty one. An account at Meta without a template reaches
//! only people whose 24 hours are open.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Mailing, MailingDraft};
use crate::accounts::Account;
use crate::error::{Error, FieldErrors, Result};
use crate::gateways::meta::message::TemplateCall;
use crate::gateways::meta::templates::{Place, Slot};
use crate::ids::{AccountId, TemplateId, VersionId};
use crate::rates::Category;
use crate::templates::call::{self, Values};
use crate::templates::{self, Template};
use crate::text::merge;

/// The values as their column holds them.
pub(super) fn stored(values: &Values) -> serde_json::Value {
    serde_json::to_value(values).unwrap_or_default()
}

impl Mailing {
    /// Place in the template to a text with placeholders.
    pub fn template_values(&self) -> Values {
        serde_json::from_value(self.template_values.clone()).unwrap_or_default()
    }

    /// Every text of it that may have placeholders.
    pub fn texts(&self) -> Vec<String> {
        let header = if self.header_type == "text" {
            self.header.clone()
        } else {
            String::new()
        };
        let own = [
            self.subject.clone(),
            header,
            self.message.clone(),
            self.footer.clone(),
        ];
        own.into_iter()
            .chain(self.template_values().into_values())
            .collect()
    }
}

/// The draft with the texts of its template, where it has one.
pub(super) async fn applied(
    conn: &mut AsyncPgConnection,
    draft: &MailingDraft,
) -> Result<MailingDraft> {
    let mut draft = draft.clone();
    let Some(id) = draft.template_id else {
        return Ok(draft);
    };
    let template = find(conn, id).await?;
    if template.account_id != draft.account_id {
        return Err(Error::invalid(
            "template_id",
            "This template belongs to another account. Choose that account, or another template.",
        ));
    }
    let shape = template.shape();
    let keys: Vec<String> = shape.slots().into_iter().map(|slot| slot.key).collect();
    draft.template_values.retain(|key, _| keys.contains(key));
    let (header, message) = call::texts(&shape, &draft.template_values);
    draft.header_type = match shape.header_type.as_str() {
        "text" => "text",
        "image" => "image",
        "video" => "video",
        "document" => "document",
        _ => "none",
    };
    if matches!(draft.header_type, "none" | "text") {
        draft.media_id = None;
    } else if draft.media_id.is_none() {
        // A draft may wait for its file; nothing is sent before it is there.
        draft.header_type = "none";
    }
    draft.header = header;
    draft.message = message;
    draft.footer = shape.footer;
    draft.skip_missing_values = true;
    Ok(draft)
}

async fn find(conn: &mut AsyncPgConnection, id: TemplateId) -> Result<Template> {
    templates::query::find(conn, id)
        .await
        .optional()?
        .ok_or_else(|| Error::invalid("template_id", "This template does not exist."))
}

/// What must be so before anything leaves: the template can be sent and every variable has a text.
pub(super) async fn ready(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    account: &Account,
    errors: &mut FieldErrors,
) -> Result<()> {
    let Some(id) = mailing.template_id else {
        return Ok(());
    };
    let template = find(conn, id).await?;
    if template.account_id != account.id {
        errors.add(
            "template_id",
            "This template belongs to another account. Choose that account, or another template.",
        );
    }
    if let Some(reason) = template.unsendable() {
        errors.add("template_id", reason);
    }
    let shape = template.shape();
    let values = mailing.template_values();
    for slot in call::missing(&shape, &values) {
        errors.add("template_id", unfilled(&slot));
    }
    if !matches!(shape.header_type.as_str(), "none" | "text") && mailing.media_id.is_none() {
        errors.add(
            "media_id",
            "This template has a file as its header. Upload it.",
        );
    }
    Ok(())
}

/// What to do about a place of the template that is empty.
fn unfilled(slot: &Slot) -> String {
    let name = slot.variable.as_deref().unwrap_or_default();
    match slot.place {
        Place::Header => {
            format!("Say what stands at {{{{{name}}}}} in the header of the template.")
        }
        Place::Body => format!("Say what stands at {{{{{name}}}}} in the text of the template."),
        Place::Button(index) => {
            format!("Say what button {} of the template needs.", index + 1)
        }
    }
}

/// The request's part for a version of the mailing; `None`: it goes as it is. The second: why the template cannot
/// be sent now.
pub(super) async fn call_of(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
) -> QueryResult<Option<(TemplateCall, Option<String>)>> {
    let Some(id) = mailing.template_id else {
        return Ok(None);
    };
    let template = templates::query::find(conn, id).await?;
    let call = call::of(&template, &mailing.template_values());
    Ok(Some((call, template.unsendable())))
}

/// The version that a test is sent as: the template with the mailing's texts, which `values` fill. Faults say why
/// Meta would refuse it.
pub async fn test_version(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    values: &merge::Values,
) -> Result<VersionId> {
    let mut errors = FieldErrors::default();
    let account = crate::accounts::query::find(conn, mailing.account_id).await?;
    ready(conn, mailing, &account, &mut errors).await?;
    errors.or(Some(()))?;
    let Some((call, _)) = call_of(conn, mailing).await? else {
        return Err(Error::invalid(
            "template_id",
            "This template does not exist.",
        ));
    };
    let filled = call.map(|text| merge::fill(&mailing.subject, text, values));
    if filled.texts().any(|text| text.trim().is_empty()) {
        return Err(Error::invalid(
            "as",
            "With this person's values a variable of the template stays empty, and Meta refuses that. Choose somebody else, or give the placeholder a fallback.",
        ));
    }
    Ok(super::release::version(conn, mailing, None, Some(&call)).await?)
}

/// The account whose open windows decide who can be written to; `None`: everybody can.
pub(super) async fn window(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
) -> QueryResult<Option<AccountId>> {
    if mailing.template_id.is_some() {
        return Ok(None);
    }
    let account: Option<Account> = crate::accounts::query::find(conn, mailing.account_id)
        .await
        .optional()?;
    Ok(account.filter(Account::is_meta).map(|account| account.id))
}

/// What Meta charges its messages as; `None` where it does not send through Meta.
pub(super) async fn charged_as(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
) -> QueryResult<Option<Category>> {
    if let Some(id) = mailing.template_id {
        let template = templates::query::find(conn, id).await.optional()?;
        return Ok(template.and_then(|template| Category::parse(&template.category)));
    }
    let window = window(conn, mailing).await?;
    Ok(window.map(|_| Category::Service))
}

/// The category its template had before, and when Meta moved it, where that is news.
pub(super) async fn moved_lately(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    now: DateTime<Utc>,
) -> QueryResult<Option<(Category, DateTime<Utc>)>> {
    let Some(id) = mailing.template_id else {
        return Ok(None);
    };
    let template = templates::query::find(conn, id).await.optional()?;
    let moved = template
        .as_ref()
        .and_then(|template| template.moved_lately(now));
    Ok(moved.and_then(|(before, at)| Some((Category::parse(before)?, at))))
}

/// Mailings that are being sent with these templates pause, with the reason.
pub async fn hold(
    conn: &mut AsyncPgConnection,
    templates: &[TemplateId],
    reason: &str,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO mailing_stops (mailing_id, company_id, reason)
         SELECT id, company_id, $2 FROM mailings WHERE template_id = ANY ($1) AND state = 'sending' ON CONFLICT DO NOTHING",
    )
    .bind::<Array<BigInt>, _>(templates)
    .bind::<Text, _>(reason)
    .execute(conn)
    .await
}
