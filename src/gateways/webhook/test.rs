//! Whether a flow would take a push, found out without running it.
//!
//! A GET on a webhook that takes POST runs nothing, and n8n says which of both it is: not registered
//! at all, or registered for POST. It checks user and password only for the right method, so whether
//! what is shown fits comes out with the first message. A flow that also listens to GET would be run by the question.

use super::super::http::{Failure, Kind, Reply};
use super::super::{Check, shortened, tap};
use super::{Proof, TEST_ADDRESS, Webhook, classify, is_test_address};
use std::time::Duration;

use url::Host;

const CHECK: Duration = Duration::from_secs(15);

/// What a look at the address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It is certain that no flow takes a push there, with the reason in words.
    Inactive(String),
    /// Nothing speaks against trying.
    Try,
}

impl Webhook {
    /// Whether an account that a 404 stopped may try again.
    pub async fn probe(&self) -> Probe {
        match self.look().await {
            Ok(reply) if is_unregistered(&reply) => {
                Probe::Inactive(classify::not_there(&reply, reply.json().as_ref()))
            }
            _ => Probe::Try,
        }
    }

    async fn look(&self) -> Result<Reply, Failure> {
        let url = self.address.url.clone();
        let proof = &self.address.proof;
        let headers = proof.headers(b"");
        let credentials = proof.credentials();
        let question = self.http.get_with(url, &credentials, &headers, CHECK);
        tap::asking(meaning, question).await
    }

    /// *Test*: in plain words what is wrong; stops where the rest is pointless.
    pub async fn test(&self) -> Vec<Check> {
        if is_test_address(&self.address.url) {
            return vec![check("flow", false, TEST_ADDRESS)];
        }
        let host = self.address.url.host_str().unwrap_or_default().to_owned();
        let reply = match self.look().await {
            Ok(reply) => reply,
            Err(failure) => {
                let port = self.address.url.port_or_known_default().unwrap_or_default();
                return vec![check(
                    "reachable",
                    false,
                    unreachable(&failure, &host, port),
                )];
            }
        };
        [
            check("reachable", true, format!("{host} answers.")),
            self.flow(&reply),
        ]
        .into_iter()
        .chain(self.shown())
        .collect()
    }

    /// What a push shows, and whether others on the way could read it.
    fn shown(&self) -> Option<Check> {
        let url = &self.address.url;
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        let is_open = url.scheme() == "http" && !is_here;
        let message = match &self.address.proof {
            // The line about the flow says it.
            Proof::Nothing => return None,
            Proof::Basic(..) if is_open => {
                "Warning: user and password travel unencrypted. Begin the webhook URL with https:// where the flow has it."
            }
            Proof::Basic(..) => "Every push shows user and password.",
            Proof::Bearer(_) if is_open => {
                "Warning: the bearer token travels unencrypted. Begin the webhook URL with https:// where the flow has it."
            }
            Proof::Bearer(_) => "Every push shows the bearer token.",
            Proof::Signed(_) => {
                "Every push is signed. n8n does not look at that by itself: the first node of the flow has to check it."
            }
        };
        Some(check("proof", true, message))
    }

    fn flow(&self, reply: &Reply) -> Check {
        let status = reply.status;
        let (ok, message) = match status {
            401 | 403 => (
                false,
                self.address.proof.not_accepted(reply),
            ),
            404 if is_other_method(reply) => (true, self.unknown_yet().to_owned()),
            404 => (false, classify::not_there(reply, reply.json().as_ref())),
            405 => (true, self.unknown_yet().to_owned()),
            300..=399 => (
                false,
                format!("The webhook answered {status} and points to another address. Enter the final address on the account."),
            ),
            200..=299 => (
                true,
                "Something answers at this address. Whether it takes messages shows with the first one: a test that asked would send it.".to_owned(),
            ),
            _ => (
                false,
                format!("The webhook answered {status} without saying why."),
            ),
        };
        check("flow", ok, message)
    }

    fn unknown_yet(&self) -> &'static str {
        match self.address.proof {
            Proof::Basic(..) => {
                "The workflow is active and takes POST. Whether it accepts user and password shows with the first message: a test that asked would run it."
            }
            Proof::Bearer(_) => {
                "The workflow is active and takes POST. Whether it accepts the bearer token shows with the first message: a test that asked would run it."
            }
            Proof::Signed(_) => {
                "The workflow is active and takes POST. Whether it accepts the signature shows with the first message: a test that asked would run it."
            }
            Proof::Nothing => {
                "The workflow is active and takes POST. No user and password are set: anybody who knows its address can run it."
            }
        }
    }
}

fn check(name: &'static str, ok: bool, message: impl Into<String>) -> Check {
    Check {
        name,
        ok,
        message: message.into(),
    }
}

/// A refusal of the question itself is the answer that was hoped for.
fn meaning(reply: &Reply) -> Option<&'static str> {
    let takes_post = reply.status == 405 || reply.status == 404 && is_other_method(reply);
    takes_post.then_some(
        "This was a question by GET, which runs nothing. The answer says that the workflow is active and takes POST: all is well.",
    )
}

/// n8n's 404 for a path that has a webhook of another method.
fn is_other_method(reply: &Reply) -> bool {
    says(reply).contains("Did you mean to make a")
}

/// n8n's 404 for a path without any webhook.
fn is_unregistered(reply: &Reply) -> bool {
    reply.status == 404 && says(reply).contains("is not registered") && !is_other_method(reply)
}

fn says(reply: &Reply) -> String {
    reply
        .json()
        .and_then(|body| body["message"].as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Why nothing was reached, and what to do.
fn unreachable(failure: &Failure, host: &str, port: u16) -> String {
    let (Failure::NotSent { kind, reason } | Failure::Ambiguous { kind, reason }) = failure;
    match kind {
        Kind::Dns => format!("The name {host} is not known. Check the spelling of the address."),
        Kind::Connect => {
            format!("Nothing listens at {host} port {port}. Is n8n running, and is the port right?")
        }
        Kind::Tls => format!(
            "{host} does not answer with a valid https certificate. If it has none, begin the address with http://."
        ),
        Kind::Timeout => format!(
            "{host} did not answer within {} seconds. Check the address and the firewall.",
            CHECK.as_secs()
        ),
        Kind::Address => shortened(reason),
        Kind::Broken | Kind::TooLarge => {
            format!("{host} answers, but not in HTTP: {}", shortened(reason))
        }
    }
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
    fn only_n8n_s_own_words_say_that_a_flow_is_off() {
        let off = reply(
            404,
            r#"{"code":404,"message":"The requested webhook \"GET x\" is not registered."}"#,
        );
        let other = reply(
            404,
            r#"{"code":404,"message":"This webhook is not registered for GET requests. Did you mean to make a POST request?"}"#,
        );
        assert!(is_unregistered(&off) && !is_unregistered(&other) && is_other_method(&other));
        assert!(!is_unregistered(&reply(
            404,
            "<pre>Cannot GET /webhook/x</pre>"
        )));
        assert!(!is_unregistered(&reply(200, "is not registered")));
    }
}
