//! Who may do what: roles, passwords, sessions, tokens.

pub mod failures;
pub mod kept;
pub mod link;
pub mod password;
pub mod session;
pub mod token;

use diesel_async::AsyncPgConnection;

use crate::error::{Error, Result};
use crate::ids::{CompanyId, UserId};
use crate::users;

/// What a user is in a company; each may do what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    User,
    Manager,
    Administrator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Manager => "manager",
            Self::Administrator => "administrator",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Manager, Self::Administrator]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// Somebody who is signed in, with the company they work in. Read anew for every request, so that a
/// change of rights works at once.
#[derive(Debug, Clone)]
pub struct Caller {
    pub user: UserId,
    pub name: String,
    pub email: String,
    pub language: String,
    pub theme: String,
    pub company: CompanyId,
    pub role: Role,
    /// IANA name: the user's own, else the company's.
    pub zone: chrono_tz::Tz,
}

impl Caller {
    pub fn require(&self, role: Role) -> Result<()> {
        if self.role >= role {
            Ok(())
        } else {
            Err(Error::Forbidden)
        }
    }
}

/// The caller behind a user, in `company` or in the active one; [`Error::SignIn`] when they may not
/// work there or are disabled.
pub async fn caller(
    conn: &mut AsyncPgConnection,
    user: UserId,
    company: Option<CompanyId>,
) -> Result<Caller> {
    let user = users::find(conn, user).await.map_err(|_| Error::SignIn)?;
    if !user.active {
        return Err(Error::SignIn);
    }
    let company = company.unwrap_or(user.active_company_id);
    let role = users::companies_of(conn, user.id)
        .await?
        .into_iter()
        .find(|(allowed, _)| *allowed == company)
        .and_then(|(_, role)| Role::parse(&role))
        .ok_or(Error::SignIn)?;
    let zone = match user.time_zone.as_deref().and_then(|zone| zone.parse().ok()) {
        Some(zone) => zone,
        None => crate::companies::find(conn, company).await?.zone(),
    };
    Ok(Caller {
        user: user.id,
        name: user.name,
        email: user.email,
        language: user.language,
        theme: user.theme,
        company,
        role,
        zone,
    })
}
