//! Templates: the list of them, one as people will see it, and a new one written and handed in.
//!
//! Invariant: what stands at Meta is only read here; a draft is written by administrators of the account's owner.

use actix_web::web;
use anyhow::Context as _;
use askama::Template as Page;
use bytes::Bytes;
use diesel_async::AsyncPgConnection;

use crate::accounts::{self, Account};
use crate::app::App;
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::gateways::meta::templates::{Shape, with_values};
use crate::gateways::{FailureCode, SendError};
use crate::i18n;
use crate::ids::{AccountId, CompanyId, TemplateId};
use crate::media::{self, Media};
use crate::rates::{self, Category};
use crate::templates::list::LIST;
use crate::templates::{Template, query, sync};
use crate::text::country;
use crate::text::merge::{Parts, Values};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::history;
use crate::web::list::{Empty, ListView};
use crate::web::mailings::preview::{self, Bubble};
use crate::web::page::{Action, Menu, Shell, html};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::template_form as form;
use crate::web::visit::Visit;
use crate::{audit, companies, mailings};

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/templates", web::get().to(list))
        .route("/templates/new", web::get().to(form::new))
        .route("/templates", web::post().to(form::create))
        .route("/templates/{id:[0-9]+}", web::get().to(show))
        .route("/templates/{id:[0-9]+}", web::post().to(form::update))
        .route("/templates/{id:[0-9]+}/hand-in", web::post().to(hand_in))
        .route("/templates/{id:[0-9]+}/sync", web::post().to(sync_one))
        .route("/templates/{id:[0-9]+}/delete", web::post().to(delete));
}

pub(super) fn href(id: TemplateId) -> String {
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
    /// What the move to another category does to the price at home.
    prices: String,
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
        let shell = &self.shell;
        let word = |category: &str| shell.t(&format!("state.template_category.{category}"));
        let (from, to) = (word(before), word(&self.template.category));
        let said = match &self.template.category_changed_at {
            Some(at) => shell.tf("templates.category_changed_at", &[from, to, shell.date(at)]),
            None => shell.tf("templates.category_changed", &[from, to]),
        };
        format!("{said} {}", self.prices).trim().to_owned()
    }

    fn file_words(&self) -> String {
        let kind = self.shell.t(&format!("media.{}", self.shape.header_type));
        self.shell.tf("templates.has_file", &[kind])
    }

    fn has_file(&self) -> bool {
        !matches!(self.shape.header_type.as_str(), "none" | "text" | "")
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
pub(super) fn bubble(shape: &Shape) -> Bubble {
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

/// "In Indonesia a message costs USD 0.0411 instead of USD 0.0200": of a template that Meta moved.
async fn prices(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    shell: &Shell,
    template: &Template,
) -> Result<String> {
    let before = template
        .category_before
        .as_deref()
        .and_then(Category::parse);
    let Some((before, after)) = before.zip(Category::parse(&template.category)) else {
        return Ok(String::new());
    };
    let home = companies::find(conn, visit.company).await?.country;
    let card = rates::query::card(conn, visit.company).await?;
    let Some(prices) = card.prices.get(&home) else {
        return Ok(String::new());
    };
    let amount = |category| crate::web::rates::amount(&card.currency, prices.of(category));
    let said = [
        country::named(shell.lang, &home).to_owned(),
        amount(after),
        amount(before),
        card.since.to_string(),
    ];
    Ok(shell.tf("templates.category_price", &said))
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = TemplateId(*id);
    let mut conn = visit.conn().await?;
    let template = query::find(&mut conn, id).await?;
    let may_change = may_change(&visit, &mut conn, template.account_id).await?;
    if may_change && template.uid.is_empty() {
        drop(conn);
        return form::render(&visit, Some(id), None, FieldErrors::default()).await;
    }
    let shell = visit.shell(Menu::Templates, &mut conn).await?;
    let entries = audit::of(&mut conn, "templates", id.0).await?;
    let shape = template.shape();
    let account = accounts::query::find(&mut conn, template.account_id).await?;
    let page = ShowPage {
        places: places(&shell, &shape),
        bubble: bubble(&shape).above(shape.buttons.clone()),
        mailings: query::mailings_of(&mut conn, id).await?,
        prices: prices(&visit, &mut conn, &shell, &template).await?,
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

pub(super) async fn noted(
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
pub(super) async fn owned(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    id: TemplateId,
) -> Result<Template> {
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
    let answer = handed(&visit.app, visit.company, &template, &account).await;
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

/// Uploads the sample of the header, where it is a file, and hands the template in.
async fn handed(
    app: &App,
    company: CompanyId,
    template: &Template,
    account: &Account,
) -> Result<(String, String, String), SendError> {
    let meta = account.meta(app).map_err(|_| not_there(NO_SECRET))?;
    let shape = template.shape();
    let mut handle = None;
    if shape.has_file() {
        let (sample, bytes) = sample(app, company, template)
            .await
            .map_err(|_| not_there(NO_SAMPLE))?;
        let app_uid = &account.app_uid;
        let uploaded = meta.upload_sample(app_uid, &sample.mime, &sample.file_name, &bytes);
        handle = Some(uploaded.await?);
    }
    let (name, language) = (&template.name, &template.language);
    let category = template.category.to_uppercase();
    meta.create_template(name, language, &category, &shape, handle.as_deref())
        .await
}

const NO_SAMPLE: &str =
    "The sample of the header could not be read. Upload it again, or try once more in a moment.";
const NO_SECRET: &str =
    "The account's address or secrets cannot be read. Open the account and enter them again.";

fn not_there(reason: &str) -> SendError {
    SendError::NotSent {
        after: None,
        code: FailureCode::Unreachable,
        reason: reason.to_owned(),
    }
}

async fn sample(
    app: &App,
    company: CompanyId,
    template: &Template,
) -> anyhow::Result<(Media, Bytes)> {
    let id = template.media_id.context("no sample was uploaded")?;
    let mut conn = app.db.company(company).await?;
    let media = media::query::find(&mut conn, id).await?;
    drop(conn);
    let bytes = app.storage.read(&media.storage_key).await?;
    Ok((media, bytes))
}

/// Copies the templates of an account, says how many, and pauses mailings whose template cannot be sent any more.
pub async fn copied(visit: &Visit, account: AccountId) -> Result<()> {
    visit.require(Role::Administrator)?;
    let synced = sync::run(&visit.app, visit.company, account).await?;
    let mut system = visit.app.db.system().await?;
    mailings::template::hold(&mut system, &synced.unsendable, sync::GONE).await?;
    let figures = [synced.new, synced.known, synced.gone];
    let figures = figures.map(|figure| i18n::number(visit.lang(), figure));
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
