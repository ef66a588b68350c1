//! `/api/v1/media`: files for the header of a mailing.

use actix_multipart::{Multipart, MultipartError};
use actix_web::{HttpResponse, web};
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};

use super::super::error::ApiResult;
use super::super::token::ApiCaller;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::MediaId;
use crate::media::{self, Media, Received, Receiving, query};

fn shown(media: &Media) -> Value {
    json!({
        "id": media.id, "kind": media.kind, "mime": media.mime, "file_name": media.file_name, "size": media.size,
        "sha256": hex::encode(&media.sha256), "created_at": media.created_at,
    })
}

/// The same bytes under the same name are the same file, so that repeating a call changes nothing.
pub async fn create(caller: ApiCaller, form: Multipart, app: web::Data<App>) -> ApiResult {
    let received = read(&app, form).await?;
    let kept = media::keep(&app, caller.company, caller.user, received).await?;
    Ok(HttpResponse::Created().json(shown(&kept)))
}

pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let mut conn = app.db.company(caller.company).await?;
    let media = query::find(&mut conn, MediaId(*id)).await?;
    Ok(HttpResponse::Ok().json(shown(&media)))
}

fn broken_off(_: MultipartError) -> Error {
    Error::invalid(
        "form",
        "The upload broke off before it was complete. Upload the file again.",
    )
}

/// One part called `file` and nothing else.
async fn read(app: &App, mut form: Multipart) -> Result<Received> {
    let mut received = None;
    while let Some(mut field) = form.try_next().await.map_err(broken_off)? {
        if field.name() != Some("file") || received.is_some() {
            return Err(Error::invalid(
                "form",
                "Send one part called file and nothing else.",
            ));
        }
        let disposition = field.content_disposition();
        let given = disposition.and_then(|one| one.get_filename());
        let given = given.unwrap_or_default().to_owned();
        let mut receiving = Receiving::start(app).await?;
        while let Some(piece) = field.try_next().await.map_err(broken_off)? {
            receiving.write(&piece).await?;
        }
        received = Some(receiving.finish(&given).await?);
    }
    received.ok_or_else(|| Error::invalid("file", "Send the file as a part called file."))
}
