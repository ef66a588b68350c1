//! Companies: the tenants. Every row of the product belongs to one.
//!
//! Invariant: a company is deactivated only while nothing of it is on its way and nobody works in it alone.
//! Owns `companies`. Writing works over a connection that sees all, inside a transaction.

pub mod input;
pub mod list;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::db::wablast_now;
use crate::error::{Error, Result};
use crate::ids::CompanyId;
use crate::schema::{companies, mailings};

pub use input::{CompanyDraft, CompanyInput};

/// What a new company begins with; the table's defaults say the same.
pub const OPT_OUT_WORDS: [&str; 7] = [
    "STOP",
    "UNSUBSCRIBE",
    "BERHENTI",
    "BATAL",
    "PARAR",
    "SALIR",
    "ARRET",
];
pub const OPT_IN_WORDS: [&str; 3] = ["START", "UNSTOP", "MULAI"];

#[derive(Debug, Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = companies)]
pub struct Company {
    pub id: CompanyId,
    pub name: String,
    /// ISO code: numbers without a prefix are read as this country's.
    pub country: String,
    /// IANA name.
    pub time_zone: String,
    pub opt_out_words: Vec<String>,
    pub opt_in_words: Vec<String>,
    /// A mailing later than this becomes Missed instead of going out.
    pub late_tolerance_minutes: i32,
    /// At most so many mailings to one person in so many days.
    pub frequency_mailings: Option<i32>,
    pub frequency_days: Option<i32>,
    pub active: bool,
}

impl Company {
    /// Most mailings to one person, and in how many days.
    pub fn frequency(&self) -> Option<(i32, i32)> {
        self.frequency_mailings.zip(self.frequency_days)
    }

    pub fn zone(&self) -> chrono_tz::Tz {
        self.time_zone.parse().unwrap_or(chrono_tz::UTC)
    }
}

pub async fn find(conn: &mut AsyncPgConnection, id: CompanyId) -> QueryResult<Company> {
    companies::table
        .find(id)
        .select(Company::as_select())
        .first(conn)
        .await
}

pub async fn find_many(
    conn: &mut AsyncPgConnection,
    ids: &[CompanyId],
) -> QueryResult<Vec<Company>> {
    companies::table
        .filter(companies::id.eq_any(ids))
        .order((companies::name, companies::id))
        .select(Company::as_select())
        .load(conn)
        .await
}

pub(crate) async fn insert(
    conn: &mut AsyncPgConnection,
    name: &str,
    country: &str,
    time_zone: &str,
) -> QueryResult<CompanyId> {
    diesel::insert_into(companies::table)
        .values((
            companies::name.eq(name),
            companies::country.eq(country),
            companies::time_zone.eq(time_zone),
        ))
        .returning(companies::id)
        .get_result(conn)
        .await
}

/// Keeps others from changing who works in these companies, until the transaction ends.
pub(crate) async fn hold(conn: &mut AsyncPgConnection, ids: &[CompanyId]) -> QueryResult<()> {
    companies::table
        .filter(companies::id.eq_any(ids))
        .order(companies::id)
        .select(companies::id)
        .for_no_key_update()
        .load::<CompanyId>(conn)
        .await?;
    Ok(())
}

/// Stores a company nobody works in yet.
pub async fn create(conn: &mut AsyncPgConnection, draft: &CompanyDraft) -> Result<CompanyId> {
    let id = insert(conn, &draft.name, draft.country, &draft.time_zone).await?;
    update(conn, id, draft).await?;
    Ok(id)
}

pub async fn update(
    conn: &mut AsyncPgConnection,
    id: CompanyId,
    draft: &CompanyDraft,
) -> Result<()> {
    diesel::update(companies::table.find(id))
        .set((
            companies::name.eq(&draft.name),
            companies::country.eq(draft.country),
            companies::time_zone.eq(&draft.time_zone),
            companies::late_tolerance_minutes.eq(draft.late_tolerance_minutes),
            companies::frequency_mailings.eq(draft.frequency.map(|(most, _)| most)),
            companies::frequency_days.eq(draft.frequency.map(|(_, days)| days)),
            companies::opt_out_words.eq(&draft.opt_out_words),
            companies::opt_in_words.eq(&draft.opt_in_words),
            companies::updated_at.eq(wablast_now()),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn activate(conn: &mut AsyncPgConnection, id: CompanyId) -> Result<()> {
    set_active(conn, id, true).await?;
    Ok(())
}

/// Refuses to begin something for a company that is deactivated, and keeps it from being so until the
/// transaction ends. Who works in it was asked before: this is for the moment in between.
pub async fn still_works(conn: &mut AsyncPgConnection, id: CompanyId) -> Result<()> {
    sql_query("SELECT pg_advisory_xact_lock_shared(hashtextextended('company:' || $1, 7))")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await?;
    if find(conn, id).await?.active {
        Ok(())
    } else {
        Err(Error::conflict(
            "This company was deactivated, so nothing more is sent for it. Activate it first.",
        ))
    }
}

/// Nobody works in it any more; who did works in another of their companies.
pub async fn deactivate(conn: &mut AsyncPgConnection, id: CompanyId) -> Result<()> {
    // What begins at this moment is there to be seen below, or finds the company deactivated.
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('company:' || $1, 7))")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await?;
    hold(conn, &[id]).await?;
    set_active(conn, id, false).await?;
    let busy: Vec<String> = mailings::table
        .filter(mailings::company_id.eq(id))
        .filter(mailings::state.eq_any(["submitted", "sending", "paused"]))
        .order(mailings::id)
        .limit(5)
        .select(mailings::subject)
        .load(conn)
        .await?;
    if !busy.is_empty() {
        return Err(Error::conflict(format!(
            "Mailings of this company are on their way: {}. Cancel them or let them finish first.",
            busy.join(", ")
        )));
    }
    let alone = only_here(conn, id).await?;
    if !alone.is_empty() {
        return Err(Error::conflict(format!(
            "This is the only company of: {}. Give them a role in another one or deactivate them first.",
            alone.join(", ")
        )));
    }
    sql_query(
        "UPDATE users u SET active_company_id = o.company_id FROM (
           SELECT DISTINCT ON (uc.user_id) uc.user_id, uc.company_id FROM user_companies uc JOIN companies c ON c.id = uc.company_id
           WHERE c.active ORDER BY uc.user_id, uc.company_id) o
         WHERE u.active_company_id = $1 AND o.user_id = u.id",
    )
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await?;
    Ok(())
}

async fn set_active(
    conn: &mut AsyncPgConnection,
    id: CompanyId,
    active: bool,
) -> QueryResult<usize> {
    diesel::update(companies::table.find(id))
        .set((
            companies::active.eq(active),
            companies::updated_at.eq(wablast_now()),
        ))
        .execute(conn)
        .await
}

/// Names of active users who work in no other active company.
async fn only_here(conn: &mut AsyncPgConnection, id: CompanyId) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Name {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let names: Vec<Name> = sql_query(
        "SELECT u.name FROM users u JOIN user_companies uc ON uc.user_id = u.id AND uc.company_id = $1
         WHERE u.active AND NOT EXISTS (
           SELECT FROM user_companies other JOIN companies c ON c.id = other.company_id AND c.active
           WHERE other.user_id = u.id AND other.company_id <> $1)
         ORDER BY u.name, u.id LIMIT 5",
    )
    .bind::<BigInt, _>(id)
    .load(conn)
    .await?;
    Ok(names.into_iter().map(|one| one.name).collect())
}

/// Active companies.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Company>> {
    companies::table
        .filter(companies::active)
        .order((companies::name, companies::id))
        .select(Company::as_select())
        .load(conn)
        .await
}

/// Companies called exactly this, whoever works there.
pub async fn find_by_name(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<Vec<Company>> {
    companies::table
        .filter(companies::name.eq(name.trim()))
        .order(companies::id)
        .select(Company::as_select())
        .load(conn)
        .await
}
