//! The name of an uploaded file, made harmless.
//!
//! Invariant: a name is one line without a path, ends as its type does, and says what it is in both
//! directions of reading.

use super::kinds::Type;

/// Longer ones are shortened before their ending.
const LONGEST: usize = 120;

/// The name people see for the file: what they gave it, as far as that is harmless.
pub fn safe(given: &str, kind: &Type) -> String {
    let name = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name
        .chars()
        .map(|letter| {
            if letter.is_control() || "\"<>:|?*%".contains(letter) {
                ' '
            } else {
                letter
            }
        })
        .filter(|letter| !turns_or_hides(*letter))
        .collect();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = name.trim_matches(['.', ' ']);
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if fits(ending, kind) => (stem, ending.to_owned()),
        _ => (name, kind.endings[0].to_owned()),
    };
    let stem: String = stem.chars().take(LONGEST - ending.len() - 1).collect();
    let stem = stem.trim_matches(['.', ' ']);
    let stem = if stem.is_empty() {
        kind.kind.as_str()
    } else {
        stem
    };
    format!("{stem}.{ending}")
}

fn fits(ending: &str, kind: &Type) -> bool {
    kind.endings
        .iter()
        .any(|known| known.eq_ignore_ascii_case(ending))
}

/// Marks that turn the direction of reading, and letters without a width.
fn turns_or_hides(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::super::kinds::of_mime;
    use super::*;

    fn named(given: &str, mime: &str) -> String {
        safe(given, of_mime(mime).unwrap())
    }

    #[test]
    fn a_name_keeps_what_is_harmless_and_ends_as_its_type_does() {
        assert_eq!(
            named("Katalog 2026.PDF", "application/pdf"),
            "Katalog 2026.PDF"
        );
        assert_eq!(named("../../etc/passwd", "application/pdf"), "passwd.pdf");
        assert_eq!(named("C:\\x\\foto.exe", "image/png"), "foto.exe.png");
        assert_eq!(
            named("a\r\nSet-Cookie: x\".pdf", "application/pdf"),
            "a Set-Cookie x.pdf"
        );
        assert_eq!(
            named("gpj.\u{202e}fdp.pdf", "application/pdf"),
            "gpj.fdp.pdf"
        );
        assert_eq!(named("", "video/mp4"), "video.mp4");
        assert_eq!(named("...", "image/jpeg"), "image.jpg");
        let long = named(&"n".repeat(500), "application/pdf");
        assert!(long.chars().count() == 120 && long.ends_with(".pdf"));
    }
}
