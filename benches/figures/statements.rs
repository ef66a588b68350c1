//! What the engine's own statements reach alone: taking, beginning and recording as the deliverer does, by
//! so many connections at once, with nobody at the other end. The bound of `send` on the same machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use uuid::Uuid;
use wablast::db::Db;
use wablast::gateways::Accepted;
use wablast::ids::{AccountId, LogId, OutgoingId};
use wablast::outgoing::claim::{Ask, Ready, Trail, take};
use wablast::outgoing::pace::Gates;
use wablast::outgoing::record::{Outcome, record};

use crate::instance::Instance;
use crate::report::Report;

/// Messages of one statement; what the deliverer takes at its busiest.
const BATCH: usize = 256;
const CONNECTIONS: usize = 2;

pub async fn measure(report: &mut Report, size: usize) {
    let rate = alone(size).await;
    report.row(
        format!("{size} messages, statements alone"),
        rate,
        "messages/s",
    );
}

/// Messages a second.
pub async fn alone(size: usize) -> f64 {
    let instance = Instance::start(false).await;
    let account = instance.account("http://127.0.0.1:9").await;
    let list = instance.people(size).await;
    let mailing = instance.mailing(&account, list).await;
    instance.release_by_hand(mailing).await;
    let db = Db::connect(&instance.database).await.unwrap();
    let account = AccountId(account["id"].as_i64().unwrap());
    let done = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(work(db.clone(), account, Arc::clone(&done), size)))
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    size as f64 / begin.elapsed().as_secs_f64()
}

async fn work(db: Db, account: AccountId, done: Arc<AtomicUsize>, size: usize) {
    let (owner, mut trail) = (Uuid::new_v4(), Trail::default());
    while done.load(Ordering::Relaxed) < size {
        let own_refs: Vec<String> = (0..BATCH)
            .map(|_| Uuid::new_v4().simple().to_string())
            .collect();
        let ready = Ready {
            begin: true,
            own_refs: Some(own_refs),
        };
        let mut conn = db.system().await.unwrap();
        let ask = Ask {
            account,
            owner,
            limit: BATCH,
            ready: &ready,
            gates: &Gates::default(),
        };
        let taken = take(&mut conn, &ask, &mut trail).await.unwrap();
        assert!(
            taken.claimed.is_empty(),
            "everybody can be written to at once"
        );
        let ended =
            |(id, fence, log, own_ref): (OutgoingId, i32, Option<LogId>, Option<String>)| Outcome {
                id,
                account,
                fence,
                log,
                result: Ok(Accepted {
                    provider_id: own_ref,
                    held: false,
                }),
                wait: Duration::ZERO,
                counts_people: false,
            };
        let outcomes: Vec<Outcome> = taken
            .begun
            .into_iter()
            .map(|one| ended((one.id, one.fence, one.log_id, one.own_ref)))
            .collect();
        record(&mut conn, &outcomes).await.unwrap();
        done.fetch_add(outcomes.len(), Ordering::Relaxed);
    }
}
