//! The HTTP client of the gateways.
//!
//! Invariants: no redirects, no automatic retries, no proxy from the environment, answers capped;
//! addresses where a cloud keeps its secrets are never reached, whatever a name resolves to; a failure
//! says whether a byte of the request can have left ([`Failure::NotSent`]) or not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::shortened;
use super::tap::{Sample, Subject, Tap};
use crate::clock::Clock;

const CONNECT: Duration = Duration::from_secs(5);
/// Total time of a request that sends a text; WAHA alone waits up to 10 s for a session.
pub const TOTAL: Duration = Duration::from_secs(45);
/// Total time of a request that carries a file.
pub const TOTAL_MEDIA: Duration = Duration::from_secs(120);
const ANSWER_AT_MOST: usize = 256 * 1024;

/// A file in pieces.
pub type Pieces = BoxStream<'static, Result<Bytes, Failure>>;

/// A cheap clone.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    /// Where what passes is held for the Gateway Log; one for all clones.
    tap: Tap,
    /// Whose requests these are; `None`: nobody's who looks into a log.
    subject: Option<Subject>,
}

/// The body of a request.
enum Sent {
    Whole(Bytes),
    /// Shared, and not copied into one.
    Pieces(Vec<Bytes>),
}

impl Sent {
    fn sample(&self) -> Sample {
        match self {
            Self::Whole(bytes) => Sample::of(bytes),
            Self::Pieces(pieces) => Sample::of_pieces(pieces),
        }
    }

    fn body(self) -> reqwest::Body {
        match self {
            Self::Whole(bytes) => bytes.into(),
            Self::Pieces(pieces) => {
                let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
                reqwest::Body::wrap_stream(stream::iter(pieces))
            }
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
    pub retry_after: Option<Duration>,
}

impl Reply {
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No byte of the request left this machine for the gateway's ears.
    NotSent { kind: Kind, reason: String },
    /// The request may have arrived.
    Ambiguous { kind: Kind, reason: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The address is not allowed or not an address.
    Address,
    Dns,
    Connect,
    Tls,
    Timeout,
    Broken,
    TooLarge,
}

/// What a request carries to prove who asks.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    pub api_key: Option<SecretString>,
    pub basic: Option<(String, SecretString)>,
    pub bearer: Option<SecretString>,
}

impl Http {
    pub fn new() -> anyhow::Result<Self> {
        // Fails only when a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .pool_max_idle_per_host(256)
            .pool_idle_timeout(Duration::from_secs(4))
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(Vetted))
            .user_agent(concat!("wablast/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            tap: Tap::default(),
            subject: None,
        })
    }

    /// The same for requests of one account.
    #[must_use]
    pub fn of(&self, subject: Subject) -> Self {
        Self {
            subject: Some(subject),
            ..self.clone()
        }
    }

    /// What passed and waits to be written down.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }

    pub async fn get(&self, url: Url, credentials: &Credentials) -> Result<Reply, Failure> {
        self.send(Method::GET, url, credentials, None, &[], TOTAL)
            .await
    }

    /// A GET that must answer quickly, such as a check of the connection.
    pub async fn get_within(
        &self,
        url: Url,
        credentials: &Credentials,
        within: Duration,
    ) -> Result<Reply, Failure> {
        self.send(Method::GET, url, credentials, None, &[], within)
            .await
    }

    /// The same with extra headers.
    pub async fn get_with(
        &self,
        url: Url,
        credentials: &Credentials,
        headers: &[(&str, String)],
        within: Duration,
    ) -> Result<Reply, Failure> {
        self.send(Method::GET, url, credentials, None, headers, within)
            .await
    }

    /// A call without headers of its own, within its own patience.
    pub async fn call_within(
        &self,
        method: Method,
        url: Url,
        credentials: &Credentials,
        body: Option<Vec<u8>>,
        within: Duration,
    ) -> Result<Reply, Failure> {
        let body = body.map(|body| Sent::Whole(body.into()));
        self.send(method, url, credentials, body, &[], within).await
    }

    pub async fn post_json(
        &self,
        url: Url,
        credentials: &Credentials,
        body: &impl serde::Serialize,
    ) -> Result<Reply, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::NotSent {
            kind: Kind::Address,
            reason: error.to_string(),
        })?;
        self.send(
            Method::POST,
            url,
            credentials,
            Some(Sent::Whole(body.into())),
            &[],
            TOTAL,
        )
        .await
    }

    /// A POST of bytes that are JSON already, with extra headers.
    pub async fn post_bytes(
        &self,
        url: Url,
        body: Vec<u8>,
        headers: &[(&str, String)],
    ) -> Result<Reply, Failure> {
        self.send(
            Method::POST,
            url,
            &Credentials::default(),
            Some(Sent::Whole(body.into())),
            headers,
            TOTAL,
        )
        .await
    }

    /// A POST of bytes with credentials, extra headers and its own patience; JSON, unless a header says what.
    pub async fn post_within(
        &self,
        url: Url,
        credentials: &Credentials,
        body: Vec<u8>,
        headers: &[(&str, String)],
        within: Duration,
    ) -> Result<Reply, Failure> {
        self.send(
            Method::POST,
            url,
            credentials,
            Some(Sent::Whole(body.into())),
            headers,
            within,
        )
        .await
    }

    /// A POST of JSON in pieces, which are shared and not copied into one.
    pub async fn post_pieces(
        &self,
        url: Url,
        credentials: &Credentials,
        pieces: Vec<Bytes>,
        within: Duration,
    ) -> Result<Reply, Failure> {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let headers = [("Content-Length", length.to_string())];
        let body = Some(Sent::Pieces(pieces));
        self.send(Method::POST, url, credentials, body, &headers, within)
            .await
    }

    /// Fetches a file of at most so many bytes; `None`: it answered something else than the file.
    pub async fn download(&self, url: Url, at_most: usize) -> Result<Option<Vec<u8>>, Failure> {
        vet(&url)?;
        let response = self
            .client
            .get(url)
            .timeout(TOTAL_MEDIA)
            .send()
            .await
            .map_err(failure)?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(failure)?);
            if bytes.len() > at_most {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// The bytes of a file as they come; `None`: it answered something else than the file.
    pub async fn pieces(
        &self,
        url: Url,
        credentials: &Credentials,
    ) -> Result<Option<Pieces>, Failure> {
        vet(&url)?;
        let mut request = self.client.get(url).timeout(TOTAL_MEDIA);
        if let Some(token) = &credentials.bearer {
            request = request.bearer_auth(token.expose_secret());
        }
        let response = request.send().await.map_err(failure)?;
        if !response.status().is_success() {
            return Ok(None);
        }
        let pieces = response.bytes_stream().map(|piece| piece.map_err(failure));
        Ok(Some(pieces.boxed()))
    }

    /// One request, noted for the Gateway Log where its account's company wants that.
    async fn send(
        &self,
        method: Method,
        url: Url,
        credentials: &Credentials,
        body: Option<Sent>,
        headers: &[(&str, String)],
        within: Duration,
    ) -> Result<Reply, Failure> {
        let sample = || body.as_ref().map(Sent::sample).unwrap_or_default();
        let exchange = self
            .subject
            .and_then(|subject| self.tap.begins(subject, method.as_str(), &url, sample));
        let body = body.map(Sent::body);
        let result = self
            .request(method, url, credentials, body, headers, within)
            .await;
        if let Some(mut exchange) = exchange {
            exchange.ends(&result);
            self.tap.note(exchange);
        }
        result
    }

    async fn request(
        &self,
        method: Method,
        url: Url,
        credentials: &Credentials,
        body: Option<reqwest::Body>,
        headers: &[(&str, String)],
        within: Duration,
    ) -> Result<Reply, Failure> {
        vet(&url)?;
        let mut request: RequestBuilder = self.client.request(method, url).timeout(within);
        if let Some(key) = &credentials.api_key {
            request = request.header("X-Api-Key", key.expose_secret());
        }
        if let Some((user, password)) = &credentials.basic {
            request = request.basic_auth(user, Some(password.expose_secret()));
        }
        if let Some(token) = &credentials.bearer {
            request = request.bearer_auth(token.expose_secret());
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            if !headers.iter().any(|(name, _)| *name == "Content-Type") {
                request = request.header("Content-Type", "application/json");
            }
            request = request.body(body);
        }
        let response = request.send().await.map_err(failure)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| again_after(text.trim(), Clock::system().now()));
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(failure)?);
            // An error may echo a request that carried a file: its beginning says enough.
            if bytes.len() > ANSWER_AT_MOST && status >= 400 {
                bytes.truncate(ANSWER_AT_MOST);
                break;
            }
            if bytes.len() > ANSWER_AT_MOST {
                return Err(Failure::Ambiguous {
                    kind: Kind::TooLarge,
                    reason: "The gateway's answer was larger than 256 KiB.".to_owned(),
                });
            }
        }
        Ok(Reply {
            status,
            body: bytes,
            retry_after,
        })
    }
}

/// `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3); `None`: neither, or it has passed.
fn again_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    (at.with_timezone(&Utc) - now).to_std().ok()
}

/// Only a failure to connect proves that nothing was sent.
fn failure(error: reqwest::Error) -> Failure {
    let words = chain(&error);
    let lower = words.to_lowercase();
    if error.is_connect() {
        let kind = if lower.contains("dns") || lower.contains("resolve") || lower.contains("lookup")
        {
            Kind::Dns
        } else if lower.contains("certificate")
            || lower.contains("tls")
            || lower.contains("handshake")
            || lower.contains("invalidcontenttype")
        {
            Kind::Tls
        } else {
            Kind::Connect
        };
        let kind = if lower.contains("not allowed") {
            Kind::Address
        } else {
            kind
        };
        return Failure::NotSent {
            kind,
            reason: shortened(&words),
        };
    }
    if error.is_builder() {
        return Failure::NotSent {
            kind: Kind::Address,
            reason: shortened(&words),
        };
    }
    let kind = if error.is_timeout() {
        Kind::Timeout
    } else {
        Kind::Broken
    };
    Failure::Ambiguous {
        kind,
        reason: shortened(&words),
    }
}

/// The words of an error and its sources, without the address (it may carry a token).
fn chain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = source {
        words.push(error.to_string());
        source = error.source();
    }
    if error.is_timeout() {
        words.insert(0, "no answer in time".to_owned());
    }
    if words.is_empty() {
        "the request failed".to_owned()
    } else {
        words.join(": ")
    }
}

/// Refuses what is not http(s), carries a password in the address, or points where nothing of ours is.
fn vet(url: &Url) -> Result<(), Failure> {
    let refuse = |reason: &str| {
        Err(Failure::NotSent {
            kind: Kind::Address,
            reason: reason.to_owned(),
        })
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("The address must begin with http:// or https://.");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("The address must not contain a user or a password.");
    }
    let literal = match url.host() {
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        Some(Host::Domain(_)) => None,
        None => return refuse("The address has no host."),
    };
    match literal {
        Some(ip) if is_forbidden(ip) => refuse("This address is not allowed."),
        _ => Ok(()),
    }
}

/// Link-local, metadata and multicast addresses: nobody's gateway stands there.
fn is_forbidden(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            a == 0
                || (a == 169 && b == 254)
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.octets() == [100, 100, 100, 200]
                || ip.octets() == [192, 0, 0, 192]
        }
        IpAddr::V6(ip) => {
            if let Some(inner) = ip.to_ipv4_mapped() {
                return is_forbidden(IpAddr::V4(inner));
            }
            let segments = ip.segments();
            // NAT64 and 6to4 carry an IPv4 address inside.
            let inside = match segments {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                    Some([high, low])
                }
                _ => None,
            };
            if let Some([high, low]) = inside {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                if is_forbidden(IpAddr::from([a, b, c, d])) {
                    return true;
                }
            }
            ip.is_unspecified()
                || ip.is_multicast()
                || (segments[0] & 0xffc0) == 0xfe80
                || segments == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

/// Resolves names and refuses them when any answer is forbidden; the vetted answers are what is used.
struct Vetted;

impl Resolve for Vetted {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if found.iter().any(|address| is_forbidden(address.ip())) {
                return Err("this address is not allowed".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: DateTime<Utc> = "2026-11-24T10:00:00Z".parse().unwrap();
        let seconds = |text: &str| again_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds("Tue, 24 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(seconds("Tue, 24 Nov 2026 09:00:00 GMT"), None);
        assert_eq!(seconds("after lunch"), None);
        assert_eq!(seconds("99999999999"), Some(99_999_999_999));
    }

    #[test]
    fn addresses_where_clouds_keep_secrets_are_refused_in_every_spelling() {
        for address in [
            "http://169.254.169.254/latest",
            "http://0xA9FEA9FE/",
            "http://2852039166/",
            "http://0251.0376.0251.0376/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "http://0.0.0.0:8080/",
            "http://224.0.0.1/",
            "http://user:secret@127.0.0.1/",
            "file:///etc/passwd",
        ] {
            assert!(vet(&Url::parse(address).unwrap()).is_err(), "{address}");
        }
        for address in [
            "http://127.0.0.1:3000/",
            "http://192.168.1.10/",
            "http://[::1]:3000/",
            "https://waha.example.com/",
        ] {
            assert!(vet(&Url::parse(address).unwrap()).is_ok(), "{address}");
        }
    }
}
