//! What belongs to the installation: the first set-up and the fingerprint of its key.
//!
//! Invariant: an installation is set up once; there is no default account. Owns `installation`.

use anyhow::Context as _;
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::auth::{Role, password};
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{CompanyId, UserId};
use crate::schema::installation;
use crate::text::country;
use crate::{companies, users};

/// The form of the first start, as text; the command line fills the same struct.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SetUpInput {
    pub company: String,
    pub country: String,
    pub time_zone: String,
    pub name: String,
    pub email: String,
    #[serde(skip_serializing)]
    pub password: String,
}

pub async fn is_set_up(conn: &mut AsyncPgConnection) -> QueryResult<bool> {
    installation::table
        .select(installation::set_up_at.is_not_null())
        .first(conn)
        .await
}

/// Makes the company and its administrator; refuses when that was done already.
pub async fn set_up(app: &App, input: &SetUpInput) -> Result<(CompanyId, UserId)> {
    let mut errors = FieldErrors::default();
    let company = input.company.trim();
    if company.is_empty() {
        errors.add("company", "Enter the name of your company.");
    }
    let country = country::by_name(&input.country);
    if country.is_none() {
        errors.add(
            "country",
            "Choose a country. Numbers without a country code are read as numbers of this country.",
        );
    }
    let zone: Option<chrono_tz::Tz> = input.time_zone.trim().parse().ok();
    if zone.is_none() {
        errors.add("time_zone", "Choose a time zone, for example Asia/Jakarta.");
    }
    if input.name.trim().is_empty() {
        errors.add("name", "Enter your name.");
    }
    let email = users::normalized(&input.email);
    if !email.contains('@') {
        errors.add("email", "Enter your e-mail address; you sign in with it.");
    }
    if let Err(fault) = password::check(&input.password, &[company, &email, input.name.trim()]) {
        errors.add("password", fault);
    }
    let (country, zone) = errors.or(country.zip(zone))?;
    let hash = password::hash(SecretString::from(input.password.clone())).await?;
    let mut conn = app.db.system().await?;
    conn.transaction(async |conn| {
        let first = diesel::update(installation::table.filter(installation::set_up_at.is_null()))
            .set((
                installation::set_up_at.eq(crate::db::wablast_now().nullable()),
                installation::setup_token_hash.eq(None::<Vec<u8>>),
            ))
            .execute(conn)
            .await?;
        if first == 0 {
            return Err(Error::conflict(
                "This installation is set up already. Sign in instead.",
            ));
        }
        let company = companies::insert(conn, company, country, zone.name()).await?;
        let user = users::insert(
            conn,
            input.name.trim(),
            &email,
            &hash,
            company,
            Role::Administrator.as_str(),
        )
        .await?;
        Ok((company, user))
    })
    .await
}

/// A new one-time token for the set-up page; `None` when the installation is set up.
pub async fn new_setup_token(app: &App) -> Result<Option<String>> {
    let mut conn = app.db.system().await?;
    let token = crate::random::token(32);
    let waiting = diesel::update(installation::table.filter(installation::set_up_at.is_null()))
        .set(installation::setup_token_hash.eq(Some(Sha256::digest(token.as_bytes()).to_vec())))
        .execute(&mut *conn)
        .await?;
    Ok((waiting == 1).then_some(token))
}

/// Whether `token` opens the set-up page.
pub async fn setup_token_fits(app: &App, token: &str) -> Result<bool> {
    let mut conn = app.db.system().await?;
    let stored: Option<Vec<u8>> = installation::table
        .filter(installation::set_up_at.is_null())
        .select(installation::setup_token_hash)
        .first::<Option<Vec<u8>>>(&mut *conn)
        .await
        .optional()?
        .flatten();
    let given = Sha256::digest(token.as_bytes());
    Ok(stored.is_some_and(|stored| bool::from(stored.ct_eq(given.as_slice()))))
}

/// Refuses a key other than the one stored secrets were written with; remembers the first.
pub async fn check_key(app: &App) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    diesel::update(installation::table.filter(installation::key_fingerprint.is_null()))
        .set(installation::key_fingerprint.eq(app.crypt.fingerprint()))
        .execute(&mut *conn)
        .await?;
    let known: Option<String> = installation::table
        .select(installation::key_fingerprint)
        .first(&mut *conn)
        .await
        .context("reading the installation")?;
    anyhow::ensure!(
        known.as_deref() == Some(app.crypt.fingerprint()),
        "the key in {} is not the one this database's secrets were written with. Put the right key there, or set WABLAST_MASTER_KEY_FILE.",
        app.config.master_key_file.display()
    );
    Ok(())
}
