//! Numbering plans: which E.164 digits are numbers, and of which country.
//!
//! The tables are libphonenumber's, as crate `phonenumber` carries them; the patterns are matched here,
//! each against the whole number, compiled once per country. The crate's own check accepts a number
//! whose beginning matches, and shares one small locked cache of patterns, which an import of mixed
//! countries would spend its time refilling.
//!
//! Knows nothing of how people write numbers.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor};
use regex::{Regex, RegexBuilder};

/// How long digits are against what their country allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Short,
    Fits,
    Long,
}

/// The plan of one country.
pub(super) struct Plan {
    pub id: &'static str,
    pub code: u16,
    /// What stands before a number dialled within the country, where nothing but leaving it away makes
    /// the number international.
    pub trunk: Option<&'static str>,
    /// Of several countries with one code: the numbers that are this one's.
    leading: Option<Regex>,
    general: Kind,
    kinds: Vec<Kind>,
}

/// Numbers of one kind: mobile, fixed line and so on.
struct Kind {
    whole: Option<Regex>,
    lengths: &'static [u16],
}

impl Kind {
    fn new(descriptor: &'static Descriptor) -> Self {
        Self {
            whole: pattern(&format!("^(?:{})$", descriptor.national_number().as_str())),
            lengths: descriptor.possible_length(),
        }
    }

    fn matches(&self, national: &str) -> bool {
        let fits = self.lengths.is_empty()
            || self
                .lengths
                .iter()
                .any(|length| usize::from(*length) == national.len());
        fits && self
            .whole
            .as_ref()
            .is_some_and(|whole| whole.is_match(national))
    }
}

impl Plan {
    fn new(meta: &'static Metadata) -> Self {
        let kinds = [
            meta.descriptors().mobile(),
            meta.descriptors().fixed_line(),
            meta.descriptors().voip(),
            meta.descriptors().toll_free(),
            meta.descriptors().premium_rate(),
            meta.descriptors().shared_cost(),
            meta.descriptors().personal_number(),
            meta.descriptors().pager(),
            meta.descriptors().uan(),
            meta.descriptors().voicemail(),
        ];
        let trunk = meta.national_prefix().filter(|prefix| {
            meta.national_prefix_transform_rule().is_none()
                && meta
                    .national_prefix_for_parsing()
                    .is_none_or(|parsing| parsing.as_str() == *prefix)
        });
        Self {
            id: meta.id(),
            code: meta.country_code(),
            trunk,
            leading: meta
                .leading_digits()
                .and_then(|leading| pattern(&format!("^(?:{})", leading.as_str()))),
            general: Kind::new(meta.descriptors().general()),
            kinds: kinds.into_iter().flatten().map(Kind::new).collect(),
        }
    }

    fn holds(&self, national: &str) -> bool {
        self.general.matches(national) && self.kinds.iter().any(|kind| kind.matches(national))
    }
}

fn pattern(text: &str) -> Option<Regex> {
    // The tables are ASCII, laid out with blanks.
    RegexBuilder::new(text)
        .ignore_whitespace(true)
        .unicode(false)
        .build()
        .ok()
}

struct Entry {
    meta: &'static Metadata,
    plan: OnceLock<Plan>,
}

impl Entry {
    fn plan(&self) -> &Plan {
        self.plan.get_or_init(|| Plan::new(self.meta))
    }
}

/// Country code to the plans that share it, the main country first.
static PLANS: LazyLock<HashMap<u16, Vec<Entry>>> = LazyLock::new(|| {
    let mut plans: HashMap<u16, Vec<Entry>> = HashMap::new();
    for code in 1..1000_u16 {
        let Some(mut metas) = DATABASE.by_code(&code) else {
            continue;
        };
        let regions = DATABASE.region(&code).unwrap_or_default();
        metas.sort_by_key(|meta| regions.iter().position(|region| *region == meta.id()));
        let entries = metas.into_iter().map(|meta| Entry {
            meta,
            plan: OnceLock::new(),
        });
        plans.insert(code, entries.collect());
    }
    plans
});

/// ISO code to country code, to find a plan by its country.
static CODES: LazyLock<HashMap<&'static str, u16>> = LazyLock::new(|| {
    DATABASE
        .iter()
        .filter(|meta| meta.id() != "001")
        .map(|meta| (meta.id(), meta.country_code()))
        .collect()
});

/// The plan of a country by its ISO code in capitals.
pub(super) fn of_country(id: &str) -> Option<&'static Plan> {
    let entries = PLANS.get(CODES.get(id)?)?;
    entries
        .iter()
        .find(|entry| entry.meta.id() == id)
        .map(Entry::plan)
}

/// The plans of a number's country code, and the rest of the number. No code begins another.
fn split(digits: &str) -> Option<(&'static [Entry], &str)> {
    (1..=3).find_map(|length| {
        let (code, national) = digits.split_at_checked(length)?;
        let code: u16 = if code.starts_with('0') {
            return None;
        } else {
            code.parse().ok()?
        };
        PLANS
            .get(&code)
            .map(|entries| (entries.as_slice(), national))
    })
}

/// The plan a number is valid in; `digits` begin with a country code.
pub(super) fn of_number(digits: &str) -> Option<&'static Plan> {
    // E.164 ends at fifteen digits, whatever longer service numbers a country has at home.
    if digits.len() > 15 {
        return None;
    }
    let (entries, national) = split(digits)?;
    if let [only] = entries {
        return Some(only.plan()).filter(|plan| plan.holds(national));
    }
    for entry in entries {
        let plan = entry.plan();
        match &plan.leading {
            Some(leading) if leading.is_match(national) => {
                return plan.holds(national).then_some(plan);
            }
            Some(_) => {}
            None if plan.holds(national) => return Some(plan),
            None => {}
        }
    }
    None
}

/// How long a number is against its main country's plan; `None` when no country has this code.
pub(super) fn length(digits: &str) -> Option<Length> {
    let (entries, national) = split(digits)?;
    // The tables leave the lengths of all kinds together to be gathered.
    let plan = entries.first()?.plan();
    let lengths = || plan.kinds.iter().flat_map(|kind| kind.lengths);
    let count = national.len();
    let least = usize::from(*lengths().min()?);
    let most = usize::from(*lengths().max()?);
    Some(match count {
        _ if count < least => Length::Short,
        _ if count > most => Length::Long,
        _ => Length::Fits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_of_the_tables_is_a_number_of_its_country() {
        let mut tried = 0;
        for meta in DATABASE.iter() {
            let kinds = [
                meta.descriptors().mobile(),
                meta.descriptors().fixed_line(),
                meta.descriptors().toll_free(),
            ];
            for example in kinds.into_iter().flatten().filter_map(Descriptor::example) {
                let digits = format!("{}{example}", meta.country_code());
                let found = of_number(&digits).unwrap_or_else(|| panic!("{} {digits}", meta.id()));
                // Guernsey, Jersey, the United States and such share examples with their neighbors.
                if PLANS[&meta.country_code()].len() == 1 {
                    assert_eq!(found.id, meta.id(), "{digits}");
                }
                tried += 1;
            }
        }
        assert!(tried > 500, "{tried}");
    }

    #[test]
    fn the_main_country_of_a_code_comes_first() {
        for entries in PLANS.values().filter(|entries| entries.len() > 1) {
            let main = entries[0].meta;
            assert!(main.is_main_country_for_code(), "{}", main.id());
        }
    }

    #[test]
    fn every_pattern_of_the_tables_compiles() {
        for entry in PLANS.values().flatten() {
            let plan = entry.plan();
            assert_eq!(
                plan.leading.is_some(),
                entry.meta.leading_digits().is_some(),
                "{}",
                plan.id
            );
            assert!(plan.general.whole.is_some(), "{}", plan.id);
            assert!(
                plan.kinds.iter().all(|kind| kind.whole.is_some()),
                "{}",
                plan.id
            );
        }
    }

    #[test]
    fn countries_that_share_a_code_are_told_apart() {
        for (digits, id) in [
            ("14155552671", "US"),
            ("14165550123", "CA"),
            ("18765550123", "JM"),
            ("447400123456", "GB"),
            ("447781123456", "GG"),
            ("79123456789", "RU"),
            ("77012345678", "KZ"),
            ("390236618300", "IT"),
        ] {
            assert_eq!(of_number(digits).map(|plan| plan.id), Some(id), "{digits}");
        }
    }

    #[test]
    fn a_number_that_only_begins_like_one_is_none() {
        for digits in [
            "",
            "6",
            "62",
            "0812",
            "62812345678901234",
            "1415555267",
            "141555526711",
            "9991234567",
        ] {
            assert!(of_number(digits).is_none(), "{digits}");
        }
        assert_eq!(length("62812"), Some(Length::Short));
        assert_eq!(length("141555526712"), Some(Length::Long));
        assert_eq!(length("99912345"), None);
    }
}
