//! The page of a list: search field with its facets, pager, selection with bulk actions, table, and
//! what stands there when it is empty. One page for every noun; a noun adds its description and labels.
//!
//! Invariant: what a bulk action touches is what was ticked, or everything the address finds in the
//! person's company; the verb that gets the ids writes under row-level security.

use actix_web::HttpResponse;
use askama::Template;
use diesel_async::AsyncPgConnection;

use crate::error::{Error, Result};
use crate::favourites::Favourite;
use crate::search::{self, ListQuery, ListSpec};
use crate::web::export;
use crate::web::favourites;
use crate::web::page::{Action, Shell, html};
use crate::web::table::Table;
use crate::web::visit::Visit;

/// The most records one press changes.
const MOST: i64 = 100_000;

/// A button over the selection; it posts the ticked ids to `href`.
pub struct Bulk {
    pub href: String,
    /// A key of the catalogue.
    pub label: &'static str,
    pub icon: &'static str,
    /// A choice that belongs to the button: its field's name, first line and options.
    pub choice: Option<Choice>,
}

pub struct Choice {
    pub name: &'static str,
    /// A key of the catalogue; what stands there before anything is chosen.
    pub first: &'static str,
    pub options: Vec<(String, String)>,
}

impl Bulk {
    pub fn new(href: impl Into<String>, label: &'static str, icon: &'static str) -> Self {
        Self {
            href: href.into(),
            label,
            icon,
            choice: None,
        }
    }

    /// With a choice beside the button.
    #[must_use]
    pub fn with(
        self,
        name: &'static str,
        first: &'static str,
        options: Vec<(String, String)>,
    ) -> Self {
        Self {
            choice: Some(Choice {
                name,
                first,
                options,
            }),
            ..self
        }
    }
}

/// What belongs here, while nothing is there.
pub struct Empty {
    pub icon: &'static str,
    pub title: &'static str,
    pub text: &'static str,
    pub actions: Vec<Action>,
}

/// What a page shows beside its table.
#[derive(Template)]
#[template(path = "list.html")]
pub struct ListView {
    pub shell: Shell,
    pub table: Table,
    /// The list's address: `/mailings`.
    pub href: &'static str,
    /// Where *New* leads; empty for lists nobody adds to.
    pub new: &'static str,
    pub cog: Vec<Action>,
    pub bulk: Vec<Bulk>,
    pub empty: Empty,
    /// A sentence over the table; empty for none.
    pub lead: String,
}

impl ListView {
    /// `title`: a key of the catalogue. A row's page is `href/<id>`, given as `link`.
    pub fn new(table: Table, href: &'static str, empty: Empty) -> Self {
        Self {
            shell: table.shell.clone(),
            table,
            href,
            new: "",
            cog: Vec::new(),
            bulk: Vec::new(),
            empty,
            lead: String::new(),
        }
    }

    #[must_use]
    pub fn creating(self, new: &'static str) -> Self {
        Self { new, ..self }
    }

    #[must_use]
    pub fn cog(self, cog: Vec<Action>) -> Self {
        Self { cog, ..self }
    }

    #[must_use]
    pub fn bulk(self, bulk: Vec<Bulk>) -> Self {
        let table = if bulk.is_empty() {
            self.table
        } else {
            self.table.selectable()
        };
        Self {
            bulk,
            table,
            ..self
        }
    }

    pub fn answer(self) -> HttpResponse {
        html(self)
    }

    /// What stands in the cog: the noun's own, and the file of everything found.
    fn actions(&self) -> Vec<Action> {
        let mut actions = self.cog.clone();
        // What narrows the page from outside is not part of the search.
        let exports = self.lead.is_empty() && !self.table.is_empty() && export::has(self.href);
        if exports && self.shell.is_manager() {
            let file = format!("/export.csv?list={}&{}", self.href, self.query().whole());
            actions.push(Action::link(self.shell.t("list.export"), file).icon("download"));
        }
        actions
    }

    fn query(&self) -> &ListQuery {
        &self.table.query
    }

    /// Nothing was asked for and nothing is there: the list itself is empty.
    fn is_blank(&self) -> bool {
        self.table.is_empty() && self.query().selection().is_empty()
    }

    /// The words of a facet: "Draft or Submitted".
    fn facet_words(&self, facet: &[&'static search::Filter]) -> String {
        let words: Vec<String> = facet
            .iter()
            .map(|filter| self.shell.t(filter.label))
            .collect();
        words.join(&format!(" {} ", self.shell.t("list.or")))
    }

    fn group_words(&self) -> String {
        let words: Vec<String> = self
            .query()
            .groups
            .iter()
            .map(|group| self.shell.t(group.label))
            .collect();
        words.join(" › ")
    }

    /// The one group that is shown, in words.
    fn only_words(&self) -> Option<String> {
        let path = self.query().only.as_ref()?;
        Some(ListQuery::values(path).join(" › "))
    }

    /// How many records a filter finds, where that is counted.
    fn count(&self, at: &usize) -> String {
        self.table
            .page
            .counts
            .as_ref()
            .and_then(|counts| counts.get(*at))
            .map(|count| self.shell.number(count))
            .unwrap_or_default()
    }

    /// Whether a filter begins another facet than the one before it.
    fn begins_facet(&self, at: &usize) -> bool {
        let filters = self.query().spec().filters;
        match at.checked_sub(1).and_then(|before| filters.get(before)) {
            Some(before) => filters
                .get(*at)
                .is_some_and(|one| one.facet != before.facet),
            None => false,
        }
    }

    /// The favourite that asks what is shown.
    fn current_favourite(&self) -> Option<&Favourite> {
        let (spec, shown) = (self.query().spec(), self.query().whole());
        let mut favourites = self.table.favourites.iter();
        favourites.find(|one| ListQuery::parse(&one.query, spec).whole() == shown)
    }

    fn is_current(&self, favourite: &Favourite) -> bool {
        self.current_favourite()
            .is_some_and(|current| current.id == favourite.id)
    }

    fn may_change(&self, favourite: &Favourite) -> bool {
        let shell = &self.shell;
        matches!((&shell.user, shell.role), (Some(user), Some(role))
            if favourites::may_change(role, user.id, favourite))
    }

    /// What a favourite is beside its name.
    fn favourite_words(&self, favourite: &Favourite) -> String {
        let words = [
            (favourite.is_default, "list.favourite_is_default"),
            (favourite.shared, "list.favourite_is_shared"),
        ];
        let words: Vec<String> = words
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, key)| self.shell.t(key))
            .collect();
        words.join(" · ")
    }

    fn optional_columns(&self) -> Vec<&'static search::Column> {
        let columns = self.query().spec().columns;
        columns.iter().filter(|column| column.optional).collect()
    }
}

/// What a bulk action is posted with; an action's own fields stand beside it.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Selected {
    pub ids: Vec<i64>,
    /// Ticked: everything the address finds.
    pub all: Option<String>,
    /// The address's query.
    pub selection: String,
}

impl Selected {
    /// The ids, those of "all" read from the database; none at all is an error people can mend.
    pub async fn resolve(
        &self,
        conn: &mut AsyncPgConnection,
        spec: &'static ListSpec,
        visit: &Visit,
        extra: Option<(&'static str, i64)>,
    ) -> Result<Vec<i64>> {
        let ids = if self.all.is_some() {
            let query = ListQuery::parse(&self.selection, spec)
                .asked_by(visit.signed.user.0, visit.signed.zone);
            search::ids(conn, spec, &query, extra, MOST).await?
        } else {
            self.ids.clone()
        };
        if ids.is_empty() {
            return Err(Error::invalid("ids", visit.t("list.nothing_selected")));
        }
        Ok(ids)
    }
}
