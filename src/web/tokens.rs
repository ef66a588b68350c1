//! API tokens: made, shown once, ended.

use actix_web::web;
use askama::Template;

use crate::auth::token::{self, Listed};
use crate::auth::{Role, token::create};
use crate::error::Error;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::once;
use crate::web::page::{Menu, Shell, html};
use crate::web::visit::Visit;

#[derive(Template)]
#[template(path = "tokens/list.html")]
struct TokensPage {
    shell: Shell,
    tokens: Vec<Listed>,
    /// Shown this once.
    fresh: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct NewToken {
    name: String,
}

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/tokens", web::get().to(list))
        .route("/tokens", web::post().to(new))
        .route("/tokens/{id:[0-9]+}/revoke", web::post().to(revoke));
}

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    Ok(html(TokensPage {
        tokens: token::all(&mut conn).await?,
        fresh: once::take(&visit, "/tokens"),
        shell: visit.shell(Menu::Technical, &mut conn).await?,
    }))
}

/// The token waits sealed for the next look at the list: a reload shows it no more and makes no other.
async fn new(visit: Visit, Posted(new): Posted<NewToken>) -> WebResult {
    visit.require(Role::Administrator)?;
    let name = new.name.trim();
    if name.is_empty() {
        return Err(Error::invalid("name", visit.t("tokens.name_first")).into());
    }
    let mut conn = visit.conn().await?;
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    let fresh = create(&mut conn, visit.company, visit.user, name, &[]).await?;
    visit.leads_to(&mut conn, "/tokens").await?;
    conn.commit().await?;
    once::keep(&visit, "/tokens", &fresh)?;
    Ok(see_other("/tokens"))
}

async fn revoke(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    if !token::revoke(&mut conn, *id).await? {
        return Err(Error::NotFound.into());
    }
    conn.commit().await?;
    visit.tell("tokens.revoked");
    Ok(see_other("/tokens"))
}
