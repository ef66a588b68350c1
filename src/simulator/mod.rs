//! `wablast simulate`: WAHA and an n8n flow on loopback, to rehearse a mailing without a phone and to test against.
//!
//! It answers as WAHA does, with its real error bodies and waits, and counts what took effect. Knows
//! nothing of the domain.

pub mod args;
mod arrived;
mod control;
mod faults;
pub mod flow;
mod hooks;
mod media;
mod waha;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::gateways::http::Http;
use arrived::Arrived;
pub use faults::Faults;
pub use flow::Flow;
use hooks::Hooks;

/// How the simulated WAHA is set up.
#[derive(Debug, Clone)]
pub struct Options {
    pub listen: SocketAddr,
    /// None: it answers without a key, as an open WAHA does.
    pub api_key: Option<String>,
    pub version: String,
    pub engine: String,
    pub session: String,
    pub webhook: Option<Webhook>,
    /// How long a send takes.
    pub latency: Duration,
    /// Whether messages are acknowledged (1, 2, 3) by webhooks.
    pub acks: bool,
    /// Whether it waits 5 or 10 seconds for a session that is not working, as WAHA does.
    pub waits: bool,
    pub seed: u64,
    pub faults: Faults,
    pub flow: Flow,
}

#[derive(Debug, Clone, serde::Deserialize)]
pub struct Webhook {
    pub url: String,
    pub hmac_key: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            api_key: Some("simulator-key".to_owned()),
            version: "2026.7.1".to_owned(),
            engine: "NOWEB".to_owned(),
            session: "default".to_owned(),
            webhook: None,
            latency: Duration::ZERO,
            acks: true,
            waits: true,
            seed: 1,
            faults: Faults::default(),
            flow: Flow::default(),
        }
    }
}

/// What the handlers share.
struct State {
    options: Options,
    status: Mutex<String>,
    faults: Mutex<Faults>,
    dice: Mutex<faults::Dice>,
    arrived: Mutex<Arrived>,
    hooks: Hooks,
    flow: Mutex<Flow>,
    http: Http,
}

/// A simulated WAHA that is running.
pub struct Running {
    pub address: SocketAddr,
    handle: ServerHandle,
}

impl Running {
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Starts it on its own server with one worker.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let http = Http::new()?;
    let hooks = Hooks::start(http.clone(), options.webhook.clone(), &options);
    let state = web::Data::from(Arc::new(State {
        status: Mutex::new("WORKING".to_owned()),
        faults: Mutex::new(options.faults.clone()),
        dice: Mutex::new(faults::Dice::new(options.seed)),
        arrived: Mutex::new(Arrived::default()),
        hooks,
        flow: Mutex::new(options.flow.clone()),
        http,
        options: options.clone(),
    }));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(web::PayloadConfig::new(2 * media::BODY_AT_MOST))
            .configure(waha::routes)
            .configure(flow::routes)
            .configure(control::routes)
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .bind(options.listen)?;
    let address = server.addrs().first().copied().unwrap_or(options.listen);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(Running { address, handle })
}

/// A lock whose holder panicked still holds good data here: every change is one push or one set.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
