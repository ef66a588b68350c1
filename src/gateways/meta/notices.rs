//! What Meta tells about an account or a number by itself, as a sentence.
//!
//! From Meta's webhook reference (November 2026). Invariants: an event nobody knows says its name instead of
//! being lost; Meta's own descriptions are carried over, shortened; messages and templates are told elsewhere.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::shortened;
use super::account::people_a_day;
use crate::i18n::{Lang, number};

/// Something an account's people should read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// The number it is about, in digits; empty: the whole account.
    pub number: String,
    /// Meta's word for it.
    pub event: String,
    /// Somebody should do something.
    pub serious: bool,
    pub words: String,
}

/// The notice of a change; `None`: it is about messages or templates, or says nothing new.
pub(super) fn of(field: &str, value: &Value) -> Option<Notice> {
    let event = text(&value["event"]);
    let (event, (serious, words)) = match field {
        "account_alerts" => alert(value)?,
        "account_update" => (event.clone(), account(&event, value)),
        "account_review_update" => {
            let decision = text(&value["decision"]);
            let said = review(&decision);
            (decision, said)
        }
        "phone_number_name_update" => {
            let decision = text(&value["decision"]);
            let said = name(&decision, value);
            (decision, said)
        }
        "phone_number_quality_update" => (event.clone(), quality(&event, value)?),
        "business_capability_update" => (field.to_owned(), (false, limit(value)?)),
        "security" => (event.clone(), security(&event)),
        _ => return None,
    };
    Some(Notice {
        number: text(&value["display_phone_number"])
            .chars()
            .filter(char::is_ascii_digit)
            .collect(),
        event,
        serious,
        words,
    })
}

fn text(value: &Value) -> String {
    shortened(value.as_str().unwrap_or_default())
}

fn alert(value: &Value) -> Option<(String, (bool, String))> {
    // Older versions tell it without the object around it.
    let info = match &value["alert_info"] {
        Value::Null => value,
        info => info,
    };
    let (kind, said) = (text(&info["alert_type"]), text(&info["alert_description"]));
    let words = match (said.is_empty(), kind.as_str()) {
        (_, "OBA_APPROVED") => "Meta shows this number as an official business account.".to_owned(),
        (false, _) => format!("Meta alerts: {said}"),
        (true, "") => return None,
        (true, kind) => format!("Meta alerts: {kind}"),
    };
    let serious = matches!(
        info["alert_severity"].as_str(),
        Some("CRITICAL" | "WARNING")
    );
    Some((kind, (serious, words)))
}

fn account(event: &str, value: &Value) -> (bool, String) {
    match event {
        "ACCOUNT_RESTRICTION" => (true, restriction(value)),
        "ACCOUNT_VIOLATION" => {
            let kind = text(&value["violation_info"]["violation_type"]);
            (
                true,
                format!(
                    "Meta found that messages break its policy ({kind}). Look at the account in WhatsApp Manager."
                ),
            )
        }
        "DISABLED_UPDATE" => match value["ban_info"]["waba_ban_state"].as_str() {
            Some("SCHEDULE_FOR_DISABLE") => {
                let date = text(&value["ban_info"]["waba_ban_date"]);
                (
                    true,
                    format!(
                        "Meta will switch this account off on {date}. Look at it in WhatsApp Manager."
                    ),
                )
            }
            Some("REINSTATE") => (
                false,
                "Meta has switched this account on again. Test the connection to go on.".to_owned(),
            ),
            _ => (true, "Meta has switched this account off.".to_owned()),
        },
        "ACCOUNT_DELETED" => (true, "The account was deleted at Meta.".to_owned()),
        "ACCOUNT_OFFBOARDED" | "PARTNER_REMOVED" => (
            true,
            "The account was taken away from the app at Meta.".to_owned(),
        ),
        "ACCOUNT_RECONNECTED" | "PARTNER_ADDED" => (
            false,
            "The account was given to the app at Meta.".to_owned(),
        ),
        "VOLUME_BASED_PRICING_TIER_UPDATE" => (false, tier(value)),
        "MM_LITE_TERMS_SIGNED" => (
            false,
            "The terms of Meta's marketing messages are signed: they can be switched on here."
                .to_owned(),
        ),
        "" => (
            false,
            "Meta changed something about this account.".to_owned(),
        ),
        other => (
            false,
            format!("Meta changed something about this account: {other}"),
        ),
    }
}

fn restriction(value: &Value) -> String {
    let all: Vec<&Value> = value["restriction_info"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let kinds: Vec<String> = all
        .iter()
        .map(|one| text(&one["restriction_type"]))
        .collect();
    let kinds = kinds.join(", ");
    match all
        .iter()
        .filter_map(|one| moment(&one["expiration"]))
        .max()
    {
        Some(at) => {
            let day = at.format("%-d %b %Y %H:%M UTC");
            format!("Meta restricts this account until {day}: {kinds}")
        }
        None => format!("Meta restricts this account: {kinds}"),
    }
}

/// Seconds, as a number or as text.
fn moment(value: &Value) -> Option<DateTime<Utc>> {
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    DateTime::from_timestamp(seconds, 0)
}

/// Meta's discount by volume, which an estimate by the card does not know.
fn tier(value: &Value) -> String {
    let info = &value["volume_tier_info"];
    let [category, region, tier] =
        ["pricing_category", "region", "tier"].map(|name| text(&info[name]));
    format!(
        "Meta counts {category} messages to {region} in volume tier {tier} now. Estimates here do not know tiers: the invoice may be lower."
    )
}

fn review(decision: &str) -> (bool, String) {
    match decision {
        "APPROVED" => (
            false,
            "Meta has reviewed this account: it may be used.".to_owned(),
        ),
        "REJECTED" => (
            true,
            "Meta has reviewed this account and refuses it. Look at it in WhatsApp Manager."
                .to_owned(),
        ),
        _ => (
            true,
            "Meta is reviewing this account; until then it cannot be used.".to_owned(),
        ),
    }
}

fn name(decision: &str, value: &Value) -> (bool, String) {
    let name = text(&value["requested_verified_name"]);
    let why = text(&value["rejection_reason"]);
    match decision {
        "APPROVED" => (false, format!("Meta has approved the name “{name}”.")),
        "REJECTED" if !why.is_empty() && why != "NONE" => {
            (true, format!("Meta refuses the name “{name}”: {why}"))
        }
        "REJECTED" => (true, format!("Meta refuses the name “{name}”.")),
        _ => (false, format!("Meta is looking at the name “{name}”.")),
    }
}

fn quality(event: &str, value: &Value) -> Option<(bool, String)> {
    let limit = limit(value).unwrap_or_default();
    let said = match event {
        "ONBOARDING" => "The number is registered at Meta.",
        "THROUGHPUT_UPGRADE" => "The number may send 1,000 messages a second now.",
        "UPGRADE" => "Meta has raised the limit of the number.",
        "DOWNGRADE" => {
            "Meta has lowered the limit of the number: too many people block or report its messages."
        }
        "FLAGGED" => "Meta has flagged the number: too many people block or report its messages.",
        "UNFLAGGED" => "The number is flagged no longer.",
        _ if limit.is_empty() => return None,
        _ => "",
    };
    let serious = matches!(event, "DOWNGRADE" | "FLAGGED");
    Some((serious, format!("{said} {limit}").trim().to_owned()))
}

/// How many people the business may write first to now.
fn limit(value: &Value) -> Option<String> {
    let word = [
        "max_daily_conversations_per_business",
        "max_daily_conversation_per_phone",
        "current_limit",
    ]
    .into_iter()
    .find_map(|name| match &value[name] {
        Value::String(word) => Some(word.clone()),
        Value::Number(word) => Some(word.to_string()),
        _ => None,
    })?;
    match people_a_day(&word) {
        Some(people) if people > 0 => {
            let people = number(Lang::En, people);
            Some(format!(
                "The business may write first to {people} people in 24 hours."
            ))
        }
        _ if word.ends_with("UNLIMITED") || word == "-1" => {
            Some("The business may write first to any number of people.".to_owned())
        }
        _ => None,
    }
}

fn security(event: &str) -> (bool, String) {
    match event {
        "PIN_CHANGED" => (true, "Somebody changed the PIN of the number at Meta.".to_owned()),
        "PIN_RESET_REQUEST" => (
            true,
            "Somebody asked Meta to switch the PIN of the number off. If it was nobody of yours, look at WhatsApp Manager.".to_owned(),
        ),
        "PIN_RESET_SUCCESS" => (true, "The PIN of the number is switched off.".to_owned()),
        other => (true, format!("Meta tells about the security of the number: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(field: &str, value: &Value) -> (bool, String) {
        let notice = of(field, value).unwrap_or_default();
        (notice.serious, notice.words)
    }

    #[test]
    fn every_kind_of_news_is_a_sentence() {
        let alert = json!({ "entity_type": "BUSINESS", "alert_info": { "alert_severity": "WARNING",
            "alert_type": "INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED", "alert_description": "Limits cannot be increased yet." } });
        assert_eq!(
            said("account_alerts", &alert),
            (
                true,
                "Meta alerts: Limits cannot be increased yet.".to_owned()
            )
        );
        let limit = json!({ "max_daily_conversations_per_business": "TIER_10K" });
        assert_eq!(
            said("business_capability_update", &limit),
            (
                false,
                "The business may write first to 10,000 people in 24 hours.".to_owned()
            )
        );
        let restriction = json!({ "event": "ACCOUNT_RESTRICTION",
            "restriction_info": [{ "restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1_641_330_498 }] });
        assert_eq!(
            said("account_update", &restriction).1,
            "Meta restricts this account until 4 Jan 2022 21:08 UTC: RESTRICTED_BIZ_INITIATED_MESSAGING"
        );
        let tier = json!({ "event": "VOLUME_BASED_PRICING_TIER_UPDATE",
            "volume_tier_info": { "pricing_category": "UTILITY", "region": "Indonesia", "tier": "25000:50000" } });
        assert!(
            said("account_update", &tier)
                .1
                .starts_with("Meta counts UTILITY messages to Indonesia in volume tier")
        );
        // What nobody knows yet is named.
        let new = json!({ "event": "HOLOGRAMS_ALLOWED" });
        assert_eq!(
            said("account_update", &new).1,
            "Meta changed something about this account: HOLOGRAMS_ALLOWED"
        );
        assert_eq!(of("messages", &json!({})), None);
        assert_eq!(of("message_template_status_update", &new), None);
    }
}
