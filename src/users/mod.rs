//! Users: people who sign in, the companies they may work in, and as what.
//!
//! Invariant: the active company is one of the allowed ones (a constraint). Owns `users` and
//! `user_companies`. Knows no password and no session: `auth` does.

pub mod input;
pub mod list;
pub mod rights;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::{CompanyId, UserId};
use crate::schema::{companies, user_companies, users};

pub use input::{ROLES, UserDraft, UserInput};

#[derive(Debug, Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = users)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub email: String,
    /// None: to be chosen behind a one-time link.
    pub password_hash: Option<String>,
    pub language: String,
    pub theme: String,
    pub time_zone: Option<String>,
    pub active_company_id: CompanyId,
    pub active: bool,
    /// None: invited, never signed in.
    pub joined_at: Option<DateTime<Utc>>,
}

impl User {
    /// The word of the vocabulary `person`.
    pub fn state(&self) -> &'static str {
        match (self.active, &self.password_hash, self.joined_at) {
            (false, ..) => "inactive",
            (true, Some(_), _) => "active",
            (true, None, None) => "invited",
            (true, None, Some(_)) => "reset",
        }
    }
}

/// E-mail addresses are compared in lower case.
pub fn normalized(email: &str) -> String {
    email.trim().to_lowercase()
}

pub async fn find(conn: &mut AsyncPgConnection, id: UserId) -> QueryResult<User> {
    users::table
        .find(id)
        .select(User::as_select())
        .first(conn)
        .await
}

pub async fn find_by_email(conn: &mut AsyncPgConnection, email: &str) -> QueryResult<Option<User>> {
    users::table
        .filter(users::email.eq(normalized(email)))
        .select(User::as_select())
        .first(conn)
        .await
        .optional()
}

/// Active users of a company, by name.
pub async fn of_company(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
) -> QueryResult<Vec<User>> {
    users::table
        .inner_join(user_companies::table.on(user_companies::user_id.eq(users::id)))
        .filter(user_companies::company_id.eq(company))
        .filter(users::active)
        .order((users::name, users::id))
        .select(User::as_select())
        .load(conn)
        .await
}

/// The active companies a user may work in, with the role's word in each.
pub async fn companies_of(
    conn: &mut AsyncPgConnection,
    id: UserId,
) -> QueryResult<Vec<(CompanyId, String)>> {
    user_companies::table
        .inner_join(companies::table.on(companies::id.eq(user_companies::company_id)))
        .filter(user_companies::user_id.eq(id))
        .filter(companies::active)
        .order(user_companies::company_id)
        .select((user_companies::company_id, user_companies::role))
        .load(conn)
        .await
}

/// The companies in which a user is administrator.
pub async fn administered_by(
    conn: &mut AsyncPgConnection,
    id: UserId,
) -> QueryResult<Vec<CompanyId>> {
    user_companies::table
        .filter(user_companies::user_id.eq(id))
        .filter(user_companies::role.eq("administrator"))
        .order(user_companies::company_id)
        .select(user_companies::company_id)
        .load(conn)
        .await
}

/// Active users of any of these companies.
pub async fn ids_of_companies(
    conn: &mut AsyncPgConnection,
    companies: &[CompanyId],
) -> QueryResult<Vec<UserId>> {
    user_companies::table
        .inner_join(users::table.on(users::id.eq(user_companies::user_id)))
        .filter(user_companies::company_id.eq_any(companies))
        .filter(users::active)
        .select(user_companies::user_id)
        .distinct()
        .load(conn)
        .await
}

/// These users by name, whether or not they are active.
pub async fn find_many(conn: &mut AsyncPgConnection, ids: &[UserId]) -> QueryResult<Vec<User>> {
    users::table
        .filter(users::id.eq_any(ids))
        .order((users::name, users::id))
        .select(User::as_select())
        .load(conn)
        .await
}

/// Everybody, by name.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<User>> {
    users::table
        .order((users::name, users::id))
        .select(User::as_select())
        .load(conn)
        .await
}

/// Stores a user with a first company. The password is hashed already.
pub(crate) async fn insert(
    conn: &mut AsyncPgConnection,
    name: &str,
    email: &str,
    password_hash: &str,
    company: CompanyId,
    role: &str,
) -> QueryResult<UserId> {
    let id: UserId = diesel::insert_into(users::table)
        .values((
            users::name.eq(name),
            users::email.eq(normalized(email)),
            users::password_hash.eq(password_hash),
            users::joined_at.eq(crate::db::wablast_now().nullable()),
            users::active_company_id.eq(company),
        ))
        .returning(users::id)
        .get_result(conn)
        .await?;
    diesel::insert_into(user_companies::table)
        .values((
            user_companies::user_id.eq(id),
            user_companies::company_id.eq(company),
            user_companies::role.eq(role),
        ))
        .execute(conn)
        .await?;
    Ok(id)
}

/// Works in another of the allowed companies from now on; false when it is not allowed.
pub async fn switch_company(
    conn: &mut AsyncPgConnection,
    id: UserId,
    company: CompanyId,
) -> QueryResult<bool> {
    let allowed = user_companies::table
        .inner_join(companies::table.on(companies::id.eq(user_companies::company_id)))
        .filter(companies::active)
        .filter(user_companies::user_id.eq(id))
        .filter(user_companies::company_id.eq(company));
    let changed = diesel::update(users::table.find(id))
        .filter(diesel::dsl::exists(allowed))
        .set(users::active_company_id.eq(company))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

pub async fn set_preferences(
    conn: &mut AsyncPgConnection,
    id: UserId,
    language: &str,
    theme: &str,
    time_zone: Option<&str>,
) -> QueryResult<usize> {
    diesel::update(users::table.find(id))
        .set((
            users::language.eq(language),
            users::theme.eq(theme),
            users::time_zone.eq(time_zone),
        ))
        .execute(conn)
        .await
}

pub async fn set_password(
    conn: &mut AsyncPgConnection,
    id: UserId,
    hash: &str,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE users SET password_hash = $2, joined_at = coalesce(joined_at, wablast_now()), updated_at = wablast_now()
         WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(hash)
    .execute(conn)
    .await
}
