//! *Test*: asks the gateway, or the webhook that sends for it, what works, says it in plain words, remembers it.

use diesel_async::AsyncPgConnection;

use super::flow::Flow;
use super::pulling::{self, Pulling};
use super::{Account, callback_token, flow, health, number, owned, query};
use crate::app::App;
use crate::error::Result;
use crate::gateways::Check;
use crate::ids::{AccountId, CompanyId};

/// What a test found, check by check.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = AccountTest)]
pub struct Tested {
    pub ok: bool,
    pub checks: Vec<Check>,
}

/// Tests an account. No transaction is open while the gateway answers.
pub async fn run(app: &App, company: CompanyId, id: AccountId) -> Result<Tested> {
    let mut conn = app.db.company(company).await?;
    let account = owned(&mut conn, id, company).await?;
    let token = callback_token::state(&mut conn, company).await?;
    let flow = flow::of(&mut conn, id).await?;
    let pulling = pulling::of(&mut conn, &account).await?;
    conn.commit().await?;
    let checks = if account.is_meta() {
        let (mut checks, looked) = account.meta(app)?.test(app.clock.now()).await;
        if let Some(looked) = looked {
            let mut conn = app.db.system().await?;
            number::learn(&mut conn, &account, &looked).await?;
        }
        checks.push(meta_reaches_us(app, &account));
        checks
    } else if pulling.pulls {
        vec![workers_fetch(pulling)]
    } else if account.sends_through_webhook() {
        let mut checks = account.webhook(app, &flow)?.test().await;
        checks.push(reports_to_us(app, &account, &flow, token.is_some()));
        checks
    } else {
        let mut checks = account.waha(app)?.test().await;
        checks.push(reaches_us(app, &account));
        checks
    };
    let ok = checks.iter().all(|check| check.ok);
    let tested = Tested { ok, checks };
    let mut conn = app.db.company(company).await?;
    store(&mut conn, app, &account, &tested).await?;
    conn.commit().await?;
    app.wake.deliver.notify_waiters();
    Ok(tested)
}

async fn store(
    conn: &mut AsyncPgConnection,
    app: &App,
    account: &Account,
    tested: &Tested,
) -> Result<()> {
    let checks = serde_json::to_value(&tested.checks).map_err(anyhow::Error::new)?;
    let number = tested
        .checks
        .iter()
        .find(|check| check.name == "number" && check.ok)
        .map(|check| {
            check
                .message
                .chars()
                .filter(char::is_ascii_digit)
                .collect::<String>()
        })
        .filter(|digits| digits.len() >= 6);
    query::store_test(
        conn,
        account.id,
        tested.ok,
        checks,
        number.as_deref(),
        app.clock.now(),
    )
    .await?;
    if tested.ok {
        health::test_passed(conn, account.id).await?;
        number::lifted(conn, account.id).await?;
    }
    Ok(())
}

/// Whether an address leads back to the machine that uses it.
fn is_loopback(address: &str) -> bool {
    url::Url::parse(address).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    })
}

/// Nothing of theirs can be asked: only whether they come.
fn workers_fetch(pulling: Pulling) -> Check {
    let message = match pulling.pulled_at {
        Some(at) => format!(
            "Workers fetch the messages; one came {}.",
            at.format("%-d %b %Y %H:%M UTC")
        ),
        None => "Workers fetch the messages. None has come yet: let yours call POST /api/v1/outgoing/pull.".to_owned(),
    };
    Check {
        name: "workers",
        ok: true,
        message,
    }
}

/// Whether a flow can report to us: an address that leads back to us, and a token.
fn reports_to_us(app: &App, account: &Account, flow: &Flow, has_token: bool) -> Check {
    let ours = app.config.public_url();
    let check = |ok, message: String| Check {
        name: "callbacks",
        ok,
        message,
    };
    if account.counts_as_sent {
        return check(
            true,
            "This flow does not report: what it takes counts as sent.".to_owned(),
        );
    }
    if is_loopback(&ours) && !is_loopback(&account.webhook_url) {
        return check(
            false,
            format!(
                "The flow runs on another machine, but our address is {ours}, which leads back to its own machine. \
                 Set WABLAST_PUBLIC_URL to an address that it can reach, or its reports will not arrive."
            ),
        );
    }
    if flow.callback_made_at.is_some() {
        check(
            true,
            "The flow's reports are signed with the account's own secret.".to_owned(),
        )
    } else if has_token {
        check(
            true,
            "Flows report with the company's callback token.".to_owned(),
        )
    } else {
        check(
            true,
            "Warning: there is no callback token yet, so no flow can report what became of a message. Make one under Callbacks for n8n flows.".to_owned(),
        )
    }
}

/// Whether our address leads to us from where a gateway runs, as far as it can be told.
pub fn finds_us(app: &App, theirs: &str) -> bool {
    !is_loopback(&app.config.public_url()) || is_loopback(theirs)
}

/// Whether Meta can bring us its events: it posts to https alone, and signs with the app's secret.
fn meta_reaches_us(app: &App, account: &Account) -> Check {
    let ours = app.config.public_url();
    let check = |ok, message: String| Check {
        name: "webhooks",
        ok,
        message,
    };
    if account.app_secret.is_none() {
        return check(false, "The App Secret is missing: without it no event of Meta's can be trusted. Enter it on the account.".to_owned());
    }
    let is_rehearsal = is_loopback(&account.base_url);
    if !is_rehearsal && (is_loopback(&ours) || !ours.starts_with("https://")) {
        return check(
            false,
            format!(
                "Meta posts its events to https addresses on the internet, and ours is {ours}. \
                 Set WABLAST_PUBLIC_URL to such an address, or receipts and replies will not arrive."
            ),
        );
    }
    let message = match account.last_event_at {
        Some(at) => format!("The last event came {}.", at.format("%-d %b %Y %H:%M UTC")),
        None => format!(
            "No event has come yet. Enter this address and the verify token under Webhooks in Meta's dashboard: {}",
            account.intake_url(app)
        ),
    };
    check(true, message)
}

/// Whether the gateway can bring us its events: an address that leads back to us, and events seen.
fn reaches_us(app: &App, account: &Account) -> Check {
    let ours = app.config.public_url();
    if !finds_us(app, &account.api_url) {
        return Check {
            name: "webhooks",
            ok: false,
            message: format!(
                "WAHA runs on another machine, but our address is {ours}, which leads back to WAHA's own machine. \
                 Set WABLAST_PUBLIC_URL to an address that WAHA can reach, or receipts and replies will not arrive."
            ),
        };
    }
    let message = match account.last_event_at {
        Some(at) => format!("The last event came {}.", at.format("%-d %b %Y %H:%M UTC")),
        None => format!(
            "No event has come yet. Give WAHA this address for its webhooks: {}",
            account.intake_url(app)
        ),
    };
    Check {
        name: "webhooks",
        ok: true,
        message,
    }
}
