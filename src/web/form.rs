//! Posted forms: from this page, by this person, or not at all.
//!
//! Invariants: the token of the session is compared in constant time; a request that another site caused
//! is refused; a page of one company writes nothing into another; GET never writes.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;

use actix_session::{Session, SessionExt as _};
use actix_web::dev::Payload;
use actix_web::http::header::{HOST, LOCATION, ORIGIN};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, web};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{CompanyId, UserId};
use crate::random;
use crate::users;
use crate::web::error::WebError;
use crate::web::page::{Flash, FlashKind};

const CSRF: &str = "csrf";
const VERSION: &str = "version";

/// What the posted form was filled from; see `web::edit`.
#[derive(Clone)]
struct Version(String);

/// Which press of which page's button a posted form is: the same form sent again is the same press.
#[derive(Clone)]
struct Press(Vec<u8>);

impl Press {
    fn of(request: &HttpRequest, token: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [token.as_bytes(), request.path().as_bytes(), body] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().to_vec())
    }
}

/// Which press an upload is, whose body is never whole in memory: what stands for it is given.
pub fn uploads_as(request: &HttpRequest, token: &str, body: &[u8]) {
    let press = Press::of(request, token, body);
    request.extensions_mut().insert(press);
}

/// The posted form's press, for `presses`; empty where nothing was posted.
pub fn press(request: &HttpRequest) -> Vec<u8> {
    let press = request.extensions().get::<Press>().cloned();
    press.map(|press| press.0).unwrap_or_default()
}

/// What a page that is filled again was filled from the first time.
pub fn stands_on(request: &HttpRequest, version: String) {
    request.extensions_mut().insert(Version(version));
}

/// The posted form's version, where it carries one.
pub fn version(request: &HttpRequest) -> Option<String> {
    let posted = request.extensions().get::<Version>().cloned();
    posted
        .map(|version| version.0)
        .filter(|version| !version.is_empty())
}

/// The session's token and the page's mark, for the forms of one page.
pub fn csrf_token(session: &Session) -> Result<String> {
    marked(session, "-")
}

/// The key under which a session remembers its user.
pub const USER: &str = "user";

/// The token, whose page it stands on, and which showing of it.
fn marked(session: &Session, company: &str) -> Result<String> {
    let token = session_token(session)?;
    Ok(format!("{token}.{company}.{}", random::token(12)))
}

/// The session's token, made when it has none.
fn session_token(session: &Session) -> Result<String> {
    if let Ok(Some(token)) = session.get::<String>(CSRF) {
        return Ok(token);
    }
    let token = random::token(40);
    session
        .insert(CSRF, &token)
        .map_err(|error| anyhow::anyhow!("keeping the form's token: {error}"))?;
    Ok(token)
}

/// The same for forms of a page that shows a company's records: it says which, so that a page from before
/// the person switched to another company writes nothing there.
pub fn company_token(session: &Session, company: CompanyId) -> Result<String> {
    marked(session, &company.to_string())
}

/// The company of the page that a token stood on.
fn company_of(given: &str) -> Option<CompanyId> {
    given.split('.').nth(1)?.parse().ok().map(CompanyId)
}

/// Refuses a form from a page of another company than the one the person works in now.
pub async fn check_company(app: &App, session: &Session, given: &str) -> Result<()> {
    let user: Option<UserId> = session.get(USER).ok().flatten();
    let (Some(user), Some(company)) = (user, company_of(given)) else {
        return Ok(());
    };
    let now = users::find(&mut *app.db.system().await?, user).await?;
    if now.active_company_id == company {
        Ok(())
    } else {
        Err(Error::OtherCompany)
    }
}

/// Names and values, in their order.
pub type Fields = Vec<(String, String)>;

/// A form that was not taken, because it belongs to another company.
#[derive(Debug, Clone)]
pub struct Typed {
    pub company: CompanyId,
    pub action: String,
    pub fields: Fields,
}

/// The same, and keeps the fields for the page that says so.
pub async fn require_company(
    request: &HttpRequest,
    app: &App,
    session: &Session,
    token: &str,
    fields: &Fields,
) -> Result<()> {
    let checked = check_company(app, session, token).await;
    if let (Err(Error::OtherCompany), Some(company)) = (&checked, company_of(token)) {
        let mut fields = fields.clone();
        fields.retain(|(name, _)| name != CSRF);
        request.extensions_mut().insert(Typed {
            company,
            action: request.path().to_owned(),
            fields,
        });
    }
    checked
}

/// Whether a posted form comes from a page of this session.
pub fn check(session: &Session, given: &str) -> Result<()> {
    let given = given.split_once('.').map_or(given, |(token, _)| token);
    let wanted: Option<String> = session.get(CSRF).ok().flatten();
    let fits = wanted.is_some_and(|wanted| bool::from(wanted.as_bytes().ct_eq(given.as_bytes())));
    if fits { Ok(()) } else { Err(Error::StaleForm) }
}

/// Whether the request was caused by one of our own pages, as far as the browser tells.
pub fn check_origin(request: &HttpRequest) -> Result<()> {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if header("Sec-Fetch-Site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Error::Forbidden);
    }
    let origin = header(ORIGIN.as_str())
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    match (origin, header(HOST.as_str())) {
        (Some(origin), Some(host)) if origin != host => Err(Error::Forbidden),
        _ => Ok(()),
    }
}

/// The fields of a posted form; repeated ones are lists. It is taken only in the company of its page.
#[derive(Debug)]
pub struct Posted<T>(pub T);

/// The same for forms that belong to a person, not to a company.
#[derive(Debug)]
pub struct PostedAnywhere<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Posted<T> {
    type Error = WebError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, WebError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request, payload);
        let (session, request) = (request.get_session(), request.clone());
        Box::pin(async move {
            let (form, fields) = read.await?;
            let token = token(&fields).to_owned();
            let Some(app) = request.app_data::<web::Data<App>>() else {
                return Ok(Self(form));
            };
            require_company(&request, app, &session, &token, &fields).await?;
            Ok(Self(form))
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for PostedAnywhere<T> {
    type Error = WebError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, WebError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let read = read(request, payload);
        Box::pin(async move { Ok(Self(read.await?.0)) })
    }
}

fn token(fields: &Fields) -> &str {
    let token = fields.iter().find(|(name, _)| name == CSRF);
    token.map_or("", |(_, token)| token.as_str())
}

/// The form and its fields as they came, from a page of this session.
fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<(T, Fields), WebError>> + use<T> {
    let bytes = web::Bytes::from_request(request, payload);
    let session = request.get_session();
    let origin = check_origin(request);
    let request = request.clone();
    async move {
        origin?;
        let body = bytes.await.map_err(|_| {
            Error::invalid(
                "form",
                "The form is too large. Shorten the longest text in it.",
            )
        })?;
        let body = without_nul(&body);
        let fields: Fields = serde_html_form::from_bytes(&body)
            .map_err(|_| Error::invalid("form", "The form could not be read."))?;
        check(&session, token(&fields))?;
        let press = Press::of(&request, token(&fields), &body);
        request.extensions_mut().insert(press);
        if let Some((_, version)) = fields.iter().find(|(name, _)| name == VERSION) {
            stands_on(&request, version.clone());
        }
        let form = serde_html_form::from_bytes(&body).map_err(|error| {
            Error::invalid("form", format!("The form could not be read: {error}"))
        })?;
        Ok((form, fields))
    }
}

/// A form's body without the character that no text of a database can hold.
fn without_nul(body: &[u8]) -> Cow<'_, [u8]> {
    let is_nul = |at: &[u8]| at == b"%00";
    if body.windows(3).any(is_nul) || body.contains(&0) {
        let text = String::from_utf8_lossy(body).replace("%00", "");
        Cow::Owned(text.replace('\0', "").into_bytes())
    } else {
        Cow::Borrowed(body)
    }
}

/// A form without fields: only the press of its button.
#[derive(Debug, serde::Deserialize)]
pub struct Pressed {}

/// Tells something once, on the next page.
pub fn flash(session: &Session, kind: FlashKind, text: impl Into<String>) {
    let mut waiting: Vec<Flash> = session.get("flash").ok().flatten().unwrap_or_default();
    waiting.push(Flash {
        kind,
        text: text.into(),
    });
    // A word that is lost is no reason to fail what succeeded.
    let _ = session.insert("flash", waiting);
}

/// 303, the answer to every form that succeeded.
pub fn see_other(location: impl Into<String>) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, location.into()))
        .finish()
}

/// `next` when it is a path of this site, else the first page.
pub fn own_path(next: &str) -> &str {
    let plain = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\r', '\n', '\t'])
        && next.chars().all(|letter| !letter.is_control());
    if plain { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site_are_gone_to() {
        for evil in [
            "//evil.example",
            "/\\evil",
            "https:evil",
            "https://evil.example",
            "javascript:x",
            "",
            "\t//evil",
            "/\t/evil",
            "/\r\nX: y",
        ] {
            assert_eq!(own_path(evil), "/", "{evil:?}");
        }
        assert_eq!(
            own_path("/mailings/7?tab=variables"),
            "/mailings/7?tab=variables"
        );
    }
}
