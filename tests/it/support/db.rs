//! A database per test, cloned from one migrated template in one private cluster per run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tokio_postgres::NoTls;
use wablast::db;
use wablast::embedded::{Embedded, Purpose};

struct Cluster {
    /// How to reach it, without the database's name.
    server: String,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// The cluster of this run. It ends with this process (the launcher sees to that).
fn cluster() -> &'static Cluster {
    CLUSTER.get_or_init(|| {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let folder = tempfile::tempdir().unwrap();
                let launcher = Path::new(env!("CARGO_BIN_EXE_wablast"));
                let embedded = Embedded::start(folder.path(), None, launcher, Purpose::Tests).await.unwrap();
                let server = embedded.url().replace(" dbname=wablast", "");
                db::migrate(embedded.url()).await.unwrap();
                // The template's clock can be moved.
                execute_at(
                    embedded.url(),
                    "SET ROLE wablast;
                     CREATE TABLE test_clock (shift interval NOT NULL);
                     INSERT INTO test_clock VALUES ('0');
                     GRANT SELECT ON test_clock TO wablast_app, wablast_worker;
                     CREATE OR REPLACE FUNCTION wablast_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
                       'SELECT clock_timestamp() + (SELECT shift FROM test_clock)';",
                )
                .await;
                // It lives as long as the process.
                std::mem::forget(embedded);
                sweep_afterwards(folder.keep());
                Cluster { server }
            })
        })
        .join()
        .unwrap()
    })
}

/// Removes the cluster's gigabytes when this process is gone, however it ended: nothing in it runs then,
/// so somebody waits for the end of a pipe that only this process holds, and for PostgreSQL's own end.
#[expect(clippy::zombie_processes, reason = "it ends after this process")]
fn sweep_afterwards(folder: PathBuf) {
    let script = "trap '' INT TERM; cat >/dev/null
        for _ in $(seq 100); do ls \"$0\"/*/postmaster.pid >/dev/null 2>&1 || break; sleep 0.1; done
        rm -rf \"$0\"";
    let mut sweeper = Command::new("sh")
        .args(["-c", script])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::mem::forget(sweeper.stdin.take());
}

pub struct TestDatabase {
    pub url: String,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let cluster = tokio::task::spawn_blocking(cluster).await.unwrap();
        let name = format!("t_{}", wablast::random::token(12).to_lowercase());
        let admin = format!("{} dbname=postgres", cluster.server);
        // Cloning needs the template to itself: one test at a time.
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _turn = TURN.lock().await;
        execute_at(
            &admin,
            &format!("CREATE DATABASE {name} TEMPLATE wablast OWNER wablast"),
        )
        .await;
        Self {
            url: format!("{} dbname={name}", cluster.server),
        }
    }

    /// A copy of it as it is now, as somebody makes who restores a backup beside it.
    pub async fn copied(&self) -> Self {
        let server = &tokio::task::spawn_blocking(cluster).await.unwrap().server;
        let admin = format!("{server} dbname=postgres");
        let from = self.url.rsplit('=').next().unwrap();
        let name = format!("t_{}", wablast::random::token(12).to_lowercase());
        // Cloning needs the database to itself; who is connected connects again.
        for statement in [
            format!("ALTER DATABASE {from} ALLOW_CONNECTIONS false"),
            format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"
            ),
            format!("CREATE DATABASE {name} TEMPLATE {from} OWNER wablast"),
            format!("ALTER DATABASE {from} ALLOW_CONNECTIONS true"),
        ] {
            execute_at(&admin, &statement).await;
        }
        Self {
            url: format!("{server} dbname={name}"),
        }
    }

    /// It becomes what `earlier` is, as after a restore; who is connected connects again.
    pub async fn set_back_to(&self, earlier: Self) {
        let server = &tokio::task::spawn_blocking(cluster).await.unwrap().server;
        let admin = format!("{server} dbname=postgres");
        let name = |url: &str| url.rsplit('=').next().unwrap().to_owned();
        let (own, earlier) = (name(&self.url), name(&earlier.url));
        for statement in [
            format!("DROP DATABASE {own} WITH (FORCE)"),
            format!("ALTER DATABASE {earlier} RENAME TO {own}"),
        ] {
            execute_at(&admin, &statement).await;
        }
    }

    pub async fn execute(&self, statement: &str) {
        execute_at(&self.url, statement).await;
    }

    pub async fn value(&self, query: &str) -> String {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let rows = client.simple_query(query).await.unwrap();
        rows.iter()
            .find_map(|row| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .unwrap_or_default()
    }
}

async fn execute_at(url: &str, statement: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(statement).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}
