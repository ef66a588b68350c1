//! A small model of delivery, explored to its last state: two workers, two messages, crashes, leases that end at
//! any moment and workers that carry on all the same. It holds as the engine is written, and it must fail as soon
//! as one of three rules is dropped.
//!
//! A fence only rises, so all that matters of it is whether the one a worker holds is still the message's.

use std::collections::{HashMap, VecDeque};

const WORKERS: usize = 2;
const MESSAGES: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Queued,
    Claimed,
    Sending,
    Accepted,
    Uncertain,
}

/// How far a worker is with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Claimed,
    /// The attempt is committed.
    Begun,
    /// The answer says it was taken; it waits to be recorded.
    Taken,
    /// Nobody knows.
    Lost,
    /// Proven not sent.
    NotSent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Hold {
    stage: Stage,
    /// Its fence is the message's.
    current: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Message {
    state: State,
    /// How often it took effect at the gateway; two is one too many already.
    effects: u8,
    holds: [Option<Hold>; WORKERS],
}

type World = [Message; MESSAGES];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    AsWritten,
    /// Begin and record ask for nothing but the message's id.
    Unfenced,
    /// A lease that ends while a request is under way puts the message back.
    RequeueOnExpiry,
    /// The request goes first, its attempt is committed afterwards.
    IntentAfterPost,
}

impl Message {
    const NEW: Self = Self {
        state: State::Queued,
        effects: 0,
        holds: [None; WORKERS],
    };

    /// Another fence: what anybody held is old.
    fn moved_on(mut self, state: State) -> Self {
        self.state = state;
        for hold in self.holds.iter_mut().flatten() {
            hold.current = false;
        }
        self
    }

    fn held(mut self, worker: usize, hold: Option<Hold>) -> Self {
        self.holds[worker] = hold;
        self
    }

    fn at(self, worker: usize, hold: Hold, stage: Stage) -> Self {
        self.held(worker, Some(Hold { stage, ..hold }))
    }

    /// Every answer a gateway may give, the message's effect included.
    fn posted(self, worker: usize, hold: Hold) -> [Self; 4] {
        let arrived = Self {
            effects: (self.effects + 1).min(2),
            ..self
        };
        [
            arrived.at(worker, hold, Stage::Taken),
            arrived.at(worker, hold, Stage::Lost),
            self.at(worker, hold, Stage::Lost),
            self.at(worker, hold, Stage::NotSent),
        ]
    }

    /// What can happen to it next, beside a crash.
    fn next(self, rules: Rules) -> Vec<Self> {
        let mut next = Vec::new();
        for worker in 0..WORKERS {
            match self.holds[worker] {
                None if self.state == State::Queued => {
                    let stage = Stage::Claimed;
                    let hold = Hold {
                        stage,
                        current: true,
                    };
                    next.push(self.moved_on(State::Claimed).held(worker, Some(hold)));
                }
                None => {}
                Some(hold) => self.goes_on(worker, hold, rules, &mut next),
            }
        }
        // Its lease is over, whatever its holder is doing.
        match self.state {
            State::Claimed => next.push(self.moved_on(State::Queued)),
            State::Sending if rules == Rules::RequeueOnExpiry => {
                next.push(self.moved_on(State::Queued));
            }
            State::Sending => next.push(self.moved_on(State::Uncertain)),
            _ => {}
        }
        // A receipt by our own reference.
        if self.effects > 0 && self.state != State::Accepted {
            next.push(self.moved_on(State::Accepted));
        }
        next
    }

    fn goes_on(self, worker: usize, hold: Hold, rules: Rules, next: &mut Vec<Self>) {
        let free = rules == Rules::Unfenced;
        match hold.stage {
            Stage::Claimed if rules == Rules::IntentAfterPost => {
                // What is posted is committed when the answer is recorded.
                next.extend(self.posted(worker, hold));
            }
            Stage::Claimed if free || hold.current && self.state == State::Claimed => {
                next.push(
                    Self {
                        state: State::Sending,
                        ..self
                    }
                    .at(worker, hold, Stage::Begun),
                );
            }
            Stage::Begun => next.extend(self.posted(worker, hold)),
            Stage::Taken | Stage::Lost | Stage::NotSent => {
                next.push(self.recorded(worker, hold, rules));
            }
            // An old claim changes nothing.
            Stage::Claimed => next.push(self.held(worker, None)),
        }
    }

    fn recorded(self, worker: usize, hold: Hold, rules: Rules) -> Self {
        let open = match rules {
            Rules::IntentAfterPost => State::Claimed,
            _ => State::Sending,
        };
        let after = self.held(worker, None);
        if rules == Rules::Unfenced || hold.current && self.state == open {
            let state = match hold.stage {
                Stage::Taken => State::Accepted,
                Stage::NotSent => State::Queued,
                _ => State::Uncertain,
            };
            return after.moved_on(state);
        }
        // Too late for the message; what it proves counts as evidence.
        if hold.stage == Stage::Taken {
            return after.moved_on(State::Accepted);
        }
        after
    }

    /// What is broken, if anything is.
    fn broken(self) -> Option<&'static str> {
        let waits = matches!(self.state, State::Queued | State::Claimed);
        if self.effects > 1 {
            Some("a person got it twice")
        } else if self.state == State::Accepted && self.effects == 0 {
            Some("it is called sent and nobody got it")
        } else if waits && self.effects > 0 {
            Some("it took effect and is still to be sent")
        } else {
            None
        }
    }

    fn doubled(self) -> Option<&'static str> {
        (self.effects > 1).then_some("a person got it twice")
    }

    fn is_settled(self) -> bool {
        matches!(self.state, State::Accepted | State::Uncertain)
    }
}

fn next(world: World, rules: Rules) -> Vec<World> {
    let mut all = Vec::new();
    for (which, message) in world.iter().enumerate() {
        for moved in message.next(rules) {
            let mut world = world;
            world[which] = moved;
            all.push(world);
        }
    }
    // A process dies, or has died and is back: it holds nothing any more.
    for worker in 0..WORKERS {
        all.push(world.map(|message| message.held(worker, None)));
    }
    all
}

struct Explored {
    /// Every state with the one it was first reached from.
    from: HashMap<World, Option<World>>,
    broken: Option<(&'static str, World)>,
}

/// Until something is broken, or everything was seen.
fn explore(rules: Rules, broken: fn(Message) -> Option<&'static str>) -> Explored {
    let first = [Message::NEW; MESSAGES];
    let mut from = HashMap::from([(first, None)]);
    let mut open = VecDeque::from([first]);
    while let Some(world) = open.pop_front() {
        if let Some(why) = world.iter().find_map(|message| broken(*message)) {
            return Explored {
                from,
                broken: Some((why, world)),
            };
        }
        for after in next(world, rules) {
            for (before, after) in world.iter().zip(&after) {
                assert!(
                    before.state != State::Uncertain
                        || matches!(after.state, State::Uncertain | State::Accepted)
                        || rules != Rules::AsWritten,
                    "uncertain is left by evidence alone: {before:?} {after:?}"
                );
            }
            from.entry(after).or_insert_with(|| {
                open.push_back(after);
                Some(world)
            });
        }
    }
    Explored { from, broken: None }
}

#[test]
fn the_model_sends_nobody_twice_and_loses_nobody() {
    let explored = explore(Rules::AsWritten, Message::broken);
    assert_eq!(explored.broken, None);
    assert!(
        explored.from.len() > 5_000,
        "{} states",
        explored.from.len()
    );
    // From every state there is a way on which everything settles: nothing is stuck.
    let mut before: HashMap<World, Vec<World>> = HashMap::new();
    let mut settled: VecDeque<World> = VecDeque::new();
    for world in explored.from.keys() {
        if world.iter().all(|message| message.is_settled()) {
            settled.push_back(*world);
        }
        for after in next(*world, Rules::AsWritten) {
            before.entry(after).or_default().push(*world);
        }
    }
    let mut reach: std::collections::HashSet<World> = settled.iter().copied().collect();
    while let Some(world) = settled.pop_front() {
        for earlier in before.get(&world).into_iter().flatten() {
            if reach.insert(*earlier) {
                settled.push_back(*earlier);
            }
        }
    }
    assert_eq!(reach.len(), explored.from.len(), "a state leads nowhere");
}

#[test]
fn the_model_fails_without_any_of_its_rules() {
    for rules in [
        Rules::Unfenced,
        Rules::RequeueOnExpiry,
        Rules::IntentAfterPost,
    ] {
        let explored = explore(rules, Message::doubled);
        let (why, world) = explored
            .broken
            .expect("a rule that can be dropped proves nothing");
        let mut way = vec![world];
        while let Some(Some(earlier)) = explored.from.get(way.last().unwrap()) {
            way.push(*earlier);
        }
        println!("{rules:?}: {why}, after {} steps", way.len() - 1);
        assert!(way.len() > 3, "{rules:?}");
    }
}
