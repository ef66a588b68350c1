//! Signing in and out.
//!
//! Invariants: failures slow down by e-mail and by address; a wrong password and an unknown person look
//! and cost the same; signing in makes a new session id.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use askama::Template;
use secrecy::SecretString;

use crate::app::App;
use crate::auth::{self, Caller, failures, password};
use crate::error::{Error, Result};
use crate::i18n::Lang;
use crate::ids::CompanyId;
use crate::limits::Limits;
use crate::settings;
use crate::users::{self, User};
use crate::web::banners;
use crate::web::error::{WebError, WebResult};
use crate::web::form::{PostedAnywhere, Pressed, csrf_token, own_path, see_other};
use crate::web::page::{Menu, Shell, html, html_with};
use crate::web::session::{Signed, USER, shell, sign_in as begin};

#[derive(Template)]
#[template(path = "login/form.html")]
struct LoginPage {
    shell: Shell,
    email: String,
    next: String,
    fault: String,
}

#[derive(Debug, Default, serde::Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
    /// A form was posted that nobody was signed in for.
    lost: Option<String>,
    /// The same, and it comes back after signing in.
    kept: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
pub struct Login {
    email: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// The shell of pages before anybody is signed in.
pub fn signed_out(app: &App, session: &Session, request: &HttpRequest) -> Result<Shell> {
    let accepted = request
        .headers()
        .get("Accept-Language")
        .and_then(|value| value.to_str().ok());
    let mut shell = Shell::signed_out(Lang::parse(accepted.unwrap_or_default()), app.clock.now());
    shell.csrf = csrf_token(session)?;
    shell.banners.extend(banners::demo(app, shell.lang));
    shell.banners.extend(banners::plain_http(app, shell.lang));
    Ok(shell)
}

/// Browsers drop the cookie of a plain http page unless it comes from this machine.
fn cookie_would_be_dropped(app: &App, request: &HttpRequest) -> bool {
    let local = request
        .peer_addr()
        .is_some_and(|peer| peer.ip().is_loopback());
    !local && app.config.public_url.is_none()
}

pub async fn page(
    request: HttpRequest,
    session: Session,
    next: web::Query<Next>,
    app: web::Data<App>,
) -> WebResult {
    let shell = signed_out(&app, &session, &request)?;
    let is_set_up = {
        let mut conn = app.db.system().await?;
        settings::is_set_up(&mut conn).await?
    };
    let fault = if !is_set_up {
        shell.t("login.not_set_up")
    } else if cookie_would_be_dropped(&app, &request) {
        shell.t("login.plain_http")
    } else if next.kept.is_some() {
        shell.t("login.kept")
    } else if next.lost.is_some() {
        shell.t("login.lost")
    } else {
        String::new()
    };
    Ok(html_with(
        StatusCode::OK,
        LoginPage {
            shell,
            email: String::new(),
            next: next.next.clone(),
            fault,
        },
    ))
}

pub async fn sign_in(
    request: HttpRequest,
    session: Session,
    PostedAnywhere(login): PostedAnywhere<Login>,
    app: web::Data<App>,
    limits: web::Data<Limits>,
) -> WebResult {
    let address = request
        .peer_addr()
        .map(|peer| peer.ip().to_string())
        .unwrap_or_default();
    if let Err(after_seconds) = limits.sign_ins.check(&address) {
        return Err(Error::RateLimited { after_seconds }.into());
    }
    match check(&app, &login, &address).await? {
        Checked::Fits(user) => {
            begin(&session, &request, user.id)?;
            Ok(see_other(own_path(&login.next)))
        }
        Checked::Wrong { wait } => {
            let shell = signed_out(&app, &session, &request)?;
            let fault = if wait > 0 {
                shell.tf("login.wait", &[wait.to_string()])
            } else {
                shell.t("login.wrong")
            };
            Ok(html_with(
                StatusCode::UNPROCESSABLE_ENTITY,
                LoginPage {
                    shell,
                    email: login.email,
                    next: login.next,
                    fault,
                },
            ))
        }
    }
}

enum Checked {
    Fits(User),
    /// Seconds until another try counts.
    Wrong {
        wait: u64,
    },
}

async fn check(app: &App, login: &Login, address: &str) -> Result<Checked> {
    let subjects = [
        format!("email:{}", users::normalized(&login.email)),
        format!("address:{address}"),
    ];
    let now = app.clock.now();
    let user = {
        let mut conn = app.db.system().await?;
        for subject in &subjects {
            let wait = failures::wait(&mut conn, subject, now).await?;
            if wait > 0 {
                return Ok(Checked::Wrong { wait });
            }
        }
        users::find_by_email(&mut conn, &login.email)
            .await?
            .filter(|user| user.active)
    };
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    let fits = password::verify(SecretString::from(login.password.clone()), hash).await?;
    let mut conn = app.db.system().await?;
    match user {
        Some(user) if fits => {
            failures::forget(&mut conn, &subjects[0]).await?;
            Ok(Checked::Fits(user))
        }
        _ => {
            for subject in &subjects {
                failures::note(&mut conn, subject, now).await?;
            }
            Ok(Checked::Wrong { wait: 0 })
        }
    }
}

/// Whoever is not signed in any more has what they wanted.
pub async fn sign_out(
    session: Session,
    pressed: Result<PostedAnywhere<Pressed>, WebError>,
) -> WebResult {
    if session.contains_key(USER) {
        pressed?;
    }
    session.purge();
    let mut answer = see_other("/login");
    answer.headers_mut().insert(
        actix_web::http::header::HeaderName::from_static("clear-site-data"),
        actix_web::http::header::HeaderValue::from_static("\"cache\", \"storage\""),
    );
    Ok(answer)
}

#[derive(Debug, serde::Deserialize)]
pub struct Switch {
    company: i64,
}

async fn switch(app: &App, signed: &Signed, company: i64) -> Result<Caller> {
    let mut conn = app.db.system().await?;
    if users::switch_company(&mut conn, signed.user, CompanyId(company)).await? {
        auth::caller(&mut conn, signed.user, None).await
    } else {
        Err(Error::NotFound)
    }
}

/// Works in another company from now on.
pub async fn switch_company(
    signed: Signed,
    PostedAnywhere(to): PostedAnywhere<Switch>,
    app: web::Data<App>,
) -> WebResult {
    switch(&app, &signed, to.company).await?;
    Ok(see_other("/"))
}

#[derive(Template)]
#[template(path = "again.html")]
struct AgainPage {
    shell: Shell,
    action: String,
    fields: Vec<(String, String)>,
}

/// Back to the company of a form that was not taken: its address is `again`, its fields stand behind
/// `f.`. What was typed is shown to be sent from there.
pub async fn switch_back(
    request: HttpRequest,
    session: Session,
    signed: Signed,
    PostedAnywhere(kept): PostedAnywhere<Vec<(String, String)>>,
    app: web::Data<App>,
) -> WebResult {
    let field = |wanted: &str| {
        let found = kept.iter().find(|(name, _)| name == wanted);
        found.map_or("", |(_, value)| value.as_str())
    };
    let company = field("company").parse().map_err(|_| Error::NotFound)?;
    let signed = Signed(switch(&app, &signed, company).await?);
    let mut conn = app.db.company(signed.company).await?;
    let fields = kept
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("f.")?.to_owned(), value.clone())));
    Ok(html(AgainPage {
        action: own_path(field("again")).to_owned(),
        fields: fields.collect(),
        shell: shell(&app, &signed, &session, &request, Menu::None, &mut conn).await?,
    }))
}
