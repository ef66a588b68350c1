//! What gateways posted to us, and what became of it.

use actix_web::web;

pub fn routes(_config: &mut web::ServiceConfig) {}
