//! Prices as people type them and as files bring them.
//!
//! Invariant: a price is read exactly or not at all.

use chrono::NaiveDate;

use super::{Card, Micros, Prices};
use crate::error::FieldErrors;
use crate::text::country;

/// Nobody pays a thousand for a message.
const PRICE_MAX: Micros = 1_000_000_000;
const SOURCE_MAX: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPrice;

/// "0.0411", "0,0411" or "12" as millionths.
pub fn micros(text: &str) -> Result<Micros, NoPrice> {
    let text = text.trim().replace(',', ".");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() || whole.len() > 4 || part.len() > 6 || !digits(whole) || !digits(part) {
        return Err(NoPrice);
    }
    if whole.is_empty() && part.is_empty() {
        return Err(NoPrice);
    }
    let number = |text: &str| -> Micros { text.parse().unwrap_or_default() };
    let micros = number(whole) * 1_000_000 + number(&format!("{part:0<6}"));
    if micros > PRICE_MAX {
        return Err(NoPrice);
    }
    Ok(micros)
}

/// A price as a field shows it: as few decimals as it has, four at least.
pub fn typed(micros: Micros) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let cut = text.trim_end_matches('0');
    let least = text.len() - 2;
    if cut.len() < least {
        text[..least].to_owned()
    } else {
        cut.to_owned()
    }
}

/// The prices of one country, as its form has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct RateInput {
    pub marketing: String,
    pub utility: String,
    pub authentication: String,
    pub service: String,
}

impl RateInput {
    pub fn of(prices: &Prices) -> Self {
        Self {
            marketing: typed(prices.marketing),
            utility: typed(prices.utility),
            authentication: typed(prices.authentication),
            service: typed(prices.service),
        }
    }

    pub fn check(&self) -> Result<Prices, FieldErrors> {
        let mut errors = FieldErrors::default();
        let mut price = |field: &str, text: &str| {
            micros(text).unwrap_or_else(|NoPrice| {
                errors.add(
                    field,
                    "Enter a price from 0 to 1,000 with at most six decimals, for example 0.0411.",
                );
                0
            })
        };
        let prices = Prices {
            marketing: price("marketing", &self.marketing),
            utility: price("utility", &self.utility),
            authentication: price("authentication", &self.authentication),
            service: price("service", &self.service),
        };
        if errors.is_empty() {
            Ok(prices)
        } else {
            Err(errors)
        }
    }
}

/// The card itself: currency, date, source, and prices pasted from a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default)]
pub struct CardInput {
    pub currency: String,
    /// `2026-10-01`.
    pub since: String,
    pub source: String,
    /// A line for each country: code or name, marketing, utility, authentication, service; empty: prices stay.
    pub prices: String,
}

impl CardInput {
    pub fn of(card: &Card) -> Self {
        Self {
            currency: card.currency.clone(),
            since: card.since.to_string(),
            source: card.source.clone(),
            prices: String::new(),
        }
    }

    /// The card, with the prices of its lines alone.
    pub fn check(&self) -> Result<Card, FieldErrors> {
        let mut errors = FieldErrors::default();
        let currency = self.currency.trim().to_uppercase();
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            errors.add(
                "currency",
                "Enter the three letters of a currency, for example USD.",
            );
        }
        let since = self.since.trim().parse::<NaiveDate>().ok();
        let since = since.filter(|date| (2000..2200).contains(&chrono::Datelike::year(date)));
        if since.is_none() {
            errors.add("since", "Enter the day from which Meta asks these prices.");
        }
        let source = self.source.trim();
        if source.is_empty() || source.chars().count() > SOURCE_MAX {
            errors.add(
                "source",
                "Say in at most 200 letters where the prices come from.",
            );
        }
        let mut prices = std::collections::HashMap::new();
        let lines = self.prices.lines().filter(|line| !line.trim().is_empty());
        for (at, text) in lines.enumerate() {
            match line(text) {
                Ok((country, price)) => {
                    prices.insert(country.to_owned(), price);
                }
                // A first line of titles.
                Err(_) if at == 0 && !text.contains(|letter: char| letter.is_ascii_digit()) => {}
                Err(fault) => {
                    errors.add("prices", fault.sentence(text));
                    break;
                }
            }
        }
        if errors.is_empty() {
            Ok(Card {
                currency,
                since: since.unwrap_or_default(),
                source: source.to_owned(),
                prices,
            })
        } else {
            Err(errors)
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum LineFault {
    Country,
    Prices,
}

impl LineFault {
    fn sentence(self, line: &str) -> String {
        let line: String = line.trim().chars().take(60).collect();
        match self {
            Self::Country => {
                format!("A country is not known. Write its code or its English name: {line}")
            }
            Self::Prices => format!(
                "Each line is a country and three or four prices, as in: ID; 0.0411; 0.0200; 0.0200. This one is not: {line}"
            ),
        }
    }
}

/// One line of a table: country, then three prices or four. Tabs, semicolons or commas stand between; in a line cut
/// by commas decimals are written with a point.
fn line(text: &str) -> Result<(&'static str, Prices), LineFault> {
    let between = ['\t', ';']
        .into_iter()
        .find(|sign| text.contains(*sign))
        .unwrap_or(',');
    let mut cells = text
        .split(between)
        .map(|cell| cell.trim().trim_matches('"'));
    let country = cells.next().and_then(country::by_name);
    let country = country.ok_or(LineFault::Country)?;
    let prices = cells
        .filter(|cell| !cell.is_empty())
        .map(|cell| micros(cell.trim_start_matches('$')))
        .collect::<Result<Vec<Micros>, NoPrice>>()
        .map_err(|NoPrice| LineFault::Prices)?;
    let (marketing, utility, authentication, service) = match *prices.as_slice() {
        [marketing, utility, authentication] => (marketing, utility, authentication, utility),
        [marketing, utility, authentication, service] => {
            (marketing, utility, authentication, service)
        }
        _ => return Err(LineFault::Prices),
    };
    let prices = Prices {
        marketing,
        utility,
        authentication,
        service,
    };
    Ok((country, prices))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_exactly_or_not_at_all() {
        assert_eq!(micros("0.0411"), Ok(41_100));
        assert_eq!(micros(" 0,0411 "), Ok(41_100));
        assert_eq!(micros("12"), Ok(12_000_000));
        assert_eq!(micros(".5"), Ok(500_000));
        assert_eq!(micros("1000"), Ok(1_000_000_000));
        for wrong in [
            "",
            ".",
            "-1",
            "1e3",
            "0.1234567",
            "1000.000001",
            "99999",
            "x",
            "1.2.3",
            "½",
        ] {
            assert_eq!(micros(wrong), Err(NoPrice), "{wrong}");
        }
        for text in ["0.0411", "0.0004", "12.00", "0.123456", "0.00"] {
            assert_eq!(
                micros(&typed(micros(text).unwrap())),
                micros(text),
                "{text}"
            );
        }
        assert_eq!(typed(20_000), "0.0200");
        assert_eq!(typed(123_456), "0.123456");
    }

    #[test]
    fn a_table_is_pasted_with_its_titles() {
        let input = CardInput {
            currency: "idr".to_owned(),
            since: "2026-10-01".to_owned(),
            source: "Meta".to_owned(),
            prices: "Country\tMarketing\tUtility\tAuthentication\nIndonesia\t586.33\t356.65\t356.65\n\nMY\t1\t2\t3\t4".to_owned(),
        };
        let card = input.check().unwrap();
        assert_eq!(card.currency, "IDR");
        assert_eq!(card.prices.len(), 2);
        assert_eq!(card.prices["ID"].service, 356_650_000);
        assert_eq!(card.prices["MY"].service, 4_000_000);
        let faulty = CardInput {
            prices: "Atlantis; 1; 2; 3".to_owned(),
            ..input.clone()
        };
        assert_eq!(faulty.check().unwrap_err().of("prices").len(), 1);
        let faulty = CardInput {
            prices: "ID; 1; 2".to_owned(),
            since: "soon".to_owned(),
            ..input
        };
        let errors = faulty.check().unwrap_err();
        assert_eq!(
            (errors.of("prices").len(), errors.of("since").len()),
            (1, 1)
        );
    }
}
