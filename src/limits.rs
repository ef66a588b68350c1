//! How often one caller may ask: by token at the API, by address at the log-in.
//!
//! A bucket a caller: it starts full and fills at a steady rate. In memory of this instance; that tries to
//! guess a password slow down over all instances is `auth::failures`. Knows nothing of HTTP.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock as _, MonotonicClock};
use governor::{Quota, RateLimiter};

use governor::state::keyed::HashMapStateStore;

/// Callers who have not asked for long are forgotten after so many questions.
const FORGET_EVERY: u32 = 1024;

pub struct Limiter {
    buckets: RateLimiter<String, HashMapStateStore<String>, MonotonicClock>,
    clock: MonotonicClock,
    asked: AtomicU32,
}

impl Limiter {
    fn new(per_second: u32, burst: u32) -> Self {
        let least = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(least(per_second)).allow_burst(least(burst));
        let clock = MonotonicClock;
        Self {
            buckets: RateLimiter::hashmap_with_clock(quota, clock.clone()),
            clock,
            asked: AtomicU32::new(0),
        }
    }

    /// Whether this caller may ask now, else after how many seconds.
    pub fn check(&self, caller: &str) -> Result<(), u64> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.buckets.retain_recent();
        }
        match self.buckets.check_key(&caller.to_owned()) {
            Ok(()) => Ok(()),
            Err(not_yet) => {
                let wait = not_yet.wait_time_from(self.clock.now());
                Err(wait.as_secs() + 1)
            }
        }
    }
}

/// The limits of one instance.
pub struct Limits {
    /// Calls of the API, by token.
    pub calls: Limiter,
    /// Tries to sign in, by address.
    pub sign_ins: Limiter,
}

pub const CALLS_PER_SECOND: u32 = 100;
pub const CALLS_AT_ONCE: u32 = 300;
const SIGN_INS_PER_SECOND: u32 = 1;
const SIGN_INS_AT_ONCE: u32 = 60;

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: Limiter::new(CALLS_PER_SECOND, CALLS_AT_ONCE),
            sign_ins: Limiter::new(SIGN_INS_PER_SECOND, SIGN_INS_AT_ONCE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_is_emptied_by_its_own_caller_alone() {
        let limiter = Limiter::new(1, 3);
        let answers: Vec<bool> = (0..4).map(|_| limiter.check("a").is_ok()).collect();
        assert_eq!(answers[..3], [true, true, true]);
        assert!(limiter.check("b").is_ok());
        // Between two of these questions less than a second passes, or the bucket filled by one.
        let wait = (0..100).find_map(|_| limiter.check("a").err());
        assert!(
            wait.is_some_and(|seconds| (1..=2).contains(&seconds)),
            "{wait:?}"
        );
    }

    #[test]
    fn callers_who_stopped_asking_are_forgotten() {
        let limiter = Limiter::new(1_000_000, 1_000_000);
        for caller in 0..FORGET_EVERY * 4 {
            let _ = limiter.check(&caller.to_string());
        }
        assert!(
            limiter.buckets.len() < FORGET_EVERY as usize * 3,
            "{}",
            limiter.buckets.len()
        );
    }
}
