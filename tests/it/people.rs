//! Users and companies: invitations, roles, shutting out, several companies side by side.

use chrono::TimeDelta;
use regex::Regex;

use crate::support::browser::{Browser, Page};
use crate::support::{PASSWORD, TestApp};

const SITI: &str = "siti@example.com";
const FRESH: &str = "three quiet green hills";

async fn signed_in(app: &TestApp) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    browser
}

async fn signed_in_as(app: &TestApp, email: &str) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in_as(email).await;
    browser
}

/// The one-time link that the page shows, without the host.
fn link(page: &Page) -> Option<String> {
    let found = Regex::new(r"/join\?token=\w+").unwrap();
    found
        .find(&page.html)
        .map(|found| found.as_str().to_owned())
}

/// Invites Siti; her page as it is shown after that.
async fn invited(browser: &mut Browser, role: &str) -> Page {
    let page = browser.get("/users/new").await;
    let form = page
        .form("/users")
        .set("name", "Siti Rahma")
        .set("email", SITI)
        .set("roles", role);
    let page = browser.submit(form).await;
    assert_eq!(page.status, 200, "{}", page.text());
    page
}

/// Chooses a password behind a link.
async fn joined(app: &TestApp, link: &str, password: &str) -> (Browser, Page) {
    let mut browser = Browser::new(app);
    let page = browser.get(link).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let page = browser
        .submit(page.form("/join").set("password", password))
        .await;
    (browser, page)
}

/// May this address and password sign in?
async fn may_sign_in(app: &TestApp, email: &str, password: &str) -> bool {
    let mut browser = Browser::new(app);
    let page = browser.get("/login").await;
    let form = page
        .form("/login")
        .set("email", email)
        .set("password", password);
    browser.submit(form).await.path == "/mailings"
}

async fn press(browser: &mut Browser, page: &str, verb: &str) -> Page {
    let form = browser.get(page).await.form(&format!("{page}/{verb}"));
    browser.submit(form).await
}

#[tokio::test]
async fn somebody_is_invited_by_a_link_that_is_shown_and_works_once() {
    let app = TestApp::new().await;
    let mut dewi = signed_in(&app).await;
    let page = invited(&mut dewi, "manager").await;
    let address = page.path.clone();
    let way = link(&page).unwrap();
    assert!(page.text().contains("Invited"), "{}", page.text());
    let again = dewi.get(&address).await;
    assert_eq!(link(&again), None, "a reload shows it no more");
    assert_eq!(app.value("SELECT count(*) FROM users").await, "2");
    let stored = app
        .value("SELECT string_agg(t::text, '') FROM user_links t")
        .await;
    let token = way.split('=').nth(1).unwrap();
    assert!(!stored.contains(token), "stored hashed");
    let sessions = app
        .value("SELECT coalesce(string_agg(state::text, ''), '') FROM sessions")
        .await;
    assert!(!sessions.contains(token));
    assert!(dewi.get("/users").await.text().contains("Siti Rahma"));
    let (_, weak) = joined(&app, &way, "123456789012").await;
    assert_eq!(weak.status, 422);
    let (mut siti, page) = joined(&app, &way, FRESH).await;
    assert_eq!((page.status, page.path.as_str()), (200, "/mailings"));
    assert!(page.text().contains("Siti Rahma"));
    assert_eq!(siti.get("/users").await.status, 403, "a manager");
    let mut late = Browser::new(&app);
    let used = late.get(&way).await;
    assert_eq!(used.status, 409);
    assert!(used.text().contains("used already"), "{}", used.text());
    assert!(may_sign_in(&app, SITI, FRESH).await);
    let page = dewi.get(&address).await;
    assert!(page.text().contains("Sessions"), "{}", page.text());
    assert!(page.text().contains("127.0.0.1"), "{}", page.text());
}

#[tokio::test]
async fn a_newer_link_time_and_withdrawal_make_a_link_void() {
    let app = TestApp::new().await;
    let mut dewi = signed_in(&app).await;
    let page = invited(&mut dewi, "user").await;
    let (address, first) = (page.path.clone(), link(&page).unwrap());
    let page = press(&mut dewi, &address, "link").await;
    let second = link(&page).unwrap();
    assert_ne!(first, second);
    let mut guest = Browser::new(&app);
    assert_eq!(guest.get(&first).await.status, 409, "replaced");
    assert_eq!(guest.get(&second).await.status, 200);
    press(&mut dewi, &address, "withdraw").await;
    assert_eq!(guest.get(&second).await.status, 409, "withdrawn");
    let page = press(&mut dewi, &address, "link").await;
    let third = link(&page).unwrap();
    let open = guest.get(&third).await.form("/join").set("password", FRESH);
    app.advance(TimeDelta::hours(73)).await;
    assert_eq!(guest.get(&third).await.status, 409, "too old");
    assert_ne!(guest.submit(open).await.status, 200);
    assert!(!may_sign_in(&app, SITI, FRESH).await);
    let mut dewi = signed_in(&app).await;
    let list = dewi.get("/users").await.text();
    assert!(list.contains("Link is over"), "{list}");
    let page = press(&mut dewi, &address, "link").await;
    let (_, page) = joined(&app, &link(&page).unwrap(), FRESH).await;
    assert_eq!(page.path, "/mailings");
}

#[tokio::test]
async fn a_reset_password_and_a_deactivation_end_every_session() {
    let app = TestApp::new().await;
    let id = app.person(SITI, "user").await;
    let address = format!("/users/{id}");
    let mut dewi = signed_in(&app).await;
    let mut siti = signed_in_as(&app, SITI).await;
    let asked = dewi.get(&format!("{address}/reset")).await;
    assert_eq!(siti.get("/mailings").await.path, "/mailings", "only asked");
    let page = dewi.submit(asked.form(&format!("{address}/reset"))).await;
    let way = link(&page).unwrap();
    assert_eq!(siti.get("/mailings").await.path, "/login");
    assert!(
        !may_sign_in(&app, SITI, PASSWORD).await,
        "the old one is over"
    );
    let (mut siti, _) = joined(&app, &way, FRESH).await;
    assert_eq!(siti.get("/mailings").await.path, "/mailings");
    press(&mut dewi, &address, "sign-out").await;
    assert_eq!(siti.get("/mailings").await.path, "/login");
    let mut siti = Browser::new(&app);
    let login = siti.get("/login").await.form("/login");
    siti.submit(login.set("email", SITI).set("password", FRESH))
        .await;
    assert_eq!(siti.get("/mailings").await.path, "/mailings");
    press(&mut dewi, &address, "deactivate").await;
    assert_eq!(siti.get("/mailings").await.path, "/login");
    assert!(!may_sign_in(&app, SITI, FRESH).await);
    press(&mut dewi, &address, "activate").await;
    assert_eq!(
        siti.get("/mailings").await.path,
        "/login",
        "signed out stays"
    );
    assert!(may_sign_in(&app, SITI, FRESH).await);
}

#[tokio::test]
async fn a_company_keeps_an_administrator_and_nobody_is_without_a_company() {
    let app = TestApp::new().await;
    let mut dewi = signed_in(&app).await;
    let page = dewi.get("/users/1").await;
    for (role, words) in [
        ("manager", "left without an administrator"),
        ("", "at least one company"),
    ] {
        let page = dewi.submit(page.form("/users/1").set("roles", role)).await;
        assert_eq!(page.status, 422);
        assert!(page.text().contains(words), "{}", page.text());
    }
    let form = page.form("/logout");
    let out = dewi.submit(form.clone().to("/users/1/deactivate")).await;
    assert!(out.text().contains("left without an administrator"));
    let own = dewi.submit(form.to("/users/1/reset")).await;
    assert_eq!(own.status, 409, "one's own password is under Preferences");
    assert_eq!(app.value("SELECT active FROM users").await, "t");
    // Somebody invited cannot sign in yet, and does not count.
    let invited = invited(&mut dewi, "administrator").await;
    let page = dewi.get("/users/1").await;
    let refused = dewi
        .submit(page.form("/users/1").set("roles", "user"))
        .await;
    assert_eq!(refused.status, 422);
    joined(&app, &link(&invited).unwrap(), FRESH).await;
    dewi.submit(page.form("/users/1").set("roles", "user"))
        .await;
    assert_eq!(
        app.value("SELECT role FROM user_companies WHERE user_id = 1")
            .await,
        "user"
    );
    assert_eq!(dewi.get("/users").await.status, 403, "at once");
}

#[tokio::test]
async fn an_administrator_touches_nobody_who_works_elsewhere_too() {
    let app = TestApp::new().await;
    let other = app.company("Toko Melati").await;
    let siti = app.person(SITI, "user").await;
    app.execute(&format!(
        "INSERT INTO user_companies VALUES ({siti}, {other}, 'administrator')"
    ))
    .await;
    let foreign = app
        .person_of(&other, "budi@example.com", "administrator")
        .await;
    let mut dewi = signed_in(&app).await;
    assert_eq!(dewi.get(&format!("/users/{foreign}")).await.status, 404);
    let address = format!("/users/{siti}");
    let page = dewi.get(&address).await;
    assert!(page.text().contains("Also works in Toko Melati"));
    let token = page.form("/logout");
    let before = app.mark().await;
    for verb in [
        "reset",
        "link",
        "withdraw",
        "deactivate",
        "activate",
        "sign-out",
    ] {
        let form = token.clone().to(&format!("{address}/{verb}"));
        let page = dewi.submit(form).await;
        assert_eq!(page.status, 403, "{verb}");
        assert!(page.text().contains("only the roles"), "{verb}");
        let form = token.clone().to(&format!("/users/{foreign}/{verb}"));
        assert_eq!(dewi.submit_once(form).await.0, 404, "{verb}");
    }
    let escalation = page
        .form(&address)
        .add("company_ids", &other)
        .add("roles", "user");
    assert_eq!(dewi.submit(escalation).await.status, 422);
    assert_eq!(app.mark().await, before, "something changed");
    let form = page
        .form(&address)
        .set("roles", "manager")
        .set("name", "Taken over")
        .set("email", "mine@example.com");
    assert_eq!(dewi.submit(form).await.status, 200);
    let roles = format!(
        "SELECT concat_ws(' ', email, (SELECT string_agg(role, ',' ORDER BY company_id) FROM user_companies WHERE user_id = u.id))
         FROM users u WHERE id = {siti}"
    );
    assert_eq!(
        app.value(&roles).await,
        "siti@example.com manager,administrator"
    );
    // Somebody who signs in already is given the role, without a link.
    let page = dewi.get("/users/new").await;
    let form = page
        .form("/users")
        .set("name", "Whoever")
        .set("email", "budi@example.com")
        .set("roles", "user");
    let page = dewi.submit(form).await;
    assert_eq!(page.path, "/users");
    assert_eq!(link(&page), None);
    assert_eq!(dewi.get(&format!("/users/{foreign}")).await.status, 200);
}

#[tokio::test]
async fn secrets_are_shown_once_and_a_reload_makes_no_other() {
    let app = TestApp::new().await;
    let mut dewi = signed_in(&app).await;
    let page = dewi.get("/tokens").await;
    let form = page.form("/tokens").set("name", "n8n");
    let (status, next) = dewi.submit_once(form).await;
    assert_eq!((status, next.as_str()), (303, "/tokens"));
    let token = Regex::new(r"wab_[0-9a-f]{72}").unwrap();
    let page = dewi.get("/tokens").await;
    let shown = token.find(&page.html).unwrap().as_str().to_owned();
    let caller = app.as_token(&shown);
    assert_eq!(caller.call("GET", "/lists", None).await.0, 200);
    assert!(!token.is_match(&dewi.get("/tokens").await.html));
    let waha = crate::support::simulator(wablast::simulator::Options::default()).await;
    let page = dewi.get("/accounts/new").await;
    let form = page
        .form("/accounts")
        .set("name", "Toko")
        .set("api_url", &waha.url());
    let (status, address) = dewi.submit_once(form).await;
    assert_eq!(status, 303);
    let notice = "It is not shown again";
    let page = dewi.get(&address).await;
    assert!(page.text().contains(notice), "{}", page.text());
    let again = dewi.get(&address).await;
    assert!(!again.text().contains(notice));
    let form = again.form(&format!("{address}/webhook-key"));
    let (status, next) = dewi.submit_once(form).await;
    assert_eq!((status, &next), (303, &address));
    assert!(dewi.get(&address).await.text().contains(notice));
    assert!(!dewi.get(&address).await.text().contains(notice));
    assert_eq!(
        app.value("SELECT count(*) || ' ' || (SELECT count(*) FROM api_tokens) FROM accounts")
            .await,
        "1 2"
    );
    let kept = app
        .value("SELECT string_agg(state::text, '') FROM sessions")
        .await;
    assert!(!kept.contains("once"), "nothing is left in the session");
}

#[tokio::test]
async fn a_company_is_made_changed_and_deactivated() {
    let app = TestApp::new().await;
    let mut dewi = signed_in(&app).await;
    let page = dewi.get("/companies/new").await;
    let faulty = page
        .form("/companies")
        .set("name", "")
        .set("opt_out_words", " ");
    let page = dewi.submit(faulty).await;
    assert_eq!(page.status, 422);
    let form = page
        .form("/companies")
        .set("name", "Toko Melati")
        .set("late_tolerance", "2")
        .set("opt_out_words", "stop, cukup");
    let page = dewi.submit(form).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let (address, id) = (page.path.clone(), page.path.rsplit('/').next().unwrap());
    let stored = app
        .value(&format!(
            "SELECT concat_ws(' ', late_tolerance_minutes, opt_out_words, (SELECT role FROM user_companies WHERE company_id = c.id))
             FROM companies c WHERE id = {id}"
        ))
        .await;
    assert_eq!(stored, "120 {STOP,CUKUP} administrator");
    assert!(dewi.get("/companies").await.text().contains("Toko Melati"));
    let mut rudi = {
        app.person("rudi@example.com", "administrator").await;
        signed_in_as(&app, "rudi@example.com").await
    };
    assert_eq!(rudi.get(&address).await.status, 404, "not Rudi's");
    assert!(!rudi.get("/companies").await.text().contains("Toko Melati"));
    let form = rudi.get("/companies/1").await.form("/logout");
    for target in [address.clone(), format!("{address}/deactivate")] {
        let form = page
            .form(&address)
            .to(&target)
            .set("csrf", &form.get("csrf"));
        assert_eq!(rudi.submit_once(form).await.0, 404, "{target}");
    }
    let alone = press(&mut dewi, "/companies/1", "deactivate").await;
    assert_eq!(alone.status, 409);
    assert!(
        alone.text().contains("administrator Rudi"),
        "{}",
        alone.text()
    );
    app.execute(&format!(
        "INSERT INTO accounts (company_id, name, provider, send_through, delivery, webhook_verify_token, account_key, per_second, burst)
           VALUES ({id}, 'A', 'waha', 'api', 'direct', 'v', 'k', 1, 1);
         INSERT INTO account_companies SELECT {id}, id FROM accounts;
         INSERT INTO mailings (company_id, subject, account_id, responsible_id, recipients, time_zone, state, schedule_date, created_by)
           SELECT {id}, 'Promo Melati', id, 1, 'lists', 'UTC', 'submitted', now(), 1 FROM accounts"
    ))
    .await;
    let busy = press(&mut dewi, &address, "deactivate").await;
    assert_eq!(busy.status, 409);
    assert!(busy.text().contains("Promo Melati"), "{}", busy.text());
    app.execute("UPDATE mailings SET state = 'canceled'; UPDATE users SET active_company_id = 1")
        .await;
    app.execute(&format!(
        "UPDATE users SET active_company_id = {id} WHERE id = 1"
    ))
    .await;
    let page = press(&mut dewi, &address, "deactivate").await;
    assert_eq!(page.path, "/mailings", "goes on in another company");
    assert!(page.text().contains("Batik Sekar Arum"));
    let switch = page.form("/logout").to("/company").set("company", id);
    assert_eq!(dewi.submit_once(switch).await.0, 404, "nobody works there");
    let page = press(&mut dewi, &address, "activate").await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn a_form_from_before_the_switch_writes_nothing_and_loses_nothing() {
    let app = TestApp::new().await;
    let other = app.company("Toko Melati").await;
    app.execute(&format!(
        "INSERT INTO user_companies VALUES (1, {other}, 'administrator')"
    ))
    .await;
    let mut dewi = signed_in(&app).await;
    let page = dewi.get("/lists/new").await;
    let form = page
        .form("/lists")
        .set("name", "Pelanggan \"setia\"")
        .set("description", "Dua\nbaris");
    let switched = dewi
        .submit(page.form("/logout").to("/company").set("company", &other))
        .await;
    assert!(switched.text().contains("Toko Melati"));
    let refused = dewi.submit(form.clone()).await;
    assert_eq!(refused.status, 409);
    let said = refused.text();
    assert!(said.contains("belongs to another company"), "{said}");
    assert_eq!(app.value("SELECT count(*) FROM lists").await, "0");
    let again = dewi.submit(refused.form("/company/back")).await;
    assert_eq!(again.status, 200, "{}", again.text());
    assert!(again.text().contains("work in Batik Sekar Arum again"));
    assert_eq!(app.value("SELECT count(*) FROM lists").await, "0");
    let page = dewi.submit(again.form("/lists")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(
        app.value("SELECT company_id || name || replace(description, chr(10), '/') FROM lists")
            .await,
        "1Pelanggan \"setia\"Dua/baris"
    );
    // The record's page is the other company's no more.
    let list = page.path.clone();
    dewi.submit(page.form("/logout").to("/company").set("company", &other))
        .await;
    assert_eq!(dewi.get(&list).await.status, 404);
    // What belongs to the person works from any page.
    let theme = page.form("/preferences/theme").set("theme", "dark");
    assert_eq!(dewi.submit_once(theme).await.0, 303);
    assert_eq!(dewi.submit_once(page.form("/logout")).await.0, 303);
}

/// Runs the program on the test's database; whether it succeeded, and what it said.
fn command(app: &TestApp, folder: &std::path::Path, arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_wablast"))
        .arg("user")
        .args(arguments)
        .env("DATABASE_URL", app.url())
        .env("WABLAST_DATA_DIR", folder)
        .env("WABLAST_PUBLIC_URL", &app.address)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    (output.status.success(), said.concat())
}

#[tokio::test]
async fn the_command_line_has_the_same_verbs_while_the_server_runs() {
    let app = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| command(&app, folder.path(), arguments);
    let mut dewi = signed_in(&app).await;
    let way = Regex::new(r"/join\?token=\w+").unwrap();
    let link_of = |said: &str| way.find(said).unwrap().as_str().to_owned();
    let invitation = [
        "invite", "--email", SITI, "--name", "Siti", "--role", "manager",
    ];
    let (done, said) = run(&invitation);
    assert!(done, "{said}");
    let (mut siti, page) = joined(&app, &link_of(&said), FRESH).await;
    assert_eq!(page.path, "/mailings");
    let (_, said) = run(&["list"]);
    let line = format!("{SITI}\tSiti\tactive\tmanager in Batik Sekar Arum");
    assert!(said.contains(&line), "{said}");
    let dewis = ["--email", crate::support::EMAIL];
    let (done, said) = run(&[&["role", "--role", "user"][..], &dewis].concat());
    assert!(
        !done && said.contains("left without an administrator"),
        "{said}"
    );
    let (done, said) = run(&["role", "--email", SITI, "--role", "administrator"]);
    assert!(done, "{said}");
    assert_eq!(siti.get("/users").await.status, 200, "at once");
    let (done, said) = run(&[&["deactivate"][..], &dewis].concat());
    assert!(done, "{said}");
    assert_eq!(dewi.get("/mailings").await.path, "/login");
    assert!(run(&[&["activate"][..], &dewis].concat()).0);
    assert!(may_sign_in(&app, crate::support::EMAIL, PASSWORD).await);
    let (done, said) = run(&[&["reset-password"][..], &dewis].concat());
    assert!(done, "{said}");
    assert!(!may_sign_in(&app, crate::support::EMAIL, PASSWORD).await);
    let (_, page) = joined(&app, &link_of(&said), FRESH).await;
    assert_eq!(page.path, "/mailings");
    let (done, said) = run(&["deactivate", "--email", "nobody@example.com"]);
    assert!(!done && said.contains("there is no user"), "{said}");
    let history = "SELECT string_agg(action, ',' ORDER BY id) FROM audit WHERE noun = 'users'";
    assert_eq!(
        app.value(history).await,
        "invited,changed,deactivate,activate,reset"
    );
}
