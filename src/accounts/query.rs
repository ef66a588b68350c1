//! SQL of accounts. Row-level security decides which of them a company sees.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Account, AccountDraft, Secret};
use crate::db::wablast_now;
use crate::ids::{AccountId, CompanyId, UserId};
use crate::prepared::prepared;
use crate::schema::{account_companies, account_users, accounts, companies, mailings};

/// States of a mailing that still needs its account.
pub(super) const UNDER_WAY: [&str; 3] = ["submitted", "sending", "paused"];

pub async fn find(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<Account> {
    accounts::table
        .find(id)
        .select(Account::as_select())
        .first(conn)
        .await
}

/// The account of this name, whatever the company.
pub async fn named(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<Option<Account>> {
    accounts::table
        .filter(accounts::name.eq(name))
        .order(accounts::id)
        .select(Account::as_select())
        .first(conn)
        .await
        .optional()
}

/// The same gateway answers at another address now.
pub async fn moved(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    address: &str,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE accounts SET api_url = CASE provider WHEN 'meta' THEN api_url ELSE $2 END,
           base_url = CASE provider WHEN 'meta' THEN $2 ELSE base_url END WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(address)
    .execute(conn)
    .await
}

/// Messages a second, and how many at once.
pub async fn set_pace(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    (per_second, burst): (f64, i32),
) -> QueryResult<usize> {
    diesel::update(accounts::table.find(id))
        .set((
            accounts::per_second.eq(per_second),
            accounts::burst.eq(burst),
        ))
        .execute(conn)
        .await
}

/// For webhooks: the account an address belongs to, whatever the company.
pub async fn find_by_key(conn: &mut AsyncPgConnection, key: &str) -> QueryResult<Option<Account>> {
    accounts::table
        .filter(accounts::account_key.eq(key))
        .select(Account::as_select())
        .first(conn)
        .await
        .optional()
}

/// The accounts of several addresses at once.
pub async fn find_by_keys(
    conn: &mut AsyncPgConnection,
    keys: &[String],
) -> QueryResult<Vec<Account>> {
    accounts::table
        .filter(accounts::account_key.eq_any(keys))
        .select(Account::as_select())
        .load(conn)
        .await
}

/// The active account of a number at Meta, of this app.
pub async fn of_number(
    conn: &mut AsyncPgConnection,
    app_uid: &str,
    phone_uid: &str,
) -> QueryResult<Option<Account>> {
    accounts::table
        .filter(accounts::provider.eq("meta"))
        .filter(accounts::app_uid.eq(app_uid))
        .filter(accounts::phone_uid.eq(phone_uid))
        .filter(accounts::active)
        .order(accounts::id)
        .select(Account::as_select())
        .first(conn)
        .await
        .optional()
}

/// The numbers of a WhatsApp Business Account, of this app.
pub async fn of_business(
    conn: &mut AsyncPgConnection,
    app_uid: &str,
    account_uid: &str,
) -> QueryResult<Vec<AccountId>> {
    accounts::table
        .filter(accounts::provider.eq("meta"))
        .filter(accounts::app_uid.eq(app_uid))
        .filter(accounts::account_uid.eq(account_uid))
        .select(accounts::id)
        .order(accounts::id)
        .load(conn)
        .await
}

/// Active accounts `user` may send through in the company of `conn`, by name.
pub async fn choices(conn: &mut AsyncPgConnection, user: UserId) -> QueryResult<Vec<Account>> {
    let restricted = account_users::table.select(account_users::account_id);
    let mine = account_users::table
        .filter(account_users::user_id.eq(user))
        .select(account_users::account_id);
    let linked = account_companies::table
        .filter(account_companies::active)
        .select(account_companies::account_id);
    accounts::table
        .filter(accounts::active)
        .filter(accounts::id.eq_any(linked))
        .filter(
            accounts::id
                .ne_all(restricted)
                .or(accounts::id.eq_any(mine)),
        )
        .order((accounts::name, accounts::id))
        .select(Account::as_select())
        .load(conn)
        .await
}

/// Active accounts, by name.
pub async fn active(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Account>> {
    accounts::table
        .filter(accounts::active)
        .order((accounts::name, accounts::id))
        .select(Account::as_select())
        .load(conn)
        .await
}

pub async fn is_allowed(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    user: UserId,
) -> QueryResult<bool> {
    let users: Vec<UserId> = allowed_users(conn, id).await?;
    Ok(users.is_empty() || users.contains(&user))
}

pub async fn allowed_users(
    conn: &mut AsyncPgConnection,
    id: AccountId,
) -> QueryResult<Vec<UserId>> {
    account_users::table
        .filter(account_users::account_id.eq(id))
        .select(account_users::user_id)
        .distinct()
        .order(account_users::user_id)
        .load(conn)
        .await
}

/// The companies an account may be used by, the owner among them.
pub async fn companies(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<Vec<CompanyId>> {
    account_companies::table
        .filter(account_companies::account_id.eq(id))
        .filter(account_companies::active)
        .select(account_companies::company_id)
        .order(account_companies::company_id)
        .load(conn)
        .await
}

/// Whether the company of `conn` may use the account; `None` where it never could. Held until the
/// transaction ends, so that it is not withdrawn while a mailing starts on its way.
pub(super) async fn hold_link(
    conn: &mut AsyncPgConnection,
    id: AccountId,
) -> QueryResult<Option<bool>> {
    account_companies::table
        .filter(account_companies::account_id.eq(id))
        .select(account_companies::active)
        .for_share()
        .first(conn)
        .await
        .optional()
}

/// The same, without holding it.
pub(super) async fn link(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<Option<bool>> {
    account_companies::table
        .filter(account_companies::account_id.eq(id))
        .select(account_companies::active)
        .first(conn)
        .await
        .optional()
}

pub(super) async fn write(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    draft: &AccountDraft,
) -> QueryResult<usize> {
    diesel::update(accounts::table.find(id))
        .set((
            (
                accounts::name.eq(&draft.name),
                accounts::provider.eq(draft.provider),
                accounts::send_through.eq(draft.send_through),
                accounts::delivery.eq(draft.delivery),
                accounts::app_uid.eq(&draft.app_uid),
                accounts::account_uid.eq(&draft.account_uid),
                accounts::phone_uid.eq(&draft.phone_uid),
                accounts::base_url.eq(&draft.base_url),
                accounts::api_url.eq(&draft.api_url),
            ),
            (
                accounts::webhook_url.eq(&draft.webhook_url),
                accounts::auth_user.eq(&draft.auth_user),
                accounts::session.eq(&draft.session),
                accounts::behind_proxy.eq(draft.behind_proxy),
                accounts::welcome_message.eq(&draft.welcome_message),
                accounts::opt_out_confirmation.eq(&draft.opt_out_confirmation),
                accounts::per_second.eq(draft.per_second),
                accounts::burst.eq(draft.burst),
                accounts::batch_size.eq(draft.batch_size),
                accounts::updated_at.eq(wablast_now()),
            ),
            (
                accounts::callback_minutes.eq(draft.callback_minutes),
                accounts::counts_as_sent.eq(draft.counts_as_sent),
                accounts::at_once.eq(draft.at_once),
                accounts::auto_pause_percent.eq(draft.auto_pause_percent),
                accounts::hourly_cap.eq(draft.rules.hourly_cap),
                accounts::daily_cap.eq(draft.rules.daily_cap),
                accounts::delay_min.eq(draft.rules.delay_min),
                accounts::delay_max.eq(draft.rules.delay_max),
                accounts::person_gap.eq(draft.rules.person_gap),
                accounts::quiet_from.eq(draft.rules.quiet_from),
                accounts::quiet_until.eq(draft.rules.quiet_until),
                accounts::quiet_local.eq(draft.rules.quiet_local),
            ),
            (
                accounts::warm_up_first.eq(draft.rules.warm_up_first),
                accounts::warm_up_days.eq(draft.rules.warm_up_days),
                // A warm-up that goes on keeps its first day.
                accounts::warm_up_since.eq(sql::<Nullable<Timestamptz>>("CASE WHEN ")
                    .bind::<Bool, _>(draft.rules.warm_up_first.is_some())
                    .sql(" THEN coalesce(warm_up_since, wablast_now()) END")),
                accounts::resend_proven.eq(draft.resend_proven),
            ),
        ))
        .execute(conn)
        .await
}

pub(super) async fn store_secret(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    which: Secret,
    sealed: Vec<u8>,
) -> QueryResult<usize> {
    let row = diesel::update(accounts::table.find(id));
    match which {
        Secret::AppSecret => row.set(accounts::app_secret.eq(sealed)).execute(conn).await,
        Secret::Token => row.set(accounts::token.eq(sealed)).execute(conn).await,
        Secret::AuthPassword => {
            row.set(accounts::auth_password.eq(sealed))
                .execute(conn)
                .await
        }
        Secret::ApiKey => row.set(accounts::api_key.eq(sealed)).execute(conn).await,
        Secret::WebhookSecret => {
            row.set(accounts::webhook_secret.eq(sealed))
                .execute(conn)
                .await
        }
    }
}

pub async fn set_verify_token(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    token: &str,
) -> QueryResult<usize> {
    diesel::update(accounts::table.find(id))
        .set(accounts::webhook_verify_token.eq(token))
        .execute(conn)
        .await
}

pub(super) async fn mark_untested(
    conn: &mut AsyncPgConnection,
    id: AccountId,
) -> QueryResult<usize> {
    diesel::update(accounts::table.find(id))
        .set((
            accounts::untested_since.eq(wablast_now().nullable()),
            accounts::tested_ok.eq(None::<bool>),
            accounts::test_checks.eq(None::<serde_json::Value>),
        ))
        .execute(conn)
        .await
}

pub(super) async fn store_test(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    passed: bool,
    checks: serde_json::Value,
    number: Option<&str>,
    at: DateTime<Utc>,
) -> QueryResult<usize> {
    let untested = if passed { None } else { Some(at) };
    sql_query(
        "UPDATE accounts SET tested_at = wablast_now(), tested_ok = $2, test_checks = $3, \
         untested_since = CASE WHEN $2 THEN NULL ELSE coalesce(untested_since, $5) END, \
         phone_number = coalesce($4, phone_number) WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<Bool, _>(passed)
    .bind::<diesel::sql_types::Jsonb, _>(checks)
    .bind::<Nullable<Text>, _>(number)
    .bind::<Nullable<Timestamptz>, _>(untested)
    .execute(conn)
    .await
}

pub(super) async fn set_active(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    active: bool,
) -> QueryResult<usize> {
    diesel::update(accounts::table.find(id))
        .set((
            accounts::active.eq(active),
            accounts::updated_at.eq(wablast_now()),
        ))
        .execute(conn)
        .await
}

/// When the gateway last reached us, to a tenth of a second.
pub async fn saw_event(conn: &mut AsyncPgConnection, ids: &[AccountId]) -> QueryResult<usize> {
    prepared(
        "UPDATE accounts SET last_event_at = wablast_now()
         WHERE id = ANY ($1) AND (last_event_at IS NULL OR last_event_at < wablast_now() - interval '0.1 second')",
    )
    .bind::<Array<BigInt>, _>(ids)
    .execute(conn)
    .await
}

/// The mailings that still need the account: company, its name, subject.
pub(super) async fn unfinished_mailings(
    conn: &mut AsyncPgConnection,
    id: AccountId,
) -> QueryResult<Vec<(CompanyId, String, String)>> {
    mailings::table
        .inner_join(companies::table.on(companies::id.eq(mailings::company_id)))
        .filter(mailings::account_id.eq(id))
        .filter(mailings::state.eq_any(UNDER_WAY))
        .order(mailings::id)
        .limit(5)
        .select((mailings::company_id, companies::name, mailings::subject))
        .load(conn)
        .await
}

#[derive(QueryableByName)]
struct Exists {
    #[diesel(sql_type = Bool)]
    found: bool,
}

/// Whether a recipient of the company has this attribute.
pub(super) async fn attribute_exists(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    name: &str,
) -> QueryResult<bool> {
    let exists: Exists = sql_query(
        "SELECT EXISTS (SELECT FROM contacts WHERE company_id = $1 AND attributes ? $2 AND erased_at IS NULL) AS found",
    )
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(name)
    .get_result(conn)
    .await?;
    Ok(exists.found)
}

pub async fn has_messages(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<bool> {
    let exists: Exists =
        sql_query("SELECT EXISTS (SELECT FROM attempts WHERE account_id = $1) AS found")
            .bind::<BigInt, _>(id)
            .get_result(conn)
            .await?;
    Ok(exists.found)
}

#[derive(QueryableByName)]
struct Waiting {
    #[diesel(sql_type = BigInt)]
    waiting: i64,
}

/// How many messages of the company's mailings on their way wait for the account.
pub async fn waiting(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<i64> {
    let waiting: Waiting = sql_query(
        "SELECT count(*) AS waiting FROM mailings m JOIN outgoing o ON o.mailing_id = m.id AND o.state IN ('queued', 'claimed', 'sending')
         WHERE m.account_id = $1 AND m.state IN ('sending', 'paused')",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(waiting.waiting)
}
