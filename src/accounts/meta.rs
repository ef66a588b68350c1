//! An account at Meta's Cloud API.

use super::{Account, Secret};
use crate::app::App;
use crate::gateways::meta::{self, Meta, MetaAddress};

impl Account {
    pub fn is_meta(&self) -> bool {
        self.provider == "meta"
    }

    /// The client of this account's number.
    pub fn meta(&self, app: &App) -> anyhow::Result<Meta> {
        let address = MetaAddress {
            base: meta::base(&self.base_url)?,
            token: self.secret(&app.crypt, Secret::Token)?,
            phone_uid: self.phone_uid.clone(),
            account_uid: self.account_uid.clone(),
        };
        Ok(Meta::new(self.watched(app, "meta"), address))
    }
}
