//! Templates: texts that Meta has approved, one row an account, name and language.
//!
//! Invariants: what stands at Meta is copied as it is, never bent to ours; only an approved one of a shape we can
//! fill is sent; the status changes by a sync and by Meta's own news, never by a person; a company that may use
//! the account sees its templates, its owner alone changes them. Owns `templates`. Does not know mailings.

pub mod call;
pub mod input;
pub mod list;
pub mod query;
pub mod sync;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use crate::gateways::meta::templates::Shape;
use crate::ids::{AccountId, CompanyId, MediaId, TemplateId};
use crate::schema::templates;

pub use crate::gateways::meta::sample::TYPES as SAMPLE_TYPES;
pub use input::{TemplateDraft, TemplateInput};

/// So long a change of category is news.
const LATELY: TimeDelta = TimeDelta::days(31);

#[derive(Debug, Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = templates)]
pub struct Template {
    pub id: TemplateId,
    pub company_id: CompanyId,
    pub account_id: AccountId,
    /// Meta's id; empty while it was never handed in.
    pub uid: String,
    pub name: String,
    pub language: String,
    pub category: String,
    pub status: String,
    pub quality: String,
    pub reason: Option<String>,
    shape: serde_json::Value,
    pub category_before: Option<String>,
    /// When Meta moved it from that one.
    pub category_changed_at: Option<DateTime<Utc>>,
    /// The sample of its header's file, for Meta's reviewers.
    pub media_id: Option<MediaId>,
    pub active: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub synced_at: Option<DateTime<Utc>>,
}

impl Template {
    /// What it consists of.
    pub fn shape(&self) -> Shape {
        // Written by us alone; a shape of another time is shown as far as it can be read.
        serde_json::from_value(self.shape.clone()).unwrap_or_default()
    }

    pub fn is_draft(&self) -> bool {
        self.status == "draft" || self.status == "rejected" && self.uid.is_empty()
    }

    /// Why it cannot be sent now, as a sentence; `None`: it can.
    pub fn unsendable(&self) -> Option<String> {
        if self.status != "approved" {
            let more = self.reason.as_deref().unwrap_or_default();
            let status = self.status.replace('_', " ");
            return Some(if more.is_empty() {
                format!(
                    "The template {} is {status} at Meta, so nothing can be sent with it.",
                    self.name
                )
            } else {
                format!(
                    "The template {} is {status} at Meta, so nothing can be sent with it. Meta says: {more}",
                    self.name
                )
            });
        }
        self.shape().unusable().map(str::to_owned)
    }

    /// The category it had before, and when Meta moved it, where that was within a month of `now`.
    pub fn moved_lately(&self, now: DateTime<Utc>) -> Option<(&str, DateTime<Utc>)> {
        let (before, at) = self
            .category_before
            .as_deref()
            .zip(self.category_changed_at)?;
        (before != self.category && now - at < LATELY).then_some((before, at))
    }

    /// Its languages are written from right to left.
    pub fn is_rtl(&self) -> bool {
        let language = self.language.split('_').next().unwrap_or_default();
        matches!(language, "ar" | "he" | "fa" | "ur")
    }
}
