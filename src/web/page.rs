//! What every page holds: whose it is, in which language, zone and company, and what stands around
//! its content. Every page's template struct has a field `shell: Shell` and extends `layout.html`.
//!
//! Invariant: a page shows instants in the person's zone and words in their language only through
//! [`Shell`]. Knows no SQL and no session: `web::session` fills it.

use std::fmt::Display;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::auth::Role;
use crate::i18n::{self, Lang};
use crate::ids::{CompanyId, UserId};
use crate::web::assets;
use crate::web::menu::{self, Entry};
use crate::web::pieces::{Badge, Face, Icon, Time};

pub use crate::web::menu::Menu;

/// Light, dark, or what the device says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
    #[default]
    Auto,
}

impl Theme {
    pub const ALL: [Self; 3] = [Self::Light, Self::Dark, Self::Auto];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::Auto => "auto",
        }
    }

    pub fn icon(self) -> &'static str {
        match self {
            Self::Light => "sun",
            Self::Dark => "moon",
            Self::Auto => "device-mobile",
        }
    }

    /// Anything unknown follows the device.
    pub fn parse(text: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|theme| theme.as_str() == text)
            .unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub id: UserId,
    pub name: String,
    pub email: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyChoice {
    pub id: CompanyId,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlashKind {
    Success,
    Warning,
    Error,
}

impl FlashKind {
    pub fn icon(self) -> &'static str {
        match self {
            Self::Success => "circle-check",
            Self::Warning => "alert-triangle",
            Self::Error => "alert-circle",
        }
    }

    pub fn hue(self) -> &'static str {
        match self {
            Self::Success => "green",
            Self::Warning => "amber",
            Self::Error => "red",
        }
    }
}

/// What just happened, told once on the next page. The first line is the sentence, further lines
/// are details.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Flash {
    pub kind: FlashKind,
    pub text: String,
}

impl Flash {
    pub fn success(text: impl Into<String>) -> Self {
        Self {
            kind: FlashKind::Success,
            text: text.into(),
        }
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self {
            kind: FlashKind::Warning,
            text: text.into(),
        }
    }

    pub fn error(text: impl Into<String>) -> Self {
        Self {
            kind: FlashKind::Error,
            text: text.into(),
        }
    }

    pub fn sentence(&self) -> &str {
        self.text.lines().next().unwrap_or("")
    }

    pub fn details(&self) -> impl Iterator<Item = &str> {
        self.text.lines().skip(1)
    }
}

/// Something to press: a link, or a form of its own where it changes anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// In the person's language already.
    pub label: String,
    pub href: String,
    /// Sent as POST with the CSRF token.
    pub post: bool,
    /// A name in `icons.svg`; empty for none.
    pub icon: &'static str,
}

impl Action {
    pub fn link(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            href: href.into(),
            post: false,
            icon: "",
        }
    }

    pub fn post(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self {
            post: true,
            ..Self::link(label, href)
        }
    }

    pub fn icon(self, icon: &'static str) -> Self {
        Self { icon, ..self }
    }
}

/// A warning about the whole installation or company: an amber strip under the control panel. The
/// first line of the text is bold. At most two actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banner {
    pub text: String,
    pub actions: Vec<Action>,
}

impl Banner {
    pub fn sentence(&self) -> &str {
        self.text.lines().next().unwrap_or("")
    }

    pub fn details(&self) -> impl Iterator<Item = &str> {
        self.text.lines().skip(1)
    }
}

/// A whole number a page shows; templates pass references.
pub trait Count {
    fn count(&self) -> i64;
}

impl Count for i64 {
    fn count(&self) -> i64 {
        *self
    }
}

impl Count for i32 {
    fn count(&self) -> i64 {
        i64::from(*self)
    }
}

impl Count for usize {
    fn count(&self) -> i64 {
        i64::try_from(*self).unwrap_or(i64::MAX)
    }
}

impl<T: Count> Count for &T {
    fn count(&self) -> i64 {
        (*self).count()
    }
}

#[derive(Debug, Clone)]
pub struct Shell {
    pub lang: Lang,
    pub theme: Theme,
    /// What instants are shown in.
    pub zone: Tz,
    /// Goes into every form as the hidden field `csrf`.
    pub csrf: String,
    /// None: nobody is signed in, and the bar shows no menus.
    pub user: Option<Person>,
    pub company: Option<CompanyChoice>,
    /// All the person may work in; the switcher is shown from two.
    pub companies: Vec<CompanyChoice>,
    pub role: Option<Role>,
    /// Incoming messages of the company nobody has read.
    pub unread: i64,
    pub flash: Vec<Flash>,
    pub banners: Vec<Banner>,
    pub menu: Menu,
    /// The request's path and query.
    pub path: String,
    pub now: DateTime<Utc>,
}

impl Shell {
    /// For pages before sign-in.
    pub fn signed_out(lang: Lang, now: DateTime<Utc>) -> Self {
        Self {
            lang,
            theme: Theme::Auto,
            zone: chrono_tz::UTC,
            csrf: String::new(),
            user: None,
            company: None,
            companies: Vec::new(),
            role: None,
            unread: 0,
            flash: Vec::new(),
            banners: Vec::new(),
            menu: Menu::None,
            path: String::new(),
            now,
        }
    }

    /// The text behind a key of the catalogue.
    pub fn t(&self, key: &str) -> String {
        i18n::t(self.lang, key).to_owned()
    }

    /// The same with `{0}`, `{1}` … filled in.
    pub fn tf<S: AsRef<str>>(&self, key: &str, arguments: &[S]) -> String {
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        i18n::tf(self.lang, key, &arguments)
    }

    /// A sentence of the domain in the person's language; what is not ours stays as it is.
    pub fn say(&self, sentence: &str) -> String {
        i18n::say(self.lang, sentence).into_owned()
    }

    /// `key.one` or `key.other` with the number filled in.
    pub fn tn(&self, key: &str, count: impl Count) -> String {
        i18n::tn(self.lang, key, count.count())
    }

    /// The same with more than the number: `arguments` are all of them, `count` chooses the form.
    pub fn tnf<S: AsRef<str>>(&self, key: &str, count: impl Count, arguments: &[S]) -> String {
        let form = if count.count() == 1 { "one" } else { "other" };
        self.tf(&format!("{key}.{form}"), arguments)
    }

    pub fn number(&self, value: impl Count) -> String {
        i18n::number(self.lang, value.count())
    }

    /// "72 %" of a whole; "–" of nothing.
    pub fn percent(&self, part: impl Count, whole: impl Count) -> String {
        i18n::percent(self.lang, part.count(), whole.count(), false)
    }

    /// "23 Nov 09:41" in the person's zone, with the year only where it is another.
    pub fn date(&self, instant: &DateTime<Utc>) -> String {
        i18n::date(self.lang, self.zone, self.now, instant)
    }

    /// "23 Nov".
    pub fn day(&self, instant: &DateTime<Utc>) -> String {
        i18n::day(self.lang, self.zone, self.now, instant)
    }

    /// "23 Nov 2026 09:41:07, Asia/Jakarta", for titles.
    pub fn instant(&self, instant: &DateTime<Utc>) -> String {
        i18n::instant(self.lang, self.zone, instant)
    }

    /// A `<time>` element: the short date, the full instant in its title.
    pub fn time(&self, instant: &DateTime<Utc>) -> Time {
        Time::new(self, instant)
    }

    /// The value of a `datetime-local` input, in the person's zone.
    pub fn local(&self, instant: &DateTime<Utc>) -> String {
        instant
            .with_timezone(&self.zone)
            .format("%Y-%m-%dT%H:%M")
            .to_string()
    }

    /// The address of a static file.
    pub fn asset(&self, path: &str) -> String {
        assets::asset(path)
    }

    /// An icon of `icons.svg`, 18 px.
    pub fn icon<'a>(&self, name: &'a str) -> Icon<'a> {
        Icon::new(name, "")
    }

    /// An icon of 16 px.
    pub fn icon_s<'a>(&self, name: &'a str) -> Icon<'a> {
        Icon::new(name, " icon-s")
    }

    /// A state as people read it: icon, word, hue. See [`Badge`] for the vocabularies.
    pub fn badge(&self, vocabulary: &str, value: &str) -> Badge {
        Badge::new(self.lang, vocabulary, value)
    }

    /// A person's initials in a circle.
    pub fn face(&self, name: &str) -> Face {
        Face::new(name, "")
    }

    /// The same, 32 px.
    pub fn face_m(&self, name: &str) -> Face {
        Face::new(name, " face-m")
    }

    /// Whether the person's role is at least this.
    pub fn is(&self, role: Role) -> bool {
        self.role.is_some_and(|own| own >= role)
    }

    pub fn is_manager(&self) -> bool {
        self.is(Role::Manager)
    }

    pub fn is_administrator(&self) -> bool {
        self.is(Role::Administrator)
    }

    /// Configuration and Technical are absent for everybody else.
    pub fn sees_configuration(&self) -> bool {
        self.is_administrator()
    }

    /// The top menus the person sees, each with its entries.
    pub fn menus(&self) -> Vec<(Menu, Vec<&'static Entry>)> {
        let Some(role) = self.role else {
            return Vec::new();
        };
        Menu::ALL
            .into_iter()
            .map(|menu| (menu, menu::visible(menu, role).collect::<Vec<_>>()))
            .filter(|(_, entries)| !entries.is_empty())
            .collect()
    }

    pub fn is_current(&self, entry: &Entry) -> bool {
        menu::is_current(entry, &self.path)
    }

    /// Whether two values are written alike: templates compare ids, numbers and words with it.
    pub fn same(&self, one: impl Display, other: impl Display) -> bool {
        one.to_string() == other.to_string()
    }

    /// Whether one number is less than another.
    pub fn before(&self, one: impl Count, other: impl Count) -> bool {
        one.count() < other.count()
    }

    /// Whether a value is in a list, compared as written.
    pub fn has<T: Display>(&self, list: &[T], value: impl Display) -> bool {
        let value = value.to_string();
        list.iter().any(|item| item.to_string() == value)
    }

    pub fn themes(&self) -> [Theme; 3] {
        Theme::ALL
    }

    /// Whether [`Self::company`] is this one.
    pub fn in_company(&self, company: &CompanyChoice) -> bool {
        self.company
            .as_ref()
            .is_some_and(|own| own.id == company.id)
    }
}

/// A page, 200.
pub fn html(template: impl Template) -> HttpResponse {
    html_with(StatusCode::OK, template)
}

/// A page with another status, such as 422 for a form with faults.
pub fn html_with(status: StatusCode, template: impl Template) -> HttpResponse {
    match template.render() {
        Ok(page) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .body(page),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a page could not be written"
            );
            HttpResponse::InternalServerError()
                .content_type("text/plain; charset=utf-8")
                .body("Something went wrong on our side.")
        }
    }
}
