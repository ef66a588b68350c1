//! What the pages of an import show.

use askama::Template;

use crate::contacts::bulk::OnDuplicate;
use crate::error::FieldErrors;
use crate::ids::ListId;
use crate::imports::mapping::{self, Field};
use crate::imports::{Counts, Import, Names, Options, StageInput};
use crate::text::country;
use crate::web::page::Shell;

/// Letters of a file's name in a heading.
const NAME_LETTERS: usize = 60;

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
    fn ways(&self) -> [(&'static str, &'static str); 2] {
        [("update", "imports.update"), ("skip", "imports.skip")]
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
    /// What a reader hears of its choice.
    pub label: String,
    pub samples: Vec<String>,
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
                    header,
                    samples: column.samples.clone(),
                    chosen: chosen.clone(),
                }
            })
            .collect()
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
        // Before "do not import": the column as an attribute of its own name, and what is chosen now.
        let own = Field::Attribute(mapping::key(header)).to_string();
        for key in [own.as_str(), chosen] {
            let is_field = key.parse::<Field>().is_ok();
            if is_field && !keys.iter().any(|known| known == key) {
                keys.insert(keys.len() - 1, key.to_owned());
            }
        }
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

    fn cancel_href(&self) -> String {
        format!("/imports/{}/cancel", self.import.id)
    }

    fn mapped(&self) -> String {
        let all = self.mapping.len();
        let mapped = self.mapping.iter().filter(|key| *key != "ignore").count();
        self.shell.tf(
            "imports.mapped",
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

/// A row that was not imported.
pub struct RejectedRow {
    pub line: Option<u64>,
    pub cells: String,
    pub reason: String,
}

pub fn rejected_rows(rows: Vec<(Vec<String>, String)>, lines: &[u64]) -> Vec<RejectedRow> {
    rows.into_iter()
        .enumerate()
        .map(|(index, (cells, reason))| RejectedRow {
            line: lines.get(index).copied(),
            cells: cells.join(" · ").chars().take(160).collect(),
            reason,
        })
        .collect()
}

/// One figure of the result: its hue, word and count.
pub struct Part {
    pub hue: &'static str,
    pub word: &'static str,
    pub count: i64,
    pub from: String,
    pub width: String,
}

#[derive(Template)]
#[template(path = "imports/result.html")]
pub struct ResultPage {
    pub shell: Shell,
    pub import: Import,
    pub options: Options,
    pub counts: Counts,
    pub rejected: Vec<RejectedRow>,
    pub lists: Vec<(ListId, String)>,
}

impl ResultPage {
    fn parts(&self) -> Vec<Part> {
        let whole = self.counts.rows.max(1) as f64;
        let mut from = 0.0;
        [
            ("green", "imports.created", self.counts.created),
            ("blue", "imports.updated", self.counts.updated),
            ("slate", "imports.skipped", self.counts.skipped),
            ("red", "imports.rejected", self.counts.rejected),
        ]
        .into_iter()
        .map(|(hue, word, count)| {
            let width = 100.0 * count as f64 / whole;
            let part = Part {
                hue,
                word,
                count,
                from: format!("{from:.2}"),
                width: format!("{width:.2}"),
            };
            from += width;
            part
        })
        .collect()
    }

    /// What the bar says to who does not see it.
    fn sentence(&self) -> String {
        let parts: Vec<String> = self
            .parts()
            .iter()
            .map(|part| {
                format!(
                    "{} {}",
                    self.shell.number(part.count),
                    self.shell.t(part.word)
                )
            })
            .collect();
        parts.join(", ")
    }

    fn verdict(&self) -> String {
        let (all, present) = (self.counts.rows, self.counts.present());
        if all == present {
            self.shell.tn("imports.all_in", all)
        } else {
            let figures = [self.shell.number(present), self.shell.number(all)];
            self.shell.tf("imports.some_in", &figures)
        }
    }

    fn is_done(&self) -> bool {
        self.import.state == "done"
    }

    fn short_name(&self) -> String {
        short(&self.import.file_name)
    }

    fn more_rejected(&self) -> i64 {
        self.counts.rejected - i64::try_from(self.rejected.len()).unwrap_or(0)
    }

    /// Skipped because the number was known before.
    fn known(&self) -> i64 {
        self.counts.skipped - i64::try_from(self.options.notes.repeated).unwrap_or(0)
    }

    fn names(&self, names: &Names) -> String {
        let more = if names.count > names.first.len() {
            ", …"
        } else {
            ""
        };
        format!("{}{more}", names.first.join(", "))
    }
}

fn short(name: &str) -> String {
    if name.chars().count() > NAME_LETTERS {
        let start: String = name.chars().take(NAME_LETTERS).collect();
        format!("{start}…")
    } else {
        name.to_owned()
    }
}
