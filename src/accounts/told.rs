//! An account's form as it is stored, and what the history tells of a changed one.
//!
//! Invariants: a secret stays out of both: only that it changed is told; whoever changes an account, the panel or
//! a program, the history tells it in the same words.

use std::collections::{BTreeSet, HashMap};

use diesel_async::AsyncPgConnection;
use serde_json::json;

use super::flow::{self, Flow};
use super::pulling::{self, Pulling};
use super::{Account, AccountInput, query, sharing};
use crate::audit::{self, Change, Field, Told};
use crate::error::Result;
use crate::ids::{AccountId, CompanyId, UserId};
use crate::text::or_blank;
use crate::{companies, users};

/// What the history tells of a changed form. Secrets are told apart: only that they changed.
pub const TOLD: &[Field] = &[
    ("name", "accounts.name", Told::Text),
    ("provider", "accounts.provider", Told::Word("provider.")),
    (
        "send_through",
        "accounts.send_through",
        Told::Word("accounts.way_"),
    ),
    ("delivery", "accounts.delivery", Told::Word("accounts.")),
    ("app_uid", "accounts.app_uid", Told::Text),
    ("account_uid", "accounts.account_uid", Told::Text),
    ("phone_uid", "accounts.phone_uid", Told::Text),
    ("base_url", "accounts.base_url", Told::Text),
    ("api_url", "accounts.api_url", Told::Text),
    ("webhook_url", "accounts.webhook_url", Told::Text),
    ("auth_user", "accounts.auth_user", Told::Text),
    ("session", "accounts.session", Told::Text),
    ("behind_proxy", "accounts.behind_proxy", Told::Flag),
    ("welcome_message", "accounts.welcome", Told::Text),
    ("opt_out_confirmation", "accounts.confirmation", Told::Text),
    ("per_second", "accounts.per_second", Told::Text),
    ("burst", "accounts.burst", Told::Text),
    ("auto_pause_percent", "accounts.auto_pause", Told::Text),
    ("hourly_cap", "accounts.hourly_cap", Told::Text),
    ("daily_cap", "accounts.daily_cap", Told::Text),
    ("delay_min", "accounts.delay_min", Told::Text),
    ("delay_max", "accounts.delay_max", Told::Text),
    ("warm_up_first", "accounts.warm_up_first", Told::Text),
    ("warm_up_days", "accounts.warm_up_days", Told::Text),
    ("person_gap", "accounts.person_gap", Told::Text),
    ("quiet_from", "accounts.quiet_from", Told::Text),
    ("quiet_until", "accounts.quiet_until", Told::Text),
    (
        "quiet_zone",
        "accounts.quiet_zone",
        Told::Word("accounts.quiet_zone_"),
    ),
    ("resend_proven", "accounts.resend_proven", Told::Flag),
    ("batch_size", "accounts.batch_size", Told::Text),
    ("allowed_company_ids", "accounts.companies", Told::Names),
    ("allowed_user_ids", "accounts.allowed_users", Told::Names),
    ("callback_minutes", "accounts.callback_minutes", Told::Text),
    ("counts_as_sent", "accounts.counts_as_sent", Told::Flag),
    ("at_once", "accounts.at_once", Told::Text),
    (
        "webhook_auth",
        "accounts.webhook_auth",
        Told::Word("accounts.auth_"),
    ),
    ("pulls", "accounts.pulls", Told::Flag),
];

/// That the typed secrets replaced what was stored.
pub fn secrets(input: &AccountInput) -> Vec<Change> {
    let typed = [
        (&input.app_secret, "accounts.app_secret"),
        (&input.token, "accounts.token"),
        (&input.auth_password, "accounts.auth_password"),
        (&input.api_key, "accounts.api_key"),
        (&input.flow_token, "accounts.flow_token"),
        (&input.flow_secret, "accounts.flow_secret"),
    ];
    let replaced = typed.into_iter().filter(|(value, _)| !value.is_empty());
    replaced
        .map(|(_, label)| Change {
            field: label.to_owned(),
            old: json!({ "word": "form.secret_old" }),
            new: json!({ "word": "form.secret_new" }),
        })
        .collect()
}

/// Each once, whoever asks: the same choice is the same form.
fn in_order(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    ids.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The form of an account as `user` of its owner sees it; `conn` sees all companies.
pub async fn form_of(
    conn: &mut AsyncPgConnection,
    owner: CompanyId,
    user: UserId,
    id: AccountId,
) -> Result<AccountInput> {
    let account = query::find(conn, id).await?;
    let allowed = query::allowed_users(conn, id).await?;
    let sharing = sharing::of(conn, owner, user, Some(id)).await?;
    let flow = flow::of(conn, id).await?;
    let pulling = pulling::of(conn, &account).await?;
    Ok(stored(&account, &flow, pulling, &allowed, &sharing.chosen))
}

/// What a program changed, for the history; `conn` sees all companies.
pub async fn changes(
    conn: &mut AsyncPgConnection,
    before: &AccountInput,
    after: &AccountInput,
) -> Result<Vec<Change>> {
    let both = |of: fn(&AccountInput) -> &Vec<i64>| of(before).iter().chain(of(after)).copied();
    let people: Vec<UserId> = both(|form| &form.allowed_user_ids).map(UserId).collect();
    let shared: Vec<CompanyId> = both(|form| &form.allowed_company_ids)
        .map(CompanyId)
        .collect();
    let people = users::find_many(conn, &people).await?.into_iter();
    let shared = companies::find_many(conn, &shared).await?.into_iter();
    let people = people.map(|user| (("allowed_user_ids", user.id.to_string()), user.name));
    let shared = shared.map(|company| {
        (
            ("allowed_company_ids", company.id.to_string()),
            company.name,
        )
    });
    let names: HashMap<_, _> = people.chain(shared).collect();
    Ok(audit::diff(before, after, TOLD, &names))
}

/// What is stored, as the form shows it. Secrets stay empty.
pub fn stored(
    account: &Account,
    flow: &Flow,
    pulling: Pulling,
    allowed: &[UserId],
    companies: &[CompanyId],
) -> AccountInput {
    AccountInput {
        name: account.name.clone(),
        provider: account.provider.clone(),
        send_through: account.send_through.clone(),
        delivery: account.delivery.clone(),
        app_uid: account.app_uid.clone(),
        account_uid: account.account_uid.clone(),
        phone_uid: account.phone_uid.clone(),
        base_url: account.base_url.clone(),
        api_url: account.api_url.clone(),
        webhook_url: account.webhook_url.clone(),
        auth_user: account.auth_user.clone(),
        session: account.session.clone(),
        behind_proxy: account.behind_proxy.then(|| "true".to_owned()),
        welcome_message: account.welcome_message.clone(),
        opt_out_confirmation: account.opt_out_confirmation.clone(),
        per_second: account.per_second.to_string(),
        burst: account.burst.to_string(),
        auto_pause_percent: account.auto_pause_percent.to_string(),
        hourly_cap: or_blank(account.rules.hourly_cap),
        daily_cap: or_blank(account.rules.daily_cap),
        delay_min: or_blank(account.rules.delay_min),
        delay_max: or_blank(account.rules.delay_max),
        warm_up_first: or_blank(account.rules.warm_up_first),
        warm_up_days: or_blank(account.rules.warm_up_days),
        person_gap: account.rules.person_gap.to_string(),
        quiet_from: or_blank(account.rules.quiet_from.map(|time| time.format("%H:%M"))),
        quiet_until: or_blank(account.rules.quiet_until.map(|time| time.format("%H:%M"))),
        quiet_zone: if account.rules.quiet_local {
            "recipient"
        } else {
            "company"
        }
        .to_owned(),
        resend_proven: account.resend_proven.then(|| "true".to_owned()),
        batch_size: account.batch_size.to_string(),
        allowed_company_ids: in_order(companies.iter().map(|company| company.0)),
        allowed_user_ids: in_order(allowed.iter().map(|user| user.0)),
        callback_minutes: account.callback_minutes.to_string(),
        counts_as_sent: account.counts_as_sent.then(|| "true".to_owned()),
        at_once: account.at_once.to_string(),
        webhook_auth: flow.auth.clone(),
        pulls: pulling.pulls.then(|| "true".to_owned()),
        ..AccountInput::default()
    }
}
