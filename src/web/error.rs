//! Errors as pages: what happened, what is safe, what to do next, and the request's id.
//!
//! A handler answers `WebResult`; `?` turns every [`Error`] into a page. Two steps: the error
//! itself answers a page that knows nobody, and the middleware [`pages`] puts it into the
//! person's own panel where somebody is signed in. Invariants: the chain behind `Internal` is logged once, here; a page never shows it.

use std::fmt;

use actix_session::SessionExt as _;
use actix_session::storage::{SaveError, UpdateError};
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT_LANGUAGE, HeaderMap, LOCATION, RETRY_AFTER};
use actix_web::middleware::Next;
use actix_web::{
    FromRequest as _, HttpMessage as _, HttpRequest, HttpResponse, ResponseError, web,
};
use askama::Template;
use chrono::{DateTime, Utc};
use tracing_actix_web::RequestId;

use crate::app::App;
use crate::error::Error;
use crate::i18n::Lang;
use crate::web::form::Typed;
use crate::web::page::{self, CompanyChoice, Menu, Shell};
use crate::web::security;
use crate::web::session::{self, Signed};

#[derive(Debug)]
pub struct WebError(pub Error);

pub type WebResult = Result<HttpResponse, WebError>;

impl<E: Into<Error>> From<E> for WebError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for WebError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for WebError {
    fn status_code(&self) -> StatusCode {
        match &self.0 {
            Error::NotFound => StatusCode::NOT_FOUND,
            Error::Forbidden | Error::Refused(_) | Error::StaleForm => StatusCode::FORBIDDEN,
            Error::SignIn => StatusCode::SEE_OTHER,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Conflict { .. } | Error::OtherCompany => StatusCode::CONFLICT,
            Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Error::Internal(source) = &self.0 {
            tracing::error!("{source:#}");
        }
        let shell = Shell::signed_out(Lang::En, DateTime::<Utc>::default());
        answer(
            shell,
            self.status_code(),
            Some(&self.0),
            None,
            "/login",
            None,
        )
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    status: u16,
    icon: &'static str,
    title: String,
    text: String,
    /// Faults of a form that could not be shown again.
    faults: Vec<String>,
    /// Verbs that are legal now, in the catalogue's words.
    legal: String,
    request: Option<String>,
    /// A form of another company, kept to be sent from there.
    kept: Option<Kept>,
}

/// The way back to the company a form belongs to, with what was typed.
struct Kept {
    company: CompanyChoice,
    typed: Typed,
}

fn answer(
    shell: Shell,
    status: StatusCode,
    error: Option<&Error>,
    request: Option<String>,
    login: &str,
    typed: Option<Typed>,
) -> HttpResponse {
    if matches!(error, Some(Error::SignIn)) {
        return HttpResponse::SeeOther()
            .insert_header((LOCATION, login))
            .finish();
    }
    let mut page = ErrorPage {
        status: status.as_u16(),
        icon: icon(status),
        title: shell.t(&format!("error.title.{}", known(status))),
        text: shell.t(&format!("error.text.{}", known(status))),
        faults: Vec::new(),
        legal: String::new(),
        request,
        kept: None,
        shell,
    };
    let mut retry_after = None;
    match error {
        Some(Error::Conflict { message, legal }) => {
            page.text = page.shell.say(message);
            let words: Vec<String> = legal
                .iter()
                .map(|verb| verb_word(&page.shell, verb))
                .collect();
            page.legal = words.join(", ");
        }
        Some(Error::Invalid(faults)) => {
            let sentences = faults.0.values().flatten();
            page.faults = sentences.map(|sentence| page.shell.say(sentence)).collect();
        }
        Some(Error::Refused(said)) => page.text = page.shell.say(said),
        Some(Error::StaleForm) => {
            page.title = page.shell.t("error.stale");
            page.text = page.shell.t("error.stale_text");
        }
        Some(Error::OtherCompany) => {
            page.title = page.shell.t("error.company");
            page.text = page.shell.t("error.company_text");
            page.kept = kept(&page.shell, typed);
        }
        Some(Error::RateLimited { after_seconds }) => {
            page.text = page
                .shell
                .tf("error.text.429", &[after_seconds.to_string()]);
            retry_after = Some(after_seconds.to_string());
        }
        Some(Error::Busy) => retry_after = Some("2".to_owned()),
        _ => {}
    }
    let mut response = page::html_with(status, page);
    if let Some(value) = retry_after.and_then(|seconds| seconds.parse().ok()) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

/// Only a company in which the person may still work leads back.
fn kept(shell: &Shell, typed: Option<Typed>) -> Option<Kept> {
    let typed = typed?;
    let company = shell
        .companies
        .iter()
        .find(|company| company.id == typed.company)?;
    Some(Kept {
        company: company.clone(),
        typed,
    })
}

/// The status whose words we have.
fn known(status: StatusCode) -> u16 {
    match status.as_u16() {
        known @ (400 | 403 | 404 | 409 | 413 | 422 | 429 | 500 | 503) => known,
        405 => 404,
        other if (400..500).contains(&other) => 400,
        _ => 500,
    }
}

fn icon(status: StatusCode) -> &'static str {
    match status.as_u16() {
        403 => "lock",
        404 => "zoom-question",
        other if other >= 500 => "alert-circle",
        _ => "alert-triangle",
    }
}

/// A verb in the words of its button, where the catalogue has them.
fn verb_word(shell: &Shell, verb: &str) -> String {
    let key = format!("verb.{verb}");
    let word = shell.t(&key);
    if word == key {
        verb.replace('_', " ")
    } else {
        word
    }
}

/// Any address the site map does not have.
pub async fn no_such_page() -> WebResult {
    Err(WebError(Error::NotFound))
}

/// Middleware of the panel: errors stand in the person's own panel and name the request.
pub async fn pages(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>, actix_web::Error> {
    let response = next.call(request).await?;
    let ours = |error: &actix_web::Error| error.as_error::<WebError>().is_some();
    // What leads somewhere else already is no page; only our own "sign in" learns the way back.
    let leads =
        response.status().is_redirection() && !response.response().error().is_some_and(ours);
    if response.response().error().is_none() || leads {
        return Ok(response.map_into_left_body());
    }
    let shell = own_shell(response.request()).await;
    let Some(error) = response.response().error() else {
        return Ok(response.map_into_left_body());
    };
    let own = error.as_error::<WebError>().map(|error| &error.0);
    let (request, status) = (response.request(), response.status());
    let dressed = dress(request, shell, status, own, response.headers());
    Ok(response.into_response(dressed).map_into_right_body())
}

/// Middleware around the sessions, which are in the database: while it is away, that is a page too.
pub async fn away(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let languages = request.headers().get(ACCEPT_LANGUAGE);
    let languages = languages.and_then(|value| value.to_str().ok());
    let lang = Lang::parse(languages.unwrap_or(""));
    let error = match next.call(request).await {
        Err(error) if is_of_session(&error) => error,
        done => return done,
    };
    tracing::warn!("a session could not be read or written: {error}");
    let shell = Shell::signed_out(lang, DateTime::<Utc>::default());
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    let mut page = answer(shell, busy, Some(&Error::Busy), None, "/login", None);
    security::guard(page.headers_mut());
    Err(InternalError::from_response("the sessions are away", page).into())
}

fn is_of_session(error: &actix_web::Error) -> bool {
    error.as_error::<InternalError<anyhow::Error>>().is_some()
        || error.as_error::<InternalError<SaveError>>().is_some()
        || error.as_error::<InternalError<UpdateError>>().is_some()
}

/// The panel of who asked, where somebody is signed in and the database answers.
async fn own_shell(request: &HttpRequest) -> Option<Shell> {
    let app = request.app_data::<web::Data<App>>()?;
    let signed = Signed::extract(request).await.ok()?;
    let session = request.get_session();
    let mut conn = app.db.company(signed.company).await.ok()?;
    session::shell(app, &signed, &session, request, Menu::None, &mut conn)
        .await
        .ok()
}

fn dress(
    request: &HttpRequest,
    shell: Option<Shell>,
    status: StatusCode,
    error: Option<&Error>,
    headers: &HeaderMap,
) -> HttpResponse {
    let id = request
        .extensions()
        .get::<RequestId>()
        .map(ToString::to_string);
    let shell = shell.unwrap_or_else(|| {
        let languages = request.headers().get(ACCEPT_LANGUAGE);
        let languages = languages
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        Shell::signed_out(Lang::parse(languages), DateTime::<Utc>::default())
    });
    let typed = request.extensions_mut().remove::<Typed>();
    let mut answer = answer(shell, status, error, id, &login(request), typed);
    for (name, value) in headers {
        // what the door itself said, such as a cookie to forget
        if !answer.headers().contains_key(name) && name.as_str() != "content-length" {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    answer
}

/// The sign-in page, which leads back to what was asked for.
fn login(request: &HttpRequest) -> String {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    if request.method() == actix_web::http::Method::GET && path != "/" {
        let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        format!("/login?next={next}")
    } else {
        "/login".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::from_fn;
    use actix_web::{App, test, web};

    use super::*;
    use crate::error::FieldErrors;

    async fn get(path: &str) -> (u16, String, String) {
        get_in("en", path).await
    }

    async fn get_in(language: &str, path: &str) -> (u16, String, String) {
        async fn fail(kind: web::Path<String>) -> WebResult {
            Err(WebError(match kind.as_str() {
                "sign-in" => Error::SignIn,
                "internal" => Error::Internal(anyhow::anyhow!("password of postgres")),
                "conflict" => Error::Conflict {
                    message: "Only a draft can be submitted.".to_owned(),
                    legal: vec!["cancel"],
                },
                "invalid" => Error::Invalid(FieldErrors::one("name", "<b>Too</b> long.")),
                "known" => Error::invalid("file", "The file is empty."),
                _ => Error::NotFound,
            }))
        }
        let app = App::new()
            .wrap(from_fn(pages))
            .route("/fail/{kind}", web::get().to(fail));
        let app = test::init_service(app).await;
        let request = test::TestRequest::get()
            .uri(path)
            .insert_header((ACCEPT_LANGUAGE, language))
            .to_request();
        let response = test::call_service(&app, request).await;
        let status = response.status().as_u16();
        let location = response
            .headers()
            .get(LOCATION)
            .map_or("", |value| value.to_str().unwrap())
            .to_owned();
        let body = String::from_utf8(test::read_body(response).await.to_vec()).unwrap();
        (status, location, body)
    }

    #[actix_web::test]
    async fn error_signed_out_leads_to_sign_in_and_back() {
        let (status, location, _) = get("/fail/sign-in?x=1&y=2").await;
        assert_eq!(
            (status, location.as_str()),
            (303, "/login?next=%2Ffail%2Fsign-in%3Fx%3D1%26y%3D2")
        );
    }

    #[actix_web::test]
    async fn error_an_internal_error_keeps_its_chain_to_itself() {
        let (status, _, body) = get("/fail/internal").await;
        assert_eq!(status, 500);
        assert!(
            body.contains("Something went wrong") && !body.contains("postgres"),
            "{body}"
        );
    }

    #[actix_web::test]
    async fn error_a_conflict_says_what_is_possible() {
        let (status, _, body) = get("/fail/conflict").await;
        assert_eq!(status, 409);
        assert!(
            body.contains("Only a draft can be submitted.") && body.contains("now: Cancel."),
            "{body}"
        );
    }

    #[actix_web::test]
    async fn error_faults_are_listed_and_escaped() {
        let (status, _, body) = get("/fail/invalid").await;
        assert_eq!(status, 422);
        assert!(
            body.contains("&#60;b&#62;Too") && !body.contains("<b>Too"),
            "{body}"
        );
    }

    #[actix_web::test]
    async fn error_a_sentence_of_the_domain_is_said_in_the_persons_language() {
        let (_, _, body) = get_in("id", "/fail/known").await;
        assert!(body.contains("Berkas ini kosong."), "{body}");
        let (_, _, body) = get("/fail/known").await;
        assert!(body.contains("The file is empty."), "{body}");
    }
}
