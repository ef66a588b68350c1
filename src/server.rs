//! The HTTP server: all doors of the product on one address.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::{Server as ActixServer, ServerHandle};
use actix_web::middleware::Compress;
use actix_web::{App as ActixApp, HttpServer, web};
use anyhow::Context as _;
use tracing_actix_web::TracingLogger;

use crate::app::App;
use crate::intake::Inbox;
use crate::limits::Limits;
use crate::outgoing::pull::Puller;
use crate::{api, web as panel};

/// A server that is bound and not yet run.
pub struct Server {
    pub address: SocketAddr,
    server: ActixServer,
    puller: web::Data<Puller>,
    app: App,
}

impl Server {
    /// Binds the address of the configuration (port 0: any free one).
    pub fn build(app: App, workers: usize) -> anyhow::Result<Self> {
        let listen = app.config.listen;
        let inbox = Inbox::start(app.clone());
        let limits = web::Data::new(Limits::default());
        let puller = web::Data::new(Puller::default());
        let codes = web::Data::new(panel::waha_session::Codes::default());
        let (pulls, ours) = (puller.clone(), app.clone());
        let document = web::Data::new(panel::api_docs::Document(api::document::all));
        let server = HttpServer::new(move || {
            ActixApp::new()
                .wrap(panel::security::headers(&app))
                .wrap(Compress::default())
                .wrap(TracingLogger::default())
                .app_data(web::Data::new(app.clone()))
                .app_data(web::Data::new(inbox.clone()))
                .app_data(limits.clone())
                .app_data(document.clone())
                .app_data(pulls.clone())
                .app_data(codes.clone())
                .configure(api::routes)
                .configure(|config| panel::routes(config, &app))
        })
        .workers(workers)
        .shutdown_timeout(10)
        .client_request_timeout(Duration::from_secs(30))
        .disable_signals()
        .bind(listen)
        .with_context(|| format!("listening on {listen}: is another program there? Set WABLAST_LISTEN to another port"))?;
        let address = server.addrs().first().copied().unwrap_or(listen);
        Ok(Self {
            address,
            server: server.run(),
            puller,
            app: ours,
        })
    }

    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    pub async fn run(self) -> std::io::Result<()> {
        let Self {
            server,
            puller,
            app,
            ..
        } = self;
        tokio::select! {
            ended = server => ended,
            () = puller.watch(&app) => Ok(()),
        }
    }
}
