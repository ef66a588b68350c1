//! Every page with nothing, with a typical record and with hostile words, in both languages.

use regex::Regex;

use crate::kit::assert_harmless;
use crate::support::TestApp;
use crate::support::browser::Browser;
use crate::support::site::{World, routes};

const HOSTILE: &str = r#"<script>x()</script>"'><b onmouseover='x'>%s&amp;"#;

/// Answers that are no pages: files, fragments, what needs a token.
const NO_PAGES: [&str; 9] = [
    "/healthz", "/readyz", "/static/", "/setup", "/login", ".csv", ".png", "/media/", "/file",
];

/// A key of the catalogue that stands on the page instead of its text.
fn bare_key(text: &str) -> Option<String> {
    let nouns = "mailings|media|logs|outgoing|contacts|lists|imports|incoming|jobs|webhook_log|gateway_log|banners|accounts|shell|form|list|state|skip|code|code_hint|verb|kind|trigger|menu|preview|tokens|preferences|users|companies|join";
    let key = Regex::new(&format!(r"(?:^|[\s>(])((?:{nouns})\.[a-z][a-z0-9_.]*)")).unwrap();
    key.captures(text).map(|found| found[1].to_owned())
}

async fn visit(browser: &mut Browser, address: &str, what: &str) {
    let page = browser.get(address).await;
    // A question about what cannot be done now is answered with what can.
    let asks = page.status == 409 && page.html.contains("<html");
    assert!(
        page.status == 200 || asks,
        "{address} {what}: {} {}",
        page.status,
        page.text()
    );
    assert_harmless(&page.html);
    if page.html.contains("<html") {
        let heads = page.html.matches("<h1").count();
        assert_eq!(heads, 1, "{address} {what} has one h1");
    }
    let text = page.text();
    assert_eq!(bare_key(&text), None, "{address} {what}: {text}");
    for attribute in ["aria-label=\"", "title=\"", "placeholder=\""] {
        for part in page.html.split(attribute).skip(1) {
            let value = part.split('"').next().unwrap_or_default();
            assert_eq!(bare_key(value), None, "{address} {what}: {attribute}");
        }
    }
}

async fn in_both_languages(app: &TestApp, addresses: &[String], what: &str) {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    for language in ["en", "id"] {
        app.execute(&format!("UPDATE users SET language = '{language}'"))
            .await;
        for address in addresses {
            visit(&mut browser, address, &format!("{what} in {language}")).await;
        }
    }
}

fn without_records() -> Vec<String> {
    routes()
        .into_iter()
        .filter(|route| !route.posts && !route.path.contains('{'))
        .map(|route| route.path)
        .filter(|path| !NO_PAGES.iter().any(|no| path.contains(no)))
        .collect()
}

async fn everywhere(words: &str, what: &str) {
    let world = World::new(words).await;
    let mut addresses = without_records();
    for route in routes().iter().filter(|route| !route.posts) {
        let address = world.address(route);
        addresses.extend(address.filter(|path| !NO_PAGES.iter().any(|no| path.contains(no))));
    }
    let sent = world.app.value("SELECT min(id) FROM mailings").await;
    let contact = &world.ids["contacts"];
    let waiting = world.app.value("SELECT max(id) FROM imports").await;
    addresses.extend([
        format!("/imports/{waiting}"),
        format!("/mailings/{sent}"),
        format!("/mailings/{sent}/progress"),
        format!("/outgoing?mailing={sent}&f=delivered"),
        format!("/contacts/{contact}?tab=incoming"),
        format!("/contacts/{contact}?tab=outgoing"),
        "/mailings?g=account&g=month&c=created".to_owned(),
        "/contacts?q=08120&g=country&c=email".to_owned(),
        "/incoming?g=&f=unread".to_owned(),
        "/outgoing?g=month&g=day".to_owned(),
    ]);
    in_both_languages(&world.app, &addresses, what).await;
}

#[tokio::test]
async fn every_page_stands_with_nothing_on_it() {
    let app = TestApp::new().await;
    let addresses: Vec<String> = without_records()
        .into_iter()
        .filter(|path| !path.contains("/contacts") || path == "/contacts")
        .collect();
    in_both_languages(&app, &addresses, "empty").await;
}

#[tokio::test]
async fn every_page_shows_a_typical_record() {
    everywhere("Toko Bandung", "typical").await;
}

#[tokio::test]
async fn every_page_shows_hostile_words_and_runs_none_of_them() {
    everywhere(HOSTILE, "hostile").await;
}

#[tokio::test]
async fn an_account_field_never_creates_or_edits_an_account() {
    let world = World::new("Toko").await;
    let mut addresses = without_records();
    for route in routes().iter().filter(|route| !route.posts) {
        addresses.extend(world.address(route));
    }
    let account = world.ids["accounts"].clone();
    let mut browser = Browser::new(&world.app);
    browser.sign_in().await;
    let mut fields = 0;
    for address in addresses
        .iter()
        .filter(|path| !path.starts_with("/accounts"))
    {
        let page = browser.get(address).await;
        let mut posted = page.attributes("form", "action");
        posted.extend(page.attributes("[formaction]", "formaction"));
        let editing: Vec<_> = posted
            .iter()
            .filter(|action| action.starts_with("/accounts"))
            .collect();
        assert!(editing.is_empty(), "{address} posts to {editing:?}");
        let loose = page.attributes("[name=account_id]:not(select)", "name");
        assert!(loose.is_empty(), "{address} has an account to type");
        for option in page.attributes("select[name=account_id] option", "value") {
            assert!(
                option.is_empty() || option == account,
                "{address}: {option}"
            );
            fields += 1;
        }
    }
    assert!(fields > 1, "a form with an account was seen");
    let accounts = "SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM accounts a";
    let before = world.app.value(accounts).await;
    let page = browser.get("/mailings/new").await;
    for chosen in [account.as_str(), "987654", "Toko Baru", ""] {
        let form = page.form("/mailings").set("subject", "Smuggled");
        let form = form.set("account_id", chosen).add("name", "Smuggled");
        let form = form
            .add("api_url", "http://evil.example")
            .add("api_key", "x");
        let (status, _) = browser.submit_once(form).await;
        let expected = if chosen == account { 303 } else { 422 };
        assert_eq!(status, expected, "account {chosen:?}");
    }
    assert_eq!(world.app.value(accounts).await, before);
}

#[tokio::test]
async fn a_new_mailing_is_addressed_to_whom_its_link_names() {
    let app = TestApp::new().await;
    let list = app.list_of(2).await;
    let contact = app.value("SELECT max(id) FROM contacts").await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    let page = browser.get(&format!("/lists/{list}")).await;
    let link = format!("/mailings/new?list={list}");
    assert!(page.attributes("a", "href").contains(&link));
    let form = browser.get(&link).await.form("/mailings");
    assert_eq!(form.get("recipients"), "lists");
    assert_eq!(form.all("list_ids"), [list.to_string()]);
    let bulk = browser.get("/contacts").await.form("/contacts/bulk/add");
    let bulk = bulk.to("/contacts/bulk/mailing").add("ids", &contact);
    let form = browser.submit(bulk).await.form("/mailings");
    assert_eq!(form.get("recipients"), "contacts");
    assert_eq!(form.all("contact_ids"), [contact]);
    let unknown = "/mailings/new?contact=987654&list=987654&contact=x";
    let form = browser.get(unknown).await.form("/mailings");
    assert!(form.all("contact_ids").is_empty() && form.all("list_ids").is_empty());
}
