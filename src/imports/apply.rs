//! Running an import: the people of a draft's file become contacts, in one transaction.

use std::collections::BTreeSet;

use super::mapping::Field;
use super::people::{self, People, Person};
use super::{Counts, Names, Notes, Options, SHOWN, fields, query, rejected};
use crate::contacts::bulk::{self, Row};
use crate::contacts::{self, query as contact_query};
use crate::db::{CompanyConn, Db};
use crate::error::{Error, FieldErrors, Result};
use crate::ids::{CompanyId, ContactId, ImportId, UserId};
use crate::{audit, lists};

/// Rows a statement.
const CHUNK: usize = 5_000;
/// More new names than these come from a column that holds something else.
const NEW_TAGS_MAX: usize = 1_000;
const NEW_LISTS_MAX: usize = 200;

/// Imports a draft with the fields chosen for its columns. One that is over already stays as it is: two
/// presses of the button are one import.
pub async fn run(
    db: &Db,
    company: CompanyId,
    user: UserId,
    id: ImportId,
    mapping: &[String],
) -> Result<()> {
    let mut conn = db.company(company).await?;
    let import = query::find(&mut conn, id).await?;
    if !query::begin(&mut conn, id).await? {
        return Ok(());
    }
    let mut options = import.options()?;
    let chosen = choose(&options, mapping)?;
    options.mapping = chosen.iter().map(ToString::to_string).collect();
    let file = query::content(&mut conn, id).await?;
    let file = file.ok_or_else(|| anyhow::anyhow!("import {id} has lost its file"))?;
    let (people, chosen, mut options) = tokio::task::spawn_blocking(move || {
        let people = people::read(&file, &options, &chosen);
        (people, chosen, options)
    })
    .await
    .map_err(anyhow::Error::from)?;
    let people = people.map_err(|fault| Error::conflict(fault.to_string()))?;
    let (counts, notes) = store(&mut conn, company, &import.file_name, &options, &people).await?;
    options.notes = notes;
    let rejected = if people.refused.is_empty() {
        None
    } else {
        Some(rejected::write(
            &people.header,
            &chosen,
            options.format,
            &people.refused,
        )?)
    };
    query::finish(&mut conn, id, &counts, &options, rejected.as_deref()).await?;
    audit::note(
        &mut conn,
        company,
        "imports",
        id.0,
        Some(user),
        "imported",
        None,
    )
    .await?;
    conn.commit().await
}

/// The fields, or what is wrong with the choice. A column's fault stands under `column-<its number>`.
pub fn choose(options: &Options, mapping: &[String]) -> Result<Vec<Field>> {
    let mut errors = FieldErrors::default();
    if mapping.len() != options.columns.len() {
        let lost = "The columns of the form are not those of the file. Open the page again.";
        return Err(Error::invalid("mapping", lost));
    }
    let chosen = fields(mapping);
    for (index, (field, key)) in chosen.iter().zip(mapping).enumerate() {
        let column = format!("column-{}", index + 1);
        if field.to_string() != *key {
            errors.add(&column, "This field is not known. Choose another.");
        } else if !field.repeats() && chosen.iter().take(index).any(|other| other == field) {
            errors.add(
                &column,
                "Another column is this field already. Choose one of them.",
            );
        }
    }
    if !chosen.contains(&Field::WhatsappNumber) {
        errors.add(
            "mapping",
            "Choose which column is the WhatsApp number: without it nobody can be written to.",
        );
    }
    errors.or(Some(chosen))
}

async fn store(
    conn: &mut CompanyConn,
    company: CompanyId,
    file_name: &str,
    options: &Options,
    people: &People,
) -> Result<(Counts, Notes)> {
    let mut notes = Notes {
        repeated: people.repeats.len(),
        repeats: people.repeats.iter().take(SHOWN).copied().collect(),
        rejected_lines: people
            .refused
            .iter()
            .take(SHOWN)
            .map(|row| row.line)
            .collect(),
        ..Notes::default()
    };
    let tags = names(&people.accepted, |row| &row.tags);
    notes.new_tags = Names::of(&unknown(
        &tags,
        contact_query::known_tags(conn, &tags).await?,
    ));
    let groups = names(&people.accepted, |row| &row.lists);
    notes.new_lists = Names::of(&unknown(&groups, lists::known_names(conn, &groups).await?));
    for (new, most, what) in [
        (&notes.new_tags, NEW_TAGS_MAX, "tags"),
        (&notes.new_lists, NEW_LISTS_MAX, "lists"),
    ] {
        if new.count > most {
            let many = format!(
                "The file would make {} new {what}; at most {most} fit. Choose another field for that column.",
                new.count
            );
            return Err(Error::invalid("mapping", many));
        }
    }
    let mut counts = Counts {
        rows: whole(people.rows()),
        skipped: whole(people.repeats.len()),
        rejected: whole(people.refused.len()),
        ..Counts::default()
    };
    let (mut everybody, mut stops) = (Vec::new(), Vec::new());
    for chunk in people.accepted.chunks(CHUNK) {
        let rows: Vec<Row> = chunk.iter().map(|person| person.row.clone()).collect();
        let outcome = bulk::upsert(
            conn,
            company,
            &options.country,
            &rows,
            options.on_duplicate,
            &options.list_ids,
        )
        .await?;
        counts.created += whole(outcome.created);
        counts.updated += whole(outcome.updated);
        counts.skipped += whole(outcome.skipped);
        for person in chunk {
            let id = outcome.contacts.get(person.number.as_str()).copied();
            everybody.extend(id);
            stops.extend(id.filter(|_| person.opt_out));
        }
    }
    notes.stay_opted_out = count_opted_out(conn, &everybody).await?;
    if !stops.is_empty() {
        let reason = format!("Import of {file_name}");
        notes.opted_out = contacts::opt_out(conn, &stops, &reason).await?;
    }
    // A result that does not add up is never stored.
    if !counts.add_up() {
        return Err(anyhow::anyhow!("an import does not add up: {counts:?}").into());
    }
    Ok((counts, notes))
}

async fn count_opted_out(conn: &mut CompanyConn, ids: &[ContactId]) -> Result<usize> {
    let count = contact_query::count_opted_out(conn, ids).await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// All names of a kind, each once.
fn names(people: &[Person], of: fn(&Row) -> &Vec<String>) -> Vec<String> {
    let names: BTreeSet<&String> = people.iter().flat_map(|person| of(&person.row)).collect();
    names.into_iter().cloned().collect()
}

fn unknown(names: &[String], known: Vec<String>) -> Vec<String> {
    let known: BTreeSet<String> = known.into_iter().collect();
    names
        .iter()
        .filter(|name| !known.contains(*name))
        .cloned()
        .collect()
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
