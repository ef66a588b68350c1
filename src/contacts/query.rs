//! SQL of single people: their row, their tags and lists. Row-level security keeps to one company.
//!
//! Which people a program asks for stands in `filter`, who is behind a number in `identity`, who wants nothing in
//! `consent`.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Contact, ContactDraft};
use crate::db::wablast_now;
use crate::ids::{CompanyId, ContactId, ListId};
use crate::schema::{contact_tags, contacts, list_members, lists, tags};

pub async fn find(conn: &mut AsyncPgConnection, id: ContactId) -> QueryResult<Contact> {
    contacts::table
        .find(id)
        .filter(contacts::erased_at.is_null())
        .select(Contact::as_select())
        .first(conn)
        .await
}

/// The person, held until the transaction ends.
pub(super) async fn hold(conn: &mut AsyncPgConnection, id: ContactId) -> QueryResult<Contact> {
    contacts::table
        .find(id)
        .filter(contacts::erased_at.is_null())
        .select(Contact::as_select())
        .for_update()
        .first(conn)
        .await
}

pub async fn find_many(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
) -> QueryResult<Vec<Contact>> {
    contacts::table
        .filter(contacts::id.eq_any(ids))
        .order((contacts::name, contacts::id))
        .select(Contact::as_select())
        .load(conn)
        .await
}

/// People whose name or number contains `text`, for choosing one; at most `limit`.
pub async fn search(
    conn: &mut AsyncPgConnection,
    text: &str,
    limit: i64,
) -> QueryResult<Vec<Contact>> {
    let pattern = format!(
        "%{}%",
        text.replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_")
    );
    contacts::table
        .filter(contacts::erased_at.is_null())
        .filter(
            contacts::name
                .ilike(&pattern)
                .or(contacts::whatsapp_number.like(&pattern)),
        )
        .order((contacts::name, contacts::id))
        .limit(limit)
        .select(Contact::as_select())
        .load(conn)
        .await
}

pub(super) async fn insert(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    draft: &ContactDraft,
) -> QueryResult<ContactId> {
    diesel::insert_into(contacts::table)
        .values((
            contacts::company_id.eq(company),
            contacts::name.eq(&draft.name),
            contacts::title.eq(&draft.title),
            contacts::whatsapp_number
                .eq(draft.whatsapp_number.as_ref().map(|number| number.as_str())),
            contacts::country.eq(&draft.country),
            contacts::email.eq(&draft.email),
            contacts::company_name.eq(&draft.company_name),
            contacts::job_position.eq(&draft.job_position),
            contacts::description.eq(&draft.description),
            contacts::attributes.eq(serde_json::json!(draft.attributes)),
            contacts::active.eq(draft.active),
        ))
        .returning(contacts::id)
        .get_result(conn)
        .await
}

pub(super) async fn write(
    conn: &mut AsyncPgConnection,
    id: ContactId,
    draft: &ContactDraft,
    attributes: &serde_json::Value,
) -> QueryResult<usize> {
    diesel::update(contacts::table.find(id))
        .set((
            contacts::name.eq(&draft.name),
            contacts::title.eq(&draft.title),
            contacts::whatsapp_number
                .eq(draft.whatsapp_number.as_ref().map(|number| number.as_str())),
            contacts::country.eq(&draft.country),
            contacts::email.eq(&draft.email),
            contacts::company_name.eq(&draft.company_name),
            contacts::job_position.eq(&draft.job_position),
            contacts::description.eq(&draft.description),
            contacts::attributes.eq(attributes),
            contacts::active.eq(draft.active),
            contacts::is_new.eq(false),
            contacts::updated_at.eq(wablast_now()),
        ))
        .execute(conn)
        .await
}

pub(super) async fn set_tags(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ContactId,
    names: &[String],
) -> QueryResult<()> {
    diesel::delete(contact_tags::table.filter(contact_tags::contact_id.eq(id)))
        .execute(conn)
        .await?;
    add_tags(conn, company, &[id], names).await?;
    Ok(())
}

/// Gives people tags; unknown ones are made.
pub async fn add_tags(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    ids: &[ContactId],
    names: &[String],
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO tags (company_id, name) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<Text>, _>(names)
    .execute(conn)
    .await?;
    sql_query(
        "INSERT INTO contact_tags (company_id, contact_id, tag_id)
         SELECT $1, c.id, t.id FROM unnest($2::bigint[]) AS c(id), tags t WHERE t.company_id = $1 AND t.name = ANY ($3)
         ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Text>, _>(names)
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn tags_of(conn: &mut AsyncPgConnection, id: ContactId) -> QueryResult<Vec<String>> {
    contact_tags::table
        .inner_join(tags::table.on(tags::id.eq(contact_tags::tag_id)))
        .filter(contact_tags::contact_id.eq(id))
        .order(tags::name)
        .select(tags::name)
        .load(conn)
        .await
}

/// The lists a person is in, by name.
pub async fn lists_of(
    conn: &mut AsyncPgConnection,
    id: ContactId,
) -> QueryResult<Vec<(ListId, String)>> {
    list_members::table
        .inner_join(lists::table.on(lists::id.eq(list_members::list_id)))
        .filter(list_members::contact_id.eq(id))
        .order(lists::name)
        .select((lists::id, lists::name))
        .load(conn)
        .await
}

/// Which of these names are tags already.
pub async fn known_tags(
    conn: &mut AsyncPgConnection,
    names: &[String],
) -> QueryResult<Vec<String>> {
    tags::table
        .filter(tags::name.eq_any(names))
        .select(tags::name)
        .load(conn)
        .await
}

/// Puts a person into exactly these lists; a membership that stays keeps its opt-out.
pub(super) async fn set_lists(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ContactId,
    wanted: &[ListId],
) -> QueryResult<()> {
    diesel::delete(
        list_members::table
            .filter(list_members::contact_id.eq(id))
            .filter(list_members::list_id.ne_all(wanted.to_vec())),
    )
    .execute(conn)
    .await?;
    sql_query(
        "INSERT INTO list_members (company_id, list_id, contact_id)
         SELECT $1, l.id, $3 FROM lists l WHERE l.id = ANY ($2) AND l.company_id = $1 ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<BigInt>, _>(wanted)
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn set_active(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
    active: bool,
) -> QueryResult<usize> {
    diesel::update(contacts::table.filter(contacts::id.eq_any(ids)))
        .set((
            contacts::active.eq(active),
            contacts::updated_at.eq(wablast_now()),
        ))
        .execute(conn)
        .await
}

/// Messages that were taken for a contact, and messages that came from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName, serde::Serialize)]
pub struct Counters {
    #[diesel(sql_type = BigInt)]
    pub messages_sent: i64,
    #[diesel(sql_type = BigInt)]
    pub messages_received: i64,
}

pub async fn counters(conn: &mut AsyncPgConnection, id: ContactId) -> QueryResult<Counters> {
    sql_query(
        "SELECT (SELECT count(*) FROM outgoing WHERE contact_id = $1 AND state IN ('accepted', 'sent', 'delivered', 'read')) AS messages_sent,
           (SELECT count(*) FROM incoming WHERE contact_id = $1) AS messages_received",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
}
