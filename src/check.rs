//! `wablast check`: holds every promise of the delivery against a live database and says what does not
//! hold.
//!
//! Invariants: it only reads, in one snapshot, so that it may run while messages leave; a promise is one
//! statement that finds the rows that break it. Knows the tables of all companies and writes none.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::app::App;
use crate::outgoing::GRACE_SECONDS;

/// Something that must be true of every row.
#[derive(Debug)]
pub struct Promise {
    /// What holds, as a sentence.
    pub holds: &'static str,
    /// Where such a row is looked at in the panel, before its id; empty: nowhere.
    pub path: &'static str,
    /// SQL that gives the `id` of every row that breaks it.
    broken: &'static str,
}

/// How a promise fared.
#[derive(Debug)]
pub struct Finding {
    pub promise: &'static Promise,
    /// How many rows break it.
    pub broken: i64,
    /// The first of them.
    pub examples: Vec<i64>,
}

impl Finding {
    /// One line for a terminal.
    pub fn line(&self) -> String {
        let Promise { holds, path, .. } = self.promise;
        if self.broken == 0 {
            return format!("holds    {holds}");
        }
        let examples: Vec<String> = self
            .examples
            .iter()
            .map(|id| format!("{path}{id}"))
            .collect();
        format!(
            "BROKEN   {holds}\n         {} do not keep it: {}{}",
            self.broken,
            examples.join(" "),
            if self.broken > examples.len() as i64 {
                " ..."
            } else {
                ""
            }
        )
    }
}

/// In the order of what costs most when it breaks.
static PROMISES: &[Promise] = &[
    // Nobody twice.
    Promise {
        holds: "No message has more attempts that may have reached its person than people asked for.",
        path: "/outgoing/",
        broken: "SELECT a.outgoing_id AS id FROM attempts a
                 WHERE a.outcome IS NULL OR a.outcome IN ('accepted', 'uncertain') OR a.rank IN (1, 2, 4, 5)
                 GROUP BY a.outgoing_id HAVING count(*) > 1 + (SELECT count(*) FROM log_ends e WHERE e.outgoing_id = a.outgoing_id)",
    },
    Promise {
        holds: "Nobody has two messages of one mailing, neither as a contact nor as a number.",
        path: "/outgoing/",
        broken: "SELECT max(id) AS id FROM outgoing WHERE kind = 'mailing' AND state <> 'skipped'
                 GROUP BY mailing_id, contact_id HAVING count(*) > 1
                 UNION
                 SELECT max(id) FROM outgoing WHERE kind = 'mailing' AND number IS NOT NULL
                 GROUP BY mailing_id, number HAVING count(*) > 1",
    },
    Promise {
        holds: "What a gateway took is never waiting, left out or cancelled.",
        path: "/outgoing/",
        broken: "SELECT DISTINCT o.id FROM outgoing o JOIN attempts a ON a.outgoing_id = o.id
                 WHERE a.rank IN (1, 2, 4, 5)
                   AND o.state NOT IN ('accepted', 'sent', 'delivered', 'read')",
    },
    Promise {
        holds: "A message counts as sent only where a gateway, a receipt or a person said so.",
        path: "/outgoing/",
        broken: "SELECT o.id FROM outgoing o WHERE o.state IN ('accepted', 'sent', 'delivered', 'read')
                 AND NOT EXISTS (SELECT FROM attempts a WHERE a.outgoing_id = o.id AND (a.outcome = 'accepted' OR a.rank IN (1, 2, 4, 5)))",
    },
    Promise {
        holds: "Every message has as many attempts on record as it counts, each under a hand that came before.",
        path: "/outgoing/",
        broken: "SELECT o.id FROM outgoing o
                 LEFT JOIN (SELECT outgoing_id, count(*) AS n, max(fence) AS fence FROM attempts GROUP BY outgoing_id) a ON a.outgoing_id = o.id
                 WHERE o.attempts <> coalesce(a.n, 0) OR o.fence < coalesce(a.fence, 0)",
    },
    Promise {
        holds: "A message at a gateway has its attempt on record.",
        path: "/outgoing/",
        broken: "SELECT o.id FROM outgoing o WHERE o.state = 'sending'
                 AND NOT EXISTS (SELECT FROM attempts a WHERE a.outgoing_id = o.id AND a.fence = o.fence)",
    },
    Promise {
        holds: "Only messages in a deliverer's hands have an owner and a lease.",
        path: "/outgoing/",
        broken: "SELECT id FROM outgoing WHERE (state IN ('claimed', 'sending')) <> (owner IS NOT NULL)
                 OR (owner IS NOT NULL) <> (lease_until IS NOT NULL)",
    },
    // Nobody lost.
    Promise {
        holds: "A released mailing has one message for everybody of its audience, sent or left out with the reason.",
        path: "/mailings/",
        broken: "SELECT m.id FROM mailings m WHERE m.release_done AND m.version_id IS NOT NULL
                 AND (SELECT count(*) FROM outgoing o WHERE o.mailing_id = m.id) <> coalesce(m.audience_size, 0)",
    },
    Promise {
        holds: "Nobody of a frozen audience is without a message once the release has passed them.",
        path: "/mailings/",
        broken: "SELECT DISTINCT u.mailing_id AS id FROM audience u JOIN mailings m ON m.id = u.mailing_id
                 WHERE u.position <= m.released_position
                   AND NOT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = u.mailing_id AND o.contact_id = u.contact_id)",
    },
    Promise {
        holds: "Whoever was left out has a reason.",
        path: "/outgoing/",
        broken: "SELECT id FROM outgoing WHERE state = 'skipped' AND code IS NULL",
    },
    Promise {
        holds: "Whatever failed or is uncertain says why.",
        path: "/outgoing/",
        broken: "SELECT id FROM outgoing WHERE state IN ('failed', 'uncertain') AND code IS NULL",
    },
    Promise {
        holds: "No message stays in the hands of a deliverer that is gone (needs a running instance).",
        path: "/outgoing/",
        broken: "SELECT id FROM outgoing WHERE state IN ('claimed', 'sending')
                 AND lease_until + make_interval(secs => ($2 + 20)::float8) < wablast_now()",
    },
    Promise {
        holds: "No due mailing still waits for the scheduler (needs a running instance and the job Scheduler Send).",
        path: "/mailings/",
        broken: "SELECT m.id FROM mailings m WHERE m.state = 'submitted' AND m.schedule_date < wablast_now() - interval '3 minutes'
                 AND EXISTS (SELECT FROM jobs j WHERE j.name = 'scheduler_send' AND j.active)",
    },
    Promise {
        holds: "No receipt waits for a message that is known.",
        path: "",
        broken: "SELECT a.outgoing_id AS id FROM parked_receipts p JOIN attempts a ON a.account_id = p.account_id AND a.provider_id = p.reference
                 WHERE p.received_at < wablast_now() - interval '1 minute'
                 UNION
                 SELECT a.outgoing_id FROM parked_receipts p JOIN attempts a ON a.account_id = p.account_id AND a.own_ref = p.reference
                 WHERE p.received_at < wablast_now() - interval '1 minute'",
    },
    // Always accounted for.
    Promise {
        holds: "A mailing that has ended has nothing open, and one that sends has.",
        path: "/mailings/",
        broken: "SELECT m.id FROM mailings m CROSS JOIN LATERAL (
                   SELECT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state IN ('queued', 'claimed', 'sending')) AS open) x
                 WHERE (m.state = 'canceled' AND EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = m.id AND o.state = 'queued'
                        AND coalesce(o.not_after, '-infinity') < wablast_now() - interval '1 minute'))
                    OR (m.state IN ('done', 'partial_failure', 'failed') AND (x.open OR NOT m.release_done))
                    OR (m.state = 'sending' AND m.release_done AND NOT x.open AND m.updated_at < wablast_now() - interval '1 minute'
                        AND NOT EXISTS (SELECT FROM outgoing o WHERE o.mailing_id = m.id
                                        AND greatest(o.accepted_at, o.failed_at, o.begun_at) > wablast_now() - interval '1 minute'))",
    },
    Promise {
        holds: "How a mailing ended is what its messages say.",
        path: "/mailings/",
        broken: "SELECT m.id FROM mailings m CROSS JOIN LATERAL (
                   SELECT count(*) FILTER (WHERE o.state IN ('accepted', 'sent', 'delivered', 'read')) AS sent,
                     count(*) FILTER (WHERE o.state IN ('failed', 'expired')) AS failed,
                     count(*) FILTER (WHERE o.state = 'uncertain') AS uncertain
                   FROM outgoing o WHERE o.mailing_id = m.id) c
                 WHERE m.finished_at < wablast_now() - interval '1 minute' AND (
                      (m.state = 'failed' AND (c.sent > 0 OR c.uncertain > 0))
                   OR (m.state = 'partial_failure' AND (c.failed = 0 OR c.sent + c.uncertain = 0))
                   OR (m.state = 'done' AND (c.failed > 0 OR c.sent + c.uncertain = 0)))",
    },
    Promise {
        holds: "A mailing that was released has its text on record, unchanged since, and a log of the run.",
        path: "/mailings/",
        broken: "SELECT m.id FROM mailings m WHERE m.state IN ('sending', 'paused', 'done', 'partial_failure', 'failed')
                 AND (m.version_id IS NULL OR m.log_id IS NULL
                   OR NOT EXISTS (SELECT FROM mailing_versions v WHERE v.id = m.version_id AND v.mailing_id = m.id)
                   OR NOT EXISTS (SELECT FROM logs l WHERE l.id = m.log_id AND l.mailing_id = m.id))",
    },
    Promise {
        holds: "A log runs as long as its mailing does.",
        path: "/logs/",
        broken: "SELECT l.id FROM logs l JOIN mailings m ON m.id = l.mailing_id
                 WHERE l.id = m.log_id AND (l.state = 'running') <> (m.state IN ('sending', 'paused'))
                   AND coalesce(m.finished_at, m.updated_at) < wablast_now() - interval '1 minute'",
    },
    Promise {
        holds: "The times of a message stand in order: read means delivered, delivered means accepted.",
        path: "/outgoing/",
        broken: "SELECT id FROM outgoing WHERE (state = 'read' AND (read_at IS NULL OR delivered_at IS NULL))
                 OR (state IN ('delivered', 'read') AND (delivered_at IS NULL OR accepted_at IS NULL))
                 OR (state IN ('accepted', 'sent') AND accepted_at IS NULL) OR (state = 'failed' AND failed_at IS NULL)",
    },
    Promise {
        holds: "A message shows the furthest that its receipts reached.",
        path: "/outgoing/",
        broken: "SELECT o.id FROM outgoing o JOIN (SELECT outgoing_id, max(rank) FILTER (WHERE rank IN (1, 2, 4, 5)) AS rank
                   FROM attempts GROUP BY outgoing_id) a ON a.outgoing_id = o.id
                 WHERE a.rank >= 4 AND a.rank IS DISTINCT FROM CASE o.state WHEN 'delivered' THEN 4 WHEN 'read' THEN 5 END",
    },
    Promise {
        holds: "No account has spent more of its pace than it was given.",
        path: "/accounts/",
        broken: "SELECT p.account_id AS id FROM account_pace p WHERE p.tokens < -0.001",
    },
    Promise {
        holds: "An account that is not sending says why, and one that paused itself when it tries again.",
        path: "/accounts/",
        broken: "SELECT a.id FROM accounts a WHERE a.health <> 'running' AND (a.health_reason IS NULL OR a.health_code IS NULL)
                    OR a.health = 'paused' AND (a.health_code = 'auto') <> (a.health_retry_at IS NOT NULL)",
    },
    Promise {
        holds: "An account whose pace lets one message through at a time is one that tries whether it works again.",
        path: "/accounts/",
        broken: "SELECT a.id FROM accounts a JOIN account_pace p ON p.account_id = a.id
                 WHERE p.probing <> (a.health = 'running' AND a.health_code IS NOT DISTINCT FROM 'probe')",
    },
    Promise {
        holds: "Nothing leaves while sending is locked.",
        path: "/outgoing/",
        broken: "SELECT a.outgoing_id AS id FROM attempts a, installation i WHERE a.begun_at > i.locked_at + interval '1 second'",
    },
    Promise {
        holds: "A scheduled job ran at most once for each of its moments.",
        path: "",
        broken: "SELECT max(id) AS id FROM job_runs WHERE trigger = 'schedule' GROUP BY job, slot HAVING count(*) > 1",
    },
    // The tables that carry no foreign keys.
    Promise {
        holds: "Every message belongs to an account, and its mailing, text and log to the same company.",
        path: "/outgoing/",
        broken: "SELECT o.id FROM outgoing o
                 LEFT JOIN accounts a ON a.id = o.account_id
                 LEFT JOIN mailings m ON m.id = o.mailing_id AND m.company_id = o.company_id
                 LEFT JOIN mailing_versions v ON v.id = o.version_id AND v.company_id = o.company_id AND v.mailing_id IS NOT DISTINCT FROM o.mailing_id
                 LEFT JOIN logs l ON l.id = o.log_id AND l.company_id = o.company_id
                 LEFT JOIN outgoing_content t ON t.id = o.content_id AND t.company_id = o.company_id
                 WHERE a.id IS NULL OR (o.kind = 'mailing') <> (m.id IS NOT NULL)
                   OR (o.version_id IS NOT NULL AND v.id IS NULL) OR (o.log_id IS NOT NULL AND l.id IS NULL)
                   OR (o.kind <> 'mailing') <> (t.id IS NOT NULL)",
    },
    Promise {
        holds: "Every message's account may be used by its company.",
        path: "/outgoing/",
        broken: "SELECT o.id FROM outgoing o WHERE NOT EXISTS (
                   SELECT FROM account_companies ac WHERE ac.account_id = o.account_id AND ac.company_id = o.company_id)",
    },
    Promise {
        holds: "Every message's contact exists in the same company.",
        path: "/outgoing/",
        broken: "SELECT o.id FROM outgoing o WHERE o.contact_id IS NOT NULL AND NOT EXISTS (
                   SELECT FROM contacts c WHERE c.id = o.contact_id AND c.company_id = o.company_id)",
    },
    Promise {
        holds: "Every attempt belongs to a message of the same account and company.",
        path: "",
        broken: "SELECT a.id FROM attempts a LEFT JOIN outgoing o
                   ON o.id = a.outgoing_id AND o.company_id = a.company_id AND o.account_id = a.account_id
                 WHERE o.id IS NULL",
    },
    Promise {
        holds: "Every incoming message belongs to an account, and its contact to the same company.",
        path: "/incoming/",
        broken: "SELECT i.id FROM incoming i LEFT JOIN accounts a ON a.id = i.account_id
                 LEFT JOIN contacts c ON c.id = i.contact_id AND c.company_id = i.company_id
                 WHERE a.id IS NULL OR (i.contact_id IS NOT NULL AND c.id IS NULL)",
    },
    Promise {
        holds: "Every stored event belongs to an account.",
        path: "",
        broken: "SELECT n.id FROM inbox n WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.id = n.account_id)",
    },
    Promise {
        holds: "No event was set aside (each waits on Technical > Webhook Log).",
        path: "/webhook-log/",
        broken: "SELECT id FROM inbox WHERE state = 'set_aside'",
    },
];

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    broken: i64,
    #[diesel(sql_type = Array<BigInt>)]
    examples: Vec<i64>,
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Settings of the server under which a loss of power takes back what was promised; a connection of ours
/// waits for its commits anyway (`db.rs`). As sentences.
pub async fn durability(conn: &mut AsyncPgConnection) -> QueryResult<Vec<&'static str>> {
    let off: Vec<Setting> = sql_query(
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')
         AND setting NOT IN ('on', 'remote_apply') ORDER BY name",
    )
    .load(conn)
    .await?;
    let words = |setting: Setting| match setting.name.as_str() {
        "fsync" => {
            "PostgreSQL runs with fsync off: after a loss of power people may get messages twice. Set fsync = on."
        }
        "full_page_writes" => {
            "PostgreSQL runs with full_page_writes off: a loss of power may damage the database. Set full_page_writes = on."
        }
        _ => {
            "PostgreSQL does not wait for the commits of this program (synchronous_commit): after a crash people may get messages twice. Connect without a pooler that changes it."
        }
    };
    Ok(off.into_iter().map(words).collect())
}

/// Looks at everything, in one snapshot.
pub async fn all(app: &App) -> anyhow::Result<Vec<Finding>> {
    let mut conn = app.db.system().await?;
    // A look at a hundred million rows takes as long as it takes.
    conn.batch_execute(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0",
    )
    .await?;
    let found = look(&mut conn).await;
    conn.batch_execute("ROLLBACK").await?;
    Ok(found?)
}

async fn look(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Finding>> {
    let mut findings = Vec::with_capacity(PROMISES.len());
    for promise in PROMISES {
        let row: Row = sql_query(format!(
            "WITH broken AS MATERIALIZED (SELECT b.id FROM ({broken}) b WHERE $2::bigint IS NOT NULL)
             SELECT (SELECT count(*) FROM broken) AS broken,
               ARRAY(SELECT id FROM broken ORDER BY id LIMIT $1) AS examples",
            broken = promise.broken
        ))
        .bind::<BigInt, _>(5)
        .bind::<BigInt, _>(GRACE_SECONDS)
        .get_result(conn)
        .await?;
        findings.push(Finding {
            promise,
            broken: row.broken,
            examples: row.examples,
        });
    }
    Ok(findings)
}
