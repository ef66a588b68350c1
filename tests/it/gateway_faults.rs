//! Every way a gateway misbehaves, over every way of sending: the outcome is of its class, at most one message
//! takes effect a person, and nobody is lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use wablast::mailings::{release, settle};
use wablast::outgoing::deliver;
use wablast::simulator::{Fault, Options, Running};

use crate::support::{TestApp, arrived, simulator, tell};

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Accepted,
    Uncertain,
    Refused,
    /// Back in the queue, the account waits, and it goes when the gateway is well.
    NotSent,
    /// Back in the queue, the account is stopped, and it goes when that is mended.
    Stops,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    fault: Fault,
    class: Class,
    /// Whether the message had taken effect when its answer came.
    arrives: bool,
}

const fn case(fault: Fault, class: Class, arrives: bool) -> Case {
    Case {
        fault,
        class,
        arrives,
    }
}

/// Through WAHA's API.
const WAHA: [Case; 24] = [
    case(Fault::CloseBefore, Class::Uncertain, false),
    case(Fault::CloseAfter, Class::Uncertain, true),
    case(Fault::ResetBefore, Class::Uncertain, false),
    case(Fault::ResetAfter, Class::Uncertain, true),
    case(Fault::ErrorBefore, Class::Uncertain, false),
    case(Fault::ErrorAfter, Class::Uncertain, true),
    case(Fault::BadGateway, Class::Uncertain, false),
    case(Fault::Unavailable, Class::Uncertain, false),
    case(Fault::GatewayTimeout, Class::Uncertain, true),
    case(Fault::Conflict, Class::Uncertain, false),
    case(Fault::Redirect, Class::Uncertain, false),
    case(Fault::EmptyAnswer, Class::Uncertain, true),
    case(Fault::BadJson, Class::Uncertain, true),
    case(Fault::Endless, Class::Uncertain, true),
    case(Fault::WrongId, Class::Accepted, true),
    case(Fault::OldHttp, Class::Accepted, true),
    case(Fault::Refused, Class::Refused, false),
    case(Fault::RateLimited, Class::NotSent, false),
    case(Fault::RateLimitedDate, Class::NotSent, false),
    case(Fault::RateLimitedGarbage, Class::NotSent, false),
    case(Fault::RateLimitedHuge, Class::NotSent, false),
    case(Fault::Unauthorized, Class::Stops, false),
    case(Fault::Forbidden, Class::Stops, false),
    case(Fault::NotFound, Class::Stops, false),
];

/// Through a flow that does not report: its 2xx counts.
const FLOW: [Case; 23] = [
    case(Fault::CloseBefore, Class::Uncertain, false),
    case(Fault::CloseAfter, Class::Uncertain, true),
    case(Fault::ResetBefore, Class::Uncertain, false),
    case(Fault::ResetAfter, Class::Uncertain, true),
    case(Fault::ErrorBefore, Class::Uncertain, false),
    case(Fault::ErrorAfter, Class::Uncertain, true),
    case(Fault::BadGateway, Class::Uncertain, false),
    case(Fault::Unavailable, Class::Uncertain, false),
    case(Fault::GatewayTimeout, Class::Uncertain, true),
    case(Fault::Conflict, Class::Uncertain, false),
    case(Fault::Redirect, Class::Uncertain, false),
    case(Fault::EmptyAnswer, Class::Accepted, true),
    case(Fault::BadJson, Class::Accepted, true),
    case(Fault::Endless, Class::Uncertain, true),
    case(Fault::OldHttp, Class::Accepted, true),
    case(Fault::Refused, Class::Uncertain, false),
    case(Fault::RateLimited, Class::NotSent, false),
    case(Fault::RateLimitedDate, Class::NotSent, false),
    case(Fault::RateLimitedGarbage, Class::NotSent, false),
    case(Fault::RateLimitedHuge, Class::NotSent, false),
    case(Fault::Unauthorized, Class::Stops, false),
    case(Fault::Forbidden, Class::Stops, false),
    case(Fault::NotFound, Class::Stops, false),
];

/// Those that need the whole patience for an answer.
const SLOW: [Case; 4] = [
    case(Fault::TimeoutBefore, Class::Uncertain, false),
    case(Fault::TimeoutAfter, Class::Uncertain, true),
    case(Fault::Trickle, Class::Uncertain, true),
    case(Fault::Slow, Class::Accepted, true),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Waha,
    Flow,
}

/// Every third of these gets the fault.
struct Play {
    app: TestApp,
    gateway: Running,
    case: Case,
    people: usize,
    mailing: i64,
    seen: BTreeSet<Class>,
}

impl PartialOrd for Class {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Class {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (*self as u8).cmp(&(*other as u8))
    }
}

impl Play {
    async fn new(way: Way, case: Case, people: usize) -> Self {
        let app = TestApp::new().await;
        let gateway = simulator(Options {
            acks: false,
            waits: false,
            ..Options::default()
        })
        .await;
        let account = match way {
            Way::Waha => app.account(&gateway).await,
            Way::Flow => {
                let account = json!({ "name": "Flow", "provider": "waha", "send_through": "webhook", "delivery": "direct",
                    "webhook_url": format!("{}/webhook/wa-blast", gateway.url()), "counts_as_sent": true, "at_once": 5,
                    "pace": { "per_second": 5000, "burst": 5000 } });
                tell(&gateway, "/simulator/flow", &json!({ "report": "never" })).await;
                app.ok("POST", "/accounts", Some(&account)).await["id"]
                    .as_i64()
                    .unwrap()
            }
        };
        let list = app.list_of(people).await;
        let mailing = app.mailing(account, list, "Hello").await;
        let play = Self {
            app,
            gateway,
            case,
            people,
            mailing,
            seen: BTreeSet::new(),
        };
        play.faults(true).await;
        play
    }

    fn is_faulty(n: usize) -> bool {
        n.is_multiple_of(3)
    }

    fn number(n: usize) -> String {
        (6_281_200_000_000_usize + n).to_string()
    }

    async fn faults(&self, on: bool) {
        let numbers: serde_json::Map<String, Value> = (0..self.people)
            .filter(|n| on && Self::is_faulty(*n))
            .map(|n| (Self::number(n), json!(self.case.fault)))
            .collect();
        tell(
            &self.gateway,
            "/simulator/faults",
            &json!({ "numbers": numbers }),
        )
        .await;
    }

    async fn count(&self, condition: &str) -> usize {
        let query = format!("SELECT count(*) FROM outgoing WHERE {condition}");
        self.app.value(&query).await.parse().unwrap()
    }

    async fn is(&self, condition: &str) -> bool {
        self.app.value(&format!("SELECT {condition}")).await == "t"
    }

    /// Delivers until nothing is open, as an administrator who mends the gateway would see it.
    async fn run(&mut self) {
        let path = format!("/mailings/{}/send_now", self.mailing);
        self.app.ok("POST", &path, None).await;
        release::advance(&self.app.app).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let deliverer = tokio::spawn(deliver::run(self.app.app.clone(), stopped));
        let began = Instant::now();
        while self
            .count("state IN ('queued', 'claimed', 'sending')")
            .await
            > 0
        {
            assert!(
                began.elapsed() < Duration::from_secs(150),
                "{:?}: still open",
                self.case
            );
            if self.count("state IN ('claimed', 'sending')").await == 0 {
                self.look().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.send(true).unwrap();
        deliverer.await.unwrap();
        settle::all(&self.app.app).await.unwrap();
        self.app.holds().await;
    }

    /// Why nothing leaves, and what is done about it.
    async fn look(&mut self) {
        if self
            .is("EXISTS (SELECT FROM accounts WHERE health = 'stopped')")
            .await
        {
            self.seen.insert(Class::Stops);
            self.mend().await;
        } else if self
            .is("EXISTS (SELECT FROM accounts WHERE health = 'paused')")
            .await
        {
            // Too many uncertain ones in a row: a person looks and goes on.
            self.start_again().await;
        } else if self
            .is("EXISTS (SELECT FROM account_pace WHERE blocked_until > wablast_now())")
            .await
        {
            if self
                .count("state = 'queued' AND code = 'rate_limited'")
                .await
                > 0
            {
                self.seen.insert(Class::NotSent);
                self.mend().await;
            }
            self.app.advance(TimeDelta::minutes(16)).await;
        }
    }

    async fn mend(&self) {
        assert_eq!(self.effects(true).await, 0, "{:?}", self.case);
        self.faults(false).await;
        self.start_again().await;
    }

    async fn start_again(&self) {
        self.app
            .execute("UPDATE accounts SET health = 'running', health_code = NULL, health_reason = NULL, health_retry_at = NULL
                      WHERE health <> 'running'")
            .await;
    }

    /// Messages that reached the faulty people, or the others.
    async fn effects(&self, faulty: bool) -> usize {
        let arrived = arrived(&self.gateway).await;
        let by_number = arrived["by_number"].as_object().unwrap();
        (0..self.people)
            .filter(|n| Self::is_faulty(*n) == faulty)
            .map(|n| {
                let effects = by_number
                    .get(&Self::number(n))
                    .and_then(Value::as_u64)
                    .unwrap_or(0);
                assert!(effects <= 1, "{:?}: {effects} to one person", self.case);
                usize::try_from(effects).unwrap()
            })
            .sum()
    }
}

async fn plays(way: Way, case: Case, people: usize) {
    let mut play = Play::new(way, case, people).await;
    play.run().await;
    let faulty = (0..people).filter(|n| Play::is_faulty(*n)).count();
    let good = people - faulty;
    let (state, effects) = match case.class {
        Class::Uncertain => ("uncertain", if case.arrives { faulty } else { 0 }),
        Class::Refused => ("failed", 0),
        Class::Accepted => ("accepted", faulty),
        Class::NotSent | Class::Stops => {
            assert!(
                play.seen.contains(&case.class),
                "{way:?} {case:?}: {:?}",
                play.seen
            );
            ("accepted", faulty)
        }
    };
    let states = play
        .app
        .value("SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM outgoing GROUP BY 1) s")
        .await;
    let expected = if state == "accepted" {
        format!("accepted {people}")
    } else {
        format!("accepted {good}, {state} {faulty}")
    };
    assert_eq!(states, expected, "{way:?} {case:?}");
    assert_eq!(play.effects(true).await, effects, "{way:?} {case:?}");
    assert_eq!(play.effects(false).await, good, "{way:?} {case:?}");
}

async fn all(way: Way, cases: &'static [Case], people: usize, at_once: usize) {
    stream::iter(cases)
        .for_each_concurrent(at_once, |case| plays(way, *case, people))
        .await;
}

#[tokio::test]
async fn every_fault_of_waha_ends_in_its_class() {
    all(Way::Waha, &WAHA, 24, 4).await;
}

#[tokio::test]
async fn every_fault_of_a_flow_ends_in_its_class() {
    all(Way::Flow, &FLOW, 24, 4).await;
}

#[tokio::test]
async fn who_never_answers_leaves_uncertain_and_who_is_slow_is_waited_for() {
    tokio::join!(all(Way::Waha, &SLOW, 9, 4), all(Way::Flow, &SLOW, 9, 4));
}

#[test]
fn every_fault_that_a_send_can_meet_is_played() {
    let seen = [
        Fault::NotOnWhatsapp,
        Fault::ErrorAck,
        Fault::Unread,
        Fault::AcksLost,
        Fault::EventsLost,
    ];
    for fault in wablast::simulator::ALL_FAULTS {
        let played = WAHA.iter().chain(&SLOW).any(|case| case.fault == fault);
        assert!(played || seen.contains(&fault), "{}", fault.name());
    }
}
