//! Recipients: the people we may write to.

use actix_web::web;

pub fn routes(_config: &mut web::ServiceConfig) {}
