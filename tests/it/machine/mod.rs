//! The machine of a message on the real statements: random programs of three workers, a gateway that does
//! what it likes, people who pause, cancel, resend and say stop, and a clock that moves. After every step
//! the invariants of the delivery hold (`rules.rs`), and at the end everybody has got theirs or is accounted
//! for and `wablast check` finds nothing.
//!
//! `WABLAST_MACHINE=2000` runs that many programs instead of those of CI; a program that failed is kept in
//! `proptest-regressions/machine.txt` and runs first from then on.

mod rules;
mod world;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use wablast::gateways::Rank;
use wablast::mailings::Verb;
use wablast::simulator::Options;

use self::world::World;
use crate::support::{TestApp, simulator};

/// Programs in CI: less than a minute in a debug build.
const PROGRAMS: u32 = 128;
/// Steps of a program.
const STEPS: usize = 60;
const WORKERS: usize = 3;
const PEOPLE: usize = 4;

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The person has it, and the answer says so.
    Taken,
    /// The person has it, and no answer comes.
    AnswerLost,
    /// Nobody has it, and no answer comes.
    RequestLost,
    /// The gateway has no time: proven not sent.
    Busy,
    /// Not even started: the process was held up.
    HeldUp,
    Refused,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A worker takes some, to be begun later.
    Claim(usize, usize),
    /// A worker takes some and begins them in the same statement.
    Take(usize, usize),
    Begin(usize),
    /// One of what a worker has begun leaves, however late.
    Post(usize, usize, Fate),
    /// A worker writes down what it heard.
    Record(usize),
    /// The same once more: the commit was not heard.
    RecordAgain(usize),
    GiveBack(usize),
    GiveAllBack(usize),
    /// kill -9, and a new process in its place.
    Die(usize),
    Reap,
    Later(i64),
    Receipt(usize, Rank),
    Sweep,
    Change(Verb),
    Retry,
    Resend,
    MarkSent,
    OptOut(usize),
    OptIn(usize),
    Settle,
}

fn worker() -> impl Strategy<Value = usize> {
    0..WORKERS
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Taken),
        2 => Just(Fate::AnswerLost),
        2 => Just(Fate::RequestLost),
        2 => Just(Fate::Busy),
        1 => Just(Fate::HeldUp),
        2 => Just(Fate::Refused),
    ]
}

fn rank() -> impl Strategy<Value = Rank> {
    prop::sample::select(vec![
        Rank::Pending,
        Rank::Sent,
        Rank::Failed,
        Rank::Delivered,
        Rank::Read,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (worker(), 1..4_usize).prop_map(|(who, most)| Step::Claim(who, most)),
        6 => (worker(), 1..4_usize).prop_map(|(who, most)| Step::Take(who, most)),
        8 => worker().prop_map(Step::Begin),
        14 => (worker(), 0..4_usize, fate()).prop_map(|(who, which, fate)| Step::Post(who, which, fate)),
        9 => worker().prop_map(Step::Record),
        2 => worker().prop_map(Step::RecordAgain),
        2 => worker().prop_map(Step::GiveBack),
        1 => worker().prop_map(Step::GiveAllBack),
        2 => worker().prop_map(Step::Die),
        4 => Just(Step::Reap),
        4 => prop::sample::select(vec![1_i64, 30, 61, 75, 200]).prop_map(Step::Later),
        6 => (0..8_usize, rank()).prop_map(|(which, rank)| Step::Receipt(which, rank)),
        1 => Just(Step::Sweep),
        2 => Just(Step::Change(Verb::Pause)),
        4 => Just(Step::Change(Verb::Resume)),
        2 => Just(Step::Change(Verb::Cancel)),
        2 => Just(Step::Retry),
        3 => Just(Step::Resend),
        1 => Just(Step::MarkSent),
        1 => (0..PEOPLE).prop_map(Step::OptOut),
        1 => (0..PEOPLE).prop_map(Step::OptIn),
        3 => Just(Step::Settle),
    ]
}

/// The steps, and whether what has not left after four minutes is not to leave.
fn program() -> impl Strategy<Value = (Vec<Step>, bool)> {
    (
        prop::collection::vec(step(), 5..=STEPS),
        prop::bool::weighted(0.2),
    )
}

#[expect(clippy::disallowed_methods, reason = "a size of this test")]
fn programs() -> u32 {
    std::env::var("WABLAST_MACHINE").map_or(PROGRAMS, |programs| programs.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_program_of_workers_gateways_and_people_breaks_the_machine() {
    let app = TestApp::new().await;
    let gateway = simulator(Options::default()).await;
    let account = app.account(&gateway).await;
    let list = app.list_of(PEOPLE).await;
    let programs = programs();
    let kept = FileFailurePersistence::Direct("proptest-regressions/machine.txt");
    let mut runner = TestRunner::new(Config {
        cases: programs,
        failure_persistence: Some(Box::new(kept)),
        max_shrink_iters: 400,
        ..Config::default()
    });
    let here = tokio::runtime::Handle::current();
    let ran = tokio::task::block_in_place(|| {
        runner.run(&program(), |(steps, ends)| {
            here.block_on(run(&app, (account, list), &steps, ends))
                .map_err(TestCaseError::fail)
        })
    });
    if let Err(broken) = ran {
        panic!("{broken}");
    }
}

/// One program on a mailing of its own.
async fn run(
    app: &TestApp,
    (account, list): (i64, i64),
    steps: &[Step],
    ends: bool,
) -> Result<(), String> {
    let mut world = World::new(app, account, list, ends).await;
    for (at, step) in steps.iter().enumerate() {
        let before = world.rows().await;
        world
            .take(*step)
            .await
            .map_err(|said| format!("step {at}, {step:?}: {said}"))?;
        let after = world.rows().await;
        world.learn(*step, &before, &after);
        rules::hold(&world, *step, &before, &after)
            .map_err(|broken| format!("step {at}, {step:?}: {broken}"))?;
    }
    world.end().await
}
