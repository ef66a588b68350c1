//! Importing recipients from a file: upload, columns, result.
//!
//! Invariant: an import is one address, which shows what comes next for it.

mod pages;
mod upload;

use actix_multipart::Multipart;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, web};

use crate::error::{Error, FieldErrors, Result};
use crate::ids::{ImportId, ListId};
use crate::imports::list::LIST;
use crate::imports::{self, StageInput, apply, query, rejected};
use crate::text::country;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::list::{Empty, ListView};
use crate::web::page::{Action, Menu, html, html_with};
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::{companies, lists};

use pages::{ColumnsPage, ResultPage, UploadPage};

/// Rejected rows on the result's page; the file has all.
const SHOWN: usize = 50;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/imports", web::get().to(list))
        .route("/imports/new", web::get().to(new))
        .route("/imports", web::post().to(create))
        .route("/imports/{id}", web::get().to(show))
        .route("/imports/{id}/run", web::post().to(run))
        .route("/imports/{id}/cancel", web::post().to(cancel))
        .route("/imports/{id}/rejected.csv", web::get().to(rejected_rows));
}

async fn list(visit: Visit) -> WebResult {
    let mut conn = visit.conn().await?;
    let found = table::load(&mut conn, &LIST, &visit, None).await?;
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    let empty = Empty {
        icon: "file-spreadsheet",
        title: "imports.none",
        text: "imports.none_text",
        actions: vec![Action::link(shell.t("imports.new"), "/imports/new").icon("upload")],
    };
    let table = Table::new(shell, "imports.title", "/imports/", found);
    Ok(ListView::new(table, "/imports", empty)
        .creating("/imports/new")
        .answer())
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Target {
    /// The list the people go to.
    list: Option<i64>,
}

async fn new(visit: Visit, target: web::Query<Target>) -> WebResult {
    let input = StageInput {
        on_duplicate: "update".to_owned(),
        list_ids: target.list.into_iter().collect(),
        ..StageInput::default()
    };
    upload_page(&visit, input, FieldErrors::default()).await
}

async fn upload_page(visit: &Visit, mut input: StageInput, errors: FieldErrors) -> WebResult {
    let mut conn = visit.conn().await?;
    if input.country.is_empty() {
        let company = companies::find(&mut conn, visit.company).await?;
        input.country = company.country;
    }
    let status = if errors.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let page = UploadPage {
        shell: visit.shell(Menu::Contacts, &mut conn).await?,
        lists: lists::choices(&mut conn)
            .await?
            .into_iter()
            .map(|list| (list.id.0, list.name))
            .collect(),
        countries: country::ALL,
        input,
        errors,
    };
    Ok(html_with(status, page))
}

async fn create(visit: Visit, form: Multipart) -> WebResult {
    let sent = upload::read(&visit, form).await?;
    let staged: Result<ImportId> = async {
        let bytes = sent.file?;
        let mut conn = visit.conn().await?;
        let (company, user) = (visit.company, visit.user);
        let name = &sent.file_name;
        let id = imports::stage(&mut conn, company, user, name, bytes, &sent.input).await?;
        conn.commit().await?;
        Ok(id)
    }
    .await;
    match staged {
        Ok(id) => Ok(see_other(format!("/imports/{id}"))),
        Err(Error::Invalid(errors)) => upload_page(&visit, sent.input, errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    render(&visit, ImportId(*id), None, FieldErrors::default()).await
}

/// The import as it stands; `mapping` is what was chosen, when it had faults.
async fn render(
    visit: &Visit,
    id: ImportId,
    mapping: Option<Vec<String>>,
    errors: FieldErrors,
) -> WebResult {
    let mut conn = visit.conn().await?;
    let import = query::find(&mut conn, id).await?;
    let options = import.options()?;
    let joined = joined(&lists::choices(&mut conn).await?, &options.list_ids);
    let shell = visit.shell(Menu::Contacts, &mut conn).await?;
    if import.is_draft() {
        let status = if errors.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        let mapping = mapping.filter(|chosen| chosen.len() == options.columns.len());
        let mapping = mapping.unwrap_or_else(|| options.mapping.clone());
        let page = ColumnsPage {
            shell,
            import,
            options,
            mapping,
            lists: joined,
            errors,
        };
        return Ok(html_with(status, page));
    }
    let file = query::rejected_file(&mut conn, id).await?;
    let rows = file.map(|file| rejected::first(&file, options.format.separator, SHOWN));
    Ok(html(ResultPage {
        shell,
        counts: import.counts(),
        rejected: pages::rejected_rows(rows.unwrap_or_default(), &options.notes.rejected_lines),
        import,
        options,
        lists: joined,
    }))
}

/// The chosen lists with their names.
fn joined(all: &[lists::Choice], chosen: &[ListId]) -> Vec<(ListId, String)> {
    all.iter()
        .filter(|list| chosen.contains(&list.id))
        .map(|list| (list.id, list.name.clone()))
        .collect()
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct RunInput {
    /// A field a column, in their order.
    mapping: Vec<String>,
}

async fn run(visit: Visit, id: web::Path<i64>, Posted(input): Posted<RunInput>) -> WebResult {
    let id = ImportId(*id);
    let (db, company, user) = (visit.app.db.clone(), visit.company, visit.user);
    let mapping = input.mapping.clone();
    // A page that is closed meanwhile does not stop it.
    let running = tokio::spawn(async move { apply::run(&db, company, user, id, &mapping).await });
    match running.await.map_err(anyhow::Error::from)? {
        Ok(()) => Ok(see_other(format!("/imports/{id}"))),
        Err(Error::Invalid(errors)) => render(&visit, id, Some(input.mapping), errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn cancel(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = ImportId(*id);
    let mut conn = visit.conn().await?;
    let canceled = imports::cancel(&mut conn, visit.company, visit.user, id).await?;
    conn.commit().await?;
    if canceled {
        visit.tell("imports.canceled");
        return Ok(see_other("/imports"));
    }
    Ok(see_other(format!("/imports/{id}")))
}

async fn rejected_rows(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = ImportId(*id);
    let mut conn = visit.conn().await?;
    let file = query::rejected_file(&mut conn, id).await?;
    let file = file.ok_or(Error::NotFound)?;
    let name = format!("attachment; filename=\"import-{id}-rejected.csv\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, name))
        // The mark tells spreadsheets that this is UTF-8.
        .body(format!("\u{feff}{file}")))
}
