//! Files that a gateway keeps: uploaded once a number, named by id until that ends.
//!
//! Invariants: an id is used for 25 of the 30 days that Meta keeps a file; two uploads of the same file at once
//! both hold, and the later one is remembered. Owns `media_uploads`. From Meta's documentation: an id belongs to
//! the number it was uploaded for.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::files::{Missing, bytes_of};
use crate::app::App;
use crate::gateways::meta::Meta;
use crate::ids::AccountId;
use crate::media::Media;

#[derive(QueryableByName)]
struct Known {
    #[diesel(sql_type = Text)]
    provider_id: String,
}

/// The gateway's id of a file, uploaded now where it is not known or ends soon.
pub(super) async fn id_of(
    app: &App,
    account: AccountId,
    meta: &Meta,
    media: &Media,
) -> Result<String, Missing> {
    let known = {
        let mut conn = app.db.system().await?;
        known(&mut conn, account, media).await?
    };
    if let Some(known) = known {
        return Ok(known);
    }
    let bytes = bytes_of(app, media).await?;
    let id = meta
        .upload(media.full_mime(), &media.file_name, &bytes)
        .await
        .map_err(Missing::There)?;
    let mut conn = app.db.system().await?;
    remember(&mut conn, account, media, &id).await?;
    Ok(id)
}

async fn known(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    media: &Media,
) -> QueryResult<Option<String>> {
    let known: Option<Known> = sql_query(
        "SELECT provider_id FROM media_uploads WHERE account_id = $1 AND media_id = $2
           AND uploaded_at > wablast_now() - interval '25 days'",
    )
    .bind::<BigInt, _>(account)
    .bind::<BigInt, _>(media.id)
    .get_result(conn)
    .await
    .optional()?;
    Ok(known.map(|known| known.provider_id))
}

async fn remember(
    conn: &mut AsyncPgConnection,
    account: AccountId,
    media: &Media,
    provider_id: &str,
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO media_uploads (company_id, account_id, media_id, provider_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account_id, media_id) DO UPDATE SET provider_id = excluded.provider_id, uploaded_at = wablast_now()",
    )
    .bind::<BigInt, _>(media.company_id)
    .bind::<BigInt, _>(account)
    .bind::<BigInt, _>(media.id)
    .bind::<Text, _>(provider_id)
    .execute(conn)
    .await
}
