//! Walls: another company's records do not exist, and nobody sees anything before signing in. Both
//! walk the site map of the sources, so that a new page is behind the wall or fails here.

use crate::support::browser::Browser;
use crate::support::site::{World, routes};

/// Pages for people who are not signed in, and addresses that are no pages.
const OPEN: [&str; 7] = [
    "/healthz", "/readyz", "/static/", "/setup", "/login", "/logout", "/join",
];

/// Nouns of the installation, not of a company; companies are seen by who administers them
/// (`people.rs`).
const SHARED: [&str; 2] = ["/jobs/", "/companies/"];

#[tokio::test]
async fn another_company_s_records_do_not_exist_on_any_page() {
    let world = World::new("Toko").await;
    world
        .app
        .execute(
            "INSERT INTO companies (name, country, time_zone) VALUES ('Other', 'ID', 'Asia/Jakarta');
             INSERT INTO user_companies SELECT 1, id, 'administrator' FROM companies WHERE name = 'Other';
             UPDATE users SET active_company_id = (SELECT id FROM companies WHERE name = 'Other') WHERE id = 1",
        )
        .await;
    let mut browser = Browser::new(&world.app);
    browser.sign_in().await;
    let page = browser.get("/preferences").await;
    assert!(page.text().contains("Other"), "works in the other company");
    let mut walked = 0;
    for route in routes() {
        if SHARED.iter().any(|noun| route.path.starts_with(noun)) {
            continue;
        }
        let Some(address) = world.address(&route) else {
            continue;
        };
        let status = if route.posts {
            let form = page.form("/preferences").to(&address);
            browser.submit_once(form).await.0
        } else {
            browser.get(&address).await.status
        };
        // A form that does not fit its fields may be refused before anything is looked up.
        let refused = status == 404 || (route.posts && status == 422);
        assert!(refused, "{route:?}: {status}");
        walked += 1;
    }
    assert!(walked > 30, "{walked} addresses with records");
    let untouched = world
        .app
        .value(
            "SELECT (SELECT count(*) FROM contacts WHERE active AND NOT opt_out) || ' ' ||
               (SELECT count(*) FROM mailings WHERE active) || ' ' || (SELECT count(*) FROM accounts WHERE active)",
        )
        .await;
    assert_eq!(untouched, "3 2 1");
}

#[tokio::test]
async fn nobody_sees_anything_before_signing_in() {
    let world = World::new("Toko").await;
    let mut browser = Browser::new(&world.app);
    for route in routes() {
        if OPEN.iter().any(|open| route.path.starts_with(open)) || route.path == "/" {
            continue;
        }
        let address = world.address(&route).unwrap_or_else(|| route.path.clone());
        if route.posts {
            let login = browser.get("/login").await;
            let (status, next) = browser.submit_once(login.form("/login").to(&address)).await;
            assert!(
                status == 303 && next.starts_with("/login"),
                "{address}: {status} {next}"
            );
        } else {
            let page = browser.get(&address).await;
            assert!(page.path.starts_with("/login"), "{address}: {}", page.path);
        }
    }
}
