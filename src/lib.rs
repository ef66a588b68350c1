//! Infinys WhatsApp Blasting: the library behind the `wablast` binary.
//!
//! The modules stand in reading order, bottom-up, and that order *is* the dependency rule: a file
//! names only modules listed above its own. `tests/it/tidy.rs` keeps it.

// Foundations: know nothing of WhatsApp.
pub mod error;
pub mod ids;
pub mod clock;
pub mod random;
pub mod limits;
pub mod config;
pub mod crash;
pub mod telemetry;
pub mod i18n;
pub mod crypt;
pub mod text;
pub mod schema;
pub mod embedded;
pub mod eras;
pub mod db;
pub mod reach;
pub mod prepared;
pub mod search;
pub mod storage;

// The outside world: plain structs in, plain structs out; no SQL.
pub mod gateways;
pub mod app;

// The domain: rows, rules, verbs; no HTTP, no HTML.
pub mod companies;
pub mod users;
pub mod auth;
pub mod settings;
pub mod audit;
pub mod presses;
pub mod favourites;
pub mod media;
pub mod jobs;
pub mod instances;
pub mod accounts;
pub mod gateway_log;
pub mod templates;
pub mod rates;
pub mod logs;
pub mod outgoing;
pub mod contacts;
pub mod lists;
pub mod imports;
pub mod mailings;
pub mod incoming;
pub mod intake;
pub mod bulk;
pub mod check;

// The doors.
pub mod scheduler;
pub mod web;
pub mod api;
pub mod simulator;
pub mod server;
pub mod runner;
pub mod demo;
