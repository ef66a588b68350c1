//! The file of rows that were not imported: the columns as they came, then the reason. It is made to be
//! corrected in a spreadsheet and uploaded again.
//!
//! Invariant: no cell is a formula to a spreadsheet, whatever the uploaded file held.

use super::Options;
use super::mapping::{self, Field};
use super::read::Separator;

/// A row and why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub line: u64,
    pub cells: Vec<String>,
    pub reason: String,
}

/// What the last column is called; an import leaves it out again.
const REASON: &str = "reason";

/// Writes the file piece by piece. Columns that the file did not name are called as their fields, so that
/// it is understood again.
pub struct Writer {
    separator: Separator,
    width: usize,
}

impl Writer {
    /// `longest`: cells of the longest rejected row.
    pub fn new(options: &Options, longest: usize) -> Self {
        Self {
            separator: options.format.separator,
            width: options.columns.len().max(longest),
        }
    }

    pub fn header(&self, options: &Options) -> anyhow::Result<String> {
        let fields = super::fields(&options.mapping);
        let columns = options.columns.iter().zip(&fields).enumerate();
        let names: Vec<String> = columns
            .map(|(index, (column, field))| {
                if column.header.is_empty() {
                    column_name((index, field))
                } else {
                    column.header.clone()
                }
            })
            .collect();
        self.lines([(names.as_slice(), REASON)].into_iter())
    }

    pub fn rows(&self, refused: &[Refused]) -> anyhow::Result<String> {
        self.lines(
            refused
                .iter()
                .map(|row| (row.cells.as_slice(), row.reason.as_str())),
        )
    }

    fn lines<'a>(
        &self,
        rows: impl Iterator<Item = (&'a [String], &'a str)>,
    ) -> anyhow::Result<String> {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(self.separator.byte())
            .terminator(csv::Terminator::CRLF)
            .from_writer(Vec::new());
        for (cells, last) in rows {
            writer.write_record(line(cells, self.width, last))?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|error| anyhow::anyhow!("writing the rejected rows: {error}"))?;
        Ok(String::from_utf8(bytes)?)
    }
}

fn column_name((index, field): (usize, &Field)) -> String {
    match field {
        Field::Attribute(key) => key.clone(),
        Field::Ignore => format!("Column {}", index + 1),
        field => mapping::CHOICES
            .iter()
            .find(|(known, _)| known == field)
            .map_or_else(|| field.to_string(), |(_, label)| (*label).to_owned()),
    }
}

fn line(cells: &[String], width: usize, last: &str) -> Vec<String> {
    let mut line: Vec<String> = cells.iter().map(|cell| safe(cell)).collect();
    line.resize(width, String::new());
    line.push(safe(last));
    line
}

fn begins_formula(cell: &str) -> bool {
    cell.starts_with(['\t', '\r'])
        || cell
            .trim_start_matches(|sign: char| sign.is_whitespace() || sign == '\u{feff}')
            .starts_with(['=', '+', '-', '@'])
}

/// A cell that a spreadsheet shows and does not run.
pub fn safe(cell: &str) -> String {
    if begins_formula(cell) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

/// The same cell without the mark [`safe`] put before it.
pub(super) fn unquoted(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if begins_formula(rest) => rest,
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contacts::bulk::OnDuplicate;
    use crate::imports::Notes;
    use crate::imports::read::{ColumnSample, Encoding, Format};

    fn options(header: &[&str]) -> Options {
        let column = |name: &&str| ColumnSample {
            header: (*name).to_owned(),
            ..ColumnSample::default()
        };
        Options {
            country: "ID".to_owned(),
            on_duplicate: OnDuplicate::Skip,
            list_ids: Vec::new(),
            tags: Vec::new(),
            format: Format {
                encoding: Encoding::Utf8,
                separator: Separator::Semicolon,
                has_header: true,
                by_row: false,
            },
            columns: header.iter().map(column).collect(),
            mapping: vec!["name".to_owned(), "whatsapp_number".to_owned()],
            notes: Notes::default(),
            sheets: Vec::new(),
            sheet: String::new(),
            header: None,
            remembered: None,
        }
    }

    fn refused(cells: &[&str]) -> Refused {
        Refused {
            line: 2,
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
            reason: "The number is too short.".to_owned(),
        }
    }

    #[test]
    fn the_columns_come_back_with_the_reason_last() {
        let rows = [refused(&["Siti; \"A\"", "12"]), refused(&["Budi"])];
        let named = options(&["Nama", "HP"]);
        let writer = Writer::new(&named, 2);
        assert_eq!(writer.header(&named).unwrap(), "Nama;HP;reason\r\n");
        assert_eq!(
            writer.rows(&rows).unwrap(),
            "\"Siti; \"\"A\"\"\";12;The number is too short.\r\nBudi;;The number is too short.\r\n"
        );
        let bare = options(&["", ""]);
        let longer = Writer::new(&bare, 3);
        assert_eq!(
            longer.header(&bare).unwrap(),
            "Name;WhatsApp Number;;reason\r\n"
        );
    }

    #[test]
    fn no_cell_is_a_formula() {
        for cell in [
            "=HYPERLINK(\"http://evil\")",
            "+62 812",
            "-1",
            "@SUM(1)",
            "\t=1",
            "\r=1",
            "  =1",
            "\u{feff}=1",
        ] {
            let kept = safe(cell);
            assert_eq!(kept, format!("'{cell}"));
            assert_eq!(unquoted(&kept), cell);
        }
        for cell in ["Siti", "0812", "'quoted'", "a=b", ""] {
            assert_eq!(safe(cell), cell);
            assert_eq!(unquoted(cell), cell);
        }
    }
}
