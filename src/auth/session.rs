//! Sessions: who is signed in, kept in PostgreSQL so that signing out works everywhere at once.
//!
//! Invariants: only the hash of a cookie's id is stored; a session ends 8 hours after its last use and
//! 24 hours after its start. Owns `sessions`. Knows no cookie.

use chrono::{DateTime, Duration, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use sha2::{Digest as _, Sha256};

use crate::ids::UserId;
use crate::schema::sessions;

pub const IDLE: Duration = Duration::hours(8);
pub const ABSOLUTE: Duration = Duration::hours(24);
/// Use is noted this often, not with every request.
const NOTE_USE: Duration = Duration::minutes(1);

fn hashed(id: &str) -> Vec<u8> {
    Sha256::digest(id.as_bytes()).to_vec()
}

/// The state of a live session.
pub async fn load(
    conn: &mut AsyncPgConnection,
    id: &str,
    now: DateTime<Utc>,
) -> QueryResult<Option<serde_json::Value>> {
    let found: Option<(serde_json::Value, DateTime<Utc>)> = sessions::table
        .find(hashed(id))
        .filter(sessions::last_used_at.gt(now - IDLE))
        .filter(sessions::created_at.gt(now - ABSOLUTE))
        .select((sessions::state, sessions::last_used_at))
        .first(conn)
        .await
        .optional()?;
    let Some((state, last_used_at)) = found else {
        return Ok(None);
    };
    if now - last_used_at > NOTE_USE {
        diesel::update(sessions::table.find(hashed(id)))
            .set(sessions::last_used_at.eq(now))
            .execute(conn)
            .await?;
    }
    Ok(Some(state))
}

pub async fn store(
    conn: &mut AsyncPgConnection,
    id: &str,
    user: Option<UserId>,
    state: &serde_json::Value,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id_hash.eq(hashed(id)),
            sessions::user_id.eq(user),
            sessions::state.eq(state),
            sessions::created_at.eq(now),
            sessions::last_used_at.eq(now),
        ))
        .execute(conn)
        .await
}

/// Replaces the state; false when the session is gone.
pub async fn update(
    conn: &mut AsyncPgConnection,
    id: &str,
    user: Option<UserId>,
    state: &serde_json::Value,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let changed = diesel::update(sessions::table.find(hashed(id)))
        .set((
            sessions::state.eq(state),
            sessions::user_id.eq(user),
            sessions::last_used_at.eq(now),
        ))
        .execute(conn)
        .await?;
    Ok(changed == 1)
}

pub async fn delete(conn: &mut AsyncPgConnection, id: &str) -> QueryResult<usize> {
    diesel::delete(sessions::table.find(hashed(id)))
        .execute(conn)
        .await
}

/// Ends all sessions of a user but the one with this id.
pub async fn end_others(
    conn: &mut AsyncPgConnection,
    user: UserId,
    keep: Option<&str>,
) -> QueryResult<usize> {
    let keep = keep.map(hashed).unwrap_or_default();
    diesel::delete(
        sessions::table
            .filter(sessions::user_id.eq(user))
            .filter(sessions::id_hash.ne(keep)),
    )
    .execute(conn)
    .await
}

/// Removes what is over.
pub async fn sweep(conn: &mut AsyncPgConnection, now: DateTime<Utc>) -> QueryResult<usize> {
    diesel::delete(
        sessions::table.filter(
            sessions::last_used_at
                .lt(now - IDLE)
                .or(sessions::created_at.lt(now - ABSOLUTE)),
        ),
    )
    .execute(conn)
    .await
}
