//! Users: who works in the company and as what; inviting, shutting out, new passwords.
//!
//! Invariants: a person of another company does not exist (404); a one-time link is shown once, on the page
//! after it was made; what concerns a person everywhere is asked of [`rights::reach`].

use actix_web::web;
use askama::Template;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::json;

use crate::auth::link::{self, By, Invited};
use crate::auth::session::{self as sessions, Seen};
use crate::auth::{self, Caller, Role};
use crate::error::{Error, FieldErrors, Result};
use crate::i18n::Lang;
use crate::ids::{CompanyId, UserId};
use crate::users::list::LIST;
use crate::users::rights::{self, Reach};
use crate::users::{self, ROLES, User, UserInput};
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{self, Posted, Pressed, see_other};
use crate::web::list::{Empty, ListView};
use crate::web::page::{Action, Menu, Shell, html, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::web::{history, once};
use crate::{audit, companies, presses};

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/users", web::get().to(list))
        .route("/users/new", web::get().to(new))
        .route("/users", web::post().to(invite))
        .route("/users/{id:[0-9]+}", web::get().to(show))
        .route("/users/{id:[0-9]+}", web::post().to(update))
        .route("/users/{id:[0-9]+}/reset", web::get().to(ask))
        .route(
            "/users/{id:[0-9]+}/{verb:reset|link|withdraw|deactivate|activate|sign-out}",
            web::post().to(change),
        );
}

/// A company in which the person may be given a role; blank: none.
struct Place {
    id: i64,
    name: String,
    role: String,
}

/// What stands around the form of somebody who is stored.
struct Known {
    user: User,
    /// Somebody who works in companies of others too: only roles can be changed.
    whole: bool,
    /// Names of the companies of others.
    elsewhere: String,
    sessions: Vec<Seen>,
    /// Until when a one-time link works.
    link_until: Option<chrono::DateTime<chrono::Utc>>,
    /// The link itself, this once.
    link: Option<String>,
    history: Vec<Event>,
}

#[derive(Template)]
#[template(path = "users/form.html")]
struct UserPage {
    shell: Shell,
    known: Option<Known>,
    input: UserInput,
    errors: FieldErrors,
    places: Vec<Place>,
    zones: Vec<&'static str>,
    stand: Stand,
}

impl UserPage {
    fn action(&self) -> String {
        self.known.as_ref().map_or_else(
            || "/users".to_owned(),
            |known| format!("/users/{}", known.user.id),
        )
    }

    /// The address of one of the person's verbs.
    fn href(&self, verb: &str) -> String {
        format!("{}{verb}", self.action())
    }

    /// Where the person works now, of the companies that may be chosen.
    fn works_in(&self) -> Vec<(i64, &str)> {
        let places = self.places.iter();
        places
            .filter(|place| !place.role.is_empty())
            .map(|place| (place.id, place.name.as_str()))
            .collect()
    }

    fn languages(&self) -> [(&'static str, &'static str); 2] {
        Lang::ALL.map(|lang| (lang.as_str(), lang.own_name()))
    }

    fn zone_choices(&self) -> Vec<(&'static str, &'static str)> {
        self.zones.iter().map(|zone| (*zone, *zone)).collect()
    }

    fn roles(&self) -> [&'static str; 3] {
        ROLES
    }

    /// Everything about the person can be changed, not only roles.
    fn whole(&self) -> bool {
        self.known.as_ref().is_none_or(|known| known.whole)
    }

    fn is_self(&self) -> bool {
        let own = self.shell.user.as_ref().map(|person| person.id);
        self.known
            .as_ref()
            .is_some_and(|known| own == Some(known.user.id))
    }
}

#[derive(Template)]
#[template(path = "users/confirm.html")]
struct ResetPage {
    shell: Shell,
    user: User,
}

impl ResetPage {
    fn href(&self, verb: &str) -> String {
        format!("/users/{}{verb}", self.user.id)
    }
}

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let empty = Empty {
        icon: "users",
        title: "users.none",
        text: "users.none_text",
        actions: vec![Action::link(shell.t("users.invite"), "/users/new").icon("user-plus")],
    };
    let table = Table::new(shell, "menu.users", "/users/", found);
    Ok(ListView::new(table, "/users", empty)
        .creating("/users/new")
        .answer())
}

/// The person, when they work in the visit's company.
async fn member(visit: &Visit, conn: &mut AsyncPgConnection, id: UserId) -> Result<User> {
    let roles = rights::roles_of(conn, id).await?;
    if roles.iter().any(|(company, _)| *company == visit.company) {
        Ok(users::find(conn, id).await?)
    } else {
        Err(Error::NotFound)
    }
}

/// The form: of a person (`id`) or a new one; `input` is what was typed, when it had faults.
async fn render(
    visit: &Visit,
    id: Option<UserId>,
    input: Option<UserInput>,
    mut errors: FieldErrors,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let mut system = visit.app.db.system().await?;
    let (mut roles, mut user) = (Vec::new(), None);
    if let Some(id) = id {
        user = Some(member(visit, &mut system, id).await?);
        roles = rights::roles_of(&mut system, id).await?;
    }
    let own = users::administered_by(&mut system, visit.user).await?;
    let choices = companies::find_many(&mut system, &own).await?;
    let elsewhere: Vec<CompanyId> = roles
        .iter()
        .map(|(company, _)| *company)
        .filter(|company| !own.contains(company))
        .collect();
    let elsewhere = companies::find_many(&mut system, &elsewhere).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let mut stand = Stand::default();
    if let Some(user) = &user {
        let filled = filled_from(user, &roles);
        let record = ("users", user.id.0);
        stand = Stand::of(visit, &mut conn, &shell, record, &filled, &mut errors).await?;
    }
    let known = match user {
        Some(user) => Some(Known {
            whole: elsewhere.is_empty(),
            elsewhere: elsewhere
                .into_iter()
                .map(|company| company.name)
                .collect::<Vec<_>>()
                .join(", "),
            sessions: sessions::of(&mut system, user.id, visit.app.clock.now()).await?,
            link_until: link::works_until(&mut system, user.id, visit.app.clock.now()).await?,
            link: once::take(visit, &format!("/users/{}", user.id)),
            history: history::events(
                &shell,
                "users",
                audit::of(&mut conn, "users", user.id.0).await?,
            ),
            user,
        }),
        None => None,
    };
    let places = choices
        .into_iter()
        .map(|company| Place {
            role: role_in(company.id, &roles, input.as_ref(), visit, id),
            id: company.id.0,
            name: company.name,
        })
        .collect();
    let status = stand.status(&errors);
    let page = UserPage {
        stand,
        shell,
        input: input.unwrap_or_else(|| stored(known.as_ref())),
        known,
        errors,
        places,
        zones: crate::web::preferences::zones(),
    };
    Ok(html_with(status, page))
}

/// The role shown for a company: as typed, as stored, and for somebody new User in the active company.
fn role_in(
    company: CompanyId,
    stored: &[(CompanyId, String)],
    typed: Option<&UserInput>,
    visit: &Visit,
    id: Option<UserId>,
) -> String {
    if let Some(input) = typed {
        let at = input.company_ids.iter().position(|one| *one == company.0);
        let role = at.and_then(|at| input.roles.get(at));
        return role.cloned().unwrap_or_default();
    }
    match id {
        None if company == visit.company => "user".to_owned(),
        None => String::new(),
        Some(_) => stored
            .iter()
            .find(|(one, _)| *one == company)
            .map(|(_, role)| role.clone())
            .unwrap_or_default(),
    }
}

/// Everything the form of a person shows, to know whether somebody changed it since.
fn filled_from(user: &User, roles: &[(CompanyId, String)]) -> serde_json::Value {
    let zone = user.time_zone.clone().unwrap_or_default();
    let roles: Vec<(i64, &str)> = roles
        .iter()
        .map(|(company, role)| (company.0, role.as_str()))
        .collect();
    json!([
        user.name,
        user.email,
        user.language,
        zone,
        user.active_company_id.0,
        roles
    ])
}

fn stored(known: Option<&Known>) -> UserInput {
    match known {
        Some(known) => UserInput {
            name: known.user.name.clone(),
            email: known.user.email.clone(),
            language: known.user.language.clone(),
            time_zone: known.user.time_zone.clone().unwrap_or_default(),
            active_company: known.user.active_company_id.to_string(),
            ..UserInput::default()
        },
        None => UserInput {
            language: "en".to_owned(),
            ..UserInput::default()
        },
    }
}

async fn new(visit: Visit) -> WebResult {
    render(&visit, None, None, FieldErrors::default()).await
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = Some(UserId(*id));
    render(&visit, id, None, FieldErrors::default()).await
}

/// Says in the person's history who did what.
async fn noted(
    caller: &Caller,
    conn: &mut AsyncPgConnection,
    id: UserId,
    what: &str,
) -> Result<()> {
    let by = Some(caller.user);
    audit::note(conn, caller.company, "users", id.0, by, what, None).await?;
    Ok(())
}

fn by(visit: &Visit) -> By {
    By {
        user: Some(visit.user),
        now: visit.app.clock.now(),
    }
}

/// Keeps the address of a one-time link for the person's page.
fn keep_link(visit: &Visit, user: UserId, token: &str) -> Result<()> {
    let address = format!("{}/join?token={token}", visit.app.config.public_url());
    once::keep(visit, &format!("/users/{user}"), &address)
}

/// Where an invitation leads: a new person's page shows the link.
fn page_after(made: &Invited) -> String {
    match made {
        Invited::New(user, _) => format!("/users/{user}"),
        Invited::Known(_) => "/users".to_owned(),
    }
}

async fn invite(visit: Visit, Posted(input): Posted<UserInput>) -> WebResult {
    visit.require(Role::Administrator)?;
    let made: Result<Result<Invited, String>> = async {
        let draft = input.parse()?;
        let (caller, by): (&Caller, By) = (&visit, by(&visit));
        let press = form::press(&visit.request);
        let mut system = visit.app.db.system().await?;
        system
            .transaction(async |conn| {
                if let Some(first) = presses::before(conn, caller.company, &press).await? {
                    return Ok(Err(first));
                }
                let reach = users::administered_by(conn, caller.user).await?;
                let made = link::invite(conn, &draft, &reach, by).await?;
                noted(caller, conn, made.user(), "invited").await?;
                presses::led_to(conn, caller.company, &press, &page_after(&made)).await?;
                Ok(Ok(made))
            })
            .await
    }
    .await;
    match made {
        Ok(Err(first)) => Ok(see_other(first)),
        Ok(Ok(made)) => {
            match &made {
                Invited::New(user, token) => keep_link(&visit, *user, token)?,
                Invited::Known(_) => visit.tell("users.known"),
            }
            Ok(see_other(page_after(&made)))
        }
        Err(Error::Invalid(errors)) => render(&visit, None, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn update(
    visit: Visit,
    id: web::Path<i64>,
    Posted(mut input): Posted<UserInput>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let id = UserId(*id);
    let reach = {
        let mut system = visit.app.db.system().await?;
        let person = member(&visit, &mut system, id).await?;
        let reach = rights::reach(&mut system, visit.user, id).await?;
        if !reach.whole {
            // These fields are not on the form.
            input.name = person.name;
            input.email = person.email;
        }
        reach
    };
    match save(&visit, id, &input, &reach).await {
        Ok(()) => {
            visit.tell("users.saved");
            // Who gave away their own role leaves this page.
            let now = {
                let mut system = visit.app.db.system().await?;
                auth::caller(&mut system, visit.user, None).await?
            };
            let stays = id != visit.user || now.role >= Role::Administrator;
            Ok(see_other(if stays {
                format!("/users/{id}")
            } else {
                "/".to_owned()
            }))
        }
        Err(Error::Invalid(errors)) => render(&visit, Some(id), Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn save(visit: &Visit, id: UserId, input: &UserInput, reach: &Reach) -> Result<()> {
    let draft = input.parse()?;
    let caller: &Caller = visit;
    let posted = form::version(&visit.request);
    let mut system = visit.app.db.system().await?;
    system
        .transaction(async |conn| {
            audit::hold(conn, "users", id.0).await?;
            let before = users::find(conn, id).await?;
            let roles = rights::roles_of(conn, id).await?;
            edit::still(posted.as_deref(), &filled_from(&before, &roles))?;
            rights::update(conn, id, &draft, reach).await?;
            noted(caller, conn, id, "changed").await
        })
        .await
}

/// Asks before a password is over.
async fn ask(visit: Visit, id: web::Path<i64>) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let mut system = visit.app.db.system().await?;
    let user = member(&visit, &mut system, UserId(*id)).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    Ok(html(ResetPage { shell, user }))
}

async fn change(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let (id, verb) = path.into_inner();
    let id = UserId(id);
    let (caller, by): (&Caller, By) = (&visit, by(&visit));
    let (press, page) = (form::press(&visit.request), format!("/users/{id}"));
    let mut system = visit.app.db.system().await?;
    member(&visit, &mut system, id).await?;
    let done = system
        .transaction(async |conn| {
            if let Some(first) = presses::before(conn, caller.company, &press).await? {
                return Ok(Err(first));
            }
            let reach = rights::reach(conn, caller.user, id).await?;
            reach.require_whole()?;
            let token = perform(conn, id, &verb, by).await?;
            noted(caller, conn, id, &verb.replace('-', "_")).await?;
            presses::led_to(conn, caller.company, &press, &page).await?;
            Ok::<_, Error>(Ok(token))
        })
        .await?;
    match done {
        Err(first) => return Ok(see_other(first)),
        Ok(Some(token)) => keep_link(&visit, id, &token)?,
        Ok(None) => visit.tell("users.done"),
    }
    // Who signed themselves out everywhere begins at the first page.
    Ok(see_other(page))
}

/// Does what a button says; a new link's token, where it makes one.
async fn perform(
    conn: &mut AsyncPgConnection,
    id: UserId,
    verb: &str,
    by: By,
) -> Result<Option<String>> {
    match verb {
        "reset" => return Ok(Some(link::reset(conn, id, by).await?)),
        "link" => return Ok(Some(link::renew(conn, id, by).await?)),
        "withdraw" => {
            link::withdraw(conn, id).await?;
        }
        "deactivate" => link::deactivate(conn, id).await?,
        "activate" => rights::set_active(conn, id, true).await?,
        _ => {
            sessions::end_others(conn, id, None).await?;
        }
    }
    Ok(None)
}
