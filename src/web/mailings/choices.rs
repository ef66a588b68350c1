//! What the form of a mailing lets one choose from: people, accounts, lists, contacts, placeholders.
//!
//! Invariant: what is stored stays among the choices, so that opening a form and saving it changes
//! nothing.

use diesel_async::AsyncPgConnection;

use crate::auth::Role;
use crate::error::Result;
use crate::ids::{ContactId, ListId};
use crate::mailings::audience::FIXED;
use crate::mailings::{Mailing, MailingInput, query};
use crate::text::merge::Template as Merge;
use crate::text::phone::display_digits;
use crate::web::page::Shell;
use crate::web::visit::Visit;
use crate::{accounts, contacts, lists, users};

/// People a search answers.
pub const FOUND: i64 = 30;

/// A placeholder and what stands for it.
pub struct Variable {
    pub insert: String,
    pub said: String,
}

/// Who works in the company, for those who may choose.
pub async fn people(visit: &Visit) -> Result<Vec<(i64, String)>> {
    if visit.role < Role::Manager {
        return Ok(vec![(visit.user.0, visit.name.clone())]);
    }
    let mut system = visit.app.db.system().await?;
    let people = users::of_company(&mut system, visit.company).await?;
    Ok(people
        .into_iter()
        .map(|user| (user.id.0, user.name))
        .collect())
}

/// With the stored one among them, so that opening the form changes nothing.
pub async fn with_stored(
    conn: &mut AsyncPgConnection,
    mut people: Vec<(i64, String)>,
    mailing: Option<&Mailing>,
) -> Result<Vec<(i64, String)>> {
    if let Some(mailing) = mailing
        && !people.iter().any(|(id, _)| *id == mailing.responsible_id.0)
    {
        let facts = query::facts(conn, mailing.id).await?;
        people.push((mailing.responsible_id.0, facts.responsible));
    }
    Ok(people)
}

/// Accounts the person may send through, and the stored one.
pub async fn account_choices(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    mailing: Option<&Mailing>,
) -> Result<Vec<(i64, String)>> {
    let mut choices: Vec<(i64, String)> = accounts::query::choices(conn, visit.user)
        .await?
        .into_iter()
        .map(|account| {
            let provider = visit.t(&format!("provider.{}", account.provider));
            (account.id.0, format!("{} ({provider})", account.name))
        })
        .collect();
    if let Some(mailing) = mailing
        && !choices.iter().any(|(id, _)| *id == mailing.account_id.0)
    {
        let facts = query::facts(conn, mailing.id).await?;
        choices.push((mailing.account_id.0, facts.account));
    }
    Ok(choices)
}

/// Active lists with how many people are in each; what is chosen stays among them.
pub async fn list_choices(
    conn: &mut AsyncPgConnection,
    shell: &Shell,
    input: &MailingInput,
) -> Result<Vec<(i64, String)>> {
    let mut choices: Vec<(i64, String)> = lists::choices(conn)
        .await?
        .into_iter()
        .map(|list| {
            let members = shell.number(list.members);
            (list.id.0, format!("{} ({members})", list.name))
        })
        .collect();
    for id in input.list_ids.iter().chain(&input.exclude_list_ids) {
        if choices.iter().any(|(known, _)| known == id) {
            continue;
        }
        match lists::find(conn, ListId(*id)).await {
            Ok(list) => {
                let archived = shell.t("form.archived");
                choices.push((*id, format!("{} ({archived})", list.name)));
            }
            Err(diesel::result::Error::NotFound) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Ok(choices)
}

/// The chosen contacts, and those found without a script.
pub async fn contact_choices(
    conn: &mut AsyncPgConnection,
    input: &MailingInput,
    find: &str,
) -> Result<Vec<(i64, String)>> {
    let ids: Vec<ContactId> = input.contact_ids.iter().copied().map(ContactId).collect();
    let mut people = contacts::query::find_many(conn, &ids).await?;
    if !find.trim().is_empty() {
        let found = contacts::query::search(conn, find.trim(), FOUND).await?;
        people.extend(found.into_iter().filter(|one| !ids.contains(&one.id)));
    }
    Ok(people.iter().map(option).collect())
}

/// A contact as people choose it: name and number.
pub fn option(contact: &contacts::Contact) -> (i64, String) {
    let number = contact
        .whatsapp_number
        .as_deref()
        .map(display_digits)
        .unwrap_or_default();
    let said = [contact.called(), number];
    let said: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
    (contact.id.0, said.join(" · "))
}

/// Every placeholder: the fixed ones, then what contacts of the company have.
pub async fn variables(conn: &mut AsyncPgConnection, shell: &Shell) -> Result<Vec<Variable>> {
    let fixed = FIXED.iter().map(|name| Variable {
        insert: format!("{{{{{name}}}}}"),
        said: shell.t(&format!("mailings.var.{name}")),
    });
    let keys = query::attribute_keys(conn).await?;
    let own = keys
        .iter()
        .map(|key| (key, format!("contact.{key}")))
        .filter(|(_, name)| !FIXED.contains(&name.as_str()))
        .map(|(key, name)| Variable {
            insert: format!("{{{{{name}}}}}"),
            said: shell.tf("mailings.var.attribute", &[key]),
        })
        .filter(|variable| Merge::parse(&variable.insert).placeholders().count() == 1);
    Ok(fixed.chain(own).collect())
}
