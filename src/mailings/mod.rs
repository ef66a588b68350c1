//! Mailings: what is composed, to whom it goes, when, and what became of it.
//!
//! Invariants: a verb is one guarded change of state, and [`mailing::allows`] is the only table of what
//! may happen when; a released mailing has an immutable version and a frozen audience; a mailing can be
//! released once only. Owns `mailings`, `mailing_lists`, `mailing_contacts`, `mailing_versions` and
//! `audience`. Does not know how messages leave.

pub mod again;
pub mod audience;
pub mod figures;
mod freeze;
pub mod input;
pub mod list;
pub mod lock;
pub mod logs_list;
pub mod mailing;
pub mod preflight;
pub mod proven;
pub mod query;
pub mod release;
pub mod settle;
pub mod stop;
pub mod unheard;
pub mod template;
pub mod warnings;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use diesel::prelude::*;
use diesel_async::AsyncPgConnection;

use crate::accounts::{self, Account};
use crate::app::App;
use crate::companies;
use crate::error::{Error, FieldErrors, Result, violated_constraint};
use crate::ids::{AccountId, CompanyId, LogId, MailingId, MediaId, TemplateId, UserId, VersionId};
use crate::logs::{self, Trigger};
use crate::media;
use crate::outgoing::{self, hold::Whose};
use crate::schema::mailings;

pub use input::{MailingDraft, MailingInput};
pub use mailing::{State, Verb, allows, legal};

#[derive(Debug, Clone, Queryable, Selectable, Identifiable)]
#[diesel(table_name = mailings)]
pub struct Mailing {
    pub id: MailingId,
    pub company_id: CompanyId,
    pub subject: String,
    pub account_id: AccountId,
    pub responsible_id: UserId,
    pub recipients: String,
    pub header_type: String,
    pub media_id: Option<MediaId>,
    pub header: String,
    pub message: String,
    pub footer: String,
    pub skip_missing_values: bool,
    pub schedule_date: Option<DateTime<Utc>>,
    /// What has not left by then expires.
    pub not_after: Option<DateTime<Utc>>,
    pub time_zone: String,
    pub state: String,
    pub state_reason: Option<String>,
    pub version_id: Option<VersionId>,
    pub log_id: Option<LogId>,
    pub audience_size: Option<i64>,
    pub release_done: bool,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub template_id: Option<TemplateId>,
    template_values: serde_json::Value,
    pub active: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Mailing {
    pub fn state(&self) -> State {
        // The column is checked to hold one of these.
        State::parse(&self.state).unwrap_or(State::Draft)
    }

    /// Whether it was sent, at least in part, before.
    pub fn released(&self) -> bool {
        self.version_id.is_some()
    }

    pub fn allows(&self, verb: Verb) -> bool {
        allows(self.state(), verb, self.released())
    }

    pub fn legal(&self) -> Vec<&'static str> {
        legal(self.state(), self.released())
    }
}

/// How long a form may stand open before its schedule date counts as past.
const FORM_STOOD_OPEN: Duration = Duration::minutes(2);

pub async fn create(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    draft: &MailingDraft,
) -> Result<Mailing> {
    let draft = &template::applied(conn, draft).await?;
    let account = accounts::usable(conn, draft.account_id, user).await?;
    file_fits(conn, draft.media_id, draft.header_type, &account).await?;
    let id = query::insert(conn, company, user, draft)
        .await
        .map_err(known_faults)?;
    query::set_recipients(conn, company, id, draft)
        .await
        .map_err(known_faults)?;
    Ok(query::find(conn, id).await?)
}

/// Changes a draft.
pub async fn update(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    id: MailingId,
    draft: &MailingDraft,
) -> Result<Mailing> {
    let before = query::lock(conn, id).await?;
    require(&before, Verb::Edit)?;
    let draft = &template::applied(conn, draft).await?;
    let moved = before.account_id != draft.account_id;
    if moved || before.media_id != draft.media_id {
        let account = accounts::usable(conn, draft.account_id, user).await?;
        file_fits(conn, draft.media_id, draft.header_type, &account).await?;
    }
    query::write(conn, id, draft).await.map_err(known_faults)?;
    query::set_recipients(conn, company, id, draft)
        .await
        .map_err(known_faults)?;
    Ok(query::find(conn, id).await?)
}

/// *Submit to Scheduler*: it goes out by itself at its date, never before.
pub async fn submit(
    app: &App,
    conn: &mut AsyncPgConnection,
    user: UserId,
    id: MailingId,
    new_date: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Mailing> {
    let mailing = query::lock(conn, id).await?;
    if mailing.state() == State::Submitted {
        // The same press again; another date is another wish.
        return match new_date.filter(|date| Some(*date) != mailing.schedule_date) {
            Some(date) => {
                let zone = mailing.time_zone.parse().unwrap_or(Tz::UTC);
                reschedule(conn, id, date, zone, now).await
            }
            None => Ok(mailing),
        };
    }
    if !mailing.allows(Verb::Submit) {
        return Err(illegal(&mailing, Verb::Submit));
    }
    let mut errors = FieldErrors::default();
    let date = new_date.or(mailing.schedule_date);
    match date {
        None => errors.add(
            "schedule_date",
            "Choose when it should go out, or use Send Now.",
        ),
        Some(date) if date < now - FORM_STOOD_OPEN => {
            errors.add(
                "schedule_date",
                "This moment has passed. Choose a later one, or use Send Now.",
            );
        }
        Some(_) => {}
    }
    ends_after(&mailing, date.unwrap_or(now).max(now), &mut errors);
    ready(app, conn, user, &mailing, &mut errors).await?;
    let date = errors.or(date)?;
    query::move_to(conn, id, Verb::Submit, State::Submitted, Some(date)).await?;
    Ok(query::find(conn, id).await?)
}

/// Moves the date of a mailing that waits for it, or has missed it; the state stays.
pub async fn reschedule(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    date: DateTime<Utc>,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<Mailing> {
    let mailing = query::lock(conn, id).await?;
    require(&mailing, Verb::Reschedule)?;
    if date < now - FORM_STOOD_OPEN {
        return Err(Error::invalid(
            "schedule_date",
            "This moment has passed. Choose a later one, or use Send Now.",
        ));
    }
    let mut errors = FieldErrors::default();
    ends_after(&mailing, date, &mut errors);
    errors.or(Some(()))?;
    query::reschedule(conn, id, date, zone.name()).await?;
    Ok(query::find(conn, id).await?)
}

/// A mailing that starts at `start` must not have ended by then.
fn ends_after(mailing: &Mailing, start: DateTime<Utc>, errors: &mut FieldErrors) {
    if mailing.not_after.is_some_and(|end| end <= start) {
        errors.add("not_after", input::ENDS_FIRST);
    }
}

/// *Send Now*: ignores the schedule date; the scheduler cannot release it a second time.
pub async fn send_now(
    app: &App,
    conn: &mut AsyncPgConnection,
    user: UserId,
    id: MailingId,
) -> Result<Mailing> {
    let mailing = query::lock(conn, id).await?;
    // A second click finds what the first one led to.
    if mailing.released()
        && matches!(
            mailing.state(),
            State::Sending | State::Done | State::PartialFailure | State::Failed
        )
    {
        return Ok(mailing);
    }
    if !mailing.allows(Verb::SendNow) {
        return Err(illegal(&mailing, Verb::SendNow));
    }
    let mut errors = FieldErrors::default();
    ends_after(&mailing, app.clock.now(), &mut errors);
    ready(app, conn, user, &mailing, &mut errors).await?;
    errors.or(Some(()))?;
    release::start(conn, &mailing, Trigger::SendNow, Some(user)).await?;
    Ok(query::find(conn, id).await?)
}

/// Pauses, resumes, cancels or takes back to draft. A second click is well.
pub async fn change(conn: &mut AsyncPgConnection, id: MailingId, verb: Verb) -> Result<Mailing> {
    let mailing = query::lock(conn, id).await?;
    let target = match verb {
        Verb::Pause => State::Paused,
        Verb::Resume => State::Sending,
        Verb::Cancel => State::Canceled,
        Verb::Draft => State::Draft,
        _ => return Err(illegal(&mailing, verb)),
    };
    if mailing.state() == target {
        return Ok(mailing);
    }
    if !mailing.allows(verb) {
        return Err(illegal(&mailing, verb));
    }
    // What had ended before ends as it had: only the run that tries again is stopped.
    if verb == Verb::Cancel && again::is_run(conn, &mailing).await? {
        outgoing::query::cancel_waiting(conn, id).await?;
        settle::one(conn, id).await?;
        return Ok(query::find(conn, id).await?);
    }
    query::move_to(conn, id, verb, target, None).await?;
    // Where delivery is batched a mailing that rested waits for its next batch.
    if matches!(verb, Verb::Pause | Verb::Resume) {
        outgoing::open::close(conn, id).await?;
    }
    if verb == Verb::Cancel {
        outgoing::query::cancel_waiting(conn, id).await?;
        if mailing.released() {
            logs::settle(conn, id, "canceled", None, false).await?;
        }
    }
    Ok(query::find(conn, id).await?)
}

/// After a pause or a cancel was committed: returns when it holds over all instances, within a second.
pub async fn took_effect(app: &App, id: MailingId, verb: Verb) -> Result<()> {
    match verb {
        Verb::Pause | Verb::Cancel => {
            outgoing::hold::until_nothing_begins(app, Whose::Mailing(id)).await
        }
        _ => Ok(()),
    }
}

/// A new draft with the same content and recipients.
pub async fn duplicate(
    conn: &mut AsyncPgConnection,
    user: UserId,
    id: MailingId,
) -> Result<Mailing> {
    let copy = query::copy(conn, id, user).await?;
    Ok(query::find(conn, copy).await?)
}

pub async fn set_active(conn: &mut AsyncPgConnection, id: MailingId, active: bool) -> Result<()> {
    let mailing = query::lock(conn, id).await?;
    if !active && !mailing.allows(Verb::Archive) {
        return Err(illegal(&mailing, Verb::Archive));
    }
    query::set_active(conn, id, active).await?;
    Ok(())
}

/// Deletes a draft that never ran.
pub async fn delete(conn: &mut AsyncPgConnection, id: MailingId) -> Result<()> {
    let mailing = query::lock(conn, id).await?;
    if !mailing.allows(Verb::Delete) {
        return Err(illegal(&mailing, Verb::Delete));
    }
    query::delete(conn, id).await?;
    Ok(())
}

/// What stands in the way of sending it now, by field; empty when nothing does.
pub async fn faults(
    app: &App,
    conn: &mut AsyncPgConnection,
    user: UserId,
    mailing: &Mailing,
) -> Result<FieldErrors> {
    let mut errors = FieldErrors::default();
    ready(app, conn, user, mailing, &mut errors).await?;
    Ok(errors)
}

/// Refuses what the table does not allow, and says what it does.
pub fn require(mailing: &Mailing, verb: Verb) -> Result<()> {
    if mailing.allows(verb) {
        Ok(())
    } else {
        Err(illegal(mailing, verb))
    }
}

/// What must be there before anything may leave; faults by field.
async fn ready(
    app: &App,
    conn: &mut AsyncPgConnection,
    user: UserId,
    mailing: &Mailing,
    errors: &mut FieldErrors,
) -> Result<()> {
    companies::still_works(conn, mailing.company_id).await?;
    // Under a file WhatsApp needs no words.
    if mailing.message.trim().is_empty() && mailing.media_id.is_none() {
        errors.add("message", "Write the message first.");
    }
    match accounts::usable(conn, mailing.account_id, user).await {
        Ok(account) => {
            if let Some(reason) = account.not_built() {
                errors.add("account_id", reason);
            }
            match file_goes(app, conn, mailing, &account).await {
                Err(Error::Invalid(faults)) => errors.0.extend(faults.0),
                other => other?,
            }
            template::ready(conn, mailing, &account, errors).await?;
        }
        Err(Error::Invalid(faults)) => errors.0.extend(faults.0),
        Err(other) => return Err(other),
    }
    for name in preflight::unknown_placeholders(conn, mailing).await? {
        errors.add(
            "message",
            format!("{{{{{name}}}}} is not known. The Variables tab lists every placeholder."),
        );
    }
    // Counting a million people takes seconds, in which the first could have theirs.
    if preflight::anybody(conn, mailing).await? {
        return Ok(());
    }
    let preflight = preflight::run(conn, mailing, app.clock.now()).await?;
    if preflight.people() == 0 {
        let field = if mailing.recipients == "lists" {
            "list_ids"
        } else {
            "contact_ids"
        };
        errors.add(
            field,
            "Nobody is chosen. Add a list with members, or contacts.",
        );
    } else if preflight.will_send == 0 {
        errors.add(
            "recipients",
            format!(
                "All {} people are left out, so nothing would be sent.",
                preflight.people()
            ),
        );
    }
    Ok(())
}

/// Whether the header's file, if it has one, is there and is taken by the account's provider.
async fn file_fits(
    conn: &mut AsyncPgConnection,
    media: Option<MediaId>,
    header_type: &str,
    account: &Account,
) -> Result<()> {
    if let Some(id) = media {
        media::for_header(conn, id, header_type, &account.provider).await?;
    }
    Ok(())
}

/// Whether the file can go the way the account sends.
async fn file_goes(
    app: &App,
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    account: &Account,
) -> Result<()> {
    let Some(id) = mailing.media_id else {
        return Ok(());
    };
    let file = media::for_header(conn, id, &mailing.header_type, &account.provider).await?;
    outgoing::files::can_go(app, &file, account)
}

fn illegal(mailing: &Mailing, verb: Verb) -> Error {
    let message = match (mailing.state(), verb) {
        (State::Draft, Verb::Cancel) => {
            "A draft is not on its way, so there is nothing to cancel.".to_owned()
        }
        (state, verb) => format!(
            "A mailing that is {} cannot be changed like this ({}).",
            state
                .as_str()
                .replace('_', " ")
                .replace("canceled", "cancelled"),
            verb.as_str().replace('_', " ")
        ),
    };
    Error::Conflict {
        message,
        legal: mailing.legal(),
    }
}

/// Constraints that stand for something a person can mend.
fn known_faults(error: diesel::result::Error) -> Error {
    match violated_constraint(&error) {
        Some("mailings_company_id_account_id_fkey") => {
            Error::invalid("account_id", "This account does not exist.")
        }
        Some("mailing_lists_company_id_list_id_fkey") => {
            Error::invalid("list_ids", "One of the lists does not exist.")
        }
        Some("mailing_contacts_company_id_contact_id_fkey") => {
            Error::invalid("contact_ids", "One of the contacts does not exist.")
        }
        Some("mailings_company_id_media_id_fkey") => Error::invalid(
            "media_id",
            "This file is not there any more. Upload it again.",
        ),
        Some("mailings_responsible_id_fkey") => {
            Error::invalid("responsible_id", "This user does not exist.")
        }
        _ => error.into(),
    }
}
