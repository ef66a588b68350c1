//! *Callbacks for n8n flows*: the addresses a flow reports to, and the company's token for them. Part of
//! the page of an account that sends through a webhook.
//!
//! Invariant: a token is shown once. Between the press and the page it rests sealed in the session.

use actix_web::web;
use diesel_async::AsyncPgConnection;
use secrecy::{ExposeSecret as _, SecretString};

use crate::accounts::callback_token::{self, State};
use crate::accounts::owned;
use crate::audit;
use crate::auth::Role;
use crate::crypt::Place;
use crate::error::Result;
use crate::ids::AccountId;
use crate::web::assets::asset;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::visit::Visit;

/// Where the sealed token waits for the page that shows it.
const WAITING: &str = "callback_token";

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
    pub async fn load(visit: &Visit, conn: &mut AsyncPgConnection) -> Result<Self> {
        let ours = visit.app.config.public_url();
        Ok(Self {
            addresses: ADDRESSES
                .into_iter()
                .map(|(purpose, name)| (purpose, format!("{ours}/isi/{name}")))
                .collect(),
            workflow: asset("n8n-workflow.json"),
            state: callback_token::state(conn, visit.company).await?,
            fresh: take(visit),
        })
    }
}

fn place(visit: &Visit) -> Place<'static> {
    Place {
        table: "sessions",
        row: visit.user.0,
        column: WAITING,
        company: visit.company.0,
    }
}

/// The token that was just made; the second look finds none.
fn take(visit: &Visit) -> Option<String> {
    let sealed: String = visit.session.remove_as(WAITING)?.ok()?;
    let token = visit
        .app
        .crypt
        .open(place(visit), &hex::decode(sealed).ok()?)
        .ok()?;
    Some(token.expose_secret().to_owned())
}

fn put(visit: &Visit, token: &SecretString) -> Result<()> {
    let sealed = visit.app.crypt.seal(place(visit), token)?;
    visit
        .session
        .insert(WAITING, hex::encode(sealed))
        .map_err(anyhow::Error::new)?;
    Ok(())
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
    put(&visit, &token)?;
    Ok(see_other(format!("/accounts/{id}#callbacks")))
}
