//! Passwords: argon2id (19 MiB, 2 passes, 1 lane: OWASP's minimum), and what is accepted as one.
//!
//! Invariants: hashing never blocks a server thread and at most two run at once, so that sign-ins are
//! no way to stop the server; an unknown user costs as much as a wrong password.

use std::sync::LazyLock;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

const SHORTEST: usize = 12;
const LONGEST: usize = 256;
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// Passwords that are tried first, from published lists of the most used ones; compared in lower case.
static COMMON: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

fn argon2() -> Argon2<'static> {
    let params = Params::new(19_456, 2, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Whether a new password may be used; the fault is a sentence. `context`: words it must not be made of.
pub fn check(password: &str, context: &[&str]) -> Result<(), &'static str> {
    let length = password.chars().count();
    if length < SHORTEST {
        return Err("Use at least 12 characters. Three or four words are easy to remember.");
    }
    if length > LONGEST {
        return Err("Use at most 256 characters.");
    }
    let lower = password.to_lowercase();
    let mut letters = lower.chars();
    let first = letters.next();
    if letters.all(|letter| Some(letter) == first) {
        return Err("Use more than one character.");
    }
    let rows = [
        "12345678901234567890",
        "abcdefghijklmnopqrstuvwxyz",
        "qwertyuiopasdfghjklzxcvbnm",
    ];
    let backwards: String = lower.chars().rev().collect();
    if rows
        .iter()
        .any(|row| row.contains(&lower) || row.contains(&backwards))
    {
        return Err("This is a row of keys. Choose something only you would think of.");
    }
    let core = lower.trim_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
    if COMMON
        .iter()
        .any(|common| *common == lower || *common == core)
    {
        return Err("This password is one of the most used ones. Choose another.");
    }
    let product = [
        "wablast",
        "infinys",
        "whatsapp",
        "whatsappblasting",
        "infinyswhatsapp",
    ];
    let words = context
        .iter()
        .flat_map(|word| [word.to_lowercase(), word.replace(' ', "").to_lowercase()]);
    if words
        .chain(product.map(str::to_owned))
        .any(|word| word.len() > 3 && (word == lower || word == core))
    {
        return Err("Do not use your name, e-mail address or company as the password.");
    }
    Ok(())
}

/// The PHC string of a password.
pub async fn hash(password: SecretString) -> anyhow::Result<String> {
    let _turn = AT_ONCE.acquire().await?;
    tokio::task::spawn_blocking(move || {
        argon2()
            .hash_password(password.expose_secret().as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| anyhow::anyhow!("hashing a password: {error}"))
    })
    .await?
}

/// Whether a password fits its hash. `None` (no such user) takes as long and fits nothing.
pub async fn verify(password: SecretString, hash: Option<String>) -> anyhow::Result<bool> {
    /// Of a random password that nobody knows.
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$lV9yG2cBHC0oXWqH0FzB0nF2Wq0Jm0l3tZ0cQ0n3v7E";
    let _turn = AT_ONCE.acquire().await?;
    tokio::task::spawn_blocking(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let fits = PasswordHash::new(&hash).is_ok_and(|hash| {
            argon2()
                .verify_password(password.expose_secret().as_bytes(), &hash)
                .is_ok()
        });
        Ok(fits && known)
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused_with_a_reason() {
        for weak in [
            "short",
            "aaaaaaaaaaaaaa",
            "password1234",
            "123456789012",
            "Batik Sekar Arum1",
            "dewi@example.com",
        ] {
            assert!(
                check(weak, &["Batik Sekar Arum", "dewi@example.com"]).is_err(),
                "{weak}"
            );
        }
        assert!(check("correct horse battery", &[]).is_ok());
        assert!(check(&"ab ".repeat(50), &[]).is_ok());
    }

    #[tokio::test]
    async fn a_password_fits_only_its_own_hash() {
        let hash = hash(SecretString::from("correct horse battery"))
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(
            verify(
                SecretString::from("correct horse battery"),
                Some(hash.clone())
            )
            .await
            .unwrap()
        );
        assert!(
            !verify(SecretString::from("correct horse batterx"), Some(hash))
                .await
                .unwrap()
        );
        assert!(
            !verify(SecretString::from("correct horse battery"), None)
                .await
                .unwrap()
        );
    }
}
