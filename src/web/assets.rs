//! Static files: everything under `static/`, inside the binary, at `/static/{hash}/{path}`.
//!
//! Invariants: the hash covers every file's path and content, so an address never changes its
//! meaning and may be cached for ever; an address with an old hash is answered from today's files
//! and not cached. No file of the machine can be reached: only what was compiled in.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/static"]
struct Files;

/// The first 48 bits of a hash over all files, as hex.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Files::iter().collect();
    names.sort();
    let mut hash = Sha256::new();
    for name in names {
        if let Some(file) = Files::get(&name) {
            hash.update(name.as_bytes());
            hash.update(file.metadata.sha256_hash());
        }
    }
    hex::encode(&hash.finalize()[..6])
});

/// The address of a file under `static/`, such as `asset("app.css")`.
pub fn asset(path: &str) -> String {
    format!("/static/{}/{path}", *VERSION)
}

/// `GET /static/{version}/{path}`
pub async fn file(path: web::Path<(String, String)>) -> HttpResponse {
    let (version, path) = path.into_inner();
    let Some(file) = Files::get(&path) else {
        return HttpResponse::NotFound()
            .content_type("text/plain; charset=utf-8")
            .body("There is no such file.");
    };
    let kind = mime_guess::from_path(&path).first_or_octet_stream();
    let text = kind.type_() == "text" || kind.subtype() == "javascript" || path.ends_with(".svg");
    let kind = if text {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_string()
    };
    let cache = if version == *VERSION {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, cache));
    if path.ends_with(".woff2") {
        // packed already
        answer.insert_header((CONTENT_ENCODING, "identity"));
    }
    answer.body(file.data.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str) -> (u16, String, String) {
        let (version, path) = path.split_once('/').unwrap();
        let answer = file(web::Path::from((version.to_owned(), path.to_owned()))).await;
        let header = |name| {
            let value = answer.headers().get(name);
            value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        (
            answer.status().as_u16(),
            header(CONTENT_TYPE),
            header(CACHE_CONTROL),
        )
    }

    #[actix_web::test]
    async fn assets_the_current_address_is_cached_for_ever() {
        let (status, kind, cache) = get(asset("app.css").strip_prefix("/static/").unwrap()).await;
        assert_eq!((status, kind.as_str()), (200, "text/css; charset=utf-8"));
        assert!(cache.contains("immutable"));
    }

    #[actix_web::test]
    async fn assets_an_old_address_is_answered_and_not_cached() {
        let (status, kind, cache) = get("000000000000/vendor/inter-latin.woff2").await;
        assert_eq!(
            (status, kind.as_str(), cache.as_str()),
            (200, "font/woff2", "no-cache")
        );
    }

    #[actix_web::test]
    async fn assets_nothing_outside_the_folder_is_reached() {
        assert_eq!(get("x/../Cargo.toml").await.0, 404);
        assert_eq!(get("x//etc/passwd").await.0, 404);
    }
}
