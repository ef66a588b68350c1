//! Receipts in every order there is, our own commit among them: the same news end in the same row.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use wablast::gateways::{Accepted, Rank};
use wablast::ids::{AccountId, OutgoingId};
use wablast::outgoing::receipts::{self, Receipt};
use wablast::outgoing::record::{self, Outcome};
use wablast::simulator::Options;

use crate::support::{TestApp, simulator};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// The gateway's answer is recorded.
    Answer,
    Sent,
    Delivered,
    Read,
    Failed,
    /// A receipt of a message nobody knows.
    Foreign,
}

/// What comes, and what it makes of a message.
const SETS: [(&[News], &str); 5] = [
    (
        &[
            News::Answer,
            News::Sent,
            News::Delivered,
            News::Read,
            News::Failed,
            News::Delivered,
            News::Foreign,
        ],
        "read",
    ),
    (
        &[
            News::Answer,
            News::Sent,
            News::Delivered,
            News::Failed,
            News::Sent,
            News::Foreign,
        ],
        "delivered",
    ),
    (
        &[News::Answer, News::Sent, News::Failed, News::Failed],
        "failed",
    ),
    (
        &[News::Answer, News::Sent, News::Sent, News::Foreign],
        "sent",
    ),
    (&[News::Answer, News::Read], "read"),
];

fn orders(news: &[News]) -> Vec<Vec<News>> {
    if news.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 0..news.len() {
        let mut rest = news.to_vec();
        let head = rest.remove(first);
        for mut order in orders(&rest) {
            order.insert(0, head);
            all.push(order);
        }
    }
    all
}

/// One message with the order in which its news come.
struct Told {
    id: OutgoingId,
    order: Vec<News>,
    set: usize,
    /// What the receipts call it: our own reference, or the provider's id.
    reference: String,
}

/// Begun messages, one for every order, with own references (`own`) or without.
async fn begun(app: &TestApp, account: i64, own: bool) -> Vec<Told> {
    let orders: Vec<(usize, Vec<News>)> = SETS
        .iter()
        .enumerate()
        .flat_map(|(set, (news, _))| orders(news).into_iter().map(move |order| (set, order)))
        .collect();
    let first: i64 = app
        .value(&format!(
            "WITH made AS (
               INSERT INTO outgoing (company_id, account_id, kind, mailing_id, contact_id, number, state, fence, owner, lease_until, attempts, begun_at)
               SELECT 1, {account}, 'mailing', {mailing}, -n, n::text, 'sending', 1, gen_random_uuid(), wablast_now() + interval '1 hour', 1, wablast_now()
               FROM generate_series(1, {count}) n ORDER BY n RETURNING id
             ), tried AS (
               INSERT INTO attempts (company_id, account_id, outgoing_id, fence, own_ref, begun_at)
               SELECT 1, {account}, id, 1, {own_ref}, wablast_now() FROM made
             ) SELECT min(id) FROM made",
            mailing = if own { 1_000_001 } else { 1_000_002 },
            count = orders.len(),
            own_ref = if own { "'own' || id" } else { "NULL" },
        ))
        .await
        .parse()
        .unwrap();
    (first..)
        .zip(orders)
        .map(|(id, (set, order))| Told {
            id: OutgoingId(id),
            order,
            set,
            reference: if own {
                format!("own{id}")
            } else {
                format!("wa{id}")
            },
        })
        .collect()
}

/// The `step`-th news of every message, each kind in one batch as the applier and the recorder write them.
async fn tell(conn: &mut AsyncPgConnection, account: AccountId, all: &[Told], step: usize) {
    let at = chrono::DateTime::UNIX_EPOCH;
    let next = |told: &&Told| told.order.get(step).copied();
    let answers: Vec<Outcome> = all
        .iter()
        .filter(|told| next(told) == Some(News::Answer))
        .map(|told| Outcome {
            id: told.id,
            account,
            fence: 1,
            log: None,
            result: Ok(Accepted {
                provider_id: Some(told.reference.clone()),
                held: false,
            }),
            wait: Duration::ZERO,
            counts_people: false,
        })
        .collect();
    record::record(conn, &answers).await.unwrap();
    let news: Vec<Receipt> = all
        .iter()
        .filter_map(|told| {
            let (reference, rank) = match next(&told)? {
                News::Answer => return None,
                News::Sent => (told.reference.clone(), Rank::Sent),
                News::Delivered => (told.reference.clone(), Rank::Delivered),
                News::Read => (told.reference.clone(), Rank::Read),
                News::Failed => (told.reference.clone(), Rank::Failed),
                News::Foreign => (format!("nobody{}", told.id), Rank::Read),
            };
            Some(Receipt {
                account,
                reference,
                rank,
                at,
            })
        })
        .collect();
    conn.transaction(async |conn| receipts::apply(conn, &news).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_order_of_receipts_ends_in_the_same_row() {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let mut all = begun(&app, account, true).await;
    all.extend(begun(&app, account, false).await);
    assert!(all.len() > 2 * 5_040, "{}", all.len());
    let mut conn = app.app.db.system().await.unwrap();
    for step in 0..7 {
        tell(&mut conn, AccountId(account), &all, step).await;
    }
    conn.transaction(async |conn| receipts::sweep(conn).await)
        .await
        .unwrap();
    drop(conn);
    let rows = app
        .value("SELECT jsonb_object_agg(o.id, concat_ws(' ', o.state, coalesce(o.code, '-'), coalesce(o.reason, '-'), a.rank, a.outcome,
                  CASE WHEN o.provider_id IS NULL THEN 'no id' ELSE 'id' END, CASE WHEN o.owner IS NULL THEN 'free' ELSE 'held' END,
                  CASE WHEN o.sent_at IS NOT NULL THEN 'sent' END, CASE WHEN o.delivered_at IS NOT NULL THEN 'delivered' END,
                  CASE WHEN o.read_at IS NOT NULL THEN 'read' END, CASE WHEN o.failed_at IS NOT NULL THEN 'failed' END))
                FROM outgoing o JOIN attempts a ON a.outgoing_id = o.id")
        .await;
    let rows: BTreeMap<String, String> = serde_json::from_str(&rows).unwrap();
    for (set, (news, state)) in SETS.iter().enumerate() {
        let mut ends: BTreeMap<&str, &Told> = BTreeMap::new();
        for told in all.iter().filter(|told| told.set == set) {
            ends.entry(&rows[&told.id.to_string()]).or_insert(told);
        }
        let ways: Vec<_> = ends
            .iter()
            .map(|(row, told)| (row, &told.order, &told.reference))
            .collect();
        assert_eq!(ways.len(), 1, "{news:?} end differently: {ways:#?}");
        assert!(ends.keys().all(|row| row.starts_with(state)), "{ways:?}");
    }
    assert_eq!(
        app.value("SELECT count(*) FROM parked_receipts WHERE reference NOT LIKE 'nobody%'")
            .await,
        "0"
    );
}
