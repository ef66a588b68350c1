//! Many contacts at once: what the API's bulk call and imports share.
//!
//! Invariants: every row ends as created, updated, skipped or rejected with its reason, and the four add
//! up; two rows with one number in one call are one person; an opt-out is never lifted.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::query;
use crate::ids::{CompanyId, ContactId, ListId};
use crate::text::country;
use crate::text::phone::PhoneNumber;

/// One person as it came.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Row {
    pub name: String,
    pub title: String,
    pub whatsapp_number: String,
    pub country: String,
    pub email: String,
    pub company_name: String,
    pub job_position: String,
    pub description: String,
    pub tags: Vec<String>,
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Names of lists beside those of the call.
    #[serde(skip)]
    pub lists: Vec<String>,
}

/// What happens to a number that is known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// Stays as it is, but joins the lists.
    Skip,
    /// Filled cells replace what is stored; empty ones change nothing.
    Update,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rejected {
    /// Position in the call, from 0.
    pub index: usize,
    pub reason: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    pub created: usize,
    pub updated: usize,
    pub skipped: usize,
    pub rejected: Vec<Rejected>,
    /// Who stands behind each number that was not rejected.
    #[serde(skip)]
    pub contacts: HashMap<String, ContactId>,
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = BigInt)]
    id: ContactId,
    #[diesel(sql_type = Text)]
    number: String,
}

/// Stores people; the caller's transaction decides whether it counts. At most some 10,000 a call.
pub async fn upsert(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    default_country: &str,
    rows: &[Row],
    on_duplicate: OnDuplicate,
    list_ids: &[ListId],
) -> QueryResult<Outcome> {
    let mut outcome = Outcome::default();
    let mut accepted: Vec<(PhoneNumber, &Row)> = Vec::with_capacity(rows.len());
    let mut seen: HashSet<PhoneNumber> = HashSet::new();
    let mut repeated: Vec<(PhoneNumber, &Row)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match number_of(row, default_country) {
            Err(reason) => outcome.rejected.push(Rejected { index, reason }),
            Ok(number) if seen.insert(number.clone()) => accepted.push((number, row)),
            Ok(number) => {
                outcome.skipped += 1;
                repeated.push((number, row));
            }
        }
    }
    let numbers: Vec<&str> = accepted.iter().map(|(number, _)| number.as_str()).collect();
    let before: HashMap<String, ContactId> = find_known(conn, company, &numbers).await?;
    let fresh: Vec<&(PhoneNumber, &Row)> = accepted
        .iter()
        .filter(|(number, _)| !before.contains_key(number.as_str()))
        .collect();
    let created = insert(conn, company, &fresh).await?;
    outcome.created = created.len();
    let known: Vec<&(PhoneNumber, &Row)> = accepted
        .iter()
        .filter(|(number, _)| !created.contains_key(number.as_str()))
        .collect();
    match on_duplicate {
        OnDuplicate::Skip => outcome.skipped += known.len(),
        OnDuplicate::Update => {
            write(conn, company, &known).await?;
            outcome.updated = known.len();
        }
    }
    let mut ids = find_known(conn, company, &numbers).await?;
    ids.extend(created);
    join_lists(
        conn,
        company,
        &ids,
        accepted.iter().chain(&repeated),
        list_ids,
    )
    .await?;
    give_tags(conn, company, &ids, accepted.iter().chain(&repeated)).await?;
    outcome.contacts = ids;
    Ok(outcome)
}

/// The row's number, read in its own country where it names one; or why there is none, as a sentence.
pub fn number_of(row: &Row, default_country: &str) -> Result<PhoneNumber, String> {
    let country = match row.country.trim() {
        "" => default_country,
        text => {
            country::by_name(text).ok_or_else(|| format!("The country “{text}” is not known."))?
        }
    };
    PhoneNumber::parse(&row.whatsapp_number, country).map_err(|fault| fault.to_string())
}

async fn find_known(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    numbers: &[&str],
) -> QueryResult<HashMap<String, ContactId>> {
    let known: Vec<Known> = sql_query(
        "SELECT id, whatsapp_number AS number FROM contacts WHERE company_id = $1 AND whatsapp_number = ANY ($2)",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<Text>, _>(numbers)
    .load(conn)
    .await?;
    Ok(known.into_iter().map(|one| (one.number, one.id)).collect())
}

/// The columns of many rows, side by side, for one statement.
struct Columns {
    numbers: Vec<String>,
    names: Vec<String>,
    titles: Vec<String>,
    countries: Vec<Option<String>>,
    emails: Vec<String>,
    company_names: Vec<String>,
    job_positions: Vec<String>,
    descriptions: Vec<String>,
    attributes: Vec<serde_json::Value>,
}

impl Columns {
    fn of(rows: &[&(PhoneNumber, &Row)]) -> Self {
        let text = |pick: fn(&Row) -> &String| {
            rows.iter()
                .map(|(_, row)| pick(row).trim().to_owned())
                .collect()
        };
        Self {
            numbers: rows
                .iter()
                .map(|(number, _)| number.as_str().to_owned())
                .collect(),
            names: text(|row| &row.name),
            titles: text(|row| &row.title),
            countries: rows
                .iter()
                .map(|(number, row)| {
                    country::by_name(&row.country)
                        .map(str::to_owned)
                        .or_else(|| number.country())
                })
                .collect(),
            emails: text(|row| &row.email),
            company_names: text(|row| &row.company_name),
            job_positions: text(|row| &row.job_position),
            descriptions: text(|row| &row.description),
            attributes: rows
                .iter()
                .map(|(_, row)| serde_json::json!(row.attributes))
                .collect(),
        }
    }
}

const UNNEST: &str = "unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::jsonb[])
  AS r(number, name, title, country, email, company_name, job_position, description, attributes)";

macro_rules! bound {
    ($statement:expr, $company:expr, $columns:expr) => {
        sql_query($statement)
            .bind::<BigInt, _>($company)
            .bind::<Array<Text>, _>(&$columns.numbers)
            .bind::<Array<Text>, _>(&$columns.names)
            .bind::<Array<Text>, _>(&$columns.titles)
            .bind::<Array<Nullable<Text>>, _>(&$columns.countries)
            .bind::<Array<Text>, _>(&$columns.emails)
            .bind::<Array<Text>, _>(&$columns.company_names)
            .bind::<Array<Text>, _>(&$columns.job_positions)
            .bind::<Array<Text>, _>(&$columns.descriptions)
            .bind::<Array<Jsonb>, _>(&$columns.attributes)
    };
}

async fn insert(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    rows: &[&(PhoneNumber, &Row)],
) -> QueryResult<HashMap<String, ContactId>> {
    let columns = Columns::of(rows);
    let statement = format!(
        "INSERT INTO contacts (company_id, whatsapp_number, name, title, country, email, company_name, job_position, description, attributes)
         SELECT $1, r.number, r.name, r.title, r.country, r.email, r.company_name, r.job_position,
           r.description, r.attributes FROM {UNNEST}
         ON CONFLICT ON CONSTRAINT contacts_number_unique DO NOTHING RETURNING id, whatsapp_number AS number"
    );
    let made: Vec<Known> = bound!(statement, company, columns).load(conn).await?;
    Ok(made.into_iter().map(|one| (one.number, one.id)).collect())
}

async fn write(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    rows: &[&(PhoneNumber, &Row)],
) -> QueryResult<usize> {
    let columns = Columns::of(rows);
    let statement = format!(
        "UPDATE contacts c SET name = coalesce(nullif(r.name, ''), c.name), title = coalesce(nullif(r.title, ''), c.title),
           country = coalesce(r.country, c.country), email = coalesce(nullif(r.email, ''), c.email),
           company_name = coalesce(nullif(r.company_name, ''), c.company_name),
           job_position = coalesce(nullif(r.job_position, ''), c.job_position),
           description = coalesce(nullif(r.description, ''), c.description),
           attributes = c.attributes || r.attributes, updated_at = wablast_now()
         FROM {UNNEST} WHERE c.company_id = $1 AND c.whatsapp_number = r.number AND c.erased_at IS NULL"
    );
    bound!(statement, company, columns).execute(conn).await
}

async fn join_lists<'a>(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    ids: &HashMap<String, ContactId>,
    rows: impl Iterator<Item = &'a (PhoneNumber, &'a Row)>,
    list_ids: &[ListId],
) -> QueryResult<()> {
    let everybody: Vec<ContactId> = ids.values().copied().collect();
    add_members(conn, company, list_ids, &everybody).await?;
    let mut by_name: BTreeMap<&str, Vec<ContactId>> = BTreeMap::new();
    for (number, row) in rows {
        for name in &row.lists {
            if let Some(id) = ids.get(number.as_str()) {
                by_name.entry(name).or_default().push(*id);
            }
        }
    }
    for (name, members) in by_name {
        #[derive(QueryableByName)]
        struct List {
            #[diesel(sql_type = BigInt)]
            id: ListId,
        }
        let list: List = sql_query(
            "INSERT INTO lists (company_id, name) VALUES ($1, $2)
             ON CONFLICT ON CONSTRAINT lists_name_unique DO UPDATE SET updated_at = wablast_now() RETURNING id",
        )
        .bind::<BigInt, _>(company)
        .bind::<Text, _>(name)
        .get_result(conn)
        .await?;
        add_members(conn, company, &[list.id], &members).await?;
    }
    Ok(())
}

/// Puts people into lists; who is in one already stays as they are there.
pub async fn add_members(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    lists: &[ListId],
    contacts: &[ContactId],
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO list_members (company_id, list_id, contact_id)
         SELECT $1, l.id, c.id FROM unnest($2::bigint[]) AS l(id), unnest($3::bigint[]) AS c(id) ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<Array<BigInt>, _>(lists)
    .bind::<Array<BigInt>, _>(contacts)
    .execute(conn)
    .await
}

async fn give_tags<'a>(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    ids: &HashMap<String, ContactId>,
    rows: impl Iterator<Item = &'a (PhoneNumber, &'a Row)>,
) -> QueryResult<()> {
    let mut by_tag: BTreeMap<String, Vec<ContactId>> = BTreeMap::new();
    for (number, row) in rows {
        for tag in row
            .tags
            .iter()
            .map(|tag| tag.trim())
            .filter(|tag| !tag.is_empty())
        {
            if let Some(id) = ids.get(number.as_str()) {
                by_tag.entry(tag.to_owned()).or_default().push(*id);
            }
        }
    }
    for (tag, members) in by_tag {
        query::add_tags(conn, company, &members, &[tag]).await?;
    }
    Ok(())
}
