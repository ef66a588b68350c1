//! SQL of `imports`. Row-level security keeps to one company.
//!
//! Invariant: only a draft is begun or canceled, and the file goes in the statement that ends an import.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Counts, Options};
use crate::db::wablast_now;
use crate::error::Result;
use crate::ids::{CompanyId, ImportId, UserId};
use crate::schema::imports;

/// An import without its file.
#[derive(Debug, Clone, QueryableByName)]
pub struct Import {
    #[diesel(sql_type = BigInt)]
    pub id: ImportId,
    #[diesel(sql_type = Text)]
    pub user_name: String,
    #[diesel(sql_type = Text)]
    pub file_name: String,
    #[diesel(sql_type = Jsonb)]
    options: serde_json::Value,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = BigInt)]
    rows: i64,
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
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub finished_at: Option<DateTime<Utc>>,
    /// The file is still here.
    #[diesel(sql_type = Bool)]
    pub has_content: bool,
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

    pub fn is_draft(&self) -> bool {
        self.state == "draft"
    }
}

pub async fn find(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<Import> {
    sql_query(
        "SELECT i.id, u.name AS user_name, i.file_name, i.options, i.state, i.rows, i.created, i.updated, i.skipped, i.rejected,
           i.message, i.created_at, i.finished_at, i.content IS NOT NULL AS has_content
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
    pub content: &'a [u8],
    pub rows: i64,
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
            imports::content.eq(draft.content),
            imports::rows.eq(draft.rows),
        ))
        .returning(imports::id)
        .get_result(conn)
        .await
}

/// Takes a draft; a second one who tries waits for the first transaction and then gets `false`.
pub(super) async fn begin(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<bool> {
    let draft = imports::table.find(id).filter(imports::state.eq("draft"));
    let taken = diesel::update(draft)
        .set(imports::state.eq("running"))
        .execute(conn)
        .await?;
    Ok(taken == 1)
}

pub(super) async fn content(
    conn: &mut AsyncPgConnection,
    id: ImportId,
) -> QueryResult<Option<Vec<u8>>> {
    imports::table
        .find(id)
        .select(imports::content)
        .first(conn)
        .await
}

pub(super) async fn finish(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    counts: &Counts,
    options: &Options,
    rejected_file: Option<&str>,
) -> QueryResult<usize> {
    diesel::update(imports::table.find(id))
        .set((
            imports::state.eq("done"),
            imports::content.eq(None::<Vec<u8>>),
            imports::options.eq(serde_json::json!(options)),
            imports::rows.eq(counts.rows),
            imports::created.eq(counts.created),
            imports::updated.eq(counts.updated),
            imports::skipped.eq(counts.skipped),
            imports::rejected.eq(counts.rejected),
            imports::rejected_file.eq(rejected_file),
            imports::finished_at.eq(wablast_now().nullable()),
        ))
        .execute(conn)
        .await
}

pub(super) async fn cancel(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<bool> {
    let draft = imports::table.find(id).filter(imports::state.eq("draft"));
    let canceled = diesel::update(draft)
        .set((
            imports::state.eq("canceled"),
            imports::content.eq(None::<Vec<u8>>),
            imports::finished_at.eq(wablast_now().nullable()),
        ))
        .execute(conn)
        .await?;
    Ok(canceled == 1)
}

/// The rows that were not imported, as CSV; none: every row was.
pub async fn rejected_file(
    conn: &mut AsyncPgConnection,
    id: ImportId,
) -> QueryResult<Option<String>> {
    imports::table
        .find(id)
        .select(imports::rejected_file)
        .first(conn)
        .await
}
