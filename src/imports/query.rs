//! SQL of `imports` and `import_rejected`. Row-level security keeps to one company;
//! `claim` and `sweep` see all.
//!
//! Invariants: every transition is one guarded UPDATE; who works on an import names its lease, and an
//! old lease changes nothing; the file goes in the statement that ends an import, or right behind it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::rejected::Refused;
use super::{Counts, Options, Tested, changes, stored};
use crate::error::Result;
use crate::ids::{CompanyId, ImportId, UserId};
use crate::schema::imports;

/// What is queued or running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Import,
    /// Everything but writing.
    Test,
}

impl Task {
    fn word(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Test => "test",
        }
    }

    fn of(word: &str) -> Self {
        if word == "test" {
            Self::Test
        } else {
            Self::Import
        }
    }
}

/// An import without its file.
#[derive(Debug, Clone, QueryableByName)]
pub struct Import {
    #[diesel(sql_type = BigInt)]
    pub id: ImportId,
    /// Who uploaded it.
    #[diesel(sql_type = BigInt)]
    pub user_id: UserId,
    #[diesel(sql_type = Text)]
    pub user_name: String,
    #[diesel(sql_type = Text)]
    pub file_name: String,
    #[diesel(sql_type = Jsonb)]
    options: serde_json::Value,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Text)]
    task: String,
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = BigInt)]
    pub position: i64,
    #[diesel(sql_type = BigInt)]
    created: i64,
    #[diesel(sql_type = BigInt)]
    updated: i64,
    #[diesel(sql_type = BigInt)]
    skipped: i64,
    #[diesel(sql_type = BigInt)]
    rejected: i64,
    #[diesel(sql_type = Nullable<Text>)]
    pub message: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    tested: Option<serde_json::Value>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
    /// People of it that were taken back out.
    #[diesel(sql_type = BigInt)]
    pub undone: i64,
    /// People who have back what it had replaced.
    #[diesel(sql_type = BigInt)]
    pub restored: i64,
    /// The file is still here.
    #[diesel(sql_type = Bool)]
    pub has_file: bool,
}

impl Import {
    pub fn options(&self) -> Result<Options> {
        let options = serde_json::from_value(self.options.clone());
        Ok(options.map_err(|error| anyhow::anyhow!("options of import {}: {error}", self.id))?)
    }

    pub fn counts(&self) -> Counts {
        Counts {
            rows: self.rows,
            created: self.created,
            updated: self.updated,
            skipped: self.skipped,
            rejected: self.rejected,
        }
    }

    pub fn task(&self) -> Task {
        Task::of(&self.task)
    }

    /// What the last test said.
    pub fn tested(&self) -> Option<Tested> {
        serde_json::from_value(self.tested.clone()?).ok()
    }

    pub fn is_draft(&self) -> bool {
        self.state == "draft"
    }

    pub fn is_under_way(&self) -> bool {
        matches!(self.state.as_str(), "queued" | "running")
    }
}

pub async fn find(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<Import> {
    sql_query(
        "SELECT i.id, i.user_id, u.name AS user_name, i.file_name, i.options, i.state, i.task, i.rows, i.position, i.created, i.updated,
           i.skipped, i.rejected, i.message, i.tested, i.created_at, i.finished_at, i.undone, i.restored,
           EXISTS (SELECT FROM import_chunks c WHERE c.import_id = i.id AND NOT c.workbook) AS has_file
         FROM imports i JOIN users u ON u.id = i.user_id WHERE i.id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
}

/// What a draft is made of.
pub(super) struct Draft<'a> {
    pub company: CompanyId,
    pub user: UserId,
    pub file_name: &'a str,
    pub options: &'a Options,
    pub rows: i64,
}

/// How the columns of an import were filled in, and when.
pub(super) struct Last {
    pub mapping: Vec<String>,
    pub at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct LastRow {
    #[diesel(sql_type = Jsonb)]
    mapping: serde_json::Value,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

/// Of the last import that ran with exactly these columns; `None`: there was none lately.
pub(super) async fn last_mapping(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    headers: &[&str],
) -> QueryResult<Option<Last>> {
    let found: Option<LastRow> = sql_query(
        "SELECT i.options->'mapping' AS mapping, i.created_at
         FROM (SELECT id, options, created_at FROM imports WHERE company_id = $1 AND state IN ('queued', 'running', 'done', 'failed')
           AND task = 'import' ORDER BY id DESC LIMIT 200) i
         WHERE (i.options->'format'->>'has_header')::boolean
           AND (SELECT jsonb_agg(c.value->'header' ORDER BY c.ordinality) FROM jsonb_array_elements(i.options->'columns') WITH ORDINALITY c) = $2
         ORDER BY i.id DESC LIMIT 1",
    )
    .bind::<BigInt, _>(company)
    .bind::<Jsonb, _>(serde_json::json!(headers))
    .get_result(conn)
    .await
    .optional()?;
    let mapping = |row: &LastRow| serde_json::from_value::<Vec<String>>(row.mapping.clone()).ok();
    Ok(found
        .and_then(|row| Some((mapping(&row)?, row.created_at)))
        .filter(|(mapping, _)| mapping.len() == headers.len())
        .map(|(mapping, at)| Last { mapping, at }))
}

pub(super) async fn insert(
    conn: &mut AsyncPgConnection,
    draft: &Draft<'_>,
) -> QueryResult<ImportId> {
    diesel::insert_into(imports::table)
        .values((
            imports::company_id.eq(draft.company),
            imports::user_id.eq(draft.user),
            imports::file_name.eq(draft.file_name),
            imports::options.eq(serde_json::json!(draft.options)),
            imports::rows.eq(draft.rows),
        ))
        .returning(imports::id)
        .get_result(conn)
        .await
}

/// A draft waits for whoever works on imports.
pub(super) async fn queue(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    task: Task,
    options: &Options,
) -> QueryResult<bool> {
    let queued = sql_query(
        "UPDATE imports SET state = 'queued', task = $2, options = $3, message = NULL, position = 0, tries = 0,
           lease = NULL, lease_until = NULL, tested = CASE WHEN $2 = 'test' THEN NULL ELSE tested END
         WHERE id = $1 AND state = 'draft'",
    )
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(task.word())
    .bind::<Jsonb, _>(serde_json::json!(options))
    .execute(conn)
    .await?;
    Ok(queued == 1)
}

/// Another table for a draft, with its columns; what was tested was the one before. `false`: it is no draft any more.
pub(super) async fn replace(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    options: &Options,
    rows: i64,
) -> QueryResult<bool> {
    let replaced = sql_query(
        "UPDATE imports SET options = $2, rows = $3, tested = NULL, message = NULL WHERE id = $1 AND state = 'draft'",
    )
    .bind::<BigInt, _>(id)
    .bind::<Jsonb, _>(serde_json::json!(options))
    .bind::<BigInt, _>(rows)
    .execute(conn)
    .await?;
    Ok(replaced == 1)
}

pub(super) async fn resume(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<bool> {
    let queued = sql_query(
        "UPDATE imports SET state = 'queued', message = NULL, tries = 0, finished_at = NULL
         WHERE id = $1 AND state = 'failed' AND EXISTS (SELECT FROM import_chunks WHERE import_id = $1)",
    )
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await?;
    Ok(queued == 1)
}

pub(super) async fn cancel(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<bool> {
    let canceled = sql_query(
        "UPDATE imports SET state = 'canceled', lease = NULL, lease_until = NULL, message = NULL, finished_at = wablast_now()
         WHERE id = $1 AND state IN ('draft', 'queued', 'running')",
    )
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await?;
    drop_file_if(conn, id, canceled == 1).await
}

async fn drop_file_if(conn: &mut AsyncPgConnection, id: ImportId, ends: bool) -> QueryResult<bool> {
    if ends {
        stored::drop_all(conn, id).await?;
    }
    Ok(ends)
}

/// A test is only given up: the file stays a draft.
pub(super) async fn stop_test(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<bool> {
    let stopped = sql_query(
        "UPDATE imports SET state = 'draft', position = 0, lease = NULL, lease_until = NULL
         WHERE id = $1 AND task = 'test' AND state IN ('queued', 'running')",
    )
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await?;
    Ok(stopped == 1)
}

/// An import that somebody works on.
#[derive(Debug, Clone, QueryableByName)]
pub(super) struct Claimed {
    #[diesel(sql_type = BigInt)]
    pub id: ImportId,
    #[diesel(sql_type = BigInt)]
    pub company_id: CompanyId,
    #[diesel(sql_type = SqlUuid)]
    pub lease: Uuid,
    #[diesel(sql_type = Integer)]
    pub tries: i32,
}

/// Takes the import that waits longest, or whose worker is gone; `only` that one.
pub(super) async fn claim(
    conn: &mut AsyncPgConnection,
    lease: Uuid,
    only: Option<ImportId>,
) -> QueryResult<Option<Claimed>> {
    sql_query(
        "WITH next AS (
           SELECT id FROM imports WHERE state IN ('queued', 'running')
             AND (lease_until IS NULL OR lease_until < wablast_now()) AND ($2 IS NULL OR id = $2)
           ORDER BY tries, id LIMIT 1 FOR UPDATE SKIP LOCKED)
         UPDATE imports i SET state = 'running', lease = $1, lease_until = wablast_now() + interval '60 seconds',
           tries = i.tries + 1, position = CASE WHEN i.task = 'test' THEN 0 ELSE i.position END
         FROM next WHERE i.id = next.id RETURNING i.id, i.company_id, i.lease, i.tries",
    )
    .bind::<SqlUuid, _>(lease)
    .bind::<Nullable<BigInt>, _>(only)
    .get_result(conn)
    .await
    .optional()
}

/// Locks an import for its next chunk and renews the lease. `false`: it is canceled or somebody else's.
pub(super) async fn hold(
    conn: &mut AsyncPgConnection,
    claimed: &Claimed,
    position: i64,
) -> QueryResult<bool> {
    let held = sql_query(
        "UPDATE imports SET lease_until = wablast_now() + interval '60 seconds'
         WHERE id = $1 AND lease = $2 AND state = 'running' AND position = $3",
    )
    .bind::<BigInt, _>(claimed.id)
    .bind::<SqlUuid, _>(claimed.lease)
    .bind::<BigInt, _>(position)
    .execute(conn)
    .await?;
    Ok(held == 1)
}

/// Stores what a chunk came to; in the transaction of [`hold`].
pub(super) async fn advance(
    conn: &mut AsyncPgConnection,
    claimed: &Claimed,
    position: i64,
    counts: &Counts,
    options: &Options,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE imports SET position = $3, created = $4, updated = $5, skipped = $6, rejected = $7, options = $8, tries = 0
         WHERE id = $1 AND lease = $2",
    )
    .bind::<BigInt, _>(claimed.id)
    .bind::<SqlUuid, _>(claimed.lease)
    .bind::<BigInt, _>(position)
    .bind::<BigInt, _>(counts.created)
    .bind::<BigInt, _>(counts.updated)
    .bind::<BigInt, _>(counts.skipped)
    .bind::<BigInt, _>(counts.rejected)
    .bind::<Jsonb, _>(serde_json::json!(options))
    .execute(conn)
    .await
}

/// How far a test is; of an import [`advance`] says it.
pub(super) async fn step(
    conn: &mut AsyncPgConnection,
    claimed: &Claimed,
    position: i64,
) -> QueryResult<usize> {
    sql_query("UPDATE imports SET position = $3, tries = 0 WHERE id = $1 AND lease = $2")
        .bind::<BigInt, _>(claimed.id)
        .bind::<SqlUuid, _>(claimed.lease)
        .bind::<BigInt, _>(position)
        .execute(conn)
        .await
}

pub(super) async fn add_rejected(
    conn: &mut AsyncPgConnection,
    claimed: &Claimed,
    refused: &[Refused],
) -> QueryResult<usize> {
    let lines: Vec<i64> = refused.iter().map(|row| signed(row.line)).collect();
    let cells: Vec<serde_json::Value> = refused
        .iter()
        .map(|row| serde_json::json!(row.cells))
        .collect();
    let reasons: Vec<&str> = refused.iter().map(|row| row.reason.as_str()).collect();
    sql_query(
        "INSERT INTO import_rejected (company_id, import_id, line, cells, reason)
         SELECT $1, $2, r.line, r.cells, r.reason FROM unnest($3::bigint[], $4::jsonb[], $5::text[]) AS r(line, cells, reason)",
    )
    .bind::<BigInt, _>(claimed.company_id)
    .bind::<BigInt, _>(claimed.id)
    .bind::<Array<BigInt>, _>(lines)
    .bind::<Array<Jsonb>, _>(cells)
    .bind::<Array<Text>, _>(reasons)
    .execute(conn)
    .await
}

fn signed(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}

/// All rows of an import are done.
pub(super) async fn finish(conn: &mut AsyncPgConnection, claimed: &Claimed) -> QueryResult<bool> {
    let finished = sql_query(
        "UPDATE imports SET state = 'done', rows = position, lease = NULL, lease_until = NULL, message = NULL,
           finished_at = wablast_now() WHERE id = $1 AND lease = $2 AND state = 'running'",
    )
    .bind::<BigInt, _>(claimed.id)
    .bind::<SqlUuid, _>(claimed.lease)
    .execute(conn)
    .await?;
    drop_file_if(conn, claimed.id, finished == 1).await
}

/// A test is over, or nothing of an import could be begun: a draft again, with what there is to say.
pub(super) async fn back_to_draft(
    conn: &mut AsyncPgConnection,
    claimed: &Claimed,
    tested: Option<&Tested>,
    message: Option<&str>,
) -> QueryResult<bool> {
    let back = sql_query(
        "UPDATE imports SET state = 'draft', position = 0, lease = NULL, lease_until = NULL, tries = 0, tested = $3, message = $4
         WHERE id = $1 AND lease = $2 AND state = 'running'",
    )
    .bind::<BigInt, _>(claimed.id)
    .bind::<SqlUuid, _>(claimed.lease)
    .bind::<Nullable<Jsonb>, _>(tested.map(|tested| serde_json::json!(tested)))
    .bind::<Nullable<Text>, _>(message)
    .execute(conn)
    .await?;
    Ok(back == 1)
}

pub(super) async fn fail(
    conn: &mut AsyncPgConnection,
    claimed: &Claimed,
    message: &str,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE imports SET state = 'failed', lease = NULL, lease_until = NULL, message = $3, finished_at = wablast_now()
         WHERE id = $1 AND lease = $2 AND state = 'running'",
    )
    .bind::<BigInt, _>(claimed.id)
    .bind::<SqlUuid, _>(claimed.lease)
    .bind::<Text, _>(message)
    .execute(conn)
    .await
}

/// Gives an import back: at once, or `after` seconds.
pub(super) async fn release(
    conn: &mut AsyncPgConnection,
    claimed: &Claimed,
    after: i32,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE imports SET state = 'queued', lease = NULL, tries = CASE WHEN $3 = 0 THEN tries - 1 ELSE tries END,
           lease_until = CASE WHEN $3 = 0 THEN NULL ELSE wablast_now() + make_interval(secs => $3) END
         WHERE id = $1 AND lease = $2 AND state = 'running'",
    )
    .bind::<BigInt, _>(claimed.id)
    .bind::<SqlUuid, _>(claimed.lease)
    .bind::<Integer, _>(after)
    .execute(conn)
    .await
}

#[derive(QueryableByName)]
struct RejectedRow {
    #[diesel(sql_type = BigInt)]
    line: i64,
    #[diesel(sql_type = Jsonb)]
    cells: serde_json::Value,
    #[diesel(sql_type = Text)]
    reason: String,
}

/// Rows that were not imported, in the order of the file, behind a line.
pub async fn rejected(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    after: u64,
    most: i64,
) -> QueryResult<Vec<Refused>> {
    let rows: Vec<RejectedRow> = sql_query(
        "SELECT line, cells, reason FROM import_rejected WHERE import_id = $1 AND line > $2 ORDER BY line LIMIT $3",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(signed(after))
    .bind::<BigInt, _>(most)
    .load(conn)
    .await?;
    let refused = rows.into_iter().map(|row| Refused {
        line: u64::try_from(row.line).unwrap_or_default(),
        cells: serde_json::from_value(row.cells).unwrap_or_default(),
        reason: row.reason,
    });
    Ok(refused.collect())
}

/// Cells of the longest row that was not imported; 0: there is none.
pub async fn longest_rejected(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<usize> {
    #[derive(QueryableByName)]
    struct Length {
        #[diesel(sql_type = BigInt)]
        length: i64,
    }
    let longest: Length = sql_query(
        "SELECT coalesce(max(greatest(jsonb_array_length(cells), 1)), 0)::bigint AS length FROM import_rejected WHERE import_id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(usize::try_from(longest.length).unwrap_or_default())
}

/// The file of an import that ended before such rows were kept singly.
pub async fn old_rejected_file(
    conn: &mut AsyncPgConnection,
    id: ImportId,
) -> QueryResult<Option<String>> {
    imports::table
        .find(id)
        .select(imports::rejected_file)
        .first(conn)
        .await
}

/// Drafts nobody came back to, files of imports that failed, rejected rows nobody corrected, and what could have been
/// taken back: gone after a while, for they are people's numbers.
pub async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    sql_query(
        "UPDATE imports SET state = 'canceled', message = NULL, finished_at = wablast_now()
         WHERE state = 'draft' AND created_at < wablast_now() - interval '7 days'",
    )
    .execute(conn)
    .await?;
    sql_query(
        "DELETE FROM import_chunks c USING imports i WHERE i.id = c.import_id AND (i.state IN ('done', 'canceled')
           OR i.state = 'failed' AND i.finished_at < wablast_now() - interval '7 days')",
    )
    .execute(conn)
    .await?;
    sql_query(
        "DELETE FROM import_rejected r USING imports i
         WHERE i.id = r.import_id AND i.finished_at < wablast_now() - interval '90 days'",
    )
    .execute(conn)
    .await?;
    changes::sweep(conn).await?;
    Ok(())
}
