//! The rows of a file as people: each is somebody, somebody who stands above already, or refused with
//! its reason. Pure: knows fields and numbers, no database.

use std::collections::{BTreeMap, HashMap};

use super::Options;
use super::mapping::{self, Field};
use super::read::{self, ReadFault};
use super::rejected::{Refused, unquoted};
use crate::contacts::bulk::{self, Row};
use crate::text::phone::PhoneNumber;

/// Letters of a tag's or a list's name.
const NAME_OF_GROUP_MAX: usize = 100;
/// Letters of the other short fields.
const SHORT_MAX: usize = 200;
const LONG_MAX: usize = 5_000;

/// Somebody to be stored.
#[derive(Debug, Clone)]
pub struct Person {
    pub line: u64,
    pub number: PhoneNumber,
    pub row: Row,
    pub opt_out: bool,
}

/// All rows of a file; each stands in one of the three.
#[derive(Debug, Default)]
pub struct People {
    /// One a number.
    pub accepted: Vec<Person>,
    /// The line of a row whose number stands above it, and the line above.
    pub repeats: Vec<(u64, u64)>,
    pub refused: Vec<Refused>,
    /// The header as it stands; empty where the file has none.
    pub header: Vec<String>,
}

impl People {
    pub fn rows(&self) -> usize {
        self.accepted.len() + self.repeats.len() + self.refused.len()
    }
}

/// Whether a tag or a list may not be called so.
pub fn is_long_name(name: &str) -> bool {
    name.chars().count() > NAME_OF_GROUP_MAX
}

/// Reads a whole file. What a repeated row says about lists, tags and opt-out counts for the person.
pub fn read(file: &[u8], options: &Options, fields: &[Field]) -> Result<People, ReadFault> {
    let mut people = People {
        header: read::header(file, options.format)?,
        ..People::default()
    };
    let mut places: HashMap<PhoneNumber, usize> = HashMap::new();
    for row in read::rows(file, options.format)? {
        let read::Row { line, cells } = row?;
        let (mut row, opt_out) = match person(&cells, fields) {
            Ok(person) => person,
            Err(reason) => {
                people.refused.push(Refused {
                    line,
                    cells,
                    reason,
                });
                continue;
            }
        };
        let number = match bulk::number_of(&row, &options.country) {
            Ok(number) => number,
            Err(reason) => {
                people.refused.push(Refused {
                    line,
                    cells,
                    reason,
                });
                continue;
            }
        };
        if let Some(first) = places
            .get(&number)
            .and_then(|place| people.accepted.get_mut(*place))
        {
            add_new(&mut first.row.tags, row.tags);
            add_new(&mut first.row.lists, row.lists);
            first.opt_out |= opt_out;
            people.repeats.push((line, first.line));
            continue;
        }
        places.insert(number.clone(), people.accepted.len());
        add_new(&mut row.tags, options.tags.clone());
        row.whatsapp_number = format!("+{number}");
        people.accepted.push(Person {
            line,
            number,
            row,
            opt_out,
        });
    }
    Ok(people)
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
    for (field, cell) in fields.iter().zip(cells) {
        let cell = unquoted(cell.trim());
        if cell.is_empty() {
            continue;
        }
        match field {
            Field::Name => join(&mut row.name, ' ', cell),
            Field::Description => join(&mut row.description, '\n', cell),
            Field::Title => cell.clone_into(&mut row.title),
            Field::WhatsappNumber => cell.clone_into(&mut row.whatsapp_number),
            Field::Country => cell.clone_into(&mut row.country),
            Field::Email => cell.clone_into(&mut row.email),
            Field::CompanyName => cell.clone_into(&mut row.company_name),
            Field::JobPosition => cell.clone_into(&mut row.job_position),
            Field::Tags => add_new(&mut row.tags, mapping::names(cell)),
            Field::Lists => add_new(&mut row.lists, mapping::names(cell)),
            Field::OptOut => opt_out |= mapping::says_opt_out(cell),
            Field::Attribute(key) => {
                row.attributes.insert(key.clone(), cell.into());
            }
            Field::Attributes => row.attributes.extend(attributes(cell)?),
            Field::Ignore => {}
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

fn attributes(cell: &str) -> Result<BTreeMap<String, serde_json::Value>, String> {
    // PostgreSQL keeps no NUL in jsonb.
    let object = mapping::attributes(cell).filter(|_| !cell.contains("\\u0000"));
    let object =
        object.ok_or("The attributes are not a JSON object, like {\"city\": \"Bandung\"}.")?;
    if let Some(key) = object.keys().find(|key| !mapping::is_key(key)) {
        let short: String = key.chars().take(60).collect();
        return Err(format!("An attribute cannot be called “{short}”."));
    }
    Ok(object.into_iter().collect())
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
