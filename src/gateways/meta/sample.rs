//! The sample file of a template's header: uploaded in two steps, named by a handle in the template.
//!
//! From developers.facebook.com/docs/graph-api/guides/upload. Invariants: the token stands in a header, never in
//! an address; a session that is not Meta's is not followed; the handle is for the reviewers alone, people get the
//! file a mailing brings. Knows no database.

use secrecy::ExposeSecret as _;
use serde_json::Value;
use url::Url;

use super::super::http::{Credentials, TOTAL_MEDIA};
use super::super::{FailureCode, SendError};
use super::{Meta, answer, asked_in_vain};

/// What Meta takes as a sample.
pub const TYPES: [&str; 4] = ["image/jpeg", "image/png", "video/mp4", "application/pdf"];

impl Meta {
    /// Uploads a sample for the app; returns its handle.
    pub async fn upload_sample(
        &self,
        app_uid: &str,
        mime: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<String, SendError> {
        let mut url = self.url(&[app_uid, "uploads"]);
        url.query_pairs_mut()
            .append_pair("file_name", name)
            .append_pair("file_length", &bytes.len().to_string())
            .append_pair("file_type", mime);
        let opened = self
            .http
            .post_within(url, &self.credentials, Vec::new(), &[], TOTAL_MEDIA)
            .await
            .map_err(asked_in_vain)?;
        let opened = answer(&opened)?;
        let session = self.session(&opened).ok_or_else(without_handle)?;
        let token = self.address.token.as_ref().ok_or_else(without_handle)?;
        let headers = [
            // This call knows the older word alone.
            ("Authorization", format!("OAuth {}", token.expose_secret())),
            ("file_offset", "0".to_owned()),
            ("Content-Type", mime.to_owned()),
        ];
        let none = Credentials::default();
        let uploaded = self
            .http
            .post_within(session, &none, bytes.to_vec(), &headers, TOTAL_MEDIA)
            .await
            .map_err(asked_in_vain)?;
        match answer(&uploaded)?["h"].as_str() {
            Some(handle) if !handle.is_empty() => Ok(handle.to_owned()),
            _ => Err(without_handle()),
        }
    }

    /// Where the bytes go: the session's id carries a query of its own.
    fn session(&self, opened: &Value) -> Option<Url> {
        let id = opened["id"].as_str()?;
        let is_theirs = id.starts_with("upload:") && !id.contains(['/', '\\', '#']);
        let base = self.address.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{id}"))
            .ok()
            .filter(|_| is_theirs)
    }
}

fn without_handle() -> SendError {
    SendError::NotSent {
        after: None,
        code: FailureCode::BadResponse,
        reason: "Meta did not take the sample file of the header.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{MetaAddress, base};
    use super::*;
    use crate::gateways::http::Http;

    #[test]
    fn the_bytes_go_to_a_session_of_meta_s_alone() {
        let meta = Meta::new(
            Http::new().unwrap(),
            MetaAddress {
                base: base("").unwrap(),
                token: None,
                phone_uid: "1".to_owned(),
                account_uid: "2".to_owned(),
            },
        );
        let session = |id: &str| {
            let found = meta.session(&json!({ "id": id }));
            found.map(|url| url.to_string())
        };
        assert_eq!(
            session("upload:MTph==?sig=ARZq").as_deref(),
            Some("https://graph.facebook.com/v26.0/upload:MTph==?sig=ARZq")
        );
        for evil in [
            "https://evil.example/upload:1",
            "upload:1/../../x",
            "upload:\\\\evil",
            "",
        ] {
            assert_eq!(session(evil), None, "{evil}");
        }
    }
}
