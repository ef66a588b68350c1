//! What the operator sets: environment variables, read once at start.
//!
//! Invariant: a wrong setting stops the start, and all of them are listed at once. Nothing else in
//! the product reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

#[derive(Debug, Clone)]
pub struct Config {
    /// `DATABASE_URL`; absent: a private PostgreSQL in the data folder.
    pub database_url: Option<String>,
    /// `WABLAST_LISTEN`, default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// `WABLAST_DATA_DIR`, default ./data.
    pub data_dir: PathBuf,
    /// `WABLAST_PUBLIC_URL`: the address people and gateways reach us at; default http://listen.
    pub public_url: Option<Url>,
    /// `WABLAST_MASTER_KEY_FILE`, default secret.key in the data folder.
    pub master_key_file: PathBuf,
    /// `WABLAST_SENDING`: `off` starts a copy that never sends.
    pub sending: bool,
    /// `WABLAST_LOG`, a tracing filter, default info.
    pub log: String,
    /// `PG_BIN_DIR`: where the private PostgreSQL's programs are.
    pub pg_bin_dir: Option<PathBuf>,
}

/// The variables, their defaults and what they do; printed by `wablast --help` and in the README.
pub const VARIABLES: &[(&str, &str, &str)] = &[
    (
        "DATABASE_URL",
        "none",
        "a PostgreSQL to use; none: a private one in the data folder",
    ),
    (
        "WABLAST_LISTEN",
        "127.0.0.1:8080",
        "address and port to listen on",
    ),
    (
        "WABLAST_DATA_DIR",
        "./data",
        "folder of the private PostgreSQL, key and uploads",
    ),
    (
        "WABLAST_PUBLIC_URL",
        "http://<listen>",
        "address at which people and gateways reach this installation",
    ),
    (
        "WABLAST_MASTER_KEY_FILE",
        "<data>/secret.key",
        "key that encrypts stored secrets; the same for all instances",
    ),
    ("WABLAST_SENDING", "on", "off: a copy that never sends"),
    ("WABLAST_LOG", "info", "what is logged, as a tracing filter"),
    (
        "PG_BIN_DIR",
        "found",
        "folder of initdb and postgres for the private PostgreSQL",
    ),
];

impl Config {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn from_environment() -> anyhow::Result<Self> {
        Self::from(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// Reads the settings through `get`; every fault is in the error.
    pub fn from(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let mut faults = Vec::new();
        let listen = get("WABLAST_LISTEN").unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let listen = listen.parse().unwrap_or_else(|_| {
            faults.push(format!("WABLAST_LISTEN is \"{listen}\"; it must be an address and a port like 127.0.0.1:8080"));
            SocketAddr::from(([127, 0, 0, 1], 8080))
        });
        let public_url = get("WABLAST_PUBLIC_URL").and_then(|text| match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
            _ => {
                faults.push(format!(
                    "WABLAST_PUBLIC_URL is \"{text}\"; it must begin with http:// or https://"
                ));
                None
            }
        });
        let sending = match get("WABLAST_SENDING").as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => {
                faults.push(format!(
                    "WABLAST_SENDING is \"{other}\"; it must be on or off"
                ));
                false
            }
        };
        let data_dir =
            PathBuf::from(get("WABLAST_DATA_DIR").unwrap_or_else(|| "./data".to_owned()));
        if !faults.is_empty() {
            anyhow::bail!(
                "cannot start, the configuration has faults:\n  {}",
                faults.join("\n  ")
            );
        }
        Ok(Self {
            database_url: get("DATABASE_URL"),
            listen,
            public_url,
            master_key_file: get("WABLAST_MASTER_KEY_FILE")
                .map_or_else(|| data_dir.join("secret.key"), PathBuf::from),
            data_dir,
            sending,
            log: get("WABLAST_LOG").unwrap_or_else(|| "info".to_owned()),
            pg_bin_dir: get("PG_BIN_DIR").map(PathBuf::from),
        })
    }

    /// The address to show and to give to gateways.
    pub fn public_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.listen),
        }
    }

    /// Cookies are marked Secure unless the operator set an explicit http address.
    pub fn is_plain_http(&self) -> bool {
        self.public_url
            .as_ref()
            .is_some_and(|url| url.scheme() == "http")
    }
}
