//! Files that people sent to a number at Meta: where they are, and their bytes.
//!
//! From Meta's media reference: an id of a webhook is valid for 7 days, the address behind it for 5 minutes and only
//! together with the token. Invariant: the token goes to hosts of Meta's, or to the host the account names, and to
//! no other.

use futures_util::StreamExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use url::Url;

use super::Meta;
use crate::gateways::SendError;

/// What became of fetching a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    Whole,
    TooLarge,
    /// The id or its address is not valid any more.
    Gone,
}

/// Where Meta keeps files.
const HOSTS: [&str; 3] = ["fbsbx.com", "facebook.com", "whatsapp.net"];

impl Meta {
    /// Writes the file with this id; an error says in words why it may be tried again.
    pub async fn fetch(
        &self,
        id: &str,
        most: u64,
        into: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Fetched, String> {
        let phone = self.address.phone_uid.as_str();
        let body = match self.get(&[id], &[("phone_number_id", phone)]).await {
            Ok(body) => body,
            // Not known any more, or never.
            Err(SendError::Refused { .. }) => return Ok(Fetched::Gone),
            Err(error) => return Err(error.reason().to_owned()),
        };
        let size = body["file_size"].as_u64().or_else(|| {
            // A number as text, in some versions.
            body["file_size"]
                .as_str()
                .and_then(|size| size.parse().ok())
        });
        if size.is_some_and(|size| size > most) {
            return Ok(Fetched::TooLarge);
        }
        let url = body["url"].as_str().and_then(|url| Url::parse(url).ok());
        let Some(url) = url.filter(|url| self.is_theirs(url)) else {
            return Err("Meta answered without an address of its own for the file.".to_owned());
        };
        let mut written = 0;
        let mut pieces = match self.http.pieces(url, &self.credentials).await {
            Ok(Some(pieces)) => pieces,
            Ok(None) => return Err("The address of the file does not answer.".to_owned()),
            Err(failure) => return Err(super::asked_in_vain(failure).reason().to_owned()),
        };
        loop {
            let piece = match pieces.next().await {
                Some(Ok(piece)) => piece,
                Some(Err(failure)) => {
                    return Err(super::asked_in_vain(failure).reason().to_owned());
                }
                None => break,
            };
            written += piece.len() as u64;
            if written > most {
                return Ok(Fetched::TooLarge);
            }
            into.write_all(&piece)
                .await
                .map_err(|error| format!("writing a file: {error}"))?;
        }
        into.flush()
            .await
            .map_err(|error| format!("writing a file: {error}"))?;
        if size.is_some_and(|size| size != written) {
            return Err("The file ended too early.".to_owned());
        }
        Ok(Fetched::Whole)
    }

    /// A host that may see the token.
    fn is_theirs(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        if Some(host) == self.address.base.host_str() && url.scheme() == self.address.base.scheme()
        {
            return true;
        }
        url.scheme() == "https"
            && HOSTS
                .iter()
                .any(|known| host == *known || host.ends_with(&format!(".{known}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MetaAddress, base};
    use super::*;
    use crate::gateways::http::Http;

    #[test]
    fn the_token_goes_to_meta_alone() {
        let meta = |typed: &str| {
            Meta::new(
                Http::new().unwrap(),
                MetaAddress {
                    base: base(typed).unwrap(),
                    token: None,
                    phone_uid: "1".to_owned(),
                    account_uid: "2".to_owned(),
                },
            )
        };
        let url = |text: &str| Url::parse(text).unwrap();
        let real = meta("");
        assert!(real.is_theirs(&url(
            "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1"
        )));
        assert!(real.is_theirs(&url("https://graph.facebook.com/x")));
        for evil in [
            "http://lookaside.fbsbx.com/x",
            "https://fbsbx.com.evil.example/x",
            "https://evilfbsbx.com/x",
            "https://127.0.0.1/x",
        ] {
            assert!(!real.is_theirs(&url(evil)), "{evil}");
        }
        assert!(meta("http://127.0.0.1:3998").is_theirs(&url("http://127.0.0.1:3998/file/1")));
    }
}
