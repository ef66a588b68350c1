//! WhatsApp's markup cut for a preview: `*bold*`, `_italic_`, `~strike~`, monospace, links.
//!
//! Invariants: a preview is spans of text, never HTML; no letter of the text but its marks is lost; a
//! link leads to http or https only.

use std::sync::LazyLock;

use regex::Regex;

pub use super::html::{from_html, looks_like_html};

#[expect(clippy::expect_used, reason = "a constant pattern, tried by the tests")]
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"^(?i:https?)://[^\s<>"`]+"#).expect("pattern"));

/// A stretch of one line with one look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub bold: bool,
    pub italic: bool,
    pub strike: bool,
    pub mono: bool,
    /// Where the text leads: an http or https address.
    pub link: Option<String>,
}

/// The spans of one line.
pub type Line = Vec<Span>;

/// The lines of a text as WhatsApp shows them. A mark opens before a letter and closes after one, on
/// the same line and at the edges of words; what does not close stays as typed. Only three backticks
/// reach over lines.
pub fn to_spans(text: &str) -> Vec<Line> {
    let text = text.replace("\r\n", "\n");
    let mut lines: Vec<Line> = vec![Vec::new()];
    let mut begun = 0;
    let mut at = 0;
    while let Some((start, inside)) = fenced(&text, at) {
        at = start + inside.len() + 6;
        // Those of one line are marks like the others, and may stand inside them.
        if inside.contains('\n') {
            add(&mut lines, &text[begun..start], |line| {
                spans(line, &Span::default())
            });
            add(&mut lines, inside, |line| {
                if line.is_empty() {
                    Vec::new()
                } else {
                    vec![Span {
                        text: line.to_owned(),
                        mono: true,
                        ..Span::default()
                    }]
                }
            });
            begun = at;
        }
    }
    add(&mut lines, &text[begun..], |line| {
        spans(line, &Span::default())
    });
    lines
}

/// The next text between three backticks from `at` on, and where its first backtick stands.
fn fenced(text: &str, at: usize) -> Option<(usize, &str)> {
    let start = at + text[at..].find("```")?;
    let inside = &text[start + 3..];
    let end = inside.find("```")?;
    Some((start, &inside[..end]))
}

fn add(lines: &mut Vec<Line>, text: &str, cut: impl Fn(&str) -> Line) {
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            lines.push(Line::new());
        }
        if let Some(last) = lines.last_mut() {
            last.extend(cut(line));
        }
    }
}

fn spans(line: &str, look: &Span) -> Line {
    let mut out = Line::new();
    let mut plain = String::new();
    let mut rest = line;
    let mut before = ' ';
    while let Some(letter) = rest.chars().next() {
        if let Some((inside, after, mark)) = marked(rest, before, look) {
            push(&mut out, &mut plain, look);
            let mut inner = look.clone();
            match mark {
                '*' => inner.bold = true,
                '_' => inner.italic = true,
                '~' => inner.strike = true,
                _ => inner.mono = true,
            }
            if inner.mono {
                out.push(Span {
                    text: inside.to_owned(),
                    ..inner
                });
            } else {
                out.extend(spans(inside, &inner));
            }
            rest = after;
            before = mark;
        } else if let Some(address) = address(rest, before) {
            push(&mut out, &mut plain, look);
            out.push(Span {
                text: address.to_owned(),
                link: Some(address.to_owned()),
                ..look.clone()
            });
            rest = &rest[address.len()..];
            before = '/';
        } else {
            plain.push(letter);
            before = letter;
            rest = &rest[letter.len_utf8()..];
        }
    }
    push(&mut out, &mut plain, look);
    out
}

fn push(out: &mut Line, plain: &mut String, look: &Span) {
    if !plain.is_empty() {
        out.push(Span {
            text: std::mem::take(plain),
            ..look.clone()
        });
    }
}

/// The address at the start of `rest`, without the punctuation of the sentence around it.
fn address(rest: &str, before: char) -> Option<&str> {
    if before.is_alphanumeric() || !rest.starts_with(['h', 'H']) {
        return None;
    }
    let whole = ADDRESS.find(rest)?.as_str();
    let address = whole.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_', '~']);
    // `(https://x.example)`: the bracket is the sentence's.
    let address = if address.contains('(') {
        address
    } else {
        address.trim_end_matches(')')
    };
    let host = address.split_once("://").map_or("", |(_, host)| host);
    host.starts_with(|c: char| c.is_alphanumeric() || c == '[')
        .then_some(address)
}

/// What stands between a mark at the start of `rest` and its end, what follows, and the mark.
fn marked<'a>(rest: &'a str, before: char, look: &Span) -> Option<(&'a str, &'a str, char)> {
    if let Some(inside) = rest.strip_prefix("```")
        && let Some(end) = inside.find("```").filter(|end| *end > 0)
    {
        return Some((&inside[..end], &inside[end + 3..], '`'));
    }
    let mark = rest.chars().next()?;
    let is_open = match mark {
        '*' => look.bold,
        '_' => look.italic,
        '~' => look.strike,
        '`' => false,
        _ => return None,
    };
    if is_open || before.is_alphanumeric() {
        return None;
    }
    let inside = &rest[1..];
    if inside.starts_with(|c: char| c.is_whitespace() || c == mark) {
        return None;
    }
    inside.match_indices(mark).find_map(|(end, _)| {
        let after = &inside[end + 1..];
        let closes = !inside[..end].ends_with(char::is_whitespace)
            && !after.starts_with(char::is_alphanumeric);
        closes.then_some((&inside[..end], after, mark))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(span: &Span) -> String {
        let looks = [
            (span.bold, 'b'),
            (span.italic, 'i'),
            (span.strike, 's'),
            (span.mono, 'm'),
            (span.link.is_some(), 'l'),
        ];
        looks
            .into_iter()
            .filter_map(|(is_on, letter)| is_on.then_some(letter))
            .collect()
    }

    /// `look:text|look:text`, a line each.
    fn shown(text: &str) -> String {
        let line = |line: &Line| {
            line.iter()
                .map(|span| format!("{}:{}", look(span), span.text))
                .collect::<Vec<_>>()
                .join("|")
        };
        to_spans(text)
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn marks_work_as_in_whatsapp() {
        for (text, expected) in [
            ("a *b* c", ":a |b:b|: c"),
            ("*b*", "b:b"),
            ("_i_ ~s~", "i:i|: |s:s"),
            ("*_x_*", "bi:x"),
            ("*a _b ~c~_*", "b:a |bi:b |bis:c"),
            ("*_x*_", "b:_x|:_"),
            ("```*x*```", "m:*x*"),
            ("`x` y", "m:x|: y"),
            ("*a ```b``` c*", "b:a |bm:b|b: c"),
            ("(*b*), *c*.", ":(|b:b|:), |b:c|:."),
            ("*a*b*", "b:a*b"),
            ("*two words*", "b:two words"),
            ("*é*", "b:é"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        for plain in [
            "2 * 3 * 4",
            "snake_case_name",
            "* a*",
            "*a",
            "*a *",
            "**",
            "****",
            "a*b*c",
            "*a\nb*",
            "_",
            "```",
            "``````",
            "``",
        ] {
            assert_eq!(
                shown(plain),
                plain
                    .split('\n')
                    .map(|line| format!(":{line}"))
                    .collect::<Vec<_>>()
                    .join("\n"),
                "{plain}"
            );
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(shown("a\r\n\n*b*"), ":a\n\nb:b");
        assert_eq!(shown("x ```a\n\n*b*``` *y*"), ":x |m:a\n\nm:*b*|: |b:y");
        assert_eq!(to_spans(""), [Line::new()]);
    }

    #[test]
    fn only_web_addresses_are_links() {
        for (text, expected) in [
            (
                "see https://x.example/a_b_c?d=1.",
                ":see |l:https://x.example/a_b_c?d=1|:.",
            ),
            ("(http://x.example)", ":(|l:http://x.example|:)"),
            ("*https://x.example*", "bl:https://x.example"),
            ("https://x.example/a_(b)", "l:https://x.example/a_(b)"),
            ("https://", ":https://"),
            ("xhttps://x.example", ":xhttps://x.example"),
            ("javascript://x.example", ":javascript://x.example"),
            ("https://\"onclick=", ":https://\"onclick="),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn html_is_shown_as_it_was_meant() {
        assert_eq!(
            shown(&from_html("<p>a <b>b <i>c</i></b></p><pre>d</pre>")),
            ":a |b:b |bi:c\nm:d"
        );
    }

    #[test]
    fn hostile_texts_take_no_time() {
        for text in [
            " *a".repeat(2000),
            "*_~".repeat(2000),
            "```".repeat(2001),
            "<b>".repeat(2000),
            "https://".repeat(1000),
        ] {
            let _ = to_spans(&text);
            let _ = from_html(&text);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_letter_but_marks_is_lost(text in "([a *_~`\n]|https://x|.)*") {
            let kept: String = to_spans(&text).concat().into_iter().map(|span| span.text).collect();
            let letters = |text: &str| text.chars().filter(|c| !matches!(c, '*' | '_' | '~' | '`' | '\n' | '\r')).collect::<String>();
            proptest::prop_assert_eq!(letters(&kept), letters(&text));
        }
    }
}
