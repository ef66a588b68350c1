//! What passed between us and gateways: the list, one exchange, and what is written at all.
//!
//! Invariant: administrators alone; what is shown was redacted before it was stored.

use std::collections::HashMap;

use actix_web::web;
use askama::Template;

use crate::audit;
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::gateway_log::list::{self as exchanges, Detail, LIST};
use crate::gateway_log::settings::{self, SettingsInput};
use crate::gateway_log::{TEXT_MAX, dropped_lately};
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{Posted, see_other};
use crate::web::history;
use crate::web::kept;
use crate::web::list::{Empty, ListView};
use crate::web::page::{Action, Menu, Shell, html, html_with};
use crate::web::pieces::Event;
use crate::web::table::{self, Table};
use crate::web::visit::Visit;

const SETTINGS: &str = "/gateway-log/settings";

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/gateway-log", web::get().to(list))
        .route("/gateway-log/settings", web::get().to(form))
        .route("/gateway-log/settings", web::post().to(save))
        .route("/gateway-log/{id:[0-9]+}", web::get().to(show));
}

#[derive(Template)]
#[template(path = "gateway_log/show.html")]
struct ExchangePage {
    shell: Shell,
    exchange: Detail,
}

impl ExchangePage {
    fn name(&self) -> String {
        format!("{} {}", self.exchange.method, self.exchange.address)
    }

    fn bytes(&self, bytes: &i64) -> String {
        self.shell
            .tf("gateway_log.bytes", &[self.shell.number(*bytes)])
    }

    fn hint(&self) -> String {
        self.shell.tf("gateway_log.hint", &[TEXT_MAX.to_string()])
    }
}

#[derive(Template)]
#[template(path = "gateway_log/settings.html")]
struct SettingsPage {
    shell: Shell,
    input: SettingsInput,
    errors: FieldErrors,
    stand: Stand,
    history: Vec<Event>,
}

impl SettingsPage {
    fn whats(&self) -> Vec<(&'static str, String)> {
        settings::WHATS
            .into_iter()
            .map(|what| (what, format!("gateway_log.what_{what}")))
            .collect()
    }
}

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let now = settings::of(&mut conn, visit.company).await?;
    let dropped = dropped_lately(&mut conn).await?;
    let shell = visit.shell(Menu::Technical, &mut conn).await?;
    let what = shell.t(&format!("gateway_log.lead_{}", now.what));
    let mut lead = shell.tf(
        "gateway_log.lead",
        &[what, shell.number(i64::from(now.days))],
    );
    if dropped > 0 {
        let missing = shell.tf("gateway_log.dropped", &[shell.number(dropped)]);
        lead = format!("{lead} {missing}");
    }
    let change = Action::link(shell.t("gateway_log.change"), SETTINGS).icon("settings");
    let empty = Empty {
        icon: "plug-connected",
        title: "gateway_log.none",
        text: "gateway_log.none_text",
        actions: vec![change.clone()],
    };
    let table = Table::new(shell, "menu.gateway_log", "/gateway-log/", found);
    let view = ListView::new(table, "/gateway-log", empty).cog(vec![change]);
    Ok(ListView { lead, ..view }.answer())
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let exchange = exchanges::find(&mut conn, *id).await?;
    let shell = visit.shell(Menu::Technical, &mut conn).await?;
    Ok(html(ExchangePage { shell, exchange }))
}

async fn form(visit: Visit) -> WebResult {
    let typed = kept::form(&visit).await?;
    render(&visit, typed, FieldErrors::default()).await
}

async fn render(visit: &Visit, typed: Option<SettingsInput>, mut errors: FieldErrors) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let record = ("gateway_log", visit.company.0);
    let stored = SettingsInput::of(&settings::of(&mut conn, visit.company).await?);
    let shell = visit.shell(Menu::Technical, &mut conn).await?;
    let stand = Stand::of(visit, &mut conn, &shell, record, &stored, &mut errors).await?;
    let entries = audit::of(&mut conn, record.0, record.1).await?;
    let status = stand.status(&errors);
    let page = SettingsPage {
        history: history::events(&shell, "gateway_log", entries),
        shell,
        input: typed.unwrap_or(stored),
        errors,
        stand,
    };
    Ok(html_with(status, page))
}

async fn save(visit: Visit, Posted(input): Posted<SettingsInput>) -> WebResult {
    visit.require(Role::Administrator)?;
    let saved: Result<()> = async {
        let wanted = input.parse()?;
        let company = visit.company;
        let mut conn = visit.conn().await?;
        audit::hold(&mut conn, "gateway_log", company.0).await?;
        let before = SettingsInput::of(&settings::of(&mut conn, company).await?);
        edit::unchanged(&visit, &before)?;
        settings::save(&mut conn, company, &wanted).await?;
        let after = SettingsInput::of(&wanted);
        let changes = history::diff(&before, &after, settings::TOLD, &HashMap::new());
        let by = Some(visit.user);
        audit::note_changes(&mut conn, company, "gateway_log", company.0, by, &changes).await?;
        conn.commit().await?;
        settings::read(&visit.app).await?;
        Ok(())
    }
    .await;
    match saved {
        Ok(()) => {
            visit.tell("gateway_log.saved");
            Ok(see_other("/gateway-log"))
        }
        Err(Error::Invalid(errors)) => render(&visit, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}
