//! The file of rows that were not imported, as it streams out.
//!
//! Invariant: however many rows there are, some thousand are in memory.

use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::query;
use super::rejected::Writer;
use super::require_rows;
use crate::auth::Caller;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{CompanyId, ImportId};

/// Rows read at once.
const ROWS: i64 = 2_000;
/// Tells spreadsheets that this is UTF-8.
const MARK: char = '\u{feff}';

/// The file in parts, for whoever uploaded it or a manager; not found: every row was imported, or the rows
/// are gone.
pub async fn rejected_file(
    db: &Db,
    caller: &Caller,
    id: ImportId,
) -> Result<BoxStream<'static, Result<String>>> {
    let company = caller.company;
    let mut conn = db.company(company).await?;
    let import = query::find(&mut conn, id).await?;
    require_rows(&import, caller)?;
    let longest = query::longest_rejected(&mut conn, id).await?;
    if longest == 0 {
        let old = query::old_rejected_file(&mut conn, id).await?;
        let whole = format!("{MARK}{}", old.ok_or(Error::NotFound)?);
        return Ok(stream::once(async { Ok(whole) }).boxed());
    }
    conn.commit().await?;
    let options = import.options()?;
    let writer = Writer::new(&options, longest);
    let header = format!("{MARK}{}", writer.header(&options)?);
    let rows = Rows {
        db: db.clone(),
        company,
        id,
        writer,
        after: 0,
    };
    let rows = stream::try_unfold(rows, Rows::next);
    Ok(stream::once(async { Ok(header) }).chain(rows).boxed())
}

struct Rows {
    db: Db,
    company: CompanyId,
    id: ImportId,
    writer: Writer,
    after: u64,
}

impl Rows {
    async fn next(mut self) -> Result<Option<(String, Self)>> {
        let mut conn = self.db.company(self.company).await?;
        let refused = query::rejected(&mut conn, self.id, self.after, ROWS).await?;
        conn.commit().await?;
        let Some(last) = refused.last() else {
            return Ok(None);
        };
        self.after = last.line;
        let lines = self.writer.rows(&refused)?;
        Ok(Some((lines, self)))
    }
}
