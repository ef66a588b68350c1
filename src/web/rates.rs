//! Meta's prices: the company's rate card, country by country, and where it comes from.
//!
//! Invariant: administrators alone; what was charged before keeps its price.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use diesel_async::AsyncPgConnection;

use crate::audit;
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::RateId;
use crate::mailings::preflight::CategoryChange;
use crate::rates::charges::Cost;
use crate::rates::input::{CardInput, RateInput};
use crate::rates::list::LIST;
use crate::rates::query::{self, Rate};
use crate::rates::{Amount, Category, Estimate, Micros};
use crate::text::country;
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{Posted, see_other};
use crate::web::history::{self, Field, Told};
use crate::web::kept;
use crate::web::list::{Empty, ListView};
use crate::web::page::{Action, Menu, Shell, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/rates", web::get().to(list))
        .route("/rates/card", web::get().to(card))
        .route("/rates/card", web::post().to(replace))
        .route("/rates/{id:[0-9]+}", web::get().to(show))
        .route("/rates/{id:[0-9]+}", web::post().to(update));
}

#[derive(Template)]
#[template(path = "rates/form.html")]
struct RatePage {
    shell: Shell,
    rate: Rate,
    currency: String,
    input: RateInput,
    errors: FieldErrors,
    stand: Stand,
    history: Vec<Event>,
}

impl RatePage {
    fn name(&self) -> &str {
        country::named(self.shell.lang, &self.rate.country)
    }

    fn action(&self) -> String {
        format!("/rates/{}", self.rate.id)
    }
}

#[derive(Template)]
#[template(path = "rates/card.html")]
struct CardPage {
    shell: Shell,
    input: CardInput,
    errors: FieldErrors,
    stand: Stand,
    history: Vec<Event>,
}

/// What delivered messages cost, in words: "USD 20.47"; empty where nothing is charged.
pub fn said(shell: &Shell, costs: &[Cost]) -> String {
    let mut sums: Vec<(&str, Micros)> = Vec::new();
    for cost in costs {
        match sums
            .iter_mut()
            .find(|(currency, _)| *currency == cost.currency)
        {
            Some((_, sum)) => *sum += cost.micros,
            None => sums.push((&cost.currency, cost.micros)),
        }
    }
    let amounts: Vec<String> = sums
        .into_iter()
        .map(|(currency, sum)| amount(currency, sum))
        .collect();
    let without: i64 = costs.iter().map(|cost| cost.without_price).sum();
    if without > 0 {
        let more = shell.tn("rates.without_price", without);
        return format!("{} ({more})", amounts.join(", "));
    }
    amounts.join(", ")
}

/// What a mailing would cost, and by which prices.
pub fn estimated(shell: &Shell, estimate: &Estimate) -> (String, String) {
    let category = shell.t(&format!(
        "state.template_category.{}",
        estimate.category.as_str()
    ));
    let mut more = shell.tf("rates.by", &[category, estimate.since.to_string()]);
    if estimate.without_price > 0 {
        more = format!(
            "{more} {}",
            shell.tn("rates.without_price", estimate.without_price)
        );
    }
    // Meta's own discount by volume; marketing and free text have none.
    if matches!(
        estimate.category,
        Category::Utility | Category::Authentication
    ) {
        more = format!("{more}. {}", shell.t("rates.no_tiers"));
    }
    (amount(&estimate.currency, estimate.micros), more)
}

/// What it means for a mailing that Meta moved its template to another category.
pub fn moved(shell: &Shell, estimate: &Estimate, change: &CategoryChange) -> String {
    let word = |category: Category| {
        let key = format!("state.template_category.{}", category.as_str());
        shell.t(&key)
    };
    let said = [
        word(change.before),
        word(estimate.category),
        shell.date(&change.since),
        amount(&estimate.currency, estimate.micros),
        amount(&estimate.currency, change.micros_before),
    ];
    shell.tf("rates.moved", &said)
}

/// "USD 20.47".
pub fn amount(currency: &str, micros: Micros) -> String {
    format!("{currency} {}", Amount(micros))
}

/// What the history tells of changed prices.
const TOLD: &[Field] = &[
    ("marketing", "rates.marketing", Told::Text),
    ("utility", "rates.utility", Told::Text),
    ("authentication", "rates.authentication", Told::Text),
    ("service", "rates.service", Told::Text),
];

const CARD_TOLD: &[Field] = &[
    ("currency", "rates.currency", Told::Text),
    ("since", "rates.since", Told::Text),
    ("source", "rates.source", Told::Text),
    ("prices", "rates.prices", Told::Text),
];

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    query::ensure(&mut conn, visit.company).await?;
    let card = query::card(&mut conn, visit.company).await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    conn.commit().await?;
    let since = card.since.to_string();
    let lead = shell.tf(
        "rates.lead",
        &[card.currency, since, shell.say(&card.source)],
    );
    let edit = Action::link(shell.t("rates.card"), "/rates/card").icon("pencil");
    let empty = Empty {
        icon: "report-analytics",
        title: "rates.none",
        text: "rates.none_text",
        actions: vec![edit.clone()],
    };
    let table = Table::new(shell, "menu.rates", "/rates/", found);
    let view = ListView::new(table, "/rates", empty).cog(vec![edit]);
    Ok(ListView { lead, ..view }.answer())
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let typed = kept::form(&visit).await?;
    render(&visit, RateId(*id), typed, FieldErrors::default()).await
}

async fn render(
    visit: &Visit,
    id: RateId,
    typed: Option<RateInput>,
    mut errors: FieldErrors,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let rate = query::find(&mut conn, id).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let stored = RateInput::of(&rate.prices());
    let stand = Stand::of(
        visit,
        &mut conn,
        &shell,
        ("rates", id.0),
        &stored,
        &mut errors,
    )
    .await?;
    let entries = audit::of(&mut conn, "rates", id.0).await?;
    let status = stand.status(&errors);
    let page = RatePage {
        history: history::events(&shell, "rates", entries),
        currency: query::card(&mut conn, visit.company).await?.currency,
        input: typed.unwrap_or(stored),
        shell,
        rate,
        errors,
        stand,
    };
    Ok(html_with(status, page))
}

async fn update(visit: Visit, id: web::Path<i64>, Posted(input): Posted<RateInput>) -> WebResult {
    let id = RateId(*id);
    match save(&visit, id, &input).await {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid(errors)) => render(&visit, id, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn save(visit: &Visit, id: RateId, input: &RateInput) -> Result<HttpResponse> {
    visit.require(Role::Administrator)?;
    let prices = input.check().map_err(Error::Invalid)?;
    let mut conn = visit.conn().await?;
    audit::hold(&mut conn, "rates", id.0).await?;
    let rate = query::find(&mut conn, id).await?;
    let before = RateInput::of(&rate.prices());
    edit::unchanged(visit, &before)?;
    query::update(&mut conn, visit.company, &rate, prices).await?;
    let changes = history::diff(&before, &RateInput::of(&prices), TOLD, &HashMap::new());
    noted(visit, &mut conn, "rates", id.0, &changes).await?;
    visit.tell("rates.saved");
    visit.goes_on(conn, format!("/rates/{id}")).await
}

async fn noted(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    noun: &str,
    id: i64,
    changes: &[audit::Change],
) -> Result<()> {
    audit::note_changes(conn, visit.company, noun, id, Some(visit.user), changes).await?;
    Ok(())
}

async fn card(visit: Visit) -> WebResult {
    let typed = kept::form(&visit).await?;
    card_page(&visit, typed, FieldErrors::default()).await
}

async fn card_page(visit: &Visit, typed: Option<CardInput>, mut errors: FieldErrors) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let stored = CardInput::of(&query::card(&mut conn, visit.company).await?);
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    let record = ("rate_cards", visit.company.0);
    let stand = Stand::of(visit, &mut conn, &shell, record, &stored, &mut errors).await?;
    let entries = audit::of(&mut conn, "rate_cards", visit.company.0).await?;
    let status = stand.status(&errors);
    let page = CardPage {
        history: history::events(&shell, "rates", entries),
        input: typed.unwrap_or(stored),
        shell,
        errors,
        stand,
    };
    Ok(html_with(status, page))
}

async fn replace(visit: Visit, Posted(input): Posted<CardInput>) -> WebResult {
    match put(&visit, &input).await {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid(errors)) => card_page(&visit, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn put(visit: &Visit, input: &CardInput) -> Result<HttpResponse> {
    visit.require(Role::Administrator)?;
    let card = input.check().map_err(Error::Invalid)?;
    let mut conn = visit.conn().await?;
    let company = visit.company;
    audit::hold(&mut conn, "rate_cards", company.0).await?;
    query::ensure(&mut conn, company).await?;
    let before = CardInput::of(&query::card(&mut conn, company).await?);
    edit::unchanged(visit, &before)?;
    let changed = query::replace(&mut conn, company, &card).await?;
    let changes = history::diff(&before, input, CARD_TOLD, &HashMap::new());
    noted(visit, &mut conn, "rate_cards", company.0, &changes).await?;
    conn.commit().await?;
    visit.tell(&visit.tn(
        "rates.card_saved",
        i64::try_from(changed).unwrap_or_default(),
    ));
    Ok(see_other("/rates"))
}
