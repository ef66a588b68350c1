//! Freezing: who a mailing goes to, decided when it is released.
//!
//! Invariants: nobody is in twice, because one statement takes the contacts up to an id and the other those behind
//! it; the first statement is small, so that the first messages leave while a million others are still being
//! decided; one instance freezes at a time, and the large statement holds no row of the mailing, so that a pause
//! or a cancel does not wait for it. Writes `audience`; does not know what becomes of it.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::audience;
use crate::ids::MailingId;
use crate::schema::mailings;

/// About how many people the head has: one step of the release.
const HEAD: i64 = 10_000;

/// The contact up to which the head goes: no list has more than [`HEAD`] people before it. `None`: everybody is
/// the head.
async fn bound(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Bound {
        #[diesel(sql_type = Nullable<BigInt>)]
        bound: Option<i64>,
    }
    let found: Bound = sql_query(
        "SELECT min(bound) AS bound FROM (
           SELECT (SELECT lm.contact_id FROM list_members lm WHERE lm.list_id = ml.list_id ORDER BY lm.contact_id OFFSET $2 LIMIT 1) AS bound
           FROM mailings m JOIN mailing_lists ml ON ml.mailing_id = m.id AND NOT ml.excluded WHERE m.id = $1 AND m.recipients = 'lists'
           UNION ALL
           SELECT (SELECT mc.contact_id FROM mailing_contacts mc WHERE mc.mailing_id = m.id ORDER BY mc.contact_id OFFSET $2 LIMIT 1)
           FROM mailings m WHERE m.id = $1 AND m.recipients = 'contacts') b",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(HEAD)
    .get_result(conn)
    .await?;
    Ok(found.bound)
}

/// Decides who comes first, and everybody of a small mailing. The caller holds the mailing's row.
pub(super) async fn head(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<()> {
    let bound = bound(conn, id).await?;
    // PostgreSQL wants every parameter used.
    let stretch = if bound.is_some() {
        "<= $2"
    } else {
        "IS NOT NULL AND $2 IS NULL"
    };
    let size = insert(conn, id, stretch, bound, 0).await?;
    diesel::update(mailings::table.find(id))
        .set((
            mailings::head_up_to.eq(bound),
            mailings::head_size.eq(size),
            mailings::audience_size.eq(bound.is_none().then_some(size)),
            mailings::release_done.eq(bound.is_none() && size == 0),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Decides who follows the head. False: another instance is at it, or it was done.
pub(super) async fn rest(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Locked {
        #[diesel(sql_type = Bool)]
        locked: bool,
    }
    let lock: Locked = sql_query(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('freeze ' || $1, 0)) AS locked",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    if !lock.locked {
        return Ok(false);
    }
    // A statement of its own: it sees what whoever had the lock before committed.
    type Row = (Option<i64>, Option<i64>, Option<i64>);
    let (bound, head, size): Row = mailings::table
        .find(id)
        .select((
            mailings::head_up_to,
            mailings::head_size,
            mailings::audience_size,
        ))
        .first(conn)
        .await?;
    let (Some(bound), Some(head), None) = (bound, head, size) else {
        return Ok(false);
    };
    let size = head + insert(conn, id, "> $2", Some(bound), head).await?;
    diesel::update(mailings::table.find(id))
        .set((
            mailings::audience_size.eq(size),
            mailings::release_done.eq(mailings::released_position.ge(size)),
        ))
        .execute(conn)
        .await?;
    Ok(true)
}

/// `stretch`: of which contacts, over `$2`; `after`: the position before the first.
async fn insert(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    stretch: &str,
    bound: Option<i64>,
    after: i64,
) -> QueryResult<i64> {
    let inserted = sql_query(format!(
        "INSERT INTO audience (company_id, mailing_id, position, contact_id, list_id, number, list_opted_out)
         SELECT m.company_id, m.id, $3 + row_number() OVER (ORDER BY n.contact_id), n.contact_id, n.list_id, n.number, n.list_opted_out
         FROM mailings m, ({people}) n WHERE m.id = $1",
        people = audience::with_numbers(stretch)
    ))
    .bind::<BigInt, _>(id)
    .bind::<Nullable<BigInt>, _>(bound)
    .bind::<BigInt, _>(after)
    .execute(conn)
    .await?;
    Ok(i64::try_from(inserted).unwrap_or(i64::MAX))
}
