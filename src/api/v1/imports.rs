//! `/api/v1/imports`
//!
//! Invariant: the answer's rows are those that are done, so that created + updated + skipped + rejected
//! are always the rows.

use std::collections::BTreeMap;
use std::fs::File;

use actix_multipart::{Field, Multipart};
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::super::error::{ApiResult, parse};
use super::super::idempotency::{Answer, once};
use super::super::token::ApiCaller;
use super::Once;
use crate::app::App;
use crate::companies;
use crate::contacts::bulk::OnDuplicate;
use crate::error::{Error, Result};
use crate::ids::ImportId;
use crate::imports::read::ColumnSample;
use crate::imports::spool::Spool;
use crate::imports::{self, StageInput, Task, download, query};

/// Of what is not the file.
const TEXT_MAX: usize = 64 * 1024;

/// What happens to people who are known already.
#[derive(Debug, Default, Clone, Copy, serde::Serialize, serde::Deserialize, ToSchema)]
#[schema(as = ImportMode)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Who is known stays as they are.
    #[default]
    Insert,
    FillBlanks,
    Update,
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize, ToSchema)]
#[schema(as = ImportOptions)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Lists that everybody of the file joins.
    #[schema(example = json!([1]))]
    list_ids: Vec<i64>,
    /// Numbers without a country code are read as numbers of this one; absent: the company's.
    #[schema(example = "ID")]
    country: Option<String>,
    mode: Mode,
    tags: Vec<String>,
    /// The field of each column by its name; columns that are not named are not imported.
    #[schema(example = json!({ "Phone": "whatsapp_number", "Town": "attributes.town" }))]
    mapping: Option<BTreeMap<String, String>>,
    /// Whether the first row holds names; absent: guessed.
    header: Option<bool>,
    /// Of a workbook: the name of a sheet, or its number; absent: the first.
    #[schema(example = "Pelanggan")]
    sheet: String,
}

impl Options {
    fn input(&self, country: String) -> StageInput {
        let header = match self.header {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let mode = match self.mode {
            Mode::Insert => OnDuplicate::Skip,
            Mode::FillBlanks => OnDuplicate::FillBlanks,
            Mode::Update => OnDuplicate::Update,
        };
        StageInput {
            country: self.country.clone().unwrap_or(country),
            on_duplicate: mode.key().to_owned(),
            list_ids: self.list_ids.clone(),
            tags: self.tags.join(","),
            header: header.to_owned(),
            sheet: self.sheet.clone(),
            remembers: false,
        }
    }
}

struct Sent {
    options: Vec<u8>,
    file_name: String,
    file: File,
    hash: Vec<u8>,
}

/// The two parts of the form.
#[derive(ToSchema)]
#[schema(as = ImportForm)]
#[expect(dead_code, reason = "describes what receive reads")]
struct Form {
    /// The file: CSV in any usual encoding, or an Excel workbook.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    options: Option<Options>,
}

/// It goes on in the background.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = ImportAccepted)]
pub struct Accepted {
    #[schema(example = 3)]
    id: i64,
}

/// How far an import is; created, updated, skipped and rejected add up to the rows.
#[derive(serde::Serialize, ToSchema)]
#[schema(as = Import)]
pub struct Shown {
    /// `queued`, `running`, `done`, `failed` or `canceled`.
    #[schema(example = "done")]
    state: String,
    #[schema(example = 511)]
    rows: i64,
    #[schema(example = 480)]
    created: i64,
    #[schema(example = 20)]
    updated: i64,
    #[schema(example = 9)]
    skipped: i64,
    #[schema(example = 2)]
    rejected: i64,
    /// The address of a CSV with the original columns and the reason; null: nothing was rejected, or the file is
    /// a colleague's and you are no manager.
    #[schema(example = "/api/v1/imports/3/rejected.csv")]
    rejected_file: Option<String>,
    message: Option<String>,
    /// People whom it made and who were taken back out.
    #[schema(example = 0)]
    undone: i64,
    /// People who have back what it had replaced.
    #[schema(example = 0)]
    restored: i64,
}

/// Import contacts from a file
#[utoipa::path(post, path = "/imports", tag = "Contacts", operation_id = "importContacts", params(Once),
    request_body(content = Form, content_type = "multipart/form-data"), responses((status = 202, description = "Taken; ask for it by its id", body = Accepted)))]
pub async fn create(
    request: HttpRequest,
    caller: ApiCaller,
    form: Multipart,
    app: web::Data<App>,
) -> ApiResult {
    let sent = receive(&app, form).await?;
    let body = [sent.hash.as_slice(), b"\n", sent.options.as_slice()].concat();
    once(&app, &caller, &request, &body, async |conn| {
        let options: Options = if sent.options.is_empty() {
            Options::default()
        } else {
            parse(&sent.options)?
        };
        let country = companies::find(conn, caller.company).await?.country;
        let input = options.input(country);
        let looked = imports::look_at(&app.config.data_dir, sent.file, &input).await?;
        let (company, user) = (caller.company, caller.user);
        let name = &sent.file_name;
        let id = imports::stage(conn, company, user, name, looked, &input).await?;
        let staged = query::find(conn, id).await?.options()?;
        let mapping = match &options.mapping {
            Some(wanted) => by_name(&staged.columns, wanted)?,
            None => staged.mapping,
        };
        imports::start(conn, &caller, id, Task::Import, &mapping).await?;
        Answer::with(StatusCode::ACCEPTED, Accepted { id: id.0 })
    })
    .await
    .inspect(|_| app.wake.imports.notify_one())
}

/// The field of each column; a column without a name goes by its number, from 1.
fn by_name(columns: &[ColumnSample], wanted: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let names: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| match column.header.as_str() {
            "" => (index + 1).to_string(),
            header => header.to_owned(),
        })
        .collect();
    if let Some(strange) = wanted.keys().find(|name| !names.contains(*name)) {
        let short: String = strange.chars().take(60).collect();
        let none = format!("The file has no column “{short}”.");
        return Err(Error::invalid("mapping", none));
    }
    let field = |name: &String| wanted.get(name).cloned();
    Ok(names
        .iter()
        .map(|name| field(name).unwrap_or_else(|| "ignore".to_owned()))
        .collect())
}

async fn receive(app: &App, mut form: Multipart) -> Result<Sent> {
    let mut options = Vec::new();
    let mut file = None;
    while let Some(mut field) = form.try_next().await.map_err(broken_off)? {
        match field.name() {
            Some("options") => options = text(&mut field).await?,
            Some("file") if file.is_none() => {
                let disposition = field.content_disposition();
                let name = disposition.and_then(|one| one.get_filename());
                let name = name.unwrap_or_default().to_owned();
                let mut spool = Spool::open(&app.config.data_dir)?;
                let mut hash = Sha256::new();
                while let Some(chunk) = field.try_next().await.map_err(broken_off)? {
                    hash.update(&chunk);
                    spool.write(&chunk).await?;
                }
                file = Some((name, spool.finish().await?, hash.finalize().to_vec()));
            }
            _ => {
                return Err(Error::invalid(
                    "form",
                    "Send one part called file and one called options.",
                ));
            }
        }
    }
    let (file_name, file, hash) =
        file.ok_or_else(|| Error::invalid("file", "Send the file as the part called file."))?;
    Ok(Sent {
        options,
        file_name,
        file,
        hash,
    })
}

fn broken_off(_: actix_multipart::MultipartError) -> Error {
    Error::invalid(
        "form",
        "The upload broke off before it was complete. Upload the file again.",
    )
}

async fn text(field: &mut Field) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.try_next().await.map_err(broken_off)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TEXT_MAX {
            return Err(Error::invalid("options", "The options are too long."));
        }
    }
    Ok(bytes)
}

/// How far an import is
#[utoipa::path(get, path = "/imports/{id}", tag = "Contacts", operation_id = "import", params(("id" = i64, Path, description = "The import")),
    responses((status = 200, description = "The import", body = Shown)))]
pub async fn show(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let id = ImportId(*id);
    let mut conn = app.db.company(caller.company).await?;
    let import = query::find(&mut conn, id).await?;
    let state = match import.state.as_str() {
        // Nothing was written; in the panel its columns can be changed.
        "draft" if import.message.is_some() => "failed",
        // Of the panel, and not begun.
        "draft" => return Err(Error::NotFound.into()),
        state => state,
    };
    let counts = import.counts();
    let is_own = imports::require_rows(&import, &caller).is_ok();
    let has_file = is_own && !query::rejected(&mut conn, id, 0, 1).await?.is_empty();
    let file = has_file.then(|| format!("/api/v1/imports/{id}/rejected.csv"));
    Ok(HttpResponse::Ok().json(Shown {
        state: state.to_owned(),
        rows: counts.done(),
        created: counts.created,
        updated: counts.updated,
        skipped: counts.skipped,
        rejected: counts.rejected,
        rejected_file: file,
        message: import.message.clone(),
        undone: import.undone,
        restored: import.restored,
    }))
}

/// The rows that were not taken, each with its reason
#[utoipa::path(get, path = "/imports/{id}/rejected.csv", tag = "Contacts", operation_id = "rejectedRows", params(("id" = i64, Path, description = "The import")),
    responses((status = 403, description = "A colleague's file, and you are no manager"), (status = 200, description = "The original columns, then reason", body = String, content_type = "text/csv",
        example = "Phone,Name,reason\n12,Budi,The number is too short.\n")))]
pub async fn rejected(caller: ApiCaller, id: web::Path<i64>, app: web::Data<App>) -> ApiResult {
    let parts = download::rejected_file(&app.db, &caller, ImportId(*id)).await?;
    let parts = parts.map_ok(web::Bytes::from);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .streaming(parts.map_err(|error| std::io::Error::other(error.to_string()))))
}
