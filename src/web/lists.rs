//! Mailing Lists and their members.

use actix_web::web;

pub fn routes(_config: &mut web::ServiceConfig) {}
