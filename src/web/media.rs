//! Files: uploaded from a form, shown in a preview, fetched by a gateway.
//!
//! Invariants: a file of another company does not exist; nothing but an image, a video or sound is ever shown
//! inside a page, and no file may run anything; an address for gateways tells nothing but its file.

use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, Charset, ContentDisposition, DispositionParam,
    DispositionType, ExtendedValue, RANGE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use askama::filters::HtmlSafe;
use diesel_async::AsyncPgConnection;

use crate::app::App;
use crate::error::{Error, FieldErrors, Result};
use crate::i18n::Lang;
use crate::ids::MediaId;
use crate::media::{self, Kind, Media, kinds, links, query};
use crate::web::error::WebResult;
use crate::web::form::company_token;
use crate::web::multipart;
use crate::web::page::{Shell, html_with};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/media", web::post().to(upload))
        .route("/media/{id:[0-9]+}/file", web::get().to(file));
}

/// For gateways, who are not signed in.
pub fn public(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/media/{token}")
            .route(web::get().to(linked))
            .route(web::head().to(linked)),
    );
}

/// A file as pages name it; prints itself as it stands in a chat.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "media/shown.html")]
pub struct Named {
    pub id: MediaId,
    pub kind: &'static str,
    pub name: String,
    /// "PDF · 1.2 MB"
    pub detail: String,
    pub href: String,
}

impl HtmlSafe for Named {}

impl Named {
    pub fn of(shell: &Shell, media: &Media) -> Self {
        let ending = media.file_name.rsplit('.').next().unwrap_or_default();
        Self {
            id: media.id,
            kind: media.kind().as_str(),
            name: media.file_name.clone(),
            detail: format!(
                "{} · {}",
                ending.to_uppercase(),
                size(shell, media.length())
            ),
            href: format!("/media/{}/file", media.id),
        }
    }

    pub fn icon(&self) -> &'static str {
        match self.kind {
            "image" => "photo",
            "video" => "video",
            "voice" => "volume",
            _ => "file-text",
        }
    }
}

/// The file with this id, as text; nothing where there is none.
pub async fn named(
    conn: &mut AsyncPgConnection,
    shell: &Shell,
    id: Option<MediaId>,
) -> Result<Option<Named>> {
    let Some(id) = id else { return Ok(None) };
    match query::find(conn, id).await {
        Ok(media) => Ok(Some(Named::of(shell, &media))),
        Err(diesel::result::Error::NotFound) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// "340 kB", "1.2 MB"
pub fn size(shell: &Shell, bytes: u64) -> String {
    if bytes < 1_000_000 {
        return format!("{} kB", bytes.div_ceil(1000));
    }
    let tenths = bytes / 100_000;
    let comma = if shell.lang == Lang::Id { ',' } else { '.' };
    format!("{}{comma}{} MB", tenths / 10, tenths % 10)
}

/// The part of a form that holds a file: what is there, and where another goes.
#[derive(Debug, Clone, Template)]
#[template(path = "media/field.html")]
pub struct FileField {
    pub shell: Shell,
    pub file: Option<Named>,
    pub errors: FieldErrors,
}

impl HtmlSafe for FileField {}

impl FileField {
    /// What a file dialog offers.
    fn accept(&self) -> String {
        let endings = kinds::TYPES.iter().flat_map(|one| one.endings);
        let endings: Vec<String> = endings.map(|ending| format!(".{ending}")).collect();
        endings.join(",")
    }

    /// "Image: JPEG, PNG, at most 5 MB ..."
    fn limits(&self) -> String {
        let most = Kind::ALL.map(|kind| kinds::most_mb("waha", kind).to_string());
        self.shell.tf("media.limits", &most)
    }
}

/// A file as soon as it is chosen; the form is saved later.
async fn upload(visit: Visit, payload: web::Payload) -> WebResult {
    let filled = multipart::read(&visit, payload).await?;
    let shell = Shell {
        csrf: company_token(&visit.session, visit.company)?,
        ..Shell::signed_out(visit.lang(), visit.app.clock.now())
    };
    let mut field = FileField {
        shell,
        file: None,
        errors: FieldErrors::default(),
    };
    let kept = match filled.file {
        None => Err(Error::invalid("file", "Choose a file first.")),
        Some(Err(error)) => Err(error),
        Some(Ok(received)) => media::keep(&visit.app, visit.company, visit.user, received).await,
    };
    match kept {
        Ok(kept) => {
            field.file = Some(Named::of(&field.shell, &kept));
            Ok(html_with(StatusCode::OK, field))
        }
        Err(Error::Invalid(errors)) => {
            field.errors = errors;
            Ok(html_with(StatusCode::UNPROCESSABLE_ENTITY, field))
        }
        Err(other) => Err(other.into()),
    }
}

async fn file(visit: Visit, id: web::Path<i64>) -> WebResult {
    let mut conn = visit.conn().await?;
    let media = query::find(&mut conn, MediaId(*id)).await?;
    drop(conn);
    let shown = matches!(media.kind(), Kind::Image | Kind::Video | Kind::Voice);
    Ok(answer(&visit.app, &visit.request, &Served::of(&media), shown).await?)
}

async fn linked(
    request: HttpRequest,
    token: web::Path<String>,
    app: web::Data<App>,
) -> HttpResponse {
    let found = async {
        let mut conn = app.db.system().await?;
        let media = links::follow(&mut conn, &token.replace('\0', "")).await?;
        drop(conn);
        answer(&app, &request, &Served::of(&media), false).await
    };
    match found.await {
        Ok(answer) => answer,
        Err(Error::NotFound) => HttpResponse::NotFound()
            .content_type("text/plain; charset=utf-8")
            .body("There is no such file, or its address has ended."),
        Err(error) => {
            tracing::error!("serving a file: {error:?}");
            HttpResponse::ServiceUnavailable()
                .content_type("text/plain; charset=utf-8")
                .body("The file cannot be read just now.")
        }
    }
}

/// A file of the storage as it is served.
pub struct Served {
    pub key: String,
    pub mime: String,
    pub name: String,
    /// Bytes.
    pub length: u64,
}

impl Served {
    fn of(media: &Media) -> Self {
        Self {
            key: media.storage_key.clone(),
            mime: media.mime.clone(),
            name: media.file_name.clone(),
            length: media.length(),
        }
    }
}

/// The file or the asked stretch of it, streamed.
pub async fn answer(
    app: &App,
    request: &HttpRequest,
    file: &Served,
    shown: bool,
) -> Result<HttpResponse> {
    let length = file.length;
    let asked = request.headers().get(RANGE);
    let range = match asked.and_then(|range| range.to_str().ok()) {
        Some(range) => wanted(range, length),
        None => Wanted::All,
    };
    let (from, to) = match range {
        Wanted::All => (0, length),
        Wanted::Part(from, to) => (from, to),
        Wanted::Nothing => {
            return Ok(HttpResponse::RangeNotSatisfiable()
                .insert_header((CONTENT_RANGE, format!("bytes */{length}")))
                .finish());
        }
    };
    let mut answer = HttpResponse::Ok();
    if let Wanted::Part(..) = range {
        answer.status(StatusCode::PARTIAL_CONTENT);
        answer.insert_header((CONTENT_RANGE, format!("bytes {from}-{}/{length}", to - 1)));
    }
    answer
        .insert_header((CONTENT_TYPE, content_type(&file.mime)))
        .insert_header((CONTENT_DISPOSITION, disposition(&file.name, shown)))
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox; frame-ancestors 'none'",
        ))
        .insert_header((CACHE_CONTROL, "private, max-age=600"))
        .insert_header((ACCEPT_RANGES, "bytes"))
        // Packed already, and its length is promised.
        .insert_header((CONTENT_ENCODING, "identity"));
    if request.method() == Method::HEAD {
        let nothing = futures_util::stream::empty::<Result<web::Bytes, std::io::Error>>();
        return Ok(answer.body(SizedStream::new(to - from, nothing)));
    }
    let bytes = app
        .storage
        .stream(&file.key, from..to)
        .await
        .map_err(anyhow::Error::new)?;
    Ok(answer.body(SizedStream::new(to - from, bytes)))
}

fn content_type(mime: &str) -> String {
    if mime == "text/plain" {
        "text/plain; charset=utf-8".to_owned()
    } else {
        mime.to_owned()
    }
}

/// Shown in its place, or saved under its name.
fn disposition(name: &str, shown: bool) -> ContentDisposition {
    let name = ExtendedValue {
        charset: Charset::Ext("UTF-8".to_owned()),
        language_tag: None,
        value: name.as_bytes().to_vec(),
    };
    ContentDisposition {
        disposition: if shown {
            DispositionType::Inline
        } else {
            DispositionType::Attachment
        },
        parameters: vec![DispositionParam::FilenameExt(name)],
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// From, and up to but without.
    Part(u64, u64),
    Nothing,
}

/// One stretch; several at once are answered with the whole, as may be done.
fn wanted(range: &str, length: u64) -> Wanted {
    let Some((from, to)) = range
        .strip_prefix("bytes=")
        .filter(|range| !range.contains(','))
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Wanted::All;
    };
    match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), _) if from >= length => Wanted::Nothing,
        (Ok(from), Ok(to)) if to >= from => Wanted::Part(from, to.saturating_add(1).min(length)),
        (Ok(from), Err(_)) if to.is_empty() => Wanted::Part(from, length),
        (Err(_), Ok(0)) if from.is_empty() => Wanted::Nothing,
        (Err(_), Ok(last)) if from.is_empty() => Wanted::Part(length.saturating_sub(last), length),
        _ => Wanted::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_stretch_within_the_file_or_no_range() {
        assert_eq!(wanted("bytes=0-0", 10), Wanted::Part(0, 1));
        assert_eq!(wanted("bytes=4-", 10), Wanted::Part(4, 10));
        assert_eq!(wanted("bytes=-3", 10), Wanted::Part(7, 10));
        assert_eq!(wanted("bytes=-30", 10), Wanted::Part(0, 10));
        assert_eq!(wanted("bytes=2-999", 10), Wanted::Part(2, 10));
        assert_eq!(wanted("bytes=10-", 10), Wanted::Nothing);
        assert_eq!(wanted("bytes=-0", 10), Wanted::Nothing);
        for whole in [
            "bytes=5-2",
            "bytes=0-1,4-5",
            "lines=1-2",
            "bytes=x-y",
            "bytes=-",
        ] {
            assert_eq!(wanted(whole, 10), Wanted::All, "{whole}");
        }
    }
}
