//! How states look: six hues and slate, one meaning each, never without icon and word.
//!
//! slate is at rest · violet waits for its time · teal is on its way · green got there · blue was
//! seen · amber wants a person · red failed · an outline ended partly or without effect · solid
//! green: a person answered.

use crate::i18n::{self, Lang};

const SLATE: &str = "state-slate";
const VIOLET: &str = "state-violet";
const TEAL: &str = "state-teal";
const LIVE: &str = "state-teal state-live";
const GREEN: &str = "state-green";
const BLUE: &str = "state-blue";
const AMBER: &str = "state-amber";
const RED: &str = "state-red";
const PARTLY: &str = "state-red state-hollow";
const QUIET: &str = "state-quiet";
const SOLID: &str = "state-solid";

/// The word people read instead of the one in the database.
fn shown<'a>(vocabulary: &str, value: &'a str) -> &'a str {
    match (vocabulary, value) {
        ("message", "claimed" | "sending") => "processing",
        ("message", "accepted") => "sent",
        (_, "t") => "true",
        (_, "f") => "false",
        (_, other) => other.split_once(':').map_or(other, |(word, _)| word),
    }
}

/// Class and icon of a value; unknown ones are quiet and have no icon.
pub fn look(vocabulary: &str, value: &str) -> (&'static str, &'static str) {
    match (vocabulary, shown(vocabulary, value)) {
        ("mailing" | "import", "draft") => (SLATE, "pencil"),
        ("mailing", "submitted") => (VIOLET, "calendar-clock"),
        ("mailing", "sending") => (LIVE, "send"),
        ("mailing", "paused") => (AMBER, "player-pause"),
        ("mailing", "missed") => (AMBER, "clock-exclamation"),
        ("message", "queued") | ("import", "queued") => (SLATE, "clock"),
        ("message", "processing") => (LIVE, "loader-2"),
        ("message", "sent") => (TEAL, "check"),
        ("message", "delivered") => (GREEN, "checks"),
        ("message", "read") => (BLUE, "checks"),
        ("message", "handed_over" | "held") => (VIOLET, "hourglass"),
        ("message", "replied") => (SOLID, "message-reply"),
        ("message", "skipped") => (QUIET, "user-off"),
        ("message", "expired") => (QUIET, "hourglass"),
        ("mailing" | "message" | "log", "uncertain") => (AMBER, "help-circle"),
        ("log" | "run" | "import", "running") => (LIVE, "loader-2"),
        ("mailing" | "log" | "run" | "import", "done") => (GREEN, "check"),
        ("mailing" | "log", "partial_failure") => (PARTLY, "alert-triangle"),
        ("mailing" | "message" | "log" | "run" | "import", "failed") => (RED, "circle-x"),
        ("mailing" | "message" | "log" | "import", "canceled") => (QUIET, "ban"),
        ("health", "running") => (GREEN, "circle-check"),
        ("health", "paused") => (AMBER, "player-pause"),
        ("health", "stopped") => (RED, "alert-circle"),
        ("health", "untested") => (AMBER, "help-circle"),
        ("template", "approved") => (GREEN, "circle-check"),
        ("template", "draft") => (SLATE, "pencil"),
        ("template", "pending" | "in_appeal") => (VIOLET, "clock"),
        ("template", "paused" | "flagged" | "limit_exceeded" | "locked") => (AMBER, "player-pause"),
        ("template", "rejected" | "disabled") => (RED, "circle-x"),
        ("template", _) => (QUIET, "archive"),
        ("quality", "green") => (GREEN, "circle-check"),
        ("quality", "yellow") => (AMBER, "alert-triangle"),
        ("quality", "red") => (RED, "alert-circle"),
        ("number", "connected") => (GREEN, "circle-check"),
        ("number", "pending" | "unverified") => (AMBER, "clock"),
        ("number", _) => (RED, "alert-circle"),
        ("gateway", "answered" | "accepted") => (GREEN, "check"),
        ("gateway", "handed_over") => (VIOLET, "hourglass"),
        ("gateway", "not_sent") => (SLATE, "clock"),
        ("gateway", "uncertain") => (AMBER, "help-circle"),
        ("gateway", _) => (RED, "circle-x"),
        ("inbox", "new") => (SLATE, "clock"),
        ("inbox", "applied") => (GREEN, "check"),
        ("inbox", "set_aside") => (AMBER, "help-circle"),
        ("active", "true") | ("optout", "false") | ("token", "active") => (GREEN, "check"),
        ("active", "false") => (QUIET, "archive"),
        ("optout", "true") => (RED, "user-off"),
        ("token", "revoked") => (QUIET, "ban"),
        ("person", "active") => (GREEN, "check"),
        ("person", "invited") => (VIOLET, "mail"),
        ("person", "reset") => (AMBER, "key"),
        ("person", "no_link") => (AMBER, "clock-exclamation"),
        ("person", "inactive") => (QUIET, "user-off"),
        ("unread", "new") => (VIOLET, "mail"),
        ("unread", "read") => (QUIET, "check"),
        ("unread", "stop") => (RED, "user-off"),
        _ => (QUIET, ""),
    }
}

/// Vocabularies whose words stand elsewhere in the catalogue than under `state.`.
fn key(vocabulary: &str, value: &str) -> String {
    match vocabulary {
        // A message that was left out carries the reason where others carry a failure.
        "code" if i18n::has(&format!("skip.{value}")) => format!("skip.{value}"),
        "code" | "skip" | "trigger" | "kind" | "provider" | "send_through" | "delivery"
        | "role" => {
            format!("{vocabulary}.{value}")
        }
        _ => format!("state.{vocabulary}.{value}"),
    }
}

/// The label of a value in a vocabulary; the value itself where the catalogue has none.
pub fn word(lang: Lang, vocabulary: &str, value: &str) -> String {
    let key = key(vocabulary, shown(vocabulary, value));
    let count = value.split_once(':').map_or("", |(_, count)| count);
    let word = i18n::tf(lang, &key, &[count]);
    if word == key { value.to_owned() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn badges_every_state_has_a_word_an_icon_and_a_hue() {
        let vocabularies: [(&str, &[&str]); 4] = [
            (
                "mailing",
                &[
                    "draft",
                    "submitted",
                    "sending",
                    "paused",
                    "done",
                    "partial_failure",
                    "failed",
                    "canceled",
                    "missed",
                ],
            ),
            (
                "message",
                &[
                    "queued",
                    "claimed",
                    "sending",
                    "accepted",
                    "sent",
                    "delivered",
                    "read",
                    "failed",
                    "uncertain",
                    "skipped",
                    "canceled",
                    "expired",
                    "replied",
                    "handed_over",
                    "held",
                ],
            ),
            (
                "log",
                &["running", "done", "partial_failure", "failed", "canceled"],
            ),
            ("health", &["running", "paused", "stopped"]),
        ];
        for (vocabulary, values) in vocabularies {
            for value in values {
                assert!(
                    !look(vocabulary, value).1.is_empty(),
                    "{vocabulary} {value} has no icon"
                );
                for lang in Lang::ALL {
                    assert_ne!(
                        word(lang, vocabulary, value),
                        *value,
                        "{vocabulary} {value} has no word"
                    );
                }
            }
        }
    }

    #[test]
    fn badges_claimed_and_sending_are_shown_as_processing() {
        assert_eq!(word(Lang::En, "message", "claimed"), "Processing");
        assert_eq!(word(Lang::En, "message", "accepted"), "Sent");
        assert_eq!(word(Lang::En, "mailing", "sending"), "Sending");
    }

    #[test]
    fn badges_a_done_mailing_says_how_many_are_uncertain() {
        assert_eq!(
            word(Lang::En, "mailing", "uncertain:2"),
            "Done, 2 uncertain"
        );
        assert_eq!(look("mailing", "uncertain:2"), (AMBER, "help-circle"));
    }

    #[test]
    fn badges_every_icon_is_in_the_sprite() {
        let sprite = include_str!("../../static/icons.svg");
        for value in [
            "draft",
            "submitted",
            "sending",
            "paused",
            "done",
            "failed",
            "missed",
            "canceled",
        ] {
            let icon = look("mailing", value).1;
            assert!(sprite.contains(&format!("id=\"{icon}\"")), "{icon}");
        }
    }
}
