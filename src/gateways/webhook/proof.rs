//! What shows a flow that a push is ours: user and password, a bearer token, or a signature.
//!
//! Invariants: the signature is HMAC-SHA256 over the time in seconds, a dot and the raw body, so that a request
//! that was listened to is worth nothing later; a secret stands in a header alone, and a signature never is one.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::super::http::{Credentials, Reply};
use crate::clock::Clock;

/// The time of a signed request, in seconds since 1970.
pub const TIMESTAMP: &str = "X-Wablast-Timestamp";
/// `sha256=` and the signature in hexadecimal.
pub const SIGNATURE: &str = "X-Wablast-Signature";

/// What a push carries.
#[derive(Debug, Clone)]
pub enum Proof {
    Nothing,
    Basic(String, SecretString),
    Bearer(SecretString),
    Signed(SecretString),
}

impl Proof {
    pub(super) fn credentials(&self) -> Credentials {
        match self {
            Self::Basic(user, password) => Credentials {
                basic: Some((user.clone(), password.clone())),
                ..Credentials::default()
            },
            Self::Bearer(token) => Credentials {
                bearer: Some(token.clone()),
                ..Credentials::default()
            },
            Self::Nothing | Self::Signed(_) => Credentials::default(),
        }
    }

    /// The headers that a request with this body carries now.
    pub(super) fn headers(&self, body: &[u8]) -> Vec<(&'static str, String)> {
        let Self::Signed(secret) = self else {
            return Vec::new();
        };
        let at = Clock::system().now().timestamp().to_string();
        let signature = sign(secret, &[at.as_bytes(), b".", body]);
        vec![(TIMESTAMP, at), (SIGNATURE, signature)]
    }

    /// Why a 401 or 403 came, and what to do about it.
    pub(super) fn not_accepted(&self, reply: &Reply) -> String {
        let status = reply.status;
        // n8n's words where its webhook has Basic Auth and the request came without it.
        let wants_basic =
            String::from_utf8_lossy(&reply.body).contains("Authorization is required");
        match self {
            Self::Nothing => format!(
                "The webhook asks who we are (it answered {status}), and the account says nothing. Choose what a push shows to the flow, then press Test."
            ),
            Self::Basic(..) => format!(
                "The webhook does not accept Authentication User and Password (it answered {status}). Correct them, then press Test."
            ),
            Self::Bearer(_) if wants_basic => format!(
                "The webhook asks for user and password (it answered {status}), and the account shows a bearer token. In n8n choose Header Auth with the name Authorization, or choose User and password on the account."
            ),
            Self::Bearer(_) => format!(
                "The webhook does not accept the bearer token (it answered {status}). Compare it with the flow's: n8n's Header Auth has the name Authorization and the value Bearer, a space and the token. Then press Test."
            ),
            Self::Signed(_) if wants_basic => format!(
                "The webhook asks for user and password (it answered {status}), and the account signs instead. Switch the authentication of n8n's Webhook node off, or choose User and password on the account."
            ),
            Self::Signed(_) => format!(
                "The webhook does not accept the signature (it answered {status}). Give the flow the same secret, let it sign time, a dot and the raw body, and compare the clocks of both machines. Then press Test."
            ),
        }
    }
}

/// The value of [`SIGNATURE`] over the parts, one after the other.
pub fn sign(secret: &SecretString, parts: &[&[u8]]) -> String {
    let tag = mac(secret, parts).map(|mac| mac.finalize().into_bytes());
    format!("sha256={}", tag.map(hex::encode).unwrap_or_default())
}

/// Whether `header` is the signature of the raw body; compares in constant time.
pub fn verify(secret: &SecretString, body: &[u8], header: &str) -> bool {
    header
        .trim()
        .strip_prefix("sha256=")
        .and_then(|hex| hex::decode(hex).ok())
        .zip(mac(secret, &[body]))
        .is_some_and(|(claimed, mac)| mac.verify_slice(&claimed).is_ok())
}

fn mac(secret: &SecretString, parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of every length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            body: body.as_bytes().to_vec(),
            retry_after: None,
        }
    }

    #[test]
    fn a_signature_is_that_of_its_body_and_secret_alone() {
        let secret = SecretString::from("key");
        let body = b"The quick brown fox jumps over the lazy dog";
        let known = "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
        assert_eq!(sign(&secret, &[body]), known);
        assert!(verify(&secret, body, known) && verify(&secret, body, &format!(" {known} ")));
        for wrong in ["", "sha256=", "sha256=zz", &known[7..], &known[..70]] {
            assert!(!verify(&secret, body, wrong), "{wrong}");
        }
        assert!(!verify(&SecretString::from("Key"), body, known));
        assert!(!verify(&secret, b"the quick brown fox", known));
    }

    #[test]
    fn a_signed_request_carries_its_time_and_no_secret() {
        let proof = Proof::Signed(SecretString::from("a-secret-of-the-flow"));
        let headers = proof.headers(b"{}");
        let [(time, at), (name, signature)] = headers.as_slice() else {
            panic!("{headers:?}")
        };
        assert_eq!((*time, *name), (TIMESTAMP, SIGNATURE));
        let signed = format!("{at}.{{}}");
        assert!(verify(
            &SecretString::from("a-secret-of-the-flow"),
            signed.as_bytes(),
            signature
        ));
        assert!(!format!("{headers:?}").contains("a-secret"));
        assert!(Proof::Nothing.headers(b"{}").is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_of_what_was_shown() {
        let secret = || SecretString::from("x");
        for (proof, body, word) in [
            (Proof::Nothing, "", "says nothing"),
            (
                Proof::Basic("n8n".into(), secret()),
                "",
                "User and Password",
            ),
            (
                Proof::Bearer(secret()),
                "",
                "bearer token (it answered 401)",
            ),
            (
                Proof::Bearer(secret()),
                "Authorization is required!",
                "Header Auth",
            ),
            (Proof::Signed(secret()), "", "compare the clocks"),
            (
                Proof::Signed(secret()),
                "Authorization is required!",
                "Switch the authentication",
            ),
        ] {
            let said = proof.not_accepted(&reply(401, body));
            assert!(said.contains(word), "{said}");
        }
    }
}
