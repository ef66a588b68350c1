//! What can go wrong with a send, by probability with a seed, or for chosen numbers.

use std::collections::BTreeMap;

use anyhow::bail;

/// One way a gateway misbehaves.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Nothing happens and no answer comes.
    TimeoutBefore,
    /// The message goes out; no answer comes.
    TimeoutAfter,
    /// The connection breaks before anything happened.
    ResetBefore,
    /// The message goes out; the connection breaks instead of an answer.
    ResetAfter,
    /// 500 before anything happened.
    ErrorBefore,
    /// The message goes out; 500 all the same.
    ErrorAfter,
    /// The message goes out; the answer is empty.
    EmptyAnswer,
    /// 201, and then only the server's acknowledgement for ever.
    NotOnWhatsapp,
    /// 201, and then ERROR.
    ErrorAck,
    /// 201, delivered, and never read.
    Unread,
    /// 201, and no acknowledgement.
    AcksLost,
    /// 201, acknowledged, and WAHA's events of it get lost.
    EventsLost,
    /// 400: this message is refused.
    Refused,
    /// The answer takes 20 seconds.
    Slow,
    /// The connection is closed before anything happened, without a byte of an answer.
    CloseBefore,
    /// The message goes out; the connection is closed without a byte of an answer.
    CloseAfter,
    /// 429, again after a second.
    RateLimited,
    /// 429, again after a date.
    RateLimitedDate,
    /// 429, with a Retry-After that nobody can read.
    RateLimitedGarbage,
    /// 429, again after three thousand years.
    RateLimitedHuge,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404, as a proxy says it.
    NotFound,
    /// 409.
    Conflict,
    /// 502, as a proxy says it.
    BadGateway,
    /// 503.
    Unavailable,
    /// The message goes out; 504 from a proxy that waited too little.
    GatewayTimeout,
    /// The message goes out; the answer comes with a byte a second.
    Trickle,
    /// The message goes out; the answer is a gigabyte long.
    Endless,
    /// The message goes out; the answer is no JSON.
    BadJson,
    /// The message goes out; the answer carries the id of another one.
    WrongId,
    /// 307 to another address, before anything happened.
    Redirect,
    /// The message goes out; the answer speaks HTTP/1.0.
    OldHttp,
}

/// Every fault, in the order of the help.
pub const ALL: [Fault; 33] = [
    Fault::TimeoutBefore,
    Fault::TimeoutAfter,
    Fault::ResetBefore,
    Fault::ResetAfter,
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::EmptyAnswer,
    Fault::NotOnWhatsapp,
    Fault::ErrorAck,
    Fault::Unread,
    Fault::AcksLost,
    Fault::EventsLost,
    Fault::Refused,
    Fault::Slow,
    Fault::CloseBefore,
    Fault::CloseAfter,
    Fault::RateLimited,
    Fault::RateLimitedDate,
    Fault::RateLimitedGarbage,
    Fault::RateLimitedHuge,
    Fault::Unauthorized,
    Fault::Forbidden,
    Fault::NotFound,
    Fault::Conflict,
    Fault::BadGateway,
    Fault::Unavailable,
    Fault::GatewayTimeout,
    Fault::Trickle,
    Fault::Endless,
    Fault::BadJson,
    Fault::WrongId,
    Fault::Redirect,
    Fault::OldHttp,
];

impl Fault {
    /// As it is written on the command line.
    pub fn name(self) -> String {
        let name = serde_json::to_value(self).unwrap_or_default();
        name.as_str().unwrap_or_default().to_owned()
    }

    fn named(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
    }
}

/// Which faults happen.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Fault to share of messages, 0 to 1.
    pub share: BTreeMap<Fault, f64>,
    /// Number (digits) to the fault that always happens to it.
    pub numbers: BTreeMap<String, Fault>,
    /// Number (digits) to the error code of Meta's that answers every message to it.
    pub codes: BTreeMap<String, i64>,
    /// Number (digits) to the error code that comes afterwards, as a failed status.
    pub late_codes: BTreeMap<String, i64>,
}

impl Faults {
    /// `name=share`, `name@number`, `131047@number` or `late_131026@number`.
    pub fn parse(texts: &[String]) -> anyhow::Result<Self> {
        let mut faults = Self::default();
        for text in texts {
            let by_share = text
                .split_once('=')
                .and_then(|(name, share)| Some((Fault::named(name)?, share.parse::<f64>().ok()?)));
            let by_number = text
                .split_once('@')
                .and_then(|(name, number)| Some((Fault::named(name)?, number)));
            if let Some((name, number)) = text.split_once('@') {
                let late = name.strip_prefix("late_");
                if let Ok(code) = late.unwrap_or(name).parse() {
                    let codes = if late.is_some() {
                        &mut faults.late_codes
                    } else {
                        &mut faults.codes
                    };
                    codes.insert(number.to_owned(), code);
                    continue;
                }
            }
            match (by_share, by_number) {
                (Some((fault, share)), _) => drop(faults.share.insert(fault, share)),
                (_, Some((fault, number))) => drop(faults.numbers.insert(number.to_owned(), fault)),
                _ => {
                    let names = ALL.map(Fault::name).join(", ");
                    bail!("--fault {text}: write name=share or name@number; the names are {names}");
                }
            }
        }
        Ok(faults)
    }

    /// This always happens to that number; a name that is none changes nothing.
    pub fn always(&mut self, number: &str, name: &str) {
        if let Some(fault) = Fault::named(name) {
            self.numbers.insert(number.to_owned(), fault);
        }
    }

    pub(super) fn for_message(&self, number: &str, dice: &mut Dice) -> Option<Fault> {
        if let Some(fault) = self.numbers.get(number) {
            return Some(*fault);
        }
        let mut roll = dice.roll();
        for (fault, share) in &self.share {
            if roll < *share {
                return Some(*fault);
            }
            roll -= share;
        }
        None
    }
}

/// Numbers from 0 to 1 that follow from a seed (SplitMix64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let share = (z >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_follow_the_seed_and_their_shares() {
        let faults =
            Faults::parse(&["reset_after=0.25".into(), "error_ack@628111".into()]).unwrap();
        let mut dice = Dice::new(7);
        let hit = (0..10_000)
            .filter(|_| faults.for_message("628", &mut dice).is_some())
            .count();
        assert!((2300..2700).contains(&hit), "{hit}");
        assert_eq!(
            faults.for_message("628111", &mut dice),
            Some(Fault::ErrorAck)
        );
        assert!(Faults::parse(&["nonsense=1".into()]).is_err());
    }
}
