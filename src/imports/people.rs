//! The rows of a file as people: each is somebody, somebody who stands above already, or refused with
//! its reason. Pure: knows fields and numbers, no database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Seek};

use super::Options;
use super::mapping::{self, Field};
use super::read::{self, ReadFault, Rows};
use super::rejected::{Refused, unquoted};
use crate::contacts::bulk::{self, Row};
use crate::text::phone::PhoneNumber;

/// Letters of a tag's or a list's name.
const NAME_OF_GROUP_MAX: usize = 100;
/// Letters of the other short fields.
const SHORT_MAX: usize = 200;
const LONG_MAX: usize = 5_000;
/// A chunk ends where its cells fill this.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// Somebody to be stored.
#[derive(Debug, Clone)]
pub struct Person {
    pub number: PhoneNumber,
    pub row: Row,
    pub opt_out: bool,
}

/// Some rows of a file; each stands in one of the three.
#[derive(Debug, Default)]
pub struct Chunk {
    /// One a number.
    pub accepted: Vec<Person>,
    /// The line of a row whose number stands above it in the file, and the line above.
    pub repeats: Vec<(u64, u64)>,
    pub refused: Vec<Refused>,
    /// Repeats of people of earlier chunks: what they say about lists, tags and opt-out still counts.
    pub again: Vec<Person>,
    /// Numbers that got their country from the import.
    pub by_country: usize,
}

impl Chunk {
    pub fn rows(&self) -> usize {
        self.accepted.len() + self.repeats.len() + self.refused.len()
    }
}

/// Whether a tag or a list may not be called so.
pub fn is_long_name(name: &str) -> bool {
    name.chars().count() > NAME_OF_GROUP_MAX
}

/// The people of a file, in chunks. What a repeated row says about lists, tags and opt-out counts for the
/// person.
pub struct People<R> {
    rows: Rows<R>,
    fields: Vec<Field>,
    country: String,
    tags: Vec<String>,
    /// The line of each number so far: 12 bytes a person, whatever the rows hold.
    seen: HashMap<Key, u32>,
}

impl<R: Read + Seek> People<R> {
    pub fn open(file: R, options: &Options, fields: &[Field]) -> Result<Self, ReadFault> {
        Ok(Self {
            rows: read::rows(file, options.format)?,
            fields: fields.to_vec(),
            country: options.country.clone(),
            tags: options.tags.clone(),
            seen: HashMap::new(),
        })
    }

    /// Passes over rows that are done, remembering their numbers.
    pub fn skip(&mut self, rows: u64) -> Result<(), ReadFault> {
        for _ in 0..rows {
            let Some(read::Row { line, cells }) = self.rows.next().transpose()? else {
                break;
            };
            if let Ok((_, number, _)) = self.somebody(&cells) {
                self.seen.entry(key(&number)).or_insert(short(line));
            }
        }
        Ok(())
    }

    /// The next rows; none: that was all.
    pub fn chunk(&mut self, most: usize) -> Result<Chunk, ReadFault> {
        let mut chunk = Chunk::default();
        let mut places: HashMap<Key, usize> = HashMap::new();
        let mut bytes = 0;
        while chunk.rows() < most && bytes < CHUNK_BYTES {
            let Some(read::Row { line, cells }) = self.rows.next().transpose()? else {
                break;
            };
            bytes += cells.iter().map(String::len).sum::<usize>();
            let (mut row, number, opt_out) = match self.somebody(&cells) {
                Ok(somebody) => somebody,
                Err(reason) => {
                    chunk.refused.push(Refused {
                        line,
                        cells,
                        reason,
                    });
                    continue;
                }
            };
            chunk.by_country += usize::from(is_completed(&row.whatsapp_number, &number));
            let person = |row, number| Person {
                number,
                row,
                opt_out,
            };
            let key = key(&number);
            if let Some(first) = self.seen.get(&key) {
                chunk.repeats.push((line, u64::from(*first)));
                match places
                    .get(&key)
                    .and_then(|place| chunk.accepted.get_mut(*place))
                {
                    Some(first) => {
                        add_new(&mut first.row.tags, row.tags);
                        add_new(&mut first.row.lists, row.lists);
                        first.opt_out |= opt_out;
                    }
                    None => chunk.again.push(person(row, number)),
                }
                continue;
            }
            self.seen.insert(key, short(line));
            places.insert(key, chunk.accepted.len());
            add_new(&mut row.tags, self.tags.clone());
            chunk.accepted.push(person(row, number));
        }
        Ok(chunk)
    }

    fn somebody(&self, cells: &[String]) -> Result<(Row, PhoneNumber, bool), String> {
        let (row, opt_out) = person(cells, &self.fields)?;
        let number = bulk::number_of(&row, &self.country)?;
        Ok((row, number, opt_out))
    }
}

/// A number of at most 15 digits in two halves, which lie closer together than one whole.
type Key = [u32; 2];

fn key(number: &PhoneNumber) -> Key {
    let digits = number.as_str();
    let (high, low) = digits.split_at(digits.len().saturating_sub(8));
    [high, low].map(|half| half.parse().unwrap_or_default())
}

fn short(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// Whether a number as written names no country.
fn is_completed(written: &str, number: &PhoneNumber) -> bool {
    let digits: String = written.chars().filter(char::is_ascii_digit).collect();
    digits.strip_prefix("00").unwrap_or(&digits) != number.as_str()
}

/// The tags and the lists that a file names. A set that grew over `most` has enough.
pub fn group_names<R: Read + Seek>(
    file: R,
    options: &Options,
    fields: &[Field],
    most: usize,
) -> Result<(BTreeSet<String>, BTreeSet<String>), ReadFault> {
    let mut tags: BTreeSet<String> = options.tags.iter().cloned().collect();
    let mut lists = BTreeSet::new();
    if !fields.contains(&Field::Tags) && !fields.contains(&Field::Lists) {
        return Ok((tags, lists));
    }
    for row in read::rows(file, options.format)? {
        for (field, cell) in fields.iter().zip(row?.cells) {
            let names = match field {
                Field::Tags => &mut tags,
                Field::Lists => &mut lists,
                _ => continue,
            };
            if names.len() <= most {
                names.extend(mapping::names(unquoted(cell.trim())));
            }
        }
    }
    Ok((tags, lists))
}

fn add_new(names: &mut Vec<String>, more: Vec<String>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// One row by its fields, or why it is refused.
fn person(cells: &[String], fields: &[Field]) -> Result<(Row, bool), String> {
    if cells
        .iter()
        .skip(fields.len())
        .any(|cell| !cell.trim().is_empty())
    {
        return Err(format!(
            "The row has {} cells, the file has {} columns. Put quotation marks around cells that hold the separator.",
            cells.len(),
            fields.len()
        ));
    }
    let mut row = Row::default();
    let mut opt_out = false;
    let (mut other_number, mut number_within) = (String::new(), String::new());
    for (field, cell) in fields.iter().zip(cells) {
        let cell = unquoted(cell.trim());
        if cell.is_empty() {
            continue;
        }
        match field {
            Field::Name => join(&mut row.name, ' ', cell),
            Field::Description => join(&mut row.description, '\n', cell),
            Field::Title => cell.clone_into(&mut row.title),
            Field::WhatsappNumber => mapping::first_of(cell).clone_into(&mut row.whatsapp_number),
            Field::OtherNumber => mapping::first_of(cell).clone_into(&mut other_number),
            Field::Country => mapping::country_name(cell).clone_into(&mut row.country),
            Field::Email => mapping::first_of(cell).clone_into(&mut row.email),
            Field::CompanyName => cell.clone_into(&mut row.company_name),
            Field::JobPosition => cell.clone_into(&mut row.job_position),
            Field::Tags => add_new(&mut row.tags, mapping::names(cell)),
            Field::Lists => add_new(&mut row.lists, mapping::names(cell)),
            Field::OptOut => opt_out |= mapping::says_opt_out(cell),
            Field::Attribute(key) => {
                row.attributes.insert(key.clone(), cell.into());
            }
            Field::Attributes => {
                let (number, more) = attributes(cell)?;
                number_within = number.unwrap_or_default();
                row.attributes.extend(more);
            }
            Field::Ignore => {}
        }
    }
    for number in [other_number, number_within] {
        if row.whatsapp_number.is_empty() {
            row.whatsapp_number = number;
        }
    }
    check(&row)?;
    Ok((row, opt_out))
}

fn join(text: &mut String, between: char, more: &str) {
    if !text.is_empty() {
        text.push(between);
    }
    text.push_str(more);
}

/// What a JSON object of attributes holds, and the number in it.
type Within = (Option<String>, BTreeMap<String, serde_json::Value>);

fn attributes(cell: &str) -> Result<Within, String> {
    // PostgreSQL keeps no NUL in jsonb.
    let object = mapping::attributes(cell).filter(|_| !cell.contains("\\u0000"));
    let mut object =
        object.ok_or("The attributes are not a JSON object, like {\"city\": \"Bandung\"}.")?;
    let number = mapping::number_in(&object);
    object.remove("whatsapp_number");
    if let Some(key) = object.keys().find(|key| !mapping::is_key(key)) {
        let short: String = key.chars().take(60).collect();
        return Err(format!("An attribute cannot be called “{short}”."));
    }
    Ok((number, object.into_iter().collect()))
}

/// What the database or a page could not hold.
fn check(row: &Row) -> Result<(), String> {
    let texts = [
        ("name", &row.name, SHORT_MAX),
        ("title", &row.title, SHORT_MAX),
        ("e-mail address", &row.email, SHORT_MAX),
        ("company name", &row.company_name, SHORT_MAX),
        ("job position", &row.job_position, SHORT_MAX),
        ("description", &row.description, LONG_MAX),
    ];
    for (called, text, most) in texts {
        if text.chars().count() > most {
            return Err(format!("The {called} is too long; at most {most} letters."));
        }
    }
    if !row.email.is_empty() && !row.email.contains('@') {
        return Err("This is not an e-mail address.".to_owned());
    }
    if row
        .tags
        .iter()
        .chain(&row.lists)
        .any(|name| is_long_name(name))
    {
        return Err("The name of a tag or list is too long; at most 100 letters.".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
