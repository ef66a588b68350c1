//! What nobody needs any more: files that nothing refers to for a day, uploads that were never kept.
//!
//! Invariants: a file of a draft, a mailing or a sent version stays; the row goes before the bytes, and
//! the bytes are written down as a leftover in the same transaction; any number of instances may sweep.

use std::time::{Duration, SystemTime};

use diesel_async::AsyncConnection as _;

use super::{links, query, receive};
use crate::app::App;

/// How long an upload under way may take before its temporary file counts as left behind.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Returns how many files went. A copy that never sends shares its storage with the installation it was
/// copied from, and deletes nothing there.
pub async fn run(app: &App) -> anyhow::Result<usize> {
    if !app.config.sending {
        return Ok(0);
    }
    let mut conn = app.db.system().await?;
    links::sweep(&mut conn).await?;
    let mut gone = 0;
    for unused in query::unused(&mut conn).await? {
        let deleted = conn
            .transaction(async |conn| query::delete_unused(conn, &unused).await)
            .await?;
        gone += usize::from(deleted);
    }
    let keys = query::leftovers(&mut conn).await?;
    drop(conn);
    for key in keys {
        app.storage.delete(&key).await?;
        let mut conn = app.db.system().await?;
        query::forget_leftover(&mut conn, &key).await?;
    }
    let folder = receive::folder(app);
    tokio::task::spawn_blocking(move || abandoned(&folder)).await??;
    Ok(gone)
}

/// Temporary files of a process that was killed.
fn abandoned(folder: &std::path::Path) -> std::io::Result<()> {
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for file in files {
        let file = file?;
        let age = SystemTime::now().duration_since(file.metadata()?.modified()?);
        if age.is_ok_and(|age| age > ABANDONED) {
            std::fs::remove_file(file.path())?;
        }
    }
    Ok(())
}
