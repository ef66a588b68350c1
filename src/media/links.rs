//! Addresses at which a gateway fetches a file: random, for one run, over soon.
//!
//! Invariants: an address says nothing about what it leads to and cannot be guessed; it ends an hour
//! after its mailing does, a day after it was made at the latest, or an hour after for a message of its
//! own; who has it can read this one file and nothing else.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::{Media, query};
use crate::app::App;
use crate::ids::{CompanyId, MailingId, MediaId};

/// 186 bits.
const TOKEN: usize = 32;

#[derive(QueryableByName)]
struct Token {
    #[diesel(sql_type = Text)]
    token: String,
}

/// The address of a file for a message of this mailing, or for one of its own. Messages of a run share
/// one, so that gateways may keep what they fetched; it is good for at least an hour.
pub async fn of(
    conn: &mut AsyncPgConnection,
    app: &App,
    company: CompanyId,
    media: MediaId,
    mailing: Option<MailingId>,
) -> QueryResult<String> {
    let known: Option<Token> = sql_query(
        "SELECT token FROM media_links WHERE company_id = $1 AND media_id = $2 AND mailing_id = $3
           AND expires_at > wablast_now() + interval '1 hour' ORDER BY expires_at DESC LIMIT 1",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(media)
    .bind::<Nullable<BigInt>, _>(mailing)
    .get_result(conn)
    .await
    .optional()?;
    let token = match known {
        Some(known) => known.token,
        None => {
            let token = crate::random::token(TOKEN);
            sql_query(
                "INSERT INTO media_links (token, company_id, media_id, mailing_id, expires_at)
                 VALUES ($1, $2, $3, $4, wablast_now() + CASE WHEN $4 IS NULL THEN interval '1 hour' ELSE interval '24 hours' END)",
            )
            .bind::<Text, _>(&token)
            .bind::<BigInt, _>(company)
            .bind::<BigInt, _>(media)
            .bind::<Nullable<BigInt>, _>(mailing)
            .execute(conn)
            .await?;
            token
        }
    };
    Ok(format!("{}/media/{token}", app.config.public_url()))
}

/// What an address leads to; an ended one is as one that never was.
pub async fn follow(conn: &mut AsyncPgConnection, token: &str) -> QueryResult<Media> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        media_id: MediaId,
    }
    let found: Found = sql_query(
        "SELECT l.media_id FROM media_links l LEFT JOIN mailings g ON g.id = l.mailing_id
         WHERE l.token = $1 AND l.expires_at > wablast_now()
           AND (g.finished_at IS NULL OR g.finished_at + interval '1 hour' > wablast_now())",
    )
    .bind::<Text, _>(token)
    .get_result(conn)
    .await?;
    query::find(conn, found.media_id).await
}

pub(super) async fn sweep(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query("DELETE FROM media_links WHERE expires_at < wablast_now()")
        .execute(conn)
        .await
}
