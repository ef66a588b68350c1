//! One grammar for every list page: what can be searched, filtered, grouped, sorted and shown, and how
//! that is written in an address.
//!
//! A noun describes its list once, as a `static` [`ListSpec`]; [`ListQuery`] is what one address asks
//! of it; [`page`] answers. Invariants: SQL is built from the static description and bind parameters
//! alone, so that nothing of an address becomes SQL; names the description does not know are ignored;
//! which company's rows are seen is decided by the connection (row-level security), not here. In SQL
//! `{user}` stands for the id of who asks and `{zone}` for their time zone.
//!
//! Knows no HTTP and no HTML.

mod query;
#[cfg(test)]
mod query_tests;
mod rows;
mod statement;

pub use query::{Cursor, ListQuery};
pub use rows::{GroupRows, ListPage, Row, Total, freeze, ids, page, some};
pub use statement::Extra;

/// Rows of one page.
pub const PAGE_SIZE: i64 = 80;
/// Rows shown of one open group; the rest is a link away.
pub const GROUP_SIZE: i64 = 40;
/// Totals are counted up to here; more is "10,000+".
pub const COUNT_LIMIT: i64 = 10_000;

/// A count that was taken up to one more than the limit; `None`: there are more.
pub fn counted(n: i64) -> Option<i64> {
    Some(n).filter(|n| *n <= COUNT_LIMIT)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

/// How a column's SQL value is read and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// What the domain or a gateway says in a sentence.
    Sentence,
    /// The row's name: its cell is the row header and holds the link.
    Strong,
    /// A whole number.
    Number,
    /// A timestamptz; cells carry it as RFC 3339 in UTC.
    Date,
    /// A word of a vocabulary of `web::badges`.
    Badge(&'static str),
    /// A text[]; cells carry it joined by U+001F.
    Tags,
    /// Text `part/whole`, shown as per cent with a bar of this hue.
    Meter(&'static str),
    /// A boolean; cells carry `true` or `false`.
    Yes,
    /// A person's name, shown as a face.
    Person,
    /// Digits of a phone number.
    Phone,
    /// An ISO code, shown as the country's name.
    Country,
}

/// A column: made by [`Column::new`], completed by the methods after it.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name in addresses.
    pub key: &'static str,
    /// A key of the catalogue.
    pub label: &'static str,
    pub sql: &'static str,
    /// What rows are sorted by instead of `sql`: an indexed column, or a value that costs less.
    pub order: &'static str,
    pub kind: Kind,
    pub sortable: bool,
    /// Where it stands in the two-line row of phones: m1 m2 above, m3 m4 below, "" with the record.
    pub cell: &'static str,
    /// Shown only when asked for.
    pub optional: bool,
    /// Groups and the foot show its sum.
    pub sum: bool,
    /// The SQL value may be NULL.
    pub nullable: bool,
}

impl Column {
    pub const fn new(
        key: &'static str,
        label: &'static str,
        sql: &'static str,
        kind: Kind,
    ) -> Self {
        Self {
            key,
            label,
            sql,
            order: "",
            kind,
            sortable: false,
            cell: "",
            optional: false,
            sum: false,
            nullable: false,
        }
    }

    pub const fn sortable(mut self) -> Self {
        self.sortable = true;
        self
    }

    /// Sortable by another value than the one shown, which is text and never NULL.
    pub const fn sorted_by(mut self, order: &'static str) -> Self {
        self.sortable = true;
        self.order = order;
        self
    }

    /// Sortable, and NULL where the record has no value; NULLs sort as the least.
    pub const fn sortable_nullable(mut self) -> Self {
        self.sortable = true;
        self.nullable = true;
        self
    }

    /// `m1` to `m4`.
    pub const fn cell(mut self, cell: &'static str) -> Self {
        self.cell = cell;
        self
    }

    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub const fn sum(mut self) -> Self {
        self.sum = true;
        self
    }
}

/// A filter. Those of one facet widen each other, facets narrow each other.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    pub key: &'static str,
    pub label: &'static str,
    /// A boolean condition.
    pub sql: &'static str,
    pub facet: &'static str,
    /// On until somebody chooses filters.
    pub default: bool,
}

impl Filter {
    pub const fn new(
        key: &'static str,
        label: &'static str,
        sql: &'static str,
        facet: &'static str,
    ) -> Self {
        Self {
            key,
            label,
            sql,
            facet,
            default: false,
        }
    }

    pub const fn by_default(mut self) -> Self {
        self.default = true;
        self
    }
}

/// What a group's value is and how its title is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    Text,
    /// A word of a vocabulary of `web::badges`.
    Badge(&'static str),
    /// A timestamptz by calendar year, month or day in the zone of who asks; newest first.
    Year,
    Month,
    Day,
    /// A boolean.
    Yes,
    /// An ISO code, titled with the country's name.
    Country,
}

impl GroupKind {
    pub fn is_date(self) -> bool {
        matches!(self, Self::Year | Self::Month | Self::Day)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Where a column has the same key, it disappears while one groups by it.
    pub key: &'static str,
    pub label: &'static str,
    pub sql: &'static str,
    pub kind: GroupKind,
    /// SQL whose least value of a group decides its place; "" for the value itself.
    pub order: &'static str,
}

impl Group {
    pub const fn new(
        key: &'static str,
        label: &'static str,
        sql: &'static str,
        kind: GroupKind,
    ) -> Self {
        Self {
            key,
            label,
            sql,
            kind,
            order: "",
        }
    }

    pub const fn order(mut self, order: &'static str) -> Self {
        self.order = order;
        self
    }
}

/// The list of a noun.
#[derive(Debug)]
pub struct ListSpec {
    pub noun: &'static str,
    /// The FROM clause with its joins; the main table's alias is `t`. Joins keep one row a record.
    pub from: &'static str,
    /// A bigint, unique in the list, never NULL: `t.id`.
    pub id: &'static str,
    pub columns: &'static [Column],
    pub filters: &'static [Filter],
    pub groups: &'static [Group],
    /// Text expressions that the search field looks in.
    pub text: &'static [&'static str],
    /// A column's key, or `id`.
    pub sort: (&'static str, Direction),
    /// Keys of the groups until somebody chooses; at most two.
    pub group: &'static [&'static str],
    /// A condition that always holds; "" for none.
    pub always: &'static str,
    /// Parameters of the page that are not the list's own and stay in its links, such as `tab`.
    pub keep: &'static [&'static str],
}

impl ListSpec {
    pub fn column(&self, key: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.key == key)
    }

    pub fn filter(&self, key: &str) -> Option<&'static Filter> {
        self.filters.iter().find(|filter| filter.key == key)
    }

    pub fn group(&self, key: &str) -> Option<&'static Group> {
        self.groups.iter().find(|group| group.key == key)
    }
}
