//! Templates: the list of them, one as people will see it, and a new one written and handed in.
//!
//! Invariant: what stands at Meta is only read here; a draft is written by administrators of the account's owner.

use actix_web::{HttpResponse, web};
use askama::Template as Page;
use diesel_async::AsyncPgConnection;

use crate::accounts::{self, Account};
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::gateways::meta::templates::{Shape, with_values};
use crate::ids::{AccountId, TemplateId};
use crate::templates::list::LIST;
use crate::templates::{Template, TemplateInput, input, query, sync};
use crate::text::merge::{Parts, Values};
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::history;
use crate::web::list::{Empty, ListView};
use crate::web::mailings::preview::{self, Bubble};
use crate::web::page::{Action, Menu, Shell, html, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::template_form::{shown, stored};
use crate::web::visit::Visit;
use crate::{audit, mailings};

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/templates", web::get().to(list))
        .route("/templates/new", web::get().to(new))
        .route("/templates", web::post().to(create))
        .route("/templates/{id:[0-9]+}", web::get().to(show))
        .route("/templates/{id:[0-9]+}", web::post().to(update))
        .route("/templates/{id:[0-9]+}/hand-in", web::post().to(hand_in))
        .route("/templates/{id:[0-9]+}/sync", web::post().to(sync_one))
        .route("/templates/{id:[0-9]+}/delete", web::post().to(delete));
}

fn href(id: TemplateId) -> String {
    format!("/templates/{id}")
}

async fn list(visit: Visit) -> WebResult {
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Templates, &mut conn).await?;
    let is_administrator = visit.role >= Role::Administrator;
    let actions = if is_administrator {
        vec![
            Action::link(shell.t("menu.accounts"), "/accounts").icon("refresh"),
            Action::link(shell.t("templates.new"), "/templates/new").icon("plus"),
        ]
    } else {
        Vec::new()
    };
    let empty = Empty {
        icon: "template",
        title: "templates.none",
        text: "templates.none_text",
        actions,
    };
    let table = Table::new(shell, "menu.templates", "/templates/", found);
    let view = ListView::new(table, "/templates", empty);
    Ok(if is_administrator {
        view.creating("/templates/new").answer()
    } else {
        view.answer()
    })
}

/// A place of a template, with what it was approved with.
struct Place {
    /// `{{1}}` in the body.
    label: String,
    sample: String,
}

#[derive(Page)]
#[template(path = "templates/show.html")]
struct ShowPage {
    shell: Shell,
    template: Template,
    shape: Shape,
    account: String,
    places: Vec<Place>,
    bubble: Bubble,
    mailings: i64,
    unusable: Option<&'static str>,
    may_change: bool,
    history: Vec<Event>,
}

impl ShowPage {
    fn mailing_href(&self) -> String {
        format!("/mailings/new?template={}", self.template.id)
    }

    fn sync_href(&self) -> String {
        format!("{}/sync", href(self.template.id))
    }

    fn category_changed(&self, before: &str) -> String {
        let word = |category: &str| self.shell.t(&format!("state.template_category.{category}"));
        let words = [word(before), word(&self.template.category)];
        self.shell.tf("templates.category_changed", &words)
    }

    fn file_words(&self) -> String {
        let kind = self.shell.t(&format!("media.{}", self.shape.header_type));
        self.shell.tf("templates.has_file", &[kind])
    }

    fn has_file(&self) -> bool {
        !matches!(self.shape.header_type.as_str(), "none" | "text" | "")
    }
}

#[derive(Page)]
#[template(path = "templates/form.html")]
struct FormPage {
    shell: Shell,
    template: Option<Template>,
    input: TemplateInput,
    errors: FieldErrors,
    accounts: Vec<(i64, String)>,
    bubble: Bubble,
    buttons: Vec<String>,
    history: Vec<Event>,
    stand: Stand,
}

impl FormPage {
    fn action(&self) -> String {
        self.template
            .as_ref()
            .map_or_else(|| "/templates".to_owned(), |template| href(template.id))
    }

    fn title(&self) -> String {
        self.template.as_ref().map_or_else(
            || self.shell.t("templates.new"),
            |template| template.name.clone(),
        )
    }

    fn languages(&self) -> Vec<(&'static str, String)> {
        let written = |(code, name): &(&'static str, &str)| (*code, format!("{name} ({code})"));
        input::LANGUAGES.iter().map(written).collect()
    }

    fn categories(&self) -> [(&'static str, &'static str); 2] {
        [
            ("marketing", "state.template_category.marketing"),
            ("utility", "state.template_category.utility"),
        ]
    }

    fn kinds(&self) -> [(&'static str, &'static str); 2] {
        [
            ("quick_reply", "templates.quick_reply"),
            ("url", "templates.url"),
        ]
    }

    /// Kind, text and address of each button's line.
    fn lines(&self) -> Vec<(String, String, String)> {
        let of = |all: &[String], index: usize| all.get(index).cloned().unwrap_or_default();
        (0..input::BUTTONS)
            .map(|index| {
                (
                    of(&self.input.button_kinds, index),
                    of(&self.input.button_texts, index),
                    of(&self.input.button_urls, index),
                )
            })
            .collect()
    }

    /// Each variable with its sample.
    fn samples(&self) -> Vec<(String, String)> {
        let samples = self
            .input
            .samples
            .iter()
            .cloned()
            .chain(std::iter::repeat(String::new()));
        let variables = self.input.variables_of();
        variables
            .iter()
            .map(|key| label(&self.shell, key))
            .zip(samples)
            .collect()
    }
}

/// "Text {{1}}", "Button 2": a place as people read it.
pub fn label(shell: &Shell, key: &str) -> String {
    match key.split_once('.') {
        Some(("button", index)) => {
            let number = index.parse::<usize>().map_or(1, |index| index + 1);
            shell.tf("templates.place_button", &[number.to_string()])
        }
        Some((place, name)) => {
            let key = if place == "header" {
                "templates.place_header"
            } else {
                "templates.place_body"
            };
            shell.tf(key, &[format!("{{{{{name}}}}}")])
        }
        None => key.to_owned(),
    }
}

/// The message with the samples in their places, marked.
fn bubble(shape: &Shape) -> Bubble {
    let placed =
        |place: &str, text: &str| with_values(text, |name| Some(format!("{{{{{place}.{name}}}}}")));
    let values: Values = shape
        .slots()
        .into_iter()
        .map(|slot| {
            let written = slot
                .variable
                .map(|name| format!("{{{{{name}}}}}"))
                .unwrap_or_default();
            let sample = shape
                .samples
                .get(&slot.key)
                .filter(|sample| !sample.is_empty())
                .cloned();
            (slot.key, sample.unwrap_or(written))
        })
        .collect();
    let parts = Parts {
        subject: String::new(),
        header: if shape.header_type == "text" {
            placed("header", &shape.header)
        } else {
            String::new()
        },
        message: placed("body", &shape.body),
        footer: shape.footer.clone(),
    };
    preview::marked(&parts, &values)
}

fn places(shell: &Shell, shape: &Shape) -> Vec<Place> {
    let slots = shape.slots();
    slots
        .into_iter()
        .map(|slot| Place {
            label: label(shell, &slot.key),
            sample: shape.samples.get(&slot.key).cloned().unwrap_or_default(),
        })
        .collect()
}

/// Whether this person may change the templates of the account.
async fn may_change(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    account: AccountId,
) -> Result<bool> {
    let account = accounts::query::find(conn, account).await?;
    Ok(visit.role >= Role::Administrator && account.company_id == visit.company)
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = TemplateId(*id);
    let mut conn = visit.conn().await?;
    let template = query::find(&mut conn, id).await?;
    let may_change = may_change(&visit, &mut conn, template.account_id).await?;
    if may_change && template.uid.is_empty() {
        drop(conn);
        return render(&visit, Some(id), None, FieldErrors::default()).await;
    }
    let shell = visit.shell(Menu::Templates, &mut conn).await?;
    let entries = audit::of(&mut conn, "templates", id.0).await?;
    let shape = template.shape();
    let account = accounts::query::find(&mut conn, template.account_id).await?;
    let page = ShowPage {
        places: places(&shell, &shape),
        bubble: bubble(&shape),
        mailings: query::mailings_of(&mut conn, id).await?,
        unusable: shape.unusable(),
        history: history::events(&shell, "templates", entries),
        account: account.name,
        shell,
        template,
        shape,
        may_change,
    };
    Ok(html(page))
}

/// Accounts at Meta of the person's company.
async fn account_choices(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
) -> Result<Vec<(i64, String)>> {
    let accounts = accounts::query::active(conn).await?;
    let own = |account: &Account| account.is_meta() && account.company_id == visit.company;
    Ok(accounts
        .into_iter()
        .filter(own)
        .map(|account| (account.id.0, account.name))
        .collect())
}

/// The form: of a draft (`id`) or a new one; `typed` is what was typed, when it had faults.
async fn render(
    visit: &Visit,
    id: Option<TemplateId>,
    typed: Option<TemplateInput>,
    mut errors: FieldErrors,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let template = match id {
        Some(id) => Some(query::find(&mut conn, id).await?),
        None => None,
    };
    let accounts = account_choices(visit, &mut conn).await?;
    let shell = visit.shell(Menu::Templates, &mut conn).await?;
    let history = match id {
        Some(id) => {
            let entries = audit::of(&mut conn, "templates", id.0).await?;
            history::events(&shell, "templates", entries)
        }
        None => Vec::new(),
    };
    let mut stand = Stand::default();
    if let Some(template) = &template {
        let (record, filled) = (("templates", template.id.0), stored(template));
        stand = Stand::of(visit, &mut conn, &shell, record, &filled, &mut errors).await?;
    }
    let fresh = || match &template {
        Some(template) => stored(template),
        None => TemplateInput {
            account_id: match accounts.as_slice() {
                [(id, _)] => id.to_string(),
                _ => String::new(),
            },
            category: "marketing".to_owned(),
            language: visit.language.clone(),
            ..TemplateInput::default()
        },
    };
    let input = typed.unwrap_or_else(fresh);
    let shape = shown(&input);
    let status = stand.status(&errors);
    let page = FormPage {
        stand,
        bubble: bubble(&shape),
        buttons: shape
            .buttons
            .into_iter()
            .map(|button| button.text)
            .collect(),
        shell,
        template,
        input,
        errors,
        accounts,
        history,
    };
    Ok(html_with(status, page))
}

async fn new(visit: Visit) -> WebResult {
    let typed = crate::web::kept::form(&visit).await?;
    render(&visit, None, typed, FieldErrors::default()).await
}

async fn create(visit: Visit, Posted(input): Posted<TemplateInput>) -> WebResult {
    saved(&visit, None, input).await
}

async fn update(
    visit: Visit,
    id: web::Path<i64>,
    Posted(input): Posted<TemplateInput>,
) -> WebResult {
    saved(&visit, Some(TemplateId(*id)), input).await
}

async fn saved(visit: &Visit, id: Option<TemplateId>, input: TemplateInput) -> WebResult {
    match save(visit, id, &input).await {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid(errors)) => render(visit, id, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn save(
    visit: &Visit,
    id: Option<TemplateId>,
    input: &TemplateInput,
) -> Result<HttpResponse> {
    visit.require(Role::Administrator)?;
    let draft = input.parse()?;
    let mut conn = visit.conn().await?;
    let account = accounts::owned(&mut conn, draft.account_id, visit.company).await?;
    if !account.is_meta() {
        return Err(Error::invalid(
            "account_id",
            "Choose the account at Meta it belongs to.",
        ));
    }
    let (id, what) = match id {
        Some(id) => {
            audit::hold(&mut conn, "templates", id.0).await?;
            edit::unchanged(visit, &stored(&owned(visit, &mut conn, id).await?))?;
            if query::write(&mut conn, id, &draft)
                .await
                .map_err(input::name_taken)?
                == 0
            {
                return Err(Error::conflict(
                    "This template stands at Meta already and is changed there.",
                ));
            }
            (id, "written")
        }
        None => {
            if let Some(first) = visit.pressed_before(&mut conn).await? {
                return Ok(first);
            }
            let made = query::insert(&mut conn, visit.company, visit.user, &draft)
                .await
                .map_err(input::name_taken)?;
            (made, "created")
        }
    };
    noted(visit, &mut conn, id, what, None).await?;
    visit.tell("templates.saved");
    visit.goes_on(conn, href(id)).await
}

async fn noted(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    id: TemplateId,
    what: &str,
    note: Option<&str>,
) -> Result<()> {
    let by = Some(visit.user);
    audit::note(conn, visit.company, "templates", id.0, by, what, note).await?;
    Ok(())
}

/// The template, for administrators of the company that owns its account.
async fn owned(visit: &Visit, conn: &mut AsyncPgConnection, id: TemplateId) -> Result<Template> {
    visit.require(Role::Administrator)?;
    let template = query::find(conn, id).await?;
    accounts::owned(conn, template.account_id, visit.company).await?;
    Ok(template)
}

/// *Submit for approval*.
async fn hand_in(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = TemplateId(*id);
    let (template, account) = {
        let mut conn = visit.conn().await?;
        let template = owned(&visit, &mut conn, id).await?;
        let account = accounts::query::find(&mut conn, template.account_id).await?;
        (template, account)
    };
    if !template.uid.is_empty() {
        return Ok(see_other(href(id)));
    }
    let meta = account.meta(&visit.app)?;
    let category = template.category.to_uppercase();
    let answer = meta
        .create_template(
            &template.name,
            &template.language,
            &category,
            &template.shape(),
        )
        .await;
    let mut conn = visit.conn().await?;
    match &answer {
        Ok((uid, status, category)) => {
            query::handed_in(&mut conn, id, Ok((uid, status, category))).await?;
            noted(&visit, &mut conn, id, "handed_in", None).await?;
            visit.tell("templates.handed_in");
        }
        Err(error) => {
            query::handed_in(&mut conn, id, Err(error.reason())).await?;
            noted(&visit, &mut conn, id, "refused", Some(error.reason())).await?;
        }
    }
    conn.commit().await?;
    Ok(see_other(href(id)))
}

/// Copies the templates of an account, says how many, and pauses mailings whose template cannot be sent any more.
pub async fn copied(visit: &Visit, account: AccountId) -> Result<()> {
    visit.require(Role::Administrator)?;
    let synced = sync::run(&visit.app, visit.company, account).await?;
    let mut system = visit.app.db.system().await?;
    mailings::template::hold(&mut system, &synced.unsendable, sync::GONE).await?;
    let figures = [synced.new, synced.known, synced.gone].map(|figure| figure.to_string());
    visit.tell(&visit.tf("templates.synced", &figures));
    Ok(())
}

async fn sync_one(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = TemplateId(*id);
    let account = {
        let mut conn = visit.conn().await?;
        owned(&visit, &mut conn, id).await?.account_id
    };
    copied(&visit, account).await?;
    Ok(see_other(href(id)))
}

async fn delete(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = TemplateId(*id);
    let mut conn = visit.conn().await?;
    owned(&visit, &mut conn, id).await?;
    if query::mailings_of(&mut conn, id).await? > 0 {
        return Err(Error::conflict("Mailings use this template, so it stays.").into());
    }
    if query::delete(&mut conn, id).await? == 0 {
        return Err(
            Error::conflict("This template stands at Meta already and is deleted there.").into(),
        );
    }
    conn.commit().await?;
    Ok(see_other("/templates"))
}
