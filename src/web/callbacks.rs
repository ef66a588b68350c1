//! *Callbacks for n8n flows*: the addresses a flow reports to, and the company's token for them. Part of
//! the page of an account that sends through a webhook.
//!
//! Invariant: a token is shown once (`once`).

use actix_web::web;
use diesel_async::AsyncPgConnection;
use secrecy::ExposeSecret as _;

use crate::accounts::callback_token::{self, State};
use crate::accounts::owned;
use crate::audit;
use crate::auth::Role;
use crate::error::Result;
use crate::ids::AccountId;
use crate::web::assets::asset;
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

/// What the box shows.
pub struct Callbacks {
    pub addresses: Vec<(&'static str, String)>,
    pub workflow: String,
    pub state: Option<State>,
    /// Shown this once.
    pub fresh: Option<String>,
}

impl Callbacks {
    pub async fn load(visit: &Visit, conn: &mut AsyncPgConnection, id: AccountId) -> Result<Self> {
        let ours = visit.app.config.public_url();
        Ok(Self {
            addresses: ADDRESSES
                .into_iter()
                .map(|(purpose, name)| (purpose, format!("{ours}/isi/{name}")))
                .collect(),
            workflow: asset("n8n-workflow.json"),
            state: callback_token::state(conn, visit.company).await?,
            fresh: once::take(visit, &page(id)),
        })
    }
}

/// Where the box stands.
fn page(id: AccountId) -> String {
    format!("/accounts/{id}#callbacks")
}

/// *Make a token*, *Regenerate*: the page that follows shows it, and a reload of that page makes no other.
pub async fn make_token(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = AccountId(*id);
    let mut conn = visit.conn().await?;
    owned(&mut conn, id, visit.company).await?;
    let token = callback_token::make(&mut conn, visit.company, visit.user).await?;
    let (company, by) = (visit.company, Some(visit.user));
    audit::note(
        &mut conn,
        company,
        "accounts",
        id.0,
        by,
        "new callback token",
        None,
    )
    .await?;
    conn.commit().await?;
    once::keep(&visit, &page(id), token.expose_secret())?;
    Ok(see_other(page(id)))
}
