//! "Typing…" before a message, where the account asks for it: seen, typing, a wait by the length of the text.
//!
//! Invariant: all of it happens while messages are claimed and nothing of them has begun, so that a pause, a
//! stop or an opt-out that comes meanwhile still counts.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::claim::Claimed;
use super::way::Way;
use crate::app::App;
use crate::ids::OutgoingId;

/// A quick writer: fifteen letters a second, never under one second nor over five.
const LETTERS: f64 = 15.0;
const SHORTEST: f64 = 1.0;
const LONGEST: f64 = 5.0;

#[derive(QueryableByName)]
struct Letter {
    #[diesel(sql_type = Nullable<Text>)]
    number: Option<String>,
    #[diesel(sql_type = Integer)]
    letters: i32,
}

/// How long somebody would type, a little less or more each time.
fn wait(letters: i32, jitter: f64) -> Duration {
    let seconds = (f64::from(letters) / LETTERS).clamp(SHORTEST, LONGEST);
    Duration::from_secs_f64(seconds * jitter)
}

/// Types to everybody whose message is about to begin, at one time. What fails here is no reason not to send.
pub(super) async fn before(app: &App, way: &Way, claimed: &[Claimed]) {
    let Way::Waha(waha) = way else {
        return;
    };
    let letters = match letters(app, claimed).await {
        Ok(letters) => letters,
        Err(error) => {
            tracing::warn!("typing before messages: {error:#}");
            return;
        }
    };
    let typed = letters.iter().filter_map(|one| {
        let number = one.number.as_deref()?;
        Some(waha.type_to(number, wait(one.letters, crate::random::jitter())))
    });
    futures_util::future::join_all(typed).await;
}

/// To whom, and how much.
async fn letters(app: &App, claimed: &[Claimed]) -> anyhow::Result<Vec<Letter>> {
    let ids: Vec<OutgoingId> = claimed.iter().map(|one| one.id).collect();
    let mut conn = app.db.system().await?;
    Ok(sql_query(
        "SELECT o.number, coalesce(length(ct.text), length(v.message), 0) AS letters FROM outgoing o
         LEFT JOIN outgoing_content ct ON ct.id = o.content_id LEFT JOIN mailing_versions v ON v.id = o.version_id
         WHERE o.id = ANY ($1)",
    )
    .bind::<Array<BigInt>, _>(ids)
    .load(&mut conn)
    .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_texts_take_longer_within_bounds() {
        assert_eq!(wait(0, 1.0), Duration::from_secs(1));
        assert_eq!(wait(45, 1.0), Duration::from_secs(3));
        assert_eq!(wait(4_000, 1.0), Duration::from_secs(5));
        assert!(wait(45, 0.8) < wait(45, 1.2));
    }
}
