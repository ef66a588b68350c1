//! An upload form as it streams in.
//!
//! Invariants: the form's token comes first and is checked before anything else is read; no more than a
//! piece of a file is kept in memory.

use std::fs::File;

use actix_multipart::{Field, Multipart};
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::imports::StageInput;
use crate::imports::spool::Spool;
use crate::web::form;
use crate::web::visit::Visit;

/// Of a field that is not the file.
const TEXT_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 5_000;

pub struct Upload {
    pub input: StageInput,
    pub file_name: String,
    /// The file, or what is wrong with it.
    pub file: Result<File>,
}

pub async fn read(visit: &Visit, mut parts: Multipart) -> Result<Upload> {
    form::check_origin(&visit.request)?;
    let mut first = next(&mut parts).await?.ok_or(Error::Forbidden)?;
    if first.name() != Some("csrf") {
        return Err(Error::Forbidden);
    }
    let token = text(&mut first).await?;
    form::check(&visit.session, &token)?;
    form::check_company(&visit.app, &visit.session, &token).await?;
    drop(first);
    let mut hash = Sha256::new();
    let mut upload = Upload {
        input: StageInput {
            remembers: true,
            ..StageInput::default()
        },
        file_name: String::new(),
        file: Err(Error::invalid("file", visit.t("imports.no_file"))),
    };
    for _ in 0..FIELDS_MAX {
        let Some(mut field) = next(&mut parts).await? else {
            hash.update(format!("{} {:?}", upload.file_name, upload.input));
            form::uploads_as(&visit.request, &token, &hash.finalize());
            return Ok(upload);
        };
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file" => {
                let disposition = field.content_disposition();
                let file_name = disposition.and_then(|one| one.get_filename());
                // Browsers send an empty name where no file was chosen.
                if let Some(file_name) = file_name.filter(|name| !name.is_empty()) {
                    upload.file_name = file_name.to_owned();
                    upload.file = file(visit, &mut field, &mut hash).await?;
                }
            }
            "country" => upload.input.country = text(&mut field).await?,
            "on_duplicate" => upload.input.on_duplicate = text(&mut field).await?,
            "tags" => upload.input.tags = text(&mut field).await?,
            "header" => upload.input.header = text(&mut field).await?,
            "sheet" => upload.input.sheet = text(&mut field).await?.replace('\0', ""),
            "list_ids" => upload
                .input
                .list_ids
                .extend(text(&mut field).await?.parse::<i64>()),
            _ => {}
        }
    }
    Err(Error::invalid("form", visit.t("imports.broken_off")))
}

fn broken_off(_: actix_multipart::MultipartError) -> Error {
    Error::invalid(
        "form",
        "The upload broke off before it was complete. Upload the file again.",
    )
}

async fn next(form: &mut Multipart) -> Result<Option<Field>> {
    form.try_next().await.map_err(broken_off)
}

async fn text(field: &mut Field) -> Result<String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.try_next().await.map_err(broken_off)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TEXT_MAX {
            return Err(Error::invalid("form", "A field of the form is too long."));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The file, or why it is not taken; an error of the upload itself is the outer one.
async fn file(visit: &Visit, field: &mut Field, hash: &mut Sha256) -> Result<Result<File>> {
    let mut spool = Spool::open(&visit.app.config.data_dir)?;
    while let Some(chunk) = field.try_next().await.map_err(broken_off)? {
        hash.update(&chunk);
        spool.write(&chunk).await?;
    }
    Ok(spool.finish().await)
}
