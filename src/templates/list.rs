//! The list of templates. Row-level security shows those of the accounts a company may use.

use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

pub static LIST: ListSpec = ListSpec {
    noun: "templates",
    from: "templates t JOIN accounts a ON a.id = t.account_id",
    id: "t.id",
    columns: &[
        Column::new("name", "templates.name", "t.name", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new("language", "templates.language", "t.language", Kind::Text)
            .sortable()
            .cell("m4"),
        Column::new(
            "category",
            "templates.category",
            "t.category",
            Kind::Badge("template_category"),
        ),
        Column::new(
            "text",
            "templates.body",
            "left(t.shape ->> 'body', 200)",
            Kind::Text,
        )
        .cell("m3"),
        Column::new("status", "form.status", "t.status", Kind::Badge("template")).cell("m2"),
        Column::new(
            "quality",
            "templates.quality",
            "t.quality",
            Kind::Badge("quality"),
        ),
        Column::new("account", "templates.account", "a.name", Kind::Text),
        Column::new(
            "header_type",
            "templates.header_type",
            "t.shape ->> 'header_type'",
            Kind::Text,
        )
        .optional(),
        Column::new("updated", "templates.updated", "t.updated_at", Kind::Date).sortable(),
        Column::new("created", "templates.created", "t.created_at", Kind::Date)
            .sortable()
            .optional(),
    ],
    filters: &[
        Filter::new(
            "approved",
            "state.template.approved",
            "t.status = 'approved'",
            "status",
        ),
        Filter::new(
            "pending",
            "state.template.pending",
            "t.status IN ('pending', 'in_appeal')",
            "status",
        ),
        Filter::new(
            "draft",
            "state.template.draft",
            "t.status = 'draft'",
            "status",
        ),
        Filter::new(
            "attention",
            "templates.attention",
            "t.status IN ('rejected', 'paused', 'disabled', 'flagged', 'limit_exceeded', 'locked')",
            "status",
        ),
        Filter::new(
            "listed",
            "templates.listed",
            "t.status <> 'deleted'",
            "gone",
        )
        .by_default(),
        Filter::new(
            "deleted",
            "state.template.deleted",
            "t.status = 'deleted'",
            "gone",
        ),
    ],
    groups: &[
        Group::new(
            "status",
            "form.status",
            "t.status",
            GroupKind::Badge("template"),
        ),
        Group::new("account", "templates.account", "a.name", GroupKind::Text),
        Group::new(
            "category",
            "templates.category",
            "t.category",
            GroupKind::Badge("template_category"),
        ),
    ],
    text: &["t.name", "coalesce(t.shape ->> 'body', '')", "a.name"],
    sort: ("id", Direction::Descending),
    group: &[],
    always: "",
    keep: &[],
};
