//! A posted form that may carry a file.
//!
//! Invariants: the form's token is checked before a byte of the file is read; the file streams to disk
//! and is never whole in memory; a form without a file may come in the ordinary shape, too.

use actix_multipart::{Field, Multipart};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{FromRequest as _, web};
use futures_util::TryStreamExt as _;

use crate::app::App;
use crate::error::{Error, Result};
use crate::media::{Received, Receiving};
use crate::web::error::WebError;
use crate::web::form::{self, Posted};
use crate::web::visit::Visit;

/// Of all fields that are no file, together.
const TEXT_MAX: usize = 2 * 1024 * 1024;
const FIELDS_MAX: usize = 20_000;

pub struct Filled {
    pub pairs: Vec<(String, String)>,
    /// The file, or why it is not taken; nothing where none was chosen.
    pub file: Option<Result<Received>>,
}

pub async fn read(visit: &Visit, payload: web::Payload) -> Result<Filled, WebError> {
    let mut payload = payload.into_inner();
    let kind = visit.request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        let Posted(pairs) = Posted::from_request(&visit.request, &mut payload).await?;
        return Ok(Filled { pairs, file: None });
    }
    form::check_origin(&visit.request)?;
    let form = Multipart::from_request(&visit.request, &mut payload)
        .await
        .map_err(|_| Error::invalid("form", "The form could not be read."))?;
    Ok(fields(visit, form).await?)
}

async fn fields(visit: &Visit, mut form: Multipart) -> Result<Filled> {
    let mut filled = Filled {
        pairs: Vec::new(),
        file: None,
    };
    let mut proven: Option<String> = None;
    let mut left = TEXT_MAX;
    for _ in 0..FIELDS_MAX {
        let Some(mut field) = form.try_next().await.map_err(broken_off)? else {
            let token = proven.ok_or(Error::StaleForm)?;
            let (app, session) = (&visit.app, &visit.session);
            form::require_company(&visit.request, app, session, &token, &filled.pairs).await?;
            return Ok(filled);
        };
        let name = field.name().unwrap_or_default().to_owned();
        let disposition = field.content_disposition();
        let given = disposition.and_then(|one| one.get_filename());
        let Some(given) = given.map(str::to_owned) else {
            let value = text(&mut field, &mut left).await?;
            if name == "csrf" {
                form::check(&visit.session, &value)?;
                proven = Some(value.clone());
            }
            if name == "version" {
                form::stands_on(&visit.request, value.clone());
            }
            filled.pairs.push((name, value));
            continue;
        };
        if proven.is_none() {
            return Err(Error::StaleForm);
        }
        // Browsers send an empty name where no file was chosen.
        if name == "file" && !given.is_empty() {
            filled.file = Some(file(&visit.app, &mut field, &given).await?);
        }
    }
    Err(Error::invalid("form", "The form could not be read."))
}

fn broken_off(_: actix_multipart::MultipartError) -> Error {
    Error::invalid(
        "form",
        "The upload broke off before it was complete. Upload the file again.",
    )
}

async fn text(field: &mut Field, left: &mut usize) -> Result<String> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.try_next().await.map_err(broken_off)? {
        *left = left
            .checked_sub(piece.len())
            .ok_or_else(|| Error::invalid("form", "A field of the form is too long."))?;
        bytes.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}

/// The inner error is about the file, the outer one about the upload itself.
async fn file(app: &App, field: &mut Field, given: &str) -> Result<Result<Received>> {
    let mut receiving = Receiving::start(app).await?;
    while let Some(piece) = field.try_next().await.map_err(broken_off)? {
        receiving.write(&piece).await?;
    }
    match receiving.finish(given).await {
        Err(error @ Error::Internal(_)) => Err(error),
        other => Ok(other),
    }
}
