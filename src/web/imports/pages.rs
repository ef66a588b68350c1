//! What the pages of an import show before it runs: the upload and the columns.

use askama::Template;

use crate::contacts::bulk::OnDuplicate;
use crate::error::FieldErrors;
use crate::ids::ListId;
use crate::imports::mapping::{self, Field};
use crate::imports::{Import, Options, StageInput, Tested};
use crate::text::country;
use crate::web::page::Shell;

use super::result::Figures;

/// Letters of a file's name in a heading.
const NAME_LETTERS: usize = 60;
/// Of a column's name; the whole stands in its title.
const HEADER_LETTERS: usize = 80;
/// The choice beside which one writes what the attribute is called.
pub const NEW_ATTRIBUTE: &str = "attribute";

#[derive(Template)]
#[template(path = "imports/new.html")]
pub struct UploadPage {
    pub shell: Shell,
    pub input: StageInput,
    pub errors: FieldErrors,
    pub lists: Vec<(i64, String)>,
    pub countries: &'static [(&'static str, &'static str)],
}

impl UploadPage {
    fn ways(&self) -> [(&'static str, &'static str); 3] {
        [
            ("update", "imports.update"),
            ("fill_blanks", "imports.fill_blanks"),
            ("skip", "imports.skip"),
        ]
    }

    fn headers(&self) -> [(&'static str, &'static str); 3] {
        [
            ("", "imports.header_guess"),
            ("yes", "imports.header_yes"),
            ("no", "imports.header_no"),
        ]
    }
}

/// A column of the file on the page.
pub struct ColumnRow {
    pub number: usize,
    pub header: String,
    pub whole_header: String,
    /// What a reader hears of its choice.
    pub label: String,
    pub samples: Vec<String>,
    /// How much of it is empty.
    pub empty: String,
    /// What a new attribute would be called.
    pub attribute: String,
    /// Keys and labels to choose from.
    pub choices: Vec<(String, String)>,
    pub chosen: String,
    /// Its hue, icon and sentence, as it was guessed.
    pub note: (&'static str, &'static str, String),
}

#[derive(Template)]
#[template(path = "imports/columns.html")]
pub struct ColumnsPage {
    pub shell: Shell,
    pub import: Import,
    pub options: Options,
    pub mapping: Vec<String>,
    pub tested: Option<Tested>,
    /// Those contacts have already.
    pub attributes: Vec<String>,
    pub lists: Vec<(ListId, String)>,
    pub errors: FieldErrors,
}

impl ColumnsPage {
    fn rows(&self) -> Vec<ColumnRow> {
        let columns = self.options.columns.iter().zip(&self.mapping);
        columns
            .enumerate()
            .map(|(index, (column, chosen))| {
                let header = if column.header.is_empty() {
                    self.shell.tf("imports.column", &[(index + 1).to_string()])
                } else {
                    column.header.clone()
                };
                ColumnRow {
                    number: index + 1,
                    label: self
                        .shell
                        .tf("imports.field_for", std::slice::from_ref(&header)),
                    choices: self.choices(&header, chosen),
                    note: self.note(self.options.mapping.get(index)),
                    empty: self.empty(column.filled),
                    attribute: self.attribute(&header, chosen),
                    header: shortened(&header, HEADER_LETTERS),
                    whole_header: header,
                    samples: column.samples.clone(),
                    chosen: self.choice(chosen).to_owned(),
                }
            })
            .collect()
    }

    /// A key that cannot be: the person gives it another name.
    fn choice<'a>(&self, chosen: &'a str) -> &'a str {
        if chosen.starts_with("attributes.") && chosen.parse::<Field>().is_err() {
            NEW_ATTRIBUTE
        } else {
            chosen
        }
    }

    fn attribute(&self, header: &str, chosen: &str) -> String {
        let named = chosen.strip_prefix("attributes.").unwrap_or_default();
        if named.is_empty() {
            mapping::key(header)
        } else {
            named.to_owned()
        }
    }

    fn empty(&self, filled: u64) -> String {
        let rows = u64::try_from(self.import.counts().rows).unwrap_or_default();
        let empty = rows.saturating_sub(filled);
        match (empty * 100).checked_div(rows) {
            // Of a file from before this was counted.
            _ if filled == 0
                && empty == rows
                && self.options.columns.iter().all(|column| column.filled == 0) =>
            {
                String::new()
            }
            None => String::new(),
            Some(_) if empty == 0 => String::new(),
            Some(0) => self.shell.tf("imports.empty_share", &["< 1"]),
            Some(share) => self.shell.tf("imports.empty_share", &[share.to_string()]),
        }
    }

    fn choices(&self, header: &str, chosen: &str) -> Vec<(String, String)> {
        let label = |key: &str| match key.strip_prefix("attributes.") {
            Some(name) => self.shell.tf("imports.attribute", &[name]),
            None => self.shell.t(&format!("imports.field.{key}")),
        };
        let mut keys: Vec<String> = mapping::CHOICES
            .iter()
            .map(|(field, _)| field.to_string())
            .collect();
        let ignore = keys.pop();
        // The column as an attribute of its own name, what is chosen now, and what contacts have.
        let own = Field::Attribute(mapping::key(header)).to_string();
        let known = self
            .attributes
            .iter()
            .map(|key| format!("attributes.{key}"));
        for key in [own, chosen.to_owned()].into_iter().chain(known) {
            if key.parse::<Field>().is_ok() && !keys.contains(&key) && ignore.as_ref() != Some(&key)
            {
                keys.push(key);
            }
        }
        keys.push(NEW_ATTRIBUTE.to_owned());
        keys.extend(ignore);
        keys.into_iter()
            .map(|key| {
                let label = label(&key);
                (key, label)
            })
            .collect()
    }

    fn note(&self, guessed: Option<&String>) -> (&'static str, &'static str, String) {
        match guessed.map_or("ignore", String::as_str) {
            "ignore" => ("muted", "minus", self.shell.t("imports.left_out")),
            key if key.starts_with("attributes.") => {
                ("note-amber", "tag", self.shell.t("imports.as_attribute"))
            }
            _ => ("note-green", "check", self.shell.t("imports.recognised")),
        }
    }

    fn test_href(&self) -> String {
        format!("/imports/{}/test", self.import.id)
    }

    /// What was tested, with the figures; `None`: nothing, or other columns.
    fn figures(&self) -> Option<Figures<'_>> {
        let tested = self.tested.as_ref()?;
        (tested.mapping == self.mapping).then_some(Figures {
            shell: &self.shell,
            counts: tested.counts,
            notes: &tested.notes,
        })
    }

    fn is_other(&self) -> bool {
        self.tested.is_some() && self.figures().is_none()
    }

    fn sheet_href(&self) -> String {
        format!("/imports/{}/sheet", self.import.id)
    }

    fn cancel_href(&self) -> String {
        format!("/imports/{}/cancel", self.import.id)
    }

    fn mapped(&self) -> String {
        let all = self.mapping.len();
        let mapped = self.mapping.iter().filter(|key| *key != "ignore").count();
        self.shell.tnf(
            "imports.mapped",
            all,
            &[self.shell.number(mapped), self.shell.number(all)],
        )
    }

    fn short_name(&self) -> String {
        short(&self.import.file_name)
    }

    fn country(&self) -> &str {
        country::by_code(&self.options.country).unwrap_or(&self.options.country)
    }

    fn on_duplicate(&self) -> &'static str {
        match self.options.on_duplicate {
            OnDuplicate::Skip => "imports.skip",
            OnDuplicate::FillBlanks => "imports.fill_blanks",
            OnDuplicate::Update => "imports.update",
        }
    }

    fn first_row(&self) -> &'static str {
        if self.options.format.has_header {
            "imports.header_yes"
        } else {
            "imports.header_no"
        }
    }

    fn file_kind(&self) -> String {
        let format = self.options.format;
        if format.by_row {
            return "Excel".to_owned();
        }
        format!(
            "{}, {}",
            format.encoding.label(),
            self.shell.t(separator(format.separator.label()))
        )
    }
}

fn separator(label: &'static str) -> &'static str {
    match label {
        "Comma" => "imports.comma",
        "Semicolon" => "imports.semicolon",
        "Tab" => "imports.tab",
        _ => "imports.pipe",
    }
}

pub fn short(name: &str) -> String {
    shortened(name, NAME_LETTERS)
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() > most {
        let start: String = text.chars().take(most).collect();
        format!("{start}…")
    } else {
        text.to_owned()
    }
}
