//! What the pages of an import show while it runs and after it: how far it is, and what came of every row.

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web;
use askama::Template;
use askama::filters::HtmlSafe;

use super::pages::short;
use crate::ids::{ImportId, ListId};
use crate::imports::rejected::Refused;
use crate::imports::{Counts, Import, Names, Notes, Options, Task, query};
use crate::web::error::WebResult;
use crate::web::form::company_token;
use crate::web::page::{Shell, html};
use crate::web::visit::Visit;

/// One figure: its hue, word and count.
pub struct Part {
    pub hue: &'static str,
    pub word: &'static str,
    pub count: i64,
    pub from: String,
    pub width: String,
}

/// The figures as a bar; `whole` is its length.
fn parts(counts: Counts, whole: i64) -> Vec<Part> {
    #[expect(clippy::cast_precision_loss, reason = "the width of a bar")]
    let share = |count: i64| 100.0 * count as f64 / whole.max(1) as f64;
    let mut from = 0.0;
    [
        ("green", "imports.created", counts.created),
        ("blue", "imports.updated", counts.updated),
        ("slate", "imports.skipped", counts.skipped),
        ("red", "imports.rejected", counts.rejected),
    ]
    .into_iter()
    .map(|(hue, word, count)| {
        let width = share(count);
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

/// What is known of the rows that are done, or that were tested.
pub struct Figures<'a> {
    pub shell: &'a Shell,
    pub counts: Counts,
    pub notes: &'a Notes,
}

impl Figures<'_> {
    pub fn parts(&self) -> Vec<Part> {
        parts(self.counts, self.counts.done())
    }

    /// What the bar says to who does not see it.
    pub fn sentence(&self) -> String {
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

    /// Skipped because the number was known before.
    pub fn known(&self) -> i64 {
        self.counts.skipped - i64::try_from(self.notes.repeated).unwrap_or(0)
    }

    pub fn names(&self, names: &Names) -> String {
        let more = if names.count > names.first.len() {
            ", …"
        } else {
            ""
        };
        format!("{}{more}", names.first.join(", "))
    }

    pub fn lines(&self, lines: &[u64]) -> String {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        lines.join(", ")
    }

    /// Rows whose reason is not among those named.
    pub fn other_reasons(&self) -> i64 {
        let named: usize = self.notes.reasons.iter().map(|reason| reason.count).sum();
        self.counts.rejected - i64::try_from(named).unwrap_or(0)
    }

    pub fn more_repeats(&self) -> usize {
        self.notes.repeated - self.notes.repeats.len().min(self.notes.repeated)
    }
}

/// The part of the page that changes by itself.
#[derive(Template)]
#[template(path = "imports/progress.html")]
pub struct Standing {
    shell: Shell,
    import: Import,
}

impl HtmlSafe for Standing {}

impl Standing {
    pub fn new(shell: &Shell, import: &Import) -> Self {
        Self {
            shell: shell.clone(),
            import: import.clone(),
        }
    }

    fn is_test(&self) -> bool {
        self.import.task() == Task::Test
    }

    fn parts(&self) -> Vec<Part> {
        let counts = self.import.counts();
        if self.is_test() {
            let tested = Counts {
                updated: self.import.position,
                ..Counts::default()
            };
            return parts(tested, counts.rows);
        }
        parts(counts, counts.rows)
    }

    fn lead(&self) -> String {
        let key = match (self.import.state.as_str(), self.is_test()) {
            ("queued", _) => "imports.waits",
            (_, true) => "imports.testing",
            _ => "imports.importing",
        };
        self.shell.t(key)
    }

    fn far(&self) -> String {
        let rows = self.import.counts().rows;
        self.shell.tnf(
            "imports.far",
            rows,
            &[
                self.shell.number(self.import.position),
                self.shell.number(rows),
            ],
        )
    }
}

pub async fn fragment(visit: Visit, id: web::Path<i64>) -> WebResult {
    let mut conn = visit.conn().await?;
    let import = query::find(&mut conn, ImportId(*id)).await?;
    let shell = Shell {
        zone: visit.zone,
        role: Some(visit.role),
        csrf: company_token(&visit.session, visit.company)?,
        ..Shell::signed_out(visit.lang(), visit.app.clock.now())
    };
    let mut answer = html(Standing::new(&shell, &import));
    if !import.is_under_way() {
        answer.headers_mut().insert(
            HeaderName::from_static("x-settled"),
            HeaderValue::from_static("1"),
        );
    }
    Ok(answer)
}

#[derive(Template)]
#[template(path = "imports/result.html")]
pub struct ResultPage {
    pub shell: Shell,
    pub import: Import,
    pub options: Options,
    pub counts: Counts,
    /// The first of them.
    pub rejected: Vec<Refused>,
    /// All of them can be had.
    pub has_file: bool,
    pub can_undo: bool,
    /// This person may stop it, or let it go on.
    pub is_own: bool,
    pub lists: Vec<(ListId, String)>,
    pub standing: Standing,
}

impl ResultPage {
    fn figures(&self) -> Figures<'_> {
        Figures {
            shell: &self.shell,
            counts: self.counts,
            notes: &self.options.notes,
        }
    }

    fn verdict(&self) -> String {
        let figures = [
            self.shell.number(self.counts.done()),
            self.shell.number(self.counts.rows),
        ];
        let rows = self.counts.rows;
        match self.import.state.as_str() {
            "canceled" => self.shell.tnf("imports.stopped_at", rows, &figures),
            "failed" => self.shell.tnf("imports.failed_at", rows, &figures),
            _ if self.counts.rejected == 0 => self.shell.tn("imports.all_in", self.counts.rows),
            _ => {
                let present = self.shell.number(self.counts.present());
                let figures = [present, self.shell.number(self.counts.rows)];
                self.shell.tnf("imports.some_in", rows, &figures)
            }
        }
    }

    /// Something of it is in.
    fn has_result(&self) -> bool {
        self.import.state == "done" || self.counts.done() > 0
    }

    fn is_done(&self) -> bool {
        self.import.state == "done"
    }

    fn can_resume(&self) -> bool {
        self.is_own && self.import.state == "failed" && self.import.has_file
    }

    fn href(&self, verb: &str) -> String {
        format!("/imports/{}/{verb}", self.import.id)
    }

    fn short_name(&self) -> String {
        short(&self.import.file_name)
    }

    fn cells(&self, row: &Refused) -> String {
        let filled: Vec<&str> = row
            .cells
            .iter()
            .map(|cell| cell.trim())
            .filter(|cell| !cell.is_empty())
            .collect();
        filled.join(" · ").chars().take(160).collect()
    }

    fn more_rejected(&self) -> i64 {
        self.counts.rejected - i64::try_from(self.rejected.len()).unwrap_or(0)
    }
}
