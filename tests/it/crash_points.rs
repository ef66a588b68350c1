//! The real program dies at each of the places that matter: before and after every commit of the delivery,
//! and in the middle of a request. Its successor does the rest: nobody twice, nobody lost, and no more
//! uncertain than had begun.
//!
//! `WABLAST_CRASHES=20` goes through all of them so often, at another pass each time.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wablast::simulator::{Options, Running};

use crate::proof::{Api, check, set_up_by};
use crate::support::instance::{Instance, Shared, free_port};
use crate::support::proxy::{Far, Moment, Proxy};
use crate::support::{TestApp, simulator, tell, until};

const PEOPLE: usize = 300;
/// Requests of one account at one time: as many may have begun.
const PLACES: usize = 64;

/// Places in the program (`wablast::crash`), and at which pass it dies there first.
const COMMITS: [(&str, u64); 11] = [
    ("release.write", 2),
    ("release.done", 1),
    ("claim.write", 2),
    ("claim.done", 1),
    ("claim.done", 2),
    ("begin.write", 1),
    ("begin.done", 1),
    ("record.write", 1),
    ("record.done", 1),
    ("receipts.write", 1),
    ("receipts.done", 1),
];

/// Moments of a connection to the gateway; the connection at which it dies.
const MOMENTS: [(Moment, u64); 3] = [
    (Moment::Connected, 20),
    (Moment::Asked(60), 20),
    (Moment::Answered, 20),
];

/// Several lives of one installation.
struct Ground {
    app: TestApp,
    waha: Running,
    shared: Shared,
    token: String,
    list: Value,
    port: u16,
}

impl Ground {
    async fn new() -> Self {
        let app = TestApp::bare().await;
        let waha = simulator(Options {
            latency: Duration::from_millis(15),
            ..Options::default()
        })
        .await;
        let shared = Shared::new(app.url());
        let token = set_up_by(|arguments, input| shared.run(arguments, input));
        let port = free_port();
        let mut first = shared.start_with(port, &[]).await;
        let list = Api::new(&first.url, token.clone()).list_of(PEOPLE).await;
        first.stop();
        Self {
            app,
            waha,
            shared,
            token,
            list,
            port,
        }
    }

    /// An account that sends by `gateway` and hears of its receipts.
    async fn account(&self, at: &Instance, name: &str, gateway: &str) -> Value {
        let api = Api::new(&at.url, self.token.clone());
        let pace = json!({ "per_second": 5000, "burst": 5000 });
        let account = api.account(name, gateway, pace).await;
        let key = account["account_key"].as_str().unwrap();
        let hook = json!({ "url": format!("{}/webhooks/waha/{key}", at.url), "hmac_key": account["webhook_secret"] });
        tell(&self.waha, "/simulator/webhook", &hook).await;
        account
    }

    /// The next life, after every lease of the last one.
    async fn goes_on(&self, name: &str, mut dead: Instance, (api, path): (Api, String)) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while dead.is_alive() {
            assert!(Instant::now() < deadline, "{name}: it does not die");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut next = self.shared.start_with(self.port, &[]).await;
        // Where it died before it was asked; otherwise this changes nothing.
        api.try_post(&format!("{path}/send_now")).await;
        self.app
            .execute("UPDATE test_clock SET shift = shift + interval '90 seconds'")
            .await;
        api.until_nothing_is_open(&path, PEOPLE).await;
        let uncertain = check(&api, &path, &self.waha, PEOPLE).await;
        assert!(uncertain <= PLACES, "{name}: {uncertain} uncertain");
        println!("{name}: {uncertain} uncertain");
        self.shared.run(&["check"], "");
        until("receipts are applied", Duration::from_secs(30), || async {
            let waits = "SELECT count(*) FROM inbox WHERE state = 'new'";
            self.app.value(waits).await == "0"
        })
        .await;
        next.kill();
        tell(&self.waha, "/simulator/reset", &json!({})).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a size of this test")]
fn rounds() -> u64 {
    std::env::var("WABLAST_CRASHES").map_or(1, |rounds| rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_before_or_after_any_commit_sends_nothing_twice_and_loses_nobody() {
    let ground = Ground::new().await;
    let mut first = ground.shared.start_with(ground.port, &[]).await;
    let account = ground.account(&first, "Toko", &ground.waha.url()).await;
    let mut lives = Vec::new();
    for round in 0..rounds() {
        for (place, pass) in COMMITS {
            // What is passed once only, it dies at every time.
            let often = place.starts_with("claim") || place.starts_with("record");
            let pass = pass + if often { round % 3 } else { 0 };
            let api = Api::new(&first.url, ground.token.clone());
            let path = api.mailing(&account, &ground.list).await;
            lives.push((format!("{place}:{pass}"), api, path));
        }
    }
    first.stop();
    for (at, api, path) in lives {
        let armed = [("WABLAST_CRASH_AT", at.as_str())];
        let doomed = ground.shared.start_with(ground.port, &armed).await;
        api.try_post(&format!("{path}/send_now")).await;
        ground.goes_on(&at, doomed, (api, path)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_in_the_middle_of_a_request_sends_nothing_twice_and_loses_nobody() {
    let ground = Ground::new().await;
    for round in 0..rounds() {
        for (moment, first) in MOMENTS {
            let name = format!("{moment:?} in round {round}");
            let doomed = ground.shared.start_with(ground.port, &[]).await;
            let pid = doomed.pid();
            let kill = move || {
                Command::new("kill").args(["-KILL", &pid]).status().unwrap();
            };
            let gateway = Far::Tcp(ground.waha.url().replace("http://", ""));
            let at = Some((moment, Box::new(kill) as Box<dyn Fn() + Send + Sync>));
            let line = Proxy::watching(gateway, at, first + round % 10).await;
            let through = format!("http://127.0.0.1:{}", line.port);
            let account = ground.account(&doomed, &name, &through).await;
            let api = Api::new(&doomed.url, ground.token.clone());
            let path = api.mailing(&account, &ground.list).await;
            api.try_post(&format!("{path}/send_now")).await;
            ground.goes_on(&name, doomed, (api, path)).await;
        }
    }
}
