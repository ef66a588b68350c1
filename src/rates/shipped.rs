//! The card every company begins with, read from `card.txt`.
//!
//! Invariant: every country has a price.

use std::collections::HashMap;

use chrono::NaiveDate;

use super::input::micros;
use super::{Card, Prices};
use crate::text::country;

const CARD: &str = include_str!("card.txt");
const SINCE: (i32, u32, u32) = (2025, 7, 1);
const SOURCE: &str = "Meta's rate card of 1 July 2025, as docs.sent.dm publishes it";

/// Countries and prices; `*` are those that stand nowhere else.
fn lines() -> impl Iterator<Item = (Prices, &'static str)> {
    CARD.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut parts = line.splitn(4, ' ');
            let mut price = || parts.next().and_then(|text| micros(text).ok());
            let (marketing, utility, authentication) = (price()?, price()?, price()?);
            let prices = Prices {
                marketing,
                utility,
                authentication,
                service: utility,
            };
            Some((prices, parts.next()?))
        })
}

/// The card that is shipped.
pub(super) fn card() -> Card {
    let mut prices: HashMap<String, Prices> = HashMap::new();
    let mut other = Prices::default();
    for (market, countries) in lines() {
        if countries == "*" {
            other = market;
        } else {
            let each = countries.split(' ').map(|code| (code.to_owned(), market));
            prices.extend(each);
        }
    }
    for (code, _) in country::ALL {
        prices.entry((*code).to_owned()).or_insert(other);
    }
    let (year, month, day) = SINCE;
    Card {
        currency: "USD".to_owned(),
        since: NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default(),
        source: SOURCE.to_owned(),
        prices,
    }
}
