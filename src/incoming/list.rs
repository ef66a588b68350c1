//! The list of incoming messages.

use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

const FROM_WHOM: &str = "coalesce(nullif(c.name, ''), nullif(t.sender_name, ''), t.sender)";
/// A word of the vocabulary `unread`; somebody who said stop is never only read.
const STATE: &str = "CASE WHEN t.opted_out AND t.opt_out_undone_at IS NULL THEN 'stop' WHEN t.read_at IS NULL THEN 'new' ELSE 'read' END";

/// Messages by month and day, the newest first.
pub static LIST: ListSpec = ListSpec {
    noun: "incoming",
    from: "incoming t LEFT JOIN contacts c ON c.id = t.contact_id LEFT JOIN accounts a ON a.id = t.account_id
      LEFT JOIN mailings m ON m.id = t.mailing_id",
    id: "t.id",
    columns: &[
        Column::new("received", "incoming.received_at", "t.received_at", Kind::Date).cell("m4"),
        Column::new("from", "incoming.from", FROM_WHOM, Kind::Strong).cell("m1"),
        Column::new("sender", "incoming.sender", "t.sender", Kind::Phone),
        Column::new("account", "incoming.account", "a.name", Kind::Text),
        Column::new(
            "message",
            "incoming.message",
            "CASE WHEN t.message = '' THEN coalesce(t.mime, '') ELSE left(t.message, 300) END",
            Kind::Text,
        )
        .cell("m3"),
        Column::new("mailing", "incoming.mailing", "m.subject", Kind::Text),
        Column::new("state", "form.status", STATE, Kind::Badge("unread")).cell("m2"),
        Column::new("receiver", "incoming.receiver", "t.receiver", Kind::Phone).optional(),
        Column::new("mime", "incoming.mime", "t.mime", Kind::Text).optional(),
        Column::new("quoted", "incoming.quoted", "t.quoted_provider_id", Kind::Text).optional(),
    ],
    filters: &[
        Filter::new("unread", "state.unread.new", "t.read_at IS NULL", "state"),
        Filter::new("read", "state.unread.read", "t.read_at IS NOT NULL", "state"),
        Filter::new("stop", "incoming.said_stop", "t.opted_out", "stop"),
        Filter::new("replies", "incoming.replies", "t.mailing_id IS NOT NULL", "kind"),
        Filter::new("media", "incoming.with_media", "t.mime IS NOT NULL", "kind"),
        Filter::new("unknown", "incoming.unknown", "t.contact_id IS NULL", "kind"),
        Filter::new("today", "incoming.today", "t.received_at >= date_trunc('day', wablast_now(), {zone})", "date"),
        Filter::new("week", "incoming.week", "t.received_at >= wablast_now() - interval '7 days'", "date"),
    ],
    groups: &[
        Group::new("month", "incoming.month", "t.received_at", GroupKind::Month),
        Group::new("day", "incoming.day", "t.received_at", GroupKind::Day),
        Group::new("from", "incoming.from", FROM_WHOM, GroupKind::Text),
        Group::new("account", "incoming.account", "a.name", GroupKind::Text),
        Group::new("state", "form.status", STATE, GroupKind::Badge("unread")),
        Group::new("mailing", "incoming.mailing", "m.subject", GroupKind::Text),
    ],
    text: &["coalesce(c.name, '')", "t.sender_name", "t.sender", "t.message"],
    sort: ("id", Direction::Descending),
    group: &["month", "day"],
    always: "t.company_id = current_setting('app.company')::bigint",
    keep: &["tab"],
};
