//! Trying again on a mailing's page: *Retry failed*, *Send again* and *Mark as sent*, each asks first.
//!
//! Invariant: retrying is for whoever may change the mailing; settling what is uncertain is a manager's,
//! and the question says that people may get the message twice.

use actix_web::web;

use super::verbs::Ask;
use super::{href, own};
use crate::audit;
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::ids::{MailingId, OutgoingId};
use crate::mailings::{self, Mailing, Verb};
use crate::outgoing::again::Which;
use crate::outgoing::tally;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::page::{Menu, html};
use crate::web::visit::Visit;

/// One message only, where the address names it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Only {
    message: Option<i64>,
}

impl Only {
    fn id(&self) -> Option<OutgoingId> {
        self.message.map(OutgoingId)
    }

    /// The address with the message it names.
    fn on(&self, address: &str) -> String {
        self.message.map_or_else(
            || address.to_owned(),
            |message| format!("{address}?message={message}"),
        )
    }

    /// Where one comes from and goes back to.
    fn back(&self, mailing: MailingId) -> String {
        self.message
            .map_or_else(|| href(mailing), |message| format!("/outgoing/{message}"))
    }
}

pub async fn ask_retry(visit: Visit, id: web::Path<i64>) -> WebResult {
    ask(&visit, MailingId(*id), Which::Failed, &Only::default()).await
}

pub async fn ask_resend(visit: Visit, id: web::Path<i64>, only: web::Query<Only>) -> WebResult {
    visit.require(Role::Manager)?;
    ask(&visit, MailingId(*id), Which::Uncertain, &only).await
}

/// What would go and what stays, with the reasons.
async fn ask(visit: &Visit, id: MailingId, which: Which, only: &Only) -> WebResult {
    let mut conn = visit.conn().await?;
    let mailing = own(visit, &mut conn, id).await?;
    let outlook = mailings::again::outlook(&mut conn, &mailing, which, only.id()).await?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let mut figures = vec![(shell.t("mailings.again.goes"), shell.number(outlook.goes))];
    for (reason, people) in &outlook.stays {
        let stays = shell.tf("mailings.again.stays", &[shell.t(reason)]);
        figures.push((stays, shell.number(people)));
    }
    let (verb, key, danger) = match which {
        Which::Failed => ("retry_failed", "mailings.retry", false),
        Which::Uncertain => ("resend", "mailings.resend", true),
    };
    Ok(html(Ask {
        title: shell.tn(&format!("{key}_title"), outlook.goes),
        text: shell.t(&format!("{key}_text")),
        figures,
        action: only.on(&format!("{}/{verb}", href(id))),
        back: only.back(id),
        button: shell.tn(&format!("{key}_button"), outlook.goes),
        icon: "rotate-clockwise",
        danger,
        shell,
        mailing,
    }))
}

pub async fn retry(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    send(&visit, MailingId(*id), Which::Failed, &Only::default()).await
}

pub async fn resend(
    visit: Visit,
    id: web::Path<i64>,
    only: web::Query<Only>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    visit.require(Role::Manager)?;
    send(&visit, MailingId(*id), Which::Uncertain, &only).await
}

async fn send(visit: &Visit, id: MailingId, which: Which, only: &Only) -> WebResult {
    let sent: Result<usize> = async {
        let mut conn = visit.conn().await?;
        own(visit, &mut conn, id).await?;
        let (_, sent) = mailings::again::send(&mut conn, visit.user, id, which, only.id()).await?;
        let action = match which {
            Which::Failed => "retry_failed",
            Which::Uncertain => "resend",
        };
        let by = Some(visit.user);
        let note = sent.to_string();
        audit::note(
            &mut conn,
            visit.company,
            "mailings",
            id.0,
            by,
            action,
            Some(&note),
        )
        .await?;
        conn.commit().await?;
        Ok(sent)
    }
    .await;
    match sent {
        Ok(sent) => {
            visit.app.wake.deliver.notify_one();
            visit.tell(&visit.tn("mailings.again.told", whole(sent)));
            Ok(see_other(only.back(id)))
        }
        Err(Error::Invalid(faults)) => super::show::faulty(visit, id, faults, None).await,
        Err(other) => Err(other.into()),
    }
}

pub async fn ask_mark_sent(visit: Visit, id: web::Path<i64>, only: web::Query<Only>) -> WebResult {
    visit.require(Role::Manager)?;
    let id = MailingId(*id);
    let mut conn = visit.conn().await?;
    let mailing = own(&visit, &mut conn, id).await?;
    mailings::require(&mailing, Verb::MarkSent)?;
    let uncertain = match only.id() {
        Some(_) => 1,
        None => tally::uncertain(&mut conn, id).await?,
    };
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    Ok(html(Ask {
        title: shell.tn("mailings.mark_sent_title", uncertain),
        text: shell.t("mailings.mark_sent_text"),
        figures: Vec::new(),
        action: only.on(&format!("{}/mark_sent", href(id))),
        back: only.back(id),
        button: shell.tn("mailings.mark_sent_button", uncertain),
        icon: "check",
        danger: false,
        shell,
        mailing,
    }))
}

pub async fn mark_sent(
    visit: Visit,
    id: web::Path<i64>,
    only: web::Query<Only>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    visit.require(Role::Manager)?;
    let id = MailingId(*id);
    let mut conn = visit.conn().await?;
    own(&visit, &mut conn, id).await?;
    let (_, settled) = mailings::again::mark_sent(&mut conn, visit.user, id, only.id()).await?;
    if settled > 0 {
        let by = Some(visit.user);
        let note = settled.to_string();
        audit::note(
            &mut conn,
            visit.company,
            "mailings",
            id.0,
            by,
            "mark_sent",
            Some(&note),
        )
        .await?;
    }
    conn.commit().await?;
    visit.tell(&visit.tn("mailings.mark_sent_told", whole(settled)));
    Ok(see_other(only.back(id)))
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What somebody may do about what is uncertain: a word and where it is asked.
pub fn ways(role: Option<Role>, mailing: &Mailing) -> Vec<(&'static str, String)> {
    if role < Some(Role::Manager) {
        return Vec::new();
    }
    [
        (Verb::MarkSent, "verb.mark_sent"),
        (Verb::Resend, "verb.resend"),
    ]
    .into_iter()
    .filter(|(verb, _)| mailing.allows(*verb))
    .map(|(verb, word)| (word, format!("{}/{}", href(mailing.id), verb.as_str())))
    .collect()
}
