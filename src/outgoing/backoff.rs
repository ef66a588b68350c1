//! How long to wait after an answer that proves nothing was sent.
//!
//! Knows no clock and no database: the n-th failure in a row in, a wait out.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(60);
/// A gateway may ask for more patience than ours, but not for a day.
const ASKED_AT_MOST: Duration = Duration::from_secs(15 * 60);

/// The wait after `failures` failures in a row (1 = the first), at least what the gateway asked for.
/// `jitter` is a factor around 1.
pub fn wait(failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
    let ours = doubled.min(LONGEST).mul_f64(jitter);
    asked.map_or(ours, |asked| ours.max(asked.min(ASKED_AT_MOST)))
}

/// The wait after a message to a person who got too many, at its `attempts`-th try: 4, 16, 64 ... seconds, an hour at
/// most.
pub fn of_a_pair(attempts: i16) -> Duration {
    let tries = u32::from(attempts.unsigned_abs()).clamp(1, 6);
    Duration::from_secs(4_u64.pow(tries).min(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_honour_the_gateway() {
        let seconds = |failures| wait(failures, None, 1.0).as_secs();
        assert_eq!([1, 2, 3, 6, 40].map(seconds), [2, 4, 8, 60, 60]);
        assert_eq!(wait(1, Some(Duration::from_secs(30)), 1.0).as_secs(), 30);
        assert_eq!(
            wait(1, Some(Duration::from_secs(86_400)), 1.0).as_secs(),
            900
        );
    }
}
