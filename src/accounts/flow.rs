//! The flow behind an account's webhook: what a push shows to it, and what its reports are signed with.
//!
//! Invariants: secrets are sealed in their place and never leave but in a request's header; an account nobody
//! decided about shows user and password, where it has them; who chooses a token or a signature has one. Owns
//! `account_flow`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use secrecy::SecretString;

use super::{Account, AccountDraft, Secret};
use crate::app::App;
use crate::crypt::{Crypt, Place};
use crate::error::{Error, Result};
use crate::gateways::webhook::Proof;
use crate::ids::{AccountId, CompanyId};

/// What a push can show.
pub const AUTHS: [&str; 3] = ["basic", "bearer", "hmac"];
/// A signing secret is at least so long.
pub const SECRET_AT_LEAST: usize = 16;
const PREFIX: &str = "fls_";

/// What is stored of an account's flow.
#[derive(Debug, Clone, QueryableByName)]
pub struct Flow {
    #[diesel(sql_type = Text)]
    pub auth: String,
    #[diesel(sql_type = Nullable<Binary>)]
    token: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    signing_secret: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    callback_secret: Option<Vec<u8>>,
    /// Since when its reports are signed with the secret they are signed with now.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub callback_made_at: Option<DateTime<Utc>>,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            auth: "basic".to_owned(),
            token: None,
            signing_secret: None,
            callback_secret: None,
            callback_made_at: None,
        }
    }
}

impl Flow {
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub fn has_signing_secret(&self) -> bool {
        self.signing_secret.is_some()
    }

    /// What the flow signs its reports with; `None`: none was made yet.
    pub fn callback_secret(
        &self,
        crypt: &Crypt,
        account: &Account,
    ) -> anyhow::Result<Option<SecretString>> {
        open(
            crypt,
            account,
            "callback_secret",
            self.callback_secret.as_deref(),
        )
    }

    /// What a push of this account shows.
    pub(super) fn proof(&self, app: &App, account: &Account) -> anyhow::Result<Proof> {
        let missing = || anyhow::anyhow!("account {} has no secret for its flow", account.id);
        match self.auth.as_str() {
            "bearer" => Ok(Proof::Bearer(
                open(&app.crypt, account, "token", self.token.as_deref())?.ok_or_else(missing)?,
            )),
            "hmac" => Ok(Proof::Signed(
                open(
                    &app.crypt,
                    account,
                    "signing_secret",
                    self.signing_secret.as_deref(),
                )?
                .ok_or_else(missing)?,
            )),
            _ if account.auth_user.is_empty() => Ok(Proof::Nothing),
            _ => {
                let password = account.secret(&app.crypt, Secret::AuthPassword)?;
                Ok(Proof::Basic(
                    account.auth_user.clone(),
                    password.unwrap_or_else(|| SecretString::from(String::new())),
                ))
            }
        }
    }

    /// Everything that must never stand in what others send us.
    pub(super) fn secrets(
        &self,
        app: &App,
        account: &Account,
    ) -> anyhow::Result<Vec<SecretString>> {
        let mut secrets = Vec::new();
        for (column, sealed) in [
            ("token", &self.token),
            ("signing_secret", &self.signing_secret),
            ("callback_secret", &self.callback_secret),
        ] {
            secrets.extend(open(&app.crypt, account, column, sealed.as_deref())?);
        }
        Ok(secrets)
    }
}

fn place(account: AccountId, company: CompanyId, column: &str) -> Place<'_> {
    Place {
        table: "account_flow",
        row: account.0,
        column,
        company: company.0,
    }
}

fn open(
    crypt: &Crypt,
    account: &Account,
    column: &str,
    sealed: Option<&[u8]>,
) -> anyhow::Result<Option<SecretString>> {
    sealed
        .map(|sealed| crypt.open(place(account.id, account.company_id, column), sealed))
        .transpose()
}

/// How the flow of an account is spoken to.
pub async fn of(conn: &mut AsyncPgConnection, id: AccountId) -> QueryResult<Flow> {
    let found: Option<Flow> =
        sql_query("SELECT auth, token, signing_secret, callback_secret, callback_made_at FROM account_flow WHERE account_id = $1")
            .bind::<BigInt, _>(id)
            .get_result(conn)
            .await
            .optional()?;
    Ok(found.unwrap_or_default())
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    account_id: AccountId,
    #[diesel(embed)]
    flow: Flow,
}

/// The same of all accounts of the company that has the connection.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<HashMap<AccountId, Flow>> {
    let rows: Vec<Row> =
        sql_query("SELECT account_id, auth, token, signing_secret, callback_secret, callback_made_at FROM account_flow")
            .load(conn)
            .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.account_id, row.flow))
        .collect())
}

/// Makes a new secret for the flow's reports, which ends the one before it; returned this once.
pub async fn make_callback_secret(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    account: &Account,
) -> Result<SecretString> {
    let secret = SecretString::from(format!("{PREFIX}{}", crate::random::token(40)));
    let place = place(account.id, account.company_id, "callback_secret");
    sql_query(
        "INSERT INTO account_flow (account_id, company_id, callback_secret, callback_made_at) VALUES ($1, $2, $3, wablast_now())
         ON CONFLICT (account_id) DO UPDATE SET callback_secret = EXCLUDED.callback_secret, callback_made_at = EXCLUDED.callback_made_at",
    )
    .bind::<BigInt, _>(account.id)
    .bind::<BigInt, _>(account.company_id)
    .bind::<Binary, _>(crypt.seal(place, &secret)?)
    .execute(conn)
    .await?;
    Ok(secret)
}

/// Stores what was chosen; an absent secret keeps what is stored. Returns whether it is another than before.
pub(super) async fn write(
    conn: &mut AsyncPgConnection,
    crypt: &Crypt,
    id: AccountId,
    company: CompanyId,
    draft: &AccountDraft,
) -> Result<bool> {
    // Where nothing goes through a webhook the fields are not shown: what was chosen before stays.
    if draft.send_through != "webhook" {
        return Ok(false);
    }
    let before = of(conn, id).await?;
    if draft.webhook_auth == "bearer" && draft.flow_token.is_none() && !before.has_token() {
        return Err(Error::invalid(
            "flow_token",
            "Enter the token that the flow expects.",
        ));
    }
    if draft.webhook_auth == "hmac" && draft.flow_secret.is_none() && !before.has_signing_secret() {
        return Err(Error::invalid(
            "flow_secret",
            "Enter the secret with which the flow checks signatures.",
        ));
    }
    let sealed = |column: &str, secret: &Option<SecretString>| {
        secret
            .as_ref()
            .map(|secret| crypt.seal(place(id, company, column), secret))
            .transpose()
    };
    sql_query(
        "INSERT INTO account_flow (account_id, company_id, auth, token, signing_secret) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account_id) DO UPDATE SET auth = EXCLUDED.auth, token = coalesce(EXCLUDED.token, account_flow.token),
           signing_secret = coalesce(EXCLUDED.signing_secret, account_flow.signing_secret)",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(draft.webhook_auth)
    .bind::<Nullable<Binary>, _>(sealed("token", &draft.flow_token)?)
    .bind::<Nullable<Binary>, _>(sealed("signing_secret", &draft.flow_secret)?)
    .execute(conn)
    .await?;
    Ok(before.auth != draft.webhook_auth
        || draft.flow_token.is_some()
        || draft.flow_secret.is_some())
}
