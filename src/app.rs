//! What every door and job shares: configuration, database, clock, gateways' client, secrets, uploads, wake-ups.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::Config;
use crate::crypt::Crypt;
use crate::db::Db;
use crate::gateways::http::Http;
use crate::storage::Storage;

/// A cheap clone.
#[derive(Clone)]
pub struct App {
    pub config: Arc<Config>,
    pub db: Db,
    pub clock: Clock,
    pub http: Http,
    pub crypt: Crypt,
    pub storage: Storage,
    pub wake: Wake,
}

/// "Look now": a lost signal costs latency, never work, because everyone also looks by the clock.
#[derive(Clone, Default)]
pub struct Wake {
    /// Something may be due for release.
    pub release: Arc<Notify>,
    /// Something may be ready to send.
    pub deliver: Arc<Notify>,
    /// The webhook inbox has news.
    pub intake: Arc<Notify>,
    /// Some mailing may have settled.
    pub settle: Arc<Notify>,
    /// An action over many records was confirmed.
    pub bulk: Arc<Notify>,
    /// Somebody asked for a run of a job.
    pub jobs: Arc<Notify>,
    /// An import waits.
    pub imports: Arc<Notify>,
}
