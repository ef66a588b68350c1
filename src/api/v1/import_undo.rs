//! `/api/v1/imports/{id}/undo`: what undoing an import would do, and doing it.
//!
//! Invariant: for managers, as in the panel, because people go; asked again it goes on where it stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use utoipa::ToSchema;

use super::super::error::ApiResult;
use super::super::token::ApiCaller;
use crate::app::App;
use crate::auth::Role;
use crate::ids::ImportId;
use crate::imports::{query, undo};

/// How long a call waits; what takes longer goes on beside it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What undoing would do now.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = ImportUndo)]
pub struct Foreseen {
    /// False: it made and changed nobody, goes on, or ended more than thirty days ago.
    #[schema(example = true)]
    possible: bool,
    /// People who would be deleted: it made them, and nobody has used them since.
    #[schema(example = 480)]
    removes: i64,
    /// People who would get back what it replaced.
    #[schema(example = 20)]
    restores: i64,
    /// Those of them who would keep a part, because somebody changed it since.
    #[schema(example = 3)]
    restores_partly: i64,
    /// People who were here before it and keep everything, because somebody changed it since.
    #[schema(example = 2)]
    changed_since: i64,
    /// People it made who stay, by the reason: `messages`, `opted_out`, `chosen` for a mailing, or `changed`.
    #[schema(example = json!({ "messages": 4 }))]
    stays: BTreeMap<String, i64>,
}

/// What undoing an import would do
#[utoipa::path(get, path = "/imports/{id}/undo", tag = "Contacts", operation_id = "foreseeUndo", params(("id" = i64, Path, description = "The import")),
    responses((status = 200, description = "Who would go, who would get something back, who stays", body = Foreseen), (status = 403, description = "Managers and administrators only")))]
pub async fn foresee(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Manager)?;
    let id = ImportId(*id);
    let mut conn = app.db.company(caller.company).await?;
    query::find(&mut conn, id).await?;
    let possible = undo::is_open(&mut conn, id).await?;
    let mut fate = undo::Fate::default();
    if possible {
        fate = undo::fate(&mut conn, id).await?;
    }
    Ok(HttpResponse::Ok().json(Foreseen {
        possible,
        removes: fate.goes,
        restores: fate.given.back,
        restores_partly: fate.given.partly,
        changed_since: fate.given.changed,
        stays: fate.stays.into_iter().collect(),
    }))
}

/// What has been undone of an import, in all.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = ImportUndone)]
pub struct Undone {
    /// False: it goes on; ask for the import to see how far it is.
    #[schema(example = true)]
    finished: bool,
    /// People who were deleted.
    #[schema(example = 480)]
    undone: i64,
    /// People who have back what it had replaced.
    #[schema(example = 20)]
    restored: i64,
}

/// Undo an import
///
/// People whom it made and nobody has used since are deleted; people who were here before it get back what it replaced,
/// where nobody changed it since. An opt-out stays. Each person's history tells it. Called again it goes on where it
/// stopped, and does nothing twice.
#[utoipa::path(post, path = "/imports/{id}/undo", tag = "Contacts", operation_id = "undoImport", params(("id" = i64, Path, description = "The import")),
    responses((status = 200, description = "It is undone", body = Undone), (status = 202, description = "It goes on in the background", body = Undone),
        (status = 403, description = "Managers and administrators only"), (status = 409, description = "It can no longer be undone, or a mailing is being prepared just now")))]
pub async fn run(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    caller.require(Role::Manager)?;
    let (id, company, user) = (ImportId(*id), caller.company, caller.user);
    let db = app.db.clone();
    // A caller that hangs up does not stop it.
    let undoing = tokio::spawn(async move { undo::undo(&db, company, user, id).await });
    let finished = match tokio::time::timeout(PATIENCE, undoing).await {
        Ok(undone) => {
            undone.map_err(anyhow::Error::from)??;
            true
        }
        Err(_) => false,
    };
    let mut conn = app.db.company(company).await?;
    let import = query::find(&mut conn, id).await?;
    let answer = Undone {
        finished,
        undone: import.undone,
        restored: import.restored,
    };
    Ok(if finished {
        HttpResponse::Ok().json(answer)
    } else {
        HttpResponse::Accepted().json(answer)
    })
}
