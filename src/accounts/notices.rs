//! What Meta told about an account or its number by itself.
//!
//! Invariants: a notice is there once however often its post is applied; the newest of an account stay, old ones
//! go. Owns `account_notices`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::gateways::meta::events::Notice;
use crate::ids::AccountId;

/// What the page of an account shows.
const SHOWN: i64 = 8;
/// What is kept of an account.
const KEPT: i64 = 200;

/// One, as it is told.
#[derive(Debug, Clone, QueryableByName)]
pub struct Told {
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub serious: bool,
    #[diesel(sql_type = Text)]
    pub words: String,
}

/// Keeps a notice for these accounts; one of a number for those that have this number, as far as it is known.
pub async fn note(
    conn: &mut AsyncPgConnection,
    accounts: &[AccountId],
    notice: &Notice,
    inbox: i64,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO account_notices (company_id, account_id, inbox_id, event, serious, words)
         SELECT company_id, id, $2, $3, $4, $5 FROM accounts
         WHERE id = ANY ($1) AND ($6 = '' OR NOT EXISTS (SELECT FROM meta_numbers k WHERE k.account_id = id AND k.number NOT IN ('', $6)))
         ON CONFLICT ON CONSTRAINT account_notices_once DO NOTHING",
    )
    .bind::<Array<BigInt>, _>(accounts)
    .bind::<BigInt, _>(inbox)
    .bind::<Text, _>(&notice.event)
    .bind::<Bool, _>(notice.serious)
    .bind::<Text, _>(&notice.words)
    .bind::<Text, _>(&notice.number)
    .execute(conn)
    .await?;
    sql_query(
        "DELETE FROM account_notices n WHERE n.account_id = ANY ($1) AND n.id <= (
           SELECT k.id FROM account_notices k WHERE k.account_id = n.account_id ORDER BY k.id DESC OFFSET $2 LIMIT 1)",
    )
    .bind::<Array<BigInt>, _>(accounts)
    .bind::<BigInt, _>(KEPT)
    .execute(conn)
    .await?;
    Ok(())
}

/// The newest of an account.
pub async fn latest(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<Vec<Told>> {
    sql_query(
        "SELECT at, serious, words FROM account_notices WHERE account_id = $1 ORDER BY id DESC LIMIT $2",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(SHOWN)
    .load(conn)
    .await
}
