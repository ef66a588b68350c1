//! Warnings of the whole installation or company: amber strips over every page.
//!
//! Invariant: every page asks for them, so they cost five small reads. What can be mended gets a button,
//! for those who may press it.

use diesel_async::AsyncPgConnection;

use crate::app::App;
use crate::auth::Role;
use crate::bulk;
use crate::error::Result;
use crate::i18n::{self, Lang};
use crate::jobs::{SCHEDULER_ENQUEUE, SCHEDULER_SEND};
use crate::mailings::lock;
use crate::mailings::warnings::{self, Held, Sender};
use crate::outgoing::open::{self, Resting};
use crate::web::page::{Action, Banner};
use crate::web::session::Signed;

pub async fn all(app: &App, signed: &Signed, conn: &mut AsyncPgConnection) -> Result<Vec<Banner>> {
    let words = Words {
        app,
        signed,
        lang: Lang::parse(&signed.language),
    };
    let mut banners = Vec::new();
    banners.extend(demo(app, Lang::parse(&signed.language)));
    banners.extend(plain_http(app, words.lang));
    if !app.config.sending {
        banners.push(words.banner("banners.never_sends", "banners.never_sends_text"));
    }
    banners.extend(words.installation(&lock::held(conn).await?));
    let sender = warnings::sender(conn, signed.company).await?;
    banners.extend(words.sender(&sender));
    let resting = open::resting(conn, signed.company).await?;
    banners.extend(resting.iter().map(|resting| words.resting(resting)));
    let held = warnings::held(conn, signed.company).await?;
    banners.extend(held.iter().map(|held| words.held(held)));
    let running = bulk::running(conn, signed.company, signed.user).await?;
    banners.extend(running.iter().map(|run| words.bulk(run)));
    Ok(banners)
}

/// A demo says on every page that nothing is real, also before anybody is signed in.
pub fn demo(app: &App, lang: Lang) -> Option<Banner> {
    let text = |key| i18n::t(lang, key);
    app.config.demo.then(|| Banner {
        text: format!("{}\n{}", text("banners.demo"), text("banners.demo_text")),
        actions: Vec::new(),
    })
}

/// What others on the network can read, also before anybody types a password.
pub fn plain_http(app: &App, lang: Lang) -> Option<Banner> {
    let text = |key| i18n::t(lang, key);
    app.config.is_plain_http().then(|| Banner {
        text: format!(
            "{}\n{}",
            text("banners.plain_http"),
            text("banners.plain_http_text")
        ),
        actions: Vec::new(),
    })
}

/// Who is told, and in which language.
struct Words<'a> {
    app: &'a App,
    signed: &'a Signed,
    lang: Lang,
}

impl Words<'_> {
    fn t<'k>(&self, key: &'k str) -> &'k str {
        i18n::t(self.lang, key)
    }

    fn banner(&self, sentence: &str, detail: &str) -> Banner {
        Banner {
            text: format!("{}\n{}", self.t(sentence), self.t(detail)),
            actions: Vec::new(),
        }
    }

    /// What holds up every company.
    fn installation(&self, held: &lock::Held) -> Vec<Banner> {
        let said = |key, text, at| {
            let (zone, now) = (self.signed.zone, self.app.clock.now());
            let at = i18n::date(self.lang, zone, now, at);
            let open = Action::link(self.t("banners.open_instances"), "/instances");
            Banner {
                text: format!("{}\n{}", i18n::tf(self.lang, key, &[&at]), self.t(text)),
                actions: self.administrators([open]),
            }
        };
        let locked = held.locked_at.as_ref();
        let waits = held.releases_wait_until.as_ref();
        let locked = locked.map(|at| said("banners.locked", "banners.locked_text", at));
        let waits = waits.map(|at| said("banners.jumped", "banners.jumped_text", at));
        locked.into_iter().chain(waits).collect()
    }

    /// An action over many records that this person began.
    fn bulk(&self, run: &bulk::Run) -> Banner {
        let share = i18n::percent(self.lang, run.position, run.total, false);
        Banner {
            text: i18n::tf(self.lang, "bulk.under_way", &[&share]),
            actions: vec![Action::link(
                self.t("mailings.show"),
                format!("/bulk/{}", run.id),
            )],
        }
    }

    /// Only for those who may do it.
    fn administrators<const N: usize>(&self, actions: [Action; N]) -> Vec<Action> {
        if self.signed.role >= Role::Administrator {
            actions.into()
        } else {
            Vec::new()
        }
    }

    /// *Scheduler Send* is late, or off while something waits for it.
    fn sender(&self, sender: &Sender) -> Option<Banner> {
        if sender.late {
            let sentence = match &sender.last_run {
                Some(at) => {
                    let (zone, now) = (self.signed.zone, self.app.clock.now());
                    let at = i18n::date(self.lang, zone, now, at);
                    i18n::tf(self.lang, "banners.late", &[&at])
                }
                None => self.t("banners.late_never").to_owned(),
            };
            let open = Action::link(self.t("menu.jobs"), "/jobs");
            return Some(Banner {
                text: format!("{sentence}\n{}", self.t("banners.late_text")),
                actions: self.administrators([open]),
            });
        }
        if sender.active || sender.submitted == 0 {
            return None;
        }
        let sentence = i18n::tn(self.lang, "banners.off", sender.submitted);
        let enable = Action::post(
            self.t("banners.enable"),
            format!("/jobs/{SCHEDULER_SEND}/enable"),
        );
        Some(Banner {
            text: format!("{sentence}\n{}", self.t("banners.off_text")),
            actions: self.administrators([enable]),
        })
    }

    /// *Scheduler Enqueue* is off while messages rest in the queue of a batched account.
    fn resting(&self, resting: &Resting) -> Banner {
        let (key, shown) = match resting.messages {
            1 => ("banners.resting.one", 1),
            many if many > open::MOST => ("banners.resting_many", open::MOST),
            many => ("banners.resting.other", many),
        };
        let count = i18n::number(self.lang, shown);
        let sentence = i18n::tf(self.lang, key, &[&count, &resting.account]);
        let push = Action::post(
            self.t("banners.push"),
            format!("/accounts/{}/push", resting.account_id),
        );
        let enable = Action::post(
            self.t("banners.enable"),
            format!("/jobs/{SCHEDULER_ENQUEUE}/enable"),
        );
        Banner {
            text: format!("{sentence}\n{}", self.t("banners.resting_text")),
            actions: if resting.may_push {
                self.administrators([push, enable])
            } else {
                self.administrators([enable])
            },
        }
    }

    /// An account may not send while a mailing goes out through it.
    fn held(&self, held: &Held) -> Banner {
        let key = format!("banners.account_{}", held.health);
        let sentence = i18n::tf(self.lang, &key, &[&held.account, &held.mailing]);
        let open = Action::link(
            self.t("banners.open_account"),
            format!("/accounts/{}", held.account_id),
        );
        Banner {
            text: format!("{sentence}\n{}", i18n::say(self.lang, &held.reason)),
            actions: self.administrators([open]),
        }
    }
}
