//! The list of mailing lists, and the members of one.
//!
//! Row-level security keeps to one company.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::contacts::list::{FULL_NAME, RECEIVED, SENT, TAGS};
use crate::ids::{ContactId, ListId, MailingId};
use crate::schema::{list_members, lists, mailing_lists, mailings};
use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

/// Mailing lists, the newest first.
pub static LIST: ListSpec = ListSpec {
    noun: "lists",
    from: "lists t",
    id: "t.id",
    columns: &[
        Column::new("name", "lists.name", "t.name", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new(
            "description",
            "lists.description",
            "t.description",
            Kind::Text,
        )
        .cell("m3"),
        Column::new("state", "form.status", "t.active", Kind::Badge("active")).cell("m2"),
        Column::new(
            "members",
            "lists.members",
            "(SELECT count(*) FROM list_members lm WHERE lm.list_id = t.id)",
            Kind::Number,
        )
        .cell("m4"),
        Column::new(
            "optout",
            "lists.opted_out",
            "(SELECT count(*) FROM list_members lm WHERE lm.list_id = t.id AND (lm.opt_out OR EXISTS (SELECT FROM contacts c WHERE c.id = lm.contact_id AND c.opt_out)))",
            Kind::Number,
        ),
        Column::new(
            "mailings",
            "lists.mailings",
            "(SELECT count(*) FROM mailing_lists ml WHERE ml.list_id = t.id AND NOT ml.excluded)",
            Kind::Number,
        ),
        Column::new("created", "lists.created", "t.created_at", Kind::Date).sortable(),
        Column::new("updated", "lists.updated", "t.updated_at", Kind::Date).sortable(),
    ],
    filters: &[
        Filter::new("active", "state.active.true", "t.active", "archived").by_default(),
        Filter::new("archived", "form.archived", "NOT t.active", "archived"),
    ],
    groups: &[
        Group::new(
            "state",
            "form.status",
            "t.active",
            GroupKind::Badge("active"),
        ),
        Group::new("month", "lists.month", "t.created_at", GroupKind::Month),
    ],
    text: &["t.name", "t.description"],
    sort: ("id", Direction::Descending),
    group: &[],
    always: "",
    keep: &[],
};

/// The people of one list: loaded with `("lm.list_id = $1", list)`.
pub static MEMBERS: ListSpec = ListSpec {
    noun: "members",
    from: "list_members lm JOIN contacts t ON t.id = lm.contact_id",
    id: "t.id",
    columns: &[
        Column::new("name", "contacts.full_name", FULL_NAME, Kind::Strong)
            .sorted_by("t.name")
            .cell("m1"),
        Column::new(
            "number",
            "contacts.number",
            "t.whatsapp_number",
            Kind::Phone,
        )
        .cell("m3"),
        Column::new(
            "position",
            "contacts.job_position",
            "t.job_position",
            Kind::Text,
        )
        .optional(),
        Column::new("company", "contacts.company", "t.company_name", Kind::Text)
            .sortable()
            .optional(),
        Column::new("tags", "contacts.tags", TAGS, Kind::Tags),
        Column::new("sent", "contacts.sent", SENT, Kind::Number),
        Column::new("received", "contacts.received", RECEIVED, Kind::Number).optional(),
        Column::new("added", "lists.added", "lm.added_at", Kind::Date).cell("m4"),
        Column::new(
            "optout",
            "contacts.opt_out",
            "(t.opt_out OR lm.opt_out)",
            Kind::Badge("optout"),
        )
        .cell("m2"),
    ],
    filters: &[
        Filter::new(
            "optout",
            "state.optout.true",
            "(t.opt_out OR lm.opt_out)",
            "optout",
        ),
        Filter::new("archived", "form.archived", "NOT t.active", "archived"),
    ],
    groups: &[],
    text: &["t.name", "t.whatsapp_number", "t.email", "t.company_name"],
    sort: ("id", Direction::Descending),
    group: &[],
    always: "t.erased_at IS NULL",
    keep: &[],
};

/// Active lists by name.
pub async fn names(conn: &mut AsyncPgConnection) -> QueryResult<Vec<(ListId, String)>> {
    lists::table
        .filter(lists::active)
        .order((lists::name, lists::id))
        .select((lists::id, lists::name))
        .load(conn)
        .await
}

/// Which of these people are in the list.
pub async fn among(
    conn: &mut AsyncPgConnection,
    list: ListId,
    people: &[ContactId],
) -> QueryResult<Vec<ContactId>> {
    list_members::table
        .filter(list_members::list_id.eq(list))
        .filter(list_members::contact_id.eq_any(people))
        .select(list_members::contact_id)
        .load(conn)
        .await
}

/// The last mailings that go to the list: id, subject and state, the newest first.
pub async fn mailings_of(
    conn: &mut AsyncPgConnection,
    list: ListId,
    limit: i64,
) -> QueryResult<Vec<(MailingId, String, String)>> {
    mailing_lists::table
        .inner_join(mailings::table.on(mailings::id.eq(mailing_lists::mailing_id)))
        .filter(mailing_lists::list_id.eq(list))
        .filter(mailing_lists::excluded.eq(false))
        .order(mailings::id.desc())
        .limit(limit)
        .select((mailings::id, mailings::subject, mailings::state))
        .load(conn)
        .await
}
