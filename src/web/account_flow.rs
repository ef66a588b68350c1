//! The n8n flow of an account that sends through a webhook: every step of setting it up, in order, and the workflow
//! file, filled with this installation's addresses.
//!
//! Invariants: the file holds no secret, only the names of credentials that n8n keeps; the callback token is shown
//! once (`once`).

use actix_web::http::header::CONTENT_DISPOSITION;
use actix_web::{HttpResponse, web};
use askama::Template;
use serde_json::{Value, json};

use crate::accounts::flow::{self, Flow};
use crate::accounts::{self, Account, pulling};
use crate::app::App;
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::ids::AccountId;
use crate::web::callbacks::{self, Callbacks};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::page::{Menu, Shell, html};
use crate::web::visit::Visit;

/// The workflow before it is filled; `docs/` has the same.
const WORKFLOW: &str = include_str!("../../static/n8n-workflow.json");
/// What stands in it for our address and for WAHA's.
const OURS: &str = "http://127.0.0.1:8080";
const WAHA: &str = "http://127.0.0.1:3000";

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/accounts/{id:[0-9]+}/flow", web::get().to(show))
        .route(
            "/accounts/{id:[0-9]+}/flow/n8n-workflow.json",
            web::get().to(workflow),
        )
        .route(
            "/accounts/{id:[0-9]+}/flow/token",
            web::post().to(make_token),
        );
}

#[derive(Template)]
#[template(path = "accounts/flow.html")]
struct FlowPage {
    shell: Shell,
    account: Account,
    flow: Flow,
    callbacks: Callbacks,
    intake_url: String,
    /// Workers fetch the messages; nothing is posted.
    pulled: bool,
}

/// A credential to make in n8n: its name there, its kind, and what goes into its two fields.
struct Credential {
    name: &'static str,
    kind: &'static str,
    /// Label and value of each field; without a value its second part says where it is found.
    fields: Vec<(&'static str, String, &'static str)>,
    used_by: &'static str,
}

impl FlowPage {
    fn page(&self) -> String {
        page(self.account.id)
    }

    fn credentials(&self) -> Vec<Credential> {
        let mut all = Vec::new();
        let webhook = |kind, fields| Credential {
            name: "WhatsApp Blasting webhook",
            kind,
            fields,
            used_by: "Webhook",
        };
        match shows(&self.account, &self.flow) {
            "basicAuth" => all.push(webhook(
                "Basic Auth",
                vec![
                    ("User", self.account.auth_user.clone(), ""),
                    ("Password", String::new(), "flow.password_from"),
                ],
            )),
            "headerAuth" => all.push(webhook(
                "Header Auth",
                vec![
                    ("Name", "Authorization".to_owned(), ""),
                    ("Value", String::new(), "flow.bearer_from"),
                ],
            )),
            _ => {}
        }
        all.push(Credential {
            name: "WhatsApp Blasting callback",
            kind: "Header Auth",
            fields: vec![
                ("Name", "Authorization".to_owned(), ""),
                ("Value", "Bearer cbt_…".to_owned(), "flow.token_from"),
            ],
            used_by: "Report sent, Report failure, Bring message",
        });
        all.push(Credential {
            name: "WAHA API key",
            kind: "Header Auth",
            fields: vec![
                ("Name", "X-Api-Key".to_owned(), ""),
                ("Value", String::new(), "flow.waha_key_from"),
            ],
            used_by: "Send text by WAHA, Send file by WAHA",
        });
        all.push(Credential {
            name: "WAHA events",
            kind: "Header Auth",
            fields: vec![
                ("Name", "X-Flow-Key".to_owned(), ""),
                ("Value", String::new(), "flow.events_key_from"),
            ],
            used_by: "WAHA events",
        });
        all
    }
}

/// How n8n's Webhook node knows us, in its own word. A signature it does not check by itself.
fn shows(account: &Account, flow: &Flow) -> &'static str {
    match flow.auth.as_str() {
        "bearer" => "headerAuth",
        "basic" if !account.auth_user.is_empty() => "basicAuth",
        _ => "none",
    }
}

fn page(id: AccountId) -> String {
    format!("/accounts/{id}/flow")
}

/// The account of the page; `None`: it sends in another way and has no flow.
async fn account_of(visit: &Visit, id: AccountId) -> Result<Option<Account>> {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let account = accounts::owned(&mut conn, id, visit.company).await?;
    Ok(account.sends_through_webhook().then_some(account))
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = AccountId(*id);
    let Some(account) = account_of(&visit, id).await? else {
        return Ok(see_other(format!("/accounts/{id}")));
    };
    let mut conn = visit.conn().await?;
    let pulled = pulling::of(&mut conn, &account).await?.pulls;
    let flow = flow::of(&mut conn, id).await?;
    let callbacks = Callbacks::load(&visit, &mut conn, &account, &flow, &page(id)).await?;
    let shell = visit.shell(Menu::Configuration, &mut conn).await?;
    Ok(html(FlowPage {
        shell,
        intake_url: account.intake_url(&visit.app),
        account,
        flow,
        callbacks,
        pulled,
    }))
}

async fn workflow(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = AccountId(*id);
    let Some(account) = account_of(&visit, id).await? else {
        return Ok(see_other(format!("/accounts/{id}")));
    };
    let flow = {
        let mut conn = visit.conn().await?;
        flow::of(&mut conn, id).await?
    };
    let filled = filled(&visit.app, &account, &flow)?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((
            CONTENT_DISPOSITION,
            "attachment; filename=\"n8n-workflow.json\"",
        ))
        .body(format!("{filled:#}\n")))
}

async fn make_token(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = AccountId(*id);
    callbacks::make(&visit, id, &page(id)).await
}

/// The workflow with this installation's addresses.
fn filled(app: &App, account: &Account, flow: &Flow) -> Result<Value> {
    let mut workflow: Value = serde_json::from_str(WORKFLOW)
        .map_err(|error| Error::Internal(anyhow::Error::new(error)))?;
    workflow["name"] = format!("WhatsApp Blasting: {}", account.name).into();
    let waha = match account.api_url.as_str() {
        "" => WAHA,
        address => address,
    };
    let ours = app.config.public_url();
    replace(&mut workflow, &[(OURS, &ours), (WAHA, waha)]);
    let nodes = workflow["nodes"].as_array_mut();
    let webhook = nodes
        .into_iter()
        .flatten()
        .find(|node| node["id"] == "webhook");
    if let Some(webhook) = webhook {
        if let Some((_, path)) = account.webhook_url.split_once("/webhook/") {
            webhook["parameters"]["path"] = path.into();
        }
        let shows = shows(account, flow);
        webhook["parameters"]["authentication"] = shows.into();
        if let Some(node) = webhook.as_object_mut()
            && shows != "basicAuth"
        {
            let basic = node.remove("credentials").unwrap_or_default();
            if shows == "headerAuth" {
                let credential = &basic["httpBasicAuth"];
                node.insert(
                    "credentials".to_owned(),
                    json!({ "httpHeaderAuth": credential }),
                );
            }
        }
    }
    Ok(workflow)
}

fn replace(value: &mut Value, with: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            for (from, to) in with {
                if text.contains(from) {
                    *text = text.replace(from, to);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, with)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, with)),
        _ => {}
    }
}
