//! Importing recipients from a file: upload, columns, test, progress, result.
//!
//! Invariant: an import is one address, which shows what comes next for it.

mod pages;
mod result;
mod undo;
mod upload;

use actix_multipart::Multipart;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, web};
use futures_util::TryStreamExt as _;

use crate::error::{Error, FieldErrors, Result};
use crate::ids::{ImportId, ListId};
use crate::imports::list::LIST;
use crate::imports::{self, StageInput, Task, download, mapping, query, work};
use crate::text::country;
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::list::{Empty, ListView};
use crate::web::page::{Action, Menu, html, html_with};
use crate::web::table::{self, Table};
use crate::web::visit::Visit;
use crate::{companies, lists, mailings};

use pages::{ColumnsPage, UploadPage};
use result::ResultPage;

/// Rejected rows on the result's page; the file has all.
const SHOWN: i64 = 50;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/imports", web::get().to(list))
        .route("/imports/new", web::get().to(new))
        .route("/imports", web::post().to(create))
        .route("/imports/{id:[0-9]+}", web::get().to(show))
        .route(
            "/imports/{id:[0-9]+}/progress",
            web::get().to(result::fragment),
        )
        .route("/imports/{id:[0-9]+}/run", web::post().to(run))
        .route("/imports/{id:[0-9]+}/test", web::post().to(test))
        .route("/imports/{id:[0-9]+}/sheet", web::post().to(sheet))
        .route("/imports/{id:[0-9]+}/resume", web::post().to(resume))
        .route("/imports/{id:[0-9]+}/cancel", web::post().to(cancel))
        .route("/imports/{id:[0-9]+}/undo", web::get().to(undo::question))
        .route("/imports/{id:[0-9]+}/undo", web::post().to(undo::run))
        .route(
            "/imports/{id:[0-9]+}/rejected.csv",
            web::get().to(rejected_rows),
        );
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
    let staged: Result<HttpResponse> = async {
        let looked = imports::look_at(&visit.app.config.data_dir, sent.file?, &sent.input).await?;
        let mut conn = visit.conn().await?;
        if let Some(first) = visit.pressed_before(&mut conn).await? {
            return Ok(first);
        }
        let (company, user) = (visit.company, visit.user);
        let name = &sent.file_name;
        let id = imports::stage(&mut conn, company, user, name, looked, &sent.input).await?;
        visit.goes_on(conn, format!("/imports/{id}")).await
    }
    .await;
    match staged {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid(errors)) => upload_page(&visit, sent.input, errors).await,
        Err(other) => Err(other.into()),
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Asked {
    /// The columns as they are guessed, not as they were filled in the last time.
    guess: Option<String>,
}

async fn show(visit: Visit, id: web::Path<i64>, asked: web::Query<Asked>) -> WebResult {
    let id = ImportId(*id);
    let mut guessed = None;
    if asked.guess.is_some() {
        let mut conn = visit.conn().await?;
        let options = query::find(&mut conn, id).await?.options()?;
        let fields = mapping::guess(&options.columns, &options.country);
        guessed = Some(fields.iter().map(ToString::to_string).collect());
    }
    render(&visit, id, guessed, FieldErrors::default()).await
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
        imports::require_own(&import, visit)?;
        let status = if errors.is_empty() {
            StatusCode::OK
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        let mapping = mapping.filter(|chosen| chosen.len() == options.columns.len());
        let mapping = mapping.unwrap_or_else(|| options.mapping.clone());
        let page = ColumnsPage {
            shell,
            tested: import.tested(),
            attributes: mailings::query::attribute_keys(&mut conn).await?,
            import,
            options,
            mapping,
            lists: joined,
            errors,
        };
        return Ok(html_with(status, page));
    }
    let is_own = imports::require_rows(&import, visit).is_ok();
    let mut rejected = Vec::new();
    if is_own {
        rejected = query::rejected(&mut conn, id, 0, SHOWN).await?;
    }
    let can_undo = undo::is_offered(visit, &mut conn, id).await?;
    let is_old = query::old_rejected_file(&mut conn, id).await?.is_some();
    Ok(html(ResultPage {
        standing: result::Standing::new(&shell, &import),
        shell,
        counts: import.counts(),
        can_undo,
        is_own,
        has_file: is_own && (is_old || !rejected.is_empty()),
        rejected,
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
struct ColumnsInput {
    /// A field a column, in their order.
    mapping: Vec<String>,
    /// The names of new attributes, beside them.
    attribute: Vec<String>,
}

impl ColumnsInput {
    /// The fields; a new attribute is called as somebody wrote it.
    fn fields(self) -> Vec<String> {
        let mut names = self.attribute.into_iter();
        let field = |field: String| {
            let name = names.next().unwrap_or_default();
            if field == pages::NEW_ATTRIBUTE {
                format!("attributes.{}", mapping::key(&name))
            } else {
                field
            }
        };
        self.mapping.into_iter().map(field).collect()
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct SheetInput {
    sheet: String,
}

/// Another sheet of the workbook in the place of the one that was read.
async fn sheet(visit: Visit, id: web::Path<i64>, Posted(input): Posted<SheetInput>) -> WebResult {
    let id = ImportId(*id);
    match imports::read_sheet(&visit.app, &visit, id, &input.sheet).await {
        Ok(()) => Ok(see_other(format!("/imports/{id}"))),
        Err(Error::Invalid(errors)) => render(&visit, id, None, errors).await,
        Err(other) => Err(other.into()),
    }
}

async fn run(visit: Visit, id: web::Path<i64>, Posted(input): Posted<ColumnsInput>) -> WebResult {
    start(&visit, ImportId(*id), Task::Import, input.fields()).await
}

async fn test(visit: Visit, id: web::Path<i64>, Posted(input): Posted<ColumnsInput>) -> WebResult {
    start(&visit, ImportId(*id), Task::Test, input.fields()).await
}

async fn start(visit: &Visit, id: ImportId, task: Task, mapping: Vec<String>) -> WebResult {
    let mut conn = visit.conn().await?;
    match imports::start(&mut conn, visit, id, task, &mapping).await {
        Ok(_) => {}
        Err(Error::Invalid(errors)) => {
            drop(conn);
            return render(visit, id, Some(mapping), errors).await;
        }
        Err(other) => return Err(other.into()),
    }
    let is_small = query::find(&mut conn, id).await?.counts().rows <= work::SMALL;
    conn.commit().await?;
    work_on(visit, id, is_small).await?;
    Ok(see_other(format!("/imports/{id}")))
}

/// A small file at once; others beside the requests. A page that is closed meanwhile stops neither.
async fn work_on(visit: &Visit, id: ImportId, is_small: bool) -> Result<()> {
    if is_small {
        let app = visit.app.clone();
        tokio::spawn(async move { work::one(&app, id).await })
            .await
            .map_err(anyhow::Error::from)??;
    } else {
        visit.app.wake.imports.notify_one();
    }
    Ok(())
}

async fn resume(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = ImportId(*id);
    let mut conn = visit.conn().await?;
    imports::resume(&mut conn, &visit, id).await?;
    conn.commit().await?;
    work_on(&visit, id, false).await?;
    Ok(see_other(format!("/imports/{id}")))
}

async fn cancel(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let id = ImportId(*id);
    let mut conn = visit.conn().await?;
    let was_draft = query::find(&mut conn, id).await?.is_draft();
    let canceled = imports::cancel(&mut conn, &visit, id).await?;
    conn.commit().await?;
    if canceled && was_draft {
        visit.tell("imports.canceled");
        return Ok(see_other("/imports"));
    }
    Ok(see_other(format!("/imports/{id}")))
}

async fn rejected_rows(visit: Visit, id: web::Path<i64>) -> WebResult {
    let id = ImportId(*id);
    let parts = download::rejected_file(&visit.app.db, &visit, id).await?;
    let parts = parts.map_ok(web::Bytes::from);
    let name = format!("attachment; filename=\"import-{id}-rejected.csv\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, name))
        .streaming(parts.map_err(|error| std::io::Error::other(error.to_string()))))
}
