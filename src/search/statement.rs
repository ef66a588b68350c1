//! SQL of a list: conditions, values and order, from the static description and text parameters.
//!
//! Invariant: a value of an address enters a statement through [`Statement::bind`] only, as `$n::text`
//! and a cast; everything else is `&'static str` of a description.

use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_query;
use diesel::sql_types::Text;

use super::{Column, Cursor, Direction, Group, GroupKind, Kind, ListQuery, ListSpec};

/// A condition of the page around the list, with `$1` for its number.
pub type Extra = Option<(&'static str, i64)>;

/// Parameters of a statement under construction, and the conditions all statements of a page share.
pub(super) struct Statement<'a> {
    spec: &'a ListSpec,
    query: &'a ListQuery,
    extra: Extra,
    binds: Vec<String>,
}

impl<'a> Statement<'a> {
    pub fn new(spec: &'a ListSpec, query: &'a ListQuery, extra: Extra) -> Self {
        Self {
            spec,
            query,
            extra,
            binds: Vec::new(),
        }
    }

    fn bind(&mut self, value: impl Into<String>) -> String {
        self.binds.push(value.into());
        format!("${}::text", self.binds.len())
    }

    /// The finished statement with its parameters.
    pub fn finish(self, sql: String) -> BoxedSqlQuery<'static, Pg, SqlQuery> {
        self.binds
            .into_iter()
            .fold(sql_query(sql).into_boxed(), |query, value| {
                query.bind::<Text, _>(value)
            })
    }

    /// A description's SQL with `{user}` and `{zone}` as parameters.
    pub fn filled(&mut self, sql: &str) -> String {
        let mut sql = sql.to_owned();
        if sql.contains("{user}") {
            let user = self.bind(self.query.user.to_string());
            sql = sql.replace("{user}", &format!("{user}::bigint"));
        }
        if sql.contains("{zone}") {
            let zone = self.bind(self.query.zone.name());
            sql = sql.replace("{zone}", &zone);
        }
        sql
    }

    pub fn from(&mut self) -> String {
        self.filled(self.spec.from)
    }

    /// What holds whatever filters are chosen: the list's own condition, the page's, the words.
    pub fn base(&mut self) -> Vec<String> {
        let mut conditions = Vec::new();
        if !self.spec.always.is_empty() {
            conditions.push(self.filled(self.spec.always));
        }
        if let Some((sql, value)) = self.extra {
            let value = self.bind(value.to_string());
            conditions.push(self.filled(sql).replace("$1", &format!("{value}::bigint")));
        }
        let query = self.query;
        conditions.extend(query.words.iter().map(|word| self.contains(word)));
        conditions
    }

    /// One word in any of the list's texts; a phone number also without its signs.
    fn contains(&mut self, word: &str) -> String {
        let mut patterns = vec![self.bind(pattern(word))];
        let digits: String = word.chars().filter(char::is_ascii_digit).collect();
        let is_number = digits.len() >= 4
            && word
                .chars()
                .all(|sign| sign.is_ascii_digit() || "+-. ()/".contains(sign));
        if is_number && digits != word {
            patterns.push(self.bind(pattern(&digits)));
        }
        // As people write it at home: numbers are stored with the country's code instead of the zero.
        if let Some(national) = digits.strip_prefix('0').filter(|_| is_number) {
            patterns.push(self.bind(pattern(national)));
        }
        let mut found = Vec::new();
        for text in self.spec.text {
            let text = self.filled(text);
            found.extend(
                patterns
                    .iter()
                    .map(|pattern| format!("({text}) ILIKE {pattern}")),
            );
        }
        if found.is_empty() {
            "false".to_owned()
        } else {
            format!("({})", found.join(" OR "))
        }
    }

    /// All conditions of the list: base, filters, and the one group where only that is shown.
    pub fn conditions(&mut self) -> Vec<String> {
        let mut conditions = self.base();
        for facet in self.query.facets() {
            let any: Vec<String> = facet
                .iter()
                .map(|filter| format!("({})", self.filled(filter.sql)))
                .collect();
            conditions.push(format!("({})", any.join(" OR ")));
        }
        if let Some(path) = &self.query.only {
            let query = self.query;
            for (group, value) in query.groups.iter().zip(ListQuery::values(path)) {
                let value = self.bind(value);
                conditions.push(format!("{} = {value}", self.group_value(group)));
            }
        }
        conditions
    }

    /// A group's value as text; "" where the record has none.
    pub fn group_value(&mut self, group: &Group) -> String {
        let sql = self.filled(group.sql);
        let format = match group.kind {
            GroupKind::Text | GroupKind::Badge(_) | GroupKind::Yes | GroupKind::Country => {
                return format!("coalesce(({sql})::text, '')");
            }
            GroupKind::Year => "YYYY",
            GroupKind::Month => "YYYY-MM",
            GroupKind::Day => "YYYY-MM-DD",
        };
        let zone = self.bind(self.query.zone.name());
        format!("coalesce(to_char(({sql}) AT TIME ZONE {zone}, '{format}'), '')")
    }

    /// Which of several groups a row is in, as a condition.
    pub fn in_groups(&mut self, paths: &[String]) -> String {
        let query = self.query;
        let values: Vec<String> = query
            .groups
            .iter()
            .map(|group| self.group_value(group))
            .collect();
        let mut any = Vec::new();
        for path in paths {
            let mut all = Vec::new();
            for (group, value) in values.iter().zip(ListQuery::values(path)) {
                all.push(format!("{group} = {}", self.bind(value)));
            }
            any.push(format!("({})", all.join(" AND ")));
        }
        format!("({})", any.join(" OR "))
    }

    /// A cell's text.
    pub fn cell(&mut self, column: &Column) -> String {
        let sql = self.filled(column.sql);
        match column.kind {
            Kind::Date => instant(&sql),
            Kind::Tags => format!("array_to_string(({sql}), chr(31))"),
            _ => format!("({sql})::text"),
        }
    }

    pub fn cells(&mut self) -> String {
        let cells: Vec<String> = self
            .spec
            .columns
            .iter()
            .map(|column| self.cell(column))
            .collect();
        format!("ARRAY[{}]::text[]", cells.join(", "))
    }

    /// The sums of the summed columns, NULL in the place of the others.
    pub fn sums(&mut self) -> String {
        let sums: Vec<String> = self
            .spec
            .columns
            .iter()
            .map(|column| match (column.sum, column.kind) {
                (false, _) => "NULL".to_owned(),
                (true, Kind::Meter(_)) => {
                    let sql = self.filled(column.sql);
                    let part = |n| {
                        format!(
                            "coalesce(sum(nullif(split_part(({sql}), '/', {n}), '')::bigint), 0)"
                        )
                    };
                    format!("{} || '/' || {}", part(1), part(2))
                }
                (true, _) => format!("sum({})::text", self.filled(column.sql)),
            })
            .collect();
        format!("ARRAY[{}]::text[]", sums.join(", "))
    }

    /// What rows are sorted by before their id; the id alone for none.
    fn sort_sql(&mut self) -> Option<String> {
        let column = self.query.sort?;
        let sql = if column.order.is_empty() {
            column.sql
        } else {
            column.order
        };
        let sql = self.filled(sql);
        let least = match column.kind {
            Kind::Number => "-1",
            Kind::Date => "'-infinity'",
            Kind::Yes => "false",
            _ => "''",
        };
        Some(if column.nullable {
            format!("coalesce(({sql}), {least})")
        } else {
            format!("({sql})")
        })
    }

    /// The sort value as text, for cursors.
    pub fn sort_value(&mut self) -> String {
        let date = self
            .query
            .sort
            .is_some_and(|column| column.kind == Kind::Date);
        match self.sort_sql() {
            None => "''::text".to_owned(),
            Some(sql) if date => {
                format!(
                    "CASE WHEN {sql} = '-infinity' THEN '-infinity' ELSE {} END",
                    instant(&sql)
                )
            }
            Some(sql) => format!("{sql}::text"),
        }
    }

    /// `ORDER BY` with the id as the last word; `back`: the other way round.
    pub fn order(&mut self, back: bool) -> String {
        let direction = if (self.query.direction == Direction::Ascending) == back {
            "DESC"
        } else {
            "ASC"
        };
        let id = self.spec.id;
        match self.sort_sql() {
            Some(sql) => format!("{sql} {direction}, {id} {direction}"),
            None => format!("{id} {direction}"),
        }
    }

    /// Rows beyond a cursor; `back`: before it.
    pub fn beyond(&mut self, cursor: &Cursor, back: bool) -> String {
        let sign = if (self.query.direction == Direction::Ascending) == back {
            "<"
        } else {
            ">"
        };
        let number = self.bind(cursor.id.to_string());
        let id = self.spec.id;
        let Some(sql) = self.sort_sql() else {
            return format!("{id} {sign} {number}::bigint");
        };
        let value = self.bind(cursor.value.clone());
        let kind = match self.query.sort.map(|column| column.kind) {
            Some(Kind::Number) => "::bigint",
            Some(Kind::Date) => "::timestamptz",
            Some(Kind::Yes) => "::boolean",
            _ => "",
        };
        format!("({sql}, {id}) {sign} ({value}{kind}, {number}::bigint)")
    }
}

/// `WHERE` and all conditions, or nothing.
pub(super) fn all(conditions: &[String]) -> String {
    if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {}", conditions.join(" AND "))
    }
}

/// A timestamptz as RFC 3339 in UTC, exact to the microsecond.
fn instant(sql: &str) -> String {
    format!("to_char(({sql}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
}

/// `word` anywhere, with LIKE's own signs taken literally.
fn pattern(word: &str) -> String {
    let literal = word
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    format!("%{literal}%")
}
