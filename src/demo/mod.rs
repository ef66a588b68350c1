//! `wablast demo`: a company that has worked for a month, on the built-in simulator.
//!
//! Invariants: everything in it went through the same verbs and the same engine as real work, with the clock
//! set back, so that every figure equals a recount; it lives in a folder of its own and is never reachable
//! from another machine, because its sign-ins are known to everybody; nothing in it reaches a phone, and
//! every page says so.

pub mod folder;
mod official;
mod people;
mod story;
mod texts;

use std::net::SocketAddr;

use anyhow::Context as _;

use crate::accounts::{self, Account, Secret};
use crate::app::App;
use crate::clock::Clock;
use crate::simulator::{self, Faults, Options, Running, Webhook};
use secrecy::ExposeSecret as _;

pub use story::tell;

/// Who can sign in: name, address, role.
pub const PEOPLE: [(&str, &str, &str); 3] = [
    ("Dewi Kartikasari", "dewi@demo.example", "administrator"),
    ("Budi Santoso", "budi@demo.example", "manager"),
    ("Sari Lestari", "sari@demo.example", "user"),
];
/// The same for all three.
pub const PASSWORD: &str = "rehearse before sending";

const ACCOUNT: &str = "Simulator: Toko Bandung";
const OFFICIAL: &str = "Simulator: official number (Meta)";
const API_KEY: &str = "simulator-key";

/// Starts the simulator for the demo's accounts, at the address it had, else at another one that the accounts
/// learn. Its events come to `ours`.
pub async fn gateway(app: &App, ours: SocketAddr) -> anyhow::Result<Running> {
    let (account, official) = {
        let mut conn = app.db.system().await?;
        let account = accounts::query::named(&mut conn, ACCOUNT).await?;
        let official = accounts::query::named(&mut conn, OFFICIAL).await?;
        let account =
            account.context("the demo's account is not there; begin anew with --reset")?;
        // A demo that was made before there was one goes on without it.
        (account, official)
    };
    let before = url::Url::parse(&account.api_url).ok();
    let port = before.and_then(|url| url.port()).unwrap_or(0);
    let options = Options {
        faults: Faults::parse(&["unread=0.35".to_owned()])?,
        ..options(app)
    };
    let running = match simulator::start(Options {
        listen: SocketAddr::from(([127, 0, 0, 1], port)),
        ..options.clone()
    })
    .await
    {
        Ok(running) => running,
        Err(_) => simulator::start(options).await?,
    };
    if running.url() != account.api_url {
        let mut conn = app.db.system().await?;
        accounts::query::moved(&mut conn, account.id, &running.url()).await?;
        if let Some(official) = &official {
            accounts::query::moved(&mut conn, official.id, &running.url()).await?;
        }
    }
    if let Some(official) = &official {
        running.post_meta_to(official::webhook(official, ours));
    }
    running.post_to(webhook(app, &account, ours)?);
    Ok(running)
}

fn options(app: &App) -> Options {
    Options {
        api_key: Some(API_KEY.to_owned()),
        clock: app.clock.clone(),
        // No id of an earlier start comes again.
        first_id: u64::try_from(Clock::system().now().timestamp_millis()).unwrap_or_default(),
        ..Options::default()
    }
}

fn webhook(app: &App, account: &Account, ours: SocketAddr) -> anyhow::Result<Webhook> {
    let secret = account.secret(&app.crypt, Secret::WebhookSecret)?;
    let secret = secret.context("the demo's account has no key for its events")?;
    Ok(Webhook {
        url: format!("http://{ours}/webhooks/waha/{}", account.account_key),
        hmac_key: secret.expose_secret().to_owned(),
    })
}

/// What a person at the terminal needs to know.
pub fn welcome(address: SocketAddr, gateway: &Running) -> String {
    let mut lines = vec![
        format!("The demo of Infinys WhatsApp Blasting: http://{address}"),
        format!(
            "Nothing here reaches a phone. What the simulator got: {}",
            gateway.url()
        ),
        format!("Sign in with the password \"{PASSWORD}\" as"),
    ];
    for (name, email, role) in PEOPLE {
        lines.push(format!("  {email:<20} {name}, {role}"));
    }
    lines.push("Ctrl C ends it. Start it again to go on; with --reset it begins anew.".to_owned());
    lines.join("\n")
}
