//! Migrations go up, down and up; schema.rs says what the database is; every company table is walled.

use wablast::db;

use crate::support::TestApp;

#[tokio::test]
async fn every_table_with_a_company_has_a_policy() {
    let app = TestApp::bare().await;
    let open = app
        .value(
            "SELECT string_agg(c.table_name, ', ') FROM information_schema.columns c
             WHERE c.table_schema = 'public' AND c.column_name = 'company_id'
               AND NOT EXISTS (SELECT FROM pg_policies p WHERE p.tablename = c.table_name AND p.policyname = 'company')",
        )
        .await;
    assert_eq!(open, "", "tables without a wall");
    assert!(app.app.db.is_walled());
}

#[tokio::test]
async fn a_forgotten_company_is_an_error_and_another_s_rows_are_not_there() {
    let app = TestApp::new().await;
    app.list_of(3).await;
    let seen = app
        .value("SET ROLE wablast_app; SELECT set_config('app.company', '999', false); SELECT count(*) FROM contacts")
        .await;
    assert_eq!(seen, "999");
    let counted = app
        .value("SET ROLE wablast_app; SET app.company = '999'; SELECT count(*) FROM contacts")
        .await;
    assert_eq!(counted, "0");
    let own = app
        .value("SET ROLE wablast_app; SET app.company = '1'; SELECT count(*) FROM contacts")
        .await;
    assert_eq!(own, "3");
}

#[tokio::test]
async fn schema_rs_says_what_the_database_is() {
    let app = TestApp::bare().await;
    let database = app
        .value(
            "SELECT string_agg(table_name || '.' || column_name || CASE is_nullable WHEN 'YES' THEN '?' ELSE '' END, E'\\n'
               ORDER BY table_name COLLATE \"C\", column_name COLLATE \"C\")
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT IN ('__diesel_schema_migrations', 'test_clock')",
        )
        .await;
    let mut declared = Vec::new();
    let mut table = "";
    for line in include_str!("../../src/schema.rs").lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            table = name;
        } else if let Some((column, kind)) = line.trim_end_matches(',').split_once(" -> ") {
            let optional = if kind.starts_with("Nullable") {
                "?"
            } else {
                ""
            };
            declared.push(format!(
                "{table}.{}{optional}",
                column.trim_start_matches("r#")
            ));
        }
    }
    declared.sort_by_key(|column| {
        column
            .trim_end_matches('?')
            .split_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
    });
    assert_eq!(declared.join("\n"), database);
}

#[tokio::test]
async fn migrations_go_down_and_up_again() {
    let app = TestApp::bare().await;
    let url = app.url().to_owned();
    tokio::task::spawn_blocking(move || {
        use diesel_async::{
            AsyncConnection as _, AsyncMigrationHarness, AsyncPgConnection,
            SimpleAsyncConnection as _,
        };
        use diesel_migrations::MigrationHarness as _;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let connection = runtime.block_on(async {
            let mut connection = AsyncPgConnection::establish(&url).await.unwrap();
            connection.batch_execute("SET ROLE wablast").await.unwrap();
            connection
        });
        let _inside = runtime.enter();
        let mut harness = AsyncMigrationHarness::new(connection);
        harness.revert_all_migrations(db::MIGRATIONS).unwrap();
        harness.run_pending_migrations(db::MIGRATIONS).unwrap();
    })
    .await
    .unwrap();
    let jobs = "SELECT count(*) FROM jobs WHERE name LIKE 'scheduler%'";
    assert_eq!(app.value(jobs).await, "2");
}
