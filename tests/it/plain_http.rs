//! Opened over plain http, from this machine or from another one: what the page before signing in says, and what
//! becomes of the cookie.

use std::sync::Arc;

use actix_web::http::header::SET_COOKIE;
use actix_web::{App as ActixApp, test, web};
use wablast::app::App;
use wablast::config::Config;

use crate::support::TestApp;

/// What `/login` answers to somebody at `peer`: its text and its cookie.
async fn login_page(app: &App, peer: &str) -> (String, String) {
    let service = ActixApp::new()
        .app_data(web::Data::new(app.clone()))
        .configure(|config| wablast::web::routes(config, app));
    let service = test::init_service(service).await;
    let request = test::TestRequest::get()
        .uri("/login")
        .peer_addr(peer.parse().unwrap())
        .to_request();
    let answer = test::call_service(&service, request).await;
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers().get(SET_COOKIE);
    let cookie = cookie.map(|cookie| cookie.to_str().unwrap().to_owned());
    let page = test::read_body(answer).await;
    (
        String::from_utf8(page.to_vec()).unwrap(),
        cookie.unwrap_or_default(),
    )
}

fn at(app: &TestApp, public_url: &'static str) -> App {
    let config = Config::from(|name| (name == "WABLAST_PUBLIC_URL").then(|| public_url.to_owned()));
    App {
        config: Arc::new(config.unwrap()),
        ..app.app.clone()
    }
}

const DROPPED: &str = "so browsers drop the cookie that keeps you signed in";
const OPEN: &str = "The connection is not encrypted.";

#[tokio::test]
async fn another_machine_on_the_network_is_told_why_it_cannot_sign_in_and_what_to_set() {
    let app = TestApp::new().await;
    let (page, cookie) = login_page(&app.app, "192.168.1.20:50000").await;
    assert!(
        page.contains(DROPPED) && page.contains("set WABLAST_PUBLIC_URL to this address"),
        "{page}"
    );
    assert!(
        cookie.starts_with("__Host-sid=") && cookie.contains("Secure"),
        "{cookie}"
    );
    // Browsers keep it from this machine, as one they trust.
    for peer in ["127.0.0.1:50000", "[::1]:50000"] {
        let (page, _) = login_page(&app.app, peer).await;
        assert!(!page.contains(DROPPED) && !page.contains(OPEN), "{page}");
    }
}

#[tokio::test]
async fn whoever_sets_a_plain_address_signs_in_over_it_and_is_told_who_can_read_along() {
    let app = TestApp::new().await;
    let open = at(&app, "http://192.168.1.5:8080");
    let (page, cookie) = login_page(&open, "192.168.1.20:50000").await;
    assert!(page.contains(OPEN) && !page.contains(DROPPED), "{page}");
    assert!(
        cookie.starts_with("sid=") && !cookie.contains("Secure") && cookie.contains("HttpOnly"),
        "{cookie}"
    );
    let closed = at(&app, "https://blast.example.com");
    let (page, cookie) = login_page(&closed, "192.168.1.20:50000").await;
    assert!(!page.contains(OPEN) && !page.contains(DROPPED), "{page}");
    assert!(cookie.contains("Secure"), "{cookie}");
}
