//! Secrets at rest: XChaCha20-Poly1305 under the installation's master key.
//!
//! Invariants: every value is bound to its place (table, row, column, company), so a ciphertext
//! copied to another row does not open; the key lives in a file of mode 0400 outside the database; a
//! wrong key refuses to start. Knows nothing of what it keeps.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256, Sha512};

const VERSION: u8 = 1;
const NONCE: usize = 24;

/// Where a secret stands; part of what is authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub table: &'a str,
    pub row: i64,
    pub column: &'a str,
    pub company: i64,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        format!(
            "{}|{}|{}|{}",
            self.table, self.row, self.column, self.company
        )
        .into_bytes()
    }
}

#[derive(Clone)]
pub struct Crypt {
    cipher: Arc<XChaCha20Poly1305>,
    cookie_key: [u8; 64],
    fingerprint: String,
}

impl Crypt {
    pub fn new(key: [u8; 32]) -> Self {
        let digest = Sha256::digest([b"wablast key fingerprint".as_slice(), &key].concat());
        Self {
            cipher: Arc::new(XChaCha20Poly1305::new(&Key::from(key))),
            cookie_key: Sha512::digest([b"wablast cookies".as_slice(), &key].concat()).into(),
            fingerprint: hex::encode(&digest[..8]),
        }
    }

    /// Reads the key from `file` (64 hexadecimal digits), or makes one there, mode 0400.
    pub fn from_file(file: &Path) -> anyhow::Result<Self> {
        if !file.exists() {
            let key = crate::random::bytes::<32>();
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)
                    .with_context(|| format!("making the folder {}", folder.display()))?;
            }
            let mut options = std::fs::OpenOptions::new();
            match options.write(true).create_new(true).mode(0o400).open(file) {
                Ok(mut created) => writeln!(created, "{}", hex::encode(key))?,
                // Another instance was quicker: its key counts.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("writing the key {}", file.display()));
                }
            }
        }
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("reading the key {}", file.display()))?;
        let bytes = hex::decode(text.trim())
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let key = bytes.with_context(|| {
            format!(
                "{} is not a key: it must hold 64 hexadecimal digits",
                file.display()
            )
        })?;
        Ok(Self::new(key))
    }

    /// What session cookies are encrypted with; the same in all instances.
    pub fn cookie_key(&self) -> &[u8; 64] {
        &self.cookie_key
    }

    /// Tells keys apart without telling the key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub fn seal(&self, place: Place<'_>, secret: &SecretString) -> anyhow::Result<Vec<u8>> {
        let nonce = crate::random::bytes::<NONCE>();
        let sealed = self
            .cipher
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: secret.expose_secret().as_bytes(),
                    aad: &place.bytes(),
                },
            )
            .map_err(|_| anyhow::anyhow!("could not encrypt a secret"))?;
        Ok([&[VERSION], nonce.as_slice(), &sealed].concat())
    }

    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> anyhow::Result<SecretString> {
        let wrong = || {
            anyhow::anyhow!(
                "a stored secret of {} {} does not open with this key",
                place.table,
                place.row
            )
        };
        let (nonce, sealed) = sealed
            .strip_prefix(&[VERSION])
            .and_then(|rest| rest.split_first_chunk::<NONCE>())
            .ok_or_else(wrong)?;
        let open = self
            .cipher
            .decrypt(
                &XNonce::from(*nonce),
                Payload {
                    msg: sealed,
                    aad: &place.bytes(),
                },
            )
            .map_err(|_| wrong())?;
        Ok(SecretString::from(
            String::from_utf8(open).map_err(|_| wrong())?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        table: "accounts",
        row: 7,
        column: "api_key",
        company: 1,
    };

    #[test]
    fn a_secret_opens_only_in_its_place() {
        let crypt = Crypt::new([7; 32]);
        let sealed = crypt.seal(PLACE, &SecretString::from("s3cret")).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"s3cret"));
        assert_eq!(
            crypt.open(PLACE, &sealed).unwrap().expose_secret(),
            "s3cret"
        );
        assert!(crypt.open(Place { row: 8, ..PLACE }, &sealed).is_err());
        assert!(
            crypt
                .open(
                    Place {
                        company: 2,
                        ..PLACE
                    },
                    &sealed
                )
                .is_err()
        );
        assert!(Crypt::new([8; 32]).open(PLACE, &sealed).is_err());
        assert!(crypt.open(PLACE, &sealed[..20]).is_err());
    }
}
