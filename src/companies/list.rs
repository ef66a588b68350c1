//! The list of companies: those that whoever asks administers. It is read over a connection that sees all.

use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

pub static LIST: ListSpec = ListSpec {
    noun: "companies",
    from: "companies t",
    id: "t.id",
    columns: &[
        Column::new("name", "companies.name", "t.name", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new("country", "companies.country", "t.country", Kind::Country).cell("m3"),
        Column::new("time_zone", "companies.time_zone", "t.time_zone", Kind::Text),
        Column::new("state", "form.status", "t.active", Kind::Badge("active")).cell("m2"),
        Column::new(
            "users",
            "menu.users",
            "(SELECT count(*) FROM user_companies p JOIN users u ON u.id = p.user_id WHERE p.company_id = t.id AND u.active)",
            Kind::Number,
        )
        .cell("m4"),
        Column::new("created", "companies.created", "t.created_at", Kind::Date).sortable(),
    ],
    filters: &[
        Filter::new("active", "state.active.true", "t.active", "archived").by_default(),
        Filter::new("archived", "form.archived", "NOT t.active", "archived"),
    ],
    groups: &[Group::new(
        "country",
        "companies.country",
        "t.country",
        GroupKind::Country,
    )],
    text: &["t.name"],
    sort: ("name", Direction::Ascending),
    group: &[],
    always: "EXISTS (SELECT FROM user_companies own WHERE own.company_id = t.id AND own.user_id = {user} AND own.role = 'administrator')",
    keep: &[],
};
