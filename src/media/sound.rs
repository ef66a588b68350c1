//! Sound, by its bytes: what a voice note may be made of.
//!
//! Invariants: of Ogg only Opus is taken, because WhatsApp plays nothing else in it; Ogg that ends in the middle
//! of a page is cut off. MP3 has no end that could be missing.

use std::io::{Read, Result as IoResult, Seek};

use super::sniff::{Found, at, stretch, whole};

/// The head of a page: 27 bytes, the last of them says how many lengths follow.
const PAGE: usize = 27;
/// What is read of `moov` to find out what its tracks are.
const TRACKS: u64 = 16 * 1024 * 1024;

/// Pages one after another, the first of which says what is in them.
pub(super) fn ogg(file: &mut (impl Read + Seek), size: u64) -> IoResult<Found> {
    let mut from = 0;
    while from < size {
        let head = stretch(file, from, 512)?;
        let lengths = head.get(PAGE - 1).map(|count| usize::from(*count));
        let Some(lengths) = lengths.and_then(|count| head.get(PAGE..PAGE + count)) else {
            return Ok(Found::CutOff);
        };
        if !head.starts_with(b"OggS") {
            return Ok(Found::CutOff);
        }
        if from == 0 && !head[PAGE + lengths.len()..].starts_with(b"OpusHead") {
            return Ok(Found::Refused);
        }
        let inside: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        from += (PAGE + lengths.len()) as u64 + inside;
    }
    Ok(whole(from == size, "audio/ogg"))
}

/// A tag, perhaps, and frames of which the first two must be there.
pub(super) fn mp3(file: &mut (impl Read + Seek), size: u64) -> IoResult<Found> {
    let first = match stretch(file, 0, 10)?.as_slice() {
        [b'I', b'D', b'3', _, _, flags, length @ ..] if length.len() == 4 => {
            let tag = length
                .iter()
                .fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7F));
            10 + tag + if flags & 0x10 == 0 { 0 } else { 10 }
        }
        _ => 0,
    };
    if first + 4 > size {
        return Ok(Found::CutOff);
    }
    let Some(length) = frame(&stretch(file, first, 4)?) else {
        return Ok(Found::Unknown);
    };
    if first + length + 4 > size {
        return Ok(Found::CutOff);
    }
    Ok(match frame(&stretch(file, first + length, 4)?) {
        Some(_) => Found::Mime("audio/mpeg"),
        None => Found::Unknown,
    })
}

/// How long the frame with this head is; nothing where it is no head of layer III.
fn frame(head: &[u8]) -> Option<u64> {
    const FIRST: [u64; 15] = [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const SECOND: [u64; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    let [0xFF, second, third, _] = *head else {
        return None;
    };
    if second & 0xE0 != 0xE0 || (second >> 1) & 3 != 1 {
        return None;
    }
    let (rates, samples, slower) = match (second >> 3) & 3 {
        3 => (FIRST, 144_u64, 1_u64),
        2 => (SECOND, 72, 2),
        0 => (SECOND, 72, 4),
        _ => return None,
    };
    let rate = *rates
        .get(usize::from(third >> 4))
        .filter(|rate| **rate > 0)?;
    let frequency = [44_100_u64, 48_000, 32_000].get(usize::from((third >> 2) & 3))? / slower;
    Some(samples * rate * 1000 / frequency + u64::from((third >> 1) & 1))
}

/// Whether the tracks that `moov` describes are sound alone.
pub(super) fn is_only_heard(file: &mut (impl Read + Seek), from: u64, size: u64) -> IoResult<bool> {
    let moov = stretch(file, from, size.min(TRACKS))?;
    let mut rest = moov.as_slice();
    let mut heard = false;
    while let Some(found) = at(rest, b"hdlr") {
        rest = &rest[found + 4..];
        match rest.get(8..12) {
            Some(b"vide") => return Ok(false),
            Some(b"soun") => heard = true,
            _ => {}
        }
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::sniff::sniff;
    use super::*;

    fn found(bytes: &[u8]) -> Found {
        sniff(&mut Cursor::new(bytes)).unwrap()
    }

    fn page(inside: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0\x02".to_vec();
        page.resize(PAGE - 1, 0);
        page.push(1);
        page.push(u8::try_from(inside.len()).unwrap());
        page.extend_from_slice(inside);
        page
    }

    #[test]
    fn a_voice_note_is_ogg_with_opus_and_all_of_it() {
        let note = [page(b"OpusHead\x01\x01"), page(b"OpusTags"), page(b"sound")].concat();
        assert_eq!(found(&note), Found::Mime("audio/ogg"));
        assert_eq!(found(&note[..note.len() - 1]), Found::CutOff);
        assert_eq!(found(&note[..30]), Found::Refused);
        assert_eq!(found(b"OggS"), Found::CutOff);
        assert_eq!(found(&page(b"\x01vorbis")), Found::Refused);
    }

    #[test]
    fn mp3_is_two_frames_with_or_without_a_tag() {
        // MPEG 1, layer III, 128 kbit/s, 44.1 kHz: 417 bytes.
        let mut frame = vec![0xFF, 0xFB, 0x90, 0x00];
        frame.resize(417, 0);
        let sound = [frame.as_slice(), &frame].concat();
        assert_eq!(found(&sound), Found::Mime("audio/mpeg"));
        let tagged = [b"ID3\x04\0\0\0\0\x01\x01".as_slice(), &[0; 129], &sound].concat();
        assert_eq!(found(&tagged), Found::Mime("audio/mpeg"));
        assert_eq!(found(&tagged[..80]), Found::CutOff);
        assert_eq!(found(&sound[..300]), Found::CutOff);
        // AAC, and something else under the same first byte
        assert_eq!(found(&[0xFF, 0xF1, 0x50, 0x80, 0, 0]), Found::Unknown);
        assert_eq!(found(b"\xFF\xFE\0n\0o"), Found::Unknown);
    }

    #[test]
    fn mp4_without_pictures_is_sound() {
        let boxed = |name: &[u8], inside: &[u8]| {
            let length = u32::try_from(inside.len() + 8).unwrap();
            [&length.to_be_bytes()[..], name, inside].concat()
        };
        let made = |brand: &[u8], tracks: &[&[u8]]| {
            let tracks: Vec<u8> = tracks
                .iter()
                .flat_map(|kind| boxed(b"hdlr", &[b"\0\0\0\0\0\0\0\0", *kind].concat()))
                .collect();
            [boxed(b"ftyp", brand), boxed(b"moov", &tracks)].concat()
        };
        let sound: &[u8] = b"soun";
        assert_eq!(
            found(&made(b"M4A \0\0\0\0", &[sound])),
            Found::Mime("audio/mp4")
        );
        assert_eq!(
            found(&made(b"mp42\0\0\0\0", &[sound])),
            Found::Mime("audio/mp4")
        );
        assert_eq!(
            found(&made(b"mp42\0\0\0\0", &[sound, b"vide"])),
            Found::Mime("video/mp4")
        );
    }
}
