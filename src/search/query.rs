//! What one address asks of a list, and the addresses of its neighbours.
//!
//! Parameters: `q` (words, repeated: all must match), `f` (filters), `g` (groups, outermost first), `s`
//! (a column, `-` before it for descending), `c` (optional columns; absent: the remembered ones), `open` (groups shown open), `only`
//! (one group alone), `after`/`before` and `at` (the page). An empty `f`, `g`, `c` or `open` is "none",
//! where its absence is "as described".

use chrono::{DateTime, Datelike as _};
use chrono_tz::Tz;
use url::form_urlencoded;

use super::{Column, Direction, Filter, Group, Kind, ListSpec};

/// Between the values of a nested group.
const NEST: char = '\u{1f}';
/// Words longer than this are cut: no index helps them.
const LONGEST_WORD: usize = 200;

/// Where a page begins or ends: the sort value and id of its neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub id: i64,
    /// As the statement wrote it.
    pub value: String,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (id, value) = text.split_once('.')?;
        Some(Self {
            id: id.parse().ok()?,
            value: value.to_owned(),
        })
    }

    fn written(&self) -> String {
        format!("{}.{}", self.id, self.value)
    }

    /// Whether PostgreSQL can read the value as the column's type.
    fn fits(&self, column: Option<&Column>) -> bool {
        match column.map(|column| column.kind) {
            None => self.value.is_empty(),
            Some(Kind::Number) => self.value.parse::<i64>().is_ok(),
            Some(Kind::Date) => {
                self.value == "-infinity"
                    || DateTime::parse_from_rfc3339(&self.value)
                        .is_ok_and(|instant| (1..=9999).contains(&instant.year()))
            }
            Some(Kind::Yes) => matches!(self.value.as_str(), "true" | "false"),
            Some(_) => true,
        }
    }
}

#[derive(Debug, Clone)]
pub struct ListQuery {
    spec: &'static ListSpec,
    /// Every one must be found in one of the list's texts.
    pub words: Vec<String>,
    pub filters: Vec<&'static Filter>,
    /// Outermost first; at most two.
    pub groups: Vec<&'static Group>,
    /// A column, or none for the id alone.
    pub sort: Option<&'static Column>,
    pub direction: Direction,
    /// Keys of optional columns to show, in the list's order.
    pub columns: Vec<&'static str>,
    /// What is shown while an address says nothing of columns.
    remembered: Vec<&'static str>,
    /// Whether the address says which columns.
    names_columns: bool,
    /// Paths of open groups; none chosen: the first ones are opened.
    pub open: Option<Vec<String>>,
    /// The path of the one group to show.
    pub only: Option<String>,
    pub after: Option<Cursor>,
    pub before: Option<Cursor>,
    /// Which row of the whole the page begins with, from 1: what the pager shows.
    pub at: i64,
    kept: Vec<(&'static str, String)>,
    /// What `{zone}` stands for.
    pub zone: Tz,
    /// What `{user}` stands for.
    pub user: i64,
}

impl ListQuery {
    /// Reads an address's query; what the list does not know is ignored.
    pub fn parse(query: &str, spec: &'static ListSpec) -> Self {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.replace('\0', "")))
            .collect();
        let all = |name: &'static str| {
            pairs
                .iter()
                .filter(move |(given, _)| given == name)
                .map(|(_, value)| value.as_str())
        };
        let first = |name: &'static str| all(name).next();

        let filters = match first("f") {
            None => spec
                .filters
                .iter()
                .filter(|filter| filter.default)
                .collect(),
            Some(_) => unique(all("f").filter_map(|key| spec.filter(key)), |one, two| {
                one.key == two.key
            }),
        };
        let groups = match first("g") {
            None => spec
                .group
                .iter()
                .filter_map(|key| spec.group(key))
                .collect(),
            Some(_) => unique(all("g").filter_map(|key| spec.group(key)), |one, two| {
                one.key == two.key
            }),
        };
        let (sort, direction) = sorting(first("s"), spec);
        let cursor = |name| {
            first(name)
                .and_then(Cursor::parse)
                .filter(|cursor| cursor.fits(sort))
        };
        let after = cursor("after");
        let before = if after.is_none() {
            cursor("before")
        } else {
            None
        };
        let turned = after.is_some() || before.is_some();
        Self {
            spec,
            words: unique(
                all("q").map(word).filter(|word| !word.is_empty()),
                |one, two| one == two,
            ),
            filters,
            groups: groups.into_iter().take(2).collect(),
            sort,
            direction,
            columns: spec
                .columns
                .iter()
                .filter(|column| column.optional && all("c").any(|key| key == column.key))
                .map(|column| column.key)
                .collect(),
            remembered: Vec::new(),
            names_columns: first("c").is_some(),
            open: first("open").map(|_| {
                all("open")
                    .filter_map(|path| path.strip_prefix('.'))
                    .map(str::to_owned)
                    .collect()
            }),
            only: first("only")
                .and_then(|path| path.strip_prefix('.'))
                .map(str::to_owned),
            at: first("at")
                .filter(|_| turned)
                .and_then(|at| at.parse().ok())
                .filter(|at| *at > 0)
                .unwrap_or(1),
            after,
            before,
            kept: spec
                .keep
                .iter()
                .filter_map(|name| Some((*name, first(name)?.to_owned())))
                .collect(),
            zone: Tz::UTC,
            user: 0,
        }
    }

    /// Whose list it is: what `{zone}` and `{user}` stand for.
    #[must_use]
    pub fn asked_by(mut self, user: i64, zone: Tz) -> Self {
        self.user = user;
        self.zone = zone;
        self
    }

    /// The optional columns this person looks at where the address names none.
    #[must_use]
    pub fn remembering(mut self, keys: &[String]) -> Self {
        self.remembered = self.in_order(|key| keys.iter().any(|known| known == key));
        if !self.names_columns {
            self.columns.clone_from(&self.remembered);
        }
        self
    }

    /// Keys of the optional columns that are wanted, in the list's order.
    fn in_order(&self, wanted: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let optional = self.spec.columns.iter().filter(|column| column.optional);
        optional
            .map(|column| column.key)
            .filter(|key| wanted(key))
            .collect()
    }

    pub fn spec(&self) -> &'static ListSpec {
        self.spec
    }

    /// Whether rows stand under group titles.
    pub fn is_grouped(&self) -> bool {
        !self.groups.is_empty() && self.only.is_none()
    }

    /// Whether anything narrows the list, so that none found means "nothing matches".
    pub fn is_narrowed(&self) -> bool {
        !self.words.is_empty() || !self.filters.is_empty() || self.only.is_some()
    }

    pub fn has_filter(&self, key: &str) -> bool {
        self.filters.iter().any(|filter| filter.key == key)
    }

    pub fn has_group(&self, key: &str) -> bool {
        self.groups.iter().any(|group| group.key == key)
    }

    /// The columns to show: without the optional ones nobody asked for, and without the one whose
    /// value is the group's title.
    pub fn shown(&self) -> Vec<(usize, &'static Column)> {
        self.spec
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.optional || self.columns.contains(&column.key))
            .filter(|(_, column)| {
                !self.is_grouped()
                    || !self
                        .groups
                        .iter()
                        .any(|group| group.key == column.key && !group.kind.is_date())
            })
            .collect()
    }

    /// The active facets: the filters that widen each other, in the list's order.
    pub fn facets(&self) -> Vec<Vec<&'static Filter>> {
        let mut facets: Vec<Vec<&'static Filter>> = Vec::new();
        for filter in self
            .spec
            .filters
            .iter()
            .filter(|filter| self.has_filter(filter.key))
        {
            match facets
                .iter_mut()
                .find(|facet| facet[0].facet == filter.facet)
            {
                Some(facet) => facet.push(filter),
                None => facets.push(vec![filter]),
            }
        }
        facets
    }

    /// The path of a group below `parent`, as `open` and `only` write it.
    pub fn path(parent: Option<&str>, value: &str) -> String {
        parent.map_or_else(
            || value.to_owned(),
            |parent| format!("{parent}{NEST}{value}"),
        )
    }

    /// The values along a path, outermost first.
    pub fn values(path: &str) -> Vec<&str> {
        path.split(NEST).collect()
    }

    fn changed(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut query = self.clone();
        query.after = None;
        query.before = None;
        query.at = 1;
        change(&mut query);
        query.href()
    }

    pub fn toggle_filter(&self, key: &str) -> String {
        self.changed(|query| {
            if self.has_filter(key) {
                query.filters.retain(|filter| filter.key != key);
            } else {
                query.filters.extend(self.spec.filter(key));
            }
            query.open = None;
        })
    }

    /// Without any filter of this facet.
    pub fn without_facet(&self, facet: &str) -> String {
        self.changed(|query| {
            query.filters.retain(|filter| filter.facet != facet);
            query.open = None;
        })
    }

    /// Groups by this as well, as the innermost, or no longer; the third replaces the second.
    pub fn toggle_group(&self, key: &str) -> String {
        self.changed(|query| {
            if self.has_group(key) {
                query.groups.retain(|group| group.key != key);
            } else {
                query.groups.truncate(1);
                query.groups.extend(self.spec.group(key));
            }
            query.open = None;
            query.only = None;
        })
    }

    pub fn without_groups(&self) -> String {
        self.changed(|query| {
            query.groups.clear();
            query.open = None;
            query.only = None;
        })
    }

    pub fn without_word(&self, word: &str) -> String {
        self.changed(|query| query.words.retain(|other| other != word))
    }

    /// Back from one group to all of them.
    pub fn without_only(&self) -> String {
        self.changed(|query| query.only = None)
    }

    /// No words, no filters, no single group; groups and sorting stay.
    pub fn cleared(&self) -> String {
        self.changed(|query| {
            query.words.clear();
            query.filters.clear();
            query.only = None;
            query.open = None;
        })
    }

    /// Sorts by a column; again: the other way round.
    pub fn sort_by(&self, key: &str) -> String {
        self.changed(|query| {
            let again = self.sort.is_some_and(|column| column.key == key);
            query.direction = match (again, self.direction) {
                (true, Direction::Ascending) => Direction::Descending,
                _ => Direction::Ascending,
            };
            query.sort = self.spec.column(key);
        })
    }

    /// Opens a group or closes it, given the paths that are open now.
    pub fn toggle_open(&self, path: &str, open_now: &[String]) -> String {
        self.changed(|query| {
            let mut open: Vec<String> = open_now
                .iter()
                .filter(|other| *other != path)
                .cloned()
                .collect();
            if open.len() == open_now.len() {
                open.push(path.to_owned());
            }
            query.open = Some(open);
        })
    }

    /// The rows of one group alone, with pages.
    pub fn only_group(&self, path: &str) -> String {
        self.changed(|query| {
            query.only = Some(path.to_owned());
            query.open = None;
        })
    }

    pub(super) fn next_page(&self, cursor: Cursor, at: i64) -> String {
        self.changed(|query| {
            query.after = Some(cursor);
            query.at = at;
        })
    }

    pub(super) fn previous_page(&self, cursor: Cursor, at: i64) -> String {
        self.changed(|query| {
            query.before = Some(cursor);
            query.at = at.max(1);
        })
    }

    /// The parameters of this list but for words and page: the hidden fields of the search form.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut query = self.clone();
        query.after = None;
        query.before = None;
        query.open = None;
        query.pairs()
    }

    /// Everything but the page: what "select all" sends along, to be read by [`ListQuery::parse`].
    pub fn selection(&self) -> String {
        let href = self.changed(|_| ());
        href.strip_prefix('?').unwrap_or("").to_owned()
    }

    /// Words, filters, groups, order and columns with nothing left out: what a favourite keeps. Two
    /// addresses that ask the same are written the same.
    pub fn whole(&self) -> String {
        let mut written = form_urlencoded::Serializer::new(String::new());
        let mut several = |name: &str, keys: Vec<&str>| {
            let keys = if keys.is_empty() { vec![""] } else { keys };
            written.extend_pairs(keys.into_iter().map(|key| (name, key)));
        };
        several("f", self.filters.iter().map(|filter| filter.key).collect());
        several("g", self.groups.iter().map(|group| group.key).collect());
        several("s", vec![&self.sorting()]);
        several("c", self.columns.clone());
        let only = self.only.iter().map(|path| ("only", format!(".{path}")));
        let words = self.words.iter().map(|word| ("q", word.clone()));
        written.extend_pairs(words.chain(only));
        written.finish()
    }

    /// The same search from its first row.
    #[must_use]
    pub fn from_the_start(mut self) -> Self {
        self.after = None;
        self.before = None;
        self.at = 1;
        self
    }

    /// The columns of a file: those of the list, also those it is grouped by.
    pub fn exported(&self) -> Vec<(usize, &'static Column)> {
        let columns = self.spec.columns.iter().enumerate();
        columns
            .filter(|(_, column)| !column.optional || self.columns.contains(&column.key))
            .collect()
    }

    /// Every record, without groups: where one goes from a favourite.
    pub fn bare(&self) -> String {
        self.changed(|query| {
            query.words.clear();
            query.filters.clear();
            query.groups.clear();
            query.only = None;
            query.open = None;
        })
    }

    /// The order as `s` writes it.
    fn sorting(&self) -> String {
        let sign = match self.direction {
            Direction::Descending => "-",
            Direction::Ascending => "",
        };
        format!("{sign}{}", self.sort.map_or("id", |column| column.key))
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs: Vec<(&'static str, String)> = self.kept.clone();
        pairs.extend(self.words.iter().map(|word| ("q", word.clone())));
        let defaults = self
            .spec
            .filters
            .iter()
            .filter(|filter| filter.default)
            .map(|filter| filter.key);
        some_or_none(
            &mut pairs,
            "f",
            self.filters.iter().map(|filter| filter.key),
            defaults,
        );
        some_or_none(
            &mut pairs,
            "g",
            self.groups.iter().map(|group| group.key),
            self.spec.group.iter().copied(),
        );
        let sort = (self.sort.map_or("id", |column| column.key), self.direction);
        if sort != self.spec.sort {
            pairs.push(("s", self.sorting()));
        }
        some_or_none(
            &mut pairs,
            "c",
            self.columns.iter().copied(),
            self.remembered.iter().copied(),
        );
        if let Some(open) = &self.open {
            if open.is_empty() {
                pairs.push(("open", String::new()));
            }
            pairs.extend(open.iter().map(|path| ("open", format!(".{path}"))));
        }
        pairs.extend(self.only.iter().map(|path| ("only", format!(".{path}"))));
        pairs.extend(self.after.iter().map(|cursor| ("after", cursor.written())));
        pairs.extend(
            self.before
                .iter()
                .map(|cursor| ("before", cursor.written())),
        );
        if self.at > 1 {
            pairs.push(("at", self.at.to_string()));
        }
        pairs
    }

    /// This list's address, relative to its page: `?` and the parameters.
    pub fn href(&self) -> String {
        let mut written = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
        for (name, value) in self.pairs() {
            written.append_pair(name, &value);
        }
        written.finish()
    }
}

/// Writes keys under `name`, nothing where they are the default, an empty one for none at all.
fn some_or_none(
    pairs: &mut Vec<(&'static str, String)>,
    name: &'static str,
    keys: impl Iterator<Item = &'static str>,
    defaults: impl Iterator<Item = &'static str>,
) {
    let keys: Vec<_> = keys.collect();
    if keys == defaults.collect::<Vec<_>>() {
        return;
    }
    if keys.is_empty() {
        pairs.push((name, String::new()));
    }
    pairs.extend(keys.into_iter().map(|key| (name, key.to_owned())));
}

fn sorting(given: Option<&str>, spec: &'static ListSpec) -> (Option<&'static Column>, Direction) {
    let asked = given.and_then(|text| {
        let (key, direction) = match text.strip_prefix('-') {
            Some(key) => (key, Direction::Descending),
            None => (text, Direction::Ascending),
        };
        let column = spec.column(key).filter(|column| column.sortable)?;
        Some((Some(column), direction))
    });
    asked.unwrap_or_else(|| (spec.column(spec.sort.0), spec.sort.1))
}

fn word(text: &str) -> String {
    text.trim().chars().take(LONGEST_WORD).collect()
}

fn unique<T>(items: impl Iterator<Item = T>, same: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let mut unique: Vec<T> = Vec::new();
    for item in items {
        if !unique.iter().any(|other| same(other, &item)) {
            unique.push(item);
        }
    }
    unique
}
