//! Messages for outside workers that fetch them: taken, begun and composed as our own deliverer does, and
//! handed over in the answer.
//!
//! Invariants: what is handed over has its attempt on record, committed before the answer, and its tokens are
//! spent; two who ask never get the same message; whoever says nothing until the end of the lease leaves
//! *uncertain*, never a second message; a database that comes back without what was handed over is told, whether
//! anybody asks again or not. Whatever is taken and not handed over goes back. Does not know what
//! becomes of a message (`results.rs`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::backoff;
use super::begin::{Begun, begin_for};
use super::claim::{Ask, Claimed, Ready, Trail, take};
use super::deliver::follow;
use super::files::{Files, Missing, Wanted};
use super::pace::{self, Gates};
use super::posting::{Said, Version};
use super::queue::{self, Next};
use super::record::{self, Outcome};
use super::remember::Memory;
use super::{recover, way};
use crate::accounts::{Account, pulling};
use crate::app::App;
use crate::companies;
use crate::crash;
use crate::error::{Error, Result};
use crate::gateways::webhook::Push;
use crate::gateways::{Attachment, SendError, Source};
use crate::ids::{AccountId, OutgoingId, VersionId};

/// What the references of attempts begin with that were handed to a worker.
pub const TOKEN: &str = "pull-";
/// What a message says that nobody reported.
pub const NOT_REPORTED: &str =
    "An outside worker fetched this message and did not report what became of it in time.";

/// How often the database is asked whether it still knows what was handed out.
const LOOK: Duration = Duration::from_secs(2);

/// What this process handed out; shared by everybody who asks.
#[derive(Clone, Default)]
pub struct Puller {
    memory: Memory,
    /// Something was, so that there is something to forget.
    handed: Arc<AtomicBool>,
}

/// How much, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub limit: usize,
    pub lease: Duration,
}

/// A message in a worker's hands.
#[derive(Debug)]
pub struct Handed {
    /// Names this try in its result.
    pub attempt: String,
    /// The message as a flow would get it.
    pub push: Push,
    pub file_name: String,
}

/// What a worker gets.
#[derive(Debug)]
pub struct Batch {
    pub handed: Vec<Handed>,
    pub lease_until: DateTime<Utc>,
    /// Where nothing may go now: how long until something may; none where nothing waits.
    pub wait: Option<Duration>,
}

/// One that asks, with what has to go back when it fails.
struct Asking<'a> {
    app: &'a App,
    memory: &'a Memory,
    account: &'a Account,
    owner: Uuid,
    /// Taken, and not yet handed over.
    held: Vec<Claimed>,
}

impl Puller {
    /// Hands over what may go now. `account` is the asker's to send for.
    pub async fn pull(&self, app: &App, account: &Account, wish: Wish) -> Result<Batch> {
        if !app.config.sending {
            return Err(Error::conflict(
                "This copy of the program never sends (WABLAST_SENDING is off).",
            ));
        }
        {
            let mut conn = app.db.system().await?;
            if !pulling::of(&mut conn, account).await?.pulls {
                return Err(Error::conflict(
                    "The messages of this account are not fetched: we post them to its webhook. Tick Workers fetch the messages on the account first.",
                ));
            }
            pulling::seen(&mut conn, account.id).await?;
        }
        self.handed.store(true, Ordering::Release);
        let mut asking = Asking {
            app,
            memory: &self.memory,
            account,
            owner: Uuid::new_v4(),
            held: Vec::new(),
        };
        match asking.ask(wish).await {
            Ok(batch) => Ok(batch),
            Err(error) => {
                asking.give_back().await;
                Err(error.into())
            }
        }
    }
}

impl Puller {
    /// For as long as it is polled: a database that came back without what was handed out is told soon, also
    /// where nobody asks again.
    pub async fn watch(&self, app: &App) {
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            if !self.handed.load(Ordering::Acquire) {
                continue;
            }
            if let Err(error) = self.look(app).await {
                tracing::debug!("looking for what was handed out: {error:#}");
            }
        }
    }

    async fn look(&self, app: &App) -> anyhow::Result<()> {
        let mut conn = app.db.system().await?;
        self.memory.assure(app, &mut conn).await
    }
}

impl Asking<'_> {
    /// Until something can be handed over, or nothing may go.
    async fn ask(&mut self, wish: Wish) -> anyhow::Result<Batch> {
        loop {
            let gates = self.gates().await?;
            let claimed = self.take(wish.limit, &gates).await?;
            let lease_until = self.app.clock.now() + TimeDelta::from_std(wish.lease)?;
            let wait = if claimed.is_empty() {
                self.wait(&gates).await?
            } else {
                None
            };
            self.held.clone_from(&claimed);
            let handed = self.hand_over(&claimed, wish.lease).await?;
            self.held.clear();
            if !handed.is_empty() || claimed.is_empty() {
                crash::here("pull.done");
                return Ok(Batch {
                    handed,
                    lease_until,
                    wait,
                });
            }
        }
    }

    /// Begins those of `claimed` that may still go, and says what they say.
    async fn hand_over(&self, claimed: &[Claimed], lease: Duration) -> anyhow::Result<Vec<Handed>> {
        let mut files = Files::default();
        if let Err(missing) = files.fetch(self.app, claimed, &Wanted::AsLink).await {
            return Err(match missing {
                Missing::Here(error) => error,
                Missing::There(error) => anyhow::anyhow!("{}", error.reason()),
            });
        }
        // Links may have taken until the evening.
        let gates = self.gates().await?;
        let (begun, mut around) = self.begin(claimed, &gates, lease).await?;
        let versions = self.versions(&begun).await?;
        let (mut handed, mut failed) = (Vec::new(), Vec::new());
        for message in &begun {
            let file = claimed
                .iter()
                .find(|one| one.id == message.id)
                .and_then(|one| files.of(one));
            let version = message
                .version_id
                .and_then(|version| versions.get(&version));
            match Said::by(message, version.map(AsRef::as_ref), file.is_some()) {
                Ok(said) => {
                    let push = around.remove(&message.id).unwrap_or_default();
                    handed.push(handing(message, said, push, file));
                }
                Err(error) => failed.push(not_handed(self.account.id, message, error)),
            }
        }
        if !failed.is_empty() {
            let mut conn = self.app.db.system().await?;
            record::record(&mut conn, &failed).await?;
            follow(&mut conn, &failed).await?;
            self.app.wake.settle.notify_one();
        }
        self.memory.note(&begun);
        Ok(handed)
    }

    /// What holds the account's messages back at this minute.
    async fn gates(&self) -> anyhow::Result<Gates> {
        let mut conn = self.app.db.system().await?;
        pace::follow_rules(&mut conn, self.account.id, false).await?;
        let zone = match self.account.rules.quiet() {
            Some(_) => companies::find(&mut conn, self.account.company_id)
                .await?
                .zone(),
            None => Tz::UTC,
        };
        Ok(Gates {
            by_pull: true,
            ..Gates::of(&self.account.rules, zone, self.app.clock.now())
        })
    }

    /// Until something may go, or nothing more has to be put off.
    async fn take(&self, limit: usize, gates: &Gates) -> anyhow::Result<Vec<Claimed>> {
        let mut conn = self.app.db.system().await?;
        queue::make_pace(&mut conn).await?;
        loop {
            self.memory.assure(self.app, &mut conn).await?;
            let ask = Ask {
                account: self.account.id,
                owner: self.owner,
                limit,
                ready: &Ready::default(),
                gates,
            };
            let taken = take(&mut conn, &ask, &mut Trail::default()).await?;
            if !taken.claimed.is_empty() || taken.put_off == 0 {
                return Ok(taken.claimed);
            }
            if !gates.prefixes.is_empty() {
                while pace::put_off_ahead(&mut conn, self.account.id, gates).await? {}
            }
        }
    }

    async fn wait(&self, gates: &Gates) -> anyhow::Result<Option<Duration>> {
        let mut conn = self.app.db.system().await?;
        let next = queue::next_for(&mut conn, self.account.id, gates.mailings_until, true).await?;
        Ok(match next {
            Next::Idle => None,
            Next::In(wait) => Some(wait),
        })
    }

    async fn begin(
        &self,
        claimed: &[Claimed],
        gates: &Gates,
        lease: Duration,
    ) -> anyhow::Result<(Vec<Begun>, HashMap<OutgoingId, Push>)> {
        if claimed.is_empty() {
            return Ok((Vec::new(), HashMap::new()));
        }
        let tokens: Vec<Option<String>> = claimed
            .iter()
            .map(|_| Some(format!("{TOKEN}{}", crate::random::token(22))))
            .collect();
        let mut conn = self.app.db.system().await?;
        self.memory.assure(self.app, &mut conn).await?;
        let lease = lease.as_secs_f64();
        let begun = begin_for(
            &mut conn,
            self.owner,
            claimed,
            &tokens,
            gates,
            (lease, lease),
        )
        .await?;
        let ids: Vec<_> = begun.iter().map(|message| message.id).collect();
        let around = way::around(&mut conn, self.account, &ids).await?;
        Ok((begun, around))
    }

    async fn versions(&self, begun: &[Begun]) -> anyhow::Result<HashMap<VersionId, Arc<Version>>> {
        let mut conn = self.app.db.system().await?;
        let mut versions = HashMap::new();
        for version in begun.iter().filter_map(|message| message.version_id) {
            if let Entry::Vacant(unknown) = versions.entry(version) {
                unknown.insert(Arc::new(Version::load(&mut conn, version).await?));
            }
        }
        Ok(versions)
    }

    /// Nobody got anything: it all goes back. What cannot is left to the reaper.
    async fn give_back(&self) {
        let (app, account, owner) = (self.app, self.account.id, self.owner);
        let back = async {
            recover::give_back(app, account, owner, &self.held).await?;
            recover::never_sent(app, account, owner, self.memory).await
        };
        if let Err(error) = back.await {
            tracing::warn!(account = account.0, "giving messages back: {error:#}");
        }
    }
}

fn handing(message: &Begun, said: Said, push: Push, file: Option<Attachment>) -> Handed {
    let (mut mime_type, mut media_url, mut file_name) = Default::default();
    if let Some(Attachment {
        mime,
        source: Source::Link(link),
        file_name: name,
        ..
    }) = file
    {
        (mime_type, media_url, file_name) = (mime, link, name);
    }
    Handed {
        attempt: message.own_ref.clone().unwrap_or_default(),
        push: Push {
            to: said.to,
            text: said.text,
            reply_to: message.quoted.clone(),
            mime_type,
            media_url,
            ..push
        },
        file_name,
    }
}

fn not_handed(account: AccountId, message: &Begun, error: SendError) -> Outcome {
    let tries = u32::from(message.attempts.unsigned_abs());
    Outcome {
        id: message.id,
        account,
        fence: message.fence,
        log: message.log_id,
        counts_people: false,
        wait: backoff::wait(tries, None, crate::random::jitter()),
        result: Err(error),
    }
}
