//! How an account sends beside its pace, and ready-made paces to choose from.
//!
//! Invariants: an account nobody decided about sends as before there was a choice; a preset is nothing but the
//! fields of the pace, filled. Owns `account_sending`. Does not know who sends.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Account;
use crate::error::{Error, Result};
use crate::ids::AccountId;

const MOST_CHECKS: i32 = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Sending {
    /// WhatsApp shows what stands behind a link.
    #[diesel(sql_type = Bool)]
    pub link_preview: bool,
    /// The person sees "typing…" before a message.
    #[diesel(sql_type = Bool)]
    pub typing: bool,
    /// Numbers that wait are asked for at WhatsApp.
    #[diesel(sql_type = Bool)]
    pub check_numbers: bool,
    #[diesel(sql_type = Integer)]
    pub checks_an_hour: i32,
    /// Trouble halves the pace.
    #[diesel(sql_type = Bool)]
    pub slow_down: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub slowed_at: Option<chrono::DateTime<chrono::Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub slowed_why: Option<String>,
    /// Of a number at Meta: marketing templates go through Meta's own call for them.
    #[diesel(sql_type = Bool)]
    pub marketing_messages: bool,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            link_preview: true,
            typing: false,
            check_numbers: false,
            checks_an_hour: 60,
            slow_down: false,
            slowed_at: None,
            slowed_why: None,
            marketing_messages: false,
        }
    }
}

/// The form, as text.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SendingInput {
    pub link_preview: Option<String>,
    pub typing: Option<String>,
    pub check_numbers: Option<String>,
    pub checks_an_hour: String,
    pub slow_down: Option<String>,
}

impl SendingInput {
    pub fn of(sending: &Sending) -> Self {
        let ticked = |is_so: bool| is_so.then(|| "true".to_owned());
        Self {
            link_preview: ticked(sending.link_preview),
            typing: ticked(sending.typing),
            check_numbers: ticked(sending.check_numbers),
            checks_an_hour: sending.checks_an_hour.to_string(),
            slow_down: ticked(sending.slow_down),
        }
    }

    pub fn parse(&self) -> Result<Sending> {
        let typed = self.checks_an_hour.trim();
        let checks = if typed.is_empty() {
            Some(60)
        } else {
            typed.parse().ok()
        };
        let Some(checks_an_hour) = checks.filter(|checks| (1..=MOST_CHECKS).contains(checks))
        else {
            return Err(Error::invalid(
                "checks_an_hour",
                "Checks an hour are a whole number from 1 to 1,000.",
            ));
        };
        Ok(Sending {
            link_preview: self.link_preview.is_some(),
            typing: self.typing.is_some(),
            check_numbers: self.check_numbers.is_some(),
            checks_an_hour,
            slow_down: self.slow_down.is_some(),
            ..Sending::default()
        })
    }
}

pub async fn of(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<Sending> {
    let found: Option<Sending> = sql_query(
        "SELECT link_preview, typing, check_numbers, checks_an_hour, slow_down, slowed_at, slowed_why, marketing_messages
         FROM account_sending WHERE account_id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
    .optional()?;
    Ok(found.unwrap_or_default())
}

/// Stores the choice; whoever sends notices by the account's `updated_at`.
pub async fn save(
    conn: &mut AsyncPgConnection,
    account: &Account,
    sending: &Sending,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO account_sending (account_id, company_id, link_preview, typing, check_numbers, checks_an_hour, slow_down)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (account_id) DO UPDATE SET link_preview = EXCLUDED.link_preview, typing = EXCLUDED.typing,
           check_numbers = EXCLUDED.check_numbers, checks_an_hour = EXCLUDED.checks_an_hour, slow_down = EXCLUDED.slow_down",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<BigInt, _>(account.company_id)
    .bind::<Bool, _>(sending.link_preview)
    .bind::<Bool, _>(sending.typing)
    .bind::<Bool, _>(sending.check_numbers)
    .bind::<Integer, _>(sending.checks_an_hour)
    .bind::<Bool, _>(sending.slow_down)
    .execute(conn)
    .await?;
    sql_query("UPDATE accounts SET updated_at = wablast_now() WHERE id = $1")
        .bind::<BigInt, _>(account.id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether marketing templates of a number at Meta go through Meta's own call for them.
pub async fn set_marketing_messages(
    conn: &mut AsyncPgConnection,
    account: &Account,
    on: bool,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO account_sending (account_id, company_id, marketing_messages) VALUES ($1, $2, $3)
         ON CONFLICT (account_id) DO UPDATE SET marketing_messages = EXCLUDED.marketing_messages",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<BigInt, _>(account.company_id)
    .bind::<Bool, _>(on)
    .execute(conn)
    .await?;
    sql_query("UPDATE accounts SET updated_at = wablast_now() WHERE id = $1")
        .bind::<BigInt, _>(account.id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ready-made paces for a number that is not official.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    Careful,
    Normal,
    Fast,
}

/// What a preset fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filled {
    /// Seconds of the random pause.
    pub delay: (f64, f64),
    pub hourly_cap: i32,
    pub daily_cap: i32,
    /// Messages on the first day, and days.
    pub warm_up: Option<(i32, i32)>,
    /// Quiet by the recipient's clock.
    pub quiet: Option<(&'static str, &'static str)>,
}

impl Preset {
    pub const ALL: [Self; 3] = [Self::Careful, Self::Normal, Self::Fast];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Careful => "careful",
            Self::Normal => "normal",
            Self::Fast => "fast",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == word)
    }

    /// WAHA's own advice is 30 to 60 seconds and pauses at night; the faster ones are for numbers that people
    /// write to.
    pub fn filled(self) -> Filled {
        match self {
            Self::Careful => Filled {
                delay: (30.0, 60.0),
                hourly_cap: 40,
                daily_cap: 200,
                warm_up: Some((20, 14)),
                quiet: Some(("20:00", "08:00")),
            },
            Self::Normal => Filled {
                delay: (8.0, 20.0),
                hourly_cap: 200,
                daily_cap: 1_000,
                warm_up: Some((50, 10)),
                quiet: Some(("21:00", "07:00")),
            },
            Self::Fast => Filled {
                delay: (2.0, 5.0),
                hourly_cap: 900,
                daily_cap: 5_000,
                warm_up: None,
                quiet: None,
            },
        }
    }

    /// The one whose fields the account has.
    pub fn of(account: &Account) -> Option<Self> {
        let rules = &account.rules;
        let clock =
            |time: Option<chrono::NaiveTime>| time.map(|time| time.format("%H:%M").to_string());
        Self::ALL.into_iter().find(|preset| {
            let filled = preset.filled();
            let quiet = filled
                .quiet
                .map(|(from, until)| (from.to_owned(), until.to_owned()));
            rules.delay_min.zip(rules.delay_max) == Some(filled.delay)
                && rules.hourly_cap == Some(filled.hourly_cap)
                && rules.daily_cap == Some(filled.daily_cap)
                && rules.warm_up_first.zip(rules.warm_up_days) == filled.warm_up
                && clock(rules.quiet_from).zip(clock(rules.quiet_until)) == quiet
        })
    }
}

/// Fills the account's pace, and lets trouble slow it down. A warm-up that goes on keeps its first day.
pub async fn fill(
    conn: &mut AsyncPgConnection,
    account: &Account,
    preset: Preset,
) -> QueryResult<()> {
    let filled = preset.filled();
    sql_query(
        "UPDATE accounts SET per_second = 1, burst = 1, delay_min = $2, delay_max = $3, hourly_cap = $4, daily_cap = $5,
           warm_up_first = $6, warm_up_days = $7, warm_up_since = CASE WHEN $6 IS NOT NULL THEN coalesce(warm_up_since, wablast_now()) END,
           quiet_from = $8::time, quiet_until = $9::time, quiet_local = true, updated_at = wablast_now() WHERE id = $1",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<diesel::sql_types::Double, _>(filled.delay.0)
    .bind::<diesel::sql_types::Double, _>(filled.delay.1)
    .bind::<Integer, _>(filled.hourly_cap)
    .bind::<Integer, _>(filled.daily_cap)
    .bind::<Nullable<Integer>, _>(filled.warm_up.map(|(first, _)| first))
    .bind::<Nullable<Integer>, _>(filled.warm_up.map(|(_, days)| days))
    .bind::<Nullable<Text>, _>(filled.quiet.map(|(from, _)| from))
    .bind::<Nullable<Text>, _>(filled.quiet.map(|(_, until)| until))
    .execute(conn)
    .await?;
    let sending = of(conn, account.id).await?;
    save(
        conn,
        account,
        &Sending {
            slow_down: true,
            ..sending
        },
    )
    .await
}
