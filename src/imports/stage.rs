//! Staging: an uploaded file is read once from end to end, so that what is wrong with it is said before
//! anything is imported, and kept as a draft with its columns guessed.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use diesel_async::AsyncPgConnection;

use super::read::{self, ColumnSample, Format, ReadFault, Separator};
use super::stored::{self, Kept};
use super::workbook::Sheets;
use super::{Notes, Options, mapping, query, workbook};
use crate::contacts::bulk::OnDuplicate;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{CompanyId, ImportId, ListId, UserId};
use crate::text::country;
use crate::{audit, lists};

/// Longest name of a file, in letters.
const FILE_NAME_MAX: usize = 200;
/// Of a column, as a page shows them.
const SAMPLES: usize = 5;
const SAMPLE_LETTERS: usize = 60;

/// The upload form beside its file, as text.
#[derive(Debug, Clone, Default)]
pub struct StageInput {
    pub country: String,
    /// `skip`, `fill_blanks` or `update`.
    pub on_duplicate: String,
    pub list_ids: Vec<i64>,
    /// Names, separated by commas.
    pub tags: String,
    /// Whether the first row names the columns: `yes`, `no`, or empty to guess.
    pub header: String,
    /// Of a workbook: the name of a sheet, or its number; empty: the first.
    pub sheet: String,
    /// Whether the columns may be filled in as in the last import of a file with the same ones.
    pub remembers: bool,
}

/// What the form says beside the file.
struct Choices {
    country: &'static str,
    on_duplicate: OnDuplicate,
    list_ids: Vec<ListId>,
    tags: Vec<String>,
}

impl StageInput {
    fn parse(&self) -> Result<Choices> {
        let mut errors = FieldErrors::default();
        let country = country::by_name(&self.country);
        if country.is_none() {
            errors.add("country", "Choose the country of numbers without a prefix.");
        }
        let on_duplicate = OnDuplicate::ALL
            .into_iter()
            .find(|one| one.key() == self.on_duplicate);
        if on_duplicate.is_none() {
            errors.add(
                "on_duplicate",
                "Choose what happens to numbers that are known already.",
            );
        }
        let tags = mapping::names(&self.tags);
        if let Some(long) = tags.iter().find(|tag| super::people::is_long_name(tag)) {
            let short: String = long.chars().take(30).collect();
            errors.add(
                "tags",
                format!("The tag “{short}…” is too long; at most 100 letters."),
            );
        }
        errors.or(country
            .zip(on_duplicate)
            .map(|(country, on_duplicate)| Choices {
                country,
                on_duplicate,
                list_ids: self.list_ids.iter().copied().map(ListId).collect(),
                tags,
            }))
    }
}

/// A file that was read through.
pub struct Looked {
    pub(super) file: File,
    pub(super) content: Content,
    pub(super) sheets: Sheets,
    /// Where it has more sheets than the one that was read.
    workbook: Option<File>,
}

pub(super) struct Content {
    pub(super) format: Format,
    pub(super) columns: Vec<ColumnSample>,
    pub(super) rows: i64,
}

/// Reads an uploaded file from end to end; a sheet of a workbook becomes a table first, in the folder.
pub async fn look_at(folder: &Path, mut file: File, input: &StageInput) -> Result<Looked> {
    let (header, folder) = (header_row(&input.header), folder.to_owned());
    let wanted = input.sheet.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let is_workbook = workbook::is_one(&mut file)?;
        let mut sheets = Sheets::default();
        let mut workbook = None;
        if is_workbook {
            let whole = file.try_clone()?;
            (file, sheets) = workbook::to_table(file, &folder, &wanted)?;
            workbook = Some(whole).filter(|_| sheets.all.len() > 1);
        }
        let content = look(&mut file, header, is_workbook)?;
        Ok::<_, ReadFault>(Looked {
            file,
            content,
            sheets,
            workbook,
        })
    })
    .await
    .map_err(anyhow::Error::from)?;
    let looked = looked.map_err(|fault| {
        let field = match fault {
            ReadFault::NoSheet { .. } => "sheet",
            _ => "file",
        };
        Error::invalid(field, fault.to_string())
    })?;
    if looked.content.rows == 0 {
        let empty = "The file names its columns and has no rows under them.";
        return Err(Error::invalid("file", empty));
    }
    Ok(looked)
}

fn header_row(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The word for what [`header_row`] reads.
pub(super) fn header_word(header: Option<bool>) -> &'static str {
    match header {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    }
}

/// Keeps a file as a draft.
pub async fn stage(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    file_name: &str,
    looked: Looked,
    input: &StageInput,
) -> Result<ImportId> {
    let choices = input.parse()?;
    let known = lists::known(conn, &choices.list_ids).await?;
    if choices.list_ids.iter().any(|id| !known.contains(id)) {
        let gone = "One of the lists does not exist any more. Choose again.";
        return Err(Error::invalid("list_ids", gone));
    }
    let Looked {
        file,
        content,
        sheets,
        workbook,
    } = looked;
    let rows = content.rows;
    let mut options = Options {
        country: choices.country.to_owned(),
        on_duplicate: choices.on_duplicate,
        list_ids: choices.list_ids,
        tags: choices.tags,
        format: content.format,
        columns: Vec::new(),
        mapping: Vec::new(),
        notes: Notes::default(),
        sheets: sheets.all,
        sheet: sheets.read,
        header: header_row(&input.header),
        remembered: None,
    };
    fill_in(conn, company, &mut options, content, input.remembers).await?;
    let draft = query::Draft {
        company,
        user,
        file_name: &own_name(file_name),
        options: &options,
        rows,
    };
    let id = query::insert(conn, &draft).await?;
    stored::put(conn, company, id, Kept::Table, file).await?;
    if let Some(workbook) = workbook {
        stored::put(conn, company, id, Kept::Workbook, workbook).await?;
    }
    audit::note(conn, company, "imports", id.0, Some(user), "uploaded", None).await?;
    Ok(id)
}

/// The columns of what was read, with a field each: as the last time where that is wanted, else guessed.
pub(super) async fn fill_in(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    options: &mut Options,
    content: Content,
    remembers: bool,
) -> Result<()> {
    let fields = mapping::guess(&content.columns, &options.country);
    options.mapping = fields.iter().map(ToString::to_string).collect();
    options.remembered = None;
    if remembers && content.format.has_header {
        let headers = content.columns.iter().map(|column| column.header.as_str());
        let headers: Vec<&str> = headers.collect();
        if let Some(last) = query::last_mapping(conn, company, &headers).await? {
            (options.mapping, options.remembered) = (last.mapping, Some(last.at));
        }
    }
    options.format = content.format;
    options.columns = content.columns.into_iter().map(shortened).collect();
    Ok(())
}

/// Reads a whole file. Columns without a name beyond the header are columns only where most rows have
/// them; otherwise the few rows with them are torn, and refused later.
fn look<F: Read + Seek>(
    file: &mut F,
    header: Option<bool>,
    is_workbook: bool,
) -> Result<Content, ReadFault> {
    let mut format = read::sniff_as(file, is_workbook.then_some(Separator::Comma))?;
    format.by_row = is_workbook;
    format.has_header = header.unwrap_or(format.has_header);
    let mut columns = read::sample_as(file, format)?.columns;
    let named = read::header(file, format)?.len();
    let (mut rows, mut wider) = (0, 0);
    for row in read::rows(file, format)? {
        let cells = row?.cells;
        let is_filled = |cell: &String| !cell.trim().is_empty();
        wider += i64::from(cells.iter().skip(named).any(is_filled));
        for (column, cell) in columns.iter_mut().zip(&cells) {
            column.filled += u64::from(is_filled(cell));
        }
        rows += 1;
    }
    if named > 0 && wider * 2 <= rows {
        columns.truncate(named);
    }
    Ok(Content {
        format,
        columns,
        rows,
    })
}

fn shortened(column: ColumnSample) -> ColumnSample {
    let mut samples: Vec<String> = Vec::new();
    for sample in column.samples {
        let sample: String = sample.chars().take(SAMPLE_LETTERS).collect();
        if samples.len() < SAMPLES && !samples.contains(&sample) {
            samples.push(sample);
        }
    }
    ColumnSample {
        header: column.header,
        filled: column.filled,
        samples,
    }
}

/// The name without folders and signs nobody sees.
fn own_name(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name
        .chars()
        .filter(|letter| !letter.is_control())
        .take(FILE_NAME_MAX)
        .collect();
    let name = name.trim();
    if name.is_empty() {
        "import.csv".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use super::*;

    /// Format and columns of a file.
    pub(in crate::imports) fn looked(
        file: &[u8],
        header: Option<bool>,
    ) -> Result<(Format, Vec<ColumnSample>, i64), ReadFault> {
        look(&mut Cursor::new(file), header, false)
            .map(|content| (content.format, content.columns, content.rows))
    }

    #[test]
    fn a_file_name_loses_its_folders() {
        assert_eq!(own_name("C:\\Users\\Dewi\\member.csv"), "member.csv");
        assert_eq!(own_name("../../etc/pass\u{0}wd"), "passwd");
        assert_eq!(own_name(" \n"), "import.csv");
        assert_eq!(own_name(&"x".repeat(1_000)).len(), FILE_NAME_MAX);
    }

    #[test]
    fn what_is_wrong_late_in_a_file_is_found_before_anything_is_imported() {
        let look = |file: &[u8], header| looked(file, header);
        let (_, columns, rows) = look(b"Nama;HP\nSiti;0812\n;\nBudi;\n", None).unwrap();
        assert_eq!((rows, columns.len()), (2, 2));
        assert_eq!((columns[0].filled, columns[1].filled), (2, 1));
        assert_eq!(look(b"Nama;HP\nSiti;0812\n", Some(false)).unwrap().2, 2);
        let torn = look(b"Nama;HP\nA;0811\nB;0812;x\nC;0813\n", None).unwrap();
        assert_eq!(torn.1.len(), 2);
        let wide = look(b"Nama;HP\nA;0811;x\nB;0812;x\nC;0813\n", None).unwrap();
        assert_eq!(wide.1.len(), 3);
        let mut late = "Nama;HP\n".to_owned() + &"Siti;0812\n".repeat(1_000);
        late.push_str("x;\0\n");
        let fault = look(late.as_bytes(), None).err().unwrap();
        assert!(fault.to_string().starts_with("Line 1002"), "{fault}");
        let many = "1\n".repeat(1_000_001);
        let fault = look(many.as_bytes(), Some(false)).err().unwrap();
        assert!(fault.to_string().contains("1,000,000 rows"), "{fault}");
    }
}
