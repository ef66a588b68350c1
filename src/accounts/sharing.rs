//! Which companies may use an account beside its owner, and which of their users.
//!
//! Invariants: an account is shared with a company, and withdrawn from it, only by somebody who is
//! administrator there too; other links stay as they are; a link is never deleted, because what was sent
//! points to it; it is withdrawn only while nothing of that company is on its way. The allowed users hold
//! in every company: each has the whole list, so that it can be read there. Everything here works for
//! several companies at once and takes a connection that sees all.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::query;
use crate::companies::{self, Company};
use crate::error::{Error, Result};
use crate::ids::{AccountId, CompanyId, UserId};
use crate::schema::{account_companies, account_users, mailings};
use crate::users;

/// What the form shows of an account's companies.
#[derive(Debug, Default)]
pub struct Sharing {
    /// May be chosen: the companies, beside the owner, in which the person is administrator.
    pub choices: Vec<Company>,
    /// Those of them that may use the account now.
    pub chosen: Vec<CompanyId>,
    /// May use it too, and are not this person's to withdraw.
    pub kept: Vec<Company>,
}

/// `account`: none for a new one.
pub async fn of(
    conn: &mut AsyncPgConnection,
    owner: CompanyId,
    user: UserId,
    account: Option<AccountId>,
) -> Result<Sharing> {
    let mut own = users::administered_by(conn, user).await?;
    own.retain(|company| *company != owner);
    let linked = match account {
        Some(account) => query::companies(conn, account).await?,
        None => Vec::new(),
    };
    let kept: Vec<CompanyId> = linked
        .iter()
        .copied()
        .filter(|company| *company != owner && !own.contains(company))
        .collect();
    let mut choices = companies::find_many(conn, &own).await?;
    choices.retain(|company| company.active || linked.contains(&company.id));
    Ok(Sharing {
        choices,
        chosen: own
            .into_iter()
            .filter(|company| linked.contains(company))
            .collect(),
        kept: companies::find_many(conn, &kept).await?,
    })
}

/// Lets the owner and `wanted` use the account, and of their users those of `allowed`; nobody there:
/// everybody. Belongs in the transaction that writes the account.
pub(super) async fn set(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    owner: CompanyId,
    user: UserId,
    wanted: &[CompanyId],
    allowed: &[UserId],
) -> Result<()> {
    let now = of(conn, owner, user, Some(account)).await?;
    let may = |company: &CompanyId| {
        *company == owner || now.choices.iter().any(|choice| choice.id == *company)
    };
    let kept: Vec<CompanyId> = now.kept.iter().map(|company| company.id).collect();
    if !wanted.iter().all(|one| may(one) || kept.contains(one)) {
        return Err(Error::invalid(
            "allowed_company_ids",
            "You can add only companies in which you are administrator.",
        ));
    }
    for company in now.chosen.iter().filter(|one| !wanted.contains(one)) {
        withdraw(conn, account, *company).await?;
    }
    let mut all = vec![owner];
    all.extend(kept);
    all.extend(wanted);
    all.sort_unstable();
    all.dedup();
    link(conn, account, &all).await?;
    allow(conn, account, &all, allowed).await
}

async fn link(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    all: &[CompanyId],
) -> QueryResult<()> {
    let links: Vec<_> = all
        .iter()
        .map(|company| {
            (
                account_companies::company_id.eq(*company),
                account_companies::account_id.eq(account),
            )
        })
        .collect();
    diesel::insert_into(account_companies::table)
        .values(links)
        .on_conflict((account_companies::company_id, account_companies::account_id))
        .do_update()
        .set(account_companies::active.eq(true))
        .execute(conn)
        .await?;
    Ok(())
}

/// Refused while a mailing of the company is on its way over the account. The link is locked first:
/// whoever submits one meanwhile holds it, see [`query::hold_link`].
async fn withdraw(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    company: CompanyId,
) -> Result<()> {
    diesel::update(account_companies::table.find((company, account)))
        .set(account_companies::active.eq(false))
        .execute(conn)
        .await?;
    let busy: Vec<String> = mailings::table
        .filter(mailings::account_id.eq(account))
        .filter(mailings::company_id.eq(company))
        .filter(mailings::state.eq_any(query::UNDER_WAY))
        .order(mailings::id)
        .limit(5)
        .select(mailings::subject)
        .load(conn)
        .await?;
    if busy.is_empty() {
        return Ok(());
    }
    let name = companies::find(conn, company).await?.name;
    Err(Error::invalid(
        "allowed_company_ids",
        format!(
            "{name} still needs this account for: {}. Cancel them or let them finish first.",
            busy.join(", ")
        ),
    ))
}

async fn allow(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    companies: &[CompanyId],
    allowed: &[UserId],
) -> Result<()> {
    let before = query::allowed_users(conn, account).await?;
    let known = users::ids_of_companies(conn, companies).await?;
    // Who is allowed already may have left since, and stays named.
    if !allowed
        .iter()
        .all(|user| known.contains(user) || before.contains(user))
    {
        return Err(Error::invalid(
            "allowed_user_ids",
            "One of the users does not exist.",
        ));
    }
    diesel::delete(account_users::table.filter(account_users::account_id.eq(account)))
        .execute(conn)
        .await?;
    let rows: Vec<_> = companies
        .iter()
        .flat_map(|company| {
            allowed.iter().map(|user| {
                (
                    account_users::company_id.eq(*company),
                    account_users::account_id.eq(account),
                    account_users::user_id.eq(*user),
                )
            })
        })
        .collect();
    diesel::insert_into(account_users::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}
