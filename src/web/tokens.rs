//! API tokens: made, shown once, ended.

use actix_session::Session;
use actix_web::{HttpRequest, web};
use askama::Template;

use crate::app::App;
use crate::auth::token::{self, Listed};
use crate::auth::{Role, token::create};
use crate::error::Error;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, flash, see_other};
use crate::web::page::{FlashKind, Menu, Shell, html};
use crate::web::session::{Signed, shell};

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
        .route("/tokens/{id}/revoke", web::post().to(revoke));
}

async fn render(
    request: &HttpRequest,
    session: &Session,
    signed: &Signed,
    app: &App,
    fresh: Option<String>,
) -> WebResult {
    signed.require(Role::Administrator)?;
    let mut conn = app.db.company(signed.company).await?;
    let tokens = token::all(&mut conn).await?;
    let shell = shell(app, signed, session, request, Menu::Technical, &mut conn).await?;
    Ok(html(TokensPage {
        shell,
        tokens,
        fresh,
    }))
}

async fn list(
    request: HttpRequest,
    session: Session,
    signed: Signed,
    app: web::Data<App>,
) -> WebResult {
    render(&request, &session, &signed, &app, None).await
}

/// Answers with the page itself: the token must not stand in an address or a session.
async fn new(
    request: HttpRequest,
    session: Session,
    signed: Signed,
    Posted(new): Posted<NewToken>,
    app: web::Data<App>,
) -> WebResult {
    signed.require(Role::Administrator)?;
    if new.name.trim().is_empty() {
        let lang = crate::i18n::Lang::parse(&signed.language);
        let said = crate::i18n::t(lang, "tokens.name_first");
        return Err(Error::invalid("name", said).into());
    }
    let mut conn = app.db.company(signed.company).await?;
    let fresh = create(&mut conn, signed.company, signed.user, new.name.trim(), &[]).await?;
    conn.commit().await?;
    render(&request, &session, &signed, &app, Some(fresh)).await
}

async fn revoke(
    session: Session,
    signed: Signed,
    id: web::Path<i64>,
    Posted(_): Posted<Pressed>,
    app: web::Data<App>,
) -> WebResult {
    signed.require(Role::Administrator)?;
    let mut conn = app.db.company(signed.company).await?;
    if !token::revoke(&mut conn, *id).await? {
        return Err(Error::NotFound.into());
    }
    conn.commit().await?;
    flash(
        &session,
        FlashKind::Success,
        crate::i18n::t(crate::i18n::Lang::parse(&signed.language), "tokens.revoked"),
    );
    Ok(see_other("/tokens"))
}
