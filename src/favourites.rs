//! What people keep of a list: searches under a name, and which optional columns they look at.
//!
//! Invariants: a name is once a person and list; one search a person and list is the default; shared
//! ones are changed by who made them and by Managers. Owns `favourites` and `list_columns`. A list is
//! known by its address; what a search says is the list's business.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::error::{Error, FieldErrors, Result, violated_constraint};
use crate::ids::{CompanyId, FavouriteId, UserId};
use crate::schema::{favourites, list_columns};

const NAME_MAX: usize = 60;
/// Far longer than any list can ask.
const QUERY_MAX: usize = 4000;

#[derive(Debug, Clone, QueryableByName)]
pub struct Favourite {
    #[diesel(sql_type = BigInt)]
    pub id: FavouriteId,
    #[diesel(sql_type = BigInt)]
    pub user_id: UserId,
    /// Who made it.
    #[diesel(sql_type = Text)]
    pub user_name: String,
    #[diesel(sql_type = Text)]
    pub list: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub query: String,
    #[diesel(sql_type = Bool)]
    pub is_default: bool,
    #[diesel(sql_type = Bool)]
    pub shared: bool,
}

/// The form, as text.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct FavouriteInput {
    /// The list's address.
    pub list: String,
    pub query: String,
    pub name: String,
    pub is_default: Option<String>,
    pub shared: Option<String>,
}

impl FavouriteInput {
    /// The name, or why it is none.
    fn named(&self) -> Result<&str> {
        let name = self.name.trim();
        let mut errors = FieldErrors::default();
        if name.is_empty() {
            errors.add("name", "Give the search a name.");
        }
        if name.chars().count() > NAME_MAX {
            errors.add("name", "The name is too long; at most 60 letters.");
        }
        if self.query.len() > QUERY_MAX || self.list.len() > QUERY_MAX {
            errors.add("name", "This search is too long to be kept.");
        }
        errors.or(Some(name))
    }
}

const SELECT: &str =
    "SELECT f.id, f.user_id, u.name AS user_name, f.list, f.name, f.query, f.is_default, f.shared
     FROM favourites f JOIN users u ON u.id = f.user_id WHERE (f.user_id = $1 OR f.shared)";

/// A person's own and the shared ones of a list, by name.
pub async fn of(
    conn: &mut AsyncPgConnection,
    user: UserId,
    list: &str,
) -> QueryResult<Vec<Favourite>> {
    sql_query(format!(
        "{SELECT} AND f.list = $2 ORDER BY lower(f.name), f.id"
    ))
    .bind::<BigInt, _>(user)
    .bind::<Text, _>(list)
    .load(conn)
    .await
}

/// One that the person sees.
pub async fn find(
    conn: &mut AsyncPgConnection,
    user: UserId,
    id: FavouriteId,
) -> QueryResult<Favourite> {
    sql_query(format!("{SELECT} AND f.id = $2"))
        .bind::<BigInt, _>(user)
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await
}

/// What the list opens with: the person's own default, else a shared one.
pub fn opened(known: &[Favourite], user: UserId) -> Option<&Favourite> {
    let defaults = || known.iter().filter(|one| one.is_default);
    defaults()
        .find(|one| one.user_id == user)
        .or_else(|| defaults().find(|one| one.shared))
}

pub async fn create(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    input: &FavouriteInput,
) -> Result<FavouriteId> {
    let name = input.named()?;
    let is_default = input.is_default.is_some();
    if is_default {
        no_default(conn, user, &input.list).await?;
    }
    diesel::insert_into(favourites::table)
        .values((
            favourites::company_id.eq(company),
            favourites::user_id.eq(user),
            favourites::list.eq(&input.list),
            favourites::name.eq(name),
            favourites::query.eq(&input.query),
            favourites::is_default.eq(is_default),
            favourites::shared.eq(input.shared.is_some()),
        ))
        .returning(favourites::id)
        .get_result(conn)
        .await
        .map_err(name_taken)
}

/// Another name, another audience; the search itself stays.
pub async fn update(
    conn: &mut AsyncPgConnection,
    before: &Favourite,
    input: &FavouriteInput,
) -> Result<()> {
    let name = input.named()?;
    let is_default = input.is_default.is_some();
    if is_default && !before.is_default {
        no_default(conn, before.user_id, &before.list).await?;
    }
    diesel::update(favourites::table.find(before.id))
        .set((
            favourites::name.eq(name),
            favourites::is_default.eq(is_default),
            favourites::shared.eq(input.shared.is_some()),
            favourites::updated_at.eq(crate::db::wablast_now()),
        ))
        .execute(conn)
        .await
        .map_err(name_taken)?;
    Ok(())
}

pub async fn delete(conn: &mut AsyncPgConnection, id: FavouriteId) -> QueryResult<usize> {
    diesel::delete(favourites::table.find(id))
        .execute(conn)
        .await
}

/// Another search becomes the default.
async fn no_default(conn: &mut AsyncPgConnection, user: UserId, list: &str) -> QueryResult<usize> {
    diesel::update(
        favourites::table
            .filter(favourites::user_id.eq(user))
            .filter(favourites::list.eq(list))
            .filter(favourites::is_default),
    )
    .set(favourites::is_default.eq(false))
    .execute(conn)
    .await
}

fn name_taken(error: diesel::result::Error) -> Error {
    match violated_constraint(&error) {
        Some("favourites_name_unique") => Error::invalid(
            "name",
            "A search of this name is kept already. Choose another name.",
        ),
        Some("favourites_default_unique") => {
            Error::conflict("Another search became the default just now. Look at the list again.")
        }
        _ => error.into(),
    }
}

/// The optional columns a person chose for a list; none chosen: empty.
pub async fn columns(
    conn: &mut AsyncPgConnection,
    user: UserId,
    list: &str,
) -> QueryResult<Vec<String>> {
    let found: Option<Vec<String>> = list_columns::table
        .filter(list_columns::user_id.eq(user))
        .filter(list_columns::list.eq(list))
        .select(list_columns::keys)
        .first(conn)
        .await
        .optional()?;
    Ok(found.unwrap_or_default())
}

pub async fn set_columns(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    list: &str,
    columns: &[String],
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO list_columns (company_id, user_id, list, keys) VALUES ($1, $2, $3, $4)
         ON CONFLICT (company_id, user_id, list) DO UPDATE SET keys = excluded.keys",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(user)
    .bind::<Text, _>(list)
    .bind::<Array<Text>, _>(columns)
    .execute(conn)
    .await
}
