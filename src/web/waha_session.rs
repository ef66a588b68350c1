//! The session of a WAHA account on its page, and alone on a page of its own for managers: how it stands,
//! the code to scan, what can be done with it.
//!
//! Invariants: what stands here is what WAHA says at this moment; looking changes nothing; stopping and
//! logging out ask first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, web};
use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use crate::accounts::session::{self, Heard, Live, Silence, Verb};
use crate::accounts::{Account, query, test};
use crate::audit;
use crate::auth::Role;
use crate::companies;
use crate::error::{Error, Result};
use crate::gateways::waha::Version;
use crate::gateways::waha::session::{HookState, Session, Status};
use crate::i18n;
use crate::ids::AccountId;
use crate::text::phone::{PhoneNumber, display_digits};
use crate::web::error::WebResult;
use crate::web::form::{self, Posted, Pressed, company_token, see_other};
use crate::web::once;
use crate::web::page::{FlashKind, Menu, Shell, html};
use crate::web::visit::Visit;

/// What a page waits for WAHA.
const PAGE: Duration = Duration::from_secs(3);
/// What the part that asks again by itself waits.
const PART: Duration = Duration::from_secs(10);
/// How long WhatsApp lets a code stand; the first one of a session up to a minute.
const CODE: TimeDelta = TimeDelta::seconds(20);

/// Since when this process shows each account's code: WAHA does not say how old it is.
#[derive(Default)]
pub struct Codes(Mutex<HashMap<AccountId, (String, DateTime<Utc>)>>);

impl Codes {
    fn since(&self, account: AccountId, mark: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&account) {
            Some((same, since)) if same == mark => *since,
            _ => {
                known.insert(account, (mark.to_owned(), now));
                now
            }
        }
    }
}

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/accounts/{id:[0-9]+}/session", web::get().to(page))
        .route("/accounts/{id:[0-9]+}/session/now", web::get().to(now))
        .route("/accounts/{id:[0-9]+}/session/qr.png", web::get().to(qr))
        .route("/accounts/{id:[0-9]+}/session/code", web::post().to(code))
        .route(
            "/accounts/{id:[0-9]+}/session/{verb:stop|logout}",
            web::get().to(ask),
        )
        .route(
            "/accounts/{id:[0-9]+}/session/{verb:start|restart|stop|logout|webhooks}",
            web::post().to(act),
        );
}

/// Everything about one session that a page shows.
pub struct SessionBox {
    pub standing: Standing,
    pub(super) id: AccountId,
    /// A pairing code, this once.
    pub(super) code: Option<String>,
    pub events: Events,
}

/// How events of the session come.
pub struct Events {
    pub(super) heard: Heard,
    silence: Option<Silence>,
    /// `None`: WAHA did not say.
    hook: Option<HookState>,
    pub(super) finds_us: bool,
    url: String,
}

/// The part that changes by itself.
#[derive(Template)]
#[template(path = "accounts/session_now.html")]
pub struct Standing {
    shell: Shell,
    /// stopped, starting, scan, working, failed, passkey, unknown, missing, away
    pub state: &'static str,
    /// WAHA's own word, or why it says nothing.
    word: String,
    session: Option<Session>,
    version: Option<Version>,
    /// Where the code to scan is; another address for every code.
    qr: Option<String>,
    /// About when the next code takes its place.
    qr_until: Option<DateTime<Utc>>,
}

impl HtmlSafe for Standing {}

fn state(live: &Live) -> (&'static str, String) {
    match &live.session {
        Err(said) => ("away", said.clone()),
        Ok(None) => ("missing", String::new()),
        Ok(Some(session)) => {
            let state = match session.status {
                Status::Stopped => "stopped",
                Status::Starting => "starting",
                Status::ScanQr => "scan",
                Status::Working => "working",
                Status::Failed => "failed",
                Status::Passkey(_) => "passkey",
                Status::Unknown(_) => "unknown",
            };
            (state, session.status.as_str().to_owned())
        }
    }
}

impl Standing {
    async fn of(visit: &Visit, account: &Account, live: Live, within: Duration) -> Result<Self> {
        let shell = part_shell(visit)?;
        let (state, word) = state(&live);
        let (mut qr, mut qr_until) = (None, None);
        if state == "scan"
            && let Ok(Some(image)) = account.waha(&visit.app)?.qr(within).await
        {
            let mark = hex::encode(&Sha256::digest(&image)[..8]);
            let codes = visit.request.app_data::<web::Data<Codes>>();
            qr_until =
                codes.map(|codes| codes.since(account.id, &mark, visit.app.clock.now()) + CODE);
            qr = Some(format!(
                "/accounts/{}/session/qr.png?code={mark}",
                account.id
            ));
        }
        Ok(Self {
            shell,
            state,
            word,
            session: live.session.ok().flatten(),
            version: live.version.ok(),
            qr,
            qr_until,
        })
    }

    /// The same moment for who has no script to count down with.
    fn until(&self, moment: &DateTime<Utc>) -> String {
        moment
            .with_timezone(&self.shell.zone)
            .format("%H:%M:%S")
            .to_string()
    }

    /// Milliseconds after which the page looks again by itself.
    pub fn again_after(&self) -> u32 {
        match self.state {
            "scan" | "starting" => 3_000,
            "working" => 30_000,
            _ => 10_000,
        }
    }

    fn hue(&self) -> &'static str {
        match self.state {
            "working" => "green",
            "starting" => "teal",
            "scan" | "passkey" | "unknown" => "amber",
            "failed" | "away" => "red",
            _ => "slate",
        }
    }

    fn icon(&self) -> &'static str {
        match self.state {
            "working" => "check",
            "starting" => "loader-2",
            "scan" => "qrcode",
            "passkey" => "key",
            "failed" | "away" => "alert-circle",
            "unknown" => "help-circle",
            _ => "player-pause",
        }
    }

    fn name(&self) -> String {
        self.shell.t(&format!("session.{}", self.state))
    }

    fn text(&self) -> String {
        let said = match self.state {
            "away" => self.shell.say(&self.word),
            _ => self.word.clone(),
        };
        self.shell
            .tf(&format!("session.{}_text", self.state), &[said])
    }

    /// Number and name of the phone.
    fn phone(&self) -> Option<String> {
        let me = self.session.as_ref()?.me.as_ref()?;
        let number = display_digits(&me.number);
        Some(if me.name.is_empty() {
            number
        } else {
            format!("{number} ({})", me.name)
        })
    }

    /// What this WAHA cannot do, and what that costs.
    fn costs(&self) -> Vec<&'static str> {
        let Some(version) = &self.version else {
            return Vec::new();
        };
        let keeps = self
            .session
            .as_ref()
            .is_none_or(|session| session.keeps_messages);
        let engine = version.has_own_ids_engine();
        [
            (!version.is_at_least([2024, 11, 5]), "session.cost_unsigned"),
            (!version.is_at_least([2026, 6, 1]), "session.cost_media"),
            (!engine, "session.cost_engine"),
            (engine && !version.has_own_ids(), "session.cost_ids"),
            (!keeps, "session.cost_store"),
        ]
        .into_iter()
        .filter_map(|(is_so, key)| is_so.then_some(key))
        .collect()
    }
}

impl SessionBox {
    /// `None` where the account has no session of WAHA's. The caller has seen the account; no transaction of
    /// theirs is open, because WAHA is asked.
    pub async fn load(visit: &Visit, account: &Account, home: &str) -> Result<Option<Self>> {
        if !account.has_session() {
            return Ok(None);
        }
        let live = session::look(&visit.app, account, PAGE).await?;
        let hook = match &live.session {
            Ok(Some(session)) => Some(session.hook(&account.hook(&visit.app)?)),
            Ok(None) => Some(HookState::Missing),
            Err(_) => None,
        };
        let heard = {
            let mut conn = visit.conn().await?;
            session::heard(&mut conn, account.id).await?
        };
        let events = Events {
            silence: heard.silence(visit.app.clock.now()),
            heard,
            hook,
            finds_us: test::finds_us(&visit.app, &account.api_url),
            url: account.intake_url(&visit.app),
        };
        let standing = Standing::of(visit, account, live, PAGE).await?;
        Ok(Some(Self {
            standing,
            id: account.id,
            code: once::take(visit, &format!("{home}#code")),
            events,
        }))
    }

    pub(super) fn poll(&self) -> String {
        format!("{}?from={}", self.href("/now"), self.standing.state)
    }

    pub(super) fn href(&self, rest: &str) -> String {
        format!("/accounts/{}/session{rest}", self.id)
    }

    /// What may be pressed, the likeliest first: word, verb, icon.
    pub(super) fn presses(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let start = ("session.start", "/start", "player-play");
        let restart = ("session.restart", "/restart", "refresh");
        match self.standing.state {
            "stopped" | "missing" => vec![start],
            "away" => Vec::new(),
            _ => vec![restart],
        }
    }

    /// The same for what asks first.
    pub(super) fn asks(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let stop = ("session.stop", "/stop", "player-pause");
        let log_out = ("session.logout", "/logout", "logout");
        match self.standing.state {
            "working" => vec![stop, log_out],
            "scan" | "starting" | "passkey" | "unknown" => vec![stop],
            "failed" => vec![log_out],
            _ => Vec::new(),
        }
    }
}

impl Events {
    /// What is wrong, in words; the most pressing first.
    pub(super) fn warning(&self, shell: &Shell) -> Option<String> {
        let (key, at) = match self.silence {
            Some(Silence::Unsigned(at)) => ("session.unsigned", at),
            Some(Silence::WrongKey(at)) => ("session.wrong_key", at),
            Some(Silence::Unreached(at)) => ("session.unreached", at),
            Some(Silence::Stopped(at)) => ("session.silent", at),
            None => return None,
        };
        Some(shell.tf(key, &[shell.date(&at), self.url.clone()]))
    }

    /// What the session's configuration says of us: look, icon, words.
    pub(super) fn state(&self) -> [(&'static str, &'static str, &'static str); 1] {
        [match self.hook {
            Some(HookState::Set) => ("ok", "circle-check", "session.hook_set"),
            Some(HookState::OtherKey) => ("bad", "circle-x", "session.hook_other_key"),
            Some(HookState::Outdated) => ("bad", "circle-x", "session.hook_outdated"),
            Some(HookState::Missing) => ("bad", "circle-x", "session.hook_missing"),
            None => ("muted", "help-circle", "session.hook_unknown"),
        }]
    }
}

fn part_shell(visit: &Visit) -> Result<Shell> {
    Ok(Shell {
        zone: visit.zone,
        role: Some(visit.role),
        csrf: company_token(&visit.session, visit.company)?,
        ..Shell::signed_out(visit.lang(), visit.app.clock.now())
    })
}

/// Where whoever looks after the session comes from.
fn home(visit: &Visit, id: AccountId) -> String {
    if visit.role >= Role::Administrator {
        format!("/accounts/{id}")
    } else {
        format!("/accounts/{id}/session")
    }
}

async fn mine(visit: &Visit, id: i64) -> Result<Account> {
    let mut conn = visit.conn().await?;
    session::of(&mut conn, visit, AccountId(id)).await
}

/// The session alone: for managers, who see no settings.
#[derive(Template)]
#[template(path = "accounts/session_page.html")]
struct Page {
    shell: Shell,
    account: Account,
    session: SessionBox,
}

async fn page(visit: Visit, id: web::Path<i64>) -> WebResult {
    let account = mine(&visit, *id).await?;
    let home = format!("/accounts/{id}/session");
    let Some(session) = SessionBox::load(&visit, &account, &home).await? else {
        return Err(Error::NotFound.into());
    };
    let mut conn = visit.conn().await?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    Ok(html(Page {
        shell,
        account,
        session,
    }))
}

#[derive(serde::Deserialize)]
struct From {
    #[serde(default)]
    from: String,
}

/// What the page asks for while it is looked at.
async fn now(visit: Visit, id: web::Path<i64>, from: web::Query<From>) -> WebResult {
    let account = mine(&visit, *id).await?;
    let live = session::look(&visit.app, &account, PART).await?;
    let standing = Standing::of(&visit, &account, live, PART).await?;
    let (name, value) = if standing.state == from.from || from.from.is_empty() {
        ("x-again", standing.again_after().to_string())
    } else {
        ("x-settled", "1".to_owned())
    };
    let mut answer = html(standing);
    let value = HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static(""));
    answer
        .headers_mut()
        .insert(HeaderName::from_static(name), value);
    Ok(answer)
}

/// The code to scan. It opens the whole account to whoever scans it: nothing on the way keeps it.
async fn qr(visit: Visit, id: web::Path<i64>) -> WebResult {
    let account = mine(&visit, *id).await?;
    match account.waha(&visit.app)?.qr(PART).await {
        Ok(Some(image)) => Ok(HttpResponse::Ok()
            .content_type("image/png")
            .insert_header(("Cache-Control", "no-store"))
            .body(image)),
        Ok(None) => Err(Error::NotFound.into()),
        Err(said) => Err(Error::conflict(said).into()),
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Number {
    number: String,
}

/// A code to type on the phone instead of scanning; shown once.
async fn code(visit: Visit, id: web::Path<i64>, Posted(given): Posted<Number>) -> WebResult {
    let account = mine(&visit, *id).await?;
    let country = {
        let mut system = visit.app.db.system().await?;
        companies::find(&mut system, visit.company).await?.country
    };
    let home = home(&visit, account.id);
    match PhoneNumber::parse(&given.number, &country) {
        Err(fault) => warn(&visit, &fault.to_string()),
        Ok(number) => match account
            .waha(&visit.app)?
            .pairing_code(number.as_str())
            .await
        {
            Ok(code) => once::keep(&visit, &format!("{home}#code"), &code)?,
            Err(said) => warn(&visit, &said),
        },
    }
    Ok(see_other(format!("{home}#session")))
}

/// A sentence of the domain or of WAHA on the next page.
fn warn(visit: &Visit, sentence: &str) {
    let said = i18n::say(visit.lang(), sentence).into_owned();
    form::flash(&visit.session, FlashKind::Error, said);
}

#[derive(Template)]
#[template(path = "accounts/session_ask.html")]
struct Ask {
    shell: Shell,
    account: Account,
    action: String,
    button: String,
    title: String,
    text: String,
    waiting: i64,
    back: String,
}

async fn ask(visit: Visit, path: web::Path<(i64, String)>) -> WebResult {
    let (id, verb) = path.into_inner();
    let account = mine(&visit, id).await?;
    let mut conn = visit.conn().await?;
    let shell = visit.shell(Menu::Broadcasts, &mut conn).await?;
    let key = |part: &str| format!("session.{verb}{part}");
    Ok(html(Ask {
        waiting: query::waiting(&mut conn, account.id).await?,
        action: format!("/accounts/{id}/session/{verb}"),
        button: shell.t(&key("")),
        title: shell.tf(&key("_title"), &[&account.name]),
        text: shell.t(&key("_text")),
        back: home(&visit, account.id),
        shell,
        account,
    }))
}

async fn act(
    visit: Visit,
    path: web::Path<(i64, String)>,
    Posted(_): Posted<Pressed>,
) -> WebResult {
    let (id, verb) = path.into_inner();
    let account = mine(&visit, id).await?;
    let verb = Verb::parse(&verb).ok_or(Error::NotFound)?;
    match session::act(&visit.app, &account, verb).await? {
        Ok(()) => {
            let mut conn = visit.conn().await?;
            let (company, by) = (visit.company, Some(visit.user));
            audit::note(&mut conn, company, "accounts", id, by, verb.noted(), None).await?;
            conn.commit().await?;
            visit.tell(&format!("session.did_{}", verb.as_str()));
        }
        Err(said) => warn(&visit, &said),
    }
    Ok(see_other(format!("{}#session", home(&visit, account.id))))
}
