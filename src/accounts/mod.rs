//! WhatsApp Business Accounts: one connected number at one provider.
//!
//! Invariants: a secret is sealed before it is stored and never leaves through a page, a log or the
//! API; whoever changes a secret or an address makes the account *untested* until a test passes; an
//! account belongs to one company, which alone changes it, and is used by those in `account_companies`.
//! Owns `accounts`, `account_companies`, `account_users`, `account_sessions`, `account_flow`, `account_notices`,
//! `account_pulling` and `account_sending`. Does not know who sends through it.

pub mod callback_token;
pub mod flow;
pub mod health;
pub mod input;
pub mod list;
pub mod meta;
pub mod notices;
pub mod number;
pub mod pace;
pub mod pulling;
pub mod query;
pub mod sending;
pub mod session;
pub mod sharing;
pub mod test;
pub mod told;
mod typed;
pub mod webhook;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::{ExposeSecret as _, SecretString};

use crate::app::App;
use crate::crypt::{Crypt, Place};
use crate::error::{Error, FieldErrors, Result, violated_constraint};
use crate::gateways::http::Http;
use crate::gateways::tap::Subject;
use crate::gateways::waha::{Waha, WahaAddress};
use crate::ids::{AccountId, CompanyId, UserId};
use crate::schema::accounts;
use crate::text::merge::{self, Template};

pub use input::{AccountDraft, AccountInput};
pub use pace::Rules;

#[derive(Debug, Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = accounts)]
pub struct Account {
    pub id: AccountId,
    /// The owner.
    pub company_id: CompanyId,
    pub name: String,
    pub provider: String,
    pub send_through: String,
    pub delivery: String,
    pub active: bool,
    pub app_uid: String,
    pub app_secret: Option<Vec<u8>>,
    pub account_uid: String,
    pub phone_uid: String,
    pub token: Option<Vec<u8>>,
    pub base_url: String,
    pub webhook_verify_token: String,
    pub phone_number: Option<String>,
    pub api_url: String,
    pub webhook_url: String,
    pub auth_user: String,
    pub auth_password: Option<Vec<u8>>,
    pub api_key: Option<Vec<u8>>,
    pub session: String,
    pub behind_proxy: bool,
    /// For who writes for the first time; blank: none.
    pub welcome_message: String,
    /// For who said stop; blank: none.
    pub opt_out_confirmation: String,
    pub account_key: String,
    pub webhook_secret: Option<Vec<u8>>,
    /// Messages a second; 0.25 is 15 a minute.
    pub per_second: f64,
    pub burst: i32,
    /// How many of the last 200 messages may fail or be uncertain before it pauses itself; 100: any.
    pub auto_pause_percent: i32,
    #[diesel(embed)]
    pub rules: Rules,
    /// What WhatsApp proves not to have got is sent again by itself.
    pub resend_proven: bool,
    /// How many messages are opened at a time where delivery is batched.
    pub batch_size: i32,
    /// How long a flow may take to report what became of a message, in minutes.
    pub callback_minutes: i32,
    /// The flow does not report: what it takes counts as sent.
    pub counts_as_sent: bool,
    /// Requests to the webhook at one time.
    pub at_once: i32,
    pub health: String,
    pub health_reason: Option<String>,
    pub health_code: Option<String>,
    pub health_since: DateTime<Utc>,
    /// When one message is tried, while the account is paused by itself or stopped by its webhook.
    pub health_retry_at: Option<DateTime<Utc>>,
    pub tested_at: Option<DateTime<Utc>>,
    pub tested_ok: Option<bool>,
    pub test_checks: Option<serde_json::Value>,
    pub untested_since: Option<DateTime<Utc>>,
    pub last_event_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The columns of `accounts` that hold a sealed secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    AppSecret,
    Token,
    AuthPassword,
    ApiKey,
    WebhookSecret,
}

impl Secret {
    fn column(self) -> &'static str {
        match self {
            Self::AppSecret => "app_secret",
            Self::Token => "token",
            Self::AuthPassword => "auth_password",
            Self::ApiKey => "api_key",
            Self::WebhookSecret => "webhook_secret",
        }
    }

    fn place(self, account: AccountId, company: CompanyId) -> Place<'static> {
        Place {
            table: "accounts",
            row: account.0,
            column: self.column(),
            company: company.0,
        }
    }
}

impl Account {
    /// Its last test found something to mend, and nothing was changed since.
    pub fn failed_its_test(&self) -> bool {
        self.tested_ok == Some(false)
    }

    /// Opens one of the account's secrets; `None` when it was never set.
    pub fn secret(&self, crypt: &Crypt, which: Secret) -> anyhow::Result<Option<SecretString>> {
        let sealed = match which {
            Secret::AppSecret => &self.app_secret,
            Secret::Token => &self.token,
            Secret::AuthPassword => &self.auth_password,
            Secret::ApiKey => &self.api_key,
            Secret::WebhookSecret => &self.webhook_secret,
        };
        sealed
            .as_deref()
            .map(|sealed| crypt.open(which.place(self.id, self.company_id), sealed))
            .transpose()
    }

    /// Why nothing can be sent through this account yet, as a sentence; `None` when it can.
    pub fn not_built(&self) -> Option<&'static str> {
        match (
            self.provider.as_str(),
            self.send_through.as_str(),
            self.delivery.as_str(),
        ) {
            ("waha", "api" | "webhook", "direct" | "batched")
            | ("meta", "api", "direct" | "batched") => None,
            _ => Some(
                "A Meta account sends through Meta's own API. Choose API under Send through on the account.",
            ),
        }
    }

    /// Mailings rest in the queue until a batch is opened.
    pub fn is_batched(&self) -> bool {
        self.delivery == "batched"
    }

    /// The WAHA client for this account.
    pub fn waha(&self, app: &App) -> anyhow::Result<Waha> {
        let basic = match (self.behind_proxy, self.auth_user.as_str()) {
            (true, user) if !user.is_empty() => {
                let password = self.secret(&app.crypt, Secret::AuthPassword)?;
                Some((
                    user.to_owned(),
                    password.unwrap_or_else(|| SecretString::from(String::new())),
                ))
            }
            _ => None,
        };
        // Without an API key the password is tried as the key, as people fill the form.
        let api_key = match self.secret(&app.crypt, Secret::ApiKey)? {
            None if !self.behind_proxy => self.secret(&app.crypt, Secret::AuthPassword)?,
            key => key,
        };
        let address = WahaAddress {
            base_url: self.api_url.parse()?,
            api_key,
            basic,
            session: self.session.clone(),
        };
        Ok(Waha::new(self.watched(app, "waha"), address))
    }

    /// A client whose requests the Gateway Log knows as this account's.
    fn watched(&self, app: &App, gateway: &'static str) -> Http {
        app.http.of(Subject {
            gateway,
            account: self.id.0,
            company: self.company_id.0,
        })
    }

    /// Where the gateway posts its events.
    pub fn intake_url(&self, app: &App) -> String {
        format!(
            "{}/webhooks/{}/{}",
            app.config.public_url(),
            self.provider,
            self.account_key
        )
    }
}

/// The account, for its owner's administrators alone: a company that may use it reads it, and every other
/// company does not know it.
pub async fn owned(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    company: CompanyId,
) -> Result<Account> {
    let account = query::find(conn, id).await?;
    if account.company_id == company {
        Ok(account)
    } else if query::companies(conn, id).await?.contains(&company) {
        Err(Error::Refused(
            "This account belongs to another company. Only its administrators test, change and stop it.",
        ))
    } else {
        Err(Error::NotFound)
    }
}

/// Makes an account; also returns the key its webhooks are signed with, to be shown this once. `conn`
/// sees all companies, because those that may use the account are linked too.
pub async fn create(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    company: CompanyId,
    user: UserId,
    draft: AccountDraft,
) -> Result<(Account, SecretString)> {
    know_placeholders(conn, company, &draft).await?;
    let webhook_secret = draft
        .webhook_secret
        .clone()
        .unwrap_or_else(|| SecretString::from(crate::random::token(40)));
    let id: AccountId = diesel::insert_into(accounts::table)
        .values((
            accounts::company_id.eq(company),
            accounts::name.eq(&draft.name),
            accounts::provider.eq(draft.provider),
            accounts::send_through.eq(draft.send_through),
            accounts::delivery.eq(draft.delivery),
            accounts::webhook_verify_token.eq(crate::random::token(32)),
            accounts::account_key.eq(crate::random::token(32)),
            accounts::per_second.eq(draft.per_second),
            accounts::burst.eq(draft.burst),
            // Two drafts of one number meet in the unique index already here.
            accounts::api_url.eq(&draft.api_url),
            accounts::webhook_url.eq(&draft.webhook_url),
            accounts::session.eq(&draft.session),
            accounts::phone_uid.eq(&draft.phone_uid),
        ))
        // Not RETURNING through the policy of reading: the link that makes it visible comes next.
        .returning(accounts::id)
        .get_result(conn)
        .await
        .map_err(number_taken)?;
    share(conn, id, company, user, &draft).await?;
    seal(
        conn,
        crypt,
        id,
        company,
        Secret::WebhookSecret,
        &webhook_secret,
    )
    .await?;
    write(conn, crypt, id, company, &draft).await?;
    Ok((query::find(conn, id).await?, webhook_secret))
}

/// Changes an account of `company`. A changed secret or address makes it untested. `conn` sees all
/// companies.
pub async fn update(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    company: CompanyId,
    user: UserId,
    id: AccountId,
    draft: AccountDraft,
) -> Result<Account> {
    let before = owned(conn, id, company).await?;
    know_placeholders(conn, company, &draft).await?;
    let moved = before.provider != draft.provider
        || before.api_url != draft.api_url
        || before.session != draft.session
        || before.phone_uid != draft.phone_uid;
    if moved && query::has_messages(conn, id).await? {
        return Err(Error::invalid(
            "api_url",
            "Messages went through this account already: provider, address and number stay. Archive it and make a new account for another number.",
        ));
    }
    share(conn, id, company, user, &draft).await?;
    let shows_another = write(conn, crypt, id, company, &draft).await?;
    let secrets_changed = draft.secrets().any(|(_, value)| value.is_some());
    if moved
        || secrets_changed
        || shows_another
        || before.auth_user != draft.auth_user
        || before.send_through != draft.send_through
        || before.webhook_url != draft.webhook_url
        || before.behind_proxy != draft.behind_proxy
    {
        query::mark_untested(conn, id).await?;
    }
    Ok(query::find(conn, id).await?)
}

/// Refuses texts with placeholders that nobody could fill.
async fn know_placeholders(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    draft: &AccountDraft,
) -> Result<()> {
    let mut errors = FieldErrors::default();
    for (field, text) in [
        ("welcome_message", &draft.welcome_message),
        ("opt_out_confirmation", &draft.opt_out_confirmation),
    ] {
        for name in Template::parse(text).unknown(&merge::CONTACT) {
            let known = match name.strip_prefix("contact.") {
                Some(attribute) => query::attribute_exists(conn, company, attribute).await?,
                None => false,
            };
            if !known {
                errors.add(
                    field,
                    format!("{{{{{name}}}}} is not known. Use a field of the recipient, for example {{{{contact.name|there}}}}."),
                );
            }
        }
    }
    errors.or(Some(()))
}

/// Returns whether the flow behind the webhook is shown something else now.
async fn write(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    id: AccountId,
    company: CompanyId,
    draft: &AccountDraft,
) -> Result<bool> {
    query::write(conn, id, draft).await.map_err(number_taken)?;
    pulling::set(conn, id, company, draft.pulls).await?;
    for (which, value) in draft.secrets() {
        if let Some(value) = value.filter(|value| !value.expose_secret().is_empty()) {
            seal(conn, crypt, id, company, which, value).await?;
        }
    }
    flow::write(conn, crypt, id, company, draft).await
}

async fn seal(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    id: AccountId,
    company: CompanyId,
    which: Secret,
    value: &SecretString,
) -> Result<()> {
    let sealed = crypt.seal(which.place(id, company), value)?;
    query::store_secret(conn, id, which, sealed).await?;
    Ok(())
}

async fn share(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    company: CompanyId,
    user: UserId,
    draft: &AccountDraft,
) -> Result<()> {
    let (wanted, allowed) = (&draft.allowed_company_ids, &draft.allowed_user_ids);
    sharing::set(conn, id, company, user, wanted, allowed).await
}

/// Archives or brings back an account. Refused while a mailing is on its way through it, of whatever
/// company: `conn` sees all.
pub async fn set_active(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: AccountId,
    active: bool,
) -> Result<()> {
    owned(conn, id, company).await?;
    if !active {
        let busy = needed_by(conn, company, id).await?;
        if !busy.is_empty() {
            return Err(Error::conflict(format!(
                "This account is still needed by: {}. Cancel them or let them finish first.",
                busy.join(", ")
            )));
        }
    }
    query::set_active(conn, id, active)
        .await
        .map_err(number_taken)?;
    Ok(())
}

/// The mailings that still need the account; those of other companies as whose they are.
async fn needed_by(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: AccountId,
) -> Result<Vec<String>> {
    let busy = query::unfinished_mailings(conn, id).await?;
    let mut names: Vec<String> = Vec::new();
    for (owner, name, subject) in busy {
        let said = if owner == company { subject } else { name };
        if owner == company || !names.contains(&said) {
            names.push(said);
        }
    }
    Ok(names)
}

/// The account, when `user` may send through it now in the company of `conn`. The link to that company
/// is held until the transaction ends.
pub async fn usable(conn: &mut AsyncPgConnection, id: AccountId, user: UserId) -> Result<Account> {
    let link = query::hold_link(conn, id).await?;
    judged(conn, id, user, link).await
}

/// Why `user` cannot send through it now, as a sentence; `None`: nothing stands in the way. Holds nothing.
pub async fn obstacle(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    user: UserId,
) -> Result<Option<String>> {
    let link = query::link(conn, id).await?;
    match judged(conn, id, user, link).await {
        Ok(_) => Ok(None),
        Err(Error::Invalid(faults)) => Ok(faults.of("account_id").first().cloned()),
        Err(other) => Err(other),
    }
}

/// `link`: whether the company may use it; `None` where it never could.
async fn judged(
    conn: &mut AsyncPgConnection,
    id: AccountId,
    user: UserId,
    link: Option<bool>,
) -> Result<Account> {
    if link == Some(false) {
        return Err(Error::invalid(
            "account_id",
            "This company may not use this account any more. Choose another one.",
        ));
    }
    let account = query::find(conn, id).await.optional()?;
    let (Some(account), Some(true)) = (account, link) else {
        return Err(Error::invalid("account_id", "This account does not exist."));
    };
    if !account.active {
        return Err(Error::invalid(
            "account_id",
            "This account is archived. Choose another one.",
        ));
    }
    if !query::is_allowed(conn, id, user).await? {
        return Err(Error::invalid(
            "account_id",
            "You may not send through this account. Ask an administrator to allow you.",
        ));
    }
    Ok(account)
}

fn number_taken(error: diesel::result::Error) -> Error {
    match violated_constraint(&error) {
        Some("accounts_number_unique") => Error::invalid(
            "session",
            "Another account already uses this number (same address and Phone Number ID). Open that one instead.",
        ),
        _ => error.into(),
    }
}

/// Makes a new random value for a secret; returned this once.
pub async fn replace_secret(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    company: CompanyId,
    id: AccountId,
    which: Secret,
) -> Result<SecretString> {
    owned(conn, id, company).await?;
    let value = SecretString::from(crate::random::token(40));
    seal(conn, crypt, id, company, which, &value).await?;
    Ok(value)
}
