//! Searches people keep under a name, and the optional columns of a list that stay chosen.
//!
//! Invariants: only Managers share and change what others shared; whatever is posted leads back to a
//! list of this site.

use actix_web::http::StatusCode;
use actix_web::web;
use askama::Template;
use diesel_async::AsyncPgConnection;
use url::form_urlencoded;

use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::favourites::{self, Favourite, FavouriteInput};
use crate::ids::{FavouriteId, UserId};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, own_path, see_other};
use crate::web::page::{Menu, Shell, html_with};
use crate::web::visit::Visit;

/// An address of a list is short.
const LIST_MAX: usize = 80;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/favourites", web::post().to(create))
        .route("/favourites/columns", web::post().to(columns))
        .route("/favourites/{id:[0-9]+}", web::get().to(show))
        .route("/favourites/{id:[0-9]+}", web::post().to(update))
        .route("/favourites/{id:[0-9]+}/delete", web::post().to(delete));
}

#[derive(Template)]
#[template(path = "favourites/form.html")]
struct FavouritePage {
    shell: Shell,
    id: Option<FavouriteId>,
    /// Who made it, where that was somebody else.
    by: String,
    input: FavouriteInput,
    errors: FieldErrors,
}

impl FavouritePage {
    fn action(&self) -> String {
        self.id.map_or_else(
            || "/favourites".to_owned(),
            |id| format!("/favourites/{id}"),
        )
    }

    /// The list with this search.
    fn back(&self) -> String {
        format!("{}?{}", self.input.list, self.input.query)
    }
}

/// A list's address as it was posted: a path of this site without a query.
fn list(given: &str) -> Result<&str> {
    let path = own_path(given);
    if path != given || path.len() > LIST_MAX || path.contains(['?', '#']) {
        return Err(Error::NotFound);
    }
    Ok(path)
}

/// Whether the person may change it: their own, or a shared one as a Manager.
pub fn may_change(role: Role, user: UserId, favourite: &Favourite) -> bool {
    favourite.user_id == user || favourite.shared && role >= Role::Manager
}

async fn own(visit: &Visit, conn: &mut AsyncPgConnection, id: FavouriteId) -> Result<Favourite> {
    let favourite = favourites::find(conn, visit.user, id).await?;
    if may_change(visit.role, visit.user, &favourite) {
        Ok(favourite)
    } else {
        Err(Error::Forbidden)
    }
}

/// Sharing is the Managers'; anybody else keeps what they save to themselves.
fn allowed(visit: &Visit, mut input: FavouriteInput) -> Result<FavouriteInput> {
    list(&input.list)?;
    if visit.role < Role::Manager && input.shared.is_some() {
        return Err(Error::Forbidden);
    }
    input.query = input.query.replace(['\r', '\n'], "");
    Ok(input)
}

async fn render(
    visit: &Visit,
    known: Option<&Favourite>,
    input: FavouriteInput,
    errors: FieldErrors,
) -> WebResult {
    let mut conn = visit.conn().await?;
    let status = if errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let foreign = known.filter(|one| one.user_id != visit.user);
    let page = FavouritePage {
        shell: visit.shell(Menu::None, &mut conn).await?,
        id: known.map(|one| one.id),
        by: foreign.map(|one| one.user_name.clone()).unwrap_or_default(),
        input,
        errors,
    };
    Ok(html_with(status, page))
}

async fn create(visit: Visit, Posted(input): Posted<FavouriteInput>) -> WebResult {
    let input = allowed(&visit, input)?;
    let mut conn = visit.conn().await?;
    match favourites::create(&mut conn, visit.company, visit.user, &input).await {
        Ok(_) => conn.commit().await?,
        Err(Error::Invalid(errors)) => {
            drop(conn);
            return render(&visit, None, input, errors).await;
        }
        Err(other) => return Err(other.into()),
    }
    visit.tell("list.favourite_saved");
    Ok(see_other(format!("{}?{}", input.list, input.query)))
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let mut conn = visit.conn().await?;
    let known = own(&visit, &mut conn, FavouriteId(*id)).await?;
    drop(conn);
    let input = FavouriteInput {
        list: known.list.clone(),
        query: known.query.clone(),
        name: known.name.clone(),
        is_default: known.is_default.then(|| "true".to_owned()),
        shared: known.shared.then(|| "true".to_owned()),
    };
    render(&visit, Some(&known), input, FieldErrors::default()).await
}

async fn update(
    visit: Visit,
    id: web::Path<i64>,
    Posted(typed): Posted<FavouriteInput>,
) -> WebResult {
    let mut conn = visit.conn().await?;
    let known = own(&visit, &mut conn, FavouriteId(*id)).await?;
    let input = FavouriteInput {
        list: known.list.clone(),
        query: known.query.clone(),
        ..typed
    };
    let input = allowed(&visit, input)?;
    match favourites::update(&mut conn, &known, &input).await {
        Ok(()) => conn.commit().await?,
        Err(Error::Invalid(errors)) => {
            drop(conn);
            return render(&visit, Some(&known), input, errors).await;
        }
        Err(other) => return Err(other.into()),
    }
    visit.tell("list.favourite_saved");
    Ok(see_other(format!("{}?{}", input.list, input.query)))
}

async fn delete(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let mut conn = visit.conn().await?;
    let known = own(&visit, &mut conn, FavouriteId(*id)).await?;
    favourites::delete(&mut conn, known.id).await?;
    conn.commit().await?;
    visit.tell(&visit.tf("list.favourite_deleted", &[&known.name]));
    // Its search is looked at on; what the list opens with may be another one now.
    Ok(see_other(format!("{}?{}", known.list, known.query)))
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Columns {
    list: String,
    query: String,
    /// The column that is shown from now on, or no longer.
    toggle: String,
}

/// Shows or hides a column of the list, here and from now on.
async fn columns(visit: Visit, Posted(asked): Posted<Columns>) -> WebResult {
    let list = list(&asked.list)?;
    let (shown, rest): (Vec<_>, Vec<_>) = form_urlencoded::parse(asked.query.as_bytes())
        .into_owned()
        .partition(|(name, _)| name == "c");
    let mut shown: Vec<String> = shown
        .into_iter()
        .map(|(_, key)| key)
        .filter(|key| !key.is_empty())
        .collect();
    let before = shown.len();
    shown.retain(|key| *key != asked.toggle);
    if shown.len() == before && asked.toggle.len() < LIST_MAX {
        shown.push(asked.toggle.clone());
    }
    shown.truncate(50);
    let mut conn = visit.conn().await?;
    favourites::set_columns(&mut conn, visit.company, visit.user, list, &shown).await?;
    conn.commit().await?;
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(rest)
        .finish();
    Ok(see_other(format!("{list}?{query}")))
}
