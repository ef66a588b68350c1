//! Sessions: who is signed in, kept in PostgreSQL so that signing out works everywhere at once.
//!
//! Invariants: only the hash of a cookie's id is stored; a session ends 8 hours after its last use and
//! 24 hours after its start, and its row only still says for a day whose it was. Owns `sessions`. Knows
//! no cookie.

use chrono::{DateTime, Duration, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use sha2::{Digest as _, Sha256};

use crate::ids::UserId;
use crate::schema::sessions;

pub const IDLE: Duration = Duration::hours(8);
pub const ABSOLUTE: Duration = Duration::hours(24);
/// How long after its end a session still says whose it was.
const REMEMBERED: Duration = Duration::hours(24);
/// Use is noted this often, not with every request.
const NOTE_USE: Duration = Duration::minutes(1);

fn hashed(id: &str) -> Vec<u8> {
    Sha256::digest(id.as_bytes()).to_vec()
}

/// What a session says that was loaded.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded {
    Live(serde_json::Value),
    /// It is over: nobody is signed in; whose it was.
    Ended(UserId),
}

/// The state of a live session, or whose the ended one was.
pub async fn load(
    conn: &mut AsyncPgConnection,
    id: &str,
    now: DateTime<Utc>,
) -> QueryResult<Option<Loaded>> {
    type Row = (
        serde_json::Value,
        Option<UserId>,
        DateTime<Utc>,
        DateTime<Utc>,
    );
    let found: Option<Row> = sessions::table
        .find(hashed(id))
        .select((
            sessions::state,
            sessions::user_id,
            sessions::last_used_at,
            sessions::created_at,
        ))
        .first(conn)
        .await
        .optional()?;
    let Some((state, user, last_used_at, created_at)) = found else {
        return Ok(None);
    };
    if last_used_at <= now - IDLE || created_at <= now - ABSOLUTE {
        return Ok(user.map(Loaded::Ended));
    }
    if now - last_used_at > NOTE_USE {
        diesel::update(sessions::table.find(hashed(id)))
            .set(sessions::last_used_at.eq(now))
            .execute(conn)
            .await?;
    }
    Ok(Some(Loaded::Live(state)))
}

/// Where a session was begun, as far as the browser tells.
#[derive(Debug, Clone, Default)]
pub struct Begun {
    pub address: Option<String>,
    pub agent: Option<String>,
}

pub async fn store(
    conn: &mut AsyncPgConnection,
    id: &str,
    user: Option<UserId>,
    begun: &Begun,
    state: &serde_json::Value,
    now: DateTime<Utc>,
) -> QueryResult<usize> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id_hash.eq(hashed(id)),
            sessions::user_id.eq(user),
            sessions::state.eq(state),
            sessions::address.eq(&begun.address),
            sessions::agent.eq(&begun.agent),
            sessions::created_at.eq(now),
            sessions::last_used_at.eq(now),
        ))
        .execute(conn)
        .await
}

/// Replaces the state; false when the session is gone or over.
pub async fn update(
    conn: &mut AsyncPgConnection,
    id: &str,
    user: Option<UserId>,
    begun: &Begun,
    state: &serde_json::Value,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let live = sessions::table
        .find(hashed(id))
        .filter(sessions::last_used_at.gt(now - IDLE))
        .filter(sessions::created_at.gt(now - ABSOLUTE));
    let changed = diesel::update(live)
        .set((
            sessions::state.eq(state),
            sessions::user_id.eq(user),
            sessions::address.eq(&begun.address),
            sessions::agent.eq(&begun.agent),
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

/// A living session as an administrator sees it.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = sessions)]
pub struct Seen {
    pub created_at: DateTime<Utc>,
    pub last_used_at: DateTime<Utc>,
    pub address: Option<String>,
    pub agent: Option<String>,
}

impl Seen {
    /// "Firefox, Linux"; empty where the browser did not say.
    pub fn program(&self) -> String {
        let agent = self.agent.as_deref().unwrap_or_default();
        // The order matters: most browsers name others too.
        let browser = [
            ("Edg", "Edge"),
            ("OPR/", "Opera"),
            ("Firefox", "Firefox"),
            ("Chrom", "Chrome"),
            ("Safari", "Safari"),
        ];
        let system = [
            ("Android", "Android"),
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Windows", "Windows"),
            ("Mac OS", "macOS"),
            ("Linux", "Linux"),
        ];
        let known = |words: &[(&str, &'static str)]| {
            words
                .iter()
                .find(|(word, _)| agent.contains(word))
                .map(|(_, name)| *name)
        };
        let parts: Vec<&str> = [known(&browser), known(&system)]
            .into_iter()
            .flatten()
            .collect();
        parts.join(", ")
    }
}

/// A user's living sessions, the last used first.
pub async fn of(
    conn: &mut AsyncPgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Seen>> {
    sessions::table
        .filter(sessions::user_id.eq(user))
        .filter(sessions::last_used_at.gt(now - IDLE))
        .filter(sessions::created_at.gt(now - ABSOLUTE))
        .order(sessions::last_used_at.desc())
        .limit(50)
        .select(Seen::as_select())
        .load(conn)
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
                .lt(now - IDLE - REMEMBERED)
                .or(sessions::created_at.lt(now - ABSOLUTE - REMEMBERED)),
        ),
    )
    .execute(conn)
    .await
}
