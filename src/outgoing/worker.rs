//! One account's deliverer inside one process: claim, begin, send, over and over.
//!
//! Invariants: a request starts only after its attempt is committed and within a second of it by a
//! monotonic clock, long before the lease ends; no transaction is open while a gateway answers; a message whose
//! end cannot be noted stays *sending* until the reaper calls it uncertain.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use uuid::Uuid;

use super::backoff;
use super::begin::{Begun, begin};
use super::files::Files;
use super::queue::{self, Claimed, Next};
use super::record::Outcome;
use super::recover;
use super::way::{self, Way};
use crate::accounts::{self, Account};
use crate::app::App;
use crate::gateways::webhook::Push;
use crate::gateways::{Attachment, FailureCode, SendError, TextMessage};
use crate::ids::{AccountId, OutgoingId, VersionId};
use crate::logs;
use crate::schema::mailing_versions;
use crate::text::merge::{self, Parts, Values, compose};

/// Counted from before the statement that began it, so that no request starts later than a second after
/// a pause, a cancel or an opt-out that the statement did not see yet.
pub(super) const START_WITHIN: Duration = Duration::from_millis(900);
/// How many ids are asked for at once.
const IDS_AT_ONCE: usize = 16;
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
    versions: HashMap<VersionId, Arc<Parts>>,
    gateway: Option<Gateway>,
    /// Asked to begin, and nobody said whether they are.
    unsure: Vec<Claimed>,
    files: Files,
    /// Answers in a row that proved nothing was sent.
    failures: Arc<std::sync::atomic::AtomicU32>,
}

struct Gateway {
    account: Account,
    way: Way,
    own_ids: bool,
    ids: VecDeque<String>,
    loaded: Instant,
}

impl Worker {
    pub(super) fn new(
        app: App,
        account: AccountId,
        owner: Uuid,
        recorder: mpsc::Sender<Ended>,
        stop: watch::Receiver<bool>,
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
        let mut wait = Duration::from_millis(50);
        while let Err(error) =
            recover::give_back(&self.app, self.account, self.owner, &self.unsure).await
        {
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
        // What is under way keeps its places until it is recorded.
        let all = u32::try_from(self.most).unwrap_or(u32::MAX);
        tokio::select! {
            _ = self.places.acquire_many(all) => {}
            _ = self.stop.changed() => {}
        }
    }

    async fn work(&mut self) -> anyhow::Result<()> {
        loop {
            if *self.stop.borrow() {
                return Ok(());
            }
            // Whoever changed the account meant what is sent from now on.
            let account = self.read().await?;
            self.make_places(way::places(&account)).await?;
            let places = self.free_places().await?;
            let claimed = {
                let mut conn = self.app.db.system().await?;
                queue::claim(&mut conn, self.account, self.owner, places).await?
            };
            if claimed.is_empty() {
                let next = {
                    let mut conn = self.app.db.system().await?;
                    queue::next(&mut conn, self.account).await?
                };
                match next {
                    // What is under way keeps its places until it is recorded; a worker that went
                    // sooner would leave room for twice as many.
                    Next::Idle if self.places.available_permits() == self.most => return Ok(()),
                    Next::Idle => self.rest(Duration::from_millis(50)).await,
                    Next::In(wait) => self.rest(wait).await,
                }
                continue;
            }
            self.send(account, claimed).await?;
        }
    }

    /// How many requests may start now. Waits until it is worth a round trip to the database.
    async fn free_places(&self) -> anyhow::Result<usize> {
        drop(self.places.acquire().await?);
        for _ in 0..4 {
            if self.places.available_permits() >= self.most.div_ceil(2) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
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

    async fn send(&mut self, account: Account, claimed: Vec<Claimed>) -> anyhow::Result<()> {
        let prepared = match self.prepare(account, &claimed).await {
            Ok(prepared) => prepared,
            Err(error) => return self.could_not_prepare(&claimed, error).await,
        };
        if *self.stop.borrow() {
            return self.give_back(&claimed).await;
        }
        let (way, own_refs) = prepared;
        let started = Instant::now();
        let (begun, mut around) = match self.begin(&claimed, &own_refs).await {
            Ok(begun) => begun,
            Err(error) => {
                self.unsure = claimed;
                return Err(error);
            }
        };
        for message in begun {
            let media = claimed
                .iter()
                .find(|one| one.id == message.id)
                .and_then(|one| self.files.of(one));
            // Claims never exceed the free places, so this does not wait.
            let place = Arc::clone(&self.places).acquire_owned().await?;
            let parts = message
                .version_id
                .and_then(|version| self.versions.get(&version).cloned());
            let task = Posting {
                account: self.account,
                way: way.clone(),
                push: around.remove(&message.id),
                parts,
                message,
                media,
                start_before: started + START_WITHIN,
                failures: Arc::clone(&self.failures),
            };
            let recorder = self.recorder.clone();
            tokio::spawn(async move {
                let outcome = task.post().await;
                // The recorder lives until every place is free again.
                let _ = recorder.send((outcome, place)).await;
            });
        }
        Ok(())
    }

    async fn begin(
        &mut self,
        claimed: &[Claimed],
        own_refs: &[Option<String>],
    ) -> anyhow::Result<(Vec<Begun>, HashMap<OutgoingId, Push>)> {
        let mut conn = self.app.db.system().await?;
        let begun = begin(&mut conn, self.owner, claimed, own_refs).await?;
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
        // A flow fetches every file itself.
        let as_links = account.sends_through_webhook();
        self.files
            .fetch(&self.app, claimed, as_links)
            .await
            .map_err(|error| {
                tracing::error!(account = self.account.0, "reading a mailing's file: {error:#}");
                not_ready("The file of a mailing could not be read from the storage. Nothing was sent; it is tried again.")
            })?;
        let fresh = self.gateway.as_ref().is_some_and(|gateway| {
            gateway.loaded.elapsed() < BELIEVE && gateway.account.updated_at == account.updated_at
        });
        if !fresh {
            self.gateway = Some(self.connect(account).await?);
        }
        let Some(gateway) = self.gateway.as_mut() else {
            return Err(not_ready("the account could not be read"));
        };
        let way = gateway.way.clone();
        // Files are sent by calls that take no id of ours.
        let own_ids = gateway.own_ids;
        let takes_id = |one: &Claimed| own_ids && one.media_id.is_none();
        let messages = claimed.iter().filter(|one| takes_id(one)).count();
        if gateway.ids.len() < messages {
            let missing = messages - gateway.ids.len();
            let fetched: Vec<Result<String, SendError>> = stream::iter(0..missing)
                .map(|_| way.new_message_id())
                .buffer_unordered(IDS_AT_ONCE)
                .collect()
                .await;
            for id in fetched {
                gateway.ids.push_back(id?);
            }
        }
        let takes: Vec<bool> = claimed.iter().map(takes_id).collect();
        let own_refs = takes
            .into_iter()
            .map(|takes| if takes { gateway.ids.pop_front() } else { None })
            .collect();
        Ok((way, own_refs))
    }

    async fn connect(&self, account: Account) -> Result<Gateway, SendError> {
        let way = Way::of(&account, &self.app).map_err(|_| SendError::AccountStop {
            code: FailureCode::Auth,
            reason: "The account's address or secrets cannot be read. Open the account and enter them again.".to_owned(),
        })?;
        let own_ids = way.has_own_ids().await?;
        Ok(Gateway {
            account,
            way,
            own_ids,
            ids: VecDeque::new(),
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
        }
        Ok(())
    }

    async fn give_back(&self, claimed: &[Claimed]) -> anyhow::Result<()> {
        let mut conn = self.app.db.system().await?;
        queue::give_back(&mut conn, claimed).await?;
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
            let (subject, header, message, footer) = mailing_versions::table
                .find(version)
                .select((
                    mailing_versions::subject,
                    mailing_versions::header,
                    mailing_versions::message,
                    mailing_versions::footer,
                ))
                .first(conn)
                .await?;
            self.versions.insert(
                version,
                Arc::new(Parts {
                    subject,
                    header,
                    message,
                    footer,
                }),
            );
        }
        Ok(())
    }
}

/// One request.
struct Posting {
    account: AccountId,
    way: Way,
    /// What a flow gets to know; none where no flow is.
    push: Option<Push>,
    parts: Option<Arc<Parts>>,
    message: Begun,
    media: Option<Attachment>,
    start_before: Instant,
    failures: Arc<std::sync::atomic::AtomicU32>,
}

impl Posting {
    async fn post(mut self) -> Outcome {
        let result = self.attempt().await;
        let wait = match &result {
            Err(SendError::NotSent { after, .. }) => {
                let failures = self
                    .failures
                    .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
                    + 1;
                backoff::wait(
                    failures.min(u32::from(self.message.attempts.unsigned_abs())),
                    *after,
                    crate::random::jitter(),
                )
            }
            _ => {
                self.failures.store(0, std::sync::atomic::Ordering::Relaxed);
                Duration::ZERO
            }
        };
        Outcome {
            id: self.message.id,
            account: self.account,
            fence: self.message.fence,
            log: self.message.log_id,
            result,
            wait,
        }
    }

    async fn attempt(&mut self) -> Result<crate::gateways::Accepted, SendError> {
        let Some(number) = self.message.number.clone() else {
            return Err(SendError::Refused {
                code: FailureCode::InvalidNumber,
                reason: "The message has no number to go to.".to_owned(),
            });
        };
        let text = match (&self.parts, &self.message.text) {
            (Some(parts), _) => compose(parts, &values(&self.message.field_values)),
            (None, Some(text)) => text.clone(),
            (None, None) => return Err(not_ready("the text of the message could not be read")),
        };
        if self.media.is_none() && self.message.media_id.is_some() {
            return Err(not_ready("the file of the message could not be read"));
        }
        if self.media.is_some() && merge::length(&text) > merge::CAPTION_MAX {
            return Err(SendError::Refused {
                code: FailureCode::MediaRejected,
                reason: format!(
                    "With this person's values the text under the file has {} characters; WhatsApp takes at most {}.",
                    merge::length(&text),
                    merge::CAPTION_MAX
                ),
            });
        }
        let message = TextMessage {
            to: number,
            text,
            media: self.media.clone(),
            own_ref: self.message.own_ref.clone(),
            quoted: self.message.quoted.clone(),
        };
        // Nothing has left yet: a process that slept too long sends nothing.
        if Instant::now() > self.start_before {
            return Err(not_ready(
                "this process was held up and did not start the request in time",
            ));
        }
        self.way.send(message, self.push.take()).await
    }
}

fn values(stored: &serde_json::Value) -> Values {
    stored
        .as_object()
        .map(|object| {
            object
                .iter()
                .filter_map(|(key, value)| {
                    value.as_str().map(|value| (key.clone(), value.to_owned()))
                })
                .collect()
        })
        .unwrap_or_default()
}

fn not_ready(reason: &str) -> SendError {
    SendError::NotSent {
        after: None,
        code: FailureCode::Unreachable,
        reason: reason.to_owned(),
    }
}
