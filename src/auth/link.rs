//! The way in and its end: one-time links behind which somebody chooses a password, and shutting out.
//!
//! Invariants: a link is random, stored hashed, one a person, void after 72 hours, after its use and as
//! soon as another is made; whoever is shut out, or must choose a new password, is signed out everywhere.
//! Owns `user_links`. Knows no mail: whoever makes a link hands it over.

use chrono::{DateTime, Duration, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::{password, session};
use crate::app::App;
use crate::companies;
use crate::error::{Error, Result};
use crate::ids::{CompanyId, UserId};
use crate::schema::{user_links, users as people};
use crate::users::{self, User, UserDraft, rights};

const VALID: Duration = Duration::hours(72);

const VOID: &str = "This link does not work. It was used already, was replaced by a newer one, is older than 72 hours, or was not copied whole. Ask an administrator for a new one.";

fn hashed(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// Who makes a link, and when.
#[derive(Debug, Clone, Copy)]
pub struct By {
    /// None: the command line.
    pub user: Option<UserId>,
    pub now: DateTime<Utc>,
}

/// Until when the person's link works; `None`: there is none, or it is over.
pub async fn works_until(
    conn: &mut AsyncPgConnection,
    user: UserId,
    now: DateTime<Utc>,
) -> QueryResult<Option<DateTime<Utc>>> {
    user_links::table
        .find(user)
        .filter(user_links::expires_at.gt(now))
        .select(user_links::expires_at)
        .first(conn)
        .await
        .optional()
}

/// A new link; the old one is void. What is returned stands in the address, this once.
async fn make(conn: &mut AsyncPgConnection, user: UserId, by: By) -> QueryResult<String> {
    let token = crate::random::token(40);
    let values = (
        user_links::token_hash.eq(hashed(&token)),
        user_links::created_by.eq(by.user),
        user_links::created_at.eq(by.now),
        user_links::expires_at.eq(by.now + VALID),
    );
    diesel::insert_into(user_links::table)
        .values((user_links::user_id.eq(user), values.clone()))
        .on_conflict(user_links::user_id)
        .do_update()
        .set(values)
        .execute(conn)
        .await?;
    Ok(token)
}

/// What came of an invitation.
#[derive(Debug)]
pub enum Invited {
    /// Somebody new, with the link's token.
    New(UserId, String),
    /// The address belongs to somebody who signs in already: they have the roles now, and need no link.
    Known(UserId),
}

impl Invited {
    pub fn user(&self) -> UserId {
        match self {
            Self::New(user, _) | Self::Known(user) => *user,
        }
    }
}

/// Invites somebody into companies of `reach`. Belongs in a transaction.
pub async fn invite(
    conn: &mut AsyncPgConnection,
    draft: &UserDraft,
    reach: &[CompanyId],
    by: By,
) -> Result<Invited> {
    let Some(known) = users::find_by_email(conn, &draft.email).await? else {
        let user = rights::create(conn, draft, reach).await?;
        return Ok(Invited::New(user, make(conn, user, by).await?));
    };
    if !known.active {
        return Err(Error::invalid(
            "email",
            "Somebody with this e-mail address is deactivated. An administrator of all their companies can activate them.",
        ));
    }
    // Nobody is demoted by an invitation.
    let has = rights::roles_of(conn, known.id).await?;
    let mut new = draft.clone();
    new.roles
        .retain(|(company, role)| role.is_some() && !has.iter().any(|(one, _)| one == company));
    if new.roles.is_empty() {
        return Err(Error::invalid(
            "email",
            "Somebody with this e-mail address works there already.",
        ));
    }
    let granted = rights::Reach {
        companies: reach.to_vec(),
        whole: false,
    };
    new.active_company = None;
    rights::update(conn, known.id, &new, &granted).await?;
    Ok(Invited::Known(known.id))
}

/// A new link for somebody who has not chosen a password yet.
pub async fn renew(conn: &mut AsyncPgConnection, user: UserId, by: By) -> Result<String> {
    let person = users::find(conn, user).await?;
    if !person.active {
        return Err(Error::conflict(
            "This person is deactivated. Activate them first.",
        ));
    }
    if person.password_hash.is_some() {
        return Err(Error::conflict(
            "This person has a password already. Reset it instead.",
        ));
    }
    Ok(make(conn, user, by).await?)
}

/// Makes the link void.
pub async fn withdraw(conn: &mut AsyncPgConnection, user: UserId) -> QueryResult<usize> {
    diesel::delete(user_links::table.find(user))
        .execute(conn)
        .await
}

/// *Reset password*: the old one is over, so are all sessions; the link leads to a new one.
pub async fn reset(conn: &mut AsyncPgConnection, user: UserId, by: By) -> Result<String> {
    let person = users::find(conn, user).await?;
    if !person.active {
        return Err(Error::conflict(
            "This person is deactivated. Activate them first.",
        ));
    }
    if by.user == Some(user) {
        return Err(Error::conflict(
            "Change your own password under Preferences.",
        ));
    }
    diesel::update(people::table.find(user))
        .set(people::password_hash.eq(None::<String>))
        .execute(conn)
        .await?;
    session::end_others(conn, user, None).await?;
    Ok(make(conn, user, by).await?)
}

/// Nobody comes in with this name any more, and whoever is in is out. Belongs in a transaction.
pub async fn deactivate(conn: &mut AsyncPgConnection, user: UserId) -> Result<()> {
    rights::set_active(conn, user, false).await?;
    withdraw(conn, user).await?;
    session::end_others(conn, user, None).await?;
    Ok(())
}

/// Whom a link is for, while it works.
pub async fn guest(conn: &mut AsyncPgConnection, token: &str, now: DateTime<Utc>) -> Result<User> {
    let user: Option<UserId> = user_links::table
        .filter(user_links::token_hash.eq(hashed(token)))
        .filter(user_links::expires_at.gt(now))
        .select(user_links::user_id)
        .first(conn)
        .await
        .optional()?;
    let person = match user {
        Some(user) => Some(users::find(conn, user).await?).filter(|person| person.active),
        None => None,
    };
    person.ok_or_else(|| Error::conflict(VOID))
}

/// Uses a link: stores the password and returns who may be signed in.
pub async fn join(app: &App, token: &str, chosen: &str) -> Result<UserId> {
    let now = app.clock.now();
    let (person, works_in) = {
        let mut conn = app.db.system().await?;
        let person = guest(&mut conn, token, now).await?;
        let ids: Vec<CompanyId> = rights::roles_of(&mut conn, person.id)
            .await?
            .into_iter()
            .map(|(company, _)| company)
            .collect();
        (person, companies::find_many(&mut conn, &ids).await?)
    };
    let mut context = vec![person.name.as_str(), person.email.as_str()];
    context.extend(works_in.iter().map(|company| company.name.as_str()));
    password::check(chosen, &context).map_err(|fault| Error::invalid("password", fault))?;
    let hash = password::hash(SecretString::from(chosen.to_owned())).await?;
    let mut conn = app.db.system().await?;
    conn.transaction(async |conn| {
        // Two presses at once: the second finds no link.
        let used = diesel::delete(
            user_links::table
                .find(person.id)
                .filter(user_links::token_hash.eq(hashed(token)))
                .filter(user_links::expires_at.gt(now)),
        )
        .execute(conn)
        .await?;
        if used == 0 {
            return Err(Error::conflict(VOID));
        }
        users::set_password(conn, person.id, &hash).await?;
        session::end_others(conn, person.id, None).await?;
        Ok(person.id)
    })
    .await
}
