//! Words of the panel in English and Indonesian, and how numbers and dates are written.
//!
//! The two catalogues are compiled in. They are plain lines, `noun.thing = text`, so that a wrong
//! line spoils nothing but itself; `{0}`, `{1}` … stand for arguments, a `#` begins a comment.
//! Invariants, kept by the tests below: both have the same keys with the same placeholders, and no
//! text is empty. A key that is missing shows itself: ugly, and found at once.
//!
//! What the domain says in sentences of its own is found by the sentence: [`say`].
//!
//! Knows nothing of pages; the text of people (names, messages) never comes through here.

mod sentences;

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{DateTime, Datelike as _, Utc};
use chrono_tz::Tz;

pub use sentences::say;

const ENGLISH: &str = include_str!("en.properties");
const INDONESIAN: &str = include_str!("id.properties");

type Catalogue = HashMap<&'static str, &'static str>;

static EN: LazyLock<Catalogue> = LazyLock::new(|| catalogue(ENGLISH));
static ID: LazyLock<Catalogue> = LazyLock::new(|| catalogue(INDONESIAN));

/// A language of the panel; English where nobody chose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lang {
    #[default]
    En,
    Id,
}

impl Lang {
    pub const ALL: [Self; 2] = [Self::En, Self::Id];

    /// The tag in `<html lang>` and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Id => "id",
        }
    }

    /// The language's name in itself.
    pub fn own_name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Id => "Bahasa Indonesia",
        }
    }

    /// The first language we speak in a tag or an `Accept-Language` header, else English.
    pub fn parse(text: &str) -> Self {
        text.split(',')
            .find_map(|part| match part.trim().get(..2) {
                Some("en") => Some(Self::En),
                Some("id") => Some(Self::Id),
                _ => None,
            })
            .unwrap_or_default()
    }
}

fn catalogue(text: &'static str) -> Catalogue {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, text)| (key.trim(), text.trim()))
        .collect()
}

/// The text behind `key`; English where the language has none, the key itself where nobody has.
pub fn t(lang: Lang, key: &str) -> &str {
    let own = match lang {
        Lang::En => None,
        Lang::Id => ID.get(key),
    };
    own.or_else(|| EN.get(key)).copied().unwrap_or(key)
}

/// Whether the catalogue has this key.
pub fn has(key: &str) -> bool {
    EN.contains_key(key)
}

/// Like [`t`], with `{0}`, `{1}` … filled in. An argument is never searched for placeholders.
pub fn tf(lang: Lang, key: &str, arguments: &[&str]) -> String {
    let mut rest = t(lang, key);
    let mut filled = String::with_capacity(rest.len() + 16);
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let argument = after
            .split_once('}')
            .and_then(|(index, after)| Some((arguments.get(index.parse::<usize>().ok()?)?, after)));
        match argument {
            Some((argument, after)) => {
                filled.push_str(argument);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// `key.one` or `key.other`, with `{0}` the number as people write it.
pub fn tn(lang: Lang, key: &str, count: i64) -> String {
    let form = if count == 1 { "one" } else { "other" };
    tf(lang, &format!("{key}.{form}"), &[&number(lang, count)])
}

/// 12,480 in English, 12.480 in Indonesian.
pub fn number(lang: Lang, value: i64) -> String {
    let separator = match lang {
        Lang::En => ',',
        Lang::Id => '.',
    };
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

/// `part` of `whole` as "71.8 %", whole per cents from 10 up where `fine` is false; "–" of nothing.
pub fn percent(lang: Lang, part: i64, whole: i64, fine: bool) -> String {
    if whole <= 0 {
        return "–".to_owned();
    }
    let share = 100.0 * part as f64 / whole as f64;
    let text = if fine || (share > 0.0 && share < 1.0) {
        format!("{share:.1}")
    } else {
        format!("{share:.0}")
    };
    let text = match lang {
        Lang::En => text,
        Lang::Id => text.replace('.', ","),
    };
    format!("{text}\u{a0}%")
}

fn month(lang: Lang, instant: &DateTime<Tz>) -> &'static str {
    t(lang, "date.months")
        .split(' ')
        .nth(instant.month0() as usize)
        .unwrap_or("")
}

/// "23 Nov 09:41", with the year only where it is not `now`'s.
pub fn date(lang: Lang, zone: Tz, now: DateTime<Utc>, instant: &DateTime<Utc>) -> String {
    let there = instant.with_timezone(&zone);
    let day = there.day();
    let month = month(lang, &there);
    if there.year() == now.with_timezone(&zone).year() {
        format!("{day} {month} {}", there.format("%H:%M"))
    } else {
        format!("{day} {month} {} {}", there.year(), there.format("%H:%M"))
    }
}

/// "23 Nov", with the year only where it is not `now`'s.
pub fn day(lang: Lang, zone: Tz, now: DateTime<Utc>, instant: &DateTime<Utc>) -> String {
    let text = date(lang, zone, now, instant);
    text.rsplit_once(' ')
        .map_or(text.clone(), |(day, _)| day.to_owned())
}

/// "2026-11" as "Nov 2026", "2026-11-23" as "23 Nov 2026"; anything else as it is.
pub fn calendar(lang: Lang, value: &str) -> String {
    let mut parts = value.split('-');
    let year = parts.next().unwrap_or("");
    let month = parts
        .next()
        .and_then(|month| month.parse::<usize>().ok())
        .and_then(|month| t(lang, "date.months").split(' ').nth(month.checked_sub(1)?));
    match (month, parts.next()) {
        (None, _) => value.to_owned(),
        (Some(month), None) => format!("{month} {year}"),
        (Some(month), Some(day)) => format!("{} {month} {year}", day.trim_start_matches('0')),
    }
}

/// "23 Nov 2026 09:41:07, Asia/Jakarta".
pub fn instant(lang: Lang, zone: Tz, instant: &DateTime<Utc>) -> String {
    let there = instant.with_timezone(&zone);
    format!(
        "{} {} {} {}, {zone}",
        there.day(),
        month(lang, &there),
        there.year(),
        there.format("%H:%M:%S")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use chrono::TimeZone as _;

    use super::*;

    fn entries(text: &'static str) -> BTreeMap<&'static str, &'static str> {
        let mut entries = BTreeMap::new();
        for line in text.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let (key, text) = line
                .split_once('=')
                .unwrap_or_else(|| panic!("no `=` in: {line}"));
            let (key, text) = (key.trim(), text.trim());
            assert!(!text.is_empty(), "{key} has no text");
            assert!(entries.insert(key, text).is_none(), "{key} stands twice");
        }
        entries
    }

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}'))
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn i18n_both_catalogues_have_the_same_keys_and_placeholders() {
        let (english, indonesian) = (entries(ENGLISH), entries(INDONESIAN));
        let keys =
            |entries: &BTreeMap<&'static str, _>| entries.keys().copied().collect::<BTreeSet<_>>();
        let (en, id) = (keys(&english), keys(&indonesian));
        assert_eq!(
            en.difference(&id).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "only in en"
        );
        assert_eq!(
            id.difference(&en).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "only in id"
        );
        for (key, text) in &english {
            assert_eq!(placeholders(text), placeholders(indonesian[key]), "{key}");
        }
    }

    /// Things that are counted.
    const COUNTED: [&str; 22] = [
        "contacts",
        "messages",
        "people",
        "mailings",
        "rows",
        "records",
        "recipients",
        "lists",
        "members",
        "seconds",
        "minutes",
        "days",
        "files",
        "columns",
        "accounts",
        "users",
        "replies",
        "characters",
        "templates",
        "fields",
        "companies",
        "values",
    ];
    /// Where the number is never one: ready-made paces, longest texts, Meta's limits of people, "more than
    /// 10,000"; or where what follows is no number.
    const NEVER_ONE: [&str; 8] = [
        "sending.filled_warm_up",
        "mailings.test_long",
        "banners.resting_many",
        "contacts.check.not_on_whatsapp",
        "number.limit_people",
        "pace.reached",
        "mailings.reach_more",
        "mailings.reach_of",
    ];

    #[test]
    fn i18n_what_is_counted_has_a_word_for_one() {
        for catalogue in [ENGLISH, INDONESIAN] {
            let all = entries(catalogue);
            for key in all.keys() {
                for (form, other) in [(".one", ".other"), (".other", ".one")] {
                    if let Some(stem) = key.strip_suffix(form) {
                        let pair = format!("{stem}{other}");
                        assert!(all.contains_key(pair.as_str()), "{key} without {pair}");
                    }
                }
            }
        }
        let all = entries(ENGLISH);
        for (key, text) in &all {
            let said: Vec<&str> = text
                .split(|letter: char| !letter.is_alphanumeric() && !"{}".contains(letter))
                .filter(|word| !word.is_empty())
                .collect();
            let counts = said.windows(3).any(|words| {
                let is_number = words[0].starts_with('{') && words[0].ends_with('}');
                is_number && words[1..].iter().any(|word| COUNTED.contains(word))
            }) || said
                .windows(2)
                .any(|words| words[0].starts_with('{') && COUNTED.contains(&words[1]));
            if key.ends_with(".one") {
                assert!(!counts, "{key}: one is told as many: {text}");
            } else if !key.ends_with(".other") && !NEVER_ONE.contains(key) {
                assert!(!counts, "{key} has no .one: {text}");
            }
        }
    }

    #[test]
    fn i18n_every_counted_key_of_the_sources_is_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut folders = vec![root.join("src/web"), root.join("templates")];
        let (all, mut seen) = (entries(ENGLISH), 0);
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().flatten() {
                let path = path.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                for call in [".tn(\"", ".tnf(\""] {
                    for rest in text.split(call).skip(1) {
                        let key = rest.split('"').next().unwrap_or_default();
                        let one = format!("{key}.one");
                        assert!(
                            all.contains_key(one.as_str()),
                            "{key} in {}",
                            path.display()
                        );
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn i18n_twelve_months_in_every_language() {
        for lang in Lang::ALL {
            assert_eq!(t(lang, "date.months").split(' ').count(), 12);
        }
    }

    #[test]
    fn i18n_a_missing_key_shows_itself() {
        assert_eq!(t(Lang::Id, "nobody.knows.this"), "nobody.knows.this");
    }

    #[test]
    fn i18n_arguments_are_filled_once() {
        assert_eq!(
            tf(Lang::En, "{0} of {1}, {2}", &["{1}", "9"]),
            "{1} of 9, {2}"
        );
        assert_eq!(tf(Lang::En, "open { brace", &[]), "open { brace");
    }

    #[test]
    fn i18n_numbers_are_grouped_by_language() {
        assert_eq!(number(Lang::En, 1_234_567), "1,234,567");
        assert_eq!(number(Lang::Id, -12_480), "-12.480");
        assert_eq!(number(Lang::En, 999), "999");
        assert_eq!(percent(Lang::En, 718, 1000, true), "71.8\u{a0}%");
        assert_eq!(percent(Lang::Id, 9, 1000, false), "0,9\u{a0}%");
        assert_eq!(percent(Lang::En, 1, 0, false), "–");
    }

    #[test]
    fn i18n_the_year_is_named_only_when_it_is_another() {
        let now = Utc.with_ymd_and_hms(2026, 11, 24, 2, 0, 0).unwrap();
        let then = Utc.with_ymd_and_hms(2026, 11, 23, 2, 41, 7).unwrap();
        let zone = chrono_tz::Asia::Jakarta;
        assert_eq!(date(Lang::En, zone, now, &then), "23 Nov 09:41");
        assert_eq!(
            instant(Lang::En, zone, &then),
            "23 Nov 2026 09:41:07, Asia/Jakarta"
        );
        let before = Utc.with_ymd_and_hms(2025, 5, 1, 2, 0, 0).unwrap();
        assert_eq!(date(Lang::Id, zone, now, &before), "1 Mei 2025 09:00");
        assert_eq!(day(Lang::En, zone, now, &then), "23 Nov");
    }

    #[test]
    fn i18n_the_first_language_we_speak_is_taken() {
        assert_eq!(Lang::parse("id-ID,id;q=0.9,en;q=0.8"), Lang::Id);
        assert_eq!(Lang::parse("fr-FR, en"), Lang::En);
        assert_eq!(Lang::parse(""), Lang::En);
    }
}
