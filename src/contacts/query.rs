//! SQL of contacts. Row-level security keeps to one company.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Contact, ContactDraft};
use crate::db::wablast_now;
use crate::ids::{AccountId, CompanyId, ContactId, ListId};
use crate::schema::{contact_tags, contacts, list_members, lists, tags};
use crate::search::{COUNT_LIMIT, counted};

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

/// How many of these people said stop.
pub async fn count_opted_out(conn: &mut AsyncPgConnection, ids: &[ContactId]) -> QueryResult<i64> {
    contacts::table
        .filter(contacts::id.eq_any(ids))
        .filter(contacts::opt_out.eq(true))
        .count()
        .get_result(conn)
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

pub(super) async fn store_opt_out(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
    reason: &str,
) -> QueryResult<usize> {
    diesel::update(
        contacts::table
            .filter(contacts::id.eq_any(ids))
            .filter(contacts::opt_out.eq(false)),
    )
    .set((
        contacts::opt_out.eq(true),
        contacts::opt_out_reason.eq(reason),
        contacts::opt_out_at.eq(wablast_now().nullable()),
        contacts::updated_at.eq(wablast_now()),
    ))
    .execute(conn)
    .await
}

pub(super) async fn store_opt_in(
    conn: &mut AsyncPgConnection,
    ids: &[ContactId],
) -> QueryResult<usize> {
    diesel::update(
        contacts::table
            .filter(contacts::id.eq_any(ids))
            .filter(contacts::opt_out.eq(true)),
    )
    .set((
        contacts::opt_out.eq(false),
        contacts::opt_out_reason.eq(None::<String>),
        contacts::opt_out_at.eq(None::<DateTime<Utc>>),
        contacts::updated_at.eq(wablast_now()),
    ))
    .execute(conn)
    .await
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

/// Which contacts the API lists.
#[derive(Debug, Clone, Default)]
pub struct ContactFilter {
    pub list: Option<ListId>,
    pub text: Option<String>,
    pub number: Option<String>,
    pub opt_out: Option<bool>,
    pub tag: Option<String>,
    pub after: i64,
    pub limit: i64,
}

pub async fn filtered(
    conn: &mut AsyncPgConnection,
    filter: &ContactFilter,
) -> QueryResult<Vec<Contact>> {
    wanted(filter)
        .filter(contacts::id.gt(filter.after))
        .order(contacts::id)
        .limit(filter.limit)
        .select(Contact::as_select())
        .load(conn)
        .await
}

/// How many [`filtered`] finds in all; `None`: more than are counted.
pub async fn count_filtered(
    conn: &mut AsyncPgConnection,
    filter: &ContactFilter,
) -> QueryResult<Option<i64>> {
    let ids: Vec<ContactId> = wanted(filter)
        .limit(COUNT_LIMIT + 1)
        .select(contacts::id)
        .load(conn)
        .await?;
    Ok(counted(i64::try_from(ids.len()).unwrap_or(i64::MAX)))
}

type Wanted<'a> = contacts::BoxedQuery<'a, diesel::pg::Pg>;

/// The condition of [`filtered`] and its count.
fn wanted(filter: &ContactFilter) -> Wanted<'_> {
    let mut query = contacts::table
        .filter(contacts::erased_at.is_null())
        .into_boxed();
    if let Some(list) = filter.list {
        let members = list_members::table
            .filter(list_members::list_id.eq(list))
            .select(list_members::contact_id);
        query = query.filter(contacts::id.eq_any(members));
    }
    if let Some(text) = &filter.text {
        let pattern = format!(
            "%{}%",
            text.replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_")
        );
        query = query.filter(
            contacts::name
                .ilike(pattern.clone())
                .or(contacts::whatsapp_number.like(pattern)),
        );
    }
    if let Some(number) = &filter.number {
        query = query.filter(contacts::whatsapp_number.eq(number.clone()));
    }
    if let Some(opt_out) = filter.opt_out {
        query = query.filter(contacts::opt_out.eq(opt_out));
    }
    if let Some(tag) = &filter.tag {
        let tagged = contact_tags::table
            .inner_join(tags::table.on(tags::id.eq(contact_tags::tag_id)))
            .filter(tags::name.eq(tag.clone()))
            .select(contact_tags::contact_id);
        query = query.filter(contacts::id.eq_any(tagged));
    }
    query
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    id: ContactId,
}

/// The person a number or another identity belongs to.
pub async fn by_identity(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: Option<&str>,
    lid: Option<&str>,
) -> QueryResult<Option<ContactId>> {
    let found: Option<Found> = sql_query(
        "SELECT id FROM (
           SELECT c.id, 0 AS rank FROM contacts c WHERE c.company_id = $1 AND c.whatsapp_number = $2
           UNION ALL
           SELECT i.contact_id, 1 FROM contact_identities i WHERE i.company_id = $1 AND i.kind = 'wa_id' AND i.value = $2
           UNION ALL
           SELECT i.contact_id, 2 FROM contact_identities i WHERE i.company_id = $1 AND i.kind IN ('lid', 'bsuid') AND i.value = $3
         ) f ORDER BY rank LIMIT 1",
    )
    .bind::<BigInt, _>(company)
    .bind::<Nullable<Text>, _>(number)
    .bind::<Nullable<Text>, _>(lid)
    .get_result(conn)
    .await
    .optional()?;
    Ok(found.map(|found| found.id))
}

/// What WhatsApp said of a number, and when it was asked.
pub async fn number_said(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: &str,
) -> QueryResult<Option<(bool, DateTime<Utc>)>> {
    use crate::schema::number_checks;
    number_checks::table
        .find((company, number))
        .select((number_checks::on_whatsapp, number_checks::checked_at))
        .first(conn)
        .await
        .optional()
}

/// Holds everybody else who is about to make a contact for this identity until the transaction ends:
/// no constraint keeps two people without a number apart.
pub async fn lock_identity(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    identity: &str,
) -> QueryResult<usize> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('contact ' || $1 || ' ' || $2, 0))")
        .bind::<BigInt, _>(company)
        .bind::<Text, _>(identity)
        .execute(conn)
        .await
}

/// A contact for somebody who wrote to us first; the existing one when another process was quicker.
pub async fn from_incoming(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: Option<&str>,
    country: Option<&str>,
    name: &str,
) -> QueryResult<ContactId> {
    let made: Found = sql_query(
        "INSERT INTO contacts (company_id, name, whatsapp_number, country, is_manual, is_new) VALUES ($1, $2, $3, $4, false, true)
         ON CONFLICT ON CONSTRAINT contacts_number_unique DO UPDATE SET updated_at = contacts.updated_at RETURNING id",
    )
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(name)
    .bind::<Nullable<Text>, _>(number)
    .bind::<Nullable<Text>, _>(country)
    .get_result(conn)
    .await?;
    Ok(made.id)
}

/// Remembers another name of a person.
pub async fn learn_lid(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ContactId,
    lid: &str,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO contact_identities (company_id, contact_id, kind, value) VALUES ($1, $2, CASE WHEN $3 LIKE '%@bsuid' THEN 'bsuid' ELSE 'lid' END, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(lid)
    .execute(conn)
    .await
}

/// The same from what became of messages: account, the message's id, the hidden id its chat is kept under.
pub async fn learn_lids(
    conn: &mut AsyncPgConnection,
    learned: &[(AccountId, String, String)],
) -> QueryResult<usize> {
    if learned.is_empty() {
        return Ok(0);
    }
    let accounts: Vec<AccountId> = learned.iter().map(|(account, _, _)| *account).collect();
    let references: Vec<&str> = learned
        .iter()
        .map(|(_, reference, _)| reference.as_str())
        .collect();
    let lids: Vec<&str> = learned.iter().map(|(_, _, lid)| lid.as_str()).collect();
    sql_query(
        "INSERT INTO contact_identities (company_id, contact_id, kind, value)
         SELECT DISTINCT ON (o.company_id, f.lid) o.company_id, o.contact_id, 'lid', f.lid FROM (
           SELECT a.outgoing_id, n.lid FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n(account_id, reference, lid)
             JOIN attempts a ON a.account_id = n.account_id AND a.provider_id = n.reference
           UNION
           SELECT a.outgoing_id, n.lid FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n(account_id, reference, lid)
             JOIN attempts a ON a.account_id = n.account_id AND a.own_ref = n.reference
         ) f JOIN outgoing o ON o.id = f.outgoing_id WHERE o.contact_id IS NOT NULL
         ON CONFLICT DO NOTHING",
    )
    .bind::<Array<BigInt>, _>(accounts)
    .bind::<Array<Text>, _>(references)
    .bind::<Array<Text>, _>(lids)
    .execute(conn)
    .await
}

/// Gives a person another number, unless somebody of the company has it.
pub async fn renumber(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ContactId,
    number: &str,
    country: Option<&str>,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE contacts SET whatsapp_number = $3, country = coalesce($4, country), updated_at = wablast_now()
         WHERE company_id = $1 AND id = $2 AND whatsapp_number IS DISTINCT FROM $3
           AND NOT EXISTS (SELECT FROM contacts o WHERE o.company_id = $1 AND o.whatsapp_number = $3)",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(number)
    .bind::<Nullable<Text>, _>(country)
    .execute(conn)
    .await
}

/// Takes back an opt-out and a suppression that have exactly this reason; others stay.
pub async fn opt_in_again(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    contact: Option<ContactId>,
    number: Option<&str>,
    reason: &str,
) -> QueryResult<usize> {
    sql_query("DELETE FROM blacklist WHERE company_id = $1 AND number = $2 AND reason = $3")
        .bind::<BigInt, _>(company)
        .bind::<Nullable<Text>, _>(number)
        .bind::<Text, _>(reason)
        .execute(conn)
        .await?;
    let Some(contact) = contact else {
        return Ok(0);
    };
    let said_so: Option<Found> =
        sql_query("SELECT id FROM contacts WHERE id = $1 AND opt_out AND opt_out_reason = $2")
            .bind::<BigInt, _>(contact)
            .bind::<Text, _>(reason)
            .get_result(conn)
            .await
            .optional()?;
    match said_so {
        Some(found) => store_opt_in(conn, &[found.id]).await,
        None => Ok(0),
    }
}

/// A number nobody may be written to at, whether or not a contact has it.
pub async fn suppress(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: &str,
    reason: &str,
) -> QueryResult<usize> {
    sql_query("INSERT INTO blacklist (company_id, number, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind::<BigInt, _>(company)
        .bind::<Text, _>(number)
        .bind::<Text, _>(reason)
        .execute(conn)
        .await
}

/// Whether whoever has this number opted out, or the number is blacklisted.
pub async fn wants_nothing(conn: &mut AsyncPgConnection, number: &str) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Refused {
        #[diesel(sql_type = Bool)]
        refused: bool,
    }
    let refused: Refused = sql_query(
        "SELECT EXISTS (SELECT FROM blacklist WHERE number = $1)
           OR EXISTS (SELECT FROM contacts WHERE whatsapp_number = $1 AND opt_out) AS refused",
    )
    .bind::<Text, _>(number)
    .get_result(conn)
    .await?;
    Ok(refused.refused)
}
