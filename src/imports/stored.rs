//! An uploaded file between instances: in pieces in the database, until the import is over. SQL of `import_chunks`.
//!
//! Invariants: what is imported is a table; a workbook of several sheets stays beside it, and goes with it; no more
//! than a piece is in memory.

use std::fs::File;
use std::path::Path;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Integer};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::spool::{Pieces, Spool};
use crate::db::Db;
use crate::error::Result;
use crate::ids::{CompanyId, ImportId};
use crate::schema::import_chunks;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// What is imported.
    Table,
    /// What it was read from.
    Workbook,
}

impl Kept {
    fn is_workbook(self) -> bool {
        self == Self::Workbook
    }
}

/// Keeps a file, in the place of one that was kept before.
pub(super) async fn put(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ImportId,
    what: Kept,
    file: File,
) -> Result<()> {
    diesel::delete(
        import_chunks::table
            .filter(import_chunks::import_id.eq(id))
            .filter(import_chunks::workbook.eq(what.is_workbook())),
    )
    .execute(conn)
    .await?;
    let mut pieces = Pieces::of(file).await.map_err(anyhow::Error::from)?;
    let mut number = 0;
    while let Some(piece) = pieces.next().await.map_err(anyhow::Error::from)? {
        sql_query(
            "INSERT INTO import_chunks (company_id, import_id, workbook, number, bytes) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind::<BigInt, _>(company)
        .bind::<BigInt, _>(id)
        .bind::<Bool, _>(what.is_workbook())
        .bind::<Integer, _>(number)
        .bind::<Binary, _>(&piece)
        .execute(conn)
        .await?;
        number += 1;
    }
    Ok(())
}

/// The file in a folder without a name there, put together from its pieces; `None`: none is kept.
pub(super) async fn fetch(
    db: &Db,
    folder: &Path,
    company: CompanyId,
    id: ImportId,
    what: Kept,
) -> Result<Option<File>> {
    let mut spool = Spool::open(folder)?;
    let mut number = 0;
    loop {
        // A transaction a piece: nothing is held while it is written.
        let mut conn = db.company(company).await?;
        let piece: Option<Vec<u8>> = import_chunks::table
            .find((id, what.is_workbook(), number))
            .select(import_chunks::bytes)
            .first(&mut *conn)
            .await
            .optional()?;
        let Some(bytes) = piece else { break };
        conn.commit().await?;
        spool.write(&bytes).await?;
        number += 1;
    }
    let file = spool.finish().await?;
    Ok((number > 0).then_some(file))
}

pub(super) async fn drop_all(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<usize> {
    diesel::delete(import_chunks::table.filter(import_chunks::import_id.eq(id)))
        .execute(conn)
        .await
}
