//! Message ids of our own, fetched from the gateway before they are needed.
//!
//! With one, receipts settle what a lost answer left uncertain. An id that is never used costs nothing; so
//! as many as the last batch took are fetched while its requests run. Knows no database.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, stream};

use super::way::Way;
use crate::gateways::SendError;

/// How many ids are asked for at once.
const AT_ONCE: usize = 16;

#[derive(Clone, Default)]
pub(super) struct OwnIds {
    ids: Arc<Mutex<VecDeque<String>>>,
    under_way: Arc<AtomicUsize>,
}

impl OwnIds {
    fn ids(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most so many, of those that are here.
    pub fn take(&self, at_most: usize) -> Vec<String> {
        let mut ids = self.ids();
        let some = at_most.min(ids.len());
        ids.drain(..some).collect()
    }

    /// Those that were not used are the next.
    pub fn put_back(&self, unused: impl DoubleEndedIterator<Item = String>) {
        let mut ids = self.ids();
        for id in unused.rev() {
            ids.push_front(id);
        }
    }

    /// Exactly so many, fetched where they are not here.
    pub async fn fetch(&self, way: &Way, wanted: usize) -> Result<Vec<String>, SendError> {
        let mut ids = self.take(wanted);
        let missing = wanted - ids.len();
        let mut fetched = stream::iter(0..missing)
            .map(|_| way.new_message_id())
            .buffer_unordered(AT_ONCE);
        while let Some(id) = fetched.next().await {
            ids.push(id?);
        }
        Ok(ids)
    }

    /// Fetches beside the requests until so many are here. What fails is left to [`Self::fetch`] to say.
    pub fn fetch_ahead(&self, way: &Way, wanted: usize) {
        let there = self.ids().len() + self.under_way.load(Ordering::Relaxed);
        let missing = wanted.saturating_sub(there);
        if missing == 0 {
            return;
        }
        self.under_way.fetch_add(missing, Ordering::Relaxed);
        let (ids, way) = (self.clone(), way.clone());
        tokio::spawn(async move {
            let mut fetched = stream::iter(0..missing)
                .map(|_| way.new_message_id())
                .buffer_unordered(AT_ONCE);
            let mut came = 0;
            while let Some(Ok(id)) = fetched.next().await {
                ids.ids().push_back(id);
                ids.under_way.fetch_sub(1, Ordering::Relaxed);
                came += 1;
            }
            ids.under_way.fetch_sub(missing - came, Ordering::Relaxed);
        });
    }
}
