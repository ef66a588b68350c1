//! Everything with SQL or HTTP, tested from outside, in one binary: one process, one private
//! PostgreSQL, a database per test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on stops"
)]

mod support;

mod change;
mod control;
mod crash_points;
mod bad_lines;
mod storm;
mod check;
mod clocks;
mod api;
mod api_accounts;
mod brief;
mod delivery;
mod demo;
mod embedded;
mod enqueue;
mod freeze;
mod gateway_faults;
mod gateways;
mod imports;
mod instances;
mod bulk;
mod exhausted;
mod export;
mod favourites;
mod flow_page;
mod imports_background;
mod imports_exports;
mod imports_remembered;
mod imports_undo;
mod friction;
mod history;
mod jobs;
mod kit;
mod live;
mod lock;
mod media;
mod meta;
mod meta_account;
mod meta_contract;
mod meta_files;
mod meta_held;
mod meta_templates;
mod meta_walk;
mod migrations;
mod machine;
mod model;
mod mutants_intake;
mod outage;
mod pace;
mod kept_for;
mod console;
mod twice;
mod twins;
mod narrow;
mod screens;
mod sweep;
mod plain_http;
mod programs;
mod proof;
mod pull;
mod proven;
mod receipt_orders;
mod rates;
mod receipts;
mod unheard;
mod voice;

mod waha_contract;
mod waha_sending;
mod waha_session;
mod replies;
mod webhook_at_once;
mod webhook_sending;
mod flow_auth;
mod flow_events;
mod gateway_log;
mod n8n_contract;
mod again;
mod auth;
mod autopause;
mod bounds;
mod isolation;
mod people;
mod sharing;
mod pace_rate;
mod pages;
mod rights;
mod walk;
mod tidy;
mod origin_defects;
