//! Pasted HTML as WhatsApp text.
//!
//! Invariants: what comes out is plain text with WhatsApp's marks, each mark next to a letter and closed
//! on its line; scripts, styles and comments leave nothing; no address but http, https, mail and phone
//! ones comes through. Reads what editors and word processors paste; it is no browser.

use std::sync::LazyLock;

use regex::Regex;

use super::entity::unescape;

#[expect(clippy::expect_used, reason = "a constant pattern, tried by the tests")]
static TAG: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?s)<!--.*?(?:-->|\z)|<[!?][a-zA-Z\[][^>]*>|<(/?)([a-zA-Z][a-zA-Z0-9:-]*)((?:\s(?:[^<>"']|"[^"]*"|'[^']*')*)?/?)>"#)
        .expect("pattern")
});
#[expect(clippy::expect_used, reason = "a constant pattern, tried by the tests")]
static HREF: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?is)\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"#).expect("pattern")
});
#[expect(clippy::expect_used, reason = "a constant pattern, tried by the tests")]
static STYLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"(?is)\sstyle\s*=\s*(?:"([^"]*)"|'([^']*)')"#).expect("pattern"));

/// Elements that begin and end a line.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "ul",
    "ol",
    "li",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "pre",
    "blockquote",
    "table",
    "tr",
    "section",
    "article",
    "header",
    "footer",
    "main",
    "body",
    "html",
    "hr",
    "dl",
    "dt",
    "dd",
    "form",
    "address",
    "figure",
    "nav",
];
const INLINE: &[&str] = &[
    "a", "b", "strong", "i", "em", "s", "del", "strike", "u", "ins", "code", "tt", "kbd", "samp",
    "br", "span", "font", "img", "small", "big", "sub", "sup", "mark", "label", "thead", "tbody",
    "tfoot", "th", "td", "q", "cite", "abbr", "meta", "link", "wbr", "center", "button", "input",
    "picture", "source", "video", "audio", "svg", "time",
];
/// Elements whose content is no text.
const SILENT: &[&str] = &[
    "script", "style", "head", "title", "template", "noscript", "iframe", "object",
];
const VOID: &[&str] = &["br", "hr", "img", "meta", "link", "wbr", "input", "source"];
/// Deeper nesting is no text a person wrote.
const DEEPEST: usize = 200;

fn is_block(name: &str) -> bool {
    BLOCKS.contains(&name)
}

fn is_element(name: &str) -> bool {
    is_block(name) || INLINE.contains(&name) || SILENT.contains(&name)
}

/// Whether a text was pasted as HTML: it has a whole tag of an element we know. `1 < 2`, `<3` and
/// `<name>` are text.
pub fn looks_like_html(text: &str) -> bool {
    TAG.captures_iter(text).any(|tag| {
        tag.get(2)
            .is_some_and(|name| is_element(&name.as_str().to_ascii_lowercase()))
    })
}

/// HTML as WhatsApp text.
pub fn from_html(html: &str) -> String {
    let html = html.replace("\r\n", "\n");
    let has_blocks = TAG.captures_iter(&html).any(|tag| {
        tag.get(2).is_some_and(|name| {
            let name = name.as_str().to_ascii_lowercase();
            name == "br" || is_block(&name)
        })
    });
    let mut writer = Writer {
        // Without blocks the line ends are the writer's own.
        keeps_lines: !has_blocks,
        ..Writer::default()
    };
    let mut at = 0;
    for tag in TAG.captures_iter(&html) {
        let Some(whole) = tag.get(0) else { continue };
        let name = tag.get(2).map(|name| name.as_str().to_ascii_lowercase());
        if let Some(name) = &name
            && !is_element(name)
            && !name.contains([':', '-'])
        {
            continue; // Not HTML: `<name>` that somebody typed stays text.
        }
        writer.text(&unescape(&html[at..whole.start()]));
        at = whole.end();
        let Some(name) = name else { continue };
        let attributes = tag.get(3).map_or("", |attributes| attributes.as_str());
        if tag.get(1).is_some_and(|slash| !slash.is_empty()) {
            writer.close(&name);
        } else {
            writer.open(&name, attributes);
        }
    }
    writer.text(&unescape(&html[at..]));
    writer.finish()
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    italic: bool,
    strike: bool,
    mono: bool,
}

impl Look {
    /// The marks, outermost first. In monospace WhatsApp knows no other mark.
    fn marks(self) -> impl Iterator<Item = &'static str> {
        let rich = !self.mono;
        [
            (self.bold && rich, "*"),
            (self.italic && rich, "_"),
            (self.strike && rich, "~"),
            (self.mono, "```"),
        ]
        .into_iter()
        .filter_map(|(is_on, mark)| is_on.then_some(mark))
    }

    fn common(self, other: Self) -> Self {
        Self {
            bold: self.bold && other.bold,
            italic: self.italic && other.italic,
            strike: self.strike && other.strike,
            mono: self.mono && other.mono,
        }
    }
}

struct Element {
    name: String,
    look: Look,
    /// Of `ol`: the number of the next item.
    item: usize,
}

/// An open link: where it leads, and what is shown so far.
struct Link {
    address: String,
    shown: String,
}

#[derive(Default)]
struct Writer {
    lines: Vec<String>,
    line: Vec<(char, Look)>,
    /// Bullet or number of an item whose text has not begun.
    bullet: Option<String>,
    /// The bullet of the line that stands.
    prefix: String,
    elements: Vec<Element>,
    links: Vec<Link>,
    keeps_lines: bool,
}

impl Writer {
    fn look(&self) -> Look {
        self.elements
            .last()
            .map_or_else(Look::default, |element| element.look)
    }

    fn is_in(&self, names: &[&str]) -> bool {
        self.elements
            .iter()
            .any(|element| names.contains(&element.name.as_str()))
    }

    fn text(&mut self, text: &str) {
        if self.is_in(SILENT) {
            return;
        }
        let is_pre = self.is_in(&["pre"]);
        let look = self.look();
        for letter in text.chars() {
            match letter {
                '\n' if is_pre || self.keeps_lines => self.end_line(),
                '\r' => {}
                ' ' | '\n' | '\t' if !is_pre => {
                    // Blanks are one blank, none at the start.
                    if self.line.last().is_some_and(|(last, _)| *last != ' ') {
                        self.put(' ', look);
                    }
                }
                '\u{a0}' => self.put(' ', look),
                _ => self.put(letter, look),
            }
        }
    }

    fn put(&mut self, letter: char, look: Look) {
        if let Some(bullet) = self.bullet.take_if(|_| !letter.is_whitespace()) {
            self.prefix = bullet;
        }
        if let Some(link) = self.links.last_mut() {
            link.shown.push(letter);
        }
        self.line.push((letter, look));
    }

    fn plain(&mut self, text: &str) {
        for letter in text.chars() {
            self.put(letter, Look::default());
        }
    }

    fn open(&mut self, name: &str, attributes: &str) {
        if is_block(name) {
            self.end_block();
        }
        match name {
            "br" => self.end_line(),
            "td" | "th" if self.line.last().is_some_and(|(last, _)| *last != ' ') => {
                self.put(' ', Look::default())
            }
            "li" => self.begin_item(),
            "a" => self.links.push(Link {
                address: address(attributes),
                shown: String::new(),
            }),
            _ => {}
        }
        if !VOID.contains(&name) && self.elements.len() < DEEPEST {
            let look = styled(looked(self.look(), name), attributes);
            self.elements.push(Element {
                name: name.to_owned(),
                look,
                item: 1,
            });
        }
    }

    fn close(&mut self, name: &str) {
        if name == "a"
            && let Some(link) = self.links.pop()
        {
            self.end_link(&link);
        }
        if let Some(position) = self
            .elements
            .iter()
            .rposition(|element| element.name == name)
        {
            self.elements.truncate(position);
        }
        if is_block(name) {
            self.end_block();
        }
        if name == "li" {
            self.bullet = None;
        }
    }

    fn begin_item(&mut self) {
        let depth = self
            .elements
            .iter()
            .filter(|element| matches!(element.name.as_str(), "ul" | "ol"))
            .count();
        let list = self
            .elements
            .iter_mut()
            .rev()
            .find(|element| matches!(element.name.as_str(), "ul" | "ol"));
        let sign = match list {
            Some(list) if list.name == "ol" => {
                list.item += 1;
                format!("{}. ", list.item - 1)
            }
            _ => "• ".to_owned(),
        };
        self.bullet = Some(format!(
            "{}{sign}",
            "  ".repeat(depth.saturating_sub(1).min(5))
        ));
    }

    /// `text (address)`, unless the text is the address already.
    fn end_link(&mut self, link: &Link) {
        let shown = link.shown.trim();
        let bare = |text: &str| {
            let text = text
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            text.trim_end_matches('/').to_ascii_lowercase()
        };
        if link.address.is_empty() || bare(shown) == bare(&link.address) {
            return;
        }
        if shown.is_empty() {
            self.plain(&link.address);
        } else {
            while self.line.last().is_some_and(|(last, _)| *last == ' ') {
                self.line.pop();
            }
            self.plain(&format!(" ({})", link.address));
        }
    }

    /// The end of a block: begins a line, unless one has just begun.
    fn end_block(&mut self) {
        if self.line.iter().any(|(letter, _)| !letter.is_whitespace()) {
            self.end_line();
        }
        self.line.clear();
    }

    fn end_line(&mut self) {
        let line = marked(&self.line);
        self.line.clear();
        self.lines
            .push(format!("{}{line}", std::mem::take(&mut self.prefix)));
    }

    fn finish(mut self) -> String {
        self.end_block();
        self.lines.join("\n").trim().to_owned()
    }
}

fn looked(look: Look, name: &str) -> Look {
    match name {
        "b" | "strong" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "th" => {
            Look { bold: true, ..look }
        }
        "i" | "em" => Look {
            italic: true,
            ..look
        },
        "s" | "del" | "strike" => Look {
            strike: true,
            ..look
        },
        "code" | "pre" | "tt" | "kbd" | "samp" => Look { mono: true, ..look },
        _ => look,
    }
}

/// Word processors say it by style, and wrap whole documents in a `<b>` that is not bold.
fn styled(mut look: Look, attributes: &str) -> Look {
    let Some(style) = STYLE.captures(attributes) else {
        return look;
    };
    let style = style
        .get(1)
        .or(style.get(2))
        .map_or("", |style| style.as_str())
        .to_ascii_lowercase();
    for declaration in style.split(';') {
        let Some((property, value)) = declaration.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match property.trim() {
            "font-weight" => {
                look.bold = matches!(value, "bold" | "bolder" | "600" | "700" | "800" | "900")
            }
            "font-style" => look.italic = value == "italic",
            "text-decoration" | "text-decoration-line" if value.contains("line-through") => {
                look.strike = true
            }
            _ => {}
        }
    }
    look
}

/// Where a link leads, when it is an address for people; else empty.
fn address(attributes: &str) -> String {
    let Some(href) = HREF.captures(attributes) else {
        return String::new();
    };
    let href = href
        .get(1)
        .or(href.get(2))
        .or(href.get(3))
        .map_or("", |href| href.as_str());
    let href: String = unescape(href).chars().filter(|c| !c.is_control()).collect();
    let href = href.trim();
    let lower = href.to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") || href.starts_with("{{") {
        return href.replace(' ', "%20");
    }
    let person = ["mailto:", "tel:"]
        .iter()
        .find(|scheme| lower.starts_with(**scheme));
    person.map_or_else(String::new, |scheme| {
        href[scheme.len()..]
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned()
    })
}

/// A line with its marks: they stand next to letters, blanks outside.
fn marked(line: &[(char, Look)]) -> String {
    let Some(first) = line.iter().position(|(letter, _)| !letter.is_whitespace()) else {
        return String::new();
    };
    let last = line
        .iter()
        .rposition(|(letter, _)| !letter.is_whitespace())
        .unwrap_or(first);
    // Monospace keeps its indentation.
    let first = if line[first].1.mono { 0 } else { first };
    let mut out = String::new();
    let mut open: Vec<&'static str> = Vec::new();
    let mut blanks = String::new();
    // The look that what stands before the blanks shares with them.
    let mut before = Look::default();
    for (letter, look) in &line[first..=last] {
        if letter.is_whitespace() && !look.mono {
            blanks.push(*letter);
            before = before.common(*look);
            continue;
        }
        // What closes closes before the blanks, what opens opens after them.
        let through = if blanks.is_empty() {
            *look
        } else {
            before.common(*look)
        };
        turn(&mut out, &mut open, through);
        out.push_str(&blanks);
        blanks.clear();
        turn(&mut out, &mut open, *look);
        out.push(*letter);
        before = *look;
    }
    turn(&mut out, &mut open, Look::default());
    out
}

/// Closes and opens marks so that exactly `look` is open.
fn turn(out: &mut String, open: &mut Vec<&'static str>, look: Look) {
    let wanted: Vec<&'static str> = look.marks().collect();
    while open.iter().any(|mark| !wanted.contains(mark)) {
        out.extend(open.pop());
    }
    for mark in wanted {
        if !open.contains(&mark) {
            out.push_str(mark);
            open.push(mark);
        }
    }
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;
