//! *Callbacks for n8n flows*: the addresses a flow reports to, the company's token for them, and the account's
//! secret for signed events. Part of
//! the page of an account that sends through a webhook.
//!
//! Invariant: a token and a secret are shown once (`once`).

use actix_web::web;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use secrecy::ExposeSecret as _;

use crate::accounts::callback_token::{self, State};
use crate::accounts::flow::{self, Flow};
use crate::accounts::{Account, owned};
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::web::accounts::noted;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::once;
use crate::web::visit::Visit;

/// Purpose and address of each callback.
const ADDRESSES: [(&str, &str); 4] = [
    ("callbacks.logsent", "create_logsent"),
    ("callbacks.incoming", "wa_incoming"),
    ("callbacks.config", "wa_config"),
    ("callbacks.cleanup", "cleanup_message"),
];

/// What a flow posts, as the page shows it.
pub const EXAMPLE: &str = r#"{"events": [
  {"id": "e-1", "sent_id": "42", "status": "sent",
   "provider_id": "true_6281234@c.us_3EB0A"},
  {"id": "e-2", "sent_id": "43", "status": "failed",
   "error": "not on WhatsApp"},
  {"id": "e-3", "kind": "incoming", "from": "6281234",
   "to": "628111", "name": "Budi", "text": "Hi"}
]}"#;

/// What the box shows.
pub struct Callbacks {
    pub addresses: Vec<(&'static str, String)>,
    pub state: Option<State>,
    /// Shown this once.
    pub fresh: Option<String>,
    pub signed: Signed,
}

/// The account's own address for signed events.
pub struct Signed {
    pub address: String,
    /// Since when there is a secret for them.
    pub made_at: Option<DateTime<Utc>>,
    /// The secret, this once.
    pub fresh: Option<String>,
}

impl Callbacks {
    /// `at`: the page that shows it, where a token that was just made waits.
    pub async fn load(
        visit: &Visit,
        conn: &mut AsyncPgConnection,
        account: &Account,
        flow: &Flow,
        at: &str,
    ) -> Result<Self> {
        let id = account.id;
        let ours = visit.app.config.public_url();
        Ok(Self {
            addresses: ADDRESSES
                .into_iter()
                .map(|(purpose, name)| (purpose, format!("{ours}/isi/{name}")))
                .collect(),
            state: callback_token::state(conn, visit.company).await?,
            fresh: once::take(visit, at),
            signed: Signed {
                address: account.flow_url(&visit.app),
                made_at: flow.callback_made_at,
                fresh: once::take(visit, &signed_page(id)),
            },
        })
    }
}

/// Where the box stands on the account's page.
pub fn page(id: AccountId) -> String {
    format!("/accounts/{id}#callbacks")
}

fn signed_page(id: AccountId) -> String {
    format!("/accounts/{id}#flow")
}

/// *Make a secret*, *Regenerate* of the signed events.
pub async fn make_secret(
    visit: Visit,
    id: web::Path<i64>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = AccountId(*id);
    let mut conn = visit.conn().await?;
    let account = owned(&mut conn, id, visit.company).await?;
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    if !account.sends_through_webhook() {
        return Err(Error::conflict("This account does not send through a webhook.").into());
    }
    let secret = flow::make_callback_secret(&mut conn, &visit.app.crypt, &account).await?;
    noted(&visit, &mut conn, id, "flow_secret").await?;
    visit.leads_to(&mut conn, &signed_page(id)).await?;
    conn.commit().await?;
    once::keep(&visit, &signed_page(id), secret.expose_secret())?;
    Ok(see_other(signed_page(id)))
}

/// *Make a token*, *Regenerate*: the page that follows shows it, and a reload of that page makes no other.
pub async fn make_token(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = AccountId(*id);
    make(&visit, id, &page(id)).await
}

/// Makes a token that the page `at` shows.
pub async fn make(visit: &Visit, id: AccountId, at: &str) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    owned(&mut conn, id, visit.company).await?;
    // A second press would end the token that the first one shows.
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    let token = callback_token::renew(&mut conn, visit.company, visit.user, None).await?;
    noted(visit, &mut conn, id, "callback_token").await?;
    visit.leads_to(&mut conn, at).await?;
    conn.commit().await?;
    once::keep(visit, at, token.expose_secret())?;
    Ok(see_other(at.to_owned()))
}
