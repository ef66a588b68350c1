//! What each of Meta's error codes means for the message, its mailing and its account: one table.
//!
//! From Meta's list of Cloud API error codes and what clients report (October 2026). Invariant: decided by
//! the code alone, never by the HTTP status, the title or the subcode; a code that nobody knows is
//! *uncertain* where the server failed and a refusal of this message where it answered. The same code in a
//! receipt never sends anything again.

use std::time::Duration;

use serde_json::Value;

use super::super::http::Reply;
use super::super::{FailureCode, SendError, shortened};

const MINUTE: Duration = Duration::from_secs(60);

/// What happens to a message that was answered so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// It may have gone out: never again by itself.
    Uncertain,
    /// It did not go out: again, by our own waits or after this one.
    Again(Option<Duration>),
    /// It did not go out, and the number sends too fast.
    Slower(Option<Duration>),
    /// It did not go out: this person got too many in a row, the others go on.
    AgainToThisPerson,
    /// The account stops until somebody mends it.
    StopAccount,
    /// Its mailings pause: their template is at fault.
    StopMailing,
    /// This message, for good.
    Refused,
}

use FailureCode as Code;
use Reaction::{Again, AgainToThisPerson, Refused, Slower, StopAccount, StopMailing, Uncertain};

/// The codes from one to another, what follows, under which name pages count it, and why in plain words.
pub struct Row {
    pub from: i64,
    pub to: i64,
    pub reaction: Reaction,
    pub code: FailureCode,
    pub words: &'static str,
}

const fn row(code: i64, reaction: Reaction, name: FailureCode, words: &'static str) -> Row {
    rows(code, code, reaction, name, words)
}

const fn rows(
    from: i64,
    to: i64,
    reaction: Reaction,
    code: FailureCode,
    words: &'static str,
) -> Row {
    Row {
        from,
        to,
        reaction,
        code,
        words,
    }
}

const TOKEN: &str =
    "Meta does not accept the access token any more. Enter a new one on the account.";
const PERMISSION: &str = "The access token may not do this. Give it whatsapp_business_messaging and whatsapp_business_management in Meta.";
const RESTRICTED: &str = "Meta has restricted this account. Look at it in WhatsApp Manager.";
const NUMBER: &str =
    "The number is not registered with Meta's Cloud API. Register it in WhatsApp Manager.";
const LATER: &str = "Meta cannot take messages at the moment.";
const TOO_FAST: &str =
    "Meta takes no more messages a second from this number. It sends more slowly now.";
const TEMPLATE: &str = "Meta does not send this template now. Look at it under Templates, and choose another one if need be.";
const MISFIT: &str = "The values do not fit the template: their number or their form. Sync the templates and look at the mailing.";
const PARAMETER: &str = "Meta refused a value of this message.";

/// In the order of the codes.
pub const TABLE: &[Row] = &[
    row(0, StopAccount, Code::Auth, TOKEN),
    row(
        1,
        Uncertain,
        Code::GatewayError,
        "Meta failed without saying why.",
    ),
    row(2, Again(None), Code::GatewayError, LATER),
    row(3, StopAccount, Code::Auth, PERMISSION),
    row(
        4,
        Slower(Some(MINUTE.saturating_mul(5))),
        Code::RateLimited,
        "The app has made too many calls to Meta within the hour.",
    ),
    row(10, StopAccount, Code::Auth, PERMISSION),
    row(
        33,
        StopAccount,
        Code::Registration,
        "Meta does not know this Phone Number ID, or the number was deleted.",
    ),
    row(100, Refused, Code::GatewayRefused, PARAMETER),
    row(104, StopAccount, Code::Auth, TOKEN),
    row(190, StopAccount, Code::Auth, TOKEN),
    rows(200, 299, StopAccount, Code::Auth, PERMISSION),
    row(368, StopAccount, Code::Restricted, RESTRICTED),
    row(
        80007,
        Slower(Some(MINUTE.saturating_mul(2))),
        Code::RateLimited,
        "The WhatsApp Business Account has reached its limit of calls.",
    ),
    row(
        80008,
        Again(Some(MINUTE.saturating_mul(5))),
        Code::RateLimited,
        "Too many calls about templates; Meta takes more later.",
    ),
    row(
        130_403,
        Refused,
        Code::GatewayRefused,
        "The business has blocked this person in WhatsApp.",
    ),
    row(
        130_429,
        Slower(Some(Duration::from_secs(2))),
        Code::RateLimited,
        TOO_FAST,
    ),
    row(
        130_472,
        Refused,
        Code::GatewayRefused,
        "This person is in one of Meta's experiments and gets no marketing messages for now.",
    ),
    row(
        130_497,
        Refused,
        Code::GatewayRefused,
        "The account may not write to people in this country.",
    ),
    row(
        131_000,
        Uncertain,
        Code::GatewayError,
        "Meta failed without saying why.",
    ),
    row(131_005, StopAccount, Code::Auth, PERMISSION),
    rows(131_008, 131_009, Refused, Code::GatewayRefused, PARAMETER),
    row(131_016, Again(None), Code::GatewayError, LATER),
    row(
        131_021,
        Refused,
        Code::InvalidNumber,
        "This is the number of the account itself.",
    ),
    row(
        131_026,
        Refused,
        Code::NotOnWhatsapp,
        "Meta cannot deliver to this number: it is not on WhatsApp, or the person has not accepted its terms or uses an old version.",
    ),
    row(
        131_030,
        Refused,
        Code::GatewayRefused,
        "This is a test number of Meta's: it only writes to people on its list of recipients.",
    ),
    row(131_031, StopAccount, Code::Restricted, RESTRICTED),
    row(
        131_037,
        StopAccount,
        Code::Registration,
        "The display name of the number is not approved yet. Look at it in WhatsApp Manager.",
    ),
    row(
        131_042,
        StopAccount,
        Code::Payment,
        "Meta cannot bill this account. Set up or mend the payment method in WhatsApp Manager.",
    ),
    row(131_045, StopAccount, Code::Registration, NUMBER),
    row(
        131_047,
        Refused,
        Code::TemplateRequired,
        "More than 24 hours have passed since this person wrote: only a template reaches them.",
    ),
    row(
        131_048,
        StopAccount,
        Code::Restricted,
        "Too many people blocked or reported this number: Meta lets it send no more for some hours. Send less, to people who expect it.",
    ),
    row(
        131_049,
        Refused,
        Code::MarketingLimit,
        "Meta holds back marketing messages to this person for now. Try again after a day at the earliest.",
    ),
    row(
        131_050,
        Refused,
        Code::Unsubscribed,
        "This person stopped marketing messages of this business in WhatsApp.",
    ),
    row(
        131_051,
        Refused,
        Code::GatewayRefused,
        "Meta does not take messages of this kind.",
    ),
    row(
        131_053,
        Refused,
        Code::MediaRejected,
        "Meta could not take the file of this message.",
    ),
    row(131_055, StopMailing, Code::Template, TEMPLATE),
    row(
        131_056,
        AgainToThisPerson,
        Code::PairLimited,
        "Too many messages to this person in a short time.",
    ),
    row(
        131_057,
        Slower(Some(MINUTE.saturating_mul(2))),
        Code::RateLimited,
        "Meta is raising the number's throughput and takes messages again in some minutes.",
    ),
    row(
        131_062,
        Refused,
        Code::InvalidNumber,
        "This person's number is hidden, and this message needs it.",
    ),
    row(
        131_063,
        StopMailing,
        Code::Template,
        "This account may not send marketing messages through the Cloud API.",
    ),
    row(
        131_064,
        StopAccount,
        Code::Restricted,
        "Meta has limited the account because templates were in the wrong category. It lifts that by itself.",
    ),
    row(132_000, Refused, Code::Misfit, MISFIT),
    row(
        132_001,
        StopMailing,
        Code::Template,
        "Meta does not know this template in this language, or it is not approved.",
    ),
    row(
        132_005,
        Refused,
        Code::Misfit,
        "With this person's values the text is too long for the template.",
    ),
    row(
        132_007,
        StopMailing,
        Code::Template,
        "Meta refuses the content of this template.",
    ),
    row(132_012, Refused, Code::Misfit, MISFIT),
    rows(132_015, 132_016, StopMailing, Code::Template, TEMPLATE),
    row(132_018, Refused, Code::Misfit, MISFIT),
    row(132_068, StopMailing, Code::Template, TEMPLATE),
    row(
        132_069,
        Again(Some(MINUTE.saturating_mul(15))),
        Code::RateLimited,
        "The flow inside this template was sent too often within the hour.",
    ),
    row(133_000, StopAccount, Code::Registration, NUMBER),
    row(133_004, Again(None), Code::GatewayError, LATER),
    rows(133_005, 133_010, StopAccount, Code::Registration, NUMBER),
    rows(133_015, 133_016, StopAccount, Code::Registration, NUMBER),
    row(
        134_011,
        StopAccount,
        Code::Payment,
        "The terms of payment are not accepted yet. Look at the account in WhatsApp Manager.",
    ),
    row(134_100, StopMailing, Code::Template, TEMPLATE),
    row(
        134_101,
        Again(Some(MINUTE.saturating_mul(10))),
        Code::Template,
        "Meta is still preparing this template.",
    ),
    row(134_102, StopMailing, Code::Template, TEMPLATE),
    row(135_000, Refused, Code::GatewayRefused, PARAMETER),
    row(
        137_000,
        Refused,
        Code::GatewayRefused,
        "This person's WhatsApp changed since; Meta refuses until that is confirmed.",
    ),
];

/// The row of a code.
pub fn find(code: i64) -> Option<&'static Row> {
    TABLE.iter().find(|row| (row.from..=row.to).contains(&code))
}

/// An error of Meta's, as answers and receipts carry it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaError {
    pub code: i64,
    /// Meta's own words: the details where there are some.
    pub details: String,
}

impl MetaError {
    /// Out of `{"code", "message", "title", "error_data": {"details"}}`.
    pub fn read(error: &Value) -> Option<Self> {
        let details = [
            &error["error_data"]["details"],
            &error["message"],
            &error["title"],
        ]
        .into_iter()
        .filter_map(Value::as_str)
        .find(|text| !text.trim().is_empty())
        .unwrap_or("no details");
        Some(Self {
            code: error["code"].as_i64()?,
            details: shortened(details),
        })
    }

    /// Why, in plain words, with Meta's own behind them.
    pub fn reason(&self) -> String {
        let words = find(self.code).map_or("Meta refused this message.", |row| row.words);
        format!("{words} (Meta {}: {})", self.code, self.details)
    }

    pub fn failure_code(&self) -> FailureCode {
        find(self.code).map_or(FailureCode::GatewayRefused, |row| row.code)
    }

    /// What becomes of a message whose request was answered with this error.
    pub(super) fn into_outcome(self, reply: &Reply) -> SendError {
        let reason = self.reason();
        let code = self.failure_code();
        let reaction = find(self.code).map_or_else(|| unknown(reply.status), |row| row.reaction);
        match reaction {
            Uncertain => SendError::Uncertain {
                code: FailureCode::GatewayError,
                reason,
            },
            Again(wait) | Slower(wait) => SendError::NotSent {
                after: reply.retry_after.or(wait),
                code,
                reason,
            },
            AgainToThisPerson => SendError::NotSent {
                after: None,
                code,
                reason,
            },
            StopAccount => SendError::AccountStop { code, reason },
            StopMailing => SendError::MailingStop { code, reason },
            Refused => SendError::Refused { code, reason },
        }
    }
}

fn unknown(status: u16) -> Reaction {
    match status {
        429 => Again(None),
        500.. => Uncertain,
        _ => Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_stand_in_order_and_none_twice() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].to < pair[1].from, "{} {}", pair[0].to, pair[1].from);
            assert!(pair[0].from <= pair[0].to);
        }
    }

    #[test]
    fn what_slows_a_number_down_counts_as_its_rate() {
        for row in TABLE {
            if matches!(row.reaction, Slower(_)) {
                assert_eq!(row.code, Code::RateLimited, "{}", row.from);
            }
        }
    }
}
