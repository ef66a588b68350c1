//! Bytes of an uploaded file as text: which encoding, and the stream of UTF-8 that comes of it.
//!
//! Invariants: what a file is, its bytes say, not its name; memory stays flat however long the file or
//! a record is.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};

use encoding_rs::CoderResult;

use super::quotes::Quotes;
use super::read::ReadFault;

/// How the letters of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    #[serde(rename = "utf_8")]
    Utf8,
    #[serde(rename = "utf_16_le")]
    Utf16Le,
    #[serde(rename = "utf_16_be")]
    Utf16Be,
    #[serde(rename = "windows_1252")]
    Windows1252,
}

impl Encoding {
    pub const ALL: [Self; 4] = [Self::Utf8, Self::Utf16Le, Self::Utf16Be, Self::Windows1252];

    pub fn label(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16 LE",
            Self::Utf16Be => "UTF-16 BE",
            Self::Windows1252 => "Windows-1252",
        }
    }

    fn table(self) -> &'static encoding_rs::Encoding {
        match self {
            Self::Utf8 => encoding_rs::UTF_8,
            Self::Utf16Le => encoding_rs::UTF_16LE,
            Self::Utf16Be => encoding_rs::UTF_16BE,
            Self::Windows1252 => encoding_rs::WINDOWS_1252,
        }
    }
}

const CHUNK: usize = 64 * 1024;
/// The decoder writes nothing into less.
const LETTER: usize = 16;

/// What other files begin with, and what to say about them.
const OTHER_FILES: &[(&[u8], ReadFault)] = &[
    (b"PK\x03\x04", ReadFault::Workbook),
    (b"PK\x05\x06", ReadFault::Workbook),
    (b"\xd0\xcf\x11\xe0", ReadFault::Workbook),
    (b"%PDF", ReadFault::NoTable),
    (b"\x1f\x8b", ReadFault::NoTable),
    (b"\x89PNG", ReadFault::NoTable),
    (b"GIF8", ReadFault::NoTable),
    (b"\xff\xd8\xff", ReadFault::NoTable),
    (b"7z\xbc\xaf", ReadFault::NoTable),
    (b"Rar!", ReadFault::NoTable),
    (b"{\\rtf", ReadFault::NoTable),
];

/// The encoding of a file. Reads all of it: the one letter that is not
/// UTF-8 may stand in the last row.
pub(super) fn detect(file: &mut (impl Read + Seek)) -> Result<Encoding, ReadFault> {
    file.seek(SeekFrom::Start(0))?;
    let mut chunk = vec![0; CHUNK];
    let mut filled = fill(file, &mut chunk)?;
    let start = &chunk[..filled];
    if let Some((_, fault)) = OTHER_FILES
        .iter()
        .find(|(magic, _)| start.starts_with(magic))
    {
        return Err(fault.again());
    }
    let marked = match start {
        [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8),
        [0xff, 0xfe, ..] => Some(Encoding::Utf16Le),
        [0xfe, 0xff, ..] => Some(Encoding::Utf16Be),
        _ => utf_16_by_zeros(start),
    };
    let mut is_utf_8 = true;
    let mut has_letters = false;
    loop {
        // The letter that the chunk cuts is read again with the next one.
        let kept = match std::str::from_utf8(&chunk[..filled]) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_none() => filled - error.valid_up_to(),
            Err(_) => {
                is_utf_8 = false;
                0
            }
        };
        has_letters |= !chunk[..filled - kept].is_ascii();
        chunk.copy_within(filled - kept..filled, 0);
        let more = fill(file, &mut chunk[kept..])?;
        if more == 0 {
            // A file cut within its last letter is still what the letters before it say.
            is_utf_8 &= kept == 0 || has_letters;
            break;
        }
        filled = kept + more;
    }
    Ok(marked.unwrap_or(if is_utf_8 {
        Encoding::Utf8
    } else {
        Encoding::Windows1252
    }))
}

/// UTF-16 without a mark: in most scripts' tables every second byte is zero, at least of separators and
/// digits.
fn utf_16_by_zeros(start: &[u8]) -> Option<Encoding> {
    let pairs = start.len() / 2;
    if pairs < 2 {
        return None;
    }
    let zeros = |offset: usize| {
        start
            .iter()
            .skip(offset)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    match (even, odd) {
        (0, odd) if odd * 5 > pairs => Some(Encoding::Utf16Le),
        (even, 0) if even * 5 > pairs => Some(Encoding::Utf16Be),
        _ => None,
    }
}

fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// More was read than a record may hold: an open quotation mark swallows the file.
#[derive(Debug, thiserror::Error)]
#[error("the record is too long")]
pub(super) struct Endless;

/// A file read as UTF-8. Letters the encoding does not know become `�`; a byte order mark is left out;
/// every line ends with `\n`, the last one too.
pub(super) struct Decoded<R> {
    source: R,
    decoder: encoding_rs::Decoder,
    input: Box<[u8]>,
    /// What of `input` is not decoded yet.
    start: usize,
    end: usize,
    is_last: bool,
    is_done: bool,
    /// Decoded, but more than a small buffer took.
    left: Vec<u8>,
    /// The last byte handed out.
    last: Option<u8>,
    /// The last byte decoded was a carriage return.
    after_return: bool,
    /// Bytes handed out since the reader last set this to zero.
    pub since: Cell<usize>,
    most: usize,
    /// Where rows are read; a sample needs none.
    pub quotes: Option<Quotes>,
}

impl<R: Read> Decoded<R> {
    /// `most`: bytes between two settings of `since`.
    pub fn new(source: R, encoding: Encoding, most: usize) -> Self {
        Self {
            source,
            decoder: encoding.table().new_decoder_with_bom_removal(),
            input: vec![0; CHUNK].into_boxed_slice(),
            start: 0,
            end: 0,
            is_last: false,
            is_done: false,
            left: Vec::new(),
            last: None,
            after_return: false,
            since: Cell::new(0),
            most,
            quotes: None,
        }
    }
}

impl<R: Read> Decoded<R> {
    /// Decodes into a buffer that holds a letter at least.
    fn decode(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_done {
            if self.start == self.end && !self.is_last {
                self.end = self.source.read(&mut self.input)?;
                self.start = 0;
                self.is_last = self.end == 0;
            }
            let input = &self.input[self.start..self.end];
            let (result, read, written, _) =
                self.decoder.decode_to_utf8(input, buffer, self.is_last);
            self.start += read;
            self.is_done = self.is_last && result == CoderResult::InputEmpty;
            let written = self.one_line_end(&mut buffer[..written]);
            if written > 0 {
                return Ok(written);
            }
        }
        // The last line ends like the others.
        if self.last.is_some_and(|last| last != b'\n') {
            self.last = Some(b'\n');
            buffer[0] = b'\n';
            return Ok(1);
        }
        Ok(0)
    }

    /// Makes `\r\n` and `\r` one `\n`, in place; how much is left.
    fn one_line_end(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for index in 0..bytes.len() {
            let byte = bytes[index];
            let is_second = byte == b'\n' && std::mem::take(&mut self.after_return);
            self.after_return = byte == b'\r';
            if !is_second {
                bytes[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
        }
        self.last = bytes[..kept].last().copied().or(self.last);
        kept
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() && buffer.len() >= LETTER {
            let read = self.decode(buffer)?;
            self.count(&buffer[..read])?;
            return Ok(read);
        }
        if self.left.is_empty() {
            let mut letters = [0; LETTER];
            let read = self.decode(&mut letters)?;
            self.left.extend_from_slice(&letters[..read]);
        }
        let read = buffer.len().min(self.left.len());
        buffer[..read].copy_from_slice(&self.left[..read]);
        self.left.drain(..read);
        self.count(&buffer[..read])?;
        Ok(read)
    }
}

impl<R> Decoded<R> {
    fn count(&mut self, read: &[u8]) -> io::Result<()> {
        if let Some(quotes) = &mut self.quotes {
            quotes.see(read);
        }
        self.since.set(self.since.get() + read.len());
        if self.since.get() > self.most {
            Err(io::Error::other(Endless))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn decoded(bytes: &[u8]) -> (Encoding, String) {
        let encoding = detect(&mut Cursor::new(bytes)).unwrap();
        let mut text = String::new();
        Decoded::new(bytes, encoding, usize::MAX)
            .read_to_string(&mut text)
            .unwrap();
        (encoding, text)
    }

    fn utf_16(text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some('\u{feff}');
        mark.into_iter()
            .chain(text.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(bytes)
            .collect()
    }

    #[test]
    fn an_encoding_is_known_by_its_bytes() {
        let text = "name,no\nSití €,0812\n";
        for mark in [true, false] {
            assert_eq!(
                decoded(&utf_16(text, mark, u16::to_le_bytes)),
                (Encoding::Utf16Le, text.to_owned())
            );
            assert_eq!(
                decoded(&utf_16(text, mark, u16::to_be_bytes)),
                (Encoding::Utf16Be, text.to_owned())
            );
        }
        assert_eq!(decoded(text.as_bytes()), (Encoding::Utf8, text.to_owned()));
        assert_eq!(
            decoded(&[b"\xef\xbb\xbf", text.as_bytes()].concat()),
            (Encoding::Utf8, text.to_owned())
        );
        assert_eq!(
            decoded(b"name\nSit\xed \x80\n"),
            (Encoding::Windows1252, "name\nSití €\n".to_owned())
        );
        assert_eq!(
            decoded(b"name\nSit\xed"),
            (Encoding::Windows1252, "name\nSití\n".to_owned())
        );
        assert_eq!(
            decoded(b"n\xc3\xa1me\nSit\xc3"),
            (Encoding::Utf8, "náme\nSit\u{fffd}\n".to_owned())
        );
        assert_eq!(decoded(b""), (Encoding::Utf8, String::new()));
        assert_eq!(decoded(b"a"), (Encoding::Utf8, "a\n".to_owned()));
    }

    #[test]
    fn the_last_letter_of_a_long_file_counts() {
        let mut long = "é,".repeat(CHUNK).into_bytes();
        assert_eq!(decoded(&long).0, Encoding::Utf8);
        // Letters that the chunks cut, at every offset.
        for padding in 0..4 {
            let text = format!("{}{}\n", "x".repeat(padding), "€😀".repeat(CHUNK / 3));
            assert_eq!(decoded(text.as_bytes()), (Encoding::Utf8, text));
        }
        long.push(0xe9);
        long.push(b'\n');
        assert_eq!(decoded(&long).0, Encoding::Windows1252);
    }

    #[test]
    fn a_small_buffer_gets_every_byte() {
        let text = "a€😀b";
        let mut source = Decoded::new(text.as_bytes(), Encoding::Utf8, usize::MAX);
        let mut found = Vec::new();
        let mut byte = [0];
        while source.read(&mut byte).unwrap() == 1 {
            found.push(byte[0]);
        }
        assert_eq!(found, [text.as_bytes(), b"\n"].concat());
    }

    #[test]
    fn every_line_ends_the_same() {
        for text in ["a\n\nb", "a\r\n\r\nb\r\n", "a\r\rb\r", "a\n\nb\n"] {
            assert_eq!(decoded(text.as_bytes()).1, "a\n\nb\n", "{text:?}");
        }
        // The chunk ends between the two.
        let text = format!("{}\r\nb", "a".repeat(CHUNK - 1));
        let expected = format!("{}\nb\n", "a".repeat(CHUNK - 1));
        assert_eq!(decoded(text.as_bytes()).1, expected);
    }

    #[test]
    fn other_files_are_refused_by_what_they_hold() {
        for (bytes, fault) in [
            (b"PK\x03\x04xyz".as_slice(), "Excel"),
            (b"\xd0\xcf\x11\xe0xyz", "Excel"),
            (b"%PDF-1.7", "not a table"),
            (b"GIF89a,name\n", "not a table"),
        ] {
            let error = detect(&mut Cursor::new(bytes)).unwrap_err();
            assert!(error.to_string().contains(fault), "{error}");
        }
    }

    #[test]
    fn an_endless_record_stops_the_reading() {
        let bytes = "x".repeat(1000);
        let error = Decoded::new(bytes.as_bytes(), Encoding::Utf8, 100)
            .read_to_string(&mut String::new())
            .unwrap_err();
        assert!(error.get_ref().is_some_and(|error| error.is::<Endless>()));
    }
}
