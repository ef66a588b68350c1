//! Text: numbers, WhatsApp's markup, placeholders, opt-out words. Pure; knows nobody.

pub mod country;
mod country_names;
mod entity;
mod html;
pub mod keyword;
pub mod markup;
pub mod merge;
mod numbering;
pub mod phone;
mod written;
pub mod zones;

/// A value as a form shows it; blank where there is none.
pub fn or_blank<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
