//! A mailing's states and verbs, and the one table that says which goes with which.
//!
//! Invariant: guards in SQL, buttons on pages and answers of the API all read [`allows`]; nothing else
//! decides what may happen to a mailing.

/// The state of a mailing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(as = MailingState, rename_all = "snake_case")]
pub enum State {
    Draft,
    Submitted,
    Sending,
    Paused,
    Done,
    PartialFailure,
    Failed,
    Canceled,
    Missed,
}

impl State {
    pub const ALL: [Self; 9] = [
        Self::Draft,
        Self::Submitted,
        Self::Sending,
        Self::Paused,
        Self::Done,
        Self::PartialFailure,
        Self::Failed,
        Self::Canceled,
        Self::Missed,
    ];

    /// As stored, in URLs and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Submitted => "submitted",
            Self::Sending => "sending",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::PartialFailure => "partial_failure",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Missed => "missed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Change everything.
    Edit,
    /// Change the schedule date only.
    Reschedule,
    Submit,
    SendNow,
    Pause,
    Resume,
    Cancel,
    /// What failed, once more.
    RetryFailed,
    /// What is uncertain, once more; people may get it twice.
    Resend,
    /// What is uncertain did arrive.
    MarkSent,
    /// Back to draft.
    Draft,
    Test,
    Duplicate,
    Archive,
    Delete,
}

impl Verb {
    pub const ALL: [Self; 15] = [
        Self::Edit,
        Self::Reschedule,
        Self::Submit,
        Self::SendNow,
        Self::Pause,
        Self::Resume,
        Self::Cancel,
        Self::RetryFailed,
        Self::Resend,
        Self::MarkSent,
        Self::Draft,
        Self::Test,
        Self::Duplicate,
        Self::Archive,
        Self::Delete,
    ];

    /// The last part of the verb's URL, and its word in `legal` of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Reschedule => "reschedule",
            Self::Submit => "submit",
            Self::SendNow => "send_now",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::RetryFailed => "retry_failed",
            Self::Resend => "resend",
            Self::MarkSent => "mark_sent",
            Self::Draft => "draft",
            Self::Test => "test",
            Self::Duplicate => "duplicate",
            Self::Archive => "archive",
            Self::Delete => "delete",
        }
    }
}

/// The table. `released`: the mailing has been sent, at least in part, before.
pub fn allows(state: State, verb: Verb, released: bool) -> bool {
    use State as S;
    use Verb as V;
    match verb {
        V::Edit => state == S::Draft,
        V::Reschedule => matches!(state, S::Submitted | S::Missed),
        V::Submit => matches!(state, S::Draft | S::Missed),
        V::SendNow => matches!(state, S::Draft | S::Submitted | S::Missed),
        V::Pause => state == S::Sending,
        V::Resume => state == S::Paused,
        V::Cancel => matches!(state, S::Submitted | S::Sending | S::Paused | S::Missed),
        V::RetryFailed => matches!(state, S::PartialFailure | S::Failed),
        V::Resend => matches!(state, S::Done | S::PartialFailure | S::Failed),
        V::MarkSent => matches!(
            state,
            S::Sending | S::Paused | S::Done | S::PartialFailure | S::Failed | S::Canceled
        ),
        V::Draft => !released && matches!(state, S::Submitted | S::Canceled | S::Missed),
        V::Test | V::Duplicate => true,
        V::Archive => {
            matches!(
                state,
                S::Draft | S::Done | S::PartialFailure | S::Failed | S::Canceled
            )
        }
        V::Delete => state == S::Draft && !released,
    }
}

/// What may be done now, as the API's `legal` and the pages' buttons.
pub fn legal(state: State, released: bool) -> Vec<&'static str> {
    Verb::ALL
        .into_iter()
        .filter(|verb| allows(state, *verb, released))
        .map(Verb::as_str)
        .collect()
}

/// The states a verb starts from, for the guard of its UPDATE.
pub(super) fn from_states(verb: Verb) -> Vec<&'static str> {
    State::ALL
        .into_iter()
        .filter(|state| allows(*state, verb, false))
        .map(State::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The design's table, verb by verb: every state not named refuses.
    #[test]
    fn every_state_allows_exactly_what_the_table_says() {
        let table: &[(Verb, &str)] = &[
            (Verb::Edit, "draft"),
            (Verb::Reschedule, "submitted missed"),
            (Verb::Submit, "draft missed"),
            (Verb::SendNow, "draft submitted missed"),
            (Verb::Pause, "sending"),
            (Verb::Resume, "paused"),
            (Verb::Cancel, "submitted sending paused missed"),
            (Verb::RetryFailed, "partial_failure failed"),
            (Verb::Resend, "done partial_failure failed"),
            (
                Verb::MarkSent,
                "sending paused done partial_failure failed canceled",
            ),
            (Verb::Draft, "submitted canceled missed"),
            (
                Verb::Test,
                "draft submitted sending paused done partial_failure failed canceled missed",
            ),
            (
                Verb::Duplicate,
                "draft submitted sending paused done partial_failure failed canceled missed",
            ),
            (Verb::Archive, "draft done partial_failure failed canceled"),
            (Verb::Delete, "draft"),
        ];
        assert_eq!(table.len(), Verb::ALL.len());
        for (verb, states) in table {
            for state in State::ALL {
                let expected = states.split(' ').any(|word| word == state.as_str());
                assert_eq!(
                    allows(state, *verb, false),
                    expected,
                    "{verb:?} in {state:?}"
                );
            }
        }
    }

    #[test]
    fn a_mailing_that_was_released_never_returns_to_draft() {
        for state in State::ALL {
            assert!(!allows(state, Verb::Draft, true));
            assert!(!allows(state, Verb::Delete, true));
        }
    }
}
