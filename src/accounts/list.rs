//! The list of WhatsApp Business Accounts.

use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

pub static LIST: ListSpec = ListSpec {
    noun: "accounts",
    from: "accounts t",
    id: "t.id",
    columns: &[
        Column::new("name", "accounts.name", "t.name", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new(
            "provider",
            "accounts.provider",
            "t.provider",
            Kind::Badge("provider"),
        )
        .cell("m4"),
        Column::new(
            "owner",
            "accounts.owner",
            "(SELECT c.name FROM companies c WHERE c.id = t.company_id)",
            Kind::Text,
        ),
        Column::new("number", "accounts.number", "t.phone_number", Kind::Phone).cell("m3"),
        Column::new(
            "send_through",
            "accounts.send_through",
            "t.send_through",
            Kind::Badge("send_through"),
        ),
        Column::new(
            "delivery",
            "accounts.delivery",
            "t.delivery",
            Kind::Badge("delivery"),
        ),
        Column::new(
            "health",
            "accounts.health",
            "CASE WHEN t.health = 'running' AND t.untested_since IS NOT NULL THEN 'untested' ELSE t.health END",
            Kind::Badge("health"),
        )
        .cell("m2"),
        Column::new(
            "tested",
            "accounts.tested",
            "t.tested_at",
            Kind::Date,
        )
        .sortable_nullable(),
        Column::new(
            "last_event",
            "accounts.last_event",
            "t.last_event_at",
            Kind::Date,
        )
        .sortable_nullable(),
        Column::new(
            "created",
            "accounts.created",
            "t.created_at",
            Kind::Date,
        )
        .sortable()
        .optional(),
    ],
    filters: &[
        Filter::new("running", "state.health.running", "t.health = 'running'", "health"),
        Filter::new("paused", "state.health.paused", "t.health = 'paused'", "health"),
        Filter::new("stopped", "state.health.stopped", "t.health = 'stopped'", "health"),
        Filter::new("untested", "state.health.untested", "t.untested_since IS NOT NULL", "tested"),
        Filter::new("active", "state.active.true", "t.active", "archived").by_default(),
        Filter::new("archived", "form.archived", "NOT t.active", "archived"),
    ],
    groups: &[
        Group::new(
            "owner",
            "accounts.owner",
            "(SELECT c.name FROM companies c WHERE c.id = t.company_id)",
            GroupKind::Text,
        ),
        Group::new("provider", "accounts.provider", "t.provider", GroupKind::Badge("provider")),
        Group::new("health", "accounts.health", "t.health", GroupKind::Badge("health")),
    ],
    text: &["t.name", "coalesce(t.phone_number, '')", "t.session"],
    sort: ("name", Direction::Ascending),
    group: &[],
    always: "",
    keep: &[],
};
