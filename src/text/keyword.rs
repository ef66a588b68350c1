//! Opt-out and opt-in words: the whole message, any case, accents and punctuation at the ends aside.

use unicode_normalization::UnicodeNormalization as _;

/// A message or a word as they are compared: lower case without accents, blanks single, nothing but
/// letters and digits at the ends.
pub fn normalize(text: &str) -> String {
    // Compatibility forms: full-width and ornamental letters are letters.
    let plain: String = text
        .nfkd()
        .filter(|c| !is_accent(*c) && !is_invisible(*c))
        .flat_map(char::to_lowercase)
        .collect();
    plain
        .trim_matches(|c: char| !c.is_alphanumeric())
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether the whole message is one of the words.
pub fn matches(text: &str, words: &[String]) -> bool {
    // No word is as long; a long message need not be read.
    if text.len() > 1000 {
        return false;
    }
    let text = normalize(text);
    !text.is_empty() && words.iter().any(|word| normalize(word) == text)
}

/// Accents of Latin, Greek and Cyrillic letters. In other scripts such marks are vowels, and stay.
fn is_accent(letter: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&letter)
}

fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{fe0e}' | '\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<String> {
        [
            "STOP",
            "Arrêt",
            "stop promotions",
            "BERHENTI",
            "STOPP",
            "СТОП",
            "توقف",
            "หยุด",
            "停止",
        ]
        .map(String::from)
        .to_vec()
    }

    #[test]
    fn only_the_whole_message_is_a_word() {
        for yes in [
            "stop",
            " Stop. ",
            "STOP!!!",
            "arret",
            "ARRÊT",
            "arre\u{302}t",
            "Stop  promotions",
            "stop\npromotions",
            "*stop*",
            "\"Berhenti\"",
            "stop 🙏",
            "\u{200b}stop\u{200e}",
            "ＳＴＯＰ",
            "стоп",
            "توقف",
            "หยุด",
            "停止。",
            "stop\u{fe0f}",
        ] {
            assert!(matches(yes, &words()), "{yes}");
        }
        for no in [
            "",
            "...",
            "👍",
            "please stop",
            "stoppp",
            "don't stop",
            "s t o p",
            "stop-promotions",
            "nonstop",
            "stop it",
        ] {
            assert!(!matches(no, &words()), "{no}");
        }
        assert!(!matches(&"stop ".repeat(1000), &words()));
        assert!(!matches("...", &["!".to_owned(), String::new()]));
    }

    #[test]
    fn words_are_compared_without_case_and_accents() {
        for (text, plain) in [
            ("  ¡Parár!  ", "parar"),
            ("İPTAL", "iptal"),
            ("Çık", "cık"),
            ("ΣΤΟΠ", "στοπ"),
            ("a-b", "a-b"),
            ("", ""),
        ] {
            assert_eq!(normalize(text), plain, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_normal_text_stays_as_it_is(text in ".{0,50}") {
            let once = normalize(&text);
            proptest::prop_assert_eq!(normalize(&once), once);
        }
    }
}
