//! Excel workbooks: one sheet, the first unless another is named, as a table of text, row by row.
//!
//! Invariants: row n of the sheet is record n of the table, blank ones too; numbers are written out whole,
//! dates as `2026-11-25`; a workbook that unpacks to more than fits is not unpacked into memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use calamine::{Data, DataRef, ExcelDateTime, Reader as _, Xlsx};
use zip::ZipArchive;

use super::read::{BYTES_MAX, COLUMNS_MAX, ReadFault};

/// Of all parts of a workbook together.
const UNPACKED_MAX: u64 = 1024 * 1024 * 1024;
/// Of its texts, which are in memory while it is read.
const STRINGS_MAX: u64 = 128 * 1024 * 1024;
const STRINGS: &str = "sharedstrings.xml";

/// Whether a file begins as those of Office programs do.
pub(super) fn is_one(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.rewind()?;
    (&mut *file).take(4).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start == b"PK\x03\x04")
}

/// The sheets of a workbook, and which of them was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sheets {
    pub all: Vec<String>,
    pub read: String,
}

impl Sheets {
    /// `wanted`: a name, or a number from 1; empty: the first.
    fn choose(all: Vec<String>, wanted: &str) -> Result<Self, ReadFault> {
        let wanted = wanted.trim();
        let same = |sheet: &&String| sheet.trim().to_lowercase() == wanted.to_lowercase();
        let numbered = wanted.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let read = match wanted {
            "" => all.first(),
            _ => all
                .iter()
                .find(same)
                .or_else(|| numbered.and_then(|n| all.get(n))),
        };
        match read.cloned() {
            Some(read) => Ok(Self { all, read }),
            None if all.is_empty() => Err(ReadFault::Workbook),
            None => Err(ReadFault::NoSheet {
                wanted: wanted.chars().take(60).collect(),
                sheets: all.join(", ").chars().take(500).collect(),
            }),
        }
    }
}

/// A sheet as a CSV file without a name, in the folder.
pub(super) fn to_table(
    mut file: File,
    folder: &Path,
    wanted: &str,
) -> Result<(File, Sheets), ReadFault> {
    check_size(&mut file)?;
    file.rewind()?;
    let mut workbook = Xlsx::new(BufReader::new(file)).map_err(|_| ReadFault::Workbook)?;
    let sheets = Sheets::choose(workbook.sheet_names(), wanted)?;
    let sheet = sheets.read.clone();
    let mut cells = workbook
        .worksheet_cells_reader(&sheet)
        .map_err(|_| ReadFault::Workbook)?;
    let table = tempfile::tempfile_in(folder).or_else(|_| tempfile::tempfile())?;
    let mut table = Table::new(table);
    while let Some(cell) = cells.next_cell().map_err(|_| ReadFault::Workbook)? {
        let (row, column) = cell.get_position();
        let text = text(cell.get_value());
        if !text.is_empty() {
            table.put(u64::from(row), column as usize, text)?;
        }
    }
    Ok((table.finish()?, sheets))
}

/// Unpacks everything once, into nothing.
fn check_size(file: &mut File) -> Result<(), ReadFault> {
    file.rewind()?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|_| ReadFault::Workbook)?;
    let mut left = UNPACKED_MAX;
    for index in 0..archive.len() {
        let part = archive.by_index(index).map_err(|_| ReadFault::Workbook)?;
        let name = part.name().map_err(|_| ReadFault::Workbook)?;
        let is_strings = name.to_ascii_lowercase().ends_with(STRINGS);
        drop(name);
        let most = if is_strings {
            left.min(STRINGS_MAX)
        } else {
            left
        };
        let unpacked =
            io::copy(&mut part.take(most + 1), &mut io::sink()).map_err(|_| ReadFault::Workbook)?;
        if unpacked > most {
            return Err(ReadFault::Bomb);
        }
        left -= unpacked;
    }
    Ok(())
}

/// The table that is written: one row at a time in memory.
struct Table {
    writer: csv::Writer<BufWriter<File>>,
    /// The row that is being filled, from 0, and its cells.
    row: u64,
    cells: Vec<String>,
    bytes: u64,
}

impl Table {
    fn new(file: File) -> Self {
        let writer = csv::WriterBuilder::new()
            .flexible(true)
            .from_writer(BufWriter::new(file));
        Self {
            writer,
            row: 0,
            cells: Vec::new(),
            bytes: 0,
        }
    }

    fn put(&mut self, row: u64, column: usize, text: String) -> Result<(), ReadFault> {
        while self.row < row {
            self.end_row()?;
        }
        if column >= COLUMNS_MAX {
            return Err(ReadFault::TooManyColumns {
                line: row + 1,
                columns: column + 1,
            });
        }
        if self.cells.len() <= column {
            self.cells.resize(column + 1, String::new());
        }
        self.cells[column] = text;
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), ReadFault> {
        // A record without cells would be no record.
        if self.cells.is_empty() {
            self.cells.push(String::new());
        }
        self.bytes += self
            .cells
            .iter()
            .map(|cell| cell.len() as u64 + 1)
            .sum::<u64>();
        if self.bytes > BYTES_MAX {
            return Err(ReadFault::TooLarge);
        }
        self.writer
            .write_record(&self.cells)
            .map_err(io::Error::other)?;
        self.cells.clear();
        self.row += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<File, ReadFault> {
        if self.row == 0 && self.cells.is_empty() {
            return Err(ReadFault::EmptySheet);
        }
        self.end_row()?;
        let mut inner = self
            .writer
            .into_inner()
            .map_err(|error| io::Error::other(error.to_string()))?;
        inner.flush()?;
        let mut file = inner
            .into_inner()
            .map_err(|error| io::Error::other(error.to_string()))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

fn text(value: &DataRef<'_>) -> String {
    match Data::from(value.clone()) {
        Data::String(text) => clean(&text),
        Data::DateTimeIso(text) | Data::DurationIso(text) => clean(&text),
        Data::Float(number) => whole(number),
        Data::Int(number) => number.to_string(),
        Data::Bool(is) => is.to_string(),
        Data::DateTime(date) => dated(&date),
        _ => String::new(),
    }
}

/// A NUL cannot be stored, and a workbook's other signs are text.
fn clean(text: &str) -> String {
    text.replace('\0', "")
}

/// A number without an exponent; a phone number that a sheet took for one is digits again.
fn whole(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        format!("{number:.0}")
    } else {
        number.to_string()
    }
}

fn dated(date: &ExcelDateTime) -> String {
    if !date.is_datetime() {
        return whole(date.as_f64());
    }
    let (year, month, day, hour, minute, second, _) = date.to_ymd_hms_milli();
    if (hour, minute, second) == (0, 0, 0) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_named_or_numbered_and_the_first_one_where_nobody_says() {
        let all = || {
            vec![
                "Catatan".to_owned(),
                "Pelanggan 2026".to_owned(),
                "7".to_owned(),
            ]
        };
        let read = |wanted: &str| Sheets::choose(all(), wanted).map(|sheets| sheets.read);
        assert_eq!(read("").unwrap(), "Catatan");
        assert_eq!(read(" pelanggan 2026 ").unwrap(), "Pelanggan 2026");
        assert_eq!(read("2").unwrap(), "Pelanggan 2026");
        assert_eq!(read("7").unwrap(), "7", "a name before a number");
        for no in ["0", "4", "Tamu"] {
            let fault = read(no).unwrap_err().to_string();
            assert!(fault.contains("Catatan, Pelanggan 2026, 7"), "{fault}");
        }
    }
}
