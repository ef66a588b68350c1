//! What a mailing's history tells of a changed form: names where the form has ids.

use std::collections::HashMap;

use diesel_async::AsyncPgConnection;

use super::form::form_of;
use super::{choices, fragment_shell};
use crate::audit;
use crate::error::Result;
use crate::ids::MailingId;
use crate::mailings::{Mailing, MailingInput, query};
use crate::web::history::{self, Field, Told};
use crate::web::visit::Visit;

/// What the history tells of a changed form.
const TOLD: &[Field] = &[
    ("subject", "mailings.subject", Told::Text),
    ("account_id", "mailings.account", Told::Names),
    ("responsible_id", "mailings.responsible", Told::Names),
    (
        "recipients",
        "mailings.recipients",
        Told::Word("mailings.by_"),
    ),
    ("list_ids", "mailings.lists", Told::Names),
    ("exclude_list_ids", "mailings.without", Told::Names),
    ("contact_ids", "mailings.contacts", Told::Names),
    (
        "header_type",
        "mailings.header_type",
        Told::Word("mailings.header_"),
    ),
    ("header", "mailings.header", Told::Text),
    ("message", "mailings.message", Told::Text),
    ("footer", "mailings.footer", Told::Text),
    ("schedule_date", "mailings.schedule_date", Told::Date),
    ("not_after", "mailings.not_after", Told::Date),
    ("skip_missing_values", "mailings.skip_missing", Told::Flag),
];

/// Says in the history what saving changed, with names where the form has ids.
pub async fn noted(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    id: MailingId,
    before: (&Mailing, MailingInput),
    people: &[(i64, String)],
) -> Result<()> {
    let after = query::find(conn, id).await?;
    let mut forms = [before.1, form_of(visit, conn, &after).await?];
    let mut names = HashMap::new();
    let mut known = |field, rows: Vec<(i64, String)>| {
        names.extend(
            rows.into_iter()
                .map(|(id, name)| ((field, id.to_string()), name)),
        );
    };
    for (form, mailing) in forms.iter().zip([before.0, &after]) {
        let shell = fragment_shell(visit)?;
        let lists = choices::list_choices(conn, &shell, form).await?;
        known("list_ids", lists.clone());
        known("exclude_list_ids", lists);
        known(
            "contact_ids",
            choices::contact_choices(conn, form, "").await?,
        );
        known(
            "account_id",
            choices::account_choices(visit, conn, Some(mailing)).await?,
        );
        let people = choices::with_stored(conn, people.to_vec(), Some(mailing)).await?;
        known("responsible_id", people);
    }
    for (form, mailing) in forms.iter_mut().zip([before.0, &after]) {
        let date = mailing.schedule_date.map(|date| date.to_rfc3339());
        form.schedule_date = date.unwrap_or_default();
        let date = mailing.not_after.map(|date| date.to_rfc3339());
        form.not_after = date.unwrap_or_default();
    }
    let changes = history::diff(&forms[0], &forms[1], TOLD, &names);
    let by = Some(visit.user);
    audit::note_changes(conn, visit.company, "mailings", id.0, by, &changes).await?;
    Ok(())
}
