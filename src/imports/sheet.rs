//! Another sheet of a workbook that was uploaded, read in the place of the one before.
//!
//! Invariants: only a draft changes; its columns are guessed anew, and what was tested does not count any more; a sheet
//! that cannot be read leaves everything as it was.

use super::stored::{self, Kept};
use super::{StageInput, look_at, query, require_own, stage};
use crate::app::App;
use crate::audit;
use crate::auth::Caller;
use crate::error::{Error, Result};
use crate::ids::ImportId;

const NO_DRAFT: &str =
    "This import is under way or over. Upload the workbook again for another sheet.";

/// Reads a sheet by its name.
pub async fn read_sheet(app: &App, caller: &Caller, id: ImportId, sheet: &str) -> Result<()> {
    let (db, folder, company) = (&app.db, &app.config.data_dir, caller.company);
    let mut options = {
        let mut conn = db.company(company).await?;
        let import = query::find(&mut conn, id).await?;
        require_own(&import, caller)?;
        if !import.is_draft() {
            return Err(Error::conflict(NO_DRAFT));
        }
        import.options()?
    };
    if options.sheet == sheet {
        return Ok(());
    }
    if !options.sheets.iter().any(|one| one == sheet) {
        let none = "The workbook has no sheet of this name. Choose one of those that are offered.";
        return Err(Error::invalid("sheet", none));
    }
    let Some(workbook) = stored::fetch(db, folder, company, id, Kept::Workbook).await? else {
        let gone = "The workbook is not here any more. Upload it again and name the sheet there.";
        return Err(Error::invalid("sheet", gone));
    };
    let input = StageInput {
        header: stage::header_word(options.header).to_owned(),
        sheet: sheet.to_owned(),
        ..StageInput::default()
    };
    let looked = look_at(folder, workbook, &input).await.map_err(of_sheet)?;
    let mut conn = db.company(company).await?;
    options.sheet = looked.sheets.read;
    let rows = looked.content.rows;
    stage::fill_in(&mut conn, company, &mut options, looked.content, true).await?;
    if !query::replace(&mut conn, id, &options, rows).await? {
        return Err(Error::conflict(NO_DRAFT));
    }
    stored::put(&mut conn, company, id, Kept::Table, looked.file).await?;
    let by = Some(caller.user);
    audit::note(
        &mut conn,
        company,
        "imports",
        id.0,
        by,
        "sheet",
        Some(sheet),
    )
    .await?;
    conn.commit().await
}

/// What is wrong with the file is wrong with the sheet here.
fn of_sheet(error: Error) -> Error {
    match error {
        Error::Invalid(mut faults) => {
            if let Some(said) = faults.0.remove("file") {
                faults.0.entry("sheet".to_owned()).or_default().extend(said);
            }
            Error::Invalid(faults)
        }
        other => other,
    }
}
