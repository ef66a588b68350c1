//! The list of a company's prices, a country each.

use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

/// A price as it is read: as few decimals as it has, four at least.
macro_rules! price {
    ($column:literal) => {
        concat!(
            "to_char(trunc(t.",
            $column,
            " / 1000000.0, 4), 'FM9990.0000') || rtrim(to_char(t.",
            $column,
            " % 100, 'FM00'), '0')"
        )
    };
}

/// A price as it is sorted.
macro_rules! order {
    ($column:literal) => {
        concat!("to_char(t.", $column, ", 'FM0000000000')")
    };
}

pub static LIST: ListSpec = ListSpec {
    noun: "rates",
    from: "rates t",
    id: "t.id",
    columns: &[
        Column::new("country", "rates.country", "t.country", Kind::Country)
            .sorted_by("t.names")
            .cell("m1"),
        Column::new(
            "marketing",
            "rates.marketing",
            price!("marketing"),
            Kind::Text,
        )
        .sorted_by(order!("marketing"))
        .cell("m2"),
        Column::new("utility", "rates.utility", price!("utility"), Kind::Text)
            .sorted_by(order!("utility"))
            .cell("m3"),
        Column::new(
            "authentication",
            "rates.authentication",
            price!("authentication"),
            Kind::Text,
        )
        .sorted_by(order!("authentication")),
        Column::new("service", "rates.service", price!("service"), Kind::Text)
            .sorted_by(order!("service"))
            .cell("m4"),
        Column::new("updated", "rates.updated", "t.updated_at", Kind::Date).optional(),
    ],
    filters: &[Filter::new(
        "used",
        "rates.used",
        "EXISTS (SELECT FROM charges c WHERE c.company_id = t.company_id AND c.country = t.country)",
        "used",
    )],
    groups: &[Group::new(
        "marketing",
        "rates.marketing",
        price!("marketing"),
        GroupKind::Text,
    )],
    text: &["t.country", "t.names"],
    sort: ("country", Direction::Ascending),
    group: &[],
    always: "t.company_id = current_setting('app.company')::bigint",
    keep: &[],
};
