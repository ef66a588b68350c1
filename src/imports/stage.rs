//! Staging: an uploaded file is read once from end to end, so that what is wrong with it is said before
//! anything is imported, and kept as a draft with its columns guessed.

use diesel_async::AsyncPgConnection;

use super::read::{self, ColumnSample, Format, ReadFault};
use super::{Notes, Options, mapping, query};
use crate::contacts::bulk::OnDuplicate;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{CompanyId, ImportId, ListId, UserId};
use crate::text::country;
use crate::{audit, lists};

/// Longest name of a file, in letters.
const FILE_NAME_MAX: usize = 200;
/// Of a column, as a page shows them.
const SAMPLES: usize = 3;
const SAMPLE_LETTERS: usize = 60;

/// The upload form beside its file, as text.
#[derive(Debug, Clone, Default)]
pub struct StageInput {
    pub country: String,
    /// `skip` or `update`.
    pub on_duplicate: String,
    pub list_ids: Vec<i64>,
    /// Names, separated by commas.
    pub tags: String,
    /// Whether the first row names the columns: `yes`, `no`, or empty to guess.
    pub header: String,
}

/// What the form says beside the file.
struct Choices {
    country: &'static str,
    on_duplicate: OnDuplicate,
    list_ids: Vec<ListId>,
    tags: Vec<String>,
    header: Option<bool>,
}

impl StageInput {
    fn parse(&self) -> Result<Choices> {
        let mut errors = FieldErrors::default();
        let country = country::by_name(&self.country);
        if country.is_none() {
            errors.add("country", "Choose the country of numbers without a prefix.");
        }
        let on_duplicate = match self.on_duplicate.as_str() {
            "skip" => Some(OnDuplicate::Skip),
            "update" => Some(OnDuplicate::Update),
            _ => {
                errors.add(
                    "on_duplicate",
                    "Choose what happens to numbers that are known already.",
                );
                None
            }
        };
        let tags = mapping::names(&self.tags);
        if let Some(long) = tags.iter().find(|tag| super::people::is_long_name(tag)) {
            let short: String = long.chars().take(30).collect();
            errors.add(
                "tags",
                format!("The tag “{short}…” is too long; at most 100 letters."),
            );
        }
        let header = match self.header.as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        errors.or(country
            .zip(on_duplicate)
            .map(|(country, on_duplicate)| Choices {
                country,
                on_duplicate,
                list_ids: self.list_ids.iter().copied().map(ListId).collect(),
                tags,
                header,
            }))
    }
}

/// Keeps an uploaded file as a draft.
pub async fn stage(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    file_name: &str,
    bytes: Vec<u8>,
    input: &StageInput,
) -> Result<ImportId> {
    let choices = input.parse()?;
    let known = lists::known(conn, &choices.list_ids).await?;
    if choices.list_ids.iter().any(|id| !known.contains(id)) {
        let gone = "One of the lists does not exist any more. Choose again.";
        return Err(Error::invalid("list_ids", gone));
    }
    let header = choices.header;
    let (bytes, looked) = tokio::task::spawn_blocking(move || {
        let looked = look(&bytes, header);
        (bytes, looked)
    })
    .await
    .map_err(anyhow::Error::from)?;
    let looked = looked.map_err(|fault| Error::invalid("file", fault.to_string()))?;
    if looked.rows == 0 {
        let empty = "The file names its columns and has no rows under them.";
        return Err(Error::invalid("file", empty));
    }
    let fields = mapping::guess(&looked.columns, choices.country);
    let options = Options {
        country: choices.country.to_owned(),
        on_duplicate: choices.on_duplicate,
        list_ids: choices.list_ids,
        tags: choices.tags,
        format: looked.format,
        columns: looked.columns.into_iter().map(shortened).collect(),
        mapping: fields.iter().map(ToString::to_string).collect(),
        notes: Notes::default(),
    };
    let draft = query::Draft {
        company,
        user,
        file_name: &own_name(file_name),
        options: &options,
        content: &bytes,
        rows: looked.rows,
    };
    let id = query::insert(conn, &draft).await?;
    audit::note(conn, company, "imports", id.0, Some(user), "uploaded", None).await?;
    Ok(id)
}

pub(super) struct Looked {
    pub format: Format,
    pub columns: Vec<ColumnSample>,
    pub rows: i64,
}

/// Reads a whole file. Columns without a name beyond the header are columns only where most rows have
/// them; otherwise the few rows with them are torn, and refused later.
pub(super) fn look(bytes: &[u8], header: Option<bool>) -> Result<Looked, ReadFault> {
    let mut format = read::sniff(bytes)?;
    format.has_header = header.unwrap_or(format.has_header);
    let mut columns = read::sample_as(bytes, format)?.columns;
    let named = read::header(bytes, format)?.len();
    let (mut rows, mut wider) = (0, 0);
    for row in read::rows(bytes, format)? {
        let mut more = row?.cells.into_iter().skip(named);
        wider += i64::from(more.any(|cell| !cell.trim().is_empty()));
        rows += 1;
    }
    if named > 0 && wider * 2 <= rows {
        columns.truncate(named);
    }
    Ok(Looked {
        format,
        columns,
        rows,
    })
}

fn shortened(column: ColumnSample) -> ColumnSample {
    ColumnSample {
        header: column.header,
        samples: column
            .samples
            .into_iter()
            .take(SAMPLES)
            .map(|sample| sample.chars().take(SAMPLE_LETTERS).collect())
            .collect(),
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
mod tests {
    use super::*;

    #[test]
    fn a_file_name_loses_its_folders() {
        assert_eq!(own_name("C:\\Users\\Dewi\\member.csv"), "member.csv");
        assert_eq!(own_name("../../etc/pass\u{0}wd"), "passwd");
        assert_eq!(own_name(" \n"), "import.csv");
        assert_eq!(own_name(&"x".repeat(1_000)).len(), FILE_NAME_MAX);
    }

    #[test]
    fn what_is_wrong_late_in_a_file_is_found_before_anything_is_imported() {
        let good = look(b"Nama;HP\nSiti;0812\n;\nBudi;0813\n", None).unwrap();
        assert_eq!((good.rows, good.columns.len()), (2, 2));
        assert_eq!(look(b"Nama;HP\nSiti;0812\n", Some(false)).unwrap().rows, 2);
        let torn = look(b"Nama;HP\nA;0811\nB;0812;x\nC;0813\n", None).unwrap();
        assert_eq!(torn.columns.len(), 2);
        let wide = look(b"Nama;HP\nA;0811;x\nB;0812;x\nC;0813\n", None).unwrap();
        assert_eq!(wide.columns.len(), 3);
        let mut late = "Nama;HP\n".to_owned() + &"Siti;0812\n".repeat(1_000);
        late.push_str("x;\0\n");
        let fault = look(late.as_bytes(), None).err().unwrap();
        assert!(fault.to_string().starts_with("Line 1002"), "{fault}");
        let many = "1\n".repeat(100_001);
        let fault = look(many.as_bytes(), Some(false)).err().unwrap();
        assert!(fault.to_string().contains("100,000 rows"), "{fault}");
    }
}
