//! HTML's character references: `&amp;`, `&#39;`, `&#x1F600;`.
//!
//! Read once: `&amp;lt;` is `&lt;`, not `<`. What is no reference stays as it is.

/// The names that editors write.
const NAMES: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("ensp", ' '),
    ("emsp", ' '),
    ("thinsp", ' '),
    ("shy", '\u{ad}'),
    ("zwj", '\u{200d}'),
    ("zwnj", '\u{200c}'),
    ("hellip", '…'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("bull", '•'),
    ("middot", '·'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("deg", '°'),
    ("times", '×'),
    ("divide", '÷'),
    ("plusmn", '±'),
    ("frac12", '½'),
    ("frac14", '¼'),
    ("euro", '€'),
    ("pound", '£'),
    ("yen", '¥'),
    ("cent", '¢'),
    ("sect", '§'),
    ("para", '¶'),
    ("rarr", '→'),
    ("larr", '←'),
    ("check", '✓'),
    ("hearts", '♥'),
    ("iexcl", '¡'),
    ("iquest", '¿'),
    ("ordm", 'º'),
    ("ordf", 'ª'),
    ("szlig", 'ß'),
    ("AElig", 'Æ'),
    ("aelig", 'æ'),
    ("Oslash", 'Ø'),
    ("oslash", 'ø'),
];

/// Accented letters are named by letter and accent: `eacute`, `Ntilde`.
const ACCENTS: &[(&str, &str, &str)] = &[
    ("acute", "AEIOUYaeiouy", "ÁÉÍÓÚÝáéíóúý"),
    ("grave", "AEIOUaeiou", "ÀÈÌÒÙàèìòù"),
    ("circ", "AEIOUaeiou", "ÂÊÎÔÛâêîôû"),
    ("uml", "AEIOUaeiouy", "ÄËÏÖÜäëïöüÿ"),
    ("tilde", "ANOano", "ÃÑÕãñõ"),
    ("cedil", "Cc", "Çç"),
    ("ring", "Aa", "Åå"),
];

/// Longest name between `&` and `;`.
const LONGEST: usize = 10;

pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.bytes().take(LONGEST + 2).position(|byte| byte == b';');
        match end.and_then(|end| Some((end, letter(rest.get(1..end)?)?))) {
            Some((end, letter)) => {
                out.push(letter);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn letter(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let value = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(value.ok()?)
            .filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t'));
    }
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, letter)| *letter)
        .or_else(|| accented(name))
}

fn accented(name: &str) -> Option<char> {
    let base = name.chars().next()?;
    let accent = &name[base.len_utf8()..];
    let (_, bases, letters) = ACCENTS.iter().find(|(known, ..)| *known == accent)?;
    let position = bases.chars().position(|known| known == base)?;
    letters.chars().nth(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_letters_once() {
        for (text, plain) in [
            ("a &amp; b", "a & b"),
            ("&amp;lt;", "&lt;"),
            ("&lt;b&gt;", "<b>"),
            ("&quot;&apos;&#39;&#x27;&#X27;", "\"''''"),
            (
                "caf&eacute; S&Atilde;O &ntilde;&uuml;&ccedil;",
                "café SÃO ñüç",
            ),
            ("&#128512;&#x1F600;", "😀😀"),
            ("&euro;5&hellip;", "€5…"),
        ] {
            assert_eq!(unescape(text), plain, "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_stays() {
        for text in [
            "&",
            "a & b",
            "&;",
            "&nonsense;",
            "&#;",
            "&#x;",
            "&#0;",
            "&#xD800;",
            "&#99999999;",
            "&amp",
            "?a=1&b=2;",
            "&é;",
            "&ééééé;",
        ] {
            assert_eq!(unescape(text), text);
        }
    }

    #[test]
    fn every_accent_has_its_letter() {
        for (accent, bases, letters) in ACCENTS {
            assert_eq!(bases.chars().count(), letters.chars().count(), "{accent}");
        }
    }
}
