//! Preferences: one's own language, look, time zone and password.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use askama::Template;
use secrecy::SecretString;

use crate::app::App;
use crate::auth::{password, session as sessions};
use crate::error::{FieldErrors, Result};
use crate::i18n::Lang;
use crate::users;
use crate::web::error::WebResult;
use crate::web::form::{PostedAnywhere, flash, own_path, see_other};
use crate::web::page::{FlashKind, Menu, Shell, Theme, html_with};
use crate::web::session::{Signed, shell, sign_in};

#[derive(Template)]
#[template(path = "preferences/form.html")]
struct PreferencesPage {
    shell: Shell,
    zones: Vec<&'static str>,
    /// The person's own; empty: the company's.
    zone: String,
    errors: FieldErrors,
}

#[derive(Debug, serde::Deserialize)]
pub struct Look {
    language: String,
    theme: String,
    #[serde(default)]
    time_zone: String,
}

#[derive(Debug, serde::Deserialize)]
pub struct ThemeOnly {
    theme: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug, serde::Deserialize)]
pub struct NewPassword {
    current: String,
    password: String,
}

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/preferences", web::get().to(page))
        .route("/preferences", web::post().to(save))
        .route("/preferences/theme", web::post().to(save_theme))
        .route("/preferences/password", web::post().to(change_password));
}

/// Names of time zones that people choose from.
pub fn zones() -> Vec<&'static str> {
    chrono_tz::TZ_VARIANTS
        .iter()
        .map(|zone| zone.name())
        .filter(|name| name.contains('/'))
        .collect()
}

async fn render(
    request: &HttpRequest,
    session: &Session,
    signed: &Signed,
    app: &App,
    errors: FieldErrors,
) -> WebResult {
    let user = users::find(&mut *app.db.system().await?, signed.user).await?;
    let mut conn = app.db.company(signed.company).await?;
    let shell = shell(app, signed, session, request, Menu::None, &mut conn).await?;
    let status = if errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    Ok(html_with(
        status,
        PreferencesPage {
            shell,
            zones: zones(),
            zone: user.time_zone.unwrap_or_default(),
            errors,
        },
    ))
}

async fn page(
    request: HttpRequest,
    session: Session,
    signed: Signed,
    app: web::Data<App>,
) -> WebResult {
    render(&request, &session, &signed, &app, FieldErrors::default()).await
}

async fn store(
    app: &App,
    signed: &Signed,
    language: Lang,
    theme: Theme,
    zone: Option<&str>,
) -> Result<()> {
    let mut conn = app.db.system().await?;
    users::set_preferences(
        &mut conn,
        signed.user,
        language.as_str(),
        theme.as_str(),
        zone,
    )
    .await?;
    Ok(())
}

async fn save(
    signed: Signed,
    PostedAnywhere(look): PostedAnywhere<Look>,
    app: web::Data<App>,
) -> WebResult {
    let zone = look
        .time_zone
        .parse::<chrono_tz::Tz>()
        .ok()
        .map(|zone| zone.name());
    store(
        &app,
        &signed,
        Lang::parse(&look.language),
        Theme::parse(&look.theme),
        zone,
    )
    .await?;
    Ok(see_other("/preferences"))
}

async fn save_theme(
    signed: Signed,
    PostedAnywhere(chosen): PostedAnywhere<ThemeOnly>,
    app: web::Data<App>,
) -> WebResult {
    let user = users::find(&mut *app.db.system().await?, signed.user).await?;
    let language = Lang::parse(&signed.language);
    store(
        &app,
        &signed,
        language,
        Theme::parse(&chosen.theme),
        user.time_zone.as_deref(),
    )
    .await?;
    Ok(see_other(own_path(&chosen.next)))
}

async fn change_password(
    request: HttpRequest,
    session: Session,
    signed: Signed,
    PostedAnywhere(new): PostedAnywhere<NewPassword>,
    app: web::Data<App>,
) -> WebResult {
    let user = users::find(&mut *app.db.system().await?, signed.user).await?;
    let mut errors = FieldErrors::default();
    if !password::verify(SecretString::from(new.current), user.password_hash).await? {
        let lang = Lang::parse(&signed.language);
        errors.add("current", crate::i18n::t(lang, "preferences.wrong"));
    }
    if let Err(fault) = password::check(&new.password, &[&signed.name, &signed.email]) {
        errors.add("password", fault);
    }
    if !errors.is_empty() {
        return render(&request, &session, &signed, &app, errors).await;
    }
    let hash = password::hash(SecretString::from(new.password)).await?;
    {
        let mut conn = app.db.system().await?;
        users::set_password(&mut conn, signed.user, &hash).await?;
        sessions::end_others(&mut conn, signed.user, None).await?;
    }
    // All sessions are over, this one too: it goes on under a new id.
    sign_in(&session, &request, signed.user)?;
    flash(
        &session,
        FlashKind::Success,
        crate::i18n::t(Lang::parse(&signed.language), "preferences.changed"),
    );
    Ok(see_other("/preferences"))
}
