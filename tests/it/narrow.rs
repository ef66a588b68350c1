//! A phone of 390 pixels and names without a space: no page scrolls sideways.

use serde_json::Value;

use crate::support::PASSWORD;
use crate::support::chromium::Chromium;
use crate::support::site::{World, routes};

/// Answers that are no pages.
const NO_PAGES: [&str; 9] = [
    "/healthz",
    "/readyz",
    "/static/",
    "/setup",
    "/login",
    ".csv",
    ".png",
    "/media/",
    "/progress",
];

/// What reaches over the right edge and is not inside something that scrolls by itself.
const WIDE: &str = "
    const seen = [];
    if (!document.querySelector('link[rel=stylesheet]')) return seen;
    if (document.documentElement.scrollWidth <= 390) return seen;
    for (const one of document.body.querySelectorAll('*')) {
        const box = one.getBoundingClientRect();
        if (box.right <= 391 || box.width === 0) continue;
        let up = one.parentElement, inside = false;
        while (up && up !== document.body) {
            if (getComputedStyle(up).overflowX !== 'visible') { inside = true; break; }
            up = up.parentElement;
        }
        if (!inside && one.className !== 'toast-stack') seen.push(one.tagName.toLowerCase() + '.' + one.className + ' ' + Math.round(box.right));
    }
    if (seen.length) return seen.slice(0, 8);
    const all = [...document.body.querySelectorAll('*')].filter(one => one.getBoundingClientRect().right > 391);
    return ['inside: ', ...all.slice(-8).map(one => one.tagName + '.' + one.className)];";

#[tokio::test(flavor = "multi_thread")]
async fn no_page_scrolls_sideways_on_a_phone_with_long_names() {
    let world = World::new(&"W".repeat(55)).await;
    let app = &world.app;
    let long = "Wm".repeat(100);
    app.execute(&format!(
        "UPDATE accounts SET name = '{long}', health_reason = '{long}';
         UPDATE mailings SET subject = '{long}';
         UPDATE contacts SET name = '{long}', company_name = '{long}', description = '{long}';
         UPDATE lists SET name = '{long}' || id, description = '{long}';
         UPDATE users SET name = '{long}';
         UPDATE companies SET name = '{long}';
         UPDATE imports SET file_name = '{long}.csv';
         UPDATE logs SET error_message = '{long}';
         UPDATE incoming SET message = '{long}', sender_name = '{long}';
         UPDATE favourites SET name = '{long}';
         UPDATE api_tokens SET name = '{long}'"
    ))
    .await;
    let mut addresses: Vec<String> = routes()
        .iter()
        .filter(|route| !route.posts)
        .filter_map(|route| {
            let plain = !route.path.contains('{');
            world
                .address(route)
                .or_else(|| plain.then(|| route.path.clone()))
        })
        .filter(|path| !NO_PAGES.iter().any(|no| path.contains(no)))
        .collect();
    let sent = app.value("SELECT min(id) FROM mailings").await;
    addresses.push(format!("/mailings/{sent}"));
    let browser = Chromium::start_narrow(&app.address).await;
    browser.goto("/login").await;
    browser.fill("email", crate::support::EMAIL).await;
    browser.fill("password", PASSWORD).await;
    browser.press("main button[type=submit]").await;
    browser.reads("Wm").await;
    let mut wide = Vec::new();
    for address in &addresses {
        browser.goto(address).await;
        match browser.script(WIDE).await {
            Value::Array(found) if found.is_empty() => {}
            found => wide.push(format!("{address}: {found}")),
        }
    }
    browser.close().await;
    assert!(addresses.len() > 40, "{}", addresses.len());
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}
