//! What the translation of sentences must do, and that no sentence of the sources is without one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn indonesian(sentence: &str) -> String {
    say(Lang::Id, sentence).into_owned()
}

#[test]
fn english_is_as_it_is() {
    assert_eq!(say(Lang::En, "The file is empty."), "The file is empty.");
}

#[test]
fn a_sentence_is_found_by_itself() {
    assert_eq!(indonesian("The file is empty."), "Berkas ini kosong.");
}

#[test]
fn what_varies_is_carried_over() {
    assert_eq!(
        indonesian(
            "Nothing listens at 10.0.0.9 port 3000. Is WAHA running, and is the port right?"
        ),
        "Tidak ada yang menjawab di 10.0.0.9 port 3000. Apakah WAHA berjalan, dan apakah port-nya benar?"
    );
    assert_eq!(
        indonesian("{{contact.nama}} is not known. The Variables tab lists every placeholder."),
        "{{contact.nama}} tidak dikenal. Tab Variabel memuat semua variabel."
    );
    assert_eq!(
        indonesian("waha.example answers."),
        "waha.example menjawab."
    );
    assert_eq!(
        indonesian("The country “{0} => x” is not known."),
        "Negara “{0} => x” tidak dikenal."
    );
}

#[test]
fn the_most_telling_template_wins() {
    assert_eq!(
        indonesian("WAHA answered 500 without saying why."),
        "WAHA menjawab 500 tanpa menyebut alasannya."
    );
    assert_eq!(
        indonesian("WAHA answered 500: Connection Closed"),
        "WAHA menjawab 500: Connection Closed"
    );
}

#[test]
fn a_word_or_a_sentence_inside_is_translated_where_the_line_says_so() {
    assert_eq!(
        indonesian("A mailing that is partial failure cannot be changed like this (send now)."),
        "Mailing dengan status gagal sebagian tidak dapat diubah seperti ini (kirim sekarang)."
    );
    assert_eq!(
        indonesian(
            "Session “default” is not working: its status is STARTING. It is starting. Try again in a minute."
        ),
        "Sesi “default” tidak berfungsi: statusnya STARTING. Sesi sedang dimulai. Coba lagi sebentar lagi."
    );
    // A mailing called like a word of ours keeps its name.
    assert_eq!(
        indonesian("This list is still needed by: test."),
        "Daftar ini masih diperlukan oleh: test."
    );
}

#[test]
fn a_number_is_grouped_as_the_language_does() {
    assert_eq!(
        indonesian(
            "It may write first to 100,000 people in 24 hours, all numbers of the business together."
        ),
        "Boleh menyapa lebih dulu 100.000 orang dalam 24 jam, semua nomor bisnis bersama-sama."
    );
    for no_number in ["100,00", "1,0000", ",100", "a,100", "100"] {
        assert!(!is_grouped(no_number), "{no_number}");
    }
}

#[test]
fn joined_sentences_are_tried_one_by_one() {
    assert_eq!(
        indonesian("The number is too short. Enter your name."),
        "Nomor terlalu pendek. Masukkan nama Anda."
    );
    assert_eq!(
        indonesian("The file is empty.\nNobody knows this. Connected."),
        "Berkas ini kosong.\nNobody knows this. Terhubung."
    );
    assert_eq!(
        indonesian("Enter your name. This account is archived. Choose another one."),
        "Masukkan nama Anda. Akun ini diarsipkan. Pilih yang lain."
    );
}

#[test]
fn what_nobody_knows_stays() {
    for own in [
        "",
        "Session status is not as expected. Try again later",
        "everything on this server answers.",
        "{\"city\": 1}",
        "é",
    ] {
        assert_eq!(indonesian(own), own);
    }
    let long = "The file is empty. ".repeat(500);
    assert_eq!(indonesian(&long), long);
}

fn arguments_of(side: &'static str) -> BTreeSet<usize> {
    pieces(side)
        .iter()
        .filter_map(|piece| match piece {
            Piece::Argument { index, .. } => Some(*index),
            Piece::Text(_) => None,
        })
        .collect()
}

#[test]
fn every_line_has_two_sides_with_the_same_placeholders_in_order() {
    let mut seen = BTreeSet::new();
    for line in SENTENCES.lines() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let (english, said) = line
            .split_once(" => ")
            .unwrap_or_else(|| panic!("no ` => ` in: {line}"));
        assert!(!said.trim().is_empty(), "no translation: {english}");
        assert!(seen.insert(english), "stands twice: {english}");
        assert_eq!(arguments_of(english), arguments_of(said), "{english}");
        let order: Vec<usize> = pieces(english)
            .iter()
            .filter_map(|piece| match piece {
                Piece::Argument { index, again } => {
                    assert!(!again, "a star belongs to the right: {english}");
                    Some(*index)
                }
                Piece::Text(_) => None,
            })
            .collect();
        assert_eq!(order, (0..order.len()).collect::<Vec<_>>(), "{english}");
        assert!(!said.contains('!'), "calm: {said}");
    }
}

/// Sentences that no page shows, with the reason.
const NOT_SAID: &[(&str, &str)] = &[(
    "There is no such file.",
    "the plain answer for a file under /static that is missing",
)];

/// Sources whose sentences are read by programs or stand on the console.
const NOT_PAGES: &[&str] = &[
    "api",
    "check.rs",
    "config.rs",
    "demo",
    "embedded",
    "main.rs",
    "reach.rs",
    "schema.rs",
    "simulator",
    "user_command.rs",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if NOT_PAGES.contains(&name.as_str()) || name.ends_with("_tests.rs") {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The string literals of a source before its tests, comments left out.
fn literals(source: &str) -> Vec<String> {
    let code = source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let mut found = Vec::new();
    let mut letters = code.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        match letter {
            '/' if letters.peek() == Some(&'/') => {
                letters.by_ref().find(|letter| *letter == '\n');
            }
            // A letter in quotes; a lifetime has none after it.
            '\'' if before != 'b' || letters.peek() != Some(&'\\') => {
                let mut ahead = letters.clone();
                let first = ahead.next();
                if first == Some('\\') || ahead.next() == Some('\'') {
                    if letters.next() == Some('\\') {
                        letters.next();
                    }
                    letters.find(|letter| *letter == '\'');
                }
            }
            '"' => found.push(literal(&mut letters)),
            _ => {}
        }
        before = letter;
    }
    found
}

/// The rest of a literal whose quotation mark is read, as the program sees it.
fn literal(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => match letters.next() {
                Some('\n') => while letters.next_if(|space| space.is_whitespace()).is_some() {},
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => break,
            },
            letter => text.push(letter),
        }
    }
    text
}

/// Whether it is written for a person: begins large or with what varies, has words, ends like a
/// sentence or with what varies after a colon.
fn is_sentence(text: &str) -> bool {
    let begins = text.starts_with(|letter: char| letter.is_uppercase())
        || (text.starts_with('{') && text.contains("} "));
    let ends = text.ends_with(['.', '?', '!'])
        || (text.ends_with('}') && text.contains(": {") && text.split(' ').count() > 4);
    begins && ends && text.contains(' ') && text.chars().count() >= 12
}

/// Stands for every placeholder.
const VARIES: char = '\u{3}';

/// The English of a line with its placeholders alike.
fn shape_of_line(english: &'static str) -> String {
    let pieces = pieces(english);
    let one = |piece: &Piece| match piece {
        Piece::Text(text) => (*text).to_owned(),
        Piece::Argument { .. } => VARIES.to_string(),
    };
    pieces.iter().map(one).collect()
}

/// What a format string writes, with its placeholders alike.
fn shape_of_format(text: &str) -> String {
    let mut shape = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            shape.push(letter);
            rest = after;
        } else if let Some((_, after)) =
            rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
        {
            shape.push(VARIES);
            rest = after;
        } else {
            shape.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    shape
}

#[test]
fn every_sentence_of_the_sources_is_translated() {
    let known: BTreeSet<String> = entries(SENTENCES)
        .map(|(english, _)| shape_of_line(english))
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let mut missing: BTreeMap<String, String> = BTreeMap::new();
    let mut found = 0;
    for path in files {
        let source = fs::read_to_string(&path).unwrap();
        for text in literals(&source) {
            // A statement holds its sentences in single quotation marks.
            let inner = text.split('\'').skip(1).step_by(2);
            for text in inner
                .chain([text.as_str()])
                .filter(|text| is_sentence(text))
            {
                found += 1;
                let excepted = NOT_SAID.iter().any(|(own, _)| *own == text);
                if !excepted && !known.contains(text) && !known.contains(&shape_of_format(text)) {
                    let place = path.strip_prefix(root).unwrap().display().to_string();
                    missing.insert(text.to_owned(), place);
                }
            }
        }
    }
    assert!(found > 150, "the scan found only {found}");
    let missing: Vec<String> = missing
        .iter()
        .map(|(text, place)| format!("{place}: {text}"))
        .collect();
    assert!(
        missing.is_empty(),
        "without a line in sentences.properties:\n{}",
        missing.join("\n")
    );
}
