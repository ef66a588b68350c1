//! Trouble slows an account down, where it asks for that: half the rate and twice the pauses, rising again by
//! itself within minutes, with the reason kept for its page.
//!
//! Invariants: one trouble a minute counts; nothing is stopped and nobody is left out. Owns the `slowed_*`
//! columns of `account_sending`.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::{AccountId, CompanyId};

/// What made an account slower; a sentence of its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// An acknowledgement said ERROR.
    ErrorAck,
    /// WhatsApp's error 463: the number writes to people who do not know it.
    ColdContact,
    /// Three people within an hour.
    OptOuts,
    SessionDropped,
}

impl Trouble {
    fn sentence(self) -> &'static str {
        match self {
            Self::ErrorAck => "WhatsApp reported an error for a message it had taken.",
            Self::ColdContact => {
                "WhatsApp refused a message to somebody who does not know this number (error 463)."
            }
            Self::OptOuts => "Several people opted out within an hour.",
            Self::SessionDropped => "The session dropped.",
        }
    }
}

const SLOW: &str = "
WITH slowed AS (
  UPDATE account_sending SET slowed_at = wablast_now(), slowed_why = $2
  WHERE account_id = $1 AND slow_down AND (slowed_at IS NULL OR slowed_at < wablast_now() - interval '1 minute')
  RETURNING account_id
)
UPDATE account_pace p SET slow = greatest(1.0 / 64, wablast_slowed(p.slow, p.slowed_at, wablast_now()) / 2), slowed_at = wablast_now()
FROM slowed s WHERE p.account_id = s.account_id";

pub async fn trouble(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    what: Trouble,
) -> QueryResult<usize> {
    sql_query(SLOW)
        .bind::<BigInt, _>(account)
        .bind::<Text, _>(what.sentence())
        .execute(conn)
        .await
}

/// Somebody opted out by writing to the account; the third within an hour is trouble.
pub async fn opted_out(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    account: AccountId,
) -> QueryResult<()> {
    #[derive(QueryableByName)]
    struct Lately {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let lately: Lately = sql_query(
        "SELECT count(*) AS n FROM (SELECT i.account_id, i.opted_out, i.received_at FROM incoming i
           WHERE i.company_id = $2 ORDER BY i.id DESC LIMIT 500) l
         WHERE l.account_id = $1 AND l.opted_out AND l.received_at > wablast_now() - interval '1 hour'
           AND EXISTS (SELECT FROM account_sending s WHERE s.account_id = $1 AND s.slow_down)",
    )
    .bind::<BigInt, _>(account)
    .bind::<BigInt, _>(company)
    .get_result(conn)
    .await?;
    if lately.n >= 3 {
        trouble(conn, account, Trouble::OptOuts).await?;
    }
    Ok(())
}
