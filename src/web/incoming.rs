//! What people wrote to us.

use actix_web::web;

pub fn routes(_config: &mut web::ServiceConfig) {}
