//! The two doors to PostgreSQL, and the migrations.
//!
//! `Db::company` opens a transaction that sees one company only (row-level security, the company set
//! LOCAL); `Db::system` sees all and is named only by the modules of `tests/it/tidy.rs`. Invariant: a
//! [`CompanyConn`] that is dropped without `commit` leaves nothing behind: its connection is closed,
//! which rolls back. Knows no table.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl,
    SimpleAsyncConnection, TransactionManager,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt as _;
use tokio::sync::watch;

use crate::embedded::Status;
use crate::eras::Eras;
use crate::error::{Error, Result};
use crate::ids::CompanyId;

diesel::define_sql_function! {
    /// The only time SQL knows.
    fn wablast_now() -> Timestamptz;
}

/// What time it is for the database, whatever the clock of this process says.
pub async fn now(conn: &mut AsyncPgConnection) -> QueryResult<DateTime<Utc>> {
    diesel::select(wablast_now()).get_result(conn).await
}

pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Connections of the doors (web, api) and of the workers (deliverer, intake, jobs) of one process.
const APP_CONNECTIONS: usize = 12;
const WORKER_CONNECTIONS: usize = 12;
/// How long a request waits for a connection before it is told to come again.
const WAIT: Duration = Duration::from_secs(5);
const HEALTH_WAIT: Duration = Duration::from_secs(2);

/// Handles to the database; a cheap clone.
#[derive(Clone)]
pub struct Db {
    app: Pool<AsyncPgConnection>,
    worker: Pool<AsyncPgConnection>,
    walled: bool,
    private: Option<watch::Receiver<Status>>,
    eras: Arc<Eras>,
}

/// How the database is, for those who watch over this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Up,
    /// It is there; all our connections are at work.
    Busy,
    /// It does not answer. A private one is being started again.
    Down,
}

/// A transaction inside one company.
pub struct CompanyConn {
    connection: Option<Object<AsyncPgConnection>>,
}

/// A connection that sees all companies.
pub struct SystemConn {
    connection: Object<AsyncPgConnection>,
}

impl Db {
    /// Connects; `url` is anything tokio-postgres understands.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let walled = has_wall(url).await?;
        let eras = Arc::<Eras>::default();
        let pool =
            |role, size, silent| pool(url, walled.then_some(role), size, silent, Arc::clone(&eras));
        Ok(Self {
            app: pool("wablast_app", APP_CONNECTIONS, APP_SILENT)?,
            worker: pool("wablast_worker", WORKER_CONNECTIONS, WORKER_SILENT)?,
            walled,
            private: None,
            eras,
        })
    }

    /// The same, knowing how the private PostgreSQL is.
    pub fn watching(self, private: Option<watch::Receiver<Status>>) -> Self {
        Self { private, ..self }
    }

    /// How the private PostgreSQL of this process is; `None`: it has none.
    pub fn private(&self) -> Option<Status> {
        self.private
            .as_ref()
            .map(|private| private.borrow().clone())
    }

    /// Asks the database.
    pub async fn health(&self) -> Health {
        if self.private().is_some_and(|private| !private.up) {
            return Health::Down;
        }
        let ask = async {
            let mut conn = self.worker.get().await.ok()?;
            conn.batch_execute("SELECT 1").await.ok()
        };
        match tokio::time::timeout(HEALTH_WAIT, ask).await {
            Ok(Some(())) => Health::Up,
            Ok(None) => Health::Down,
            Err(_) => Health::Busy,
        }
    }

    /// The number of the era: another one, and what is known of the database may be no more.
    pub fn era(&self) -> u64 {
        self.eras.now()
    }

    /// Asks over an old connection whether this is still the database it was, and which era it is in.
    pub async fn ask_again(&self, conn: &mut AsyncPgConnection) -> QueryResult<u64> {
        Ok(self.eras.of(guard(conn).await?))
    }

    /// Whether row-level security stands behind the queries.
    pub fn is_walled(&self) -> bool {
        self.walled
    }

    /// A transaction that sees `company` only. Commit it, or nothing happened.
    pub async fn company(&self, company: CompanyId) -> Result<CompanyConn> {
        let mut connection = self.take(&self.app).await?;
        AnsiTransactionManager::begin_transaction(&mut *connection).await?;
        let mut conn = CompanyConn {
            connection: Some(connection),
        };
        sql_query("SELECT set_config('app.company', $1, true)")
            .bind::<Text, _>(company.to_string())
            .execute(&mut *conn)
            .await?;
        Ok(conn)
    }

    /// A transaction that sees every company; without `commit` it leaves nothing behind either.
    pub async fn across(&self) -> Result<CompanyConn> {
        let mut connection = self.take(&self.worker).await?;
        AnsiTransactionManager::begin_transaction(&mut *connection).await?;
        Ok(CompanyConn {
            connection: Some(connection),
        })
    }

    /// The door of those who work for all companies.
    pub async fn system(&self) -> Result<SystemConn> {
        Ok(SystemConn {
            connection: self.take(&self.worker).await?,
        })
    }

    async fn take(&self, pool: &Pool<AsyncPgConnection>) -> Result<Object<AsyncPgConnection>> {
        match tokio::time::timeout(WAIT, pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => {
                self.eras.is_away();
                tracing::warn!(%error, "no connection to the database");
                Err(Error::Busy)
            }
            Err(_) => Err(Error::Busy),
        }
    }
}

impl CompanyConn {
    pub async fn commit(mut self) -> Result<()> {
        if let Some(connection) = self.connection.as_mut() {
            AnsiTransactionManager::commit_transaction(&mut **connection).await?;
        }
        // Committed: the connection goes back to the pool.
        drop(self.connection.take());
        Ok(())
    }
}

impl Drop for CompanyConn {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Out of the pool and closed at once, so that its locks do not outlive the request.
            drop(Object::take(connection));
        }
    }
}

impl Deref for CompanyConn {
    type Target = AsyncPgConnection;
    #[expect(
        clippy::expect_used,
        reason = "only commit and drop take the connection, and both consume self"
    )]
    fn deref(&self) -> &Self::Target {
        self.connection
            .as_ref()
            .expect("connection is there until commit")
    }
}

impl DerefMut for CompanyConn {
    #[expect(
        clippy::expect_used,
        reason = "only commit and drop take the connection, and both consume self"
    )]
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection
            .as_mut()
            .expect("connection is there until commit")
    }
}

impl Deref for SystemConn {
    type Target = AsyncPgConnection;
    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for SystemConn {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

/// What every connection is given once. The promise needs commits that stay, whatever the server does by
/// default; where it waits for replicas to show a commit too, that is more and remains.
const SET: &str = "SET TIME ZONE 'UTC'; SET statement_timeout = '120s'; SET application_name = 'wablast';
  SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'";

/// How long a transaction may stand still. PostgreSQL would keep what it locked for hours when the line to its
/// program went dead without a word; a deliverer's is let go before the leases of what it held are over.
const APP_SILENT: &str = "5min";
const WORKER_SILENT: &str = "30s";

/// Every connection asks first whether this is still the database it was: where it is not, sending is
/// locked before anything is claimed (`mailings/lock.rs`).
fn pool(
    url: &str,
    role: Option<&'static str>,
    size: usize,
    silent: &'static str,
    eras: Arc<Eras>,
) -> anyhow::Result<Pool<AsyncPgConnection>> {
    let mut config = ManagerConfig::<AsyncPgConnection>::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |url| {
        let (url, eras) = (url.to_owned(), Arc::clone(&eras));
        async move {
            let mut connection = AsyncPgConnection::establish(&url).await?;
            let role = role.map_or(String::new(), |role| format!("SET ROLE {role};"));
            let set_up = async {
                let silent = format!("SET idle_in_transaction_session_timeout = '{silent}'");
                connection
                    .batch_execute(&format!("{role} {silent}; {SET}"))
                    .await?;
                guard(&mut connection).await
            };
            let here = set_up
                .await
                .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            eras.of(here);
            Ok(connection)
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    Ok(Pool::builder(manager).max_size(size).build()?)
}

/// Which database this is, and which run of its server; locks sending where it is not the one it was.
async fn guard(conn: &mut AsyncPgConnection) -> QueryResult<String> {
    #[derive(QueryableByName)]
    struct Here {
        #[diesel(sql_type = Text)]
        here: String,
    }
    let found: Here = sql_query("SELECT wablast_guard() AS here")
        .get_result(conn)
        .await?;
    Ok(found.here)
}

#[derive(QueryableByName)]
struct Wall {
    #[diesel(sql_type = Bool)]
    walled: bool,
}

async fn has_wall(url: &str) -> anyhow::Result<bool> {
    let mut connection = establish(url).await?;
    let wall: Wall = sql_query(
        "SELECT EXISTS (SELECT FROM pg_policies WHERE policyname = 'company' AND tablename = 'contacts') AS walled",
    )
    .get_result(&mut connection)
    .await
    .context("reading whether row-level security is on")?;
    Ok(wall.walled)
}

async fn establish(url: &str) -> anyhow::Result<AsyncPgConnection> {
    AsyncPgConnection::establish(url)
        .await
        .map_err(|error| anyhow::anyhow!("cannot connect to PostgreSQL: {error}"))
}

/// Brings the database to this version's tables. Several instances may start at once: one migrates,
/// the others wait. Returns the names of the migrations that ran.
pub async fn migrate(url: &str) -> anyhow::Result<Vec<String>> {
    /// Any number, the same in all instances.
    const LOCK: i64 = 7_241_905;
    let mut guard = establish(url).await?;
    sql_query("SELECT pg_advisory_lock($1)")
        .bind::<BigInt, _>(LOCK)
        .execute(&mut guard)
        .await
        .context("waiting for other instances to migrate")?;
    guard
        .batch_execute(ROLES)
        .await
        .context("making the roles")?;
    let mut connection = establish(url).await?;
    connection
        .batch_execute(BECOME_OWNER)
        .await
        .context("becoming the owner of the tables")?;
    let names = tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        let versions = harness
            .run_pending_migrations(MIGRATIONS)
            .map_err(|error| anyhow::anyhow!("migrating the database: {error}"))?;
        anyhow::Ok(versions.iter().map(ToString::to_string).collect())
    })
    .await??;
    sql_query("SELECT pg_advisory_unlock($1)")
        .bind::<BigInt, _>(LOCK)
        .execute(&mut guard)
        .await?;
    Ok(names)
}

/// The cluster's roles; where the connecting user may not make them, the wall stays off.
const ROLES: &str = r"
DO $$
DECLARE wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['wablast_app', 'wablast_worker'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      END IF;
      IF NOT pg_has_role(session_user, wanted, 'MEMBER') THEN
        EXECUTE format('GRANT %I TO %I', wanted, session_user);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
    END;
  END LOOP;
END $$";

/// In the private cluster and in tests the database belongs to `wablast`, and so do its tables.
const BECOME_OWNER: &str = r"
DO $$
BEGIN
  IF (SELECT datdba::regrole::text FROM pg_database WHERE datname = current_database()) = 'wablast'
     AND pg_has_role(session_user, 'wablast', 'MEMBER') THEN
    SET ROLE wablast;
  END IF;
END $$";
