//! The table of a list: rows or groups of a [`search::ListPage`], as HTML. Whole pages put it under a
//! search field (`web::list`), records show it in a tab.
//!
//! Invariant: what a cell shows depends on its column's kind alone; everything people wrote is escaped.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;

use crate::error::Result;
use crate::favourites::{self, Favourite};
use crate::i18n;
use crate::search::{
    self, Column, Direction, Group, GroupKind, GroupRows, Kind, ListPage, ListQuery, ListSpec, Row,
};
use crate::text::{country, phone};
use crate::web::page::Shell;
use crate::web::pieces::{Badge, Face, Meter, Time};
use crate::web::visit::Visit;

/// Between the values of a cell with several.
const SEVERAL: char = '\u{1f}';

/// One cell, ready to be written.
pub enum Cell {
    Nothing,
    Text(String),
    /// The row's name; the tag beside it is empty for most.
    Name(String),
    Person(Face, String),
    Number(String),
    Time(Time),
    Badge(Badge),
    Tags(Vec<String>),
    Meter(Meter),
    Yes(String),
}

/// A row or a group title, in the order of the page.
pub enum Line<'a> {
    Group {
        group: &'a GroupRows,
        level: usize,
        kind: &'static Group,
        href: String,
    },
    Row {
        row: &'a Row,
        indent: &'static str,
    },
    /// A group with more rows than are shown.
    More {
        count: i64,
        href: String,
    },
}

#[derive(Template)]
#[template(path = "pieces/table.html")]
pub struct Table {
    pub shell: Shell,
    pub query: ListQuery,
    pub page: ListPage,
    /// Searches of this list that are kept under a name.
    pub favourites: Vec<Favourite>,
    /// The key of the list's name in the catalogue.
    pub title: String,
    /// What a row's id is put behind: `/mailings/`; empty for rows without a page.
    pub link: &'static str,
    /// Rows can be ticked; their boxes belong to the form with id `bulk`.
    pub selectable: bool,
}

impl HtmlSafe for Table {}

/// What an address asks of a list, and what it finds.
pub struct Found {
    query: ListQuery,
    page: ListPage,
    favourites: Vec<Favourite>,
}

/// What the visit's address asks of `spec`; `extra` as in [`search::page`]. Where it asks nothing the
/// list opens with the favourite that is the default.
pub async fn load(
    conn: &mut AsyncPgConnection,
    spec: &'static ListSpec,
    visit: &Visit,
    extra: Option<(&'static str, i64)>,
) -> Result<Found> {
    let (user, address) = (visit.signed.user, visit.request.path());
    let known = favourites::of(conn, user, address).await?;
    let columns = favourites::columns(conn, user, address).await?;
    let asked = match visit.request.uri().query() {
        None => favourites::opened(&known, user).map_or("", |favourite| &favourite.query),
        Some(query) => query,
    };
    let query = ListQuery::parse(asked, spec)
        .asked_by(user.0, visit.signed.zone)
        .remembering(&columns);
    let page = search::page(conn, spec, &query, extra).await?;
    Ok(Found {
        query,
        page,
        favourites: known,
    })
}

impl Table {
    pub fn new(shell: Shell, title: impl Into<String>, link: &'static str, found: Found) -> Self {
        Self {
            shell,
            query: found.query,
            page: found.page,
            favourites: found.favourites,
            title: title.into(),
            link,
            selectable: false,
        }
    }

    #[must_use]
    pub fn selectable(self) -> Self {
        Self {
            selectable: true,
            ..self
        }
    }

    pub fn is_empty(&self) -> bool {
        self.page.total.count == 0
    }

    fn columns(&self) -> Vec<(usize, &'static Column)> {
        self.query.shown()
    }

    /// Columns before the first summed one: what a group's title spans, without the check box.
    fn title_span(&self) -> usize {
        let columns = self.columns();
        columns
            .iter()
            .position(|(_, column)| column.sum)
            .unwrap_or(columns.len())
            + usize::from(self.selectable)
    }

    /// The columns beside the title.
    fn after_title(&self) -> Vec<(usize, &'static Column)> {
        let columns = self.columns();
        let from = columns
            .iter()
            .position(|(_, column)| column.sum)
            .unwrap_or(columns.len());
        columns[from..].to_vec()
    }

    fn width(&self) -> usize {
        self.columns().len() + usize::from(self.selectable)
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        if self.query.is_grouped() {
            for group in &self.page.groups {
                self.group_lines(group, 1, &mut lines);
            }
        } else {
            lines.extend(
                self.page
                    .rows
                    .iter()
                    .map(|row| Line::Row { row, indent: "" }),
            );
        }
        lines
    }

    fn group_lines<'a>(&'a self, group: &'a GroupRows, level: usize, lines: &mut Vec<Line<'a>>) {
        let Some(kind) = self.query.groups.get(level - 1) else {
            return;
        };
        let href = self.query.toggle_open(&group.path, &self.page.open);
        lines.push(Line::Group {
            group,
            level,
            kind,
            href,
        });
        if !group.open {
            return;
        }
        for inner in &group.groups {
            self.group_lines(inner, level + 1, lines);
        }
        let indent = if level == 1 { "in" } else { "in2" };
        lines.extend(group.rows.iter().map(|row| Line::Row { row, indent }));
        let shown = i64::try_from(group.rows.len()).unwrap_or(i64::MAX);
        if group.groups.is_empty() && shown < group.count {
            lines.push(Line::More {
                count: group.count - shown,
                href: self.query.only_group(&group.path),
            });
        }
    }

    fn cell(&self, row: &Row, at: &usize) -> Cell {
        let spec = self.query.spec();
        let (Some(column), Some(Some(value))) = (spec.columns.get(*at), row.cells.get(*at)) else {
            return Cell::Nothing;
        };
        self.written(column, value)
    }

    /// A sum under or beside a group's title.
    fn sum(&self, sums: &[Option<String>], at: &usize) -> Cell {
        match (self.query.spec().columns.get(*at), sums.get(*at)) {
            (Some(column), Some(Some(value))) if column.sum => self.written(column, value),
            _ => Cell::Nothing,
        }
    }

    fn written(&self, column: &Column, value: &str) -> Cell {
        let shell = &self.shell;
        if value.is_empty() {
            return Cell::Nothing;
        }
        match column.kind {
            Kind::Text => Cell::Text(value.to_owned()),
            Kind::Sentence => Cell::Text(shell.say(value)),
            Kind::Strong => Cell::Name(value.to_owned()),
            Kind::Number => value
                .parse::<i64>()
                .map_or(Cell::Nothing, |number| Cell::Number(shell.number(number))),
            Kind::Date => DateTime::parse_from_rfc3339(value).map_or(Cell::Nothing, |instant| {
                Cell::Time(shell.time(&instant.with_timezone(&Utc)))
            }),
            Kind::Badge(vocabulary) => Cell::Badge(shell.badge(vocabulary, value)),
            Kind::Tags => Cell::Tags(value.split(SEVERAL).map(str::to_owned).collect()),
            Kind::Meter(hue) => {
                let mut parts = value.split('/').map(|part| part.parse().unwrap_or(0));
                let (part, whole) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
                Cell::Meter(Meter::new(shell.lang, part, whole, hue))
            }
            Kind::Yes => match value {
                "true" | "t" => Cell::Yes(shell.t("shell.yes")),
                _ => Cell::Nothing,
            },
            Kind::Person => Cell::Person(shell.face(value), value.to_owned()),
            Kind::Phone => Cell::Number(phone::display_digits(value)),
            Kind::Country => Cell::Text(country::named(shell.lang, value).to_owned()),
        }
    }

    /// The row's name, for its check box.
    fn row_name(&self, row: &Row) -> String {
        let name = self
            .query
            .spec()
            .columns
            .iter()
            .position(|column| column.kind == Kind::Strong)
            .and_then(|at| row.cells.get(at).cloned().flatten())
            .unwrap_or_default();
        if name.is_empty() {
            row.id.to_string()
        } else {
            name
        }
    }

    fn group_title(&self, kind: &Group, value: &str) -> String {
        let shell = &self.shell;
        if value.is_empty() {
            return shell.t("list.empty_value");
        }
        match kind.kind {
            GroupKind::Yes if value.starts_with('t') => shell.t("shell.yes"),
            GroupKind::Yes => shell.t("shell.no"),
            GroupKind::Country => country::named(shell.lang, value).to_owned(),
            GroupKind::Month | GroupKind::Day => i18n::calendar(shell.lang, value),
            _ => value.to_owned(),
        }
    }

    fn group_badge(&self, kind: &Group, value: &str) -> Option<Badge> {
        match kind.kind {
            GroupKind::Badge(vocabulary) if !value.is_empty() => {
                Some(self.shell.badge(vocabulary, value))
            }
            _ => None,
        }
    }

    /// "ascending", "descending" or nothing, for `aria-sort`.
    fn sorted(&self, column: &Column) -> &'static str {
        match (self.query.sort, self.query.direction) {
            (Some(sort), direction) if sort.key == column.key => match direction {
                Direction::Ascending => "ascending",
                Direction::Descending => "descending",
            },
            _ => "",
        }
    }

    fn is_right(&self, column: &Column) -> bool {
        matches!(column.kind, Kind::Number | Kind::Meter(_))
    }

    /// Classes of a cell: how it is set, and its place on a phone.
    fn class(&self, column: &Column) -> String {
        let set = match column.kind {
            Kind::Number | Kind::Meter(_) => "right num",
            Kind::Date => "num muted",
            Kind::Phone => "num",
            Kind::Text | Kind::Sentence | Kind::Country => "cap",
            _ => "",
        };
        [set, column.cell]
            .into_iter()
            .filter(|class| !class.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// "2,604", or "10,000+" where there are more than were counted.
    pub fn total(&self) -> String {
        let more = if self.page.total.more { "+" } else { "" };
        format!("{}{more}", self.shell.number(self.page.total.count))
    }
}
