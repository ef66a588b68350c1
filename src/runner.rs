//! One running instance: the server and everything that works beside it.
//!
//! Invariant: a stop takes no new requests, claims nothing more, and waits for what has begun.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::bulk;
use crate::outgoing::{MEDIA_SECONDS, autopause, deliver};
use crate::scheduler;
use crate::server::Server;

/// Threads that serve requests.
const WORKERS: usize = 2;

pub struct Running {
    pub address: SocketAddr,
    server: ServerHandle,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts an instance with all its work.
pub fn start(app: App) -> anyhow::Result<Running> {
    let server = Server::build(app.clone(), WORKERS)?;
    let (stop, stopped) = watch::channel(false);
    let address = server.address;
    let handle = server.handle();
    let mut tasks = vec![
        tokio::spawn(async move {
            if let Err(error) = server.run().await {
                tracing::error!("the server ended: {error}");
            }
        }),
        tokio::spawn(bulk::run(app.clone(), stopped.clone())),
        tokio::spawn(scheduler::follow(app.clone(), stopped.clone())),
        tokio::spawn(scheduler::import(app.clone(), stopped.clone())),
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
        tasks.push(tokio::spawn(deliver::housekeeping(app, stopped)));
    } else {
        tracing::warn!("WABLAST_SENDING is off: this copy never sends");
    }
    Ok(Running {
        address,
        server: handle,
        stop,
        tasks,
    })
}

impl Running {
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        self.server.stop(true).await;
        let longest = Duration::from_secs(u64::try_from(MEDIA_SECONDS).unwrap_or(120) + 10);
        for task in self.tasks {
            let _ = tokio::time::timeout(longest, task).await;
        }
    }
}
