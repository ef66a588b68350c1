//! Who may do what: forms only from our own pages, pages and verbs only for the role that has them.
//! All walk the site map of the sources, so that a new page is judged or fails here.

use serde_json::json;
use wablast::i18n::{Lang, t};
use wablast::simulator::Options;

use crate::support::browser::{Browser, Form, Page};
use crate::support::site::{Route, World, routes};
use crate::support::{TestApp, simulator, tell};

const USER: &str = "user@example.com";
const MANAGER: &str = "manager@example.com";

/// Nouns of administrators.
const CLOSED: [&str; 11] = [
    "/accounts",
    "/rates",
    "/jobs",
    "/webhook-log",
    "/gateway-log",
    "/gateway-log/settings",
    "/tokens",
    "/instances",
    "/users",
    "/companies",
    "/templates/new",
];

/// Managers look after the session of an account.
fn is_session(path: &str) -> bool {
    path.starts_with("/accounts/") && path.contains("/session")
}

fn is_closed(path: &str) -> bool {
    !is_session(path)
        && CLOSED
            .iter()
            .any(|noun| path == *noun || path.starts_with(&format!("{noun}/")))
}

/// The address with its record, or as it stands where it has none; `None` for files.
fn address(world: &World, route: &Route) -> Option<String> {
    let plain = !route.path.contains('{');
    world
        .address(route)
        .or_else(|| plain.then(|| route.path.clone()))
}

/// Sends a form as its page would: the one with a file as an upload.
async fn send(browser: &mut Browser, form: &Form, address: &str, origin: Option<&str>) -> u16 {
    let form = form.clone().to(address);
    if address == "/imports" {
        let file = "Name,Phone\nAyu,081234567890\n";
        let page = browser
            .upload_from(form, "file", "people.csv", file, origin)
            .await;
        page.status
    } else {
        browser.submit_from(form, origin).await.status
    }
}

#[tokio::test]
async fn no_form_is_taken_without_the_token_of_its_session() {
    let world = World::new("Toko").await;
    let (mut browser, mut other) = (Browser::new(&world.app), Browser::new(&world.app));
    browser.sign_in().await;
    other.sign_in().await;
    let good = browser.get("/preferences").await.form("/logout");
    let foreign = other.get("/preferences").await.form("/logout").get("csrf");
    assert_ne!(good.get("csrf"), foreign);
    let attacks = [
        ("no token", good.clone().without("csrf"), None),
        ("an empty token", good.clone().set("csrf", ""), None),
        (
            "another session's token",
            good.clone().set("csrf", &foreign),
            None,
        ),
        ("another site", good.clone(), Some("http://evil.example")),
    ];
    let before = world.app.mark().await;
    let posts: Vec<Route> = routes().into_iter().filter(|route| route.posts).collect();
    let mut walked = Vec::new();
    for route in &posts {
        let address = address(&world, route).unwrap();
        for (what, form, origin) in &attacks {
            let status = send(&mut browser, form, &address, *origin).await;
            assert_eq!(status, 403, "{address} with {what}");
        }
        assert_eq!(
            world.app.mark().await,
            before,
            "{address} changed something"
        );
        walked.push(address);
    }
    assert!(walked.len() > 40, "{} forms", walked.len());
    assert!(walked.contains(&"/imports".to_owned()));
    assert_eq!(browser.get("/preferences").await.path, "/preferences");
    // The same forms with the right token are heard.
    for address in walked.iter().filter(|address| *address != "/logout") {
        let status = send(&mut browser, &good, address, None).await;
        assert_ne!(status, 403, "{address}");
    }
}

/// Nothing on the page leads to what is not for this person.
fn assert_nothing_closed(page: &Page, who: &str) {
    let mut leads = page.attributes("a", "href");
    leads.extend(page.attributes("form", "action"));
    leads.extend(page.attributes("button", "formaction"));
    let closed: Vec<_> = leads.iter().filter(|lead| is_closed(lead)).collect();
    assert!(closed.is_empty(), "{} for {who}: {closed:?}", page.path);
    for menu in ["menu.configuration", "menu.technical"] {
        let shown = page.texts("nav summary, .menu-head");
        let word = t(Lang::En, menu);
        assert!(!shown.iter().any(|one| one == word), "{word} for {who}");
    }
}

async fn walk_as(world: &World, browser: &mut Browser, who: &str) {
    for route in routes().iter().filter(|route| !route.posts) {
        let Some(address) = address(world, route) else {
            continue;
        };
        let page = browser.get(&address).await;
        let managers = [
            "/opt-in",
            "/resend",
            "/mark_sent",
            "/imports/1/undo",
            "/export.csv",
            // A colleague's.
            "/rejected.csv",
        ];
        let managers_only = who == "user"
            && (is_session(&address) || managers.iter().any(|end| address.ends_with(end)));
        // What the administrator keeps or began: a Manager may see some of it.
        let personal = ["/favourites/", "/bulk/", "/kept/"];
        if address.ends_with(".png") && who == "manager" {
            // The phone is linked: there is no code.
            assert_eq!(page.status, 404, "{address}");
        } else if personal.iter().any(|path| address.starts_with(path)) {
            let fine = page.status == 404 || who == "manager" && page.status == 200;
            assert!(fine, "{address} for {who}: {}", page.status);
        } else if is_closed(&address) || managers_only {
            assert_eq!(page.status, 403, "{address} for {who}");
        } else {
            // 409: a question about what cannot be done now.
            let fine = matches!(page.status, 200 | 409);
            assert!(fine, "{address} for {who}: {}", page.status);
        }
        assert_nothing_closed(&page, who);
    }
    let token = browser.get("/preferences").await.form("/logout");
    for route in routes().iter().filter(|route| route.posts) {
        let address = address(world, route).unwrap();
        if is_closed(&address) {
            let form = token.clone().to(&address);
            let status = browser.submit_once(form).await.0;
            assert_eq!(status, 403, "posting {address} for {who}");
        }
    }
}

#[tokio::test]
async fn what_each_role_may_open() {
    let world = World::new("Toko").await;
    for (email, role) in [(USER, "user"), (MANAGER, "manager")] {
        let id = world.app.person(email, role).await;
        if role == "user" {
            world
                .app
                .execute(&format!("UPDATE mailings SET responsible_id = {id}"))
                .await;
        }
        let mut browser = Browser::new(&world.app);
        browser.sign_in_as(email).await;
        let before = world.app.mark().await;
        walk_as(&world, &mut browser, role).await;
        assert_eq!(world.app.mark().await, before, "{role} changed something");
    }
    let mut browser = Browser::new(&world.app);
    browser.sign_in().await;
    let menus = browser.get("/mailings").await.texts("nav summary");
    assert!(menus.contains(&t(Lang::En, "menu.technical").to_owned()));
}

/// Everything on the page that would do something with the mailing.
fn verbs_on(page: &Page, mailing: &str) -> Vec<String> {
    let own = format!("/mailings/{mailing}");
    let mut verbs = page.attributes("form:not([method=get])", "action");
    verbs.extend(page.attributes("button", "formaction"));
    verbs.extend(page.attributes("button[form=mailing]", "value"));
    let below = format!("{own}/");
    let links = page.attributes("a", "href");
    verbs.extend(links.into_iter().filter(|href| href.starts_with(&below)));
    verbs.retain(|verb| !verb.starts_with('/') || *verb == own || verb.starts_with(&below));
    verbs
}

#[tokio::test]
async fn a_user_changes_only_own_mailings() {
    let world = World::new("Toko").await;
    let app = &world.app;
    app.person(USER, "user").await;
    app.person(MANAGER, "manager").await;
    let draft = world.ids["mailings"].clone();
    let sent = app.value("SELECT min(id) FROM mailings").await;
    let mut browser = Browser::new(app);
    browser.sign_in_as(USER).await;
    let before = app.mark().await;
    for mailing in [&draft, &sent] {
        let page = browser.get(&format!("/mailings/{mailing}")).await;
        assert_eq!(page.status, 200);
        assert_eq!(verbs_on(&page, mailing), Vec::<String>::new());
        let token = page.form("/logout");
        for route in routes() {
            if !route.path.starts_with("/mailings/{id}") {
                continue;
            }
            let address = route.path.replace("{id}", mailing);
            let reads = !route.posts && matches!(address.matches('/').count(), 2);
            if reads || address.ends_with("/progress") {
                continue;
            }
            let status = if route.posts {
                browser.submit_once(token.clone().to(&address)).await.0
            } else {
                browser.get(&address).await.status
            };
            assert_eq!(status, 403, "{route:?}");
        }
        let check = token.clone().to("/mailings/check").set("id", mailing);
        assert_eq!(browser.submit_once(check).await.0, 403);
        let several = token.to("/mailings/archive").set("ids", mailing);
        browser.submit_once(several).await;
    }
    assert_eq!(app.mark().await, before, "a user changed something");
    let mut manager = Browser::new(app);
    manager.sign_in_as(MANAGER).await;
    let page = manager.get(&format!("/mailings/{draft}")).await;
    assert!(verbs_on(&page, &draft).contains(&"submit".to_owned()));
    let form = page
        .form(&format!("/mailings/{draft}"))
        .set("subject", "By the manager");
    manager.submit(form).await;
    let archive = page.form(&format!("/mailings/{draft}/archive"));
    manager.submit(archive).await;
    let stored =
        format!("SELECT subject || active || responsible_id FROM mailings WHERE id = {draft}");
    assert_eq!(app.value(&stored).await, "By the managerfalse1");
}

/// Two people who opted out: one by hand, one by a message; the message's id.
async fn two_opted_out(app: &TestApp) -> String {
    let waha = simulator(Options::default()).await;
    app.account(&waha).await;
    app.list_of(2).await;
    let stop = json!({ "from": "6281200000001", "text": "STOP" });
    tell(&waha, "/simulator/incoming", &stop).await;
    app.until("the stop is applied", || async {
        app.apply_webhooks().await;
        app.value("SELECT count(*) FROM contacts WHERE opt_out")
            .await
            == "1"
    })
    .await;
    app.execute("UPDATE contacts SET opt_out = true, opt_out_at = wablast_now(), opt_out_reason = 'Call' WHERE NOT opt_out")
        .await;
    app.value("SELECT id FROM incoming WHERE opted_out").await
}

#[tokio::test]
async fn only_a_manager_lifts_an_opt_out() {
    let app = TestApp::new().await;
    let message = two_opted_out(&app).await;
    let contact = app
        .value("SELECT id FROM contacts WHERE opt_out_reason = 'Call'")
        .await;
    let opt_in = format!("/contacts/{contact}/opt-in");
    let undo = format!("/incoming/{message}/undo");
    for (email, role, left) in [(USER, "user", "2"), (MANAGER, "manager", "0")] {
        app.person(email, role).await;
        let mut browser = Browser::new(&app);
        browser.sign_in_as(email).await;
        let may = role == "manager";
        let page = browser.get(&format!("/contacts/{contact}")).await;
        let offered = page.attributes("a", "href").contains(&opt_in);
        assert_eq!(offered, may, "the button for a {role}");
        let page = browser.get(&format!("/incoming/{message}")).await;
        let offered = page.attributes("form", "action").contains(&undo);
        assert_eq!(offered, may, "the form for a {role}");
        let asked = browser.get(&opt_in).await.status;
        assert_eq!(asked, if may { 200 } else { 403 });
        let form = page.form("/logout").set("reason", "Asked by phone");
        for address in [&opt_in, &undo] {
            let status = browser.submit_once(form.clone().to(address)).await.0;
            assert_eq!(
                status,
                if may { 303 } else { 403 },
                "{address} for a {role}"
            );
        }
        assert_eq!(
            app.value("SELECT count(*) FROM contacts WHERE opt_out")
                .await,
            left
        );
    }
}

#[tokio::test]
async fn a_signed_out_browser_and_an_ended_session_lose_nothing_silently() {
    let app = TestApp::new().await;
    let list = app.list_of(1).await;
    let mut browser = Browser::new(&app);
    let page = browser.get("/contacts?q=P0&g=country").await;
    assert_eq!(page.path, "/login");
    assert_eq!(page.value("next"), "/contacts?q=P0&g=country");
    browser.sign_in().await;
    let home = format!("/lists/{list}");
    let page = browser.get(&format!("{home}?tab=members")).await;
    let typed = page.form(&home).set("name", "Renamed");
    app.advance(chrono::TimeDelta::hours(9)).await;
    let (status, next) = browser.submit_once(typed.clone()).await;
    assert_eq!(status, 303);
    assert!(next.starts_with("/login?"), "{next}");
    assert_eq!(app.value("SELECT name FROM lists").await, "List of 1");
    let login = browser.get(&next).await;
    let said = login.text();
    assert!(said.contains("is kept"), "it says so: {said}");
    assert!(login.value("next").starts_with(&format!("{home}?kept=")));
    let form = login
        .form("/login")
        .set("email", crate::support::EMAIL)
        .set("password", crate::support::PASSWORD);
    let page = browser.submit(form).await;
    assert_eq!((page.status, page.path.as_str()), (200, home.as_str()));
    assert_eq!(app.value("SELECT name FROM lists").await, "List of 1");
    browser.submit(page.form(&home)).await;
    assert_eq!(app.value("SELECT name FROM lists").await, "Renamed");
    let page = browser.get("/preferences").await;
    app.advance(chrono::TimeDelta::hours(9)).await;
    let (status, next) = browser.submit_once(page.form("/logout")).await;
    assert_eq!(
        (status, next.as_str()),
        (303, "/login"),
        "signed out already"
    );
}
