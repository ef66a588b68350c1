//! What may be done with a mailing, each verb a press of a button; the grave ones ask first.
//!
//! Invariants: a second press finds what the first one led to and gets the same answer; what the table
//! does not allow answers 409 with what it does.

use actix_web::web;
use askama::Template;
use diesel_async::AsyncPgConnection;

use super::preview::duration;
use super::{href, noted, own, show};
use crate::audit;
use crate::error::{Error, Result};
use crate::ids::MailingId;
use crate::mailings::{self, Mailing, State, Verb, figures, input::instant, preflight, query};
use crate::outgoing::open;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::page::{Menu, Shell, html};
use crate::web::rates;
use crate::web::visit::Visit;

/// A question with its figures.
#[derive(Template)]
#[template(path = "mailings/confirm.html")]
pub struct Ask {
    pub shell: Shell,
    pub mailing: Mailing,
    pub title: String,
    pub text: String,
    pub figures: Vec<(String, String)>,
    /// Where the answer goes.
    pub action: String,
    /// Where one comes from.
    pub back: String,
    pub button: String,
    pub icon: &'static str,
    pub danger: bool,
}

/// *Send Now*, with the figures of the pre-flight; faults instead of a question when it cannot go out.
pub async fn ask_send(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = MailingId(*id);
    let mut conn = visit.conn().await?;
    let mailing = own(&visit, &mut conn, id).await?;
    // Back in the browser, after it was sent.
    if mailing.released() {
        return Ok(see_other(href(id)));
    }
    mailings::require(&mailing, Verb::SendNow)?;
    let faults = mailings::faults(&visit.app, &mut conn, visit.user, &mailing).await?;
    if !faults.is_empty() {
        drop(conn);
        return show::faulty(&visit, id, faults, None).await;
    }
    let check = preflight::run(&mut conn, &mailing, visit.app.clock.now()).await?;
    let facts = query::facts(&mut conn, id).await?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let mut figures = vec![(
        shell.t("mailings.will_be_sent"),
        shell.number(check.will_send),
    )];
    for (reason, people) in &check.left_out {
        figures.push((shell.t(&format!("skip.{reason}")), shell.number(people)));
    }
    for (name, people) in &check.missing_values {
        let said = shell.tf("mailings.without_value", &[name]);
        figures.push((said, shell.number(people)));
    }
    figures.push((
        shell.t("mailings.takes"),
        duration(&shell, check.estimated_seconds),
    ));
    if let Some(estimate) = &check.cost {
        let (cost, by) = rates::estimated(&shell, estimate);
        figures.push((shell.t("rates.estimate"), format!("{cost} ({by})")));
    }
    if let Some(reach) = check.reach.filter(|reach| reach.fits < check.will_send) {
        let today = [shell.number(reach.fits), shell.number(reach.limit)];
        figures.push((
            shell.t("mailings.reach_today"),
            shell.tf("mailings.reach_of", &today),
        ));
    }
    let names = [&mailing.subject, &facts.account];
    let mut text = match open::batch(&mut conn, mailing.account_id, id).await? {
        None => shell.tf("mailings.send_text", &names),
        Some(batch) if batch.active => {
            let when = shell.date(&batch.next_run);
            shell.tf("mailings.send_batched", &[names[0], names[1], &when])
        }
        Some(_) => shell.tf("mailings.send_rests", &names),
    };
    if let Some(date) = &mailing.schedule_date {
        let ignored = shell.tf("mailings.send_ignored", &[shell.date(date)]);
        text = format!("{text} {ignored}");
    }
    if let Some(risk) = risk(&shell, &mut conn, &mailing, check.will_send).await? {
        text = format!("{text} {risk}");
    }
    Ok(html(Ask {
        title: shell.tn("mailings.send_title", check.will_send),
        text,
        figures,
        action: format!("{}/send_now", href(id)),
        back: href(id),
        button: shell.tn("mailings.send_button", check.will_send),
        icon: "send",
        danger: false,
        shell,
        mailing,
    }))
}

/// What a number risks that writes to many more people than it ever did: more than twice as many, from 50 on.
async fn risk(
    shell: &Shell,
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    people: i64,
) -> Result<Option<String>> {
    let enough = (people / 2).min(10_000);
    if people < 50 {
        return Ok(None);
    }
    let most = query::most_before(conn, mailing, enough).await?;
    Ok(match most {
        Some(0) => Some(shell.t("mailings.send_risk_first")),
        Some(most) if most < enough => {
            let figures = [shell.number(most), shell.number(people)];
            Some(shell.tnf("mailings.send_risk", most, &figures))
        }
        _ => None,
    })
}

pub async fn ask_cancel(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = MailingId(*id);
    let mut conn = visit.conn().await?;
    let mailing = own(&visit, &mut conn, id).await?;
    mailings::require(&mailing, Verb::Cancel)?;
    let tally = figures::tally(&visit.app, &mut conn, &mailing).await?;
    let counts = tally.value.counts();
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let (text, figures, button) = if mailing.released() {
        let figures = vec![
            (
                shell.t("mailings.cancel_left"),
                shell.number(counts.total() - counts.open() - counts.of("skipped")),
            ),
            (
                shell.t("mailings.cancel_stopped"),
                shell.number(counts.open()),
            ),
        ];
        let button = shell.tn("mailings.cancel_rest", counts.open());
        (shell.t("mailings.cancel_released"), figures, button)
    } else {
        let text = shell.t("mailings.cancel_waiting");
        (text, Vec::new(), shell.t("mailings.cancel_button"))
    };
    Ok(html(Ask {
        title: shell.t("mailings.cancel_title"),
        text,
        figures,
        action: format!("{}/cancel", href(id)),
        back: href(id),
        button,
        icon: "ban",
        danger: true,
        shell,
        mailing,
    }))
}

pub async fn ask_delete(visit: Visit, id: web::Path<i64>) -> WebResult {
    let mut conn = visit.conn().await?;
    let mailing = own(&visit, &mut conn, MailingId(*id)).await?;
    mailings::require(&mailing, Verb::Delete)?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    Ok(html(Ask {
        title: shell.t("mailings.delete_title"),
        text: shell.tf("mailings.delete_text", &[&mailing.subject]),
        figures: Vec::new(),
        action: format!("{}/delete", href(mailing.id)),
        back: href(mailing.id),
        button: shell.t("verb.delete"),
        icon: "trash",
        danger: true,
        shell,
        mailing,
    }))
}

pub async fn send_now(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = MailingId(*id);
    let sent: Result<()> = async {
        let mut conn = visit.conn().await?;
        // Presses at the same time wait for each other: one begins it and is told of.
        audit::hold(&mut conn, "mailings", id.0).await?;
        let before = own(&visit, &mut conn, id).await?;
        mailings::send_now(&visit.app, &mut conn, visit.user, id).await?;
        if !before.released() {
            noted(&visit, &mut conn, id, "send_now").await?;
        }
        conn.commit().await
    }
    .await;
    match sent {
        Ok(()) => {
            visit.app.wake.release.notify_one();
            Ok(see_other(href(id)))
        }
        Err(Error::Invalid(faults)) => show::faulty(&visit, id, faults, None).await,
        Err(other) => Err(other.into()),
    }
}

/// A date typed beside the verb.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct When {
    schedule_date: Option<String>,
}

/// *Submit to Scheduler*, stored, noted and told.
pub async fn submitted(visit: &Visit, id: MailingId, date: Option<&str>) -> Result<()> {
    let mut conn = visit.conn().await?;
    audit::hold(&mut conn, "mailings", id.0).await?;
    let before = own(visit, &mut conn, id).await?;
    let date = match date {
        Some(text) => instant(text, visit.zone)
            .map_err(|sentence| Error::invalid("schedule_date", sentence))?,
        None => None,
    };
    let now = visit.app.clock.now();
    let mailing = mailings::submit(&visit.app, &mut conn, visit.user, id, date, now).await?;
    if before.state() != State::Submitted {
        noted(visit, &mut conn, id, "submit").await?;
    }
    conn.commit().await?;
    if let Some(date) = mailing.schedule_date {
        let zone = visit.zone;
        let said = crate::i18n::date(visit.lang(), zone, now, &date);
        visit.tell(&visit.tf("mailings.submitted", &[said]));
    }
    Ok(())
}

pub async fn submit(visit: Visit, id: web::Path<i64>, Posted(when): Posted<When>) -> WebResult {
    let id = MailingId(*id);
    match submitted(&visit, id, when.schedule_date.as_deref()).await {
        Ok(()) => Ok(see_other(href(id))),
        Err(Error::Invalid(faults)) => show::faulty(&visit, id, faults, when.schedule_date).await,
        Err(other) => Err(other.into()),
    }
}

pub async fn reschedule(visit: Visit, id: web::Path<i64>, Posted(when): Posted<When>) -> WebResult {
    let id = MailingId(*id);
    let typed = when.schedule_date.unwrap_or_default();
    let moved: Result<()> = async {
        let mut conn = visit.conn().await?;
        own(&visit, &mut conn, id).await?;
        let date = instant(&typed, visit.zone)
            .map_err(|sentence| Error::invalid("schedule_date", sentence))?
            .ok_or_else(|| Error::invalid("schedule_date", "Choose when it should go out."))?;
        let now = visit.app.clock.now();
        mailings::reschedule(&mut conn, id, date, visit.zone, now).await?;
        noted(&visit, &mut conn, id, "reschedule").await?;
        conn.commit().await
    }
    .await;
    match moved {
        Ok(()) => {
            visit.tell("mailings.moved");
            Ok(see_other(href(id)))
        }
        Err(Error::Invalid(faults)) => show::faulty(&visit, id, faults, Some(typed)).await,
        Err(other) => Err(other.into()),
    }
}

/// Pause, resume, cancel, back to draft.
pub async fn change(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    let (id, word) = path.into_inner();
    let id = MailingId(id);
    let verb = match word.as_str() {
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "cancel" => Verb::Cancel,
        _ => Verb::Draft,
    };
    let mut conn = visit.conn().await?;
    audit::hold(&mut conn, "mailings", id.0).await?;
    let before = own(&visit, &mut conn, id).await?;
    let after = mailings::change(&mut conn, id, verb).await?;
    if before.state != after.state {
        noted(&visit, &mut conn, id, verb.as_str()).await?;
    }
    conn.commit().await?;
    visit.app.wake.deliver.notify_one();
    mailings::took_effect(&visit.app, id, verb).await?;
    Ok(see_other(href(id)))
}

/// A new draft; its page is the answer.
pub async fn duplicate(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let mut conn = visit.conn().await?;
    let original = own(&visit, &mut conn, MailingId(*id)).await?;
    if let Some(first) = visit.pressed_before(&mut conn).await? {
        return Ok(first);
    }
    let copy = mailings::duplicate(&mut conn, visit.user, original.id).await?;
    noted(&visit, &mut conn, copy.id, "created").await?;
    noted(&visit, &mut conn, original.id, "duplicate").await?;
    visit.tell("mailings.duplicated");
    Ok(visit.goes_on(conn, href(copy.id)).await?)
}

pub async fn set_active(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    let (id, verb) = path.into_inner();
    let id = MailingId(id);
    let active = verb == "unarchive";
    let mut conn = visit.conn().await?;
    let before = own(&visit, &mut conn, id).await?;
    mailings::set_active(&mut conn, id, active).await?;
    if before.active != active {
        noted(&visit, &mut conn, id, &verb).await?;
    }
    conn.commit().await?;
    Ok(see_other(href(id)))
}

pub async fn delete(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = MailingId(*id);
    let mut conn = visit.conn().await?;
    let mailing = own(&visit, &mut conn, id).await?;
    mailings::delete(&mut conn, id).await?;
    noted(&visit, &mut conn, id, "delete").await?;
    conn.commit().await?;
    visit.tell(&visit.tf("mailings.deleted", &[mailing.subject]));
    Ok(see_other("/mailings"))
}
