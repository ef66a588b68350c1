//! How quickly a gateway answers, and how many requests it gets at one time because of it.
//!
//! Invariant: a gateway that is slow, or that nobody knows yet, never gets more than [`SLOW_PLACES`]: behind
//! a queue of its own the last ones would wait longer than their requests have time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Requests of one account at one time, at most: a commit's wait is shared by that many messages.
pub(super) const PLACES: usize = 256;
const SLOW_PLACES: usize = 64;
/// An answer within this time, on average, is quick.
const QUICK: Duration = Duration::from_millis(100);

/// How long a gateway took to answer of late.
#[derive(Debug, Default)]
pub(super) struct Answers(AtomicU64);

impl Answers {
    /// The newest counts an eighth.
    pub fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let before = self.0.load(Ordering::Relaxed);
        let mean = if before == 0 {
            took
        } else {
            before - before / 8 + took / 8
        };
        self.0.store(mean.max(1), Ordering::Relaxed);
    }

    /// How many of `places` may be used at this speed.
    pub fn allow(&self, places: usize) -> usize {
        let mean = Duration::from_micros(self.0.load(Ordering::Relaxed));
        if mean > Duration::ZERO && mean < QUICK {
            places
        } else {
            places.min(SLOW_PLACES)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_gets_more_requests_at_once_only_while_it_is_quick() {
        let answers = Answers::default();
        assert_eq!(answers.allow(256), 64, "nothing is known yet");
        answers.note(Duration::from_millis(2));
        assert_eq!(answers.allow(256), 256);
        assert_eq!(answers.allow(5), 5);
        for _ in 0..8 {
            answers.note(Duration::from_secs(2));
        }
        assert_eq!(answers.allow(256), 64);
        for _ in 0..60 {
            answers.note(Duration::from_millis(2));
        }
        assert_eq!(answers.allow(256), 256);
    }
}
