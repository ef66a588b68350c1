//! The list of imports.

use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

pub static LIST: ListSpec = ListSpec {
    noun: "imports",
    from: "imports t JOIN users u ON u.id = t.user_id",
    id: "t.id",
    columns: &[
        Column::new("file", "imports.file", "t.file_name", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new("user", "imports.user", "u.name", Kind::Person).sortable(),
        Column::new("state", "imports.state", "t.state", Kind::Badge("import")).cell("m2"),
        Column::new("rows", "imports.rows", "t.rows", Kind::Number)
            .sortable()
            .sum()
            .cell("m3"),
        Column::new("created", "imports.created", "t.created", Kind::Number).sum(),
        Column::new("updated", "imports.updated", "t.updated", Kind::Number).sum(),
        Column::new("skipped", "imports.skipped", "t.skipped", Kind::Number).sum(),
        Column::new("rejected", "imports.rejected", "t.rejected", Kind::Number)
            .sortable()
            .sum(),
        Column::new("when", "imports.when", "t.created_at", Kind::Date)
            .sortable()
            .cell("m4"),
        Column::new("finished", "imports.finished", "t.finished_at", Kind::Date)
            .sortable_nullable()
            .optional(),
    ],
    filters: &[
        Filter::new("mine", "imports.mine", "t.user_id = {user}", "mine"),
        Filter::new("draft", "state.import.draft", "t.state = 'draft'", "state"),
        Filter::new(
            "running",
            "state.import.running",
            "t.state IN ('queued', 'running')",
            "state",
        ),
        Filter::new("done", "state.import.done", "t.state = 'done'", "state"),
        Filter::new(
            "failed",
            "state.import.failed",
            "t.state = 'failed'",
            "state",
        ),
        Filter::new(
            "canceled",
            "state.import.canceled",
            "t.state = 'canceled'",
            "state",
        ),
        Filter::new(
            "with_rejected",
            "imports.with_rejected",
            "t.rejected > 0",
            "rejected",
        ),
    ],
    groups: &[
        Group::new(
            "state",
            "imports.state",
            "t.state",
            GroupKind::Badge("import"),
        ),
        Group::new("user", "imports.user", "u.name", GroupKind::Text),
        Group::new("month", "imports.month", "t.created_at", GroupKind::Month),
    ],
    text: &["t.file_name"],
    sort: ("id", Direction::Descending),
    group: &[],
    always: "",
    keep: &[],
};
