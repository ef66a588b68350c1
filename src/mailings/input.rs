//! What people and integrators type about a mailing, and what it must be.
//!
//! Invariant: every fault is found at once and stands at its field. Knows no database: whether the
//! account or the lists exist is asked by the verbs.

use chrono::{DateTime, Datelike as _, LocalResult, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::error::{FieldErrors, Result};
use crate::ids::{AccountId, ContactId, ListId, MediaId, TemplateId, UserId};
use crate::media::Kind;
use crate::templates::call;
use crate::text::{markup, merge};

/// WhatsApp's limit of a text message, in characters.
pub const MESSAGE_MAX: usize = merge::TEXT_MAX;
pub const HEADER_MAX: usize = 60;
pub const FOOTER_MAX: usize = 150;
const SUBJECT_MAX: usize = 200;

/// Why nothing is written under a voice note.
pub const WORDS_WITH_VOICE: &str = "A voice note carries no text: WhatsApp shows none with it. Take the text out, or send it as a message of its own.";

/// The end comes before the beginning.
pub(super) const ENDS_FIRST: &str =
    "Sending would stop before it starts. Choose a later end, or leave it empty.";

/// The form, as text. The API fills the same struct.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct MailingInput {
    pub subject: String,
    pub account_id: String,
    pub responsible_id: String,
    /// `lists` or `contacts`.
    pub recipients: String,
    pub list_ids: Vec<i64>,
    pub exclude_list_ids: Vec<i64>,
    pub contact_ids: Vec<i64>,
    pub header_type: String,
    /// The uploaded file of a header that is one.
    pub media_id: String,
    pub header: String,
    pub message: String,
    pub footer: String,
    /// `2026-11-24T10:00` in the person's zone, or RFC 3339 with an offset.
    pub schedule_date: String,
    /// Stop sending after; written as `schedule_date` is.
    pub not_after: String,
    pub skip_missing_values: Option<String>,
    /// An approved template of an account at Meta; its texts then take the place of header, message and footer.
    pub template_id: String,
    /// Places in the template (`body.1`) ...
    pub template_keys: Vec<String>,
    /// ... and what stands there, in the same order.
    pub template_texts: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct MailingDraft {
    pub subject: String,
    pub account_id: AccountId,
    pub responsible_id: Option<UserId>,
    pub recipients: &'static str,
    pub list_ids: Vec<ListId>,
    pub exclude_list_ids: Vec<ListId>,
    pub contact_ids: Vec<ContactId>,
    pub header_type: &'static str,
    pub media_id: Option<MediaId>,
    pub header: String,
    pub message: String,
    pub footer: String,
    pub schedule_date: Option<DateTime<Utc>>,
    /// What has not left by then expires.
    pub not_after: Option<DateTime<Utc>>,
    pub time_zone: Tz,
    pub skip_missing_values: bool,
    pub template_id: Option<TemplateId>,
    pub template_values: call::Values,
}

impl MailingInput {
    /// The draft, or all faults. `zone`: where a date without an offset is meant.
    pub fn parse(&self, zone: Tz) -> Result<MailingDraft> {
        let mut errors = FieldErrors::default();
        let subject = self.subject.trim().to_owned();
        if subject.is_empty() {
            errors.add("subject", "Give the mailing a subject. People do not see it unless the message uses {{subject}}.");
        }
        limit(&subject, SUBJECT_MAX, "subject", &mut errors);
        let account_id = self.account_id.trim().parse::<i64>().ok().map(AccountId);
        if account_id.is_none() {
            errors.add("account_id", "Choose the WhatsApp account that sends.");
        }
        let recipients = match self.recipients.as_str() {
            "" | "lists" => "lists",
            "contacts" => "contacts",
            _ => {
                errors.add("recipients", "Choose Mailing List or Manual Contacts.");
                "lists"
            }
        };
        let header_type = match self.header_type.as_str() {
            "" | "none" => "none",
            "text" => "text",
            other => Kind::parse(other).map_or_else(
                || {
                    errors.add(
                        "header_type",
                        "Choose None, Text, Image, Video, Document or Voice note.",
                    );
                    "none"
                },
                Kind::as_str,
            ),
        };
        let has_file = Kind::parse(header_type).is_some();
        let media_id = self.media_id.trim().parse().ok().filter(|_| has_file);
        if has_file && media_id.is_none() {
            errors.add("media_id", "Upload the file of the header, or choose None.");
        }
        let header = if header_type == "text" {
            self.header.trim().to_owned()
        } else {
            String::new()
        };
        let template_id = self.template_id.trim().parse().ok().map(TemplateId);
        if header_type == "text" && header.is_empty() && template_id.is_none() {
            errors.add("header", "Write the header, or choose None.");
        }
        let message = plain(&self.message);
        let footer = self.footer.trim().to_owned();
        limit(&header, HEADER_MAX, "header", &mut errors);
        let wordless = Kind::parse(header_type).is_some_and(|kind| !kind.has_caption());
        if wordless && template_id.is_none() {
            for (field, text) in [("message", &message), ("footer", &footer)] {
                if !text.trim().is_empty() {
                    errors.add(field, WORDS_WITH_VOICE);
                }
            }
        } else if has_file && template_id.is_none() {
            caption_limit(&message, &footer, &mut errors);
        } else {
            limit(&message, MESSAGE_MAX, "message", &mut errors);
        }
        limit(&footer, FOOTER_MAX, "footer", &mut errors);
        if let Some(both) = self
            .list_ids
            .iter()
            .find(|id| self.exclude_list_ids.contains(id))
        {
            errors.add(
                "exclude_list_ids",
                format!(
                    "List {both} is chosen and left out at once. Take it out of one of the two."
                ),
            );
        }
        let schedule_date = match instant(&self.schedule_date, zone) {
            Ok(date) => date,
            Err(message) => {
                errors.add("schedule_date", message);
                None
            }
        };
        let not_after = match instant(&self.not_after, zone) {
            Ok(date) => date,
            Err(message) => {
                errors.add("not_after", message);
                None
            }
        };
        if schedule_date
            .zip(not_after)
            .is_some_and(|(start, end)| end <= start)
        {
            errors.add("not_after", ENDS_FIRST);
        }
        let draft = account_id.map(|account_id| MailingDraft {
            subject,
            account_id,
            responsible_id: self.responsible_id.trim().parse().ok().map(UserId),
            recipients,
            list_ids: self.list_ids.iter().copied().map(ListId).collect(),
            exclude_list_ids: self.exclude_list_ids.iter().copied().map(ListId).collect(),
            contact_ids: self.contact_ids.iter().copied().map(ContactId).collect(),
            header_type,
            media_id,
            header,
            message,
            footer,
            schedule_date,
            not_after,
            time_zone: zone,
            skip_missing_values: self.skip_missing_values.is_some(),
            template_id,
            template_values: match template_id {
                Some(_) => self.template_values(),
                None => call::Values::new(),
            },
        });
        errors.or(draft)
    }

    /// The texts for the template's variables, by their places.
    pub fn template_values(&self) -> call::Values {
        let texts = self.template_texts.iter().map(|text| {
            // A variable is one line of Meta's.
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        self.template_keys.iter().cloned().zip(texts).collect()
    }
}

/// Text as WhatsApp shows it: pasted HTML becomes WhatsApp's markup.
fn plain(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    if markup::looks_like_html(&text) {
        markup::from_html(&text)
    } else {
        text.trim_end().to_owned()
    }
}

fn limit(text: &str, most: usize, field: &str, errors: &mut FieldErrors) {
    let length = text.chars().count();
    if length > most {
        errors.add(
            field,
            format!("This has {length} characters; at most {most} fit."),
        );
    }
}

/// Under a file message and footer together are its caption.
fn caption_limit(message: &str, footer: &str, errors: &mut FieldErrors) {
    let marks = if footer.is_empty() { 0 } else { 3 };
    let length = message.chars().count() + footer.chars().count() + marks;
    if length > merge::CAPTION_MAX {
        errors.add(
            "message",
            format!(
                "Under a file WhatsApp takes at most {} characters; message and footer have {length}.",
                merge::CAPTION_MAX
            ),
        );
    }
}

/// An instant typed by a person in `zone`, or by a program with its offset; `None` when nothing was
/// typed.
pub fn instant(text: &str, zone: Tz) -> Result<Option<DateTime<Utc>>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(date) = DateTime::parse_from_rfc3339(text) {
        return within_years(date.with_timezone(&Utc)).map(Some);
    }
    let local = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .ok_or("Enter a date and a time, for example 2026-11-24 10:00.")?;
    match zone.from_local_datetime(&local) {
        // The hour that comes twice: the first time.
        LocalResult::Single(date) | LocalResult::Ambiguous(date, _) => {
            within_years(date.with_timezone(&Utc)).map(Some)
        }
        LocalResult::None => Err(
            "This time does not exist: the clocks are put forward over it. Choose another hour."
                .to_owned(),
        ),
    }
}

/// Years that calendars of people and of gateways know.
fn within_years(date: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if (1970..=2199).contains(&date.year()) {
        Ok(date)
    } else {
        Err("Choose a year from 1970 to 2199.".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_date_is_meant_in_the_persons_zone() {
        let jakarta = chrono_tz::Asia::Jakarta;
        let ten = instant("2026-11-24T10:00", jakarta).unwrap().unwrap();
        assert_eq!(ten.to_rfc3339(), "2026-11-24T03:00:00+00:00");
        assert_eq!(
            instant("2026-11-24T10:00:00+07:00", chrono_tz::UTC)
                .unwrap()
                .unwrap(),
            ten
        );
        assert_eq!(instant("  ", jakarta).unwrap(), None);
        assert!(instant("tomorrow", jakarta).is_err());
        for never in ["1969-12-31T10:00", "0001-01-01T00:00", "12026-01-01T10:00"] {
            assert!(instant(never, jakarta).is_err(), "{never}");
        }
    }

    #[test]
    fn an_hour_that_does_not_exist_is_refused_and_one_that_comes_twice_is_the_first() {
        let berlin = chrono_tz::Europe::Berlin;
        assert!(instant("2026-03-29T02:30", berlin).is_err());
        assert_eq!(
            instant("2026-10-25T02:30", berlin)
                .unwrap()
                .unwrap()
                .to_rfc3339(),
            "2026-10-25T00:30:00+00:00"
        );
    }

    #[test]
    fn all_faults_come_at_once() {
        let input = MailingInput {
            header_type: "text".into(),
            footer: "x".repeat(151),
            schedule_date: "soon".into(),
            list_ids: vec![1],
            exclude_list_ids: vec![1],
            ..MailingInput::default()
        };
        let Err(Error::Invalid(errors)) = input.parse(chrono_tz::UTC) else {
            panic!("parsed")
        };
        for field in [
            "subject",
            "account_id",
            "header",
            "footer",
            "schedule_date",
            "exclude_list_ids",
        ] {
            assert!(!errors.of(field).is_empty(), "{field}");
        }
    }
}
