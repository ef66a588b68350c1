//! The webhook of an account that sends through one (n8n and similar).

use secrecy::SecretString;

use super::flow::Flow;
use super::{Account, Secret};
use crate::app::App;
use crate::gateways::webhook::{Webhook, WebhookAddress};

impl Account {
    /// What leaves goes to a flow instead of the provider's own API.
    pub fn sends_through_webhook(&self) -> bool {
        self.send_through == "webhook"
    }

    /// Where the account's flow posts its signed events.
    pub fn flow_url(&self, app: &App) -> String {
        format!(
            "{}/webhooks/flow/{}",
            app.config.public_url(),
            self.account_key
        )
    }

    /// The client of this account's webhook.
    pub fn webhook(&self, app: &App, flow: &Flow) -> anyhow::Result<Webhook> {
        let address = WebhookAddress {
            url: self.webhook_url.parse()?,
            proof: flow.proof(app, self)?,
            secret: self.secret(&app.crypt, Secret::WebhookSecret)?,
            counts_as_sent: self.counts_as_sent,
            hidden: self.secrets(app, flow)?,
        };
        Ok(Webhook::new(self.watched(app, "n8n"), address))
    }

    /// Everything of this account that must never stand in what others send us.
    pub fn secrets(&self, app: &App, flow: &Flow) -> anyhow::Result<Vec<SecretString>> {
        let all = [
            Secret::AppSecret,
            Secret::Token,
            Secret::AuthPassword,
            Secret::ApiKey,
            Secret::WebhookSecret,
        ];
        let mut secrets = flow.secrets(app, self)?;
        for which in all {
            secrets.extend(self.secret(&app.crypt, which)?);
        }
        Ok(secrets)
    }
}
