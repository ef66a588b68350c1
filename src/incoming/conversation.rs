//! What one person and we wrote to each other around a moment.
//!
//! Invariant: of a mailing only what a gateway took is shown, with the text the person got; what was
//! written to this person alone is shown whatever becomes of it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::query::Incoming;
use crate::ids::{ContactId, MailingId};
use crate::text::markup::{self, Line};
use crate::text::merge::{self, Parts, Values};

/// One message of a conversation.
#[derive(Debug, Clone, QueryableByName)]
pub struct Said {
    /// In its own table: incoming or outgoing.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = Bool)]
    pub ours: bool,
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// Of an outgoing message; empty for theirs.
    #[diesel(sql_type = Text)]
    pub state: String,
    /// Of what they sent its type, of what we sent the name of its file.
    #[diesel(sql_type = Nullable<Text>)]
    pub mime: Option<String>,
    /// Of an outgoing message: mailing, reply ...; empty for theirs.
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub mailing_id: Option<MailingId>,
    #[diesel(sql_type = Text)]
    pub mailing: String,
    /// The emoji they put on it last; empty for none.
    #[diesel(sql_type = Text)]
    pub reaction: String,
    #[diesel(sql_type = Text)]
    own_text: String,
    #[diesel(sql_type = Text)]
    subject: String,
    #[diesel(sql_type = Text)]
    header: String,
    #[diesel(sql_type = Text)]
    message: String,
    #[diesel(sql_type = Text)]
    footer: String,
    #[diesel(sql_type = Jsonb)]
    field_values: serde_json::Value,
}

impl Said {
    /// A message of somebody we know nothing else of.
    pub fn alone(message: &Incoming) -> Self {
        Self {
            id: message.id.0,
            ours: false,
            at: message.received_at,
            state: String::new(),
            mime: message.mime.clone(),
            kind: String::new(),
            mailing_id: message.mailing_id,
            mailing: message.mailing_subject.clone().unwrap_or_default(),
            reaction: String::new(),
            own_text: message.message.clone(),
            subject: String::new(),
            header: String::new(),
            message: String::new(),
            footer: String::new(),
            field_values: serde_json::Value::Null,
        }
    }

    /// What was written, as WhatsApp shows it; nothing where a file came alone.
    pub fn lines(&self) -> Vec<Line> {
        let text = self.text();
        if text.is_empty() {
            return Vec::new();
        }
        markup::to_spans(&text)
    }

    fn text(&self) -> String {
        if !self.own_text.is_empty() || !self.ours {
            return self.own_text.clone();
        }
        let values: Values = self
            .field_values
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let parts = Parts {
            subject: self.subject.clone(),
            header: self.header.clone(),
            message: self.message.clone(),
            footer: self.footer.clone(),
        };
        merge::compose(&parts, &values)
    }
}

const THEIRS: &str =
    "SELECT i.id, false AS ours, i.received_at AS at, '' AS state, i.mime, '' AS kind, i.mailing_id,
    i.message AS own_text, NULL::bigint AS content_id, NULL::bigint AS version_id, '{}'::jsonb AS field_values
  FROM incoming i WHERE i.contact_id = $1 AND NOT i.reaction AND i.received_at";
const OURS: &str = "SELECT o.id, true, coalesce(o.accepted_at, o.created_at), o.state, NULL, o.kind, o.mailing_id,
    '', o.content_id, o.version_id, o.field_values
  FROM outgoing o WHERE o.contact_id = $1 AND (o.accepted_at IS NOT NULL OR o.kind <> 'mailing' AND o.state <> 'skipped')
    AND coalesce(o.accepted_at, o.created_at)";

/// Up to 20 messages of each side up to a moment and 20 after it, the oldest first.
pub async fn around(
    conn: &mut AsyncPgConnection,
    contact: ContactId,
    moment: DateTime<Utc>,
) -> QueryResult<Vec<Said>> {
    sql_query(format!(
        "SELECT s.id, s.ours, s.at, s.state, coalesce(s.mime, f.file_name) AS mime, s.kind, s.mailing_id, coalesce(m.subject, '') AS mailing,
           coalesce(CASE WHEN s.ours THEN (SELECT r.message FROM incoming r WHERE r.outgoing_id = s.id AND r.reaction ORDER BY r.id DESC LIMIT 1) END, '') AS reaction,
           coalesce(x.text, s.own_text) AS own_text, coalesce(v.subject, '') AS subject, coalesce(v.header, '') AS header,
           coalesce(v.message, '') AS message, coalesce(v.footer, '') AS footer, s.field_values
         FROM (({THEIRS} <= $2 ORDER BY i.received_at DESC LIMIT 20)
           UNION ALL ({THEIRS} > $2 ORDER BY i.received_at LIMIT 20)
           UNION ALL ({OURS} <= $2 ORDER BY 3 DESC LIMIT 20)
           UNION ALL ({OURS} > $2 ORDER BY 3 LIMIT 20)) s
           LEFT JOIN mailings m ON m.id = s.mailing_id LEFT JOIN outgoing_content x ON x.id = s.content_id
           LEFT JOIN mailing_versions v ON v.id = s.version_id
           LEFT JOIN media f ON f.id = coalesce(v.media_id, x.media_id)
         ORDER BY s.at, s.ours, s.id"
    ))
    .bind::<BigInt, _>(contact)
    .bind::<Timestamptz, _>(moment)
    .load(conn)
    .await
}
