//! The webhook of an account that sends through one (n8n and similar).

use secrecy::SecretString;

use super::{Account, Secret};
use crate::app::App;
use crate::gateways::webhook::{Webhook, WebhookAddress};

impl Account {
    /// What leaves goes to a flow instead of the provider's own API.
    pub fn sends_through_webhook(&self) -> bool {
        self.send_through == "webhook"
    }

    /// The client of this account's webhook.
    pub fn webhook(&self, app: &App) -> anyhow::Result<Webhook> {
        let basic = match self.auth_user.as_str() {
            "" => None,
            user => {
                let password = self.secret(&app.crypt, Secret::AuthPassword)?;
                Some((
                    user.to_owned(),
                    password.unwrap_or_else(|| SecretString::from(String::new())),
                ))
            }
        };
        let address = WebhookAddress {
            url: self.webhook_url.parse()?,
            basic,
            secret: self.secret(&app.crypt, Secret::WebhookSecret)?,
            counts_as_sent: self.counts_as_sent,
        };
        Ok(Webhook::new(app.http.clone(), address))
    }

    /// Everything of this account that must never stand in what others send us.
    pub fn secrets(&self, app: &App) -> anyhow::Result<Vec<SecretString>> {
        let all = [
            Secret::AppSecret,
            Secret::Token,
            Secret::AuthPassword,
            Secret::ApiKey,
            Secret::WebhookSecret,
        ];
        let mut secrets = Vec::new();
        for which in all {
            secrets.extend(self.secret(&app.crypt, which)?);
        }
        Ok(secrets)
    }
}
