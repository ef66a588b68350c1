//! Quotation marks that swallow rows: one left open is closed by the next one of the file, lines later.
//!
//! Cells over several lines are fine; what is not is a mark that closes in the middle of a cell it did
//! not open, and a cell whose lines are rows themselves. Pure.

/// Follows the bytes of a table; sees what the reader of cells forgives.
pub(super) struct Quotes {
    separator: u8,
    state: State,
    line: u64,
    opened: u64,
    torn: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Of a cell.
    Start,
    Plain,
    Quoted,
    /// A mark within a quoted cell: its end, or the first of two.
    Closed,
}

impl Quotes {
    pub fn new(separator: u8) -> Self {
        Self {
            separator,
            state: State::Start,
            line: 1,
            opened: 1,
            torn: None,
        }
    }

    /// The first line whose mark was closed lines later, in the middle of a cell.
    pub fn torn(&self) -> Option<u64> {
        self.torn
    }

    pub fn see(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().copied() {
            let ends = byte == self.separator || byte == b'\n';
            self.state = match self.state {
                State::Start if byte == b'"' => {
                    self.opened = self.line;
                    State::Quoted
                }
                State::Quoted if byte == b'"' => State::Closed,
                State::Quoted => State::Quoted,
                State::Closed if byte == b'"' => State::Quoted,
                _ if ends => State::Start,
                State::Closed => {
                    if self.opened < self.line && self.torn.is_none() {
                        self.torn = Some(self.opened);
                    }
                    State::Plain
                }
                State::Start | State::Plain => State::Plain,
            };
            self.line += u64::from(byte == b'\n');
        }
    }
}

/// Whether a cell of a row holds rows of the same table. `width`: the columns of the table.
pub(super) fn holds_rows(record: &csv::StringRecord, separator: u8, width: usize) -> bool {
    let separator = char::from(separator);
    let spans = |cell: &str| cell.contains('\n');
    if width < 2 || !record.iter().any(spans) {
        return false;
    }
    let holds_person = |cell: &str| cell.split([separator, '\n']).any(is_person);
    if record.len() > width && record.iter().any(|cell| spans(cell) && holds_person(cell)) {
        return true;
    }
    let is_row = |line: &str| {
        line.split(separator).count() == width
            && (width > 3 || line.split(separator).any(is_person))
    };
    record.iter().enumerate().any(|(index, cell)| {
        let mut lines = cell.split('\n');
        let (Some(first), Some(last)) = (lines.next(), lines.next_back()) else {
            return false;
        };
        // The rest of the row that opened the mark, and the start of the one that closed it.
        let (after, before) = (
            first.matches(separator).count(),
            last.matches(separator).count(),
        );
        let torn = after + before > 0
            && index + after + 1 == width
            && before == index
            && [first, last]
                .iter()
                .any(|line| line.split(separator).any(is_person));
        torn || lines.any(is_row)
    })
}

/// A number or an address: what a row of people has and a text does not.
fn is_person(cell: &str) -> bool {
    let digits = cell.chars().filter(char::is_ascii_digit).count();
    let letters = cell.chars().filter(|c| c.is_alphabetic()).count();
    (digits >= 8 && letters <= 1)
        || cell.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !cell.trim().contains(' ')
        })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use crate::imports::read::{self, ReadFault, sniff};

    fn rows(text: &str) -> Result<usize, ReadFault> {
        let mut file = Cursor::new(text.as_bytes());
        let format = sniff(&mut file)?;
        let rows: Result<Vec<_>, _> = read::rows(file, format)?.collect();
        Ok(rows?.len())
    }

    #[test]
    fn a_mark_that_a_later_one_closes_is_found() {
        for (text, line) in [
            // Closed by the mark that opens the next quoted cell.
            (
                "Nama,Toko,HP\nSiti,\"Batik,0812345678\nBudi,\"Sari\",0813345678\n",
                2,
            ),
            (
                "Nama,Toko,HP\nA,x,0812345677\nSiti,\"Batik,0812345678\nB,y,0812345679\nBudi,\"Sari\",0813345678\nC,z,0812345670\n",
                3,
            ),
            // Closed by a mark at the end of a cell.
            (
                "Nama,Toko,HP\nSiti,\"Batik,0812345678\nBudi,Sari\",0813345678\n",
                2,
            ),
            (
                "Nama,Toko,HP,Kota\nSiti,\"Batik,a,b\nA,B,C,D\nBudi,Sari\",x,y\n",
                2,
            ),
            ("HP;Nama\n0812345678;\"Siti\n0813345678;Budi\"\n", 2),
            (
                "Nama;HP\n\"Siti;0812345678\nBudi;0813345678\n\"Ayu\";0814345678\n",
                2,
            ),
        ] {
            let fault = rows(text).expect_err(text).to_string();
            assert!(
                fault.starts_with(&format!("Line {line} opens a quotation mark")),
                "{text}: {fault}"
            );
        }
    }

    #[test]
    fn cells_over_several_lines_stay() {
        for (text, count) in [
            (
                "Nama,Alamat,HP\nSiti,\"Jl. Merdeka 1, Blok C\nBandung, 40115\",0812345678\n",
                1,
            ),
            (
                "Nama,Alamat,HP\nSiti,\"a\n\nb\nc, d\ne\",0812345678\nBudi,\"\"\"Toko\"\"\nx\",0813345678\n",
                2,
            ),
            (
                "Nama,Catatan\nSiti,\"Toko, Dago\nbuka 9-17, Senin\ntutup\"\n",
                1,
            ),
            // Sloppy, but within its line.
            (
                "Nama,HP\n\"Siti \"Nur\" R\",0812345678\nBudi,0813345678\n",
                2,
            ),
            ("Nama,HP\nBudi \"Toko,0813345678\nAyu 5\",0814345678\n", 2),
        ] {
            assert_eq!(rows(text).expect(text), count, "{text}");
        }
    }
}
