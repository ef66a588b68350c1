//! The `wablast` binary: reads the command line and calls the library.

mod user_command;

use std::ffi::OsString;
use std::io::Read as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use wablast::app::{App, Wake};
use wablast::clock::Clock;
use wablast::config::{Config, VARIABLES};
use wablast::crypt::Crypt;
use wablast::db::{self, Db};
use wablast::embedded::{self, Opened, Purpose, Role, Status};
use wablast::gateways::http::Http;
use wablast::ids::CompanyId;
use wablast::instances::Role as Part;
use wablast::settings::{self, SetUpInput};
use wablast::simulator::{self, args::SimulateArgs};
use wablast::storage::Storage;
use wablast::{auth, check, companies, demo, reach, runner, telemetry, users};

use crate::user_command::UserCommand;

#[derive(Parser)]
#[command(version, about = "Infinys WhatsApp Blasting", after_help = variables())]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything: panel, API, deliverer, jobs (the default)
    Serve,
    /// Runs the panel, the API and the webhooks only; needs DATABASE_URL
    Web,
    /// Runs the deliverer, the jobs and all background work only; needs DATABASE_URL
    Worker,
    /// Brings the database to this version's tables
    Migrate,
    /// Sets the installation up: what the page of the first start does
    Setup {
        #[arg(long)]
        company: String,
        /// ISO code or name
        #[arg(long)]
        country: String,
        /// IANA name
        #[arg(long)]
        time_zone: String,
        #[arg(long)]
        admin_name: String,
        #[arg(long)]
        admin_email: String,
        /// Reads the password from standard input
        #[arg(long, required = true)]
        admin_password_stdin: bool,
    },
    /// Users: who signs in, and as what; the same as the page Users
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// API tokens
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Holds every promise of the delivery against the database and prints what does not hold
    Check,
    /// A company that has worked for a month, on the built-in simulator: nothing reaches a phone
    Demo {
        /// Forgets what was done in the demo and begins anew
        #[arg(long)]
        reset: bool,
    },
    /// Plays WAHA on loopback
    Simulate(Box<SimulateArgs>),
    #[command(hide = true)]
    PostgresLauncher {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Prints a new token, once, alone on the last line
    Create {
        #[arg(long)]
        email: String,
        #[arg(long)]
        name: String,
        #[arg(long)]
        scopes: Vec<String>,
        /// Name of the company; default: the user's active one
        #[arg(long)]
        company: Option<String>,
    },
}

fn variables() -> String {
    let lines: Vec<String> = VARIABLES
        .iter()
        .map(|(name, default, text)| format!("  {name:<24} {text} (default: {default})"))
        .collect();
    format!("Environment:\n{}", lines.join("\n"))
}

fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    if let Command::PostgresLauncher { arguments } = &command {
        eprintln!("{:#}", embedded::launcher::run(arguments));
        return ExitCode::FAILURE;
    }
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::new)
        .and_then(|runtime| runtime.block_on(perform(command)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wablast: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(command: Command) -> anyhow::Result<()> {
    if let Command::Simulate(args) = command {
        return simulate(*args).await;
    }
    if let Command::Demo { reset } = command {
        return open_demo(reset).await;
    }
    let config = Config::from_environment()?;
    telemetry::start(&config.log);
    let role = match command {
        Command::Serve => Role::Server,
        Command::Web | Command::Worker => {
            anyhow::ensure!(
                config.database_url.is_some(),
                "web and worker share a database with other instances: set DATABASE_URL. Alone, \"wablast serve\" does all of it."
            );
            Role::Server
        }
        _ => Role::Command,
    };
    let database = Database::open(&config, role, Purpose::Production).await?;
    let outcome = with_database(command, config, &database).await;
    database.close().await;
    outcome
}

async fn with_database(
    command: Command,
    config: Config,
    database: &Database,
) -> anyhow::Result<()> {
    match db::migrate(database.url()).await?.len() {
        0 => {}
        1 => tracing::info!("1 migration applied"),
        applied => tracing::info!("{applied} migrations applied"),
    }
    let app = build(config, database).await?;
    match command {
        Command::Serve => serve(app, Part::All).await,
        Command::Web => serve(app, Part::Web).await,
        Command::Worker => serve(app, Part::Worker).await,
        Command::Setup {
            company,
            country,
            time_zone,
            admin_name,
            admin_email,
            ..
        } => {
            let mut password = String::new();
            std::io::stdin()
                .read_to_string(&mut password)
                .context("reading the password from standard input")?;
            let input = SetUpInput {
                company,
                country,
                time_zone,
                name: admin_name,
                email: admin_email,
                password: password.trim_end_matches(['\r', '\n']).to_owned(),
            };
            settings::set_up(&app, &input).await.map_err(in_words)?;
            println!("Set up. Sign in as {}.", users::normalized(&input.email));
            Ok(())
        }
        Command::Token {
            command:
                TokenCommand::Create {
                    email,
                    name,
                    scopes,
                    company,
                },
        } => {
            println!(
                "{}",
                create_token(&app, &email, &name, &scopes, company.as_deref()).await?
            );
            Ok(())
        }
        Command::Check => examine(&app).await,
        Command::User { command } => user_command::perform(&app, command).await,
        Command::Migrate
        | Command::Demo { .. }
        | Command::Simulate(_)
        | Command::PostgresLauncher { .. } => Ok(()),
    }
}

async fn build(config: Config, database: &Database) -> anyhow::Result<App> {
    let crypt = Crypt::from_file(&config.master_key_file)?;
    let app = App {
        db: Db::connect(database.url())
            .await?
            .watching(database.status()),
        clock: Clock::system(),
        http: Http::new()?,
        crypt,
        storage: Storage::open(&config.storage)?,
        wake: Wake::default(),
        config: Arc::new(config),
    };
    settings::check_key(&app).await?;
    if !app.db.is_walled() {
        tracing::warn!("row-level security is off: this database user may not create roles");
    }
    Ok(app)
}

/// The operator's PostgreSQL, or the private one.
enum Database {
    Given(String),
    Private(Opened),
}

impl Database {
    async fn open(config: &Config, role: Role, purpose: Purpose) -> anyhow::Result<Self> {
        if let Some(url) = &config.database_url {
            reach::check(url).await?;
            return Ok(Self::Given(url.clone()));
        }
        let launcher = std::env::current_exe().context("finding our own program")?;
        let options = embedded::Options {
            data_dir: &config.data_dir,
            pg_bin_dir: config.pg_bin_dir.as_deref(),
            launcher: &launcher,
            purpose,
        };
        Ok(Self::Private(Opened::open(options, role).await?))
    }

    fn url(&self) -> &str {
        match self {
            Self::Given(url) => url,
            Self::Private(opened) => opened.url(),
        }
    }

    /// What is known of the cluster this process runs.
    fn status(&self) -> Option<watch::Receiver<Status>> {
        match self {
            Self::Private(Opened::Own(own)) => Some(own.status()),
            Self::Private(Opened::Joined(_)) | Self::Given(_) => None,
        }
    }

    async fn close(self) {
        if let Self::Private(opened) = self {
            opened.close().await;
        }
    }
}

async fn serve(app: App, part: Part) -> anyhow::Result<()> {
    // Before anybody can see that it runs: who asks it to stop then is heard.
    let stop = asked_to_stop()?;
    let setup = match part {
        Part::Worker => None,
        Part::All | Part::Web => settings::new_setup_token(&app).await.map_err(in_words)?,
    };
    let running = runner::start_as(app.clone(), part)?;
    match part {
        Part::Worker => println!("Infinys WhatsApp Blasting works in the background"),
        Part::All | Part::Web => println!(
            "Infinys WhatsApp Blasting listens on http://{}",
            running.address
        ),
    }
    if let Some(token) = setup {
        println!(
            "\n  Set it up here, once:\n\n    {}/setup?token={token}\n",
            app.config.public_url()
        );
    }
    stop.await;
    tracing::info!("stopping: what has begun is finished first");
    running.stop().await;
    Ok(())
}

/// Ends with the first SIGINT or SIGTERM from now on.
fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn open_demo(reset: bool) -> anyhow::Result<()> {
    let config = Config::of_demo()?;
    telemetry::start(&config.log);
    let found = demo::folder::prepare(&config.data_dir, reset)?;
    let database = Database::open(&config, Role::Server, Purpose::Demo).await?;
    let outcome = run_demo(config, &database, found).await;
    database.close().await;
    outcome
}

async fn run_demo(
    config: Config,
    database: &Database,
    found: demo::folder::Found,
) -> anyhow::Result<()> {
    db::migrate(database.url()).await?;
    if found == demo::folder::Found::New {
        println!("Making the demo, a few seconds ...");
        demo::tell(&config, database.url()).await?;
        demo::folder::is_ready(&config.data_dir)?;
    }
    let app = build(config, database).await?;
    let running = runner::start(app.clone())?;
    let gateway = demo::gateway(&app, running.address).await?;
    println!("{}", demo::welcome(running.address, &gateway));
    asked_to_stop()?.await;
    running.stop().await;
    gateway.stop().await;
    Ok(())
}

/// Prints how each promise fares; fails when one is broken.
async fn examine(app: &App) -> anyhow::Result<()> {
    let findings = check::all(app).await?;
    for finding in &findings {
        println!("{}", finding.line());
    }
    let mut conn = app.db.system().await.map_err(in_words)?;
    for warning in check::durability(&mut conn).await? {
        println!("WARNING  {warning}");
    }
    drop(conn);
    let broken = findings.iter().filter(|one| one.broken > 0).count();
    anyhow::ensure!(
        broken == 0,
        "{broken} of {} promises are broken",
        findings.len()
    );
    println!("All {} promises hold.", findings.len());
    Ok(())
}

async fn create_token(
    app: &App,
    email: &str,
    name: &str,
    scopes: &[String],
    company: Option<&str>,
) -> anyhow::Result<String> {
    let mut conn = app.db.system().await.map_err(in_words)?;
    let user = users::find_by_email(&mut conn, email)
        .await?
        .with_context(|| format!("there is no user {email}"))?;
    let company: CompanyId = match company {
        None => user.active_company_id,
        Some(name) => {
            let allowed: Vec<CompanyId> = users::companies_of(&mut conn, user.id)
                .await?
                .into_iter()
                .map(|(company, _)| company)
                .collect();
            let companies = companies::find_many(&mut conn, &allowed).await?;
            companies
                .into_iter()
                .find(|company| company.name == name)
                .map(|company| company.id)
                .with_context(|| format!("{email} may not work in a company called {name}"))?
        }
    };
    Ok(auth::token::create(&mut conn, company, user.id, name, scopes).await?)
}

async fn simulate(args: SimulateArgs) -> anyhow::Result<()> {
    let running = simulator::start(args.into_options()?).await?;
    println!("A simulated WAHA listens on {}", running.url());
    println!(
        "Meta's Cloud API too: Account ID {}, Phone Number ID {}",
        simulator::meta::WABA,
        simulator::meta::PHONES[0]
    );
    tokio::signal::ctrl_c().await?;
    running.stop().await;
    Ok(())
}

/// A domain error as a person at a terminal reads it.
fn in_words(error: wablast::error::Error) -> anyhow::Error {
    use wablast::error::Error;
    match error {
        Error::Internal(source) => source,
        Error::Invalid(fields) => {
            let lines: Vec<String> = fields
                .0
                .iter()
                .map(|(field, faults)| format!("  {field}: {}", faults.join(" ")))
                .collect();
            anyhow::anyhow!("some answers need another look:\n{}", lines.join("\n"))
        }
        other => anyhow::anyhow!("{other}"),
    }
}
