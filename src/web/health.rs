//! For those who watch over the installation: is it alive, is it ready. No secrets, no sign-in.
//!
//! `/healthz` is 503 while the database does not answer; `/readyz` also while every connection is
//! taken. Both answer within seconds, whatever the database does.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::app::App;
use crate::db::Health;
use crate::jobs;

pub async fn healthz(app: web::Data<App>) -> HttpResponse {
    let health = app.db.health().await;
    answer(health != Health::Down, health, &app).await
}

pub async fn readyz(app: web::Data<App>) -> HttpResponse {
    let health = app.db.health().await;
    answer(health == Health::Up, health, &app).await
}

async fn answer(ok: bool, health: Health, app: &App) -> HttpResponse {
    let body = json!({
        "ok": ok,
        "version": env!("CARGO_PKG_VERSION"),
        "database": database(health, app),
        "jobs": jobs(health, app).await,
        "sending": app.config.sending,
    });
    if ok {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable()
            .insert_header(("Retry-After", "2"))
            .json(body)
    }
}

fn database(health: Health, app: &App) -> Value {
    let state = match health {
        Health::Up => "up",
        Health::Busy => "busy",
        Health::Down => "down",
    };
    match app.db.private() {
        None => json!({ "state": state }),
        Some(private) => json!({
            "state": state,
            "restarts": private.restarts,
            "since_seconds": private.since.elapsed().as_secs(),
        }),
    }
}

/// `null` while the database cannot tell.
async fn jobs(health: Health, app: &App) -> Value {
    if health != Health::Up {
        return Value::Null;
    }
    let told = async {
        let mut conn = app.db.system().await?;
        Ok::<_, crate::error::Error>(jobs::query::health(&mut conn).await?)
    };
    match told.await {
        Ok(found) => json!({ "active": found.active, "late": found.late }),
        Err(_) => Value::Null,
    }
}
