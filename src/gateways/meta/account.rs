//! What Meta tells about an account: whether the credentials work, how the number stands, whether events come.
//!
//! Invariant: a test changes nothing at Meta; every check is a sentence that says what to do.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::super::{Check, SendError};
use super::Meta;
use crate::i18n::{Lang, number as number_of};

/// Fields of a number that every version has.
const FEW: &str = "id,display_phone_number,verified_name,quality_rating,status";
const MANY: &str = "id,display_phone_number,verified_name,quality_rating,status,name_status,throughput,account_mode,whatsapp_business_manager_messaging_limit,webhook_configuration";

/// How a number stands, as Meta says it now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Digits.
    pub number: String,
    pub verified_name: String,
    /// GREEN, YELLOW, RED, UNKNOWN ...
    pub quality: String,
    /// CONNECTED, or why not.
    pub status: String,
    /// STANDARD (80 a second), HIGH (1,000).
    pub throughput: String,
    /// TIER_2K and the like.
    pub limit: String,
}

impl Standing {
    fn read(body: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            number: text(&body["display_phone_number"])
                .chars()
                .filter(char::is_ascii_digit)
                .collect(),
            verified_name: text(&body["verified_name"]),
            quality: text(&body["quality_rating"]),
            status: text(&body["status"]),
            throughput: text(&body["throughput"]["level"]),
            limit: text(&body["whatsapp_business_manager_messaging_limit"]),
        }
    }
}

/// What opens the account, as Meta tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Token {
    pub scopes: Vec<String>,
    /// `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Everything Meta tells about a number and what opens it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    pub standing: Standing,
    /// `None` where Meta says nothing about the token.
    pub token: Option<Token>,
}

/// What sending and templates need.
pub const SCOPES: [&str; 2] = [
    "whatsapp_business_messaging",
    "whatsapp_business_management",
];
/// A token that ends sooner is worth a warning.
const SOON: TimeDelta = TimeDelta::days(14);

/// How many people a day the limit of a portfolio allows; `None`: no limit, or one nobody knows.
pub fn people_a_day(limit: &str) -> Option<i64> {
    let tier = limit.strip_prefix("TIER_").unwrap_or(limit);
    match tier.strip_suffix('K') {
        Some(thousands) => thousands.parse::<i64>().ok().map(|n| n * 1000),
        None => tier.parse().ok(),
    }
}

fn good(name: &'static str, message: String) -> Check {
    Check {
        name,
        ok: true,
        message,
    }
}

fn bad(name: &'static str, message: String) -> Check {
    Check {
        name,
        ok: false,
        message,
    }
}

impl Meta {
    /// How the number stands.
    pub async fn standing(&self) -> Result<Standing, SendError> {
        let phone = self.address.phone_uid.as_str();
        match self.get(&[phone], &[("fields", MANY)]).await {
            // An older version does not know a field: those that all know.
            Err(SendError::Refused { .. }) => {
                let body = self.get(&[phone], &[("fields", FEW)]).await?;
                Ok(Standing::read(&body))
            }
            answered => answered.map(|body| Standing::read(&body)),
        }
    }

    /// How the number stands, and what its token may do until when.
    pub async fn look(&self) -> Result<Looked, SendError> {
        let standing = self.standing().await?;
        Ok(Looked {
            standing,
            token: self.token().await,
        })
    }

    /// What the token may do. Meta does not tell every token about itself: that is no fault. From
    /// developers.facebook.com/docs/graph-api/reference/debug_token: `expires_at` is 0 where it never ends.
    async fn token(&self) -> Option<Token> {
        let own = self.address.token.as_ref()?.expose_secret();
        let body = self
            .get(&["debug_token"], &[("input_token", own)])
            .await
            .ok()?;
        let data = body.get("data").filter(|data| data.is_object())?;
        let scopes = data["scopes"].as_array().into_iter().flatten();
        Some(Token {
            scopes: scopes
                .filter_map(|scope| scope.as_str().map(str::to_owned))
                .collect(),
            expires_at: data["expires_at"]
                .as_i64()
                .filter(|seconds| *seconds > 0)
                .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        })
    }

    /// Has Meta post this account's events to the address of the app.
    pub async fn subscribe(&self) -> Result<(), SendError> {
        let waba = self.address.account_uid.as_str();
        self.post(&[waba, "subscribed_apps"], &json!({})).await?;
        Ok(())
    }

    /// Asks for everything sending needs; the checks in their order, up to the first that others build on, and what
    /// was learned by them.
    pub async fn test(&self, now: DateTime<Utc>) -> (Vec<Check>, Option<Looked>) {
        let looked = match self.look().await {
            Ok(looked) => looked,
            Err(error) => return (vec![bad("credentials", error.reason().to_owned())], None),
        };
        let mut checks = vec![good(
            "credentials",
            "Meta accepts the access token.".to_owned(),
        )];
        checks.extend(looked.token.as_ref().map(|token| token_check(token, now)));
        checks.push(number(&looked.standing));
        checks.extend(notes(&looked.standing));
        checks.push(self.belongs().await);
        checks.push(self.is_subscribed().await);
        (checks, Some(looked))
    }

    /// Whether the number is one of the account's.
    async fn belongs(&self) -> Check {
        let waba = self.address.account_uid.as_str();
        let phone = self.address.phone_uid.as_str();
        match self
            .get(
                &[waba, "phone_numbers"],
                &[("fields", "id"), ("limit", "100")],
            )
            .await
        {
            Ok(body) => {
                let numbers = body["data"].as_array().into_iter().flatten();
                if numbers
                    .filter_map(|one| one["id"].as_str())
                    .any(|id| id == phone)
                {
                    good(
                        "account",
                        "The number belongs to this WhatsApp Business Account.".to_owned(),
                    )
                } else {
                    bad("account", "The number does not belong to this WhatsApp Business Account. Compare Phone Number ID and Account ID in Meta's dashboard.".to_owned())
                }
            }
            Err(error) => bad("account", error.reason().to_owned()),
        }
    }

    async fn is_subscribed(&self) -> Check {
        let waba = self.address.account_uid.as_str();
        match self.get(&[waba, "subscribed_apps"], &[]).await {
            Ok(body) if body["data"].as_array().is_some_and(|apps| !apps.is_empty()) => {
                good("subscribed", "An app receives the events of this account.".to_owned())
            }
            Ok(_) => bad("subscribed", "No app receives the events of this account, so receipts and replies will not arrive. Press Subscribe app.".to_owned()),
            Err(error) => bad("subscribed", error.reason().to_owned()),
        }
    }
}

/// What the token lacks, or how long it lasts.
fn token_check(token: &Token, now: DateTime<Utc>) -> Check {
    let lacks = SCOPES
        .into_iter()
        .find(|scope| !token.scopes.iter().any(|own| own == scope));
    if let Some(scope) = lacks {
        return bad(
            "token",
            format!(
                "The access token lacks the permission {scope}. Make a new one for a system user in Meta's business settings."
            ),
        );
    }
    let Some(at) = token.expires_at else {
        return good(
            "token",
            "The access token may send and read templates, and it never expires.".to_owned(),
        );
    };
    let day = at.format("%-d %b %Y %H:%M UTC");
    if at - now < SOON {
        return good(
            "token",
            format!(
                "Warning: the access token expires {day}. Enter one of a system user, which never does, before then."
            ),
        );
    }
    good(
        "token",
        format!("The access token may send and read templates; it expires {day}."),
    )
}

fn number(standing: &Standing) -> Check {
    let name = &standing.verified_name;
    let number = &standing.number;
    match standing.status.as_str() {
        "CONNECTED" => good("number", format!("Connected as +{number}, {name}.")),
        "" => good("number", format!("Known as +{number}, {name}.")),
        status => bad(
            "number",
            format!(
                "The number +{number} is {status}, so Meta sends nothing from it. Look at it in WhatsApp Manager."
            ),
        ),
    }
}

/// Quality, throughput and limit, in words.
fn notes(standing: &Standing) -> Vec<Check> {
    let mut notes = Vec::new();
    match standing.quality.as_str() {
        "GREEN" => notes.push(good("quality", "People rate its messages well (quality green).".to_owned())),
        "YELLOW" => notes.push(good("quality", "Warning: people block or report its messages (quality yellow). Send less, to people who expect it.".to_owned())),
        "RED" => notes.push(good("quality", "Warning: many people block or report its messages (quality red). Meta may lower its limit or stop it.".to_owned())),
        _ => {}
    }
    match (people_a_day(&standing.limit), standing.limit.as_str()) {
        (Some(people), _) => notes.push(good("limit", format!("It may write first to {} people in 24 hours, all numbers of the business together.", number_of(Lang::En, people)))),
        (None, "TIER_UNLIMITED") => notes.push(good("limit", "It may write first to any number of people.".to_owned())),
        _ => {}
    }
    if standing.throughput == "HIGH" {
        notes.push(good(
            "throughput",
            "It may send 1,000 messages a second.".to_owned(),
        ));
    } else if standing.throughput == "STANDARD" {
        notes.push(good(
            "throughput",
            "It may send 80 messages a second.".to_owned(),
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_of_people() {
        assert_eq!(people_a_day("TIER_250"), Some(250));
        assert_eq!(people_a_day("TIER_100K"), Some(100_000));
        assert_eq!(people_a_day("2000"), Some(2000));
        assert_eq!(people_a_day("TIER_UNLIMITED"), None);
        assert_eq!(people_a_day("TIER_NOT_SET"), None);
    }
}
