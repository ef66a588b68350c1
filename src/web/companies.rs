//! Companies: the tenants whoever asks administers. Whoever makes one becomes its administrator.
//!
//! Invariant: a company in which the person is not administrator does not exist here (404).

use actix_web::web;
use askama::Template;
use diesel_async::{AsyncConnection as _, AsyncPgConnection};

use crate::auth::{Caller, Role};
use crate::companies::list::LIST;
use crate::companies::{self, Company, CompanyInput};
use crate::error::{Error, FieldErrors, Result};
use crate::ids::CompanyId;
use crate::text::{country, or_blank};
use crate::users::rights;
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{self, Posted, Pressed, see_other};
use crate::web::history;
use crate::web::list::{Empty, ListView};
use crate::web::page::{Action, Menu, Shell, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::{audit, presses, users};

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/companies", web::get().to(list))
        .route("/companies/new", web::get().to(new))
        .route("/companies", web::post().to(create))
        .route("/companies/{id:[0-9]+}", web::get().to(show))
        .route("/companies/{id:[0-9]+}", web::post().to(update))
        .route(
            "/companies/{id:[0-9]+}/{verb:deactivate|activate}",
            web::post().to(change),
        );
}

#[derive(Template)]
#[template(path = "companies/form.html")]
struct CompanyPage {
    shell: Shell,
    company: Option<Company>,
    input: CompanyInput,
    errors: FieldErrors,
    zones: Vec<&'static str>,
    history: Vec<Event>,
    stand: Stand,
}

impl CompanyPage {
    fn action(&self) -> String {
        self.company.as_ref().map_or_else(
            || "/companies".to_owned(),
            |company| format!("/companies/{}", company.id),
        )
    }

    /// The address of one of the company's verbs.
    fn href(&self, verb: &str) -> String {
        format!("{}{verb}", self.action())
    }

    fn countries(&self) -> &'static [(&'static str, &'static str)] {
        country::ALL
    }

    fn zone_choices(&self) -> Vec<(&'static str, &'static str)> {
        self.zones.iter().map(|zone| (*zone, *zone)).collect()
    }
}

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let found = {
        let mut system = visit.app.db.system().await?;
        table::load(&mut system, &LIST, &visit, None).await?
    };
    let mut conn = visit.conn().await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let empty = Empty {
        icon: "building",
        title: "companies.none",
        text: "companies.none_text",
        actions: vec![Action::link(shell.t("companies.new"), "/companies/new").icon("plus")],
    };
    let table = Table::new(shell, "menu.companies", "/companies/", found);
    Ok(ListView::new(table, "/companies", empty)
        .creating("/companies/new")
        .answer())
}

/// The company, when the person is administrator in it.
async fn own(caller: &Caller, conn: &mut AsyncPgConnection, id: CompanyId) -> Result<Company> {
    let own = users::administered_by(conn, caller.user).await?;
    if own.contains(&id) {
        Ok(companies::find(conn, id).await?)
    } else {
        Err(Error::NotFound)
    }
}

/// The form: of a company (`id`) or a new one; `input` is what was typed, when it had faults.
async fn render(
    visit: &Visit,
    id: Option<CompanyId>,
    input: Option<CompanyInput>,
    mut errors: FieldErrors,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let shell = {
        let mut conn = visit.conn().await?;
        visit.shell(Menu::Configuration, &mut conn).await?
    };
    let (mut company, mut entries, mut stand) = (None, Vec::new(), Stand::default());
    if let Some(id) = id {
        let mut system = visit.app.db.system().await?;
        let found = own(visit, &mut system, id).await?;
        entries = audit::of(&mut system, "companies", id.0).await?;
        let (record, filled) = (("companies", id.0), stored(&found));
        stand = Stand::of(visit, &mut system, &shell, record, &filled, &mut errors).await?;
        company = Some(found);
    }
    let status = stand.status(&errors);
    let page = CompanyPage {
        stand,
        history: history::events(&shell, "companies", entries),
        input: input.unwrap_or_else(|| match &company {
            Some(company) => stored(company),
            None => fresh(),
        }),
        shell,
        company,
        errors,
        zones: crate::web::preferences::zones(),
    };
    Ok(html_with(status, page))
}

fn stored(company: &Company) -> CompanyInput {
    CompanyInput {
        name: company.name.clone(),
        country: company.country.clone(),
        time_zone: company.time_zone.clone(),
        frequency_mailings: or_blank(company.frequency_mailings),
        frequency_days: or_blank(company.frequency_days),
        late_tolerance: (f64::from(company.late_tolerance_minutes) / 60.0).to_string(),
        opt_out_words: company.opt_out_words.join("\n"),
        opt_in_words: company.opt_in_words.join("\n"),
    }
}

fn fresh() -> CompanyInput {
    CompanyInput {
        country: "ID".to_owned(),
        time_zone: "Asia/Jakarta".to_owned(),
        late_tolerance: "24".to_owned(),
        opt_out_words: companies::OPT_OUT_WORDS.join("\n"),
        opt_in_words: companies::OPT_IN_WORDS.join("\n"),
        ..CompanyInput::default()
    }
}

async fn new(visit: Visit) -> WebResult {
    render(&visit, None, None, FieldErrors::default()).await
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = Some(CompanyId(*id));
    render(&visit, id, None, FieldErrors::default()).await
}

/// Says in the company's own history who did what.
async fn noted(
    caller: &Caller,
    conn: &mut AsyncPgConnection,
    id: CompanyId,
    what: &str,
) -> Result<()> {
    audit::note(conn, id, "companies", id.0, Some(caller.user), what, None).await?;
    Ok(())
}

/// Stores what was typed: of a company (`id`) or a new one.
async fn save(visit: &Visit, id: Option<CompanyId>, input: &CompanyInput) -> Result<CompanyId> {
    let draft = input.parse()?;
    let caller: &Caller = visit;
    let (posted, press) = (form::version(&visit.request), form::press(&visit.request));
    let mut system = visit.app.db.system().await?;
    system
        .transaction(async |conn| {
            let (id, what) = match id {
                Some(id) => {
                    audit::hold(conn, "companies", id.0).await?;
                    let before = own(caller, conn, id).await?;
                    edit::still(posted.as_deref(), &stored(&before))?;
                    companies::update(conn, id, &draft).await?;
                    (id, "changed")
                }
                None => {
                    if let Some(first) = presses::before(conn, caller.company, &press).await? {
                        return Ok(first.parse().map(CompanyId).unwrap_or(caller.company));
                    }
                    let id = companies::create(conn, &draft).await?;
                    let role = [(id, Some(Role::Administrator.as_str()))];
                    rights::change_roles(conn, caller.user, &role).await?;
                    presses::led_to(conn, caller.company, &press, &id.to_string()).await?;
                    (id, "created")
                }
            };
            noted(caller, conn, id, what).await?;
            Ok(id)
        })
        .await
}

async fn saved(visit: Visit, id: Option<CompanyId>, input: CompanyInput) -> WebResult {
    match save(&visit, id, &input).await {
        Ok(stored) => {
            visit.tell(if id.is_some() {
                "companies.saved"
            } else {
                "companies.made"
            });
            Ok(see_other(format!("/companies/{stored}")))
        }
        Err(Error::Invalid(errors)) => render(&visit, id, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn create(visit: Visit, Posted(input): Posted<CompanyInput>) -> WebResult {
    visit.require(Role::Administrator)?;
    saved(visit, None, input).await
}

async fn update(
    visit: Visit,
    id: web::Path<i64>,
    Posted(input): Posted<CompanyInput>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    saved(visit, Some(CompanyId(*id)), input).await
}

async fn change(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let (id, verb) = path.into_inner();
    let id = CompanyId(id);
    let caller: &Caller = &visit;
    let mut system = visit.app.db.system().await?;
    system
        .transaction(async |conn| {
            own(caller, conn, id).await?;
            if verb == "activate" {
                companies::activate(conn, id).await?;
            } else {
                companies::deactivate(conn, id).await?;
            }
            noted(caller, conn, id, &verb).await
        })
        .await?;
    // Who worked in it works in another one now, and may not be administrator there.
    let stays = verb == "activate" || id != visit.company;
    Ok(see_other(if stays {
        format!("/companies/{id}")
    } else {
        "/".to_owned()
    }))
}
