//! Many contacts at once: what the API's bulk call and imports share.
//!
//! Invariants: every row ends as created, updated, skipped or rejected with its reason, and the four add
//! up; two rows with one number in one call are one person; an opt-out is never lifted.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Jsonb, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::given::{Given, Wrote, gathered};
use super::joined::{give_tags, join_lists};
use crate::ids::{CompanyId, ContactId, ImportId, ListId};
use crate::text::country;
use crate::text::phone::PhoneNumber;

/// One person as it came.
#[derive(Debug, Clone, Default, serde::Deserialize, utoipa::ToSchema)]
#[schema(as = NewContact)]
#[serde(default, deny_unknown_fields)]
pub struct Row {
    #[schema(example = "Siti Rahmawati")]
    pub name: String,
    #[schema(example = "Ibu")]
    pub title: String,
    /// As people write it; without a country code it is read as a number of `country`, else of the company's.
    #[schema(required = true, example = "0812 5550 0147")]
    pub whatsapp_number: String,
    /// ISO code or name.
    #[schema(example = "ID")]
    pub country: String,
    #[schema(example = "siti@example.com")]
    pub email: String,
    pub company_name: String,
    pub job_position: String,
    pub description: String,
    #[schema(example = json!(["VIP"]))]
    pub tags: Vec<String>,
    /// Own fields: a mailing uses `points` as `{{contact.points}}`.
    #[schema(value_type = BTreeMap<String, serde_json::Value>, example = json!({ "points": 340 }))]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Names of lists beside those of the call.
    #[serde(skip)]
    pub lists: Vec<String>,
}

/// What happens to a number that is known already.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// Stays as it is, but joins the lists.
    Skip,
    /// Only what is empty is filled.
    FillBlanks,
    /// Filled cells replace what is stored; empty ones change nothing.
    Update,
}

impl OnDuplicate {
    pub const ALL: [Self; 3] = [Self::Skip, Self::FillBlanks, Self::Update];

    pub fn key(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::FillBlanks => "fill_blanks",
            Self::Update => "update",
        }
    }
}

/// A contact that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = RejectedContact)]
pub struct Rejected {
    /// Position in the call, from 0.
    #[schema(example = 3)]
    pub index: usize,
    #[schema(example = "The number is too short.")]
    pub reason: String,
}

/// What became of the contacts: the four add up to those of the call.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = BulkOutcome)]
pub struct Outcome {
    #[schema(example = 480)]
    pub created: usize,
    #[schema(example = 20)]
    pub updated: usize,
    #[schema(example = 11)]
    pub skipped: usize,
    pub rejected: Vec<Rejected>,
    /// Who stands behind each number that was not rejected.
    #[serde(skip)]
    pub contacts: HashMap<String, ContactId>,
    /// Those of them that are new.
    #[serde(skip)]
    pub made: Vec<ContactId>,
    /// Those that were known and written to.
    #[serde(skip)]
    pub changed: Vec<ContactId>,
    /// What those got who were known; of an import alone.
    #[serde(skip)]
    pub given: Vec<Given>,
}

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = BigInt)]
    id: ContactId,
    #[diesel(sql_type = Text)]
    number: String,
}

/// How people are stored.
#[derive(Debug, Clone, Copy)]
pub struct Manner<'a> {
    pub company: CompanyId,
    pub on_duplicate: OnDuplicate,
    /// Everybody joins these.
    pub list_ids: &'a [ListId],
    /// The import that brings them.
    pub import: Option<ImportId>,
}

/// A row with its number.
pub type Numbered<'a> = (PhoneNumber, &'a Row);

/// Stores people; the caller's transaction decides whether it counts. At most some 10,000 a call.
pub async fn upsert(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    default_country: &str,
    rows: &[Row],
    on_duplicate: OnDuplicate,
    list_ids: &[ListId],
) -> QueryResult<Outcome> {
    let mut rejected = Vec::new();
    let mut accepted: Vec<Numbered<'_>> = Vec::with_capacity(rows.len());
    let mut seen: HashSet<PhoneNumber> = HashSet::new();
    let mut repeated: Vec<Numbered<'_>> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match too_long(row).map_or_else(|| number_of(row, default_country), Err) {
            Err(reason) => rejected.push(Rejected { index, reason }),
            Ok(number) if seen.insert(number.clone()) => accepted.push((number, row)),
            Ok(number) => repeated.push((number, row)),
        }
    }
    let manner = Manner {
        company,
        on_duplicate,
        list_ids,
        import: None,
    };
    let mut outcome = store(conn, manner, &accepted, &repeated).await?;
    outcome.skipped += repeated.len();
    outcome.rejected = rejected;
    Ok(outcome)
}

/// Stores `accepted`, one row a number. Of `repeated`, people who were stored before, only tags and lists
/// count, and no figure.
pub async fn store(
    conn: &mut AsyncPgConnection,
    manner: Manner<'_>,
    accepted: &[Numbered<'_>],
    repeated: &[Numbered<'_>],
) -> QueryResult<Outcome> {
    let company = manner.company;
    let mut outcome = Outcome::default();
    let everybody = || accepted.iter().chain(repeated);
    let numbers: Vec<&str> = everybody().map(|(number, _)| number.as_str()).collect();
    let mut ids = find_known(conn, company, &numbers).await?;
    let (known, fresh): (Vec<_>, Vec<_>) = accepted
        .iter()
        .partition(|(number, _)| ids.contains_key(number.as_str()));
    let created = insert(conn, company, manner.import, &fresh).await?;
    outcome.created = created.len();
    outcome.made = created.values().copied().collect();
    let mut known = known;
    // Somebody else made these meanwhile.
    let late: Vec<_> = fresh
        .into_iter()
        .filter(|(number, _)| !created.contains_key(number.as_str()))
        .collect();
    if !late.is_empty() {
        let numbers: Vec<&str> = late.iter().map(|(number, _)| number.as_str()).collect();
        ids.extend(find_known(conn, company, &numbers).await?);
        known.extend(late);
    }
    let is_import = manner.import.is_some();
    let wrote = match manner.on_duplicate {
        OnDuplicate::Skip => Vec::new(),
        OnDuplicate::FillBlanks => fill(conn, company, &known, is_import).await?,
        OnDuplicate::Update => write(conn, company, &known, is_import).await?,
    };
    outcome.changed = wrote.iter().map(|one| one.id).collect();
    outcome.updated = match manner.on_duplicate {
        OnDuplicate::Update => known.len(),
        _ => outcome.changed.len(),
    };
    outcome.skipped = known.len() - outcome.updated;
    let told: Vec<ContactId> = match manner.import {
        Some(_) => ids.values().copied().collect(),
        None => Vec::new(),
    };
    ids.extend(created);
    let lists = join_lists(conn, company, &ids, everybody(), manner.list_ids, &told).await?;
    let tags = give_tags(conn, company, &ids, everybody(), &told).await?;
    outcome.given = gathered(wrote, tags, lists);
    outcome.contacts = ids;
    Ok(outcome)
}

/// What [`store`] would do, without doing it.
pub async fn foresee(
    conn: &mut AsyncPgConnection,
    manner: Manner<'_>,
    accepted: &[Numbered<'_>],
) -> QueryResult<Outcome> {
    let mut outcome = Outcome::default();
    let numbers: Vec<&str> = accepted.iter().map(|(number, _)| number.as_str()).collect();
    let ids = find_known(conn, manner.company, &numbers).await?;
    let known: Vec<_> = accepted
        .iter()
        .filter(|(number, _)| ids.contains_key(number.as_str()))
        .collect();
    outcome.created = accepted.len() - known.len();
    outcome.updated = match manner.on_duplicate {
        OnDuplicate::Skip => 0,
        OnDuplicate::FillBlanks => fillable(conn, manner.company, &known).await?,
        OnDuplicate::Update => known.len(),
    };
    outcome.skipped = known.len() - outcome.updated;
    outcome.contacts = ids;
    Ok(outcome)
}

/// Why a row does not fit; the same bounds as the form's name, and room for everything else.
fn too_long(row: &Row) -> Option<String> {
    if row.name.chars().count() > 200 {
        return Some("The name is too long; at most 200 letters.".to_owned());
    }
    let short = [&row.title, &row.email, &row.company_name, &row.job_position];
    let is_long = short.iter().any(|text| text.chars().count() > 500)
        || row.tags.len() > 50
        || row.tags.iter().any(|tag| tag.chars().count() > 100);
    is_long.then(|| "A field is too long: tags have at most 100 letters and are at most 50, others have 500.".to_owned())
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
    fn of(rows: &[&Numbered<'_>]) -> Self {
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
    import: Option<ImportId>,
    rows: &[&Numbered<'_>],
) -> QueryResult<HashMap<String, ContactId>> {
    let columns = Columns::of(rows);
    let statement = format!(
        "INSERT INTO contacts (company_id, whatsapp_number, name, title, country, email, company_name, job_position, description, attributes, import_id)
         SELECT $1, r.number, r.name, r.title, r.country, r.email, r.company_name, r.job_position,
           r.description, r.attributes, $11 FROM {UNNEST}
         ON CONFLICT ON CONSTRAINT contacts_number_unique DO NOTHING RETURNING id, whatsapp_number AS number"
    );
    let made: Vec<Known> = bound!(statement, company, columns)
        .bind::<Nullable<BigInt>, _>(import)
        .load(conn)
        .await?;
    Ok(made.into_iter().map(|one| (one.number, one.id)).collect())
}

/// What stood in the rows of those who are known, for whoever wants it; they are held from here on.
const BEFORE: &str = "WITH before AS MATERIALIZED (
  SELECT k.whatsapp_number AS number, k AS person FROM contacts k
  WHERE $11 AND k.company_id = $1 AND k.whatsapp_number = ANY ($2) AND k.erased_at IS NULL ORDER BY k.id FOR UPDATE)";
const WROTE: &str = "c.id, CASE WHEN $11 THEN wablast_replaced(b.person, c) END AS replaced";

/// Filled cells replace what is stored. `keeps`: the answer has what was replaced.
async fn write(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    rows: &[&Numbered<'_>],
    keeps: bool,
) -> QueryResult<Vec<Wrote>> {
    let columns = Columns::of(rows);
    let statement = format!(
        "{BEFORE}
         UPDATE contacts c SET name = coalesce(nullif(r.name, ''), c.name), title = coalesce(nullif(r.title, ''), c.title),
           country = coalesce(r.country, c.country), email = coalesce(nullif(r.email, ''), c.email),
           company_name = coalesce(nullif(r.company_name, ''), c.company_name),
           job_position = coalesce(nullif(r.job_position, ''), c.job_position),
           description = coalesce(nullif(r.description, ''), c.description),
           attributes = c.attributes || r.attributes, updated_at = wablast_now()
         FROM {UNNEST} LEFT JOIN before b ON b.number = r.number WHERE {OF_THESE} RETURNING {WROTE}"
    );
    bound!(statement, company, columns)
        .bind::<Bool, _>(keeps)
        .load(conn)
        .await
}

/// Whether a row has something for a place that is empty.
const HAS_MORE: &str = "(c.name = '' AND r.name <> '' OR c.title = '' AND r.title <> '' OR c.country IS NULL AND r.country IS NOT NULL
  OR c.email = '' AND r.email <> '' OR c.company_name = '' AND r.company_name <> '' OR c.job_position = '' AND r.job_position <> ''
  OR c.description = '' AND r.description <> '' OR (r.attributes || c.attributes) <> c.attributes)";
const OF_THESE: &str = "c.company_id = $1 AND c.whatsapp_number = r.number AND c.erased_at IS NULL";

/// Fills what is empty; who had something to fill.
async fn fill(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    rows: &[&Numbered<'_>],
    keeps: bool,
) -> QueryResult<Vec<Wrote>> {
    let columns = Columns::of(rows);
    let statement = format!(
        "{BEFORE}
         UPDATE contacts c SET name = coalesce(nullif(c.name, ''), r.name), title = coalesce(nullif(c.title, ''), r.title),
           country = coalesce(c.country, r.country), email = coalesce(nullif(c.email, ''), r.email),
           company_name = coalesce(nullif(c.company_name, ''), r.company_name),
           job_position = coalesce(nullif(c.job_position, ''), r.job_position),
           description = coalesce(nullif(c.description, ''), r.description),
           attributes = r.attributes || c.attributes, updated_at = wablast_now()
         FROM {UNNEST} LEFT JOIN before b ON b.number = r.number WHERE {OF_THESE} AND {HAS_MORE} RETURNING {WROTE}"
    );
    bound!(statement, company, columns)
        .bind::<Bool, _>(keeps)
        .load(conn)
        .await
}

/// How many [`fill`] would change.
async fn fillable(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    rows: &[&Numbered<'_>],
) -> QueryResult<usize> {
    #[derive(QueryableByName)]
    struct Figure {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let columns = Columns::of(rows);
    let statement =
        format!("SELECT count(*) FROM contacts c, {UNNEST} WHERE {OF_THESE} AND {HAS_MORE}");
    let figure: Figure = bound!(statement, company, columns).get_result(conn).await?;
    Ok(usize::try_from(figure.count).unwrap_or_default())
}
