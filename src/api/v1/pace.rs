//! The pace of an account, in and out: the same words both ways.

use utoipa::ToSchema;

use crate::accounts::{Account, AccountInput};
use crate::text::or_blank;

/// How fast, how much and when the account sends.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// 0.25 is 15 a minute; absent: 80 for Meta, 0.25 for WAHA and webhook.
    #[schema(example = 0.25)]
    per_second: Option<f64>,
    #[schema(example = 1)]
    burst: Option<u32>,
    /// Most messages in any 60 minutes; absent: no cap.
    #[schema(example = 400)]
    hourly_cap: Option<u32>,
    /// Most messages in any 24 hours; absent: no cap.
    #[schema(example = 2400)]
    daily_cap: Option<u32>,
    /// Seconds of a random pause after each message.
    delay: Option<Delay>,
    /// The daily cap is reached over some days.
    warm_up: Option<WarmUp>,
    /// Least seconds between two messages to one person; Meta's least is 6.
    #[schema(example = 6)]
    person_gap: Option<u32>,
    /// No mailing is sent in these hours; replies, welcome messages and tests are.
    quiet_hours: Option<QuietHours>,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    #[schema(example = 2.0)]
    min: f64,
    #[schema(example = 5.0)]
    max: f64,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Messages of the first day.
    #[schema(example = 20)]
    first_day: u32,
    /// After so many days the daily cap is reached.
    #[schema(example = 14)]
    days: u32,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    #[schema(example = "20:00")]
    from: String,
    #[schema(example = "08:00")]
    until: String,
    /// Whose clock: `recipient` (the country of the number) or `company`.
    #[serde(default = "recipient")]
    #[schema(example = "recipient")]
    zone: String,
}

fn recipient() -> String {
    "recipient".to_owned()
}

impl Pace {
    /// Fills the fields of the form.
    pub(super) fn fill(self, input: &mut AccountInput) {
        input.per_second = or_blank(self.per_second);
        input.burst = or_blank(self.burst);
        input.hourly_cap = or_blank(self.hourly_cap);
        input.daily_cap = or_blank(self.daily_cap);
        input.delay_min = or_blank(self.delay.as_ref().map(|delay| delay.min));
        input.delay_max = or_blank(self.delay.as_ref().map(|delay| delay.max));
        input.warm_up_first = or_blank(self.warm_up.as_ref().map(|warm_up| warm_up.first_day));
        input.warm_up_days = or_blank(self.warm_up.as_ref().map(|warm_up| warm_up.days));
        input.person_gap = or_blank(self.person_gap);
        if let Some(hours) = self.quiet_hours {
            (input.quiet_from, input.quiet_until) = (hours.from, hours.until);
            input.quiet_zone = hours.zone;
        }
    }
}

/// As it is set.
#[derive(Debug, serde::Serialize, ToSchema)]
#[schema(as = AccountPace)]
pub struct ShownPace {
    #[schema(example = 0.25)]
    per_second: f64,
    #[schema(example = 1)]
    burst: i32,
    #[schema(example = 400)]
    hourly_cap: Option<i32>,
    #[schema(example = 2400)]
    daily_cap: Option<i32>,
    delay: Option<Delay>,
    warm_up: Option<WarmUp>,
    #[schema(example = 6)]
    person_gap: i32,
    quiet_hours: Option<QuietHours>,
}

pub(super) fn shown(account: &Account) -> ShownPace {
    let rules = &account.rules;
    ShownPace {
        per_second: account.per_second,
        burst: account.burst,
        hourly_cap: rules.hourly_cap,
        daily_cap: rules.daily_cap,
        delay: rules
            .delay_min
            .zip(rules.delay_max)
            .map(|(min, max)| Delay { min, max }),
        warm_up: rules
            .warm_up_first
            .zip(rules.warm_up_days)
            .map(|(first_day, days)| WarmUp {
                first_day: first_day.unsigned_abs(),
                days: days.unsigned_abs(),
            }),
        person_gap: rules.person_gap,
        quiet_hours: rules.quiet().map(|hours| QuietHours {
            from: hours.from.format("%H:%M").to_string(),
            until: hours.until.format("%H:%M").to_string(),
            zone: if rules.quiet_local {
                "recipient"
            } else {
                "company"
            }
            .to_owned(),
        }),
    }
}
