//! One account, several companies: who sends with it, who changes it, whose its messages are.

use chrono::TimeDelta;
use serde_json::{Value, json};
use wablast::simulator::{Options, Running};

use crate::support::browser::{Browser, Page};
use crate::support::{Caller, TestApp, simulator, tell};

const BUDI: &str = "budi@example.com";

/// Two companies and an account of the first. Dewi is administrator in both, Budi in the second.
struct Two {
    app: TestApp,
    waha: Running,
    account: i64,
    /// The second company.
    other: String,
    budi: String,
    /// Budi's token.
    token: String,
}

impl Two {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let waha = simulator(Options::default()).await;
        let account = app.account(&waha).await;
        let other = app.company("Toko Melati").await;
        app.execute(&format!(
            "INSERT INTO user_companies VALUES (1, {other}, 'administrator')"
        ))
        .await;
        let budi = app.person_of(&other, BUDI, "administrator").await;
        let token = app.token_of(&other, &budi).await;
        Self {
            app,
            waha,
            account,
            other,
            budi,
            token,
        }
    }

    /// The same with the second company linked, as the form does it.
    async fn shared() -> Self {
        let two = Self::new().await;
        let mut dewi = signed_in(&two.app).await;
        let page = two.share(&mut dewi, &[&two.other]).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(two.linked().await, format!("1,{}", two.other));
        two
    }

    fn budi(&self) -> Caller {
        self.app.as_token(&self.token)
    }

    fn page(&self) -> String {
        format!("/accounts/{}", self.account)
    }

    /// Saves the account's form with these companies chosen.
    async fn share(&self, browser: &mut Browser, companies: &[&str]) -> Page {
        let page = browser.get(&self.page()).await;
        let mut form = page.form(&self.page()).without("allowed_company_ids");
        for company in companies {
            form = form.add("allowed_company_ids", company);
        }
        browser.submit(form).await
    }

    /// The companies that may use the account.
    async fn linked(&self) -> String {
        self.app
            .value(&format!(
                "SELECT string_agg(company_id::text, ',' ORDER BY company_id) FROM account_companies
                 WHERE account_id = {} AND active",
                self.account
            ))
            .await
    }

    /// A mailing of the second company to one person there.
    async fn mailing(&self, number: &str) -> i64 {
        let budi = self.budi();
        let list = json!({ "name": format!("List of {number}") });
        let list = budi.ok("POST", "/lists", Some(&list)).await["id"].clone();
        let people = json!({ "list_ids": [list], "contacts": [{ "name": "Siti", "whatsapp_number": number }] });
        budi.ok("POST", "/contacts/bulk", Some(&people)).await;
        let mailing = json!({ "subject": "Promo Melati", "account_id": self.account,
            "recipients": { "list_ids": [list] }, "message": "Halo" });
        let made = budi.ok("POST", "/mailings", Some(&mailing)).await;
        made["id"].as_i64().unwrap()
    }

    /// Sent and delivered.
    async fn sent(&self, number: &str) -> i64 {
        let mailing = self.mailing(number).await;
        let path = format!("/mailings/{mailing}/send_now");
        self.budi().ok("POST", &path, None).await;
        wablast::mailings::release::advance(&self.app.app)
            .await
            .unwrap();
        self.delivered().await;
        mailing
    }

    async fn delivered(&self) {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let app = self.app.app.clone();
        let deliverer = tokio::spawn(wablast::outgoing::deliver::run(app, stopped));
        let open = "SELECT count(*) FROM outgoing WHERE state IN ('queued', 'claimed', 'sending')";
        self.app
            .until("nothing is open", || async {
                self.app.value(open).await == "0"
            })
            .await;
        stop.send(true).unwrap();
        deliverer.await.unwrap();
        wablast::mailings::settle::all(&self.app.app).await.unwrap();
    }

    /// Somebody writes; the company the message went to.
    async fn writes(&self, from: &str, text: &str) -> String {
        let before = self.app.value("SELECT count(*) FROM incoming").await;
        let message = json!({ "from": from, "text": text, "name": "Siti" });
        tell(&self.waha, "/simulator/incoming", &message).await;
        self.app
            .until("the message is stored", || async {
                self.app.apply_webhooks().await;
                self.app.value("SELECT count(*) FROM incoming").await != before
            })
            .await;
        self.app
            .value("SELECT company_id FROM incoming ORDER BY id DESC LIMIT 1")
            .await
    }
}

async fn signed_in(app: &TestApp) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    browser
}

fn refused(answer: &(u16, Value), status: u16, words: &str) {
    assert_eq!(answer.0, status, "{}", answer.1);
    assert!(answer.1.to_string().contains(words), "{}", answer.1);
}

#[tokio::test]
async fn a_company_that_may_use_an_account_sends_with_it() {
    let two = Two::shared().await;
    let mailing = two.sent("6281200000001").await;
    let whose = two
        .app
        .value(&format!(
            "SELECT concat_ws(' ', m.state, m.company_id = {other}, o.company_id = {other}, o.state, l.company_id = {other})
             FROM mailings m JOIN outgoing o ON o.mailing_id = m.id JOIN logs l ON l.mailing_id = m.id WHERE m.id = {mailing}",
            other = two.other
        ))
        .await;
    assert!(whose.starts_with("done t t "), "{whose}");
    assert!(whose.ends_with(" t"), "{whose}");
    let path = format!("/mailings/{mailing}");
    let (status, _) = two.app.call("GET", &path, None).await;
    assert_eq!(status, 404, "the owner does not see it");
    let items = two.budi().ok("GET", "/accounts", None).await;
    assert_eq!(items["items"][0]["id"], two.account);
}

#[tokio::test]
async fn only_the_owner_changes_a_shared_account_and_sees_its_keys() {
    let two = Two::shared().await;
    let mut budi = Browser::new(&two.app);
    budi.sign_in_as(BUDI).await;
    let list = budi.get("/accounts").await;
    assert!(list.text().contains("Batik Sekar Arum"), "names the owner");
    let page = budi.get(&two.page()).await;
    assert_eq!(page.status, 200);
    let said = page.text();
    assert!(said.contains("belongs to Batik Sekar Arum"), "{said}");
    let stored = two
        .app
        .value("SELECT concat_ws(' ', account_key, webhook_verify_token, api_url) FROM accounts")
        .await;
    for secret in stored.split(' ') {
        assert!(!page.html.contains(secret), "{secret} on the page");
    }
    let inputs = page.attributes("main input, main textarea", "name");
    assert_eq!(inputs, Vec::<String>::new(), "nothing to type");
    let form = budi.get("/preferences").await.form("/logout");
    let before = two.app.mark().await;
    for verb in [
        "",
        "/test",
        "/test-message",
        "/push",
        "/webhook-key",
        "/pause",
        "/resume",
        "/archive",
        "/unarchive",
    ] {
        let form = form
            .clone()
            .to(&format!("{}{verb}", two.page()))
            .set("name", "Mine")
            .set("api_url", "http://127.0.0.1:9")
            .set("number", "081234567890")
            .set("text", "Halo");
        let page = budi.submit(form).await;
        assert_eq!(page.status, 403, "{verb}: {}", page.text());
        assert!(page.text().contains("another company"), "{verb}");
    }
    assert_eq!(two.app.mark().await, before, "something changed");
    let account = two.account;
    for verb in ["test", "pause", "resume"] {
        let answer = two
            .budi()
            .call("POST", &format!("/accounts/{account}/{verb}"), None)
            .await;
        refused(&answer, 403, "another company");
    }
    let health = "SELECT concat_ws(' ', health, tested_at IS NULL) FROM accounts";
    assert_eq!(two.app.value(health).await, "running t");
    let path = format!("/accounts/{account}");
    let shown = two.budi().ok("GET", &path, None).await;
    assert_eq!(shown["name"], "Toko Bandung");
    for key in ["account_key", "intake_url", "api_url", "api_key"] {
        assert_eq!(shown[key], Value::Null, "{key}");
    }
    let third = two.app.company("Toko Mawar").await;
    let eve = two
        .app
        .person_of(&third, "eve@example.com", "administrator")
        .await;
    let eve = two.app.token_of(&third, &eve).await;
    let answer = two
        .app
        .as_token(&eve)
        .call("POST", &format!("/accounts/{account}/pause"), None)
        .await;
    refused(&answer, 404, "does not exist");
}

#[tokio::test]
async fn an_account_is_withdrawn_when_nothing_is_on_its_way_and_history_stays() {
    let two = Two::shared().await;
    let sent = two.sent("6281200000001").await;
    let mailing = two.mailing("6281200000002").await;
    let draft = two.mailing("6281200000003").await;
    let tomorrow = (two.app.app.clock.now() + TimeDelta::days(1)).to_rfc3339();
    let (path, date) = (
        format!("/mailings/{mailing}"),
        json!({ "schedule_date": tomorrow }),
    );
    two.budi()
        .ok("POST", &format!("{path}/submit"), Some(&date))
        .await;
    let mut dewi = signed_in(&two.app).await;
    let page = two.share(&mut dewi, &[]).await;
    assert_eq!(page.status, 422);
    let said = page.text();
    assert!(
        said.contains("Toko Melati still needs this account for: Promo Melati"),
        "{said}"
    );
    assert_eq!(two.linked().await, format!("1,{}", two.other));
    let archive = page.form(&format!("{}/archive", two.page()));
    let page = dewi.submit(archive).await;
    assert_eq!(page.status, 409, "archiving under another's mailing");
    assert!(page.text().contains("Toko Melati"), "{}", page.text());
    assert!(!page.text().contains("Promo Melati"), "not its subject");
    two.budi().ok("POST", &format!("{path}/cancel"), None).await;
    let page = two.share(&mut dewi, &[]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(two.linked().await, "1");
    for verb in ["submit", "send_now"] {
        let answer = two
            .budi()
            .call("POST", &format!("/mailings/{draft}/{verb}"), Some(&date))
            .await;
        refused(&answer, 422, "may not use this account any more");
    }
    assert_eq!(
        two.budi().ok("GET", "/accounts", None).await["items"],
        json!([])
    );
    let mut budi = Browser::new(&two.app);
    budi.sign_in_as(BUDI).await;
    assert_eq!(budi.get(&two.page()).await.status, 404);
    let log = two.app.value("SELECT min(id) FROM logs").await;
    let message = two.app.value("SELECT min(id) FROM outgoing").await;
    for page in [
        format!("/mailings/{sent}"),
        format!("/mailings/{draft}"),
        format!("/logs/{log}"),
        format!("/outgoing/{message}"),
        "/mailings".to_owned(),
        "/logs".to_owned(),
        "/outgoing".to_owned(),
    ] {
        assert_eq!(budi.get(&page).await.status, 200, "{page}");
    }
    let page = two.share(&mut dewi, &[&two.other]).await;
    assert_eq!(page.status, 200);
    let answer = two.budi();
    answer
        .ok("POST", &format!("/mailings/{draft}/send_now"), None)
        .await;
}

#[tokio::test]
async fn one_adds_only_companies_in_which_one_is_administrator() {
    let two = Two::shared().await;
    let foreign = two.app.company("Toko Mawar").await;
    two.app
        .execute(&format!(
            "UPDATE user_companies SET role = 'manager' WHERE user_id = 1 AND company_id = {}",
            two.other
        ))
        .await;
    let mut dewi = signed_in(&two.app).await;
    let page = dewi.get(&two.page()).await;
    assert!(!page.html.contains("name=\"allowed_company_ids\""));
    assert!(page.text().contains("Toko Melati"), "shown by its name");
    let page = two.share(&mut dewi, &[&foreign]).await;
    assert_eq!(page.status, 422);
    assert!(
        page.text()
            .contains("only companies in which you are administrator"),
        "{}",
        page.text()
    );
    let page = two.share(&mut dewi, &[]).await;
    assert_eq!(page.status, 200);
    assert_eq!(two.linked().await, format!("1,{}", two.other), "kept");
    let new = json!({ "name": "Second", "provider": "waha", "api_url": "http://127.0.0.1:9",
        "allowed_company_ids": [foreign.parse::<i64>().unwrap()] });
    let answer = two.app.call("POST", "/accounts", Some(&new)).await;
    refused(&answer, 422, "allowed_company_ids");
    let new = json!({ "name": "Second", "provider": "waha", "api_url": "http://127.0.0.1:9",
        "allowed_company_ids": [1] });
    let made = two.app.ok("POST", "/accounts", Some(&new)).await;
    assert_eq!(made["allowed_company_ids"], json!([1]));
}

#[tokio::test]
async fn a_message_goes_to_the_company_that_wrote_last_else_to_the_owner() {
    let two = Two::shared().await;
    let siti = "6281200000000";
    two.app.list_of(1).await;
    assert_eq!(two.writes(siti, "Halo").await, "1", "nobody wrote yet");
    two.sent(siti).await;
    assert_eq!(two.writes(siti, "Mau pesan").await, two.other);
    two.app.advance(TimeDelta::days(14)).await;
    assert_eq!(two.writes(siti, "Masih ada?").await, two.other);
    let list = two.app.value("SELECT min(id) FROM lists").await;
    let mailing = two
        .app
        .mailing(two.account, list.parse().unwrap(), "Halo")
        .await;
    two.app
        .ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    two.app.deliver(mailing).await;
    assert_eq!(two.writes(siti, "Baik").await, "1", "the owner wrote last");
    two.sent("6281200000077").await;
    two.app.advance(TimeDelta::days(16)).await;
    assert_eq!(two.writes("6281200000077", "Halo").await, "1", "too late");
    two.sent("6281200000088").await;
    let mut dewi = signed_in(&two.app).await;
    two.share(&mut dewi, &[]).await;
    assert_eq!(
        two.writes("6281200000088", "Halo").await,
        "1",
        "a company that may not use the account any more answers nobody"
    );
}

#[tokio::test]
async fn a_stop_counts_in_every_company_that_may_use_the_account() {
    let two = Two::shared().await;
    let third = two.app.company("Toko Mawar").await;
    let apart = two.app.company("Toko Anggrek").await;
    two.app
        .execute(&format!(
            "INSERT INTO account_companies (company_id, account_id) VALUES ({third}, {account});
             INSERT INTO contacts (company_id, name, whatsapp_number, country) VALUES ({apart}, 'Siti', '6281200000000', 'ID')",
            account = two.account
        ))
        .await;
    two.app.list_of(1).await;
    two.sent("6281200000000").await;
    assert_eq!(two.writes("6281200000000", "STOP").await, two.other);
    let out = two
        .app
        .value("SELECT string_agg(company_id::text, ',' ORDER BY company_id) FROM contacts WHERE opt_out")
        .await;
    assert_eq!(out, format!("1,{}", two.other));
    let suppressed = two
        .app
        .value("SELECT string_agg(company_id || ':' || number, ',') FROM blacklist")
        .await;
    assert_eq!(suppressed, format!("{third}:6281200000000"));
    let free = two
        .app
        .value(&format!(
            "SELECT opt_out FROM contacts WHERE company_id = {apart}"
        ))
        .await;
    assert_eq!(free, "f");
}

#[tokio::test]
async fn only_allowed_users_choose_submit_send_test_and_reply() {
    let two = Two::shared().await;
    let sent = two.sent("6281200000001").await;
    let draft = two.mailing("6281200000002").await;
    two.writes("6281200000001", "Mau pesan").await;
    let message = two
        .app
        .value("SELECT id FROM incoming ORDER BY id DESC LIMIT 1")
        .await;
    let mut dewi = signed_in(&two.app).await;
    let page = dewi.get(&two.page()).await;
    let offered = page.attributes("input[name=allowed_user_ids]", "value");
    assert!(offered.contains(&two.budi), "users of both companies");
    let form = page.form(&two.page()).add("allowed_user_ids", "1");
    assert_eq!(dewi.submit(form).await.status, 200);
    let list = two.budi().ok("GET", "/accounts", None).await;
    assert_eq!(list["items"], json!([]), "not a choice for Budi");
    let words = "may not send through this account";
    let tomorrow = (two.app.app.clock.now() + TimeDelta::days(1)).to_rfc3339();
    let date = json!({ "schedule_date": tomorrow });
    for (verb, body) in [("submit", Some(&date)), ("send_now", None)] {
        let path = format!("/mailings/{draft}/{verb}");
        refused(&two.budi().call("POST", &path, body).await, 422, words);
    }
    let list = two.app.value("SELECT max(id) FROM lists").await;
    let new = json!({ "subject": "x", "account_id": two.account, "message": "x",
        "recipients": { "list_ids": [list.parse::<i64>().unwrap()] } });
    let made = two.budi().call("POST", "/mailings", Some(&new)).await;
    refused(&made, 422, words);
    let mut budi = Browser::new(&two.app);
    budi.sign_in_as(BUDI).await;
    let choices = budi.get("/mailings/new").await;
    let choices = choices.attributes("select[name=account_id] option", "value");
    assert!(
        !choices.contains(&two.account.to_string()),
        "in the form: {choices:?}"
    );
    let test = format!("/mailings/{sent}/test");
    let form = budi.get(&test).await.form(&test);
    let page = budi.submit(form).await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains(words), "{}", page.text());
    let page = budi.get(&format!("/incoming/{message}")).await;
    let reply = format!("/incoming/{message}/reply");
    assert!(!page.attributes("form", "action").contains(&reply));
    let before = two.app.value("SELECT count(*) FROM outgoing").await;
    let form = page.form("/logout").to(&reply).set("text", "Ya");
    assert_eq!(budi.submit_once(form).await.0, 422);
    assert_eq!(two.app.value("SELECT count(*) FROM outgoing").await, before);
    // And Dewi, who is named, may in both companies.
    let page = dewi.get(&two.page()).await;
    let form = page
        .form(&two.page())
        .add("allowed_user_ids", &two.budi)
        .set("name", "Renamed");
    assert_eq!(dewi.submit(form).await.status, 200);
    let path = format!("/mailings/{draft}/send_now");
    two.budi().ok("POST", &path, None).await;
}
