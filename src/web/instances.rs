//! The running instances: which, what they do, since when, and whether their clocks are right; and what an
//! administrator unlocks after the database went back in time or a clock jumped.

use actix_web::web;
use askama::Template;

use crate::audit;
use crate::auth::Role;
use crate::check;
use crate::instances::{self, Instance};
use crate::mailings::lock::{self, Held, MayRepeat};
use crate::web::error::WebResult;
use crate::web::form::{Posted, Pressed, see_other};
use crate::web::page::{Menu, Shell, html};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/instances", web::get().to(list))
        .route("/instances/unlock", web::post().to(unlock))
        .route("/instances/clock", web::post().to(clock_is_right));
}

#[derive(Template)]
#[template(path = "instances/list.html")]
struct InstancesPage {
    shell: Shell,
    instances: Vec<Instance>,
    held: Held,
    /// While sending is locked.
    may_repeat: Option<MayRepeat>,
    /// What the database's server is set to and should not be.
    durability: Vec<&'static str>,
}

impl InstancesPage {
    fn role(&self, instance: &Instance) -> String {
        self.shell.t(&format!("instances.role_{}", instance.role))
    }

    /// What happened to the database.
    fn why(&self) -> String {
        let why = self.held.lock_reason.as_deref().unwrap_or("restored");
        self.shell.t(&format!("instances.why_{why}"))
    }

    /// "12 s ahead", "2 min behind", as far as it matters.
    fn clock(&self, instance: &Instance) -> String {
        let seconds = instance.clock_ms / 1000;
        let key = match seconds {
            -1..=1 => return self.shell.t("instances.clock_right"),
            ahead if ahead > 0 => "instances.clock_ahead",
            _ => "instances.clock_behind",
        };
        self.shell.tf(key, &[self.shell.number(seconds.abs())])
    }
}

async fn list(visit: Visit) -> WebResult {
    visit.require(Role::Administrator)?;
    // What may repeat is counted over all companies: it is the installation that is locked.
    let (held, may_repeat, durability) = {
        let mut system = visit.app.db.system().await?;
        let held = lock::held(&mut system).await?;
        let may_repeat = match held.locked_at {
            Some(_) => Some(lock::may_repeat(&mut system).await?),
            None => None,
        };
        // A demo's server forgets at a loss of power, and nothing in it is real.
        let durability = match visit.app.config.demo {
            true => Vec::new(),
            false => check::durability(&mut system).await?,
        };
        (held, may_repeat, durability)
    };
    let mut conn = visit.conn().await?;
    Ok(html(InstancesPage {
        held,
        may_repeat,
        durability,
        instances: instances::all(&mut conn).await?,
        shell: visit.shell(Menu::Technical, &mut conn).await?,
    }))
}

async fn unlock(visit: Visit, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut system = visit.app.db.system().await?;
    lock::unlock(&mut system).await?;
    drop(system);
    noted(&visit, "unlock").await?;
    visit.app.wake.deliver.notify_one();
    visit.tell("instances.unlocked");
    Ok(see_other("/instances"))
}

async fn clock_is_right(visit: Visit, Posted(_): Posted<Pressed>) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut system = visit.app.db.system().await?;
    let waited = lock::clock_is_right(&mut system).await?;
    drop(system);
    if waited {
        noted(&visit, "clock").await?;
        visit.tell("instances.clock_confirmed");
    }
    Ok(see_other("/instances"))
}

/// In the history of the company of whoever did it.
async fn noted(visit: &Visit, action: &str) -> crate::error::Result<()> {
    let mut conn = visit.conn().await?;
    let (company, by) = (visit.company, Some(visit.user));
    audit::note(&mut conn, company, "instances", 0, by, action, None).await?;
    conn.commit().await
}
