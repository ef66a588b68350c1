//! What one person may do about another: roles in companies, and who may not be the last one to go.
//!
//! Invariants: an administrator gives and takes roles only in companies where they are administrator, and
//! touches name, address, password and activity only of somebody who works nowhere else; a company that
//! has an administrator keeps one who can sign in; nobody is left without a company. Everything here works
//! for several companies at once and takes a connection that sees all, inside a transaction.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{administered_by, input::UserDraft};
use crate::companies;
use crate::db::wablast_now;
use crate::error::{Error, Result, violated_constraint};
use crate::ids::{CompanyId, UserId};
use crate::schema::{user_companies, users};

/// How far somebody's hand reaches over a person.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The companies in which the one who asks is administrator.
    pub companies: Vec<CompanyId>,
    /// The person works in none but these.
    pub whole: bool,
}

impl Reach {
    /// Refuses what concerns the person everywhere.
    pub fn require_whole(&self) -> Result<()> {
        if self.whole {
            Ok(())
        } else {
            Err(Error::Refused(
                "This person works in a company too in which you are not administrator. You can change only the roles in your own companies.",
            ))
        }
    }
}

pub async fn reach(conn: &mut AsyncPgConnection, by: UserId, person: UserId) -> Result<Reach> {
    let companies = administered_by(conn, by).await?;
    let whole = roles_of(conn, person)
        .await?
        .iter()
        .all(|(company, _)| companies.contains(company));
    Ok(Reach { companies, whole })
}

/// Every role of a person, archived companies among them.
pub async fn roles_of(
    conn: &mut AsyncPgConnection,
    id: UserId,
) -> QueryResult<Vec<(CompanyId, String)>> {
    user_companies::table
        .filter(user_companies::user_id.eq(id))
        .order(user_companies::company_id)
        .select((user_companies::company_id, user_companies::role))
        .load(conn)
        .await
}

/// Stores somebody who has no password yet.
pub async fn create(
    conn: &mut AsyncPgConnection,
    draft: &UserDraft,
    reach: &[CompanyId],
) -> Result<UserId> {
    let roles = given(draft, reach)?;
    let Some((first, _)) = roles.as_slice().first() else {
        return Err(without_company());
    };
    let chosen = draft
        .active_company
        .filter(|company| roles.iter().any(|(one, _)| one == company));
    let id: UserId = diesel::insert_into(users::table)
        .values((
            users::name.eq(&draft.name),
            users::email.eq(&draft.email),
            users::language.eq(draft.language),
            users::time_zone.eq(draft.time_zone.as_deref()),
            users::active_company_id.eq(chosen.unwrap_or(*first)),
        ))
        .returning(users::id)
        .get_result(conn)
        .await
        .map_err(address_taken)?;
    for (company, role) in roles {
        set_role(conn, id, company, Some(role)).await?;
    }
    Ok(id)
}

/// Changes what `reach` allows of the draft; the rest stays.
pub async fn update(
    conn: &mut AsyncPgConnection,
    id: UserId,
    draft: &UserDraft,
    reach: &Reach,
) -> Result<()> {
    if reach.whole {
        diesel::update(users::table.find(id))
            .set((
                users::name.eq(&draft.name),
                users::email.eq(&draft.email),
                users::language.eq(draft.language),
                users::time_zone.eq(draft.time_zone.as_deref()),
                users::updated_at.eq(wablast_now()),
            ))
            .execute(conn)
            .await
            .map_err(address_taken)?;
    }
    given(draft, &reach.companies)?;
    change_roles(conn, id, &draft.roles).await?;
    let works_in = roles_of(conn, id).await?;
    if let Some(company) = draft.active_company
        && reach.companies.contains(&company)
        && works_in.iter().any(|(one, _)| *one == company)
    {
        super::switch_company(conn, id, company).await?;
    }
    Ok(())
}

/// The roles that the draft gives, all of them in reach.
fn given(draft: &UserDraft, reach: &[CompanyId]) -> Result<Vec<(CompanyId, &'static str)>> {
    if !draft
        .roles
        .iter()
        .all(|(company, _)| reach.contains(company))
    {
        return Err(Error::invalid(
            "roles",
            "You can give roles only in companies in which you are administrator.",
        ));
    }
    let roles = draft.roles.iter();
    Ok(roles
        .filter_map(|(company, role)| role.map(|role| (*company, role)))
        .collect())
}

/// Gives and takes roles; companies that are not named stay as they are.
pub async fn change_roles(
    conn: &mut AsyncPgConnection,
    id: UserId,
    roles: &[(CompanyId, Option<&'static str>)],
) -> Result<()> {
    let named: Vec<CompanyId> = roles.iter().map(|(company, _)| *company).collect();
    companies::hold(conn, &named).await?;
    let before = roles_of(conn, id).await?;
    for (company, role) in roles {
        set_role(conn, id, *company, *role).await?;
    }
    let after = roles_of(conn, id).await?;
    if after.is_empty() {
        return Err(without_company());
    }
    let is_administrator = |roles: &[(CompanyId, String)], company: &CompanyId| {
        roles
            .iter()
            .any(|(one, role)| one == company && role == "administrator")
    };
    let lost: Vec<CompanyId> = named
        .into_iter()
        .filter(|company| is_administrator(&before, company) && !is_administrator(&after, company))
        .collect();
    keep_administrators(conn, &lost).await?;
    // The active company is one of the allowed ones (a constraint, looked at when the transaction ends).
    let active: CompanyId = users::table
        .find(id)
        .select(users::active_company_id)
        .first(conn)
        .await?;
    if !after.iter().any(|(company, _)| *company == active)
        && let Some((first, _)) = after.as_slice().first()
    {
        diesel::update(users::table.find(id))
            .set(users::active_company_id.eq(*first))
            .execute(conn)
            .await?;
    }
    Ok(())
}

async fn set_role(
    conn: &mut AsyncPgConnection,
    id: UserId,
    company: CompanyId,
    role: Option<&str>,
) -> QueryResult<usize> {
    match role {
        Some(role) => {
            diesel::insert_into(user_companies::table)
                .values((
                    user_companies::user_id.eq(id),
                    user_companies::company_id.eq(company),
                    user_companies::role.eq(role),
                ))
                .on_conflict((user_companies::user_id, user_companies::company_id))
                .do_update()
                .set(user_companies::role.eq(role))
                .execute(conn)
                .await
        }
        None => {
            // Set anew below, or by the caller, before the transaction ends.
            diesel::delete(user_companies::table.find((id, company)))
                .execute(conn)
                .await
        }
    }
}

/// Lets somebody sign in again, or not any more.
pub async fn set_active(conn: &mut AsyncPgConnection, id: UserId, active: bool) -> Result<()> {
    let roles = roles_of(conn, id).await?;
    let administers: Vec<CompanyId> = roles
        .into_iter()
        .filter(|(_, role)| role == "administrator")
        .map(|(company, _)| company)
        .collect();
    companies::hold(conn, &administers).await?;
    diesel::update(users::table.find(id))
        .set((
            users::active.eq(active),
            users::updated_at.eq(wablast_now()),
        ))
        .execute(conn)
        .await?;
    if !active {
        keep_administrators(conn, &administers).await?;
    }
    Ok(())
}

/// Refuses to leave a company without anybody who can sign in and administers it.
async fn keep_administrators(conn: &mut AsyncPgConnection, companies: &[CompanyId]) -> Result<()> {
    for company in companies {
        let left: i64 = user_companies::table
            .inner_join(users::table.on(users::id.eq(user_companies::user_id)))
            .filter(user_companies::company_id.eq(*company))
            .filter(user_companies::role.eq("administrator"))
            .filter(users::active)
            .filter(
                users::password_hash
                    .is_not_null()
                    .or(users::joined_at.is_not_null()),
            )
            .count()
            .get_result(conn)
            .await?;
        if left == 0 {
            let name = companies::find(conn, *company).await?.name;
            return Err(Error::invalid(
                "roles",
                format!(
                    "{name} would be left without an administrator. Make somebody else administrator there first."
                ),
            ));
        }
    }
    Ok(())
}

fn without_company() -> Error {
    Error::invalid(
        "roles",
        "Choose a role in at least one company. To shut somebody out, deactivate them.",
    )
}

fn address_taken(error: diesel::result::Error) -> Error {
    match violated_constraint(&error) {
        Some("users_email_unique") => Error::invalid(
            "email",
            "Somebody else signs in with this e-mail address already.",
        ),
        _ => error.into(),
    }
}
