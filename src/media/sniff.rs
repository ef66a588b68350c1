//! What a file is, by its bytes, and whether all of it is there.
//!
//! Invariants: the name has no say; what is not known to be harmless and taken by WhatsApp is refused;
//! a file that plainly ends too early is refused. Reads a few stretches, never the whole file into
//! memory.

use std::io::{Read, Result as IoResult, Seek, SeekFrom};

use super::sound;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Mime(&'static str),
    /// Of this type, but its end is missing.
    CutOff,
    /// Known, and not taken.
    Refused,
    Unknown,
}

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";

/// What is read of a file's end at most.
const TAIL: u64 = 128 * 1024;
/// What is read at a time where a whole file is looked through.
const STRETCH: usize = 256 * 1024;

pub fn sniff(file: &mut (impl Read + Seek)) -> IoResult<Found> {
    let size = file.seek(SeekFrom::End(0))?;
    let head = stretch(file, 0, 64 * 1024)?;
    let tail = stretch(file, size.saturating_sub(TAIL), TAIL)?;
    Ok(match head.as_slice() {
        [0xFF, 0xD8, 0xFF, ..] => whole(holds(file, &[b"\xFF\xD9"])?.is_some(), "image/jpeg"),
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, ..] => whole(
            holds(file, &[b"IEND\xAE\x42\x60\x82"])?.is_some(),
            "image/png",
        ),
        [_, _, _, _, b'f', b't', b'y', b'p', a, b, c, ..] => video(file, size, [*a, *b, *c])?,
        [b'O', b'g', b'g', b'S', ..] => sound::ogg(file, size)?,
        [b'I', b'D', b'3', ..] | [0xFF, 0xE0..=0xFF, ..] => sound::mp3(file, size)?,
        [b'P', b'K', 3, 4, ..] => office(file, size, &tail)?,
        [0xD0, 0xCF, 0x11, 0xE0, 0xA1, 0xB1, 0x1A, 0xE1, ..] => old_office(file)?,
        [b'G', b'I', b'F', b'8', ..]
        | [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ]
        | [b'B', b'M', ..]
        | [b'M', b'Z', ..]
        | [0x7F, b'E', b'L', b'F', ..] => Found::Refused,
        _ if at(&head[..head.len().min(1024)], b"%PDF-").is_some() => {
            whole(at(&tail, b"%%EOF").is_some(), "application/pdf")
        }
        _ => text(file, &head)?,
    })
}

pub(super) fn whole(is_whole: bool, mime: &'static str) -> Found {
    if is_whole {
        Found::Mime(mime)
    } else {
        Found::CutOff
    }
}

pub(super) fn stretch(file: &mut (impl Read + Seek), from: u64, most: u64) -> IoResult<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn at(bytes: &[u8], words: &[u8]) -> Option<usize> {
    bytes.windows(words.len()).position(|part| part == words)
}

/// Which of some words stands anywhere in the file, by its place in the list.
fn holds(file: &mut (impl Read + Seek), words: &[&[u8]]) -> IoResult<Option<usize>> {
    let longest = words.iter().map(|word| word.len()).max().unwrap_or(1);
    file.seek(SeekFrom::Start(0))?;
    let mut kept = Vec::new();
    loop {
        let read = file.take(STRETCH as u64).read_to_end(&mut kept)?;
        if let Some(found) = words.iter().position(|word| at(&kept, word).is_some()) {
            return Ok(Some(found));
        }
        if read == 0 {
            return Ok(None);
        }
        // A word may lie across two stretches.
        kept.drain(..kept.len().saturating_sub(longest - 1));
    }
}

/// MP4, 3GP and M4A are boxes one after another: each must be whole, and one of them says what plays when.
fn video(file: &mut (impl Read + Seek), size: u64, brand: [u8; 3]) -> IoResult<Found> {
    let mime = match &brand {
        b"3gp" | b"3g2" => "video/3gpp",
        b"M4A" | b"M4B" => "audio/mp4",
        b"iso" | b"mp4" | b"avc" | b"M4V" | b"MSN" | b"das" | b"mmp" | b"f4v" => "video/mp4",
        // QuickTime, HEIC, AVIF
        _ => return Ok(Found::Refused),
    };
    let mut from = 0;
    let (mut plays, mut only_heard) = (false, mime == "audio/mp4");
    while from + 8 <= size {
        let head = stretch(file, from, 16)?;
        let (Some(short), Some(name)) = (number(&head, 0, 4), head.get(4..8)) else {
            return Ok(Found::CutOff);
        };
        let length = match short {
            0 => size - from,
            1 => number(&head, 8, 8).unwrap_or(0),
            short => short,
        };
        if length < 8 || from.checked_add(length).is_none_or(|end| end > size) {
            return Ok(Found::CutOff);
        }
        if name == b"moov" {
            plays = true;
            // A recorder writes sound alone under the brand of a video, too.
            only_heard |= mime == "video/mp4" && sound::is_only_heard(file, from, length)?;
        }
        from += length;
    }
    let mime = if only_heard { "audio/mp4" } else { mime };
    Ok(whole(plays && from == size, mime))
}

/// A number of so many bytes, the highest first.
fn number(bytes: &[u8], from: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(from..from + length)?;
    Some(
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

/// A zip whose list of contents stands at its end; the folder in it says which office wrote it.
fn office(file: &mut (impl Read + Seek), size: u64, tail: &[u8]) -> IoResult<Found> {
    let end = tail.windows(4).rposition(|part| part == b"PK\x05\x06");
    let Some(record) = end.and_then(|end| tail.get(end..end + 22)) else {
        return Ok(Found::CutOff);
    };
    let little = |from: usize| {
        record[from..from + 4]
            .iter()
            .rev()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (length, start) = (little(12), little(16));
    if start + length > size {
        return Ok(Found::CutOff);
    }
    let list = stretch(file, start, length.min(1024 * 1024))?;
    let types: [(&[u8], &'static str); 3] = [
        (b"word/document.xml", DOCX),
        (b"xl/workbook.xml", XLSX),
        (b"ppt/presentation.xml", PPTX),
    ];
    Ok(types
        .iter()
        .find(|(name, _)| at(&list, name).is_some())
        .map_or(Found::Refused, |(_, mime)| Found::Mime(mime)))
}

/// A compound file; the name of the stream in it says which office wrote it.
fn old_office(file: &mut (impl Read + Seek)) -> IoResult<Found> {
    let wide = |name: &str| -> Vec<u8> { name.bytes().flat_map(|letter| [letter, 0]).collect() };
    let names = [
        wide("WordDocument"),
        wide("Workbook"),
        wide("PowerPoint Document"),
    ];
    let words: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    let types = [
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
    ];
    Ok(holds(file, &words)?.map_or(Found::Refused, |found| Found::Mime(types[found])))
}

/// Text in UTF-8 that is not a page or a drawing in disguise.
fn text(file: &mut (impl Read + Seek), head: &[u8]) -> IoResult<Found> {
    let start: String = String::from_utf8_lossy(head).to_lowercase();
    let start = start.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let marks = [
        "<!doctype",
        "<html",
        "<head",
        "<body",
        "<svg",
        "<?xml",
        "<script",
        "<iframe",
        "<!--",
    ];
    if marks.iter().any(|mark| start.starts_with(mark))
        || start.contains("<svg")
        || start.contains("<script")
    {
        return Ok(Found::Refused);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut kept: Vec<u8> = Vec::new();
    loop {
        let read = file.take(STRETCH as u64).read_to_end(&mut kept)?;
        if kept.contains(&0) {
            return Ok(Found::Unknown);
        }
        match std::str::from_utf8(&kept) {
            Ok(_) => kept.clear(),
            // A letter may lie across two stretches.
            Err(error) if error.error_len().is_none() && read > 0 => {
                kept.drain(..error.valid_up_to());
            }
            Err(_) => return Ok(Found::Unknown),
        }
        if read == 0 {
            return Ok(Found::Mime("text/plain"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn found(bytes: &[u8]) -> Found {
        sniff(&mut Cursor::new(bytes)).unwrap()
    }

    fn boxed(name: &[u8; 4], inside: &[u8]) -> Vec<u8> {
        let length = u32::try_from(inside.len() + 8).unwrap();
        [&length.to_be_bytes()[..], name, inside].concat()
    }

    #[test]
    fn images_are_known_by_their_bytes_and_must_end() {
        assert_eq!(
            found(b"\xFF\xD8\xFF\xE0 picture \xFF\xD9"),
            Found::Mime("image/jpeg")
        );
        assert_eq!(found(b"\xFF\xD8\xFF\xE0 pict"), Found::CutOff);
        let png = b"\x89PNG\r\n\x1a\n....IEND\xAE\x42\x60\x82";
        assert_eq!(found(png), Found::Mime("image/png"));
        assert_eq!(found(&png[..png.len() - 3]), Found::CutOff);
        assert_eq!(found(b"GIF89a..."), Found::Refused);
    }

    #[test]
    fn a_word_across_two_stretches_is_found() {
        for before in STRETCH - 12..STRETCH + 2 {
            let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
            png.resize(before, b'x');
            png.extend_from_slice(b"IEND\xAE\x42\x60\x82");
            assert_eq!(found(&png), Found::Mime("image/png"), "{before}");
        }
    }

    #[test]
    fn a_video_is_whole_boxes_with_one_that_says_what_plays() {
        let video = [
            boxed(b"ftyp", b"isom\0\0\0\0"),
            boxed(b"mdat", b"pictures"),
            boxed(b"moov", b"when"),
        ]
        .concat();
        assert_eq!(found(&video), Found::Mime("video/mp4"));
        assert_eq!(found(&video[..video.len() - 1]), Found::CutOff);
        assert_eq!(found(&video[..32]), Found::CutOff, "without moov");
        let phone = [boxed(b"ftyp", b"3gp5\0\0\0\0"), boxed(b"moov", b"when")].concat();
        assert_eq!(found(&phone), Found::Mime("video/3gpp"));
        let apple = [boxed(b"ftyp", b"qt  \0\0\0\0"), boxed(b"moov", b"when")].concat();
        assert_eq!(found(&apple), Found::Refused);
    }

    #[test]
    fn documents_are_known_by_what_is_in_them() {
        assert_eq!(
            found(b"%PDF-1.7 ... %%EOF\n"),
            Found::Mime("application/pdf")
        );
        assert_eq!(found(b"%PDF-1.7 ..."), Found::CutOff);
        let list = b"PK\x01\x02 word/document.xml";
        let length = u32::try_from(list.len()).unwrap().to_le_bytes();
        let zip = |list: &[u8]| {
            [
                b"PK\x03\x04....",
                list,
                b"PK\x05\x06\0\0\0\0\0\0\0\0",
                &length[..],
                b"\x08\0\0\0\0\0",
            ]
            .concat()
        };
        assert_eq!(found(&zip(list)), Found::Mime(DOCX));
        assert_eq!(found(&zip(b"PK\x01\x02 evil/document.exe")), Found::Refused);
        assert_eq!(found(b"PK\x03\x04...."), Found::CutOff);
        let old = [
            b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1....".as_slice(),
            b"W\0o\0r\0k\0b\0o\0o\0k\0",
        ]
        .concat();
        assert_eq!(found(&old), Found::Mime("application/vnd.ms-excel"));
    }

    #[test]
    fn text_is_text_and_no_page_in_disguise() {
        assert_eq!(
            found("Harga: Rp 1.000 – ✓\n".as_bytes()),
            Found::Mime("text/plain")
        );
        for page in [
            "<!DOCTYPE html><p>",
            "\u{feff}  <SVG onload=x>",
            "<?xml version='1.0'?><svg/>",
            "hi <script>x()</script>",
        ] {
            assert_eq!(found(page.as_bytes()), Found::Refused, "{page}");
        }
        assert_eq!(found(b"a\0b"), Found::Unknown);
        assert_eq!(found(b"\xE9t\xE9 en latin1"), Found::Unknown);
        assert_eq!(found(b"MZ\x90\0 program"), Found::Refused);
    }
}
