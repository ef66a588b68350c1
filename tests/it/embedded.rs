//! The private PostgreSQL: made once, joined, found again after every kind of end, clear about what it
//! cannot do. What needs a mount, a namespace or another user is skipped, in words, where the machine
//! does not permit it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use wablast::db::{self, Db};
use wablast::embedded::binaries::Binaries;
use wablast::embedded::{Embedded, Opened, Options, Purpose, Role};

use crate::support::instance::{Instance, PROGRAM, free_port};
use crate::support::until;

const SOON: Duration = Duration::from_secs(30);

async fn open(folder: &Path, role: Role, pg_bin_dir: Option<&Path>) -> anyhow::Result<Opened> {
    let options = Options {
        data_dir: folder,
        pg_bin_dir,
        launcher: Path::new(PROGRAM),
        purpose: Purpose::Tests,
    };
    Opened::open(options, role).await
}

async fn start(folder: &Path) -> anyhow::Result<Embedded> {
    Embedded::start(folder, None, Path::new(PROGRAM), Purpose::Tests).await
}

async fn refusal(folder: &Path, pg_bin_dir: Option<&Path>) -> String {
    match open(folder, Role::Server, pg_bin_dir).await {
        Ok(_) => panic!("started in {}", folder.display()),
        Err(error) => format!("{error:#}"),
    }
}

async fn value(url: &str, query: &str) -> Option<String> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .ok()?;
    tokio::spawn(connection);
    let rows = client.simple_query(query).await.ok()?;
    rows.iter().find_map(|row| match row {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}

async fn answers(url: &str) -> bool {
    value(url, "SELECT 1").await.is_some()
}

/// A folder everybody may pass through: root's PostgreSQL may run as somebody else.
pub fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A data folder with a migrated cluster: made once a run, copied for each test.
async fn ready_made(folder: &Path) -> PathBuf {
    static MADE: tokio::sync::OnceCell<TempDir> = tokio::sync::OnceCell::const_new();
    let made = MADE.get_or_init(|| async {
        let folder = tempfile::tempdir().unwrap();
        let cluster = start(folder.path()).await.unwrap();
        db::migrate(cluster.url()).await.unwrap();
        cluster.stop().await;
        folder
    });
    let data = folder.join("data");
    let from = made.await.path();
    assert!(run("cp", &["-a", text(from), text(&data)]).status.success());
    data
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let command = Command::new(program).args(arguments).output();
    command.unwrap_or_else(|error| panic!("{program}: {error}"))
}

pub fn kill(pid: &str, signal: &str) {
    assert!(run("kill", &[signal, pid]).status.success());
}

pub fn postmaster(data: &Path) -> String {
    let noted = fs::read_to_string(data.join("pg/postmaster.pid")).unwrap();
    noted.lines().next().unwrap().to_owned()
}

/// Zombies do not live.
fn lives(pid: &str) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok()
}

/// PostgreSQL's programs behind scripts of ours; `before` is run by `postgres` first, then `how` starts it.
pub fn wrapped(folder: &Path, before: &str, how: &str) -> PathBuf {
    let found = Binaries::find(folder, None).unwrap();
    let programs = folder.join("programs");
    fs::create_dir(&programs).unwrap();
    for (name, script) in [
        (
            "initdb",
            format!("exec {} \"$@\"", found.initdb().display()),
        ),
        (
            "postgres",
            format!("{before}\nexec {how} {} \"$@\"", found.postgres().display()),
        ),
    ] {
        let path = programs.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    programs
}

/// `wablast migrate` inside `sh`, where the machine permits what comes before it. `$1`: the program,
/// `$2`: the data folder.
fn in_shell(wrapper: &[&str], script: &str, data: &Path) -> Option<(bool, String)> {
    let (first, rest) = wrapper.split_first().unwrap();
    if !Command::new(first)
        .args(rest)
        .args(["true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|done| done.success())
    {
        println!("skipped: {} is not permitted here", wrapper.join(" "));
        return None;
    }
    let output = Command::new(first)
        .args(rest)
        .args(["sh", "-c", script, "sh", PROGRAM, text(data)])
        .env("WABLAST_DATA_DIR", data)
        .env("WABLAST_LOG", "warn")
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said.into_owned()))
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// A mount namespace of one's own.
fn own_mounts() -> &'static [&'static str] {
    if is_root() {
        &["unshare", "-m"]
    } else {
        &["unshare", "-rm"]
    }
}

/// Why sending is locked there; nothing where it is not. Connects as the program does.
async fn locked(data: &Path) -> String {
    let cluster = start(data).await.unwrap();
    drop(
        Db::connect(cluster.url())
            .await
            .unwrap()
            .system()
            .await
            .unwrap(),
    );
    let why = "SELECT coalesce(lock_reason, '') FROM installation";
    let why = value(cluster.url(), why).await.unwrap();
    cluster.stop().await;
    why
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_data_folder_locks_sending_and_a_moved_one_does_not() {
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    assert_eq!(locked(&data).await, "");
    let (moved, copy) = (folder.path().join("moved"), folder.path().join("copy"));
    fs::rename(&data, &moved).unwrap();
    assert_eq!(locked(&moved).await, "");
    assert!(
        run("cp", &["-a", text(&moved), text(&copy)])
            .status
            .success()
    );
    assert_eq!(locked(&copy).await, "folder");
    assert_eq!(locked(&moved).await, "", "the original is what it was");
    // Restored over the original.
    fs::remove_dir_all(&moved).unwrap();
    fs::remove_file(copy.join("pg.mark")).unwrap();
    assert!(
        run("cp", &["-a", text(&copy), text(&moved)])
            .status
            .success()
    );
    let cluster = start(&moved).await.unwrap();
    let unlock = "UPDATE installation SET locked_at = NULL, lock_reason = NULL RETURNING id";
    value(cluster.url(), unlock).await.unwrap();
    cluster.stop().await;
    assert_eq!(locked(&moved).await, "folder", "without its mark");
    let cluster = start(&moved).await.unwrap();
    value(cluster.url(), unlock).await.unwrap();
    cluster.stop().await;
    assert_eq!(locked(&moved).await, "", "unlocked once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_made_once_and_everybody_but_a_server_joins_it() {
    let folder = open_folder();
    // An initdb that was interrupted left this.
    fs::create_dir_all(folder.path().join("pg.init/half")).unwrap();
    let server = start(folder.path()).await.unwrap();
    assert!(!folder.path().join("pg.init").exists());
    let command = open(folder.path(), Role::Command, None).await.unwrap();
    assert!(matches!(command, Opened::Joined(_)));
    assert!(answers(command.url()).await);
    let said = refusal(folder.path(), None).await;
    let own = format!("(process {})", std::process::id());
    assert!(
        said.contains("another instance") && said.contains(&own),
        "{said}"
    );
    command.close().await;
    server.stop().await;

    // Without a server a command runs the cluster, also for those who come meanwhile.
    let first = open(folder.path(), Role::Command, None).await.unwrap();
    assert!(matches!(first, Opened::Own(_)));
    let second = open(folder.path(), Role::Command, None).await.unwrap();
    assert!(matches!(second, Opened::Joined(_)));
    let closing = tokio::spawn(first.close());
    assert!(answers(second.url()).await);
    let path = folder.path().to_owned();
    let server = tokio::spawn(async move { start(&path).await });
    assert!(answers(second.url()).await, "nobody takes it away");
    drop(second);
    closing.await.unwrap();
    let server = server.await.unwrap().unwrap();
    assert!(answers(server.url()).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postmaster_is_started_again_and_its_orphans_are_ended_first() {
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    let server = start(&data).await.unwrap();
    let url = server.url().to_owned();
    value(
        &url,
        "SET synchronous_commit = on; CREATE TABLE kept AS SELECT 7 AS n",
    )
    .await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let orphan = client.query_one("SELECT pg_backend_pid()", &[]).await;
    let orphan = orphan.unwrap().get::<_, i32>(0).to_string();
    // It does not notice that its postmaster is gone.
    kill(&orphan, "-STOP");
    let first = postmaster(&data);
    kill(&first, "-KILL");
    let status = server.status();
    until("it runs again", SOON, || async {
        status.borrow().restarts == 1
    })
    .await;
    assert!(!lives(&orphan), "the orphan was ended");
    assert_ne!(postmaster(&data), first);
    assert!(status.borrow().up);
    assert_eq!(
        value(&url, "SELECT n FROM kept").await.as_deref(),
        Some("7")
    );
    let last = postmaster(&data);
    server.stop().await;
    assert!(!lives(&last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_takes_its_postgresql_with_it_and_starts_again() {
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    let port = free_port();
    let mut instance = Instance::start(&data, port).await;
    let first = postmaster(&data);
    instance.kill();
    until("it is gone", SOON, || async { !lives(&first) }).await;
    assert!(
        !data.join("pg/postmaster.pid").exists(),
        "shut down, not crashed"
    );
    let mut instance = Instance::start(&data, port).await;
    assert_ne!(postmaster(&data), first);
    instance.stop();
    assert!(!data.join("pg/postmaster.pid").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postmaster_that_survived_its_program_is_adopted() {
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    if !run("setpriv", &["--pdeathsig", "clear", "true"])
        .status
        .success()
    {
        println!("skipped: setpriv cannot clear the signal of a parent's death here");
        return;
    }
    let programs = wrapped(folder.path(), "", "setpriv --pdeathsig clear");
    let port = free_port();
    let mut instance = Instance::start_with(&data, port, Some(&programs)).await;
    let first = postmaster(&data);
    instance.kill();
    let mut instance = Instance::start_with(&data, port, Some(&programs)).await;
    assert_eq!(postmaster(&data), first, "the same one");
    // Adopted, it is looked after like a child.
    kill(&first, "-KILL");
    until("another one runs", SOON, || async {
        data.join("pg/postmaster.pid").exists() && postmaster(&data) != first
    })
    .await;
    instance.stop();
    assert!(!data.join("pg/postmaster.pid").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn pids_that_are_somebody_else_s_now_stop_nothing_and_are_not_touched() {
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    fs::create_dir_all(data.join("run")).unwrap();
    for pid in [other.id(), std::process::id(), 1] {
        let noted = format!(
            "{pid}\n{}\n1700000000\n5432\n{}\n\n",
            data.join("pg").display(),
            data.join("run").display()
        );
        fs::write(
            data.join("pg/postmaster.pid"),
            format!("{noted}  ready   \n"),
        )
        .unwrap();
        fs::write(data.join("run/.s.PGSQL.5432.lock"), &noted).unwrap();
        let server = start(&data).await.unwrap();
        assert!(answers(server.url()).await);
        server.stop().await;
    }
    assert!(other.try_wait().unwrap().is_none(), "left in peace");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn long_and_odd_paths_moved_and_copied_folders_work() {
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    let long = folder
        .path()
        .join("a folder, with \"odd\" marks and a long name")
        .join("and-another-one-below-it-that-is-as-long-as-it-gets");
    fs::create_dir_all(long.parent().unwrap()).unwrap();
    let spaced = folder.path().join("it's a \\ folder");
    let copied = folder.path().join("copied");
    for (from, to) in [(&data, &spaced), (&spaced, &long)] {
        fs::rename(from, to).unwrap();
        let server = start(to).await.unwrap();
        assert!(answers(server.url()).await, "{}", to.display());
        server.stop().await;
    }
    let left = start(&long).await.unwrap();
    // While it runs a copy of it is taken for what it is: a folder of its own, not shut down cleanly.
    let taken = long.with_file_name("copy-of-what-is-below-it-and-is-as-long-as-the-other");
    assert!(
        run("cp", &["-a", text(&long), text(&taken)])
            .status
            .success()
    );
    let right = start(&taken).await.unwrap();
    assert_ne!(left.url(), right.url());
    assert!(answers(left.url()).await && answers(right.url()).await);
    right.stop().await;
    left.stop().await;
    // By another name of the same folder.
    std::os::unix::fs::symlink(&long, &copied).unwrap();
    let server = start(&copied).await.unwrap();
    let said = refusal(&long, None).await;
    assert!(said.contains("another instance"), "{said}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_another_version_are_refused_and_not_touched() {
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    let version = fs::read_to_string(data.join("pg/PG_VERSION")).unwrap();
    fs::write(data.join("pg/PG_VERSION"), "9\n").unwrap();
    let before = run("find", &[text(&data.join("pg")), "-printf", "%p %T@ %s\\n"]).stdout;
    let said = refusal(&data, None).await;
    assert!(
        said.contains("made by PostgreSQL 9") && said.contains("PG_BIN_DIR"),
        "{said}"
    );
    let after = run("find", &[text(&data.join("pg")), "-printf", "%p %T@ %s\\n"]).stdout;
    assert!(before == after, "the cluster was touched");
    fs::write(data.join("pg/PG_VERSION"), version).unwrap();
    start(&data).await.unwrap().stop().await;
    // What is no cluster at all is not overwritten either.
    fs::remove_file(data.join("pg/PG_VERSION")).unwrap();
    let said = refusal(&data, None).await;
    assert!(said.contains("is no PostgreSQL cluster"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgresql_the_error_says_how_to_get_it() {
    let folder = open_folder();
    let said = refusal(&folder.path().join("a"), Some(folder.path())).await;
    assert!(said.contains("PG_BIN_DIR is"), "{said}");
    let script = "for place in /usr/lib/postgresql /usr/pgsql-*; do [ -d $place ] && mount -t tmpfs none $place; done
        PATH=/nowhere exec $1 migrate";
    let data = folder.path().join("b");
    if let Some((done, said)) = in_shell(own_mounts(), script, &data) {
        assert!(!done && said.contains("apt-get install"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_with_what_is_free_and_room_heals_it() {
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    let full = "echo 'FATAL: could not write lock file: No space left on device' >&2; exit 1";
    let programs = wrapped(folder.path(), full, "");
    let said = refusal(&data, Some(&programs)).await;
    assert!(
        said.contains("No space left on device")
            && said.contains(text(&data))
            && said.contains("MB free"),
        "{said}"
    );

    // First there is too little for a cluster, later nothing at all.
    let script = "mount -t tmpfs -o size=200m none $2 || exit 9
        head -c 180m /dev/zero >$2/filler
        $1 migrate && exit 8
        rm $2/filler
        $1 migrate || exit 7
        head -c 300m /dev/zero >$2/filler 2>/dev/null
        $1 migrate && exit 6
        rm $2/filler
        exec $1 migrate";
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    if let Some((done, said)) = in_shell(own_mounts(), script, &small) {
        assert!(done, "{said}");
        let named = format!("{} has ", small.display());
        assert_eq!(said.matches(&named).count(), 2, "{said}");
        assert!(said.contains("No space left on device"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_written_is_named_with_its_owner() {
    let folder = open_folder();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let said = if is_root() {
        let program = folder.path().join("wablast");
        fs::copy(PROGRAM, &program).unwrap();
        let script = format!("exec {} migrate", program.display());
        let nobody = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ];
        let Some((done, said)) = in_shell(&nobody, &script, &data) else {
            return;
        };
        assert!(
            !done && said.contains("uid 65534") && said.contains("belongs to root"),
            "{said}"
        );
        said
    } else {
        fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).unwrap();
        refusal(&data, None).await
    };
    assert!(
        said.contains(text(&data)) && said.contains("WABLAST_DATA_DIR"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_as_any_user_and_root_serves_the_data_of_any() {
    if !is_root() {
        println!(
            "skipped: only root can be somebody else; all other tests ran as an ordinary user"
        );
        return;
    }
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    let program = folder.path().join("wablast");
    fs::copy(PROGRAM, &program).unwrap();
    let migrate = format!("exec {} migrate", program.display());
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    assert!(
        run("chown", &["-R", "65534:65534", text(&data)])
            .status
            .success()
    );
    let Some((done, said)) = in_shell(&nobody, &migrate, &data) else {
        return;
    };
    assert!(done, "as nobody: {said}");
    // Another user is told whose it is; root becomes its owner.
    let another = [
        "setpriv",
        "--reuid=65533",
        "--regid=65533",
        "--clear-groups",
    ];
    let (done, said) = in_shell(&another, &migrate, &data).unwrap();
    assert!(!done && said.contains("uid 65533"), "{said}");
    start(&data).await.unwrap().stop().await;
    let (done, said) = in_shell(&nobody, &migrate, &data).unwrap();
    assert!(done, "as nobody again: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_without_user_namespaces_gives_postgresql_a_user() {
    if !is_root() {
        println!("skipped: only root has to become somebody else");
        return;
    }
    let folder = open_folder();
    let data = ready_made(folder.path()).await;
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    // In a changed root nobody gets a user namespace.
    let script = format!(
        "mount --rbind / {0} && exec chroot {0} $1 migrate",
        root.display()
    );
    let Some((done, said)) = in_shell(own_mounts(), &script, &data) else {
        return;
    };
    assert!(done, "{said}");
    let owner = run("stat", &["-c", "%u", text(&data.join("pg"))]).stdout;
    assert_ne!(owner, b"0\n", "it belongs to an ordinary user now");
    // The same user has it from now on, with or without namespaces.
    start(&data).await.unwrap().stop().await;
    // Below a closed folder that user cannot get there, which is said.
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let data = ready_made(&closed).await;
    let (done, said) = in_shell(own_mounts(), &script, &data).unwrap();
    assert!(
        !done && said.contains("closed to others") && said.contains(text(&closed)),
        "{said}"
    );
}
