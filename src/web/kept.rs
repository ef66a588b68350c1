//! The session ended while somebody wrote: what they sent is kept and comes back after signing in.
//!
//! Invariants: a form comes back filled and is never sent by itself; passwords, keys and files are not
//! kept; only whoever the ended session belonged to sees it again; what another site caused is not kept.

use actix_multipart::Multipart;
use actix_session::SessionExt as _;
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};
use askama::Template;
use futures_util::TryStreamExt as _;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use crate::app::App;
use crate::auth::kept;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::web::error::WebResult;
use crate::web::form;
use crate::web::page::{Menu, Shell, html};
use crate::web::session::{ENDED, USER, came_from};
use crate::web::visit::Visit;

/// Far more than any form holds.
const MOST_BYTES: usize = 200_000;
/// The shapes a form comes in.
const FORMS: [&str; 2] = ["application/x-www-form-urlencoded", "multipart/form-data"];
/// Forms that are no writing, or hold nothing but secrets.
const NEVER: [&str; 7] = [
    "/imports",
    "/login",
    "/logout",
    "/setup",
    "/company",
    "/preferences",
    "/favourites/columns",
];
/// Fields that belong to a page or are secret, by a part of their name.
const DROPPED: [&str; 5] = ["csrf", "password", "secret", "token", "key"];

pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/kept/{mark}", web::get().to(show));
}

/// Middleware: keeps a form that comes after its session has ended, and leads to signing in.
pub async fn catch(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>, actix_web::Error> {
    if let Some(user) = writer(&request) {
        let pairs = sent(&mut request).await;
        if let Some(answer) = keep(&request, user, pairs).await {
            return Ok(request.into_response(answer).map_into_right_body());
        }
        // Nothing of it was worth keeping: it is answered as any other press without a session.
    }
    next.call(request)
        .await
        .map(ServiceResponse::map_into_left_body)
}

/// Whose ended session a form of our own page came with.
fn writer(request: &ServiceRequest) -> Option<UserId> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    let kind = header(CONTENT_TYPE)?;
    let is_form = request.method() == Method::POST
        && FORMS.iter().any(|form| kind.starts_with(form))
        && header(CONTENT_LENGTH)?.parse::<usize>().ok()? <= MOST_BYTES
        && !NEVER.iter().any(|path| request.path().starts_with(path));
    if !is_form || form::check_origin(request.request()).is_err() {
        return None;
    }
    let session = request.get_session();
    match session.get::<UserId>(USER).ok()? {
        Some(_) => None,
        None => session.get::<UserId>(ENDED).ok()?,
    }
}

/// The fields of the form; files are left out.
async fn sent(request: &mut ServiceRequest) -> Vec<(String, String)> {
    let kind = request.headers().get(CONTENT_TYPE);
    let has_parts = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/"));
    if !has_parts {
        let body = request.extract::<web::Bytes>().await.unwrap_or_default();
        return form_urlencoded::parse(&body).into_owned().collect();
    }
    match request.extract::<Multipart>().await {
        Ok(form) => texts(form).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

async fn texts(mut form: Multipart) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    while let Some(mut field) = form.try_next().await.ok()? {
        let name = field.name().unwrap_or_default().to_owned();
        let disposition = field.content_disposition();
        let is_file = disposition.is_some_and(|one| one.get_filename().is_some());
        let mut bytes = Vec::new();
        while let Some(piece) = field.try_next().await.ok()? {
            bytes.extend_from_slice(&piece);
        }
        if !is_file {
            let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
            pairs.push((name, text));
        }
    }
    Some(pairs)
}

async fn keep(
    request: &ServiceRequest,
    user: UserId,
    mut pairs: Vec<(String, String)>,
) -> Option<HttpResponse> {
    pairs.retain(|(name, _)| !DROPPED.iter().any(|part| name.contains(part)));
    if pairs.iter().all(|(_, value)| value.trim().is_empty()) {
        return None;
    }
    let app = request.app_data::<web::Data<App>>()?;
    let fills = page_of(request.path());
    let page = match &fills {
        Some(page) => page.clone(),
        None => came_from(request.request()).unwrap_or_else(|| "/".to_owned()),
    };
    let written = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    let mut conn = app.db.system().await.ok()?;
    let mark = kept::store(&mut conn, &app.crypt, user, &page, &written)
        .await
        .inspect_err(|error| tracing::error!("keeping a form: {error:#}"))
        .ok()?;
    let next = match fills {
        Some(page) => format!("{page}?kept={mark}"),
        None => format!("/kept/{mark}"),
    };
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    Some(
        HttpResponse::SeeOther()
            .insert_header((LOCATION, format!("/login?next={next}&kept=1")))
            .finish(),
    )
}

/// The page whose form posts to this address and can be filled again.
fn page_of(action: &str) -> Option<String> {
    let mut parts = action.strip_prefix('/')?.split('/');
    let (noun, record, rest) = (parts.next()?, parts.next(), parts.next());
    let is_number = |id: &str| id.parse::<i64>().is_ok();
    match (noun, record, rest) {
        ("mailings" | "contacts" | "lists" | "accounts", None, None) => {
            Some(format!("/{noun}/new"))
        }
        ("mailings" | "contacts" | "lists" | "accounts", Some(id), None) if is_number(id) => {
            Some(action.to_owned())
        }
        ("jobs", Some(_), None) => Some(action.to_owned()),
        _ => None,
    }
}

/// What was written on this page before the session ended, as the page's form.
pub async fn form<T: DeserializeOwned>(visit: &Visit) -> Result<Option<T>> {
    let Some(form) = written(visit).await? else {
        return Ok(None);
    };
    let typed = serde_html_form::from_str(&form)
        .map_err(|_| Error::invalid("form", "The form could not be read."))?;
    Ok(Some(typed))
}

/// The same as the form was sent. Whose page is asked again stands on what it was filled from then.
async fn written(visit: &Visit) -> Result<Option<String>> {
    let query = visit.request.query_string();
    let mark = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "kept")
        .map(|(_, mark)| mark.into_owned());
    let Some(mark) = mark else { return Ok(None) };
    let mut conn = visit.app.db.system().await?;
    let found = kept::find(
        &mut conn,
        &visit.app.crypt,
        (visit.user, visit.company),
        &mark,
    )
    .await?;
    let Some((_, form)) = found.filter(|(page, _)| page == visit.request.path()) else {
        return Ok(None);
    };
    let version = form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "version");
    if let Some((_, version)) = version {
        form::stands_on(&visit.request, version.into_owned());
    }
    visit.warn("form.kept");
    Ok(Some(form))
}

#[derive(Template)]
#[template(path = "kept/show.html")]
struct KeptPage {
    shell: Shell,
    /// Where it was written.
    page: String,
    texts: Vec<String>,
}

/// What cannot be put into its form again, to be copied.
async fn show(visit: Visit, mark: web::Path<String>) -> WebResult {
    let found = {
        let mut conn = visit.app.db.system().await?;
        kept::find(
            &mut conn,
            &visit.app.crypt,
            (visit.user, visit.company),
            &mark,
        )
        .await?
    };
    let (page, form) = found.ok_or(Error::NotFound)?;
    let texts = form_urlencoded::parse(form.as_bytes())
        .map(|(_, value)| value.into_owned())
        .filter(|value| value.chars().any(char::is_alphabetic) && value != "true")
        .collect();
    let mut conn = visit.conn().await?;
    Ok(html(KeptPage {
        shell: visit.shell(Menu::None, &mut conn).await?,
        page: form::own_path(&page).to_owned(),
        texts,
    }))
}
