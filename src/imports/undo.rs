//! Taking an import back, within thirty days: the people it made go, as long as nobody has used them since, and
//! people who were there before it get back what it replaced (`changes`).
//!
//! Invariants: only people of this import go; who has messages, said stop, was chosen for a mailing or was
//! changed since stays, counted under the first such reason; while a mailing is being prepared nobody goes,
//! for it may be about to write to them. A value, a tag or a place in a list is taken back only where nobody changed
//! it since; an opt-out never. Broken off in the middle, what was done stays done, and it can be pressed again.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::changes::{self, Figures};
use super::query::{self, Import};
use crate::audit;
use crate::contacts::given::{self, Given};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::ids::{CompanyId, ContactId, ImportId, UserId};

/// For so long after its end an import can be taken back.
pub const DAYS: u8 = 30;
/// People of a transaction.
const BATCH: i64 = 2_000;

/// The first reason why a person stays; null: nobody has used them.
const STAYS: &str = "CASE
  WHEN EXISTS (SELECT FROM outgoing o WHERE o.contact_id = c.id) OR EXISTS (SELECT FROM incoming m WHERE m.contact_id = c.id) THEN 'messages'
  WHEN c.opt_out THEN 'opted_out'
  WHEN EXISTS (SELECT FROM mailing_contacts mc WHERE mc.contact_id = c.id) THEN 'chosen'
  WHEN c.updated_at > c.created_at + interval '1 second' OR EXISTS (SELECT FROM contact_identities ci WHERE ci.contact_id = c.id)
    OR EXISTS (SELECT FROM list_members lm WHERE lm.contact_id = c.id AND (lm.opt_out OR lm.added_at > i.finished_at)) THEN 'changed'
END";

/// What undoing would do now, as reasons and counts; the reason of who would go is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    pub goes: i64,
    /// Reasons: `messages`, `opted_out`, `chosen`, `changed`.
    pub stays: Vec<(String, i64)>,
    /// Of people who were there before it.
    pub given: Figures,
}

impl Fate {
    /// Nothing would happen.
    pub fn is_empty(&self) -> bool {
        self.goes == 0 && self.given.back == 0
    }
}

/// What undoing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Undone {
    /// People who went.
    pub gone: i64,
    /// People who have back what it replaced.
    pub restored: i64,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Is {
    #[diesel(sql_type = Bool)]
    is: bool,
}

/// Whether an import can still be taken back: it made or changed people, ended, and thirty days are not over.
pub async fn is_open(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<bool> {
    let open: Is = sql_query(format!(
        "SELECT EXISTS (SELECT FROM imports i WHERE i.id = $1 AND i.state IN ('done', 'canceled', 'failed')
           AND i.finished_at > wablast_now() - interval '{DAYS} days'
           AND (EXISTS (SELECT FROM contacts c WHERE c.import_id = i.id)
             OR EXISTS (SELECT FROM import_changes h WHERE h.import_id = i.id))) AS is"
    ))
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await?;
    Ok(open.is)
}

pub async fn fate(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<Fate> {
    let counts: Vec<Count> = sql_query(format!(
        "SELECT {STAYS} AS reason, count(*) FROM contacts c JOIN imports i ON i.id = c.import_id
         WHERE c.import_id = $1 GROUP BY 1 ORDER BY 1"
    ))
    .bind::<BigInt, _>(id)
    .load(conn)
    .await?;
    let mut fate = Fate {
        given: changes::figures(conn, id).await?,
        ..Fate::default()
    };
    for Count { reason, count } in counts {
        match reason {
            Some(reason) => fate.stays.push((reason, count)),
            None => fate.goes = count,
        }
    }
    Ok(fate)
}

/// Takes an import back. Broken off in the middle, it can be pressed again.
pub async fn undo(db: &Db, company: CompanyId, user: UserId, id: ImportId) -> Result<Undone> {
    {
        let mut conn = db.company(company).await?;
        query::find(&mut conn, id).await?;
        if !is_open(&mut conn, id).await? {
            return Err(Error::conflict("This import can no longer be undone."));
        }
    }
    let mut undone = Undone::default();
    let mut after = 0;
    loop {
        let mut conn = db.company(company).await?;
        hold_ended(&mut conn, id).await?;
        let batch = batch(&mut conn, id, after).await?;
        conn.commit().await?;
        undone.gone += batch.gone;
        let Some(last) = batch.last else { break };
        after = last;
    }
    let mut after = ContactId(0);
    loop {
        let mut conn = db.company(company).await?;
        let import = hold_ended(&mut conn, id).await?;
        let next = changes::next(&mut conn, id, after, BATCH).await?;
        let Some(last) = next.last() else {
            let by = Some(user);
            audit::note(&mut conn, company, "imports", id.0, by, "undone", None).await?;
            conn.commit().await?;
            return Ok(undone);
        };
        after = last.contact;
        let back: Vec<Given> = next.into_iter().filter(|one| !one.is_empty()).collect();
        given::take_back(&mut conn, company, user, &back, &import.file_name).await?;
        let people: Vec<ContactId> = back.iter().map(|one| one.contact).collect();
        let restored = i64::try_from(changes::forget(&mut conn, id, &people).await?);
        let restored = restored.unwrap_or_default();
        note_restored(&mut conn, id, restored).await?;
        conn.commit().await?;
        undone.restored += restored;
    }
}

/// The import, which nobody resumes until the transaction ends.
async fn hold_ended(conn: &mut AsyncPgConnection, id: ImportId) -> Result<Import> {
    sql_query("SELECT FROM imports WHERE id = $1 FOR UPDATE")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await?;
    let import = query::find(conn, id).await?;
    if import.is_draft() || import.is_under_way() {
        return Err(Error::conflict(
            "This import goes on just now. Stop it before you undo it.",
        ));
    }
    Ok(import)
}

async fn note_restored(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    people: i64,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE imports SET restored = restored + $2, undone_at = wablast_now() WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(people)
    .execute(conn)
    .await
}

#[derive(QueryableByName)]
struct Batch {
    /// The last person looked at; none: that was all.
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
    #[diesel(sql_type = BigInt)]
    gone: i64,
}

async fn batch(conn: &mut AsyncPgConnection, id: ImportId, after: i64) -> Result<Batch> {
    // Nobody is chosen for a mailing between the look and the deed.
    sql_query("LOCK TABLE audience, mailing_contacts IN SHARE MODE")
        .execute(conn)
        .await?;
    let busy: Is = sql_query(
        "SELECT EXISTS (SELECT FROM mailings WHERE state = 'sending' AND NOT release_done) AS is",
    )
    .get_result(conn)
    .await?;
    if busy.is {
        return Err(Error::conflict(
            "A mailing is being prepared just now. Try again in a moment.",
        ));
    }
    let batch = sql_query(format!(
        "WITH looked AS MATERIALIZED (
           SELECT id FROM contacts WHERE import_id = $1 AND id > $2 ORDER BY id LIMIT $3),
         gone AS MATERIALIZED (
           SELECT c.id FROM looked JOIN contacts c ON c.id = looked.id JOIN imports i ON i.id = c.import_id
           WHERE ({STAYS}) IS NULL FOR UPDATE OF c),
         their_tags AS (DELETE FROM contact_tags t USING gone WHERE t.contact_id = gone.id),
         their_lists AS (DELETE FROM list_members m USING gone WHERE m.contact_id = gone.id),
         their_changes AS (DELETE FROM import_changes h USING gone WHERE h.contact_id = gone.id),
         themselves AS (DELETE FROM contacts c USING gone WHERE c.id = gone.id),
         counted AS (UPDATE imports SET undone = undone + (SELECT count(*) FROM gone), undone_at = wablast_now() WHERE id = $1)
         SELECT (SELECT max(id) FROM looked) AS last, (SELECT count(*) FROM gone) AS gone"
    ))
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(BATCH)
    .get_result(conn)
    .await?;
    Ok(batch)
}
