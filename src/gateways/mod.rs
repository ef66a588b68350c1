//! The outside world: plain structs in, plain structs out.
//!
//! Invariants: every answer of a gateway is classified, and what is not known for certain is
//! *uncertain*; a reason carries the gateway's own words, shortened, without our request, credentials or
//! stack traces. Knows no database and no mailing.

pub mod http;
pub mod meta;
pub mod redact;
pub mod tap;
pub mod waha;
pub mod webhook;

use std::time::Duration;

use bytes::Bytes;

/// A message on its way: a text, or a file with the text under it.
#[derive(Debug, Clone)]
pub struct TextMessage {
    /// E.164 digits, or another address of the gateway such as `123@lid`.
    pub to: String,
    /// The message; under a file its caption, which may be empty.
    pub text: String,
    pub media: Option<Attachment>,
    /// Our own message id, sent along where the gateway takes one.
    pub own_ref: Option<String>,
    /// The provider id of the message this one answers.
    pub quoted: Option<String>,
    /// An approved template, filled; `text` then is what the person reads. Only Meta takes one.
    pub template: Option<meta::message::TemplateCall>,
}

/// The file of a message; a cheap clone.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// image, video, document or voice.
    pub kind: &'static str,
    pub mime: String,
    pub file_name: String,
    pub source: Source,
}

/// How a gateway comes to the bytes of a file.
#[derive(Debug, Clone)]
pub enum Source {
    /// In base64, shared by all messages that carry it.
    Inside(Bytes),
    /// The gateway fetches it there.
    Link(String),
    /// The gateway has it already, under this id.
    Uploaded(String),
}

/// The gateway took the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The gateway's id of the message, as its receipts will name it; a webhook may tell none.
    pub provider_id: Option<String>,
    /// It says that it holds the message back for now: Meta, while it assesses a template's quality.
    pub held: bool,
}

/// The code of a message that was taken and is held back, until a receipt comes.
pub const HELD: &str = "held_for_quality";

/// Why a message was not accepted; decides what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// Proven not sent: try again, not before `after`.
    NotSent {
        after: Option<Duration>,
        code: FailureCode,
        reason: String,
    },
    /// The account itself is refused: nothing more leaves through it until that is mended.
    AccountStop { code: FailureCode, reason: String },
    /// The mailing's content is refused: the mailing pauses.
    MailingStop { code: FailureCode, reason: String },
    /// A typed error about this recipient or content: final.
    Refused { code: FailureCode, reason: String },
    /// Everything else. Never sent again by itself.
    Uncertain { code: FailureCode, reason: String },
}

/// A message was made ready for the way its account sent a moment ago: the next try has what the new one needs.
pub fn changed_meanwhile() -> SendError {
    SendError::NotSent {
        after: None,
        code: FailureCode::Unreachable,
        reason: "The account was changed while this message was on its way. Nothing was sent; it is tried again.".to_owned(),
    }
}

/// A voice note goes without words or not at all: words nobody reads would be lost without a word.
pub fn voice_with_words() -> SendError {
    SendError::Refused {
        code: FailureCode::MediaRejected,
        reason: "A voice note carries no text: WhatsApp shows none with it. Take the text out, or send it as a message of its own.".to_owned(),
    }
}

impl SendError {
    pub fn code(&self) -> FailureCode {
        match self {
            Self::NotSent { code, .. }
            | Self::AccountStop { code, .. }
            | Self::MailingStop { code, .. }
            | Self::Refused { code, .. }
            | Self::Uncertain { code, .. } => *code,
        }
    }

    /// Whether nothing left, so that the message is still to be sent.
    pub fn stays(&self) -> bool {
        matches!(
            self,
            Self::NotSent { .. } | Self::AccountStop { .. } | Self::MailingStop { .. }
        )
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::NotSent { reason, .. }
            | Self::AccountStop { reason, .. }
            | Self::MailingStop { reason, .. }
            | Self::Refused { reason, .. }
            | Self::Uncertain { reason, .. } => reason,
        }
    }
}

/// The closed set of failure codes that pages show and filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    InvalidNumber,
    NotOnWhatsapp,
    RateLimited,
    Auth,
    MediaRejected,
    TemplateRequired,
    Timeout,
    Unreachable,
    Tls,
    BadResponse,
    GatewayError,
    GatewayRefused,
    WorkerLost,
    DatabaseWentBack,
    HandedOver,
    NoCallback,
    WorkflowInactive,
    PairLimited,
    MarketingLimit,
    Unsubscribed,
    Misfit,
    Template,
    Restricted,
    Payment,
    Registration,
}

impl FailureCode {
    pub const ALL: [Self; 24] = [
        Self::InvalidNumber,
        Self::NotOnWhatsapp,
        Self::RateLimited,
        Self::Auth,
        Self::MediaRejected,
        Self::TemplateRequired,
        Self::Timeout,
        Self::Unreachable,
        Self::Tls,
        Self::BadResponse,
        Self::GatewayError,
        Self::GatewayRefused,
        Self::WorkerLost,
        Self::DatabaseWentBack,
        Self::HandedOver,
        Self::NoCallback,
        Self::PairLimited,
        Self::MarketingLimit,
        Self::Unsubscribed,
        Self::Misfit,
        Self::Template,
        Self::Restricted,
        Self::Payment,
        Self::Registration,
    ];

    /// Whether the reason may be over later, so that trying again makes sense. It does not for a number
    /// that is not on WhatsApp or a text that needs a template.
    pub fn may_pass(self) -> bool {
        !matches!(
            self,
            Self::InvalidNumber | Self::NotOnWhatsapp | Self::TemplateRequired | Self::Unsubscribed
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidNumber => "invalid_number",
            Self::NotOnWhatsapp => "not_on_whatsapp",
            Self::RateLimited => "rate_limited",
            Self::Auth => "auth",
            Self::MediaRejected => "media_rejected",
            Self::TemplateRequired => "template_required",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::BadResponse => "bad_response",
            Self::GatewayError => "gateway_error",
            Self::GatewayRefused => "gateway_refused",
            Self::WorkerLost => "worker_lost",
            Self::DatabaseWentBack => "database_went_back",
            Self::HandedOver => "handed_over",
            Self::NoCallback => "no_callback",
            Self::WorkflowInactive => "workflow_inactive",
            Self::PairLimited => "pair_limited",
            Self::MarketingLimit => "marketing_limit",
            Self::Unsubscribed => "unsubscribed",
            Self::Misfit => "misfit",
            Self::Template => "template",
            Self::Restricted => "restricted",
            Self::Payment => "payment",
            Self::Registration => "registration",
        }
    }
}

/// What a receipt says about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The gateway took it.
    Pending,
    Sent,
    Failed,
    Delivered,
    Read,
}

/// One line of *Test credentials*.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Check {
    #[schema(example = "session")]
    pub name: &'static str,
    #[schema(example = true)]
    pub ok: bool,
    #[schema(example = "The session is working")]
    pub message: String,
}

/// Texts without the one character that no database stores.
fn without_nul(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains('\0') => *text = text.replace('\0', ""),
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_nul),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(without_nul),
        _ => {}
    }
}

/// A gateway's words as a log may keep them: one line, at most 300 characters.
pub fn shortened(words: &str) -> String {
    words
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(300)
        .collect()
}
