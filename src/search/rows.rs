//! The rows, groups, totals and counts that a list query asks for.
//!
//! Invariants: a page costs a bounded number of statements whatever is asked; counting stops at
//! [`COUNT_LIMIT`]; a keyset, not an offset, finds the next page, so that page 1,000 costs what page 1
//! does and nothing is shown twice while rows come in.

use diesel::QueryResult;
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::statement::{Extra, Statement, all};
use super::{COUNT_LIMIT, Cursor, GROUP_SIZE, ListQuery, ListSpec, PAGE_SIZE};

/// Groups of one level; more than a screen holds is a search, not a grouping.
const MOST_GROUPS: i64 = 200;

/// One record: its cells in the order of the description's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: i64,
    pub cells: Vec<Option<String>>,
}

/// How many records there are, counted up to [`COUNT_LIMIT`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    pub count: i64,
    /// There are more than `count`.
    pub more: bool,
}

/// A group's title, sums, and its rows or inner groups while it is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupRows {
    /// "" where the records have none; dates as YYYY, YYYY-MM, YYYY-MM-DD.
    pub value: String,
    pub path: String,
    pub count: i64,
    /// By column; none where nothing is summed.
    pub sums: Vec<Option<String>>,
    pub open: bool,
    pub groups: Vec<GroupRows>,
    /// At most [`GROUP_SIZE`].
    pub rows: Vec<Row>,
}

/// What a list page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Of a list without groups.
    pub rows: Vec<Row>,
    pub groups: Vec<GroupRows>,
    pub total: Total,
    /// Which rows of the whole are shown, from 1; 0 when none are.
    pub from: i64,
    pub to: i64,
    /// Addresses of the neighbours.
    pub previous: Option<String>,
    pub next: Option<String>,
    /// How many records each filter of the description finds among the words; none in a large list.
    pub counts: Option<Vec<i64>>,
    /// By column, of all records found; empty where nothing is summed or the list is large.
    pub sums: Vec<Option<String>>,
    /// The paths of the groups that are open.
    pub open: Vec<String>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Array<Nullable<Text>>)]
    cells: Vec<Option<String>>,
    #[diesel(sql_type = Text)]
    sort_value: String,
    #[diesel(sql_type = Array<Text>)]
    groups: Vec<String>,
}

impl Found {
    fn cursor(&self) -> Cursor {
        Cursor {
            id: self.id,
            value: self.sort_value.clone(),
        }
    }

    fn into_row(self) -> Row {
        Row {
            id: self.id,
            cells: self.cells,
        }
    }
}

#[derive(QueryableByName)]
struct Grouped {
    #[diesel(sql_type = Array<Text>)]
    groups: Vec<String>,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Array<Nullable<Text>>)]
    sums: Vec<Option<String>>,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Array<BigInt>)]
    counts: Vec<i64>,
}

#[derive(QueryableByName)]
struct Summed {
    #[diesel(sql_type = Array<Nullable<Text>>)]
    sums: Vec<Option<String>>,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// The page an address asks for. `extra`: a condition of the page around it, with `$1` for the number,
/// such as `("t.mailing_id = $1", 7)`.
pub async fn page(
    conn: &mut AsyncPgConnection,
    spec: &'static ListSpec,
    query: &ListQuery,
    extra: Extra,
) -> QueryResult<ListPage> {
    let total = total(conn, spec, query, extra).await?;
    let mut page = ListPage {
        total,
        ..ListPage::default()
    };
    page.counts = counts(conn, spec, query, extra).await?;
    if !total.more && spec.columns.iter().any(|column| column.sum) {
        page.sums = sums(conn, spec, query, extra).await?;
    }
    if query.is_grouped() {
        group(conn, spec, query, extra, &mut page).await?;
    } else {
        fill(conn, spec, query, extra, &mut page).await?;
    }
    Ok(page)
}

/// The ids of everything the address finds, whatever page it shows: for "select all". At most `limit`.
pub async fn ids(
    conn: &mut AsyncPgConnection,
    spec: &'static ListSpec,
    query: &ListQuery,
    extra: Extra,
    limit: i64,
) -> QueryResult<Vec<i64>> {
    let mut statement = Statement::new(spec, query, extra);
    let (from, conditions) = (statement.from(), all(&statement.conditions()));
    let id = spec.id;
    let sql = format!("SELECT {id} AS id FROM {from} {conditions} ORDER BY {id} LIMIT {limit}");
    let found: Vec<Id> = statement.finish(sql).load(conn).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

/// The next rows of everything the address finds, in its order and without groups, after
/// [`ListQuery::after`]; and where the rest begins, if there is one.
pub async fn some(
    conn: &mut AsyncPgConnection,
    query: &ListQuery,
    limit: i64,
) -> QueryResult<(Vec<Row>, Option<Cursor>)> {
    let spec = query.spec();
    let mut statement = Statement::new(spec, query, None);
    let (from, mut conditions) = (statement.from(), statement.conditions());
    if let Some(cursor) = &query.after {
        conditions.push(statement.beyond(cursor, false));
    }
    let (cells, value, order) = (
        statement.cells(),
        statement.sort_value(),
        statement.order(false),
    );
    let (id, conditions) = (spec.id, all(&conditions));
    let sql = format!(
        "SELECT {id} AS id, {cells} AS cells, {value} AS sort_value, ARRAY[]::text[] AS groups
         FROM {from} {conditions} ORDER BY {order} LIMIT {limit}"
    );
    let found: Vec<Found> = statement.finish(sql).load(conn).await?;
    let is_full = i64::try_from(found.len()).is_ok_and(|count| count == limit);
    let rest = found.last().map(Found::cursor).filter(|_| is_full);
    Ok((found.into_iter().map(Found::into_row).collect(), rest))
}

/// Writes the ids of everything the address finds somewhere, in their order: `into` begins the statement
/// and ends with what is selected of `id`. How many there were.
pub async fn freeze(
    conn: &mut AsyncPgConnection,
    spec: &'static ListSpec,
    query: &ListQuery,
    extra: Extra,
    into: &str,
    limit: i64,
) -> QueryResult<i64> {
    let mut statement = Statement::new(spec, query, extra);
    let (from, conditions) = (statement.from(), all(&statement.conditions()));
    let id = spec.id;
    let sql = format!(
        "{into} FROM (SELECT {id} AS id FROM {from} {conditions} ORDER BY {id} LIMIT {limit}) AS found"
    );
    let written = statement.finish(sql).execute(conn).await?;
    Ok(i64::try_from(written).unwrap_or(i64::MAX))
}

async fn total(
    conn: &mut AsyncPgConnection,
    spec: &ListSpec,
    query: &ListQuery,
    extra: Extra,
) -> QueryResult<Total> {
    let mut statement = Statement::new(spec, query, extra);
    let (from, conditions) = (statement.from(), all(&statement.conditions()));
    let limit = COUNT_LIMIT + 1;
    let sql = format!(
        "SELECT count(*) AS count, ARRAY[]::bigint[] AS counts FROM (SELECT FROM {from} {conditions} LIMIT {limit}) AS found"
    );
    let found: Counted = statement.finish(sql).get_result(conn).await?;
    Ok(Total {
        count: found.count.min(COUNT_LIMIT),
        more: found.count > COUNT_LIMIT,
    })
}

/// How many records each filter finds by itself; none where the list is too large to count quickly.
async fn counts(
    conn: &mut AsyncPgConnection,
    spec: &ListSpec,
    query: &ListQuery,
    extra: Extra,
) -> QueryResult<Option<Vec<i64>>> {
    let mut statement = Statement::new(spec, query, extra);
    let (from, conditions) = (statement.from(), all(&statement.base()));
    let mut tested = vec!["1 AS one".to_owned()];
    let mut counted = Vec::new();
    for (at, filter) in spec.filters.iter().enumerate() {
        tested.push(format!("({}) AS f{at}", statement.filled(filter.sql)));
        counted.push(format!("count(*) FILTER (WHERE f{at})"));
    }
    let limit = COUNT_LIMIT + 1;
    let sql = format!(
        "SELECT count(*) AS count, ARRAY[{}]::bigint[] AS counts FROM (SELECT {} FROM {from} {conditions} LIMIT {limit}) AS found",
        counted.join(", "),
        tested.join(", "),
    );
    let found: Counted = statement.finish(sql).get_result(conn).await?;
    Ok((found.count <= COUNT_LIMIT).then_some(found.counts))
}

async fn sums(
    conn: &mut AsyncPgConnection,
    spec: &ListSpec,
    query: &ListQuery,
    extra: Extra,
) -> QueryResult<Vec<Option<String>>> {
    let mut statement = Statement::new(spec, query, extra);
    let (from, conditions, sums) = (
        statement.from(),
        all(&statement.conditions()),
        statement.sums(),
    );
    let sql = format!("SELECT {sums} AS sums FROM {from} {conditions}");
    let found: Summed = statement.finish(sql).get_result(conn).await?;
    Ok(found.sums)
}

/// One page of rows without groups.
async fn fill(
    conn: &mut AsyncPgConnection,
    spec: &ListSpec,
    query: &ListQuery,
    extra: Extra,
    page: &mut ListPage,
) -> QueryResult<()> {
    let mut statement = Statement::new(spec, query, extra);
    let back = query.before.is_some();
    let (from, mut conditions) = (statement.from(), statement.conditions());
    if let Some(cursor) = query.after.as_ref().or(query.before.as_ref()) {
        conditions.push(statement.beyond(cursor, back));
    }
    let (cells, value, order) = (
        statement.cells(),
        statement.sort_value(),
        statement.order(back),
    );
    let id = spec.id;
    let conditions = all(&conditions);
    let limit = PAGE_SIZE + 1;
    let sql = format!(
        "SELECT {id} AS id, {cells} AS cells, {value} AS sort_value, ARRAY[]::text[] AS groups
         FROM {from} {conditions} ORDER BY {order} LIMIT {limit}"
    );
    let mut found: Vec<Found> = statement.finish(sql).load(conn).await?;
    let further = found.len() as i64 > PAGE_SIZE;
    found.truncate(PAGE_SIZE as usize);
    if back {
        found.reverse();
    }
    let (earlier, later) = if back {
        (further, true)
    } else {
        (query.after.is_some(), further)
    };
    let at = if earlier { query.at } else { 1 };
    let count = found.len() as i64;
    if let (Some(first), Some(last)) = (found.as_slice().first(), found.as_slice().last()) {
        page.from = at;
        page.to = at + count - 1;
        page.previous = earlier.then(|| query.previous_page(first.cursor(), at - PAGE_SIZE));
        page.next = later.then(|| query.next_page(last.cursor(), at + count));
    }
    page.rows = found.into_iter().map(Found::into_row).collect();
    Ok(())
}

/// The groups of one level: of all records, or of those in the open groups above.
async fn level(
    conn: &mut AsyncPgConnection,
    spec: &ListSpec,
    query: &ListQuery,
    extra: Extra,
    depth: usize,
    parents: &[String],
) -> QueryResult<Vec<Grouped>> {
    let mut statement = Statement::new(spec, query, extra);
    let (from, mut conditions) = (statement.from(), statement.conditions());
    if depth > 1 {
        conditions.push(statement.in_groups(parents));
    }
    let groups = &query.groups[..depth];
    let values: Vec<String> = groups
        .iter()
        .map(|group| statement.group_value(group))
        .collect();
    let names: Vec<String> = (0..depth).map(|at| format!("g{at}")).collect();
    let sums = statement.sums();
    let place = match groups.last() {
        Some(group) if !group.order.is_empty() => format!("min({})", statement.filled(group.order)),
        _ => "NULL::int".to_owned(),
    };
    let newest_first = groups.last().is_some_and(|group| group.kind.is_date());
    let selected: Vec<String> = values
        .iter()
        .zip(&names)
        .map(|(value, name)| format!("{value} AS {name}"))
        .collect();
    let (selected, by) = (selected.join(", "), names.join(", "));
    let last = names.last().map_or("", String::as_str);
    let direction = if newest_first { "DESC" } else { "ASC" };
    let conditions = all(&conditions);
    let sql = format!(
        "SELECT ARRAY[{by}]::text[] AS groups, count, sums FROM (
           SELECT {selected}, count(*) AS count, {sums} AS sums, {place} AS place
           FROM {from} {conditions} GROUP BY {by}
         ) AS found ORDER BY place, {last} = '', {last} {direction} LIMIT {MOST_GROUPS}"
    );
    statement.finish(sql).load(conn).await
}

/// Groups, the inner groups of open ones, and the rows of the innermost open ones.
async fn group(
    conn: &mut AsyncPgConnection,
    spec: &ListSpec,
    query: &ListQuery,
    extra: Extra,
    page: &mut ListPage,
) -> QueryResult<()> {
    let mut left = GROUP_SIZE;
    let outer = level(conn, spec, query, extra, 1, &[]).await?;
    page.groups = outer
        .into_iter()
        .map(|found| opened(found, None, query, &mut left))
        .collect();
    if query.groups.len() > 1 {
        let parents: Vec<String> = page
            .groups
            .iter()
            .filter(|group| group.open)
            .map(|group| group.path.clone())
            .collect();
        if !parents.is_empty() {
            let mut left = GROUP_SIZE;
            for found in level(conn, spec, query, extra, 2, &parents).await? {
                let parent = found.groups.as_slice().first().cloned().unwrap_or_default();
                if let Some(outer) = page.groups.iter_mut().find(|group| group.value == parent) {
                    let inner = opened(found, Some(&outer.path), query, &mut left);
                    outer.groups.push(inner);
                }
            }
        }
    }
    let outer_open = page.groups.iter().filter(|group| group.open);
    page.open = outer_open
        .flat_map(|group| {
            std::iter::once(group).chain(group.groups.iter().filter(|inner| inner.open))
        })
        .map(|group| group.path.clone())
        .collect();
    rows_of_groups(conn, spec, query, extra, page).await?;
    page.from = i64::from(page.total.count > 0);
    page.to = page.total.count;
    Ok(())
}

/// A group as it stands: open when the address says so, or, where it says nothing, while there is room
/// for its rows.
fn opened(found: Grouped, parent: Option<&str>, query: &ListQuery, left: &mut i64) -> GroupRows {
    let value = found.groups.last().cloned().unwrap_or_default();
    let path = ListQuery::path(parent, &value);
    let open = match &query.open {
        Some(open) => open.contains(&path),
        None => *left > 0,
    };
    *left -= found.count;
    GroupRows {
        value,
        path,
        count: found.count,
        sums: found.sums,
        open,
        ..GroupRows::default()
    }
}

/// The first rows of every innermost open group, in one statement.
async fn rows_of_groups(
    conn: &mut AsyncPgConnection,
    spec: &ListSpec,
    query: &ListQuery,
    extra: Extra,
    page: &mut ListPage,
) -> QueryResult<()> {
    let depth = query.groups.len();
    let leaves: Vec<String> = page
        .open
        .iter()
        .filter(|path| ListQuery::values(path).len() == depth)
        .cloned()
        .collect();
    if leaves.is_empty() {
        return Ok(());
    }
    let mut statement = Statement::new(spec, query, extra);
    let (from, mut conditions) = (statement.from(), statement.conditions());
    conditions.push(statement.in_groups(&leaves));
    let values: Vec<String> = query
        .groups
        .iter()
        .map(|group| statement.group_value(group))
        .collect();
    let (cells, order) = (statement.cells(), statement.order(false));
    let (id, values, conditions) = (spec.id, values.join(", "), all(&conditions));
    let sql = format!(
        "SELECT id, cells, '' AS sort_value, groups FROM (
           SELECT {id} AS id, {cells} AS cells, ARRAY[{values}]::text[] AS groups,
                  row_number() OVER (PARTITION BY {values} ORDER BY {order}) AS place
           FROM {from} {conditions}
         ) AS found WHERE place <= {GROUP_SIZE} ORDER BY place"
    );
    for found in statement.finish(sql).load::<Found>(conn).await? {
        let mut groups = &mut page.groups;
        let mut values = found.groups.clone().into_iter().peekable();
        while let Some(value) = values.next() {
            let Some(group) = groups.iter_mut().find(|group| group.value == value) else {
                break;
            };
            if values.peek().is_none() {
                group.rows.push(Row {
                    id: found.id,
                    cells: found.cells.clone(),
                });
                break;
            }
            groups = &mut group.groups;
        }
    }
    Ok(())
}
