//! SQL of mailings. Row-level security keeps to one company; the release sees all.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::mailing::{State, Verb, from_states};
use super::{Mailing, MailingDraft};
use crate::db::wablast_now;
use crate::ids::{AccountId, CompanyId, ContactId, ListId, MailingId, UserId};
use crate::schema::{mailing_contacts, mailing_lists, mailings};
use crate::search::{COUNT_LIMIT, counted};

pub async fn find(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<Mailing> {
    mailings::table
        .find(id)
        .select(Mailing::as_select())
        .first(conn)
        .await
}

/// Which mailings the API lists.
#[derive(Debug, Clone, Default)]
pub struct MailingFilter {
    pub state: Option<State>,
    /// Words of the subject or the message.
    pub text: Option<String>,
    pub account: Option<AccountId>,
    pub active: Option<bool>,
    pub after: i64,
    pub limit: i64,
}

/// By id, one page.
pub async fn filtered(
    conn: &mut AsyncPgConnection,
    filter: &MailingFilter,
) -> QueryResult<Vec<Mailing>> {
    wanted(filter)
        .filter(mailings::id.gt(filter.after))
        .order(mailings::id)
        .limit(filter.limit)
        .select(Mailing::as_select())
        .load(conn)
        .await
}

/// How many [`filtered`] finds in all; `None`: more than are counted.
pub async fn count_filtered(
    conn: &mut AsyncPgConnection,
    filter: &MailingFilter,
) -> QueryResult<Option<i64>> {
    let ids: Vec<MailingId> = wanted(filter)
        .limit(COUNT_LIMIT + 1)
        .select(mailings::id)
        .load(conn)
        .await?;
    Ok(counted(i64::try_from(ids.len()).unwrap_or(i64::MAX)))
}

/// The condition of [`filtered`] and its count.
fn wanted(filter: &MailingFilter) -> mailings::BoxedQuery<'_, diesel::pg::Pg> {
    let mut query = mailings::table.into_boxed();
    if let Some(state) = filter.state {
        query = query.filter(mailings::state.eq(state.as_str()));
    }
    if let Some(text) = &filter.text {
        let pattern = format!(
            "%{}%",
            text.replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_")
        );
        query = query.filter(
            mailings::subject
                .ilike(pattern.clone())
                .or(mailings::message.ilike(pattern)),
        );
    }
    if let Some(account) = filter.account {
        query = query.filter(mailings::account_id.eq(account));
    }
    if let Some(active) = filter.active {
        query = query.filter(mailings::active.eq(active));
    }
    query
}

/// The mailing, held until the transaction ends, so that two verbs never cross.
pub(super) async fn lock(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<Mailing> {
    mailings::table
        .find(id)
        .select(Mailing::as_select())
        .for_update()
        .first(conn)
        .await
}

pub(super) async fn insert(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    draft: &MailingDraft,
) -> QueryResult<MailingId> {
    diesel::insert_into(mailings::table)
        .values((
            mailings::company_id.eq(company),
            mailings::subject.eq(&draft.subject),
            mailings::account_id.eq(draft.account_id),
            mailings::responsible_id.eq(draft.responsible_id.unwrap_or(user)),
            mailings::recipients.eq(draft.recipients),
            mailings::header_type.eq(draft.header_type),
            mailings::media_id.eq(draft.media_id),
            mailings::header.eq(&draft.header),
            mailings::message.eq(&draft.message),
            mailings::footer.eq(&draft.footer),
            mailings::skip_missing_values.eq(draft.skip_missing_values),
            mailings::schedule_date.eq(draft.schedule_date),
            mailings::not_after.eq(draft.not_after),
            mailings::time_zone.eq(draft.time_zone.name()),
            mailings::template_id.eq(draft.template_id),
            mailings::template_values.eq(super::template::stored(&draft.template_values)),
            mailings::created_by.eq(user),
        ))
        .returning(mailings::id)
        .get_result(conn)
        .await
}

pub(super) async fn write(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    draft: &MailingDraft,
) -> QueryResult<usize> {
    diesel::update(mailings::table.find(id).filter(mailings::state.eq("draft")))
        .set((
            mailings::subject.eq(&draft.subject),
            mailings::account_id.eq(draft.account_id),
            draft
                .responsible_id
                .map(|user| mailings::responsible_id.eq(user)),
            mailings::recipients.eq(draft.recipients),
            mailings::header_type.eq(draft.header_type),
            mailings::media_id.eq(draft.media_id),
            mailings::header.eq(&draft.header),
            mailings::message.eq(&draft.message),
            mailings::footer.eq(&draft.footer),
            mailings::skip_missing_values.eq(draft.skip_missing_values),
            mailings::schedule_date.eq(draft.schedule_date),
            mailings::not_after.eq(draft.not_after),
            mailings::time_zone.eq(draft.time_zone.name()),
            mailings::template_id.eq(draft.template_id),
            mailings::template_values.eq(super::template::stored(&draft.template_values)),
            mailings::updated_at.eq(wablast_now()),
        ))
        .execute(conn)
        .await
}

/// Replaces whom a mailing goes to.
pub(super) async fn set_recipients(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: MailingId,
    draft: &MailingDraft,
) -> QueryResult<()> {
    diesel::delete(mailing_lists::table.filter(mailing_lists::mailing_id.eq(id)))
        .execute(conn)
        .await?;
    diesel::delete(mailing_contacts::table.filter(mailing_contacts::mailing_id.eq(id)))
        .execute(conn)
        .await?;
    let chosen = draft.list_ids.iter().map(|list| (*list, false));
    let excluded = draft.exclude_list_ids.iter().map(|list| (*list, true));
    let rows: Vec<_> = chosen
        .chain(excluded)
        .zip(0_i32..)
        .map(|((list, excluded), position)| {
            (
                mailing_lists::company_id.eq(company),
                mailing_lists::mailing_id.eq(id),
                mailing_lists::list_id.eq(list),
                mailing_lists::excluded.eq(excluded),
                mailing_lists::position.eq(position),
            )
        })
        .collect();
    diesel::insert_into(mailing_lists::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    let contacts: Vec<i64> = draft.contact_ids.iter().map(|contact| contact.0).collect();
    sql_query(
        "INSERT INTO mailing_contacts (company_id, mailing_id, contact_id)
         SELECT $1, $2, id FROM (SELECT DISTINCT id FROM unnest($3::bigint[]) AS c(id)) c",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(id)
    .bind::<Array<BigInt>, _>(contacts)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whom a mailing goes to, as chosen.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    pub lists: Vec<ListId>,
    pub excluded: Vec<ListId>,
    pub contacts: Vec<ContactId>,
}

pub async fn chosen(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<Chosen> {
    let rows: Vec<(ListId, bool)> = mailing_lists::table
        .filter(mailing_lists::mailing_id.eq(id))
        .order(mailing_lists::position)
        .select((mailing_lists::list_id, mailing_lists::excluded))
        .load(conn)
        .await?;
    let contacts = mailing_contacts::table
        .filter(mailing_contacts::mailing_id.eq(id))
        .order(mailing_contacts::contact_id)
        .select(mailing_contacts::contact_id)
        .load(conn)
        .await?;
    let (excluded, lists): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, excluded)| *excluded);
    Ok(Chosen {
        lists: lists.into_iter().map(|(list, _)| list).collect(),
        excluded: excluded.into_iter().map(|(list, _)| list).collect(),
        contacts,
    })
}

/// What a mailing's page tells beside its own row.
#[derive(Debug, Clone, QueryableByName)]
pub struct Facts {
    #[diesel(sql_type = Text)]
    pub responsible: String,
    #[diesel(sql_type = Text)]
    pub account: String,
    #[diesel(sql_type = Text)]
    pub health: String,
    #[diesel(sql_type = Text)]
    pub health_reason: String,
    /// When the account tries a message by itself.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub health_retry_at: Option<DateTime<Utc>>,
    /// Messages a second.
    #[diesel(sql_type = Double)]
    pub per_second: f64,
    /// Managers may look after the account's session: it is this company's and sends through WAHA's API.
    #[diesel(sql_type = Bool)]
    pub has_session: bool,
    /// Outside workers fetch the account's messages, and when one asked last.
    #[diesel(sql_type = Bool)]
    pub pulled: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub pulled_at: Option<DateTime<Utc>>,
    /// Names of the chosen lists.
    #[diesel(sql_type = Text)]
    pub lists: String,
    #[diesel(sql_type = Text)]
    pub excluded: String,
    #[diesel(sql_type = BigInt)]
    pub contacts: i64,
    #[diesel(sql_type = BigInt)]
    pub logs: i64,
    /// Other mailings that send through the account now.
    #[diesel(sql_type = BigInt)]
    pub others: i64,
    #[diesel(sql_type = Text)]
    pub trigger: String,
    /// Who pressed Send Now; empty for the scheduler.
    #[diesel(sql_type = Text)]
    pub started_by: String,
}

pub async fn facts(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<Facts> {
    sql_query(
        "SELECT u.name AS responsible, coalesce(a.name, '') AS account, coalesce(a.health, '') AS health,
           coalesce(a.health_reason, '') AS health_reason, a.health_retry_at, coalesce(a.per_second, 0)::double precision AS per_second,
           coalesce(a.company_id = m.company_id AND a.provider = 'waha' AND a.send_through = 'api', false) AS has_session,
           coalesce(wablast_pulled(a), false) AS pulled, (SELECT p.pulled_at FROM account_pulling p WHERE p.account_id = a.id) AS pulled_at,
           coalesce((SELECT string_agg(l.name, ', ' ORDER BY ml.position) FROM mailing_lists ml JOIN lists l ON l.id = ml.list_id
             WHERE ml.mailing_id = m.id AND NOT ml.excluded AND m.recipients = 'lists'), '') AS lists,
           coalesce((SELECT string_agg(l.name, ', ' ORDER BY ml.position) FROM mailing_lists ml JOIN lists l ON l.id = ml.list_id
             WHERE ml.mailing_id = m.id AND ml.excluded AND m.recipients = 'lists'), '') AS excluded,
           (SELECT count(*) FROM mailing_contacts mc WHERE mc.mailing_id = m.id AND m.recipients = 'contacts') AS contacts,
           (SELECT count(*) FROM logs g WHERE g.mailing_id = m.id) AS logs,
           (SELECT count(*) FROM mailings o WHERE o.account_id = m.account_id AND o.state = 'sending' AND o.id <> m.id) AS others,
           coalesce((SELECT g.trigger FROM logs g WHERE g.id = m.log_id), '') AS trigger,
           coalesce((SELECT b.name FROM logs g JOIN users b ON b.id = g.user_id WHERE g.id = m.log_id), '') AS started_by
         FROM mailings m JOIN users u ON u.id = m.responsible_id LEFT JOIN accounts a ON a.id = m.account_id WHERE m.id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
}

#[derive(QueryableByName)]
struct Most {
    #[diesel(sql_type = Nullable<BigInt>)]
    most: Option<i64>,
}

/// How many people the account's largest other mailing reached, counted up to `enough`; `None`: the account
/// does not send through WAHA's API, where that decides whether WhatsApp takes offence.
pub async fn most_before(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    enough: i64,
) -> QueryResult<Option<i64>> {
    let most: Option<Most> = sql_query(
        "SELECT coalesce((SELECT max(n) FROM (
           SELECT (SELECT count(*) FROM (SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.accepted_at IS NOT NULL LIMIT $3) x) AS n
           FROM mailings m WHERE m.account_id = a.id AND m.id <> $2 AND m.started_at IS NOT NULL ORDER BY m.id DESC LIMIT 20) b), 0) AS most
         FROM accounts a WHERE a.id = $1 AND a.provider = 'waha' AND a.send_through = 'api'",
    )
    .bind::<BigInt, _>(mailing.account_id)
    .bind::<BigInt, _>(mailing.id)
    .bind::<BigInt, _>(enough)
    .get_result(conn)
    .await
    .optional()?;
    Ok(most.and_then(|most| most.most))
}

/// To whom the last run went, in the words of its log.
pub(super) async fn recipients_of_last_run(
    conn: &mut AsyncPgConnection,
    id: MailingId,
) -> QueryResult<String> {
    use crate::schema::logs;
    logs::table
        .filter(logs::mailing_id.eq(id))
        .order(logs::id.desc())
        .select(logs::recipients)
        .first(conn)
        .await
}

pub(super) async fn reschedule(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    date: DateTime<Utc>,
    zone: &str,
) -> QueryResult<usize> {
    diesel::update(
        mailings::table
            .find(id)
            .filter(mailings::state.eq_any(["submitted", "missed"])),
    )
    .set((
        mailings::schedule_date.eq(date),
        mailings::time_zone.eq(zone),
        mailings::updated_at.eq(wablast_now()),
    ))
    .execute(conn)
    .await
}

/// The guarded change of state behind a verb.
pub(super) async fn move_to(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    verb: Verb,
    target: State,
    date: Option<DateTime<Utc>>,
) -> QueryResult<()> {
    sql_query(
        "UPDATE mailings SET state = $2, state_reason = NULL, schedule_date = coalesce($4, schedule_date), updated_at = wablast_now(),
           finished_at = CASE WHEN $2 = 'canceled' AND version_id IS NOT NULL THEN wablast_now() ELSE finished_at END
         WHERE id = $1 AND state = ANY ($3) RETURNING id",
    )
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(target.as_str())
    .bind::<Array<Text>, _>(from_states(verb))
    .bind::<Nullable<Timestamptz>, _>(date)
    .execute(conn)
    .await
    .and_then(|changed| if changed == 1 { Ok(()) } else { Err(diesel::result::Error::NotFound) })
}

#[derive(QueryableByName)]
struct Copied {
    #[diesel(sql_type = BigInt)]
    id: MailingId,
}

pub(super) async fn copy(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    user: UserId,
) -> QueryResult<MailingId> {
    let copied: Copied = sql_query(
        "WITH copied AS (
           INSERT INTO mailings (company_id, subject, account_id, responsible_id, recipients, header_type, media_id, header, message, footer,
             skip_missing_values, template_id, template_values, time_zone, created_by)
           SELECT company_id, left(subject, 190) || ' (copy)', account_id, $2, recipients, header_type, media_id, header, message, footer,
             skip_missing_values, template_id, template_values, time_zone, $2 FROM mailings WHERE id = $1
           RETURNING id
         ), lists AS (
           INSERT INTO mailing_lists (company_id, mailing_id, list_id, excluded, position)
           SELECT ml.company_id, copied.id, ml.list_id, ml.excluded, ml.position FROM mailing_lists ml, copied WHERE ml.mailing_id = $1
         ), contacts AS (
           INSERT INTO mailing_contacts (company_id, mailing_id, contact_id)
           SELECT mc.company_id, copied.id, mc.contact_id FROM mailing_contacts mc, copied WHERE mc.mailing_id = $1
         )
         SELECT id FROM copied",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(user)
    .get_result(conn)
    .await?;
    Ok(copied.id)
}

pub(super) async fn set_active(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    active: bool,
) -> QueryResult<usize> {
    diesel::update(mailings::table.find(id))
        .set(mailings::active.eq(active))
        .execute(conn)
        .await
}

pub(super) async fn delete(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<usize> {
    diesel::delete(
        mailings::table
            .find(id)
            .filter(mailings::state.eq("draft"))
            .filter(mailings::version_id.is_null()),
    )
    .execute(conn)
    .await
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Bool)]
    known: bool,
}

/// Whether any contact of the company has an attribute of this name.
pub async fn attribute_exists(conn: &mut AsyncPgConnection, key: &str) -> QueryResult<bool> {
    let known: Known =
        sql_query("SELECT EXISTS (SELECT FROM contacts WHERE attributes ? $1) AS known")
            .bind::<Text, _>(key)
            .get_result(conn)
            .await?;
    Ok(known.known)
}

/// The attributes contacts of the company have, for the Variables tab; read off the newest 10,000.
pub async fn attribute_keys(conn: &mut AsyncPgConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Key {
        #[diesel(sql_type = Text)]
        key: String,
    }
    let keys: Vec<Key> = sql_query(
        "SELECT DISTINCT k.key FROM (SELECT attributes FROM contacts WHERE attributes <> '{}' ORDER BY id DESC LIMIT 10000) c,
           jsonb_object_keys(c.attributes) AS k(key) ORDER BY 1 LIMIT 200",
    )
    .load(conn)
    .await?;
    Ok(keys.into_iter().map(|key| key.key).collect())
}
