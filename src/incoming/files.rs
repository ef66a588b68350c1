//! Files that people send: fetched from the gateway while it still has them, kept in the storage.
//!
//! Invariants: what a file is, its bytes decide; it is written to a temporary file and never held in memory; a file
//! that is too large or gone leaves its message as it is, with the reason; the gateway's token goes to the gateway's
//! own hosts alone. Owns `incoming_files`.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use crate::accounts;
use crate::app::App;
use crate::gateways::meta::media::Fetched;
use crate::gateways::waha::events::IncomingFile;
use crate::ids::{AccountId, CompanyId, IncomingId};
use crate::media::receive::Temporary;
use crate::media::sniff::{Found, sniff};

/// What is looked at together.
const AT_ONCE: usize = 4;
const LOOK: Duration = Duration::from_secs(2);
/// WhatsApp itself takes no more.
const MOST: u64 = 100 * 1024 * 1024;
/// After so many the file is given up.
const TRIES: i16 = 6;

/// Notes that a message has a file to be fetched.
pub(super) async fn note(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    account: AccountId,
    incoming: IncomingId,
    file: &IncomingFile,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO incoming_files (incoming_id, company_id, account_id, provider_id, sha256, file_name)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(incoming)
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(account)
    .bind::<Text, _>(&file.id)
    .bind::<Text, _>(&file.sha256)
    .bind::<Text, _>(file.name.chars().take(200).collect::<String>())
    .execute(conn)
    .await
}

/// A kept file, or why there is none.
#[derive(Debug, Clone, QueryableByName)]
pub struct Kept {
    #[diesel(sql_type = BigInt)]
    pub incoming_id: IncomingId,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Text)]
    pub mime: String,
    #[diesel(sql_type = BigInt)]
    pub size: i64,
    #[diesel(sql_type = Text)]
    pub file_name: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub storage_key: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
}

impl Kept {
    /// Shown in its place: pictures, sound and video that browsers play without running anything.
    pub fn is_shown(&self) -> bool {
        self.mime.starts_with("image/")
            || self.mime.starts_with("audio/")
            || self.mime.starts_with("video/")
    }

    /// The name people save it under.
    pub fn name(&self) -> String {
        if !self.file_name.is_empty() {
            return self.file_name.clone();
        }
        let ending = ENDINGS
            .iter()
            .find(|(mime, _)| *mime == self.mime)
            .map_or("bin", |(_, ending)| ending);
        format!("message-{}.{ending}", self.incoming_id)
    }
}

const ENDINGS: [(&str, &str); 14] = [
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/webp", "webp"),
    ("image/gif", "gif"),
    ("video/mp4", "mp4"),
    ("video/3gpp", "3gp"),
    ("audio/ogg", "ogg"),
    ("audio/amr", "amr"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/aac", "aac"),
    ("application/pdf", "pdf"),
    ("text/plain", "txt"),
    ("application/msword", "doc"),
];

const COLUMNS: &str =
    "SELECT incoming_id, state, mime, size, file_name, storage_key, reason FROM incoming_files";

pub async fn find(conn: &mut AsyncPgConnection, id: IncomingId) -> QueryResult<Option<Kept>> {
    sql_query(format!("{COLUMNS} WHERE incoming_id = $1"))
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await
        .optional()
}

/// Those of some messages.
pub async fn of(conn: &mut AsyncPgConnection, ids: &[i64]) -> QueryResult<Vec<Kept>> {
    sql_query(format!("{COLUMNS} WHERE incoming_id = ANY ($1)"))
        .bind::<diesel::sql_types::Array<BigInt>, _>(ids)
        .load(conn)
        .await
}

#[derive(Debug, QueryableByName)]
struct Due {
    #[diesel(sql_type = BigInt)]
    incoming_id: IncomingId,
    #[diesel(sql_type = BigInt)]
    company_id: CompanyId,
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(sql_type = Text)]
    provider_id: String,
    #[diesel(sql_type = SmallInt)]
    tries: i16,
}

/// Whoever takes one fetches it before another instance does: it is due again only later, after waits that grow.
const TAKE: &str = "
UPDATE incoming_files f SET tries = f.tries + 1,
  next_at = wablast_now() + (ARRAY[interval '3 minutes', '3 minutes', '10 minutes', '1 hour', '6 hours', '1 day'])[least(f.tries + 1, 6)]
FROM (SELECT incoming_id FROM incoming_files WHERE state = 'waiting' AND next_at <= wablast_now()
  ORDER BY next_at LIMIT 20 FOR UPDATE SKIP LOCKED) d
WHERE f.incoming_id = d.incoming_id
RETURNING f.incoming_id, f.company_id, f.account_id, f.provider_id, f.tries";

/// Fetches what is due; returns how many were kept.
pub async fn look(app: &App) -> anyhow::Result<usize> {
    let due: Vec<Due> = {
        let mut conn = app.db.system().await?;
        sql_query(TAKE).load(&mut conn).await?
    };
    let kept = stream::iter(due)
        .map(|one| async move {
            match fetch(app, &one).await {
                Ok(kept) => usize::from(kept),
                Err(error) => {
                    tracing::warn!(incoming = one.incoming_id.0, "fetching a file: {error:#}");
                    0
                }
            }
        })
        .buffer_unordered(AT_ONCE);
    Ok(kept.collect::<Vec<_>>().await.into_iter().sum())
}

/// One file; true when it was kept.
async fn fetch(app: &App, due: &Due) -> anyhow::Result<bool> {
    let account = {
        let mut conn = app.db.system().await?;
        accounts::query::find(&mut conn, due.account_id).await?
    };
    let meta = account.meta(app)?;
    let (temporary, mut file) = Temporary::new(app).await?;
    match meta.fetch(&due.provider_id, MOST, &mut file).await {
        Ok(Fetched::Whole) => {}
        Ok(Fetched::TooLarge) => {
            end(app, due, "too_large", "The file is larger than 100 MB.").await?;
            return Ok(false);
        }
        Ok(Fetched::Gone) => {
            end(app, due, "missing", "Meta has the file no longer.").await?;
            return Ok(false);
        }
        Err(reason) if due.tries >= TRIES => {
            end(app, due, "missing", &reason).await?;
            return Ok(false);
        }
        Err(reason) => anyhow::bail!(reason),
    }
    drop(file);
    let path = temporary.path().to_owned();
    let (mime, size) = tokio::task::spawn_blocking(move || kind(&path)).await??;
    keep(app, due, &temporary, mime, size).await?;
    Ok(true)
}

async fn keep(
    app: &App,
    due: &Due,
    temporary: &Temporary,
    mime: &str,
    size: u64,
) -> anyhow::Result<()> {
    let key = format!("{}/in-{}", due.company_id, crate::random::token(32));
    {
        // Written down first: what no row has is swept away.
        let mut conn = app.db.system().await?;
        crate::media::query::note_leftover(&mut conn, due.company_id, &key).await?;
    }
    app.storage.put_file(&key, temporary.path()).await?;
    let mut conn = app.db.system().await?;
    sql_query(
        "WITH kept AS (
           UPDATE incoming_files SET state = 'kept', mime = $2, size = $3, storage_key = $4, reason = NULL
           WHERE incoming_id = $1 AND state = 'waiting' RETURNING storage_key
         ) DELETE FROM media_leftovers l USING kept k WHERE l.storage_key = k.storage_key",
    )
    .bind::<BigInt, _>(due.incoming_id)
    .bind::<Text, _>(mime)
    .bind::<BigInt, _>(i64::try_from(size)?)
    .bind::<Text, _>(&key)
    .execute(&mut conn)
    .await?;
    Ok(())
}

async fn end(app: &App, due: &Due, state: &str, reason: &str) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    sql_query("UPDATE incoming_files SET state = $2, reason = $3 WHERE incoming_id = $1 AND state = 'waiting'")
        .bind::<BigInt, _>(due.incoming_id)
        .bind::<Text, _>(state)
        .bind::<Text, _>(reason)
        .execute(&mut conn)
        .await?;
    Ok(())
}

/// What it is, by its bytes, and how large. What is not known is nothing a browser opens.
fn kind(path: &std::path::Path) -> std::io::Result<(&'static str, u64)> {
    let mut file = std::fs::File::open(path)?;
    let size = file.seek(SeekFrom::End(0))?;
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.by_ref().take(16).read_to_end(&mut head)?;
    if let Some(mime) = heard_or_seen(&head) {
        return Ok((mime, size));
    }
    let mime = match sniff(&mut file)? {
        Found::Mime(mime) => mime,
        Found::CutOff | Found::Refused | Found::Unknown => "application/octet-stream",
    };
    Ok((mime, size))
}

/// Kinds that people send and mailings do not carry.
fn heard_or_seen(head: &[u8]) -> Option<&'static str> {
    match head {
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'O', b'g', b'g', b'S', ..] => Some("audio/ogg"),
        [b'#', b'!', b'A', b'M', b'R', ..] => Some("audio/amr"),
        [b'I', b'D', b'3', ..] | [0xFF, 0xFB | 0xF3 | 0xF2, ..] => Some("audio/mpeg"),
        [0xFF, 0xF1 | 0xF9, ..] => Some("audio/aac"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'M', b'4', b'A', ..] => Some("audio/mp4"),
        _ => None,
    }
}

/// Until `stop`.
pub async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        if let Err(error) = look(&app).await {
            tracing::error!("fetching files that people sent: {error:#}");
        }
        if let Err(error) = super::signs::follow(&app).await {
            tracing::error!("following what refusals say of people: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_send_is_known_by_its_bytes() {
        assert_eq!(heard_or_seen(b"RIFF\0\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(heard_or_seen(b"OggS\0\x02"), Some("audio/ogg"));
        assert_eq!(heard_or_seen(b"\0\0\0\x1cftypM4A "), Some("audio/mp4"));
        assert_eq!(heard_or_seen(b"<svg onload=x>"), None);
        assert_eq!(heard_or_seen(b""), None);
    }
}
