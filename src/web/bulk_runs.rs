//! One action over everything a search found: the question with its figures, the way there, the result.
//!
//! Invariants: nothing is done before somebody confirmed how many; a run is seen by who asked for it and
//! by Managers of the company.

use actix_web::{HttpResponse, web};
use askama::Template;
use diesel_async::AsyncPgConnection;

use crate::auth::Role;
use crate::bulk::{self, Action, Run, Wanted};
use crate::error::{Error, Result};
use crate::ids::BulkRunId;
use crate::search::{Extra, ListQuery, ListSpec};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::list::Selected;
use crate::web::page::{Menu, Shell, html};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/bulk/{id:[0-9]+}", web::get().to(show))
        .route("/bulk/{id:[0-9]+}/progress", web::get().to(progress))
        .route("/bulk/{id:[0-9]+}/start", web::post().to(start))
        .route("/bulk/{id:[0-9]+}/cancel", web::post().to(cancel));
}

#[derive(Template)]
#[template(path = "bulk/show.html")]
struct RunPage {
    shell: Shell,
    run: Run,
    left_out: Vec<(String, i64)>,
}

#[derive(Template)]
#[template(path = "bulk/progress.html")]
struct Progress {
    shell: Shell,
    run: Run,
    left_out: Vec<(String, i64)>,
}

/// The question, and its answer: "Opt out 12,345 people?".
fn words(shell: &Shell, run: &Run, part: &str) -> String {
    let unit = match Action::parse(&run.action) {
        Some(Action::MarkRead | Action::MarkUnread) => "bulk.messages",
        Some(Action::ArchiveMailings) => "bulk.mailings",
        _ => "bulk.people",
    };
    let count = shell.tn(unit, run.total);
    shell.tf(
        &format!("bulk.{part}.{}", run.action),
        &[count, run.argument_name.clone()],
    )
}

impl RunPage {
    fn title(&self) -> String {
        words(&self.shell, &self.run, "title")
    }

    fn text(&self) -> String {
        words(&self.shell, &self.run, "text")
    }

    fn cancel_href(&self) -> String {
        format!("/bulk/{}/cancel", self.run.id)
    }

    fn progress(&self) -> Progress {
        Progress {
            shell: self.shell.clone(),
            run: self.run.clone(),
            left_out: self.left_out.clone(),
        }
    }
}

impl askama::filters::HtmlSafe for Progress {}

impl Progress {
    /// What stands over the figures.
    fn sentence(&self) -> String {
        let part = format!("bulk.state.{}", self.run.state);
        self.shell.t(&part)
    }

    /// Per cent of the bar.
    fn share(&self) -> i64 {
        if self.run.total == 0 {
            100
        } else {
            self.run.position * 100 / self.run.total
        }
    }

    fn reason(&self, reason: &str) -> String {
        self.shell.t(&format!("bulk.left_out.{reason}"))
    }

    /// Nothing was done with these.
    fn rest(&self) -> i64 {
        self.run.total - self.run.position
    }
}

/// What a bulk button asks of everything its search found: the question before it is done.
pub async fn ask(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    (spec, extra): (&'static ListSpec, Extra),
    selected: &Selected,
    wanted: Wanted<'_>,
) -> Result<BulkRunId> {
    let query = ListQuery::parse(&selected.selection, spec).asked_by(visit.user.0, visit.zone);
    let run = bulk::ask(
        conn,
        visit.company,
        visit.user,
        &wanted,
        (spec, &query, extra),
    )
    .await?;
    if run.total == 0 {
        return Err(Error::invalid("ids", visit.t("list.nothing_selected")));
    }
    Ok(run.id)
}

/// The run, for somebody who may see it.
async fn own(visit: &Visit, conn: &mut AsyncPgConnection, id: i64) -> Result<Run> {
    let run = bulk::find(conn, BulkRunId(id)).await?;
    if run.user_id == visit.user || visit.role >= Role::Manager {
        Ok(run)
    } else {
        Err(Error::NotFound)
    }
}

async fn page(visit: &Visit, id: i64) -> Result<RunPage> {
    let mut conn = visit.conn().await?;
    let run = own(visit, &mut conn, id).await?;
    let mut shell = visit.shell(Menu::Contacts, &mut conn).await?;
    // The page itself says how far it is.
    let here = format!("/bulk/{}", run.id);
    shell
        .banners
        .retain(|banner| banner.actions.iter().all(|action| action.href != here));
    Ok(RunPage {
        left_out: bulk::left_out(&mut conn, run.id).await?,
        shell,
        run,
    })
}

async fn show(visit: Visit, id: web::Path<i64>) -> WebResult {
    Ok(html(page(&visit, *id).await?))
}

/// What the page asks for while the run is under way.
async fn progress(visit: Visit, id: web::Path<i64>) -> WebResult {
    let mut conn = visit.conn().await?;
    let run = own(&visit, &mut conn, *id).await?;
    let left_out = bulk::left_out(&mut conn, run.id).await?;
    let shell = Shell {
        zone: visit.zone,
        ..Shell::signed_out(visit.lang(), visit.app.clock.now())
    };
    let settled = !run.is_running();
    let mut answer = html(Progress {
        shell,
        run,
        left_out,
    });
    if settled {
        let name = actix_web::http::header::HeaderName::from_static("x-settled");
        let value = actix_web::http::header::HeaderValue::from_static("1");
        answer.headers_mut().insert(name, value);
    }
    Ok(answer)
}

async fn start(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let mut conn = visit.conn().await?;
    let run = own(&visit, &mut conn, *id).await?;
    bulk::start(&mut conn, run.id).await?;
    conn.commit().await?;
    let here = format!("/bulk/{}", run.id);
    if run.total > bulk::AT_ONCE {
        visit.app.wake.bulk.notify_one();
        return Ok(see_other(here));
    }
    bulk::advance(&visit.app).await?;
    Ok(finished(&visit, run.id, here).await?)
}

/// Back to the list when all went well at once, else to what did not.
async fn finished(visit: &Visit, id: BulkRunId, here: String) -> Result<HttpResponse> {
    let mut conn = visit.conn().await?;
    let run = bulk::find(&mut conn, id).await?;
    if run.state != "done" || run.left_out() > 0 {
        return Ok(see_other(here));
    }
    visit.tell(&visit.tn("bulk.told", run.changed));
    Ok(see_other(run.back))
}

async fn cancel(visit: Visit, id: web::Path<i64>, Posted(_): Posted<Pressed>) -> WebResult {
    let mut conn = visit.conn().await?;
    let run = own(&visit, &mut conn, *id).await?;
    bulk::cancel(&mut conn, run.id).await?;
    conn.commit().await?;
    Ok(see_other(format!("/bulk/{}", run.id)))
}
