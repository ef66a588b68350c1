//! Room for what one account has under way in this process: requests at its gateway, and messages that were
//! begun and whose end is not written yet.
//!
//! Invariants: never more requests at one time than the gateway is given; a message keeps its place from
//! before its request until its end is written, so that whoever holds all places knows of none under way;
//! taken ahead of the requests is only what they finish within a tenth of a second, or a slow gateway would
//! let what was begun grow old. Knows no message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// How much of the gateway's work may wait here, by what it did lately.
const AHEAD: Duration = Duration::from_millis(100);
/// Shorter than this says nothing of how fast a gateway is.
const MEASURE: Duration = Duration::from_millis(50);

/// How many at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Most {
    pub requests: usize,
    /// Begun and not written: those whose request waits or runs, and those whose end waits for the database.
    pub begun: usize,
}

pub(super) struct Places {
    most: Most,
    begun: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    /// Begun messages whose request has not ended.
    unanswered: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    speed: Speed,
}

/// How fast a gateway answers.
struct Speed {
    since: Instant,
    answered: usize,
    per_second: f64,
}

/// The place of one message, until it is dropped.
pub(super) struct Place {
    _begun: OwnedSemaphorePermit,
    request: Option<Waiting>,
}

/// What a message has until its request ended.
struct Waiting {
    requests: Arc<Semaphore>,
    unanswered: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Place {
    /// Runs a request when the gateway has room for it; `None`: it had none until then. It is made only then, because
    /// those that wait for their turn are many.
    pub async fn request<F: Future>(
        &mut self,
        start_before: Instant,
        request: impl FnOnce() -> F,
    ) -> Option<F::Output> {
        let waiting = self.request.take()?;
        let start_before = tokio::time::Instant::from_std(start_before);
        let room = tokio::time::timeout_at(start_before, waiting.requests.acquire());
        let _room = room.await.ok()?.ok()?;
        Some(Box::pin(request()).await)
    }
}

impl Places {
    pub fn new(most: Most) -> Self {
        Self {
            most,
            begun: Arc::new(Semaphore::new(most.begun)),
            requests: Arc::new(Semaphore::new(most.requests)),
            unanswered: Arc::default(),
            answered: Arc::default(),
            speed: Speed {
                since: Instant::now(),
                answered: 0,
                per_second: 0.0,
            },
        }
    }

    /// Other places than before: what is under way ends first, so that never more than either are used.
    pub async fn change(&mut self, most: Most) -> Result<(), AcquireError> {
        if most != self.most {
            drop(self.all().await?);
            *self = Self::new(most);
        }
        Ok(())
    }

    /// Every place: nothing is under way then.
    pub async fn all(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        let all = u32::try_from(self.most.begun).unwrap_or(u32::MAX);
        Arc::clone(&self.begun).acquire_many_owned(all).await
    }

    pub fn under_way(&self) -> usize {
        self.most.begun - self.begun.available_permits()
    }

    pub fn are_free(&self) -> bool {
        self.under_way() == 0
    }

    /// How many messages may be taken now. Waits until it is worth a round trip to the database.
    pub async fn free(&mut self) -> Result<usize, AcquireError> {
        drop(self.begun.acquire().await?);
        self.speed.measure(self.answered.load(Ordering::Relaxed));
        let mut waited = 0;
        loop {
            let room = self.room();
            let enough = room >= self.most.requests.div_ceil(2);
            if room > 0 && (enough || waited >= 4) {
                return Ok(room);
            }
            if room == 0 {
                // The gateway is behind: whoever waits for it stands in line before us.
                drop(self.requests.acquire().await?);
            }
            waited += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn room(&self) -> usize {
        let ahead = self.most.requests + self.speed.within(AHEAD);
        let room = ahead.saturating_sub(self.unanswered.load(Ordering::Relaxed));
        room.min(self.begun.available_permits())
    }

    /// A place for a message that was taken; never more are taken than are free, so this does not wait.
    pub async fn hold(&self) -> Result<Place, AcquireError> {
        let begun = Arc::clone(&self.begun).acquire_owned().await?;
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            _begun: begun,
            request: Some(Waiting {
                requests: Arc::clone(&self.requests),
                unanswered: Arc::clone(&self.unanswered),
                answered: Arc::clone(&self.answered),
            }),
        })
    }
}

impl Speed {
    fn measure(&mut self, answered: usize) {
        let took = self.since.elapsed();
        if took < MEASURE {
            return;
        }
        let more = u32::try_from(answered.wrapping_sub(self.answered)).unwrap_or(u32::MAX);
        self.per_second = f64::from(more) / took.as_secs_f64();
        self.since = Instant::now();
        self.answered = answered;
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of messages"
    )]
    fn within(&self, time: Duration) -> usize {
        (self.per_second * time.as_secs_f64()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most {
        requests: 4,
        begun: 32,
    };

    async fn held(places: &Places, n: usize) -> Vec<Place> {
        let mut held = Vec::new();
        for _ in 0..n {
            held.push(places.hold().await.unwrap());
        }
        held
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn of_an_unknown_gateway_only_so_many_are_taken_as_may_be_requested() {
        let mut places = Places::new(MOST);
        assert_eq!(places.free().await.unwrap(), 4);
        let held = held(&places, 3).await;
        assert_eq!(places.free().await.unwrap(), 1);
        assert_eq!(places.under_way(), 3);
        drop(held);
        assert!(places.are_free());
    }

    #[tokio::test]
    async fn never_more_requests_than_the_gateway_is_given() {
        let places = Places::new(MOST);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let requests = held(&places, 32).await.into_iter().map(|mut place| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                let request = async {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    running.fetch_sub(1, Ordering::SeqCst);
                };
                place.request(soon(), || request).await.is_some()
            }
        });
        let all = futures_util::future::join_all(requests).await;
        assert!(all.into_iter().all(|ran| ran));
        assert_eq!(most.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn a_request_that_found_no_room_in_time_does_not_run() {
        let places = Places::new(MOST);
        let _full = Arc::clone(&places.requests)
            .acquire_many_owned(4)
            .await
            .unwrap();
        let mut place = places.hold().await.unwrap();
        let late = place.request(Instant::now(), || async {
            unreachable!("it must not leave")
        });
        assert_eq!(late.await, None);
        assert_eq!(places.under_way(), 1, "its end is to be written yet");
    }

    #[tokio::test]
    async fn a_place_is_kept_until_the_end_is_written() {
        let mut places = Places::new(MOST);
        let mut kept = held(&places, 32).await;
        for place in &mut kept {
            place.request(soon(), || async {}).await.unwrap();
        }
        assert_eq!(places.room(), 0);
        kept.truncate(30);
        assert_eq!(places.free().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_a_fast_gateway_does_in_a_tenth_of_a_second_is_taken_ahead() {
        let mut places = Places::new(MOST);
        places.speed.per_second = 100.0;
        assert_eq!(places.room(), 14);
        let _held = held(&places, 14).await;
        assert_eq!(places.room(), 0);
        places.speed.per_second = 100_000.0;
        assert_eq!(places.room(), 18, "never more than there are places");
    }

    #[test]
    fn speed_is_what_was_answered_lately() {
        let mut speed = Speed {
            since: Instant::now().checked_sub(Duration::from_secs(1)).unwrap(),
            answered: 0,
            per_second: 0.0,
        };
        speed.measure(500);
        assert!(
            (speed.per_second - 500.0).abs() < 5.0,
            "{}",
            speed.per_second
        );
        speed.measure(1000);
        assert!((speed.per_second - 500.0).abs() < 5.0, "too soon to say");
    }
}
