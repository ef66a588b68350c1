//! What the operator sets: environment variables, read once at start.
//!
//! Invariant: a wrong setting stops the start, and all of them are listed at once. Nothing else in
//! the product reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

/// The file that makes a data folder a demo's.
pub const DEMO_MARK: &str = "wablast-demo";

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
    /// `WABLAST_STORAGE`: where uploads lie, default media in the data folder.
    pub storage: StorageSetting,
    /// `WABLAST_SENDING`: `off` starts a copy that never sends.
    pub sending: bool,
    /// `WABLAST_LOG`, a tracing filter, default info.
    pub log: String,
    /// `PG_BIN_DIR`: where the private PostgreSQL's programs are.
    pub pg_bin_dir: Option<PathBuf>,
    /// The data folder is a demo's: nothing in it is real, and everybody knows its passwords.
    pub demo: bool,
}

/// Where uploads lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageSetting {
    Folder(PathBuf),
    /// S3, or whatever speaks as it does.
    S3 {
        bucket: String,
        prefix: String,
        options: S3Options,
    },
}

/// What the usual variables of S3 say, by their names in small letters. Some are secrets: only the names
/// are printed.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Options(pub Vec<(String, String)>);

impl std::fmt::Debug for S3Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// The variables of S3 that are passed on.
const S3_VARIABLES: [&str; 17] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
    "AWS_ALLOW_HTTP",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_KMS_KEY_ID",
];

impl StorageSetting {
    /// A folder, or `s3://bucket/prefix`.
    fn read(text: &str, get: &impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let Some(place) = text.strip_prefix("s3://") else {
            return match no_folder(text) {
                Some(why) => Err(format!(
                    "WABLAST_STORAGE is \"{text}\"; {why}. It must be a folder or s3://bucket/prefix"
                )),
                None => Ok(Self::Folder(PathBuf::from(text))),
            };
        };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(
                "WABLAST_STORAGE names no bucket; it must be s3://bucket/prefix".to_owned(),
            );
        }
        let letter = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit();
        if !(3..=63).contains(&bucket.len())
            || !bucket.chars().all(|one| letter(one) || ".-_".contains(one))
            || !bucket.starts_with(letter)
        {
            return Err(format!(
                "WABLAST_STORAGE names the bucket \"{bucket}\"; the name of a bucket has 3 to 63 small letters, digits, dots and hyphens. User, password and address have variables of their own: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL"
            ));
        }
        let mut options: Vec<(String, String)> = S3_VARIABLES
            .iter()
            .filter_map(|name| Some((name.to_lowercase(), get(name)?)))
            .collect();
        // Whoever gives an address without TLS means it.
        if options
            .iter()
            .any(|(name, value)| name.starts_with("aws_endpoint") && value.starts_with("http://"))
        {
            options.push(("aws_allow_http".to_owned(), "true".to_owned()));
        }
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            options: S3Options(options),
        })
    }
}

/// Why a text that is no `s3://` is no folder either, though a file system might take it as one.
fn no_folder(text: &str) -> Option<&'static str> {
    let small = text.trim().to_lowercase();
    let scheme = small.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme =
        |word: &str| word.len() > 1 && word.chars().all(|one| one.is_ascii_alphanumeric());
    if text.trim() != text || text.chars().any(char::is_control) {
        Some("there is a space or a line break around it")
    } else if text.starts_with(['"', '\'']) {
        Some("the quotation marks are part of it: leave them out")
    } else if text.starts_with('~') {
        Some("~ is not read here: write the whole path")
    } else if small.starts_with("s3:") || small == "s3" || small.starts_with("s3//") {
        Some("a bucket is written s3:// in small letters, with two slashes")
    } else if scheme.is_some_and(is_scheme) {
        Some("this kind of storage is not known")
    } else {
        None
    }
}

/// What is wrong with `DATABASE_URL`, as far as one sees it without asking.
fn no_database(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once("://").unwrap_or(("", ""));
    let known = matches!(scheme, "postgres" | "postgresql");
    (!(known || scheme.is_empty() && url.contains('='))).then(|| {
        let said = if scheme.is_empty() {
            "it names no kind of database".to_owned()
        } else {
            format!("it is for {scheme}")
        };
        format!("DATABASE_URL cannot be used: {said}. It looks like postgres://user:password@host:5432/database")
    })
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
    (
        "WABLAST_STORAGE",
        "<data>/media",
        "where uploads lie: a folder, or s3://bucket/prefix with the usual AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL (MinIO ...)",
    ),
    ("WABLAST_SENDING", "on", "off: a copy that never sends"),
    ("WABLAST_LOG", "info", "what is logged, as a tracing filter"),
    (
        "PG_BIN_DIR",
        "found",
        "folder of initdb and postgres for the private PostgreSQL",
    ),
];

/// Where a test lets this process die (`crash.rs`); a release does not ask.
#[cfg(debug_assertions)]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn crash_at() -> Option<String> {
    std::env::var("WABLAST_CRASH_AT").ok()
}

impl Config {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn from_environment() -> anyhow::Result<Self> {
        Self::from(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// The settings of `wablast demo`: a folder of its own, its own database and key.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn of_demo() -> anyhow::Result<Self> {
        Self::for_demo(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn for_demo(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        anyhow::ensure!(
            get("DATABASE_URL").is_none(),
            "DATABASE_URL is set. The demo brings its own database and never touches another: unset it."
        );
        let mut config = Self::from(|name| match name {
            "WABLAST_MASTER_KEY_FILE" | "WABLAST_STORAGE" => None,
            "WABLAST_DATA_DIR" => Some(get(name).unwrap_or_else(|| "./data-demo".to_owned())),
            "WABLAST_LOG" => Some(get(name).unwrap_or_else(|| "warn".to_owned())),
            _ => get(name),
        })?;
        config.demo = true;
        config.stays_here()?;
        Ok(config)
    }

    /// A demo answers on this machine alone.
    fn stays_here(&self) -> anyhow::Result<()> {
        let here = |url: &Url| match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        anyhow::ensure!(
            self.listen.ip().is_loopback() && self.public_url.as_ref().is_none_or(here),
            "the passwords of the demo are known to everybody, so it answers on this machine alone: unset WABLAST_PUBLIC_URL, and set WABLAST_LISTEN to an address like 127.0.0.1:8080"
        );
        Ok(())
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
        faults.extend(get("DATABASE_URL").and_then(|url| no_database(&url)));
        let data_dir =
            PathBuf::from(get("WABLAST_DATA_DIR").unwrap_or_else(|| "./data".to_owned()));
        let storage = match get("WABLAST_STORAGE") {
            None => StorageSetting::Folder(data_dir.join("media")),
            Some(text) => StorageSetting::read(&text, &get).unwrap_or_else(|fault| {
                faults.push(fault);
                StorageSetting::Folder(data_dir.join("media"))
            }),
        };
        if !faults.is_empty() {
            anyhow::bail!(
                "cannot start, the configuration has faults:\n  {}",
                faults.join("\n  ")
            );
        }
        let demo = get("DATABASE_URL").is_none() && data_dir.join(DEMO_MARK).exists();
        let config = Self {
            demo,
            database_url: get("DATABASE_URL"),
            listen,
            public_url,
            master_key_file: get("WABLAST_MASTER_KEY_FILE")
                .map_or_else(|| data_dir.join("secret.key"), PathBuf::from),
            data_dir,
            storage,
            sending,
            log: get("WABLAST_LOG").unwrap_or_else(|| "info".to_owned()),
            pg_bin_dir: get("PG_BIN_DIR").map(PathBuf::from),
        };
        if demo {
            config.stays_here()?;
        }
        Ok(config)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn config_a_storage_that_is_nearly_one_is_refused_in_words() {
        let read = |text: &str| Config::from(of(&[("WABLAST_STORAGE", text)]));
        for (near, word) in [
            ("s3:/x", "two slashes"),
            ("s3:bucket/x", "two slashes"),
            ("S3://bucket", "small letters"),
            ("s3", "two slashes"),
            ("s3//bucket", "two slashes"),
            ("s3://", "no bucket"),
            ("s3:///x", "no bucket"),
            ("s3://Bucket/x", "small letters"),
            ("s3://user:secret@host/x", "AWS_ACCESS_KEY_ID"),
            ("https://minio.example.com/bucket", "not known"),
            ("file:/var/media", "not known"),
            ("~/media", "whole path"),
            (" /var/media", "space"),
            ("\"/var/media\"", "quotation marks"),
        ] {
            let said = read(near).unwrap_err().to_string();
            assert!(said.contains("WABLAST_STORAGE"), "{near}: {said}");
            assert!(said.contains(word), "{near}: {said}");
        }
        for (fine, folder) in [
            ("/var/media", true),
            ("./s3", true),
            ("a:b", true),
            ("s3://bucket/a/b", false),
        ] {
            let storage = read(fine).unwrap().storage;
            assert_eq!(
                matches!(storage, StorageSetting::Folder(_)),
                folder,
                "{fine}"
            );
        }
    }

    #[test]
    fn config_a_database_of_another_kind_is_refused_in_words() {
        for near in [
            "mysql://x/y",
            "postgresql+asyncpg://x/y",
            "localhost:5432/db",
            "/tmp/db",
        ] {
            let said = Config::from(of(&[("DATABASE_URL", near)]))
                .unwrap_err()
                .to_string();
            assert!(
                said.contains("postgres://user:password@host"),
                "{near}: {said}"
            );
        }
        for fine in ["postgres://h/d", "postgresql://h/d", "host=h dbname=d"] {
            assert!(
                Config::from(of(&[("DATABASE_URL", fine)])).is_ok(),
                "{fine}"
            );
        }
    }

    #[test]
    fn config_a_demo_has_its_own_folder_and_stays_on_this_machine() {
        let plain = Config::for_demo(of(&[("WABLAST_MASTER_KEY_FILE", "/etc/real.key")])).unwrap();
        assert_eq!(plain.data_dir, PathBuf::from("./data-demo"));
        assert_eq!(
            plain.master_key_file,
            PathBuf::from("./data-demo/secret.key")
        );
        assert!(plain.demo);
        for refused in [
            ("DATABASE_URL", "postgres://real"),
            ("WABLAST_LISTEN", "0.0.0.0:8080"),
            ("WABLAST_PUBLIC_URL", "https://wa.example.com"),
        ] {
            assert!(Config::for_demo(of(&[refused])).is_err(), "{refused:?}");
        }
        assert!(!Config::from(of(&[])).unwrap().demo);
    }
}
