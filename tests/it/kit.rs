//! The kit of the panel: one page with every piece of a form, rendered with empty, typical and hostile
//! values. With `KIT_DIR` set the pages are written there, to be looked at in a browser.

use std::collections::BTreeMap;

use askama::Template;
use chrono::{DateTime, TimeZone as _, Utc};
use wablast::auth::Role;
use wablast::error::FieldErrors;
use wablast::i18n::Lang;
use wablast::ids::{CompanyId, UserId};
use wablast::web::page::{Action, Banner, CompanyChoice, Flash, Menu, Person, Shell, Theme};
use wablast::web::pieces::{Event, Figures, Progress};

const HOSTILE: &str = "<script>alert(1)</script>\" onmouseover='x' {{shell}}";

#[derive(Template)]
#[template(
    ext = "html",
    source = r##"{% extends "layout.html" %}{% import "macros.html" as ui %}
{% block title %}{{ name }}{% endblock %}
{% block left %}{{ ui::new("/mailings/new") }}{{ ui::crumbs("/mailings", "menu.mailings", name) }}{{ ui::cog(cog) }}{{ ui::save("kit", "09:38", "/kit") }}{% endblock %}
{% block right %}{{ ui::record_pager(7, 1219, "/mailings/6", "") }}{% endblock %}
{% block actions %}<section class="actions" aria-label="{{ shell.t("shell.actions") }}">{{ ui::post("/mailings/7/submit", "verb.submit", icon="calendar-clock", look="btn-primary") }}{{ ui::link("/mailings/7/send-now", "verb.send_now", icon="send", confirm=true) }}{{ ui::link("/x", "verb.test", icon="flask") }}{{ ui::link("/x", "verb.duplicate", icon="copy", look="btn-quiet") }}{{ ui::link("/x", "verb.cancel", icon="ban", look="btn-danger-quiet") }}{{ ui::steps(["state.mailing.draft", "state.mailing.submitted", "state.mailing.sending", "state.mailing.done"], 1) }}</section>{% endblock %}
{% block main %}
<div class="cols">
 <div class="stack">
  <form class="sheet" id="kit" method="post" action="/kit" data-dirty aria-label="Mailing">
   {{ ui::csrf() }}
   <ul class="smart">{{ ui::smart("/x", "users", shell.number(4812), "menu.recipients") }}{{ ui::smart("/x", "send", shell.number(1708), "state.message.sent") }}{{ ui::smart("/x", "alert-circle", "41", "state.message.failed") }}</ul>
   <div class="sheet-body stack">
    {{ ui::faults() }}
    {{ ui::title("subject", "Subject", name) }}
    <div class="cols-even">
     <div class="fields">
      {{ ui::select("account", "WhatsApp Account", options, "2", required=true) }}
      {{ ui::choice("audience", "menu.recipients", [("list", "Mailing List"), ("contacts", "Manual")], "list") }}
      {{ ui::tags("lists", "menu.lists", options, chosen, required=true, add="Add a list") }}
      {{ ui::tags("without", "Without", options, none, hue="amber", add="Exclude a list", hint="People of these lists are left out.") }}
     </div>
     <div class="fields">
      {{ ui::datetime("when", "Schedule Date", "2026-11-24T10:00", words="tomorrow 10:00, Asia/Jakarta") }}
      {{ ui::text("email", "E-mail", email, kind="email", required=true, hint="Where news go.", maxlength=120) }}
      {{ ui::secret("token", "Access Token", "23 Nov") }}
      {{ ui::secret("password", "Authentication Password", "") }}
      {{ ui::number("pace", "Pace", "17", unit="messages a minute", min="1") }}
      {{ ui::toggle("local", "At 10:00 where each person lives", true) }}
      {{ ui::check("proxy", "Behind a proxy that asks", false, hint="Basic authentication on every request.") }}
     </div>
    </div>
   </div>
   <ul class="tabs" aria-label="{{ shell.t("form.sections") }}">{{ ui::tab("?tab=message", "Message", true) }}{{ ui::tab("?tab=variables", "Variables", false, count="3") }}{{ ui::tab("?tab=settings", "Settings", false) }}</ul>
   <div class="sheet-body stack">
    {{ ui::editor("message", "Message", text, placeholders) }}
    {{ ui::textarea("footer", "Footer Message", name, rows=2) }}
   </div>
  </form>
  {{ ui::history(events, note="/kit/note") }}
 </div>
 <aside class="stack" aria-label="Preview">
  {% call ui::sheet("pf", "Pre-flight") %}
   <div class="stack"><p class="verdict">498 of 512 people will get this.</p>{{ Progress::thin(shell, figures) }}{{ ui::notice("amber", "alert-triangle", name) }}
   <dl class="fields fields-ro">{{ ui::value("Starts", "Tue 24 Nov, 10:00") }}{{ ui::value("Empty", "") }}{% call ui::entry("Health") %}{{ shell.badge("health", "paused") }}{% endcall %}</dl>{{ ui::copy("https://example.com/webhooks/waha/abc") }}</div>
  {% endcall %}
  {% call ui::sheet("pr", "Progress") %}{{ Progress::new(shell, figures, "/outgoing?f=") }}{% endcall %}
  {% call ui::sheet("em", "Empty") %}{% call ui::empty("users", "No recipients yet", name) %}<a class="btn btn-primary" href="/x">{{ shell.icon("upload") }}Import contacts</a><a class="btn" href="/x">New contact</a>{% endcall %}{% endcall %}
  {% call ui::sheet("st", "States") %}<p class="row-gap">{% for state in states %}{{ shell.badge("mailing", state) }} {% endfor %}</p><p class="row-gap">{% for state in messages %}{{ shell.badge("message", state) }} {% endfor %}</p>{% endcall %}
  {% call ui::confirm("Send to 498 people now?", "/x", "Send to 498 people", "/kit", icon="send") %}<p class="muted">{{ name }} goes out from <b class="ink">Toko Bandung</b> at once.</p>{% endcall %}
 </aside>
</div>
{% endblock %}"##
)]
struct Kit {
    shell: Shell,
    errors: FieldErrors,
    name: String,
    email: String,
    text: String,
    cog: Vec<Action>,
    options: Vec<(String, String)>,
    chosen: Vec<i64>,
    none: Vec<i64>,
    placeholders: Vec<(String, String)>,
    events: Vec<Event>,
    figures: Figures,
    states: Vec<&'static str>,
    messages: Vec<&'static str>,
}

pub fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 2, 41, 7).unwrap()
}

/// A panel of somebody who sees everything; `name` is everyone's and everything's name.
pub fn shell(lang: Lang, name: &str) -> Shell {
    let company = |id, name: &str| CompanyChoice {
        id: CompanyId(id),
        name: name.to_owned(),
    };
    Shell {
        lang,
        theme: Theme::Light,
        zone: chrono_tz::Asia::Jakarta,
        csrf: "token".to_owned(),
        user: Some(Person {
            id: UserId(1),
            name: name.to_owned(),
            email: "dewi@example.com".to_owned(),
        }),
        company: Some(company(1, "PT Batik Sekar Arum")),
        companies: vec![company(1, "PT Batik Sekar Arum"), company(2, name)],
        role: Some(Role::Administrator),
        unread: 12,
        flash: vec![Flash::success(format!(
            "Submitted for tomorrow 10:00.\n498 people. {name}"
        ))],
        banners: vec![Banner {
            text: format!(
                "128 messages rest in the queue of {name}.\nScheduler Enqueue is off, so nothing pushes them."
            ),
            actions: vec![
                Action::post("Push now", "/jobs/push"),
                Action::link("Enable", "/jobs"),
            ],
        }],
        menu: Menu::Broadcasts,
        path: "/mailings/7".to_owned(),
        now: now(),
    }
}

/// Where pages are written to be looked at; nowhere in ordinary runs.
pub fn keep(file: &str, page: &str) {
    if let Some(folder) = std::env::var_os("KIT_DIR") {
        std::fs::write(std::path::Path::new(&folder).join(file), page).unwrap();
    }
}

/// What no page may hold, whatever people wrote.
pub fn assert_harmless(page: &str) {
    assert!(!page.contains("<script>"), "a script of a person");
    assert!(!page.contains("onmouseover='"), "a quote of a person");
    assert!(
        !page.contains(" style=\"") && !page.contains("<style"),
        "an inline style"
    );
    assert!(!page.contains(" onclick="), "an inline handler");
}

fn kit(lang: Lang, name: &str, faults: bool) -> String {
    let mut errors = FieldErrors::default();
    if faults {
        errors.add("email", "Write an e-mail address such as dewi@example.com.");
        errors.add("lists", name);
    }
    let option = |id: i64, text: &str| (id.to_string(), text.to_owned());
    let event = |by: Option<&str>, text: &str| Event {
        by: by.map(str::to_owned),
        at: now(),
        icon: "plus",
        text: text.to_owned(),
        changes: Vec::new(),
    };
    Kit {
        shell: shell(lang, name),
        errors,
        name: name.to_owned(),
        email: name.to_owned(),
        text: format!("Halo {{{{contact.name|Kak}}}},\n\nTerima kasih sudah berbelanja di *Sekar Arum*.\n{name}"),
        cog: vec![Action::link("Duplicate", "/x").icon("copy"), Action::post("Archive", "/x").icon("archive")],
        options: vec![option(1, "Pembeli November"), option(2, name), option(3, "VIP"), option(4, "Newsletter")],
        chosen: vec![1, 3],
        none: Vec::new(),
        placeholders: vec![("{{contact.name}}".to_owned(), "Name".to_owned()), (name.to_owned(), name.to_owned())],
        events: vec![
            event(Some("Christina Hutagalung"), "Voucher is confirmed by finance until 31 December."),
            Event {
                changes: vec![("Header".to_owned(), String::new(), name.to_owned())],
                ..event(Some(name), "")
            },
            event(None, "Created from Terima kasih Oktober"),
        ],
        figures: Figures { read: 912, delivered: 640, sent: 156, failed: 41, uncertain: 2, handed_over: 0, queued: 3061, skipped: 214, canceled: 0 },
        states: vec![
            "draft", "submitted", "sending", "paused", "done", "uncertain:2", "partial_failure", "failed", "canceled", "missed",
        ],
        messages: vec![
            "queued", "claimed", "sent", "delivered", "read", "replied", "failed", "uncertain", "skipped", "canceled", "expired",
        ],
    }
    .render()
    .unwrap()
}

#[test]
fn kit_a_form_page_shows_what_people_wrote_and_runs_none_of_it() {
    let cases = BTreeMap::from([
        (
            "typical",
            ("Terima kasih sudah berbelanja, {{contact.name}}", false),
        ),
        ("hostile", (HOSTILE, true)),
        ("empty", ("", false)),
    ]);
    for (case, (name, faults)) in cases {
        for lang in Lang::ALL {
            let page = kit(lang, name, faults);
            keep(&format!("form-{case}-{}.html", lang.as_str()), &page);
            assert_harmless(&page);
            assert!(page.contains("name=\"csrf\" value=\"token\""));
        }
    }
}

#[test]
fn kit_faults_are_named_on_top_and_under_their_field() {
    let page = kit(Lang::En, "x", true);
    assert!(page.contains("2 fields need another look"));
    assert!(page.contains("<a href=\"#f-email\">Write an e-mail"));
    assert!(
        page.contains("aria-describedby=\"f-email-hint f-email-fault\""),
        "{page}"
    );
}
