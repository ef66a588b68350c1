//! How a WAHA account sends, on its page: link preview, typing, number checks, slowing down, and the
//! ready-made paces.
//!
//! Invariant: nobody overwrites what somebody else saved meanwhile (`edit`); a ready-made pace fills the fields of the pace and says so in the history; nothing is hidden in it.

use std::collections::HashMap;

use actix_web::web;
use diesel_async::AsyncPgConnection;

use crate::accounts::flow::Flow;
use crate::accounts::pulling::Pulling;
use crate::accounts::sending::{self, Preset, SendingInput};
use crate::accounts::told::{self, stored};
use crate::accounts::{self, Account};
use crate::audit;
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::ids::AccountId;
use crate::web::accounts::{Tried, render_trying};
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::history::{self, Field, Told};
use crate::web::page::Shell;
use crate::web::visit::Visit;

const TOLD: &[Field] = &[
    ("link_preview", "sending.link_preview", Told::Flag),
    ("typing", "sending.typing", Told::Flag),
    ("check_numbers", "sending.check_numbers", Told::Flag),
    ("checks_an_hour", "sending.checks_an_hour", Told::Text),
    ("slow_down", "sending.slow_down", Told::Flag),
];

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/accounts/{id:[0-9]+}/sending", web::post().to(save))
        .route(
            "/accounts/{id:[0-9]+}/preset/{preset:careful|normal|fast}",
            web::post().to(fill),
        );
}

/// What the sheet shows.
pub struct SendingBox {
    /// As it is stored, or as it was typed.
    pub input: SendingInput,
    pub stand: Stand,
    pub(super) id: AccountId,
    chosen: Option<Preset>,
    sending: sending::Sending,
}

/// A ready-made pace in words.
pub struct Choice {
    pub name: String,
    pub text: String,
    pub href: String,
    pub chosen: bool,
}

impl SendingBox {
    /// `None` where the account does not send through WAHA's API. `typed`: this form was posted, and had faults.
    pub async fn load(
        visit: &Visit,
        conn: &mut AsyncPgConnection,
        shell: &Shell,
        account: &Account,
        typed: Option<SendingInput>,
        errors: &mut FieldErrors,
    ) -> Result<Option<Self>> {
        if !account.has_session() {
            return Ok(None);
        }
        let sending = sending::of(conn, account.id).await?;
        let stored = SendingInput::of(&sending);
        let stand = match &typed {
            Some(_) => Stand {
                href: format!("/accounts/{}#sending", account.id),
                ..Stand::of(
                    visit,
                    conn,
                    shell,
                    ("accounts", account.id.0),
                    &stored,
                    errors,
                )
                .await?
            },
            None => Stand::fresh(visit, &stored),
        };
        Ok(Some(Self {
            input: typed.unwrap_or(stored),
            stand,
            id: account.id,
            chosen: Preset::of(account),
            sending,
        }))
    }

    pub fn action(&self) -> String {
        format!("/accounts/{}/sending", self.id)
    }

    /// Nothing ready-made: a pace of one's own.
    pub fn is_own(&self) -> bool {
        self.chosen.is_none()
    }

    pub fn choices(&self, shell: &Shell) -> Vec<Choice> {
        let choice = |preset: Preset| {
            let (word, filled) = (preset.as_str(), preset.filled());
            let number = |n: i32| shell.number(i64::from(n));
            let mut text = shell.tf(
                "sending.filled",
                &[
                    filled.delay.0.to_string(),
                    filled.delay.1.to_string(),
                    number(filled.hourly_cap),
                    number(filled.daily_cap),
                ],
            );
            if let Some((first, days)) = filled.warm_up {
                text = format!(
                    "{text} {}",
                    shell.tf("sending.filled_warm_up", &[number(first), number(days)])
                );
            }
            if let Some((from, until)) = filled.quiet {
                text = format!(
                    "{text} {}",
                    shell.tf("sending.filled_quiet", &[from, until])
                );
            }
            Choice {
                name: shell.t(&format!("sending.{word}")),
                text: format!("{text} {}", shell.t(&format!("sending.{word}_for"))),
                href: format!("/accounts/{}/preset/{word}", self.id),
                chosen: self.chosen == Some(preset),
            }
        };
        Preset::ALL.into_iter().map(choice).collect()
    }

    /// "Slowed down 23 Nov 10:00: …"
    pub fn slowed(&self, shell: &Shell) -> Option<String> {
        let (at, why) = self
            .sending
            .slowed_at
            .zip(self.sending.slowed_why.as_deref())?;
        Some(shell.tf("sending.slowed", &[shell.date(&at), shell.say(why)]))
    }
}

async fn owned(visit: &Visit, conn: &mut AsyncPgConnection, id: AccountId) -> Result<Account> {
    visit.require(Role::Administrator)?;
    let account = accounts::owned(conn, id, visit.company).await?;
    if account.has_session() {
        Ok(account)
    } else {
        Err(Error::conflict(
            "This account has no session: it does not send through WAHA's own API.",
        ))
    }
}

async fn save(visit: Visit, id: web::Path<i64>, Posted(input): Posted<SendingInput>) -> WebResult {
    let id = AccountId(*id);
    let saved: Result<()> = async {
        let mut conn = visit.conn().await?;
        let account = owned(&visit, &mut conn, id).await?;
        let wanted = input.parse()?;
        audit::hold(&mut conn, "accounts", id.0).await?;
        let before = SendingInput::of(&sending::of(&mut conn, id).await?);
        edit::unchanged(&visit, &before)?;
        sending::save(&mut conn, &account, &wanted).await?;
        let after = SendingInput::of(&wanted);
        let changes = history::diff(&before, &after, TOLD, &HashMap::new());
        let (company, by) = (visit.company, Some(visit.user));
        audit::note_changes(&mut conn, company, "accounts", id.0, by, &changes).await?;
        conn.commit().await
    }
    .await;
    match saved {
        Ok(()) => {
            visit.tell("accounts.saved");
            Ok(see_other(format!("/accounts/{id}#sending")))
        }
        Err(Error::Invalid(errors)) => {
            let tried = Tried {
                sending: Some(input),
                ..Tried::default()
            };
            render_trying(&visit, Some(id), None, errors, tried).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn fill(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    let (id, preset) = path.into_inner();
    let id = AccountId(id);
    let mut conn = visit.conn().await?;
    let account = owned(&visit, &mut conn, id).await?;
    let preset = Preset::parse(&preset).ok_or(Error::NotFound)?;
    audit::hold(&mut conn, "accounts", id.0).await?;
    sending::fill(&mut conn, &account, preset).await?;
    let filled = accounts::query::find(&mut conn, id).await?;
    let flow = Flow::default();
    let of = |account: &Account| stored(account, &flow, Pulling::default(), &[], &[]);
    let (before, after) = (of(&account), of(&filled));
    let changes = history::diff(&before, &after, told::TOLD, &HashMap::new());
    let (company, by) = (visit.company, Some(visit.user));
    audit::note_changes(&mut conn, company, "accounts", id.0, by, &changes).await?;
    let note = visit.t(&format!("sending.{}", preset.as_str()));
    audit::note(
        &mut conn,
        company,
        "accounts",
        id.0,
        by,
        "preset",
        Some(&note),
    )
    .await?;
    conn.commit().await?;
    visit.app.wake.deliver.notify_one();
    visit.tell("sending.did_fill");
    Ok(see_other(format!("/accounts/{id}#sending")))
}
