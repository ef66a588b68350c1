//! `wablast simulate`: WAHA, Meta's Cloud API and an n8n flow on loopback, to rehearse a mailing without a phone and
//! to test against.
//!
//! It answers as they do, with its real error bodies and waits, and counts what took effect. Knows
//! nothing of the domain.

mod answers;
pub mod args;
mod arrived;
mod control;
mod faults;
pub mod flow;
mod hooks;
mod media;
pub mod meta;
mod meta_hooks;
mod meta_templates;
mod qr;
mod session;
mod waha;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

use crate::clock::Clock;
use crate::gateways::http::Http;
use arrived::Arrived;
pub use faults::{ALL as ALL_FAULTS, Fault, Faults};
pub use flow::Flow;
use hooks::Hooks;
use meta_hooks::MetaHooks;

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
    /// Where Meta's events go, and the app's secret.
    pub meta_webhook: Option<Webhook>,
    /// How long a send takes.
    pub latency: Duration,
    /// Whether messages are acknowledged (1, 2, 3) by webhooks.
    pub acks: bool,
    /// Only the last of them, as a phone that was away sends.
    pub last_ack_alone: bool,
    /// Chats are kept under hidden ids (9 and the number, @lid).
    pub lids: bool,
    /// Whether it waits 5 or 10 seconds for a session that is not working, as WAHA does.
    pub waits: bool,
    pub seed: u64,
    pub faults: Faults,
    pub flow: Flow,
    /// What its events call now.
    pub clock: Clock,
    /// Ids are counted on from here.
    pub first_id: u64,
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
            meta_webhook: None,
            latency: Duration::ZERO,
            acks: true,
            last_ack_alone: false,
            lids: false,
            waits: true,
            seed: 1,
            faults: Faults::default(),
            flow: Flow::default(),
            clock: Clock::system(),
            first_id: 0,
        }
    }
}

/// What the handlers share.
struct State {
    options: Options,
    session: session::Session,
    faults: Mutex<Faults>,
    dice: Mutex<faults::Dice>,
    arrived: Mutex<Arrived>,
    /// Calls around messages: seen and typing.
    typed: Mutex<Vec<String>>,
    hooks: Hooks,
    meta_hooks: MetaHooks,
    meta: Mutex<meta::Kept>,
    flow: Mutex<Flow>,
    http: Http,
}

/// A simulated WAHA that is running.
pub struct Running {
    pub address: SocketAddr,
    handle: ServerHandle,
    state: web::Data<State>,
}

impl Running {
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its events go from now on.
    pub fn post_to(&self, webhook: Webhook) {
        self.state.hooks.set_target(Some(webhook));
    }

    /// Time goes on for what follows its clock alone.
    pub fn passes(&self, time: chrono::TimeDelta) {
        self.state.options.clock.advance(time);
    }

    /// Where Meta's events go from now on, signed with the app's secret.
    pub fn post_meta_to(&self, webhook: Webhook) {
        self.state.meta_hooks.set_target(Some(webhook));
    }

    /// How many people its numbers may write first to in 24 hours, in Meta's word: TIER_250 ...
    pub fn set_meta_limit(&self, limit: &str) {
        locked(&self.state.meta).limit = Some(limit.to_owned());
    }

    /// A person sends a file to the number at Meta, as an image, audio, document ...; the id of the file.
    pub fn somebody_sends_file_to_meta(
        &self,
        number: &str,
        kind: &str,
        mime: &str,
        bytes: &[u8],
    ) -> String {
        let id = {
            let mut kept = locked(&self.state.meta);
            let id = format!("77{:06}", kept.next_id());
            kept.files
                .insert(id.clone(), (mime.to_owned(), bytes.to_vec()));
            id
        };
        let part = serde_json::json!({ "id": id, "mime_type": mime, "filename": "" });
        meta::somebody_sends(&self.state, number, kind, &part);
        id
    }

    /// Meta has a file no longer.
    pub fn forget_file(&self, id: &str) {
        locked(&self.state.meta).files.remove(id);
    }

    /// A person puts an emoji on a message of the number at Meta; without one it is taken back.
    pub fn somebody_reacts_at_meta(&self, number: &str, message: &str, emoji: &str) {
        let part = serde_json::json!({ "message_id": message, "emoji": emoji });
        meta::somebody_sends(&self.state, number, "reaction", &part);
    }

    /// A person writes to the number at Meta.
    pub fn somebody_writes_to_meta(&self, number: &str, name: &str, text: &str) {
        meta::somebody_writes(&self.state, number, name, text);
    }

    /// Meta's word about a template from now on, told by webhook.
    pub fn template_becomes(&self, name: &str, status: &str, reason: &str) {
        meta_templates::becomes(&self.state, name, status, reason);
    }

    /// Meta moves a template to another category: MARKETING, UTILITY ...
    pub fn template_moves(&self, name: &str, category: &str) {
        meta_templates::moves(&self.state, name, category);
    }

    /// Meta holds messages of this template back while it assesses its quality, or lets them go.
    pub fn paces_template(&self, name: &str, holds: bool) {
        meta::paces(&self.state, name, holds);
    }

    /// Meta tells something of the account by itself.
    pub fn meta_tells(&self, field: &str, value: serde_json::Value) {
        self.state.meta_hooks.post(field, value);
    }

    /// How many messages came by Meta's call for marketing.
    pub fn marketing_messages(&self) -> u64 {
        locked(&self.state.meta).marketing
    }

    /// What happens from now on.
    pub fn set_faults(&self, faults: Faults) {
        *locked(&self.state.faults) = faults;
    }

    /// A person writes to the account.
    pub async fn somebody_writes(&self, number: &str, name: &str, text: &str) {
        let written = control::Written::new(number, name, text);
        control::somebody_writes(&self.state, &written).await;
    }

    /// The calls around messages, in their order.
    pub fn typed(&self) -> Vec<String> {
        locked(&self.state.typed).clone()
    }

    /// Whether every event that was made has been posted.
    pub fn is_quiet(&self) -> bool {
        self.state.hooks.is_quiet() && self.state.meta_hooks.is_quiet()
    }
}

/// Starts it on its own server with one worker.
pub async fn start(options: Options) -> anyhow::Result<Running> {
    let http = Http::new()?;
    let hooks = Hooks::start(http.clone(), options.webhook.clone(), &options);
    let state = web::Data::from(Arc::new(State {
        session: session::Session::new(),
        faults: Mutex::new(options.faults.clone()),
        dice: Mutex::new(faults::Dice::new(options.seed)),
        arrived: Mutex::new(Arrived::from(options.first_id)),
        typed: Mutex::default(),
        hooks,
        meta_hooks: MetaHooks::start(http.clone(), options.meta_webhook.clone()),
        meta: Mutex::default(),
        flow: Mutex::new(options.flow.clone()),
        http,
        options: options.clone(),
    }));
    let shared = state.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(web::PayloadConfig::new(2 * media::BODY_AT_MOST))
            .configure(session::routes)
            .configure(waha::routes)
            .configure(flow::routes)
            .configure(meta::routes)
            .configure(control::routes)
    })
    .workers(1)
    .shutdown_timeout(1)
    .disable_signals()
    .bind(options.listen)
    .map_err(|error| cannot_listen(options.listen, &error))?;
    let address = server.addrs().first().copied().unwrap_or(options.listen);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(Running {
        address,
        handle,
        state,
    })
}

/// Why it does not listen there, and what to do.
fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    use std::io::ErrorKind;
    let (ip, port) = (listen.ip(), listen.port());
    let other = SocketAddr::from((ip, port.checked_add(1).unwrap_or(3999)));
    match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {port} is in use already: another simulator or another program listens on {listen}. Stop it, or take another port: wablast simulate --listen {other}"
        ),
        ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "this machine has no address {ip}. Listen on one it has: wablast simulate --listen 127.0.0.1:{port}"
        ),
        ErrorKind::PermissionDenied => anyhow::anyhow!(
            "port {port} is not ours to take: ports below 1024 belong to the system. Take another: wablast simulate --listen {ip}:3999"
        ),
        _ => anyhow::anyhow!("the simulator cannot listen on {listen}: {error}"),
    }
}

/// A lock whose holder panicked still holds good data here: every change is one push or one set.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
