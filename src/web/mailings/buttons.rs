//! The buttons of a mailing and its status bar.
//!
//! Invariant: a button stands there exactly when the table of verbs allows it.

use crate::mailings::{Mailing, State, Verb};
use crate::web::page::Shell;

/// How a button does what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Saves the form first and goes on: sent as `then` of the form.
    Then,
    /// Leads to a page that asks.
    Ask,
    /// A form of its own.
    Post,
}

#[derive(Debug, Clone)]
pub struct Button {
    /// The verb, as in addresses.
    pub verb: &'static str,
    /// A key of the catalogue.
    pub label: &'static str,
    pub icon: &'static str,
    pub look: &'static str,
    pub way: Way,
    pub href: String,
}

impl Button {
    pub fn then(&self) -> bool {
        self.way == Way::Then
    }

    pub fn asks(&self) -> bool {
        self.way == Way::Ask
    }

    /// The page it leads to is a question that may stand in a dialog.
    pub fn confirms(&self) -> bool {
        self.asks() && self.verb != "test"
    }
}

/// Verb, label, icon, look, in the order of the page.
const FACES: [(Verb, &str, &str, &str); 11] = [
    (Verb::Submit, "verb.submit", "calendar-clock", ""),
    (Verb::SendNow, "verb.send_now", "send", ""),
    (Verb::Pause, "verb.pause", "player-pause", ""),
    (Verb::Resume, "verb.resume", "player-play", ""),
    (
        Verb::RetryFailed,
        "verb.retry_failed",
        "rotate-clockwise",
        "",
    ),
    (Verb::Draft, "verb.draft", "pencil", ""),
    (Verb::Test, "verb.test", "flask", ""),
    (Verb::Duplicate, "verb.duplicate", "copy", "btn-quiet"),
    (Verb::Archive, "verb.archive", "archive", "btn-quiet"),
    (Verb::Cancel, "verb.cancel", "ban", "btn-danger-quiet"),
    (Verb::Delete, "verb.delete", "trash", "btn-danger-quiet"),
];

fn way(verb: Verb, editing: bool) -> Way {
    match verb {
        Verb::Submit | Verb::SendNow | Verb::Test if editing => Way::Then,
        Verb::SendNow | Verb::Test | Verb::Cancel | Verb::RetryFailed | Verb::Delete => Way::Ask,
        _ => Way::Post,
    }
}

/// All that the table allows now; the first one that moves the mailing on is green.
pub fn of(mailing: &Mailing) -> Vec<Button> {
    let editing = mailing.allows(Verb::Edit);
    let mut buttons: Vec<Button> = FACES
        .into_iter()
        .filter(|(verb, ..)| mailing.allows(*verb))
        .map(|(verb, label, icon, look)| {
            let last = match verb {
                Verb::SendNow => "send",
                other => other.as_str(),
            };
            Button {
                verb: verb.as_str(),
                label,
                icon,
                look,
                way: way(verb, editing),
                href: format!("/mailings/{}/{last}", mailing.id),
            }
        })
        .collect();
    // A missed mailing is submitted with its new date, beside the date.
    if mailing.state() == State::Missed {
        buttons.retain(|button| button.verb != "submit");
    }
    if let Some(first) = buttons.iter_mut().find(|button| {
        matches!(
            button.verb,
            "submit" | "pause" | "resume" | "send_now" | "retry_failed"
        )
    }) {
        first.look = "btn-primary";
    }
    if !mailing.active {
        buttons.retain(|button| button.verb != "archive");
    }
    buttons
}

/// Those of a mailing that is not stored yet.
pub fn of_new() -> Vec<Button> {
    FACES
        .into_iter()
        .filter(|(verb, ..)| matches!(verb, Verb::Submit | Verb::SendNow | Verb::Test))
        .map(|(verb, label, icon, _)| Button {
            verb: verb.as_str(),
            label,
            icon,
            look: if verb == Verb::Submit {
                "btn-primary"
            } else {
                ""
            },
            way: Way::Then,
            href: String::new(),
        })
        .collect()
}

/// The status bar: its words, which one is current, and its hue.
pub fn steps(shell: &Shell, state: State, uncertain: i64) -> (Vec<String>, usize, &'static str) {
    let (at, word, hue) = match state {
        State::Draft => (0, "", ""),
        State::Submitted => (1, "", ""),
        State::Missed => (1, "state.mailing.missed", "amber"),
        State::Sending => (2, "", "teal"),
        State::Paused => (2, "state.mailing.paused", "amber"),
        State::Done if uncertain > 0 => (3, "state.mailing.uncertain", "amber"),
        State::Done => (3, "", ""),
        State::PartialFailure => (3, "state.mailing.partial_failure", "red"),
        State::Failed => (3, "state.mailing.failed", "red"),
        State::Canceled => (3, "state.mailing.canceled", "amber"),
    };
    let mut words = [
        "state.mailing.draft",
        "state.mailing.submitted",
        "state.mailing.sending",
        "state.mailing.done",
    ];
    if !word.is_empty() {
        words[at] = word;
    }
    let words = words
        .into_iter()
        .map(|word| shell.tf(word, &[shell.number(uncertain)]))
        .collect();
    (words, at, hue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_but_those_that_stand_elsewhere_has_a_button() {
        for verb in Verb::ALL {
            // In the form, or beside what is uncertain.
            let elsewhere = matches!(
                verb,
                Verb::Edit | Verb::Reschedule | Verb::Resend | Verb::MarkSent
            );
            let has = FACES.iter().any(|(face, ..)| *face == verb);
            assert_eq!(has, !elsewhere, "{verb:?}");
        }
    }

    #[test]
    fn a_draft_is_saved_before_it_is_submitted() {
        assert_eq!(way(Verb::Submit, true), Way::Then);
        assert_eq!(way(Verb::SendNow, false), Way::Ask);
        assert_eq!(way(Verb::Pause, false), Way::Post);
    }
}
