//! A CSV file row by row: its format guessed from what it holds, its limits kept while it streams.
//!
//! Invariants: memory stays flat for any file within [`BYTES_MAX`]; every
//! fault names what to do or the line it stands on. Pure: knows bytes, no database and no fields.

use std::io::{self, Read, Seek, SeekFrom};

use super::decode::{Decoded, Endless, detect};
use super::quotes::{self, Quotes};

pub use super::decode::Encoding;

/// 200 MiB.
pub const BYTES_MAX: u64 = 200 * 1024 * 1024;
pub const ROWS_MAX: u64 = 1_000_000;
pub const COLUMNS_MAX: usize = 200;
/// Of one cell: 32 KiB.
pub const CELL_BYTES_MAX: usize = 32 * 1024;

/// A row with all its cells full, and what the reader takes ahead.
const RECORD_BYTES_MAX: usize = COLUMNS_MAX * CELL_BYTES_MAX + 256 * 1024;
/// What a guess reads.
const SAMPLE_BYTES: u64 = 256 * 1024;
/// Where the last thing of a file is looked for.
const TAIL_BYTES: u64 = 64 * 1024;
const SAMPLE_ROWS: usize = 200;
const SAMPLES: usize = 10;
/// Of a sample that a page shows.
const SAMPLE_LETTERS: usize = 200;

/// Why a file cannot be read on; displays as a sentence a person can act on.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    #[error("The file could not be read.")]
    Io(#[from] io::Error),
    #[error("The file is empty.")]
    Empty,
    #[error(
        "This workbook cannot be read. Save it as an Excel workbook (.xlsx) or as CSV, and upload that."
    )]
    Workbook,
    #[error("This sheet of the workbook is empty. Name another one under Sheet.")]
    EmptySheet,
    #[error("The workbook has no sheet “{wanted}”. Its sheets: {sheets}.")]
    NoSheet { wanted: String, sheets: String },
    #[error("This workbook unpacks to more than fits. Save the sheet as CSV and upload that.")]
    Bomb,
    #[error(
        "This is not a table. Open the list in your spreadsheet, save it as CSV and upload that."
    )]
    NoTable,
    #[error("The file is larger than 200 MB. Split it and upload the parts.")]
    TooLarge,
    #[error("The file has more than 1,000,000 rows. Split it and upload the parts.")]
    TooManyRows,
    #[error("Line {line} has {columns} columns; at most 200 fit. Is the separator right?")]
    TooManyColumns { line: u64, columns: usize },
    #[error(
        "Line {line} opens a quotation mark that is never closed, so everything after it would be one cell. Close it or take it out, and upload the file again."
    )]
    NeverClosed { line: u64 },
    #[error(
        "Line {line} opens a quotation mark that is closed only lines later, so whole rows would become one cell. Close it or take it out, and upload the file again."
    )]
    Swallowed { line: u64 },
    #[error("Line {line} has a cell of more than 32 KiB. Is a quotation mark never closed?")]
    CellTooLong { line: u64 },
    #[error(
        "Line {line} holds a NUL character, so this is not a text file, or its encoding is another one."
    )]
    Nul { line: u64 },
}

impl ReadFault {
    /// The same fault once more, of those that carry nothing.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Workbook => Self::Workbook,
            _ => Self::NoTable,
        }
    }
}

/// What stands between two cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    Comma,
    Semicolon,
    Tab,
    Pipe,
}

impl Separator {
    pub const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Pipe];

    pub fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::Comma => "Comma",
            Self::Semicolon => "Semicolon",
            Self::Tab => "Tab",
            Self::Pipe => "Pipe",
        }
    }
}

/// How a file is read. Guessed by [`sniff`]; a person may choose otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Format {
    pub encoding: Encoding,
    pub separator: Separator,
    /// The first row names the columns.
    pub has_header: bool,
    /// Rows are counted, not lines: it was a workbook.
    #[serde(default)]
    pub by_row: bool,
}

/// A row that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where it begins in the file, from 1.
    pub line: u64,
    /// As they stand, blanks included; a row may have fewer or more than the first one.
    pub cells: Vec<String>,
}

/// A column as a person sees it before an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ColumnSample {
    /// Trimmed; empty where the file names no columns.
    pub header: String,
    /// The first cells that are not blank, trimmed, at most 10.
    pub samples: Vec<String>,
    /// Rows whose cell here is not blank; counted when the whole file is read.
    #[serde(default)]
    pub filled: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sample {
    pub format: Format,
    pub columns: Vec<ColumnSample>,
}

/// Guesses how to read a file.
pub fn sniff<F: Read + Seek>(file: &mut F) -> Result<Format, ReadFault> {
    sniff_as(file, None)
}

/// The same of a file whose separator is known.
pub(super) fn sniff_as<F: Read + Seek>(
    file: &mut F,
    separator: Option<Separator>,
) -> Result<Format, ReadFault> {
    let encoding = detect(open(file)?)?;
    let text = start_of(file, encoding)?;
    let separator = separator.unwrap_or_else(|| guess_separator(&text));
    let first = records(&text, separator).next();
    let has_header = first.is_none_or(|first| names_columns(&first));
    Ok(Format {
        encoding,
        separator,
        has_header,
        by_row: false,
    })
}

/// The columns of a file in a chosen format.
pub fn sample_as<F: Read + Seek>(file: &mut F, format: Format) -> Result<Sample, ReadFault> {
    let text = start_of(file, format.encoding)?;
    let mut columns: Vec<ColumnSample> = Vec::new();
    let mut rows = Rows::new(
        text.as_bytes(),
        Format {
            encoding: Encoding::Utf8,
            ..format
        },
    );
    let mut header = Vec::new();
    if format.has_header {
        header = rows.header()?;
    }
    columns.resize_with(header.len(), ColumnSample::default);
    for row in rows.take(SAMPLE_ROWS) {
        let row = row?;
        if columns.len() < row.cells.len() {
            columns.resize_with(row.cells.len(), ColumnSample::default);
        }
        for (column, cell) in columns.iter_mut().zip(&row.cells) {
            let cell = cell.trim();
            if !cell.is_empty() && column.samples.len() < SAMPLES {
                column
                    .samples
                    .push(cell.chars().take(SAMPLE_LETTERS).collect());
            }
        }
    }
    if columns.is_empty() {
        return Err(ReadFault::Empty);
    }
    for (column, name) in columns.iter_mut().zip(header) {
        column.header = name.trim().chars().take(SAMPLE_LETTERS).collect();
    }
    Ok(Sample { format, columns })
}

/// The rows of a file, one at a time. The header is not among them. After a fault nothing comes.
pub fn rows<F: Read + Seek>(mut file: F, format: Format) -> Result<Rows<F>, ReadFault> {
    let ends_quoted = ends_quoted(&mut file)?;
    open(&mut file)?;
    let mut rows = Rows::new(file, format);
    rows.ends_quoted = ends_quoted;
    if format.has_header {
        rows.header()?;
    }
    Ok(rows)
}

/// The names of the columns as the file has them; empty without a header.
pub fn header<F: Read + Seek>(file: &mut F, format: Format) -> Result<Vec<String>, ReadFault> {
    if format.has_header {
        Rows::new(open(file)?, format).header()
    } else {
        Ok(Vec::new())
    }
}

/// The file from its start, if it is one to read.
fn open<F: Read + Seek>(file: &mut F) -> Result<&mut F, ReadFault> {
    match file.seek(SeekFrom::End(0))? {
        0 => Err(ReadFault::Empty),
        length if length > BYTES_MAX => Err(ReadFault::TooLarge),
        _ => {
            file.seek(SeekFrom::Start(0))?;
            Ok(file)
        }
    }
}

/// Whether the last thing written in a file is a quotation mark.
fn ends_quoted<F: Read + Seek>(file: &mut F) -> Result<bool, ReadFault> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let written = tail.iter().rfind(|byte| !b"\r\n \0".contains(byte));
    Ok(written == Some(&b'"'))
}

/// See [`rows`].
pub struct Rows<R> {
    reader: csv::Reader<Decoded<R>>,
    record: csv::StringRecord,
    count: u64,
    is_first: bool,
    is_over: bool,
    /// The last thing in the file is a quotation mark.
    ends_quoted: bool,
    /// Where the last cell of the last row began, when it spans lines.
    spans_from: Option<u64>,
    separator: u8,
    /// Cells of the first row.
    width: Option<usize>,
    by_row: bool,
}

impl<R: Read> Rows<R> {
    fn new(source: R, format: Format) -> Self {
        let mut source = Decoded::new(source, format.encoding, RECORD_BYTES_MAX);
        source.quotes = Some(Quotes::new(format.separator.byte()));
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(format.separator.byte())
            .buffer_capacity(64 * 1024)
            .from_reader(source);
        Self {
            reader,
            record: csv::StringRecord::new(),
            count: 0,
            is_first: true,
            is_over: false,
            ends_quoted: true,
            spans_from: None,
            separator: format.separator.byte(),
            width: None,
            by_row: format.by_row,
        }
    }

    fn header(&mut self) -> Result<Vec<String>, ReadFault> {
        Ok(self.read()?.map(|row| row.cells).unwrap_or_default())
    }

    fn read(&mut self) -> Result<Option<Row>, ReadFault> {
        loop {
            self.reader.get_ref().since.set(0);
            let before = self.reader.position().line();
            let is_more = self
                .reader
                .read_record(&mut self.record)
                .map_err(|error| fault(error, before))?;
            if !is_more {
                // A last cell over several lines that no quotation mark ends swallowed the rest.
                return match self.spans_from {
                    Some(line) if !self.ends_quoted => Err(ReadFault::NeverClosed { line }),
                    _ => Ok(None),
                };
            }
            // Counted from the record's end: blank lines before it are no part of it.
            let within: usize = self
                .record
                .iter()
                .map(|cell| cell.matches('\n').count())
                .sum();
            let line = self
                .reader
                .position()
                .line()
                .saturating_sub(within as u64 + 1)
                .max(1);
            let line = if self.by_row {
                self.reader.position().record()
            } else {
                line
            };
            self.check(line)?;
            let last = self.record.iter().next_back().unwrap_or_default();
            self.spans_from = last.contains('\n').then_some(line);
            let is_sign = std::mem::take(&mut self.is_first) && names_separator(&self.record);
            let is_blank = self.record.iter().all(|cell| cell.trim().is_empty());
            if !is_sign && !is_blank {
                self.width.get_or_insert(self.record.len());
                return Ok(Some(Row {
                    line,
                    cells: self.record.iter().map(str::to_owned).collect(),
                }));
            }
        }
    }

    fn check(&self, line: u64) -> Result<(), ReadFault> {
        if self.record.len() > COLUMNS_MAX {
            return Err(ReadFault::TooManyColumns {
                line,
                columns: self.record.len(),
            });
        }
        if self.record.iter().any(|cell| cell.len() > CELL_BYTES_MAX) {
            return Err(ReadFault::CellTooLong { line });
        }
        if self.record.as_slice().contains('\0') {
            return Err(ReadFault::Nul { line });
        }
        // Workbooks are written by us.
        if self.by_row {
            return Ok(());
        }
        let here = self.reader.position().line();
        let quotes = self.reader.get_ref().quotes.as_ref();
        if let Some(torn) = quotes.and_then(Quotes::torn).filter(|torn| *torn <= here) {
            return Err(ReadFault::Swallowed { line: torn });
        }
        let width = self.width.unwrap_or(usize::MAX);
        if width < usize::MAX && quotes::holds_rows(&self.record, self.separator, width) {
            return Err(ReadFault::Swallowed { line });
        }
        Ok(())
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<Row, ReadFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.read().transpose();
        self.count += 1;
        let next = match next {
            Some(Ok(_)) if self.count > ROWS_MAX => Some(Err(ReadFault::TooManyRows)),
            next => next,
        };
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

fn fault(error: csv::Error, line: u64) -> ReadFault {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|error| error.is::<Endless>()) => {
            ReadFault::CellTooLong { line }
        }
        csv::ErrorKind::Io(error) => ReadFault::Io(error),
        _ => ReadFault::NoTable,
    }
}

/// `sep=;`: how Excel is told the separator; no row.
fn names_separator(record: &csv::StringRecord) -> bool {
    let first = record.get(0).unwrap_or_default();
    record.len() <= 2 && first.len() <= 5 && first.to_ascii_lowercase().starts_with("sep=")
}

/// The start of a file up to a line's end.
fn start_of<F: Read + Seek>(file: &mut F, encoding: Encoding) -> Result<String, ReadFault> {
    let mut bytes = Vec::new();
    let read = Decoded::new(open(file)?, encoding, usize::MAX)
        .take(SAMPLE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    let is_whole = read as u64 <= SAMPLE_BYTES;
    if !is_whole && let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
        bytes.truncate(end + 1);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn records(text: &str, separator: Separator) -> impl Iterator<Item = csv::StringRecord> {
    let reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator.byte())
        .from_reader(text.as_bytes());
    let records = reader
        .into_records()
        .map_while(Result::ok)
        .take(SAMPLE_ROWS);
    records.filter(|record| {
        !names_separator(record) && record.iter().any(|cell| !cell.trim().is_empty())
    })
}

/// The separator that cuts most rows into as many cells as the first one, and more than one.
fn guess_separator(text: &str) -> Separator {
    if let Some(sign) = text
        .get(..5)
        .filter(|start| start[..4].eq_ignore_ascii_case("sep="))
        .map(|start| start.as_bytes()[4])
        && let Some(told) = Separator::ALL
            .into_iter()
            .find(|separator| separator.byte() == sign)
    {
        return told;
    }
    let score = |separator: Separator| {
        let counts: Vec<usize> = records(text, separator)
            .map(|record| record.len())
            .collect();
        let columns = counts.first().copied().unwrap_or(0);
        let same = counts.iter().filter(|count| **count == columns).count();
        // In percent, in steps: one odd row in a long file does not decide.
        let share = same * 10 / counts.len().max(1);
        if columns > 1 {
            (share, columns)
        } else {
            (0, 0)
        }
    };
    let mut best = (Separator::Comma, (0, 0));
    for separator in Separator::ALL {
        let score = score(separator);
        if score > best.1 {
            best = (separator, score);
        }
    }
    best.0
}

/// Whether a first row names columns: people's numbers and addresses are no names.
fn names_columns(first: &csv::StringRecord) -> bool {
    let is_person = |cell: &str| {
        let digits = cell.chars().filter(char::is_ascii_digit).count();
        let letters = cell.chars().filter(|c| c.is_alphabetic()).count();
        (digits >= 6 && letters <= 1)
            || cell
                .split_once('@')
                .is_some_and(|(_, host)| host.contains('.'))
    };
    !first.iter().any(is_person)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
