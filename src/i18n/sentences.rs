//! The domain's own sentences in the languages of the panel, found by the sentence itself.
//!
//! The domain says what is wrong in one English sentence and knows no language; pages ask here for
//! the same sentence in the person's. `sentences.properties` has a line for each: `English =>
//! Indonesian`. `{0}`, `{1}` … stand for what varies and are carried over; `{0*}` on the right is
//! looked up itself, for a state's word or a sentence inside a sentence. Invariants: what nobody
//! knows stays as it is, so a gateway's own words pass untouched; a lookup reads only the templates
//! that begin with the sentence's first word, and the few that begin with what varies.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::Lang;

const SENTENCES: &str = include_str!("sentences.properties");

/// Sentences inside sentences are looked up this deep.
const DEPTH: u8 = 2;
/// Longer texts are nobody's sentence of ours.
const BYTES_MAX: usize = 2000;
/// Sentences of one text that are tried one by one.
const JOINED_MAX: usize = 12;

static BOOK: LazyLock<Book> = LazyLock::new(|| Book::read(SENTENCES));

/// `sentence` as the person reads it; as it is where it is not one of ours.
pub fn say(lang: Lang, sentence: &str) -> Cow<'_, str> {
    match lang {
        Lang::En => Cow::Borrowed(sentence),
        Lang::Id if sentence.len() > BYTES_MAX => Cow::Borrowed(sentence),
        Lang::Id => BOOK
            .said(sentence, DEPTH)
            .map_or(Cow::Borrowed(sentence), Cow::Owned),
    }
}

/// A piece of a line: letters, or the place of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(&'static str),
    /// `again`: what stands here is looked up itself.
    Argument {
        index: usize,
        again: bool,
    },
}

/// The pieces of one side of a line. Braces around anything but a number are letters.
fn pieces(line: &'static str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(open) = line[from..].find('{').map(|at| from + at) {
        from = open + 1;
        let Some(close) = line[from..].find('}').map(|at| from + at) else {
            break;
        };
        let name = &line[from..close];
        let number = name.strip_suffix('*').unwrap_or(name);
        if let Ok(index) = number.parse() {
            if start < open {
                pieces.push(Piece::Text(&line[start..open]));
            }
            pieces.push(Piece::Argument {
                index,
                again: number.len() < name.len(),
            });
            start = close + 1;
            from = start;
        }
    }
    if start < line.len() {
        pieces.push(Piece::Text(&line[start..]));
    }
    pieces
}

#[derive(Debug)]
struct Template {
    english: Vec<Piece>,
    said: Vec<Piece>,
    /// Bytes of the English that do not vary.
    weight: usize,
}

impl Template {
    fn new(english: Vec<Piece>, said: Vec<Piece>) -> Self {
        let letters = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Argument { .. } => 0,
        };
        Self {
            weight: english.iter().map(letters).sum(),
            english,
            said,
        }
    }

    /// The whole word it begins with, if that does not vary.
    fn first_word(&self) -> Option<&'static str> {
        match self.english.first() {
            Some(Piece::Text(text)) => text.split_once(' ').map(|(word, _)| word),
            _ => None,
        }
    }

    /// The arguments by their numbers, where the sentence is one of this template. What stands
    /// before the first fixed letter is one word, or every text with a known ending would fit.
    fn arguments<'s>(&self, sentence: &'s str) -> Option<Vec<(usize, &'s str)>> {
        let mut arguments = Vec::new();
        let mut rest = sentence;
        let mut open: Option<usize> = None;
        let last = self.english.len().checked_sub(1)?;
        for (at, piece) in self.english.iter().enumerate() {
            match (piece, open) {
                (Piece::Argument { index, .. }, _) => open = Some(*index),
                (Piece::Text(text), None) => rest = rest.strip_prefix(text)?,
                (Piece::Text(text), Some(index)) => {
                    let end = if at == last {
                        rest.len().checked_sub(text.len())?
                    } else {
                        rest.find(text)?
                    };
                    let (argument, after) = rest.split_at_checked(end)?;
                    rest = after.strip_prefix(text)?;
                    if argument.is_empty() || (at == 1 && argument.contains(char::is_whitespace)) {
                        return None;
                    }
                    arguments.push((index, argument));
                    open = None;
                }
            }
        }
        match open {
            Some(index) => arguments.push((index, rest)),
            None if !rest.is_empty() => return None,
            None => {}
        }
        Some(arguments)
    }
}

/// A number as English groups it: 100,000.
fn is_grouped(argument: &str) -> bool {
    let mut groups = argument.split(',');
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let rest: Vec<&str> = groups.collect();
    (1..=3).contains(&first.len())
        && digits(first)
        && !rest.is_empty()
        && rest.iter().all(|group| group.len() == 3 && digits(group))
}

/// All lines, ready to be asked.
#[derive(Debug)]
struct Book {
    fixed: HashMap<&'static str, &'static str>,
    /// Those that vary, by their first word; the most telling first.
    by_word: HashMap<&'static str, Vec<Template>>,
    /// Those whose first word varies.
    others: Vec<Template>,
}

impl Book {
    fn read(lines: &'static str) -> Self {
        let mut book = Self {
            fixed: HashMap::new(),
            by_word: HashMap::new(),
            others: Vec::new(),
        };
        for (english, said) in entries(lines) {
            let parts = pieces(english);
            if matches!(parts.as_slice(), [Piece::Text(_)]) {
                book.fixed.insert(english, said);
                continue;
            }
            let template = Template::new(parts, pieces(said));
            match template.first_word() {
                Some(word) => book.by_word.entry(word).or_default().push(template),
                None => book.others.push(template),
            }
        }
        for templates in book.by_word.values_mut() {
            templates.sort_by_key(|template| std::cmp::Reverse(template.weight));
        }
        book.others
            .sort_by_key(|template| std::cmp::Reverse(template.weight));
        book
    }

    /// As a whole, else sentence by sentence; `None`: nothing of it is known.
    fn said(&self, text: &str, depth: u8) -> Option<String> {
        self.whole(text, depth).or_else(|| self.joined(text, depth))
    }

    fn whole(&self, text: &str, depth: u8) -> Option<String> {
        if let Some(said) = self.fixed.get(text) {
            return Some((*said).to_owned());
        }
        let word = text.split_once(' ').map_or(text, |(word, _)| word);
        let own = self.by_word.get(word).into_iter().flatten();
        own.chain(&self.others).find_map(|template| {
            let arguments = template.arguments(text)?;
            Some(self.filled(&template.said, &arguments, depth))
        })
    }

    fn filled(&self, said: &[Piece], arguments: &[(usize, &str)], depth: u8) -> String {
        let mut text = String::new();
        for piece in said {
            match piece {
                Piece::Text(letters) => text.push_str(letters),
                Piece::Argument { index, again } => {
                    let argument = arguments
                        .iter()
                        .find(|(number, _)| number == index)
                        .map_or("", |(_, argument)| *argument);
                    let known = if *again && depth > 0 {
                        self.said(argument, depth - 1)
                    } else {
                        None
                    };
                    match known {
                        Some(known) => text.push_str(&known),
                        None if is_grouped(argument) => text.push_str(&argument.replace(',', ".")),
                        None => text.push_str(argument),
                    }
                }
            }
        }
        text
    }

    /// Several sentences behind one another: the longest runs that are known, the rest as it is.
    fn joined(&self, text: &str, depth: u8) -> Option<String> {
        let ends = ends(text);
        if ends.len() < 2 || ends.len() > JOINED_MAX {
            return None;
        }
        let mut said = String::new();
        let mut any = false;
        let (mut start, mut next) = (0, 0);
        while next < ends.len() {
            let known = (next..ends.len()).rev().find_map(|last| {
                let run = &text[start..ends[last]];
                let whole = self.whole(run.trim_end(), depth)?;
                Some((last, format!("{whole}{}", &run[run.trim_end().len()..])))
            });
            any |= known.is_some();
            let (last, words) = known.unwrap_or_else(|| (next, text[start..ends[next]].to_owned()));
            said.push_str(&words);
            start = ends[last];
            next = last + 1;
        }
        any.then_some(said)
    }
}

/// Where the sentences of a text end, the space after them included.
fn ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut before = ' ';
    for (at, letter) in text.char_indices() {
        if letter == '\n' || (letter == ' ' && matches!(before, '.' | '?' | '!')) {
            ends.push(at + 1);
        }
        before = letter;
    }
    if ends.last() != Some(&text.len()) {
        ends.push(text.len());
    }
    ends
}

fn entries(lines: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" => "))
        .map(|(english, said)| (english.trim(), said.trim()))
}

#[cfg(test)]
#[path = "sentences_tests.rs"]
mod tests;
