//! Where a one-time link leads: whoever holds it chooses a password and is signed in.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use askama::Template;

use crate::app::App;
use crate::auth::link;
use crate::error::{Error, FieldErrors, Result};
use crate::i18n::Lang;
use crate::users::User;
use crate::web::error::WebResult;
use crate::web::form::{PostedAnywhere, flash, see_other};
use crate::web::login::signed_out;
use crate::web::page::{FlashKind, Shell, html_with};
use crate::web::session::sign_in;

#[derive(Template)]
#[template(path = "join/form.html")]
struct JoinPage {
    shell: Shell,
    person: User,
    token: String,
    errors: FieldErrors,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Join {
    token: String,
    password: String,
}

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/join", web::get().to(page))
        .route("/join", web::post().to(join));
}

async fn render(
    request: &HttpRequest,
    session: &Session,
    app: &App,
    token: String,
    errors: FieldErrors,
) -> WebResult {
    let person = {
        let mut conn = app.db.system().await?;
        link::guest(&mut conn, &token, app.clock.now()).await?
    };
    let mut shell = signed_out(app, session, request)?;
    shell.lang = Lang::parse(&person.language);
    let status = if errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let page = JoinPage {
        shell,
        person,
        token,
        errors,
    };
    Ok(html_with(status, page))
}

async fn page(
    request: HttpRequest,
    session: Session,
    join: web::Query<Join>,
    app: web::Data<App>,
) -> WebResult {
    let token = join.token.clone();
    render(&request, &session, &app, token, FieldErrors::default()).await
}

async fn join(
    request: HttpRequest,
    session: Session,
    PostedAnywhere(join): PostedAnywhere<Join>,
    app: web::Data<App>,
) -> WebResult {
    match link::join(&app, &join.token, &join.password).await {
        Ok(user) => {
            sign_in(&session, &request, user)?;
            welcome(&app, &session, user).await?;
            Ok(see_other("/"))
        }
        Err(Error::Invalid(errors)) => render(&request, &session, &app, join.token, errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn welcome(app: &App, session: &Session, user: crate::ids::UserId) -> Result<()> {
    let mut conn = app.db.system().await?;
    let person = crate::users::find(&mut conn, user).await?;
    let lang = Lang::parse(&person.language);
    let said = crate::i18n::t(lang, "join.done");
    flash(session, FlashKind::Success, said);
    Ok(())
}
