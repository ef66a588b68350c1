//! What Meta charges: the rate card of a company, what a mailing will cost by it, what delivered messages did.
//!
//! Invariants: money is whole millionths of the card's currency, never a float; a company that changed nothing has
//! the card that is shipped (`card.txt`, with its source); what was delivered keeps the price of its moment,
//! whatever the card says later. Owns `rate_cards`, `rates` and `charges`. Knows no invoice: Meta's own counts.

pub mod charges;
pub mod input;
pub mod list;
pub mod query;
mod shipped;

use std::collections::HashMap;
use std::fmt;

use chrono::NaiveDate;

use crate::text::zones;

/// Millionths of a currency's unit.
pub type Micros = i64;

/// What Meta charges a message as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    Marketing,
    Utility,
    Authentication,
    /// Free text in an open window; charged since 1 October 2026.
    Service,
}

impl Category {
    /// From Meta's words for templates and in statuses; `marketing_lite` and the like count as what they begin with.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        [
            ("marketing", Self::Marketing),
            ("utility", Self::Utility),
            ("authentication", Self::Authentication),
            ("service", Self::Service),
        ]
        .into_iter()
        .find_map(|(begins, category)| word.starts_with(begins).then_some(category))
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Utility => "utility",
            Self::Authentication => "authentication",
            Self::Service => "service",
        }
    }
}

/// Prices of one country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prices {
    pub marketing: Micros,
    pub utility: Micros,
    pub authentication: Micros,
    pub service: Micros,
}

impl Prices {
    pub fn of(&self, category: Category) -> Micros {
        match category {
            Category::Marketing => self.marketing,
            Category::Utility => self.utility,
            Category::Authentication => self.authentication,
            Category::Service => self.service,
        }
    }
}

/// A company's prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// ISO 4217.
    pub currency: String,
    /// From when Meta asks these prices.
    pub since: NaiveDate,
    pub source: String,
    pub prices: HashMap<String, Prices>,
}

impl Card {
    /// The price of one message to a number; `None`: its country is not known, or has no price.
    pub fn price(&self, digits: &str, category: Category) -> Option<Micros> {
        let country = zones::region_of(digits)?;
        self.prices.get(country).map(|prices| prices.of(category))
    }

    /// What messages to so many people cost, by what their numbers begin with.
    pub fn estimate(&self, category: Category, people: &[(String, i64)]) -> Estimate {
        let mut estimate = Estimate {
            currency: self.currency.clone(),
            since: self.since,
            category,
            micros: 0,
            without_price: 0,
        };
        for (head, n) in people {
            match self.price(head, category) {
                Some(price) => estimate.micros += price * n,
                None => estimate.without_price += n,
            }
        }
        estimate
    }
}

/// What a mailing would cost if everybody got it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Estimate {
    /// ISO 4217, of the rate card.
    #[schema(example = "USD")]
    pub currency: String,
    /// Millionths of the currency.
    #[schema(example = 20_467_800)]
    pub micros: i64,
    pub category: Category,
    /// From when the card's prices hold.
    #[schema(example = "2025-07-01")]
    pub since: NaiveDate,
    /// People whose country has no price; they are not in the sum.
    #[schema(example = 0)]
    pub without_price: i64,
}

/// An amount as people read it: two decimals, more where it is small.
#[derive(Debug, Clone, Copy)]
pub struct Amount(pub Micros);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (decimals, unit) = if self.0 != 0 && self.0 < 1_000_000 {
            (4, 100)
        } else {
            (2, 10_000)
        };
        let rounded = (self.0 + unit / 2) / unit;
        let scale = 10_i64.pow(decimals);
        let width = decimals as usize;
        write!(f, "{}.{:0width$}", rounded / scale, rounded % scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_card_knows_every_country() {
        let card = shipped::card();
        for (code, name) in crate::text::country::ALL {
            assert!(card.prices.contains_key(*code), "{name}");
        }
        assert_eq!(card.prices["ID"].marketing, 41_100);
        assert_eq!(card.prices["ID"].service, card.prices["ID"].utility);
        // Nothing of a market is a country nobody knows.
        assert_eq!(card.prices.len(), crate::text::country::ALL.len());
    }

    #[test]
    fn a_number_has_the_price_of_its_country() {
        let card = shipped::card();
        let price = |digits: &str| card.price(digits, Category::Marketing);
        assert_eq!(price("6281234567890"), Some(41_100));
        assert_eq!(price("12025550123"), Some(25_000), "United States");
        assert_eq!(price("14165550123"), Some(25_000), "Canada");
        assert_eq!(price("18765550123"), Some(74_000), "Jamaica");
        assert_eq!(price("77011234567"), Some(60_400), "Kazakhstan");
        assert_eq!(price("79161234567"), Some(80_200), "Russia");
        assert_eq!(price("870773123456"), None, "a satellite");
    }

    #[test]
    fn an_estimate_adds_up_and_tells_who_is_not_in_it() {
        let card = shipped::card();
        let people = [
            ("6281".to_owned(), 1000),
            ("4917".to_owned(), 2),
            ("8707".to_owned(), 3),
            (String::new(), 4),
        ];
        let estimate = card.estimate(Category::Marketing, &people);
        assert_eq!(estimate.micros, 41_100 * 1000 + 136_500 * 2);
        assert_eq!(estimate.without_price, 7);
    }

    #[test]
    fn amounts_are_read_with_two_decimals_and_small_ones_with_four() {
        let said = |micros| Amount(micros).to_string();
        assert_eq!(said(0), "0.00");
        assert_eq!(said(41_100), "0.0411");
        assert_eq!(said(999_999), "1.0000");
        assert_eq!(said(20_467_800), "20.47");
        assert_eq!(said(1_234_567_890_123), "1234567.89");
    }

    #[test]
    fn meta_s_words_are_categories() {
        assert_eq!(Category::parse("MARKETING"), Some(Category::Marketing));
        assert_eq!(Category::parse("marketing_lite"), Some(Category::Marketing));
        assert_eq!(
            Category::parse("authentication-international"),
            Some(Category::Authentication)
        );
        assert_eq!(Category::parse("referral_conversion"), None);
    }
}
