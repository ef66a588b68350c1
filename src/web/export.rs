//! Everything a search found as a CSV file, in the list's order and with its columns.
//!
//! Invariants: for Managers; no cell is a formula to a spreadsheet; the file is written while it
//! is read, so that a million rows cost the memory of a thousand.

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use futures_util::stream;

use crate::app::App;
use crate::auth::Role;
use crate::error::{Error, Result};
use crate::i18n::{self, Lang};
use crate::ids::CompanyId;
use crate::imports::rejected::safe;
use crate::search::{self, Column, Kind, ListQuery, ListSpec, Row};
use crate::text::country;
use crate::web::badges;
use crate::web::error::WebResult;
use crate::web::visit::Visit;
use crate::{contacts, imports, incoming, lists, mailings, outgoing};

/// Rows read at a time.
const CHUNK: i64 = 1_000;
/// Between the values of a cell with several.
const SEVERAL: char = '\u{1f}';

/// The lists that can be taken out, by their address.
static LISTS: [(&str, &ListSpec); 7] = [
    ("/contacts", &contacts::list::LIST),
    ("/lists", &lists::list::LIST),
    ("/mailings", &mailings::list::LIST),
    ("/logs", &mailings::logs_list::LIST),
    ("/incoming", &incoming::list::LIST),
    ("/outgoing", &outgoing::list::LIST),
    ("/imports", &imports::list::LIST),
];

pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/export.csv", web::get().to(file));
}

/// Whether the list at this address can be taken out.
pub fn has(list: &str) -> bool {
    LISTS.iter().any(|(address, _)| *address == list)
}

#[derive(Debug, serde::Deserialize)]
pub struct Asked {
    #[serde(default = "first_list")]
    list: String,
}

fn first_list() -> String {
    "/contacts".to_owned()
}

async fn file(visit: Visit, asked: web::Query<Asked>) -> WebResult {
    visit.require(Role::Manager)?;
    let known = LISTS.iter().find(|(address, _)| *address == asked.list);
    let (address, spec) = *known.ok_or(Error::NotFound)?;
    let query = ListQuery::parse(visit.request.query_string(), spec)
        .asked_by(visit.user.0, visit.zone)
        .from_the_start();
    // A GET writes nothing, so that who took what stands in the log.
    tracing::info!(
        user = visit.user.0,
        company = visit.company.0,
        list = address,
        "a list is exported"
    );
    let going = Going {
        app: visit.app.get_ref().clone(),
        company: visit.company,
        lang: visit.lang(),
        zone: visit.zone,
        columns: query.exported(),
        query,
        is_first: true,
    };
    let name = format!(
        "attachment; filename=\"{}.csv\"",
        address.trim_start_matches('/')
    );
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/csv; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, name))
        .streaming(stream::unfold(Some(going), step)))
}

/// A file that is being written.
struct Going {
    app: App,
    company: CompanyId,
    lang: Lang,
    zone: Tz,
    query: ListQuery,
    columns: Vec<(usize, &'static Column)>,
    is_first: bool,
}

/// The next piece of the file; a fault breaks it off, so that nobody takes half a file for a whole one.
async fn step(going: Option<Going>) -> Option<(Result<Bytes, std::io::Error>, Option<Going>)> {
    let mut going = going?;
    match going.piece().await {
        Ok((piece, more)) => Some((Ok(piece), more.then_some(going))),
        Err(error) => {
            tracing::error!("writing an export: {error:?}");
            Some((Err(std::io::Error::other("the export broke off")), None))
        }
    }
}

impl Going {
    /// Some rows, after the heads where they are the first; whether more may follow.
    async fn piece(&mut self) -> Result<(Bytes, bool)> {
        let mut conn = self.app.db.company(self.company).await?;
        let (rows, rest) = search::some(&mut conn, &self.query, CHUNK).await?;
        conn.commit().await?;
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(Vec::new());
        let broken = |error: csv::Error| anyhow::anyhow!("writing a row: {error}");
        if self.is_first {
            writer.write_record(self.heads()).map_err(broken)?;
        }
        for row in &rows {
            writer.write_record(self.cells(row)).map_err(broken)?;
        }
        let written = writer
            .into_inner()
            .map_err(|error| anyhow::anyhow!("writing rows: {error}"))?;
        // Spreadsheets read UTF-8 by this mark.
        let mut piece = if self.is_first {
            "\u{feff}".as_bytes().to_vec()
        } else {
            Vec::new()
        };
        piece.extend(written);
        self.is_first = false;
        let more = rest.is_some();
        self.query.after = rest;
        Ok((Bytes::from(piece), more))
    }

    fn heads(&self) -> Vec<String> {
        let head = |column: &Column| {
            let label = i18n::t(self.lang, column.label);
            match column.kind {
                Kind::Date => format!("{label} ({})", self.zone.name()),
                _ => label.to_owned(),
            }
        };
        self.columns
            .iter()
            .map(|(_, column)| head(column))
            .collect()
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        self.columns
            .iter()
            .map(|(at, column)| {
                let value = row.cells.get(*at).and_then(Option::as_deref);
                safe(&self.written(column.kind, value.unwrap_or_default()))
            })
            .collect()
    }

    fn written(&self, kind: Kind, value: &str) -> String {
        if value.is_empty() {
            return String::new();
        }
        match kind {
            Kind::Sentence => i18n::say(self.lang, value).into_owned(),
            Kind::Date => DateTime::parse_from_rfc3339(value)
                .map(|at| at.with_timezone(&Utc).with_timezone(&self.zone))
                .map_or_else(
                    |_| value.to_owned(),
                    |at| at.format("%Y-%m-%d %H:%M:%S").to_string(),
                ),
            Kind::Badge(vocabulary) => badges::word(self.lang, vocabulary, value),
            Kind::Tags => value.replace(SEVERAL, ", "),
            Kind::Meter(_) => {
                let mut parts = value.split('/').map(|part| part.parse().unwrap_or(0));
                let (part, whole) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
                i18n::percent(self.lang, part, whole, false)
            }
            Kind::Yes => match value {
                "true" | "t" => i18n::t(self.lang, "shell.yes").to_owned(),
                _ => i18n::t(self.lang, "shell.no").to_owned(),
            },
            Kind::Country => country::named(self.lang, value).to_owned(),
            Kind::Text | Kind::Strong | Kind::Number | Kind::Person | Kind::Phone => {
                value.to_owned()
            }
        }
    }
}
