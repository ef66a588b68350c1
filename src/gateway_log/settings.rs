//! What a company has written down of its gateways, and for how long.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::app::App;
use crate::audit::{Field, Told};
use crate::error::{FieldErrors, Result};
use crate::gateways::tap::What;
use crate::ids::CompanyId;

/// How long what was written stays, when nothing else was chosen.
pub const DAYS: i32 = 7;
const MOST_DAYS: i32 = 90;
/// The words of the choice.
pub const WHATS: [&str; 3] = ["errors", "everything", "nothing"];

/// What the history tells of a changed choice.
pub const TOLD: &[Field] = &[
    ("what", "gateway_log.what", Told::Word("gateway_log.what_")),
    ("days", "gateway_log.days", Told::Text),
];

#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Settings {
    #[diesel(sql_type = Text)]
    pub what: String,
    #[diesel(sql_type = Integer)]
    pub days: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            what: "errors".to_owned(),
            days: DAYS,
        }
    }
}

/// The form, as text.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SettingsInput {
    pub what: String,
    pub days: String,
}

impl SettingsInput {
    pub fn of(settings: &Settings) -> Self {
        Self {
            what: settings.what.clone(),
            days: settings.days.to_string(),
        }
    }

    pub fn parse(&self) -> Result<Settings> {
        let mut errors = FieldErrors::default();
        if !WHATS.contains(&self.what.as_str()) {
            errors.add("what", "Choose errors, everything or nothing.");
        }
        let days = self.days.trim().parse().ok();
        let days = days.filter(|days| (1..=MOST_DAYS).contains(days));
        if days.is_none() {
            errors.add("days", "The days are a whole number from 1 to 90.");
        }
        errors.or(days.map(|days| Settings {
            what: self.what.clone(),
            days,
        }))
    }
}

pub async fn of(conn: &mut AsyncPgConnection, company: CompanyId) -> QueryResult<Settings> {
    let found: Option<Settings> =
        sql_query("SELECT what, days FROM gateway_log_settings WHERE company_id = $1")
            .bind::<BigInt, _>(company)
            .get_result(conn)
            .await
            .optional()?;
    Ok(found.unwrap_or_default())
}

pub async fn save(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    settings: &Settings,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO gateway_log_settings (company_id, what, days) VALUES ($1, $2, $3)
         ON CONFLICT (company_id) DO UPDATE SET what = EXCLUDED.what, days = EXCLUDED.days",
    )
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(&settings.what)
    .bind::<Integer, _>(settings.days)
    .execute(conn)
    .await
}

#[derive(QueryableByName)]
struct Wanted {
    #[diesel(sql_type = BigInt)]
    company_id: i64,
    #[diesel(sql_type = Text)]
    what: String,
}

/// Lets this process hold what companies want from now on; other processes read it within seconds.
pub async fn read(app: &App) -> anyhow::Result<()> {
    let mut conn = app.db.system().await?;
    let all: Vec<Wanted> = sql_query("SELECT company_id, what FROM gateway_log_settings")
        .load(&mut *conn)
        .await?;
    let wanted: HashMap<i64, What> = all
        .into_iter()
        .map(|one| {
            let what = match one.what.as_str() {
                "nothing" => What::Nothing,
                "everything" => What::Everything,
                _ => What::Errors,
            };
            (one.company_id, what)
        })
        .collect();
    app.http.tap().set(wanted);
    Ok(())
}
