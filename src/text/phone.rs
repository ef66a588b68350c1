//! Numbers as E.164 digits without `+`, by libphonenumber's rules.
//!
//! Invariant: a [`PhoneNumber`] is valid, or came from a gateway, which knows its numbers better than
//! any table; every path (form, import, API, webhook) makes it here. Knows no company: the caller
//! brings the default country.

use std::fmt;

use phonenumber::Mode;
use phonenumber::country::Id as Country;

use super::{country, numbering, written};

/// E.164 digits without `+`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

/// Why a text is no number; displays as a sentence a person can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhoneFault {
    #[error("There is no number.")]
    Empty,
    #[error(
        "This number lost digits in a spreadsheet (it reads like 6.28E+11). Format the column as text and copy the numbers again."
    )]
    Rounded,
    #[error("This is not a phone number: it contains letters.")]
    Letters,
    #[error("This is not a phone number: it contains signs that no number has.")]
    Signs,
    #[error("These are several numbers. Keep one.")]
    Several,
    #[error("This is the address of a group or a channel, not the number of a person.")]
    NotAPerson,
    #[error("The number is too short.")]
    TooShort,
    #[error("The number is too long.")]
    TooLong,
    #[error("This is not a valid number. Write it with its country code, like +62 812 3456 7890.")]
    Invalid,
}

impl PhoneNumber {
    /// Reads what people write; `country` (ISO code) is meant where the number names none. Digits
    /// without `+` that can be read in two ways are the default country's with its code, then the
    /// default country's without, then another country's.
    pub fn parse(raw: &str, country: &str) -> Result<Self, PhoneFault> {
        let written::Digits {
            digits,
            international,
        } = written::read(raw)?;
        let country = country.trim().to_ascii_uppercase();
        let home = numbering::of_country(&country);
        // 00 and a whole number of another country, before a local reading that drops the zeros.
        if !international && let Some(found) = digits.strip_prefix("00").and_then(as_it_stands) {
            return Ok(Self(found));
        }
        if !international && let Some(found) = home.and_then(|home| domestic(&digits, home)) {
            return Ok(Self(found));
        }
        let found = if international {
            as_it_stands(&digits).or_else(|| repaired(None, &format!("+{digits}")))
        } else if let Some(abroad) = digits.strip_prefix("00") {
            // The exit code of most countries; the others' is their plan's, read above.
            as_it_stands(abroad).or_else(|| repaired(None, &format!("+{abroad}")))
        } else {
            as_it_stands(&digits)
        };
        found
            .map(Self)
            .ok_or_else(|| fault(&digits, international, home))
    }

    /// Digits that a gateway gave us: taken as they are when they look like E.164.
    pub fn from_gateway(digits: &str) -> Option<Self> {
        let plausible = (6..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        plausible.then(|| Self(digits.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    /// ISO code of the number's country.
    pub fn country(&self) -> Option<String> {
        country_of(self).map(str::to_owned)
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// ISO code of a number's country; `None` for satellite and other numbers of no country.
pub fn country_of(number: &PhoneNumber) -> Option<&'static str> {
    let id = numbering::of_number(number.as_str())?.id;
    country::by_code(id).map(|_| id)
}

/// A number as people read it: `+62 812 3456 7890`.
pub fn display(number: &PhoneNumber) -> String {
    display_digits(number.as_str())
}

/// Stored digits as people read them; what is no number stays as it is.
pub fn display_digits(digits: &str) -> String {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits.to_owned();
    }
    phonenumber::parse(None, format!("+{digits}")).map_or_else(
        |_| digits.to_owned(),
        |number| {
            number
                .format()
                .mode(Mode::International)
                .to_string()
                .replace('-', " ")
        },
    )
}

/// Digits without `+`, read in their own country.
fn domestic(digits: &str, home: &numbering::Plan) -> Option<String> {
    let code = home.code.to_string();
    // 628…: the own code without its +. Before the local reading, because this is how WhatsApp itself
    // and most exports write numbers.
    let with_code = || {
        digits
            .starts_with(&code)
            .then(|| as_it_stands(digits).or_else(|| repaired(None, &format!("+{digits}"))))?
    };
    // 812… and 0812…
    let plain = || as_it_stands(&format!("{code}{digits}"));
    let after_trunk = || {
        let national = digits.strip_prefix(home.trunk?)?;
        as_it_stands(&format!("{code}{national}"))
    };
    // Carrier codes, exit codes, old mobile prefixes: whatever else libphonenumber takes off.
    let by_the_tables = || repaired(home.id.parse().ok(), digits);
    with_code()
        .or_else(plain)
        .or_else(after_trunk)
        .or_else(by_the_tables)
}

fn as_it_stands(digits: &str) -> Option<String> {
    numbering::of_number(digits).map(|_| digits.to_owned())
}

/// The number libphonenumber finds in the text, if it is valid.
fn repaired(country: Option<Country>, text: &str) -> Option<String> {
    let number = phonenumber::parse(country, text).ok()?;
    let e164 = number.format().mode(Mode::E164).to_string();
    as_it_stands(e164.trim_start_matches('+'))
}

fn fault(digits: &str, international: bool, home: Option<&numbering::Plan>) -> PhoneFault {
    use numbering::Length;

    let length = if international {
        numbering::length(digits)
    } else {
        home.and_then(|home| {
            let code = home.code.to_string();
            let national = digits
                .strip_prefix(home.trunk.unwrap_or("0"))
                .or(digits.strip_prefix(&code));
            numbering::length(&format!("{code}{}", national.unwrap_or(digits)))
        })
    };
    match (length, digits.len()) {
        (Some(Length::Short), _) | (_, 0..=6) => PhoneFault::TooShort,
        (Some(Length::Long), _) | (_, 16..) => PhoneFault::TooLong,
        _ => PhoneFault::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str, country: &str) -> Result<String, PhoneFault> {
        PhoneNumber::parse(raw, country).map(PhoneNumber::into_string)
    }

    #[test]
    fn what_people_write_becomes_e164_digits() {
        for raw in [
            "+62 812-3456-7890",
            "+62 (0)812 3456 7890",
            "(+62) 812 3456 7890",
            "0812 3456 7890",
            "6281234567890",
            "62081234567890",
            "81234567890",
            "00 62 812 3456 7890",
            "008 62 812 3456 7890",
            "(0812) 3456.7890",
            "\u{200e}+62\u{a0}812 3456 7890\u{202c}",
            "whatsapp:+6281234567890",
            "6281234567890@c.us",
            "6281234567890:12@s.whatsapp.net",
            "6281234567890.0",
            "'081234567890",
            "０８１２３４５６７８９０",
            "٠٨١٢٣٤٥٦٧٨٩٠",
        ] {
            assert_eq!(read(raw, "ID"), Ok("6281234567890".into()), "{raw}");
        }
    }

    #[test]
    fn digits_without_a_plus_are_read_at_home_first() {
        for (raw, country, digits) in [
            ("628111122233", "ID", "628111122233"),
            ("628111122233", "US", "628111122233"),
            ("14155550100", "ID", "14155550100"),
            ("14155550100", "US", "14155550100"),
            ("4155550100", "US", "14155550100"),
            ("011 62 812 3456 7890", "US", "6281234567890"),
            ("65123456", "SG", "6565123456"),
            ("6565123456", "SG", "6565123456"),
            ("9123456789", "IN", "919123456789"),
            ("919123456789", "IN", "919123456789"),
            ("8 912 345-67-89", "RU", "79123456789"),
            ("4915112345678", "DE", "4915112345678"),
            ("0151 12345678", "DE", "4915112345678"),
            ("06 1234 5678", "NL", "31612345678"),
            ("02 3661 8300", "IT", "390236618300"),
            ("07400 123456", "GB", "447400123456"),
            ("011 15 2345 6789", "AR", "5491123456789"),
            ("0 21 11 98765 4321", "BR", "5511987654321"),
            ("6281234567890", "", "6281234567890"),
            ("6281234567890", "id", "6281234567890"),
            ("6281234567890", "Atlantis", "6281234567890"),
        ] {
            assert_eq!(read(raw, country), Ok(digits.into()), "{raw} in {country}");
        }
        assert_eq!(read("081234567890", ""), Err(PhoneFault::Invalid));
    }

    #[test]
    fn a_number_read_again_stays_the_same() {
        for digits in [
            "6281234567890",
            "14155550100",
            "390236618300",
            "5491123456789",
            "5511987654321",
            "447400123456",
        ] {
            for country in ["ID", "US", "IT", "AR", "BR", "GB", "DE", ""] {
                assert_eq!(
                    read(&format!("+{digits}"), country),
                    Ok(digits.into()),
                    "{digits} in {country}"
                );
            }
        }
    }

    #[test]
    fn faults_say_what_is_wrong() {
        for (raw, fault) in [
            ("", PhoneFault::Empty),
            (" - ", PhoneFault::Empty),
            ("6.28112E+11", PhoneFault::Rounded),
            ("call me", PhoneFault::Letters),
            ("12345", PhoneFault::TooShort),
            ("+62 812 34", PhoneFault::TooShort),
            ("0812", PhoneFault::TooShort),
            ("+62 812 3456 7890 1234 5678", PhoneFault::TooLong),
            ("0812 3456 7890 1234", PhoneFault::TooLong),
            ("+999 1234 5678", PhoneFault::Invalid),
            ("0812 3456 7890 / 0813 3456 7890", PhoneFault::Several),
            ("120363025246125486@g.us", PhoneFault::NotAPerson),
            ("status@broadcast", PhoneFault::NotAPerson),
        ] {
            assert_eq!(read(raw, "ID"), Err(fault), "{raw}");
        }
    }

    #[test]
    fn a_number_knows_its_country_and_how_it_is_read() {
        let number = PhoneNumber::parse("+6281234567890", "US").unwrap();
        assert_eq!(country_of(&number), Some("ID"));
        assert_eq!(display(&number), "+62 812 3456 7890");
        assert_eq!(display_digits("14155552671"), "+1 415 555 2671");
        for odd in ["", "x", "12", "0", "123456789012345678901234567890"] {
            let _ = display_digits(odd);
        }
        let satellite = PhoneNumber::parse("+80012345678", "US").unwrap();
        assert_eq!(country_of(&satellite), None);
    }

    #[test]
    fn a_gateways_number_is_taken_as_it_is() {
        assert!(PhoneNumber::from_gateway("5215512345678").is_some());
        for no in [
            "",
            "0812345678",
            "+6281234567890",
            "12345",
            "1234567890123456",
        ] {
            assert!(PhoneNumber::from_gateway(no).is_none(), "{no}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(raw in ".*", country in "[A-Z]{0,2}") {
            let _ = PhoneNumber::parse(&raw, &country);
        }

        #[test]
        fn no_digits_panic(raw in "[+]?[0-9]{0,20}", country in "ID|US|AR|BR|IT|MX|RU|AQ") {
            if let Ok(number) = PhoneNumber::parse(&raw, &country) {
                let again = PhoneNumber::parse(&format!("+{number}"), &country);
                proptest::prop_assert_eq!(again, Ok(number.clone()));
                let _ = display(&number);
            }
        }
    }
}
