//! The running instances: which, what they do, since when, and whether their clocks are right.

use actix_web::web;
use askama::Template;

use crate::auth::Role;
use crate::instances::{self, Instance};
use crate::web::error::WebResult;
use crate::web::page::{Menu, Shell, html};
use crate::web::visit::Visit;

pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/instances", web::get().to(list));
}

#[derive(Template)]
#[template(path = "instances/list.html")]
struct InstancesPage {
    shell: Shell,
    instances: Vec<Instance>,
}

impl InstancesPage {
    fn role(&self, instance: &Instance) -> String {
        self.shell.t(&format!("instances.role_{}", instance.role))
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
    let mut conn = visit.conn().await?;
    Ok(html(InstancesPage {
        instances: instances::all(&mut conn).await?,
        shell: visit.shell(Menu::Technical, &mut conn).await?,
    }))
}
