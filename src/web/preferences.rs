//! Preferences: one's own language, look, time zone and password.

use actix_web::web;
use askama::Template;
use diesel_async::AsyncConnection as _;
use secrecy::SecretString;

use crate::audit;
use crate::auth::{password, session as sessions};
use crate::error::{Error, FieldErrors, Result};
use crate::i18n::Lang;
use crate::users::{self, User};
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{self, PostedAnywhere, own_path, see_other};
use crate::web::page::{Menu, Shell, Theme, html_with};
use crate::web::session::sign_in;
use crate::web::visit::Visit;

#[derive(Template)]
#[template(path = "preferences/form.html")]
struct PreferencesPage {
    shell: Shell,
    zones: Vec<&'static str>,
    look: Look,
    errors: FieldErrors,
    stand: Stand,
}

impl PreferencesPage {
    fn is_chosen(&self, zone: &str) -> bool {
        self.look.time_zone == zone
    }
}

#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Look {
    language: String,
    theme: String,
    /// Blank: the company's.
    time_zone: String,
}

impl Look {
    /// What is stored, as the form shows it.
    fn of(user: &User) -> Self {
        Self {
            language: user.language.clone(),
            theme: user.theme.clone(),
            time_zone: user.time_zone.clone().unwrap_or_default(),
        }
    }
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

/// `typed`: what was typed, where it was not stored.
async fn render(visit: &Visit, typed: Option<Look>, mut errors: FieldErrors) -> WebResult {
    let user = users::find(&mut *visit.app.db.system().await?, visit.user).await?;
    let stored = Look::of(&user);
    let mut conn = visit.conn().await?;
    let shell = visit.shell(Menu::None, &mut conn).await?;
    let record = ("preferences", visit.user.0);
    let stand = Stand::of(visit, &mut conn, &shell, record, &stored, &mut errors).await?;
    let status = stand.status(&errors);
    Ok(html_with(
        status,
        PreferencesPage {
            shell,
            zones: zones(),
            look: typed.unwrap_or(stored),
            errors,
            stand,
        },
    ))
}

async fn page(visit: Visit) -> WebResult {
    render(&visit, None, FieldErrors::default()).await
}

/// Stores what was chosen, unless it changed since the form was filled.
async fn store(visit: &Visit, look: &Look) -> Result<()> {
    let (user, posted) = (visit.user, form::version(&visit.request));
    let language = Lang::parse(&look.language).as_str();
    let theme = Theme::parse(&look.theme).as_str();
    let zone = look.time_zone.parse::<chrono_tz::Tz>().ok();
    let mut system = visit.app.db.system().await?;
    system
        .transaction(async |conn| {
            audit::hold(conn, "preferences", user.0).await?;
            let before = Look::of(&users::find(conn, user).await?);
            edit::still(posted.as_deref(), &before)?;
            let zone = zone.map(|zone| zone.name());
            users::set_preferences(conn, user, language, theme, zone).await?;
            Ok(())
        })
        .await
}

async fn save(visit: Visit, PostedAnywhere(look): PostedAnywhere<Look>) -> WebResult {
    match store(&visit, &look).await {
        Ok(()) => Ok(see_other("/preferences")),
        Err(Error::Invalid(errors)) => render(&visit, Some(look), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn save_theme(visit: Visit, PostedAnywhere(chosen): PostedAnywhere<ThemeOnly>) -> WebResult {
    let user = users::find(&mut *visit.app.db.system().await?, visit.user).await?;
    let look = Look {
        theme: chosen.theme,
        ..Look::of(&user)
    };
    store(&visit, &look).await?;
    Ok(see_other(own_path(&chosen.next)))
}

async fn change_password(
    visit: Visit,
    PostedAnywhere(new): PostedAnywhere<NewPassword>,
) -> WebResult {
    let user = users::find(&mut *visit.app.db.system().await?, visit.user).await?;
    let mut errors = FieldErrors::default();
    if !password::verify(SecretString::from(new.current), user.password_hash).await? {
        errors.add("current", visit.t("preferences.wrong"));
    }
    if let Err(fault) = password::check(&new.password, &[&visit.name, &visit.email]) {
        errors.add("password", fault);
    }
    if !errors.is_empty() {
        return render(&visit, None, errors).await;
    }
    let hash = password::hash(SecretString::from(new.password)).await?;
    {
        let mut conn = visit.app.db.system().await?;
        users::set_password(&mut conn, visit.user, &hash).await?;
        sessions::end_others(&mut conn, visit.user, None).await?;
    }
    // All sessions are over, this one too: it goes on under a new id.
    sign_in(&visit.session, &visit.request, visit.user)?;
    visit.tell("preferences.changed");
    Ok(see_other("/preferences"))
}
