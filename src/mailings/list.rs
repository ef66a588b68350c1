//! The list of mailings, and the people a preview can stand for.
//!
//! Invariant: figures are counted from the messages. Row-level security keeps to one company.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::audience;
use crate::ids::{ContactId, MailingId};
use crate::search::{Column, Direction, Filter, Group, GroupKind, Kind, ListSpec};

/// Messages of the mailing that the gateway took.
const SENT: &str = "(SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.id AND o.state IN ('accepted', 'sent', 'delivered', 'read'))";

/// Mailings, by status and then year until somebody chooses otherwise.
pub static LIST: ListSpec = ListSpec {
    noun: "mailings",
    from: "mailings t JOIN users u ON u.id = t.responsible_id LEFT JOIN accounts a ON a.id = t.account_id",
    id: "t.id",
    columns: &[
        Column::new("subject", "mailings.subject", "t.subject", Kind::Strong)
            .sortable()
            .cell("m1"),
        Column::new(
            "state",
            "mailings.status",
            "CASE WHEN t.state = 'done' AND EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = t.id AND o.state = 'uncertain')
               THEN 'uncertain:' || (SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.id AND o.state = 'uncertain') ELSE t.state END",
            Kind::Badge("mailing"),
        )
        .cell("m2"),
        Column::new(
            "date",
            "mailings.schedule_date",
            "t.schedule_date",
            Kind::Date,
        )
        .sortable_nullable()
        .cell("m4"),
        Column::new("account", "mailings.account", "a.name", Kind::Text).sortable_nullable(),
        Column::new("responsible", "mailings.responsible", "u.name", Kind::Person).sortable(),
        Column::new(
            "recipients",
            "mailings.recipients",
            "CASE WHEN t.recipients = 'lists' THEN
               (SELECT string_agg(l.name, ', ' ORDER BY ml.position) FROM mailing_lists ml JOIN lists l ON l.id = ml.list_id
                WHERE ml.mailing_id = t.id AND NOT ml.excluded)
             ELSE (SELECT string_agg(coalesce(nullif(c.name, ''), c.whatsapp_number), ', ') FROM (SELECT c.name, c.whatsapp_number FROM mailing_contacts mc JOIN contacts c ON c.id = mc.contact_id
                WHERE mc.mailing_id = t.id ORDER BY c.name LIMIT 5) c) END",
            Kind::Text,
        )
        .cell("m3"),
        Column::new("started", "mailings.sent_date", "t.started_at", Kind::Date)
            .sortable_nullable()
            .optional(),
        Column::new("sent", "mailings.sent", SENT, Kind::Number).sum(),
        Column::new(
            "delivered",
            "mailings.delivered",
            "(SELECT count(*) FILTER (WHERE o.state IN ('delivered', 'read')) || '/' || count(*) FILTER (WHERE o.state IN ('accepted', 'sent', 'delivered', 'read'))
              FROM outgoing o WHERE o.mailing_id = t.id)",
            Kind::Meter("green"),
        )
        .sum(),
        Column::new(
            "read",
            "mailings.read",
            "(SELECT count(*) FILTER (WHERE o.state = 'read') || '/' || count(*) FILTER (WHERE o.state IN ('accepted', 'sent', 'delivered', 'read'))
              FROM outgoing o WHERE o.mailing_id = t.id)",
            Kind::Meter("blue"),
        )
        .sum(),
        Column::new(
            "failed",
            "mailings.failed",
            "(SELECT count(*) FROM outgoing o WHERE o.mailing_id = t.id AND o.state IN ('failed', 'expired'))",
            Kind::Number,
        )
        .sum(),
        Column::new("created", "mailings.created", "t.created_at", Kind::Date)
            .sortable()
            .optional(),
    ],
    filters: &[
        Filter::new("mine", "mailings.mine", "t.responsible_id = {user}", "mine"),
        Filter::new("draft", "state.mailing.draft", "t.state = 'draft'", "state"),
        Filter::new("submitted", "state.mailing.submitted", "t.state = 'submitted'", "state"),
        Filter::new("sending", "state.mailing.sending", "t.state IN ('sending', 'paused')", "state"),
        Filter::new("missed", "state.mailing.missed", "t.state = 'missed'", "state"),
        Filter::new("done", "state.mailing.done", "t.state = 'done'", "state"),
        Filter::new("partial_failure", "state.mailing.partial_failure", "t.state = 'partial_failure'", "state"),
        Filter::new("failed", "state.mailing.failed", "t.state = 'failed'", "state"),
        Filter::new("canceled", "state.mailing.canceled", "t.state = 'canceled'", "state"),
        Filter::new("today", "mailings.today", "t.schedule_date >= date_trunc('day', wablast_now(), {zone}) AND t.schedule_date < date_trunc('day', wablast_now(), {zone}) + interval '1 day'", "date"),
        Filter::new("overdue", "mailings.overdue", "t.state IN ('submitted', 'missed') AND t.schedule_date < wablast_now()", "date"),
        Filter::new("active", "state.active.true", "t.active", "archived").by_default(),
        Filter::new("archived", "form.archived", "NOT t.active", "archived"),
    ],
    groups: &[
        Group::new("state", "mailings.status", "t.state", GroupKind::Badge("mailing"))
            .order("array_position(ARRAY['sending', 'paused', 'missed', 'submitted', 'draft', 'failed', 'partial_failure', 'done', 'canceled'], t.state)"),
        Group::new("year", "mailings.year", "coalesce(t.schedule_date, t.started_at, t.created_at)", GroupKind::Year),
        Group::new("month", "mailings.month", "coalesce(t.schedule_date, t.started_at, t.created_at)", GroupKind::Month),
        Group::new("account", "mailings.account", "a.name", GroupKind::Text),
        Group::new("responsible", "mailings.responsible", "u.name", GroupKind::Text),
    ],
    text: &["t.subject", "t.message"],
    sort: ("id", Direction::Descending),
    group: &["state", "year"],
    always: "",
    keep: &[],
};

/// Somebody of the audience, with the list they would be reached through.
#[derive(Debug, Clone, QueryableByName)]
pub struct Sample {
    #[diesel(sql_type = BigInt)]
    pub contact_id: ContactId,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub list: String,
}

/// People of the mailing's audience by name, as it stands now: those whose name or number holds `words`;
/// `contact` comes first when it is one.
pub async fn samples(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    contact: Option<ContactId>,
    words: &str,
    limit: i64,
) -> QueryResult<Vec<Sample>> {
    let words = words
        .trim()
        .replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_");
    let pattern = if words.is_empty() {
        words
    } else {
        format!("%{words}%")
    };
    sql_query(format!(
        "SELECT u.contact_id, coalesce(nullif(btrim(c.title || ' ' || c.name), ''), c.whatsapp_number, '') AS name, coalesce(l.name, '') AS list
         FROM ({people}) u {each} LEFT JOIN lists l ON l.id = u.list_id
         WHERE c.erased_at IS NULL AND ($4 = '' OR c.title || ' ' || c.name ILIKE $4 OR c.whatsapp_number LIKE $4) ORDER BY u.contact_id = coalesce($2, 0) DESC, c.name, c.id LIMIT $3",
        people = audience::people(audience::EVERYBODY),
        each = audience::each("c", "u.contact_id")
    ))
    .bind::<BigInt, _>(id)
    .bind::<Nullable<BigInt>, _>(contact)
    .bind::<BigInt, _>(limit)
    .bind::<Text, _>(pattern)
    .load(conn)
    .await
}
