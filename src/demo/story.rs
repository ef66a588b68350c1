//! What happened in the demo's company in the last four weeks, told through the real verbs and the real
//! engine with both clocks set back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::{Asia::Jakarta, Tz};
use diesel::sql_types::{BigInt, Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection as _, RunQueryDsl as _};
use secrecy::SecretString;
use tokio_postgres::{Client, NoTls};

use super::texts::{
    AFTER_CATALOGUE, AFTER_SHIPPING, AFTER_WEEKEND, CATALOGUE, ENGLISH, FAIR, INVITATION, PRICES,
    READY, SHIPPING, STOCK, UNREAD_MESSAGES, WEEKEND, Written,
};
use super::{ACCOUNT, API_KEY, PASSWORD, PEOPLE, official, options, people, webhook};
use crate::accounts::{self, AccountInput};
use crate::app::{App, Wake};
use crate::auth::password;
use crate::clock::Clock;
use crate::config::Config;
use crate::contacts::{self, bulk};
use crate::crypt::Crypt;
use crate::db::Db;
use crate::error::Error;
use crate::gateways::http::Http;
use crate::ids::{AccountId, CompanyId, ContactId, IncomingId, ListId, MailingId, UserId};
use crate::incoming::{self, reply::ReplyInput};
use crate::mailings::{self, MailingInput, Verb, release, settle};
use crate::runner;
use crate::settings::{self, SetUpInput};
use crate::simulator::{self, Faults, Options, Running};
use crate::storage::Storage;
use crate::{intake, lists, users};

/// While the past is made messages leave at once; afterwards at a pace one can watch.
pub(super) const HASTE: (f64, i32) = (5000.0, 5000);
const PACE: (f64, i32) = (20.0, 20);

/// Of a hundred people: whose phone is rarely looked at, and who is not on WhatsApp. The rest reads.
const UNREAD: usize = 34;
const GONE: usize = 2;

struct Story {
    app: App,
    owner: Client,
    waha: Running,
    company: CompanyId,
    users: [UserId; 3],
    account: AccountId,
}

/// Fills an empty database.
pub async fn tell(config: &Config, url: &str) -> anyhow::Result<()> {
    let owner = owner(url).await?;
    owner
        .batch_execute(CLOCK_BACK)
        .await
        .context("setting the clock back")?;
    let mut config = config.clone();
    // Events come to a port of the moment; what is written down is where the demo will be.
    config.public_url = config.public_url().parse().ok();
    config.listen.set_port(0);
    let app = App {
        db: Db::connect(url).await?,
        clock: Clock::manual(),
        http: Http::new()?,
        crypt: Crypt::from_file(&config.master_key_file)?,
        storage: Storage::open(&config.storage)?,
        wake: Wake::default(),
        config: Arc::new(config),
    };
    settings::check_key(&app).await?;
    set_clock(&app, &owner, at(&app, 28, 9, 0)).await?;
    let waha = simulator::start(Options {
        faults: faults(),
        last_ack_alone: true,
        ..options(&app)
    })
    .await?;
    let running = runner::start(app.clone())?;
    let told = begin_and_tell(app, owner, waha, running.address).await;
    running.stop().await;
    told
}

async fn begin_and_tell(
    app: App,
    owner: Client,
    waha: Running,
    ours: SocketAddr,
) -> anyhow::Result<()> {
    let story = Story::begin(app, owner, waha).await.map_err(said)?;
    let account = {
        let mut conn = story.app.db.system().await?;
        accounts::query::find(&mut conn, story.account).await?
    };
    story.waha.post_to(webhook(&story.app, &account, ours)?);
    let number = official::connect(&story.app, story.company, story.users[0], &story.waha, ours)
        .await
        .map_err(said)?;
    story.past(number).await.map_err(said)?;
    story.present().await.map_err(said)?;
    let mut conn = story.app.db.system().await?;
    for account in [story.account, number] {
        accounts::query::set_pace(&mut conn, account, PACE).await?;
    }
    drop(conn);
    story.waha.stop().await;
    story
        .owner
        .batch_execute(CLOCK_RIGHT)
        .await
        .context("setting the clock right")?;
    Ok(())
}

const CLOCK_BACK: &str = "SET ROLE wablast;
    CREATE TABLE demo_clock (shift interval NOT NULL);
    INSERT INTO demo_clock VALUES ('0');
    GRANT SELECT ON demo_clock TO wablast_app, wablast_worker;
    CREATE OR REPLACE FUNCTION wablast_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
      'SELECT clock_timestamp() + (SELECT shift FROM demo_clock)';";
const CLOCK_RIGHT: &str =
    "CREATE OR REPLACE FUNCTION wablast_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
      'SELECT clock_timestamp()';
    DROP TABLE demo_clock;";

async fn owner(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// So many days ago, at this time of Jakarta; 0 days ago it is never later than now.
fn at(app: &App, days: u64, hour: u32, minute: u32) -> DateTime<Utc> {
    let now = Clock::system().now();
    let day = now.with_timezone(&Jakarta).date_naive() - Days::new(days);
    let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default();
    let then = Jakarta.from_local_datetime(&day.and_time(time)).single();
    then.map_or(app.clock.now(), |then| then.to_utc())
}

/// Both clocks.
async fn set_clock(app: &App, owner: &Client, to: DateTime<Utc>) -> anyhow::Result<()> {
    app.clock.advance(to - app.clock.now());
    let shift = (to - Clock::system().now()).num_milliseconds();
    let moved = format!("UPDATE demo_clock SET shift = interval '{shift} milliseconds'");
    owner
        .batch_execute(&moved)
        .await
        .context("moving the clock")
}

/// What happens to messages, by number: a phone that is off today is off tomorrow.
fn faults() -> Faults {
    let mut faults = Faults::default();
    for (n, person) in people::all().iter().enumerate() {
        let Ok(number) = bulk::number_of(person, "ID") else {
            continue;
        };
        let on = |list: &str| person.lists.iter().any(|one| one == list);
        let only_reseller = on(people::RESELLERS) && person.lists.len() == 1;
        let fault = match n * 37 % 100 {
            _ if only_reseller && n % 3 == 0 => "error_ack",
            _ if on(people::WORKSHOP) && n % 40 == 0 => "error_before",
            n if n < UNREAD => "unread",
            n if n < UNREAD + GONE => "not_on_whatsapp",
            _ => continue,
        };
        faults.always(number.as_str(), fault);
    }
    faults
}

/// A domain error with all it says.
fn said(error: Error) -> anyhow::Error {
    match error {
        Error::Internal(source) => source,
        Error::Invalid(fields) => anyhow::anyhow!("{:?}", fields.0),
        other => anyhow::anyhow!("{other}"),
    }
}

#[derive(QueryableByName)]
struct Quiet {
    #[diesel(sql_type = Bool)]
    quiet: bool,
}

#[derive(QueryableByName)]
struct Reader {
    #[diesel(sql_type = BigInt)]
    contact_id: ContactId,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Text)]
    name: String,
}

impl Story {
    /// The company, its people and its account.
    async fn begin(app: App, owner: Client, waha: Running) -> Result<Self, Error> {
        let (name, email, _) = PEOPLE[0];
        let input = SetUpInput {
            company: "Batik Sekar Arum (demo)".to_owned(),
            country: "ID".to_owned(),
            time_zone: "Asia/Jakarta".to_owned(),
            name: name.to_owned(),
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let (company, administrator) = settings::set_up(&app, &input).await?;
        let hash = password::hash(SecretString::from(PASSWORD)).await?;
        let mut users = [administrator; 3];
        let mut conn = app.db.system().await?;
        // A person and their first company refer to each other.
        conn.transaction(async |conn| {
            for (n, (name, email, role)) in PEOPLE.iter().enumerate().skip(1) {
                users[n] = users::insert(conn, name, email, &hash, company, role).await?;
            }
            Ok::<(), Error>(())
        })
        .await?;
        drop(conn);
        let mut conn = app.db.company(company).await?;
        let people = people::all();
        bulk::upsert(
            &mut conn,
            company,
            "ID",
            &people,
            bulk::OnDuplicate::Skip,
            &[],
        )
        .await?;
        let (per_second, burst) = HASTE;
        let input = AccountInput {
            name: ACCOUNT.to_owned(),
            provider: "waha".to_owned(),
            send_through: "api".to_owned(),
            delivery: "direct".to_owned(),
            api_url: waha.url(),
            api_key: API_KEY.to_owned(),
            session: "default".to_owned(),
            welcome_message: "Halo, terima kasih sudah menghubungi Batik Sekar Arum. Kami balas secepatnya, Senin sampai Sabtu 09.00-17.00.".to_owned(),
            opt_out_confirmation: "Baik, Anda tidak akan menerima kabar dari kami lagi. Balas MULAI bila berubah pikiran.".to_owned(),
            per_second: per_second.to_string(),
            burst: burst.to_string(),
            // The past has a mailing of which many fail, so that there is something to see.
            auto_pause_percent: "50".to_owned(),
            ..AccountInput::default()
        };
        conn.commit().await?;
        // Accounts belong to several companies: made by a connection that sees them all.
        let draft = input.parse()?;
        let mut conn = app.db.system().await?;
        let (account, _) = conn
            .transaction(async |conn| {
                accounts::create(conn, &app.crypt, company, administrator, draft).await
            })
            .await?;
        drop(conn);
        accounts::test::run(&app, company, account.id).await?;
        Ok(Self {
            account: account.id,
            app,
            owner,
            waha,
            company,
            users,
        })
    }

    async fn clock(&self, days: u64, hour: u32, minute: u32) -> Result<(), Error> {
        Ok(set_clock(&self.app, &self.owner, at(&self.app, days, hour, minute)).await?)
    }

    async fn past(&self, number: AccountId) -> Result<(), Error> {
        self.clock(26, 14, 20).await?;
        self.opt_out_by_hand().await?;
        self.clock(24, 9, 58).await?;
        let catalogue = self.draft(&CATALOGUE, self.users[0]).await?;
        self.clock(24, 10, 0).await?;
        self.send(catalogue).await?;
        self.clock(24, 10, 40).await?;
        self.people_write(catalogue, &AFTER_CATALOGUE).await?;
        self.clock(24, 13, 5).await?;
        self.answer(3, "Masih ada, Kak. Mau kami simpankan?")
            .await?;
        self.clock(13, 16, 30).await?;
        let weekend = self.draft(&WEEKEND, self.users[2]).await?;
        self.schedule(weekend, at(&self.app, 12, 10, 0)).await?;
        self.clock(12, 10, 0).await?;
        release::due(&self.app).await?;
        self.quiet().await?;
        self.clock(12, 11, 15).await?;
        self.people_write(weekend, &AFTER_WEEKEND).await?;
        self.clock(12, 15, 0).await?;
        self.answer(2, "Bisa, sampai Minggu pukul 20.00. Terima kasih!")
            .await?;
        self.clock(9, 11, 0).await?;
        let fair = self.draft(&FAIR, self.users[1]).await?;
        self.schedule(fair, at(&self.app, 8, 9, 0)).await?;
        self.clock(9, 17, 45).await?;
        self.change(fair, Verb::Cancel).await?;
        self.clock(6, 8, 30).await?;
        let prices = self.draft(&PRICES, self.users[2]).await?;
        self.send(prices).await?;
        self.clock(4, 10, 5).await?;
        let official = official::draft(&self.app, self.company, self.users[1], number).await?;
        self.send(official).await?;
        self.clock(2, 15, 0).await?;
        let shipping = self.draft(&SHIPPING, self.users[1]).await?;
        self.send(shipping).await?;
        self.clock(2, 16, 10).await?;
        self.people_write(shipping, &AFTER_SHIPPING).await?;
        self.clock(1, 9, 30).await?;
        self.read_all().await?;
        let workshop = self.draft(&INVITATION, self.users[2]).await?;
        self.send(workshop).await?;
        self.clock(1, 12, 0).await?;
        self.people_write(workshop, &UNREAD_MESSAGES).await
    }

    /// What waits for a person: drafts, one of them ready to send, and one with its date.
    async fn present(&self) -> Result<(), Error> {
        let now = Clock::system().now() - TimeDelta::minutes(4);
        set_clock(&self.app, &self.owner, now).await?;
        self.draft(&ENGLISH, self.users[1]).await?;
        let stock = self.draft(&STOCK, self.users[2]).await?;
        let day = now.with_timezone(&Jakarta).date_naive() + Days::new(2);
        let time = NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default();
        let then = Jakarta.from_local_datetime(&day.and_time(time)).single();
        self.schedule(stock, then.map_or(now, |then| then.to_utc()))
            .await?;
        self.draft(&READY, self.users[0]).await?;
        Ok(())
    }

    async fn draft(&self, text: &Written, by: UserId) -> Result<MailingId, Error> {
        let mut conn = self.app.db.company(self.company).await?;
        let mut list_ids = Vec::new();
        for choice in lists::choices(&mut conn).await? {
            if text.lists.contains(&choice.name.as_str()) {
                list_ids.push(choice.id);
            }
        }
        let input = MailingInput {
            subject: text.subject.to_owned(),
            account_id: self.account.to_string(),
            responsible_id: by.to_string(),
            recipients: "lists".to_owned(),
            list_ids: list_ids.iter().map(|ListId(id)| *id).collect(),
            header_type: if text.header.is_empty() {
                "none"
            } else {
                "text"
            }
            .to_owned(),
            header: text.header.to_owned(),
            message: text.message.to_owned(),
            footer: text.footer.to_owned(),
            ..MailingInput::default()
        };
        let zone: Tz = Jakarta;
        let mailing = mailings::create(&mut conn, self.company, by, &input.parse(zone)?).await?;
        conn.commit().await?;
        Ok(mailing.id)
    }

    async fn send(&self, id: MailingId) -> Result<(), Error> {
        let mut conn = self.app.db.company(self.company).await?;
        mailings::send_now(&self.app, &mut conn, self.users[0], id).await?;
        conn.commit().await?;
        Ok(self.quiet().await?)
    }

    async fn schedule(&self, id: MailingId, date: DateTime<Utc>) -> Result<(), Error> {
        let mut conn = self.app.db.company(self.company).await?;
        mailings::submit(
            &self.app,
            &mut conn,
            self.users[0],
            id,
            Some(date),
            self.app.clock.now(),
        )
        .await?;
        conn.commit().await
    }

    async fn change(&self, id: MailingId, verb: Verb) -> Result<(), Error> {
        let mut conn = self.app.db.company(self.company).await?;
        mailings::change(&mut conn, id, verb).await?;
        conn.commit().await
    }

    async fn opt_out_by_hand(&self) -> Result<(), Error> {
        let mut conn = self.app.db.company(self.company).await?;
        for (n, reason) in ["Asked in the shop", "Minta lewat telepon", "Changed number"]
            .iter()
            .enumerate()
        {
            let chosen: Vec<ContactId> = (1..=12)
                .map(|k| ContactId(k * 97 + i64::try_from(n).unwrap_or(0) * 31))
                .collect();
            contacts::opt_out(&mut conn, &chosen, reason).await?;
        }
        conn.commit().await
    }

    /// People who got the mailing answer it, one a line.
    async fn people_write(&self, mailing: MailingId, texts: &[&str]) -> Result<(), Error> {
        let mut conn = self.app.db.system().await?;
        let readers: Vec<Reader> = sql_query(
            "SELECT o.contact_id, o.number, c.name FROM outgoing o JOIN contacts c ON c.id = o.contact_id
             WHERE o.mailing_id = $1 AND o.state = 'read' AND NOT EXISTS (SELECT FROM incoming i WHERE i.contact_id = c.id)
             ORDER BY o.id * 7919 % 1009 LIMIT $2",
        )
        .bind::<BigInt, _>(mailing)
        .bind::<BigInt, _>(i64::try_from(texts.len()).unwrap_or(0))
        .load(&mut *conn)
        .await?;
        drop(conn);
        for (reader, text) in readers.iter().zip(texts) {
            tracing::debug!("contact {} answers", reader.contact_id);
            self.waha
                .somebody_writes(&reader.number, &reader.name, text)
                .await;
        }
        Ok(self.quiet().await?)
    }

    /// Somebody of the company answers the newest messages.
    async fn answer(&self, how_many: i64, text: &str) -> Result<(), Error> {
        let mut conn = self.app.db.company(self.company).await?;
        let waiting = incoming::query::since(&mut conn, None, 0, 1000).await?;
        let open = waiting
            .iter()
            .filter(|one| one.read_at.is_none() && !one.opted_out);
        let ids: Vec<IncomingId> = open.map(|one| one.id).collect();
        for id in ids.iter().take(usize::try_from(how_many).unwrap_or(0)) {
            let input = ReplyInput {
                text: text.to_owned(),
                key: id.to_string(),
                ..ReplyInput::default()
            };
            let (company, user) = (self.company, self.users[2]);
            incoming::reply::send(&self.app, &mut conn, company, user, *id, &input).await?;
        }
        conn.commit().await?;
        self.read_all().await?;
        Ok(self.quiet().await?)
    }

    async fn read_all(&self) -> Result<(), Error> {
        let mut conn = self.app.db.company(self.company).await?;
        let all = incoming::query::since(&mut conn, None, 0, 1000).await?;
        let ids: Vec<IncomingId> = all.iter().map(|one| one.id).collect();
        incoming::query::mark_read(&mut conn, &ids, true).await?;
        conn.commit().await
    }

    /// Waits until everything that is under way has ended and every event is applied.
    async fn quiet(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while tokio::time::Instant::now() < deadline {
            release::advance(&self.app).await?;
            self.app.wake.deliver.notify_one();
            intake::apply::all(&self.app).await?;
            settle::all(&self.app).await?;
            let mut conn = self.app.db.system().await?;
            let found: Quiet = sql_query(
                "SELECT NOT EXISTS (SELECT FROM outgoing WHERE state IN ('queued', 'claimed', 'sending', 'accepted'))
                   AND NOT EXISTS (SELECT FROM inbox WHERE state = 'new')
                   AND NOT EXISTS (SELECT FROM mailings WHERE state = 'sending') AS quiet",
            )
            .get_result(&mut *conn)
            .await?;
            drop(conn);
            if self.waha.is_quiet() && found.quiet {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the demo's past does not come to rest")
    }
}
