//! Companies: the tenants. Every row of the product belongs to one.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::CompanyId;
use crate::schema::companies;

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
}

impl Company {
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
