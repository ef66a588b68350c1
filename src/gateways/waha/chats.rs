//! What a chat of a session holds, as WAHA lists it: evidence about messages whose answer was lost.
//!
//! Invariant: a list that may not be whole is no list, and a session that may not keep what is sent proves
//! nothing. Nothing is sent by a question.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::http::Reply;
use super::super::{Rank, SendError};
use super::{Waha, chat_id, classify, events};

/// Longer lists are not whole.
const MOST: usize = 100;

/// A message of ours in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As in acknowledgements.
    pub id: String,
    /// Its text, or what stands under its file.
    pub text: String,
    pub rank: Rank,
}

/// Whether what is sent would be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Kept,
    /// The session works, but its engine keeps no messages.
    Off,
    /// The session does not work.
    Away,
}

impl Waha {
    /// How the session is, and whether it keeps messages: engine NOWEB does so only when told to.
    pub async fn store(&self) -> Result<Store, SendError> {
        let reply = self
            .question(&format!("/api/sessions/{}", self.address.session), "")
            .await?;
        let body = reply.json().unwrap_or(Value::Null);
        if body["status"] != "WORKING" {
            return Ok(Store::Away);
        }
        let is_noweb = body["engine"]["engine"] == "NOWEB";
        let told = body["config"]["noweb"]["store"]["enabled"] == true;
        Ok(if is_noweb && !told {
            Store::Off
        } else {
            Store::Kept
        })
    }

    /// Our own messages in the chat with `to` since a moment; `None`: there are more than one list holds.
    pub async fn own_messages(
        &self,
        to: &str,
        since: DateTime<Utc>,
    ) -> Result<Option<Vec<Listed>>, SendError> {
        let path = format!(
            "/api/{}/chats/{}/messages",
            self.address.session,
            chat_id(to)
        );
        let query = format!(
            "limit={MOST}&downloadMedia=false&filter.fromMe=true&filter.timestamp.gte={}",
            since.timestamp()
        );
        let reply = self.question(&path, &query).await?;
        Ok(reply.json().as_ref().and_then(|body| listed(body, since)))
    }

    async fn question(&self, path: &str, query: &str) -> Result<Reply, SendError> {
        let mut url = self.url(path);
        url.set_query((!query.is_empty()).then_some(query));
        let reply = self
            .http
            .get(url, &self.credentials)
            .await
            .map_err(classify::failed)?;
        if reply.status == 200 {
            Ok(reply)
        } else {
            Err(classify::asked(&reply))
        }
    }
}

/// Versions that know no filters list everything; an entry that cannot be read makes the list none.
fn listed(body: &Value, since: DateTime<Utc>) -> Option<Vec<Listed>> {
    let entries = body.as_array().filter(|entries| entries.len() < MOST)?;
    let mut own = Vec::new();
    for entry in entries {
        let (from_me, at) = (entry["fromMe"].as_bool()?, entry["timestamp"].as_i64()?);
        if from_me && at >= since.timestamp() {
            own.push(Listed {
                id: events::stanza(entry["id"].as_str()?).to_owned(),
                text: entry["body"].as_str().unwrap_or_default().to_owned(),
                rank: events::rank(entry["ack"].as_i64().unwrap_or_default()),
            });
        }
    }
    Some(own)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_that_may_not_be_whole_is_none() {
        let since = DateTime::from_timestamp(1_000, 0).unwrap();
        let entry = |from_me: bool, at: i64| json!({ "id": "true_628@c.us_AB", "fromMe": from_me, "timestamp": at, "body": "Halo", "ack": 2 });
        let found = listed(
            &json!([entry(true, 999), entry(false, 1_001), entry(true, 1_000)]),
            since,
        );
        let own = Listed {
            id: "AB".to_owned(),
            text: "Halo".to_owned(),
            rank: Rank::Delivered,
        };
        assert_eq!(found, Some(vec![own]));
        assert_eq!(listed(&json!([]), since), Some(Vec::new()));
        let full: Vec<Value> = (0..100).map(|_| entry(true, 1)).collect();
        assert_eq!(listed(&json!(full), since), None);
        for wrong in [
            json!({ "error": "no store" }),
            json!([{ "id": "true_628@c.us_AB", "fromMe": true }]),
            json!([{ "fromMe": true, "timestamp": 1_000 }]),
        ] {
            assert_eq!(listed(&wrong, since), None, "{wrong}");
        }
    }
}
