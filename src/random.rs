//! The only place that makes random values.
//!
//! Invariant: everything here comes from the operating system's generator, so it may serve as a
//! token or a key.

use rand::Rng as _;
use rand::RngExt as _;

/// Letters and digits without look-alikes, for tokens a person may have to read aloud.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A random token of `length` characters (5.8 bits each), safe in URLs.
pub fn token(length: usize) -> String {
    let mut generator = rand::rng();
    (0..length)
        .map(|_| char::from(ALPHABET[generator.random_range(0..ALPHABET.len())]))
        .collect()
}

/// A factor between 0.8 and 1.2, so that retries of many messages do not meet.
pub fn jitter() -> f64 {
    rand::rng().random_range(0.8..1.2)
}
