//! Whose address a webhook was posted to.
//!
//! Invariant: the answer is read from the database after the question was asked, so that a changed secret or a closed
//! account counts at once. What is asked within a few milliseconds is read by one statement, because a busy
//! gateway posts thousands of events a second to the same address. Knows no event.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::accounts::{Account, query};
use crate::app::App;
use crate::error::{Error, Result};

/// How long the first who asks waits for others. Nobody waits while nothing else is under way.
const GROUP: Duration = Duration::from_millis(2);
/// Several who asked while the last statement ran: more will.
const BUSY: usize = 2;

type Answer = Option<Option<Arc<Account>>>;

/// Asks for accounts; a cheap clone.
#[derive(Clone)]
pub(super) struct Keys {
    sender: mpsc::Sender<(String, oneshot::Sender<Answer>)>,
}

impl Keys {
    pub fn start(app: App) -> Self {
        let (sender, receiver) = mpsc::channel(10_000);
        tokio::spawn(answer_groups(app, receiver));
        Self { sender }
    }

    /// The account of an address; `None`: of nobody.
    pub async fn account(&self, key: &str) -> Result<Option<Arc<Account>>> {
        let (answer, answered) = oneshot::channel();
        let asked = self.sender.send((key.to_owned(), answer)).await;
        asked.map_err(|_| Error::Busy)?;
        answered.await.ok().flatten().ok_or(Error::Busy)
    }
}

async fn answer_groups(app: App, mut receiver: mpsc::Receiver<(String, oneshot::Sender<Answer>)>) {
    let mut busy = false;
    while let Some(first) = receiver.recv().await {
        if busy {
            tokio::time::sleep(GROUP).await;
        }
        let mut group = vec![first];
        while let Ok(next) = receiver.try_recv() {
            group.push(next);
        }
        busy = group.len() >= BUSY;
        let found = find(&app, &group).await;
        if let Err(error) = &found {
            tracing::warn!(
                "looking for the accounts of {} webhooks: {error:#}",
                group.len()
            );
        }
        for (key, asked) in group {
            let answer = found.as_ref().ok().map(|found| found.get(&key).cloned());
            // Whoever asked may have hung up.
            let _ = asked.send(answer);
        }
    }
}

async fn find(
    app: &App,
    group: &[(String, oneshot::Sender<Answer>)],
) -> anyhow::Result<HashMap<String, Arc<Account>>> {
    let mut keys: Vec<String> = group.iter().map(|(key, _)| key.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut conn = app.db.system().await?;
    let found = query::find_by_keys(&mut conn, &keys).await?;
    let by_key = found.into_iter();
    Ok(by_key
        .map(|account| (account.account_key.clone(), Arc::new(account)))
        .collect())
}
