//! One account's deliverer inside one process: take, prepare what needs it, send, over and over.
//!
//! Invariants: a request starts only after its attempt is committed and within a second of it by a
//! monotonic clock, long before the lease ends; no transaction is open while a gateway answers; a message whose
//! end cannot be noted stays *sending* until the reaper calls it uncertain.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use diesel::prelude::*;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use uuid::Uuid;

use super::autopause;
use super::backoff;
use super::begin::{Begun, begin};
use super::checks;
use super::claim::{Ask, Claimed, Ready, Taken, Trail, take};
use super::files::{Files, Missing};
use super::own_ids::OwnIds;
use super::pace::{self, Gates};
use super::posting::{Posting, Version, not_ready};
use super::queue::{self, Next};
use super::reach;
use super::record::Outcome;
use super::recover;
use super::remember::Memory;
use super::typing;
use super::way::{self, Way};
use crate::accounts::sending::{self, Sending};
use crate::accounts::{self, Account, flow};
use crate::app::App;
use crate::companies;
use crate::crash;
use crate::gateways::webhook::Push;
use crate::gateways::{FailureCode, SendError};
use crate::ids::{AccountId, OutgoingId, VersionId};
use crate::logs;

/// Counted from before the statement that began it, so that no request starts later than a second after
/// a pause, a cancel or an opt-out that the statement did not see yet.
pub(super) const START_WITHIN: Duration = Duration::from_millis(900);
/// How long it is waited for half of the places before fewer are used.
const GATHER: Duration = Duration::from_millis(4);
/// Why messages with a file wait.
const NO_FILE: &str = "The file of a mailing could not be read from the storage. Nothing was sent; it is tried again.";
const NO_ACCOUNT: &str = "the account could not be read";
/// How long what a gateway can do is believed.
const BELIEVE: Duration = Duration::from_secs(300);

/// An outcome on its way to the recorder, with the place it holds until it is written.
pub(super) type Ended = (Outcome, OwnedSemaphorePermit);

pub(super) struct Worker {
    app: App,
    account: AccountId,
    owner: Uuid,
    recorder: mpsc::Sender<Ended>,
    stop: watch::Receiver<bool>,
    /// As many as this account may have requests under way.
    places: Arc<Semaphore>,
    most: usize,
    versions: HashMap<VersionId, Arc<Version>>,
    gateway: Option<Gateway>,
    trail: Trail,
    memory: Memory,
    watch: pace::Watch,
    reach: reach::Watch,
    /// The account's `updated_at` whose rules everything in the queue is judged by.
    ruled: Option<DateTime<Utc>>,
    /// Asked to begin, and nobody said whether they are.
    unsure: Vec<Claimed>,
    files: Files,
    /// Answers in a row that proved nothing was sent.
    failures: Arc<std::sync::atomic::AtomicU32>,
}

struct Gateway {
    account: Account,
    way: Way,
    sending: Sending,
    own_ids: bool,
    ids: OwnIds,
    loaded: Instant,
}

impl Gateway {
    /// Whether it is still what the account says, and was asked not long ago.
    fn is_fresh(&self, account: &Account) -> bool {
        self.loaded.elapsed() < BELIEVE && self.account.updated_at == account.updated_at
    }
}

impl Worker {
    pub(super) fn new(
        app: App,
        account: AccountId,
        owner: Uuid,
        recorder: mpsc::Sender<Ended>,
        stop: watch::Receiver<bool>,
        memory: Memory,
    ) -> Self {
        Self {
            app,
            account,
            owner,
            recorder,
            stop,
            places: Arc::new(Semaphore::new(1)),
            most: 1,
            versions: HashMap::new(),
            gateway: None,
            trail: Trail::default(),
            memory,
            watch: pace::Watch::default(),
            reach: reach::Watch::default(),
            ruled: None,
            unsure: Vec::new(),
            files: Files::default(),
            failures: Arc::default(),
        }
    }

    /// Works until nothing waits for this account, or the process stops.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let ended = self.work().await;
        if ended.is_err() {
            self.recover().await;
        }
        ended
    }

    /// Holds nothing any more: only then another worker may take this account over.
    async fn recover(&mut self) {
        self.insist(async |worker: &Self| {
            recover::give_back(&worker.app, worker.account, worker.owner, &worker.unsure).await
        })
        .await;
        // What is under way keeps its places until it is recorded.
        let all = u32::try_from(self.most).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.places);
        let all_recorded = tokio::select! {
            taken = places.acquire_many(all) => taken.is_ok(),
            _ = self.stop.changed() => false,
        };
        if all_recorded {
            self.insist(async |worker: &Self| {
                let (app, memory) = (&worker.app, &worker.memory);
                recover::never_sent(app, worker.account, worker.owner, memory).await
            })
            .await;
        }
    }

    /// Until the database takes it, or the process stops.
    async fn insist(&mut self, what: impl AsyncFn(&Self) -> anyhow::Result<()>) {
        let mut wait = Duration::from_millis(50);
        while let Err(error) = what(self).await {
            if *self.stop.borrow() {
                return;
            }
            tracing::warn!(
                account = self.account.0,
                "giving messages back, trying again: {error:#}"
            );
            self.rest(wait).await;
            wait = (wait * 2).min(Duration::from_secs(1));
        }
    }

    async fn work(&mut self) -> anyhow::Result<()> {
        loop {
            if *self.stop.borrow() {
                return Ok(());
            }
            // Whoever changed the account meant what is sent from now on.
            let account = self.read().await?;
            let mut gates = self.gates(&account).await?;
            self.make_places(way::places(&account)).await?;
            let places = self.free_places().await?;
            let under_way = self.most - self.places.available_permits();
            let places = self
                .reach
                .narrow(&self.app, &account, &mut gates, places, under_way)
                .await?;
            let ready = self.ready(&account, places);
            let places = ready.limit(places);
            let started = Instant::now();
            let taken = self.take(&ready, &gates, places).await?;
            if taken.put_off > 0 {
                self.put_off_ahead(&gates).await?;
            } else if taken.claimed.is_empty() && taken.begun.is_empty() {
                if self.is_over(&gates).await? {
                    return Ok(());
                }
                continue;
            }
            let unfetched = taken.claimed.len();
            self.reach.took(unfetched + taken.begun.len());
            self.send_begun(taken.begun, started).await?;
            self.send(account, taken.claimed).await?;
            self.fetch_ahead(places.max(unfetched));
        }
    }

    /// Nothing may go now: waits for the moment it may, or says that nothing is left.
    async fn is_over(&mut self, gates: &Gates) -> anyhow::Result<bool> {
        let next = {
            let mut conn = self.app.db.system().await?;
            queue::next(&mut conn, self.account, gates.mailings_until).await?
        };
        match next {
            // What is under way keeps its places until it is recorded; a worker that went
            // sooner would leave room for twice as many.
            Next::Idle if self.places.available_permits() == self.most => return Ok(true),
            Next::Idle => self.rest(Duration::from_millis(50)).await,
            Next::In(wait) => self.rest(wait).await,
        }
        Ok(false)
    }

    /// What is at hand for messages that need no preparation: a gateway that is known, and ids.
    fn ready(&self, account: &Account, places: usize) -> Ready {
        match self
            .gateway
            .as_ref()
            .filter(|gateway| gateway.is_fresh(account))
        {
            Some(gateway) if !account.sends_through_webhook() && !gateway.sending.typing => Ready {
                begin: true,
                own_refs: gateway.own_ids.then(|| gateway.ids.take(places)),
            },
            _ => Ready::default(),
        }
    }

    /// What holds the account's messages back at this minute; changed rules first let go what the old ones
    /// held.
    async fn gates(&mut self, account: &Account) -> anyhow::Result<Gates> {
        if self.ruled != Some(account.updated_at) {
            let mut conn = self.app.db.system().await?;
            pace::follow_rules(&mut conn, self.account, self.ruled.is_some()).await?;
            self.ruled = Some(account.updated_at);
        }
        let zone = if account.rules.quiet().is_some() {
            let mut conn = self.app.db.system().await?;
            companies::find(&mut conn, account.company_id).await?.zone()
        } else {
            Tz::UTC
        };
        let now = self.app.clock.now();
        let gates = self
            .watch
            .gates(&account.rules, account.updated_at, zone, now);
        Ok(gates.clone())
    }

    /// Some of the next were put off: so are those behind them, before anything is asked again.
    async fn put_off_ahead(&self, gates: &Gates) -> anyhow::Result<()> {
        if gates.prefixes.is_empty() {
            return Ok(());
        }
        let mut conn = self.app.db.system().await?;
        while pace::put_off_ahead(&mut conn, self.account, gates).await? {
            if *self.stop.borrow() {
                break;
            }
        }
        Ok(())
    }

    async fn take(&mut self, ready: &Ready, gates: &Gates, limit: usize) -> anyhow::Result<Taken> {
        let mut conn = self.app.db.system().await?;
        self.memory.assure(&self.app, &mut conn).await?;
        let ask = Ask {
            account: self.account,
            owner: self.owner,
            limit,
            ready,
            gates,
        };
        crash::here("claim.write");
        let taken = take(&mut conn, &ask, &mut self.trail).await?;
        crash::here("claim.done");
        if let (Some(gateway), Some(own_refs)) = (&self.gateway, &ready.own_refs) {
            gateway
                .ids
                .put_back(own_refs.iter().skip(taken.begun.len()).cloned());
        }
        Ok(taken)
    }

    /// Ids for the next batch, while the requests of this one run.
    fn fetch_ahead(&self, next: usize) {
        if let Some(gateway) = self.gateway.as_ref().filter(|gateway| gateway.own_ids) {
            gateway.ids.fetch_ahead(&gateway.way, 2 * next);
        }
    }

    /// How many requests may start now. Waits until it is worth a round trip to the database.
    async fn free_places(&self) -> anyhow::Result<usize> {
        let half = u32::try_from(self.most.div_ceil(2)).unwrap_or(u32::MAX);
        let enough = self.places.acquire_many(half);
        if tokio::time::timeout(GATHER, enough).await.is_err() {
            drop(self.places.acquire().await?);
        }
        Ok(self.places.available_permits().max(1))
    }

    async fn read(&self) -> anyhow::Result<Account> {
        let mut conn = self.app.db.system().await?;
        Ok(accounts::query::find(&mut conn, self.account).await?)
    }

    /// Other places than before: what is under way ends first, so that never more than either are used.
    async fn make_places(&mut self, most: usize) -> anyhow::Result<()> {
        if most != self.most {
            let all = u32::try_from(self.most).unwrap_or(u32::MAX);
            drop(self.places.acquire_many(all).await?);
            self.places = Arc::new(Semaphore::new(most));
            self.most = most;
        }
        Ok(())
    }

    async fn rest(&mut self, wait: Duration) {
        let wait = wait.clamp(Duration::from_millis(5), Duration::from_secs(1));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.app.wake.deliver.notified() => {}
            _ = self.stop.changed() => {}
        }
    }

    /// Prepares and begins what was only claimed.
    async fn send(&mut self, account: Account, claimed: Vec<Claimed>) -> anyhow::Result<()> {
        if claimed.is_empty() {
            return Ok(());
        }
        let (way, own_refs) = match self.prepare(account.clone(), &claimed).await {
            Ok(prepared) => prepared,
            Err(error) => return self.could_not_prepare(&claimed, error).await,
        };
        if *self.stop.borrow() {
            return self.give_back(&claimed).await;
        }
        if self.sending().typing {
            typing::before(&self.app, &way, &claimed).await;
        }
        // Preparing may have taken until the evening.
        let gates = self.gates(&account).await?;
        let started = Instant::now();
        let (begun, around) = match self.begin(&claimed, &own_refs, &gates).await {
            Ok(begun) => begun,
            Err(error) => {
                self.unsure = claimed;
                return Err(error);
            }
        };
        self.post(&way, begun, around, &claimed, started).await
    }

    /// Sends what was begun when it was taken.
    async fn send_begun(&mut self, begun: Vec<Begun>, started: Instant) -> anyhow::Result<()> {
        let Some(way) = self.gateway.as_ref().map(|gateway| gateway.way.clone()) else {
            return Ok(());
        };
        if begun.iter().any(|message| !self.knows_version(message)) {
            let mut conn = self.app.db.system().await?;
            self.load_versions(&mut conn, &begun).await?;
        }
        self.post(&way, begun, HashMap::new(), &[], started).await
    }

    /// Starts the requests of begun messages.
    async fn post(
        &mut self,
        way: &Way,
        mut begun: Vec<Begun>,
        mut around: HashMap<OutgoingId, Push>,
        claimed: &[Claimed],
        started: Instant,
    ) -> anyhow::Result<()> {
        self.memory.note(&begun);
        if self.sending().check_numbers
            && let Err(error) = checks::address(&self.app, &mut begun).await
        {
            tracing::warn!(
                account = self.account.0,
                "reading checked numbers: {error:#}"
            );
        }
        for message in begun {
            let media = claimed
                .iter()
                .find(|one| one.id == message.id)
                .and_then(|one| self.files.of(one));
            // Claims never exceed the free places, so this does not wait.
            let place = Arc::clone(&self.places).acquire_owned().await?;
            let said = message
                .version_id
                .and_then(|version| self.versions.get(&version).cloned());
            let posting = Posting {
                account: self.account,
                way: way.clone(),
                push: around.remove(&message.id),
                version: said,
                message,
                media,
                start_before: started + START_WITHIN,
                failures: Arc::clone(&self.failures),
            };
            let recorder = self.recorder.clone();
            tokio::spawn(async move {
                let outcome = posting.post().await;
                // The recorder lives until every place is free again.
                let _ = recorder.send((outcome, place)).await;
            });
        }
        Ok(())
    }

    /// How the account sends; before it is known, as if nobody had decided.
    fn sending(&self) -> Sending {
        let gateway = self.gateway.as_ref();
        gateway.map_or_else(Sending::default, |gateway| gateway.sending.clone())
    }

    fn knows_version(&self, message: &Begun) -> bool {
        message
            .version_id
            .is_none_or(|version| self.versions.contains_key(&version))
    }

    async fn begin(
        &mut self,
        claimed: &[Claimed],
        own_refs: &[Option<String>],
        gates: &Gates,
    ) -> anyhow::Result<(Vec<Begun>, HashMap<OutgoingId, Push>)> {
        let mut conn = self.app.db.system().await?;
        self.memory.assure(&self.app, &mut conn).await?;
        crash::here("begin.write");
        let begun = begin(&mut conn, self.owner, claimed, own_refs, gates).await?;
        crash::here("begin.done");
        self.load_versions(&mut conn, &begun).await?;
        let around = self.around(&mut conn, &begun).await?;
        Ok((begun, around))
    }

    /// The client and a reference for each message: own ids where the gateway takes them.
    async fn prepare(
        &mut self,
        account: Account,
        claimed: &[Claimed],
    ) -> Result<(Way, Vec<Option<String>>), SendError> {
        if !self
            .gateway
            .as_ref()
            .is_some_and(|gateway| gateway.is_fresh(&account))
        {
            self.gateway = Some(self.connect(account.clone()).await?);
        }
        let Some(gateway) = self.gateway.as_ref() else {
            return Err(not_ready(NO_ACCOUNT));
        };
        let way = gateway.way.clone();
        let how = way::files_go(&account, &way);
        let fetched = self.files.fetch(&self.app, claimed, &how).await;
        fetched.map_err(|missing| match missing {
            Missing::There(error) => error,
            Missing::Here(error) => {
                tracing::error!(
                    account = self.account.0,
                    "reading a mailing's file: {error:#}"
                );
                not_ready(NO_FILE)
            }
        })?;
        // WAHA's calls for files take no id of ours.
        let own_ids = gateway.own_ids;
        let takes_id =
            |one: &Claimed| own_ids && (one.media_id.is_none() || way.has_own_ids_for_files());
        let messages = claimed.iter().filter(|one| takes_id(one)).count();
        let mut ids = gateway.ids.fetch(&way, messages).await?.into_iter();
        let own_refs = claimed
            .iter()
            .map(|one| if takes_id(one) { ids.next() } else { None })
            .collect();
        Ok((way, own_refs))
    }

    async fn connect(&self, account: Account) -> Result<Gateway, SendError> {
        let (sending, flow) = {
            let mut conn = self
                .app
                .db
                .system()
                .await
                .map_err(|_| not_ready(NO_ACCOUNT))?;
            let sending = sending::of(&mut conn, self.account).await;
            let flow = flow::of(&mut conn, self.account).await;
            sending
                .and_then(|sending| Ok((sending, flow?)))
                .map_err(|_| not_ready(NO_ACCOUNT))?
        };
        let way = Way::of(&account, &sending, &flow, &self.app).map_err(|_| SendError::AccountStop {
            code: FailureCode::Auth,
            reason: "The account's address or secrets cannot be read. Open the account and enter them again.".to_owned(),
        })?;
        let own_ids = way.has_own_ids().await?;
        Ok(Gateway {
            account,
            way,
            sending,
            own_ids,
            ids: OwnIds::default(),
            loaded: Instant::now(),
        })
    }

    /// Nothing was begun: everything goes back, and the account waits or stops.
    async fn could_not_prepare(
        &mut self,
        claimed: &[Claimed],
        error: SendError,
    ) -> anyhow::Result<()> {
        self.gateway = None;
        self.give_back(claimed).await?;
        let mut conn = self.app.db.system().await?;
        logs::account_said(&mut conn, self.account, error.reason()).await?;
        if let SendError::AccountStop { code, reason } = &error {
            accounts::health::stop(&mut conn, self.account, code.as_str(), reason).await?;
        } else {
            let asked = match &error {
                SendError::NotSent { after, .. } => *after,
                _ => None,
            };
            let failures = self
                .failures
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
                + 1;
            let wait = backoff::wait(failures, asked, crate::random::jitter());
            queue::block(&mut conn, self.account, wait, error.reason()).await?;
            // That our own storage is away says nothing of the account.
            if error.reason() != NO_FILE {
                autopause::not_prepared(&mut conn, self.account, &error).await?;
            }
        }
        Ok(())
    }

    async fn give_back(&self, claimed: &[Claimed]) -> anyhow::Result<()> {
        let mut conn = self.app.db.system().await?;
        queue::give_back(&mut conn, claimed).await?;
        pace::give_room_back(&mut conn, self.account, claimed.len()).await?;
        Ok(())
    }

    /// What a flow gets to know beside number and text; nothing where no flow is.
    async fn around(
        &self,
        conn: &mut diesel_async::AsyncPgConnection,
        begun: &[Begun],
    ) -> QueryResult<HashMap<OutgoingId, Push>> {
        match &self.gateway {
            Some(gateway) if gateway.account.sends_through_webhook() => {
                let ids: Vec<OutgoingId> = begun.iter().map(|message| message.id).collect();
                way::around(conn, &gateway.account, &ids).await
            }
            _ => Ok(HashMap::new()),
        }
    }

    async fn load_versions(
        &mut self,
        conn: &mut diesel_async::AsyncPgConnection,
        begun: &[Begun],
    ) -> QueryResult<()> {
        for version in begun.iter().filter_map(|message| message.version_id) {
            if self.versions.contains_key(&version) {
                continue;
            }
            let read = Version::load(conn, version).await?;
            self.versions.insert(version, Arc::new(read));
        }
        Ok(())
    }
}
