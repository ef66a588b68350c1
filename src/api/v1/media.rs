//! `/api/v1/media`: files for the header of a mailing.

use actix_multipart::{Multipart, MultipartError};
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use utoipa::ToSchema;

use super::super::error::ApiResult;
use super::super::token::ApiCaller;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::MediaId;
use crate::media::{self, Media, Received, Receiving, query};

/// A file that a mailing's header can show.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Media)]
pub struct Shown {
    #[schema(example = 5)]
    id: i64,
    /// `image`, `video`, `document` or `voice`.
    #[schema(example = "image")]
    kind: String,
    #[schema(example = "image/jpeg")]
    mime: String,
    #[schema(example = "parang.jpg")]
    file_name: String,
    /// In bytes.
    #[schema(example = 48213)]
    size: i64,
    #[schema(example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    sha256: String,
    created_at: DateTime<Utc>,
}

/// One part of a form.
#[derive(ToSchema)]
#[schema(as = MediaForm)]
#[expect(dead_code, reason = "describes what read reads")]
struct Form {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

fn shown(media: &Media) -> Shown {
    Shown {
        id: media.id.0,
        kind: media.kind.clone(),
        mime: media.mime.clone(),
        file_name: media.file_name.clone(),
        size: media.size,
        sha256: hex::encode(&media.sha256),
        created_at: media.created_at,
    }
}

/// Upload an image, a video, a document or a voice note
///
/// The same bytes under the same name are the same file, so that repeating a call changes nothing.
#[utoipa::path(post, path = "/media", tag = "Mailings", operation_id = "uploadMedia", request_body(content = Form, content_type = "multipart/form-data"),
    responses((status = 201, description = "The file; its id goes into the header of a mailing", body = Shown)))]
pub async fn create(caller: ApiCaller, form: Multipart, app: web::Data<App>) -> ApiResult {
    let received = read(&app, form).await?;
    let kept = media::keep(&app, caller.company, caller.user, received).await?;
    Ok(HttpResponse::Created().json(shown(&kept)))
}

/// What is known of a file
#[utoipa::path(get, path = "/media/{id}", tag = "Mailings", operation_id = "media", params(("id" = i64, Path, description = "The file")),
    responses((status = 200, description = "The file", body = Shown)))]
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
