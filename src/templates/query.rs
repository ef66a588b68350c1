//! SQL of templates. Row-level security shows those of the accounts a company may use.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Template, TemplateDraft};
use crate::accounts::Account;
use crate::db::wablast_now;
use crate::gateways::meta::templates::Listed;
use crate::ids::{AccountId, CompanyId, TemplateId, UserId};
use crate::schema::{account_companies, accounts, templates};

pub async fn find(conn: &mut AsyncPgConnection, id: TemplateId) -> QueryResult<Template> {
    templates::table
        .find(id)
        .select(Template::as_select())
        .first(conn)
        .await
}

/// Approved ones of active accounts the company may use, by name; with the account's name.
pub async fn choices(conn: &mut AsyncPgConnection) -> QueryResult<Vec<(Template, String)>> {
    let linked = account_companies::table
        .filter(account_companies::active)
        .select(account_companies::account_id);
    templates::table
        .inner_join(accounts::table.on(accounts::id.eq(templates::account_id)))
        .filter(accounts::active)
        .filter(accounts::id.eq_any(linked))
        .filter(templates::active)
        .filter(templates::status.eq("approved"))
        .order((templates::name, templates::language, templates::id))
        .select((Template::as_select(), accounts::name))
        .load(conn)
        .await
}

/// Ids of the templates of this name and language, of all numbers of a business account.
pub async fn named(
    conn: &mut AsyncPgConnection,
    (app_uid, account_uid): (&str, &str),
    name: &str,
    language: &str,
) -> QueryResult<Vec<TemplateId>> {
    templates::table
        .inner_join(accounts::table.on(accounts::id.eq(templates::account_id)))
        .filter(accounts::app_uid.eq(app_uid))
        .filter(accounts::account_uid.eq(account_uid))
        .filter(templates::name.eq(name))
        .filter(templates::language.eq(language))
        .select(templates::id)
        .order(templates::id)
        .load(conn)
        .await
}

#[derive(QueryableByName)]
struct Kept {
    #[diesel(sql_type = BigInt)]
    id: TemplateId,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    is_new: bool,
}

/// Keeps one as Meta lists it; true where it was not known.
pub(super) async fn keep(
    conn: &mut AsyncPgConnection,
    account: &Account,
    listed: &Listed,
    shape: &serde_json::Value,
) -> QueryResult<(TemplateId, bool)> {
    let kept: Kept = sql_query(
        "INSERT INTO templates AS t (company_id, account_id, uid, name, language, category, status, quality, reason, shape, synced_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, wablast_now())
         ON CONFLICT ON CONSTRAINT templates_name_unique DO UPDATE SET uid = excluded.uid, status = excluded.status,
           quality = excluded.quality, shape = excluded.shape, synced_at = excluded.synced_at, active = true,
           -- Meta lists no reason for a pause: what its news said stays while the status does.
           reason = CASE WHEN excluded.status = t.status THEN coalesce(excluded.reason, t.reason) ELSE excluded.reason END,
           category_before = CASE WHEN excluded.category <> t.category AND t.status <> 'draft' THEN t.category ELSE t.category_before END,
           category_changed_at = CASE WHEN excluded.category <> t.category AND t.status <> 'draft' THEN wablast_now() ELSE t.category_changed_at END,
           category = excluded.category,
           updated_at = CASE WHEN (t.status, t.category, t.quality, t.shape) IS DISTINCT FROM (excluded.status, excluded.category, excluded.quality, excluded.shape)
             THEN wablast_now() ELSE t.updated_at END
         RETURNING id, (xmax = 0) AS is_new",
    )
    .bind::<BigInt, _>(account.company_id)
    .bind::<BigInt, _>(account.id)
    .bind::<Text, _>(&listed.uid)
    .bind::<Text, _>(&listed.name)
    .bind::<Text, _>(&listed.language)
    .bind::<Text, _>(listed.category.to_lowercase())
    .bind::<Text, _>(listed.status.to_lowercase())
    .bind::<Text, _>(quality(listed.quality.as_deref()))
    .bind::<Nullable<Text>, _>(listed.rejected_reason.as_deref())
    .bind::<Jsonb, _>(shape)
    .get_result(conn)
    .await?;
    Ok((kept.id, kept.is_new))
}

/// Meta's word for a quality as we keep it.
pub(super) fn quality(word: Option<&str>) -> String {
    match word.map(str::to_lowercase) {
        Some(word) if matches!(word.as_str(), "green" | "yellow" | "red") => word,
        _ => "none".to_owned(),
    }
}

/// Those of the account that Meta does not list any more: they are gone there.
pub(super) async fn forget_others(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    listed: &[TemplateId],
) -> QueryResult<Vec<TemplateId>> {
    let gone = templates::table
        .filter(templates::account_id.eq(account))
        .filter(templates::uid.ne(""))
        .filter(templates::status.ne("deleted"))
        .filter(templates::id.ne_all(listed));
    diesel::update(gone)
        .set((
            templates::status.eq("deleted"),
            templates::updated_at.eq(wablast_now()),
        ))
        .returning(templates::id)
        .get_results(conn)
        .await
}

/// What Meta's news change; absent ones stay.
#[derive(Debug, Default)]
pub struct News {
    pub status: Option<String>,
    pub quality: Option<String>,
    pub category: Option<String>,
    pub reason: Option<String>,
}

pub async fn changed(
    conn: &mut AsyncPgConnection,
    ids: &[TemplateId],
    news: &News,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE templates SET status = coalesce($2, status), quality = coalesce($3, quality),
           category_before = CASE WHEN $4 <> category THEN category ELSE category_before END,
           category_changed_at = CASE WHEN $4 <> category THEN wablast_now() ELSE category_changed_at END, category = coalesce($4, category),
           reason = CASE WHEN $2 IS NULL THEN reason ELSE $5 END, updated_at = wablast_now()
         WHERE id = ANY ($1)",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Nullable<Text>, _>(news.status.as_deref())
    .bind::<Nullable<Text>, _>(news.quality.as_deref())
    .bind::<Nullable<Text>, _>(news.category.as_deref())
    .bind::<Nullable<Text>, _>(news.reason.as_deref())
    .execute(conn)
    .await
}

pub async fn insert(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    draft: &TemplateDraft,
) -> QueryResult<TemplateId> {
    diesel::insert_into(templates::table)
        .values((
            templates::company_id.eq(company),
            templates::account_id.eq(draft.account_id),
            templates::name.eq(&draft.name),
            templates::language.eq(&draft.language),
            templates::category.eq(draft.category),
            templates::status.eq("draft"),
            templates::shape.eq(draft.shape_json()),
            templates::media_id.eq(draft.media_id),
            templates::created_by.eq(user),
        ))
        .returning(templates::id)
        .get_result(conn)
        .await
}

/// Changes a draft.
pub async fn write(
    conn: &mut AsyncPgConnection,
    id: TemplateId,
    draft: &TemplateDraft,
) -> QueryResult<usize> {
    diesel::update(templates::table.find(id).filter(templates::uid.eq("")))
        .set((
            templates::account_id.eq(draft.account_id),
            templates::name.eq(&draft.name),
            templates::language.eq(&draft.language),
            templates::category.eq(draft.category),
            templates::shape.eq(draft.shape_json()),
            templates::media_id.eq(draft.media_id),
            templates::updated_at.eq(wablast_now()),
        ))
        .execute(conn)
        .await
}

/// Meta took it, or said why not.
pub async fn handed_in(
    conn: &mut AsyncPgConnection,
    id: TemplateId,
    outcome: Result<(&str, &str, &str), &str>,
) -> QueryResult<usize> {
    let (uid, status, category) = match outcome {
        Ok(taken) => taken,
        Err(reason) => {
            return diesel::update(templates::table.find(id))
                .set((
                    templates::reason.eq(reason),
                    templates::updated_at.eq(wablast_now()),
                ))
                .execute(conn)
                .await;
        }
    };
    // Meta may have put it into another category at once.
    sql_query(
        "UPDATE templates SET uid = $2, status = lower($3), reason = NULL, updated_at = wablast_now(),
           category_before = CASE WHEN lower($4) <> category THEN category ELSE category_before END,
           category_changed_at = CASE WHEN lower($4) <> category THEN wablast_now() ELSE category_changed_at END, category = lower($4)
         WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(uid)
    .bind::<Text, _>(status)
    .bind::<Text, _>(category)
    .execute(conn)
    .await
}

/// Deletes a draft that was never handed in.
pub async fn delete(conn: &mut AsyncPgConnection, id: TemplateId) -> QueryResult<usize> {
    diesel::delete(templates::table.find(id).filter(templates::uid.eq("")))
        .execute(conn)
        .await
}

/// One that can be tried: the first approved one, by name.
pub async fn first_approved(
    conn: &mut AsyncPgConnection,
    account: AccountId,
) -> QueryResult<Option<TemplateId>> {
    templates::table
        .filter(templates::account_id.eq(account))
        .filter(templates::active)
        .filter(templates::status.eq("approved"))
        .order((templates::name, templates::id))
        .select(templates::id)
        .first(conn)
        .await
        .optional()
}

/// How many templates an account has, and how many are approved.
pub async fn count(conn: &mut AsyncPgConnection, account: AccountId) -> QueryResult<(i64, i64)> {
    let all = templates::table
        .filter(templates::account_id.eq(account))
        .filter(templates::active);
    let total = all.count().get_result(conn).await?;
    let approved = all
        .filter(templates::status.eq("approved"))
        .count()
        .get_result(conn)
        .await?;
    Ok((total, approved))
}

#[derive(QueryableByName)]
struct Mailings {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Mailings of the company that use it.
pub async fn mailings_of(conn: &mut AsyncPgConnection, id: TemplateId) -> QueryResult<i64> {
    let found: Mailings = sql_query("SELECT count(*) AS n FROM mailings WHERE template_id = $1")
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await?;
    Ok(found.n)
}
