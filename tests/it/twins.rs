//! Two numbers that lead to one WhatsApp: the person is written to once.

use serde_json::{Value, json};
use wablast::mailings::release;
use wablast::simulator::{Fault, Faults, Options, Running};

use crate::support::{TestApp, arrived, simulator, tell};

/// As Brazilians have it: with the ninth digit, and without.
const LONG: &str = "5511987654321";
const SHORT: &str = "551187654321";

struct Stage {
    app: TestApp,
    waha: Running,
    mailing: i64,
}

/// A mailing to three people, whose second and third are `numbers`.
async fn stage(numbers: [&str; 2]) -> Stage {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    let list = app.list_of(1).await;
    for number in numbers {
        app.execute(&format!(
            "WITH added AS (INSERT INTO contacts (company_id, name, whatsapp_number, country) VALUES (1, 'Ana', '{number}', 'BR') RETURNING id)
             INSERT INTO list_members (company_id, list_id, contact_id) SELECT 1, {list}, id FROM added"
        ))
        .await;
    }
    let mailing = app.mailing(account, list, "Ola").await;
    Stage { app, waha, mailing }
}

impl Stage {
    /// What WhatsApp said: the long number's chat is the short one's.
    async fn asked(&self) {
        self.app
            .execute(&format!(
                "INSERT INTO number_checks (company_id, number, account_id, on_whatsapp, chat_id)
                 SELECT 1, '{LONG}', id, true, '{SHORT}@c.us' FROM accounts"
            ))
            .await;
    }

    async fn send(&self) -> Value {
        let path = format!("/mailings/{}", self.mailing);
        self.app.ok("POST", &format!("{path}/send_now"), None).await;
        self.app.deliver(self.mailing).await["counts"].clone()
    }

    async fn of(&self, number: &str) -> String {
        let row = format!(
            "SELECT state || coalesce(' ' || code, '') FROM outgoing WHERE coalesce(number, skipped_number) = '{number}'"
        );
        self.app.value(&row).await
    }
}

#[tokio::test]
async fn one_person_with_two_numbers_gets_a_mailing_once() {
    for numbers in [[LONG, SHORT], [SHORT, LONG]] {
        let stage = stage(numbers).await;
        stage.asked().await;
        let counts = stage.send().await;
        assert_eq!(counts["skipped"], 1, "{counts}");
        assert_eq!(arrived(&stage.waha).await["total"], 2);
        assert_eq!(stage.of(numbers[0]).await, "accepted");
        assert_eq!(stage.of(numbers[1]).await, "skipped duplicate");
    }
}

#[tokio::test]
async fn two_numbers_of_which_nobody_knows_better_are_two_people() {
    let stage = stage([LONG, SHORT]).await;
    assert_eq!(stage.send().await["skipped"], 0);
    assert_eq!(arrived(&stage.waha).await["total"], 3);
}

#[tokio::test]
async fn what_becomes_known_while_the_other_is_under_way_counts() {
    let stage = stage([SHORT, LONG]).await;
    let path = format!("/mailings/{}", stage.mailing);
    stage
        .app
        .ok("POST", &format!("{path}/send_now"), None)
        .await;
    release::advance(&stage.app.app).await.unwrap();
    // The later one has left already.
    stage
        .app
        .execute(&format!(
            "UPDATE outgoing SET state = 'uncertain', code = 'timeout', begun_at = wablast_now(), attempts = 1 WHERE number = '{LONG}'"
        ))
        .await;
    stage
        .app
        .execute(&format!(
            "INSERT INTO attempts (company_id, account_id, outgoing_id, fence, begun_at, ended_at, outcome, code)
             SELECT company_id, account_id, id, fence, begun_at, begun_at, 'uncertain', code FROM outgoing WHERE number = '{LONG}'"
        ))
        .await;
    stage.asked().await;
    stage.app.deliver(stage.mailing).await;
    assert_eq!(stage.of(SHORT).await, "skipped duplicate");
}

#[tokio::test]
async fn who_could_not_be_reached_by_one_number_is_written_to_by_the_other() {
    let stage = stage([SHORT, LONG]).await;
    let mut faults = Faults::default();
    faults.numbers.insert(SHORT.to_owned(), Fault::Refused);
    tell(&stage.waha, "/simulator/faults", &json!(faults)).await;
    stage.asked().await;
    // One at a time: what became of the first is known.
    stage
        .app
        .execute("UPDATE accounts SET per_second = 2, burst = 1, updated_at = wablast_now()")
        .await;
    stage.send().await;
    let first = stage.of(SHORT).await;
    let second = stage.of(LONG).await;
    assert!(
        first.starts_with("failed") || first.starts_with("skipped not"),
        "{first}"
    );
    assert_eq!(second, "accepted", "{first}");
}
