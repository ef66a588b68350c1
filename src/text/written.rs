//! The digits in a number as people and programs write it, before any numbering plan looks at them.
//!
//! Knows spreadsheets, chat addresses and other scripts' digits; knows no country.

use super::phone::PhoneFault;

/// Longer texts are no numbers; bounds the work on a hostile cell. Bytes.
const MOST: usize = 128;

/// ASCII digits, and whether they begin with a country code for certain (a `+` or a chat address).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Digits {
    pub digits: String,
    pub international: bool,
}

pub(super) fn read(raw: &str) -> Result<Digits, PhoneFault> {
    // By far the most common: digits, perhaps with a plus.
    let plain = raw.strip_prefix('+').unwrap_or(raw);
    if !plain.is_empty() && plain.len() <= 20 && plain.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Digits {
            digits: plain.to_owned(),
            international: plain.len() < raw.len(),
        });
    }
    let text = raw.trim_matches(|c: char| {
        c.is_whitespace() || is_invisible(c) || matches!(c, '\'' | '"' | '’' | '`')
    });
    if text.is_empty() {
        return Err(PhoneFault::Empty);
    }
    if text.len() > MOST {
        return Err(PhoneFault::TooLong);
    }
    let text = without_scheme(text);
    let (text, is_chat) = match text.split_once('@') {
        Some((before, at)) => (person(before, at)?, true),
        None => (text, false),
    };
    let whole = match scientific(text)? {
        Some(digits) => digits,
        None => without_decimals(text).to_owned(),
    };
    let mut found = separated(&whole)?;
    found.international |= is_chat;
    Ok(found)
}

/// `whatsapp:`, `tel:`, `https://wa.me/`.
fn without_scheme(text: &str) -> &str {
    let mut text = text;
    for scheme in ["https://", "http://", "wa.me/", "whatsapp:", "tel:"] {
        if let Some((start, rest)) = text.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            text = rest;
        }
    }
    text
}

/// The number in a chat address of a person: `62…@c.us`, `62…:12@s.whatsapp.net` (12: the device).
fn person<'a>(before: &'a str, at: &str) -> Result<&'a str, PhoneFault> {
    match at.to_ascii_lowercase().as_str() {
        "c.us" | "s.whatsapp.net" => Ok(before.split(':').next().unwrap_or(before)),
        "g.us" | "lid" | "broadcast" | "newsletter" => Err(PhoneFault::NotAPerson),
        _ => Err(PhoneFault::Letters),
    }
}

/// `6.28112E+11` lost its digits; `6.28111122233E+11` still has them all.
fn scientific(text: &str) -> Result<Option<String>, PhoneFault> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return Ok(None);
    };
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, ""));
    let whole = whole.strip_prefix('+').unwrap_or(whole);
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    if whole.is_empty()
        || exponent.is_empty()
        || ![whole, fraction, exponent].into_iter().all(is_number)
    {
        return Ok(None);
    }
    if exponent.parse() == Ok(fraction.len()) {
        Ok(Some(format!("{whole}{fraction}")))
    } else {
        Err(PhoneFault::Rounded)
    }
}

/// `628111122233.0`: a number that was a decimal once.
fn without_decimals(text: &str) -> &str {
    let plain = [".00", ",00", ".0", ",0"]
        .iter()
        .find_map(|end| text.strip_suffix(end));
    plain
        .filter(|plain| {
            plain
                .strip_prefix('+')
                .unwrap_or(plain)
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        })
        .unwrap_or(text)
}

fn separated(text: &str) -> Result<Digits, PhoneFault> {
    let parts = text.split(['/', ',', ';', '|', '&', '\n']);
    if parts
        .filter(|part| part.chars().filter_map(digit).count() >= 8)
        .count()
        > 1
    {
        return Err(PhoneFault::Several);
    }
    let mut digits = String::with_capacity(text.len());
    let mut international = false;
    let mut fault = None;
    for letter in text.chars() {
        match digit(letter) {
            Some(digit) => digits.push(digit),
            None if matches!(letter, '+' | '＋') && digits.is_empty() => international = true,
            None if is_separator(letter) => {}
            None if letter.is_alphabetic() => return Err(PhoneFault::Letters),
            None => fault = Some(PhoneFault::Signs),
        }
    }
    match fault {
        Some(fault) => Err(fault),
        None if digits.is_empty() => Err(PhoneFault::Empty),
        None => Ok(Digits {
            digits,
            international,
        }),
    }
}

/// The digit of a letter, also full-width, Arabic, Persian, Indian, Thai.
fn digit(letter: char) -> Option<char> {
    const ZEROS: [char; 8] = ['0', '０', '٠', '۰', '०', '০', '๐', '၀'];
    ZEROS.iter().find_map(|zero| {
        let value = u32::from(letter).checked_sub(u32::from(*zero))?;
        char::from_digit(value, 10)
    })
}

fn is_separator(letter: char) -> bool {
    letter.is_whitespace()
        || is_invisible(letter)
        || matches!(
            letter,
            '-' | '.'
                | '('
                | ')'
                | '['
                | ']'
                | '/'
                | '_'
                | '·'
                | '•'
                | '−'
                | '－'
                | '（'
                | '）'
                | '．'
        )
        || ('\u{2010}'..='\u{2015}').contains(&letter)
}

/// Zero-width letters, marks of direction, soft hyphens: what copying from a web page brings along.
fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(raw: &str) -> Result<(String, bool), PhoneFault> {
        read(raw).map(|found| (found.digits, found.international))
    }

    #[test]
    fn digits_are_found_between_what_people_write() {
        for (raw, expected, international) in [
            ("0812", "0812", false),
            ("+62812", "62812", true),
            ("＋62 812", "62812", true),
            ("++62 812", "62812", true),
            ("\u{feff}0812\u{200b}345", "0812345", false),
            ("08\u{2011}12\u{2013}34", "081234", false),
            ("030/1234567", "0301234567", false),
            ("[0812]_34·56", "08123456", false),
            ("WhatsApp:+62812", "62812", true),
            ("tel:0812", "0812", false),
            ("https://wa.me/62812", "62812", false),
            ("62812@c.us", "62812", true),
            ("62812:3@S.WhatsApp.net", "62812", true),
            ("०८१२", "0812", false),
            ("๐๘๑๒", "0812", false),
            ("628.0", "628", false),
            ("+628,00", "628", true),
            ("6.28111122233E+11", "628111122233", false),
            ("6,28111122233e11", "628111122233", false),
        ] {
            assert_eq!(
                digits(raw),
                Ok((expected.to_owned(), international)),
                "{raw}"
            );
        }
    }

    #[test]
    fn what_holds_no_number_says_why() {
        for (raw, fault) in [
            ("", PhoneFault::Empty),
            ("\u{200b} '", PhoneFault::Empty),
            ("+", PhoneFault::Empty),
            ("6.28112E+11", PhoneFault::Rounded),
            ("6,28112E11", PhoneFault::Rounded),
            ("6E+11", PhoneFault::Rounded),
            ("0812 x 12", PhoneFault::Letters),
            ("O812", PhoneFault::Letters),
            ("someone@example.com", PhoneFault::Letters),
            ("0812#1", PhoneFault::Signs),
            ("0812+3", PhoneFault::Signs),
            ("########", PhoneFault::Signs),
            ("081234567890, 081334567890", PhoneFault::Several),
            ("1234@lid", PhoneFault::NotAPerson),
            ("1203@newsletter", PhoneFault::NotAPerson),
        ] {
            assert_eq!(digits(raw), Err(fault), "{raw}");
        }
        assert_eq!(digits(&"1 ".repeat(100)), Err(PhoneFault::TooLong));
    }
}
