//! Addresses of lists: what they mean and what stands next to them.

use super::*;

static SPEC: ListSpec = ListSpec {
    noun: "contacts",
    from: "contacts t",
    id: "t.id",
    columns: &[
        Column::new("name", "contacts.name", "t.name", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new("country", "contacts.country", "t.country", Kind::Text).sortable_nullable(),
        Column::new("created", "contacts.created", "t.created_at", Kind::Date)
            .sortable()
            .optional(),
        Column::new("sent", "contacts.sent", "t.sent", Kind::Number).sum(),
    ],
    filters: &[
        Filter::new("active", "f.active", "t.active", "active").by_default(),
        Filter::new("archived", "f.archived", "NOT t.active", "active"),
        Filter::new("new", "f.new", "t.is_new", "new"),
    ],
    groups: &[
        Group::new("country", "contacts.country", "t.country", GroupKind::Text),
        Group::new("month", "contacts.month", "t.created_at", GroupKind::Month),
        Group::new("active", "contacts.active", "t.active", GroupKind::Yes),
    ],
    text: &["t.name", "t.email"],
    sort: ("name", Direction::Ascending),
    group: &[],
    always: "t.erased_at IS NULL",
    keep: &["tab"],
};

fn parse(query: &str) -> ListQuery {
    ListQuery::parse(query, &SPEC)
}

fn keys(query: &ListQuery) -> Vec<&'static str> {
    query.filters.iter().map(|filter| filter.key).collect()
}

#[test]
fn search_an_empty_address_asks_for_what_the_list_describes() {
    let query = parse("");
    assert_eq!(keys(&query), ["active"]);
    assert_eq!(query.sort.map(|column| column.key), Some("name"));
    assert_eq!(query.href(), "?");
}

#[test]
fn search_unknown_names_are_ignored() {
    let query = parse("f=evil&g=1;drop&s=-sent&s2=x&c=name&after=x.y&foo=bar");
    assert!(query.filters.is_empty() && query.groups.is_empty());
    assert_eq!(
        query.sort.map(|column| column.key),
        Some("name"),
        "a column that is not sortable"
    );
    assert!(query.columns.is_empty(), "a column that is not optional");
    assert_eq!(query.href(), "?f=");
}

#[test]
fn search_turning_off_the_default_is_remembered() {
    let none = parse("").toggle_filter("active");
    assert_eq!(none, "?f=");
    assert!(parse("f=").filters.is_empty());
    assert_eq!(parse("f=").toggle_filter("active"), "?");
}

#[test]
fn search_filters_of_a_facet_stand_together() {
    let query = parse("f=new&f=archived&f=active&f=active");
    let facets: Vec<Vec<_>> = query
        .facets()
        .iter()
        .map(|facet| facet.iter().map(|filter| filter.key).collect())
        .collect();
    assert_eq!(facets, [vec!["active", "archived"], vec!["new"]]);
    assert_eq!(query.without_facet("active"), "?f=new");
}

#[test]
fn search_words_and_kept_parameters_survive_every_link() {
    let query = parse("tab=members&q=siti+r&q=+&q=%00x&other=1");
    assert_eq!(query.words, ["siti r", "x"]);
    assert_eq!(
        query.toggle_filter("new"),
        "?tab=members&q=siti+r&q=x&f=active&f=new"
    );
    assert_eq!(query.without_word("x"), "?tab=members&q=siti+r");
    assert_eq!(query.cleared(), "?tab=members&f=");
}

#[test]
fn search_a_third_group_replaces_the_second() {
    let query = parse("g=country&g=month");
    assert_eq!(query.toggle_group("active"), "?g=country&g=active");
    assert_eq!(query.toggle_group("country"), "?g=month");
    assert_eq!(query.without_groups(), "?");
}

#[test]
fn search_the_column_one_groups_by_disappears() {
    let shown = |query: &ListQuery| {
        query
            .shown()
            .into_iter()
            .map(|(_, column)| column.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&parse("g=country")), ["name", "sent"]);
    assert_eq!(
        shown(&parse("g=country&only=.Indonesia&c=created")),
        ["name", "country", "created", "sent"]
    );
}

#[test]
fn search_sorting_again_turns_round_and_goes_back_to_the_first_page() {
    let query = parse("s=country&after=7.Indonesia&at=81");
    assert_eq!(query.at, 81);
    assert_eq!(query.sort_by("country"), "?s=-country");
    assert_eq!(parse("s=-country").sort_by("country"), "?s=country");
    assert_eq!(query.sort_by("name"), "?");
}

#[test]
fn search_a_cursor_that_does_not_fit_the_column_is_dropped() {
    assert!(parse("s=created&after=7.yesterday").after.is_none());
    assert!(
        parse("s=created&after=7.2026-11-23T02:41:07.000000Z")
            .after
            .is_some()
    );
    assert!(parse("s=created&after=7.-infinity").after.is_some());
    assert_eq!(parse("at=81").at, 1, "a position without a page");
}

#[test]
fn search_groups_open_and_close_by_their_path() {
    let query = parse("g=country&g=month");
    let path = ListQuery::path(Some("Indonesia"), "2026-11");
    assert_eq!(ListQuery::values(&path), ["Indonesia", "2026-11"]);
    let opened = query.toggle_open(&path, &["Indonesia".to_owned()]);
    assert_eq!(
        opened,
        "?g=country&g=month&open=.Indonesia&open=.Indonesia%1F2026-11"
    );
    let again = parse(opened.trim_start_matches('?'));
    assert_eq!(
        again.open.as_deref(),
        Some(["Indonesia".to_owned(), path.clone()].as_slice())
    );
    assert_eq!(
        again.toggle_open("Indonesia", &["Indonesia".to_owned()]),
        "?g=country&g=month&open="
    );
    assert_eq!(
        parse("g=country&open=").open.as_deref(),
        Some([].as_slice())
    );
}

#[test]
fn search_select_all_carries_the_question_and_not_the_page() {
    let query = parse("q=a%26b&f=new&after=7.x&at=81");
    let again = parse(&query.selection());
    assert_eq!(
        (again.words, keys(&query)),
        (vec!["a&b".to_owned()], vec!["new"])
    );
    assert!(again.after.is_none());
}
