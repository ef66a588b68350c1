//! The flags of `wablast simulate`.

use std::net::SocketAddr;
use std::time::Duration;

use super::flow::{Flow, Mode, When};
use super::{Faults, Options, Webhook};

/// Which faults there are, for the help.
const FAULTS: &str = "\
Faults, for WAHA's calls and for the flow:
  timeout_before, timeout_after    no answer; the message did not go out, or did
  close_before, close_after        the connection is closed without a byte of an answer
  reset_before, reset_after        the connection breaks in the middle of the answer
  error_before, error_after        500
  bad_gateway, unavailable         502 and 503, nothing went out
  gateway_timeout                  504 of a proxy; the message went out
  unauthorized, forbidden          401 and 403
  not_found, conflict, refused     404 of a proxy, 409, 400 about this message
  rate_limited                     429, again after a second
  rate_limited_date                429, again after a date
  rate_limited_garbage             429 with a Retry-After nobody can read
  rate_limited_huge                429, again after three thousand years
  redirect                         307 to another address
  empty_answer, bad_json           the message went out, the answer says nothing
  wrong_id                         the message went out, the answer has another id (WAHA)
  trickle                          the message went out, the answer comes with a byte a second
  endless                          the message went out, the answer is a gigabyte long
  old_http                         the message went out, the answer speaks HTTP/1.0
  slow                             the answer takes 20 seconds
  not_on_whatsapp, error_ack,      what the acknowledgements say afterwards (WAHA)
  unread, acks_lost, events_lost
For Meta's API, by number: a code such as 131047@628111 answers, late_131026@628111 comes as a failed status.";

#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = FAULTS)]
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
    /// A fault with its share (reset_after=0.05) or for one number (unauthorized@628111); may be given several
    /// times. The faults are listed below
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
    /// Where Meta's events are posted, for example http://127.0.0.1:8080/webhooks/meta/…
    #[arg(long, requires = "app_secret")]
    meta_webhook_url: Option<String>,
    /// The App Secret they are signed with
    #[arg(long)]
    app_secret: Option<String>,
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
            meta_webhook: self
                .meta_webhook_url
                .zip(self.app_secret)
                .map(|(url, hmac_key)| Webhook { url, hmac_key }),
            ..Options::default()
        })
    }
}
