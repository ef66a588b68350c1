//! Where logs go: standard error, one line an event; JSON when it is not a terminal.
//!
//! Invariant: numbers are masked and message texts are never logged; see [`masked`].

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging; `filter` is a tracing filter such as `info` or `wablast=debug`.
pub fn start(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        subscriber.try_init()
    } else {
        subscriber.json().try_init()
    };
}

/// A number as logs may show it: the last three digits.
pub fn masked(number: &str) -> String {
    let tail: String = number.chars().rev().take(3).collect();
    format!("…{}", tail.chars().rev().collect::<String>())
}
