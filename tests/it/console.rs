//! What the program says on the console when something stands in its way, and when it starts.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::TestApp;
use crate::support::instance::PROGRAM;

fn wablast(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    wablast_in(folder.path(), arguments, environment)
}

fn wablast_in(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .env("WABLAST_DATA_DIR", folder)
        .env_remove("DATABASE_URL")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let all = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(all).unwrap()
}

/// The same database server, another database.
fn elsewhere(app: &TestApp, name: &str) -> String {
    let (server, _) = app.url().rsplit_once('=').unwrap();
    format!("{server}={name}")
}

#[tokio::test]
async fn who_is_activated_before_they_chose_a_password_may_not_sign_in_yet() {
    let app = TestApp::new().await;
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = wablast_in(folder.path(), arguments, &[("DATABASE_URL", app.url())]);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let siti = ["--email", "siti@example.com"];
    run(&[&["user", "invite", "--name", "Siti"][..], &siti].concat());
    let activate = [&["user", "activate"][..], &siti].concat();
    let told = run(&activate);
    assert!(told.contains("has not chosen a password yet"), "{told}");
    assert!(told.contains("link works until 20"), "{told}");
    let again = "wablast user reset-password --email siti@example.com";
    assert!(told.contains(again), "{told}");
    run(&[&["user", "deactivate"][..], &siti].concat());
    let told = run(&activate);
    assert!(told.contains("no link that works"), "{told}");
    assert!(told.contains(again), "{told}");
    let dewi = ["user", "activate", "--email", crate::support::EMAIL];
    assert!(run(&dewi).contains("may sign in already"));
    let noted = "SELECT count(*) FROM audit WHERE noun = 'users' AND action = 'activate'";
    assert_eq!(app.value(noted).await, "1", "who is active stays so");
}

#[test]
fn a_second_simulator_says_which_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let output = wablast(&["simulate", "--listen", &listen.to_string()], &[]);
    let told = said(&output);
    assert!(!output.status.success());
    let port = format!("port {} is in use already", listen.port());
    assert!(told.contains(&port), "{told}");
    assert!(
        told.contains("wablast simulate --listen 127.0.0.1:"),
        "{told}"
    );
}

#[test]
fn a_database_that_is_not_there_is_named_with_what_to_check() {
    let url = "postgres://wablast:geheim@127.0.0.1:1/broadcasts";
    let started = Instant::now();
    let output = wablast(&["serve"], &[("DATABASE_URL", url)]);
    let told = said(&output);
    assert!(!output.status.success());
    assert!(started.elapsed() < Duration::from_secs(10));
    for part in [
        "127.0.0.1:1 ",
        "refused",
        "Check that it runs",
        "DATABASE_URL",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        !told.contains("geheim") && !told.contains("Error {"),
        "{told}"
    );

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let output = wablast(
        &["check"],
        &[("DATABASE_URL", &format!("postgres://a@{at}/b"))],
    );
    let told = said(&output);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(
        told.contains(&at.to_string()) && told.contains("5 seconds"),
        "{told}"
    );

    let unread = wablast(&["check"], &[("DATABASE_URL", "postgres://a:b@c:d@e/f")]);
    let told = said(&unread);
    assert!(told.contains("%40") && !told.contains("a:b"), "{told}");
    let unknown = wablast(
        &["check"],
        &[("DATABASE_URL", "postgres://a@nowhere.invalid/b")],
    );
    assert!(
        said(&unknown).contains("nowhere.invalid:5432"),
        "{}",
        said(&unknown)
    );
}

#[tokio::test]
async fn a_start_tells_in_one_line_that_the_tables_were_made() {
    let app = TestApp::new().await;
    let missing = wablast(
        &["migrate"],
        &[("DATABASE_URL", &elsewhere(&app, "t_nowhere"))],
    );
    let told = said(&missing);
    assert!(
        told.contains("has no database") && told.contains("t_nowhere"),
        "{told}"
    );

    let name = format!("t_console_{}", std::process::id());
    app.execute(&format!("CREATE DATABASE {name}")).await;
    let url = elsewhere(&app, &name);
    let first = wablast(&["migrate"], &[("DATABASE_URL", &url)]);
    let again = wablast(&["migrate"], &[("DATABASE_URL", &url)]);
    app.execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await;
    assert!(first.status.success(), "{}", said(&first));
    let lines: Vec<String> = said(&first)
        .lines()
        .filter(|line| line.contains("migration"))
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(" migrations applied"), "{lines:?}");
    assert!(!said(&again).contains("migration"), "{}", said(&again));
}
