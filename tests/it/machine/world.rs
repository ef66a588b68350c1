//! One mailing, its workers, and what its gateway really did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use diesel::QueryableByName;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Text};
use diesel_async::{AsyncConnection as _, RunQueryDsl as _};
use uuid::Uuid;
use wablast::error::Error;
use wablast::gateways::{Accepted, FailureCode, Rank, SendError};
use wablast::ids::{AccountId, ContactId, MailingId, UserId};
use wablast::mailings::{self, release, settle};
use wablast::outgoing::again::Which;
use wablast::outgoing::begin::{self, Begun};
use wablast::outgoing::claim::{self, Ask, Claimed, Ready, Trail};
use wablast::outgoing::pace::Gates;
use wablast::outgoing::queue;
use wablast::outgoing::receipts::{self, Receipt};
use wablast::outgoing::record::{self, Outcome};
use wablast::{check, contacts};

use super::{Fate, Step, WORKERS};
use crate::support::TestApp;

/// A message as the database has it.
#[derive(Debug, Clone, QueryableByName)]
pub struct Row {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = BigInt)]
    pub contact: i64,
    #[diesel(sql_type = Text)]
    pub state: String,
    #[diesel(sql_type = Integer)]
    pub fence: i32,
    #[diesel(sql_type = Bool)]
    pub owned: bool,
    #[diesel(sql_type = Bool)]
    pub leased: bool,
    /// Rank by attempt, the oldest first.
    #[diesel(sql_type = Array<Integer>)]
    pub ranks: Vec<i32>,
    #[diesel(sql_type = Text)]
    pub mailing: String,
}

/// What a process knows.
struct Worker {
    owner: Uuid,
    claimed: Vec<Claimed>,
    begun: Vec<Begun>,
    /// Heard and not written down: message, fence, what, the reference.
    heard: Vec<(Begun, Fate)>,
    /// What it wrote down last.
    written: Vec<(Begun, Fate)>,
}

impl Worker {
    fn new() -> Self {
        Self {
            owner: Uuid::new_v4(),
            claimed: Vec::new(),
            begun: Vec::new(),
            heard: Vec::new(),
            written: Vec::new(),
        }
    }
}

/// What is true, whatever the database says.
#[derive(Default)]
pub struct Truth {
    /// Requests that the gateway saw, by message.
    pub posts: BTreeMap<i64, usize>,
    /// Times the person got it, by message.
    pub effects: BTreeMap<i64, usize>,
    /// Times a person asked for it again, by message.
    pub asked: BTreeMap<i64, usize>,
    /// Messages that a person called sent.
    pub marked: BTreeSet<i64>,
    pub opted_out: BTreeSet<i64>,
    /// Messages that were open when their run was cancelled, and that nobody asked for since.
    pub stopped: BTreeSet<i64>,
    /// The fences under which the last step wrote something down, and whether it was good news.
    pub wrote: Vec<(i64, i32, bool)>,
}

pub struct World<'a> {
    app: &'a TestApp,
    account: AccountId,
    mailing: MailingId,
    people: Vec<ContactId>,
    workers: Vec<Worker>,
    /// References of what arrived, for receipts.
    arrived: Vec<String>,
    pub truth: Truth,
}

/// The reference of an attempt: our own, or what the gateway calls it.
fn reference(begun: &Begun) -> String {
    begun
        .own_ref
        .clone()
        .unwrap_or_else(|| format!("wa{}-{}", begun.id.0, begun.fence))
}

fn outcome(account: AccountId, begun: &Begun, fate: Fate) -> Outcome {
    let reason = "as the test says".to_owned();
    let (result, wait) = match fate {
        Fate::Taken => (
            Ok(Accepted {
                provider_id: Some(reference(begun)),
                held: false,
            }),
            0,
        ),
        Fate::AnswerLost | Fate::RequestLost => (
            Err(SendError::Uncertain {
                code: FailureCode::Timeout,
                reason,
            }),
            0,
        ),
        Fate::Busy => (
            Err(SendError::NotSent {
                after: None,
                code: FailureCode::RateLimited,
                reason,
            }),
            20,
        ),
        Fate::HeldUp => (
            Err(SendError::NotSent {
                after: None,
                code: FailureCode::Unreachable,
                reason,
            }),
            0,
        ),
        Fate::Refused => (
            Err(SendError::Refused {
                code: FailureCode::GatewayRefused,
                reason,
            }),
            0,
        ),
    };
    Outcome {
        id: begun.id,
        account,
        fence: begun.fence,
        log: begun.log_id,
        result,
        wait: Duration::from_secs(wait),
        counts_people: false,
    }
}

/// What a person may not do now is no fault.
fn refused<T>(done: Result<T, Error>) -> Result<(), String> {
    match done {
        Ok(_) | Err(Error::Conflict { .. } | Error::Invalid(_)) => Ok(()),
        Err(error) => Err(format!("{error:?}")),
    }
}

impl<'a> World<'a> {
    pub async fn new(app: &'a TestApp, account: i64, list: i64, ends: bool) -> Self {
        // What a program that failed left behind would be taken by the next.
        app.execute(
            "TRUNCATE outgoing, attempts, log_ends, parked_receipts, late_marks, mailings CASCADE;
             UPDATE contacts SET opt_out = false, opt_out_reason = NULL, opt_out_at = NULL",
        )
        .await;
        let mailing = app.mailing(account, list, "Hello").await;
        app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        if ends {
            app.execute("UPDATE mailings SET not_after = wablast_now() + interval '4 minutes'")
                .await;
        }
        release::advance(&app.app).await.unwrap();
        let mut conn = app.app.db.system().await.unwrap();
        queue::accounts_with_work(&mut conn).await.unwrap();
        let mut world = Self {
            app,
            account: AccountId(account),
            mailing: MailingId(mailing),
            people: Vec::new(),
            workers: (0..WORKERS).map(|_| Worker::new()).collect(),
            arrived: Vec::new(),
            truth: Truth::default(),
        };
        world.people = world
            .rows()
            .await
            .iter()
            .map(|row| ContactId(row.contact))
            .collect();
        world
    }

    pub async fn rows(&self) -> Vec<Row> {
        let mut conn = self.app.app.db.system().await.unwrap();
        sql_query(
            "SELECT o.id, o.contact_id AS contact, o.state, o.fence, o.owner IS NOT NULL AS owned, o.lease_until IS NOT NULL AS leased,
               ARRAY(SELECT a.rank::int FROM attempts a WHERE a.outgoing_id = o.id ORDER BY a.fence) AS ranks, m.state AS mailing
             FROM outgoing o JOIN mailings m ON m.id = o.mailing_id WHERE o.mailing_id = $1 ORDER BY o.id",
        )
        .bind::<BigInt, _>(self.mailing)
        .load(&mut conn)
        .await
        .unwrap()
    }

    pub async fn take(&mut self, step: Step) -> Result<(), String> {
        self.truth.wrote.clear();
        match step {
            Step::Claim(who, most) => self.fetch(who, most, false).await,
            Step::Take(who, most) => self.fetch(who, most, true).await,
            Step::Begin(who) => self.begin(who).await,
            Step::Post(who, which, fate) => self.post(who, which, fate),
            Step::Record(who) => {
                self.workers[who].written = std::mem::take(&mut self.workers[who].heard);
                self.record(who).await;
            }
            Step::RecordAgain(who) => self.record(who).await,
            Step::Die(who) => self.workers[who] = Worker::new(),
            Step::Later(seconds) => self.app.advance(TimeDelta::seconds(seconds)).await,
            Step::Receipt(which, rank) => self.receipt(which, rank).await,
            Step::OptOut(who) | Step::OptIn(who) => {
                return self.say(who, matches!(step, Step::OptOut(_))).await;
            }
            Step::Settle => {
                settle::all(&self.app.app).await.unwrap();
            }
            Step::Change(_) | Step::Retry | Step::Resend | Step::MarkSent => {
                return self.press(step).await;
            }
            Step::GiveBack(_) | Step::GiveAllBack(_) | Step::Reap | Step::Sweep => {
                self.tidy(step).await
            }
        }
        Ok(())
    }

    async fn fetch(&mut self, who: usize, most: usize, begin: bool) {
        let mut conn = self.app.app.db.system().await.unwrap();
        let ready = Ready {
            begin,
            own_refs: begin.then(|| (0..most).map(|_| Uuid::new_v4().to_string()).collect()),
        };
        let ask = Ask {
            account: self.account,
            owner: self.workers[who].owner,
            limit: most,
            ready: &ready,
            gates: &Gates::default(),
        };
        let taken = claim::take(&mut conn, &ask, &mut Trail::default())
            .await
            .unwrap();
        self.workers[who].claimed.extend(taken.claimed);
        self.workers[who].begun.extend(taken.begun);
    }

    async fn begin(&mut self, who: usize) {
        let mut conn = self.app.app.db.system().await.unwrap();
        let claimed = std::mem::take(&mut self.workers[who].claimed);
        let refs = vec![None; claimed.len()];
        let owner = self.workers[who].owner;
        let begun = begin::begin(&mut conn, owner, &claimed, &refs, &Gates::default())
            .await
            .unwrap();
        self.workers[who].begun.extend(begun);
    }

    fn post(&mut self, who: usize, which: usize, fate: Fate) {
        let worker = &mut self.workers[who];
        if worker.begun.is_empty() {
            return;
        }
        let begun = worker.begun.remove(which % worker.begun.len());
        if fate != Fate::HeldUp {
            *self.truth.posts.entry(begun.id.0).or_default() += 1;
        }
        if matches!(fate, Fate::Taken | Fate::AnswerLost) {
            *self.truth.effects.entry(begun.id.0).or_default() += 1;
            // Where no own reference went along only an answer tells whose receipt it is.
            self.arrived.push(reference(&begun));
        }
        worker.heard.push((begun, fate));
    }

    async fn record(&mut self, who: usize) {
        let outcomes: Vec<Outcome> = self.workers[who]
            .written
            .iter()
            .map(|(begun, fate)| outcome(self.account, begun, *fate))
            .collect();
        self.truth.wrote = outcomes
            .iter()
            .map(|one| (one.id.0, one.fence, one.result.is_ok()))
            .collect();
        let mut conn = self.app.app.db.system().await.unwrap();
        record::record(&mut conn, &outcomes).await.unwrap();
    }

    async fn receipt(&mut self, which: usize, rank: Rank) {
        if self.arrived.is_empty() {
            return;
        }
        let news = Receipt {
            account: self.account,
            reference: self.arrived[which % self.arrived.len()].clone(),
            rank,
            at: self.app.app.clock.now(),
        };
        let mut conn = self.app.app.db.system().await.unwrap();
        conn.transaction(async |conn| {
            let touched = receipts::apply(conn, &[news]).await?;
            settle::of_messages(conn, &touched).await
        })
        .await
        .unwrap();
    }

    async fn say(&mut self, who: usize, stop: bool) -> Result<(), String> {
        let person = self.people[who];
        let mut conn = self.app.app.db.system().await.unwrap();
        if stop {
            self.truth.opted_out.insert(person.0);
        } else {
            self.truth.opted_out.remove(&person.0);
        }
        refused(
            conn.transaction(async |conn| {
                if stop {
                    contacts::opt_out(conn, &[person], "STOP").await
                } else {
                    contacts::opt_in(conn, &[person], "asked").await
                }
            })
            .await,
        )
    }

    async fn press(&mut self, step: Step) -> Result<(), String> {
        let (id, user) = (self.mailing, UserId(1));
        let mut conn = self.app.app.db.system().await.unwrap();
        refused(
            conn.transaction(async |conn| match step {
                Step::Change(verb) => mailings::change(conn, id, verb).await.map(drop),
                Step::Retry => mailings::again::send(conn, user, id, Which::Failed, None)
                    .await
                    .map(drop),
                Step::Resend => mailings::again::send(conn, user, id, Which::Uncertain, None)
                    .await
                    .map(drop),
                _ => mailings::again::mark_sent(conn, user, id, None)
                    .await
                    .map(drop),
            })
            .await,
        )
    }

    async fn tidy(&mut self, step: Step) {
        let mut conn = self.app.app.db.system().await.unwrap();
        match step {
            Step::GiveBack(who) => {
                let claimed = std::mem::take(&mut self.workers[who].claimed);
                queue::give_back(&mut conn, &claimed).await.unwrap();
            }
            Step::GiveAllBack(who) => {
                let owner = self.workers[who].owner;
                queue::give_back_all(&mut conn, self.account, owner)
                    .await
                    .unwrap();
            }
            Step::Reap => {
                queue::reap(&mut conn).await.unwrap();
            }
            _ => {
                conn.transaction(async |conn| receipts::sweep(conn).await)
                    .await
                    .unwrap();
            }
        }
    }

    /// What a step tells us by what it changed.
    pub fn learn(&mut self, step: Step, before: &[Row], after: &[Row]) {
        for (old, new) in before.iter().zip(after) {
            if matches!(step, Step::Retry | Step::Resend)
                && old.state != "queued"
                && new.state == "queued"
            {
                *self.truth.asked.entry(new.id).or_default() += 1;
                self.truth.stopped.remove(&new.id);
            }
            let ran = ["sending", "paused"].contains(&old.mailing.as_str());
            let open = ["queued", "claimed", "sending"].contains(&old.state.as_str());
            if matches!(step, Step::Change(mailings::Verb::Cancel)) && ran && open {
                self.truth.stopped.insert(new.id);
            }
            if matches!(step, Step::MarkSent) && old.state == "uncertain" && new.state == "sent" {
                self.truth.marked.insert(new.id);
            }
        }
    }

    /// Everybody dies, a healthy worker and a healthy gateway do the rest: nothing stays open, nothing is
    /// lost, and every promise holds.
    pub async fn end(mut self) -> Result<(), String> {
        self.workers = (0..WORKERS).map(|_| Worker::new()).collect();
        let mut left = Vec::new();
        for _ in 0..20 {
            for step in [
                Step::Later(100),
                Step::Reap,
                Step::Sweep,
                Step::Change(mailings::Verb::Resume),
                Step::Claim(0, 10),
                Step::Begin(0),
            ] {
                self.take(step).await?;
            }
            while !self.workers[0].begun.is_empty() {
                self.post(0, 0, Fate::Taken);
            }
            self.take(Step::Record(0)).await?;
            left = self.rows().await;
            left.retain(|row| ["queued", "claimed", "sending"].contains(&row.state.as_str()));
            if left.is_empty() {
                break;
            }
        }
        if !left.is_empty() {
            return Err(format!("at the end, open for ever: {left:?}"));
        }
        settle::all(&self.app.app).await.unwrap();
        settle::ended(&self.app.app).await.unwrap();
        self.app.advance(TimeDelta::minutes(2)).await;
        let rows = self.rows().await;
        super::rules::always(&self.truth, &rows)
            .map_err(|broken| format!("at the end: {broken}"))?;
        if rows
            .iter()
            .any(|row| ["sending", "paused"].contains(&row.mailing.as_str()))
        {
            return Err(format!("at the end, not settled: {rows:?}"));
        }
        for finding in check::all(&self.app.app).await.unwrap() {
            if finding.broken > 0 {
                return Err(format!("at the end: {}", finding.line()));
            }
        }
        Ok(())
    }
}
