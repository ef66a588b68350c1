//! Whether the operator's PostgreSQL can be reached, asked once at the start, and in words where it cannot.
//!
//! Invariants: an answer within some seconds; the password is never in it. Knows no table.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};

/// How long it may take to answer.
const WAIT: Duration = Duration::from_secs(5);

/// Connects once and hangs up.
pub async fn check(url: &str) -> anyhow::Result<()> {
    let config: Config = url.parse().map_err(|_| {
        anyhow::anyhow!(
            "DATABASE_URL cannot be read. It looks like postgres://user:password@host:5432/database; write @ : / # % of a password as %40 %3A %2F %23 %25"
        )
    })?;
    match tokio::time::timeout(WAIT, config.connect(NoTls)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(anyhow::anyhow!(said(&config, &error))),
        Err(_) => Err(anyhow::anyhow!(silent(&config, "no answer in 5 seconds"))),
    }
}

/// "db.example.com:5432".
fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let place = |(n, host): (usize, &Host)| {
        let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{} (port {port})", path.display()),
        }
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(place).collect();
    hosts.join(" or ")
}

fn silent(config: &Config, why: &str) -> String {
    format!(
        "PostgreSQL does not answer at {} ({why}). Check that it runs, that host and port in DATABASE_URL are right, and that no firewall stands between.",
        place(config)
    )
}

/// The database that is asked for: like the user where none is named.
fn database(config: &Config) -> &str {
    config
        .get_dbname()
        .or(config.get_user())
        .unwrap_or_default()
}

fn said(config: &Config, error: &tokio_postgres::Error) -> String {
    let at = place(config);
    let user = config.get_user().unwrap_or_default();
    let Some(answer) = error.as_db_error() else {
        return not_reached(config, error);
    };
    let code = answer.code();
    if [
        &SqlState::INVALID_PASSWORD,
        &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    ]
    .contains(&code)
    {
        format!(
            "PostgreSQL at {at} does not let the user \"{user}\" in ({}). Check user and password in DATABASE_URL, and pg_hba.conf of the server.",
            answer.message()
        )
    } else if *code == SqlState::INVALID_CATALOG_NAME {
        let name = database(config);
        format!(
            "PostgreSQL at {at} has no database \"{name}\". Make it there (CREATE DATABASE \"{name}\") or correct DATABASE_URL."
        )
    } else if *code == SqlState::CANNOT_CONNECT_NOW {
        format!("PostgreSQL at {at} is just starting or stopping. Try again in a moment.")
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        format!(
            "PostgreSQL at {at} has no connection left. Raise max_connections or stop what uses them."
        )
    } else {
        format!("PostgreSQL at {at} refused: {}.", answer.message())
    }
}

/// Nobody answered as PostgreSQL does.
fn not_reached(config: &Config, error: &tokio_postgres::Error) -> String {
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            let why = match io.kind() {
                ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
                ErrorKind::NotFound => "there is no such socket".to_owned(),
                _ if io.to_string().contains("lookup address") => {
                    "no host of this name is known".to_owned()
                }
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                    "it hung up: this may be another service".to_owned()
                }
                _ => io.to_string(),
            };
            return silent(config, &why);
        }
        cause = one.source();
    }
    let why = error.to_string();
    if why.contains("password missing") {
        return format!(
            "PostgreSQL at {} asks for a password, and DATABASE_URL has none.",
            place(config)
        );
    }
    if why.contains("TLS") {
        return format!(
            "DATABASE_URL asks for TLS, which is not spoken to PostgreSQL at {}: take sslmode=require out, and keep both on one machine or one private network.",
            place(config)
        );
    }
    silent(config, &why)
}
