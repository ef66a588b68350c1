//! The file of rows that were not imported: the columns as they came, then the reason. It is made to be
//! corrected in a spreadsheet and uploaded again.
//!
//! Invariant: no cell is a formula to a spreadsheet, whatever the uploaded file held.

use super::mapping::{self, Field};
use super::read::{Format, Separator};

/// A row and why it was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub line: u64,
    pub cells: Vec<String>,
    pub reason: String,
}

/// What the last column is called; an import leaves it out again.
const REASON: &str = "Reason";

/// The file. A file that named no columns gets the fields' names, so that it is understood again.
pub(super) fn write(
    header: &[String],
    fields: &[Field],
    format: Format,
    refused: &[Refused],
) -> anyhow::Result<String> {
    let longest = refused.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let width = fields.len().max(header.len()).max(longest);
    let mut writer = csv::WriterBuilder::new()
        .delimiter(format.separator.byte())
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let names: Vec<String> = if header.is_empty() {
        fields.iter().enumerate().map(column_name).collect()
    } else {
        header.to_vec()
    };
    writer.write_record(line(&names, width, REASON))?;
    for row in refused {
        writer.write_record(line(&row.cells, width, &row.reason))?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| anyhow::anyhow!("writing the rejected rows: {error}"))?;
    Ok(String::from_utf8(bytes)?)
}

/// The first rows of such a file, each as its filled cells and its reason.
pub fn first(file: &str, separator: Separator, most: usize) -> Vec<(Vec<String>, String)> {
    let reader = csv::ReaderBuilder::new()
        .flexible(true)
        .delimiter(separator.byte())
        .from_reader(file.as_bytes());
    reader
        .into_records()
        .map_while(Result::ok)
        .take(most)
        .map(|record| {
            let mut cells: Vec<String> = record
                .iter()
                .map(|cell| unquoted(cell.trim()).to_owned())
                .collect();
            let reason = cells.pop().unwrap_or_default();
            cells.retain(|cell| !cell.is_empty());
            (cells, reason)
        })
        .collect()
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
fn safe(cell: &str) -> String {
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
    use crate::imports::read::Encoding;

    const FORMAT: Format = Format {
        encoding: Encoding::Utf8,
        separator: Separator::Semicolon,
        has_header: true,
    };

    fn refused(cells: &[&str]) -> Refused {
        Refused {
            line: 2,
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
            reason: "The number is too short.".to_owned(),
        }
    }

    #[test]
    fn the_columns_come_back_with_the_reason_last() {
        let header = ["Nama".to_owned(), "HP".to_owned()];
        let fields = [Field::Name, Field::WhatsappNumber];
        let rows = [refused(&["Siti; \"A\"", "12"]), refused(&["Budi"])];
        let file = write(&header, &fields, FORMAT, &rows).unwrap();
        assert_eq!(
            file,
            "Nama;HP;Reason\r\n\"Siti; \"\"A\"\"\";12;The number is too short.\r\nBudi;;The number is too short.\r\n"
        );
        assert_eq!(
            first(&file, Separator::Semicolon, 1),
            [(
                vec!["Siti; \"A\"".to_owned(), "12".to_owned()],
                "The number is too short.".to_owned()
            )]
        );
        let bare = write(&[], &fields, FORMAT, &rows).unwrap();
        assert!(
            bare.starts_with("Name;WhatsApp Number;Reason\r\n"),
            "{bare}"
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
