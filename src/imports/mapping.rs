//! Which field each column of a file is: by its header first, then by what its cells look like.
//!
//! A guess that a person sees and changes. Pure: knows fields and spellings, no files and no database.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::headers::{self, Known};
use super::read::ColumnSample;
use crate::text::phone::PhoneNumber;
use crate::text::{country, keyword};

/// What a column fills. Its text (`Display`, `FromStr`) is the key in forms and stored mappings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// Several columns (first name, last name) are joined by blanks, in the file's order.
    Name,
    Title,
    WhatsappNumber,
    /// Counts where the first number is empty: a phone beside a mobile.
    OtherNumber,
    Country,
    Email,
    CompanyName,
    JobPosition,
    /// Several columns are joined by line ends.
    Description,
    /// Names, see [`names`]; several columns add up.
    Tags,
    /// Names, see [`names`]; several columns add up.
    Lists,
    /// See [`says_opt_out`]. An import opts people out, never in.
    OptOut,
    /// One attribute.
    Attribute(String),
    /// A JSON object of attributes, see [`attributes`].
    Attributes,
    Ignore,
}

/// The fields a person chooses from, beside `attributes.<key>`, with their labels.
pub const CHOICES: &[(Field, &str)] = &[
    (Field::Name, "Name"),
    (Field::WhatsappNumber, "WhatsApp Number"),
    (Field::OtherNumber, "Number if the first is empty"),
    (Field::Email, "Email"),
    (Field::Title, "Title"),
    (Field::Country, "Country"),
    (Field::CompanyName, "Company Name"),
    (Field::JobPosition, "Job Position"),
    (Field::Description, "Description"),
    (Field::Tags, "Tags"),
    (Field::Lists, "Mailing Lists"),
    (Field::OptOut, "Opt-Out"),
    (Field::Attributes, "Attributes (JSON)"),
    (Field::Ignore, "Do not import"),
];

/// Longest key of an attribute, in letters.
pub const KEY_MAX: usize = 60;

impl Field {
    /// Whether several columns may fill it.
    pub fn repeats(&self) -> bool {
        matches!(
            self,
            Self::Name | Self::Description | Self::Tags | Self::Lists | Self::Ignore
        )
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Title => "title",
            Self::WhatsappNumber => "whatsapp_number",
            Self::OtherNumber => "other_number",
            Self::Country => "country",
            Self::Email => "email",
            Self::CompanyName => "company_name",
            Self::JobPosition => "job_position",
            Self::Description => "description",
            Self::Tags => "tags",
            Self::Lists => "lists",
            Self::OptOut => "opt_out",
            Self::Attributes => "attributes",
            Self::Ignore => "ignore",
            Self::Attribute(key) => return write!(f, "attributes.{key}"),
        })
    }
}

/// A mapping names a field that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("This field is not known.")]
pub struct UnknownField;

impl FromStr for Field {
    type Err = UnknownField;

    fn from_str(text: &str) -> Result<Self, UnknownField> {
        if let Some(key) = text.strip_prefix("attributes.") {
            return if is_key(key) {
                Ok(Self::Attribute(key.to_owned()))
            } else {
                Err(UnknownField)
            };
        }
        let field = CHOICES.iter().find(|(field, _)| field.to_string() == text);
        field.map(|(field, _)| field.clone()).ok_or(UnknownField)
    }
}

/// Whether an attribute may be called so: a placeholder must be able to name it, and no field of every
/// contact may stand in its way.
pub fn is_key(key: &str) -> bool {
    key.trim() == key
        && (1..=KEY_MAX).contains(&key.chars().count())
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
        && !headers::TAKEN.contains(&key)
}

/// The field of each column. `country` (ISO code) is that of numbers which name none.
pub fn guess(columns: &[ColumnSample], country: &str) -> Vec<Field> {
    let mut fields: Vec<Option<Field>> = vec![None; columns.len()];
    let meanings: Vec<Meanings> = columns
        .iter()
        .map(|column| headers::meanings(&column.header))
        .collect();
    by_header(&mut fields, columns, &meanings, country);
    second_number(&mut fields, columns, &meanings, country);
    by_parts(&mut fields, columns, &meanings);
    by_samples(&mut fields, columns, country);
    rest(&mut fields, columns);
    fields
        .into_iter()
        .map(|field| field.unwrap_or(Field::Ignore))
        .collect()
}

/// What the header of one column may mean.
type Meanings = Vec<(Known, usize)>;

/// Fields that one column fills.
const SINGLE: [Field; 7] = [
    Field::WhatsappNumber,
    Field::Email,
    Field::Country,
    Field::Title,
    Field::CompanyName,
    Field::JobPosition,
    Field::OptOut,
];

/// Gives each such field the column whose cells fit best, then the one with the plainest name.
fn by_header(
    fields: &mut [Option<Field>],
    columns: &[ColumnSample],
    meanings: &[Meanings],
    country: &str,
) {
    for field in SINGLE {
        let fits = |index: usize| {
            let column = &columns[index];
            let each = meanings[index].iter();
            each.filter_map(|(known, rank)| {
                Some((fit(&field, *known, column, country)?, *rank, index))
            })
            .min()
        };
        let best = (0..columns.len())
            .filter(|index| fields[*index].is_none())
            .filter_map(fits)
            .min();
        if let Some((_, _, index)) = best {
            fields[index] = Some(field);
        }
    }
}

/// A second column that is called a number and holds numbers.
fn second_number(
    fields: &mut [Option<Field>],
    columns: &[ColumnSample],
    meanings: &[Meanings],
    country: &str,
) {
    let is_number = |index: usize| {
        meanings[index]
            .iter()
            .any(|(known, _)| *known == Known::Number)
            && share(&columns[index].samples, |sample| is_number(sample, country)) >= 50
    };
    if fields.contains(&Some(Field::WhatsappNumber))
        && let Some(index) =
            (0..columns.len()).find(|index| fields[*index].is_none() && is_number(*index))
    {
        fields[index] = Some(Field::OtherNumber);
    }
}

/// The other known headers: fields that add up, and what is not imported.
fn by_parts(fields: &mut [Option<Field>], columns: &[ColumnSample], meanings: &[Meanings]) {
    let means = |index: usize, known: Known| {
        meanings[index]
            .iter()
            .find(|(one, _)| *one == known)
            .map(|(_, rank)| *rank)
    };
    let free: Vec<usize> = (0..columns.len())
        .filter(|index| fields[*index].is_none())
        .collect();
    let whole_name = free
        .iter()
        .filter_map(|index| means(*index, Known::Name).map(|rank| (rank, *index)))
        .min()
        .map(|(_, index)| index);
    for index in free {
        let says = |known: Known| means(index, known).is_some();
        fields[index] =
            if whole_name == Some(index) || (whole_name.is_none() && says(Known::NamePart)) {
                Some(Field::Name)
            } else if says(Known::Description) {
                Some(Field::Description)
            } else if says(Known::Tags) {
                Some(Field::Tags)
            } else if says(Known::Lists) {
                Some(Field::Lists)
            } else if says(Known::Attributes)
                && columns[index]
                    .samples
                    .iter()
                    .all(|sample| attributes(sample).is_some())
            {
                Some(Field::Attributes)
            } else if says(Known::Ignore) {
                Some(Field::Ignore)
            } else {
                None
            };
    }
}

/// How well a column with a known header fits a field, 0 best; `None`: not at all.
fn fit(field: &Field, known: Known, column: &ColumnSample, country: &str) -> Option<u8> {
    let samples = &column.samples;
    match (field, known) {
        (Field::WhatsappNumber, Known::Number | Known::MaybeNumber) => {
            let is_certain = known == Known::Number;
            let has_numbers = share(samples, |sample| is_number(sample, country)) >= 50;
            match (has_numbers, is_certain) {
                (true, true) => Some(0),
                (true, false) => Some(1),
                (false, true) if samples.is_empty() => Some(2),
                // Named so, though nothing in it is a number: the dry run says what is wrong.
                (false, true) => Some(3),
                (false, false) => None,
            }
        }
        (Field::Email, Known::Email) => Some(u8::from(share(samples, is_email) < 50)),
        (Field::Country, Known::Country) => (samples.is_empty()
            || share(samples, |sample| {
                country::by_name(country_name(sample)).is_some()
            }) > 0)
            .then_some(0),
        (Field::OptOut, Known::OptOut) => Some(0),
        (Field::OptOut, Known::Status) => {
            // listmonk's states of a subscriber.
            let states = [
                "enabled",
                "disabled",
                "blocklisted",
                "blacklisted",
                "unsubscribed",
                "confirmed",
                "subscribed",
            ];
            (!samples.is_empty()
                && samples
                    .iter()
                    .all(|sample| states.contains(&keyword::normalize(sample).as_str())))
            .then_some(1)
        }
        (Field::Title, Known::Title)
        | (Field::CompanyName, Known::CompanyName)
        | (Field::JobPosition, Known::JobPosition) => Some(u8::from(samples.is_empty())),
        _ => None,
    }
}

fn by_samples(fields: &mut [Option<Field>], columns: &[ColumnSample], country: &str) {
    let mut give = |field: Field, looks: &dyn Fn(&ColumnSample) -> bool| {
        if fields.contains(&Some(field.clone())) {
            return;
        }
        if let Some(index) =
            (0..columns.len()).find(|index| fields[*index].is_none() && looks(&columns[*index]))
        {
            fields[index] = Some(field);
        }
    };
    give(Field::WhatsappNumber, &|column| {
        share(&column.samples, |sample| looks_like_number(sample, country)) >= 70
    });
    give(Field::Email, &|column| {
        share(&column.samples, is_email) >= 70
    });
    // Only where no header says what a column is.
    give(Field::Name, &|column| {
        column.header.is_empty() && share(&column.samples, is_name) >= 80
    });
    give(Field::Country, &|column| {
        column.header.is_empty()
            && share(&column.samples, |sample| country::by_name(sample).is_some()) >= 80
    });
}

/// Columns with a header that nobody knows become attributes.
fn rest(fields: &mut [Option<Field>], columns: &[ColumnSample]) {
    let mut taken: HashSet<String> = HashSet::new();
    for (field, column) in fields.iter_mut().zip(columns) {
        if field.is_some() {
            continue;
        }
        let key = key(&column.header);
        if key.is_empty() {
            continue;
        }
        let numbered = |number: usize| {
            if number == 1 {
                key.clone()
            } else {
                format!("{key}_{number}")
            }
        };
        let free = (1..)
            .map(numbered)
            .find(|key| !taken.contains(key) && !headers::TAKEN.contains(&key.as_str()));
        if let Some(key) = free {
            taken.insert(key.clone());
            *field = Some(Field::Attribute(key));
        }
    }
}

/// A header as an attribute's key: `Kode Pos!` is `kode_pos`.
pub fn key(header: &str) -> String {
    let words: String = header
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    let key: String = words
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("_")
        .chars()
        .take(KEY_MAX - 4)
        .collect();
    key.trim_end_matches('_').to_owned()
}

/// A country as a cell names it; Odoo's external identifiers are `base.id` for Indonesia.
pub fn country_name(cell: &str) -> &str {
    cell.strip_prefix("base.")
        .filter(|code| code.len() == 2)
        .unwrap_or(cell)
}

/// The first of several values of Google's exports, `a ::: b`.
pub fn first_of(cell: &str) -> &str {
    cell.split(" ::: ").next().unwrap_or(cell).trim()
}

/// Names in one cell, separated by commas, semicolons or bars; each once. Google's own groups
/// (`* myContacts`) are none.
pub fn names(cell: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in cell
        .split([',', ';', '|', '\n'])
        .flat_map(|part| part.split(":::"))
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.starts_with("* "))
    {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The attributes in one cell: a JSON object, or nothing. Empty values are left out.
pub fn attributes(cell: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    if cell.trim().is_empty() {
        return Some(serde_json::Map::new());
    }
    let serde_json::Value::Object(mut object) = serde_json::from_str(cell).ok()? else {
        return None;
    };
    object.retain(|_, value| !value.is_null());
    Some(object)
}

/// Attributes that are a number, the plainest first: where a table has no column of numbers.
const NUMBERS: &[&str] = &[
    "whatsapp_number",
    "whatsapp",
    "whatsappnumber",
    "wa",
    "no_wa",
    "nomor_wa",
    "phone",
    "phone_number",
    "phonenumber",
    "mobile",
    "msisdn",
    "no_hp",
    "hp",
    "telephone",
    "tel",
];

/// The number that attributes hold.
pub fn number_in(attributes: &serde_json::Map<String, serde_json::Value>) -> Option<String> {
    let plain = |name: &str| name.trim().to_lowercase().replace([' ', '-'], "_");
    NUMBERS.iter().find_map(|wanted| {
        let (_, value) = attributes.iter().find(|(name, _)| plain(name) == *wanted)?;
        match value {
            serde_json::Value::String(text) if !text.trim().is_empty() => {
                Some(text.trim().to_owned())
            }
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    })
}

/// Whether a cell says that the person wants no messages. What it does not say clearly, it does not say.
pub fn says_opt_out(cell: &str) -> bool {
    let words = [
        "1",
        "true",
        "yes",
        "y",
        "x",
        "ya",
        "t",
        "si",
        "sim",
        "oui",
        "ja",
        "opt out",
        "opt-out",
        "optout",
        "opted out",
        "opted-out",
        "unsubscribed",
        "blocklisted",
        "blacklisted",
        "berhenti",
    ];
    words.contains(&keyword::normalize(cell).as_str()) || matches!(cell.trim(), "✓" | "✔" | "☑")
}

/// How many of a hundred cells look so; 0 without cells.
fn share(samples: &[String], looks: impl Fn(&str) -> bool) -> usize {
    samples.iter().filter(|sample| looks(sample)).count() * 100 / samples.len().max(1)
}

fn is_number(sample: &str, country: &str) -> bool {
    PhoneNumber::parse(first_of(sample), country).is_ok()
}

/// Without a header that says so, dates, prices and identity numbers must not pass for numbers.
fn looks_like_number(sample: &str, country: &str) -> bool {
    let digits = sample.chars().filter(char::is_ascii_digit).count();
    (9..=15).contains(&digits) && is_number(sample, country)
}

fn is_email(sample: &str) -> bool {
    let sample = sample.trim();
    sample.split_once('@').is_some_and(|(before, host)| {
        !before.is_empty()
            && host.contains('.')
            && !host.contains('@')
            && !sample.contains(char::is_whitespace)
    })
}

fn is_name(sample: &str) -> bool {
    sample.chars().filter(|c| c.is_alphabetic()).count() >= 2
        && !sample.contains(|c: char| c.is_ascii_digit() || matches!(c, '@' | '{' | '/'))
        && sample.chars().count() <= 80
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
