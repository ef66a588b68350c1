//! Small pieces of pages that stand in many templates: icons, badges, faces, instants, bars. Each
//! prints itself as HTML: `{{ shell.badge("mailing", state) }}`.
//!
//! Invariant: everything a person wrote is escaped by the piece's own template.

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};

use crate::i18n::{self, Lang};
use crate::web::assets;
use crate::web::badges;
use crate::web::page::Shell;

/// `<svg class="icon">` with a symbol of `static/icons.svg`; hidden from readers, a word stands by.
#[derive(Debug, Template)]
#[template(
    ext = "html",
    source = r##"<svg class="icon{{ size }}" aria-hidden="true"><use href="{{ sprite }}#{{ name }}" /></svg>"##
)]
pub struct Icon<'a> {
    name: &'a str,
    size: &'static str,
    sprite: String,
}

impl<'a> Icon<'a> {
    pub fn new(name: &'a str, size: &'static str) -> Self {
        Self {
            name,
            size,
            sprite: assets::asset("icons.svg"),
        }
    }
}

impl HtmlSafe for Icon<'_> {}

/// A state with its icon, word and hue; the vocabularies stand in `web/badges.rs`.
#[derive(Debug, Template)]
#[template(
    ext = "html",
    source = r##"<span class="state {{ class }}">{% if !icon.is_empty() %}{{ Icon::new(icon, "") }}{% endif %}{{ word }}</span>"##
)]
pub struct Badge {
    class: &'static str,
    icon: &'static str,
    word: String,
}

impl Badge {
    /// `vocabulary`: "mailing", "message", "log", "run", "import", "health", "inbox", "active",
    /// "optout", "token", "unread". A mailing that is done with uncertain messages is `uncertain:2`.
    pub fn new(lang: Lang, vocabulary: &str, value: &str) -> Self {
        let (class, icon) = badges::look(vocabulary, value);
        Self {
            class,
            icon,
            word: badges::word(lang, vocabulary, value),
        }
    }
}

impl HtmlSafe for Badge {}

/// Initials in a circle whose hue comes from the name; the name stands beside it or in `sr`.
#[derive(Debug, Template)]
#[template(
    ext = "html",
    source = r#"<span class="face face-{{ hue }}{{ size }}" aria-hidden="true">{{ initials }}</span>"#
)]
pub struct Face {
    hue: char,
    size: &'static str,
    initials: String,
}

impl Face {
    pub fn new(name: &str, size: &'static str) -> Self {
        let words: Vec<&str> = name
            .split_whitespace()
            .filter(|word| word.starts_with(char::is_alphanumeric))
            .collect();
        let initials: String = match words.as_slice() {
            [] => name.trim().chars().take(1).collect(),
            [only] => only.chars().take(2).collect(),
            [first, .., last] => first.chars().take(1).chain(last.chars().take(1)).collect(),
        };
        let sum = name.bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        let hue = char::from(b"abcdef"[(sum % 6) as usize]);
        Self {
            hue,
            size,
            initials: initials.to_uppercase(),
        }
    }
}

impl HtmlSafe for Face {}

/// An instant in the person's zone; the full one in the title.
#[derive(Debug, Template)]
#[template(
    ext = "html",
    source = r#"<time class="num" datetime="{{ machine }}" title="{{ full }}">{{ short }}</time>"#
)]
pub struct Time {
    machine: String,
    full: String,
    short: String,
}

impl Time {
    pub fn new(shell: &Shell, instant: &DateTime<Utc>) -> Self {
        Self {
            machine: instant.with_timezone(&shell.zone).to_rfc3339(),
            full: shell.instant(instant),
            short: shell.date(instant),
        }
    }
}

impl HtmlSafe for Time {}

/// 36 px of bar and the figure: "71 %". Nothing of nothing is a dash.
#[derive(Debug, Template)]
#[template(
    ext = "html",
    source = r#"{% if whole > 0 %}<span class="meter"><svg aria-hidden="true"><rect class="f-{{ hue }}" width="{{ width }}%" height="100%" /></svg><span class="num">{{ figure }}</span></span>{% else %}<span class="faint">–</span>{% endif %}"#
)]
pub struct Meter {
    whole: i64,
    hue: &'static str,
    width: i64,
    figure: String,
}

impl Meter {
    pub fn new(lang: Lang, part: i64, whole: i64, hue: &'static str) -> Self {
        Self {
            whole,
            hue,
            width: if whole > 0 {
                (100 * part / whole).clamp(0, 100)
            } else {
                0
            },
            figure: i18n::percent(lang, part, whole, false),
        }
    }
}

impl HtmlSafe for Meter {}

/// One piece of a [`Progress`].
#[derive(Debug, Clone)]
struct Piece {
    hue: &'static str,
    state: &'static str,
    count: i64,
    /// Per cent of the bar.
    from: f64,
    width: f64,
}

/// The figures of a mailing or log by state, in the one order the bar has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub read: i64,
    pub delivered: i64,
    /// Accepted and sent.
    pub sent: i64,
    /// Failed and expired.
    pub failed: i64,
    pub uncertain: i64,
    /// A flow took them and has not reported yet.
    pub handed_over: i64,
    /// Queued and processing.
    pub queued: i64,
    /// Outside the bar.
    pub skipped: i64,
    /// Outside the bar.
    pub canceled: i64,
}

impl Figures {
    fn ordered(&self) -> [(&'static str, &'static str, i64); 7] {
        [
            ("blue", "read", self.read),
            ("green", "delivered", self.delivered),
            ("teal", "sent", self.sent),
            ("red", "failed", self.failed),
            ("amber", "uncertain", self.uncertain),
            ("violet", "handed_over", self.handed_over),
            ("slate", "queued", self.queued),
        ]
    }

    /// What the bar stands for: all but skipped and canceled.
    pub fn whole(&self) -> i64 {
        self.ordered().iter().map(|(_, _, count)| count).sum()
    }

    /// What is over: all but queued and handed over.
    pub fn finished(&self) -> i64 {
        self.whole() - self.queued - self.handed_over
    }
}

/// Progress by state: one bar, one order, with a legend whose figures are links.
#[derive(Debug, Template)]
#[template(path = "pieces/progress.html")]
pub struct Progress<'a> {
    shell: &'a Shell,
    figures: Figures,
    pieces: Vec<Piece>,
    /// The address of the rows, without the filter: `…&f=read` is added; empty for no links.
    href: String,
    thin: bool,
}

impl<'a> Progress<'a> {
    /// Bar and legend; `href` ends where the name of the state goes, such as `/outgoing?mailing=7&f=`.
    pub fn new(shell: &'a Shell, figures: &Figures, href: impl Into<String>) -> Self {
        let whole = figures.whole();
        let mut from = 0.0;
        let mut pieces = Vec::new();
        for (hue, state, count) in figures.ordered() {
            if count > 0 {
                let width = 100.0 * count as f64 / whole as f64;
                pieces.push(Piece {
                    hue,
                    state,
                    count,
                    from,
                    width,
                });
                from += width;
            }
        }
        Self {
            shell,
            figures: *figures,
            pieces,
            href: href.into(),
            thin: false,
        }
    }

    /// The bar alone, 6 px.
    pub fn thin(shell: &'a Shell, figures: &Figures) -> Self {
        Self {
            thin: true,
            ..Self::new(shell, figures, "")
        }
    }

    /// What the image says: "912 Read, 640 Delivered".
    fn sentence(&self) -> String {
        if self.pieces.is_empty() {
            return self.shell.t("progress.nothing");
        }
        let parts: Vec<String> = self
            .pieces
            .iter()
            .map(|piece| {
                format!(
                    "{} {}",
                    self.shell.number(piece.count),
                    self.word(piece.state)
                )
            })
            .collect();
        parts.join(", ")
    }

    fn word(&self, state: &str) -> String {
        badges::word(self.shell.lang, "message", state)
    }

    fn share(&self, count: &i64) -> String {
        self.shell.percent(count, self.figures.whole())
    }
}

impl HtmlSafe for Progress<'_> {}

/// One line of a record's history.
#[derive(Debug, Clone)]
pub struct Event {
    /// None: the system, shown with the icon.
    pub by: Option<String>,
    pub at: DateTime<Utc>,
    pub icon: &'static str,
    pub text: String,
    /// Field, old value, new value.
    pub changes: Vec<(String, String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_a_face_takes_first_and_last_initial() {
        assert_eq!(Face::new("I Gusti Ayu Dewanti", "").initials, "ID");
        assert_eq!(Face::new("Agus", "").initials, "AG");
        assert_eq!(Face::new("ß 🌸", "").initials, "SS");
        assert_eq!(Face::new("", "").initials, "");
        assert_eq!(
            Face::new("<b>", "").to_string(),
            Face::new("<b>", "").render().unwrap()
        );
        assert!(!Face::new("<b>", "").to_string().contains("<b>"));
    }

    #[test]
    fn pieces_the_bar_keeps_one_order_and_leaves_out_the_skipped() {
        let shell = Shell::signed_out(Lang::En, DateTime::<Utc>::default());
        let figures = Figures {
            read: 1,
            queued: 3,
            skipped: 90,
            ..Figures::default()
        };
        assert_eq!(figures.whole(), 4);
        let bar = Progress::new(&shell, &figures, "").to_string();
        assert!(bar.contains(r#"aria-label="1 Read, 3 Queued""#), "{bar}");
        assert!(bar.contains(r#"width="25.00%""#), "{bar}");
    }
}
