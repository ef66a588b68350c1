//! Failed sign-ins: each one after the fourth doubles the wait, up to 15 minutes; never a lock for ever.
//!
//! Counted by e-mail and by address, in PostgreSQL, so that several instances slow down together. Owns
//! `login_failures`.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::schema::login_failures;

const FREE: i32 = 4;
const LONGEST_SECONDS: i64 = 15 * 60;

/// Seconds this subject still has to wait; 0: may try.
pub async fn wait(
    conn: &mut AsyncPgConnection,
    subject: &str,
    now: DateTime<Utc>,
) -> QueryResult<u64> {
    let known: Option<(i32, DateTime<Utc>)> = login_failures::table
        .find(subject)
        .select((login_failures::failures, login_failures::last_at))
        .first(conn)
        .await
        .optional()?;
    Ok(known.map_or(0, |(failures, last)| {
        remaining(failures, (now - last).num_seconds())
    }))
}

fn remaining(failures: i32, seconds_since: i64) -> u64 {
    if failures <= FREE {
        return 0;
    }
    let doublings = u32::try_from(failures - FREE - 1).unwrap_or(0).min(20);
    let wait = (1_i64 << doublings).min(LONGEST_SECONDS);
    u64::try_from(wait - seconds_since).unwrap_or(0)
}

pub async fn note(
    conn: &mut AsyncPgConnection,
    subject: &str,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO login_failures (subject, failures, last_at) VALUES ($1, 1, $2)
         ON CONFLICT (subject) DO UPDATE SET last_at = $2,
           failures = CASE WHEN login_failures.last_at < $2 - interval '1 day' THEN 1 ELSE login_failures.failures + 1 END",
    )
    .bind::<Text, _>(subject)
    .bind::<Timestamptz, _>(now)
    .execute(conn)
    .await
}

/// A sign-in that worked ends the count.
pub async fn forget(conn: &mut AsyncPgConnection, subject: &str) -> QueryResult<usize> {
    diesel::delete(login_failures::table.find(subject))
        .execute(conn)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_the_fifth_failure_to_a_quarter_of_an_hour() {
        assert_eq!(
            [1, 4, 5, 6, 7, 30].map(|failures| remaining(failures, 0)),
            [0, 0, 1, 2, 4, 900]
        );
        assert_eq!(remaining(7, 3), 1);
        assert_eq!(remaining(7, 10), 0);
    }
}
