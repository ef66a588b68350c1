//! Importing recipients from a file.

use actix_web::web;

pub fn routes(_config: &mut web::ServiceConfig) {}
