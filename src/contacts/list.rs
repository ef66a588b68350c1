//! The list of recipients, and what their pages ask beside it.
//!
//! Invariant: FROM is the contacts alone and everything else a scalar subquery, so that a page costs its
//! 80 rows whatever the number of people. Row-level security keeps to one company.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::ContactId;
use crate::schema::contacts;
use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

/// Title and name; the number of people without either.
pub const FULL_NAME: &str =
    "coalesce(nullif(btrim(t.title || ' ' || t.name), ''), t.whatsapp_number, '')";
pub const TAGS: &str = "ARRAY(SELECT g.name FROM contact_tags ct JOIN tags g ON g.id = ct.tag_id WHERE ct.contact_id = t.id ORDER BY g.name)";
/// Messages the gateway took.
pub const SENT: &str = "(SELECT count(*) FROM outgoing o WHERE o.contact_id = t.id AND o.state IN ('accepted', 'sent', 'delivered', 'read'))";
pub const RECEIVED: &str = "(SELECT count(*) FROM incoming i WHERE i.contact_id = t.id)";

const BLACKLISTED: &str = "EXISTS (SELECT FROM blacklist b WHERE b.company_id = t.company_id AND b.number = t.whatsapp_number)";
// EXISTS may become a hash of every message there is; `IS NULL` on a subquery with LIMIT is always looked
// up by index, which is what a page or a count of 10,000 wants.
const NEVER_MESSAGED: &str = "(SELECT true FROM outgoing o WHERE o.contact_id = t.id AND o.accepted_at IS NOT NULL LIMIT 1) IS NULL";
const REPLIED: &str = "(SELECT true FROM incoming i WHERE i.contact_id = t.id LIMIT 1) IS NOT NULL";

/// Recipients by name. Erased people are in no list.
pub static LIST: ListSpec = ListSpec {
    noun: "contacts",
    from: "contacts t",
    id: "t.id",
    columns: &[
        Column::new("name", "contacts.full_name", FULL_NAME, Kind::Strong)
            .sorted_by("t.name")
            .cell("m1"),
        Column::new("number", "contacts.number", "t.whatsapp_number", Kind::Phone).cell("m3"),
        Column::new("country", "contacts.country", "t.country", Kind::Country).sortable_nullable(),
        Column::new("company", "contacts.company", "t.company_name", Kind::Text).sortable(),
        Column::new(
            "lists",
            "contacts.lists",
            "ARRAY(SELECT l.name FROM list_members lm JOIN lists l ON l.id = lm.list_id WHERE lm.contact_id = t.id ORDER BY l.name)",
            Kind::Tags,
        )
        .cell("m4"),
        Column::new("tags", "contacts.tags", TAGS, Kind::Tags),
        Column::new("sent", "contacts.sent", SENT, Kind::Number),
        Column::new("received", "contacts.received", RECEIVED, Kind::Number),
        Column::new("optout", "contacts.opt_out", "t.opt_out", Kind::Badge("optout")).cell("m2"),
        Column::new("email", "contacts.email", "t.email", Kind::Text).sortable().optional(),
        Column::new("position", "contacts.job_position", "t.job_position", Kind::Text).optional(),
        Column::new("created", "contacts.created", "t.created_at", Kind::Date).sortable().optional(),
        Column::new(
            "last_sent",
            "contacts.last_sent",
            "(SELECT max(o.accepted_at) FROM outgoing o WHERE o.contact_id = t.id)",
            Kind::Date,
        )
        .optional(),
    ],
    filters: &[
        Filter::new("optout", "state.optout.true", "t.opt_out", "optout"),
        Filter::new("subscribed", "contacts.not_opted_out", "NOT t.opt_out", "optout"),
        Filter::new("blacklisted", "skip.blacklisted", BLACKLISTED, "number"),
        Filter::new("no_number", "skip.no_number", "t.whatsapp_number IS NULL", "number"),
        Filter::new("new", "contacts.new_users", "t.is_new", "new"),
        Filter::new("manual", "contacts.manual", "t.is_manual", "origin"),
        Filter::new("captured", "contacts.captured", "NOT t.is_manual", "origin"),
        Filter::new("never", "contacts.never_messaged", NEVER_MESSAGED, "messages"),
        Filter::new("replied", "contacts.replied", REPLIED, "messages"),
        Filter::new("active", "state.active.true", "t.active", "archived").by_default(),
        Filter::new("archived", "form.archived", "NOT t.active", "archived"),
    ],
    groups: &[
        Group::new("country", "contacts.country", "t.country", GroupKind::Country),
        Group::new("company", "contacts.company", "t.company_name", GroupKind::Text),
        Group::new("optout", "contacts.opt_out", "t.opt_out", GroupKind::Badge("optout")),
        Group::new("month", "contacts.month", "t.created_at", GroupKind::Month),
    ],
    text: &["t.name", "t.whatsapp_number", "t.email", "t.company_name"],
    sort: ("name", Direction::Ascending),
    group: &[],
    always: "t.erased_at IS NULL",
    keep: &[],
};

/// Which of these people exist here, in the order of their ids.
pub async fn known(conn: &mut AsyncPgConnection, ids: &[ContactId]) -> QueryResult<Vec<ContactId>> {
    contacts::table
        .filter(contacts::id.eq_any(ids))
        .filter(contacts::erased_at.is_null())
        .order(contacts::id)
        .select(contacts::id)
        .load(conn)
        .await
}

/// Whether a number must never be written to.
pub async fn is_blacklisted(conn: &mut AsyncPgConnection, number: &str) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Times {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let times: Times = sql_query(
        "SELECT count(*) AS n FROM blacklist WHERE company_id = current_setting('app.company')::bigint AND number = $1",
    )
    .bind::<Text, _>(number)
    .get_result(conn)
    .await?;
    Ok(times.n > 0)
}
