//! Release: a due mailing gets an immutable version, a frozen audience and a message for everybody.
//!
//! Invariants: never before the instant, whatever was missed is caught up; a mailing is released once;
//! the audience is frozen (`freeze.rs`) and written in chunks that resume after any crash; a chunk
//! and its position are one transaction. Whose first messages are missing comes before whose last are.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl};

use super::{Mailing, State, audience, freeze, lock, query, template};
use crate::app::App;
use crate::companies;
use crate::crash;
use crate::gateways::meta::message::TemplateCall;
use crate::ids::{LogId, MailingId, VersionId};
use crate::logs::{self, Trigger};
use crate::outgoing::query::{Chunk, add_chunk};
use crate::schema::mailings;

/// Positions of one transaction.
const CHUNK: i64 = 10_000;

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Begins the run of a mailing: version, log, state. The people follow by [`advance`]. The caller holds
/// the mailing's row and has checked that it may start.
pub(super) async fn start(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    trigger: Trigger,
    user: Option<crate::ids::UserId>,
) -> QueryResult<()> {
    let (call, unsendable) = template::call_of(conn, mailing).await?.unzip();
    let version = version(conn, mailing, Some(mailing.id), call.as_ref()).await?;
    let recipients = recipients_in_words(conn, mailing).await?;
    let log = logs::open(
        conn,
        mailing.company_id,
        mailing.id,
        mailing.account_id,
        trigger,
        user,
        &recipients,
    )
    .await?;
    let started = sql_query(
        "UPDATE mailings SET state = 'sending', state_reason = NULL, version_id = $2, log_id = $3, started_at = wablast_now(),
           finished_at = NULL, updated_at = wablast_now()
         WHERE id = $1 AND version_id IS NULL AND state IN ('draft', 'submitted', 'missed')",
    )
    .bind::<BigInt, _>(mailing.id)
    .bind::<BigInt, _>(version)
    .bind::<BigInt, _>(log)
    .execute(conn)
    .await?;
    if started != 1 {
        return Err(diesel::result::Error::RollbackTransaction);
    }
    // Meta took it back since it was submitted: nobody is written to until a person looks.
    if let (Some(id), Some(Some(reason))) = (mailing.template_id, unsendable) {
        template::hold(conn, &[id], &reason).await?;
    }
    Ok(())
}

/// What the mailing says now, for good: of a run, or, without one, of a test.
pub(super) async fn version(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
    run: Option<MailingId>,
    call: Option<&TemplateCall>,
) -> QueryResult<VersionId> {
    let header = if mailing.header_type == "text" {
        mailing.header.as_str()
    } else {
        ""
    };
    let texts = mailing.texts();
    let (fields, _) = audience::placeholders(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let call = call
        .map(serde_json::to_value)
        .transpose()
        .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
    let version: Id = sql_query(
        "INSERT INTO mailing_versions (company_id, mailing_id, subject, header, message, footer, fields, media_id, template, template_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
    )
    .bind::<BigInt, _>(mailing.company_id)
    .bind::<Nullable<BigInt>, _>(run)
    .bind::<Text, _>(&mailing.subject)
    .bind::<Text, _>(header)
    .bind::<Text, _>(&mailing.message)
    .bind::<Text, _>(&mailing.footer)
    .bind::<Array<Text>, _>(fields)
    .bind::<Nullable<BigInt>, _>(mailing.media_id)
    .bind::<Nullable<Jsonb>, _>(call)
    .bind::<Nullable<BigInt>, _>(mailing.template_id)
    .get_result(conn)
    .await?;
    Ok(VersionId(version.id))
}

async fn recipients_in_words(
    conn: &mut AsyncPgConnection,
    mailing: &Mailing,
) -> QueryResult<String> {
    #[derive(QueryableByName)]
    struct Words {
        #[diesel(sql_type = Text)]
        words: String,
    }
    let words: Words = sql_query(
        "SELECT coalesce((SELECT string_agg(l.name, ', ' ORDER BY ml.position) FROM mailing_lists ml JOIN lists l ON l.id = ml.list_id
             WHERE ml.mailing_id = $1 AND NOT ml.excluded AND $2 = 'lists'),
           (SELECT count(*) || ' contacts' FROM mailing_contacts WHERE mailing_id = $1)) AS words",
    )
    .bind::<BigInt, _>(mailing.id)
    .bind::<Text, _>(&mailing.recipients)
    .get_result(conn)
    .await?;
    Ok(words.words)
}

/// What a run of the scheduler did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Released {
    pub started: usize,
    pub missed: usize,
}

/// *Scheduler Send*: starts every submitted mailing whose instant is reached, however long ago within
/// the company's late tolerance; later than that it becomes Missed and asks a person.
pub async fn due(app: &App) -> anyhow::Result<Released> {
    let mut released = Released::default();
    if !app.config.sending {
        return Ok(released);
    }
    let mut conn = app.db.system().await?;
    if !lock::may_release(&mut conn).await? {
        return Ok(released);
    }
    loop {
        let one = conn
            .transaction(async |conn| start_next(conn).await)
            .await?;
        match one {
            None => break,
            Some(State::Missed) => released.missed += 1,
            Some(_) => released.started += 1,
        }
    }
    if released.started > 0 {
        app.wake.release.notify_one();
    }
    Ok(released)
}

async fn start_next(conn: &mut AsyncPgConnection) -> QueryResult<Option<State>> {
    let next: Option<Id> = sql_query(
        "SELECT id FROM mailings WHERE state = 'submitted' AND schedule_date <= (SELECT wablast_now())
         ORDER BY schedule_date, id LIMIT 1 FOR UPDATE SKIP LOCKED",
    )
    .get_result(conn)
    .await
    .optional()?;
    let Some(id) = next.map(|next| MailingId(next.id)) else {
        return Ok(None);
    };
    let missed = sql_query(
        "UPDATE mailings m SET state = 'missed', updated_at = wablast_now(),
           state_reason = 'It was due while the system was not running, and too much time has passed since.'
         FROM companies c WHERE m.id = $1 AND c.id = m.company_id
           AND m.schedule_date + make_interval(mins => c.late_tolerance_minutes) < wablast_now()",
    )
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await?;
    if missed == 1 {
        return Ok(Some(State::Missed));
    }
    let mailing = query::find(conn, id).await?;
    start(conn, &mailing, Trigger::Scheduler, None).await?;
    Ok(Some(State::Sending))
}

/// Writes the messages of started mailings until all of them have theirs. Any number of instances may
/// do this at once: a mailing is advanced by one of them at a time. Returns how many messages were made.
pub async fn advance(app: &App) -> anyhow::Result<usize> {
    let mut made = 0;
    let mut conn = app.db.system().await?;
    while let Some(rows) = advance_any(&mut conn).await? {
        made += rows;
        app.wake.deliver.notify_one();
        app.wake.settle.notify_one();
    }
    Ok(made)
}

/// One step of the first mailing that lets us. `None`: nothing to do.
async fn advance_any(conn: &mut AsyncPgConnection) -> QueryResult<Option<usize>> {
    let waiting: Vec<MailingId> = mailings::table
        .filter(mailings::state.eq_any(["sending", "paused"]))
        .filter(mailings::release_done.eq(false))
        .filter(mailings::version_id.is_not_null())
        .order((mailings::released_position.gt(0), mailings::id))
        .select(mailings::id)
        .load(conn)
        .await?;
    for id in waiting {
        let step = conn
            .transaction(async |conn| {
                let step = advance_one(conn, id).await?;
                crash::here("release.write");
                QueryResult::Ok(step)
            })
            .await?;
        crash::here("release.done");
        match step {
            Step::Made(rows) => return Ok(Some(rows)),
            Step::Others => {}
            Step::Rest => {
                let frozen = conn
                    .transaction(async |conn| freeze::rest(conn, id).await)
                    .await?;
                if frozen {
                    return Ok(Some(0));
                }
            }
        }
    }
    Ok(None)
}

/// What became of one mailing's turn.
enum Step {
    Made(usize),
    /// All who are frozen have their message: the others are to be frozen.
    Rest,
    /// Another instance is at it, or it needs nothing any more.
    Others,
}

/// One step of one mailing: freezing its first people, or a chunk.
async fn advance_one(conn: &mut AsyncPgConnection, id: MailingId) -> QueryResult<Step> {
    type Row = (
        Option<VersionId>,
        Option<LogId>,
        i64,
        Option<i64>,
        Option<i64>,
    );
    let found: Option<Row> = mailings::table
        .find(id)
        .filter(mailings::state.eq_any(["sending", "paused"]))
        .filter(mailings::release_done.eq(false))
        .select((
            mailings::version_id,
            mailings::log_id,
            mailings::released_position,
            mailings::audience_size,
            mailings::head_size,
        ))
        .for_update()
        .skip_locked()
        .first(conn)
        .await
        .optional()?;
    let Some((Some(version), Some(log), position, size, head)) = found else {
        return Ok(Step::Others);
    };
    let Some(frozen) = size.or(head) else {
        freeze::head(conn, id).await?;
        return Ok(Step::Made(0));
    };
    if size.is_none() && position >= frozen {
        return Ok(Step::Rest);
    }
    let rows = chunk(
        conn,
        id,
        version,
        log,
        position,
        (position + CHUNK).min(frozen),
    )
    .await?;
    Ok(Step::Made(rows))
}

/// Makes the messages of the people behind `position`, up to `up_to`.
async fn chunk(
    conn: &mut AsyncPgConnection,
    id: MailingId,
    version: VersionId,
    log: LogId,
    position: i64,
    up_to: i64,
) -> QueryResult<usize> {
    let mailing = query::find(conn, id).await?;
    let texts = version_texts(conn, version).await?;
    let (fields, bare) =
        audience::placeholders(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let required = if mailing.skip_missing_values {
        bare
    } else {
        Vec::new()
    };
    let frequency = companies::find(conn, mailing.company_id).await?.frequency();
    let window = template::window(conn, &mailing).await?;
    let rows = add_chunk(
        conn,
        &Chunk {
            company: mailing.company_id,
            mailing: id,
            account: mailing.account_id,
            version,
            log,
            after: position,
            up_to,
            not_after: mailing.not_after,
            verdict: &audience::verdict(&required, frequency, window),
            values: &audience::values(&fields),
        },
    )
    .await?;
    diesel::update(mailings::table.find(id))
        .set((
            mailings::released_position.eq(up_to),
            mailings::release_done.eq(mailings::audience_size
                .is_not_null()
                .and(mailings::audience_size.assume_not_null().le(up_to))),
        ))
        .execute(conn)
        .await?;
    Ok(rows)
}

/// Every text of a version that may have placeholders.
async fn version_texts(
    conn: &mut AsyncPgConnection,
    version: VersionId,
) -> QueryResult<Vec<String>> {
    use crate::schema::mailing_versions as versions;
    type Row = (String, String, String, String, Option<serde_json::Value>);
    let (subject, header, message, footer, call): Row = versions::table
        .find(version)
        .select((
            versions::subject,
            versions::header,
            versions::message,
            versions::footer,
            versions::template,
        ))
        .first(conn)
        .await?;
    let call: Option<TemplateCall> = call
        .map(serde_json::from_value)
        .transpose()
        .map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))?;
    let values: Vec<String> = call
        .iter()
        .flat_map(TemplateCall::texts)
        .map(str::to_owned)
        .collect();
    Ok([subject, header, message, footer]
        .into_iter()
        .chain(values)
        .collect())
}
