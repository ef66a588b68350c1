//! One running instance: the server and everything that works beside it, or one of the two.
//!
//! Invariant: a stop takes no new requests, claims nothing more, and waits for what has begun.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::bulk;
use crate::gateway_log;
use crate::incoming;
use crate::instances::{self, Role};
use crate::mailings;
use crate::outgoing::{MEDIA_SECONDS, autopause, deliver};
use crate::scheduler;
use crate::server::Server;

/// Threads that serve requests.
const WORKERS: usize = 2;

pub struct Running {
    pub address: SocketAddr,
    server: Option<ServerHandle>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts an instance with all its work.
pub fn start(app: App) -> anyhow::Result<Running> {
    start_as(app, Role::All)
}

/// Starts an instance with the work of its role. A worker listens nowhere; its address is the configured one.
pub fn start_as(app: App, role: Role) -> anyhow::Result<Running> {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    let mut address = app.config.listen;
    let mut handle = None;
    if role != Role::Worker {
        let server = Server::build(app.clone(), WORKERS)?;
        address = server.address;
        handle = Some(server.handle());
        tasks.push(tokio::spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!("the server ended: {error}");
            }
        }));
    }
    if role != Role::Web {
        tasks.extend(work(&app, &stopped));
    }
    let name = name(role, address);
    // Whoever asks a gateway something notes it: pages do as well as the deliverer.
    tasks.push(tokio::spawn(gateway_log::run(app.clone(), stopped.clone())));
    tasks.push(tokio::spawn(instances::run(app, name, role, stopped)));
    Ok(Running {
        address,
        server: handle,
        stop,
        tasks,
    })
}

/// What people call this process.
fn name(role: Role, address: SocketAddr) -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let process = match role {
        Role::Worker => format!("process {}", std::process::id()),
        Role::All | Role::Web => address.to_string(),
    };
    format!("{} {process}", machine.trim()).trim().to_owned()
}

/// Everything that works in the background.
fn work(app: &App, stopped: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        tokio::spawn(bulk::run(app.clone(), stopped.clone())),
        tokio::spawn(scheduler::follow(app.clone(), stopped.clone())),
        tokio::spawn(scheduler::import(app.clone(), stopped.clone())),
        tokio::spawn(scheduler::jump::watch(app.clone(), stopped.clone())),
        tokio::spawn(mailings::stop::run(app.clone(), stopped.clone())),
        tokio::spawn({
            let (app, stopped) = (app.clone(), stopped.clone());
            async move {
                if let Err(error) = scheduler::run(app, stopped).await {
                    tracing::error!("the jobs ended: {error:#}");
                }
            }
        }),
    ];
    if app.config.sending {
        tasks.push(tokio::spawn(deliver::run(app.clone(), stopped.clone())));
        tasks.push(tokio::spawn(autopause::run(app.clone(), stopped.clone())));
        tasks.push(tokio::spawn(incoming::files::run(
            app.clone(),
            stopped.clone(),
        )));
        tasks.push(tokio::spawn(mailings::unheard::run(
            app.clone(),
            stopped.clone(),
        )));
        tasks.push(tokio::spawn(mailings::proven::run(
            app.clone(),
            stopped.clone(),
        )));
        tasks.push(tokio::spawn(deliver::housekeeping(
            app.clone(),
            stopped.clone(),
        )));
    } else {
        tracing::warn!("WABLAST_SENDING is off: this copy never sends");
    }
    tasks
}

impl Running {
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if let Some(server) = self.server {
            server.stop(true).await;
        }
        let longest = Duration::from_secs(u64::try_from(MEDIA_SECONDS).unwrap_or(120) + 10);
        for task in self.tasks {
            let _ = tokio::time::timeout(longest, task).await;
        }
    }
}
