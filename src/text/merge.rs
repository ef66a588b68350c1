//! `{{placeholders}}`: a grammar of its own, no functions, no code.
//!
//! Invariants: every occurrence is filled; one pass, so a value never introduces a placeholder; an
//! absent or empty value becomes the fallback after `|`, else nothing.

use std::collections::BTreeMap;

/// Placeholder name (`contact.name`) to value.
pub type Values = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    pub name: String,
    pub fallback: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(Placeholder),
}

/// A text cut at its placeholders. What is not a whole placeholder stays text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(end) = rest.find("}}") {
            // `{{ {{name}}` and `{{{name}}}`: the innermost braces count.
            let found = rest[..end]
                .rfind("{{")
                .and_then(|start| Some((start, placeholder(&rest[start + 2..end])?)));
            match found {
                Some((start, placeholder)) => {
                    plain.push_str(&rest[..start]);
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Placeholder(placeholder));
                }
                None => plain.push_str(&rest[..end + 2]),
            }
            rest = &rest[end + 2..];
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        Self { pieces }
    }

    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder(placeholder) => Some(placeholder),
            Piece::Text(_) => None,
        })
    }

    /// The names that are not among the known ones, each once, in the text's order.
    pub fn unknown<S: AsRef<str>>(&self, known: &[S]) -> Vec<String> {
        let mut unknown: Vec<String> = Vec::new();
        for Placeholder { name, .. } in self.placeholders() {
            if !known.iter().any(|known| known.as_ref() == name) && !unknown.contains(name) {
                unknown.push(name.clone());
            }
        }
        unknown
    }

    pub fn fill(&self, values: &Values) -> String {
        self.marked(values)
            .into_iter()
            .map(|(text, _)| text)
            .collect()
    }

    /// The filled text in pieces; true where a value stands, so that a preview can mark it.
    pub fn marked(&self, values: &Values) -> Vec<(String, bool)> {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => (text.clone(), false),
                Piece::Placeholder(placeholder) => (value(placeholder, values), true),
            })
            .filter(|(text, _)| !text.is_empty())
            .collect()
    }
}

fn placeholder(inside: &str) -> Option<Placeholder> {
    let (name, fallback) = match inside.split_once('|') {
        Some((name, fallback)) => (name, Some(fallback.trim().to_owned())),
        None => (inside, None),
    };
    let name = name.trim();
    let is_name = !name.is_empty()
        && name.chars().count() <= 100
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | ' '));
    is_name.then(|| Placeholder {
        name: name.to_owned(),
        fallback,
    })
}

fn value(placeholder: &Placeholder, values: &Values) -> String {
    values
        .get(&placeholder.name)
        .map(|value| value.trim())
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .or_else(|| placeholder.fallback.clone())
        .unwrap_or_default()
}

/// The texts of a mailing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    pub subject: String,
    pub header: String,
    pub message: String,
    pub footer: String,
}

/// One person's final text: the header bold above, the footer italic below. How long it may be is the
/// caller's rule, see [`length`].
pub fn compose(parts: &Parts, values: &Values) -> String {
    let mut values = values.clone();
    // The subject may itself use placeholders, but never itself.
    values.remove("subject");
    let subject = Template::parse(&parts.subject).fill(&values);
    values.insert("subject".to_owned(), subject);
    let mut lines = Vec::new();
    if let Some(header) = marked_line(&parts.header, &values, '*') {
        lines.push(header);
    }
    let message = Template::parse(&parts.message).fill(&values);
    // Under a file there may be none.
    if !message.trim().is_empty() {
        lines.push(message);
    }
    if let Some(footer) = marked_line(&parts.footer, &values, '_') {
        lines.push(footer);
    }
    lines.join("\n")
}

/// One person's version of a text that stands beside a mailing's own, such as a value of a template.
pub fn fill(subject: &str, text: &str, values: &Values) -> String {
    let mut values = values.clone();
    values.remove("subject");
    let subject = Template::parse(subject).fill(&values);
    values.insert("subject".to_owned(), subject);
    Template::parse(text).fill(&values)
}

/// WhatsApp's limit of a text message, in characters.
pub const TEXT_MAX: usize = 4096;
/// Its limit of a text under a file.
pub const CAPTION_MAX: usize = 1024;

/// Placeholders of a person that everybody has; those of attributes are `contact.` and their name.
pub const CONTACT: [&str; 9] = [
    "contact.name",
    "contact.full_name",
    "contact.title",
    "contact.whatsapp_number",
    "contact.country",
    "contact.email",
    "contact.company_name",
    "contact.job_position",
    "contact.description",
];

/// How long WhatsApp finds a text: characters, not bytes.
pub fn length(text: &str) -> usize {
    text.chars().count()
}

/// A person's name with the title before it, as `contact.full_name` stands for.
pub fn full_name(title: &str, name: &str) -> String {
    format!("{} {}", title.trim(), name.trim())
        .trim()
        .to_owned()
}

/// A filled text between marks. It is one line, and whatever in it would end the marks early is gone.
fn marked_line(text: &str, values: &Values, mark: char) -> Option<String> {
    let filled = Template::parse(text).fill(values);
    let line = filled.split_whitespace().collect::<Vec<_>>().join(" ");
    let inside = without_ends(&line, mark);
    let inside = inside.trim();
    (!inside.is_empty()).then(|| format!("{mark}{inside}{mark}"))
}

/// The line without the marks that could open or close: those next to a letter on one side at most.
/// `snake_case` and `3 * 4` stay. Backticks go too: monospace swallows other marks.
fn without_ends(line: &str, mark: char) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut letters = line.chars().filter(|letter| *letter != '`').peekable();
    while let Some(letter) = letters.next() {
        if letter != mark {
            kept.push(letter);
            continue;
        }
        let before = kept.chars().next_back();
        let after = letters.peek().copied();
        let within =
            before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric);
        let alone =
            before.is_some_and(char::is_whitespace) && after.is_some_and(char::is_whitespace);
        if within || alone {
            kept.push(letter);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn fill(text: &str, pairs: &[(&str, &str)]) -> String {
        Template::parse(text).fill(&values(pairs))
    }

    #[test]
    fn every_occurrence_is_filled() {
        assert_eq!(
            fill("{{a}} and {{ a }} and {{a}}", &[("a", "x")]),
            "x and x and x"
        );
    }

    #[test]
    fn an_empty_value_becomes_its_fallback_or_nothing() {
        assert_eq!(fill("Hi {{contact.name|there}}!", &[]), "Hi there!");
        assert_eq!(
            fill("Hi {{contact.name|there}}!", &[("contact.name", " ")]),
            "Hi there!"
        );
        assert_eq!(fill("Hi {{contact.name}}!", &[]), "Hi !");
        assert_eq!(fill("Hi {{contact.name|}}!", &[]), "Hi !");
    }

    #[test]
    fn a_value_never_introduces_a_placeholder() {
        assert_eq!(fill("{{a}}", &[("a", "{{b}}"), ("b", "secret")]), "{{b}}");
    }

    #[test]
    fn what_is_not_a_whole_placeholder_stays_text() {
        for text in [
            "{{",
            "}}",
            "{{}}",
            "{{a",
            "{a}",
            "{{ env(\"X\") }}",
            "{{a;b}}",
        ] {
            assert_eq!(fill(text, &[("a", "x")]), text);
        }
        assert_eq!(fill("{{ {{a}}", &[("a", "x")]), "{{ x");
        assert_eq!(fill("{{{a}}}", &[("a", "x")]), "{x}");
        assert_eq!(fill("}} {{a}} }}", &[("a", "x")]), "}} x }}");
    }

    #[test]
    fn a_message_has_its_header_bold_and_its_footer_italic() {
        let parts = Parts {
            subject: "Promo {{contact.name}}".into(),
            header: "For {{contact.name}}".into(),
            message: "{{subject}}: hello".into(),
            footer: "Reply STOP".into(),
        };
        let text = compose(&parts, &values(&[("contact.name", "Siti\nR")]));
        assert_eq!(text, "*For Siti R*\nPromo Siti\nR: hello\n_Reply STOP_");
    }

    #[test]
    fn placeholders_nobody_knows_are_named_once() {
        let template =
            Template::parse("{{contact.nmae}} {{contact.name}} {{ contact.nmae|x }} {{subject}}");
        assert_eq!(
            template.unknown(&["contact.name", "subject"]),
            ["contact.nmae"]
        );
        assert_eq!(
            Template::parse("no braces").unknown::<&str>(&[]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_value_does_not_end_the_headers_stars_nor_the_footers_lines() {
        let composed = |value: &str| {
            let parts = Parts {
                header: "For {{a}}!".into(),
                message: "hi".into(),
                footer: "To {{a}}!".into(),
                ..Parts::default()
            };
            compose(&parts, &values(&[("a", value)]))
        };
        assert_eq!(composed("x\r\n\u{2028}y"), "*For x y!*\nhi\n_To x y!_");
        assert_eq!(composed("*x* y"), "*For x y!*\nhi\n_To *x* y!_");
        assert_eq!(composed("_x_"), "*For _x_!*\nhi\n_To x!_");
        assert_eq!(
            composed("a_b 3 * 4"),
            "*For a_b 3 * 4!*\nhi\n_To a_b 3 * 4!_"
        );
        assert_eq!(composed("```x"), "*For x!*\nhi\n_To x!_");
        let marked = Parts {
            header: "*{{a}}*".into(),
            message: "hi".into(),
            ..Parts::default()
        };
        assert_eq!(compose(&marked, &values(&[("a", "Sale")])), "*Sale*\nhi");
        assert_eq!(compose(&marked, &Values::new()), "hi");
    }

    #[test]
    fn the_subject_never_fills_itself() {
        let parts = Parts {
            subject: "a {{subject}} b".into(),
            message: "{{subject}}".into(),
            ..Parts::default()
        };
        assert_eq!(compose(&parts, &values(&[("subject", "x")])), "a  b");
    }

    #[test]
    fn a_text_is_as_long_as_its_characters() {
        assert_eq!(length("añ🙂"), 3);
        assert_eq!(full_name("Dr. ", "Siti"), "Dr. Siti");
        assert_eq!(full_name("", "Siti"), "Siti");
    }

    proptest! {
        #[test]
        fn text_without_braces_stays_as_it_is(text in "[^{}]*") {
            prop_assert_eq!(fill(&text, &[]), text);
        }

        #[test]
        fn nothing_panics(text in ".*") {
            let _ = fill(&text, &[("a", "x")]);
        }

        #[test]
        fn no_braces_panic(text in "[{}|a. ]*") {
            let _ = fill(&text, &[("a", "x")]);
        }

        #[test]
        fn a_header_stays_one_bold_line(value in ".*") {
            let parts = Parts { header: "For {{a}}".into(), message: "Hi".into(), ..Parts::default() };
            let text = compose(&parts, &values(&[("a", &value)]));
            let header = text.lines().next().unwrap();
            prop_assert!(header.starts_with("*For") && header.ends_with('*'));
            prop_assert_eq!(text.matches('\n').count(), 1);
            let looks = crate::text::markup::to_spans(header);
            prop_assert!(looks.concat().iter().all(|span| span.bold), "{:?}", looks);
        }
    }
}
