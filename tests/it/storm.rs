//! Many deaths in one mailing: three real programs, killed and frozen past their leases one after the other.
//!
//! `WABLAST_STORM="100000 5 100"`: people, seeds, deaths. CI runs a small one.

use std::time::Duration;

use serde_json::json;
use wablast::simulator::Options;

use crate::proof::{begin_at, check, set_up_by};
use crate::support::instance::{Instance, Shared, free_port};
use crate::support::{TestApp, simulator};

const SMALL: [u64; 3] = [3_000, 1, 8];
const PROGRAMS: usize = 3;
/// Requests of one program at one time.
const PLACES: u64 = 64;
/// How long one death takes, about.
const DEATH: u64 = 1;

#[expect(clippy::disallowed_methods, reason = "a size of this test")]
fn sizes() -> [u64; 3] {
    std::env::var("WABLAST_STORM").map_or(SMALL, |sizes| {
        let sizes: Vec<u64> = sizes.split(' ').map(|size| size.parse().unwrap()).collect();
        sizes.try_into().unwrap()
    })
}

/// Numbers that look random and are the same for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_deaths_and_freezes_sends_nothing_twice_and_loses_nobody() {
    let [people, seeds, deaths] = sizes();
    for seed in 1..=seeds {
        let uncertain = storm(people, seed, deaths).await;
        println!("seed {seed}: {people} people, {deaths} deaths, {uncertain} uncertain");
    }
}

async fn storm(people: u64, seed: u64, deaths: u64) -> usize {
    let app = TestApp::bare().await;
    let waha = simulator(Options {
        acks: false,
        latency: Duration::from_millis(30),
        seed,
        ..Options::default()
    })
    .await;
    let shared = Shared::new(app.url());
    let token = set_up_by(|arguments, input| shared.run(arguments, input));
    let mut programs: Vec<Instance> = Vec::new();
    for _ in 0..PROGRAMS {
        programs.push(shared.start_with(free_port(), &[]).await);
    }
    // So fast that the deaths are spread over the mailing.
    let rate = (people / (deaths * DEATH)).clamp(20, 5_000);
    let people = usize::try_from(people).unwrap();
    let pace = json!({ "per_second": rate, "burst": 64 });
    let (api, path) = begin_at(&programs[0].url, token, &waha, people, pace).await;
    let mut dice = Dice(seed);
    for _ in 0..deaths {
        tokio::time::sleep(Duration::from_millis(100 + dice.roll(500))).await;
        let which = usize::try_from(dice.roll(PROGRAMS as u64)).unwrap();
        if dice.roll(4) == 0 {
            programs[which].signal("-STOP");
            app.execute("UPDATE test_clock SET shift = shift + interval '90 seconds'")
                .await;
            // Longer than another looks for what the frozen one holds.
            tokio::time::sleep(Duration::from_millis(5_500)).await;
            programs[which].signal("-CONT");
        } else {
            programs[which].kill();
            programs[which] = shared.start_with(free_port(), &[]).await;
        }
    }
    app.execute("UPDATE test_clock SET shift = shift + interval '90 seconds'")
        .await;
    let api = api.at(&programs[0].url);
    api.until_nothing_is_open(&path, people).await;
    let uncertain = check(&api, &path, &waha, people).await;
    assert!(uncertain as u64 <= PLACES * deaths, "{uncertain} uncertain");
    shared.run(&["check"], "");
    uncertain
}
