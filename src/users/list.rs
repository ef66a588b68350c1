//! The list of users: those who work in the company that asks.
//!
//! Row-level security keeps `user_companies` to it.

use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

/// Where a person stands: the words of the vocabulary `person`.
const STATE: &str = "CASE WHEN NOT t.active THEN 'inactive' WHEN t.password_hash IS NOT NULL THEN 'active' \
     WHEN NOT EXISTS (SELECT FROM user_links k WHERE k.user_id = t.id AND k.expires_at > wablast_now()) THEN 'no_link' \
     WHEN t.joined_at IS NULL THEN 'invited' ELSE 'reset' END";

pub static LIST: ListSpec = ListSpec {
    noun: "users",
    from: "users t JOIN user_companies uc ON uc.user_id = t.id",
    id: "t.id",
    columns: &[
        Column::new("name", "users.name", "t.name", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new("email", "users.email", "t.email", Kind::Text)
            .sortable()
            .cell("m3"),
        Column::new("role", "users.role", "uc.role", Kind::Badge("role")).cell("m4"),
        Column::new("state", "form.status", STATE, Kind::Badge("person")).cell("m2"),
        Column::new(
            "seen",
            "users.seen",
            "(SELECT max(s.last_used_at) FROM sessions s WHERE s.user_id = t.id)",
            Kind::Date,
        ),
        Column::new("created", "users.created", "t.created_at", Kind::Date).sortable(),
    ],
    filters: &[
        Filter::new("active", "state.person.active", "t.active", "archived").by_default(),
        Filter::new(
            "inactive",
            "state.person.inactive",
            "NOT t.active",
            "archived",
        ),
        Filter::new(
            "invited",
            "state.person.invited",
            "t.password_hash IS NULL AND t.joined_at IS NULL",
            "joined",
        ),
        Filter::new("user", "role.user", "uc.role = 'user'", "role"),
        Filter::new("manager", "role.manager", "uc.role = 'manager'", "role"),
        Filter::new(
            "administrator",
            "role.administrator",
            "uc.role = 'administrator'",
            "role",
        ),
    ],
    groups: &[Group::new(
        "role",
        "users.role",
        "uc.role",
        GroupKind::Badge("role"),
    )],
    text: &["t.name", "t.email"],
    sort: ("name", Direction::Ascending),
    group: &[],
    always: "uc.company_id = current_setting('app.company')::bigint",
    keep: &[],
};
