//! Who is behind a number or another name of WhatsApp's (`@lid`, a business-scoped id), and what is learned of it.
//!
//! Invariants: a number belongs to one person of a company, and so does every other name; who writes first is made once.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::{AccountId, CompanyId, ContactId};

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    id: ContactId,
}

/// The person a number or another identity belongs to.
pub async fn by_identity(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: Option<&str>,
    lid: Option<&str>,
) -> QueryResult<Option<ContactId>> {
    let found: Option<Found> = sql_query(
        "SELECT id FROM (
           SELECT c.id, 0 AS rank FROM contacts c WHERE c.company_id = $1 AND c.whatsapp_number = $2
           UNION ALL
           SELECT i.contact_id, 1 FROM contact_identities i WHERE i.company_id = $1 AND i.kind = 'wa_id' AND i.value = $2
           UNION ALL
           SELECT i.contact_id, 2 FROM contact_identities i WHERE i.company_id = $1 AND i.kind IN ('lid', 'bsuid') AND i.value = $3
         ) f ORDER BY rank LIMIT 1",
    )
    .bind::<BigInt, _>(company)
    .bind::<Nullable<Text>, _>(number)
    .bind::<Nullable<Text>, _>(lid)
    .get_result(conn)
    .await
    .optional()?;
    Ok(found.map(|found| found.id))
}

/// What WhatsApp said of a number, and when it was asked.
pub async fn number_said(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: &str,
) -> QueryResult<Option<(bool, DateTime<Utc>)>> {
    use crate::schema::number_checks;
    number_checks::table
        .find((company, number))
        .select((number_checks::on_whatsapp, number_checks::checked_at))
        .first(conn)
        .await
        .optional()
}

/// Holds everybody else who is about to make a contact for this identity until the transaction ends:
/// no constraint keeps two people without a number apart.
pub async fn lock_identity(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    identity: &str,
) -> QueryResult<usize> {
    sql_query("SELECT pg_advisory_xact_lock(hashtextextended('contact ' || $1 || ' ' || $2, 0))")
        .bind::<BigInt, _>(company)
        .bind::<Text, _>(identity)
        .execute(conn)
        .await
}

/// A contact for somebody who wrote to us first; the existing one when another process was quicker.
pub async fn from_incoming(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    number: Option<&str>,
    country: Option<&str>,
    name: &str,
) -> QueryResult<ContactId> {
    let made: Found = sql_query(
        "INSERT INTO contacts (company_id, name, whatsapp_number, country, is_manual, is_new) VALUES ($1, $2, $3, $4, false, true)
         ON CONFLICT ON CONSTRAINT contacts_number_unique DO UPDATE SET updated_at = contacts.updated_at RETURNING id",
    )
    .bind::<BigInt, _>(company)
    .bind::<Text, _>(name)
    .bind::<Nullable<Text>, _>(number)
    .bind::<Nullable<Text>, _>(country)
    .get_result(conn)
    .await?;
    Ok(made.id)
}

/// Remembers another name of a person.
pub async fn learn_lid(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ContactId,
    lid: &str,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO contact_identities (company_id, contact_id, kind, value) VALUES ($1, $2, CASE WHEN $3 LIKE '%@bsuid' THEN 'bsuid' ELSE 'lid' END, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(lid)
    .execute(conn)
    .await
}

/// The same from what became of messages: account, the message's id, the hidden id its chat is kept under.
pub async fn learn_lids(
    conn: &mut AsyncPgConnection,
    learned: &[(AccountId, String, String)],
) -> QueryResult<usize> {
    if learned.is_empty() {
        return Ok(0);
    }
    let accounts: Vec<AccountId> = learned.iter().map(|(account, _, _)| *account).collect();
    let references: Vec<&str> = learned
        .iter()
        .map(|(_, reference, _)| reference.as_str())
        .collect();
    let lids: Vec<&str> = learned.iter().map(|(_, _, lid)| lid.as_str()).collect();
    sql_query(
        "INSERT INTO contact_identities (company_id, contact_id, kind, value)
         SELECT DISTINCT ON (o.company_id, f.lid) o.company_id, o.contact_id, 'lid', f.lid FROM (
           SELECT a.outgoing_id, n.lid FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n(account_id, reference, lid)
             JOIN attempts a ON a.account_id = n.account_id AND a.provider_id = n.reference
           UNION
           SELECT a.outgoing_id, n.lid FROM unnest($1::bigint[], $2::text[], $3::text[]) AS n(account_id, reference, lid)
             JOIN attempts a ON a.account_id = n.account_id AND a.own_ref = n.reference
         ) f JOIN outgoing o ON o.id = f.outgoing_id WHERE o.contact_id IS NOT NULL
         ON CONFLICT DO NOTHING",
    )
    .bind::<Array<BigInt>, _>(accounts)
    .bind::<Array<Text>, _>(references)
    .bind::<Array<Text>, _>(lids)
    .execute(conn)
    .await
}

/// Gives a person another number, unless somebody of the company has it.
pub async fn renumber(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ContactId,
    number: &str,
    country: Option<&str>,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE contacts SET whatsapp_number = $3, country = coalesce($4, country), updated_at = wablast_now()
         WHERE company_id = $1 AND id = $2 AND whatsapp_number IS DISTINCT FROM $3
           AND NOT EXISTS (SELECT FROM contacts o WHERE o.company_id = $1 AND o.whatsapp_number = $3)",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(id)
    .bind::<Text, _>(number)
    .bind::<Nullable<Text>, _>(country)
    .execute(conn)
    .await
}
