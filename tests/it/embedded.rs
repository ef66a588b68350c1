//! The private PostgreSQL: made, found again, alone in its folder, alive after a kill.

use std::path::Path;

use wablast::embedded::{Embedded, Purpose, join};

fn launcher() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_wablast"))
}

async fn start(folder: &Path) -> anyhow::Result<Embedded> {
    Embedded::start(folder, None, launcher(), Purpose::Tests).await
}

async fn answers(url: &str) -> bool {
    match tokio_postgres::connect(url, tokio_postgres::NoTls).await {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            client.simple_query("SELECT 1").await.is_ok()
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_cluster_is_made_once_and_commands_join_it() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(join(folder.path()).await.unwrap(), None);
    let first = start(folder.path()).await.unwrap();
    assert!(answers(first.url()).await);
    let joined = join(folder.path()).await.unwrap().unwrap();
    assert!(answers(&joined).await);
    let Err(second) = start(folder.path()).await else {
        panic!("two instances in one folder")
    };
    assert!(
        second.to_string().contains("another instance"),
        "{second:#}"
    );
    first.stop().await;
    assert_eq!(join(folder.path()).await.unwrap(), None);
    let again = start(folder.path()).await.unwrap();
    assert!(answers(again.url()).await);
    again.stop().await;
}

#[tokio::test]
async fn a_killed_postmaster_and_a_half_made_cluster_are_recovered_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("pg.init/half")).unwrap();
    let first = start(folder.path()).await.unwrap();
    let pid = std::fs::read_to_string(folder.path().join("pg/postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap();
    assert!(
        std::process::Command::new("kill")
            .args(["-9", pid])
            .status()
            .unwrap()
            .success()
    );
    drop(first);
    let again = start(folder.path()).await.unwrap();
    assert!(answers(again.url()).await);
    again.stop().await;
}

#[tokio::test]
async fn a_long_path_and_another_major_version_are_handled() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder
        .path()
        .join("a-folder-with-a-rather-long-name")
        .join("and-another-one-below-it-that-is-as-long-as-it-gets");
    let running = start(&long).await.unwrap();
    assert!(answers(running.url()).await);
    running.stop().await;
    std::fs::write(long.join("pg/PG_VERSION"), "9\n").unwrap();
    let Err(error) = start(&long).await else {
        panic!("started another version's data")
    };
    assert!(
        error.to_string().contains("made by PostgreSQL 9"),
        "{error:#}"
    );
}
