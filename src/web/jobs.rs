//! Scheduled Actions: when each job runs, and how its runs went.

use actix_web::web;

pub fn routes(_config: &mut web::ServiceConfig) {}
