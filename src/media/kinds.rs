//! What WhatsApp takes under a message: types, and how large each may be.
//!
//! The figures are Meta's for its Cloud API; WhatsApp on a phone, and so WAHA, takes no less.

/// How a file is shown in the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Image,
    Video,
    Document,
    /// Sound that is played in the chat; it has no words under it.
    Voice,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Image, Self::Video, Self::Document, Self::Voice];

    /// As stored, as the header's type, in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Document => "document",
            Self::Voice => "voice",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub(super) fn with_article(self) -> &'static str {
        match self {
            Self::Image => "an image",
            Self::Video => "a video",
            Self::Document => "a document",
            Self::Voice => "a voice note",
        }
    }

    /// Whether words can stand under it.
    pub fn has_caption(self) -> bool {
        self != Self::Voice
    }
}

const MB: u64 = 1024 * 1024;

/// A type that is taken, how it is shown, and how names of it end; the first is given where none fits.
pub struct Type {
    pub mime: &'static str,
    pub kind: Kind,
    pub endings: &'static [&'static str],
}

const fn taken(mime: &'static str, kind: Kind, endings: &'static [&'static str]) -> Type {
    Type {
        mime,
        kind,
        endings,
    }
}

pub static TYPES: [Type; 15] = [
    taken("image/jpeg", Kind::Image, &["jpg", "jpeg", "jfif"]),
    taken("image/png", Kind::Image, &["png"]),
    taken("video/mp4", Kind::Video, &["mp4", "m4v"]),
    taken("video/3gpp", Kind::Video, &["3gp", "3gpp"]),
    taken("application/pdf", Kind::Document, &["pdf"]),
    taken("text/plain", Kind::Document, &["txt", "csv", "md", "log"]),
    taken("application/msword", Kind::Document, &["doc"]),
    taken("application/vnd.ms-excel", Kind::Document, &["xls"]),
    taken("application/vnd.ms-powerpoint", Kind::Document, &["ppt"]),
    taken(
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Kind::Document,
        &["docx"],
    ),
    taken(
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Kind::Document,
        &["xlsx"],
    ),
    taken(
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        Kind::Document,
        &["pptx"],
    ),
    taken("audio/ogg", Kind::Voice, &["ogg", "opus", "oga"]),
    taken("audio/mpeg", Kind::Voice, &["mp3"]),
    taken("audio/mp4", Kind::Voice, &["m4a"]),
];

pub fn of_mime(mime: &str) -> Option<&'static Type> {
    TYPES.iter().find(|one| one.mime == mime)
}

/// How large a file of this kind may be, in MB. A provider that takes less has its own row here.
pub fn most_mb(provider: &str, kind: Kind) -> u64 {
    match (provider, kind) {
        (_, Kind::Image) => 5,
        (_, Kind::Video | Kind::Voice) => 16,
        (_, Kind::Document) => 100,
    }
}

/// The largest any provider takes.
pub fn most_bytes(kind: Kind) -> u64 {
    ["waha", "meta"]
        .into_iter()
        .map(|provider| most_mb(provider, kind))
        .max()
        .unwrap_or(0)
        * MB
}

/// Why a provider does not take this file, as a sentence.
pub fn fault(provider: &str, kind: Kind, mime: &str, size: u64) -> Option<String> {
    if of_mime(mime).is_none_or(|one| one.kind != kind) {
        return Some("Accounts of this provider do not take files of this type.".to_owned());
    }
    let most = most_mb(provider, kind);
    (size > most * MB).then(|| too_large(kind, most))
}

pub(super) fn too_large(kind: Kind, most: u64) -> String {
    match kind {
        Kind::Image => format!(
            "The image is too large: WhatsApp takes at most {most} MB. Make it smaller and upload it again."
        ),
        Kind::Video => format!(
            "The video is too large: WhatsApp takes at most {most} MB. Shorten it or lower its quality, and upload it again."
        ),
        Kind::Document => format!("The document is too large: WhatsApp takes at most {most} MB."),
        Kind::Voice => format!(
            "The voice note is too large: WhatsApp takes at most {most} MB. Shorten it and upload it again."
        ),
    }
}
