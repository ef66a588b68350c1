//! Times of one database without a break.
//!
//! Invariant: another era begins where it is another database, where its server was started again, and where
//! it came back after it could not be reached; whoever kept something in mind about it looks again then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

#[derive(Default)]
pub struct Eras {
    /// What `wablast_guard()` said last.
    here: watch::Sender<String>,
    number: AtomicU64,
    was_away: AtomicBool,
}

impl Eras {
    /// The era of a connection that says `here`.
    pub fn of(&self, here: String) -> u64 {
        let changed = self.here.send_if_modified(|known| {
            let changed = *known != here;
            *known = here;
            changed
        });
        if changed || self.was_away.swap(false, Ordering::AcqRel) {
            return self.number.fetch_add(1, Ordering::AcqRel) + 1;
        }
        self.now()
    }

    pub fn now(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// It cannot be reached.
    pub fn is_away(&self) {
        self.was_away.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_and_an_outage_begin_another_era() {
        let eras = Eras::default();
        assert_eq!(eras.of("a".to_owned()), 1);
        assert_eq!(eras.of("a".to_owned()), 1);
        assert_eq!(eras.of("b".to_owned()), 2);
        eras.is_away();
        assert_eq!(eras.of("b".to_owned()), 3);
        assert_eq!(eras.of("b".to_owned()), 3);
        assert_eq!(eras.now(), 3);
    }
}
