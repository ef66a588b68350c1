//! `wablast user`: what the page Users does, for whoever runs the server; also while it runs.
//!
//! Invariant: the verbs are those of the panel, with the rules that hold for everybody (a company keeps an
//! administrator, nobody is without a company) and without those of a person's own rights.

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection as _, AsyncPgConnection, TransactionManager as _,
};
use wablast::app::App;
use wablast::auth::link::{self, By, Invited};
use wablast::error::{Error, Result};
use wablast::ids::{CompanyId, UserId};
use wablast::users::{self, User, UserInput, rights};
use wablast::{audit, companies};

use crate::in_words;

#[derive(Subcommand)]
pub enum UserCommand {
    /// Everybody, with their companies and roles
    List,
    /// Prints a one-time link, alone on the last line, behind which the person chooses a password
    Invite {
        #[arg(long)]
        email: String,
        #[arg(long)]
        name: String,
        /// Name of the company; may be left out while there is one
        #[arg(long)]
        company: Option<String>,
        #[arg(long, value_enum, default_value_t = RoleWord::User)]
        role: RoleWord,
        #[arg(long, default_value = "en", value_parser = ["en", "id"])]
        language: String,
    },
    /// Ends the password and all sessions; prints a one-time link to a new one, alone on the last line
    ResetPassword {
        #[arg(long)]
        email: String,
    },
    /// Signs somebody out everywhere and keeps them out
    Deactivate {
        #[arg(long)]
        email: String,
    },
    /// Lets somebody sign in again
    Activate {
        #[arg(long)]
        email: String,
    },
    /// Gives a role in a company, or takes it
    Role {
        #[arg(long)]
        email: String,
        /// Name of the company; may be left out while there is one
        #[arg(long)]
        company: Option<String>,
        #[arg(long, value_enum)]
        role: RoleWord,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    User,
    Manager,
    Administrator,
    None,
}

impl RoleWord {
    fn stored(self) -> Option<&'static str> {
        match self {
            Self::User => Some("user"),
            Self::Manager => Some("manager"),
            Self::Administrator => Some("administrator"),
            Self::None => None,
        }
    }
}

pub async fn perform(app: &App, command: UserCommand) -> anyhow::Result<()> {
    let mut conn = app.db.system().await.map_err(in_words)?;
    let conn: &mut AsyncPgConnection = &mut conn;
    match command {
        UserCommand::List => list(conn).await,
        UserCommand::Invite {
            email,
            name,
            company,
            role,
            language,
        } => {
            let company = company_called(conn, company.as_deref()).await?;
            let input = UserInput {
                name,
                email,
                language,
                company_ids: vec![company.0],
                roles: vec![role.stored().unwrap_or_default().to_owned()],
                ..UserInput::default()
            };
            invite(app, conn, company, &input).await
        }
        UserCommand::ResetPassword { email } => {
            let user = find(conn, &email).await?;
            let by = by(app);
            let token = noted(conn, user.id, "reset", async |conn| {
                link::reset(conn, user.id, by).await
            })
            .await?;
            print_link(app, &token);
            Ok(())
        }
        UserCommand::Deactivate { email } => {
            let user = find(conn, &email).await?;
            noted(conn, user.id, "deactivate", async |conn| {
                link::deactivate(conn, user.id).await
            })
            .await?;
            println!("{} cannot sign in any more.", user.email);
            Ok(())
        }
        UserCommand::Activate { email } => {
            let user = find(conn, &email).await?;
            if !user.active {
                noted(conn, user.id, "activate", async |conn| {
                    rights::set_active(conn, user.id, true).await
                })
                .await?;
            }
            println!("{}", way_in(app, conn, &user).await?);
            Ok(())
        }
        UserCommand::Role {
            email,
            company,
            role,
        } => {
            let company = company_called(conn, company.as_deref()).await?;
            let user = find(conn, &email).await?;
            noted(conn, user.id, "changed", async |conn| {
                rights::change_roles(conn, user.id, &[(company, role.stored())]).await
            })
            .await?;
            list(conn).await
        }
    }
}

/// What an active person signs in with; `user` as they were before.
async fn way_in(app: &App, conn: &mut AsyncPgConnection, user: &User) -> anyhow::Result<String> {
    let email = &user.email;
    if user.password_hash.is_some() {
        let again = if user.active { "already" } else { "again" };
        return Ok(format!("{email} may sign in {again}."));
    }
    let link = link::works_until(conn, user.id, app.clock.now()).await?;
    let begins = match link {
        Some(until) => format!(
            "{email} was invited and has not chosen a password yet: their link works until {}.",
            until.format("%Y-%m-%d %H:%M UTC")
        ),
        None => format!("{email} is active, but has no password yet and no link that works."),
    };
    Ok(format!(
        "{begins}\nFor a new link: wablast user reset-password --email {email}"
    ))
}

fn by(app: &App) -> By {
    By {
        user: None,
        now: app.clock.now(),
    }
}

fn print_link(app: &App, token: &str) {
    println!("It works once, for 72 hours:");
    println!("{}/join?token={token}", app.config.public_url());
}

async fn find(conn: &mut AsyncPgConnection, email: &str) -> anyhow::Result<User> {
    users::find_by_email(conn, email)
        .await?
        .with_context(|| format!("there is no user {email}"))
}

async fn company_called(
    conn: &mut AsyncPgConnection,
    name: Option<&str>,
) -> anyhow::Result<CompanyId> {
    let found = match name {
        Some(name) => companies::find_by_name(conn, name).await?,
        None => companies::all(conn).await?,
    };
    match (found.as_slice(), name) {
        ([only], _) => Ok(only.id),
        ([], Some(name)) => anyhow::bail!("there is no company called {name}"),
        ([], None) => anyhow::bail!("there is no company yet: run wablast setup first"),
        (_, Some(name)) => anyhow::bail!("several companies are called {name}: rename one first"),
        (_, None) => anyhow::bail!("there are several companies: say which with --company"),
    }
}

async fn invite(
    app: &App,
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    input: &UserInput,
) -> anyhow::Result<()> {
    let draft = input.parse().map_err(in_words)?;
    let by = by(app);
    let made = conn
        .transaction(async |conn| {
            let made = link::invite(conn, &draft, &[company], by).await?;
            note(conn, made.user(), "invited").await?;
            Ok::<_, Error>(made)
        })
        .await
        .map_err(in_words)?;
    match made {
        Invited::New(_, token) => print_link(app, &token),
        Invited::Known(_) => println!("{} signs in already and has the role now.", draft.email),
    }
    Ok(())
}

/// Does something to a person and says so in their history, together.
async fn noted<T: Send>(
    conn: &mut AsyncPgConnection,
    user: UserId,
    action: &'static str,
    verb: impl AsyncFnOnce(&mut AsyncPgConnection) -> Result<T>,
) -> anyhow::Result<T> {
    let done: Result<T> = async {
        AnsiTransactionManager::begin_transaction(&mut *conn).await?;
        let done = verb(&mut *conn).await?;
        note(conn, user, action).await?;
        AnsiTransactionManager::commit_transaction(&mut *conn).await?;
        Ok(done)
    }
    .await;
    // Not committed: the connection ends with this program, and with it what was begun.
    done.map_err(in_words)
}

/// In the history of each of the person's companies.
async fn note(conn: &mut AsyncPgConnection, user: UserId, action: &str) -> Result<()> {
    for (company, _) in rights::roles_of(conn, user).await? {
        audit::note(conn, company, "users", user.0, None, action, None).await?;
    }
    Ok(())
}

async fn list(conn: &mut AsyncPgConnection) -> anyhow::Result<()> {
    let companies = companies::all(conn).await?;
    for user in users::all(conn).await? {
        let mut roles = Vec::new();
        for (company, role) in rights::roles_of(conn, user.id).await? {
            let name = companies
                .iter()
                .find(|one| one.id == company)
                .map_or("(deactivated company)", |one| one.name.as_str());
            roles.push(format!("{role} in {name}"));
        }
        println!(
            "{}\t{}\t{}\t{}",
            user.email,
            user.name,
            user.state(),
            roles.join(", ")
        );
    }
    Ok(())
}
