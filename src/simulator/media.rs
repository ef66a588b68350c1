//! `sendImage`, `sendVideo`, `sendFile`, `sendVoice`: a file in base64 or fetched from a link, with its caption.

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::arrived::File;
use super::{State, waha};

/// WAHA takes requests of this size.
pub(super) const BODY_AT_MOST: usize = 50 * 1024 * 1024;
/// What is fetched from a link at most.
const FETCHED_AT_MOST: usize = 110 * 1024 * 1024;

pub(super) async fn send(
    request: HttpRequest,
    bytes: web::Bytes,
    state: web::Data<State>,
) -> HttpResponse {
    if let Some(refused) = waha::refused(&request, &state) {
        return refused;
    }
    if bytes.len() > BODY_AT_MOST {
        return waha::exception_at(request.path(), "request entity too large", &json!({}));
    }
    let body = match waha::admitted(&bytes, &state).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let kind = match request.path() {
        "/api/sendImage" => "image",
        "/api/sendVideo" => "video",
        "/api/sendVoice" => "voice",
        _ => "file",
    };
    if !waha::has_media(&state) {
        return unsupported(&state, kind);
    }
    let Some(chat) = body["chatId"].as_str() else {
        let missing = "Cannot read properties of undefined (reading 'includes')";
        return waha::exception_at(request.path(), missing, &json!({}));
    };
    let file = match read(&state, kind, &body["file"]).await {
        Ok(file) => file,
        Err(fault) => return waha::exception_at(request.path(), &fault, &json!({})),
    };
    // What is no Ogg plays on no phone unless it is converted; words with a voice note are shown nowhere.
    if kind == "voice" && !file.mime.starts_with("audio/ogg") && body["convert"] != true {
        return waha::exception_at(request.path(), "Invalid voice format", &json!({}));
    }
    let caption = match kind {
        "voice" => "",
        _ => body["caption"].as_str().unwrap_or_default(),
    };
    let caption = caption.to_owned();
    waha::deliver(&state, &body, chat, caption, Some(file)).await
}

/// As builds before 2026.6.1 answer.
fn unsupported(state: &State, kind: &str) -> HttpResponse {
    let engine = &state.options.engine;
    if kind == "video" && engine == "NOWEB" {
        return HttpResponse::NotImplemented().json(json!({
            "message": format!("The method is not implemented by '{engine}' engine."),
            "error": "Not Implemented", "statusCode": 501,
        }));
    }
    HttpResponse::UnprocessableEntity().json(json!({
        "message": format!("The feature is available only in Plus version for '{engine}' engine."),
        "error": "Unprocessable Entity", "statusCode": 422,
    }))
}

/// The bytes of the file, from the request or from its link.
pub(super) async fn read(state: &State, kind: &'static str, file: &Value) -> Result<File, String> {
    let Some(mime) = file["mimetype"].as_str() else {
        return Err("Cannot read properties of undefined (reading 'mimetype')".to_owned());
    };
    let (bytes, fetched) = match (file["data"].as_str(), file["url"].as_str()) {
        (Some(data), _) => {
            let bytes = STANDARD
                .decode(data)
                .map_err(|_| "The file's data is not base64".to_owned())?;
            (bytes, false)
        }
        (None, Some(url)) => {
            let url = url.parse().map_err(|_| "Invalid URL".to_owned())?;
            let bytes = state.http.download(url, FETCHED_AT_MOST).await;
            let bytes = bytes.ok().flatten();
            (
                bytes.ok_or("Request failed: the file could not be fetched")?,
                true,
            )
        }
        (None, None) => return Err("Either file.url or file.data is required".to_owned()),
    };
    Ok(File {
        kind,
        name: file["filename"].as_str().unwrap_or_default().to_owned(),
        mime: mime.to_owned(),
        size: bytes.len(),
        sha256: hex::encode(Sha256::digest(&bytes)),
        fetched,
    })
}
