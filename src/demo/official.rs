//! The demo's second number: an official one at Meta, which the same simulator stands for, with its templates and a
//! mailing on one of them.
//!
//! Invariant: everything goes through the verbs of the panel, as with the first account.

use std::net::SocketAddr;

use anyhow::Context as _;
use diesel_async::AsyncConnection as _;

use super::story::HASTE;
use super::{API_KEY, OFFICIAL, people};
use crate::accounts::{self, Account, AccountInput};
use crate::app::App;
use crate::error::Error;
use crate::ids::{AccountId, CompanyId, ListId, MailingId, UserId};
use crate::mailings::{self, MailingInput};
use crate::simulator::meta::{PHONES, WABA};
use crate::simulator::{Running, Webhook};
use crate::{lists, templates};

/// The secret of the app that the simulator's posts are signed with.
const APP_SECRET: &str = "simulated-app-secret";
const TEMPLATE: &str = "weekend_promo";

/// Creates the account, subscribes the app, copies the templates and tests the connection.
pub async fn connect(
    app: &App,
    company: CompanyId,
    user: UserId,
    simulator: &Running,
    ours: SocketAddr,
) -> Result<AccountId, Error> {
    let (per_second, burst) = HASTE;
    let input = AccountInput {
        name: OFFICIAL.to_owned(),
        provider: "meta".to_owned(),
        send_through: "api".to_owned(),
        delivery: "direct".to_owned(),
        app_uid: "42".to_owned(),
        app_secret: APP_SECRET.to_owned(),
        base_url: simulator.url(),
        account_uid: WABA.to_owned(),
        phone_uid: PHONES[0].to_owned(),
        token: API_KEY.to_owned(),
        per_second: per_second.to_string(),
        burst: burst.to_string(),
        auto_pause_percent: "50".to_owned(),
        ..AccountInput::default()
    };
    let draft = input.parse()?;
    let mut conn = app.db.system().await?;
    let (account, _) = conn
        .transaction(async |conn| accounts::create(conn, &app.crypt, company, user, draft).await)
        .await?;
    drop(conn);
    simulator.post_meta_to(webhook(&account, ours));
    account
        .meta(app)?
        .subscribe()
        .await
        .map_err(|error| Error::conflict(error.reason().to_owned()))?;
    accounts::test::run(app, company, account.id).await?;
    templates::sync::run(app, company, account.id).await?;
    Ok(account.id)
}

/// Where the simulator's events of this account go.
pub fn webhook(account: &Account, ours: SocketAddr) -> Webhook {
    Webhook {
        url: format!("http://{ours}/webhooks/meta/{}", account.account_key),
        hmac_key: APP_SECRET.to_owned(),
    }
}

/// A mailing on a template to the resellers.
pub async fn draft(
    app: &App,
    company: CompanyId,
    by: UserId,
    account: AccountId,
) -> Result<MailingId, Error> {
    let mut conn = app.db.company(company).await?;
    let list_ids = lists::choices(&mut conn).await?;
    let list_ids = list_ids
        .into_iter()
        .filter(|list| list.name == people::RESELLERS)
        .map(|list| {
            let ListId(id) = list.id;
            id
        })
        .collect();
    let template = templates::query::choices(&mut conn).await?;
    let template = template
        .into_iter()
        .map(|(template, _)| template)
        .find(|template| template.name == TEMPLATE)
        .context("the simulator has no such template")?;
    let values = [
        ("body.1", "{{contact.name|Kak}}"),
        ("body.2", "20 %"),
        ("button.0", "akhir-pekan"),
    ];
    let input = MailingInput {
        subject: "Promo resmi lewat templat".to_owned(),
        account_id: account.to_string(),
        responsible_id: by.to_string(),
        recipients: "lists".to_owned(),
        list_ids,
        header_type: "none".to_owned(),
        template_id: template.id.to_string(),
        template_keys: values.iter().map(|(key, _)| (*key).to_owned()).collect(),
        template_texts: values.iter().map(|(_, text)| (*text).to_owned()).collect(),
        ..MailingInput::default()
    };
    let draft = input.parse(chrono_tz::Asia::Jakarta)?;
    let mailing = mailings::create(&mut conn, company, by, &draft).await?;
    conn.commit().await?;
    Ok(mailing.id)
}
