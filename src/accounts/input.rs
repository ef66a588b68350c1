//! What people and integrators type about an account, and what it must be.
//!
//! Invariant: an [`AccountDraft`] is complete for its provider; every fault is a sentence at its field.

use secrecy::SecretString;

use super::Secret;
use super::flow;
use super::pace::{self, Rules};
use super::typed::{ADDRESS_MAX, address, number, one_of, text, typed, whole};
use crate::error::{FieldErrors, Result};
use crate::gateways::webhook;
use crate::ids::{CompanyId, UserId};

/// What an account opens at a time when nothing else was chosen.
pub const BATCH_SIZE: i32 = 100;
/// How long a flow may take to report, in minutes, when nothing else was chosen.
pub const CALLBACK_MINUTES: i32 = 15;
/// Requests to a webhook at one time, when nothing else was chosen.
pub const AT_ONCE: i32 = 1;
/// How many of the last 200 messages, in percent, may fail or be uncertain before the account pauses itself.
pub const AUTO_PAUSE_PERCENT: i32 = 10;

/// The form, as text. The API fills the same struct. Written down it is without its secrets.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AccountInput {
    pub name: String,
    pub provider: String,
    pub send_through: String,
    pub delivery: String,
    pub app_uid: String,
    #[serde(skip_serializing)]
    pub app_secret: String,
    pub account_uid: String,
    pub phone_uid: String,
    #[serde(skip_serializing)]
    pub token: String,
    pub base_url: String,
    pub api_url: String,
    pub webhook_url: String,
    pub auth_user: String,
    #[serde(skip_serializing)]
    pub auth_password: String,
    #[serde(skip_serializing)]
    pub api_key: String,
    pub session: String,
    pub behind_proxy: Option<String>,
    pub welcome_message: String,
    pub opt_out_confirmation: String,
    #[serde(skip_serializing)]
    pub webhook_secret: String,
    pub per_second: String,
    pub burst: String,
    pub auto_pause_percent: String,
    /// The next ten are the rules of `pace`; blank: no such rule.
    pub hourly_cap: String,
    pub daily_cap: String,
    /// Seconds.
    pub delay_min: String,
    pub delay_max: String,
    pub warm_up_first: String,
    pub warm_up_days: String,
    /// Seconds.
    pub person_gap: String,
    /// `20:00`.
    pub quiet_from: String,
    pub quiet_until: String,
    /// `recipient` or `company`.
    pub quiet_zone: String,
    pub resend_proven: Option<String>,
    /// Counts where delivery is batched.
    pub batch_size: String,
    /// Beside the owner.
    pub allowed_company_ids: Vec<i64>,
    /// The next four count where it sends through a webhook.
    pub callback_minutes: String,
    pub counts_as_sent: Option<String>,
    pub at_once: String,
    /// What a push shows to the flow: `basic`, `bearer` or `hmac`.
    pub webhook_auth: String,
    #[serde(skip_serializing)]
    pub flow_token: String,
    #[serde(skip_serializing)]
    pub flow_secret: String,
    /// Outside workers fetch the messages; then no address is needed.
    pub pulls: Option<String>,
    pub allowed_user_ids: Vec<i64>,
}

#[derive(Debug, Clone)]
pub struct AccountDraft {
    pub name: String,
    pub provider: &'static str,
    pub send_through: &'static str,
    pub delivery: &'static str,
    pub app_uid: String,
    pub account_uid: String,
    pub phone_uid: String,
    pub base_url: String,
    pub api_url: String,
    pub webhook_url: String,
    pub auth_user: String,
    pub session: String,
    pub behind_proxy: bool,
    pub welcome_message: String,
    pub opt_out_confirmation: String,
    pub per_second: f64,
    pub burst: i32,
    pub auto_pause_percent: i32,
    pub rules: Rules,
    pub resend_proven: bool,
    pub batch_size: i32,
    pub allowed_company_ids: Vec<CompanyId>,
    pub callback_minutes: i32,
    pub counts_as_sent: bool,
    pub at_once: i32,
    pub webhook_auth: &'static str,
    pub flow_token: Option<SecretString>,
    pub flow_secret: Option<SecretString>,
    pub pulls: bool,
    pub allowed_user_ids: Vec<UserId>,
    pub app_secret: Option<SecretString>,
    pub token: Option<SecretString>,
    pub auth_password: Option<SecretString>,
    pub api_key: Option<SecretString>,
    pub webhook_secret: Option<SecretString>,
}

impl AccountDraft {
    /// The secrets that were typed; an absent one keeps what is stored.
    pub fn secrets(&self) -> impl Iterator<Item = (Secret, Option<&SecretString>)> {
        [
            (Secret::AppSecret, self.app_secret.as_ref()),
            (Secret::Token, self.token.as_ref()),
            (Secret::AuthPassword, self.auth_password.as_ref()),
            (Secret::ApiKey, self.api_key.as_ref()),
            (Secret::WebhookSecret, self.webhook_secret.as_ref()),
        ]
        .into_iter()
    }
}

/// Names and ids as gateways give them are far shorter.
const NAME_MAX: usize = 100;
/// Meta's tokens have some 250 letters.
const SECRET_MAX: usize = 2000;

impl AccountInput {
    /// How long each text may be. The welcome and the confirmation have bounds of their own.
    fn bounds(&self) -> [(&'static str, &str, usize); 16] {
        [
            ("name", &self.name, NAME_MAX),
            ("app_uid", &self.app_uid, NAME_MAX),
            ("account_uid", &self.account_uid, NAME_MAX),
            ("phone_uid", &self.phone_uid, NAME_MAX),
            ("session", &self.session, NAME_MAX),
            ("auth_user", &self.auth_user, NAME_MAX),
            ("base_url", &self.base_url, ADDRESS_MAX),
            ("api_url", &self.api_url, ADDRESS_MAX),
            ("webhook_url", &self.webhook_url, ADDRESS_MAX),
            ("app_secret", &self.app_secret, SECRET_MAX),
            ("token", &self.token, SECRET_MAX),
            ("auth_password", &self.auth_password, SECRET_MAX),
            ("api_key", &self.api_key, SECRET_MAX),
            ("webhook_secret", &self.webhook_secret, SECRET_MAX),
            ("flow_token", &self.flow_token, SECRET_MAX),
            ("flow_secret", &self.flow_secret, SECRET_MAX),
        ]
    }

    /// The draft, or all faults at once.
    pub fn parse(&self) -> Result<AccountDraft> {
        let mut errors = FieldErrors::default();
        let name = self.name.trim().to_owned();
        if name.is_empty() {
            errors.add(
                "name",
                "Give the account a name, for example the shop it belongs to.",
            );
        }
        for (field, text, most) in self.bounds() {
            errors.at_most(field, text, most);
        }
        let provider = one_of(
            &self.provider,
            &["waha", "meta"],
            "waha",
            "provider",
            "Choose WAHA or Meta.",
            &mut errors,
        );
        let has_api =
            !self.api_url.trim().is_empty() || !self.token.is_empty() || provider == "meta";
        let send_through = one_of(
            &self.send_through,
            &["api", "webhook"],
            if has_api { "api" } else { "webhook" },
            "send_through",
            "Choose API or Webhook.",
            &mut errors,
        );
        let delivery = one_of(
            &self.delivery,
            &["direct", "batched"],
            if send_through == "webhook" {
                "batched"
            } else {
                "direct"
            },
            "delivery",
            "Choose Direct or Batched.",
            &mut errors,
        );
        let api_url = address(&self.api_url, "api_url", &mut errors);
        let webhook_url = address(&self.webhook_url, "webhook_url", &mut errors);
        let base_url = address(&self.base_url, "base_url", &mut errors);
        if provider == "waha" && send_through == "api" && api_url.is_empty() {
            errors.add(
                "api_url",
                "Enter the address of WAHA, for example http://127.0.0.1:3000.",
            );
        }
        let pulls = self.pulls.is_some() && send_through == "webhook";
        if send_through == "webhook" && webhook_url.is_empty() && !pulls {
            errors.add("webhook_url", "Enter the address of the webhook that sends, for example the production URL of your n8n flow.");
        }
        if provider == "meta" && send_through == "webhook" {
            errors.add(
                "send_through",
                "A Meta account sends through Meta's own API. Choose API.",
            );
        }
        if webhook_url.contains("/webhook-test/") {
            errors.add("webhook_url", webhook::TEST_ADDRESS);
        }
        let phone_uid = self.phone_uid.trim().to_owned();
        if provider == "meta" {
            for (field, value, label) in [
                ("app_uid", &self.app_uid, "App ID"),
                ("account_uid", &self.account_uid, "Account ID"),
                ("phone_uid", &self.phone_uid, "Phone Number ID"),
            ] {
                if value.trim().is_empty() {
                    errors.add(field, format!("Enter the {label} from Meta's dashboard."));
                }
            }
        }
        let session = match (self.session.trim(), phone_uid.as_str()) {
            ("", "") => "default".to_owned(),
            ("", phone) => phone.to_owned(),
            (session, _) => session.to_owned(),
        };
        let slow = provider == "waha" || send_through == "webhook";
        let per_second = number(
            &self.per_second,
            if slow { 0.25 } else { 80.0 },
            "per_second",
            &mut errors,
        );
        let burst = number(
            &self.burst,
            if slow { 1.0 } else { 80.0 },
            "burst",
            &mut errors,
        );
        if !(per_second > 0.0 && per_second <= 100_000.0) {
            errors.add(
                "per_second",
                "Messages a second must be more than 0 and at most 100,000. 0.25 is 15 a minute.",
            );
        }
        if !(1.0..=100_000.0).contains(&burst) || burst.fract() != 0.0 {
            errors.add("burst", "The burst is a whole number from 1 to 100,000.");
        }
        let auto_pause_percent = whole(&self.auto_pause_percent, AUTO_PAUSE_PERCENT, 100)
            .unwrap_or_else(|| {
                errors.add(
                    "auto_pause_percent",
                    "The share that pauses the account is a whole number from 1 to 100.",
                );
                AUTO_PAUSE_PERCENT
            });
        let rules = pace::parse(self, provider == "meta", &mut errors);
        let batch_size = whole(&self.batch_size, BATCH_SIZE, 10_000).unwrap_or_else(|| {
            // Where delivery is direct the field is not shown, so nobody could mend it.
            if delivery == "batched" {
                errors.add(
                    "batch_size",
                    "The batch size is a whole number from 1 to 10,000.",
                );
            }
            BATCH_SIZE
        });
        // Where nothing goes through a webhook these are not shown, so nobody could mend them.
        let is_webhook = send_through == "webhook";
        let callback_minutes = whole(&self.callback_minutes, CALLBACK_MINUTES, 1440)
            .unwrap_or_else(|| {
                if is_webhook {
                    errors.add(
                        "callback_minutes",
                        "The time for a report is a whole number of minutes from 1 to 1,440.",
                    );
                }
                CALLBACK_MINUTES
            });
        let at_once = whole(&self.at_once, AT_ONCE, 5).unwrap_or_else(|| {
            if is_webhook {
                errors.add(
                    "at_once",
                    "Requests at one time are a whole number from 1 to 5.",
                );
            }
            AT_ONCE
        });
        let webhook_auth = self.shown_to_flow(&mut errors);
        let draft = AccountDraft {
            name,
            provider,
            send_through,
            delivery,
            app_uid: self.app_uid.trim().to_owned(),
            account_uid: self.account_uid.trim().to_owned(),
            phone_uid,
            base_url,
            api_url,
            webhook_url,
            auth_user: self.auth_user.trim().to_owned(),
            session,
            behind_proxy: self.behind_proxy.is_some(),
            welcome_message: text(&self.welcome_message, "welcome_message", &mut errors),
            opt_out_confirmation: text(
                &self.opt_out_confirmation,
                "opt_out_confirmation",
                &mut errors,
            ),
            per_second,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be a whole number up to 100,000"
            )]
            burst: burst as i32,
            auto_pause_percent,
            rules,
            // Only what goes through WAHA's own API can be looked for.
            resend_proven: self.resend_proven.is_some() && provider == "waha" && !is_webhook,
            batch_size,
            allowed_company_ids: self
                .allowed_company_ids
                .iter()
                .copied()
                .map(CompanyId)
                .collect(),
            callback_minutes,
            counts_as_sent: self.counts_as_sent.is_some(),
            at_once,
            webhook_auth,
            flow_token: typed(&self.flow_token),
            flow_secret: typed(&self.flow_secret),
            pulls,
            allowed_user_ids: self.allowed_user_ids.iter().copied().map(UserId).collect(),
            app_secret: typed(&self.app_secret),
            token: typed(&self.token),
            auth_password: typed(&self.auth_password),
            api_key: typed(&self.api_key),
            webhook_secret: typed(&self.webhook_secret),
        };
        errors.or(Some(draft))
    }

    /// What a push shows; its secrets must fit into a header and be hard to guess.
    fn shown_to_flow(&self, errors: &mut FieldErrors) -> &'static str {
        if !self.flow_token.trim().bytes().all(|b| b.is_ascii_graphic()) {
            errors.add(
                "flow_token",
                "A token has no spaces and no letters beyond English ones. Leave the word Bearer out.",
            );
        }
        let secret = self.flow_secret.trim().len();
        if secret > 0 && secret < flow::SECRET_AT_LEAST {
            errors.add(
                "flow_secret",
                "The secret has at least 16 characters; take random ones.",
            );
        }
        one_of(
            &self.webhook_auth,
            &flow::AUTHS,
            "basic",
            "webhook_auth",
            "Choose User and password, Bearer token or Signature.",
            errors,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn waha() -> AccountInput {
        AccountInput {
            name: "Shop".into(),
            api_url: "http://127.0.0.1:3000/".into(),
            ..AccountInput::default()
        }
    }

    #[test]
    fn a_waha_account_needs_little() {
        let draft = waha().parse().unwrap();
        assert_eq!(
            (draft.provider, draft.send_through, draft.delivery),
            ("waha", "api", "direct")
        );
        assert_eq!(
            (draft.session.as_str(), draft.api_url.as_str()),
            ("default", "http://127.0.0.1:3000")
        );
        assert!((draft.per_second - 0.25).abs() < f64::EPSILON && draft.burst == 1);
    }

    #[test]
    fn the_session_defaults_to_the_phone_number_id() {
        let draft = AccountInput {
            phone_uid: "4242".into(),
            ..waha()
        }
        .parse()
        .unwrap();
        assert_eq!(draft.session, "4242");
    }

    #[test]
    fn a_batch_has_a_size_and_only_a_batched_account_is_asked_for_it() {
        let size = |delivery: &str, size: &str| {
            let input = AccountInput {
                delivery: delivery.into(),
                batch_size: size.into(),
                ..waha()
            };
            input.parse().map(|draft| draft.batch_size).ok()
        };
        assert_eq!(size("batched", ""), Some(100));
        assert_eq!(size("batched", " 250 "), Some(250));
        for wrong in ["0", "10001", "2.5", "many", "-1"] {
            assert_eq!(size("batched", wrong), None, "{wrong}");
            assert_eq!(size("direct", wrong), Some(100), "{wrong}");
        }
    }

    #[test]
    fn what_a_push_shows_fits_into_a_header_and_is_hard_to_guess() {
        let faults = |auth: &str, token: &str, secret: &str| {
            let input = AccountInput {
                webhook_auth: auth.into(),
                flow_token: token.into(),
                flow_secret: secret.into(),
                ..waha()
            };
            match input.parse() {
                Err(Error::Invalid(errors)) => ["webhook_auth", "flow_token", "flow_secret"]
                    .into_iter()
                    .filter(|field| !errors.of(field).is_empty())
                    .collect(),
                _ => Vec::new(),
            }
        };
        assert!(faults("", "", "").is_empty());
        assert!(faults("bearer", " wab_abc-123 ", "").is_empty());
        assert!(faults("hmac", "", "0123456789abcdef").is_empty());
        assert_eq!(faults("oauth", "", ""), ["webhook_auth"]);
        for token in ["Bearer x", "a\nb", "schlüssel"] {
            assert_eq!(faults("bearer", token, ""), ["flow_token"], "{token}");
        }
        assert_eq!(faults("hmac", "", "short"), ["flow_secret"]);
    }

    #[test]
    fn all_faults_come_at_once() {
        let input = AccountInput {
            provider: "telegram".into(),
            api_url: "ftp://x".into(),
            webhook_url: "https://n8n.example/webhook-test/1".into(),
            per_second: "fast".into(),
            burst: "0".into(),
            ..AccountInput::default()
        };
        let Err(Error::Invalid(errors)) = input.parse() else {
            panic!("parsed")
        };
        for field in [
            "name",
            "provider",
            "api_url",
            "webhook_url",
            "per_second",
            "burst",
        ] {
            assert!(!errors.of(field).is_empty(), "{field}");
        }
    }
}
