//! The template on a mailing's form: which one, and what stands at its variables.
//!
//! Invariant: without a template the form is as it always was; one that cannot be sent any more stays chosen and says
//! why.

use diesel::prelude::*;
use diesel_async::AsyncPgConnection;

use crate::error::Result;
use crate::gateways::meta::templates::Place as Slot;
use crate::ids::TemplateId;
use crate::mailings::MailingInput;
use crate::templates::{Template, query};
use crate::web::page::Shell;
use crate::web::templates::label;

/// The button that shows the chosen template's variables.
pub const CHOOSE: &str = "template";

/// A variable on the form.
pub struct Place {
    pub key: String,
    pub label: String,
    pub sample: String,
    pub text: String,
    /// May stay empty.
    pub optional: bool,
}

/// What the form shows of templates.
#[derive(Default)]
pub struct Chooser {
    /// None where no account at Meta has any.
    pub choices: Vec<(i64, String)>,
    pub chosen: Option<Template>,
    pub places: Vec<Place>,
    /// Why the chosen one cannot be sent.
    pub unsendable: Option<String>,
    pub footer: String,
}

impl Chooser {
    /// Reads the choices and the chosen one; the form then has its account and the kind of its header.
    pub async fn load(
        conn: &mut AsyncPgConnection,
        shell: &Shell,
        input: &mut MailingInput,
    ) -> Result<Self> {
        let found = query::choices(conn).await?;
        let written = |template: &Template, account: &str| {
            format!("{} ({}) · {account}", template.name, template.language)
        };
        let mut chooser = Self {
            choices: found
                .iter()
                .map(|(template, account)| (template.id.0, written(template, account)))
                .collect(),
            ..Self::default()
        };
        let chosen = match input.template_id.trim().parse().ok().map(TemplateId) {
            Some(id) => query::find(conn, id).await.optional()?,
            None => None,
        };
        let Some(template) = chosen else {
            input.template_id.clear();
            return Ok(chooser);
        };
        if !chooser.choices.iter().any(|(id, _)| *id == template.id.0) {
            let status = shell.t(&format!("state.template.{}", template.status));
            chooser
                .choices
                .push((template.id.0, written(&template, &status)));
        }
        let shape = template.shape();
        let values = input.template_values();
        chooser.places = shape
            .slots()
            .into_iter()
            .map(|slot| Place {
                label: match slot.place {
                    Slot::Button(index) if slot.optional => {
                        shell.tf("templates.place_reply", &[(index + 1).to_string()])
                    }
                    _ => label(shell, &slot.key),
                },
                sample: shape.samples.get(&slot.key).cloned().unwrap_or_default(),
                text: values.get(&slot.key).cloned().unwrap_or_default(),
                optional: slot.optional,
                key: slot.key,
            })
            .collect();
        input.account_id = template.account_id.to_string();
        input.header_type.clone_from(&shape.header_type);
        chooser.unsendable = template.unsendable();
        chooser.footer = shape.footer;
        chooser.chosen = Some(template);
        Ok(chooser)
    }
}
