//! What a company must be told on every page: sending that rests although people expect it to go on.
//!
//! Invariant: two small reads over partial indexes, because every page makes them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::{AccountId, CompanyId};
use crate::jobs::SCHEDULER_SEND;

/// How *Scheduler Send* does, and what waits for it.
#[derive(Debug, Clone, QueryableByName)]
pub struct Sender {
    #[diesel(sql_type = Bool)]
    pub active: bool,
    /// Active, and its run is two minutes late: of an every-minute job, three minutes without a run.
    #[diesel(sql_type = Bool)]
    pub late: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_run: Option<DateTime<Utc>>,
    /// Mailings of the company that wait for their instant.
    #[diesel(sql_type = BigInt)]
    pub submitted: i64,
}

pub async fn sender(conn: &mut AsyncPgConnection, company: CompanyId) -> QueryResult<Sender> {
    // A job that was changed counts from the change, else it would be late when it is switched on.
    sql_query(
        "SELECT j.active, j.last_run,
           j.active AND greatest(j.updated_at,
             least(j.next_run, j.last_run + (j.interval_number || ' ' || j.interval_unit)::interval)) < wablast_now() - interval '2 minutes' AS late,
           (SELECT count(*) FROM mailings m WHERE m.company_id = $2 AND m.state = 'submitted') AS submitted
         FROM jobs j WHERE j.name = $1",
    )
    .bind::<Text, _>(SCHEDULER_SEND)
    .bind::<BigInt, _>(company)
    .get_result(conn)
    .await
}

/// An account that may not send, and a mailing that goes out through it.
#[derive(Debug, Clone, QueryableByName)]
pub struct Held {
    #[diesel(sql_type = BigInt)]
    pub account_id: AccountId,
    #[diesel(sql_type = Text)]
    pub account: String,
    /// paused or stopped
    #[diesel(sql_type = Text)]
    pub health: String,
    #[diesel(sql_type = Text)]
    pub reason: String,
    #[diesel(sql_type = Text)]
    pub mailing: String,
}

/// At most three accounts that hold up a mailing of the company.
pub async fn held(conn: &mut AsyncPgConnection, company: CompanyId) -> QueryResult<Vec<Held>> {
    sql_query(
        "SELECT DISTINCT ON (a.id) a.id AS account_id, a.name AS account, a.health, coalesce(a.health_reason, '') AS reason,
           m.subject AS mailing
         FROM mailings m JOIN accounts a ON a.id = m.account_id
         WHERE m.company_id = $1 AND m.state = 'sending' AND a.health <> 'running' ORDER BY a.id, m.id LIMIT 3",
    )
    .bind::<BigInt, _>(company)
    .load(conn)
    .await
}
