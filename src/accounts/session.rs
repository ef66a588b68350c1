//! The session of a WAHA account: who looks after it, what is done with it, what its events tell of it.
//!
//! Invariants: administrators and managers of the owner who may use the account look after its session; no
//! transaction is open while WAHA answers; the webhook's key goes to WAHA and to nobody else.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;

use super::{Account, Secret, health, owned, query};
use crate::app::App;
use crate::auth::{Caller, Role};
use crate::error::{Error, Result};
use crate::gateways::waha::Version;
use crate::gateways::waha::session::{Hook, Said, Session, Status};
use crate::ids::AccountId;

/// An event after our address was written must have come by then: WAHA restarts the session for it.
const HEARD_WITHIN: TimeDelta = TimeDelta::minutes(1);
/// What the look at a stopped account waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that leave cause events at once.
const SILENT: TimeDelta = TimeDelta::minutes(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Start,
    Restart,
    Stop,
    LogOut,
    SetHook,
}

impl Verb {
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Start,
            Self::Restart,
            Self::Stop,
            Self::LogOut,
            Self::SetHook,
        ]
        .into_iter()
        .find(|verb| verb.as_str() == word)
    }

    /// As in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::LogOut => "logout",
            Self::SetHook => "webhooks",
        }
    }

    /// As in the account's history.
    pub fn noted(self) -> &'static str {
        match self {
            Self::Start => "session_start",
            Self::Restart => "session_restart",
            Self::Stop => "session_stop",
            Self::LogOut => "session_logout",
            Self::SetHook => "session_webhooks",
        }
    }
}

/// What WAHA says now.
#[derive(Debug)]
pub struct Live {
    pub session: Said<Option<Session>>,
    pub version: Said<Version>,
}

/// The account, for whoever may look after its session.
pub async fn of(conn: &mut AsyncPgConnection, caller: &Caller, id: AccountId) -> Result<Account> {
    caller.require(Role::Manager)?;
    let account = owned(conn, id, caller.company).await?;
    let is_administrator = caller.role >= Role::Administrator;
    if !is_administrator && !query::is_allowed(conn, id, caller.user).await? {
        return Err(Error::Forbidden);
    }
    if !account.has_session() {
        return Err(Error::conflict(
            "This account has no session: it does not send through WAHA's own API.",
        ));
    }
    Ok(account)
}

impl Account {
    pub fn has_session(&self) -> bool {
        self.provider == "waha" && !self.sends_through_webhook()
    }

    /// Our webhook as WAHA is to know it.
    pub fn hook(&self, app: &App) -> anyhow::Result<Hook> {
        let none = || SecretString::from(String::new());
        Ok(Hook {
            url: self.intake_url(app),
            key: self
                .secret(&app.crypt, Secret::WebhookSecret)?
                .unwrap_or_else(none),
        })
    }
}

/// Asks WAHA how the session stands.
pub async fn look(app: &App, account: &Account, within: Duration) -> Result<Live> {
    let waha = account.waha(app)?;
    let (session, version) = tokio::join!(waha.session(within), waha.server(within));
    Ok(Live { session, version })
}

/// Does it; the sentence says why WAHA did not.
pub async fn act(app: &App, account: &Account, verb: Verb) -> Result<Said<()>> {
    let (waha, hook) = (account.waha(app)?, account.hook(app)?);
    let since = app.clock.now();
    let done = match verb {
        Verb::Start => waha.start(&hook).await,
        Verb::SetHook => waha.set_hook(&hook).await.map(|()| true),
        Verb::Restart | Verb::Stop | Verb::LogOut => waha.act(verb.as_str()).await.map(|()| false),
    };
    if done == Ok(true) {
        let mut conn = app.db.system().await?;
        hook_set(&mut conn, account, since).await?;
    }
    Ok(done.map(|_| ()))
}

/// Accounts that WAHA's session stopped, a minute after they were looked at last. Whoever gets one looks before
/// another instance does.
const STOPPED: &str = "
INSERT INTO account_sessions (account_id, company_id, looked_at)
SELECT a.id, a.company_id, wablast_now() FROM accounts a
WHERE a.active AND a.health = 'stopped' AND a.health_code = 'gateway_error' AND a.provider = 'waha' AND a.send_through = 'api'
ON CONFLICT (account_id) DO UPDATE SET looked_at = EXCLUDED.looked_at
WHERE account_sessions.looked_at IS NULL OR account_sessions.looked_at <= EXCLUDED.looked_at - interval '1 minute'
RETURNING account_id AS id";

#[derive(QueryableByName)]
struct Stopped {
    #[diesel(sql_type = BigInt)]
    id: AccountId,
}

/// Looks whether sessions of stopped accounts work again: the event that says so may have been lost. Returns
/// how many accounts run again.
pub async fn look_at_stopped(app: &App) -> anyhow::Result<usize> {
    let stopped: Vec<Stopped> = {
        let mut conn = app.db.system().await?;
        sql_query(STOPPED).load(&mut conn).await?
    };
    let mut running = 0;
    for one in stopped {
        let account = {
            let mut conn = app.db.system().await?;
            query::find(&mut conn, one.id).await?
        };
        // No connection is held while WAHA answers.
        let session = account.waha(app)?.session(PATIENCE).await;
        let works = matches!(&session, Ok(Some(session)) if session.status == Status::Working);
        if works {
            let mut conn = app.db.system().await?;
            health::session_broke(&mut conn, one.id).await?;
            running += health::session_works(&mut conn, one.id).await?;
        }
    }
    Ok(running)
}

async fn hook_set(
    conn: &mut AsyncPgConnection,
    account: &Account,
    at: DateTime<Utc>,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO account_sessions (account_id, company_id, hooks_set_at) VALUES ($1, $2, $3)
         ON CONFLICT (account_id) DO UPDATE SET hooks_set_at = EXCLUDED.hooks_set_at, refused_at = NULL, refused_why = NULL",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<BigInt, _>(account.company_id)
    .bind::<Timestamptz, _>(at)
    .execute(conn)
    .await
}

/// An event came that is not signed as it should be: told on the account's page. Whoever sends them, a
/// minute has one note.
pub async fn refused_event(
    conn: &mut AsyncPgConnection,
    account: &Account,
    is_signed: bool,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO account_sessions (account_id, company_id, refused_at, refused_why) VALUES ($1, $2, wablast_now(), $3)
         ON CONFLICT (account_id) DO UPDATE SET refused_at = EXCLUDED.refused_at, refused_why = EXCLUDED.refused_why
         WHERE account_sessions.refused_at IS NULL OR account_sessions.refused_at < EXCLUDED.refused_at - interval '1 minute'",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<BigInt, _>(account.company_id)
    .bind::<Text, _>(if is_signed { "wrong_key" } else { "unsigned" })
    .execute(conn)
    .await
}

/// How events come, as far as it can be seen from here.
#[derive(Debug, Clone, QueryableByName)]
pub struct Heard {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub hooks_set_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub refused_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    pub refused_why: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_event_at: Option<DateTime<Utc>>,
    /// When messages were last let go.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub left_at: Option<DateTime<Utc>>,
}

/// What is wrong with how events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// They come without a signature.
    Unsigned(DateTime<Utc>),
    /// They come signed with another key.
    WrongKey(DateTime<Utc>),
    /// WAHA was given our address then, and nothing came since.
    Unreached(DateTime<Utc>),
    /// Messages left since the last event.
    Stopped(DateTime<Utc>),
}

impl Heard {
    pub fn silence(&self, now: DateTime<Utc>) -> Option<Silence> {
        let heard_since = |at: DateTime<Utc>| self.last_event_at.is_some_and(|last| last >= at);
        if let Some(at) = self.refused_at.filter(|at| !heard_since(*at)) {
            return Some(match self.refused_why.as_deref() {
                Some("unsigned") => Silence::Unsigned(at),
                _ => Silence::WrongKey(at),
            });
        }
        if let Some(at) = self
            .hooks_set_at
            .filter(|at| !heard_since(*at) && now - *at > HEARD_WITHIN)
        {
            return Some(Silence::Unreached(at));
        }
        let (left, last) = self.left_at.zip(self.last_event_at)?;
        (left - last > SILENT && now - left > HEARD_WITHIN).then_some(Silence::Stopped(last))
    }
}

pub async fn heard(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<Heard> {
    sql_query(
        "SELECT s.hooks_set_at, s.refused_at, s.refused_why, a.last_event_at, p.tokens_at AS left_at
         FROM accounts a LEFT JOIN account_sessions s ON s.account_id = a.id LEFT JOIN account_pace p ON p.account_id = a.id
         WHERE a.id = $1",
    )
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_has_one_reason() {
        let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0);
        let heard = |set, refused, last, left| Heard {
            hooks_set_at: set,
            refused_at: refused,
            refused_why: Some("unsigned".to_owned()),
            last_event_at: last,
            left_at: left,
        };
        let said = |heard: &Heard| heard.silence(at(100).unwrap());
        assert_eq!(said(&heard(None, None, None, None)), None);
        assert_eq!(said(&heard(at(90), None, at(91), at(95))), None);
        assert_eq!(
            said(&heard(at(90), None, at(80), None)),
            Some(Silence::Unreached(at(90).unwrap()))
        );
        assert_eq!(said(&heard(at(100), None, None, None)), None);
        assert_eq!(
            said(&heard(at(80), at(90), at(89), None)),
            Some(Silence::Unsigned(at(90).unwrap()))
        );
        assert_eq!(said(&heard(at(80), at(90), at(91), None)), None);
        assert_eq!(
            said(&heard(at(10), None, at(20), at(31))),
            Some(Silence::Stopped(at(20).unwrap()))
        );
        assert_eq!(said(&heard(at(10), None, at(20), at(29))), None);
    }
}
