//! Everything that leaves: one row a message, with its fate.
//!
//! Invariants (`delivery.md` of the design, kept by tests): every transition is one guarded UPDATE;
//! an attempt is committed before the first byte of its request; what cannot be known rests as
//! *uncertain* and is never sent again by itself, only by a person (`again.rs`) or, where the account's policy
//! asks, on proof (`prove.rs`); an old fence changes nothing; no transaction is open
//! while a gateway answers. Owns `outgoing`, `attempts`, `outgoing_content`, `account_pace`,
//! `account_recent`, `late_marks`, `look_ups`, `mailing_stops`, `media_uploads` and `parked_receipts`. Never names mailings: it wakes those who settle them.

pub mod again;
pub mod autopause;
pub mod backoff;
pub mod begin;
pub mod checks;
pub mod claim;
pub mod deliver;
pub mod files;
pub mod governor;
pub mod handed_over;
pub mod held;
pub mod hold;
pub mod list;
pub mod open;
pub mod prove;
pub mod query;
pub mod queue;
pub mod reach;
pub mod receipts;
pub mod record;
mod lately;
mod own_ids;
pub mod pace;
mod posting;
pub mod pull;
mod recover;
mod remember;
pub mod reports;
pub mod results;
pub mod stops;
pub mod tally;
mod typing;
mod uploads;
mod way;
pub mod unheard;
pub mod worker;

/// The states of a message, in the order pages show them.
pub const STATES: [&str; 12] = [
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
];

/// How long one text may take at a gateway, from the first byte to the last.
pub const TEXT_SECONDS: i64 = 45;
/// What a begun message is held for: the time of its request and 15 s to record it.
pub const LEASE_SECONDS: i64 = TEXT_SECONDS + 15;
/// The same for a message with a file.
pub const MEDIA_SECONDS: i64 = 120;
pub const MEDIA_LEASE_SECONDS: i64 = MEDIA_SECONDS + 15;
/// After the lease, before the reaper calls a begun message uncertain.
pub const GRACE_SECONDS: i64 = 10;
