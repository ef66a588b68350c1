//! One field of the account's form: from what was typed to its value, or the sentence that stands there.

use secrecy::SecretString;
use url::Url;

use crate::error::FieldErrors;
use crate::text::merge;

/// Of an address, also as it is written out.
pub(super) const ADDRESS_MAX: usize = 1000;

/// One of a few words; nothing typed is the default.
pub(super) fn one_of(
    value: &str,
    allowed: &'static [&'static str],
    default: &'static str,
    field: &str,
    message: &str,
    errors: &mut FieldErrors,
) -> &'static str {
    if value.trim().is_empty() {
        return default;
    }
    match allowed.iter().find(|one| **one == value) {
        Some(one) => one,
        None => {
            errors.add(field, message);
            default
        }
    }
}

pub(super) fn typed(secret: &str) -> Option<SecretString> {
    (!secret.trim().is_empty()).then(|| SecretString::from(secret.trim().to_owned()))
}

/// A message people get; its lines end as WhatsApp's do.
pub(super) fn text(text: &str, field: &str, errors: &mut FieldErrors) -> String {
    let text = text.trim().replace("\r\n", "\n").replace('\0', "");
    let length = merge::length(&text);
    if length > merge::TEXT_MAX {
        errors.add(
            field,
            format!(
                "This is {length} characters long. WhatsApp takes {}.",
                merge::TEXT_MAX
            ),
        );
    }
    text
}

/// An address without a slash at its end; empty when nothing was typed.
pub(super) fn address(text: &str, field: &str, errors: &mut FieldErrors) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            errors.add(field, "The address must begin with http:// or https://.");
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            errors.add(
                field,
                "Leave user and password out of the address; they have fields of their own.",
            );
        }
        // Letters outside ASCII grow threefold when they are written as an address.
        Ok(url) if url.as_str().len() > ADDRESS_MAX => {
            errors.add(
                field,
                "This address is too long. Enter the short one of the gateway.",
            );
        }
        Ok(url) => return url.as_str().trim_end_matches('/').to_owned(),
        Err(_) => errors.add(
            field,
            "This is not an address. It looks like http://127.0.0.1:3000.",
        ),
    }
    String::new()
}

/// `None`: not a whole number from 1 to `most`. Nothing typed is the default.
pub(super) fn whole(text: &str, default: i32, most: i32) -> Option<i32> {
    let text = text.trim();
    if text.is_empty() {
        return Some(default);
    }
    text.parse()
        .ok()
        .filter(|number| (1..=most).contains(number))
}

pub(super) fn number(text: &str, default: f64, field: &str, errors: &mut FieldErrors) -> f64 {
    let text = text.trim().replace(',', ".");
    if text.is_empty() {
        return default;
    }
    text.parse().unwrap_or_else(|_| {
        errors.add(field, "Enter a number.");
        default
    })
}
