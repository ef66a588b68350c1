//! *Sync templates*: what Meta has, copied; and Meta's own news about one.
//!
//! Invariants: no transaction is open while Meta answers; a list that could not be read whole changes nothing;
//! what is gone at Meta stays here as deleted, because mailings refer to it.

use diesel_async::AsyncPgConnection;

use super::query::{self, News};
use crate::accounts::{self, Account};
use crate::app::App;
use crate::error::{Error, Result};
use crate::gateways::meta::events::TemplateNews;
use crate::ids::{AccountId, CompanyId, TemplateId};

/// Why mailings pause whose template a sync found not to be sendable.
pub const GONE: &str =
    "Its template cannot be sent any more: Meta's list says so. Look at it under Templates.";

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    pub new: i64,
    pub known: i64,
    pub gone: i64,
    /// Those that cannot be sent (any more).
    pub unsendable: Vec<TemplateId>,
}

/// Copies the templates of an account; only its owner does.
pub async fn run(app: &App, company: CompanyId, id: AccountId) -> Result<Synced> {
    let account = {
        let mut conn = app.db.company(company).await?;
        accounts::owned(&mut conn, id, company).await?
    };
    if !account.is_meta() {
        return Err(Error::conflict("Only accounts at Meta have templates."));
    }
    let listed = account.meta(app)?.templates().await.map_err(|error| {
        Error::conflict(format!(
            "The templates could not be read. {}",
            error.reason()
        ))
    })?;
    let mut conn = app.db.company(company).await?;
    let mut synced = Synced::default();
    let mut ids = Vec::new();
    for one in &listed {
        let shape = serde_json::to_value(&one.shape).map_err(anyhow::Error::new)?;
        let (id, is_new) = query::keep(&mut conn, &account, one, &shape).await?;
        if is_new {
            synced.new += 1;
        } else {
            synced.known += 1;
        }
        if !one.status.eq_ignore_ascii_case("approved") {
            synced.unsendable.push(id);
        }
        ids.push(id);
    }
    let gone = query::forget_others(&mut conn, id, &ids).await?;
    synced.gone = i64::try_from(gone.len()).unwrap_or_default();
    synced.unsendable.extend(gone);
    conn.commit().await?;
    Ok(synced)
}

/// Applies Meta's news about a template; returns which of ours cannot be sent any more, and why.
pub async fn news(
    conn: &mut AsyncPgConnection,
    account: &Account,
    account_uid: &str,
    news: &TemplateNews,
) -> Result<Option<(Vec<TemplateId>, String)>> {
    let business = (account.app_uid.as_str(), account_uid);
    let ids = query::named(conn, business, &news.name, &news.language).await?;
    if ids.is_empty() {
        return Ok(None);
    }
    let status = news.status.as_deref().map(status);
    let change = News {
        status: status.map(str::to_owned),
        quality: news
            .quality
            .as_deref()
            .map(|word| query::quality(Some(word))),
        category: news.category.as_deref().map(str::to_lowercase),
        reason: news.reason.clone(),
    };
    query::changed(conn, &ids, &change).await?;
    let Some(status) = status.filter(|status| *status != "approved") else {
        return Ok(None);
    };
    let more = news.reason.as_deref().unwrap_or("no reason given");
    let reason = format!(
        "The template {} is {} at Meta: {more}",
        news.name,
        status.replace('_', " ")
    );
    Ok(Some((ids, reason)))
}

/// The status behind an event's word.
fn status(word: &str) -> &'static str {
    match word {
        "APPROVED" | "REINSTATED" | "UNARCHIVED" => "approved",
        "REJECTED" => "rejected",
        "PAUSED" => "paused",
        "DISABLED" => "disabled",
        "IN_APPEAL" => "in_appeal",
        "PENDING_DELETION" => "pending_deletion",
        "DELETED" => "deleted",
        "LIMIT_EXCEEDED" => "limit_exceeded",
        "ARCHIVED" => "archived",
        "FLAGGED" => "flagged",
        "LOCKED" => "locked",
        _ => "pending",
    }
}
