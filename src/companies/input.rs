//! What an administrator types about a company.

use crate::error::{FieldErrors, Result};
use crate::text::{country, keyword};

const NAME_MAX: usize = 200;
/// A year: later than that nobody waits for a mailing.
const LATEST_HOURS: f64 = 8_760.0;
const MOST_WORDS: usize = 50;
const MOST_MAILINGS: i32 = 1_000;
const MOST_DAYS: i32 = 366;
const WORD_MAX: usize = 40;

/// The form, as text. Words stand one a line.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct CompanyInput {
    pub name: String,
    pub country: String,
    pub time_zone: String,
    /// Hours.
    pub late_tolerance: String,
    /// At most so many mailings to one person in so many days; both blank: as many as there are.
    pub frequency_mailings: String,
    pub frequency_days: String,
    pub opt_out_words: String,
    pub opt_in_words: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyDraft {
    pub name: String,
    pub country: &'static str,
    pub time_zone: String,
    pub late_tolerance_minutes: i32,
    pub frequency: Option<(i32, i32)>,
    pub opt_out_words: Vec<String>,
    pub opt_in_words: Vec<String>,
}

impl CompanyInput {
    /// The draft, or all faults at once.
    pub fn parse(&self) -> Result<CompanyDraft> {
        let mut errors = FieldErrors::default();
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            errors.add("name", "Enter the name of the company.");
        }
        if name.chars().count() > NAME_MAX {
            errors.add("name", "The name is too long; at most 200 letters.");
        }
        let country = country::by_name(&self.country);
        if country.is_none() {
            errors.add(
                "country",
                "Choose a country. Numbers without a country code are read as numbers of this country.",
            );
        }
        let zone: Option<chrono_tz::Tz> = self.time_zone.trim().parse().ok();
        if zone.is_none() {
            errors.add("time_zone", "Choose a time zone, for example Asia/Jakarta.");
        }
        let hours = self.late_tolerance.trim().replace(',', ".").parse::<f64>();
        let hours = hours
            .ok()
            .filter(|hours| (0.0..=LATEST_HOURS).contains(hours));
        if hours.is_none() {
            errors.add(
                "late_tolerance",
                "The late tolerance is a number of hours from 0 to 8,760.",
            );
        }
        let frequency = self.frequency(&mut errors);
        let opt_out_words = words(&self.opt_out_words, "opt_out_words", &mut errors);
        let opt_in_words = words(&self.opt_in_words, "opt_in_words", &mut errors);
        if opt_out_words.is_empty() {
            errors.add(
                "opt_out_words",
                "Leave at least one word with which people can stop messages.",
            );
        }
        if opt_in_words
            .iter()
            .any(|word| keyword::matches(word, &opt_out_words))
        {
            errors.add(
                "opt_in_words",
                "A word cannot both stop messages and start them again.",
            );
        }
        let (country, zone) = errors.clone().or(country.zip(zone))?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be at most a year of minutes"
        )]
        let late_tolerance_minutes = (hours.unwrap_or_default() * 60.0).round() as i32;
        errors.or(Some(CompanyDraft {
            name,
            country,
            time_zone: zone.name().to_owned(),
            late_tolerance_minutes,
            frequency,
            opt_out_words,
            opt_in_words,
        }))
    }
}

impl CompanyInput {
    fn frequency(&self, errors: &mut FieldErrors) -> Option<(i32, i32)> {
        let (most, days) = (self.frequency_mailings.trim(), self.frequency_days.trim());
        if most.is_empty() && days.is_empty() {
            return None;
        }
        let read = |text: &str, largest: i32| {
            let number = text.parse().ok();
            number.filter(|number| (1..=largest).contains(number))
        };
        let (most, days) = (read(most, MOST_MAILINGS), read(days, MOST_DAYS));
        if most.is_none() {
            errors.add(
                "frequency_mailings",
                "Enter how many mailings a person may get, from 1 to 1,000, and in how many days; or leave both empty.",
            );
        }
        if days.is_none() {
            errors.add(
                "frequency_days",
                "Enter in how many days, from 1 to 366; or leave both empty.",
            );
        }
        most.zip(days)
    }
}

/// One a line, or with commas between; the same word once.
fn words(text: &str, field: &str, errors: &mut FieldErrors) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(['\n', ',', ';']) {
        let word = word.trim().to_uppercase();
        if !word.is_empty() && !keyword::matches(&word, &words) {
            words.push(word);
        }
    }
    if words.len() > MOST_WORDS || words.iter().any(|word| word.chars().count() > WORD_MAX) {
        errors.add(
            field,
            "At most 50 words, each of at most 40 letters. The whole message must be the word.",
        );
    }
    if words.iter().any(|word| keyword::normalize(word).is_empty()) {
        errors.add(field, "A word needs at least one letter or digit.");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn input() -> CompanyInput {
        CompanyInput {
            name: "Toko".into(),
            country: "ID".into(),
            time_zone: "Asia/Jakarta".into(),
            late_tolerance: "1,5".into(),
            opt_out_words: "stop\nBerhenti, STOP".into(),
            opt_in_words: "start".into(),
            ..CompanyInput::default()
        }
    }

    #[test]
    fn companies_words_are_told_apart_as_messages_are() {
        let draft = input().parse().unwrap();
        assert_eq!(draft.opt_out_words, ["STOP", "BERHENTI"]);
        assert_eq!(draft.late_tolerance_minutes, 90);
        let both = CompanyInput {
            opt_in_words: "Stop!".into(),
            ..input()
        };
        let Err(Error::Invalid(errors)) = both.parse() else {
            panic!("accepted")
        };
        assert!(!errors.of("opt_in_words").is_empty());
    }

    #[test]
    fn companies_every_fault_stands_at_its_field() {
        let Err(Error::Invalid(errors)) = CompanyInput::default().parse() else {
            panic!("accepted")
        };
        let fields: Vec<&String> = errors.0.keys().collect();
        let wanted = [
            "country",
            "late_tolerance",
            "name",
            "opt_out_words",
            "time_zone",
        ];
        assert_eq!(fields, wanted);
    }
}
