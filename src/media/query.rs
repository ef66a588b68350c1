//! SQL of media. Row-level security keeps to one company; links and the sweep see all.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Media, Received};
use crate::db::wablast_now;
use crate::ids::{CompanyId, MediaId, UserId};
use crate::schema::{media, media_leftovers};

pub async fn find(conn: &mut AsyncPgConnection, id: MediaId) -> QueryResult<Media> {
    media::table
        .find(id)
        .select(Media::as_select())
        .first(conn)
        .await
}

/// Held until the transaction ends: whoever keeps or deletes the same bytes waits.
pub(super) async fn lock_bytes(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    sha256: &[u8],
) -> QueryResult<usize> {
    sql_query(
        "SELECT pg_advisory_xact_lock(hashtextextended('media ' || $1 || encode($2, 'hex'), 0))",
    )
    .bind::<BigInt, _>(company)
    .bind::<Binary, _>(sha256)
    .execute(conn)
    .await
}

/// Where the company's file with these bytes lies.
pub(super) async fn key_of(
    conn: &mut AsyncPgConnection,
    sha256: &[u8],
) -> QueryResult<Option<String>> {
    media::table
        .filter(media::sha256.eq(sha256))
        .select(media::storage_key)
        .first(conn)
        .await
        .optional()
}

/// The row of a file; the one that is there when the company has it under this name.
pub(super) async fn insert(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    received: &Received,
    key: &str,
) -> QueryResult<Media> {
    diesel::insert_into(media::table)
        .values((
            media::company_id.eq(company),
            media::kind.eq(received.kind.as_str()),
            media::file_name.eq(&received.file_name),
            media::mime.eq(received.mime),
            media::size.eq(i64::try_from(received.size).unwrap_or(i64::MAX)),
            media::sha256.eq(&received.sha256),
            media::storage_key.eq(key),
            media::created_by.eq(user),
        ))
        .on_conflict((media::company_id, media::sha256, media::file_name))
        .do_update()
        .set(media::used_at.eq(wablast_now()))
        .returning(Media::as_returning())
        .get_result(conn)
        .await
}

pub async fn note_leftover(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    key: &str,
) -> QueryResult<usize> {
    diesel::insert_into(media_leftovers::table)
        .values((
            media_leftovers::storage_key.eq(key),
            media_leftovers::company_id.eq(company),
        ))
        .execute(conn)
        .await
}

pub(super) async fn forget_leftover(conn: &mut AsyncPgConnection, key: &str) -> QueryResult<usize> {
    diesel::delete(media_leftovers::table.find(key))
        .execute(conn)
        .await
}

#[derive(Debug, QueryableByName)]
pub(super) struct Unused {
    #[diesel(sql_type = BigInt)]
    pub id: MediaId,
    #[diesel(sql_type = BigInt)]
    pub company_id: CompanyId,
    #[diesel(sql_type = Binary)]
    pub sha256: Vec<u8>,
    #[diesel(sql_type = Text)]
    pub storage_key: String,
}

/// Nothing refers to it, and it was not uploaded within a day.
const UNUSED: &str = "m.used_at < wablast_now() - interval '24 hours'
   AND NOT EXISTS (SELECT FROM mailings g WHERE g.media_id = m.id)
   AND NOT EXISTS (SELECT FROM mailing_versions v WHERE v.media_id = m.id)
   AND NOT EXISTS (SELECT FROM outgoing_content c WHERE c.media_id = m.id)
   AND NOT EXISTS (SELECT FROM templates t WHERE t.media_id = m.id)";

pub(super) async fn unused(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Unused>> {
    sql_query(format!(
        "SELECT m.id, m.company_id, m.sha256, m.storage_key FROM media m WHERE {UNUSED} ORDER BY m.id LIMIT 1000"
    ))
    .load(conn)
    .await
}

/// Deletes the row, if it is still unused, and notes its bytes as a leftover when no other row has them.
pub(super) async fn delete_unused(
    conn: &mut AsyncPgConnection,
    unused: &Unused,
) -> QueryResult<bool> {
    lock_bytes(conn, unused.company_id, &unused.sha256).await?;
    let deleted = sql_query(format!("DELETE FROM media m WHERE m.id = $1 AND {UNUSED}"))
        .bind::<BigInt, _>(unused.id)
        .execute(conn)
        .await?;
    if deleted == 1 {
        sql_query(
            "INSERT INTO media_leftovers (storage_key, company_id, since)
             SELECT $1, $2, '-infinity' WHERE NOT EXISTS (SELECT FROM media WHERE storage_key = $1)",
        )
        .bind::<Text, _>(&unused.storage_key)
        .bind::<BigInt, _>(unused.company_id)
        .execute(conn)
        .await?;
    }
    Ok(deleted == 1)
}

/// Keys that have waited for a row, or for being deleted, long enough.
pub(super) async fn leftovers(conn: &mut AsyncPgConnection) -> QueryResult<Vec<String>> {
    #[derive(QueryableByName)]
    struct Key {
        #[diesel(sql_type = Text)]
        storage_key: String,
    }
    let keys: Vec<Key> = sql_query(
        "SELECT storage_key FROM media_leftovers WHERE since < wablast_now() - interval '24 hours' ORDER BY since LIMIT 1000",
    )
    .load(conn)
    .await?;
    Ok(keys.into_iter().map(|key| key.storage_key).collect())
}
