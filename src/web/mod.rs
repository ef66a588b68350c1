//! The panel: pages and forms.

pub mod security;

use actix_web::{HttpResponse, web};

use crate::app::App;

/// The site map of the panel.
pub fn routes(config: &mut web::ServiceConfig, _app: &App) {
    config.route("/healthz", web::get().to(healthz));
}

/// Whether the process and its database answer.
async fn healthz(app: web::Data<App>) -> HttpResponse {
    match app.db.system().await {
        Ok(_) => HttpResponse::Ok().json(serde_json::json!({ "ok": true })),
        Err(_) => HttpResponse::ServiceUnavailable()
            .json(serde_json::json!({ "ok": false, "database": "away" })),
    }
}
