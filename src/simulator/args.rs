//! The flags of `wablast simulate`.

use std::net::SocketAddr;
use std::time::Duration;

use super::flow::{Flow, Mode, When};
use super::{Faults, Options, Webhook};

#[derive(Debug, Clone, clap::Args)]
pub struct SimulateArgs {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:3999")]
    listen: SocketAddr,
    /// The API key it asks for; "none" answers everybody
    #[arg(long, default_value = "simulator-key")]
    api_key: String,
    /// The WAHA version it plays
    #[arg(long = "waha-version", default_value = "2026.7.1")]
    version: String,
    /// NOWEB, GOWS or WEBJS
    #[arg(long, default_value = "NOWEB")]
    engine: String,
    /// The session it has
    #[arg(long, default_value = "default")]
    session: String,
    /// Where it posts its events
    #[arg(long, requires = "hmac_key")]
    webhook_url: Option<String>,
    /// The key it signs events with
    #[arg(long)]
    hmac_key: Option<String>,
    /// Milliseconds a send takes
    #[arg(long, default_value_t = 0)]
    latency: u64,
    /// Send no acknowledgements
    #[arg(long)]
    no_acks: bool,
    /// Do not wait 5 or 10 seconds for a session that is not working
    #[arg(long)]
    no_waits: bool,
    /// Which faults happen to which message follows from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A fault and its share, for example reset_after=0.05; may be given several times
    #[arg(long = "fault")]
    faults: Vec<String>,
    /// What the n8n flow at /webhook/… does with a message, and what it answers
    #[arg(long, value_enum, default_value_t = Mode::Started)]
    flow: Mode,
    /// Where the flow reports (/isi/…), for example http://127.0.0.1:8080; none: it does not report
    #[arg(long, requires = "callback_token")]
    callback_url: Option<String>,
    /// The callback token it reports with
    #[arg(long)]
    callback_token: Option<String>,
    /// Whether the flow reports before it answers, after, or never
    #[arg(long, value_enum, default_value_t = When::After)]
    report: When,
    /// User and password its webhook asks for (Basic)
    #[arg(long, requires = "flow_password")]
    flow_user: Option<String>,
    #[arg(long)]
    flow_password: Option<String>,
}

impl SimulateArgs {
    pub fn into_options(self) -> anyhow::Result<Options> {
        Ok(Options {
            listen: self.listen,
            api_key: (self.api_key != "none").then_some(self.api_key),
            version: self.version,
            engine: self.engine,
            session: self.session,
            webhook: self
                .webhook_url
                .zip(self.hmac_key)
                .map(|(url, hmac_key)| Webhook { url, hmac_key }),
            latency: Duration::from_millis(self.latency),
            acks: !self.no_acks,
            waits: !self.no_waits,
            seed: self.seed,
            faults: Faults::parse(&self.faults)?,
            flow: Flow {
                mode: self.flow,
                user: self.flow_user.unwrap_or_default(),
                password: self.flow_password.unwrap_or_default(),
                callback_url: self.callback_url.unwrap_or_default(),
                callback_token: self.callback_token.unwrap_or_default(),
                report: self.report,
            },
            ..Options::default()
        })
    }
}
