//! Mailing Logs: the runs of mailings.

use actix_web::web;

pub fn routes(_config: &mut web::ServiceConfig) {}
