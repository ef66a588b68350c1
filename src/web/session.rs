//! Who is signed in: sessions in PostgreSQL behind a cookie, and what every page of theirs shows.
//!
//! Invariants: rights are read anew for every request; the cookie holds only an encrypted id; signing in
//! makes a new id. The rows themselves belong to `auth::session`.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_session::config::CookieContentSecurity;
use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use actix_session::{Session, SessionExt as _, SessionMiddleware};
use actix_web::cookie::time::Duration;
use actix_web::cookie::{Key, SameSite};
use actix_web::dev::Payload;
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::http::header::{LOCATION, REFERER, USER_AGENT};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use diesel_async::AsyncPgConnection;
use url::Position;

use crate::app::App;
use crate::auth::{self, Caller, session as rows};
use crate::error::{Error, Result};
use crate::i18n::Lang;
use crate::ids::UserId;
use crate::web::form;
use crate::web::page::{Banner, CompanyChoice, Flash, Menu, Person, Shell, Theme};
use crate::{companies, incoming, users};

pub use crate::web::form::USER;

/// The key under which a session that is over says whose it was.
pub const ENDED: &str = "ended";
/// Where the person signed in from.
const ADDRESS: &str = "address";
const AGENT: &str = "agent";
/// Longer names of browsers are cut.
const AGENT_MAX: usize = 300;

/// The store of `actix-session`, over `auth::session`.
#[derive(Clone)]
pub struct PgSessions {
    app: App,
}

fn user_of(state: &HashMap<String, String>) -> Option<UserId> {
    state
        .get(USER)
        .and_then(|user| serde_json::from_str(user).ok())
}

fn begun(state: &HashMap<String, String>) -> rows::Begun {
    let text = |key| {
        state
            .get(key)
            .and_then(|text| serde_json::from_str::<String>(text).ok())
    };
    rows::Begun {
        address: text(ADDRESS),
        agent: text(AGENT),
    }
}

/// Somebody has shown who they are: a new session, which remembers from where.
pub fn sign_in(session: &Session, request: &HttpRequest, user: UserId) -> Result<()> {
    session.renew();
    let address = request.peer_addr().map(|peer| peer.ip().to_string());
    let agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .map(|agent| agent.chars().take(AGENT_MAX).collect::<String>());
    let kept = [(ADDRESS, address), (AGENT, agent)]
        .into_iter()
        .filter_map(|(key, text)| text.map(|text| (key, text)))
        .try_for_each(|(key, text)| session.insert(key, text));
    kept.and_then(|()| session.insert(USER, user))
        .map_err(|error| anyhow::anyhow!("signing in: {error}"))?;
    Ok(())
}

impl PgSessions {
    async fn write(
        &self,
        state: &HashMap<String, String>,
        key: Option<&str>,
    ) -> anyhow::Result<String> {
        let json = serde_json::to_value(state)?;
        let now = self.app.clock.now();
        let mut conn = self.app.db.system().await?;
        if let Some(key) = key
            && rows::update(&mut conn, key, user_of(state), &begun(state), &json, now).await?
        {
            return Ok(key.to_owned());
        }
        let fresh = hex::encode(crate::random::bytes::<32>());
        rows::store(&mut conn, &fresh, user_of(state), &begun(state), &json, now).await?;
        Ok(fresh)
    }
}

impl SessionStore for PgSessions {
    async fn load(&self, key: &SessionKey) -> Result<Option<HashMap<String, String>>, LoadError> {
        let mut conn = self
            .app
            .db
            .system()
            .await
            .map_err(|error| LoadError::Other(error.into()))?;
        let state = rows::load(&mut conn, key.as_ref(), self.app.clock.now())
            .await
            .map_err(|error| LoadError::Other(error.into()))?;
        let state = match state {
            None => return Ok(None),
            Some(rows::Loaded::Live(state)) => state,
            Some(rows::Loaded::Ended(user)) => serde_json::json!({ ENDED: user.to_string() }),
        };
        serde_json::from_value(state)
            .map(Some)
            .map_err(|error| LoadError::Deserialization(error.into()))
    }

    async fn save(
        &self,
        state: HashMap<String, String>,
        _: &Duration,
    ) -> Result<SessionKey, SaveError> {
        let key = self.write(&state, None).await.map_err(SaveError::Other)?;
        key.try_into()
            .map_err(|error| SaveError::Other(anyhow::Error::new(error)))
    }

    async fn update(
        &self,
        key: SessionKey,
        state: HashMap<String, String>,
        _: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        let key = self
            .write(&state, Some(key.as_ref()))
            .await
            .map_err(UpdateError::Other)?;
        key.try_into()
            .map_err(|error| UpdateError::Other(anyhow::Error::new(error)))
    }

    /// Use is noted when a session is loaded.
    async fn update_ttl(&self, _: &SessionKey, _: &Duration) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> anyhow::Result<()> {
        let mut conn = self.app.db.system().await?;
        rows::delete(&mut conn, key.as_ref()).await?;
        Ok(())
    }
}

/// Cookies know no port: a demo beside an installation has a name of its own, so that neither signs the
/// other out.
fn cookie_name(demo: bool, plain: bool) -> &'static str {
    match (demo, plain) {
        (true, true) => "demo-sid",
        (false, true) => "sid",
        _ => "__Host-sid",
    }
}

/// Secure and bound to this host; plain only where the operator set an http address himself.
pub fn middleware(app: &App) -> SessionMiddleware<PgSessions> {
    let plain = app.config.is_plain_http();
    SessionMiddleware::builder(
        PgSessions { app: app.clone() },
        Key::from(app.crypt.cookie_key()),
    )
    .cookie_name(cookie_name(app.config.demo, plain).to_owned())
    .cookie_secure(!plain)
    .cookie_http_only(true)
    .cookie_same_site(SameSite::Lax)
    .cookie_path("/".to_owned())
    .cookie_content_security(CookieContentSecurity::Private)
    .build()
}

/// Somebody who is signed in; everybody else is sent to sign in first.
#[derive(Debug, Clone)]
pub struct Signed(pub Caller);

impl Deref for Signed {
    type Target = Caller;
    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl FromRequest for Signed {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let app = request.app_data::<web::Data<App>>().cloned();
        let session = request.get_session();
        let request = request.clone();
        Box::pin(async move {
            let user: Option<UserId> = session.get(USER).ok().flatten();
            let (Some(app), Some(user)) = (app, user) else {
                return Err(asked_to_sign_in(&request));
            };
            let caller = async {
                let mut conn = app.db.system().await?;
                auth::caller(&mut conn, user, None).await
            };
            match caller.await {
                Ok(caller) => Ok(Self(caller)),
                Err(Error::SignIn) => {
                    session.purge();
                    Err(asked_to_sign_in(&request))
                }
                Err(other) => Err(crate::web::error::WebError(other).into()),
            }
        })
    }
}

/// 303 to the sign-in page, which leads back to where the person was, and says that a form which was
/// posted is not stored.
fn asked_to_sign_in(request: &HttpRequest) -> actix_web::Error {
    let reads = request.method() == Method::GET;
    let back = if reads {
        request
            .uri()
            .path_and_query()
            .map(|path| path.as_str().to_owned())
    } else {
        came_from(request)
    };
    let next: String =
        url::form_urlencoded::byte_serialize(back.unwrap_or_default().as_bytes()).collect();
    let lost = if reads { "" } else { "&lost=1" };
    let answer = HttpResponse::SeeOther()
        .insert_header((LOCATION, format!("/login?next={next}{lost}")))
        .finish();
    InternalError::from_response("sign in", answer).into()
}

/// The page of this site that a form was sent from, as far as the browser tells.
pub fn came_from(request: &HttpRequest) -> Option<String> {
    let referer = request.headers().get(REFERER)?.to_str().ok()?;
    let url = url::Url::parse(referer).ok()?;
    Some(url[Position::BeforePath..Position::AfterQuery].to_owned())
}

/// What stands around a page of somebody signed in. `conn`: the company's.
pub async fn shell(
    app: &App,
    signed: &Signed,
    session: &Session,
    request: &HttpRequest,
    menu: Menu,
    conn: &mut AsyncPgConnection,
) -> Result<Shell> {
    let (companies, banners) = around(app, signed).await?;
    let path = request
        .uri()
        .path_and_query()
        .map(|path| path.as_str().to_owned());
    Ok(Shell {
        lang: Lang::parse(&signed.language),
        theme: Theme::parse(&signed.theme),
        zone: signed.zone,
        csrf: form::company_token(session, signed.company)?,
        user: Some(Person {
            id: signed.user,
            name: signed.name.clone(),
            email: signed.email.clone(),
        }),
        company: companies
            .iter()
            .find(|company| company.id == signed.company)
            .cloned(),
        companies,
        role: Some(signed.role),
        unread: incoming::query::unread(conn).await?,
        flash: take_flash(session),
        banners,
        menu,
        path: path.unwrap_or_default(),
        now: app.clock.now(),
    })
}

/// The companies one may work in, and warnings of the whole installation.
async fn around(app: &App, signed: &Signed) -> Result<(Vec<CompanyChoice>, Vec<Banner>)> {
    let mut conn = app.db.system().await?;
    let allowed: Vec<_> = users::companies_of(&mut conn, signed.user)
        .await?
        .into_iter()
        .map(|(company, _)| company)
        .collect();
    let companies = companies::find_many(&mut conn, &allowed)
        .await?
        .into_iter()
        .map(|company| CompanyChoice {
            id: company.id,
            name: company.name,
        })
        .collect();
    let banners = crate::web::banners::all(app, signed, &mut conn).await?;
    Ok((companies, banners))
}

fn take_flash(session: &Session) -> Vec<Flash> {
    session
        .remove_as::<Vec<Flash>>("flash")
        .and_then(Result::ok)
        .unwrap_or_default()
}
