//! The page of the first start, guarded by the one-time token that the console shows.

use actix_session::Session;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use askama::Template;

use crate::app::App;
use crate::error::{Error, FieldErrors};
use crate::settings::{self, SetUpInput};
use crate::text::country;
use crate::web::error::WebResult;
use crate::web::form::{PostedAnywhere, flash, see_other};
use crate::web::login::signed_out;
use crate::web::page::{FlashKind, Shell, html_with};
use crate::web::preferences::zones;
use crate::web::session::sign_in;

#[derive(Template)]
#[template(path = "setup/form.html")]
struct SetUpPage {
    shell: Shell,
    token: String,
    input: SetUpInput,
    errors: FieldErrors,
    countries: &'static [(&'static str, &'static str)],
    zones: Vec<&'static str>,
}

#[derive(Debug, Default, serde::Deserialize)]
pub struct Token {
    #[serde(default)]
    token: String,
}

#[derive(Debug, serde::Deserialize)]
pub struct SetUpForm {
    #[serde(default)]
    token: String,
    #[serde(flatten)]
    input: SetUpInput,
}

impl SetUpPage {
    fn new(shell: Shell, token: String, input: SetUpInput, errors: FieldErrors) -> Self {
        Self {
            shell,
            token,
            input,
            errors,
            countries: country::ALL,
            zones: zones(),
        }
    }
}

pub async fn page(
    request: HttpRequest,
    session: Session,
    token: web::Query<Token>,
    app: web::Data<App>,
) -> WebResult {
    if !settings::setup_token_fits(&app, &token.token).await? {
        return Ok(see_other("/login"));
    }
    let shell = signed_out(&app, &session, &request)?;
    let input = SetUpInput {
        country: "ID".to_owned(),
        time_zone: "Asia/Jakarta".to_owned(),
        ..SetUpInput::default()
    };
    Ok(html_with(
        StatusCode::OK,
        SetUpPage::new(shell, token.token.clone(), input, FieldErrors::default()),
    ))
}

pub async fn set_up(
    request: HttpRequest,
    session: Session,
    PostedAnywhere(form): PostedAnywhere<SetUpForm>,
    app: web::Data<App>,
) -> WebResult {
    if !settings::setup_token_fits(&app, &form.token).await? {
        return Ok(see_other("/login"));
    }
    match settings::set_up(&app, &form.input).await {
        Ok((_, user)) => {
            sign_in(&session, &request, user)?;
            let shell = signed_out(&app, &session, &request)?;
            flash(&session, FlashKind::Success, shell.t("setup.done"));
            Ok(see_other("/accounts/new"))
        }
        Err(Error::Invalid(errors)) => {
            let shell = signed_out(&app, &session, &request)?;
            let input = SetUpInput {
                password: String::new(),
                ..form.input
            };
            Ok(html_with(
                StatusCode::UNPROCESSABLE_ENTITY,
                SetUpPage::new(shell, form.token, input, errors),
            ))
        }
        Err(other) => Err(other.into()),
    }
}
